"""Classify names in a pickle outside the allow-list: those that could run programs, and all others.

Nothing outside the allow-list is ever loaded; this only selects the wording of the error. An object of a tracker's own
class is no cause for alarm, `os.system` is.
"""

from __future__ import annotations

import re

#: Modules by which a pickle can run programs or access files; all others are assumed to be data.
_RUNNING = {
    "__builtin__", "builtins", "os", "nt", "posix", "posixpath", "sys", "subprocess", "commands", "shutil", "socket",
    "pty", "runpy", "importlib", "imp", "ctypes", "code", "codeop", "pickle", "_pickle", "cPickle", "copyreg",
    "copy_reg", "marshal", "webbrowser", "platform", "timeit", "profile", "cProfile", "pdb", "bdb", "trace",
    "operator", "_operator", "functools", "_functools", "itertools", "types", "inspect", "tempfile", "io", "_io",
    "multiprocessing", "concurrent", "asyncio", "threading", "_thread", "signal", "http", "urllib", "urllib2",
    "requests", "ftplib", "smtplib", "telnetlib", "xmlrpc", "ssl", "logging", "gc", "atexit", "site", "distutils",
    "setuptools", "pip", "pkgutil", "zipimport", "zipfile", "tarfile", "linecache", "dis", "antigravity", "fileinput",
    "glob", "doctest", "unittest", "sqlite3", "readline", "getpass", "resource", "mmap", "shelve", "dbm", "ast",
    "compileall", "py_compile", "warnings", "weakref",
}  # fmt: skip
_HARMLESS = {
    "types.SimpleNamespace",
    "builtins.slice",
    "builtins.range",
    "builtins.complex",
    "io.BytesIO",
    "_io.BytesIO",
}
#: Names inside data libraries that can do the same.
_RUNNING_NAMES = re.compile(
    r"(^|\.)_*(eval|exec|execfile|compile|system|popen|run|call|open|load\w*|import\w*|hub|jit|runstring|save\w*|remove|"
    r"unlink|getattr|setattr|apply|f2py|cpp_extension|testing|ops)($|\.)"
)


def runs_programs(module: str, name: str) -> bool:
    """Whether a pickle could use a name to run programs or access files.

    Args:
        module: The module.
        name: The qualified name in it.

    Returns:
        False for names assumed to be data of another library or program.

    Example:
        >>> runs_programs("posix", "system"), runs_programs("pathlib", "PosixPath")
        (True, False)
    """
    full = f"{module}.{name}"
    return full not in _HARMLESS and (module.partition(".")[0] in _RUNNING or _RUNNING_NAMES.search(full) is not None)
