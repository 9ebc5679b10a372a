"""Where the variables of a causal graph stand: causes left, effects right, few crossings.

Layered drawing (Sugiyama, Tagawa and Toda 1981): every variable has a column, edges that pass
columns get a lane in each, and rows are put in sequence by the mean row of their neighbours.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

BOX_WIDTH, BOX_HEIGHT = 150, 24
"""Of a variable [px]."""
_GAP, _LANE, _COLUMN_GAP = 13, 11, 78
_SWEEPS = 12
MOST_COLUMNS = 5
"""Columns beside each other; with more, labels would be too small to read on a page."""


@dataclass(frozen=True)
class Way:
    """An edge to draw: from one variable to another."""

    cause: str
    effect: str
    lag: int = 0


@dataclass(frozen=True)
class Layout:
    """Places in a picture [px]."""

    columns: tuple[float, ...]
    """Left edge of each column."""
    column_of: Mapping[str, int]
    middle: Mapping[str, float]
    """Vertical middle of each variable."""
    lanes: Mapping[Way, tuple[tuple[float, float], ...]]
    """Points that an edge passes between its ends: left edge and middle of each lane."""
    width: float
    height: float


def layout_of(
    names: Sequence[str], ways: Sequence[Way], tiers: Mapping[str, int], *, top: float
) -> Layout:
    """Return where variables stand and edges pass.

    Args:
        names: Variables to draw.
        ways: Edges to draw; from a variable to itself needs no room.
        tiers: Of each variable; where all are of one, columns follow from the edges alone.
        top: Room above [px].
    """
    columns = _columns(names, ways, tiers)
    count = max(columns.values(), default=0) + 1
    rows: list[list[object]] = [[] for _ in range(count)]
    for name in names:
        rows[columns[name]].append(name)
    chains: dict[Way, list[object]] = {}
    for way in ways:
        a, b = columns[way.cause], columns[way.effect]
        if way.cause == way.effect:
            continue
        step = 1 if b >= a else -1
        lanes: list[object] = []
        for column in range(a + step, b, step) if a != b else ():
            lane = (way, column)
            rows[column].append(lane)
            lanes.append(lane)
        chains[way] = [way.cause, *lanes, way.effect]
    _sort(rows, chains, names)
    return _placed(rows, chains, columns, top)


def _columns(names: Sequence[str], ways: Sequence[Way], tiers: Mapping[str, int]) -> dict[str, int]:
    """Return the column of each variable: by tier, and in a tier by how far causes reach."""
    tier = {name: tiers.get(name, 0) for name in names}
    inner = [way for way in ways if not way.lag and tier[way.cause] == tier[way.effect]]
    depth = _depths(names, inner)
    most = dict.fromkeys(tier.values(), 0)
    for _ in range(MOST_COLUMNS - len(most)):  # a column more where most edges gain by it
        bows = Counter(
            tier[way.effect] for way in inner if depth[way.effect] > most[tier[way.effect]]
        )
        if not bows:
            break
        most[bows.most_common(1)[0][0]] += 1
    keys = {name: (tier[name], min(depth[name], most[tier[name]])) for name in names}
    column = {key: k for k, key in enumerate(sorted(set(keys.values())))}
    return {name: column[key] for name, key in keys.items()}


def _depths(names: Sequence[str], ways: Sequence[Way]) -> dict[str, int]:
    """Return the length of the longest path to each variable; a cycle is cut off."""
    depth = dict.fromkeys(names, 0)
    for _ in range(min(len(names), MOST_COLUMNS)):
        for way in ways:
            deeper = max(depth[way.effect], depth[way.cause] + 1)
            depth[way.effect] = min(deeper, MOST_COLUMNS)
    return depth


def _sort(
    rows: list[list[object]], chains: Mapping[Way, Sequence[object]], names: Sequence[str]
) -> None:
    """Put each column in the sequence of the mean place of its neighbours, to and fro."""
    near: dict[object, list[object]] = {}
    for chain in chains.values():
        for one, other in itertools.pairwise(chain):
            near.setdefault(one, []).append(other)
            near.setdefault(other, []).append(one)
    place: dict[object, float] = {}
    where = {item: column for column, items in enumerate(rows) for item in items}
    for items in rows:
        for k, item in enumerate(items):
            place[item] = (k + 0.5) / len(items)
    for sweep in range(_SWEEPS):
        order = range(len(rows)) if sweep % 2 == 0 else range(len(rows) - 1, -1, -1)
        side = -1 if sweep % 2 == 0 else 1
        for column in order:
            worth = {}
            for item in rows[column]:
                beside = [place[o] for o in near.get(item, ()) if where[o] == column + side]
                beside = beside or [place[o] for o in near.get(item, ()) if where[o] != column]
                worth[item] = sum(beside) / len(beside) if beside else place[item]
            rows[column].sort(key=lambda item: worth[item])
            for k, item in enumerate(rows[column]):
                place[item] = (k + 0.5) / len(rows[column])


def _placed(
    rows: Sequence[Sequence[object]], chains: Mapping[Way, Sequence[object]],
    columns: Mapping[str, int], top: float,
) -> Layout:  # fmt: skip
    """Return pixels: columns are centred, lanes are lower than boxes."""
    heights = [
        sum(_LANE if isinstance(item, tuple) else BOX_HEIGHT + _GAP for item in items)
        for items in rows
    ]
    tallest = max(heights, default=0)
    middle: dict[object, float] = {}
    for items, height in zip(rows, heights, strict=True):
        y = top + 0.5 * (tallest - height)
        for item in items:
            room = _LANE if isinstance(item, tuple) else BOX_HEIGHT + _GAP
            middle[item] = y + 0.5 * room
            y += room
    lefts = tuple(10.0 + k * (BOX_WIDTH + _COLUMN_GAP) for k in range(len(rows)))
    lanes = {
        way: tuple((lefts[lane[1]], middle[lane]) for lane in chain if isinstance(lane, tuple))
        for way, chain in chains.items()
    }
    width = (lefts[-1] if lefts else 0.0) + BOX_WIDTH + 46.0  # edges within the last column bow
    return Layout(
        lefts, columns, {name: middle[name] for name in columns}, lanes, width, top + tallest + 8.0
    )
