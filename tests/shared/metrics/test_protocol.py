"""What a protocol is given, on a prepared data set of a few rows."""

import re

import numpy as np
import pytest
import torch

from shared.errors import InputError
from shared.metrics.protocol import Context, Evaluation, spread, to_uint8
from tests.repository import describe

CPU = torch.device("cpu")


@pytest.fixture
def context(tmp_path):
    for split, rows in (("train", 6), ("test", 4)):
        np.save(tmp_path / f"x1_{split}.npy", np.arange(3 * rows, dtype=np.float32).reshape(rows, 3))
        np.save(tmp_path / f"x2_{split}.npy", np.eye(2)[np.arange(rows) % 2] == 1)
        np.save(tmp_path / f"labels_{split}.npy", np.arange(rows) % 2)
    describe(tmp_path, description="rows")
    spec = {
        "seed": 3,
        "modalities": {"a": "x1", "b": "x2"},
        "evaluation": {"points": 2, "evaluators": {"judge": "net"}},
    }
    return Context(spec, None, tmp_path, {"judge": torch.nn.Identity()}, CPU)


def test_all_splits_with_all_modalities_and_labels(context):
    for name, rows in (("train", 6), ("test", 4)):
        split = context.split(name)
        assert set(split.tensors) == {"a", "b", "labels"}
        assert len(split) == rows
        batch = split.batch(slice(None))
        assert batch["a"][:, 0].tolist() == [3 * i for i in range(rows)]
        assert batch["b"].dtype == torch.float32
        assert batch["b"].argmax(1).tolist() == batch["labels"].tolist()
    assert context.split("test") is context.split("test")  # read once


def test_settings_are_without_roles(context):
    assert context.settings == {"points": 2}
    assert context.about["description"] == "rows"


def test_each_purpose_and_seed_has_random_numbers_of_its_own(context):
    def drawn(which, *purpose):
        return torch.rand(3, generator=which.generator(*purpose)).tolist()

    other = Context(context.spec | {"seed": 4}, None, context.data, {}, CPU)
    draws = [drawn(context, "fid"), drawn(context, "fid", "mean"), drawn(context, "figure"), drawn(other, "fid")]
    assert len({tuple(draw) for draw in draws}) == 4
    assert drawn(context, "fid") == draws[0]


def test_pixels_outside_of_the_unit_interval_are_black_and_white():
    assert to_uint8(torch.tensor([1.1, -0.1, 0.0, 0.5, 1.0])).tolist() == [255, 0, 0, 128, 255]


def test_more_points_than_there_are_are_refused():
    with pytest.raises(ValueError, match="5 of 4 points"):
        spread(5, 4)


# Numbers that can't be


def row(value, unit, **more):
    return {"key": "image/thing", "variant": "mean:1", "value": value, "unit": unit, "samples": 7} | more


@pytest.mark.torture
@pytest.mark.parametrize(
    ("metric", "words"),
    [
        (row(-7.5e35, "nats"), "value -7.5e+35 nats"),
        (row(3e15, "nats"), "value 3000000000000000.0 nats"),
        (row(float("nan"), "nats"), "value nan nats"),
        (row(float("inf"), ""), "value inf"),
        (row(float("nan"), ""), "value nan"),
        (row(-0.001, "%"), "value -0.001 %"),
        (row(100.001, "%"), "value 100.001 %"),
        (row(5.0, "%", standard_error=float("nan")), "standard error nan %"),
        (row(-80.0, "nats", monte_carlo_error=float("inf")), "monte carlo error inf nats"),
    ],
)
def test_a_metric_that_cannot_be_is_one_line_that_names_it(metric, words):
    expected = rf"\Aimage/thing mean:1: {re.escape(words)} can't be; evaluate again; [^\n]*train\.json[^\n]*\Z"
    with pytest.raises(InputError, match=expected):
        Evaluation([row(1.0, "%"), metric], {}, "")


@pytest.mark.parametrize(
    "metric",
    [
        row(-6e13, "nats"),  # a decoder that is as wrong as can be, at the smallest scale
        row(-1e9, "nats", standard_error=1e8, monte_carlo_error=None),
        row(4000.0, "nats"),  # a density of many narrow dimensions
        row(100 * (1 + 2**-52), "%"),  # rounding
        row(0, "%"),
        row(1e30, ""),
        row(-3.5, ""),
    ],
)
def test_a_bad_model_is_a_result(metric):
    assert Evaluation([metric], {}, "").metrics == [metric]


def test_a_single_point_that_is_not_finite_is_one_line():
    values = {("elbo/image", "image"): np.array([1.0, float("nan"), float("-inf")])}
    with pytest.raises(InputError, match=r"\Aelbo/image image: not finite at 2 of 3 points; [^\n]*\Z"):
        Evaluation([], {}, "", values)


@pytest.mark.parametrize("name", ["key", "variant", "value", "unit", "samples"])
def test_a_row_that_lacks_something_is_one_line(name):
    metric = row(1.0, "%")
    del metric[name]
    with pytest.raises(InputError, match=rf"\Athe row [^\n]* lacks {name}; add it to the protocol\Z"):
        Evaluation([metric], {}, "")
