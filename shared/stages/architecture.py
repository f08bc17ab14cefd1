"""Count latent variables and parameters on a model as built, and list its layers; see --help for what names the model.

python -m shared.stages.architecture ... --scale demo --out runs/demo/hmvae/oxford_flower/mvae/architecture.json
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.errors import run_cli
from shared.files import write_json
from shared.run import spec as specification

if TYPE_CHECKING:
    from torch import nn

    from shared.models.contract import MultimodalVAE

# What a convolution may have beside size, stride and padding, and what it usually has.
_RARE = {"output_padding": ("output pad", "0"), "dilation": ("dilation", "1"), "groups": ("groups", "1")}


def layers_of(model: "MultimodalVAE") -> dict[str, list[str]]:
    """What every part of a model is made of, one text each, by its path.

    A module, as `named_modules` has it: the shape of its input, `Input 3x64x64`, if it is called with a tensor, and its
    layers in the order in which they were made. `likelihoods.<modality>`: the likelihood's name. `latents.<variable>`:
    the variable with its shape. What a model does to tensors between its modules is not listed.
    """
    leaves = [(name, layer_text(module)) for name, module in model.named_modules() if not any(module.children())]
    inputs, latents = shapes_of(model)
    listed = {f"likelihoods.{m}": [type(likelihood).__name__] for m, likelihood in model.likelihoods.items()}
    listed |= {f"latents.{name}": [f"{name} {shape}"] for name, shape in latents.items()}
    for path in (name for name, _ in model.named_modules() if name):
        of_input = [f"Input {inputs[path]}"] if path in inputs else []
        listed[path] = of_input + [text for name, text in leaves if f"{name}.".startswith(f"{path}.")]
    return listed


def shapes_of(model: "MultimodalVAE") -> tuple[dict[str, str], dict[str, str]]:
    """Shapes for one data point, `3x64x64`: of the inputs of modules, by path, and of latent variables.

    They show when the model generates from its prior, and infers from what it generated; that takes no data.
    """
    import torch

    inputs: dict[str, str] = {}

    def note(path: str, arguments: tuple[object, ...]) -> None:
        if arguments and isinstance(arguments[0], torch.Tensor):
            inputs.setdefault(path, _by(tuple(arguments[0].shape[1:])))

    hooks = [
        module.register_forward_pre_hook(lambda _, arguments, path=path: note(path, arguments))
        for path, module in model.named_modules()
    ]
    training, generator = model.training, torch.Generator().manual_seed(0)
    try:
        with torch.no_grad():
            model.eval()
            made = model.generate({}, model.modalities, 1, generator, batch=2)
            x = {m: each[0] for m, each in made.items()}
            for given in (x, *({m: x[m]} for m in x)):
                latents, _ = model.sample_latents(given, 1, generator)
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return inputs, {name: _by(tuple(z.shape[2:])) for name, z in latents.items()}


def _by(size: int | str | tuple[int, ...]) -> str:
    """A size for each axis, or one for all: `4x4`, `1`, `same`."""
    return "x".join(map(str, size)) if isinstance(size, tuple) else str(size)


def layer_text(layer: "nn.Module") -> str:
    """A layer in words: `Conv2d 3-32, 4x4, stride 2, pad 1`, `Linear 784-512`, `Dropout p=0.1`, `SiLU`."""
    name = type(layer).__name__
    bias = ", no bias" if getattr(layer, "bias", True) is None else ""
    if hasattr(layer, "in_features"):
        return f"{name} {layer.in_features}-{layer.out_features}{bias}"
    if hasattr(layer, "kernel_size") and hasattr(layer, "in_channels"):
        sizes = {key: _by(getattr(layer, key)) for key in ("kernel_size", "stride", "padding", *_RARE)}
        same = {key: size.split("x")[0] if len({*size.split("x")}) == 1 else size for key, size in sizes.items()}
        channels = f"{name} {layer.in_channels}-{layer.out_channels}"
        rare = "".join(f", {text} {same[key]}" for key, (text, usual) in _RARE.items() if same[key] != usual)
        return f"{channels}, {sizes['kernel_size']}, stride {same['stride']}, pad {same['padding']}{rare}{bias}"
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


def counted(spec: dict[str, Any]) -> dict[str, Any]:
    """Counts and layers of a run's model, built and never trained."""
    from shared.run.devices import build

    model = build(spec)
    return {
        "latent_variables": model.latent_variables,
        "parameters": _size(model),
        "parameters_by_module": {name: _size(child) for name, child in model.named_children()},
        "layers": layers_of(model),
    }


def _size(module: "nn.Module") -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    specification.add_run_arguments(parser)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    spec = specification.from_arguments(arguments)

    from shared.run import fingerprint

    record = {name: spec[name] for name in ("paper", "experiment", "model", "scale")} | {
        "fingerprint": fingerprint.of_architecture(spec),
        "comparable": True,  # a scale changes data and budgets, never a network
    }
    write_json(arguments.out, record | counted(spec))


if __name__ == "__main__":
    run_cli(main)
