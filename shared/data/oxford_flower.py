"""Oxford Flower: 8,189 images of 102 kinds of flowers, ten captions each, split by class (HMVAE, 4.1, 4.3).

Files of <data root>/oxford_flower, addresses in the ledger: the images and class labels of Nilsback and
Zisserman (2008), the captions and the 62/20/20 class lists of Reed et al. (2016), and optionally the
char-CNN-RNN caption features of Zhang et al. (2017).
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import scipy.io
from PIL import Image
from pydantic import PositiveInt

from shared.data import ledger
from shared.data.archives import read_image, read_members
from shared.data.caption_features import CaptionFeatures
from shared.data.captioned import CAPTION_DIM, CAPTIONS_PER_IMAGE, IMAGE_SIZE, Captioned, prepared
from shared.data.prepared import SPLITS, DatasetOptions, DatasetSpec, ImageSize, Prepared
from shared.data.restricted_pickle import load_arrays
from shared.errors import InputError, damaged

DATASET = "oxford_flower"
_EMBEDDING_KEYS = ("embeddings_train", "embeddings_train_names", "embeddings_test", "embeddings_test_names")

_IMAGE_MEMBER = re.compile(r"(?:^|/)image_(\d{5})\.\w+$")
_CAPTION_MEMBER = re.compile(r"(?:^|/)text_c10/class_(\d{5})/image_(\d{5})\.txt$")
_CLASS_LIST_MEMBER = re.compile(r"(?:^|/)(train|val|test)classes\.txt$")


class Options(DatasetOptions):
    """image_size: side in pixels. caption_dim: number of features."""

    caption_features: Literal["tfidf_svd", "char_cnn_rnn", "char_cnn_rnn_or_tfidf_svd", "trained"] = "tfidf_svd"
    image_features: Literal["trained"] = "trained"
    image_size: ImageSize = IMAGE_SIZE
    caption_dim: PositiveInt = CAPTION_DIM


def load(spec: DatasetSpec, data_root: str | Path) -> Prepared:
    """Read, check and pair the official files.

    InputError: a file is missing or damaged, captions and labels disagree, or classes are in two splits.
    """
    options = spec.read(Options)
    files = {key: ledger.require(data_root, DATASET, key) for key in ("images", "labels", "captions")}
    embedding_files = _embedding_files(options.caption_features, data_root)

    labels = scipy.io.loadmat(files["labels"])["labels"].ravel().astype(np.int64)
    captions, split_of = read_captions(files["captions"], labels)
    numbers = {split: 1 + np.flatnonzero([split_of.get(c) == split for c in labels]) for split in SPLITS}
    images = read_images(files["images"], np.concatenate(list(numbers.values())), options.image_size)
    caption_rows = {split: np.array([captions[n] for n in numbers[split]]) for split in SPLITS}
    features, notes = {split: {} for split in SPLITS}, {}
    if embedding_files:
        embeddings = _read_embeddings(embedding_files, options.caption_dim)
        features = {split: {"x2": _features_of(numbers[split], embeddings, embedding_files)} for split in SPLITS}
        notes = {"caption_features": "char-CNN-RNN"}
    elif options.caption_features != "trained":
        fitted = CaptionFeatures.fit(caption_rows["train"], options.caption_dim)
        features = {split: {"x2": fitted(caption_rows[split])} for split in SPLITS}
        notes = {"caption_features": "TF-IDF+SVD"}

    return prepared(
        splits={
            split: Captioned(
                images=np.stack([images[n] for n in numbers[split]]),
                labels=labels[numbers[split] - 1],
                captions=caption_rows[split],
                features=features[split],
            )
            for split in SPLITS
        },
        stand_in=False,
        official=bool(embedding_files) and ledger.official(data_root, DATASET, files | embedding_files),
        description=", ".join(["Oxford Flower", *(f"caption features {name}" for name in notes.values())]),
        notes=notes,
        files=files | embedding_files,
    )


def read_captions(path: Path, labels: np.ndarray) -> tuple[dict[int, list[str]], dict[int, str]]:
    """Captions and class lists from cvpr2016_flowers.tar.gz, or the folder it was unpacked to.

    labels: the class of every image, (number of images,), to which the captions must fit.

    Returns:
        image number -> ten captions, and class number -> split.

    InputError: a caption file without exactly ten lines, captions of an image missing or in another class's folder, a
    class list missing, or a class in two of them.
    """
    captions: dict[int, list[str]] = {}
    folder_of: dict[int, int] = {}
    split_of: dict[int, str] = {}
    for name, content in read_members(path, lambda n: bool(_CAPTION_MEMBER.search(n) or _CLASS_LIST_MEMBER.search(n))):
        lines = [line.strip() for line in content.decode("utf-8", errors="replace").splitlines() if line.strip()]
        if match := _CAPTION_MEMBER.search(name):
            if len(lines) != CAPTIONS_PER_IMAGE:
                raise damaged(path, f"{name} has {len(lines)} captions instead of {CAPTIONS_PER_IMAGE}")
            captions[int(match[2])], folder_of[int(match[2])] = lines, int(match[1])
            continue
        for line in lines:
            match = re.fullmatch(r"class_(\d{5})", line)
            if match is None or int(match[1]) in split_of:
                raise damaged(path, f"{name}: {line!r} is no class such as class_00041, or is listed twice")
            split_of[int(match[1])] = _CLASS_LIST_MEMBER.search(name)[1]
    wanted = [(number, label) for number, label in enumerate(labels.tolist(), 1) if label in split_of]
    for number, label in wanted:
        if folder_of.get(number) != label:
            found = f"of class {folder_of[number]}" if number in folder_of else "missing"
            raise damaged(path, f"image_{number:05d} is of class {label}, its captions are {found}")
    for split in SPLITS:
        if split not in {split_of[label] for _, label in wanted}:
            raise damaged(path, f"{split}classes.txt is missing, or names no class of any image")
    return captions, split_of


def read_images(path: Path, numbers: Iterable[int], size: int) -> dict[int, np.ndarray]:
    """Images by number, uint8 (3, size, size), from an archive or a folder of image_<number>.<any format>.

    InputError: a wanted image is missing or damaged; the line names it.
    """
    wanted = {int(number) for number in numbers}

    def is_wanted(name: str) -> bool:
        match = _IMAGE_MEMBER.search(name)
        return match is not None and int(match[1]) in wanted

    images = {}
    for name, content in read_members(path, is_wanted):
        square = centre_crop_and_resize(read_image(content, f"{path}: {name}"), size)
        images[int(_IMAGE_MEMBER.search(name)[1])] = np.asarray(square).transpose(2, 0, 1).copy()
    if missing := sorted(wanted - images.keys()):
        raise damaged(path, f"image_{missing[0]:05d} missing, one of {len(missing)}")
    return images


def centre_crop_and_resize(image: Image.Image, size: int) -> Image.Image:
    """The largest central square, resized to (size, size); one of that size is unchanged (HMVAE, App. C.4).

    As torchvision's CenterCrop and Resize do it on images: the offset rounds half to even, the filter is
    bilinear with its support widened to the scale (antialiased).
    """
    side = min(image.size)
    left, top = (round((length - side) / 2) for length in image.size)
    return image.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.BILINEAR)


def _embedding_files(wanted: str, data_root: str | Path) -> dict[str, Path]:
    """The four pickles of caption embeddings, or nothing where those are not wanted."""
    found = [ledger.locate(data_root, ledger.entry(DATASET, key)) for key in _EMBEDDING_KEYS]
    if not wanted.startswith("char_cnn_rnn") or (wanted == "char_cnn_rnn_or_tfidf_svd" and None in found):
        return {}
    try:
        return {key: ledger.require(data_root, DATASET, key) for key in _EMBEDDING_KEYS}
    except InputError as error:
        raise InputError(f"{error} scale=reduced runs without them, on TF-IDF features") from None


def _read_embeddings(files: Mapping[str, Path], dimension: int) -> dict[int, np.ndarray]:
    """Image number -> mean of its ten caption embeddings, float32 (dimension,); HMVAE, section 4.1.

    InputError: the pickles are not lists of image names and of (10, dimension) arrays of the same length.
    """
    means: dict[int, np.ndarray] = {}
    for part in ("train", "test"):
        path, names_path = files[f"embeddings_{part}"], files[f"embeddings_{part}_names"]
        names, embeddings = load_arrays(names_path), load_arrays(path)
        if len(names) != len(embeddings):
            raise InputError(f"{path}: {len(embeddings)} images, but {names_path.name} names {len(names)}")
        for name, of_captions in zip(names, embeddings, strict=True):
            match = re.search(r"image_(\d{5})$", str(name))
            shape = np.shape(of_captions)
            if match is None:
                raise InputError(f"{names_path}: {name!r} is no image name such as jpg/image_00001")
            if shape != (CAPTIONS_PER_IMAGE, dimension):
                raise InputError(
                    f"{path}: embeddings of {name} have shape {shape}, not {(CAPTIONS_PER_IMAGE, dimension)}"
                )
            means[int(match[1])] = np.mean(of_captions, axis=0, dtype=np.float64).astype(np.float32)
    return means


def _features_of(numbers: np.ndarray, embeddings: Mapping[int, np.ndarray], files: Mapping[str, Path]) -> np.ndarray:
    if missing := [n for n in numbers if n not in embeddings]:
        raise InputError(
            f"{files['embeddings_train'].parent.parent}: no caption embedding for image_{missing[0]:05d} "
            f"({len(missing)} such images); fetch the official pickles again"
        )
    return np.stack([embeddings[n] for n in numbers])
