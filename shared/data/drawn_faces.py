"""The stand-in for CelebA: faces drawn by the package, with the 18 attributes, in seconds, from no file.

Every attribute can be seen in the picture. Attributes depend on each other as in the original: hair has one colour or
none, moustaches, bald heads and receding hairlines are men's, heavy make-up mostly women's. Skin, light, background,
size and position vary without being mentioned by any attribute.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw

from shared.data.celeba import ATTRIBUTES
from shared.data.prepared import DatasetSpec, Prepared, random_split

SIDE = 64
_SCALE = 3  # drawn larger and averaged, for smooth edges
_HAIR = {
    "Black_Hair": (28, 24, 26),
    "Blond_Hair": (224, 190, 104),
    "Brown_Hair": (112, 68, 38),
    "Gray_Hair": (172, 172, 176),
    None: (150, 62, 34),  # red: none of the four
}

Colour = tuple[int, ...]
Attributes = dict[str, bool]


def load(spec: DatasetSpec, data_root: Path) -> Prepared:
    options = spec.read(image_size=SIDE, images=3000, seed=0)
    images, attributes = draw(options.images, options.seed, options.image_size)
    return Prepared(
        splits={
            split: {"x1": images[index], "x2": attributes[index]}
            for split, index in random_split(len(images), options.seed).items()
        },
        stand_in=True,
        description="faces drawn by the package, 18 attributes",
        notes={"attributes": list(ATTRIBUTES)},
    )


def draw(count: int, seed: int, size: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8 (N, 3, size, size), and their attributes, float32 (N, 18): the same for the same arguments."""
    rng = np.random.default_rng(seed)
    faces = [(draw_attributes(rng), rng.integers(2**63)) for _ in range(count)]
    images = np.stack([render(attributes, int(look), size) for attributes, look in faces])
    values = np.array([[attributes[name] for name in ATTRIBUTES] for attributes, _ in faces], dtype=np.float32)
    return images, values


def draw_attributes(rng: Generator) -> Attributes:
    """Attributes of one face, with rates near those of CelebA."""
    male = rng.random() < 0.42
    bald = male and rng.random() < 0.06
    hat = rng.random() < 0.06
    colour = None if bald else rng.choice([*_HAIR], p=(0.25, 0.18, 0.27, 0.06, 0.24))
    straight, wavy = (rng.random(2) < (0.3, 0.35 if not male else 0.1)) & (not bald)
    face = {
        "Male": male,
        "Bald": bald,
        "Wearing_Hat": hat,
        "Bangs": not bald and not hat and rng.random() < (0.1 if male else 0.22),
        "Bushy_Eyebrows": rng.random() < (0.25 if male else 0.07),
        "Eyeglasses": rng.random() < (0.12 if male else 0.04),
        "Heavy_Makeup": rng.random() < (0.01 if male else 0.6),
        "Mouth_Slightly_Open": rng.random() < 0.48,
        "Mustache": male and rng.random() < 0.15,
        "Pale_Skin": rng.random() < 0.08,
        "Receding_Hairline": not bald and not hat and rng.random() < (0.15 if male else 0.04),
        "Smiling": rng.random() < 0.48,
        "Straight_Hair": straight and not wavy,
        "Wavy_Hair": wavy,
    }
    return face | {name: name == colour for name in _HAIR if name is not None}


@dataclass(frozen=True)
class _Head:
    """Centre, half width and half height of a face, in pixels of the drawing, and where it is drawn."""

    x: float
    y: float
    width: float
    height: float
    canvas: ImageDraw.ImageDraw

    def ellipse(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        """Centre and half axes in units of the face's own half axes."""
        left, right = self.x + (x - width) * self.width, self.x + (x + width) * self.width
        top, bottom = self.y + (y - height) * self.height, self.y + (y + height) * self.height
        self.canvas.ellipse([left, top, right, bottom], fill=colour)

    def at(self, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
        return [(self.x + x * self.width, self.y + y * self.height) for x, y in points]

    def polygon(self, points: list[tuple[float, float]], colour: Colour) -> None:
        self.canvas.polygon(self.at(points), fill=colour)

    def line(self, points: list[tuple[float, float]], colour: Colour, width: float) -> None:
        self.canvas.line(self.at(points), fill=colour, width=max(1, round(width * self.width)), joint="curve")

    def arc(self, x: float, y: float, width: float, bend: float, colour: Colour, thick: float) -> None:
        """A curve through (x, y) whose middle lies `bend` lower than its ends."""
        steps = np.linspace(-1, 1, 9)
        self.line([(x + width * t, y + bend * (0.5 - t * t)) for t in steps], colour, thick)


def render(attributes: Attributes, look: int, size: int = SIDE) -> np.ndarray:
    """One face, uint8 (3, size, size). look: the seed of all that no attribute mentions."""
    rng = np.random.default_rng(look)
    side = SIDE * _SCALE
    shades = rng.integers(40, 220, size=(2, 3))
    down = np.linspace(0, 1, side)[:, None, None]
    backdrop = (shades[0] * (1 - down) + shades[1] * down).astype(np.uint8)
    image = Image.fromarray(np.broadcast_to(backdrop, (side, side, 3)).copy())
    canvas = ImageDraw.Draw(image)
    male = attributes["Male"]
    width = side * rng.uniform(0.22, 0.26) * (1.06 if male else 0.97)
    head = _Head(
        x=side * (0.5 + rng.uniform(-0.04, 0.04)),
        y=side * (0.53 + rng.uniform(-0.03, 0.03)),
        width=width,
        height=width * rng.uniform(1.28, 1.38),
        canvas=canvas,
    )
    skin = _skin(attributes, rng)
    hair = _shaded(_HAIR[next((name for name in _HAIR if name and attributes[name]), None)], rng.uniform(0.85, 1.15))
    clothes = tuple(int(v) for v in rng.integers(30, 230, size=3))
    _body(head, skin, clothes, male)
    _hair_behind(head, attributes, hair)
    _face(head, skin, male)
    _features(head, attributes, skin, hair, rng)
    _hair_in_front(head, attributes, hair, clothes)
    small = image.resize((size, size), Image.Resampling.BOX)
    pixels = np.asarray(small, dtype=np.float32) * (1 + rng.uniform(-0.15, 0.15) * np.linspace(-1, 1, size)[:, None])
    return np.clip(pixels, 0, 255).round().astype(np.uint8).transpose(2, 0, 1)


def _shaded(colour: Colour, factor: float) -> Colour:
    return tuple(int(min(255, max(0, value * factor))) for value in colour)


def _skin(attributes: Attributes, rng: Generator) -> Colour:
    tone = rng.uniform(0, 1)
    dark, light = np.array([120, 78, 54]), np.array([236, 188, 158])
    skin = light if attributes["Pale_Skin"] else dark + (light - dark) * tone
    return _shaded(tuple(skin), 1.0) if not attributes["Pale_Skin"] else (250, 232, 222)


def _body(head: _Head, skin: Colour, clothes: Colour, male: bool) -> None:
    shoulder = 1.9 if male else 1.5
    head.ellipse(0, 2.35, shoulder, 0.95, clothes)
    neck = 0.5 if male else 0.38
    head.polygon([(-neck, 0.6), (neck, 0.6), (neck * 1.2, 1.55), (-neck * 1.2, 1.55)], _shaded(skin, 0.85))


def _hair_behind(head: _Head, attributes: Attributes, hair: Colour) -> None:
    """Women's hair is long, men's short; wavy hair bulges, straight hair hangs, other hair lies close."""
    if attributes["Bald"]:
        return
    reach = 0.35 if attributes["Male"] else 1.35
    spread = 1.16 if attributes["Male"] else 1.28
    head.ellipse(0, -0.25, spread, 1.0, hair)
    if attributes["Wavy_Hair"]:
        for t in np.linspace(-0.7, reach, 5):
            for side in (-1, 1):
                head.ellipse(side * (spread - 0.02), t, 0.27, 0.2, hair)
    elif attributes["Straight_Hair"]:
        head.polygon([(-spread, -0.3), (spread, -0.3), (spread, reach + 0.2), (-spread, reach + 0.2)], hair)
    elif not attributes["Male"]:
        head.ellipse(0, 0.1, spread - 0.08, 1.05, hair)


def _face(head: _Head, skin: Colour, male: bool) -> None:
    for side in (-1, 1):
        head.ellipse(side * 1.0, 0.05, 0.14, 0.17, _shaded(skin, 0.9))
    head.ellipse(0, 0, 1.0, 1.0, skin)
    if male:  # a broader jaw
        head.polygon([(-0.93, 0.3), (0.93, 0.3), (0.62, 0.92), (-0.62, 0.92)], skin)


def _features(head: _Head, attributes: Attributes, skin: Colour, hair: Colour, rng: Generator) -> None:
    made_up, dark = attributes["Heavy_Makeup"], (30, 22, 22)
    brow = _shaded(hair, 0.6) if not attributes["Bald"] else (60, 44, 36)
    iris = tuple(int(v) for v in rng.choice([(70, 44, 26), (64, 96, 130), (70, 104, 66)]))
    for side in (-1, 1):
        if made_up:
            head.ellipse(side * 0.42, -0.17, 0.27, 0.15, (126, 70, 128))
            head.ellipse(
                side * 0.56,
                0.3,
                0.24,
                0.15,
                tuple((np.array(skin) * 0.55 + np.array([230, 80, 100]) * 0.45).astype(int)),
            )
        head.ellipse(side * 0.42, -0.1, 0.2, 0.085, (248, 246, 244))
        head.ellipse(side * 0.42, -0.1, 0.085, 0.08, iris)
        head.ellipse(side * 0.42, -0.1, 0.04, 0.04, dark)
        thick = 0.17 if attributes["Bushy_Eyebrows"] else 0.06
        head.arc(side * 0.42, -0.36, 0.25, -0.1, brow, thick)
    head.line([(0.0, -0.1), (-0.1, 0.25), (0.1, 0.27)], _shaded(skin, 0.72), 0.07)
    _mouth(head, attributes)
    if attributes["Mustache"]:
        head.polygon([(-0.42, 0.5), (0, 0.34), (0.42, 0.5), (0.2, 0.46), (-0.2, 0.46)], _shaded(hair, 0.7))
        head.line([(-0.4, 0.47), (0, 0.38), (0.4, 0.47)], _shaded(hair, 0.7), 0.14)
    if attributes["Eyeglasses"]:
        for side in (-1, 1):
            points = [(side * 0.14, -0.28), (side * 0.76, -0.28), (side * 0.72, 0.08), (side * 0.2, 0.08)]
            head.line([*points, points[0]], dark, 0.08)
        head.line([(-0.16, -0.18), (0.16, -0.18)], dark, 0.08)


def _mouth(head: _Head, attributes: Attributes) -> None:
    """The corners tell a smile, the gap an open mouth."""
    lips = (190, 24, 50) if attributes["Heavy_Makeup"] else (168, 86, 80)
    bend = 0.26 if attributes["Smiling"] else -0.04
    width = 0.42 if attributes["Smiling"] else 0.32
    if attributes["Mouth_Slightly_Open"]:
        t = np.linspace(-1, 1, 11)
        upper = [(width * s, 0.58 + bend * (0.3 - s * s) * 0.6) for s in t]
        lower = [(width * s, 0.58 + bend * (0.3 - s * s) * 0.6 + 0.24 * (1 - s * s)) for s in t[::-1]]
        head.polygon(upper + lower, (70, 14, 20))
        head.polygon([*upper, *[(x, y + 0.07) for x, y in reversed(upper)]], (250, 248, 246))
        head.line([*upper, *lower, upper[0]], lips, 0.09)
    else:
        head.arc(0, 0.6, width, bend, lips, 0.14 if attributes["Heavy_Makeup"] else 0.1)


def _hair_in_front(head: _Head, attributes: Attributes, hair: Colour, clothes: Colour) -> None:
    """The hairline: low under bangs, high where it recedes, hidden by a hat."""
    if attributes["Wearing_Hat"]:
        hat = _shaded(clothes, 0.8)
        head.ellipse(0, -0.72, 1.16, 0.62, hat)
        head.polygon([(-1.5, -0.62), (1.5, -0.62), (1.42, -0.44), (-1.42, -0.44)], _shaded(hat, 0.7))
        return
    if attributes["Bald"]:
        head.ellipse(-0.25, -0.72, 0.22, 0.1, (255, 244, 230))  # it shines
        return
    line = -0.86 if attributes["Receding_Hairline"] else -0.62
    t = np.linspace(-1, 1, 13)
    crown = [(1.04 * np.sin(np.pi / 2 * s), -1.12 * np.cos(np.pi / 2 * s * 0.86)) for s in t]
    dip = -0.22 if attributes["Receding_Hairline"] else 0.12
    fringe = [(0.98 * s, line + dip * (1 - abs(2 * abs(s) - 1)) + 0.32 * s * s) for s in t[::-1]]
    head.polygon(crown + fringe, hair)
    if attributes["Bangs"]:
        teeth = [(0.9 * s, -0.3 - 0.12 * (i % 2)) for i, s in enumerate(np.linspace(1, -1, 12))]
        head.polygon([(-0.95, -0.75), (0, -1.0), (0.95, -0.75), *teeth], hair)
