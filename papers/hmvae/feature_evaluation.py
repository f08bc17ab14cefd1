"""The paper's protocol for features (section 4.2): likelihoods (App. B), and the neighbours of Figs. 5, 6, 8 and 9.

Likelihoods are those of `shared.metrics.likelihood`: log p(x1, x2) from q(. | x1, x2) (Eqs. 7 and 9; of a mixture with
samples stratified over its experts, as in Eq. 8), and from q(. | x_c) both log p(x_c) and log p(x_t | x_c), the latter
with z_t from its conditional prior (Eqs. 10 and 13). Both terms of a crossmodal one come from the same samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from pydantic import PositiveInt, conint
from torch import Generator, Tensor

from shared.data.arrays import Split, load_array, load_captions
from shared.metrics.likelihood import Estimate, Target, over_split, row
from shared.metrics.protocol import Context, Evaluation, spread
from shared.models.contract import Batch, fold, unfold
from shared.models.shared_latent import SharedLatentVAE

IMAGE, CAPTION = "image", "caption"
BOTH = (IMAGE, CAPTION)
# Where data.json names the features of each modality, and how it names the paper's own.
FEATURES = {IMAGE: ("image_features", "ResNet-101"), CAPTION: ("caption_features", "char-CNN-RNN")}
# Conditions at a time. Part of the protocol: noise is drawn chunk by chunk.
CHUNK = 100


@dataclass(frozen=True)
class Settings:
    """points: of the test split. neighbour_samples: K. figure_conditions: of the test and of the training split,
    which two figures share."""

    importance_samples: PositiveInt
    points: PositiveInt | Literal["all"]
    neighbour_samples: PositiveInt
    figure_conditions: conint(ge=3)


def evaluate(context: Context) -> Evaluation:
    """The five likelihoods of Table 1 for one model, and what it generates in each modality given the other."""
    settings, test, train = Settings(**context.settings), context.split("test"), context.split("train")
    points = len(test) if settings.points == "all" else min(settings.points, len(test))
    found = likelihoods(context, settings.importance_samples, points)
    metrics = [row(*which, "", estimate) | substitutes(context.about, which[0]) for which, estimate in found.items()]
    values = [estimate.value.cpu().numpy() for estimate in found.values()]
    named = {(line["key"], line["variant"]): value for line, value in zip(metrics, values, strict=True)}

    count, shown = settings.neighbour_samples, settings.figure_conditions
    labels = test.tensors["labels"].cpu()  # as all metrics: not every device has float64
    chance = chance_of_class(labels)
    samples = {"chance": np.array(chance)}
    for condition, target in (BOTH[::-1], BOTH):
        nearest = neighbours(context.model, test, test, condition, target, count, context.generator(target))
        shares = neighbour_shares(nearest, labels, target)
        metrics += [line | substitutes(context.about, BOTH) for line in shares]
        samples[f"{target}_shares"] = np.array([line["value"] for line in shares])
        samples |= pictures(context, "test", nearest, target, shown)
    nearest = neighbours(context.model, train, test, CAPTION, IMAGE, count, context.generator("train"), shown)
    samples |= pictures(context, "train", nearest, IMAGE, shown)
    protocol = (
        f"test split, {'all' if points == len(test) else points} data points; {settings.importance_samples} importance "
        f"samples; densities of standardised features; {count} neighbours per condition, of its class by chance: "
        f"{chance:.1f} %"
    )
    return Evaluation(metrics, samples, protocol, named)


def substitutes(about: dict[str, Any], modalities: Sequence[str]) -> dict[str, str]:
    """What a row of metrics says where features of these modalities are not the paper's."""
    others = [about[key] for key, papers in (FEATURES[m] for m in modalities) if about[key] != papers]
    return {"features": f"{' and '.join(others)} features"} if others else {}


# ---- Table 1 -------------------------------------------------------------------------------------------------------


def likelihoods(context: Context, samples: int, points: int) -> dict[tuple[Target, Target, Target], Estimate]:
    """{(what is scored, what it is conditioned on, what the proposal is given): estimate in nats}."""
    estimates = {}
    for given in (BOTH, (IMAGE,), (CAPTION,)):
        targets = list(dict.fromkeys([given, BOTH]))
        generator = context.generator("likelihood", *given)
        found = over_split(context.model, context.split("test"), given, targets, samples, generator, points)
        estimates[given, (), given] = found.log_p(given)
        if given != BOTH:
            estimates[BOTH, given, given] = found.conditional(BOTH, given)
    return estimates


# ---- Figures 5, 6, 8 and 9 -----------------------------------------------------------------------------------------


def generate(model: SharedLatentVAE, given: Batch, target: str, samples: int, generator: Generator) -> Tensor:
    """Means of p(x_t | .), (K, B, D), over the variations that section 4.2 looks at.

    Without latent variables of its own, g^1:K ~ q(g | x_c). With them one g ~ q(g | x_c), and z_t^1:K ~ p(z_t | g).
    """
    latents, _ = model.sample_latents(given, 1 if model.levels(target) else samples, generator, [])
    g = latents["g"].expand(samples, -1, -1)
    chain, _ = model.sample_chain(target, g, None, generator)
    latents = {"g": g} | chain
    return model.likelihoods[target].mean(model.decode(latents, [target])[target])


def neighbours(
    model: SharedLatentVAE,
    conditions: Split,
    test: Split,
    condition: str,
    target: str,
    samples: int,
    generator: Generator,
    count: int | None = None,
) -> Tensor:
    """Rows (K, B) of the test split whose features of the target are nearest to those generated, by Euclidean distance.

    count: how many of the conditions, evenly spread; all of them if none is given.
    """
    found = []
    for index in spread(count or len(conditions), len(conditions)).split(CHUNK):
        batch = conditions.batch(index.to(test.tensors[target].device))
        with torch.inference_mode():
            generated = generate(model, {condition: batch[condition]}, target, samples, generator)
            nearest = torch.cdist(fold(generated), test.tensors[target]).argmin(1)
        found.append(unfold(nearest, samples).cpu())
    return torch.cat(found, dim=1)


def neighbour_shares(nearest: Tensor, labels: Tensor, target: str) -> list[dict[str, Any]]:
    """In percent of the K neighbours (K, B) of each test condition: those of its class, and the different ones.

    The paper shows coherence and heterogeneity by a few examples; these are the same for all conditions.
    """
    different = 1 + nearest.sort(0).values.diff(dim=0).ne(0).sum(0)
    shares = {
        "coherence": labels[nearest].eq(labels).double().mean(0),
        "distinct": different.double() / len(nearest),
    }
    return [
        {
            "key": f"{target}/{name}",
            "variant": "",
            "value": 100 * share.mean().item(),
            "unit": "%",
            "samples": len(share),
            "standard_error": 100 * share.std().item() / len(share) ** 0.5,
        }
        for name, share in shares.items()
    ]


def chance_of_class(labels: Tensor) -> float:
    """In percent: how often two samples drawn from the split (B,), also twice the same, are of one class."""
    return 100 * labels.bincount().double().div(len(labels)).square().sum().item()


def pictures(context: Context, split: str, nearest: Tensor, target: str, count: int) -> dict[str, np.ndarray]:
    """For a figure: so many conditions, spread over a split, and the test images or captions (C, K, ...) of `nearest`.

    nearest: (K, B) for all conditions of the split, or for those of the figure alone. A caption stands for the mean of
    an image's ten; it is the first of them.
    """
    chosen, shown = spread(count, len(context.split(split))), nearest.T[spread(count, nearest.shape[1])]
    known = load_array(context.data / "x1_test.npy") if target == IMAGE else load_captions(context.data, "test")[:, 0]
    return {
        f"{split}_images": load_array(context.data / f"x1_{split}.npy")[chosen],
        f"{split}_captions": load_captions(context.data, split)[chosen, 0],
        f"{split}_{target}_neighbours": known[shown],
    }
