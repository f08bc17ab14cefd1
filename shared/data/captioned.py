"""What data sets of images with captions have in common: x1 the images, x1_features and x2 standardised features."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared.data.prepared import SPLITS, Prepared

CAPTIONS_PER_IMAGE = 10
# What Reed et al. (2016) read of a caption. Their 70 letters name the hyphen twice; the second one counts.
LETTERS, CAPTION_LENGTH = "abcdefghijklmnopqrstuvwxyz0123456789-,;.!?:'\"/\\|_@#$%^&*~`+-=<>()[]{} ", 201
# As options of experiments.yaml; the sources differ in the caption features that they can make.
IMAGE_SIZE, CAPTION_DIM = 64, 1024


@dataclass(frozen=True)
class Standardisation:
    """x -> (x - mean) / std for each column; both float32 (D,)."""

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> "Standardisation":
        """Statistics of the training features (N, D); HMVAE, App. C.3.

        A constant column has no scale: its std is set to 1, so that it becomes exactly 0.
        """
        low, high = features.min(axis=0), features.max(axis=0)
        mean = features.mean(axis=0, dtype=np.float64)
        std = features.std(axis=0, dtype=np.float64)
        constant = low == high
        mean[constant], std[constant] = low[constant], 1.0
        return cls(mean.astype(np.float32), std.astype(np.float32))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        return (features - self.mean) / self.std


@dataclass(frozen=True)
class Captioned:
    """N images with their captions.

    images: uint8 (N, 3, H, W), RGB; labels: int64 (N,), the original class numbers; captions: str (N, 10).
    features: float32 (N, D) each, by the array's name, as far as they are not left to an encoder: `x1_features` of the
    images, `x2` the mean of the ten captions' features.
    """

    images: np.ndarray
    labels: np.ndarray
    captions: np.ndarray
    features: Mapping[str, np.ndarray]


def characters(captions: np.ndarray) -> np.ndarray:
    """Captions (N, C) as numbers of their letters in lower case, int16 (N, C, 201): 1 to 70, 0 for none or another."""
    place = np.zeros(0x110000, np.int16)
    for number, letter in enumerate(LETTERS, 1):
        place[ord(letter)] = number
    lower = np.char.lower(captions).astype(f"U{CAPTION_LENGTH}")
    return place[lower.view(np.uint32).reshape(*captions.shape, CAPTION_LENGTH)]


def every_tenth(labels: np.ndarray) -> np.ndarray:
    """Whether an image is the 1st, 11th, ... of its class, bool (N,): to test networks that know the classes."""
    held_out = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        held_out[np.flatnonzero(labels == label)[::10]] = True
    return held_out


def prepared(
    splits: Mapping[str, Captioned],
    stand_in: bool,
    description: str,
    notes: Mapping[str, str],
    files: Mapping[str, Path],
    official: bool = False,
) -> Prepared:
    """The arrays that models see: features standardised with the training split's statistics (HMVAE, App. C.2, C.3).

    Splits share no class. Those of training count first, so that a classifier trained on them has as many outputs.
    """
    standardise = {name: Standardisation.of(features) for name, features in splits["train"].features.items()}
    classes = [number for split in SPLITS for number in np.unique(splits[split].labels)]
    place = {number: index for index, number in enumerate(classes)}
    return Prepared(
        splits={
            split: {
                "x1": part.images,
                **{name: standardise[name](features) for name, features in part.features.items()},
                "labels": np.array([place[number] for number in part.labels]),
                "captions": part.captions,
                "characters": characters(part.captions),
                **({"held_out": every_tenth(part.labels)} if split == "train" else {}),
            }
            for split, part in splits.items()
        },
        stand_in=stand_in,
        official=official,
        description=description,
        classes=[f"class_{number:05d}" for number in classes],
        constants={f"{name}_{each}": getattr(of, each) for name, of in standardise.items() for each in ("mean", "std")},
        files=files,
        notes=notes,
    )
