"""How what a causal model says is put into words."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from cellhive.causal.queries.identification import Verdict as Reliance
from cellhive.causal.queries.planning import Outcome
from cellhive.causal.queries.validation import Check, Verdict
from cellhive.flows.causes.change import Proposal
from cellhive.flows.causes.model import CausalModel
from cellhive.flows.causes.observations import Observations
from cellhive.flows.causes.summary import Summary, TotalFound
from cellhive.flows.causes.why import Cause, Causes, Explained
from cellhive.reports.numbers import ABSENT, format_number, format_signed, label_of, with_unit

_SURE, _LIKELY = 0.95, 0.7
_MOST_SUSPECTED = 8
_MOST, _SOME = 0.5, 0.1
_NOTHING = 1e-4
RELIANCE = {
    Reliance.CLEAR: ("clear", "better"),
    Reliance.EXTRAPOLATED: ("beyond the data", "warn"),
    Reliance.UNDECIDED: ("undecided", "warn"),
    Reliance.HIDDEN: ("hidden cause likely", "warn"),
    Reliance.REFUSED: ("cannot be told", "worse"),
}
"""Word and tone of each verdict on an answer."""


def clean(text: str) -> str:
    """Return text with every kind of white space as one plain space."""
    return " ".join(text.split())


def shown(name: str) -> str:
    """Return what a variable is called for people."""
    return clean(label_of(name))


def amount(value: float, unit: str, digits: int = 3) -> str:
    """Return a change with sign and unit; of a share in points."""
    return with_unit(format_signed(value, digits), {"%": "pp", "dBm": "dB"}.get(unit, unit))


def interval(low: float, high: float) -> str:
    """Return both ends of an interval; an end that is nothing beside the other one is 0."""
    least = _NOTHING * max(abs(low), abs(high))
    ends = (0.0 if abs(end) < least else end for end in (low, high))
    return " to ".join(format_signed(end) for end in ends)


def counted(count: int, word: str) -> str:
    """Return a count with its noun."""
    return f"{format_number(count, 12)} {word}{'' if count == 1 else 's'}"


# ------------------------------------------------------------------ the model


def state(model: CausalModel, checks: Sequence[Check]) -> list[str]:
    """Return how far a model can be relied on, what failed first.

    Args:
        model: The model.
        checks: Of it; empty if none were made.
    """
    found = model.posterior.convergence
    said = []
    if not found.reached:
        said.append(
            "The search has NOT settled: the probability of an edge is uncertain by up to "
            f"±{found.error:.2f} from the search alone. Take probabilities between 0.1 and "
            "0.9 as open; make the model again with more graphs or fewer variables."
        )
    failed = [one for one in checks if not one.passed]
    if failed:
        said.append(doubt(checks))
    if found.reached:
        said.append(
            "The search has settled: no edge's probability is uncertain by more than "
            f"±{max(found.error, 0.01):.2f} from it."
        )
    if checks and not failed:
        said.append(f"The model passed all {counted(len(checks), 'check')}.")
    if not checks:
        said.append("No checks of the model were made for this report.")
    return said


def doubt(checks: Sequence[Check]) -> str:
    """Return how much the failed checks of a model take from what it says; "" where none did.

    Args:
        checks: Of a model.
    """
    failed = sum(not one.passed for one in checks)
    if not failed:
        return ""
    much = "Take what it says as hints only" if 2 * failed > len(checks) else "Some doubt is due"
    return f"{much}: the model fails {failed} of its {counted(len(checks), 'check')}."


def verdict_checks(checks: Verdict | Sequence[Check] | None) -> tuple[Check, ...]:
    """Return checks, those that failed first.

    Args:
        checks: As they come from ``causal.validation``, or None.
    """
    every = checks.checks if isinstance(checks, Verdict) else tuple(checks or ())
    return tuple(sorted(every, key=lambda one: one.passed))


def failures(checks: Sequence[Check]) -> list[str]:
    """Return what failed in words: of each kind of check the worst, and how many more.

    Args:
        checks: Of a model.
    """
    said = []
    for name in dict.fromkeys(one.name for one in checks if not one.passed):
        failed = [one for one in checks if one.name == name and not one.passed]
        worst = max(failed, key=lambda one: abs(one.value))
        alike = len([one for one in checks if one.name == name])
        also = f" ({len(failed)} of {alike} checks of this kind failed)" if len(failed) > 1 else ""
        said.append(f"{clean(worst.words)}{also}")
    return said


def data_facts(seen: Observations, model: CausalModel) -> list[tuple[str, str]]:
    """Return what a model was made from."""
    asked = model.asked
    rows = seen.values.shape[0] * seen.values.shape[1]
    whole = float(np.isfinite(seen.values).mean()) if seen.values.size else 0.0
    lags = f"this and the {counted(asked.lags, 'period')} before" if asked.lags else "this one only"
    facts = [
        ("Periods", format_number(seen.values.shape[0], 12)),
        ("Cells or other objects", format_number(len(seen.cells), 12)),
        ("Rows", format_number(rows, 12)),
        ("Variables", format_number(len(model.names), 12)),
        ("Values that are there", f"{100 * whole:.1f} %"),
        ("Periods that may hold causes", lags),
        ("Lasting differences between cells", "taken off" if asked.within_cells else "left in"),
    ]
    if seen.step_s:
        facts.insert(1, ("Length of a period", f"{seen.step_s / 60:g} min"))
    return facts


def told_lines(model: CausalModel) -> list[str]:
    """Return what a model was told beforehand, and what was assumed."""
    told = model.told
    lines = []
    if told.radio:
        lines.append(
            "Used what is known of radio networks: settings act on radio, radio on load, load on "
            "mobility, all on what users experience; not back within a period."
        )
    counts = ((told.forbidden, "forbidden"), (told.required, "required"),
              (told.encouraged, "encouraged"))  # fmt: skip
    lines += [f"{counted(len(edges), 'edge')} {word}." for edges, word in counts if edges]
    return [*lines, *(f"{note[:1].upper()}{note[1:]}." for note in model.notes)]


def headline(summary: Summary) -> str:
    """Return the strongest thing that a model says, in a sentence."""
    best = [one for one in summary.totals if one.answer.verdict is Reliance.CLEAR]
    if not best:
        return "No effect of one variable on another is clear in these data."
    one = max(best, key=lambda found: abs(found.strength))
    return f"The strongest clear effect: {total_words(one)}"


def hidden_lines(summary: Summary) -> list[str]:
    """Return what speaks for causes that were not measured, a sentence each."""
    suspected = [one for one in summary.hidden if one.suspected]
    said = [clean(str(one)) for one in suspected[:_MOST_SUSPECTED]]
    if len(suspected) > len(said):
        said.append(f"So it is with {counted(len(suspected) - len(said), 'more edge')}.")
    silent = [one for one in summary.hidden if not one.testable]
    if silent:
        said.append(
            f"Of {counted(len(summary.hidden), 'probable edge')} within a period, {len(silent)} "
            "cannot be told from a hidden common cause by such data: nothing measured acts on "
            "their cause alone."
        )
    return said


def total_words(one: TotalFound) -> str:
    """Return an effect in a sentence."""
    answer = one.answer
    low, high = answer.most
    return (
        f"{shown(answer.cause)} {amount(answer.change, one.cause_unit)} changes "
        f"{shown(answer.effect)} by {amount(answer.mean, one.effect_unit)} "
        f"(90 %: {interval(low, high)})."
    )


# ------------------------------------------------------------------ incidents


def why_head(one: Explained) -> str:
    """Return what an explanation is about: which change of what."""
    return (
        f"{shown(one.target)} at {clean(one.incident.lead.object)}: from {_value(one.before, one)} "
        f"to {_value(one.after, one)}"
    )


def _value(value: float, one: Explained) -> str:
    return with_unit(format_number(value, 4), one.unit)


def why_line(one: Explained) -> str:
    """Return where an incident's change came from, in a sentence or two."""
    verb = "rise" if one.difference > 0 else "drop"
    low, mean, high = one.itself
    size = f"{amount(mean, one.unit)} (90 %: {interval(low, high)})"
    own = (
        f"{size} is not explained by any measured KPI: look for a cause outside the data, such as "
        "a fault, an alarm or a change of settings."
    )
    if not one.causes:
        return f"No measured KPI accounts for the {verb}: {own}"
    first = one.causes[0]
    rest = ", ".join(f"{amount(c.mean, one.unit)} at {shown(c.name)}" for c in one.causes[1:])
    said = (
        f"Of the {verb} of {_size(one)}, {amount(first.mean, one.unit)} began at "
        f"{shown(first.name)}, which went {went(first)}"
    )
    said += f"; {rest}." if rest else "."
    share = mean / one.difference
    # parts may add up to more than the whole, where others went the other way
    if share >= _MOST and all(abs(mean) > abs(cause.mean) for cause in one.causes):
        return f"{said} Most of it, {own}"
    if share >= _SOME:
        return f"{said} Besides, {own}"
    if share <= -_SOME:
        return f"{said} Against this, {size} came from nothing that was measured."
    return said


def _size(one: Explained) -> str:
    return with_unit(format_number(abs(one.difference)), {"%": "pp"}.get(one.unit, one.unit))


def went(cause: Cause) -> str:
    """Return from where to where a cause went."""
    before, after = (
        with_unit(format_number(v, 4), cause.unit) for v in (cause.before, cause.after)
    )
    return f"from {before} to {after}"


def what_if_line(one: Explained) -> str:
    """Return what an incident would have been, had its first cause stayed as usual."""
    if not one.causes:
        return ""
    first = one.causes[0]
    middle, ends = one.after - first.mean, sorted((one.after - first.low, one.after - first.high))
    return (
        f"Had {shown(first.name)} stayed as usual, {shown(one.target)} would have been "
        f"{_value(middle, one)} (90 %: {format_number(ends[0], 4)} to {format_number(ends[1], 4)}) "
        f"instead of {_value(one.after, one)}."
    )


# ------------------------------------------------------------------ what to change


def proposal_line(one: Proposal) -> str:
    """Return what to change for one goal, in a sentence."""
    way = "raise" if one.better == "higher" else "lower"
    head = f"To {way} {shown(one.goal)}:"
    if not one.advice.options:
        return f"{head} {one.advice.why}."
    best = one.advice.options[0]
    low, mean, high = best.effects[one.goal]
    doubt = "" if best.better >= _SURE else " Try it on few cells first: it is not sure."
    return (
        f"{head} {label_of_change(best)} is expected to change it by {amount(mean, one.unit)} "
        f"(90 %: {interval(low, high)}); it helps with a probability of {best.better:.2f}.{doubt}"
    )


def label_of_change(outcome: Outcome) -> str:
    """Return the settings that change and by how much."""
    return ", ".join(f"{shown(n)} {format_signed(step)}" for n, step in outcome.changes.items())


def probability(value: float) -> str:
    """Return a probability with two decimals."""
    return f"{value:.2f}" if math.isfinite(value) else ABSENT


def pattern_word(share: float) -> str:
    """Return how sure a pattern is."""
    if share >= _SURE:
        return "is there"
    return "is likely" if share >= _LIKELY else "is in doubt"


def causes_lines(causes: Causes) -> list[str]:
    """Return what a causal model says of an analysis, a sentence each, for screens.

    Args:
        causes: Of the analysis.
    """
    if causes.problem:
        return [f"Causes: none, as {causes.problem}"]
    lines = [f"Why {why_head(one)}. {why_line(one)}" for one in causes.explained[:3]]
    if lines and doubt(causes.checks):
        lines.append(doubt(causes.checks))
    proposals = causes.proposals
    if proposals is not None:
        lines += [proposal_line(one) for one in proposals.proposals[:2]]
    return lines
