"""Figs. 5, 6, 8 and 9: what is drawn where, and what is drawn when something is missing."""

import numpy as np
import pytest

from papers.hmvae.feature_figures import ALL, EXPERIMENTS, RUNS
from shared.errors import InputError

FIGURES = {figure.name.split("_")[0]: figure for figure in ALL}
COUNT, SAMPLES = 5, 10


def arrays(**more):
    """Conditions and neighbours whose grey values and words tell where they belong."""
    made = {"chance": np.array(4.6)}
    for split, first in (("test", 0), ("train", 100)):
        rows = first + np.arange(COUNT)
        made[f"{split}_images"] = np.broadcast_to(rows.astype(np.uint8)[:, None, None, None], (COUNT, 3, 4, 4))
        made[f"{split}_captions"] = np.array([f"{split} condition {row}" for row in range(COUNT)])
        grey = (20 * np.arange(COUNT)[:, None] + np.arange(SAMPLES)).astype(np.uint8)
        made[f"{split}_image_neighbours"] = np.broadcast_to(grey[..., None, None, None], (COUNT, SAMPLES, 3, 4, 4))
    made["test_caption_neighbours"] = np.array([[f"near {c}, {k}" for k in range(SAMPLES)] for c in range(COUNT)])
    made |= {"image_shares": np.array([12.3, 45.6]), "caption_shares": np.array([78.9, 10.0])}
    return made | more


def drawn(figure, **changes):
    return figure.draw({run: arrays() for run in RUNS} | changes, "scale: demo")


def texts(picture):
    return [text.get_text().replace("\n", " ") for text in picture.texts]


def blocks(picture):
    """The upper left grey value of every image of the page."""
    return [int(image.get_array()[0, 0, 0]) for axes in picture.axes for image in axes.images]


@pytest.mark.parametrize("name", FIGURES)
def test_every_model_of_both_data_sets_is_there(name):
    picture = drawn(FIGURES[name])
    assert not {"not run", "diverged"} & set(texts(picture))
    assert "scale: demo" in texts(picture)
    for data_set in EXPERIMENTS.values():
        assert any(data_set in text for text in texts(picture))


@pytest.mark.parametrize(
    ("name", "split", "rows"),
    [("fig5", "test", (0, 2, 4)), ("fig6", "test", (0, 2, 4)), ("fig8", "train", (1, 3)), ("fig8", "test", (1, 3))],
)
def test_the_further_figures_show_other_conditions(name, split, rows):
    shown = [text for text in texts(drawn(FIGURES[name])) if text.startswith(f"{split} condition")]
    assert shown == 2 * [f"{split} condition {row}" for row in rows]


def test_images_stand_in_the_rows_of_their_conditions():
    shown = blocks(drawn(FIGURES["fig5"]))
    assert shown == 2 * ([0, 2, 4] + 3 * [0, 40, 80])  # the conditions' own, then each model's first neighbour
    shown = blocks(drawn(FIGURES["fig8"]))
    assert shown == 2 * ([101, 103] + 3 * [20, 60]) + 2 * ([1, 3] + 3 * [20, 60])


def test_captions_stand_in_the_rows_of_their_conditions():
    shown = [text for text in texts(drawn(FIGURES["fig9"])) if "near" in text]
    assert shown == 6 * [f"• near {row}, {k}" for row in (1, 3) for k in range(5)]


def test_columns_say_how_coherent_and_how_varied_they_are():
    assert "MMVAE of its class 12 %, distinct 46 %" in texts(drawn(FIGURES["fig5"]))
    assert "HMVAE of its class 79 %, distinct 10 %" in texts(drawn(FIGURES["fig6"]))
    assert any("by chance 5 %" in text for text in texts(drawn(FIGURES["fig6"])))
    assert not any("%" in text for text in texts(drawn(FIGURES["fig8"])))


def test_long_captions_are_trimmed_to_their_lines():
    long = np.full((COUNT, SAMPLES), "word " * 60)
    picture = drawn(FIGURES["fig9"], **{RUNS[0]: arrays(test_caption_neighbours=long)})
    trimmed = [text.get_text() for text in picture.texts if "word" in text.get_text()]
    assert len(trimmed) == 2 * 5
    assert all(text.count("\n") == 1 and text.endswith("…") for text in trimmed)


def test_what_is_missing_says_why():
    for name, panels in (("fig5", 1), ("fig8", 2)):
        picture = FIGURES[name].draw({RUNS[0]: arrays(), RUNS[1]: {}}, "")
        assert texts(picture).count("not run") == 4 * panels
        assert texts(picture).count("diverged") == panels


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test_images": np.zeros((1, 3, 4, 4), np.uint8)}, "`test_images` is uint8"),
        ({"test_image_neighbours": np.zeros((COUNT, 3, 4, 4), np.uint8)}, "`test_image_neighbours` is uint8"),
        ({"test_captions": np.full(COUNT, "another")}, "have different captions"),
        ({"image_shares": np.array([1.0, 2.0, 3.0])}, "mmvae: `image_shares` are not two; evaluate this run again"),
    ],
)
def test_arrays_that_do_not_fit_are_one_line(changes, message):
    with pytest.raises(InputError, match=message):
        drawn(FIGURES["fig5"], **{RUNS[1]: arrays(**changes)})
    with pytest.raises(InputError, match="none given"):
        FIGURES["fig5"].draw({}, "")


@pytest.mark.parametrize(("name", "split"), [("fig8", "train"), ("fig9", "test")])
@pytest.mark.parametrize("runs", [RUNS, RUNS[1:]])
def test_too_few_conditions_for_a_figure_are_one_line(name, split, runs):
    one = {key: array[:1] if array.ndim and len(array) == COUNT else array for key, array in arrays().items()}
    with pytest.raises(InputError, match=rf"\A--samples: m+vae: `{split}_captions` has too few conditions[^\n]*\Z"):
        FIGURES[name].draw(dict.fromkeys(runs, one), "")
    FIGURES[name].draw({run: {k: a[:2] if a.ndim else a for k, a in arrays().items()} for run in runs}, "")
