"""Full cells with neighbours that have room at the same hours."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta as beta_distribution

from cellhive.core.types import Bools, Floats
from cellhive.diagnose.advice.busy_hour import hourly
from cellhive.diagnose.advice.capacity import users_of
from cellhive.diagnose.advice.network import Surroundings
from cellhive.diagnose.advice.recommendation import (
    Basis,
    Expected,
    Limits,
    Recommendation,
    Seen,
    Step,
    Topic,
)
from cellhive.diagnose.advice.verification import verification
from cellhive.diagnose.cycles import DAY_S
from cellhive.ran.parameters import snap

STEP_DB = 2.0
"""Trial step of the offset, up one way and down the other [dB]: the largest the guard passes."""
SHIFT = (1.2, 14.0)
"""Beta distribution of what such a step adds to the neighbour's PRB utilisation, in shares of the
full cell's, where none was tried in this network: 8 % on average, 1 to 21 % in nine cases of
ten. In the twin it added 0.1 to 21 % to the neighbours of full cells (``analyse_advice`` among
the benchmarks), while the full cell stayed full: those that stay take what is freed."""
SHIFT_SAME_GROUND = (6.0, 5.0)
"""The same between two carriers of one sector: 55 % on average; in the twin 36 to 72 %."""
FEWEST = 14
"""Values in which a cell must have been full with room beside it: two weeks of one hour."""
FULL_SHARE = 0.25
"""Share of the days on which an hour of the day is full for it to be a full hour."""

_DRAWS = 4000


@dataclass(frozen=True)
class Pair:
    """A full cell, and a neighbour that has room when it is full."""

    full: str
    other: str
    hours: tuple[int, ...]
    """Hours of the day in which it is full; empty where periods are days."""
    load: float
    """Mean utilisation of the full cell then."""
    room: float
    """Mean utilisation of the neighbour then."""
    times: int
    """Periods in which the cell was full."""
    together: int
    """Of these, periods in which the neighbour had room."""
    probability: float
    """That the neighbour has room at least two times in three when the cell is full."""
    share: float
    """Share of all periods in which the cell is full."""


def pairs(seen: Seen, around: Surroundings, limits: Limits) -> tuple[Pair, ...]:
    """Return full cells with the best neighbour that has room at the same time.

    Args:
        seen: Measurements of any period up to a day.
        around: Who stands beside whom.
        limits: Full, and room.
    """
    found = hourly(seen, "prb_utilisation_ratio")
    values = seen.get("prb_utilisation_ratio")
    if found is not None:
        load = found[0]
    elif values is not None and abs(seen.step_s - DAY_S) < 1.0:
        load = values[:, :, None]
    else:
        return ()
    place = {name: row for row, name in enumerate(seen.objects)}
    taken = np.zeros(len(seen.objects), np.bool_)
    out = []
    fullness = (load > limits.prb_utilisation_ratio).mean(axis=(1, 2))
    for row in np.argsort(-fullness, kind="stable").tolist():
        full = _full_hours(load[row], limits)
        if full.sum() < FEWEST:
            continue
        options = [
            _pair(seen, load, (row, place[name]), full, limits)
            for name in around.beside(seen.objects[row])
            if name in place and not taken[place[name]]
        ]  # fmt: skip
        good = [one for one in options if one is not None]
        if good:
            near = around.same_ground(seen.objects[row])
            best = min(
                good, key=lambda one: (one.other not in near, -round(one.probability, 2), one.room)
            )
            taken[place[best.other]] = True  # one full cell for each that helps
            out.append(best)
    return tuple(out)


def _full_hours(load: Floats, limits: Limits) -> Bools:
    """Return when a cell is full, in the hours of the day that are so regularly, (D, H)."""
    with np.errstate(invalid="ignore"):
        over = load > limits.prb_utilisation_ratio
    known = np.isfinite(load)
    share = over.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.asarray(over & (share >= FULL_SHARE)[None, :])


def _pair(
    seen: Seen, load: Floats, rows: tuple[int, int], full: Bools, limits: Limits
) -> Pair | None:
    row, other = rows
    both = full & np.isfinite(load[other])
    times = int(both.sum())
    if times < FEWEST:
        return None
    together = int((load[other][both] < limits.room_ratio).sum())
    surely = float(beta_distribution.sf(2.0 / 3.0, together + 0.5, times - together + 0.5))
    mean = float(load[other][both].mean())
    if surely < limits.sure or mean >= limits.room_ratio:
        return None
    hours = np.flatnonzero(full.any(axis=0)).tolist() if full.shape[1] > 1 else []
    return Pair(
        seen.objects[row], seen.objects[other], tuple(hours), float(load[row][both].mean()), mean,
        times, together, surely, float(full.mean()),
    )  # fmt: skip


def balance_advice(
    found: tuple[Pair, ...], seen: Seen, around: Surroundings, limits: Limits,
    context: tuple[Mapping[tuple[str, str | None, str], float], Expected | None,
                   np.random.Generator],
) -> list[Recommendation]:  # fmt: skip
    """Return what to recommend for full cells.

    Args:
        found: Full cells and who has room.
        seen: The measurements.
        around: Who stands beside whom.
        limits: What was judged by.
        context: Values of parameters where known, by cell, target and name; what a decibel of
            offset does to the load by the causal engine, if it can tell; where chance comes from.
    """
    return [_recommended(one, seen, around, limits, context) for one in found]


def _recommended(
    one: Pair, seen: Seen, around: Surroundings, limits: Limits,
    context: tuple[Mapping[tuple[str, str | None, str], float], Expected | None,
                   np.random.Generator],
) -> Recommendation:  # fmt: skip
    present, known_effect, rng = context
    same = one.other in around.same_ground(one.full)
    relief = one.load * rng.beta(*(SHIFT_SAME_GROUND if same else SHIFT), _DRAWS)
    if known_effect is not None:
        spread = max((known_effect.high_90 - known_effect.low_90) / 3.29, 1e-9)
        relief = -STEP_DB * rng.normal(known_effect.mean, spread, _DRAWS)
    basis = Basis.RULE if known_effect is None else Basis.POSTERIOR
    wanted = (one.load - one.room) / 2.0
    over = float((one.room + relief > limits.prb_utilisation_ratio).mean())
    steps = _steps(one, present)
    when = f" from {min(one.hours):02d} to {max(one.hours) + 1:02d} h" if one.hours else ""
    untested = (
        "no offset varied in these data, so the causal engine cannot tell what a step moves: "
        "untested, a trial step" if known_effect is None else
        "what a step moves is identified by the causal engine from changes made here"
    )  # fmt: skip
    row = seen.objects.index(one.other)
    gain = np.clip(relief, 0.0, wanted) / max(one.load, 1e-9)
    known = all(step.in_plan for step in steps)
    return Recommendation(
        Topic.BALANCE, (one.full, one.other),
        f"Move users from {one.full} to {one.other}{when}: CIO {STEP_DB:+g} dB towards it and "
        f"{-STEP_DB:+g} dB back, as a trial",
        steps,
        Expected.of_draws(
            f"PRB utilisation of {one.other} when {one.full} is full", "ratio", relief, basis
        ),
        (f"{one.full} is {one.load:.0%} full in {one.times} periods above "
         f"{limits.prb_utilisation_ratio:.0%}; {one.other} had room (below "
         f"{limits.room_ratio:.0%}) in {one.together} of them, {one.room:.0%} on average",
         f"equal load would need {wanted:.0%} of the PRBs to move", untested, around.assumption),
        users_of(seen, one.full),
        f"{one.other} becomes full itself, or users that move have less signal than before",
        over,
        verification(seen.called("prb_utilisation_ratio") + f" of {one.other}", "ratio",
                     seen.values["prb_utilisation_ratio"][row], seen.step_s,
                     float(relief.mean()) * one.share),
        f"set both offsets between {one.full} and {one.other} back", one.probability,
        one.share * float(gain.mean()) * (0.5 if known_effect is None else 1.0),
        "" if known else "the present offsets (a bulk CM export) make it a change in the plan",
    )  # fmt: skip


def _steps(one: Pair, present: Mapping[tuple[str, str | None, str], float]) -> tuple[Step, ...]:
    out = []
    for cell, target, by in ((one.full, one.other, STEP_DB), (one.other, one.full, -STEP_DB)):
        before = present.get((cell, target, "cio_db"), math.nan)
        after = snap("cio_db", before + by) if math.isfinite(before) else math.nan
        out.append(Step(cell, "cio_db", before, after, by, target))
    return tuple(out)
