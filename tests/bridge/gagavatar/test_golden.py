"""The network against golden numbers: synthetic weights by the rule, every stored array at its tolerance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.oracles import gagavatar_weights as rule

torch = pytest.importorskip("torch")

from bridge.gagavatar import GAGAvatar, checkpoint  # noqa: E402
from tests.oracles import gagavatar_capture as capture  # noqa: E402
from tests.oracles.gagavatar_capture import ABSOLUTE, TOLERANCE, UNTESTED  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("gagavatar")]


@pytest.fixture(scope="module")
def golden(shared: Path) -> dict[str, np.ndarray]:
    with np.load(shared / "upstream" / "golden_v1.npz") as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def keys(shared: Path) -> list[tuple[str, tuple[int, ...]]]:
    listed = json.loads((shared / "upstream" / "gagavatar_state_dict.json").read_text())["model_keys"]
    return [(key, tuple(shape)) for key, shape, _ in listed]


@pytest.fixture(scope="module")
def inputs() -> dict[str, Any]:
    return {name: torch.from_numpy(value) for name, value in rule.inputs().items()}


@pytest.fixture(scope="module")
def weights(keys: list) -> dict[str, np.ndarray]:
    return rule.weights(keys)


@pytest.fixture(scope="module")
def model(weights: dict[str, np.ndarray]) -> GAGAvatar:
    with torch.device("meta"):
        network = GAGAvatar()
    checkpoint.fill(network, {key: torch.from_numpy(value) for key, value in weights.items()})
    return network.eval()


@pytest.fixture(scope="module")
def found(model: GAGAvatar, inputs: dict, golden: dict) -> dict[str, Any]:
    """Every array that the golden file holds, from one run of each part."""
    return capture.arrays(model, inputs, torch.from_numpy(golden["gs_index"]).long())


def test_the_networks_keys_and_shapes_are_the_checkpoints_in_order(keys: list, model: GAGAvatar) -> None:
    assert [(key, tuple(value.shape)) for key, value in model.state_dict().items()] == keys
    assert len(keys) == 561


def test_the_rule_gives_the_weights_that_the_numbers_were_made_with(golden: dict, weights: dict) -> None:
    first = np.array([w.flat[0] for w in weights.values()])
    sums = np.array([w.sum(dtype=np.float64) for w in weights.values()])
    np.testing.assert_array_equal(first, golden["weights_first"])
    np.testing.assert_allclose(sums, golden["weights_sum"], atol=1e-6 * np.abs(golden["weights_sum"]).max())


def test_the_rule_gives_the_inputs_that_the_numbers_were_made_with(golden: dict, inputs: dict) -> None:
    for name, value in inputs.items():
        flat = value.numpy().astype(np.float64).ravel()
        probe = np.concatenate([flat[:4], flat[-4:], [flat.sum()]])
        np.testing.assert_allclose(probe, golden[f"probe_{name}"], rtol=1e-6, atol=1e-5, err_msg=name)


def test_every_golden_array_is_reproduced(golden: dict, found: dict) -> None:
    wanted = {k for k in golden if not k.startswith(("weights_", "probe_"))} - UNTESTED
    assert wanted <= set(found)
    wrong = []
    for name in sorted(wanted):
        value = found[name]
        if name.startswith("dino_norm"):
            value = value[int(name[-1])][0, ::111, ::16]
        value, expected = value.detach().numpy(), golden[name]
        assert value.shape == expected.shape, name
        absolute = next((t for start, t in ABSOLUTE.items() if name.startswith(start)), None)
        relative = next((t for start, t in TOLERANCE.items() if name.startswith(start)), 0)
        allowed = absolute if absolute is not None else relative * expected.std()
        worst = np.abs(value - expected).max()
        if not worst <= allowed:
            wrong.append(f"{name}: {worst:.3g}, allowed {allowed:.3g}")
    assert not wrong, "\n".join(wrong)


def test_statistics_of_the_whole_gaussian_set(golden: dict, found: dict) -> None:
    np.testing.assert_allclose(found["stats"].numpy(), golden["gs_stats"], rtol=1e-3, atol=1e-5)
