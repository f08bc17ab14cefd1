"""The networks as built: sizes against the paper's printed numbers, and shapes."""

import csv
from pathlib import Path

import pytest
import torch
from torch import nn

from papers.hmvae.networks import Bottleneck, dense
from shared.models.linear import Linear
from shared.run.devices import build
from shared.run.spec import resolve
from tests.linear_gaussian import generator

ROWS = {
    "mvae": "MVAE",
    "mmvae": "MMVAE",
    "mdvae": "MDVAE",
    "mhvae": "MHVAE",
    "hmvae_shallow": "HMVAE (shallow)",
    "hmvae_deep": "HMVAE (this work)",
}
LATENT_SHAPES = {
    "mvae": {},
    "mmvae": {},
    "mdvae": {"z_image_1": (8,), "z_caption_1": (8,)},
    "mhvae": {"z_image_1": (256,), "z_caption_1": (8,)},
    "hmvae_shallow": {"z_image_1": (16, 8, 8), "z_caption_1": (16,)},
    "hmvae_deep": {
        "z_image_4": (16, 2, 2),
        "z_image_3": (16, 4, 4),
        "z_image_2": (16, 8, 8),
        "z_image_1": (16, 16, 16),
        "z_caption_1": (16,),
    },
}


@pytest.fixture(scope="module")
def models():
    return {name: build(resolve("hmvae", "oxford_flower", name, "paper", seed=0)).eval() for name in ROWS}


@pytest.fixture(params=ROWS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def batch():
    noise = generator()
    return {"image": torch.rand(2, 3, 64, 64, generator=noise), "caption": torch.randn(2, 1024, generator=noise)}


def printed(row, metric):
    """A number of Table 4."""
    with Path("papers/hmvae/reported.csv").open(encoding="utf-8") as file:
        for entry in csv.DictReader(file):
            if (entry["table"], entry["row"], entry["column"]) == ("table4_parameters", row, metric):
                return float(entry["mean"])
    raise KeyError((row, metric))


def test_parameters_are_within_3_percent_of_table_4(models, name):
    parameters = sum(p.numel() for p in models[name].parameters() if p.requires_grad)
    assert parameters / 1e6 == pytest.approx(printed(ROWS[name], "parameters"), rel=0.03)


def test_latent_variables_are_those_of_table_4(models, name):
    assert models[name].latent_variables == printed(ROWS[name], "latent variables")


def test_latent_shapes_and_scales(models, batch, name):
    for given in (batch, {"image": batch["image"]}, {"caption": batch["caption"]}):
        with torch.no_grad():
            latents, log_q = models[name].sample_latents(given, 3, generator())
        expected = {"g": (100,), **LATENT_SHAPES[name]}
        assert {key: tuple(value.shape) for key, value in latents.items()} == {
            key: (3, 2, *shape) for key, shape in expected.items()
        }
        assert log_q.shape == (3, 2)
        assert log_q.isfinite().all()


def test_decoders_give_image_logits_and_caption_mean_and_scale(models, batch, name):
    model = models[name]
    with torch.no_grad():
        latents, _ = model.sample_latents(batch, 1, generator())
        for m, shape in {"image": (2, 3, 64, 64), "caption": (2, 2048)}.items():
            assert model.decode(latents, [m])[m].shape == (1, *shape)
        assert model.log_joint(latents, batch).isfinite().all()


def test_generates_both_ways(models, batch, name):
    with torch.no_grad():
        images = models[name].generate({"caption": batch["caption"]}, ["image"], 2, generator())["image"]
        captions = models[name].generate({"image": batch["image"]}, ["caption"], 2, generator())["caption"]
        assert models[name].represent(batch).shape == (2, 100)
    assert images.shape == (2, 2, 3, 64, 64)
    assert 0 <= images.min() <= images.max() <= 1
    assert captions.shape == (2, 2, 1024)


def test_deep_hierarchy_keeps_one_width_and_scales_by_pooling_and_repetition(models):
    """App. C.4: blocks of three convolutions, reduced inside; average pooling down, nearest neighbours up; GELU."""
    image = models["hmvae_deep"].hierarchies["image"]
    widths = set()
    for block in (part for part in image.modules() if isinstance(part, Bottleneck)):
        first, middle, last = (part for part in block.modules() if isinstance(part, nn.Conv2d))
        assert first.out_channels == middle.in_channels == middle.out_channels == last.in_channels < last.out_channels
        widths.add(last.out_channels)
    (width,) = widths
    kinds = {type(part) for part in image.modules()}
    assert {nn.AvgPool2d, nn.UpsamplingNearest2d, nn.GELU} <= kinds
    assert not kinds & {nn.Upsample, nn.BatchNorm2d, nn.ConvTranspose2d, nn.SiLU, nn.LeakyReLU}
    x = torch.rand(1, 3, 64, 64, generator=generator())
    with torch.no_grad():
        states = image.states(x)
    assert [tuple(h.shape) for h in states] == [(1, width, side, side) for side in (16, 8, 4, 2)]


def test_bottleneck_adds_its_input_where_widths_agree():
    x = torch.randn(1, 8, 4, 4, generator=generator())
    block = Bottleneck(8, 8)
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(block(x), x)
    assert Bottleneck(8, 16)(x).shape == (1, 16, 4, 4)


def test_dense_by_hand():
    layers = dense(2, 3, 4)
    assert [type(layer) for layer in layers] == [Linear, nn.LeakyReLU, Linear]
    assert [type(layer) for layer in dense(2, 3, activation=nn.GELU, last=True)] == [Linear, nn.GELU]


def test_images_of_one_batch_do_not_mix_in_evaluation(models, batch, name):
    """Batch normalisation must not leak across conditions once trained: a condition alone gives the same result."""
    model = models[name]
    with torch.no_grad():
        both = model.represent(batch)
        alone = model.represent({m: x[:1] for m, x in batch.items()})
    torch.testing.assert_close(both[:1], alone, rtol=1e-4, atol=1e-5)
