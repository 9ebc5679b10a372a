"""Finds and reads the times of a table, whatever they are written as."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from cellhive.core.errors import BadInput
from cellhive.core.measurements import TIME_TYPE, Finding, Findings, Severity

_DATES = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d-%b-%Y", "%d %b %Y", "%d-%b-%y", "%b %d, %Y",
    "%d %B %Y",
)  # fmt: skip
_DAY_FIRST = ("%d/%m/%Y", "%d-%m-%Y", "%d.%m.%Y", "%d/%m/%y", "%d.%m.%y", "%d-%m-%y")
_MONTH_FIRST = ("%m/%d/%Y", "%m-%d-%Y", "%m.%d.%Y", "%m/%d/%y", "%m.%d.%y", "%m-%d-%y")
_CLOCKS = (
    "", " %H:%M:%S%.f", " %H:%M", "T%H:%M:%S%.f", "T%H:%M", "_%H.%M.%S", " %I:%M:%S %p",
    " %I:%M %p", " %H", "%H%M%S", "%H%M", " %H.%M.%S",
)  # fmt: skip
_ZONE = re.compile(r"(?:\d|\s)(Z|[+-]\d{2}:?\d{2})$")
_TIME_WORDS = re.compile(
    r"time|date|day\b|hour|stamp|period|start|begin|fecha|hora|datum|zeit|heure|month|week|\bts\b",
    re.IGNORECASE,
)
_BEGIN_WORDS = re.compile(r"begin|start|from", re.IGNORECASE)
_END_WORDS = re.compile(r"\bend|\bto\b|stop|until", re.IGNORECASE)
_HOUR_WORDS = re.compile(r"hour|hora|stunde|heure|^time$|clock", re.IGNORECASE)
_PERIOD = re.compile(
    r"^\s*(\d+(?:\.\d+)?)\s*(s|sec|seconds?|m|min|mins|minutes?|h|hours?|hr|d|days?|w|weeks?)?(?:\(s\))?\s*$",
    re.IGNORECASE,
)
_PERIOD_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}

_EPOCHS = ((9.5e8, 4.2e9, 1e6), (9.5e11, 4.2e12, 1e3), (9.5e14, 4.2e15, 1.0))
"""Range of an epoch in s, ms and us from 2000 to 2103, and its factor to us."""
_EXCEL = (32874.0, 73051.0)
"""Spreadsheet serial days from 1990 to 2100."""
_EXCEL_EPOCH_DAYS = 25569
_MIDNIGHT = r"^(.*\d[ T_])24([:.]?00(?:[:.]?00)?(?:Z|[+-]\d{2}:?\d{2})?)$"
"""A time written as 24:00."""
_SURE = 0.95
"""Share of values that must read as times."""
_SAMPLE = 2000


@dataclass(frozen=True)
class Times:
    """The times of a table."""

    values: pl.Series
    """Start of each row's period (Datetime[us, UTC])."""
    columns: tuple[int, ...]
    """Columns they were read from, and others that only repeat them."""
    zone: str
    """As in ``Measurements.time_zone``."""
    period_s: pl.Series | None = None
    """Length of each row's period [s], where the table states it."""


def parse_texts(values: pl.Series, layout: str = "") -> tuple[pl.Series, str, bool] | None:
    """Return texts as times, their zone, and whether day and month were ambiguous.

    Args:
        values: Texts; empty ones and nulls become null.
        layout: strptime format to use instead of looking for one.

    Returns:
        The times (Datetime[us, UTC]), the zone ("" where none is written), and whether the
        order of day and month had to be guessed; None if they are not times.
    """
    known = values.fill_null("").str.strip_chars()
    midnight = known.str.contains(_MIDNIGHT)
    if bool(midnight.any()):
        return _with_midnights(known, midnight, layout)
    distinct = known.filter(known != "").unique()
    if distinct.is_empty():
        return None
    sample = distinct.head(_SAMPLE)
    if layout:
        return _finish(known, distinct, layout, ambiguous=False)
    zoned = bool(_ZONE.search(str(sample[0]))) and len(str(sample[0])) > 12  # noqa: PLR2004
    tails = ("%#z",) if zoned else ("",)
    if zoned:
        known = known.str.replace(r"Z$", "+00:00")
        distinct = distinct.str.replace(r"Z$", "+00:00")
        sample = distinct.head(_SAMPLE)
    found = _layout_of(sample, _DATES, tails)
    ambiguous = False
    if found is None:
        day = _layout_of(sample, _DAY_FIRST, tails)
        month = _layout_of(sample, _MONTH_FIRST, tails)
        if day and month and day != month:
            full_day, full_month = _matched(distinct, day), _matched(distinct, month)
            ambiguous = min(full_day, full_month) >= _SURE
            found = month if full_month > full_day else day
            if ambiguous and _span(distinct, month) < _span(distinct, day):
                found = month
        else:
            found = day or month
    return None if found is None else _finish(known, distinct, found, ambiguous)


def _with_midnights(
    known: pl.Series, midnight: pl.Series, layout: str
) -> tuple[pl.Series, str, bool] | None:
    """Return times of which some are written as 24:00: the midnight that ends the day."""
    found = parse_texts(known.str.replace(_MIDNIGHT, "${1}00${2}"), layout)
    if found is None:
        return None
    values, zone, ambiguous = found
    day = pl.select(
        pl.when(midnight).then(pl.duration(days=1)).otherwise(pl.duration())
    ).to_series()
    return values + day, zone, ambiguous


def _layout_of(sample: pl.Series, dates: Sequence[str], tails: Sequence[str]) -> str | None:
    first = sample.head(3)
    for date in dates:
        for clock in _CLOCKS:
            for tail in tails:
                layout = date + clock + tail
                if _matched(first, layout) > 0.6 and _matched(sample, layout) >= _SURE:  # noqa: PLR2004
                    return layout
    return None


def _strptime(values: pl.Series, layout: str) -> pl.Series:
    if layout.endswith("%#z"):
        times = values.str.strptime(TIME_TYPE, layout.replace("%#z", "%:z"), strict=False)
        if times.null_count() == values.len():
            times = values.str.strptime(TIME_TYPE, layout.replace("%#z", "%z"), strict=False)
        return times
    if "%H" not in layout and "%I" not in layout:
        times = values.str.strptime(pl.Date, layout, strict=False)
        return times.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if layout.endswith("%H"):
        values, layout = values + ":00", layout + ":%M"
    times = values.str.strptime(pl.Datetime("us"), layout, strict=False)
    return times.dt.replace_time_zone("UTC")


def _matched(values: pl.Series, layout: str) -> float:
    try:
        times = _strptime(values, layout)
    except pl.exceptions.PolarsError:
        return 0.0
    plausible = times.is_not_null() & times.dt.year().is_between(1980, 2150).fill_null(value=False)
    return float(plausible.sum()) / max(values.len(), 1)


def _span(values: pl.Series, layout: str) -> float:
    days = _strptime(values, layout).dt.date()
    first, last = days.min(), days.max()
    return float((last - first).days) if first and last else 0.0  # type: ignore[operator, union-attr]  # dates


def _finish(
    known: pl.Series, distinct: pl.Series, layout: str, ambiguous: bool
) -> tuple[pl.Series, str, bool] | None:
    try:
        times = _strptime(distinct, layout)
    except pl.exceptions.PolarsError:
        return None
    if times.null_count() == times.len():
        return None
    table = dict(zip(distinct.to_list(), times.to_list(), strict=True))
    values = known.replace_strict(table, default=None, return_dtype=TIME_TYPE)
    zone = ""
    if layout.endswith("%#z"):
        matches = (_ZONE.search(text) for text in distinct.to_list())
        zones = {match.group(1) for match in matches if match is not None}
        zone = _zone_label(zones)
    return values, zone, ambiguous


def _zone_label(zones: set[str]) -> str:
    labels = {zone if ":" in zone else f"{zone[:3]}:{zone[3:]}" for zone in zones}
    labels = {"UTC" if label[1:] == "00:00" else label for label in labels}
    return labels.pop() if len(labels) == 1 else "mixed"


def parse_numbers(values: pl.Series) -> pl.Series | None:
    """Return epochs in s, ms or us, or spreadsheet days, as times; None if they are neither."""
    numbers = values.drop_nulls()
    if numbers.is_empty():
        return None
    low, high = float(numbers.min()), float(numbers.max())  # type: ignore[arg-type]  # numbers
    for first, last, factor in _EPOCHS:
        if first <= low and high <= last:
            return (values * factor).round().cast(pl.Int64).cast(pl.Datetime("us")).cast(TIME_TYPE)
    if _EXCEL[0] <= low and high <= _EXCEL[1]:
        micros = ((values - _EXCEL_EPOCH_DAYS) * 86400.0).round(3) * 1e6
        return micros.round().cast(pl.Int64).cast(pl.Datetime("us")).cast(TIME_TYPE)
    return None


def looks_like_time(header: str) -> bool:
    """Tell whether a heading names a time."""
    return bool(_TIME_WORDS.search(header.replace("_", " ")))


def rank(header: str) -> int:
    """Return how well a heading suits the start of a period; smaller is better."""
    words = header.replace("_", " ")
    if _END_WORDS.search(words):
        return 3
    if _BEGIN_WORDS.search(words):
        return 0
    return 1 if looks_like_time(header) else 2


def is_hour(header: str) -> bool:
    """Tell whether a heading names the time of day."""
    return bool(_HOUR_WORDS.search(header.replace("_", " ")))


def hours_of(values: pl.Series) -> pl.Series | None:
    """Return times of day ("7", "07:00", "07:15:00", "7-8") as seconds, or None."""
    texts = values.fill_null("").str.strip_chars()
    parts = texts.str.extract_groups(
        r"^(\d{1,2})(?:[:hH.](\d{2}))?(?::(\d{2}))?(?:[hH]|\s*-.*|\.0)?$"
    )
    fields = [parts.struct.field(str(n)).cast(pl.Float64) for n in (1, 2, 3)]
    known = texts != ""
    # 24 is the midnight that ends the day
    good = fields[0].is_not_null() & (fields[0] * 60 + fields[1].fill_null(0) <= 1440)  # noqa: PLR2004
    if int(good.sum()) < _SURE * max(int(known.sum()), 1):
        return None
    seconds = fields[0] * 3600 + fields[1].fill_null(0) * 60 + fields[2].fill_null(0)
    return seconds.set(~good.fill_null(value=False), None)


def periods_of(values: pl.Series) -> pl.Series | None:
    """Return lengths such as "15 min", "1 day" or "3600" [s], or None."""
    table: dict[str, float] = {}
    for text in values.drop_nulls().unique().to_list():
        found = _PERIOD.match(str(text))
        if found is None or float(found.group(1)) <= 0:
            return None
        unit = (found.group(2) or ("m" if float(found.group(1)) <= 60 else "s"))[0].lower()  # noqa: PLR2004
        table[str(text)] = float(found.group(1)) * _PERIOD_UNITS[unit]
    if not table:
        return None
    return values.replace_strict(table, default=None, return_dtype=pl.Float64)


def in_zone(values: pl.Series, zone: str, file: str, findings: Findings) -> pl.Series:
    """Return times that were read as UTC as what they are in a zone.

    A time that the zone skips becomes null; of one that it repeats the first is taken, until
    ``with_repeated`` knows the objects.
    """
    try:
        local = values.dt.replace_time_zone(None)
        times = local.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    except pl.exceptions.PolarsError as error:
        raise BadInput(
            place="time_zone", expected="a time zone such as Africa/Tripoli", found=f"{zone!r}"
        ) from error
    skipped = times.null_count() - values.null_count()
    if skipped:
        findings.add(
            Finding(
                Severity.WARNING,
                "time-skipped-by-zone",
                expected=f"times that exist in {zone}",
                found="times in the hour that the clock change skips",
                action="those times are null",
                file=file,
                count=skipped,
            )
        )
    return times.dt.convert_time_zone("UTC")


def with_repeated(
    values: pl.Series, names: pl.Series, zone: str, file: str, findings: Findings
) -> pl.Series:
    """Return times [UTC] with the second pass of the hour that a zone repeats in its place.

    ``in_zone`` takes each time for the first of the two. Of rows of one object and one such
    time the later one in the course of the table is the second.

    Args:
        values: Times as ``in_zone`` returns them.
        names: The object of each row.
        zone: The zone that they were written in.
        file: The file, for the finding.
        findings: Where to say what was done.
    """
    local = values.dt.convert_time_zone(zone).dt.replace_time_zone(None)
    later = local.dt.replace_time_zone(zone, ambiguous="latest", non_existent="null")
    later = later.dt.convert_time_zone("UTC").cast(values.dtype)
    rows = pl.DataFrame([values.alias("time"), names.alias("name"), later.alias("later")])
    rows = rows.with_row_index("row").with_columns(twice=pl.col("later") != pl.col("time"))
    doubled = int(rows["twice"].sum())
    if not doubled:
        return values
    step = pl.col("time").diff().over("name").dt.total_microseconds().sign()
    backwards = (rows.select(step.sum()).item() or 0) < 0
    place = pl.col("row").rank("ordinal", descending=backwards).over("name", "time")
    second = pl.col("twice") & (place == 2)  # noqa: PLR2004 (the second of the two)
    rows = rows.with_columns(second=second.fill_null(value=False))
    moved = int(rows["second"].sum())
    findings.add(
        Finding(
            Severity.WARNING, "time-doubled-by-zone", f"times that {zone} has once",
            "times in the hour that the clock change repeats",
            f"rows that come a second time ({moved}) are taken for the second of the two hours, "
            f"the others ({doubled - moved}) for the first", file=file, count=doubled,
            counted="rows",
        )
    )  # fmt: skip
    return rows.select(pl.when("second").then("later").otherwise("time").alias(values.name))[
        values.name
    ]
