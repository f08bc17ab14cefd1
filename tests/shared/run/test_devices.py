import errno

import pytest
import torch

from shared.errors import InputError
from shared.files import sha256_of
from shared.run.devices import build, choose_device, describe_device, load_trained
from shared.run.spec import resolve
from shared.run.storage import save
from tests.damage import damaged

CPU = torch.device("cpu")
SPEC = {"seed": 0, "paper": "tiny", "model": "small", "builder": "tests.tiny:model", "arguments": {"hidden": 4}}


def load(path, spec=SPEC):
    """Whatever the file holds is what train.json says."""
    return load_trained(spec, path, sha256_of(path), CPU)


def test_a_device_that_is_not_there_is_one_line():
    assert choose_device("cpu") == CPU
    assert describe_device(choose_device("auto"))
    with pytest.raises(InputError, match=r"\Adevice `tpu` is not available; use one of \[.*'cpu'[^\n]*\Z"):
        choose_device("tpu")


def test_trained_weights_come_back(tmp_path):
    model = build(SPEC)
    save(tmp_path / "weights.pt", {"model": model.state_dict()})
    loaded = load(tmp_path / "weights.pt", SPEC | {"seed": 1})
    assert not loaded.training
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_a_system_that_fails_does_not_condemn_the_weights(tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(torch, "load", fail)
    (tmp_path / "weights.pt").touch()
    with pytest.raises(OSError, match="Cannot allocate memory"):
        load(tmp_path / "weights.pt")


def test_weights_that_do_not_fit_are_one_line(tmp_path):
    path = tmp_path / "weights.pt"
    with pytest.raises(InputError, match=r"\A[^\n]*weights\.pt: no such file; delete train\.json[^\n]*\Z"):
        load_trained(SPEC, path, "0", CPU)
    save(path, {"model": build(SPEC | {"arguments": {"hidden": 6}}).state_dict()})
    with pytest.raises(InputError, match=r"\A[^\n]*weights\.pt: not the weights of small[^\n]*\Z"):
        load(path)
    whole = path.read_bytes()
    contents = []
    for content in ([1, 2], {}, {"model": 3}, {"model": {"steps": "many"}}):
        save(path, content)
        contents.append(path.read_bytes())
    contents += [b"", b"no torch", whole[:500], whole[: len(whole) // 2], whole[:-200]]
    # what is left of a pickle may name anything
    contents += [bytes([*b"\x80\x02", code]) for code in range(256)]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"\A[^\n]*weights\.pt: not the weights of small[^\n]*\Z"):
            load(path)


@pytest.mark.torture
def test_weights_that_changed_in_any_way_are_one_line(tmp_path):
    path = tmp_path / "weights.pt"
    save(path, {"model": build(SPEC).state_dict()})
    whole, sha256 = path.read_bytes(), sha256_of(path)
    for number, (what, content) in enumerate(damaged(whole, 300)):
        other = tmp_path / str(number) / "weights.pt"  # a file is looked at once
        other.parent.mkdir()
        other.write_bytes(content)
        with pytest.raises(InputError) as caught:
            load_trained(SPEC, other, sha256, CPU)
        line = str(caught.value)
        assert line.startswith(f"{other}: damaged or exchanged (sha256 "), what
        assert line.endswith("; delete train.json beside it and run the workflow, which trains it"), what
        assert "\n" not in line


@pytest.mark.torture
def test_whatever_a_damaged_file_does_to_torch_is_one_line(tmp_path):
    """Also where the checksum is that of the damaged file."""
    path, lines = tmp_path / "weights.pt", []
    save(path, {"model": build(SPEC).state_dict()})
    for what, content in damaged(path.read_bytes(), 300, seed=1):
        path.write_bytes(content)
        try:
            load(path)
        except InputError as error:
            lines.append((what, str(error)))
    assert len(lines) > 100
    for what, line in lines:
        assert "not the weights of small" in line, what
        assert "\n" not in line, what


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
