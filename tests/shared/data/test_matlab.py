"""MATLAB files as scipy and MATLAB write them, and as nobody should."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from shared.data.matlab import LARGEST, read_variables
from shared.errors import InputError
from tests.attacks import outcomes, watched

NAMES = ("features", "image_files")
READER = f"{__name__}:read"


def read(path: Path) -> dict[str, np.ndarray | list[str]]:
    return read_variables(path, NAMES)


def write(path: Path, content: dict[str, object], compressed: bool = False) -> Path:
    scipy.io.savemat(path, content, do_compression=compressed)
    return path


def cells(values: list[object]) -> np.ndarray:
    made = np.empty((len(values), 1), object)
    made[:, 0] = values
    return made


@pytest.mark.parametrize("compressed", [False, True])
def test_what_scipy_writes_is_read(tmp_path: Path, compressed: bool) -> None:
    features = np.random.default_rng(0).normal(size=(7, 5))
    strings = ["/elsewhere/jpg/image_00001.jpg", "a", "ab", "abc", "abcd", "abcde", "x" * 300]
    content = {"att": np.ones((3, 3)), "features": features, "image_files": cells(strings), "labels": cells([1, 2])}
    found = read(write(tmp_path / "a.mat", content, compressed))
    assert found.keys() == set(NAMES)
    np.testing.assert_array_equal(found["features"], features)
    assert found["image_files"] == strings


@pytest.mark.parametrize("kind", ["f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (2, 3, 2), (0, 3)])
def test_numbers_of_all_types_and_shapes_are_read(tmp_path: Path, kind: str, shape: tuple[int, ...]) -> None:
    features = np.arange(np.prod(shape), dtype=kind).reshape(shape)
    path = write(tmp_path / "a.mat", {"features": features})
    np.testing.assert_array_equal(read(path)["features"], scipy.io.loadmat(path)["features"])


def element(kind: int, content: bytes, order: str = "<") -> bytes:
    return struct.pack(f"{order}II", kind, len(content)) + content + bytes(-len(content) % 8)


def matrix(sort: int, shape: tuple[int, ...], name: bytes, content: bytes, order: str = "<") -> bytes:
    flags = element(6, struct.pack(f"{order}II", sort, 0), order)
    axes = element(5, struct.pack(f"{order}{len(shape)}i", *shape), order)
    return element(14, flags + axes + element(1, name, order) + content, order)


def file(content: bytes, order: str = "<") -> bytes:
    return (
        b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(f"{order}H", 0x100) + {"<": b"IM", ">": b"MI"}[order] + content
    )


@pytest.mark.parametrize("order", ["<", ">"])
def test_what_matlab_writes_is_read(tmp_path: Path, order: str) -> None:
    """Numbers in the smallest type that holds them, text in two bytes a letter, short elements in eight bytes."""
    numbers = struct.pack(f"{order}IBBBB", 4 << 16 | 2, 1, 2, 3, 4)
    name = "jpg/é鳥.jpg".encode("utf-16-le" if order == "<" else "utf-16-be")
    string = matrix(4, (1, 10), b"", element(4, name, order), order)
    content = matrix(6, (2, 2), b"features", numbers, order) + matrix(1, (1, 1), b"image_files", string, order)
    (tmp_path / "a.mat").write_bytes(file(content, order))
    found, expected = read(tmp_path / "a.mat"), scipy.io.loadmat(tmp_path / "a.mat")
    np.testing.assert_array_equal(found["features"], [[1, 3], [2, 4]])
    np.testing.assert_array_equal(found["features"], expected["features"])
    assert found["image_files"] == ["jpg/é鳥.jpg"]  # of which scipy makes two broken letters


@pytest.mark.parametrize(
    "value", ["text", {"a": 1}, cells([1.0]), cells([cells(["a"])]), np.ones(2, complex), scipy.sparse.eye(3).tocsc()]
)
def test_other_variables_are_refused_where_they_are_wanted(tmp_path: Path, value: object) -> None:
    content = {"other": value, "features": np.ones((2, 2))}
    assert read(write(tmp_path / "a.mat", content)).keys() == {"features"}
    with pytest.raises(InputError, match=r"\A[^\n]*a\.mat: no MATLAB file with matrices of numbers[^\n]*\Z"):
        read(write(tmp_path / "a.mat", {"features": value}))


def test_damage_is_one_line(tmp_path: Path) -> None:
    """Cut anywhere, there is a line, or variables are missing."""
    path = write(tmp_path / "a.mat", {"features": np.ones((2, 2)), "image_files": cells(["a", "b"])}, compressed=True)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        try:
            assert read(path).keys() < set(NAMES)
        except InputError as error:
            line = str(error)
            assert line.startswith(f"{path}: no MATLAB file")


def test_a_larger_file_than_anybody_has_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.mat").open("wb") as sparse:
        sparse.truncate(LARGEST + 1)
    with pytest.raises(InputError, match=r"a\.mat: 268435457 bytes, more than the 268435456 that are read"):
        read(tmp_path / "a.mat")


# --- attacks ---

FEATURES = matrix(6, (2, 1), b"features", element(9, bytes(16)))
CELL = struct.pack("<II", 14, 2**31 - 1) + element(6, struct.pack("<II", 1, 0)) + element(5, struct.pack("<2i", 1, 1))
NEST = (CELL + element(1, b"image_files") + (CELL + element(1, b"")) * 200_000).replace(
    struct.pack("<I", 2**31 - 1), struct.pack("<I", 48 * 200_000), 1
)


def bomb(size: int) -> bytes:
    """A matrix of zeros that is small in the file: the same few bytes, again and again, are 16 MiB each."""
    packer = zlib.compressobj()
    header = matrix(6, (2048, size // 16384), b"features", struct.pack("<II", 9, size))
    header = packer.compress(header[:4] + struct.pack("<I", len(header) - 8 + size) + header[8:])
    start = header + packer.flush(zlib.Z_FULL_FLUSH)
    zeros = packer.compress(bytes(2**24)) + packer.flush(zlib.Z_FULL_FLUSH)
    return element(15, start + zeros * (size // 2**24))


ATTACKS = {
    "many cells announced": FEATURES + matrix(1, (100 * 2**20, 1), b"image_files", b""),
    "more cells announced": FEATURES + matrix(1, (2**31 - 1, 2**31 - 1), b"image_files", b""),
    "a negative number of cells": FEATURES + matrix(1, (-1, 1), b"image_files", b""),
    "cells in cells in cells": FEATURES + NEST,
    "cells in cells in cells, compressed": FEATURES + element(15, zlib.compress(NEST)),
    "a variable in a variable": matrix(14, (1, 1), b"features", FEATURES),
    "numbers announced": matrix(6, (2**15, 2**15), b"features", struct.pack("<II", 9, 2**32 - 8) + b"ab"),
    "lengths announced": matrix(6, (2**31 - 1,) * 2, b"features", element(9, bytes(8))),
    "a negative length": matrix(6, (-1, -1), b"features", element(9, bytes(8))),
    "lengths to multiply": matrix(1, (2**31 - 1,) * 200_000, b"image_files", b""),
    "axes": matrix(6, (1,) * 100_000, b"features", element(9, bytes(8))),
    "no axes": matrix(6, (), b"features", element(9, bytes(8))),
    "sparse": matrix(5, (2**30, 2**30), b"features", element(5, b"") * 2 + element(9, b"")),
    "a structure": matrix(2, (2**30, 1), b"features", element(5, b" \0\0\0") + element(1, b"a".ljust(32))),
    "an object": matrix(3, (1, 1), b"features", element(1, b"os.system")),
    "a function": matrix(16, (1, 1), b"features", element(1, b"system")),
    "compressed in compressed": element(15, zlib.compress(element(15, zlib.compress(FEATURES)))),
    "nothing compressed": element(15, b""),
    "an unknown type": matrix(6, (2, 1), b"features", element(99, bytes(16))),
    "a bomb": bomb(2**31),
    "many bombs": bomb(2**27) * 400,
}  # fmt: skip
OLD = {
    "level 4": struct.pack("<5i", 0, 2**30, 2**30, 0, 9) + b"features\0",
    "a long name of level 4": struct.pack("<5i", 0, 1, 1, 0, 2**31 - 1) + b"features\0",
    "level 7.3": b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + bytes(384) + b"\x89HDF\r\n\x1a\n",
}


@pytest.mark.torture
def test_no_attack_gets_further_than_one_line(tmp_path: Path) -> None:
    attacks = OLD | {name: file(content) for name, content in ATTACKS.items()}
    found = outcomes(READER, attacks, tmp_path, memory=3 * LARGEST)
    assert found.keys() == attacks.keys()
    assert {name: each for name, each in found.items() if not each.startswith("InputError: ")} == {}


@pytest.mark.torture
def test_the_attacks_are_attacks(tmp_path: Path) -> None:
    """scipy falls to them."""
    names = ("cells in cells in cells", "many cells announced")
    found = outcomes(f"{__name__}:read_as_scipy_does", {name: file(ATTACKS[name]) for name in names}, tmp_path)
    assert found[names[0]].startswith("ended by -")
    assert found[names[1]].startswith("MemoryError")


def read_as_scipy_does(path: Path) -> object:
    return scipy.io.loadmat(path, variable_names=NAMES)


EXAMPLES = {"few": 500, "many": 3_000}
NUMBERS = st.sampled_from([0, 1, 2, 3, 4, 5, 6, 8, 9, 14, 15, 16, 48, 2**16 + 1, 2**31 - 1, 2**32 - 1])
EDITS = st.lists(st.tuples(st.integers(16, 150), NUMBERS), max_size=4)  # words of four bytes


def read_many(path: Path) -> None:
    """Damage in any word: a value, or an InputError."""
    if path.name not in EXAMPLES:
        return
    written = []
    for compressed in (False, True):
        buffer = io.BytesIO()
        content = {"features": np.arange(6.0).reshape(2, 3), "image_files": cells(["a", "bcd", "efghijkl"])}
        scipy.io.savemat(buffer, content, do_compression=compressed)
        written.append(buffer.getvalue())

    @seed(0)
    @settings(max_examples=EXAMPLES[path.name], database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(content=st.sampled_from(written), edits=EDITS, packed=st.booleans())
    def read_one(content: bytes, edits: list[tuple[int, int]], packed: bool) -> None:
        content = bytearray(content)
        for place, number in edits:
            struct.pack_into("<I", content, 4 * place % (len(content) - 4), number)
        if packed:
            content = content[:128] + element(15, zlib.compress(content[128:]))
        path.with_suffix(".mat").write_bytes(content)
        with watched():
            try:
                found = read(path.with_suffix(".mat"))
            except InputError:
                return
        assert all(isinstance(each, list) or each.nbytes <= len(content) for each in found.values())

    read_one()


read_many.watches = True


@pytest.mark.torture
@pytest.mark.parametrize("name", ["few", pytest.param("many", marks=pytest.mark.slow_torture)])
def test_random_damage_gives_a_value_or_one_line(tmp_path: Path, name: str) -> None:
    assert outcomes(f"{__name__}:read_many", {name: b""}, tmp_path, seconds=500) == {name: "value"}
