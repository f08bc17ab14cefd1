"""The protocol of Tables 1 to 3 (log-likelihoods by importance sampling) and the samples of Fig. 4.

Which estimator stands behind each row, and why, is derived in this paper's README.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Generator, Tensor

from shared.errors import InputError
from shared.metrics.likelihood import Estimate, Target, over_split, row
from shared.metrics.protocol import Context, Evaluation, to_uint8
from shared.models.contract import Batch, Latents, MultimodalVAE


@dataclass(frozen=True)
class Settings:
    """points: of the test split. released: also the numbers that the MVAE's released code would give, see `AtMean`."""

    importance_samples: PositiveInt
    points: PositiveInt | Literal["all"]
    figure_samples: PositiveInt
    figure_condition: list[str]
    released: bool = False


def evaluate(context: Context) -> Evaluation:
    """All rows of a table for one model, and its samples for the figure.

    The first modality is the image x_1, the second one, x_2, its label or attributes.
    """
    settings = Settings(**context.settings)
    available = len(context.split("test"))
    points = available if settings.points == "all" else min(settings.points, available)
    found = likelihoods(context, context.model, settings.importance_samples, points)
    protocol = f"test split, {'all' if points == available else points} data points; "
    protocol += f"{settings.importance_samples} importance samples"
    if settings.released:  # all samples of a point coincide: one says what any number does
        found |= {
            (target, condition, given, RELEASED): estimate
            for (target, condition, given, _), estimate in likelihoods(
                context, AtMean(context.model), 1, points
            ).items()
        }
        protocol += "; (released): all samples at the mean of q, as the MVAE's released code draws them in evaluation"
    metrics = [row(*which, estimate) for which, estimate in found.items()]
    return Evaluation(
        metrics=metrics,
        samples=figure_samples(context, settings),
        protocol=protocol,
        points={
            (line["key"], line["variant"]): estimate.value.cpu().numpy()
            for line, estimate in zip(metrics, found.values(), strict=True)
        },
    )


RELEASED = " (released)"
Row = tuple[
    Target, Target, Target, str
]  # what is scored, what it is conditioned on, the proposal's input, the protocol


class AtMean:
    """A model with one latent variable whose posterior samples are all its mean.

    The released code of the MVAE returns the mean of q instead of a sample in evaluation mode; log-likelihoods that are
    computed with it, as the MHVAE paper's seem to be, are no importance-sampling estimates (this paper's README).
    """

    def __init__(self, model: MultimodalVAE) -> None:
        self.model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def sample_latents(
        self, given: Batch, samples: int, generator: Generator, targets: Sequence[str], batch: int
    ) -> tuple[Latents, Tensor]:
        q = self.model.posterior(given)
        g = q.mean.expand(samples, *q.mean.shape)
        return {"g": g}, q.log_prob(g)


def likelihoods(context: Context, model: MultimodalVAE, samples: int, points: int) -> dict[Row, Estimate]:
    """log p(x1), log p(x1, x2) and log p(x1 | x2) from the proposals that the tables name, in nats."""
    image, label = both = model.modalities
    wanted = {  # what the proposal is given: (what is scored, what it is conditioned on)
        (image,): [((image,), ()), (both, ())],
        (label,): [(both, ()), (both, (label,))],
        both: [(both, ())],
    }
    estimates = {}
    for given, rows in wanted.items():
        targets = sorted({subset for row in rows for subset in row if subset})
        purpose = context.generator("likelihood", "+".join(given))
        found = over_split(model, context.split("test"), given, targets, samples, purpose, points)
        for target, condition in rows:
            estimate = found.conditional(target, condition) if condition else found.log_p(target)
            estimates[target, condition, given, ""] = estimate
    return estimates


def figure_samples(context: Context, settings: Settings) -> dict[str, np.ndarray]:
    """Images given the figure's class or attributes, z^c from q(z^c | x2), and images with z^c from its prior."""
    model = context.model
    image, label = model.modalities
    condition = encode_condition(settings.figure_condition, context.about).to(context.device)
    count = settings.figure_samples
    with torch.inference_mode():
        given = model.generate({label: condition[None]}, [image], count, context.generator("figure", "given"))[image]
        prior = model.generate({}, [image], count, context.generator("figure", "prior"), batch=1)[image]
    return {
        "conditions": np.array([", ".join(settings.figure_condition)]),
        "given": to_uint8(given.transpose(0, 1)),
        "prior": to_uint8(prior[:, 0]),
    }


def encode_condition(names: Sequence[str], about: dict[str, Any]) -> Tensor:
    """x_2, (D,), with 1 where a class or attribute is named. InputError: the data know no such name."""
    known = about.get("classes") or about.get("attributes", [])
    for name in names:
        if name not in known:
            raise InputError(f"evaluation.figure_condition: `{name}` is unknown; the data have {', '.join(known)}")
    return torch.tensor([float(name in names) for name in known])
