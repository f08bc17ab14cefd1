"""Table 3's networks and those of Fig. 12, counted by hand."""

from itertools import pairwise

import pytest
import torch

from shared.run.devices import build
from shared.run.spec import resolve
from tests.linear_gaussian import generator

LATENT = 16


def layers(*sizes):
    """Weights and biases of dense layers."""
    return sum(inputs * outputs + outputs for inputs, outputs in pairwise(sizes))


# as Table 3 prints them
ENCODERS = {"image": (2048, 1024, 768, 768, 768, 32), "caption": (1024, 1024, 768, 768, 768, 32)}
DECODERS = {"image": (16, 768, 768, 1024, 1024, 4096), "caption": (16, 768, 768, 1024, 1024, 2048)}


@pytest.fixture(scope="module")
def models():
    return {m: build(resolve("hmvae", "flower_features", m, "paper", 0)).eval() for m in ("mvae", "mmvae", "hmvae")}


def sizes(network):
    linear = [layer for layer in network.modules() if isinstance(layer, torch.nn.Linear)]
    return (linear[0].in_features, *(layer.out_features for layer in linear))


@pytest.mark.parametrize("name", ["mvae", "mmvae"])
def test_the_flat_models_have_the_printed_layers(models, name):
    model = models[name]
    assert {m: sizes(network) for m, network in model.encoders.items()} == ENCODERS
    assert {m: sizes(network) for m, network in model.decoders.items()} == DECODERS
    counted = sum(layers(*each) for part in (ENCODERS, DECODERS) for each in part.values())
    assert sum(p.numel() for p in model.parameters()) == counted == 18_312_768


def test_the_hierarchical_model_adds_its_components_to_them(models):
    """Per modality: h_t and prior from g, the merge of h_t and h_b, and the posterior."""
    model = models["hmvae"]
    for m, hierarchy in model.hierarchies.items():
        assert sizes(hierarchy.bottom_up) + sizes(hierarchy.expert)[1:] == ENCODERS[m]
        assert sizes(hierarchy.decoder) == DECODERS[m]
    own = layers(LATENT, 768) + layers(768, 2 * LATENT) + layers(2 * 768, 768) + layers(768, 2 * LATENT)
    assert own == 1_242_688
    flat = sum(p.numel() for p in models["mvae"].parameters())
    assert sum(p.numel() for p in model.parameters()) == flat + 2 * own == 20_798_144


def test_latent_variables(models):
    noise = generator()
    batch = {"image": torch.randn(2, 2048, generator=noise), "caption": torch.randn(2, 1024, generator=noise)}
    for name, model in models.items():
        with torch.no_grad():
            latents, _ = model.sample_latents(batch, 3, noise)
        expected = {"g"} | ({"z_image_1", "z_caption_1"} if name == "hmvae" else set())
        assert {key: value.shape for key, value in latents.items()} == dict.fromkeys(expected, (3, 2, LATENT))
