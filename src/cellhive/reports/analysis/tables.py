"""The tables of an analysis: incidents, data quality, KPIs, columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from cellhive.core.measurements import ColumnInfo, Finding, Severity
from cellhive.core.schema import QUANTITIES
from cellhive.diagnose.cycles import Panel
from cellhive.diagnose.incidents import Incident
from cellhive.diagnose.search import Search
from cellhive.diagnose.summary import Figures, Summary
from cellhive.flows.analyse import Part
from cellhive.reports.analysis import words
from cellhive.reports.analysis.clock import Clock
from cellhive.reports.analysis.drawn.figures import spark, spread, typical
from cellhive.reports.analysis.findings import (
    FindingGroup,
    grouped,
    place_of,
    without_folders,
)
from cellhive.reports.analysis.summary import Users
from cellhive.reports.numbers import ABSENT, format_number, format_signed, with_unit
from cellhive.reports.page import Cell, Column, Table

INCIDENTS_SHOWN = 1000
PLOTS = 120
"""Incidents with a plot."""
OBJECTS_SHOWN = 12
"""Objects listed under each KPI; the worst where a direction is known."""
COVERAGE_SHOWN = 100
ROWS_SHOWN = 250
"""Rows of objects below KPIs in the whole report; keeps it small enough to send."""
KPIS_SHOWN = 150
"""KPIs of one part with a row of their own."""
_FULL = 0.9995
_TONE = {Severity.ERROR: "worse", Severity.WARNING: "warn", Severity.INFO: "muted"}
_EFFECT_TONE = {"worse": "worse", "better": "better", "mixed": "warn", "": ""}


def incidents(search: Search, clock: Clock, users: Users) -> Table:
    """Return all incidents, most severe first."""
    columns = (
        Column("#", numeric=True), Column("When"), Column("Lasting"), Column("Kind"),
        Column("KPIs"), Column("Where"), Column("Was, usually", wide=True),
        Column("Size"),
        Column("Times the usual spread", numeric=True,
               title="Size over the usual ups and downs of the series (robust sigma)"),
        *([Column("Users", numeric=True, title="Mean number usually served there")]
          if users.kpis else []),
        Column("Effect"),
        Column("Confidence", title="From the probability of such a departure by chance"),
    )  # fmt: skip
    none = "No incident was found." if search.series else "No incidents were looked for."
    rows = [
        _incident_row(one, clock, users, plotted=index < PLOTS)
        for index, one in enumerate(search.incidents[:INCIDENTS_SHOWN])
    ]
    return Table(columns, rows, empty=none)


def _place(one: Incident, *, plotted: bool) -> Markup:
    """Return the rank as a link to the incident's plot, or as its anchor where it has none."""
    link, place = Markup('<a href="#{}">{}</a>'), Markup('<span id="{}">{}</span>')
    return (link if plotted else place).format(words.anchor(one), one.rank)


def _incident_row(
    one: Incident, clock: Clock, users: Users, *, plotted: bool
) -> list[Cell | str | float | int]:
    lead, count = one.lead, users.of(one)
    start_s, end_s = words.span_s(one)
    kpis = words.kpis_of(one)
    return [
        Cell(_place(one, plotted=plotted), float(one.rank)),
        Cell(words.stretch(one, clock), start_s),
        Cell(words.lasting(one), end_s - start_s),
        words.KINDS.get(one.kind, one.kind),
        Cell(words.listed(kpis, 2), title=", ".join(kpis)),
        Cell(words.listed(one.objects, 2), float(len(one.objects)), title=", ".join(one.objects)),
        f"{words.from_to(lead)}, {words.clean(lead.kpi)} at {words.at_lead(one, clock)}"
        if len(one.members) > 1 else words.from_to(lead),
        words.change(lead),
        Cell(words.sigmas(lead) or ABSENT, abs(lead.sigmas)),
        *([Cell(format_number(count, 2), count)] if users.kpis else []),
        Cell(one.effect or "unknown", tone=_EFFECT_TONE[one.effect]),
        Cell(one.confidence, one.p_value),
    ]  # fmt: skip


def findings(every: Sequence[Finding]) -> Table:
    """Return the findings by kind and file, with how often and what was done."""
    columns = (
        Column("Severity"), Column("Finding"), Column("Where"), Column("How many", numeric=True),
        Column("Found", wide=True), Column("Done about it", wide=True),
    )  # fmt: skip
    rank = list(Severity)
    rows: list[list[Cell | str | float | int]] = [
        [
            Cell(group.severity.value, -rank.index(group.severity), _TONE[group.severity]),
            group.name,
            Cell(place_of(group), title=", ".join((*group.files, *group.columns))),
            Cell(group.amount, group.count),
            _found(group),
            words.clean(group.first.action),
        ]
        for group in grouped(without_folders(every))
    ]  # fmt: skip
    return Table(columns, rows, empty="Nothing to complain about.")


def _found(group: FindingGroup) -> str:
    first = words.clean(group.first.found)
    where = words.clean(group.first.where)
    text = f"{first} ({where})" if where else first
    if len(group.columns) > 1:
        text = f"{words.clean(group.first.column)}: {text}; others alike"
    expected = words.clean(group.first.expected)
    return f"{text}. Expected: {expected}" if expected else text


def coverage(part: Part, clock: Clock) -> Table:
    """Return the objects that do not report all the time, least complete first."""
    short = sorted((c for c in part.coverage if c.ratio < _FULL), key=lambda c: c.ratio)
    columns = (
        Column("Object"), Column("Periods", numeric=True), Column("Expected", numeric=True),
        Column("Coverage", numeric=True), Column("First"), Column("Last"),
    )  # fmt: skip
    rows: list[list[Cell | str | float | int]] = [
        [
            words.clean(one.object), one.periods, one.expected,
            _share(one.ratio),
            clock.written(one.first.timestamp()), clock.written(one.last.timestamp()),
        ]
        for one in short[:COVERAGE_SHOWN]
    ]  # fmt: skip
    return Table(columns, rows, empty="Every object reports in every period.")


def counters(part: Part) -> Table:
    """Return the counters that are not filled in every row, least complete first."""
    short = sorted(
        (c for c in part.counters if c.rows and c.values < c.rows), key=lambda c: c.values / c.rows
    )
    columns = (
        Column("Counter"), Column("Values", numeric=True), Column("Rows", numeric=True),
        Column("Coverage", numeric=True), Column("Objects without any", numeric=True),
        Column("Least complete object"), Column("Its coverage", numeric=True),
    )  # fmt: skip
    rows: list[list[Cell | str | float | int]] = [
        [
            words.clean(one.column), one.values, one.rows,
            _share(one.values / one.rows), one.without, words.clean(one.lowest),
            _share(one.lowest_ratio) if one.objects else "",
        ]
        for one in short[:COVERAGE_SHOWN]
    ]  # fmt: skip
    return Table(columns, rows, empty="Every counter has a value in every row.")


def _share(ratio: float) -> Cell:
    return Cell(with_unit(format_number(100 * ratio), "%"), ratio)


# KPIs ------------------------------------------------------------------------


@dataclass(frozen=True)
class KpiDetails:
    """The objects of one KPI, folded away until asked for."""

    heading: str
    table: Table


def kpis(part: Part) -> Table:
    """Return one row per KPI of a part: all objects as one sample."""
    columns = (
        Column("KPI"), Column("Unit"), Column("Better"),
        Column("Values", numeric=True), Column("Mean", numeric=True),
        Column("Median", numeric=True),
        Column("5 %", numeric=True, title="5 % of the values are smaller"),
        Column("95 %", numeric=True, title="5 % of the values are larger"),
        Column("Trend", numeric=True, title="Last third against first third, of medians"),
        Column("Course", title="Median over objects"),
        Column("Over objects", title="How many objects have which median, from low to high"),
        Column("Worst by median", wide=True),
    )  # fmt: skip
    rows = [
        _kpi_row(panel, one)
        for panel, one in zip(part.panels[:KPIS_SHOWN], part.summaries[:KPIS_SHOWN], strict=True)
    ]
    shown = [i for i, _ in enumerate(columns) if i == 0 or any(_is_there(row[i]) for row in rows)]
    return Table(
        [columns[i] for i in shown], [[row[i] for i in shown] for row in rows],
        empty="No KPI has a value.",
    )  # fmt: skip


def _is_there(item: Cell | str | float | int) -> bool:
    text = item.text if isinstance(item, Cell) else item
    return text not in {"", ABSENT}


def _kpi_row(panel: Panel, one: Summary) -> list[Cell | str | float | int]:
    name = words.clean(one.kpi)
    medians = {item.object: item.median for item in one.objects}
    worst = [f"{words.clean(item)} {words.value(medians[item], one.unit)}" for item in one.worst]
    worst = worst if len(panel.objects) > 1 else []
    return [
        name, one.unit, one.better or ABSENT, one.network.values,
        *_numbers(one.network, one.unit),
        _trend(one.network, one.better, one.unit),
        Cell(spark(typical(panel.values), f"{name}, median over objects"), ""),
        Cell(spread(list(medians.values()), one.unit, name), ""),
        Cell(words.listed(worst), title=", ".join(worst)),
    ]  # fmt: skip


def _numbers(one: Figures, unit: str) -> list[Cell | str | float | int]:
    values = (one.mean, one.median, one.p5, one.p95)
    digits = 4 if unit == "%" else 3
    return [Cell(format_number(number, digits), number) for number in values]


def _trend(one: Figures, better: str, unit: str) -> Cell:
    if not math.isfinite(one.trend):
        return Cell(ABSENT, math.nan)
    tone = ""
    small = abs(one.trend) <= 0.1 * (one.p95 - one.p5)  # a tenth of the range
    if better and not small:
        tone = "better" if (one.trend > 0) == (better == "higher") else "worse"
    text = format_signed(one.trend)
    return Cell(with_unit(text, "pp") if unit == "%" else text, one.trend, tone)


def details(part: Part, budget: int) -> list[KpiDetails]:
    """Return a table of objects for each KPI, within a number of rows for all of them."""
    if len(part.objects) < 2 or not part.panels:  # noqa: PLR2004  # one object is the summary
        return []
    each = max(min(OBJECTS_SHOWN, budget // len(part.panels)), 5)
    out: list[KpiDetails] = []
    for one in part.summaries:
        budget -= min(each, len(one.objects))
        if budget < 0:
            break
        rows = _object_rows(one, each)
        heading = words.clean(one.kpi) + (f" [{one.unit}]" if one.unit else "")
        if len(rows) < sum(1 for item in one.objects if item.values):
            which = "worst" if one.better else "highest"
            heading += f": the {len(rows)} {which} of {len(one.objects)} objects"
        out.append(KpiDetails(heading, Table(_OBJECT_COLUMNS, rows)))
    return out


_OBJECT_COLUMNS = (
    Column("Object"), Column("Values", numeric=True), Column("Mean", numeric=True),
    Column("Median", numeric=True), Column("5 %", numeric=True), Column("95 %", numeric=True),
    Column("Last", numeric=True), Column("Trend", numeric=True),
)  # fmt: skip


def _object_rows(one: Summary, limit: int) -> list[Sequence[Cell | str | float | int]]:
    known = [item for item in one.objects if item.values]
    known.sort(key=lambda item: item.median, reverse=one.better != "higher")
    digits = 4 if one.unit == "%" else 3
    return [
        [
            words.clean(item.object), item.values, *_numbers(item, one.unit),
            Cell(format_number(item.last, digits), item.last),
            _trend(item, one.better, one.unit),
        ]
        for item in known[:limit]
    ]  # fmt: skip


def columns_of(part: Part) -> Table:
    """Return what each column was taken for."""
    heads = (
        Column("Column"), Column("Taken as", wide=True), Column("Confidence", numeric=True),
        Column("Unit"), Column("Kind"), Column("Better"), Column("By"),
    )  # fmt: skip
    shown = [info for info in part.columns.values() if info.bin is None]
    return Table(heads, [_column_row(info) for info in shown[: 2 * KPIS_SHOWN]])


def _column_row(info: ColumnInfo) -> list[Cell | str | float | int]:
    quantity = QUANTITIES.get(info.quantity or "")
    taken = f"{quantity.name}: {quantity.description}" if quantity else "itself"
    share = f" ({info.share})" if info.share else ""
    return [
        words.clean(info.header or info.name), taken,
        Cell(format_number(info.confidence, 2) if quantity else ABSENT, info.confidence),
        info.unit, f"{info.role.value}{share}", info.better or ABSENT, info.origin,
    ]  # fmt: skip
