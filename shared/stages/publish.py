"""Copy a paper's finished tables and figures to papers/<paper>/reproduced/<scale>, with where every number comes from:
`python -m shared.stages.publish --paper hmvae --scale reduced`.

results/ and figures/ are never committed, since a committed output would make the command that builds it do nothing.
What a paper's README cites is kept here instead, together with provenance.json.
"""

import argparse
import shutil
from pathlib import Path
from typing import Any

from PIL import Image

from shared.errors import InputError, run_cli
from shared.files import atomic_path, read_json, sha256_of, write_json
from shared.report.compare import load_margins
from shared.report.paper import claims_of, reported_of, table_of
from shared.report.tidy import COLUMNS, NUMBERS, build, load_runs, read_table_csv
from shared.report.view import make_view
from shared.run import spec as specification
from shared.stages.figure import sources_of
from shared.stages.render import FORMATS

RESULTS, FIGURES, RUNS, MARGINS = Path("results"), Path("figures"), Path("runs"), Path("config/margins.yaml")
SUFFIXES = {"tables": (RESULTS, (".csv", ".md", ".tex")), "figures": (FIGURES, (".pdf", ".png"))}


def publish(paper: str, scale: str) -> list[Path]:
    """Copy all outputs of the paper that there are; returns the files written.

    What was published before stays, with its provenance, where nothing new takes its place.

    InputError: there is no output; a table or a figure is of another scale or made on stand-in data; it is not what its
    runs give; a run that is shown has no record; or the record of one changes that a target shows which would stay.
    """
    content, target = specification.load(paper), specification.PAPERS / paper / "reproduced" / scale
    finished, experiments, staying = [], set(), {}
    for kind, (folder, suffixes) in SUFFIXES.items():
        for name, entry in content.get(kind, {}).items():
            sources = {suffix: folder / f"{name}{suffix}" for suffix in suffixes}
            if not all(source.exists() for source in sources.values()):
                if any((target / source.name).exists() for source in sources.values()):
                    staying[name] = specification.runs_of(entry)
                continue
            if kind == "tables":
                _check_table(sources[".csv"], paper, name, scale)
            else:
                _check_figure(sources[".png"], paper, entry, scale)
            experiments.update(entry["runs"])
            finished += sources.values()
    if not finished:
        raise InputError(f"{paper}: no finished table or figure; run `snakemake {paper} --config scale={scale}` first")
    runs = {name: _runs(RUNS / scale / paper / name) for name in experiments}
    merged = _merged(target / "provenance.json", runs, staying)
    provenance = {"paper": paper, "scale": scale, "experiments": merged}
    # everything is checked by now, so that nothing is published by halves
    for source in finished:
        with atomic_path(target / source.name) as temporary:
            shutil.copyfile(source, temporary)
    write_json(target / "provenance.json", provenance)
    return [*(target / source.name for source in finished), target / "provenance.json"]


def _check_figure(png: Path, paper: str, entry: dict[str, Any], scale: str) -> None:
    """That a figure is whole, and the one its runs give: its files are written together, and the .png says of what."""
    pdf = png.with_suffix(".pdf")
    content = pdf.read_bytes().strip()
    if not (content.startswith(b"%PDF") and content.endswith(b"%%EOF")):
        raise InputError(f"{pdf}: no whole PDF; make it again with --config scale={scale}")
    try:
        with Image.open(png) as image:
            image.load()
            carried = image.info
    except (OSError, SyntaxError) as error:
        raise InputError(f"{png}: no picture ({error}); make it again with --config scale={scale}") from None
    if carried.get("Title") != f"scale: {scale}":
        raise InputError(
            f"{png}: says `{carried.get('Title')}`, not scale: {scale}; make it again with --config scale={scale}"
        )
    # a figure may have panels that were not run
    files = {run: RUNS / scale / paper / run / "seed0/samples.npz" for run in specification.runs_of(entry)}
    files = {run: file for run, file in files.items() if file.exists()}
    if not files:
        raise InputError(f"{png}: no samples in {RUNS / scale / paper}, which it must have been drawn from")
    if carried.get("Source") != sources_of({run: sha256_of(file) for run, file in files.items()}):
        raise InputError(f"{png}: not drawn from the samples in {RUNS / scale / paper}; make it again from all of them")
    for file in files.values():
        _require_training(file.parent)


def _check_table(path: Path, paper: str, name: str, scale: str) -> None:
    """That a table is the one its runs give, and that each of these can be traced."""
    table, entry = table_of(paper, name), specification.load(paper)["tables"][name]
    reported = reported_of(paper, table)
    shown = read_table_csv(path, table, reported)
    if set(shown["scale"]) != {scale}:
        names = ", ".join(sorted(set(shown["scale"])))
        raise InputError(f"{path}: made at scale {names}, not {scale}; make it again with --config scale={scale}")
    file = "architecture.json" if entry["needs"] == "architecture" else f"seed*/{entry['needs']}.json"
    folders = [RUNS / scale / paper / run for run in specification.runs_of(entry)]
    runs = load_runs([path for folder in folders for path in sorted(folder.glob(file))], paper, scale)
    given = build(table, reported, runs, load_margins(MARGINS), scale)
    for ours, theirs in zip(shown.to_dict("records"), given.to_dict("records"), strict=True):
        for key in (*NUMBERS, *COLUMNS):
            if ours[key] != theirs[key]:
                raise InputError(
                    f"{path}: {ours['row']!r}, {ours['column']!r}: {key} is {ours[key]!r}, but the runs in "
                    f"{RUNS / scale / paper} give {theirs[key]!r}; make the table again from all of them"
                )
    view = make_view(table, shown, reported, claims_of(paper, table))
    for suffix, text_of in FORMATS.items():
        if path.with_suffix(suffix).read_text(encoding="utf-8") != text_of(view):
            raise InputError(f"{path.with_suffix(suffix)}: not what {path.name} gives; render it again")
    if not runs:
        raise InputError(f"{path}: no finished runs in {RUNS / scale / paper}; an empty table is not published")
    for run in runs:
        if not run.is_count:
            _require_training(run.file.parent)


def _require_training(folder: Path) -> None:
    if not (folder / "train.json").exists():
        raise InputError(f"{folder}: no train.json, which is published, too; train this run again")


def _merged(path: Path, runs: dict[str, Any], staying: dict[str, list[str]]) -> dict[str, Any]:
    """Records of runs, by experiment, with those of what was published before.

    staying: by target, the runs of what stays as it was published. InputError: the record of one of them would change.
    """
    before = read_json(path, "experiments")["experiments"] if path.exists() else {}
    if not isinstance(before, dict) or not all(isinstance(records, dict) for records in before.values()):
        raise InputError(
            f"{path}: `experiments` holds no runs; restore the file, or delete its folder and publish again"
        )
    for experiment, records in sorted(runs.items()):
        old = before.get(experiment, {})
        for run, record in sorted(records.items()):
            model, kind = run.split("/")
            changed = record != old.get(run) and (run in old or kind != "architecture")
            shown = [name for name, models in staying.items() if f"{experiment}/{model}" in models]
            if changed and shown:
                raise InputError(
                    f"{path}: {shown[0]} was published without the run {experiment}/{run} as it is now; "
                    "make it, too, and publish all that shows this run"
                )
    merged = {name: before.get(name, {}) | runs.get(name, {}) for name in sorted({*before, *runs})}
    return {name: dict(sorted(records.items())) for name, records in merged.items() if records}


def _runs(folder: Path) -> dict[str, Any]:
    """For each run of an experiment what it was made of, what it cost and how it ended.

    InputError: it was trained on stand-in data, whose numbers compare with nothing.
    """
    records = {f"{file.parts[-2]}/architecture": read_json(file) for file in folder.glob("*/architecture.json")}
    for file in folder.glob("*/seed*/train.json"):
        trained = read_json(file, "spec", "spec_sha256", "fingerprint", "data", "provenance", "history", "diverged")
        if not isinstance(trained["data"], dict) or not isinstance(trained["history"], list):
            raise InputError(f"{file}: `data` or `history` is damaged; delete it and run the workflow again")
        if trained["data"].get("stand_in", True):
            raise InputError(f"{file}: trained on stand-in data; publish what real data gave, scale reduced or paper")
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
            keys = ("fingerprint", "protocol", "metrics")
            evaluated = read_json(metrics, *keys, "provenance")
            record |= {key: evaluated[key] for key in keys}
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
