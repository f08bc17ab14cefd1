"""MVAE: Multimodal Generative Models for Scalable Weakly-Supervised Learning (Wu and Goodman, NeurIPS 2018)."""

from collections.abc import Sequence

from torch import Generator
from torch.distributions import Independent

from shared.contract import Batch, Loss
from shared.experts import product_of_experts
from shared.objectives import linear_warmup
from shared.shared_latent import detached, total
from shared.single_latent import SingleLatentVAE


class MVAE(SingleLatentVAE):
    """Product-of-experts VAE, for any number of modalities, with the prior as one of the experts."""

    def joint(self, experts: Sequence[Independent]) -> Independent:
        return product_of_experts(experts)

    def loss(self, batch: Batch, epoch: int, samples: int, generator: Generator) -> Loss:
        """-(ELBO(x_1:M) + Σ_m ELBO(x_m)), the mean over the batch in nats; KL terms carry the warm-up weight.

        The terms of single modalities train every encoder by itself, which a product posterior needs for
        crossmodal inference (Wu and Goodman, section 2.2). Each modality is encoded once for all terms.
        """
        beta = linear_warmup(epoch, self.warmup_epochs)
        experts = self.experts(batch)
        subsets = {"joint": tuple(experts)} | {m: (m,) for m in experts}
        objective, named = 0.0, {}
        for name, subset in subsets.items():
            q = self.joint([experts[m] for m in subset])
            terms = self.elbo_terms(q, {}, {m: batch[m] for m in subset}, samples, generator)
            divergence, reconstruction = total(terms, "kl_"), total(terms, "log_p_")
            objective = objective + beta * divergence - reconstruction
            named |= {f"{key}_{name}": value for key, value in terms.items()}
            named[f"elbo_{name}"] = reconstruction - divergence
        return Loss(objective, detached(named | {"elbo": named["elbo_joint"]}))
