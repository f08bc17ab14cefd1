"""The stand-in: deterministic, and structured as HMVAE's Fig. 1 says, checked on its known factors."""

import re

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import mutual_info_score

from shared.data import drawn_birds
from shared.data.drawn import Drawn
from shared.data.drawn_birds import BACKGROUNDS, BUILDS, CLASSES, COLOURS, Species, draw
from shared.data.prepared import DatasetSpec
from shared.errors import InputError

PER_CLASS = 4


@pytest.fixture(scope="module")
def birds() -> Drawn[Species]:
    return draw(images_per_class=PER_CLASS, seed=0)


def of_each(birds: Drawn[Species], factor: str) -> np.ndarray:
    return np.array([getattr(birds.classes[label], factor) for label in birds.labels])


def accuracy(features: np.ndarray, target: np.ndarray, train: np.ndarray) -> float:
    """Of a linear probe, on the rows that are not for training."""
    probe = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(features[train], target[train])
    return probe.score(features[~train], target[~train])


def thumbnails(birds: Drawn[Species]) -> np.ndarray:
    """Means of 8 x 8 pixels, (2N, 192), of the images and of their mirror images: birds look both ways."""
    means = birds.images.reshape(-1, 3, 8, 8, 8, 8).mean(axis=(3, 5)) / 255
    return np.concatenate([means, means[..., ::-1]]).reshape(2 * len(means), -1)


def test_the_same_seed_draws_the_same_birds(birds: Drawn[Species]) -> None:
    again = draw(images_per_class=PER_CLASS, seed=0)
    assert again.images.tobytes() == birds.images.tobytes()
    assert again.captions.tolist() == birds.captions.tolist()
    other = draw(images_per_class=1, seed=1)
    assert (other.images != birds.images[::PER_CLASS]).any()


def test_shapes_and_counts(birds: Drawn[Species]) -> None:
    count = 200 * PER_CLASS
    assert birds.images.shape == (count, 3, 64, 64)
    assert birds.images.dtype == np.uint8
    assert birds.captions.shape == (count, 10)
    assert np.bincount(birds.labels)[1:].tolist() == [PER_CLASS] * 200
    assert len(np.unique(birds.images.reshape(count, -1), axis=0)) == count
    assert draw(images_per_class=1, seed=0, size=33).images.shape == (200, 3, 33, 33)


def test_splits_are_111_39_50_disjoint_classes() -> None:
    assert [len(CLASSES[split]) for split in ("train", "val", "test")] == [111, 39, 50]
    assert sorted(c for classes in CLASSES.values() for c in classes) == list(range(1, 201))


def test_species_differ(birds: Drawn[Species]) -> None:
    looks = {(s.build, s.body, s.wing, s.bill) for s in birds.classes.values()}
    assert len(looks) == 200
    for split in CLASSES.values():
        of_split = [birds.classes[number] for number in split]
        assert {s.build for s in of_split} == set(BUILDS)
        assert {s.body for s in of_split} == set(COLOURS)
    for species in birds.classes.values():
        assert species.body not in (species.wing, species.bill)


def test_seabirds_have_sky_or_water_and_songbirds_forest_or_meadow(birds: Drawn[Species]) -> None:
    names = np.array(list(BACKGROUNDS))[birds.backgrounds]
    sea = np.isin(of_each(birds, "build"), ["gull", "duck", "heron"])
    assert set(names[sea]) == {"sky", "water"}
    assert set(names[~sea]) == {"forest", "meadow"}
    assert 0.4 < sea.mean() < 0.6
    for species in birds.classes.values():
        assert sum(species.background_weights) == pytest.approx(1)
    both = [len(set(birds.backgrounds[birds.labels == c])) == 2 for c in birds.classes]
    assert np.mean(both) > 0.5
    shuffled = np.random.default_rng(0).permutation(birds.backgrounds)
    information = mutual_info_score(birds.labels, birds.backgrounds)
    assert information > mutual_info_score(birds.labels, shuffled) + 0.3


def test_captions_never_mention_the_background(birds: Drawn[Species]) -> None:
    words = set(re.findall(r"[a-z]+", " ".join(birds.captions.ravel())))
    telling = {"sea", "ocean", "lake", "cloud", "clouds", "wave", "waves", "tree", "branch", "leaf", "leaves", "grass"}
    telling |= {"wood", "field", "ground", "background", "behind", "flying", "swimming", "sitting", "perched"}
    assert not words & (set(BACKGROUNDS) | telling)
    assert not any("sea" in word or "song" in word for word in words)


def test_captions_agree_with_the_factors(birds: Drawn[Species]) -> None:
    """Colours and shapes are those of the species; something is left out now and then."""
    mentions = {"wing": [], "bill": []}
    for label, captions in zip(birds.labels, birds.captions, strict=True):
        species = birds.classes[label]
        build = BUILDS[species.build]
        foreign = {word for other in BUILDS.values() for word in other.bills} - {*build.bills}
        for caption in captions:
            words = set(re.findall(r"[a-z]+", caption))
            assert species.body in words
            assert words & set(COLOURS) <= {species.body, species.wing, species.bill}
            told = re.search(r"a ([a-z ]+) [a-z]+ bill|beak is ([a-z ]+)\.|bill is [a-z]+ and ([a-z ]+)\.", caption)
            assert told is None or not {*told.groups()} & foreign
            mentions["wing"].append(f"{species.wing} wings" in caption)
            mentions["bill"].append(species.bill in words)
    assert 0.5 < np.mean(mentions["wing"]) < 0.95
    assert 0.4 < np.mean(mentions["bill"]) < 0.95
    assert np.mean([len(set(captions)) for captions in birds.captions]) > 8


def test_images_show_what_captions_say_and_what_they_do_not(birds: Drawn[Species]) -> None:
    """A linear probe reads every factor off small images of species that it has not seen."""
    features, train = thumbnails(birds), np.tile(np.isin(birds.labels, CLASSES["train"]), 2)
    factors = {factor: of_each(birds, factor) for factor in ("build", "body", "wing", "bill")}
    factors["background"] = birds.backgrounds
    found = {factor: accuracy(features, np.tile(values, 2), train) for factor, values in factors.items()}
    least = {"build": 0.6, "body": 0.9, "wing": 0.85, "bill": 0.4, "background": 0.95}
    assert {factor for factor in found if found[factor] < least[factor]} == set(), found


def test_images_show_the_species(birds: Drawn[Species]) -> None:
    """One of two hundred, from three other images of each."""
    rows = np.arange(2 * len(birds.labels))
    assert accuracy(thumbnails(birds), np.tile(birds.labels, 2), rows % PER_CLASS > 0) > 40 / 200


def test_loading_gives_three_splits() -> None:
    options = {"images_per_class": 1, "seed": 3}
    data = drawn_birds.load(DatasetSpec("cub", "drawn", options), None)
    assert data.stand_in
    assert "birds drawn by the package" in data.description
    assert {split: len(part["x1"]) for split, part in data.splits.items()} == {"train": 111, "val": 39, "test": 50}
    assert set(data.splits["train"]["labels"]) == set(range(111))  # a classifier of training classes has 111 outputs
    for split, part in data.splits.items():
        numbers = {int(data.classes[label].removeprefix("class_")) for label in part["labels"]}
        assert numbers == set(CLASSES[split])
        assert not set(part) & {"x1_features", "x2"}  # which networks make
    assert data.constants == {}
    assert not data.notes


def test_features_of_photographs_are_not_available() -> None:
    for option, value in (("caption_features", "char_cnn_rnn"), ("image_features", "res101")):
        with pytest.raises(InputError, match=rf"drawn.*{option}: '{value}'"):
            drawn_birds.load(DatasetSpec("cub", "drawn", {option: value}), None)
