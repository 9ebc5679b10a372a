"""Parameters are counted as the standards count them."""

import math

import pytest

from cellhive.adapters.plans.nrm import BINDINGS, decode, encode
from cellhive.core.errors import BadInput
from cellhive.core.schema import PARAMETERS, QUANTITIES

TABLE = [
    # TS 28.541 annex E: digitalTilt in 0.1 deg, configuredMaxTxPower in mW.
    ("electrical_tilt_deg", 5.5, "55"),
    ("electrical_tilt_deg", 0.1, "1"),
    ("tx_power_dbm", 43.0, "19953"),  # 10^4.3
    ("tx_power_dbm", 0.0, "1"),
    ("tx_power_dbm", 53.0, "199526"),  # 10^5.3
    # TS 38.331: a3-Offset and Hysteresis in 0.5 dB, Q-OffsetRange in dB.
    ("a3_offset_db", -15.0, "-30"),
    ("a3_offset_db", 2.5, "5"),
    ("hysteresis_db", 15.0, "30"),
    ("cio_db", -24.0, "-24"),
    ("time_to_trigger_s", 0.064, "64"),
    ("time_to_trigger_s", 5.12, "5120"),
    ("filter_coefficient", 19.0, "19"),
    ("asleep", 1.0, "toBeEnergySaving"),
    ("asleep", 0.0, "toBeNotEnergySaving"),
]


@pytest.mark.parametrize(("parameter", "value", "text"), TABLE)
def test_values_are_counted_as_the_standard_says(parameter: str, value: float, text: str) -> None:
    """Both ways, with expected values worked out by hand."""
    assert encode(parameter, value) == text
    assert decode(parameter, text) == value


def test_every_parameter_has_a_place_in_the_model() -> None:
    """Nothing that may be changed is missing from the files."""
    assert set(BINDINGS) == {quantity.name for quantity in PARAMETERS}


@pytest.mark.parametrize("parameter", sorted(BINDINGS))
def test_grid_values_come_back(parameter: str) -> None:
    """Every value of a parameter's grid is itself after the file, or is refused.

    Only event A3 has values that are: its grids reach beyond TS 38.331's 15 dB.
    """
    for value in QUANTITIES[parameter].grid:
        if parameter in {"a3_offset_db", "hysteresis_db"} and abs(value) > 15:
            with pytest.raises(BadInput, match="choose a value on that grid"):
                encode(parameter, value)
        elif parameter == "tx_power_dbm":
            text = encode(parameter, value)
            assert int(text) == pytest.approx(10 ** (value / 10), abs=0.5)
            assert encode(parameter, decode(parameter, text)) == text
        else:
            assert decode(parameter, encode(parameter, value)) == value


def test_milliwatts_between_grid_points_become_their_own_dbm() -> None:
    """20000 mW are 43.0103 dBm, not 43."""
    assert decode("tx_power_dbm", "20000") == pytest.approx(10 * math.log10(20000))


def test_both_words_for_sleep_are_read() -> None:
    """A node's state says the same as the order that led to it."""
    assert decode("asleep", "isEnergySaving") == 1.0
    assert decode("asleep", "isNotEnergySaving") == 0.0


@pytest.mark.parametrize(
    ("parameter", "text"),
    [
        ("electrical_tilt_deg", "5.5"),
        ("electrical_tilt_deg", "901"),
        ("electrical_tilt_deg", "1_0"),
        ("tx_power_dbm", "-1"),
        ("tx_power_dbm", "9" * 5000),
        ("cio_db", "7"),
        ("time_to_trigger_s", "50"),
        ("filter_coefficient", "10"),
        ("asleep", "1"),
    ],
)
def test_other_counts_are_refused(parameter: str, text: str) -> None:
    """Out of range, off the list, or no whole number."""
    with pytest.raises(BadInput):
        decode(parameter, text)
