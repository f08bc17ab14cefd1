"""Fig. 4: panels in the paper's order, grey images as grey, and what is drawn when something is missing."""

from io import BytesIO

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


def test_a_run_that_was_not_made_and_one_that_diverged_say_so():
    given = {"mnist/mhvae": samples("3"), "celeba/mhvae": {}}  # as a run that diverged leaves
    shown = texts(fig4_mhvae_samples(given, ""))
    assert shown.count("not run") == shown.count("diverged") == 2
    assert shown.index("not run") < shown.index("diverged")
    assert texts(fig4_mhvae_samples({"celeba/mhvae": {}}, "")).count("diverged") == 2


GOOD = samples("3")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conditions": None}, "no array `conditions`"),
        ({"prior": None}, "no array `prior`"),
        ({"conditions": np.array("3")}, "`conditions` is"),
        ({"given": GOOD["given"][0]}, r"`given` is uint8 \(64, 1, 28, 28\), not \(P, K, C, H, W\)"),
        ({"given": GOOD["given"][:0]}, "`given` is uint8"),
        ({"given": GOOD["given"].repeat(2, 0)}, "P = 1"),
        ({"given": GOOD["given"] / 255}, "`given` is float64"),
        ({"prior": GOOD["prior"].repeat(2, 1), "given": GOOD["given"].repeat(2, 2)}, "C = 1 or 3"),
    ],
)
def test_arrays_of_another_shape_are_one_line(change, message):
    arrays = {name: array for name, array in (GOOD | change).items() if array is not None}
    with pytest.raises(InputError, match=f"mnist/mhvae: .*{message}.*evaluate this run again") as error:
        fig4_mhvae_samples({"mnist/mhvae": arrays}, "")
    assert "\n" not in str(error.value)


def test_a_dollar_sign_is_no_mathematics():
    given = {"mnist/mhvae": samples("$3 and $x^")}
    figure = fig4_mhvae_samples(given, "data for $5_")
    figure.savefig(BytesIO())  # where matplotlib reads mathematics
    assert r"{\$3 and \$x^}" in texts(figure)[0]


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
