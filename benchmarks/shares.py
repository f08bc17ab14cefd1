"""Where the time of a training step goes."""

import os
from collections import Counter
from collections.abc import Callable

import torch

os.environ.setdefault("KINETO_LOG_LEVEL", "5")  # the profiler reports a missing GPU as an error otherwise

# An operator is of the first kind with a word in its name. What no word names, and Python itself, is other.
KINDS = {
    "convolutions": ("conv",),
    "dense layers": ("mm", "linear"),
    "batch norm": ("batch_norm",),
    "activations": ("relu", "gelu", "silu", "softplus", "sigmoid"),
    "optimiser": ("adam",),
}
STEPS = 8


def time_shares(step: Callable[[], object]) -> dict[str, int]:
    """Per cent of the processor's time of `step` for each kind of operator and for the rest."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], acc_events=True) as profiler:
        for _ in range(STEPS):
            with torch.profiler.record_function("step"):  # its own time is that of Python between the operators
                step()
    times: Counter[str] = Counter()
    for event in profiler.key_averages():
        name = event.key.lower()
        kind = next((kind for kind, words in KINDS.items() if any(word in name for word in words)), "other")
        times[kind] += event.self_cpu_time_total
    return {kind: round(100 * times[kind] / times.total()) for kind in (*KINDS, "other")}
