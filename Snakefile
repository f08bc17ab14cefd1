# The map of the workflow: papers/*/experiments.yaml say what to run, the rules below are the same for all of them.
#
#     prepare_data -> train -> evaluate -> aggregate -> render / figure
#                     architecture ------^
#
# Every rule is a plain command line that runs without Snakemake too. `snakemake --list-target-rules` and the README
# list what can be asked for.
import math
import os
import shutil
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

sys.path.insert(0, workflow.basedir)
from shared.run import config as configuration, fingerprint, spec
from shared.data import ledger
from shared.errors import InputError
from shared.run.threads import share_of

min_version("9.0")


configfile: "config/config.yaml"


configuration.use_this_python()

try:
    configuration.check(config)
    SCALE = config["scale"]
    OVERRIDES = {"precision": config["precision"]} if config["precision"] else {}
    CONTENT = {paper: spec.load(paper) for paper in spec.papers()}
    TABLES, FIGURES = spec.targets("tables"), spec.targets("figures")
    for paper in CONTENT:
        spec.check(paper, SCALE)
except InputError as error:
    raise WorkflowError(str(error))

# A GPU is one token, so that one job at a time uses it (profiles/default limits the tokens to one).
GPU = int(
    config["device"] in ("auto", "cuda") and shutil.which("nvidia-smi") is not None
)


wildcard_constraints:
    # another scale's files are made with `--config scale=...` only: the rules below know the data of one scale
    scale=SCALE,
    paper="|".join(CONTENT),
    model="[a-z][a-z0-9_]*",
    experiment="[a-z][a-z0-9_]*",
    dataset="[a-z][a-z0-9_]*",
    seed="[0-9]+",
    table="|".join(TABLES),
    figure="|".join(FIGURES),


def all_cores():
    """The number in `--cores`, or None where a cluster's scheduler finds cores for each job."""
    try:
        return workflow.cores
    except WorkflowError:
        return None


def cores_for(threads):
    return share_of(threads, all_cores())


def resolved(wildcards):
    """The specification of a run; a rule about the model alone, without a seed, gets that of seed 0."""
    names = (
        wildcards.paper,
        wildcards.experiment,
        wildcards.model,
        wildcards.scale,
        int(wildcards.get("seed", 0)),
    )
    return spec.resolve(*names, OVERRIDES)


def unrecorded(value):
    """A parameter that is no reason to make a file again when it changes: where the data lie, which device computes.

    Snakemake compares a job's parameters with those of the last time, but for functions that take `threads`.
    """
    return lambda wildcards, threads: value


def threads_of(wildcards):
    return cores_for(resolved(wildcards)["training"]["threads"])


def data_specs():
    """{data set: its specification at this scale}, over all experiments."""
    parts = {}
    for paper, content in CONTENT.items():
        for experiment in content["experiments"]:
            part = spec.data_part(paper, experiment, SCALE)
            if parts.setdefault(part["name"], part) != part:
                raise WorkflowError(
                    f"data set {part['name']}: two experiments prepare it in different ways"
                )
    return parts


DATA = data_specs()


def seeds(paper, experiment):
    return (
        range(config["seeds"])
        if config["seeds"]
        else spec.seeds(paper, experiment, SCALE)
    )


def runs_of(kind, name, file):
    """Files of all runs that a table or figure needs, those of one run per seed."""
    paper = (TABLES if kind == "tables" else FIGURES)[name]
    files = []
    for run in spec.runs_of(CONTENT[paper][kind][name]):
        folder = f"runs/{SCALE}/{paper}/{run}"
        if file == "architecture.json":
            files.append(f"{folder}/{file}")
        else:
            experiment = run.split("/")[0]
            files += [f"{folder}/seed{k}/{file}" for k in seeds(paper, experiment)]
    return files


def table_inputs(wildcards):
    paper = TABLES[wildcards.table]
    needs = CONTENT[paper]["tables"][wildcards.table]["needs"]
    return runs_of("tables", wildcards.table, f"{needs}.json")


def all_tables(paper=None):
    return [
        f"results/{name}.tex"
        for name, owner in TABLES.items()
        if paper in (None, owner)
    ]


def all_figures(paper=None):
    return [
        f"figures/{name}.pdf"
        for name, owner in FIGURES.items()
        if paper in (None, owner)
    ]


localrules:
    all,
    tables,
    figures,


rule all:
    default_target: True
    input:
        all_tables(),
        all_figures(),


rule tables:
    input:
        all_tables(),


rule figures:
    input:
        all_figures(),


for paper in CONTENT:

    rule:
        name:
            paper
        input:
            all_tables(paper),
            all_figures(paper),
        localrule: True


for dataset in ledger.datasets():

    # Downloads belong to no other rule: nothing touches the network unless it is asked for by name.
    rule:
        name:
            f"data_{dataset}"
        log:
            f"logs/data_{dataset}.log",
        localrule: True
        conda:
            "envs/environment.yaml"
        params:
            dataset=dataset,
            root=config["data_root"],
        shell:
            "python -m shared.data.download --dataset {params.dataset} --data-root {params.root:q} 2>&1 | tee {log}"


rule prepare_data:
    input:
        lambda wildcards: (
            []
            if DATA[wildcards.dataset]["source"] != "official"
            else ledger.present_files(config["data_root"], wildcards.dataset)
        ),
    output:
        # written last; the arrays, whose names are the data set's own, lie beside it
        "runs/{scale}/data/{dataset}/data.json",
    log:
        "logs/{scale}/data/{dataset}/prepare.log",
    benchmark:
        "logs/{scale}/data/{dataset}/prepare.jsonl"
    conda:
        "envs/environment.yaml"
    threads: cores_for(1)
    params:
        spec=lambda wildcards: spec.canonical(DATA[wildcards.dataset]),
        code=lambda wildcards: fingerprint.of_data(DATA[wildcards.dataset]),
        root=unrecorded(config["data_root"]),
        out=lambda wildcards, output: os.path.dirname(output[0]),
    shell:
        "python -m shared.stages.prepare --dataset {wildcards.dataset} --spec {params.spec:q} --data-root {params.root:q}"
        " --out {params.out} > {log} 2>&1"


def data_of(wildcards):
    name = spec.data_part(wildcards.paper, wildcards.experiment, wildcards.scale)[
        "name"
    ]
    return f"runs/{wildcards.scale}/data/{name}/data.json"


RUN = "--paper {wildcards.paper} --experiment {wildcards.experiment} --model {wildcards.model} --scale {wildcards.scale}"
PRECISION = f" --precision {config['precision']}" if config["precision"] else ""


rule train:
    input:
        data=data_of,
    output:
        # weights.pt beside it is no declared output: it is never removed, so that a lost record costs no training
        record="runs/{scale}/{paper}/{experiment}/{model}/seed{seed}/train.json",
    log:
        "logs/{scale}/{paper}/{experiment}/{model}/seed{seed}/train.log",
    benchmark:
        "logs/{scale}/{paper}/{experiment}/{model}/seed{seed}/train.jsonl"
    conda:
        "envs/environment.yaml"
    threads: threads_of
    resources:
        gpu=GPU,
        mem_mb=3000,
    params:
        spec=lambda wildcards: spec.canonical(spec.training_part(resolved(wildcards))),
        code=lambda wildcards: fingerprint.of_training(resolved(wildcards)),
        data=lambda wildcards, input: os.path.dirname(input.data),
        out=lambda wildcards, output: os.path.dirname(output.record),
        device=unrecorded(config["device"]),
        progress=lambda wildcards, threads: (
            "bar" if 2 * threads > (all_cores() or math.inf) else "lines"
        ),
    shell:
        f"python -m shared.stages.train {RUN} --seed {{wildcards.seed}}{PRECISION} --data {{params.data}} --out {{params.out}}"
        " --device {params.device} --progress {params.progress} --log {log}"


def evaluator_networks(wildcards):
    """Networks that the metrics use: trained by the workflow, or pretrained, which must lie in the data root.

    A missing pretrained file is an error before anything is trained, not days later.
    """
    folder = f"runs/{wildcards.scale}/{wildcards.paper}/{wildcards.experiment}"
    trained = spec.evaluators(resolved(wildcards))
    if trained:
        return [f"{folder}/{name}/seed0/train.json" for name in trained]
    if not spec.uses_pretrained(resolved(wildcards)):
        return []
    try:
        return [
            str(ledger.require(config["data_root"], "pretrained", entry.key))
            for entry in ledger.entries("pretrained")
        ]
    except InputError as error:
        raise WorkflowError(str(error))


rule evaluate:
    input:
        data=data_of,
        trained="runs/{scale}/{paper}/{experiment}/{model}/seed{seed}/train.json",
        evaluators=evaluator_networks,
    output:
        metrics="runs/{scale}/{paper}/{experiment}/{model}/seed{seed}/metrics.json",
        samples="runs/{scale}/{paper}/{experiment}/{model}/seed{seed}/samples.npz",
    log:
        "logs/{scale}/{paper}/{experiment}/{model}/seed{seed}/evaluate.log",
    benchmark:
        "logs/{scale}/{paper}/{experiment}/{model}/seed{seed}/evaluate.jsonl"
    conda:
        "envs/environment.yaml"
    threads: threads_of
    resources:
        gpu=GPU,
        mem_mb=2000,
    params:
        spec=lambda wildcards: spec.canonical(resolved(wildcards)),
        code=lambda wildcards: fingerprint.of_evaluation(resolved(wildcards)),
        data=lambda wildcards, input: os.path.dirname(input.data),
        run=lambda wildcards, output: os.path.dirname(output.metrics),
        evaluators=lambda wildcards, input: os.path.dirname(
            os.path.dirname(os.path.dirname(input.trained))
        ),
        root=unrecorded(config["data_root"]),
        device=unrecorded(config["device"]),
    shell:
        f"python -m shared.stages.evaluate {RUN} --seed {{wildcards.seed}}{PRECISION} --data {{params.data}} --run {{params.run}}"
        " --evaluators {params.evaluators} --data-root {params.root:q} --device {params.device} > {log} 2>&1"


rule architecture:
    output:
        "runs/{scale}/{paper}/{experiment}/{model}/architecture.json",
    log:
        "logs/{scale}/{paper}/{experiment}/{model}/architecture.log",
    conda:
        "envs/environment.yaml"
    threads: cores_for(1)
    params:
        spec=lambda wildcards: spec.canonical(resolved(wildcards)["arguments"]),
        code=lambda wildcards: fingerprint.of_training(resolved(wildcards)),
    shell:
        f"python -m shared.stages.architecture {RUN} --out {{output}} > {{log}} 2>&1"


rule aggregate:
    input:
        runs=table_inputs,
        reported=lambda wildcards: f"papers/{TABLES[wildcards.table]}/reported.csv",
        # the paper's protocol, which decides whether a number is comparable
        experiments=lambda wildcards: f"papers/{TABLES[wildcards.table]}/experiments.yaml",
        margins=config["margins"],
    output:
        "results/{table}.csv",
    log:
        "logs/aggregate/{table}.log",
    conda:
        "envs/environment.yaml"
    threads: cores_for(1)
    params:
        paper=lambda wildcards: TABLES[wildcards.table],
        scale=SCALE,
        code=lambda wildcards: fingerprint.of_table(
            TABLES[wildcards.table], "shared.stages.aggregate"
        ),
    shell:
        "python -m shared.stages.aggregate --paper {params.paper} --table {wildcards.table} --scale {params.scale}"
        " --margins {input.margins} --metrics {input.runs} --out {output} > {log} 2>&1"


rule render:
    input:
        table="results/{table}.csv",
        reported=lambda wildcards: f"papers/{TABLES[wildcards.table]}/reported.csv",
        claims=lambda wildcards: f"papers/{TABLES[wildcards.table]}/claims.yaml",
    output:
        tex="results/{table}.tex",
        markdown="results/{table}.md",
    log:
        "logs/render/{table}.log",
    conda:
        "envs/environment.yaml"
    threads: cores_for(1)
    params:
        paper=lambda wildcards: TABLES[wildcards.table],
        code=lambda wildcards: fingerprint.of_table(
            TABLES[wildcards.table], "shared.stages.render"
        ),
        prefix=lambda wildcards, output: os.path.splitext(output.tex)[0],
    shell:
        "python -m shared.stages.render --paper {params.paper} --table {wildcards.table} --csv {input.table}"
        " --out-prefix {params.prefix} > {log} 2>&1"


def name_of_run(path):
    """experiment and model, as reports call a run, of a file of one of its seeds."""
    return os.path.join(*Path(path).parts[-4:-2])


def figure_samples(wildcards):
    return [
        path
        for path in runs_of("figures", wildcards.figure, "samples.npz")
        if "/seed0/" in path
    ]


rule figure:
    input:
        samples=figure_samples,
    output:
        pdf="figures/{figure}.pdf",
        png="figures/{figure}.png",
    log:
        "logs/figure/{figure}.log",
    conda:
        "envs/environment.yaml"
    threads: cores_for(1)
    params:
        paper=lambda wildcards: FIGURES[wildcards.figure],
        scale=SCALE,
        samples=lambda wildcards, input: [
            f"{name_of_run(path)}={path}" for path in input.samples
        ],
        code=lambda wildcards: fingerprint.of_figure(FIGURES[wildcards.figure]),
        prefix=lambda wildcards, output: os.path.splitext(output.pdf)[0],
    shell:
        "python -m shared.stages.figure --paper {params.paper} --figure {wildcards.figure} --scale {params.scale}"
        " --samples {params.samples} --out-prefix {params.prefix} > {log} 2>&1"


onsuccess:
    if SCALE == "demo":
        print(
            "demo scale: the data are stand-ins made by the package, so nothing here compares with a paper. "
            "The real thing: add --config scale=reduced (real data, hours on a CPU) or scale=paper (a GPU).",
            file=sys.stderr,
        )
