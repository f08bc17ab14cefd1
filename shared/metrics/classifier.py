"""A residual image classifier: where the weights of ImageNet networks are not at hand, its features serve in metrics,
and as the image features of data sets that the papers encode with a ResNet-101."""

from collections.abc import Mapping

import torch
from pydantic import PositiveInt
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from shared.data.arrays import Split
from shared.models.averaged import AveragedEncoder
from shared.models.contract import Batch, Loss
from shared.models.linear import Linear

_MAX_SHIFT = 4  # pixels in each direction, of 64


class ImageClassifier(AveragedEncoder):
    """Residual classifier of 64x64 colour images (after He et al., 2016).

    Like ResNet-101 it ends in a 1x1 convolution to `feature_dim` channels, a ReLU and the mean over pixels: features
    are never negative. Group normalisation keeps an image's features independent of the others in its batch.

    classes: number of classes C. width: channels of the first stage, a multiple of 8; they double in each of the three
    other stages. blocks: per stage. feature_dim: D of the features, which the final linear layer is given; also a
    multiple of 8.
    """

    name = "residual classifier"
    encodes = "image_features"

    def __init__(
        self, classes: PositiveInt, width: PositiveInt = 32, blocks: PositiveInt = 1, feature_dim: PositiveInt = 2048
    ) -> None:
        stages, channels = [*_convolution(3, width, 3, stride=2), nn.ReLU()], width
        for outputs in (width, 2 * width, 4 * width, 8 * width):
            for block in range(blocks):
                stages.append(Residual(channels, outputs, stride=1 if block or outputs == width else 2))
                channels = outputs
        maps = nn.Sequential(*stages, *_convolution(channels, feature_dim, 1), nn.ReLU())
        super().__init__(nn.ModuleDict({"maps": maps, "to_logits": Linear(feature_dim, classes)}))
        self.feature_dim = feature_dim

    def features(self, images: Tensor) -> Tensor:
        """(B, D) features of images (B, 3, 64, 64) in [0, 1]."""
        return self.layers["maps"](2 * images - 1).mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """(B, C) logits of images (B, 3, 64, 64) in [0, 1]."""
        return self.layers["to_logits"](self.features(images))

    def loss(self, batch: Batch, epoch: int, samples: int, generator: Generator) -> Loss:
        """Cross-entropy in nats per image of "image" (B, 3, 64, 64) in [0, 1] with "labels" (B,) in 0..C-1.

        Images that are "held_out" (B,), if the batch says so, do not count. In training mode images are flipped and
        shifted at random. `epoch` and `samples` have no meaning here.
        """
        images, labels = batch["image"], batch["labels"]
        self.advance()
        logits = self(augment(images, generator) if self.training else images)
        counts = 1 - batch.get("held_out", torch.zeros(len(labels), device=labels.device))

        def mean(values: Tensor) -> Tensor:
            return (counts * values).sum() / counts.sum().clamp(min=1)

        cross_entropy = mean(F.cross_entropy(logits.float(), labels, reduction="none"))
        accuracy = mean((logits.argmax(dim=1) == labels).float())
        return Loss(cross_entropy, {"cross_entropy": cross_entropy.detach(), "accuracy": accuracy})

    def encode(self, batch: Batch) -> Tensor:
        """Features (B, D) of "image"."""
        return self.features(batch["image"])

    def quality(self, features: Mapping[str, Tensor], splits: Mapping[str, Split]) -> dict[str, float]:
        """Accuracy on the images of the training classes that were held out of the training."""
        train = splits["train"].tensors
        held_out = train["held_out"]
        correct = self.layers["to_logits"](features["train"][held_out]).argmax(dim=1) == train["labels"][held_out]
        return {"accuracy on held-out images": correct.float().mean().item()}


class Residual(nn.Module):
    """ReLU(x + f(x)), f two 3x3 convolutions; x through a 1x1 convolution where its shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            *_convolution(inputs, outputs, 3, stride), nn.ReLU(), *_convolution(outputs, outputs, 3)
        )
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else nn.Sequential(*_convolution(inputs, outputs, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.shortcut(x) + self.residual(x))


def augment(images: Tensor, generator: Generator) -> Tensor:
    """Images (B, 3, H, W), each mirrored by chance and shifted by up to 4 pixels, its borders repeated."""
    count, _, height, width = images.shape

    def integers(high: int) -> Tensor:
        drawn = torch.randint(high, (count, 1, 1, 1), generator=generator, device=generator.device)
        return drawn.to(images.device)

    mirrored, down, right = integers(2), integers(2 * _MAX_SHIFT + 1), integers(2 * _MAX_SHIFT + 1)
    pixels = torch.arange(max(height, width), device=images.device)
    rows = (pixels[:height, None] + down - _MAX_SHIFT).clamp(0, height - 1)  # (B, 1, H, 1)
    columns = (pixels[:width] + right - _MAX_SHIFT).clamp(0, width - 1)  # (B, 1, 1, W)
    columns = torch.where(mirrored == 1, width - 1 - columns, columns)
    image = torch.arange(count, device=images.device).view(-1, 1, 1, 1)
    channel = torch.arange(images.shape[1], device=images.device).view(1, -1, 1, 1)
    return images[image, channel, rows, columns]


def _convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, kernel_size=size, stride=stride, padding=size // 2, bias=False),
        nn.GroupNorm(num_groups=8, num_channels=outputs),
    ]
