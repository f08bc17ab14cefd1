import numpy as np
import pytest
import torch

from shared.arrays import load_captions, load_split
from shared.errors import InputError

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "data.npz",
        x1_test=rng.integers(0, 256, (6, 3, 4, 4), dtype=np.uint8),
        x2_test=rng.normal(size=(6, 5)).astype(np.float32),
        labels_test=np.array([70, 3, 70, 12, 3, 70]),
        captions_test=np.array([["a", "b"]] * 6),
    )
    return tmp_path


def test_modalities_get_the_experiments_names_and_classes_count_from_zero(folder):
    split = load_split(folder, "test", {"image": "x1", "caption": "x2"}, CPU)
    assert len(split) == 6
    assert set(split.tensors) == {"image", "caption", "labels"}
    assert split.tensors["labels"].tolist() == [2, 0, 2, 1, 0, 2]
    assert load_captions(folder, "test").shape == (6, 2)


def test_a_batch_has_images_between_0_and_1_and_everything_else_as_it_is(folder):
    split = load_split(folder, "test", {"image": "x1", "caption": "x2"}, CPU)
    arrays = np.load(folder / "data.npz")
    for index in (torch.tensor([4, 0]), slice(2, 5)):
        batch = split.batch(index)
        at = index.numpy() if isinstance(index, torch.Tensor) else index
        np.testing.assert_allclose(batch["image"], arrays["x1_test"][at] / 255, atol=1e-7)
        np.testing.assert_array_equal(batch["caption"], arrays["x2_test"][at])


def test_missing_and_damaged_data_are_one_line(folder):
    with pytest.raises(InputError, match=r"\A[^\n]*data\.npz: no such file[^\n]*\Z"):
        load_split(folder / "none", "test", {"image": "x1"}, CPU)
    with pytest.raises(InputError, match=r"\A[^\n]*data\.npz: unreadable [^\n]*x1_train[^\n]*\Z"):
        load_split(folder, "train", {"image": "x1"}, CPU)
    path = folder / "data.npz"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match=r"\A[^\n]*data\.npz: unreadable [^\n]*\Z"):
        load_split(folder, "test", {"image": "x1"}, CPU)
