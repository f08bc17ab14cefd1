"""MHVAE (Vasco et al., 2020): a core latent variable above one latent variable per modality.

Generation, Eq. 2: p(z^c) ∏_m p(z_m | z^c) p(x_m | z_m). Inference, Eq. 3: q(z^c | h) ∏_m q(z_m | x_m), where h_m is a
hidden representation of x_m, and the representations of missing (or dropped) modalities are zero before they are
concatenated (Eqs. 10, 11). The core variable z^c is called `g` here, as in all models.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from math import prod

import torch
from torch import Generator, Tensor, nn
from torch.distributions import Independent, kl_divergence

from shared.models.contract import Batch, Likelihood, Loss, batch_size, fold, per_modality, unfold
from shared.models.distributions import Prior, normal, repeated
from shared.models.experts import sample
from shared.models.shared_latent import Evidence, SharedLatentVAE, averaged, total


class MHVAE(SharedLatentVAE):
    """The model for any number of modalities; `dropout_masks` says how a training step drops representations.

    lower_encoders: x_m (B, ...) -> h_m (B, H_m). hidden_dims: H_m of each modality.
    private_heads: h_m -> parameters of q(z_m | x_m), (B, 2 D_m).
    upper_encoder: all h_m concatenated, in the modalities' order -> parameters of q(g | h), (B, 2 D).
    upper_decoders: g -> parameters of p(z_m | g). lower_decoders: z_m -> parameters of p(x_m | z_m).
    core_weight, private_weights: epoch -> the weights of the KL terms of g and of each z_m: β^c and β_m of Eq. 9, which
    they reach after warm-ups of U_c and U_m epochs.
    reconstruction_weights: λ_m of Eq. 9, 1 where none is given. All weights 1 make the objective the ELBO.
    """

    def __init__(
        self,
        lower_encoders: Mapping[str, nn.Module],
        hidden_dims: Mapping[str, int],
        private_heads: Mapping[str, nn.Module],
        upper_encoder: nn.Module,
        upper_decoders: Mapping[str, nn.Module],
        lower_decoders: Mapping[str, nn.Module],
        likelihoods: Mapping[str, Likelihood],
        prior: Prior,
        core_weight: Callable[[int], float],
        private_weights: Mapping[str, Callable[[int], float]],
        reconstruction_weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(likelihoods, prior, core_weight)
        self.lower_encoders = nn.ModuleDict(lower_encoders)
        self.hidden_dims = dict(hidden_dims)
        self.private_heads = nn.ModuleDict(private_heads)
        self.upper_encoder = upper_encoder
        self.upper_decoders = nn.ModuleDict(upper_decoders)
        self.lower_decoders = nn.ModuleDict(lower_decoders)
        self.private_weights = per_modality("private_weights", private_weights, self.modalities, default=None)
        weights = per_modality("reconstruction_weights", reconstruction_weights, self.modalities, default=1.0)
        self.reconstruction_weights = weights

    @abstractmethod
    def dropout_masks(self, points: int, generator: Generator) -> list[Tensor]:
        """The masks of one training step, each (B, M) of 0 (dropped) and 1 (kept), with a 1 in every row.

        The objective is the sum of the ELBOs under these masks.
        """

    def hidden(self, given: Batch) -> dict[str, Tensor]:
        return {m: self.lower_encoders[m](given[m]) for m in self.modalities if m in given}

    def core_posterior(self, hidden: Mapping[str, Tensor], mask: Tensor | None = None) -> Independent:
        """q(g | h): representations that are missing, or whose column in the mask (B, M) is 0, are zero."""
        like = next(iter(hidden.values()))
        states = [hidden[m] if m in hidden else like.new_zeros(len(like), self.hidden_dims[m]) for m in self.modalities]
        if mask is not None:
            states = [h * mask[:, i : i + 1] for i, h in enumerate(states)]
        return normal(self.upper_encoder(torch.cat(states, dim=1)))

    def encode(self, given: Batch) -> tuple[Independent, Evidence]:
        hidden = self.hidden(given)
        return self.core_posterior(hidden), {m: normal(self.private_heads[m](h)) for m, h in hidden.items()}

    def levels(self, m: str) -> range:
        return range(1, 0, -1)

    def conditionals(
        self, m: str, level: int, state: Tensor, evidence: Independent | None, samples: int
    ) -> tuple[Independent, Independent | None]:
        return normal(self.upper_decoders[m](state)), None if evidence is None else repeated(evidence, samples)

    def decoder_output(self, m: str, g: Tensor, state: Tensor) -> Tensor:
        return self.lower_decoders[m](state)

    def loss(self, batch: Batch, epoch: int, samples: int, generator: Generator) -> Loss:
        """Eq. 13 with its sign turned, summed over the masks, the mean over the batch in nats.

        For each mask Σ_m λ_m E log p(x_m | z_m) - Σ_m β_m E_q(g) KL(q(z_m | x_m) || p(z_m | g))
        - β^c KL(q(g | h ⊙ mask) || p(g)), with the weights β of the epoch. The first sum does not
        depend on the mask, so its samples of z_m serve all masks. The record's `elbo` has all weights 1.
        """
        x = {m: batch[m] for m in self.modalities}
        hidden = self.hidden(x)
        like = next(iter(hidden.values()))
        masks = [mask.to(like) for mask in self.dropout_masks(batch_size(x), generator)]
        terms = {}
        q_private = {m: normal(self.private_heads[m](h)) for m, h in hidden.items()}
        for m, q in q_private.items():
            parameters = unfold(self.lower_decoders[m](fold(sample(q, samples, generator))), samples)
            terms[f"log_p_{m}"] = self.likelihoods[m].log_prob(parameters, x[m]).mean()
        for mask in masks:
            q_core = self.core_posterior(hidden, mask)
            divergences = {"kl_g": kl_divergence(q_core, self.prior(batch_size(x)))}
            g = fold(sample(q_core, samples, generator))
            for m, evidence in q_private.items():
                p, q = self.conditionals(m, 1, g, evidence, samples)
                divergences[f"kl_{m}_1"] = kl_divergence(q, p)
            for name, value in divergences.items():  # the mean over the masks, so that terms read as one ELBO's
                terms[name] = terms.get(name, 0.0) + value.mean() / len(masks)
        reconstruction = sum(self.reconstruction_weights[m] * terms[f"log_p_{m}"] for m in q_private)
        private = sum(self.private_weights[m](epoch) * terms[f"kl_{m}_1"] for m in q_private)
        objective = self.kl_weight(epoch) * terms["kl_g"] + private - reconstruction
        elbo = total(terms, "log_p_") - total(terms, "kl_")
        return Loss(len(masks) * objective, averaged(terms | {"elbo": elbo}))


class BernoulliDropoutMHVAE(MHVAE):
    """The MHVAE as its own paper trains it: one mask per data point, d ~ Bern(w), never all dropped (Eqs. 10-12).

    dropout: w_m, the probability to drop each modality, in [0, 1]. ValueError: not one for each modality, out of this
    range, or 1 for all of them.
    """

    def __init__(self, *arguments: object, dropout: Mapping[str, float], **named: object) -> None:
        super().__init__(*arguments, **named)
        drop = list(per_modality("dropout", dropout, self.modalities, default=None).values())
        if not all(0 <= w <= 1 for w in drop) or prod(drop) == 1:
            raise ValueError(
                f"dropout: {dict(dropout)}: probabilities in [0, 1], and below 1 for one modality at least"
            )
        self.keep = [1 - w for w in drop]
        rest = [prod(drop[i:]) for i in range(len(drop))]  # the probability to drop this modality and all after it
        self.keep_if_none_before = [k / (1 - r) if r < 1 else 0.0 for k, r in zip(self.keep, rest, strict=True)]

    def dropout_masks(self, points: int, generator: Generator) -> list[Tensor]:
        """One modality after the other, from its distribution given those before it and that one at least is kept."""
        noise = torch.rand((points, len(self.keep)), generator=generator, device=generator.device)
        kept = torch.zeros_like(noise)
        for i, (keep, keep_if_none) in enumerate(zip(self.keep, self.keep_if_none_before, strict=True)):
            none_before = kept[:, :i].sum(1) == 0
            kept[:, i] = torch.where(none_before, noise[:, i] < keep_if_none, noise[:, i] < keep)
        return [kept]
