import pytest
import torch

from benchmarks.flops import count_flops
from shared.metrics.classifier import ImageClassifier, augment


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def coloured(count: int, seed: int) -> dict[str, torch.Tensor]:
    """Noisy images whose class is their colour channel."""
    labels = torch.randint(3, (count,), generator=generator(seed))
    images = 0.5 * torch.rand((count, 3, 64, 64), generator=generator(seed + 1))
    images[torch.arange(count), labels] += 0.3
    return {"image": images, "labels": labels}


def test_learns_three_colours():
    torch.manual_seed(0)
    classifier = ImageClassifier(classes=3, width=8, feature_dim=16)
    optimiser = torch.optim.Adam(classifier.parameters(), lr=3e-3)
    noise = generator()
    for step in range(25):
        optimiser.zero_grad()
        classifier.loss(coloured(32, seed=10 * step), 0, 1, noise).total.backward()
        optimiser.step()
    classifier.eval()
    test = coloured(100, seed=12345)
    assert classifier.loss(test, 0, 1, noise).terms["accuracy"] > 0.95


def test_shapes_gradients_and_terms():
    classifier = ImageClassifier(classes=7, width=16, feature_dim=10)
    images = torch.rand(4, 3, 64, 64)
    assert classifier.features(images).shape == (4, 10)
    assert classifier(images).shape == (4, 7)
    loss = classifier.loss({"image": images, "labels": torch.tensor([0, 1, 2, 6])}, 0, 1, generator())
    assert loss.total.shape == ()
    assert set(loss.terms) == {"cross_entropy", "accuracy"}
    assert not any(term.requires_grad for term in loss.terms.values())
    loss.total.backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in classifier.parameters())


def test_loss_is_the_mean_negative_log_probability():
    classifier = ImageClassifier(classes=3, width=8, feature_dim=4).eval()
    batch = coloured(6, seed=0)
    probabilities = classifier(batch["image"]).softmax(dim=1)
    expected = -probabilities[torch.arange(6), batch["labels"]].log().mean()
    torch.testing.assert_close(classifier.loss(batch, 0, 1, generator()).total, expected)


def test_cost_of_the_default_network():
    classifier = ImageClassifier(classes=62)
    with torch.no_grad():
        flops = count_flops(lambda: classifier(torch.zeros(1, 3, 64, 64)))
    assert 42e6 < flops / 2 < 44e6  # multiply-adds, as the docstring says


def test_loss_follows_the_generator_alone():
    classifier = ImageClassifier(classes=3, width=8, feature_dim=4)
    batch = coloured(16, seed=0)
    first = classifier.loss(batch, 0, 1, generator(1)).total
    torch.rand(10)  # the global generator plays no part
    assert torch.equal(classifier.loss(batch, 0, 1, generator(1)).total, first)
    assert not torch.equal(classifier.loss(batch, 0, 1, generator(2)).total, first)
    classifier.eval()
    unaugmented = classifier.loss(batch, 0, 1, generator(1)).total
    assert torch.equal(classifier.loss(batch, 0, 1, generator(2)).total, unaugmented)


def test_augmentation_mirrors_and_shifts():
    """Every augmented image is one of the 2 x 9 x 9 mirrored and shifted crops, and many of them occur."""
    image = torch.rand((3, 10, 12), generator=generator())
    padded = torch.nn.functional.pad(image[None], (4, 4, 4, 4), mode="replicate")[0]
    crops = [padded[:, top : top + 10, left : left + 12] for top in range(9) for left in range(9)]
    candidates = torch.stack(crops + [crop.flip(dims=[2]) for crop in crops])
    augmented = augment(image.expand(200, -1, -1, -1), generator(3))
    distances = torch.cdist(augmented.flatten(1), candidates.flatten(1), p=torch.inf)
    assert distances.amin(dim=1).max() == 0
    found = distances.argmin(dim=1)
    assert len(found.unique()) > 80
    assert 60 < (found >= 81).sum() < 140


@pytest.mark.parametrize("mode", [True, False])
def test_features_do_not_depend_on_the_batch(mode):
    classifier = ImageClassifier(classes=3, width=8, feature_dim=4).train(mode)
    images = torch.rand(5, 3, 64, 64)
    torch.testing.assert_close(classifier.features(images)[2:3], classifier.features(images[2:3]))
