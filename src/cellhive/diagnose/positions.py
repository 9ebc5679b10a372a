"""Where objects stand, and at which site, as far as their measurements say so."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from cellhive.core.measurements import OBJECT, ColumnInfo, Measurements

STILL_DEG = 0.003
"""Spread of an object's positions [deg], about 300 m, beyond which it moves: then it is a phone
or a vehicle, and has no place on a map of cells."""

_MOVING = frozenset({"run", "ue", "imsi", "imei", "device", "phone", "trip", "user"})
"""Classes of objects that have no place, even where they stood still."""
_POLE_DEG, _DATE_LINE_DEG = 90, 180
_PLACES = 4
"""Decimals of degrees to which objects of one site agree in their position, about 10 m."""
_EDGE, _END = r"(?:^|[^a-z])", r"(?:[^a-z]|$)"
_LATITUDE = re.compile(rf"{_EDGE}(?:lat|latitude){_END}")
_LONGITUDE = re.compile(rf"{_EDGE}(?:lon|long|lng|longitude){_END}")
_SITE = re.compile(rf"{_EDGE}(?:site|enodeb|gnodeb|nodeb|enb|gnb|bts){_END}")
_AZIMUTH = re.compile(rf"{_EDGE}(?:azimuth|azimut|bearing){_END}")


@dataclass(frozen=True, slots=True)
class Position:
    """Where one object stands, WGS 84."""

    object: str
    latitude_deg: float
    longitude_deg: float
    azimuth_deg: float = math.nan
    """Bearing of its main lobe, clockwise from north; NaN where it is not stated."""


def positions_of(m: Measurements) -> tuple[Position, ...]:
    """Return the objects whose measurements state one position, by name.

    Columns are known by their names (latitude, longitude, azimuth). Positions outside the
    globe, at 0/0, and of objects that move are left out.
    """
    if m.object_class.lower() in _MOVING:
        return ()
    latitude = _column(m, _LATITUDE)
    longitude = _column(m, _LONGITUDE)
    if latitude is None or longitude is None or m.frame.height == 0:
        return ()
    azimuth = _column(m, _AZIMUTH)
    lat, lon = pl.col(latitude).cast(pl.Float64), pl.col(longitude).cast(pl.Float64)
    there = (
        lat.is_finite() & lon.is_finite() & (lat.abs() <= _POLE_DEG) & (lon.abs() <= _DATE_LINE_DEG)
        & ((lat != 0) | (lon != 0))
    )  # fmt: skip
    bearing = pl.lit(math.nan) if azimuth is None else pl.col(azimuth).cast(pl.Float64)
    rows = (
        m.frame.filter(there)
        .group_by(OBJECT)
        .agg(
            lat.median().alias("lat"), lon.median().alias("lon"),
            (lat.max() - lat.min()).alias("along"), (lon.max() - lon.min()).alias("across"),
            bearing.first().alias("azimuth"),
        )
        .filter((pl.col("along") <= STILL_DEG) & (pl.col("across") <= STILL_DEG))
        .sort(OBJECT)
    )  # fmt: skip
    return tuple(
        Position(name, lat, lon, math.nan if azimuth is None else azimuth)
        for name, lat, lon, azimuth in rows.select(OBJECT, "lat", "lon", "azimuth").iter_rows()
    )


def sites_at(m: Measurements, positions: Sequence[Position]) -> dict[str, str]:
    """Return the site of each object of which a text column or its position says it.

    A text column is known by its name (site, eNodeB, gNodeB, BTS) and must tell sites apart:
    more than one, and fewer than there are objects. An object that it names two sites of has
    the first. Objects at the same place (to 10 m) are of one site.

    Args:
        m: Measurements.
        positions: Where its objects stand, of those that state it.
    """
    out = {
        one.object: f"{one.latitude_deg:.{_PLACES}f}, {one.longitude_deg:.{_PLACES}f}"
        for one in positions
    }
    for label in (name for name in m.labels if _SITE.search(name.lower())):
        rows = (
            m.frame.filter(pl.col(label).is_not_null() & (pl.col(label).str.strip_chars() != ""))
            .group_by(OBJECT)
            .agg(pl.col(label).first())
        )
        if 1 < rows[label].n_unique() < rows.height:
            return out | dict(rows.select(OBJECT, label).iter_rows())
    return out


def _column(m: Measurements, pattern: re.Pattern[str]) -> str | None:
    return next((name for name, info in m.columns.items() if _names(info, pattern)), None)


def _names(info: ColumnInfo, pattern: re.Pattern[str]) -> bool:
    texts = (info.name, info.header)
    return info.bin is None and any(pattern.search(text.lower()) for text in texts)
