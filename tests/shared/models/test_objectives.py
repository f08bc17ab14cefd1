import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.models.objectives import KLWeight


@pytest.mark.parametrize(
    ("epoch", "warmup", "beta", "weight"),
    [
        (0, 20, 1.0, 0.0),
        (1, 20, 1.0, 0.05),
        (10, 20, 1.0, 0.5),
        (19, 20, 1.0, 0.95),
        (20, 20, 1.0, 1.0),
        (99, 20, 1.0, 1.0),
        (2, 5, 1.0, 0.4),
        (0, 0, 1.0, 1.0),
        (0, 0, 2.5, 2.5),
        (5, 20, 4.0, 1.0),
        (80, 20, 0.5, 0.5),
    ],
)
def test_weights_by_hand(epoch, warmup, beta, weight):
    assert KLWeight(warmup, beta)(epoch) == pytest.approx(weight)


@given(st.integers(0, 200), st.integers(0, 100), st.floats(0, 10))
def test_grows_to_beta_and_stays(epoch, warmup, beta):
    weight = KLWeight(warmup, beta)
    assert 0 <= weight(epoch) <= weight(epoch + 1) <= beta
    assert weight(warmup) == beta
