"""Whether a model listens to the caption: bounds against exact ones, colours on cases worked out by hand."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from papers.hmvae import listening as module
from papers.hmvae.listening import bound, chroma, colour_fidelity, elbo, listening
from papers.hmvae.model import UniformDropoutMHVAE
from shared.data.arrays import Split
from shared.errors import InputError
from tests.contexts import Given
from tests.linear_gaussian import assert_mean, exact_hmvae, generator, hmvae, mdvae, mhvae, mmvae, mvae


@pytest.mark.parametrize("given", ["a", "b", "ab"])
@pytest.mark.parametrize(
    "build", [lambda: hmvae({"a": 3, "b": 2}, residual=True), mdvae, lambda: mhvae(UniformDropoutMHVAE), mmvae, mvae]
)
def test_elbo_of_any_modalities(build, given):
    toy = build()
    with torch.no_grad():
        values = elbo(toy.model, toy.batch(20_000, *given), 2, generator())
    assert_mean(values, toy.bound(*given).elbo, precision=0.1)


@pytest.mark.parametrize("depth", [2, 4])
def test_bound_given_another_modality(depth):
    """With the true posteriors below g it is E_q(g | x_b) log p(x_a | g), a normal's expected log density."""
    toy = exact_hmvae({"a": depth, "b": 2}, seed=1)
    to_g, bias, var = toy.p.regression("g", ["b"])
    to_x, offset, cov = toy.p.regression("a", ["g"])
    mean = to_x @ (to_g @ toy.x["b"] + bias) + offset
    expected = multivariate_normal(mean, cov).logpdf(toy.x["a"])
    expected -= 0.5 * np.trace(np.linalg.solve(cov, to_x @ var @ to_x.T))
    with torch.no_grad():
        values = bound(toy.model, toy.batch(20_000, "b"), toy.batch(20_000, "a"), 2, generator())
    assert_mean(values, expected, precision=0.05)


def test_chroma_is_of_the_centre():
    """Yellow in the middle half of each side, blue around it."""
    image = torch.zeros(3, 8, 8)
    image[2] = 1.0
    image[:, 2:6, 2:6] = torch.tensor([1.0, 0.5, 0.0]).view(3, 1, 1)
    assert chroma(image).tolist() == [0.5, -0.75]
    assert chroma(image.expand(4, 5, 3, 8, 8)).shape == (4, 5, 2)


def samples_of(real, between, within, seed=0):
    """Chroma (K, B, 2): `between` times that of the caption plus noise of the standard deviation `within`."""
    noise = np.random.default_rng(seed).standard_normal((6, *real.shape))
    return between * real + within * torch.from_numpy(noise)


@pytest.mark.parametrize(
    ("between", "within", "correlation", "share"),
    [(1.0, 0.0, 1.0, 1.0), (-2.0, 0.0, -1.0, 1.0), (0.0, 1.0, 0.0, 0.0), (1.0, 1.0, (6 / 7) ** 0.5, 0.5), (0, 0, 0, 0)],
)
def test_colour_fidelity(between, within, correlation, share):
    """Samples s * real + w * noise: real explains s² of the variance s² + w²/6 of their mean; share s²/(s² + w²)."""
    real = torch.from_numpy(np.random.default_rng(1).standard_normal((20_000, 2)))
    r, part = colour_fidelity(real, samples_of(real, between, within))
    np.testing.assert_allclose(r, correlation, atol=0.02)
    np.testing.assert_allclose(part, share, atol=0.02)


class Painter:
    """Paints every image in the colour that its caption names, or in none; each caption nat is worth its number."""

    modalities = ("image", "caption")

    def __init__(self, listens):
        self.listens = listens

    def generate(self, given, targets, samples, noise):
        tone = given["caption"][:, :1].expand(-1, 3) * torch.tensor([1.0, 0.0, 1.0]) * self.listens
        return {"image": tone.view(1, -1, 3, 1, 1).expand(samples, -1, 3, 4, 4)}


@pytest.fixture
def four_classes():
    """Twelve points of four classes, out of order; red and blue say which class."""
    labels = torch.tensor([3, 0, 1, 2] * 3)
    tone = labels / 4
    images = torch.stack([tone, 0 * tone, tone], dim=1).view(-1, 3, 1, 1).expand(-1, 3, 4, 4)
    return Split({"image": images, "caption": tone.unsqueeze(1), "labels": labels})


@pytest.mark.parametrize("listens", [True, False])
def test_a_model_that_listens_and_one_that_does_not(monkeypatch, four_classes, listens):
    def agreement(model, given, x, samples, noise):
        """0 for the caption's own image, and the distance of their colours otherwise."""
        return -listens * (given["caption"][:, 0] - x["image"][:, 0, 0, 0]).abs()

    monkeypatch.setattr(module, "bound", agreement)
    monkeypatch.setattr(
        module, "elbo", lambda model, x, samples, noise: torch.full((len(next(iter(x.values()))),), -len(x))
    )
    monkeypatch.setattr(module, "BATCH", 5)
    context = Given(Painter(listens), four_classes, lambda *purpose: None)
    rows, points = listening(context, 2)
    values = {row["key"]: row["value"] for row in rows}
    assert [values[f"elbo/{x}"] for x in ("both", "image", "caption")] == [-2, -1, -1]
    assert values["listening/caption_nats"] == (0.5 if listens else 0)  # two classes further on in the order of classes
    assert points["listening/caption_nats", ""].shape == (12,)
    for axis in ("red_green", "blue_yellow"):
        assert values[f"listening/colour_{axis}"] == pytest.approx(float(listens))
        assert values[f"listening/share_{axis}"] == pytest.approx(float(listens))


def test_one_sample_is_too_few(four_classes):
    with pytest.raises(InputError, match="listening_samples: 1: "):
        listening(Given(Painter(True), four_classes, generator), 1)
