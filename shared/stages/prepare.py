"""Raw data to the arrays that training and evaluation read.

    python -m shared.stages.prepare --spec '{"name": "mnist", "source": "digits"}' --data-root data --out digits

writes to the folder `--out`, and nowhere else, one NumPy file per array and split (`x1_train.npy`, and
`x1_train_index.npy` where samples are rows of it in another order), which are read memory-mapped, and data.json (what
they are made of), the same bytes for the same input.
"""

import argparse
import importlib
import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from shared.data import ledger
from shared.data.manifest import joint_sha256
from shared.data.prepared import Array, DatasetSpec, Prepared, Rows
from shared.data.sources import source_of
from shared.errors import run_cli
from shared.files import atomic_path, sha256_of, write_json
from shared.run import lock


def prepare(spec: DatasetSpec, data_root: Path, out: Path) -> None:
    """Write the arrays and data.json, the sign of success, to `out`: all of them or none.

    InputError: no such data set or source, or its files are missing or wrong. OSError: the disk is full, for one.
    """
    module = source_of(spec.name, spec.source).module
    data: Prepared = importlib.import_module(module).load(spec, data_root)
    about = {
        "dataset": spec.name,
        "source": spec.source,
        "stand_in": data.stand_in,
        "official": data.official,
        "description": data.description,
        **({"classes": list(data.classes)} if data.classes else {}),
        **data.notes,
        "splits": {split: _size(data, split) for split in data.splits},
        "files": {key: ledger.fingerprint(path) for key, path in data.files.items()},
    }
    arrays = {f"{name}_{split}": array for split, part in data.splits.items() for name, array in part.items()}
    arrays |= {f"{name}_{split}_index": rows for split, part in data.index.items() for name, rows in part.items()}
    with all_or_nothing(out):
        checksums = write_arrays(arrays | dict(data.constants), out)
        write_json(out / "data.json", about | {"sha256": joint_sha256(checksums), "arrays": checksums})
    counts = ", ".join(f"{split} {about['splits'][split]['samples']}" for split in data.splits)
    print(f"{spec.name}: {counts} samples; {data.description}", file=sys.stderr)


def _size(data: Prepared, split: str) -> dict[str, Any]:
    """Number of samples, and which classes occur."""
    size: dict[str, Any] = {"samples": data.samples(split)}
    labels = data.splits[split].get("labels")
    return size if labels is None else size | {"classes": np.unique(labels).tolist()}


@contextmanager
def all_or_nothing(out: Path) -> Iterator[None]:
    """What an earlier preparation left goes first; what this one leaves goes too if it fails: it may be gigabytes.

    InputError: another process prepares these data, an orphan of a killed workflow perhaps.
    """
    with lock.exclusive(out.with_name(f".{out.name}.lock")):
        _clear(out)
        try:
            yield
        except BaseException:
            _clear(out)
            raise


def _clear(out: Path) -> None:
    for path in (
        out / "data.json",
        *out.glob("*.npy"),
        *out.glob(".data-*.json"),
    ):  # with a dot: of one that was killed
        path.unlink(missing_ok=True)


def write_arrays(arrays: Mapping[str, Array], out: Path) -> dict[str, str]:
    """One file per array; returns their checksums by name."""
    checksums = {}
    for name, array in sorted(arrays.items()):
        path = out / f"{name}.npy"
        _write_array(path, array)
        checksums[name] = sha256_of(path)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spec", required=True, help="what to prepare, a JSON object as in experiments.yaml")
    parser.add_argument("--data-root", required=True, type=Path, help="folder that holds a folder for each data set")
    parser.add_argument("--out", required=True, type=Path, help="folder to write to")
    arguments = parser.parse_args()
    prepare(DatasetSpec.from_json(arguments.spec), arguments.data_root, arguments.out)


if __name__ == "__main__":
    run_cli(main)
