"""The verdict on one number, by a rule that is fixed before any run.

`agrees`: our mean lies in the 95 % prediction interval of the reported one and within the practical margin.
`differs`: outside both. `inconclusive`: everything else. Without a reported spread only the margin can speak,
and the verdict says so. `not reported`: the paper has no number in this place. Not rejecting is not agreeing: an
interval from three runs is too wide for that.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import isfinite, sqrt
from pathlib import Path
from statistics import fmean

import yaml
from scipy.stats import t as student_t

from shared.errors import InputError
from shared.report.reported import Reported

AGREES, DIFFERS, INCONCLUSIVE = "agrees", "differs", "inconclusive"
NOT_COMPARABLE, NOT_REPORTED, NOT_RUN, DIVERGED = "not comparable", "not reported", "not run", "diverged"
MARGIN_ONLY = " (margin only)"
LEVEL = 0.95
_KNOWN = (
    rf"({AGREES}|{DIFFERS})({re.escape(MARGIN_ONLY)})?|{INCONCLUSIVE} \(detectable from \S+\)"
    rf"|{NOT_COMPARABLE}|{NOT_REPORTED}|{NOT_RUN}|{DIVERGED} \(.+\)"
)


def is_verdict(text: str) -> bool:
    """Whether a text is a verdict as a table's CSV has it."""
    return re.fullmatch(_KNOWN, text) is not None


@dataclass(frozen=True)
class Margin:
    """The difference that a reader would not care about: the larger of two widths.

    absolute: in the metric's unit. relative: a share of the reported value.
    """

    absolute: float = 0.0
    relative: float = 0.0

    def width(self, mean: float) -> float:
        return max(self.absolute, self.relative * abs(mean))


@dataclass(frozen=True)
class Verdict:
    """difference: ours minus reported. smallest_detectable_shift: the least that is called `differs`."""

    verdict: str
    difference: float | None = None
    smallest_detectable_shift: float | None = None
    detail: str = ""


def verdict(reported: Reported, values: Sequence[float], margin: Margin) -> Verdict:
    """Compare the values of our seeds, one each, with a reported number.

    The prediction interval is mean +- t(n1 - 1) sd sqrt(1/n1 + 1/n2), n1 reported and n2 own runs. Interval
    and margin are widened by half a unit of the last printed digit: the unrounded mean may lie that far off.
    """
    if len(values) == 0:
        return Verdict(NOT_RUN, detail="no run of this cell")
    if reported.mean is None:
        return Verdict(NOT_REPORTED, detail="the paper gives no number")
    difference = fmean(values) - reported.mean
    gap = abs(difference) - reported.half_unit
    width = margin.width(reported.mean)
    interval = prediction_half_width(reported, len(values))
    if interval is None:
        name = (AGREES if gap <= width else DIFFERS) + MARGIN_ONLY
        return Verdict(name, difference, width + reported.half_unit, f"margin {width:g}")
    detectable = max(interval, width) + reported.half_unit
    detail = f"95 % prediction interval +-{interval:.4g}, margin {width:.4g}"
    if gap <= min(interval, width):
        return Verdict(AGREES, difference, detectable, detail)
    if gap > max(interval, width):
        return Verdict(DIFFERS, difference, detectable, detail)
    return Verdict(INCONCLUSIVE, difference, detectable, detail)


def prediction_half_width(reported: Reported, runs: int) -> float | None:
    """Half-width of the 95 % interval for the mean of `runs` new runs; None where no spread is known."""
    sd = standard_deviation(reported)
    if sd is None:
        return None
    n = reported.n
    return float(student_t.ppf(0.5 + LEVEL / 2, n - 1)) * sd * sqrt(1 / n + 1 / runs)


def standard_deviation(reported: Reported) -> float | None:
    """Standard deviation between the paper's runs; None where it cannot be known (n < 2 included).

    A spread printed as zero is only known to be below half a unit of the last digit: it is taken as that.
    """
    spread, n = reported.spread, reported.n
    if spread is None or n is None or n < 2 or not reported.spread_kind:
        return None
    spread = max(spread, reported.half_unit)
    if reported.spread_kind == "sem":
        return spread * sqrt(n)
    if reported.spread_kind == "ci95":
        return spread * sqrt(n) / float(student_t.ppf(0.975, n - 1))
    return spread


Margins = dict[str, Margin]


def load_margins(path: Path) -> Margins:
    """Margins by metric key, or by a pattern of keys such as `likelihood/*`. InputError: malformed file."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; the verdict needs a margin for every metric") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise InputError(f"{path}: expected metric keys, each with absolute and/or relative")
    return {key: _margin(value, f"{path}: {key}") for key, value in raw.items()}


def _margin(value: object, where: str) -> Margin:
    known = isinstance(value, dict) and value and set(value) <= {"absolute", "relative"}
    if not known or not all(
        isinstance(x, int | float) and not isinstance(x, bool) and isfinite(x) and x >= 0 for x in value.values()
    ):
        raise InputError(f"{where}: expected absolute and/or relative, each a number not below zero")
    return Margin(**value)


def margin_for(margins: Margins, key: str) -> Margin:
    """The margin of a metric: its own entry, or else the first pattern that fits. InputError: none does."""
    if key in margins:
        return margins[key]
    for pattern, margin in margins.items():
        if fnmatchcase(key, pattern):
            return margin
    raise InputError(f"margins: none for metric {key!r}; declare one before the run (config/margins.yaml)")
