"""A table as GitHub renders it."""

from collections.abc import Sequence

from tabulate import tabulate

from shared.report.view import CLAIM_NOTE, Line, PanelView, View, legend, short_verdict


def escape(text: str) -> str:
    """Plain text inside a cell or a sentence of Markdown."""
    for character in "\\|*_#<>[]`":
        text = text.replace(character, f"\\{character}")
    return text


def to_markdown(view: View) -> str:
    """The table, the claims about it, and the notes."""
    parts = [f"**{escape(view.caption.plain)}**"]
    for panel in view.panels:
        if panel.panel.title.plain:
            parts.append(f"**{escape(panel.panel.title.plain)}**")
        parts.append(_panel(panel))
    notes = [f"- {heading}: {escape(text)}." for heading, text in view.notes]
    if legend(view):
        notes.append(f"- Signs: {escape(legend(view))}.")
    notes += [f"- {what}: `{command}`" for what, command in view.commands]
    parts.append("\n".join(notes))
    if view.claims:
        parts += [_claims(view), escape(CLAIM_NOTE)]
    return "\n\n".join(parts) + "\n"


def _panel(view: PanelView) -> str:
    panel = view.panel
    stub = [panel.stub.label.plain] if panel.stub else []
    headings = [f"{column.group.plain.split(':')[0]} {column.label.plain}".strip() for column in panel.columns]
    rows = [[panel.heading.plain, *stub, "", *headings]]
    for line in view.lines:
        rows += _block(line, panel.stub is not None, view.is_ours)
    return grid(rows, right=len(headings))


def _block(line: Line, has_stub: bool, ours: bool) -> list[list[str]]:
    blank = ["", ""] if has_stub else [""]
    stub = [line.stub] if has_stub else []
    if ours:
        return [[line.label.plain, *stub, "", *("" if n is None else str(n) for n in line.reproduced)]]
    rows = [
        [line.label.plain, *stub, "reported", *("–" if n is None else str(n) for n in line.reported)],
        [*blank, "reproduced", *("" if n is None else str(n) for n in line.reproduced)],
    ]
    if not line.is_empty:
        verdicts = ("" if v is None else v if v == line.common_verdict else short_verdict(v) for v in line.verdicts)
        rows.append([*blank, "verdict", *verdicts])
    return rows


def _claims(view: View) -> str:
    ours = "Reproduced (stand-in data)" if view.stand_in else "Reproduced"
    rows = [["Claim of the paper", "Reported", ours]]
    for line in view.claims:
        reading = f" Read as: {line.claim.reading}." if line.claim.reading else ""
        rows.append([line.claim.claim + reading, str(line.reported), str(line.reproduced)])
    return grid(rows, right=0)


def grid(rows: Sequence[Sequence[str]], right: int) -> str:
    """Rows of plain text as a table: first the heading, the last `right` columns aligned to the right."""
    headings, *lines = [[escape(cell) for cell in row] for row in rows]
    alignment = ["left"] * (len(headings) - right) + ["right"] * right
    return tabulate(lines, headings, tablefmt="pipe", disable_numparse=True, colalign=alignment)
