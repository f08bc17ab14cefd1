"""Oxford Flower: 8,189 images of 102 kinds of flowers, ten captions each, split by class (HMVAE, 4.1, 4.3).

Files of <data root>/oxford_flower, addresses in the ledger: the images and class labels of Nilsback and
Zisserman (2008), the captions and the 62/20/20 class lists of Reed et al. (2016), and optionally the
char-CNN-RNN caption features of Zhang et al. (2017).
"""

import io
import re
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import scipy.io
from PIL import Image

from shared.data import ledger
from shared.data.archives import read_members
from shared.data.caption_features import CaptionFeatures
from shared.data.captioned import CAPTION_DIM, CAPTIONS_PER_IMAGE, IMAGE_SIZE, Captioned, prepared
from shared.data.prepared import LARGEST_SIDE, SPLITS, DatasetSpec, Prepared, Whole
from shared.data.restricted_pickle import load_arrays
from shared.errors import InputError

DATASET = "oxford_flower"
_BAD_MAT = (KeyError, ValueError, TypeError, NotImplementedError, zlib.error, scipy.io.matlab.MatReadError)
_ADVICE = "delete it and fetch the official one"
_EMBEDDING_KEYS = ("embeddings_train", "embeddings_train_names", "embeddings_test", "embeddings_test_names")

_IMAGE_MEMBER = re.compile(r"(?:^|/)image_(\d{5})\.\w+$")
_CAPTION_MEMBER = re.compile(r"(?:^|/)text_c10/class_(\d{5})/image_(\d{5})\.txt$")
_CLASS_LIST_MEMBER = re.compile(r"(?:^|/)(train|val|test)classes\.txt$")


def load(spec: DatasetSpec, data_root: str | Path) -> Prepared:
    """Read, check and pair the official files.

    InputError: a file is missing or damaged, captions and labels disagree, or classes are in two splits.
    """
    options = spec.read(
        caption_features=("tfidf_svd", "char_cnn_rnn", "char_cnn_rnn_or_tfidf_svd"),
        image_size=Whole(IMAGE_SIZE, most=LARGEST_SIDE),
        caption_dim=CAPTION_DIM,
    )
    root = Path(data_root)
    files = {key: ledger.require(root, DATASET, key) for key in ("images", "labels", "captions")}
    embedding_files = _embedding_files(options.caption_features, root)

    labels = read_labels(files["labels"])
    captions, class_lists = read_captions(files["captions"])
    numbers = _numbers_by_split(labels, captions, class_lists, files["captions"])
    images = read_images(files["images"], np.concatenate(list(numbers.values())), options.image_size)
    caption_rows = {split: np.array([captions[n][1] for n in numbers[split]]) for split in SPLITS}
    if embedding_files:
        embeddings = _read_embeddings(embedding_files, options.caption_dim)
        features = {split: _features_of(numbers[split], embeddings, embedding_files) for split in SPLITS}
    else:
        fitted = CaptionFeatures.fit(caption_rows["train"], options.caption_dim)
        features = {split: fitted(caption_rows[split]) for split in SPLITS}

    name = "char-CNN-RNN" if embedding_files else "TF-IDF+SVD"
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
        caption_features=name,
        description=f"Oxford Flower, caption features {name}",
        files=files | embedding_files,
    )


def read_labels(path: Path) -> np.ndarray:
    """Class numbers from 1, int64 (number of images,), from imagelabels.mat. InputError: no such content."""
    try:
        return scipy.io.loadmat(path)["labels"].ravel().astype(np.int64)
    except _BAD_MAT as error:
        raise InputError(f"{path}: holds no image labels ({error}); {_ADVICE}") from None


def read_captions(path: Path) -> tuple[dict[int, tuple[int, list[str]]], dict[str, list[int]]]:
    """Captions and class lists from cvpr2016_flowers.tar.gz, or the folder it was unpacked to.

    Returns:
        image number -> (class number, ten captions), and split -> class numbers.

    InputError: a caption file without exactly ten lines, a class list missing, or the lists overlap.
    """
    captions: dict[int, tuple[int, list[str]]] = {}
    class_lists: dict[str, list[int]] = {}
    for name, content in read_members(path, lambda n: bool(_CAPTION_MEMBER.search(n) or _CLASS_LIST_MEMBER.search(n))):
        lines = [line.strip() for line in content.decode("utf-8", errors="replace").splitlines() if line.strip()]
        if match := _CAPTION_MEMBER.search(name):
            if len(lines) != CAPTIONS_PER_IMAGE:
                raise InputError(
                    f"{path}: {name} has {len(lines)} captions instead of {CAPTIONS_PER_IMAGE}; "
                    f"write one caption a line, or {_ADVICE}"
                )
            captions[int(match[2])] = (int(match[1]), lines)
        elif match := _CLASS_LIST_MEMBER.search(name):
            class_lists[match[1]] = [_class_number(path, name, line) for line in lines]
    _check_class_lists(path, class_lists)
    return captions, class_lists


def _class_number(path: Path, name: str, line: str) -> int:
    match = re.fullmatch(r"class_(\d{5})", line)
    if match is None:
        raise InputError(f"{path}: {name} has the line {line!r} instead of a class such as class_00041")
    return int(match[1])


def _check_class_lists(path: Path, class_lists: Mapping[str, list[int]]) -> None:
    for split in SPLITS:
        if not class_lists.get(split):
            raise InputError(f"{path}: {split}classes.txt is missing or empty; {_ADVICE}")
    seen: dict[int, str] = {}
    for split in SPLITS:
        for number in class_lists[split]:
            if number in seen:
                raise InputError(
                    f"{path}: class_{number:05d} is in {seen[number]}classes.txt and {split}classes.txt; "
                    "classes must not be shared, fetch the official lists"
                )
            seen[number] = split


def _numbers_by_split(
    labels: np.ndarray,
    captions: Mapping[int, tuple[int, list[str]]],
    class_lists: Mapping[str, list[int]],
    path: Path,
) -> dict[str, np.ndarray]:
    """Image numbers of each split, ascending. InputError: labels and caption folders disagree on an image."""
    for number, (folder, _) in captions.items():
        label = labels[number - 1] if 1 <= number <= len(labels) else None
        if label != folder:
            raise InputError(
                f"{path}: image_{number:05d} has captions in class_{folder:05d}, but imagelabels.mat says "
                f"{'nothing of it' if label is None else f'class {label}'}; fetch the official files"
            )
    numbers = {split: 1 + np.flatnonzero(np.isin(labels, class_lists[split])) for split in SPLITS}
    for split, of_split in numbers.items():
        without = [n for n in of_split if n not in captions]
        if without:
            raise InputError(
                f"{path}: no captions for image_{without[0]:05d} ({len(without)} such images in {split}); {_ADVICE}"
            )
        if not len(of_split):
            raise InputError(f"{path}: no image of imagelabels.mat is of a class in {split}classes.txt")
    return numbers


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
        images[int(_IMAGE_MEMBER.search(name)[1])] = _decode(path, name, content, size)
    if missing := sorted(wanted - images.keys()):
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(f"{path}: image_{missing[0]:05d}{more} missing; add it, or {_ADVICE}")
    return images


def _decode(path: Path, name: str, content: bytes, size: int) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(content)) as image:
            square = centre_crop_and_resize(image.convert("RGB"), size)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: {name} cannot be read as an image ({error}); {_ADVICE}") from None
    return np.asarray(square).transpose(2, 0, 1).copy()


def centre_crop_and_resize(image: Image.Image, size: int) -> Image.Image:
    """The largest central square, resized to (size, size); one of that size is unchanged (HMVAE, App. C.4).

    As torchvision's CenterCrop and Resize do it on images: the offset rounds half to even, the filter is
    bilinear with its support widened to the scale (antialiased).
    """
    side = min(image.size)
    left, top = (round((length - side) / 2) for length in image.size)
    return image.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.BILINEAR)


def _embedding_files(wanted: str, root: Path) -> dict[str, Path]:
    """The four pickles of caption embeddings, or nothing where those are not wanted."""
    if wanted == "tfidf_svd":
        return {}
    found = {key: ledger.locate(root, ledger.entry(DATASET, key)) for key in _EMBEDDING_KEYS}
    missing = [key for key, path in found.items() if path is None]
    if not missing:
        return {key: ledger.require(root, DATASET, key) for key in _EMBEDDING_KEYS}
    if wanted == "char_cnn_rnn_or_tfidf_svd":
        return {}
    entry = ledger.entry(DATASET, missing[0])
    raise InputError(f"{root / entry.path}: missing; {entry.by_hand} scale=reduced runs without it, on TF-IDF features")


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
