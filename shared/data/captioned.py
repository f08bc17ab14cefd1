"""What data sets of images with captions have in common: x1 the images, x2 standardised caption features."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared.data.prepared import SPLITS, Prepared

CAPTIONS_PER_IMAGE = 10
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

    images: uint8 (N, 3, H, W), RGB; labels: int64 (N,), the original class numbers;
    captions: str (N, 10); features: float32 (N, D), the mean of the ten captions' features.
    """

    images: np.ndarray
    labels: np.ndarray
    captions: np.ndarray
    features: np.ndarray


def prepared(
    splits: Mapping[str, Captioned],
    stand_in: bool,
    caption_features: str,
    description: str,
    files: Mapping[str, Path],
    official: bool = False,
) -> Prepared:
    """The arrays that models see: features standardised with the training split's statistics (HMVAE, App. C.3).

    Splits share no class. Those of training count first, so that a classifier trained on them has as many outputs.
    """
    standardise = Standardisation.of(splits["train"].features)
    classes = [number for split in SPLITS for number in np.unique(splits[split].labels)]
    place = {number: index for index, number in enumerate(classes)}
    return Prepared(
        splits={
            split: {
                "x1": part.images,
                "x2": standardise(part.features),
                "labels": np.array([place[number] for number in part.labels]),
                "captions": part.captions,
            }
            for split, part in splits.items()
        },
        stand_in=stand_in,
        official=official,
        description=description,
        classes=[f"class_{number:05d}" for number in classes],
        constants={"x2_mean": standardise.mean, "x2_std": standardise.std},
        files=files,
        notes={"caption_features": caption_features},
    )
