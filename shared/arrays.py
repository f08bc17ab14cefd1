"""Prepared data sets (runs/<scale>/data/<dataset>) as tensors on a device."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from shared.contract import Batch
from shared.errors import InputError
from shared.files import read_json


@dataclass(frozen=True)
class Split:
    """All samples of one split: tensors by modality, and `labels` as class indices 0..C-1."""

    tensors: dict[str, Tensor]

    def __len__(self) -> int:
        return len(self.tensors["labels"])

    def batch(self, index: Tensor | slice) -> Batch:
        """The samples at `index`; uint8 images become floats in [0, 1] with channels last in memory."""
        return {name: as_input(tensor[index]) for name, tensor in self.tensors.items()}


def as_input(x: Tensor) -> Tensor:
    if x.dtype != torch.uint8:
        return x
    return x.to(torch.float32, memory_format=torch.channels_last).div_(255)


def load_split(folder: str | Path, split: str, modalities: dict[str, str], device: torch.device) -> Split:
    """A split with its modalities named as the experiment names them. InputError: a file or an array is missing."""
    path = Path(folder) / "data.npz"
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            tensors = {m: torch.from_numpy(arrays[f"{key}_{split}"]) for m, key in modalities.items()}
            labels = arrays[f"labels_{split}"]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run the workflow, which prepares the data first") from None
    except (KeyError, ValueError, EOFError, OSError, BadZipFile) as error:
        raise InputError(f"{path}: unreadable ({error}); delete it and run the workflow again") from None
    tensors["labels"] = torch.from_numpy(np.unique(labels, return_inverse=True)[1])
    return Split({name: tensor.to(device) for name, tensor in tensors.items()})


def load_captions(folder: str | Path, split: str) -> np.ndarray:
    """The captions of a split as text, (N, captions per sample)."""
    with np.load(Path(folder) / "data.npz") as arrays:
        return arrays[f"captions_{split}"]


def describe_data(folder: str | Path) -> dict[str, Any]:
    return read_json(Path(folder) / "data.json")
