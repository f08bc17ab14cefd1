"""TF-IDF + SVD against dense linear algebra on captions small enough to do it by hand."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from shared.data.caption_features import CaptionFeatures
from shared.data.captioned import Standardisation

WORDS = ["red", "blue", "white", "round", "pointed", "striped", "petals", "with", "the", "flower", "has", "five"]


@pytest.fixture(scope="module")
def captions() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.array([[" ".join(rng.choice(WORDS, 6)) for _ in range(10)] for _ in range(40)])


def tfidf(captions: np.ndarray) -> np.ndarray:
    return TfidfVectorizer(ngram_range=(1, 2)).fit_transform(captions.ravel()).toarray()


def test_distances_are_those_of_the_truncated_svd_of_single_captions(captions: np.ndarray) -> None:
    dense = tfidf(captions)
    _, _, rows = np.linalg.svd(dense, full_matrices=False)
    expected = (dense @ rows[:12].T).reshape(40, 10, 12).mean(axis=1)
    features = CaptionFeatures.fit(captions, dimension=12)(captions)
    assert features.shape == (40, 12)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features @ features.T, expected @ expected.T, atol=1e-6)


def test_a_small_vocabulary_is_spread_over_all_features_without_loss(captions: np.ndarray) -> None:
    """More features than directions: all angles are kept, no feature is constant."""
    few = np.array([["red flower", "blue flower", "red petals"], ["blue petals", "white", "red flower"]] * 2)
    features = CaptionFeatures.fit(few, dimension=64)(few)
    mean = tfidf(few).reshape(4, 3, -1).mean(axis=1)
    assert features.shape == (4, 64)
    np.testing.assert_allclose(features @ features.T, mean @ mean.T, atol=1e-6)
    assert (np.ptp(features, axis=0) > 0).all()


def test_standardising_keeps_the_geometry(captions: np.ndarray) -> None:
    """The point of the rotation: distances before and after are nearly proportional."""
    features = CaptionFeatures.fit(captions, dimension=1024)(captions)
    standardised = Standardisation.of(features)(features)

    def distances(x: np.ndarray) -> np.ndarray:
        return np.linalg.norm(x[:, None] - x[None], axis=-1)[np.triu_indices(len(x), 1)]

    assert np.corrcoef(distances(features), distances(standardised))[0, 1] > 0.99


def test_repeated_runs_agree_bit_for_bit(captions: np.ndarray) -> None:
    first, second = (CaptionFeatures.fit(captions, dimension=100)(captions) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_the_fit_sees_training_captions_only(captions: np.ndarray) -> None:
    """A word of other captions alone has no feature: it changes nothing but the length of its caption's row."""
    fitted = CaptionFeatures.fit(captions, dimension=32)
    assert "zygomorphic" not in fitted.vectoriser.vocabulary_
    np.testing.assert_array_equal(fitted(np.array([["zygomorphic"]])), np.zeros((1, 32)))


def test_standardised_training_features_have_mean_0_and_std_1() -> None:
    x = np.random.default_rng(1).normal(3, 5, (500, 7)).astype(np.float32)
    standardise = Standardisation.of(x)
    np.testing.assert_allclose(standardise(x).mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(standardise(x).std(axis=0), 1, atol=1e-5)
    other = np.ones((2, 7), np.float32)
    np.testing.assert_allclose(standardise(other), (other - x.mean(axis=0)) / x.std(axis=0), rtol=1e-4)


def test_constant_features_become_exactly_0() -> None:
    x = np.full((101, 2), 0.1, np.float32)
    x[:, 1] = np.arange(101)
    standardise = Standardisation.of(x)
    np.testing.assert_array_equal(standardise(x)[:, 0], 0)
    assert standardise.std[0] == 1
    assert standardise.mean.dtype == standardise.std.dtype == standardise(x).dtype == np.float32
