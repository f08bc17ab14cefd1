"""Complete a data set by the features of a network that was trained on it.

python -m shared.stages.encode --run evaluators/oxford_flower-0a1b2c3d/char_cnn_rnn --scale demo \\
    --data runs/demo/data/oxford_flower-0a1b2c3d --array x2 --out runs/demo/data/oxford_flower-4e5f6a7b \\
    --folder runs/demo/evaluators/oxford_flower-0a1b2c3d/char_cnn_rnn/seed0

writes a folder as shared.stages.prepare does: the arrays of `--data`, as links where the file system has them, the new
array for each split, standardised with the statistics of the training split, and data.json.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.errors import InputError, run_cli
from shared.files import link_or_copy, write_json
from shared.run import spec as specification
from shared.run.threads import limit_threads

if TYPE_CHECKING:
    import torch

POINTS = 16  # encoded at a time; an image has ten captions


def encode(spec: dict[str, Any], data: Path, folder: Path, array: str, out: Path, device: "torch.device") -> None:
    """Write the completed data to `out`: all of them or none.

    spec, folder: of the network's run. data: the folder that it was trained on.
    InputError: as `load_network`, or the network encodes nothing, or the data have the array, or a split lacks another
    that is not for training alone, or there is nothing that tells how good the network is.
    """
    import torch

    from shared.data.arrays import load_split
    from shared.data.captioned import Standardisation
    from shared.data.manifest import describe_data, joint_sha256
    from shared.models.contract import Encoder
    from shared.stages.evaluate import load_network
    from shared.stages.prepare import all_or_nothing, write_arrays

    about = describe_data(data)
    network, trained = load_network(folder, spec, about["sha256"], device)
    if not isinstance(network, Encoder):
        raise InputError(f"{spec['builder']}: makes no {array}, since it is no Encoder; name another under `encoders`")
    if (data / f"{array}_train.npy").exists():
        raise InputError(f"{data}: has {array}, which {spec['model']} is to make; leave one of them out of `data`")

    # what the training split alone has is for training alone
    others = about["splits"].keys() - {"train"}
    everywhere = {
        m: a for m, a in spec["modalities"].items() if any((data / f"{a}_{split}.npy").exists() for split in others)
    }
    splits, features = {}, {}
    for split in about["splits"]:
        splits[split] = load_split(data, split, spec["modalities"] if split == "train" else everywhere, device)
        rows = range(0, len(splits[split]), POINTS)
        with torch.inference_mode():
            features[split] = torch.cat([network.encode(splits[split].batch(slice(n, n + POINTS))) for n in rows])
    with torch.inference_mode():
        try:
            quality = network.quality(features, splits)
        except KeyError as error:
            problem = f"the data that it is given lack {error}, which tells how good it is"
            raise InputError(f"{spec['model']}: {problem}; add it to its `modalities`, or to the data") from None
    for words, share in quality.items():
        if not 0 <= share <= 1:
            raise InputError(
                f"{spec['model']}: {words}: {share} is no share; give it samples that it is not trained on"
            )

    standardise = Standardisation.of(features["train"].cpu().numpy())
    arrays = {f"{array}_{split}": standardise(each.cpu().numpy()) for split, each in features.items()}
    arrays |= {f"{array}_mean": standardise.mean, f"{array}_std": standardise.std}
    step = {"array": array, "network": spec["model"], "name": network.name, "quality": quality}
    step |= {"trained_on": about["sha256"], "fingerprint": trained["fingerprint"]}
    with all_or_nothing(out):
        for name in about["arrays"]:
            link_or_copy(data / f"{name}.npy", out / f"{name}.npy")
        checksums = write_arrays(arrays, out)
        about |= {
            "official": False,
            "description": f"{about['description']}, {network.encodes.replace('_', ' ')} {network.name}",
            network.encodes: network.name,
            "encoders": [*about.get("encoders", []), step],
            "sha256": joint_sha256(checksums, before=about["sha256"]),
            "arrays": about["arrays"] | checksums,
        }
        write_json(out / "data.json", about)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    specification.add_run_arguments(parser)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data that the network was trained on")
    parser.add_argument("--folder", type=Path, required=True, help="of the network's run")
    parser.add_argument("--array", required=True, help="name of the array to make")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    arguments = parser.parse_args()
    spec = specification.from_arguments(arguments)
    threads = limit_threads(spec["training"]["threads"])

    from shared.run.devices import choose_device, prepare_torch

    prepare_torch(threads)
    device = choose_device(arguments.device)
    encode(spec, arguments.data, arguments.folder, arguments.array, arguments.out, device)


if __name__ == "__main__":
    run_cli(main)
