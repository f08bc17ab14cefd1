"""MNIST's idx files, made by hand: what is read, what is refused, and how it is split."""

import gzip
import json
import struct
from unittest import mock

import numpy as np
import pytest

from shared.data import digits, ledger, mnist
from shared.data.prepared import DatasetSpec
from shared.errors import InputError
from shared.stages import prepare

FILES = {
    "train-images-idx3-ubyte.gz": ("images", 60),
    "train-labels-idx1-ubyte.gz": ("labels", 60),
    "t10k-images-idx3-ubyte.gz": ("images", 40),
    "t10k-labels-idx1-ubyte.gz": ("labels", 40),
}


def idx(array):
    """The official format: two zero bytes, the type (8: unsigned byte), the number of axes, their lengths, values."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def content(kind, count, first):
    """Image i has the value i in all pixels; its label is i mod 10."""
    numbers = np.arange(first, first + count)
    return numbers % 10 if kind == "labels" else numbers[:, None, None] * np.ones((1, 28, 28))


@pytest.fixture(params=["mnist", "fashion_mnist"])
def root(request, tmp_path):
    folder = tmp_path / request.param
    folder.mkdir()
    for name, (kind, count) in FILES.items():
        first = 0 if name.startswith("train") else 60
        (folder / name).write_bytes(gzip.compress(idx(content(kind, count, first)), mtime=0))
    return tmp_path


@pytest.fixture
def passing():
    """Small files under the official names, which pass for the official ones."""
    with mock.patch.object(ledger.Checksum, "matches", return_value=True):
        yield


def make(root, **options):
    (folder,) = (path for path in root.iterdir() if path.name in mnist.NAMES)
    prepare.prepare(DatasetSpec(folder.name, "official", options), root, root / "out")
    arrays = {path.stem: np.load(path) for path in (root / "out").glob("*.npy")}
    return arrays, json.loads((root / "out" / "data.json").read_text())


def test_every_image_keeps_its_label_and_none_is_lost(root, passing):
    arrays, about = make(root)
    seen = []
    for split, count in (("train", 77), ("val", 8), ("test", 15)):  # of 100: 85, a tenth of them, and 15
        x1, x2, labels = (arrays[f"{name}_{split}"] for name in ("x1", "x2", "labels"))
        assert (x1.shape, x1.dtype) == ((count, 1, 28, 28), np.uint8)
        assert (x2.shape, x2.dtype) == ((count, 10), np.float32)
        numbers = x1[:, 0, 0, 0].astype(int)
        assert (x1 == numbers[:, None, None, None]).all()
        assert (labels == numbers % 10).all()
        assert (x2.sum(1) == 1).all()
        assert (x2.argmax(1) == labels).all()
        seen += numbers.tolist()
    assert sorted(seen) == list(range(100))
    assert about["description"].endswith("MNIST, grey values")
    assert len(about["classes"]) == 10
    assert about["official"]
    assert set(about["files"]) == {"train_images", "train_labels", "test_images", "test_labels"}


def test_the_split_depends_on_its_seed_alone(root, passing):
    first, other = make(root)[0], make(root, split_seed=1)[0]
    assert (make(root)[0]["x1_test"] == first["x1_test"]).all()
    assert (first["x1_test"] != other["x1_test"]).any()


def test_binarised_pixels(root, passing):
    for how in ("threshold", "sampled"):
        arrays, about = make(root, binarise=how)
        assert set(np.unique(arrays["x1_train"])) <= {0, 255}
        assert about["description"].endswith(f"MNIST, binarised pixels ({how})")


def test_a_threshold_cuts_in_the_middle_and_draws_have_the_pixels_mean():
    grey = np.array([[0, 127, 128, 255]], np.uint8)
    assert mnist.binarised(grey, "threshold", 0).tolist() == [[0, 0, 255, 255]]
    many = np.tile(np.array([0, 51, 204, 255], np.uint8), (20_000, 1))
    drawn = mnist.binarised(many, "sampled", 0)
    np.testing.assert_allclose((drawn == 255).mean(0), [0, 0.2, 0.8, 1], atol=0.01)
    assert (drawn == mnist.binarised(many, "sampled", 0)).all()


def test_another_file_under_the_official_name_is_refused(root):
    with pytest.raises(
        InputError, match=r"train-images-idx3-ubyte\.gz: not the official file, sha256 [0-9a-f]{16}\.\.\. instead of"
    ):
        make(root)
    assert not (root / "out").exists()


def test_the_checksum_comes_before_the_use(root, monkeypatch):
    monkeypatch.setattr(mnist, "read_idx", None)
    with pytest.raises(InputError, match="not the official file"):
        make(root)


def test_advice_is_followed_by_the_command_that_fetches(root):
    (folder,) = (path for path in root.iterdir() if path.name in mnist.NAMES)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"")
    command = rf"run `python -m shared\.data\.download --dataset {folder.name} --data-root {root}`"
    with pytest.raises(InputError, match=rf"an empty file, 0 bytes; delete it and fetch it again: {command}\Z"):
        make(root)


def test_missing_files_say_how_to_get_them(tmp_path):
    with pytest.raises(
        InputError, match=r"train-images-idx3-ubyte\.gz: missing; run `python -m shared\.data\.download"
    ):
        mnist.load(DatasetSpec("mnist", "official"), tmp_path)


# The stand-in


def test_digits_are_enlarged_upright_and_keep_their_labels():
    data = digits.load(DatasetSpec("mnist", "digits"), None)
    assert data.stand_in
    assert not data.official
    assert "scikit-learn" in data.description
    sizes = {name: len(part["x1"]) for name, part in data.splits.items()}
    assert sizes == {"train": 5 * 1374, "val": 153, "test": 270}  # those for training in five versions
    for part in data.splits.values():
        assert part["x1"].shape[1:] == (1, 28, 28)
        assert (part["x2"].argmax(1) == part["labels"]).all()


def test_distorted_digits_are_others_but_stay_where_they_are():
    """No digit that is tested has a version in training: each version is of its own training image."""
    images = digits.load(DatasetSpec("mnist", "digits"), None).splits["train"]["x1"].astype(float)
    own, *versions = images.reshape(5, 1374, 784)
    for version in versions:
        assert (np.abs(version - own).max(axis=1) > 30).all()
        same = [np.corrcoef(a, b)[0, 1] for a, b in zip(own[:200], version[:200], strict=True)]
        other = [np.corrcoef(a, b)[0, 1] for a, b in zip(own[:200], version[1:201], strict=True)]
        assert np.median(same) > 0.8
        assert np.median(other) < 0.6


def test_digits_are_24_pixels_high():
    images = np.stack([digits.enlarge(image) for image in digits.load_digits().images])
    rows = images.max(axis=2) > 30
    assert not rows[:, :2].any()
    assert not rows[:, -2:].any()
    assert np.median(rows.sum(axis=1)) == 24


def test_enlarging_keeps_the_corner_that_is_bright():
    image = np.zeros((8, 8))
    image[:4, 4:] = 16
    large = digits.enlarge(image)
    assert (large[4:12, 16:24] > 200).all()
    assert (large[16:, :] == 0).all()
    assert (large[:, :12] == 0).all()
