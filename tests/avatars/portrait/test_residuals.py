"""Landmarks of a driver that its coefficients do not express, followed by the mesh."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from gagjax import flame
from gagjax.avatars.parameters import Parameters
from gagjax.avatars.personal.canonical import person
from gagjax.avatars.portrait import zbuffer
from gagjax.avatars.portrait.bend import posed_vertices
from gagjax.avatars.portrait.driving import residuals
from gagjax.camera import from_track

SIZE = 128


@pytest.fixture(scope="module")
def head():
    return person(flame.builtin())


@pytest.fixture(scope="module")
def warp(head):
    return residuals.warp_of(head, np.asarray(head.landmark_faces)[17:], np.asarray(head.landmark_bary)[17:])


def front() -> Parameters:
    transform = np.float32(np.c_[np.diag([-1.0, 1.0, -1.0]), [0, 0, 9.5]])
    return Parameters.neutral(from_track(jnp.asarray(transform), SIZE))


def marks(vertices, head, warp, parameters) -> np.ndarray:
    places = (vertices[np.asarray(head.faces)[warp.faces]] * warp.bary[..., None]).sum(1)
    return zbuffer.onto_picture(zbuffer.into_camera(places, parameters.camera), parameters.camera)


def test_an_open_mouth_that_the_coefficients_lack_is_followed(head, warp):
    still = front()
    speaking = dataclasses.replace(still, pose=jnp.asarray([0, 0, 0, 0.12, 0, 0], jnp.float32))
    before, wanted = (marks(posed_vertices(head, each), head, warp, still) for each in (still, speaking))
    then, now = (residuals.misses(head, warp, still, each) for each in (before, wanted))
    moved = posed_vertices(head, still) + warp.moved(residuals.change(now, then))
    off, rest = (
        np.linalg.norm(marks(v, head, warp, still) - wanted, axis=1) for v in (moved, posed_vertices(head, still))
    )
    seen = now[1] > 0.9
    assert rest[seen].max() > 0.5  # pixels
    assert off[seen].mean() < 0.5 * rest[seen].mean()


def test_a_constant_miss_is_identity_and_moves_nothing(head, warp):
    own = marks(posed_vertices(head, front()), head, warp, front()) + [1.5, -1.0]
    miss = residuals.misses(head, warp, front(), own)
    assert not residuals.change(miss, miss).any()


def test_lost_landmarks_move_nothing(head, warp):
    own = marks(posed_vertices(head, front()), head, warp, front())
    lost = np.full_like(own, np.nan)
    shifts = residuals.change(residuals.misses(head, warp, front(), lost), residuals.misses(head, warp, front(), own))
    assert not shifts.any()
