"""How many threads a process uses: what its specification says, never more than the machine has."""

import os


def available_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def limit_threads(threads: int) -> int:
    """Bind numerical libraries that are imported later to `threads`; returns the number in use.

    A scheduler sets these variables by the cores that a job got, so that the same run on another machine would round
    its sums in another order. Threads that outnumber the cores make everything an order of magnitude slower.
    """
    threads = min(threads, available_cores())
    for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB_MAXIMUM"):
        os.environ[f"{library}_NUM_THREADS"] = str(threads)
    return threads
