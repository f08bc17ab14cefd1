"""Pieces of figures that show images. Imports matplotlib where it draws: the workflow reads which figures there are."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

from shared.errors import InputError
from shared.report.compare import DIVERGED, NOT_RUN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Samples = Mapping[str, np.ndarray]

FONT = 7
_PIXELS = "none"  # a PDF then holds the images as they are, not resampled for its resolution
_WHITE = 3  # pixels between images of a mosaic


class Page:
    """A figure on which things are placed in inches from its upper left corner."""

    def __init__(self, width: float, height: float) -> None:
        from matplotlib.figure import Figure

        self.width, self.height = width, height
        self.figure = Figure(figsize=(width, height))

    def axes(self, x: float, y: float, width: float, height: float, visible: bool = False) -> Axes:
        box = (x / self.width, 1 - (y + height) / self.height, width / self.width, height / self.height)
        axes = self.figure.add_axes(box)
        axes.axison = visible
        return axes

    def image(self, x: float, y: float, width: float, height: float, pixels: np.ndarray) -> None:
        """pixels: uint8 (H, W, 3)."""
        self.axes(x, y, width, height).imshow(pixels, interpolation=_PIXELS)

    def text(self, x: float, y: float, text: str, size: float = FONT, ha: str = "center", **style: object) -> None:
        self.figure.text(x / self.width, 1 - y / self.height, text, ha=ha, va="center", fontsize=size, **style)

    def margin(self, note: str) -> None:
        """What a figure says of its scale and data, along its right edge."""
        size = FONT - 0.5
        characters = int(self.height * 72 / (0.55 * size))  # that fit along the edge, an average one being so wide
        lines = fill(note, characters)
        line = 1.3 * size / 72
        width = self.width + max(0.0, (lines.count("\n") - 1) * line)  # there is room for two
        for axes in self.figure.axes:
            x, y, w, h = axes.get_position().bounds
            axes.set_position((x * self.width / width, y, w * self.width / width, h))
        for text in self.figure.texts:
            text.set_x(text.get_position()[0] * self.width / width)
        self.figure.set_size_inches(width, self.height)
        self.width = width
        style = {"rotation": 270, "color": "0.35", "size": size, "linespacing": 1.3}
        self.text(self.width - 0.02 - (lines.count("\n") + 1) * line / 2, self.height / 2, literal(lines), **style)

    def missing(self, x: float, y: float, width: float, height: float, reason: str) -> None:
        """A grey field in the place of what was not made, and why."""
        from matplotlib.patches import Rectangle

        self.axes(x, y, width, height).add_patch(Rectangle((0, 0), 1, 1, facecolor="0.94"))
        self.text(x + width / 2, y + height / 2, reason, style="italic", color="0.35")


def literal(text: str) -> str:
    """Text that came from elsewhere, in which a dollar sign starts no mathematics."""
    return text.replace("$", r"\$")


def arrays_of(samples: Mapping[str, Samples], run: str, axes: Mapping[str, str]) -> Samples | None:
    """The arrays of a run that a figure draws; None where the run has no images, see `why_missing`.

    axes: for each array a letter per axis; the same letter is the same length in all arrays of the run. What ends with
    the axes CHW are images: uint8, one channel or three.

    InputError: an array is missing, empty, or has other axes.
    """
    arrays = samples.get(run)
    if not arrays:
        return None
    lengths: dict[str, int] = {}
    for name, letters in axes.items():
        if name not in arrays:
            raise InputError(f"--samples: {run}: no array `{name}`; evaluate this run again")
        array, is_image = arrays[name], letters.endswith("CHW")
        shaped = array.ndim == len(letters) and array.size > 0
        shaped = shaped and all(lengths.setdefault(x, n) == n for x, n in zip(letters, array.shape, strict=True))
        if not shaped or (is_image and (array.dtype != np.uint8 or array.shape[-3] not in (1, 3))):
            elsewhere = "".join(f", {x} = {n}" for x, n in lengths.items())
            expected = f"({', '.join(letters)}){' of uint8, C = 1 or 3' if is_image else ''}{elsewhere}"
            raise InputError(
                f"--samples: {run}: `{name}` is {array.dtype} {array.shape}, not {expected}; evaluate this run again"
            )
    return arrays


def why_missing(samples: Mapping[str, Samples], run: str) -> str:
    """Why a run has no images: no file was given, or it is that of a run that diverged, which holds none."""
    return DIVERGED if run in samples else NOT_RUN


def mosaic(images: np.ndarray, per_line: int, lines: int | None = None, gap: int = _WHITE) -> np.ndarray:
    """Images, uint8 (K, C, H, W) with one or three channels, in reading order: one image (H', W', 3) on white.

    lines: how many there is room for; as many as it takes where none is given.
    """
    count, _, height, width = images.shape
    lines = lines or ceil(count / per_line)
    shape = (lines * (height + gap) - gap, per_line * (width + gap) - gap, 3)
    canvas = np.full(shape, 255, np.uint8)
    for index, image in enumerate(images[: per_line * lines]):
        top, left = (index // per_line) * (height + gap), (index % per_line) * (width + gap)
        canvas[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    return canvas
