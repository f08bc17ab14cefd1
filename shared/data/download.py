"""Fetching the files of the ledger.

    python -m shared.data.download --dataset oxford_flower --data-root data

downloads what has an address, verifies what is there, and says what to fetch by hand. Exit status 0: every
required file is there and is the right one; 2: otherwise.
"""

import argparse
import http.client
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from shared.data import ledger
from shared.data.ledger import Checksum, Entry
from shared.errors import InputError, run_cli

ReportProgress = Callable[[int, int | None], None]

_CHUNK = 1 << 20
_TIMEOUT_S = 60
_ATTEMPTS = 5  # of continuing a transfer that was cut off
_RANGE_NOT_SATISFIABLE = 416


def _ignore_progress(done: int, total: int | None) -> None:
    pass


def fetch(
    url: str,
    destination: str | Path,
    bytes: int | None = None,
    checksum: Checksum | None = None,
    progress: ReportProgress = _ignore_progress,
) -> Path:
    """Download `url` to `destination`, which is either complete and verified or absent.

    A file already at `destination` is left alone: a local file wins over the network. Data arrive in a file
    with the suffix .part beside it; what a cut connection or a killed run leaves there is continued (HTTP
    Range).

    Args:
        bytes: size the file must have, if known.
        checksum: what the file must match, if known.
        progress: called with (bytes so far, bytes in all or None).

    Raises:
        InputError: the address is dead, the connection keeps breaking, or size or checksum are wrong. A wrong
            file is removed, an incomplete one is kept to be continued.
    """
    destination = Path(destination)
    if destination.exists():
        return destination
    destination.parent.mkdir(parents=True, exist_ok=True)
    part = destination.with_name(destination.name + ".part")
    for _ in range(_ATTEMPTS):
        if _transfer(url, part, progress):
            break
    else:
        raise InputError(
            f"{url}: the connection broke {_ATTEMPTS} times; run the same command again, it continues {part}"
        )
    _verify(url, part, bytes, checksum)
    part.replace(destination)
    return destination


def _transfer(url: str, part: Path, progress: ReportProgress) -> bool:
    """One request that continues `part`. Returns whether it is now complete, as far as the server says."""
    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
            if response.status != http.HTTPStatus.PARTIAL_CONTENT:
                start = 0  # the server does not resume, or there was nothing to resume
            length = response.headers.get("Content-Length")
            total = None if length is None else start + int(length)
            return _receive(response, part, start, total, progress)
    except urllib.error.HTTPError as error:
        with error:  # it holds the connection
            if error.code == _RANGE_NOT_SATISFIABLE:
                return _nothing_left(error, part, start)
            raise InputError(f"{url}: HTTP {error.code} {error.reason}; fetch the file by hand") from None
    except urllib.error.URLError as error:
        raise InputError(f"{url}: cannot be reached ({error.reason}); try later or fetch the file by hand") from None
    except (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError):
        return False


def _receive(
    response: http.client.HTTPResponse, part: Path, start: int, total: int | None, progress: ReportProgress
) -> bool:
    done = start
    with part.open("ab" if start else "wb") as file:
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            done += len(chunk)
            progress(done, total)
    return total is None or done == total  # http.client reports a cut connection as an early end of file


def _nothing_left(error: urllib.error.HTTPError, part: Path, start: int) -> bool:
    """The server has nothing after `start`: complete if that is the size it states, else of no use."""
    complete = error.headers.get("Content-Range", "").endswith(f"/{start}")
    if not complete:
        part.unlink()
    return complete


def _verify(url: str, part: Path, size: int | None, checksum: Checksum | None) -> None:
    problem = ledger.mismatch(part, size, checksum)
    if problem is not None:
        part.unlink()
        raise InputError(f"{url}: not the expected file ({problem}), removed; try again or fetch it by hand")


def _check_local(path: Path, root: Path, entry: Entry) -> bool:
    """Print what is known of a local file; return whether nothing is wrong with it."""
    problem = ledger.fault(root, entry, path)
    if problem is not None:
        print(f"WRONG    {path}  ({problem}; kept: a local file wins; delete it to fetch the official one)")
    elif path != root / entry.path:
        print(f"ok       {path}  (accepted in place of {Path(entry.path).name}; not compared with a checksum)")
    elif entry.checksum is None:
        print(f"ok       {path}  (present; no official checksum is known)")
    else:
        print(f"ok       {path}  ({entry.checksum.algorithm} matches)")
    return problem is None


def _download(entry: Entry, destination: Path) -> bool:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(destination.name, total=entry.bytes)
        try:
            fetch(
                entry.url,
                destination,
                entry.bytes,
                entry.checksum,
                lambda done, total: bar.update(task, completed=done, total=total),
            )
        except InputError as error:
            print(f"FAILED   {destination}  ({error})")
            return False
    print(f"fetched  {destination}")
    return True


def _instructions(entry: Entry, root: Path) -> str:
    lines = [
        f"{Path(entry.path).name}: {entry.purpose}{'' if entry.required else ' (optional)'}",
        f"    put it at  {root / entry.path}",
        f"    licence    {entry.licence}",
        f"    source     {entry.source}",
    ]
    if entry.url is not None:
        lines.insert(1, f"    address    {entry.url}")
    if entry.by_hand:
        lines.insert(1, f"    how        {entry.by_hand}")
    return "\n".join(lines)


def download(dataset: str, data_root: str | Path) -> bool:
    """Fetch and verify a data set's files, a line on each. Returns whether the required ones are right."""
    root = Path(data_root)
    by_hand, complete = [], True
    for entry in ledger.entries(dataset):
        local = ledger.locate(root, entry)
        if local is not None:
            right = _check_local(local, root, entry)
        else:
            right = entry.url is not None and _download(entry, root / entry.path)
        if not right and (local is None or entry.url is None):
            by_hand.append(entry)
        complete = complete and (right or not entry.required)
    if by_hand:
        print("\nTo be fetched by hand:\n")
        print("\n\n".join(_instructions(entry, root) for entry in by_hand))
    print(f"\n{dataset}: {'all required files are there' if complete else 'required files missing or wrong'}")
    return complete


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True, choices=ledger.datasets())
    parser.add_argument("--data-root", required=True, help="folder that holds a folder for each data set")
    arguments = parser.parse_args()
    if not download(arguments.dataset, arguments.data_root):
        sys.exit(2)


if __name__ == "__main__":
    run_cli(main)
