"""Tables of what a causal model says."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cellhive.causal.incidents.patterns import Match
from cellhive.causal.queries.identification import Answer
from cellhive.causal.queries.validation import Check
from cellhive.flows.causes.change import Proposal
from cellhive.flows.causes.model import CausalModel
from cellhive.flows.causes.summary import EdgeFound, TotalFound
from cellhive.flows.causes.why import Explained
from cellhive.reports.causal import words
from cellhive.reports.numbers import ABSENT, format_number, format_signed
from cellhive.reports.page import Cell, Column, Row, Table

EDGES_SHOWN = 150
_SETTLED = 0.5


def edges(found: Sequence[EdgeFound]) -> Table:
    """Return the edges of a model, most probable first."""
    rows: list[Row] = [
        [
            words.clean(one.cause), words.clean(one.effect),
            Cell(str(one.lag) if one.lag else "same", float(one.lag)),
            Cell(words.probability(one.probability), one.probability,
                 "" if one.probability >= _SETTLED else "muted"),
            Cell(format_signed(one.mean), one.mean),
            Cell(words.interval(one.low, one.high), one.low), one.unit,
            Cell(format_signed(one.strength, 2), abs(one.strength)),
        ]
        for one in found[:EDGES_SHOWN]
    ]  # fmt: skip
    columns = [
        Column("Cause", wide=True), Column("Effect", wide=True),
        Column("Periods before", numeric=True),
        Column("Probability", numeric=True, title="Share of the drawn graphs that have the edge"),
        Column("Direct effect", numeric=True,
               title="Mean over all drawn models, of a unit more, all other causes held"),
        Column("90 % interval", numeric=True), Column("Unit"),
        Column("Strength", numeric=True, title="Standard deviations per standard deviation"),
    ]  # fmt: skip
    return Table(columns, rows, empty="No edge has a probability of at least 0.1.")


def totals(found: Sequence[TotalFound]) -> Table:
    """Return the strongest total effects of each outcome."""
    rows: list[Row] = []
    for one in found:
        answer = one.answer
        word, tone = words.RELIANCE[answer.verdict]
        rows.append(
            [
                words.clean(answer.effect), words.clean(answer.cause),
                Cell(words.amount(answer.change, one.cause_unit), answer.change),
                Cell(words.amount(answer.mean, one.effect_unit), abs(one.strength)),
                Cell(words.interval(*answer.most), answer.most[0]),
                Cell(word, tone=tone), _hidden(answer), Cell(_reasons(answer), tone="muted"),
            ]
        )  # fmt: skip
    columns = [
        Column("Outcome", wide=True), Column("Cause", wide=True),
        Column("If it changes by", numeric=True, title="One standard deviation of the cause"),
        Column("Outcome changes by", numeric=True, title="Along all ways; sorted by strength"),
        Column("90 % interval", numeric=True), Column("Can be told"),
        Column("Hidden cause", numeric=True,
               title="Share of what is left of both that a hidden common cause would have to "
                     "explain to undo the effect (robustness value)"),
        Column("Remarks", wide=True),
    ]  # fmt: skip
    return Table(columns, rows, empty="No variable acts on another noticeably.")


def _hidden(answer: Answer) -> Cell:
    known = answer.robustness
    if known is None:
        return Cell(ABSENT, math.nan)
    return Cell(f"{100 * known.value:.0f} %", known.value, title=str(known))


def _reasons(answer: Answer) -> str:
    """Return why a verdict is what it is; how strong a hidden cause must be has its column."""
    said = str(answer.robustness) if answer.robustness is not None else ""
    return " ".join(one for one in answer.reasons if one != said)


def checks(found: Sequence[Check]) -> Table:
    """Return checks of a model, those that failed first."""
    rows: list[Row] = [
        [
            Cell("passed" if one.passed else "FAILED", tone="better" if one.passed else "worse"),
            one.name, words.clean(one.about), words.clean(one.words),
            Cell(format_number(one.value), one.value), Cell(format_number(one.bound), one.bound),
        ]
        for one in found
    ]  # fmt: skip
    columns = [Column("Result"), Column("Check", keep=True), Column("Of", wide=True),
               Column("In words", wide=True), Column("Figure", numeric=True),
               Column("Bound", numeric=True)]  # fmt: skip
    return Table(columns, rows)


def left_out(model: CausalModel) -> Table:
    """Return the variables that a model does not have, and why."""
    rows: list[Row] = [[words.clean(one.name), words.clean(one.reason)] for one in model.unusable]
    rows += [[words.clean(name), words.clean(why)] for name, why in model.seen.left_out]
    return Table([Column("Left out", wide=True), Column("Why", wide=True)], rows)


def patterns(found: Sequence[Match]) -> Table:
    """Return known patterns of radio networks with what the data say of each."""
    rows: list[Row] = []
    for one in found:
        steps = len(one.steps)
        told = "; ".join(
            f"{words.shown(s.variables[0])} {'raises' if s.step.sign > 0 else 'lowers'} "
            f"{words.shown(s.variables[1])} ({words.probability(s.probability)})"
            for s in one.steps
        )
        rows.append(
            [
                Cell(one.pattern.name), Cell(words.pattern_word(one.probability)),
                Cell(words.probability(one.probability), one.probability),
                Cell(f"{steps} of {steps + len(one.unseen)}", float(steps)),
                told, Cell(one.pattern.meaning, tone="muted"),
            ]
        )  # fmt: skip
    columns = [
        Column("Pattern", keep=True), Column("Its path"),
        Column("Probability", numeric=True,
               title="Share of the drawn models that have all steps that can be seen"),
        Column("Steps seen", numeric=True, title="Steps of which the data hold both quantities"),
        Column("Steps", wide=True), Column("What it is", wide=True),
    ]  # fmt: skip
    return Table(columns, rows)


def causes_of(one: Explained) -> Table:
    """Return the parts of an incident's change."""
    rows: list[Row] = [
        [
            words.clean(cause.name),
            Cell(words.went(cause).removeprefix("from ")),
            Cell(words.amount(cause.mean, one.unit), abs(cause.mean)),
            Cell(words.interval(cause.low, cause.high), cause.low),
            Cell(words.probability(cause.probability), cause.probability),
        ]
        for cause in one.causes
    ]  # fmt: skip
    if not rows:
        return Table((), ())
    low, mean, high = one.itself
    rows.append(
        [Cell("nothing that was measured", tone="muted"), "",
         Cell(words.amount(mean, one.unit), abs(mean)),
         Cell(words.interval(low, high), low), ""]
    )  # fmt: skip
    columns = [
        Column("Began at", wide=True), Column("Went", keep=True),
        Column("Its part", numeric=True), Column("90 % interval", numeric=True),
        Column("Probability that it acts", numeric=True,
               title="Share of the drawn models in which it acts on the KPI at all"),
    ]  # fmt: skip
    return Table(columns, rows, filterable=False)


def options(one: Proposal) -> Table:
    """Return the changes worth making for a goal, and those that a harm rules out."""
    rows: list[Row] = []
    told = [(outcome, "advised", "better") for outcome in one.advice.options]
    told += [(outcome, "ruled out by a harm", "worse") for outcome in one.advice.refused]
    for outcome, word, tone in told:
        low, mean, high = outcome.effects[one.goal]
        risks = sorted(outcome.harm.items(), key=lambda item: -item[1])[:2]
        harm = ", ".join(f"{words.shown(n)} {words.probability(p)}" for n, p in risks if p > 0.0)
        rows.append(
            [
                words.label_of_change(outcome), Cell(word, tone=tone),
                Cell(words.amount(mean, one.unit), mean), Cell(words.interval(low, high), low),
                Cell(words.probability(outcome.better), outcome.better), harm or "none seen",
            ]
        )  # fmt: skip
    columns = [
        Column("Change", wide=True), Column(""), Column("Expected", numeric=True),
        Column("90 % interval", numeric=True), Column("Helps", numeric=True,
                                                      title="Probability that it helps at all"),
        Column("Probability of harm", wide=True,
               title="That another KPI gets worse by half its standard deviation"),
    ]  # fmt: skip
    return Table(columns, rows, filterable=False)
