"""Downloads against a server on this machine that breaks connections, lacks files and refuses ranges."""

import hashlib
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import gdown
import pytest

from shared.data import captioned_files, download, ledger
from shared.data.download import fetch
from shared.data.ledger import Checksum, Entry
from shared.errors import InputError
from tests.repository import ROOT, run
from tests.shared.test_errors import mounts

CONTENT = bytes(range(256)) * 2**14  # 4 MiB, of which gdown writes 0.5 at a time
SHA256 = Checksum("sha256", hashlib.sha256(CONTENT).hexdigest())


@dataclass
class Server:
    """A server of CONTENT at `url`; the first `cuts` connections end after `cut_after` bytes."""

    url: str = ""
    cuts: int = 0
    cut_after: int = 600_000
    resumes: bool = True
    ranges: list[str | None] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            if self.path != "/file":
                self.send_error(404)
                return
            asked = self.headers.get("Range")
            state.ranges.append(asked)
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and state.resumes else 0
            if start >= len(CONTENT):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body = CONTENT[start:]
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if state.cuts:
                state.cuts -= 1
                body = body[: state.cut_after]
            self.wfile.write(body)

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{http.server_port}/file"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    http.shutdown()
    http.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """gdown waits for some seconds before it tries again."""
    monkeypatch.setattr("random.uniform", lambda low, high: 0.0)


def entry_of(url: str, checksum: Checksum | None = SHA256, **fields: object) -> Entry:
    common = {"key": "online", "path": "set/online.bin", "purpose": "x", "licence": "MIT", "source": "somebody"}
    return Entry(**common | {"url": url, "checksum": checksum} | fields)


@pytest.mark.parametrize("checksum", [SHA256, Checksum("md5", hashlib.md5(CONTENT).hexdigest()), None])
def test_a_file_arrives_whole_and_shows_progress(
    server: Server, tmp_path: Path, checksum: Checksum | None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a" / "file"
    fetch(entry_of(server.url, checksum), path)
    assert path.read_bytes() == CONTENT
    assert [each.name for each in path.parent.iterdir()] == ["file"]
    assert "100%" in capsys.readouterr().err


def test_cut_connections_are_continued_where_they_broke(server: Server, tmp_path: Path) -> None:
    server.cuts = 2
    fetch(entry_of(server.url), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=524288-", "bytes=1048576-"]


def test_an_interrupted_download_continues_in_the_next_run(server: Server, tmp_path: Path) -> None:
    server.cuts = 1000
    with pytest.raises(InputError, match=r"\A[^\n]*incomplete: received 2621440 bytes[^\n]*; try again[^\n]*\Z"):
        fetch(entry_of(server.url), tmp_path / "file")
    assert not (tmp_path / "file").exists()
    server.cuts = 0
    fetch(entry_of(server.url), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.ranges[-1] == "bytes=2621440-"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_download_killed_before_it_was_verified_is_only_verified(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.unverified").write_bytes(CONTENT)
    fetch(entry_of(server.url), tmp_path / "file")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_what_a_server_cannot_continue_is_one_line_that_says_what_to_remove(server: Server, tmp_path: Path) -> None:
    server.resumes = False
    (tmp_path / "file.unverified12345678.part").write_bytes(b"half")
    with pytest.raises(InputError, match=r"\A[^\n]*; try again, if need be without file\.unverified\*[^\n]*\Z"):
        fetch(entry_of(server.url), tmp_path / "file")
    (tmp_path / "file.unverified12345678.part").unlink()
    fetch(entry_of(server.url), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("digest", ["0" * 64, "0" * 8])
def test_a_wrong_file_is_refused_and_removed(server: Server, tmp_path: Path, digest: str) -> None:
    with pytest.raises(InputError, match=r"not the official file \(sha256 [0-9a-f]{16}\.\.\. instead of 00000000"):
        fetch(entry_of(server.url, Checksum("sha256", digest)), tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_the_beginning_of_a_checksum_is_enough(server: Server, tmp_path: Path) -> None:
    fetch(entry_of(server.url, Checksum("sha256", SHA256.digest[:8])), tmp_path / "file")
    assert (tmp_path / "file").exists()


@pytest.mark.torture
@pytest.mark.parametrize("name", ["file.unverified", "file.unverified12345678.part"])
@pytest.mark.parametrize("kind", ["pipe", "link", "folder"])
def test_what_is_no_file_is_not_continued(server: Server, tmp_path: Path, name: str, kind: str) -> None:
    """A pipe would keep it waiting, and what is linked would be written to."""
    (tmp_path / "secret").write_bytes(b"secret")
    path = tmp_path / "data" / name
    path.parent.mkdir()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(tmp_path / "secret")
    else:
        path.mkdir()
    signal.alarm(300)  # ends the test if it hangs
    try:
        with pytest.raises(InputError, match=rf"\A[^\n]*{name}: in the way of a download; remove it\Z"):
            fetch(entry_of(server.url), tmp_path / "data" / "file")
    finally:
        signal.alarm(0)
    assert (tmp_path / "secret").read_bytes() == b"secret"
    assert server.ranges == []


def test_a_missing_page_is_one_clear_line(server: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\A404 [^\n]*/gone; try again[^\n]*or fetch it by hand\Z"):
        fetch(entry_of(server.url.replace("file", "gone")), tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/file", "http://no.such.host.invalid/file"])
def test_a_dead_address_is_one_clear_line(tmp_path: Path, url: str) -> None:
    with pytest.raises(InputError, match=r"\ADownload failed after 4 retries[^\n]*; try again[^\n]*by hand\Z"):
        fetch(entry_of(url), tmp_path / "file")


FULL = """
from pathlib import Path
from shared.data import download, ledger
from shared.errors import run_cli

url = {url!r}
entry = ledger.Entry(key="a", path="set/a", purpose="x", licence="y", source="z", url=url)
ledger._ledger = lambda: {{"set": (entry,)}}
run_cli(lambda: download.download("set", "out"))
"""


@pytest.mark.skipif(not mounts(), reason="no mounts in a name space of our own")
def test_a_full_disk_is_one_line(server: Server, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "fill.py").write_text(FULL.format(url=server.url))
    script = f"mount -t tmpfs -o size=64k none out && {sys.executable} fill.py"
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    result = run(tmp_path, "unshare", "-rm", "sh", "-c", script, PYTHONPATH=path)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("error: ")
    assert "the disk is full" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


class Drive:
    """Takes the place of gdown.download; `quota` is what Google Drive answers when too many have asked."""

    def __init__(self, quota: bool) -> None:
        self.quota, self.asked = quota, []

    def __call__(self, url: str | None, output: str, id: str | None, **options: object) -> None:
        self.asked.append((url, id))
        if self.quota:
            raise gdown.FileURLRetrievalError("Failed to retrieve file url:\n\n\tToo many users have viewed it.\n")
        Path(output).write_bytes(CONTENT)


@pytest.mark.parametrize("quota", [False, True])
def test_google_drive_is_asked_and_may_refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], quota: bool
) -> None:
    drive = Drive(quota)
    monkeypatch.setattr(gdown, "download", drive)
    entry = entry_of(None, gdrive="0B7x", by_hand="Get it in a browser.")
    monkeypatch.setattr(ledger, "_ledger", lambda: {"set": (entry,)})
    assert download.download("set", tmp_path) is not quota
    assert drive.asked == [(None, "0B7x")]
    assert (tmp_path / "set/online.bin").exists() is not quota
    out = capsys.readouterr().out
    if quota:
        assert re.search(r"^FAILED [^\n]*Too many users have viewed it[^\n]*$", out, re.M)
    assert ("Get it in a browser." in out) is quota


def test_a_local_file_wins_and_the_network_is_left_alone(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "_ledger", lambda: {"set": (entry_of(server.url),)})
    local = tmp_path / "set/online.bin"
    local.parent.mkdir()
    local.write_bytes(b"my own")
    assert not download.download("set", tmp_path)
    assert local.read_bytes() == b"my own"
    assert server.ranges == []


@pytest.fixture
def small_ledger(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two files: one to download, one to be fetched by hand."""
    manual = {"key": "manual", "path": "set/manual.bin", "purpose": "y", "alternatives": ("set/other*",)}
    entries = (entry_of(server.url), entry_of(None, None, by_hand="Ask the authors.", **manual))
    monkeypatch.setattr(ledger, "_ledger", lambda: {"set": entries})


@pytest.mark.usefixtures("small_ledger")
def test_the_command_fetches_verifies_and_says_what_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not download.download("set", tmp_path)
    out = capsys.readouterr().out
    for piece in ("fetched", "manual.bin: y", "Ask the authors.", str(tmp_path / "set/manual.bin"), "MIT"):
        assert piece in out

    (tmp_path / "set/other.tar").write_bytes(b"accepted")
    assert download.download("set", tmp_path)
    out = capsys.readouterr().out
    assert "sha256 matches" in out
    assert "accepted in place of manual.bin" in out


@pytest.mark.usefixtures("small_ledger")
def test_the_command_keeps_but_reports_a_local_file_with_another_checksum(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set/online.bin").write_bytes(b"my own")
    (tmp_path / "set/manual.bin").write_bytes(b"anything")
    monkeypatch.setattr("sys.argv", ["download", "--dataset", "set", "--data-root", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        download.main()
    assert "WRONG" in capsys.readouterr().out
    assert (tmp_path / "set/online.bin").read_bytes() == b"my own"


@pytest.mark.parametrize("wrong", ["empty", "folder", "alternative"])
@pytest.mark.usefixtures("small_ledger")
def test_the_command_reports_what_cannot_be_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: str
) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set/online.bin").write_bytes(CONTENT)
    if wrong == "empty":
        (tmp_path / "set/manual.bin").touch()
    elif wrong == "folder":
        (tmp_path / "set/manual.bin").mkdir()
    else:
        (tmp_path / "set/others").write_bytes(b"a file, where the archive's folder belongs")
    assert not download.download("set", tmp_path)
    out = capsys.readouterr().out
    assert "WRONG" in out
    assert {"empty": "an empty file, 0 bytes", "folder": "a folder, where", "alternative": "a file, where"}[
        wrong
    ] in out
    assert "Ask the authors." in out  # how to get the right one
    assert "required files missing or wrong" in out


def test_celebas_photographs_are_a_zip_archive_or_a_folder_of_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = ledger.entry("celeba", "images")
    folder = tmp_path / "celeba/img_align_celeba"
    folder.parent.mkdir()
    folder.touch()
    assert ledger.fault(tmp_path, entry, folder) == "a file, where a folder belongs"
    assert not download.download("celeba", tmp_path)
    assert f"WRONG    {folder}" in capsys.readouterr().out
    folder.unlink()
    folder.mkdir()
    assert ledger.fault(tmp_path, entry, folder) == "an empty folder"
    (folder / "000001.jpg").touch()
    assert ledger.fault(tmp_path, entry, folder) is None


def test_names_in_the_ledger_tell_files_from_folders() -> None:
    for entry in (entry for group in ledger.groups() for entry in ledger.entries(group)):
        assert Path(entry.path).suffix
    folders = {
        name
        for group in ledger.groups()
        for entry in ledger.entries(group)
        for name in entry.alternatives
        if not Path(name).suffix
    }
    flowers, birds = {"jpg", "cvpr2016_flowers"}, {"CUB_200_2011/images", "cvpr2016_cub"}
    of_captioned = {f"oxford_flower/{name}" for name in flowers} | {f"cub/{name}" for name in birds}
    assert folders == of_captioned | {"celeba/img_align_celeba"}


@pytest.mark.usefixtures("small_ledger")
def test_a_file_is_verified_before_anybody_gets_it(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    path = tmp_path / "set/online.bin"
    path.write_bytes(CONTENT)
    assert ledger.require(tmp_path, "set", "online") == path
    path.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(
        InputError, match=r"online\.bin: not the official file, sha256 [^\n]*; delete it and fetch [^\n]*run"
    ):
        ledger.require(tmp_path, "set", "online")


def test_the_ledger_is_complete_and_its_paths_stay_inside_their_folder() -> None:
    lengths = {"sha256": 64, "md5": 32}
    for group in ledger.groups():
        entries = ledger.entries(group)
        assert len({entry.path for entry in entries}) == len(entries)
        for entry in entries:
            assert entry.path.startswith(f"{group}/")
            assert all(each.startswith(f"{group}/") for each in entry.alternatives)
            assert entry.url or entry.by_hand, (
                "what Google Drive may refuse, and what has no address, needs instructions"
            )
            assert entry.licence
            assert entry.source
            if entry.url:
                assert entry.url.startswith("https://")
                assert entry.checksum is not None, "what comes over the network must be verified"
            if entry.checksum and "pretrained" not in entry.path:
                assert len(entry.checksum.digest) == lengths[entry.checksum.algorithm]


@pytest.mark.parametrize(
    ("group", "key"),
    [
        ("celeba", "attributes"),
        ("celeba", "partition"),
        ("oxford_flower", "labels"),
        *((group, entry.key) for group in ("mnist", "fashion_mnist") for entry in ledger.entries(group)),
    ],
)
def test_what_libraries_read_as_it_is_has_a_checksum_and_no_alternative(tmp_path: Path, group: str, key: str) -> None:
    """gzip, pandas and scipy take the memory that such a file announces."""
    entry = ledger.entry(group, key)
    path = tmp_path / entry.path
    path.parent.mkdir()
    path.with_name(f"{path.stem}_of_mine{path.suffix}").write_bytes(b"anything")
    with pytest.raises(InputError, match=rf"{path.name}: missing"):
        ledger.require(tmp_path, group, key)
    path.write_bytes(b"anything")
    with pytest.raises(InputError, match=rf"{path.name}: not the official file"):
        ledger.require(tmp_path, group, key)


def test_present_files_prefers_the_official_name(tmp_path: Path) -> None:
    folder = tmp_path / "oxford_flower"
    (folder / "jpg").mkdir(parents=True)
    assert ledger.present_files(tmp_path, "oxford_flower") == [folder / "jpg"]
    (folder / "102flowers_64.tar").touch()
    assert ledger.present_files(tmp_path, "oxford_flower") == [folder / "102flowers_64.tar"]
    (folder / "102flowers.tgz").touch()
    assert ledger.present_files(tmp_path, "oxford_flower") == [folder / "102flowers.tgz"]


def test_a_missing_file_is_known_without_reading_any(tmp_path: Path) -> None:
    folder, data = tmp_path / "oxford_flower", {"caption_features": "trained", "image_features": "trained"}
    folder.mkdir()
    (folder / "102flowers.tgz").touch()
    (folder / "cvpr2016_flowers").mkdir()
    with pytest.raises(InputError, match=r"\A\S+imagelabels\.mat: missing; run `[^\n]+`\Z"):
        ledger.check_present(tmp_path, "oxford_flower", data)
    (folder / "imagelabels.mat").touch()
    ledger.check_present(tmp_path, "oxford_flower", data)
    for option, file in ({"caption_features": "char_cnn_rnn"}, "train"), ({"image_features": "res101"}, "res101"):
        with pytest.raises(InputError, match=rf"oxford_flower/{file}[^\n]+: missing; Download [^\n]+ belongs in \S+\Z"):
            ledger.check_present(tmp_path, "oxford_flower", data | option)


def test_every_optional_file_has_an_option_that_needs_it() -> None:
    captioned_files.Options(caption_features="char_cnn_rnn", image_features="res101")
    assert set(ledger.FEATURES["char_cnn_rnn"]) == set(captioned_files._EMBEDDING_KEYS)
    for group in ledger.groups():
        optional = {entry.key for entry in ledger.entries(group) if not entry.required}
        assert optional in (set(), {key for keys in ledger.FEATURES.values() for key in keys})


def test_pipes_and_links_to_themselves_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "mnist").mkdir()
    os.mkfifo(tmp_path / "mnist/train-images-idx3-ubyte.gz")
    (tmp_path / "mnist/train-labels-idx1-ubyte.gz").symlink_to("train-labels-idx1-ubyte.gz")
    assert ledger.present_files(tmp_path, "mnist") == []
    with pytest.raises(InputError, match=r"train-images-idx3-ubyte\.gz: no regular file; delete it"):
        ledger.require(tmp_path, "mnist", "train_images")
    with pytest.raises(InputError, match=r"train-labels-idx1-ubyte\.gz: missing"):
        ledger.require(tmp_path, "mnist", "train_labels")


@pytest.mark.parametrize(
    ("key", "path", "expected"),
    [
        ("images", "102flowers.tgz", True),
        ("images", "jpg", False),
        ("captions", "cvpr2016_flowers.tar.gz", True),  # no checksum is known
        ("captions", "cvpr2016_flowers", False),  # so nobody can tell what was changed after unpacking
        ("captions", "cvpr2016_flowers.tgz", False),
        ("image_features", "cvpr18xian/data/FLO/res101.mat", True),  # the file itself, where its archive has it
        ("embeddings_test", "flowers/test/char-CNN-RNN-embeddings.pickle", True),
    ],
)
def test_data_are_official_where_no_other_file_takes_the_place_of_one(
    tmp_path: Path, key: str, path: str, expected: bool
) -> None:
    folder = tmp_path / "oxford_flower"
    files = {"labels": folder / "imagelabels.mat", key: folder / path}
    assert ledger.official(tmp_path, "oxford_flower", files) is expected


def test_a_folder_has_a_checksum_of_names_and_contents(tmp_path: Path) -> None:
    for folder, name, content in (("a", "x", b"1"), ("b", "x", b"1"), ("c", "y", b"1"), ("d", "x", b"2")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(content)
    a, b, c, d = (ledger.fingerprint(tmp_path / folder) for folder in "abcd")
    assert a | {"file": "b"} == b
    assert a["bytes"] == 1
    assert len({each["sha256"] for each in (a, c, d)}) == 3


@pytest.mark.torture
def test_what_leaves_a_folder_is_not_of_it(tmp_path: Path) -> None:
    """Nobody reads pipes and links that lead elsewhere; the checksum does neither wait for them nor follow them."""
    for folder, content in (("data", b"1"), ("elsewhere", b"2")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x").write_bytes(content)
    expected = ledger.fingerprint(tmp_path / "data")
    os.mkfifo(tmp_path / "data" / "pipe")
    (tmp_path / "data" / "file").symlink_to(tmp_path / "elsewhere" / "x")
    (tmp_path / "data" / "folder").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "back").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "itself").symlink_to("itself")
    (tmp_path / "data" / "zero").symlink_to("/dev/zero")
    signal.alarm(300)  # ends the test if it hangs
    try:
        assert ledger.fingerprint(tmp_path / "data") == expected
    finally:
        signal.alarm(0)
    (tmp_path / "data" / "y").symlink_to("x")
    assert ledger.fingerprint(tmp_path / "data")["bytes"] == 2
