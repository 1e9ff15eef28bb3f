"""The command line itself: help, mistakes, signals, status."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from gagjax.app import cli
from gagjax.errors import InputError


def test_help_lists_every_command_and_needs_no_jax():
    code = "import sys; from gagjax.app.cli import main; r = main(['--help']); print(r, 'jax' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.rstrip().endswith("0 False")
    assert all(name in out for name in cli.COMMANDS)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_of_each_command_has_an_example_and_needs_no_jax(name):
    code = (
        f"import sys; from gagjax.app.cli import main; r = main(['{name}', '--help']); print(r, 'jax' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.rstrip().endswith("0 False")
    assert f"gagjax {name}" in out.split("examples:")[1]


def test_version(capsys):
    from gagjax import __version__

    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"gagjax {__version__}\n"


def test_no_command_shows_help_and_fails(capsys):
    assert cli.main([]) == 2
    assert "commands:" in capsys.readouterr().out


def test_unknown_command_is_corrected(capsys):
    assert cli.main(["inof"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and "gagjax info" in err and len(err.splitlines()) == 1


def test_unknown_option_is_refused(capsys):
    assert cli.main(["info", "x", "--frobnicate"]) == 2
    assert "frobnicate" in capsys.readouterr().err


def test_missing_file_is_one_line_on_stderr(tmp_path, capsys):
    assert cli.main(["info", str(tmp_path / "absent")]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("error: ") and "absent" in captured.err
    assert len(captured.err.splitlines()) == 1


class _Raises:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def run(self) -> int:
        raise self.error


@pytest.mark.parametrize(
    ("error", "status"),
    [(InputError("is bad", file="f"), 2), (KeyboardInterrupt(), 130), (SystemExit(2), 2)],
)
def test_status(monkeypatch, capsys, error, status):
    monkeypatch.setattr(cli, "parse", lambda *_: _Raises(error))
    assert cli.main(["info"]) == status
    assert "Traceback" not in capsys.readouterr().err


def test_a_defect_is_not_hidden(monkeypatch):
    monkeypatch.setattr(cli, "parse", lambda *_: _Raises(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        cli.main(["info"])


def test_termination_removes_temporary_files_and_restores_the_handler(monkeypatch, tmp_path):
    from gagjax.io import atomic

    class Killed:
        def run(self) -> int:
            with atomic.output(tmp_path / "out.bin") as temporary:
                temporary.write_bytes(b"half")
                signal.raise_signal(signal.SIGTERM)
            return 0

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(cli, "parse", lambda *_: Killed())
    assert cli.main(["info"]) == 143
    assert list(tmp_path.iterdir()) == [] and signal.getsignal(signal.SIGTERM) is before
