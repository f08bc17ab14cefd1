"""How many threads a process uses: what its specification says, never more than the machine has."""

import math
import os


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
