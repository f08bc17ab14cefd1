"""Multimodal VAEs with one shared latent variable and nothing below it: p(g) ∏_m p(x_m | g)."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from shared.models.contract import Batch, Likelihood
from shared.models.distributions import Prior, normal
from shared.models.shared_latent import Evidence, SharedLatentVAE


class SingleLatentVAE(SharedLatentVAE):
    """One expert q(g | x_m) per modality, joined by the subclass.

    encoders: x_m (B, ...) -> the expert's parameters (B, 2 D).
    decoders: g (N, D) -> the likelihood's parameters.
    posterior: parameters -> the distribution that they are the parameters of, batch shape (B,), event shape (D,).
    """

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        decoders: Mapping[str, nn.Module],
        likelihoods: Mapping[str, Likelihood],
        prior: Prior,
        kl_weight: Callable[[int], float],
        posterior: Callable[[Tensor], Independent] = normal,
    ) -> None:
        super().__init__(likelihoods, prior, kl_weight)
        self.encoders = nn.ModuleDict(encoders)
        self.decoders = nn.ModuleDict(decoders)
        self.distribution = posterior

    @abstractmethod
    def combine(self, experts: Sequence[Independent]) -> Distribution:
        """q(g | given), made of the experts of the given modalities."""

    def experts(self, given: Batch) -> dict[str, Independent]:
        """q(g | x_m) for each given modality."""
        return {m: self.distribution(self.encoders[m](given[m])) for m in self.modalities if m in given}

    def encode(self, given: Batch) -> tuple[Distribution, Evidence]:
        return self.combine(list(self.experts(given).values())), {}

    def decoder_output(self, m: str, g: Tensor, state: Tensor) -> Tensor:
        return self.decoders[m](g)
