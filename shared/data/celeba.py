"""CelebA: 202,599 aligned photographs of faces with attributes, in the official partition (MHVAE, 3.1.3).

Files of <data root>/celeba: the archive img_align_celeba.zip or the folder it was unpacked to, list_attr_celeba.txt and
list_eval_partition.txt. Images are read and written one by one, so that 200,000 of them need no memory.
"""

import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from PIL import Image

from shared.data import ledger
from shared.data.prepared import SPLITS, DatasetSpec, Prepared, Rows
from shared.errors import InputError

DATASET = "celeba"
# The 18 that are visually distinctive (Perarnau et al., 2016), in the order of the official file.
ATTRIBUTES = (
    "Bald", "Bangs", "Black_Hair", "Blond_Hair", "Brown_Hair", "Bushy_Eyebrows", "Eyeglasses", "Gray_Hair",
    "Heavy_Makeup", "Male", "Mouth_Slightly_Open", "Mustache", "Pale_Skin", "Receding_Hairline", "Smiling",
    "Straight_Hair", "Wavy_Hair", "Wearing_Hat",
)  # fmt: skip
IMAGE_SIZE = 64
_BLOCK = 256


def load(spec: DatasetSpec, data_root: str | Path) -> Prepared:
    """Read and check the lists; the images follow when they are written.

    InputError: a file is missing or damaged, a listed image is missing, or an attribute is not in the file.
    """
    options = spec.read(image_size=IMAGE_SIZE)
    files = {key: ledger.require(data_root, DATASET, key) for key in ("images", "attributes", "partition")}
    attributes = read_attributes(files["attributes"], ATTRIBUTES)
    partition = read_partition(files["partition"])
    names = {split: sorted(n for n, number in partition.items() if number == i) for i, split in enumerate(SPLITS)}
    images = ImageFiles(files["images"])
    for split in SPLITS:
        if not names[split]:
            raise InputError(
                f"{files['partition']}: no image is of part {SPLITS.index(split)}, {split}; fetch it again"
            )
        for what, known in ((files["attributes"], attributes), (files["images"], images.names)):
            if missing := [name for name in names[split] if name not in known]:
                raise InputError(
                    f"{what}: {missing[0]} is missing ({len(missing)} such images in {split}); fetch it again"
                )
    return Prepared(
        splits={
            split: {
                "x1": Rows(
                    count=len(names[split]),
                    shape=(3, options.image_size, options.image_size),
                    dtype=np.uint8,
                    make=lambda names=names[split]: images.blocks(names, options.image_size),
                ),
                "x2": np.stack([attributes[name] for name in names[split]]),
            }
            for split in SPLITS
        },
        stand_in=False,
        description="CelebA, 18 attributes",
        files=files,
        notes={"attributes": list(ATTRIBUTES)},
    )


def read_attributes(path: Path, wanted: Sequence[str]) -> dict[str, np.ndarray]:
    """Image name -> the wanted attributes, float32 of 0 and 1, from list_attr_celeba.txt.

    InputError: a wanted column is missing, or a line or their number is not what the file's head says.
    """
    lines = _lines(path)
    if len(lines) < 2 or not lines[0].strip().isdigit():
        raise InputError(f"{path}: must begin with the number of images and a line of attributes; fetch it again")
    columns = lines[1].split()
    if missing := [name for name in wanted if name not in columns]:
        raise InputError(f"{path}: the column {missing[0]} is missing; fetch the official file again")
    if len(lines) - 2 != int(lines[0]):
        raise InputError(f"{path}: {len(lines) - 2} images, but its first line says {int(lines[0])}; fetch it again")
    index = [columns.index(name) for name in wanted]
    attributes = {}
    for number, line in enumerate(lines[2:], start=3):
        name, *values = line.split()
        if len(values) != len(columns) or not set(values) <= {"1", "-1"}:
            raise InputError(f"{path}, line {number}: not {len(columns)} values of 1 or -1; fetch the file again")
        attributes[name] = np.array([values[i] == "1" for i in index], dtype=np.float32)
    return attributes


def read_partition(path: Path) -> dict[str, int]:
    """Image name -> 0 (training), 1 (validation) or 2 (test). InputError: another number, or a line of another form."""
    partition = {}
    for number, line in enumerate(_lines(path), start=1):
        match = re.fullmatch(r"(\S+)\s+([012])", line.strip())
        if match is None:
            raise InputError(f"{path}, line {number}: {line!r} is no image name with 0, 1 or 2; fetch the file again")
        partition[match[1]] = int(match[2])
    return partition


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file; delete it and fetch it again") from None


class ImageFiles:
    """The photographs by file name, in a zip archive or a folder; the archive is never unpacked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.is_dir():
            self.names = {each.name: str(each) for each in path.iterdir()}
        else:
            try:
                with zipfile.ZipFile(path) as archive:
                    self.names = {Path(name).name: name for name in archive.namelist() if not name.endswith("/")}
            except zipfile.BadZipFile as error:
                raise InputError(f"{path}: not a whole zip archive ({error}); delete it and fetch it again") from None

    def blocks(self, names: Sequence[str], size: int) -> Iterator[np.ndarray]:
        """Images in the order of the names, uint8 (n, 3, size, size), some hundred at a time.

        InputError: an image is damaged; the line names it.
        """
        with ExitStack() as stack:
            archive = None if self.path.is_dir() else stack.enter_context(zipfile.ZipFile(self.path))
            for first in range(0, len(names), _BLOCK):
                yield np.stack([self._read(archive, name, size) for name in names[first : first + _BLOCK]])

    def _read(self, archive: zipfile.ZipFile | None, name: str, size: int) -> np.ndarray:
        where = self.names[name]
        try:
            content = archive.read(where) if archive else Path(where).read_bytes()
            with Image.open(io.BytesIO(content)) as image:
                square = resize_and_crop(image.convert("RGB"), size)
        except (OSError, SyntaxError, ValueError, zipfile.BadZipFile, Image.DecompressionBombError) as error:
            raise InputError(f"{self.path}: {name} cannot be read as an image ({error}); fetch it again") from None
        return np.asarray(square).transpose(2, 0, 1)


def resize_and_crop(image: Image.Image, size: int) -> Image.Image:
    """The shorter side to `size`, bilinear and antialiased, then the centre (size, size).

    The paper says "re-scaled" only; this is what the released code of its baseline MVAE and of its own authors' later
    models does. As torchvision's Resize and CenterCrop do it on images.
    """
    width, height = image.size
    shorter = min(width, height)
    scaled = (int(size * width / shorter), int(size * height / shorter))
    left, top = (round((length - size) / 2) for length in scaled)
    return image.resize(scaled, Image.Resampling.BILINEAR).crop((left, top, left + size, top + size))
