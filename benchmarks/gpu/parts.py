"""The parts of the suite: what each is called, how long it may take, and how it is run in a process of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.gpu.record import Record, Row, one_line, read
from benchmarks.gpu.settings import REPOSITORY, Settings, prepare_environment, prepare_frameworks


@dataclasses.dataclass(frozen=True)
class Part:
    """One part.

    Args:
        title: What it checks.
        seconds: Its budget on a card.
        gsplat: Whether it needs gsplat, which is built meanwhile.
    """

    title: str
    seconds: float
    gsplat: bool = True


#: In the order in which they run: gsplat is compiled while the first, which does without it, is running.
PARTS = {
    "enhancements": Part("Smoothing of 1,000,000 x 64, detail and eyes", 120, gsplat=False),
    "handover": Part("Hand-over between torch and JAX", 45),
    "rasterizer": Part("gsplat and the CPU rasterizer", 75),
    "gagavatar": Part("GAGAvatar with weights by rule", 130),
    "avatars": Part("Tracking networks and fit, avatars through gsplat", 100),
}
BUDGET = 465.0  # seconds for the whole command: under eight minutes with what starts and ends it
GRACE = 8.0  # seconds that a part gets to write its last row before it is ended


def run_here(name: str, settings: Settings, record: Record) -> None:
    """A part in this process, in which nothing of JAX or torch may have run before; an error becomes a row."""
    prepare_environment(settings.device)
    try:
        with contextlib.ExitStack() as stack:
            if not settings.cuda:
                from tests.oracles import gsplat_stand_in

                stack.enter_context(gsplat_stand_in.installed())
            prepare_frameworks(settings)
            importlib.import_module(f"benchmarks.gpu.{name}").run(settings, record)
    except Exception as error:
        import traceback

        traceback.print_exc()
        record.check("the part as a whole", False, "error", one_line(error))


def run_apart(name: str, settings: Settings, seconds: float, rows: Path) -> list[Row]:
    """A part in a process of its own, ended when its time is over; what it has found by then counts.

    Args:
        name: Of `PARTS`.
        settings: Of the suite.
        seconds: Its budget, the start of the process included.
        rows: File for its rows.
    """
    command = [sys.executable, "-u", "-m", "benchmarks.gpu", "--child", name, "--rows", str(rows)]
    command += ["--device", settings.device, "--seconds", f"{seconds:.0f}"]
    command += ["--tiny"] if settings.tiny else []
    command += ["--shared", str(settings.shared)] if settings.shared else []
    # A group of its own: compilers that a part has started end with it.
    process = subprocess.Popen(command, cwd=REPOSITORY, start_new_session=True)
    ended = ""
    try:
        status = process.wait(seconds + GRACE)
        if status:
            ended = f"the process ended with status {status}" + (" (killed)" if status < 0 else "")
    except subprocess.TimeoutExpired:
        ended = f"ended after its budget of {seconds:.0f} s"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    found = read(rows)
    return [*found, Row("the part as a whole", "", ended, "fails")] if ended else found


class Build:
    """gsplat's CUDA extension, compiled by gsplat itself in a process beside the first part.

    Args:
        capability: Of the card, such as "9.0": the one architecture that is built.
        log: File for what the compilers say.
    """

    def __init__(self, capability: str, log: Path) -> None:
        self.log = log
        self._start = time.monotonic()
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        environment = {"TORCH_CUDA_ARCH_LIST": capability, "MAX_JOBS": str(max(1, cores - 2))} | dict(os.environ)
        program = "from gsplat.cuda._backend import _C; raise SystemExit(0 if _C is not None else 'no nvcc was found')"
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-c", program], stdout=file, stderr=subprocess.STDOUT, env=environment, cwd=REPOSITORY
            )

    def wait(self, seconds: float) -> Row:
        """Its row of the table, once it has ended or the time is over."""
        what = "gsplat's extension, built by its own JIT"
        try:
            status = self._process.wait(max(seconds, 0))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return Row(what, "", f"not ready after {time.monotonic() - self._start:.0f} s", "fails")
        spent = f"{time.monotonic() - self._start:.0f} s after the start"
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        last = lines[-1][:300].replace("|", "/") if lines else ""
        return Row(what, spent, "", "holds") if status == 0 else Row(what, "", last, "fails")
