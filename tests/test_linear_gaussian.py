"""The truth that other tests rely on, against numbers by hand and against sampling."""

import numpy as np
import pytest
from scipy.stats import norm

from tests.linear_gaussian import LinearGaussian, bound, mixture_entropy


def chain() -> LinearGaussian:
    """g ~ N(0, 1), x = 2 g + 1 + noise of scale 3: x ~ N(1, 13)."""
    return (
        LinearGaussian().add("g", np.zeros(1), np.ones(1)).add("x", np.ones(1), np.full(1, 3.0), g=np.full((1, 1), 2.0))
    )


def normal(mean: float, scale: float) -> LinearGaussian:
    return LinearGaussian().add("g", np.full(1, mean), np.full(1, scale))


def test_marginal_and_conditional_by_hand():
    assert chain().log_prob({"x": np.array([4.0])}) == pytest.approx(norm(1, np.sqrt(13)).logpdf(4))
    weight, bias, variance = chain().regression("g", ["x"])
    assert weight.item() == pytest.approx(2 / 13)
    assert bias.item() == pytest.approx(-2 / 13)
    assert variance.item() == pytest.approx(1 - 4 / 13)


def test_bound_by_hand():
    """q = N(0.5, 0.6²) at x = 4: E log N(4; 2 g + 1, 3²) and the KL to N(0, 1)."""
    exact = bound(chain(), [normal(0.5, 0.6)], {"x": np.array([4.0])})
    assert exact.reconstruction == pytest.approx(norm(2, 3).logpdf(4) - 4 * 0.36 / (2 * 9))
    assert exact.kl_shared == pytest.approx(0.5 * (0.36 + 0.25 - 1) - np.log(0.6))
    assert exact.kl_private == 0


def test_bound_is_the_likelihood_at_the_true_posterior():
    weight, bias, variance = chain().regression("g", ["x"])
    x = {"x": np.array([4.0])}
    posterior = normal((weight @ x["x"] + bias).item(), np.sqrt(variance.item()))
    assert bound(chain(), [posterior], x).elbo == pytest.approx(chain().log_prob(x))


def test_entropy_of_far_and_of_equal_components():
    single = normal(0, 2).entropy(["g"])
    assert mixture_entropy([normal(0, 2), normal(100, 2)]) == pytest.approx(single + np.log(2))
    assert mixture_entropy([normal(1, 2), normal(1, 2)]) == pytest.approx(single)
