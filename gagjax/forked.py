"""Refuse to run JAX in a process forked after JAX started, where it would deadlock on threads that do not exist."""

from __future__ import annotations

import os

import jax

from gagjax.errors import InputError

_running = False  # whether this process has traced or run anything with JAX
_orphaned = False  # whether it was forked from one that had


def _traced(event: str, duration_secs: float, **kwargs: str | int) -> None:
    global _running
    _running = True


def _after_fork() -> None:
    global _orphaned
    _orphaned = _running


# JAX reports every program that it traces, whoever the caller.
jax.monitoring.register_event_duration_secs_listener(_traced)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def check() -> None:
    """Note that JAX is about to run here.

    Raises:
        InputError: If this process was forked from one in which JAX had already run.
    """
    global _running
    if _orphaned:
        raise InputError(
            "was forked from one in which JAX ran; JAX's threads do not survive that, and it would wait for ever",
            field="this process",
            fix="Start it with multiprocessing.get_context('spawn'), or fork before anything is enhanced",
        )
    _running = True
