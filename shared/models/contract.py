"""What every model offers, so that training, likelihoods, metrics and figures are written once.

Tensors are `(K, B, ...)`: K samples, B data points. A batch is a dictionary from modality names to tensors whose
first axis is B. All randomness comes from the generator that the caller passes, never from global state.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.distributions import Distribution

Batch = dict[str, Tensor]
Latents = dict[str, Tensor]


@dataclass(frozen=True)
class Loss:
    """A training loss.

    total: scalar to minimise, in nats per data point for a VAE.
    terms: its named parts (detached scalars), the same names in every batch of a run.
    """

    total: Tensor
    terms: dict[str, Tensor]


class Trainable(nn.Module, ABC):
    """What the training loop needs: VAEs, and the networks that only metrics use."""

    @abstractmethod
    def loss(self, batch: Batch, epoch: int, samples: int, generator: Generator) -> Loss:
        """Loss of a batch in `epoch` (counted from 0), with `samples` posterior samples per data point."""


class MultimodalVAE(Trainable):
    """The contract between the models of all papers and every metric and figure."""

    modalities: tuple[str, ...]
    latent_variables: int

    @abstractmethod
    def posterior(self, given: Batch) -> Distribution:
        """q(g | given): the shared latent variable's posterior given any non-empty subset of modalities.

        Its batch shape is (B,), its event shape (D,).
        """

    @abstractmethod
    def sample_latents(self, given: Batch, samples: int, generator: Generator) -> tuple[Latents, Tensor]:
        """K samples of all latent variables with their log density.

        A modality that is not given has its own latent variables drawn from their (conditional) prior.

        Returns: latents, each (K, B, ...), and log q(latents | given), (K, B), in nats.
        """

    @abstractmethod
    def log_prior(self, latents: Latents) -> Tensor:
        """log p(latents) of all latent variables in nats, (K, B)."""

    @abstractmethod
    def log_likelihoods(self, latents: Latents, x: Batch) -> dict[str, Tensor]:
        """log p(x_m | latents) in nats, (K, B), for each modality in `x`."""

    def log_joint(self, latents: Latents, x: Batch) -> Tensor:
        """log p(x, latents) in nats, (K, B), where the likelihood counts the modalities in `x` only."""
        return sum(self.log_likelihoods(latents, x).values(), self.log_prior(latents))

    @abstractmethod
    def generate(
        self,
        given: Batch,
        targets: Sequence[str],
        samples: int,
        generator: Generator,
        means_of: Sequence[int] = (),
        batch: int | None = None,
    ) -> Batch:
        """Means of p(x_t | latents) for each target t, (K, B, ...).

        The shared variable comes from q(g | given), or from its prior if nothing is given (`batch` then says B);
        a target's own latent variables come from their (conditional) priors. `means_of` lists hierarchical
        levels (1 is next to the data) whose latent variables take the prior's mean instead of a sample.
        """

    def represent(self, given: Batch) -> Tensor:
        """A representation of the given modalities, (B, D): the posterior mean of the shared variable."""
        return self.posterior(given).mean


def per_modality(
    name: str, given: Mapping[str, float] | None, modalities: Sequence[str], default: float | None = 1.0
) -> dict[str, float]:
    """A number for each modality, in their order: the given one, or else the default.

    ValueError: given for something that is no modality, or missing where there is no default.
    """
    given = dict(given or {})
    wrong = sorted(set(given) - set(modalities)) or (
        [m for m in modalities if m not in given] if default is None else []
    )
    if wrong:
        raise ValueError(f"{name}: {', '.join(wrong)}: give a number for each of {', '.join(modalities)}, and no other")
    return {m: given.get(m, default) for m in modalities}


def batch_size(batch: Batch) -> int:
    return next(iter(batch.values())).shape[0]


def fold(x: Tensor) -> Tensor:
    """(K, B, ...) -> (K B, ...), so that one network call serves all samples."""
    return x.reshape(-1, *x.shape[2:])


def unfold(x: Tensor, samples: int) -> Tensor:
    """(K B, ...) -> (K, B, ...)."""
    return x.reshape(samples, -1, *x.shape[1:])


def repeat(x: Tensor, samples: int) -> Tensor:
    """(B, ...) -> (K B, ...), sample-major as `fold` lays them out."""
    return x.unsqueeze(0).expand(samples, *x.shape).reshape(-1, *x.shape[1:])


def normal_noise(shape: Sequence[int], like: Tensor, generator: Generator) -> Tensor:
    return torch.randn(tuple(shape), generator=generator, device=like.device, dtype=like.dtype)
