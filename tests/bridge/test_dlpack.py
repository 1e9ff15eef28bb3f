"""Hand-over between torch and JAX: the same memory, or an error that says why."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bridge
from bridge import BridgeError

torch = pytest.importorskip("torch", reason="needs torch")

DTYPES = {
    torch.float32: jnp.float32,
    torch.float16: jnp.float16,
    torch.bfloat16: jnp.bfloat16,
    torch.int32: jnp.int32,
    torch.uint8: jnp.uint8,
    torch.bool: jnp.bool_,
}
shapes = st.lists(st.integers(0, 5), max_size=4).map(tuple)


def tensor_of(shape, dtype) -> torch.Tensor:
    values = np.random.default_rng(0).integers(0, 2 if dtype == torch.bool else 100, size=shape)
    return torch.from_numpy(np.asarray(values)).to(dtype).clone()


def numbers(tensor: torch.Tensor) -> np.ndarray:
    return tensor.to(torch.float32).numpy()


@pytest.mark.parametrize(("dtype", "expected"), DTYPES.items(), ids=str)
@given(shape=shapes, data=st.data())
def test_same_memory_both_ways_in_any_compact_order(dtype, expected, shape, data):
    order = data.draw(st.permutations(range(len(shape))))
    tensor = tensor_of(shape, dtype).permute(order)
    array = bridge.to_jax(tensor)
    assert array.dtype == expected and array.shape == tensor.shape
    back = bridge.to_torch(array)
    if tensor.numel():
        assert array.unsafe_buffer_pointer() == tensor.data_ptr() == back.data_ptr()
    np.testing.assert_array_equal(np.asarray(array, np.float32), numbers(tensor))
    np.testing.assert_array_equal(numbers(back), numbers(tensor))


@pytest.mark.parametrize(("dtype", "expected"), DTYPES.items(), ids=str)
@given(shape=shapes)
def test_a_computed_array_is_the_same_memory_in_torch(dtype, expected, shape):
    array = jnp.ones(shape, expected) * jnp.ones((), expected)
    tensor = bridge.to_torch(array)
    assert tensor.dtype == dtype and tuple(tensor.shape) == shape
    if tensor.numel():
        assert tensor.data_ptr() == array.unsafe_buffer_pointer()


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 9), st.integers(1, 9))
def test_channels_last_is_nhwc_for_free(n, c, h, w):
    pictures = torch.rand(n, c, h, w).to(memory_format=torch.channels_last)
    array = bridge.images_to_jax(pictures)
    assert array.shape == (n, h, w, c) and array.unsafe_buffer_pointer() == pictures.data_ptr()
    assert tuple(array.format.layout.major_to_minor) == (0, 1, 2, 3)
    back = bridge.images_to_torch(array)
    assert back.data_ptr() == pictures.data_ptr() and back.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(back, pictures)


def test_pytrees_keep_their_structure():
    tree = {"a": torch.zeros(4), "b": [torch.ones(2, 3), torch.ones(1)]}
    arrays = bridge.to_jax(tree)
    assert jax.tree.structure(arrays) == jax.tree.structure({"a": 0, "b": [0, 0]})
    assert bridge.to_torch(arrays)["b"][0].data_ptr() == tree["b"][0].data_ptr()


REFUSED_TENSORS = {
    "float64": (lambda: torch.zeros(3, dtype=torch.float64), "float32"),
    "int64": (lambda: torch.zeros(3, dtype=torch.int64), "int32"),
    "every second row": (lambda: torch.zeros(8, 3)[::2], "contiguous"),
    "expanded": (lambda: torch.zeros(1, 3).expand(4, 3), "contiguous"),
    "unaligned frame of a clip": (lambda: torch.zeros(4, 5, 3)[1], "aligned_empty"),
    "requires gradients": (lambda: torch.zeros(3, requires_grad=True), "detach"),
    "sparse": (lambda: torch.eye(3).to_sparse(), "to_dense"),
    "lazy conjugate": (lambda: torch.zeros(3, dtype=torch.complex64).conj(), "resolve_conj"),
    "meta": (lambda: torch.zeros(3, device="meta"), "meta"),
    "not a tensor": (lambda: 3.0, "float"),
    "NCHW as NHWC": (lambda: None, "channels_last"),
}


@pytest.mark.parametrize(("make", "words"), REFUSED_TENSORS.values(), ids=REFUSED_TENSORS)
def test_refused_with_the_way_out(make, words):
    with pytest.raises(BridgeError, match=words):
        if words == "channels_last":
            bridge.images_to_jax(torch.zeros(1, 3, 4, 4))
        else:
            bridge.to_jax(make())


@pytest.mark.parametrize("make", [lambda: torch.rand(8, 3)[::2], lambda: torch.rand(4, 5, 3)[1]])
def test_a_permitted_copy_is_a_real_copy(make):
    tensor = make()
    before = tensor.clone()
    array = bridge.to_jax(tensor, copy="allow")
    tensor += 1
    np.testing.assert_array_equal(np.asarray(array), before.numpy())


def test_a_cast_is_never_permitted():
    with pytest.raises(BridgeError, match="narrowed"):
        bridge.to_jax(torch.tensor([2**40]), copy="allow")


def test_64_bits_cross_under_x64():
    with jax.enable_x64(True):
        tensor = torch.tensor([2**40 + 7])
        assert int(bridge.to_jax(tensor)[0]) == 2**40 + 7
        wide = torch.tensor([1e300], dtype=torch.float64)
        assert float(bridge.to_torch(bridge.to_jax(wide))[0]) == 1e300


@pytest.mark.misuse
def test_refused_arrays():
    with pytest.raises(BridgeError, match="traced"):
        jax.jit(lambda x: bridge.to_torch(x))(jnp.zeros(3))
    with pytest.raises(BridgeError, match="key_data"):
        bridge.to_torch(jax.random.key(0))
    with pytest.raises(BridgeError, match="from_numpy"):
        bridge.to_torch(np.zeros(3))
    gone = jnp.zeros(3)
    gone.delete()
    with pytest.raises(BridgeError, match="deleted"):
        bridge.to_torch(gone)
    with pytest.raises(ValueError, match="never"):
        bridge.to_jax(torch.zeros(3), copy=True)


@given(st.integers(1, 4), st.lists(st.integers(1, 7), max_size=3))
def test_every_frame_of_an_aligned_clip_hands_over(frames, shape):
    for dtype in (torch.float32, torch.uint8):
        clip = bridge.aligned_empty((frames, *shape), dtype)
        assert tuple(clip.shape) == (frames, *shape)
        for i in range(frames):
            clip[i] = i
        for i in range(frames):
            array = bridge.to_jax(clip[i])
            assert array.unsafe_buffer_pointer() == clip[i].data_ptr() and bool((array == i).all())


def test_memory_outlives_either_wrapper():
    array = bridge.to_jax(torch.full((1000,), 3.0))
    gc.collect()
    torch.full((1000,), 9.0)
    assert float(array.sum()) == 3000
    tensor = bridge.to_torch(jnp.full(1000, 4.0))
    gc.collect()
    assert float(tensor.sum()) == 4000


def test_ten_thousand_hand_overs_leak_nothing():
    tensor = torch.zeros(1 << 18)  # 1 MiB: a leak of the memory would show as 10 GiB
    process = psutil.Process()

    def cross(times: int) -> None:
        for _ in range(times):
            bridge.to_torch(bridge.to_jax(tensor))

    cross(500)
    gc.collect()
    before = process.memory_info().rss
    cross(10_000)
    gc.collect()
    assert process.memory_info().rss - before < 16 << 20


def test_many_threads_hand_over_at_once():
    failures = []

    def work(seed: int) -> None:
        for i in range(50):
            tensor = torch.full((257,), float(seed * 1000 + i))
            array = bridge.to_jax(tensor)
            if float(bridge.to_torch(array + 1)[-1]) != seed * 1000 + i + 1:
                failures.append((seed, i))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_configure_memory_after_start_is_refused():
    jnp.zeros(1).block_until_ready()
    with pytest.raises(BridgeError, match="started already"):
        bridge.configure_memory(0.3)
    with pytest.raises(ValueError, match="jax_fraction"):
        bridge.configure_memory(1.5)


def test_configure_memory_before_start_sets_the_pool():
    code = (
        "import os, bridge; bridge.configure_memory(0.3); print(os.environ['XLA_CLIENT_MEM_FRACTION']);"
        "bridge.configure_memory(None); print(os.environ['XLA_PYTHON_CLIENT_PREALLOCATE'],"
        "'XLA_CLIENT_MEM_FRACTION' in os.environ)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0.3", "false", "False"]


def test_importing_bridge_needs_no_torch():
    code = (
        "import sys; import bridge, bridge.dlpack, bridge.autodiff, bridge.ownership; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
