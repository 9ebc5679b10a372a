"""Antenna patterns against TR 38.901 table 7.3-1 and a complex-sum twin."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest

from cellhive.ran.antenna import OMNI_ELEMENT_GAIN_DBI, element_db, gain_dbi

_SPEC = importlib.util.spec_from_file_location(
    "reference_propagation", Path(__file__).parents[1] / "reference" / "propagation.py"
)
assert _SPEC is not None
assert _SPEC.loader is not None
reference = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(reference)


@pytest.mark.parametrize(
    ("zenith_deg", "azimuth_deg", "expected"),
    [
        (90.0, 0.0, 0.0),
        (90.0, 32.5, -3.0),  # half of the 65° beamwidth
        (90.0, -32.5, -3.0),
        (122.5, 0.0, -3.0),
        (57.5, 0.0, -3.0),
        (122.5, 32.5, -6.0),
        (90.0, 65.0, -12.0),
        (90.0, 180.0, -30.0),
        (0.0, 180.0, -30.0),  # both limits together still count once
    ],
)
def test_element_pattern_is_that_of_the_table(
    zenith_deg: float, azimuth_deg: float, expected: float
) -> None:
    """-min{12(Δ/65)², 30} in both planes, and 30 dB for their sum."""
    assert element_db(zenith_deg, azimuth_deg) == pytest.approx(expected, abs=1e-12)


def test_peak_towards_the_tilt_is_that_of_ten_elements() -> None:
    """8 dBi and 10 log10 10 at the horizon; 12(6/65)² = 0.10225 dB less at 6° tilt."""
    assert gain_dbi(90.0, 0.0, 0.0, 0.0) == pytest.approx(18.0)
    assert gain_dbi(96.0, 0.0, 6.0, 0.0) == pytest.approx(18.0 - 0.102249, abs=1e-5)


def test_half_power_beamwidth_of_the_column() -> None:
    """Ten elements half a wavelength apart: 50.8°·λ/(M·d) = 10.2° between -3 dB points."""
    half_deg = 50.8 / 5 / 2
    for side in (-half_deg, half_deg):
        assert gain_dbi(90.0 + side, 0.0, 0.0, 0.0) == pytest.approx(15.0, abs=0.15)


@pytest.mark.parametrize("tilt_deg", [0.0, 3.0, 6.0, 10.0, 15.0])
def test_electrical_tilt_steers_the_main_lobe(tilt_deg: float) -> None:
    """The strongest direction is where the column is steered; the element pulls it up ≤ 0.5°."""
    zenith = np.arange(80.0, 110.0, 0.05)
    gain = [gain_dbi(angle, 0.0, tilt_deg, 0.0) for angle in zenith]
    assert -0.051 <= 90.0 + tilt_deg - zenith[np.argmax(gain)] <= 0.5


def test_mechanical_tilt_lowers_the_front_and_lifts_the_back() -> None:
    """Rotation: 4° down ahead, unchanged at the side, 4° up behind."""
    assert gain_dbi(94.0, 0.0, 0.0, 4.0) == pytest.approx(18.0)
    side = [gain_dbi(90.0 + d, 90.0, 0.0, 4.0) for d in (-0.5, 0.5)]
    assert side[0] == pytest.approx(side[1], abs=0.2)
    assert gain_dbi(86.0, 180.0, 0.0, 4.0) == pytest.approx(18.0 - 30.0)


def test_gain_agrees_with_the_reference_in_all_directions() -> None:
    """Closed form and vector rotation against the complex sum and rotation matrix."""
    rng = np.random.default_rng(2)
    for _ in range(400):
        zenith, azimuth = rng.uniform(1.0, 179.0), rng.uniform(-180.0, 180.0)
        electrical, mechanical = rng.uniform(0.0, 15.0), rng.uniform(0.0, 10.0)
        found = gain_dbi(zenith, azimuth, electrical, mechanical)
        expected = reference.antenna_gain_dbi(zenith, azimuth, electrical, mechanical)
        assert found == pytest.approx(expected, abs=1e-6)


def test_nulls_are_filled_thirty_decibels_below_the_peak() -> None:
    """First null at cosθ = 2/M: 30 dB below the peak, and the element's own loss there."""
    zenith = math.degrees(math.acos(0.2))
    element = 12 * ((90 - zenith) / 65) ** 2
    assert gain_dbi(zenith, 0.0, 0.0, 0.0) == pytest.approx(18.0 - 30.0 - element, abs=1e-6)


def test_omnidirectional_gain_is_the_same_on_all_bearings() -> None:
    """No horizontal pattern; vertical pattern and tilt remain."""
    gains = [gain_dbi(93.0, azimuth, 2.0, 0.0, True) for azimuth in range(-180, 181, 30)]
    assert np.ptp(gains) < 1e-9
    assert gain_dbi(90.0, 45.0, 0.0, 0.0, True) == pytest.approx(OMNI_ELEMENT_GAIN_DBI + 10.0)


def test_omnidirectional_element_radiates_the_power_of_a_sector_element() -> None:
    """The mean over bearings of the horizontal pattern is 7.15 dB below its peak."""
    azimuth = np.arange(-180.0, 180.0, 0.1)
    mean = np.mean([10 ** (element_db(90.0, angle) / 10) for angle in azimuth])
    assert 8.0 + 10 * np.log10(mean) == pytest.approx(OMNI_ELEMENT_GAIN_DBI, abs=0.02)
