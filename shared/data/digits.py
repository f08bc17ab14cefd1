"""The stand-in for MNIST: the 1,797 handwritten digits of scikit-learn, 8x8 pixels, scaled to 28x28.

Every digit for training stands there in several distortions: from 1,374 images alone all models would soon overfit,
each in its own way, and their order would not be that on MNIST.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import affine_transform
from sklearn.datasets import load_digits

from shared.data.mnist import SIDE, Options, split_images
from shared.data.prepared import DatasetSpec, Prepared

_DISTORTIONS = 4  # of each training image, beside itself
# Three pixels for one, and a margin of two: a digit is 24 pixels high, a little more than MNIST's 20.
_INNER = 24


def load(spec: DatasetSpec, data_root: Path) -> Prepared:
    options = spec.read(Options)
    digits = load_digits()
    images = np.stack([enlarge(image) for image in digits.images])
    made_of = "scikit-learn's digits scaled to 28x28"
    prepared = split_images(spec.name, images, digits.target, options, stand_in=True, made_of=made_of, files={})
    train = prepared.splits["train"]
    rng = np.random.default_rng(options.split_seed)
    copies = [train["x1"]] + [np.stack([distorted(x, rng) for x in train["x1"]]) for _ in range(_DISTORTIONS)]
    more = {name: np.concatenate([array] * len(copies)) for name, array in train.items()}
    return replace(prepared, splits=prepared.splits | {"train": more | {"x1": np.concatenate(copies)}})


def distorted(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """uint8 (1, 28, 28), turned, stretched, slanted and shifted a little, as handwriting is."""
    turn, slant = rng.uniform(-0.14, 0.14), rng.uniform(-0.1, 0.1)
    stretch, shift = rng.uniform(0.92, 1.08, 2), rng.uniform(-0.7, 0.7, 2)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = rotation @ np.array([[stretch[0], slant], [0, stretch[1]]])
    centre = np.full(2, (SIDE - 1) / 2)
    warped = affine_transform(image[0].astype(np.float64), matrix, centre + shift - matrix @ centre, order=1)
    return warped.round().astype(np.uint8)[None]


def enlarge(image: np.ndarray) -> np.ndarray:
    """uint8 (28, 28) from (8, 8) with values 0 to 16.

    The smooth enlargement is blurred; a steeper ramp around the middle of the scale gives strokes their edges back.
    """
    grey = Image.fromarray((image * (255 / 16)).astype(np.uint8)).resize((_INNER, _INNER), Image.Resampling.BICUBIC)
    sharp = np.clip((np.asarray(grey, dtype=np.float64) - 95) * (255 / 100), 0, 255)
    return np.pad(sharp.round().astype(np.uint8), (SIDE - _INNER) // 2)
