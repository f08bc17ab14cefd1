"""The ledger of external files (ledger.yaml): what there is, where it belongs, how to tell the right file.

Snakemake reads it through this module, so it imports neither torch nor pandas.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import yaml

from shared.errors import InputError
from shared.files import sha256_of

LEDGER = Path(__file__).with_name("ledger.yaml")
# Features that data may have, and the files that hold them, which other data do without.
FEATURES = {
    "char_cnn_rnn": ("embeddings_train", "embeddings_train_names", "embeddings_test", "embeddings_test_names"),
    "res101": ("image_features",),
}


@dataclass(frozen=True)
class Checksum:
    """A digest in hexadecimal. One shorter than the algorithm's own is the beginning of it."""

    algorithm: str  # "sha256" or "md5"
    digest: str

    def of(self, path: Path) -> str:
        with path.open("rb") as file:
            # MD5 is what the source publishes. It finds damage and mix-ups, which is all it is used for.
            new = partial(hashlib.new, self.algorithm, usedforsecurity=False)
            return hashlib.file_digest(file, new).hexdigest()

    def matches(self, path: Path) -> bool:
        return self.of(path).startswith(self.digest)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One external file; ledger.yaml says what the fields are. `key` is its name in its group."""

    key: str
    path: str
    purpose: str
    licence: str
    source: str
    url: str | None = None
    gdrive: str | None = None
    checksum: Checksum | None = None
    required: bool = True
    alternatives: tuple[str, ...] = ()
    by_hand: str = ""

    @property
    def fetchable(self) -> bool:
        return bool(self.url or self.gdrive)


@cache
def _ledger() -> dict[str, tuple[Entry, ...]]:
    return {
        group: tuple(
            Entry(key=key, **fields | {"checksum": Checksum(*text.split(":")) if text else None})
            for key, fields in entries.items()
            for text in [fields.get("checksum")]
        )
        for group, entries in yaml.safe_load(LEDGER.read_text(encoding="utf-8")).items()
    }


def groups() -> tuple[str, ...]:
    return tuple(_ledger())


def entries(group: str) -> tuple[Entry, ...]:
    """All entries of a group, in the ledger's order. KeyError: no such group or key, here and below, is a defect."""
    return _ledger()[group]


def entry(group: str, key: str) -> Entry:
    return {each.key: each for each in entries(group)}[key]


def locate(data_root: str | Path, entry: Entry) -> Path | None:
    """The local file or folder of an entry: its own path, else the first alternative there is, else None."""
    for pattern in (entry.path, *entry.alternatives):
        if found := sorted(Path(data_root).glob(pattern)):
            return found[0]
    return None


def require(data_root: str | Path, group: str, key: str) -> Path:
    """As `locate`, and checked, so that nobody reads what is not the official file.

    InputError: there is no local file, or it is not the right one; the line says what to fetch and where to put it.
    """
    wanted = entry(group, key)
    own, found = Path(data_root) / wanted.path, locate(data_root, wanted)
    how = f"{wanted.by_hand} It belongs in {own.parent}"
    if wanted.fetchable:
        how = f"run `python -m shared.data.download --dataset {group} --data-root {data_root}`"
    if found is None:
        raise InputError(f"{own}: missing; {how}")
    if problem := fault(data_root, wanted, found):
        raise InputError(f"{found}: {problem}; delete it and fetch it again: {how}")
    return found


def check_present(data_root: str | Path, group: str, data: Mapping[str, object]) -> None:
    """That the group's files are there which a data set, the specification's `data`, needs. Reads none of them.

    InputError: one is missing; the line says what to fetch and where to put it.
    """
    optional = {key for features, keys in FEATURES.items() if features in data.values() for key in keys}
    for each in entries(group):
        if (each.required or each.key in optional) and not locate(data_root, each):
            require(data_root, group, each.key)


def fault(data_root: str | Path, entry: Entry, path: Path) -> str | None:
    """What is wrong with the local file or folder of an entry, None if nothing is known to be.

    What has the official name must be the official file. An alternative must not be empty, and be a file or a folder
    as its name promises.
    """
    if not path.suffix:
        if not path.is_dir():
            return "a file, where a folder belongs"
        return None if any(path.iterdir()) else "an empty folder"
    if not path.is_file():
        return "a folder, where a file belongs" if path.is_dir() else "no regular file"
    if not path.stat().st_size:
        return "an empty file, 0 bytes"
    if path != Path(data_root) / entry.path or entry.checksum is None or entry.checksum.matches(path):
        return None
    expected, found = entry.checksum.digest[:16], entry.checksum.of(path)[:16]
    own = f" (a version of your own is called {' or '.join(entry.alternatives)})" if entry.alternatives else ""
    return f"not the official file, {entry.checksum.algorithm} {found}... instead of {expected}...{own}"


def official(data_root: str | Path, group: str, files: Mapping[str, Path]) -> bool:
    """Whether all files ({key: path}) are the official ones: at their own paths, where a known checksum is verified.

    Without one, a file of the official name in the folder that its publishers' archive makes is as good.
    """
    wanted = {key: entry(group, key) for key in files}
    return all(
        path == Path(data_root) / wanted[key].path
        or (wanted[key].checksum is None and path.name == Path(wanted[key].path).name)
        for key, path in files.items()
    )


def present_files(data_root: str | Path, group: str) -> list[Path]:
    """The local files and folders of a group, in the ledger's order: what a data set made of it can read."""
    found = (locate(data_root, each) for each in entries(group))
    return [path for path in found if path is not None and (path.is_file() or path.is_dir())]


def entries_in(folder: Path) -> list[Path]:
    """All that is in a folder and its own folders, sorted; folders that it links to are not entered."""
    found, folders = [], [folder]
    while folders:
        for each in folders.pop().iterdir():
            (folders if each.is_dir() and not each.is_symlink() else found).append(each)
    return sorted(found)


def fingerprint(path: Path) -> dict[str, str | int]:
    """Name, checksum and size of a file; for a folder, of the sorted list of its files' checksums and names.

    Pipes, and links that leave the folder, are not of it: nobody reads them.
    """
    if path.is_file():
        return {"file": path.name, "sha256": sha256_of(path), "bytes": path.stat().st_size}
    own = path.resolve()
    files = [
        each
        for each in entries_in(path)
        if each.is_file() and not (each.is_symlink() and not each.resolve().is_relative_to(own))
    ]
    listing = "".join(f"{sha256_of(each)}  {each.relative_to(path).as_posix()}\n" for each in files)
    digest = hashlib.sha256(listing.encode()).hexdigest()
    return {"file": path.name, "sha256": digest, "bytes": sum(each.stat().st_size for each in files)}
