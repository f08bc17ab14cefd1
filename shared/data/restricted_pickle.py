"""Pickles that others made: an array, or a list of arrays or of strings, is read, and nothing else.

A pickle is a program, and unpickling runs it. Here the few opcodes that such pickles consist of are followed by hand:
what they name stands for itself, nothing is imported, nothing is called. An array is made by the package, of bytes in
the file, once its shape and its type agree with their number.

Memory is bounded by the file's size, whatever numbers the file holds: only bytes that are there are taken, each is
copied a few times at most, and a list or tuple has one place, so that none holds itself or doubles with every opcode.
"""

import codecs
import math
import pickle
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from shared.errors import damaged

LARGEST_FILE = 2**32  # bytes: 8,855 arrays (10, 1024) of float64 in protocol 0, up to four letters a byte
MOST_OPCODES = 2**20  # the same arrays need 360,000
_MOST_AXES = 8
_TYPES = ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
_ORDERS = ("<", ">", "|")
# Python 2 wrote these as bytes
_CODES = {written: code for code in (*_TYPES, *_ORDERS) for written in (code, code.encode())}

_Word = Enum("_Word", "NDARRAY DTYPE RECONSTRUCT SCALAR FROMBUFFER ENCODE BYTES")
_WORDS = {
    ("numpy", "ndarray"): _Word.NDARRAY,
    ("numpy", "dtype"): _Word.DTYPE,
    # numpy.core is where numpy 1 kept these, numpy._core where numpy 2 does
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _Word.RECONSTRUCT for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _Word.SCALAR for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _Word.FROMBUFFER for core in ("core", "_core")},
    # how Python 3 writes bytes in the protocols of Python 2
    ("_codecs", "encode"): _Word.ENCODE,
    ("__builtin__", "bytes"): _Word.BYTES,
}


class _RefusedError(Exception):
    """What is wrong with the pickle."""


@dataclass(eq=False)
class _Type:
    """A numeric type; its byte order follows."""

    code: str
    order: str = "="


@dataclass(eq=False)
class _Array:
    """An array; its content follows."""

    content: np.ndarray | None = None

    def fill(self, shape: tuple[Any, ...], of: _Type, content: bytes, order: str = "C") -> "_Array":
        dtype = np.dtype(of.order + of.code)
        if len(shape) > _MOST_AXES or not all(isinstance(each, int) and 0 <= each <= LARGEST_FILE for each in shape):
            raise _RefusedError("a shape of too many axes, or of what are no lengths")
        if math.prod(shape) * dtype.itemsize != len(content):
            raise _RefusedError(f"{len(content)} bytes for an array of shape {shape}")
        self.content = np.frombuffer(content, dtype).reshape(shape, order=order)
        return self


def load_arrays(path: Path) -> list[np.ndarray | str] | np.ndarray:
    """A pickled list of numeric arrays and strings, or one array; of Python 2 or 3, protocols 0 to 5, numpy 1 or 2.

    Bytes become text as Python 2 wrote names, in Latin-1. Arrays cannot be written to.
    InputError: the pickle holds or names anything else, is corrupt or too large.
    """
    if (size := path.stat().st_size) > LARGEST_FILE:
        raise damaged(path, f"{size} bytes, more than the {LARGEST_FILE} that are read")
    try:
        with path.open("rb") as file, warnings.catch_warnings(action="error", category=DeprecationWarning):
            return _Reader(file, size).read()
    except (_RefusedError, ValueError, IndexError, DeprecationWarning) as error:
        # no number, no text; an empty stack; an escape that means nothing
        raise damaged(path, f"corrupt pickle, or not one of arrays or strings ({str(error)[:150]})") from None


class _Reader:
    """The stack machine of pickles: opcodes push values, pop them, and keep some for later."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file = file
        self.left = size  # bytes that have not been read
        self.copies = 2 * size  # letters that may become bytes or text again: more would be the same ones
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def read(self) -> list[np.ndarray | str] | np.ndarray:
        for _ in range(MOST_OPCODES):
            opcode = self.taken(1)
            if opcode == pickle.STOP:
                return self.result(self.stack.pop())
            self.follow(opcode)
        raise _RefusedError(f"more than {MOST_OPCODES} opcodes")

    def follow(self, opcode: bytes) -> None:
        if opcode in _VALUES:
            self.stack.append(_VALUES[opcode](self))
            return
        match opcode:
            case pickle.PROTO:
                self.taken(1)
            case pickle.FRAME:
                self.taken(8)
            case pickle.MARK:
                self.marks.append(len(self.stack))
            case pickle.APPEND:
                self.extend(self.popped(1))
            case pickle.APPENDS:
                self.extend(self.popped_to_mark())
            case pickle.PUT:
                self.put(self.integer())
            case pickle.BINPUT:
                self.put(self.number(1))
            case pickle.LONG_BINPUT:
                self.put(self.number(4))
            case pickle.MEMOIZE:
                self.put(len(self.memo))
            case _:
                raise _RefusedError(f"opcode {opcode}")

    def taken(self, count: int) -> bytes:
        """The next ones; those that the file does not have are not even asked for."""
        if not 0 <= count <= self.left:
            raise _RefusedError(f"ends {count - self.left} bytes early")
        self.left -= count
        return self.file.read(count)

    def number(self, size: int, signed: bool = False) -> int:
        return int.from_bytes(self.taken(size), "little", signed=signed)

    def line(self) -> bytes:
        line = self.file.readline()
        self.left -= len(line)
        return line.removesuffix(b"\n")

    def integer(self) -> int:
        line = self.line().removesuffix(b"L")
        if len(line) > 20:
            raise _RefusedError("a number of more than 20 digits")
        return int(line)

    def popped(self, count: int) -> tuple[Any, ...]:
        return tuple(self.stack.pop() for _ in range(count))[::-1]

    def popped_to_mark(self) -> tuple[Any, ...]:
        mark = self.marks.pop()
        values = tuple(self.stack[mark:])
        del self.stack[mark:]
        return values

    def extend(self, values: tuple[Any, ...]) -> None:
        if not isinstance(self.stack[-1], list):
            raise _RefusedError("elements of no list")
        self.stack[-1].extend(_elements(values))

    def put(self, key: int) -> None:
        self.memo[key] = None if isinstance(self.stack[-1], list | tuple) else self.stack[-1]

    def got(self, key: int) -> Any:
        if self.memo.get(key) is None:
            raise _RefusedError("a list or tuple in two places, or what was not kept")
        return self.memo[key]

    def called(self, word: Any, arguments: Any) -> Any:
        """What a call that such pickles make would return."""
        match word, arguments:
            case _Word.DTYPE, (str() | bytes() as code, 0, 1) if _CODES.get(code) in _TYPES:
                return _Type(_CODES[code])
            case _Word.RECONSTRUCT, (_Word.NDARRAY, (0,), _):
                return _Array()
            case _Word.FROMBUFFER, (bytes() as content, _Type() as of, tuple() as shape, "C" | "F" as order):
                return _Array().fill(shape, of, content, order)
            case _Word.SCALAR, (_Type() as of, bytes() as content):
                return _Array().fill((), of, content)
            case _Word.BYTES, ():
                return b""
            case _Word.ENCODE, (str() as text, "latin1"):
                self.copy(len(text))
                return text.encode("latin-1")
        raise _RefusedError(f"calls {getattr(word, 'name', 'nothing')} as no array does")

    def result(self, value: Any) -> list[np.ndarray | str] | np.ndarray:
        if isinstance(value, list):
            return [self.element(each) for each in value]
        if not _content(value).ndim:
            raise _RefusedError("a single number")
        return _content(value)

    def element(self, value: Any) -> np.ndarray | str:
        if isinstance(value, bytes):
            self.copy(len(value))
            return value.decode("latin-1")
        return value if isinstance(value, str) else _content(value)

    def copy(self, count: int) -> None:
        self.copies -= count
        if self.copies < 0:
            raise _RefusedError("the same string many times")


# What an opcode pushes.
_VALUES: dict[bytes, Callable[[_Reader], Any]] = {
    pickle.NONE: lambda reader: None,
    pickle.NEWFALSE: lambda reader: False,
    pickle.NEWTRUE: lambda reader: True,
    pickle.INT: lambda reader: reader.integer(),
    pickle.LONG: lambda reader: reader.integer(),
    pickle.BININT1: lambda reader: reader.number(1),
    pickle.BININT2: lambda reader: reader.number(2),
    pickle.BININT: lambda reader: reader.number(4, signed=True),
    pickle.LONG1: lambda reader: reader.number(reader.number(1), signed=True),
    pickle.STRING: lambda reader: _unquoted(reader.line()),
    pickle.SHORT_BINSTRING: lambda reader: reader.taken(reader.number(1)),
    pickle.BINSTRING: lambda reader: reader.taken(reader.number(4)),
    pickle.SHORT_BINBYTES: lambda reader: reader.taken(reader.number(1)),
    pickle.BINBYTES: lambda reader: reader.taken(reader.number(4)),
    pickle.BINBYTES8: lambda reader: reader.taken(reader.number(8)),
    pickle.BYTEARRAY8: lambda reader: reader.taken(reader.number(8)),
    pickle.UNICODE: lambda reader: reader.line().decode("raw-unicode-escape"),
    pickle.SHORT_BINUNICODE: lambda reader: reader.taken(reader.number(1)).decode(),
    pickle.BINUNICODE: lambda reader: reader.taken(reader.number(4)).decode(),
    pickle.BINUNICODE8: lambda reader: reader.taken(reader.number(8)).decode(),
    pickle.EMPTY_TUPLE: lambda reader: (),
    pickle.TUPLE1: lambda reader: reader.popped(1),
    pickle.TUPLE2: lambda reader: reader.popped(2),
    pickle.TUPLE3: lambda reader: reader.popped(3),
    pickle.TUPLE: lambda reader: reader.popped_to_mark(),
    pickle.EMPTY_LIST: lambda reader: [],
    pickle.LIST: lambda reader: _elements(reader.popped_to_mark()),
    pickle.GET: lambda reader: reader.got(reader.integer()),
    pickle.BINGET: lambda reader: reader.got(reader.number(1)),
    pickle.LONG_BINGET: lambda reader: reader.got(reader.number(4)),
    pickle.GLOBAL: lambda reader: _word(reader.line().decode(), reader.line().decode()),
    pickle.STACK_GLOBAL: lambda reader: _word(*reader.popped(2)),
    pickle.REDUCE: lambda reader: reader.called(*reader.popped(2)),
    pickle.BUILD: lambda reader: _built(*reader.popped(2)),
}


def _word(module: Any, name: Any) -> _Word:
    if not isinstance(module, str) or not isinstance(name, str):
        raise _RefusedError("a name that is no string")
    if (module, name) not in _WORDS:
        raise _RefusedError(f"asks for {f'{module[:60]}.{name[:60]}'!r}")
    return _WORDS[module, name]


def _built(made: Any, state: Any) -> Any:
    """As __setstate__ does: what `made` lacked when it was called into being."""
    match made, state:
        case _Type(), (3, str() | bytes() as order, None, None, None, -1, -1, 0) if _CODES.get(order) in _ORDERS:
            made.order = _CODES[order]
        case _Array(), (1, tuple() as shape, _Type() as of, 0 | 1 as fortran, bytes() as content):
            made.fill(shape, of, content, "F" if fortran else "C")
        case _:
            raise _RefusedError("a state that no array or numeric type has")
    return made


def _elements(values: tuple[Any, ...]) -> list[Any]:
    if not all(isinstance(each, str | bytes | _Array) for each in values):
        raise _RefusedError("a list of other things than arrays and strings")
    return list(values)


def _content(value: Any) -> np.ndarray:
    if not isinstance(value, _Array) or value.content is None:
        raise _RefusedError("no list and no array")
    return value.content


def _unquoted(line: bytes) -> bytes:
    if len(line) < 2 or line[:1] not in (b"'", b'"') or line[-1:] != line[:1]:
        raise _RefusedError("a string without its quotes")
    return codecs.escape_decode(line[1:-1])[0]
