"""What a drive test recorded, as its readers hand it over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cellhive.core.types import Floats, Ints


@dataclass(frozen=True)
class Stretch:
    """A part of a log in which the same cells can be followed throughout."""

    start_s: float
    """Time of the first sample in the log [s]."""
    cells: tuple[str, ...]
    """Name of each cell, length C."""
    rsrp_dbm: Floats
    """Recorded RSRP [dBm], (T, C); NaN where a cell was not measured."""
    serving: Ints
    """Cell that served, (T,); -1 where it is not known."""
    carrier: Ints
    """Carrier of each cell, counted from 0, (C,)."""


@dataclass(frozen=True, slots=True)
class LogEvent:
    """Something that the log itself says has happened."""

    time_s: float
    """Time in the log [s]."""
    kind: str
    """"handover", "radio link failure", or the word of the log."""
    source: str = ""
    """Name of the cell before; "" where it cannot be known."""
    target: str = ""
    """Name of the cell after; "" where it cannot be followed."""


@dataclass(frozen=True)
class DriveLog:
    """One recorded run of one phone."""

    name: str
    dt_s: float
    """Time between samples [s]."""
    join_s: float
    """Samples of a cell at most this far apart are joined by a straight line [s]."""
    hold_s: float
    """How long the last sample of a cell stands [s]."""
    duration_s: float
    stretches: tuple[Stretch, ...]
    events: tuple[LogEvent, ...] = ()
    begins: str = ""
    """Date and time of the first sample as the log writes them."""
    notes: tuple[str, ...] = ()
    """What was left out of this run, and why."""


@dataclass(frozen=True)
class DriveTest:
    """A file of a drive test: its runs, read one after the other as they are asked for."""

    form: str
    """What kind of file it is, in words."""
    source: str
    """The file."""
    logs: Iterator[DriveLog]
    notes: tuple[str, ...]
    """What such files do not hold, and what was made of that."""
    tells_failures: bool = False
    """Whether such files say when a radio link has failed."""
