"""Where a portrait's picture may lie."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gagjax.errors import InputError

torch = pytest.importorskip("torch")
from bridge.gagavatar import portraits  # noqa: E402
from gagjax.io import frame_database, images  # noqa: E402


def test_a_portraits_picture_may_lie_beside_its_tracking(
    small: Any, portrait: np.ndarray, front: np.ndarray, record: Any, tmp_path: Path
) -> None:
    pixels = (255 * portrait).astype(np.uint8)
    (tmp_path / "optim.pkl").write_bytes(pickle.dumps({"clip_0": record(None), "clip_1": record(None)}))
    expected = small.encode(pixels, front).features
    images.write(tmp_path / "clip_0.png", pixels)
    assert torch.equal(portraits.identity(small, tmp_path, name="clip_0").features, expected)
    images.write(tmp_path / "crop.png", pixels[::-1])
    other = portraits.identity(small, tmp_path / "optim.pkl", name="clip_0", image=tmp_path / "crop.png")
    assert torch.equal(other.features, small.encode(pixels[::-1].copy(), front).features)
    images.write(tmp_path / "photograph.png", pixels[:32])
    with pytest.raises(InputError, match=r"photograph.png: is 64x32; the tracker's crops are square"):
        portraits.identity(small, tmp_path, name="clip_0", image=tmp_path / "photograph.png")
    frame_database.write(tmp_path / "img_lmdb", [("clip_1", pixels)])
    found = portraits.identity(small, tmp_path, name="clip_1").features
    assert float((found - expected).abs().max()) < 0.5 * float(expected.std())  # the database holds JPEG
