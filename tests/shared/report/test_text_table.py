"""Networks as printed beside those built."""

import pytest
import torch
from torch import nn

from papers.hmvae.networks import mhvae, mvae
from shared.errors import InputError
from shared.report.layout import TextColumn, TextTable, runs_needed, words
from shared.report.reported import PrintedLayer, load_printed
from shared.report.text_table import aligned, build, normal, read_text_csv, to_latex, to_markdown, verdict
from shared.report.tidy import to_csv
from shared.stages.architecture import layer_text, layers_of
from shared.stages.render import rendered

TABLE = TextTable(
    "table5_networks",
    "Table 5",
    words("Networks."),
    (
        TextColumn(words("Encoder"), "encoder", "e/a", ("trunk", "head")),
        TextColumn(words("Decoder"), "decoder", "e/b", ("decoder",)),
    ),
    notation=lambda text: "" if text == "Flatten" else text.replace("Linear", "Dense"),
)
LAYERS = {
    "e/a": {
        "trunk": ["Input 3x8x8", "Conv2d 3-32, 4x4, stride 2, pad 1", "SiLU", "Flatten"],
        "head": ["Input 8", "Linear 8-4"],
    },
    "e/b": {"decoder": ["Input 4", "Linear 4-8"]},
}
REPORTED = """table,row,column,text,source,note
table5_networks,1,encoder,Input 3x8x8,Table 5,
table5_networks,2,encoder,"conv2d  3–32, 4×4, stride 2, pad 1",Table 5,
table5_networks,3,encoder,SiLU,Table 5,
table5_networks,4,encoder,Dense 8-4,Table 5,
table5_networks,1,decoder,Input 4,Table 5,
table5_networks,2,decoder,Dense 4-8,Table 5,100% sure
"""


@pytest.fixture
def reported(tmp_path):
    path = tmp_path / "reported_text.csv"
    path.write_text(REPORTED)
    return path


def built(reported, layers=LAYERS):
    return build(TABLE, load_printed(reported, TABLE.name), layers, "demo")


def test_a_network_as_printed_agrees_line_by_line(reported):
    frame = built(reported)
    assert list(frame.columns) == ["table", "row", "column", "reported", "reproduced", "verdict", "note", "scale"]
    assert set(frame["verdict"]) == {"agrees"}
    assert frame["row"].tolist() == ["1", "2", "3", "4", "1", "2"]
    # reshaping is not printed, and the head's input is no layer of the network
    assert frame["reproduced"].tolist()[:4] == ["Input 3x8x8", "Conv2d 3-32, 4x4, stride 2, pad 1", "SiLU", "Dense 8-4"]
    assert runs_needed(TABLE) == [("e/a", "architecture"), ("e/b", "architecture")]


def test_what_was_not_built_says_so(reported):
    frame = built(reported, {"e/a": LAYERS["e/a"]})
    assert frame["verdict"].tolist() == ["agrees"] * 4 + ["not run"] * 2
    assert "| not run" in to_markdown(TABLE, frame)


@pytest.mark.parametrize(
    ("theirs", "ours", "expected"),
    [
        # (printed, built): a missing or added layer shifts nothing
        ("abc", "abc", ["aa", "bb", "cc"]),
        ("abc", "ac", ["aa", "b ", "cc"]),
        ("ac", "abc", ["aa", " b", "cc"]),
        ("", "ab", [" a", " b"]),
        ("ab", "", ["a ", "b "]),
        ("ab", "cd", ["a ", "b ", " c", " d"]),
    ],
)
def test_layers_that_one_side_lacks(theirs, ours, expected):
    pairs = aligned([PrintedLayer(str(i), text) for i, text in enumerate(theirs)], list(ours))
    assert [(their.text if their else " ") + (our or " ") for their, our in pairs] == expected


@pytest.mark.parametrize(
    ("theirs", "ours", "expected"),
    [
        # another size is a difference of one layer, whatever stands between
        (["Dense(1, 2)", "Swish"], ["Dense(1, 3)", "Swish"], ["≠", "="]),
        # a batch normalisation in between is one more layer, and the convolution's size still one difference
        (["Conv(1, 2)", "Swish", "Dense(2, 3)"], ["Conv(1, 4)", "BatchNorm", "Swish", "Dense(2, 3)"], "≠+=="),
        # an activation of another kind is no counterpart
        (["Dense(1, 2)", "Swish", "Dense(2, 3)"], ["Dense(1, 2)", "ReLU", "Dense(2, 3)"], "=-+="),
        # six layers printed, five built: the caption decoder of HMVAE's Table 5
        (
            ["D(7, 7)", "L", "D(7, 7)", "L", *["D(9, 9)", "L"] * 6, "D(9, 5)"],
            ["D(7, 7)", "L", "D(7, 9)", "L", *["D(9, 9)", "L"] * 5, "D(9, 5)"],
            ["=", "=", "≠", "-", "-", *"=" * 12],
        ),
    ],
)
def test_marks_of_hand_made_cases(theirs, ours, expected):
    signs = {"agrees": "=", "differs": "≠", "only printed": "-", "only built": "+"}
    pairs = aligned([PrintedLayer(str(i), text) for i, text in enumerate(theirs)], ours)
    found = [signs[verdict(their.text if their else "", our)] for their, our in pairs]
    assert found == list(expected)
    assert [their.text for their, _ in pairs if their] == theirs
    assert [our for _, our in pairs if our] == ours


@pytest.mark.parametrize(
    ("printed", "made", "expected"),
    [
        ("Dense(256 * 5*5, 512)", "Dense(6400, 512)", "agrees"),
        ("Dense(256*5*5, 512)", "Dense(6401, 512)", "differs"),
        ("Input R^{512x2}", "Input R^{1024}", "agrees"),
        ("Input R^{3x64x64}", "Input R^{3x64x32}", "differs"),
        ("Conv 3x3", "Conv 9x1", "differs"),
        ("Dense(-, 500)", "Dense(100, 500)", "agrees"),
        ("Dense(500, -)", "Dense(500, 16)", "agrees"),
        ("Dense(-, 500)", "Dense(100, 50)", "differs"),
        ("Sigmoid", "Sigmoid [in the likelihood]", "agrees"),
        ("conv2d  3–32", "Conv2d 3-32.", "agrees"),
    ],
)
def test_sizes_are_compared_by_value(printed, made, expected):
    assert verdict(printed, made) == expected


def test_every_view_marks_what_differs(reported):
    layers = {"trunk": ["Input 3x8x8", "Conv2d 3-32, 4x4, stride 2, pad 1", "ReLU"], "head": ["Linear 8-4"]}
    frame = built(reported, {"e/a": layers, "e/b": {"decoder": ["Input 4", "Linear 4-9", "ReLU"]}})
    assert frame["verdict"].tolist()[:5] == ["agrees", "agrees", "only printed", "only built", "agrees"]
    assert frame["verdict"].tolist()[5:] == ["agrees", "differs", "only built"]
    assert frame["note"].tolist() == [""] * 6 + ["100% sure", ""]
    text = to_markdown(TABLE, frame)
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    assert cells[0] == ["Encoder: paper", "", "here", "Decoder: paper", "", "here"]
    assert cells[3][3:] == ["Dense 4-8", "≠a", "Dense 4-9"]
    assert cells[4] == ["SiLU", "−", "", "", "+", "ReLU"]
    assert cells[5][:3] == ["", "+", "ReLU"]
    assert cells[-1] == ["", "", "2 of 5 differ", "", "", "2 of 3 differ"]
    assert "- a: 100% sure." in text
    latex = to_latex(TABLE, frame)
    assert r"Dense 4-8 & $\neq$\textsuperscript{a} & Dense 4-9 \\" in latex
    assert r"SiLU & $-$ &  &  & $+$ & ReLU \\" in latex
    assert r"\textsuperscript{a} 100\% sure." in latex
    assert latex.isascii()


def test_shapes_are_formulas_in_latex(reported):
    reported.write_text(REPORTED.replace("Input 4,", "z_1 R^{2x4},"))
    latex = to_latex(TABLE, built(reported))
    assert r"$z_1$ $\in \mathbf{R}^{2 \times 4}$ & $-$ & \\" in latex


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("text,source", "text"), ".csv: the columns must be table,row,column,text,source"),
        (lambda text: text.split("\n")[0], ".csv: nothing of table 'table5_networks'"),
        (lambda text: text + text.split("\n")[1], ".csv, line 8: '1', 'encoder' is there twice"),
        (lambda text: text.replace("SiLU", " "), ".csv, line 4: text is blank; only a note may be"),
        (lambda text: text.replace("SiLU,Table 5", "SiLU,"), ".csv, line 4: source is blank"),
        (lambda text: text.replace("3,encoder", ",encoder"), ".csv, line 4: row is blank"),
        (lambda text: text.replace("3,encoder", "3,"), ".csv, line 4: column is blank"),
    ],
)
def test_malformed_files_are_one_line(reported, change, message):
    reported.write_text(change(REPORTED))
    with pytest.raises(InputError, match=rf"\A[^\n]*reported_text{message}[^\n]*\Z"):
        built(reported)


def test_a_part_that_the_model_does_not_have_is_named(reported):
    with pytest.raises(InputError, match="table5_networks: e/a has no head; it has trunk"):
        built(reported, {"e/a": {"trunk": []}})


def test_every_note_has_a_letter_of_its_own(reported):
    head, *_, decoder = REPORTED.splitlines()
    noted = {f"why {i}": f"table5_networks,{i},encoder,SiLU,Table 5,why {i}" for i in range(26 + 26 * 26 + 1)}
    reported.write_text("\n".join([head, *noted.values(), decoder]))
    lines = to_markdown(TABLE, built(reported)).splitlines()
    found = {note: letters for letters, note in (line[2:-1].split(": ") for line in lines if ": why " in line)}
    assert list(found) == list(noted)
    letters = list(found.values())
    assert letters[:2] + letters[25:28] + letters[52:53] + letters[-2:] == [
        "a",
        "b",
        "z",
        "aa",
        "ab",
        "ba",
        "zz",
        "aaa",
    ]


def test_reading_returns_what_was_written(reported, tmp_path):
    frame, path = built(reported), tmp_path / "table.csv"
    path.write_text(to_csv(frame))
    assert read_text_csv(path, TABLE).equals(frame)
    other = [frame.drop(columns="note"), frame[frame["column"] == "encoder"], frame[:0], frame.replace("decoder", "d")]
    for wrong in other:
        path.write_text(to_csv(wrong))
        with pytest.raises(InputError, match=r"table\.csv: its columns are not those of table5_networks; aggregate"):
            read_text_csv(path, TABLE)


def test_another_csv_is_not_rendered(tmp_path):
    (tmp_path / "table.csv").write_text("table,row,column\ntable5_flat_networks,1,encoder\n")
    with pytest.raises(InputError, match=r"table\.csv: its columns are not those of table5_flat_networks"):
        rendered("hmvae", "table5_flat_networks", tmp_path / "table.csv")


def test_two_columns_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two columns have one name"):
        TextTable("t", "Table 1", words(""), (TABLE.columns[0], TABLE.columns[0]))


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (nn.Conv2d(3, 32, 4, 2, 1), "Conv2d 3-32, 4x4, stride 2, pad 1"),
        (nn.ConvTranspose2d(8, 4, (4, 3), (2, 1)), "ConvTranspose2d 8-4, 4x3, stride 2x1, pad 0"),
        (nn.ConvTranspose2d(8, 4, 4, 2, 1, 1), "ConvTranspose2d 8-4, 4x4, stride 2, pad 1, output pad 1"),
        (nn.Conv2d(8, 4, 3, padding="same", dilation=2), "Conv2d 8-4, 3x3, stride 1, pad same, dilation 2"),
        (nn.Conv2d(8, 4, 1, groups=4, bias=False), "Conv2d 8-4, 1x1, stride 1, pad 0, groups 4, no bias"),
        (nn.Conv1d(8, 4, 3), "Conv1d 8-4, 3, stride 1, pad 0"),
        (nn.Linear(784, 512), "Linear 784-512"),
        (nn.Linear(784, 512, bias=False), "Linear 784-512, no bias"),
        (nn.BatchNorm2d(32), "BatchNorm2d 32"),
        (nn.Embedding(1590, 128), "Embedding 1590-128"),
        (nn.SiLU(), "SiLU"),
        (nn.LeakyReLU(0.2), "LeakyReLU negative_slope=0.2"),
    ],
)
def test_layers_in_words(layer, text):
    assert layer_text(layer) == text
    assert normal(text.upper()) == normal(f" {text}. ")


def test_layers_of_a_model_of_the_package_by_part():
    layers = layers_of(mvae(latent_dim=100, warmup_epochs=1))
    assert layers["encoders.image"][:3] == ["Input 3x64x64", "Conv2d 3-32, 4x4, stride 2, pad 1", "SiLU"]
    assert layers["encoders.image.0"] == layers["encoders.image"][:2]
    assert layers["decoders.caption"][:2] == ["Input 100", "Linear 100-768"]
    assert layers["encoders.image.1"] == ["Input 32x32x32", "SiLU"]
    # a container that is not called has no input
    assert layers["encoders"] == layers["encoders.image"][1:] + layers["encoders.caption"][1:]
    assert (layers["likelihoods.image"], layers["latents.g"]) == (["Bernoulli"], ["g 100"])
    assert "" not in layers


def test_looking_at_shapes_leaves_the_model_as_it_was():
    model = mhvae(3, {"image": 5, "caption": 2}, 0, 0).train()
    before, state = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state()
    layers = layers_of(model)
    assert [layers[f"latents.{name}"] for name in ("g", "z_image_1")] == [["g 3"], ["z_image_1 5"]]
    assert layers["private_heads.image"] == ["Input 512", "Linear 512-10"]
    assert model.training
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
