"""Incidents: departures of many series that belong together, ranked by how much they matter."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cellhive.core.types import Bools, Floats
from cellhive.diagnose.cycles import DAY_S, Panel, Usual, remove_cycles
from cellhive.diagnose.detection import SHORTEST, Departure, Judged, discoveries, judge
from cellhive.diagnose.drifts import drifts
from cellhive.diagnose.kernels import median_of_known
from cellhive.diagnose.yardstick import FLANK

FALSE_DISCOVERY_RATE = 0.05
"""Share of the series called unusual that may be so by chance."""
TOGETHER = 0.5
"""Overlap over union from which departures of different objects are one incident."""
ALONG = 0.25
"""The same for departures of one object."""
REPORTING = 0.8
"""Share of its periods an object must report before a silence is worth a word."""
SILENT_PERIODS = 2
"""Periods in a row that make a silence."""
ALL_KPIS = "(all)"
"""Stands for the KPI where an object reports nothing at all."""
MOST_SIGMAS = 20.0
CLEARLY = 0.8
"""Share of the weight from which an incident goes one way."""
_WEIGHT = {"worse": 1.0, "": 0.6, "better": 0.3}


@dataclass(frozen=True)
class Anomaly:
    """One stretch of one KPI of one object that is not as usual."""

    object: str
    kpi: str
    unit: str
    kind: str
    """"spike", "level shift", "drift" or "no data"."""
    start_s: float
    end_s: float
    """End of the last period, seconds since the epoch [s]."""
    expected: float
    """What would have been usual, in the unit of the KPI; for a drift, the level at first."""
    observed: float
    """What was there; for a drift, the level at last."""
    sigmas: float
    """Mean departure in usual spreads of the series, signed."""
    p_value: float
    effect: str
    """"worse", "better" or "" where neither direction is known to be good."""
    open_start: bool = False
    open_end: bool = False

    @property
    def size(self) -> float:
        """Observed minus expected, in the unit of the KPI."""
        return self.observed - self.expected


@dataclass(frozen=True)
class Incident:
    """Departures of one or many objects and KPIs that belong together."""

    rank: int
    """1 for what matters most."""
    kind: str
    start_s: float
    end_s: float
    objects: tuple[str, ...]
    kpis: tuple[str, ...]
    effect: str
    """"worse", "better", "mixed" or ""."""
    severity: float
    """``severity_of``; only its order means something."""
    confidence: str
    """"very high", "high" or "moderate"."""
    p_value: float
    """Of its strongest member, after correction for the positions that were looked at."""
    open_end: bool
    """It is still going on at the end of the data."""
    members: tuple[Anomaly, ...]
    """Strongest first, those that go another way than the incident last."""

    @property
    def lead(self) -> Anomaly:
        """Return the member that shows the incident best."""
        return self.members[0]


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


Each = Callable[[Callable[[Panel], "Looked"], Sequence[Panel]], Iterable["Looked"]]
"""Applies a function to every panel, in order or at once, and returns results in order."""


@dataclass(frozen=True)
class Looked:
    """What one look at a panel leaves: little beside the panel itself."""

    judged: Judged
    anomalies: tuple[Anomaly, ...]
    """Of each departure in ``judged``, in the same order."""
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
) -> Search:
    """Return the incidents of a set of panels, most important first.

    The Benjamini-Hochberg procedure over all series, half of the rate for spikes and
    shifts and half for drifts, keeps the expected share of series that are called unusual
    by chance at or below the rate; when nothing at all has happened, that is the probability
    of raising any alarm. It is calibrated for noise that is independent or AR(1) up to 0.9,
    with Gaussian or exponential tails.

    Args:
        panels: One per KPI and group of like objects.
        better: "higher" or "lower" by KPI, where one is.
        rate: False discovery rate.
        each: Applies the look to every panel; it may do so in several threads.
    """
    better = better or {}
    looked = list(each(lambda panel: look(panel, better.get(panel.kpi, ""), rate / 2), panels))
    cut = discoveries(_gathered([one.judged for one in looked]), rate / 2)
    slow = [_drifts(panel, one, cut) for panel, one in zip(panels, looked, strict=True)]
    slow_cut = discoveries(_gathered(slow), rate / 2)
    anomalies: list[Anomaly] = []
    for panel, one, drift in zip(panels, looked, slow, strict=True):
        direction = better.get(panel.kpi, "")
        anomalies += [found for found in one.anomalies if found.p_value <= cut]
        anomalies += [
            _anomaly(panel, one.departed, departure, direction)
            for departure in drift.departures if departure.p_value <= slow_cut
        ]  # fmt: skip
    refused = Counter(_reason(r) for one in looked for r in one.judged.refused if r)
    return Search(
        incidents=rank(merge((*anomalies, *silences(panels)))),
        series=sum(1 for one in looked for reason in one.judged.refused if not reason),
        refused=dict(refused.most_common()),
        unusual=len({(a.object, a.kpi) for a in anomalies}),
        rate=rate,
        cycles=tuple(sorted({cycle for one in looked for cycle in one.departed.removed})),
    )


def look(panel: Panel, better: str, level: float) -> Looked:
    """Return the departures of a panel, and what is needed to find its drifts.

    Args:
        panel: The panel.
        better: "higher", "lower" or "".
        level: Largest p-value of interest.
    """
    usual = remove_cycles(panel)
    judged = judge(usual, level)
    rows = sorted({one.row for one in judged.departures})
    none = usual.residual[:0]
    return Looked(
        judged,
        tuple(_anomaly(panel, usual, one, better) for one in judged.departures),
        drifts(usual, (), _periods_per_block(panel)),
        replace(usual, residual=usual.residual[rows], weak=usual.weak[rows], cycle=none,
                spread=none),
        tuple(rows),
    )  # fmt: skip


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


def _gathered(judged: Sequence[Judged]) -> Floats:
    return np.concatenate([one.p_values for one in judged]) if judged else np.zeros(0)


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
        first = int(np.argmax(~np.isnan(values)))
        expected, observed = _mean(known[:ends]), _mean(known[-ends:])
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
    return Anomaly(
        panel.objects[found.row], panel.kpi, panel.unit, found.kind,
        panel.start_s + first * panel.step_s, panel.start_s + found.last * panel.step_s,
        expected, observed, sigmas, found.p_value, effect,
        found.open_start, found.open_end,
    )  # fmt: skip


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
        for row, name in enumerate(objects):
            if periods < SHORTEST or known[row].mean() < REPORTING:
                continue
            silent = np.diff(np.concatenate([[0], (~known[row] & usual).astype(np.int8), [0]]))
            bounds = np.flatnonzero(silent).reshape(-1, 2)
            out += [
                Anomaly(
                    name, ALL_KPIS, "periods", "no data", start_s + a * step_s,
                    start_s + b * step_s, float(b - a), 0.0, -float(b - a), 0.0, "worse",
                    bool(a == 0), bool(b == periods),
                )
                for a, b in bounds
                if b - a >= SILENT_PERIODS
            ]  # fmt: skip
    return out


# From departures to incidents ----------------------------------------------------


def merge(anomalies: Sequence[Anomaly]) -> list[tuple[Anomaly, ...]]:
    """Return anomalies grouped into incidents.

    The strongest one not yet taken starts a group; others join that overlap with it in
    time (at least half of the union for other objects, a quarter for the same object) and
    begin at about the same time (within half its length, at most three days; for the same
    object its length, at most a week).
    Members are compared with the first one only, so that chains do not grow across the
    network. Drifts join drifts of the same KPI and direction.
    """
    rest = sorted(anomalies, key=lambda a: (a.p_value, -abs(a.sigmas), a.object, a.kpi))
    start = np.array([a.start_s for a in rest])
    end = np.array([a.end_s for a in rest])
    drift = np.array([a.kind == "drift" for a in rest], dtype=np.bool_)
    free = np.ones(len(rest), dtype=np.bool_)
    names = np.array([a.object for a in rest], dtype=object)
    groups: list[tuple[Anomaly, ...]] = []
    for index, seed in enumerate(rest):
        if not free[index]:
            continue
        if seed.kind == "drift":
            same = [a.kpi == seed.kpi and a.sigmas * seed.sigmas > 0 for a in rest]
            joins = drift & np.array(same, dtype=np.bool_)
        else:
            shared = np.minimum(end, seed.end_s) - np.maximum(start, seed.start_s)
            overlap = shared / (np.maximum(end, seed.end_s) - np.minimum(start, seed.start_s))
            own = names == seed.object
            length = seed.end_s - seed.start_s
            slack = np.where(own, min(length, 7 * DAY_S), min(length / 2, 3 * DAY_S))
            near = np.abs(start - seed.start_s) <= slack
            joins = (overlap >= np.where(own, ALONG, TOGETHER)) & near & ~drift
        joins &= free
        joins[index] = True
        free &= ~joins
        groups.append(tuple(rest[i] for i in np.flatnonzero(joins)))
    return groups


def severity_of(members: Sequence[Anomaly]) -> float:
    """Return how much an incident matters: depth x breadth x duration.

    The mean size of the strongest KPI of each object (usual spreads, at most 20), times the
    square root of the number of objects, times 1 + log2 of the number of KPIs over 4,
    times the square root of the days it lasts (an hour to two weeks). Changes for the
    better weigh 0.3, those of unknown direction 0.6.
    """
    depth: dict[str, float] = {}
    for one in members:
        weight = _WEIGHT[one.effect] * min(abs(one.sigmas), MOST_SIGMAS)
        depth[one.object] = max(depth.get(one.object, 0.0), weight)
    kpis = len({one.kpi for one in members})
    days = (members[0].end_s - members[0].start_s) / DAY_S
    lasting = math.sqrt(min(max(days, 1 / 24), 14.0))
    mean = sum(depth.values()) / len(depth)
    return mean * math.sqrt(len(depth)) * (1 + math.log2(kpis) / 4) * lasting


def rank(groups: Sequence[tuple[Anomaly, ...]]) -> tuple[Incident, ...]:
    """Return the incidents of groups of anomalies, most severe first."""
    made = sorted((_incident(group) for group in groups), key=lambda one: -one.severity)
    return tuple(replace(one, rank=index) for index, one in enumerate(made, start=1))


def _incident(group: tuple[Anomaly, ...]) -> Incident:
    def weight(one: Anomaly) -> float:
        return _WEIGHT[one.effect] * min(abs(one.sigmas), MOST_SIGMAS)

    effect = _effect(group)
    wanted = effect if effect in {"worse", "better"} else "worse"
    directed = effect != ""
    members = tuple(
        sorted(
            group,
            key=lambda one: (directed and one.effect != wanted, -weight(one), one.p_value,
                             one.object),
        )
    )  # fmt: skip
    p_value = min(one.p_value for one in members)
    kinds = Counter(one.kind for one in members)
    return Incident(
        rank=0,
        kind=kinds.most_common(1)[0][0],
        start_s=_middle([one.start_s for one in members]),
        end_s=_middle([one.end_s for one in members]),
        objects=tuple(dict.fromkeys(one.object for one in members)),
        kpis=tuple(dict.fromkeys(one.kpi for one in members)),
        effect=effect,
        severity=severity_of(members),
        confidence=_confidence(p_value),
        p_value=p_value,
        open_end=sum(one.open_end for one in members) * 2 > len(members),
        members=members,
    )


def _middle(times: Sequence[float]) -> float:
    """Return the median as a time that occurs, so that it is the border of a period."""
    return sorted(times)[len(times) // 2]


def _effect(members: Sequence[Anomaly]) -> str:
    """Return the direction that has most of the weight, or "mixed" where none clearly has."""
    weight = {"worse": 0.0, "better": 0.0}
    for one in members:
        if one.effect:
            weight[one.effect] += min(abs(one.sigmas), MOST_SIGMAS)
    total = sum(weight.values())
    if total == 0:
        return ""
    return next((name for name, part in weight.items() if part >= CLEARLY * total), "mixed")


def _confidence(p_value: float) -> str:
    for limit, word in ((1e-6, "very high"), (1e-3, "high")):
        if p_value <= limit:
            return word
    return "moderate"
