"""Progress that a person can follow: a bar in a terminal, plain lines in a log."""

import sys
import time
from datetime import timedelta
from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

LINE_SECONDS = 15.0


class Progress:
    """Reports loss, speed and time left of one training run.

    style: `bar` draws one in the terminal, `lines` prints a line now and then (several jobs share the terminal),
    and a log file, if given, always gets plain lines, one per epoch at least.
    """

    def __init__(self, name: str, epochs: int, steps: int, style: str, log: TextIO | None) -> None:
        self.name, self.epochs, self.steps, self.log = name, epochs, steps, log
        self.samples, self.finished, self.total_steps = 0, 0, epochs * steps
        self.started = self.last_line = time.monotonic()
        self.bar: RichProgress | None = None
        self.lines = style == "lines" or not sys.stderr.isatty()
        if not self.lines:
            columns = ["[progress.description]{task.description}", BarColumn(), MofNCompleteColumn()]
            columns += [TextColumn("{task.fields[numbers]}"), TimeRemainingColumn()]
            self.bar = RichProgress(*columns, console=Console(stderr=True))
            self.task = self.bar.add_task(name, total=self.total_steps, numbers="")

    def __enter__(self) -> "Progress":
        if self.bar:
            self.bar.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.bar:
            self.bar.stop()

    def say(self, text: str) -> None:
        """A plain line, to the log and, without a bar, to the terminal."""
        line = f"{self.name}: {text}"
        if self.log:
            print(line, file=self.log, flush=True)
        if self.bar:
            self.bar.console.print(line, highlight=False)
        else:
            print(line, file=sys.stderr, flush=True)

    def step(self, epoch: int, step: int, loss: float, samples: int) -> None:
        self.samples += samples
        self.finished += 1
        elapsed = time.monotonic() - self.started
        numbers = f"loss {loss:.1f}  {self.samples / elapsed:.0f} samples/s"
        if self.bar:
            self.bar.update(self.task, completed=epoch * self.steps + step, numbers=numbers)
        if time.monotonic() - self.last_line > LINE_SECONDS and not self.bar:
            seconds = (self.total_steps - epoch * self.steps - step) * elapsed / self.finished
            left = timedelta(seconds=round(seconds))
            self.say(f"epoch {epoch + 1}/{self.epochs}  step {step}/{self.steps}  {numbers}  {left} left")
            self.last_line = time.monotonic()

    def epoch(self, epoch: int, means: dict[str, float]) -> None:
        text = f"epoch {epoch + 1}/{self.epochs}  " + "  ".join(f"{k} {v:.2f}" for k, v in means.items())
        if self.log:
            print(f"{self.name}: {text}", file=self.log, flush=True)
