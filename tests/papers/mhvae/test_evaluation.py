"""The rows of Tables 1 to 3 and the samples of Fig. 4, on models whose likelihoods are known."""

import numpy as np
import pytest
import torch

from papers.mhvae import evaluation
from papers.mhvae.evaluation import encode_condition, evaluate, likelihoods
from papers.mhvae.tables import TABLES
from shared.data.arrays import Split
from shared.errors import InputError
from shared.metrics import likelihood
from shared.report.layout import cell_of
from shared.run.devices import build
from shared.run.spec import resolve
from tests.contexts import Given
from tests.linear_gaussian import generator, jmvae, mvae
from tests.repository import describe

SETTINGS = {"importance_samples": 4000, "points": 3, "figure_samples": 4, "figure_condition": ["3"]}


def test_each_row_scores_what_it_says_from_the_proposal_it_says():
    toy = jmvae(("image", "label"), seed=1)
    context = Given(toy.model, Split(toy.batch(5)), lambda *purpose: generator(1))
    rows = [likelihood.row(*which, each) for which, each in likelihoods(context, toy.model, 20_000, 5).items()]
    truth = {
        "likelihood/image": toy.p.log_prob(toy.only("image")),
        "likelihood/image+label": toy.p.log_prob(toy.x),
        "likelihood/image|label": toy.p.log_prob(toy.x) - toy.p.log_prob(toy.only("label")),
    }
    assert [(row["key"], row["variant"]) for row in rows] == [
        ("likelihood/image", "image"),
        ("likelihood/image+label", "image"),
        ("likelihood/image+label", "label"),
        ("likelihood/image|label", "label"),
        ("likelihood/image+label", "image+label"),
    ]
    for row in rows:
        assert abs(row["value"] - truth[row["key"]]) < 5 * row["monte_carlo_error"] + 0.01, row["key"]
        assert 0 < row["monte_carlo_error"] < 0.2
        assert 1 <= row["effective_samples"] <= 20_000
        assert row["samples"] == 5


def test_a_likelihood_that_is_not_finite_is_one_line():
    toy = jmvae(("image", "label"), seed=1)
    batch = toy.batch(5)
    batch["label"][2] = float("nan")
    context = Given(toy.model, Split(batch), lambda *purpose: generator(1))
    found = likelihoods(context, toy.model, 10, 5)
    which = (("image", "label"), (), ("image",), "")
    with pytest.raises(InputError, match=r"\Alikelihood/image\+label from image: not finite for 1 of 5 [^\n]*\Z"):
        likelihood.row(*which, found[which])


@pytest.fixture
def mnist(tmp_path):
    describe(tmp_path, classes=list("0123456789"))
    images = torch.randint(0, 256, (7, 1, 28, 28), generator=generator(), dtype=torch.uint8)
    return tmp_path, Split({"image": images, "label": torch.eye(10)[:7]})


def trained(name="mhvae", experiment="mnist"):
    return build(resolve("mhvae", experiment, name, "demo", 0)).eval()


def run(mnist, model="mhvae", **changes):
    folder, test = mnist
    settings = SETTINGS | {"importance_samples": 6} | changes
    return evaluate(Given(trained(model), test, lambda *purpose: generator(len(purpose)), folder, **settings))


@pytest.mark.parametrize(
    ("table", "model", "released"), [("table1_mnist", "mhvae", False), ("table2_fashion_mnist", "mvae", True)]
)
def test_the_table_finds_every_number(mnist, table, model, released):
    made = {(row["key"], row["variant"]) for row in run(mnist, model, released=released).metrics}
    cells = {cell_of(row, column) for row, column in TABLES[table].cells()}
    assert {(cell.key, cell.variant) for cell in cells} == made


def test_values_of_single_points_belong_to_the_rows(mnist):
    result = run(mnist, points="all")
    assert set(result.points) == {(row["key"], row["variant"]) for row in result.metrics}
    for row in result.metrics:
        values = result.points[row["key"], row["variant"]]
        assert values.shape == (7,)
        assert row["value"] == pytest.approx(values.mean())
        assert row["standard_error"] == pytest.approx(values.std(ddof=1) / np.sqrt(7))


def test_the_released_numbers_are_the_integrand_at_the_mean_of_q():
    """log p(x, g) - log q(g | x) at the mean of q, from numpy and scipy alone."""
    toy = mvae(("image", "label"), seed=2)
    context = Given(toy.model, Split(toy.batch(2)), lambda *purpose: generator(1))
    found = likelihoods(context, evaluation.AtMean(toy.model), 1, 2)
    for given in (("image",), ("label",), ("image", "label")):
        (q,) = toy.components(toy.only(*given))
        at_mean = {"g": q.mean}
        log_q = q.log_prob(at_mean)
        joint = toy.p.log_prob(at_mean | toy.x) - log_q
        np.testing.assert_allclose(found[("image", "label"), (), given, ""].value, joint, rtol=1e-5)
        if given == ("label",):
            label = toy.p.log_prob(at_mean | toy.only("label")) - log_q
            conditional = found[("image", "label"), ("label",), given, ""].value
            np.testing.assert_allclose(conditional, joint - label, rtol=1e-5)


def test_the_protocol_says_how_many_points_and_samples(mnist):
    assert run(mnist).protocol == "test split, 3 data points; 6 importance samples"
    for points in ("all", 7, 100):
        assert run(mnist, points=points).protocol == "test split, all data points; 6 importance samples"


def test_samples_of_the_figure(mnist):
    samples = run(mnist).samples
    assert samples["given"].shape == (1, 4, 1, 28, 28)
    assert samples["prior"].shape == (4, 1, 28, 28)
    assert samples["given"].dtype == samples["prior"].dtype == np.uint8
    assert list(samples["conditions"]) == ["3"]
    assert (samples["given"][0, 0] != samples["given"][0, 1]).any()


def test_conditions_become_vectors():
    assert encode_condition(["3"], {"classes": list("0123456789")}).tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    attributes = {"attributes": ["Bald", "Male", "Smiling"]}
    assert encode_condition(["Male", "Smiling"], attributes).tolist() == [0, 1, 1]
    with pytest.raises(InputError, match="figure_condition: `Smirking` is unknown; the data have Bald, Male, Smiling"):
        encode_condition(["Smirking"], attributes)
