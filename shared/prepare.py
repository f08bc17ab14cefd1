"""Raw data to the arrays that training and evaluation read.

    python -m shared.prepare --dataset oxford_flower --spec '{"name": "oxford_flower", "source": "drawn"}' \
        --data-root data --out runs/demo/data/oxford_flower

writes data.npz (images uint8 (N, 3, H, W), standardised caption features float32 (N, D), labels, captions,
for each split) and data.json (what they are made of), the same bytes for the same input.
"""

import argparse
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from shared.data import drawn_flowers, ledger, oxford_flower
from shared.data.paired import SPLITS, DatasetSpec, PairedData, Standardisation
from shared.errors import InputError, describe, run_cli
from shared.files import atomic_path, sha256_of, write_json

logger = logging.getLogger(__name__)

Loader = Callable[[DatasetSpec, Path], PairedData]

# A data set joins by a line here: its name and source, and the function that reads or draws it.
LOADERS: dict[tuple[str, str], Loader] = {
    ("oxford_flower", "official"): oxford_flower.load,
    ("oxford_flower", "drawn"): drawn_flowers.load,
}


def prepare(spec: DatasetSpec, data_root: Path, out: Path) -> None:
    """Write data.npz and data.json to `out`, each whole or not at all; data.json, the sign of success, last.

    InputError: no such data set or source, or its files are missing or wrong.
    """
    loader = LOADERS.get((spec.name, spec.source))
    if loader is None:
        known = "; ".join(f"{name} ({source})" for name, source in LOADERS)
        raise InputError(f"dataset {spec.name!r} with source {spec.source!r}: unknown; there are {known}")
    logger.info("%s: reading (%s)", spec.name, spec.source)
    data = loader(spec, data_root)
    files = {key: _provenance(spec.name, key, path) for key, path in data.files.items()}
    archive = out / "data.npz"
    with atomic_path(archive) as temporary:
        np.savez(temporary, **_arrays(data))
    write_json(
        out / "data.json",
        {
            "dataset": spec.name,
            "source": spec.source,
            "stand_in": data.stand_in,
            "caption_features": data.caption_features,
            "description": data.description,
            "splits": {
                split: {"samples": len(part.labels), "classes": len(np.unique(part.labels))}
                for split, part in data.splits.items()
            },
            "files": files,
            "sha256": sha256_of(archive),
        },
    )
    counts = ", ".join(f"{split} {len(part.labels)}" for split, part in data.splits.items())
    logger.info("%s: %s images; %s", spec.name, counts, data.description)


def _arrays(data: PairedData) -> dict[str, np.ndarray]:
    standardise = Standardisation.of(data.splits["train"].features)
    arrays = {"x2_mean": standardise.mean, "x2_std": standardise.std}
    for split in SPLITS:
        part = data.splits[split]
        arrays |= {
            f"x1_{split}": part.images,
            f"x2_{split}": standardise(part.features),
            f"labels_{split}": part.labels,
            f"captions_{split}": part.captions,
        }
    return arrays


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
    parser.add_argument("--out", required=True, type=Path, help="folder to write data.npz and data.json to")
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
