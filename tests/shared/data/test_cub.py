"""The official layout, made small: eight species of three images each, through shared.stages.prepare."""

import io
import json
import os
import pickle
import signal
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image

from shared.data import captioned_files, cub, ledger
from shared.data.arrays import load_split
from shared.errors import InputError
from shared.stages import prepare
from tests.shared.data.test_oxford_flower import captions_of, image_bytes, write_tar

NAMES = {
    1: "Black_footed_Albatross",
    3: "Sooty_Albatross",
    9: "Brewer_Blackbird",
    22: "Chuck_will_Widow",
    36: "Northern_Flicker",
    40: "Olive_sided_Flycatcher",
    151: "Black_capped_Vireo",
    200: "Common_Yellowthroat",
}
LISTS = {"train": (3, 40, 200), "val": (36, 9, 22), "test": (1, 151)}  # as Reed et al. cut them
SPLITS = {"train": (3, 9, 40, 200), "val": (22, 36), "test": (1, 151)}  # one more for training
IMAGE_DIM, CAPTION_DIM = 24, 16


def folder(number: int) -> str:
    return f"{number:03d}.{NAMES[number]}"


class Official:
    """The files of a small data set; change them, then `write`. Images are numbered in the order of samples."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder = root, root / "cub"
        self.folder.mkdir()
        self.classes = [number for number in NAMES for _ in range(3)]
        self.stems = [f"{NAMES[number]}_{k:04d}_{797 * k}" for number in NAMES for k in (2, 15, 110)]
        self.paths = [f"{folder(number)}/{stem}" for number, stem in zip(self.classes, self.stems, strict=True)]
        self.images = {f"CUB_200_2011/images/{path}.jpg": image_bytes(i, (80, 64)) for i, path in enumerate(self.paths)}
        self.captions = {f"cvpr2016_cub/text_c10/{p}.txt": "\n".join(captions_of(i)) for i, p in enumerate(self.paths)}
        self.lists = {
            f"cvpr2016_cub/{name}classes.txt": "".join(f"{folder(c)}\n" for c in classes)
            for name, classes in LISTS.items()
        }
        rng = np.random.default_rng(0)
        self.features = rng.normal(size=(len(self.paths), IMAGE_DIM))
        self.embeddings = rng.normal(size=(len(self.paths), 10, CAPTION_DIM)).astype(np.float32)

    def rows(self, split: str) -> np.ndarray:
        return np.flatnonzero(np.isin(self.classes, SPLITS[split]))

    def write(self) -> None:
        write_tar(self.folder / "CUB_200_2011.tgz", self.images)
        texts = self.captions | self.lists
        write_tar(self.folder / "cvpr2016_cub.tar.gz", {name: text.encode() for name, text in texts.items()})

    def write_features(self) -> None:
        """The files of Xian et al. and of Zhang et al., each in an order of its own."""
        rng = np.random.default_rng(1)
        order = rng.permutation(len(self.paths))
        names = np.empty((len(order), 1), object)
        names[:, 0] = [f"/elsewhere/CUB_200_2011/images/{self.paths[i]}.jpg" for i in order]
        content = {"image_files": names, "features": self.features[order].T, "labels": np.ones((len(order), 1))}
        scipy.io.savemat(self.folder / "res101.mat", content)
        for part, numbers in (("train", LISTS["train"] + LISTS["val"]), ("test", LISTS["test"])):
            order = rng.permutation(np.flatnonzero(np.isin(self.classes, numbers)))
            (self.folder / part).mkdir()
            for name, values in (
                ("filenames", [self.paths[i] for i in order]),
                ("char-CNN-RNN-embeddings", [self.embeddings[i] for i in order]),
            ):
                (self.folder / part / f"{name}.pickle").write_bytes(pickle.dumps(values, 2))

    def prepare(self, **changes: object) -> tuple[dict[str, np.ndarray], dict]:
        out = self.root / "out"
        spec = {"name": "cub", "source": "official", "caption_dim": CAPTION_DIM} | changes
        with pytest.MonkeyPatch.context() as patch:
            arguments = ["prepare", "--data-root", str(self.root), "--out", str(out), "--spec", json.dumps(spec)]
            patch.setattr("sys.argv", arguments)
            prepare.main()
        arrays = {path.stem: np.load(path) for path in out.glob("*.npy")}
        return arrays, json.loads((out / "data.json").read_text())


@pytest.fixture
def official(tmp_path: Path) -> Iterator[Official]:
    """Small files under the official names, which pass for the official ones."""
    with (
        mock.patch.object(ledger.Checksum, "matches", return_value=True),
        mock.patch.object(cub, "TRAINING_CLASSES", 4),
        mock.patch.object(captioned_files, "IMAGE_FEATURE_DIM", IMAGE_DIM),
    ):
        yield Official(tmp_path)


PAPER = {"caption_features": "char_cnn_rnn", "image_features": "res101"}


def test_every_sample_is_where_it_belongs(official: Official) -> None:
    official.write()
    official.write_features()
    arrays, meta = official.prepare(**PAPER)
    train = official.rows("train")
    expected = {"x1_features": official.features, "x2": official.embeddings.mean(axis=1)}
    for split in SPLITS:
        rows = official.rows(split)
        numbers = [int(meta["classes"][label].removeprefix("class_")) for label in arrays[f"labels_{split}"]]
        assert numbers == [official.classes[i] for i in rows]
        assert arrays[f"captions_{split}"].tolist() == [captions_of(i) for i in rows]
        images = [np.array(Image.open(io.BytesIO(image_bytes(i, (80, 64)))))[:, 8:72] for i in rows]
        np.testing.assert_array_equal(arrays[f"x1_{split}"], np.stack(images).transpose(0, 3, 1, 2))
        for name, features in expected.items():
            standardised = (features[rows] - features[train].mean(axis=0)) / features[train].std(axis=0)
            np.testing.assert_allclose(arrays[f"{name}_{split}"], standardised, atol=1e-5)
            assert arrays[f"{name}_{split}"].dtype == np.float32
    assert (meta["stand_in"], meta["official"]) == (False, True)
    assert (meta["image_features"], meta["caption_features"]) == ("ResNet-101", "char-CNN-RNN")


def test_features_may_be_left_to_encoders(official: Official) -> None:
    official.write()
    arrays, meta = official.prepare(caption_features="trained", image_features="trained")
    assert {name for name in arrays if name.startswith("x")} == {f"x1_{split}" for split in SPLITS}
    assert not meta.keys() & {"image_features", "caption_features"}
    assert not meta["official"]


def test_the_cut_is_the_papers_111_39_50() -> None:
    numbers = np.random.default_rng(0).permutation(np.arange(1, 201)).tolist()
    lists = dict(zip(numbers, ["train"] * 100 + ["val"] * 50 + ["test"] * 50, strict=True))
    found = cub.cut(lists)
    of = {split: {number for number, each in found.items() if each == split} for split in SPLITS}
    assert {split: len(classes) for split, classes in of.items()} == {"train": 111, "val": 39, "test": 50}
    assert of["train"] >= set(numbers[:100])
    assert of["test"] == set(numbers[150:])
    assert max(of["train"] - set(numbers[:100])) < min(of["val"])


@pytest.mark.parametrize(
    ("lists", "left"),
    [
        ({"val": (9,)}, "4 classes for training and 0 for validation"),
        ({"train": (3,), "val": (9, 22)}, "3 classes for training and 0 for validation"),
        ({"train": (3, 22, 36, 40, 200), "val": (9,)}, "5 classes for training and 1 for validation"),
    ],
)
def test_lists_that_leave_too_few_classes_are_refused(official: Official, lists: dict, left: str) -> None:
    official.lists |= {
        f"cvpr2016_cub/{name}classes.txt": "".join(f"{folder(c)}\n" for c in classes) for name, classes in lists.items()
    }
    official.write()
    with pytest.raises(
        InputError, match=rf"\A[^\n]*cub.tar.gz: its lists leave {left}, not 4 and at least one; [^\n]*\Z"
    ):
        official.prepare()


def test_folders_take_the_place_of_the_archives(official: Official) -> None:
    official.write()
    arrays, _ = official.prepare()
    for archive in ("CUB_200_2011.tgz", "cvpr2016_cub.tar.gz"):
        (official.folder / archive).unlink()
    for name, content in {**official.images, **official.captions, **official.lists}.items():
        path = official.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    others, _ = official.prepare()
    for key, array in arrays.items():
        np.testing.assert_array_equal(others[key], array)


def test_what_a_mac_adds_to_archives_is_left_alone(official: Official) -> None:
    name = f"cvpr2016_cub/text_c10/{official.paths[0].replace('/', '/._')}.txt"
    official.captions[name] = "\0\5\26\7"
    official.images[f"CUB_200_2011/images/{official.paths[0].replace('/', '/._')}.jpg"] = b"\0\5\26\7"
    official.images[f"CUB_200_2011/images/{folder(1)}/.DS_Store"] = b"\0"
    official.images[f"CUB_200_2011/images/{folder(1)}/Thumbs.db"] = b"\0"
    official.write()
    assert len(official.prepare()[0]["x1_test"]) == 6


def test_two_images_of_one_name_are_named(official: Official) -> None:
    first = f"CUB_200_2011/images/{official.paths[4]}.jpg"
    other = f"CUB_200_2011/images/{folder(1)}/{official.stems[4]}.png"
    official.images[other] = image_bytes(4, (80, 64))
    official.write()
    line = rf"CUB_200_2011.tgz: {first} and {other} are both of the image {official.stems[4]}; delete it"
    with pytest.raises(InputError, match=line):
        official.prepare()


def test_captions_without_end_are_left(official: Official, monkeypatch: pytest.MonkeyPatch) -> None:
    official.write()
    size = sum(len(text) for text in (official.captions | official.lists).values())
    monkeypatch.setattr(captioned_files, "LARGEST_TEXT", size)
    official.prepare()
    monkeypatch.setattr(captioned_files, "LARGEST_TEXT", size - 1)
    with pytest.raises(InputError, match=rf"cub.tar.gz: more than {size - 1} bytes of captions and lists; delete it"):
        official.prepare()


HOSTILE = {
    "a pipe": os.mkfifo,
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a link elsewhere": lambda path: path.symlink_to(__file__),
    "a large file": lambda path: (path.touch(), os.truncate(path, 2**40)),
}


@pytest.mark.torture
@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("which", ["images", "captions", "lists"])
def test_no_folder_gets_further_than_one_line(official: Official, hostile: str, which: str) -> None:
    for name, content in {**official.images, **official.captions, **official.lists}.items():
        path = official.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path = official.folder / next(iter(getattr(official, which)))
    path.unlink()
    HOSTILE[hostile](path)
    signal.alarm(300)  # ends the test if it hangs
    try:
        with pytest.raises(InputError, match=rf"\A[^\n]*{path.name}[^\n]*\Z"):
            official.prepare()
    finally:
        signal.alarm(0)


@pytest.mark.torture
@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize(
    "name", ["CUB_200_2011.tgz", "cvpr2016_cub.tar.gz", "res101.mat", "train/filenames.pickle", "test/filenames.pickle"]
)
def test_no_file_gets_further_than_one_line(official: Official, hostile: str, name: str) -> None:
    official.write()
    official.write_features()
    path = official.folder / name
    path.unlink()
    HOSTILE[hostile](path)
    signal.alarm(300)
    try:
        with pytest.raises(InputError, match=rf"\A[^\n]*{path.name}[^\n]*\Z"):
            official.prepare(**PAPER)
    finally:
        signal.alarm(0)


@pytest.mark.torture
def test_what_is_in_a_folder_without_being_of_the_data_set_is_harmless(official: Official) -> None:
    """Pipes, links that lead elsewhere or back, and folders of the names of files."""
    for name, content in {**official.images, **official.captions, **official.lists}.items():
        path = official.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    signal.alarm(300)
    try:
        expected, about = official.prepare()
        for name in HOSTILE.keys() - {"a large file"}:  # whose checksum would be made
            HOSTILE[name](official.folder / f"CUB_200_2011/images/{name}")
        (official.folder / "CUB_200_2011/images/back").symlink_to(official.folder)
        found, other = official.prepare()
    finally:
        signal.alarm(0)
    np.testing.assert_array_equal(found["x1_train"], expected["x1_train"])
    assert other["files"] == about["files"]


def test_a_missing_image_is_named(official: Official) -> None:
    del official.images[f"CUB_200_2011/images/{official.paths[4]}.jpg"]
    official.write()
    with pytest.raises(InputError, match=rf"CUB_200_2011.tgz: {official.stems[4]} missing, one of 1"):
        official.prepare()


def test_an_image_without_captions_is_named(official: Official) -> None:
    del official.captions[f"cvpr2016_cub/text_c10/{official.paths[4]}.txt"]
    official.write()
    with pytest.raises(InputError, match=rf"cub.tar.gz: no captions or no list for {official.stems[4]}, one of 1 "):
        official.prepare()


def test_an_image_whose_class_is_in_no_list_is_named(official: Official) -> None:
    official.lists["cvpr2016_cub/testclasses.txt"] = f"{folder(151)}\n"
    official.write()
    with pytest.raises(InputError, match=rf"cub.tar.gz: no captions or no list for {NAMES[1]}_0002_1594, one of 3 "):
        official.prepare()


def test_a_listed_class_without_captions_is_named(official: Official) -> None:
    for path in official.paths[3:6]:
        del official.captions[f"cvpr2016_cub/text_c10/{path}.txt"]
    official.write()
    with pytest.raises(InputError, match=r"cub.tar.gz: no captions of class 3, one of 1 such classes in its lists"):
        official.prepare()


def test_captions_that_are_there_twice_are_named(official: Official) -> None:
    name = f"cvpr2016_cub/text_c10/{folder(200)}/{official.stems[0]}.txt"
    official.captions[name] = "\n".join(captions_of(1))
    official.write()
    with pytest.raises(InputError, match=rf"{name}: captions of {official.stems[0]} are there twice"):
        official.prepare()


def test_captions_of_no_class_are_named(official: Official) -> None:
    official.captions["cvpr2016_cub/text_c10/birds/Some_Bird_0001.txt"] = "\n".join(captions_of(1))
    official.write()
    with pytest.raises(InputError, match=r"text_c10/birds/Some_Bird_0001.txt belongs to no class; delete it"):
        official.prepare()


def test_a_class_in_two_splits_is_named(official: Official) -> None:
    official.lists["cvpr2016_cub/testclasses.txt"] += f"{folder(9)}\n"
    official.write()
    with pytest.raises(InputError, match=r"'009.Brewer_Blackbird' is no class, or is listed twice"):
        official.prepare()


def test_missing_files_say_how_to_get_them(official: Official) -> None:
    with pytest.raises(InputError, match=r"CUB_200_2011.tgz: missing; run `python -m shared.data.download"):
        official.prepare()
    official.write()
    with pytest.raises(InputError, match=r"cub/res101.mat: missing; Download [^\n]*xlsa17.zip[^\n]* It belongs in"):
        official.prepare(image_features="res101")
    with pytest.raises(InputError, match=r"char-CNN-RNN-embeddings.pickle: missing; Download birds.zip"):
        official.prepare(caption_features="char_cnn_rnn")


@pytest.mark.parametrize("damage", ["empty", "cut", "other", "shape", "nan", "infinity", "large", "image", "twice"])
def test_damaged_features_are_one_line(official: Official, damage: str) -> None:
    official.write()
    official.write_features()
    path = official.folder / "res101.mat"
    content = scipy.io.loadmat(path)
    files, features = content["image_files"], content["features"]
    match damage:
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(path.read_bytes()[:2000])
        case "other":
            scipy.io.savemat(path, {"att": np.ones((3, 3))})
        case "shape":
            scipy.io.savemat(path, {"image_files": files, "features": features[:, 1:]})
        case "nan" | "infinity":
            features[3, 5] = float(damage)
            scipy.io.savemat(path, {"image_files": files, "features": features})
        case "large":
            features[3, 5] = 1e39  # more than float32 holds
            scipy.io.savemat(path, {"image_files": files, "features": features})
        case "twice":
            files[3] = files[4]
            scipy.io.savemat(path, {"image_files": files, "features": features})
        case "image":
            kept = [official.stems[-1] not in str(cell.item()) for cell in files.ravel()]
            scipy.io.savemat(path, {"image_files": files[kept], "features": features[:, kept]})
    expected = {
        "empty": "an empty file",
        "cut": "no MATLAB file with matrices of numbers and lists of strings",
        "other": "without features and image_files",
        "shape": r"features of shape \(24, 23\), not \(24, 24\)",
        "nan": "features hold NaN or infinity",
        "infinity": "features hold NaN or infinity",
        "large": "features hold NaN or infinity",
        "twice": "features of an image are there twice",
        "image": f"no image features for {official.stems[-1]}, one of 1",
    }[damage]
    with pytest.raises(InputError, match=rf"\A[^\n]*res101.mat: {expected}[^\n]*delete it[^\n]*\Z"):
        official.prepare(**PAPER)


@pytest.mark.parametrize("name", ["filenames", "char-CNN-RNN-embeddings"])
@pytest.mark.parametrize(
    "content", [7, "birds", {"birds": 1}, np.array(7), [[1.0], [2.0, 3.0]], [[np.zeros(3)], [np.zeros(2)]], [None]]
)
def test_a_pickle_that_holds_no_list_of_arrays_or_names_is_one_line(
    official: Official, name: str, content: object
) -> None:
    official.write()
    official.write_features()
    (official.folder / f"test/{name}.pickle").write_bytes(pickle.dumps(content, 2))
    problem = "corrupt pickle, or not one of arrays or strings"
    with pytest.raises(InputError, match=rf"\A[^\n]*test/{name}.pickle: {problem} [^\n]*; delete it[^\n]*\Z"):
        official.prepare(**PAPER)


@pytest.mark.parametrize("content", [np.zeros((6, 3)), [np.zeros(3)] * 6, [np.float32(1)] * 6])
def test_names_that_are_none_are_one_line(official: Official, content: object) -> None:
    official.write()
    official.write_features()
    (official.folder / "test/filenames.pickle").write_bytes(pickle.dumps(content, 2))
    with pytest.raises(InputError, match=r"\A[^\n]*test/filenames.pickle: a name that is no string; delete[^\n]*\Z"):
        official.prepare(**PAPER)


def test_names_in_bytes_and_embeddings_in_one_array_are_as_good(official: Official) -> None:
    official.write()
    official.write_features()
    expected, _ = official.prepare(**PAPER)
    names, arrays = (official.folder / f"test/{name}.pickle" for name in ("filenames", "char-CNN-RNN-embeddings"))
    names.write_bytes(pickle.dumps([name.encode() for name in pickle.loads(names.read_bytes())], 3))
    arrays.write_bytes(pickle.dumps(np.array(pickle.loads(arrays.read_bytes()), ">f8"), 0))
    found, _ = official.prepare(**PAPER)
    np.testing.assert_array_equal(found["x2_test"], expected["x2_test"])


@pytest.mark.parametrize("content", [[np.zeros((9, 16))] * 6, ["a"] * 6, np.zeros((6, 0)), [np.zeros((10, 16, 1))] * 6])
def test_embeddings_of_another_shape_are_one_line(official: Official, content: object) -> None:
    official.write()
    official.write_features()
    (official.folder / "test/char-CNN-RNN-embeddings.pickle").write_bytes(pickle.dumps(content, 2))
    with pytest.raises(InputError, match=r"\A[^\n]*test/char[^\n]*pickle: embeddings of [^\n]* have shape [^\n]*\Z"):
        official.prepare(**PAPER)


def test_embeddings_that_are_there_twice_are_named(official: Official) -> None:
    official.write()
    official.write_features()
    path = official.folder / "test/filenames.pickle"
    names = pickle.loads(path.read_bytes())
    path.write_bytes(pickle.dumps([names[1], *names[1:]], 2))
    with pytest.raises(
        InputError, match=rf"test/filenames.pickle: embeddings of {names[1]} are there twice; delete it"
    ):
        official.prepare(**PAPER)


def test_nothing_reads_the_pickles_after_the_data_set_is_prepared(official: Official) -> None:
    """What is prepared is theirs in .npy, and needs them no more."""
    official.write()
    official.write_features()
    arrays, _ = official.prepare(**PAPER)
    for path in official.folder.rglob("*.pickle"):
        path.unlink()
    for split in SPLITS:
        loaded = load_split(official.root / "out", split, {"caption": "x2"}, torch.device("cpu"))
        np.testing.assert_array_equal(loaded.tensors["caption"].numpy(), arrays[f"x2_{split}"])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_embeddings_that_are_not_finite_are_one_line(official: Official, value: float) -> None:
    official.embeddings[0, 3, 5] = value
    official.write()
    official.write_features()
    problem = rf"embeddings of {official.paths[0]} hold NaN or infinity; delete it"
    with pytest.raises(InputError, match=rf"\A[^\n]*test/char-CNN-RNN-embeddings.pickle: {problem}[^\n]*\Z"):
        official.prepare(**PAPER)
