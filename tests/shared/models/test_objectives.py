import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.models.objectives import linear_warmup


@pytest.mark.parametrize(
    ("epoch", "epochs", "weight"),
    [
        (0, 20, 0.0),
        (1, 20, 0.05),
        (10, 20, 0.5),
        (19, 20, 0.95),
        (20, 20, 1.0),
        (99, 20, 1.0),
        (2, 5, 0.4),
        (0, 0, 1.0),
    ],
)
def test_weights_by_hand(epoch, epochs, weight):
    assert linear_warmup(epoch, epochs) == pytest.approx(weight)


@given(st.integers(0, 200), st.integers(0, 100))
def test_grows_to_one_and_stays(epoch, epochs):
    assert 0 <= linear_warmup(epoch, epochs) <= linear_warmup(epoch + 1, epochs) <= 1
    assert linear_warmup(epochs, epochs) == 1
