"""Causes in the report of an analysis: why, what if, what to change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from cellhive.flows.causes.change import Proposal
from cellhive.flows.causes.why import Causes, Explained
from cellhive.reports.causal import tables, words
from cellhive.reports.causal.report import (
    escaped,
    markdown_totals,
    picture_of,
    summary_record,
    undrawn,
)
from cellhive.reports.page import Table

_PATTERNS_SHOWN = 8
_LIKELY = 0.7


@dataclass(frozen=True)
class ShownWhy:
    """One incident's causes as they are written."""

    rank: int
    head: str
    line: str
    what_if: str
    causes: Table


@dataclass(frozen=True)
class ShownProposal:
    """What to change for one goal as it is written."""

    line: str
    options: Table


@dataclass(frozen=True)
class Section:
    """All that a causal model says of an analysis, as it is written."""

    problem: str
    picture: Markup
    undrawn: str
    state: list[str]
    failed: list[str]
    why: list[ShownWhy]
    patterns: Table
    no_change: str
    proposals: list[ShownProposal]
    totals: Table
    edges: Table
    left_out: Table
    notes: list[str]


def section_of(causes: Causes) -> Section:
    """Return the section of a report on causes.

    Args:
        causes: Of the analysis.
    """
    summary = causes.summary
    nothing = Table((), ())
    if summary is None:
        return Section(
            _sentence(causes.problem), Markup(""), "", [], [], [], nothing, "", [], nothing,
            nothing, nothing, [],
        )  # fmt: skip
    proposals = causes.proposals
    checks = words.verdict_checks(causes.checks)
    likely = [one for one in summary.patterns if one.probability >= _LIKELY]
    return Section(
        "", picture_of(summary), undrawn(summary), words.state(summary.model, checks),
        words.failures(checks),
        [_why(one) for one in causes.explained], tables.patterns(likely[:_PATTERNS_SHOWN]),
        proposals.why if proposals is not None else "",
        [_proposal(one) for one in proposals.proposals] if proposals is not None else [],
        tables.totals(summary.totals), tables.edges(summary.edges),
        tables.left_out(summary.model), _notes(causes),
    )  # fmt: skip


def _why(one: Explained) -> ShownWhy:
    return ShownWhy(
        one.incident.rank, words.why_head(one), words.why_line(one), words.what_if_line(one),
        tables.causes_of(one),
    )  # fmt: skip


def _proposal(one: Proposal) -> ShownProposal:
    return ShownProposal(words.proposal_line(one), tables.options(one))


def _notes(causes: Causes) -> list[str]:
    assert causes.summary is not None  # noqa: S101  # asked for with a model only
    notes = [
        *words.hidden_lines(causes.summary), *causes.notes,
        *words.told_lines(causes.summary.model), *causes.summary.notes,
    ]  # fmt: skip
    if causes.guessed:
        taken = "; ".join(f"{words.clean(name)} as {what}" for name, what in causes.guessed.items())
        notes.append(f"By words in their names these were taken for: {taken}.")
    return notes


def _sentence(text: str) -> str:
    return f"No causal model was made: {text.rstrip('.')}."


def causes_record(causes: Causes) -> dict[str, Any]:
    """Return what a causal model says of an analysis as plain values.

    Args:
        causes: Of the analysis.
    """
    if causes.summary is None:
        return {"problem": causes.problem}
    proposals = causes.proposals
    return {
        "problem": "",
        "state": words.state(causes.summary.model, causes.checks),
        "notes": _notes(causes),
        "failed_checks": [one.words for one in causes.checks if not one.passed],
        "why": [
            {
                "incident": one.incident.rank, "kpi": one.target,
                "object": one.incident.lead.object, "before": one.before, "after": one.after,
                "causes": one.causes, "unexplained": one.itself, "words": words.why_line(one),
                "what_if": words.what_if_line(one),
            }
            for one in causes.explained
        ],
        "levers": proposals.levers if proposals is not None else (),
        "no_change": proposals.why if proposals is not None else "",
        "what_to_change": [
            {"goal": one.goal, "better": one.better, "words": words.proposal_line(one),
             "options": one.advice.options, "refused": one.advice.refused}
            for one in (proposals.proposals if proposals is not None else ())
        ],
        "model": summary_record(causes.summary),
    }  # fmt: skip


def causes_markdown(causes: Causes, *, advised: bool = False) -> list[str]:
    """Return what a causal model says of an analysis as lines of Markdown.

    Args:
        causes: Of the analysis.
        advised: Whether a section of its own says what to change, so that this one need not.
    """
    if causes.summary is None:
        return ["", "## Why", "", escaped(_sentence(causes.problem))]
    lines = ["", "## Why", ""]
    lines += [f"- {escaped(one)}" for one in words.state(causes.summary.model, causes.checks)]
    for one in causes.explained:
        said = f"{words.why_head(one)}. {words.why_line(one)}"
        lines.append(f"- Incident {one.incident.rank}: {escaped(said)}")
    proposals = causes.proposals
    answers = [words.what_if_line(one) for one in causes.explained]
    if proposals is not None:
        answers += [proposals.why, *(words.proposal_line(one) for one in proposals.proposals)]
    heading = "What if" if advised else "What if, and what to change"
    if any(answers):
        lines += ["", f"## {heading}", "", *(f"- {escaped(text)}" for text in answers if text)]
    lines += ["", "## What acts on what", "", *markdown_totals(causes.summary), ""]
    return [*lines, *(f"- {escaped(note)}" for note in _notes(causes))]
