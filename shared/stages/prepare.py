"""Raw data to the arrays that training and evaluation read.

    python -m shared.stages.prepare --dataset mnist --spec '{"name": "mnist", "source": "digits"}' --data-root data \
        --out runs/demo/data/mnist

writes one NumPy file per array and split (`x1_train.npy`, ...), which are read memory-mapped, and data.json (what they
are made of), the same bytes for the same input.
"""

import argparse
import hashlib
import importlib
import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from shared.data import ledger
from shared.data.prepared import Array, DatasetSpec, Prepared, Rows
from shared.data.sources import LOADERS
from shared.errors import InputError, describe, run_cli
from shared.files import atomic_path, sha256_of, write_json

logger = logging.getLogger(__name__)


def prepare(spec: DatasetSpec, data_root: Path, out: Path) -> None:
    """Write the arrays and data.json, the sign of success, to `out`: all of them or none.

    InputError: no such data set or source, or its files are missing or wrong. OSError: the disk is full, for one.
    """
    module = LOADERS.get((spec.name, spec.source))
    if module is None:
        known = "; ".join(f"{name} ({source})" for name, source in LOADERS)
        raise InputError(f"dataset {spec.name!r} with source {spec.source!r}: unknown; there are {known}")
    logger.info("%s: reading (%s)", spec.name, spec.source)
    data: Prepared = importlib.import_module(module).load(spec, data_root)
    files = {key: _provenance(path) for key, path in data.files.items()}
    with _all_or_nothing(out):
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


@contextmanager
def _all_or_nothing(out: Path) -> Iterator[None]:
    """What an earlier preparation left goes first; what this one leaves goes too if it fails: it may be gigabytes."""
    _clear(out)
    try:
        yield
    except BaseException:
        _clear(out)
        raise


def _clear(out: Path) -> None:
    for path in (out / "data.json", *out.glob("*.npy")):
        path.unlink(missing_ok=True)


def _write_arrays(data: Prepared, out: Path) -> str:
    """One file per array; returns the list of their checksums."""
    arrays = {f"{name}_{split}": array for split, part in data.splits.items() for name, array in part.items()}
    arrays |= data.constants
    checksums = ""
    for name, array in sorted(arrays.items()):
        path = out / f"{name}.npy"
        _write_array(path, array)
        checksums += f"{sha256_of(path)}  {path.name}\n"
    return checksums


def _write_array(path: Path, array: Array) -> None:
    """The file that np.save would write. `Rows` are written block by block, and never in memory as a whole.

    It is written through an ordinary file, whose errors say that the disk is full. Those of np.save have no number, and
    a mapped file ends the process with a bus error.
    """
    if not isinstance(array, Rows):
        whole = np.ascontiguousarray(array)
        array = Rows(len(whole), whole.shape[1:], whole.dtype, lambda: iter([whole]))
    dtype, shape = np.dtype(array.dtype), (array.count, *array.shape)
    if dtype.hasobject:
        raise TypeError(f"{path.name}: an array of Python objects cannot be written")
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    written = 0
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for block in array.make():
            file.write(np.ascontiguousarray(block, dtype))
            written += block.size
        if written != math.prod(shape):
            raise ValueError(f"{path.name}: {written} values were made, {math.prod(shape)} promised")


def _provenance(path: Path) -> dict[str, str | int]:
    """Name, checksum and size of a file or folder."""
    found = ledger.fingerprint(path)
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
