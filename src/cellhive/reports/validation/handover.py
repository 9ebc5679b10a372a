"""The twin beside the ns-3 study of event A3: numbers, one screen, and a page with charts."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table as ScreenTable
from rich.text import Text

from cellhive.ran.simulator import STEP_S
from cellhive.ran.validation.a3_study import (
    RANK_LEAST,
    RATIO_LEAST,
    RATIO_MOST,
    Comparison,
    StudyRow,
    TrendPoint,
    trend,
)
from cellhive.reports.charts import Line, line_chart
from cellhive.reports.drawing.svg import Look
from cellhive.reports.numbers import format_number
from cellhive.reports.page import Column, Row, Table, render, safe_svg
from cellhive.reports.scatter import Dots, scatter_chart

UNIT = "per UE-minute"
FAILURES_NOTE = (
    "The absolute level of failures is not validated: it follows from link monitoring and from "
    "the interference that monitoring sees, which ns-3 models otherwise. Read failures as an "
    "order, not as a forecast."
)
"""What must stand beside every failure rate."""


def parts_of(comparison: Comparison) -> dict[str, Comparison]:
    """Return all rows, and those of each part where there are several, by name."""
    parts = sorted({row.part for row in comparison.rows})
    named = {f"part {part}": comparison.of_part(part) for part in parts}
    return named if len(parts) == 1 else {"all rows": comparison} | named


def _text(value: float) -> str:
    """Return a ratio or a correlation with two places."""
    return f"{value:.2f}" if math.isfinite(value) else "–"


def verdict(comparison: Comparison) -> str:
    """Return in a sentence whether handovers are within the limits."""
    within = "within" if comparison.agrees else "outside"
    return (
        f"Handovers are {within} the limits over {len(comparison.rows)} rows: rank correlation "
        f"{comparison.handover_rank:.3f} (at least {RANK_LEAST:g}), median ratio "
        f"{comparison.median_ratio:.3f} ({RATIO_LEAST:g} to {RATIO_MOST:g})."
    )


def quantised(comparison: Comparison) -> str:
    """Return in a sentence which times to trigger the twin has applied."""
    times = sorted({row.setting for row in comparison.rows}, key=lambda s: s.time_to_trigger_s)
    pairs = {
        f"{s.time_to_trigger_s * 1e3:g}": f"{s.quantised_s * 1e3:g}"
        for s in times
    }  # fmt: skip
    told = ", ".join(f"{asked} → {applied}" for asked, applied in pairs.items())
    return f"Time to trigger in steps of {STEP_S * 1e3:g} ms [ms]: {told}."


def trends_of(comparison: Comparison) -> dict[str, list[TrendPoint]]:
    """Return the trends over part A, or over all rows where it is not among them."""
    base = comparison.of_part("A")
    base = base if base.rows else comparison
    speeds = comparison.of_part("B")
    return {
        "time to trigger [ms]": trend(base, lambda row: row.setting.time_to_trigger_s * 1e3),
        "A3 offset [dB]": trend(base, lambda row: row.setting.offset_db),
        "speed [m/s]": trend(
            speeds if speeds.rows else base, lambda row: row.condition.speed_m_s
        ),
    }  # fmt: skip


# ------------------------------------------------------------------ screen and JSON


def handover_screen(
    comparison: Comparison, alternatives: Mapping[str, Comparison]
) -> RenderableType:
    """Return the comparison for one screen.

    Args:
        comparison: What is reported.
        alternatives: The same rows under other choices, by what is chosen.
    """
    parts: list[RenderableType] = [
        Text(verdict(comparison), style="green" if comparison.agrees else "red"),
        Text(quantised(comparison), style="dim"), Text(),
        _numbers(parts_of(comparison), "rows compared"), Text(),
    ]  # fmt: skip
    for name, points in trends_of(comparison).items():
        parts += [_trend_screen(name, points), Text()]
    if alternatives:
        parts += [_numbers(alternatives, "choice"), Text()]
    return Group(*parts, Text(FAILURES_NOTE, style="yellow"))


_HEADINGS = (
    "rows", "rank", "median ratio", "failures", "links lost only", "rank of failures", "SINR dB",
)  # fmt: skip


def _number_texts(one: Comparison) -> list[str]:
    sinr = f"{one.ours('sinr_db').mean():.1f} / {one.study('sinr_db').mean():.1f}"
    return [
        str(len(one.rows)), f"{one.handover_rank:.3f}", f"{one.median_ratio:.3f}",
        f"{_text(one.failure_ratio())} ×", f"{_text(one.failure_ratio('links_lost'))} ×",
        _text(one.failure_rank), sinr,
    ]  # fmt: skip


def _numbers(named: Mapping[str, Comparison], first: str) -> ScreenTable:
    table = ScreenTable(first, *_HEADINGS, box=None, pad_edge=False, title="Twin / ns-3")
    for name, one in named.items():
        table.add_row(name, *_number_texts(one))
    return table


_TREND_HEADINGS = ("handovers", "failures", "ping-pongs / unnecessary")


def _trend_texts(point: TrendPoint) -> list[str]:
    twin = point.twin
    return [
        f"{point.value:g}", f"{twin.handovers:.2f} / {point.handovers:.2f}",
        f"{twin.failures:.3f} / {point.failures:.3f}",
        f"{twin.ping_pongs:.3f} / {point.unnecessary:.2f}",
    ]  # fmt: skip


def _trend_screen(name: str, points: Sequence[TrendPoint]) -> ScreenTable:
    table = ScreenTable(escape(name), *_TREND_HEADINGS, box=None, pad_edge=False)
    for point in points:
        table.add_row(*_trend_texts(point))
    return table


def _summary(one: Comparison) -> dict[str, float | int | bool]:
    return {
        "rows": len(one.rows),
        "handover_rank_correlation": one.handover_rank,
        "handover_median_ratio": one.median_ratio,
        "failure_ratio": one.failure_ratio(),
        "links_lost_ratio": one.failure_ratio("links_lost"),
        "failure_rank_correlation": one.failure_rank,
        "sinr_db": float(one.ours("sinr_db").mean()),
        "sinr_db_ns3": float(one.study("sinr_db").mean()),
        "within_limits": one.agrees,
    }


def handover_json(comparison: Comparison, alternatives: Mapping[str, Comparison]) -> str:
    """Return the comparison as JSON; arguments as for ``handover_screen``."""
    document = {
        "seeds": list(comparison.seeds),
        "limits": {"rank": RANK_LEAST, "ratio": [RATIO_LEAST, RATIO_MOST]},
        "summary": {name: _summary(one) for name, one in parts_of(comparison).items()},
        "trends": {
            name: [asdict(point) for point in points]
            for name, points in trends_of(comparison).items()
        },
        "alternatives": {name: _summary(one) for name, one in alternatives.items()},
        "rows": [
            {"ns3": asdict(row), "twin": asdict(rates)}
            for row, rates in zip(comparison.rows, comparison.twin, strict=True)
        ],
        "failures": FAILURES_NOTE,
    }
    return json.dumps(_plain(document), indent=1, allow_nan=False)


def _plain(value: object) -> object:
    """Return a document in which unknown numbers are null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


# ------------------------------------------------------------------ page


def handover_page(comparison: Comparison, alternatives: Mapping[str, Comparison]) -> str:
    """Return the comparison as a page; arguments as for ``handover_screen``."""
    return render(
        "handover_study.html",
        title="Handover behaviour: the twin beside ns-3",
        subtitle=f"{len(comparison.rows)} rows, {len(comparison.seeds)} seeds",
        verdict=verdict(comparison),
        quantised=quantised(comparison),
        failures_note=FAILURES_NOTE,
        numbers=_table("rows compared", parts_of(comparison)),
        alternatives=_table("choice", alternatives) if alternatives else None,
        scatters=[safe_svg(_scatter(comparison, name)) for name in ("handovers", "failures")],
        trends=[safe_svg(chart) for chart in _trend_charts(comparison)],
        rows=_rows(comparison),
    )


def _table(first: str, named: Mapping[str, Comparison]) -> Table:
    columns = [Column(first), *(Column(name, numeric=True) for name in _HEADINGS)]
    rows = [[name, *_number_texts(one)] for name, one in named.items()]
    return Table(columns, rows, filterable=False)


def _row_name(row: StudyRow) -> str:
    condition, setting = row.condition, row.setting
    return (
        f"part {row.part}{', ' + row.variant if row.variant else ''}: "
        f"{condition.site_distance_m} m, {condition.speed_m_s:g} m/s, "
        f"{setting.offset_db:g} dB, {setting.time_to_trigger_s * 1e3:g} ms"
    )


def _scatter(comparison: Comparison, name: str) -> str:
    groups = []
    for speed in sorted({row.condition.speed_m_s for row in comparison.rows}):
        same = comparison.where(lambda row, speed=speed: row.condition.speed_m_s == speed)  # type: ignore[misc]
        names = [_row_name(row) for row in same.rows]
        groups.append(Dots(f"{speed:g} m/s", same.study(name), same.ours(name), names))
    return scatter_chart(
        groups,
        title=name.capitalize(),
        unit=UNIT,
        axes=("ns-3", "twin"),
        band=(RATIO_LEAST, RATIO_MOST) if name == "handovers" else None,
    )


def _trend_charts(comparison: Comparison) -> list[str]:
    charts = []
    for name, points in trends_of(comparison).items():
        label, unit = name.rstrip("]").split(" [")
        x = [point.value for point in points]
        look = Look(width=370, height=230, x_label=name, x_unit=unit, low=0.0)
        pairs = {
            "Handovers": ([p.twin.handovers for p in points], [p.handovers for p in points]),
            "Failures": ([p.twin.failures for p in points], [p.failures for p in points]),
        }
        for measure, (ours, theirs) in pairs.items():
            lines = [Line("ns-3", x, theirs, tone="baseline"), Line("twin", x, ours, tone="run")]
            charts.append(
                line_chart(lines, title=f"{measure} by {label}", unit=UNIT, look=look)
            )  # fmt: skip
        rises = Line("ping-pongs, twin", x, [p.twin.ping_pongs for p in points], tone="run")
        charts.append(line_chart([rises], title=f"Ping-pongs by {label}", unit=UNIT, look=look))
    return charts


def _rows(comparison: Comparison) -> Table:
    names = ("part", "distance m", "speed m/s", "offset dB", "TTT ms", "changed")
    rates = ("handovers", "ratio", "failures", "ping-pongs", "unnecessary", "SINR dB")
    columns = [Column(name, numeric=name not in {"part", "changed"}) for name in names]
    columns += [Column(name, numeric=True) for name in rates]
    rows: list[Row] = []
    for row, twin in zip(comparison.rows, comparison.twin, strict=True):
        condition, setting = row.condition, row.setting
        rows.append([
            row.part, condition.site_distance_m, condition.speed_m_s, setting.offset_db,
            setting.time_to_trigger_s * 1e3, row.variant,
            f"{twin.handovers:.2f} / {row.handovers:.2f}",
            format_number(twin.handovers / row.handovers, 2),
            f"{twin.failures:.3f} / {row.failures:.3f}", f"{twin.ping_pongs:.2f}",
            f"{row.unnecessary:.2f}", f"{twin.sinr_db:.1f} / {row.sinr_db:.1f}",
        ])  # fmt: skip
    return Table(columns, rows, caption="Twin / ns-3, rates per UE-minute")
