"""Pieces of training objectives that several papers share."""

from dataclasses import dataclass


@dataclass(frozen=True)
class KLWeight:
    """Weight of a KL term in an epoch, counted from 0: beta, reached linearly over the first `warmup` epochs.

    It is 0 in the first epoch, and beta from the first one on without warm-up (Sønderby et al., 2016; HMVAE App. C.4).
    """

    warmup: int = 0
    beta: float = 1.0

    def __call__(self, epoch: int) -> float:
        return self.beta * (min(1.0, epoch / self.warmup) if self.warmup else 1.0)
