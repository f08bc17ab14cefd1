"""The official layout, made small: fourteen photographs, the two lists, through shared.stages.prepare."""

import io
import os
import re
import signal
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from shared.data import celeba, ledger
from shared.data.archives import Members
from shared.data.celeba import ATTRIBUTES, resize_and_crop
from shared.data.prepared import DatasetSpec
from shared.errors import InputError
from shared.files import read_json
from shared.stages import prepare

# All 40, as the official file's second line has them.
COLUMNS = [
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose",
    "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses",
    "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache",
    "Narrow_Eyes", "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks",
    "Sideburns", "Smiling", "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick",
    "Wearing_Necklace", "Wearing_Necktie", "Young",
]  # fmt: skip
# Where the 18 stand among the 40, as the MVAE's released code lists them.
PLACES = [4, 5, 8, 9, 11, 12, 15, 17, 18, 20, 21, 22, 26, 28, 31, 32, 33, 35]
# Official numbers of the parts; they are not in blocks here, unlike the official file's.
PARTS = [0, 0, 2, 0, 1, 0, 2, 0, 0, 1, 2, 0, 1, 0]
SPLIT_NUMBERS = {"train": 0, "val": 1, "test": 2}


def name_of(i: int) -> str:
    return f"{i + 1:06d}.jpg"


def jpeg(seed: int, size: tuple[int, int] = (178, 218)) -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


def torchvisions(content: bytes, size: int = 64) -> np.ndarray:
    image = Image.open(io.BytesIO(content)).convert("RGB")
    return np.asarray(v2.CenterCrop(size)(v2.Resize(size)(image))).transpose(2, 0, 1)


class Official:
    """The files of a small data set; change them, then `write`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "celeba"
        self.folder.mkdir(parents=True)
        self.images = {name_of(i): jpeg(i) for i in range(len(PARTS))}
        self.columns = COLUMNS
        self.count = len(PARTS)
        self.flags = np.random.default_rng(0).integers(0, 2, (len(PARTS), len(COLUMNS)))
        self.partition = [f"{name_of(i)} {part}" for i, part in enumerate(PARTS)]

    def attribute_lines(self) -> list[str]:
        keep = [COLUMNS.index(column) for column in self.columns]
        rows = (" ".join(f"{2 * flag - 1:2d}" for flag in row[keep]) for row in self.flags)
        return [str(self.count), " ".join(self.columns) + " ", *(f"{name_of(i)} {row}" for i, row in enumerate(rows))]

    def write(self, zipped: bool = True) -> None:
        if zipped:
            with zipfile.ZipFile(self.folder / "img_align_celeba.zip", "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("img_align_celeba/", b"")
                for name, content in self.images.items():
                    archive.writestr(f"img_align_celeba/{name}", content)
        else:
            (self.folder / "img_align_celeba").mkdir()
            for name, content in self.images.items():
                (self.folder / "img_align_celeba" / name).write_bytes(content)
        self.write_lists(self.attribute_lines())

    def write_lists(self, attributes: list[str]) -> None:
        (self.folder / "list_attr_celeba.txt").write_text("\r\n".join(attributes) + "\r\n", newline="")
        (self.folder / "list_eval_partition.txt").write_text("\n".join(self.partition) + "\n")

    def prepare(self, **options: object) -> tuple[dict[str, np.ndarray], dict]:
        out = self.root / "out"
        prepare.prepare(DatasetSpec("celeba", "official", options), self.root, out)
        return {path.stem: np.load(path) for path in sorted(out.glob("*.npy"))}, read_json(out / "data.json")


@pytest.fixture
def official(tmp_path: Path) -> Iterator[Official]:
    """Small files under the official names, which pass for the official ones."""
    with mock.patch.object(ledger.Checksum, "matches", return_value=True):
        yield Official(tmp_path)


def error_of(official: Official, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        official.prepare(**options)
    assert "\n" not in str(caught.value)
    assert not (official.root / "out" / "data.json").exists()
    return str(caught.value)


@pytest.mark.parametrize("zipped", [True, False])
def test_every_image_is_in_its_part_with_its_attributes(official: Official, zipped: bool) -> None:
    official.write(zipped)
    with mock.patch.object(celeba, "_BLOCK", 3):  # several blocks, the last one shorter
        arrays, meta = official.prepare()
    assert set(arrays) == {f"{array}_{split}" for array in ("x1", "x2") for split in SPLIT_NUMBERS}
    for split, number in SPLIT_NUMBERS.items():
        numbers = [i for i, part in enumerate(PARTS) if part == number]
        images = np.stack([torchvisions(official.images[name_of(i)]) for i in numbers])
        np.testing.assert_array_equal(arrays[f"x1_{split}"], images)
        assert arrays[f"x1_{split}"].dtype == np.uint8
        attributes = [[official.flags[i, COLUMNS.index(name)] for name in ATTRIBUTES] for i in numbers]
        np.testing.assert_array_equal(arrays[f"x2_{split}"], attributes)
        assert arrays[f"x2_{split}"].dtype == np.float32
        assert meta["splits"][split] == {"samples": len(numbers)}
    assert meta["stand_in"] is False
    assert meta["official"] is zipped  # an unpacked folder was not compared with a checksum
    assert meta["description"] == "CelebA, 18 attributes"
    assert meta["attributes"] == list(ATTRIBUTES)
    assert meta["files"]["images"]["file"] == ("img_align_celeba.zip" if zipped else "img_align_celeba")
    assert set(meta["files"]) == {"images", "attributes", "partition"}


def test_the_18_attributes_are_those_of_the_released_code() -> None:
    assert list(ATTRIBUTES) == [COLUMNS[place] for place in PLACES]


def test_columns_are_found_by_name(official: Official) -> None:
    official.write()
    expected, _ = official.prepare()
    official.columns = COLUMNS[::-1]
    official.write()
    arrays, _ = official.prepare()
    for split in SPLIT_NUMBERS:
        np.testing.assert_array_equal(arrays[f"x2_{split}"], expected[f"x2_{split}"])


def test_zip_and_folder_give_the_same_bytes(official: Official) -> None:
    official.write(zipped=True)
    first = official.prepare()[1]
    assert official.prepare()[1]["sha256"] == first["sha256"]
    (official.folder / "img_align_celeba.zip").unlink()
    official.write(zipped=False)
    assert official.prepare()[1]["sha256"] == first["sha256"]


def test_image_size_is_an_option(official: Official) -> None:
    official.write()
    arrays, _ = official.prepare(image_size=32)
    np.testing.assert_array_equal(arrays["x1_train"][0], torchvisions(official.images[name_of(0)], 32))


@pytest.mark.parametrize("size", [(178, 218), (218, 178), (64, 64), (64, 91), (40, 51), (333, 250), (97, 64)])
@pytest.mark.parametrize("target", [64, 33])
def test_resizing_and_cropping_are_torchvisions(size: tuple[int, int], target: int) -> None:
    content = jpeg(1, size)
    actual = resize_and_crop(Image.open(io.BytesIO(content)), target)
    np.testing.assert_array_equal(np.asarray(actual).transpose(2, 0, 1), torchvisions(content, target))


def test_resizing_is_antialiased_like_the_one_of_tensors() -> None:
    image = Image.open(io.BytesIO(jpeg(2)))
    tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    expected = v2.CenterCrop(64)(v2.Resize(64, antialias=True)(tensor)).permute(1, 2, 0).numpy()
    assert np.abs(np.asarray(resize_and_crop(image, 64)).astype(int) - expected).max() <= 1


def test_the_crop_is_the_centre() -> None:
    """178x218 becomes 64x78, of which seven rows go at the top and seven at the bottom."""
    pixels = np.zeros((218, 178, 3), np.uint8)
    pixels[: 7 * 218 // 78 - 2] = 255
    pixels[218 - (7 * 218 // 78 - 2) :] = 255
    cropped = np.asarray(resize_and_crop(Image.fromarray(pixels), 64))
    assert cropped.shape == (64, 64, 3)
    assert not cropped.any()


@pytest.mark.parametrize("zipped", [True, False])
def test_memory_does_not_grow_with_the_number_of_images(official: Official, zipped: bool) -> None:
    official.write(zipped)
    files = Members(official.folder / f"img_align_celeba{'.zip' if zipped else ''}")
    names = sorted(files.names)
    block_bytes = 20 * 3 * 64 * 64

    def peak(count: int) -> int:
        wanted = [names[i % len(names)] for i in range(count)]
        tracemalloc.start()
        try:
            sizes = [len(block) for block in celeba.blocks(files, wanted, 64)]
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            assert sum(sizes) == count
            assert max(sizes) <= 20

    with mock.patch.object(celeba, "_BLOCK", 20):
        peak(40)  # what is imported and cached on first use
        few, many = peak(60), peak(300)
    assert many < few + block_bytes / 2
    assert many < 4 * block_bytes


def test_nothing_is_read_before_it_is_written(official: Official) -> None:
    """Loading does not open a single photograph."""
    official.images = dict.fromkeys(official.images, b"no image")
    official.write()
    data = celeba.load(DatasetSpec("celeba", "official"), official.root)
    assert data.splits["train"]["x1"].count == PARTS.count(0)
    with pytest.raises(InputError, match=r"000001\.jpg: cannot be read as an image"):
        next(data.splits["train"]["x1"].make())


def test_grey_photographs_get_three_channels(official: Official) -> None:
    file = io.BytesIO()
    Image.new("L", (178, 218), 128).save(file, "JPEG")
    official.images[name_of(0)] = file.getvalue()
    official.write()
    arrays, _ = official.prepare()
    assert (arrays["x1_train"][0] == 128).all()


# --- bad input ---


def test_other_content_under_the_official_name_is_refused(tmp_path: Path) -> None:
    official = Official(tmp_path)
    official.write(zipped=False)
    message = error_of(official)
    assert re.search(
        r"list_attr_celeba.txt: not the official file, md5 [0-9a-f.]+ instead of 75e246fa4810816f", message
    )
    assert not (official.root / "out").exists()


def test_a_file_in_the_place_of_the_folder_is_refused(official: Official) -> None:
    official.write()
    (official.folder / "img_align_celeba.zip").unlink()
    (official.folder / "img_align_celeba").touch()
    assert "img_align_celeba: a file, where a folder belongs; delete it and fetch it again" in error_of(official)
    (official.folder / "img_align_celeba").unlink()
    (official.folder / "img_align_celeba").mkdir()
    assert "img_align_celeba: an empty folder; delete it and fetch it again" in error_of(official)


def test_absent_images_say_what_to_fetch_and_where_to_put_it(official: Official) -> None:
    official.write()
    (official.folder / "img_align_celeba.zip").unlink()
    message = error_of(official)
    command = f"run `python -m shared.data.download --dataset celeba --data-root {official.root}`"
    assert message.endswith(f"img_align_celeba.zip: missing; {command}")


@pytest.mark.parametrize("name", ["list_attr_celeba.txt", "list_eval_partition.txt"])
def test_absent_lists_are_named(official: Official, name: str) -> None:
    official.write()
    (official.folder / name).unlink()
    assert f"{name}: missing" in error_of(official)


@pytest.mark.parametrize("zipped", [True, False])
def test_missing_images_are_named_and_counted(official: Official, zipped: bool) -> None:
    for i in (6, 9, 2):
        del official.images[name_of(i)]
    official.write(zipped)
    assert ": 000003.jpg missing, one of 3" in error_of(official)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", jpeg(4)[:700]])
def test_a_damaged_image_is_named(official: Official, zipped: bool, content: bytes) -> None:
    official.images[name_of(4)] = content
    official.write(zipped)
    assert "000005.jpg: cannot be read as an image" in error_of(official)


@pytest.mark.parametrize("zipped", [True, False])
def test_images_that_are_not_the_aligned_ones_are_refused(official: Official, zipped: bool) -> None:
    official.images[name_of(4)] = jpeg(4, (409, 687))  # in the wild, under the same name
    official.write(zipped)
    message = error_of(official)
    assert "000005.jpg is 409x687 pixels large, not 178x218; use the aligned and cropped images" in message


def test_nothing_remains_of_the_parts_that_were_written(official: Official) -> None:
    """x1_val, written last, has a damaged photograph; x1_test and x1_train, gigabytes of them, are whole."""
    official.images[name_of(PARTS.index(SPLIT_NUMBERS["val"]))] = b""
    official.write()
    error_of(official)
    assert not list((official.root / "out").iterdir())


def test_a_damaged_archive_is_named(official: Official) -> None:
    official.write()
    path = official.folder / "img_align_celeba.zip"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "img_align_celeba.zip: corrupt or incomplete archive" in error_of(official)


def test_a_damaged_member_is_named(official: Official) -> None:
    """Bytes of one photograph are overwritten within the archive, whose directory stays whole."""
    official.write()
    path = official.folder / "img_align_celeba.zip"
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo("img_align_celeba/000001.jpg")
    content = bytearray(path.read_bytes())
    start = member.header_offset + 30 + len(member.filename)
    content[start : start + 200] = b"\xff" * 200
    path.write_bytes(content)
    assert "000001.jpg cannot be read (" in error_of(official)


def test_a_locked_archive_is_named(official: Official) -> None:
    """The flag of encryption is set on every member."""
    official.write()
    path = official.folder / "img_align_celeba.zip"
    content = bytearray(path.read_bytes())
    start = content.find(b"PK\x01\x02")
    while start >= 0:
        content[start + 8] |= 1
        start = content.find(b"PK\x01\x02", start + 4)
    path.write_bytes(content)
    assert re.search(r"\d{6}\.jpg cannot be read \(.*encrypted", error_of(official))


def test_unknown_options_are_named(official: Official) -> None:
    official.write()
    assert "crop: is unknown" in error_of(official, crop=148)
    assert "image_size: 0 should be greater" in error_of(official, image_size=0)
    assert "image_size: 100000 should be less than or equal to 256" in error_of(official, image_size=100_000)


def test_a_pipe_among_the_images_keeps_nobody_waiting(official: Official) -> None:
    official.write(zipped=False)
    (official.folder / "img_align_celeba" / name_of(4)).unlink()
    os.mkfifo(official.folder / "img_align_celeba" / name_of(4))
    signal.alarm(30)  # ends the test if it hangs
    try:
        assert "000005.jpg: no regular file" in error_of(official)
    finally:
        signal.alarm(0)


@pytest.mark.parametrize("target", ["000005.jpg", "nothing.jpg", "../list_attr_celeba.txt", "/dev/zero"])
def test_a_link_to_itself_to_nothing_or_elsewhere_is_named(official: Official, target: str) -> None:
    official.write(zipped=False)
    (official.folder / "img_align_celeba" / name_of(4)).unlink()
    (official.folder / "img_align_celeba" / name_of(4)).symlink_to(target)
    assert re.search("000005.jpg: (no regular file|links to a file outside)", error_of(official))
