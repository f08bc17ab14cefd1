"""Matrices of real numbers and lists of strings from others' MATLAB files, levels 5 to 7.

scipy's reader follows what a file announces: cells within cells until the stack overflows, and any number of them. Here
a size is believed if its bytes are there, and nothing is nested. See MathWorks, "MAT-File Format", chapter 1.
"""

import math
import struct
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from shared.errors import damaged

LARGEST = 2**28  # bytes of a file, and of all that is unpacked from it: the features of CUB have 193 million
_HEADER, _ORDERS = 128, {b"IM": "<", b"MI": ">"}
_MATRIX, _COMPRESSED = 14, 15  # kinds of elements; the others are numbers or text
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXTS = {
    "<": {2: "ascii", 4: "utf-16-le", 16: "utf-8", 17: "utf-16-le"},
    ">": {2: "ascii", 4: "utf-16-be", 16: "utf-8", 17: "utf-16-be"},
}
_CELLS, _CHARACTERS, _NUMERIC, _COMPLEX = 1, 4, range(6, 16), 0x800  # classes of matrices, and a flag
_MOST_AXES = 8

_Elements = Iterator[tuple[int, memoryview]]


def read_variables(path: Path, names: Collection[str]) -> dict[str, np.ndarray | list[str]]:
    """Those of the named variables that there are: matrices of numbers, cells of strings (in MATLAB's order) as lists.

    InputError: the file is damaged or too large, or one of these variables holds anything else.
    """
    if (size := path.stat().st_size) > LARGEST:
        raise damaged(path, f"{size} bytes, more than the {LARGEST} that are read")
    content, found = memoryview(path.read_bytes()), {}
    order = _ORDERS.get(bytes(content[_HEADER - 2 : _HEADER]))
    if order is None:
        raise damaged(path, "no MATLAB file of level 5, which 5 to 7 write")
    try:
        for matrix in _matrices(content[_HEADER:], order):
            name, flags, shape, parts = _opened(matrix, order)
            if name in names:
                found[name] = _value(flags, shape, parts, order)
    except (ValueError, KeyError, struct.error, zlib.error) as error:
        raise damaged(path, f"no MATLAB file with matrices of numbers and lists of strings ({error})") from None
    return found


def _matrices(content: memoryview, order: str) -> Iterator[memoryview]:
    left = LARGEST
    for kind, part in _elements(content, order):
        if kind == _COMPRESSED:
            inflater = zlib.decompressobj()
            unpacked = inflater.decompress(part, left + 1)
            left -= len(unpacked)
            if left < 0 or not inflater.eof:
                raise ValueError(f"cut off, or more than {LARGEST} bytes")
            ((kind, part),) = _elements(memoryview(unpacked), order)
        if kind != _MATRIX:
            raise ValueError(f"an element of kind {kind}")
        yield part


def _elements(content: memoryview, order: str) -> _Elements:
    """(kind, content) of elements that follow each other, padded to eight bytes each unless they are compressed."""
    start = 0
    while start < len(content):
        kind, size = struct.unpack_from(f"{order}II", content, start)
        begin = start + 8
        if kind >> 16:  # up to four bytes, which are where the size would be
            kind, size, begin = kind & 0xFFFF, kind >> 16, start + 4
        part = content[begin : begin + size]
        if len(part) < size:
            raise ValueError(f"{size} bytes announced, {len(part)} there")
        yield kind, part
        start = begin + size + (0 if kind == _COMPRESSED else -(begin + size) % 8)


def _opened(matrix: memoryview, order: str) -> tuple[str, int, tuple[int, ...], _Elements]:
    """Name, flags and shape of a matrix, and the elements that it consists of."""
    parts = _elements(matrix, order)
    (_, flags), (_, shape), (_, name) = (next(parts, (0, memoryview(b""))) for _ in range(3))
    axes = len(shape) // 4
    if axes > _MOST_AXES:
        raise ValueError(f"{axes} axes")
    flags, _ = struct.unpack(f"{order}II", flags)
    return bytes(name).decode("ascii"), flags, struct.unpack(f"{order}{axes}i", shape), parts


def _value(flags: int, shape: tuple[int, ...], parts: _Elements, order: str) -> Any:
    if flags & 0xFF == _CELLS:
        strings = [_string(part, order) for _, part in parts]
        if len(strings) != math.prod(shape):
            raise ValueError(f"{len(strings)} strings in cells of shape {shape}")
        return strings
    ((kind, part),) = parts
    if flags & 0xFF not in _NUMERIC or flags & _COMPLEX or min(shape) < 0:
        raise ValueError(f"a variable of class {flags & 0xFF} and shape {shape}, or complex")
    return np.frombuffer(part, order + _NUMBERS[kind]).reshape(shape, order="F")


def _string(matrix: memoryview, order: str) -> str:
    _, flags, _, parts = _opened(matrix, order)
    ((kind, part),) = parts
    if flags & 0xFF != _CHARACTERS:
        raise ValueError(f"a cell of class {flags & 0xFF}")
    return bytes(part).decode(_TEXTS[order][kind])
