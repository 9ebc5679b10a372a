"""What a drive-test log says of coverage: levels, cells, changes of cell, weak stretches.

A log is a row per second or so of one moving phone. It is no table of KPIs: a cell has values
only while the phone is in it. So it is summed up along the way and not per cell and period.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

import numpy as np
import polars as pl

from cellhive.core.types import Bools, Floats
from cellhive.flows.drive_tally import WEAK_DBM

RUN, WHEN, LATITUDE, LONGITUDE = "run", "time", "latitude_deg", "longitude_deg"
TECHNOLOGY, CELL = "technology", "cell"
RSRP, RSRQ, SINR = "rsrp_dbm", "rsrq_db", "sinr_db"
HANDOVERS, FAILURES = "handovers", "failures"

SCHEMA: Mapping[str, pl.DataType] = MappingProxyType(
    {
        RUN: pl.String(), WHEN: pl.Datetime("us", "UTC"), LATITUDE: pl.Float64(),
        LONGITUDE: pl.Float64(), TECHNOLOGY: pl.String(), CELL: pl.String(), RSRP: pl.Float64(),
        RSRQ: pl.Float64(), SINR: pl.Float64(), HANDOVERS: pl.Float64(), FAILURES: pl.Float64(),
    }
)  # fmt: skip
"""Columns of the samples of a drive; null where the log does not say."""

GAP_S = 15.0
"""A pause longer than this, and than a few usual steps, is no part of the drive [s]."""
_USUAL_STEPS = 4.0
WEAK_FOR_S = 5.0
"""Weak coverage shorter than this is fading and no stretch [s]."""
MOST_STRETCHES = 50
MOST_TRACK = 2000
_EARTH_M = 6_371_008.8
_FASTEST_M_S = 140.0
"""Faster than any train: such a step is an error of the positions."""


@dataclass(frozen=True)
class Drive:
    """The samples of a drive-test log."""

    source: str
    """The file."""
    form: str
    """What kind of log it is, in words."""
    samples: pl.DataFrame
    """Columns as in ``SCHEMA``, sorted by run and time."""
    events: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """How often the log states what, most frequent first."""
    notes: tuple[str, ...] = ()
    """What was left out, and why."""
    others: pl.DataFrame = field(default_factory=pl.DataFrame)
    """Other numbers of the same rows by heading: throughput, delay, levels of neighbours."""
    dated: bool = True
    """Whether times are dates; else they count from the start of the log, put at 1970."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """How a quantity is spread over the samples that have it."""

    samples: int
    mean: float
    p5: float
    median: float
    p95: float


@dataclass(frozen=True, slots=True)
class WeakStretch:
    """A stretch of the way on which the serving cell is weak."""

    run: str
    start: datetime | None
    """None where the log has no dates."""
    after_s: float
    """Since the first sample of the log [s]."""
    duration_s: float
    length_m: float
    """NaN where no positions are known."""
    latitude_deg: float
    longitude_deg: float
    """Where it begins; NaN where no position is known."""
    lowest_dbm: float
    cells: tuple[str, ...]
    """Cells that served on it."""


@dataclass(frozen=True)
class Survey:
    """What a drive-test log adds up to."""

    source: str
    form: str
    runs: int
    samples: int
    start: datetime | None
    end: datetime | None
    driven_s: float
    """Time between samples, pauses left out [s]."""
    distance_m: float
    """Way between samples; NaN where no positions are known [m]."""
    technologies: Mapping[str, int]
    """Samples by technology, most frequent first; empty where the log does not say."""
    cells: int
    """Different serving cells; 0 where the log names none."""
    rsrp_dbm: Distribution | None
    rsrq_db: Distribution | None
    sinr_db: Distribution | None
    weak_ratio: float
    """Share of the samples with RSRP below ``WEAK_DBM``; NaN where no RSRP is known."""
    cell_changes: int
    """Changes of the serving cell from one sample to the next; 0 where cells are not named."""
    handovers: int | None
    """Handovers that the log itself states; None where it states none."""
    failures: int | None
    """Radio link failures that the log itself states; None where it does not say."""
    events: Mapping[str, int]
    others: Mapping[str, Distribution]
    """Of the other numbers in the log, by heading."""
    weak_stretches: tuple[WeakStretch, ...]
    """The longest in time first, at most ``MOST_STRETCHES``."""
    stretches_in_all: int
    track: tuple[Floats, Floats, Floats]
    """Latitude [deg], longitude [deg] and RSRP [dBm] along the way, at most ``MOST_TRACK``."""
    notes: tuple[str, ...]

    @property
    def changes_per_min(self) -> float:
        """Changes of cell, or stated handovers where no cell is named, per minute driven."""
        count = self.cell_changes if self.cells else (self.handovers or 0)
        return 60.0 * count / self.driven_s if self.driven_s else float("nan")


def survey(drive: Drive) -> Survey:
    """Return what a drive-test log adds up to."""
    frame = drive.samples
    step_s, together = _steps(frame)
    way_m = _way(frame, step_s, together)
    located = frame[LATITUDE].is_not_null() & frame[LONGITUDE].is_not_null()
    known = located.any() and frame.filter(located).select(LATITUDE, LONGITUDE).n_unique() > 1
    cell = frame[CELL]
    moved = np.array((cell != cell.shift(1)).fill_null(value=False)) & together
    rsrp = _values(frame, RSRP)
    measured = np.isfinite(rsrp)
    stretches = _weak_stretches(drive, step_s, together, way_m)
    technologies = frame[TECHNOLOGY].drop_nulls().value_counts(sort=True)
    times = frame[WHEN].drop_nulls()
    first, last = (times.min(), times.max()) if drive.dated else (None, None)
    return Survey(
        source=drive.source,
        form=drive.form,
        runs=frame[RUN].n_unique(),
        samples=frame.height,
        start=first if isinstance(first, datetime) else None,
        end=last if isinstance(last, datetime) else None,
        driven_s=float(step_s[together].sum()),
        distance_m=float(np.nansum(way_m)) if known else float("nan"),
        technologies=dict(zip(technologies[TECHNOLOGY], technologies["count"], strict=True)),
        cells=cell.drop_nulls().n_unique(),
        rsrp_dbm=_distribution(rsrp),
        rsrq_db=_distribution(_values(frame, RSRQ)),
        sinr_db=_distribution(_values(frame, SINR)),
        weak_ratio=float(np.mean(rsrp[measured] < WEAK_DBM)) if measured.any() else float("nan"),
        cell_changes=int(moved.sum()),
        handovers=_stated(frame, HANDOVERS),
        failures=_stated(frame, FAILURES),
        events=drive.events,
        others={
            name: spread
            for name in drive.others.columns
            if (spread := _distribution(_values(drive.others, name))) is not None
        },
        weak_stretches=tuple(stretches[:MOST_STRETCHES]),
        stretches_in_all=len(stretches),
        track=_track(frame, rsrp),
        notes=drive.notes,
    )


def _values(frame: pl.DataFrame, name: str) -> Floats:
    return np.asarray(frame[name].fill_null(float("nan")).to_numpy(), np.float64)


def _stated(frame: pl.DataFrame, name: str) -> int | None:
    column = frame[name]
    return None if column.null_count() == column.len() else int(column.sum() or 0)


def _distribution(values: Floats) -> Distribution | None:
    known = values[np.isfinite(values)]
    if not known.size:
        return None
    low, middle, high = np.percentile(known, [5, 50, 95])
    return Distribution(known.size, float(known.mean()), float(low), float(middle), float(high))


def _steps(frame: pl.DataFrame) -> tuple[Floats, Bools]:
    """Return the time since the sample before [s], and whether both are of one drive."""
    since = frame[WHEN].diff().dt.total_microseconds().cast(pl.Float64) / 1e6
    step_s = np.asarray(since.fill_null(float("nan")).to_numpy(), np.float64)
    same = np.array((frame[RUN] == frame[RUN].shift(1)).fill_null(value=False))
    usual = step_s[same & (step_s > 0)]
    gap_s = max(GAP_S, _USUAL_STEPS * float(np.median(usual))) if usual.size else GAP_S
    return step_s, same & (step_s >= 0) & (step_s <= gap_s)


def _way(frame: pl.DataFrame, step_s: Floats, together: Bools) -> Floats:
    """Return the way since the sample before [m]; NaN where it is not known or cannot be."""
    lat, lon = np.radians(_values(frame, LATITUDE)), np.radians(_values(frame, LONGITUDE))
    way = np.full(lat.size, np.nan)
    if lat.size > 1:
        middle = (lat[1:] + lat[:-1]) / 2
        turn = np.mod(lon[1:] - lon[:-1] + np.pi, 2 * np.pi) - np.pi
        way[1:] = _EARTH_M * np.hypot(lat[1:] - lat[:-1], np.cos(middle) * turn)
    possible = together & (way <= _FASTEST_M_S * np.maximum(step_s, 1.0))
    return np.where(possible, way, np.nan)


def _weak_stretches(
    drive: Drive, step_s: Floats, together: Bools, way_m: Floats
) -> list[WeakStretch]:
    """Return the stretches with RSRP below ``WEAK_DBM``, the longest first."""
    frame = drive.samples
    began = frame[WHEN].min()
    rsrp = _values(frame, RSRP)
    weak = rsrp < WEAK_DBM
    before = np.concatenate([[False], weak[:-1]])
    number = np.cumsum(weak & ~(before & together))
    lat, lon = _values(frame, LATITUDE), _values(frame, LONGITUDE)
    found = []
    rows = np.flatnonzero(weak)
    for piece in np.split(rows, np.flatnonzero(np.diff(number[rows])) + 1) if rows.size else []:
        first, inner = int(piece[0]), piece[1:]
        duration_s = float(step_s[inner].sum())
        start = frame[WHEN][first]
        if duration_s < WEAK_FOR_S or not isinstance(began, datetime):
            continue
        ways = way_m[inner]
        length_m = float(np.nansum(ways)) if np.isfinite(ways).any() else float("nan")
        cells = frame[CELL].gather(piece).drop_nulls().unique(maintain_order=True)
        found.append(
            WeakStretch(
                run=str(frame[RUN][first] or ""),
                start=start if drive.dated else None,
                after_s=(start - began).total_seconds(),
                duration_s=duration_s,
                length_m=length_m,
                latitude_deg=float(lat[first]),
                longitude_deg=float(lon[first]),
                lowest_dbm=float(rsrp[piece].min()),
                cells=tuple(cells.to_list()),
            )
        )  # fmt: skip
    return sorted(found, key=lambda one: -one.duration_s)


def _track(frame: pl.DataFrame, rsrp: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the way, thinned evenly."""
    lat, lon = _values(frame, LATITUDE), _values(frame, LONGITUDE)
    at = np.flatnonzero(np.isfinite(lat) & np.isfinite(lon))
    at = at[:: max(1, -(-at.size // MOST_TRACK))]
    return lat[at], lon[at], rsrp[at]
