"""The table of cases in bridge/README.md, made from what really happens.

`python tests/bridge/test_table.py` rewrites the table; the test fails when the page and the code disagree.
"""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import bridge

torch = pytest.importorskip("torch", reason="needs torch")

PAGE = Path(__file__).resolve().parents[2] / "bridge" / "README.md"
BEGIN, END = "<!-- table of cases: made by tests/bridge/test_table.py -->", "<!-- end of table -->"

TO_JAX = {
    "float32, float16, bfloat16": [
        lambda d=d: torch.zeros(8, dtype=d) for d in (torch.float32, torch.float16, torch.bfloat16)
    ],
    "int32, uint8, bool": [lambda d=d: torch.zeros(8, dtype=d) for d in (torch.int32, torch.uint8, torch.bool)],
    "transposed or permuted": [lambda: torch.zeros(2, 3, 4).permute(2, 0, 1)],
    "channels_last": [lambda: torch.zeros(1, 3, 4, 4).to(memory_format=torch.channels_last)],
    "0-d, empty": [lambda: torch.zeros(()), lambda: torch.zeros(0, 3)],
    "a frame of a clip from aligned_empty": [lambda: bridge.aligned_empty((4, 5, 3))[1]],
    "a frame of an ordinary clip, unaligned": [lambda: torch.zeros(4, 5, 3)[1]],
    "every second row, expanded": [lambda: torch.zeros(8, 3)[::2], lambda: torch.zeros(1, 3).expand(4, 3)],
    "float64, int64 with x64 off": [lambda d=d: torch.zeros(3, dtype=d) for d in (torch.float64, torch.int64)],
    "requires gradients": [lambda: torch.zeros(3, requires_grad=True)],
    "sparse, lazy conjugate, meta": [
        lambda: torch.eye(3).to_sparse(),
        lambda: torch.zeros(3, dtype=torch.complex64).conj(),
        lambda: torch.zeros(3, device="meta"),
    ],
}
TO_TORCH = {
    "float32, float16, bfloat16": [lambda d=d: jnp.zeros(8, d) for d in (jnp.float32, jnp.float16, jnp.bfloat16)],
    "int32, uint8, bool": [lambda d=d: jnp.zeros(8, d) for d in (jnp.int32, jnp.uint8, jnp.bool_)],
    "0-d, empty": [lambda: jnp.zeros(()), lambda: jnp.zeros((0, 3))],
    "typed random key": [lambda: jax.random.key(0)],
}


def outcome(cross, value) -> str:
    """What happens to one case, found by doing it."""

    def pointer(x):
        return x.data_ptr() if isinstance(x, torch.Tensor) else x.unsafe_buffer_pointer()

    try:
        got = cross(value)
    except bridge.BridgeError:
        try:
            cross(value, copy="allow")
        except bridge.BridgeError:
            return "refused"
        return 'refused; copied with `copy="allow"`'
    size = value.numel() if isinstance(value, torch.Tensor) else value.size
    assert not size or pointer(got) == pointer(value)
    return "zero-copy"


def table() -> str:
    lines = ["| direction | case | what happens |", "|---|---|---|"]
    for title, cross, cases in (("torch to JAX", bridge.to_jax, TO_JAX), ("JAX to torch", bridge.to_torch, TO_TORCH)):
        for name, makers in cases.items():
            found = {outcome(cross, make()) for make in makers}
            assert len(found) == 1, (name, found)
            lines.append(f"| {title} | {name} | {found.pop()} |")
    return "\n".join(lines)


def test_the_page_says_what_happens():
    if not PAGE.exists():
        pytest.skip("an installed package has no README of the bridge")
    assert table() in PAGE.read_text()


if __name__ == "__main__":
    head, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(f"{head}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}")
