"""Command line: the metrics of a table's runs -> its tidy CSV.

python -m shared.stages.aggregate --paper hmvae --table table2_oxford_flower --scale demo \\
    --margins config/margins.yaml --metrics runs/.../metrics.json ... --out results/table2_oxford_flower.csv
"""

import argparse
from pathlib import Path

from shared.errors import run_cli
from shared.files import write_text
from shared.report.compare import load_margins
from shared.report.paper import reported_of, table_of
from shared.report.tidy import build, load_runs, to_csv
from shared.run.spec import check_scale


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
    reported = reported_of(args.paper, table)
    runs = load_runs(args.metrics, args.paper, args.scale)
    write_text(args.out, to_csv(build(table, reported, runs, load_margins(args.margins), args.scale)))


if __name__ == "__main__":
    run_cli(main)
