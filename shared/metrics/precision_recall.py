"""Improved precision and recall (Kynkäänniemi et al. 2019, Eqs. 1-3)."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from shared.errors import InputError
from shared.metrics.checks import require_features

# Rounding of a squared distance in the form |a|² + |b|² − 2ab, relative to |a|² + |b|². It is about 1e-15 in
# float64, while features come in float32 with a resolution of 1e-7, so that 1e-12 confuses nothing but ties.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class PrecisionRecall:
    """Shares in [0, 1]. Precision: generated samples on the real manifold; recall: the reverse."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """Harmonic mean, 0 where precision and recall both are."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def precision_recall(real: Tensor, generated: Tensor, neighbours: int = 3, chunk: int = 1024) -> PrecisionRecall:
    """Compare real (N, D) with generated (M, D) features.

    The manifold of a set is the union of hyperspheres around its samples, each reaching to the sample's
    `neighbours`-th nearest other sample (HMVAE Sec. 4.3: 3). A point at a distance equal to the radius is
    inside; so is a point on a sample that has that many duplicates, whose radius is zero.

    Distances are computed for blocks of chunk x chunk pairs in float64: beside the features, memory is
    independent of N and M. Matrix products make this an order of magnitude faster than summing differences,
    and float64 with an allowance for rounding keeps ties and duplicates what they are.

    InputError: no more samples than `neighbours` in a set, different D, or values that are not finite.
    """
    for name, features in (("real", real), ("generated", generated)):
        require_features(features, "ND")
        if len(features) <= neighbours:
            raise InputError(
                f"{name} features: {len(features)} samples; {neighbours} nearest neighbours need at least "
                f"{neighbours + 1}"
            )
    if real.shape[1] != generated.shape[1]:
        raise InputError(
            f"features: {real.shape[1]} real dimensions against {generated.shape[1]} generated ones; "
            "use one extractor for both"
        )
    centre = real.mean(dim=0).double()  # rounding errors grow with the distance to the origin
    real_reach = _squared_radii(real, centre, neighbours, chunk)
    generated_reach = _squared_radii(generated, centre, neighbours, chunk)
    generated_inside = torch.zeros(len(generated), dtype=torch.bool, device=real.device)
    real_inside = torch.zeros(len(real), dtype=torch.bool, device=real.device)
    for rows, real_block in _blocks(real, centre, chunk):
        for columns, generated_block in _blocks(generated, centre, chunk):
            squared = _squared_distances(real_block, generated_block)
            generated_inside[columns] |= (squared <= real_reach[rows, None]).any(dim=0)
            real_inside[rows] |= (squared <= generated_reach[columns]).any(dim=1)
    return PrecisionRecall(precision=generated_inside.double().mean().item(), recall=real_inside.double().mean().item())


def _squared_radii(features: Tensor, centre: Tensor, neighbours: int, chunk: int) -> Tensor:
    """Squared distance (N,) from each sample to its `neighbours`-th nearest other one, plus rounding."""
    radii = []
    for rows, block in _blocks(features, centre, chunk):
        nearest = block.new_full((len(block), neighbours), torch.inf)
        for columns, others in _blocks(features, centre, chunk):
            squared = _squared_distances(block, others)
            if rows == columns:
                squared.fill_diagonal_(torch.inf)  # a sample is no neighbour of itself; its duplicates are
            candidates = torch.cat([nearest, squared], dim=1)
            nearest = candidates.topk(neighbours, dim=1, largest=False).values
        radius = nearest[:, -1].clamp(min=0)
        # A point b at the radius r around a has |b| <= |a| + r, hence |a|² + |b|² <= 3|a|² + 2r²; twice that,
        # as the radius and the distance compared with it are both rounded.
        radii.append(radius + _ROUNDING * (6 * block.square().sum(dim=1) + 4 * radius))
    return torch.cat(radii)


def _blocks(features: Tensor, centre: Tensor, chunk: int) -> Iterator[tuple[slice, Tensor]]:
    for start in range(0, len(features), chunk):
        rows = slice(start, min(start + chunk, len(features)))
        yield rows, features[rows].double() - centre


def _squared_distances(first: Tensor, second: Tensor) -> Tensor:
    """(N, M) squared Euclidean distances, exact up to rounding of either sign."""
    norms = first.square().sum(dim=1, keepdim=True) + second.square().sum(dim=1)
    return norms.addmm_(first, second.T, alpha=-2)
