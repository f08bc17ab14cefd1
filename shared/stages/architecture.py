"""Count latent variables and parameters on a model as built, and list its layers; see --help for what names the model.

python -m shared.stages.architecture ... --scale demo --out runs/demo/hmvae/oxford_flower/mvae/architecture.json
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from shared.errors import run_cli
from shared.files import write_json
from shared.run import spec as specification

if TYPE_CHECKING:
    from torch import nn


def layers_of(model: "nn.Module") -> dict[str, list[str]]:
    """One text per layer, in the order in which they were made, by the path of every module that holds them.

    What a model does to tensors between its modules is not listed.
    """
    leaves = [(name, layer_text(module)) for name, module in model.named_modules() if not any(module.children())]
    paths = [name for name, _ in model.named_modules() if name]
    return {path: [text for name, text in leaves if f"{name}.".startswith(f"{path}.")] for path in paths}


def layer_text(layer: "nn.Module") -> str:
    """A layer in words: `Conv2d 3-32, 4x4, stride 2, pad 1`, `Linear 784-512`, `Dropout p=0.1`, `SiLU`."""
    name = type(layer).__name__
    if hasattr(layer, "in_features"):
        return f"{name} {layer.in_features}-{layer.out_features}"
    if hasattr(layer, "kernel_size") and hasattr(layer, "in_channels"):
        sizes = {key: "x".join(map(str, getattr(layer, key))) for key in ("kernel_size", "stride", "padding")}
        same = {key: size.split("x")[0] if len({*size.split("x")}) == 1 else size for key, size in sizes.items()}
        channels = f"{name} {layer.in_channels}-{layer.out_channels}"
        return f"{channels}, {sizes['kernel_size']}, stride {same['stride']}, pad {same['padding']}"
    if hasattr(layer, "num_features"):
        return f"{name} {layer.num_features}"
    if hasattr(layer, "num_embeddings"):
        return f"{name} {layer.num_embeddings}-{layer.embedding_dim}"
    try:
        usual = type(layer)().extra_repr()
    except TypeError:  # it takes arguments, which then say something
        usual = ""
    about = layer.extra_repr()
    return name if about == usual else f"{name} {about.replace(', inplace=False', '')}"


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
        "comparable": True,  # a scale changes data and budgets, never a network
        "latent_variables": model.latent_variables,
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "parameters_by_module": by_module,
        "layers": layers_of(model),
    }
    write_json(arguments.out, record)


if __name__ == "__main__":
    run_cli(main)
