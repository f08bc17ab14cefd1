"""Figs. 7 and 10: a block of samples pixel by pixel, and what is drawn when something is missing."""

import numpy as np
import pytest

from papers.hmvae.figures import (
    DEEP,
    HIERARCHY,
    MODELS,
    fig7_oxford_flower_samples,
    fig10_oxford_flower_unconditional,
)
from papers.hmvae.panels import block
from shared.errors import InputError


def samples(seed=0, caption="a flower", **more):
    rng = np.random.default_rng(seed)
    return {
        "captions": np.array([caption, "another"]),
        "real": rng.integers(0, 255, (2, 3, 64, 64), dtype=np.uint8),
        "given_x2": rng.integers(0, 255, (2, 6, 3, 64, 64), dtype=np.uint8),
    } | more


def texts(figure):
    return [text.get_text() for text in figure.texts]


def test_block_places_samples_in_reading_order():
    images = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 4, 4), np.uint8)
    canvas = block(images, 6, 3)
    assert canvas.shape == (2 * 4 + 3, 3 * 4 + 2 * 3, 3)
    assert [int(canvas[y, x, 0]) for y in (0, 7) for x in (0, 7, 14)] == [0, 1, 2, 3, 4, 5]
    assert (canvas[4:7] == 255).all()


def test_fewer_samples_leave_white():
    canvas = block(np.zeros((4, 3, 4, 4), np.uint8), 6, 3)
    assert (canvas[7:, 7:] == 255).all()


def test_missing_models_and_variants_are_not_run():
    figure = fig7_oxford_flower_samples({"oxford_flower/mvae": samples()}, "scale: reduced")
    assert texts(figure).count("not run") == len(MODELS) - 1 + len(HIERARCHY)
    means = {key: samples(seed=1)["given_x2"] for key in HIERARCHY if key != "given_x2"}
    figure = fig7_oxford_flower_samples({key: samples(**means) for key in MODELS}, "scale: reduced")
    assert "not run" not in texts(figure)


def test_a_model_that_diverged_says_so_in_both_halves():
    lost = {}
    figure = fig7_oxford_flower_samples({"oxford_flower/mvae": samples(), DEEP: lost}, "scale: reduced")
    assert texts(figure).count("diverged") == 1 + len(HIERARCHY)
    assert texts(figure).count("not run") == len(MODELS) - 2
    assert texts(fig7_oxford_flower_samples({DEEP: lost}, "")).count("diverged") == 1 + len(HIERARCHY)


@pytest.mark.parametrize(
    ("run", "change", "message"),
    [
        ("oxford_flower/mvae", {"real": np.zeros((1, 3, 64, 64), np.uint8)}, "`real` is uint8"),
        ("oxford_flower/mvae", {"given_x2": np.zeros((2, 6, 64, 64), np.uint8)}, "`given_x2` is uint8"),
        (DEEP, {}, "no array `given_x2_mean_1`"),
    ],
)
def test_arrays_of_another_shape_are_one_line(run, change, message):
    with pytest.raises(InputError, match=f"{run}: {message}"):
        fig7_oxford_flower_samples({run: samples(**change)}, "")


def test_names_captions_and_margin():
    figure = fig7_oxford_flower_samples({"oxford_flower/mvae": samples(caption="costs $5")}, "scale: demo")
    assert {*MODELS.values(), *HIERARCHY.values(), "scale: demo", r"costs \$5"} <= set(texts(figure))


def test_models_with_other_captions_are_refused():
    with pytest.raises(InputError, match="different captions"):
        fig7_oxford_flower_samples({"oxford_flower/mvae": samples(), "oxford_flower/mmvae": samples(caption="b")}, "")
    with pytest.raises(InputError, match="none given"):
        fig7_oxford_flower_samples({}, "")


def unconditional(count, caption="a flower"):
    return {
        "unconditional_images": np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 8, 8), np.uint8),
        "unconditional_captions": np.array([f"{caption} {i}" for i in range(count)]),
    }


@pytest.mark.parametrize(("count", "captions"), [(40, 20), (7, 7), (1, 1)])
def test_unconditional_captions_stand_in_the_order_of_their_images(count, captions):
    figure = fig10_oxford_flower_unconditional({DEEP: unconditional(count, "costs $5")}, "scale: demo")
    shown = [text for text in texts(figure) if text.startswith("costs")]
    assert shown == [rf"costs \$5 {i}" for i in range(captions)]
    assert "scale: demo" in texts(figure)
    (image,) = (axes.images[0].get_array() for axes in figure.axes)
    assert [int(image[0, 11 * i, 0]) for i in range(min(count, 10))] == list(range(min(count, 10)))


def test_without_unconditional_samples_both_halves_say_why():
    assert texts(fig10_oxford_flower_unconditional({}, "")).count("not run") == 2
    assert texts(fig10_oxford_flower_unconditional({DEEP: {}}, "")).count("diverged") == 2
    with pytest.raises(InputError, match=f"{DEEP}: no array `unconditional_images`"):
        fig10_oxford_flower_unconditional({DEEP: samples()}, "")
    uneven = unconditional(3) | {"unconditional_captions": np.array(["one"])}
    with pytest.raises(InputError, match="`unconditional_captions` is"):
        fig10_oxford_flower_unconditional({DEEP: uneven}, "")
