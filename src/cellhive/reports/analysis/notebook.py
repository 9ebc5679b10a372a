"""Parts of the report that stand alone in a notebook's page: no script, no style of their own."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from cellhive.diagnose.incidents import Incident
from cellhive.flows.analyse import Analysis
from cellhive.flows.causes.why import Causes
from cellhive.reports.analysis import words
from cellhive.reports.analysis.clock import clock_of
from cellhive.reports.analysis.drawn.figures import Figures
from cellhive.reports.analysis.findings import grouped, place_of
from cellhive.reports.analysis.sections import Section
from cellhive.reports.analysis.summary import summary_lines
from cellhive.reports.causal.section import section_of

INCIDENTS = 10
PLOTS = 3
_ROW = Markup("<tr>{}</tr>")
_CELL = Markup('<td style="text-align:left">{}</td>')
_HEAD = Markup('<th scope="col" style="text-align:left">{}</th>')


def _table(heads: tuple[str, ...], rows: list[tuple[object, ...]]) -> Markup:
    head = _ROW.format(Markup("").join(_HEAD.format(one) for one in heads))
    body = Markup("").join(
        _ROW.format(Markup("").join(_CELL.format(one) for one in row)) for row in rows
    )
    return Markup("<table><thead>{}</thead><tbody>{}</tbody></table>").format(head, body)


def analysis_fragment(
    analysis: Analysis, causes: Causes | None, sections: Sequence[Section] = ()
) -> str:
    """Return the summary, the first incidents, why, and the data's quality as HTML."""
    every, clock = analysis.search.incidents, clock_of(analysis)
    noun = words.noun_of(analysis)
    parts = [Markup("<p>{}</p>").format(one) for one in summary_lines(analysis, causes, sections)]
    if every:
        rows: list[tuple[object, ...]] = [
            (one.rank, words.headline(one, noun), words.stretch(one, clock),
             words.from_to(one.lead), one.effect)
            for one in every[:INCIDENTS]
        ]  # fmt: skip
        heads = ("", "incident", "when", "what was there", "effect")
        parts.append(_table(heads, rows))
        figures = Figures(analysis, clock)
        parts += [figures.incident(one) for one in every[:PLOTS]]
    if len(every) > INCIDENTS:
        more = words.counted(len(every) - INCIDENTS, "more incident")
        parts.append(Markup("<p>{} in <code>.incidents</code></p>").format(more))
    if causes is not None:
        section = section_of(causes)
        parts += [Markup("<p>{} {}</p>").format(one.head, one.line) for one in section.why]
        if section.problem:
            parts.append(Markup("<p>{}</p>").format(section.problem))
    groups = grouped(analysis.findings)
    if groups:
        found: list[tuple[object, ...]] = [
            (one.severity.value, one.name, one.count, place_of(one)) for one in groups
        ]
        head = ("severity", "finding", "values", "where")
        parts += [
            Markup("<details><summary>{} about the data</summary>{}</details>").format(
                words.counted(len(groups), "kind of finding", "kinds of findings"),
                _table(head, found),
            )
        ]
    return str(Markup("<div>{}</div>").format(Markup("").join(parts)))


def incident_fragment(analysis: Analysis, incident: Incident, causes: Causes | None) -> str:
    """Return one incident with its plot, its members and its causes as HTML."""
    clock = clock_of(analysis)
    parts = [
        Markup("<p><strong>{}</strong><br>{}; {}</p>").format(
            words.headline(incident), words.stretch(incident, clock), words.from_to(incident.lead)
        ),
        Figures(analysis, clock).incident(incident),
    ]
    rows: list[tuple[object, ...]] = [
        (one.object, one.kpi, words.change(one), words.stretch(one, clock), one.effect)
        for one in incident.members[:INCIDENTS]
    ]
    parts.append(_table(("object", "KPI", "change", "when", "effect"), rows))
    section = None if causes is None else section_of(causes)
    for one in () if section is None else section.why:
        if one.rank == incident.rank:
            parts.append(Markup("<p>{} {}</p>").format(one.line, one.what_if))
    return str(Markup("<div>{}</div>").format(Markup("").join(parts)))
