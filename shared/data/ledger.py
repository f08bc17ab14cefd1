"""The ledger of external files (ledger.yaml): what there is, where it belongs, how to tell the right file.

Snakemake reads it through this module, so it imports neither torch nor pandas.
"""

import hashlib
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import yaml

from shared.errors import InputError
from shared.files import sha256_of

LEDGER = Path(__file__).with_name("ledger.yaml")


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


@dataclass(frozen=True)
class Entry:
    """One external file. `path` and `alternatives` are relative to the data root, `bytes` is its size."""

    key: str
    path: str
    url: str | None
    bytes: int | None
    checksum: Checksum | None
    required: bool
    purpose: str
    licence: str
    source: str
    alternatives: tuple[str, ...]
    by_hand: str


@dataclass(frozen=True)
class Fingerprint:
    """What a local file or folder is made of."""

    sha256: str
    bytes: int


def _checksum(fields: dict) -> Checksum | None:
    for name, algorithm in (("sha256", "sha256"), ("sha256_prefix", "sha256"), ("md5", "md5")):
        if digest := fields.get(name):
            return Checksum(algorithm, str(digest).lower())
    return None


@cache
def _ledger() -> dict[str, tuple[Entry, ...]]:
    groups = yaml.safe_load(LEDGER.read_text(encoding="utf-8"))
    return {
        dataset: tuple(
            Entry(
                key=key,
                path=fields["path"],
                url=fields["url"],
                bytes=fields["bytes"],
                checksum=_checksum(fields),
                required=fields["required"],
                purpose=fields["purpose"],
                licence=fields["licence"],
                source=fields["source"],
                alternatives=tuple(fields.get("alternatives", ())),
                by_hand=fields.get("by_hand", ""),
            )
            for key, fields in entries.items()
        )
        for dataset, entries in groups.items()
    }


def datasets() -> tuple[str, ...]:
    return tuple(_ledger())


def entries(dataset: str) -> tuple[Entry, ...]:
    """All entries of a data set, in the ledger's order. InputError: the ledger knows no such data set."""
    try:
        return _ledger()[dataset]
    except KeyError:
        known = ", ".join(datasets())
        raise InputError(f"dataset {dataset!r}: not in the ledger of files; choose one of {known}") from None


def entry(dataset: str, key: str) -> Entry:
    """One entry. KeyError: the ledger has no such entry, which is a defect of the caller."""
    return {each.key: each for each in entries(dataset)}[key]


def locate(data_root: str | Path, entry: Entry) -> Path | None:
    """The local file or folder of an entry: its own path, else the first alternative there is, else None."""
    root = Path(data_root)
    for pattern in (entry.path, *entry.alternatives):
        found = sorted(root.glob(pattern))
        if found:
            return found[0]
    return None


def require(data_root: str | Path, dataset: str, key: str) -> Path:
    """As `locate`, and checked, so that nobody reads what is not the official file.

    InputError: there is no local file, or it is not the right one; the line says what to fetch and where to put it.
    """
    wanted = entry(dataset, key)
    found, how = locate(data_root, wanted), how_to_get(data_root, dataset, wanted)
    if found is None:
        raise InputError(f"{Path(data_root) / wanted.path}: missing; {how}")
    if problem := fault(data_root, wanted, found):
        raise InputError(f"{found}: {problem}; delete it and fetch it again: {how}")
    return found


def fault(data_root: str | Path, entry: Entry, path: Path) -> str | None:
    """What is wrong with the local file or folder of an entry, None if nothing is known to be.

    What has the official name must be the official file. An alternative must not be empty, and be a file or a folder
    as its name promises.
    """
    if path.is_dir() and path.suffix:
        return "a folder, where a file belongs"
    if path.is_file() and not path.suffix:
        return "a file, where a folder belongs"
    if path.is_dir():
        return None if any(path.iterdir()) else "an empty folder"
    if not path.stat().st_size:
        return "an empty file, 0 bytes"
    official = path == Path(data_root) / entry.path
    problem = mismatch(path, entry.bytes, entry.checksum) if official else None
    if problem is None:
        return None
    own = f" (a version of your own is called {' or '.join(entry.alternatives)})" if entry.alternatives else ""
    return f"not the official file, {problem}{own}"


def mismatch(path: Path, size: int | None, checksum: Checksum | None) -> str | None:
    """How a file differs from what is expected of it, None if it does not."""
    actual = path.stat().st_size
    if size is not None and actual != size:
        return f"{actual} bytes instead of {size}"
    if checksum is not None and not checksum.matches(path):
        return f"{checksum.algorithm} {checksum.of(path)[:16]}... instead of {checksum.digest[:16]}..."
    return None


def how_to_get(data_root: str | Path, dataset: str, entry: Entry) -> str:
    """One line on how to obtain an entry's file."""
    if entry.url is not None:
        return f"run `python -m shared.data.download --dataset {dataset} --data-root {data_root}`"
    return f"{entry.by_hand} It belongs in {(Path(data_root) / entry.path).parent}"


def present_files(data_root: str | Path, dataset: str) -> list[Path]:
    """The local files and folders of a data set, in the ledger's order: what a run on it can read."""
    found = (locate(data_root, each) for each in entries(dataset))
    return [path for path in found if path is not None]


def fingerprint(path: Path) -> Fingerprint:
    """Checksum and size of a file; for a folder, of the sorted list of its files' checksums and names."""
    if path.is_file():
        return Fingerprint(sha256_of(path), path.stat().st_size)
    files = sorted(each for each in path.rglob("*") if each.is_file())
    listing = "".join(f"{sha256_of(each)}  {each.relative_to(path).as_posix()}\n" for each in files)
    return Fingerprint(hashlib.sha256(listing.encode()).hexdigest(), sum(each.stat().st_size for each in files))
