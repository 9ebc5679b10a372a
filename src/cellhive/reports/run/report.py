"""The report of a run: what was seen, what was done and why, and what it truly brought."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cellhive.core.types import KpiFrame, Mode, Verdict
from cellhive.flows.decide import KEPT, ROLLBACK, ROLLED_BACK
from cellhive.flows.trial import RunRecord, Truth
from cellhive.reports.numbers import (
    direction,
    format_clock,
    format_duration,
    format_interval,
    format_number,
    format_quantity,
    label_of,
    quantity_of,
)
from cellhive.reports.page import render, write_atomic
from cellhive.reports.run import figures, tables
from cellhive.reports.run.beside import beside_sentence, candidate_beside
from cellhive.reports.run.decisions import Decision, decisions_of
from cellhive.reports.run.predictions import foretold
from cellhive.reports.run.summary import (
    BLOCKS,
    OBJECTIVE,
    Compared,
    Window,
    compare,
    effective_window,
    pooled_kpis,
)

CARDS = (
    "objective",
    "demand_satisfied_ratio",
    "ue_throughput_mbps",
    "ue_throughput_p5_mbps",
    "handover_failure_ratio",
    "ping_pong_ratio",
    "rlf_per_ue_min",
    "weak_coverage_ratio",
    "power_w",
    "energy_efficiency_bit_per_j",
)
"""KPIs that head the report."""

MOST_TOLD = 5
"""KPIs whose figures the summary tells; further ones are named."""

_START_S = 3600.0
"""The first hour is called the start."""

_MODE_WORDS: dict[str, str] = {
    Mode.SHADOW: "in shadow mode: it proposed and applied nothing",
    Mode.ASSIST: "in assist mode: nothing is applied without a person's approval",
    Mode.AUTONOMOUS: "in autonomous mode",
}


@dataclass(frozen=True, slots=True)
class Card:
    """One KPI at the head of the report."""

    name: str
    value: str
    tone: str
    word: str
    facts: tuple[tuple[str, str], ...]
    about: str


def write_run_report(record: RunRecord, path: Path, *, replay: str = "") -> None:
    """Write the report of a run as one HTML file; the file appears whole or not at all."""
    write_atomic(path, render_run(record, replay=replay))


def render_run(record: RunRecord, *, replay: str = "") -> str:
    """Return the report of a run as a self-contained HTML page.

    Args:
        record: The run; it may be interrupted, without "do nothing", or without any period.
        replay: Command that replays the run; shown where given.
    """
    window = effective_window(record)
    compared = compared_kpis(record, window)
    start = pooled_kpis(_first_hour(record))
    decisions = decisions_of(record)
    return render(
        "run.html",
        title=_title(record),
        subtitle=_subtitle(record),
        record=record,
        replay=replay,
        summary=summary_sentences(record, compared, decisions),
        wrong=wrong_decisions(decisions),
        wrong_text=wrong_text,
        cards=_cards(compared, pooled_kpis(window.run), start),
        window_text=_window_text(record, window),
        compared=bool(compared),
        kpis=tables.kpi_table(compared, start),
        charts=figures.series_charts(record),
        effects=figures.effects_chart(decisions),
        maps=figures.kpi_maps(record, window, figures.mapped_kpis(compared)),
        rasters=figures.raster_maps(record),
        decisions=tables.decision_table(decisions),
        foretold=foretold(record),
        beside=candidate_beside(record),
        totals=tables.totals_table(record),
        refusals=tables.refusal_table(record),
        held=tables.held_table(record),
        configuration=tables.configuration_table(record),
        cells=tables.cell_table(record, window),
        settings=tables.settings_table(
            {name: value for name, value in record.settings.items() if name != "recipe"}
        ),
        assumptions=_assumptions(record, window),
    )


def _mode(record: RunRecord) -> str:
    return str(record.settings.get("mode", ""))


def compared_kpis(record: RunRecord, window: Window) -> dict[str, Compared]:
    """Return the run beside "do nothing"; empty where they cannot differ or nothing is beside."""
    if not (record.applied and window.after and window.run and window.baseline):
        return {}
    return compare(window.run, window.baseline)


def wrong_decisions(decisions: Sequence[Decision]) -> list[Decision]:
    """Return the decisions that were wrong, the most harmful first."""

    def size(decision: Decision) -> float:
        effect = decision.true_effect
        return abs(effect.mean) if effect is not None else 0.0

    wrong = [decision for decision in decisions if decision.truth is Truth.WRONG]
    return sorted(wrong, key=size, reverse=True)


def _title(record: RunRecord) -> str:
    mode = _mode(record)
    place = record.network.name if _own_sites(record) else record.scenario
    return f"{mode.capitalize()} run on {place}" if mode else f"Run on {place}"


def _own_sites(record: RunRecord) -> bool:
    """Return whether the network was built from a site list and not by the scenario."""
    return bool(record.settings.get("own_sites"))


def _first_hour(record: RunRecord) -> tuple[KpiFrame, ...]:
    if not record.frames:
        return ()
    end_s = record.frames[0].time_s + _START_S
    return tuple(f for f in record.frames if f.time_s < end_s - 1e-6)


def _subtitle(record: RunRecord) -> str:
    parts = [
        f"traffic of {record.scenario}" if _own_sites(record) else record.network.name,
        f"{record.network.cells} cells",
        f"seed {record.seed}",
        f"run {record.run_id}",
        f"started {record.started}",
    ]
    return " · ".join(part for part in parts if part)


# The summary in sentences ------------------------------------------------------


def summary_sentences(
    record: RunRecord, compared: Mapping[str, Compared], decisions: Sequence[Decision]
) -> list[str]:
    """Return what an engineer would say about the run, one sentence or two per item."""
    sentences = [_what_ran(record) + _what_took_over(record), _what_was_done(record)]
    if compared:
        sentences += _what_it_brought(compared)
    elif record.baseline and not record.applied:
        sentences.append("The run and “do nothing” are therefore the same.")
    elif record.baseline and not effective_window(record).after:
        sentences.append(
            "The first plan was applied after the last period, so what it brings was not seen."
        )
    elif record.frames:
        sentences.append(
            "There is no “do nothing” beside this run, so what it brought cannot be told apart "
            "from what changed by itself."
        )
    if decisions:
        sentences.append(_how_right(decisions))
    beside = beside_sentence(record)
    return [*sentences, beside] if beside else sentences


def _what_took_over(record: RunRecord) -> str:
    """Return which versions of the policy took over, as further sentences."""
    return "".join(
        f" {one.after} was promoted meanwhile and decided from {format_clock(one.time_s)} on, in "
        f"place of {one.before}."
        for one in record.taken
    )


def _what_ran(record: RunRecord) -> str:
    if not record.frames:
        return "The run ended before its first period was complete; nothing was observed."
    first, last = record.frames[0], record.frames[-1]
    span_s = last.time_s + last.period_s - first.time_s
    mode = _MODE_WORDS.get(_mode(record), "")
    sites = len(set(record.network.site_ids))
    periods = f"{len(record.frames)} period{'s' * (len(record.frames) != 1)}"
    return (
        f"CellHive watched {record.network.cells} cells on {sites} sites for "
        f"{format_duration(span_s)} ({format_clock(first.time_s)} to "
        f"{format_clock(last.time_s + last.period_s)}, {periods}) {mode}"
    ).strip() + "."


def _what_was_done(record: RunRecord) -> str:
    proposed = [v for v in record.verdicts if v.plan.function != ROLLBACK]
    if not proposed:
        return "No plan was proposed, and nothing was changed."
    fates = Counter(outcome.verdict for outcome in record.outcomes)
    said = f"{_count(len(proposed), 'plan was', 'plans were')} proposed{_refused(proposed)}"
    if record.held:
        said += f"; {_count(len(record.held), 'was', 'were')} let through but held back"
    if not record.outcomes:
        return said + ". Nothing was applied."
    unconfirmed = len(record.outcomes) - fates[KEPT] - fates[ROLLED_BACK]
    said += (
        f"; {_count(len(record.outcomes), 'was', 'were')} applied, of which {fates[KEPT]} "
        f"kept and {fates[ROLLED_BACK]} rolled back"
    )
    if unconfirmed:
        said += f", and {unconfirmed} without a verdict when the run ended"
    return said + "."


def _refused(proposed: Sequence[Verdict]) -> str:
    """Return how many plans were refused, and how many changes of the others."""
    whole = sum(not verdict.accepted for verdict in proposed)
    rest = [verdict for verdict in proposed if verdict.accepted]
    changes = sum(len(verdict.plan.changes) for verdict in rest)
    partly = sum(len(verdict.refused) for verdict in rest)
    told = [f"{whole} of them entirely"] if whole else []
    if partly:
        told.append(
            f"{partly} of the {changes} changes in the others" if whole
            else f"{partly} of their {changes} changes"
        )  # fmt: skip
    return f"; the guard and the watch refused {' and '.join(told)}" if told else ""


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _what_it_brought(compared: Mapping[str, Compared]) -> list[str]:
    score = compared[OBJECTIVE]
    word = {"better": "better", "worse": "worse"}.get(score.tone, "not clearly different")
    before, after = (format_number(v, 4, keep=True) for v in (score.baseline, score.run))
    if not math.isfinite(score.low):
        return [
            "Against the same network with the same users and nothing done, the score went from "
            f"{before} to {after} ({_change(score)}); there were too few periods to tell this "
            "from chance."
        ]
    said = (
        f"Against the same network with the same users and nothing done, it was {word}: the "
        f"score went from {before} to {after} ({_change(score)}; in brackets the change and its "
        "95 % interval)."
    )
    known = [c for name, c in compared.items() if name != OBJECTIVE and direction(name, 1.0)]
    known.sort(key=_relative, reverse=True)
    clear = [c for c in known if c.tone]
    better = [c for c in clear if c.tone == "better" and not c.slight]
    worse = [c for c in clear if c.tone == "worse" and not c.slight]
    slight = [label_of(c.kpi) for c in clear if c.slight]
    sentences = [said]
    if better:
        sentences.append(f"Clearly better: {_told_together(better)}.")
    if worse:
        sentences.append(f"Clearly worse: {_told_together(worse)}.")
    if slight:
        sentences.append(f"Steady but slight changes: {', '.join(slight)}.")
    rest = len(known) - len(clear)
    if rest:
        sentences.append(
            f"In {rest} of {len(known)} KPIs the difference cannot be told from chance."
        )
    return sentences


def _relative(one: Compared) -> float:
    """Return the size of a change against the value; decibels against ten."""
    whole = 10.0 if one.kpi.endswith(("_db", "_dbm")) else abs(one.baseline)
    return abs(one.change) / whole if whole else 0.0


def _told_together(several: Sequence[Compared]) -> str:
    told = [_told(one) for one in several[:MOST_TOLD]]
    rest = [label_of(one.kpi) for one in several[MOST_TOLD:]]
    return "; ".join([*told, f"also {', '.join(rest)}"] if rest else told)


def _told(one: Compared) -> str:
    return (
        f"{label_of(one.kpi)} {format_quantity(one.kpi, one.baseline, 4, keep=True)} → "
        f"{format_quantity(one.kpi, one.run, 4, keep=True)} ({_change(one)})"
    )


def _change(one: Compared) -> str:
    change, interval = format_interval(one.kpi, one.change, one.low, one.high)
    return f"{change}; {interval}" if interval else change


def _how_right(decisions: Sequence[Decision]) -> str:
    truths = Counter(decision.truth for decision in decisions)
    known = len(decisions) - truths[Truth.UNKNOWN]
    if not any(decision.outcome.verdict in {KEPT, ROLLED_BACK} for decision in decisions):
        return "No plan had a verdict when the run ended, so none can be called right or wrong."
    if not known:
        return "What each plan did on its own is not known: there were no branches to compare with."
    said = (
        f"Measured against exact branches of the network without each plan, {truths[Truth.RIGHT]} "
        f"of {known} verdicts were right, {truths[Truth.WRONG]} wrong"
    )
    if truths[Truth.NO_EFFECT]:
        said += f", and {truths[Truth.NO_EFFECT]} plans had no effect at all"
    if truths[Truth.UNKNOWN]:
        said += f"; of {truths[Truth.UNKNOWN]} the truth is not known"
    return said + "."


def wrong_text(decision: Decision) -> str:
    """Return in a sentence what was wrong about a decision."""
    plan, effect = decision.plan, decision.true_effect
    change = effect.mean if effect is not None else math.nan
    word = "raised" if change > 0 else "lowered"
    return (
        f"{format_clock(plan.time_s)} {plan.plan_id}: {decision.outcome.verdict}, although it "
        f"{word} the network's score by {format_number(abs(change))} points while it was watched."
    )


# Cards and notes -----------------------------------------------------------------


def _cards(
    compared: Mapping[str, Compared], run: Mapping[str, float], start: Mapping[str, float]
) -> list[Card]:
    cards = []
    for name in CARDS:
        if not math.isfinite(run.get(name, math.nan)):
            continue
        facts = [("start", format_quantity(name, start.get(name), 4, keep=True))]
        tone = word = ""
        if name in compared:
            one = compared[name]
            tone = "" if one.slight else one.tone
            word = _word(one)
            facts.append(("do nothing", format_quantity(name, one.baseline, 4, keep=True)))
            change, interval = format_interval(name, one.change, one.low, one.high)
            facts.append(("change", change))
            if interval:
                facts.append(("95 %", interval))
        quantity = quantity_of(name)
        about = quantity.description if quantity else ""
        value = format_quantity(name, run[name], 4, keep=True)
        cards.append(Card(label_of(name), value, tone, word, tuple(facts), about))
    return cards


def _word(one: Compared) -> str:
    if not one.tone:
        return "no clear change"
    arrow = "▲" if one.tone == "better" else "▼"
    return f"{arrow} {'slightly ' if one.slight else ''}{one.tone}"


def _window_text(record: RunRecord, window: Window) -> str:
    if not window.run:
        return ""
    start, last = window.run[0], window.run[-1]
    span = f"{format_clock(start.time_s)} to {format_clock(last.time_s + last.period_s)}"
    if record.applied and not window.after:
        return f"{span}: the last period; the first plan was applied after it"
    periods = _count(len(window.run), "period", "periods")
    if record.applied:
        return f"{span}: the {periods} since the first plan was applied"
    return f"{span}: {periods}, the whole run; nothing was applied"


def _assumptions(record: RunRecord, window: Window) -> list[str]:
    told = []
    if record.baseline:
        told.append(
            "KPIs are recomputed from counters summed over the periods; they are not averages of "
            "ratios."
        )
        blocks = min(BLOCKS, len(window.run) // 2)
        told.append(
            f"Intervals are 95 % jackknife intervals over {blocks} blocks of neighbouring periods "
            "of this one run. They say how steady the difference was, not how it would be with "
            "other users or another seed."
        )
    if any(outcome.true_effect for outcome in record.outcomes):
        told.append(
            "The true effect of a plan is the run less a branch that gets every other plan at the "
            "same moments and lacks only this one, over the periods in which the plan was watched. "
            "A verdict is called right where a kept plan raised the score of the whole network, or "
            "one rolled back lowered it, by however little; the range says how steady that was."
        )
    return told
