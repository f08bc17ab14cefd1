"""Fréchet distance between sets of features (Heusel et al. 2017), from moments gathered batch by batch."""

import numpy as np
from torch import Tensor

from shared.errors import InputError
from shared.metrics.checks import require_features

_ROUNDING = 1e-6


class FeatureMoments:
    """Mean and covariance of a stream of features, in float64; memory is O(D²) however many there are.

    Batches are merged by the pairwise update of Chan, Golub and LeVeque (1983), which works with deviations
    from the mean: E[xxᵀ] − E[x]E[x]ᵀ would cancel where the mean is large compared with the spread.
    """

    def __init__(self, dimension: int) -> None:
        self.count = 0
        self.mean = np.zeros(dimension)
        self._scatter = np.zeros((dimension, dimension))

    def update(self, features: Tensor) -> None:
        """Add features (N, D). InputError: another D than before, or values that are not finite."""
        require_features(features, "ND")
        if features.shape[1] != len(self.mean):
            raise InputError(f"features: {features.shape[1]} dimensions where {len(self.mean)} are expected")
        if len(features) == 0:
            return
        batch = features.detach().double().cpu().numpy()
        batch_mean = batch.mean(axis=0)
        deviations = batch - batch_mean
        shift = batch_mean - self.mean
        total = self.count + len(batch)
        self._scatter += deviations.T @ deviations
        self._scatter += np.outer(shift, shift * (self.count * len(batch) / total))
        self.mean = self.mean + shift * (len(batch) / total)
        self.count = total

    @property
    def covariance(self) -> np.ndarray:
        """Unbiased covariance (D, D), as numpy.cov. InputError: fewer than two samples."""
        if self.count < 2:
            raise InputError(f"features: a covariance needs at least 2 samples, found {self.count}")
        return self._scatter / (self.count - 1)


def frechet_distance(first: FeatureMoments, second: FeatureMoments) -> float:
    """Fréchet distance ‖μ₁ − μ₂‖² + Tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½), the number pytorch-fid reports.

    pytorch-fid's own function is not called: it asks scipy.linalg.sqrtm for an argument that SciPy 1.18 no
    longer has, and takes the square root of the unsymmetric product Σ₁Σ₂, which is singular (in some versions
    of SciPy a failure) whenever there are fewer samples than dimensions, as with 1155 test images and 2048
    features. The trace alone needs no such root: with Σ₁ = F₁F₁ᵀ and Σ₂ = F₂F₂ᵀ it is the sum of the singular
    values of F₁ᵀF₂.

    InputError: fewer than two samples, features of different dimensions, or a distance below zero by more than rounding
    can be: about 1e-16 of the traces between equal moments.
    """
    if first.mean.shape != second.mean.shape:
        raise InputError(
            f"features: {len(first.mean)} dimensions against {len(second.mean)}; use one extractor for both"
        )
    first_factor, second_factor = _factor(first.covariance), _factor(second.covariance)
    root_trace = np.linalg.svd(first_factor.T @ second_factor, compute_uv=False).sum()
    traces = np.square(first_factor).sum() + np.square(second_factor).sum()
    distance = float(np.square(first.mean - second.mean).sum() + traces - 2 * root_trace)
    if not distance >= -_ROUNDING * traces:
        raise InputError(f"Fréchet distance: {distance:g} can't be; the libraries or the memory fail, evaluate again")
    return max(distance, 0.0)


def _factor(covariance: np.ndarray) -> np.ndarray:
    """F (D, rank) with F Fᵀ = covariance (D, D).

    Eigenvalues below the rounding of the decomposition are dropped: they are zero in exact arithmetic, and
    their square roots, no longer small beside the rest, would add up over the null space.
    """
    eigenvalues, eigenvectors = np.linalg.eigh(covariance)
    rounding = eigenvalues[-1] * len(eigenvalues) * np.finfo(np.float64).eps
    kept = eigenvalues > max(rounding, 0.0)
    return eigenvectors[:, kept] * np.sqrt(eigenvalues[kept])
