"""Drawn garments: ten classes that can be told apart, not all of them easily."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from shared.data import drawn_garments
from shared.data.mnist import CLASSES
from shared.data.prepared import DatasetSpec


@pytest.fixture(scope="module")
def garments():
    return drawn_garments.draw(1000, seed=2)


def test_classes_take_turns_on_a_black_ground(garments):
    images, labels = garments
    assert (images.shape, images.dtype) == ((1000, 28, 28), np.uint8)
    assert np.bincount(labels).tolist() == [100] * 10
    assert (images[:, 0, 0] == 0).all()
    share = (images > 40).mean((1, 2))
    assert ((share > 0.03) & (share < 0.7)).all()


def test_classes_can_be_told_apart_and_upper_garments_are_the_hard_ones(garments):
    images, labels = garments
    pixels = images.reshape(len(images), -1) / 255
    model = LogisticRegression(C=0.1, max_iter=500).fit(pixels[:700], labels[:700])
    predicted, truth = model.predict(pixels[700:]), labels[700:]
    assert (predicted == truth).mean() > 0.85
    upper = [CLASSES["fashion_mnist"].index(name) for name in ("T-shirt/top", "Pullover", "Coat", "Shirt")]
    wrong = predicted != truth
    assert wrong[np.isin(truth, upper)].mean() > wrong[~np.isin(truth, upper)].mean()


def test_pieces_of_a_class_differ(garments):
    images, labels = garments
    for label in range(10):
        own = images[labels == label].astype(float)
        assert own.std(0).mean() > 5, CLASSES["fashion_mnist"][label]


def test_same_arguments_same_garments():
    first, again, other = (drawn_garments.draw(20, seed)[0] for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_loading_splits_as_the_official_data_are():
    data = drawn_garments.load(DatasetSpec("fashion_mnist", "drawn", {"images": 200}), None)
    assert data.stand_in
    assert {split: len(part["x1"]) for split, part in data.splits.items()} == {"train": 153, "val": 17, "test": 30}
    assert (data.splits["test"]["x2"].argmax(1) == data.splits["test"]["labels"]).all()
    assert data.notes["classes"][7] == "Sneaker"
