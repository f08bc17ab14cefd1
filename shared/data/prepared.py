"""What a data set offers to shared.stages.prepare, whatever it comes from, and how experiments.yaml asks for it."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from shared.errors import InputError

SPLITS = ("train", "val", "test")
# Bounds of options that several data sets have.
LARGEST_SIDE = 256  # of an image, in pixels: whole data sets of larger ones would not fit in memory
LEAST_IMAGES = 10  # of those that are split: with fewer, a split may be empty


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
    there are any, int64 class numbers (N,). constants: arrays that no split owns.
    description: for people (tables). files: ledger key -> the local file read. notes: more that data.json should say.
    """

    splits: Mapping[str, Mapping[str, Array]]
    stand_in: bool
    description: str
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Whole:
    """An option that is a whole number: its default and its bounds, `most` included; None: there is none."""

    default: int
    least: int = 1
    most: int | None = None

    def allows(self, value: Any) -> bool:
        return type(value) is int and value >= self.least and (self.most is None or value <= self.most)

    def __str__(self) -> str:
        return f"a whole number from {self.least}" + ("" if self.most is None else f" to {self.most}")


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
        except ValueError as error:
            raise InputError(f"--spec: not valid JSON ({error})") from None
        if not isinstance(values, dict):
            raise InputError("--spec: must be a JSON object")
        for key in ("name", "source"):
            if not isinstance(values.get(key), str):
                raise InputError(f"--spec: key {key!r} is missing or no string")
        options = {key: value for key, value in values.items() if key not in ("name", "source")}
        return cls(values["name"], values["source"], options)

    def read(self, **known: Any) -> SimpleNamespace:
        """The options, those that are not given at their default.

        known: option -> default. A tuple lists the possible strings, the default first; `Whole` is a whole number
        with bounds. A mere number has to be at least 1, or at least 0 where the option's name ends in `seed`.

        InputError: an unknown option, or a value of the wrong type, size or choice.
        """
        where = f"data set {self.name} ({self.source})"
        for key in self.options:
            if key not in known:
                raise InputError(f"{where}: unknown option {key!r}; there are {', '.join(known) or 'none'}")
        values = {}
        for key, default in known.items():
            if isinstance(default, int):
                default = Whole(default, least=0 if key.endswith("seed") else 1)
            if isinstance(default, Whole):
                value = self.options.get(key, default.default)
                wanted = None if default.allows(value) else str(default)
            else:
                value = self.options.get(key, default[0])
                wanted = None if value in default else f"one of {', '.join(default)}"
            if wanted:
                raise InputError(f"{where}: {key} is {value!r}; it must be {wanted}")
            values[key] = value
        return SimpleNamespace(**values)


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
