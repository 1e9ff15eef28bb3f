"""Build an avatar from a sighting."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from gagjax import flame
from gagjax.avatars.binding import Binding
from gagjax.avatars.builtin import sampling
from gagjax.avatars.personal.canonical import person
from gagjax.avatars.portrait import eyes, ground, layers, light, pixels, zbuffer
from gagjax.avatars.portrait.avatar import PortraitAvatar
from gagjax.avatars.portrait.bend import bent, looking, posed_vertices
from gagjax.avatars.portrait.hull import swollen
from gagjax.avatars.portrait.parts import EYE, RIM, SKIN, Parts, followed, parts_of, smoothstep
from gagjax.avatars.portrait.sighting import Sighting
from gagjax.avatars.rendering import drawn
from gagjax.camera import Camera
from gagjax.errors import InputError
from gagjax.flame.model import FlameModel

ROUNDS = 4  # of colour correction, until the avatar in the photo's pose reproduces the photo
_INSIDE_HEAD = 0.6  # minimum matte of the person's pixels
_BEYOND = 0.04  # display-encoded
_FEWEST = 400  # minimum number of face pixels in a photo


def build(sighting: Sighting, model: FlameModel | None = None, *, rounds: int = ROUNDS) -> PortraitAvatar:
    """The avatar of the person in a photo.

    Args:
        sighting: The photo with fitted head parameters.
        model: The head that was fitted to it; None for the built-in one.
        rounds: Rounds of colour correction against the photo.

    Returns:
        An avatar that reproduces the photo in the photo's view.

    Raises:
        InputError: If hardly any pixel shows the head.
    """
    base = flame.builtin() if model is None else model
    parts, camera = parts_of(base), sighting.camera
    head = bent(person(base, np.asarray(sighting.parameters.shape)), sighting)
    sighting = looking(head, sighting)
    head = swollen(head, parts, sighting)
    parameters = sighting.parameters
    posed = posed_vertices(head, parameters)
    faces = np.asarray(head.faces)
    seen = zbuffer.seen(posed, faces, camera)
    about = pixels.facts(seen, faces, np.asarray(flame.normals(head, jnp.asarray(posed, jnp.float32))), camera)
    matte = np.asarray(sighting.matte, np.float64)
    photo = layers.unmixed(np.asarray(sighting.photo, np.float64), matte)
    linear = np.clip(photo, 0, 1) ** light.GAMMA
    of = np.where(seen.triangles >= 0, parts.of[seen.triangles], -1)
    mine = matte > _INSIDE_HEAD
    usable = mine & (of >= 0) & ~about.edge & (about.cosine > 0.12)
    if usable.sum() < _FEWEST:
        raise InputError(
            f"shows the head in {int(usable.sum())} pixels",
            field="photo",
            fix="Use a photo in which the face is larger and not covered",
        )
    glow = _light(parts, faces, seen, about, linear, usable & (of == SKIN))
    lit_share = _lit(of)
    bright = 1 + lit_share[..., None] * (_irradiance(glow, about.normals) - 1)
    albedo = linear / bright

    chosen = usable
    fine, fine_bary = pixels.gaussians(posed, faces, camera, seen, chosen)
    fade = smoothstep(0.12, 0.35, about.cosine[chosen])
    floor = ground.cover(head, parts)
    sure = _sureness(floor, posed, faces, camera, seen, about, mine)
    colour = _ground_colours(base, head, parts, floor, posed, camera, albedo, sure)
    colour = _paint_eyes(head, parts, floor, seen, of, usable, linear, colour)
    floor = ground.sunk(floor, head, sure * np.isin(floor.part, (SKIN, RIM)))
    placed = sampling.join(fine, floor.placed)
    lit = np.concatenate([lit_share[chosen], _lit(floor.part)])
    avatar = PortraitAvatar(
        model=head,
        binding=Binding(_i32(placed.triangles), _f32(placed.offsets), _f32(placed.factors), frame="affine"),
        corners=_f32(np.concatenate([fine_bary, floor.bary])),
        opacities=_f32(np.concatenate([0.96 * fade, 0.97 * _kept(floor, posed, faces, camera, matte)])),
        albedo=_f32(np.clip(np.concatenate([albedo[chosen], colour]), 0, None) ** (1 / light.GAMMA)),
        lit=_f32(lit),
        light=_f32(glow),
        follow=_f32(parts.follow),
        pivot=_f32(_pivot(head)),
        view=np.asarray(camera.viewmat, np.float32),
        layer=layers.beside(photo, matte, chosen, seen, camera, lambda places: followed(head, places[:, 1])),
    )
    return _corrected(avatar, dataclasses.replace(sighting, photo=photo), chosen, rounds)


def _light(
    parts: Parts, faces: np.ndarray, seen: zbuffer.Seen, about: pixels.Facts, linear: np.ndarray, skin: np.ndarray
) -> np.ndarray:
    face = parts.face[faces].all(1)
    use = skin & (about.cosine > 0.3)
    use[use] = face[seen.triangles[use]]
    return light.fit(linear[use], about.normals[use], np.ones(int(use.sum()), bool))


def _irradiance(glow: np.ndarray, normals: np.ndarray) -> np.ndarray:
    flat = np.asarray(light.irradiance(jnp.asarray(glow), jnp.asarray(normals.reshape(-1, 3), jnp.float32)))
    return flat.reshape(normals.shape).astype(np.float64)


def _lit(part: np.ndarray) -> np.ndarray:
    """Weight of the photo's lighting on each part."""
    return np.select([part == SKIN, part == RIM, part == EYE], [1.0, 0.6, 0.3], 0.0)


def _sureness(
    floor: ground.Ground,
    posed: np.ndarray,
    faces: np.ndarray,
    camera: Camera,
    seen: zbuffer.Seen,
    about: pixels.Facts,
    mine: np.ndarray,
) -> np.ndarray:
    """How well each Gaussian of the ground is visible in the photo, 0 to 1."""
    places = (posed[faces[floor.placed.triangles]] * floor.bary[..., None]).sum(1)
    points = zbuffer.into_camera(places, camera)
    plane = zbuffer.onto_picture(points, camera)
    column, row = np.floor(plane).astype(int).T
    inside = (column >= 0) & (row >= 0) & (column < camera.width) & (row < camera.height)
    column, row = np.clip(column, 0, camera.width - 1), np.clip(row, 0, camera.height - 1)
    near = inside & (points[:, 2] < seen.depth[row, column] + 0.02)
    solid = ndimage.minimum_filter(np.where(mine & ~about.edge, about.cosine, 0), 3)
    return near * smoothstep(0.15, 0.5, solid[row, column])


def _kept(floor: ground.Ground, posed: np.ndarray, faces: np.ndarray, camera: Camera, matte: np.ndarray) -> np.ndarray:
    """0 for Gaussians of the ground that the photo's matte excludes from the person, else 1."""
    places = (posed[faces[floor.placed.triangles]] * floor.bary[..., None]).sum(1)
    plane = zbuffer.onto_picture(zbuffer.into_camera(places, camera), camera)
    outside = (plane < 0).any(1) | (plane > [camera.width, camera.height]).any(1)
    wide = ndimage.maximum_filter(matte, 3)
    return smoothstep(0.15, 0.5, np.where(outside, 1.0, pixels.sampled(wide, plane)))


def _ground_colours(
    base: FlameModel,
    head: FlameModel,
    parts: Parts,
    floor: ground.Ground,
    posed: np.ndarray,
    camera: Camera,
    albedo: np.ndarray,
    sure: np.ndarray,
) -> np.ndarray:
    faces = np.asarray(head.faces)
    places = (posed[faces[floor.placed.triangles]] * floor.bary[..., None]).sum(1)
    plane = zbuffer.onto_picture(zbuffer.into_camera(places, camera), camera)
    own = pixels.sampled(albedo, plane)
    return ground.fill(floor, head, np.asarray(base.v_template, np.float64), own, sure, parts.scalp)


def _paint_eyes(
    head: FlameModel,
    parts: Parts,
    floor: ground.Ground,
    seen: zbuffer.Seen,
    of: np.ndarray,
    usable: np.ndarray,
    linear: np.ndarray,
    colour: np.ndarray,
) -> np.ndarray:
    """Eyeballs painted by rings; unchanged if too little of them is visible in the photo."""
    rest, faces = np.asarray(head.v_template, np.float64), np.asarray(head.faces)
    centres = np.asarray(flame.eye_centres(head, jnp.zeros(0)), np.float64)

    def angle(triangles: np.ndarray, bary: np.ndarray) -> np.ndarray:
        places = (rest[faces[triangles]] * bary[..., None]).sum(1)
        return eyes.angles(eyes.axes_at_rest(places, parts.eye[triangles], centres))

    ball = usable & (of == EYE)
    clear = ndimage.binary_erosion(of == EYE, iterations=2)
    ring = eyes.rings(angle(seen.triangles[ball], seen.bary[ball]), linear[ball], clear[ball])
    if ring is None:
        return colour
    colour = colour.copy()
    mine = floor.part == EYE
    colour[mine] = eyes.painted(ring, angle(floor.placed.triangles[mine], floor.bary[mine]))
    return colour


def _pivot(head: FlameModel) -> np.ndarray:
    """The lower end of the neck."""
    return np.asarray(flame.joints(head, jnp.zeros(0), jnp.zeros(100), jnp.zeros(6), jnp.zeros(6)))[1]


def _corrected(avatar: PortraitAvatar, sighting: Sighting, chosen: np.ndarray, rounds: int) -> PortraitAvatar:
    """Correct colours until the avatar rendered in the photo's pose matches the photo, since neighbours blend."""
    count = int(chosen.sum())
    photo = np.asarray(sighting.photo, np.float64)
    goal = photo[chosen]
    # Limit colours to little beyond their neighbourhood: at hard edges they would diverge.
    least = ndimage.minimum_filter(photo, (3, 3, 1))[chosen] - _BEYOND
    most = ndimage.maximum_filter(photo, (3, 3, 1))[chosen] + _BEYOND
    shown = goal
    bright = np.asarray(avatar.albedo, np.float64)[:count] / np.maximum(goal, 1e-3)
    for _ in range(rounds):
        picture, _ = drawn(avatar, sighting.parameters, jnp.zeros(3))
        shown = np.clip(shown + goal - np.asarray(picture, np.float64)[chosen], np.maximum(least, 0), most)
        albedo = np.asarray(avatar.albedo).copy()
        albedo[:count] = shown * bright
        avatar = dataclasses.replace(avatar, albedo=_f32(albedo))
    return avatar


def _f32(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, np.float32)


def _i32(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, np.int32)
