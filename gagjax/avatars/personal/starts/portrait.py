"""A start from one frame of the clip: the person's own colours and hair volume, by the portrait avatar of that frame."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

from gagjax.avatars.parameters import Parameters
from gagjax.avatars.personal.canonical import spread
from gagjax.avatars.personal.clip import FilmedClip
from gagjax.avatars.personal.starts.start import Given, Start
from gagjax.camera import Intrinsics, from_track

_NEAREST = 12  # of the portrait's Gaussians that are averaged
_FRONT = (-1.0, 1.0, -1.0)  # diagonal of the rotation of a head that faces the camera


def begin(given: Given) -> Start:
    """Gaussians as in the plain start, with the colours and the hair volume of the clip's best frame.

    Without masks, everything that the mesh covers counts as the person.
    """
    # Imported here: portraits use modules of personal avatars.
    from gagjax.avatars.portrait import build
    from gagjax.avatars.portrait.sighting import Sighting

    canonical, width = spread(given.model, given.count)
    number = best_frame(given)
    parameters = seen_in(given.clip, number)
    photo = given.clip.frames[number].astype(np.float32) / 255
    sighting = Sighting(photo, _matte(given, number, parameters), parameters)
    portrait = build(sighting, given.model)
    rest, faces = np.asarray(given.model.v_template, np.float64), np.asarray(given.model.faces)
    # Where the portrait expanded the skull, the Gaussians stand off the person's mesh.
    grown = np.asarray(portrait.model.v_template, np.float64)
    triangles, corners = np.asarray(canonical.triangles), np.asarray(canonical.corners, np.float64)
    at = faces[triangles]
    places = (grown[at] * corners[..., None]).sum(1)
    offset = places - (rest[at] * corners[..., None]).sum(1)
    shown = portrait.gaussians(parameters)
    sources = np.asarray(portrait.binding.place(portrait.model.v_template, portrait.model.faces)[0], np.float64)
    count = len(sources)
    colours = _averaged(places, sources, np.asarray(shown.features)[:count], np.asarray(shown.opacities)[:count])
    return Start(canonical, np.asarray(width * _stretch(grown, rest, faces)[triangles], np.float32), colours, offset)


def best_frame(given: Given) -> int:
    """The frame that looks most nearly ahead, with the calmest face."""
    track, frames = given.clip.track, np.asarray(given.frames)
    turn = np.asarray(track.transform)[frames, :, :3]
    away = np.arccos(np.clip((np.einsum("tii->ti", turn * np.diag(_FRONT)[None]).sum(1) - 1) / 2, -1, 1))
    calm = np.linalg.norm(np.asarray(track.expression)[frames], axis=1)
    spread_ = np.median(calm) + 1e-6
    eyes = np.abs(np.asarray(track.eyes)[frames]).max(1)
    jaw = np.abs(np.asarray(track.jaw)[frames]).max(1)
    return int(frames[np.argmin(2 * away + 0.3 * calm / spread_ + jaw + 0.5 * eyes)])


def seen_in(clip: FilmedClip, number: int) -> Parameters:
    """One frame of a folded clip as parameters, with its camera at the size of the frames."""
    track = clip.track
    lens = None
    if track.intrinsics is not None:
        k = np.asarray(track.intrinsics.squared(clip.size).K)
        lens = Intrinsics(k if k.ndim == 2 else k[number], clip.size, clip.size)
    return Parameters.of(
        jnp.asarray(track.expression[number]),
        jnp.asarray(track.jaw[number]),
        jnp.asarray(track.eyes[number]),
        None if track.neck is None else jnp.asarray(track.neck[number]),
        camera=from_track(jnp.asarray(track.transform[number]), clip.size, intrinsics=lens),
    )


def _matte(given: Given, number: int, parameters: Parameters) -> Float[np.ndarray, "H W"]:
    if given.clip.masks is not None:
        return given.clip.masks[number].astype(np.float32) / 255
    from gagjax.avatars.portrait import zbuffer

    assert parameters.camera is not None
    posed = np.asarray(parameters.vertices(given.model), np.float64)
    seen = zbuffer.seen(posed, np.asarray(given.model.faces), parameters.camera)
    return (seen.triangles >= 0).astype(np.float32)


def _stretch(grown: np.ndarray, rest: np.ndarray, faces: np.ndarray) -> Float[np.ndarray, "F"]:
    """Square root of each triangle's growth in area."""

    def area(v: np.ndarray) -> np.ndarray:
        return np.linalg.norm(np.cross(v[faces[:, 1]] - v[faces[:, 0]], v[faces[:, 2]] - v[faces[:, 0]]), axis=1)

    return np.sqrt(np.maximum(area(grown), 1e-12) / np.maximum(area(rest), 1e-12)).clip(0.5, 3)


def _averaged(
    places: Float[np.ndarray, "N 3"],
    sources: Float[np.ndarray, "M 3"],
    colours: Float[np.ndarray, "M 3"],
    opacities: Float[np.ndarray, "M"],
) -> Float[np.ndarray, "N 3"]:
    """Colours at places, from the nearest sources weighted by nearness and opacity."""
    distance, index = cKDTree(sources).query(places, k=min(_NEAREST, len(sources)))
    width = np.median(distance[:, -1])
    weight = np.exp(-0.5 * (distance / np.maximum(0.5 * width, 1e-9)) ** 2) * (opacities[index] + 1e-3) + 1e-12
    return np.asarray((colours[index] * weight[..., None]).sum(1) / weight.sum(1, keepdims=True), np.float32)
