import numpy as np
import pytest
import torch

from shared.data import arrays
from shared.data.arrays import load_captions, load_split
from shared.errors import InputError

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "x1": rng.integers(0, 256, (6, 3, 4, 4), dtype=np.uint8),
        "x2": rng.normal(size=(6, 5)).astype(np.float32),
        "labels": np.array([70, 3, 70, 12, 3, 70]),
        "captions": np.array([["a", "b"]] * 6),
    }
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}_test.npy", array)
    return tmp_path


def test_modalities_get_the_experiments_names(folder):
    split = load_split(folder, "test", {"image": "x1", "caption": "x2"}, CPU)
    assert len(split) == 6
    assert set(split.tensors) == {"image", "caption", "labels"}
    assert load_captions(folder, "test").shape == (6, 2)


def test_a_batch_has_images_between_0_and_1_and_everything_else_as_it_is(folder):
    split = load_split(folder, "test", {"image": "x1", "caption": "x2"}, CPU)
    for index in (torch.tensor([4, 0]), slice(2, 5)):
        batch = split.batch(index)
        at = index.numpy() if isinstance(index, torch.Tensor) else index
        np.testing.assert_allclose(batch["image"], np.load(folder / "x1_test.npy")[at] / 255, atol=1e-7)
        np.testing.assert_array_equal(batch["caption"], np.load(folder / "x2_test.npy")[at])


def test_data_without_labels_have_none(folder):
    (folder / "labels_test.npy").unlink()
    split = load_split(folder, "test", {"image": "x1"}, CPU)
    assert len(split) == 6
    assert set(split.tensors) == {"image"}


def test_large_arrays_stay_in_their_files(folder, monkeypatch):
    """Reading rows of a mapped file gives the same batches, and writing to them leaves the file as it is."""
    resident = load_split(folder, "test", {"image": "x1"}, CPU)
    monkeypatch.setattr(arrays, "MAPPED_FROM_BYTES", 100)
    assert isinstance(arrays.load_array(folder / "x1_test.npy"), np.memmap)
    assert not isinstance(arrays.load_array(folder / "labels_test.npy"), np.memmap)
    mapped, before = load_split(folder, "test", {"image": "x1"}, CPU), (folder / "x1_test.npy").read_bytes()
    for index in (torch.tensor([4, 0]), slice(1, 3)):
        assert torch.equal(mapped.batch(index)["image"], resident.batch(index)["image"])
    mapped.tensors["image"].zero_()
    assert (folder / "x1_test.npy").read_bytes() == before


def test_a_class_has_the_same_label_in_a_split_that_lacks_others(folder):
    """Numbered anew, 70 would be 2 in a split of three classes and 0 in one that has no other."""
    assert load_split(folder, "test", {"image": "x1"}, CPU).tensors["labels"].tolist() == [70, 3, 70, 12, 3, 70]
    np.save(folder / "x1_val.npy", np.load(folder / "x1_test.npy")[:2])
    np.save(folder / "labels_val.npy", np.array([70, 70]))
    assert load_split(folder, "val", {"image": "x1"}, CPU).batch(slice(1, 2))["labels"].tolist() == [70]


@pytest.fixture
def pairs(folder):
    """Five pairs: images are rows of six, in another order and one of them twice; captions are in order."""
    rows = np.array([5, 0, 5, 2, 1])
    np.save(folder / "x1_test_index.npy", rows)
    np.save(folder / "x2_test.npy", np.load(folder / "x2_test.npy")[:5])
    np.save(folder / "labels_test.npy", np.arange(5))
    return load_split(folder, "test", {"image": "x1", "caption": "x2"}, CPU), np.load(folder / "x1_test.npy")[rows]


def test_an_index_says_which_rows_are_samples(pairs):
    split, images = pairs
    assert len(split) == 5
    assert len(split.tensors["image"]) == 6  # no copy of any image
    for index in (torch.tensor([4, 2, 2]), slice(1, 4)):
        batch, at = split.batch(index), index.numpy() if isinstance(index, torch.Tensor) else index
        np.testing.assert_allclose(batch["image"], images[at] / 255, atol=1e-7)
        torch.testing.assert_close(batch["caption"], split.tensors["caption"][index])
        np.testing.assert_array_equal(batch["labels"], np.arange(5)[at])


def test_a_modality_without_an_index_may_come_first(folder, pairs):
    split = load_split(folder, "test", {"caption": "x2", "image": "x1"}, CPU)
    assert len(split) == 5
    torch.testing.assert_close(split.batch(torch.tensor([3]))["image"], pairs[0].batch(slice(3, 4))["image"])


def test_missing_and_damaged_data_are_one_line(folder):
    with pytest.raises(InputError, match=r"\A[^\n]*x1_test\.npy: the data set has no such array[^\n]*\Z"):
        load_split(folder / "none", "test", {"image": "x1"}, CPU)
    with pytest.raises(InputError, match=r"\A[^\n]*x1_train\.npy: the data set has no such array[^\n]*\Z"):
        load_split(folder, "train", {"image": "x1"}, CPU)
    path = folder / "x1_test.npy"
    for content in (path.read_bytes()[:150], b"", b"<html>"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"\A[^\n]*x1_test\.npy: unreadable [^\n]*\Z"):
            load_split(folder, "test", {"image": "x1"}, CPU)
