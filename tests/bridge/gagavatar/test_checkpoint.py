"""Checkpoint files: what loads, and what each kind of wrong file is told."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gagjax.errors import InputError

torch = pytest.importorskip("torch")

from bridge.gagavatar import GAGAvatar  # noqa: E402


@pytest.fixture
def saved(small: Any, tmp_path: Path) -> Any:
    def save(change: Any = None, name: str = "model.pt") -> Path:
        state = dict(small.state_dict())
        content = {"model": state, "meta_cfg": {"DATASET": {"FOCAL_LENGTH": 12.0}}}
        if change is not None:
            content = change(state) or content
        torch.save(content, tmp_path / name)
        return tmp_path / name

    return save


def load(path: Path, tiny: Any) -> Any:
    return GAGAvatar.from_checkpoint(path, config=tiny, device="cpu")


def test_a_checkpoint_loads_whole_and_the_loss_network_is_ignored(saved: Any, small: Any, tiny: Any) -> None:
    path = saved(lambda state: state.update({"percep_loss.net.slice1.0.weight": torch.zeros(2)}))
    model = load(path, tiny)
    assert not model.training
    for (name, value), (other, expected) in zip(model.state_dict().items(), small.state_dict().items(), strict=True):
        assert name == other
        assert torch.equal(value, expected)


def test_a_bare_state_dict_in_half_precision_becomes_float32(saved: Any, tiny: Any) -> None:
    model = load(saved(lambda state: {key: value.half() for key, value in state.items()}), tiny)
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_orig_mod.module."])
@pytest.mark.parametrize("under", ["model", "state_dict", None])
def test_a_prefix_of_all_names_is_taken_off(saved: Any, small: Any, tiny: Any, prefix: str, under: str | None) -> None:
    def change(state: dict) -> dict:
        named = {f"{prefix}{key}": value for key, value in (state | {"percep_loss.a": torch.zeros(1)}).items()}
        return named if under is None else {under: named}

    model = load(saved(change), tiny)
    assert all(torch.equal(value, small.state_dict()[name]) for name, value in model.state_dict().items())


def test_all_keys_that_do_not_fit_are_named_at_once(saved: Any, tiny: Any) -> None:
    def change(state: dict) -> None:
        del state["head_base"]
        state["detail.weight"] = torch.zeros(1)
        state["upsampler.final_linear.bias"] = torch.zeros(3)
        state["base_model.output_conv.bias"] = torch.zeros(8, dtype=torch.int32)

    with pytest.raises(InputError) as caught:
        load(saved(change), tiny)
    message = str(caught.value)
    assert "1 missing: head_base" in message
    assert "1 unexpected: detail.weight" in message
    assert "upsampler.final_linear.bias is (3,), expected (16,)" in message
    assert "1 not floating-point: base_model.output_conv.bias" in message
    assert "model.pt" in message


def test_long_lists_of_keys_are_cut(saved: Any, tiny: Any) -> None:
    with pytest.raises(InputError, match=r"unexpected: extra0, .* and 42 more"):
        load(saved(lambda state: state.update({f"extra{i}": torch.zeros(1) for i in range(50)})), tiny)


class Hostile:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("wrapped", [True, False], ids=["torch.save", "bare pickle"])
def test_a_hostile_file_is_refused_and_runs_nothing(tmp_path: Path, tiny: Any, wrapped: bool) -> None:
    path, marker = tmp_path / "hostile.pt", tmp_path / "ran"
    if wrapped:
        torch.save({"model": {"head_base": Hostile(marker)}}, path)
    else:
        path.write_bytes(pickle.dumps(Hostile(marker), protocol=2))
    with pytest.raises(InputError, match=r"refused: it asks for \w+\.mkdir to be run, and nothing"):
        load(path, tiny)
    assert not marker.exists()
    if not wrapped:  # the file does what it claims to do, when opened carelessly
        pickle.loads(path.read_bytes())
        assert marker.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no such file"),
        (b"", "damaged, or is no PyTorch file"),
        (b"no checkpoint at all", "damaged, or is no PyTorch file"),
        ("cut", "damaged, or is no PyTorch file"),
        ([1, 2], "holds no state dict"),
        ({"model": {}}, "holds no state dict"),
        ({"model": {"head_base": 3}}, "no tensors: head_base"),
        ({"model": {"head_base": np.zeros(3)}}, "refused: it asks for numpy"),
    ],
)
def test_wrong_files_are_told_apart(tmp_path: Path, tiny: Any, content: Any, said: str) -> None:
    path = tmp_path / "wrong.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "cut":
        torch.save({"model": {"head_base": torch.zeros(1000)}}, path)
        path.write_bytes(path.read_bytes()[:900])
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(InputError, match=said):
        load(path, tiny)


def test_importing_bridge_and_its_gagavatar_package_needs_no_torch() -> None:
    code = "import sys, bridge, bridge.gagavatar; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
