"""What was foretold of plans, beside what happened: words, table and charts of the run report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

from cellhive.core.types import Outcome, Plan, Prediction
from cellhive.flows.prediction.coverage import (
    Coverage,
    Told,
    compared,
    coverage_of,
    refused_for_harm,
    untold,
)
from cellhive.flows.trial import RunRecord
from cellhive.reports.drawing.scales import Scale, nice_limits, nice_ticks
from cellhive.reports.drawing.svg import BOTTOM, LEFT, RIGHT, TOP, Look, svg_element
from cellhive.reports.numbers import ABSENT, format_change, label_of, shown_scale, shown_unit
from cellhive.reports.page import Cell, Column, Row, Table, safe_svg

_LOOK = Look(width=400, height=300)


@dataclass(frozen=True, slots=True)
class Foretold:
    """The section of the report on predictions."""

    sentences: tuple[str, ...]
    charts: tuple[Markup, ...]
    table: Table


def foretold(record: RunRecord) -> Foretold | None:
    """Return how predictions compared with what happened; None where nobody foretold anything."""
    plans = [verdict.plan for verdict in record.verdicts]
    if not any(plan.predicted or plan.unpredicted for plan in plans):
        return None
    told = compared(record.outcomes)
    names = list(dict.fromkeys(one.predicted.kpi for one in told))
    by_kpi = {name: [one for one in told if one.predicted.kpi == name] for name in names}
    return Foretold(
        tuple(_sentences(record, told)),
        tuple(_scatter(name, each) for name, each in by_kpi.items()),
        _table(by_kpi, told),
    )


def _sentences(record: RunRecord, told: Sequence[Told]) -> list[str]:
    plans = len({one.plan.plan_id for one in told})
    said = []
    if told:
        all_of = coverage_of(told)
        said.append(
            f"Of {len(told)} predictions for {plans} plans that were watched to the end, "
            f"{_percent(all_of.inside_90)} of the 90 % intervals held what the watch then "
            f"measured, and {_percent(all_of.inside_50)} of the 50 % intervals."
        )
        said += _beside(all_of)
    else:
        said.append("No plan that was foretold was watched to the end.")
    missing = untold(record.outcomes)
    if missing:
        reasons = "; ".join(f"{count}: {why}" for why, count in missing.items())
        said.append(f"No prediction for {sum(missing.values())} applied plans ({reasons}).")
    refused = refused_for_harm(record.verdicts)
    said.append(
        f"The guard refused {refused} plan{'s' * (refused != 1)} whose harm was too probable."
        if refused
        else "The guard refused no plan for being too likely to do harm."
    )
    return said


def _beside(one: Coverage) -> list[str]:
    said = []
    if one.beside:
        said.append(
            f"Beside the interval that earlier outcomes of the same function give, theirs are "
            f"{one.relative_width:.2f} times as wide in the median; the naive ones held "
            f"{_percent(one.naive_inside)} of {one.beside}."
        )
    if one.effects:
        said.append(
            f"The part foretold to be the plan's own effect held the true effect, from exact "
            f"branches, in {_percent(one.effects_inside)} of {one.effects} 90 % intervals."
        )
    return said


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if math.isfinite(share) else ABSENT


def _table(by_kpi: dict[str, list[Told]], told: Sequence[Told]) -> Table:
    rows: list[Row] = [
        _row(label_of(name), name, coverage_of(each)) for name, each in by_kpi.items()
    ]
    if len(rows) > 1:
        rows.append(_row("all", "", coverage_of(told)))
    columns = [
        Column("KPI"),
        Column("Plans", numeric=True, title="Predictions whose plan was watched to the end"),
        Column("In 50 %", numeric=True, title="Share measured within the 50 % interval"),
        Column("In 90 %", numeric=True, title="Share measured within the 90 % interval"),
        Column("Width of 90 %", numeric=True, title="Median"),
        Column("Against naive", numeric=True,
               title="Width relative to the interval from earlier outcomes of the same function"),
        Column("Naive in 90 %", numeric=True),
        Column("True effect in 90 %", numeric=True,
               title="Share of true effects within the 90 % interval of the plan's own effect"),
    ]  # fmt: skip
    return Table(columns, rows, empty="Nothing can be compared.", filterable=False)


def _row(label: str, name: str, one: Coverage) -> Row:
    width = format_change(name, one.width).lstrip("+") if name else ABSENT
    relative = f"{one.relative_width:.2f}" if one.beside else ABSENT
    return [
        label,
        one.count,
        Cell(_percent(one.inside_50), one.inside_50),
        Cell(_percent(one.inside_90), one.inside_90),
        Cell(width, one.width),
        Cell(relative, one.relative_width),
        Cell(f"{_percent(one.naive_inside)} of {one.beside}", one.naive_inside),
        Cell(f"{_percent(one.effects_inside)} of {one.effects}", one.effects_inside),
    ]


def prediction_text(told: Prediction) -> str:
    """Return a prediction in words: the change to be measured with its 90 % interval."""
    name = told.kpi
    low, high = (format_change(name, end) for end in (told.low_90, told.high_90))
    return (
        f"{label_of(name)} {format_change(name, told.change)} ({low} to {high}), "
        f"by the plan {format_change(name, told.effect)}"
    )


def foretold_texts(plan: Plan, outcome: Outcome | None = None) -> list[str]:
    """Return what was foretold of a plan and what was measured, or why nothing was."""
    if not plan.predicted:
        return [f"no prediction: {plan.unpredicted}"] if plan.unpredicted else [ABSENT]
    happened = {} if outcome is None else {e.kpi: e.mean for e in outcome.measured}
    texts = []
    for told in plan.predicted:
        text = prediction_text(told)
        if told.kpi in happened:
            inside = told.low_90 <= happened[told.kpi] <= told.high_90
            text += f"; happened {format_change(told.kpi, happened[told.kpi])}"
            text += "" if inside else ", outside"
        texts.append(text)
    return texts


# ------------------------------------------------------------------ the chart


def _scatter(name: str, told: Sequence[Told]) -> Markup:
    """Return predicted against measured changes of one KPI; whiskers are the 90 % intervals."""
    factor = shown_scale(name)
    along = [factor * one.predicted.change for one in told]
    up = [factor * one.measured for one in told]
    ends = [factor * end for one in told for end in (one.predicted.low_90, one.predicted.high_90)]
    low, high = nice_limits(min(*along, *up, *ends), max(*along, *up, *ends))
    x = Scale(low, high, LEFT, _LOOK.width - RIGHT)
    y = Scale(low, high, _LOOK.height - BOTTOM, TOP)
    body = [_grid(x, y)]
    for one, happened in zip(told, up, strict=True):
        tone = "better" if one.inside_90 else "worse"
        down, top = (y(factor * e) for e in (one.predicted.low_90, one.predicted.high_90))
        at = x(factor * one.predicted.change)
        tip = f"{one.plan.plan_id}\n{prediction_text(one.predicted)}\nhappened " + format_change(
            name, one.measured
        )
        body.append(
            f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{down:.1f}" y2="{top:.1f}"/>'
            f'<circle class="dot {tone}" cx="{at:.1f}" cy="{y(happened):.1f}" r="3" '
            f'fill-opacity="0.75"><title>{escape(tip)}</title></circle>'
        )
    return safe_svg(svg_element(label_of(name), body, _LOOK, shown_unit(name)))


def _grid(x: Scale, y: Scale) -> str:
    parts = [
        f'<g class="reference"><line x1="{x.start:.1f}" y1="{y.start:.1f}" x2="{x.end:.1f}" '
        f'y2="{y.end:.1f}"/></g>'
    ]
    for tick in nice_ticks(x.low, x.high, 5):
        across, up, label = x(tick.at), y(tick.at), escape(tick.label)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{_LOOK.width - RIGHT}" y1="{up:.1f}" '
            f'y2="{up:.1f}"/><text class="axis" x="{LEFT - 6}" y="{up + 4:.1f}" '
            f'text-anchor="end">{label}</text><text class="axis" x="{across:.1f}" '
            f'y="{_LOOK.height - BOTTOM + 16}" text-anchor="middle">{label}</text>'
        )
    parts.append(
        f'<text class="axis label" x="{_LOOK.width - RIGHT}" y="{_LOOK.height - 3}" '
        f'text-anchor="end">foretold</text>'
        f'<text class="axis label" x="{LEFT}" y="{TOP - 8}">happened</text>'
    )
    return "".join(parts)
