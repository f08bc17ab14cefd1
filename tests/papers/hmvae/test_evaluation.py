"""The protocol of section 4.3 on a model whose answers are known, with pixels as features."""

import json
import re

import numpy as np
import pytest
import torch

from papers.hmvae import evaluation
from papers.hmvae.evaluation import Conditional, at_means, evaluate, generate, spread, variant
from shared.data.arrays import Split
from shared.errors import InputError
from shared.metrics.features import FeatureExtractor
from shared.models.contract import Likelihood
from shared.models.distributions import Prior, diagonal
from shared.models.objectives import KLWeight
from shared.models.shared_latent import SharedLatentVAE
from tests.contexts import Given
from tests.linear_gaussian import LinearGaussian, X, assert_mean, exact_hmvae
from tests.linear_gaussian import generator as seeded
from tests.repository import describe

CPU = torch.device("cpu")
COUNT = 40
SETTINGS = {
    "neighbours": 3,
    "variance_samples": 5,
    "variance_captions": 10,
    "listening_samples": 2,
    "figure_captions": 4,
    "figure_samples": 6,
    "figure_unconditional": 7,
}
IMAGE_METRICS = ["image/fid", "image/precision", "image/recall", "image/f1", "image/variance"]
CAPTION_METRICS = [f"{key}/{name}" for key in ("caption", "caption_drawn") for name in ("precision", "recall", "f1")]


class Pixels(FeatureExtractor):
    name = "pixel features"
    pretrained = False
    dimension = 3 * 2 * 2

    def __init__(self):
        super().__init__(torch.nn.Identity(), CPU, batch=7)

    def _features(self, images):
        return images.flatten(start_dim=1)


class PretrainedPixels(Pixels):
    name = "pretrained pixel features"
    pretrained = True


class AsDecoded(Likelihood):
    log_prob = None

    def mean(self, parameters):
        return parameters

    def sample(self, parameters, generator):
        return parameters


AsDecoded.__abstractmethods__ = frozenset()


class Answers(SharedLatentVAE):
    """Decodes to what `image` and `caption` say of the index of a condition and of noise, and keeps what it was asked.

    The first caption feature of test sample i is i, and so is 1000 times the first pixel of its image: q(g | .) is
    (i, a number in [0, 1]). Below g there are three levels whose noise is normal and whose prior mean is 0. Given
    nothing, it answers for the first samples.
    """

    def __init__(self, image, caption):
        super().__init__({"image": AsDecoded(), "caption": AsDecoded()}, Prior(2), KLWeight())
        self.answers = {"image": image, "caption": caption}
        self.asked = []

    def sample_latents(self, given, samples, generator, targets=None, batch=None):
        index = torch.arange(batch or 0)
        for condition, x in given.items():
            first = x.flatten(start_dim=1)[:, 0]
            index = (first * 1000).round().long() if condition == "image" else first.long()
        self.asked += [(target, samples, index.tolist()) for target in targets if given]
        shared = torch.rand((samples, len(index)), generator=generator)
        own = {
            f"z_{target}_{level}": torch.rand((samples, len(index), 1), generator=generator)
            for target in targets
            for level in (3, 2, 1)
        }
        return {"g": torch.stack([index.expand(samples, -1), shared], dim=-1)} | own, None

    def levels(self, m):
        return range(3, 0, -1)

    def conditionals(self, m, level, state, evidence, samples):
        zero = torch.zeros(len(state), 1)
        return diagonal(zero, zero + 1), None

    def decoder_output(self, m, g, state):
        return self.answers[m](g[:, 0].long(), g[:, 1], state[:, 0])

    def encode(self, given):
        raise NotImplementedError


@pytest.fixture
def held_out():
    """Images (40, 3, 2, 2) and captions (40, 5), different for each of the 40 samples."""
    rng = torch.Generator().manual_seed(0)
    images = torch.rand((COUNT, 3, 2, 2), generator=rng)
    captions = torch.randn((COUNT, 5), generator=rng)
    images[:, 0, 0, 0] = torch.arange(COUNT) / 1000
    captions[:, 0] = torch.arange(COUNT)
    return Split({"image": images, "caption": captions, "labels": torch.arange(COUNT) // 10})


@pytest.fixture
def perfect(held_out):
    """A model that knows the test split by heart."""
    return Answers(
        lambda index, shared, own: held_out.tensors["image"][index],
        lambda index, shared, own: held_out.tensors["caption"][index],
    )


def generators(*purpose):
    return torch.Generator().manual_seed(sum(map(ord, purpose[0])))


@pytest.fixture
def evaluated(tmp_path, monkeypatch):
    """evaluate() of a model on a split, with the data set's captions as `shared.stages.prepare` writes them.

    Without what needs a model's posterior, which has tests of its own.
    """
    monkeypatch.setattr(evaluation, "listening", lambda context, samples: ([], {}))
    texts = np.array([[f"caption {i} {j}" for j in range(10)] for i in range(COUNT)])
    np.save(tmp_path / "captions_test.npy", texts)

    def evaluated(model, split, caption_features="char-CNN-RNN", extractors=None, **changes):
        describe(tmp_path, caption_features=caption_features)
        extractors = extractors or dict.fromkeys(("fid", "manifold"), Pixels())
        return evaluate(Given(model, split, generators, tmp_path, extractors, **(SETTINGS | changes)))

    return evaluated


def values(result, variant=""):
    return {row["key"]: row["value"] for row in result.metrics if row["variant"] == variant}


def test_a_model_that_knows_the_held_out_by_heart_is_perfect(evaluated, perfect, held_out):
    found = values(evaluated(perfect, held_out))
    assert found["image/fid"] == pytest.approx(0, abs=1e-6)
    for key in ("image/precision", "image/recall", "image/f1", *CAPTION_METRICS):
        assert found[key] == 100
    assert found["image/variance"] == 0  # it has one image for each caption


def test_a_model_that_ignores_its_condition(evaluated, held_out):
    mean_image, mean_caption = (held_out.tensors[name].mean(dim=0) for name in ("image", "caption"))
    constant = Answers(
        lambda index, shared, own: mean_image.expand(*index.shape, 3, 2, 2),
        lambda index, shared, own: mean_caption.expand(*index.shape, 5),
    )
    found = values(evaluated(constant, held_out))
    # equal means, and a covariance of zero: what remains is the trace of the real one
    real = held_out.tensors["image"].flatten(start_dim=1).double().numpy()
    assert found["image/fid"] == pytest.approx(np.trace(np.cov(real.T)), rel=1e-4)
    assert found["image/recall"] == found["caption/recall"] == 0
    assert found["image/variance"] == pytest.approx(0, abs=1e-12)


def test_captions_are_scored_as_means_and_as_draws(evaluated, perfect, held_out, monkeypatch):
    """Draws that are far from every caption leave the means' metrics as they were."""
    before = values(evaluated(perfect, held_out))
    monkeypatch.setattr(AsDecoded, "sample", lambda self, parameters, generator: parameters + 1000)
    after = values(evaluated(perfect, held_out))
    assert {key for key in before if before[key] != after[key]} == {
        f"caption_drawn/{name}" for name in ("precision", "recall", "f1")
    }
    assert after["caption_drawn/precision"] == 0


def test_variance_is_that_of_samples_that_share_a_caption(evaluated, held_out):
    """Every pixel is the caption's own constant plus uniform noise: variance 1/12 of samples, not of captions."""
    noisy = Answers(
        lambda index, shared, own: (0.5 * index / COUNT + 0.5 * own)[..., None, None, None].expand(
            *index.shape, 3, 2, 2
        ),
        lambda index, shared, own: held_out.tensors["caption"][index],
    )
    found = values(evaluated(noisy, held_out, variance_samples=400, variance_captions="all"))
    assert found["image/variance"] == pytest.approx(0.25 / 12, rel=0.05)


def test_each_way_to_generate_is_a_variant(evaluated, perfect, held_out):
    result = evaluated(perfect, held_out, image_means=[[1], [1, 2], [1, 2, 3]], caption_means=[[1]])
    found = [(row["key"], row["variant"]) for row in result.metrics]
    assert found == [
        *[(key, name) for name in ("", "mean:1", "mean:1-2", "mean:1-3") for key in IMAGE_METRICS],
        *[(key, name) for name in ("", "mean:1") for key in CAPTION_METRICS],
    ]
    assert [variant(means) for means in ([], [1], [1, 2, 3, 4])] == ["", "mean:1", "mean:1-4"]
    ways = [samples for target, samples, _ in perfect.asked if target == "image"]
    assert ways.count(SETTINGS["figure_samples"]) == 4


@pytest.mark.parametrize("levels", ["[1, 3]", "[2]", "[2, 1]"])
def test_only_the_lowest_levels_can_be_at_their_means(evaluated, perfect, held_out, levels):
    """Samples below a mean would come from the prior given another value above them."""
    with pytest.raises(InputError, match=rf"\A[^\n]*{re.escape(levels)}[^\n]*without a gap[^\n]*\Z"):
        evaluated(perfect, held_out, image_means=[json.loads(levels)])


def without_noise(p, levels, m):
    """The prior of a modality's chain with some of its variables at their conditional means."""
    chain, above = LinearGaussian().add("g", np.zeros(1), np.ones(1)), "g"
    for level in range(sum(name.startswith(f"z_{m}") for name in p.where), 0, -1):
        weight, bias, cov = p.regression(f"z_{m}_{level}", [above])
        above = f"z_{m}_{level}"
        scale = np.zeros(1) if level in levels else np.sqrt(cov[0])
        parent = "g" if len(chain.where) == 1 else f"z_{m}_{level + 1}"
        chain.add(above, bias, scale, **{parent: weight})
    weight, bias, _ = p.regression(m, [above])
    return chain.add(m, bias, np.zeros(len(bias)), **{above: weight})


@pytest.mark.parametrize("levels", [(), (1,), (1, 2), (1, 2, 3, 4)])
def test_means_replace_the_noise_of_their_levels_only(levels):
    toy = exact_hmvae({"a": 5, "b": 2}, seed=4)
    truth = without_noise(toy.p, levels, "a")
    with torch.no_grad():
        latents, _ = toy.model.sample_latents({}, 1, seeded(), ["a"], batch=20_000)
        parameters = toy.model.decode(at_means(toy.model, latents, "a", levels), ["a"])
        (generated,) = toy.model.likelihoods["a"].mean(parameters["a"])
    direction, where = np.random.default_rng(0).normal(size=X), truth.where["a"]
    along = (generated.numpy() - truth.mean[where]) @ direction
    variance = direction @ truth.cov[np.ix_(where, where)] @ direction
    assert_mean(along, 0.0, precision=0.1)
    assert_mean(along**2, variance, precision=0.02 * variance)


def test_means_of_all_levels_leave_no_randomness_but_that_of_g():
    toy = exact_hmvae({"a": 5, "b": 2}, seed=5)
    weight, bias, _ = toy.p.regression("a", ["g"])
    with torch.no_grad():
        g, _ = toy.model.sample_latents(toy.batch(4, "b"), 3, seeded(), [])
        generated = generate(toy.model, toy.batch(4, "b"), "a", 3, seeded(), (1, 2, 3, 4))
    np.testing.assert_allclose(generated.numpy(), g["g"].numpy() @ weight.T + bias)  # the same noise draws the same g


def test_means_take_the_place_of_samples_in_their_variant_only(evaluated, held_out):
    model = Answers(
        lambda index, shared, own: (0.0 * index + own)[..., None, None, None].expand(*index.shape, 3, 2, 2),
        lambda index, shared, own: held_out.tensors["caption"][index],
    )
    result = evaluated(model, held_out, image_means=[[1]])
    assert values(result)["image/variance"] > 0.01
    assert values(result, "mean:1")["image/variance"] == 0


@pytest.mark.parametrize("chunk", [1, 7, 40, 1000])
def test_chunks_cover_every_condition_once(perfect, held_out, chunk, monkeypatch):
    monkeypatch.setattr(evaluation, "CHUNK", chunk)
    for samples, points in ((1, COUNT), (3, 11), (5, COUNT)):
        perfect.asked.clear()
        fake = Conditional(perfect, held_out, "caption", "image", [])
        pieces = list(fake.chunks(samples, points, generators("x")))
        asked = [i for _, _, index in perfect.asked for i in index]
        assert asked == sorted(set(asked))
        assert len(asked) == points
        assert torch.cat(pieces, dim=1).shape == (samples, points, 3, 2, 2)
        assert all(piece.shape[0] * piece.shape[1] <= max(chunk, samples) for piece in pieces)
        torch.testing.assert_close(torch.cat(pieces, dim=1)[-1], held_out.tensors["image"][asked])


def test_nothing_grows_with_the_held_out(evaluated, perfect, held_out, monkeypatch):
    monkeypatch.setattr(evaluation, "CHUNK", 8)
    evaluated(perfect, held_out, variance_captions="all")
    metrics = perfect.asked[:-1]  # the last are the figure's few samples
    assert max(samples * len(index) for _, samples, index in metrics) <= 8
    assert not torch.is_inference_mode_enabled()


def test_the_number_of_captions_for_the_variance(evaluated, perfect, held_out):
    for wanted, used in ((10, 10), (1000, COUNT), ("all", COUNT)):
        perfect.asked.clear()
        result = evaluated(perfect, held_out, variance_captions=wanted)
        asked = [index for target, samples, index in perfect.asked if target == "image" and samples == 5]
        assert sum(map(len, asked)) == used
        words = "all" if used == COUNT else str(used)
        assert f"variance over 5 samples for {words} captions" in result.protocol


def test_few_captions_still_come_from_all_classes(evaluated, perfect, held_out):
    evaluated(perfect, held_out, variance_captions=4)
    (asked,) = [index for target, samples, index in perfect.asked if target == "image" and samples == 5]
    assert held_out.tensors["labels"][asked].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("points", "total", "expected"), [(1, 5, [2]), (2, 8, [2, 6]), (3, 3, [0, 1, 2]), (2, 3, [0, 2])]
)
def test_indices_are_spread_evenly(points, total, expected):
    assert spread(points, total).tolist() == expected


def test_the_same_generators_give_the_same_numbers(evaluated, held_out):
    model = Answers(
        lambda index, shared, own: (0.5 * shared + 0.5 * own)[..., None, None, None].expand(*index.shape, 3, 2, 2),
        lambda index, shared, own: held_out.tensors["caption"][index] + own[..., None],
    )
    first, second = evaluated(model, held_out), evaluated(model, held_out)
    assert first.metrics == second.metrics
    for name, array in first.samples.items():
        np.testing.assert_array_equal(array, second.samples[name])
    alone = evaluated(model, held_out, figure_samples=1, variance_samples=9)
    for key in ("image/fid", "caption/recall"):  # purposes have generators of their own
        assert values(alone)[key] == values(first)[key]


def test_a_metric_with_substitute_features_names_them(evaluated, perfect, held_out):
    def features(*arguments):
        return {row["key"]: row.get("features") for row in evaluated(perfect, held_out, *arguments).metrics}

    own = PretrainedPixels()
    assert set(features("char-CNN-RNN", {"fid": own, "manifold": own}).values()) == {None}
    ours = features("char-CNN-RNN trained here", {"fid": Pixels(), "manifold": own})
    assert ours["image/fid"] == "pixel features"
    assert ours["image/recall"] is None
    assert ours["caption/recall"] == "char-CNN-RNN trained here features"


def test_the_protocol_names_features_and_neighbours(evaluated, perfect, held_out):
    extractors = {"fid": PretrainedPixels(), "manifold": Pixels()}
    protocol = evaluated(perfect, held_out, extractors=extractors, neighbours=4).protocol
    assert "FID with pretrained pixel features" in protocol
    assert "4 nearest neighbours in pixel features" in protocol
    assert "\n" not in protocol


def test_every_row_says_what_it_measured(evaluated, perfect, held_out):
    for row in evaluated(perfect, held_out).metrics:
        assert set(row) == {"key", "variant", "value", "unit", "samples", "features"} - (
            set() if row["key"].startswith("image") else {"features"}
        )
        assert isinstance(row["value"], float)
        assert row["samples"] == COUNT
        assert row["unit"] == ("" if row["key"] in ("image/fid", "image/variance") else "%")


def test_figure_samples_differ_by_the_hierarchy_alone(evaluated, held_out):
    def image(index, shared, own):
        channels = torch.stack([shared.expand(index.shape), own.expand(index.shape), index / COUNT], dim=-1)
        return channels[..., None, None].expand(*channels.shape, 2, 2)

    model = Answers(image, lambda index, shared, own: held_out.tensors["caption"][index])
    samples = evaluated(model, held_out, image_means=[[1], [1, 2]]).samples
    assert {*filter(lambda name: not name.startswith("unconditional"), samples)} == {
        *("captions", "real", "given_x2", "given_x2_mean_1", "given_x2_mean_1-2")
    }
    assert all(array.dtype == np.uint8 for name, array in samples.items() if not name.endswith("captions"))
    normal, mean = samples["given_x2"], samples["given_x2_mean_1"]
    assert normal.shape == mean.shape == (4, 6, 3, 2, 2)
    np.testing.assert_array_equal(normal[:, :, 0], mean[:, :, 0])  # g
    assert len(np.unique(normal[:, :, 0])) > 10
    assert len(np.unique(normal[:, :, 1])) > 10
    assert np.unique(mean[:, :, 1]).tolist() == [0]


def test_figure_conditions_are_spread_over_the_held_out_and_belong_together(evaluated, perfect, held_out):
    samples = evaluated(perfect, held_out).samples
    asked = perfect.asked[-1][2]
    assert len(set(asked)) == 4
    assert min(asked) < COUNT / 4
    assert max(asked) > 3 * COUNT / 4
    assert samples["captions"].tolist() == [f"caption {i} 0" for i in asked]
    expected = (held_out.tensors["image"][asked] * 255).round().to(torch.uint8).numpy()
    np.testing.assert_array_equal(samples["real"], expected)
    np.testing.assert_array_equal(samples["given_x2"], np.repeat(expected[:, None], 6, axis=1))


def test_unconditional_images_and_captions_are_of_one_g(evaluated, perfect, held_out):
    """A caption's features a bit off those of test sample i are nearest to i's; its image is i's."""
    off = Answers(
        lambda index, shared, own: held_out.tensors["image"][index],
        lambda index, shared, own: held_out.tensors["caption"][index] + 0.1 * own[:, None],
    )
    for model in (perfect, off):
        samples = evaluated(model, held_out).samples
        assert samples["unconditional_captions"].tolist() == [f"caption {i} 0" for i in range(7)]
        expected = (held_out.tensors["image"][:7] * 255).round().to(torch.uint8).numpy()
        np.testing.assert_array_equal(samples["unconditional_images"], expected)
