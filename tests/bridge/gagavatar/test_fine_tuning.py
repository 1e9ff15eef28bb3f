"""Fine-tuning on the small network with weights by the rule: what learns, what stays, resuming, and the file it leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bridge.gagavatar import GAGAvatar, losses  # noqa: E402
from bridge.gagavatar.fine_tuning import FineTuning, Settings, Shots, perception_of, write  # noqa: E402
from bridge.gagavatar.fine_tuning.perception import ALEXNET, VGG  # noqa: E402
from bridge.gagavatar.fine_tuning.shots import boxes_of, over_black  # noqa: E402
from gagjax.errors import InputError  # noqa: E402
from tests.oracles import gagavatar_weights as rule  # noqa: E402


@pytest.fixture(scope="module")
def file(small: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as published: wrapped, with a key of the perceptual networks, and its configuration."""
    path = tmp_path_factory.mktemp("checkpoint") / "GAGAvatar.pt"
    state = dict(small.state_dict()) | {"percep_loss.net.slice1.0.bias": torch.ones(64)}
    torch.save({"model": state, "meta_cfg": {"DATASET": {"POINT_PLANE_SIZE": 24}}}, path)
    return path


@pytest.fixture(scope="module")
def shots(tiny: Any, front: np.ndarray) -> Shots:
    """A smooth picture that moves with its camera; the person is a coloured disc over black."""
    rng = np.random.default_rng(0)
    frames, size = 6, tiny.size
    y, x = np.mgrid[:size, :size] / size
    shift = np.linspace(-0.05, 0.05, frames)
    disc = np.stack([(x - 0.5 - s) ** 2 + (y - 0.5) ** 2 < 0.12 for s in shift])[..., None]
    pictures = (disc * np.stack([200 * x + 40, 180 * y, 120 + 0 * x], -1)).astype(np.uint8)
    vertices = np.tile(0.08 * rng.normal(size=(1, tiny.vertices, 3)), (frames, 1, 1)).astype(np.float32)
    cameras = np.tile(front, (frames, 1, 1))
    cameras[:, 0, 3] += 4 * shift
    return Shots(pictures, vertices, cameras, np.tile(np.float32([0.2, 0.2, 0.8, 0.8]), (frames, 1)))


def opened(file: Path, tiny: Any) -> GAGAvatar:
    return GAGAvatar.from_checkpoint(file, device="cpu", config=tiny)


def test_the_loss_falls_and_only_heads_and_decoder_learn(file: Path, tiny: Any, shots: Shots, tmp_path: Path) -> None:
    run = FineTuning(opened(file, tiny), shots, Settings(steps=14, rate=4e-3), held_out=[2])
    before, told = run.psnr([2]), []
    run.run(report=lambda _, terms: told.append(terms))
    assert len(told) == run.done == 14
    assert np.mean([t["total"] for t in told[-4:]]) < 0.8 * np.mean([t["total"] for t in told[:4]])
    assert run.psnr([2]) > before + 1

    out = tmp_path / "mine.pt"
    write(out, run.network, like=file)
    old, new = (torch.load(path, weights_only=True) for path in (file, out))
    assert list(new) == list(old)
    assert list(new["model"]) == list(old["model"])
    assert new["meta_cfg"] == old["meta_cfg"]
    same = {key for key, value in old["model"].items() if torch.equal(value, new["model"][key])}
    assert all(key in same for key in old["model"] if key.startswith(("base_model.", "percep_loss.")))
    for part in ("head_base", "gs_generator_g.", "gs_generator_l0.", "gs_generator_l1.", "upsampler.stylegan_decoder."):
        assert any(key.startswith(part) and key not in same for key in old["model"]), part
    again = opened(out, tiny)
    assert torch.equal(FineTuning(again, shots, Settings()).picture(3), run.picture(3, 0))


def test_a_stopped_run_goes_on_to_the_bit(file: Path, tiny: Any, shots: Shots, tmp_path: Path) -> None:
    settings = Settings(steps=3, batch=2, sources=2, seed=3)
    whole = FineTuning(opened(file, tiny), shots, settings)
    whole.run()
    stopped = FineTuning(opened(file, tiny), shots, settings)
    stopped.run(steps=2)
    stopped.save(tmp_path / "state.pt")
    resumed = FineTuning(opened(file, tiny), shots, settings)
    resumed.resume(tmp_path / "state.pt")
    assert resumed.done == 2
    resumed.run()
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name
    other = FineTuning(opened(file, tiny), shots, Settings(steps=4))
    with pytest.raises(InputError, match="other settings"):
        other.resume(tmp_path / "state.pt")
    (tmp_path / "state.pt").write_bytes(b"no archive")
    with pytest.raises(InputError, match="damaged"):
        other.resume(tmp_path / "state.pt")


def test_the_style_learns_ten_times_slower(file: Path, tiny: Any, shots: Shots) -> None:
    run = FineTuning(opened(file, tiny), shots, Settings(rate=1e-3))
    normal, slow = run.optimiser.param_groups
    assert slow["lr"] == pytest.approx(normal["lr"] / 10)
    ids = {id(value) for value in slow["params"]}
    names = {name for name, value in run.trained.items() if id(value) in ids}
    assert names
    assert names == {n for n in run.trained if "style_mlp" in n or "final_linear" in n}
    assert not any(name.startswith("base_model.") for name in run.trained)


def test_the_perceptual_networks_come_from_the_checkpoint() -> None:
    shapes = [(f"net.{key}", (b, a, k, k)) for key, a, b, k, *_ in ALEXNET]
    widths = [3, *(width for _, width, _ in VGG)]
    shapes += [(f"vggface.network.{key}", (b, a, 3, 3)) for (key, b, _), a in zip(VGG, widths, strict=False)]
    state = {}
    for key, shape in shapes:
        state[f"percep_loss.{key}.weight"] = torch.from_numpy(rule.weight(f"{key}.weight", shape))
        state[f"percep_loss.{key}.bias"] = torch.zeros(shape[0])
    assert len(state) == 36
    networks = perception_of(state)
    assert [part.weight for part in networks] == [1.0, 0.5]
    pictures = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    assert [level.shape[1] for level in networks[0].network(pictures)] == [64, 192, 384, 256, 256]
    faces = networks[1].network(pictures)
    assert [tuple(level.shape[1:]) for level in faces] == [
        (64, 64, 64),
        (128, 32, 32),
        (256, 16, 16),
        (512, 8, 8),
        (512, 4, 4),
    ]
    # The first level by its definition: 255 x minus the mean colour, one convolution, a rectifier.
    plain = 255 * pictures.permute(0, 3, 1, 2) - torch.tensor([129.186, 104.762, 93.594])[:, None, None]
    wanted = torch.nn.functional.conv2d(plain, state["percep_loss.vggface.network.0.weight"], padding=1).relu()
    torch.testing.assert_close(faces[0], wanted)
    points = torch.zeros(1, 4, 3)
    output = losses.Output(pictures, pictures * 0.5, points)
    found = losses.objective(output, pictures, torch.tensor([[0.0, 0, 1, 1]]), points, networks)
    parts = [w * losses.PERCEPTUAL * losses.perceptual(n(pictures * 0.5), n(pictures)) for n, w in networks]
    torch.testing.assert_close(found.perceptual, sum(parts))
    assert perception_of({"head_base": torch.zeros(1)}) == []
    del state["percep_loss.net.slice3.6.bias"]
    with pytest.raises(InputError, match="missing"):
        perception_of(state)


def test_crops_over_black_and_boxes_of_vertices(front: np.ndarray) -> None:
    frames = np.full((1, 2, 2, 3), 200, np.uint8)
    masks = np.array([[[0, 255], [128, 0]]], np.uint8)
    np.testing.assert_array_equal(over_black(frames, masks)[0, ..., 0], [[0, 200], [100, 0]])
    assert over_black(frames, None) is frames
    # Half a picture is 9.3 / 12 units wide at the head's distance: a cube of +-0.05 m, with a shift of 0.02 and 0.01.
    corners = np.array([[[x, y, 0.0] for x in (-0.05, 0.05) for y in (-0.05, 0.05)]], np.float32)
    ratio = 12 / 9.3 / 2
    wanted = [0.5 - ratio * (0.25 + 0.02), 0.5 - ratio * 0.26, 0.5 + ratio * 0.23, 0.5 + ratio * 0.24]
    np.testing.assert_allclose(boxes_of(corners, front[None])[0], wanted, atol=1e-6)
