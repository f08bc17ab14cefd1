"""Networks of the HMVAE paper's feature experiments (section 4.2): Table 3, Fig. 12, and the models made of them.

Two modalities, both feature vectors with a learned normal likelihood: `image`, 2048 numbers, and `caption`, 1024. The
layers are the same for both; every encoder ends in 2 D outputs, mean and raw scale.
"""

from pydantic import NonNegativeInt, PositiveInt
from torch import nn

from papers.hmvae.model import HMVAE, ModalityHierarchy
from papers.mmvae.model import MMVAE
from shared.models.baselines.mvae import MVAE
from shared.models.contract import Likelihood, per_modality
from shared.models.distributions import LearnedNormal, Prior
from shared.models.linear import Linear
from shared.models.networks import dense
from shared.models.objectives import KLWeight

IMAGE_DIM, CAPTION_DIM = 2048, 1024
FEATURES = {"image": IMAGE_DIM, "caption": CAPTION_DIM}


def likelihoods() -> dict[str, Likelihood]:
    return {m: LearnedNormal() for m in FEATURES}


# ---- Table 3: MVAE and MMVAE -------------------------------------------------------------------------------------


def encoder(features: int, latent_dim: int) -> nn.Sequential:
    return dense(features, 1024, 768, 768, 768, 2 * latent_dim)


def decoder(features: int, latent_dim: int) -> nn.Sequential:
    return dense(latent_dim, 768, 768, 1024, 1024, 2 * features)


def _flat(latent_dim: int) -> tuple[dict[str, nn.Module], dict[str, nn.Module]]:
    """Encoders and decoders."""
    return tuple({m: network(size, latent_dim) for m, size in FEATURES.items()} for network in (encoder, decoder))


def mvae(latent_dim: PositiveInt, warmup_epochs: NonNegativeInt) -> MVAE:
    return MVAE(*_flat(latent_dim), likelihoods(), Prior(latent_dim), KLWeight(warmup_epochs))


def mmvae(latent_dim: PositiveInt, warmup_epochs: NonNegativeInt) -> MMVAE:
    return MMVAE(*_flat(latent_dim), likelihoods(), Prior(latent_dim), KLWeight(warmup_epochs))


# ---- Figure 12: HMVAE ----------------------------------------------------------------------------------------------


def feature_hierarchy(features: int, latent_dim: int, private_dim: int) -> ModalityHierarchy:
    """L(m) = 2: one latent variable under g.

    Encoder (bottom-up network and expert) and decoder are Table 3's, as C.2 says that the models of Table 3 differ from
    this one in lacking the hierarchical components: these are one layer each here, as wide as the state below g.
    """
    width = 768
    return ModalityHierarchy(
        bottom_up=[dense(features, 1024, 768, width, last=True)],
        expert=dense(width, 768, 2 * latent_dim),
        top_down=[dense(latent_dim, width, last=True)],
        priors=[Linear(width, 2 * private_dim)],
        merges=[dense(2 * width, width, last=True)],
        posteriors=[Linear(width, 2 * private_dim)],
        decoder=decoder(features, private_dim),
    )


def hmvae(latent_dim: PositiveInt, private_dims: dict[str, PositiveInt], warmup_epochs: NonNegativeInt) -> HMVAE:
    """L(1) = L(2) = 2."""
    private_dims = per_modality("private_dims", private_dims, tuple(FEATURES), None)
    hierarchies = {m: feature_hierarchy(size, latent_dim, private_dims[m]) for m, size in FEATURES.items()}
    return HMVAE(hierarchies, likelihoods(), Prior(latent_dim), KLWeight(warmup_epochs))
