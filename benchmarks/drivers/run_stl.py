"""The plain way to look for incidents: STL of every series, a robust z of the rest, a threshold.

pandas fills what is missing, statsmodels decomposes (Cleveland 1990), what lies beyond the
threshold for a number of periods is an event, and events of a site that overlap in time are
one incident. It is tuned on other seeds than it is judged by: thresholds so that one of twenty
quiet networks raises an alarm, the window of the trend and the shortest event by what then finds
most. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from time import process_time

import numpy as np
import pandas as pd
from fault_panels import (
    DAILY_KINDS,
    KINDS,
    SIZES,
    Case,
    Floats,
    Grid,
    Latent,
    World,
    case,
    counters,
)
from fault_scores import Found, Scored, as_told, score
from statsmodels.tsa.seasonal import STL

GAP = 2
"""Periods within the limits that do not end an event."""
LEAST = (1, 3)
"""Periods that the shortest event may last."""
DAYS_OF_WEEK = 7
FROM = 3.0
"""Robust z of a KPI that never changes in quiet networks."""
SILENT = 3
"""Periods without any value that make a silence."""


@dataclass(frozen=True)
class Plan:
    """How the peer is set."""

    period: int
    """Periods of the cycle."""
    trend: int | None
    """Window of the trend; None leaves it to the library."""
    least: int
    """Periods that an event lasts at least."""
    threshold: dict[str, float]
    """By KPI, of the robust z."""


def rest_of(line: Floats, plan: Plan) -> tuple[Floats, Floats]:
    """Return robust z and what is expected of one series, (T,) each; NaN where it is missing."""
    series = pd.Series(line)
    missing = series.isna().to_numpy()
    if missing.all() or series.nunique() < 2:  # noqa: PLR2004
        return np.full(line.size, np.nan), line
    filled = series.interpolate(limit_direction="both")
    # Windows of many periods are moved by a tenth of their length, as Cleveland's program does.
    options = {"low_pass_jump": -(-plan.period // 10), "trend_jump": -(-plan.period // 10)}
    if plan.trend is not None:
        options |= {"trend": plan.trend, "trend_jump": -(-plan.trend // 10)}
    fitted = STL(filled.to_numpy(), period=plan.period, robust=False, **options).fit()
    rest = np.asarray(fitted.resid)
    middle = np.median(rest)
    spread = 1.4826 * np.median(np.abs(rest - middle))
    z = (rest - middle) / spread if spread > 0 else np.zeros(line.size)
    return np.where(missing, np.nan, z), np.asarray(fitted.trend + fitted.seasonal)


class Memory:
    """Decompositions of the series without faults, so that only what differs is done again."""

    def __init__(self, plan: Plan) -> None:
        """Remember nothing yet."""
        self.plan = plan
        self.known: dict[tuple[str, int], tuple[Floats, Floats, Floats]] = {}

    def get(self, kpi: str, row: int, line: Floats) -> tuple[Floats, Floats]:
        """Return robust z and what is expected of a series."""
        before = self.known.get((kpi, row))
        if before is not None and np.array_equal(before[0], line, equal_nan=True):
            return before[1], before[2]
        z, expected = rest_of(line, self.plan)
        self.known.setdefault((kpi, row), (line.copy(), z, expected))
        return z, expected


@dataclass
class Event:
    """A stretch of one series beyond the threshold."""

    row: int
    kpi: str
    first: int
    last: int
    weight: float
    size: float


def runs(flagged: np.ndarray, gap: int, least: int) -> list[tuple[int, int]]:
    """Return stretches of true values, gaps bridged, of at least a length."""
    at = np.flatnonzero(flagged)
    if at.size == 0:
        return []
    cuts = np.flatnonzero(np.diff(at) > gap + 1)
    firsts, lasts = at[np.r_[0, cuts + 1]], at[np.r_[cuts, at.size - 1]] + 1
    return [(int(a), int(b)) for a, b in zip(firsts, lasts, strict=True)
            if flagged[a:b].sum() >= least]  # fmt: skip


def events_of(one: Case, memory: Memory, threshold: dict[str, float]) -> list[Event]:
    """Return the events of a case."""
    out: list[Event] = []
    for kpi, values in one.values.items():
        for row in range(values.shape[0]):
            z, expected = memory.get(kpi, row, values[row])
            flagged = np.abs(np.nan_to_num(z)) > (threshold[kpi] or FROM)
            for a, b in runs(flagged, GAP, memory.plan.least):
                size = float(np.nanmean(values[row, a:b] - expected[a:b]))
                out.append(Event(row, kpi, a, b, float(np.nansum(np.abs(z[a:b]))), size))
    gone = np.all([np.isnan(v) for v in one.values.values()], axis=0)
    gone &= ~(gone.mean(axis=0) > 0.5)[None, :]  # noqa: PLR2004
    for row in range(gone.shape[0]):
        out += [Event(row, "no data", a, b, 10.0 * (b - a), float("nan"))
                for a, b in runs(gone[row], 0, SILENT)]  # fmt: skip
    return out


def incidents_of(one: Case, events: Sequence[Event]) -> list[Found]:
    """Return events of a site that overlap in time as incidents, the heaviest first."""
    groups: list[list[Event]] = []
    by_site: dict[int, list[Event]] = {}
    for event in events:
        by_site.setdefault(event.row // 3, []).append(event)
    for mine in by_site.values():
        end = -1
        for event in sorted(mine, key=lambda each: each.first):
            if event.first >= end:
                groups.append([])
                end = event.last
            groups[-1].append(event)
            end = max(end, event.last)
    groups.sort(key=lambda group: -sum(event.weight for event in group))
    return [_found(group, rank) for rank, group in enumerate(groups, start=1)]


def _found(group: list[Event], rank: int) -> Found:
    group = sorted(group, key=lambda event: -event.weight)
    first, last = min(e.first for e in group), max(e.last for e in group)
    lead = group[0]
    spike = last - first <= 3  # noqa: PLR2004
    kind = "no data" if lead.kpi == "no data" else "spike" if spike else "level shift"
    sizes = {(e.row, e.kpi): e.size for e in reversed(group)}
    sizes = {(lead.row, lead.kpi): lead.size} | sizes
    return Found(frozenset(e.row for e in group), first, last, kind, rank, sizes)


def groups_of(kinds: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the kinds in groups of about three, one group a network."""
    count = -(-len(kinds) // 3)
    return [tuple(kinds[i::count]) for i in range(count)]


def cases(grid: Grid, seed: int) -> list[tuple[str, Case]]:
    """Return a network without faults, then one of each size and group of kinds."""
    world = World(grid, seed)
    clean = counters(world, Latent.none(grid))
    kinds = DAILY_KINDS if grid.per_day == 1 else tuple(KINDS)
    out = [("", case(world, clean, (), "small", seed))]
    for size in SIZES:
        for index, group in enumerate(groups_of(kinds)):
            out.append((size, case(world, clean, group, size, 100 * seed + index)))
    return out


def quietest(grid: Grid, plan: Plan, seeds: Sequence[int]) -> dict[int, dict[str, float]]:
    """Return the threshold of each KPI that no network without faults exceeds, by shortest event.

    An event lasts a number of periods at least, so what counts is the largest of the smallest z of
    so many in a row. Its median over the networks weighs the KPIs against each other; all are
    then raised alike until no network exceeds any: of the next, one of as many does.
    """
    tops: dict[int, list[dict[str, float]]] = {least: [] for least in LEAST}
    for seed in seeds:
        for least in LEAST:
            tops[least].append({})
        for kpi, values in cases_clean(grid, seed).values.items():
            z = np.array([np.abs(np.nan_to_num(rest_of(row, plan)[0])) for row in values])
            for least in LEAST:
                windows = np.lib.stride_tricks.sliding_window_view(z, least, axis=1)
                tops[least][-1][kpi] = float(windows.min(axis=2).max())
    out = {}
    for least, networks in tops.items():
        usual = {kpi: float(np.median([one[kpi] for one in networks])) for kpi in networks[0]}
        times = max(one[k] / usual[k] for one in networks for k in usual if usual[k] > 0)
        out[least] = {kpi: times * value for kpi, value in usual.items()}
    return out


def cases_clean(grid: Grid, seed: int) -> Case:
    """Return a network without faults."""
    world = World(grid, seed)
    return case(world, counters(world, Latent.none(grid)), (), "small", seed)


def _f1(scored: Sequence[Scored]) -> float:
    found = sum(hit.found for one in scored for hit in one.hits)
    wanted = sum(len(one.hits) for one in scored)
    false = sum(one.false for one in scored)
    return 2 * found / max(found + false + wanted, 1)


def tuned(grid: Grid, seeds: Sequence[int]) -> Plan:
    """Return the best of several settings at the threshold of quiet networks, on other seeds.

    The period is a day, of daily values a week. Of hours, a period of a week was tried too:
    with four of them its rest is no quieter, at six times the time.
    """
    best: tuple[float, Plan] | None = None
    period = grid.per_day if grid.per_day > 1 else DAYS_OF_WEEK
    for trend in (None, 2 * (DAYS_OF_WEEK * grid.per_day) + 1):
        blank = Plan(period, trend, 1, {})
        memory, threshold = Memory(blank), quietest(grid, blank, seeds)
        for least in LEAST:
            memory.plan = plan = Plan(period, trend, least, threshold[least])
            scored = [score(one, incidents_of(one, events_of(one, memory, plan.threshold)))
                      for _, one in cases(grid, seeds[0])]  # fmt: skip
            worth = _f1(scored)
            print(plan, round(worth, 3), file=sys.stderr)
            if best is None or worth > best[0]:
                best = (worth, plan)
    assert best is not None  # noqa: S101
    return best[1]


def main() -> None:
    """Score the peer on seeds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--step", type=float, default=3600.0)
    parser.add_argument("--days", type=int, default=28)
    parser.add_argument("--sites", type=int, default=12)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--quiet", type=int, nargs="*", default=[], help="seeds without faults")
    parser.add_argument("--tuning", type=int, nargs="+", default=list(range(901, 920)))
    options = parser.parse_args()
    grid = Grid(options.step, options.days, options.sites)
    plan = tuned(grid, options.tuning)
    alarms = 0
    for seed in options.quiet:
        clean, memory = cases_clean(grid, seed), Memory(plan)
        alarms += bool(events_of(clean, memory, plan.threshold))
    told, begin = [], process_time()
    for seed in options.seeds:
        memory = Memory(plan)
        for size, one in cases(grid, seed):
            scored = score(one, incidents_of(one, events_of(one, memory, plan.threshold)))
            told.append({"seed": seed, "size": size, **as_told(scored)})
    one, start = cases_clean(grid, options.seeds[0]), process_time()
    memory = Memory(plan)
    incidents_of(one, events_of(one, memory, plan.threshold))
    print(json.dumps({"plan": vars(plan), "scored": told, "alarms": alarms,
                      "one_s": process_time() - start,
                      "cpu_s": process_time() - begin}))  # fmt: skip


if __name__ == "__main__":
    main()
