import errno

import pytest
import torch

from shared.errors import InputError
from shared.run.devices import build, choose_device, describe_device, load_trained
from shared.run.spec import resolve
from shared.run.storage import save

CPU = torch.device("cpu")
SPEC = {"seed": 0, "paper": "tiny", "model": "small", "builder": "tests.tiny:model", "arguments": {"hidden": 4}}


def test_a_device_that_is_not_there_is_one_line():
    assert choose_device("cpu") == CPU
    assert describe_device(choose_device("auto"))
    with pytest.raises(InputError, match=r"\Adevice `tpu` is not available; use one of \[.*'cpu'[^\n]*\Z"):
        choose_device("tpu")


def test_trained_weights_come_back(tmp_path):
    model = build(SPEC)
    save(tmp_path / "weights.pt", {"model": model.state_dict()})
    loaded = load_trained(SPEC | {"seed": 1}, tmp_path / "weights.pt", CPU)
    assert not loaded.training
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_a_system_that_fails_does_not_condemn_the_weights(tmp_path, monkeypatch):
    def load(*arguments, **options):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(OSError, match="Cannot allocate memory"):
        load_trained(SPEC, tmp_path / "weights.pt", CPU)


def test_weights_that_do_not_fit_are_one_line(tmp_path):
    path = tmp_path / "weights.pt"
    with pytest.raises(InputError, match=r"\A[^\n]*weights\.pt: no such file[^\n]*\Z"):
        load_trained(SPEC, path, CPU)
    save(path, {"model": build(SPEC | {"arguments": {"hidden": 6}}).state_dict()})
    with pytest.raises(InputError, match=r"\A[^\n]*weights\.pt: not the weights of small[^\n]*\Z"):
        load_trained(SPEC, path, CPU)
    whole = path.read_bytes()
    contents = []
    for content in ([1, 2], {}, {"model": 3}, {"model": {"steps": "many"}}):
        save(path, content)
        contents.append(path.read_bytes())
    contents += [b"", b"no torch", whole[:500], whole[: len(whole) // 2], whole[:-200]]
    # what is left of a pickle may name anything
    contents += [bytes([*b"\x80\x02", code]) for code in range(256)]
    for damaged in contents:
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"\A[^\n]*weights\.pt: not the weights of small[^\n]*\Z"):
            load_trained(SPEC, path, CPU)


def test_values_that_the_model_refuses_are_one_line():
    spec = resolve("mhvae", "mnist", "mhvae", "demo", 0)
    spec["arguments"]["private_dims"] = {"image": 16, "labl": 16}
    with pytest.raises(InputError, match=r"\Amhvae/mnist/mhvae: arguments: private_dims: labl[^\n]*\Z"):
        build(spec)
    spec["arguments"] |= {"private_dims": {"image": 16, "label": 16}, "dropout": {"image": 0.5, "labl": 0.5}}
    with pytest.raises(InputError, match=r"\Amhvae/mnist/mhvae: arguments: dropout: labl[^\n]*\Z"):
        build(spec)


def test_initial_weights_depend_on_the_seed_alone():
    first, second, other = build(SPEC), build(SPEC | {"model": "x"}), build(SPEC | {"seed": 1})
    assert torch.equal(first.decode.weight, second.decode.weight)
    assert not torch.equal(first.decode.weight, other.decode.weight)
