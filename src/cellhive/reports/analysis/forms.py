"""An analysis for programs (JSON) and for messages (Markdown): the same content as the page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from cellhive import __version__
from cellhive.core.measurements import Finding
from cellhive.core.types import to_jsonable
from cellhive.diagnose.incidents import Incident
from cellhive.diagnose.summary import Summary
from cellhive.flows.analyse import Analysis, Part
from cellhive.flows.causes.why import Causes
from cellhive.reports.analysis import words
from cellhive.reports.analysis.clock import Clock, clock_of
from cellhive.reports.analysis.findings import grouped, place_of, without_folders
from cellhive.reports.analysis.sections import PLACES, Section
from cellhive.reports.analysis.summary import Users, points, tally
from cellhive.reports.causal.section import causes_markdown, causes_record
from cellhive.reports.numbers import format_number

FORMAT = "cellhive-analysis-2"
"""Name of the JSON form with the version of its schema, which changes when a key is renamed,
removed or means something else; new keys may come without."""
MARKDOWN_INCIDENTS = 20
MARKDOWN_KPIS = 60
"""KPIs of one part in the Markdown form."""


def title_of(analysis: Analysis, title: str, sections: Sequence[Section] = ()) -> str:
    """Return the heading of a report: as asked for, or made from the names of the inputs.

    Args:
        analysis: The analysis.
        title: As asked for, or "".
        sections: Of others; that of the files names them where there are no measurements.
    """
    if title:
        return title
    files = next((one.record for one in sections if one.name == "files"), ())
    read = [str(one["file"]) for one in files if one["status"] == "read"]
    names = [words.clean(name.rsplit("/", 1)[-1]) for name in (analysis.sources or read)]
    return f"Network analysis: {words.listed(names, 2)}" if names else "Network analysis"


def analysis_json(
    analysis: Analysis,
    *,
    title: str = "",
    causes: Causes | None = None,
    sections: Sequence[Section] = (),
) -> str:
    """Return an analysis as JSON: everything but the series themselves; NaN is null."""
    clock, users = clock_of(analysis), Users(analysis)
    record: dict[str, Any] = {
        "format": FORMAT,
        "version": __version__,
        "title": title_of(analysis, title, sections),
        "times": {"zone": clock.name or None, "words": clock.said},
        "summary": [
            {"question": one.question, "answer": one.answer}
            for one in points(analysis, causes, sections, clock)
        ],
        "notes": analysis.notes,
        "parts": [_part_record(part) for part in analysis.parts],
        "findings": [_finding_record(one) for one in analysis.findings],
        "incidents": [_incident_record(one, clock, users) for one in analysis.search.incidents],
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
    record["sections"] = {one.name: one.record for one in sections}
    return json.dumps(to_jsonable(record), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _finding_record(one: Finding) -> dict[str, Any]:
    """Return a finding with its times as text."""
    times = {
        name: moment.isoformat() if moment else None
        for name, moment in (("start", one.start), ("end", one.end))
    }
    return {**asdict(one), **times}


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
        "counters": part.counters,
        "kpis": part.summaries,
    }


def _incident_record(one: Incident, clock: Clock, users: Users) -> dict[str, Any]:
    record: dict[str, Any] = to_jsonable(one)
    record["start"], record["end"] = (clock.written(end_s) for end_s in words.span_s(one))
    record["headline"] = words.headline(one)
    record["anchor"] = words.anchor(one)
    record.setdefault("users", to_jsonable(users.of(one)))
    for member, anomaly in zip(record["members"], one.members, strict=True):
        member["size"] = anomaly.size if anomaly.size == anomaly.size else None  # NaN
    return record


def analysis_markdown(
    analysis: Analysis,
    *,
    title: str = "",
    causes: Causes | None = None,
    sections: Sequence[Section] = (),
) -> str:
    """Return an analysis as Markdown: summary, top incidents and data quality."""
    clock = clock_of(analysis)
    advised = any(one.name == "advice" for one in sections)
    lines = [f"# {_escaped(title_of(analysis, title, sections))}", ""]
    lines += [text for one in tally(analysis) for text in (one, "")]
    lines += [
        f"- **{_escaped(one.question)}:** {_escaped(one.answer)}"
        for one in points(analysis, causes, sections, clock)
    ]
    if analysis.parts:
        lines += ["", "## What was read", ""]
        lines += [f"- {_escaped(words.part_line(part, clock))}" for part in analysis.parts]
    lines += _incidents(analysis, clock)
    lines += _added(sections, "incidents")
    if causes is not None and (analysis.search.incidents or causes.summary is not None):
        lines += causes_markdown(causes, advised=advised)
    for place in PLACES[1:-1]:
        lines += _added(sections, place)
    lines += _kpis(analysis)
    lines += ["", "## Data quality", ""]
    lines += ["| Severity | Finding | How many | Found | Done |", "|---|---|---|---|---|"
              ] if analysis.findings else ["Nothing to complain about."]  # fmt: skip
    for group in grouped(without_folders(analysis.findings)):
        place = place_of(group)
        found = f"{words.clean(group.first.found)} ({place})" if place else group.first.found
        lines.append(_row((group.severity.value, group.name, group.amount, found,
                           words.clean(group.first.action))))  # fmt: skip
    lines += _added(sections, "quality")
    lines += ["", "## How this was made", ""]
    lines += [f"- {_escaped(note)}" for note in analysis.notes]
    return "\n".join(lines) + "\n"


def _incidents(analysis: Analysis, clock: Clock) -> list[str]:
    every, noun = analysis.search.incidents, words.noun_of(analysis)
    if not every:
        return []
    lines = ["", "## Incidents", "", f"Times are {_escaped(clock.said)}.", "",
             "| # | When | What | Size | Effect | Confidence |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for one in every[:MARKDOWN_INCIDENTS]:
        where = words.beside_headline(one, clock)
        size = f"{words.change(one.lead)}; {words.from_to(one.lead)}{where}"
        what = words.headline(one, noun)
        lines.append(_row((str(one.rank), words.stretch(one, clock), what, size,
                           one.effect or "unknown", one.confidence)))  # fmt: skip
    if len(every) > MARKDOWN_INCIDENTS:
        lines += ["", f"The first {MARKDOWN_INCIDENTS} of {len(every)}; the JSON form has all."]
    return lines


def _added(sections: Sequence[Section], place: str) -> list[str]:
    lines: list[str] = []
    for one in sections:
        if one.after == place:
            lines += ["", f"## {_escaped(one.heading)}", "", *one.markdown]
    return lines


def _kpis(analysis: Analysis) -> list[str]:
    """Return a table of KPIs for each part, under the name of the part where there are several."""
    lines = ["", "## KPIs"] if analysis.parts else []
    for part in analysis.parts:
        if not part.summaries:
            continue
        if len(analysis.parts) > 1:
            lines += ["", f"### {_escaped(part.name)}"]
        lines += ["", "| KPI | Unit | Better | Median | 5 % | 95 % | Worst |",
                  "|---|---|---|---|---|---|---|"]  # fmt: skip
        lines += [_row(_kpi(one)) for one in part.summaries[:MARKDOWN_KPIS]]
        more = len(part.summaries) - MARKDOWN_KPIS
        lines += ["", f"{more} more are in the JSON form."] if more > 0 else []
    return lines


def _kpi(one: Summary) -> tuple[str, ...]:
    whole = one.network
    numbers = (format_number(value, 4) for value in (whole.median, whole.p5, whole.p95))
    return (one.kpi, one.unit, one.better, *numbers, words.listed(one.worst))


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_escaped(cell) for cell in cells) + " |"


def _escaped(text: str) -> str:
    """Return text that Markdown shows as it is: no markup, no HTML, no new table cell."""
    text = words.clean(text)
    for character in "\\`*_[]|#":
        text = text.replace(character, f"\\{character}")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
