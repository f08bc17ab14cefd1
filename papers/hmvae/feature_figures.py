"""Figs. 5, 6, 8 and 9 of the HMVAE paper: features generated across modalities, shown by their nearest test samples."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from papers.hmvae.panels import Panel, conditions, draw
from shared.errors import InputError
from shared.report.drawing import Samples, arrays_of, why_missing
from shared.report.layout import Figure

EXPERIMENTS = {"cub_features": "CUB", "flower_features": "Oxford Flower"}
MODELS = {"mvae": "MVAE", "mmvae": "MMVAE", "hmvae": "HMVAE"}
RUNS = tuple(f"{experiment}/{model}" for experiment in EXPERIMENTS for model in MODELS)

# Of each split's conditions Figs. 5 and 6 show every other one, Figs. 8 and 9 those between them.
_FIRST, _MORE = slice(0, None, 2), slice(1, None, 2)


@dataclass(frozen=True)
class Shown:
    """What the panels of both data sets show, one below the other.

    target: the modality that is generated, given the other one. rows: of the conditions. title: with the data set's
    name in braces. shares: whether each column says how many neighbours are of the condition's class, and how many
    distinct.
    """

    target: str
    rows: slice
    title: str
    split: str = "test"
    shares: bool = False

    def panel(self, samples: Mapping[str, Samples], experiment: str) -> Panel:
        captions, images, neighbours = (
            f"{self.split}_{name}" for name in ("captions", "images", f"{self.target}_neighbours")
        )
        of_images = self.target == "image"
        axes = {captions: "B", images: "BCHW", neighbours: "BKCHW" if of_images else "BK"}
        if self.shares:
            axes |= {f"{self.target}_shares": "S", "chance": ""}
        runs = {model: arrays_of(samples, f"{experiment}/{model}", axes) for model in MODELS}
        made = {model: arrays for model, arrays in runs.items() if arrays}
        shared_captions, shared_images = conditions(runs, captions, images, self.rows)
        title, names = self.title.format(EXPERIMENTS[experiment]), dict(MODELS)
        if self.shares and made:
            chance = float(next(iter(made.values()))["chance"])
            title += f" (neighbours of the condition's class: by chance {chance:.0f} %)"
            for model, arrays in made.items():
                name = f"{self.target}_shares"
                if len(arrays[name]) != 2:
                    raise InputError(f"--samples: {experiment}/{model}: `{name}` are not two; evaluate this run again")
                of_class, distinct = arrays[name]
                names[model] += f"\nof its class {of_class:.0f} %, distinct {distinct:.0f} %"
        split_image = f"{self.split}\nimage"
        return Panel(
            title=title,
            captions=shared_captions,
            images=shared_images,
            columns={
                model: arrays[neighbours][self.rows] if arrays else why_missing(samples, f"{experiment}/{model}")
                for model, arrays in runs.items()
            },
            names=names,
            caption_heading="given caption" if of_images else "its caption",
            image_heading=split_image if of_images else "given\nimage",
            **({"samples": 10, "per_line": 5} if of_images else {"samples": 5, "lines": 2}),
        )


@dataclass(frozen=True)
class Neighbours:
    """A figure of panels, for its `draw`."""

    shown: tuple[Shown, ...]

    def __call__(self, samples: Mapping[str, Samples], note: str) -> Any:
        """Matplotlib's `Figure`.

        samples: per run the arrays of its samples.npz: <split>_captions (B,), <split>_images (B, 3, H, W),
        <split>_image_neighbours (B, K, 3, H, W), <split>_caption_neighbours (B, K), <target>_shares (2,) and chance in
        percent; images are uint8. What is missing says why. note: what the margin says of scale and data.

        InputError: no samples at all, arrays of other shapes, or models that were given different captions.
        """
        if not samples:
            raise InputError("--samples: none given; name at least one run's samples.npz as experiment/model=FILE")
        return draw([shown.panel(samples, each) for shown in self.shown for each in EXPERIMENTS], note).figure


_FIG8 = (
    Shown("image", _MORE, "(a) {}, captions of the training split", split="train"),
    Shown("image", _MORE, "(b) {}, captions of the test split"),
)
ALL = (
    Figure("fig5_image_features", Neighbours((Shown("image", _FIRST, "{}", shares=True),)), RUNS),
    Figure("fig6_caption_features", Neighbours((Shown("caption", _FIRST, "{}", shares=True),)), RUNS),
    Figure("fig8_image_features_more", Neighbours(_FIG8), RUNS),
    Figure("fig9_caption_features_more", Neighbours((Shown("caption", _MORE, "{}"),)), RUNS),
)
