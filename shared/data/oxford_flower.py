"""Oxford Flower: 8,189 images of 102 kinds of flowers, ten captions each, split by class (HMVAE, 4.1, C.3, C.4).

Files of <data root>/oxford_flower, addresses in the ledger: the images and class labels of Nilsback and
Zisserman (2008), the captions and the 62/20/20 class lists of Reed et al. (2016), and optionally the
char-CNN-RNN caption features of Zhang et al. (2017) and the ResNet-101 image features of Xian et al. (2018b).
"""

import re
from pathlib import Path

import scipy.io

from shared.data import captioned_files, ledger
from shared.data.captioned_files import Options
from shared.data.prepared import DatasetSpec, Prepared
from shared.errors import damaged

DATASET = "oxford_flower"
_CLASS = re.compile(r"class_(\d{5})")


def load(spec: DatasetSpec, data_root: str | Path) -> Prepared:
    """Read, check and pair the official files.

    InputError: a file is missing or damaged, captions and labels disagree, or classes are in two splits.
    """
    options = spec.read(Options)
    files = {key: ledger.require(data_root, DATASET, key) for key in ("images", "labels", "captions")}
    classes = scipy.io.loadmat(files["labels"])["labels"].ravel().tolist()
    labels = {f"image_{number:05d}": label for number, label in enumerate(classes, 1)}
    captions, class_of, split_of = captioned_files.read_captions(files["captions"], _CLASS)
    for stem, label in labels.items():
        if label in split_of and class_of.get(stem) != label:
            found = f"of class {class_of[stem]}" if stem in class_of else "missing"
            raise damaged(files["captions"], f"{stem} is of class {label}, its captions are {found}")
    return captioned_files.load(DATASET, "Oxford Flower", options, data_root, files, captions, labels, split_of)
