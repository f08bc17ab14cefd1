"""The command lines, as the workflow calls them."""

import json
import subprocess
import sys

import numpy as np
import pytest

from shared.errors import InputError
from shared.files import sha256_of
from shared.stages.figure import load_samples, margin_note

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
        "pipeline": "p",
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
    assert {path.name for path in out.parent.iterdir()} == {f"table4_parameters.{s}" for s in ("csv", "tex", "md")}


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
        (("shared.stages.aggregate", "--paper", "none", "--table", "t", "--scale", "demo", "--out", "x"), "papers/none"),
        (
            ("shared.stages.aggregate", "--paper", "hmvae", "--table", "t", "--scale", "demo", "--out", "x"),
            "it has table2_oxford_flower",
        ),
        (
            ("shared.stages.render", "--paper", "hmvae", "--table", "table4_parameters", "--csv", "no.csv", "--print"),
            "no.csv: no such file",
        ),
        (
            ("shared.stages.figure", "--paper", "hmvae", "--figure", "fig7_oxford_flower_samples", "--scale", "demo",
             "--samples", "mvae", "--out-prefix", "x"),
            "model=FILE",
        ),
        (
            ("shared.stages.figure", "--paper", "hmvae", "--figure", "fig7_oxford_flower_samples", "--scale", "demo",
             "--samples", "oxford_flower/none=samples.npz", "--out-prefix", "x"),
            "the figure shows no run oxford_flower/none; it shows oxford_flower/",
        ),
        (
            ("shared.stages.figure", "--paper", "hmvae", "--figure", "fig7_oxford_flower_samples", "--scale", "foo",
             "--out-prefix", "x"),
            "scale `foo` is unknown; choose one of demo, reduced, paper",
        ),
        (
            ("shared.stages.aggregate", "--paper", "hmvae", "--table", "table4_parameters", "--scale", "foo", "--out", "x"),
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


@pytest.mark.parametrize("content", ["array", "text", "nothing", "damaged"])
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
    else:
        file.write_text("captions" if content == "text" else "")
    with pytest.raises(InputError, match=r"samples\.npz: no samples archive \(.*\); delete it and evaluate again"):
        load_samples([f"mnist/mhvae={file}"], ["mnist/mhvae"], "demo")


def test_samples_of_another_scale_or_of_unknown_data_are_one_line(tmp_path):
    file = tmp_path / "samples.npz"
    np.savez(file, given=np.zeros(2), **ABOUT)
    with pytest.raises(InputError, match=r"\A[^\n]*samples\.npz: made at scale demo, not reduced[^\n]*\Z"):
        load_samples([f"mnist/mhvae={file}"], ["mnist/mhvae"], "reduced")
    np.savez(file, given=np.zeros(2), data="digits")
    with pytest.raises(InputError, match=r"\A[^\n]*samples\.npz: does not say what data and scale[^\n]*\Z"):
        load_samples([f"mnist/mhvae={file}"], ["mnist/mhvae"], "demo")


def test_a_figure_warns_of_stand_ins_at_any_scale(tmp_path):
    file = tmp_path / "samples.npz"
    for stand_in in (True, False):
        np.savez(file, given=np.zeros(2), **ABOUT | {"stand_in": stand_in, "scale": "paper"})
        samples = load_samples([f"mnist/mhvae={file}"], ["mnist/mhvae"], "paper")
        assert set(samples["mnist/mhvae"].arrays) == {"given"}
        note = margin_note("paper", [*samples.values()])
        assert note == "scale: paper · digits" + " · not comparable with the paper" * stand_in


def test_tables_and_figures_need_no_torch():
    modules = "shared.stages.aggregate, shared.stages.render, shared.stages.figure"
    for paper in ("hmvae", "mhvae"):
        modules += f", papers.{paper}.tables, papers.{paper}.figures"
    check = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
