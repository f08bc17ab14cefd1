import base64
import errno
import io
import json
import os
import re
import stat
from pathlib import Path

import numpy as np
import pytest

from shared.errors import InputError, describe
from shared.files import atomic_path, link_or_copy, read_json, read_npz, sha256_of, write_json, write_npz, write_text
from tests.damage import damaged
from tests.repository import ROOT, other_pythons, run


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_with_its_folders(tmp_path):
    path = tmp_path / "a" / "b" / "table.csv"
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        assert temporary.parent == path.parent  # else the rename would be a copy
        assert temporary.suffix == ".csv"
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert names(path.parent) == ["table.csv"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, OSError])
def test_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "weights.pt"
    path.write_text("old")

    def write_half():
        with atomic_path(path) as temporary:
            temporary.write_text("new, half")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["weights.pt"]


def test_files_follow_the_umask(tmp_path):
    previous = os.umask(0o027)
    try:
        write_text(tmp_path / "shared.txt", "")
        assert stat.S_IMODE((tmp_path / "shared.txt").stat().st_mode) == 0o640
        assert os.umask(0o027) == 0o027  # the process keeps its own
    finally:
        os.umask(previous)


@pytest.mark.parametrize("function", ["mkstemp", "replace", "write"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_an_error_of_the_system_names_the_file_that_was_asked_for(tmp_path, monkeypatch, function, code):
    path = tmp_path / "metrics.json"
    path.write_text("old")

    def fail(*_, **__):
        temporary = str(tmp_path / ".metrics-x7f3.json") if function != "write" else None
        raise OSError(code, os.strerror(code), temporary)

    target = {"mkstemp": "tempfile.mkstemp", "replace": "pathlib.Path.replace", "write": "pathlib.Path.write_text"}
    monkeypatch.setattr(target[function], fail)
    with pytest.raises(OSError, match=r"metrics\.json") as caught:
        write_text(path, "new")
    monkeypatch.undo()
    assert caught.value.errno == code
    assert caught.value.filename == str(path)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["metrics.json"]


def test_an_error_about_another_file_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, atomic_path(tmp_path / "a.csv"):
        (tmp_path / "source.csv").read_text()
    assert caught.value.filename == str(tmp_path / "source.csv")


def test_a_copy_that_fails_names_the_copy(tmp_path, monkeypatch):
    def fail(source, target):
        raise OSError(errno.ENOSPC, "No space left on device", str(source), None, str(target))

    monkeypatch.setattr("os.link", lambda *_: (_ for _ in ()).throw(OSError("no links here")))
    monkeypatch.setattr("shutil.copyfile", fail)
    with pytest.raises(OSError, match="No space left") as caught:
        link_or_copy(tmp_path / "x1.npy", tmp_path / "out/x1.npy")
    assert describe(caught.value).startswith(f"{tmp_path}/out/x1.npy: the disk is full")


def test_a_librarys_own_error_keeps_its_message(tmp_path):
    def write():
        with atomic_path(tmp_path / "a.npy"):
            raise OSError("10000 requested and 96 written")  # as numpy's tofile has it, without a number

    with pytest.raises(OSError, match=r"\A10000 requested and 96 written\Z"):
        write()


def test_json_is_the_same_bytes_for_the_same_value(tmp_path):
    value = {"b": [1, 2.5, None], "a": "Kynkäänniemi"}
    write_json(tmp_path / "value.json", value)
    assert (
        tmp_path / "value.json"
    ).read_bytes() == '{\n "b": [\n  1,\n  2.5,\n  null\n ],\n "a": "Kynkäänniemi"\n}\n'.encode()
    assert read_json(tmp_path / "value.json") == value


def test_json_knows_no_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "value.json", {"fid": float("nan")})
    assert names(tmp_path) == []


def test_unreadable_json_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"\A[^\n]*none\.json: no such file[^\n]*\Z"):
        read_json(tmp_path / "none.json")
    (tmp_path / "half.json").write_text('{"a": ')
    with pytest.raises(InputError, match=r"\A[^\n]*half\.json: not valid JSON[^\n]*\Z"):
        read_json(tmp_path / "half.json")


def test_checksum_of_known_content(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-4's example
    assert sha256_of(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="nothing that fails to be read")
def test_a_disk_that_fails_is_named(tmp_path):
    (tmp_path / "x1_test.npy").symlink_to("/proc/self/mem")  # whose first byte is an input/output error
    with pytest.raises(OSError, match="Input/output error") as caught:
        sha256_of(tmp_path / "x1_test.npy")
    assert describe(caught.value).startswith(f"{tmp_path / 'x1_test.npy'}: the disk or the network folder fails")


# Archives of arrays

ARRAYS = {
    "images": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    "words": np.array(["ä", "bc"]),
    "scale": "demo",
    "stand_in": True,
    "values": np.array([1.5, -0.0]),
    "none": np.zeros((0, 3)),
}
RECORDED = "28074891aa95a935"


def test_arrays_come_back(tmp_path):
    write_npz(tmp_path / "a.npz", ARRAYS)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        for arrays in (dict(archive), read_npz(tmp_path / "a.npz")):
            assert arrays.keys() == ARRAYS.keys()
            for name, array in ARRAYS.items():
                np.testing.assert_array_equal(arrays[name], array)
                assert arrays[name].dtype == np.asarray(array).dtype
    assert names(tmp_path) == ["a.npz"]


def test_an_archive_is_the_recorded_bytes_in_any_order_and_at_any_time(tmp_path, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 2e9)
    write_npz(tmp_path / "a.npz", dict(reversed(ARRAYS.items())))
    assert sha256_of(tmp_path / "a.npz")[:16] == RECORDED


@pytest.mark.torture
def test_a_damaged_archive_is_one_line_or_says_what_it_said(tmp_path):
    path, lines = tmp_path / "a.npz", []
    write_npz(path, ARRAYS)
    for what, content in damaged(path.read_bytes(), 400):
        path.write_bytes(content)
        try:
            found = read_npz(path)
        except InputError as error:
            lines.append(str(error))
            continue
        assert found.keys() == ARRAYS.keys(), what
        for name, array in ARRAYS.items():
            assert found[name].dtype == np.asarray(array).dtype, what
            np.testing.assert_array_equal(found[name], array, what)
    assert len(lines) > 200
    assert all(
        re.fullmatch(rf"{path}: no archive of arrays \(.+\); delete it and evaluate again", line) for line in lines
    )


def test_an_archive_holds_no_objects(tmp_path):
    with pytest.raises(ValueError, match="Object arrays"):
        write_npz(tmp_path / "a.npz", {"a": np.array([{}])})
    assert names(tmp_path) == []


# Run by Pythons that have no library installed: the arrays are what numpy writes, the archive is what is looked at.
OTHER_PYTHON = """
import base64, json, sys, types
sys.modules["pydantic"] = types.SimpleNamespace(BaseModel=object, ValidationError=ValueError)
numpy = types.ModuleType("numpy")
numpy.asanyarray = lambda array: array
written = types.SimpleNamespace(write_array=lambda file, array, allow_pickle: file.write(base64.b64decode(array)))
numpy.lib = types.SimpleNamespace(format=written)
sys.modules["numpy"] = numpy
from shared.files import sha256_of, write_npz
write_npz(sys.argv[1], json.loads(sys.argv[2]))
print(sha256_of(sys.argv[1])[:16])
"""


def test_other_versions_of_python_write_the_same_archive(tmp_path):
    pythons = other_pythons()
    if not pythons:
        pytest.skip("no other Python on this machine")
    arrays = {}
    for name, array in ARRAYS.items():
        content = io.BytesIO()
        np.lib.format.write_array(content, np.asanyarray(array))
        arrays[name] = base64.b64encode(content.getvalue()).decode()
    for python in pythons.values():
        answer = run(ROOT, python, "-B", "-c", OTHER_PYTHON, tmp_path / "a.npz", json.dumps(arrays))
        assert answer.stdout == f"{RECORDED}\n", (python, answer.stderr)
