"""Command line: the metrics of a table's runs -> its tidy CSV, and <table>.paired.csv beside it.

The latter has the differences between cells of which the runs tell the values of single test points.

python -m shared.stages.aggregate --paper hmvae --table table2_oxford_flower --scale demo \\
    --margins config/margins.yaml --metrics runs/.../metrics.json ... --out results/table2_oxford_flower.csv
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from shared.errors import run_cli
from shared.files import write_text
from shared.report import text_table
from shared.report.compare import load_margins
from shared.report.layout import TextTable
from shared.report.paper import printed_of, reported_of, runs_at, table_of
from shared.report.tidy import Run, build, load_runs, paired, paired_path, to_csv
from shared.run.spec import check_scale


def frame_of(paper: str, name: str, runs: Sequence[Run], scale: str, margins: Path) -> pd.DataFrame:
    """The tidy table that runs give. InputError: as `build`, or tables.py names a run that there is not."""
    table = table_of(paper, name)
    planned = [run for run, _ in runs_at(paper, table, scale)]
    if isinstance(table, TextTable):
        layers = {run.name: run.layers for run in runs if run.is_count}
        return text_table.build(table, printed_of(paper, table), layers, scale)
    return build(table, reported_of(paper, table), runs, load_margins(margins), scale, planned)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m shared.stages.aggregate", description=__doc__.split("\n")[0])
    parser.add_argument("--paper", required=True)
    parser.add_argument("--table", required=True)
    parser.add_argument("--scale", required=True)
    parser.add_argument("--margins", type=Path, default=Path("config/margins.yaml"))
    parser.add_argument("--metrics", type=Path, nargs="*", default=[], help="metrics.json and architecture.json files")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    check_scale(args.scale)
    table = table_of(args.paper, args.table)
    runs = load_runs(args.metrics, args.paper, args.scale)
    write_text(paired_path(args.out), to_csv(paired(table, runs)))
    write_text(args.out, to_csv(frame_of(args.paper, args.table, runs, args.scale, args.margins)))


if __name__ == "__main__":
    run_cli(main)
