"""A table for a LaTeX document: booktabs, and graphicx to shrink it where it is wider than the text."""

import re

from shared.report.layout import Text
from shared.report.view import (
    CLAIM_NOTE,
    ClaimLine,
    Line,
    Number,
    PanelView,
    View,
    headings,
    legend,
    short_verdict,
)

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "−": "$-$",
    "–": "--",
    "—": "---",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
_DASH = "--"  # of text: mathematics would refuse it or make it two minus signs
_GAP = r"\addlinespace[2pt]"
_SHRINK = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"


def escape(text: str) -> str:
    """Plain text as LaTeX writes it."""
    return "".join(_SPECIAL.get(character, character) for character in text)


def to_latex(view: View) -> str:
    """Two floats, the table and the claims about it, to be read with \\input."""
    header = [
        f"% {view.table.number}, from {view.table.name}.csv, which python -m shared.stages.aggregate made.",
        r"% Needs \usepackage{booktabs} and \usepackage{graphicx} (\resizebox, where a table is too wide).",
    ]
    numbers = floating(view.table.name, _caption(view), _tabular(view), _notes(view))
    return "\n".join(header) + "\n" + numbers + (_claims(view) if view.claims else "")


def floating(label: str, caption: str, tabular: list[str], notes: list[str], size: str = r"\footnotesize") -> str:
    """A table float: what is wider than the text is shrunk."""
    lines = [
        *(
            r"\begin{table}[tbp]",
            r"\centering",
            rf"\caption{{{caption}}}",
            rf"\label{{tab:{label}}}",
            r"\medskip",
            size,
        ),
        *(r"\setlength{\tabcolsep}{4pt}", _SHRINK, *tabular, "}"),
        *(r"\par\medskip", r"\begin{minipage}{\linewidth}\scriptsize\raggedright"),
        *(" \\\\\n".join(notes), r"\end{minipage}", r"\end{table}"),
    ]
    return "\n".join(lines) + "\n"


def _caption(view: View) -> str:
    added = view.caption.plain.removeprefix(view.table.caption.plain)
    return view.table.caption.latex + escape(added)


def _tabular(view: View) -> list[str]:
    first = view.panels[0].panel
    stub = "c" if first.stub else ""
    numbers = "".join("r" * size for _, size in headings(first.columns))
    lines = [rf"\begin{{tabular}}{{@{{}}l{stub}l{numbers}@{{}}}}", r"\toprule"]
    for number, panel in enumerate(view.panels):
        if number:
            lines += [r"\midrule[\heavyrulewidth]", r"\addlinespace"]
        lines += _panel(panel)
    return [*lines, r"\bottomrule", r"\end{tabular}"]


def _panel(view: PanelView) -> list[str]:
    panel = view.panel
    lead = 3 if panel.stub else 2  # label, perhaps the stub, and which line it is
    lines = []
    groups = headings(panel.columns)
    if panel.title.latex or any(group.latex for group, _ in groups):
        cells = [rf"\multicolumn{{{lead}}}{{@{{}}l}}{{\textbf{{{panel.title.latex}}}}}"]
        cells += [rf"\multicolumn{{{size}}}{{c}}{{{group.latex}}}" for group, size in groups]
        lines.append(row(cells))
        lines.append("".join(_rules(groups, lead)))
    stub = [panel.stub.label.latex] if panel.stub else []
    labels = [rf"\multicolumn{{1}}{{c}}{{{column.label.latex}}}" for column in panel.columns]
    lines += [row([panel.heading.latex, *stub, "", *labels]), r"\midrule"]
    for number, line in enumerate(view.lines):
        if number and not view.is_ours:
            lines.append(_GAP)
        lines += _block(line, panel.stub is not None, view.is_ours)
    return lines


def _rules(groups: list[tuple[Text, int]], start: int) -> list[str]:
    rules = []
    for group, size in groups:
        if group.latex:
            rules.append(rf"\cmidrule(lr){{{start + 1}-{start + size}}}")
        start += size
    return rules


def _block(line: Line, has_stub: bool, ours: bool) -> list[str]:
    """Two or three lines of the table: reported, reproduced, and the verdict where something was run.

    One, where the numbers are ours alone.
    """
    blank = ["", ""] if has_stub else [""]
    stub = [line.stub] if has_stub else []
    if ours:
        return [row([line.label.latex, *stub, "", *(_number(value, absent="") for value in line.reproduced)])]
    rows = [row([line.label.latex, *stub, "reported", *map(_number, line.reported)])]
    if line.common_verdict and line.is_empty:
        return [*rows, row([*blank, "reproduced", *_verdicts(line)])]
    return [
        *rows,
        row([*blank, "reproduced", *(_number(value, absent="") for value in line.reproduced)]),
        row([*blank, r"\scriptsize verdict", *_verdicts(line)]),
    ]


def _verdicts(line: Line) -> list[str]:
    """One cell per verdict, or one that spans the row from its first number on."""
    style = r"\scriptsize\itshape "
    if line.common_verdict is None:
        return [style + escape(short_verdict(verdict)) if verdict else "" for verdict in line.verdicts]
    first = next(index for index, verdict in enumerate(line.verdicts) if verdict)
    span = len(line.verdicts) - first
    return [*[""] * first, rf"\multicolumn{{{span}}}{{l}}{{{style}{escape(line.common_verdict)}}}"]


def _number(value: Number | str | None, absent: str = _DASH) -> str:
    if value is None:
        return absent
    if isinstance(value, str):
        return rf"\textit{{{escape(value)}}}"
    spread = rf"_{{\pm {value.spread}}}" if value.spread else ""
    return f"${value.mean}{spread}$"


def row(cells: list[str]) -> str:
    return " & ".join(cells).rstrip() + r" \\"


def _notes(view: View) -> list[str]:
    notes = [rf"\textbf{{{heading}:}} {escape(text)}." for heading, text in view.notes]
    if legend(view):
        notes.append(rf"\textbf{{Signs:}} {escape(legend(view))}.")
    notes += [rf"\textbf{{{what}:}} \texttt{{{_typewriter(command)}}}" for what, command in view.commands]
    return notes


def _typewriter(command: str) -> str:
    """A command whose double hyphens stay two hyphens."""
    return escape(command).replace("--", "-{}-")


def _claims(view: View) -> str:
    ours = "Reproduced (stand-in data)" if view.stand_in else "Reproduced"
    caption = (
        f"What the paper says about its {view.table.number}, checked on the reported and on the reproduced numbers "
        f"(scale: {escape(view.scale)})."
    )
    tabular = [
        r"\begin{tabular}{@{}p{0.49\linewidth}p{0.22\linewidth}p{0.22\linewidth}@{}}",
        *(r"\toprule", rf"Claim & Reported & {ours} \\", r"\midrule"),
        f"\n{_GAP}\n".join(map(_claim, view.claims)),
        *(r"\bottomrule", r"\end{tabular}"),
    ]
    return floating(f"{view.table.name}-claims", caption, tabular, [escape(CLAIM_NOTE)], r"\scriptsize")


def _claim(line: ClaimLine) -> str:
    reading = rf" \emph{{Read as:}} {escape(line.claim.reading)}." if line.claim.reading else ""
    # the numbers that decide, with minus signs in place of hyphens
    results = [escape(re.sub(r"-(?=\d)", "−", str(outcome))) for outcome in (line.reported, line.reproduced)]
    cells = [escape(line.claim.claim) + reading, *results]
    # \raggedright takes \\ for itself, hence the row's other ending.
    return " & ".join(rf"\raggedright {cell}" for cell in cells) + r" \tabularnewline"
