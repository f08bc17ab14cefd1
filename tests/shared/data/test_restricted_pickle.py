"""Arrays come out as they went in, old or new; nothing is ever called."""

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.data.restricted_pickle import load_arrays
from shared.errors import InputError

# pickle.dumps([numpy.array([[1.5, -2.25]], 'f4'), 'jpg/image_00001'], 2) as Python 2 and numpy 1 write it:
# numpy.core, and strings of bytes without an encoding.
PYTHON_2 = (
    b"\x80\x02]q\x00(cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87Rq\x03"
    b"(K\x01K\x01K\x02\x86cnumpy\ndtype\nq\x04U\x02f4K\x00K\x01\x87Rq\x05(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff"
    b"\xffK\x00tb\x89U\x08\x00\x00\xc0\x3f\x00\x00\x10\xc0tbU\x0fjpg/image_00001e."
)


def write(path: Path, content: Any, protocol: int = 5) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


class CallsSystem:
    def __reduce__(self) -> tuple:
        return os.system, ("touch hacked",)


class CallsEval:
    def __reduce__(self) -> tuple:
        return eval, ("1 + 1",)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_arrays_scalars_and_containers_survive(tmp_path: Path, protocol: int) -> None:
    content = {
        "list": [np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((2, 0)), np.asfortranarray(np.eye(3))],
        "scalar": np.float64(2.5),
        "plain": (1, "é", b"\xff", None, {3}, frozenset({4}), 1j),
        "objects": np.array([np.zeros(2), "x"], dtype=object),
    }
    read = load_arrays(write(tmp_path / "a.pickle", content, protocol))
    for one, other in zip(read["list"], content["list"], strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    assert read["scalar"] == 2.5
    assert read["plain"] == content["plain"]
    assert read["objects"][1] == "x"


def test_a_pickle_of_python_2_is_read(tmp_path: Path) -> None:
    path = tmp_path / "old.pickle"
    path.write_bytes(PYTHON_2)
    array, name = load_arrays(path)
    np.testing.assert_array_equal(array, np.array([[1.5, -2.25]], dtype=np.float32))
    assert name == "jpg/image_00001"


@pytest.mark.parametrize(
    ("content", "forbidden"),
    [
        (CallsSystem(), "posix.system"),
        (CallsEval(), "builtins.eval"),
        ([1, {"deep": CallsSystem()}], "posix.system"),
        (OrderedDict(), "collections.OrderedDict"),
        (np.random.default_rng(0), "numpy.random"),
    ],
)
def test_anything_else_is_refused_by_name(
    tmp_path: Path, content: Any, forbidden: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "evil.pickle", content)
    with pytest.raises(InputError, match=rf"evil.pickle: asks for {forbidden}") as caught:
        load_arrays(path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "hacked").exists()


def test_codecs_cannot_be_used_to_run_other_encodings(tmp_path: Path) -> None:
    path = tmp_path / "codec.pickle"
    path.write_bytes(b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.")
    with pytest.raises(InputError, match=r"codec\.pickle: corrupt pickle"):
        load_arrays(path)


@pytest.mark.parametrize("content", [b"", b"no pickle", PYTHON_2[:60], PYTHON_2[:-3]])
def test_damage_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.pickle"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.pickle: corrupt pickle .* fetch it again"):
        load_arrays(path)
