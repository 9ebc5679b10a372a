"""Carrier frequencies from what site lists call them: bands, channel numbers, frequencies."""

from __future__ import annotations

import re

BAND_MHZ: dict[int, float] = {
    1: 2140.0, 2: 1960.0, 3: 1842.5, 4: 2132.5, 5: 881.5, 7: 2655.0, 8: 942.5, 12: 737.5,
    13: 751.0, 14: 763.0, 17: 740.0, 20: 806.0, 25: 1962.5, 26: 876.5, 28: 780.5, 30: 2355.0,
    38: 2595.0, 39: 1900.0, 40: 2350.0, 41: 2593.0, 42: 3500.0, 43: 3700.0, 48: 3625.0,
    66: 2155.0, 71: 634.5, 77: 3750.0, 78: 3550.0, 79: 4700.0, 257: 28000.0, 258: 25875.0,
    260: 38500.0, 261: 27925.0,
}  # fmt: skip
"""Middle of the downlink of NR and E-UTRA bands [MHz], TS 38.104 §5.2 and TS 36.104 §5.5."""

EARFCN: tuple[tuple[int, int, float], ...] = (
    (0, 599, 2110.0), (600, 1199, 1930.0), (1200, 1949, 1805.0), (1950, 2399, 2110.0),
    (2400, 2649, 869.0), (2750, 3449, 2620.0), (3450, 3799, 925.0), (5010, 5179, 729.0),
    (5180, 5279, 746.0), (5280, 5379, 758.0), (5730, 5849, 734.0), (6150, 6449, 791.0),
    (8040, 8689, 1930.0), (8690, 9039, 859.0), (9210, 9659, 758.0), (9770, 9869, 2350.0),
    (37750, 38249, 2570.0), (38250, 38649, 1880.0), (38650, 39649, 2300.0),
    (39650, 41589, 2496.0), (41590, 43589, 3400.0), (43590, 45589, 3600.0),
    (55240, 56739, 3550.0), (66436, 67335, 2110.0), (68586, 68935, 617.0),
)  # fmt: skip
"""First and last downlink channel of each E-UTRA band and the frequency of the first [MHz],
TS 36.104 table 5.7.3-1."""

FREQUENCY_LIMITS_HZ = (0.4e9, 100e9)
"""Carriers that the path loss of TR 38.901 may be asked for, a little below its 0.5 GHz."""

_GLOBAL_RASTER = ((600_000, 0.0, 0.005, 0), (2_016_667, 3000.0, 0.015, 600_000),
                  (3_279_166, 24250.08, 0.06, 2_016_667))  # fmt: skip
"""End of each range of NR-ARFCN, its first frequency, step [MHz] and first channel,
TS 38.104 table 5.4.2.1-1."""

_UNITS = {"hz": 1.0, "khz": 1e3, "mhz": 1e6, "ghz": 1e9}
_WRITTEN = re.compile(r"\s*([0-9]+(?:[.,][0-9]+)?)\s*(hz|khz|mhz|ghz)\s*", re.IGNORECASE)
_NAMED = re.compile(r"\s*(?:lte|nr|umts|gsm|[gul])[ _-]?([0-9]{3,4})\s*", re.IGNORECASE)
_BAND = re.compile(r"\s*(?:(?:n|b|band)[ _-]?)?([0-9]{1,3})\s*", re.IGNORECASE)


def frequency_hz(text: str, *, meaning: str, unit: str = "") -> float:
    """Return the downlink carrier frequency that a field of a site list gives [Hz].

    Args:
        text: What the field says: "n78", "B3", "3.5 GHz", "LTE1800", "3500", "1300", ...
        meaning: What its column says it is: "band", "arfcn" or "frequency".
        unit: "hz", "khz", "mhz" or "ghz" where the header gives one.

    Raises:
        ValueError: It is none of these, or the frequency is out of range.
    """
    value = _frequency_hz(text, meaning, unit)
    low, high = FREQUENCY_LIMITS_HZ
    if not low <= value <= high:
        message = f"{text.strip()!r} is {value / 1e9:g} GHz, not {low / 1e9:g} to {high / 1e9:g}"
        raise ValueError(message)
    return value


def _frequency_hz(text: str, meaning: str, unit: str) -> float:
    written = _WRITTEN.fullmatch(text)
    if written:
        return float(written[1].replace(",", ".")) * _UNITS[written[2].lower()]
    named = _NAMED.fullmatch(text)
    if named:
        return float(named[1]) * 1e6
    band = _BAND.fullmatch(text)
    prefixed = band is not None and not text.strip()[0].isdigit()
    if band is not None and (meaning == "band" or prefixed) and int(band[1]) in BAND_MHZ:
        return BAND_MHZ[int(band[1])] * 1e6
    number = float(text.strip().replace(",", "."))
    if meaning == "arfcn":
        return _channel_hz(number, text)
    if unit:
        return number * _UNITS[unit]
    return number * _guessed_unit(number)


def _guessed_unit(number: float) -> float:
    """Return what a frequency without a unit is counted in: GHz up to 100, then MHz, then Hz."""
    highest_ghz, highest_mhz = 100.0, 1e5
    if number <= highest_ghz:
        return 1e9
    return 1e6 if number <= highest_mhz else 1.0


def _channel_hz(number: float, text: str) -> float:
    """Return the frequency of an EARFCN or, above those, an NR-ARFCN [Hz]."""
    for first, last, mhz in EARFCN:
        if first <= number <= last:
            return (mhz + 0.1 * (number - first)) * 1e6
    lowest_nr = 80_000
    for end, mhz, step, first in _GLOBAL_RASTER:
        if lowest_nr <= number < end:
            return (mhz + step * (number - first)) * 1e6
    message = f"{text.strip()!r} is no downlink EARFCN or NR-ARFCN"
    raise ValueError(message)
