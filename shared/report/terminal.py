"""A table in a terminal of 80 columns or more, or in a pipe."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as Grid
from rich.text import Text as Styled

from shared.report.compare import AGREES, DIFFERS
from shared.report.view import CLAIM_NOTE, Line, PanelView, View, headings, legend, short_verdict

_STYLES = {AGREES: "green", DIFFERS: "red"}


def print_view(view: View, console: Console) -> None:
    """Print caption, numbers, claims and notes; the last line is the command for the real thing."""
    console.print(Styled(view.caption.plain, style="bold"))
    for panel in view.panels:
        start = 0
        for group, size in headings(panel.panel.columns):
            title = ", ".join(text for text in (panel.panel.title.plain, group.plain) if text)
            console.print(Styled(f"\n{title}" if title else "", style="bold"))
            stop = start + size
            while start < stop:  # as many columns side by side as there is room for
                grids = {last: _grid(panel, start, last) for last in range(stop, start, -1)}
                start = next((last for last, grid in grids.items() if _width(grid) <= console.width), start + 1)
                console.print(grids[start])
    if view.claims:
        console.print(Styled(f"What the paper says about its {view.table.number}", style="bold"))
        console.print(_claims(view))
        console.print(Styled(CLAIM_NOTE, style="dim"))
    for heading, text in view.notes:
        console.print(Styled.assemble((f"{heading}: ", "bold"), text))
    if legend(view):
        console.print(Styled.assemble(("Signs: ", "bold"), legend(view)))
    for what, command in view.commands:
        console.print(Styled(f"{what}:", style="bold"))
        console.print(Styled(f"  {command}"), soft_wrap=True)  # one line, to be copied


def _width(grid: Grid) -> int:
    """Of a grid that nothing hems in."""
    room = Console(width=10_000)
    return Measurement.get(room, room.options, grid).maximum


def _grid(view: PanelView, start: int, stop: int) -> Grid:
    grid = _empty_grid()
    heading = view.panel.heading.plain
    if view.panel.stub:
        heading += f" ({view.panel.stub.label.plain})"
    grid.add_column(heading, no_wrap=True)
    for column in view.panel.columns[start:stop]:
        grid.add_column(column.label.plain, justify="right", no_wrap=True)
    for line in view.lines:
        if any(verdict is not None for verdict in line.verdicts[start:stop]):
            _add(grid, line, start, stop, view.is_ours)
    return grid


def _add(grid: Grid, line: Line, start: int, stop: int, ours: bool) -> None:
    label = line.label.plain + (f" ({line.stub})" if line.stub else "")
    if ours:
        grid.add_row(Styled(label, style="bold"), *map(_compact, line.reproduced[start:stop]))
        return
    grid.add_row(Styled(label, style="bold"))
    grid.add_row("  reported", *(_compact(number, absent="–") for number in line.reported[start:stop]))
    if not line.is_empty:
        grid.add_row("  reproduced", *(_compact(number) for number in line.reproduced[start:stop]))
    if line.common_verdict:
        grid.add_row(Styled(f"  {line.common_verdict}", style="italic"))
    else:
        verdicts = (short_verdict(verdict) if verdict else "" for verdict in line.verdicts[start:stop])
        grid.add_row("  verdict", *(Styled(v, style=_STYLES.get(v.rstrip("*"), "")) for v in verdicts))


def _compact(number: object, absent: str = "") -> str:
    return absent if number is None else str(number).replace(" ± ", "±")


def _empty_grid() -> Grid:
    return Grid(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)


def _claims(view: View) -> Grid:
    grid = _empty_grid()
    grid.add_column("Claim", ratio=4)
    grid.add_column("Reported", ratio=3)
    grid.add_column("Reproduced (stand-ins)" if view.stand_in else "Reproduced", ratio=3)
    for line in view.claims:
        grid.add_row(*(Styled(str(text)) for text in (line.claim.claim, line.reported, line.reproduced)))
    return grid
