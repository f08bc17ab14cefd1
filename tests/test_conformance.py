"""Every model of every experiment of every paper keeps what shared/models/contract.py promises."""

import os
import pickle
import random
import signal
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from benchmarks.bench import some_rows
from shared.data.arrays import Split
from shared.data.prepared import DatasetSpec
from shared.models.contract import MultimodalVAE, fold, unfold
from shared.models.shared_latent import SharedLatentVAE
from shared.run import spec as specification
from shared.run.devices import build
from shared.run.storage import Interrupted
from shared.run.training import Training
from shared.stages.architecture import layers_of
from shared.stages.prepare import prepare
from tests.linear_gaussian import generator

CPU = torch.device("cpu")
ROWS, SAMPLES = 4, 3
RUNS = [
    (paper, experiment, model)
    for paper in specification.papers()
    for experiment, entry in specification.load(paper).experiments.items()
    for model in entry.models
]


@pytest.fixture(scope="session")
def rows(tmp_path_factory):
    """A few rows of an experiment's demo data, each data set prepared once."""
    known = {}

    def rows(spec):
        data = specification.canonical(specification.data_stages(spec["data"])[0])
        if data not in known:
            folder = known[data] = tmp_path_factory.mktemp("data")
            prepare(DatasetSpec.from_json(data), folder, folder / "data")
        return some_rows(spec, known[data] / "data", ROWS, CPU)

    return rows


@dataclass
class Case:
    spec: dict
    split: Split
    model: MultimodalVAE

    @property
    def batch(self):
        return self.split.batch(slice(None))

    def only(self, *names):
        return {m: self.batch[m] for m in names}


@pytest.fixture(scope="module", params=RUNS, ids="/".join)
def case(request, rows):
    spec = specification.resolve(*request.param, "demo", 0)
    spec["training"] |= {"batch_size": 2, "epochs": 2}
    return Case(spec, rows(spec), build(spec).eval())


def global_states():
    return pickle.dumps((torch.get_rng_state().numpy(), np.random.get_state(), random.getstate()))  # noqa: NPY002


@pytest.fixture(autouse=True)
def global_randomness_is_left_alone():
    """Evaluation draws from the generator that it is given. Training seeds global states, for dropout and the like."""
    before = global_states()
    yield
    assert global_states() == before


@torch.no_grad()
def test_shapes(case):
    model, x = case.model, case.batch
    points, all_samples = (ROWS,), (SAMPLES, ROWS)
    first, *_, last = model.modalities
    assert set(model.modalities) == set(model.likelihoods) == set(x)
    assert model.prior(ROWS).batch_shape == points
    for given in ({}, case.only(first), case.only(last), x):
        latents, log_q = model.sample_latents(given, SAMPLES, generator(), batch=ROWS)
        assert len(latents) == model.latent_variables
        assert all(z.shape[:2] == all_samples for z in latents.values())
        assert log_q.shape == model.log_prior(latents).shape == model.log_joint(latents, x).shape == all_samples
        assert {m: p.shape for m, p in model.log_likelihoods(latents, x).items()} == dict.fromkeys(x, all_samples)
        for m, parameters in model.decode(latents, model.modalities).items():
            assert parameters.shape[:2] == all_samples
            assert model.likelihoods[m].mean(parameters).shape == (SAMPLES, *x[m].shape)
        made = model.generate(given, [last, first], SAMPLES, generator(), batch=ROWS)
        assert {m: mean.shape for m, mean in made.items()} == {m: (SAMPLES, *x[m].shape) for m in (last, first)}
        if given:
            q = model.posterior(given)
            assert (q.batch_shape, q.event_shape) == (points, latents["g"].shape[2:])
            assert q.event_shape == model.prior(ROWS).event_shape
            assert model.represent(given).shape[:1] == points


def test_parts_are_listed_with_their_shapes(case):
    layers = layers_of(case.model)
    assert sum(path.startswith("latents.") for path in layers) == case.model.latent_variables
    shapes = {"Input " + "x".join(map(str, x.shape[1:])) for x in case.batch.values()}
    assert shapes <= {text for texts in layers.values() for text in texts}  # each modality enters some module


def before_normalisation(model):
    """Biases whose gradient is zero but for rounding: batch normalisation takes the mean that they shift away again."""
    chains = [list(part) for part in model.modules() if isinstance(part, nn.Sequential)]
    pairs = [pair for chain in chains for pair in pairwise(chain)]
    return {layer.bias for layer, after in pairs if isinstance(after, _BatchNorm)}


def test_gradients_reach_every_parameter(case):
    model, x = case.model.train(), case.batch
    try:
        with torch.random.fork_rng(devices=[]):  # dropout draws from torch's own
            loss = model.loss(x, 10_000, 2, generator())  # after every warm-up
        loss.total.backward()
        assert all(not term.requires_grad and term.isfinite() for term in loss.terms.values())
        exempt = before_normalisation(model)
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.any() or parameter in exempt, name
    finally:
        model.zero_grad(set_to_none=True)
        model.eval()


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)


@torch.no_grad()
def test_samples_carry_their_density(case):
    """Of the prior, of a posterior with the own variables of the other modalities, and of each alone."""
    model = case.model
    latents, log_q = model.sample_latents({}, SAMPLES, generator(), batch=ROWS)
    close(log_q, model.log_prior(latents))
    for m in model.modalities:
        given, others = case.only(m), [other for other in model.modalities if other != m]
        latents, log_q = model.sample_latents(given, SAMPLES, generator(), [])
        assert list(latents) == ["g"]
        close(log_q, model.posterior(given).log_prob(latents["g"]))
        latents, log_q = model.sample_latents(given, SAMPLES, generator(), others)
        log_q_g = model.posterior(given).log_prob(latents["g"])
        close(log_q - log_q_g, model.log_prior(latents) - model.log_prior({"g": latents["g"]}))
        if isinstance(model, SharedLatentVAE):
            latents, log_q = model.sample_latents(given, SAMPLES, generator(), [m])
            close(log_q, recomputed(model, given, m, latents))


def recomputed(model, given, m, latents):
    """log q(g, own latent variables of m | given)."""
    q, evidence = model.encode(given)
    log_q, state = q.log_prob(latents["g"]), model.top(m, fold(latents["g"]))
    for level in model.levels(m):
        _, q = model.conditionals(m, level, state, evidence[m], SAMPLES)
        z = fold(latents[f"z_{m}_{level}"])
        log_q = log_q + unfold(q.log_prob(z), SAMPLES)
        state = model.below(m, level, state, z)
    return log_q


@torch.no_grad()
def test_a_missing_modality_never_touches_its_encoder(case):
    """Its encoder: the modules that have its name in their path, and that its own posterior calls."""
    model, called = case.model, set()
    hooks = [
        module.register_forward_pre_hook(lambda *_, name=name: called.add(name))
        for name, module in model.named_modules()
    ]

    def calls(action):
        called.clear()
        action()
        return set(called)

    try:
        for m in model.modalities:
            encoder = {name for name in calls(lambda m=m: model.posterior(case.only(m))) if m in name.split(".")}
            assert encoder, f"no module of {m}'s encoder has its name"
            for other in set(model.modalities) - {m}:
                given = case.only(other)
                assert not encoder & calls(lambda given=given: model.posterior(given))
                own = [other]
                assert not encoder & calls(
                    lambda given=given, own=own: model.sample_latents(given, SAMPLES, generator(), own)
                )
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def test_the_generator_decides_what_is_drawn(case):
    model, given = case.model, case.only(case.model.modalities[-1])

    def drawn(seed):
        latents, log_q = model.sample_latents(given, SAMPLES, generator(seed))
        return torch.cat([z.flatten() for z in latents.values()] + [log_q.flatten()])

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


@pytest.fixture
def other_states():
    """Puts the global states, which a run must not depend on, anywhere, and back after the test."""
    state, numpy_state, python_state = pickle.loads(global_states())

    def other_states(seed):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)

    yield other_states
    torch.set_rng_state(torch.from_numpy(state))
    np.random.set_state(numpy_state)  # noqa: NPY002
    random.setstate(python_state)


def test_training_depends_on_its_specification_alone(case, other_states):
    """One training, and one that is interrupted after three of its four steps and resumed, end with the same bytes.

    Each of the three processes that this stands for finds other global random states.
    """

    def train(folder, seed, stop_after=None):
        other_states(seed)
        run = Training(case.spec, case.split, "rows", CPU)
        said = run.restore(folder)
        progress = Mock()
        progress.step.side_effect = lambda *_: (
            os.kill(os.getpid(), signal.SIGTERM) if progress.step.call_count == stop_after else None
        )
        run.run(folder, progress)
        return said, progress.step.call_count, run.model.state_dict()

    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        _, _, weights = train(Path(one), seed=1)
        with pytest.raises(Interrupted):
            train(Path(two), seed=2, stop_after=3)
        said, steps, resumed = train(Path(two), seed=3)
    assert said.startswith("resuming")
    assert steps == 1
    for name, value in weights.items():
        assert torch.equal(value, resumed[name]), name
