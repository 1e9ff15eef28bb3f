"""Outputs are whole or absent, and nothing is replaced unasked."""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import os
import signal

import pytest

from gagjax.errors import InputError
from gagjax.io import atomic


def test_writes_and_keeps_the_suffix(tmp_path):
    with atomic.output(tmp_path / "deep" / "a.npz") as temporary:
        assert temporary.suffix == ".npz" and temporary.parent == tmp_path / "deep"
        temporary.write_bytes(b"x")
        assert not (tmp_path / "deep" / "a.npz").exists()
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["a.npz"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failed_block_leaves_nothing(tmp_path, error):
    with pytest.raises(error), atomic.output(tmp_path / "new" / "a") as temporary:
        temporary.write_bytes(b"half")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_failed_block_keeps_the_old_output(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(ValueError, match="no"), atomic.output(tmp_path / "a", force=True) as temporary:
        temporary.write_bytes(b"half")
        raise ValueError("no")
    assert (tmp_path / "a").read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_refuses_existing_without_force(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(InputError, match="force=True"), atomic.output(tmp_path / "a"):
        pytest.fail("the block must not run")
    with atomic.output(tmp_path / "a", force=True) as temporary:
        temporary.write_text("new")
    assert (tmp_path / "a").read_text() == "new"


def test_refuses_what_appeared_meanwhile(tmp_path):
    with pytest.raises(InputError, match="exists"), atomic.output(tmp_path / "a") as temporary:
        temporary.write_text("mine")
        (tmp_path / "a").write_text("theirs")
    assert (tmp_path / "a").read_text() == "theirs" and len(list(tmp_path.iterdir())) == 1


def test_folders_are_merged_and_keep_what_is_not_ours(tmp_path):
    target = tmp_path / "clip"
    for text in ("one", "two"):
        with atomic.output(target, force=True, folder=True) as temporary:
            (temporary / text).write_text(text)
            (temporary / "deep").mkdir()
            (temporary / "deep" / "both").write_text(text)
    assert sorted(p.name for p in target.iterdir()) == ["deep", "one", "two"]
    assert (target / "deep" / "both").read_text() == "two"
    assert [p.name for p in tmp_path.iterdir()] == ["clip"]


def test_a_file_never_replaces_a_folder(tmp_path):
    (tmp_path / "clip").mkdir()
    with pytest.raises(InputError, match="folder"):
        atomic.check(tmp_path / "clip", force=True)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file"):
        atomic.check(tmp_path / "file", force=True, folder=True)


def test_permissions_are_those_of_a_new_file(tmp_path):
    (tmp_path / "plain").touch()
    with atomic.output(tmp_path / "a") as temporary:
        temporary.write_bytes(b"x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode
    (tmp_path / "plain folder").mkdir()
    with atomic.output(tmp_path / "b", folder=True):
        pass
    assert (tmp_path / "b").stat().st_mode == (tmp_path / "plain folder").stat().st_mode


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_an_unwritable_place_is_an_input_error(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot be written"), atomic.output(tmp_path / "a"):
        pytest.fail("the block must not run")


def test_a_place_under_a_file_is_an_input_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"), atomic.output(tmp_path / "file" / "a"):
        pytest.fail("the block must not run")


def _die(path):
    with atomic.output(path) as temporary:
        temporary.write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(atomic.fcntl is None, reason="needs file locks")
def test_what_a_killed_run_left_is_removed_by_the_next_but_a_living_one_is_kept(tmp_path):
    process = multiprocessing.get_context("spawn").Process(target=_die, args=(tmp_path / "a.bin",))
    process.start()
    process.join()
    assert not (tmp_path / "a.bin").exists() and len(list(tmp_path.iterdir())) == 1
    with atomic.output(tmp_path / "a.bin") as living:
        assert list(tmp_path.iterdir()) == [living]
        with pytest.raises(ValueError, match="stop"), atomic.output(tmp_path / "a.bin"):
            raise ValueError("stop")
        assert living.exists()
        living.write_bytes(b"whole")
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


@pytest.mark.skipif(atomic.fcntl is None, reason="needs file locks")
@pytest.mark.parametrize("folder", [False, True])
def test_a_file_taken_for_a_leftover_before_its_lock_is_made_anew(tmp_path, monkeypatch, folder):
    target, looks = tmp_path / "a", iter([True, False])

    def another_run_looks_first(path, lock=atomic._lock):
        if next(looks):
            atomic._remove_leftovers(target)
        return lock(path)

    monkeypatch.setattr(atomic, "_lock", another_run_looks_first)
    with atomic.output(target, folder=folder) as temporary:
        (temporary / "x" if folder else temporary).write_text("whole")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert (target / "x" if folder else target).read_text() == "whole"


@pytest.mark.skipif(atomic.fcntl is None, reason="needs file locks")
@pytest.mark.parametrize("folder", [False, True])
def test_writers_of_one_output_never_fail_each_other(tmp_path, folder):
    # Locks belong to open files, so threads stand for processes. Folders come and go with a writer that fails.
    target = tmp_path / "new" / "a"

    def write(number):
        for round_ in range(60):
            with contextlib.suppress(KeyError), atomic.output(target, force=True, folder=folder) as temporary:
                (temporary / "x" if folder else temporary).write_text(f"{number} {round_}")
                if round_ % 7 == 0:
                    raise KeyError

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert [p.name for p in target.parent.iterdir()] == ["a"]
