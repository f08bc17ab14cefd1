"""Tables of words: the networks of a paper as printed beside those built, layer by layer."""

from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path

import pandas as pd

from shared.errors import InputError
from shared.report import latex, markdown
from shared.report.compare import AGREES, DIFFERS, NOT_RUN
from shared.report.layout import TextTable
from shared.report.reported import read_lines

COLUMNS = ["table", "row", "column", "reported", "reproduced", "verdict", "scale"]
REPORTED_COLUMNS = ["table", "row", "column", "text", "source"]
NOTE = "A column agrees if all its layers do, in their order; upper and lower case and spaces do not count."
Layers = Mapping[str, Mapping[str, list[str]]]  # by run and module


def build(table: TextTable, reported: Path, layers: Layers, scale: str) -> pd.DataFrame:
    """The tidy table, all text: a line per layer, printed or built, with its column's verdict.

    InputError: reported_text.csv is malformed or has other columns than the layout, or a model has no such module.
    """
    printed: dict[str, dict[str, str]] = {}
    for line in read_lines(reported, REPORTED_COLUMNS, table.name).values():
        printed.setdefault(line["column"], {})[line["row"]] = line["text"]
    if set(printed) != {column.reported for column in table.columns}:
        raise InputError(f"{reported}: {table.name}: its columns are not those of tables.py; correct one of the two")
    lines = []
    for column in table.columns:
        theirs, ours = printed[column.reported], []
        for module in column.modules if column.run in layers else ():
            if module not in layers[column.run]:
                known = ", ".join(layers[column.run])
                raise InputError(f"tables.py: {table.name}: {column.run} has no module {module}; it has {known}")
            ours += layers[column.run][module]
        agree = [*map(normal, theirs.values())] == [*map(normal, ours)]
        verdict = NOT_RUN if column.run not in layers else AGREES if agree else DIFFERS
        for number, (row, text) in enumerate(zip_longest(theirs, ours), 1):
            shown = {"row": row or str(number), "reported": theirs.get(row, ""), "reproduced": text or ""}
            lines.append({"table": table.name, "column": column.reported, "verdict": verdict, "scale": scale} | shown)
    return pd.DataFrame(lines, columns=COLUMNS, dtype=str)


def normal(text: str) -> str:
    """A layer's text without what printing adds."""
    return " ".join(text.casefold().replace("×", "x").replace("–", "-").split()).rstrip(".,;")


def to_markdown(table: TextTable, frame: pd.DataFrame) -> str:
    headings = [f"{c.label.plain} {side}" for c in table.columns for side in ("reported", "built")]
    verdicts = [text for verdict in _verdicts(table, frame) for text in ("verdict", verdict)]
    grid = markdown.grid([["", *headings], *_layers(table, frame), ["", *verdicts]], right=0)
    return f"**{markdown.escape(_caption(table, frame, table.caption.plain))}**\n\n{grid}\n\n{markdown.escape(NOTE)}\n"


def to_latex(table: TextTable, frame: pd.DataFrame) -> str:
    groups = [rf"\multicolumn{{2}}{{l}}{{{column.label.latex}}}" for column in table.columns]
    rows = [[latex.escape(text) for text in row] for row in _layers(table, frame)]
    verdicts = [rf"\multicolumn{{2}}{{l}}{{\itshape {verdict}}}" for verdict in _verdicts(table, frame)]
    body = [
        rf"\begin{{tabular}}{{@{{}}l{'ll' * len(groups)}@{{}}}}",
        *(r"\toprule", latex.row(["", *groups]), latex.row(["", *["reported", "built"] * len(groups)]), r"\midrule"),
        *map(latex.row, rows),
        *(r"\midrule", latex.row(["", *verdicts]), r"\bottomrule", r"\end{tabular}"),
    ]
    caption = latex.escape(_caption(table, frame, ""))
    return latex.floating(table.name, table.caption.latex + caption, body, [latex.escape(NOTE)])


def _caption(table: TextTable, frame: pd.DataFrame, base: str) -> str:
    scale = frame["scale"].iloc[0]
    return f"{base} {table.number} of the paper, networks as printed beside those built (scale: {scale})."


def _layers(table: TextTable, frame: pd.DataFrame) -> list[list[str]]:
    """Lines of the printed table: the row's name, then the layer as printed and as built for every column."""
    columns = [frame[frame["column"] == column.reported] for column in table.columns]
    pairs = [list(zip(each["row"], each["reported"], each["reproduced"], strict=True)) for each in columns]
    return [
        [
            next(cell[0] for cell in cells if cell),
            *(text for cell in cells for text in (cell[1:] if cell else ("", ""))),
        ]
        for cells in zip_longest(*pairs)
    ]


def _verdicts(table: TextTable, frame: pd.DataFrame) -> list[str]:
    return [frame["verdict"][frame["column"] == column.reported].iloc[0] for column in table.columns]
