"""The paper's protocol for Oxford Flower (section 4.3): p(x1|x2) in image features, p(x2|x1) in caption features.

Everything goes through in chunks: memory does not grow with the number of captions or samples.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Generator, Tensor

from papers.hmvae.listening import listening
from shared.data.arrays import Split, load_captions
from shared.errors import InputError
from shared.metrics.features import Extractors, FeatureExtractor
from shared.metrics.fid import FeatureMoments, frechet_distance
from shared.metrics.precision_recall import precision_recall
from shared.metrics.protocol import Context, Evaluation, spread, to_uint8
from shared.metrics.variance import ConditionalVariance
from shared.models.contract import Batch, Latents, fold, unfold
from shared.models.shared_latent import SharedLatentVAE

# Images generated at a time. Part of the protocol: noise is drawn chunk by chunk.
CHUNK = 100

PROTOCOL = (
    "test split; one sample per condition; FID with {fid}; precision and recall with {neighbours} nearest neighbours "
    "in {manifold} (images) and in the standardised features (captions); variance over {samples} samples for "
    "{captions} captions, the mean over feature dimensions"
)


@dataclass(frozen=True)
class Settings:
    """neighbours: of precision and recall. image_means, caption_means: sets of levels that take their means.

    listening_samples: two or more of the latent variables for each test point, for `papers.hmvae.listening`.
    """

    neighbours: PositiveInt
    listening_samples: PositiveInt
    variance_samples: PositiveInt
    variance_captions: PositiveInt | Literal["all"]
    figure_captions: PositiveInt
    figure_samples: PositiveInt
    figure_unconditional: PositiveInt
    image_means: list[list[PositiveInt]] = field(default_factory=list)
    caption_means: list[list[PositiveInt]] = field(default_factory=list)


def evaluate(context: Context) -> Evaluation:
    """All metrics of Table 2 and the samples of Figs. 7 and 10 for one trained model."""
    settings, test = Settings(**context.settings), context.split("test")
    extractors = Extractors.of(context.evaluators, context.device)
    available = len(test)
    of_variance = available if settings.variance_captions == "all" else min(settings.variance_captions, available)
    protocol = PROTOCOL.format(
        fid=extractors.fid.name,
        manifold=extractors.manifold.name,
        neighbours=settings.neighbours,
        samples=settings.variance_samples,
        captions="all" if of_variance == available else of_variance,
    )
    real = RealImages(test, extractors)
    metrics = []
    for means in ([], *settings.image_means):
        fake = Conditional(context.model, test, "caption", "image", means)
        metrics += image_metrics(fake, real, settings, of_variance, extractors, context)
    for means in ([], *settings.caption_means):
        fake = Conditional(context.model, test, "image", "caption", means)
        metrics += caption_metrics(fake, test, settings, context)
    rows, points = listening(context, settings.listening_samples)
    return Evaluation(metrics + rows, figure_samples(context, settings), protocol, points)


def variant(means: Sequence[int]) -> str:
    """Name of a way to generate: "" samples all latent variables, "mean:1-3" takes the means of levels 1 to 3."""
    return f"mean:{_range(means)}" if means else ""


def _range(means: Sequence[int]) -> str:
    """InputError: not the lowest levels, so that samples would stand below means that they don't depend on."""
    if list(means) != list(range(1, len(means) + 1)):
        raise InputError(
            f"evaluation: means of the levels {list(means)}: give the lowest ones without a gap: 1, 2, ..."
        )
    return f"1-{len(means)}" if len(means) > 1 else "1"


def at_means(model: SharedLatentVAE, latents: Latents, m: str, levels: Sequence[int]) -> Latents:
    """The latent variables with those of the lowest `levels` of a modality at the means of their conditional priors.

    From the top of these levels down, so that each mean is conditioned on the one above it.
    """
    latents = dict(latents)
    samples, state = len(latents["g"]), model.top(m, fold(latents["g"]))
    for level in model.levels(m):
        if level in levels:
            p, _ = model.conditionals(m, level, state, None, samples)
            latents[f"z_{m}_{level}"] = unfold(p.mean, samples)
        state = model.below(m, level, state, fold(latents[f"z_{m}_{level}"]))
    return latents


def generate(
    model: SharedLatentVAE,
    given: Batch,
    target: str,
    samples: int,
    generator: Generator,
    means: Sequence[int],
    drawn: bool = False,
) -> Tensor:
    """Means of p(x_target | latents), (K, B, ...), as `MultimodalVAE.generate`, with the means of some levels.

    drawn: samples of p(x_target | latents) instead. The same generator draws the same latent variables whatever the
    means, so that all variants share g.
    """
    latents, _ = model.sample_latents(given, samples, generator, [target])
    parameters = model.decode(at_means(model, latents, target, means), [target])[target]
    likelihood = model.likelihoods[target]
    return likelihood.sample(parameters, generator) if drawn else likelihood.mean(parameters)


@dataclass(frozen=True)
class Conditional:
    """p(x_target | x_condition) of a model, as `generate` takes it."""

    model: SharedLatentVAE
    test: Split
    condition: str
    target: str
    means: Sequence[int]
    drawn: bool = False

    def chunks(self, samples: int, points: int, generator: Generator) -> Iterator[Tensor]:
        """What is generated for `points` conditions, in chunks (K, B, ...) of about CHUNK.

        The conditions are spread over the split, whose samples are in the order of their classes.
        """
        for index in spread(points, len(self.test)).split(max(1, CHUNK // samples)):
            batch = self.test.batch(index.to(self.test.tensors["labels"].device))
            given = {self.condition: batch[self.condition]}
            with torch.inference_mode():
                generated = generate(self.model, given, self.target, samples, generator, self.means, self.drawn)
            yield generated


class RealImages:
    """Features of the test images, computed once for all variants."""

    def __init__(self, test: Split, extractors: Extractors) -> None:
        self.moments = FeatureMoments(extractors.fid.dimension)
        manifold = []
        for first in range(0, len(test), CHUNK):
            features = extractors(test.batch(slice(first, first + CHUNK))["image"])
            self.moments.update(features.fid)
            manifold.append(features.manifold)
        self.manifold = torch.cat(manifold)


def image_metrics(
    fake: Conditional,
    real: RealImages,
    settings: Settings,
    variance_captions: int,
    extractors: Extractors,
    context: Context,
) -> list[dict[str, Any]]:
    """FID, precision, recall, F1 and variance of p(x1|x2) against p(x1)."""
    points = len(fake.test)
    moments, manifold = FeatureMoments(extractors.fid.dimension), []
    for (images,) in fake.chunks(1, points, context.generator("image")):
        features = extractors(images)
        moments.update(features.fid)
        manifold.append(features.manifold)
    overlap = precision_recall(real.manifold, torch.cat(manifold), settings.neighbours)
    spread = ConditionalVariance()
    for images in fake.chunks(settings.variance_samples, variance_captions, context.generator("variance")):
        spread.update(_by_condition(extractors.manifold, images))
    values = {
        "fid": (frechet_distance(real.moments, moments), "", extractors.fid),
        "precision": (100 * overlap.precision, "%", extractors.manifold),
        "recall": (100 * overlap.recall, "%", extractors.manifold),
        "f1": (100 * overlap.f1, "%", extractors.manifold),
        "variance": (spread.value, "", extractors.manifold),
    }
    return [
        {"key": f"image/{key}", "variant": variant(fake.means), "value": value, "unit": unit, "samples": points}
        | ({} if extractor.pretrained else {"features": extractor.name})
        for key, (value, unit, extractor) in values.items()
    ]


def _by_condition(extractor: FeatureExtractor, images: Tensor) -> Tensor:
    """Features (B, K, D) of images (K, B, ...)."""
    count, points = images.shape[:2]
    return extractor(images.flatten(0, 1)).view(count, points, -1).transpose(0, 1)


def caption_metrics(fake: Conditional, test: Split, settings: Settings, context: Context) -> list[dict[str, Any]]:
    """Precision, recall and F1 of p(x2|x1) against p(x2), in the caption features themselves.

    Of the means of p(x2 | latents), as section 4.1 takes them, and, as caption_drawn, of samples from it.
    """
    features = context.about["caption_features"]
    rows = []
    for key, each in (("caption", fake), ("caption_drawn", replace(fake, drawn=True))):
        chunks = each.chunks(1, len(test), context.generator("caption"))
        generated = torch.cat([captions for (captions,) in chunks])
        # on the CPU, as all metrics: not every device has float64
        overlap = precision_recall(test.tensors["caption"].cpu(), generated.cpu(), settings.neighbours)
        rows += [
            {"key": f"{key}/{name}", "variant": variant(fake.means), "value": 100 * value, "unit": "%",
             "samples": len(test)} | ({} if features == "char-CNN-RNN" else {"features": f"{features} features"})
            for name, value in (("precision", overlap.precision), ("recall", overlap.recall), ("f1", overlap.f1))
        ]  # fmt: skip
    return rows


def figure_samples(context: Context, settings: Settings) -> dict[str, np.ndarray]:
    """Images given a few test captions, spread over the test split: normal samples, and one set per level of means;
    beside them what comes of no condition.

    All sets of a model start from the same noise, so that they share g and differ by the hierarchy alone.
    """
    test = context.split("test")
    chosen = spread(settings.figure_captions, len(test))
    batch = test.batch(chosen.to(context.device))
    captions = load_captions(context.data, "test")
    given, count = {"caption": batch["caption"]}, settings.figure_samples
    samples = {"captions": captions[chosen, 0], "real": to_uint8(batch["image"])}
    for means in ([], *settings.image_means):
        with torch.inference_mode():
            images = generate(context.model, given, "image", count, context.generator("figure"), means)
        samples["given_x2" + (f"_mean_{_range(means)}" if means else "")] = to_uint8(images.transpose(0, 1))
    return samples | unconditional_samples(context, settings)


def unconditional_samples(context: Context, settings: Settings) -> dict[str, np.ndarray]:
    """Fig. 10: means of p(x_i | .) with g ~ p(g) and all below g from their (conditional) priors, i = 1, 2 of one g.

    Images, and for each the caption of the test image whose caption features are nearest: the first of its ten.
    """
    test, generator = context.split("test"), context.generator("unconditional")
    with torch.inference_mode():
        made = context.model.generate({}, ["image", "caption"], 1, generator, settings.figure_unconditional)
        nearest = torch.cdist(made["caption"][0], test.tensors["caption"]).argmin(1)
    captions = load_captions(context.data, "test")[nearest.cpu(), 0]
    return {"unconditional_images": to_uint8(made["image"][0]), "unconditional_captions": captions}
