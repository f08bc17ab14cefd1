"""Evaluate one trained run with its paper's protocol: all metrics of all its tables and figures in one job.

python -m shared.stages.evaluate --paper hmvae --experiment oxford_flower --model mvae --scale demo --seed 0 \\
    --run runs/demo/hmvae/oxford_flower/mvae/seed0 --data runs/demo/data/oxford_flower \\
    --evaluators runs/demo/hmvae/oxford_flower --data-root data

Writes metrics.json and samples.npz into the folder of the run.
"""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.errors import InputError, run_cli
from shared.files import atomic_path, read_json, write_json
from shared.run import spec as specification
from shared.run.threads import limit_threads

if TYPE_CHECKING:
    import torch

    from shared.metrics.features import Extractors


def read_trained(folder: Path, spec: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    """train.json of a finished run. InputError: it was trained for another specification, or on other data."""
    keys = ("spec_sha256", "fingerprint", "pipeline", "data", "diverged", "provenance")
    trained = read_json(folder / "train.json", *keys)
    if trained["spec_sha256"] != specification.sha256(specification.training_part(spec)):
        raise InputError(f"{folder}: trained for another specification; run the workflow, which trains it again")
    if trained["data"]["sha256"] != data["sha256"]:
        raise InputError(f"{folder}: trained on other data; run the workflow, which trains it again")
    return trained


def training_note(spec: dict[str, Any]) -> str:
    """How long a run was trained, and that it did not compute in float32 if so, for the protocol in tables."""
    training = spec["training"]
    precision = "" if training["precision"] == "float32" else f" in {training['precision']}"
    return f"; trained for {training['epochs']} epochs{precision}"


def evaluators_of(
    spec: dict[str, Any], arguments: argparse.Namespace, data: dict[str, Any], device: "torch.device"
) -> tuple["Extractors | None", list[str]]:
    """The image features that the protocol asks for, if any, and the fingerprints of the networks trained for them.

    InputError: the network was trained for another specification, or diverged.
    """
    from shared.metrics.features import Extractors
    from shared.run.devices import load_trained

    if specification.uses_pretrained(spec):
        return Extractors.pretrained(arguments.data_root, device), []
    for name in specification.evaluators(spec):  # one network for all models and seeds
        network = specification.resolve(
            spec["paper"], spec["experiment"], name, spec["scale"], 0, specification.overrides(arguments)
        )
        folder = arguments.evaluators / name / "seed0"
        trained = read_trained(folder, network, data)
        if trained["diverged"]:
            raise InputError(f"{folder}: this network, which the metrics need, diverged; lower its learning rate")
        model = load_trained(network, folder / "weights.pt", device)
        return Extractors.of_classifier(model, device), [trained["fingerprint"]]
    return None, []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    specification.add_run_arguments(parser)
    parser.add_argument("--run", type=Path, required=True, help="folder of the finished run")
    parser.add_argument("--data", type=Path, required=True, help="folder of the prepared data")
    parser.add_argument("--evaluators", type=Path, required=True, help="folder of the evaluator networks' runs")
    parser.add_argument("--data-root", type=Path, default=Path("data"), help="folder with pretrained weights")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    arguments = parser.parse_args()
    spec = specification.from_arguments(arguments)
    evaluate(spec, arguments)


def evaluate(spec: dict[str, Any], arguments: argparse.Namespace) -> None:
    """All metrics and samples of one run, into its folder."""
    threads = limit_threads(spec["training"]["threads"])

    import importlib

    import numpy as np
    import torch

    from shared.data.arrays import describe_data, load_split
    from shared.run import fingerprint
    from shared.run.devices import choose_device, describe_device, load_trained, prepare_torch
    from shared.run.provenance import peak_memory_mb, provenance
    from shared.run.seeds import derive_seed

    started = time.monotonic()
    prepare_torch(threads)
    device = choose_device(arguments.device)
    torch.manual_seed(derive_seed(spec, "evaluation"))  # a protocol draws from generators, a library may not
    # of the code that runs, not of what the sources have become when a long job ends
    origin = provenance(describe_device(device), threads)
    code = [fingerprint.of_evaluation(spec)]
    pipeline = [fingerprint.of_protocol(spec)]

    data = describe_data(arguments.data)
    trained = read_trained(arguments.run, spec, data)
    code.append(trained["fingerprint"])
    pipeline.append(trained["pipeline"])
    extractors, networks = evaluators_of(spec, arguments, data, device)
    code += networks
    pipeline += networks
    record = {name: spec[name] for name in ("paper", "experiment", "model", "scale", "seed")} | {
        "spec_sha256": specification.sha256(spec),
        "fingerprint": specification.sha256(code)[:16],
        "pipeline": specification.sha256(pipeline)[:16],
        "data": data["description"],
        "stand_in": data["stand_in"],
        "training": trained["provenance"],
    }
    if trained["diverged"]:
        samples = {}
        record |= {"diverged": trained["diverged"], "protocol": training_note(spec).lstrip("; "), "metrics": []}
    else:
        protocol = importlib.import_module(f"papers.{arguments.paper}.evaluation")
        result = protocol.evaluate(
            load_trained(spec, arguments.run / "weights.pt", device),
            load_split(arguments.data, "test", spec["modalities"], device),
            arguments.data,
            spec["evaluation"],
            extractors,
            lambda *purpose: torch.Generator(device).manual_seed(derive_seed(spec, "evaluation", *purpose)),
        )
        samples = result.samples
        record |= {"protocol": result.protocol + training_note(spec), "metrics": result.metrics}
    record["provenance"] = origin | {
        "seconds": round(time.monotonic() - started, 1),
        "peak_memory_mb": peak_memory_mb(),
    }
    with atomic_path(arguments.run / "samples.npz") as temporary:
        # what the samples are of, for the margin of a figure
        about = {"scale": spec["scale"], "data": data["description"], "stand_in": data["stand_in"]}
        np.savez(temporary, **samples, **about)
    write_json(arguments.run / "metrics.json", record)


if __name__ == "__main__":
    run_cli(main)
