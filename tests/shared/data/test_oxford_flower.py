"""The official layout, made small: six classes of three images each, through shared.stages.prepare."""

import io
import json
import pickle
import tarfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image
from torchvision.transforms import v2

from shared.data import ledger
from shared.data.captioned_files import centre_crop_and_resize
from shared.errors import InputError
from shared.stages import prepare

CLASSES = {"train": (4, 5, 6), "val": (3,), "test": (1, 2)}
OCCUR = {"train": [0, 1, 2], "val": [3], "test": [4, 5]}  # as indices: training classes first
LABELS = np.array([4, 1, 2, 3, 5, 6] * 3)
DIMENSION = 16


def image_bytes(number: int, size: tuple[int, int], image_format: str = "PNG") -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, image_format, **({"lossless": True} if image_format == "WEBP" else {}))
    return file.getvalue()


def captions_of(number: int) -> list[str]:
    words = ["red", "blue", "round", "long", "petals", "center"]
    rng = np.random.default_rng(number)
    return [f"flower {number} has {' '.join(rng.choice(words, 3))}" for _ in range(10)]


def write_tar(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


class Official:
    """The files of a small data set; change them, then `write`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "oxford_flower"
        self.folder.mkdir(parents=True)
        self.labels = LABELS
        self.images = {n: image_bytes(n, (80, 64)) for n in range(1, len(LABELS) + 1)}
        self.captions = {
            f"text_c10/class_{label:05d}/image_{n:05d}.txt": "\n".join(captions_of(n)) + "\n"
            for n, label in enumerate(LABELS, 1)
        }
        self.lists = {
            f"{split}classes.txt": "".join(f"class_{c:05d}\n" for c in classes) for split, classes in CLASSES.items()
        }

    def write(self) -> None:
        scipy.io.savemat(self.folder / "imagelabels.mat", {"labels": self.labels[None].astype(np.uint8)})
        write_tar(
            self.folder / "102flowers.tgz",
            {f"jpg/image_{n:05d}.jpg": content for n, content in self.images.items()},
        )
        texts = self.captions | self.lists
        write_tar(self.folder / "cvpr2016_flowers.tar.gz", {name: text.encode() for name, text in texts.items()})

    def write_embeddings(self) -> dict[int, np.ndarray]:
        """StackGAN's layout: training and validation classes together. Returns the (10, D) arrays by image."""
        rng = np.random.default_rng(0)
        arrays = {n: rng.normal(size=(10, DIMENSION)).astype(np.float32) for n in self.images}
        for part, splits in (("train", ("train", "val")), ("test", ("test",))):
            classes = [c for split in splits for c in CLASSES[split]]
            numbers = rng.permutation(1 + np.flatnonzero(np.isin(self.labels, classes))).tolist()
            (self.folder / part).mkdir()
            names = [f"jpg/image_{n:05d}" for n in numbers]
            (self.folder / part / "filenames.pickle").write_bytes(pickle.dumps(names, 2))
            embeddings = [arrays[n] for n in numbers]
            (self.folder / part / "char-CNN-RNN-embeddings.pickle").write_bytes(pickle.dumps(embeddings, 2))
        return arrays

    def prepare(self, **changes: object) -> tuple[dict[str, np.ndarray], dict]:
        out = self.root / "out"
        arguments = ["prepare", "--data-root", str(self.root), "--out", str(out)]
        spec = {"name": "oxford_flower", "source": "official", "caption_dim": DIMENSION} | changes
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", [*arguments, "--spec", json.dumps(spec)])
            prepare.main()
        arrays = {path.stem: np.load(path) for path in out.glob("*.npy")}
        return arrays, json.loads((out / "data.json").read_text())


@pytest.fixture
def official(tmp_path: Path) -> Iterator[Official]:
    """Small files under the official names, which pass for the official ones."""
    with mock.patch.object(ledger.Checksum, "matches", return_value=True):
        yield Official(tmp_path)


def test_other_content_under_the_official_name_is_refused(tmp_path: Path) -> None:
    official = Official(tmp_path)
    official.write()
    with pytest.raises(InputError, match=r"102flowers\.tgz: not the official file, md5 [^\n]*102flowers\*\.tar"):
        official.prepare()
    assert not (tmp_path / "out").exists()


def test_every_sample_is_where_it_belongs(official: Official) -> None:
    official.write()
    arrays, meta = official.prepare()
    for split, classes in CLASSES.items():
        numbers = [n for n, label in enumerate(LABELS, 1) if label in classes]
        named = [int(meta["classes"][label].removeprefix("class_")) for label in arrays[f"labels_{split}"]]
        assert named == [LABELS[n - 1] for n in numbers]
        assert arrays[f"labels_{split}"].dtype == np.int64
        assert arrays[f"captions_{split}"].tolist() == [captions_of(n) for n in numbers]
        expected = [np.array(Image.open(io.BytesIO(official.images[n])))[:, 8:72] for n in numbers]
        np.testing.assert_array_equal(arrays[f"x1_{split}"], np.stack(expected).transpose(0, 3, 1, 2))
        assert arrays[f"x1_{split}"].dtype == np.uint8
        assert f"x2_{split}" not in arrays  # which a network makes
        assert arrays[f"characters_{split}"].shape == (len(numbers), 10, 201)
        assert meta["splits"][split] == {"samples": len(numbers), "classes": OCCUR[split]}
    assert (meta["stand_in"], meta["official"]) == (False, False)  # the captions have no features of the paper's
    assert set(meta["files"]) == {"images", "labels", "captions"}


def test_twice_gives_the_same_bytes(official: Official) -> None:
    official.write()
    assert official.prepare()[1]["sha256"] == official.prepare()[1]["sha256"]


@pytest.mark.parametrize("image_format", ["WEBP", "BMP"])
def test_folders_take_the_place_of_the_archives(official: Official, image_format: str) -> None:
    official.write()
    arrays, _ = official.prepare()
    (official.folder / "102flowers.tgz").unlink()
    with tarfile.open(official.folder / "cvpr2016_flowers.tar.gz") as tar:
        tar.extractall(official.folder / "cvpr2016_flowers", filter="data")
    (official.folder / "cvpr2016_flowers.tar.gz").unlink()
    (official.folder / "jpg").mkdir()
    for n in official.images:
        path = official.folder / "jpg" / f"image_{n:05d}.{image_format.lower()}"
        path.write_bytes(image_bytes(n, (80, 64), image_format))
    others, meta = official.prepare()
    for key, array in arrays.items():
        np.testing.assert_array_equal(others[key], array)
    assert meta["files"]["images"]["file"] == "jpg"


@pytest.mark.parametrize("layout", ["", "flowers"])
def test_caption_embeddings_are_averaged_and_standardised(official: Official, layout: str) -> None:
    official.write()
    embeddings = official.write_embeddings()
    for part in ("train", "test"):
        (official.folder / layout).mkdir(exist_ok=True)
        (official.folder / part).rename(official.folder / layout / part)
    arrays, meta = official.prepare(caption_features="char_cnn_rnn")
    of_split = {
        split: np.array([embeddings[n].mean(axis=0) for n, label in enumerate(LABELS, 1) if label in classes])
        for split, classes in CLASSES.items()
    }
    mean, std = of_split["train"].mean(axis=0), of_split["train"].std(axis=0)
    for split in CLASSES:
        np.testing.assert_allclose(arrays[f"x2_{split}"], (of_split[split] - mean) / std, atol=1e-5)
    np.testing.assert_allclose(arrays["x2_mean"], mean, atol=1e-6)
    np.testing.assert_allclose(arrays["x2_std"], std, atol=1e-6)
    assert meta["caption_features"] == "char-CNN-RNN"
    assert "embeddings_test_names" in meta["files"]


def test_image_features_are_standardised_at_their_images(official: Official) -> None:
    """The archive of Xian et al. has an order and paths of its own."""
    official.write()
    rng = np.random.default_rng(0)
    features, order = rng.normal(size=(len(LABELS), 2048)), rng.permutation(len(LABELS))
    names = np.empty((len(LABELS), 1), object)
    names[:, 0] = [f"/elsewhere/FLO/jpg/image_{i + 1:05d}.jpg" for i in order]
    content = {"image_files": names, "features": features[order].T}
    scipy.io.savemat(official.folder / "res101.mat", content)
    arrays, meta = official.prepare(image_features="res101", caption_features="trained")
    train = features[np.isin(LABELS, CLASSES["train"])]
    for split, classes in CLASSES.items():
        expected = (features[np.isin(LABELS, classes)] - train.mean(axis=0)) / train.std(axis=0)
        np.testing.assert_allclose(arrays[f"x1_features_{split}"], expected, atol=1e-4)
        assert f"x2_{split}" not in arrays
    assert meta["image_features"] == "ResNet-101"
    assert "caption_features" not in meta
    assert "image_features" in meta["files"]


def test_without_embeddings_the_specification_decides(official: Official) -> None:
    official.write()
    with pytest.raises(InputError, match=r"char-CNN-RNN-embeddings\.pickle: missing; .*flowers.zip.*reduced"):
        official.prepare(caption_features="char_cnn_rnn")
    _, meta = official.prepare(caption_features="trained")
    assert "caption_features" not in meta


def test_embeddings_of_another_size_are_refused(official: Official) -> None:
    official.write()
    official.write_embeddings()
    with pytest.raises(InputError, match=r"have shape \(10, 16\), not \(10, 1024\)"):
        official.prepare(caption_features="char_cnn_rnn", caption_dim=1024)


def test_a_missing_image_is_named(official: Official) -> None:
    del official.images[7]
    official.write()
    with pytest.raises(InputError, match=r"102flowers.tgz: image_00007 missing"):
        official.prepare()
    assert not (official.root / "out" / "data.json").exists()


def test_a_damaged_image_is_named(official: Official) -> None:
    official.images[7] = official.images[7][:200]
    official.write()
    with pytest.raises(InputError, match=r"jpg/image_00007.jpg: cannot be read as an image"):
        official.prepare()


def test_a_caption_file_of_nine_lines_is_named(official: Official) -> None:
    name = next(iter(official.captions))
    official.captions[name] = "\n".join(captions_of(1)[:9]) + "\n\n"
    official.write()
    with pytest.raises(InputError, match=rf"{name} has 9 captions instead of 10; delete it"):
        official.prepare()


def test_a_class_in_two_splits_is_named(official: Official) -> None:
    official.lists["testclasses.txt"] += "class_00005\n"
    official.write()
    with pytest.raises(InputError, match=r"testclasses.txt: 'class_00005' is no class, or is listed twice"):
        official.prepare()


@pytest.mark.parametrize("content", ["", "daisies\n"])
def test_a_wrong_class_list_is_named(official: Official, content: str) -> None:
    official.lists["valclasses.txt"] = content
    official.write()
    with pytest.raises(InputError, match=r"valclasses.txt"):
        official.prepare()


def test_labels_and_caption_folders_must_agree(official: Official) -> None:
    official.labels = LABELS.copy()
    official.labels[3] = 5
    official.write()
    with pytest.raises(InputError, match=r"image_00004 is of class 5, its captions are of class 3"):
        official.prepare()


def test_missing_captions_are_named(official: Official) -> None:
    del official.captions["text_c10/class_00004/image_00001.txt"]
    official.write()
    with pytest.raises(InputError, match=r"image_00001 is of class 4, its captions are missing"):
        official.prepare()


def test_the_data_of_the_paper_are_known_as_such(official: Official) -> None:
    official.write()
    official.write_embeddings()
    assert official.prepare(caption_features="char_cnn_rnn")[1]["official"]
    (official.folder / "102flowers.tgz").rename(official.folder / "102flowers_64.tar")
    assert not official.prepare(caption_features="char_cnn_rnn")[1]["official"]


def test_missing_files_say_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"102flowers.tgz: missing; run `python -m shared.data.download"):
        Official(tmp_path).prepare()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "scraped"}, "unknown; there are oxford_flower"),
        ({"pixels": 64}, "pixels: is unknown"),
        ({"image_size": "64"}, "image_size: '64' should be a valid integer"),
        ({"image_size": 0}, "image_size: 0 should be"),
        ({"image_size": 257}, "image_size: 257 should be less than or equal to 256"),
        ({"image_size": True}, "image_size: True should be a valid integer"),
        ({"name": "roses"}, "data set `roses` with source `official` is unknown"),
        ({"caption_features": "bert"}, "caption_features: 'bert' should be 'char_cnn_rnn' or 'trained'"),
    ],
)
def test_a_wrong_specification_is_one_clear_line(official: Official, changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        official.prepare(**changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [(500, 667), (333, 250), (97, 64), (30, 41), (64, 64)])
def test_cropping_and_resizing_are_torchvisions(size: tuple[int, int]) -> None:
    image = Image.open(io.BytesIO(image_bytes(1, size)))
    expected = v2.Resize(64)(v2.CenterCrop(min(size))(image))
    actual = centre_crop_and_resize(image, 64)
    assert actual.size == (64, 64)
    np.testing.assert_array_equal(np.asarray(actual), np.asarray(expected))


def test_resizing_is_antialiased_like_the_one_of_tensors() -> None:
    image = Image.open(io.BytesIO(image_bytes(2, (256, 256))))
    tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    expected = v2.Resize(64, antialias=True)(tensor).permute(1, 2, 0).numpy()
    difference = np.asarray(centre_crop_and_resize(image, 64)).astype(int) - expected
    assert np.abs(difference).max() <= 1
