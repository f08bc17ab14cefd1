"""The networks against sections 3.1.1 to 3.1.3: shapes, widths, parameters counted by hand, and what models share."""

import pytest
import torch
from torch import nn

from papers.mhvae import networks
from shared.models.linear import Linear
from shared.run.devices import build
from shared.run.spec import resolve
from tests.linear_gaussian import generator

SHAPES = {"mnist": (1, 28, 28), "fashion_mnist": (1, 28, 28), "celeba": (3, 64, 64)}
SECOND = {"mnist": ("label", 10), "fashion_mnist": ("label", 10), "celeba": ("attributes", 18)}
MODELS = ("jmvae", "mvae", "mhvae")


def model_of(experiment, name):
    return build(resolve("mhvae", experiment, name, "paper", 0))


def batch_of(experiment, points=4):
    name, classes = SECOND[experiment]
    return {
        "image": torch.rand(points, *SHAPES[experiment], generator=generator()),
        name: torch.eye(classes)[torch.arange(points) % classes],
    }


def linear(inputs, outputs):
    return inputs * outputs + outputs


def hidden(inputs, width):
    """Three linear layers of a width, each with batch norm (two parameters a unit)."""
    return linear(inputs, width) + 2 * linear(width, width) + 3 * 2 * width


def test_parameters_of_the_mnist_mhvae_counted_by_hand():
    image = hidden(784, 512) + linear(512, 2 * 16) + hidden(16, 512) + linear(512, 784)
    label = hidden(10, 128) + linear(128, 2 * 16) + hidden(16, 128) + linear(128, 10)
    core = hidden(512 + 128, 64) + linear(64, 2 * 10) + 2 * (hidden(10, 64) + linear(64, 2 * 16))
    assert sum(p.numel() for p in model_of("mnist", "mhvae").parameters()) == image + label + core


def test_parameters_of_the_fashion_mvae_counted_by_hand():
    """Two convolutions and a linear layer of 128 there, their mirror image back, and the label's perceptrons."""
    convolutions = (16 * 1 * 32 + 32) + (16 * 32 * 64 + 64)
    transposed = (16 * 64 * 32 + 32) + (16 * 32 * 1 + 1)
    image = convolutions + linear(3136, 128) + linear(128, 52) + linear(26, 128) + linear(128, 3136) + transposed
    label = hidden(10, 128) + linear(128, 52) + hidden(26, 128) + linear(128, 10)
    assert sum(p.numel() for p in model_of("fashion_mnist", "mvae").parameters()) == image + label


@pytest.mark.parametrize("experiment", SHAPES)
def test_latent_spaces_have_the_papers_sizes(experiment):
    core, private, joint = {"celeba": (16, 48, 64)}.get(experiment, (10, 16, 26))
    batch = batch_of(experiment)
    for name in MODELS:
        model = model_of(experiment, name).eval()
        with torch.no_grad():
            latents, _ = model.sample_latents(batch, 2, generator())
        if name == "mhvae":
            sizes = {"g": core, "z_image_1": private, f"z_{SECOND[experiment][0]}_1": private}
        else:
            sizes = {"g": joint}
        assert {key: value.shape for key, value in latents.items()} == {k: (2, 4, d) for k, d in sizes.items()}


@pytest.mark.parametrize("experiment", SHAPES)
def test_baselines_share_the_networks_of_the_modalities(experiment):
    """The same layers up to h_m, and in the decoders up to the size of their input."""

    def layers(network):
        return [str(module) for module in network.modules() if not list(module.children())]

    mhvae, jmvae, mvae = (model_of(experiment, name) for name in ("mhvae", "jmvae", "mvae"))
    for m in getattr(networks, experiment)():
        own = layers(mhvae.lower_encoders[m])
        assert own == layers(mvae.encoders[m])[:-1] == layers(jmvae.encoders[m])[:-1] == layers(jmvae.joint_trunks[m])
        first = next(i for i, text in enumerate(layers(mhvae.lower_decoders[m])) if text.startswith("Linear"))
        decoders = [
            layers(each)[first + 1 :] for each in (mhvae.lower_decoders[m], mvae.decoders[m], jmvae.decoders[m])
        ]
        assert decoders[0] == decoders[1] == decoders[2]


@pytest.mark.parametrize("experiment", SHAPES)
@pytest.mark.parametrize("name", MODELS)
def test_generated_means_are_probabilities(experiment, name):
    model, batch, second = model_of(experiment, name).eval(), batch_of(experiment), SECOND[experiment][0]
    with torch.no_grad():
        made = model.generate({second: batch[second]}, ["image", second], 3, generator())
    assert ((made["image"] >= 0) & (made["image"] <= 1)).all()
    if second == "label":
        torch.testing.assert_close(made["label"].sum(-1), torch.ones(3, 4))


def test_batch_norm_stands_before_each_activation_of_the_perceptrons():
    kinds = [type(m) for m in model_of("mnist", "mhvae").lower_encoders["label"].modules() if not list(m.children())]
    assert kinds == [Linear, nn.BatchNorm1d, nn.LeakyReLU] * 3
