"""From the metrics of runs to a table's tidy CSV: one row per cell, reported, reproduced, and a verdict."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import hypot, isfinite
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pandas as pd

from shared.errors import InputError
from shared.files import read_json
from shared.report.compare import (
    DIVERGED,
    INCONCLUSIVE,
    NOT_COMPARABLE,
    NOT_RUN,
    Margins,
    Verdict,
    is_verdict,
    margin_for,
    verdict,
)
from shared.report.layout import Column, Row, Table, cell_of
from shared.report.reported import Cells, Reported

COLUMNS = [
    "table",
    "row",
    "column",
    "metric",
    "unit",
    "direction",
    "reported_mean",
    "reported_spread",
    "reported_spread_kind",
    "reported_n",
    "reproduced_mean",
    "reproduced_sd",
    "reproduced_n",
    "reproduced_mc_error",
    "difference",
    "verdict",
    "protocol",
    "scale",
    "data",
]
NUMBERS = ("reproduced_mean", "reproduced_sd", "reproduced_n", "reproduced_mc_error", "difference")
STAND_IN = "stand-in: "
COUNTED = "counted on the model as built"
NO_DATA = "none"
MIXED = "mixed code fingerprints"


@dataclass(frozen=True)
class Measurement:
    """mc_error: the standard error of the value from the metric's own random numbers, None where none is given."""

    name: str
    value: float
    unit: str
    mc_error: float | None = None


@dataclass(frozen=True)
class Run:
    """What one metrics.json or architecture.json says.

    name: "<experiment>/<model>". fingerprint: of all code behind the numbers. pipeline: of the part that all models
    of a table share.
    values: by metric key and variant, empty if diverged. diverged: where, or the empty string.
    """

    file: Path
    name: str
    seed: int | None
    fingerprint: str
    pipeline: str
    protocol: str
    data: str
    values: dict[tuple[str, str], Measurement]
    diverged: str = ""

    @property
    def is_count(self) -> bool:
        """Counted on an untrained model: no data, no seed, no protocol."""
        return self.data == NO_DATA


def load_runs(files: Iterable[Path], paper: str, scale: str) -> list[Run]:
    """Runs of one paper at one scale, sorted by name and seed, so that the order of files does not matter.

    InputError: unreadable or incomplete file, another paper or scale, or the same run twice.
    """
    runs: dict[tuple[str, bool, int], Run] = {}
    for file in files:
        content = read_json(file)
        try:
            for key, expected in (("paper", paper), ("scale", scale)):
                if content[key] != expected:
                    raise InputError(f"{file}: {key} is {content[key]!r}, the table is made for {expected!r}")
            run = _counts(file, content) if "latent_variables" in content else _metrics(file, content)
        except (KeyError, TypeError) as error:
            raise InputError(f"{file}: no metrics or architecture file ({error}); make it again") from None
        identity = (run.name, run.is_count, run.seed or 0)
        if identity in runs:
            raise InputError(f"{file}: the same run as {runs[identity].file}; give one of them")
        runs[identity] = run
    return [runs[identity] for identity in sorted(runs)]


def _metrics(file: Path, content: dict[str, Any]) -> Run:
    return Run(
        file=file,
        name=_name(content),
        seed=_count(content, "seed"),
        fingerprint=_text(content, "fingerprint"),
        pipeline=_text(content, "pipeline"),
        protocol=_text(content, "protocol"),
        data=(STAND_IN if content["stand_in"] else "") + _text(content, "data"),
        values=_values(file, content.get("metrics", [])),
        diverged="epoch {epoch}, step {step}".format(**content["diverged"]) if "diverged" in content else "",
    )


def _name(content: dict[str, Any]) -> str:
    return f"{_text(content, 'experiment')}/{_text(content, 'model')}"


def _text(content: dict[str, Any], key: str) -> str:
    if not isinstance(content[key], str):
        raise TypeError(f"{key} is {content[key]!r}")
    return content[key]


def _values(file: Path, metrics: Sequence[dict[str, Any]]) -> dict[tuple[str, str], Measurement]:
    values: dict[tuple[str, str], Measurement] = {}
    for metric in metrics:
        key = (_text(metric, "key"), _text(metric, "variant"))
        if key in values:
            raise InputError(f"{file}: {' '.join(key).strip()} twice; evaluate this run again")
        values[key] = _measurement(file, metric)
    return values


def _measurement(file: Path, metric: dict[str, Any]) -> Measurement:
    value, error = (metric.get(key) for key in ("value", "monte_carlo_error"))
    for number in (value, 0.0 if error is None else error):
        if not isinstance(number, int | float) or not isfinite(number):
            raise InputError(f"{file}: {metric['key']} is {number!r}, no finite number; evaluate this run again")
    return Measurement(_text(metric, "name"), value, _text(metric, "unit"), error)


def _counts(file: Path, content: dict[str, Any]) -> Run:
    values = {
        ("architecture/latent_variables", ""): Measurement("# LV", _count(content, "latent_variables"), ""),
        ("architecture/parameters", ""): Measurement("# Params", _count(content, "parameters") / 1e6, "M"),
    }
    return Run(file, _name(content), None, _text(content, "fingerprint"), "", COUNTED, NO_DATA, values)


def _count(content: dict[str, Any], key: str) -> int:
    if not isinstance(content[key], int):
        raise TypeError(f"{key} is {content[key]!r}")
    return content[key]


def build(table: Table, reported: Cells, runs: Sequence[Run], margins: Margins, scale: str) -> pd.DataFrame:
    """The tidy table, all columns as text: numbers of the paper as printed, ours with six decimals.

    reproduced_mean, reproduced_sd: over reproduced_n runs, one per seed. reproduced_mc_error: the standard error of the
    mean from the random numbers of the evaluations alone, blank where a metric does not tell its own.
    """
    lines = [
        _line(table, row, column, reported[row.reported, column.reported], runs, margins, scale)
        for row, column in table.cells()
    ]
    return pd.DataFrame(lines, columns=COLUMNS, dtype=str)


def _line(
    table: Table,
    row: Row,
    column: Column,
    cell: Reported,
    runs: Sequence[Run],
    margins: Margins,
    scale: str,
) -> dict[str, str]:
    source = cell_of(row, column)
    mine = [run for run in runs if run.name == source.run and run.is_count == source.is_count]
    measured = [run.values[source.key, source.variant] for run in mine if (source.key, source.variant) in run.values]
    for measurement in measured:
        if measurement.unit != cell.unit:
            raise InputError(
                f"{mine[0].file}: {source.key} has unit {measurement.unit!r}, the paper's has {cell.unit!r}; convert it"
            )
    values = [measurement.value for measurement in measured]
    names = sorted({measurement.name for measurement in measured}) or [cell.metric]
    # A substitute for the paper's metric bears another name.
    comparable = names == [cell.metric] and all(_papers_setting(table, run) for run in mine)
    judged = _judge(cell, mine, values, comparable, margins, source.key)
    return {
        "table": table.name,
        "row": row.reported,
        "column": column.reported,
        "metric": " / ".join(names),
        **_as_printed(cell),
        "reproduced_mean": fixed(fmean(values)) if values else "",
        "reproduced_sd": fixed(stdev(values)) if len(values) > 1 else "",
        "reproduced_n": str(len(values)) if values else "",
        "reproduced_mc_error": _mc_error(measured),
        "difference": fixed(fmean(values) - cell.mean) if values and cell.mean is not None else "",
        "verdict": judged,
        "protocol": _protocol(mine, runs),
        "scale": scale,
        "data": " / ".join(sorted({run.data for run in mine})),
    }


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


def _mc_error(measured: Sequence[Measurement]) -> str:
    """Of the mean of independent evaluations."""
    errors = [measurement.mc_error for measurement in measured]
    return "" if not errors or None in errors else fixed(hypot(*errors) / len(errors))


def _papers_setting(table: Table, run: Run) -> bool:
    """Whether a run's data and protocol are the paper's. A count on the model needs neither."""
    if run.is_count:
        return True
    return (
        not run.data.startswith(STAND_IN)
        and all(mentions(run.protocol, phrase) for phrase in table.protocol)
        and all(mentions(run.data, phrase) for phrase in table.data)
    )


def mentions(text: str, phrase: str) -> bool:
    """Whether a phrase stands in a text as whole words: `MNIST, grey values` is not in `FashionMNIST, grey values`."""
    return re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", text) is not None


def _judge(
    cell: Reported, mine: Sequence[Run], values: list[float], comparable: bool, margins: Margins, key: str
) -> str:
    diverged = [run.diverged for run in mine if run.diverged]
    if diverged:
        # The seeds that are left were selected by their own success: their mean is kept, but neither shown nor judged.
        share = f"{len(diverged)} of {len(mine)} seeds: " if len(mine) > 1 else ""
        return f"{DIVERGED} ({share}{'; '.join(diverged)})"
    if not values:
        return NOT_RUN
    if not comparable:
        return NOT_COMPARABLE
    return verdict_text(verdict(cell, values, margin_for(margins, key)))


def verdict_text(judged: Verdict) -> str:
    """The verdict as the CSV has it: where it is open, with the least shift that would have been noticed."""
    if judged.verdict == INCONCLUSIVE:
        return f"{INCONCLUSIVE} (detectable from {judged.smallest_detectable_shift:.3g})"
    return judged.verdict


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


def to_csv(frame: pd.DataFrame) -> str:
    return frame.to_csv(index=False, lineterminator="\n")


def read_table_csv(path: Path, table: Table, reported: Cells) -> pd.DataFrame:
    """A tidy table as written by `to_csv`, all text.

    InputError: missing, other columns or cells, another table, other reported numbers, or a number that is none.
    """
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run python -m shared.stages.aggregate first") from None
    except ValueError as error:
        raise InputError(f"{path}: not a CSV table ({error}); delete it and aggregate again") from None
    if list(frame.columns) != COLUMNS:
        raise InputError(f"{path}: the columns must be {','.join(COLUMNS)}; aggregate again")
    if set(frame["table"]) != {table.name}:
        raise InputError(f"{path}: holds {', '.join(sorted(set(frame['table'])))}, not {table.name}")
    found = list(zip(frame["row"], frame["column"], strict=True))
    if found != table.names:
        strange = [name for name in found if name not in table.names] or [n for n in table.names if n not in found]
        named = f"{strange[0][0]!r}, {strange[0][1]!r}" if strange else "their order or number"
        raise InputError(f"{path}: its cells are not those of {table.name} ({named}); aggregate again")
    if frame["scale"].nunique() != 1:
        raise InputError(f"{path}: made at scales {', '.join(sorted(set(frame['scale'])))}; aggregate again")
    for line in frame.to_dict("records"):
        _check_line(line, reported[line["row"], line["column"]], f"{path}: {line['row']!r}, {line['column']!r}")
    return frame


def _check_line(line: dict[str, str], cell: Reported, where: str) -> None:
    for key, value in _as_printed(cell).items():
        if line[key] != value:
            raise InputError(f"{where}: {key} is {line[key]!r}, in reported.csv {value!r}; aggregate again")
    for key in NUMBERS:
        if line[key] and not _is_number(line[key]):
            raise InputError(f"{where}: {key} is {line[key]!r}, no finite number; aggregate again")
    runs = line["reproduced_n"]
    if bool(line["reproduced_mean"]) != (runs.isdecimal() and int(runs) > 0):
        raise InputError(f"{where}: reproduced_n is {runs!r}, no number of runs; aggregate again")
    if not is_verdict(line["verdict"]):
        raise InputError(f"{where}: verdict is {line['verdict']!r}, which is none; aggregate again")


def _is_number(text: str) -> bool:
    try:
        return isfinite(float(text))
    except ValueError:
        return False
