"""The stand-in for CelebA: faces drawn by the package, with the 18 attributes, in seconds, from no file.

Every attribute can be seen in the picture. Rates and dependences are near those of the original's attribute file: hair
has one colour or none of the four, moustaches and bald heads are men's, heavy make-up women's, fringes and receding
hairlines exclude each other. Skin, light, background, size and position vary without being mentioned by an attribute.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw
from pydantic import NonNegativeInt

from shared.data.celeba import ATTRIBUTES, IMAGE_SIZE
from shared.data.prepared import DatasetOptions, DatasetSpec, ImageCount, ImageSize, Prepared

IMAGES = 3000
_SIDE = 192  # drawn in this size and averaged, for smooth edges

_HAIR = {
    "Black_Hair": (28, 24, 26),
    "Blond_Hair": (226, 192, 108),
    "Brown_Hair": (88, 54, 30),
    "Gray_Hair": (174, 174, 178),
    None: (168, 70, 36),  # red: none of the four
}
_HAIR_RATES = {True: (0.36, 0.04, 0.22, 0.10, 0.28), False: (0.22, 0.27, 0.27, 0.03, 0.21)}
# How often (men, women) have what depends on nothing else.
_RATES = {
    "Bushy_Eyebrows": (0.24, 0.07),
    "Eyeglasses": (0.12, 0.04),
    "Heavy_Makeup": (0.0, 0.6),
    "Mouth_Slightly_Open": (0.42, 0.53),
    "Mustache": (0.12, 0.0),
    "Pale_Skin": (0.05, 0.08),
    "Smiling": (0.40, 0.54),
}
_DARK_SKIN, _LIGHT_SKIN, _PALE_SKIN = (118, 78, 54), (234, 186, 156), (252, 236, 228)
_IRISES = ((70, 44, 26), (64, 96, 130), (70, 104, 66))
_DARK, _WHITE, _SHADOW, _ROUGE = (30, 22, 22), (248, 246, 244), (126, 74, 132), (226, 70, 92)

Colour = tuple[int, ...]
Attributes = dict[str, bool]
Points = list[tuple[float, float]]


class Options(DatasetOptions):
    image_size: ImageSize = IMAGE_SIZE
    images: ImageCount = IMAGES
    seed: NonNegativeInt = 0


def load(spec: DatasetSpec, data_root: Path) -> Prepared:
    """Draw the faces; eight tenths are for training, a tenth each for validation and testing.

    Options image_size (pixels), images (number), seed. InputError: so few images that a part would be empty, or such
    large ones that they would not fit in memory.
    """
    options = spec.read(Options)
    images, attributes = draw(options.images, options.seed, options.image_size)
    tenth = options.images // 10
    cuts = [options.images - 2 * tenth, options.images - tenth]
    parts = zip(("train", "val", "test"), np.split(images, cuts), np.split(attributes, cuts), strict=True)
    return Prepared(
        splits={split: {"x1": x1, "x2": x2} for split, x1, x2 in parts},
        stand_in=True,
        description=f"faces drawn by the package, {len(ATTRIBUTES)} attributes",
        notes={"attributes": list(ATTRIBUTES)},
    )


def draw(count: int, seed: int, size: int = IMAGE_SIZE) -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8 (N, 3, size, size), and their attributes, float32 (N, 18): the same for the same arguments."""
    rng = np.random.default_rng(seed)
    faces = [(draw_attributes(rng), int(rng.integers(2**63))) for _ in range(count)]
    images = np.stack([render(attributes, look, size) for attributes, look in faces])
    values = np.array([[attributes[name] for name in ATTRIBUTES] for attributes, _ in faces], dtype=np.float32)
    return images, values


def draw_attributes(rng: Generator) -> Attributes:
    """Attributes of one face, by name."""
    male = bool(rng.random() < 0.42)
    face = {name: bool(rng.random() < rates[0 if male else 1]) for name, rates in _RATES.items()}
    head = rng.random()
    bald = male and head < 0.06
    hat = not bald and head > (0.92 if male else 0.97)
    colour = rng.choice([*_HAIR], p=_HAIR_RATES[male])
    line = "" if bald or hat else rng.choice(["Bangs", "Receding_Hairline", ""], p=_hairline_rates(male))
    strands = "" if bald else rng.choice(["Straight_Hair", "Wavy_Hair", ""], p=_strand_rates(male))
    face |= {"Male": male, "Bald": bald, "Wearing_Hat": hat}
    face |= {name: line == name for name in ("Bangs", "Receding_Hairline")}
    face |= {name: strands == name for name in ("Straight_Hair", "Wavy_Hair")}
    return face | {name: not bald and name == colour for name in _HAIR if name is not None}


def _hairline_rates(male: bool) -> tuple[float, float, float]:
    return (0.09, 0.15, 0.76) if male else (0.22, 0.05, 0.73)


def _strand_rates(male: bool) -> tuple[float, float, float]:
    return (0.26, 0.16, 0.58) if male else (0.26, 0.44, 0.30)


# --- drawing ---


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

    def at(self, points: Points) -> Points:
        return [(self.x + x * self.width, self.y + y * self.height) for x, y in points]

    def polygon(self, points: Points, colour: Colour) -> None:
        self.canvas.polygon(self.at(points), fill=colour)

    def line(self, points: Points, colour: Colour, width: float) -> None:
        self.canvas.line(self.at(points), fill=colour, width=max(1, round(width * self.width)), joint="curve")

    def arc(self, x: float, y: float, width: float, bend: float, colour: Colour, thick: float) -> None:
        """A curve around (x, y) whose middle lies `bend` lower than its ends."""
        steps = np.linspace(-1, 1, 9)
        self.line([(x + width * t, y + bend * (0.5 - t * t)) for t in steps], colour, thick)


def render(attributes: Attributes, look: int, size: int = IMAGE_SIZE) -> np.ndarray:
    """One face, uint8 (3, size, size).

    look: the seed of all that no attribute mentions; it draws the same whatever the attributes are, so that two faces
    of one look differ by their attributes alone.
    """
    rng = np.random.default_rng(look)
    image = _backdrop(rng)
    male = attributes["Male"]
    width = _SIDE * rng.uniform(0.22, 0.26) * (1.04 if male else 0.98)
    head = _Head(
        x=_SIDE * (0.5 + rng.uniform(-0.04, 0.04)),
        y=_SIDE * (0.53 + rng.uniform(-0.03, 0.03)),
        width=width,
        height=width * rng.uniform(1.28, 1.38),
        canvas=ImageDraw.Draw(image),
    )
    skin = _skin(attributes, rng.random())
    hair = _shaded(_HAIR[next((name for name in _HAIR if name and attributes[name]), None)], rng.uniform(0.88, 1.12))
    brow = _DARK if attributes["Bald"] else _shaded(hair, 0.42)
    clothes, hat = (tuple(int(v) for v in shades) for shades in rng.integers(30, 225, size=(2, 3)))
    iris = _IRISES[rng.integers(len(_IRISES))]
    light = rng.uniform(-1, 1, size=2)
    if not attributes["Bald"]:
        _hair_behind(head, attributes, hair)
    _body(head, skin, clothes, male)
    _face(head, skin, male, light[0])
    _eyes(head, attributes, skin, brow, iris)
    _mouth(head, attributes, skin, brow)
    if attributes["Bald"]:
        head.ellipse(0.3 * light[0], -0.74, 0.2, 0.09, _mixed(skin, _WHITE, 0.7))  # it shines
    elif attributes["Wearing_Hat"]:
        _hat(head, hat)
    else:
        _hair_in_front(head, attributes, hair, parting=0.5 * light[1])
    return _lit(image.resize((size, size), Image.Resampling.BOX), light)


def _lit(image: Image.Image, light: np.ndarray) -> np.ndarray:
    """Light from one side, as uint8 (3, size, size)."""
    axis = np.linspace(-1, 1, image.width, dtype=np.float32)
    shade = 1 + 0.1 * (light[0] * axis[None, :] + light[1] * axis[:, None])
    pixels = np.asarray(image, dtype=np.float32).transpose(2, 0, 1) * shade.astype(np.float32)
    return np.clip(pixels, 0, 255).round().astype(np.uint8)


def _shaded(colour: Colour, factor: float) -> Colour:
    return tuple(int(min(255, value * factor)) for value in colour)


def _mixed(first: Colour, second: Colour, weight: float) -> Colour:
    return tuple(round(a + (b - a) * weight) for a, b in zip(first, second, strict=True))


def _backdrop(rng: Generator) -> Image.Image:
    """Two muted colours that blend into each other in some direction."""
    colours = rng.uniform(40, 225, size=(2, 3))
    colours = 0.55 * colours + 0.45 * colours.mean(axis=1, keepdims=True)
    angle = rng.uniform(0, 2 * np.pi)
    axis = np.linspace(-0.5, 0.5, _SIDE // 4)  # coarse, since it is smooth
    weight = np.clip(0.5 + np.cos(angle) * axis[None, :] + np.sin(angle) * axis[:, None], 0, 1)[..., None]
    blend = colours[0] + weight * (colours[1] - colours[0])
    return Image.fromarray(blend.astype(np.uint8)).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)


def _skin(attributes: Attributes, tone: float) -> Colour:
    if attributes["Pale_Skin"]:
        return _PALE_SKIN
    if any(attributes[name] for name in ("Blond_Hair", "Brown_Hair", "Gray_Hair")):  # they, or the brows, would vanish
        tone = 0.35 + 0.65 * tone
    return _mixed(_DARK_SKIN, _LIGHT_SKIN, tone)


def _body(head: _Head, skin: Colour, clothes: Colour, male: bool) -> None:
    neck = 0.52 if male else 0.38
    head.ellipse(0, 2.35, 1.95 if male else 1.5, 1.0, clothes)
    head.polygon([(-neck, 0.6), (neck, 0.6), (neck * 1.15, 1.4), (0, 1.62), (-neck * 1.15, 1.4)], _shaded(skin, 0.8))


def _outline(male: bool, strands: str) -> Points:
    """The right half of the hair seen from the front, from the crown down: men's is short, women's long."""
    steps = np.linspace(0, np.pi / 2, 14)
    wide = 1.14 if male else 1.24
    crown = [(wide * np.sin(t), -0.25 - 0.93 * np.cos(t)) for t in steps]
    end = {"Straight_Hair": (0.5, 1.6), "Wavy_Hair": (0.3, 1.45), "": (-0.05, 0.62)}[strands][0 if male else 1]
    length = np.linspace(-0.25, end, 16)[1:]
    sides = [(wide + (0.0 if strands == "Straight_Hair" or male else 0.08 * (y + 0.25)), y) for y in length]
    if strands == "":
        sides.append((wide - 0.3, end + (0.12 if male else 0.26)))  # turned in
    if strands != "Wavy_Hair":
        return crown + sides
    return _waved(np.array(crown + sides))


def _waved(outline: np.ndarray) -> Points:
    """An outline (P, 2) with waves of equal length along it: outwards at the crown, sideways below."""
    steps = np.append(0, np.hypot(*np.diff(outline, axis=0).T).cumsum())
    along = np.linspace(0, steps[-1], 72)
    x, y = (np.interp(along, steps, values) for values in outline.T)
    wave = 1 + 0.055 * np.sin(2 * np.pi * along / 0.34) * np.minimum(1, along / 0.2)
    return list(zip(x * wave, np.where(y < -0.25, y * wave, y), strict=True))


def _strands(attributes: Attributes) -> str:
    return next((name for name in ("Straight_Hair", "Wavy_Hair") if attributes[name]), "")


def _hair_behind(head: _Head, attributes: Attributes, hair: Colour) -> None:
    """Straight hair hangs in a sharp shape, wavy hair has a wavy outline, other hair is cut round."""
    strands = _strands(attributes)
    right = _outline(attributes["Male"], strands)
    head.polygon(right + [(-x, y) for x, y in reversed(right)], hair)
    if not strands:
        return
    length = np.linspace(-0.3, right[-1][1] - 0.05, 25)
    for x, shade in ((1.0, _mixed(hair, _WHITE, 0.3)), (1.12, _shaded(hair, 0.6))):
        for side in (-1, 1):
            bend = 0.05 if strands == "Wavy_Hair" else 0.0
            head.line([(side * (x + bend * np.sin(18 * y)), y) for y in length], shade, 0.05)


def _face(head: _Head, skin: Colour, male: bool, light: float) -> None:
    """Men have a broad jaw. The side away from the light is darker."""
    dark = _shaded(skin, 0.86)
    for side in (-1, 1):
        head.ellipse(side * 1.0, 0.05, 0.13, 0.17, dark)
    for colour, shift, size in ((dark, 0.0, 1.0), (skin, 0.07 * light, 0.93)):
        head.ellipse(shift, 0, size, size, colour)
        if male:
            jaw = [(-0.95, 0.2), (0.95, 0.2), (0.86, 0.55), (0.52, 0.97), (-0.52, 0.97), (-0.86, 0.55)]
            head.polygon([(shift + x * size, y * size) for x, y in jaw], colour)


def _eyes(head: _Head, attributes: Attributes, skin: Colour, brow: Colour, iris: Colour) -> None:
    for side in (-1, 1):
        if attributes["Heavy_Makeup"]:
            for size, weight in ((1.0, 0.25), (0.65, 0.5)):
                head.ellipse(side * 0.6, 0.3, 0.25 * size, 0.17 * size, _mixed(skin, _ROUGE, weight))
            head.ellipse(side * 0.42, -0.17, 0.27, 0.14, _SHADOW)
            head.line([(side * 0.2, -0.12), (side * 0.42, -0.2), (side * 0.7, -0.16)], _DARK, 0.07)  # lashes
        head.ellipse(side * 0.42, -0.1, 0.2, 0.085, _WHITE)
        head.ellipse(side * 0.42, -0.1, 0.09, 0.08, iris)
        head.ellipse(side * 0.42, -0.1, 0.045, 0.04, _DARK)
        head.arc(side * 0.42, -0.37, 0.26, -0.1, brow, 0.18 if attributes["Bushy_Eyebrows"] else 0.055)
    head.line([(0.0, -0.1), (-0.1, 0.25), (0.1, 0.27)], _shaded(skin, 0.72), 0.06)
    if attributes["Eyeglasses"]:
        for side in (-1, 1):
            frame = [(side * 0.14, -0.27), (side * 0.76, -0.27), (side * 0.72, 0.1), (side * 0.2, 0.1)]
            head.line([*frame, frame[0]], _DARK, 0.09)
            head.line([(side * 0.76, -0.2), (side * 0.98, -0.14)], _DARK, 0.06)
        head.line([(-0.16, -0.17), (0.16, -0.17)], _DARK, 0.08)


def _mouth(head: _Head, attributes: Attributes, skin: Colour, brow: Colour) -> None:
    """The corners tell a smile, the gap an open mouth."""
    lips = (192, 22, 52) if attributes["Heavy_Makeup"] else _mixed(_shaded(skin, 0.55), (150, 44, 52), 0.4)
    thick = 0.13 if attributes["Heavy_Makeup"] else 0.1
    width, bend = (0.44, 0.26) if attributes["Smiling"] else (0.3, 0.0)
    if attributes["Mouth_Slightly_Open"]:
        steps = np.linspace(-1, 1, 11)
        upper = [(width * t, 0.58 + 0.6 * bend * (0.3 - t * t)) for t in steps]
        lower = [(x, y + 0.2 * (1 - t * t)) for (x, y), t in zip(upper, steps, strict=True)]
        head.polygon([*upper, *reversed(lower)], (70, 14, 20))
        head.polygon(
            [*upper, *[(x, y + 0.07 * (1 - t * t)) for (x, y), t in zip(upper, steps, strict=True)][::-1]], _WHITE
        )
        head.line([*upper, *reversed(lower), upper[0]], lips, thick)
    else:
        head.arc(0, 0.62, width, bend, lips, thick)
    if attributes["Mustache"]:
        head.polygon([(-0.46, 0.54), (-0.3, 0.4), (0, 0.34), (0.3, 0.4), (0.46, 0.54), (0.2, 0.5), (-0.2, 0.5)], brow)


def _hat(head: _Head, colour: Colour) -> None:
    dome = [(1.14 * np.cos(t), -0.55 - 0.72 * np.sin(t)) for t in np.linspace(0, np.pi, 19)]
    head.polygon(dome, colour)
    head.polygon([(-1.14, -0.72), (1.14, -0.72), (1.14, -0.55), (-1.14, -0.55)], _mixed(colour, _DARK, 0.6))
    head.polygon([(-1.5, -0.6), (1.5, -0.6), (1.4, -0.48), (-1.4, -0.48)], _shaded(colour, 0.8))


def _hair_in_front(head: _Head, attributes: Attributes, hair: Colour, parting: float) -> None:
    """The hairline: low and jagged under a fringe, at the temples far back where it recedes, else parted."""
    wide = 1.04
    crown = [(wide * np.sin(t), -1.13 * np.cos(t)) for t in np.linspace(-1.2, 1.2, 17)]
    steps = np.linspace(0.97, -0.97, 25)
    if attributes["Bangs"]:
        line = [-0.5 - 0.07 * (i % 2) for i in range(len(steps))]
    elif attributes["Receding_Hairline"]:
        line = [-0.8 - 0.2 * np.sin(np.pi * min(1, abs(s) / 0.85)) + 0.42 * max(0, abs(s) - 0.6) for s in steps]
    else:
        line = [-0.78 + 0.36 * min(1, abs(s - parting)) ** 2 for s in steps]
    head.polygon([*crown, *zip(steps, line, strict=True)], hair)
    if attributes["Bangs"]:
        for s in steps[2:-2:4]:
            head.line([(0.6 * s, -0.95), (s, -0.56)], _shaded(hair, 0.7), 0.04)
