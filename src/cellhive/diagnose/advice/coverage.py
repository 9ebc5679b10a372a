"""Weak signal, cells that shoot too far, and links that are worse one way than the other.

A cell is compared with its own limit where there is one (share of weak coverage), and with the
other cells of the same measurements where only they say what is usual: robustly, and with the rate
of false findings controlled over all cells (Benjamini and Hochberg 1995).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from cellhive.core.types import Bools, Floats
from cellhive.diagnose.advice.capacity import users_of
from cellhive.diagnose.advice.recommendation import (
    Basis,
    Expected,
    Limits,
    Recommendation,
    Seen,
    Step,
    Topic,
)
from cellhive.diagnose.advice.verification import noise_of, verification
from cellhive.diagnose.cycles import MAD_TO_SIGMA
from cellhive.ran.parameters import snap

REACH = "timing advance"
"""Quantity of this package: distance of users [km] or timing advance [any unit]."""
UPLINK = "uplink error share"
"""Quantity of this package: block errors of the uplink [share]."""
DOWNLINK = "downlink error share"
"""Quantity of this package: block errors of the downlink [share]."""

TILT_STEP_DEG = 1.0
FALSE_SHARE = 0.05
"""Share of the cells found unusual that may be so by chance."""
FEWEST_CELLS = 8
FEWEST_PERIODS = 14
FAR = 1.5
"""Times the median reach of the other cells from which a cell is said to overshoot."""
WEAK_RELIEF = (2.0, 6.0)
"""Beta distribution of the share of weak coverage that a tilt step ends, untested here: 25 % on
average, 5 to 52 % in nine cases of ten."""

_DRAWS = 4000
Present = Mapping[tuple[str, str | None, str], float]


@dataclass(frozen=True)
class Weak:
    """What is wrong with the radio of one cell."""

    row: int
    kind: str
    """"weak", "far", "interfered" or "uplink"."""
    value: float
    usual: float
    """Limit, or median of the other cells."""
    probability: float
    """That the cell is beyond it."""


def radio_findings(seen: Seen, limits: Limits) -> tuple[Weak, ...]:
    """Return what is wrong with the radio of cells.

    Args:
        seen: Measurements with any of: share of weak coverage, RSRP, share of interfered time,
            SINR, timing advance, block errors of both directions.
        limits: From where on coverage is asked about.
    """
    out = []
    for kind, quantity in (("weak", "weak_coverage_ratio"), ("interfered", "interference_ratio")):
        values = seen.get(quantity)
        if values is not None:
            out += _above(values, kind, limits.weak_ratio, limits.sure)
    if not any(one.kind == "weak" for one in out):
        out += _apart(seen.get("rsrp_mean_dbm"), "weak", -1.0)
    if not any(one.kind == "interfered" for one in out):
        out += _apart(seen.get("sinr_mean_db"), "interfered", -1.0)
    reach = seen.get(REACH)
    out += [one for one in _apart(reach, "far", 1.0) if one.value > FAR * one.usual > 0]
    up, down = seen.get(UPLINK), seen.get(DOWNLINK)
    if up is not None and down is not None:
        out += _apart(up - down, "uplink", 1.0)
    return tuple(out)


def _above(values: Floats, kind: str, limit: float, sure: float) -> list[Weak]:
    """Return the rows whose mean is above a limit beyond doubt; values that follow each other
    count for less."""
    out = []
    for row, series in enumerate(values):
        known = series[np.isfinite(series)]
        if known.size < FEWEST_PERIODS or known.mean() <= limit:
            continue
        centre = known - known.mean()
        power = float((centre**2).sum())
        follows = float((centre[1:] * centre[:-1]).sum()) / power if power > 0 else 0.0
        count = max(known.size * (1 - max(follows, 0)) / (1 + max(follows, 0)), 2.0)
        error = float(known.std(ddof=1)) / math.sqrt(count)
        z = (float(known.mean()) - limit) / max(error, 1e-9)
        probability = float(student.cdf(z, count - 1))
        if probability >= sure:
            out.append(Weak(row, kind, float(known.mean()), limit, probability))
    return out


def _apart(values: Floats | None, kind: str, sign: float) -> list[Weak]:
    """Return the rows that lie apart from all others on one side, with false ones controlled."""
    if values is None:
        return []
    enough = np.isfinite(values).sum(axis=1) >= FEWEST_PERIODS
    rows = np.flatnonzero(enough)
    if rows.size < FEWEST_CELLS:
        return []
    middle = np.nanmedian(values[rows], axis=1)
    centre = float(np.median(middle))
    spread = MAD_TO_SIGMA * float(np.median(np.abs(middle - centre)))
    if spread <= 0.0:
        return []
    # few cells make the spread itself uncertain: Student's t with as many degrees of freedom
    chance = student.sf(sign * (middle - centre) / spread, max(0.37 * rows.size, 2.0))
    found = _controlled(np.asarray(chance), FALSE_SHARE)
    return [
        Weak(int(rows[k]), kind, float(middle[k]), centre, 1.0 - float(chance[k]))
        for k in np.flatnonzero(found).tolist()
    ]


def _controlled(chance: Floats, rate: float) -> Bools:
    order = np.argsort(chance)
    below = chance[order] <= rate * np.arange(1, chance.size + 1) / chance.size
    count = int(np.flatnonzero(below).max()) + 1 if below.any() else 0
    out = np.zeros(chance.size, np.bool_)
    out[order[:count]] = True
    return out


_SAID = {
    "weak": ("rsrp_mean_dbm", "weak signal"),
    "far": (REACH, "users far beyond those of other cells: it shoots over its neighbours"),
    "interfered": ("sinr_mean_db", "strong signal but poor quality: interference"),
    "uplink": (UPLINK, "an uplink much worse than its downlink"),
}


def coverage_advice(
    found: tuple[Weak, ...], seen: Seen, present: Present, limits: Limits,
    rng: np.random.Generator,
) -> list[Recommendation]:  # fmt: skip
    """Return what to recommend for the radio of cells: one for each cell.

    Overshoot goes before interference and weak signal: users far away are the reason of both.

    Args:
        found: What is wrong.
        seen: The measurements.
        present: Values of parameters where known, by cell, target and name.
        limits: What was judged by.
        rng: Where chance comes from.
    """
    rank = {"far": 0, "weak": 1, "interfered": 2, "uplink": 3}
    first: dict[int, Weak] = {}
    others: dict[int, list[Weak]] = {}
    for one in sorted(found, key=lambda one: (rank[one.kind], -one.probability)):
        if one.row in first:
            others.setdefault(one.row, []).append(one)
        else:
            first[one.row] = one
    return [
        _recommended(one, others.get(one.row, []), seen, present, (limits, rng))
        for one in first.values()
    ]


def _recommended(
    one: Weak, others: list[Weak], seen: Seen, present: Present,
    context: tuple[Limits, np.random.Generator],
) -> Recommendation:  # fmt: skip
    limits, rng = context
    name = seen.objects[one.row]
    quantity = _quantity(one, seen)
    said = _SAID[one.kind][1]
    evidence = [f"{name}: {said}; {seen.called(quantity)} {_number(one.value)} "
                f"against {_number(one.usual)} ({_of(one, limits)})"]  # fmt: skip
    evidence += [
        f"also {_SAID[other.kind][1]}: {_number(other.value)} against {_number(other.usual)}"
        for other in others
    ]
    step, words = _step(one, name, present)
    effect, benefit = _effect(one, seen, quantity, rng)
    known = step is not None and step.in_plan
    series = _series(one, seen, quantity)
    if step is None:
        undo = "nothing is set: a work order"
    elif known:
        undo = f"set {step.parameter} of {name} back from {step.after:g} to {step.before:g}"
    else:
        undo = f"change {step.parameter} of {name} by {-step.by:+g} again"
    return Recommendation(
        Topic.COVERAGE, (name,), words, () if step is None else (step,), effect, tuple(evidence),
        users_of(seen, name), _RISK[one.kind], math.nan,
        verification(seen.called(quantity), "", series, seen.step_s,
                     effect.mean if effect is not None else math.nan),
        undo, one.probability, benefit,
        "" if known or step is None else
        "the present tilt (a site list or bulk CM export) makes it a change in the plan",
    )  # fmt: skip


_RISK = {
    "weak": "less tilt reaches farther and disturbs the neighbours: watch their SINR; by how much "
            "these data do not say",
    "far": "a hole may open at the edge where no other cell reaches: watch weak coverage and drops "
           "of the neighbours; by how much these data do not say",
    "interfered": "more tilt may leave the edge without signal: watch weak coverage; by how much "
                  "these data do not say",
    "uplink": "none: nothing is set",
}  # fmt: skip


def _quantity(one: Weak, seen: Seen) -> str:
    shares = {"weak": "weak_coverage_ratio", "interfered": "interference_ratio"}
    wanted = shares.get(one.kind, "")
    return wanted if seen.get(wanted) is not None else _SAID[one.kind][0]


def _series(one: Weak, seen: Seen, quantity: str) -> Floats:
    series: Floats = seen.values[quantity][one.row]
    return series


def _of(one: Weak, limits: Limits) -> str:
    if one.usual == limits.weak_ratio:
        return "its limit"
    return "the median of all cells"


def _number(value: float) -> str:
    return f"{value:.1%}" if abs(value) < 1.0 else f"{value:.3g}"


def _step(one: Weak, name: str, present: Present) -> tuple[Step | None, str]:
    if one.kind == "uplink":
        return None, (
            f"Check the uplink of {name} on site: feeder, low-noise amplifier, external "
            "interference; its uplink is much worse than its downlink"
        )
    by = TILT_STEP_DEG if one.kind in ("far", "interfered") else -TILT_STEP_DEG
    before = present.get((name, None, "electrical_tilt_deg"), math.nan)
    why = {"far": "it overshoots", "weak": "its users have weak signal",
           "interfered": "its users are disturbed"}[one.kind]  # fmt: skip
    if math.isfinite(before):
        after = snap("electrical_tilt_deg", before + by)
        if after == before and one.kind == "weak":
            power = present.get((name, None, "tx_power_dbm"), math.nan)
            if math.isfinite(power):
                more = snap("tx_power_dbm", power + 1.0)
                return Step(name, "tx_power_dbm", power, more, 1.0), (
                    f"Raise the power of {name} from {power:g} to {more:g} dBm: {why} and the "
                    "antenna cannot be tilted less"
                )
        if after == before:
            return None, f"Check the antenna of {name} on site: {why} and its tilt is at its end"
        return Step(name, "electrical_tilt_deg", before, after, by), (
            f"Tilt {name} {'down' if by > 0 else 'up'} from {before:g} to {after:g} deg: {why}"
        )
    return Step(name, "electrical_tilt_deg", math.nan, math.nan, by), (
        f"Tilt {name} {'down' if by > 0 else 'up'} by {abs(by):g} deg: {why}"
    )


def _effect(
    one: Weak, seen: Seen, quantity: str, rng: np.random.Generator
) -> tuple[Expected | None, float]:
    """Return the expected effect of a tilt step and the share of users it helps.

    A rule of thumb for shares of weak or disturbed time; for levels in decibels none is stated.
    """
    if quantity in ("weak_coverage_ratio", "interference_ratio"):
        relief = one.value * rng.beta(*WEAK_RELIEF, _DRAWS)
        return (
            Expected.of_draws(seen.called(quantity), "ratio", -relief, Basis.RULE),
            float(relief.mean()),
        )
    spread, _ = noise_of(_series(one, seen, quantity), seen.step_s)
    # a tenth of the users, weighed by how far off the cell is; only for the order of the list
    far = abs(one.value - one.usual) / max(abs(one.usual), spread if spread > 0 else 1.0, 1e-9)
    return None, min(0.1, 0.05 * far)
