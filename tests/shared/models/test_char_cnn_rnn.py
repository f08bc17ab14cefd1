"""The char-CNN-RNN against counts by hand, its loss and its AP@K against brute force and cases made by hand."""

import numpy as np
import pytest
import torch

from shared.data.arrays import Split
from shared.data.captioned import CAPTION_LENGTH, LETTERS, characters
from shared.models.char_cnn_rnn import CharCnnRnn, average_precision, structured_joint_embedding


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def network() -> CharCnnRnn:
    torch.manual_seed(0)
    return CharCnnRnn(image_dim=6, feature_dim=16).eval()


def captions(*texts: str) -> torch.Tensor:
    return torch.from_numpy(characters(np.array([texts])))[0]


def test_layers_are_reeds(network):
    """Convolutions of width 4 over 70 letters, and 8 steps that the LSTM is given."""
    convolutions = 4 * 70 * 384 + 384 + 4 * 384 * 512 + 512 + 4 * 512 * 512 + 512
    lstm = 4 * (512 * 512 + 512 * 512 + 2 * 512)
    whole = convolutions + lstm + 512 * 1024 + 1024 + 2048 * 1024
    assert sum(p.numel() for p in CharCnnRnn(2048, 1024).parameters() if p.requires_grad) == whole
    assert network.layers["convolutions"](torch.zeros(2, len(LETTERS), CAPTION_LENGTH)).shape == (2, 512, 8)
    assert network(captions("a flower", "another", "")).shape == (3, 16)


def test_it_reads_letters_in_their_order(network):
    with torch.no_grad():
        a, b, same = network(captions("this flower is red", "this flower is der", "THIS flower is red"))
    assert torch.equal(a, same)
    assert not torch.allclose(a, b, atol=1e-4)


def test_captions_do_not_depend_on_their_batch(network):
    texts = captions("red petals", "a long stem and a yellow centre", "white")
    with torch.no_grad():
        torch.testing.assert_close(network(texts)[1:2], network(texts[1:2]))


def test_an_image_is_encoded_by_the_mean_of_its_captions(network):
    texts = torch.stack([captions("red petals", "small"), captions("yellow petals", "large")])
    with torch.no_grad():
        expected = torch.stack([network(each).mean(dim=0) for each in texts])
        torch.testing.assert_close(network.encode({"characters": texts}), expected)


def test_the_loss_is_the_sum_over_pairs_of_other_classes():
    scores = 2 * torch.randn(5, 5, generator=generator(), dtype=torch.float64)
    labels = torch.tensor([0, 1, 1, 2, 0])
    expected = 0.0
    for n in range(5):
        for k in range(5):
            if labels[n] != labels[k]:
                expected += max(0, 1 + scores[n, k].item() - scores[n, n].item())  # another text for image n
                expected += max(0, 1 + scores[k, n].item() - scores[n, n].item())  # another image for text n
    assert structured_joint_embedding(scores, labels).item() == pytest.approx(expected / 25)


def test_the_loss_is_zero_where_every_pair_keeps_the_margin():
    labels = torch.arange(4)
    assert structured_joint_embedding(1.01 * torch.eye(4), labels) == 0
    assert structured_joint_embedding(torch.zeros(4, 4), labels) == 2 * 12 / 16
    assert structured_joint_embedding(torch.randn(4, 4), torch.zeros(4)) == 0


def test_a_training_step_draws_one_caption_of_each_image_with_the_generator(network):
    texts = captions(*(f"caption {'abcdefghij'[k]}" for k in range(10))).expand(4, 10, -1)
    batch = {"image": torch.randn(4, 6, generator=generator()), "characters": texts, "labels": torch.arange(4)}
    losses = [network.loss(batch, 0, 1, generator(seed)).total.item() for seed in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]
    trained = CharCnnRnn(image_dim=6, feature_dim=16)
    loss = trained.loss(batch, 0, 1, generator())
    loss.total.backward()
    assert set(loss.terms) == {"embedding_loss", "accuracy"}
    assert all(parameter.grad.abs().sum() > 0 for parameter in trained.network.parameters())


def test_it_learns_which_word_goes_with_which_image():
    torch.manual_seed(0)
    network, words = CharCnnRnn(image_dim=3, feature_dim=16), ("red", "yellow", "blue")
    optimiser, noise = torch.optim.Adam(network.parameters(), lr=5e-4), generator()
    labels = torch.arange(12) % 3
    texts = torch.stack([captions(f"it is {words[c]}", f"a {words[c]} one, mostly") for c in labels])
    batch = {"image": torch.eye(3)[labels], "characters": texts, "labels": labels}
    for _ in range(30):
        optimiser.zero_grad()
        loss = network.loss(batch, 0, 1, noise)
        loss.total.backward()
        optimiser.step()
    assert loss.terms["accuracy"] == 1
    with torch.no_grad():
        scores = (
            network.layers["of_images"](torch.eye(3)) @ network(captions(*(f"some {word} thing" for word in words))).T
        )
    assert scores.argmax(dim=1).tolist() == [0, 1, 2]


def test_average_precision_by_hand():
    """Texts of class 0 mean (1, 0), of class 1 (0, 1). Best two for class 0: images 0 and 2; for class 1: 3 and 4."""
    texts = torch.tensor([[2.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    images = torch.tensor([[5.0, 0.0], [1.0, 2.0], [4.0, 0.0], [0.0, 9.0], [0.0, 8.0]])
    labels = torch.tensor([7, 7, 9, 9, 9])
    assert average_precision(images, texts, labels, 1) == 1
    assert average_precision(images, texts, labels, 2) == pytest.approx((1 / 2 + 2 / 2) / 2)
    assert average_precision(images, texts, labels, 50) == pytest.approx((2 / 5 + 3 / 5) / 2)  # all five


def test_quality_is_of_classes_that_were_not_trained_on_beside_chance(network):
    labels, image = torch.arange(8) % 4, torch.randn(8, 6, generator=generator())
    split = Split({"labels": labels, "image": image})
    with torch.no_grad():
        texts = network.layers["of_images"](image)
        quality = network.quality({"val": 100 * texts, "test": -texts}, {"val": split, "test": split})
    assert list(quality) == [
        "AP@50 on validation classes (by chance 25.0 %, at most 25.0 %)",
        "AP@50 on test classes (by chance 25.0 %, at most 25.0 %)",
    ]
    assert set(quality.values()) == {0.25}  # eight images: all are shown
