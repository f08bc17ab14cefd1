"""One run's seed, many independent random streams."""

import hashlib
import json
from typing import Any


def derive_seed(spec: dict[str, Any], *purpose: str | int) -> int:
    """A seed for one purpose of a run: initialisation, data order, sampling and each part of an evaluation differ.

    It depends on the run's seed and the purpose alone, so that all models of a seed see the same order of data.
    """
    digest = hashlib.sha256(json.dumps([spec["seed"], *purpose], separators=(",", ":")).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
