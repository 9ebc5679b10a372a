"""What to change, in the report of an analysis: as HTML, as Markdown and for programs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from cellhive.core.types import to_jsonable
from cellhive.diagnose.advice.capacity import Forecast, State
from cellhive.diagnose.advice.recommendation import Recommendation
from cellhive.diagnose.cycles import DAY_S
from cellhive.flows.advice.advise import Advised
from cellhive.reports.advice import words
from cellhive.reports.advice.alike import Alike, alike
from cellhive.reports.charts import Line, line_chart
from cellhive.reports.drawing.svg import Look
from cellhive.reports.numbers import ABSENT, format_number
from cellhive.reports.page import Cell, Column, Table, environment, safe_svg

CARDS = 20
"""Recommendations that are told in full, alike ones as one; the others stand in the table."""
STEPS = 6
"""Steps of a recommendation that are told."""
PLOTS = 6
"""Forecasts that are drawn."""
LOOK = Look(width=1040, height=210)
_NAMED = (State.FULL, State.WILL, State.MAY, State.SHIFTED, State.NOT, State.NO_TREND)
_MEDIAN, _LOW, _HIGH = 2, 0, 4


@dataclass(frozen=True)
class Shown:
    """One recommendation as it is written."""

    ranks: str
    headline: str
    topic: str
    order: bool
    effect: str
    basis: str
    users: str
    confidence: str
    evidence: list[str]
    places: Table
    """Where, and what speaks for it there; without rows where there is one place only."""
    steps: list[str]
    risk: str
    verify: str
    undo: str
    missing: str


def advice_html(advised: Advised) -> Markup:
    """Return the section as HTML, without its heading; everything from files is escaped.

    Args:
        advised: What to change.
    """
    template = environment().get_template("advice.html")
    text = template.render(
        summary=words.summary(advised),
        every=_every(advised),
        cards=[_shown(one) for one in alike(advised.recommendations)[:CARDS]],
        totals=words.forecast_totals(advised),
        plots=[_plot(one) for one in _drawn(advised)],
        forecasts=_forecasts(advised),
        aside=_aside(advised),
        missing=advised.missing,
        notes=advised.notes,
    )
    return Markup(text)  # noqa: S704  # rendered with escaping on


def _shown(group: Alike) -> Shown:
    one = group.first
    evidence = one.evidence[1:] if group.places else one.evidence  # the rest is in the table
    return Shown(
        group.ranks, group.headline, one.topic.value, one.is_order, words.effect(one.effect),
        words.basis(one) if one.effect is not None else "", _users(one),
        words.share(one.confidence), list(evidence), _places(group), _steps(one), words.risk(one),
        one.verify.words if one.verify is not None else
        "too few values before the change to say how long it must be watched",
        one.undo, one.missing,
    )  # fmt: skip


def _places(group: Alike) -> Table:
    columns = (
        Column("#", numeric=True), Column("Where", wide=True), Column("Found there", wide=True),
    )  # fmt: skip
    rows = [
        (rank, place, one.evidence[0])
        for (rank, one), place in zip(group.members, group.places, strict=False)
    ]
    return Table(columns, rows)


def _steps(one: Recommendation) -> list[str]:
    told = [words.step(step) for step in one.steps[:STEPS]]
    more = len(one.steps) - STEPS
    return [*told, f"and {more} more in the table of work orders"] if more > 0 else told


def _users(one: Recommendation) -> str:
    return format_number(one.users) if math.isfinite(one.users) else "not counted"


def _every(advised: Advised) -> Table:
    columns = (
        Column("#", numeric=True), Column("What to do", wide=True), Column("About", keep=True),
        Column("Expected", wide=True), Column("Rests on", keep=True),
        Column("Users", numeric=True), Column("Sure", numeric=True),
        Column("Benefit", numeric=True, title="Users whose service is expected to become good"),
    )  # fmt: skip
    rows = []
    for rank, one in enumerate(advised.recommendations, 1):
        effect = words.effect(one.effect) if one.effect is not None else ABSENT
        rests = one.effect.basis.value if one.effect is not None else ABSENT
        users = one.users if math.isfinite(one.users) else None
        rows.append(
            (rank, one.headline, one.topic.value, effect, rests,
             Cell(format_number(users), users), Cell(words.share(one.confidence), one.confidence),
             Cell(format_number(one.score, 2), one.score))
        )  # fmt: skip
    return Table(columns, rows, empty="Nothing is recommended.")


def _forecasts(advised: Advised) -> Table:
    columns = (
        Column("Object", keep=True), Column("Figure", wide=True), Column("State", wide=True),
        Column("Now", numeric=True, title="Median of the busiest weekday in the last four weeks"),
        Column("Limit", numeric=True), Column("A month", numeric=True),
        Column("Within horizon", numeric=True, title="Probability that the limit is exceeded"),
        Column("When (50 %)", keep=True), Column("When (90 %)", keep=True),
    )  # fmt: skip
    rows = []
    for one in advised.forecasts:
        if one.state not in _NAMED:
            continue
        dated = one.state in (State.WILL, State.MAY)
        dates = [words.day(date) for date in one.dates_s]
        slope = one.slope_per_month
        rows.append(
            (one.object, one.called, one.state.value, Cell(words.value(one, one.now), one.now),
             Cell(words.value(one, one.limit), one.limit),
             Cell(words.change(one, slope) if math.isfinite(slope) else ABSENT, slope),
             Cell(words.share(one.probability), one.probability),
             f"{dates[1]} to {dates[3]}" if dated else ABSENT,
             f"{dates[0]} to {dates[4]}" if dated else ABSENT)
        )  # fmt: skip
    return Table(columns, rows, empty="No object has a history long enough for a forecast.")


def _aside(advised: Advised) -> Table:
    columns = (Column("What", wide=True), Column("Why it is not listed", wide=True))
    rows = [(one.recommendation.headline, one.why) for one in advised.set_aside]
    return Table(columns, rows)


def _drawn(advised: Advised) -> list[Forecast]:
    good = [one for one in advised.forecasts if one.state in (State.WILL, State.MAY)]
    return good[:PLOTS]


def _plot(one: Forecast) -> Markup:
    """Return the chart of a forecast: what was, and what is expected week by week."""
    scale = 100.0 if one.unit == "ratio" else 1.0
    days = one.start_s + DAY_S * np.arange(one.history.size)
    weeks = one.start_s + DAY_S * (one.history.size + 6 + 7 * np.arange(one.ahead.shape[1]))
    ahead = one.ahead * scale
    lines = [
        Line("measured", (days * 1e3).astype("datetime64[ms]"), one.history * scale, tone="run"),
        Line("expected on the busiest weekday, 90 %", (weeks * 1e3).astype("datetime64[ms]"),
             ahead[_MEDIAN], tone="baseline", low=ahead[_LOW], high=ahead[_HIGH]),
    ]  # fmt: skip
    look = Look(
        LOOK.width, LOOK.height, reference=one.limit * scale, reference_label="limit"
    )  # fmt: skip
    unit = "%" if one.unit == "ratio" else one.unit
    title = f"{one.object}: {one.called}"
    return safe_svg(line_chart(lines, title=title, unit=unit, look=look))


# For messages and programs -------------------------------------------------------


def advice_markdown(advised: Advised) -> list[str]:
    """Return the section as lines of Markdown, with its heading.

    Args:
        advised: What to change.
    """
    lines = ["", "## What to change", "", *(_escaped(one) for one in words.summary(advised))]
    if advised.recommendations:
        lines += ["", "| # | What to do | Expected | Rests on | Users | Sure | Risk | Undo |",
                  "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for group in alike(advised.recommendations):
        one = group.first
        where = f": {'; '.join(group.places)}" if group.places else ""
        cells = (
            group.ranks, f"{group.headline}{where}", words.effect(one.effect),
            words.basis(one) if one.effect is not None else ABSENT, _users(one),
            words.share(one.confidence), words.risk(one), one.undo,
        )  # fmt: skip
        lines.append("| " + " | ".join(_escaped(cell) for cell in cells) + " |")
    if advised.set_aside:
        lines += ["", "Set aside:", ""]
        lines += [
            f"- {_escaped(f'{one.recommendation.headline}: {one.why}')}"
            for one in advised.set_aside
        ]
    if advised.missing:
        lines += ["", "For more, bring:", "", *(f"- {_escaped(one)}" for one in advised.missing)]
    return [*lines, "", *(f"- {_escaped(note)}" for note in advised.notes)]


def advice_json(advised: Advised) -> dict[str, Any]:
    """Return the section as plain values; NaN and infinity are null.

    Args:
        advised: What to change.
    """
    record: dict[str, Any] = to_jsonable({
        "recommendations": [
            {"rank": rank, "words": words.effect(one.effect), "rests_on": words.basis(one),
             "score": one.score, "work_order": one.is_order, "recommendation": one}
            for rank, one in enumerate(advised.recommendations, 1)
        ],
        "set_aside": [
            {"headline": one.recommendation.headline, "why": one.why}
            for one in advised.set_aside
        ],
        "not_listed": advised.beyond,
        "forecasts": [_forecast_record(one) for one in advised.forecasts],
        "plan": advised.plan.plan,
        "limits": advised.limits,
        "missing": advised.missing,
        "notes": advised.notes,
    })  # fmt: skip
    return record


def _forecast_record(one: Forecast) -> dict[str, Any]:
    return {
        "object": one.object, "figure": one.called, "quantity": one.quantity, "unit": one.unit,
        "state": one.state.value, "words": one.words, "now": one.now, "limit": one.limit,
        "slope_per_month": one.slope_per_month, "probability": one.probability,
        "horizon_days": one.horizon_days,
        "dates": {
            str(share): words.day(date) if math.isfinite(date) else None
            for share, date in zip((5, 25, 50, 75, 95), one.dates_s, strict=True)
        },
    }  # fmt: skip


def _escaped(text: str) -> str:
    """Return text that Markdown shows as it is: no markup, no HTML, no new table cell."""
    text = " ".join(text.split())
    for character in "\\`*_[]|#":
        text = text.replace(character, f"\\{character}")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
