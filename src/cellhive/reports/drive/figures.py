"""Charts of a replayed drive test: levels over time, who served, and the trade-off of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from markupsafe import Markup

from cellhive.core.types import Floats, Ints
from cellhive.flows.drive import Comparison, Window
from cellhive.flows.drive_tally import WEAK_DBM, lasting
from cellhive.ran.trace import Kind, Label, Replayed, Stretch, joined_levels
from cellhive.reports.charts import Line, Mark, line_chart
from cellhive.reports.drawing.scales import Scale, nice_ticks
from cellhive.reports.drawing.svg import LEFT, RIGHT, TOP, Look, svg_element
from cellhive.reports.drive import words
from cellhive.reports.page import safe_svg

MOST_CELLS = 8
"""Cells that have a line of their own."""
_WIDTH, _HEIGHT, _ROW, _FOOT = 940, 290, 26, 40
_LEAST_LABEL = 30.0
_TONES = {
    Kind.HANDOVER_FAILURE: "worse",
    Kind.RADIO_LINK_FAILURE: "worse",
    Kind.REESTABLISHMENT: "warn",
}


def levels_chart(window: Window, case: int, name: str) -> Markup:
    """Return the levels of a window with the events of one case marked.

    Args:
        window: Part of a log.
        case: Which replay's events to mark.
        name: What that case is called.
    """
    log = window.log
    tones = tones_of(window)
    lines = [_cell_line(window, cell, f"c{tones[cell] % 8}") for cell in list(tones)[:MOST_CELLS]]
    if len(tones) > MOST_CELLS:
        lines = [_envelope(window, best=True), _envelope(window, best=False)]
    marks = [
        Mark(event.time_s, f"recorded: {event.kind} {event.source} → {event.target or '?'}",
             "quiet" if event.kind == "handover" else "worse")
        for event in log.events
        if event.kind in ("handover", "radio link failure")
        and window.start_s <= event.time_s <= window.end_s
    ]  # fmt: skip
    marks += _replay_marks(window, case, name)
    look = Look(
        width=_WIDTH, height=_HEIGHT, x_unit="s", x_label="s",
        reference=WEAK_DBM, reference_label="weak below",
    )  # fmt: skip
    title = f"{log.name}, {log.begins or 'time in the log'}: RSRP"
    return safe_svg(line_chart(lines, title=title, unit="dBm", marks=marks, look=look))


def tones_of(window: Window) -> dict[str, int]:
    """Return the cells of a window with the number of their colour, most measured first."""
    seen: dict[str, int] = {}
    for stretch in window.log.stretches:
        inside = _inside(window, stretch)
        for c, cell in enumerate(stretch.cells):
            seen[cell] = seen.get(cell, 0) + int(np.isfinite(stretch.rsrp_dbm[inside, c]).sum())
    ranked = sorted((cell for cell in seen if seen[cell]), key=lambda cell: -seen[cell])
    return {cell: index for index, cell in enumerate(ranked)}


def _times(window: Window, stretch: Stretch) -> Floats:
    return np.asarray(stretch.start_s + np.arange(stretch.serving.size) * window.log.dt_s)


def _ends(window: Window) -> tuple[float, float]:
    """Return the times of the first and the last sample in a window [s]: the ends of its axis."""
    times = [_times(window, one)[_inside(window, one)] for one in window.log.stretches]
    inside = np.concatenate(times)
    return (float(inside.min()), float(inside.max())) if inside.size > 1 else (0.0, 1.0)


def _inside(window: Window, stretch: Stretch) -> Ints:
    times = _times(window, stretch)
    return np.flatnonzero((times >= window.start_s) & (times <= window.end_s)).astype(np.int32)


def _levels(window: Window, stretch: Stretch) -> Floats:
    log = window.log
    return joined_levels(stretch.rsrp_dbm, log.dt_s, log.join_s, log.hold_s)


def _cell_line(window: Window, cell: str, tone: str) -> Line:
    """Return the level of one cell over a window."""
    x: list[float] = []
    y: list[float] = []
    for stretch in window.log.stretches:
        inside = _inside(window, stretch)
        if cell in stretch.cells and inside.size:
            x += _times(window, stretch)[inside].tolist()
            y += _levels(window, stretch)[inside, stretch.cells.index(cell)].tolist()
    return Line(cell, x, y, tone, max_gap=1.5 * window.log.dt_s)


def _envelope(window: Window, *, best: bool) -> Line:
    """Return the level of the recorded serving cell, or of the best other one."""
    x: list[float] = []
    y: list[float] = []
    for stretch in window.log.stretches:
        levels, inside = _levels(window, stretch), _inside(window, stretch)
        rows = np.arange(levels.shape[0])
        serving = lasting(stretch.serving)
        own = levels[rows, serving]
        others = np.where(np.isfinite(levels), levels, -np.inf)
        others[rows, serving] = -np.inf
        most = others.max(axis=1)
        values = np.where(np.isfinite(most), most, np.nan) if best else own
        x += _times(window, stretch)[inside].tolist()
        y += values[inside].tolist()
    label, tone = ("best other cell", "c1") if best else ("serving cell as recorded", "c0")
    return Line(label, x, y, tone, max_gap=1.5 * window.log.dt_s)


def _replay_marks(window: Window, case: int, name: str) -> list[Mark]:
    """Return the handovers and failures of a replay within a window."""
    marks = []
    for stretch, replayed in zip(window.log.stretches, window.replays[case], strict=True):
        for event in replayed.events:
            time_s = stretch.start_s + event.time_s
            if event.kind in (Kind.TRIGGERED, Kind.PLACED) or not (
                window.start_s <= time_s <= window.end_s
            ):
                continue
            target = stretch.cells[event.target] if event.target >= 0 else "?"
            tone = "worse" if event.label is Label.PING_PONG else _TONES.get(event.kind, "better")
            blame = f" ({event.label})" if event.label else ""
            tip = f"{name}: {event.kind} {stretch.cells[event.source]} → {target}{blame}"
            marks.append(Mark(time_s, tip, tone))
    return marks


# Who served -------------------------------------------------------------------


def serving_chart(window: Window, names: Sequence[str]) -> Markup:
    """Return a band per case that shows which cell served when; recorded first."""
    rows = [
        ("recorded", [_recorded_spans(window, one) for one in window.log.stretches]),
        *(
            (name, [
                _replayed_spans(stretch, replayed)
                for stretch, replayed in zip(window.log.stretches, replays, strict=True)
            ])
            for name, replays in zip(names, window.replays, strict=True)
        ),
    ]  # fmt: skip
    look = Look(width=_WIDTH, height=TOP + _ROW * len(rows) + _FOOT)
    scale = Scale(*_ends(window), LEFT, look.width - RIGHT)
    tones = tones_of(window)
    body = [_ticks(scale, look)]
    for index, (name, stretches) in enumerate(rows):
        top = TOP + index * _ROW
        body.append(
            f'<text class="axis" x="{LEFT - 6}" y="{top + 15}" text-anchor="end">'
            f"{escape(name)}</text>"
        )
        spans = [span for part in stretches for span in part]
        body += [_block(scale, top, span, tones) for span in spans]
    return safe_svg(svg_element("Serving cell", body, look, ""))


Span = tuple[float, float, str]
"""From, to [s], and the cell."""


def _recorded_spans(window: Window, stretch: Stretch) -> list[Span]:
    return _spans(lasting(stretch.serving), stretch.start_s, window.log.dt_s, stretch.cells)


def _replayed_spans(stretch: Stretch, replayed: Replayed) -> list[Span]:
    return _spans(replayed.serving, stretch.start_s, replayed.step_s, stretch.cells)


def _spans(serving: Ints, start_s: float, step_s: float, cells: Sequence[str]) -> list[Span]:
    """Return the spans in which one cell serves; without one there is no span."""
    edges = np.concatenate(([0], np.flatnonzero(np.diff(serving)) + 1, [serving.size]))
    return [
        (start_s + first * step_s, start_s + last * step_s, cells[serving[first]])
        for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
        if serving[first] >= 0
    ]


def _block(scale: Scale, top: int, span: Span, tones: dict[str, int]) -> str:
    """Return one coloured block with the name of its cell, where there is room."""
    left, right = max(scale(span[0]), scale.start), min(scale(span[1]), scale.end)
    if right <= left:
        return ""
    tip = f"{span[2]}, {span[0]:.1f} to {span[1]:.1f} s"
    text = ""
    if right - left > max(_LEAST_LABEL, 6.5 * len(span[2]) + 6):
        text = (
            f'<text class="value" x="{(left + right) / 2:.1f}" y="{top + 15}" '
            f'text-anchor="middle">{escape(span[2])}</text>'
        )
    return (
        f'<g><rect class="bar c{tones.get(span[2], 7) % 8}" fill-opacity=".45" x="{left:.1f}" '
        f'y="{top}" width="{right - left:.1f}" height="{_ROW - 6}"/>{text}'
        f"<title>{escape(tip)}</title></g>"
    )


def _ticks(scale: Scale, look: Look) -> str:
    bottom = look.height - _FOOT + 2
    return "".join(
        f'<line class="grid" x1="{scale(t.at):.1f}" x2="{scale(t.at):.1f}" y1="{TOP}" '
        f'y2="{bottom}"/><text class="axis" x="{scale(t.at):.1f}" y="{bottom + 14}" '
        f'text-anchor="middle">{escape(t.label)} s</text>'
        for t in nice_ticks(scale.low, scale.high, 10)
    )


# Sweep ------------------------------------------------------------------------


def sweep_chart(compared: Comparison) -> Markup:
    """Return the trade-off: failures per hour over handovers per minute, a line per TTT."""
    by_trigger: dict[float, list[tuple[float, float]]] = {}
    for _, trigger, tally in words.sweep_rows(compared):
        point = (tally.handovers_per_minute, words.failures_per_hour(tally))
        by_trigger.setdefault(trigger, []).append(point)
    lines = []
    for trigger, points in by_trigger.items():
        ordered = sorted(points)
        lines.append(
            Line(f"{trigger * 1e3:g} ms", [x for x, _ in ordered], [y for _, y in ordered])
        )
    look = Look(
        width=_WIDTH, height=_HEIGHT, x_unit="per min", x_label="handovers per minute", low=0
    )
    title = "Failures per hour against handovers per minute, one line per time to trigger"
    return safe_svg(line_chart(lines, title=title, look=look))
