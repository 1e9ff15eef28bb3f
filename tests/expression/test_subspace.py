"""PCA against scikit-learn, and the exactness of merging."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA as Peer

from gagjax import InputError
from gagjax.expression import PCA, merge, metric_factor, moments


def data(seed: int, rows: int = 120, columns: int = 20) -> np.ndarray:
    rng = np.random.default_rng(seed)
    spread = rng.normal(size=(columns, columns)) * 2.0 ** -np.arange(columns)
    return (rng.normal(size=(rows, columns)) @ spread + 3 * rng.normal(size=columns)).astype(np.float32)


@pytest.mark.parametrize("rows, columns, rank", [(120, 20, 6), (12, 20, 5), (200, 100, 30)])
def test_equals_scikit_learn_up_to_sign(rows, columns, rank):
    x = data(0, rows, columns)
    ours, peer = PCA.fit(x, rank), Peer(rank, svd_solver="full").fit(x.astype(np.float64))
    np.testing.assert_allclose(ours.mean, peer.mean_, atol=2e-6)
    np.testing.assert_allclose(ours.variance, peer.explained_variance_, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(ours.explained, peer.explained_variance_ratio_, rtol=1e-3, atol=1e-6)
    clear = np.flatnonzero(peer.explained_variance_ > 1e-4 * peer.explained_variance_[0])
    sign = np.sign((np.asarray(ours.components) * peer.components_).sum(1))
    np.testing.assert_allclose(np.asarray(ours.components)[clear], (sign[:, None] * peer.components_)[clear], atol=2e-3)
    back = peer.inverse_transform(peer.transform(x.astype(np.float64)))
    np.testing.assert_allclose(ours.inverse(ours.transform(x)), back, atol=2e-3)


@given(seed=st.integers(0, 2**31), cuts=st.lists(st.integers(1, 119), min_size=1, max_size=2, unique=True))
def test_batches_give_what_all_rows_give(seed, cuts):
    x = data(seed)
    whole, parts = PCA.fit(x), PCA.fit_batches(np.split(x, sorted(cuts)))
    np.testing.assert_allclose(parts.mean, whole.mean, atol=1e-5)
    np.testing.assert_allclose(parts.variance, whole.variance, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(parts.components[0] @ whole.components[0], 1.0, atol=1e-4)


def test_merging_is_associative():
    a, b, c = (moments(part) for part in np.split(data(3), 3))
    left, right = merge(merge(a, b), c), merge(a, merge(b, c))
    np.testing.assert_allclose(left.factor.T @ left.factor, right.factor.T @ right.factor, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(left.mean, right.mean, atol=1e-5)


def test_full_rank_loses_nothing_and_shrinking_removes_noise():
    x = data(4)
    np.testing.assert_allclose(PCA.fit(x).inverse(PCA.fit(x).transform(x)), x, atol=1e-4)
    rng = np.random.default_rng(0)
    clean = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 20))
    noisy = (clean + 0.3 * rng.normal(size=clean.shape)).astype(np.float32)
    shrunk = PCA.fit(noisy).shrink(noisy, 0.3)
    assert np.mean((shrunk - clean) ** 2) < 0.35 * np.mean((noisy - clean) ** 2)


def test_a_metric_weighs_columns_by_what_they_move():
    gram = np.diag([100.0, 1.0])
    x = np.random.default_rng(0).normal(size=(400, 2)) * [1.0, 3.0]
    plain = PCA.fit(x, 1)
    weighed = PCA.fit(x @ metric_factor(gram), 1)
    assert abs(plain.components[0, 1]) > 0.99 and abs(weighed.components[0, 0]) > 0.99


def test_gradients_are_finite_and_errors_named():
    x = data(5, 30, 6)
    assert np.isfinite(jax.grad(lambda x: PCA.fit(x, 2).variance.sum())(x)).all()
    with pytest.raises(InputError, match="rows: has shape"):
        PCA.fit(x[:1])
    with pytest.raises(InputError, match="rank: must lie in 1 to 6, got 7"):
        PCA.fit(x, 7)
    with pytest.raises(InputError, match="batches: has fewer than two rows"):
        PCA.fit_batches([])
