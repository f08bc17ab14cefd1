"""Publish what a paper's runs at a scale gave in papers/<paper>/reproduced/<scale>, with where every number comes from:
`python -m shared.stages.publish --paper hmvae --scale reduced`.

results/ and figures/ are never committed, since a committed output would make the command that builds it do nothing.
What a paper's README cites is kept here instead. provenance.json holds the record of every run, and all tables are made
from it: what other machines published stays, and new runs take their places beside it.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from shared.errors import InputError, run_cli
from shared.files import read_json, write_json, write_text
from shared.report.layout import ARCHITECTURE, METRICS, Figure, Table, TextTable, runs_needed
from shared.report.paper import targets
from shared.report.tidy import PAIRED_COLUMNS, Run, load_runs, paired, paired_path, read_csv, run_of, to_csv
from shared.run import spec as specification
from shared.stages.aggregate import frame_of
from shared.stages.figure import draw
from shared.stages.render import rendered

RUNS, MARGINS = Path("runs"), Path("config/margins.yaml")
Records = dict[str, dict[str, Any]]  # by experiment and run, "<model>/seed<k>" or "<model>/architecture"


def publish(paper: str, scale: str) -> list[Path]:
    """Make all tables and figures of the paper that its runs allow; returns the files written.

    A figure whose runs are not all at hand stays as it was. InputError: there are no runs; one was trained on stand-in
    data; or a figure that would stay shows a run that has changed.
    """
    folder, source = specification.PAPERS / paper / "reproduced" / scale, RUNS / scale / paper
    path = folder / "provenance.json"
    content = read_json(path, "experiments") if path.exists() else {"paper": paper, "scale": scale, "experiments": {}}
    found = records(source, targets(paper, "tables").values())
    if not found:
        raise InputError(f"{paper}: no finished run in {source}; run `snakemake {paper} --config scale={scale}` first")
    before: Records = content["experiments"]
    changed = {
        f"{experiment}/{run.split('/')[0]}"
        for experiment, runs in found.items()
        for run, record in runs.items()
        if "metrics" in record and before.get(experiment, {}).get(run) != record
    }
    merged = {name: dict(sorted((before.get(name, {}) | found.get(name, {})).items())) for name in {*before, *found}}
    content["experiments"] = dict(sorted(merged.items()))
    content["evaluators"] = content.get("evaluators", {}) | networks(merged, scale)
    figures = {name: _sources(figure, source, merged) for name, figure in targets(paper, "figures").items()}
    for name, figure in targets(paper, "figures").items():
        if figures[name] is None and (folder / f"{name}.png").exists() and changed & set(figure.runs):
            raise InputError(
                f"{folder}/{name}.png: one of its runs changed, and others are not in {source}; draw it of all"
            )

    runs, written = runs_of(content), [path]
    there = {(run.name, ARCHITECTURE if run.is_count else METRICS) for run in runs}
    tables = {name: table for name, table in targets(paper, "tables").items() if there & {*runs_needed(table)}}
    frames = {name: frame_of(paper, name, runs, scale, MARGINS) for name in tables}
    at_hand = load_runs(sorted(source.glob("*/*/seed*/metrics.json")), paper, scale)
    # nothing of the above is wrong: nothing is published by halves
    write_json(path, content)
    for name, frame in frames.items():
        csv = folder / f"{name}.csv"
        write_text(csv, to_csv(frame))
        pairs = _paired(tables[name], csv, at_hand, changed)
        paired_path(csv).unlink(missing_ok=True)
        if len(pairs):
            write_text(paired_path(csv), to_csv(pairs))
        files = {csv.with_suffix(suffix): text for suffix, text in rendered(paper, name, csv).items()}
        for file, text in files.items():
            write_text(file, text)
        written += [csv, *files, *([paired_path(csv)] if paired_path(csv).exists() else [])]
    for name, figure in targets(paper, "figures").items():
        csv = folder / f"{name}.csv"
        if figures[name] or (figure.table and csv.exists()):
            draw(paper, figure, scale, str(folder / name), figures[name] or {}, csv if figure.table else None)
            written += [folder / f"{name}.pdf", folder / f"{name}.png"]
    return written


def records(source: Path, tables: Iterable[Table | TextTable]) -> Records:
    """What the evaluated runs of a folder were made of, what they cost and how they ended; counts on models, and the
    layers that tables show.

    InputError: one was trained on stand-in data, whose numbers compare with nothing.
    """
    found: Records = {}
    columns = [column for table in tables if isinstance(table, TextTable) for column in table.columns]
    for file in sorted(source.glob("*/*/architecture.json")):
        experiment, model = file.parts[-3:-1]
        built = read_json(file, "layers")
        shown = {part for column in columns if column.run == f"{experiment}/{model}" for part in column.parts}
        built["layers"] = {part: texts for part, texts in built["layers"].items() if part in shown}
        found.setdefault(experiment, {})[f"{model}/architecture"] = built
    for file in sorted(source.glob("*/*/seed*/metrics.json")):
        evaluated = read_json(file, "fingerprint", "pipeline", "comparable", "protocol", "metrics", "provenance")
        record = trained(file.with_name("train.json")) | {
            key: evaluated[key] for key in ("fingerprint", "pipeline", "comparable", "protocol", "metrics")
        }
        record["evaluation"] = evaluated["provenance"]
        found.setdefault(file.parts[-4], {})[f"{file.parts[-3]}/{file.parts[-2]}"] = record
    return found


def trained(file: Path) -> dict[str, Any]:
    """The record of a training. InputError: it is incomplete, or of stand-in data."""
    content = read_json(file, "spec", "spec_sha256", "fingerprint", "data", "provenance", "history", "diverged")
    if content["data"]["stand_in"]:
        raise InputError(f"{file}: trained on stand-in data; publish what real data gave, scale reduced or paper")
    return {
        "specification": content["spec"],
        "specification_sha256": content["spec_sha256"],
        "code": content["fingerprint"],
        "data": content["data"],
        "training": content["provenance"],
        "last_epoch": content["history"][-1] if content["history"] else None,
        "diverged": content["diverged"],
    }


def networks(runs: Records, scale: str) -> Records:
    """Trainings of the networks that metrics used, by data set."""
    data = [record["specification"]["data"] for each in runs.values() for record in each.values() if "data" in record]
    keys = {specification.data_key(stage) for part in data for stage in specification.data_stages(part)}
    folders = {key: RUNS / scale / "evaluators" / key for key in sorted(keys)}
    return {
        key: {f"{file.parts[-3]}/{file.parts[-2]}": trained(file) for file in sorted(folder.glob("*/seed*/train.json"))}
        for key, folder in folders.items()
        if folder.exists()
    }


def runs_of(content: dict[str, Any]) -> list[Run]:
    """The runs of a provenance.json, as aggregation takes them."""
    found = []
    for experiment, entries in content["experiments"].items():
        for name, record in entries.items():
            if "metrics" in record:
                spec = {key: record["specification"][key] for key in ("paper", "experiment", "model", "scale", "seed")}
                about = {"data": record["data"]["description"], "stand_in": record["data"]["stand_in"]}
                found.append(run_of(record | spec | about, f"{experiment}/{name}"))
            elif "latent_variables" in record:
                found.append(run_of(record, f"{experiment}/{name}"))
    return found


def _paired(table: Table, csv: Path, at_hand: list[Run], changed: set[str]) -> pd.DataFrame:
    """Paired differences of the runs at hand, and those published before between runs that have not changed."""
    new = paired(table, at_hand)
    if not paired_path(csv).exists():
        return new
    cells = {(row.reported, column.name): row.run or column.run for row, column in table.cells()}
    old = read_csv(paired_path(csv))
    ends = (("row", "column"), ("other_row", "other_column"))
    kept = [
        all(cells.get((line[row], line[column]), "") not in {"", *changed} for row, column in ends)
        for line in old.to_dict("records")
    ]
    return pd.concat([new, old[kept]]).drop_duplicates(PAIRED_COLUMNS[:4]).sort_values(PAIRED_COLUMNS[:4])


def _sources(figure: Figure, source: Path, merged: Records) -> dict[str, Path] | None:
    """The files that a figure shows; None where it shows a published run, or data, that are not at hand."""
    shown = {}
    for run in figure.runs:
        experiment, model = run.split("/")
        if f"{model}/seed0" in merged.get(experiment, {}):
            shown[run] = source / run / "seed0/samples.npz"
    for experiment in figure.data:
        part = specification.data_part(source.name, experiment, source.parent.name)
        shown[experiment] = source.parent / "data" / specification.data_key(part) / "data.json"
    if not all(path.exists() for path in shown.values()):
        return None
    return {name: path.parent if name in figure.data else path for name, path in shown.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--paper", required=True)
    parser.add_argument("--scale", required=True, choices=specification.SCALES)
    arguments = parser.parse_args()
    for path in publish(arguments.paper, arguments.scale):
        print(path)


if __name__ == "__main__":
    run_cli(main)
