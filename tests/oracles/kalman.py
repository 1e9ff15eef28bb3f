"""Kalman filter and Rauch-Tung-Striebel smoother in float64 NumPy, with matrices, straight from the textbook."""

from __future__ import annotations

import math

import numpy as np


def model(order, q, dt):
    """Transition and disturbance of `order` integrators driven by white noise, Q by numerical integration."""
    f = np.array(
        [[dt ** (j - i) / math.factorial(j - i) if j >= i else 0.0 for j in range(order)] for i in range(order)]
    )
    nodes, weights = np.polynomial.legendre.leggauss(8)
    s, w = dt * (nodes + 1) / 2, dt * weights / 2
    g = np.array([[t ** (order - 1 - i) / math.factorial(order - 1 - i) for i in range(order)] for t in s])
    return f, q * np.einsum("ki,kj,k->ij", g, g, w)


def smooth(xs, valid, order, q, r, dts, before, gate=None, patience=3, huber=None, dof=None):
    """Filtered and smoothed values of one channel.

    Args:
        xs: (T,) observations.
        valid: (T,) which count.
        order: Length of the state.
        q, r: Process and measurement noise.
        dts: (T,) durations.
        before: (order,) variances before the first frame.
        gate, patience, huber, dof: Robustness, as in the filters.
    """
    n, first = len(xs), int(np.argmax(valid))
    h = np.eye(order)[0]

    def fresh_mean(x):
        return np.r_[x, np.zeros(order - 1)]

    m, p, refused = fresh_mean(xs[first]), np.diag(np.asarray(before, float)), 0
    means, covs, aheads, priors, transitions, restarts = [], [], [], [], [], []
    for t in range(n):
        f, noise = model(order, q, dts[t])
        m, p = f @ m, f @ p @ f.T + noise
        restart = False
        weight = 1.0 if valid[t] else 0.0
        if valid[t]:
            distance = abs(xs[t] - m[0]) / np.sqrt(p[0, 0] + r)
            if huber is not None:
                weight *= min(1.0, huber / distance) if distance > 0 else 1.0
            if dof is not None:
                weight *= (dof + 1) / (dof + distance**2)
            if gate is not None:
                refused = refused + 1 if distance > gate else 0
                weight = 0.0 if refused else weight
                if refused >= patience:
                    restart, refused, weight = True, 0, 1.0
                    m, p = fresh_mean(xs[t]), np.diag(np.asarray(before, float))
        aheads.append(m)
        priors.append(p)
        transitions.append(f)
        restarts.append(restart)
        if weight > 0:
            k = p @ h / (p[0, 0] + r / weight)
            m = m + k * (xs[t] - m[0])
            p = p - np.outer(k, h @ p)
        means.append(m)
        covs.append(p)
    smoothed = [means[-1]]
    for t in range(n - 2, -1, -1):
        if restarts[t + 1]:
            smoothed.append(means[t])
            continue
        gain = covs[t] @ transitions[t + 1].T @ np.linalg.inv(priors[t + 1])
        smoothed.append(means[t] + gain @ (smoothed[-1] - aheads[t + 1]))
    return np.array([m[0] for m in means]), np.array([m[0] for m in smoothed[::-1]])
