"""The likelihoods of App. B on models whose likelihoods are known, and the neighbours of what they generate."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from papers.hmvae import feature_evaluation
from papers.hmvae.feature_evaluation import (
    chance_of_class,
    evaluate,
    generate,
    likelihoods,
    neighbour_shares,
    neighbours,
    substitutes,
)
from papers.hmvae.tables import TABLES
from shared.data.arrays import Split
from shared.errors import InputError
from shared.report.layout import cell_of
from shared.run import spec
from tests import linear_gaussian
from tests.contexts import Given
from tests.linear_gaussian import assert_mean, generator, hmvae, mixture_log_prob, mmvae, mvae
from tests.repository import describe

MODALITIES = ("image", "caption")
BOTH = MODALITIES
IMAGE, CAPTION = (("image",), ("caption",))
TOYS = {"mvae": mvae, "mmvae": mmvae, "hmvae": lambda names, seed: hmvae(dict.fromkeys(names, 2), seed)}
PAPERS_OWN = {"image_features": "ResNet-101", "caption_features": "char-CNN-RNN"}


def seeded(*purpose):
    return generator(sum(map(ord, "".join(purpose))))


@pytest.fixture(autouse=True)
def wide_proposals(monkeypatch):
    """All weights have a finite variance, that of the product of experts included."""
    monkeypatch.setattr(linear_gaussian.Numbers, "width", 2.0)


# ---- Likelihoods ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TOYS)
def test_the_five_likelihoods_converge_to_the_truth(name):
    toy = TOYS[name](MODALITIES, seed=1)
    joint, image, caption = (float(toy.p.log_prob(toy.only(*names))) for names in (BOTH, IMAGE, CAPTION))
    truth = {
        (BOTH, (), BOTH): joint,
        (IMAGE, (), IMAGE): image,
        (CAPTION, (), CAPTION): caption,
        (BOTH, CAPTION, CAPTION): joint - caption,
        (BOTH, IMAGE, IMAGE): joint - image,
    }
    found = likelihoods(Given(toy.model, Split(toy.batch(4)), seeded), 30_000, 4)
    assert set(found) == set(truth)
    for which, each in found.items():
        assert (each.error < 0.2).all(), which
        assert ((each.value - truth[which]).abs() < 5 * each.error + 1e-9).all(), which


def log_mean(log_weights):
    return torch.from_numpy(log_weights).logsumexp(0) - np.log(len(log_weights))


@pytest.mark.parametrize("name", TOYS)
def test_a_crossmodal_likelihood_is_equation_13(name):
    """log E[p(x_t | z_t, g) w] - log E[w], w = p(x_c, g, z_c) / q(g, z_c | x_c), z_t ~ p(z_t | g); without z, Eq. 10.

    Densities by scipy, at the samples that the model draws.
    """
    toy, samples = TOYS[name](MODALITIES, seed=2), 40
    found = likelihoods(Given(toy.model, Split(toy.batch(3)), lambda *_: generator(3)), samples, 3)
    for (c,), (t,) in ((CAPTION, IMAGE), (IMAGE, CAPTION)):
        latents, _ = toy.model.sample_latents(toy.batch(3, c), samples, generator(3))
        drawn = {key: value.detach().numpy() for key, value in latents.items()}
        of_t, of_c = ({key: drawn[key] for key in drawn if key in ("g", f"z_{m}_1")} for m in (t, c))
        x_t, x_c = ({m: np.broadcast_to(toy.x[m], (samples, 3, len(toy.x[m])))} for m in (t, c))
        (q,) = toy.components(toy.only(c))
        ratio = toy.p.log_prob(of_c | x_c) - q.log_prob(of_c)
        log_p_t = toy.p.log_prob(of_t | x_t) - toy.p.log_prob(of_t)
        expected = log_mean(log_p_t + ratio) - log_mean(ratio)
        torch.testing.assert_close(found[BOTH, (c,), (c,)].value, expected, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(found[(c,), (), (c,)].value, log_mean(ratio), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", TOYS)
def test_a_joint_likelihood_is_equation_9(name):
    """log E[p(x, g, z) / q(g, z | x)], of a mixture too, half of whose samples are each expert's."""
    toy, samples = TOYS[name](MODALITIES, seed=2), 40
    found = likelihoods(Given(toy.model, Split(toy.batch(3)), lambda *_: generator(3)), samples, 3)
    latents, _ = toy.model.sample_latents(toy.batch(3), samples, generator(3))
    drawn = {key: value.detach().numpy() for key, value in latents.items()}
    x = {m: np.broadcast_to(toy.x[m], (samples, 3, len(toy.x[m]))) for m in MODALITIES}
    log_weights = toy.p.log_prob(drawn | x) - mixture_log_prob(toy.components(toy.x), drawn)
    torch.testing.assert_close(found[BOTH, (), BOTH].value, log_mean(log_weights), rtol=1e-6, atol=1e-6)


def test_the_mixtures_density_and_the_experts_own_estimate_the_same():
    """Eq. 8 divides by the density of the expert that a sample came from, the package by that of the mixture.

    Both are unbiased; on the same samples the latter is never more than log 2 above the former.
    """
    toy, samples, copies, rng = mmvae(MODALITIES, seed=3), 20, 2000, np.random.default_rng(0)
    experts = toy.components(toy.x)
    g = np.stack([rng.multivariate_normal(q.mean, q.cov, (samples, copies)) for q in experts])
    log_p = toy.p.log_prob({"g": g} | {m: np.broadcast_to(x, (*g.shape[:-1], len(x))) for m, x in toy.x.items()})
    own = np.stack([q.log_prob({"g": each}) for q, each in zip(experts, g, strict=True)])
    equation_8, ours = (
        logsumexp(log_p - log_q, axis=(0, 1)) - np.log(2 * samples)
        for log_q in (own, mixture_log_prob(experts, {"g": g}))
    )
    truth = float(toy.p.log_prob(toy.x))
    for estimate in (equation_8, ours):
        assert_mean(np.exp(estimate - truth), 1.0, precision=0.05)
    assert (ours - equation_8 <= np.log(2)).all()


# ---- Neighbours ----------------------------------------------------------------------------------------------------


def variance_along(direction, samples):
    return (samples.detach().numpy() @ direction).var(axis=0)


@pytest.mark.parametrize("target", MODALITIES)
def test_a_hierarchy_varies_its_own_variables_under_one_g(target):
    """Var over samples of the mean of p(x_t | z): W Cov(z | g) W', whatever g; over conditions g varies as well."""
    toy = TOYS["hmvae"](MODALITIES, seed=4)
    (condition,) = set(MODALITIES) - {target}
    direction = np.random.default_rng(0).normal(size=3)
    weight, _, _ = toy.p.regression(target, [f"z_{target}_1"])
    _, _, cov = toy.p.regression(f"z_{target}_1", ["g"])
    made = generate(toy.model, toy.batch(5, condition), target, 20_000, generator())
    assert made.shape == (20_000, 5, 3)
    expected = direction @ weight @ cov @ weight.T @ direction
    np.testing.assert_allclose(variance_along(direction, made), expected, rtol=0.06)
    means = made.mean(0).detach().numpy() @ direction
    assert len(np.unique(means.round(2))) == 5


@pytest.mark.parametrize("name", ["mvae", "mmvae"])
def test_a_flat_model_varies_g(name):
    toy = TOYS[name](MODALITIES, seed=4)
    direction = np.random.default_rng(0).normal(size=3)
    weight, bias, _ = toy.p.regression("image", ["g"])
    (q,) = toy.components(toy.only("caption"))
    made = generate(toy.model, toy.batch(2, "caption"), "image", 20_000, generator())
    expected = direction @ weight @ q.cov @ weight.T @ direction
    np.testing.assert_allclose(variance_along(direction, made), expected, rtol=0.06)
    centre = (weight @ q.mean + bias) @ direction
    np.testing.assert_allclose(made.mean(0).detach().numpy() @ direction, centre, atol=5 * (expected / 20_000) ** 0.5)


@pytest.mark.parametrize("count", [None, 4])
def test_neighbours_are_the_nearest_test_features(monkeypatch, count):
    """Of what is generated for each condition in turn, over chunks that do not divide the split."""
    monkeypatch.setattr(feature_evaluation, "CHUNK", 3)
    test, conditions = torch.randn(20, 5, generator=generator(1)), torch.randn(11, 2, generator=generator(2))
    offsets = torch.randn(4, 1, 5, generator=generator(3))
    answers = lambda model, given, target, samples, noise: offsets + given["caption"].sum(1)[:, None]  # noqa: E731
    monkeypatch.setattr(feature_evaluation, "generate", answers)
    shown, known = Split({"caption": conditions}), Split({"image": test})
    found = neighbours(None, shown, known, "caption", "image", 4, generator(), count)
    rows = np.arange(11) if count is None else feature_evaluation.spread(count, 11).numpy()
    generated = (offsets + conditions.sum(1)[:, None]).numpy()[:, rows]
    distances = np.linalg.norm(generated[:, :, None] - test.numpy(), axis=3)
    np.testing.assert_array_equal(found, distances.argmin(2))


def test_shares_by_hand():
    labels = torch.tensor([0, 0, 1])
    nearest = torch.tensor([[0, 2, 2], [0, 1, 2], [1, 0, 2], [2, 1, 2]])  # four samples of three conditions
    coherence, distinct = neighbour_shares(nearest, labels, "image")
    assert (coherence["key"], distinct["key"]) == ("image/coherence", "image/distinct")
    shares = np.array([3 / 4, 3 / 4, 1])
    assert coherence["value"] == pytest.approx(100 * shares.mean())
    assert coherence["standard_error"] == pytest.approx(100 * shares.std(ddof=1) / 3**0.5)
    assert distinct["value"] == pytest.approx(100 * (3 / 4 + 3 / 4 + 1 / 4) / 3)
    assert chance_of_class(labels) == pytest.approx(100 * (4 / 9 + 1 / 9))


# ---- The whole protocol ----------------------------------------------------------------------------------------------


def split_of(toy, count, seed):
    noise = generator(seed)
    tensors = {m: torch.randn(count, 3, generator=noise, dtype=torch.float64) for m in MODALITIES}
    return Split(tensors | {"labels": torch.arange(count) // 4})


@pytest.fixture
def evaluated(tmp_path):
    """evaluate() of a toy on 12 test and 8 training samples, whose images and captions tell their row."""
    for name, count, first in (("test", 12, 0), ("train", 8, 100)):
        rows = first + np.arange(count)
        images = np.broadcast_to(rows.astype(np.uint8)[:, None, None, None], (count, 3, 2, 2))
        np.save(tmp_path / f"x1_{name}.npy", images)
        np.save(
            tmp_path / f"captions_{name}.npy", np.array([[f"{row}, caption {i}" for i in range(10)] for row in rows])
        )

    def evaluated(toy, about=PAPERS_OWN, **changes):
        describe(tmp_path, **about)
        settings = {"importance_samples": 10, "points": 5, "neighbour_samples": 7, "figure_conditions": 3} | changes
        test, train = split_of(toy, 12, 1), split_of(toy, 8, 2)
        return evaluate(Given(toy.model, test, seeded, tmp_path, train=train, **settings))

    return evaluated


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_conditions_for_two_figures_are_refused_before_anything_runs(tmp_path, monkeypatch, count):
    text = (spec.PAPERS / "hmvae" / "experiments.yaml").read_text(encoding="utf-8")
    assert text.count("figure_conditions: {value: 5,") == 1
    (tmp_path / "hmvae").mkdir()
    changed = text.replace("figure_conditions: {value: 5,", f"figure_conditions: {{value: {count},")
    (tmp_path / "hmvae" / "experiments.yaml").write_text(changed, encoding="utf-8")
    monkeypatch.setattr(spec, "PAPERS", tmp_path)
    with pytest.raises(InputError, match=rf"\A[^\n]*figure_conditions: {count} should be greater [^\n]*3\Z"):
        spec.check("hmvae", "paper")


@pytest.fixture(params=TOYS)
def toy(request):
    return TOYS[request.param](MODALITIES, seed=5)


def test_the_table_shows_all_that_is_measured(evaluated, toy):
    result = evaluated(toy)
    made = {(row["key"], row["variant"]): row["unit"] for row in result.metrics}
    cells = {cell_of(row, column) for row, column in TABLES["table1_feature_likelihoods"].cells()}
    assert {(cell.key, cell.variant) for cell in cells} == set(made)
    assert set(result.points) == {which for which, unit in made.items() if unit == "nats"}
    for row in result.metrics:
        if row["unit"] == "nats":
            values = result.points[row["key"], row["variant"]]
            assert values.shape == (5,)
            assert row["value"] == pytest.approx(values.mean())
            assert row["standard_error"] == pytest.approx(values.std(ddof=1) / 5**0.5)


def test_pictures_are_those_of_the_neighbours(evaluated, toy):
    samples = evaluated(toy).samples
    conditions = [2, 6, 10]  # spread over 12
    assert samples["test_images"][:, 0, 0, 0].tolist() == conditions
    assert samples["test_captions"].tolist() == [f"{row}, caption 0" for row in conditions]
    images, captions = samples["test_image_neighbours"], samples["test_caption_neighbours"]
    assert images.shape == (3, 7, 3, 2, 2)
    assert images.dtype == np.uint8
    assert captions.shape == (3, 7)
    test = split_of(toy, 12, 1)
    for target, condition, rows in (
        ("image", "caption", images[..., 0, 0, 0]),
        ("caption", "image", [[int(text.split(",")[0]) for text in line] for line in captions]),
    ):
        nearest = neighbours(toy.model, test, test, condition, target, 7, seeded(target))
        np.testing.assert_array_equal(rows, nearest.T[conditions])
    assert samples["train_captions"].tolist() == [f"{100 + row}, caption 0" for row in (1, 4, 6)]
    assert samples["train_image_neighbours"].shape == (3, 7, 3, 2, 2)
    assert samples["train_image_neighbours"].max() < 12  # of the test split


def test_shares_are_in_the_metrics_and_for_the_figure(evaluated, toy):
    result = evaluated(toy)
    found = {row["key"]: row["value"] for row in result.metrics if row["unit"] == "%"}
    assert list(found) == ["image/coherence", "image/distinct", "caption/coherence", "caption/distinct"]
    for target in MODALITIES:
        assert result.samples[f"{target}_shares"].tolist() == [
            found[f"{target}/coherence"],
            found[f"{target}/distinct"],
        ]
    assert float(result.samples["chance"]) == pytest.approx(100 / 3)


def test_the_protocol_says_how_many_points_and_samples(evaluated, toy):
    assert evaluated(toy).protocol.startswith("test split, 5 data points; 10 importance samples; ")
    assert evaluated(toy, points="all").protocol.startswith("test split, all data points; ")
    assert "\n" not in evaluated(toy).protocol


def test_a_likelihood_names_the_substitutes_that_it_depends_on(evaluated):
    assert substitutes(PAPERS_OWN, BOTH) == {}
    about = {"image_features": "ours", "caption_features": "theirs"}
    found = {row["key"]: row["features"] for row in evaluated(mvae(MODALITIES), about).metrics}
    assert found["likelihood/image"] == "ours features"
    assert found["likelihood/caption"] == "theirs features"
    for key in ("likelihood/image+caption", "likelihood/image|caption", "likelihood/caption|image", "image/coherence"):
        assert found[key] == "ours and theirs features"


def test_the_same_generators_give_the_same_numbers(evaluated, toy):
    first, second = evaluated(toy), evaluated(toy)
    assert first.metrics == second.metrics
    for name, array in first.samples.items():
        np.testing.assert_array_equal(array, second.samples[name])
