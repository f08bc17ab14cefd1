"""The stand-in for CUB: birds drawn by the package, with captions, in seconds, from no file.

Their structure is the one of HMVAE's Fig. 1, and all its factors are known. The species decides the build and the
colours of body, wing and bill, which captions describe. With the build goes what captions never mention: seabirds have
sky or water behind them, songbirds forest or meadow, each in several variations. Direction, position, size and slope of
the bird, light and shades vary within a species. Backgrounds follow the build, so that a model can know them for the
species of the test split too, which it has never seen.
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

# As many classes a split as the paper has.
CLASSES = {"train": range(1, 112), "val": range(112, 151), "test": range(151, 201)}
# The darkest and the brightest colours of each variation.
BACKGROUNDS = {
    "sky": (
        ((0.30, 0.56, 0.92), (0.66, 0.85, 1.00)),
        ((0.56, 0.66, 0.78), (0.82, 0.87, 0.92)),
        ((0.52, 0.44, 0.70), (0.99, 0.74, 0.58)),
    ),
    "water": (
        ((0.02, 0.20, 0.42), (0.10, 0.42, 0.62)),
        ((0.04, 0.38, 0.46), (0.26, 0.66, 0.68)),
        ((0.16, 0.24, 0.32), (0.36, 0.46, 0.54)),
    ),
    "forest": (
        ((0.04, 0.16, 0.06), (0.16, 0.36, 0.14)),
        ((0.10, 0.24, 0.04), (0.34, 0.52, 0.14)),
        ((0.30, 0.14, 0.04), (0.62, 0.36, 0.12)),
    ),
    "meadow": (
        ((0.34, 0.62, 0.16), (0.66, 0.86, 0.36)),
        ((0.66, 0.58, 0.26), (0.90, 0.84, 0.54)),
        ((0.48, 0.66, 0.40), (0.80, 0.90, 0.72)),
    ),
}
COLOURS = {
    "white": (0.95, 0.95, 0.93),
    "gray": (0.56, 0.57, 0.60),
    "black": (0.09, 0.09, 0.11),
    "brown": (0.46, 0.29, 0.15),
    "red": (0.84, 0.10, 0.10),
    "yellow": (0.97, 0.83, 0.12),
    "orange": (0.95, 0.52, 0.08),
    "blue": (0.16, 0.32, 0.88),
}
_DARK, _PALE, _BRANCH = np.float32([[0.08, 0.06, 0.06], [0.98, 0.98, 0.95], [0.30, 0.20, 0.12]])
WINGS = ("white", "gray", "black", "brown")
BILLS = ("yellow", "orange", "red", "black")


@dataclass(frozen=True)
class Build:
    """Lengths in units of half the bird's own; it looks to the right, and y points up.

    sizes, bills: words for them. body: half axes; head: centre and radius; bill, tail, wing: length and width; hook:
    how far the tip of the bill is bent down, more than 0; legs: their length, 0 for birds that only fly and swim.
    colours: of the body. backgrounds: those behind such birds.
    """

    sizes: tuple[str, ...]
    bills: tuple[str, ...]
    body: tuple[float, float]
    head: tuple[float, float, float]
    bill: tuple[float, float]
    hook: float
    tail: tuple[float, float]
    wing: tuple[float, float]
    legs: float
    colours: tuple[str, ...]
    backgrounds: tuple[str, str]


_SEABIRD = {"colours": ("white", "gray", "black", "brown"), "backgrounds": ("sky", "water"), "legs": 0.0}
_SONGBIRD = {"colours": ("red", "yellow", "blue", "orange"), "backgrounds": ("forest", "meadow"), "legs": 0.3}
BUILDS = {
    "gull": Build(
        sizes=("large", "big"),
        bills=("hooked", "curved"),
        body=(0.56, 0.31),
        head=(0.50, 0.22, 0.20),
        bill=(0.34, 0.12),
        hook=0.10,
        tail=(0.42, 0.14),
        wing=(1.02, 0.38),
        **_SEABIRD,
    ),
    "duck": Build(
        sizes=("medium sized", "medium"),
        bills=("flat", "broad"),
        body=(0.60, 0.40),
        head=(0.48, 0.42, 0.22),
        bill=(0.32, 0.17),
        hook=0.01,
        tail=(0.24, 0.20),
        wing=(0.72, 0.36),
        **_SEABIRD,
    ),
    "heron": Build(
        sizes=("tall", "very large"),
        bills=("long pointed", "long sharp"),
        body=(0.50, 0.33),
        head=(0.46, 0.62, 0.15),
        bill=(0.52, 0.10),
        hook=0.01,
        tail=(0.26, 0.14),
        wing=(0.78, 0.38),
        **_SEABIRD,
    ),
    "finch": Build(
        sizes=("small", "small sized"),
        bills=("short thick", "stout"),
        body=(0.52, 0.44),
        head=(0.40, 0.40, 0.27),
        bill=(0.22, 0.22),
        hook=0.03,
        tail=(0.40, 0.15),
        wing=(0.68, 0.32),
        **_SONGBIRD,
    ),
    "warbler": Build(
        sizes=("tiny", "very small"),
        bills=("thin", "tiny pointed"),
        body=(0.46, 0.34),
        head=(0.38, 0.28, 0.21),
        bill=(0.24, 0.07),
        hook=0.01,
        tail=(0.50, 0.13),
        wing=(0.62, 0.26),
        **_SONGBIRD,
    ),
    "jay": Build(
        sizes=("medium sized", "medium"),
        bills=("pointed", "straight"),
        body=(0.48, 0.34),
        head=(0.42, 0.36, 0.21),
        bill=(0.30, 0.12),
        hook=0.01,
        tail=(0.62, 0.20),
        wing=(0.64, 0.28),
        **_SONGBIRD,
    ),
}


@dataclass(frozen=True)
class Species:
    """What all birds of a class share. background_weights: probabilities, in the order of BACKGROUNDS."""

    build: str
    body: str
    wing: str
    bill: str
    background_weights: tuple[float, ...]


def load(spec: DatasetSpec, data_root: Path) -> Prepared:
    """The drawn data set. InputError: features that exist for photographs only."""
    options = spec.read(Options)
    return split_by_class(draw(options.images_per_class, options.seed, options.image_size), CLASSES, options, "birds")


def draw(images_per_class: int, seed: int, size: int = 64) -> Drawn[Species]:
    """Draw all 200 species. The same arguments give the same birds.

    Args:
        images_per_class: number of images of each species.
        seed: of everything random.
        size: width and height in pixels.
    """
    classes_rng, *rngs = np.random.default_rng(seed).spawn(201)
    return drawn.draw(invent_species(classes_rng), rngs, images_per_class, partial(_paint, size=size), caption)


def invent_species(rng: Generator) -> dict[int, Species]:
    """200 different species by number. Builds and colours are spread evenly over them."""
    looks_of_build = {name: rng.permutation(_looks(build)) for name, build in BUILDS.items()}
    classes = {}
    for i, number in enumerate(rng.permutation(200) + 1):
        name = list(BUILDS)[i % len(BUILDS)]
        body, wing, bill = looks_of_build[name][i // len(BUILDS)].tolist()
        weight = rng.uniform(0.25, 0.75)
        weights = dict(zip(BUILDS[name].backgrounds, (weight, 1 - weight), strict=True))
        background_weights = tuple(weights.get(background, 0.0) for background in BACKGROUNDS)
        classes[int(number)] = Species(name, body, wing, bill, background_weights)
    return dict(sorted(classes.items()))


def _looks(build: Build) -> list[tuple[str, str, str]]:
    """Colours of body, wing and bill: neither wing nor bill has the body's."""
    return [
        (body, wing, bill) for body in build.colours for wing in WINGS for bill in BILLS if body not in (wing, bill)
    ]


# --- captions ---


def caption(bird: Species, rng: Generator) -> str:
    """What one person may say of a bird of the species."""
    build = BUILDS[bird.build]
    size, shape = str(rng.choice(build.sizes)), str(rng.choice(build.bills))
    sentences = (
        f"this bird has {_a(bird.body)} body and {bird.wing} wings",
        f"this is a {size} {bird.body} bird with {bird.wing} wings",
        f"{_a(bird.body)} bird with {bird.wing} wings",
        f"the bird is {bird.body} with {bird.wing} wings",
        f"the {size} bird has {_a(bird.body)} breast, {_a(bird.body)} belly and {bird.wing} wings",
        f"a {size} {bird.body} bird",
        f"this {size} bird is mostly {bird.body} in color",
        f"a bird with {bird.wing} wings and {_a(bird.body)} breast",
    )
    bills = (
        f" and a {shape} {bird.bill} bill",
        f", its bill is {bird.bill} and {shape}",
        f", and it has {_a(bird.bill)} beak",
        f", and its beak is {shape}",
        "",
    )
    return f"{rng.choice(sentences)}{rng.choice(bills)}."


def _a(noun: str) -> str:
    return f"an {noun}" if noun.startswith("o") else f"a {noun}"


# --- painting ---


def _paint(bird: Species, backgrounds: np.ndarray, rng: Generator, size: int) -> np.ndarray:
    """A bird of the species on each of the backgrounds (B,): uint8 (B, 3, S, S)."""
    count = len(backgrounds)
    axis = ((np.arange(size) + 0.5) * 2 / size - 1).astype(np.float32)
    x, y = np.broadcast_arrays(axis[None, None, :], -axis[None, :, None])  # to the right and up, both in [-1, 1]
    kind = np.array(list(BACKGROUNDS))[backgrounds][:, None, None]
    scenery = _scenery(kind, x, y, rng, size)

    length = uniform(rng, count, 0.86, 1.0)
    x = np.where(rng.random((count, 1, 1)) < 0.5, -x, x) + uniform(rng, count, -0.08, 0.08)
    y = y - uniform(rng, count, -0.14, 0.06)
    slope = uniform(rng, count, -0.12, 0.22)
    x, y = (x * np.cos(slope) + y * np.sin(slope)) / length, (y * np.cos(slope) - x * np.sin(slope)) / length
    colours = [shades(rng, COLOURS[name], count) for name in (bird.body, bird.wing, bird.bill)]
    return to_bytes(_bird(_Canvas(scenery, x, y, 2 / size / length), BUILDS[bird.build], *colours, kind))


def _scenery(kind: np.ndarray, x: np.ndarray, y: np.ndarray, rng: Generator, size: int) -> np.ndarray:
    """Backgrounds by name (B, 1, 1), each in one of its variations: (B, S, S, 3)."""
    count = len(kind)
    ends = [BACKGROUNDS[name][rng.integers(len(BACKGROUNDS[name]))] for name in kind.ravel()]
    dark, bright = np.array(ends, np.float32).transpose(1, 0, 2)[:, :, None, None]
    patches, grain = noise(rng, count, size, 3), noise(rng, count, size, 9)
    phase, across = uniform(rng, count, 0, 2 * np.pi), uniform(rng, count, -0.9, 0.9)

    light = {
        "sky": 0.5 - 0.4 * y + 0.3 * (patches - 0.5),
        "water": 0.4 + 0.2 * y + 0.35 * np.sin(14 * y + 4 * patches + phase) * (0.6 - 0.4 * y) + 0.2 * (grain - 0.5),
        "forest": 0.2 + 0.2 * y + 0.9 * (patches - 0.4) + 0.5 * (grain - 0.5),
        "meadow": 0.5 + 0.35 * y + 0.25 * (patches - 0.5) + 0.2 * np.sin(30 * x + 3 * patches + phase) * (y < -0.2),
    }
    pixels = mix(dark, bright, np.clip(np.select([kind == name for name in light], list(light.values())), 0, 1))
    cloud = np.where(kind == "sky", smoothstep(0.55, 0.8, 0.7 * patches + 0.3 * grain), 0)
    pixels = mix(pixels, np.float32([1, 1, 1]), 0.7 * cloud)
    trunk = np.where(kind == "forest", 0.12 - np.abs(x - across + 0.1 * y), -1)
    return mix(pixels, 0.45 * dark + np.float32([0.16, 0.10, 0.05]), np.clip(0.5 + trunk * size / 2, 0, 1))


_Point = tuple[float, float]


@dataclass
class _Canvas:
    """Images (B, S, S, 3), where each bird looks to the right, is about 2 long and has its body's centre at (0, 0).

    x, y: coordinates (B, S, S) to the right and up; edge: the width of a pixel, (B, 1, 1), over which outlines fade.
    """

    pixels: np.ndarray
    x: np.ndarray
    y: np.ndarray
    edge: np.ndarray

    def add(self, colour: np.ndarray, depth: np.ndarray, where: np.ndarray | bool = True) -> None:
        """Paint what lies inside of an outline: where its depth below it, (B, S, S), is positive."""
        self.pixels = mix(self.pixels, colour, np.where(where, np.clip(depth / self.edge + 0.5, 0, 1), 0))

    def disc(self, centre: _Point, radius: float) -> np.ndarray:
        return radius - np.hypot(self.x - centre[0], self.y - centre[1])

    def limb(self, start: _Point, end: _Point, first: float, last: float) -> np.ndarray:
        """Straight and round at its ends; its half width goes from `first` to `last`."""
        x, y, dx, dy = self.x - start[0], self.y - start[1], end[0] - start[0], end[1] - start[1]
        t = np.clip((x * dx + y * dy) / (dx**2 + dy**2), 0, 1)
        return first + (last - first) * t - np.hypot(x - t * dx, y - t * dy)

    def ellipse(self, half_axes: _Point, lean: float) -> np.ndarray:
        along = self.x * math.cos(lean) + self.y * math.sin(lean)
        across = self.y * math.cos(lean) - self.x * math.sin(lean)
        return (1 - np.hypot(along / half_axes[0], across / half_axes[1])) * half_axes[1]


def _bird(
    canvas: _Canvas, build: Build, body: np.ndarray, wing: np.ndarray, bill: np.ndarray, kind: np.ndarray
) -> np.ndarray:
    """Add a bird to each of the images, (B, S, S, 3).

    Args:
        body, wing, bill: colours (B, 1, 1, 3).
        kind: names of the backgrounds (B, 1, 1): a bird flies in the sky, swims on water and sits on a branch.
    """
    scenery, (half_length, half_height) = canvas.pixels, build.body
    head, head_radius, (wing_length, wing_width) = build.head[:2], build.head[2], build.wing
    lit = (1 + 0.35 * np.clip(canvas.y / half_height, -1, 0.3))[..., None]
    raised = (-0.25, 0.9 * wing_length)

    if build.legs:
        feet = -half_height - build.legs
        for foot in (-0.10, 0.08):
            canvas.add(_DARK, canvas.limb((foot, 0), (foot + 0.03, feet), 0.03, 0.03))
        canvas.add(_BRANCH, canvas.limb((-3, feet - 0.20), (3, feet + 0.06), 0.09, 0.06), kind == "forest")
    canvas.add(0.75 * wing, canvas.limb((0.22, 0.1), (0.2, raised[1]), 0.5 * wing_width, 0.05), kind == "sky")
    rump, (tail_length, tail_width) = -0.7 * half_length, build.tail
    canvas.add(0.8 * wing, canvas.limb((rump, 0), (rump - tail_length, -0.1), 0.5 * tail_width, 0.6 * tail_width))
    canvas.add(body * lit, canvas.ellipse(build.body, lean=0.15))
    canvas.add(body * lit, canvas.limb((0.6 * half_length, 0), head, 0.7 * half_height, 0.85 * head_radius))
    canvas.add(body * lit, canvas.disc(head, head_radius))

    face = (head[0] + 0.8 * head_radius, head[1] - 0.1 * head_radius)
    tip = (face[0] + build.bill[0], face[1] - 0.03)
    canvas.add(bill, canvas.limb(face, tip, 0.5 * build.bill[1], 0.03))
    canvas.add(bill, canvas.limb(tip, (tip[0], tip[1] - build.hook), 0.04, 0.02))
    eye = (head[0] + 0.35 * head_radius, head[1] + 0.22 * head_radius)
    canvas.add(_PALE, canvas.disc(eye, 0.075))
    canvas.add(_DARK, canvas.disc(eye, 0.05))

    shoulder = 0.32 * half_length
    folded = canvas.limb((shoulder, 0.02), (shoulder - wing_length, -0.1), 0.5 * wing_width, 0.03)
    canvas.add(wing * lit, folded, kind != "sky")
    canvas.add(wing, canvas.limb((0.05, 0.05), raised, 0.5 * wing_width, 0.05), kind == "sky")
    canvas.add(scenery, 0.03 * np.sin(12 * canvas.x) - 0.55 * half_height - canvas.y, kind == "water")
    return canvas.pixels
