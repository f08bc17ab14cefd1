"""Tables of words: the networks of a paper as printed beside those built, layer by layer."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from itertools import count, product, zip_longest
from math import prod
from pathlib import Path
from string import ascii_lowercase

import pandas as pd

from shared.errors import InputError
from shared.report import latex, markdown
from shared.report.compare import AGREES, DIFFERS, NOT_RUN
from shared.report.layout import Text, TextColumn, TextTable, words
from shared.report.reported import Printed, PrintedLayer
from shared.report.tidy import read_csv

COLUMNS = ["table", "row", "column", "reported", "reproduced", "verdict", "note", "scale"]
ONLY_PRINTED, ONLY_BUILT = "only printed", "only built"
MARKS = {
    DIFFERS: Text(r"$\neq$", "≠"),
    ONLY_PRINTED: Text("$-$", "−"),
    ONLY_BUILT: Text("$+$", "+"),
}
_SIGNS = (
    "{} the two differ, {} only in the paper, {} only here. Sizes are compared by value, 256*5*5 is 6400; a dash in "
    "place of one agrees with every size, and what stands in square brackets is a remark."
)
SIGNS = Text(*(_SIGNS.format(*signs) for signs in zip(*((m.latex, m.plain) for m in MARKS.values()), strict=True)))
Line = Mapping[str, str]
Layers = Mapping[str, Mapping[str, list[str]]]  # by run and part, as `shared.stages.architecture` lists them
Pair = tuple[PrintedLayer | None, str]


def build(table: TextTable, printed: Printed, layers: Layers, scale: str) -> pd.DataFrame:
    """The tidy table, all text: a line per layer, printed, built or both, with its verdict and the paper's note on it.

    printed: as `shared.report.paper.printed_of` reads it. InputError: a model has no such part.
    """
    lines = []
    for column in table.columns:
        theirs, there = printed[column.reported], column.run in layers
        pairs = aligned(theirs, _built(table, column, layers[column.run]) if there else [])
        for their, our in pairs:
            texts = {"reported": their.text if their else "", "reproduced": our}
            about = {"row": their.row if their else "", "note": their.note if their else ""}
            found = {"verdict": verdict(**texts) if there else NOT_RUN, "scale": scale}
            lines.append({"table": table.name, "column": column.name} | texts | about | found)
    return pd.DataFrame(lines, columns=COLUMNS, dtype=str)


def read_text_csv(path: Path, table: TextTable) -> pd.DataFrame:
    """A tidy table as `build` makes it. InputError: missing, or its columns are not those of the layout."""
    frame = read_csv(path)
    if list(frame.columns) != COLUMNS or [*dict.fromkeys(frame["column"])] != [each.name for each in table.columns]:
        raise InputError(f"{path}: its columns are not those of {table.name}; aggregate again")
    return frame


def _built(table: TextTable, column: TextColumn, parts: Mapping[str, list[str]]) -> list[str]:
    """The layers of a column's parts, in the paper's notation; of the inputs, that of the first part."""
    found: list[str] = []
    for part in column.parts:
        if part not in parts:
            raise InputError(f"tables.py: {table.name}: {column.run} has no {part}; it has {', '.join(parts)}")
        found += [text for text in parts[part] if not (found and text.startswith("Input "))]
    return [text for text in map(table.notation, found) if text]


def aligned(theirs: Sequence[PrintedLayer], ours: Sequence[str]) -> list[Pair]:
    """Two lists of layers in their order, side by side: a layer that one of them lacks shifts nothing that follows.

    Equal layers are matched first, then, between those, layers of one kind.
    """
    return _matched(theirs, ours, (normal, kind))


def _matched(theirs: Sequence[PrintedLayer], ours: Sequence[str], keys: Sequence[Callable[[str], str]]) -> list[Pair]:
    if not keys:
        return [*((their, "") for their in theirs), *((None, our) for our in ours)]
    key, *rest = keys
    matcher = SequenceMatcher(None, [key(their.text) for their in theirs], [*map(key, ours)], autojunk=False)
    pairs: list[Pair] = []
    for tag, i, j, k, n in matcher.get_opcodes():
        if tag == "equal":
            pairs += zip(theirs[i:j], ours[k:n], strict=True)
        else:
            pairs += _matched(theirs[i:j], ours[k:n], rest)
    return pairs


def verdict(reported: str, reproduced: str) -> str:
    """Of one line. A dash that stands for a printed size agrees with every size."""
    if not (reported and reproduced):
        return ONLY_PRINTED if reported else ONLY_BUILT
    sizes = map(re.escape, re.split(r"(?<=[(,])-(?=[,)])", normal(reported)))
    return AGREES if re.fullmatch(r"\d+".join(sizes), normal(reproduced)) else DIFFERS


def normal(text: str) -> str:
    """A layer's text without what printing adds: case, spaces, remarks in brackets; products are multiplied out."""
    text = re.sub(r"\[.*?\]", "", text).casefold().replace("×", "x").replace("–", "-")
    return re.sub(r"\d+(\*\d+)+|(?<=\^\{)\d+(x\d+)+", _product, "".join(text.split()).rstrip(".,;"))


def _product(sizes: re.Match[str]) -> str:
    return str(prod(map(int, re.findall(r"\d+", sizes[0]))))


def kind(text: str) -> str:
    """The layer without its sizes: `conv`, `dense`, `input`."""
    return re.match(r"\w*", text.strip().casefold())[0]


def to_markdown(table: TextTable, frame: pd.DataFrame) -> str:
    parts = [f"**{markdown.escape(_caption(table, frame, table.caption.plain))}**"]
    letters = _letters(frame)
    for columns, lines in _blocks(table, frame):
        headings = [text for column in columns for text in (f"{column.label.plain}: paper", "", "here")]
        rows = [
            [
                text
                for line in each
                for text in (line["reported"], _mark(line, letters, "{}{}").plain, line["reproduced"])
            ]
            for each in lines
        ]
        counts = [text for column in columns for text in ("", "", _count(frame, column))]
        parts.append(markdown.grid([headings, *rows, counts], right=0))
    notes = [*(f"{letter}: {note}." for note, letter in letters.items()), SIGNS.plain]
    return "\n\n".join([*parts, "\n".join(f"- {markdown.escape(note)}" for note in notes)]) + "\n"


def to_latex(table: TextTable, frame: pd.DataFrame) -> str:
    letters = _letters(frame)
    sides = r"@{\qquad}".join([r"l@{\enspace}c@{\enspace}l"] * table.per_line)
    body = [rf"\begin{{tabular}}{{@{{}}{sides}@{{}}}}", r"\toprule"]
    for number, (columns, lines) in enumerate(_blocks(table, frame)):
        if number:
            body += [r"\midrule[\heavyrulewidth]", r"\addlinespace"]
        body.append(latex.row([rf"\multicolumn{{3}}{{l}}{{\textbf{{{column.label.latex}}}}}" for column in columns]))
        body += [latex.row(["paper", "", "here"] * len(columns)), r"\midrule"]
        for each in lines:
            shown = (
                (line["reported"], _mark(line, letters, r"{}\textsuperscript{{{}}}").latex, line["reproduced"])
                for line in each
            )
            body.append(latex.row([text for left, mark, right in shown for text in (_set(left), mark, _set(right))]))
        counts = [rf"\multicolumn{{3}}{{l}}{{\itshape {_count(frame, column)}}}" for column in columns]
        body += [r"\addlinespace[2pt]", latex.row(counts)]
    notes = [rf"\textsuperscript{{{letter}}} {latex.escape(note)}." for note, letter in letters.items()]
    caption = table.caption.latex + latex.escape(_caption(table, frame, ""))
    return latex.floating(table.name, caption, [*body, r"\bottomrule", r"\end{tabular}"], [*notes, SIGNS.latex])


def _set(text: str) -> str:
    """A layer in LaTeX; `Input R^{3x64x64}` and `z_1 R^{8}` as formulas that need no package."""
    name, of_shape, shape = text.partition(" R^{")
    by = shape.removesuffix("}").replace("x", r" \times ")
    named = f"${name}$" if re.fullmatch(r"[a-z](_\d+)?", name) else latex.escape(name)
    return named + (rf" $\in \mathbf{{R}}^{{{by}}}$" if of_shape else "")


def _caption(table: TextTable, frame: pd.DataFrame, base: str) -> str:
    scale = frame["scale"].iloc[0]
    return f"{base} {table.number} of the paper, networks as printed beside those built here (scale: {scale})."


def _blocks(table: TextTable, frame: pd.DataFrame) -> Iterator[tuple[Sequence[TextColumn], list[list[Line]]]]:
    """Columns that stand side by side, with their lines; a shorter column ends in blank lines."""
    blank = dict.fromkeys(COLUMNS, "")
    for first in range(0, len(table.columns), table.per_line):
        columns = table.columns[first : first + table.per_line]
        lines = [frame[frame["column"] == column.name].to_dict("records") for column in columns]
        yield columns, [list(each) for each in zip_longest(*lines, fillvalue=blank)]


def _letters(frame: pd.DataFrame) -> dict[str, str]:
    """Notes in their order, each with a letter of its own: a to z, then aa, ab and so on."""
    letters = ("".join(each) for length in count(1) for each in product(ascii_lowercase, repeat=length))
    return dict(zip(filter(None, dict.fromkeys(frame["note"])), letters, strict=False))


def _mark(line: Line, letters: Mapping[str, str], form: str) -> Text:
    """What stands between the two sides: the sign of the verdict, and the letter of the note."""
    sign, letter = MARKS.get(line["verdict"], words("")), letters.get(line["note"], "")
    return Text(*((form.format(each, letter) if letter else each) for each in (sign.latex, sign.plain)))


def _count(frame: pd.DataFrame, column: TextColumn) -> str:
    verdicts = frame["verdict"][frame["column"] == column.name]
    if (verdicts == NOT_RUN).any():
        return NOT_RUN
    apart = (verdicts != AGREES).sum()
    return f"{apart} of {len(verdicts)} differ" if apart else "as printed"
