"""Whether a model listens to the caption, measured without any pretrained network: bounds in nats, and colours.

Not in the paper. They stand beside Table 2, whose measures depend on feature networks and on how many samples there
are, and whose precision a model may reach that draws the same flower for every caption.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Generator, Tensor

from shared.data.arrays import Split
from shared.errors import InputError
from shared.metrics.protocol import Context
from shared.models.contract import Batch
from shared.models.shared_latent import SharedLatentVAE, total

BATCH = 64  # data points at a time; part of the measure: noise is drawn batch by batch


def bound(model: SharedLatentVAE, given: Batch, x: Batch, samples: int, generator: Generator) -> Tensor:
    """E log p(x | z) - KL(own latent variables of x) with g ~ q(g | given), (B,) in nats.

    The plain ELBO of x without the KL term of g: a lower bound on E_q(g | given) log p(x | g), which falls when g says
    the wrong thing about x.
    """
    terms = model.elbo_terms(model.posterior(given), model.encode(x)[1], x, samples, generator)
    return total(terms, "log_p_") - total(terms, "kl_") + terms["kl_g"]


def elbo(model: SharedLatentVAE, x: Batch, samples: int, generator: Generator) -> Tensor:
    """ELBO of any modalities x by themselves, (B,) in nats."""
    terms = model.elbo_terms(*model.encode(x), x, samples, generator)
    return total(terms, "log_p_") - total(terms, "kl_")


def chroma(images: Tensor) -> Tensor:
    """Red-green R - G and blue-yellow B - (R + G) / 2 of an image's centre, (..., 2), of (..., 3, H, W) in [0, 1].

    The centre is the middle half of each side, where the flower is.
    """
    height, width = images.shape[-2:]
    centre = images[..., height // 4 : height - height // 4, width // 4 : width - width // 4]
    red, green, blue = centre.mean(dim=(-2, -1)).unbind(-1)
    return torch.stack([red - green, blue - (red + green) / 2], dim=-1)


def colour_fidelity(real: Tensor, generated: Tensor) -> tuple[Tensor, Tensor]:
    """How far the colour of samples is that of the caption, for each of the two chroma axes, (2,) each.

    real: chroma of the captions' own images, (B, 2). generated: of K > 1 samples for each caption, (K, B, 2).

    Returns the correlation between the real chroma and the samples' mean, 0 where that is constant; and the share of
    the samples' variance that lies between captions (intraclass correlation, by analysis of variance; at least 0).
    """
    real, generated = real.double(), generated.double()
    samples, mean = len(generated), generated.mean(0)
    centred, own = real - real.mean(0), mean - mean.mean(0)
    scale = centred.norm(dim=0) * own.norm(dim=0)
    correlation = torch.where(scale > 0, (centred * own).sum(0) / scale, 0.0)
    within = generated.var(0).mean(0)
    between = (mean.var(0) - within / samples).clamp_min(0)
    return correlation, torch.where(between > 0, between / (between + within), 0.0)


def listening(context: Context, samples: int) -> tuple[list[dict[str, Any]], dict[tuple[str, str], Any]]:
    """Metric rows and the values of single test points: ELBOs, caption nats and colour fidelity on the test split.

    Caption nats are what an image's bound loses when g comes from the caption of another class instead of its own.
    InputError: a single sample.
    """
    if samples < 2:
        raise InputError(f"evaluation.listening_samples: {samples}: a share of variance needs at least 2")
    model, test = context.model, context.split("test")
    noise = context.generator("listening")
    points = {key: [] for key in ("elbo/both", "elbo/image", "elbo/caption", "listening/caption_nats")}
    real, generated = [], []
    for batch, other in _with_another_class(test):
        image, caption = {"image": batch["image"]}, {"caption": batch["caption"]}
        with torch.inference_mode():
            points["elbo/both"].append(elbo(model, image | caption, samples, noise))
            points["elbo/image"].append(elbo(model, image, samples, noise))
            points["elbo/caption"].append(elbo(model, caption, samples, noise))
            own, wrong = (bound(model, given, image, samples, noise) for given in (caption, {"caption": other}))
            points["listening/caption_nats"].append(own - wrong)
            real.append(chroma(batch["image"]))
            generated.append(chroma(model.generate(caption, ["image"], samples, noise)["image"]))
    correlation, share = colour_fidelity(torch.cat(real), torch.cat(generated, dim=1))
    values = {key: torch.cat(parts).double().cpu() for key, parts in points.items()}
    rows = [
        {"key": key, "variant": "", "value": value.mean().item(), "unit": "nats", "samples": len(test),
         "standard_error": (value.std() / len(value) ** 0.5).item()}
        for key, value in values.items()
    ] + [
        {"key": f"listening/{name}_{axis}", "variant": "", "value": value.item(), "unit": "", "samples": len(test)}
        for name, both in (("colour", correlation), ("share", share))
        for axis, value in zip(("red_green", "blue_yellow"), both, strict=True)
    ]  # fmt: skip
    return rows, {(key, ""): value.numpy() for key, value in values.items()}


def _with_another_class(test: Split) -> Iterator[tuple[Batch, Tensor]]:
    """Batches, and for each of their points the caption features of a point of another class.

    In the order of the classes, the point half the split away is of another one, unless a class has half of all.
    """
    order = test.tensors["labels"].argsort(stable=True)
    for index, other in zip(order.split(BATCH), order.roll(len(order) // 2).split(BATCH), strict=True):
        yield test.batch(index), test.batch(other)["caption"]
