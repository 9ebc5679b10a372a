"""Which capacity cells can sleep, at which hours, what that saves and what it risks.

A cell may sleep in the hours in which its traffic, moved to the cells that cover the same ground,
leaves these below a limit on nearly all nights seen. The risk is of the worst hour of a night:
the larger of the share of nights seen (Jeffreys) and what a lognormal distribution of these
nights foretells of the next, so that neither a heavy tail nor a short record makes it small.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from cellhive.core.types import Floats
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
from cellhive.ran.energy import MACRO

PRB_FACTOR = 1.5
"""PRBs that a moved user needs in the covering cell, relative to its own (lower SINR)."""
FEWEST_NIGHTS = 10
FEWEST_HOURS = 2
"""A shorter sleep is not worth its two transitions."""
OUTPUT_W = 20.0
"""Power that a macro cell radiates at full load, where the drawn power is not measured [W]."""

_DRAWS = 2000
_MOST_TOLD, _MOST_NAMED = 4, 2
_MODEL_SPREAD = 0.15
"""Relative spread of what the power model says of one type of base station."""


@dataclass(frozen=True)
class Sleep:
    """When one cell can sleep."""

    cell: str
    covering: tuple[str, ...]
    first_hour: int
    """Hour of the day at which it may go to sleep, as the times are written."""
    hours: int
    nights: int
    """Nights that were looked at."""
    risk: float
    """Probability that in the next night a covering cell exceeds the limit."""
    load: float
    """Mean PRB utilisation of the cell in these hours."""
    load_before: float
    """Mean of the fullest covering cell's utilisation as it was."""
    load_after: float
    """Mean of the fullest covering cell's utilisation, had the cell slept."""
    peak_after: float
    """The largest that the nights seen would have had."""
    saving_w: Floats
    """Draws of the power saved while it sleeps [W], (M,)."""
    measured: bool
    """Whether the power drawn was measured."""


def sleeps(
    seen: Seen, around: Surroundings, limits: Limits, rng: np.random.Generator
) -> tuple[tuple[Sleep, ...], tuple[str, ...]]:
    """Return which cells can sleep when, and what kept others from being looked at.

    Cells that nobody of a lower layer covers are never among them.

    Args:
        seen: Measurements of periods of at most an hour.
        around: Who covers whom.
        limits: Room and accepted risk.
        rng: Where chance comes from.
    """
    found = hourly(seen, "prb_utilisation_ratio")
    if found is None:
        return (), ("energy: PRB utilisation of periods of at most an hour is needed",)
    load, _ = found
    place = {name: row for row, name in enumerate(seen.objects)}
    candidates = [name for name in seen.objects if any(c in place for c in around.covering(name))]
    if not candidates:
        why = (
            "energy: no cell is known to be covered by another; give a site list with site, "
            "azimuth and carrier, or names that tell them"
        )
        return (), (why,)
    width = _prbs(seen)
    extra = np.zeros_like(load)  # what covering cells already take over from others that sleep
    out = []
    # what the model of one type of base station is off by, it is off by at every cell
    model = rng.normal(1.0, _MODEL_SPREAD, (3, _DRAWS))
    ranked = sorted(candidates, key=lambda name: _mean(load[place[name]]))
    for name in ranked:
        hosts = [place[one] for one in around.covering(name) if one in place]
        row = place[name]
        moved = PRB_FACTOR * load[row] * width[row] / len(hosts)
        after = np.stack([load[h] + extra[h] + moved / width[h] for h in hosts])
        window = _window(after.max(axis=0), limits)
        if window is None:
            continue
        first, hours, risk, nights, hour_set = window
        before = np.stack([load[h] + extra[h] for h in hosts]).max(axis=0)
        part = [(first + k) % 24 for k in range(hours)]
        saving, measured = _saving(seen, row, part, (load[row], model), rng)
        for host in hosts:
            extra[host][:, part] += (moved / width[host])[:, part]
        names = tuple(seen.objects[h] for h in hosts)
        out.append(
            Sleep(name, names, first, hours, nights, risk, _mean(load[row][:, part]),
                  _mean(before[:, part]), _mean(hour_set), float(np.nanmax(hour_set)),
                  saving, measured)
        )  # fmt: skip
    return tuple(out), ()


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else math.nan


def _prbs(seen: Seen) -> Floats:
    """Return how many PRBs each cell has, or 1 for all where that is not measured, (N,)."""
    values = seen.get("RRU.PrbAvailDl")
    if values is None:
        return np.ones(len(seen.objects))
    out = np.array([_mean(row) for row in values])
    return np.where(np.isfinite(out) & (out > 0), out, np.nanmedian(out) if out.size else 1.0)


def _window(after: Floats, limits: Limits) -> tuple[int, int, float, int, Floats] | None:
    """Return the longest window of hours in which the risk of a night is accepted.

    Args:
        after: Utilisation of the fullest covering cell had the cell slept, (D, 24).
        limits: Room and accepted risk.
    """
    each = np.array([_risk(after[:, hour], limits.room_ratio)[0] for hour in range(24)])
    good = each <= limits.sleep_risk
    if good.sum() < FEWEST_HOURS:
        return None
    spans = [(first, hours) for first in range(24) for hours in range(FEWEST_HOURS, 24)
             if good[[(first + k) % 24 for k in range(hours)]].all()]  # fmt: skip
    spans.sort(
        key=lambda span: (-span[1], each[[(span[0] + k) % 24 for k in range(span[1])]].sum())
    )
    for first, hours in spans:
        part = _nights(after, first, hours)
        whole = np.isfinite(part).all(axis=1)
        risk, nights = _risk(part[whole].max(axis=1), limits.room_ratio)
        if risk <= limits.sleep_risk:
            return first, hours, risk, nights, part
    return None


def _nights(after: Floats, first: int, hours: int) -> Floats:
    """Return the hours of a window, each night one row; a night may pass midnight, (nights, H)."""
    flat = after.reshape(-1)
    starts = np.arange(first, flat.size - hours + 1, 24)
    return np.stack([flat[start : start + hours] for start in starts])


def _risk(values: Floats, limit: float) -> tuple[float, int]:
    """Return the probability that the next value exceeds a limit, and how many there are."""
    known = values[np.isfinite(values)]
    if known.size < FEWEST_NIGHTS:
        return 1.0, int(known.size)
    seen = (float((known > limit).sum()) + 0.5) / (known.size + 1.0)
    logs = np.log(np.maximum(known, 1e-4))
    spread = float(logs.std(ddof=1)) * math.sqrt(1.0 + 1.0 / known.size)
    z = (math.log(limit) - float(logs.mean())) / max(spread, 1e-6)
    return max(seen, float(stdtr(known.size - 1, -z))), int(known.size)


def _saving(
    seen: Seen, row: int, hours: Sequence[int], what: tuple[Floats, Floats],
    rng: np.random.Generator,
) -> tuple[Floats, bool]:  # fmt: skip
    """Return draws of the power that sleep saves [W], and whether the drawn power is measured.

    What a covering cell radiates more is taken off: what the moved PRBs cost there.

    Args:
        seen: Measurements.
        row: The cell.
        hours: In which it sleeps.
        what: Its utilisation, (D, 24), and what the power model is off by, (3, M).
        rng: Where chance comes from.
    """
    load, (off_awake, off_asleep, off_moved) = what
    drawn = hourly(seen, "PEE.AvgPower")
    used = _mean(load[:, list(hours)])
    more = MACRO.slope * OUTPUT_W * used * PRB_FACTOR * off_moved
    idle = MACRO.transceivers * MACRO.idle_w
    asleep_share = np.clip(MACRO.sleep_w / MACRO.idle_w * off_asleep, 0.05, 0.95)
    if drawn is not None and np.isfinite(_mean(drawn[0][row][:, list(hours)])):
        nights = drawn[0][row][:, list(hours)]
        level = _mean(nights)
        known = nights[np.isfinite(nights)]
        error = float(known.std()) / math.sqrt(max(known.size, 1))
        radiated = min(MACRO.slope * OUTPUT_W * used, 0.5 * level)
        awake = rng.normal(level, max(error, 1e-9), _DRAWS)
        return awake - (level - radiated) * asleep_share - more, True
    awake = (idle + MACRO.slope * OUTPUT_W * used) * off_awake
    return awake - idle * asleep_share - more, False


def energy_advice(
    found: Sequence[Sleep], seen: Seen, around: Surroundings, limits: Limits
) -> list[Recommendation]:
    """Return what to recommend of cells that can sleep, those with the same hours together.

    Args:
        found: When cells can sleep.
        seen: The measurements.
        around: Who covers whom.
        limits: What was judged by.
    """
    groups: dict[tuple[int, int], list[Sleep]] = {}
    for one in found:
        if one.saving_w.mean() > 0:
            groups.setdefault((one.first_hour, one.hours), []).append(one)
    return [_recommended(group, seen, around, limits) for group in groups.values()]


def _recommended(
    group: Sequence[Sleep], seen: Seen, around: Surroundings, limits: Limits
) -> Recommendation:
    one = max(group, key=lambda each: each.risk)
    last = (one.first_hour + one.hours) % 24
    kwh = np.sum([each.saving_w for each in group], axis=0) * one.hours / 1000.0
    measured = all(each.measured for each in group)
    cells = [each.cell for each in group]
    users = sum(
        known for each in group if math.isfinite(known := users_of(seen, each.cell))
    ) or float(len(group))  # fmt: skip
    power = "the power it draws is measured" if measured else (
        f"power by the EARTH model of a macro cell with {OUTPUT_W:.0f} W at full load"
    )  # fmt: skip
    host = one.covering[0]
    row = seen.objects.index(host)
    rise = (one.load_after - one.load_before) * one.hours / 24.0
    hours = f"from {one.first_hour:02d}:00 to {last:02d}:00"
    who = cells[0] if len(cells) == 1 else f"{len(cells)} cells"
    return Recommendation(
        Topic.ENERGY, (*cells, *dict.fromkeys(name for each in group for name in each.covering)),
        f"Let {_named(group)} sleep {hours}, covered by "
        + (" and ".join(one.covering) if len(group) == 1 else "the lower layers of their sectors"),
        tuple(Step(cell, "asleep", 0.0, 1.0) for cell in cells),
        Expected.of_draws(
            "energy", "kWh a day", -kwh, Basis.MEASURED if measured else Basis.RULE
        ),
        (*(_seen_words(each) for each in group[:_MOST_TOLD]),
         *((f"and {len(group) - _MOST_TOLD} more like these",) if len(group) > _MOST_TOLD else ()),
         f"a moved user is taken to need {PRB_FACTOR:g} times its PRBs; {power}",
         around.assumption),
        users,
        f"the covering cell most at risk, {host}, is more than {limits.room_ratio:.0%} full in the "
        "worst hour of a night",
        one.risk,
        verification(seen.called("prb_utilisation_ratio") + f" of {host}", "ratio",
                     seen.values["prb_utilisation_ratio"][row], seen.step_s, rise),
        f"take the hours out of the energy saving schedule of {who} (TS 28.541 "
        "CESManagementFunction, esNotAllowedTimePeriod): a cell wakes within a minute",
        1.0 - one.risk, limits.users_per_kwh_day * float(kwh.mean()) / users,
        "a schedule is no change of a plan: a work order for the energy saving function",
    )  # fmt: skip


def _named(group: Sequence[Sleep]) -> str:
    names = [each.cell for each in group]
    if len(names) <= _MOST_NAMED:
        return " and ".join(names)
    return f"{names[0]} and {len(names) - 1} more cells"


def _seen_words(one: Sleep) -> str:
    return (
        f"{one.cell} is {one.load:.0%} full in these hours; had it slept, "
        f"{' and '.join(one.covering)} would have been {one.load_after:.0%} full on average "
        f"instead of {one.load_before:.0%}, and {one.peak_after:.0%} at most in "
        f"{one.nights} nights: {one.risk:.0%} risk a night"
    )
