"""Command line: samples of a figure's runs -> PDF, and PNG beside it.

python -m shared.stages.figure --paper hmvae --figure fig7_oxford_flower_samples --scale demo \\
    --samples oxford_flower/mvae=runs/.../samples.npz oxford_flower/mdvae=runs/.../samples.npz \\
    --out-prefix figures/fig7_oxford_flower_samples
"""

import argparse
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zipfile import BadZipFile

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from shared.errors import InputError, run_cli
from shared.files import atomic_path, sha256_of
from shared.report.paper import figure_of
from shared.run import spec as specification

# Type 42: text stays text, and can be searched and edited. Without dates the same figure is the same bytes.
_STYLE = {"pdf.fonttype": 42, "font.family": "DejaVu Sans"}
_FORMATS = {
    "pdf": {"dpi": 300, "metadata": {"CreationDate": None, "Producer": None, "Creator": None}},
    "png": {"dpi": 150, "metadata": {"Software": None}},
}


@dataclass(frozen=True)
class Archive:
    """A samples.npz: the arrays to draw, none for a run that diverged, and the data behind them."""

    arrays: dict[str, np.ndarray]
    data: str
    stand_in: bool
    sha256: str


def margin_note(scale: str, samples: Sequence[Archive]) -> str:
    """What stands in a figure's margin, so that it cannot be taken for what it is not: scale and data."""
    data = "; ".join(sorted({each.data for each in samples}))
    warning = " · not comparable with the paper" if any(each.stand_in for each in samples) else ""
    return " · ".join(filter(None, [f"scale: {scale}", data])) + warning


def runs_of(paper: str, figure: str) -> list[str]:
    """The runs that a figure shows, as experiment/model. InputError: experiments.yaml does not have the figure."""
    figures = specification.load(paper).get("figures", {})
    if figure not in figures:
        raise InputError(f"{specification.PAPERS / paper}/experiments.yaml: figures: no entry {figure}; add its runs")
    return specification.runs_of(figures[figure])


def load_samples(arguments: list[str], known: Sequence[str], scale: str) -> dict[str, Archive]:
    """Samples by run, from `experiment/model=FILE`.

    InputError: another form, a run twice or not among the known ones, no .npz archive, or one of another scale.
    """
    samples: dict[str, Archive] = {}
    for argument in arguments:
        run, separator, file = argument.partition("=")
        if not separator or run in samples:
            raise InputError(f"--samples {argument}: give each run once, as experiment/model=FILE")
        if run not in known:  # it would be drawn as not run
            raise InputError(f"--samples {argument}: the figure shows no run {run}; it shows {', '.join(known)}")
        try:
            content = np.load(file, allow_pickle=False)
            if not isinstance(content, np.lib.npyio.NpzFile):
                raise ValueError("a single array")
            with content as archive:
                arrays = dict(archive)
        except FileNotFoundError:
            raise InputError(f"{file}: no such file; run python -m shared.stages.evaluate first") from None
        except (ValueError, BadZipFile, EOFError, zlib.error) as error:
            raise InputError(f"{file}: no samples archive ({error}); delete it and evaluate again") from None
        try:
            made_at, data, stand_in = (arrays.pop(name).item() for name in ("scale", "data", "stand_in"))
        except (KeyError, ValueError):
            raise InputError(f"{file}: does not say what data and scale it is of; evaluate this run again") from None
        if made_at != scale:
            raise InputError(f"{file}: made at scale {made_at}, not {scale}; give samples of scale {scale}")
        samples[run] = Archive(arrays, data, stand_in, sha256_of(file))
    return samples


def sources_of(files: Mapping[str, str]) -> str:
    """The samples that a figure shows, as text that it carries: run and checksum."""
    return " ".join(f"{run}={sha256}" for run, sha256 in sorted(files.items()))


def save(figure: Figure, prefix: str, scale: str, samples: Mapping[str, Archive]) -> None:
    """Write <prefix>.pdf and <prefix>.png, which carry their scale as title; the .png its sources, too."""
    sources = {"png": {"Source": sources_of({run: each.sha256 for run, each in samples.items()})}}
    for suffix, options in _FORMATS.items():
        metadata = options["metadata"] | {"Title": f"scale: {scale}"} | sources.get(suffix, {})
        with atomic_path(f"{prefix}.{suffix}") as path:
            figure.savefig(path, dpi=options["dpi"], metadata=metadata)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m shared.stages.figure", description=__doc__.split("\n")[0])
    parser.add_argument("--paper", required=True)
    parser.add_argument("--figure", required=True)
    parser.add_argument("--scale", required=True)
    parser.add_argument("--samples", nargs="*", default=[], metavar="EXPERIMENT/MODEL=FILE")
    parser.add_argument("--out-prefix", required=True, help="writes <prefix>.pdf and <prefix>.png")
    args = parser.parse_args()

    specification.check_scale(args.scale)
    draw = figure_of(args.paper, args.figure)
    with mpl.rc_context(_STYLE):
        samples = load_samples(args.samples, runs_of(args.paper, args.figure), args.scale)
        figure = draw({run: each.arrays for run, each in samples.items()}, margin_note(args.scale, [*samples.values()]))
        save(figure, args.out_prefix, args.scale, samples)


if __name__ == "__main__":
    run_cli(main)
