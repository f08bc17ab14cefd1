"""Command line: what a figure shows -> PDF, and PNG beside it.

python -m shared.stages.figure --paper hmvae --figure fig7_oxford_flower_samples --scale demo \\
    --samples oxford_flower/mvae=runs/.../samples.npz oxford_flower/mdvae=runs/.../samples.npz \\
    --out-prefix figures/fig7_oxford_flower_samples

A figure of data takes --data EXPERIMENT=FOLDER, one that plots numbers --csv results/<figure>.csv.
"""

import argparse
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from shared.data.manifest import describe_data
from shared.errors import InputError, run_cli
from shared.files import atomic_path, read_npz
from shared.report.layout import Figure
from shared.report.paper import figure_of, runs_at
from shared.run.spec import check_scale

# Type 42: text stays text, and can be searched and edited. Without dates the same figure is the same bytes.
_STYLE = {"pdf.fonttype": 42, "font.family": "DejaVu Sans"}
_FORMATS = {
    "pdf": {"dpi": 300, "metadata": {"CreationDate": None, "Producer": None, "Creator": None}},
    "png": {"dpi": 150, "metadata": {"Software": None}},
}


def draw(paper: str, figure: Figure, scale: str, prefix: str, sources: Mapping[str, Path], csv: Path | None) -> None:
    """Write <prefix>.pdf and <prefix>.png, which carry their scale as title.

    sources: the samples.npz of runs and the folders of prepared data, by run and experiment. csv: of the numbers that
    the figure plots. InputError: no such file, one of another scale or damaged, or something that is not shown.
    """
    known = [*(run for run, _ in runs_at(paper, figure, scale)), *figure.data]
    for name in sources:
        if name not in known:  # it would be drawn as not run
            raise InputError(f"{name}={sources[name]}: {figure.name} does not show it; it shows {', '.join(known)}")
    if figure.table:
        if csv is None:
            raise InputError(f"{figure.name}: it plots numbers; give --csv results/{figure.name}.csv")
        from shared.report.tidy import STAND_IN, read_table_csv

        shown: Any = read_table_csv(csv, figure.table)
        about = [
            {"scale": scale, "data": data.replace(STAND_IN, ""), "stand_in": STAND_IN in data}
            for scale, data in set(zip(shown["scale"], shown["data"], strict=True))
        ]
    else:
        loaded = {name: (_samples if "/" in name else _prepared)(path, scale) for name, path in sources.items()}
        shown, about = {name: arrays for name, (arrays, _) in loaded.items()}, [each for _, each in loaded.values()]
    for each in about:
        if each["scale"] != scale:
            raise InputError(
                f"{figure.name}: made at scale {each['scale']}, not {scale}; give what is of scale {scale}"
            )
    with mpl.rc_context(_STYLE):
        picture = figure.draw(shown, margin_note(scale, about))
        for suffix, options in _FORMATS.items():
            content = io.BytesIO()  # a disk that is full ends in an error of matplotlib's own
            metadata = options["metadata"] | {"Title": f"scale: {scale}"}
            picture.savefig(content, format=suffix, dpi=options["dpi"], metadata=metadata)
            with atomic_path(f"{prefix}.{suffix}") as path:
                path.write_bytes(content.getbuffer())


def margin_note(scale: str, about: Sequence[Mapping[str, Any]]) -> str:
    """What stands in a figure's margin, so that it cannot be taken for what it is not: scale and data."""
    data = "; ".join(sorted({each["data"] for each in about} - {""}))
    warning = " · not comparable with the paper" if any(each["stand_in"] for each in about) else ""
    return " · ".join(filter(None, [f"scale: {scale}", data])) + warning


def _samples(file: Path, scale: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of a samples.npz, none for a run that diverged, and what they are of."""
    arrays = read_npz(file)
    try:
        about = {name: arrays.pop(name).item() for name in ("scale", "data", "stand_in")}
    except KeyError as error:
        raise InputError(f"{file}: no archive of samples, without {error}; delete it and evaluate again") from None
    return arrays, about


def _prepared(folder: Path, scale: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of prepared data by the names of their files, mapped, not read, and what they are of."""
    about = describe_data(folder)
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in about["arrays"]}
    return arrays, {"scale": scale, "data": about["description"], "stand_in": about["stand_in"]}


def pairs(arguments: Sequence[str], option: str) -> dict[str, Path]:
    """{name: path} of NAME=PATH. InputError: another form, or a name twice."""
    found: dict[str, Path] = {}
    for argument in arguments:
        name, separator, path = argument.partition("=")
        while name.count("~") > name.count("="):  # a swept run's name has equals signs of its own
            value, separator, path = path.partition("=")
            name = f"{name}={value}"
        if not separator or name in found:
            raise InputError(f"{option} {argument}: give each once, as NAME=PATH")
        found[name] = Path(path)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m shared.stages.figure", description=__doc__.split("\n")[0])
    parser.add_argument("--paper", required=True)
    parser.add_argument("--figure", required=True)
    parser.add_argument("--scale", required=True)
    parser.add_argument("--samples", nargs="*", default=[], metavar="EXPERIMENT/MODEL=FILE")
    parser.add_argument("--data", nargs="*", default=[], metavar="EXPERIMENT=FOLDER")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--out-prefix", required=True, help="writes <prefix>.pdf and <prefix>.png")
    args = parser.parse_args()

    check_scale(args.scale)
    sources = pairs(args.samples, "--samples") | pairs(args.data, "--data")
    draw(args.paper, figure_of(args.paper, args.figure), args.scale, args.out_prefix, sources, args.csv)


if __name__ == "__main__":
    run_cli(main)
