"""Evaluate one trained run with its experiment's protocol: all metrics of all its tables and figures in one job.

python -m shared.stages.evaluate --run hmvae/oxford_flower/mvae --scale demo --seed 0 \\
    --folder runs/demo/hmvae/oxford_flower/mvae/seed0 --data runs/demo/data/oxford_flower-0a1b2c3d \\
    --evaluators runs/demo/evaluators --data-root data

Writes metrics.json, samples.npz and points.npz into the folder of the run.
"""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.errors import InputError, run_cli
from shared.files import read_json, write_json, write_npz
from shared.run import spec as specification
from shared.run import storage
from shared.run.threads import limit_threads

if TYPE_CHECKING:
    import torch

    from shared.models.contract import Trainable


def read_trained(folder: Path, spec: dict[str, Any], data_sha256: str) -> dict[str, Any]:
    """train.json of a finished run. InputError: it was trained for another specification, or on other data."""
    keys = ("spec_sha256", "weights_sha256", "fingerprint", "pipeline", "data", "diverged", "provenance")
    trained = read_json(folder / "train.json", *keys)
    if trained["spec_sha256"] != specification.sha256(specification.training_part(spec)):
        raise InputError(f"{folder}: trained for another specification; run the workflow, which trains it again")
    if trained["data"]["sha256"] != data_sha256:
        raise InputError(f"{folder}: trained on other data; run the workflow, which trains it again")
    return trained


def training_note(spec: dict[str, Any]) -> str:
    """How long a run was trained, and what else a reader would not expect, for the protocol in tables."""
    training = spec["training"]
    precision = "" if training["precision"] == "float32" else f" in {training['precision']}"
    return f"trained for {training['epochs']} epochs in batches of {training['batch_size']}{precision}"


def quality_notes(data: dict[str, Any]) -> list[str]:
    """What networks that completed the data achieve, for the protocol in tables."""
    return [
        f"{step['name']}: {', '.join(f'{100 * share:.1f} % {words}' for words, share in step['quality'].items())}"
        for step in data.get("encoders", [])
    ]


def load_network(
    folder: Path, spec: dict[str, Any], data_sha256: str, device: "torch.device"
) -> tuple["Trainable", dict[str, Any]]:
    """A network that metrics use or that completes data, and its train.json. InputError: as `read_trained`, or it
    diverged."""
    from shared.run.devices import load_trained

    trained = read_trained(folder, spec, data_sha256)
    if trained["diverged"]:
        raise InputError(f"{folder}: this network, which metrics or data need, diverged; lower its learning rate")
    return load_trained(spec, folder / "weights.pt", trained["weights_sha256"], device), trained


def evaluators_of(
    spec: dict[str, Any], arguments: argparse.Namespace, data: dict[str, Any], device: "torch.device"
) -> tuple[dict[str, Any], list[str]]:
    """The networks that the protocol asks for, by role, and the fingerprints of those that were trained.

    InputError: one was trained for another specification, or diverged, or the weights of a pretrained one are missing.
    """
    from shared.data import ledger
    from shared.run.devices import named

    networks, code = {}, []
    # those that completed the data were trained on what these were before
    before = {step["network"]: step["trained_on"] for step in data.get("encoders", [])}
    for name, entry in specification.evaluators(spec).items():
        if entry.weights:
            weights = ledger.require(arguments.data_root, "pretrained", entry.weights)
            networks[name] = named(entry.builder)(weights, device)
            continue
        key = specification.data_key(specification.trained_on(spec["data"], name))
        own = specification.resolve(
            specification.EVALUATORS, key, name, spec["scale"], 0, specification.overrides(arguments)
        )
        folder = arguments.evaluators / key / name / "seed0"
        networks[name], trained = load_network(folder, own, before.get(name, data["sha256"]), device)
        code.append(trained["fingerprint"])
    roles = spec["evaluation"].get(specification.EVALUATORS, {})
    return {role: networks[name] for role, name in roles.items()}, code


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    specification.add_run_arguments(parser)
    parser.add_argument("--folder", type=Path, required=True, help="of the run, with weights.pt and train.json")
    parser.add_argument("--data", type=Path, required=True, help="folder of the prepared data")
    parser.add_argument("--evaluators", type=Path, help="folder of the evaluator networks' runs, by their data")
    parser.add_argument("--data-root", type=Path, default=Path("data"), help="folder with pretrained weights")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    arguments = parser.parse_args()
    spec = specification.from_arguments(arguments)
    with storage.exclusive(arguments.folder):
        evaluate(spec, arguments)


def evaluate(spec: dict[str, Any], arguments: argparse.Namespace) -> None:
    """All metrics and samples of one run, into its folder."""
    threads = limit_threads(spec["training"]["threads"])

    import torch

    from shared.data.manifest import describe_data
    from shared.metrics.protocol import Context, Evaluation
    from shared.run import fingerprint
    from shared.run.devices import choose_device, describe_device, load_trained, named, prepare_torch
    from shared.run.provenance import peak_memory_mb, provenance
    from shared.run.seeds import derive_seed

    started = time.monotonic()
    prepare_torch(threads)
    device = choose_device(arguments.device)
    torch.manual_seed(derive_seed(spec, "evaluation"))  # a protocol draws from generators, a library may not
    # of the code that runs, not of what the sources have become when a long job ends
    origin = provenance(describe_device(device), threads)
    data = describe_data(arguments.data)
    trained = read_trained(arguments.folder, spec, data["sha256"])
    networks, network_code = evaluators_of(spec, arguments, data, device)
    code = [fingerprint.of_evaluation(spec), trained["fingerprint"], *network_code]
    pipeline = [fingerprint.of_protocol(spec), trained["pipeline"], *network_code]
    record = {name: spec[name] for name in ("paper", "experiment", "model", "scale", "seed")} | {
        "spec_sha256": specification.sha256(spec),
        "fingerprint": specification.sha256(code)[:16],
        "pipeline": specification.sha256(pipeline)[:16],
        "data": data["description"],
        "stand_in": data["stand_in"],
        "comparable": data["official"] and specification.is_papers_own(spec),
        "training": trained["provenance"],
    }
    if trained["diverged"]:
        result = Evaluation(metrics=[], samples={}, protocol="")
        record["diverged"] = trained["diverged"]
    else:
        model = load_trained(spec, arguments.folder / "weights.pt", trained["weights_sha256"], device)
        result = named(spec["protocol"])(Context(spec, model, arguments.data, networks, device))
    record |= {
        "protocol": "; ".join(filter(None, [result.protocol, *quality_notes(data), training_note(spec)])),
        "metrics": result.metrics,
        "provenance": origin | {"seconds": round(time.monotonic() - started, 1), "peak_memory_mb": peak_memory_mb()},
    }
    # what the samples are of, for the margin of a figure
    about = {"scale": spec["scale"], "data": data["description"], "stand_in": data["stand_in"]}
    points = {"@".join(metric): values for metric, values in result.points.items()}
    write_npz(arguments.folder / "samples.npz", result.samples | about)
    write_npz(arguments.folder / "points.npz", points)
    write_json(arguments.folder / "metrics.json", record)


if __name__ == "__main__":
    run_cli(main)
