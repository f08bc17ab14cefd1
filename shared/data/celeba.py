"""CelebA: 202,599 aligned photographs of faces with attributes, in the official partition (MHVAE, 3.1.3).

Files of <data root>/celeba: the archive img_align_celeba.zip or the folder it was unpacked to, list_attr_celeba.txt and
list_eval_partition.txt. Images are read and written in small blocks, so that 200,000 of them need no memory.
"""

import io
import re
import zipfile
import zlib
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from shared.data import ledger
from shared.data.prepared import LARGEST_SIDE, SPLITS, DatasetSpec, Prepared, Rows, Whole
from shared.errors import InputError

DATASET = "celeba"
# The 18 that are visually distinctive (Perarnau et al., 2016), in the order of the official file.
ATTRIBUTES = (
    "Bald", "Bangs", "Black_Hair", "Blond_Hair", "Brown_Hair", "Bushy_Eyebrows", "Eyeglasses", "Gray_Hair",
    "Heavy_Makeup", "Male", "Mouth_Slightly_Open", "Mustache", "Pale_Skin", "Receding_Hairline", "Smiling",
    "Straight_Hair", "Wavy_Hair", "Wearing_Hat",
)  # fmt: skip
IMAGE_SIZE = 64
ALIGNED = (178, 218)  # width and height of the aligned photographs; those in the wild have the same file names
_ADVICE = "delete it and fetch it again"
_BLOCK = 256  # images in memory at a time
# What pillow raises for damaged images and zipfile for damaged, locked or oddly packed members.
_UNREADABLE = (
    OSError, SyntaxError, ValueError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile,
    Image.DecompressionBombError,
)  # fmt: skip


def load(spec: DatasetSpec, data_root: str | Path) -> Prepared:
    """Read and check the lists; the images follow when they are written.

    Option image_size: side of the images in pixels.

    InputError: a file is missing or damaged, the lists or the images do not belong together, or an attribute is not
    in the file.
    """
    options = spec.read(image_size=Whole(IMAGE_SIZE, most=LARGEST_SIDE))
    files = {key: ledger.require(data_root, DATASET, key) for key in ("images", "attributes", "partition")}
    names, attributes = read_attributes(files["attributes"], ATTRIBUTES)
    partition = read_partition(files["partition"])
    _require_all(files["attributes"], partition, set(names))
    _require_all(files["partition"], names, partition.keys())
    images = ImageFiles(files["images"])
    _require_all(files["images"], names, images.names.keys())
    part_of = np.array([partition[name] for name in names])
    splits = {}
    for number, split in enumerate(SPLITS):
        index = np.flatnonzero(part_of == number)
        if not len(index):
            raise InputError(f"{files['partition']}: no image is of part {number}, {split}; {_ADVICE}")
        of_split = [names[i] for i in index]
        splits[split] = {
            "x1": Rows(
                count=len(index),
                shape=(3, options.image_size, options.image_size),
                dtype=np.uint8,
                make=partial(images.blocks, of_split, options.image_size),
            ),
            "x2": attributes[index],
        }
    return Prepared(
        splits=splits,
        stand_in=False,
        description=f"CelebA, {len(ATTRIBUTES)} attributes",
        files=files,
        notes={"attributes": list(ATTRIBUTES)},
    )


def read_attributes(path: Path, wanted: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Image names in the order of list_attr_celeba.txt, and their wanted attributes, float32 (N, A) of 0 and 1.

    InputError: a wanted column is missing, an image is listed twice, or a line or the number of lines is not what the
    file's head says.
    """
    lines = _lines(path)
    head, columns = next(lines, (0, ""))[1], next(lines, (0, ""))[1].split()
    if not re.fullmatch(r"[0-9]{1,9}", head) or not columns:
        raise InputError(f"{path}: must begin with the number of images and a line of attributes; {_ADVICE}")
    if missing := [name for name in wanted if name not in columns]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(f"{path}: the column {missing[0]}{more} is missing; {_ADVICE}")
    index = [columns.index(name) for name in wanted]
    rows: dict[str, bytes] = {}
    for number, line in lines:
        name, *values = line.split()
        if len(values) != len(columns) or not set(values) <= {"1", "-1"}:
            raise InputError(f"{path}, line {number}: not {len(columns)} values of 1 or -1; {_ADVICE}")
        if name in rows:
            raise InputError(f"{path}, line {number}: {name} is listed twice; {_ADVICE}")
        rows[name] = bytes(values[i] == "1" for i in index)
    if len(rows) != int(head):
        raise InputError(f"{path}: lists {len(rows)} images, but its first line says {int(head)}; {_ADVICE}")
    flags = np.frombuffer(b"".join(rows.values()), np.uint8).reshape(len(rows), len(wanted))
    return list(rows), flags.astype(np.float32)


def read_partition(path: Path) -> dict[str, int]:
    """Image name -> 0 (training), 1 (validation) or 2 (test).

    InputError: another number, a line of another form, or an image is listed twice.
    """
    partition: dict[str, int] = {}
    for number, line in _lines(path):
        match = re.fullmatch(r"(\S+)\s+([012])", line)
        if match is None:
            raise InputError(f"{path}, line {number}: {line!r} is no image name with 0, 1 or 2; {_ADVICE}")
        if match[1] in partition:
            raise InputError(f"{path}, line {number}: {match[1]} is listed twice; {_ADVICE}")
        partition[match[1]] = int(match[2])
    return partition


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number and content of the lines that are not empty, one by one. InputError: this is no text."""
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if content := line.strip():
                    yield number, content
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file; {_ADVICE}") from None


def _require_all(path: Path, wanted: Iterable[str], known: Container[str]) -> None:
    """InputError: a file or folder lacks images that another one lists; the line names the first."""
    if missing := [name for name in wanted if name not in known]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(f"{path}: {missing[0]}{more} missing; {_ADVICE}")


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
                raise InputError(f"{path}: not a whole zip archive ({error}); {_ADVICE}") from None

    def blocks(self, names: Sequence[str], size: int) -> Iterator[np.ndarray]:
        """Images in the order of the names, uint8 (n, 3, size, size), at most _BLOCK of them at a time.

        InputError: an image is damaged, or is not an aligned one; the line names it.
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
                if image.size != ALIGNED:
                    raise InputError(
                        f"{self.path}: {name} is {image.width}x{image.height} pixels large, not "
                        f"{ALIGNED[0]}x{ALIGNED[1]}; use the aligned and cropped images (img_align_celeba)"
                    )
                square = resize_and_crop(image.convert("RGB"), size)
        except _UNREADABLE as error:
            raise InputError(f"{self.path}: {name} cannot be read as an image ({error}); replace it") from None
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
