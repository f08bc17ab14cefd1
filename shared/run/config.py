"""The workflow's configuration, config/config.yaml and `--config`. Imports neither torch nor pandas."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.run.spec import validated

Text = Annotated[str, Field(min_length=1)]


class Configuration(BaseModel):
    """Settings of a run; config/schema.json is made of this class, for editors."""

    model_config = ConfigDict(extra="forbid", strict=True, title="Settings of a run (config/config.yaml)")

    scale: Literal["demo", "reduced", "paper"] = Field(description="data source and budget")
    data_root: Text = Field(description="folder with one folder per data set")
    device: Literal["auto", "cpu", "cuda", "mps"]
    precision: Literal["float32", "bfloat16"] | None = Field(description="instead of the experiments' own")
    seeds: Annotated[int, Field(ge=1, le=100)] | None = Field(description="runs per model, instead of their own")
    margins: Text = Field(description="YAML file with a practical margin per metric")


def check(config: dict[str, Any]) -> None:
    """InputError for the first unknown key, wrong type or impossible value: one line that names it."""
    validated(Configuration, config, "config key ")


def use_this_python() -> None:
    """Let jobs find the Python that runs the workflow, whether or not its environment is activated."""
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
