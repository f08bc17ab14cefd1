"""The stand-in for MNIST: the 1,797 handwritten digits of scikit-learn, 8x8 pixels, scaled to 28x28."""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from shared.data.mnist import SIDE, Options, split_images
from shared.data.prepared import DatasetSpec, Prepared

# Three pixels for one, and a margin of two: a digit is 24 pixels high, a little more than MNIST's 20.
_INNER = 24


def load(spec: DatasetSpec, data_root: Path) -> Prepared:
    options = spec.read(Options)
    digits = load_digits()
    images = np.stack([enlarge(image) for image in digits.images])
    made_of = "scikit-learn's digits scaled to 28x28"
    return split_images(spec.name, images, digits.target, options, stand_in=True, made_of=made_of, files={})


def enlarge(image: np.ndarray) -> np.ndarray:
    """uint8 (28, 28) from (8, 8) with values 0 to 16.

    The smooth enlargement is blurred; a steeper ramp around the middle of the scale gives strokes their edges back.
    """
    grey = Image.fromarray((image * (255 / 16)).astype(np.uint8)).resize((_INNER, _INNER), Image.Resampling.BICUBIC)
    sharp = np.clip((np.asarray(grey, dtype=np.float64) - 95) * (255 / 100), 0, 255)
    return np.pad(sharp.round().astype(np.uint8), (SIDE - _INNER) // 2)
