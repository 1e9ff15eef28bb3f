"""Compiled programs are kept in the user's cache, and nowhere else."""

from __future__ import annotations

import os

import pytest

from gagjax.app.compilation_cache import keep_compiled

JAX = "JAX_COMPILATION_CACHE_DIR"


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    for name in (JAX, "GAGJAX_CACHE", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_kept_by_processor_in_the_users_cache(tmp_path):
    folder = keep_compiled()
    assert folder is not None and folder.parent == tmp_path / "cache" / "gagjax" and folder.is_dir()
    assert os.environ[JAX] == str(folder)


def test_moved_switched_off_or_left_to_jax(tmp_path, monkeypatch):
    monkeypatch.setenv("GAGJAX_CACHE", "off")
    assert keep_compiled() is None and JAX not in os.environ
    monkeypatch.setenv("GAGJAX_CACHE", str(tmp_path / "mine"))
    folder = keep_compiled()
    assert folder is not None and folder.parent == tmp_path / "mine"
    monkeypatch.setenv(JAX, str(tmp_path / "jax"))
    assert keep_compiled() is None and os.environ[JAX] == str(tmp_path / "jax")


def test_a_home_that_cannot_be_written_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert keep_compiled() is None and JAX not in os.environ
