"""CelebA in its official layout, made small: a dozen photographs, both lists, as an archive and as a folder."""

import io
import json
import tracemalloc
import zipfile
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from shared import prepare
from shared.data import celeba, ledger
from shared.data.celeba import ATTRIBUTES
from shared.data.prepared import DatasetSpec, Rows
from shared.errors import InputError

# The official file's 40 columns; the 18 are at the places that the MVAE's released code lists.
COLUMNS = (
    "5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair Blond_Hair "
    "Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup High_Cheekbones Male "
    "Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks "
    "Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace "
    "Wearing_Necktie Young"
).split()  # noqa: SIM905
PLACES = [4, 5, 8, 9, 11, 12, 15, 17, 18, 20, 21, 22, 26, 28, 31, 32, 33, 35]
COUNT = 12
PARTS = [0] * 7 + [1] * 2 + [2] * 3


def name(number):
    return f"{number:06d}.jpg"


def photograph(number, size=(178, 218)):
    pixels = np.random.default_rng(number).integers(0, 256, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize(size).save(file, "JPEG", quality=95)
    return file.getvalue()


class Official:
    """The files of a small data set; change them, then `make`."""

    def __init__(self, root):
        self.root, self.folder = root, root / "celeba"
        self.folder.mkdir(parents=True)
        self.images = {name(n): photograph(n) for n in range(1, COUNT + 1)}
        self.values = np.random.default_rng(0).choice([-1, 1], (COUNT, 40))
        self.columns = COLUMNS
        self.partition = "".join(f"{name(n)} {part}\n" for n, part in enumerate(PARTS, 1))
        self.unpacked = False

    def attributes(self):
        lines = [f"{name(n)} " + " ".join(f"{value:2d}" for value in row) for n, row in enumerate(self.values, 1)]
        return "\n".join([str(COUNT), " ".join(self.columns) + " ", *lines]) + "\n"

    def make(self, **options):
        for file, text in (("list_attr_celeba.txt", self.attributes()), ("list_eval_partition.txt", self.partition)):
            (self.folder / file).write_text(text)
        if self.unpacked:
            (self.folder / "img_align_celeba").mkdir()
            for file, content in self.images.items():
                (self.folder / "img_align_celeba" / file).write_bytes(content)
        else:
            with zipfile.ZipFile(self.folder / "img_align_celeba.zip", "w") as archive:
                archive.writestr("img_align_celeba/", "")
                for file, content in self.images.items():
                    archive.writestr(f"img_align_celeba/{file}", content)
        prepare.prepare(DatasetSpec("celeba", "official", options), self.root, self.root / "out")
        arrays = {path.stem: np.load(path) for path in (self.root / "out").glob("*.npy")}
        return arrays, json.loads((self.root / "out" / "data.json").read_text())


@pytest.fixture
def official(tmp_path):
    with mock.patch.object(ledger.Checksum, "matches", return_value=True):
        yield Official(tmp_path)


def test_the_eighteen_attributes_are_those_of_the_released_code():
    assert [COLUMNS[place] for place in PLACES] == list(ATTRIBUTES)


@pytest.mark.parametrize("unpacked", [False, True])
def test_every_image_and_its_attributes_are_where_the_partition_says(official, unpacked):
    official.unpacked = unpacked
    arrays, about = official.make()
    for part, split in enumerate(("train", "val", "test")):
        numbers = [n for n, of in enumerate(PARTS, 1) if of == part]
        expected = np.stack([resized(official.images[name(n)]) for n in numbers])
        np.testing.assert_array_equal(arrays[f"x1_{split}"], expected)
        wanted = (official.values[np.array(numbers) - 1][:, PLACES] == 1).astype(np.float32)
        np.testing.assert_array_equal(arrays[f"x2_{split}"], wanted)
        assert about["splits"][split] == {"samples": len(numbers)}
    assert about["attributes"] == list(ATTRIBUTES)
    assert about["description"] == "CelebA, 18 attributes"
    assert about["stand_in"] is False


def resized(content):
    """As the released code of the paper's baseline does it, with torchvision."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    return np.asarray(v2.CenterCrop(64)(v2.Resize(64)(image))).transpose(2, 0, 1)


@pytest.mark.parametrize("size", [(178, 218), (218, 178), (64, 64), (100, 333), (65, 64)])
def test_resizing_and_cropping_are_torchvisions(size):
    image = Image.open(io.BytesIO(photograph(1, size)))
    expected = v2.CenterCrop(64)(v2.Resize(64)(image))
    np.testing.assert_array_equal(np.asarray(celeba.resize_and_crop(image, 64)), np.asarray(expected))
    tensor = v2.CenterCrop(64)(v2.Resize(64, antialias=True)(torch.from_numpy(np.array(image)).permute(2, 0, 1)))
    difference = np.asarray(celeba.resize_and_crop(image, 64)).astype(int) - tensor.permute(1, 2, 0).numpy()
    assert np.abs(difference).max() <= 1


def test_the_size_is_an_option(official):
    assert official.make(image_size=32)[0]["x1_test"].shape == (3, 3, 32, 32)


def test_memory_does_not_grow_with_the_number_of_images(official, monkeypatch):
    """Eight times the images through the same blocks: the peak stays that of one block."""
    monkeypatch.setattr(celeba, "_BLOCK", 4)
    official.make()
    images = celeba.ImageFiles(official.folder / "img_align_celeba.zip")
    names = [name(n) for n in range(1, COUNT + 1)]

    def peak(times):
        tracemalloc.start()
        rows = Rows(COUNT * times, (3, 64, 64), np.uint8, lambda: images.blocks(names * times, 64))
        prepare._stream(official.root / "stream.npy", rows)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    few, many = peak(1), peak(8)
    assert many < 1.5 * few
    assert many < COUNT * 8 * 3 * 64 * 64 / 2


def test_a_missing_column_is_named(official):
    official.columns = [column.replace("Mustache", "Moustache") for column in COLUMNS]
    with pytest.raises(
        InputError, match=r"\A[^\n]*list_attr_celeba\.txt: the column Mustache is missing; fetch[^\n]*\Z"
    ):
        official.make()


def test_a_missing_image_is_named(official):
    del official.images[name(3)], official.images[name(5)]
    with pytest.raises(InputError, match=r"\A[^\n]*celeba\.zip: 000003\.jpg and 1 more missing[^\n]*\Z"):
        official.make()
    assert not (official.root / "out").exists()


def test_a_damaged_image_is_named_and_nothing_half_written_remains(official):
    official.images[name(9)] = official.images[name(9)][:300]
    with pytest.raises(InputError, match=r"\A[^\n]*000009\.jpg cannot be read as an image[^\n]*\Z"):
        official.make()
    assert not (official.root / "out" / "data.json").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("000004.jpg 0", "000004.jpg 3"), "line 4: '000004.jpg 3' is no image name with 0"),
        (lambda text: text.replace("000004.jpg 0", "000004.jpg"), "line 4"),
        (lambda text: text.replace(" 1\n", " 0\n"), "no image is of part 1, val"),
        (
            lambda text: text + "000099.jpg 2\n",
            r"list_attr_celeba\.txt: 000099\.jpg missing",
        ),
    ],
)
def test_a_wrong_partition_is_one_line(official, change, message):
    official.partition = change(official.partition)
    with pytest.raises(InputError, match=message) as caught:
        official.make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("12\n", "13\n", 1), "12 images, but its first line says 13"),
        (lambda text: text.replace("000002.jpg ", "000002.jpg 2 ", 1), "line 4: not 40 values of 1 or -1"),
        (lambda text: "<html>", "must begin with the number of images"),
    ],
)
def test_a_wrong_attribute_file_is_one_line(tmp_path, change, message):
    official = Official(tmp_path)
    path = tmp_path / "list.txt"
    path.write_text(change(official.attributes()))
    with pytest.raises(InputError, match=message) as caught:
        celeba.read_attributes(path, ATTRIBUTES)
    assert "\n" not in str(caught.value)


def test_other_files_under_the_official_names_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"not the official file, its checksum differs"):
        Official(tmp_path).make()


def test_missing_files_say_where_to_get_them(tmp_path):
    with pytest.raises(InputError, match=r"img_align_celeba\.zip: missing; Download .*mmlab.*It belongs in"):
        celeba.load(DatasetSpec("celeba", "official"), tmp_path)


def test_a_broken_archive_is_one_line(official):
    official.make()
    path = official.folder / "img_align_celeba.zip"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"img_align_celeba\.zip: not a whole zip archive"):
        celeba.ImageFiles(path)
