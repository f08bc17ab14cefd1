"""Arrays come out as they went in, old or new; nothing is ever called, and no number in a file is believed."""

import os
import pickle
import struct
import tracemalloc
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from shared.data import restricted_pickle
from shared.data.restricted_pickle import load_arrays
from shared.errors import InputError
from tests.attacks import outcomes, watched

# [a, b, a, "jpg/\xe9'1"] with a = array([[1.5, -2.25]], "<f4") and b = asfortranarray(array([[1, 2], [3, 4]], ">f4")),
# as cPickle of Python 2.7 and numpy 1.16 write it in each protocol.
PYTHON_2 = (
    rb"""(lp1
cnumpy.core.multiarray
_reconstruct
p2
(cnumpy
ndarray
p3
(I0
tS'b'
tRp4
(I1
(I1
I2
tcnumpy
dtype
p5
(S'f4'
I0
I1
tRp6
(I3
S'<'
NNNI-1
I-1
I0
tbI00
S'\x00\x00\xc0?\x00\x00\x10\xc0'
tbag2
(g3
(I0
tS'b'
tRp7
(I1
(I2
I2
tg5
(S'f4'
I0
I1
tRp8
(I3
S'>'
NNNI-1
I-1
I0
tbI01
S'?\x80\x00\x00@@\x00\x00@\x00\x00\x00@\x80\x00\x00'
tbag4
aS"jpg/\xe9'1"
p9
a.""",
    b"]q\x01(cnumpy.core.multiarray\n_reconstruct\nq\x02(cnumpy\nndarray\nq\x03(K\x00tU\x01btRq\x04(K\x01(K\x01K\x02t"
    b"cnumpy\ndtype\nq\x05(U\x02f4K\x00K\x01tRq\x06(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbI00\n"
    b"U\x08\x00\x00\xc0?\x00\x00\x10\xc0tbh\x02(h\x03(K\x00tU\x01btRq\x07(K\x01(K\x02K\x02th\x05(U\x02f4K\x00K\x01tR"
    b"q\x08(K\x03U\x01>NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbI01\n"
    b"U\x10?\x80\x00\x00@@\x00\x00@\x00\x00\x00@\x80\x00\x00tbh\x04U\x07jpg/\xe9'1q\te.",
    b"\x80\x02]q\x01(cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85U\x01b\x87Rq\x04"
    b"(K\x01K\x01K\x02\x86cnumpy\ndtype\nq\x05U\x02f4K\x00K\x01\x87Rq\x06(K\x03U\x01<NNNJ\xff\xff\xff\xff"
    b"J\xff\xff\xff\xffK\x00tb\x89U\x08\x00\x00\xc0?\x00\x00\x10\xc0tbh\x02h\x03K\x00\x85U\x01b\x87Rq\x07"
    b"(K\x01K\x02K\x02\x86h\x05U\x02f4K\x00K\x01\x87Rq\x08(K\x03U\x01>NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x88"
    b"U\x10?\x80\x00\x00@@\x00\x00@\x00\x00\x00@\x80\x00\x00tbh\x04U\x07jpg/\xe9'1q\te.",
)
BUILTINS = "(builtins|__builtin__)"
READER = "shared.data.restricted_pickle:load_arrays"


def write(path: Path, content: Any, protocol: int = 5) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


def of_numpy_1(content: bytes) -> bytes:
    """As numpy 1 would have called its modules; names are lines, or have a length before them."""
    for name in (b"numpy._core.multiarray", b"numpy._core.numeric"):
        old = name.replace(b"_core", b"core")
        content = content.replace(b"\x8c" + bytes([len(name)]) + name, b"\x8c" + bytes([len(old)]) + old)
    return content.replace(b"cnumpy._core", b"cnumpy.core")


@pytest.mark.parametrize("numpy_version", [1, 2])
@pytest.mark.parametrize("protocol", range(6))
def test_arrays_and_names_survive(tmp_path: Path, protocol: int, numpy_version: int) -> None:
    one = np.arange(6, dtype=np.float32).reshape(2, 3)
    content = [
        one,
        np.ones((2, 0)),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(5, dtype=">f8"),
        np.arange(24, dtype=np.int16).reshape(2, 3, 4)[:, ::2],
        np.array(2.5, np.float16),
        np.float32(2.5),
        one,
        "é\n'\"\\ 鳥",
        b"\xe9",
        b"",
    ]
    written = pickle.dumps(content, protocol)
    if numpy_version == 1:
        assert of_numpy_1(written) != written
        written = of_numpy_1(written)
    (tmp_path / "a.pickle").write_bytes(written)
    read = load_arrays(tmp_path / "a.pickle")
    assert len(read) == len(content)
    for found, expected in zip(read[:8], content[:8], strict=True):
        np.testing.assert_array_equal(found, expected, strict=True)
    assert read[8:] == ["é\n'\"\\ 鳥", "é", ""]


@pytest.mark.parametrize("protocol", range(6))
def test_a_single_array_is_read(tmp_path: Path, protocol: int) -> None:
    array = np.random.default_rng(0).normal(size=(3, 10, 7)).astype(np.float32)
    np.testing.assert_array_equal(load_arrays(write(tmp_path / "a.pickle", array, protocol)), array)


def test_strings_and_arrays_of_all_lengths_survive(tmp_path: Path) -> None:
    """Opcodes differ with the length of what they hold."""
    content = [np.zeros(3), "a" * 255, "a" * 256, "a" * 70_000, *(np.arange(n, dtype="u1") for n in (255, 256, 70_000))]
    for protocol in range(6):
        read = load_arrays(write(tmp_path / "a.pickle", content, protocol))
        assert read[1:4] == content[1:4]
        for found, expected in zip(read[4:], content[4:], strict=True):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("protocol", range(3))
def test_pickles_of_python_2_are_read(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "old.pickle"
    path.write_bytes(PYTHON_2[protocol])
    a, b, again, name = load_arrays(path)
    np.testing.assert_array_equal(a, np.array([[1.5, -2.25]], np.float32), strict=True)
    np.testing.assert_array_equal(b, np.array([[1, 2], [3, 4]], ">f4"), strict=True)
    assert again is a
    assert name == "jpg/é'1"


@pytest.mark.parametrize("protocol", range(6))
def test_long_lists_of_names_are_read(tmp_path: Path, protocol: int) -> None:
    """What Python 3 writes as bytes is text, bytes and text again."""
    names = [f"001.Black_footed_Albatross/Black_footed_Albatross_{i:04d}_é" for i in range(5000)]
    for content in (names, [name.encode("latin-1") for name in names]):
        assert load_arrays(write(tmp_path / "a.pickle", content, protocol)) == names


def test_as_many_arrays_as_birds_are_read(tmp_path: Path) -> None:
    """Each with a type of its own, as those have that were made one by one."""
    content = [np.full((2, 3), i, np.dtype("f4").newbyteorder()) for i in range(8855)]
    assert len({id(each.dtype) for each in content}) == 8855
    read = load_arrays(write(tmp_path / "a.pickle", content, 0))
    assert [each[1, 2] for each in read] == list(range(8855))


# --- what is refused ---


class CallsSystem:
    def __reduce__(self) -> tuple:
        return os.system, ("touch hacked",)


class CallsEval:
    def __reduce__(self) -> tuple:
        return eval, ("1 + 1",)


@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize(
    ("content", "forbidden"),
    [
        (CallsSystem(), "posix.system"),
        (CallsEval(), rf"{BUILTINS}\.eval"),
        (["a", CallsSystem()], "posix.system"),
        (OrderedDict(), "collections.OrderedDict"),
        (np.random.default_rng(0), "numpy.random"),
        ([slice(3)], rf"{BUILTINS}\.slice"),
    ],
)
def test_anything_else_is_refused_by_name(
    tmp_path: Path, content: Any, forbidden: str, protocol: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "evil.pickle", content, protocol)
    with pytest.raises(InputError, match=rf"\A[^\n]*evil.pickle: [^\n]*asks for '{forbidden}[^\n]*\Z"):
        load_arrays(path)
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize(
    "content",
    [
        7,
        "birds",
        None,
        (),
        {"birds": 1},
        [7],
        [1.5],
        [["a"]],
        [("a",)],
        [[[1.0, 2.0], [3.0]]],
        [None],
        np.array(7),
        np.array(["a"]),
        np.array([np.zeros(2), "x"], dtype=object),
        np.zeros(2, "f4,i4"),
        np.zeros(2, "M8[s]"),
        np.zeros(2, bool),
        np.zeros(2, complex),
        np.zeros(2, np.longdouble),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_what_is_neither_a_list_of_arrays_or_strings_nor_an_array_is_refused(
    tmp_path: Path, content: object, protocol: int
) -> None:
    with pytest.raises(InputError, match=r"\A[^\n]*a\.pickle: corrupt pickle, or not one of arrays[^\n]*\Z"):
        load_arrays(write(tmp_path / "a.pickle", content, protocol))


@pytest.mark.parametrize("written", PYTHON_2)
def test_damage_is_one_clear_line(tmp_path: Path, written: bytes) -> None:
    """Cut anywhere."""
    path = tmp_path / "bad.pickle"
    for length in range(len(written)):
        path.write_bytes(written[:length])
        with pytest.raises(InputError, match=r"\A[^\n]*bad\.pickle: corrupt pickle[^\n]*fetch it again\Z"):
            load_arrays(path)


def test_a_larger_file_than_anybody_has_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.pickle").open("wb") as file:
        file.truncate(2**32 + 1)  # sparse: it takes no space
    with pytest.raises(InputError, match=r"a\.pickle: 4294967297 bytes, more than the 4294967296 that are read"):
        load_arrays(tmp_path / "a.pickle")


# --- attacks ---


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def number(value: int) -> bytes:
    content = value.to_bytes(9, "little", signed=True)
    return b"\x8a" + bytes([len(content)]) + content


def text(value: str) -> bytes:
    return b"U" + bytes([len(value)]) + value.encode()


def dtype(code: str, state: bytes | None = None) -> bytes:
    """A type, and what its __setstate__ is told."""
    told = b"K\3" + text("|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?" if state is None else state
    return named("numpy", "dtype") + text(code) + b"K\0K\1\x87R(" + told + b"tb"


def array(shape: bytes, kind: bytes, content: bytes, fortran: bytes = b"\x89") -> bytes:
    made = (
        named("numpy.core.multiarray", "_reconstruct") + named("numpy", "ndarray") + b"K\0\x85" + text("b") + b"\x87R"
    )
    return made + b"(K\1(" + shape + b"t" + kind + fortran + b"B" + struct.pack("<I", len(content)) + content + b"tb"


def plain(order: str = "<") -> bytes:
    return b"K\3" + text(order) + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0"


ADDRESS = struct.pack("<Q", 0x4141414141414141)  # of nothing
OBJECTS = [dtype("O8"), dtype("O"), dtype("f8", plain("O")), dtype("V8"), dtype("f8"), dtype("S8"), dtype("U2")]
DOUBLED = [b"(" + b"h%c" % i + b"h%c" % i + b"tq%c" % (i + 1) for i in range(40)]
GADGETS = {
    **{
        f"bytes as pointers, a set hashes what is there, {i}": b"\x80\x03"
        + named("builtins", "set")
        + named("numpy", "ndarray")
        + b"(K\1\x85"
        + kind
        + b"C\x08"
        + ADDRESS
        + b"tR\x85R."
        for i, kind in enumerate(OBJECTS)
    },
    **{f"bytes as pointers, {i}": array(b"K\1", kind, ADDRESS) + b"." for i, kind in enumerate(OBJECTS)},
    **{
        f"pointers from a buffer, {i}": named("numpy.core.numeric", "_frombuffer")
        + b"(C\x08"
        + ADDRESS
        + kind
        + b"K\1\x85X\1\0\0\0CtR."
        for i, kind in enumerate(OBJECTS)
    },
    **{
        f"a scalar that is a pointer, {i}": b"]"
        + named("numpy.core.multiarray", "scalar")
        + kind
        + b"C\x08"
        + ADDRESS
        + b"\x86Ra."
        for i, kind in enumerate(OBJECTS)
    },
    "a type that changes when the array is there": b"]"
    + named("numpy", "dtype")
    + text("f8")
    + b"K\0K\1\x87Rp0\n"
    + array(b"K\1", b"g0\n", ADDRESS)
    + b"ag0\n(K\3"
    + text("O")
    + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tba.",
    "a type with fields": dtype("f8", b"K\3" + text("|") + b"N)}K\x10K\x08K\x10") + b".",
    "more values than bytes": array(number(2**34), dtype("f8", plain()), ADDRESS) + b".",
    "fewer values than bytes": array(b"", dtype("f4", plain()), ADDRESS) + b".",
    "lengths whose product wraps around": array(number(2**32) * 2 + b"K\1", dtype("f8", plain()), b"") + b".",
    "a negative length": array(number(-1) * 2, dtype("f8", plain()), ADDRESS) + b".",
    "no values of many axes": array(b"K\0" * 5000, dtype("f8", plain()), b"") + b".",
    "lengths to multiply": array(number(2**32) * 200_000, dtype("f8", plain()), b"") + b".",
    "an array in a shape": array(array(b"", dtype("i1", plain()), b"1"), dtype("i1", plain()), b"1") + b".",
    "an array without content": b"]" + array(b"", dtype("i1", plain()), b"1")[:62] + b"a.",
    "a large bytearray": named("__builtin__", "bytearray") + number(2**34) + b"\x85R.",
    "large bytes": named("__builtin__", "bytes") + number(2**34) + b"\x85R.",
    "a large array": named("numpy", "ndarray") + number(2**34) + b"\x85" + text("i1") + b"\x86R.",
    "a large range": named("builtins", "range") + number(2**34) + b"\x85R.",
    "a list in itself": b"]q\0h\0a.",
    "a list in itself, through a tuple": b"]q\0(h\0ta.",
    "a list that doubles": b"]q\0" + b"".join(b"]q%c(h%ch%ce" % (i + 1, i, i) for i in range(60)) + b".",
    "a tuple that doubles": b")q\0" + b"".join(DOUBLED) + b".",
    "a tuple that doubles in a list": b"](K\1tq\0" + b"".join(DOUBLED) + b"a.",
    "the same bytes as many names": b"](C\xff" + b"a" * 255 + b"q\0" + b"h\0" * 200_000 + b"e.",
    "the same text made bytes many times": b"]("
    + b"X\xff\xff\0\0"
    + b"a" * 65535
    + b"q\0"
    + named("_codecs", "encode")
    + b"q\1"
    + b"h\1h\0X\6\0\0\0latin1\x86R" * 100_000
    + b"e.",
    "a list in a list in a list": b"]" * 300_000 + b"a" * 299_999 + b".",
    "a tuple in a tuple in a tuple": b"N" + b"\x85" * 300_000 + b".",
    "more opcodes than arrays have": b"]" + b"N" * 2**20 + b".",
    "marks": b"(" * 100_000 + b".",
    "a name that is a nest of tuples": b"N" + b"\x85" * 500_000 + text("f") + b"\x93.",
    "text of 2**40 bytes": b"\x8d" + struct.pack("<Q", 2**40) + b"a.",
    "bytes of 2**40 bytes": b"\x8e" + struct.pack("<Q", 2**40) + b"a.",
    "bytes of 2**64 - 1 bytes": b"\x8e" + struct.pack("<Q", 2**64 - 1) + b"a.",
    "a bytearray of 2**40 bytes": b"\x96" + struct.pack("<Q", 2**40) + b"a.",
    "text of 2**32 - 1 bytes": b"X" + struct.pack("<I", 2**32 - 1) + b"a.",
    "bytes of 2**32 - 1 bytes": b"B" + struct.pack("<I", 2**32 - 1) + b"a.",
    "a string of -1 bytes": b"T" + struct.pack("<i", -1) + b"a.",
    "a frame of 2**60 bytes": b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"N.",
    "an integer of 2**31 - 1 bytes": b"\x8b" + struct.pack("<i", 2**31 - 1) + b"a.",
    "an integer of five million digits": b"I" + b"9" * 5_000_000 + b"\n.",
    "no integer, but a long line": b"I" + b"\xff" * 20_000_000 + b"\n.",
    "a place in the memo": b"Nr\xff\xff\xff\x7f.",
    "another place in the memo": b"Np99999999999999999999999\n.",
    "an out-of-band buffer": b"\x97.",
    "a persistent name": b"Pabc\n.",
    "an extension": b"\x82\1.",
    "an instance": b"(S'touch hacked'\nios\nsystem\n.",
    "an object": b"(" + named("os", "system") + b"S'touch hacked'\no.",
    "a new object": named("os", "system") + b"(S'touch hacked'\nt\x81.",
    "codecs": named("_codecs", "encode") + b"X\1\0\0\0aX\5\0\0\0rot13\x86R.",
    "a codec that unpacks": named("_codecs", "encode") + b"X\1\0\0\0aX\4\0\0\0zlib\x86R.",
    "import by a dotted name": b"\x80\x04X\5\0\0\0numpyX\x1e\0\0\0core.multiarray.os.system.popen\x93.",
    "an import": named("this", "s") + b".",
    "a name of two lines": text("os\n\x1b[2J") + text("system") + b"\x93.",
    "state for a list": b"](K\1tb.",
    "too few values": b"R.",
    "appended to an array": array(b"K\1", dtype("i1", plain()), b"1") + b"K\1a.",
    "half an escape": b"]S'\\x'\na.",
    "no such escape": b"]S'\\d'\na.",
    "a surrogate": b"X\3\0\0\0\xed\xa0\x80.",
}


@pytest.mark.torture
def test_no_attack_gets_further_than_one_line(tmp_path: Path) -> None:
    found = outcomes(READER, GADGETS, tmp_path)
    assert found.keys() == GADGETS.keys()
    assert {name: each for name, each in found.items() if not each.startswith("InputError: ")} == {}
    assert not any("\x1b" in each for each in found.values())


@pytest.mark.torture
def test_the_attacks_are_attacks(tmp_path: Path) -> None:
    """Python's own reader falls to them, and the process that reads them tells."""
    expected = {
        "bytes as pointers, a set hashes what is there, 0": "ended by -",
        "a large bytearray": "MemoryError",
        "a list in itself": "value",
        "an instance": 'executed ["os.system',
    }
    files = {name: GADGETS[name] for name in expected}
    found = outcomes(f"{__name__}:load_as_python_does", files, tmp_path)
    assert {name: found[name][: len(each)] for name, each in expected.items()} == expected


class Trusting(pickle.Unpickler):
    """A list of names, each harmless by itself but the last."""

    def find_class(self, module: str, name: str) -> Any:
        return {"set": set, "bytearray": bytearray, "ndarray": np.ndarray, "dtype": np.dtype, "system": os.system}[name]


def load_as_python_does(path: Path) -> object:
    with path.open("rb") as file:
        return Trusting(file, encoding="latin1").load()


WRITTEN = [
    *PYTHON_2,
    *(pickle.dumps([np.arange(6.0).reshape(2, 3), np.float32(1), "a", b"b"], protocol) for protocol in range(6)),
]
FRAGMENTS = [
    *(bytes([opcode]) for opcode in range(256)),
    *(named(*each) for each in restricted_pickle._WORDS),
    *(named(*each) for each in [("os", "system"), ("builtins", "eval"), ("numpy", "load"), ("builtins", "set")]),
    *(dtype(code, plain(order)) for code in ("f4", "i8", "u1") for order in "<>|"),
    *OBJECTS,
    *(array(shape, dtype("u1", plain()), b"abcd") for shape in (b"K\4", b"K\2K\2", b"K\0", number(2**40))),
    *(b"q%c" % i for i in range(4)),
    *(b"h%c" % i for i in range(4)),
    *(text(each) for each in ("a", "<", "f4", "b", "os", "system")),
    *(b"X%c\0\0\0" % len(each) + each for each in (b"latin1", b"C", b"F", b"\xe9".decode("latin-1").encode())),
    number(2**62),
    b"C\x08" + ADDRESS,
    b"I00\n",
    b"S'a'\n",
    b"\x94",
]
EDITS = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 12), st.sampled_from(FRAGMENTS)), max_size=6)


@st.composite
def pickles(draw: st.DrawFn) -> bytes:
    """Opcodes in any order, or a pickle of arrays with pieces cut out and put in."""
    if draw(st.booleans()):
        return b"".join(draw(st.lists(st.sampled_from(FRAGMENTS), max_size=40))) + b"."
    content = draw(st.sampled_from(WRITTEN))
    for start, length, fragment in draw(EDITS):
        start %= len(content)
        content = content[:start] + fragment + content[start + length :]
    return content


EXAMPLES = {"few": 500, "many": 3_000}


def read_many(path: Path) -> None:
    """Whatever a pickle holds: a value of the promised kind and size, or an InputError."""
    if not path.is_file():
        return

    @seed(0)
    @settings(max_examples=EXAMPLES[path.name], database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(content=pickles())
    def read(content: bytes) -> None:
        target = path.with_suffix(".pickle")
        target.write_bytes(content)
        tracemalloc.start()
        try:
            with watched():
                value = load_arrays(target)
        except InputError:
            value = []
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 200_000 + 300 * len(content)
        for each in value if isinstance(value, list) else [value]:
            assert isinstance(each, str) or (each.dtype.kind in "iuf" and each.nbytes <= len(content))

    read()


read_many.watches = True


@pytest.mark.torture
@pytest.mark.parametrize("name", ["few", pytest.param("many", marks=pytest.mark.slow_torture)])
def test_random_opcodes_give_a_value_or_one_line(tmp_path: Path, name: str) -> None:
    found = outcomes(f"{__name__}:read_many", {name: b""}, tmp_path, 2**29, seconds=500)
    assert found == {name: "value"}
