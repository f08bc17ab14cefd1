"""The family that all models here belong to: one shared latent variable g above each modality's own chain.

    p(x, g, z) = p(g) ∏_m p(x_m | g, z_m,1) ∏_i p(z_m,i | z_m,i+1),   z_m,L(m) = g,   p(g) = N(0, I)

A modality's chain may be empty (MVAE, MMVAE), one variable independent of g (MDVAE), one that depends on g (MHVAE),
or deep (HMVAE). Models differ in the posterior, the chain and the objective; sampling, densities, generation and
the plain ELBO are the same and stand here.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Generator, Tensor
from torch.distributions import Distribution, Independent

from shared.models.contract import Batch, Latents, Loss, MultimodalVAE, fold, normal_noise, unfold
from shared.models.distributions import Likelihood, kl, sample, standard_normal
from shared.models.experts import shared_sample
from shared.models.objectives import linear_warmup

Evidence = Mapping[str, Any]


class SharedLatentVAE(MultimodalVAE):
    """Everything that follows from the factorisation above.

    likelihoods: modality -> p(x_m | decoder output); its order is the order of the modalities.
    latent_dim: D, the size of g.
    warmup_epochs: epochs over which the weight of the KL terms grows from 0 to 1, 0 for the natural ELBO.
    """

    def __init__(self, likelihoods: Mapping[str, Likelihood], latent_dim: int, warmup_epochs: int) -> None:
        super().__init__()
        self.modalities = tuple(likelihoods)
        self.likelihoods = dict(likelihoods)
        self.latent_dim = latent_dim
        self.warmup_epochs = warmup_epochs

    @abstractmethod
    def encode(self, given: Batch) -> tuple[Distribution, Evidence]:
        """q(g | given), and for each given modality what the posteriors of its own chain need of x_m."""

    @abstractmethod
    def decode(self, m: str, g: Tensor, z: Tensor | None) -> Tensor:
        """Parameters of p(x_m | g, z_m,1), (N, ...): g (N, D), z is z_m,1 or None if the chain is empty."""

    def levels(self, m: str) -> range:
        """Levels of the modality's chain, from the one below g down to 1. Empty by default."""
        return range(0)

    def conditionals(
        self, m: str, level: int, above: Tensor, evidence: Any, samples: int
    ) -> tuple[Independent, Independent | None]:
        """p(z_level | above) and q(z_level | above, x_m), batch shape (K B,); the latter None without evidence.

        above: z_m,level+1, or g for the highest level, (K B, ...). evidence: of B data points, or None.
        """
        raise ValueError(f"{type(self).__name__} has no latent variable of level {level} for {m}")

    @property
    def latent_variables(self) -> int:
        return 1 + sum(len(self.levels(m)) for m in self.modalities)

    def posterior(self, given: Batch) -> Distribution:
        return self.encode(given)[0]

    def elbo_terms(
        self, q_g: Distribution, evidence: Evidence, x: Batch, samples: int, generator: Generator
    ) -> dict[str, Tensor]:
        """Terms of the ELBO of x, means over samples and data points in nats: log_p_<m>, kl_g, kl_<m>_<level>.

        KL terms are closed forms, given the sample above them, but for a mixture q(g | x): that one is estimated
        on its samples.
        """
        g = shared_sample(q_g, samples, generator)
        prior = standard_normal(g[0])
        kl_g = kl(q_g, prior) if isinstance(q_g, Independent) else q_g.log_prob(g) - prior.log_prob(g)
        terms = {"kl_g": kl_g.mean()}
        for m in x:
            z, above = None, fold(g)
            for level in self.levels(m):
                p, q = self.conditionals(m, level, above, evidence[m], samples)
                terms[f"kl_{m}_{level}"] = kl(q, p).mean()
                z = above = sample(q, generator)
            log_p = self.likelihoods[m].log_prob(self.decode(m, fold(g), z), x[m], samples)
            terms[f"log_p_{m}"] = log_p.mean()
        return terms

    def loss(self, batch: Batch, epoch: int, samples: int, generator: Generator) -> Loss:
        """-ELBO, the mean over the batch in nats, with the warm-up weight on all KL terms."""
        x = {m: batch[m] for m in self.modalities}
        terms = self.elbo_terms(*self.encode(x), x, samples, generator)
        divergence, reconstruction = total(terms, "kl_"), total(terms, "log_p_")
        weighted = linear_warmup(epoch, self.warmup_epochs) * divergence - reconstruction
        return Loss(weighted, detached(terms | {"elbo": reconstruction - divergence}))

    def sample_latents(self, given: Batch, samples: int, generator: Generator) -> tuple[Latents, Tensor]:
        q_g, evidence = self.encode(given)
        g = shared_sample(q_g, samples, generator)
        latents, log_q = {"g": g}, q_g.log_prob(g)
        for m in self.modalities:
            above = fold(g)
            for level in self.levels(m):
                p, q = self.conditionals(m, level, above, evidence.get(m), samples)
                proposal = p if q is None else q
                above = sample(proposal, generator)
                latents[f"z_{m}_{level}"] = unfold(above, samples)
                log_q = log_q + unfold(proposal.log_prob(above), samples)
        return latents, log_q

    def log_prior(self, latents: Latents) -> Tensor:
        g = latents["g"]
        samples = g.shape[0]
        log_p = standard_normal(g[0]).log_prob(g)
        for m in self.modalities:
            above = fold(g)
            for level in self.levels(m):
                p, _ = self.conditionals(m, level, above, None, samples)
                above = fold(latents[f"z_{m}_{level}"])
                log_p = log_p + unfold(p.log_prob(above), samples)
        return log_p

    def log_likelihoods(self, latents: Latents, x: Batch) -> dict[str, Tensor]:
        g = latents["g"]
        samples, log_p = g.shape[0], {}
        for m in self.modalities:
            if m in x:
                z = fold(latents[f"z_{m}_1"]) if self.levels(m) else None
                log_p[m] = self.likelihoods[m].log_prob(self.decode(m, fold(g), z), x[m], samples)
        return log_p

    def generate(
        self,
        given: Batch,
        targets: Sequence[str],
        samples: int,
        generator: Generator,
        means_of: Sequence[int] = (),
        batch: int | None = None,
    ) -> Batch:
        if given:
            g = shared_sample(self.posterior(given), samples, generator)
        else:
            like = next(self.parameters())
            g = normal_noise((samples, batch, self.latent_dim), like, generator)
        generated = {}
        for t in targets:
            z, above = None, fold(g)
            for level in self.levels(t):
                p, _ = self.conditionals(t, level, above, None, samples)
                z = above = p.mean if level in means_of else sample(p, generator)
            generated[t] = unfold(self.likelihoods[t].mean(self.decode(t, fold(g), z)), samples)
        return generated


def total(terms: Mapping[str, Tensor], prefix: str) -> Tensor:
    """Sum of the terms whose name begins with `prefix`."""
    return sum(value for name, value in terms.items() if name.startswith(prefix))


def detached(terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach() for name, value in terms.items()}
