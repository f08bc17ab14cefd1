"""Command line: a table's tidy CSV -> LaTeX and Markdown beside it, and the terminal with --print.

python -m shared.stages.render --paper hmvae --table table2_oxford_flower \\
    --csv results/table2_oxford_flower.csv --out-prefix results/table2_oxford_flower [--print]
"""

import argparse
from pathlib import Path

from rich.console import Console

from shared.errors import run_cli
from shared.files import write_text
from shared.report import text_table
from shared.report.latex import to_latex
from shared.report.layout import TextTable
from shared.report.markdown import to_markdown
from shared.report.paper import claims_of, reported_of, table_of
from shared.report.terminal import print_view
from shared.report.tidy import read_paired, read_table_csv
from shared.report.view import View, make_view


def view_of(paper: str, name: str, csv: Path) -> View:
    """The view of a CSV of numbers, with the paper's layout, numbers and claims."""
    table = table_of(paper, name)
    reported = reported_of(paper, table)
    return make_view(table, read_table_csv(csv, table), reported, claims_of(paper, table), read_paired(csv))


def rendered(paper: str, name: str, csv: Path) -> dict[str, str]:
    """{suffix: content} of the files beside a table's CSV."""
    table = table_of(paper, name)
    if isinstance(table, TextTable):
        frame = text_table.read_text_csv(csv, table)
        return {".tex": text_table.to_latex(table, frame), ".md": text_table.to_markdown(table, frame)}
    view = view_of(paper, name, csv)
    return {".tex": to_latex(view), ".md": to_markdown(view)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m shared.stages.render", description=__doc__.split("\n")[0])
    parser.add_argument("--paper", required=True)
    parser.add_argument("--table", required=True)
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--out-prefix", help="writes <prefix>.tex and <prefix>.md")
    parser.add_argument("--print", action="store_true", help="show the table in the terminal")
    args = parser.parse_args()
    if not args.out_prefix and not args.print:
        parser.error("nothing to do: give --out-prefix, --print, or both")

    if args.out_prefix:
        for suffix, text in rendered(args.paper, args.table, args.csv).items():
            write_text(f"{args.out_prefix}{suffix}", text)
    if args.print and isinstance(table_of(args.paper, args.table), TextTable):
        print(rendered(args.paper, args.table, args.csv)[".md"])
    elif args.print:
        print_view(view_of(args.paper, args.table, args.csv), Console())


if __name__ == "__main__":
    run_cli(main)
