"""Figs. 7 and 10 of the HMVAE paper: images from captions, by every model and along the deep HMVAE's hierarchy, and
images and captions from nothing."""

from collections.abc import Mapping
from functools import partial
from math import ceil
from textwrap import fill, shorten
from typing import Any

from papers.hmvae import feature_figures
from papers.hmvae.panels import GAP, WIDTH, Panel, conditions, draw
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
_CAPTIONS, _SAMPLES, _PER_LINE = 5, 6, 3


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
    captions, real = conditions(runs, "captions", "real", slice(_CAPTIONS))
    models = {run: arrays["given_x2"] if arrays else why_missing(samples, run) for run, arrays in runs.items()}
    hierarchy = {key: runs[DEEP][key] if runs[DEEP] else why_missing(samples, DEEP) for key in HIERARCHY}
    title_models = r"(a) Models: samples of $p(\mathbf{x}_1 \mid \mathbf{x}_2)$"
    title_hierarchy = "(b) Hierarchy of the deep HMVAE (below: the latent variables set to their means)"

    half = partial(Panel, captions=captions, images=real, samples=_SAMPLES, per_line=_PER_LINE)
    panels = [
        half(title_models, columns=models, names=MODELS),
        half(title_hierarchy, columns=hierarchy, names=HIERARCHY, names_above=False),
    ]
    return draw(panels, note).figure


# ---- Fig. 10 -------------------------------------------------------------------------------------------------------

_IMAGES_PER_LINE, _SHOWN_CAPTIONS = 10, 20
# Inches: the page without its margin, a title, a caption of two lines, and its size and length.
_INNER, _TITLE, _CAPTION = WIDTH - 0.26 - GAP, 0.24, 0.21
_SMALL, _CHARACTERS = FONT - 1.5, 80


def fig10_oxford_flower_unconditional(samples: Mapping[str, Samples], note: str) -> Any:
    """Images and captions of the deep HMVAE with g from its prior, matplotlib's `Figure`.

    samples: of its run, the arrays unconditional_images, uint8 (B, 3, H, W), and unconditional_captions (B,), those of
    the same g. What is missing says why. note: what the margin says of scale and data.

    InputError: arrays of other shapes.
    """
    arrays = arrays_of(samples, DEEP, {"unconditional_images": "BCHW", "unconditional_captions": "B"})
    count = len(arrays["unconditional_images"]) if arrays else 2 * _IMAGES_PER_LINE
    captions = min(count, _SHOWN_CAPTIONS)
    lines = ceil(captions / 2)  # of captions, in two columns
    of_images, of_captions = _INNER * ceil(count / _IMAGES_PER_LINE) / _IMAGES_PER_LINE, lines * _CAPTION
    page = Page(WIDTH, 2 * _TITLE + of_images + of_captions + 2 * GAP)
    below = _TITLE + of_images + GAP
    among = f" ({len(set(arrays['unconditional_captions']))} different ones among all {count})" if arrays else ""
    titles = {
        0.0: r"(a) Images: $p(\mathbf{x}_1 \mid \mathbf{g})$, $\mathbf{g} \sim p(\mathbf{g})$",
        below: rf"(b) Captions nearest to $p(\mathbf{{x}}_2 \mid \mathbf{{g}})$, images 1 to {captions}{among}",
    }
    for y, title in titles.items():
        page.text(0.02, y + _TITLE / 2, title, weight="bold", size=FONT + 1, ha="left")
    if arrays:
        page.image(GAP, _TITLE, _INNER, of_images, mosaic(arrays["unconditional_images"], _IMAGES_PER_LINE))
        for index, caption in enumerate(arrays["unconditional_captions"][:captions]):
            x, y = GAP + index // lines * _INNER / 2, below + _TITLE + (index % lines + 0.5) * _CAPTION
            text = fill(shorten(str(caption), 2 * _CHARACTERS - 10, placeholder=" …"), _CHARACTERS)
            page.text(x, y, f"{index + 1}", size=_SMALL, ha="left")
            page.text(x + 0.16, y, literal(text), size=_SMALL, ha="left")
    else:
        page.missing(GAP, _TITLE, _INNER, of_images, why_missing(samples, DEEP))
        page.missing(GAP, below + _TITLE, _INNER, of_captions, why_missing(samples, DEEP))
    page.margin(note)
    return page.figure


_OWN = (
    Figure("fig7_oxford_flower_samples", fig7_oxford_flower_samples, runs=tuple(MODELS)),
    Figure("fig10_oxford_flower_unconditional", fig10_oxford_flower_unconditional, runs=(DEEP,)),
)
FIGURES = {figure.name: figure for figure in (*feature_figures.ALL, *_OWN)}
