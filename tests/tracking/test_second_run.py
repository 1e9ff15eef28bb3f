"""A second `gagjax track` starts without compiling anything: counted, not timed."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from gagjax.io import images

#: Heavy packages that no part of tracking needs.
IDLE = ("torch", "viser", "matplotlib", "tensorflow", "pandas", "sklearn", "skimage", "ray", "optax")
COUNTED = """
import json, sys
from gagjax.app import cli
early = [name for name in ("jax", "scipy", "PIL", "av") if name in sys.modules]
import jax
events = {}
jax.monitoring.register_event_listener(lambda event, **more: events.__setitem__(event, events.get(event, 0) + 1))
status = cli.main(sys.argv[1:])
cache = {name.rsplit("/", 1)[1]: count for name, count in events.items() if "compilation_cache" in name}
print("counted " + json.dumps({"status": status, "early": early, "modules": sorted(sys.modules), **cache}))
"""


@pytest.fixture(scope="module")
def runs(performance, tmp_path_factory):
    """What two runs in processes of their own have counted, with a cache of compiled programs."""
    folder = tmp_path_factory.mktemp("runs")
    picture = folder / "face.png"
    images.write(picture, performance[0])
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": os.environ.get("JAX_COMPILATION_CACHE_DIR", str(folder / "cache")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    found = []
    for number in range(2):
        words = [sys.executable, "-c", COUNTED, "track", str(picture), "-o", str(folder / f"{number}.npz")]
        done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout.rsplit("counted ", 1)[1]))
    return found


def test_nothing_is_compiled_twice(runs):
    first, second = runs
    assert first["status"] == second["status"] == 0
    assert second.get("cache_misses", 0) == 0
    assert second["cache_hits"] > 10
    # Every program is read from the disk: the fewer there are, the sooner it starts.
    assert second["compile_requests_use_cache"] == second["cache_hits"] <= 150


def test_what_is_not_needed_is_not_imported(runs):
    second = runs[1]
    assert second["early"] == []  # help and wrong options wait for none of them
    assert not set(IDLE) & set(second["modules"])
    assert len(second["modules"]) <= 2600
