"""Networks that turn images into the features that metrics compare."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shared.errors import InputError
from shared.metrics.classifier import ImageClassifier


class FeatureExtractor(ABC):
    """Images to features, with memory bounded by `batch` images at a time.

    name: what the metric's name says of its features, such as "FID (classifier features)".
    dimension: D of the features.
    pretrained: whether these are features that papers use, trained on ImageNet, or the package's substitute.
    """

    name: ClassVar[str]
    pretrained: ClassVar[bool] = True
    dimension: int

    def __init__(self, network: nn.Module, device: torch.device | str, batch: int) -> None:
        self.network = network.eval().to(device)
        self.device = torch.device(device)
        self.batch = batch

    def __call__(self, images: Tensor) -> Tensor:
        """Features (N, D), float32, on the CPU, of images (N, 3, H, W): uint8, or floats in [0, 1].

        InputError: another shape, or floats outside [0, 1].
        """
        if images.ndim != 4 or images.shape[1] != 3:
            raise InputError(f"images: expected the shape (N, 3, H, W), found {tuple(images.shape)}")
        return torch.cat([self._batch_features(batch) for batch in images.split(self.batch)])

    @torch.inference_mode()
    def _batch_features(self, images: Tensor) -> Tensor:
        images = images.to(self.device)
        images = images.float() / 255 if images.dtype == torch.uint8 else images.float()
        if not ((images >= 0) & (images <= 1)).all():  # NaN fails it too
            raise InputError("images: float values outside [0, 1]; give uint8, or the likelihood's means")
        return self._features(images).float().cpu()

    @abstractmethod
    def _features(self, images: Tensor) -> Tensor:
        """(B, D) features of float images (B, 3, H, W) in [0, 1]."""


class InceptionFeatures(FeatureExtractor):
    """The 2048 pooled features of pytorch-fid's Inception network, whose weights were ported from TensorFlow.

    Resizing to 299x299 and scaling to [-1, 1] are part of the network.
    """

    name = "Inception features"
    dimension = 2048

    def __init__(self, weights: str | Path, device: torch.device | str = "cpu", batch: int = 16) -> None:
        from pytorch_fid import inception  # a second of imports that runs without Inception are spared

        state = torch.load(weights, map_location="cpu", weights_only=True)
        # pytorch-fid takes no weights, it downloads them. Its loader alone is replaced, so that the
        # architecture (TensorFlow's pooling, not torchvision's) stays pytorch-fid's own.
        with mock.patch.object(inception, "load_state_dict_from_url", return_value=state):
            network = inception.InceptionV3()
        super().__init__(network, device, batch)

    def _features(self, images: Tensor) -> Tensor:
        return self.network(images)[0].flatten(start_dim=1)


class ResNet101Features(FeatureExtractor):
    """The 2048 pooled features of torchvision's ResNet-101, trained on ImageNet (HMVAE Sec. 4.3).

    The weights are torchvision's first version, the usual ones when the paper was written. Images are resized
    to 224x224 without cropping: they are square already, and flowers reach the borders.
    """

    name = "ResNet-101 features"
    dimension = 2048

    def __init__(self, weights: str | Path, device: torch.device | str = "cpu", batch: int = 16) -> None:
        from torchvision.models import resnet101  # as in InceptionFeatures

        network = resnet101()
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        network.fc = nn.Identity()
        super().__init__(network, device, batch)
        self._mean = torch.tensor([0.485, 0.456, 0.406], device=device).view(3, 1, 1)  # of ImageNet's pixels
        self._std = torch.tensor([0.229, 0.224, 0.225], device=device).view(3, 1, 1)

    def _features(self, images: Tensor) -> Tensor:
        resized = F.interpolate(images, size=(224, 224), mode="bilinear", antialias=True)
        return self.network((resized - self._mean) / self._std)


class ClassifierFeatures(FeatureExtractor):
    """The penultimate layer of a classifier that the package trains itself: no pretrained file is needed."""

    name = "classifier features"
    pretrained = False

    def __init__(self, classifier: ImageClassifier, device: torch.device | str = "cpu", batch: int = 256) -> None:
        super().__init__(classifier, device, batch)
        self.dimension = classifier.feature_dim

    def _features(self, images: Tensor) -> Tensor:
        return self.network.features(images)


@dataclass(frozen=True)
class Features:
    """Features of the same images in both spaces of an evaluation, (N, D) each."""

    fid: Tensor
    manifold: Tensor


@dataclass(frozen=True)
class Extractors:
    """The two feature spaces of an evaluation: of the Fréchet distance, and of everything else."""

    fid: FeatureExtractor
    manifold: FeatureExtractor

    def __call__(self, images: Tensor) -> "Features":
        """Both kinds of features of images (N, 3, H, W); one pass where they are the same."""
        manifold = self.manifold(images)
        return Features(manifold if self.fid is self.manifold else self.fid(images), manifold)

    @classmethod
    def of(cls, networks: Mapping[str, Any], device: torch.device | str) -> "Extractors":
        """Those of the roles `fid` and `manifold`; a classifier that the workflow trained stands for either."""
        wrapped = {
            id(network): network if isinstance(network, FeatureExtractor) else ClassifierFeatures(network, device)
            for network in (networks["fid"], networks["manifold"])
        }
        return cls(wrapped[id(networks["fid"])], wrapped[id(networks["manifold"])])
