"""Fig. 7 of the HMVAE paper: images from captions, by every model and along the deep HMVAE's hierarchy."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from papers.hmvae import feature_figures
from papers.hmvae.panels import Panel, conditions, draw
from shared.errors import InputError
from shared.report.drawing import Samples, arrays_of, why_missing
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


_FIG7 = Figure("fig7_oxford_flower_samples", fig7_oxford_flower_samples, runs=tuple(MODELS))
FIGURES = {figure.name: figure for figure in (*feature_figures.ALL, _FIG7)}
