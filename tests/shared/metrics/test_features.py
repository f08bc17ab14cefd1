from pathlib import Path
from unittest import mock

import pytest
import torch
import torchvision
from pytorch_fid import inception
from torch import nn
from torchvision.transforms import v2

from shared.data import ledger
from shared.errors import InputError
from shared.metrics.classifier import ImageClassifier
from shared.metrics.features import (
    ClassifierFeatures,
    Extractors,
    InceptionFeatures,
    ResNet101Features,
)


def saved(network: nn.Module, folder: Path) -> Path:
    """Random weights in a file; the published ones, whose checksum the ledger knows, are not at hand."""
    path = folder / f"{type(network).__name__}.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def networks() -> dict[str, nn.Module]:
    """The architectures as their libraries build them, with random weights."""
    torch.manual_seed(0)
    with (
        mock.patch.object(inception, "load_state_dict_from_url"),
        mock.patch.object(torchvision.models.Inception3, "load_state_dict"),
    ):
        fid_network = inception.fid_inception_v3()
    for module in fid_network.modules():  # torchvision's own initialisation is slow
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    return {"inception": fid_network, "resnet101": torchvision.models.resnet101()}


@pytest.fixture(scope="module")
def extractors(networks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrained")
    torch.manual_seed(1)
    return {
        "inception": InceptionFeatures(saved(networks["inception"], folder), batch=2),
        "resnet101": ResNet101Features(saved(networks["resnet101"], folder), batch=2),
        "classifier": ClassifierFeatures(ImageClassifier(classes=5, width=8, feature_dim=16), batch=2),
    }


def pooled(network: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """What the network's last pooling layer puts out."""
    outputs = []
    hook = network.avgpool.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    with torch.no_grad():
        network.eval()(inputs)
    hook.remove()
    return outputs[0].flatten(start_dim=1)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randint(256, (3, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("name", "dimension"), [("inception", 2048), ("resnet101", 2048), ("classifier", 16)])
def test_shape_determinism_and_independence_of_batches(extractors, images, name, dimension):
    extractor = extractors[name]
    features = extractor(images)
    assert features.shape == (3, dimension)
    assert extractor.dimension == dimension
    assert features.dtype == torch.float32
    assert features.std() > 0
    assert torch.equal(extractor(images), features)
    scale = features.abs().max().item()
    alone = torch.cat([extractor(image[None]) for image in images])
    torch.testing.assert_close(alone, features, rtol=1e-4, atol=1e-5 * scale)
    torch.testing.assert_close(extractor(images.float() / 255), features, rtol=1e-4, atol=1e-5 * scale)


def test_features_are_ordinary_tensors(extractors, images):
    features = extractors["classifier"](images)
    features.add_(1)  # an inference tensor would refuse
    assert not features.requires_grad


def test_inception_is_the_network_of_the_file(networks, extractors, images):
    """The network whose weights were saved, on images scaled by hand."""
    pixels = nn.functional.interpolate(images.float(), (299, 299), mode="bilinear", align_corners=False)
    expected = pooled(networks["inception"], pixels / 127.5 - 1)
    scale = expected.abs().max().item()
    torch.testing.assert_close(extractors["inception"](images), expected, rtol=1e-3, atol=1e-4 * scale)


def test_resnet_preprocessing_is_torchvisions(networks, extractors, images):
    published = torchvision.models.ResNet101_Weights.IMAGENET1K_V1.transforms()
    preprocess = v2.Compose(
        [
            v2.Resize((224, 224), antialias=True),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(published.mean, published.std),
        ]
    )
    expected = pooled(networks["resnet101"], preprocess(images.float() / 255))
    scale = expected.abs().max().item()
    torch.testing.assert_close(extractors["resnet101"](images), expected, rtol=1e-3, atol=1e-4 * scale)


def test_addresses_are_those_of_the_libraries():
    weights = torchvision.models.ResNet101_Weights.IMAGENET1K_V1
    assert ledger.entry("pretrained", "inception_fid").url == inception.FID_WEIGHTS_URL
    assert ledger.entry("pretrained", "resnet101").url == weights.url


def test_a_trained_classifier_stands_for_either_role_beside_a_pretrained_network(extractors, images):
    classifier = ImageClassifier(classes=5, width=8, feature_dim=16)
    both = Extractors.of({"fid": classifier, "manifold": classifier}, "cpu")
    assert both.fid is both.manifold  # one pass for both
    mixed = Extractors.of({"fid": extractors["inception"], "manifold": classifier}, "cpu")(images)
    assert torch.equal(mixed.fid, extractors["inception"](images))
    assert torch.equal(mixed.manifold, both(images).fid)


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_floats_outside_the_unit_interval(extractors, value):
    images = torch.zeros(5, 3, 64, 64)
    images[4, 2, 1, 0] = value
    with pytest.raises(InputError, match=r"outside \[0, 1\]"):
        extractors["classifier"](images)


def test_wrong_shape(extractors):
    with pytest.raises(InputError, match=r"expected the shape \(N, 3, H, W\), found \(2, 1, 64, 64\)"):
        extractors["classifier"](torch.zeros(2, 1, 64, 64))
