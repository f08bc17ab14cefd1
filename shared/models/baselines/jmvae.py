"""JMVAE-kl: Joint Multimodal Learning with Deep Generative Models (Suzuki, Nakayama and Matsuo, 2016)."""

from collections.abc import Mapping, Sequence

import torch
from torch import Generator, nn
from torch.distributions import Independent, kl_divergence

from shared.models.contract import Batch, Loss
from shared.models.experts import product_of_posteriors
from shared.models.shared_latent import Evidence, averaged, total
from shared.models.single_latent import SingleLatentVAE


class JMVAE(SingleLatentVAE):
    """One encoder that sees all modalities, and one per modality that learns to agree with it.

    joint_trunks: x_m (B, ...) -> a hidden representation. joint_head: all of them concatenated, in the modalities'
    order -> parameters of q(g | x_1:M), (B, 2 D).
    alpha: weight of the terms that train the encoders of single modalities.
    arguments, named: SingleLatentVAE's.
    """

    def __init__(
        self,
        *arguments: object,
        joint_trunks: Mapping[str, nn.Module],
        joint_head: nn.Module,
        alpha: float,
        **named: object,
    ) -> None:
        super().__init__(*arguments, **named)
        self.joint_trunks = nn.ModuleDict(joint_trunks)
        self.joint_head = joint_head
        self.alpha = alpha

    def combine(self, experts: Sequence[Independent]) -> Independent:
        """A single modality's own posterior. Of several, but not all, the paper trains none: Bayes' rule joins them."""
        if len(experts) == 1:
            return experts[0]
        return product_of_posteriors(experts, self.prior(len(experts[0].mean)))

    def joint_posterior(self, x: Batch) -> Independent:
        """q(g | x_1:M) of the encoder that sees all modalities."""
        hidden = [trunk(x[m]) for m, trunk in self.joint_trunks.items()]
        return self.distribution(self.joint_head(torch.cat(hidden, dim=1)))

    def encode(self, given: Batch) -> tuple[Independent, Evidence]:
        if all(m in given for m in self.modalities):
            return self.joint_posterior(given), {}
        return super().encode(given)

    def loss(self, batch: Batch, epoch: int, samples: int, generator: Generator) -> Loss:
        """-ELBO + α Σ_m KL(q(g | x_1:M) || q(g | x_m)), the mean over the batch in nats.

        The weight of the epoch is on the ELBO's own KL term only: the others regularise no latent variable.
        """
        x = {m: batch[m] for m in self.modalities}
        q = self.joint_posterior(x)
        terms = self.elbo_terms(q, {}, x, samples, generator)
        matches = {f"match_{m}": kl_divergence(q, expert) for m, expert in self.experts(x).items()}
        reconstruction, mismatch = total(terms, "log_p_"), total(matches, "match_")
        objective = self.kl_weight(epoch) * terms["kl_g"] - reconstruction + self.alpha * mismatch
        return Loss(objective.mean(), averaged(terms | matches | {"elbo": reconstruction - terms["kl_g"]}))
