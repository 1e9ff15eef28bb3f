"""`builtin`: a Gaussian avatar on the built-in head, made from formulas and a seed."""

from __future__ import annotations

import functools

import numpy as np

from gagjax import flame
from gagjax.avatars.avatar import MeshAvatar, Surface
from gagjax.avatars.binding import Binding
from gagjax.avatars.builtin import hair, texture
from gagjax.avatars.builtin.sampling import join, tiles
from gagjax.avatars.builtin.shading import MATERIALS
from gagjax.flame.builtin_head import neutral_mesh
from gagjax.flame.builtin_head.identity import hairline, palette
from gagjax.flame.builtin_head.mesh import PARTS, Mesh
from gagjax.flame.builtin_head.sculpt import EYE, MOUTH_HALF_WIDTH, MOUTH_Y, lower_lip_edge, smoothstep, upper_lip_edge

STRANDS = 14000


@functools.lru_cache(maxsize=4)
def builtin(seed: int = 0) -> MeshAvatar:
    """The built-in avatar: about 50,000 Gaussians on the head of `flame.builtin`.

    Args:
        seed: Identity: face, skin, eyes and hair. 0 is the mean head.

    Returns:
        An avatar with skin, lips, brows, lashes, irises, teeth, tongue and hair, lit by lamps beside the camera.

    Example:
        >>> from gagjax import avatars
        >>> avatar = avatars.builtin()
        >>> gaussians = avatar.gaussians(avatar.model.v_template)
        >>> gaussians.features.shape[-1]
        3
    """
    mesh, colours = neutral_mesh(), palette(seed)
    v, f = mesh.vertices, mesh.faces
    part = mesh.part[f].max(1)  # a triangle that spans skin and rim belongs to the rim
    skin = tiles(v, f, _spacing(mesh, part))
    weights = np.concatenate([1 - skin.offsets[:, :2].sum(1, keepdims=True), skin.offsets[:, :2]], 1)
    places = (v[f[skin.triangles]] * weights[..., None]).sum(1)
    of = part[skin.triangles]
    upper = (mesh.side[f] > 0).any(1)[skin.triangles]
    painted = texture.albedo(places, of, upper, colours, seed)
    shade = texture.occlusion(places, of)
    # Between strands the scalp looks like shaded hair, not skin.
    covered = hairline(places) * (of == PARTS.index("skin"))
    painted += covered[:, None] * (0.75 * colours.hair - painted)

    strands, strand_colour, strand_shade = hair.scalp(mesh, seed, colours, STRANDS)
    brow, brow_colour = hair.brows(mesh, seed, colours)
    lash, lash_colour = hair.lashes(mesh, seed, colours)
    placed = join(skin, strands, brow, lash)
    counts = [len(p.triangles) for p in (skin, strands, brow, lash)]
    third = np.full((sum(counts[1:]), 3), 1 / 3)
    material = np.concatenate([_material(places, of), np.full(sum(counts[1:]), MATERIALS.index("hair"))])
    return MeshAvatar(
        model=flame.builtin(seed),
        binding=Binding(
            np.asarray(placed.triangles, np.int32),
            np.asarray(placed.offsets, np.float32),
            np.asarray(placed.factors, np.float32),
            frame="affine",
        ),
        opacities=np.asarray(np.repeat([0.97, 0.72, 0.62, 0.75], counts), np.float32),
        appearance=np.concatenate([painted, strand_colour, brow_colour, lash_colour]).astype(np.float32)[:, None],
        surface=Surface(
            occlusion=np.asarray(np.concatenate([shade, strand_shade, np.ones(sum(counts[2:]))]), np.float32),
            material=np.asarray(material, np.int32),
            corners=np.asarray(np.concatenate([weights, third]), np.float32),
        ),
    )


def _spacing(mesh: Mesh, part: np.ndarray) -> np.ndarray:
    """Target edge length of a lattice cell per triangle, in millimetres; 0 for triangles that are never visible."""
    middle = mesh.vertices[mesh.faces].mean(1)
    x, y, z = middle.T
    a = np.abs(x)
    face = smoothstep(-15, 25, z) * smoothstep(-100, -92, y)
    out = 4.9 - 2.3 * face
    out = np.where(y < -105, 5.5, out)
    out = np.where(y < -165, 9.0, out)
    out = np.where(hairline(middle) > 0.9, 6.5, out)
    near_eye = np.exp(-((np.hypot(a - EYE[0], y - EYE[1]) / 22) ** 4)) * (z > 20)
    near_mouth = np.exp(-((np.hypot((a - 0) / (MOUTH_HALF_WIDTH + 4), (y - MOUTH_Y) / 15)) ** 4)) * (z > 30)
    near_nose = np.exp(-((np.hypot(a / 22, (y + 10) / 20)) ** 4)) * (z > 45)
    out = np.minimum(out, 4.9 - 3.2 * np.maximum(near_eye, np.maximum(near_mouth, 0.9 * near_nose)))
    for name, value in (
        ("lid_rim", 1.4),
        ("mouth_bag", 4.0),
        ("teeth_upper", 1.8),
        ("teeth_lower", 2.0),
        ("tongue", 3.0),
        ("ear", 2.6),
    ):
        out = np.where(part == PARTS.index(name), value, out)
    for sign, name in ((1, "eye_left"), (-1, "eye_right")):
        d = middle - EYE * [sign, 1, 1]
        radius = np.hypot(d[:, 0], d[:, 1])
        ball = np.where(d[:, 2] > 0, np.where(radius < 7, 0.95, 1.5), np.where(d[:, 2] > -6, 2.4, 0.0))
        out = np.where(part == PARTS.index(name), ball, out)
    return out


def _material(p: np.ndarray, part: np.ndarray) -> np.ndarray:
    x, y, z = p.T
    lips = (y < upper_lip_edge(x)) & (y > lower_lip_edge(x)) & (np.abs(x) < MOUTH_HALF_WIDTH) & (z > 50)
    out = np.where(lips, MATERIALS.index("lips"), MATERIALS.index("skin"))
    out[hairline(p) * (part == PARTS.index("skin")) > 0.5] = MATERIALS.index("hair")
    by_part = {
        "eye_left": "eye",
        "eye_right": "eye",
        "teeth_upper": "tooth",
        "teeth_lower": "tooth",
        "mouth_bag": "mouth",
        "tongue": "mouth",
    }
    for name, material in by_part.items():
        out[part == PARTS.index(name)] = MATERIALS.index(material)
    return out
