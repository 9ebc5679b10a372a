"""Logs of G-NetTrack: the LTE serving cell, its neighbours where logged, and an event file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from cellhive.adapters.drive.following import HIGHEST_DBM, LOWEST_DBM, changes_in, stretch_of
from cellhive.adapters.drive.rows import Row, Rows, missing
from cellhive.core.errors import BadInput
from cellhive.ran.trace import DriveLog, LogEvent, Stretch

COLUMNS = ("Timestamp", "NetworkTech", "Level", "ARFCN", "PSC")
"""What tells such a file, and what it must have."""
JOIN_S, HOLD_S = 12.0, 3.0
FORM = "G-NetTrack log"
NOTES = (
    "Cells are named ARFCN/PCI. Only LTE is replayed: rows of 2G and 3G end a stretch, for their"
    " levels cannot be compared.",
    "A phone that stands still or is idle logs a row every ten seconds or so; levels between are"
    " on a straight line. The machine takes the phone as connected all the time, the log has"
    " reselections of idle phones besides handovers.",
    "Signal to noise is 0.0 or missing throughout in such logs and is not used.",
)
NO_NEIGHBOURS = (
    "This log has no neighbours. A cell is known only while it serves and for a few seconds"
    " after: the replay can put off or leave out a recorded handover, never find another one."
)
_LTE = "4G"
_EVENT_COLUMNS = ("Timestamp", "EventType", "EventDetails")
_DETAIL_FIELDS = 7


def has_neighbours(header: tuple[str, ...]) -> bool:
    """Return whether a log has the level, code and so on of at least one neighbour."""
    return not missing(header, ("NCell1", "NRxLev1"))


def read_gnettrack(path: Path) -> Iterator[DriveLog]:
    """Give the one run of a file.

    Raises:
        BadInput: A row cannot be what it should be.
    """
    rows = Rows(path)
    run = _Run()
    for row in rows:
        run.add(row)
    run.end()
    beside = _event_file(path)
    events = _changes(run.stretches) if beside is None else _events(beside, run)
    notes = [*rows.notes()]
    if run.odd:
        notes.append(
            f"{run.odd} levels outside {LOWEST_DBM:g} to {HIGHEST_DBM:g} dBm were taken as"
            " not measured"
        )
    if beside is None:
        notes.append("there is no event file beside it: every change of cell counts as a handover")
    told = ", ".join(f"{tech} {count}" for tech, count in run.technologies.most_common())
    notes.append(f"rows by technology: {told}")
    yield DriveLog(
        name=path.name.partition(".")[0], dt_s=1.0, join_s=JOIN_S, hold_s=HOLD_S,
        duration_s=run.last_s + 1.0, stretches=tuple(run.stretches), events=events,
        begins=f"{run.first:%Y-%m-%d %H:%M:%S}" if run.first else "", notes=tuple(notes),
    )  # fmt: skip


class _Run:
    """A log while it is being read."""

    def __init__(self) -> None:
        self.first: datetime | None = None
        self.last_s = 0.0
        self.odd = 0
        self.stretches: list[Stretch] = []
        self.technologies: Counter[str] = Counter()
        self._rows: list[tuple[float, str, dict[str, float]]] = []
        self._carriers: dict[str, str] = {}

    def add(self, row: Row) -> None:
        """Take a row."""
        when = _when(row)
        self.first = self.first or when
        time_s = (when - self.first).total_seconds()
        if time_s < self.last_s:
            raise BadInput(
                place=f"{row.place}, column Timestamp", expected="times that do not go back",
                found=row.text("Timestamp"),
            )  # fmt: skip
        technology = row.fields["NetworkTech"].strip() or "none"
        self.technologies[technology] += 1
        if technology != _LTE or time_s - self.last_s > JOIN_S:
            self.end()
        self.last_s = time_s
        if technology == _LTE:
            levels = self._levels(row)
            serving = _cell(row.text("ARFCN"), row.text("PSC"))
            if serving and serving in levels:
                self._rows.append((time_s, serving, levels))

    def end(self) -> None:
        """End a stretch."""
        if len(self._rows) > 1 and self._rows[-1][0] > self._rows[0][0]:
            self.stretches.append(stretch_of(self._rows, 1.0, self._carriers))
        self._rows = []

    def _levels(self, row: Row) -> dict[str, float]:
        """Return the levels of a row by cell [dBm]."""
        arfcn = row.text("ARFCN")
        found = [(arfcn, row.text("PSC"), row.number("Level"))]
        k = 1
        while f"NRxLev{k}" in row.fields:
            if row.text(f"NTech{k}") in ("", _LTE):
                beside = row.text(f"NARFCN{k}") or arfcn
                found.append((beside, row.text(f"NCell{k}"), row.number(f"NRxLev{k}")))
            k += 1
        levels: dict[str, float] = {}
        for carrier, code, level in reversed(found):  # the serving cell last: it is surest
            name = _cell(carrier, code)
            if not name or level is None:
                continue
            if not LOWEST_DBM <= level <= HIGHEST_DBM:
                self.odd += 1
                continue
            levels[name] = level
            self._carriers[name] = carrier
        return levels


def _cell(arfcn: str, code: str) -> str:
    return f"{arfcn}/{code}" if arfcn and code else ""


def _when(row: Row) -> datetime:
    try:
        return datetime.strptime(row.text("Timestamp"), "%Y.%m.%d_%H.%M.%S")
    except ValueError as error:
        raise BadInput(
            place=f"{row.place}, column Timestamp", expected="YYYY.MM.DD_HH.MM.SS",
            found=repr(row.text("Timestamp")),
        ) from error  # fmt: skip


def _event_file(path: Path) -> Path | None:
    """Return the event file that belongs to a log: NAME_log.txt has NAME_log_events.txt."""
    stem = path.name.partition(".")[0]
    for suffix in (".txt", ".txt.gz"):
        beside = path.with_name(f"{stem}_events{suffix}")
        if beside.is_file():
            return beside
    return None


def _events(path: Path, run: _Run) -> tuple[LogEvent, ...]:
    """Return what an event file says has happened."""
    rows = Rows(path)
    events: list[LogEvent] = []
    for row in rows:
        lacking = missing(rows.header, _EVENT_COLUMNS)
        if lacking:
            raise BadInput(
                place=f"{path}, line 1", expected=f"the column {lacking[0]} of an event file",
                found=", ".join(rows.header[:20]),
            )  # fmt: skip
        kind = row.text("EventType")
        if not kind or run.first is None:
            continue
        time_s = (_when(row) - run.first).total_seconds()
        source, target = _cells(row.text("EventDetails"))
        if kind.startswith("HANDOVER") and kind.endswith("_4G4G"):
            kind = "handover"
        events.append(LogEvent(time_s, kind, source, target))
    return tuple(sorted(events, key=lambda event: event.time_s))


def _cells(details: str) -> tuple[str, str]:
    """Return source and target of "MCC-MNC-LAC-node-cell-ARFCN-PCI:…", "" where they are not."""
    sides = [side.split("-") for side in details.split(":")]
    if [len(side) for side in sides] != [_DETAIL_FIELDS, _DETAIL_FIELDS]:
        return "", ""
    return _cell(*sides[0][-2:]), _cell(*sides[1][-2:])


def _changes(stretches: list[Stretch]) -> tuple[LogEvent, ...]:
    """Return every change of the serving cell as a handover."""
    return tuple(change for stretch in stretches for change in changes_in(stretch, 1.0))
