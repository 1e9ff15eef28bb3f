"""Executors for the clips of a batch: local processes, or Ray.

Every engine runs `processing.try_clip` in processes with the same XLA settings, so the results depend neither on the
engine nor on the number of workers.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from types import ModuleType
from typing import Any, cast

from gagjax.app.batch.jobs import Executor
from gagjax.app.batch.processing import Job, compile_group, try_clip
from gagjax.errors import InputError

Ended = Iterator[tuple[Job, str | None]]
DIED = "its worker died: out of memory, most likely"
#: One thread per worker: clips are the parallelism. It also keeps rounding identical on machines of one kind.
SETTINGS = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "OMP_NUM_THREADS": "1"}


def local(jobs: Sequence[Job], config: Mapping[str, Any], workers: int) -> Ended:
    """Run the jobs in local processes; yield each job as it ends, with the reason of a failure or None.

    A clip whose process dies is tried once more in a fresh one, since another clip may have used up the memory.
    """
    groups: dict[str, collections.deque[Job]] = {}
    for job in jobs:
        groups.setdefault(compile_group(job), collections.deque()).append(job)
    with contextlib.ExitStack() as opened:
        crew = [opened.enter_context(_Process()) for _ in range(min(workers, len(jobs)))]
        once: set[Job] = set()
        busy: dict[concurrent.futures.Future[str | None], _Process] = {}
        while True:
            for process in crew:
                following = process.choose(groups, crew) if process.job is None else None
                if following is not None:
                    busy[process.start(following, config)] = process
            if not busy:
                return
            ended, _ = concurrent.futures.wait(busy, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in ended:
                process = busy.pop(future)
                job = process.end()
                if not isinstance(future.exception(), BrokenProcessPool):
                    yield job, future.result()
                    continue
                process.renew()
                if job in once:
                    yield job, DIED
                else:
                    once.add(job)
                    groups.setdefault(compile_group(job), collections.deque()).append(job)


def ray(jobs: Sequence[Job], config: Mapping[str, Any], workers: int) -> Ended:
    """Run the jobs through Ray Data: one actor per GPU of the cluster, or `workers` actors if it has none.

    Raises:
        InputError: If Ray is not installed or no cluster responds.
    """
    if not jobs:
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage statistics over the network
    try:
        import ray
    except ImportError as error:
        raise InputError("is not installed", field="--engine ray", fix="pip install 'gagjax[ray]'") from error
    started = not ray.is_initialized()
    if started:
        try:
            address = os.environ.get("RAY_ADDRESS")
            local: dict[str, Any] = {} if address else {"num_cpus": workers, "include_dashboard": False}
            ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING, **local)
        except (ConnectionError, ValueError) as error:
            raise InputError(f"finds no cluster: {error}", field="RAY_ADDRESS") from error
    try:
        yield from _by_ray(ray, jobs, config, workers)
    finally:
        if started:
            ray.shutdown()


EXECUTORS: dict[str, Executor] = {"local": local, "ray": ray}


class Worker:
    """A Ray actor; it is reused across clips, so programs are compiled once."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = dict(config)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        reason = try_clip(row["source"], row["result"], self.config)
        return {**row, "reason": reason or ""}


def _by_ray(ray: ModuleType, jobs: Sequence[Job], config: Mapping[str, Any], workers: int) -> Ended:
    devices = int(ray.cluster_resources().get("GPU", 0))
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.verbose_stats_logs = False
    rows = ray.data.from_items([job._asdict() for job in jobs], override_num_blocks=len(jobs))
    done = rows.map(
        Worker,
        fn_constructor_args=(dict(config),),
        compute=ray.data.ActorPoolStrategy(size=devices or min(workers, len(jobs))),
        num_cpus=1,
        num_gpus=1 if devices else 0,
        runtime_env={"env_vars": SETTINGS},
    )
    for row in done.iter_rows():
        yield Job(row["source"], row["result"]), row["reason"] or None


class _Process:
    """A worker process and the compile groups it has already compiled."""

    def __init__(self) -> None:
        self.job: Job | None = None
        self.knows: set[str] = set()

    def __enter__(self) -> _Process:
        # Spawn: JAX's threads do not survive a fork.
        context = multiprocessing.get_context("spawn")
        self._workers: list[Any] = []
        self._pool = concurrent.futures.ProcessPoolExecutor(
            1, cast(Any, _Noting(context, self._workers)), _prepared, (os.getpid(),)
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:  # Ctrl-C, or a manifest that cannot be written: do not wait for running jobs
            for worker in self._workers:
                worker.terminate()
        self._pool.shutdown(cancel_futures=True)

    def choose(self, groups: dict[str, collections.deque[Job]], crew: Sequence[_Process]) -> Job | None:
        """Prefer a job whose compiled program this worker already has, then one that no other worker has begun."""
        left = {name: len(group) for name, group in groups.items() if group}
        if not left:
            return None
        known = {name for process in crew for name in process.knows}
        best = max(left, key=lambda name: (name in self.knows, name not in known, left[name]))
        self.knows.add(best)
        return groups[best].popleft()

    def start(self, job: Job, config: Mapping[str, Any]) -> concurrent.futures.Future[str | None]:
        """Submit a job."""
        self.job = job
        with _settings():  # the process starts with its first job
            return self._pool.submit(try_clip, *job, dict(config))

    def end(self) -> Job:
        """Mark the worker as free and return its job."""
        job, self.job = self.job, None
        assert job is not None
        return job

    def renew(self) -> None:
        """Replace the process after it died."""
        self._pool.shutdown(wait=False)
        self.knows = set()
        self.__enter__()


class _Noting:
    """A multiprocessing context that records the processes it starts, since other children belong to the caller."""

    def __init__(self, context: Any, started: list[Any]) -> None:
        self._context, self._started = context, started

    def Process(self, *args: Any, **kwargs: Any) -> Any:
        process = self._context.Process(*args, **kwargs)
        self._started.append(process)
        return process

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


def _prepared(parent: int) -> None:
    """Leave Ctrl-C to the parent, and exit when the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="gagjax-parent").start()


class _settings:
    """The environment in which workers start; restored on exit."""

    def __enter__(self) -> None:
        self.before = {name: os.environ.get(name) for name in SETTINGS}
        flags = [os.environ.get("XLA_FLAGS", ""), SETTINGS["XLA_FLAGS"]]
        os.environ.update(SETTINGS | {"XLA_FLAGS": " ".join(filter(None, flags))})

    def __exit__(self, *_: object) -> None:
        for name, value in self.before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
