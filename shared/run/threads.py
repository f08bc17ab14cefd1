"""How a process uses the machine: as many threads as its specification says, never more than there are cores."""

import ctypes
import math
import os
import sys

# glibc's malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def available_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share_of(threads: int, cores: int | None) -> int:
    """How many of a scheduler's `cores` a job of so many threads has to claim; with no limit, what it uses.

    Where the scheduler believes in more cores than the machine has (`--cores 8` on two), a job claims as large a share
    of them as its threads take of the real ones. All jobs together then never have more threads than there are cores.
    """
    return threads if cores is None else max(threads, math.ceil(threads * cores / available_cores()))


def limit_threads(threads: int) -> int:
    """Bind numerical libraries that are imported later to `threads`; returns the number in use.

    A scheduler sets these variables by the cores that a job got, so that the same run on another machine would round
    its sums in another order. Threads that outnumber the cores make everything an order of magnitude slower.
    """
    threads = min(threads, available_cores())
    for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB_MAXIMUM"):
        os.environ[f"{library}_NUM_THREADS"] = str(threads)
    return threads


def keep_freed_memory() -> None:
    """Tell glibc to reuse the memory of freed tensors instead of returning it to the system.

    A training step frees and asks for the same large blocks again and again, and each time the system clears every
    page: without this, a third of a convolutional step is spent in the kernel (benchmarks/README.md).
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):  # glibc, not musl
            libc.mallopt(_M_MMAP_MAX, 0)
            libc.mallopt(_M_TRIM_THRESHOLD, -1)
