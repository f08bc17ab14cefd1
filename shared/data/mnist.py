"""MNIST and FashionMNIST: 70,000 grey images of ten classes, from the four official files (MHVAE, 3.1.1 and 3.1.2).

Files of <data root>/mnist or <data root>/fashion_mnist, addresses and checksums in the ledger. Both parts of a data
set are joined, training images first, and split anew, as the paper does.
"""

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import NonNegativeInt

from shared.data import ledger
from shared.data.prepared import DatasetOptions, DatasetSpec, Prepared, one_hot, random_split

NAMES = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}
CLASSES = {
    "mnist": tuple("0123456789"),
    "fashion_mnist": (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
}  # fmt: skip
PARTS = ("train", "test")
SIDE = 28


class Options(DatasetOptions):
    """binarise: none keeps grey values, threshold cuts in the middle, sampled draws every pixel once. split_seed: of
    the split, and of the pixels that are drawn."""

    binarise: Literal["none", "threshold", "sampled"] = "none"
    split_seed: NonNegativeInt = 0


def load(spec: DatasetSpec, data_root: str | Path) -> Prepared:
    """Read and split the official files. InputError: one is missing or is not the official one."""
    options = spec.read(Options)
    keys = [f"{part}_{kind}" for kind in ("images", "labels") for part in PARTS]
    files = {key: ledger.require(data_root, spec.name, key) for key in keys}
    images, labels = (
        np.concatenate([read_idx(files[f"{part}_{kind}"]) for part in PARTS]) for kind in ("images", "labels")
    )
    return split_images(spec.name, images, labels, options, stand_in=False, made_of=NAMES[spec.name], files=files)


def split_images(
    name: str,
    images: np.ndarray,
    labels: np.ndarray,
    options: Options,
    stand_in: bool,
    made_of: str,
    files: Mapping[str, Path],
) -> Prepared:
    """Split grey images, uint8 (N, 28, 28), and their classes (N,) as all sources of these data sets are split."""
    images = binarised(images, options.binarise, options.split_seed)
    labels = labels.astype(np.int64)
    pixels = "grey values" if options.binarise == "none" else f"binarised pixels ({options.binarise})"
    return Prepared(
        splits={
            split: {
                "x1": images[index][:, None],
                "x2": one_hot(labels[index], len(CLASSES[name])),
                "labels": labels[index],
            }
            for split, index in random_split(len(images), options.split_seed).items()
        },
        classes=CLASSES[name],
        stand_in=stand_in,
        official=not stand_in,
        description=f"{made_of}, {pixels}",
        files=files,
    )


def binarised(images: np.ndarray, how: str, seed: int) -> np.ndarray:
    """uint8 images with pixels 0 and 255 only, or as they are."""
    if how == "threshold":
        return np.where(images > 127, 255, 0).astype(np.uint8)
    if how == "sampled":
        draws = np.random.default_rng([seed, 1]).random(images.shape, dtype=np.float32)
        return np.where(draws * 255 < images, 255, 0).astype(np.uint8)
    return images


def read_idx(path: Path) -> np.ndarray:
    """The array of unsigned bytes in a compressed idx file, which is trusted: its checksum is known.

    Its header: two zero bytes, the type, the number of axes, and their lengths.
    """
    content = gzip.decompress(path.read_bytes())
    axes = content[3]
    shape = np.frombuffer(content, ">u4", count=axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)
