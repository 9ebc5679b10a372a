"""The report of an analysis: what was read, whether it is sound, what happened, where.

One self-contained HTML page, the same as JSON for programs and as Markdown for messages.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from cellhive import __version__
from cellhive.core.measurements import Finding, Severity
from cellhive.core.types import to_jsonable
from cellhive.diagnose.incidents import Incident
from cellhive.flows.analyse import Analysis, Part
from cellhive.flows.causes.why import Causes
from cellhive.reports.analysis import tables, words
from cellhive.reports.analysis.figures import Figures
from cellhive.reports.causal.section import causes_markdown, causes_record, section_of
from cellhive.reports.numbers import format_number
from cellhive.reports.page import Table, render, write_atomic, writer_for

PLOTS = 15
"""Incidents that are shown with a plot."""
MARKDOWN_INCIDENTS = 20
PARTS_SHOWN = 15


@dataclass(frozen=True, slots=True)
class Card:
    """One figure at the head of the report."""

    name: str
    value: str
    facts: tuple[tuple[str, str], ...] = ()
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """One incident as it is written in the report."""

    rank: int
    headline: str
    when: str
    lasting: str
    kind: str
    change: str
    sigmas: str
    from_to: str
    lead: str
    effect: str
    tone: str
    confidence: str
    kpis: str
    objects: str
    many: bool
    chart: Markup


@dataclass(frozen=True, slots=True)
class ShownPart:
    """The tables of one part."""

    name: str
    kpis: Table
    hidden: int
    details: list[tables.KpiDetails]
    coverage: Table
    columns: Table


def write_analysis(
    analysis: Analysis, path: Path, *, title: str = "", causes: Causes | None = None
) -> None:
    """Write the report of an analysis; the file appears whole or not at all.

    Args:
        analysis: What to report.
        path: Where to; ".html", ".json" or ".md" says in which form.
        title: Heading; by default made from the names of the inputs.
        causes: What a causal model says of it; None leaves that out.

    Raises:
        BadInput: The ending says none of the forms.
    """
    writer = writer_for(path, render_analysis, analysis_json, analysis_markdown)
    write_atomic(path, writer(analysis, title=title, causes=causes))


def _title(analysis: Analysis, title: str) -> str:
    if title:
        return title
    names = [words.clean(source.rsplit("/", 1)[-1]) for source in analysis.sources]
    return f"Network analysis: {words.listed(names, 2)}" if names else "Network analysis"


def render_analysis(analysis: Analysis, *, title: str = "", causes: Causes | None = None) -> str:
    """Return the report of an analysis as a self-contained HTML page."""
    figures = Figures(analysis)
    every = analysis.search.incidents
    zones = {part.time_zone for part in analysis.parts}
    return render(
        "analysis.html",
        title=_title(analysis, title),
        subtitle=_subtitle(analysis),
        summary=words.health(analysis),
        cards=_cards(analysis),
        read=_read(analysis),
        top=[_shown(one, figures) for one in every[:PLOTS]],
        incidents=tables.incidents(analysis.search),
        hidden=max(len(every) - tables.INCIDENTS_SHOWN, 0),
        zone="as written in the input; it states no time zone" if "" in zones else "in UTC",
        worst=tables.worst_objects(analysis),
        findings=tables.findings(analysis.findings),
        parts=_parts(analysis),
        notes=analysis.notes,
        causes=section_of(causes) if causes is not None else None,
    )


def _read(analysis: Analysis) -> list[str]:
    lines = [words.part_line(part) for part in analysis.parts[:PARTS_SHOWN]]
    more = len(analysis.parts) - PARTS_SHOWN
    return [*lines, f"And {more} more, each with its KPIs below."] if more > 0 else lines


def _subtitle(analysis: Analysis) -> str:
    starts = [part.start for part in analysis.parts if part.start]
    ends = [part.end for part in analysis.parts if part.end]
    objects = len({name for part in analysis.parts for name in part.objects})
    if not starts or not ends:
        return words.counted(objects, "object")
    span = f"{min(starts):%Y-%m-%d} to {max(ends):%Y-%m-%d}"
    return f"{words.counted(objects, 'object')}, {span}"


def _cards(analysis: Analysis) -> list[Card]:
    effects = Counter(one.effect for one in analysis.search.incidents)
    severities = Counter(one.severity for one in analysis.findings)
    objects = {name for part in analysis.parts for name in part.objects}
    kpis = {panel.kpi for part in analysis.parts for panel in part.panels}
    expected = sum(one.expected for part in analysis.parts for one in part.coverage)
    there = sum(one.periods for part in analysis.parts for one in part.coverage)
    rows = sum(part.rows for part in analysis.parts)
    troubled = {
        name for one in analysis.search.incidents if one.effect == "worse" for name in one.objects
    }
    judged = analysis.search.series > 0 or bool(analysis.search.incidents)
    cards = [
        Card(
            "Incidents for the worse", str(effects["worse"]) if judged else "not judged",
            (("mixed", str(effects["mixed"])), ("for the better", str(effects["better"])),
             ("direction unknown", str(effects[""]))),
            "worse" if effects["worse"] else ("better" if judged else ""),
        ),
        Card(
            "Objects", format_number(len(objects), 12),
            (("with an incident for the worse", str(len(troubled))),
             ("KPIs", format_number(len(kpis), 12)), ("rows", format_number(rows, 12))),
        ),
        Card(
            "Quality warnings", str(severities[Severity.WARNING]),
            (("not read, or in part", str(severities[Severity.ERROR])),
             ("worth knowing", str(severities[Severity.INFO]))),
            "worse" if severities[Severity.ERROR] else "",
        ),
    ]  # fmt: skip
    if expected:
        share = format_number(100 * there / expected)
        facts = (
            ("periods there", format_number(there, 12)),
            ("expected", format_number(expected, 12)),
        )
        cards.append(Card("Coverage", f"{share} %", facts))
    return cards


def _shown(one: Incident, figures: Figures) -> Shown:
    lead = one.lead
    tone = {"worse": "worse", "better": "better", "mixed": "warn"}.get(one.effect, "")
    return Shown(
        one.rank, words.headline(one), words.stretch(one), words.lasting(one), one.kind,
        words.change(lead), words.sigmas(lead), words.from_to(lead), words.at_lead(one),
        one.effect, tone, one.confidence, words.listed(one.kpis, 8),
        words.listed(one.objects, 20), len(one.objects) > 1, figures.incident(one),
    )  # fmt: skip


def _parts(analysis: Analysis) -> list[ShownPart]:
    budget = tables.ROWS_SHOWN // max(len(analysis.parts), 1)
    return [_part(part, budget) for part in analysis.parts]


def _part(part: Part, budget: int) -> ShownPart:
    return ShownPart(
        words.clean(part.name), tables.kpis(part), max(len(part.panels) - tables.KPIS_SHOWN, 0),
        tables.details(part, budget), tables.coverage(part), tables.columns_of(part),
    )  # fmt: skip


# For programs and messages -----------------------------------------------------


def analysis_json(analysis: Analysis, *, title: str = "", causes: Causes | None = None) -> str:
    """Return an analysis as JSON: everything but the series themselves; NaN is null."""
    record: dict[str, Any] = {
        "format": "cellhive-analysis-1",
        "version": __version__,
        "title": _title(analysis, title),
        "summary": words.health(analysis),
        "notes": analysis.notes,
        "parts": [_part_record(part) for part in analysis.parts],
        "findings": [_finding_record(one) for one in analysis.findings],
        "incidents": [_incident_record(one) for one in analysis.search.incidents],
        "search": {
            "series_judged": analysis.search.series,
            "series_refused": analysis.search.refused,
            "series_unusual": analysis.search.unusual,
            "false_discovery_rate": analysis.search.rate,
            "cycles_removed": analysis.search.cycles,
        },
    }
    if causes is not None:
        record["causes"] = causes_record(causes)
    return json.dumps(to_jsonable(record), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _part_record(part: Part) -> dict[str, Any]:
    return {
        "name": part.name,
        "sources": part.sources,
        "object_class": part.object_class,
        "objects": len(part.objects),
        "rows": part.rows,
        "start": part.start.isoformat() if part.start else None,
        "end": part.end.isoformat() if part.end else None,
        "period_s": part.period_s,
        "time_zone": part.time_zone,
        "columns": part.columns,
        "coverage": [
            {"object": c.object, "periods": c.periods, "expected": c.expected}
            for c in part.coverage
        ],
        "kpis": part.summaries,
    }


def _finding_record(one: Finding) -> dict[str, Any]:
    """Return a finding with its times as text."""
    times = {
        name: moment.isoformat() if moment else None
        for name, moment in (("start", one.start), ("end", one.end))
    }
    return {**asdict(one), **times}


def _incident_record(one: Incident) -> dict[str, Any]:
    record: dict[str, Any] = to_jsonable(one)
    record["start"], record["end"] = words.clock(one.start_s), words.clock(one.end_s)
    record["headline"] = words.headline(one)
    for member, anomaly in zip(record["members"], one.members, strict=True):
        member["size"] = anomaly.size if anomaly.size == anomaly.size else None  # NaN
    return record


def analysis_markdown(analysis: Analysis, *, title: str = "", causes: Causes | None = None) -> str:
    """Return an analysis as Markdown: summary, top incidents and data quality."""
    lines = [f"# {_escaped(_title(analysis, title))}", ""]
    lines += [_escaped(sentence) for sentence in words.health(analysis)]
    lines += ["", "## What was read", ""]
    lines += [f"- {_escaped(words.part_line(part))}" for part in analysis.parts]
    if analysis.search.incidents:
        lines += ["", "## Incidents", "", "| # | When | What | Size | Effect | Confidence |",
                  "|---|---|---|---|---|---|"]  # fmt: skip
    for one in analysis.search.incidents[:MARKDOWN_INCIDENTS]:
        lead = one.lead
        size = f"{words.change(lead)}; {words.from_to(lead)} at {words.at_lead(one)}"
        cells = (str(one.rank), words.stretch(one), words.headline(one), size,
                 one.effect or "unknown", one.confidence)  # fmt: skip
        lines.append("| " + " | ".join(_escaped(cell) for cell in cells) + " |")
    if causes is not None:
        lines += causes_markdown(causes)
    lines += ["", "## Data quality", "", "| Severity | Finding | Times | Found | Done |",
              "|---|---|---|---|---|"]  # fmt: skip
    for group in words.grouped(analysis.findings):
        place = words.place_of(group)
        found = f"{words.clean(group.first.found)} ({place})" if place else group.first.found
        texts = (group.severity.value, group.name, group.amount, found,
                 words.clean(group.first.action))  # fmt: skip
        lines.append("| " + " | ".join(_escaped(cell) for cell in texts) + " |")
    lines += ["", "## How this was made", ""]
    lines += [f"- {_escaped(note)}" for note in analysis.notes]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """Return text that Markdown shows as it is: no markup, no HTML, no new table cell."""
    text = words.clean(text)
    for character in "\\`*_[]|#":
        text = text.replace(character, f"\\{character}")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
