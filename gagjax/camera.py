"""Pinhole cameras with column-vector world-to-camera matrices and OpenCV axes, and conversion from track cameras.

GAGAvatar's two world constants, focal length and unit of length, are defined here only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from gagjax.errors import InputError
from gagjax.process import deferred
from gagjax.pytree import is_concrete, pytree, static
from gagjax.typing import AnyArray, Array

if TYPE_CHECKING:
    import jax.numpy as jnp
else:
    jnp = deferred.module("jax.numpy")

FOCAL = 12.0  # GAGAvatar's focal length, in half image widths
UNITS_PER_METRE = 5.0  # GAGAvatar's world is FLAME's, in metres, times five
SIZE = 512
DISTANCE = 9.3  # of a camera to the head where a file holds none, in GAGAvatar units: the middle of GAGAvatar's range


@pytree
class Intrinsics:
    """Focal lengths and principal point in pixels, for a known image size.

    Args:
        K: `[[fx, 0, cx], [0, fy, cy], [0, 0, 1]]` in pixels, (3, 3) for a whole track or (T, 3, 3); pixel centres are
            at half-integers.
        width: Image width in pixels.
        height: Image height in pixels.

    Raises:
        InputError: If a shape does not fit, a focal length is not positive or the image has no pixels.

    Example:
        >>> Intrinsics.of_focal(12.0, 512).K[0, 0].item()
        3072.0
    """

    K: Float[AnyArray, "3 3"] | Float[AnyArray, "T 3 3"]
    width: int = static(default=SIZE)
    height: int = static(default=SIZE)

    def __post_init__(self) -> None:
        matrix = self.K if isinstance(self.K, Array | np.ndarray) else np.asarray(self.K, np.float32)
        if matrix.ndim not in (2, 3) or matrix.shape[-2:] != (3, 3):
            raise InputError(f"has shape {tuple(matrix.shape)}, expected (3, 3) or (T, 3, 3)", field="K")
        if is_concrete(matrix):
            matrix = np.asarray(matrix, np.float32)
            if not (np.isfinite(matrix).all() and (matrix[..., [0, 1], [0, 1]] > 0).all()):
                raise InputError("has a focal length that is not positive", field="K", fix="Give pixels")
        if self.width < 1 or self.height < 1:
            raise InputError(f"is {self.width} x {self.height}", field="image size", fix="Give pixels")
        object.__setattr__(self, "K", matrix)

    @classmethod
    def of_focal(cls, focal: float = FOCAL, size: int = SIZE) -> Intrinsics:
        """A square image of `size` pixels with a central principal point; `focal` is in half image widths."""
        half = size / 2
        return cls(np.asarray([[focal * half, 0, half], [0, focal * half, half], [0, 0, 1]], np.float32), size, size)

    @property
    def fractions(self) -> Float[Array, "*frames 4"]:
        """Intrinsics as fractions of the image size: fx / width, fy / height, cx / width, cy / height."""
        size = jnp.asarray([self.width, self.height], jnp.float32)
        k = jnp.asarray(self.K)
        return jnp.concatenate([jnp.stack([k[..., 0, 0], k[..., 1, 1]], -1) / size, k[..., :2, 2] / size], -1)

    def squared(self, size: int) -> Intrinsics:
        """The same camera for a square image of `size` pixels that holds the whole image, centred and padded."""
        longest = max(self.width, self.height)
        shift = np.asarray(
            [[0, 0, (longest - self.width) / 2], [0, 0, (longest - self.height) / 2], [0, 0, 0]], np.float32
        )
        scale = np.asarray([size / longest, size / longest, 1.0], np.float32)[:, None]
        return Intrinsics((self.K + shift) * scale, size, size)


@pytree
class Camera:
    """A pinhole camera, or a batch of them along leading axes.

    Args:
        viewmat: World to camera for column vectors, (4, 4); x right, y down, z forward.
        K: Intrinsics in pixels, (3, 3), without skew; pixel centres are at half-integers.
        width: Image width in pixels.
        height: Image height in pixels.
    """

    viewmat: Float[AnyArray, "*#batch 4 4"]
    K: Float[AnyArray, "*#batch 3 3"]
    width: int = static(default=SIZE)
    height: int = static(default=SIZE)


def from_track(
    transform: Float[AnyArray, "*#batch 3 4"],
    size: int = SIZE,
    focal: float = FOCAL,
    intrinsics: Intrinsics | None = None,
) -> Camera:
    """The camera of a track.

    A track holds `[R | t]` for row vectors, `X_camera = X_world @ R + t`, with x left, y up, z forward (PyTorch3D). In
    column form with OpenCV axes that is `diag(-1, -1, 1) [R^T | t]`.

    Args:
        transform: `[R | t]`, (..., 3, 4).
        size: Width and height of the square image in pixels; ignored if `intrinsics` are given.
        focal: Focal length in half image widths; ignored if `intrinsics` are given.
        intrinsics: Focal lengths, principal point and image size, if known.

    Example:
        >>> import numpy as np
        >>> camera = from_track(np.eye(3, 4, dtype=np.float32))
        >>> float(camera.K[0, 0])
        3072.0
    """
    transform = jnp.asarray(transform)
    flip = jnp.asarray([-1.0, -1.0, 1.0], transform.dtype)[:, None]
    upper = flip * jnp.concatenate([jnp.swapaxes(transform[..., :3], -1, -2), transform[..., 3:]], -1)
    last = jnp.broadcast_to(jnp.asarray([0.0, 0.0, 0.0, 1.0], upper.dtype), (*upper.shape[:-2], 1, 4))
    lens = Intrinsics.of_focal(focal, size) if intrinsics is None else intrinsics
    return Camera(
        jnp.concatenate([upper, last], -2),
        jnp.broadcast_to(jnp.asarray(lens.K, upper.dtype), (*upper.shape[:-2], 3, 3)),
        lens.width,
        lens.height,
    )


def like_gagavatar(transform: Float[np.ndarray, "T 3 4"], intrinsics: Intrinsics | None) -> Float[np.ndarray, "T 3 4"]:
    """Cameras with GAGAvatar's intrinsics that show the head at the same position and size as the given ones.

    Moving the head away while lengthening the lens preserves its image up to perspective: depths are multiplied by the
    ratio of the focal lengths, and an off-centre principal point becomes a shift.

    Args:
        transform: `[R | t]` of the given cameras, (T, 3, 4).
        intrinsics: Their intrinsics; None means GAGAvatar's own.

    Returns:
        `[R | t]`, (T, 3, 4).
    """
    if intrinsics is None:
        return transform
    square = intrinsics.squared(2)  # one pixel is half the image width
    moved = np.array(transform, np.float64)
    k = np.asarray(square.K, np.float64)
    focal = 0.5 * (k[..., 0, 0] + k[..., 1, 1])
    depth = moved[:, 2, 3].copy()
    moved[:, 0, 3] -= (k[..., 0, 2] - 1) * depth / focal
    moved[:, 1, 3] -= (k[..., 1, 2] - 1) * depth / focal
    moved[:, 2, 3] = depth * FOCAL / focal
    return moved.astype(np.float32)


def in_crop(
    transform: Float[np.ndarray, "T 3 4"], intrinsics: Intrinsics, crop: Float[np.ndarray, "T 3"]
) -> Float[np.ndarray, "T 3 4"]:
    """Cameras with GAGAvatar's lens that see the head as it is in square crops of the pictures.

    The camera is turned so that it looks at the crop's middle, and moved away as much as its focal length is longer:
    the head keeps its size, its place and the side that it shows.

    Args:
        transform: `[R | t]` of the given cameras, (T, 3, 4).
        intrinsics: Their lens.
        crop: Corner x, y and side of each frame's crop, pixels, (T, 3); where it is not finite, the camera stays.

    Returns:
        `[R | t]`, (T, 3, 4), float64.
    """
    moved = np.array(transform, np.float64)
    k = np.broadcast_to(np.asarray(intrinsics.K, np.float64), (len(moved), 3, 3))
    focal = k[:, [0, 1], [0, 1]]
    known = np.isfinite(crop).all(1)
    side = np.where(known, crop[:, 2], 1.0)
    middle = np.where(known[:, None], crop[:, :2] + crop[:, 2:] / 2, k[:, :2, 2])
    ray = np.concatenate([-(middle - k[:, :2, 2]) / focal, np.ones((len(moved), 1))], 1)
    length = np.linalg.norm(ray, axis=1)
    forward = ray / length[:, None]
    left = np.cross([0.0, 1.0, 0.0], forward)
    left /= np.linalg.norm(left, axis=1, keepdims=True)
    turn = np.stack([left, np.cross(forward, left), forward], 2)  # old axes -> new axes, for row vectors
    seen = np.concatenate([moved[:, :, :3] @ turn, (moved[:, None, :, 3] @ turn).swapaxes(1, 2)], 2)
    # The head spans focal / depth: what both cameras must agree on, seen along the ray to the crop's middle.
    seen[:, 2, 3] *= FOCAL / 2 * side / (focal.mean(1) * length)
    return np.where(known[:, None, None], seen, moved)


def project(points: Float[AnyArray, "*#batch N 3"], camera: Camera) -> Float[Array, "*#batch N 2"]:
    """Pixel positions of world points; meaningless for points that are not in front of the camera.

    Args:
        points: World points, (..., N, 3).
        camera: A camera, or a batch with the same leading axes.

    Returns:
        x, y in pixels, the centre of the first pixel at (0.5, 0.5).
    """
    seen = jnp.einsum("...ij,...nj->...ni", camera.viewmat[..., :3, :3], points) + camera.viewmat[..., None, :3, 3]
    depth = jnp.where(jnp.abs(seen[..., 2:]) > 1e-9, seen[..., 2:], 1e-9)
    focal = jnp.stack([camera.K[..., 0, 0], camera.K[..., 1, 1]], -1)[..., None, :]
    return seen[..., :2] / depth * focal + camera.K[..., None, :2, 2]
