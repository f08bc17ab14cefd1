"""Where tensors live and how torch is set up in a process: the same in training, evaluation and benchmarks."""

import importlib
import os
from pathlib import Path
from typing import Any

import torch

from shared.errors import InputError
from shared.files import require_sha256
from shared.models.contract import Trainable
from shared.run import storage
from shared.run.seeds import derive_seed
from shared.run.threads import keep_freed_memory

_AGAIN = "delete train.json beside it and run the workflow, which trains it"


def choose_device(name: str) -> torch.device:
    """`auto` takes a CUDA device, or else the CPU. InputError: the named device is not there.

    Apple's devices lack float64 and some deterministic kernels; they are used when asked for by name.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(name, False):
        raise InputError(f"device `{name}` is not available; use one of {[k for k, v in available.items() if v]}")
    return torch.device(name)


def describe_device(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def prepare_torch(threads: int) -> None:
    """Thread count, denormals, precision and determinism; to be called before the first tensor operation.

    Importance weights and vanishing gradients become subnormal numbers, which x86 cores handle 4 times slower.
    A GPU computes float32 convolutions in TF32 unless told otherwise; a run that states float32 gets it.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS needs to be deterministic
    keep_freed_memory()
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # a fill per new tensor: hundreds in a small step


def named(callee: str) -> Any:
    """The function or class that a specification names as `module:name`."""
    module, name = callee.split(":")
    return getattr(importlib.import_module(module), name)


def build(spec: dict[str, Any]) -> Trainable:
    """The model of a specification with its initial weights, which the run's seed determines.

    InputError: the builder does not take the values of the specification's arguments.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(spec, "initialisation"))
        try:
            model = named(spec["builder"])(**spec["arguments"])
        except ValueError as error:
            names = "/".join(spec[key] for key in ("paper", "experiment", "model"))
            raise InputError(f"{names}: arguments: {error}") from error
    return model.to(memory_format=torch.channels_last)


def load_trained(spec: dict[str, Any], weights: Path, sha256: str, device: torch.device) -> Trainable:
    """The model of a specification with trained weights, ready for evaluation.

    InputError: the file does not fit, or is not the one whose checksum train.json has.
    """
    require_sha256(weights, sha256, _AGAIN)
    model = build(spec)
    try:
        model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True)["model"])
    except Exception as error:  # damage ends in errors of any kind
        if storage.from_system(error):
            raise
        reason = f"not the weights of {spec['model']} ({storage.in_short(error)})"
        raise InputError(f"{weights}: {reason}; delete it, {_AGAIN}") from None
    return model.to(device).eval()
