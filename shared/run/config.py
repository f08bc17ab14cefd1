"""The workflow's configuration against its schema. Imports neither torch nor pandas."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from shared.errors import InputError

SCHEMA = Path("config/schema.json")


def check(config: dict[str, Any]) -> None:
    """InputError for the first unknown key, wrong type or impossible value: one line that names it."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    known = ", ".join(schema["properties"])
    unknown = [key for key in config if key not in schema["properties"]]
    if unknown:
        raise InputError(f"config key `{unknown[0]}` is unknown; known keys: {known}")
    missing = [key for key in schema["required"] if key not in config]
    if missing:
        raise InputError(f"config key `{missing[0]}` is missing; add it to config/config.yaml")
    for error in Draft202012Validator(schema).iter_errors(config):
        key = error.path[0]
        rule = error.schema.get("enum") or {k: v for k, v in error.schema.items() if k != "description"}
        raise InputError(f"config key `{key}`: {config[key]!r} is not possible; allowed: {json.dumps(rule)}")


def use_this_python() -> None:
    """Let jobs find the Python that runs the workflow, whether or not its environment is activated."""
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
