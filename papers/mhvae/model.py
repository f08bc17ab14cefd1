"""MHVAE (Vasco et al., 2020): a core latent variable above one latent variable per modality.

Generation: p(z^c) ∏_m p(z_m | z^c) p(x_m | z_m). Inference: q(z^c | h) ∏_m q(z_m | x_m), where h_m is a hidden
representation of x_m, and the representations of missing (or dropped) modalities are zero before they are
concatenated. The core variable z^c is called `g` here, as in all models.
"""

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Generator, Tensor, nn
from torch.distributions import Independent

from shared.contract import Batch, Loss, batch_size, fold, repeat
from shared.distributions import Likelihood, kl, normal, repeated, standard_normal
from shared.experts import shared_sample
from shared.objectives import linear_warmup
from shared.shared_latent import Evidence, SharedLatentVAE, detached, total


class MHVAE(SharedLatentVAE):
    """The model for any number of modalities; `dropout_masks` says how a training step drops representations.

    lower_encoders: x_m (B, ...) -> h_m (B, H), one width H for all modalities.
    private_heads: h_m -> parameters of q(z_m | x_m), (B, 2 D_m).
    upper_encoder: all h_m concatenated, in the modalities' order -> parameters of q(g | h), (B, 2 D).
    upper_decoders: g -> parameters of p(z_m | g). lower_decoders: z_m -> parameters of p(x_m | z_m).
    warmup_core, warmup_private: epochs U_c and U_m over which the KL terms of g and of the z_m gain full weight.
    """

    def __init__(
        self,
        lower_encoders: Mapping[str, nn.Module],
        private_heads: Mapping[str, nn.Module],
        upper_encoder: nn.Module,
        upper_decoders: Mapping[str, nn.Module],
        lower_decoders: Mapping[str, nn.Module],
        likelihoods: Mapping[str, Likelihood],
        latent_dim: int,
        warmup_core: int,
        warmup_private: int,
    ) -> None:
        super().__init__(likelihoods, latent_dim, warmup_core)
        self.lower_encoders = nn.ModuleDict(lower_encoders)
        self.private_heads = nn.ModuleDict(private_heads)
        self.upper_encoder = upper_encoder
        self.upper_decoders = nn.ModuleDict(upper_decoders)
        self.lower_decoders = nn.ModuleDict(lower_decoders)
        self.warmup_private = warmup_private

    @abstractmethod
    def dropout_masks(self, points: int) -> list[Tensor]:
        """The masks of one training step, each (B, M) of 0 (dropped) and 1 (kept), with a 1 in every row.

        The objective is the sum of the ELBOs under these masks.
        """

    def hidden(self, given: Batch) -> dict[str, Tensor]:
        return {m: self.lower_encoders[m](given[m]) for m in self.modalities if m in given}

    def core_posterior(self, hidden: Mapping[str, Tensor], mask: Tensor | None = None) -> Independent:
        """q(g | h): representations that are missing, or whose column in the mask (B, M) is 0, are zero."""
        like = next(iter(hidden.values()))
        states = [hidden[m] if m in hidden else torch.zeros_like(like) for m in self.modalities]
        if mask is not None:
            states = [h * mask[:, i : i + 1] for i, h in enumerate(states)]
        return normal(self.upper_encoder(torch.cat(states, dim=1)))

    def encode(self, given: Batch) -> tuple[Independent, Evidence]:
        hidden = self.hidden(given)
        return self.core_posterior(hidden), {m: normal(self.private_heads[m](h)) for m, h in hidden.items()}

    def levels(self, m: str) -> range:
        return range(1, 0, -1)

    def conditionals(
        self, m: str, level: int, above: Tensor, evidence: Independent | None, samples: int
    ) -> tuple[Independent, Independent | None]:
        return normal(self.upper_decoders[m](above)), repeated(evidence, samples) if evidence else None

    def decode(self, m: str, g: Tensor, z: Tensor | None) -> Tensor:
        return self.lower_decoders[m](z)

    def loss(self, batch: Batch, epoch: int, samples: int, generator: Generator) -> Loss:
        """-Σ_masks ELBO, the mean over the batch in nats, with KL terms under their own warm-up weights.

        ELBO = Σ_m E log p(x_m | z_m) - Σ_m E_q(g) KL(q(z_m | x_m) || p(z_m | g)) - KL(q(g | h ⊙ mask) || p(g)).
        The first sum does not depend on the mask, so its samples of z_m serve all masks.
        """
        hidden = self.hidden(batch)
        masks = [mask.to(next(iter(hidden.values()))) for mask in self.dropout_masks(batch_size(batch))]
        terms = {}
        q_private = {m: normal(self.private_heads[m](h)) for m, h in hidden.items()}
        for m, q in q_private.items():
            parameters = self.decode(m, None, fold(shared_sample(q, samples, generator)))
            log_p = self.likelihoods[m].log_prob(parameters, repeat(batch[m], samples))
            terms[f"log_p_{m}"] = log_p.mean()
        for mask in masks:
            q_core = self.core_posterior(hidden, mask)
            divergences = {"kl_g": kl(q_core, standard_normal(q_core.mean))}
            g = fold(shared_sample(q_core, samples, generator))
            for m, evidence in q_private.items():
                p, q = self.conditionals(m, 1, g, evidence, samples)
                divergences[f"kl_{m}_1"] = kl(q, p)
            for (
                name,
                value,
            ) in divergences.items():  # the mean over the masks, so that terms read as one ELBO's
                terms[name] = terms.get(name, 0.0) + value.mean() / len(masks)
        reconstruction, core = total(terms, "log_p_"), terms["kl_g"]
        private = total(terms, "kl_") - core
        objective = (
            linear_warmup(epoch, self.warmup_epochs) * core
            + linear_warmup(epoch, self.warmup_private) * private
            - reconstruction
        )
        return Loss(len(masks) * objective, detached(terms | {"elbo": reconstruction - core - private}))
