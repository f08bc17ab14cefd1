"""CelebA: 202,599 aligned photographs of faces with attributes, in the official partition (MHVAE, 3.1.3).

Files of <data root>/celeba: the archive img_align_celeba.zip or the folder it was unpacked to, list_attr_celeba.txt and
list_eval_partition.txt. Images are read and written in small blocks, so that 200,000 of them need no memory.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from shared.data import ledger
from shared.data.archives import Members, read_image
from shared.data.prepared import SPLITS, DatasetOptions, DatasetSpec, ImageSize, Prepared, Rows
from shared.errors import InputError, damaged

DATASET = "celeba"
# The 18 that are visually distinctive (Perarnau et al., 2016), in the order of the official file.
ATTRIBUTES = (
    "Bald", "Bangs", "Black_Hair", "Blond_Hair", "Brown_Hair", "Bushy_Eyebrows", "Eyeglasses", "Gray_Hair",
    "Heavy_Makeup", "Male", "Mouth_Slightly_Open", "Mustache", "Pale_Skin", "Receding_Hairline", "Smiling",
    "Straight_Hair", "Wavy_Hair", "Wearing_Hat",
)  # fmt: skip
IMAGE_SIZE = 64
ALIGNED = (178, 218)  # width and height of the aligned photographs; those in the wild have the same file names
_BLOCK = 256  # images in memory at a time


class Options(DatasetOptions):
    """image_size: side in pixels."""

    image_size: ImageSize = IMAGE_SIZE


def load(spec: DatasetSpec, data_root: str | Path) -> Prepared:
    """Read the lists, whose checksums are known; the images follow when they are written.

    InputError: a file is missing or is not the official one, or images are missing.
    """
    options = spec.read(Options)
    files = {key: ledger.require(data_root, DATASET, key) for key in ("images", "attributes", "partition")}
    # the first line counts the images, the second names the attributes; then each line is a name and 1 or -1
    attributes = pd.read_csv(files["attributes"], sep=r"\s+", skiprows=1)
    part_of = pd.read_csv(files["partition"], sep=r"\s+", header=None, index_col=0)[1].reindex(attributes.index)
    images = Members(files["images"])
    if missing := [name for name in attributes.index if name not in images.names]:
        raise damaged(files["images"], f"{missing[0]} missing, one of {len(missing)}")
    splits = {}
    for number, split in enumerate(SPLITS):
        of_split = attributes[part_of == number]
        splits[split] = {
            "x1": Rows(
                count=len(of_split),
                shape=(3, options.image_size, options.image_size),
                dtype=np.uint8,
                make=partial(blocks, images, list(of_split.index), options.image_size),
            ),
            "x2": (of_split[list(ATTRIBUTES)] == 1).to_numpy(np.float32),
        }
    return Prepared(
        splits=splits,
        stand_in=False,
        official=ledger.official(data_root, DATASET, files),
        description=f"CelebA, {len(ATTRIBUTES)} attributes",
        files=files,
        notes={"attributes": list(ATTRIBUTES)},
    )


def blocks(images: Members, names: Sequence[str], size: int) -> Iterator[np.ndarray]:
    """Images in the order of the names, uint8 (n, 3, size, size), at most _BLOCK of them at a time.

    InputError: an image is damaged, or is not an aligned one; the line names it.
    """
    for first in range(0, len(names), _BLOCK):
        yield np.stack([_read(images, name, size) for name in names[first : first + _BLOCK]])


def _read(images: Members, name: str, size: int) -> np.ndarray:
    image = read_image(images.read(name), f"{images.path}: {name}")
    if image.size != ALIGNED:
        raise InputError(
            f"{images.path}: {name} is {image.width}x{image.height} pixels large, not {ALIGNED[0]}x{ALIGNED[1]}; "
            "use the aligned and cropped images (img_align_celeba)"
        )
    return np.asarray(resize_and_crop(image, size)).transpose(2, 0, 1)


def resize_and_crop(image: Image.Image, size: int) -> Image.Image:
    """The shorter side to `size`, bilinear and antialiased, then the centre (size, size).

    The paper says "re-scaled" only; this is what the released code of its baseline MVAE and of its own authors' later
    models does. As torchvision's Resize and CenterCrop do it on images.
    """
    width, height = image.size
    shorter = min(width, height)
    scaled = (int(size * width / shorter), int(size * height / shorter))
    left, top = (round((length - size) / 2) for length in scaled)
    return image.resize(scaled, Image.Resampling.BILINEAR).crop((left, top, left + size, top + size))
