"""Repositories for tests: miniature ones, copies of this one, and command lines that run inside them."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from shared.files import sha256_of, write_json

ROOT = Path(__file__).parents[1]
PARTS = ("README.md", "Snakefile", "config", "envs", "papers", "profiles", "pyproject.toml", "shared")

EXPERIMENTS = """\
paper: tiny
experiments:
  line:
    data:
      name: {value: points, source: "Sec. 1"}
      source: {value: official, demo: drawn, source: "Sec. 1"}
      seed: {value: null, demo: 0, source: "stand-in only"}
    modalities: {x: x1}
    training:
      learning_rate: {value: 1.0e-2, source: "Sec. 2"}
      batch_size: {value: 8, source: "Sec. 2"}
      epochs: {value: 50, reduced: 20, demo: 6, source: "Sec. 2"}
      samples: {value: 2, source: "Sec. 2"}
      optimiser: {value: adam, source: "Sec. 2"}
      precision: {value: float32, source: "assumption"}
      threads: {value: 1, source: "ours"}
    seeds: {value: 3, demo: 1, source: "Table 1"}
    protocol: papers.tiny.model:evaluate
    evaluation:
      evaluators:
        taste: {value: master, demo: judge, reduced: judge, source: "Sec. 3"}
      points: {value: 9, demo: 3, source: "Sec. 3"}
    models:
      small:
        builder: papers.tiny.model:model
        arguments:
          hidden: {value: 4, source: "Sec. 2"}
        sweep:
          hidden: {value: [2, 4, 8], demo: [2, 4], source: "Fig. 1"}
      large:
        builder: papers.tiny.model:model
        arguments:
          hidden: {value: 6, source: "Sec. 2"}
        training:
          learning_rate: {value: 2.0e-2, source: "Sec. 2"}
    evaluators:
      master:
        builder: papers.tiny.model:pretrained
        weights: inception_fid
      judge:
        builder: papers.tiny.model:model
        arguments:
          hidden: {value: 2, source: "ours"}
        modalities: {x: x1}
        training:
          learning_rate: {value: 1.0e-2, source: "ours"}
          batch_size: {value: 8, source: "ours"}
          epochs: {value: 5, source: "ours"}
          samples: {value: 1, source: "ours"}
          optimiser: {value: adam, source: "ours"}
          precision: {value: float32, source: "ours"}
          threads: {value: 1, source: "ours"}
"""


def write_paper(root: Path, experiments: str = EXPERIMENTS, paper: str = "tiny") -> Path:
    """papers/<paper>/experiments.yaml below `root`, and the code that it names; returns its path."""
    path = root / "papers" / paper / "experiments.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    (root / "papers" / "tiny").mkdir(exist_ok=True)
    shutil.copy(ROOT / "tests" / "tiny.py", root / "papers" / "tiny" / "model.py")
    path.write_text(experiments, encoding="utf-8")
    return path


def tiny_repository(root: Path) -> Path:
    """A repository with one tiny paper, this package's `shared`, and 20 prepared points in `data`."""
    write_paper(root)
    (root / "shared").symlink_to(ROOT / "shared")
    shutil.copy(ROOT / "pyproject.toml", root)
    for package in (root / "papers", root / "papers" / "tiny"):
        (package / "__init__.py").touch()
    write_points(root / "data")
    return root


def write_points(folder: Path, seed: int = 0) -> None:
    """A data set of 20 points in 3 dimensions as `shared.stages.prepare` would write it."""
    folder.mkdir(exist_ok=True)
    points = np.random.default_rng(seed).normal(size=(20, 3)).astype(np.float32)
    np.save(folder / "x1_train.npy", points)
    np.save(folder / "labels_train.npy", np.arange(20) % 4)
    describe(folder, description="points", sha256=sha256_of(folder / "x1_train.npy"))


def describe(folder: Path, **about: object) -> None:
    """data.json of the arrays that lie in a folder."""
    known = {"description": "numbers", "sha256": "d", "stand_in": True, "official": False}
    arrays = {path.stem: sha256_of(path) for path in sorted(folder.glob("*.npy"))}
    write_json(folder / "data.json", known | about | {"arrays": arrays})


def copy_of_this(root: Path) -> Path:
    """What the workflow needs of this repository, without anything that it wrote."""
    root.mkdir()
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__", "reproduced"))
        else:
            shutil.copy(source, root)
    return root


def environment(root: Path, **more: str) -> dict[str, str]:
    """This interpreter's environment first, one thread, and nothing of the user's own settings."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("SNAKEMAKE_")}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return inherited | {"PATH": path, "OMP_NUM_THREADS": "1", "XDG_CONFIG_HOME": f"{root}/.config"} | more


def start(root: Path, *command: object, **options: object) -> subprocess.Popen:
    """A command in a repository that goes on by itself, and hears all signals: a test may be run under nohup, say."""

    def hear() -> None:
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    return subprocess.Popen(
        [str(part) for part in command], cwd=root, env=environment(root), preexec_fn=hear, **options
    )


def run(root: Path, *command: object, **more: str) -> subprocess.CompletedProcess[str]:
    """A command in a repository; `more` are environment variables."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=root,
        env=environment(root, **more),
        capture_output=True,
        text=True,
        check=False,
    )


def other_pythons() -> dict[int, Path | str]:
    """Other Pythons of this machine that the package supports, one for each version."""
    found = {}
    for minor in range(11, 20):
        places = [shutil.which(f"python3.{minor}"), *Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python")]
        for place in filter(None, places):
            answer = run(ROOT, place, "-c", "import sys; print(sys.version_info[1])")
            if answer.stdout == f"{minor}\n" and minor != sys.version_info[1]:
                found[minor] = place
    return found
