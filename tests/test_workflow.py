"""The workflow as a user meets it: real Snakemake commands, in copies of this repository."""

import csv
import filecmp
import os
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml

from shared.files import read_json, write_json
from shared.report.layout import runs_needed
from shared.report.paper import owners, targets
from shared.run import spec
from tests.repository import copy_of_this, run, start

OXFORD = ("hmvae", "oxford_flower")
TARGETS = ["results/table2_oxford_flower.tex", "figures/fig7_oxford_flower_samples.pdf"]
TABLE_STAGES = {"metrics": "evaluate", "architecture": "architecture"}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A copy in which nothing has been run. Dry runs leave it so."""
    return copy_of_this(tmp_path_factory.mktemp("workflow") / "repository")


def said(result):
    """Everything a command printed. Snakemake reports errors of a dry run on standard output."""
    return result.stdout + result.stderr


def dry_run(root, *targets, **config):
    """Jobs by rule, of a dry run on two cores at demo scale."""
    settings = [f"{key}={value}" for key, value in ({"scale": "demo"} | config).items()]
    result = run(root, "snakemake", *targets, "--cores", "2", "--dry-run", "--config", *settings)
    assert result.returncode == 0, said(result)
    lines = said(result).splitlines()
    return Counter(line.split()[1].rstrip(":") for line in lines if line.startswith(("rule ", "localrule ")))


def needed(paper, kind, name):
    """{rule: the files or runs that a table or figure takes at demo scale from nothing}, read off its layout."""
    target = targets(paper, kind)[name]
    jobs = {"figure": {name}} if kind == "figures" else {"aggregate": {name}, "render": {name}}
    for shown, file in runs_needed(target):
        experiment, model = shown.split("/")
        if file == "architecture":
            jobs.setdefault("architecture", set()).add((paper, experiment, model))
            continue
        seeds = spec.seeds(paper, experiment, "demo") if file == "metrics" else [0]
        evaluated = {(paper, experiment, model, seed) for seed in seeds}
        data = spec.data_part(paper, experiment, "demo")
        prepared, *encoded = map(spec.data_key, spec.data_stages(data))
        encoders = [step["network"] for step in data.get("encoders", [])]
        networks = {*spec.evaluators(spec.resolve(paper, experiment, model, "demo", 0)), *encoders}
        keys = {network: spec.data_key(spec.trained_on(data, network)) for network in networks}
        trained = evaluated | {("evaluators", key, network, 0) for network, key in keys.items()}
        steps = {"prepare_data": {prepared}, "encode": {*encoded}, "train": trained, "evaluate": evaluated}
        for rule, made in steps.items():
            if made:
                jobs.setdefault(rule, set()).update(made)
    return jobs


def counted(jobs):
    return Counter({rule: len(made) for rule, made in jobs.items()})


def all_targets():
    tables = [("tables", name, f"results/{name}.tex") for name in owners("tables")]
    return tables + [("figures", name, f"figures/{name}.pdf") for name in owners("figures")]


# What a reviewer checks first


def test_the_workflow_is_clean(fresh):
    lint = run(fresh, "snakemake", "--lint")
    assert lint.returncode == 0, lint.stderr
    style = run(fresh, "snakefmt", "--check", "Snakefile")
    assert style.returncode == 0, style.stdout + style.stderr


@pytest.mark.parametrize(("kind", "name", "path"), all_targets(), ids=lambda value: value)
def test_every_table_and_figure_can_be_made_from_nothing(fresh, kind, name, path):
    assert dry_run(fresh, path) == counted(needed(owners(kind)[name], kind, name))


def test_everything_together_trains_no_run_twice(fresh):
    jobs = dry_run(fresh, "all")
    together = {}
    for kind, name, _ in all_targets():
        for rule, made in needed(owners(kind)[name], kind, name).items():
            together[rule] = together.get(rule, set()) | made
    assert jobs == counted(together) + Counter(all=1)


def test_a_papers_name_is_a_target(fresh):
    for paper in spec.papers():
        jobs = dry_run(fresh, paper)
        assert jobs[paper] == 1
        assert jobs["render"] == len(targets(paper, "tables"))
        assert jobs["figure"] == len(targets(paper, "figures"))


def test_more_seeds_are_more_runs_of_the_models_only(fresh):
    jobs = dry_run(fresh, TARGETS[0], seeds=3)
    runs = len(runs_needed(targets("hmvae", "tables")[Path(TARGETS[0]).stem]))
    assert jobs["evaluate"] == 3 * runs
    networks = {step["network"] for step in spec.data_part(*OXFORD, "demo")["encoders"]}
    assert jobs["train"] == 3 * runs + len(networks | {*spec.evaluators(spec.resolve(*OXFORD, "mvae", "demo", 0))})


# Mistakes


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("scale=huge", "config key scale: 'huge' should be"),
        ("sclae=demo", "config key sclae: is unknown; there are"),
        ("precision=float8", "config key precision: 'float8' should be"),
        ("seeds=abc", "config key seeds: 'abc' should be"),
        ("seeds=0", "config key seeds: 0 should be"),
        ("margins=nowhere.yaml", "nowhere.yaml: no such file"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_the_key(fresh, setting, words):
    result = run(fresh, "snakemake", TARGETS[0], "--cores", "2", "--dry-run", "--config", setting)
    assert result.returncode == 1
    lines = [line for line in said(result).splitlines() if words in line]
    assert len(lines) == 1
    assert "Traceback" not in said(result)


def test_a_margin_that_is_missing_is_noticed_before_anything_runs(fresh, tmp_path):
    margins = tmp_path / "my margins.yaml"
    lines = (fresh / "config/margins.yaml").read_text().splitlines(keepends=True)
    margins.write_text("".join(line for line in lines if not line.startswith("image/recall")))
    command = ("snakemake", TARGETS[0], "-np", "--config", f"margins={margins}")
    result = run(fresh, *command)
    assert result.returncode == 1
    assert "margins: none for metric 'image/recall' in '%'; declare one" in said(result)
    margins.write_text("".join(lines))
    assert f"--margins '{margins}'" in said(run(fresh, *command))


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("results/table2_oxford_flour.tex", "no such target; did you mean results/table2_oxford_flower.tex?"),
        ("results/table1_digit_classification.tex", "planned, but not there yet"),
    ],
)
def test_a_target_that_is_not_there_is_named(fresh, target, words):
    result = run(fresh, "snakemake", target, "--dry-run")
    assert result.returncode == 1
    assert f"{target}: {words}" in said(result)
    assert "Traceback" not in said(result)


def test_missing_files_are_named_by_a_dry_run_unless_they_are_prepared(fresh, tmp_path):
    command = ("snakemake", TARGETS[0], "--dry-run", "--config", "scale=reduced", f"data_root={tmp_path}")
    result = run(fresh, *command)
    assert result.returncode == 1
    assert f"{tmp_path}/oxford_flower/102flowers.tgz: missing; run `python -m shared.data.download" in said(result)
    root = copy_of_this(tmp_path / "copied")
    prepared = spec.data_stages(spec.data_part(*OXFORD, "reduced"))[0]
    write_json(root / "runs/reduced/data" / spec.data_key(prepared) / "data.json", {})
    assert run(root, *command).returncode == 0


def test_in_another_folder_the_workflow_says_where_it_runs(fresh, tmp_path):
    command = ("snakemake", "--dry-run", TARGETS[0], "--snakefile", fresh / "Snakefile")
    for directory in ([], ["--directory", "."]):
        result = run(tmp_path, *command, *directory)
        assert result.returncode == 1
        assert f"the workflow runs in its own folder: cd {fresh}, or add --directory {fresh}" in said(result)
    assert run(tmp_path, *command, "--directory", fresh).returncode == 0


def test_a_gpu_is_asked_for_where_this_machine_has_none(fresh):
    """The login node of a cluster, say."""
    shown = said(run(fresh, "snakemake", TARGETS[0], "--dry-run", "--config", "device=cuda"))
    jobs = [shown.count(f"\nrule {rule}:") for rule in ("train", "encode", "evaluate")]
    assert shown.count(", gpu=1,") == sum(jobs) > 0


def test_a_home_that_cannot_be_written_is_no_obstacle(fresh):
    command = ("snakemake", TARGETS[0], "--cores", "2", "--dry-run")
    result = run(fresh, *command, HOME="/dev/null", XDG_CACHE_HOME="")
    assert result.returncode == 0, said(result)


def test_files_of_another_scale_are_never_made_from_this_ones_data(fresh):
    """The folder says `reduced`, the configuration says demo: stand-ins would pass for the real thing."""
    path = f"runs/reduced/data/{spec.data_key(spec.data_part(*OXFORD, 'demo'))}/data.json"
    result = run(fresh, "snakemake", path, "--cores", "2", "--dry-run")
    assert result.returncode == 1
    assert f"No rule to produce {path}" in said(result)


# What makes what again


def edit(root, change, paper="hmvae"):
    """Change the content of the experiments.yaml of a copy."""
    path = root / "papers" / paper / "experiments.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def test_a_models_own_learning_rate_is_no_other_models(tmp_path, monkeypatch):
    root = copy_of_this(tmp_path / "repository")
    monkeypatch.chdir(root)

    def specifications():
        models = spec.load("hmvae").experiments["oxford_flower"].models
        return {name: spec.training_part(spec.resolve(*OXFORD, name, "demo", 0)) for name in models}

    before = specifications()

    def change(content):
        model = content["experiments"]["oxford_flower"]["models"]["mvae"]
        model["training"] = {"learning_rate": {"value": 3.0e-4, "source": "a try"}}

    edit(root, change)
    after = specifications()
    assert {name for name in before if before[name] != after[name]} == {"mvae"}


# From nothing to a table and a figure


def miniature(root):
    """A copy whose demo scale is as small as it gets: few images, one epoch."""

    def change(content):
        experiment = content["experiments"]["oxford_flower"]
        experiment["data"]["images_per_class"]["demo"] = 4
        experiment["training"]["epochs"]["demo"] = 1
        experiment["training"]["batch_size"]["demo"] = 64
        for network in ("feature_classifier", "char_cnn_rnn"):
            experiment["evaluators"][network]["training"]["epochs"]["demo"] = 1
        experiment["evaluation"]["variance_samples"]["demo"] = 2
        experiment["evaluation"]["variance_captions"]["demo"] = 4
        experiment["evaluation"]["figure_captions"]["value"] = 2

    edit(copy_of_this(root), change)
    return root


COMMAND = ("snakemake", *TARGETS, "--cores", "2", "--config", "device=cpu")


def alone(root, *command):
    """A command in the background, the first process of a session of its own."""
    return start(root, *command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_until(happened, process, seconds=300):
    deadline = time.monotonic() + seconds
    while not happened():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


def kill_half_way(root):
    """Start the command and kill it and all its jobs once the first model is trained."""
    with alone(root, *COMMAND) as process:
        wait_until(lambda: list(root.glob("runs/demo/hmvae/*/*/seed0/train.json")), process)
        os.killpg(process.pid, signal.SIGKILL)
    assert not list(root.glob("results/*.tex"))


def outputs(root):
    return sorted(str(path.relative_to(root)) for name in ("results", "figures") for path in (root / name).iterdir())


def test_killed_half_way_and_run_again_it_ends_with_the_same_bytes(tmp_path):
    whole, killed = miniature(tmp_path / "whole"), miniature(tmp_path / "killed")
    result = run(whole, *COMMAND)
    assert result.returncode == 0, said(result)

    kill_half_way(killed)
    result = run(killed, *COMMAND)
    assert result.returncode == 0, said(result)

    names = [Path(target).stem for target in TARGETS]
    expected = [f"results/{names[0]}.{suffix}" for suffix in ("csv", "md", "paired.csv", "tex")]
    expected += [f"figures/{names[1]}.{suffix}" for suffix in ("pdf", "png")]
    assert outputs(whole) == sorted(expected)
    assert filecmp.cmpfiles(whole, killed, expected, shallow=False) == (expected, [], [])

    table = (whole / f"results/{names[0]}.md").read_text(encoding="utf-8")
    assert "not comparable" in table
    assert "stand-in" in table
    assert "demo scale: the data are stand-ins" in result.stderr

    again = run(whole, *COMMAND)
    assert "Nothing to be done" in said(again)
    # neither other cores, nor another spelling of where data lie, nor another choice of device trains anything again
    other = run(whole, "snakemake", *TARGETS, "--cores", "8", "--config", "device=auto", "data_root=./data")
    assert "Nothing to be done" in said(other)


@pytest.mark.torture
@pytest.mark.slow_torture
def test_told_to_stop_alone_the_workflow_stops_its_training_which_continues_to_the_same_bytes(tmp_path):
    """As systemd, `docker stop` and `kill` do it: no job hears of it but through Snakemake."""

    def change(content):
        content["experiments"]["mnist"]["training"]["epochs"]["demo"] = 6

    whole, stopped = copy_of_this(tmp_path / "whole"), copy_of_this(tmp_path / "stopped")
    folder = Path("runs/demo/mhvae/mnist/mvae/seed0")
    command = ("snakemake", f"{folder}/train.json", "--cores", "2", "--config", "device=cpu")
    for root in (whole, stopped):
        edit(root, change, "mhvae")
    assert run(whole, *command).returncode == 0

    log = stopped / "logs" / folder.relative_to("runs") / "train.log"
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        log.unlink(missing_ok=True)
        with alone(stopped, *command) as process:
            wait_until(lambda: log.exists() and "epoch " in log.read_text().partition("\n")[2], process)
            process.send_signal(number)
            assert process.wait(timeout=60) == 1
            with pytest.raises(ProcessLookupError):
                os.killpg(process.pid, 0)  # nobody of the session is left
        assert (stopped / folder / "checkpoint.pt").exists()
        assert not (stopped / folder / "weights.pt").exists()
    result = run(stopped, *command)
    assert result.returncode == 0, said(result)
    assert "resuming at epoch" in log.read_text()
    weights = folder / "weights.pt"
    assert filecmp.cmp(whole / weights, stopped / weights, shallow=False)


def test_a_model_that_diverges_is_a_result_beside_the_others(tmp_path):
    """The MHVAE paper's Table 1 in miniature, with a learning rate for the MVAE that no training survives."""

    def change(content):
        experiment = content["experiments"]["mnist"]
        experiment["training"]["epochs"]["demo"] = 1
        experiment["evaluation"]["importance_samples"]["demo"] = 4
        experiment["evaluation"]["points"]["demo"] = 5
        experiment["models"]["mvae"]["training"] = {"learning_rate": {"value": 1e30, "source": "this test"}}

    root = copy_of_this(tmp_path / "repository")
    edit(root, change, "mhvae")
    command = ("snakemake", "results/table1_mnist.tex", "--cores", "2", "--config", "device=cpu")
    result = run(root, *command)
    assert result.returncode == 0, said(result)
    metrics = read_json(root / "runs/demo/mhvae/mnist/mvae/seed0/metrics.json")
    assert metrics["metrics"] == []
    assert metrics["diverged"]["epoch"] == 1
    where = f"diverged (epoch 1, step {metrics['diverged']['step']})"
    with (root / "results/table1_mnist.csv").open(newline="") as file:
        cells = list(csv.DictReader(file))
    assert {cell["verdict"] for cell in cells if cell["column"] == "MVAE"} == {where}
    assert all(cell["reproduced_mean"] for cell in cells if cell["column"] != "MVAE")
    note = f"mnist/mvae {where.removeprefix('diverged ')}."
    for suffix in ("md", "tex"):
        rendered = (root / f"results/table1_mnist.{suffix}").read_text(encoding="utf-8")
        assert note in rendered
        assert rendered.count("trained for") == 1  # the protocol of the others
    assert "Nothing to be done" in said(run(root, *command))
