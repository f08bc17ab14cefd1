"""Fig. 4 of the MHVAE paper: images given a class or attributes, and images from the prior, on three data sets."""

from collections.abc import Mapping
from math import isqrt
from typing import Any

import numpy as np

from shared.errors import InputError
from shared.report.drawing import FONT, Page, Samples, arrays_of, literal, mosaic, why_missing
from shared.report.layout import Figure

# Runs in the paper's order, with the names of their data sets.
RUNS = {"mnist/mhvae": "MNIST", "fashion_mnist/mhvae": "FashionMNIST", "celeba/mhvae": "CelebA"}

_AXES = {"conditions": "P", "given": "PKCHW", "prior": "NCHW"}

# All in inches.
_WIDTH, _MARGIN, _GAP, _LABEL = 7.2, 0.26, 0.16, 0.24


def fig4_mhvae_samples(samples: Mapping[str, Samples], note: str) -> Any:
    """Two rows of three panels: (a) to (c) with z^c from q(z^c | x2), (d) to (f) with z^c from its prior.

    samples: per run the arrays of its samples.npz: conditions (P,), given (P, K, C, H, W) and prior (N, C, H, W),
    images uint8, of which the first condition is drawn. What is missing says why. note: what the margin
    says of scale and data.

    InputError: no samples at all, or arrays of other shapes.
    """
    if not samples:
        raise InputError("--samples: none given; name at least one run's samples.npz as experiment/model=FILE")
    side = (_WIDTH - _MARGIN - (len(RUNS) - 1) * _GAP) / len(RUNS)
    page = Page(_WIDTH, 2 * (side + _LABEL) + _GAP)
    for column, (run, name) in enumerate(RUNS.items()):
        arrays = arrays_of(samples, run, _AXES)
        x = column * (side + _GAP)
        condition = "given $\\mathbf{x}_2$"
        if arrays:
            condition = f"$\\mathbf{{x}}_2$ = {{{literal(str(arrays['conditions'][0]))}}}"
        panels = (
            ("abc"[column], f"{name}, {condition}", arrays and arrays["given"][0]),
            ("def"[column], f"{name}, prior", arrays and arrays["prior"]),
        )
        for row, (letter, label, images) in enumerate(panels):
            y = row * (side + _LABEL + _GAP)
            if images is None:
                page.missing(x, y, side, side, why_missing(samples, run))
            else:
                page.image(x, y, side, side, _square(images))
            page.text(x + side / 2, y + side + _LABEL / 2, f"({letter}) {label}", size=FONT + 1)
    page.margin(note)
    return page.figure


def _square(images: np.ndarray) -> np.ndarray:
    """As many of the images as fill a square."""
    per_line = isqrt(len(images))
    return mosaic(images, per_line, per_line, gap=2)


_FIG4 = Figure("fig4_mhvae_samples", fig4_mhvae_samples, runs=tuple(RUNS))
FIGURES = {_FIG4.name: _FIG4}
