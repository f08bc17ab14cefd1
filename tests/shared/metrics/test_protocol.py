"""What a protocol is given, on a prepared data set of a few rows."""

import numpy as np
import pytest
import torch

from shared.metrics.protocol import Context, spread, to_uint8
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
