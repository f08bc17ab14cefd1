"""The stand-in for Oxford Flower: flowers drawn by the package, with captions, in seconds, from no file.

Their structure is the one of HMVAE's Fig. 1, and all its factors are known. The class of a flower decides the shape
and colour of its petals and the colour of its centre, which captions describe. It also decides which backgrounds are
likely, which captions never mention: modality-exclusive variation that depends on the shared concept. Position, size,
rotation, light, shades and patches vary within a class. Backgrounds follow the shape of the petals, so that a model
can know them for the classes of the test split too, which it has never seen.

Flowers are large and upright, and nothing on an image is finer than a petal: a model learns to draw them in hundreds of
training steps, where photographs take tens of thousands.
"""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.random import Generator

from shared.data import drawn
from shared.data.drawn import Drawn, Options, mix, noise, shades, smoothstep, split_by_class, to_bytes, uniform
from shared.data.prepared import DatasetSpec, Prepared

# As many classes a split, and the same numbers, as the official split has.
CLASSES = {"train": range(41, 103), "val": range(21, 41), "test": range(1, 21)}
# Colours of the darkest and the brightest places.
BACKGROUNDS = {
    "meadow": ((0.30, 0.58, 0.14), (0.56, 0.80, 0.28)),
    "water": ((0.02, 0.26, 0.42), (0.16, 0.50, 0.62)),
    "soil": ((0.28, 0.16, 0.08), (0.54, 0.36, 0.20)),
    "sky": ((0.46, 0.70, 0.96), (0.84, 0.93, 0.99)),
}


@dataclass(frozen=True)
class PetalShape:
    """Outline of a petal from its base (t = 0) to its tip (t = 1): half width ~ t^base (1 - t)^tip."""

    words: tuple[str, ...]
    petals: int
    count: str
    base: float
    tip: float
    backgrounds: tuple[str, str]  # the likelier one first


SHAPES = {
    "broad": PetalShape(("broad", "wide"), 3, "three", 0.60, 0.30, ("soil", "meadow")),
    "square": PetalShape(("square", "blunt"), 4, "four", 0.80, 0.20, ("meadow", "soil")),
    "round": PetalShape(("round", "rounded"), 5, "five", 0.70, 0.30, ("meadow", "sky")),
    "oval": PetalShape(("oval", "oval shaped"), 6, "six", 0.75, 0.55, ("water", "sky")),
    "pointed": PetalShape(("pointed", "pointy"), 8, "eight", 0.70, 0.90, ("water", "soil")),
    "narrow": PetalShape(("narrow", "long thin"), 12, "many", 0.45, 0.25, ("sky", "water")),
}
PETAL_COLOURS = {
    "red": (0.86, 0.08, 0.10),
    "yellow": (0.98, 0.86, 0.12),
    "blue": (0.20, 0.26, 0.92),
}
CENTRE_COLOURS = {
    "yellow": (0.95, 0.74, 0.10),
    "brown": (0.36, 0.20, 0.09),
    "green": (0.52, 0.66, 0.20),
    "white": (0.94, 0.93, 0.86),
    "purple": (0.36, 0.10, 0.42),
    "black": (0.08, 0.07, 0.09),
    "pink": (0.95, 0.55, 0.74),
}
_CENTRE = 0.24  # radius of a flower's centre, in units of the flower's


@dataclass(frozen=True)
class FlowerClass:
    """What all flowers of a class share. `background_weights`: probabilities, in the order of BACKGROUNDS."""

    shape: str
    colour: str
    centre: str
    background_weights: tuple[float, ...]


def load(spec: DatasetSpec, data_root: Path) -> Prepared:
    """The drawn data set. InputError: features that exist for photographs only."""
    options = spec.read(Options)
    return split_by_class(draw(options.images_per_class, options.seed, options.image_size), CLASSES, options, "flowers")


def draw(images_per_class: int, seed: int, size: int = 64) -> Drawn[FlowerClass]:
    """Draw all 102 classes. The same arguments give the same flowers.

    Args:
        images_per_class: number of images of each class.
        seed: of everything random.
        size: width and height in pixels.
    """
    classes_rng, *rngs = np.random.default_rng(seed).spawn(103)
    return drawn.draw(invent_classes(classes_rng), rngs, images_per_class, partial(_paint, size=size), caption)


def invent_classes(rng: Generator) -> dict[int, FlowerClass]:
    """102 different classes by number. Shapes and pairs of colours are spread evenly over them."""
    looks = [(colour, centre) for colour in PETAL_COLOURS for centre in CENTRE_COLOURS if colour != centre]
    looks_of_shape = {shape: rng.permutation(len(looks)) for shape in SHAPES}
    numbers = rng.permutation(102) + 1
    classes = {}
    for i, number in enumerate(numbers):
        shape = list(SHAPES)[i % len(SHAPES)]
        colour, centre = looks[looks_of_shape[shape][i // len(SHAPES)]]
        likelier, other = SHAPES[shape].backgrounds
        probability = rng.uniform(0.7, 0.95)
        weights = {likelier: probability, other: 1 - probability}
        background_weights = tuple(weights.get(name, 0.0) for name in BACKGROUNDS)
        classes[int(number)] = FlowerClass(shape, colour, centre, background_weights)
    return dict(sorted(classes.items()))


# --- captions ---


def caption(flower: FlowerClass, rng: Generator) -> str:
    """What one person may say of a flower of the class."""
    colour, centre, count = flower.colour, flower.centre, SHAPES[flower.shape].count
    shape = str(rng.choice(SHAPES[flower.shape].words))
    kernel = f"{count} {shape} {colour} petals"
    sentences = (
        f"this flower has {kernel}",
        f"a {colour} flower with {count} {shape} petals",
        f"the petals are {colour} and {shape}",
        f"this flower is {colour} in color with petals that are {shape}",
        f"{count} petals, each of them {colour} and {shape}",
        f"the flower shown has {colour} petals",
        f"a flower with {shape} petals that are {colour}",
        f"{kernel} arranged around the middle",
    )
    centres = (
        f" and a {centre} center",
        f" around a {centre} center",
        f", the center is {centre}",
        f" and the middle of the flower is {centre}",
        "",
    )
    return f"{rng.choice(sentences)}{rng.choice(centres)}."


# --- painting ---


def _paint(flower: FlowerClass, backgrounds: np.ndarray, rng: Generator, size: int) -> np.ndarray:
    """A flower of the class on each of the backgrounds (B,): uint8 (B, 3, S, S)."""
    count = len(backgrounds)
    axis = ((np.arange(size) + 0.5) * 2 / size - 1).astype(np.float32)
    x, y = axis[None, None, :], axis[None, :, None]  # to the right and down, both in [-1, 1]

    dark, bright = (
        np.array(colours, np.float32)[backgrounds][:, None, None] for colours in zip(*BACKGROUNDS.values(), strict=True)
    )
    light = 0.7 * (0.5 - 0.5 * y) + 0.3 * noise(rng, count, size, 3)
    pixels = mix(dark, bright, light)

    radius = uniform(rng, count, 0.90, 1.06)
    x, y = x - uniform(rng, count, -0.05, 0.05), y - uniform(rng, count, -0.05, 0.05)
    distance, angle = np.hypot(x, y) / radius, np.arctan2(x, -y) + uniform(rng, count, -0.06, 0.06)
    edge = 2 / size / radius  # the width of a pixel in units of the flower's radius; outlines fade over it
    pixels = _petals(
        pixels, SHAPES[flower.shape], distance, angle, edge, shades(rng, PETAL_COLOURS[flower.colour], count)
    )
    centre = (
        shades(rng, CENTRE_COLOURS[flower.centre], count)
        * (1.05 - 0.3 * np.minimum(distance / _CENTRE, 1) ** 2)[..., None]
    )
    pixels = mix(pixels, centre, np.clip((_CENTRE - distance) / edge + 0.5, 0, 1))
    return to_bytes(pixels)


def _petals(
    pixels: np.ndarray, shape: PetalShape, distance: np.ndarray, angle: np.ndarray, edge: np.ndarray, colour: np.ndarray
) -> np.ndarray:
    """A ring of petals on images (B, S, S, 3), one of them straight up at angle 0.

    Args:
        distance, angle: polar coordinates (B, S, S); petals end at distance 1.
        edge: width of a pixel in the same unit, (B, 1, 1).
        colour: (B, 1, 1, 3).
    """
    sector = 2 * np.pi / shape.petals
    relative = angle - np.rint(angle / sector) * sector
    along, across = distance * np.cos(relative), np.abs(distance * np.sin(relative))
    peak = (shape.base / (shape.base + shape.tip)) ** shape.base * (shape.tip / (shape.base + shape.tip)) ** shape.tip
    widest = min(0.75, 0.75 * math.tan(sector / 2))
    t = np.clip(along, 0, 1)
    half_width = widest / peak * t**shape.base * (1 - t) ** shape.tip
    inside = np.where(t < 1, half_width - across, -1)
    neighbour = distance * np.sin(sector / 2 - np.abs(relative))  # how far the next petal's half of the plane is
    rim = 0.7 + 0.3 * smoothstep(0.0, 0.08, np.minimum(inside, neighbour))
    shading = (0.72 + 0.32 * np.sqrt(t)) * rim
    return mix(pixels, colour * shading[..., None], np.clip(inside / edge + 0.5, 0, 1))
