"""Caption features where the paper's char-CNN-RNN embeddings are not at hand: TF-IDF and a truncated SVD.

Words and word pairs are weighted by TF-IDF and projected on the leading right singular vectors of the
training captions (latent semantic analysis). The projection is then turned by a fixed random rotation, so
that every feature is a mixture of all singular directions, as the features of a network are. Without it,
standardising each feature (HMVAE, App. C.3) would blow the thousandth singular direction, mere noise, up to
the size of the first, and a small vocabulary would leave features that are constant, for which a learned
Gaussian has no finite optimum. With it, standardisation hardly changes the angles and distances between
captions.
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from threadpoolctl import threadpool_limits

from shared.errors import InputError

_MAX_TERMS = 3072  # the most frequent ones: their eigenvectors take seconds, and rarer terms matter little
_RELATIVE_RANK_TOLERANCE = 1e-10


@dataclass(frozen=True)
class CaptionFeatures:
    """A fitted map from captions to features.

    vectoriser: captions to TF-IDF rows of V terms, each of unit length; projection: float64 (V, D).
    """

    vectoriser: TfidfVectorizer
    projection: np.ndarray

    @classmethod
    def fit(cls, captions: np.ndarray, dimension: int, seed: int = 0) -> "CaptionFeatures":
        """Fit on training captions, each caption being one document.

        Where the captions span fewer than `dimension` directions, all of them are kept, and the rotation
        spreads them over `dimension` features.

        Args:
            captions: str (N, 10) or any shape.
            dimension: number of features D.
            seed: of the rotation.

        Returns:
            The map; the same bits for the same captions, whatever the number of threads.

        InputError: no caption has a word.
        """
        vectoriser = TfidfVectorizer(ngram_range=(1, 2), max_features=_MAX_TERMS, dtype=np.float64)
        try:
            terms = vectoriser.fit_transform(captions.ravel())
        except ValueError as error:  # for text, there is but one
            raise InputError(f"training captions: without a single word ({error}); fetch them again") from None
        with threadpool_limits(1):  # the order in which threads add numbers up must not show in the result
            directions = _right_singular_vectors(terms, dimension)
            return cls(vectoriser, directions @ _orthonormal_rows(directions.shape[1], dimension, seed))

    def __call__(self, captions: np.ndarray) -> np.ndarray:
        """Captions, str (N, C), to the means of each row's C features: float32 (N, D)."""
        rows, per_row = captions.shape
        terms = self.vectoriser.transform(captions.ravel())
        mean = scipy.sparse.kron(scipy.sparse.identity(rows), np.full((1, per_row), 1 / per_row), format="csr")
        # The projection is linear: the mean of features is the feature of the mean, at a tenth of the work.
        with threadpool_limits(1):
            return ((mean @ terms) @ self.projection).astype(np.float32)


def _right_singular_vectors(matrix: scipy.sparse.csr_matrix, count: int) -> np.ndarray:
    """At most `count` leading right singular vectors of (N, V), as columns; only as many as the rank.

    They are eigenvectors of the small Gram matrix (V, V): exact, and without dense matrices of N rows,
    which the iterative solvers need.
    """
    terms = matrix.shape[1]
    gram = (matrix.T @ matrix).toarray()
    values, vectors = scipy.linalg.eigh(gram, subset_by_index=(max(0, terms - count), terms - 1))
    return vectors[:, values > values[-1] * _RELATIVE_RANK_TOLERANCE][:, ::-1]


def _orthonormal_rows(rows: int, columns: int, seed: int) -> np.ndarray:
    """Random orthonormal rows (rows <= columns), so that multiplying by them keeps lengths and angles."""
    gaussian = np.random.default_rng(seed).standard_normal((columns, rows))
    return np.linalg.qr(gaussian).Q.T
