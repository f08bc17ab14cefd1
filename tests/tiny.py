"""A model of a few weights with everything a resumed run must get right: noise, buffers, momentum, named terms."""

import os
import signal
import time
from dataclasses import dataclass

import torch
from pydantic import PositiveInt
from torch import Generator, Tensor, nn

from shared.metrics.protocol import Context, Evaluation
from shared.models.contract import Loss, Trainable


class Tiny(Trainable):
    """A noisy autoencoder of `x` (B, 3).

    `TINY_PAUSE`: seconds per step; `TINY_NAN`: the step whose loss is NaN; `TINY_STOP`: the one in which SIGTERM comes.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(3, hidden), nn.BatchNorm1d(hidden))
        self.decode = nn.Linear(hidden, 3)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def loss(self, batch: dict[str, Tensor], epoch: int, samples: int, generator: Generator) -> Loss:
        time.sleep(float(os.environ.get("TINY_PAUSE", "0")))
        self.steps += 1
        if self.steps == int(os.environ.get("TINY_STOP", "0")):
            signal.raise_signal(signal.SIGTERM)
        hidden = self.encode(batch["x"])
        noisy = hidden + 0.1 * torch.randn((samples, *hidden.shape), generator=generator)
        error = (self.decode(noisy) - batch["x"]).square().mean()
        if self.steps == int(os.environ.get("TINY_NAN", "0")):
            error = error * float("nan")
        return Loss(error + 0.01 * epoch, {"error": error.detach()})


def model(hidden: PositiveInt) -> Tiny:
    return Tiny(hidden)


def pretrained(weights: str, device: str) -> Tiny:
    """A network that others trained, as far as tests go."""
    return Tiny(2)


@dataclass(frozen=True)
class Settings:
    """What `evaluation` holds beside the networks."""

    points: PositiveInt


def evaluate(context: Context) -> Evaluation:
    """The error of the first test points."""
    settings = Settings(**context.settings)
    x = context.split("test").batch(slice(settings.points))["x"]
    error = (context.model.decode(context.model.encode(x)) - x).square().mean(1)
    row = {"key": "x/error", "variant": "", "value": error.mean().item(), "unit": "", "samples": settings.points}
    return Evaluation([row], {}, f"{settings.points} points", {("x/error", ""): error.detach().double().numpy()})
