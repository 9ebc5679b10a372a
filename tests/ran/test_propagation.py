"""Path loss, line of sight, shadowing fields and penetration against TR 38.901."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest

from cellhive.core.errors import BadInput
from cellhive.ran.propagation import (
    SHADOWING,
    Environment,
    breakpoint_m,
    building_entry_loss_db,
    draw_field,
    environment_code,
    field_filter,
    los_probability,
    path_loss_db,
    resource_blocks,
    soft_los,
)

_SPEC = importlib.util.spec_from_file_location(
    "reference_propagation", Path(__file__).parents[1] / "reference" / "propagation.py"
)
assert _SPEC is not None
assert _SPEC.loader is not None
reference = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(reference)

# Worked by hand from table 7.4.1-1; d3D and logarithms to six digits.
# UMa 3.5 GHz, 100 m: d3D = sqrt(100² + 23.5²) = 102.724, log10 2.011672, 20 log10 3.5 = 10.88136
#   LOS 28 + 44.25678 + 10.88136; NLOS 13.54 + 78.61614 + 10.88136
# UMa 3.5 GHz, 1000 m: d'BP = 4·24·0.5·3.5e9/3e8 = 560 m, d3D = 1000.276, log10 3.000120
#   LOS 28 + 120.00480 + 10.88136 - 9 log10(560² + 23.5²) (= 49.47423)
#   NLOS 13.54 + 117.24469 + 10.88136
# UMi 28 GHz, 50 m: d3D = sqrt(50² + 8.5²) = 50.71736, log10 1.705157, log10 28 = 1.447158
#   LOS 32.4 + 35.80830 + 28.94316; NLOS 22.4 + 60.19204 + 30.82447
# RMa 0.7 GHz, 1000 m: dBP = 2π·35·1.5·0.7e9/3e8 = 769.690 m, 5^1.72 = 15.9304
#   PL1(dBP) = 20 log10(22568.5) + 0.477911·2.886316 - 0.700936 + 0.00139794·769.690
#     = 87.07005 + 1.37940 - 0.70094 + 1.07598 = 88.82449; LOS + 40 log10(1000.561/769.690)
#   NLOS 161.04 - 9.237313 + 5.242275 - 24.29449·1.544068 + 38.633389·0.000243558
#     - 3.098039 - (3.2·1.246129² - 4.97)
# InH 6 GHz, 20 m, 3 m over 1.5 m: d3D = sqrt(400 + 2.25) = 20.05617, log10 1.302248,
#   log10 6 = 0.778151
#   LOS 32.4 + 22.52889 + 15.56303; NLOS 17.3 + 49.87609 + 19.37597
HAND = [
    (Environment.UMa, 100.0, 25.0, 3.5e9, 83.1381, 103.0375),
    (Environment.UMa, 1000.0, 25.0, 3.5e9, 109.4119, 141.6660),
    (Environment.UMi, 50.0, 10.0, 28e9, 97.1515, 113.4165),
    (Environment.RMa, 1000.0, 35.0, 0.7e9, 93.3816, 116.4449),
    (Environment.InH, 20.0, 3.0, 6e9, 70.4919, 86.5521),
]


@pytest.mark.parametrize(("environment", "ground_m", "height_m", "carrier_hz", "los", "nlos"), HAND)
def test_path_loss_at_points_worked_by_hand(
    environment: Environment,
    ground_m: float,
    height_m: float,
    carrier_hz: float,
    los: float,
    nlos: float,
) -> None:
    """The tables give what pencil and paper give."""
    found = path_loss_db(environment, ground_m, height_m, 1.5, carrier_hz)
    assert found == pytest.approx((los, nlos), abs=6e-4)


@pytest.mark.parametrize("environment", list(Environment))
@pytest.mark.parametrize("carrier_hz", [0.7e9, 2.1e9, 3.5e9, 28e9])
def test_path_loss_agrees_with_the_reference(environment: Environment, carrier_hz: float) -> None:
    """Compiled scalars and the NumPy twin agree from under the mast to the far field."""
    height_m = {"UMa": 25.0, "UMi": 10.0, "RMa": 35.0, "InH": 3.0}[environment.name]
    ground_m = np.geomspace(1.0, 5000.0, 200)
    for user_m in (1.5, 4.5):
        found = [path_loss_db(environment, d, height_m, user_m, carrier_hz) for d in ground_m]
        expected = reference.path_loss_db(environment.name, ground_m, height_m, user_m, carrier_hz)
        np.testing.assert_allclose(np.array(found).T, expected, atol=1e-9)


@pytest.mark.parametrize("environment", list(Environment))
def test_path_loss_does_not_jump_at_the_breakpoint(environment: Environment) -> None:
    """Both slopes meet; the tables leave a step of some hundredths of a decibel."""
    turn = breakpoint_m(environment, 30.0, 1.5, 2e9)
    near = path_loss_db(environment, turn, 30.0, 1.5, 2e9)[0]
    far = path_loss_db(environment, turn + 1e-6, 30.0, 1.5, 2e9)[0]
    assert far == pytest.approx(near, abs=0.1)


def test_losses_below_ten_metres_are_those_at_ten_metres() -> None:
    """The tables do not hold closer to the mast."""
    assert path_loss_db(0, 0.0, 25.0, 1.5, 2e9) == path_loss_db(0, 10.0, 25.0, 1.5, 2e9)


def test_losses_indoors_begin_one_metre_from_the_antenna() -> None:
    """The table of the office holds from 1 m: there 32.4 dB with sight, at 1 GHz."""
    found = path_loss_db(Environment.InH, 0.0, 1.5, 1.5, 1e9)
    assert found == path_loss_db(Environment.InH, 1.0, 1.5, 1.5, 1e9) == (32.4, 32.4)


@pytest.mark.parametrize(
    ("environment", "ground_m", "user_m", "expected"),
    [
        (Environment.UMa, 18.0, 1.5, 1.0),
        # 0.18 + exp(-100/63)·0.82 = 0.18 + 0.204477·0.82
        (Environment.UMa, 100.0, 1.5, 0.347671),
        # times 1 + 1·1.25·1·exp(-2/3) = 1.641771, as C' = ((23 - 13)/10)^1.5 = 1
        (Environment.UMa, 100.0, 23.0, 0.570796),
        (Environment.UMi, 18.0, 1.5, 1.0),
        # 0.18 + exp(-100/36)·0.82 = 0.18 + 0.062177·0.82
        (Environment.UMi, 100.0, 1.5, 0.230985),
        (Environment.RMa, 10.0, 1.5, 1.0),
        (Environment.RMa, 1010.0, 1.5, math.exp(-1.0)),
        (Environment.InH, 5.0, 1.0, 1.0),
        # exp(-44/70.8), and 0.54 exp(-51/211.7)
        (Environment.InH, 49.0, 1.0, 0.537155),
        (Environment.InH, 100.0, 1.0, 0.424394),
    ],
)
def test_los_probability_at_points_worked_by_hand(
    environment: Environment, ground_m: float, user_m: float, expected: float
) -> None:
    """Table 7.4.2-1 at its corners and at 100 m."""
    assert los_probability(environment, ground_m, user_m) == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("environment", list(Environment))
def test_los_probability_agrees_with_the_reference(environment: Environment) -> None:
    """Compiled scalar and NumPy twin agree for short and tall users."""
    ground_m = np.geomspace(1.0, 5000.0, 300)
    for user_m in (1.5, 13.0, 22.5):
        found = [los_probability(environment, d, user_m) for d in ground_m]
        expected = reference.los_probability(environment.name, ground_m, user_m)
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_soft_los_is_half_at_the_border_and_gone_three_widths_from_it() -> None:
    """The state is the normal distribution function of the margin over its width, 0.35."""
    assert soft_los(0.0) == 0.5
    assert soft_los(0.35) == pytest.approx(0.8413447, abs=1e-6)
    assert soft_los(-0.35) == pytest.approx(1 - soft_los(0.35))
    assert soft_los(-1.05) == pytest.approx(0.0013499, abs=1e-6)


def test_share_of_pixels_in_sight_is_the_probability() -> None:
    """A correlated normal field cut at the quantile of 0.3 leaves 30 % in sight."""
    shape = (200, 200)
    rng = np.random.default_rng(5)
    fields = field_filter(shape, 10.0, 50.0)
    quantile = -0.524401  # normal quantile of 0.3, from tables
    share = [np.mean(draw_field(fields, shape, rng) + quantile > 0) for _ in range(30)]
    # 30 fields of about 250 independent patches: standard error 0.0053
    assert np.mean(share) == pytest.approx(0.3, abs=0.016)


DECORRELATIONS_M = sorted(
    {
        distance
        for row in SHADOWING.values()
        for distance in (row.decorrelation_los_m, row.decorrelation_nlos_m, row.los_state_m)
    }
)


@pytest.mark.parametrize("decorrelation_m", DECORRELATIONS_M)
def test_filter_has_the_autocorrelation_of_the_clause(decorrelation_m: float) -> None:
    """The squared filter transforms back into exp(-d/d_cor), within 0.005, in all directions."""
    shape, pixel_m = (120, 90), 10.0
    fields = field_filter(shape, pixel_m, decorrelation_m)
    covariance = np.fft.irfft2(fields.amplitude.astype(np.float64) ** 2, s=fields.torus)
    lag = np.arange(60) * pixel_m
    expected = np.exp(-np.hypot(lag[:, None], lag[None, :]) / decorrelation_m)
    rows, columns = min(60, fields.torus[0] // 2), min(60, fields.torus[1] // 2)
    np.testing.assert_allclose(covariance[:rows, :columns], expected[:rows, :columns], atol=0.005)


def test_drawn_fields_have_mean_spread_and_autocorrelation() -> None:
    """40 drawn fields: mean 0 ± 0.04, spread 1 ± 0.03, autocorrelation ± 0.04."""
    shape, pixel_m, decorrelation_m = (200, 160), 10.0, 50.0
    rng = np.random.default_rng(11)
    fields = field_filter(shape, pixel_m, decorrelation_m)
    drawn = np.stack([draw_field(fields, shape, rng) for _ in range(40)]).astype(np.float64)
    assert np.mean(drawn) == pytest.approx(0.0, abs=0.04)
    assert np.std(drawn) == pytest.approx(1.0, abs=0.03)
    for lag in (1, 5, 10, 20):
        expected = math.exp(-lag * pixel_m / decorrelation_m)
        along = np.mean(drawn[:, lag:] * drawn[:, :-lag])
        across = np.mean(drawn[:, :, lag:] * drawn[:, :, :-lag])
        assert (along, across) == pytest.approx((expected, expected), abs=0.04)


def test_opposite_edges_of_a_field_are_independent() -> None:
    """The torus the field is cut from does not show: edges correlate by less than 5 %."""
    shape = (64, 64)
    rng = np.random.default_rng(3)
    fields = field_filter(shape, 10.0, 50.0)
    drawn = np.stack([draw_field(fields, shape, rng) for _ in range(200)]).astype(np.float64)
    assert abs(np.mean(drawn[:, 0] * drawn[:, -1])) < 0.05


def test_penetration_worked_by_hand() -> None:
    """§7.4.3.1 at 3.5 GHz and 10 m inside.

    Low: glass 2.7 dB, concrete 19 dB: 0.3·0.537032 + 0.7·0.0125893 = 0.169922, 7.6975 dB.
    High: coated glass 24.05 dB: 0.7·0.00393550 + 0.3·0.0125893 = 0.00653163, 21.8498 dB.
    """
    low = building_entry_loss_db(3.5e9, 10.0, high_loss=False)
    high = building_entry_loss_db(3.5e9, 10.0, high_loss=True)
    assert low == pytest.approx(5 + 7.6975 + 5, abs=1e-3)
    assert high == pytest.approx(5 + 21.8498 + 5, abs=1e-3)


def test_resource_blocks_are_those_of_the_table() -> None:
    """TS 38.101-1 table 5.3.2-1, the row of 15 kHz; 100 MHz is 273 blocks of 30 kHz."""
    published = {5: 25, 10: 52, 15: 79, 20: 106, 25: 133, 30: 160, 40: 216, 50: 270, 100: 546}
    assert {mhz: resource_blocks(mhz * 1e6) for mhz in published} == published


@pytest.mark.parametrize("bandwidth_hz", [20e3, 20.4e6, 0.0, 120e6])
def test_unknown_bandwidths_are_refused(bandwidth_hz: float) -> None:
    """No resource blocks are invented; the message lists what there is."""
    with pytest.raises(BadInput, match=r"5, 10, 15, 20.* MHz, found"):
        resource_blocks(bandwidth_hz)


def test_unknown_scenarios_are_refused() -> None:
    """The message names the scenarios there are."""
    assert environment_code("UMi") is Environment.UMi
    with pytest.raises(BadInput, match="UMa, UMi, RMa, InH, found 'urban'"):
        environment_code("urban")
