"""The protocol of Tables 1 to 3 (log-likelihoods by importance sampling) and the samples of Fig. 4.

Which estimator stands behind each row, and why, is derived in this paper's README.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from shared.data.arrays import Split, describe_data
from shared.errors import InputError
from shared.metrics.likelihood import Estimate, Target, over_split
from shared.metrics.protocol import Evaluation, to_uint8
from shared.models.contract import MultimodalVAE

PROTOCOL = "test split, {points} data points; {samples} importance samples"


def evaluate(
    model: MultimodalVAE,
    test: Split,
    data: Path,
    settings: dict[str, Any],
    extractors: None,
    generator: Callable[..., Generator],
) -> Evaluation:
    """All rows of a table for one model, and its samples for the figure.

    The first modality is the image x_1, the second one, x_2, its label or attributes.
    settings: the specification's `evaluation`. extractors: none, no metric looks at image features.
    generator: makes a generator for a purpose, so that rows are independent.
    """
    points = len(test) if settings["points"] == "all" else min(settings["points"], len(test))
    metrics = likelihoods(model, test, settings["importance_samples"], points, generator)
    described = "all" if points == len(test) else str(points)
    return Evaluation(
        metrics=metrics,
        samples=figure_samples(model, describe_data(data), test, settings, generator),
        protocol=PROTOCOL.format(points=described, samples=settings["importance_samples"]),
    )


def likelihoods(
    model: MultimodalVAE, test: Split, samples: int, points: int, generator: Callable[..., Generator]
) -> list[dict[str, Any]]:
    """log p(x1), log p(x1, x2) and log p(x1 | x2) from the proposals that the tables name, means in nats."""
    image, label = both = model.modalities
    wanted = {  # what the proposal is given: (what is scored, what it is conditioned on)
        (image,): [((image,), ()), (both, ())],
        (label,): [(both, ()), (both, (label,))],
        both: [(both, ())],
    }
    metrics = []
    for given, rows in wanted.items():
        targets = sorted({subset for row in rows for subset in row if subset})
        purpose = generator("likelihood", "+".join(given))
        found = over_split(model, test, given, targets, samples, purpose, points)
        for target, condition in rows:
            estimate = found.conditional(target, condition) if condition else found.log_p(target)
            metrics.append(row(target, condition, given, estimate))
    return metrics


def row(target: Target, condition: Target, given: Target, estimate: Estimate) -> dict[str, Any]:
    """A line of metrics.json. InputError: the likelihood of a data point is not finite."""
    scored = tuple(m for m in target if m not in condition)
    key = "likelihood/" + "|".join("+".join(part) for part in (scored, condition) if part)
    lost = int((~estimate.value.isfinite()).sum())
    if lost:
        raise InputError(
            f"{key} from {'+'.join(given)}: not finite for {lost} of {len(estimate.value)} data points; "
            "the weights or the data are damaged, train the model again"
        )
    summary = estimate.summary()
    name = f"{condition[0]}-to-{scored[0]}" if condition else scored[0] if len(scored) == 1 else "joint"
    return {
        "key": key,
        "variant": "+".join(given),
        "name": f"{name} log-likelihood",
        "value": summary.mean,
        "unit": "nats",
        "samples": summary.points,
        "standard_error": summary.standard_error,
        "monte_carlo_error": summary.monte_carlo_error,
        "effective_samples": summary.effective_samples,
    }


def figure_samples(
    model: MultimodalVAE,
    about: dict[str, Any],
    test: Split,
    settings: dict[str, Any],
    generator: Callable[..., Generator],
) -> dict[str, Any]:
    """Images given the figure's class or attributes, z^c from q(z^c | x2), and images with z^c from its prior."""
    image, label = model.modalities
    device = next(model.parameters()).device
    condition = encode_condition(settings["figure_condition"], about).to(device)
    count = settings["figure_samples"]
    with torch.inference_mode():
        given = model.generate({label: condition[None]}, [image], count, generator("figure", "given"))[image]
        prior = model.generate({}, [image], count, generator("figure", "prior"), batch=1)[image]
    return {
        "conditions": [", ".join(settings["figure_condition"])],
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
