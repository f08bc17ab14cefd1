"""JMVAE of this package against MultiVae's, side by side in one run: `make bench-peers`.

Same networks (section 3.1.1 of the MHVAE paper), same shapes, batch 64, Adam, float32. Both sides live in processes of
their own and take turns, round by round, so that whatever else the machine does falls on both. Printed are the medians
over rounds, and the median and the range of the ratios of the rounds.

- steps: forward, backward and optimiser on one batch in memory, two threads each.
- epochs: the whole training loop of each over 6,400 points, MultiVae's with its trainer and data loader, as above.
- likelihood: log p(x1, x2) of the joint encoder's proposal with K = 1000 samples, two threads each.
- epochs and likelihood, two jobs: two of our jobs side by side with one thread each, as the workflow runs them, against
  MultiVae as above.
- memory: ours for K = 5000 and for four times the images.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from shared.errors import InputError, run_cli
from shared.run.threads import limit_threads

if TYPE_CHECKING:
    from shared.data.arrays import Split

TOGETHER, APART = ("steps", "epochs", "likelihood"), ("epochs", "likelihood")
PEER_PYTHON = Path(".venv-peers/bin/python")
K, THREADS, POINTS = 1000, 2, 6400


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each side in each round")
    parser.add_argument("--peer-python", type=Path, default=PEER_PYTHON, help="of the environment with MultiVae")
    parser.add_argument("--worker", type=int, help="threads; be our side, and read tasks")
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments.worker)
        return
    if not arguments.peer_python.exists():
        raise InputError(
            f"{arguments.peer_python}: no such file; run `make bench-peers`, which installs MultiVae there"
        )
    compare(arguments)


# ---- Our side ------------------------------------------------------------------------------------------------------


def work(threads: int) -> None:
    """Answer one JSON line for each task read."""
    limit_threads(threads)
    import torch

    from benchmarks.bench import matrix_product, one_batch
    from benchmarks.flops import count_flops
    from shared.metrics.likelihood import over_split
    from shared.run.devices import prepare_torch
    from shared.run.provenance import peak_memory_mb
    from shared.run.spec import resolve
    from shared.run.training import Position, Training

    prepare_torch(threads)
    spec = resolve("mhvae", "mnist", "jmvae", "paper", 0)
    device = torch.device("cpu")
    run = Training(spec, one_batch(spec, device), "stand-in", device)
    run.position.epoch = spec["training"]["epochs"] - 1
    batch, noise = run.data.batch(torch.arange(len(run.data))), torch.Generator().manual_seed(0)
    product = matrix_product(device)
    looped = Training(with_epochs(spec, 1), repeated(run.data, POINTS), "stand-in", device)

    def step() -> int:
        run.model.train()
        run.step(batch)
        return len(run.data)

    def epoch() -> int:
        looped.position = Position()
        with tempfile.TemporaryDirectory() as folder, looped.progress("lines") as progress:
            looped.run(Path(folder), progress)
        return POINTS

    def likelihood(samples: int, points: int) -> int:
        run.model.eval()
        both = run.model.modalities
        over_split(run.model, run.data, both, [both], samples, noise, points)
        return points

    def multiply() -> int:
        product()
        return 1

    tasks = {
        "steps": step,
        "epochs": epoch,
        "likelihood": lambda: likelihood(K, 4),
        "likelihood-more-samples": lambda: likelihood(5 * K, 4),
        "likelihood-more-images": lambda: likelihood(K, 16),
        "peak": multiply,
    }
    for line in sys.stdin:
        task, seconds = line.split()
        action, points = tasks[task], tasks[task]()
        flops = count_flops(action)
        started, done = time.perf_counter(), 0
        while time.perf_counter() - started < float(seconds):
            done += action()
        answer = {
            "per_second": done / (time.perf_counter() - started),
            "mflop": flops / points / 1e6,
            "peak_mb": peak_memory_mb(),
        }
        print(json.dumps(answer), flush=True)


def with_epochs(spec: dict, epochs: int) -> dict:
    return spec | {"training": spec["training"] | {"epochs": epochs}}


def repeated(split: "Split", points: int) -> "Split":
    """A batch again and again, as a data set of so many points."""
    return type(split)({m: x.repeat(points // len(x), *[1] * (x.dim() - 1)) for m, x in split.tensors.items()})


# ---- The comparison ------------------------------------------------------------------------------------------------


class Side:
    """A worker process, which computes only while it is asked."""

    def __init__(self, command: Sequence[str]) -> None:
        quiet = os.environ | {"TQDM_DISABLE": "1"}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sys.stderr, text=True, env=quiet
        )

    def ask(self, task: str, seconds: float) -> None:
        self.process.stdin.write(f"{task} {seconds}\n")
        self.process.stdin.flush()

    def answer(self) -> dict:
        """InputError: the worker ended."""
        line = self.process.stdout.readline()
        if not line:
            raise InputError("a worker of the benchmark ended; its own error is above")
        return json.loads(line)

    def measure(self, task: str, seconds: float) -> dict:
        self.ask(task, seconds)
        return self.answer()

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def compare(arguments: argparse.Namespace) -> None:
    """All cases, round by round, and their table."""
    ours = [Side([sys.executable, "-m", "benchmarks.peers", "--worker", str(n)]) for n in (THREADS, 1, 1)]
    theirs = Side([str(arguments.peer_python), "benchmarks/peer_multivae.py", str(THREADS)])
    together, *alone = ours
    seconds, rounds = arguments.seconds, defaultdict(list)
    try:
        for _ in range(arguments.rounds):
            for task in TOGETHER:
                rounds[task].append((together.measure(task, seconds), theirs.measure(task, seconds)))
            for task in APART:
                for side in alone:
                    side.ask(task, seconds)
                jobs = [side.answer() for side in alone]
                both = jobs[0] | {"per_second": sum(job["per_second"] for job in jobs)}
                rounds[f"{task}, two jobs"].append((both, rounds[task][-1][1]))
            peak = together.measure("peak", 1.0)["per_second"] * 2 * 2048**3 / 1e6
            rounds["peak"].append(peak)
        peak = median(rounds.pop("peak"))
        memory = {task: alone[0].measure(task, 1.0)["peak_mb"] for task in ("likelihood", "likelihood-more-samples")}
        memory["likelihood-more-images"] = alone[1].measure("likelihood-more-images", 1.0)["peak_mb"]
    finally:
        for side in (*ours, theirs):
            side.close()
    report(rounds, peak, memory)


def report(rounds: dict[str, list[tuple[dict, dict]]], peak: float, memory: dict[str, int]) -> None:
    """peak: of the matrix product, MFLOP/s."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 120)
    table = Table(title=f"JMVAE, MNIST networks, {THREADS} threads, matrix product {peak / 1e3:.0f} GFLOP/s")
    headings = ("per second; share of peak; MB", "ours", "peer", "ratio", "range", "ours", "peer", "ours", "peer")
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="right" if i else "left")
    for case, pairs in rounds.items():
        rates = [median(side["per_second"] for side in sides) for sides in zip(*pairs, strict=True)]
        ratios = sorted(mine["per_second"] / peer["per_second"] for mine, peer in pairs)
        shares = [rate * pairs[0][i]["mflop"] / peak for i, rate in enumerate(rates)]
        peaks = [max(pair[i]["peak_mb"] for pair in pairs) for i in (0, 1)]
        table.add_row(
            case,
            *(f"{rate:.0f}" for rate in rates),
            f"{median(ratios):.2f}",
            f"{ratios[0]:.2f} to {ratios[-1]:.2f}",
            *(f"{share:.2f}" for share in shares),
            *map(str, peaks),
        )
    console.print(table)
    console.print(
        f"Peak memory of our likelihood in a process of its own: {memory['likelihood']} MB for K = {K}, "
        f"{memory['likelihood-more-samples']} MB for K = {5 * K}, {memory['likelihood-more-images']} MB for four times "
        "the images."
    )


if __name__ == "__main__":
    run_cli(main)
