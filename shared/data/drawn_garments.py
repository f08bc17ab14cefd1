"""The stand-in for FashionMNIST: grey garments, shoes and bags drawn by the package, in seconds, from no file.

Each class is a silhouette whose proportions vary from piece to piece; cloth, brightness and position vary too. As in
the original, classes of upper garments are alike (a T-shirt has short sleeves, a shirt buttons and a collar, a coat an
open front), so that they are not told apart by their outline alone.
"""

from pathlib import Path

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw
from pydantic import NonNegativeInt

from shared.data import mnist
from shared.data.mnist import CLASSES, SIDE, split_images
from shared.data.prepared import DatasetSpec, ImageCount, Prepared

# Drawn at four times the size and averaged, for smooth edges.
_SCALE = 4
_SIZE = SIDE * _SCALE
_CENTRE = 14.0

Points = list[tuple[float, float]]


class Options(mnist.Options):
    images: ImageCount = 3000
    seed: NonNegativeInt = 0


def load(spec: DatasetSpec, data_root: Path) -> Prepared:
    """Draw and split the garments.

    Options binarise, split_seed as for the official images, images (number), seed. InputError: so few images that a
    split would be empty.
    """
    options = spec.read(Options)
    images, labels = draw(options.images, options.seed)
    made_of = "garments drawn by the package"
    return split_images(spec.name, images, labels, options, stand_in=True, made_of=made_of, files={})


def draw(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8 (N, 28, 28) on black, and their classes (N,), which take turns: the same for the same arguments."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % len(_PIECES)
    return np.stack([_render(_PIECES[label](rng), rng) for label in labels]), labels


class Piece:
    """A garment in the making: polygons in a grid of 28x28, mirrored at the vertical axis where it is symmetric."""

    def __init__(self) -> None:
        self.image = Image.new("L", (_SIZE, _SIZE))
        self.canvas = ImageDraw.Draw(self.image)

    def polygon(self, points: Points, tone: float) -> None:
        self.canvas.polygon([(x * _SCALE, y * _SCALE) for x, y in points], fill=round(255 * tone))

    def mirrored(self, half: Points, tone: float) -> None:
        """A shape from its right half, from top to bottom; x counts from the axis."""
        right = [(_CENTRE + x, y) for x, y in half]
        self.polygon(right + [(2 * _CENTRE - x, y) for x, y in reversed(right)], tone)

    def both_sides(self, points: Points, tone: float) -> None:
        """A shape on the right and its mirror image on the left."""
        self.polygon([(_CENTRE + x, y) for x, y in points], tone)
        self.polygon([(_CENTRE - x, y) for x, y in points], tone)

    def ellipse(self, x: float, y: float, width: float, height: float, tone: float) -> None:
        box = [value * _SCALE for value in (x - width / 2, y - height / 2, x + width / 2, y + height / 2)]
        self.canvas.ellipse(box, fill=round(255 * tone))

    def line(self, points: Points, tone: float, width: float) -> None:
        self.canvas.line([(x * _SCALE, y * _SCALE) for x, y in points], round(255 * tone), round(width * _SCALE))


def _top(rng: Generator, piece: Piece, sleeve: float, hem: float, width: float, tone: float, neck: float = 2.6) -> None:
    """The body of an upper garment with sleeves of a length, from 0 (none) to 1 (to the hem)."""
    top, shoulder = rng.uniform(3.0, 4.5), width + rng.uniform(0.6, 1.4)
    waist = width * rng.uniform(0.86, 1.0)
    body = [
        (0, top + 1.2),
        (neck, top),
        (shoulder, top + 1.6),
        (width, top + 7),
        (waist, hem - 5),
        (width, hem),
        (0, hem),
    ]
    piece.mirrored(body, tone)
    if sleeve:
        end = top + 2.5 + sleeve * (hem - top - 5)
        spread = min(shoulder + 1.2 + 2.6 * sleeve, 11.2)  # inside the picture
        cuff = rng.uniform(2.0, 2.6)
        arm = [
            (neck + 1.5, top + 0.6),
            (shoulder + 0.3, top + 1.6),
            (spread + cuff / 2, end),
            (spread - cuff, end + 0.9),
        ]
        piece.both_sides([*arm, (width - 0.6, top + 7)], tone * rng.uniform(0.82, 0.95))
    piece.ellipse(_CENTRE, top + 0.1, 2 * neck, rng.uniform(1.6, 3.0), 0.0)


def _tone(rng: Generator) -> float:
    return rng.uniform(0.45, 0.98)


def t_shirt(rng: Generator) -> Piece:
    piece, tone = Piece(), _tone(rng)
    _top(rng, piece, rng.uniform(0.1, 0.25), rng.uniform(23, 25.5), rng.uniform(5.6, 7.0), tone)
    if rng.random() < 0.4:  # a print on the chest
        piece.ellipse(_CENTRE, rng.uniform(11, 14), rng.uniform(3, 6), rng.uniform(2, 5), tone * rng.uniform(0.2, 0.7))
    return piece


def trouser(rng: Generator) -> Piece:
    piece, tone = Piece(), _tone(rng)
    hip, ankle, gap = rng.uniform(4.2, 5.4), rng.uniform(1.9, 3.0), rng.uniform(0.3, 0.9)
    top, end, crotch = rng.uniform(2.0, 3.2), rng.uniform(25, 26.5), rng.uniform(9, 11)
    outer = rng.uniform(0.6, 1.0) * hip
    piece.mirrored([(0, top), (hip * 0.8, top), (hip, crotch), (hip, crotch + 0.2), (0, crotch)], tone)
    piece.both_sides(
        [(0, crotch - 1), (hip, crotch - 1), (gap + outer, end), (max(gap, gap + outer - ankle), end)], tone
    )
    piece.line([(_CENTRE - hip * 0.8, top + 1.4), (_CENTRE + hip * 0.8, top + 1.4)], tone * 0.6, 0.5)
    return piece


def pullover(rng: Generator) -> Piece:
    piece, tone = Piece(), _tone(rng)
    hem = rng.uniform(22.5, 25)
    _top(rng, piece, rng.uniform(0.85, 1.0), hem, rng.uniform(5.8, 7.2), tone, neck=rng.uniform(1.8, 2.4))
    for y in (hem - 1.6, hem - 0.8):  # a ribbed hem
        piece.line([(_CENTRE - 5.5, y), (_CENTRE + 5.5, y)], tone * 0.75, 0.35)
    return piece


def dress(rng: Generator) -> Piece:
    piece, tone = Piece(), _tone(rng)
    bust, waist, hem = rng.uniform(3.2, 4.2), rng.uniform(2.3, 3.2), rng.uniform(4.0, 7.5)
    top, middle = rng.uniform(2.0, 3.5), rng.uniform(10, 12.5)
    strap = rng.uniform(0.5, 1.4)
    piece.mirrored(
        [(0, top + 3.2), (bust - strap, top), (bust, top), (bust, 7.5), (waist, middle), (hem, 26), (0, 26)], tone
    )
    if rng.random() < 0.35:
        piece.both_sides([(bust - 0.6, top), (bust + 0.9, top + 0.6), (bust + 2.6, 12), (bust + 1.0, 12.4)], tone * 0.9)
    if rng.random() < 0.5:
        piece.line([(_CENTRE - waist, middle), (_CENTRE + waist, middle)], tone * 0.5, 0.7)
    return piece


def coat(rng: Generator) -> Piece:
    piece, tone = Piece(), _tone(rng)
    hem = rng.uniform(25, 26.8)
    _top(rng, piece, rng.uniform(0.8, 0.95), hem, rng.uniform(5.6, 7.0), tone, neck=rng.uniform(1.4, 2.0))
    piece.line([(_CENTRE, 5), (_CENTRE, hem)], tone * 0.25, 0.7)  # the open front
    piece.both_sides([(0.3, 5.2), (2.6, 4.2), (2.2, 9.5), (0.4, 12)], tone * 0.7)  # lapels
    return piece


def sandal(rng: Generator) -> Piece:
    piece, tone = Piece(), _tone(rng)
    heel, sole = rng.uniform(0.5, 6.5), rng.uniform(20.5, 22.0)
    piece.polygon(
        [(3, sole), (12, sole - 0.4), (25, sole - heel), (25.2, sole - heel + 1.3), (12, sole + 1), (3, sole + 1.2)],
        tone,
    )
    piece.polygon([(23, sole - heel + 0.6), (25.2, sole - heel), (24.9, sole + 1.2), (23.7, sole + 1.2)], tone * 0.9)
    for start in np.sort(rng.uniform(4.5, 12, rng.integers(2, 4))):
        height = rng.uniform(3.5, 5.5)
        piece.line([(start, sole), (start + 2.3, sole - height), (start + 5.0, sole - 0.15 * heel)], tone * 0.95, 0.8)
    piece.line([(19, sole - 0.6 * heel), (21.5, sole - heel - 4.5), (25, sole - heel)], tone * 0.9, 0.8)
    return piece


def shirt(rng: Generator) -> Piece:
    piece, tone = Piece(), _tone(rng)
    hem = rng.uniform(23.5, 26)
    sleeve = rng.uniform(0.85, 0.98) if rng.random() < 0.7 else rng.uniform(0.2, 0.35)
    _top(rng, piece, sleeve, hem, rng.uniform(5.4, 6.8), tone, neck=1.8)
    piece.both_sides([(0, 6.2), (1.9, 3.4), (3.0, 4.6), (1.7, 7.0)], tone * 0.75)  # the collar
    for y in np.arange(8, hem - 1, 2.8):
        piece.ellipse(_CENTRE, y, 0.9, 0.9, tone * 0.35)
    return piece


def sneaker(rng: Generator) -> Piece:
    piece, tone = Piece(), _tone(rng)
    sole, high = rng.uniform(19.5, 21), rng.uniform(11.5, 13.5)
    piece.polygon(
        [(2.2, sole), (3, sole - 3), (9, sole - 4.6), (15, high), (19, high + 0.6), (24.5, high - 0.4), (26, sole)],
        tone,
    )
    piece.polygon([(2, sole - 0.5), (26.3, sole - 0.5), (26, sole + 1.7), (3, sole + 1.7)], min(1.0, tone * 1.15) * 0.9)
    for start in (9.5, 11.5, 13.5):
        piece.line([(start, sole - 4.8), (start + 2.2, sole - 2.8)], tone * 0.45, 0.6)  # laces
    if rng.random() < 0.6:
        piece.line([(14, sole - 1), (20, sole - 5), (23, sole - 1.5)], tone * 0.5, 0.9)
    return piece


def bag(rng: Generator) -> Piece:
    piece, tone = Piece(), _tone(rng)
    width, top, end = rng.uniform(8, 11.5), rng.uniform(9.5, 13), rng.uniform(22, 25)
    rise = rng.uniform(4, 8)
    piece.ellipse(_CENTRE, top, 1.2 * width, 2 * rise, tone * 0.85)
    piece.ellipse(_CENTRE, top, 1.2 * width - 2.2, 2 * rise - 2.2, 0.0)
    piece.mirrored([(0, top), (width * rng.uniform(0.82, 1.0), top), (width, end), (0, end)], tone)
    flap = rng.uniform(0.3, 0.6)
    piece.line(
        [(_CENTRE - width, top + flap * (end - top)), (_CENTRE + width, top + flap * (end - top))], tone * 0.6, 0.6
    )
    if rng.random() < 0.6:
        piece.ellipse(_CENTRE, top + flap * (end - top), 1.8, 1.8, tone * 0.3)
    return piece


def ankle_boot(rng: Generator) -> Piece:
    piece, tone = Piece(), _tone(rng)
    top, heel, leg = rng.uniform(3, 6.5), rng.uniform(0.4, 4.0), rng.uniform(7.5, 9.5)
    sole = 25 - heel / 2
    upper = [(24 - leg, top), (24, top + 0.4), (25, sole - heel), (14, sole), (2.5, sole + 0.4), (3, sole - 3.2)]
    piece.polygon([*upper, (10, sole - 6.2), (24 - leg, 13)], tone)
    piece.polygon([(2.4, sole + 0.2), (14, sole - 0.2), (14, sole + 1.1), (2.6, sole + 1.4)], tone * 0.6)
    piece.polygon([(20, sole - heel * 0.6), (25, sole - heel), (25, 26), (21.5, 26)], tone * 0.6)
    if rng.random() < 0.5:
        piece.line([(24 - leg + 2, top + 1), (24 - leg + 3, sole - 4)], tone * 0.5, 0.5)
    return piece


# In the order of FashionMNIST's classes.
_PIECES = (t_shirt, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag, ankle_boot)
assert len(_PIECES) == len(CLASSES["fashion_mnist"])


def _render(piece: Piece, rng: Generator) -> np.ndarray:
    """Cloth, light and position, at the final size."""
    shape = (SIDE, _SCALE, SIDE, _SCALE)
    grey = np.asarray(piece.image, dtype=np.float32).reshape(shape).mean((1, 3))
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    pattern = rng.choice(("plain", "plain", "across", "down", "checked"))
    wave, depth = 2 * np.pi / rng.uniform(2.5, 6.0), rng.uniform(0.1, 0.35)
    stripes = {
        "across": np.sin(wave * rows),
        "down": np.sin(wave * columns),
        "checked": np.sin(wave * rows) * np.sin(wave * columns),
    }
    cloth = 1 + depth * (stripes[pattern] - 1) / 2 if pattern in stripes else 1.0
    light = 1 + rng.uniform(-0.15, 0.15) * (columns - _CENTRE) / _CENTRE
    noise = 1 + rng.normal(0, 0.04, grey.shape)
    drawn = np.clip(grey * cloth * light * noise, 0, 255)
    down, right = rng.integers(0, 3, size=2)  # by a pixel at most, and what leaves the picture is gone
    return np.pad(drawn, 1)[down : down + SIDE, right : right + SIDE].round().astype(np.uint8)
