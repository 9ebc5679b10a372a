"""The charts and maps of a run report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from cellhive.core.types import Change, Floats, Network
from cellhive.flows.decide import ROLLBACK, ROLLED_BACK
from cellhive.flows.trial import Raster, RunRecord, Truth
from cellhive.reports.bars import Bar, bar_chart
from cellhive.reports.charts import Mark, compare_lines, line_chart
from cellhive.reports.drawing.colours import change_scale, scale_for
from cellhive.reports.drawing.svg import Look
from cellhive.reports.map import Overlay, is_wide, network_map
from cellhive.reports.numbers import label_of, quantity_of, shown_scale, shown_unit
from cellhive.reports.page import safe_svg
from cellhive.reports.run.decisions import Decision, change_text
from cellhive.reports.run.summary import OBJECTIVE, Compared, Window, cell_kpis, network_series

SERIES = (
    "objective",
    "demand_satisfied_ratio",
    "ue_throughput_mbps",
    "ue_throughput_p5_mbps",
    "handover_failure_ratio",
    "ping_pong_ratio",
    "rlf_per_ue_min",
    "interruption_ratio",
    "weak_coverage_ratio",
    "interference_ratio",
    "prb_utilisation_ratio",
    "power_w",
)
"""KPIs drawn over time, in this order."""

MOST_EFFECTS = 40
"""Decisions in the chart of true effects; the largest are drawn."""

MANY_MOMENTS = 16
"""Moments of change beyond which only roll-backs get a line of their own."""

_MAPPED = (
    "ue_throughput_p5_mbps",
    "ue_throughput_mbps",
    "demand_satisfied_ratio",
    "handover_failure_ratio",
    "ping_pong_ratio",
    "rlf_per_ue_min",
    "weak_coverage_ratio",
    "power_w",
)
_HOUR_S = 3600.0
_MOMENTS = ("before", "after")
_RASTER_UNITS = {"_dbm": "dBm", "_db": "dB", "_mbps": "Mbit/s"}


@dataclass(frozen=True, slots=True)
class MapRow:
    """Maps that belong side by side."""

    heading: str
    maps: tuple[Markup, ...]
    wide: bool = False
    """Whether each map takes the whole width: a corridor rather than a city."""


def series_charts(record: RunRecord) -> list[Markup]:
    """Return one chart per KPI: the run over "do nothing", with the moments of change."""
    if not record.frames:
        return []
    hours = np.array([frame.time_s / _HOUR_S for frame in record.frames])
    run = network_series(record.frames) | {OBJECTIVE: np.array(record.objective)}
    baseline = network_series(record.baseline) | {OBJECTIVE: np.array(record.baseline_objective)}
    marks = change_marks(record)
    charts = []
    for name in SERIES:
        factor = shown_scale(name)
        beside = baseline.get(name, np.zeros(0))
        if name not in run or not np.isfinite(run[name]).any():
            continue
        charts.append(
            safe_svg(
                line_chart(
                    compare_lines(
                        hours,
                        run[name] * factor,
                        beside * factor if beside.size == hours.size else np.zeros(0),
                    ),
                    title=label_of(name),
                    unit=shown_unit(name),
                    marks=marks,
                    look=Look(width=440, height=215, x_unit="clock"),
                )
            )
        )
    return charts


def change_marks(record: RunRecord) -> list[Mark]:
    """Return one mark per moment at which plans were applied or undone."""
    moments: dict[float, list[str]] = {}
    undone: set[float] = set()
    for plan in record.applied:
        told = moments.setdefault(plan.time_s, [])
        word = "rolled back" if plan.function == ROLLBACK else f"{plan.function} applied"
        if plan.function == ROLLBACK:
            undone.add(plan.time_s)
        told += [f"{word}: {change_text(change)}" for change in plan.changes]
    calm = "quiet" if len(moments) > MANY_MOMENTS else "info"
    return [
        Mark(time_s / _HOUR_S, _shortened(told), "worse" if time_s in undone else calm)
        for time_s, told in sorted(moments.items())
    ]


def _shortened(lines: Sequence[str], most: int = 8) -> str:
    more = [f"… and {len(lines) - most} more"] if len(lines) > most else []
    return "\n".join([*lines[:most], *more])


def effects_chart(decisions: Sequence[Decision]) -> Markup | None:
    """Return the true effect of every decision on the score; None where none is known."""
    known = [d for d in decisions if d.true_effect is not None]
    if not known:
        return None
    largest = sorted(known, key=lambda d: -abs(_mean(d)))[:MOST_EFFECTS]
    bars = []
    for decision in sorted(largest, key=lambda d: -_mean(d)):
        effect = decision.true_effect
        if effect is None:
            continue
        undone = ", rolled back" if decision.outcome.verdict == ROLLED_BACK else ""
        bars.append(
            Bar(
                f"{decision.plan.plan_id}{undone}",
                effect.mean,
                effect.low,
                effect.high,
                tone={Truth.RIGHT: "better", Truth.WRONG: "worse"}.get(decision.truth, "muted"),
                note=f"{decision.outcome.verdict}; verdict {decision.truth}\n"
                + _shortened([change_text(change) for change in decision.plan.changes], 4),
            )
        )
    title = "True effect of each plan on the score of the whole network, while it was watched"
    if len(known) > len(bars):
        title += f" (the largest {len(bars)} of {len(known)})"
    return safe_svg(bar_chart(bars, title=title, unit="points", dots=True))


def _mean(decision: Decision) -> float:
    return decision.true_effect.mean if decision.true_effect is not None else 0.0


def mapped_kpis(compared: Mapping[str, Compared], most: int = 2) -> list[str]:
    """Return the KPIs whose change is clearest against its interval; those are drawn as maps."""

    def clarity(name: str) -> float:
        one = compared[name]
        half = (one.high - one.low) / 2
        return abs(one.change) / half if half > 0 else 0.0

    known = [name for name in _MAPPED if name in compared]
    return sorted(known, key=clarity, reverse=True)[:most]


def kpi_maps(record: RunRecord, window: Window, names: Sequence[str]) -> list[MapRow]:
    """Return, per KPI, maps of "do nothing", of the run, and of the change between them."""
    if not window.run:
        return []
    notes = change_notes(record)
    outlined = tuple(notes)
    run = cell_kpis(window.run)
    baseline = cell_kpis(window.baseline) if window.baseline else {}
    rows = []
    for name in names or ("ue_throughput_mbps",):
        values = run[name] * shown_scale(name)
        overlay = Overlay(notes=notes, outlined=outlined)
        if not baseline:
            drawn = _kpi_map(record.network, name, values, overlay)
            rows.append(MapRow(label_of(name), (drawn,), is_wide(record.network)))
            continue
        beside = baseline[name] * shown_scale(name)
        rows.append(_map_row(record.network, name, (beside, values), overlay))
    return rows


def _better(name: str) -> str:
    quantity = quantity_of(name)
    return quantity.better if quantity else ""


def _kpi_map(network: Network, name: str, values: Floats, overlay: Overlay) -> Markup:
    scale = scale_for(values, better=_better(name))
    return safe_svg(
        network_map(
            network,
            values,
            title=label_of(name),
            scale=scale,
            unit=shown_unit(name),
            overlay=overlay,
        )
    )


def _map_row(network: Network, name: str, sides: tuple[Floats, Floats], overlay: Overlay) -> MapRow:
    before, after = sides
    scale = scale_for(before, after, better=_better(name), robust=True)
    difference = after - before
    unit = shown_unit(name)
    drawn = [
        network_map(network, before, title="Do nothing", scale=scale, unit=unit),
        network_map(network, after, title="With CellHive", scale=scale, unit=unit, overlay=overlay),
        network_map(
            network,
            difference,
            title="Change (blue is better)",
            scale=change_scale(difference, better=_better(name), robust=True),
            unit="pp" if unit == "%" else unit,
            overlay=overlay,
        ),
    ]
    return MapRow(label_of(name), tuple(safe_svg(svg) for svg in drawn), is_wide(network))


def change_notes(record: RunRecord) -> dict[int, str]:
    """Return, per changed cell, what was changed in it, for tooltips."""
    told: dict[int, list[str]] = {}
    for plan in record.applied:
        for change in plan.changes:
            cell = record.network.cell_index.get(change.cell)
            if cell is not None:
                told.setdefault(cell, []).append(_note(plan.function, change))
    return {cell: _shortened(lines, 6) for cell, lines in told.items()}


def _note(function: str, change: Change) -> str:
    return f"{function}: {change_text(change).split(': ', 1)[1]}" + (
        f" towards {change.target}" if change.target else ""
    )


def raster_maps(record: RunRecord) -> list[MapRow]:
    """Return the rasters of a record as maps.

    Rasters whose names differ in "before" and "after" alone are drawn side by side, with
    their difference.
    """
    rows: list[MapRow] = []
    outlined = tuple(change_notes(record))
    stems = dict.fromkeys(_stem(name) for name in record.maps)
    for stem in stems:
        mine = {name: raster for name, raster in record.maps.items() if _stem(name) == stem}
        unit = next((u for end, u in _RASTER_UNITS.items() if stem.endswith(end)), "")
        heading = _raster_heading(stem)
        scale = scale_for(*(raster.values for raster in mine.values()), robust=True)
        maps = [
            safe_svg(
                network_map(
                    record.network,
                    None,
                    title=_moment(name).capitalize() or heading,
                    scale=scale,
                    unit=unit,
                    overlay=Overlay(raster=raster, outlined=outlined),
                )
            )
            for name, raster in mine.items()
        ]
        difference = _difference(mine)
        if difference is not None:
            maps.append(
                safe_svg(
                    network_map(
                        record.network,
                        None,
                        title="Change (blue is higher)",
                        scale=change_scale(difference.values, robust=True),
                        unit="dB" if unit == "dBm" else unit,
                        overlay=Overlay(raster=difference, outlined=outlined),
                    )
                )
            )
        rows.append(MapRow(heading, tuple(maps), is_wide(record.network)))
    return rows


def _stem(name: str) -> str:
    """Return the name of a raster without "before" or "after"."""
    words = [word for word in name.replace(" ", "_").split("_") if word not in _MOMENTS]
    return "_".join(words)


def _moment(name: str) -> str:
    return next((word for word in name.replace(" ", "_").split("_") if word in _MOMENTS), "")


def _raster_heading(stem: str) -> str:
    words = stem
    for end in _RASTER_UNITS:
        words = words.removesuffix(end)
    words = words.replace("_", " ").strip()
    for short in ("rsrp", "sinr"):
        words = words.replace(short, short.upper())
    return words[:1].upper() + words[1:]


def _difference(rasters: Mapping[str, Raster]) -> Raster | None:
    before = next((r for name, r in rasters.items() if _moment(name) == "before"), None)
    after = next((r for name, r in rasters.items() if _moment(name) == "after"), None)
    if before is None or after is None or before.values.shape != after.values.shape:
        return None
    change = after.values - before.values
    if not np.isfinite(change).any() or math.isclose(float(np.nanmax(np.abs(change))), 0.0):
        return None
    return Raster(after.x0_m, after.y0_m, after.pixel_m, change)
