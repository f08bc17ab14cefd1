"""What Oxford Flower and CUB have in one layout: photographs, the captions and class lists of Reed et al. (2016), the
char-CNN-RNN caption features of Zhang et al. (2017), the ResNet-101 image features of Xian et al. (2018).

An image is known by the stem of its file's name, which all of these files share, and a class by its number.
"""

import re
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from PIL import Image
from pydantic import PositiveInt

from shared.data import ledger
from shared.data.archives import IMAGE_FORMATS, read_image, read_members
from shared.data.captioned import CAPTION_DIM, CAPTIONS_PER_IMAGE, IMAGE_SIZE, Captioned, prepared
from shared.data.matlab import read_variables
from shared.data.prepared import SPLITS, DatasetOptions, ImageSize, Prepared
from shared.data.restricted_pickle import load_arrays
from shared.errors import InputError, damaged

IMAGE_FEATURE_DIM = 2048
LARGEST_TEXT = 2**25  # bytes of all captions and lists: those of CUB have some eight million
_EMBEDDING_KEYS = ("embeddings_train", "embeddings_train_names", "embeddings_test", "embeddings_test_names")
_CAPTION_MEMBER = re.compile(r"(?:^|/)text_c10/([^/]+)/([^/.]+)\.txt$")
_CLASS_LIST_MEMBER = re.compile(r"(?:^|/)(train|val|test)classes\.txt$")


class Options(DatasetOptions):
    """image_size: side in pixels. caption_dim: number of caption features.

    `trained` features are left to a network that the experiment names under `encoders`.
    """

    caption_features: Literal["char_cnn_rnn", "trained"] = "trained"
    image_features: Literal["res101", "trained"] = "trained"
    image_size: ImageSize = IMAGE_SIZE
    caption_dim: PositiveInt = CAPTION_DIM


def load(
    dataset: str,
    title: str,
    options: Options,
    data_root: str | Path,
    files: Mapping[str, Path],
    captions: Mapping[str, list[str]],
    labels: Mapping[str, int],
    split_of: Mapping[int, str],
    class_name: re.Pattern | None = None,
) -> Prepared:
    """Pair images, captions and features.

    Args:
        dataset: group of the ledger. title: for people.
        files: what has been found so far; `images` among them.
        captions, labels: ten captions and the class of each image, by its stem, in the order that samples shall have.
        split_of: the split of each class; images of other classes are left out.
        class_name: of the images' folders; whatever image is in such a folder must then be one of the samples.

    InputError: a file is missing or damaged, or says nothing about an image.
    """
    stems = {split: [stem for stem, label in labels.items() if split_of.get(label) == split] for split in SPLITS}
    embedding_files = _embedding_files(dataset, data_root) if options.caption_features == "char_cnn_rnn" else {}
    feature_files = (
        {"image_features": ledger.require(data_root, dataset, "image_features")}
        if options.image_features == "res101"
        else {}
    )
    files = {**files, **embedding_files, **feature_files}

    features, notes = {split: {} for split in SPLITS}, {}
    if feature_files:
        of_image = read_image_features(files["image_features"])
        for split in SPLITS:
            features[split]["x1_features"] = _rows(of_image, stems[split], files["image_features"], "image features")
        notes["image_features"] = "ResNet-101"
    caption_rows = {split: np.array([captions[stem] for stem in stems[split]]) for split in SPLITS}
    if embedding_files:
        embeddings, where = _read_embeddings(files, options.caption_dim), files["embeddings_train"].parent.parent
        for split in SPLITS:
            features[split]["x2"] = _rows(embeddings, stems[split], where, "caption embedding")
        notes["caption_features"] = "char-CNN-RNN"

    wanted = {stem for part in stems.values() for stem in part}
    images, others = read_images(files["images"], wanted, options.image_size, class_name)
    if others:
        raise damaged(files["captions"], f"no captions or no list for {others[0]}, one of {len(others)} such images")
    return prepared(
        splits={
            split: Captioned(
                images=np.stack([images[stem] for stem in stems[split]]),
                labels=np.array([labels[stem] for stem in stems[split]]),
                captions=caption_rows[split],
                features=features[split],
            )
            for split in SPLITS
        },
        stand_in=False,
        official=bool(embedding_files) and ledger.official(data_root, dataset, files),
        description=", ".join([title, *(f"{kind.replace('_', ' ')} {name}" for kind, name in notes.items())]),
        notes=notes,
        files=files,
    )


def read_captions(path: Path, class_name: re.Pattern) -> tuple[dict[str, list[str]], dict[str, int], dict[int, str]]:
    """Captions and class lists from an archive of Reed et al., or the folder it was unpacked to.

    class_name: what classes are called; its group is the number.

    Returns:
        image -> ten captions, image -> class, and class -> list: train, val or test.

    InputError: a caption file without exactly ten lines, two of one image, a list missing or without a class of any
    image, a class in two lists, or one without captions.
    """
    captions: dict[str, list[str]] = {}
    class_of: dict[str, int] = {}
    list_of: dict[int, str] = {}
    size = 0
    for name, content in read_members(path, lambda n: bool(_CAPTION_MEMBER.search(n) or _CLASS_LIST_MEMBER.search(n))):
        size += len(content)
        if size > LARGEST_TEXT:
            raise damaged(path, f"more than {LARGEST_TEXT} bytes of captions and lists")
        lines = [line.strip() for line in content.decode("utf-8", errors="replace").splitlines() if line.strip()]
        if match := _CAPTION_MEMBER.search(name):
            number = class_name.fullmatch(match[1])
            if number is None or len(lines) != CAPTIONS_PER_IMAGE:
                problem = "belongs to no class" if number is None else f"has {len(lines)} captions instead of 10"
                raise damaged(path, f"{name} {problem}")
            if match[2] in captions:
                raise damaged(path, f"{name}: captions of {match[2]} are there twice")
            captions[match[2]], class_of[match[2]] = lines, int(number[1])
            continue
        for line in lines:
            number = class_name.fullmatch(line)
            if number is None or int(number[1]) in list_of:
                raise damaged(path, f"{name}: {line!r} is no class, or is listed twice")
            list_of[int(number[1])] = _CLASS_LIST_MEMBER.search(name)[1]
    for split in SPLITS:
        if split not in {list_of.get(number) for number in class_of.values()}:
            raise damaged(path, f"{split}classes.txt is missing, or names no class of any image")
    if bare := sorted(list_of.keys() - class_of.values()):
        raise damaged(path, f"no captions of class {bare[0]}, one of {len(bare)} such classes in its lists")
    return captions, class_of, list_of


def read_images(
    path: Path, wanted: Collection[str], size: int, class_name: re.Pattern | None = None
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Images by stem, uint8 (3, size, size), from an archive or a folder, in any format.

    Returns them, and the sorted stems of the images in folders called `class_name` that are not wanted.
    InputError: a wanted image is missing, damaged or there twice; the line names it.
    """
    images, others, found_in = {}, [], {}
    for name, content in read_members(path, lambda n: _stem(n) in wanted or _is_of_class(n, class_name)):
        if _stem(name) not in wanted:
            others.append(_stem(name))
            continue
        if first := found_in.get(_stem(name)):
            raise damaged(path, f"{first} and {name} are both of the image {_stem(name)}")
        found_in[_stem(name)] = name
        square = centre_crop_and_resize(read_image(content, f"{path}: {name}"), size)
        images[_stem(name)] = np.asarray(square).transpose(2, 0, 1).copy()
    if missing := sorted(wanted - images.keys()):
        raise damaged(path, f"{missing[0]} missing, one of {len(missing)}")
    return images, sorted(others)


def _is_of_class(name: str, class_name: re.Pattern | None) -> bool:
    """Whether this is an image in a folder of that name; hidden files are none."""
    path = PurePosixPath(name)
    if class_name is None or path.name.startswith(".") or not class_name.fullmatch(path.parent.name):
        return False
    return Image.registered_extensions().get(path.suffix.lower()) in IMAGE_FORMATS


def centre_crop_and_resize(image: Image.Image, size: int) -> Image.Image:
    """The largest central square, resized to (size, size); one of that size is unchanged (HMVAE, App. C.4).

    As torchvision's CenterCrop and Resize do it on images: the offset rounds half to even, the filter is
    bilinear with its support widened to the scale (antialiased).
    """
    side = min(image.size)
    left, top = (round((length - side) / 2) for length in image.size)
    return image.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.BILINEAR)


@np.errstate(over="ignore")  # what float32 does not reach becomes infinity, which is refused
def read_image_features(path: Path) -> dict[str, np.ndarray]:
    """Features by image, float32 (2048,), from a res101.mat: `features` (2048, N) and `image_files` (N, 1).

    InputError: it cannot be read, its arrays do not fit together, or features are not finite.
    """
    content = read_variables(path, ("features", "image_files"))
    features, names = content.get("features"), content.get("image_files")
    if not isinstance(features, np.ndarray) or not isinstance(names, list):
        raise damaged(path, "without features and image_files")
    if features.shape != (IMAGE_FEATURE_DIM, len(names)):
        raise damaged(
            path, f"features of shape {features.shape}, not {(IMAGE_FEATURE_DIM, len(names))} as for its image_files"
        )
    rows = features.T.astype(np.float32)
    if not np.isfinite(rows).all():
        raise damaged(path, "features hold NaN or infinity")
    of_image = {_stem(name): row for name, row in zip(names, rows, strict=True)}
    if len(of_image) < len(names):
        raise damaged(path, "features of an image are there twice")
    return of_image


def _embedding_files(dataset: str, data_root: str | Path) -> dict[str, Path]:
    """The four pickles of caption embeddings."""
    try:
        return {key: ledger.require(data_root, dataset, key) for key in _EMBEDDING_KEYS}
    except InputError as error:
        raise InputError(f"{error} scale=reduced runs without them") from None


@np.errstate(over="ignore", invalid="ignore")
def _read_embeddings(files: Mapping[str, Path], dimension: int) -> dict[str, np.ndarray]:
    """Image -> mean of its ten caption embeddings, float32 (dimension,); HMVAE, section 4.1.

    InputError: the pickles are not lists of image names and of finite (10, dimension) arrays of the same length.
    """
    means: dict[str, np.ndarray] = {}
    for part in ("train", "test"):
        path, names_path = files[f"embeddings_{part}"], files[f"embeddings_{part}_names"]
        names, embeddings = load_arrays(names_path), load_arrays(path)
        if not all(isinstance(name, str) for name in names):
            raise damaged(names_path, "a name that is no string")
        if len(names) != len(embeddings):
            raise InputError(f"{path}: {len(embeddings)} images, but {names_path.name} names {len(names)}")
        for name, of_captions in zip(names, embeddings, strict=True):
            shape = np.shape(of_captions)
            if shape != (CAPTIONS_PER_IMAGE, dimension):
                raise InputError(
                    f"{path}: embeddings of {name} have shape {shape}, not {(CAPTIONS_PER_IMAGE, dimension)}"
                )
            if _stem(name) in means:
                raise damaged(names_path, f"embeddings of {name} are there twice")
            means[_stem(name)] = np.mean(of_captions, axis=0, dtype=np.float64).astype(np.float32)
            if not np.isfinite(means[_stem(name)]).all():
                raise damaged(path, f"embeddings of {name} hold NaN or infinity")
    return means


def _rows(by_stem: Mapping[str, np.ndarray], stems: list[str], where: Path, what: str) -> np.ndarray:
    if missing := [stem for stem in stems if stem not in by_stem]:
        raise damaged(where, f"no {what} for {missing[0]}, one of {len(missing)} such images")
    return np.stack([by_stem[stem] for stem in stems])


def _stem(name: str) -> str:
    return PurePosixPath(name).stem
