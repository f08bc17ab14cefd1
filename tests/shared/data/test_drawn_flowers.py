"""The stand-in: deterministic, and structured as HMVAE's Fig. 1 says, checked on its known factors."""

import re

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mutual_info_score

from shared.data import drawn_flowers
from shared.data.drawn import Drawn
from shared.data.drawn_flowers import BACKGROUNDS, CENTRE_COLOURS, CLASSES, PETAL_COLOURS, SHAPES, FlowerClass, draw
from shared.data.prepared import DatasetSpec
from shared.errors import InputError


@pytest.fixture(scope="module")
def flowers() -> Drawn[FlowerClass]:
    return draw(images_per_class=8, seed=0)


def test_the_same_seed_draws_the_same_flowers(flowers: Drawn[FlowerClass]) -> None:
    again = draw(images_per_class=8, seed=0)
    assert again.images.tobytes() == flowers.images.tobytes()
    assert again.captions.tolist() == flowers.captions.tolist()
    other = draw(images_per_class=1, seed=1)
    assert (other.images != flowers.images[::8]).any()


def test_shapes_and_counts(flowers: Drawn[FlowerClass]) -> None:
    assert flowers.images.shape == (816, 3, 64, 64)
    assert flowers.images.dtype == np.uint8
    assert flowers.captions.shape == (816, 10)
    assert np.bincount(flowers.labels)[1:].tolist() == [8] * 102
    assert len(np.unique(flowers.images.reshape(816, -1), axis=0)) == 816


def test_splits_are_62_20_20_disjoint_classes() -> None:
    assert [len(CLASSES[split]) for split in ("train", "val", "test")] == [62, 20, 20]
    assert sorted(c for classes in CLASSES.values() for c in classes) == list(range(1, 103))


def test_classes_differ(flowers: Drawn[FlowerClass]) -> None:
    looks = {(c.shape, c.colour, c.centre) for c in flowers.classes.values()}
    assert len(looks) == 102
    assert {c.shape for c in flowers.classes.values()} == set(SHAPES)
    assert {c.colour for c in flowers.classes.values()} == set(PETAL_COLOURS)
    for flower in flowers.classes.values():
        assert flower.colour != flower.centre


def test_backgrounds_depend_on_the_class_and_vary_within_it(flowers: Drawn[FlowerClass]) -> None:
    shuffled = np.random.default_rng(0).permutation(flowers.backgrounds)
    information = mutual_info_score(flowers.labels, flowers.backgrounds)
    assert information > mutual_info_score(flowers.labels, shuffled) + 0.5
    assert set(flowers.backgrounds) == set(range(len(BACKGROUNDS)))
    for flower in flowers.classes.values():
        assert sum(flower.background_weights) == pytest.approx(1)
        assert sum(weight > 0 for weight in flower.background_weights) == 2
    several = [len(set(flowers.backgrounds[flowers.labels == c])) == 2 for c in flowers.classes]
    assert np.mean(several) > 0.3


def test_backgrounds_of_unseen_classes_follow_from_what_captions_tell(flowers: Drawn[FlowerClass]) -> None:
    """The rule shape -> likelier background, learned on training classes, holds for test classes."""
    shapes = np.array([flowers.classes[label].shape for label in flowers.labels])
    train, test = (np.isin(flowers.labels, CLASSES[split]) for split in ("train", "test"))
    rule = {s: np.bincount(flowers.backgrounds[train & (shapes == s)]).argmax() for s in SHAPES}
    predicted = np.array([rule[shape] for shape in shapes[test]])
    assert (predicted == flowers.backgrounds[test]).mean() > 0.65


def test_captions_never_mention_the_background(flowers: Drawn[FlowerClass]) -> None:
    words = set(re.findall(r"[a-z]+", " ".join(flowers.captions.ravel())))
    synonyms = {"grass", "lake", "pond", "earth", "ground", "cloud", "clouds", "leaf", "leaves", "stone", "stones"}
    assert not words & (set(BACKGROUNDS) | synonyms | {"background", "behind"})


def test_captions_agree_with_the_factors(flowers: Drawn[FlowerClass]) -> None:
    """Colour words are those of the class, in its captions' words; something is left out now and then."""
    shape_words = {word: name for name, shape in SHAPES.items() for word in shape.words}
    mentions_centre = []
    for label, captions in zip(flowers.labels, flowers.captions, strict=True):
        flower = flowers.classes[label]
        allowed = {flower.colour, flower.centre}
        for caption in captions:
            words = set(re.findall(r"[a-z]+", caption))
            assert flower.colour in words
            assert words & {*PETAL_COLOURS, *CENTRE_COLOURS} <= allowed
            named = [name for word, name in shape_words.items() if re.search(rf"\b{word}\b", caption)]
            assert set(named) <= {flower.shape}
            mentions_centre.append(flower.centre in words)
    assert 0.5 < np.mean(mentions_centre) < 0.95


def test_the_wording_varies(flowers: Drawn[FlowerClass]) -> None:
    assert np.mean([len(set(captions)) for captions in flowers.captions]) > 8


def test_images_show_colour_and_background(flowers: Drawn[FlowerClass]) -> None:
    """Simple statistics of the pixels are enough to read both factors off an image."""
    images = flowers.images.astype(np.float32) / 255
    ends = (slice(None, 6), slice(-6, None))
    corners = np.concatenate(
        [images[:, :, rows, columns].reshape(816, 3, -1) for rows in ends for columns in ends], axis=2
    )
    background = np.concatenate([corners.mean(axis=2), corners.std(axis=2)], axis=1)
    middle = images[:, :, 16:48, 16:48].mean(axis=(2, 3))
    colour = np.array([flowers.classes[label].colour for label in flowers.labels])

    def accuracy(features: np.ndarray, target: np.ndarray) -> float:
        model = LogisticRegression(C=1e3, max_iter=2000).fit(features[::2], target[::2])
        return model.score(features[1::2], target[1::2])

    assert accuracy(background, flowers.backgrounds) > 0.9
    assert accuracy(middle, colour) > 0.95


def test_few_directions_hold_most_of_what_varies(flowers: Drawn[FlowerClass]) -> None:
    """They are what a model can learn in the few steps of the demo."""
    images = flowers.images.reshape(816, -1).astype(np.float64)
    variance = np.linalg.svd(images - images.mean(axis=0), compute_uv=False) ** 2
    assert variance[:8].sum() > 0.8 * variance.sum()


def test_the_colour_of_the_petals_is_that_of_most_of_the_image(flowers: Drawn[FlowerClass]) -> None:
    """What captions name is the strongest thing in an image, so that a model picks it up first."""
    colour = np.array([PETAL_COLOURS[flowers.classes[label].colour] for label in flowers.labels])
    distance = np.abs(flowers.images / 255 - colour[:, :, None, None]).max(axis=1)
    assert (distance < 0.3).mean() > 0.5


def test_loading_gives_three_splits() -> None:
    options = {"images_per_class": 2, "seed": 3}
    data = drawn_flowers.load(DatasetSpec("oxford_flower", "drawn", options), None)
    assert data.stand_in
    assert "drawn by the package" in data.description
    assert {split: len(part["x1"]) for split, part in data.splits.items()} == {"train": 124, "val": 40, "test": 40}
    assert set(data.splits["train"]["labels"]) == set(range(62))  # a classifier of training classes has 62 outputs
    for split, part in data.splits.items():
        numbers = {int(data.classes[label].removeprefix("class_")) for label in part["labels"]}
        assert numbers == set(CLASSES[split])
        assert part["characters"].shape == (len(part["labels"]), 10, 201)
        assert "x2" not in part


def test_embeddings_of_real_captions_are_not_available() -> None:
    spec = DatasetSpec("oxford_flower", "drawn", {"caption_features": "char_cnn_rnn"})
    with pytest.raises(InputError, match=r"drawn.*char_cnn_rnn"):
        drawn_flowers.load(spec, None)


def test_images_that_would_fill_the_memory_are_refused() -> None:
    with pytest.raises(InputError, match="image_size: 100000 should be less than or equal to 256"):
        drawn_flowers.load(DatasetSpec("oxford_flower", "drawn", {"image_size": 100_000}), None)
