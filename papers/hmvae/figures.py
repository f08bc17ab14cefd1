"""Fig. 7 of the HMVAE paper: images from captions, by every model and along the deep HMVAE's hierarchy."""

from collections.abc import Mapping
from math import ceil
from textwrap import fill, shorten
from typing import Any

import numpy as np

from shared.errors import InputError
from shared.report.drawing import FONT, Page, Samples, arrays_of, literal, mosaic, why_missing
from shared.report.layout import Figure

# In the paper's order, with the names above its columns.
MODELS = {
    "oxford_flower/mvae": "MVAE",
    "oxford_flower/mmvae": "MMVAE",
    "oxford_flower/mdvae": "MDVAE",
    "oxford_flower/mhvae": "MHVAE",
    "oxford_flower/hmvae_shallow": "HMVAE\n$L(1) = 2$",
    "oxford_flower/hmvae_deep": "HMVAE\n$L(1) = 5$",
}
DEEP = "oxford_flower/hmvae_deep"
# Which latent variables are set to their means, with the names below the columns.
HIERARCHY = {
    "given_x2": "all sampled",
    "given_x2_mean_1": r"$\{z_{1,1}\}$",
    "given_x2_mean_1-2": r"$\{z_{1,1}, z_{1,2}\}$",
    "given_x2_mean_1-3": r"$\{z_{1,1}, \ldots, z_{1,3}\}$",
    "given_x2_mean_1-4": r"$\{z_{1,1}, \ldots, z_{1,4}\}$",
}

_AXES = {"captions": "B", "real": "BCHW", "given_x2": "BKCHW"}
_CAPTIONS, _CAPTION_LENGTH = 5, 85  # the paper trims long captions, too
_SAMPLES, _PER_LINE = 6, 3

# All in inches.
_WIDTH = 7.2
_TEXT, _REAL, _MARGIN, _GAP = 1.12, 0.50, 0.26, 0.06
_NAMES, _TITLE = 0.34, 0.24


def fig7_oxford_flower_samples(samples: Mapping[str, Samples], note: str) -> Any:
    """Draw both halves of the figure, matplotlib's `Figure`.

    samples: per run the arrays of its samples.npz: captions (B,), real (B, 3, H, W), given_x2
    (B, K, 3, H, W), and for the deep HMVAE given_x2_mean_<levels>, shaped like given_x2; images are uint8.
    What is missing says why. note: what the margin says of scale and data.

    InputError: no samples at all, arrays of other shapes, or models that were given different captions.
    """
    if not samples:
        raise InputError("--samples: none given; name at least one run's samples.npz as experiment/model=FILE")
    means = dict.fromkeys(HIERARCHY, _AXES["given_x2"])
    runs = {run: arrays_of(samples, run, _AXES | (means if run == DEEP else {})) for run in MODELS}
    captions, real = _conditions({run: arrays for run, arrays in runs.items() if arrays})
    models = {run: arrays["given_x2"] if arrays else why_missing(samples, run) for run, arrays in runs.items()}
    hierarchy = {key: runs[DEEP][key] if runs[DEEP] else why_missing(samples, DEEP) for key in HIERARCHY}
    title_models = r"(a) Models: samples of $p(\mathbf{x}_1 \mid \mathbf{x}_2)$"
    title_hierarchy = "(b) Hierarchy of the deep HMVAE (below: the latent variables set to their means)"

    heights = [_half_height(len(captions), columns) for columns in (models, hierarchy)]
    page = Page(_WIDTH, _GAP + sum(heights))
    _draw_half(page, _GAP, title_models, captions, real, models, MODELS, names_above=True)
    _draw_half(page, _GAP + heights[0], title_hierarchy, captions, real, hierarchy, HIERARCHY, names_above=False)
    page.margin(note)
    return page.figure


def _block_size(columns: Mapping[str, object]) -> tuple[float, float]:
    """Width and height of a block of samples, where so many columns share the page."""
    width = (_WIDTH - _TEXT - _REAL - _MARGIN) / len(columns) - _GAP
    return width, width * ceil(_SAMPLES / _PER_LINE) / _PER_LINE


def _half_height(rows: int, columns: Mapping[str, object]) -> float:
    return rows * (_block_size(columns)[1] + _GAP) + _NAMES + _TITLE


def _draw_half(
    page: Page,
    y: float,
    title: str,
    captions: np.ndarray,
    real: np.ndarray,
    columns: Mapping[str, np.ndarray | str],
    names: Mapping[str, str],
    names_above: bool,
) -> None:
    """One half of the figure from y down: captions, test images, and per name a column of samples, or why not."""
    width, height = _block_size(columns)
    first = y + _TITLE + (_NAMES if names_above else 0)
    last = first + len(captions) * (height + _GAP)
    name_y = first - _NAMES / 2 - _GAP / 2 if names_above else last + _NAMES / 3
    page.text(0.02, y + _TITLE / 2, title, weight="bold", size=FONT + 1, ha="left")
    page.text(_TEXT + (_REAL - _GAP) / 2, name_y, "test\nimage")
    _draw_conditions(page, first, height, captions, real)
    for index, (key, generated) in enumerate(columns.items()):
        x = _TEXT + _REAL + _GAP + index * (width + _GAP)
        page.text(x + width / 2, name_y, names[key])
        _draw_column(page, x, first, width, height, len(captions), generated)


def _conditions(samples: Mapping[str, Samples]) -> tuple[np.ndarray, np.ndarray]:
    """Captions (C,) and real images (C, 3, H, W), which all models share."""
    if not samples:  # all diverged: one blank line, and none of them
        return np.array([""]), np.full((1, 3, 1, 1), 255, np.uint8)
    first = next(iter(samples))
    for model, arrays in samples.items():
        if not np.array_equal(arrays["captions"], samples[first]["captions"]):
            raise InputError(f"--samples: {model} and {first} have different captions; evaluate both again")
    return samples[first]["captions"][:_CAPTIONS], samples[first]["real"][:_CAPTIONS]


def _draw_conditions(page: Page, y: float, height: float, captions: np.ndarray, real: np.ndarray) -> None:
    size = min(_REAL - _GAP, height)
    for row, (caption, image) in enumerate(zip(captions, real, strict=True)):
        top = y + row * (height + _GAP)
        text = literal(fill(shorten(str(caption), _CAPTION_LENGTH, placeholder=" …"), 24))
        page.text(0.02, top + height / 2, text, size=FONT - 1.5, ha="left")
        page.image(_TEXT, top + (height - size) / 2, size, size, image.transpose(1, 2, 0))


def _draw_column(
    page: Page, x: float, y: float, width: float, height: float, rows: int, generated: np.ndarray | str
) -> None:
    if isinstance(generated, str):
        page.missing(x, y, width, rows * (height + _GAP) - _GAP, generated)
        return
    for row in range(rows):
        page.image(x, y + row * (height + _GAP), width, height, block(generated[row]))


def block(images: np.ndarray) -> np.ndarray:
    """The first samples of (K, 3, H, W), side by side in lines."""
    return mosaic(images[:_SAMPLES], _PER_LINE, ceil(_SAMPLES / _PER_LINE))


_FIG7 = Figure("fig7_oxford_flower_samples", fig7_oxford_flower_samples, runs=tuple(MODELS))
FIGURES = {_FIG7.name: _FIG7}
