"""The family that all models here belong to: one shared latent variable g above each modality's own chain.

    p(x, g, z) = p(g) ∏_m p(x_m | g, z_m) ∏_i p(z_m,i | g, z_m,>i)

A modality's chain may be empty (MVAE, MMVAE), one variable independent of g (MDVAE), one that depends on g (MHVAE),
or deep (HMVAE). Models differ in the posterior, the chain and the objective; sampling, densities, decoding and
the plain ELBO are the same and stand here.

What a level knows of all those above it is one tensor, the state. It is g at the top and each z in turn where the
chain is Markov, as it is unless a model says otherwise by `top` and `below`.
"""

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from torch import Generator, Tensor
from torch.distributions import Distribution, Independent

from shared.models.contract import Batch, Latents, Likelihood, Loss, MultimodalVAE, fold, unfold
from shared.models.distributions import Prior, kl
from shared.models.experts import sample

Evidence = Mapping[str, Any]


class SharedLatentVAE(MultimodalVAE):
    """Everything that follows from the factorisation above.

    likelihoods: modality -> p(x_m | decoder output); its order is the order of the modalities.
    prior: p(g), whose size is D.
    kl_weight: epoch -> the weight of all KL terms, as `shared.models.objectives.KLWeight`.
    """

    def __init__(self, likelihoods: Mapping[str, Likelihood], prior: Prior, kl_weight: Callable[[int], float]) -> None:
        super().__init__()
        self.modalities = tuple(likelihoods)
        self.likelihoods = dict(likelihoods)
        self.prior = prior
        self.kl_weight = kl_weight

    @abstractmethod
    def encode(self, given: Batch) -> tuple[Distribution, Evidence]:
        """q(g | given), and for each given modality what the posteriors of its own chain need of x_m."""

    @abstractmethod
    def decoder_output(self, m: str, g: Tensor, state: Tensor) -> Tensor:
        """Parameters of p(x_m | g, z_m), (N, ...): g (N, D), and the state below the chain; g if it is empty."""

    def levels(self, m: str) -> range:
        """Levels of the modality's chain, from the one below g down to 1. Empty by default."""
        return range(0)

    def top(self, m: str, g: Tensor) -> Tensor:
        """The state above the modality's chain, (N, ...), of g (N, D)."""
        return g

    def conditionals(
        self, m: str, level: int, state: Tensor, evidence: Any, samples: int
    ) -> tuple[Independent, Independent | None]:
        """p(z_level | state) and q(z_level | state, x_m), batch shape (K B,); the latter None without evidence.

        state: above the level, (K B, ...). evidence: of B data points, or None.
        """
        raise ValueError(f"{type(self).__name__} has no latent variable of level {level} for {m}")

    def below(self, m: str, level: int, state: Tensor, z: Tensor) -> Tensor:
        """The state below a level, (N, ...), of the one above it and its latent variable (N, ...)."""
        return z

    @property
    def latent_variables(self) -> int:
        return 1 + sum(len(self.levels(m)) for m in self.modalities)

    def posterior(self, given: Batch) -> Distribution:
        return self.encode(given)[0]

    def elbo_terms(
        self, q_g: Distribution, evidence: Evidence, x: Batch, samples: int, generator: Generator
    ) -> dict[str, Tensor]:
        """Terms of the ELBO of x, means over samples in nats, (B,): log_p_<m>, kl_g, kl_<m>_<level>.

        A KL term is a closed form, given the sample above it, or where there is none, as for a mixture q(g | x), it is
        estimated on the samples.
        """
        g = sample(q_g, samples, generator)
        points = g.shape[1]
        terms = {"kl_g": _over_samples(kl(q_g, self.prior(points), g), points)}
        for m in x:
            state = self.top(m, fold(g))
            for level in self.levels(m):
                p, q = self.conditionals(m, level, state, evidence[m], samples)
                z = sample(q, 1, generator)[0]
                terms[f"kl_{m}_{level}"] = _over_samples(kl(q, p, z), points)
                state = self.below(m, level, state, z)
            parameters = unfold(self.decoder_output(m, fold(g), state), samples)
            terms[f"log_p_{m}"] = _over_samples(self.likelihoods[m].log_prob(parameters, x[m]), points)
        return terms

    def loss(self, batch: Batch, epoch: int, samples: int, generator: Generator) -> Loss:
        """-ELBO, the mean over the batch in nats, with one weight on all KL terms."""
        x = {m: batch[m] for m in self.modalities}
        terms = self.elbo_terms(*self.encode(x), x, samples, generator)
        divergence, reconstruction = total(terms, "kl_"), total(terms, "log_p_")
        weighted = self.kl_weight(epoch) * divergence - reconstruction
        return Loss(weighted.mean(), averaged(terms | {"elbo": reconstruction - divergence}))

    def sample_latents(
        self,
        given: Batch,
        samples: int,
        generator: Generator,
        targets: Collection[str] | None = None,
        batch: int | None = None,
    ) -> tuple[Latents, Tensor]:
        q_g, evidence = self.encode(given) if given else (self.prior(batch), {})
        g = sample(q_g, samples, generator)
        latents, log_q = {"g": g}, q_g.log_prob(g)
        for m in self.modalities if targets is None else [m for m in self.modalities if m in targets]:
            chain, log_q_chain = self.sample_chain(m, g, evidence.get(m), generator)
            latents, log_q = latents | chain, log_q + log_q_chain
        return latents, log_q

    def sample_chain(self, m: str, g: Tensor, evidence: Any, generator: Generator) -> tuple[Latents, Tensor | float]:
        """The modality's own latent variables given g (K, B, D), and their log-density (K, B), 0 where there are none.

        From the posteriors, or without evidence from the conditional priors.
        """
        chain, log_q, state = {}, 0.0, self.top(m, fold(g))
        for level in self.levels(m):
            p, q = self.conditionals(m, level, state, evidence, len(g))
            proposal = p if q is None else q
            z = sample(proposal, 1, generator)[0]
            chain[f"z_{m}_{level}"] = unfold(z, len(g))
            log_q = log_q + unfold(proposal.log_prob(z), len(g))
            state = self.below(m, level, state, z)
        return chain, log_q

    def log_prior(self, latents: Latents) -> Tensor:
        g = latents["g"]
        samples, points = g.shape[:2]
        log_p = self.prior(points).log_prob(g)
        for m in [m for m in self.modalities if f"z_{m}_1" in latents]:
            state = self.top(m, fold(g))
            for level in self.levels(m):
                p, _ = self.conditionals(m, level, state, None, samples)
                z = fold(latents[f"z_{m}_{level}"])
                log_p = log_p + unfold(p.log_prob(z), samples)
                state = self.below(m, level, state, z)
        return log_p

    def decode(self, latents: Latents, targets: Sequence[str]) -> Batch:
        g = fold(latents["g"])
        parameters = {}
        for t in targets:
            state = self.top(t, g)
            for level in self.levels(t):
                state = self.below(t, level, state, fold(latents[f"z_{t}_{level}"]))
            parameters[t] = unfold(self.decoder_output(t, g, state), len(latents["g"]))
        return parameters


def total(terms: Mapping[str, Tensor], prefix: str) -> Tensor:
    """Sum of the terms whose name begins with `prefix`."""
    return sum(value for name, value in terms.items() if name.startswith(prefix))


def averaged(terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Means over the data points, detached."""
    return {name: value.detach().mean() for name, value in terms.items()}


def _over_samples(values: Tensor, points: int) -> Tensor:
    """Means over K samples, (B,), of values (K, B), (K B,), or (B,) where they do not depend on the sample."""
    return values.reshape(-1, points).mean(0)
