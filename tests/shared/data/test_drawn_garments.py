"""The stand-in: deterministic, balanced, and its classes are told apart as easily as they should be."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from shared.data import drawn_garments
from shared.data.drawn_garments import draw
from shared.data.prepared import DatasetSpec
from shared.errors import InputError

NAMES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
UPPER = [NAMES.index(name) for name in ("T-shirt/top", "Pullover", "Coat", "Shirt")]


@pytest.fixture(scope="module")
def garments() -> tuple[np.ndarray, np.ndarray]:
    return draw(1500, seed=0)


def test_the_same_seed_draws_the_same_garments(garments: tuple[np.ndarray, np.ndarray]) -> None:
    again, _ = draw(60, seed=0)
    assert garments[0][:60].tobytes() == again.tobytes()
    assert (draw(60, seed=1)[0] != again).any()


def test_images_are_balanced_grey_and_on_black(garments: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = garments
    assert images.shape == (1500, 28, 28)
    assert images.dtype == np.uint8
    assert np.bincount(labels).tolist() == [150] * 10
    assert len(np.unique(images.reshape(1500, -1), axis=0)) == 1500
    assert (images == 0).mean(axis=(1, 2)).min() > 0.2
    assert images.max(axis=(1, 2)).min() > 90
    corners = images[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert not corners.any()


def test_nothing_that_leaves_a_side_comes_in_at_the_other(garments: tuple[np.ndarray, np.ndarray]) -> None:
    images, _ = garments
    for first, last in ((images[:, 0], images[:, -1]), (images[:, :, 0], images[:, :, -1])):
        assert not (first.any(axis=1) & last.any(axis=1)).any()
    wide = images.any(axis=1)
    for picture in wide:  # one piece: no empty column between two filled ones
        filled = np.flatnonzero(picture)
        assert len(filled) == filled[-1] - filled[0] + 1


def test_proportions_brightness_and_cloth_vary(garments: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = garments
    for label, name in enumerate(NAMES):
        of_class = images[labels == label].astype(float)
        brightness = np.array([image[image > 60].mean() for image in of_class])
        assert brightness.std() > 12, name
        assert (of_class > 0).sum(axis=(1, 2)).std() > 6, name
        assert len({tuple(np.flatnonzero(image.any(axis=1))) for image in of_class}) > 3, name


def test_classes_are_told_apart_and_alike_ones_less(garments: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = garments
    pixels = images.reshape(len(images), -1) / 255
    model = LogisticRegression(C=0.1, max_iter=300).fit(pixels[:1000], labels[:1000])
    predicted, truth = model.predict(pixels[1000:]), labels[1000:]
    assert (predicted == truth).mean() > 0.85
    upper = np.isin(truth, UPPER)
    assert (predicted[~upper] == truth[~upper]).mean() > 0.97
    assert (predicted[upper] == truth[upper]).mean() < (predicted[~upper] == truth[~upper]).mean()
    outlines = [(images[labels == label] > 0).mean(axis=0) for label in range(10)]

    def difference(first: str, second: str) -> float:
        return float(np.abs(outlines[NAMES.index(first)] - outlines[NAMES.index(second)]).mean())

    for first, second in (("Shirt", "Pullover"), ("Shirt", "Coat"), ("Pullover", "Coat")):
        for other in ("Trouser", "Sandal", "Sneaker", "Bag", "Ankle boot"):
            assert difference(first, second) < 0.5 * difference(first, other)


@pytest.mark.parametrize(
    ("name", "is_so"),
    [
        ("Trouser", lambda i: i[21:25, 11:17].min(axis=1).mean() < 0.5 * i[21:25].max()),  # a gap between the legs
        ("Bag", lambda i: i[:, 14].argmax() > 2),  # nothing above the handle
        ("Sneaker", lambda i: not i[:9].any()),  # low
        ("Ankle boot", lambda i: i[:12].any() and not i[:9, :8].any()),  # high at the heel, low at the toe
        ("Sandal", lambda i: (i > 0).mean() < 0.25),  # mostly air
        ("Dress", lambda i: (i[24] > 0).sum() > (i[10] > 0).sum() - 2),  # wider below than at the waist
    ],
)
def test_silhouettes(garments: tuple[np.ndarray, np.ndarray], name: str, is_so: object) -> None:
    images, labels = garments
    assert np.mean([is_so(image) for image in images[labels == NAMES.index(name)].astype(float)]) > 0.9


def test_loading_gives_three_splits_with_one_hot_classes() -> None:
    data = drawn_garments.load(DatasetSpec("fashion_mnist", "drawn", {"images": 400, "seed": 2}), Path())
    assert {split: len(part["labels"]) for split, part in data.splits.items()} == {"train": 306, "val": 34, "test": 60}
    for part in data.splits.values():
        assert part["x1"].shape == (len(part["labels"]), 1, 28, 28)
        assert part["x1"].dtype == np.uint8
        assert part["labels"].dtype == np.int64
        assert part["x2"].dtype == np.float32
        np.testing.assert_array_equal(part["x2"].argmax(axis=1), part["labels"])
        np.testing.assert_array_equal(part["x2"].sum(axis=1), 1)
    everything = np.concatenate([part["x1"][:, 0] for part in data.splits.values()])
    drawn, _ = draw(400, seed=2)
    assert sorted(image.tobytes() for image in everything) == sorted(image.tobytes() for image in drawn)
    assert data.stand_in
    assert list(data.classes) == NAMES
    assert "drawn by the package" in data.description


@pytest.mark.parametrize("images", [1, 3, 9])
def test_too_few_images_are_refused(images: int) -> None:
    with pytest.raises(
        InputError, match=rf"fashion_mnist \(drawn\): images: {images} should be greater than or equal to 10"
    ):
        drawn_garments.load(DatasetSpec("fashion_mnist", "drawn", {"images": images}), Path())
    data = drawn_garments.load(DatasetSpec("fashion_mnist", "drawn", {"images": 10}), Path())
    assert min(len(part["x1"]) for part in data.splits.values()) > 0
