"""Panels of this paper's figures: conditions, each a caption with its image, on the left, then a column per model."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from textwrap import fill, shorten

import numpy as np

from shared.errors import InputError
from shared.report.drawing import FONT, Page, Samples, literal, mosaic

# All in inches.
WIDTH, GAP = 7.2, 0.06
_TEXT, _IMAGE, _MARGIN = 1.12, 0.50, 0.26
_NAMES, _TITLE = 0.34, 0.24
_SMALL = FONT - 1.5
_LINE = 1.15 * _SMALL / 72
_CHARACTER = 0.52 * _SMALL / 72  # width of an average one

_CAPTION_LENGTH = 85  # the paper trims long captions, too


@dataclass(frozen=True)
class Panel:
    """captions (C,) and images (C, 3, H, W) of the conditions, with their headings.

    columns: per key of `names` the samples, images (C, K, 3, H, W) or captions (C, K), or why there are none.
    samples, per_line: how many of the images of a cell are drawn, or of its captions, each in `lines` lines.
    """

    title: str
    captions: np.ndarray
    images: np.ndarray
    columns: Mapping[str, np.ndarray | str]
    names: Mapping[str, str]
    samples: int
    per_line: int = 0
    lines: int = 0
    names_above: bool = True
    caption_heading: str = ""
    image_heading: str = "test\nimage"

    @property
    def height(self) -> float:
        return len(self.captions) * (self._cell[1] + GAP) + _NAMES + _TITLE

    @property
    def _cell(self) -> tuple[float, float]:
        """Width and height of a cell, where so many columns share the page."""
        width = (WIDTH - _TEXT - _IMAGE - _MARGIN) / len(self.columns) - GAP
        if self.lines:
            return width, self.samples * (self.lines * _LINE + GAP / 2) + GAP
        return width, width * ceil(self.samples / self.per_line) / self.per_line

    def draw(self, page: Page, y: float) -> None:
        """From y down."""
        width, height = self._cell
        first = y + _TITLE + (_NAMES if self.names_above else 0)
        last = first + len(self.captions) * (height + GAP)
        name_y = first - _NAMES / 2 - GAP / 2 if self.names_above else last + _NAMES / 3
        page.text(0.02, y + _TITLE / 2, self.title, weight="bold", size=FONT + 1, ha="left")
        page.text(0.02, name_y, self.caption_heading, ha="left")
        page.text(_TEXT + (_IMAGE - GAP) / 2, name_y, self.image_heading)
        self._draw_conditions(page, first, height)
        for index, (key, generated) in enumerate(self.columns.items()):
            x = _TEXT + _IMAGE + GAP + index * (width + GAP)
            page.text(x + width / 2, name_y, self.names[key])
            if isinstance(generated, str):
                page.missing(x, first, width, last - first - GAP, generated)
                continue
            for row, samples in enumerate(generated[: len(self.captions)]):
                top = first + row * (height + GAP)
                if self.lines:
                    self._draw_captions(page, x, top, samples)
                else:
                    page.image(x, top, width, height, block(samples, self.samples, self.per_line))

    def _draw_conditions(self, page: Page, y: float, height: float) -> None:
        size = min(_IMAGE - GAP, height)
        for row, (caption, image) in enumerate(zip(self.captions, self.images, strict=True)):
            top = y + row * (height + GAP)
            text = literal(fill(shorten(str(caption), _CAPTION_LENGTH, placeholder=" …"), 24))
            page.text(0.02, top + height / 2, text, size=_SMALL, ha="left")
            page.image(_TEXT, top + (height - size) / 2, size, size, image.transpose(1, 2, 0))

    def _draw_captions(self, page: Page, x: float, y: float, captions: np.ndarray) -> None:
        width, height = self._cell
        characters = int(width / _CHARACTER)
        for place, caption in enumerate(captions[: self.samples]):
            text = shorten(str(caption), self.lines * (characters - 5), placeholder=" …")
            text = fill(text, characters, initial_indent="• ", subsequent_indent="   ")
            page.text(x, y + (place + 0.5) * height / self.samples, literal(text), size=_SMALL, ha="left")


def block(images: np.ndarray, samples: int, per_line: int) -> np.ndarray:
    """The first samples of (K, 3, H, W), side by side in lines."""
    return mosaic(images[:samples], per_line, ceil(samples / per_line))


def draw(panels: list[Panel], note: str) -> Page:
    """Panels one below the other."""
    page = Page(WIDTH, GAP + sum(panel.height for panel in panels))
    y = GAP
    for panel in panels:
        panel.draw(page, y)
        y += panel.height
    page.margin(note)
    return page


def conditions(
    runs: Mapping[str, Samples | None], captions: str, images: str, rows: slice
) -> tuple[np.ndarray, np.ndarray]:
    """Some rows of the arrays of these names, captions (C,) and images (C, 3, H, W), which all runs share.

    InputError: a run has other captions than another one, or none of these rows.
    """
    made = {run: arrays for run, arrays in runs.items() if arrays}
    if not made:  # all diverged, or none was run: one blank line
        return np.array([""]), np.full((1, 3, 1, 1), 255, np.uint8)
    first = next(iter(made))
    for run, arrays in made.items():
        if not np.array_equal(arrays[captions], made[first][captions]):
            raise InputError(f"--samples: {run} and {first} have different captions; evaluate both again")
    if not len(made[first][captions][rows]):
        raise InputError(f"--samples: {first}: `{captions}` has too few conditions; evaluate again with more")
    return made[first][captions][rows], made[first][images][rows]
