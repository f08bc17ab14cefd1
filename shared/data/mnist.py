"""MNIST and FashionMNIST: 70,000 grey images of ten classes, from the four official files (MHVAE, 3.1.1 and 3.1.2).

Files of <data root>/mnist or <data root>/fashion_mnist, addresses and checksums in the ledger. Both parts of a data
set are joined, training images first, and split anew, as the paper does.
"""

import gzip
import math
import zlib
from pathlib import Path
from typing import BinaryIO

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
_CHUNK = 1 << 20
_ADVICE = "delete it and fetch it again"
# What `binarise` may be: none keeps grey values, threshold cuts in the middle, sampled draws every pixel once.
BINARISE = ("none", "threshold", "sampled")


def load(spec: DatasetSpec, data_root: str | Path) -> Prepared:
    """Check, read and split the official files.

    Options binarise (one of BINARISE), split_seed: of the split, and of the pixels that `binarise: sampled` draws.

    InputError: a file is missing or is not the official one, which is known before it is read.
    """
    options = spec.read(binarise=BINARISE, split_seed=0)
    keys = [f"{part}_{kind}" for part in PARTS for kind in ("images", "labels")]
    files = {key: ledger.require(data_root, spec.name, key) for key in keys}
    parts = [
        read_part(files[f"{part}_images"], files[f"{part}_labels"], classes=len(CLASSES[spec.name])) for part in PARTS
    ]
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
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


def read_part(images_path: Path, labels_path: Path, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8 (N, 28, 28), and their labels, uint8 (N,).

    InputError: a file is damaged, the images are of another size, or the labels are not theirs.
    """
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if images.shape[1:] != (SIDE, SIDE):
        size = "x".join(map(str, images.shape[1:]))
        raise InputError(f"{images_path}: images of {size} pixels, not {SIDE}x{SIDE}; {_ADVICE}")
    if len(labels) != len(images):
        raise InputError(f"{labels_path}: {len(labels)} labels for {len(images)} images; {_ADVICE}")
    if labels.max() >= classes:
        raise InputError(f"{labels_path}: the label {labels.max()}, where {classes - 1} is the last; {_ADVICE}")
    return images, labels


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """An array of unsigned bytes from a compressed idx file; no more is decompressed than its header announces.

    InputError: it is damaged, empty, or holds something else.
    """
    length = 4 + 4 * dimensions
    try:
        with gzip.open(path) as file:
            header = file.read(length)
            if header[:4] != bytes([0, 0, _UNSIGNED_BYTES, dimensions]) or len(header) < length:
                raise InputError(f"{path}: not an idx file of {dimensions} dimensions; {_ADVICE}")
            shape = tuple(np.frombuffer(header, ">u4", dimensions, offset=4).tolist())
            content = _read_up_to(file, math.prod(shape) + 1)  # to its end, where the checksum is
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path}: not a whole gzip file ({error}); {_ADVICE}") from None
    if len(content) != math.prod(shape):
        found = "more" if len(content) > math.prod(shape) else f"only {len(content)}"
        raise InputError(f"{path}: {found} bytes where its header says {shape}; {_ADVICE}")
    if not content:
        raise InputError(f"{path}: holds nothing, its header says {shape}; {_ADVICE}")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _read_up_to(file: BinaryIO, size: int) -> bytearray:
    """At most `size` bytes, whose memory is taken as they come: a damaged header may announce any number."""
    content = bytearray()
    while chunk := file.read(min(_CHUNK, size - len(content))):
        content += chunk
    return content
