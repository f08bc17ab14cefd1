"""What every model offers, so that training, likelihoods, metrics and figures are written once.

**Tensors** are `(K, B, ...)`: K samples, B data points. A batch is a dictionary from modality names to tensors whose
first axis is B. Densities and divergences are in nats. Randomness comes from the generator that the caller passes;
only `nn.Dropout` and the like may draw from torch's own in training, which seeds and saves it. Where the data have
classes, a batch for `loss` also has `labels` (B,).

**A model** has modalities x_m, each with a likelihood p(x_m | latents), and latent variables: `g`, which all modalities
share, and any number of each modality's own, named `z_<m>_<level>`, level 1 next to the data. It may be given any
subset of the modalities, none included. What an evaluation does is made of four pieces,

    latents, log_q = model.sample_latents(given, samples, generator)     from q(latents | given), or from the prior
    model.log_prior(latents)                                             log p(latents)
    model.log_likelihoods(latents, x)                                    log p(x_m | latents)
    model.decode(latents, targets)                                       the parameters of p(x_t | latents)

and latents are plain tensors that may be changed between the pieces. `generate` is sampling, decoding and the mean of
the likelihood; a traversal moves one coordinate of g before decoding; swapping z_m_1 between data points, or drawing it
from another prior, is one assignment. log_joint - log_q is an importance weight.

**A training loss** is the model's own. It usually, but not always, is a bound under the posteriors that evaluation uses
(see `MultimodalVAE.posterior`), and may hold several importance samples in a logarithm or give gradients of its own
by hooks on samples (tests/shared/models/test_importance_objectives.py has one): the loop only calls `total.backward()`.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeVar

from torch import Generator, Tensor, nn
from torch.distributions import Distribution

if TYPE_CHECKING:
    from shared.data.arrays import Split  # which imports this module

Batch = dict[str, Tensor]
Latents = dict[str, Tensor]
Value = TypeVar("Value")


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


class Encoder(Trainable):
    """A network that completes the data of an experiment with its features (`data.encoders` of experiments.yaml).

    name: for readers. encodes: the note of data.json that says it, such as "caption_features". feature_dim: D.
    """

    name: ClassVar[str]
    encodes: ClassVar[str]
    feature_dim: int

    @abstractmethod
    def encode(self, batch: Batch) -> Tensor:
        """Features (B, D) of the data points."""

    @abstractmethod
    def quality(self, features: Mapping[str, Tensor], splits: Mapping[str, "Split"]) -> dict[str, float]:
        """How good the features (N, D) of each split are, on data that the training did not see: shares in [0, 1] by
        their names in words."""


class Likelihood(ABC):
    """p(x_m | latents), from the parameters that a decoder gives."""

    @abstractmethod
    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """Log density in nats, summed over a data point, (K, B).

        parameters: (K, B, ...). x: (B, ...), which is never copied K times.
        """

    @abstractmethod
    def mean(self, parameters: Tensor) -> Tensor:
        """Mean of the likelihood in the shape of the data, (K, B, ...)."""

    @abstractmethod
    def sample(self, parameters: Tensor, generator: Generator) -> Tensor:
        """One draw of the likelihood for each of its parameters, in the shape of the data, (K, B, ...)."""


class MultimodalVAE(Trainable):
    """The contract between the models of all papers and every metric and figure.

    prior: of the shared latent variable; called with B, it gives a distribution of batch shape (B,).
    latent_variables: how many there are, g included.
    """

    modalities: tuple[str, ...]
    likelihoods: Mapping[str, Likelihood]
    prior: nn.Module
    latent_variables: int

    @abstractmethod
    def posterior(self, given: Batch) -> Distribution:
        """q(g | given): the joint posterior given any non-empty subset of modalities.

        This is what evaluation draws from and takes representations from. With all modalities given it is the model's
        q(g | x_1:M): the product or the joint encoder where the model has one, the mixture where the paper defines its
        posterior as a mixture of experts or of subsets. A loss may draw from other distributions, as from each subset's
        posterior in turn: what training mixes over is the business of `loss` alone.

        Returns batch shape (B,), event shape (D,).
        """

    @abstractmethod
    def sample_latents(
        self,
        given: Batch,
        samples: int,
        generator: Generator,
        targets: Collection[str] | None = None,
        batch: int | None = None,
    ) -> tuple[Latents, Tensor]:
        """K samples of the latent variables with their log density.

        given: any subset of modalities. If empty, g comes from its prior, for `batch` data points.
        targets: modalities whose own latent variables are drawn, all by default. Those of a given one come from the
        posterior, so that decoding reconstructs it; those of any other one from their (conditional) prior.

        Returns: latents, each (K, B, ...), and the log density that they were drawn with, (K, B).
        """

    @abstractmethod
    def log_prior(self, latents: Latents) -> Tensor:
        """log p(latents), (K, B), of the latent variables that are there: g and the own ones of any modalities."""

    @abstractmethod
    def decode(self, latents: Latents, targets: Sequence[str]) -> Batch:
        """The parameters of p(x_t | latents) for each target t, (K, B, ...), as `likelihoods[t]` takes them."""

    def log_likelihoods(self, latents: Latents, x: Batch) -> dict[str, Tensor]:
        """log p(x_m | latents), (K, B), for each modality in `x`."""
        scored = (m for m in self.modalities if m in x)
        return {m: self.likelihoods[m].log_prob(self.decode(latents, [m])[m], x[m]) for m in scored}

    def log_joint(self, latents: Latents, x: Batch) -> Tensor:
        """log p(x, latents), (K, B), where the likelihood counts the modalities in `x` only."""
        return sum(self.log_likelihoods(latents, x).values(), self.log_prior(latents))

    def generate(
        self, given: Batch, targets: Sequence[str], samples: int, generator: Generator, batch: int | None = None
    ) -> Batch:
        """Means of p(x_t | latents) for each target t, (K, B, ...), the latents as `sample_latents` draws them."""
        latents, _ = self.sample_latents(given, samples, generator, targets, batch)
        return {t: self.likelihoods[t].mean(parameters) for t, parameters in self.decode(latents, targets).items()}

    def represent(self, given: Batch) -> Tensor:
        """A representation of the given modalities, (B, D): the posterior mean of the shared variable."""
        return self.posterior(given).mean


def per_modality(
    name: str, given: Mapping[str, Value] | None, modalities: Sequence[str], default: Value | None
) -> dict[str, Value]:
    """A value for each modality, in their order: the given one, or else the default.

    ValueError: given for something that is no modality, or missing where there is no default.
    """
    given = dict(given or {})
    wrong = sorted(set(given) - set(modalities)) or (
        [m for m in modalities if m not in given] if default is None else []
    )
    if wrong:
        raise ValueError(f"{name}: {', '.join(wrong)}: give a value for each of {', '.join(modalities)}, and no other")
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
