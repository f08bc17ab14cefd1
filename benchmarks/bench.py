"""Speed and memory of every model of every experiment: `python -m benchmarks.bench` (or `make bench`).

Each model is measured in a process of its own, so that peak memory is its own. A training step is forward, backward
and optimiser on a batch in memory, through the same code as a run (shared.run.training); the batch comes from the
experiment's stand-in data, which have the shapes of the real ones. Generation gives the first modality from the last.
The peak is what this machine's float32 matrix multiplication reaches on 2048 x 2048 matrices with as many threads, in
the same process; FLOPs are counted by torch. On a processor, torch's profiler tells where the time of a step goes.
Prints the tables, then one JSON line per model.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from shared.errors import InputError, run_cli
from shared.run import spec as specification
from shared.run.threads import available_cores, limit_threads

if TYPE_CHECKING:
    from shared.data.arrays import Split

STEPS_BEFORE = 2  # not timed: memory is claimed and kernels are chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--seconds", type=float, default=6.0, help="of training and of generation, per model")
    parser.add_argument("--scale", choices=specification.SCALES, default="reduced", help="whose samples per data point")
    parser.add_argument("--precision", choices=specification.OVERRIDES["precision"], default="float32")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--only", help="PAPER/EXPERIMENT/MODEL, measured in this process")
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(measure(arguments)))
        return
    rows = []
    for paper in specification.papers():
        for experiment, entry in specification.load(paper)["experiments"].items():
            for model in entry["models"]:
                name = f"{paper}/{experiment}/{model}"
                command = [sys.executable, "-m", "benchmarks.bench", *sys.argv[1:], "--only", name]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
                if done.returncode:
                    raise InputError(f"{name}: the benchmark failed, see above")
                rows.append(json.loads(done.stdout))
    print_tables(rows)
    for row in rows:
        print(json.dumps(row))


def measure(arguments: argparse.Namespace) -> dict:
    """One model: training, generation and memory."""
    threads = limit_threads(arguments.threads)
    import torch

    from benchmarks.flops import count_flops
    from benchmarks.shares import time_shares
    from shared.run.devices import choose_device, describe_device, prepare_torch
    from shared.run.provenance import cpu_model, peak_memory_mb
    from shared.run.training import Training

    prepare_torch(threads)
    device = choose_device(arguments.device)
    if arguments.only.count("/") != 2:
        raise InputError(f"--only {arguments.only}: give PAPER/EXPERIMENT/MODEL")
    paper, experiment, model = arguments.only.split("/")
    spec = specification.resolve(paper, experiment, model, arguments.scale, 0, {"precision": arguments.precision})
    run = Training(spec, one_batch(spec, device), "stand-in", device)
    run.model.train()
    run.position.epoch = spec["training"]["epochs"] - 1  # past every warm-up
    batch = run.data.batch(torch.arange(len(run.data), device=device))

    def synchronise() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    def rate(action) -> float:
        """Calls per second."""
        for _ in range(STEPS_BEFORE):
            action()
        synchronise()
        started, calls = time.perf_counter(), 0
        while time.perf_counter() - started < arguments.seconds:
            action()
            synchronise()
            calls += 1
        return calls / (time.perf_counter() - started)

    flops = count_flops(lambda: run.step(batch))
    steps = rate(lambda: run.step(batch))

    run.model.eval()
    generator = torch.Generator(device).manual_seed(0)
    target, *_, source = run.model.modalities

    def generate() -> None:
        with torch.inference_mode():
            run.model.generate({source: batch[source]}, [target], 1, generator)

    generations = rate(generate)
    memory = torch.cuda.max_memory_allocated() // 2**20 if device.type == "cuda" else peak_memory_mb()
    peak = rate(matrix_product(device)) * 2 * 2048**3
    run.model.train()
    shares = time_shares(lambda: run.step(batch)) if device.type == "cpu" else {}
    points = len(run.data)
    return {
        "model": arguments.only,
        "training_samples_per_s": round(steps * points, 1),
        "mflop_per_sample": round(flops / points / 1e6, 1),
        "gflops": round(steps * flops / 1e9, 1),
        "peak_gflops": round(peak / 1e9, 1),
        "fraction_of_peak": round(steps * flops / peak, 3),
        "percent_of_step": shares,
        "generated_images_per_s": round(generations * points, 1),
        "peak_memory_mb": memory,
        "batch": points,
        "samples": spec["training"]["samples"],
        "precision": arguments.precision,
        "threads": threads,
        "device": describe_device(device),
        "cpu": cpu_model(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def matrix_product(device) -> Callable[[], object]:
    """The product of two float32 matrices of 2048 x 2048 as a dense layer of ours multiplies them on this processor."""
    import torch

    from shared.models.linear import Linear

    layer, matrix = Linear(2048, 2048, bias=False).to(device), torch.randn(2048, 2048, device=device)
    return torch.inference_mode()(lambda: layer(matrix))


def one_batch(spec: dict, device) -> "Split":
    """As many samples of the experiment's stand-in data as a batch has."""
    from shared.data.prepared import DatasetSpec
    from shared.stages.prepare import prepare

    demo = specification.resolve(spec["paper"], spec["experiment"], spec["model"], "demo", 0)
    stand_in = specification.canonical(specification.data_stages(demo["data"])[0])
    with tempfile.TemporaryDirectory() as folder:
        prepare(DatasetSpec.from_json(stand_in), Path(folder), Path(folder) / "data")
        return some_rows(demo, Path(folder) / "data", spec["training"]["batch_size"], device)


def some_rows(spec: dict, data: Path, count: int, device) -> "Split":
    """Rows of prepared data, spread over them, since neighbours may be of one class.

    The arrays that networks complete them by are standardised features: here normal random numbers.
    """
    import torch

    from shared.data.arrays import Split, load_split
    from shared.run.devices import build

    encoders = {step["array"]: step for step in spec["data"].get("encoders", [])}
    made = {m: build(spec | encoders[key]).feature_dim for m, key in spec["modalities"].items() if key in encoders}
    read = {m: key for m, key in spec["modalities"].items() if m not in made}
    split = load_split(data, "train", read, device)
    index = torch.arange(count, device=device) * len(split) // count
    generator = torch.Generator().manual_seed(0)
    features = {m: torch.randn(count, dimension, generator=generator).to(device) for m, dimension in made.items()}
    return Split({m: split.tensors[m][index].clone() for m in read} | features)


def print_tables(rows: list[dict]) -> None:
    """Speed and memory of all models, and the shares of a training step."""
    columns = {
        "model": "model",
        "training_samples_per_s": "training samples/s",
        "mflop_per_sample": "MFLOP/sample",
        "fraction_of_peak": "fraction of peak",
        "generated_images_per_s": "generated images/s",
        "peak_memory_mb": "peak MB",
    }
    where = f"{rows[0]['threads']} threads, {rows[0]['precision']}, {rows[0]['device']}, {rows[0]['cpu']}"
    print_table(where, [{title: row[key] for key, title in columns.items()} for row in rows])
    if rows[0]["percent_of_step"]:
        shares = [{"model": row["model"], **row["percent_of_step"]} for row in rows]
        print_table("Share of a training step, in per cent", shares)


def print_table(title: str, rows: list[dict]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title)
    for i, column in enumerate(rows[0]):
        table.add_column(column, justify="right" if i else "left")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console(width=None if sys.stdout.isatty() else 140).print(table)


if __name__ == "__main__":
    run_cli(main)
