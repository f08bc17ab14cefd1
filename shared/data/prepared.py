"""What a data set offers to shared.stages.prepare, whatever it comes from, and how experiments.yaml asks for it."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from shared.errors import InputError, validated

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Rows:
    """An array that is made block by block, for those that do not fit in memory.

    count: N. shape: of one row. make: starts an iterator over blocks of rows, (n, *shape), N rows in all.
    """

    count: int
    shape: tuple[int, ...]
    dtype: Any
    make: Callable[[], Iterator[np.ndarray]]

    def __len__(self) -> int:
        return self.count


Array = np.ndarray | Rows


@dataclass(frozen=True)
class Prepared:
    """Arrays of each split, whose first axis counts the samples of the split.

    splits: split -> name -> array: `x1`, `x2`, ... hold the modalities (images as uint8 (N, C, H, W)); `labels`, where
    there are any, classes (N,) as indices of `classes`, which mean the same in every split.
    index: split -> name -> rows (N,): sample i is row index[i] of that array, which may then be shorter or longer than
    N. Pairs of images are made so, without a copy of any.
    official: whether these are the very data that papers use.
    classes: their names. constants: arrays that no split owns. description: for people (tables). files: ledger key ->
    the local file read. notes: more that data.json should say.
    """

    splits: Mapping[str, Mapping[str, Array]]
    stand_in: bool
    description: str
    official: bool = False
    classes: Sequence[str] = ()
    index: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)

    def samples(self, split: str) -> int:
        """Number of samples N of a split. ValueError: its arrays differ in it, or rows or classes are out of range."""
        arrays, index = self.splits[split], self.index.get(split, {})
        counts = {name: len(index.get(name, array)) for name, array in arrays.items()}
        if len(set(counts.values())) != 1:
            raise ValueError(f"{split}: arrays of different lengths, {counts}")
        ranges = {name: (rows, len(arrays[name])) for name, rows in index.items()}
        if "labels" in arrays:
            ranges["labels"] = (arrays["labels"], len(self.classes))
        for name, (values, end) in ranges.items():
            if len(values) and not 0 <= values.min() <= values.max() < end:
                raise ValueError(f"{split}: {name} from {values.min()} to {values.max()}, where {end - 1} is the last")
        return next(iter(counts.values()))


class DatasetOptions(BaseModel):
    """A data set's options are a class of this kind: what experiments.yaml may say of them, and their defaults."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


# Whole data sets of larger images would not fit in memory; with fewer images, a split may be empty.
ImageSize = Annotated[int, Field(ge=1, le=256)]
ImageCount = Annotated[int, Field(ge=10)]
_Options = TypeVar("_Options", bound=DatasetOptions)


@dataclass(frozen=True)
class DatasetSpec:
    """What to prepare, as experiments.yaml says it; the options are the data set's own."""

    name: str
    source: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, text: str) -> "DatasetSpec":
        """InputError: not a JSON object, or without name and source."""
        try:
            values = json.loads(text)
            return cls(values.pop("name"), values.pop("source"), values)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError(f"--spec {text}: write a JSON object with name and source") from None

    def read(self, kind: type[_Options]) -> _Options:
        """The options. InputError: an unknown one, or a value of the wrong type, size or choice."""
        return validated(kind, self.options, f"data set {self.name} ({self.source}): ")


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    """float32 (N, classes) from class numbers (N,), counted from 0."""
    return np.eye(classes, dtype=np.float32)[labels]


def random_split(count: int, seed: int) -> dict[str, np.ndarray]:
    """Indices of a random split: 85 % for training, a tenth of them for validation; 15 % for testing (MHVAE, 3.1.1)."""
    order = np.random.default_rng(seed).permutation(count)
    testing = round(0.15 * count)
    validation = round(0.1 * (count - testing))
    test, val, train = np.split(order, [testing, testing + validation])
    return {"train": train, "val": val, "test": test}


def pair_by_class(*labels: np.ndarray, multiplicity: int, seed: int) -> tuple[np.ndarray, ...]:
    """Pairs, triples, ... of equal class, one of each of the data sets whose classes (N_m,) are given.

    `multiplicity` times, every class gives as many pairs as the data set with the fewest of it has, each time from new
    random orders (MMVAE, 4.2: 20 partners for each instance; its released code keeps to the first images of the larger
    data set).

    Returns:
        For each data set the rows of its samples, (pairs,): sample i of data set m is row index[m][i].
    """
    rng = np.random.default_rng(seed)
    of_class = [[np.flatnonzero(each == c) for each in labels] for c in np.unique(labels[0])]
    pairs = [
        [rng.permutation(rows)[: min(map(len, members))] for rows in members]
        for _ in range(multiplicity)
        for members in of_class
    ]
    return tuple(np.concatenate(rows) for rows in zip(*pairs, strict=True))
