"""Raw data to the arrays that training and evaluation read.

    python -m shared.prepare --dataset mnist --spec '{"name": "mnist", "source": "digits"}' --data-root data \
        --out runs/demo/data/mnist

writes one NumPy file per array and split (`x1_train.npy`, ...), which are read memory-mapped, and data.json (what they
are made of), the same bytes for the same input.
"""

import argparse
import hashlib
import importlib
import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from shared.data import ledger
from shared.data.prepared import Array, DatasetSpec, Prepared, Rows
from shared.data.sources import LOADERS
from shared.errors import InputError, describe, run_cli
from shared.files import atomic_path, sha256_of, write_json

logger = logging.getLogger(__name__)


def prepare(spec: DatasetSpec, data_root: Path, out: Path) -> None:
    """Write the arrays and data.json to `out`, each whole or not at all; data.json, the sign of success, last.

    InputError: no such data set or source, or its files are missing or wrong.
    """
    module = LOADERS.get((spec.name, spec.source))
    if module is None:
        known = "; ".join(f"{name} ({source})" for name, source in LOADERS)
        raise InputError(f"dataset {spec.name!r} with source {spec.source!r}: unknown; there are {known}")
    logger.info("%s: reading (%s)", spec.name, spec.source)
    data: Prepared = importlib.import_module(module).load(spec, data_root)
    files = {key: _provenance(spec.name, key, path) for key, path in data.files.items()}
    checksums = _write_arrays(data, out)
    write_json(
        out / "data.json",
        {"dataset": spec.name, "source": spec.source, "stand_in": data.stand_in, "description": data.description}
        | dict(data.notes)
        | {
            "splits": {split: _size(arrays) for split, arrays in data.splits.items()},
            "files": files,
            "sha256": hashlib.sha256(checksums.encode()).hexdigest(),
        },
    )
    counts = ", ".join(f"{split} {len(next(iter(arrays.values())))}" for split, arrays in data.splits.items())
    logger.info("%s: %s samples; %s", spec.name, counts, data.description)


def _size(arrays: Mapping[str, Array]) -> dict[str, int]:
    size = {"samples": len(next(iter(arrays.values())))}
    return size | ({"classes": len(np.unique(arrays["labels"]))} if "labels" in arrays else {})


def _write_arrays(data: Prepared, out: Path) -> str:
    """One file per array; returns the list of their checksums. What an earlier preparation left goes first."""
    arrays = {f"{name}_{split}": array for split, part in data.splits.items() for name, array in part.items()}
    arrays |= data.constants
    for stale in (out / "data.json", *out.glob("*.npy")):
        stale.unlink(missing_ok=True)
    checksums = ""
    for name, array in sorted(arrays.items()):
        path = out / f"{name}.npy"
        with atomic_path(path) as temporary:
            if isinstance(array, Rows):
                _stream(temporary, array)
            else:
                np.save(temporary, np.ascontiguousarray(array), allow_pickle=False)
        checksums += f"{sha256_of(path)}  {path.name}\n"
    return checksums


def _stream(path: Path, rows: Rows) -> None:
    """Write an array block by block, so that it is never in memory as a whole."""
    target = np.lib.format.open_memmap(path, mode="w+", dtype=rows.dtype, shape=(rows.count, *rows.shape))
    done = 0
    for block in rows.make():
        target[done : done + len(block)] = block
        done += len(block)
    if done != rows.count:
        raise ValueError(f"{done} rows were made, {rows.count} promised")
    target.flush()


def _provenance(dataset: str, key: str, path: Path) -> dict[str, str | int]:
    """Name, checksum and size of a file; InputError: it has the official name but other content."""
    entry, found = ledger.entry(dataset, key), ledger.fingerprint(path)
    if path.name == Path(entry.path).name and entry.checksum is not None and not entry.checksum.matches(path):
        names = ", ".join(entry.alternatives)
        own = f", or give your own version one of the names {names}" if names else ""
        raise InputError(f"{path}: not the official file, its checksum differs; fetch it again{own}")
    return {"file": path.name, "sha256": found.sha256, "bytes": found.bytes}


def _log_to(path: Path | None) -> None:
    terminal = logging.StreamHandler()
    terminal.setLevel(logging.INFO)
    handlers: list[logging.Handler] = [terminal]
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(path, mode="w", encoding="utf-8"))
    logging.basicConfig(format="%(message)s", handlers=handlers, force=True)
    logger.setLevel(logging.DEBUG)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--spec", required=True, help="what to prepare, a JSON object as in experiments.yaml")
    parser.add_argument("--data-root", required=True, type=Path, help="folder that holds a folder for each data set")
    parser.add_argument("--out", required=True, type=Path, help="folder to write to")
    parser.add_argument("--log", type=Path, help="also write the log to this file")
    arguments = parser.parse_args()
    _log_to(arguments.log)
    try:
        spec = DatasetSpec.from_json(arguments.spec)
        if spec.name != arguments.dataset:
            raise InputError(f"--spec: describes {spec.name!r}, but --dataset is {arguments.dataset!r}")
        prepare(spec, arguments.data_root, arguments.out)
    except Exception as error:
        logger.debug("error: %s", describe(error) or repr(error))  # for the log file; run_cli tells the terminal
        raise


if __name__ == "__main__":
    run_cli(main)
