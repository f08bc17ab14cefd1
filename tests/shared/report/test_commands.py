"""The command lines, as the workflow calls them."""

import json
import subprocess
import sys

import matplotlib.figure
import numpy as np
import pytest

from shared.errors import InputError
from shared.files import sha256_of
from shared.report.layout import Figure
from shared.stages.figure import draw, pairs
from tests.repository import describe

ABOUT = {"scale": "demo", "data": "digits", "stand_in": True}


def run(*arguments):
    return subprocess.run([sys.executable, "-m", *map(str, arguments)], capture_output=True, text=True, check=False)


def test_from_metrics_to_views(tmp_path):
    content = {
        "paper": "hmvae",
        "experiment": "oxford_flower",
        "model": "mvae",
        "scale": "demo",
        "fingerprint": "f",
        "comparable": True,
        "latent_variables": 1,
        "parameters": 19_200_000,
    }
    (tmp_path / "architecture.json").write_text(json.dumps(content))
    table = ("--paper", "hmvae", "--table", "table4_parameters")
    out = tmp_path / "results" / "table4_parameters"
    made = run(
        "shared.stages.aggregate", *table, "--scale", "demo", "--margins", "config/margins.yaml",
        "--metrics", tmp_path / "architecture.json", "--out", f"{out}.csv",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    shown = run("shared.stages.render", *table, "--csv", f"{out}.csv", "--out-prefix", out, "--print")
    assert shown.returncode == 0, shown.stderr
    assert "19.2" in shown.stdout
    assert {path.name for path in out.parent.iterdir()} == {
        f"table4_parameters.{s}" for s in ("csv", "paired.csv", "tex", "md")
    }


def test_figure_is_the_same_bytes_twice(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "samples.npz",
        **ABOUT,
        captions=np.array(["a red flower for $5", "a flower with " + "very " * 40 + "long petals"]),
        real=rng.integers(0, 255, (2, 3, 64, 64), dtype=np.uint8),
        given_x2=rng.integers(0, 255, (2, 4, 3, 64, 64), dtype=np.uint8),
    )
    sums = []
    for name in ("one", "two"):
        made = run(
            "shared.stages.figure", "--paper", "hmvae", "--figure", "fig7_oxford_flower_samples", "--scale", "demo",
            "--samples", f"oxford_flower/mvae={tmp_path / 'samples.npz'}", "--out-prefix", tmp_path / name,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        sums.append([sha256_of(tmp_path / f"{name}.{suffix}") for suffix in ("pdf", "png")])
    assert sums[0] == sums[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("shared.stages.aggregate", "--paper", "none", "--table", "t", "--scale", "demo", "--out", "x"),
            "papers/none",
        ),
        (
            ("shared.stages.aggregate", "--paper", "hmvae", "--table", "t", "--scale", "demo", "--out", "x"),
            "it has table",
        ),
        (
            ("shared.stages.render", "--paper", "hmvae", "--table", "table4_parameters", "--csv", "no.csv", "--print"),
            "no.csv: no such file",
        ),
        (
            ("shared.stages.figure", "--paper", "hmvae", "--figure", "fig7_oxford_flower_samples", "--scale", "demo",
             "--samples", "mvae", "--out-prefix", "x"),
            "as NAME=PATH",
        ),
        (
            ("shared.stages.figure", "--paper", "hmvae", "--figure", "fig7_oxford_flower_samples", "--scale", "demo",
             "--samples", "oxford_flower/none=samples.npz", "--out-prefix", "x"),
            "fig7_oxford_flower_samples does not show it; it shows oxford_flower/",
        ),
        (
            ("shared.stages.figure", "--paper", "hmvae", "--figure", "fig7_oxford_flower_samples", "--scale", "foo",
             "--out-prefix", "x"),
            "scale `foo` is unknown; choose one of demo, reduced, paper",
        ),
        (
            ("shared.stages.aggregate", "--paper", "hmvae", "--table", "table4_parameters", "--scale", "foo",
             "--out", "x"),
            "scale `foo` is unknown",
        ),
        (
            ("shared.stages.figure", "--paper", "hmvae", "--figure", "fig0", "--scale", "demo", "--out-prefix", "x"),
            "it has fig",
        ),
    ],
)  # fmt: skip
def test_wrong_arguments_are_one_line(arguments, message):
    result = run(*arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def shown_of(file, scale="demo"):
    """What a figure of one run is given to draw: the arrays, and the note for its margin."""
    given = []

    def keep(sources, note):
        given.extend((sources, note))
        return matplotlib.figure.Figure(figsize=(1, 1))

    figure = Figure("fig", keep, runs=("mnist/mhvae",))
    draw("mhvae", figure, scale, str(file.with_name("fig")), {"mnist/mhvae": file}, None)
    return given


@pytest.mark.parametrize("content", ["array", "text", "nothing", "damaged", "of unknown data"])
def test_what_is_no_samples_archive_is_one_line(tmp_path, content):
    file = tmp_path / "samples.npz"
    if content == "array":
        with file.open("wb") as opened:
            np.save(opened, np.zeros(3))
    elif content == "damaged":
        np.savez_compressed(file, given=np.arange(1000))
        whole = bytearray(file.read_bytes())
        whole[100:140] = bytes(40)
        file.write_bytes(whole)
    elif content == "of unknown data":
        np.savez(file, given=np.zeros(2), data="digits")
    else:
        file.write_text("captions" if content == "text" else "")
    with pytest.raises(InputError, match=r"\A[^\n]*samples\.npz: no archive of [^\n]*; delete it and evaluate again\Z"):
        shown_of(file)


def test_samples_of_another_scale_are_one_line(tmp_path):
    file = tmp_path / "samples.npz"
    np.savez(file, given=np.zeros(2), **ABOUT)
    with pytest.raises(InputError, match=r"\Afig: made at scale demo, not reduced[^\n]*\Z"):
        shown_of(file, "reduced")


def test_a_figure_warns_of_stand_ins_at_any_scale(tmp_path):
    file = tmp_path / "samples.npz"
    for stand_in in (True, False):
        np.savez(file, given=np.zeros(2), **ABOUT | {"stand_in": stand_in, "scale": "paper"})
        sources, note = shown_of(file, "paper")
        assert set(sources["mnist/mhvae"]) == {"given"}
        assert note == "scale: paper · digits" + " · not comparable with the paper" * stand_in


def test_the_names_of_swept_runs_hold_equals_signs():
    given = ["e/a=x/samples.npz", "e/a~beta=0.5=x/a~beta=0.5/samples.npz", "e/a~b=1~c.d=2=x/a~b=1~c.d=2/samples.npz"]
    assert {name: str(path) for name, path in pairs(given, "--samples").items()} == {
        "e/a": "x/samples.npz",
        "e/a~beta=0.5": "x/a~beta=0.5/samples.npz",
        "e/a~b=1~c.d=2": "x/a~b=1~c.d=2/samples.npz",
    }
    for wrong in (["e/a~beta=0.5"], ["e/a"], ["e/a=x", "e/a=y"]):
        with pytest.raises(InputError, match="give each once, as NAME=PATH"):
            pairs(wrong, "--samples")


def test_a_figure_of_data_alone_gets_the_prepared_arrays(tmp_path):
    np.save(tmp_path / "x1_test.npy", np.arange(3))
    describe(tmp_path, description="digits")
    given = []

    def keep(sources, note):
        given.extend((sources["mnist"]["x1_test"].tolist(), note))
        return matplotlib.figure.Figure(figsize=(1, 1))

    figure = Figure("fig", keep, data=("mnist",))
    draw("mhvae", figure, "demo", str(tmp_path / "fig"), {"mnist": tmp_path}, None)
    assert given == [[0, 1, 2], "scale: demo · digits · not comparable with the paper"]
    with pytest.raises(InputError, match="no experiment `celeb`"):
        draw("mhvae", Figure("fig", keep, data=("celeb",)), "demo", str(tmp_path / "fig"), {}, None)


def test_tables_and_figures_need_no_torch():
    modules = "shared.stages.aggregate, shared.stages.render, shared.stages.figure"
    for paper in ("hmvae", "mhvae"):
        modules += f", papers.{paper}.tables, papers.{paper}.figures"
    check = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
