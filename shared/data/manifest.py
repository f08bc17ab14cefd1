"""data.json: what prepared data are, and the sha256 of each of their arrays. Imports no torch."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.files import read_json, require_sha256


def joint_sha256(arrays: Mapping[str, str], before: str = "") -> str:
    """Of a data set: of the list of its arrays' checksums, after that of the data which they complete."""
    lines = (f"{sha256}  {name}.npy\n" for name, sha256 in arrays.items())
    return hashlib.sha256("".join([before, *lines]).encode()).hexdigest()


def describe_data(folder: str | Path) -> dict[str, Any]:
    """data.json of prepared data, all of whose arrays are what was written.

    InputError: it or one of the arrays is missing or damaged.
    """
    folder = Path(folder)
    about = read_json(folder / "data.json", "description", "sha256", "stand_in", "official", "arrays")
    for name, sha256 in about["arrays"].items():
        require_sha256(folder / f"{name}.npy", sha256, "delete its folder and run the workflow again")
    return about
