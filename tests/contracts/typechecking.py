"""Every function of gagjax and bridge checked as it is called in the tests: types, shapes and dtypes.

`install` has jaxtyping decorate each function with beartype while its module is imported. Annotations that name what
exists for type checkers only (under `if TYPE_CHECKING:`, or a class still being defined) are left to mypy. Functions
that numba compiles cannot be wrapped: modules that hold them are left out, and so are those whose tests bound their time.
"""

from __future__ import annotations

from typing import TypeVar

import beartype
from jaxtyping import install_import_hook

PACKAGES = ("gagjax", "bridge")
COMPILED = ("gagjax.splatting.kernels", "gagjax.avatars.portrait.kernel")
# Millions of calls for one file, against the clock.
TIMED = ("gagjax.io.untrusted.pickle_scan",)
# An int is a float to everybody who calls a function (PEP 484), and is taken as one by all of ours.
_CONF = beartype.BeartypeConf(is_pep484_tower=True)
T = TypeVar("T")


def checked(function: T) -> T:
    """beartype in our configuration; what jaxtyping's hook calls by its dotted name."""
    return beartype.beartype(conf=_CONF)(function)  # type: ignore[call-overload]


def install() -> None:
    """From here on, modules of the packages are checked; call it before the first of them is imported."""
    hook = install_import_hook(list(PACKAGES), "tests.contracts.typechecking.checked").hook
    wanted = hook.should_instrument
    hook.should_instrument = lambda name: wanted(name) and name not in (*COMPILED, *TIMED)
