"""How numbers, times and KPIs are written for people: one way, in every report and view."""

from __future__ import annotations

import math

from cellhive.core.schema import QUANTITIES, Kind, Quantity

ABSENT = "–"
"""What stands where a value is not known."""

_UNSEEN = {
    **dict.fromkeys((*range(9), 11, 12, *range(14, 32)), "�"),
    **dict.fromkeys((*range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)),
                    "\N{REPLACEMENT CHARACTER}"),
}  # fmt: skip
"""Characters that steer a terminal or turn the direction of writing, and show nothing."""


def visible(text: str) -> str:
    """Return text without characters that steer where it is shown: names come from anywhere."""
    return text.translate(_UNSEEN)


_SCORES = {
    quantity.name: quantity
    for quantity in (
        Quantity(
            "objective",
            "points",
            Kind.KPI,
            "Weighted score of the network's KPIs; one point is one percentage point of demand.",
            better="higher",
            label="Score",
        ),
        Quantity(
            "area_objective",
            "points",
            Kind.KPI,
            "The same score over the cells that a plan reaches.",
            better="higher",
            label="Score of the area",
        ),
        Quantity(
            "power_w",
            "W",
            Kind.KPI,
            "Mean power drawn.",
            better="lower",
            low=0,
            label="Power drawn",
        ),
    )
}
"""Quantities that reports show besides those of the schema."""

_CHANGE_UNITS = {"%": "pp", "dBm": "dB"}
"""Units of changes where they are not those of the values."""

_HUGE, _TINY = 1e15, 1e-6
_MINUTES_S = 59.5
_HOUR_MIN = 60
_DAYS_H = 48
_NEARLY_ALL, _ALL = 99, 100


def format_number(value: float | None, digits: int = 3, *, keep: bool = False) -> str:
    """Return a number with about ``digits`` significant digits; a dash where it is not known.

    Thousands are separated by narrow spaces, a minus is a real minus sign, and zero is "0".
    Trailing zeros are dropped unless ``keep`` is set.
    """
    if value is None or not math.isfinite(value):
        return ABSENT
    if value == 0:
        return "0"
    size = abs(value)
    if size >= _HUGE or size < _TINY:
        return f"{value:.{digits - 1}e}".replace("-", "−")
    places = max(0, digits - 1 - math.floor(math.log10(size)))
    text = f"{value:,.{places}f}".replace(",", "\u202f").replace("-", "−")
    if "." in text and not keep:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"−0", ""} else text


def format_signed(value: float | None, digits: int = 3) -> str:
    """Return a number with its sign, for changes."""
    text = format_number(value, digits)
    return f"+{text}" if value is not None and math.isfinite(value) and value > 0 else text


def with_unit(text: str, unit: str) -> str:
    """Return a written number with its unit after a space that does not break."""
    if not unit or text == ABSENT:
        return text
    if unit == "°":
        return f"{text}°"
    return f"{text}\u00a0{unit}"


def quantity_of(name: str) -> Quantity | None:
    """Return what is known of a counter, KPI, parameter or score, or None."""
    return QUANTITIES.get(name) or _SCORES.get(name)


def label_of(name: str) -> str:
    """Return the short name of a quantity for tables and charts."""
    quantity = quantity_of(name)
    return (quantity.label or quantity.name) if quantity else name


def shown_unit(name: str) -> str:
    """Return the unit a quantity is shown in: ratios are shown as percentages."""
    quantity = quantity_of(name)
    if quantity is None:
        return ""
    return {"ratio": "%", "bit/J": "kbit/J", "deg": "°"}.get(quantity.unit, quantity.unit)


def shown_scale(name: str) -> float:
    """Return the factor from a quantity's own unit to the one it is shown in."""
    quantity = quantity_of(name)
    unit = quantity.unit if quantity else ""
    return {"ratio": 100.0, "bit/J": 1e-3}.get(unit, 1.0)


def format_quantity(name: str, value: float | None, digits: int = 3, *, keep: bool = False) -> str:
    """Return a quantity's value with its unit, as shown to people."""
    if value is None or not math.isfinite(value):
        return ABSENT
    unit = shown_unit(name)
    shown = value * shown_scale(name)
    if unit == "%" and _NEARLY_ALL < shown < _ALL:
        digits = max(digits, 4)
    return with_unit(format_number(shown, digits, keep=keep), unit)


def format_change(name: str, value: float | None, digits: int = 3) -> str:
    """Return a change of a quantity with sign and unit; a change of a percentage is in points."""
    if value is None or not math.isfinite(value):
        return ABSENT
    unit = shown_unit(name)
    text = format_signed(value * shown_scale(name), digits)
    return with_unit(text, _CHANGE_UNITS.get(unit, unit))


def format_interval(name: str, change: float, low: float, high: float) -> tuple[str, str]:
    """Return a change and its interval, written to the digits that the interval bears out.

    Both carry as many decimals as show two digits of half the interval's width; where
    there is no interval, the second text is empty.
    """
    half = (high - low) / 2 * shown_scale(name)
    if not (math.isfinite(half) and math.isfinite(change)) or half <= 0:
        return format_change(name, change), ""
    places = max(0, 1 - math.floor(math.log10(half)))
    unit = shown_unit(name)
    told = [_fixed(value * shown_scale(name), places) for value in (change, low, high)]
    return with_unit(told[0], _CHANGE_UNITS.get(unit, unit)), f"{told[1]} to {told[2]}"


def _fixed(value: float, places: int) -> str:
    text = f"{value:+,.{places}f}".replace(",", "\u202f").replace("-", "−")
    return text if any(digit in text for digit in "123456789") else text[1:]


def direction(name: str, change: float | None) -> str:
    """Return "better", "worse" or "" for a change of a quantity, by the schema's direction."""
    quantity = quantity_of(name)
    if quantity is None or not quantity.better or change is None or not math.isfinite(change):
        return ""
    if change == 0:
        return ""
    return "better" if (change > 0) == (quantity.better == "higher") else "worse"


def format_clock(time_s: float) -> str:
    """Return a simulated time as a day and a clock, for example "day 2 06:15"."""
    minutes = math.floor(time_s / 60 + 0.5)
    day, minute = divmod(minutes, 24 * 60)
    clock = f"{minute // 60:02d}:{minute % 60:02d}"
    return clock if day == 0 else f"day {day + 1} {clock}"


def format_time_of_day(hours: float) -> str:
    """Return hours since the first midnight as a clock; midnights name the day that begins."""
    day, minute = divmod(round(hours * 60), 24 * 60)
    if minute == 0 and day > 0:
        return f"day {day + 1}"
    return f"{minute // 60:02d}:{minute % 60:02d}"


def format_duration(seconds: float) -> str:
    """Return a span of time in the two largest units that matter."""
    if seconds < _MINUTES_S:
        return f"{format_number(seconds, 2)} s"
    minutes = round(seconds / 60)
    if minutes < _HOUR_MIN:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < _DAYS_H:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(round(seconds / 3600), 24)
    return f"{days} d {hours} h" if hours else f"{days} d"
