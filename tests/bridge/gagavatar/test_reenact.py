"""Reenactment from files at the official sizes: a synthetic checkpoint, a FLAME file, a portrait, a driver folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import gagjax as gj
from gagjax import flame
from tests.oracles import flame as flame_rule
from tests.oracles import gagavatar_weights as rule

torch = pytest.importorskip("torch")

from bridge.gagavatar import Avatar, GAGAvatar  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("gagavatar"),
    # A driver folder holds smoothed.pkl, of which the temporal stage warns.
    pytest.mark.filterwarnings("ignore:.*already been through a causal filter"),
]

FRAMES = 4


@pytest.fixture(scope="module")
def files() -> Iterator[Path]:
    """The files that a user brings; 680 MB, so they are removed at once."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        with torch.device("meta"):
            shapes = [(key, tuple(value.shape)) for key, value in GAGAvatar().state_dict().items()]
        state = {key: torch.from_numpy(value) for key, value in rule.weights(shapes).items()}
        state["percep_loss.net.slice1.0.bias"] = torch.zeros(64)
        torch.save({"model": state, "meta_cfg": {"DATASET": {"POINT_PLANE_SIZE": 296}}}, path / "GAGAvatar.pt")
        flame.save(flame_rule.golden_model(), path / "flame.pkl")
        rng = np.random.default_rng(0)
        camera = rule.inputs()["transforms"][0]
        portrait = {
            "shapecode": rng.normal(size=300).astype(np.float32),
            "expcode": np.zeros(100, np.float32),
            "posecode": np.zeros(6, np.float32),
            "eyecode": np.zeros(6, np.float32),
            "transform_matrix": camera,
            "bbox": np.array([0.2, 0.1, 0.8, 0.9], np.float32),
            "image": rng.uniform(size=(3, 512, 512)).astype(np.float32),
        }
        torch.save({"me.jpg": portrait}, path / "tracked.pt")
        expression = np.zeros((FRAMES, 100))
        expression[2, :20] = 3  # the driver moves here and nowhere else
        still = np.zeros((FRAMES, 3)), np.zeros((FRAMES, 6)), np.tile(camera, (FRAMES, 1, 1))
        gj.save_track(gj.Track(expression, *still), path / "driver")
        yield path


@pytest.fixture(scope="module")
def avatar(files: Path) -> Avatar:
    return Avatar.open(files / "GAGAvatar.pt", files / "flame.pkl", files / "tracked.pt", device="cpu")


def test_an_avatar_of_files_repeats_to_the_bit_and_moves_only_with_its_driver(files: Path, avatar: Avatar) -> None:
    track = gj.load_track(files / "driver")
    frames = np.stack(list(avatar.frames(track)))
    assert frames.shape == (FRAMES, 512, 512, 3)
    assert np.isfinite(frames).all()
    assert frames.std() > 0.01
    np.testing.assert_array_equal(frames[1], frames[0])
    np.testing.assert_array_equal(frames[3], frames[0])
    assert np.abs(frames[2] - frames[0]).max() > 0.01
    np.testing.assert_array_equal(next(avatar.frames(track[2:3])), frames[2])


def test_all_enhancements_run_about_an_avatar(files: Path, avatar: Avatar) -> None:
    stack = gj.Stack.default()
    track = gj.enhance_track(stack, gj.load_track(files / "driver"))
    frames = np.stack(list(avatar.frames(track[1:3])))
    # Generated weights draw noise, in which the detail stage rightly finds nothing to sharpen: it is given a soft copy.
    frames = gaussian_filter(frames, (0, 1.5, 1.5, 0))
    sharper, _ = gj.enhance_frames(stack, frames)
    assert sharper.shape == frames.shape
    assert np.isfinite(np.asarray(sharper)).all()
    assert np.abs(np.asarray(sharper) - frames).max() > 1e-4


def test_the_command_writes_the_video_of_an_enhanced_reenactment(files: Path, tmp_path: Path) -> None:
    from gagjax.app.cli import main
    from gagjax.io import video

    words = ["-i", "tracked.pt", "-d", "driver", "-r", "GAGAvatar.pt", "--flame", "flame.pkl"]
    paths = [word if word.startswith("-") else str(files / word) for word in words]
    out = tmp_path / "result.mp4"
    assert main(["reenact", *paths, "-o", str(out), "--enhanced"]) == 0
    found = video.info(out)
    assert (found.frames, found.width, found.height) == (FRAMES, 512, 512)
