"""Heterogeneity of conditional samples (HMVAE Sec. 4.3, last measure of "Quantitative results")."""

from torch import Tensor

from shared.errors import InputError
from shared.metrics.checks import require_features


class ConditionalVariance:
    """Average variance of the representations of samples that share a condition, gathered chunk by chunk.

    For each condition c with features f_1..f_K in D dimensions and the prototype m = 1/K Σ_i f_i:

        variance(c) = 1/(K D) Σ_i ‖f_i − m‖²

    The divisor K is that of the paper's prototype. The paper does not say whether dimensions are summed or
    averaged. The average is chosen: its values, 0.04 to 0.51, are what one dimension of ResNet-101's pooled
    features can have, which are non-negative with a mean of order 0.5; a sum over 2048 dimensions would be in
    the hundreds.
    """

    def __init__(self) -> None:
        self.conditions = 0
        self._sum = 0.0

    def update(self, features: Tensor) -> None:
        """Add features (C, K, D): K samples for each of C conditions.

        InputError: fewer than two samples per condition, or values that are not finite.
        """
        require_features(features, "CKD")
        if features.shape[1] < 2:
            raise InputError(f"features: a variance needs at least 2 samples per condition, not {features.shape[1]}")
        features = features.double()
        deviations = features - features.mean(dim=1, keepdim=True)
        self._sum += deviations.square().mean(dim=(1, 2)).sum().item()
        self.conditions += len(features)

    @property
    def value(self) -> float:
        """Mean over all conditions so far. InputError: there is none."""
        if self.conditions == 0:
            raise InputError("features: a conditional variance needs at least one condition, found none")
        return self._sum / self.conditions
