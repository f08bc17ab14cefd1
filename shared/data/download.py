"""Fetching the files of the ledger.

    python -m shared.data.download --dataset oxford_flower --data-root data

downloads what has an address, verifies what is there, and says what to fetch by hand. Exit status 0: every
required file is there and is the right one; 2: otherwise.
"""

import argparse
import sys
from pathlib import Path

import gdown
import requests

from shared.data import ledger
from shared.data.ledger import Entry
from shared.errors import InputError, run_cli

_TIMEOUT_S = 60
_RETRIES = 4  # of one transfer that breaks, each from where it broke


def fetch(entry: Entry, destination: Path) -> None:
    """Download an entry's file to `destination`, which is then complete and verified, or absent.

    A transfer that was cut off or killed leaves a file with the suffix .part, which the next one continues.
    InputError: the address is dead or refuses, the connection keeps breaking, or this is not the official file, which
    is removed; or what would be continued is no file.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    arriving = destination.with_name(f"{destination.name}.unverified")
    for begun in destination.parent.glob(f"{arriving.name}*"):
        if begun.is_symlink() or not begun.is_file():
            raise InputError(f"{begun}: in the way of a download; remove it")
    try:
        gdown.download(
            entry.url,
            str(arriving),
            id=entry.gdrive,
            use_cookies=False,
            resume=True,
            timeout=_TIMEOUT_S,
            retries=_RETRIES,
            log_messages={"start": "", "output": ""},
        )
    except (gdown.DownloadError, requests.RequestException) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise InputError(f"{reason}; try again, if need be without {arriving.name}*, or fetch it by hand") from None
    if entry.checksum is not None and not entry.checksum.matches(arriving):
        found = f"{entry.checksum.algorithm} {entry.checksum.of(arriving)[:16]}..."
        arriving.unlink()
        raise InputError(f"not the official file ({found} instead of {entry.checksum.digest[:16]}...), removed")
    arriving.replace(destination)


def _is_there(root: Path, entry: Entry) -> bool:
    """Whether the right file is there, fetched if there is none; a line says so. A local file is never changed."""
    own, local = root / entry.path, ledger.locate(root, entry)
    if local is None and not entry.fetchable:
        return False
    if local is None:
        try:
            fetch(entry, own)
        except InputError as error:
            print(f"FAILED   {own}  ({error})")
            return False
        print(f"fetched  {own}")
    elif problem := ledger.fault(root, entry, local):
        print(f"WRONG    {local}  ({problem}; kept: a local file wins; delete it to fetch the official one)")
        return False
    elif local != own:
        print(f"ok       {local}  (accepted in place of {own.name}; not compared with a checksum)")
    else:
        known = f"{entry.checksum.algorithm} matches" if entry.checksum else "present; no official checksum is known"
        print(f"ok       {local}  ({known})")
    return True


def _instructions(entry: Entry, root: Path) -> str:
    lines = {
        "address": entry.url,
        "how": entry.by_hand,
        "put it at": root / entry.path,
        "licence": entry.licence,
        "source": entry.source,
    }
    title = f"{Path(entry.path).name}: {entry.purpose}{'' if entry.required else ' (optional)'}"
    return "\n".join([title, *(f"    {name:10} {text}" for name, text in lines.items() if text)])


def download(group: str, data_root: str | Path) -> bool:
    """Fetch and verify a group's files, a line on each. Returns whether the required ones are right."""
    root = Path(data_root)
    lacking = [entry for entry in ledger.entries(group) if not _is_there(root, entry)]
    complete = not any(entry.required for entry in lacking)
    if lacking:
        print("\nTo be fetched by hand:\n")
        print("\n\n".join(_instructions(entry, root) for entry in lacking))
    print(f"\n{group}: {'all required files are there' if complete else 'required files missing or wrong'}")
    return complete


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True, choices=ledger.groups())
    parser.add_argument("--data-root", required=True, help="folder that holds a folder for each data set")
    arguments = parser.parse_args()
    if not download(arguments.dataset, arguments.data_root):
        sys.exit(2)


if __name__ == "__main__":
    run_cli(main)
