"""What a data set of images and captions offers to shared.prepare, whatever it comes from."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path

import numpy as np

from shared.errors import InputError

SPLITS = ("train", "val", "test")
CAPTIONS_PER_IMAGE = 10


@dataclass(frozen=True)
class DatasetSpec:
    """What to prepare, as experiments.yaml says it. `images_per_class` and `seed` are for drawn data only."""

    name: str
    source: str
    caption_features: str = "tfidf_svd"
    image_size: int = 64
    caption_dim: int = 1024
    images_per_class: int = 20
    seed: int = 0

    @classmethod
    def from_json(cls, text: str) -> "DatasetSpec":
        """InputError: not a JSON object, an unknown or missing key, or a value of the wrong type or sign."""
        try:
            values = json.loads(text)
        except ValueError as error:
            raise InputError(f"--spec: not valid JSON ({error})") from None
        if not isinstance(values, dict):
            raise InputError("--spec: must be a JSON object")
        types = {each.name: each.type for each in fields(cls)}
        for key, value in values.items():
            if key not in types:
                raise InputError(f"--spec: unknown key {key!r}; the keys are {', '.join(types)}")
            least = 0 if key == "seed" else 1
            if type(value) is not types[key] or (types[key] is int and value < least):
                wanted = "a string" if types[key] is str else f"a whole number from {least}"
                raise InputError(f"--spec: {key} is {value!r}; it must be {wanted}")
        for each in fields(cls):
            if each.default is MISSING and each.name not in values:
                raise InputError(f"--spec: key {each.name!r} is missing")
        return cls(**values)


@dataclass(frozen=True)
class PairedSplit:
    """N images with their captions.

    images: uint8 (N, 3, H, W), RGB; labels: int64 (N,), the original class numbers;
    captions: str (N, 10); features: float32 (N, D), the mean of the ten captions' features.
    """

    images: np.ndarray
    labels: np.ndarray
    captions: np.ndarray
    features: np.ndarray


@dataclass(frozen=True)
class PairedData:
    """A data set split by class: no class occurs in two splits.

    `caption_features` and `description` are for people (tables); `files` maps ledger keys to the local
    files read.
    """

    splits: Mapping[str, PairedSplit]
    stand_in: bool
    caption_features: str
    description: str
    files: Mapping[str, Path] = field(default_factory=dict)


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


def require_caption_source(spec: DatasetSpec, known: tuple[str, ...]) -> None:
    """InputError: the data set cannot make the caption features that the specification asks for."""
    if spec.caption_features not in known:
        choices = ", ".join(known)
        raise InputError(
            f"caption_features {spec.caption_features!r}: {spec.name} ({spec.source}) has none; use {choices}"
        )
