"""The stand-in for Oxford Flower: flowers drawn by the package, with captions, in seconds, from no file.

Their structure is the one of HMVAE's Fig. 1, and all its factors are known. The class of a flower decides
the shape, number and colours of its petals and its centre, which captions describe. It also decides which
backgrounds are likely, which captions never mention: modality-exclusive variation that depends on the
shared concept. Position, size, tilt, rotation, light and shades vary within a class. Backgrounds follow the
shape of the petals, so that a model can know them for the classes of the test split too, which it has never
seen.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.random import Generator
from pydantic import NonNegativeInt, PositiveInt

from shared.data.caption_features import CaptionFeatures
from shared.data.captioned import CAPTION_DIM, CAPTIONS_PER_IMAGE, IMAGE_SIZE, Captioned, prepared
from shared.data.prepared import SPLITS, DatasetOptions, DatasetSpec, ImageSize, Prepared

# As many classes a split, and the same numbers, as the official split has.
CLASSES = {"train": range(41, 103), "val": range(21, 41), "test": range(1, 21)}
BACKGROUNDS = ("meadow", "water", "soil", "sky", "foliage", "pebbles")


@dataclass(frozen=True)
class PetalShape:
    """Outline of a petal from its base (t = 0) to its tip (t = 1): half width ~ t^base (1 - t)^tip."""

    words: tuple[str, ...]
    base: float
    tip: float
    fullness: float  # half width over that of its sector: above 1, petals overlap
    counts: tuple[int, ...]
    backgrounds: tuple[str, str]  # the likelier one first
    notch: float = 0.0  # depth of the notch at the tip
    ruffle: float = 0.0  # height of the waves along the edge


SHAPES = {
    "round": PetalShape(("round", "rounded"), 0.75, 0.40, 1.15, (4, 5, 6), ("meadow", "soil")),
    "oval": PetalShape(("oval", "oval shaped"), 0.80, 0.75, 0.95, (5, 6, 8), ("foliage", "meadow")),
    "pointed": PetalShape(("pointed", "pointy"), 0.70, 1.30, 1.05, (6, 8, 10), ("water", "foliage")),
    "narrow": PetalShape(("narrow", "long thin"), 0.45, 0.35, 0.85, (12, 16, 20), ("sky", "meadow")),
    "heart": PetalShape(("heart shaped", "notched"), 0.95, 0.35, 1.10, (4, 5), ("pebbles", "soil"), notch=0.24),
    "ruffled": PetalShape(("ruffled", "wavy"), 0.75, 0.35, 1.25, (5, 6), ("soil", "pebbles"), ruffle=0.09),
}
PETAL_COLOURS = {
    "red": (0.82, 0.08, 0.12),
    "orange": (0.97, 0.47, 0.05),
    "yellow": (0.98, 0.84, 0.12),
    "pink": (0.96, 0.50, 0.70),
    "purple": (0.55, 0.20, 0.68),
    "blue": (0.24, 0.36, 0.88),
    "white": (0.96, 0.95, 0.93),
}
CENTRE_COLOURS = {
    "yellow": (0.95, 0.74, 0.10),
    "brown": (0.36, 0.20, 0.09),
    "green": (0.52, 0.66, 0.20),
    "white": (0.94, 0.93, 0.86),
    "purple": (0.36, 0.10, 0.42),
}
PATTERNS = ("plain", "throat", "edged", "striped")

_COUNT_WORDS = {4: "four", 5: "five", 6: "six", 8: "eight", 10: "ten", 12: "many", 16: "many", 20: "many"}


@dataclass(frozen=True)
class FlowerClass:
    """What all flowers of a class share. `background_weights`: probabilities, in the order of BACKGROUNDS."""

    number: int
    shape: str
    petals: int
    colour: str
    pattern: str
    second_colour: str
    centre: str
    centre_size: float
    double: bool  # a second ring of petals
    stamens: int
    background_weights: tuple[float, ...]


@dataclass(frozen=True)
class DrawnFlowers:
    """Flowers with the factors they were drawn from, N images in order of class number.

    images: uint8 (N, 3, S, S); labels: int64 (N,); captions: str (N, 10); backgrounds: int64 (N,), indices
    into BACKGROUNDS; classes: by class number.
    """

    images: np.ndarray
    labels: np.ndarray
    captions: np.ndarray
    backgrounds: np.ndarray
    classes: dict[int, FlowerClass]


class Options(DatasetOptions):
    caption_features: Literal["tfidf_svd", "char_cnn_rnn_or_tfidf_svd"] = "tfidf_svd"
    image_size: ImageSize = IMAGE_SIZE
    caption_dim: PositiveInt = CAPTION_DIM
    images_per_class: PositiveInt = 20
    seed: NonNegativeInt = 0


def load(spec: DatasetSpec, data_root: Path) -> Prepared:
    """The drawn data set. InputError: caption features that exist for real captions only."""
    options = spec.read(Options)
    flowers = draw(options.images_per_class, options.seed, options.image_size)
    rows = {split: np.flatnonzero(np.isin(flowers.labels, CLASSES[split])) for split in SPLITS}
    features = CaptionFeatures.fit(flowers.captions[rows["train"]], options.caption_dim)
    return prepared(
        splits={
            split: Captioned(
                images=flowers.images[rows[split]],
                labels=flowers.labels[rows[split]],
                captions=flowers.captions[rows[split]],
                features=features(flowers.captions[rows[split]]),
            )
            for split in SPLITS
        },
        stand_in=True,
        caption_features="TF-IDF+SVD",
        description="flowers drawn by the package, caption features TF-IDF+SVD",
        files={},
    )


def draw(images_per_class: int, seed: int, size: int = 64) -> DrawnFlowers:
    """Draw all 102 classes. The same arguments give the same flowers.

    Args:
        images_per_class: number of images of each class.
        seed: of everything random.
        size: width and height in pixels.
    """
    classes_rng, *class_rngs = np.random.default_rng(seed).spawn(103)
    classes = invent_classes(classes_rng)
    images, captions, backgrounds = [], [], []
    for flower, rng in zip(classes.values(), class_rngs, strict=True):
        background = rng.choice(len(BACKGROUNDS), size=images_per_class, p=flower.background_weights)
        canvas = _Canvas(size, images_per_class)
        _paint_backgrounds(canvas, background, rng)
        _paint_flowers(canvas, flower, rng)
        images.append(canvas.to_uint8())
        captions += [describe_flower(flower, rng) for _ in range(images_per_class)]
        backgrounds.append(background)
    return DrawnFlowers(
        images=np.concatenate(images),
        labels=np.repeat(np.array(list(classes), dtype=np.int64), images_per_class),
        captions=np.array(captions),
        backgrounds=np.concatenate(backgrounds).astype(np.int64),
        classes=classes,
    )


def invent_classes(rng: Generator) -> dict[int, FlowerClass]:
    """102 different classes by number. Shapes and pairs of colour and pattern are spread evenly over them."""
    looks = [(colour, pattern) for colour in PETAL_COLOURS for pattern in PATTERNS]
    looks_of_shape = {shape: rng.permutation(len(looks)) for shape in SHAPES}
    numbers = rng.permutation(102) + 1
    classes = {}
    for i, number in enumerate(numbers):
        shape = list(SHAPES)[i % len(SHAPES)]
        colour, pattern = looks[looks_of_shape[shape][i // len(SHAPES)]]
        classes[int(number)] = _invent_class(int(number), shape, colour, pattern, rng)
    return dict(sorted(classes.items()))


def _invent_class(number: int, shape: str, colour: str, pattern: str, rng: Generator) -> FlowerClass:
    likelier, other = SHAPES[shape].backgrounds
    probability = rng.uniform(0.7, 0.95)
    weights = {likelier: probability, other: 1 - probability}
    return FlowerClass(
        number=number,
        shape=shape,
        petals=int(rng.choice(SHAPES[shape].counts)),
        colour=colour,
        pattern=pattern,
        second_colour=str(rng.choice([name for name in PETAL_COLOURS if name != colour])),
        centre=str(rng.choice([name for name in CENTRE_COLOURS if name != colour])),
        centre_size=float(rng.uniform(0.26, 0.38) if shape == "narrow" else rng.uniform(0.15, 0.24)),
        double=shape in ("oval", "pointed", "narrow") and bool(rng.random() < 0.5),
        stamens=int(rng.choice((0, 7, 9))) if shape in ("round", "heart", "ruffled") else 0,
        background_weights=tuple(weights.get(name, 0.0) for name in BACKGROUNDS),
    )


# --- captions ---


def describe_flower(flower: FlowerClass, rng: Generator) -> list[str]:
    """Ten captions of one image, by ten imagined people, who each leave something out."""
    return [_caption(flower, rng) for _ in range(CAPTIONS_PER_IMAGE)]


def _caption(flower: FlowerClass, rng: Generator) -> str:
    colour = flower.colour
    shape = str(rng.choice(SHAPES[flower.shape].words))
    count = _COUNT_WORDS[flower.petals]
    centre = flower.centre
    kernel = f"{count} {shape} {colour} petals"
    sentences = (
        f"this flower has {kernel}",
        f"{'an' if colour == 'orange' else 'a'} {colour} flower with {count} {shape} petals",
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
    details = {
        "plain": ("", ""),
        "throat": (
            f", turning {flower.second_colour} near the middle",
            f" with {flower.second_colour} at their base",
        ),
        "edged": (f" with {flower.second_colour} edges", f", the edges are {flower.second_colour}"),
        "striped": (
            f" with a {flower.second_colour} stripe on each petal",
            f", {flower.second_colour} stripes run along the petals",
        ),
    }[flower.pattern]
    extras = [detail for detail in details if detail]
    if flower.double:
        extras.append(" in two layers")
    if flower.stamens:
        extras.append(f" and visible {centre} stamens")
    extra = str(rng.choice(extras)) if extras and rng.random() < 0.6 else ""
    return f"{rng.choice(sentences)}{extra}{rng.choice(centres)}."


# --- painting ---


class _Canvas:
    """B images, float32 (B, S, S, 3), and their pixels' coordinates: x to the right, y down, both in [-1, 1].

    Whatever is painted fades over the width of a pixel at its edges, which keeps outlines smooth.
    """

    def __init__(self, size: int, count: int) -> None:
        axis = ((np.arange(size) + 0.5) * 2 / size - 1).astype(np.float32)
        self.x, self.y = axis[None, None, :], axis[None, :, None]
        self.pixel = 2 / size
        self.pixels = np.zeros((count, size, size, 3), np.float32)

    def paint(self, colour: np.ndarray, alpha: np.ndarray) -> None:
        """Put `colour` (broadcast to (B, S, S, 3)) over the images where alpha (B, S, S) is not 0."""
        self.pixels += alpha[..., None] * (colour - self.pixels)

    def darken(self, amount: np.ndarray) -> None:
        self.pixels *= 1 - amount[..., None]

    def to_uint8(self) -> np.ndarray:
        """uint8 (B, 3, S, S)."""
        return np.rint(255 * np.clip(self.pixels, 0, 1)).astype(np.uint8).transpose(0, 3, 1, 2)


def _smoothstep(low: float, high: float, value: np.ndarray) -> np.ndarray:
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _mix(first: tuple | np.ndarray, second: tuple | np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Colours (..., 3) mixed by a weight map (B, S, S)."""
    first, second = np.asarray(first, np.float32), np.asarray(second, np.float32)
    return first + weight[..., None] * (second - first)


def _noise(rng: Generator, count: int, size: int, rows: int, columns: int) -> np.ndarray:
    """Smooth random maps in [0, 1], float32 (count, size, size), of (rows, columns) cells."""

    def interpolation(cells: int) -> np.ndarray:
        position = (np.arange(size) + 0.5) / size * cells
        cell = position.astype(int)
        weight = _smoothstep(0, 1, position - cell)
        matrix = np.zeros((size, cells + 1), np.float32)
        matrix[np.arange(size), cell] = 1 - weight
        matrix[np.arange(size), cell + 1] = weight
        return matrix

    grid = rng.random((count, rows + 1, columns + 1), dtype=np.float32)
    return interpolation(rows) @ grid @ interpolation(columns).T


def _uniform(rng: Generator, count: int, low: float, high: float) -> np.ndarray:
    """One number for each image, float32 (count, 1, 1), to broadcast over its pixels."""
    return rng.uniform(low, high, (count, 1, 1)).astype(np.float32)


def _paint_backgrounds(canvas: _Canvas, backgrounds: np.ndarray, rng: Generator) -> None:
    painters = (_meadow, _water, _soil, _sky, _foliage, _pebbles)
    for index in np.unique(backgrounds):
        chosen = np.flatnonzero(backgrounds == index)
        part = _Canvas(canvas.pixels.shape[1], len(chosen))
        painters[index](part, rng)
        canvas.pixels[chosen] = part.pixels
    canvas.pixels *= _uniform(rng, len(backgrounds), 0.85, 1.08)[..., None]


def _meadow(canvas: _Canvas, rng: Generator) -> None:
    count, size = canvas.pixels.shape[:2]
    blades = 0.6 * _noise(rng, count, size, 4, 26) + 0.4 * _noise(rng, count, size, 3, 48)
    patches = _noise(rng, count, size, 3, 3)
    canvas.pixels[:] = _mix((0.13, 0.33, 0.08), (0.58, 0.76, 0.28), 0.65 * blades + 0.35 * patches)
    canvas.darken(0.15 * (1 + canvas.y) * np.ones_like(blades))


def _water(canvas: _Canvas, rng: Generator) -> None:
    count, size = canvas.pixels.shape[:2]
    swell = 6 * _noise(rng, count, size, 3, 2) + 2.5 * _noise(rng, count, size, 9, 4)
    ripples = 0.5 + 0.5 * np.sin(_uniform(rng, count, 16, 26) * canvas.y + swell)
    canvas.pixels[:] = _mix((0.05, 0.27, 0.42), (0.30, 0.60, 0.70), ripples)
    glints = _smoothstep(0.8, 1.0, ripples) * _noise(rng, count, size, 10, 6)
    canvas.paint(np.float32(0.95), 0.7 * glints)


def _soil(canvas: _Canvas, rng: Generator) -> None:
    count, size = canvas.pixels.shape[:2]
    crumbs = sum(w * _noise(rng, count, size, n, n) for w, n in ((0.3, 5), (0.35, 20), (0.35, 44)))
    canvas.pixels[:] = _mix((0.14, 0.08, 0.04), (0.62, 0.44, 0.29), _smoothstep(0.15, 0.85, crumbs))


def _sky(canvas: _Canvas, rng: Generator) -> None:
    count, size = canvas.pixels.shape[:2]
    height = np.broadcast_to(0.5 - 0.5 * canvas.y, (count, size, size))
    canvas.pixels[:] = _mix((0.76, 0.88, 0.97), (0.28, 0.55, 0.90), height)
    clouds = 0.65 * _noise(rng, count, size, 4, 3) + 0.35 * _noise(rng, count, size, 11, 9)
    canvas.paint(np.float32(0.98), 0.9 * _smoothstep(0.48, 0.78, clouds))


def _foliage(canvas: _Canvas, rng: Generator) -> None:
    count, size = canvas.pixels.shape[:2]
    canvas.pixels[:] = _mix((0.02, 0.10, 0.05), (0.08, 0.24, 0.10), _noise(rng, count, size, 6, 6))
    for _ in range(12):
        angle = _uniform(rng, count, 0, 2 * np.pi)
        x, y = canvas.x - _uniform(rng, count, -1.2, 1.2), canvas.y - _uniform(rng, count, -1.2, 1.2)
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        t = np.clip(along / _uniform(rng, count, 0.7, 1.1) + 0.5, 0, 1)
        half_width = 0.75 * t**0.8 * (1 - t)
        inside = half_width - np.abs(across)
        canvas.darken(0.45 * _smoothstep(-0.09, 0.02, inside) * (half_width > 0))
        shade = _uniform(rng, count, 0.5, 1.15) * (0.8 + 0.4 * _smoothstep(-0.15, 0.15, across))
        leaf = shade[..., None] * np.array((0.16, 0.42, 0.17), np.float32)
        veins = _smoothstep(0.03, 0.0, np.abs(across)) + 0.35 * _smoothstep(0.7, 1, np.sin(40 * (t - np.abs(across))))
        leaf = leaf + (0.16 * np.clip(veins, 0, 1))[..., None]
        canvas.paint(leaf, np.clip(inside / canvas.pixel + 0.5, 0, 1) * (half_width > 0))


def _pebbles(canvas: _Canvas, rng: Generator) -> None:
    count, size = canvas.pixels.shape[:2]
    stones = 26
    centres = rng.uniform(-1.15, 1.15, (count, stones, 2)).astype(np.float32)
    tones = (rng.uniform(0.38, 0.82, (count, stones, 1)) + rng.normal(0, 0.03, (count, stones, 3))).astype(np.float32)
    nearest = np.full((count, size, size), np.inf, np.float32)
    second = nearest.copy()
    owner = np.zeros((count, size, size), np.intp)
    for stone in range(stones):
        distance = np.hypot(canvas.x - centres[:, stone, 0, None, None], canvas.y - centres[:, stone, 1, None, None])
        closer = distance < nearest
        second = np.where(closer, nearest, np.minimum(second, distance))
        owner[closer] = stone
        nearest = np.minimum(nearest, distance)
    rounding = _smoothstep(0.0, 0.16, second - nearest)
    grain = 0.85 + 0.3 * _noise(rng, count, size, 40, 40)
    stone_colour = tones[np.arange(count)[:, None, None], owner] * grain[..., None]
    canvas.pixels[:] = stone_colour * (0.22 + 0.78 * rounding)[..., None]


def _paint_flowers(canvas: _Canvas, flower: FlowerClass, rng: Generator) -> None:
    """One flower on each image: stem, ring or rings of petals, stamens, centre."""
    count = len(canvas.pixels)
    centre_x, centre_y = _uniform(rng, count, -0.16, 0.16), _uniform(rng, count, -0.16, 0.16)
    radius = _uniform(rng, count, 0.60, 0.88)
    x, y = canvas.x - centre_x, canvas.y - centre_y
    _paint_stem(canvas, x, y, rng)

    direction, squeeze = _uniform(rng, count, 0, np.pi), _uniform(rng, count, 0.72, 1.0)  # the flower's tilt
    along, across = (
        x * np.cos(direction) + y * np.sin(direction),
        y * np.cos(direction) - x * np.sin(direction),
    )
    across = across / squeeze
    distance, angle = np.hypot(along, across) / radius, np.arctan2(across, along)
    edge = canvas.pixel / radius  # the width of a pixel in units of the flower's radius

    colour, second = (_shades(rng, PETAL_COLOURS[name], count) for name in (flower.colour, flower.second_colour))
    rotation = _uniform(rng, count, 0, 2 * np.pi)
    _paint_petals(canvas, flower, distance, angle + rotation, edge, colour, second, rng)
    if flower.double:
        rotation = rotation + np.pi / flower.petals
        _paint_petals(canvas, flower, distance / 0.64, angle + rotation, edge / 0.64, colour * 1.06, second, rng)
    centre = _shades(rng, CENTRE_COLOURS[flower.centre], count)
    if flower.stamens:
        _paint_stamens(canvas, flower, distance, angle + rotation, edge, centre)
    _paint_centre(canvas, flower, distance, angle, edge, centre)


def _shades(rng: Generator, colour: tuple[float, float, float], count: int) -> np.ndarray:
    """A shade of a colour for each image, float32 (count, 1, 1, 3)."""
    shades = np.array(colour) * rng.uniform(0.86, 1.06, (count, 1)) + rng.normal(0, 0.025, (count, 3))
    return np.clip(shades, 0, 1).astype(np.float32)[:, None, None, :]


def _paint_stem(canvas: _Canvas, x: np.ndarray, y: np.ndarray, rng: Generator) -> None:
    bend = _uniform(rng, len(canvas.pixels), -0.35, 0.35)
    across = x - bend * y**2
    stem = np.clip((0.045 - np.abs(across)) / canvas.pixel + 0.5, 0, 1) * (y > 0)
    shade = 0.75 + 6 * np.clip(across, -0.045, 0.045)
    canvas.paint(shade[..., None] * np.array((0.30, 0.52, 0.16), np.float32), stem)


def _paint_petals(
    canvas: _Canvas,
    flower: FlowerClass,
    distance: np.ndarray,
    angle: np.ndarray,
    edge: np.ndarray,
    colour: np.ndarray,
    second: np.ndarray,
    rng: Generator,
) -> None:
    """A ring of petals, each lying over its neighbour on one side, all the way around.

    Args:
        distance, angle: polar coordinates (B, S, S); petals end at distance 1.
        edge: width of a pixel in the same unit, (B, 1, 1).
        colour, second: (B, 1, 1, 3).
    """
    shape, petals = SHAPES[flower.shape], flower.petals
    sector = 2 * np.pi / petals
    nearest = np.rint(angle / sector)
    peak = (shape.base / (shape.base + shape.tip)) ** shape.base * (shape.tip / (shape.base + shape.tip)) ** shape.tip
    widest = min(0.62, 0.62 * shape.fullness * math.tan(sector / 2))
    light = rng.normal(0, 0.05, (len(canvas.pixels), petals)).astype(np.float32)
    images = np.arange(len(canvas.pixels))[:, None, None]
    # Only the nearest petal and its two neighbours can reach a pixel, and painting them in this order gives
    # the same overlap on both sides of a border between sectors.
    for neighbour in (-1, 0, 1):
        index = nearest + neighbour
        relative = angle - index * sector
        along, across = distance * np.cos(relative), distance * np.sin(relative)
        bumps = 1 + shape.ruffle * np.sin(17 * across / widest + 3 * index)
        length = bumps * (1 - shape.notch * np.exp(-((across / (0.42 * widest)) ** 2)))
        t = np.clip(along / length, 0, 1)
        half_width = widest / peak * t**shape.base * (1 - t) ** shape.tip
        half_width = half_width * (1 + shape.ruffle * np.sin(24 * along))
        inside = half_width - np.abs(across)
        reach = (along > 0) * np.clip((length - along) / edge + 0.5, 0, 1)
        canvas.darken(0.38 * _smoothstep(-0.13, 0.0, inside) * (along > 0) * (along < 1.08 * length))

        relative_width = np.abs(across) / (half_width + 1e-3)
        petal = _mix(colour, second, _pattern(flower.pattern, t, relative_width, inside))
        shading = 0.70 + 0.36 * np.sqrt(t) - 0.16 * np.minimum(relative_width, 1) ** 2
        shading = shading + 0.035 * np.cos(26 * across / widest) + 0.10 * np.sign(across) * relative_width.clip(0, 1)
        shading = shading + light[images, (index % petals).astype(int)]
        shading = shading * (0.80 + 0.20 * _smoothstep(0.0, 0.07, inside))
        canvas.paint(petal * shading[..., None], reach * np.clip(inside / edge + 0.5, 0, 1))


def _pattern(pattern: str, t: np.ndarray, relative_width: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Weight of the second colour on a petal, (B, S, S)."""
    if pattern == "throat":
        return _smoothstep(0.62, 0.30, t)
    if pattern == "edged":
        return np.maximum(_smoothstep(0.62, 0.9, relative_width), _smoothstep(0.80, 0.95, t))
    if pattern == "striped":
        return _smoothstep(0.34, 0.18, relative_width) * _smoothstep(0.97, 0.8, t)
    return np.zeros_like(inside)


def _paint_stamens(
    canvas: _Canvas,
    flower: FlowerClass,
    distance: np.ndarray,
    angle: np.ndarray,
    edge: np.ndarray,
    colour: np.ndarray,
) -> None:
    sector = 2 * np.pi / flower.stamens
    relative = angle - np.rint(angle / sector) * sector
    along, across = distance * np.cos(relative), distance * np.sin(relative)
    tip = flower.centre_size + 0.2
    filament = np.clip((0.022 - np.abs(across)) / edge + 0.5, 0, 1) * (along > 0) * (along < tip)
    canvas.paint(0.5 + 0.5 * colour, 0.8 * filament)
    anther = np.clip((0.06 - np.hypot(along - tip, across)) / edge + 0.5, 0, 1)
    canvas.paint(colour, anther)


def _paint_centre(
    canvas: _Canvas,
    flower: FlowerClass,
    distance: np.ndarray,
    angle: np.ndarray,
    edge: np.ndarray,
    colour: np.ndarray,
) -> None:
    relative = distance / flower.centre_size
    canvas.darken(0.45 * _smoothstep(1.45, 0.9, relative))
    grains = np.sin(15 * relative + 3 * angle) * np.sin(15 * relative - 5 * angle)
    shading = 1.05 - 0.30 * np.minimum(relative, 1) ** 2 + 0.22 * grains * np.minimum(relative, 1)
    canvas.paint(colour * shading[..., None], np.clip((1 - relative) * flower.centre_size / edge + 0.5, 0, 1))
