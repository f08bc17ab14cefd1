"""From the metrics of runs to a table's tidy CSV: one row per cell, reported, reproduced, and a verdict."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import combinations
from math import hypot, sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from shared.errors import InputError
from shared.files import read_json, read_npz
from shared.report.compare import DIVERGED, NOT_COMPARABLE, NOT_RUN, Margin, Margins, margin_for, verdict
from shared.report.layout import Table, TextTable, cell_of
from shared.report.reported import Cells, Reported, first_fault

COLUMNS = [
    *("table", "row", "column", "metric", "unit", "direction"),
    *("reported_mean", "reported_spread", "reported_spread_kind", "reported_n"),
    *("reproduced_mean", "reproduced_sd", "reproduced_n", "reproduced_se", "reproduced_mc_error"),
    *("difference", "verdict", "protocol", "scale", "data"),
]
PAIRED_COLUMNS = ["row", "column", "other_row", "other_column", "difference", "standard_error", "n"]
STAND_IN = "stand-in: "
COUNTED = "counted on the model as built"
NO_DATA = "none"
MIXED = "mixed code fingerprints"
OTHER_SCALES = "larger scales run it"  # the protocol of a swept value that this scale leaves out


class Metric(BaseModel):
    """A row of metrics.json. standard_error: of the value over test points. monte_carlo_error: from the metric's own
    random numbers. features: what stands for the paper's own features, if anything. None is unknown."""

    model_config = ConfigDict(frozen=True, strict=True)
    key: str
    variant: str
    value: FiniteFloat
    unit: str
    features: str = ""
    standard_error: Annotated[FiniteFloat, Field(ge=0)] | None = None
    monte_carlo_error: Annotated[FiniteFloat, Field(ge=0)] | None = None


class Run(BaseModel):
    """What one metrics.json or architecture.json says.

    fingerprint: of all code behind the numbers. pipeline: of the part that all models of a table share.
    comparable: data, training and evaluation are those of the paper. layers: of the model as built, one text each, by
    part. diverged: where, if it did.
    folder: where the file lies, None for a record of a run that was published.
    """

    model_config = ConfigDict(frozen=True, strict=True)
    paper: str
    experiment: str
    model: str
    scale: str
    seed: int = 0
    fingerprint: str
    pipeline: str = ""
    protocol: str
    data: str
    stand_in: bool = False
    comparable: bool
    metrics: list[Metric]
    layers: dict[str, list[str]] = {}
    diverged: dict[str, int] | None = None
    folder: Path | None = None

    @model_validator(mode="after")
    def _states_each_metric_once(self) -> "Run":
        keys = [(metric.key, metric.variant) for metric in self.metrics]
        for key in keys:
            if keys.count(key) > 1:
                raise ValueError(f"{' '.join(key).strip()} twice")
        return self

    @property
    def name(self) -> str:
        return f"{self.experiment}/{self.model}"

    @property
    def is_count(self) -> bool:
        """Counted on an untrained model: no data, no seed, no protocol."""
        return self.data == NO_DATA

    @cached_property
    def values(self) -> dict[tuple[str, str], Metric]:
        """By key and variant."""
        return {(metric.key, metric.variant): metric for metric in self.metrics}


def run_of(content: Any, where: str, folder: Path | None = None) -> Run:
    """The run that a metrics.json or an architecture.json describes. InputError: it is neither, or incomplete."""
    try:
        if "latent_variables" in content:
            content = content | {"protocol": COUNTED, "data": NO_DATA, "metrics": _counts(content)}
        return Run.model_validate(content | {"folder": folder})
    except (KeyError, TypeError) as error:
        raise InputError(f"{where}: no metrics or architecture file ({error}); make it again") from None
    except ValidationError as error:
        raise InputError(f"{where}: {first_fault(error)}; evaluate this run again") from None


def _counts(content: dict[str, Any]) -> list[dict[str, Any]]:
    counts = {
        "latent_variables": (content["latent_variables"], ""),
        "parameters": (content["parameters"] / 1e6, "M"),
    }
    return [
        {"key": f"architecture/{key}", "variant": "", "value": float(value), "unit": unit}
        for key, (value, unit) in counts.items()
    ]


def load_runs(files: Iterable[Path], paper: str, scale: str) -> list[Run]:
    """Runs of one paper at one scale, sorted by name and seed, so that the order of files does not matter.

    InputError: unreadable or incomplete file, another paper or scale, or the same run twice.
    """
    runs: dict[tuple[str, bool, int], Run] = {}
    for file in files:
        run = run_of(read_json(file), str(file), file.parent)
        for key, expected in (("paper", paper), ("scale", scale)):
            if getattr(run, key) != expected:
                raise InputError(f"{file}: {key} is {getattr(run, key)!r}, the table is made for {expected!r}")
        identity = (run.name, run.is_count, run.seed)
        if identity in runs:
            raise InputError(f"{file}: the same run as in {runs[identity].folder}; give one of them")
        runs[identity] = run
    return [runs[identity] for identity in sorted(runs)]


def build(
    table: Table,
    reported: Cells,
    runs: Sequence[Run],
    margins: Margins,
    scale: str,
    planned: Sequence[str] | None = None,
) -> pd.DataFrame:
    """The tidy table, all columns as text: numbers of the paper as printed, ours with six decimals.

    reproduced_mean, reproduced_sd: over reproduced_n runs, one per seed. reproduced_se: the standard error of the mean
    over test points, which all seeds share: it does not shrink with their number. reproduced_mc_error: its standard
    error from the random numbers of the evaluations alone. Blank where a metric does not tell its own.
    planned: the runs that there are at this scale; all where none are given.
    """
    shown = {cell_of(row, column).run for row, column in table.cells()}
    runs = [run for run in runs if run.name in shown]  # other tables' runs may be of other code
    lines = []
    for row, column in table.cells():
        source = cell_of(row, column)
        mine = [run for run in runs if run.name == source.run and run.is_count == source.is_count]
        found = [run.values[source.key, source.variant] for run in mine if (source.key, source.variant) in run.values]
        cell = reported[row.reported, column.name]
        for run in mine:
            if not run.diverged and (source.key, source.variant) not in run.values:
                known = ", ".join(" ".join(key).strip() for key in run.values) or "none"
                what = f"{source.key} {source.variant}".strip()
                raise InputError(
                    f"{table.name}: {source.run} has no metric `{what}`; it has {known}; correct tables.py"
                )
        for unit in {metric.unit for metric in found} - {cell.unit}:
            raise InputError(f"{source.run}: {source.key} has unit {unit!r}, the paper's has {cell.unit!r}; convert it")
        values, errors = [metric.value for metric in found], _errors(found)
        features = sorted({metric.features for metric in found} - {""})
        comparable = not features and all(run.comparable for run in mine)
        left_out = planned is not None and source.run not in planned
        lines.append(
            {"table": table.name, "row": row.reported, "column": column.name, **_as_printed(cell)}
            | {
                "metric": f"{cell.metric} ({' / '.join(features)})" if features else cell.metric,
                "reproduced_mean": fixed(fmean(values)) if values else "",
                "reproduced_sd": fixed(stdev(values)) if len(values) > 1 else "",
                "reproduced_n": str(len(values)) if values else "",
                **{name: "" if error is None else fixed(error) for name, error in errors.items()},
                "difference": fixed(fmean(values) - cell.mean) if values and cell.mean is not None else "",
                "verdict": _judge(cell, mine, values, comparable, margins, source.key, errors["reproduced_se"]),
                "protocol": OTHER_SCALES if left_out else _protocol(mine, runs),
                "scale": scale,
                "data": " / ".join(sorted({(STAND_IN if run.stand_in else "") + run.data for run in mine})),
            }
        )
    return pd.DataFrame(lines, columns=COLUMNS, dtype=str)


def _as_printed(cell: Reported) -> dict[str, str]:
    """What the tidy table repeats of reported.csv."""
    return {
        "unit": cell.unit,
        "direction": cell.direction,
        "reported_mean": "" if cell.mean is None else f"{cell.mean:.{cell.decimals}f}",
        "reported_spread": "" if cell.spread is None else f"{cell.spread:.{cell.decimals}f}",
        "reported_spread_kind": cell.spread_kind,
        "reported_n": "" if cell.n is None else str(cell.n),
    }


def _errors(found: Sequence[Metric]) -> dict[str, float | None]:
    """Standard errors of the mean over runs: evaluations are independent of each other, test points are the same."""
    points, estimator = ([getattr(m, name) for m in found] for name in ("standard_error", "monte_carlo_error"))
    return {
        "reproduced_se": None if not found or None in points else hypot(*points) / sqrt(len(points)),
        "reproduced_mc_error": None if not found or None in estimator else hypot(*estimator) / len(estimator),
    }


def _judge(
    cell: Reported,
    mine: Sequence[Run],
    values: list[float],
    comparable: bool,
    margins: Margins,
    key: str,
    standard_error: float | None,
) -> str:
    diverged = ["epoch {epoch}, step {step}".format(**run.diverged) for run in mine if run.diverged]
    if diverged:
        # The seeds that are left were selected by their own success: their mean is kept, but neither shown nor judged.
        share = f"{len(diverged)} of {len(mine)} seeds: " if len(mine) > 1 else ""
        return f"{DIVERGED} ({share}{'; '.join(diverged)})"
    if not values:
        return NOT_RUN
    if not comparable:
        return NOT_COMPARABLE
    margin = Margin() if cell.mean is None else margin_for(margins, key, cell.unit)
    return verdict(cell, values, margin, standard_error or 0.0)


def _protocol(mine: Sequence[Run], all_runs: Sequence[Run]) -> str:
    """The protocols of a row's runs.

    What was made by different code is noted here, the CSV has no other place: seeds of one model, or models of one
    table whose common part, training loop and evaluation, is not the same.
    """
    parts = sorted({run.protocol for run in mine})
    pipelines = {run.pipeline for run in all_runs if not run.is_count}
    if len({run.fingerprint for run in mine}) > 1 or (len(pipelines) > 1 and mine and not mine[0].is_count):
        parts.append(MIXED)
    return "; ".join(parts)


def fixed(value: float) -> str:
    """Six decimals, never a negative zero, so that the same numbers are the same bytes."""
    text = f"{value:.6f}"
    return text.lstrip("-") if float(text) == 0 else text


def paired(table: Table | TextTable, runs: Sequence[Run]) -> pd.DataFrame:
    """Differences between cells that were measured at the same test points: one metric and variant of two models of an
    experiment. All columns are text.

    difference: mean over the n points of the first minus the other, each the mean over its seeds. standard_error: of
    that mean, from the spread between points, in which cancels what makes a point hard for both.
    """
    groups: dict[tuple[str, str, str], dict[tuple[str, str], np.ndarray]] = {}
    for row, column in table.cells() if isinstance(table, Table) else ():
        source = cell_of(row, column)
        points = [_points(run, f"{source.key}@{source.variant}") for run in runs if run.name == source.run]
        if points and all(each is not None and each.shape == points[0].shape for each in points):
            group = (source.run.split("/")[0], source.key, source.variant)
            groups.setdefault(group, {})[row.reported, column.name] = np.mean(points, axis=0)
    lines = []
    for cells in groups.values():
        for (name, mine), (other, theirs) in combinations(cells.items(), 2):
            if len(mine) == len(theirs) > 1:
                apart = mine - theirs
                error = apart.std(ddof=1) / sqrt(len(apart))
                lines.append([*name, *other, fixed(apart.mean()), fixed(error), str(len(apart))])
    return pd.DataFrame(lines, columns=PAIRED_COLUMNS, dtype=str)


def _points(run: Run, name: str) -> np.ndarray | None:
    file = run.folder / "points.npz" if run.folder else None
    if file is None or not file.exists():
        return None
    return read_npz(file).get(name)


def to_csv(frame: pd.DataFrame) -> str:
    return frame.to_csv(index=False, lineterminator="\n")


def paired_path(csv: Path) -> Path:
    """Where the paired differences of a table's CSV lie, if it has any."""
    return csv.with_suffix(".paired.csv")


def read_csv(path: Path) -> pd.DataFrame:
    """A table as written by `to_csv`, all text. InputError: there is none."""
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run python -m shared.stages.aggregate first") from None
    except ValueError as error:
        raise InputError(f"{path}: not a CSV table ({error}); delete it and aggregate again") from None


def read_table_csv(path: Path, table: Table) -> pd.DataFrame:
    """A tidy table. InputError: missing, or its columns and cells are not those of the layout."""
    frame = read_csv(path)
    if list(frame.columns) != COLUMNS or list(zip(frame["row"], frame["column"], strict=True)) != table.names:
        raise InputError(f"{path}: its columns or cells are not those of {table.name}; aggregate again")
    return frame


def read_paired(path: Path) -> dict[frozenset[tuple[str, str]], float]:
    """Standard errors of the paired differences beside a table's CSV; none where it has no such file."""
    if not paired_path(path).exists():
        return {}
    lines = read_csv(paired_path(path)).to_dict("records")
    return {
        frozenset(((line["row"], line["column"]), (line["other_row"], line["other_column"]))): float(
            line["standard_error"]
        )
        for line in lines
    }
