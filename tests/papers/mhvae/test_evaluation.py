"""The rows of Tables 1 to 3 and the samples of Fig. 4, on models whose likelihoods are known."""

import json

import numpy as np
import pytest
import torch

from papers.mhvae import evaluation
from papers.mhvae.evaluation import encode_condition, evaluate
from papers.mhvae.tables import TABLES
from shared.data.arrays import Split
from shared.errors import InputError
from shared.report.layout import cell_of
from shared.run.devices import build
from shared.run.spec import resolve
from tests.linear_gaussian import generator, jmvae

SETTINGS = {"importance_samples": 4000, "points": 3, "figure_samples": 4, "figure_condition": ["3"]}


def test_each_row_scores_what_it_says_from_the_proposal_it_says():
    toy = jmvae(("image", "label"), seed=1)
    rows = evaluation.likelihoods(toy.model, Split(toy.batch(5)), 20_000, 5, lambda *purpose: generator(1))
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
    with pytest.raises(InputError, match=r"\Alikelihood/image\+label from image: not finite for 1 of 5 [^\n]*\Z"):
        evaluation.likelihoods(toy.model, Split(batch), 10, 5, lambda *purpose: generator(1))


@pytest.fixture
def mnist(tmp_path):
    about = {"description": "digits", "sha256": "d", "stand_in": True, "official": False, "classes": list("0123456789")}
    (tmp_path / "data.json").write_text(json.dumps(about))
    images = torch.randint(0, 256, (7, 1, 28, 28), generator=generator(), dtype=torch.uint8)
    return tmp_path, Split({"image": images, "label": torch.eye(10)[:7]})


def trained(name="mhvae", experiment="mnist"):
    return build(resolve("mhvae", experiment, name, "demo", 0)).eval()


def run(mnist, **changes):
    folder, test = mnist
    settings = SETTINGS | {"importance_samples": 6} | changes
    return evaluate(trained(), test, folder, settings, None, lambda *purpose: generator(len(purpose)))


def test_the_table_finds_every_number(mnist):
    made = {(row["key"], row["variant"]): row["name"] for row in run(mnist).metrics}
    wanted = {cell_of(row, column) for row, column in TABLES["table1_mnist"].cells()}
    assert {(cell.key, cell.variant) for cell in wanted} == set(made)


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
