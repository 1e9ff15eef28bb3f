"""Why decoding on a CPU can take several times longer than its arithmetic, and the one call that prevents it.

Every layer makes a new feature map of tens of megabytes. The GNU allocator hands blocks of that size back to the system
as soon as they are free, so that each layer pays for fresh pages again, one fault per 4 kB. Kept by the process, the
pages are paid for once. `benchmarks/reenact_speed.py` measures both.
"""

from __future__ import annotations

import ctypes
import platform

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # numbers of mallopt, from <malloc.h>
LARGEST = 1 << 30


def keep_freed_pages() -> bool:
    """Let the process keep freed memory for its next allocations, up to 1 GiB; on Linux with the GNU C library.

    A setting of the whole process: its resident memory stays at the peak of what it has used. Nothing else changes.

    Returns:
        Whether the allocator took the setting.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(MMAP_THRESHOLD, LARGEST)) and bool(libc.mallopt(TRIM_THRESHOLD, LARGEST))
