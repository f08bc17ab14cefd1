"""A network completes data: what it wrote is what it computes, standardised, beside the arrays that were there."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from shared.data.manifest import describe_data
from shared.errors import InputError
from shared.files import read_json, sha256_of, write_json
from shared.models.contract import Encoder, Trainable
from shared.run import spec as specification
from shared.run.devices import build
from shared.run.storage import save
from shared.stages.encode import POINTS, encode
from shared.stages.evaluate import quality_notes, read_trained
from tests.repository import describe

CPU = torch.device("cpu")
COUNTS = {"train": POINTS + 7, "val": 5, "test": 6}


class Twice(Encoder):
    """Two features of each point: its weight times the point, and a constant."""

    name = "doubling"
    encodes = "point_features"
    feature_dim = 2

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))

    def loss(self, batch, epoch, samples, generator):
        raise NotImplementedError

    def encode(self, batch):
        return torch.stack([self.weight * batch["x"], torch.full_like(batch["x"], 5)], dim=1)

    def quality(self, features, splits):
        held_out = splits["train"].tensors["held_out"]
        assert "held_out" not in splits["test"].tensors
        return {"of the held out": (features["train"][held_out, 0] > 0).float().mean().item()}


class Untold(Twice):
    """What tells how good it is, is missing."""

    def quality(self, features, splits):
        return {"of others": splits["train"].tensors["others"].float().mean().item()}


class Unmeasured(Twice):
    def quality(self, features, splits):
        return {"of none": torch.zeros(0).mean().item()}


class Mute(Trainable):
    def loss(self, batch, epoch, samples, generator):
        raise NotImplementedError


def spec_of(builder=Twice):
    names = {"paper": "evaluators", "experiment": "points-1", "model": "double", "scale": "demo", "seed": 0}
    modalities = {"x": "x1", "held_out": "held_out"}
    return names | {"builder": f"{__name__}:{builder.__name__}", "arguments": {}, "modalities": modalities}


def write_data(folder: Path) -> dict[str, np.ndarray]:
    folder.mkdir()
    points = {split: np.arange(count, dtype=np.float32) - 10 for split, count in COUNTS.items()}
    for split, array in points.items():
        np.save(folder / f"x1_{split}.npy", array)
    np.save(folder / "held_out_train.npy", np.arange(COUNTS["train"]) % 2 == 0)
    splits = {split: {"samples": n} for split, n in COUNTS.items()}
    describe(folder, description="points", sha256="before", official=True, classes=["one"], splits=splits)
    return points


def write_run(folder: Path, spec, data="before", diverged=None) -> Path:
    """A finished run of the network."""
    folder.mkdir(parents=True)
    torch.save({"model": build(spec).state_dict()}, folder / "weights.pt")
    trained = {"spec_sha256": specification.sha256(specification.training_part(spec)), "data": {"sha256": data}}
    trained |= {"fingerprint": "f", "pipeline": "p", "diverged": diverged, "provenance": {}}
    trained["weights_sha256"] = sha256_of(folder / "weights.pt")
    write_json(folder / "train.json", trained)
    return folder


@pytest.fixture
def made(tmp_path):
    """Data before, and after a network has written `x2`."""
    points, spec = write_data(tmp_path / "before"), spec_of()
    encode(spec, tmp_path / "before", write_run(tmp_path / "run", spec), "x2", tmp_path / "after", CPU)
    return tmp_path, points


def test_the_array_is_what_the_network_computes_standardised_by_the_training_split(made):
    root, points = made
    mean, std = points["train"].mean(), points["train"].std()
    for split, x in points.items():
        found = np.load(root / "after" / f"x2_{split}.npy")
        np.testing.assert_allclose(found[:, 0], (x - mean) / std, rtol=1e-5)
        assert not found[:, 1].any()  # a constant has no scale
        assert found.dtype == np.float32
    np.testing.assert_allclose(np.load(root / "after/x2_mean.npy"), [2 * mean, 5])
    np.testing.assert_allclose(np.load(root / "after/x2_std.npy"), [2 * std, 1])


def test_what_was_there_is_there_without_another_copy(made):
    root, _ = made
    for file in (root / "before").glob("*.npy"):
        assert os.path.samefile(file, root / "after" / file.name)
    assert [path.name for path in root.rglob(".*")] == [".after.lock"]


def test_the_notes_carry_on_and_say_what_was_done(made):
    root, points = made
    before, after = (describe_data(root / name) for name in ("before", "after"))
    assert {key for key in before if before[key] != after[key]} == {"arrays", "description", "official", "sha256"}
    assert after["description"] == "points, point features doubling"
    assert after["point_features"] == "doubling"
    assert after["official"] is False
    share = float((points["train"][::2] > 0).mean())
    step = {"array": "x2", "network": "double", "name": "doubling", "trained_on": "before", "fingerprint": "f"}
    assert after["encoders"] == [step | {"quality": {"of the held out": pytest.approx(share)}}]
    assert quality_notes(after) == [f"doubling: {100 * share:.1f} % of the held out"]
    assert quality_notes(before) == []


def test_a_second_network_completes_what_the_first_one_left(made):
    root, _ = made
    data, spec = describe_data(root / "after"), spec_of() | {"model": "again", "experiment": "points-2"}
    encode(spec, root / "after", write_run(root / "other", spec, data["sha256"]), "x3", root / "whole", CPU)
    whole = describe_data(root / "whole")
    assert [step["trained_on"] for step in whole["encoders"]] == ["before", data["sha256"]]
    assert len({"before", data["sha256"], whole["sha256"]}) == 3
    arrays = {path.name for path in (root / "whole").glob("x*_test.npy")}
    assert arrays == {"x1_test.npy", "x2_test.npy", "x3_test.npy"}
    np.testing.assert_array_equal(np.load(root / "whole/x3_test.npy"), np.load(root / "after/x2_test.npy"))


def test_the_same_again_is_the_same_bytes(made):
    root, _ = made
    encode(spec_of(), root / "before", root / "run", "x2", root / "again", CPU)
    for path in (root / "after").iterdir():
        assert path.read_bytes() == (root / "again" / path.name).read_bytes()


def test_all_arrays_are_listed_with_their_checksums(made):
    root, _ = made
    listed = read_json(root / "after/data.json")["arrays"]
    assert listed == {path.stem: sha256_of(path) for path in (root / "after").glob("*.npy")}
    assert {"x1_train", "held_out_train", "x2_train", "x2_mean", "x2_std"} < set(listed)


@pytest.mark.torture
@pytest.mark.parametrize("name", ["x1_test.npy", "held_out_train.npy"])
def test_damaged_data_are_not_completed(tmp_path, name):
    write_data(tmp_path / "before")
    folder, path = write_run(tmp_path / "run", spec_of()), tmp_path / "before" / name
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(InputError, match=rf"\A[^\n]*before/{name}: damaged or exchanged [^\n]*\Z"):
        encode(spec_of(), tmp_path / "before", folder, "x2", tmp_path / "after", CPU)
    assert not (tmp_path / "after").exists()


@pytest.mark.torture
def test_damaged_weights_complete_nothing(tmp_path):
    write_data(tmp_path / "before")
    folder = write_run(tmp_path / "run", spec_of())
    save(folder / "weights.pt", {"model": {"weight": torch.tensor(2.0000002)}})
    with pytest.raises(InputError, match=r"\A[^\n]*run/weights\.pt: damaged or exchanged [^\n]*\Z"):
        encode(spec_of(), tmp_path / "before", folder, "x2", tmp_path / "after", CPU)
    assert not (tmp_path / "after").exists()


def test_where_links_cannot_be_the_arrays_are_copied(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError("no links here")))
    points, spec = write_data(tmp_path / "before"), spec_of()
    encode(spec, tmp_path / "before", write_run(tmp_path / "run", spec), "x2", tmp_path / "after", CPU)
    np.testing.assert_array_equal(np.load(tmp_path / "after/x1_val.npy"), points["val"])
    assert not os.path.samefile(tmp_path / "before/x1_val.npy", tmp_path / "after/x1_val.npy")


@pytest.mark.parametrize(
    ("builder", "run", "array", "words"),
    [
        (Twice, {}, "x1", "before: has x1, which double is to make; leave one of them out"),
        (Mute, {}, "x2", ":Mute: makes no x2, since it is no Encoder"),
        (
            Untold,
            {},
            "x2",
            "double: the data that it is given lack 'others', which tells how good it is; add it",
        ),
        (Unmeasured, {}, "x2", "double: of none: nan is no share; give it samples"),
        (Twice, {"data": "other"}, "x2", "run: trained on other data"),
        (Twice, {"diverged": {"epoch": 1, "step": 2}}, "x2", "run: this network, which metrics or data need, diverged"),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_nothing(tmp_path, builder, run, array, words):
    write_data(tmp_path / "before")
    spec = spec_of(builder)
    folder = write_run(tmp_path / "run", spec, **run)
    with pytest.raises(InputError, match=rf"\A[^\n]*{words}[^\n]*\Z"):
        encode(spec, tmp_path / "before", folder, array, tmp_path / "after", CPU)
    assert not (tmp_path / "after").exists()


@pytest.mark.parametrize("split", ["val", "test"])
def test_an_array_that_one_split_lacks_is_one_line_and_leaves_nothing(tmp_path, split):
    write_data(tmp_path / "before")
    (tmp_path / f"before/x1_{split}.npy").unlink()
    describe(tmp_path / "before", sha256="before", splits=dict.fromkeys(COUNTS))
    spec = spec_of()
    folder = write_run(tmp_path / "run", spec)
    with pytest.raises(InputError, match=rf"\A[^\n]*x1_{split}.npy: the data set has no such array[^\n]*\Z"):
        encode(spec, tmp_path / "before", folder, "x2", tmp_path / "after", CPU)
    assert not (tmp_path / "after").exists()


def test_another_specification_than_the_trained_one_is_refused(tmp_path):
    folder = write_run(tmp_path / "run", spec_of())
    with pytest.raises(InputError, match="trained for another specification"):
        read_trained(folder, spec_of() | {"arguments": {"width": 2}}, "before")
    assert read_json(folder / "train.json")["diverged"] is None
