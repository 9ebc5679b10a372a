"""The report of an analysis: what is wrong, what happened, why, where, and is the data sound.

One self-contained HTML page; the same as JSON for programs and as Markdown for messages is
in ``forms``. Sections of others are handed in and take their place among the report's own.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from markupsafe import Markup

from cellhive.core.measurements import Severity
from cellhive.diagnose.audit.configuration import Configuration
from cellhive.diagnose.incidents import Incident
from cellhive.flows.analyse import Analysis, Part
from cellhive.flows.causes.why import Causes
from cellhive.reports.analysis import tables, words
from cellhive.reports.analysis.clock import Clock, clock_of
from cellhive.reports.analysis.drawn.cells import drilled, json_in_html
from cellhive.reports.analysis.drawn.figures import Figures
from cellhive.reports.analysis.drawn.places import map_of
from cellhive.reports.analysis.forms import analysis_json, analysis_markdown, title_of
from cellhive.reports.analysis.sections import PLACES, Section
from cellhive.reports.analysis.summary import (
    Users,
    is_judged,
    nothing_found,
    points,
    rows_there,
    users_words,
)
from cellhive.reports.causal.section import section_of
from cellhive.reports.numbers import format_number
from cellhive.reports.page import Table, render, resource, write_atomic, writer_for

__all__ = ["analysis_json", "analysis_markdown", "render_analysis", "write_analysis"]

OPEN_INCIDENTS = 12
"""Incidents that are shown at once, with a large plot; the others are folded away."""
PARTS_SHOWN = 12
_ALIKE_SHOWN = 4


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
    anchor: str
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
    users: str
    kpis: str
    objects: str
    many: bool
    alike: tuple[tuple[str, str], ...]
    """Earlier incidents of the same KPI at one of the same objects: anchor and words."""
    chart: Markup


@dataclass(frozen=True, slots=True)
class ShownPart:
    """The tables of one part."""

    name: str
    count: str
    kpis: Table
    hidden: int
    details: list[tables.KpiDetails]
    coverage: Table
    counters: Table
    columns: Table


def write_analysis(
    analysis: Analysis,
    path: Path,
    *,
    title: str = "",
    causes: Causes | None = None,
    sections: Sequence[Section] = (),
    configuration: Configuration | None = None,
) -> None:
    """Write the report of an analysis; the file appears whole or not at all.

    Args:
        analysis: What to report.
        path: Where to; ".html", ".json" or ".md" says in which form.
        title: Heading; by default made from the names of the inputs.
        causes: What a causal model says of it; None leaves that out.
        sections: What others add, such as the audit of the configuration.
        configuration: Sites and cells that were read along with it, for the map.

    Raises:
        BadInput: The ending says none of the forms.
    """
    page = partial(render_analysis, configuration=configuration)
    writer = writer_for(path, page, analysis_json, analysis_markdown)
    write_atomic(path, writer(analysis, title=title, causes=causes, sections=sections))


def render_analysis(
    analysis: Analysis,
    *,
    title: str = "",
    causes: Causes | None = None,
    sections: Sequence[Section] = (),
    configuration: Configuration | None = None,
) -> str:
    """Return the report of an analysis as a self-contained HTML page."""
    clock, users = clock_of(analysis), Users(analysis)
    figures = Figures(analysis, clock)
    every = analysis.search.incidents
    shown = [
        _shown(one, analysis, figures, users, small=i >= OPEN_INCIDENTS)
        for i, one in enumerate(every[: tables.PLOTS])
    ]
    cells = drilled(analysis, clock)
    sites = map_of(analysis, cells.names, configuration)
    return render(
        "analysis.html",
        analysis_css=resource("analysis.css"),
        analysis_js=resource("analysis.js"),
        title=title_of(analysis, title, sections),
        subtitle=_subtitle(analysis, clock, configuration),
        summary=points(analysis, causes, sections, clock),
        cards=_cards(analysis),
        read=_read(analysis, clock),
        unjudged="" if is_judged(analysis) else nothing_found(analysis),
        top=shown[:OPEN_INCIDENTS],
        folded=shown[OPEN_INCIDENTS:],
        incidents=tables.incidents(analysis.search, clock, users),
        hidden=max(len(every) - tables.INCIDENTS_SHOWN, 0),
        zone=clock.said if any(part.start for part in analysis.parts) else "",
        noun=words.noun_of(analysis) or "object",
        users_kpi=words.listed(users.kpis, 2),
        cells=cells,
        sites=sites,
        sites_data=json_in_html(
            {"cells": sites.cells, "palettes": sites.palettes} if sites else {}
        ),
        findings=tables.findings(analysis.findings),
        parts=_parts(analysis, clock),
        advised=any(one.name == "advice" for one in sections),
        notes=analysis.notes,
        causes=section_of(causes) if causes is not None else None,
        added={place: [one for one in sections if one.after == place] for place in PLACES},
    )


def _read(analysis: Analysis, clock: Clock) -> list[str]:
    lines = [words.part_line(part, clock) for part in analysis.parts[:PARTS_SHOWN]]
    more = len(analysis.parts) - PARTS_SHOWN
    return [*lines, f"And {more} more, each with its KPIs below."] if more > 0 else lines


def _subtitle(analysis: Analysis, clock: Clock, configuration: Configuration | None) -> str:
    if not analysis.parts:
        return "" if configuration is None else words.counted(configuration.cells, "cell")
    starts = [part.start for part in analysis.parts if part.start]
    ends = [part.end for part in analysis.parts if part.end]
    objects = len({name for part in analysis.parts for name in part.objects})
    counted = words.counted(objects, words.noun_of(analysis) or "object")
    if not starts or not ends:
        return counted
    first, last = (
        clock.written(moment.timestamp(), days=True) for moment in (min(starts), max(ends))
    )
    return f"{counted}, {first}" if first == last else f"{counted}, {first} to {last}"


def _cards(analysis: Analysis) -> list[Card]:
    effects = Counter(one.effect for one in analysis.search.incidents)
    severities = Counter(one.severity for one in analysis.findings)
    objects = {name for part in analysis.parts for name in part.objects}
    kpis = {panel.kpi for part in analysis.parts for panel in part.panels}
    there, expected = rows_there(analysis)
    rows = sum(part.rows for part in analysis.parts)
    troubled = {
        name for one in analysis.search.incidents if one.effect == "worse" for name in one.objects
    }
    judged = is_judged(analysis)  # else a count of 0 would say that all is well
    cards = [
        Card(
            "Incidents for the worse", str(effects["worse"]) if judged else "not judged",
            (("some better, some worse", str(effects["mixed"])),
             ("for the better", str(effects["better"])),
             ("direction unknown", str(effects[""]))) if judged else (),
            "worse" if effects["worse"] else ("better" if judged else ""),
        ),
        Card(
            words.title(f"{words.noun_of(analysis) or 'object'}s"), format_number(len(objects), 12),
            (*([("got worse", str(len(troubled)))] if judged else []),
             ("KPIs", format_number(len(kpis), 12)), ("rows", format_number(rows, 12))),
        ),
        Card(
            "Warnings about the data", str(severities[Severity.WARNING]),
            (("not read, or in part", str(severities[Severity.ERROR])),
             ("worth knowing", str(severities[Severity.INFO]))),
            "worse" if severities[Severity.ERROR] else "",
        ),
    ]  # fmt: skip
    if not analysis.parts:
        return cards[-1:]
    if expected:
        share = format_number(100 * there / expected)
        facts = (
            ("rows there", format_number(there, 12)), ("expected", format_number(expected, 12)),
        )  # fmt: skip
        cards.append(Card("Rows that are there", f"{share}\u00a0%", facts))
    return cards


def _shown(
    one: Incident, analysis: Analysis, figures: Figures, users: Users, *, small: bool
) -> Shown:
    lead, clock = one.lead, figures.clock
    tone = {"worse": "worse", "better": "better", "mixed": "warn"}.get(one.effect, "")
    count = users.of(one)
    return Shown(
        one.rank, words.anchor(one), words.headline(one, words.noun_of(analysis)),
        words.stretch(one, clock), words.lasting(one), words.KINDS.get(one.kind, one.kind),
        words.change(lead), words.sigmas(lead), words.from_to(lead), words.at_lead(one, clock),
        one.effect, tone, one.confidence, users_words(count) if math.isfinite(count) else "",
        words.listed(words.kpis_of(one), 8), words.listed(one.objects, 20), len(one.objects) > 1,
        _alike(one, analysis, clock), figures.incident(one, small=small),
    )  # fmt: skip


def _alike(one: Incident, analysis: Analysis, clock: Clock) -> tuple[tuple[str, str], ...]:
    """Return what happened before to the same KPI, the same way, at one of the same objects."""
    objects = set(one.objects)
    before = [
        other for other in analysis.search.incidents
        if other.end_s <= one.start_s and other.lead.kpi == one.lead.kpi
        and other.effect == one.effect and objects.intersection(other.objects)
    ]  # fmt: skip
    before.sort(key=lambda other: -other.start_s)
    return tuple(
        (words.anchor(other), f"{other.rank}, {words.stretch(other, clock)}")
        for other in before[:_ALIKE_SHOWN]
    )


def _parts(analysis: Analysis, clock: Clock) -> list[ShownPart]:
    budget = tables.ROWS_SHOWN // max(len(analysis.parts), 1)
    return [_part(part, budget, clock) for part in analysis.parts]


def _part(part: Part, budget: int, clock: Clock) -> ShownPart:
    return ShownPart(
        words.clean(part.name), words.counted(len(part.panels), "KPI"), tables.kpis(part),
        max(len(part.panels) - tables.KPIS_SHOWN, 0),
        tables.details(part, budget), tables.coverage(part, clock), tables.counters(part),
        tables.columns_of(part),
    )  # fmt: skip
