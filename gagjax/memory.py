"""Why image code on a CPU can take twice as long as its arithmetic, and the one call that prevents it.

Every stage makes new arrays of megabytes. The GNU allocator hands blocks of that size back to the system as soon as they
are free, so that each pays for fresh pages again, one fault per 4 kB. Kept by the process, the pages are paid for once.
"""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # numbers of mallopt, from <malloc.h>
_LARGEST = 1 << 30


def keep_freed_pages() -> bool:
    """Let the process keep freed memory for its next allocations, up to 1 GiB; on Linux with the GNU C library.

    A setting of the whole process, so it is for programs to call, not for libraries: resident memory stays at the peak
    of what was used. Nothing else changes.

    Returns:
        Whether the allocator took the setting.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(_MMAP_THRESHOLD, _LARGEST)) and bool(libc.mallopt(_TRIM_THRESHOLD, _LARGEST))
