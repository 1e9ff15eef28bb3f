"""Avatars on disk: our own (a PLY that splat viewers open, and the binding beside it), and GaussianAvatars'."""

from __future__ import annotations

import dataclasses
import hashlib
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from scipy.spatial.transform import Rotation

from gagjax.avatars import ply
from gagjax.avatars.avatar import MeshAvatar, Surface
from gagjax.avatars.binding import Binding
from gagjax.avatars.spherical_harmonics import C0
from gagjax.errors import InputError
from gagjax.flame.model import FlameModel

if TYPE_CHECKING:
    from gagjax.splatting.gaussians import Gaussians

_BINDING = ".binding.npz"
_VERSION = 1


def save(avatar: MeshAvatar, path: str | Path, *, force: bool = False) -> None:
    """Write an avatar as `NAME.ply`, which public splat viewers open, and `NAME.binding.npz`, which moves it.

    The PLY shows the avatar at rest, in metres, as seen from the front. The head model is not written: FLAME's licence
    does not allow passing it on (`flame.save` writes the built-in one).

    Args:
        avatar: Whom to save.
        path: The `.ply`; the binding goes beside it.
        force: Replace what is there.

    Raises:
        InputError: If the path does not end in `.ply`, exists and `force` is False, or cannot be written.
    """
    from gagjax.io import atomic

    path = Path(path)
    if path.suffix != ".ply":
        raise InputError("does not end in .ply", file=path, fix="Name the output NAME.ply")
    beside = path.with_suffix(_BINDING)
    for file in (path, beside):
        atomic.check(file, force)
    rest = avatar.gaussians(avatar.model.v_template)
    arrays: dict[str, np.ndarray] = {
        "version": np.array(_VERSION),
        "frame": np.array(avatar.binding.frame),
        "head": np.array(_digest(avatar.model)),
        "triangles": np.asarray(avatar.binding.triangles),
        "offsets": np.asarray(avatar.binding.offsets),
        "factors": np.asarray(avatar.binding.factors),
        "opacities": np.asarray(avatar.opacities),
        "appearance": np.asarray(avatar.appearance),
    }
    if avatar.surface is not None:
        for field in dataclasses.fields(Surface):
            arrays[field.name] = np.asarray(getattr(avatar.surface, field.name))
    with atomic.output(beside, force) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    with atomic.output(path, force) as temporary:
        ply.write(temporary, splats(rest))


def load(path: str | Path, model: FlameModel, parameters: str | Path | None = None) -> MeshAvatar:
    """Read an avatar from a PLY.

    Args:
        path: `NAME.ply` from `save`, or GaussianAvatars' `point_cloud.ply`.
        model: Its head. For GaussianAvatars, FLAME 2023 as the user has it: `flame.load("flame2023.pkl")`.
        parameters: GaussianAvatars' `flame_param.npz`: the person's shape and static offset are built into the head.
            None takes the one beside the PLY.

    Returns:
        The avatar. GaussianAvatars' Gaussians on teeth triangles, which its training code adds to FLAME, are left out
        with a warning that counts them.

    Raises:
        InputError: If a file is damaged, is no avatar, or belongs to another head.
    """
    path = Path(path)
    beside = path.with_suffix(_BINDING)
    if beside.exists():
        return _ours(beside, model)
    columns = ply.read(path)
    if "binding_0" not in columns:
        raise InputError(
            "is not bound to a mesh: it has no property binding_0",
            file=path,
            fix=f"Keep {beside.name} beside it, or pass a PLY of GaussianAvatars",
        )
    return _gaussian_avatars(columns, model, path, parameters)


def _ours(file: Path, model: FlameModel) -> MeshAvatar:
    from gagjax.io.untrusted.checkpoints import load_npz

    arrays = load_npz(file)
    fix = "Write it again with gagjax.avatars.save"
    if "version" not in arrays or int(arrays["version"]) != _VERSION:
        raise InputError("is not a binding of this version", file=file, field="version", fix=fix)
    count = len(np.atleast_1d(arrays.get("triangles", np.zeros(0))))
    wanted = {"triangles": (count,), "offsets": (count, 3), "factors": (count, 3, 3), "opacities": (count,)}
    lit = "material" in arrays
    if lit:
        wanted |= {"occlusion": (count,), "material": (count,), "corners": (count, 3)}
    for name, shape in wanted.items():
        if name not in arrays or arrays[name].shape != shape:
            found = arrays[name].shape if name in arrays else "nothing"
            raise InputError(f"has {found}, expected {shape}", file=file, field=name, fix=fix)
    looks = arrays.get("appearance", np.zeros(0))
    if looks.ndim != 3 or looks.shape[0] != count or looks.shape[2] != 3:
        raise InputError(f"has {looks.shape}, expected ({count}, K, 3)", file=file, field="appearance", fix=fix)
    if str(arrays.get("head")) != _digest(model):
        raise InputError(
            "belongs to another head model", file=file, field="head", fix="Pass the model it was saved with"
        )
    return MeshAvatar(
        model,
        Binding(arrays["triangles"], arrays["offsets"], arrays["factors"], frame=str(arrays["frame"])),
        arrays["opacities"],
        looks,
        Surface(arrays["occlusion"], arrays["material"], arrays["corners"]) if lit else None,
    )


def _gaussian_avatars(
    columns: dict[str, np.ndarray], model: FlameModel, path: Path, parameters: str | Path | None
) -> MeshAvatar:
    def take(*names: str) -> np.ndarray:
        missing = [name for name in names if name not in columns]
        if missing:
            raise InputError("is missing", file=path, field=missing[0], fix="Pass the PLY that the training wrote")
        taken = np.stack([columns[name] for name in names], -1).astype(np.float32)
        if not np.isfinite(taken).all():
            raise InputError("is not finite", file=path, field=names[0], fix="Train the avatar again")
        return taken

    count = sum(name.startswith("f_rest_") for name in columns)
    if count not in (0, 9, 24, 45):
        raise InputError(f"has {count} of them, expected 0, 9, 24 or 45", file=path, field="f_rest", fix="")
    if not len(columns["binding_0"]):
        raise InputError("holds no Gaussians", file=path, fix="Pass the PLY that the training wrote")
    rest = [f"f_rest_{number}" for number in range(count)]
    faces = np.asarray(model.faces)
    triangles = columns["binding_0"].astype(np.int64)
    keep = (triangles >= 0) & (triangles < len(faces))
    if not keep.all():
        warnings.warn(
            f"{path}: left out {(~keep).sum()} of {len(keep)} Gaussians, bound to triangles beyond the {len(faces)} of the "
            "head model (the teeth that GaussianAvatars adds)",
            stacklevel=3,
        )
    # Colours: the channels lie one after the other, each with its coefficients.
    looks = take("f_dc_0", "f_dc_1", "f_dc_2")[:, None]
    if rest:
        higher = take(*rest).reshape(len(looks), 3, -1).transpose(0, 2, 1)
        looks = np.concatenate([looks, higher], 1)
    w, x, y, z = take("rot_0", "rot_1", "rot_2", "rot_3").T.astype(np.float64)
    length = np.sqrt(w * w + x * x + y * y + z * z)
    turns = Rotation.from_quat(np.stack([x, y, z, np.where(length > 0, w, 1)], -1)).as_matrix()
    factors = turns * np.exp(take("scale_0", "scale_1", "scale_2"))[:, None, :]
    opacities = 1 / (1 + np.exp(-take("opacity")[:, 0]))
    found = path.with_name("flame_param.npz") if parameters is None else Path(parameters)
    return MeshAvatar(
        _person(model, found),
        Binding(
            triangles[keep].astype(np.int32),
            take("x", "y", "z")[keep],
            factors[keep].astype(np.float32),
            frame="similarity",
        ),
        opacities[keep],
        looks[keep],
    )


def _person(model: FlameModel, file: Path) -> FlameModel:
    """The model with a person's shape and offset as its mean head."""
    from gagjax.io.untrusted.checkpoints import load_npz

    content = load_npz(file)
    if "shape" not in content:
        raise InputError("is missing", file=file, field="shape", fix="Pass GaussianAvatars' flame_param.npz")
    shape = np.asarray(content["shape"], np.float32).reshape(-1)
    if len(shape) > model.shapes:
        raise InputError(f"has {len(shape)} values, the head model {model.shapes}", file=file, field="shape", fix="")
    template = model.v_template + jnp.einsum(
        "vck,k->vc", model.shapedirs[..., : len(shape)], shape, precision="highest"
    )
    if "static_offset" in content:
        offset = np.asarray(content["static_offset"], np.float32).reshape(-1, 3)
        if len(offset) < len(template):
            raise InputError(
                f"has {len(offset)} vertices, the head model {len(template)}", file=file, field="static_offset", fix=""
            )
        template = template + offset[: len(template)]
    return dataclasses.replace(model, v_template=template)


def splats(gaussians: Gaussians) -> dict[str, np.ndarray]:
    """Columns of 3D Gaussian splatting for Gaussians at rest, metres."""
    from gagjax.avatars.avatar import UNITS

    means, covariances, opacities, colours = (
        np.asarray(x, np.float64)
        for x in (gaussians.means, gaussians.covariances, gaussians.opacities, gaussians.features)
    )
    variances, turns = np.linalg.eigh(covariances)
    turns[:, :, 0] *= np.sign(np.linalg.det(turns))[:, None]
    scales = np.sqrt(np.maximum(variances, 1e-16)) / UNITS
    x, y, z, w = Rotation.from_matrix(turns).as_quat().T
    alpha = np.clip(opacities, 1e-6, 1 - 1e-6)
    parts = {
        **dict(zip("xyz", means.T / UNITS, strict=True)),
        **dict.fromkeys(("nx", "ny", "nz"), np.zeros(len(means))),
        **{f"f_dc_{k}": (colours[:, k] - 0.5) / C0 for k in range(3)},
        "opacity": np.log(alpha / (1 - alpha)),
        **{f"scale_{k}": np.log(scales[:, k]) for k in range(3)},
        **dict(zip(("rot_0", "rot_1", "rot_2", "rot_3"), (w, x, y, z), strict=True)),
    }
    return {name: column.astype(np.float32) for name, column in parts.items()}


def _digest(model: FlameModel) -> str:
    """A short name for a head: its mean shape to a micrometre, and its triangles."""
    template = np.round(np.asarray(model.v_template, np.float64) * 1e6).astype("<i4")
    return hashlib.sha256(template.tobytes() + np.asarray(model.faces).astype("<i4").tobytes()).hexdigest()[:16]
