"""The person's matte, by MediaPipe's segmentation network."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from gagjax.tracking import models

SIZE = 256


@functools.cache
def _network() -> Callable[[Any], Any]:
    from gagjax.tracking.networks import function, graph

    return function(graph.load(models.path_of("person")))


def matte(picture: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, "H W"]:
    """How much of each pixel is the person, 0 to 1, soft at the edges.

    Args:
        picture: RGB.

    Returns:
        The matte at the picture's size.

    Raises:
        InputError: If the models are not installed.
    """
    height, width = picture.shape[:2]
    small = Image.fromarray(picture).resize((SIZE, SIZE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    found = np.asarray(_network()(np.asarray(small, np.float32)[None] / 255)[0])[0, :, :, 0]
    whole = Image.fromarray(found.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    # The network's soft step is wide: its middle part is the edge.
    return np.clip((np.asarray(whole) - 0.25) / 0.5, 0, 1).astype(np.float32)
