"""The picture of a causal graph: variables in columns, edges by probability and sign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby, pairwise

from cellhive.causal.motifs import Tier
from cellhive.flows.causes.summary import EdgeFound
from cellhive.reports.causal.layout import BOX_HEIGHT, BOX_WIDTH, Layout, Way, layout_of
from cellhive.reports.drawing.svg import Look, svg_element
from cellhive.reports.numbers import format_signed, label_of

MOST_EDGES = 48
"""Edges drawn; the strongest of the probable ones."""
PROBABLE = 0.5
POSSIBLE = 0.3
"""Probability from which an edge is drawn faintly."""
_LETTERS = 19
_STRONG = 0.4
"""Strength from which an edge is drawn in full colour."""
_TOP = 66.0
_TIER_NAMES = {
    Tier.CONFIGURATION: "set, and surroundings", Tier.RADIO: "radio", Tier.LOAD: "load",
    Tier.MOBILITY: "mobility", Tier.EXPERIENCE: "experience",
}  # fmt: skip


def graph_picture(
    edges: Sequence[EdgeFound], tiers: Mapping[str, int], *, title: str = "Causal graph"
) -> str:
    """Return a causal graph as SVG; empty if there is no edge to draw.

    Width tells the probability of an edge, colour whether more of the cause means more or less
    of the effect; edges from earlier periods are dashed and say how many periods.

    Args:
        edges: All edges found.
        tiers: Of the variables; empty if no tiers are known.
        title: Of the picture.
    """
    drawn = drawn_edges(edges)
    if not drawn:
        return ""
    names = list(dict.fromkeys(name for one in drawn for name in (one.cause, one.effect)))
    names.sort(key=lambda name: tiers.get(name, 0))
    ways = {one: Way(one.cause, one.effect, one.lag) for one in drawn}
    layout = layout_of(names, list(ways.values()), tiers, top=_TOP)
    own = {name: [one for one in drawn if one.cause == one.effect == name] for name in names}
    body = [_key(), *_headings(names, layout, tiers)]
    faint_first = sorted(drawn, key=lambda one: one.probability)
    body += [_edge(one, ways[one], layout) for one in faint_first if one.cause != one.effect]
    body += [_box(name, layout, own[name]) for name in names]
    width = max(round(layout.width), 560)
    return svg_element(title, body, Look(width=width, height=round(layout.height)), "")


def drawn_edges(edges: Sequence[EdgeFound]) -> list[EdgeFound]:
    """Return the edges that a picture shows: probable ones first, the strongest of them.

    Args:
        edges: All edges found.
    """
    probable = [one for one in edges if one.probability >= PROBABLE]
    possible = [one for one in edges if POSSIBLE <= one.probability < PROBABLE]
    probable.sort(key=lambda one: -one.probability * abs(one.strength))
    possible.sort(key=lambda one: -one.probability * abs(one.strength))
    return [*probable[:MOST_EDGES], *possible[: max(MOST_EDGES // 2 - len(probable), 0)]]


def _key() -> str:
    entries = (
        (8, "line c0", "", "more of it, more of the other"),
        (206, "line c1", "", "more of it, less of the other"),
        (404, "line muted", ' stroke-dasharray="5 4"', "from an earlier period"),
    )
    parts = [
        f'<line class="{look}"{dash} x1="{x}" x2="{x + 24}" y1="34" y2="34"/>'
        f'<text class="axis" x="{x + 30}" y="38">{text}</text>'
        for x, look, dash, text in entries
    ]
    return "".join(parts)


def _headings(names: Sequence[str], layout: Layout, tiers: Mapping[str, int]) -> list[str]:
    """Return the names of the tiers above their columns."""
    if len({tiers.get(name, 0) for name in names}) <= 1:
        return []
    tier = {layout.column_of[name]: tiers.get(name, 0) for name in names}
    out = []
    for which, group in groupby(sorted(tier), key=lambda column: tier[column]):
        columns = list(group)
        left, right = layout.columns[columns[0]], layout.columns[columns[-1]] + BOX_WIDTH
        out.append(
            f'<line class="grid" x1="{left:.0f}" x2="{right:.0f}" y1="62" y2="62"/>'
            f'<text class="axis" x="{left:.0f}" y="57">{_TIER_NAMES[Tier(which)]}</text>'
        )
    return out


def _edge(one: EdgeFound, way: Way, layout: Layout) -> str:
    start, end = layout.column_of[way.cause], layout.column_of[way.effect]
    y1, y2 = layout.middle[way.cause], layout.middle[way.effect]
    left, right = layout.columns[start], layout.columns[end]
    tip = 7.0
    if start == end:
        x = left + BOX_WIDTH
        bow = x + 18.0 + min(abs(y2 - y1) / 8.0, 22.0)
        path = f"M{x:.1f} {y1:.1f} C{bow:.1f} {y1:.1f} {bow:.1f} {y2:.1f} {x + tip:.1f} {y2:.1f}"
        arrow, at = (x, y2, -1), (bow - 6.0, 0.5 * (y1 + y2))
    else:
        forth = 1 if end > start else -1
        x1 = left + (BOX_WIDTH if forth > 0 else 0.0)
        x2 = right + (0.0 if forth > 0 else BOX_WIDTH)
        points = [(x1, y1)]
        for lane, y in layout.lanes[way]:
            inner = [(lane, y), (lane + BOX_WIDTH, y)]
            points += inner if forth > 0 else inner[::-1]
        points.append((x2 - forth * tip, y2))
        path = _curve(points)
        arrow = (x2, y2, forth)
        (ax, ay), (bx, by) = points[-2], points[-1]
        at = (0.5 * (ax + bx), 0.5 * (ay + by))
    colour = "c0" if one.strength >= 0.0 else "c1"
    dash = ' stroke-dasharray="6 4"' if one.lag else ""
    faint = 0.3 + 0.7 * min(abs(one.strength) / _STRONG, 1.0)
    if one.probability < PROBABLE:
        faint *= 0.5
    width = 0.6 + 1.8 * max(one.probability - POSSIBLE, 0.0) / (1.0 - POSSIBLE)
    lag = ""
    if one.lag:
        lag = (f'<text class="sitename" x="{at[0]:.1f}" y="{at[1] + 3:.1f}" '
               f'text-anchor="middle">{one.lag} earlier</text>')  # fmt: skip
    return (
        f'<g style="opacity:{faint:.2f}"><title>{escape(_tooltip(one))}</title>'
        f'<path class="line {colour}"{dash} style="stroke-width:{width:.2f}px" d="{path}"/>'
        f"{_arrow(arrow, colour)}{lag}</g>"
    )


def _tooltip(one: EdgeFound) -> str:
    when = f", {one.lag} periods before" if one.lag else ""
    return (
        f"{label_of(one.cause)}{when} → {label_of(one.effect)}: probability "
        f"{one.probability:.2f}, {format_signed(one.strength, 2)} standard deviations per one"
    )


def _curve(points: Sequence[tuple[float, float]]) -> str:
    """Return a path that leaves and reaches every point level."""
    parts = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for (x1, y1), (x2, y2) in pairwise(points):
        if y1 == y2:
            parts.append(f"L{x2:.1f} {y2:.1f}")
        else:
            half = 0.5 * (x1 + x2)
            parts.append(f"C{half:.1f} {y1:.1f} {half:.1f} {y2:.1f} {x2:.1f} {y2:.1f}")
    return " ".join(parts)


def _arrow(at: tuple[float, float, int], colour: str) -> str:
    x, y, forth = at
    back = x - forth * 8.0
    return (
        f'<path class="dot {colour}" d="M{x:.1f} {y:.1f} L{back:.1f} {y - 4:.1f} V{y + 4:.1f}z"/>'
    )


def _box(name: str, layout: Layout, own: Sequence[EdgeFound]) -> str:
    x, y = layout.columns[layout.column_of[name]], layout.middle[name] - BOX_HEIGHT / 2
    label = " ".join(label_of(name).split())
    mark = ""
    room = _LETTERS
    if own:
        room -= 4
        lags = ",".join(str(one.lag) for one in sorted(own, key=lambda one: one.lag))
        mark = (f'<text class="axis" x="{x + BOX_WIDTH - 6:.0f}" y="{y + 16:.1f}" '
                f'text-anchor="end">↻{lags}</text>')  # fmt: skip
    text = label if len(label) <= room else f"{label[: room - 1]}…"
    said = name if not own else f"{name}; follows itself from earlier periods"
    return (
        f'<g><title>{escape(said)}</title><rect class="node" x="{x:.0f}" y="{y:.1f}" '
        f'width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6"/>'
        f'<text class="rowlabel" x="{x + 8:.0f}" y="{y + 16:.1f}">{escape(text)}</text>{mark}</g>'
    )
