"""Prepared data sets (runs/<scale>/data/<dataset>) as tensors on a device."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shared.errors import InputError
from shared.files import read_json
from shared.models.contract import Batch

# Smaller arrays are read into memory: rows are then gathered twice as fast as from a file that is mapped.
MAPPED_FROM_BYTES = 2**30


@dataclass(frozen=True)
class Split:
    """All samples of one split: tensors by modality, and `labels`, if any, as class indices 0..C-1."""

    tensors: dict[str, Tensor]

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def batch(self, index: Tensor | slice) -> Batch:
        """The samples at `index`; uint8 images become floats in [0, 1] with channels last in memory."""
        return {name: as_input(tensor[index]) for name, tensor in self.tensors.items()}


def as_input(x: Tensor) -> Tensor:
    if x.dtype != torch.uint8:
        return x
    return x.to(torch.float32, memory_format=torch.channels_last).div_(255)


def load_split(folder: str | Path, split: str, modalities: dict[str, str], device: torch.device) -> Split:
    """A split with its modalities named as the experiment names them. InputError: a file is missing or damaged."""
    folder = Path(folder)
    files = {m: folder / f"{key}_{split}.npy" for m, key in modalities.items()}
    tensors = {m: torch.from_numpy(load_array(file)) for m, file in files.items()}
    labels = folder / f"labels_{split}.npy"
    if labels.exists():
        files["labels"] = labels
        tensors["labels"] = torch.from_numpy(np.unique(load_array(labels), return_inverse=True)[1])
    (first, samples), *others = ((name, len(tensor)) for name, tensor in tensors.items())
    for name, count in others:
        if count != samples:
            raise InputError(
                f"{files[name]}: {count} samples, {files[first].name} has {samples}; "
                "delete their folder and run the workflow again"
            )
    return Split({name: tensor.to(device) for name, tensor in tensors.items()})


def load_array(path: Path) -> np.ndarray:
    """An array of a prepared data set; a large one stays in its file, and costs no memory. InputError: as above."""
    try:
        # copy on write: the file is never changed, and torch gets the writable array that it asks for
        mapped = np.load(path, mmap_mode="c", allow_pickle=False)
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file; delete data.json beside it, if there is one, and run the workflow again"
        ) from None
    except (ValueError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the system's: the file may be good
            raise
        raise InputError(f"{path}: unreadable ({error}); delete its folder and run the workflow again") from None
    return mapped if mapped.nbytes >= MAPPED_FROM_BYTES else np.array(mapped)


def load_captions(folder: str | Path, split: str) -> np.ndarray:
    """The captions of a split as text, (N, captions per sample)."""
    return load_array(Path(folder) / f"captions_{split}.npy")


def describe_data(folder: str | Path) -> dict[str, Any]:
    """data.json of a prepared data set. InputError: it is missing or damaged."""
    return read_json(Path(folder) / "data.json", "description", "sha256", "stand_in")
