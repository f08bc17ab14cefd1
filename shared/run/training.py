"""The training loop: resumable to the bit, deterministic, and the same for every model and evaluator network."""

import inspect
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import Tensor, nn

from shared.data.arrays import Split
from shared.errors import InputError
from shared.models.contract import Loss, Trainable
from shared.run import fingerprint, storage
from shared.run.devices import build
from shared.run.progress import Progress
from shared.run.seeds import derive_seed
from shared.run.spec import sha256, training_part

# Arguments of torch's optimisers that are no options of a run: the rate has its own key, the others say how to compute.
NO_OPTIONS = ("params", "lr", "maximize", "foreach", "fused", "capturable", "differentiable")


@dataclass
class Position:
    """Where a run stands: the next step of an epoch, and what has been recorded so far."""

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)  # of the loss terms over the epoch's samples
    history: list[dict[str, float]] = field(default_factory=list)  # one row of means per finished epoch
    diverged: dict[str, int] | None = None  # epoch and step, counted from 1, that left no finite loss or weights


class Training:
    """One run. `identity` is what a checkpoint must share with it to be continued."""

    def __init__(self, spec: dict[str, Any], data: Split, data_sha256: str, device: torch.device) -> None:
        self.settings = spec["training"]
        self.spec, self.data, self.device = spec, data, device
        self.name = "/".join([spec["scale"], spec["paper"], spec["experiment"], spec["model"], f"seed{spec['seed']}"])
        self.identity = {
            "spec": sha256(training_part(spec)),
            "code": fingerprint.of_training(spec),
            "data": data_sha256,
            "device": device.type,
        }
        self.begin()
        batch = min(self.settings["batch_size"], len(data))
        alone = 1 in (batch, len(data) % batch)
        if alone and any(isinstance(module, nn.BatchNorm1d) for module in self.model.modules()):
            raise InputError(
                f"{self.name}: training.batch_size {self.settings['batch_size']} leaves one of {len(data)} samples "
                "alone in a batch, which batch normalisation can't take; choose another"
            )

    def begin(self) -> None:
        """The state of a run before its first step."""
        self.model: Trainable = build(self.spec).to(self.device)
        self.optimiser = optimiser_of(self.model, self.settings, self.device, self.name)
        self.noise = torch.Generator(self.device).manual_seed(derive_seed(self.spec, "sampling"))
        self.position, self.resumed = Position(), False

    @property
    def global_generators(self) -> list[Any]:
        """What has torch's global random state, which dropout draws from: the CPU, and the device if it is another."""
        return [torch] if self.device.type == "cpu" else [torch, torch.get_device_module(self.device)]

    def progress(self, style: str, log: TextIO | None = None) -> Progress:
        return Progress(self.name, self.settings["epochs"], self.steps_per_epoch, style, log)

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(len(self.data) / self.settings["batch_size"])

    def order(self, epoch: int) -> Tensor:
        """The epoch's order of the data: a permutation that depends on the seed and the epoch alone."""
        generator = torch.Generator().manual_seed(derive_seed(self.spec, "order", epoch))
        return torch.randperm(len(self.data), generator=generator).to(self.device)

    @property
    def finished(self) -> bool:
        """Whether no step is left to take: the last epoch is over, or the run has diverged."""
        return self.position.diverged is not None or self.position.epoch >= self.settings["epochs"]

    @property
    def finite(self) -> bool:
        return all(parameter.isfinite().all() for parameter in self.model.parameters())

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds. A finished run takes no further step: weights and record remain."""
        position = asdict(self.position)
        whole = {"identity": self.identity, "model": self.model.state_dict(), "position": position}
        if self.finished:
            del position["seconds"]  # of this training, not of the run: the same run is the same bytes
            return whole
        random = {"noise": self.noise.get_state(), "global": [each.get_rng_state() for each in self.global_generators]}
        return whole | {"optimiser": self.optimiser.state_dict()} | random

    def restore(self, folder: Path) -> str:
        """Continue from the weights or the checkpoint in a folder if they are of this very run; says what was done."""
        said = "starting"
        for path in (folder / storage.WEIGHTS, folder / storage.CHECKPOINT):
            if path.exists() and not self.resumed:
                said = self._continue(path)
        return said

    def _continue(self, path: Path) -> str:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            changed = [key for key, value in self.identity.items() if state["identity"].get(key) != value]
            if changed:
                return f"starting: {path.name} has another {' and '.join(changed)}"
            self.model.load_state_dict(state["model"])
            self.position = Position(**state["position"])
            if not self.finished:
                self.optimiser.load_state_dict(state["optimiser"])
                self.noise.set_state(state["noise"])
                for each, random in zip(self.global_generators, state["global"], strict=True):
                    each.set_rng_state(random)
        except Exception as error:  # damage ends in errors of any kind, and the log says so
            if storage.from_system(error):
                raise
            self.begin()
            return f"starting: {path.name} can't be used ({storage.in_short(error)})"
        self.resumed = True
        if self.finished:
            return "nothing to train: this very run was finished before"
        return f"resuming at epoch {self.position.epoch + 1}, step {self.position.step + 1}"

    def keep(self, checkpoint: Path) -> None:
        """Renew the checkpoint, unless the last step left weights that are not finite: the next one will tell."""
        if self.finite:
            storage.save(checkpoint, self.state())

    def step(self, batch: dict[str, Tensor]) -> Loss | None:
        """One optimiser step. None: the loss is not finite, and the weights are left as they were."""
        bfloat16 = self.settings["precision"] == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bfloat16):
            loss = self.model.loss(batch, self.position.epoch, self.settings["samples"], self.noise)
        if not math.isfinite(loss.total.item()):
            return None
        self.optimiser.zero_grad(set_to_none=True)
        loss.total.backward()
        self.optimiser.step()
        return loss

    def run(self, folder: Path, progress: Progress) -> None:
        """Train to the last epoch, or until the loss or the weights are no longer finite.

        A run that diverges is a result, which tables show; it ends there and is not trained again. The checkpoint is
        written at the start, every minute and when a signal asks to stop; the weights take its place at the end. A
        run that is asked for again, while nothing that determines it has changed, ends at once.
        """
        position, settings = self.position, self.settings
        self.model.train()
        saved = started = time.monotonic()
        before, already, checkpoint = position.seconds, self.finished, folder / storage.CHECKPOINT
        if not self.resumed:
            torch.manual_seed(derive_seed(self.spec, "global"))
        with storage.stop_requests() as requests:
            if not already and not checkpoint.exists():
                self.keep(checkpoint)
            while not self.finished:
                order, failed = self.order(position.epoch), False
                while position.step < self.steps_per_epoch:
                    first = position.step * settings["batch_size"]
                    index = order[first : first + settings["batch_size"]]
                    loss = self.step(self.data.batch(index))
                    failed = loss is None
                    if failed:
                        break
                    for name, value in ({"loss": loss.total.detach()} | loss.terms).items():
                        position.sums[name] = position.sums.get(name, 0.0) + value.item() * len(index)
                    position.step += 1
                    position.seconds = before + time.monotonic() - started
                    progress.step(position.epoch, position.step, loss.total.item(), len(index))
                    if requests or time.monotonic() - saved > storage.CHECKPOINT_SECONDS:
                        self.keep(checkpoint)
                        saved = time.monotonic()
                    if requests:
                        raise storage.Interrupted(128 + requests[0])
                last = position.epoch + 1 == settings["epochs"]
                if failed or (last and not self.finite):
                    position.diverged = {"epoch": position.epoch + 1, "step": position.step + failed}
                    break
                means = {name: value / len(self.data) for name, value in position.sums.items()}
                position.history.append({"epoch": position.epoch + 1, **means})
                progress.epoch(position.epoch, means)
                position.epoch, position.step, position.sums = position.epoch + 1, 0, {}
        if not already:
            storage.save(folder / storage.WEIGHTS, self.state())
        checkpoint.unlink(missing_ok=True)


def optimiser_of(model: nn.Module, settings: dict[str, Any], device: torch.device, run: str) -> torch.optim.Optimizer:
    """One of torch's, by its name in lower case, with its options. InputError: it takes no such option or value."""
    name, options = settings["optimiser"], settings.get("optimiser_options", {})
    kind = next(each for key, each in vars(torch.optim).items() if key.lower() == name and isinstance(each, type))
    parameters = inspect.signature(kind).parameters
    defaults = {key: each.default for key, each in parameters.items() if key not in NO_OPTIONS}
    for key, value in options.items():
        where = f"{run}: training.optimiser_options.{key}"
        if key not in defaults:
            raise InputError(f"{where}: {name} has no such option; it has {', '.join(defaults)}")
        if not _like(defaults[key], value):
            raise InputError(f"{where}: {value!r} is not possible; give a value like {defaults[key]!r}")
    # one kernel for all parameters, where torch has it for every option
    fused = {"fused": True} if name in ("adam", "adamw") and device.type in ("cpu", "cuda") else {}
    try:
        return kind(model.parameters(), lr=settings["learning_rate"], **options, **fused)
    except (ValueError, TypeError) as error:
        raise InputError(f"{run}: training.optimiser {name}, optimiser_options {options}: {error}") from None


def _like(default: Any, value: Any) -> bool:
    """Whether a value of YAML can take the place of a default: a truth value, a number, or several of them."""
    if isinstance(default, tuple):
        return isinstance(value, list) and len(value) == len(default) and all(map(_like, default, value))
    return isinstance(value, bool) == isinstance(default, bool) and isinstance(value, int | float)
