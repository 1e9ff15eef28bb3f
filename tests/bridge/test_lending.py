"""Loans: the producer stays alive and a write during the loan is seen."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

import bridge
from bridge import BridgeError, WriteAfterHandOverError

torch = pytest.importorskip("torch", reason="needs torch")


def test_a_loan_without_a_write_passes():
    tensor = torch.ones(100)
    with bridge.lend(tensor, debug=True) as array:
        assert array.unsafe_buffer_pointer() == tensor.data_ptr()
        assert float(array.sum()) == 100
    with bridge.lend({"a": jnp.ones(4)}, debug=True) as tensors:
        assert float(tensors["a"].sum()) == 4


@pytest.mark.parametrize(
    "write", [lambda t: t.add_(1), lambda t: t[3:4].zero_(), lambda t: np.add(t.numpy(), 1, out=t.numpy())]
)
def test_a_write_by_the_producer_is_detected(write):
    tensor = torch.ones(100)
    with pytest.raises(WriteAfterHandOverError, match=r"\(100,\)"), bridge.lend(tensor, debug=True):
        write(tensor)


def test_a_write_into_memory_of_jax_is_detected():
    with pytest.raises(WriteAfterHandOverError), bridge.lend(jnp.ones(8), debug=True) as tensor:
        tensor.mul_(2)


def test_a_write_to_large_memory_is_seen_by_the_version_counter():
    tensor = torch.zeros((1 << 22) + 1)
    with pytest.raises(WriteAfterHandOverError), bridge.lend(tensor, debug=True):
        tensor[0] = 1


def test_without_debug_nothing_is_checked():
    tensor = torch.ones(4)
    with bridge.lend(tensor, debug=False):
        tensor += 1


def test_an_error_inside_the_block_is_the_one_reported():
    with pytest.raises(KeyError), bridge.lend(torch.ones(4), debug=True):
        raise KeyError


def test_mixed_or_empty_loans_are_refused():
    with pytest.raises(BridgeError, match="both kinds"):
        bridge.lend([torch.ones(2), jnp.ones(2)])
    with pytest.raises(BridgeError, match="at least one"):
        bridge.lend([])
