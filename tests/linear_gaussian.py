"""Models whose likelihoods and bounds are known: all networks affine, all scales constant, all densities normal.

Every toy is built twice from the same numbers: as a model of the package, and as a joint normal distribution in
numpy. What the model estimates by sampling is then known exactly, from linear algebra and scipy alone.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from torch import Generator, Tensor, nn

from papers.hmvae.model import HMVAE, MDVAE, ModalityHierarchy
from papers.mhvae.model import MHVAE
from papers.mmvae.model import MMVAE
from shared.models.baselines.jmvae import JMVAE
from shared.models.baselines.mvae import MVAE
from shared.models.contract import MultimodalVAE
from shared.models.distributions import MIN_SCALE, LearnedNormal, Prior
from shared.models.objectives import KLWeight

G, Z, X, H = 2, 2, 3, 3  # sizes of g, of each z, of each modality and of the hidden states
Values = Mapping[str, np.ndarray]


# ---- Truth ---------------------------------------------------------------------------------------------------------


class LinearGaussian:
    """Jointly normal variables, each an affine function of earlier ones plus independent noise."""

    def __init__(self) -> None:
        self.where: dict[str, np.ndarray] = {}
        self.mean, self.cov = np.zeros(0), np.zeros((0, 0))

    def add(self, name: str, bias: np.ndarray, scale: np.ndarray, **weights: np.ndarray) -> "LinearGaussian":
        """A variable Σ_parent weight · parent + bias + scale · noise; its parents must be there already."""
        size, before = len(bias), len(self.mean)
        weight = np.zeros((size, before))
        for parent, matrix in weights.items():
            weight[:, self.where[parent]] = matrix
        cross = weight @ self.cov
        self.cov = np.block([[self.cov, cross.T], [cross, cross @ weight.T + np.diag(np.square(scale))]])
        self.mean = np.concatenate([self.mean, weight @ self.mean + bias])
        self.where[name] = np.arange(before, before + size)
        return self

    def index(self, names: Iterable[str]) -> np.ndarray:
        return np.concatenate([self.where[name] for name in names])

    def log_prob(self, values: Values) -> np.ndarray:
        """Log density of the named variables, the others marginalised out; values (..., D) give the leading axes."""
        index = self.index(values)
        joint = multivariate_normal(self.mean[index], self.cov[np.ix_(index, index)])
        return joint.logpdf(np.concatenate(list(values.values()), axis=-1))

    def regression(self, target: str, given: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The conditional of one variable on others: weight, bias, covariance."""
        t, c = self.index([target]), self.index(given)
        weight = np.linalg.solve(self.cov[np.ix_(c, c)], self.cov[np.ix_(c, t)]).T
        return weight, self.mean[t] - weight @ self.mean[c], self.cov[np.ix_(t, t)] - weight @ self.cov[np.ix_(c, t)]

    def expected_log_prob(self, q: "LinearGaussian", known: Values, names: Sequence[str]) -> float:
        """E_q log p(names), where `known` fixes those of the names that are not variables of q."""
        size = len(self.index(names))
        mean, cov, at = np.zeros(size), np.zeros((size, size)), 0
        places, origins = [], []
        for name in names:
            here = np.arange(at, at + len(self.where[name]))
            at += len(here)
            if name in known:
                mean[here] = known[name]
            else:
                places.append(here)
                origins.append(q.where[name])
        if places:
            place, origin = np.concatenate(places), np.concatenate(origins)
            mean[place], cov[np.ix_(place, place)] = q.mean[origin], q.cov[np.ix_(origin, origin)]
        index = self.index(names)
        own = self.cov[np.ix_(index, index)]
        at_mean = multivariate_normal(self.mean[index], own).logpdf(mean)
        return at_mean - 0.5 * np.trace(np.linalg.solve(own, cov))

    def entropy(self, names: Iterable[str]) -> float:
        index = self.index(names)
        return multivariate_normal(cov=self.cov[np.ix_(index, index)]).entropy()


@dataclass(frozen=True)
class Bound:
    """The parts of an ELBO, exact: E log p(x | latents), KL of g, and the expected KL of everything below g."""

    reconstruction: float
    kl_shared: float
    kl_private: float

    @property
    def elbo(self) -> float:
        return self.reconstruction - self.kl_shared - self.kl_private


def bound(p: LinearGaussian, components: Sequence[LinearGaussian], x: Values) -> Bound:
    """Of the posterior 1/C Σ_c q_c(g) q(z | g, x), whose components differ in g only."""
    latents = list(components[0].where)
    below = len(latents) > 1
    reconstruction, kl_private, log_prior = 0.0, 0.0, 0.0
    for q in components:
        log_latents, log_g = p.expected_log_prob(q, {}, latents), p.expected_log_prob(q, {}, ["g"])
        reconstruction += p.expected_log_prob(q, x, [*latents, *x]) - log_latents
        log_prior += log_g
        if below:
            kl_private += q.entropy(["g"]) - q.entropy(latents) - log_latents + log_g
    count = len(components)
    return Bound(reconstruction / count, -mixture_entropy(components) - log_prior / count, kl_private / count)


def mixture_entropy(components: Sequence[LinearGaussian]) -> float:
    """Entropy of the uniform mixture of the components' g, by quadrature on a grid."""
    if len(components) == 1:
        return components[0].entropy(["g"])
    axes, volume = [], 1.0
    for d in components[0].where["g"]:
        means = np.array([q.mean[d] for q in components])
        scales = np.sqrt([q.cov[d, d] for q in components])
        axis = np.linspace((means - 10 * scales).min(), (means + 10 * scales).max(), 200)
        axes.append(axis)
        volume *= axis[1] - axis[0]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    log_density = mixture_log_prob(components, {"g": points})
    return -float(np.sum(np.exp(log_density) * log_density) * volume)


def mixture_log_prob(components: Sequence[LinearGaussian], values: Values) -> np.ndarray:
    return logsumexp([q.log_prob(values) for q in components], axis=0) - np.log(len(components))


# ---- The same numbers as networks ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Map:
    """weight · input + bias."""

    weight: np.ndarray
    bias: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.weight @ x + self.bias

    def network(self) -> nn.Linear:
        layer = nn.Linear(*self.weight.shape[::-1], dtype=torch.float64)
        layer.load_state_dict({"weight": torch.from_numpy(self.weight), "bias": torch.from_numpy(self.bias)})
        return layer


@dataclass(frozen=True)
class Head(Map):
    """N(weight · input + bias, diag(scale²)); its network outputs the mean and a constant raw scale."""

    scale: np.ndarray

    def network(self) -> nn.Linear:
        return _stacked(self).network()


def _stacked(*heads: Head) -> Map:
    """The layer that outputs the parameters of several heads of one input, one head after the other."""
    weights, biases = [], []
    for head in heads:
        softplus = head.scale - MIN_SCALE
        weights += [head.weight, np.zeros_like(head.weight)]
        biases += [head.bias, softplus + np.log(-np.expm1(-softplus))]
    return Map(np.concatenate(weights), np.concatenate(biases))


class Numbers:
    """Random affine maps and heads, from one seed."""

    width = 1.3  # of posteriors, over that of what they approximate

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def map(self, inputs: int, outputs: int) -> Map:
        weight = self.rng.normal(scale=0.7 / np.sqrt(inputs), size=(outputs, inputs))
        return Map(weight, self.rng.normal(scale=0.3, size=outputs))

    def head(self, inputs: int, outputs: int) -> Head:
        network = self.map(inputs, outputs)
        return Head(network.weight, network.bias, self.rng.uniform(0.9, 1.1, size=outputs))

    def likelihood(self, inputs: int, outputs: int) -> Head:
        """Wider, so that the true posteriors are not far from the prior."""
        head = self.head(inputs, outputs)
        return Head(head.weight, head.bias, 1.5 * head.scale)

    def posterior(self, inputs: int, outputs: int) -> Head:
        """Weaker and wider than what it approximates, so that importance weights have a small variance."""
        head = self.head(inputs, outputs)
        return Head(0.5 * head.weight, head.bias, self.width * head.scale)


def identity(size: int) -> Map:
    return Map(np.eye(size), np.zeros(size))


# ---- Toys ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Toy:
    """A model; its joint distribution over g, z_<m>_<level> and the modalities; its posterior; and one data point.

    components: given modalities -> the posterior over all latent variables, one component per expert.
    """

    model: MultimodalVAE
    p: LinearGaussian
    components: Callable[[Values], list[LinearGaussian]]
    x: dict[str, np.ndarray]

    def __post_init__(self) -> None:
        self.model.double().eval()

    def only(self, *names: str) -> dict[str, np.ndarray]:
        """The data point's given modalities, all without a name."""
        return {m: self.x[m] for m in names or self.x}

    def batch(self, copies: int, *names: str) -> dict[str, Tensor]:
        """Copies of the data point, so that the mean over a batch is an average of independent estimates."""
        return {m: torch.from_numpy(np.tile(x, (copies, 1))) for m, x in self.only(*names).items()}

    def bound(self, *names: str) -> Bound:
        return bound(self.p, self._of(self.only(*names)), self.only(*names))

    def _of(self, given: Values) -> list[LinearGaussian]:
        """The posterior without the private latent variables of modalities that are not given."""
        components = self.components(given)
        keep = [v for v in components[0].where if v == "g" or v.split("_")[1] in given]
        return [_marginal(q, keep) for q in components]


def _marginal(q: LinearGaussian, names: Sequence[str]) -> LinearGaussian:
    index, marginal, at = q.index(names), LinearGaussian(), 0
    marginal.mean, marginal.cov = q.mean[index], q.cov[np.ix_(index, index)]
    for name in names:
        size = len(q.where[name])
        marginal.where[name] = np.arange(at, at + size)
        at += size
    return marginal


def _point(p: LinearGaussian, modalities: Iterable[str], numbers: Numbers) -> dict[str, np.ndarray]:
    values = numbers.rng.multivariate_normal(p.mean, p.cov)
    return {m: values[p.where[m]] for m in modalities}


def _shared(size: int = G) -> LinearGaussian:
    return LinearGaussian().add("g", np.zeros(size), np.ones(size))


def _likelihoods(modalities: Iterable[str]) -> dict[str, LearnedNormal]:
    return {m: LearnedNormal() for m in modalities}


def _networks(parts: Mapping[str, Map]) -> dict[str, nn.Module]:
    return {m: part.network() for m, part in parts.items()}


@dataclass(frozen=True)
class Hierarchy:
    """One modality of an HMVAE; lists run from level 1 up."""

    bottom_up: list[Map]
    expert: Head
    top_down: list[Map]
    priors: list[Head]
    merges: list[Map]
    posteriors: list[Head]
    decoder: Head
    projections: list[Map] | None = None

    def network(self) -> ModalityHierarchy:
        parts = (self.bottom_up, self.top_down, self.priors, self.merges, self.posteriors)
        bottom_up, top_down, priors, merges, posteriors = ([layer.network() for layer in part] for part in parts)
        expert, decoder = self.expert.network(), self.decoder.network()
        projections = self.projections and [layer.network() for layer in self.projections]
        return ModalityHierarchy(bottom_up, expert, top_down, priors, merges, posteriors, decoder, projections)

    def _chain(self, m: str) -> Iterator[tuple[int, str, Values, np.ndarray]]:
        """(level, its latent variable, h_t as weights of the variables above and a bias), from the top down.

        Last, as level 0 of the modality itself, what the decoder gets.
        """
        size = self.top_down[-1].weight.shape[1]
        weights, bias = {"g": np.eye(size)}, np.zeros(size)
        for i in range(len(self.priors), 0, -1):
            z, down = f"z_{m}_{i}", self.top_down[i - 1]
            weights, bias = {above: down.weight @ weight for above, weight in weights.items()}, down(bias)
            yield i, z, weights, bias
            if self.projections:
                weights, bias = weights | {z: self.projections[i - 1].weight}, bias + self.projections[i - 1].bias
            else:
                size = len(self.priors[i - 1].scale)
                weights, bias = {z: np.eye(size)}, np.zeros(size)
        yield 0, m, weights, bias

    def add_prior(self, p: LinearGaussian, m: str) -> None:
        for i, z, weights, bias in self._chain(m):
            if i:
                prior = self.priors[i - 1]
                p.add(z, prior(bias), prior.scale, **{above: prior.weight @ w for above, w in weights.items()})

    def add_likelihood(self, p: LinearGaussian, m: str) -> None:
        *_, (_, _, weights, bias) = self._chain(m)
        weights = {above: self.decoder.weight @ weight for above, weight in weights.items()}
        p.add(m, self.decoder(bias), self.decoder.scale, **weights)

    def add_posterior(self, q: LinearGaussian, m: str, x: np.ndarray) -> None:
        states = self.states(x)
        for i, z, weights, bias in self._chain(m):
            if i:
                posterior, merge = self.posteriors[i - 1], self.merges[i - 1]
                at_zero = posterior(merge(np.concatenate([bias, states[i - 1]])))
                from_top = posterior.weight @ merge.weight[:, : len(bias)]
                q.add(z, at_zero, posterior.scale, **{above: from_top @ weight for above, weight in weights.items()})

    def states(self, x: np.ndarray) -> list[np.ndarray]:
        states = []
        for layer in self.bottom_up:
            x = layer(x)
            states.append(x)
        return states


def _hmvae(hierarchies: dict[str, Hierarchy], numbers: Numbers, latent_dim: int, warmup: int) -> Toy:
    p = _shared(latent_dim)
    for m, hierarchy in hierarchies.items():
        hierarchy.add_prior(p, m)
        hierarchy.add_likelihood(p, m)

    def components(given: Values) -> list[LinearGaussian]:
        posteriors = []
        for m, x in given.items():
            expert = hierarchies[m].expert
            q = LinearGaussian().add("g", expert(hierarchies[m].states(x)[-1]), expert.scale)
            for other, hierarchy in hierarchies.items():
                if other in given:
                    hierarchy.add_posterior(q, other, given[other])
                else:
                    hierarchy.add_prior(q, other)
            posteriors.append(q)
        return posteriors

    networks = {m: hierarchy.network() for m, hierarchy in hierarchies.items()}
    model = HMVAE(networks, _likelihoods(hierarchies), Prior(latent_dim), KLWeight(warmup))
    return Toy(model, p, components, _point(p, hierarchies, numbers))


def hmvae(depths: Mapping[str, int], seed: int = 0, warmup: int = 0, residual: bool = False) -> Toy:
    """depths: L(m) of each modality, g included. residual: the top-down state passes the latent variables."""
    numbers = Numbers(seed)
    hierarchies = {}
    for m, depth in depths.items():
        levels = range(1, depth)
        hierarchies[m] = Hierarchy(
            bottom_up=[numbers.map(X if i == 1 else H, H) for i in levels],
            expert=numbers.posterior(H, G),
            top_down=[numbers.map(G if i == depth - 1 else H if residual else Z, H) for i in levels],
            priors=[numbers.head(H, Z) for _ in levels],
            merges=[numbers.map(2 * H, H) for _ in levels],
            posteriors=[numbers.posterior(H, Z) for _ in levels],
            decoder=numbers.likelihood(H if residual else Z, X),
            projections=[numbers.map(Z, H) for _ in levels] if residual else None,
        )
    return _hmvae(hierarchies, numbers, G, warmup)


def exact_hmvae(depths: Mapping[str, int], seed: int = 0) -> Toy:
    """Scalar latent variables and the true q(g | x_m) and q(z_i | z_i+1, x_m): exact for one given modality."""
    numbers = Numbers(seed)
    p, hierarchies = _shared(1), {}
    for m, depth in depths.items():
        levels = range(1, depth)
        priors, decoder = [numbers.head(1, 1) for _ in levels], numbers.head(1, X)
        plain = [identity(1) for _ in levels]
        partial = Hierarchy([], priors[0], plain, priors, [], [], decoder)
        partial.add_prior(p, m)
        partial.add_likelihood(p, m)
        above = [f"z_{m}_{i + 1}" if i < depth - 1 else "g" for i in levels]
        hierarchies[m] = Hierarchy(
            bottom_up=[identity(X) for _ in levels],
            expert=_conditional(p, "g", [m]),
            top_down=plain,
            priors=priors,
            merges=[identity(1 + X) for _ in levels],
            posteriors=[_conditional(p, f"z_{m}_{i}", [above[i - 1], m]) for i in levels],
            decoder=decoder,
        )
    return _hmvae(hierarchies, numbers, 1, 0)


def _conditional(p: LinearGaussian, target: str, given: Sequence[str]) -> Head:
    weight, bias, variance = p.regression(target, given)
    return Head(weight, bias, np.sqrt(variance[0]))


def mdvae(modalities: Sequence[str] = ("a", "b"), seed: int = 0, warmup: int = 0) -> Toy:
    numbers, p = Numbers(seed), _shared()
    of_g, of_z, decoders = {}, {}, {}
    for m in modalities:
        of_g[m], of_z[m] = numbers.posterior(X, G), numbers.posterior(X, Z)
        decoders[m] = numbers.likelihood(G + Z, X)
        p.add(f"z_{m}_1", np.zeros(Z), np.ones(Z))
        from_g, from_z = np.split(decoders[m].weight, [G], axis=1)
        p.add(m, decoders[m].bias, decoders[m].scale, g=from_g, **{f"z_{m}_1": from_z})

    def components(given: Values) -> list[LinearGaussian]:
        posteriors = []
        for m, x in given.items():
            q = LinearGaussian().add("g", of_g[m](x), of_g[m].scale)
            for other in modalities:
                known = other in given
                bias = of_z[other](given[other]) if known else np.zeros(Z)
                q.add(f"z_{other}_1", bias, of_z[other].scale if known else np.ones(Z))
            posteriors.append(q)
        return posteriors

    encoders = {m: _stacked(of_g[m], of_z[m]) for m in modalities}
    private = {m: Prior(Z) for m in modalities}
    networks = (_networks(encoders), _networks(decoders))
    model = MDVAE(*networks, _likelihoods(modalities), Prior(G), private, KLWeight(warmup))
    return Toy(model, p, components, _point(p, modalities, numbers))


def mhvae(
    kind: type[MHVAE],
    modalities: Sequence[str] = ("a", "b"),
    seed: int = 0,
    core: int = 0,
    private: int = 0,
    core_beta: float = 1.0,
    private_betas: Mapping[str, float] | None = None,
    **arguments: object,
) -> Toy:
    """core, private: warm-up epochs of the KL terms, whose weights then are the betas. arguments: the model's."""
    numbers, p = Numbers(seed), _shared()
    lower, heads, upper_decoders, decoders = {}, {}, {}, {}
    for m in modalities:
        lower[m], heads[m] = numbers.map(X, H), numbers.posterior(H, Z)
        upper_decoders[m], decoders[m] = numbers.head(G, Z), numbers.likelihood(Z, X)
        p.add(f"z_{m}_1", upper_decoders[m].bias, upper_decoders[m].scale, g=upper_decoders[m].weight)
        p.add(m, decoders[m].bias, decoders[m].scale, **{f"z_{m}_1": decoders[m].weight})
    upper = numbers.posterior(H * len(modalities), G)

    def components(given: Values) -> list[LinearGaussian]:
        h = {m: lower[m](given[m]) if m in given else np.zeros(H) for m in modalities}
        q = LinearGaussian().add("g", upper(np.concatenate(list(h.values()))), upper.scale)
        for m in modalities:
            if m in given:
                q.add(f"z_{m}_1", heads[m](h[m]), heads[m].scale)
            else:
                q.add(f"z_{m}_1", upper_decoders[m].bias, upper_decoders[m].scale, g=upper_decoders[m].weight)
        return [q]

    model = kind(
        _networks(lower),
        dict.fromkeys(modalities, H),
        _networks(heads),
        upper.network(),
        _networks(upper_decoders),
        _networks(decoders),
        _likelihoods(modalities),
        prior=Prior(G),
        core_weight=KLWeight(core, core_beta),
        private_weights={m: KLWeight(private, (private_betas or {}).get(m, 1.0)) for m in modalities},
        **arguments,
    )
    return Toy(model, p, components, _point(p, modalities, numbers))


def mhvae_bound(toy: Toy, *kept: str) -> Bound:
    """The ELBO of all modalities when only the kept ones inform g, while each z_m still sees its own modality."""
    (q,), (masked,) = toy.components(toy.x), toy.components(toy.only(*kept))
    here = np.ix_(q.where["g"], q.where["g"])  # no other variable of the posterior depends on g
    q.mean[q.where["g"]], q.cov[here] = masked.mean[masked.where["g"]], masked.cov[here]
    return bound(toy.p, [q], toy.x)


def _flat(
    kind: type[MVAE] | type[MMVAE],
    joint: Callable[[list[Head], list[np.ndarray]], list[LinearGaussian]],
    encoders: dict[str, Head],
    decoders: dict[str, Head],
    numbers: Numbers,
    warmup: int,
) -> Toy:
    size = len(next(iter(encoders.values())).bias)
    p = _shared(size)
    for m, decoder in decoders.items():
        p.add(m, decoder.bias, decoder.scale, g=decoder.weight)

    def components(given: Values) -> list[LinearGaussian]:
        return joint([encoders[m] for m in given], list(given.values()))

    model = kind(_networks(encoders), _networks(decoders), _likelihoods(encoders), Prior(size), KLWeight(warmup))
    return Toy(model, p, components, _point(p, encoders, numbers))


def _mixture(experts: list[Head], x: list[np.ndarray]) -> list[LinearGaussian]:
    return [LinearGaussian().add("g", expert(of), expert.scale) for expert, of in zip(experts, x, strict=True)]


def _product(experts: list[Head], x: list[np.ndarray]) -> list[LinearGaussian]:
    """With the prior: the posterior of g ~ N(0, I) after observing each expert's mean with its scale as noise."""
    joint = _shared(len(experts[0].bias))
    for i, expert in enumerate(experts):
        joint.add(f"y{i}", np.zeros_like(expert.bias), expert.scale, g=np.eye(len(expert.bias)))
    weight, bias, cov = joint.regression("g", [f"y{i}" for i in range(len(experts))])
    observed = np.concatenate([expert(of) for expert, of in zip(experts, x, strict=True)])
    return [LinearGaussian().add("g", weight @ observed + bias, np.sqrt(np.diag(cov)))]


def mmvae(modalities: Sequence[str] = ("a", "b"), seed: int = 0, warmup: int = 0, apart: float = 0.0) -> Toy:
    """apart: moves the mean of all experts but the first, so that the mixture is far from any one of them."""
    numbers = Numbers(seed)
    encoders = {m: numbers.posterior(X, G) for m in modalities}
    for m in list(modalities)[1:]:
        encoders[m] = replace(encoders[m], bias=encoders[m].bias + apart)
    decoders = {m: numbers.likelihood(G, X) for m in modalities}
    return _flat(MMVAE, _mixture, encoders, decoders, numbers, warmup)


def exact_mmvae(modalities: Sequence[str] = ("a", "b"), seed: int = 0) -> Toy:
    """Scalar g and the true q(g | x_m): exact for one given modality."""
    numbers, p = Numbers(seed), _shared(1)
    decoders = {m: numbers.likelihood(1, X) for m in modalities}
    for m, decoder in decoders.items():
        p.add(m, decoder.bias, decoder.scale, g=decoder.weight)
    return _flat(MMVAE, _mixture, {m: _conditional(p, "g", [m]) for m in modalities}, decoders, numbers, 0)


def mvae(modalities: Sequence[str] = ("a", "b"), seed: int = 0, warmup: int = 0) -> Toy:
    numbers = Numbers(seed)
    encoders = {m: numbers.posterior(X, G) for m in modalities}
    decoders = {m: numbers.likelihood(G, X) for m in modalities}
    return _flat(MVAE, _product, encoders, decoders, numbers, warmup)


def exact_mvae(modalities: Sequence[str] = ("a", "b"), seed: int = 0) -> Toy:
    """Scalar g and x; each expert is its modality's likelihood as a function of g: exact for any subset."""
    numbers = Numbers(seed)
    decoders = {m: numbers.head(1, 1) for m in modalities}
    encoders = {m: Head(1 / d.weight, -d.bias / d.weight[0], d.scale / abs(d.weight[0])) for m, d in decoders.items()}
    return _flat(MVAE, _product, encoders, decoders, numbers, 0)


def _posterior_of_posteriors(posteriors: list[Head], x: list[np.ndarray]) -> list[LinearGaussian]:
    """Each posterior N(mean, scale²) is turned into the observation whose posterior it is, under g ~ N(0, 1).

    An observation y with noise s leaves the variance s² / (1 + s²) and the mean y / (1 + s²); a posterior wider than
    the prior is left by none, and observes nothing: s is huge.
    """
    observations = []
    for q in posteriors:
        variance = np.where(q.scale < 1, q.scale**2, 1)
        noise = np.where(variance < 1, variance / np.maximum(1 - variance, 1e-12), 1e12)
        gain = np.where(variance < 1, 1 + noise, 0)
        observations.append(Head(gain[:, None] * q.weight, gain * q.bias, np.sqrt(noise)))
    return _product(observations, x)


def jmvae(modalities: Sequence[str] = ("a", "b"), seed: int = 0, warmup: int = 0, alpha: float = 0.1) -> Toy:
    numbers, p = Numbers(seed), _shared()
    trunks = {m: numbers.map(X, H) for m in modalities}
    head = numbers.posterior(H * len(modalities), G)
    encoders = {m: numbers.posterior(X, G) for m in modalities}
    decoders = {m: numbers.likelihood(G, X) for m in modalities}
    for m, decoder in decoders.items():
        p.add(m, decoder.bias, decoder.scale, g=decoder.weight)

    def components(given: Values) -> list[LinearGaussian]:
        if len(given) == len(modalities):
            hidden = np.concatenate([trunks[m](given[m]) for m in modalities])
            return [LinearGaussian().add("g", head(hidden), head.scale)]
        if len(given) == 1:
            ((m, x),) = given.items()
            return [LinearGaussian().add("g", encoders[m](x), encoders[m].scale)]
        return _posterior_of_posteriors([encoders[m] for m in given], list(given.values()))

    networks = (_networks(encoders), _networks(decoders), _likelihoods(modalities), Prior(G), KLWeight(warmup))
    model = JMVAE(*networks, joint_trunks=_networks(trunks), joint_head=head.network(), alpha=alpha)
    return Toy(model, p, components, _point(p, modalities, numbers))


# ---- Estimates against truth ---------------------------------------------------------------------------------------


def generator(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def assert_mean(estimates: Tensor | np.ndarray, truth: float, precision: float) -> None:
    """The mean of independent estimates is the truth within 5 standard errors, and the error is below `precision`."""
    values = np.asarray(estimates, dtype=np.float64)
    error = values.std(ddof=1) / np.sqrt(values.size)
    assert error < precision, f"too few samples to tell: standard error {error:.3g}"
    assert abs(values.mean() - truth) < 5 * error, f"{values.mean():.5g} ± {error:.2g}, but truly {truth:.5g}"


def log_weights(toy: Toy, given: Sequence[str], x: Sequence[str], samples: int, copies: int, seed: int = 0) -> Tensor:
    """log p(x, latents) - log q(latents | given), (K, B)."""
    with torch.no_grad():
        latents, log_q = toy.model.sample_latents(toy.batch(copies, *given), samples, generator(seed))
        return toy.model.log_joint(latents, toy.batch(copies, *x)) - log_q


def losses(toy: Toy, epoch: int = 0, samples: int = 2, copies: int = 400, repeats: int = 25) -> np.ndarray:
    """Independent estimates of the loss at the data point."""
    batch, noise = toy.batch(copies), generator(1)
    with torch.no_grad():
        return np.array([toy.model.loss(batch, epoch, samples, noise).total.item() for _ in range(repeats)])


def assert_gradients_match_differences(toy: Toy, epoch: int) -> None:
    """Autograd against central differences of the loss, with the same noise, in every parameter."""
    model = toy.model
    batch = {m: x + 0.1 * torch.arange(3.0)[:, None] for m, x in toy.batch(3).items()}

    def loss() -> Tensor:
        return model.loss(batch, epoch, 3, generator()).total

    model.zero_grad()
    loss().backward()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            flat = parameter.view(-1)
            for i in range(len(flat)):
                value, step = flat[i].item(), 1e-5
                flat[i] = value + step
                above = loss().item()
                flat[i] = value - step
                below = loss().item()
                flat[i] = value
                expected, found = (above - below) / (2 * step), parameter.grad.view(-1)[i].item()
                assert abs(found - expected) < 1e-6 * max(1.0, abs(expected)), f"{name}[{i}]: {found}, not {expected}"
