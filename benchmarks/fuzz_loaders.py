"""Fuzz every loader: any bytes give a value or an `InputError`, in bounded time and memory.

    python -m benchmarks.fuzz_loaders --cases 100000

For each loader, half of the cases come from a seeded random generator that knows the formats (`tests/fuzz/loaders.py`),
half from atheris, guided by coverage of our own code (`pip install 'gagjax[fuzz]'`). Findings are saved as files.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
import warnings
from pathlib import Path

import numpy as np

from benchmarks.common import write_table
from tests.fuzz.loaders import LOADERS, case

SECONDS = 5  # CPU seconds; a case that takes longer is a finding
MEMORY = 1 << 30  # maximum memory growth of the process per case, bytes
ADDRESSES = 48 << 30  # address space; JAX and torch reserve much more than they use
HANG = 60  # seconds until a case that ignores the alarm ends the process; its file is kept


class TooLong(BaseException):
    """Raised by the alarm of a case."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loader", choices=LOADERS, action="append", help="only these; all otherwise")
    parser.add_argument("--cases", type=int, default=100_000, help="of each loader")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"), help="where findings go")
    parser.add_argument("--engine", choices=["random", "atheris"], help="only this; half of the cases each otherwise")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="200 cases of each, nothing written")
    parser.add_argument("--child", choices=["random", "atheris"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    cases = 200 if options.quick else options.cases
    if options.child:
        run = by_generator if options.child == "random" else by_coverage
        run(options.loader[0], cases, options.seed, options.findings)
        return
    rows = []
    for name in options.loader or LOADERS:
        start = time.perf_counter()
        done = {"random": 0, "atheris": 0}
        engines = [options.engine] if options.engine else list(done)
        for engine in engines:
            words = [
                "--loader",
                name,
                "--cases",
                str(cases // len(engines)),
                "--child",
                engine,
                "--seed",
                str(options.seed),
            ]
            words += ["--findings", str(options.findings)]
            ended = subprocess.run(
                [sys.executable, "-m", "benchmarks.fuzz_loaders", *words], capture_output=True, text=True, check=False
            )
            done[engine] = sum(int(line.split()[1]) for line in ended.stdout.splitlines() if line.startswith("cases "))
            if ended.returncode:
                print(ended.stdout[-2000:], ended.stderr[-3000:])
        found = len(list(options.findings.glob(f"{name}-*"))) if options.findings.is_dir() else 0
        seconds = time.perf_counter() - start
        rows.append([name, f"{done['random']:,}", f"{done['atheris']:,}", str(found), f"{seconds:.0f}"])
        print(*rows[-1], sep="\t", flush=True)
    if not options.quick:
        write_table(
            "fuzz",
            ["loader", "cases by generator", "cases by atheris", "findings left", "seconds"],
            rows,
            command=f"python -m benchmarks.fuzz_loaders --cases {cases}",
            notes=[
                f"A finding is a case that raises anything but InputError or takes over {SECONDS} s or {MEMORY >> 30} GiB."
            ],
        )


def tried(name: str, data: bytes, path: Path, findings: Path) -> None:
    """Run one case; a finding is saved with its traceback."""
    from gagjax.errors import InputError

    path.write_bytes(data)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    faulthandler.dump_traceback_later(HANG, exit=True)
    largest, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        LOADERS[name].load(path)
        check_cost(largest, start)
    except InputError:
        try:
            check_cost(largest, start)
        except TooLong as error:
            keep(name, data, error, findings)
    except BaseException as error:
        signal.setitimer(signal.ITIMER_PROF, 0)
        if isinstance(error, KeyboardInterrupt):
            raise
        keep(name, data, error, findings)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        faulthandler.cancel_dump_traceback_later()


def check_cost(largest: int, start: float) -> None:
    """Check a case's time and memory, since the alarm is delayed during a long call into C."""
    if time.process_time() - start > SECONDS:
        raise TooLong(f"took over {SECONDS} s")
    if (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - largest) * 1024 > MEMORY:
        raise TooLong(f"took over {MEMORY >> 20} MiB")


def keep(name: str, data: bytes, error: BaseException, findings: Path) -> None:
    """Save a finding."""
    where = traceback.extract_tb(error.__traceback__)
    ours = [f for f in where if "gagjax/" in f.filename or "bridge/" in f.filename] or where
    label = f"{type(error).__name__}-{Path(ours[-1].filename).stem}-{ours[-1].lineno}"
    findings.mkdir(exist_ok=True)
    kept = findings / f"{name}-{label}{LOADERS[name].suffix}"
    if not kept.exists():
        kept.write_bytes(data)
        print(f"FINDING {kept}: {str(error)[:200]}", flush=True)


def prepared(name: str) -> Path:
    """Create the in-memory path for the cases and set the limits."""
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))

    def alarm(number: int, frame: object) -> None:
        raise TooLong(f"took over {SECONDS} s")

    signal.signal(signal.SIGPROF, alarm)
    folder = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path("/tmp")
    folder = folder / f"gagjax-fuzz-{os.getpid()}"
    folder.mkdir()
    return folder / f"case{LOADERS[name].suffix}"


def by_generator(name: str, cases: int, seed: int, findings: Path) -> None:
    """Cases from a seeded generator."""
    path, random = prepared(name), np.random.default_rng(seed)
    seeds = LOADERS[name].seeds()
    for data in seeds[: 3 if name == "preset" else None]:
        path.write_bytes(data)
        LOADERS[name].load(path)  # an unreadable seed would make every case pass
    for _ in range(cases):
        tried(name, case(LOADERS[name], seeds, random), path, findings)
    print(f"cases {cases}")


def by_coverage(name: str, cases: int, seed: int, findings: Path) -> None:
    """Cases from atheris, guided by coverage of our own modules."""
    import atheris

    with atheris.instrument_imports(include=["gagjax.io", "gagjax.app", "gagjax.flame", "bridge"]):
        import gagjax.app.presets
        import gagjax.io.tracks  # noqa: F401
    path = prepared(name)
    corpus = path.parent / "corpus"
    corpus.mkdir()
    for number, data in enumerate(LOADERS[name].seeds()):
        (corpus / str(number)).write_bytes(data)
    count = 0

    def one(data: bytes) -> None:
        nonlocal count
        tried(name, data, path, findings)
        count += 1
        if count == cases:
            print(f"cases {count}", flush=True)  # libFuzzer exits without returning

    options = [f"-runs={cases}", f"-seed={seed + 1}", "-max_len=65536", "-timeout=60", "-verbosity=0", str(corpus)]
    atheris.Setup([sys.argv[0], *options], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
