"""Every object with every KPI, small enough to be sent: what a reader looks at cell by cell.

The series are cut into stretches of equal length; of each, the lowest and the highest value
is kept as a share of the series' range, in 1/40 to 1/65 534 as there is room. All is packed
by zlib and written as base64. The script of the page unpacks it when it is asked for an
object; the table of objects needs no script.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape

from cellhive.core.types import Floats
from cellhive.diagnose.cycles import DAY_S, MAD_TO_SIGMA, Panel
from cellhive.diagnose.incidents import ALL_KPIS, Incident
from cellhive.diagnose.summary import Summary
from cellhive.flows.analyse import Analysis
from cellhive.reports.analysis import words
from cellhive.reports.analysis.clock import Clock
from cellhive.reports.analysis.drawn.figures import typical
from cellhive.reports.analysis.summary import Users, is_judged
from cellhive.reports.numbers import ABSENT, format_number, with_unit
from cellhive.reports.page import Cell, Column, Row, Table

ROOM_BYTES = 2_100_000
"""Information of all series [bytes]: with the rest, a page of less than 5 MB."""
FEWEST_POINTS = 12
ROWS_SHOWN = 1000
"""Objects in the table; all others are found by their name."""
MOST_SERIES = 120_000
CLEARLY_APART = 4.0
"""Robust spreads between a cell's median and those of the others, from which it stands out."""
MOST_INCIDENTS = 1500
MOST_MEMBERS = 400
"""Departures of one incident that are marked in the plots of cells."""
_FEWEST_CELLS = 5
_LARGEST = 3e38
_WIDE = 65534
_CHOICES = (
    (400, _WIDE), (400, 254), (300, 254), (240, 254), (180, 254), (120, 254), (120, 126),
    (90, 126), (60, 126), (60, 62), (45, 62), (30, 62), (30, 40), (20, 40), (FEWEST_POINTS, 40),
)  # fmt: skip
"""Stretches of a series and highest code of a value, the best first."""


@dataclass(frozen=True)
class Drilled:
    """The objects of an analysis, as a page shows them."""

    table: Table
    names: tuple[str, ...]
    """Objects whose series are in the page, in the order of the table."""
    hidden: int
    """Objects beyond the rows of the table."""
    left_out: int
    """Objects whose series would not fit."""
    data: Markup
    """What the script needs, as JSON for a script element."""


def drilled(analysis: Analysis, clock: Clock) -> Drilled:
    """Return the objects of an analysis with their KPIs, those with most trouble first."""
    users = Users(analysis)
    trouble = _trouble(analysis)
    apart = _apart(analysis)
    names = list(dict.fromkeys(name for part in analysis.parts for name in part.objects))
    size = {name: users.at(name) for name in names}
    names.sort(key=lambda name: (-trouble[name][1] if name in trouble else 0.0, name))
    table = _table(analysis, names[:ROWS_SHOWN], trouble, apart, size if users.kpis else {})
    kept, data = _packed(analysis, names, clock)
    return Drilled(
        table, tuple(kept), max(len(names) - ROWS_SHOWN, 0), len(names) - len(kept), data
    )


Trouble = dict[str, tuple[list[Incident], float]]


def _trouble(analysis: Analysis) -> Trouble:
    """Return the incidents of each object and the severity that falls to it."""
    out: Trouble = {}
    for one in analysis.search.incidents:
        weight = {"worse": 1.0, "mixed": 1.0, "": 0.3}.get(one.effect, 0.1)
        for name in one.objects:
            held, total = out.get(name, ([], 0.0))
            held.append(one)
            out[name] = held, total + weight * one.severity / len(one.objects)
    return out


@dataclass(frozen=True, slots=True)
class _Apart:
    kpi: str
    text: str
    sigmas: float


def _apart(analysis: Analysis) -> dict[str, _Apart]:
    """Return, by object, the KPI in which its median is furthest on the bad side of the others."""
    out: dict[str, _Apart] = {}
    for part in analysis.parts:
        for one in part.summaries:
            if one.better and len(one.objects) >= _FEWEST_CELLS:
                _note_apart(one, out)
    return out


def _note_apart(one: Summary, out: dict[str, _Apart]) -> None:
    medians = np.array([item.median for item in one.objects])
    known = medians[np.isfinite(medians)]
    if known.size < _FEWEST_CELLS:
        return
    middle = float(np.median(known))
    spread = MAD_TO_SIGMA * float(np.median(np.abs(known - middle)))
    if spread <= 0:
        return
    sign = 1.0 if one.better == "lower" else -1.0
    for item, sigmas in zip(one.objects, sign * (medians - middle) / spread, strict=True):
        held = out.get(item.object)
        if sigmas >= CLEARLY_APART and (held is None or sigmas > held.sigmas):
            value, usual = (words.value(v, one.unit) for v in (item.median, middle))
            text = f"{words.clean(one.kpi)} {value}; others {usual}"
            out[item.object] = _Apart(one.kpi, text, float(sigmas))


def _table(
    analysis: Analysis, names: Sequence[str], trouble: Trouble, apart: dict[str, _Apart],
    users: dict[str, float],
) -> Table:  # fmt: skip
    coverage: dict[str, tuple[int, int]] = {}
    kpis: dict[str, int] = {}
    for part in analysis.parts:
        for one in part.coverage:
            there, expected = coverage.get(one.object, (0, 0))
            coverage[one.object] = there + one.periods, expected + one.expected
        for item in (item for summary in part.summaries for item in summary.objects):
            kpis[item.object] = kpis.get(item.object, 0) + (item.values > 0)
    noun = words.noun_of(analysis)
    judged = is_judged(analysis)
    columns = [
        Column(words.title(noun or "object"), keep=True),
        *([Column("Changes for the worse", numeric=True), Column("Most severe", wide=True)]
          if judged else []),
        Column("Stands out beside the others", wide=True,
               title="KPI whose median is far on the bad side of those of the other objects"),
        *([Column("Users", numeric=True, title="Mean number at a time")] if users else []),
        Column("Rows there", numeric=True, title="Share of the periods with a row"),
        Column("KPIs", numeric=True),
    ]  # fmt: skip
    rows: list[Row] = []
    for index, name in enumerate(names):
        held = trouble.get(name, ([], 0.0))[0]
        bad = [one for one in held if one.effect in {"worse", "mixed"}]
        first = next(iter(bad or held), None)
        there, expected = coverage.get(name, (0, 0))
        share = 100.0 * there / expected if expected else math.nan
        stands = apart.get(name)
        rows.append([
            Cell(_opener(index, name), words.clean(name)),
            *([Cell(str(len(bad)), float(len(bad)), "worse" if bad else ""),
               Cell(_link(first, noun), float(first.rank) if first else math.nan)]
              if judged else []),
            Cell(stands.text if stands else ABSENT, stands.sigmas if stands else math.nan),
            *([Cell(format_number(users[name]), users[name])] if users else []),
            Cell(with_unit(format_number(share), "%"), share),
            kpis.get(name, 0),
        ])  # fmt: skip
    return Table(columns, rows, empty="No objects were read.")


def _opener(index: int, name: str) -> Markup:
    """Return the name of an object as a link that opens its KPIs; plain text without a script."""
    shown = escape(words.clean(name)).replace(",", Markup(",<wbr>"))
    return Markup('<a class="cell" href="#cell={}" data-cell="{}">{}</a>').format(
        _uri(name), index, shown
    )


def _uri(name: str) -> str:
    """Return a name as part of an address: all but letters and digits as % and hexadecimals."""
    return "".join(
        chr(byte) if chr(byte).isascii() and (chr(byte).isalnum() or chr(byte) in "-_.~")
        else f"%{byte:02X}"
        for byte in name.encode("utf-8", "replace")
    )  # fmt: skip


def _link(one: Incident | None, noun: str) -> Markup | str:
    if one is None:
        return ABSENT
    text = f"{one.rank}. {words.headline(one, noun)}"
    return Markup('<a href="#{}">{}</a>').format(words.anchor(one), text)


# Packing ------------------------------------------------------------------------


def _packed(analysis: Analysis, names: Sequence[str], clock: Clock) -> tuple[list[str], Markup]:
    """Return the objects whose series fit, and everything packed as JSON."""
    panels = [
        (panel, summary) for part in analysis.parts
        for panel, summary in zip(part.panels, part.summaries, strict=True)
    ]  # fmt: skip
    per_cell = sum(len(panel.objects) for panel, _ in panels) / max(len(names), 1)
    most = int(min(MOST_SERIES, ROOM_BYTES // (2 * FEWEST_POINTS)) / max(per_cell, 1))
    kept = list(names[: max(most, 1)])
    order = {name: index for index, name in enumerate(kept)}
    rows = [[row for row, name in enumerate(panel.objects) if name in order] for panel, _ in panels]
    blocks, top = _fit([(p, len(chosen)) for (p, _), chosen in zip(panels, rows, strict=True)])
    kpis: list[dict[str, Any]] = []
    parts: list[bytes] = []
    orders: list[list[int]] = []
    for (panel, summary), chosen, block in zip(panels, rows, blocks, strict=True):
        drawn = np.concatenate([typical(panel.values)[None], panel.values[chosen]])
        points = -(-panel.periods // block)
        parts.append(_bytes(drawn, block, top))
        step_s = panel.step_s if panel.step_s > 0 else 1.0
        start_s = clock.wall_s(panel.start_s) if panel.step_s > 0 else 0.0
        kpis.append({
            "name": words.clean(panel.kpi), "unit": panel.unit, "better": summary.better,
            "timed": panel.step_s > 0, "start": start_s, "step": step_s * block,
            "points": points, "pairs": block > 1,
            "cells": _at(orders, [order[panel.objects[row]] for row in chosen]),
            "values": [_short(summary.objects[row].median) for row in chosen],
            "usual": _short(_median([item.median for item in summary.objects])),
        })  # fmt: skip
    index = {panel.kpi: i for i, (panel, _) in reversed(list(enumerate(panels)))}
    for kpi, (panel, _) in zip(kpis, panels, strict=True):
        kpi["like"] = index[panel.kpi]
    noun = words.noun_of(analysis)
    packed = zlib.compress(b"".join(parts), 9)
    record = {
        "cells": [words.clean(name) for name in kept],
        "links": [_uri(name) for name in kept],
        "kpis": kpis,
        "incidents": [
            _incident(one, order, index, clock, noun)
            for one in analysis.search.incidents[:MOST_INCIDENTS]
        ],
        "judged": is_judged(analysis),
        "top": top,
        "orders": orders,
        "axis": clock.axis,
        "packed": base64.b64encode(packed).decode("ascii"),
    }
    return kept, json_in_html(record)


def _at(orders: list[list[int]], cells: list[int]) -> int:
    """Return where an order of cells stands in a list, which it is added to if it is new."""
    if cells not in orders:
        orders.append(cells)
    return orders.index(cells)


def json_in_html(record: object) -> Markup:
    """Return JSON that may stand in a script element: nothing in it ends the element."""
    text = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, code in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"),
                            ("\u2028", "\\u2028"), ("\u2029", "\\u2029")):  # fmt: skip
        text = text.replace(character, code)
    return Markup(text)  # noqa: S704  # every character that could end the element is a code


def _incident(
    one: Incident, order: dict[str, int], kpis: dict[str, int], clock: Clock, noun: str
) -> dict[str, Any]:
    return {
        "at": words.anchor(one), "text": f"{one.rank}. {words.headline(one, noun)}",
        "when": words.stretch(one, clock), "effect": one.effect,
        "cells": [order[name] for name in one.objects if name in order],
        "members": [
            (order[a.object], -1 if a.kpi == ALL_KPIS else kpis.get(a.kpi, -2),
             round(clock.wall_s(a.start_s)), round(clock.wall_s(a.end_s)))
            for a in one.members[:MOST_MEMBERS] if a.object in order
        ],
    }  # fmt: skip


def _short(value: float) -> float | None:
    """Return a number with four digits; None where it is not known."""
    return float(f"{value:.4g}") if math.isfinite(value) else None


def _median(values: Sequence[float]) -> float:
    known = np.array([v for v in values if math.isfinite(v)])
    return float(np.median(known)) if known.size else math.nan


def _fit(panels: Sequence[tuple[Panel, int]]) -> tuple[list[int], int]:
    """Return the periods of one stretch for each panel, and the highest code of a value."""
    blocks, top = [1] * len(panels), _WIDE
    for points, top in _CHOICES:
        blocks = [_block(panel, points) for panel, _ in panels]
        values = sum(
            (rows + 1) * -(-panel.periods // block) * (1 if block == 1 else 2)
            for (panel, rows), block in zip(panels, blocks, strict=True)
        )
        if values * math.log2(top + 2) / 8 <= ROOM_BYTES:
            break
    return blocks, top


def _block(panel: Panel, points: int) -> int:
    """Return the periods of a stretch so that a series has at most so many of them.

    Stretches divide a day or are whole days, where periods have a length.
    """
    least = -(-panel.periods // points)
    if least == 1 or panel.step_s <= 0 or least * panel.step_s > DAY_S:
        whole = DAY_S / panel.step_s if panel.step_s > 0 else 0.0
        per_day = round(whole) if whole >= 1 and whole.is_integer() else 1
        return -(-least // per_day) * per_day if least > 1 else 1
    ends = (k for k in range(least, 2 * math.ceil(DAY_S / panel.step_s)))
    return next((k for k in ends if DAY_S % (k * panel.step_s) == 0), least)


def _bytes(values: Floats, block: int, top: int) -> bytes:
    """Return rows as bytes: low and high end (float32) of each, all lows, and all highs."""
    low, high = _ends(values, block)
    both = np.clip(low[None] if block == 1 else np.stack([low, high]), -_LARGEST, _LARGEST)
    known = np.isfinite(both)
    least = np.where(known, both, np.inf).min(axis=(0, 2), initial=np.inf)
    most = np.where(known, both, -np.inf).max(axis=(0, 2), initial=-np.inf)
    least, most = (np.where(np.isfinite(end), end, 0.0).astype("<f4") for end in (least, most))
    span = np.where(most > least, most.astype(np.float64) - least, 1.0)[None, :, None]
    share = np.clip((np.where(known, both, 0.0) - least[None, :, None]) / span, 0.0, 1.0)
    codes = np.where(known, np.rint(share * top), top + 1)
    body = codes.astype("<u1" if top < _WIDE else "<u2").tobytes()
    # the script reads arrays of floats, which must begin at multiples of four bytes
    return np.stack([least, most], axis=1).tobytes() + body + b"\0" * (-len(body) % 4)


def _ends(values: Floats, block: int) -> tuple[Floats, Floats]:
    """Return the lowest and highest value of each stretch, (N, stretches); NaN where none is."""
    if block == 1:
        return values, values
    rows, periods = values.shape
    stretches = -(-periods // block)
    padded: npt.NDArray[np.float64] = np.full((rows, stretches * block), np.nan)
    padded[:, :periods] = values
    folded = padded.reshape(rows, stretches, block)
    known = np.isfinite(folded)
    low = np.where(known, folded, np.inf).min(axis=2)
    high = np.where(known, folded, -np.inf).max(axis=2)
    return np.where(np.isfinite(low), low, np.nan), np.where(np.isfinite(high), high, np.nan)
