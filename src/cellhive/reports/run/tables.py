"""The tables of a run report."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup, escape

from cellhive.core.schema import PARAMETERS, Per
from cellhive.core.types import Floats, Plan
from cellhive.flows.decide import KEPT, ROLLED_BACK
from cellhive.flows.trial import RunRecord, Truth
from cellhive.reports.numbers import (
    ABSENT,
    direction,
    format_change,
    format_clock,
    format_interval,
    format_number,
    format_quantity,
    format_signed,
    label_of,
)
from cellhive.reports.page import Cell, Column, Row, Table
from cellhive.reports.run.decisions import (
    Decision,
    change_text,
    effect_text,
    measured_texts,
    refusals_of,
    totals_of,
    value_text,
)
from cellhive.reports.run.predictions import foretold_texts
from cellhive.reports.run.summary import Compared, Window, cell_kpis

CELL_KPIS = (
    "ue_throughput_mbps",
    "demand_satisfied_ratio",
    "prb_utilisation_ratio",
    "handover_failure_ratio",
    "ping_pong_ratio",
    "rlf_per_ue_min",
    "weak_coverage_ratio",
    "power_w",
)
"""KPIs of the table of cells."""

MOST_CHANGES = 2
"""Changes of one plan that a row shows; the others unfold."""

_VERDICT_TONES = {KEPT: "better", ROLLED_BACK: "warn"}
_TRUTH_TONES = {Truth.RIGHT: "better", Truth.WRONG: "worse"}
_TRUTH_WORDS = {
    Truth.RIGHT: "✔ right",
    Truth.WRONG: "✘ wrong",
    Truth.NO_EFFECT: "no effect",
    Truth.UNKNOWN: "not known",
}


def chip(text: str, tone: str = "") -> Markup:
    """Return a short word on a coloured ground."""
    return Markup('<span class="chip {}">{}</span>').format(tone, text)


def lines(texts: Iterable[str]) -> Markup:
    """Return texts under one another."""
    return Markup("<br>").join(escape(text) for text in texts)


def kpi_table(compared: Mapping[str, Compared], start: Mapping[str, float]) -> Table:
    """Return every KPI: at the start, do nothing, with CellHive, change with interval."""
    rows: list[Row] = []
    for name, one in compared.items():
        word = {"better": "▲ better", "worse": "▼ worse"}.get(one.tone, "no clear change")
        word += ", slightly" if one.tone and one.slight else ""
        change, interval = format_interval(name, one.change, one.low, one.high)
        rows.append(
            [
                label_of(name),
                Cell(
                    format_quantity(name, start.get(name), 4, keep=True), start.get(name, math.nan)
                ),
                Cell(format_quantity(name, one.baseline, 4, keep=True), one.baseline),
                Cell(format_quantity(name, one.run, 4, keep=True), one.run),
                Cell(change, one.change, tone=one.tone),
                Cell(interval or ABSENT, one.low),
                Cell(word if direction(name, 1.0) else ABSENT, tone=one.tone or "muted"),
            ]
        )
    columns = [
        Column("KPI"),
        Column("Start", numeric=True, title="The first hour of the run"),
        Column("Do nothing", numeric=True, title="Same users, same period, nothing changed"),
        Column("With CellHive", numeric=True),
        Column("Change", numeric=True, title="With CellHive less do nothing"),
        Column("95 % interval", numeric=True, title="Jackknife over blocks of periods"),
        Column("Verdict"),
    ]
    return Table(columns, rows, filterable=False)


def decision_table(decisions: Sequence[Decision]) -> Table:
    """Return every applied plan: what and why, measured, verdict, the truth, the guard."""
    columns = [
        Column("Time", title="Simulated clock at which the plan was applied", keep=True),
        Column("Plan", keep=True),
        Column("Changes, and why", wide=True),
        Column("Measured", title="KPIs of the watched cells, before and while watched"),
        Column("Loop's verdict", title="What the loop decided after watching the plan"),
        Column(
            "True effect, and was it right?",
            title="On the score, against an exact branch of the network without this plan; "
            "in brackets the smallest and largest of the watched periods",
            keep=True,
        ),
        Column("Guard", title="What the guard let through"),
    ]
    expected = any(decision.plan.expected for decision in decisions)
    if expected:
        columns.insert(3, Column("Expected"))
    rows = [_decision_row(decision, expected=expected) for decision in decisions]
    if any(decision.plan.predicted or decision.plan.unpredicted for decision in decisions):
        title = "Change of the cells reached, less that of cells left alone; 90 % interval"
        columns.insert(3 + expected, Column("Foretold, and happened", title=title))
        for row, decision in zip(rows, decisions, strict=True):
            row.insert(3 + expected, _foretold_cell(decision))
    return Table(columns, rows, empty="No plan was applied.")


def _foretold_cell(decision: Decision) -> Cell:
    """Return what was foretold of a plan beside what happened; all but the first KPI unfolds."""
    texts = foretold_texts(decision.plan, decision.outcome)
    shown = lines(texts[:1])
    if len(texts) > 1:
        shown += Markup("<details><summary>{} more</summary>{}</details>").format(
            len(texts) - 1, lines(texts[1:])
        )
    first = decision.plan.predicted[0].change if decision.plan.predicted else math.nan
    return Cell(shown, first)


def _decision_row(decision: Decision, *, expected: bool) -> list[Cell]:
    plan, outcome = decision.plan, decision.outcome
    verdict = Markup('{}<span class="why">{}</span>').format(
        chip(outcome.verdict, _VERDICT_TONES.get(outcome.verdict, "")), outcome.reason
    )
    effect = decision.true_effect
    row = [
        Cell(format_clock(plan.time_s), plan.time_s),
        Cell(lines(dict.fromkeys([plan.plan_id, plan.function])), plan.plan_id),
        changes_cell(plan),
        Cell(lines(measured_texts(outcome) or [ABSENT])),
        Cell(verdict, f"{outcome.verdict} {outcome.decided_s:012.0f}"),
        Cell(_true_effect(decision), effect.mean if effect else math.nan),
        _guard_cell(decision),
    ]
    if expected:
        row.insert(3, Cell(lines([effect_text(e) for e in plan.expected] or [ABSENT])))
    return row


def changes_cell(plan: Plan) -> Cell:
    """Return the changes of a plan with their reasons; those beyond a few unfold."""
    items = [
        Markup('<li>{}<span class="why">{}</span></li>').format(change_text(change), change.reason)
        for change in plan.changes
    ]
    first, rest = items[:MOST_CHANGES], items[MOST_CHANGES:]
    shown = Markup('<ul class="plain">{}</ul>').format(Markup("").join(first))
    if rest:
        shown += Markup(
            '<details><summary>{} more</summary><ul class="plain">{}</ul></details>'
        ).format(len(rest), Markup("").join(rest))
    return Cell(shown, change_text(plan.changes[0]) if plan.changes else "")


def _guard_cell(decision: Decision) -> Cell:
    verdict = decision.verdict
    if verdict is None:
        return Cell(ABSENT)
    if not verdict.refused:
        return Cell("let through")
    told = "\n".join(f"{change_text(r.change)}: {r.reason}" for r in verdict.refused)
    text = f"{len(verdict.accepted)} of {len(verdict.plan.changes)} let through"
    return Cell(text, tone="warn", title=told)


def _true_effect(decision: Decision) -> Markup:
    effect, area = decision.true_effect, decision.area_effect
    word = _TRUTH_WORDS[decision.truth]
    if decision.truth is Truth.UNKNOWN and effect is not None:
        word = "no verdict"
    texts: list[str | Markup] = [chip(word, _TRUTH_TONES.get(decision.truth, ""))]
    if effect is not None:
        texts.append(f"network {format_signed(effect.mean)} points")
        if effect.low != effect.high:
            texts.append(f"({format_signed(effect.low)} to {format_signed(effect.high)})")
    if area is not None:
        texts.append(f"its cells {format_signed(area.mean)} points")
    return lines(texts)


def totals_table(record: RunRecord) -> Table:
    """Return how the plans of each function fared."""
    rows: list[Row] = [
        [
            total.function,
            total.proposed,
            total.changes,
            total.refused,
            total.held,
            total.applied,
            total.kept,
            total.rolled_back,
            total.unconfirmed,
            Cell(str(total.right), total.right, tone="better" if total.right else ""),
            Cell(str(total.wrong), total.wrong, tone="worse" if total.wrong else ""),
            Cell(format_signed(total.effect), total.effect),
        ]
        for total in totals_of(record)
    ]
    names = (
        "Plans proposed", "Changes in them", "Changes refused", "Plans held", "Plans applied",
        "Kept", "Rolled back", "Unconfirmed", "Right", "Wrong",
    )  # fmt: skip
    effect = Column(
        "True effect of plans left in force",
        numeric=True,
        title="Sum over plans not rolled back, network score while watched [points]",
    )
    columns = [Column("Function"), *(Column(name, numeric=True) for name in names), effect]
    return Table(columns, rows, empty="No plan was proposed.", filterable=False)


def refusal_table(record: RunRecord) -> Table:
    """Return the guard's refusals by rule."""
    rows: list[Row] = [
        [row.rule, row.count, row.functions, Cell(row.example)] for row in refusals_of(record)
    ]
    columns = [
        Column("Rule"),
        Column("Refused changes", numeric=True),
        Column("Of"),
        Column("For example", wide=True),
    ]
    return Table(columns, rows, empty="Nothing was refused.", filterable=False)


def held_table(record: RunRecord) -> Table:
    """Return the plans that passed the guard and were not applied."""
    rows: list[Row] = [
        [
            Cell(format_clock(held.plan.time_s), held.plan.time_s),
            Cell(lines([held.plan.plan_id, held.plan.function]), held.plan.plan_id),
            changes_cell(held.plan),
            Cell(lines([effect_text(e) for e in held.plan.expected] or [ABSENT])),
            held.why,
        ]
        for held in record.held
    ]
    columns = [
        Column("Time"),
        Column("Plan", keep=True),
        Column("Changes, and why", wide=True),
        Column("Expected", keep=True),
        Column("Why it was held"),
    ]
    return Table(columns, rows, empty="No plan was held back.")


def configuration_table(record: RunRecord) -> Table:
    """Return every parameter that ended at another value than it began with."""
    network = record.network
    touched: Counter[tuple[str, str]] = Counter(
        (change.object_id, change.parameter) for plan in record.applied for change in plan.changes
    )
    rows: list[Row] = []
    for quantity in PARAMETERS:
        before = np.asarray(getattr(record.initial, quantity.name), dtype=np.float64)
        after = np.asarray(getattr(record.final, quantity.name), dtype=np.float64)
        for index in np.flatnonzero(before != after).tolist():
            if quantity.per is Per.RELATION:
                source = network.cell_ids[int(network.relation_source[index])]
                target = network.cell_ids[int(network.relation_target[index])]
                name, shown = f"{source}->{target}", f"{source} → {target}"
            else:
                name = shown = network.cell_ids[index]
            old, new = float(before[index]), float(after[index])
            rows.append(
                [
                    shown,
                    label_of(quantity.name),
                    Cell(value_text(quantity.name, old), old),
                    Cell(value_text(quantity.name, new), new),
                    touched[(name, quantity.name)],
                ]
            )
    columns = [
        Column("Cell or relation"),
        Column("Parameter"),
        Column("At the start", numeric=True),
        Column("At the end", numeric=True),
        Column("Times changed", numeric=True),
    ]
    empty = "The configuration at the end is the one at the start."
    return Table(columns, rows, empty=empty)


def cell_table(record: RunRecord, window: Window) -> Table:
    """Return the KPIs of every cell, with their change against "do nothing"."""
    if not window.run:
        return Table([], [])
    run = cell_kpis(window.run)
    baseline = cell_kpis(window.baseline) if window.baseline else None
    changed = Counter(c.cell for plan in record.applied for c in plan.changes)
    columns = [
        Column("Cell", keep=True),
        Column("Site", keep=True),
        Column("Changes", numeric=True),
    ]
    for name in CELL_KPIS:
        columns.append(Column(label_of(name), numeric=True))
        if baseline is not None:
            columns.append(Column("Δ", numeric=True, title=f"{label_of(name)} less do nothing"))
    rows: list[Row] = [
        [
            cell,
            record.network.site_ids[index],
            changed[cell],
            *_cell_kpis(index, run, baseline),
        ]
        for index, cell in enumerate(record.network.cell_ids)
    ]
    return Table(columns, rows)


def _cell_kpis(
    index: int, run: Mapping[str, Floats], baseline: Mapping[str, Floats] | None
) -> list[Cell]:
    cells = []
    for name in CELL_KPIS:
        value = float(run[name][index])
        cells.append(Cell(format_quantity(name, value), value))
        if baseline is not None:
            change = value - float(baseline[name][index])
            cells.append(Cell(format_change(name, change), change, tone=direction(name, change)))
    return cells


def settings_table(settings: Mapping[str, Any]) -> Table:
    """Return the settings, nested names joined by dots."""
    rows: list[Row] = [[name, value] for name, value in _flat(settings)]
    return Table([Column("Setting"), Column("Value")], rows, empty="None recorded.")


def _flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{prefix}{name}.")
        elif isinstance(value, float):
            found.append((f"{prefix}{name}", format_number(value, 6)))
        else:
            text = value if isinstance(value, str) else json.dumps(value, default=str)
            found.append((f"{prefix}{name}", text))
    return found
