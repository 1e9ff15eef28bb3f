"""The table of formats says what the code does: a full track is written in each format and read back."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

import numpy as np
import pytest
import yaml

from gagjax.errors import InputError
from gagjax.io import tracks
from gagjax.io.tracks import FORMATS, load_track, save_track
from gagjax.track import Track

TABLE = yaml.safe_load((Path(__file__).resolve().parents[2] / "docs" / "tables" / "formats.yaml").read_text())
FIELDS = {"expression", "jaw", "eyes", "transform", "shape", "neck", "valid", "fps", "names", "bbox", "extra"}
WRITTEN = [name for name, entry in TABLE.items() if entry["write"]]
FRAMES = 7


def full_track(format: str) -> Track:
    """A track in which every field says something that could be lost."""
    rng = np.random.default_rng(5)

    def noise(*shape: int) -> np.ndarray:
        return (0.1 * rng.normal(size=(FRAMES, *shape))).astype(np.float32)

    camera = np.tile(np.float32([[-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 9.3]]), (FRAMES, 1, 1))
    camera[:, :, 3] += noise(3)
    extra = {"bbox": noise(4) + np.float32([0.2, 0.2, 0.8, 0.8]), "mood": noise(2)}
    rotations: tuple[str, ...] = ()
    if format == "liveportrait":  # written only for what came from a template
        extra |= {"R": np.tile(np.eye(3, dtype=np.float32), (FRAMES, 1, 1)), "exp": noise(21, 3), "t": noise(3)}
        extra |= {"scale": noise(1) + 1}
        rotations = ("R",)
    if format in ("livelink", "arkit", "audio2face", "mediapipe"):  # written only for what carries weights
        extra |= {"arkit": abs(noise(52))}
    return Track(
        noise(100),
        noise(3),
        noise(6),
        camera,
        shape=noise(300)[0],
        neck=noise(3),
        extra=extra,
        valid=np.arange(FRAMES) != 3,
        fps=30,
        names=tuple(f"film_{i + 5}" for i in range(FRAMES)),
        rotations=rotations,
        source="liveportrait" if format == "liveportrait" else "test",
    )


def kept(before: Track, after: Track) -> set[str]:
    """The fields that came through, on the frames that were seen."""
    seen = np.asarray(before.valid)

    def same(a, b) -> bool:
        if a is None or b is None:
            return False
        a, b = np.asarray(a), np.asarray(b)
        if a.shape != b.shape:
            return False
        picked = (a[seen], b[seen]) if a.ndim and a.shape[0] == FRAMES else (a, b)
        return bool(np.allclose(*picked, atol=1e-5))

    found = {name for name in ("expression", "jaw", "eyes", "transform", "shape", "neck") if
             same(getattr(before, name), getattr(after, name))}  # fmt: skip
    found |= {name for name in ("valid", "fps", "names") if np.array_equal(getattr(before, name), getattr(after, name))}
    found |= {"bbox"} & {name for name in before.extra if same(before.extra[name], after.extra.get(name))}
    others = set(before.extra) - {"bbox", "mood"} or {"mood"}
    if all(same(before.extra[name], after.extra.get(name)) for name in others):
        found.add("extra")
    return found


def test_every_format_is_in_the_table():
    assert set(TABLE) == set(FORMATS)


def is_writable(format: str, suffix: str, folder: Path) -> bool:
    try:
        tracks.check_output(folder / f"film{suffix}", format)
    except InputError:
        return False
    return True


@pytest.mark.parametrize("format", TABLE)
def test_what_can_be_written_under_which_suffix(format, tmp_path):
    for suffix in TABLE[format]["suffixes"]:
        assert is_writable(format, suffix, tmp_path) is TABLE[format]["write"]


@pytest.mark.parametrize("format", WRITTEN)
def test_what_is_kept_and_lost(format, tmp_path):
    entry = TABLE[format]
    before = full_track(format)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a format cannot hold is also said
        path = tmp_path / f"film{entry['suffixes'][0]}"
        save_track(before, path, format=format)
        after = load_track(path)
    through = kept(before, after)
    assert set(entry["keeps"]) <= through
    assert not set(entry["loses"]) & through
    assert set(entry["keeps"]) | set(entry["loses"]) <= FIELDS


def test_a_loss_that_is_not_listed_is_found(tmp_path):
    before = full_track("gagjax")
    assert kept(before, dataclasses.replace(before, neck=None)) == set(TABLE["gagjax"]["keeps"]) - {"neck"}
