import errno
import os
import shutil
import subprocess
import sys

import pytest

from shared.errors import InputError, damaged, describe, run_cli
from tests.repository import ROOT, run

WRITE = """
import sys
import numpy as np
from shared.errors import run_cli
from shared.files import write_npz, write_text

def text():
    write_text("out/table.csv", 200_000 * "x")

def archive():
    write_npz("out/samples.npz", {"a": np.zeros(100_000), "b": np.zeros(10)})

run_cli({"text": text, "archive": archive}[sys.argv[1]])
"""


def outcome(error, capsys):
    """Exit status and standard error of a command line that ends in an error."""

    def main():
        raise error

    with pytest.raises(SystemExit) as caught:
        run_cli(main)
    return caught.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    "error", [InputError("table.csv: wrong; mend it"), InputError("weights.pt: no such file; train first")]
)
def test_a_mendable_error_is_one_line(error, capsys):
    assert outcome(error, capsys) == (2, f"error: {error}\n")


def test_a_name_with_a_line_break_leaves_the_message_in_one_line(capsys):
    error = damaged("a.tar", "member 'x\ny' is a link")
    assert outcome(error, capsys) == (2, "error: a.tar: member 'x y' is a link; delete it and fetch it again\n")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EFBIG, "ulimit -f"),
        (errno.EIO, "the disk or the network folder fails"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission denied"),
        (errno.EPERM, "does not allow"),
        (errno.ENOTDIR, "is a file, not a folder"),
        (errno.ELOOP, "leads back to itself"),
    ],
)
def test_a_mendable_error_of_the_system_is_one_line_with_its_file(code, words, capsys):
    status, text = outcome(OSError(code, os.strerror(code), "results/table.csv"), capsys)
    assert status == 2
    assert text.startswith("error: results/table.csv: ")
    assert words in text
    assert text.count("\n") == 1


def test_an_error_of_the_system_may_have_no_file():
    assert describe(OSError(errno.ENOSPC, "No space left on device")).startswith("writing a file: the disk is full")


@pytest.mark.parametrize("error", [KeyError("x"), ZeroDivisionError(), OSError(errno.EBADF, "Bad file descriptor")])
def test_a_defect_keeps_its_traceback(error):
    assert describe(error) is None

    def main():
        raise error

    with pytest.raises(type(error)):
        run_cli(main)


def test_a_finished_command_says_nothing(capsys):
    run_cli(lambda: None)
    assert capsys.readouterr().err == ""


# What truly happens, beside what the system is said to answer.


def mounts():
    """Whether this process may mount a small file system that nobody else sees."""
    if shutil.which("unshare") is None:
        return False
    return (
        subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode == 0
    )


@pytest.mark.skipif(not mounts(), reason="no mounts in a name space of our own")
@pytest.mark.parametrize("what", ["text", "archive"])
@pytest.mark.parametrize(
    ("options", "words"), [("size=64k", "the disk is full"), ("ro", "the file system is read-only")]
)
def test_a_disk_that_is_full_or_read_only(tmp_path, what, options, words):
    (tmp_path / "out").mkdir()
    (tmp_path / "write.py").write_text(WRITE)
    script = (
        f"mount -t tmpfs -o {options} none out && {sys.executable} write.py {what}; status=$?; ls -A out; exit $status"
    )
    result = run(tmp_path, "unshare", "-rm", "sh", "-c", script, PYTHONPATH=f"{ROOT}")
    assert (result.returncode, result.stdout) == (2, "")  # no file is left half written
    assert result.stderr.startswith("error: out/")
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("place", ["Snakefile", "Snakefile/below"])
def test_a_folder_in_the_place_of_a_file(place, tmp_path):
    (tmp_path / "Snakefile").touch()
    (tmp_path / "write.py").write_text(WRITE.replace('"out/', f'"{place}/'))
    result = run(tmp_path, sys.executable, "write.py", "text", PYTHONPATH=f"{ROOT}")
    assert result.returncode == 2
    assert result.stderr.startswith("error: Snakefile")
    assert result.stderr.count("\n") == 1
