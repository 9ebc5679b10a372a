"""Drive tests in the report of an analysis, and on its screen: coverage along the way."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup
from rich.console import Group, RenderableType
from rich.text import Text

from cellhive.core.types import to_jsonable
from cellhive.flows.drive_tally import WEAK_DBM
from cellhive.flows.drives.survey import Distribution, Survey, WeakStretch
from cellhive.reports.analysis.words import counted
from cellhive.reports.causal.report import escaped
from cellhive.reports.drive.track import track_picture
from cellhive.reports.numbers import ABSENT, format_duration, format_number
from cellhive.reports.page import Column, Table, environment, safe_svg

MOST_SHOWN = 12
"""Logs that are shown in detail, the longest first; the table has all."""
_MOST_WEAK = 10
_SCREEN = 6
_KM_M = 1000.0
_PERCENT = 100.0


@dataclass(frozen=True)
class ShownDrive:
    """One log as it is written."""

    heading: str
    line: str
    track: Markup
    levels: Table
    weak: Table
    events: Table
    notes: Sequence[str]


def drives_html(surveys: Sequence[Survey]) -> str:
    """Return the body of the section on drive tests."""
    detailed = sorted(surveys, key=lambda one: -one.driven_s)[:MOST_SHOWN]
    return environment().get_template("drive_survey.html").render(
        lead=lead(surveys), logs=_logs(surveys), drives=[_shown(one) for one in detailed]
    )  # fmt: skip


def drives_markdown(surveys: Sequence[Survey]) -> list[str]:
    """Return the lines of the section without its heading."""
    lines = [escaped(lead(surveys)), ""]
    for one in surveys:
        lines.append(f"- **{escaped(name_of(one))}**: {escaped(line_of(one))}")
        lines += [f"  - weak: {escaped(weak_line(place))}" for place in one.weak_stretches[:5]]
    return lines


def drives_record(surveys: Sequence[Survey]) -> list[dict[str, Any]]:
    """Return the content of the section for programs; unknown numbers are null."""
    records = []
    for one in surveys:
        record: dict[str, Any] = to_jsonable(one)
        record.pop("track")
        record["changes_per_min"] = _known(one.changes_per_min)
        records.append(record)
    return json.loads(json.dumps(records, default=str))  # type: ignore[no-any-return]  # a list


def drives_screen(surveys: Sequence[Survey]) -> RenderableType:
    """Return drive tests on a terminal screen."""
    parts: list[RenderableType] = [Text(f"Drive tests: {lead(surveys)}")]
    parts += [Text(f"  {name_of(one)}: {line_of(one)}") for one in surveys[:_SCREEN]]
    weak = sorted(
        (place for one in surveys for place in one.weak_stretches), key=lambda p: -p.duration_s
    )
    parts += [Text(f"  weak: {weak_line(place)}") for place in weak[:_SCREEN]]
    return Group(*parts)


def lead(surveys: Sequence[Survey]) -> str:
    """Return what all logs add up to, in a sentence or two."""
    driven_s = sum(one.driven_s for one in surveys)
    way_m = math.fsum(one.distance_m for one in surveys if math.isfinite(one.distance_m))
    stretches = sum(one.stretches_in_all for one in surveys)
    logs = "1 log" if len(surveys) == 1 else f"{len(surveys)} logs"
    way = f" and {_km(way_m)}" if way_m else ""
    word = "stretch" if stretches == 1 else "stretches"
    weak = (
        f"{stretches} {word} with RSRP below {WEAK_DBM:g} dBm for five seconds or more"
        if stretches
        else f"no stretch with RSRP below {WEAK_DBM:g} dBm"
    ).replace("-", "−")
    return f"{logs} of {format_duration(driven_s)}{way}; {weak}."


def name_of(one: Survey) -> str:
    """Return the name of a log's file."""
    return Path(one.source).name


def line_of(one: Survey) -> str:
    """Return what a log adds up to, in a line."""
    parts = [counted(one.samples, "sample")]
    parts += [f"{one.runs} drives"] if one.runs > 1 else []
    parts.append(format_duration(one.driven_s))
    parts += [_km(one.distance_m)] if math.isfinite(one.distance_m) else []
    if one.technologies:
        total = sum(one.technologies.values())
        shares = (f"{name} {_PERCENT * n / total:.0f} %" for name, n in one.technologies.items())
        parts.append(", ".join(shares))
    if one.rsrp_dbm is not None:
        spread = one.rsrp_dbm
        parts.append(
            f"RSRP {format_number(spread.median, 4)} dBm (median; 5 % below "
            f"{format_number(spread.p5, 4)}), {_PERCENT * one.weak_ratio:.1f} % weak"
        )
    if one.cells:
        changes = counted(one.cell_changes, "change of cell", "changes of cell")
        parts.append(f"{counted(one.cells, 'cell')}, {changes}")
    if one.handovers is not None:
        parts.append(counted(one.handovers, "handover"))
    if one.failures is not None:
        parts.append(counted(one.failures, "radio link failure"))
    if math.isfinite(one.changes_per_min):
        what = "changes of cell" if one.cells else "handovers"
        parts.append(f"{format_number(one.changes_per_min, 2)} {what} per minute")
    return ", ".join(parts)


def weak_line(place: WeakStretch) -> str:
    """Return where a weak stretch is, in a line."""
    when = f"{place.start:%Y-%m-%d %H:%M:%S}" if place.start else f"after {place.after_s:.0f} s"
    length = f", {format_number(place.length_m, 3)} m" if math.isfinite(place.length_m) else ""
    cells = f", in {', '.join(place.cells[:4])}" if place.cells else ""
    where = f", at {_place(place)}" if math.isfinite(place.latitude_deg) else ""
    return (
        f"{place.run}, {when}: {format_duration(place.duration_s)}{length}, down to "
        f"{format_number(place.lowest_dbm, 4)} dBm{cells}{where}"
    )


def _place(place: WeakStretch) -> str:
    if not math.isfinite(place.latitude_deg):
        return ABSENT
    return f"{place.latitude_deg:.5f}, {place.longitude_deg:.5f}"


def _km(way_m: float) -> str:
    if way_m < _KM_M:
        return f"{format_number(way_m, 2)} m"
    return f"{format_number(way_m / _KM_M, 3)} km"


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _logs(surveys: Sequence[Survey]) -> Table:
    return Table(
        (Column("Log", keep=True), Column("Kind"), Column("Samples", numeric=True),
         Column("Minutes", numeric=True), Column("Distance (km)", numeric=True),
         Column("RSRP, median (dBm)", numeric=True), Column("RSRP, 5 % (dBm)", numeric=True),
         Column("Weak (%)", numeric=True, title=f"Samples below {WEAK_DBM:g} dBm"),
         Column("Cells", numeric=True),
         Column("Changes per min", numeric=True, title="Of the serving cell, or handovers")),
        [
            (name_of(one), one.form, one.samples, one.driven_s / 60, one.distance_m / _KM_M,
             _of(one.rsrp_dbm, "median"), _of(one.rsrp_dbm, "p5"), _PERCENT * one.weak_ratio,
             one.cells or math.nan, one.changes_per_min)
            for one in surveys
        ],
    )  # fmt: skip


def _of(spread: Distribution | None, what: str) -> float:
    return math.nan if spread is None else float(getattr(spread, what))


def _shown(one: Survey) -> ShownDrive:
    spreads = {"RSRP (dBm)": one.rsrp_dbm, "RSRQ (dB)": one.rsrq_db, "SINR (dB)": one.sinr_db}
    known = {name: spread for name, spread in {**spreads, **one.others}.items() if spread}
    columns = ("Samples", "5 %", "Median", "Mean", "95 %")
    levels = Table(
        (Column("Measured", keep=True), *(Column(name, numeric=True) for name in columns)),
        [(name, s.samples, s.p5, s.median, s.mean, s.p95) for name, s in known.items()],
        caption="Where no unit stands, the log states none." if one.others else "",
        filterable=False,
    )
    weak = Table(
        (Column("Weak from", keep=True), Column("Seconds", numeric=True),
         Column("Metres", numeric=True), Column("Lowest (dBm)", numeric=True),
         Column("Cells"), Column("Latitude, longitude")),
        [
            (_when(place), place.duration_s, place.length_m, place.lowest_dbm,
             ", ".join(place.cells[:6]), _place(place))
            for place in one.weak_stretches[:_MOST_WEAK]
        ],
        filterable=False,
    )  # fmt: skip
    events = Table(
        (Column("event"), Column("count", numeric=True)), [*one.events.items()], filterable=False
    )
    drawn = track_picture(one)
    picture = safe_svg(drawn) if drawn else Markup("")
    return ShownDrive(name_of(one), f"{line_of(one)}.", picture, levels, weak, events, one.notes)


def _when(place: WeakStretch) -> str:
    at = f"{place.start:%Y-%m-%d %H:%M:%S}" if place.start else f"{place.after_s:.0f} s"
    return f"{place.run}, {at}"
