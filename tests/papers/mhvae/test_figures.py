"""Fig. 4: panels in the paper's order, grey images as grey, and what is drawn when something is missing."""

import numpy as np
import pytest

from papers.mhvae.figures import RUNS, fig4_mhvae_samples
from shared.errors import InputError
from shared.report.drawing import mosaic


def samples(condition, channels=1, size=28):
    rng = np.random.default_rng(0)
    return {
        "conditions": np.array([condition]),
        "given": rng.integers(0, 255, (1, 64, channels, size, size), dtype=np.uint8),
        "prior": rng.integers(0, 255, (64, channels, size, size), dtype=np.uint8),
    }


def texts(figure):
    return [text.get_text() for text in figure.texts]


def test_six_panels_with_their_conditions_and_the_margin():
    all_runs = dict(zip(RUNS, (samples("3"), samples("Sneaker"), samples("Male, Smiling", 3, 64)), strict=True))
    figure = fig4_mhvae_samples(all_runs, "scale: demo")
    assert [text[:3] for text in texts(figure)] == ["(a)", "(d)", "(b)", "(e)", "(c)", "(f)", "sca"]
    assert "{Male, Smiling}" in texts(figure)[4]
    drawn = [axes.get_images()[0].get_array() for axes in figure.axes]
    assert [each.shape for each in drawn] == [(8 * 28 + 14, 8 * 28 + 14, 3)] * 4 + [(8 * 64 + 14, 8 * 64 + 14, 3)] * 2
    np.testing.assert_array_equal(
        drawn[0][:28, :28], np.repeat(all_runs["mnist/mhvae"]["given"][0, 0].transpose(1, 2, 0), 3, 2)
    )
    np.testing.assert_array_equal(drawn[5][:64, 66:130], all_runs["celeba/mhvae"]["prior"][1].transpose(1, 2, 0))


@pytest.mark.parametrize("arrays", [None, {"data": np.array("a run that diverged")}])
def test_missing_runs_are_not_run(arrays):
    given = {"mnist/mhvae": samples("3")} | ({"celeba/mhvae": arrays} if arrays else {})
    assert texts(fig4_mhvae_samples(given, "")).count("not run") == 4


def test_no_samples_are_one_line():
    with pytest.raises(InputError, match="none given"):
        fig4_mhvae_samples({}, "")


def test_mosaic_repeats_grey_and_leaves_white():
    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 2, 2), np.uint8)
    canvas = mosaic(images, per_line=3, gap=1)
    assert canvas.shape == (5, 8, 3)
    assert [canvas[y, x].tolist() for y, x in ((0, 0), (0, 3), (3, 4))] == [[0] * 3, [1] * 3, [4] * 3]
    assert (canvas[3:, 6:] == 255).all()
    assert (canvas[2] == 255).all()
    assert mosaic(images, 2, 2, gap=0).shape == (4, 4, 3)
