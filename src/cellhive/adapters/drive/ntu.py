"""Per-second logs of the NTU WMN-Lab: LTE serving cell, two neighbours, handovers, failures."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from cellhive.adapters.drive.following import HIGHEST_DBM, LOWEST_DBM, Follower, Sample
from cellhive.adapters.drive.rows import Row, Rows
from cellhive.core.errors import BadInput
from cellhive.ran.trace import DriveLog, LogEvent

COLUMNS = ("Timestamp", "LTE_HO", "MN_HO", "RLF", "RSRP", "RSRP1", "RSRP2")
"""What tells such a file, and what it must have."""
JOIN_S = HOLD_S = 3.0
FORM = "per-second log of the NTU WMN-Lab (LTE anchor with two neighbours)"
NOTES = (
    "The log names no cells: it has the level of the serving cell and of the two strongest"
    " neighbours on its frequency. Where a handover led to is not known, and so no ping-pong of"
    " the network is. The replay begins anew, in the cell that served, after every recorded"
    " handover or failure: it can show that other parameters had acted earlier, never how a"
    " later handover would have gone.",
    "Levels are means over a second: fading within it is gone, and with it the ping-pongs and"
    " the early triggers that it causes. Seconds with a handover or a failure mix two cells"
    " and are left out. Most of these logs count events per second without their moments.",
    "Only the LTE anchor is replayed. Handovers, additions and failures of the NR leg are"
    " counted as the log has them.",
)
_HANDOVERS = ("LTE_HO", "MN_HO")
OTHERS = {
    "gNB_HO": "NR handover",
    "eNB_to_ENDC": "NR leg added",
    "gNB_Rel": "NR leg released",
    "SCG_RLF": "NR radio link failure",
}
"""Columns that count events besides handovers and failures of LTE, and what they count."""
_COUNTS = range(11)
"""How many events of a kind a second can hold."""


def read_ntu(path: Path, run: str = "") -> Iterator[DriveLog]:
    """Give the runs of a file one after the other.

    Args:
        path: The file; a column ``file`` says which run a row belongs to.
        run: Give only the run of this name.

    Raises:
        BadInput: A row cannot be what it should be.
    """
    rows = Rows(path)
    name, part = "", None
    for row in rows:
        here = row.text("file") or path.name.partition(".")[0]
        if part is None or here != name:
            if part is not None and run in ("", name):
                yield part.log(name, rows.notes())
            name, part = here, _Part(rows.damaged)
        if run in ("", name):
            part.add(row)
    if part is not None and run in ("", name):
        yield part.log(name, rows.notes())


class _Part:
    """One run while it is being read."""

    def __init__(self, damaged: int) -> None:
        self._follower = Follower(1.0, JOIN_S)
        self._events: list[LogEvent] = []
        self._first: datetime | None = None
        self._last_s = -1.0
        self._damaged = damaged

    def add(self, row: Row) -> None:
        """Take a row."""
        when = _when(row)
        self._first = self._first or when
        time_s = (when - self._first).total_seconds()
        if time_s <= self._last_s:
            raise BadInput(
                place=f"{row.place}, column Timestamp", expected="times that ascend",
                found=row.text("Timestamp"), remedy="put runs into files of their own",
            )  # fmt: skip
        self._last_s = time_s
        self._follower.add(
            Sample(
                time_s + 0.5,  # a mean over the second belongs to its middle
                _level(row, "RSRP"),
                (_level(row, "RSRP1"), _level(row, "RSRP2")),
                tuple(sorted(t for name in _HANDOVERS for t in _moments(row, name, time_s))),
                tuple(_moments(row, "RLF", time_s)),
            )
        )
        for name, kind in OTHERS.items():
            self._events += [LogEvent(t, kind) for t in _moments(row, name, time_s)]

    def log(self, name: str, left_out: tuple[str, ...]) -> DriveLog:
        """Return the run."""
        self._follower.end()
        events = sorted(self._follower.events + self._events, key=lambda event: event.time_s)
        return DriveLog(
            name=name, dt_s=1.0, join_s=JOIN_S, hold_s=HOLD_S, duration_s=self._last_s + 1.0,
            stretches=tuple(self._follower.stretches), events=tuple(events),
            begins=f"{self._first:%Y-%m-%d %H:%M:%S}" if self._first else "",
            notes=left_out[self._damaged :],
        )  # fmt: skip


def _when(row: Row) -> datetime:
    try:
        return datetime.strptime(row.text("Timestamp"), "%Y-%m-%d %H:%M:%S")
    except ValueError as error:
        raise BadInput(
            place=f"{row.place}, column Timestamp", expected="YYYY-MM-DD HH:MM:SS",
            found=repr(row.text("Timestamp")),
        ) from error  # fmt: skip


def _level(row: Row, name: str) -> float:
    """Return a level [dBm]; NaN where there is none, which such logs write as 0."""
    value = row.number(name)
    return value if value is not None and LOWEST_DBM <= value <= HIGHEST_DBM else math.nan


def _moments(row: Row, name: str, time_s: float) -> list[float]:
    """Return when within a row events happened [s].

    Two notations are in use: moments ("0.4" is one, "0.4@0.9" are two) and counts ("2"),
    of which the moments are not known; they are spread evenly over the second.
    """
    text = row.text(name)
    if not text:
        return []
    try:
        parts = [float(part) for part in text.split("@")]
    except ValueError:
        parts = [math.nan]
    if len(parts) == 1 and parts[0] in _COUNTS:
        count = int(parts[0])
        return [time_s + (i + 0.5) / count for i in range(count)]
    if not all(0 <= part <= 1 for part in parts):
        raise BadInput(
            place=f"{row.place}, column {name}",
            expected="how many events (0, 1, 2, ...) or their moments within the second"
            " joined by @ (0.4@0.9)",
            found=repr(text),
        )
    return [time_s + part for part in parts]
