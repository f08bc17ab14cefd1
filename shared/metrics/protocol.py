"""What the papers' evaluation protocols are given and return, and small steps that they share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from math import inf, isfinite
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from shared.data.arrays import Split, load_split
from shared.data.manifest import describe_data
from shared.errors import InputError
from shared.models.contract import MultimodalVAE
from shared.run.seeds import derive_seed


@dataclass(frozen=True)
class Context:
    """All that a protocol may use.

    spec: the run's specification, whose `evaluation` holds the protocol's settings. model: in evaluation mode.
    data: folder of the prepared data. evaluators: the networks that `evaluation.evaluators` names, by role; a trained
    one is a module, a pretrained one what its builder makes of its weights.
    """

    spec: dict[str, Any]
    model: MultimodalVAE
    data: Path
    evaluators: Mapping[str, Any]
    device: torch.device

    @property
    def settings(self) -> dict[str, Any]:
        """The specification's `evaluation`, without the networks' roles."""
        return {key: value for key, value in self.spec["evaluation"].items() if key != "evaluators"}

    @property
    def about(self) -> dict[str, Any]:
        """data.json of the prepared data."""
        return describe_data(self.data)

    def split(self, name: str) -> Split:
        """`train`, `val` or `test`, on the device; probes are fitted on the first."""
        return _loaded(self.data, name, tuple(self.spec["modalities"].items()), self.device)

    def generator(self, *purpose: str | int) -> Generator:
        """Random numbers for one purpose, so that metrics are independent of each other."""
        return Generator(self.device).manual_seed(derive_seed(self.spec, "evaluation", *purpose))


@cache
def _loaded(folder: Path, name: str, modalities: tuple[tuple[str, str], ...], device: torch.device) -> Split:
    return load_split(folder, name, dict(modalities), device)


# What a metric of a unit can be. A log-likelihood of -6e13 nats is that of a decoder which is wrong by 100 in each of
# 12,288 standardised dimensions, at the smallest scale there is, 1e-3; from 1e15 on float64 counts no tenths of a nat.
# Weights with a wrong bit give 1e30 and more.
POSSIBLE = {"nats": (-1e15, 1e15), "%": (0, 100)}
ROUNDING = 1e-9  # of a share of 100 %
CAUSES = "evaluate again; if it stays, the training failed (its curve is in train.json) or the protocol is wrong"


@dataclass(frozen=True)
class Evaluation:
    """What a protocol found out about a run. InputError: a row lacks something, or has a value that can't be.

    metrics: rows of metrics.json: key, variant, value, unit, samples, and where they are known standard_error (over
    test points), monte_carlo_error, and features, the name of what stands for the paper's own features.
    samples: arrays for samples.npz, which figures show. points: values of single test points (N,) by the metric's
    key and variant, the same points in the same order for all models. protocol: for readers, one line.
    """

    metrics: list[dict[str, Any]]
    samples: dict[str, np.ndarray]
    protocol: str
    points: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for row in self.metrics:
            if missing := {"key", "variant", "value", "unit", "samples"} - set(row):
                raise InputError(f"the row {row} lacks {', '.join(sorted(missing))}; add it to the protocol")
            low, high = POSSIBLE.get(row["unit"], (-inf, inf))
            wrong = [name for name, value in row.items() if isinstance(value, float) and not isfinite(value)]
            if not low - ROUNDING <= row["value"] <= high + ROUNDING:
                wrong.append("value")
            if wrong:
                found = f"{wrong[0].replace('_', ' ')} {row[wrong[0]]} {row['unit']}".rstrip()
                raise InputError(f"{row['key']} {row['variant']}: {found} can't be; {CAUSES}")
        for metric, values in self.points.items():
            if lost := int((~np.isfinite(values)).sum()):
                raise InputError(f"{' '.join(metric)}: not finite at {lost} of {len(values)} points; {CAUSES}")


def spread(points: int, total: int) -> Tensor:
    """`points` different indices below `total`, evenly spread: the middles of as many equal parts.

    ValueError: there are not so many.
    """
    if not 0 < points <= total:
        raise ValueError(f"{points} of {total} points: ask for 1 to {total}")
    return ((2 * torch.arange(points) + 1) * total) // (2 * points)


def to_uint8(images: Tensor) -> np.ndarray:
    """Images as figures store them. Means of a likelihood may lie outside [0, 1]: black and white are the ends."""
    return (images.clamp(0, 1) * 255).round().to(torch.uint8).cpu().contiguous().numpy()
