"""Networks of the MHVAE paper's three experiments (sections 3.1.1 to 3.1.3), and the models made of them.

All models of an experiment share the architecture of its modalities' networks: an encoder up to the hidden
representation h_m, and a decoder. The MHVAE adds the core network between the h_m and z^c and between z^c and the z_m.
What the paper leaves open, activations and normalisation for the most part, is listed with its reasons in this paper's
README.

Encoders end in 2 D outputs, mean and raw scale of a normal distribution (`shared.models.distributions.normal`),
decoders in logits.
"""

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import NonNegativeInt, PositiveInt
from torch import nn

from papers.mhvae.model import BernoulliDropoutMHVAE
from shared.models.baselines.jmvae import JMVAE
from shared.models.baselines.mvae import MVAE
from shared.models.contract import Likelihood, per_modality
from shared.models.distributions import Bernoulli, OneHotCategorical, Prior
from shared.models.linear import Linear
from shared.models.networks import DCGAN_FEATURES, dcgan_convolutions, dcgan_decoder, dense
from shared.models.objectives import KLWeight
from shared.run.devices import named


@dataclass(frozen=True)
class Modality:
    """What all models share for one modality.

    encoder: makes a network x_m -> h_m, (N, hidden_dim). decoder: makes one for latents of a size, (N, D) -> logits.
    """

    encoder: Callable[[], nn.Module]
    hidden_dim: int
    decoder: Callable[[int], nn.Module]
    likelihood: Likelihood


def perceptron(inputs: int, hidden: int, likelihood: Likelihood, shape: tuple[int, ...] | None = None) -> Modality:
    """Three linear layers, each with batch normalisation and a leaky rectifier (3.1.1). shape: of images, (C, H, W)."""

    def encoder() -> nn.Module:
        flatten = [] if shape is None else [nn.Flatten()]
        return nn.Sequential(*flatten, dense(inputs, hidden, hidden, hidden, last=True, normalise=True))

    def decoder(latent_dim: int) -> nn.Module:
        unflatten = [] if shape is None else [nn.Unflatten(1, shape)]
        return nn.Sequential(dense(latent_dim, hidden, hidden, hidden, inputs, normalise=True), *unflatten)

    return Modality(encoder, hidden, decoder, likelihood)


def _fashion_encoder() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 32, 4, 2, 1),  # 14x14
        nn.SiLU(),
        nn.Conv2d(32, 64, 4, 2, 1),  # 7x7
        nn.SiLU(),
        nn.Flatten(),
        dense(64 * 7 * 7, 128, activation=nn.SiLU, last=True),
    )


def _fashion_decoder(latent_dim: int) -> nn.Module:
    return nn.Sequential(
        dense(latent_dim, 128, 64 * 7 * 7, activation=nn.SiLU, last=True),
        nn.Unflatten(1, (64, 7, 7)),
        nn.ConvTranspose2d(64, 32, 4, 2, 1),  # 14x14
        nn.SiLU(),
        nn.ConvTranspose2d(32, 1, 4, 2, 1),  # 28x28
    )


def _celeba_encoder() -> nn.Module:
    convolutions = dcgan_convolutions(norm_second=True)
    return nn.Sequential(*convolutions, dense(DCGAN_FEATURES, 512, activation=nn.SiLU, last=True))


def _celeba_decoder(latent_dim: int) -> nn.Module:
    return dcgan_decoder(latent_dim, activation_after_dense=True)


# The networks of the three experiments, which `networks` in experiments.yaml names; in the order x_1, x_2 of the paper.


def mnist() -> dict[str, Modality]:
    return {
        "image": perceptron(784, 512, Bernoulli(), shape=(1, 28, 28)),
        "label": perceptron(10, 128, OneHotCategorical()),
    }


def fashion_mnist() -> dict[str, Modality]:
    return {
        "image": Modality(_fashion_encoder, 128, _fashion_decoder, Bernoulli()),
        "label": perceptron(10, 128, OneHotCategorical()),
    }


def celeba() -> dict[str, Modality]:
    return {
        "image": Modality(_celeba_encoder, 512, _celeba_decoder, Bernoulli()),
        "attributes": perceptron(18, 512, Bernoulli()),
    }


def _encoders(modalities: dict[str, Modality], latent_dim: int) -> dict[str, nn.Module]:
    return {m: nn.Sequential(each.encoder(), Linear(each.hidden_dim, 2 * latent_dim)) for m, each in modalities.items()}


def _decoders(modalities: dict[str, Modality], latent_dims: dict[str, int]) -> dict[str, nn.Module]:
    return {m: each.decoder(latent_dims[m]) for m, each in modalities.items()}


def _likelihoods(modalities: dict[str, Modality]) -> dict[str, Likelihood]:
    return {m: each.likelihood for m, each in modalities.items()}


def mhvae(
    networks: str,
    latent_dim: PositiveInt,
    private_dims: dict[str, PositiveInt],
    core_hidden: PositiveInt,
    dropout: dict[str, float],
    reconstruction_weights: dict[str, float],
    private_weights: dict[str, float],
    core_weight: float,
    warmup_core: NonNegativeInt,
    warmup_private: NonNegativeInt,
) -> BernoulliDropoutMHVAE:
    """networks: the function for the modalities' own. core_hidden: width of the core network's three hidden layers."""
    modalities = named(networks)()
    private_dims = per_modality("private_dims", private_dims, tuple(modalities), None)
    hidden_dims = {m: each.hidden_dim for m, each in modalities.items()}
    core, ones = [core_hidden] * 3, dict.fromkeys(modalities, 1.0)
    return BernoulliDropoutMHVAE(
        lower_encoders={m: each.encoder() for m, each in modalities.items()},
        hidden_dims=hidden_dims,
        private_heads={m: Linear(hidden_dims[m], 2 * size) for m, size in private_dims.items()},
        upper_encoder=dense(sum(hidden_dims.values()), *core, 2 * latent_dim, normalise=True),
        upper_decoders={m: dense(latent_dim, *core, 2 * size, normalise=True) for m, size in private_dims.items()},
        lower_decoders=_decoders(modalities, private_dims),
        likelihoods=_likelihoods(modalities),
        prior=Prior(latent_dim),
        core_weight=KLWeight(warmup_core, core_weight),
        private_weights={m: KLWeight(warmup_private, beta) for m, beta in (ones | private_weights).items()},
        reconstruction_weights=reconstruction_weights,
        dropout=dropout,
    )


def jmvae(
    networks: str,
    latent_dim: PositiveInt,
    alpha: float,
    warmup_epochs: NonNegativeInt,
) -> JMVAE:
    """networks: as above. The joint encoder has trunks of its own, then a layer as wide as the image's."""
    modalities = named(networks)()
    joined = sum(each.hidden_dim for each in modalities.values())
    widest = max(each.hidden_dim for each in modalities.values())
    return JMVAE(
        joint_trunks={m: each.encoder() for m, each in modalities.items()},
        joint_head=dense(joined, widest, 2 * latent_dim),
        encoders=_encoders(modalities, latent_dim),
        decoders=_decoders(modalities, dict.fromkeys(modalities, latent_dim)),
        likelihoods=_likelihoods(modalities),
        prior=Prior(latent_dim),
        kl_weight=KLWeight(warmup_epochs),
        alpha=alpha,
    )


def mvae(
    networks: str,
    latent_dim: PositiveInt,
    reconstruction_weights: dict[str, float],
    random_subsets: NonNegativeInt,
    warmup_epochs: NonNegativeInt,
) -> MVAE:
    """networks: as above."""
    modalities = named(networks)()
    return MVAE(
        encoders=_encoders(modalities, latent_dim),
        decoders=_decoders(modalities, dict.fromkeys(modalities, latent_dim)),
        likelihoods=_likelihoods(modalities),
        prior=Prior(latent_dim),
        kl_weight=KLWeight(warmup_epochs),
        reconstruction_weights=reconstruction_weights,
        random_subsets=random_subsets,
    )
