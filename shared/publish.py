"""Copy a paper's finished tables and figures to papers/<paper>/reproduced, with where every number comes from:
`python -m shared.publish --paper hmvae --scale reduced`.

results/ and figures/ are never committed, since a committed output would make the command that builds it do nothing.
What a paper's README cites is kept here instead, together with provenance.json.
"""

import argparse
import csv
import shutil
from pathlib import Path
from typing import Any

from PIL import Image

from shared import spec as specification
from shared.errors import InputError, run_cli
from shared.files import atomic_path, read_json, write_json

RESULTS, FIGURES, RUNS = Path("results"), Path("figures"), Path("runs")
SUFFIXES = {"tables": (RESULTS, (".csv", ".md", ".tex")), "figures": (FIGURES, (".pdf", ".png"))}


def publish(paper: str, scale: str) -> list[Path]:
    """Copy all outputs of the paper that there are; returns the files written.

    InputError: there is no output, a table is of another scale, or a run that it is made of is missing.
    """
    content, target = specification.load(paper), specification.PAPERS / paper / "reproduced"
    finished, experiments, shown = [], set(), set()
    for kind, (folder, suffixes) in SUFFIXES.items():
        for name, entry in content.get(kind, {}).items():
            sources = [folder / f"{name}{suffix}" for suffix in suffixes]
            if not all(source.exists() for source in sources):
                continue
            check = _check_table if kind == "tables" else _check_figure
            check(sources, scale)
            (experiments if kind == "tables" else shown).update(entry["runs"])
            finished += sources
    if not finished:
        raise InputError(f"{paper}: no finished table or figure; run `snakemake {paper} --config scale={scale}` first")
    # everything is checked by now, so that nothing is published by halves
    runs = {name: _runs(RUNS / scale / paper / name) for name in sorted(experiments | shown)}
    # a figure may have panels that were not run; the numbers of a table need the runs they came from
    for name in sorted(experiments if any(runs.values()) else experiments | shown):
        if not runs[name]:
            raise InputError(
                f"{RUNS / scale / paper / name}: no finished runs; their train.json files are part of what is published"
            )
    for source in finished:
        with atomic_path(target / source.name) as temporary:
            shutil.copyfile(source, temporary)
    write_json(
        target / "provenance.json",
        {"paper": paper, "scale": scale, "experiments": {k: v for k, v in runs.items() if v}},
    )
    return [*(target / source.name for source in finished), target / "provenance.json"]


def _check_figure(sources: list[Path], scale: str) -> None:
    png = next(path for path in sources if path.suffix == ".png")
    with Image.open(png) as image:
        found = image.info.get("Title")
    if found != f"scale: {scale}":
        raise InputError(f"{png}: says `{found}`, not scale: {scale}; make it again with --config scale={scale}")


def _check_table(sources: list[Path], scale: str) -> None:
    table = next(path for path in sources if path.suffix == ".csv")
    with table.open(encoding="utf-8", newline="") as file:
        found = {line["scale"] for line in csv.DictReader(file)}
    if found != {scale}:
        names = ", ".join(sorted(found))
        raise InputError(f"{table}: made at scale {names}, not {scale}; make it again with --config scale={scale}")


def _runs(folder: Path) -> dict[str, Any]:
    """For each run of an experiment what it was made of, what it cost and how it ended."""
    records = {}
    for file in sorted(folder.glob("*/seed*/train.json")):
        trained = read_json(file)
        record = {
            "specification": trained["spec"],
            "specification_sha256": trained["spec_sha256"],
            "code": trained["fingerprint"],
            "data": trained["data"],
            "training": trained["provenance"],
            "last_epoch": trained["history"][-1] if trained["history"] else None,
            "diverged": trained["diverged"],
        }
        metrics = file.with_name("metrics.json")
        if metrics.exists():
            evaluated = read_json(metrics)
            record |= {key: evaluated[key] for key in ("fingerprint", "protocol", "metrics")}
            record["evaluation"] = evaluated["provenance"]
        records[f"{file.parts[-3]}/{file.parts[-2]}"] = record
    return records


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--paper", required=True)
    parser.add_argument("--scale", required=True, choices=specification.SCALES)
    arguments = parser.parse_args()
    for path in publish(arguments.paper, arguments.scale):
        print(path)


if __name__ == "__main__":
    run_cli(main)
