"""What protocols are given, in tests."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Generator

from shared.data.arrays import Split
from shared.metrics.protocol import Context


class Given(Context):
    """A context whose splits and random numbers a test gives; the files of the data lie in a folder of its own."""

    def __init__(
        self,
        model: Any,
        test: Split,
        generator: Callable[..., Generator],
        data: Path = Path(),
        evaluators: Mapping[str, Any] | None = None,
        train: Split | None = None,
        **settings: Any,
    ) -> None:
        super().__init__({"evaluation": settings}, model, data, evaluators or {}, torch.device("cpu"))
        object.__setattr__(self, "given", {"test": test, "train": train})
        object.__setattr__(self, "numbers", generator)

    def split(self, name: str) -> Split:
        return self.given[name]

    def generator(self, *purpose: str | int) -> Generator:
        return self.numbers(*purpose)
