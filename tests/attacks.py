"""Hostile files are read in a process of their own, with little memory and time, which tells what became of each."""

import codecs
import importlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path

from shared.errors import InputError
from tests.repository import ROOT

MEMORY = 2**28  # bytes more than Python and its libraries take
# What a reader has no business with, as sys.addaudithook calls it
_FORBIDDEN = ("os.", "subprocess.", "exec", "pickle.", "ctypes.", "socket.", "shutil.", "marshal.", "import")
_HARMLESS = ("os.listdir", "os.scandir")
_watching, _events = False, []


def outcomes(
    reader: str, files: Mapping[str, bytes], folder: Path, memory: int = MEMORY, seconds: int = 60
) -> dict[str, str]:
    """What reader, `module:function` of a path, makes of each file: "value", the error's type and line, or a signal.

    memory: bytes that it may take. seconds: for each file.
    """
    found: dict[str, str] = {}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    while left := [name for name in files if name not in found]:
        code = (
            f"from tests.attacks import _read_all; _read_all({reader!r}, {left}, {str(folder)!r}, {memory}, {seconds})"
        )
        process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
        lines = process.stdout.splitlines()
        found |= dict(line.split("\t", 1) for line in lines if "\t" in line)
        if lines and "\t" not in lines[-1]:  # the process died of this file
            found[lines[-1]] = f"ended by {process.returncode}, {process.stderr[-500:]}"
        elif not lines:
            raise RuntimeError(process.stderr)
    return found


def _read_all(reader: str, names: list[str], folder: str, memory: int, seconds: int) -> None:
    module, function = reader.split(":")
    read = getattr(importlib.import_module(module), function)
    # once in peace: what Python imports when it is needed first
    _outcome(lambda: read(Path(os.devnull)))
    for name in ("ascii", "latin-1", "raw-unicode-escape", "utf-16-be", "utf-16-le"):
        codecs.lookup(name)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + memory, taken + memory))
    sys.addaudithook(_watch)
    for name in names:
        print(name, end="", flush=True)
        _events.clear()
        signal.alarm(seconds)
        with nullcontext() if hasattr(read, "watches") else watched():
            outcome = _outcome(lambda name=name: read(Path(folder, name)))
        signal.alarm(0)
        print(f"\t{f'executed {_events}' if _events else outcome}", flush=True)


@contextmanager
def watched() -> Iterator[None]:
    """What is read here may execute nothing. A reader that has more to do says so by an attribute `watches`."""
    global _watching
    _watching = True
    try:
        yield
    finally:
        _watching = False


def _watch(event: str, details: tuple) -> None:
    if _watching and event.startswith(_FORBIDDEN) and event not in _HARMLESS:
        _events.append(f"{event} {details[0]}")
        raise RuntimeError(f"{event} was called")


def _outcome(read: Callable[[], object]) -> str:
    try:
        read()
        return "value"
    except InputError as error:
        return f"InputError: {error!s:.300}"
    except Exception as error:
        return f"{type(error).__name__}: {error!s:.300}"
