"""Workflow of `gagjax tune --pca`: a PCA of expressions, fitted to tracks and put into a preset."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

import gagjax
from gagjax.app import preset_pca
from gagjax.app.workflows.enhance import in_a_row
from gagjax.errors import InputError
from gagjax.expression import PCA, neutral
from gagjax.io.tracks import load_track
from gagjax.text.table import text_table

SHARE = 0.99  # of the variance that the components keep, unless told otherwise


class Fitted(NamedTuple):
    """A preset with its PCA, and what is told about it."""

    preset: str
    text: str


def fit(
    paths: Sequence[Path], *, base: str = "default", rank: int | None = None, seed: int = 0, fps: str | None = None
) -> Fitted:
    """Fit a PCA of the tracks' expressions.

    For `default` and `live`, of the deviations from each clip's neutral face, about zero; for `reference`, of the
    coefficients themselves, about their mean, as the original's `initialize_pca`.

    Args:
        paths: Tracks.
        base: The preset that it is for.
        rank: Components; None keeps 99 % of the variance.
        seed: Of the choice of the held-out clips.
        fps: Frame rate where the files have none.

    Raises:
        InputError: If the tracks hold no expression, or fewer frames than components.
    """
    clips = [_rows(path, base == "reference", fps) for path in paths]
    held = np.sort(np.random.default_rng(seed).permutation(len(clips))[: len(clips) // 4])
    seen = [rows for k, rows in enumerate(clips) if k not in held]
    pca = _pca(seen, centred=base == "reference", rank=rank)
    table = [("clips", "frames", "variance kept", "rms error, coefficients")]
    for name, part in (("fitted", seen), ("held out", [clips[k] for k in held])):
        if part:
            rows = np.concatenate(part)
            table.append((name, str(len(rows)), f"{100 * _kept(pca, rows):.1f} %", f"{_error(pca, rows):.4f}"))
    count = len(np.asarray(pca.components))
    lines = text_table(table).splitlines()
    return Fitted(_preset(pca, base, paths, lines), "\n".join([f"{count} components for preset {base}", "", *lines]))


def _rows(path: Path, whole: bool, fps: str | None) -> Float[np.ndarray, "N 100"]:
    track = in_a_row(load_track(path, fps=fps).validate(str(path)))
    valid = np.asarray(track.valid)
    rows = np.asarray(track.expression, np.float64)[valid]
    if not np.any(rows):
        raise InputError("holds no FLAME expression", file=path, fix="Pass FLAME tracks")
    return rows if whole else rows - np.asarray(neutral(track.expression, valid), np.float64)


def _pca(clips: Sequence[np.ndarray], *, centred: bool, rank: int | None) -> PCA:
    rows = np.concatenate(clips)
    if len(rows) < 2:
        raise InputError("hold fewer than two frames", field="tracks", fix="Pass longer tracks")
    if not centred:
        rows = np.concatenate([rows, -rows])  # about zero: the neutral face stays the neutral face
    most = min(preset_pca.MOST, *rows.shape)
    if rank is not None and rank > most:
        raise InputError(f"is {rank}", field="--rank", fix=f"Use 1 to {most}")
    pca = PCA.fit(rows.astype(np.float32))
    kept = np.cumsum(np.asarray(pca.explained))
    enough = int(np.searchsorted(kept, SHARE)) + 1
    pca = PCA.fit(rows.astype(np.float32), min(enough, most) if rank is None else rank)
    return pca if centred else PCA(np.zeros(rows.shape[1], np.float32), pca.components, pca.variance, pca.total)


def _error(pca: PCA, rows: np.ndarray) -> float:
    return float(np.sqrt(np.mean((np.asarray(pca.inverse(pca.transform(rows.astype(np.float32)))) - rows) ** 2)))


def _kept(pca: PCA, rows: np.ndarray) -> float:
    """The share of the rows' variance about the PCA's mean that the components hold."""
    about = np.mean((rows - np.asarray(pca.mean)) ** 2)
    return 1 - _error(pca, rows) ** 2 / max(float(about), 1e-12)


def _preset(pca: PCA, base: str, paths: Sequence[Path], table: list[str]) -> str:
    import yaml

    content = {
        "preset": base,
        "pca": preset_pca.content(pca),
        "fitted": {
            "on": [path.name for path in paths],
            "result": table,
            "date": datetime.date.today().isoformat(),
            "gagjax": gagjax.__version__,
        },
    }
    head = "# A preset of gagjax: pass it to --preset. Made by `gagjax tune --pca`; `fitted` is for readers.\n"
    return head + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)
