"""The original's Python calls, for loops that were written around it: objects with state, dictionaries, NCHW images.

Each class is a thin shell: it converts what it is given, calls the pure function, and converts back. Arrays may be
NumPy, JAX or torch; what comes out is of the kind that went in. The defaults are the original program's (`variant="code"`),
which the golden vectors check; `variant="document"` follows its published formulas. New code should use the pure forms:
`gagjax.enhance_track`, `gagjax.enhance_frames`, and the default preset.

    smoother = TemporalSmoother(alpha=0.5)
    for record in records:              # {"expcode": (100,), "posecode": (6,), "eyecode": (6,), "transform_matrix": (3, 4)}
        steady = smoother.smooth(record)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import jax
import jax.numpy as jnp
import numpy as np

from gagjax.detail.networks import Networks, reference_weights
from gagjax.errors import InputError
from gagjax.expression.subspace import PCA
from gagjax.gaze.masks import centres_from_landmarks, eye_mask
from gagjax.reference import Variant, check_variant, detail, expression, gaze
from gagjax.reference.arrays import host, like
from gagjax.reference.temporal import EmaKalman, RigidEma
from gagjax.typing import AnyArray, Tree

__all__ = ["DetailEnhancer", "ExpressionOptimizer", "EyeEnhancer", "GazeCorrector", "TemporalSmoother"]

#: The fields of a record that are smoothed; others go through as they are.
CODES = ("expcode", "posecode", "eyecode")
TRANSFORM = "transform_matrix"


class TemporalSmoother:
    """The original's smoother, one frame at a time; see `gagjax.reference.temporal`.

    Args:
        alpha: Weight of the new frame in the moving average, for codes and camera.
        window_size: Taken because callers pass it. It influences nothing, in the original neither.
        use_kalman: Follow the average with the Kalman filter.
        process_noise: Its process variance.
        measurement_noise: Its measurement variance.
        variant: "code" or "document".

    Raises:
        InputError: If alpha is not in (0, 1].

    Example:
        >>> smoother = TemporalSmoother()
        >>> smoother.smooth({"expcode": np.zeros(100)})["expcode"].shape
        (100,)
    """

    def __init__(
        self,
        alpha: float = 0.5,
        window_size: int = 5,
        use_kalman: bool = True,
        *,
        process_noise: float = 1e-3,
        measurement_noise: float = 1e-2,
        variant: Variant = "code",
    ) -> None:
        check_variant(variant)
        if not 0 < alpha <= 1:
            raise InputError(f"is {alpha:g}", field="alpha", fix="Use more than 0, up to 1")
        self.window_size = window_size
        self._codes = EmaKalman(alpha, process_noise, measurement_noise, variant, use_kalman)
        self._camera = RigidEma(alpha, variant)
        self.reset()

    def reset(self) -> None:
        """Forget all frames: the next one passes through."""
        self._states: dict[str, Any] = {}

    def smooth(self, params_dict: Mapping[str, Any]) -> dict[str, Any]:
        """The next frame of a clip, smoothed.

        Args:
            params_dict: A record: "expcode" (..., 100), "posecode" (..., 6), "eyecode" (..., 6), radians, and
                "transform_matrix" (..., 3, 4), as far as it has them. Other entries go through.

        Returns:
            A record with the same keys, its arrays of the kinds and shapes given.

        Raises:
            InputError: If an entry changes its shape from one frame to the next, or is not finite.
        """
        out = dict(params_dict)
        for name in CODES:
            if name in out:
                out[name] = like(self._step(name, self._codes, host(out[name], name)), out[name])
        if TRANSFORM in out:
            out[TRANSFORM] = self.smooth_transform(out[TRANSFORM])
        return out

    def smooth_transform(self, transform: AnyArray | object) -> Any:
        """The next camera of a clip: slerp of its rotation, moving average of its translation.

        Args:
            transform: `[R | t]`, (3, 4), (4, 4) or with a leading 1; a fourth row goes through.

        Returns:
            Of the same shape and kind.

        Raises:
            InputError: If it has another shape, or is not finite.
        """
        whole = host(transform, TRANSFORM)
        if whole.shape[-2:] not in ((3, 4), (4, 4)) or whole.size != whole.shape[-2] * 4:
            raise InputError(f"has shape {whole.shape}, expected (3, 4)", field=TRANSFORM)
        out = np.array(whole.reshape(whole.shape[-2:]))
        out[:3] = self._step(TRANSFORM, self._camera, out[:3])
        return like(out.reshape(whole.shape), transform)

    def _step(self, name: str, filter_: EmaKalman | RigidEma, x: np.ndarray) -> np.ndarray:
        if not np.isfinite(x).all():
            raise InputError("is not finite", field=name, fix="Leave such frames out")
        shape, state = self._states.get(name, (x.shape, None))
        if shape != x.shape:
            raise InputError(
                f"has shape {x.shape}, before it had {shape}", field=name, fix="Call reset() between clips"
            )
        state, y = _step(filter_, filter_.init(x) if state is None else state, x)
        self._states[name] = (shape, state)
        return np.asarray(y)


class DetailEnhancer:
    """The original's detail stage on NCHW images; see `gagjax.reference.detail`. Its networks are untrained.

    Args:
        num_levels: Bands of the pyramid.
        variant: "code" or "document". The code variant couples the images of a batch.
        seed: Of the networks' weights.
        weights: The caller's own networks instead, from `gagjax.detail.networks.from_arrays`.
    """

    def __init__(
        self, num_levels: int = 4, *, variant: Variant = "code", seed: int = 1, weights: Networks | None = None
    ) -> None:
        check_variant(variant)
        self.variant: Variant = variant
        self.attention = (reference_weights(seed, num_levels) if weights is None else weights).attention

    def forward(self, image: AnyArray | object, strength_multiplier: float = 1.0) -> Any:
        """Enhanced images.

        Args:
            image: (N, 3, H, W) or (3, H, W), values in [0, 1].
            strength_multiplier: Scale of the gain; 1 is the original's.

        Returns:
            Of the same shape and kind, in [0, 1].

        Raises:
            InputError: If it is no such image.
        """
        pixels = _nhwc(image)
        made = _enhanced(pixels, self.attention, np.float32(strength_multiplier), self.variant)
        return _nchw(made, image)

    __call__ = forward


class EyeEnhancer:
    """The original's eye stage on NCHW images: the untrained network's picture, blended in at the eyes.

    Args:
        sigma: Width of the mask, as a fraction of either side.
        seed: Of the network's weights.
        weights: The caller's own networks instead.
    """

    def __init__(self, sigma: float = 0.08, *, seed: int = 1, weights: Networks | None = None) -> None:
        self.sigma = sigma
        self.network = (reference_weights(seed) if weights is None else weights).eyes

    def create_eye_mask(self, height: int, width: int, landmarks: AnyArray | None = None) -> np.ndarray:
        """The mask of both eyes, (N, 1, H, W), or (1, 1, H, W) at the fixed places.

        Args:
            height: Rows.
            width: Columns.
            landmarks: (N, 68, 2), x and y in [0, 1], or None.

        Returns:
            Weights in [0, 1].
        """
        centres = None if landmarks is None else centres_from_landmarks(host(landmarks, "landmarks"))
        mask = np.asarray(eye_mask(height, width, centres, self.sigma))
        return mask.reshape(-1, 1, height, width)

    def forward(self, image: AnyArray | object, landmarks: AnyArray | None = None) -> Any:
        """Images with enhanced eyes.

        Args:
            image: (N, 3, H, W) or (3, H, W), values in [0, 1].
            landmarks: (N, 68, 2), x and y in [0, 1]; None takes the original's fixed places.

        Returns:
            Of the same shape and kind.

        Raises:
            InputError: If it is no such image.
        """
        pixels = _nhwc(image)
        centres = None if landmarks is None else centres_from_landmarks(host(landmarks, "landmarks"))
        stage = detail.ReferenceEyes(self.network, sigma=self.sigma)
        return _nchw(stage.apply((), jnp.asarray(pixels), centres)[1], image)

    __call__ = forward


class ExpressionOptimizer:
    """The original's expression weights and its optional PCA; see `gagjax.reference.expression`.

    Args:
        num_components: Components of the PCA that `initialize_pca` fits.
        variant: "code" or "document".
    """

    def __init__(self, num_components: int = 50, *, variant: Variant = "code") -> None:
        check_variant(variant)
        self.variant: Variant = variant
        self.num_components = num_components
        self.pca: PCA | None = None

    def initialize_pca(self, dataset: AnyArray | object) -> ExpressionOptimizer:
        """Fit the PCA onto which expressions are projected from now on.

        Args:
            dataset: Expression coefficients, (N, 100).

        Returns:
            The object itself.

        Raises:
            InputError: If there are fewer than two rows.
        """
        rows = host(dataset, "dataset")
        if rows.ndim != 2 or len(rows) < 2:
            raise InputError(f"has shape {rows.shape}", field="dataset", fix="Pass (N, 100), two rows or more")
        self.pca = PCA.fit(rows, min(self.num_components, *rows.shape))
        return self

    def optimize_expression(
        self, expcode: AnyArray | object, identity_features: AnyArray | object | None = None
    ) -> Any:
        """Weighted expressions.

        Args:
            expcode: Coefficients, (..., 100).
            identity_features: Whether they are given decides on further weights, as in the original; their values are
                not looked at, in the original neither.

        Returns:
            Of the same shape and kind.
        """
        pca = self.pca
        stage = expression.ReferenceExpression(
            expression.factors(self.variant, identity_features is not None),
            None if pca is None else pca.mean,
            None if pca is None else pca.components,
            self.variant,
        )
        return like(stage(host(expcode, "expcode")), expcode)

    def compute_expression_distance(
        self,
        exp1: AnyArray | object,
        exp2: AnyArray | object,
        metric: Literal["l2", "cosine", "perceptual"] = "l2",
    ) -> Any:
        """How far apart two expressions are; see `gagjax.reference.expression.distance`.

        Args:
            exp1: Coefficients, (..., 100).
            exp2: Coefficients, (..., 100).
            metric: "l2", "cosine" or "perceptual".

        Returns:
            (...), of the kind given.
        """
        return like(expression.distance(host(exp1, "exp1"), host(exp2, "exp2"), metric), exp1)

    def blend_expressions(
        self,
        exp1: AnyArray | object,
        exp2: AnyArray | object,
        alpha: float = 0.3,
        regions: Sequence[str] = ("mouth", "brow", "global"),
    ) -> Any:
        """The first expression moved towards the second in some of the original's column ranges.

        Args:
            exp1: Coefficients, (..., 100).
            exp2: Coefficients, (..., 100).
            alpha: How far.
            regions: Names of `gagjax.reference.expression.REGIONS`.

        Returns:
            Of the same shape and kind.

        Raises:
            InputError: If a region is unknown.
        """
        unknown = [name for name in regions if name not in expression.REGIONS]
        if unknown:
            raise InputError(f"names {unknown[0]!r}", field="regions", fix=f"Use {', '.join(expression.REGIONS)}")
        return like(expression.blend(host(exp1, "exp1"), host(exp2, "exp2"), alpha, tuple(regions)), exp1)


class GazeCorrector:
    """The original's gaze correction; see `gagjax.reference.gaze`, also for what is wrong with it.

    Args:
        strength: Fraction of the target's rotation that is added to the eyes.
        variant: "code" clips the result to +-0.5 radians, "document" does not.
    """

    def __init__(self, strength: float = 0.7, *, variant: Variant = "code") -> None:
        check_variant(variant)
        self.strength = strength
        self.variant: Variant = variant

    def estimate_gaze(self, landmarks: AnyArray | object) -> Any:
        """The original's gaze direction, (..., 3), of 68 landmarks, (..., 68, 3)."""
        return like(gaze.estimate(host(landmarks, "landmarks")), landmarks)

    def correct_gaze(self, eyecode: AnyArray | object, target_gaze: AnyArray | object | None = None) -> Any:
        """Corrected eye rotations.

        Args:
            eyecode: Left and right eye, axis-angle, (..., 6), radians.
            target_gaze: Direction to look along, (..., 3), any length. None changes nothing, as in the original.

        Returns:
            Of the same shape and kind.
        """
        if target_gaze is None:
            return eyecode
        target = host(target_gaze, "target_gaze")
        return like(gaze.correct(host(eyecode, "eyecode"), target, self.strength, self.variant), eyecode)

    def correct(self, params_dict: Mapping[str, Any], target_gaze: AnyArray | object | None = None) -> dict[str, Any]:
        """A record with its "eyecode" corrected, and everything else as it is; see `correct_gaze`.

        Args:
            params_dict: A record.
            target_gaze: Direction to look along, or None.

        Returns:
            A new record.
        """
        out = dict(params_dict)
        if "eyecode" in out:
            out["eyecode"] = self.correct_gaze(out["eyecode"], target_gaze)
        return out


@jax.jit
def _step(filter_: EmaKalman | RigidEma, state: Tree, x: AnyArray) -> tuple[Any, Any]:
    made: tuple[Any, Any] = filter_.step(cast(Any, state), x)
    return made


_enhanced = jax.jit(detail.enhance, static_argnames=("variant",))


def _nhwc(image: AnyArray | object) -> np.ndarray:
    pixels = host(image, "image")
    if pixels.ndim not in (3, 4) or pixels.shape[-3] != 3:
        raise InputError(f"has shape {pixels.shape}", field="image", fix="Pass (N, 3, H, W) or (3, H, W)")
    return np.moveaxis(pixels.reshape(-1, *pixels.shape[-3:]), 1, -1)


def _nchw(made: AnyArray, image: AnyArray | object) -> Any:
    pixels = np.moveaxis(np.asarray(made), -1, 1)
    given: Any = image
    return like(pixels.reshape(tuple(given.shape)), image)
