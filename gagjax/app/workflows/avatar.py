"""Build a portrait avatar from a photo or a video, to save or to drive."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from gagjax.errors import InputError


class Made(NamedTuple):
    """An avatar built from one image.

    Attributes:
        avatar: A PortraitAvatar.
        model: The head with the person's shape as its mean; the shape basis is kept.
        background: Inpainted image behind the person, (H, W, 3).
        head: The head model it was built with.
        frame: Index of the video frame used; 0 for a photo.
    """

    avatar: Any
    model: Any
    background: Float[np.ndarray, "H W 3"]
    head: Any
    frame: int


def make(photo: Path, *, flame: Path | None = None, size: int = 512) -> Made:
    """Build the avatar of the person in a photo, or in the best frame of a video.

    Args:
        photo: An image, or a video of the person.
        flame: A FLAME file; None selects the built-in head.
        size: Size of the head crop, pixels; each pixel of the person becomes a Gaussian.

    Raises:
        InputError: If no face is found, or the tracking models are not installed.
    """
    import dataclasses

    from gagjax import flame as heads
    from gagjax.app.waiting import waiting
    from gagjax.avatars.portrait import build, layers
    from gagjax.avatars.portrait.observing.observe import observe
    from gagjax.tracking.fit.shot import subject
    from gagjax.tracking.sources import open_source

    head = heads.builtin() if flame is None else heads.load(flame)
    source = open_source(photo)
    subject_ = subject(head)
    with waiting(f"looking for the face in {photo}"):
        frame, picture = (0, next(source.frames())) if source.kind == "picture" else best_frame(source)
    with waiting("fitting the head to it"):
        observed = observe(picture, subject_, size=size, path=photo)
    with waiting("building the avatar"):
        avatar = build(observed.sighting, head)
    behind = layers.behind(np.asarray(observed.sighting.photo, np.float64), np.asarray(observed.sighting.matte))
    model = dataclasses.replace(head, v_template=avatar.model.v_template)
    return Made(avatar, model, behind, head, frame)


def best_frame(source: Any, most: int = 60) -> tuple[int, Any]:
    """Find the frame of a video in which the face looks ahead, with open eyes and a relaxed mouth.

    Args:
        source: The video.
        most: Maximum number of frames to inspect, spread over the video.

    Raises:
        InputError: If no inspected frame shows a face.
    """
    from gagjax.tracking import points
    from gagjax.tracking.faces.following import Follower

    follow, best, found = Follower(), (-np.inf, 0, None), 0
    step = max(1, source.count // most)
    for number, picture in enumerate(source.frames()):
        if number % step:
            continue
        marks = follow(picture).points
        if not np.isfinite(marks[0, 0]):
            continue
        found += 1
        plane = marks[:, :2]
        eyes = plane[[points.RIGHT_PUPIL, points.LEFT_PUPIL]]
        apart = np.linalg.norm(eyes[0] - eyes[1])
        aside = abs((plane[4, 0] - eyes[:, 0].mean()) / apart)
        mouth = np.linalg.norm(plane[13] - plane[14]) / apart
        score = 3 * min(points.lid_opening(marks).min(), 0.3) - aside - 1.5 * mouth + apart / picture.shape[1]
        if score > best[0]:
            best = (score, number, picture)
    if best[2] is None:
        raise InputError("shows no face that is found", file=source.path, fix="Use a film of one upright face")
    return best[1], best[2]
