"""CUB-200-2011: 11,788 images of 200 species of birds, ten captions each, split by class (HMVAE, 4.1, C.2).

Files of <data root>/cub, addresses in the ledger: the photographs of Wah et al. (2011), the captions and class lists of
Reed et al. (2016), and optionally the char-CNN-RNN caption features of Zhang et al. (2017) and the ResNet-101 image
features of Xian et al. (2018a).

The paper trains on 111 classes, validates on 39, and tests on the 50 of Reed et al. How it cut the other 150 is not
published. Here training has the 100 training classes of Reed et al. and the first 11 of their 50 for validation.
"""

import re
from pathlib import Path

from shared.data import captioned_files, ledger
from shared.data.captioned_files import Options
from shared.data.prepared import DatasetSpec, Prepared
from shared.errors import damaged

DATASET = "cub"
TRAINING_CLASSES = 111
_CLASS = re.compile(r"(\d{3})\..+")


def load(spec: DatasetSpec, data_root: str | Path) -> Prepared:
    """Read, check and pair the official files.

    InputError: one is missing or damaged, an image has no captions, classes are in two splits, or there are too few.
    """
    options = spec.read(Options)
    files = {key: ledger.require(data_root, DATASET, key) for key in ("images", "captions")}
    captions, class_of, list_of = captioned_files.read_captions(files["captions"], _CLASS)
    labels = dict(sorted(class_of.items(), key=lambda item: (item[1], item[0])))
    split_of = cut(list_of)
    training, validation = (list(split_of.values()).count(split) for split in ("train", "val"))
    if training != TRAINING_CLASSES or not validation:
        problem = f"its lists leave {training} classes for training and {validation} for validation"
        raise damaged(files["captions"], f"{problem}, not {TRAINING_CLASSES} and at least one")
    return captioned_files.load(DATASET, "CUB", options, data_root, files, captions, labels, split_of, _CLASS)


def cut(list_of: dict[int, str]) -> dict[int, str]:
    """The split of each class: 111 for training, from the lists of Reed et al. (100/50/50) by number (see above)."""
    kept = [number for number, each in list_of.items() if each == "train"]
    moved = sorted(number for number, each in list_of.items() if each == "val")[: max(0, TRAINING_CLASSES - len(kept))]
    return list_of | dict.fromkeys(moved, "train")
