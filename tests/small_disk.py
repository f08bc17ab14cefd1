"""Stages whose disk is full, or whose files may not grow: `python -m tests.small_disk STAGE FOLDER pages|bytes`.

FOLDER is a small file system of its own where pages are counted. Every number of free pages, or of bytes that a file
may have, is tried until there are enough: a stage then fails in each place where it writes. It must end in one line
that names a file of the folder, and leave whole files, old or new, and nothing else.
"""

import io
import json
import os
import re
import resource
import shutil
import signal
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from shared import files
from shared.data.prepared import DatasetSpec, Prepared
from shared.errors import run_cli
from shared.files import sha256_of, write_json
from shared.metrics import protocol
from shared.run import spec as specification
from shared.run import storage
from shared.stages import aggregate, evaluate, figure, prepare, render, train
from shared.stages.encode import encode
from tests.repository import ROOT, describe, tiny_repository
from tests.shared.report.example import paper_in
from tests.shared.stages import test_encode

PAGE, CPU = 4096, torch.device("cpu")
PAPERS = ExitStack()
WORDS = {"pages": "the disk is full; free some space", "bytes": "larger than a limit (ulimit -f)"}


class Stage:
    """What is attacked. `run` is the command, `reset` brings the folder to the state before it."""

    def __init__(self, folder: Path, run: Callable[[], None], reset: Callable[[], None], partial: bool = True) -> None:
        self.folder, self.run, self.reset = folder, run, reset
        self.partial = partial  # whether some of the files may be new while others are missing


def command(stage: object, *arguments: object) -> Callable[[], None]:
    def run() -> None:
        sys.argv = ["stage", *map(str, arguments)]
        stage.main()

    return run


def emptied(folder: Path) -> Callable[[], None]:
    return lambda: shutil.rmtree(folder, ignore_errors=True)


def preparing(folder: Path, elsewhere: Path) -> Stage:
    images = np.random.default_rng(0).integers(0, 256, (400, 3, 8, 8), dtype=np.uint8)
    arrays = {"x1": images, "x2": np.zeros((400, 5), np.float32)}
    data = Prepared(splits={"train": arrays, "test": arrays}, stand_in=True, official=False, description="d", files={})
    sys.modules["drawn_for_this"] = SimpleNamespace(load=lambda spec, root: data)
    prepare.source_of = lambda name, source: SimpleNamespace(module="drawn_for_this")
    return Stage(folder, lambda: prepare.prepare(DatasetSpec("d", "s"), elsewhere, folder), emptied(folder), False)


def encoding(folder: Path, elsewhere: Path) -> Stage:
    os.link = lambda *_: (_ for _ in ()).throw(OSError("no links: copies can fail"))
    test_encode.write_data(elsewhere / "data")
    spec = test_encode.spec_of()
    run = test_encode.write_run(elsewhere / "run", spec)
    return Stage(folder, lambda: encode(spec, elsewhere / "data", run, "x2", folder, CPU), emptied(folder), False)


def tiny(elsewhere: Path) -> tuple[str, ...]:
    """A tiny repository to be in, and the options of its runs."""
    root = tiny_repository(elsewhere)
    np.save(root / "data/x1_test.npy", np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32))
    describe(root / "data")
    os.chdir(root)
    PAPERS.enter_context(paper_in(root / "papers", "tiny"))
    return ("--run", "tiny/line/small", "--scale", "demo", "--data", "data", "--device", "cpu")


def training(folder: Path, elsewhere: Path, seconds: float = 0, finished: bool = False) -> Stage:
    """From the checkpoint of a run that was stopped half way, or from the weights of one that lost its record.

    seconds: between checkpoints.
    """
    options = (*tiny(elsewhere), "--progress", "lines")
    storage.CHECKPOINT_SECONDS, before = seconds, elsewhere / "before"
    os.environ["TINY_STOP"] = "0" if finished else "7"
    status, text = outcome(command(train, *options, "--out", before))
    assert status == (0 if finished else 128 + signal.SIGTERM), text
    os.environ["TINY_STOP"] = "0"
    (before / "train.json").unlink(missing_ok=True)

    def reset() -> None:
        emptied(folder)()
        shutil.copytree(before, folder)

    return Stage(folder, command(train, *options, "--out", folder), reset)


def evaluating(folder: Path, elsewhere: Path) -> Stage:
    options, trained = tiny(elsewhere), elsewhere / "trained"
    key = specification.data_key(specification.resolve("tiny", "line", "small", "demo", 0)["data"])
    judge = elsewhere / "evaluators" / key / "judge/seed0"
    command(train, *options, "--out", trained)()
    command(train, "--run", f"evaluators/{key}/judge", *options[2:], "--out", judge)()

    def reset() -> None:
        emptied(folder)()
        shutil.copytree(trained, folder)

    return Stage(
        folder, command(evaluate, *options, "--folder", folder, "--evaluators", elsewhere / "evaluators"), reset
    )


def table(folder: Path, elsewhere: Path) -> tuple[str, ...]:
    record = {"paper": "hmvae", "experiment": "oxford_flower", "model": "mvae", "scale": "demo", "fingerprint": "f"}
    record |= {"comparable": True, "latent_variables": 1, "parameters": 19_200_000}
    write_json(elsewhere / "architecture.json", record)
    return ("--paper", "hmvae", "--table", "table4_parameters")


def aggregating(folder: Path, elsewhere: Path) -> Stage:
    options = (*table(folder, elsewhere), "--scale", "demo", "--metrics", elsewhere / "architecture.json")
    return Stage(folder, command(aggregate, *options, "--out", folder / "table4.csv"), emptied(folder))


def rendering(folder: Path, elsewhere: Path) -> Stage:
    aggregating(elsewhere, elsewhere).run()
    options = (*table(folder, elsewhere), "--csv", elsewhere / "table4.csv", "--out-prefix", folder / "table4")
    return Stage(folder, command(render, *options), emptied(folder))


def drawing(folder: Path, elsewhere: Path) -> Stage:
    rng = np.random.default_rng(0)
    arrays = {"real": rng.integers(0, 255, (2, 3, 64, 64), dtype=np.uint8), "captions": np.array(["red", "blue"])}
    arrays["given_x2"] = rng.integers(0, 255, (2, 4, 3, 64, 64), dtype=np.uint8)
    files.write_npz(elsewhere / "samples.npz", arrays | {"scale": "demo", "data": "drawn", "stand_in": True})
    options = ("--paper", "hmvae", "--figure", "fig7_oxford_flower_samples", "--scale", "demo")
    samples = f"oxford_flower/mvae={elsewhere / 'samples.npz'}"
    return Stage(folder, command(figure, *options, "--samples", samples, "--out-prefix", folder / "f"), emptied(folder))


STAGES = {
    "prepare": preparing,
    "encode": encoding,
    "checkpoint": training,
    "train": partial(training, seconds=60),
    "record": partial(training, finished=True),
    "evaluate": evaluating,
    "aggregate": aggregating,
    "render": rendering,
    "figure": drawing,
}


def outcome(run: Callable[[], None]) -> tuple[int, str]:
    """Exit status and standard error of a command line."""
    for known in (files.require_sha256, protocol._loaded):
        known.cache_clear()
    with redirect_stderr(io.StringIO()) as said:
        try:
            run_cli(run)
        except SystemExit as error:
            return error.code, said.getvalue()
    return 0, said.getvalue()


@contextmanager
def left(small: Path, pages: int) -> Iterator[None]:
    """So many free pages."""
    ballast, free = small / "ballast", os.statvfs(small)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, free.f_bavail - pages) * free.f_bsize)
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def limited(small: Path, size: int) -> Iterator[None]:
    """Files of no more bytes."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def content(folder: Path) -> dict[str, str]:
    return {path.name: sha256_of(path) for path in folder.glob("[!.]*")}


def whole(path: Path) -> bool:
    if path.suffix == ".json":
        return bool(json.loads(path.read_text()))
    if path.suffix in (".pt", ".npz"):
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    return path.stat().st_size > 0


def main() -> None:
    name, small, unit = sys.argv[1], Path(sys.argv[2]).resolve(), sys.argv[3]
    elsewhere = small.with_name("elsewhere")
    elsewhere.mkdir()
    os.chdir(ROOT)
    stage = STAGES[name](small / "out", elsewhere)
    stage.reset()
    sizes = [path.stat().st_size for path in stage.folder.glob("*")]
    status, text = outcome(stage.run)
    assert status == 0, text
    expected = content(stage.folder)
    sizes += [path.stat().st_size for path in stage.folder.iterdir()]
    timed = {"train.json", "metrics.json"}  # which say how long it took

    enough = sum(size // PAGE + 2 for size in sizes) + 2 if unit == "pages" else 2 * max(sizes)
    step, outcomes = max(1, enough // (50 if unit == "pages" else 24)), Counter()
    for size in [*range(0, enough, step), enough]:
        stage.reset()
        before = content(stage.folder) if stage.folder.exists() else {}
        with (left if unit == "pages" else limited)(small, size):
            status, text = outcome(stage.run)
        found = content(stage.folder) if stage.folder.exists() else {}
        hidden = {path.name for path in small.rglob(".*")}
        assert hidden <= {".lock", ".out.lock"}, (size, hidden)
        if status == 0:
            outcomes["done"] += 1
            assert found.keys() == expected.keys(), (size, found)
            assert all(found[each] == expected[each] for each in expected.keys() - timed), size
            continue
        errors = [line for line in text.splitlines() if line.startswith("error: ")]
        assert status == 2, (size, text)
        assert text.splitlines()[-1:] == errors, (size, text)
        assert re.match(rf"error: {re.escape(str(stage.folder))}/?[^:]*: {re.escape(WORDS[unit])}", errors[0]), errors
        outcomes[errors[0].split(": ")[1].removeprefix(f"{stage.folder}/")] += 1
        assert all(whole(path) for path in stage.folder.glob("[!.]*")), (size, found)
        if not stage.partial:
            assert not found, (size, found)
        assert before.keys() <= found.keys() | {"checkpoint.pt"}, (size, before, found)
        assert not before.keys() & {"checkpoint.pt"} or found.keys() & {"checkpoint.pt", "weights.pt"}, (size, found)
        # the same command again, with space
        status, text = outcome(stage.run)
        assert status == 0, (size, text)
        found = content(stage.folder)
        assert all(found[each] == expected[each] for each in expected.keys() - timed), size
    assert outcomes["done"], outcomes
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main()
