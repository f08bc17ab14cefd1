"""A small table, its reported numbers, and runs of it, for the tests of aggregation and views."""

import json
import sys
from contextlib import contextmanager

import numpy as np

import papers
from shared.report.compare import Margin
from shared.report.layout import Column, Panel, Row, Stub, Table, Text, words
from shared.report.reported import Reported

FID = Column(words("images"), words("FID"), "image FID", "image/fid")
RECALL = Column(words("captions"), words("Recall"), "caption recall", "caption/recall")
SIZE = Column(words(""), Text(r"\#\,Params", "# Params"), "parameters", "architecture/parameters")

TABLE = Table(
    name="table9_example",
    number="Table 9",
    caption=Text(r"Models of $\mathbf{x}$.", "Models of x."),
    panels=(
        Panel(
            title=words("(a) Models"),
            heading=words("Model"),
            stub=Stub(Text(r"\#\,LV", "# LV"), "latent variables"),
            columns=(FID, RECALL),
            rows=(
                Row(Text(r"A \& B", "A & B"), "A", "flowers/a"),
                Row(words("C"), "C", "flowers/c", "mean:1", columns=("image FID",)),
            ),
        ),
    ),
)
COUNTS = Table(
    name="table8_counts",
    number="Table 8",
    caption=words("Sizes."),
    panels=(Panel(words(""), words("Model"), (Row(words("A"), "A", "flowers/a"),), (SIZE,)),),
)

REPORTED = {
    ("A", "latent variables"): Reported(2.0),
    ("A", "image FID"): Reported(100.0, 3.0, "sd", 3, 1, "FID", "", "lower"),
    ("A", "caption recall"): Reported(50.0, None, "", None, 1, "Recall", "%", "higher"),
    ("C", "image FID"): Reported(120.0, 3.0, "sd", 3, 1, "FID", "", "lower"),
}
REPORTED_COUNTS = {("A", "parameters"): Reported(19.2, decimals=1, metric="# Params", unit="M")}
MARGINS = {
    "image/fid": {"": Margin(2, 0.05)},
    "caption/recall": {"%": Margin(2)},
    "architecture/parameters": {"M": Margin(0, 0.03)},
}


def metrics(model="a", seed=0, fid=101.0, recall=51.0, **changes):
    """The content of a metrics.json file."""
    variant = "mean:1" if model == "c" else ""
    values = [("image/fid", fid, ""), ("caption/recall", recall, "%")]
    content = {
        "paper": "example",
        "experiment": "flowers",
        "model": model,
        "scale": "paper",
        "seed": seed,
        "fingerprint": "f0",
        "pipeline": "p0",
        "data": "Real Flowers, 10 classes",
        "stand_in": False,
        "comparable": True,
        "protocol": "test split; 3 neighbours",
        "metrics": [
            {"key": key, "variant": variant, "value": value, "unit": unit, "samples": 9} for key, value, unit in values
        ],
    }
    return content | changes


@contextmanager
def paper_in(folder, name):
    """Make the package folder/<name>, as it is now, importable as papers.<name> meanwhile."""
    path = papers.__path__
    papers.__path__ = [str(folder)]
    _forget(f"papers.{name}")
    try:
        yield
    finally:
        papers.__path__ = path
        _forget(f"papers.{name}")


def _forget(package):
    for module in [module for module in sys.modules if module.split(".")[:2] == package.split(".")]:
        del sys.modules[module]


def write(folder, *contents, points=()):
    """Write contents as metrics.json, and beside each its values of single points, {"key@variant": (N,)}; their paths."""
    paths = []
    for index, content in enumerate(contents):
        paths.append(folder / str(index) / "metrics.json")
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        paths[-1].write_text(json.dumps(content))
        if index < len(points):
            np.savez(paths[-1].with_name("points.npz"), **points[index])
    return paths
