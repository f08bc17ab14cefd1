"""Downloads against a server on this machine that breaks connections, lacks files and refuses ranges."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from shared.data import download, ledger
from shared.data.download import fetch
from shared.data.ledger import Checksum, Entry
from shared.errors import InputError

CONTENT = bytes(range(256)) * 1000
SHA256 = Checksum("sha256", hashlib.sha256(CONTENT).hexdigest())


@dataclass
class Server:
    """A server of CONTENT at `url`; the first `cuts` connections end after `cut_after` bytes."""

    url: str = ""
    cuts: int = 0
    cut_after: int = 100_000
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


@pytest.mark.parametrize("checksum", [SHA256, Checksum("md5", hashlib.md5(CONTENT).hexdigest()), None])
def test_a_file_arrives_whole_and_reports_progress(server: Server, tmp_path: Path, checksum: Checksum | None) -> None:
    seen: list[tuple[int, int | None]] = []
    path = fetch(server.url, tmp_path / "a" / "file", len(CONTENT), checksum, lambda *step: seen.append(step))
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [each.name for each in path.parent.iterdir()] == ["file"]


def test_cut_connections_are_continued_where_they_broke(server: Server, tmp_path: Path) -> None:
    server.cuts = 2
    assert fetch(server.url, tmp_path / "file", None, SHA256).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=100000-", "bytes=200000-"]


def test_an_interrupted_download_continues_in_the_next_run(server: Server, tmp_path: Path) -> None:
    server.cuts, server.cut_after = 1000, 10
    with pytest.raises(InputError, match="run the same command again"):
        fetch(server.url, tmp_path / "file", None, SHA256)
    assert not (tmp_path / "file").exists()
    server.cuts = 0
    assert fetch(server.url, tmp_path / "file", None, SHA256).read_bytes() == CONTENT
    assert server.ranges[-1] == "bytes=50-"


def test_a_download_killed_before_its_rename_is_only_verified(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT)
    assert fetch(server.url, tmp_path / "file", None, SHA256).read_bytes() == CONTENT


def test_a_remainder_longer_than_the_file_is_dropped(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT + b"more")
    assert fetch(server.url, tmp_path / "file", None, SHA256).read_bytes() == CONTENT


def test_a_server_that_cannot_resume_sends_everything_again(server: Server, tmp_path: Path) -> None:
    server.resumes = False
    (tmp_path / "file.part").write_bytes(b"half")
    assert fetch(server.url, tmp_path / "file", None, SHA256).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("size", "checksum", "message"),
    [
        (None, Checksum("sha256", "0" * 64), "sha256 .* instead of 0000"),
        (None, Checksum("sha256", "0" * 8), "instead of 00000000"),
        (len(CONTENT) + 1, None, "256000 bytes instead of 256001"),
    ],
)
def test_a_wrong_file_is_refused_and_removed(
    server: Server, tmp_path: Path, size: int | None, checksum: Checksum | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        fetch(server.url, tmp_path / "file", size, checksum)
    assert list(tmp_path.iterdir()) == []


def test_the_beginning_of_a_checksum_is_enough(server: Server, tmp_path: Path) -> None:
    assert fetch(server.url, tmp_path / "file", None, Checksum("sha256", SHA256.digest[:8])).exists()


def test_a_missing_page_is_one_clear_line(server: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone: HTTP 404 Not Found; fetch the file by hand") as caught:
        fetch(server.url.replace("file", "gone"), tmp_path / "file")
    assert "\n" not in str(caught.value)


def test_a_dead_address_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be reached"):
        fetch("http://127.0.0.1:9/file", tmp_path / "file")


def test_a_local_file_wins_and_the_network_is_left_alone(server: Server, tmp_path: Path) -> None:
    local = tmp_path / "file"
    local.write_bytes(b"my own")
    assert fetch(server.url, local, len(CONTENT), SHA256) == local
    assert local.read_bytes() == b"my own"
    assert server.ranges == []


@pytest.fixture
def small_ledger(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two files: one to download, one to be fetched by hand."""
    common = {"licence": "MIT", "source": "somebody", "by_hand": "", "bytes": None, "alternatives": ()}
    online = Entry("online", "set/online.bin", server.url, checksum=SHA256, required=True, purpose="x", **common)
    manual = Entry(
        "manual",
        "set/manual.bin",
        None,
        checksum=None,
        required=True,
        purpose="y",
        **common | {"by_hand": "Ask the authors.", "alternatives": ("set/other*",)},
    )
    monkeypatch.setattr(ledger, "_ledger", lambda: {"set": (online, manual)})


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
    for entry in (entry for dataset in ledger.datasets() for entry in ledger.entries(dataset)):
        assert Path(entry.path).suffix
    folders = {
        name
        for dataset in ledger.datasets()
        for entry in ledger.entries(dataset)
        for name in entry.alternatives
        if not Path(name).suffix
    }
    assert folders == {"oxford_flower/jpg", "oxford_flower/cvpr2016_flowers", "celeba/img_align_celeba"}


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
    for dataset in ledger.datasets():
        entries = ledger.entries(dataset)
        assert len({entry.path for entry in entries}) == len(entries)
        for entry in entries:
            assert entry.path.startswith(f"{dataset}/")
            assert all(each.startswith(f"{dataset}/") for each in entry.alternatives)
            assert entry.url or entry.by_hand, "an entry without address needs instructions"
            assert entry.licence
            assert entry.source
            if entry.url:
                assert entry.url.startswith("https://")
                assert entry.checksum is not None, "what comes over the network must be verified"
            if entry.checksum and "pretrained" not in entry.path:
                assert len(entry.checksum.digest) == lengths[entry.checksum.algorithm]


def test_an_unknown_dataset_is_named() -> None:
    with pytest.raises(InputError, match=r"'roses'.*oxford_flower"):
        ledger.entries("roses")


def test_present_files_prefers_the_official_name(tmp_path: Path) -> None:
    folder = tmp_path / "oxford_flower"
    (folder / "jpg").mkdir(parents=True)
    assert ledger.present_files(tmp_path, "oxford_flower") == [folder / "jpg"]
    (folder / "102flowers_64.tar").touch()
    assert ledger.present_files(tmp_path, "oxford_flower") == [folder / "102flowers_64.tar"]
    (folder / "102flowers.tgz").touch()
    assert ledger.present_files(tmp_path, "oxford_flower") == [folder / "102flowers.tgz"]


def test_a_folder_has_a_checksum_of_names_and_contents(tmp_path: Path) -> None:
    for folder, name, content in (("a", "x", b"1"), ("b", "x", b"1"), ("c", "y", b"1"), ("d", "x", b"2")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(content)
    a, b, c, d = (ledger.fingerprint(tmp_path / folder) for folder in "abcd")
    assert a == b
    assert a.bytes == 1
    assert len({a.sha256, c.sha256, d.sha256}) == 3
