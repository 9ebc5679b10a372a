"""From measurements to what an engineer wants to know: is the data sound, what went wrong, where.

``analyse`` is pure: readers hand in what they read, reports draw what comes out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

import numpy as np
import polars as pl

from cellhive.core.measurements import (
    OBJECT,
    PERIOD_S,
    TIME,
    ColumnInfo,
    Finding,
    Findings,
    Measurements,
    Role,
    Severity,
)
from cellhive.core.types import Floats
from cellhive.diagnose.cycles import Panel
from cellhive.diagnose.positions import Position, positions_of, sites_at
from cellhive.diagnose.quality.coverage import CounterCoverage, Coverage
from cellhive.diagnose.quality.examination import Examined, examine
from cellhive.diagnose.quality.times import between
from cellhive.diagnose.search import Each, Known, Search, find_incidents
from cellhive.diagnose.summary import Summary, summary_of
from cellhive.flows.scale.work import Work, in_turn

MOST_SLOTS = 20
"""Slots of the time grid per value, beyond which times are too irregular for a grid."""


@dataclass(frozen=True)
class Part:
    """One set of measurements of like objects at one granularity, analysed."""

    name: str
    sources: tuple[str, ...]
    object_class: str
    objects: tuple[str, ...]
    rows: int
    start: datetime | None
    """Start of the first period; None where no time is known."""
    end: datetime | None
    """Start of the last period."""
    period_s: float | None
    time_zone: str
    columns: dict[str, ColumnInfo]
    coverage: tuple[Coverage, ...]
    panels: tuple[Panel, ...]
    """One per KPI that has values, as shown to people: shares in per cent."""
    summaries: tuple[Summary, ...]
    """One per panel, in the same order."""
    settings: tuple[Panel, ...] = ()
    """Attributes that were changed over time, such as a tilt: not judged, but possible causes."""
    counters: tuple[CounterCoverage, ...] = ()
    """How completely each counter is filled; empty for tables that were read in blocks."""
    positions: tuple[Position, ...] = ()
    """Where its objects stand, of those that state it."""
    sites: Mapping[str, str] = field(default_factory=dict)
    """Site by object, of those of which the measurements say it."""


@dataclass(frozen=True)
class Analysis:
    """What was read, what is wrong with it, and what happened in the network."""

    parts: tuple[Part, ...]
    findings: tuple[Finding, ...]
    """Of readers and of the data quality examination, errors first."""
    search: Search
    """Incidents, and how they were looked for."""
    notes: tuple[str, ...]
    """Assumptions and limits that the reader of a report must know."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Return the files the analysis rests on."""
        return tuple(dict.fromkeys(name for part in self.parts for name in part.sources))

    def panel(self, kpi: str, name: str) -> tuple[Panel, int] | None:
        """Return the panel and row of a KPI of an object, or None."""
        for part in self.parts:
            for panel in part.panels:
                if panel.kpi == kpi and name in panel.objects:
                    return panel, panel.objects.index(name)
        return None


def analyse(
    measurements: Sequence[Measurements],
    findings: Sequence[Finding] = (),
    *,
    work: Work = in_turn,
    more: Sequence[Part] = (),
    notes: Sequence[str] = (),
    sites: Mapping[str, str] | None = None,
) -> Analysis:
    """Return the analysis of measurements.

    Args:
        measurements: What was read; values as they were found.
        findings: What the readers found on the way.
        work: Does what can be done piece by piece.
        more: Parts that were made of tables too large to be held (``flows.scale.blocks``).
        notes: What was said of those.
        sites: Site by object, as a configuration says; goes before what measurements say.
    """
    collected = Findings()
    collected.extend(findings)
    notes = list(notes)
    parts = [*more, *parts_of(measurements, collected, notes, work=work)]
    panels = [panel for part in parts for panel in part.panels if panel.step_s > 0]
    better = {
        name: info.better for part in parts for name, info in part.columns.items() if info.better
    }
    each: Each = partial(work, "Looking for incidents")
    at = {name: site for part in parts for name, site in part.sites.items()} | dict(sites or {})
    known = Known(better, loads_of(parts), at)
    search = find_incidents(panels, each=each, known=known)
    notes += _about(search)
    return Analysis(tuple(parts), collected.as_tuple(), search, tuple(dict.fromkeys(notes)))


LOADS = ("RRC.ConnMean", "RRC.ConnMax", "DRB.MeanActiveUeDl", "DRB.PdcpSduVolumeDL")
"""Quantities that tell how many are affected, the best first: users, then traffic."""


def loads_of(parts: Sequence[Part]) -> tuple[str, ...]:
    """Return the KPIs that tell how many users, or how much traffic, an object has."""
    return tuple(
        name for quantity in LOADS for part in parts
        for name, info in part.columns.items() if info.quantity == quantity
    )  # fmt: skip


def parts_of(
    measurements: Sequence[Measurements],
    collected: Findings,
    notes: list[str],
    *,
    attributes: bool = False,
    summed: bool = True,
    work: Work = in_turn,
) -> list[Part]:
    """Return one part per set of like objects at one granularity; incidents are not looked for.

    Args:
        measurements: What was read.
        collected: Takes what the examination finds.
        notes: Takes what a reader must know.
        attributes: Whether what describes objects, such as their tilt, is among the panels.
        summed: Whether each panel gets a summary.
        work: Does what can be done piece by piece.
    """
    parts: list[Part] = []
    collected.extend(between(measurements))
    for one in measurements:
        for piece in _by_period(one):
            (examined,) = work("Examining the data", examine, [piece])
            collected.extend(_not_said_before(examined.findings, collected.as_tuple()))
            part = _part(examined, notes, attributes=attributes)
            parts.append(_summed(part, work) if summed else part)
    return parts


def _not_said_before(found: Sequence[Finding], said: Sequence[Finding]) -> list[Finding]:
    """Return findings without those of which a reader has already spoken in its own words."""
    spoken = any(one.code.startswith("time-zone") for one in said)
    codes = {one.code for one in said}
    told = {(one.code, one.column) for one in said}
    return [
        one for one in found
        if not (spoken and one.code == "time-zone-unknown")
        and not (one.code == "no-time" and "no-time" in codes)
        and not (one.code == "rows-without-object" and "object-unknown" in codes)
        and not (one.code == "identifier-lost-digits" and ("identity-rounded", one.column) in told)
    ]  # fmt: skip


def _by_period(m: Measurements) -> list[Measurements]:
    """Return measurements split by the length of their periods, where there are several."""
    lengths = m.frame[PERIOD_S].drop_nulls().unique().sort().to_list()
    if len(lengths) < 2:  # noqa: PLR2004  # one length or none
        return [m]
    out = []
    for length in lengths:
        frame = m.frame.filter(pl.col(PERIOD_S) == length)
        out.append(
            Measurements(
                f"{m.name}, {length:g} s", frame, m.columns, m.labels, m.object_class,
                m.time_zone, m.sources,
            )
        )  # fmt: skip
    rest = m.frame.filter(pl.col(PERIOD_S).is_null())
    if rest.height:
        out.append(
            Measurements(
                f"{m.name}, period unknown", rest, m.columns, m.labels, m.object_class,
                m.time_zone, m.sources,
            )
        )  # fmt: skip
    return out


def _part(examined: Examined, notes: list[str], *, attributes: bool) -> Part:
    m = examined.measurements
    times = m.frame[TIME].drop_nulls()
    panels = panels_of(m, examined.period_s, notes, attributes=attributes)
    positions = positions_of(m)
    return Part(
        name=m.name,
        sources=m.sources,
        object_class=m.object_class,
        objects=tuple(m.objects),
        rows=m.frame.height,
        start=_moment(times.min()),
        end=_moment(times.max()),
        period_s=examined.period_s,
        time_zone=m.time_zone,
        columns=m.columns,
        coverage=examined.coverage,
        counters=examined.counters,
        panels=panels,
        summaries=(),
        settings=settings_of(m, examined.period_s) if panels and not attributes else (),
        positions=positions,
        sites=sites_at(m, positions),
    )


def _summed(part: Part, work: Work) -> Part:
    better = {name: info.better for name, info in part.columns.items()}
    made = work("Summing up", partial(summary_of, better=better), part.panels)
    return replace(part, summaries=tuple(made))


def _moment(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None


def panels_of(
    m: Measurements,
    period_s: float | None,
    notes: list[str] | None = None,
    *,
    attributes: bool = False,
) -> tuple[Panel, ...]:
    """Return one panel per KPI on the regular time grid of the measurements.

    The bins of vector counters are left out, attributes unless asked for, and columns without
    a value. Fractions are shown in per cent. Where no time or no period is known, the
    rows of an object stand one after the other and ``step_s`` is 0: nothing can be said
    about when.
    """
    notes = notes if notes is not None else []
    if m.frame.height == 0:
        return ()
    chosen = [
        name for name, info in m.columns.items()
        if info.bin is None and (attributes or info.role is not Role.ATTRIBUTE)
    ]  # fmt: skip
    bins = sum(1 for info in m.columns.values() if info.bin is not None)
    at = len(notes)
    if bins:
        notes.append(f"{m.name}: {bins} bins of vector counters were read but not judged.")
    panels, step_s = _grids(m, period_s, chosen)
    if step_s == 0 and m.frame.height > len(m.objects):
        notes.insert(at, f"{m.name}: no regular times, so no incidents were looked for.")
    return panels


def settings_of(m: Measurements, period_s: float | None) -> tuple[Panel, ...]:
    """Return one panel per attribute that differs over time at the same object.

    Args:
        m: Measurements.
        period_s: Length of their periods [s].
    """
    if m.frame.height == 0:
        return ()
    chosen = [n for n, i in m.columns.items() if i.role is Role.ATTRIBUTE and i.bin is None]
    panels, step_s = _grids(m, period_s, chosen)
    return tuple(one for one in panels if step_s > 0 and _changes(one.values))


def _changes(values: Floats) -> bool:
    known = np.isfinite(values)
    high = np.where(known, values, -np.inf).max(axis=1)
    low = np.where(known, values, np.inf).min(axis=1)
    return bool((high > low).any())


def _grids(
    m: Measurements, period_s: float | None, chosen: Sequence[str]
) -> tuple[tuple[Panel, ...], float]:
    """Return a panel for each column that has values, and the step of their grid [s]."""
    frame, objects = m.frame, tuple(m.objects)
    index = {name: i for i, name in enumerate(objects)}
    row = np.array([index[name] for name in frame[OBJECT]], dtype=np.int64)
    slot, start_s, step_s = _slots(frame, period_s, len(objects))
    out: list[Panel] = []
    periods = int(slot.max()) + 1
    for name in chosen:
        column = frame[name].cast(pl.Float64)
        if column.null_count() == column.len():
            continue
        grid = np.full((len(objects), periods), np.nan)
        scale, unit = shown(m.columns[name])
        grid[row, slot] = column.fill_null(math.nan).to_numpy() * scale
        out.append(Panel(name, objects, start_s, step_s, grid, unit))
    return tuple(out), step_s


def _slots(
    frame: pl.DataFrame, period_s: float | None, objects: int
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], float, float]:
    """Return the slot of each row in the time grid, its start and its step [s]."""
    if frame[TIME].null_count() == 0:
        seconds: Floats = frame[TIME].dt.epoch("us").to_numpy() / 1e6
        start = float(seconds.min())
        step = period_s or 0.0
        if step > 0:
            slot = np.floor((seconds - start) / step + 0.5).astype(np.int64)
            if (int(slot.max()) + 1) * objects <= MOST_SLOTS * frame.height + 1000:
                return slot, start, step
        elif np.unique(seconds).size == 1:
            return np.zeros(frame.height, dtype=np.int64), start, 0.0
    order = frame.select(pl.int_range(pl.len()).over(OBJECT).alias("i"))["i"].to_numpy()
    return np.asarray(order, dtype=np.int64), 0.0, 0.0


def shown(info: ColumnInfo) -> tuple[float, str]:
    """Return the factor and unit in which a column is shown: shares in per cent."""
    if info.role is Role.RATIO and info.share == "fraction":
        return 100.0, "%"
    if info.role is Role.RATIO and info.share == "percent":
        return 1.0, "%"
    return 1.0, info.unit


def _about(search: Search) -> list[str]:
    """Return what a reader must know about how incidents were looked for."""
    notes: list[str] = []
    if search.series:
        cycles = " and ".join(search.cycles)
        removed = f" after its {cycles} cycle was removed" if cycles else ""
        notes.append(
            f"{search.series} series (one KPI of one object) were each compared with their own "
            f"usual behaviour{removed}. At most {search.rate:.0%} of the series called unusual "
            "are expected to be so by chance (Benjamini-Hochberg)."
        )
    if search.series and search.load:
        notes.append(
            f"Incidents are ranked by how many are affected, told by {', '.join(search.load)}."
        )
    elif search.series:
        notes.append(
            "No KPI is known to tell how many users or how much traffic an object has, so all "
            "weigh the same; a mapping file can name one."
        )
    if search.holidays:
        days = ", ".join(f"{moment(day):%Y-%m-%d}" for day in search.holidays[:8])
        notes.append(f"Taken for another day of the week, as a holiday is: {days}.")
    for reason, count in search.refused.items():
        notes.append(f"{count} series were not judged: {reason}.")
    return notes


def moment(time_s: float) -> datetime:
    """Return seconds since the epoch as a time in UTC."""
    return datetime.fromtimestamp(time_s, UTC)


def errors(analysis: Analysis) -> int:
    """Return how many findings say that something could not be read."""
    return sum(1 for one in analysis.findings if one.severity is Severity.ERROR)
