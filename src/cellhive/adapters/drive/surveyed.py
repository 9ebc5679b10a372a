"""Drive-test logs as tables of samples: G-NetTrack, NTU WMN-Lab, and generic logs of RSRP.

Told by headings and values, so logs of phones' apps and of scanners read alike: a time, the
RSRP of the serving cell, and, where there are any, positions, cells, RSRQ and SINR.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from cellhive.adapters.drive import gnettrack, ntu, plain
from cellhive.adapters.drive.following import LOWEST_DBM
from cellhive.adapters.tabular.grids import Grid
from cellhive.adapters.tabular.mapping import Mapping, describe
from cellhive.adapters.tabular.opening import OpenTable, find_times, open_table
from cellhive.adapters.tabular.table_numbers import numbers_of
from cellhive.core.errors import BadInput
from cellhive.core.measurements import Findings, Role
from cellhive.flows.drives.survey import (
    CELL,
    FAILURES,
    HANDOVERS,
    LATITUDE,
    LONGITUDE,
    RSRP,
    RSRQ,
    RUN,
    SCHEMA,
    SINR,
    TECHNOLOGY,
    WHEN,
    Drive,
)

GENERIC_FORM = "log of RSRP"
_HIGHEST_DBM = -31.0
"""Highest SS-RSRP that is reported [dBm], TS 38.133 §10.1.6."""
_RANGES = {RSRP: (LOWEST_DBM, _HIGHEST_DBM), RSRQ: (-43.0, -0.5), SINR: (-40.0, 60.0)}
"""What phones report [dBm, dB], TS 36.133 §9.1 and TS 38.133 §10.1; the rest means "none".

RSRQ cannot exceed -3 dB, as the received power holds the reference signals; 0 is written for none.
"""
_SERVING = r"^(lte|nr|ss|csi|serving|serv|pcell|pcc|primary|best|top|4g|5g|cell|sc)*"
_LEVELS = {
    RSRP: re.compile(_SERVING + r"rsrp(dbm)?$"),
    RSRQ: re.compile(_SERVING + r"rsrq(db)?$"),
    SINR: re.compile(_SERVING + r"(sinr|snr|rssnr|cinr)(db)?$"),
}
_PLACES = {
    LATITUDE: ("latitude", "lat", "gpslatitude", "gpslat", "latdeg", "latitudedeg"),
    LONGITUDE: ("longitude", "lon", "lng", "long", "gpslongitude", "gpslon", "londeg",
                "longitudedeg"),
}  # fmt: skip
_TECHNOLOGY = ("networktech", "technology", "tech", "rat", "networktype", "networkmode")
_RUN = ("file", "run", "session", "sessionid", "logfile", "testid", "trace")
_OPERATOR = ("operatorname", "operator", "carriername", "plmn")
_CELLS = (("node", "cellid"), ("enbid", "cellid"), ("gnbid", "cellid"), ("enodebid", "cellid"),
          ("cgi",), ("ecgi",), ("ncgi",), ("eci",), ("nci",), ("cellname",), ("servingcell",),
          ("servingcellname",), ("cellid",), ("cid",), ("earfcn", "pci"), ("arfcn", "pci"),
          ("nrarfcn", "pci"), ("arfcn", "psc"), ("pci",), ("servingpci",))  # fmt: skip
"""What names the serving cell, the best first."""
_LTE_AND_NR = ("4g", "lte", "5g", "nr", "endc", "sa", "nsa")
_BESIDE = ("_events", "_datatest")
"""Ends of the names of files that G-NetTrack writes beside a log: events, and tests of data."""
_MOST_OTHERS = 40
_SECOND_PHONE = 0.2
"""Share of the rows from which another operator is another phone."""
_OFTEN_S = 60.0
"""Samples of a log are at most this far apart [s]."""


@dataclass(frozen=True)
class _Log:
    """A grid, its columns by simplified heading."""

    grid: Grid
    keys: dict[str, int]

    def column(self, names: Sequence[str]) -> int | None:
        """Return the first of several columns that is there."""
        return next((self.keys[name] for name in names if name in self.keys), None)

    def level(self, what: str) -> int | None:
        """Return the column of a level of the serving cell; LTE's where NR's is there too."""
        found = [key for key in self.keys if _LEVELS[what].match(key)]
        return self.keys[min(found, key=len)] if found else None


def _log(grid: Grid) -> _Log:
    keys: dict[str, int] = {}
    for index, header in enumerate(grid.headers):
        keys.setdefault(re.sub(r"[^a-z0-9]", "", header.lower()), index)
    return _Log(grid, keys)


def is_drive_log(grid: Grid) -> bool:
    """Return whether a table is the log of a moving phone, and no table of KPIs per cell."""
    stripped = [header.strip() for header in grid.headers]
    known = not set(ntu.COLUMNS) - set(stripped) or not _gnettrack_lacks(stripped)
    return known or plain.TIME in stripped or _is_generic(grid)


def _is_generic(grid: Grid) -> bool:
    """Return whether there is a row of RSRP every second or so, of one phone that moves."""
    log = _log(grid)
    if log.level(RSRP) is None or grid.frame.height < 2:  # noqa: PLR2004 (a stretch)
        return False
    try:
        table = open_table(grid, Mapping(), Findings())
        times = find_times(table)
    except BadInput:
        return False
    if times is None or times.values.drop_nulls().n_unique() < 2:  # noqa: PLR2004 (a step)
        return False
    steps = times.values.drop_nulls().unique().sort().diff().drop_nulls()
    usual_s = (steps.dt.total_microseconds().cast(pl.Float64) / 1e6).median()
    if not isinstance(usual_s, float) or usual_s > _OFTEN_S:
        return False
    one_phone = times.values.n_unique() > 0.9 * times.values.len()
    return one_phone or _moves(log, table)


def _gnettrack_lacks(headers: Sequence[str]) -> set[str]:
    """Return which columns of G-NetTrack a log, its events or its tests lack."""
    return {"Timestamp", "NetworkTech", "Level", "Longitude"} - set(headers)


def _moves(log: _Log, table: OpenTable) -> bool:
    """Return whether positions change while the cell is the same."""
    places = [log.column(_PLACES[which]) for which in (LATITUDE, LONGITUDE)]
    if None in places:
        return False
    where = pl.DataFrame(
        [table.text(i).alias(str(n)) for n, i in enumerate(places) if i is not None]
    )
    cell = next((log.keys[name[-1]] for name in _CELLS if name[-1] in log.keys), None)
    if cell is None:
        return where.n_unique() > 1
    both = where.with_columns(table.text(cell).alias("cell"))
    return both.n_unique() > both["cell"].n_unique()


def drive_of(grid: Grid, findings: Findings) -> Drive:
    """Return the samples of a drive-test log.

    Raises:
        BadInput: It has no times, or no row.
    """
    log = _log(grid)
    headers = [header.strip() for header in grid.headers]
    if plain.TIME in headers:
        return _plain(grid, log)
    table = open_table(grid, Mapping(), Findings())
    times = find_times(table)
    if times is None:
        raise BadInput(place=grid.place, expected="a column of times", found="none")
    is_ntu = not set(ntu.COLUMNS) - set(headers)
    is_gnettrack = not is_ntu and not _gnettrack_lacks(headers)
    notes: list[str] = []
    levels = {what: _level(log, table, what, notes) for what in (RSRP, RSRQ, SINR)}
    technology = _text(table, log.column(_TECHNOLOGY))
    if is_gnettrack:
        levels[RSRP] = _numbers(table, headers.index("Level"))
        levels[RSRQ] = _numbers(table, log.column(("qual",)))
        if technology is not None:
            levels = {what: _where_lte(v, technology, notes) for what, v in levels.items()}
    columns = {
        RUN: _run(log, table),
        WHEN: times.values,
        LATITUDE: _numbers(table, log.column(_PLACES[LATITUDE])),
        LONGITUDE: _numbers(table, log.column(_PLACES[LONGITUDE])),
        TECHNOLOGY: technology,
        CELL: _cells(log, table),
        **{what: _within(values, what, notes) for what, values in levels.items()},
        HANDOVERS: _moments(table, headers, ("LTE_HO", "MN_HO")) if is_ntu else None,
        FAILURES: _moments(table, headers, ("RLF",)) if is_ntu else None,
    }
    form = ntu.FORM if is_ntu else gnettrack.FORM if is_gnettrack else GENERIC_FORM
    drive = _drive(grid, form, columns, notes)
    counted = {*ntu.OTHERS, "LTE_HO", "MN_HO", "RLF", "EventDetails"}
    events = _counted(table, headers) if is_ntu else _events(table, log)
    return replace(drive, others=_others(table, log, counted), events=events)


def _drive(
    grid: Grid, form: str, columns: dict[str, pl.Series | None], notes: Sequence[str]
) -> Drive:
    height = grid.frame.height
    frame = pl.DataFrame(
        [
            pl.Series(name, [None] * height, kind)
            if columns[name] is None
            else columns[name].cast(kind).alias(name)  # type: ignore[union-attr]  # not None here
            for name, kind in SCHEMA.items()
        ]
    )
    undated = frame[WHEN].null_count()
    if undated:
        notes = [*notes, f"{undated} rows without a time were left out"]
    frame = frame.filter(pl.col(WHEN).is_not_null()).sort([RUN, WHEN], maintain_order=True)
    if not frame.height:
        raise BadInput(place=grid.place, expected="rows with a time", found="none")
    return Drive(grid.file, form, frame, notes=tuple(notes))


def _text(table: OpenTable, index: int | None) -> pl.Series | None:
    return None if index is None else table.text(index)


def _numbers(table: OpenTable, index: int | None, *, mostly: bool = False) -> pl.Series | None:
    """Return a column as numbers; None where there is none, or it is to be and mostly is not."""
    if index is None:
        return None
    column = table.columns[index]
    if column.dtype == pl.String:
        parsed = numbers_of(column, "")
        known = column.len() - parsed.missing
        return None if mostly and parsed.odd > 0.2 * known else parsed.values
    return column.cast(pl.Float64, strict=False)


def _level(log: _Log, table: OpenTable, what: str, notes: list[str]) -> pl.Series | None:
    """Return a level; None where it is one number throughout, which phones write for "none"."""
    index = log.level(what)
    values = _numbers(table, index)
    if index is None or values is None:
        return None
    known = values.drop_nulls()
    if known.len() > 10 and known.n_unique() == 1 and float(known[0]) == 0.0:  # noqa: PLR2004
        notes.append(f"{table.shown(index)} is 0 throughout and was taken as not measured")
        return None
    return values


def _where_lte(
    values: pl.Series | None, technology: pl.Series, notes: list[str]
) -> pl.Series | None:
    """Return levels of LTE and NR; those of 2G and 3G are other quantities."""
    if values is None:
        return None
    lower = technology.fill_null("").str.to_lowercase()
    beside = ~lower.is_in(list(_LTE_AND_NR)) & values.is_not_null()
    note = "levels of 2G and 3G are no RSRP and were left out"
    if bool(beside.any()) and note not in notes:
        notes.append(note)
    return values.set(beside, None)


def _within(values: pl.Series | None, what: str, notes: list[str]) -> pl.Series | None:
    if values is None:
        return None
    low, high = _RANGES[what]
    odd = ~values.is_between(low, high).fill_null(value=True)
    count, (name, _, unit) = int(odd.sum()), what.partition("_")
    if count:
        limits = f"{low:g} to {high:g} {unit.replace('db', 'dB')}".replace("-", "−")
        notes.append(
            f"{count} values of {name.upper()} outside {limits} were taken as not measured"
        )
    return values.set(odd, None)


def _run(log: _Log, table: OpenTable) -> pl.Series:
    """Return which drive each row belongs to: its run, or its operator where there are several."""
    height = log.grid.frame.height
    name = Path(log.grid.file).name.partition(".")[0]
    stated, operator = (_text(table, log.column(names)) for names in (_RUN, _OPERATOR))
    if stated is not None and stated.n_unique() > 1:
        return stated.fill_null("")
    if operator is not None:  # two phones in one file, and not one that lost its network at times
        shares = operator.drop_nulls().value_counts(sort=True, normalize=True)["proportion"]
        if shares.len() > 1 and float(shares[1]) > _SECOND_PHONE:
            return operator.fill_null("")
    return pl.Series(RUN, [name]).new_from_index(0, height)


def _cells(log: _Log, table: OpenTable) -> pl.Series | None:
    """Return the serving cell by the best name that most rows have."""
    best: tuple[int, pl.Series] | None = None
    for names in _CELLS:
        if any(name not in log.keys for name in names):
            continue
        parts = [table.text(log.keys[name]) for name in names]
        joined = parts[0]
        for part in parts[1:]:
            joined = joined + "/" + part  # null where one part is
        joined = joined.set((joined == "0/0").fill_null(value=False), None)
        known = joined.len() - joined.null_count()
        if known > joined.len() * 0.5:
            return joined
        if known and (best is None or known > best[0]):
            best = (known, joined)
    return None if best is None else best[1]


def _moments(table: OpenTable, headers: Sequence[str], names: Sequence[str]) -> pl.Series:
    """Return how many events each second has: "2" are two, and so are the moments "0.4@0.9"."""
    total = pl.Series([0.0]).new_from_index(0, table.grid.frame.height)
    for name in names:
        texts = table.text(headers.index(name)).fill_null("0")
        several = texts.str.count_matches("@", literal=True).cast(pl.Float64)
        single = texts.cast(pl.Float64, strict=False).fill_null(0.0).ceil()
        total += pl.select(pl.when(several > 0).then(several + 1).otherwise(single)).to_series()
    return total


def _others(table: OpenTable, log: _Log, left_out: set[str]) -> pl.DataFrame:
    """Return the other numbers of the rows: what was measured besides."""
    taken = {log.level(what) for what in (RSRP, RSRQ, SINR)}
    columns: list[pl.Series] = []
    for index in table.open:
        name = table.names[index]
        other = index in taken or name in left_out or name.lower() in _NO_MEASURE
        if other or describe(name).role is Role.ATTRIBUTE or len(columns) >= _MOST_OTHERS:
            continue
        values = _numbers(table, index, mostly=True)
        for what, word in ((RSRP, "rsrp"), (RSRQ, "rsrq"), (SINR, "sinr")):
            values = _within(values, what, []) if word in name.lower() else values
        if values is not None and values.drop_nulls().n_unique() > 2:  # noqa: PLR2004 (no flag)
            columns.append(values.alias(name))
    return pl.DataFrame(columns)


_NO_MEASURE = frozenset(
    ["level", "qual", "cqi", "gpsspeed", "speed", "altitude", "heading", "accuracy", "distance",
     "node", "cellid", "lac", "tac", "num_of_neis"]
)  # fmt: skip


def _counted(table: OpenTable, headers: Sequence[str]) -> dict[str, int]:
    """Return how often each kind of event of an NTU log happened."""
    sums = {
        kind: int(_moments(table, headers, (name,)).sum())
        for name, kind in ntu.OTHERS.items()
        if name in headers
    }
    return {kind: count for kind, count in sums.items() if count}


def _events(table: OpenTable, log: _Log) -> dict[str, int]:
    index = log.column(("eventtype", "event"))
    if index is None:
        return {}
    counts = table.text(index).drop_nulls().value_counts(sort=True)
    return dict(zip(counts[counts.columns[0]].to_list(), counts["count"].to_list(), strict=True))


def _plain(grid: Grid, log: _Log) -> Drive:
    """Return a log with a column of RSRP per cell: of the serving one, or of the strongest."""
    table = open_table(grid, Mapping(), Findings())
    at = {name.strip(): index for index, name in enumerate(grid.headers)}
    seconds = _numbers(table, at[plain.TIME])
    cells = [name for name in at if name not in (plain.TIME, plain.SERVING, "")]
    levels = pl.DataFrame(
        [
            pl.Series(name, _within(_numbers(table, at[name]), RSRP, []), pl.Float64)
            for name in cells
        ]
    )
    stated = _text(table, at.get(plain.SERVING))
    best = levels.select(pl.max_horizontal(cells)).to_series()
    strongest = levels.select(
        pl.coalesce(pl.when(pl.col(name) == best).then(pl.lit(name)) for name in cells)
    ).to_series()
    serving = strongest if stated is None else stated
    level = levels.select(
        pl.coalesce(pl.when(serving == name).then(pl.col(name)) for name in cells)
    ).to_series()
    columns: dict[str, pl.Series | None] = dict.fromkeys(SCHEMA)
    micros = (seconds * 1e6).round().cast(pl.Int64)  # type: ignore[operator, union-attr]  # there
    columns[WHEN] = micros.cast(pl.Datetime("us", "UTC"))
    columns |= {CELL: serving, RSRP: level, RUN: _run(log, table)}
    return replace(_drive(grid, plain.FORM, columns, ()), dated=False)


def with_events(drives: Sequence[Drive]) -> list[Drive]:
    """Return drives with what lies beside them: NAME_log has NAME_log_events, NAME_log_datatest."""
    stems = {Path(one.source).name.partition(".")[0]: one for one in drives}
    kept: list[Drive] = []
    for one in drives:
        stem = Path(one.source).name.partition(".")[0]
        if any(stem.endswith(end) and stem.removesuffix(end) in stems for end in _BESIDE):
            continue
        events, tests = (stems.get(stem + end) for end in _BESIDE)
        if events is not None:
            one = replace(one, events=events.events)  # noqa: PLW2901
        if tests is not None:
            new = [name for name in tests.others.columns if name not in one.others.columns]
            both = pl.concat([one.others, tests.others.select(new)], how="diagonal")
            one = replace(one, others=both)  # noqa: PLW2901
        kept.append(one)
    return kept
