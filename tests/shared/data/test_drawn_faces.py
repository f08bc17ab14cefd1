"""Drawn faces: each attribute can be seen, and attributes depend on each other as they should."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from shared.data import drawn_faces
from shared.data.celeba import ATTRIBUTES
from shared.data.prepared import DatasetSpec

PLAIN = dict.fromkeys(ATTRIBUTES, False)
# Where a change must show, as rows and columns of the 64x64 picture.
REGIONS = {
    "Bald": (slice(5, 25), slice(15, 50)),
    "Bangs": (slice(15, 32), slice(15, 50)),
    "Bushy_Eyebrows": (slice(22, 34), slice(15, 50)),
    "Eyeglasses": (slice(22, 40), slice(12, 52)),
    "Mouth_Slightly_Open": (slice(38, 56), slice(20, 46)),
    "Smiling": (slice(38, 56), slice(20, 46)),
    "Mustache": (slice(36, 48), slice(20, 46)),
    "Receding_Hairline": (slice(8, 30), slice(12, 52)),
    "Wearing_Hat": (slice(2, 30), slice(8, 58)),
}


@pytest.mark.parametrize("name", ATTRIBUTES)
@pytest.mark.parametrize("look", [1, 7])
def test_every_attribute_changes_the_picture_where_it_should(name, look):
    plain, changed = drawn_faces.render(PLAIN, look), drawn_faces.render(PLAIN | {name: True}, look)
    difference = np.abs(plain.astype(int) - changed).max(0)
    rows, columns = REGIONS.get(name, (slice(None), slice(None)))
    assert (difference[rows, columns] > 25).sum() >= 12, name


@pytest.fixture(scope="module")
def faces():
    return drawn_faces.draw(800, seed=3)


def test_a_linear_classifier_finds_the_attributes_in_the_pixels(faces):
    images, attributes = faces
    pixels = images[:, :, ::2, ::2].reshape(len(images), -1) / 255
    for name in ("Male", "Smiling", "Wearing_Hat", "Pale_Skin"):
        target = attributes[:, ATTRIBUTES.index(name)]
        model = LogisticRegression(C=0.05, max_iter=500).fit(pixels[:500], target[:500])
        chance = max(target[500:].mean(), 1 - target[500:].mean())
        assert model.score(pixels[500:], target[500:]) > chance + (0 if chance > 0.9 else 0.1) - 0.02, name


def test_attributes_exclude_what_cannot_be(faces):
    values = dict(zip(ATTRIBUTES, faces[1].T.astype(bool), strict=True))
    colours = sum(values[name].astype(int) for name in ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair"))
    assert colours.max() == 1
    assert not (values["Bald"] & (colours > 0)).any()
    assert not (values["Mustache"] & ~values["Male"]).any()
    assert not (values["Straight_Hair"] & values["Wavy_Hair"]).any()
    assert values["Heavy_Makeup"][values["Male"]].mean() < 0.1 < values["Heavy_Makeup"][~values["Male"]].mean()
    assert all(value.any() for value in values.values())


def test_same_arguments_same_faces():
    first, again, other = (drawn_faces.draw(5, seed) for seed in (1, 1, 2))
    assert (first[0] == again[0]).all()
    assert (first[0] != other[0]).any()


def test_looks_vary_where_attributes_say_nothing():
    assert (drawn_faces.render(PLAIN, 1) != drawn_faces.render(PLAIN, 2)).mean() > 0.5


def test_loading_splits_and_names_the_attributes():
    data = drawn_faces.load(DatasetSpec("celeba", "drawn", {"images": 100, "seed": 1}), None)
    assert data.stand_in
    assert {split: part["x1"].shape[0] for split, part in data.splits.items()} == {"train": 77, "val": 8, "test": 15}
    assert data.splits["train"]["x1"].shape[1:] == (3, 64, 64)
    assert data.splits["train"]["x2"].dtype == np.float32
    assert data.notes["attributes"] == list(ATTRIBUTES)
