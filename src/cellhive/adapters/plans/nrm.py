"""How the 3GPP network resource model names and counts the parameters that may be changed.

One ``Binding`` per parameter: the managed object and attribute that carry it, and the
whole numbers or words in which the standard counts it. Object classes, attributes and
units are those of TS 28.541 (annex E, release 16): ``digitalTilt`` counts 0.1 deg,
``configuredMaxTxPower`` mW, ``rsrpOffsetSsb`` dB. A sleeping cell is ordered through
``energySavingControl``; ``energySavingState`` is the node's answer and is read as well.
The model has no attribute for event A3; its settings travel in vendor-specific data
(``VsDataContainer``), counted as TS 38.331 does: offset and hysteresis in 0.5 dB, time
to trigger in ms, filterCoefficient by its k.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from cellhive.core.errors import BadInput
from cellhive.core.schema import QUANTITIES, TIME_TO_TRIGGER_S

ASLEEP_WORDS = {
    "energySavingControl": ("toBeNotEnergySaving", "toBeEnergySaving"),
    "energySavingState": ("isNotEnergySaving", "isEnergySaving"),
}
"""What the two attributes say of a cell that is awake and of one that is asleep."""

_TOLERANCE = 1e-6
"""Relative difference below which a value counts as one that the standard can express."""


@dataclass(frozen=True, slots=True)
class Binding:
    """Where one parameter lives in the model and how it is counted there."""

    parameter: str
    """Name in ``core.schema``."""
    path: tuple[str, ...]
    """Object classes from ``ManagedElement`` (left out) to the object that is changed."""
    attribute: str
    unit: str
    """What one count of the attribute means."""
    per_count: float = 1.0
    """Value of one count, in the parameter's own unit."""
    low: int = 0
    """Smallest count."""
    high: int = 0
    """Largest count."""


BINDINGS: dict[str, Binding] = {
    binding.parameter: binding
    for binding in (
        Binding(
            "cio_db",
            ("GNBCUCPFunction", "NRCellCU", "NRCellRelation"),
            "rsrpOffsetSsb",
            "dB",
            low=-24,
            high=24,
        ),
        Binding(
            "asleep",
            ("GNBCUCPFunction", "NRCellCU", "CESManagementFunction"),
            "energySavingControl",
            "word",
            high=1,
        ),
        Binding(
            "a3_offset_db",
            ("GNBCUCPFunction", "NRCellCU", "VsDataContainer"),
            "a3Offset",
            "0.5 dB",
            per_count=0.5,
            low=-30,
            high=30,
        ),
        Binding(
            "hysteresis_db",
            ("GNBCUCPFunction", "NRCellCU", "VsDataContainer"),
            "hysteresis",
            "0.5 dB",
            per_count=0.5,
            high=30,
        ),
        Binding(
            "time_to_trigger_s",
            ("GNBCUCPFunction", "NRCellCU", "VsDataContainer"),
            "timeToTrigger",
            "ms",
            per_count=0.001,
            high=5120,
        ),
        Binding(
            "filter_coefficient",
            ("GNBCUCPFunction", "NRCellCU", "VsDataContainer"),
            "filterCoefficient",
            "k",
            high=19,
        ),
        Binding(
            "tx_power_dbm",
            ("GNBDUFunction", "NRSectorCarrier"),
            "configuredMaxTxPower",
            "mW",
            low=1,
            high=2**31 - 1,
        ),
        Binding(
            "electrical_tilt_deg",
            ("GNBDUFunction", "NRSectorCarrier", "CommonBeamformingFunction"),
            "digitalTilt",
            "0.1 deg",
            per_count=0.1,
            low=-900,
            high=900,
        ),
    )
}
"""Every parameter that can be written to a configuration file."""


def encode(parameter: str, value: float, *, place: str = "") -> str:
    """Return a parameter's value as the attribute of the standard says it.

    Raises:
        BadInput: The parameter is not one of the model's, or the value is none that the
            standard can express.
    """
    binding = BINDINGS.get(parameter)
    if binding is None:
        raise BadInput(place=place, expected=f"one of {', '.join(BINDINGS)}", found=parameter)
    if not math.isfinite(value):
        raise BadInput(place=place, expected=f"a number for {parameter}", found=str(value))
    count = _count(binding, value)
    grid = QUANTITIES[parameter].grid
    on_grid = parameter not in _ENUMERATED or any(math.isclose(value, g) for g in grid)
    exact = parameter == "tx_power_dbm" or math.isclose(
        count * binding.per_count, value, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE
    )
    if not (binding.low <= count <= binding.high and exact and on_grid):
        raise BadInput(
            place=place,
            expected=f"a {parameter} that {binding.attribute} can say: {_range(binding)}",
            found=f"{value:g}",
            remedy="choose a value on that grid",
        )
    if parameter == "asleep":
        return ASLEEP_WORDS["energySavingControl"][count]
    return str(count)


def decode(parameter: str, text: str, *, place: str = "") -> float:
    """Return the value that an attribute of the standard says.

    A count of milliwatts becomes the dBm value on the parameter's grid that rounds to it,
    where there is one.

    Raises:
        BadInput: The text is not a count in the attribute's range.
    """
    binding = BINDINGS[parameter]
    plain = text.strip()
    if parameter == "asleep":
        return _decode_asleep(plain, place)
    try:
        count = int(plain) if "_" not in plain else binding.low - 1
    except ValueError:
        count = binding.low - 1
    if not binding.low <= count <= binding.high:
        raise BadInput(
            place=place,
            expected=f"{binding.attribute} as {_range(binding)}",
            found=repr(plain[:40]),
        )
    if parameter == "tx_power_dbm":
        for value in QUANTITIES[parameter].grid:
            if _count(binding, value) == count:
                return value
        return 10 * math.log10(count)
    value = round(count * binding.per_count, 6)
    if parameter in _ENUMERATED and value not in QUANTITIES[parameter].grid:
        raise BadInput(
            place=place, expected=f"{binding.attribute} as {_range(binding)}", found=repr(plain)
        )
    return value


_ENUMERATED = frozenset({"cio_db", "time_to_trigger_s", "filter_coefficient", "asleep"})
"""Parameters whose only values are those of their grid in ``core.schema``."""


def _count(binding: Binding, value: float) -> int:
    if binding.parameter == "tx_power_dbm":
        return round(10 ** (value / 10)) if value < 100 else binding.high + 1  # noqa: PLR2004
    return round(value / binding.per_count)


def _range(binding: Binding) -> str:
    if binding.parameter == "asleep":
        return " or ".join(ASLEEP_WORDS[binding.attribute])
    if binding.parameter == "time_to_trigger_s":
        choices = ", ".join(str(round(value * 1000)) for value in TIME_TO_TRIGGER_S)
        return f"one of {choices} ms"
    listed = " on the grid of TS 38.331" if binding.parameter in _ENUMERATED else ""
    return f"a whole number of {binding.unit}, {binding.low} to {binding.high}{listed}"


def _decode_asleep(text: str, place: str) -> float:
    for words in ASLEEP_WORDS.values():
        if text in words:
            return float(words.index(text))
    every = ", ".join(word for words in ASLEEP_WORDS.values() for word in words)
    raise BadInput(place=place, expected=f"one of {every}", found=repr(text[:40]))
