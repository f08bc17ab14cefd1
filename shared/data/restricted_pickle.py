"""Pickles that others made: numpy arrays and plain containers are read, anything else is refused.

A pickle is a program: unpickling one calls whatever functions it names. Here a name is looked up in a short
list of functions that only build arrays, and never imported.
"""

import codecs
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy._core.multiarray import _reconstruct, scalar
from numpy._core.numeric import _frombuffer

from shared.errors import InputError


def _dtype(type_code: str, align: Any = False, copy: Any = False) -> np.dtype:
    """As numpy.dtype: pickles of older versions give the two flags as integers, which it no longer likes."""
    return np.dtype(type_code, align=bool(align), copy=bool(copy))


def _encode(text: str, encoding: str) -> bytes:
    """As codecs.encode, for the one encoding with which Python 2 and protocol 2 write bytes."""
    if encoding != "latin1":
        raise ValueError(f"encoding {encoding!r}")
    return codecs.encode(text, encoding)


_NUMPY = {
    ("multiarray", "_reconstruct"): _reconstruct,
    ("multiarray", "scalar"): scalar,
    ("numeric", "_frombuffer"): _frombuffer,
}
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
    # numpy.core is where numpy 1 kept these, numpy._core where numpy 2 does
    **{(f"numpy.{core}.{module}", name): f for (module, name), f in _NUMPY.items() for core in ("core", "_core")},
    # types without an opcode of their own, under their Python 2 and Python 3 names
    **{
        (module, kind.__name__): kind
        for kind in (bytes, bytearray, complex, set, frozenset)
        for module in ("builtins", "__builtin__")
    },
}


class _RestrictedUnpickler(pickle.Unpickler):
    def __init__(self, path: Path, file: Any) -> None:
        super().__init__(file, encoding="latin1")
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise InputError(
                f"{self._path}: asks for {module}.{name}, which a pickle of arrays has no use for; "
                "the file is not what it claims to be, delete it and get the official one"
            ) from None


def load_arrays(path: Path) -> Any:
    """The content of a pickle made of numpy arrays, numbers, strings and builtin containers.

    Strings of Python 2 pickles are decoded as Latin-1, as their arrays require.
    InputError: the pickle names anything else, or is corrupt.
    """
    try:
        with path.open("rb") as file:
            return _RestrictedUnpickler(path, file).load()
    except (InputError, OSError, MemoryError):
        raise
    except Exception as error:  # a damaged pickle may raise nearly anything: its bytes are opcodes
        detail = f"{type(error).__name__}: {error}".splitlines()[0]
        raise InputError(f"{path}: corrupt pickle ({detail}); delete it and fetch it again") from None
