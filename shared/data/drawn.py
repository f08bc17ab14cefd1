"""What the stand-ins for photographs with captions share: flowers and birds whose factors are all known.

Their structure is the one of HMVAE's Fig. 1. The class decides what captions say, and which backgrounds are likely,
which captions never mention: modality-exclusive variation that depends on the shared concept.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

import numpy as np
from numpy.random import Generator
from pydantic import NonNegativeInt, PositiveInt

from shared.data.captioned import CAPTION_DIM, CAPTIONS_PER_IMAGE, IMAGE_SIZE, Captioned, prepared
from shared.data.prepared import SPLITS, DatasetOptions, ImageSize, Prepared


class Options(DatasetOptions):
    """`trained` features are left to a network that the experiment names under `encoders`."""

    caption_features: Literal["trained"] = "trained"
    image_features: Literal["trained"] = "trained"
    image_size: ImageSize = IMAGE_SIZE
    caption_dim: PositiveInt = CAPTION_DIM
    images_per_class: PositiveInt = 20
    seed: NonNegativeInt = 0


class Concept(Protocol):
    """What all images of a class share. background_weights: the probability of each background."""

    @property
    def background_weights(self) -> Sequence[float]: ...


C = TypeVar("C", bound=Concept)


@dataclass(frozen=True)
class Drawn(Generic[C]):
    """Images with the factors they were drawn from, N of them in order of class number.

    images: uint8 (N, 3, S, S); labels: int64 (N,); captions: str (N, 10); backgrounds: int64 (N,), numbers of the
    backgrounds; classes: by class number.
    """

    images: np.ndarray
    labels: np.ndarray
    captions: np.ndarray
    backgrounds: np.ndarray
    classes: Mapping[int, C]


def draw(
    classes: Mapping[int, C],
    rngs: Sequence[Generator],
    images_per_class: int,
    paint: Callable[[C, np.ndarray, Generator], np.ndarray],
    caption: Callable[[C, Generator], str],
) -> Drawn[C]:
    """Images of every class, each with ten captions by imagined people, some of whom leave something out.

    Args:
        classes: by number. rngs: one for each of them, in the same order.
        paint: an image of the class on each of the backgrounds (B,): uint8 (B, 3, S, S).
        caption: one sentence about the class.
    """
    images, captions, backgrounds = [], [], []
    for each, rng in zip(classes.values(), rngs, strict=True):
        background = rng.choice(len(each.background_weights), size=images_per_class, p=each.background_weights)
        images.append(paint(each, background, rng))
        captions += [[caption(each, rng) for _ in range(CAPTIONS_PER_IMAGE)] for _ in range(images_per_class)]
        backgrounds.append(background)
    return Drawn(
        images=np.concatenate(images),
        labels=np.repeat(np.array(list(classes), dtype=np.int64), images_per_class),
        captions=np.array(captions),
        backgrounds=np.concatenate(backgrounds).astype(np.int64),
        classes=classes,
    )


def split_by_class(drawn: Drawn, split_of: Mapping[str, Sequence[int]], options: Options, subject: str) -> Prepared:
    """The data set whose splits have these classes. subject: what was drawn, for the description."""
    rows = {split: np.flatnonzero(np.isin(drawn.labels, split_of[split])) for split in SPLITS}
    return prepared(
        splits={
            split: Captioned(
                images=drawn.images[rows[split]],
                labels=drawn.labels[rows[split]],
                captions=drawn.captions[rows[split]],
                features={},
            )
            for split in SPLITS
        },
        stand_in=True,
        description=f"{subject} drawn by the package",
        notes={},
        files={},
    )


# --- painting ---


def smoothstep(low: float, high: float, value: np.ndarray) -> np.ndarray:
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def mix(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Colours (..., 3) mixed by a weight map (B, S, S)."""
    return first + weight[..., None] * (second - first)


def noise(rng: Generator, count: int, size: int, cells: int) -> np.ndarray:
    """Smooth random maps in [0, 1] of cells x cells patches, float32 (count, size, size)."""
    position = (np.arange(size) + 0.5) / size * cells
    cell = position.astype(int)
    weight = smoothstep(0, 1, position - cell)
    interpolation = np.zeros((size, cells + 1), np.float32)
    interpolation[np.arange(size), cell] = 1 - weight
    interpolation[np.arange(size), cell + 1] = weight
    return interpolation @ rng.random((count, cells + 1, cells + 1), dtype=np.float32) @ interpolation.T


def uniform(rng: Generator, count: int, low: float, high: float) -> np.ndarray:
    """One number for each image, float32 (count, 1, 1), to broadcast over its pixels."""
    return rng.uniform(low, high, (count, 1, 1)).astype(np.float32)


def shades(rng: Generator, colour: tuple[float, float, float], count: int) -> np.ndarray:
    """A shade of a colour for each image, float32 (count, 1, 1, 3)."""
    shades = np.array(colour) * rng.uniform(0.90, 1.05, (count, 1)) + rng.normal(0, 0.02, (count, 3))
    return np.clip(shades, 0, 1).astype(np.float32)[:, None, None, :]


def to_bytes(pixels: np.ndarray) -> np.ndarray:
    """Images (B, S, S, 3) of numbers around [0, 1] as uint8 (B, 3, S, S)."""
    return np.rint(255 * np.clip(pixels, 0, 1)).astype(np.uint8).transpose(0, 3, 1, 2)
