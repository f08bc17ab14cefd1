"""MNIST and FashionMNIST: 70,000 grey images of ten classes, from the four official files (MHVAE, 3.1.1 and 3.1.2).

Files of <data root>/mnist or <data root>/fashion_mnist, addresses and checksums in the ledger. Both parts of a data
set are joined, training images first, and split anew, as the paper does.
"""

import gzip
import zlib
from pathlib import Path

import numpy as np

from shared.data import ledger
from shared.data.prepared import DatasetSpec, Prepared, one_hot, random_split
from shared.errors import InputError

NAMES = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}
CLASSES = {
    "mnist": tuple("0123456789"),
    "fashion_mnist": (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
}  # fmt: skip
PARTS = ("train", "test")
SIDE = 28
_UNSIGNED_BYTES = 0x08  # the type code of the idx format
# What `binarise` may be: none keeps grey values, threshold cuts in the middle, sampled draws every pixel once.
BINARISE = ("none", "threshold", "sampled")


def load(spec: DatasetSpec, data_root: str | Path) -> Prepared:
    """Read, check and split the official files. InputError: a file is missing, damaged, or not the official one."""
    options = spec.read(binarise=BINARISE, split_seed=0)
    keys = [f"{part}_{kind}" for part in PARTS for kind in ("images", "labels")]
    files = {key: ledger.require(data_root, spec.name, key) for key in keys}
    images = np.concatenate([read_idx(files[f"{part}_images"], 3) for part in PARTS])
    labels = np.concatenate([read_idx(files[f"{part}_labels"], 1) for part in PARTS])
    if images.shape != (len(labels), SIDE, SIDE) or labels.max() >= len(CLASSES[spec.name]):
        raise InputError(
            f"{files['train_images'].parent}: {len(images)} images of {images.shape[1]}x{images.shape[2]} pixels and "
            f"{len(labels)} labels up to {labels.max()} do not belong together; fetch the official files again"
        )
    return split_images(spec.name, images, labels, options, stand_in=False, made_of=NAMES[spec.name], files=files)


def split_images(
    name: str,
    images: np.ndarray,
    labels: np.ndarray,
    options: object,
    stand_in: bool,
    made_of: str,
    files: dict[str, Path],
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
        stand_in=stand_in,
        description=f"{made_of}, {pixels}",
        files=files,
        notes={"classes": list(CLASSES[name])},
    )


def binarised(images: np.ndarray, how: str, seed: int) -> np.ndarray:
    """uint8 images with pixels 0 and 255 only, or as they are."""
    if how == "threshold":
        return np.where(images > 127, 255, 0).astype(np.uint8)
    if how == "sampled":
        draws = np.random.default_rng([seed, 1]).random(images.shape, dtype=np.float32)
        return np.where(draws * 255 < images, 255, 0).astype(np.uint8)
    return images


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """An array of unsigned bytes from a compressed idx file. InputError: it is damaged, or holds something else."""
    advice = "delete it and fetch it again"
    try:
        content = gzip.decompress(path.read_bytes())
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path}: not a whole gzip file ({error}); {advice}") from None
    header = 4 + 4 * dimensions
    if content[:4] != bytes([0, 0, _UNSIGNED_BYTES, dimensions]) or len(content) < header:
        raise InputError(f"{path}: not an idx file of {dimensions} dimensions; {advice}")
    shape = tuple(np.frombuffer(content, ">u4", dimensions, offset=4).tolist())
    if len(content) != header + np.prod(shape):
        raise InputError(f"{path}: {len(content) - header} bytes where its header says {shape}; {advice}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
