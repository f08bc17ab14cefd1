"""A model of a few weights with everything a resumed run must get right: noise, buffers, momentum, named terms."""

import os
import time

import torch
from torch import Generator, Tensor, nn

from shared.models.contract import Loss, Trainable


class Tiny(Trainable):
    """A noisy autoencoder of `x` (B, 3). `TINY_PAUSE`: seconds per step; `TINY_NAN`: the step whose loss is NaN."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(3, hidden), nn.BatchNorm1d(hidden))
        self.decode = nn.Linear(hidden, 3)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def loss(self, batch: dict[str, Tensor], epoch: int, samples: int, generator: Generator) -> Loss:
        time.sleep(float(os.environ.get("TINY_PAUSE", "0")))
        self.steps += 1
        hidden = self.encode(batch["x"])
        noisy = hidden + 0.1 * torch.randn((samples, *hidden.shape), generator=generator)
        error = (self.decode(noisy) - batch["x"]).square().mean()
        if self.steps == int(os.environ.get("TINY_NAN", "0")):
            error = error * float("nan")
        return Loss(error + 0.01 * epoch, {"error": error.detach()})


def model(hidden: int) -> Tiny:
    return Tiny(hidden)
