"""Tables 3 and 5 to 8: the transcription, typed from the paper a second time in parts, and what differs from it."""

import re
from functools import cache

import pytest

from papers.hmvae.network_tables import NETWORKS as LAYOUTS
from papers.hmvae.network_tables import notation
from papers.hmvae.tables import TABLES
from shared.report.paper import printed_of
from shared.report.text_table import build, to_latex, to_markdown
from shared.run import spec as specification
from shared.run.devices import build as build_model
from shared.stages.architecture import layers_of

NETWORKS = {table.name: table for table in LAYOUTS}
TABLE3, TABLE5, TABLE6, TABLE7, TABLE8 = (
    "table3_feature_networks",
    "table5_flat_networks",
    "table6_mdvae_networks",
    "table7_mhvae_lower_networks",
    "table8_mhvae_upper_networks",
)
# Layers of each column of the paper, inputs included, counted on the page.
COUNTS = {
    TABLE3: {"Image encoder": 10, "Image decoder": 10, "Caption encoder": 10, "Caption decoder": 10},
    TABLE5: {"Image encoder": 14, "Image decoder": 19, "Caption encoder": 14, "Caption decoder": 20},
    TABLE6: {"Image encoder": 15, "Image decoder": 13, "Caption encoder": 10, "Caption decoder": 10},
    TABLE7: {
        "Lower encoder: x_1 -> h_1": 13,
        "Lower decoder: z_1 -> x_1": 12,
        "Lower encoder: x_2 -> h_2": 9,
        "Lower decoder: z_2 -> x_2": 8,
    },
    TABLE8: {"Upper encoder: h -> g": 8, "Upper decoder: g -> z": 8, "Encoder: h -> z": 2},
}
LATENTS = {TABLE3: ["g R^{8}"], TABLE6: ["g R^{100}", "z_1 R^{8}", "z_2 R^{8}"], TABLE8: ["z_1 R^{128}", "z_2 R^{48}"]}


def printed(table):
    return {column: [layer.text for layer in layers] for column, layers in printed_of("hmvae", NETWORKS[table]).items()}


@cache
def frame(table):
    layout = NETWORKS[table]
    runs = {column.run for column in layout.columns}
    models = {run: specification.resolve("hmvae", *run.split("/"), "demo", 0) for run in runs}
    layers = {run: layers_of(build_model(spec)) for run, spec in models.items()}
    return build(layout, printed_of("hmvae", layout), layers, "demo")


@pytest.mark.parametrize("table", NETWORKS)
def test_every_printed_layer_is_there(table):
    columns = printed(table)
    assert columns.pop("Latent variables", None) == LATENTS.get(table)
    assert {column: len(layers) for column, layers in columns.items()} == COUNTS[table]
    for column, layers in printed_of("hmvae", NETWORKS[table]).items():
        assert [layer.row for layer in layers] == [str(i) for i in range(1, len(layers) + 1)], column
    assert all(layers[0].startswith("Input R^{") for layers in columns.values())
    layer = r"Input R\^\{[\dx]+\}|(Dense|ConvT?)\([\d*, -]+\)|Swish|LeakyReLU|BatchNorm|Sigmoid"
    assert all(re.fullmatch(layer, text) for layers in columns.values() for text in layers)


@pytest.mark.parametrize(
    ("table", "column", "row", "text"),
    [
        (TABLE3, "Image encoder", 10, "Dense(768, 32)"),
        (TABLE3, "Image decoder", 10, "Dense(1024, 4096)"),
        (TABLE3, "Caption encoder", 2, "Dense(1024, 1024)"),
        (TABLE5, "Image encoder", 8, "Conv(64, 128, 1, 1, 0)"),
        (TABLE5, "Image encoder", 14, "Dense(512, 200)"),
        (TABLE5, "Image decoder", 6, "ConvT(256, 128, 4, 2, 1, 0)"),
        (TABLE5, "Image decoder", 16, "ConvT(32, 3, 4, 2, 0, 0)"),
        (TABLE5, "Image decoder", 18, "Conv(3, 3, 4, 2, 1)"),
        (TABLE5, "Caption encoder", 6, "Dense(768, 1024)"),
        (TABLE5, "Caption decoder", 18, "Dense(1024, 1024)"),
        (TABLE6, "Image encoder", 13, "Dense(256*5*5, 512)"),
        (TABLE6, "Image decoder", 13, "ConvT(32, 3, 4, 2, 1)"),
        (TABLE6, "Caption decoder", 2, "Dense(16, 768)"),
        (TABLE7, "Lower encoder: x_1 -> h_1", 7, "BatchNorm"),
        (TABLE7, "Lower decoder: z_1 -> x_1", 3, "ConvT(256, 128, 4, 1, 0)"),
        (TABLE7, "Lower decoder: z_2 -> x_2", 8, "Dense(1024, 1024*2)"),
        (TABLE8, "Upper encoder: h -> g", 1, "Input R^{512x2}"),
        (TABLE8, "Upper decoder: g -> z", 8, "Dense(500, -)"),
        (TABLE8, "Encoder: h -> z", 1, "Input R^{100}"),
    ],
)
def test_layers_as_printed(table, column, row, text):
    assert printed(table)[column][row - 1] == text


DIFFERENCES = {
    TABLE3: [("Latent variables", "1")],
    TABLE5: [
        ("Image encoder", "8"),
        *(("Image decoder", row) for row in ("14", "16", "18")),
        ("Caption encoder", "14"),
        *(("Caption decoder", row) for row in ("1", "2", "6", "7", "8")),
    ],
    TABLE6: [
        ("Image encoder", "15"),
        ("Image decoder", "1"),
        ("Image decoder", "2"),
        ("Caption encoder", "10"),
        ("Caption decoder", "1"),
        ("Caption decoder", "2"),
    ],
    TABLE7: [(f"Lower decoder: z_{i} -> x_{i}", row) for i in (1, 2) for row in ("1", "2")],
    TABLE8: [
        ("Latent variables", "1"),
        ("Latent variables", "2"),
        ("Encoder: h -> z_1", "1"),
        ("Encoder: h -> z_2", "1"),
    ],
}


@pytest.mark.parametrize("table", NETWORKS)
def test_what_is_built_otherwise_and_that_a_note_says_why(table):
    apart = frame(table).query("verdict != 'agrees'")
    assert list(zip(apart["column"], apart["row"], strict=True)) == DIFFERENCES[table]
    assert all(apart["note"])
    noted = frame(table).query("note != ''")
    assert list(noted.index) == list(apart.index)


@pytest.mark.parametrize("table", NETWORKS)
def test_marks_are_in_every_view(table):
    found, apart = frame(table), len(DIFFERENCES[table])
    markdown, latex = to_markdown(NETWORKS[table], found), to_latex(NETWORKS[table], found)
    assert len(re.findall(r"\| [≠−+][a-z] ", markdown)) == apart
    assert len(re.findall(r"& \$(\\neq|-|\+)\$\\textsuperscript\{[a-z]\} ", latex)) == apart
    assert latex.isascii()


def test_the_sigmoid_is_not_dropped_in_silence():
    (sigmoid,) = frame(TABLE5).query("reported == 'Sigmoid'")["reproduced"]
    assert sigmoid == "Sigmoid [in the likelihood]"


@pytest.mark.parametrize(
    ("table", "experiment", "model"),
    [
        (TABLE5 if experiment == "oxford_flower" else TABLE3, experiment, model)
        for experiment in specification.load("hmvae").experiments
        for model in ("mvae", "mmvae")
    ],
)
def test_a_table_of_several_models_is_true_of_all(table, experiment, model):
    layers = layers_of(build_model(specification.resolve("hmvae", experiment, model, "demo", 0)))
    layout = NETWORKS[table]
    runs = {column.run for column in layout.columns}
    found = build(layout, printed_of("hmvae", layout), dict.fromkeys(runs, layers), "demo")
    assert found.equals(frame(table))


def test_all_are_targets():
    assert [name for name in TABLES if name.endswith("_networks")] == [*NETWORKS]


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        ("Conv2d 3-32, 4x4, stride 2, pad 1", "Conv(3, 32, 4, 2, 1)"),
        ("Unflatten dim=1, unflattened_size=(256, 4, 4)", ""),
        ("Flatten", ""),
        # what the notation has no place for is shown as it is, and so differs
        ("ConvTranspose2d 8-4, 4x4, stride 2, pad 1, output pad 1", None),
        ("Conv2d 3-32, 4x3, stride 2, pad 1", None),
        ("LeakyReLU negative_slope=0.2", None),
    ],
)
def test_the_papers_notation(layer, text):
    assert notation(layer) == (layer if text is None else text)
