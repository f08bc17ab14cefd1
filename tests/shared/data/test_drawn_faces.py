"""The stand-in: deterministic, and every attribute can be seen where it belongs."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score

from shared.data import drawn_faces
from shared.data.celeba import ATTRIBUTES
from shared.data.drawn_faces import Attributes, draw, render
from shared.data.prepared import DatasetSpec
from shared.errors import InputError

COLOURS = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")
# The rows, of 64, where an attribute may show: hair above the shoulders or over them, eyes and mouth in the face.
ROWS = {
    "Bangs": (8, 32),
    "Receding_Hairline": (5, 32),
    "Wearing_Hat": (3, 34),
    "Bushy_Eyebrows": (17, 33),
    "Eyeglasses": (20, 41),
    "Mouth_Slightly_Open": (36, 60),
    "Mustache": (34, 56),
    "Smiling": (36, 60),
}


@pytest.fixture(scope="module")
def faces() -> tuple[np.ndarray, np.ndarray]:
    return draw(900, seed=0)


def face(**changes: bool) -> Attributes:
    return dict.fromkeys(ATTRIBUTES, False) | {"Brown_Hair": True} | changes


def test_the_same_seed_draws_the_same_faces(faces: tuple[np.ndarray, np.ndarray]) -> None:
    again = draw(50, seed=0)
    for first, second in zip(faces, again, strict=True):
        assert first[:50].tobytes() == second.tobytes()
    other = draw(50, seed=1)
    assert (other[0] != again[0]).any()
    assert (other[1] != again[1]).any()


def test_shapes_and_types(faces: tuple[np.ndarray, np.ndarray]) -> None:
    images, attributes = faces
    assert images.shape == (900, 3, 64, 64)
    assert images.dtype == np.uint8
    assert attributes.shape == (900, 18)
    assert attributes.dtype == np.float32
    assert set(np.unique(attributes)) == {0, 1}
    assert len(np.unique(images.reshape(900, -1), axis=0)) == 900


def test_attributes_depend_on_each_other_as_in_life() -> None:
    rng = np.random.default_rng(0)
    drawn = [drawn_faces.draw_attributes(rng) for _ in range(6000)]
    of = {name: np.array([each[name] for each in drawn]) for name in ATTRIBUTES}
    for name, values in of.items():
        assert 0.01 < values.mean() < 0.6, name
    for excluded in (
        COLOURS,
        ("Bald", "Bangs", "Receding_Hairline", "Wearing_Hat"),
        ("Bald", "Straight_Hair", "Wavy_Hair"),
        *[("Bald", colour) for colour in COLOURS],
    ):
        assert np.sum([of[name] for name in excluded], axis=0).max() == 1, excluded
    for name in ("Bald", "Mustache"):
        assert not of[name][~of["Male"]].any()
    assert of["Receding_Hairline"][of["Male"]].mean() > 2 * of["Receding_Hairline"][~of["Male"]].mean()
    assert of["Heavy_Makeup"][~of["Male"]].mean() > 0.5
    assert of["Heavy_Makeup"][of["Male"]].mean() < 0.05


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_an_attribute_changes_the_picture_where_it_belongs(name: str) -> None:
    """Of the same look, with and without the attribute: enough pixels differ clearly, and only in its rows."""
    hair = {"Brown_Hair": False} if name in (*COLOURS, "Bald") else {}
    without = hair | {"Male": name in ("Bald", "Mustache")}
    first, last = ROWS.get(name, (0, 64))
    for look in range(12):
        pair = [render(face(**(without | {name: value})), look).astype(int) for value in (False, True)]
        changed = np.abs(pair[0] - pair[1]).max(axis=0)
        assert (changed > 25).sum() >= 8, look
        assert not changed[:first].any(), look
        assert not changed[last:].any(), look


@pytest.mark.parametrize("name", ["Bushy_Eyebrows", "Mustache", "Smiling", "Eyeglasses", "Mouth_Slightly_Open"])
def test_nothing_hides_an_attribute(name: str, faces: tuple[np.ndarray, np.ndarray]) -> None:
    """Neither a hat, nor a fringe, nor any skin or hair of the faces drawn: without it the picture is another one."""
    rng = np.random.default_rng(3)
    shown = [each for each in (drawn_faces.draw_attributes(rng) for _ in range(2000)) if each[name]][:40]
    assert len(shown) == 40
    for look, attributes in enumerate(shown):
        pair = [render(attributes | {name: value}, look).astype(int) for value in (False, True)]
        assert (np.abs(pair[0] - pair[1]).max(axis=0) > 20).sum() >= 5, attributes


def test_attributes_can_be_read_off_the_pixels(faces: tuple[np.ndarray, np.ndarray]) -> None:
    """A linear reader of half the resolution ranks faces with an attribute above those without.

    A hair colour may lie between others (brown is neither the darkest nor the lightest), which no linear reader singles
    out; it must be told from every other one.
    """
    images, attributes = faces
    pixels = images.reshape(900, 3, 32, 2, 32, 2).mean(axis=(3, 5)).reshape(900, -1) / 255

    def accuracy(target: np.ndarray, among: np.ndarray) -> float:
        train, test = among[among < 650], among[among >= 650]
        model = Ridge(alpha=30).fit(pixels[train], target[train])
        return roc_auc_score(target[test], model.predict(pixels[test]))

    for name in set(ATTRIBUTES) - set(COLOURS):
        assert accuracy(attributes[:, ATTRIBUTES.index(name)], np.arange(900)) > 0.75, name
    colours = attributes[:, [ATTRIBUTES.index(name) for name in COLOURS]]
    of_colour = np.where(colours.any(axis=1), colours.argmax(axis=1), len(COLOURS))  # the last: red
    of_colour[attributes[:, ATTRIBUTES.index("Bald")] == 1] = -1
    for first, second in itertools.combinations(range(len(COLOURS) + 1), 2):
        pair = np.flatnonzero(np.isin(of_colour, (first, second)))
        assert accuracy((of_colour == first).astype(float), pair) > 0.85, (first, second)


@pytest.mark.parametrize("male", [False, True])
def test_only_wavy_hair_has_a_wavy_outline(male: bool) -> None:
    """How often the outer edge of the hair turns back, row by row; hair is what another colour of hair changes."""

    def turns(strands: dict[str, bool], look: int) -> int:
        attributes = face(Male=male) | strands
        brown = render(attributes, look, size=192).astype(int)
        blond = render(attributes | {"Brown_Hair": False, "Blond_Hair": True}, look, size=192).astype(int)
        hair = np.abs(brown - blond).max(axis=0) > 60
        edge = hair.argmax(axis=1)[hair.any(axis=1)]
        steps = np.sign(np.diff(edge))
        steps = steps[steps != 0]
        return int((steps[1:] != steps[:-1]).sum())

    for look in range(6):
        assert turns({"Wavy_Hair": True}, look) >= turns({}, look) + 4
        assert turns({"Wavy_Hair": True}, look) >= turns({"Straight_Hair": True}, look) + 4


def test_what_no_attribute_mentions_varies() -> None:
    looks = np.stack([render(face(), look) for look in range(40)]).astype(float)
    corners, cheeks = looks[:, :, :4, :4].mean(axis=(2, 3)), looks[:, :, 36:39, 24:27].mean(axis=(2, 3))
    assert (corners.std(axis=0) > 20).all()
    assert (cheeks.std(axis=0) > 15).all()


def test_loading_gives_three_splits_of_the_stated_sizes() -> None:
    data = drawn_faces.load(DatasetSpec("celeba", "drawn", {"images": 200, "seed": 4, "image_size": 32}), Path())
    assert {split: len(part["x1"]) for split, part in data.splits.items()} == {"train": 160, "val": 20, "test": 20}
    for part in data.splits.values():
        assert part["x1"].shape[1:] == (3, 32, 32)
        assert part["x2"].shape == (len(part["x1"]), 18)
        assert set(part) == {"x1", "x2"}
    images, attributes = draw(200, seed=4, size=32)
    np.testing.assert_array_equal(np.concatenate([part["x1"] for part in data.splits.values()]), images)
    np.testing.assert_array_equal(np.concatenate([part["x2"] for part in data.splits.values()]), attributes)
    assert data.stand_in
    assert "drawn by the package" in data.description
    assert data.notes["attributes"] == list(ATTRIBUTES)


def test_three_thousand_faces_are_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def drawn(count: int, seed: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        asked.append((count, seed, size))
        return np.zeros((count, 3, 1, 1), np.uint8), np.zeros((count, 18), np.float32)

    monkeypatch.setattr(drawn_faces, "draw", drawn)
    data = drawn_faces.load(DatasetSpec("celeba", "drawn"), Path())
    assert asked == [(3000, 0, 64)]
    assert [len(part["x1"]) for part in data.splits.values()] == [2400, 300, 300]


def test_too_few_images_are_refused() -> None:
    with pytest.raises(InputError, match=r"celeba \(drawn\): images: 9 should be greater than or equal to 10"):
        drawn_faces.load(DatasetSpec("celeba", "drawn", {"images": 9}), Path())
    data = drawn_faces.load(DatasetSpec("celeba", "drawn", {"images": 10}), Path())
    assert min(len(part["x1"]) for part in data.splits.values()) > 0
    with pytest.raises(InputError, match="image_size: 100000 should be less than or equal to 256"):
        drawn_faces.load(DatasetSpec("celeba", "drawn", {"image_size": 100_000}), Path())
    with pytest.raises(InputError, match="binarise: is unknown"):
        drawn_faces.load(DatasetSpec("celeba", "drawn", {"binarise": "none"}), Path())
