"""The persistent compilation cache, so that a second `gagjax` command does not recompile."""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

SWITCH = "GAGJAX_CACHE"


def keep_compiled() -> Path | None:
    """Make JAX keep compiled programs in the user's cache folder; call before JAX is imported.

    The folder is `$XDG_CACHE_HOME/gagjax/compiled-...`, one per processor type, because a program compiled for one may
    not run on another (home folders are shared across cluster nodes). `GAGJAX_CACHE=off` disables the cache,
    `GAGJAX_CACHE=FOLDER` moves it, and JAX's own `JAX_COMPILATION_CACHE_DIR` takes precedence over both.

    Returns:
        The folder, or None if this function set none.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return None
    wanted = os.environ.get(SWITCH, "")
    if wanted.lower() in ("off", "0", "no", "false"):
        return None
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gagjax"
    folder = (Path(wanted) if wanted else home) / f"compiled-{processor()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # home is not writable: compile every time
        return None
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    # Small programs, too: a fit has a hundred of them, which take as long as the large ones.
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    return folder


def processor() -> str:
    """A short name for this processor type, from its model and instruction set."""
    facts = [platform.machine(), platform.processor()]
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(errors="replace").splitlines()
        facts += sorted({line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))})
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:12]
