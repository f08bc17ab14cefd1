import pytest
import torch

from benchmarks.flops import count_flops
from shared.data.arrays import Split
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
    classifier = ImageClassifier(classes=7, width=16, feature_dim=24)
    images = torch.rand(4, 3, 64, 64)
    assert classifier.features(images).shape == (4, 24)
    assert classifier(images).shape == (4, 7)
    loss = classifier.loss({"image": images, "labels": torch.tensor([0, 1, 2, 6])}, 0, 1, generator())
    assert loss.total.shape == ()
    assert set(loss.terms) == {"cross_entropy", "accuracy"}
    assert not any(term.requires_grad for term in loss.terms.values())
    loss.total.backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in classifier.network.parameters())


def test_loss_is_the_mean_negative_log_probability():
    classifier = ImageClassifier(classes=3, width=8, feature_dim=8).eval()
    batch = coloured(6, seed=0)
    probabilities = classifier(batch["image"]).softmax(dim=1)
    expected = -probabilities[torch.arange(6), batch["labels"]].log().mean()
    torch.testing.assert_close(classifier.loss(batch, 0, 1, generator()).total, expected)


def test_size_of_the_default_network():
    """By hand: convolutions and their normalisations (two numbers a channel), and the last layer."""
    classifier = ImageClassifier(classes=62)
    stem, head = 27 * 32 + 64, 256 * 2048 + 2 * 2048
    first = 2 * (9 * 32 * 32 + 64)
    others = sum(9 * c * 2 * c + 9 * 4 * c * c + 2 * c * c + 3 * 4 * c for c in (32, 64, 128))
    expected = stem + first + others + head + 2048 * 62 + 62
    assert sum(p.numel() for p in classifier.parameters() if p.requires_grad) == expected
    with torch.no_grad():
        flops = count_flops(lambda: classifier(torch.zeros(1, 3, 64, 64)))
    per_pixel = 1024 * 27 * 32 + 1024 * 2 * 9 * 32 * 32
    for c, pixels in ((32, 256), (64, 64), (128, 16)):
        per_pixel += pixels * (9 * c * 2 * c + 9 * 4 * c * c + 2 * c * c)
    assert flops / 2 == per_pixel + 16 * 256 * 2048 + 2048 * 62


def test_features_are_2048_and_never_negative():
    features = ImageClassifier(classes=3).eval().features(torch.rand(2, 3, 64, 64))
    assert features.shape == (2, 2048)
    assert features.min() >= 0
    assert features.max() > 0


def test_held_out_images_do_not_count():
    classifier = ImageClassifier(classes=3, width=8, feature_dim=16).eval()
    batch = coloured(6, seed=0)
    held_out = torch.tensor([1.0, 0, 0, 1, 0, 0])
    kept = {name: values[held_out == 0] for name, values in batch.items()}
    found, expected = (classifier.loss(each, 0, 1, generator()) for each in (batch | {"held_out": held_out}, kept))
    torch.testing.assert_close(found.total, expected.total)
    torch.testing.assert_close(found.terms, expected.terms)
    none = classifier.loss(batch | {"held_out": torch.ones(6)}, 0, 1, generator())
    assert none.total == 0


def test_quality_is_the_accuracy_on_held_out_images():
    classifier = ImageClassifier(classes=3, width=8, feature_dim=16).eval()
    batch = coloured(20, seed=0)
    features, answers = classifier.encode(batch), classifier(batch["image"]).argmax(dim=1)
    held_out = torch.arange(20) % 4 == 0
    labels = torch.where(torch.arange(20) < 8, answers, (answers + 1) % 3)
    split = Split({"labels": labels, "held_out": held_out})
    quality = classifier.quality({"train": features}, {"train": split})
    assert quality == {"accuracy on held-out images": pytest.approx(2 / 5)}


def test_evaluation_uses_the_running_mean_of_the_weights():
    """The mean over the last tenth of the steps: after n steps the newest weights count 9 / (10 + n)."""
    classifier = ImageClassifier(classes=3, width=8, feature_dim=16)
    weight = classifier.network["to_logits"].bias
    batch, mean = coloured(2, seed=0), None
    for step in range(4):
        with torch.no_grad():
            weight.fill_(step)
        classifier.loss(batch, 0, 1, generator())
        mean = float(step) if mean is None else mean + (step - mean) * 9 / (10 + step)
        torch.testing.assert_close(classifier.mean.module["to_logits"].bias, torch.full((3,), mean))
    trained = classifier(batch["image"])
    classifier.eval()
    assert not torch.equal(classifier(batch["image"]), trained)
    assert not any(parameter.requires_grad for parameter in classifier.mean.parameters())


def test_loss_follows_the_generator_alone():
    classifier = ImageClassifier(classes=3, width=8, feature_dim=8)
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
    classifier = ImageClassifier(classes=3, width=8, feature_dim=8).train(mode)
    images = torch.rand(5, 3, 64, 64)
    torch.testing.assert_close(classifier.features(images)[2:3], classifier.features(images[2:3]))
