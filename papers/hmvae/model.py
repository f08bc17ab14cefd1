"""HMVAE: Hierarchical Multimodal Variational Autoencoders, and the paper's variants of the models it compares with.

Generation, Eq. 4:  p(g) ∏_m p(z_m,L-1 | g) ∏_i p(z_m,i | z_m,i+1) p(x_m | z_m,1)
Inference, Eq. 5:   q(g | x_1:M) ∏_m q(z_m,L-1 | g, x_m) ∏_i q(z_m,i | z_m,i+1, x_m)
where q(g | x_1:M) is a mixture of experts (Eq. 3) and L = L(m) is the modality's number of levels, g included. A
hierarchy may also pass what is above to every level below and to the data: p(z_i | g, z_>i), p(x_m | g, z_m).
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Generator, Tensor, nn
from torch.distributions import Independent, MixtureSameFamily

from papers.mhvae.model import MHVAE
from shared.models.contract import Batch, Likelihood, repeat
from shared.models.distributions import Prior, normal, repeated
from shared.models.experts import mixture_of_experts
from shared.models.shared_latent import Evidence, SharedLatentVAE


class ModalityHierarchy(nn.Module):
    """The networks of one modality. Lists run from level 1, next to the data, to level L(m) - 1, below g.

    bottom_up[i]: the state below (x_m for the first) -> h_b, the bottom-up state of the level (Eq. 15).
    expert: the highest bottom-up state -> parameters of q(g | x_m), (B, 2 D).
    top_down[i]: the latent variable above (g for the last) -> h_t; shared by prior and posterior (Eqs. 14, 15).
    priors[i]: h_t -> parameters of p(z_i | z_i+1) (Eq. 14).
    merges[i]: <h_t, h_b>, concatenated along axis 1 -> h_j (Eq. 16).
    posteriors[i]: h_j -> parameters of q(z_i | z_i+1, x_m) (Eq. 17).
    decoder: z_1 -> parameters of p(x_m | z_1).
    projections[i]: z_i -> what it adds to h_t where the top-down state passes the latent variables (Child, 2021): then
    h_t + projections[i](z_i) takes the place of z_i, and p(z_i | z_i+1) becomes p(z_i | g, all z above). None: the
    hierarchy is Markov, as Eq. 4 is printed.
    """

    def __init__(
        self,
        bottom_up: Sequence[nn.Module],
        expert: nn.Module,
        top_down: Sequence[nn.Module],
        priors: Sequence[nn.Module],
        merges: Sequence[nn.Module],
        posteriors: Sequence[nn.Module],
        decoder: nn.Module,
        projections: Sequence[nn.Module] | None = None,
    ) -> None:
        super().__init__()
        of_levels = [bottom_up, top_down, priors, merges, posteriors] + ([] if projections is None else [projections])
        if len({len(part) for part in of_levels}) != 1:
            raise ValueError("bottom_up, top_down, priors, merges, posteriors and projections: one network per level")
        self.bottom_up = nn.ModuleList(bottom_up)
        self.expert = expert
        self.top_down = nn.ModuleList(top_down)
        self.priors = nn.ModuleList(priors)
        self.merges = nn.ModuleList(merges)
        self.posteriors = nn.ModuleList(posteriors)
        self.decoder = decoder
        self.projections = None if projections is None else nn.ModuleList(projections)

    def states(self, x: Tensor) -> list[Tensor]:
        """h_b of every level, from level 1 up."""
        states = []
        for network in self.bottom_up:
            x = network(x)
            states.append(x)
        return states


class HMVAE(SharedLatentVAE):
    """The HMVAE for any number of modalities, each with a hierarchy of its own depth L(m) >= 2.

    Its loss is the plain ELBO (Eq. 6) of the family: every z_m,i depends on all modalities through g, and the
    expectation under the mixture q(g | x_1:M) is stratified over its experts.
    """

    def __init__(
        self,
        hierarchies: Mapping[str, ModalityHierarchy],
        likelihoods: Mapping[str, Likelihood],
        prior: Prior,
        kl_weight: Callable[[int], float],
    ) -> None:
        super().__init__(likelihoods, prior, kl_weight)
        self.hierarchies = nn.ModuleDict(hierarchies)

    def encode(self, given: Batch) -> tuple[MixtureSameFamily, Evidence]:
        states = {m: self.hierarchies[m].states(given[m]) for m in self.modalities if m in given}
        experts = [normal(self.hierarchies[m].expert(h[-1])) for m, h in states.items()]
        return mixture_of_experts(experts), states

    def levels(self, m: str) -> range:
        return range(len(self.hierarchies[m].priors), 0, -1)

    def top(self, m: str, g: Tensor) -> Tensor:
        """h_t of the level below g."""
        return self.hierarchies[m].top_down[-1](g)

    def conditionals(
        self, m: str, level: int, state: Tensor, evidence: Sequence[Tensor] | None, samples: int
    ) -> tuple[Independent, Independent | None]:
        networks, i, h_t = self.hierarchies[m], level - 1, state
        p = normal(networks.priors[i](h_t))
        if evidence is None:
            return p, None
        h_b = repeat(evidence[i], samples)
        return p, normal(networks.posteriors[i](networks.merges[i](torch.cat([h_t, h_b], dim=1))))

    def below(self, m: str, level: int, state: Tensor, z: Tensor) -> Tensor:
        """h_t of the level below, or below the lowest level what the decoder gets."""
        networks, i = self.hierarchies[m], level - 1
        passed = z if networks.projections is None else state + networks.projections[i](z)
        return networks.top_down[i - 1](passed) if i else passed

    def decoder_output(self, m: str, g: Tensor, state: Tensor) -> Tensor:
        return self.hierarchies[m].decoder(state)


class MDVAE(SharedLatentVAE):
    """The paper's MDVAE: private z_m, independent of g a priori, and a mixture posterior over g (Eq. 18, Fig. 2c).

    Generation: p(g) ∏_m p(z_m) p(x_m | g, z_m). Inference: q(g | x_1:M) ∏_m q(z_m | x_m).

    encoders: x_m -> parameters of both posteriors, (B, 2 D + 2 D_m), those of g first (Table 6).
    decoders: <g, z_m>, (N, D + D_m) -> parameters of the likelihood.
    private_priors: p(z_m), whose size is D_m.
    """

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        decoders: Mapping[str, nn.Module],
        likelihoods: Mapping[str, Likelihood],
        prior: Prior,
        private_priors: Mapping[str, Prior],
        kl_weight: Callable[[int], float],
    ) -> None:
        super().__init__(likelihoods, prior, kl_weight)
        self.encoders = nn.ModuleDict(encoders)
        self.decoders = nn.ModuleDict(decoders)
        self.private_priors = nn.ModuleDict(private_priors)

    def encode(self, given: Batch) -> tuple[MixtureSameFamily, Evidence]:
        experts, private = [], {}
        for m in self.modalities:
            if m in given:
                sizes = [2 * self.prior.dim, 2 * self.private_priors[m].dim]
                of_g, of_z = self.encoders[m](given[m]).split(sizes, dim=1)
                experts.append(normal(of_g))
                private[m] = normal(of_z)
        return mixture_of_experts(experts), private

    def levels(self, m: str) -> range:
        return range(1, 0, -1)

    def conditionals(
        self, m: str, level: int, state: Tensor, evidence: Independent | None, samples: int
    ) -> tuple[Independent, Independent | None]:
        p = self.private_priors[m](len(state))
        return p, None if evidence is None else repeated(evidence, samples)

    def decoder_output(self, m: str, g: Tensor, state: Tensor) -> Tensor:
        return self.decoders[m](torch.cat([g, state], dim=1))


class UniformDropoutMHVAE(MHVAE):
    """The MHVAE as this paper trains it: the ELBOs of all modalities and of each alone, summed (Eq. 19)."""

    def dropout_masks(self, points: int, generator: Generator) -> list[Tensor]:
        count = len(self.modalities)
        alone = torch.eye(count)
        return [torch.ones(points, count), *(row.expand(points, count) for row in alone)]
