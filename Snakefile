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

HERE = os.path.realpath(workflow.basedir)
if not os.path.samefile(HERE, os.curdir):
    raise WorkflowError(
        f"the workflow runs in its own folder: cd {HERE}, or add --directory {HERE}"
    )
sys.path.insert(0, HERE)
from shared.data import ledger
from shared.data.sources import source_of
from shared.errors import InputError
from shared.report.paper import (
    check,
    check_target,
    figure_of,
    owners,
    runs_at,
    table_of,
)
from shared.run import config as configuration, fingerprint, spec, stopping
from shared.run.threads import share_of

min_version("9.0")


configfile: "config/config.yaml"


configuration.use_this_python()

try:
    configuration.check(config)
    SCALE = config["scale"]
    OVERRIDES = {"precision": config["precision"]} if config["precision"] else {}
    PAPERS = spec.papers()
    for paper in PAPERS:
        for scale in {SCALE, "paper"}:
            spec.check(paper, scale)
    TABLES, FIGURES = owners("tables"), owners("figures")
    NEEDS = {
        (kind, name): runs_at(paper, find(paper, name), SCALE)
        for kind, owned, find in (
            ("table", TABLES, table_of),
            ("figure", FIGURES, figure_of),
        )
        for name, paper in owned.items()
    }
    check(Path(config["margins"]))
    # {key: specification} of every data set at this scale, as it is prepared and after each of its encoders
    DATA = {
        spec.data_key(part): part
        for paper in PAPERS
        for experiment in spec.load(paper).experiments
        for part in spec.data_stages(spec.data_part(paper, experiment, SCALE))
    }
    for part in DATA.values():
        source_of(part["name"], part["source"])
    # Snakemake reads this file before it looks for targets, and says of any that it finds no rule.
    for word in sys.argv[1:]:
        check_target(word, {"results": TABLES, "figures": FIGURES})
except InputError as error:
    raise WorkflowError(str(error))

# A GPU is one token, so that one job at a time uses it (profiles/default limits the tokens to one). Jobs may run on
# another machine than this one, which `cuda` says.
GPU = int(
    config["device"] == "cuda"
    or (config["device"] == "auto" and shutil.which("nvidia-smi") is not None)
)


wildcard_constraints:
    # another scale's files are made with `--config scale=...` only: the rules below know the data of one scale
    scale=SCALE,
    paper="|".join([*PAPERS, spec.EVALUATORS]),
    model="[a-z][a-z0-9_]*(~[a-z0-9_.]+=[A-Za-z0-9_.+-]+)*",
    experiment="[a-z][a-z0-9_]*(-[0-9a-f]{8})?",
    dataset="[a-z][a-z0-9_]*-[0-9a-f]{8}",
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


def seeds(paper, experiment):
    if config["seeds"]:
        return range(config["seeds"])
    return spec.seeds(paper, experiment, SCALE)


def files_of(paper, run, kind):
    """The files of a run that a target needs: of all its seeds, but for counts, and for samples, which are shown of one."""
    folder = f"runs/{SCALE}/{paper}/{run}"
    if kind == "architecture":
        return [f"{folder}/architecture.json"]
    if kind == "samples":
        return [f"{folder}/seed0/samples.npz"]
    return [
        f"{folder}/seed{k}/metrics.json" for k in seeds(paper, run.partition("/")[0])
    ]


def table_inputs(wildcards):
    paper, needs = TABLES[wildcards.table], NEEDS["table", wildcards.table]
    return [file for run, kind in needs for file in files_of(paper, run, kind)]


def reported_files(paper):
    """The numbers and the words that a paper printed."""
    return sorted(str(path) for path in Path("papers", paper).glob("reported*.csv"))


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


# These take seconds, less than a cluster's queue.
localrules:
    all,
    tables,
    figures,
    architecture,
    aggregate,
    render,
    figure,


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


for paper in PAPERS:

    rule:
        name:
            paper
        input:
            all_tables(paper),
            all_figures(paper),
        localrule: True


for dataset in ledger.groups():

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


def raw_files(wildcards):
    """What data are prepared from. What is missing is an error at once; data that lie there prepared need it no more."""
    part = DATA[wildcards.dataset]
    groups = source_of(part["name"], part["source"]).groups
    if not os.path.exists(f"runs/{SCALE}/data/{wildcards.dataset}/data.json"):
        try:
            for group in groups:
                ledger.check_present(config["data_root"], group, part)
        except InputError as error:
            raise WorkflowError(str(error))
    return [
        file
        for group in groups
        for file in ledger.present_files(config["data_root"], group)
    ]


def keys_of_data(encoded):
    return "|".join(
        key for key, part in DATA.items() if encoded == ("encoders" in part)
    )


rule prepare_data:
    input:
        raw_files,
    output:
        # written last; the arrays, whose names are the data set's own, lie beside it
        "runs/{scale}/data/{dataset}/data.json",
    log:
        "logs/{scale}/data/{dataset}/prepare.log",
    benchmark:
        "logs/{scale}/data/{dataset}/prepare.jsonl"
    wildcard_constraints:
        dataset=keys_of_data(encoded=False),
    conda:
        "envs/environment.yaml"
    threads: cores_for(1)
    params:
        spec=lambda wildcards: spec.canonical(DATA[wildcards.dataset]),
        code=lambda wildcards: fingerprint.of_data(DATA[wildcards.dataset]),
        root=unrecorded(config["data_root"]),
        out=lambda wildcards, output: os.path.dirname(output[0]),
    shell:
        "python -m shared.stages.prepare --spec {params.spec:q} --data-root {params.root:q} --out {params.out} > {log} 2>&1"


def encoder(wildcards):
    """The last step of encoded data: array, network, and the network's specification."""
    return DATA[wildcards.dataset]["encoders"][-1]


def before_encoder(wildcards):
    """The key of the data that it completes."""
    return spec.data_key(spec.data_stages(DATA[wildcards.dataset])[-2])


def encoder_run(wildcards):
    return (
        f"{spec.EVALUATORS}/{before_encoder(wildcards)}/{encoder(wildcards)['network']}"
    )


rule encode:
    input:
        data=lambda wildcards: f"runs/{wildcards.scale}/data/{before_encoder(wildcards)}/data.json",
        trained=lambda wildcards: f"runs/{wildcards.scale}/{encoder_run(wildcards)}/seed0/train.json",
    output:
        "runs/{scale}/data/{dataset}/data.json",
    log:
        "logs/{scale}/data/{dataset}/encode.log",
    benchmark:
        "logs/{scale}/data/{dataset}/encode.jsonl"
    wildcard_constraints:
        dataset=keys_of_data(encoded=True) or "none",
    conda:
        "envs/environment.yaml"
    threads: lambda wildcards: cores_for(encoder(wildcards)["training"]["threads"])
    resources:
        gpu=GPU,
        mem_mb=2000,
    params:
        spec=lambda wildcards: spec.canonical(DATA[wildcards.dataset]),
        code=lambda wildcards: fingerprint.of_data(DATA[wildcards.dataset]),
        run=encoder_run,
        data=lambda wildcards, input: os.path.dirname(input.data),
        folder=lambda wildcards, input: os.path.dirname(input.trained),
        array=lambda wildcards: encoder(wildcards)["array"],
        out=lambda wildcards, output: os.path.dirname(output[0]),
        device=unrecorded(config["device"]),
    shell:
        "python -m shared.stages.encode --run {params.run} --scale {wildcards.scale} --data {params.data}"
        " --folder {params.folder} --array {params.array} --out {params.out} --device {params.device} > {log} 2>&1"


def data_of(wildcards):
    key = spec.data_key(resolved(wildcards)["data"])
    return f"runs/{wildcards.scale}/data/{key}/data.json"


RUN = "--run {wildcards.paper}/{wildcards.experiment}/{wildcards.model} --scale {wildcards.scale} --seed {wildcards.seed}"
# The specification, a parameter too, says whom it concerns: networks that complete data heed no override.
PRECISION = f"--precision {config['precision']}" if config["precision"] else ""


rule train:
    input:
        data=data_of,
    output:
        # weights.pt lies beside it, undeclared: a run that is asked for again without need is there already
        "runs/{scale}/{paper}/{experiment}/{model}/seed{seed}/train.json",
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
        out=lambda wildcards, output: os.path.dirname(output[0]),
        precision=unrecorded(PRECISION),
        device=unrecorded(config["device"]),
        progress=lambda wildcards, threads: (
            "bar" if 2 * threads > (all_cores() or math.inf) else "lines"
        ),
    shell:
        f"python -m shared.stages.train {RUN} {{params.precision}} --data {{params.data}} --out {{params.out}}"
        " --device {params.device} --progress {params.progress} --log {log}"


def evaluator_files(wildcards):
    """What the metrics' networks are loaded from: trained by the workflow, or pretrained, in the data root.

    A missing pretrained file is an error before anything is trained, not days later.
    """
    run = resolved(wildcards)
    keys = {
        name: spec.data_key(spec.trained_on(run["data"], name))
        for name in spec.evaluators(run)
    }
    try:
        return [
            (
                str(ledger.require(config["data_root"], "pretrained", network.weights))
                if network.weights
                else f"runs/{wildcards.scale}/{spec.EVALUATORS}/{keys[name]}/{name}/seed0/train.json"
            )
            for name, network in spec.evaluators(run).items()
        ]
    except InputError as error:
        raise WorkflowError(str(error))


rule evaluate:
    input:
        data=data_of,
        trained="runs/{scale}/{paper}/{experiment}/{model}/seed{seed}/train.json",
        evaluators=evaluator_files,
    output:
        metrics="runs/{scale}/{paper}/{experiment}/{model}/seed{seed}/metrics.json",
        samples="runs/{scale}/{paper}/{experiment}/{model}/seed{seed}/samples.npz",
        points="runs/{scale}/{paper}/{experiment}/{model}/seed{seed}/points.npz",
    log:
        "logs/{scale}/{paper}/{experiment}/{model}/seed{seed}/evaluate.log",
    benchmark:
        "logs/{scale}/{paper}/{experiment}/{model}/seed{seed}/evaluate.jsonl"
    conda:
        "envs/environment.yaml"
    threads: threads_of
    resources:
        gpu=GPU,
        mem_mb=3000,
    params:
        spec=lambda wildcards: spec.canonical(resolved(wildcards)),
        code=lambda wildcards: fingerprint.of_evaluation(resolved(wildcards)),
        data=lambda wildcards, input: os.path.dirname(input.data),
        folder=lambda wildcards, output: os.path.dirname(output.metrics),
        evaluators=f"runs/{SCALE}/{spec.EVALUATORS}",
        root=unrecorded(config["data_root"]),
        precision=unrecorded(PRECISION),
        device=unrecorded(config["device"]),
    shell:
        f"python -m shared.stages.evaluate {RUN} {{params.precision}} --data {{params.data}} --folder {{params.folder}}"
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
        code=lambda wildcards: fingerprint.of_architecture(resolved(wildcards)),
    shell:
        "python -m shared.stages.architecture --run {wildcards.paper}/{wildcards.experiment}/{wildcards.model}"
        " --scale {wildcards.scale} --out {output} > {log} 2>&1"


rule aggregate:
    input:
        runs=table_inputs,
        reported=lambda wildcards: reported_files(TABLES[wildcards.table]),
        margins=config["margins"],
    output:
        table="results/{table}.csv",
        paired="results/{table}.paired.csv",
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
        " --margins {input.margins:q} --metrics {input.runs} --out {output.table} > {log} 2>&1"


rule render:
    input:
        table="results/{table}.csv",
        paired="results/{table}.paired.csv",
        reported=lambda wildcards: reported_files(TABLES[wildcards.table]),
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


def shown_runs(wildcards):
    """{run: samples.npz} that a figure shows."""
    paper, needs = FIGURES[wildcards.figure], NEEDS["figure", wildcards.figure]
    return {run: files_of(paper, run, kind)[0] for run, kind in needs}


def shown_data(wildcards):
    """{experiment: data.json} that a figure shows."""
    paper = FIGURES[wildcards.figure]
    keys = {
        name: spec.data_key(spec.data_part(paper, name, SCALE))
        for name in figure_of(paper, wildcards.figure).data
    }
    return {name: f"runs/{SCALE}/data/{key}/data.json" for name, key in keys.items()}


def plotted_table(wildcards):
    """The numbers that a figure plots: the table of its name."""
    figure = figure_of(FIGURES[wildcards.figure], wildcards.figure)
    return [f"results/{wildcards.figure}.csv"] if figure.table else []


def shown(wildcards):
    """What a figure shows, as options of its command line."""
    options = {
        "--samples": [f"{run}={file}" for run, file in shown_runs(wildcards).items()],
        "--data": [
            f"{name}={os.path.dirname(file)}"
            for name, file in shown_data(wildcards).items()
        ],
        "--csv": plotted_table(wildcards),
    }
    return " ".join(
        f"{option} {' '.join(values)}" for option, values in options.items() if values
    )


rule figure:
    input:
        samples=lambda wildcards: shown_runs(wildcards).values(),
        data=lambda wildcards: shown_data(wildcards).values(),
        table=plotted_table,
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
        shown=shown,
        code=lambda wildcards: fingerprint.of_figure(FIGURES[wildcards.figure]),
        prefix=lambda wildcards, output: os.path.splitext(output.pdf)[0],
    shell:
        "python -m shared.stages.figure --paper {params.paper} --figure {wildcards.figure} --scale {params.scale}"
        " {params.shown} --out-prefix {params.prefix} > {log} 2>&1"


onstart:
    # On a cluster Snakemake does its part: it cancels the jobs on SIGINT, and waits for them on SIGTERM.
    if workflow.local_exec:
        stopping.stop_jobs_too()


onsuccess:
    if SCALE == "demo":
        print(
            "demo scale: the data are stand-ins made by the package, so nothing here compares with a paper. "
            "The real thing: add --config scale=reduced (real data, hours on a CPU) or scale=paper (a GPU).",
            file=sys.stderr,
        )
