"""Prepared data sets (runs/<scale>/data/<key>) as tensors on a device."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from shared.errors import InputError
from shared.models.contract import Batch

# Smaller arrays are read into memory: rows are then gathered twice as fast as from a file that is mapped.
MAPPED_FROM_BYTES = 2**30


@dataclass(frozen=True)
class Split:
    """All samples of one split: tensors by modality, and `labels`, if any, as class indices that all splits share.

    index: rows (N,) for modalities whose samples are not in order, or occur in several pairs: sample i of m is row
    index[m][i] of tensors[m].
    """

    tensors: dict[str, Tensor]
    index: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        name, tensor = next(iter(self.tensors.items()))
        return len(self.index.get(name, tensor))

    def batch(self, index: Tensor | slice) -> Batch:
        """The samples at `index`; uint8 images become floats in [0, 1] with channels last in memory."""
        return {
            name: as_input(tensor[self.index[name][index] if name in self.index else index])
            for name, tensor in self.tensors.items()
        }


def as_input(x: Tensor) -> Tensor:
    """Images, uint8 (N, C, H, W), as floats in [0, 1]; bool, or uint8 of fewer axes (one-hot rows), as 0 and 1."""
    if x.dtype == torch.uint8 and x.dim() == 4:
        return x.to(torch.float32, memory_format=torch.channels_last).div_(255)
    return x.float() if x.dtype in (torch.uint8, torch.bool) else x


def load_split(folder: str | Path, split: str, modalities: dict[str, str], device: torch.device) -> Split:
    """A split with its modalities named as the experiment names them. InputError: a file is missing or damaged."""
    folder = Path(folder)
    names = dict(modalities)
    if (folder / f"labels_{split}.npy").exists():
        names["labels"] = "labels"
    tensors, index = (
        {
            name: torch.from_numpy(load_array(path)).to(device)
            for name, key in names.items()
            if (path := folder / f"{key}_{split}{suffix}.npy").exists() or not suffix
        }
        for suffix in ("", "_index")
    )
    return Split(tensors, index)


def load_array(path: Path) -> np.ndarray:
    """An array of a prepared data set; a large one stays in its file, and costs no memory. InputError: as above."""
    try:
        # copy on write: the file is never changed, and torch gets the writable array that it asks for
        mapped = np.load(path, mmap_mode="c", allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: the data set has no such array; name another, or delete its folder") from None
    except (ValueError, EOFError) as error:
        raise InputError(f"{path}: unreadable ({error}); delete its folder and run the workflow again") from None
    return mapped if mapped.nbytes >= MAPPED_FROM_BYTES else np.array(mapped)


def load_captions(folder: str | Path, split: str) -> np.ndarray:
    """The captions of a split as text, (N, captions per sample)."""
    return load_array(Path(folder) / f"captions_{split}.npy")
