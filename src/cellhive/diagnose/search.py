"""The search for incidents: every series against its own usual behaviour, then all together."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from cellhive.core.types import Bools, Floats
from cellhive.diagnose.cycles import DAY_S, Panel, Usual, remove_cycles
from cellhive.diagnose.detection import SHORTEST, Departure, Judged, discoveries, judge
from cellhive.diagnose.drifts import drifts
from cellhive.diagnose.incidents import (
    ALL_KPIS,
    NO_DATA,
    OUTAGE,
    TOGETHER,
    Anomaly,
    Incident,
    Loads,
    merge,
    rank,
    sites_of,
)
from cellhive.diagnose.kernels import median_of_known
from cellhive.diagnose.rhythm.changes import Change, Rhythm, rhythm
from cellhive.diagnose.yardstick import FLANK

FALSE_DISCOVERY_RATE = 0.05
"""Share of the series called unusual that may be so by chance."""
REPORTING = 0.8
"""Share of its periods an object must report before a silence is worth a word."""
SILENT_PERIODS = 2
"""Periods in a row that make a silence."""
LEAST_SIGMAS = 0.5
"""Usual spreads below which a departure is not worth a word, however certain."""
ASKED = 8
"""Panels that are asked for holidays where no KPI tells users or traffic."""
NEARLY_NOTHING = 0.02
"""Share of what is usual below which a KPI has fallen to nothing."""


@dataclass(frozen=True)
class Known:
    """What is known of the objects and KPIs beside their values."""

    better: Mapping[str, str] = field(default_factory=dict)
    """"higher" or "lower" by KPI, where one is."""
    load: tuple[str, ...] = ()
    """KPIs that tell how many are affected, the best first: users, then traffic."""
    sites: Mapping[str, str] = field(default_factory=dict)
    """Site by object; where there is none, the objects' names tell."""


@dataclass(frozen=True)
class Search:
    """What was searched for incidents, and what was found."""

    incidents: tuple[Incident, ...]
    series: int
    """Series that were judged."""
    refused: dict[str, int]
    """Series that were not, by reason."""
    unusual: int
    """Series with at least one departure."""
    rate: float
    """False discovery rate that was asked for."""
    cycles: tuple[str, ...]
    """Cycles that were removed somewhere: "daily", "weekly"."""
    load: tuple[str, ...] = ()
    """KPIs whose usual value weighs the objects; none where no KPI tells of users or traffic,
    in which case all objects weigh the same."""
    holidays: tuple[float, ...] = ()
    """Starts of the days that were taken for another day of the week [s]."""
    calendar: Mapping[float, int] = field(default_factory=dict)
    """Those of them that the whole network has, in the terms of ``Usual.holidays``: what is usual
    can be told again with them."""


Each = Callable[[Callable[[Panel], "Looked"], Sequence[Panel]], Iterable["Looked"]]
"""Applies a function to every panel, in order or at once, and returns results in order."""


@dataclass(frozen=True)
class Looked:
    """What one look at a panel leaves: little beside the panel itself."""

    judged: Judged
    anomalies: tuple[Anomaly, ...]
    """Of each departure in ``judged``, in the same order."""
    moved: Rhythm
    changes: tuple[Anomaly, ...]
    """Of each change of rhythm in ``moved``, in the same order."""
    calm: Judged
    """Drifts of the rows as if nothing had departed in them."""
    departed: Usual
    """The rows in which something has, for their drifts once it is out."""
    rows: tuple[int, ...]
    """Which rows of the panel these are."""


def find_incidents(
    panels: Sequence[Panel],
    better: Mapping[str, str] | None = None,
    rate: float = FALSE_DISCOVERY_RATE,
    each: Each = map,
    known: Known | None = None,
) -> Search:
    """Return the incidents of a set of panels, most important first.

    The Benjamini-Hochberg procedure over all series, half of the rate for spikes and
    shifts, a quarter for changes of the cycle and the noise and a quarter for drifts, keeps
    the expected share of series that are called unusual by chance at or below the rate;
    when nothing at all has happened, that is the probability of raising any alarm. It is
    calibrated for noise that is independent or AR(1) up to 0.9 with Gaussian, exponential
    or Student's tails, and on made-up networks (``benchmarks/analyse.py``).

    Args:
        panels: One per KPI and group of like objects.
        better: "higher" or "lower" by KPI, where one is.
        rate: False discovery rate.
        each: Applies the look to every panel; it may do so in several threads.
        known: What else is known; its ``better`` is used where none is given.
    """
    known = known or Known()
    better = better if better is not None else known.better
    days = calendar(panels, known.load)
    looked = list(each(lambda panel: look(panel, better.get(panel.kpi, ""), rate, days), panels))
    cut = discoveries(_gathered([one.judged.p_values for one in looked]), rate / 2)
    moved_cut = discoveries(_gathered([one.moved.p_values for one in looked]), rate / 4)
    slow = [_drifts(panel, one, cut) for panel, one in zip(panels, looked, strict=True)]
    slow_cut = discoveries(_gathered([one.p_values for one in slow]), rate / 4)
    anomalies: list[Anomaly] = []
    for panel, one, drift in zip(panels, looked, slow, strict=True):
        direction = better.get(panel.kpi, "")
        anomalies += _told_apart(one, cut, moved_cut)
        anomalies += [
            _anomaly(panel, one.departed, departure, direction)
            for departure in drift.departures if departure.p_value <= slow_cut
        ]  # fmt: skip
    refused = Counter(_reason(r) for one in looked for r in one.judged.refused if r)
    groups = merge((*anomalies, *silences(panels)), sites_of(panels, known.sites))
    loads = Loads.of(panels, known.load)
    return Search(
        incidents=rank(groups, loads),
        series=sum(1 for one in looked for reason in one.judged.refused if not reason),
        refused=dict(refused.most_common()),
        unusual=len({(a.object, a.kpi) for a in anomalies}),
        rate=rate,
        cycles=tuple(sorted({cycle for one in looked for cycle in one.departed.removed})),
        load=loads.names,
        holidays=_holidays([one.departed for one in looked]),
        calendar=days,
    )


def calendar(panels: Sequence[Panel], load: Sequence[str] = ()) -> dict[float, int]:
    """Return the days on which a network did what it does on another weekday, such as holidays.

    That a day was a holiday is not a matter of one KPI: what hardly differs from day to day in
    most cells, such as throughput, may do so in the few that are full, and there the day would
    look like an incident. So the KPIs that tell users or traffic say which days those were;
    where there are none, some of the panels do.

    Args:
        panels: All panels.
        load: KPIs that tell users or traffic.

    Returns:
        In the terms of ``Usual.holidays``: what at least half of the panels asked say, of
        others than users and traffic at least two.
    """
    asked = [panel for panel in panels if panel.kpi in load]
    least = max(len(asked) / 2, 1)
    if not asked:
        asked = [panels[round(i)] for i in np.linspace(0, len(panels) - 1, ASKED)] if panels else []
        least = 2
    said = Counter(day for panel in asked for day in remove_cycles(panel).holidays.items())
    return dict(day for day, count in said.items() if count >= least)


def look(
    panel: Panel, better: str, rate: float, holidays: Mapping[float, int] | None = None
) -> Looked:
    """Return the departures of a panel, and what is needed to find its drifts.

    Args:
        panel: The panel.
        better: "higher", "lower" or "".
        rate: False discovery rate; what is less likely by chance than half of it is kept.
        holidays: Days known to be like another weekday, in the terms of ``Usual.holidays``.
    """
    usual = remove_cycles(panel, holidays)
    judged, anomalies = _sizeable(panel, usual, judge(usual, rate / 2), better)
    moved = rhythm(panel, usual, judged.departures)
    rows = sorted({one.row for one in judged.departures})
    none = np.zeros((0, panel.periods))  # a view would keep the whole panel
    return Looked(
        judged,
        anomalies,
        moved,
        tuple(_change(panel, usual, one, better) for one in moved.changes),
        drifts(usual, (), _periods_per_block(panel)),
        replace(usual, residual=usual.residual[rows], weak=usual.weak[rows], cycle=none,
                spread=none),
        tuple(rows),
    )  # fmt: skip


def _sizeable(
    panel: Panel, usual: Usual, judged: Judged, better: str
) -> tuple[Judged, tuple[Anomaly, ...]]:
    """Return departures and their anomalies without those that come to next to nothing.

    Steps that undo each other only in part can leave such.
    """
    pairs = [(one, _anomaly(panel, usual, one, better)) for one in judged.departures]
    pairs = [pair for pair in pairs if abs(pair[1].sigmas) >= LEAST_SIGMAS]
    kept = replace(judged, departures=tuple(one for one, _ in pairs))
    return kept, tuple(anomaly for _, anomaly in pairs)


def _drifts(panel: Panel, looked: Looked, cut: float) -> Judged:
    """Return the drifts of a panel, without the departures whose p-value is up to the cut."""
    at = {row: index for index, row in enumerate(looked.rows)}
    kept = tuple(
        replace(one, row=at[one.row]) for one in looked.judged.departures if one.p_value <= cut
    )
    if not kept:
        return looked.calm
    again = drifts(looked.departed, kept, _periods_per_block(panel))
    rows = np.array(looked.rows)
    p_values = np.array(looked.calm.p_values)
    p_values[rows] = again.p_values
    found = [one for one in looked.calm.departures if one.row not in at]
    found += [replace(one, row=looked.rows[one.row]) for one in again.departures]
    return replace(
        looked.calm, departures=tuple(sorted(found, key=lambda one: one.row)), p_values=p_values
    )


def _told_apart(looked: Looked, cut: float, moved_cut: float) -> list[Anomaly]:
    """Return the anomalies up to two cuts without those that others explain.

    A change of rhythm explains the short departures within it (up to half its length), and
    what fills most of it explains a change: a level shift in a KPI whose cycle follows its
    level makes the cycle look smaller.
    """
    pairs = zip(looked.judged.departures, looked.anomalies, strict=True)
    found = [pair for pair in pairs if pair[0].p_value <= cut]
    by_row: dict[int, list[int]] = {}
    for index, (one, _) in enumerate(found):
        by_row.setdefault(one.row, []).append(index)
    gone: set[int] = set()
    kept: list[Anomaly] = []
    for change, anomaly in zip(looked.moved.changes, looked.changes, strict=True):
        at = change.departure
        if at.p_value > moved_cut:
            continue
        here = [i for i in by_row.get(at.row, []) if _within(found[i][0], at)]
        lengths = [found[i][0].last - found[i][0].first for i in here]
        if any(2 * length > at.last - at.first for length in lengths):
            continue
        kept.append(anomaly)
        gone.update(here)
    return [anomaly for i, (_, anomaly) in enumerate(found) if i not in gone] + kept


def _within(one: Departure, at: Departure) -> bool:
    return 2 * (min(one.last, at.last) - max(one.first, at.first)) > one.last - one.first


def _holidays(usuals: Sequence[Usual]) -> tuple[float, ...]:
    """Return the days that at least two panels, or half of them, take for another day."""
    days = Counter(day for usual in usuals for day in usual.holidays)
    least = min(2, max(len(usuals) / 2, 1))
    return tuple(sorted(day for day, count in days.items() if count >= least))


def _gathered(p_values: Sequence[Floats]) -> Floats:
    return np.concatenate(p_values) if p_values else np.zeros(0)


def _reason(text: str) -> str:
    return f"fewer than {SHORTEST} values" if "values" in text else text


def _periods_per_block(panel: Panel) -> int:
    """Return the periods of a day, or of a thirtieth of the data where there are few days."""
    per_day = max(round(DAY_S / panel.step_s), 1)
    return per_day if panel.periods >= 2 * SHORTEST * per_day else max(panel.periods // 30, 1)


def _anomaly(panel: Panel, usual: Usual, found: Departure, better: str) -> Anomaly:
    values = panel.values[found.row, found.first : found.last]
    sigmas, first = found.sigmas, found.first
    if found.kind == "drift":
        known = values[~np.isnan(values)]
        ends = max(known.size // 8, 1)
        first = found.first + int(np.argmax(~np.isnan(values)))
        expected, observed = _median(known[:ends]), _median(known[-ends:])
    else:
        level, sigmas = _level_and_size(usual, found)
        here = (found.row, slice(found.first, found.last))
        would = usual.transform.inverse(usual.cycle[here] + level * usual.spread[here], found.row)
        expected = _mean(np.where(np.isnan(values), np.nan, would))
        observed = _mean(values)
    if panel.unit == "%":
        expected = min(max(expected, 0.0), 100.0)
    up = found.sigmas > 0
    effect = "" if not better else ("better" if up == (better == "higher") else "worse")
    kind = found.kind
    if _is_outage(panel, found, expected, observed) and better != "lower":
        kind, effect = OUTAGE, "worse"
    return Anomaly(
        panel.objects[found.row], panel.kpi, panel.unit, kind,
        panel.start_s + first * panel.step_s, panel.start_s + found.last * panel.step_s,
        expected, observed, sigmas, found.p_value, effect,
        found.open_start, found.open_end,
    )  # fmt: skip


def _is_outage(panel: Panel, found: Departure, expected: float, observed: float) -> bool:
    """Return whether something that is hardly ever nothing has fallen to nothing."""
    if found.kind == "drift" or not expected > 0 or not 0 <= observed <= NEARLY_NOTHING * expected:
        return False
    line = panel.values[found.row]
    outside = np.concatenate([line[: found.first], line[found.last :]])
    known = outside[~np.isnan(outside)]
    return bool(known.size) and float(np.mean(known <= NEARLY_NOTHING * expected)) < NEARLY_NOTHING


def _change(panel: Panel, usual: Usual, change: Change, better: str) -> Anomaly:
    """Return a change of rhythm as an anomaly, sized in the unit of the KPI."""
    at = change.departure
    here = (at.row, slice(at.first, at.last))
    middle, spread = usual.cycle[here], usual.spread[here]
    effect, factor = "", change.amount
    if change.aspect == "noise":
        expected = _mean(_half_width(usual, at.row, middle, spread))
        observed = _mean(_half_width(usual, at.row, middle, factor * spread))
        effect = "worse" if better and factor > 1 else ""
        detail = f"its noise is {factor:.2g} times as large as usual"
    else:
        level = float(np.mean(middle))
        size = factor if change.aspect == "size" else 1.0
        expected = _swing(usual.transform.inverse(middle, at.row))
        observed = _swing(usual.transform.inverse(level + size * (middle - level), at.row))
        detail = f"its cycle has {size:.0%} of its usual size"
        if change.aspect == "delay":
            hours = factor * panel.step_s / 3600.0
            amount, unit = (hours, "h") if panel.step_s < DAY_S else (hours / 24.0, "days")
            detail = f"its cycle is about {abs(amount):.2g} {unit} {_when(amount)}"
        elif size < 0:
            detail = "its cycle is turned upside down"
    return Anomaly(
        panel.objects[at.row], panel.kpi, panel.unit, at.kind,
        panel.start_s + at.first * panel.step_s, panel.start_s + at.last * panel.step_s,
        expected, observed, at.sigmas, at.p_value, effect, at.open_start, at.open_end, detail,
    )  # fmt: skip


def _when(amount: float) -> str:
    return "late" if amount > 0 else "early"


def _half_width(usual: Usual, row: int, middle: Floats, spread: Floats) -> Floats:
    inverse = usual.transform.inverse
    return (inverse(middle + spread, row) - inverse(middle - spread, row)) / 2.0


def _swing(values: Floats) -> float:
    low, high = np.quantile(values, (0.05, 0.95))
    return float(high - low)


def _level_and_size(usual: Usual, found: Departure) -> tuple[float, float]:
    """Return the level around a departure, and its size above it, in usual spreads."""
    line = usual.residual[found.row]
    width = max(found.last - found.first, FLANK)
    around = [line[max(found.first - width, 0) : found.first]]
    if not found.open_end:
        around.append(line[found.last : found.last + width])
    level = _median(np.concatenate(around))
    size = _median(line[found.first : found.last]) - level
    if not size * found.sigmas > 0:  # what lies around is unusual too
        return _median(line[found.first : found.last]) - found.sigmas, found.sigmas
    return level, size


def _median(values: Floats) -> float:
    return float(median_of_known(values))


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan


def silences(panels: Sequence[Panel]) -> list[Anomaly]:
    """Return where an object that usually reports says nothing while most others do."""
    grids: dict[tuple[float, float, int, tuple[str, ...]], Bools] = {}
    for panel in panels:
        key = (panel.start_s, panel.step_s, panel.periods, panel.objects)
        known = ~np.isnan(panel.values)
        grids[key] = grids[key] | known if key in grids else known
    out: list[Anomaly] = []
    for (start_s, step_s, periods, objects), known in grids.items():
        usual = known.mean(axis=0) >= TOGETHER
        least = _least_silence(known[:, usual])
        for row, name in enumerate(objects):
            if periods < SHORTEST or known[row].mean() < REPORTING:
                continue
            silent = np.diff(np.concatenate([[0], (~known[row] & usual).astype(np.int8), [0]]))
            bounds = np.flatnonzero(silent).reshape(-1, 2)
            out += [
                Anomaly(
                    name, ALL_KPIS, "periods", NO_DATA, start_s + a * step_s,
                    start_s + b * step_s, float(b - a), 0.0, -float(b - a), 0.0, "worse",
                    bool(a == 0), bool(b == periods),
                )
                for a, b in bounds
                if b - a >= least
            ]  # fmt: skip
    return out


def _least_silence(known: Bools) -> int:
    """Return how many periods in a row make a silence where values are missing by chance.

    Were they missing independently, so long a run would be expected in one of twenty data
    sets of this size.
    """
    if known.size == 0:
        return SILENT_PERIODS
    missing = float(np.clip(np.mean(~known), 1e-6, 0.5))
    return max(SILENT_PERIODS, math.ceil(math.log(known.size / 0.05) / -math.log(missing)))
