import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import InputError
from shared.metrics.precision_recall import PrecisionRecall, precision_recall


def brute_force(real: np.ndarray, generated: np.ndarray, neighbours: int) -> tuple[float, float]:
    """Precision and recall from all differences, in the words of the definition."""

    def radii(points):
        distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
        return [np.sort(np.delete(row, own))[neighbours - 1] for own, row in enumerate(distances)]

    def covered(points, centres):
        reach = np.array(radii(centres))
        return np.mean([np.any(np.linalg.norm(centres - point, axis=-1) <= reach) for point in points])

    return covered(generated, real), covered(real, generated)


def compare(real, generated, neighbours=3, chunk=1024) -> PrecisionRecall:
    return precision_recall(
        torch.as_tensor(np.asarray(real), dtype=torch.float32),
        torch.as_tensor(np.asarray(generated), dtype=torch.float32),
        neighbours,
        chunk,
    )


def line(*values: float) -> np.ndarray:
    return np.array(values)[:, None]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("neighbours", [1, 3])
def test_agrees_with_brute_force(seed, neighbours):
    rng = np.random.default_rng(seed)
    real = rng.normal(size=(50, 6)).astype(np.float32)
    generated = rng.normal(0.5, 0.8, size=(70, 6)).astype(np.float32)
    result = compare(real, generated, neighbours)
    assert (result.precision, result.recall) == pytest.approx(brute_force(real, generated, neighbours))
    assert 0 < result.precision < 1
    assert 0 < result.recall < 1


@given(st.integers(0, 2**32 - 1), st.integers(4, 20), st.integers(4, 20), st.integers(1, 9), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_ties_on_a_grid_and_any_chunk(seed, real_count, generated_count, chunk, offset):
    # few grid points: most distances are ties, many samples duplicates
    rng = np.random.default_rng(seed)
    real = offset + rng.integers(0, 4, size=(real_count, 2)).astype(float)
    generated = offset + rng.integers(0, 5, size=(generated_count, 2)).astype(float)
    result = compare(real, generated, chunk=chunk)
    assert (result.precision, result.recall) == pytest.approx(brute_force(real, generated, 3))


def test_radius_is_the_third_nearest_other_sample():
    # radii: 0 → 4 (neighbours 1, 2, 4), 1 → 3, 2 → 2, 4 → 4, far from the fifth sample, 100 → 99
    real = line(0, 1, 2, 4, 100)
    inside, outside = [-4.0, 8.0, 199.0], [-4.01, 199.01]  # exactly at a radius, and just beyond
    result = compare(real, line(*inside, *outside))
    assert result.precision == pytest.approx(3 / 5)


def test_recall_by_hand():
    generated = line(0, 1, 2, 3)  # radii 3, 2, 2, 3
    result = compare(line(-3, -3.1, 6, 6.1), generated)
    assert result.recall == pytest.approx(2 / 4)


def test_disjoint_clusters():
    rng = np.random.default_rng(0)
    result = compare(rng.normal(size=(20, 3)), 1000 + rng.normal(size=(20, 3)))
    assert result == PrecisionRecall(0.0, 0.0)
    assert result.f1 == 0


def test_a_set_against_itself():
    points = np.random.default_rng(1).normal(100.0, 1.0, size=(30, 64))
    result = compare(points, points)
    assert result == PrecisionRecall(1.0, 1.0)
    assert result.f1 == 1


def test_one_generated_outlier():
    real = line(0, 1, 2, 3, 4)
    generated = line(0.5, 1.5, 2.5, 3.5, 50)
    # the outlier is in no real sphere; its own sphere, of radius 48.5, covers every real sample
    assert compare(real, generated) == PrecisionRecall(0.8, 1.0)


def test_collapsed_generator():
    # all generated samples equal: their spheres have radius zero and contain only what lies on them
    real = np.random.default_rng(2).normal(size=(20, 8))
    generated = np.tile(real[:1], (10, 1))
    assert compare(real, generated) == PrecisionRecall(1.0, 1 / 20)
    assert compare(real, generated + 1e-3).recall == 0


def test_duplicates_far_from_the_origin():
    rng = np.random.default_rng(3)
    real = np.concatenate([1e4 + rng.normal(size=(10, 2048)), np.full((5, 2048), 0.1)])
    generated = np.full((6, 2048), 0.1)
    assert compare(real, generated) == PrecisionRecall(1.0, 5 / 15)


def test_roles_are_symmetric():
    rng = np.random.default_rng(4)
    first, second = rng.normal(size=(40, 4)), rng.normal(0.7, 0.5, size=(30, 4))
    forward, backward = compare(first, second), compare(second, first)
    assert (forward.precision, forward.recall) == (backward.recall, backward.precision)


@pytest.mark.parametrize("chunk", [1, 7, 40, 41])
def test_chunk_changes_nothing(chunk):
    rng = np.random.default_rng(5)
    real, generated = rng.normal(size=(41, 16)), rng.normal(size=(33, 16))
    assert compare(real, generated, chunk=chunk) == compare(real, generated)


def test_f1_is_the_harmonic_mean():
    assert PrecisionRecall(0.5, 0.25).f1 == pytest.approx(1 / 3)
    assert PrecisionRecall(1.0, 0.0).f1 == 0


def test_inputs_are_left_alone():
    real = torch.randn(10, 3, dtype=torch.float64)
    before = real.clone()
    precision_recall(real, real)
    assert torch.equal(real, before)


def test_too_few_samples():
    with pytest.raises(InputError, match="generated features: 3 samples; 3 nearest neighbours need at least 4"):
        compare(np.zeros((4, 2)), np.zeros((3, 2)))


def test_bad_features():
    with pytest.raises(InputError, match="NaN or infinite"):
        compare(np.zeros((5, 2)), np.full((5, 2), np.nan))
    with pytest.raises(InputError, match="2 real dimensions against 3 generated"):
        compare(np.zeros((5, 2)), np.zeros((5, 3)))
