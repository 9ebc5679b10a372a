"""How an analysis is put into words: times, sizes, incidents and findings."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cellhive.core.measurements import Finding, Severity
from cellhive.diagnose.cycles import DAY_S
from cellhive.diagnose.incidents import ALL_KPIS, Anomaly, Incident
from cellhive.flows.analyse import Analysis, Part
from cellhive.reports.numbers import format_number, format_signed, with_unit

NAMES_SHOWN = 3

FINDING_NAMES = {
    "gaps": "Gaps",
    "duplicate-rows": "Duplicate rows",
    "conflicting-rows": "Conflicting rows",
    "suspect-rows": "Rows marked suspect",
    "no-time": "No times",
    "no-object": "No column names the object",
    "rows-without-time": "Rows without a time",
    "rows-without-object": "Rows without an object",
    "reports-now-and-then": "Objects that report now and then",
    "starts-late": "Objects that start late",
    "stops-early": "Objects that stop early",
    "time-zone-unknown": "Time zone not stated",
    "time-zones-mixed": "Several time zones",
    "nearly-empty-column": "Nearly empty columns",
    "empty-column": "Empty columns",
    "identifier-forms": "Identifiers in several forms",
    "identifier-lost-digits": "Identifiers that lost digits",
    "sentinel": "Stand-ins for “no value”",
    "fraction-under-percent": "Fractions under a “%” heading",
    "fraction-and-percent": "Fractions mixed with per cent",
    "impossible": "Impossible values",
    "share-above-limit": "Shares beyond their limit",
    "share-above-limit-slightly": "Shares just above their limit",
    "recurring-extreme": "One value far from all others, again and again",
    "zero-as-missing": "Zeros among values that are never near zero",
    "dead-counter": "Counters that are 0 everywhere",
    "dead-in-objects": "Counters that are 0 in some objects",
    "constant": "Columns that never change",
    "constant-in-objects": "Counters that never change in some objects",
    "switched-on": "Counters switched on later",
    "switched-off": "Counters switched off early",
    "frozen": "Frozen values",
    "unit-changed": "Units that change",
    "running-total": "Running totals",
    "resolution-changed": "Decimals that change",
    "copied-time": "Days that are copies",
    "copied-object": "Objects that are copies",
    "identical-columns": "Columns that are the same",
    "contradicting-counters": "Counters that contradict each other",
    "all-zero-rows": "Rows of zeros only",
    "total-among-objects": "Totals among the objects",
    "values-missing": "Missing values",
    "changing-population": "Objects that come and go",
    "finer-rows": "Rows of a finer granularity",
    "coarser-rows": "Rows of a coarser granularity",
    "several-periods": "Several lengths of period",
    "times-beside-the-grid": "Times beside the grid",
    "impossible-time": "Impossible times",
    "clock-change-skipped-hour": "The hour that clocks skip",
    "clock-change-doubled-hour": "The hour that clocks repeat",
    "daily-course-shifted": "The course of the day moves",
    "time-zones-differ": "Files in different time zones",
    "identifier-zeros-lost": "Identifiers without their leading zeros",
    "object-names-differ": "One object under several names",
    "scattered-times": "Single recordings, no series",
    "time-zone-missing": "Time zone not stated",
    "period-inferred": "Granularity taken from the times",
    "value-missing": "Empty cells",
    "object-guessed": "Objects named by a guess",
}
"""What a finding's code is called in reports; other codes are shown as they are."""


@dataclass(frozen=True)
class FindingGroup:
    """Findings of one kind."""

    severity: Severity
    name: str
    files: tuple[str, ...]
    columns: tuple[str, ...]
    amount: str
    """How many of what, in words."""
    count: int
    """The number in it, to sort by."""
    first: Finding


def grouped(findings: Sequence[Finding]) -> list[FindingGroup]:
    """Return findings by kind; errors first, then warnings. Errors stay one by one."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for one in findings:
        alone = one.file if one.severity is Severity.ERROR else ""
        groups.setdefault((one.code, alone), []).append(one)
    order = list(Severity)[::-1]
    made = [
        FindingGroup(
            severity=max((f.severity for f in group), key=lambda s: list(Severity).index(s)),
            name=FINDING_NAMES.get(code, code.replace("-", " ").capitalize()),
            files=tuple(dict.fromkeys(short(f.file) for f in group if f.file)),
            columns=tuple(dict.fromkeys(clean(f.column) for f in group if f.column)),
            amount=amount_of(group),
            count=sum(f.count for f in group),
            first=group[0],
        )
        for (code, _), group in groups.items()
    ]
    return sorted(made, key=lambda one: order.index(one.severity))


def amount_of(group: Sequence[Finding]) -> str:
    """Return how many of what findings of one kind are about: "4 662 values, 16 objects"."""
    count = sum(one.count for one in group)
    what = {one.counted for one in group}
    noun = what.pop() if len(what) == 1 else ""
    if not noun:
        return format_number(count, 12)
    singular = noun if noun == "series" else noun.removesuffix("s")
    text = counted(count, singular, noun)
    named = {name for one in group for name in one.named}
    objects = max(len(named), *(one.objects for one in group))
    if objects > 1 and noun not in {"objects", "series"}:
        text += f", {counted(objects, 'object')}"
    return text


def short(file: str) -> str:
    """Return the name of a file without its folders."""
    return clean(file.rsplit("/", 1)[-1]) if " / " not in file else clean(file)


def place_of(group: FindingGroup) -> str:
    """Return the inputs and columns of a group of findings, the first few."""
    parts = (listed(group.files, 2), listed(group.columns, 2))
    return ": ".join(part for part in parts if part)


def clean(text: str) -> str:
    """Return text with every kind of white space as one plain space."""
    return " ".join(text.split())


def listed(names: Sequence[str], shown: int = NAMES_SHOWN) -> str:
    """Return the first few names and how many more there are."""
    text = ", ".join(clean(name) for name in names[:shown])
    return f"{text} and {len(names) - shown} more" if len(names) > shown else text


def counted(count: int, word: str, plural: str = "") -> str:
    """Return a count with its noun."""
    return f"{format_number(count, 12)} {word if count == 1 else plural or word + 's'}"


# Times -----------------------------------------------------------------------


def clock(time_s: float, *, days: bool = False) -> str:
    """Return seconds since the epoch as a date, with the time of day unless only days count."""
    moment = datetime.fromtimestamp(time_s, UTC)
    return moment.strftime("%Y-%m-%d" if days else "%Y-%m-%d %H:%M")


def whole_days(incident: Incident | Anomaly) -> bool:
    """Return whether a stretch begins and ends at midnight and lasts days."""
    return incident.start_s % DAY_S == 0 and incident.end_s % DAY_S == 0


def stretch(incident: Incident | Anomaly) -> str:
    """Return from when to when, in words."""
    days = whole_days(incident)
    start = clock(incident.start_s, days=days)
    if incident.open_end:
        return f"since {start}"
    end_s = incident.end_s - DAY_S if days else incident.end_s
    end = clock(end_s, days=days)
    if not days and end[:10] == start[:10]:
        end = end[11:]
    return start if end == start else f"{start} to {end}"


def lasting(incident: Incident | Anomaly) -> str:
    """Return how long a stretch lasts."""
    span = timedelta(seconds=incident.end_s - incident.start_s)
    if span >= timedelta(days=1):
        days = span / timedelta(days=1)
        return "1 day" if days == 1 else f"{format_number(days, 3)} days"
    hours = span / timedelta(hours=1)
    return f"{format_number(hours, 3)} h" if hours >= 1 else f"{format_number(hours * 60, 3)} min"


def at_lead(incident: Incident) -> str:
    """Return where an incident shows best, and when, if that is not the time of most members."""
    name = clean(incident.lead.object)
    when = stretch(incident.lead)
    return name if when == stretch(incident) else f"{name}, {when}"


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
    return f"{after} instead of {before}"


def sigmas(anomaly: Anomaly) -> str:
    """Return the size in usual spreads."""
    return "" if anomaly.kpi == ALL_KPIS else f"{format_signed(anomaly.sigmas, 2)}\u00a0σ"


def headline(incident: Incident) -> str:
    """Return an incident in one line."""
    lead = incident.lead
    if lead.kpi == ALL_KPIS:
        what = "No data"
    else:
        word = {"spike": "for a moment", "drift": "slowly", "level shift": ""}[incident.kind]
        verb = "up" if lead.sigmas > 0 else "down"
        what = clean(f"{clean(lead.kpi)} {verb} {word}")
        more = len(incident.kpis) - 1
        what += f" (and {counted(more, 'other KPI')})" if more else ""
    count = len(incident.objects)
    where = clean(lead.object) if count == 1 else f"{count} objects"
    return f"{what}: {where}"


# The whole -------------------------------------------------------------------


def part_line(part: Part) -> str:
    """Return what a part holds, in one sentence."""
    what = part.object_class or "object"
    objects = f"{counted(len(part.objects), 'object')}" + (
        f" ({what})" if part.object_class else ""
    )
    span = "no time known"
    if part.start is not None and part.end is not None:
        days = part.period_s is not None and part.period_s >= DAY_S
        form = "%Y-%m-%d" if days else "%Y-%m-%d %H:%M"
        first, last = part.start.strftime(form), part.end.strftime(form)
        span = first if first == last else f"{first} to {last}"
    every = f", one row {period(part.period_s)}" if part.period_s else ""
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


def health(analysis: Analysis) -> list[str]:
    """Return the executive summary, a sentence each."""
    incidents = analysis.search.incidents
    effects = Counter(one.effect for one in incidents)
    severities = Counter(one.severity for one in analysis.findings)
    out: list[str] = []
    if not analysis.parts:
        out.append("Nothing could be read.")
    if incidents:
        kinds = [
            f"{effects[key]} {word}"
            for key, word in (
                ("worse", "for the worse"), ("mixed", "mixed"), ("better", "for the better"),
                ("", "of no known direction"),
            )
            if effects[key]
        ]  # fmt: skip
        out.append(f"{counted(len(incidents), 'incident')} found: {', '.join(kinds)}.")
        top = incidents[0]
        out.append(
            f"The most severe: {headline(top)}; {stretch(top)}, {from_to(top.lead)} at "
            f"{at_lead(top)}."
        )
        ongoing = sum(1 for one in incidents if one.open_end and one.effect == "worse")
        if ongoing:
            verb = "has" if ongoing == 1 else "have"
            out.append(
                f"{counted(ongoing, 'change')} for the worse {verb} not gone back by the end of "
                "the data."
            )
    elif analysis.search.series:
        out.append("No incident was found: every series stayed within its usual behaviour.")
    elif analysis.parts:
        out.append(
            "No series is long enough to say what is usual, so no incidents were looked for."
        )
    lost = {one.file for one in analysis.findings if one.code == "unreadable-file"}
    part = {one.file for one in analysis.findings if one.severity is Severity.ERROR} - lost
    if lost:
        out.append(f"{counted(len(lost), 'input')} could not be read.")
    if part:
        out.append(f"{counted(len(part), 'input')} could be read only in part.")
    if severities[Severity.WARNING]:
        out.append(
            f"The data need care: {counted(severities[Severity.WARNING], 'warning')} about their "
            "quality, listed below with what was done about each."
        )
    return out
