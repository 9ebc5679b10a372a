"""The day's curve, the events, the recipes, and that every recipe runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cellhive.adapters.scenarios import library, scenario_named
from cellhive.core.errors import NotFound
from cellhive.core.schema import QUANTITIES, RELATION_COLUMNS
from cellhive.core.types import KpiFrame
from cellhive.ran.layout import SiteDesign, hex_grid
from cellhive.ran.scenarios import (
    FLAT_CURVE,
    HOUR_S,
    Event,
    HexLayout,
    RealSites,
    Scenario,
    activity_curve,
    activity_for_share,
    build_twin,
    build_world,
    daily_curve,
)
from cellhive.ran.users import Traffic, UserMix

DAY_S = 24 * HOUR_S


def test_the_daily_curve_is_periodic_and_continuous() -> None:
    """Busiest at 1, quiet at a fifth, the same every day, no jump at midnight."""
    times = np.arange(0, DAY_S, 300.0)
    curve = np.array([daily_curve(t) for t in times])
    np.testing.assert_allclose(curve, [daily_curve(t + 5 * DAY_S) for t in times], atol=1e-9)
    assert curve.max() == 1.0
    assert curve.min() == pytest.approx(0.2)
    assert 2 <= times[curve.argmin()] / HOUR_S <= 6
    assert 20 <= times[curve.argmax()] / HOUR_S <= 22
    steps = np.abs(np.diff([*curve, daily_curve(DAY_S)]))
    assert steps.max() < 0.02, "five minutes change little"
    assert daily_curve(DAY_S - 1e-6) == pytest.approx(daily_curve(0.0), abs=1e-6)


def test_activity_for_share_by_hand() -> None:
    """A half needs as much session as pause; 0 needs none; certainty is held at 95 %."""
    even = Traffic(mean_session_s=20.0, mean_pause_s=20.0)
    assert activity_for_share(np.array(0.5), even) == pytest.approx(1.0)
    assert activity_for_share(np.array(0.0), even) == 0
    assert activity_for_share(np.array(1.0), even) == pytest.approx(19.0)
    uneven = Traffic(mean_session_s=10.0, mean_pause_s=30.0)
    # share / 10 = (1 - share) a / 30 with share 0.25: a = 1
    assert activity_for_share(np.array(0.25), uneven) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("hour", "factor"),
    [(9.9, 1.0), (10.0, 1.0), (10.25, 2.0), (10.5, 3.0), (12.0, 3.0), (13.75, 2.0), (14.0, 1.0)],
)
def test_an_event_ramps_up_and_down(hour: float, factor: float) -> None:
    """From 10 to 14 h at three times, with half an hour of ramp at both ends."""
    event = Event(10 * HOUR_S, 14 * HOUR_S, 3.0)
    assert event.at(hour * HOUR_S) == pytest.approx(factor)


def test_only_hot_spots_join_an_event() -> None:
    """The share of everybody else follows the day; that of the crowd is tripled."""
    scenario = scenario_named("stadium-surge")
    (event,) = scenario.events
    middle = (event.start_s + event.end_s) / 2
    activity = activity_curve(scenario)(middle)
    share = scenario.peak_share * daily_curve(middle)
    wanted = activity_for_share(np.array([share, 3 * share]), scenario.traffic)
    np.testing.assert_allclose(activity, wanted)
    np.testing.assert_allclose(activity_curve(scenario)(middle + DAY_S), wanted)


def test_without_a_day_the_traffic_stays_at_its_peak() -> None:
    """The highway is always busy."""
    curve = activity_curve(scenario_named("highway-corridor"))
    np.testing.assert_array_equal(curve(3 * HOUR_S), curve(20 * HOUR_S))


def test_an_unknown_scenario_names_those_there_are() -> None:
    """The message lists what could have been meant."""
    with pytest.raises(NotFound, match=r"hex-urban.*healthy.*'helthy'"):
        scenario_named("helthy")
    assert scenario_named("healthy") is library()["healthy"]


def test_every_focus_is_a_kpi() -> None:
    """Scenarios are judged on KPIs of the schema or on power."""
    for scenario in library().values():
        assert scenario.focus
        assert all(name == "power_w" or name in QUANTITIES for name in scenario.focus)


def test_seeds_are_other_cities_with_the_same_kind_of_fault() -> None:
    """The same share of cells is wrongly tilted by the same amount, but other cells."""
    scenario = scenario_named("mis-tilted")
    tilts = [build_world(scenario, seed)[1].electrical_tilt_deg for seed in (1, 1, 2)]
    np.testing.assert_array_equal(tilts[0], tilts[1])
    assert np.any(tilts[0] != tilts[2])
    for tilt in tilts:
        wrong = tilt != scenario.tilt_deg
        assert wrong.sum() == round(scenario.mistilted_share * tilt.size)
        np.testing.assert_array_equal(tilt[wrong], scenario.tilt_deg + scenario.mistilt_deg)


def test_real_sites_keep_their_own_configuration() -> None:
    """Tilts and powers of a site list are used as they are; relations come from the map."""
    network = hex_grid(1, 500.0, SiteDesign(carrier_hz=2.1e9))
    tilt, power = np.array([2.0, 5.0, 9.0]), np.array([40.0, 43.0, 46.0])
    scenario = scenario_named("mis-tilted")
    world, parameters = build_world(scenario, 1, RealSites(network, tilt, power))
    np.testing.assert_array_equal(parameters.electrical_tilt_deg, tilt)
    np.testing.assert_array_equal(parameters.tx_power_dbm, power)
    assert world.network.relations == parameters.cio_db.size == 6
    assert world.mix.users == round(scenario.users_per_cell * 3)


# Columns that may be missing where a cell saw nothing of the kind in a few seconds.
NEEDS_USERS = {
    "DRB.UEThpDl", "ue_throughput_mbps", "ue_throughput_p5_mbps", "demand_satisfied_ratio",
    "rrc_setup_success_ratio", "handover_success_ratio", "handover_failure_ratio",
    "ping_pong_ratio", "rlf_per_ue_min", "interruption_ratio", "sinr_mean_db", "rsrp_mean_dbm",
    "weak_coverage_ratio", "interference_ratio",
}  # fmt: skip


def check_ranges(frame: KpiFrame) -> None:
    """Assert that what is known is finite and within the limits of the schema."""
    for name in frame.columns:
        column = frame.column(name)
        assert not np.any(np.isinf(column)), name
        if name not in NEEDS_USERS:
            assert np.all(np.isfinite(column)), name
        limits = QUANTITIES.get(name)
        if limits is not None:
            known = column[np.isfinite(column)]
            assert np.all(known >= limits.low - 1e-6), name
            assert np.all(known <= limits.high * (1 + 1e-6) + 1e-6), name
    np.testing.assert_array_equal(frame.valid, np.isfinite(frame.values))
    assert frame.relation_columns == RELATION_COLUMNS
    assert np.all(np.isfinite(frame.relation_values))


@pytest.mark.parametrize("name", library())
def test_every_scenario_runs_and_repeats_itself(name: str) -> None:
    """Two short periods: values in range, users served, and the same bits a second time."""
    scenario = scenario_named(name)
    runs: list[list[Any]] = []
    for _ in range(2):
        twin = build_twin(scenario, 2, observed_s=2.0)
        runs.append([twin.observe(), twin.observe()])
        assert twin.time_s == scenario.start_h * HOUR_S + 1800.0
    for first, second in zip(*runs, strict=True):
        assert first.values.tobytes() == second.values.tobytes()
        assert first.relation_values.tobytes() == second.relation_values.tobytes()
        check_ranges(first)
        assert first.column("RRC.ConnMean").sum() > 0
        assert first.column("DRB.PdcpSduVolumeDL").sum() > 0
    assert twin.network.relations == first.relation_values.shape[0] > 0


def test_the_share_of_users_in_session_follows_the_curve() -> None:
    """After the warm-up the mean share in session is the peak share times the curve.

    570 users give a binomial sigma of 0.021; the limit is 4 sigma.
    """
    scenario = scenario_named("healthy")
    twin = build_twin(scenario, 3, observed_s=20.0)
    twin.observe()
    users = twin.simulator.plant.users[0]
    expected = scenario.peak_share * daily_curve(scenario.start_h * HOUR_S)
    assert np.mean(users["session_left_s"] > 0) == pytest.approx(expected, abs=0.084)


def test_one_fault_leaves_everything_else_where_it_is() -> None:
    """Cells with a wrong A3 offset change no hot spot, no tilt and no shadow."""
    layout = HexLayout(7, 500.0, SiteDesign(carrier_hz=2.1e9))
    plain = Scenario("a", "", (), layout, 2, hot_spots=2, hot_spot_share=0.2, mistilted_share=0.2)
    late = replace(plain, wrong_a3_share=0.2, wrong_a3_db=3.0)
    (world, parameters), (other_world, other) = (build_world(one, 5) for one in (plain, late))
    assert world.mix == other_world.mix
    np.testing.assert_array_equal(parameters.electrical_tilt_deg, other.electrical_tilt_deg)
    assert sorted(other.a3_offset_db - parameters.a3_offset_db) == [0.0] * 17 + [3.0] * 4


def test_homes_near_sites_scatter_by_the_distance_to_the_next_site() -> None:
    """Half of 500 m around each of seven sites; without the share there are no such homes."""
    layout = HexLayout(7, 500.0, SiteDesign(carrier_hz=2.1e9))
    near = Scenario("a", "", (), layout, 2, mix=UserMix(users=0, near_sites_share=0.5))
    clusters = build_world(near, 1)[0].mix.clusters
    assert len(clusters) == 7
    assert all(one.radius_m == pytest.approx(250.0) for one in clusters)
    assert build_world(replace(near, mix=UserMix(users=0)), 1)[0].mix.clusters == ()


def test_an_event_over_midnight_is_one_event() -> None:
    """From 22 to 2 h: at its height at midnight, from either side, and over by noon."""
    event = Event(22 * HOUR_S, 26 * HOUR_S, 2.0)
    assert event.at(0.0) == event.at(24 * HOUR_S) == 2.0
    assert event.at(1.75 * HOUR_S) == pytest.approx(1.5)
    assert event.at(12 * HOUR_S) == 1.0


def test_a_curve_of_points_is_straight_between_them_and_over_midnight() -> None:
    """From 0.2 at 6 h to 1 at 18 h: half-way at noon, and back by midnight."""
    curve = ((6.0, 0.2), (18.0, 1.0))
    shares = [daily_curve(hour * HOUR_S, curve) for hour in (6, 12, 18, 0, 3)]
    np.testing.assert_allclose(shares, [0.2, 0.6, 1.0, 0.6, 0.4])
    assert daily_curve(5 * HOUR_S, FLAT_CURVE) == 1.0
