"""How an analysis is put into words: times, sizes, incidents and findings."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from datetime import timedelta

from cellhive.diagnose.cycles import DAY_S
from cellhive.diagnose.incidents import ALL_KPIS, Anomaly, Incident
from cellhive.flows.analyse import Analysis, Part
from cellhive.reports.analysis.clock import UTC_CLOCK, Clock
from cellhive.reports.numbers import format_number, format_signed, visible, with_unit

NAMES_SHOWN = 3


def clean(text: str) -> str:
    """Return text with every kind of white space as one plain space."""
    return visible(" ".join(text.split()))


def listed(names: Sequence[str], shown: int = NAMES_SHOWN) -> str:
    """Return the first few names and how many more there are."""
    text = ", ".join(clean(name) for name in names[:shown])
    return f"{text} and {len(names) - shown} more" if len(names) > shown else text


def counted(count: int, word: str, plural: str = "") -> str:
    """Return a count with its noun."""
    return f"{format_number(count, 12)} {word if count == 1 else plural or word + 's'}"


# Times -----------------------------------------------------------------------


def span_s(one: Incident | Anomaly) -> tuple[float, float]:
    """Return from when to when something is told; an incident holds that of its first member.

    The times of an incident are those of most members, which may leave out a day of the very
    series that is told and drawn.
    """
    if isinstance(one, Incident):
        return min(one.start_s, one.lead.start_s), max(one.end_s, one.lead.end_s)
    return one.start_s, one.end_s


def whole_days(one: Incident | Anomaly, clock: Clock) -> bool:
    """Return whether a stretch begins and ends at midnight and lasts days."""
    return all(clock.is_midnight(end_s) for end_s in span_s(one))


def stretch(one: Incident | Anomaly, clock: Clock = UTC_CLOCK) -> str:
    """Return from when to when, in words."""
    days = whole_days(one, clock)
    start_s, end_s = span_s(one)
    start = clock.written(start_s, days=days)
    if one.open_end:
        return f"since {start}"
    end = clock.written(end_s - DAY_S if days else end_s, days=days)
    if not days and end[:10] == start[:10]:
        end = end[11:]
    return start if end == start else f"{start} to {end}"


def lasting(incident: Incident | Anomaly) -> str:
    """Return how long a stretch lasts."""
    start_s, end_s = span_s(incident)
    span = timedelta(seconds=end_s - start_s)
    if span >= timedelta(days=1):
        days = span / timedelta(days=1)
        return "1 day" if days == 1 else f"{format_number(days, 3)} days"
    hours = span / timedelta(hours=1)
    if hours >= 1:
        return f"{format_number(hours, 3)} h"
    minutes = hours * 60
    if minutes >= 1:
        return f"{format_number(minutes, 3)} min"
    return f"{format_number(minutes * 60, 3)} s"


def at_lead(incident: Incident, clock: Clock) -> str:
    """Return where an incident shows best, and when, if that is not the time of most members."""
    name = clean(incident.lead.object)
    when = stretch(incident.lead, clock)
    return name if when == stretch(incident, clock) else f"{name}, {when}"


def beside_headline(incident: Incident, clock: Clock) -> str:
    """Return " at ..." as ``at_lead`` has it, but nothing that the headline has said already."""
    where = at_lead(incident, clock)
    if len(incident.objects) > 1:
        return f" at {where}"
    return where.removeprefix(clean(incident.lead.object))


# Sizes -----------------------------------------------------------------------


def value(number: float, unit: str) -> str:
    """Return a value with its unit; shares near 100 % keep enough digits to tell them apart."""
    digits = 4 if unit == "%" and abs(number) > 90 else 3  # noqa: PLR2004  # 99.87, not 99.9
    return with_unit(format_number(number, digits), unit)


def change(anomaly: Anomaly) -> str:
    """Return how much a KPI departed, in its unit and relative to what is usual."""
    if anomaly.kpi == ALL_KPIS:
        return f"silent for {counted(round(anomaly.expected), 'period')}"
    size = anomaly.size
    if anomaly.unit == "%":
        return with_unit(format_signed(size), "pp")
    text = with_unit(format_signed(size), anomaly.unit)
    usual = abs(anomaly.expected)
    if math.isfinite(size) and usual > 0 and anomaly.unit not in {"dB", "dBm"}:
        return f"{text} ({format_signed(100 * size / usual, 2)}\u00a0%)"
    return text


def from_to(anomaly: Anomaly) -> str:
    """Return what was usual and what was there."""
    if anomaly.kpi == ALL_KPIS:
        return "no values"
    before, after = (value(v, anomaly.unit) for v in (anomaly.expected, anomaly.observed))
    if anomaly.kind == "drift":
        return f"from {before} to {after}"
    if anomaly.detail:
        what = "a noise of ±" if anomaly.kind == "variance change" else "a swing of "
        return f"{anomaly.detail}: {what}{after} instead of {before}"
    return f"{after} instead of {before}"


def sigmas(anomaly: Anomaly) -> str:
    """Return the size in usual spreads."""
    return "" if anomaly.kpi == ALL_KPIS else f"{format_signed(anomaly.sigmas, 2)}\u00a0σ"


KINDS = {
    "spike": "short peak",
    "level shift": "step",
    "drift": "slow drift",
    "no data": "no data",
    "outage": "outage",
    "seasonality break": "another cycle",
    "variance change": "another scatter",
}
"""What a kind of departure is called in reports; other kinds are shown as they are."""


def _happening(incident: Incident) -> str:
    """Return what a KPI does in an incident."""
    lead = incident.lead
    if lead.kind == "outage":
        return "fell to nothing"
    if lead.kind == "seasonality break":
        return "has another cycle"
    up = lead.sigmas > 0
    if lead.kind == "variance change":
        return "restless" if up else "unusually steady"
    word = {"spike": "for a moment", "drift": "slowly"}.get(lead.kind, "")
    return clean(f"{'up' if up else 'down'} {word}")


def headline(incident: Incident, noun: str = "") -> str:
    """Return an incident in one line.

    Args:
        incident: The incident.
        noun: What its objects are: "cell"; "" where unknown.
    """
    lead = incident.lead
    if lead.kpi == ALL_KPIS:
        what = "No data"
    else:
        what = f"{clean(lead.kpi)} {_happening(incident)}"
        more = len(incident.kpis) - 1
        what += f" (and {counted(more, 'other KPI')})" if more else ""
    count = len(incident.objects)
    where = clean(lead.object) if count == 1 else counted(count, noun or "object")
    return f"{what}: {where}"


def kpis_of(incident: Incident) -> list[str]:
    """Return what the KPIs of an incident are called; "no data" where all fell silent."""
    return ["no data" if kpi == ALL_KPIS else clean(kpi) for kpi in incident.kpis]


def anchor(incident: Incident) -> str:
    """Return the anchor of an incident in the page: the same in every report that finds it."""
    lead = incident.lead
    told = f"{lead.kpi}\n{lead.object}\n{incident.kind}\n{lead.start_s:.0f}\n{lead.end_s:.0f}"
    return f"i-{hashlib.sha256(told.encode('utf-8', 'replace')).hexdigest()[:10]}"


_ABBREVIATIONS = {"ue": "UE", "bts": "BTS", "enodeb": "eNodeB", "gnodeb": "gNodeB"}
"""Classes of objects that are not written in small letters."""


def noun_of(analysis: Analysis) -> str:
    """Return what the objects of an analysis are, where all are of one class; else ""."""
    classes = {part.object_class for part in analysis.parts if part.panels}
    name = classes.pop() if len(classes) == 1 else ""
    return name if name.isupper() else _ABBREVIATIONS.get(name.lower(), name.lower())


def title(text: str) -> str:
    """Return a text with its first letter large and the others as they are."""
    return text[:1].upper() + text[1:]


# The whole -------------------------------------------------------------------


def recorded(part: Part) -> bool:
    """Return whether a part holds recordings or events at times of their own, and no series."""
    return bool(
        part.start is not None and part.rows > len(part.objects) and part.panels
        and all(panel.step_s == 0 for panel in part.panels)
    )  # fmt: skip


def part_line(part: Part, clock: Clock) -> str:
    """Return what a part holds, in one sentence."""
    what = part.object_class or "object"
    objects = f"{counted(len(part.objects), 'object')}" + (
        f" ({what})" if part.object_class else ""
    )
    span = "no time known"
    if part.start is not None and part.end is not None:
        days = part.period_s is not None and part.period_s >= DAY_S
        first, last = (
            clock.written(moment.timestamp(), days=days) for moment in (part.start, part.end)
        )
        span = first if first == last else f"{first} to {last}"
    every = f", one row {period(part.period_s)}" if part.period_s else ""
    if recorded(part):
        every = ", single samples"
    return (
        f"{clean(part.name)}: {counted(part.rows, 'row')} of {objects}, "
        f"{counted(len(part.panels), 'KPI')}, {span}{every}."
    )


def period(seconds: float) -> str:
    """Return how often rows come."""
    names = {86400.0: "a day", 3600.0: "an hour", 60.0: "a minute", 604800.0: "a week"}
    if seconds in names:
        return names[seconds]
    return f"every {seconds / 60:g} min" if seconds % 60 == 0 else f"every {seconds:g} s"
