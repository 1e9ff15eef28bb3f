"""Compiled programs kept between processes, so that a command neither traces nor compiles what it ran before.

JAX's own cache spares compiling, but not tracing and lowering, which take most of the start of a short job. Here the
executable itself is kept, under a key of everything that it depends on: the stages' structure, the shapes, gagjax's
source, the versions of JAX and its libraries, the device, the processor, and every flag.

An executable is machine code, and JAX packs it in a pickle: whoever can write the folder can run code as its owner. The
folder and the file must therefore be the user's own and closed to others; that, the key and the hash are checked before
anything is unpickled, and what does not pass is compiled again.

Format: a line of JSON (key, SHA-256 of the rest, number of results), then JAX's serialized executable.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import re
import stat
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental.serialize_executable import deserialize_and_load, serialize
from jaxtyping import Array

from gagjax.app.compilation_cache import processor
from gagjax.errors import InputError
from gagjax.io import atomic
from gagjax.stack import run_compiled, run_stages, traceable
from gagjax.track import Channels
from gagjax.typing import AnyArray, Scalar, Tree

FOLDER = "gagjax-programs"
LIMIT = 1 << 28  # bytes of programs kept; the oldest go first
_HEADER = 1 << 20  # bytes
#: Settings of JAX that change no program: where it keeps and logs things.
_ELSEWHERE = re.compile(r"cache|log|dump|path|traceback|_dir\b")
#: An object shown by its address: no other process can have the same.
_ADDRESS = re.compile(r" at 0x[0-9a-f]+|<function |<bound method ")
#: Releases of JAX with which kept programs have been tried. An executable that another one mistakes ends the process.
TRIED = ("0.10.",)
_loaded: dict[str, Callable[[list[Any]], list[Array]]] = {}


def run(stages: Sequence[Any], channels: Channels, valid: AnyArray, real: AnyArray, dt: Scalar) -> Channels:
    """`gagjax.stack.run_compiled`, by a kept program where there is one; the same bytes either way.

    Args:
        stages: Filters, and stages that see the whole sequence.
        channels: Time first, (T, ...).
        valid: (T,) frames that were observed.
        real: (T,) True for the clip's own frames.
        dt: Seconds per frame.

    Returns:
        The channels of all T frames.
    """
    folder = place()
    leaves, tree = jax.tree.flatten((list(stages), channels, valid, real, dt))
    structure = str(tree)
    if folder is None or not traceable(stages) or not _plain(leaves) or _ADDRESS.search(structure):
        return run_compiled(stages, channels, valid, real, dt)
    results, shape_of_results = jax.tree.flatten(channels)
    key = key_of("run_stages", structure, leaves)
    call = _loaded.get(key)
    if call is None:
        call = load(folder, key, len(leaves), len(results))
        if call is None:

            def flat(*given: Tree) -> list[Any]:
                return jax.tree.leaves(run_stages(*jax.tree.unflatten(tree, given)))

            call = keep(folder, key, flat, leaves)
        _loaded[key] = call
    made: Channels = jax.tree.unflatten(shape_of_results, call(leaves))
    return made


def place() -> Path | None:
    """The folder of kept programs, created where it is missing; None if caching is off or the folder is not safe.

    None, too, on another device than the CPU and with a JAX that kept programs have not been tried with.
    """
    if not jax.__version__.startswith(TRIED) or jax.default_backend() != "cpu":
        return None
    settings: Any = jax.config
    cache = settings.jax_compilation_cache_dir
    if not cache or "://" in cache or settings.jax_disable_jit or settings.jax_debug_nans:
        return None
    folder = Path(cache) / FOLDER
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder if _own(folder.stat()) else None
    except OSError:
        return None


def key_of(name: str, structure: str, leaves: Sequence[Any]) -> str:
    """Everything that a program depends on, as text.

    Args:
        name: The function.
        structure: Of its arguments.
        leaves: Its arguments.
    """
    types = [f"{canonical(leaf).dtype}{list(np.shape(leaf))}" for leaf in leaves]
    return "\n".join([name, structure, " ".join(types), *_surroundings(), *_settings()])


def load(folder: Path, key: str, arguments: int, results: int) -> Callable[[list[Any]], list[Array]] | None:
    """A kept program; None if there is none, or it does not match its key or its hash.

    Args:
        folder: From `place`.
        key: From `key_of`.
        arguments: Number of arguments.
        results: Number of results.
    """
    file = _file(folder, key)
    try:
        with file.open("rb") as opened:
            if not _own(os.fstat(opened.fileno())):
                return None
            header = json.loads(opened.readline(_HEADER))
            code = opened.read(LIMIT)
    except (OSError, ValueError):
        return None
    if not isinstance(header, dict) or header.get("key") != key or header.get("results") != results:
        return None
    if header.get("sha256") != hashlib.sha256(code).hexdigest():
        return None
    try:
        if b"lapack" in code:  # its routines are looked up when a program is lowered, which this one is not
            from jaxlib import lapack  # type: ignore[import-untyped]

            lapack.prepare_lapack_call("gesdd", np.dtype(np.float32))
        program = deserialize_and_load(code, _taken(arguments), _given(results), execution_devices=jax.devices()[:1])
    except (TypeError, ValueError, AttributeError, RuntimeError, EOFError):  # written by another XLA after all
        return None
    with contextlib.suppress(OSError):
        os.utime(file)  # used: among the last to go
    return lambda given: list(program(*map(canonical, given)))


def keep(folder: Path, key: str, function: Callable[..., Any], leaves: Sequence[Any]) -> Callable[..., list[Array]]:
    """Compile a function for these arguments, and keep the program where it can be written.

    Args:
        folder: From `place`.
        key: From `key_of`.
        function: From arrays to a list of arrays.
        leaves: Its arguments.

    Returns:
        The program: from a list of arrays to a list of arrays.
    """
    shapes = [jax.ShapeDtypeStruct(np.shape(leaf), canonical(leaf).dtype) for leaf in leaves]
    # XLA cannot serialize again what came out of JAX's own cache: under this name nothing is found there, or put there.
    function.__name__ = f"kept_{os.getpid()}_{time.time_ns()}"
    longest = "jax_persistent_cache_min_compile_time_secs"
    before = jax.config.values[longest]
    jax.config.update(longest, float("inf"))
    try:
        compiled = jax.jit(function, keep_unused=True).lower(*shapes).compile()
    finally:
        jax.config.update(longest, before)
    try:
        code = serialize(compiled)[0]
    except (AttributeError, RuntimeError, ValueError, NotImplementedError):  # this backend cannot
        code = b""
    if 0 < len(code) < LIMIT:
        header = {"key": key, "sha256": hashlib.sha256(code).hexdigest(), "results": len(compiled.out_info)}
        with contextlib.suppress(OSError, InputError):  # a full disk: compile every time
            with atomic.output(_file(folder, key), force=True) as temporary:
                temporary.write_bytes(json.dumps(header).encode() + b"\n" + code)
                temporary.chmod(0o600)
            _prune(folder)
    return lambda given: list(compiled(*map(canonical, given)))


def canonical(leaf: AnyArray | Scalar) -> Any:
    """The array that JAX would make of an argument: in float32 and int32 unless 64 bits are on."""
    if isinstance(leaf, jax.Array):
        return leaf
    kept = np.asarray(leaf)
    return kept.astype(jax.dtypes.canonicalize_dtype(kept.dtype), copy=False)


def _taken(arguments: int) -> Any:
    return jax.tree.structure(((0,) * arguments, {}))


def _given(results: int) -> Any:
    return jax.tree.structure([0] * results)


def _plain(leaves: Sequence[Any]) -> bool:
    """Whether every argument is an array of one device that can be looked at now."""
    return all(
        not isinstance(leaf, jax.core.Tracer) and (not isinstance(leaf, jax.Array) or len(leaf.devices()) == 1)
        for leaf in leaves
    )


def _settings() -> list[str]:
    """JAX's settings as they are now."""
    values = sorted((str(name), str(value)) for name, value in jax.config.values.items())
    return [f"{name}={value}" for name, value in values if not _ELSEWHERE.search(name)]


@functools.cache
def _surroundings() -> tuple[str, ...]:
    """What does not change while the process runs: source, versions, device, processor, flags."""
    device = jax.devices()[0]
    flags = [f"{name}={os.environ.get(name, '')}" for name in ("XLA_FLAGS", "LIBTPU_INIT_ARGS", "OMP_NUM_THREADS")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    libraries = [f"{name} {_version(name)}" for name in ("jax", "jaxlib", "numpy", "scipy", "gagjax")]
    chip = f"{device.platform} {device.device_kind} {device.client.platform_version} of {len(jax.devices())}"
    return (_source(), *libraries, chip, processor(), f"{cores} cores", sys.platform, *flags)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def _source() -> str:
    """A fingerprint of gagjax's source: size and time of every file."""
    root = Path(__file__).resolve().parents[1]
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(each for each in folders if each != "__pycache__")
        for name in sorted(files):
            state = (Path(folder) / name).stat()
            found.append(f"{folder}/{name} {state.st_size} {state.st_mtime_ns}")
    return hashlib.sha256("\n".join(found).encode()).hexdigest()


def _file(folder: Path, key: str) -> Path:
    return folder / f"{hashlib.sha256(key.encode()).hexdigest()}.program"


def _own(state: os.stat_result) -> bool:
    """Whether this user owns something that nobody else can write."""
    if not hasattr(os, "getuid"):  # Windows: the profile folder's access list guards it
        return True
    return state.st_uid == os.getuid() and not state.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _prune(folder: Path) -> None:
    """Remove the programs that were used longest ago, once they exceed the limit."""
    kept = sorted(((each.stat(), each) for each in folder.glob("*.program")), key=lambda pair: -pair[0].st_mtime)
    total = 0
    for state, each in kept:
        total += state.st_size
        if total > LIMIT:
            each.unlink(missing_ok=True)
