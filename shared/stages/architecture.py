"""Count latent variables and parameters on a model as built:
`python -m shared.stages.architecture --paper hmvae --experiment oxford_flower --model mvae --scale demo --out FILE`.
"""

import argparse
from pathlib import Path

from shared.errors import run_cli
from shared.files import write_json
from shared.run import spec as specification


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    specification.add_run_arguments(parser)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    spec = specification.from_arguments(arguments)

    from shared.run import fingerprint
    from shared.run.devices import build

    model = build(spec)
    by_module = {
        name: sum(p.numel() for p in child.parameters() if p.requires_grad) for name, child in model.named_children()
    }
    record = {name: spec[name] for name in ("paper", "experiment", "model", "scale")} | {
        "fingerprint": fingerprint.of_training(spec),
        "latent_variables": model.latent_variables,
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "parameters_by_module": by_module,
    }
    write_json(arguments.out, record)


if __name__ == "__main__":
    run_cli(main)
