"""Networks as printed beside those built."""

import pytest
from torch import nn

from papers.hmvae.networks import mvae
from shared.errors import InputError
from shared.report.layout import TextColumn, TextTable, runs_needed, words
from shared.report.text_table import build, normal, to_latex, to_markdown
from shared.stages.architecture import layer_text, layers_of

TABLE = TextTable(
    "table5_networks",
    "Table 5",
    words("Networks."),
    (
        TextColumn(words("Encoder"), "encoder", "e/a", ("trunk", "head")),
        TextColumn(words("Decoder"), "decoder", "e/b", ("decoder",)),
    ),
)
LAYERS = {"e/a": {"trunk": ["Conv2d 3-32, 4x4, stride 2, pad 1", "SiLU"], "head": ["Linear 8-4"]}}
REPORTED = """table,row,column,text,source
table5_networks,1,encoder,"conv2d  3–32, 4×4, stride 2, pad 1",Table 5
table5_networks,2,encoder,SiLU,Table 5
table5_networks,3,encoder,Linear 8-4,Table 5
table5_networks,1,decoder,Linear 4-8,Table 5
"""


@pytest.fixture
def reported(tmp_path):
    path = tmp_path / "reported_text.csv"
    path.write_text(REPORTED)
    return path


def verdicts(frame):
    return dict(zip(frame["column"], frame["verdict"], strict=True))


def test_columns_agree_whatever_the_printing_and_say_what_was_not_built(reported):
    frame = build(TABLE, reported, LAYERS, "demo")
    assert list(frame.columns) == ["table", "row", "column", "reported", "reproduced", "verdict", "scale"]
    assert verdicts(frame) == {"encoder": "agrees", "decoder": "not run"}
    assert frame["reproduced"].tolist() == [*LAYERS["e/a"]["trunk"], "Linear 8-4", ""]
    assert runs_needed(TABLE) == [("e/a", "architecture"), ("e/b", "architecture")]


@pytest.mark.parametrize("built", [["Linear 4-9"], ["Linear 4-8", "SiLU"], []])
def test_another_size_or_number_of_layers_differs(reported, built):
    frame = build(TABLE, reported, LAYERS | {"e/b": {"decoder": built}}, "demo")
    assert verdicts(frame)["decoder"] == "differs"
    assert len(frame) == 3 + max(1, len(built))


def test_views_hold_both_sides_and_the_verdicts(reported):
    frame = build(TABLE, reported, LAYERS | {"e/b": {"decoder": ["Linear 4-9", "ReLU"]}}, "demo")
    markdown = to_markdown(TABLE, frame)
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines() if line[:1] == "|"]
    assert cells[0] == ["", "Encoder reported", "Encoder built", "Decoder reported", "Decoder built"]
    assert cells[3] == ["2", "SiLU", "SiLU", "", "ReLU"]
    assert cells[-1] == ["", "verdict", "agrees", "verdict", "differs"]
    latex = to_latex(TABLE, frame)
    assert r"2 & SiLU & SiLU &  & ReLU \\" in latex
    assert latex.isascii()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("decoder", "decoders"), "its columns are not those of tables.py"),
        (lambda text: text.replace("text,source", "text"), "the columns must be table,row,column,text,source"),
        (lambda text: text.split("\n")[0], "nothing of table 'table5_networks'"),
    ],
)
def test_malformed_files_are_one_line(reported, change, message):
    reported.write_text(change(REPORTED))
    with pytest.raises(InputError, match=rf"\A[^\n]*reported_text\.csv: .*{message}[^\n]*\Z"):
        build(TABLE, reported, LAYERS, "demo")


def test_a_module_that_the_model_does_not_have_is_named(reported):
    with pytest.raises(InputError, match="table5_networks: e/a has no module head; it has trunk"):
        build(TABLE, reported, {"e/a": {"trunk": []}}, "demo")


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (nn.Conv2d(3, 32, 4, 2, 1), "Conv2d 3-32, 4x4, stride 2, pad 1"),
        (nn.ConvTranspose2d(8, 4, (4, 3), (2, 1)), "ConvTranspose2d 8-4, 4x3, stride 2x1, pad 0"),
        (nn.Conv1d(8, 4, 3), "Conv1d 8-4, 3, stride 1, pad 0"),
        (nn.Linear(784, 512), "Linear 784-512"),
        (nn.BatchNorm2d(32), "BatchNorm2d 32"),
        (nn.Embedding(1590, 128), "Embedding 1590-128"),
        (nn.SiLU(), "SiLU"),
        (nn.LeakyReLU(0.2), "LeakyReLU negative_slope=0.2"),
    ],
)
def test_layers_in_words(layer, text):
    assert layer_text(layer) == text
    assert normal(text.upper()) == normal(f" {text}. ")


def test_layers_of_a_model_of_the_package_by_module():
    layers = layers_of(mvae(latent_dim=100, warmup_epochs=1))
    assert layers["encoders.image"][:2] == ["Conv2d 3-32, 4x4, stride 2, pad 1", "SiLU"]
    assert layers["encoders.image.0"] == layers["encoders.image"][:1]
    assert layers["encoders"] == layers["encoders.image"] + layers["encoders.caption"]
    assert "encoders.image.1" in layers
    assert "" not in layers
