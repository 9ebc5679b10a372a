"""Sector antennas: the element of TR 38.901 table 7.3-1 in a column of ten, tilted.

Left out: polarisation, mutual coupling, steering in azimuth. The nulls of the array
factor are filled 30 dB below its peak; ideal nulls do not survive real scattering.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from cellhive.core.compiled import Scalar, compiled

ELEMENTS = 10
"""Elements of the column, half a wavelength apart (calibration set-up, R1-165974)."""
ELEMENT_GAIN_DBI = 8.0
"""Largest gain of one element, table 7.3-1."""
BEAMWIDTH_DEG, FLOOR_DB = 65.0, 30.0
"""Half-power width of an element, and its front-to-back and side-lobe limit, table 7.3-1."""
OMNI_ELEMENT_GAIN_DBI = 0.85
"""Element gain when the same power is spread evenly over all bearings: 8 dBi less the
7.15 dB by which the horizontal pattern of the element concentrates it."""
NULL_FILL_DB = 30.0
"""How deep nulls of the array factor get below its peak."""
_NULL_FILL = ELEMENTS * 10.0 ** (-NULL_FILL_DB / 10.0)
_SMALL = 1e-9


class Beam(NamedTuple):
    """What does not change with direction."""

    tilt_cosine: float
    """Cosine of the zenith angle the column is steered to."""
    mechanical_sine: float
    mechanical_cosine: float
    omnidirectional: bool


@compiled
def make_beam(
    electrical_tilt_deg: Scalar, mechanical_tilt_deg: Scalar, omnidirectional: Scalar
) -> Beam:
    """Return the beam of a tilted antenna.

    Args:
        electrical_tilt_deg: Steering of the column below its own horizon [deg].
        mechanical_tilt_deg: Downward rotation of the column [deg].
        omnidirectional: Whether the elements have no horizontal pattern.
    """
    mechanical = math.radians(mechanical_tilt_deg)
    return Beam(
        -math.sin(math.radians(electrical_tilt_deg)),
        math.sin(mechanical),
        math.cos(mechanical),
        omnidirectional,
    )


@compiled
def element_db(zenith_deg: Scalar, azimuth_deg: Scalar) -> Scalar:
    """Return the pattern of one element below its peak [dB], table 7.3-1."""
    vertical = min(12.0 * ((zenith_deg - 90.0) / BEAMWIDTH_DEG) ** 2, FLOOR_DB)
    horizontal = min(12.0 * (azimuth_deg / BEAMWIDTH_DEG) ** 2, FLOOR_DB)
    return -min(vertical + horizontal, FLOOR_DB)


@compiled
def array_gain(zenith_cosine: Scalar, tilt_cosine: Scalar) -> Scalar:
    """Return the power gain of the column over one element, 0.01 to 10.

    |Σ exp(jπm(cosθ - cosθ_tilt))|²/M in closed form, with its nulls filled.
    """
    half = 0.5 * math.pi * (zenith_cosine - tilt_cosine)
    below = math.sin(half)
    if abs(below) < _SMALL:
        return float(ELEMENTS)
    ratio = math.sin(ELEMENTS * half) / below
    return max(ratio * ratio / ELEMENTS, _NULL_FILL)


@compiled
def beam_gain_dbi(beam: Scalar, forward: Scalar, right: Scalar, up: Scalar) -> Scalar:
    """Return the gain towards a unit vector [dBi].

    Mechanical tilt turns the vector into the frame of the antenna, TR 38.901 §7.1.3 with
    only the downtilt angle β other than zero.

    Args:
        beam: From ``make_beam``.
        forward: Component along the bearing of the sector.
        right: Component to its right.
        up: Component to the zenith.
    """
    inner_up = beam.mechanical_cosine * up + beam.mechanical_sine * forward
    inner_up = min(max(inner_up, -1.0), 1.0)
    inner_forward = beam.mechanical_cosine * forward - beam.mechanical_sine * up
    zenith = math.degrees(math.acos(inner_up))
    column = 10.0 * math.log10(array_gain(inner_up, beam.tilt_cosine))
    if beam.omnidirectional:
        return OMNI_ELEMENT_GAIN_DBI + element_db(zenith, 0.0) + column
    azimuth = math.degrees(math.atan2(right, inner_forward))
    return ELEMENT_GAIN_DBI + element_db(zenith, azimuth) + column


@compiled
def gain_dbi(
    zenith_deg: Scalar,
    azimuth_deg: Scalar,
    electrical_tilt_deg: Scalar,
    mechanical_tilt_deg: Scalar,
    omnidirectional: Scalar = False,
) -> Scalar:
    """Return the gain of a sector antenna in one direction [dBi].

    Args:
        zenith_deg: Angle from straight up [deg]; 90 is the horizon.
        azimuth_deg: Bearing relative to the main lobe, clockwise [deg].
        electrical_tilt_deg: Electrical downtilt [deg].
        mechanical_tilt_deg: Mechanical downtilt [deg].
        omnidirectional: Whether there is no horizontal pattern.
    """
    zenith, azimuth = math.radians(zenith_deg), math.radians(azimuth_deg)
    flat = math.sin(zenith)
    return beam_gain_dbi(
        make_beam(electrical_tilt_deg, mechanical_tilt_deg, omnidirectional),
        flat * math.cos(azimuth),
        flat * math.sin(azimuth),
        math.cos(zenith),
    )
