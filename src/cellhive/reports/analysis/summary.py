"""The executive summary: what is wrong, who is affected, since when, why, and what to do."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cellhive.core.measurements import Severity
from cellhive.diagnose.cycles import DAY_S, Panel
from cellhive.diagnose.incidents import ALL_KPIS, Incident
from cellhive.flows.analyse import Analysis
from cellhive.flows.causes.why import Causes
from cellhive.reports.analysis import words
from cellhive.reports.analysis.clock import Clock, clock_of
from cellhive.reports.analysis.sections import Section
from cellhive.reports.causal import words as causal_words
from cellhive.reports.numbers import format_number

_USERS = ("RRC.ConnMean", "RRC.ConnMax")
"""Quantities that say how many users an object serves, the better one first."""
_NAMED = 3
WHAT_TO_DO = "What to do"
"""Question of the line that says what to do, whoever says it."""


@dataclass(frozen=True, slots=True)
class Point:
    """One line of the executive summary."""

    question: str
    answer: str
    anchor: str = ""
    """Where in the report its figures come from."""
    tone: str = ""


class Users:
    """How many users the objects of an analysis serve."""

    def __init__(self, analysis: Analysis) -> None:
        """Look for the KPI that says it."""
        found: list[tuple[int, Panel]] = []
        for part in analysis.parts:
            for panel in part.panels:
                info = part.columns.get(panel.kpi)
                if info is not None and info.quantity in _USERS:
                    found.append((_USERS.index(info.quantity), panel))
        found.sort(key=lambda one: one[0])
        self.kpis = tuple(dict.fromkeys(panel.kpi for _, panel in found))
        self._rows: dict[str, tuple[Panel, int]] = {}
        self._means: dict[str, float] = {}
        for _, panel in found:
            for row, name in enumerate(panel.objects):
                self._rows.setdefault(name, (panel, row))

    def of(self, incident: Incident) -> float:
        """Return the users that the objects of an incident usually serve; NaN if unknown.

        The usual number, not that of the incident: a cell that is down serves nobody.
        """
        counts = [self.at(name) for name in incident.objects]
        known = [count for count in counts if math.isfinite(count)]
        return sum(known) if known else math.nan

    def at(self, name: str) -> float:
        """Return the mean number of users of an object over the whole time; NaN if unknown."""
        if name not in self._means:
            panel, row = self._rows.get(name, (None, 0))
            values = panel.values[row] if panel is not None else np.zeros(0)
            known = values[np.isfinite(values)]
            self._means[name] = float(known.mean()) if known.size else math.nan
        return self._means[name]


def users_words(count: float) -> str:
    """Return a number of users in words."""
    return f"about {format_number(count, 2)} users" if count >= 1 else "less than one user"


def points(
    analysis: Analysis, causes: Causes | None, sections: Sequence[Section], clock: Clock
) -> list[Point]:
    """Return the executive summary, at most seven lines.

    Args:
        analysis: The analysis.
        causes: What a causal model says of it, or None.
        sections: What others add; a summary of theirs replaces the line of the same name, but
            what to do about an incident stays.
        clock: Of the reader.
    """
    out = _incident_points(analysis, causes, clock)
    if not analysis.parts and any(one.summary[0] for one in sections):
        out = []  # no measurements were given; what was given speaks
    out.append(_data_point(analysis))
    added = {one.summary[0]: one for one in sections if one.summary[0]}
    out = [_answered(one, added.pop(one.question, None)) for one in out]
    last = out.pop()
    more = [Point(q, s.summary[1], s.name, s.tone) for q, s in added.items()]
    more.sort(key=lambda one: one.question == WHAT_TO_DO)  # what was found comes before what to do
    return [*out, *more, last]


def _answered(one: Point, section: Section | None) -> Point:
    """Return a line with what a section says to its question."""
    if section is None:
        return one
    said = section.summary[1]
    if one.question == WHAT_TO_DO and one.anchor.startswith(
        "i-"
    ):  # of that incident; both are asked
        said = f"{one.answer} Besides: {said}"
    return Point(one.question, said, section.name)


def summary_lines(
    analysis: Analysis, causes: Causes | None = None, sections: Sequence[Section] = ()
) -> list[str]:
    """Return the executive summary as lines of text."""
    every = points(analysis, causes, sections, clock_of(analysis))
    return [*tally(analysis), *(f"{one.question}: {one.answer}" for one in every)]


def tally(analysis: Analysis) -> list[str]:
    """Return how many incidents were found and which way they went; empty where there are none."""
    effects = Counter(one.effect for one in analysis.search.incidents)
    kinds = [
        f"{effects[key]} {word}"
        for key, word in (("worse", "for the worse"), ("mixed", "mixed"),
                          ("better", "for the better"), ("", "of no known direction"))
        if effects[key]
    ]  # fmt: skip
    count = words.counted(len(analysis.search.incidents), "incident")
    return [f"{count} found: {', '.join(kinds)}."] if kinds else []


def _incident_points(analysis: Analysis, causes: Causes | None, clock: Clock) -> list[Point]:
    every = analysis.search.incidents
    harmful = [one for one in every if one.effect in {"worse", "mixed"}]
    if not harmful:
        place = "incidents" if analysis.parts else "quality"
        return [Point("What is wrong", nothing_found(analysis), place)]
    noun = words.noun_of(analysis)
    ongoing = [one for one in harmful if one.open_end]
    worst, first = harmful[0], (ongoing or harmful)[0]
    out = [_wrong_now(ongoing, noun, clock, _end(analysis, clock))]
    if worst is not first or not ongoing:
        out.append(_point("Worst in the data", worst, noun, clock))
    out.append(_affected(analysis, first, ongoing))
    out.append(_why(first, causes))
    out.append(_todo(first, causes, clock))
    return out


def _wrong_now(ongoing: Sequence[Incident], noun: str, clock: Clock, end: str) -> Point:
    if not ongoing:
        text = f"Nothing that still goes on at the end of the data ({end}); what happened is below."
        return Point("Wrong now", text, "incidents", "better")
    count = words.counted(len(ongoing), "change")
    verb = "has" if len(ongoing) == 1 else "have"
    head = f"{count} for the worse {verb} not gone back by the end of the data ({end}). "
    one = _point("Wrong now", ongoing[0], noun, clock)
    lead = "It is: " if len(ongoing) == 1 else "The most severe: "
    return Point("Wrong now", head + lead + one.answer, one.anchor, "worse")


def _point(question: str, one: Incident, noun: str, clock: Clock) -> Point:
    text = f"{words.headline(one, noun)}, {words.stretch(one, clock)}"
    if one.lead.kpi != ALL_KPIS:
        text += f"; {words.from_to(one.lead)}{words.beside_headline(one, clock)}"
    return Point(question, f"{text}.", words.anchor(one), "worse")


def _end(analysis: Analysis, clock: Clock) -> str:
    ends = [part.end for part in analysis.parts if part.end is not None]
    days = all((part.period_s or 0.0) >= DAY_S for part in analysis.parts)
    return clock.written(max(ends).timestamp(), days=days) if ends else "time unknown"


def is_judged(analysis: Analysis) -> bool:
    """Return whether any series was compared with what is usual for it."""
    return analysis.search.series > 0 or bool(analysis.search.incidents)


def nothing_found(analysis: Analysis) -> str:
    """Return why there is no incident for the worse, in one sentence."""
    if not analysis.parts:
        return "No measurements were read."
    search = analysis.search
    if not is_judged(analysis):
        return f"No incidents were looked for: {_why_not_judged(analysis)}."
    if not search.incidents:
        return "No incident was found: every series stayed within its usual behaviour."
    return "No change for the worse was found. See below what else changed."


def _why_not_judged(analysis: Analysis) -> str:
    """Return why no series could be compared with what is usual for it."""
    if all(part.start is None for part in analysis.parts):
        return "the input states no times"
    series = any(panel.step_s > 0 for part in analysis.parts for panel in part.panels)
    if not series and any(words.recorded(part) for part in analysis.parts):
        return (
            "the times are those of single recordings or events, not of a series that goes on, "
            "so there is no usual course to compare with"
        )
    return "no series is long enough to say what is usual"


def _affected(analysis: Analysis, first: Incident, ongoing: Sequence[Incident]) -> Point:
    users = Users(analysis)
    names = {name for one in (ongoing or (first,)) for name in one.objects}
    every = {name for part in analysis.parts for name in part.objects}
    which = "what goes on now" if ongoing else "the worst incident"
    noun = words.noun_of(analysis) or "object"
    where = f"{words.counted(len(names), noun)} of {len(every)} in {which}"
    if not users.kpis:
        text = (
            f"{where}. How many users that is, no KPI says that is known to count them; a mapping "
            "file can name one."
        )
        return Point("Who is affected", text, words.anchor(first))
    counts = [users.at(name) for name in names]
    total = float(np.nansum(counts)) if np.isfinite(counts).any() else math.nan
    if not math.isfinite(total):
        text = f"{where}. How many users these serve, the data do not say."
        return Point("Who is affected", text, words.anchor(first))
    kpi = words.clean(users.kpis[0])
    verb = "serves" if len(names) == 1 else "serve"
    text = f"{where}, which {verb} {users_words(total)} at a time on average ({kpi})."
    return Point("Who is affected", text, words.anchor(first))


def _why(first: Incident, causes: Causes | None) -> Point:
    explained = causes.explained if causes is not None else ()
    mine = next((one for one in explained if one.incident.rank == first.rank), None)
    hint = causal_words.doubt(causes.checks) if causes is not None else ""
    if mine is not None and mine.causes:
        best = mine.causes[0]
        name = causal_words.shown(best.name)
        text = (
            f"The largest part that the other KPIs explain came with {name}, which went from "
            f"{words.value(best.before, best.unit)} to {words.value(best.after, best.unit)}. {hint}"
        ).rstrip()
        return Point("Why", text, f"why-{first.rank}")
    if mine is not None:
        text = (
            "No measured KPI accounts for it: the cause lies outside the data, such as a fault, "
            "an alarm or a change of settings."
        )
        return Point("Why", text, f"why-{first.rank}")
    text = "The data do not say why this one happened"
    if explained:
        others = words.listed([str(one.incident.rank) for one in explained], 8)
        return Point("Why", f"{text}; they say something of incidents {others}.", "why")
    return Point("Why", f"{text}.", words.anchor(first))


def _todo(first: Incident, causes: Causes | None, clock: Clock) -> Point:
    proposals = causes.proposals.proposals if causes is not None and causes.proposals else ()
    if proposals:
        return Point(WHAT_TO_DO, causal_words.proposal_line(proposals[0]), "what-if")
    start = words.stretch(first, clock).removeprefix("since ").split(" to ")[0]
    where = words.listed(first.objects, _NAMED)
    if first.lead.kpi == ALL_KPIS:
        text = f"See whether {where} is on air and reports: alarms, transport, counter jobs."
    elif len(first.objects) > 1:
        text = (
            f"Look for what these have in common at {start}: alarms, changes of settings, "
            f"transport and core. Begin at {where}."
        )
    else:
        text = f"Check alarms and changes of settings at {where} around {start}."
    return Point(WHAT_TO_DO, text, words.anchor(first))


def rows_there(analysis: Analysis) -> tuple[int, int]:
    """Return how many rows are there and how many should be; 0, 0 where most have no times."""
    every = [one for part in analysis.parts for one in part.coverage]
    there, expected = sum(one.periods for one in every), sum(one.expected for one in every)
    rows = sum(part.rows for part in analysis.parts)
    return (there, expected) if 2 * there >= rows else (0, 0)


def _data_point(analysis: Analysis) -> Point:
    severities = Counter(one.severity for one in analysis.findings)
    there, expected = rows_there(analysis)
    parts = []
    if expected:
        parts.append(
            f"{format_number(100 * there / expected)}\u00a0% of the expected rows are there"
        )
    lost = {one.file for one in analysis.findings if one.code == "unreadable-file"}
    cut = {one.file for one in analysis.findings if one.severity is Severity.ERROR} - lost
    if lost:
        parts.append(f"{words.counted(len(lost), 'input')} could not be read")
    if cut:
        parts.append(f"{words.counted(len(cut), 'input')} could be read only in part")
    warnings = severities[Severity.WARNING]
    each = "each with" if warnings > 1 else "with"
    there_is = " in what was read" if lost or cut else ""
    parts.append(
        f"{words.counted(warnings, 'warning')} about quality, {each} what was done about it"
        if warnings else f"nothing that would mislead was found{there_is}"
    )  # fmt: skip
    text = "; ".join(parts)
    tone = "worse" if severities[Severity.ERROR] else "warn" if warnings else "better"
    return Point("Can the data be trusted", f"{text[:1].upper()}{text[1:]}.", "quality", tone)
