"""The verdict on one number, by a rule that is fixed before any run.

`agrees`: our mean lies in the 95 % prediction interval of the reported one and within the practical margin.
`differs`: outside both, and further off than the choice of test points explains: beyond the margin by more than two
standard errors over them, where the metric knows its own. `inconclusive`: everything else. Without a reported spread
only the margin can speak, and the verdict says so. `not reported`: the paper has no number in this place. Not rejecting
is not agreeing: an interval from three runs is too wide for that.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from math import sqrt
from pathlib import Path
from statistics import fmean
from typing import Annotated

import yaml
from pydantic import ConfigDict, Field, FiniteFloat, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from shared.errors import InputError
from shared.report.reported import Reported, first_fault

AGREES, DIFFERS, INCONCLUSIVE = "agrees", "differs", "inconclusive"
NOT_COMPARABLE, NOT_REPORTED, NOT_RUN, DIVERGED = "not comparable", "not reported", "not run", "diverged"
MARGIN_ONLY = " (margin only)"
LEVEL = 0.95


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Margin:
    """The difference that a reader would not care about: the larger of two widths.

    absolute: in the metric's unit. relative: a share of the reported value.
    """

    absolute: Annotated[FiniteFloat, Field(ge=0, strict=True)] = 0.0
    relative: Annotated[FiniteFloat, Field(ge=0, strict=True)] = 0.0

    def width(self, mean: float) -> float:
        return max(self.absolute, self.relative * abs(mean))


def verdict(reported: Reported, values: Sequence[float], margin: Margin, standard_error: float = 0.0) -> str:
    """Compare the values of our seeds, one each, with a reported number.

    Where it is open the verdict says from which difference on it would have been `differs`. Interval and margin are
    widened by half a unit of the last printed digit: the unrounded mean may lie that far off.
    standard_error: of our mean over test points, which all seeds share.
    """
    if len(values) == 0:
        return NOT_RUN
    if reported.mean is None:
        return NOT_REPORTED
    gap = abs(fmean(values) - reported.mean) - reported.half_unit
    width = margin.width(reported.mean)
    interval = prediction_half_width(reported, len(values))
    near = width if interval is None else min(interval, width)
    far = max(interval or 0.0, width + 2 * standard_error)
    if near < gap <= far:
        return f"{INCONCLUSIVE} (detectable from {far + reported.half_unit:.3g})"
    return (AGREES if gap <= near else DIFFERS) + (MARGIN_ONLY if interval is None else "")


def prediction_half_width(reported: Reported, runs: int) -> float | None:
    """t(n1 - 1) sd sqrt(1/n1 + 1/n2), half the 95 % interval for the mean of n2 = `runs` new runs after n1 reported
    ones; None where no spread is known."""
    sd, n = standard_deviation(reported), reported.n
    return None if sd is None else t_quantile(n - 1) * sd * sqrt(1 / n + 1 / runs)


def standard_deviation(reported: Reported) -> float | None:
    """Standard deviation between the paper's runs; None where no spread is known.

    A spread printed as zero is only known to be below half a unit of the last digit: it is taken as that.
    """
    if reported.spread is None:
        return None
    spread, n = max(reported.spread, reported.half_unit), reported.n
    return {"sd": spread, "sem": spread * sqrt(n), "ci95": spread * sqrt(n) / t_quantile(n - 1)}[reported.spread_kind]


def t_quantile(degrees: float) -> float:
    """Half-width of the central 95 % of Student's t distribution."""
    from scipy.special import stdtrit  # the workflow reads the margins, and does without scipy

    return float(stdtrit(degrees, 0.5 + LEVEL / 2))


Margins = dict[str, dict[str, Margin]]


def load_margins(path: Path) -> Margins:
    """Margins by metric key, or a pattern of keys such as `likelihood/*`, and unit. InputError: malformed file."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        return TypeAdapter(Margins).validate_python(raw)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; the verdict needs a margin for every metric") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        raise InputError(f"{path}: {first_fault(error)}; write key: {{unit: {{absolute: , relative: }}}}") from None


def margin_for(margins: Margins, key: str, unit: str) -> Margin:
    """The margin of a metric in a unit: of its own entry, or of the first pattern that fits. InputError: none does."""
    entries = [margins.get(key, {}), *(units for pattern, units in margins.items() if fnmatchcase(key, pattern))]
    for units in entries:
        if unit in units:
            return units[unit]
    raise InputError(f"margins: none for metric {key!r} in {unit!r}; declare one before the run (config/margins.yaml)")
