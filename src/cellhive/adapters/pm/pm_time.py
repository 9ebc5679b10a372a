"""Times and durations as measurement files write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_END_OF_DAY = 24
_LEAP_SECOND = 60
_TIME = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)[T ]?(\d\d):?(\d\d)(?::?(\d\d)([.,]\d+)?)?\s*"
    r"(?:(Z|UTC)|([+-])(\d\d):?(\d\d)?(?::\d\d)?)?$"
)
_DURATION = re.compile(
    r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$", re.IGNORECASE
)


def parse_time(text: str) -> tuple[int, str] | None:
    """Return a time [us since 1970 UTC] and its zone, or None if it is none.

    Accepts xs:dateTime and the variants found in the field: "+0100", "-05:00:00", no zone.
    The zone is "UTC", "+01:00" or, where none is written, "": the time is then as written.
    """
    found = _TIME.match(text.strip())
    if found is None:
        return None
    year, month, day, hour, minute = (int(part) for part in found.groups()[:5])
    second = int(found.group(6) or 0)
    fraction = float("0." + found.group(7)[1:]) if found.group(7) else 0.0
    zone, label = _zone(found)
    midnight = hour == _END_OF_DAY
    try:
        moment = datetime(year, month, day, 0 if midnight else hour, minute, tzinfo=zone)
    except ValueError:
        return None
    if second > _LEAP_SECOND or (midnight and (minute or second)):
        return None
    moment += timedelta(days=midnight, seconds=second)
    return (moment - _EPOCH) // _MICROSECOND + round(fraction * 1e6), label


def _zone(found: re.Match[str]) -> tuple[timezone, str]:
    if found.group(9) is None:
        return UTC, "UTC" if found.group(8) else ""
    hours, minutes = int(found.group(10)), int(found.group(11) or 0)
    if hours == minutes == 0:
        return UTC, "UTC"
    offset = timedelta(hours=min(hours, 23), minutes=min(minutes, 59))
    sign = found.group(9)
    label = f"{sign}{hours:02d}:{minutes:02d}"
    return timezone(-offset if sign == "-" else offset), label


def parse_duration(text: str) -> float | None:
    """Return an xs:duration of days, hours, minutes and seconds [s], or None if it is none."""
    found = _DURATION.match(text.strip())
    if found is None or not any(found.groups()):
        return None
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return days * 86400 + hours * 3600 + minutes * 60 + seconds
