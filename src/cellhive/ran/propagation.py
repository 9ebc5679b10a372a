"""Path loss, line of sight, shadowing and penetration of TR 38.901, between antennas.

The scalar functions read like the rows of tables 7.4.1-1 and 7.4.2-1. Distances below
where the tables begin (10 m on the ground, indoors 1 m between the antennas) count as that;
beyond their far end (5 km, RMa 10 km line of sight, indoors 150 m) the last slope is continued.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from cellhive.core.compiled import Scalar, compiled
from cellhive.core.errors import BadInput
from cellhive.core.types import Floats, Floats32

SPEED_OF_LIGHT_M_S = 3.0e8
"""As the tables use it, TR 38.901 table 7.4.1-1, note 1."""
USER_HEIGHT_M = 1.5
"""Height of a UE at street level [m]."""
MIN_DISTANCE_M, MIN_INDOOR_M = 10.0, 1.0
"""Shortest ground distance the tables hold for, and between antennas indoors [m]."""
_ENVIRONMENT_HEIGHT_M = 1.0
_TALL_USER_M = 13.0
_STREET_WIDTH_M, _BUILDING_HEIGHT_M = 20.0, 5.0
_URBAN_CERTAIN_M, _RURAL_CERTAIN_M = 18.0, 10.0
_OFFICE_CERTAIN_M, _OFFICE_FAR_M = 5.0, 49.0


class Environment(IntEnum):
    """Deployment scenario of TR 38.901 §7.2; the names are those of ``Network.environment``."""

    UMa = 0
    """Urban macro."""
    UMi = 1
    """Urban micro, street canyon."""
    RMa = 2
    """Rural macro."""
    InH = 3
    """Indoor office, open."""


class Shadowing(NamedTuple):
    """Shadow fading of one scenario: standard deviations and decorrelation distances."""

    sigma_los_db: float
    """Line of sight, before the breakpoint."""
    sigma_los_far_db: float
    """Line of sight, beyond the breakpoint."""
    sigma_nlos_db: float
    decorrelation_los_m: float
    decorrelation_nlos_m: float
    los_state_m: float
    """Correlation distance of the line-of-sight state, table 7.6.3.1-2."""


SHADOWING = {
    Environment.UMa: Shadowing(4.0, 4.0, 6.0, 37.0, 50.0, 50.0),
    Environment.UMi: Shadowing(4.0, 4.0, 7.82, 10.0, 13.0, 50.0),
    Environment.RMa: Shadowing(4.0, 6.0, 8.0, 37.0, 120.0, 60.0),
    Environment.InH: Shadowing(3.0, 3.0, 8.03, 10.0, 6.0, 10.0),
}
"""TR 38.901 tables 7.4.1-1 and 7.5-6."""

CAR_LOSS_DB, CAR_LOSS_SIGMA_DB = 9.0, 5.0
"""Penetration into a car, TR 38.901 §7.4.3.2."""
LOW_LOSS_SIGMA_DB, HIGH_LOSS_SIGMA_DB = 4.4, 6.5
"""Spread of the penetration into buildings, TR 38.901 table 7.4.3-2."""
ENTRY_SHADOWING_DB = 7.0
"""Shadow fading of users in buildings of UMa and UMi [dB], TR 38.901 table 7.5-6."""

RESOURCE_BLOCKS = {
    5: 25, 10: 52, 15: 79, 20: 106, 25: 133, 30: 160, 35: 188, 40: 216, 45: 242, 50: 270,
    60: 324, 70: 378, 80: 434, 90: 490, 100: 546,
}  # fmt: skip
"""Resource blocks of 15 kHz spacing by channel bandwidth in MHz, TS 38.101-1 table 5.3.2-1.

Above 50 MHz the table has no 15 kHz row; those are the 30 kHz blocks counted twice.
"""


def environment_code(name: str) -> Environment:
    """Return the scenario of a name such as "UMa"."""
    try:
        return Environment[name]
    except KeyError:
        known = ", ".join(member.name for member in Environment)
        raise BadInput(place="environment", expected=f"one of {known}", found=repr(name)) from None


def resource_blocks(bandwidth_hz: float) -> int:
    """Return the resource blocks of 180 kHz in a channel, TS 38.101-1 table 5.3.2-1.

    Args:
        bandwidth_hz: Channel bandwidth [Hz], one that the table lists.
    """
    blocks = RESOURCE_BLOCKS.get(round(bandwidth_hz / 1e6))
    if blocks is None or abs(bandwidth_hz - 1e6 * round(bandwidth_hz / 1e6)) > 1.0:
        raise BadInput(
            place="bandwidth_hz",
            expected=f"one of {', '.join(map(str, RESOURCE_BLOCKS))} MHz",
            found=f"{bandwidth_hz / 1e6:g} MHz",
        )
    return blocks


# ------------------------------------------------------------------ path loss, table 7.4.1-1


@compiled
def breakpoint_m(
    environment: Scalar, height_m: Scalar, user_height_m: Scalar, carrier_hz: Scalar
) -> Scalar:
    """Return the breakpoint distance [m], notes 1 and 5.

    The effective environment height is 1 m; the taller ones that UMa draws at random for
    users above 13 m are left out.
    """
    if environment == Environment.RMa:
        return 2.0 * math.pi * height_m * user_height_m * carrier_hz / SPEED_OF_LIGHT_M_S
    antenna = height_m - _ENVIRONMENT_HEIGHT_M
    user = max(user_height_m - _ENVIRONMENT_HEIGHT_M, 0.0)
    return 4.0 * antenna * user * carrier_hz / SPEED_OF_LIGHT_M_S


@compiled
def urban_los_db(
    environment: Scalar, ground_m: Scalar, drop_m: Scalar, turn_m: Scalar, carrier_hz: Scalar
) -> Scalar:
    """Return the line-of-sight loss of UMa and UMi [dB].

    Args:
        environment: UMa or UMi.
        ground_m: Distance on the ground [m].
        drop_m: Height of the antenna above the user [m].
        turn_m: Breakpoint distance [m].
        carrier_hz: Centre frequency [Hz].
    """
    macro = environment == Environment.UMa
    level, slope, bend = (28.0, 22.0, 9.0) if macro else (32.4, 21.0, 9.5)
    distance = math.log10(math.hypot(ground_m, drop_m))
    common = level + 20.0 * math.log10(carrier_hz / 1e9)
    if ground_m <= turn_m:
        return common + slope * distance
    return common + 40.0 * distance - bend * math.log10(turn_m * turn_m + drop_m * drop_m)


@compiled
def rural_near_db(distance_m: Scalar, carrier_hz: Scalar) -> Scalar:
    """Return PL1 of RMa line of sight [dB], for streets of 20 m and buildings of 5 m.

    Args:
        distance_m: Distance between the antennas, or the breakpoint [m].
        carrier_hz: Centre frequency [Hz].
    """
    h = _BUILDING_HEIGHT_M
    return (
        20.0 * math.log10(40.0 * math.pi * distance_m * carrier_hz / 1e9 / 3.0)
        + min(0.03 * h**1.72, 10.0) * math.log10(distance_m)
        - min(0.044 * h**1.72, 14.77)
        + 0.002 * math.log10(h) * distance_m
    )


@compiled
def rural_nlos_db(distance_m: Scalar, height_m: Scalar, user_height_m: Scalar) -> Scalar:
    """Return PL' of RMa without line of sight [dB] at 1 GHz.

    Args:
        distance_m: Distance between the antennas [m].
        height_m: Height of the antenna [m].
        user_height_m: Height of the user [m].
    """
    h = _BUILDING_HEIGHT_M
    mast = math.log10(height_m)
    return (
        161.04
        - 7.1 * math.log10(_STREET_WIDTH_M)
        + 7.5 * math.log10(h)
        - (24.37 - 3.7 * (h / height_m) ** 2) * mast
        + (43.42 - 3.1 * mast) * (math.log10(distance_m) - 3.0)
        - (3.2 * math.log10(11.75 * user_height_m) ** 2 - 4.97)
    )


@compiled
def indoor_loss_db(distance_m: Scalar, carrier_hz: Scalar) -> tuple[Scalar, Scalar]:
    """Return the path loss of InH with and without line of sight [dB].

    Args:
        distance_m: Distance between the antennas [m].
        carrier_hz: Centre frequency [Hz].
    """
    distance = math.log10(max(distance_m, MIN_INDOOR_M))
    frequency = math.log10(carrier_hz / 1e9)
    los = 32.4 + 17.3 * distance + 20.0 * frequency
    return los, max(los, 17.3 + 38.3 * distance + 24.9 * frequency)


@compiled
def path_loss_db(
    environment: Scalar,
    ground_m: Scalar,
    height_m: Scalar,
    user_height_m: Scalar,
    carrier_hz: Scalar,
) -> tuple[Scalar, Scalar]:
    """Return the path loss with and without line of sight [dB], table 7.4.1-1.

    Args:
        environment: Code of the scenario.
        ground_m: Distance on the ground [m].
        height_m: Height of the antenna [m].
        user_height_m: Height of the user [m].
        carrier_hz: Centre frequency [Hz], 0.5 to 100 GHz.
    """
    drop = height_m - user_height_m
    if environment == Environment.InH:
        return indoor_loss_db(math.hypot(ground_m, drop), carrier_hz)
    ground = max(ground_m, MIN_DISTANCE_M)
    distance = math.hypot(ground, drop)
    turn = breakpoint_m(environment, height_m, user_height_m, carrier_hz)
    frequency = math.log10(carrier_hz / 1e9)
    if environment == Environment.RMa:
        if ground <= turn:
            los = rural_near_db(distance, carrier_hz)
        else:
            los = rural_near_db(turn, carrier_hz) + 40.0 * math.log10(distance / turn)
        other = rural_nlos_db(distance, height_m, user_height_m) + 20.0 * frequency
        return los, max(los, other)
    los = urban_los_db(environment, ground, drop, turn, carrier_hz)
    if environment == Environment.UMa:
        other = 13.54 + 39.08 * math.log10(distance) + 20.0 * frequency
        other -= 0.6 * (user_height_m - 1.5)
    else:
        other = 22.4 + 35.3 * math.log10(distance) + 21.3 * frequency
        other -= 0.3 * (user_height_m - 1.5)
    return los, max(los, other)


# ------------------------------------------------------- line of sight, table 7.4.2-1, §7.6.3.3


@compiled
def office_los_probability(ground_m: Scalar) -> Scalar:
    """Return the probability of line of sight in an open office, table 7.4.2-1."""
    if ground_m <= _OFFICE_FAR_M:
        return math.exp(-max(ground_m - _OFFICE_CERTAIN_M, 0.0) / 70.8)
    return 0.54 * math.exp(-(ground_m - _OFFICE_FAR_M) / 211.7)


@compiled
def los_probability(environment: Scalar, ground_m: Scalar, user_height_m: Scalar) -> Scalar:
    """Return the probability of line of sight, table 7.4.2-1.

    Args:
        environment: Code of the scenario.
        ground_m: Distance on the ground [m]; of users in buildings the part outdoors.
        user_height_m: Height of the user [m]; matters above 13 m, UMa only.
    """
    if environment == Environment.InH:
        return office_los_probability(ground_m)
    if environment == Environment.RMa:
        return math.exp(-max(ground_m - _RURAL_CERTAIN_M, 0.0) / 1000.0)
    macro = environment == Environment.UMa
    if ground_m <= _URBAN_CERTAIN_M:
        return 1.0
    share = _URBAN_CERTAIN_M / ground_m
    probability = share + math.exp(-ground_m / (63.0 if macro else 36.0)) * (1.0 - share)
    if macro and user_height_m > _TALL_USER_M:
        lift = ((user_height_m - _TALL_USER_M) / 10.0) ** 1.5
        rise = 1.25 * (ground_m / 100.0) ** 3 * math.exp(-ground_m / 150.0)
        probability *= 1.0 + lift * rise
    return probability


SOFT_LOS_WIDTH = 0.35
"""Margin at which the soft state is 0.84 or 0.16, in standard deviations of its field: with
a correlation distance of 50 m, half of the drop round a corner falls within some 15 m."""


@compiled
def soft_los(margin: Scalar) -> Scalar:
    """Return the soft line-of-sight state, 0 to 1, after TR 38.901 §7.6.3.3.

    A normal distribution function stands in for the clause's arctangent, which has long
    tails and, at the carriers of macro cells, lets 20 dB come and go within three metres.

    Args:
        margin: F + G of the clause: the normal quantile of the line-of-sight probability
            plus the value of a correlated standard normal field.
    """
    return 0.5 * (1.0 + math.erf(margin / (SOFT_LOS_WIDTH * math.sqrt(2.0))))


# ------------------------------------------------------------------ shadowing, §7.4.4, §7.5


class FieldFilter(NamedTuple):
    """What turns white noise on a torus into a correlated field on part of it."""

    torus: tuple[int, int]
    """Rows and columns of the torus."""
    amplitude: Floats32
    """Square roots of the eigenvalues of its covariance, half plane of a real FFT."""


def field_filter(
    shape: tuple[int, int], pixel_m: float, decorrelation_m: float, *, smooth: bool = False
) -> FieldFilter:
    """Return the filter for standard normal fields with autocorrelation exp(-d/d_cor), §7.4.4.

    A smooth field has exp(-(d/d_cor)^2) instead: the same distance, without the roughness
    at small scales.

    Circulant embedding (Dietrich and Newsam 1997). The torus is at least five
    decorrelation distances wider than the field, so that what wraps around correlates by
    less than 1 %.

    Args:
        shape: Rows and columns of the fields to be drawn.
        pixel_m: Distance between grid points [m].
        decorrelation_m: Distance at which the autocorrelation is 1/e [m].
        smooth: Whether the field is to be smooth.
    """
    spare = math.ceil(5.0 * decorrelation_m / pixel_m)
    torus = (_fast_length(shape[0] + spare), _fast_length(shape[1] + spare))
    distance = np.hypot(
        _torus_lags_m(torus[0], pixel_m)[:, None], _torus_lags_m(torus[1], pixel_m)[None, :]
    )
    ratio = distance / decorrelation_m
    eigenvalues = np.fft.rfft2(np.exp(-(ratio**2) if smooth else -ratio)).real
    return FieldFilter(torus, np.sqrt(np.maximum(eigenvalues, 0.0)).astype(np.float32))


def draw_field(
    correlation: FieldFilter, shape: tuple[int, int], rng: np.random.Generator
) -> Floats32:
    """Return one standard normal field with the autocorrelation of its filter.

    Args:
        correlation: From ``field_filter`` for the same shape.
        shape: Rows and columns of the field.
        rng: Source of the noise.
    """
    noise = rng.standard_normal(correlation.torus, dtype=np.float32)
    spectrum = np.fft.rfft2(noise) * correlation.amplitude
    field = np.fft.irfft2(spectrum, s=correlation.torus)
    return field[: shape[0], : shape[1]].astype(np.float32)


def _torus_lags_m(count: int, pixel_m: float) -> Floats:
    index = np.arange(count)
    return np.minimum(index, count - index) * pixel_m


def _fast_length(count: int) -> int:
    """Return the next length with no prime factor above 5, which the FFT likes."""
    while True:
        rest = count
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return count
        count += 1


# ------------------------------------------------------------------ penetration, §7.4.3


def building_entry_loss_db(carrier_hz: float, indoor_m: float, *, high_loss: bool) -> float:
    """Return the mean loss from the street into a building [dB], TR 38.901 §7.4.3.1.

    Args:
        carrier_hz: Centre frequency [Hz].
        indoor_m: Way inside the building [m].
        high_loss: Coated glass (70 %) in place of plain glass (30 %) beside concrete.
    """
    frequency = carrier_hz / 1e9
    concrete = 10.0 ** (-(5.0 + 4.0 * frequency) / 10.0)
    if high_loss:
        through = 0.7 * 10.0 ** (-(23.0 + 0.3 * frequency) / 10.0) + 0.3 * concrete
    else:
        through = 0.3 * 10.0 ** (-(2.0 + 0.2 * frequency) / 10.0) + 0.7 * concrete
    return 5.0 - 10.0 * math.log10(through) + 0.5 * indoor_m
