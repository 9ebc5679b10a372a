"""The clock of the reader: times in the zone of the data, and what that zone is called."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from cellhive.diagnose.cycles import DAY_S
from cellhive.flows.analyse import Analysis

_OFFSET = re.compile(r"(?:UTC)?([+-])(\d{2}):?(\d{2})")


@dataclass(frozen=True)
class Clock:
    """Turns seconds since the epoch into the time that the people of a network read."""

    zone: tzinfo = UTC
    name: str = "UTC"
    """What the zone is called; "" where the data state none and times are as written."""

    @property
    def said(self) -> str:
        """How the zone is said in a sentence: "Times are ..."."""
        if not self.name:
            return "as written in the input, which states no time zone"
        return f"in {self.name}" + (
            "" if self.name[-1].isdigit() or self.name == "UTC" else " time"
        )

    @property
    def axis(self) -> str:
        """Label of a time axis."""
        return self.name or "time as written"

    def moment(self, time_s: float) -> datetime:
        """Return a time on the wall clock of the zone."""
        return (datetime.fromtimestamp(0, UTC) + timedelta(seconds=time_s)).astimezone(self.zone)

    def wall_s(self, time_s: float) -> float:
        """Return seconds since the epoch as a clock without zone would count them."""
        offset = self.moment(time_s).utcoffset()
        return time_s + (offset.total_seconds() if offset else 0.0)

    def written(self, time_s: float, *, days: bool = False) -> str:
        """Return a time in words: with the time of day unless only days count."""
        moment = self.moment(time_s)
        if days:
            return f"{moment:%Y-%m-%d}"
        text = f"{moment:%Y-%m-%d %H:%M}"
        if moment.microsecond:
            return f"{text}:{moment:%S}.{moment.microsecond // 1000:03d}"
        return f"{text}:{moment:%S}" if moment.second else text

    def is_midnight(self, time_s: float) -> bool:
        """Return whether a day begins at a time."""
        return self.wall_s(time_s) % DAY_S == 0


UTC_CLOCK = Clock()


def clock_of(analysis: Analysis) -> Clock:
    """Return the clock of an analysis: the zone of its data where all of it has the same."""
    names = {part.time_zone for part in analysis.parts if part.start is not None}
    if len(names) != 1:
        return Clock()
    (name,) = names
    if not name:
        return Clock(name="")
    zone = _zone(name)
    return Clock(zone, name) if zone is not None else Clock()


def _zone(name: str) -> tzinfo | None:
    if name in {"UTC", "Z"}:
        return UTC
    match = _OFFSET.fullmatch(name)
    if match:
        span = timedelta(hours=int(match[2]), minutes=int(match[3]))
        return timezone(-span if match[1] == "-" else span) if span < timedelta(days=1) else None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None
