"""Train one run: `python -m shared.stages.train --run hmvae/oxford_flower/mvae --scale demo --seed 0
--data runs/demo/data/oxford_flower-0a1b2c3d --out runs/demo/hmvae/oxford_flower/mvae/seed0`.

Writes weights.pt (the finished state) and train.json (specification, training curve, provenance). Until then
checkpoint.pt has the state, from which the same command continues. It makes a lost train.json again, at once.
"""

import argparse
import traceback
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from shared.errors import describe, run_cli
from shared.files import sha256_of, write_json
from shared.run import spec as specification
from shared.run.threads import limit_threads

if TYPE_CHECKING:
    from shared.run.training import Position


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    specification.add_run_arguments(parser)
    parser.add_argument("--data", type=Path, required=True, help="folder of the prepared data")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--progress", choices=("bar", "lines"), default="bar")
    parser.add_argument("--log", type=Path, help="file for plain lines of progress")
    arguments = parser.parse_args()
    try:
        train(arguments)
    except Exception as error:
        if arguments.log:  # whoever reads only the log, on a cluster say, must find there why it ends
            line = describe(error)
            text = f"error: {line}\n" if line else "".join(traceback.format_exception(error))
            with suppress(OSError):  # a disk that is full is the error itself
                arguments.log.parent.mkdir(parents=True, exist_ok=True)
                with arguments.log.open("a", encoding="utf-8") as log:
                    log.write(text)
        raise


def train(arguments: argparse.Namespace) -> None:
    spec = specification.from_arguments(arguments)
    threads = limit_threads(spec["training"]["threads"])

    # torch is imported once the arguments are known to be right
    from shared.data.arrays import load_split
    from shared.data.manifest import describe_data
    from shared.run import fingerprint, storage, training
    from shared.run.devices import choose_device, describe_device, prepare_torch
    from shared.run.provenance import peak_memory_mb, provenance

    prepare_torch(threads)
    device = choose_device(arguments.device)
    # of the code that runs, not of what the sources have become when a long run ends
    origin = provenance(describe_device(device), threads)
    pipeline = fingerprint.fingerprint(*fingerprint.TRAINING)
    data = describe_data(arguments.data)
    with ExitStack() as stack:
        stack.enter_context(storage.exclusive(arguments.out))
        log = None
        if arguments.log:
            arguments.log.parent.mkdir(parents=True, exist_ok=True)
            log = stack.enter_context(arguments.log.open("w", encoding="utf-8"))
        split = load_split(arguments.data, "train", spec["modalities"], device)
        run = training.Training(spec, split, data["sha256"], device)
        progress = stack.enter_context(run.progress(arguments.progress, log))
        discarded = storage.discard_damaged(arguments.out)
        progress.say(": ".join([run.restore(arguments.out), *discarded]))
        (arguments.out / "train.json").unlink(missing_ok=True)  # no record stands beside other weights than its own
        run.run(arguments.out, progress)
        record = {
            "spec": spec,
            "spec_sha256": run.identity["spec"],
            "weights_sha256": sha256_of(arguments.out / storage.WEIGHTS),
            "fingerprint": run.identity["code"],
            "pipeline": pipeline,
            "data": data,
            "history": run.position.history,
            "diverged": run.position.diverged,
            "provenance": origin
            # unknown where a lost record is written again from the weights
            | {"seconds": round(run.position.seconds, 1) or None, "peak_memory_mb": peak_memory_mb()},
        }
        write_json(arguments.out / "train.json", record)
        progress.say(f"done in {run.position.seconds:.0f} s, {outcome(run.position)}")


def outcome(position: "Position") -> str:
    """How a run ended, in a few words."""
    if position.diverged:
        return "diverged at epoch {epoch}, step {step}; tables will say so".format(**position.diverged)
    return f"final loss {position.history[-1]['loss']:.2f}"


if __name__ == "__main__":
    run_cli(main)
