"""MVAE: Multimodal Generative Models for Scalable Weakly-Supervised Learning (Wu and Goodman, NeurIPS 2018)."""

from collections.abc import Mapping, Sequence

import torch
from torch import Generator
from torch.distributions import Independent

from shared.models.contract import Batch, Loss, per_modality
from shared.models.experts import product_of_experts
from shared.models.shared_latent import averaged, total
from shared.models.single_latent import SingleLatentVAE


class MVAE(SingleLatentVAE):
    """Product-of-experts VAE, for any number of modalities, with the prior as one of the experts.

    reconstruction_weights: λ_m of each modality's likelihood in the objective, 1 where none is given.
    random_subsets: k, how many subsets of more than one and fewer than all modalities a step draws; with two
    modalities there are none.
    arguments, named: SingleLatentVAE's.
    """

    def __init__(
        self,
        *arguments: object,
        reconstruction_weights: Mapping[str, float] | None = None,
        random_subsets: int = 0,
        **named: object,
    ) -> None:
        super().__init__(*arguments, **named)
        weights = per_modality("reconstruction_weights", reconstruction_weights, self.modalities, default=1.0)
        self.reconstruction_weights = weights
        self.random_subsets = random_subsets

    def combine(self, experts: Sequence[Independent]) -> Independent:
        return product_of_experts(experts, self.prior(len(experts[0].mean)))

    def draw_subsets(self, generator: Generator) -> list[tuple[str, ...]]:
        """The random subsets of one step: a size between 2 and M - 1, uniformly, then a subset of that size."""
        count, device = len(self.modalities), generator.device
        if count < 3:
            return []
        subsets = []
        for _ in range(self.random_subsets):
            size = int(torch.randint(2, count, (1,), generator=generator, device=device))
            chosen = torch.randperm(count, generator=generator, device=device)[:size].tolist()
            subsets.append(tuple(self.modalities[i] for i in sorted(chosen)))
        return subsets

    def loss(self, batch: Batch, epoch: int, samples: int, generator: Generator) -> Loss:
        """-(ELBO(x_1:M) + Σ_m ELBO(x_m) + Σ_s ELBO(x_s)), s the random subsets; the mean over the batch in nats.

        Likelihoods carry λ_m, KL terms the weight of the epoch. The terms of single modalities train every encoder by
        itself, which a product posterior needs for crossmodal inference; the random subsets stand for all the others
        (the paper's sub-sampled training). Each modality is encoded once for all terms.
        """
        beta = self.kl_weight(epoch)
        x = {m: batch[m] for m in self.modalities}
        experts = self.experts(x)
        subsets = {"joint": tuple(experts)} | {m: (m,) for m in experts}
        subsets |= {f"random{i}": subset for i, subset in enumerate(self.draw_subsets(generator))}
        objective, named = 0.0, {}
        for name, subset in subsets.items():
            q = self.combine([experts[m] for m in subset])
            terms = self.elbo_terms(q, {}, {m: x[m] for m in subset}, samples, generator)
            weighted = sum(self.reconstruction_weights[m] * terms[f"log_p_{m}"] for m in subset)
            objective = objective + beta * terms["kl_g"] - weighted
            if not name.startswith("random"):  # whose modalities, and so the names of their terms, change by the step
                named |= {f"{key}_{name}": value for key, value in terms.items()}
            named[f"elbo_{name}"] = total(terms, "log_p_") - terms["kl_g"]
        return Loss(objective.mean(), averaged(named | {"elbo": named["elbo_joint"]}))
