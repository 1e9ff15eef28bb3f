"""What every test shares: hypothesis profiles and the folder of data beside the project."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib.util
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from jaxtyping import config

if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    # Workers, and the commands that tests start, share what one of them has compiled. The first process to come here
    # makes the folder, hands its name down by the environment, and removes it.
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="gagjax-programs-")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
CHECKED = os.environ.get("GAGJAX_TYPECHECK", "1") != "0"
# The machines that lend a card have hardly more than JAX and torch: the GPU tests run there without these checks.
MISSING = importlib.util.find_spec("beartype") is None
if CHECKED and not MISSING:
    from tests.contracts import typechecking

    typechecking.install()  # before any test imports gagjax


def pytest_report_header() -> str | None:
    """Said where the checks that the tests usually bring are missing."""
    return "types are not checked at run time: beartype is not installed" if CHECKED and MISSING else None


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`pytest -m gpu` reads the files with such tests alone: the others import what a machine with a card may lack."""
    if config.option.markexpr != "gpu" or collection_path.suffix != ".py":
        return None
    return True if "mark.gpu" not in collection_path.read_text(encoding="utf-8") else None


settings.register_profile(
    "default", deadline=None, max_examples=25, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", deadline=None, max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

MEMORY = 3 << 30  # bytes in a test process after which compiled programs are dropped


@pytest.fixture(autouse=True, scope="module")
def bounded_memory() -> Iterator[None]:
    """Every program that is compiled stays in memory: fifteen hundred tests of them are more than machines have."""
    yield
    import psutil

    if psutil.Process().memory_info().rss > MEMORY and "jax" in sys.modules:
        import jax

        jax.clear_caches()
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):  # glibc keeps what is freed, unless it is asked
            ctypes.CDLL("libc.so.6").malloc_trim(0)


@pytest.fixture(autouse=True, scope="session")
def no_waiting_lines() -> None:
    """What a command prints must not depend on how fast the machine is: `waiting` tells of nothing by itself."""
    from gagjax.app import waiting

    waiting.MOMENT = float(threading.TIMEOUT_MAX)


@pytest.fixture(autouse=True)
def checked_types(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tests marked `misuse` hand over what the signature forbids, to read our own message: types stay unchecked there."""
    misuse = request.node.get_closest_marker("misuse") is not None
    config.update("jaxtyping_disable", misuse)
    yield
    config.update("jaxtyping_disable", False)


SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of golden vectors and real data beside the project; tests that need it skip where it is absent."""
    if not (SHARED / "DESIGN.md").exists():
        pytest.skip("needs the data folder ../shared, which is not here")
    return SHARED
