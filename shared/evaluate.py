"""Evaluate one trained run with its paper's protocol: all metrics of all its tables and figures in one job.

python -m shared.evaluate --paper hmvae --experiment oxford_flower --model mvae --scale demo --seed 0 \\
    --run runs/demo/hmvae/oxford_flower/mvae/seed0 --data runs/demo/data/oxford_flower \\
    --evaluators runs/demo/hmvae/oxford_flower --data-root data

Writes metrics.json and samples.npz into the folder of the run.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from shared import spec as specification
from shared.errors import InputError, run_cli
from shared.files import atomic_path, read_json, write_json
from shared.threads import limit_threads


def read_trained(folder: Path, spec: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    """train.json of a finished run. InputError: it was trained for another specification, or on other data."""
    trained = read_json(folder / "train.json")
    if trained["spec_sha256"] != specification.sha256(specification.training_part(spec)):
        raise InputError(f"{folder}: trained for another specification; run the workflow, which trains it again")
    if trained["data"]["sha256"] != data["sha256"]:
        raise InputError(f"{folder}: trained on other data; run the workflow, which trains it again")
    return trained


def precision_note(spec: dict[str, Any]) -> str:
    """What a table must say of runs that did not compute in float32."""
    precision = spec["training"]["precision"]
    return "" if precision == "float32" else f"; trained in {precision}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    specification.add_run_arguments(parser)
    parser.add_argument("--run", type=Path, required=True, help="folder with weights.pt and train.json")
    parser.add_argument("--data", type=Path, required=True, help="folder with data.npz and data.json")
    parser.add_argument("--evaluators", type=Path, required=True, help="folder of the evaluator networks' runs")
    parser.add_argument("--data-root", type=Path, default=Path("data"), help="folder with pretrained weights")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    arguments = parser.parse_args()
    spec = specification.from_arguments(arguments)
    threads = limit_threads(spec["training"]["threads"])

    import importlib

    import numpy as np
    import torch

    from shared import fingerprint
    from shared.arrays import describe_data, load_split
    from shared.devices import choose_device, describe_device, load_trained, prepare_torch
    from shared.metrics.features import Extractors
    from shared.provenance import peak_memory_mb, provenance
    from shared.seeds import derive_seed

    started = time.monotonic()
    prepare_torch(threads)
    device = choose_device(arguments.device)
    # of the code that runs, not of what the sources have become when a long job ends
    origin = provenance(describe_device(device), threads)
    code = [fingerprint.of_evaluation(spec)]
    pipeline = [fingerprint.of_protocol(arguments.paper)]

    data = describe_data(arguments.data)
    trained = read_trained(arguments.run, spec, data)
    model = load_trained(spec, arguments.run / "weights.pt", device)
    code.append(trained["fingerprint"])
    pipeline.append(trained["pipeline"])
    evaluators = specification.evaluators(spec)
    if evaluators:
        name, seed = evaluators[0], 0  # one network for all models and seeds
        network = specification.resolve(
            arguments.paper, arguments.experiment, name, arguments.scale, seed, specification.overrides(arguments)
        )
        folder = arguments.evaluators / name / f"seed{seed}"
        code.append(read_trained(folder, network, data)["fingerprint"])
        pipeline.append(code[-1])
        extractors = Extractors.of_classifier(load_trained(network, folder / "weights.pt", device), device)
    else:
        extractors = Extractors.pretrained(arguments.data_root, device)

    test = load_split(arguments.data, "test", spec["modalities"], device)
    protocol = importlib.import_module(f"papers.{arguments.paper}.evaluation")
    result = protocol.evaluate(
        model,
        test,
        arguments.data,
        spec["evaluation"],
        extractors,
        lambda *purpose: torch.Generator(device).manual_seed(derive_seed(spec, "evaluation", *purpose)),
    )
    with atomic_path(arguments.run / "samples.npz") as temporary:
        np.savez(temporary, **result.samples, data=data["description"])
    record = {name: spec[name] for name in ("paper", "experiment", "model", "scale", "seed")} | {
        "spec_sha256": specification.sha256(spec),
        "fingerprint": specification.sha256(code)[:16],
        "pipeline": specification.sha256(pipeline)[:16],
        "data": data["description"],
        "stand_in": data["stand_in"],
        "protocol": result.protocol + precision_note(spec),
        "metrics": result.metrics,
        "training": trained["provenance"],
        "provenance": origin | {"seconds": round(time.monotonic() - started, 1), "peak_memory_mb": peak_memory_mb()},
    }
    write_json(arguments.run / "metrics.json", record)


if __name__ == "__main__":
    run_cli(main)
