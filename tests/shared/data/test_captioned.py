import numpy as np

from shared.data.captioned import LETTERS, characters, every_tenth


def test_reeds_alphabet_has_70_letters():
    assert len(LETTERS) == 70
    assert len(set(LETTERS)) == 69  # the hyphen stands there twice
    assert LETTERS[-1] == " "


def test_characters_are_numbers_of_letters_in_lower_case():
    texts = np.array([["Ab z9", "é-\n~"], ["", "x" * 300]])
    found = characters(texts)
    assert (found.dtype, found.shape) == (np.int16, (2, 2, 201))
    assert found[0, 0, :6].tolist() == [1, 2, 70, 26, 36, 0]
    assert found[0, 1, :5].tolist() == [0, 1 + LETTERS.rindex("-"), 0, 1 + LETTERS.index("~"), 0]
    assert not found[1, 0].any()
    assert found[1, 1].tolist() == [24] * 201


def test_every_tenth_image_of_each_class_is_held_out():
    labels = np.array([5] * 11 + [3] * 10 + [4])
    assert np.flatnonzero(every_tenth(labels)).tolist() == [0, 10, 11, 21]
    shuffled = np.random.default_rng(0).permutation(labels)
    held_out = shuffled[every_tenth(shuffled)]
    assert sorted(held_out) == [3, 4, 5, 5]
