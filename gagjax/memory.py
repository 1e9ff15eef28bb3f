"""Keep freed memory in the process: page faults can double the time of image code on a CPU.

Every stage allocates arrays of several megabytes. glibc's allocator returns blocks of that size to the system as soon
as they are freed, so each new array page-faults again, once per 4 kB. Pages kept by the process fault only once.
"""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt parameters from <malloc.h>
_LARGEST = 1 << 30


def keep_freed_pages() -> bool:
    """Let the process keep freed memory for its next allocations, up to 1 GiB; on Linux with the GNU C library.

    A process-wide setting, to be made by applications, not libraries: resident memory stays at its peak. Nothing else
    changes.

    Returns:
        Whether the allocator took the setting.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(_MMAP_THRESHOLD, _LARGEST)) and bool(libc.mallopt(_TRIM_THRESHOLD, _LARGEST))
