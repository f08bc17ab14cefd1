"""Pieces of figures that show images."""

from math import ceil
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

FONT = 7
_PIXELS = "none"  # a PDF then holds the images as they are, not resampled for its resolution
_WHITE = 3  # pixels between images of a mosaic


class Page:
    """A figure on which things are placed in inches from its upper left corner."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width, height))

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        box = (x / self.width, 1 - (y + height) / self.height, width / self.width, height / self.height)
        axes = self.figure.add_axes(box)
        axes.set_axis_off()
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
        style = {"rotation": 270, "color": "0.35", "size": size, "linespacing": 1.0}
        self.text(self.width - 0.10, self.height / 2, fill(note, characters), **style)

    def not_run(self, x: float, y: float, width: float, height: float) -> None:
        """A grey field in the place of images that were not made."""
        self.axes(x, y, width, height).add_patch(Rectangle((0, 0), 1, 1, facecolor="0.94"))
        self.text(x + width / 2, y + height / 2, "not run", style="italic", color="0.35")


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
