"""MMVAE (Shi et al., 2019): one latent variable with a mixture-of-experts posterior."""

from collections.abc import Sequence

from torch.distributions import Independent, MixtureSameFamily

from shared.models.experts import mixture_of_experts
from shared.models.single_latent import SingleLatentVAE


class MMVAE(SingleLatentVAE):
    """Mixture-of-experts VAE, for any number of modalities, trained on the ELBO.

    The objective is the paper's looser bound (section 3) with one importance sample inside the logarithm; further
    samples are averaged outside of it. The expectation under the mixture is stratified over its experts, and the
    density of a sample is that of the whole mixture.
    """

    def combine(self, experts: Sequence[Independent]) -> MixtureSameFamily:
        return mixture_of_experts(experts)
