"""Log-likelihoods by importance sampling, for every model of the contract, from any proposal.

For data points x_1 .. x_B, latents z_1 .. z_K of each point are drawn from the model's posterior given some of its
modalities, and the log-likelihood of any subset T of the modalities is estimated by

    log p(x_T) ≈ log 1/K Σ_k w_k,    w_k = p(z_k) ∏_{m in T} p(x_m | z_k) / q(z_k | x_given)

The average runs over the K samples of one data point only: log weights are (K, B) throughout, and different points
never meet. Weights are unbiased for p(x_T) whatever the proposal, so the estimate is a lower bound of log p(x_T) in
expectation, and rises with K. Where q does not depend on modality m, `sample_latents` draws its own latent variables
from their conditional prior, whose density then cancels in w. A modality outside T needs no term: with its likelihood
left out, its own latent variables integrate out of the expectation. Those that no T needs are not drawn.

Sums run in float64, as logarithms, in chunks: memory depends neither on K nor on the number of data points.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from math import ceil, log
from typing import Any

import torch
from torch import Generator, Tensor

from shared.data.arrays import Split
from shared.errors import InputError
from shared.metrics.protocol import spread
from shared.models.contract import Batch, MultimodalVAE, batch_size
from shared.models.experts import strata

Target = tuple[str, ...]

# Rows K x B that networks see at a time: enough to keep the cores busy, few enough that activations stay in the cache.
ROWS = 1024


class LogWeightSums:
    """Running sums over samples: of the weights of each target, and of the products of two targets' weights.

    strata: how many samples in a row belong together, since a mixture's are drawn from its experts in turn.
    halves: over every other block of `strata` samples, and over those between, (2, B). products: (B,). All are kept as
    logarithms, float64.
    """

    def __init__(self, targets: Sequence[Target], strata: int = 1) -> None:
        self.targets, self.strata = tuple(targets), strata
        self.counts = [0, 0]  # samples in either half
        self.halves: dict[Target, Tensor] = {}
        self.products: dict[tuple[Target, Target], Tensor] = {}
        self._next = 0  # the half that the next block goes to

    @property
    def samples(self) -> int:
        return sum(self.counts)

    def update(self, log_weights: dict[Target, Tensor]) -> None:
        """Add a chunk of samples that were drawn at once: (K, B) for each target."""
        wide = {target: log_weights[target].double() for target in self.targets}
        size = len(next(iter(wide.values())))
        half = (torch.arange(size) // self.strata + self._next) % 2
        self._next = 1 - int(half[-1])
        index = [torch.nonzero(half == side).flatten() for side in (0, 1)]
        self.counts = [count + len(own) for count, own in zip(self.counts, index, strict=True)]
        for a in self.targets:
            halves = torch.stack([wide[a][own.to(wide[a].device)].logsumexp(0) for own in index])
            self.halves[a] = _add(self.halves.get(a), halves)
        for a, b in combinations_with_replacement(self.targets, 2):
            self.products[a, b] = _add(self.products.get((a, b)), (wide[a] + wide[b]).logsumexp(0))

    def empty_like(self, points: int) -> "LogWeightSums":
        """Room for so many data points."""
        room = LogWeightSums(self.targets, self.strata)
        room.counts = self.counts
        room.halves = {key: value.new_empty(2, points) for key, value in self.halves.items()}
        room.products = {key: value.new_empty(points) for key, value in self.products.items()}
        return room

    def place(self, part: "LogWeightSums", start: int) -> None:
        """Write the sums of a chunk of data points, which begins at `start`."""
        for whole, chunk in ((self.halves, part.halves), (self.products, part.products)):
            for key, value in chunk.items():
                whole[key][..., start : start + value.shape[-1]] = value


def _add(total: Tensor | None, more: Tensor) -> Tensor:
    return more if total is None else torch.logaddexp(total, more)


@dataclass(frozen=True)
class Summary:
    """An estimate averaged over data points, in nats.

    standard_error: of the mean, from the spread between data points (which the true Monte Carlo error is part of);
    None for a single point.
    monte_carlo_error: of the mean, from the importance samples alone: the error of half of them, found by comparing the
    two halves at each point. That of all is smaller, by sqrt(2) with many effective samples. None for one sample.
    effective_samples: the mean over data points of (Σ w)² / Σ w², of K.
    """

    mean: float
    standard_error: float | None
    monte_carlo_error: float | None
    effective_samples: float
    points: int


@dataclass(frozen=True)
class Estimate:
    """One estimate per data point, all (B,), float64.

    value: in nats. error: its standard error over importance samples, by the delta method. effective_samples: of K.
    halves: the estimates, (2, B), of either half of the samples alone; not finite where one has none.

    The error is a first-order one. For log p it never exceeds 1 nat, however far apart repeated estimates lie, and it
    says nothing of the bias: it can be trusted with hundreds of effective samples, not with a handful. The distance of
    the halves can be trusted with any number, but only over many data points.
    """

    value: Tensor
    error: Tensor
    effective_samples: Tensor
    halves: Tensor

    def summary(self) -> Summary:
        points = len(self.value)
        even, odd = self.halves
        apart = (even - odd).square() / 2  # expected: the variance of either half
        return Summary(
            mean=self.value.mean().item(),
            standard_error=(self.value.std() / points**0.5).item() if points > 1 else None,
            monte_carlo_error=(apart.sum().sqrt() / points).item() if apart.isfinite().all() else None,
            effective_samples=self.effective_samples.mean().item(),
            points=points,
        )


@dataclass(frozen=True)
class Estimates:
    """What one proposal says about all targets, for B data points."""

    sums: LogWeightSums

    def log_p(self, target: Target) -> Estimate:
        """log p(x_T). Its error: sqrt(Σ w² / (Σ w)² - 1/K), the relative error of the mean weight."""
        log_square = self._share(target, target)
        relative = log_square.exp() - 1 / self.sums.samples
        counts = torch.tensor(self.sums.counts, device=log_square.device).double()[:, None]
        return Estimate(
            self._total(target) - log(self.sums.samples),
            relative.clamp_min(0).sqrt(),
            (-log_square).exp(),
            self.sums.halves[target] - counts.log(),
        )

    def conditional(self, target: Target, given: Target) -> Estimate:
        """log p(x_T) - log p(x_S) = log p(x_T | x_S) for S within T, both from the same samples.

        Its error: sqrt(Σ_k (w_Tk / Σ w_T - w_Sk / Σ w_S)²), in which what the two have in common cancels.
        A difference of two lower bounds is no bound itself. ValueError: S is not within T.
        """
        if not set(given) < set(target):
            raise ValueError(f"log p({target} | {given}): both sets come from one, the second within the first")
        joint, marginal = self.log_p(target), self.log_p(given)
        variance = (
            self._share(target, target).exp() + self._share(given, given).exp() - 2 * self._share(target, given).exp()
        )
        fewest = torch.minimum(joint.effective_samples, marginal.effective_samples)
        halves = joint.halves - marginal.halves
        return Estimate(joint.value - marginal.value, variance.clamp_min(0).sqrt(), fewest, halves)

    def _total(self, target: Target) -> Tensor:
        """log of Σ w over all samples, (B,)."""
        return self.sums.halves[target].logsumexp(0)

    def _share(self, a: Target, b: Target) -> Tensor:
        """log of Σ w_a w_b / (Σ w_a Σ w_b), (B,)."""
        pair = (a, b) if (a, b) in self.sums.products else (b, a)
        return self.sums.products[pair] - self._total(a) - self._total(b)


def estimate(
    model: MultimodalVAE,
    x: Batch,
    given: Sequence[str],
    targets: Sequence[Target],
    samples: int,
    generator: Generator,
    rows: int = ROWS,
) -> Estimates:
    """Importance sampling for B data points, with K = `samples` from q(. | x_given), at most `rows` decoded at a time.

    With nothing given they come from the prior.

    Every decoder runs once for all targets. The points are not divided, so B rows, of a mixture B for each of its
    experts, are the fewest: see `over_split`.
    model: in evaluation mode. ValueError: it is not, so that batch normalisation would mix data points; or no samples.
    """
    if model.training:
        raise ValueError("the model is in training mode, in which data points are not independent; call model.eval()")
    if samples < 1:
        raise ValueError(f"{samples} importance samples: at least one is needed")
    proposal = {m: x[m] for m in given}
    scored = {m: x[m] for m in sorted({m for target in targets for m in target}, key=model.modalities.index)}
    with torch.inference_mode():
        turn = strata(model.posterior({m: value[:1] for m, value in proposal.items()})) if given else 1
        sums = LogWeightSums(targets, turn)
        turns, at_once = ceil(samples / turn), max(1, rows // (turn * batch_size(x)))
        for part in even_parts(turns, ceil(turns / at_once)):  # a mixture's experts take whole turns, but for the last
            size = min(part * turn, samples - sums.samples)
            latents, log_q = model.sample_latents(proposal, size, generator, list(scored), batch_size(x))
            base = model.log_prior(latents).double() - log_q
            log_p = model.log_likelihoods(latents, scored)
            sums.update({target: sum((log_p[m] for m in target), base) for target in targets})
    return Estimates(sums)


def even_parts(total: int, parts: int) -> list[int]:
    """`total` as a sum of nearly equal positive whole numbers, `parts` of them if there are as many."""
    parts = min(parts, total)
    return [total // parts + (i < total % parts) for i in range(parts)]


def over_split(
    model: MultimodalVAE,
    split: Split,
    given: Sequence[str],
    targets: Sequence[Target],
    samples: int,
    generator: Generator,
    points: int | None = None,
    rows: int = ROWS,
) -> Estimates:
    """`estimate` over a whole split, or over so many of its points, evenly spread; one chunk of points at a time."""
    count = len(split) if points is None else points
    chosen = spread(count, len(split)).to(next(iter(split.tensors.values())).device)
    sums, done = None, 0
    for index in chosen.split(max(1, rows // samples)):
        part = estimate(model, split.batch(index), given, targets, samples, generator, rows).sums
        # results of all points are claimed at once: small tensors kept from each chunk would lie scattered between the
        # large ones that come and go, and the heap would grow with every chunk
        sums = sums or part.empty_like(count)
        sums.place(part, done)
        done += len(index)
    return Estimates(sums)


def row(target: Target, condition: Target, given: Target, protocol: str, estimate: Estimate) -> dict[str, Any]:
    """A line of metrics.json. InputError: the likelihood of a data point is not finite."""
    scored = tuple(m for m in target if m not in condition)
    key = "likelihood/" + "|".join("+".join(part) for part in (scored, condition) if part)
    lost = int((~estimate.value.isfinite()).sum())
    if lost:
        raise InputError(
            f"{key} from {'+'.join(given)}: not finite for {lost} of {len(estimate.value)} data points; "
            "the weights or the data are damaged, train the model again"
        )
    summary = estimate.summary()
    return {
        "key": key,
        "variant": "+".join(given) + protocol,
        "value": summary.mean,
        "unit": "nats",
        "samples": summary.points,
        "standard_error": summary.standard_error,
        "monte_carlo_error": summary.monte_carlo_error,
        "effective_samples": summary.effective_samples,
    }
