"""A small image classifier, whose features serve where the weights of ImageNet networks are not at hand."""

import torch
from pydantic import PositiveInt
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from shared.models.contract import Batch, Loss, Trainable
from shared.models.linear import Linear

_MAX_SHIFT = 4  # pixels in each direction, of 64


class ImageClassifier(Trainable):
    """Convolutional classifier of 64x64 colour images: 43 million multiply-adds per image with width 32.

    Group normalisation keeps an image's features independent of the others in its batch.

    classes: number of classes C. width: channels of the first stage, a multiple of 8; they double in each of
    the three other stages. feature_dim: D of the features, which are the input of the final linear layer.
    """

    def __init__(self, classes: PositiveInt, width: PositiveInt = 32, feature_dim: PositiveInt = 128) -> None:
        super().__init__()
        self.feature_dim = feature_dim
        stages = [_convolution(3, width, stride=2)]
        for channels in (width, 2 * width, 4 * width):
            stages += [
                _convolution(channels, 2 * channels, stride=2),
                _convolution(2 * channels, 2 * channels, stride=1),
            ]
        self.convolutions = nn.Sequential(*stages)
        self.to_features = Linear(8 * width, feature_dim)
        self.to_logits = Linear(feature_dim, classes)

    def features(self, images: Tensor) -> Tensor:
        """(B, D) features of images (B, 3, 64, 64) in [0, 1]."""
        maps = self.convolutions(2 * images - 1)
        return F.silu(self.to_features(maps.mean(dim=(2, 3))))

    def forward(self, images: Tensor) -> Tensor:
        """(B, C) logits of images (B, 3, 64, 64) in [0, 1]."""
        return self.to_logits(self.features(images))

    def loss(self, batch: Batch, epoch: int, samples: int, generator: Generator) -> Loss:
        """Cross-entropy in nats per image of "image" (B, 3, 64, 64) in [0, 1] with "labels" (B,) in 0..C-1.

        In training mode images are flipped and shifted at random. `epoch` and `samples` have no meaning here.
        """
        images, labels = batch["image"], batch["labels"]
        logits = self(augment(images, generator) if self.training else images)
        cross_entropy = F.cross_entropy(logits, labels)
        accuracy = (logits.argmax(dim=1) == labels).float().mean()
        return Loss(cross_entropy, {"cross_entropy": cross_entropy.detach(), "accuracy": accuracy})


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


def _convolution(inputs: int, outputs: int, stride: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False),
        nn.GroupNorm(num_groups=8, num_channels=outputs),
        nn.SiLU(),
    )
