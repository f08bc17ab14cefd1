"""Building blocks of encoders and decoders that several papers share."""

from itertools import pairwise

from torch import nn

from shared.models.linear import Linear


def dense(
    *sizes: int, activation: type[nn.Module] = nn.LeakyReLU, last: bool = False, normalise: bool = False
) -> nn.Sequential:
    """Dense layers with an activation between them, and after the last one too if `last`.

    normalise: batch normalisation before each activation.
    """
    layers: list[nn.Module] = []
    for i, (inputs, outputs) in enumerate(pairwise(sizes)):
        layers.append(Linear(inputs, outputs))
        if last or i < len(sizes) - 2:
            if normalise:
                layers.append(nn.BatchNorm1d(outputs))
            layers.append(activation())
    return nn.Sequential(*layers)


# ---- The miniature DCGAN (after Radford et al., 2015) for colour images of 64x64 -----------------------------------

DCGAN_FEATURES = 256 * 5 * 5


def dcgan_convolutions(norm_second: bool) -> list[nn.Module]:
    """(N, 3, 64, 64) -> (N, 6400). The first convolution is never normalised, the second one if `norm_second`."""
    return [
        nn.Conv2d(3, 32, 4, 2, 1),  # 32x32
        nn.SiLU(),
        nn.Conv2d(32, 64, 4, 2, 1),  # 16x16
        *([nn.BatchNorm2d(64)] if norm_second else []),
        nn.SiLU(),
        nn.Conv2d(64, 128, 4, 2, 1),  # 8x8
        nn.BatchNorm2d(128),
        nn.SiLU(),
        nn.Conv2d(128, 256, 4, 1, 0),  # 5x5
        nn.BatchNorm2d(256),
        nn.SiLU(),
        nn.Flatten(),
    ]


def dcgan_decoder(latent_dim: int, activation_after_dense: bool) -> nn.Sequential:
    """(N, D) -> logits (N, 3, 64, 64)."""
    return nn.Sequential(
        Linear(latent_dim, DCGAN_FEATURES),
        *([nn.SiLU()] if activation_after_dense else []),
        nn.Unflatten(1, (256, 5, 5)),
        nn.ConvTranspose2d(256, 128, 4, 1, 0),  # 8x8
        nn.BatchNorm2d(128),
        nn.SiLU(),
        nn.ConvTranspose2d(128, 64, 4, 2, 1),  # 16x16
        nn.BatchNorm2d(64),
        nn.SiLU(),
        nn.ConvTranspose2d(64, 32, 4, 2, 1),  # 32x32
        nn.BatchNorm2d(32),
        nn.SiLU(),
        nn.ConvTranspose2d(32, 3, 4, 2, 1),  # 64x64
    )
