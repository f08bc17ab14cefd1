"""The training loop: resumable to the bit, deterministic, and the same for every model and evaluator network."""

import math
import signal
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn

from shared.data.arrays import Split
from shared.errors import InputError
from shared.files import atomic_path
from shared.models.contract import Loss, Trainable
from shared.run import fingerprint
from shared.run.devices import build
from shared.run.progress import Progress
from shared.run.seeds import derive_seed
from shared.run.spec import sha256, training_part

CHECKPOINT_SECONDS = 60.0


@dataclass
class Position:
    """Where a run stands: the next step of an epoch, and what has been recorded so far."""

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)  # of the loss terms over the epoch's samples
    history: list[dict[str, float]] = field(default_factory=list)  # one row of means per finished epoch
    diverged: dict[str, int] | None = None  # epoch and step, counted from 1, that left no finite loss or weights


class Interrupted(SystemExit):
    """Training was stopped by a signal after it saved its state."""


def save(path: Path, value: Any) -> None:
    """torch.save, atomic, and with bytes that depend on the value alone: given a path, torch stores its name too."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        torch.save(value, file)


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
        self.model: Trainable = build(spec).to(device)
        if self.settings["optimiser"] != "adam":
            raise InputError(f"{self.name}: training.optimiser `{self.settings['optimiser']}` is unknown; use adam")
        self.optimiser = torch.optim.Adam(
            self.model.parameters(), lr=self.settings["learning_rate"], fused=device.type in ("cpu", "cuda")
        )
        batch = min(self.settings["batch_size"], len(data))
        alone = 1 in (batch, len(data) % batch)
        if alone and any(isinstance(module, nn.BatchNorm1d) for module in self.model.modules()):
            raise InputError(
                f"{self.name}: training.batch_size {self.settings['batch_size']} leaves one of {len(data)} samples "
                "alone in a batch, which batch normalisation can't take; choose another"
            )
        self.noise = torch.Generator(device).manual_seed(derive_seed(spec, "sampling"))
        self.position = Position()

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
        """What a checkpoint holds. A finished run takes no further step: its optimiser is left out."""
        return {
            "identity": self.identity,
            "model": self.model.state_dict(),
            "optimiser": None if self.finished else self.optimiser.state_dict(),
            "noise": self.noise.get_state(),
            "position": asdict(self.position),
        }

    def restore(self, path: Path) -> str:
        """Continue from a checkpoint if it is of this very run; says in one line what was done."""
        if not path.exists():
            return "starting"
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
        except Exception as error:  # any unreadable checkpoint is discarded, and the log says so
            return f"starting: the checkpoint can't be read ({type(error).__name__})"
        if state["identity"] != self.identity:
            changed = [key for key, value in self.identity.items() if state["identity"].get(key) != value]
            return f"starting: the checkpoint has another {' and '.join(changed)}"
        self.model.load_state_dict(state["model"])
        self.noise.set_state(state["noise"].cpu())
        self.position = Position(**state["position"])
        if self.finished:
            return "nothing to train: this very run was finished before"
        self.optimiser.load_state_dict(state["optimiser"])
        return f"resuming at epoch {self.position.epoch + 1}, step {self.position.step + 1}"

    def keep(self, checkpoint: Path) -> None:
        """Renew the checkpoint, unless the last step left weights that are not finite: the next one will tell."""
        if self.finished or self.finite:
            save(checkpoint, self.state())

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

    def run(self, checkpoint: Path, progress: Progress) -> None:
        """Train to the last epoch, or until the loss or the weights are no longer finite.

        A run that diverges is a result, which tables show; it ends there and is not trained again. The checkpoint is
        written at the start, every minute, when a signal asks to stop, and at the end. The last one stays: a run that
        is asked for again, while nothing that determines it has changed, ends at once.
        """
        position, settings = self.position, self.settings
        self.model.train()
        saved = started = time.monotonic()
        before = position.seconds
        with stop_requests() as requests:
            if not checkpoint.exists():
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
                    if requests or time.monotonic() - saved > CHECKPOINT_SECONDS:
                        self.keep(checkpoint)
                        saved = time.monotonic()
                    if requests:
                        raise Interrupted(128 + requests[0])
                last = position.epoch + 1 == settings["epochs"]
                if failed or (last and not self.finite):
                    position.diverged = {"epoch": position.epoch + 1, "step": position.step + failed}
                    break
                means = {name: value / len(self.data) for name, value in position.sums.items()}
                position.history.append({"epoch": position.epoch + 1, **means})
                progress.epoch(position.epoch, means)
                position.epoch, position.step, position.sums = position.epoch + 1, 0, {}
        self.keep(checkpoint)


@contextmanager
def stop_requests():
    """A list that SIGTERM and SIGINT append their number to, so that a step is finished before anything stops."""
    received: list[int] = []
    previous = {
        number: signal.signal(number, lambda number, frame: received.append(number))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def exclusive(folder: Path):
    """Hold the run's lock. InputError: another process holds it, an orphan of a killed workflow perhaps."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"{folder}: another process is training this run; wait for it or stop it, then run again"
        ) from None
    try:
        yield
    finally:
        lock.release()
