"""Networks of the HMVAE paper's Oxford Flower experiment, table by table (App. C.4), and the models made of them.

Two modalities: `image`, 3x64x64, and `caption`, a feature vector of 1024 numbers. Where a printed table can't be
built as it stands (shapes that do not fit, sizes that the text contradicts), the repair that comes closest to the
parameter counts of Table 4 is taken. The README of this paper lists each choice with its evidence.

Every encoder ends in 2 D outputs, mean and raw scale of a normal distribution (`shared.models.distributions.normal`);
image decoders end in logits, since the sigmoid that the tables print is part of the Bernoulli likelihood.
"""

from typing import Literal

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

from papers.hmvae.feature_networks import CAPTION_DIM, feature_hierarchy
from papers.hmvae.model import HMVAE, MDVAE, ModalityHierarchy, UniformDropoutMHVAE
from papers.mmvae.model import MMVAE
from shared.models.baselines.mvae import MVAE
from shared.models.contract import Likelihood, per_modality
from shared.models.distributions import Bernoulli, LearnedNormal, Prior
from shared.models.linear import Linear
from shared.models.networks import DCGAN_FEATURES, dcgan_convolutions, dcgan_decoder, dense
from shared.models.objectives import KLWeight


def likelihoods() -> dict[str, Likelihood]:
    """Binary cross-entropy for images, a learned normal for captions."""
    return {"image": Bernoulli(), "caption": LearnedNormal()}


# ---- Table 5: MVAE and MMVAE -------------------------------------------------------------------------------------


def flat_image_encoder(latent_dim: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 32, 4, 2, 1),  # 32x32
        nn.SiLU(),
        nn.Conv2d(32, 64, 4, 2, 1),  # 16x16
        nn.SiLU(),
        nn.Conv2d(64, 128, 4, 2, 1),  # 8x8
        nn.SiLU(),
        nn.Conv2d(128, 128, 1, 1, 0),  # printed (64, 128, 1, 1, 0), which does not fit its input
        nn.SiLU(),
        nn.Conv2d(128, 256, 4, 2, 1),  # 4x4
        nn.SiLU(),
        nn.Flatten(),
        Linear(4096, 512),
        nn.SiLU(),
        Linear(512, 2 * latent_dim),
    )


def flat_image_decoder(latent_dim: int) -> nn.Sequential:
    return nn.Sequential(
        Linear(latent_dim, 512),
        nn.SiLU(),
        Linear(512, 4096),
        nn.SiLU(),
        nn.Unflatten(1, (256, 4, 4)),
        nn.ConvTranspose2d(256, 128, 4, 2, 1),  # 8x8
        nn.SiLU(),
        nn.ConvTranspose2d(128, 64, 1, 1, 0),
        nn.SiLU(),
        nn.ConvTranspose2d(64, 64, 1, 1, 0),
        nn.SiLU(),
        nn.ConvTranspose2d(64, 64, 4, 2, 1),  # 16x16
        nn.SiLU(),
        nn.ConvTranspose2d(64, 32, 4, 2, 1),  # 32x32; printed with padding 0, which ends at 35x35
        nn.SiLU(),
        nn.ConvTranspose2d(32, 3, 4, 2, 1),  # 64x64; the same
        nn.SiLU(),
        nn.Conv2d(3, 3, 3, 1, 1),  # printed (3, 3, 4, 2, 1), which would halve the image
    )


def flat_caption_encoder(latent_dim: int) -> nn.Sequential:
    return dense(CAPTION_DIM, 1024, 768, 1024, 768, 768, 768, 2 * latent_dim)


def flat_caption_decoder(latent_dim: int) -> nn.Sequential:
    # Printed: 16-768, 768-768, 768-768, six of 1024-1024, 1024-2048; nothing leads from 768 to 1024.
    return dense(latent_dim, 768, 768, 1024, 1024, 1024, 1024, 1024, 1024, 2 * CAPTION_DIM)


def _flat(latent_dim: int) -> tuple[dict[str, nn.Module], dict[str, nn.Module]]:
    """Encoders and decoders."""
    return (
        {"image": flat_image_encoder(latent_dim), "caption": flat_caption_encoder(latent_dim)},
        {"image": flat_image_decoder(latent_dim), "caption": flat_caption_decoder(latent_dim)},
    )


def mvae(latent_dim: PositiveInt, warmup_epochs: NonNegativeInt) -> MVAE:
    return MVAE(*_flat(latent_dim), likelihoods(), Prior(latent_dim), KLWeight(warmup_epochs))


def mmvae(latent_dim: PositiveInt, warmup_epochs: NonNegativeInt) -> MMVAE:
    return MMVAE(*_flat(latent_dim), likelihoods(), Prior(latent_dim), KLWeight(warmup_epochs))


# ---- Tables 6 and 7: MDVAE and MHVAE, with a miniature DCGAN for images ------------------------------------------

# Table 6 normalises the second convolution too, and has an activation after the decoder's dense layer; Table 7 neither.


def mdvae(latent_dim: PositiveInt, private_dims: dict[str, PositiveInt], warmup_epochs: NonNegativeInt) -> MDVAE:
    """Table 6. The encoder's output holds both posteriors, the decoder's input both latent variables (its caption)."""
    private_dims = per_modality("private_dims", private_dims, ("image", "caption"), None)
    code = {m: latent_dim + private for m, private in private_dims.items()}
    encoders = {
        "image": nn.Sequential(
            *dcgan_convolutions(norm_second=True),
            Linear(DCGAN_FEATURES, 512),
            nn.LeakyReLU(),
            Linear(512, 2 * code["image"]),
        ),
        "caption": dense(CAPTION_DIM, 1024, 768, 768, 768, 2 * code["caption"]),
    }
    decoders = {
        "image": dcgan_decoder(code["image"], activation_after_dense=True),
        "caption": dense(code["caption"], 768, 768, 1024, 1024, 2 * CAPTION_DIM),
    }
    private = {m: Prior(size) for m, size in private_dims.items()}
    return MDVAE(encoders, decoders, likelihoods(), Prior(latent_dim), private, KLWeight(warmup_epochs))


def mhvae(
    latent_dim: PositiveInt,
    private_dims: dict[str, PositiveInt],
    warmup_core: NonNegativeInt,
    warmup_private: NonNegativeInt,
) -> UniformDropoutMHVAE:
    """Tables 7 (x <-> h, z) and 8 (h -> g, g -> z, h -> z)."""
    private_dims = per_modality("private_dims", private_dims, ("image", "caption"), None)
    hidden = 512
    return UniformDropoutMHVAE(
        lower_encoders={
            "image": nn.Sequential(*dcgan_convolutions(norm_second=False), Linear(DCGAN_FEATURES, hidden), nn.SiLU()),
            "caption": dense(CAPTION_DIM, 1024, 768, 768, hidden, last=True),
        },
        hidden_dims=dict.fromkeys(private_dims, hidden),
        private_heads={m: Linear(hidden, 2 * size) for m, size in private_dims.items()},
        upper_encoder=dense(2 * hidden, 768, 768, 768, 2 * latent_dim),
        upper_decoders={m: dense(latent_dim, 500, 500, 500, 2 * size) for m, size in private_dims.items()},
        lower_decoders={
            "image": dcgan_decoder(private_dims["image"], activation_after_dense=False),
            "caption": dense(private_dims["caption"], 768, 1024, 1024, 2 * CAPTION_DIM),
        },
        likelihoods=likelihoods(),
        prior=Prior(latent_dim),
        core_weight=KLWeight(warmup_core),
        private_weights=dict.fromkeys(private_dims, KLWeight(warmup_private)),
    )


# ---- Figure 13 and App. C.4: HMVAE ---------------------------------------------------------------------------------

# Figure 13 is a drawing, which was not at hand; its networks follow the paper's tables for the other models where those
# have a counterpart, and the text of App. C.4. That of captions has Fig. 12's.


def shallow_image_hierarchy(latent_dim: int, channels: int) -> ModalityHierarchy:
    """L(1) = 2: one latent variable of `channels` x 8 x 8 under g, single strided convolutions around it.

    The layer between the 8x8 map and a vector is 8192 x 384, one of the "more than three million parameters" that
    the caption of Table 4 speaks of.
    """
    width, side, vector = 128, 8, 384
    return ModalityHierarchy(
        bottom_up=[
            nn.Sequential(
                nn.Conv2d(3, 32, 4, 2, 1),  # 32x32
                nn.GELU(),
                nn.Conv2d(32, 64, 4, 2, 1),  # 16x16
                nn.GELU(),
                nn.Conv2d(64, width, 4, 2, 1),  # 8x8
                nn.GELU(),
            )
        ],
        expert=nn.Sequential(nn.Flatten(), dense(width * side**2, vector, 2 * latent_dim, activation=nn.GELU)),
        top_down=[
            nn.Sequential(
                dense(latent_dim, vector, width * side**2, activation=nn.GELU, last=True),
                nn.Unflatten(1, (width, side, side)),
            )
        ],
        priors=[nn.Conv2d(width, 2 * channels, 1)],
        merges=[nn.Sequential(nn.Conv2d(2 * width, width, 3, 1, 1), nn.GELU())],
        posteriors=[nn.Conv2d(width, 2 * channels, 1)],
        decoder=nn.Sequential(
            nn.Conv2d(channels, width, 3, 1, 1),
            nn.GELU(),
            nn.ConvTranspose2d(width, 64, 4, 2, 1),  # 16x16
            nn.GELU(),
            nn.ConvTranspose2d(64, 32, 4, 2, 1),  # 32x32
            nn.GELU(),
            nn.ConvTranspose2d(32, 3, 4, 2, 1),  # 64x64
        ),
    )


class Bottleneck(nn.Module):
    """Three convolutions, 1x1, 3x3, 1x1, with half of the width inside, each after its activation (Child, 2021).

    The input is added where it has the width of the output. scale: of the last convolution's initial weights, small
    where many blocks in a row add up.
    """

    def __init__(self, inputs: int, width: int, scale: float = 1.0) -> None:
        super().__init__()
        inside = width // 2
        self.residual = inputs == width
        self.layers = nn.Sequential(
            nn.GELU(),
            nn.Conv2d(inputs, inside, 1),
            nn.GELU(),
            nn.Conv2d(inside, inside, 3, 1, 1),
            nn.GELU(),
            _scaled(nn.Conv2d(inside, width, 1), scale),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.residual else self.layers(x)


def _scaled(layer: nn.Conv2d, scale: float) -> nn.Conv2d:
    """A convolution whose initial weights are `scale` times torch's, and its bias zero."""
    with torch.no_grad():
        layer.weight.mul_(scale)
        layer.bias.zero_()
    return layer


def deep_image_hierarchy(latent_dim: int, channels: int, top_down: Literal["residual", "markov"]) -> ModalityHierarchy:
    """L(1) = 5: latent variables of `channels` x 16², 8², 4², 2² under g, and one width for all maps up to 32x32.

    top_down: `residual` lets the state pass the latent variables, which add to it; `markov` makes it of them (Eq. 4).
    Initial values are after Child (2021), too: what is added to the state is small, and priors are alike everywhere.
    """
    width, levels, top, vector = 128, 4, 2, 640
    size, scale = width * top**2, (levels + 1) ** -0.5  # 32 to 2 pixels are five resolutions

    def block() -> Bottleneck:
        return Bottleneck(width, width, scale)

    def bottom_up(level: int) -> nn.Sequential:
        stem = [nn.Conv2d(3, width, 4, 2, 1), block()] if level == 1 else []  # 32x32
        return nn.Sequential(*stem, nn.AvgPool2d(2), block())

    def to_state(level: int) -> list[nn.Module]:
        if level < levels:
            return [nn.UpsamplingNearest2d(scale_factor=2)]
        return [dense(latent_dim, vector, vector, size, activation=nn.GELU), nn.Unflatten(1, (width, top, top))]

    each_level = range(1, levels + 1)
    states = [nn.Sequential(*to_state(level), block()) for level in each_level]
    projections = [nn.Conv2d(channels, width, 1) for _ in each_level]
    decoder = nn.Sequential(
        block(),
        nn.UpsamplingNearest2d(scale_factor=2),  # 32x32
        block(),
        nn.Conv2d(width, 32, 1),  # as many channels before the last layer as in all other decoders
        nn.GELU(),
        nn.UpsamplingNearest2d(scale_factor=2),  # 64x64
        nn.Conv2d(32, 3, 3, 1, 1),
    )
    if top_down == "markov":
        lowest, *others = projections
        states = [*map(nn.Sequential, others, states), states[-1]]
        decoder, projections = nn.Sequential(lowest, decoder), None
    else:
        projections = [_scaled(layer, scale) for layer in projections]
    return ModalityHierarchy(
        bottom_up=[bottom_up(level) for level in each_level],
        expert=nn.Sequential(nn.GELU(), nn.Flatten(), dense(size, vector, vector, 2 * latent_dim, activation=nn.GELU)),
        top_down=states,
        priors=[_scaled(nn.Conv2d(width, 2 * channels, 1), 0) for _ in each_level],
        merges=[Bottleneck(2 * width, width) for _ in each_level],
        posteriors=[nn.Conv2d(width, 2 * channels, 1) for _ in each_level],
        decoder=decoder,
        projections=projections,
    )


def hmvae_shallow(
    latent_dim: PositiveInt, channels: PositiveInt, caption_dim: PositiveInt, warmup_epochs: NonNegativeInt
) -> HMVAE:
    """L(1) = L(2) = 2, the row `HMVAE (ablation)` of Table 2."""
    hierarchies = {
        "image": shallow_image_hierarchy(latent_dim, channels),
        "caption": feature_hierarchy(CAPTION_DIM, latent_dim, caption_dim),
    }
    return HMVAE(hierarchies, likelihoods(), Prior(latent_dim), KLWeight(warmup_epochs))


def hmvae_deep(
    latent_dim: PositiveInt,
    channels: PositiveInt,
    caption_dim: PositiveInt,
    warmup_epochs: NonNegativeInt,
    top_down: Literal["residual", "markov"],
) -> HMVAE:
    """L(1) = 5, L(2) = 2, six latent variables."""
    hierarchies = {
        "image": deep_image_hierarchy(latent_dim, channels, top_down),
        "caption": feature_hierarchy(CAPTION_DIM, latent_dim, caption_dim),
    }
    model = HMVAE(hierarchies, likelihoods(), Prior(latent_dim), KLWeight(warmup_epochs))
    return model.to(memory_format=torch.channels_last)  # as images are: a fifth faster than to and fro
