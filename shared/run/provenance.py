"""Where a number comes from: code, libraries, hardware, cost. No paths, no user or host names."""

import platform
import resource
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

LIBRARIES = ("torch", "torchvision", "numpy", "scipy", "pandas", "scikit-learn", "pytorch-fid", "pillow")


def package_version() -> str:
    return tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def git_commit() -> str:
    """The commit that is checked out, with `+changes` if tracked files differ from it; `unknown` outside git."""
    command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+changes"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def libraries() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def peak_memory_mb() -> int:
    """Largest resident size of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / 2**20 if sys.platform == "darwin" else peak / 2**10)


def provenance(device: str, threads: int) -> dict[str, Any]:
    """What holds for the whole process; costs are added by the stage that measures them."""
    return {
        "package": package_version(),
        "commit": git_commit(),
        "libraries": libraries(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_model(),
        "device": device,
        "threads": threads,
    }
