"""Command line: samples of a figure's runs -> PDF, and PNG beside it.

python -m shared.figure --paper hmvae --figure fig7_oxford_flower_samples --scale demo \\
    --samples oxford_flower/mvae=runs/.../samples.npz oxford_flower/mdvae=runs/.../samples.npz \\
    --out-prefix figures/fig7_oxford_flower_samples
"""

import argparse
import zlib
from collections.abc import Mapping, Sequence
from zipfile import BadZipFile

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from shared import spec as specification
from shared.errors import InputError, run_cli
from shared.files import atomic_path
from shared.report.paper import figure_of

# Type 42: text stays text, and can be searched and edited. Without dates the same figure is the same bytes.
_STYLE = {"pdf.fonttype": 42, "font.family": "DejaVu Sans"}
_FORMATS = {
    "pdf": {"dpi": 300, "metadata": {"CreationDate": None, "Producer": None, "Creator": None}},
    "png": {"dpi": 150, "metadata": {"Software": None}},
}


def margin_note(scale: str, samples: Mapping[str, Mapping[str, np.ndarray]]) -> str:
    """What stands in a figure's margin, so that it cannot be taken for what it is not: scale and data."""
    data = "; ".join(sorted({str(arrays["data"]) for arrays in samples.values() if "data" in arrays}))
    warning = " · not comparable with the paper" if scale == "demo" else ""
    return " · ".join(filter(None, [f"scale: {scale}", data])) + warning


def runs_of(paper: str, figure: str) -> list[str]:
    """The runs that a figure shows, as experiment/model. InputError: experiments.yaml does not have the figure."""
    figures = specification.load(paper).get("figures", {})
    if figure not in figures:
        raise InputError(f"{specification.PAPERS / paper}/experiments.yaml: figures: no entry {figure}; add its runs")
    return [f"{experiment}/{model}" for experiment, models in figures[figure]["runs"].items() for model in models]


def load_samples(arguments: list[str], known: Sequence[str]) -> dict[str, dict[str, np.ndarray]]:
    """Arrays by run, from `experiment/model=FILE`.

    InputError: another form, a run twice or not among the known ones, or no .npz archive.
    """
    samples: dict[str, dict[str, np.ndarray]] = {}
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
                samples[run] = dict(archive)
        except FileNotFoundError:
            raise InputError(f"{file}: no such file; run python -m shared.evaluate first") from None
        except (ValueError, BadZipFile, EOFError, zlib.error) as error:
            raise InputError(f"{file}: no samples archive ({error}); delete it and evaluate again") from None
    return samples


def save(figure: Figure, prefix: str, scale: str) -> None:
    """Write <prefix>.pdf and <prefix>.png, which carry their scale as title."""
    for suffix, options in _FORMATS.items():
        with atomic_path(f"{prefix}.{suffix}") as path:
            figure.savefig(path, dpi=options["dpi"], metadata=options["metadata"] | {"Title": f"scale: {scale}"})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m shared.figure", description=__doc__.split("\n")[0])
    parser.add_argument("--paper", required=True)
    parser.add_argument("--figure", required=True)
    parser.add_argument("--scale", required=True)
    parser.add_argument("--samples", nargs="*", default=[], metavar="EXPERIMENT/MODEL=FILE")
    parser.add_argument("--out-prefix", required=True, help="writes <prefix>.pdf and <prefix>.png")
    args = parser.parse_args()

    specification.check_scale(args.scale)
    draw = figure_of(args.paper, args.figure)
    with mpl.rc_context(_STYLE):
        samples = load_samples(args.samples, runs_of(args.paper, args.figure))
        save(draw(samples, margin_note(args.scale, samples)), args.out_prefix, args.scale)


if __name__ == "__main__":
    run_cli(main)
