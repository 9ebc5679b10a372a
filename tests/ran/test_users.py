"""Where users are, how they move, and when they want data."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numba
import numpy as np
import pytest

from cellhive.ran.scenarios import activity_for_share
from cellhive.ran.users import (
    HIGHWAY,
    IDLE,
    INDOOR,
    PEDESTRIAN,
    STREET,
    USER,
    Ground,
    HotSpot,
    SiteCluster,
    Traffic,
    UserMix,
    advance_session,
    move,
    place_users,
    traffic_values,
)


def _reference(name: str) -> ModuleType:
    path = Path(__file__).parents[1] / "reference" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"reference_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


slow, slow_streams = _reference("users"), _reference("streams")

STEP_S = 0.04
# Neither extent is a whole number of streets.
GROUND = Ground(-310.0, -250.0, 420.0, 330.0, 120.0, 12.0)
MIX = UserMix(
    400, indoor_share=0.25, pedestrian_share=0.25, street_share=0.25, highway_share=0.25,
    hot_spots=(HotSpot(100.0, 50.0, 30.0, 0.1), HotSpot(-200.0, 0.0, 20.0, 0.2)),
)  # fmt: skip


def _off_street_m(place: Any, low_m: float) -> Any:
    """Return the distance to the nearest street along one axis [m]."""
    past = (np.asarray(place, float) - low_m) % GROUND.street_m
    return np.minimum(past, GROUND.street_m - past)


@numba.njit
def _drive_a_second(users: Any, ground: Ground, jump: Any) -> None:
    """Move everybody by 25 steps and note the longest way of each within one of them [m]."""
    for u in range(users.size):
        for _ in range(25):
            x_m, y_m = users[u].x_m, users[u].y_m
            move(users[u], ground, np.uint32(9), u, STEP_S)
            jump[u] = max(jump[u], np.hypot(users[u].x_m - x_m, users[u].y_m - y_m))


@pytest.fixture(scope="module")
def driven() -> dict[str, Any]:
    """Positions of everybody over ten minutes, sampled every second, (T, U)."""
    users = place_users(MIX, GROUND, np.random.default_rng(3))
    names = ("x_m", "y_m", "east_m_s", "north_m_s")
    track: dict[str, list[Any]] = {name: [] for name in names}
    jump = np.zeros(users.size)
    for _ in range(600):
        _drive_a_second(users, GROUND, jump)
        for name in names:
            track[name].append(users[name].copy())
    return {"users": users, "jump": jump, **{name: np.array(track[name]) for name in names}}


def test_users_are_placed_as_the_mix_says() -> None:
    """Kinds, groups, speeds and losses of 20 000 users; binomial limits of 4 sigma."""
    mix = UserMix(
        20_000, indoor_share=0.4, pedestrian_share=0.3, street_share=0.2, highway_share=0.1,
        hot_spots=(HotSpot(0.0, 0.0, 30.0, 0.2),),
    )  # fmt: skip
    users = place_users(mix, GROUND, np.random.default_rng(1))
    spot = users["group"] == 1
    assert abs(spot.mean() - 0.2) < 4 * (0.2 * 0.8 / 20_000) ** 0.5
    for kind, share in ((INDOOR, 0.4), (PEDESTRIAN, 0.3), (STREET, 0.2), (HIGHWAY, 0.1)):
        found = (users["kind"][~spot] == kind).mean()
        assert abs(found - share) < 4 * (share * (1 - share) / (~spot).sum()) ** 0.5
    assert np.all(users["kind"][spot] <= PEDESTRIAN)
    assert np.hypot(users["x_m"][spot], users["y_m"][spot]).mean() == pytest.approx(
        30 * (np.pi / 2) ** 0.5, rel=0.05  # mean of a Rayleigh distribution
    )  # fmt: skip
    assert np.all(users["state"] == IDLE)
    assert np.all(users["serving"] == -1)
    assert users["loss_db"][users["kind"] == INDOOR].mean() == pytest.approx(12, abs=0.3)
    assert users["loss_db"][users["kind"] == STREET].mean() == pytest.approx(9, abs=0.5)
    assert np.all(users["loss_db"][users["kind"] == PEDESTRIAN] == 0)
    assert np.all(users["loss_db"] >= 0)


def test_vehicles_start_on_streets_and_on_the_road() -> None:
    """On a street of the grid, inside the ground, driving along it; highway users on the road."""
    users = place_users(MIX, GROUND, np.random.default_rng(2))
    cars = users[users["kind"] == STREET]
    eastwards = cars["north_m_s"] == 0
    assert 0 < eastwards.sum() < cars.size
    assert np.all(_off_street_m(cars["y_m"][eastwards], GROUND.south_m) < 1e-3)
    assert np.all(_off_street_m(cars["x_m"][~eastwards], GROUND.west_m) < 1e-3)
    assert np.all(users["y_m"][users["kind"] == HIGHWAY] == np.float32(GROUND.road_y_m))


def test_nobody_leaves_the_ground(driven: dict[str, Any]) -> None:
    """Over ten minutes everybody stays inside, but for the step that turns them round."""
    margin = 36.0 * STEP_S
    assert driven["x_m"].min() >= GROUND.west_m - margin
    assert driven["x_m"].max() <= GROUND.east_m + margin
    assert driven["y_m"].min() >= GROUND.south_m - margin
    assert driven["y_m"].max() <= GROUND.north_m + margin


def test_vehicles_stay_on_streets(driven: dict[str, Any]) -> None:
    """At every moment a car is on a street of the grid, across its direction of travel."""
    cars = driven["users"]["kind"] == STREET
    east = np.abs(driven["east_m_s"][:, cars]) > np.abs(driven["north_m_s"][:, cars])
    off = np.where(
        east,
        _off_street_m(driven["y_m"][:, cars], GROUND.south_m),
        _off_street_m(driven["x_m"][:, cars], GROUND.west_m),
    )
    assert off.max() < 0.02
    road = driven["users"]["kind"] == HIGHWAY
    assert np.all(driven["y_m"][:, road] == np.float32(GROUND.road_y_m))


def test_nobody_jumps(driven: dict[str, Any]) -> None:
    """A step covers what the speed allows, and as much again where a turn is snapped."""
    users = driven["users"]
    speed = np.hypot(users["east_m_s"], users["north_m_s"])
    assert np.all(driven["jump"] <= 2 * speed * STEP_S + 0.02)


def test_speeds_are_kept(driven: dict[str, Any]) -> None:
    """Turning changes direction only; speeds are those of the mix."""
    speed = np.hypot(driven["east_m_s"], driven["north_m_s"])
    kind = driven["users"]["kind"]
    np.testing.assert_allclose(speed, np.broadcast_to(speed[0], speed.shape), rtol=1e-4)
    assert np.all(speed[:, kind == INDOOR] == 0)
    np.testing.assert_allclose(speed[:, kind == PEDESTRIAN], MIX.pedestrian_m_s, rtol=1e-4)
    for kinds, limits in ((STREET, MIX.street_m_s), (HIGHWAY, MIX.highway_m_s)):
        assert speed[:, kind == kinds].min() >= limits[0] - 1e-3
        assert speed[:, kind == kinds].max() <= limits[1] + 1e-3


def test_cars_turn_at_half_of_the_crossings(driven: dict[str, Any]) -> None:
    """Cars use the whole grid: each turns many times, and both directions are as common."""
    cars = driven["users"]["kind"] == STREET
    east = np.abs(driven["east_m_s"][:, cars]) > np.abs(driven["north_m_s"][:, cars])
    turns = np.count_nonzero(east[1:] != east[:-1], axis=0)
    # Ten minutes at 6 to 14 m/s are 30 to 70 legs of 120 m and more where roads end.
    assert turns.min() >= 5
    legs = np.array(driven["users"]["legs"][cars], float)
    assert turns.sum() / legs.sum() == pytest.approx(0.5, abs=0.05)


BLOCKS = Ground(-433.0, -250.0, 433.0, 250.0, 433.0, 0.0, street_north_m=250.0, turn_back=False)


def _ways_from(start: tuple[float, float, float, float], times: int) -> dict[Any, float]:
    """Return how often a car leaves a crossing in each direction.

    Args:
        start: Place just before the crossing [m] and velocity [m/s].
        times: How many cars try.
    """
    car = place_users(UserMix(1, 0.0, 0.0, 1.0), BLOCKS, np.random.default_rng(1))[0]
    taken: dict[Any, float] = {}
    for which in range(times):
        car["x_m"], car["y_m"], car["east_m_s"], car["north_m_s"] = start
        car["leg_left_m"], car["legs"] = 0.1, 0
        move(car, BLOCKS, np.uint32(4), which, STEP_S)
        way = (float(np.sign(car["east_m_s"])), float(np.sign(car["north_m_s"])))
        taken[way] = taken.get(way, 0.0) + 1.0 / times
    return taken


@pytest.mark.parametrize(
    ("start", "odds"),
    [
        ((-0.1, 0.0, 16.0, 0.0), {(1, 0): 0.5, (0, 1): 0.25, (0, -1): 0.25}),
        ((0.0, 249.9, 0.0, 16.0), {(1, 0): 0.5, (-1, 0): 0.5}),
        ((-0.1, 250.0, 16.0, 0.0), {(1, 0): 2 / 3, (0, -1): 1 / 3}),
        ((432.9, 250.0, 16.0, 0.0), {(0, -1): 1.0}),
    ],
    ids=["crossroads", "stem of a T", "arm of a T", "corner"],
)
def test_ways_that_leave_the_ground_are_not_taken(
    start: tuple[float, float, float, float], odds: dict[Any, float]
) -> None:
    """Straight 1/2, left and right 1/4 (TR 37.885 annex A); what exists keeps its odds."""
    taken = _ways_from(start, 1000)
    assert set(taken) == set(odds)
    for way, chance in odds.items():
        assert taken[way] == pytest.approx(chance, abs=4 * (0.25 / 1000) ** 0.5)


def test_cars_of_a_rectangular_grid_stay_on_it() -> None:
    """Over ten minutes in blocks of 433 m by 250 m nobody leaves the streets or the ground."""
    users = place_users(UserMix(40, 0.0, 0.0, 1.0, street_m_s=(30.0, 30.0)), BLOCKS,
                        np.random.default_rng(3))  # fmt: skip
    # The mix places cars on streets as far apart as those that run north-south.
    users["y_m"] = np.where(users["east_m_s"] != 0, 0.0, users["y_m"])
    past = users["y_m"] - BLOCKS.south_m
    northwards = users["north_m_s"] != 0
    to_crossing = np.where(users["north_m_s"] > 0, 250.0 - past % 250.0, past % 250.0)
    users["leg_left_m"] = np.where(northwards, to_crossing, users["leg_left_m"])
    jump = np.zeros(users.size)
    for _ in range(600):
        _drive_a_second(users, BLOCKS, jump)
        x, y = users["x_m"].astype(float), users["y_m"].astype(float)
        assert np.all(np.abs(x) < 433 + 1.3)
        assert np.all(np.abs(y) < 250 + 1.3)
        eastwards = users["east_m_s"] != 0
        assert np.all(np.abs(y[eastwards] / 250 - np.round(y[eastwards] / 250)) < 1e-4)
        assert np.all(np.abs(x[~eastwards] / 433 - np.round(x[~eastwards] / 433)) < 1e-4)
    assert jump.max() <= 2 * 30.0 * STEP_S + 0.02


def test_pedestrians_stay_near_home(driven: dict[str, Any]) -> None:
    """A leg of at most 60 m starts at most 100 m from home, plus the one that turns back."""
    users = driven["users"]
    on_foot = users["kind"] == PEDESTRIAN
    away = np.hypot(
        driven["x_m"][:, on_foot] - users["home_x_m"][on_foot],
        driven["y_m"][:, on_foot] - users["home_y_m"][on_foot],
    )
    assert away.max() < 100 + 60 + 1
    assert away.max() > 50, "they do walk"


@pytest.mark.parametrize(
    "ground",
    [
        GROUND._replace(street_m=30.0),  # more crossings in less time
        Ground(-300.0, -240.0, 420.0, 340.0, 30.0, 12.0, street_north_m=20.0, turn_back=False),
    ],
    ids=["turning back", "staying on"],
)
def test_movement_agrees_with_the_slow_twin(ground: Ground) -> None:
    """Every user over 400 steps, the twin starting each step from the kernel's state."""
    users = place_users(MIX, ground, np.random.default_rng(5))[::8]
    streams = slow.Streams(slow_streams, 9, STEP_S)
    undecided = 0
    for _ in range(400):
        for u in range(users.size):
            record = SimpleNamespace(**{k: users[u][k].item() for k in USER.names})
            ties = slow.Ties()
            slow.move(record, ground, u, streams, ties)
            move(users[u], ground, np.uint32(9), u, STEP_S)
            if ties.nearest < 1:
                undecided += 1
                continue
            ours = [users[u][k].item() for k in ("x_m", "y_m", "east_m_s", "north_m_s")]
            expected = [record.x_m, record.y_m, record.east_m_s, record.north_m_s]
            assert ours == pytest.approx(expected, rel=1e-5, abs=1e-3)
            assert users[u]["leg_left_m"] == pytest.approx(record.leg_left_m, rel=1e-5, abs=2e-3)
            assert users[u]["legs"] == record.legs
    assert users["legs"].sum() > 50
    assert undecided < 0.02 * 400 * users.size


# ------------------------------------------------------------------ sessions


def _session_events(activity: float, steps: int, users: int) -> tuple[Any, Any]:
    """Return records after many steps, and the share of users in a session at each step."""
    traffic = Traffic(mean_session_s=2.0, mean_pause_s=3.0, gbr_share=0.25)
    records = place_users(UserMix(users), GROUND, np.random.default_rng(8))
    values = traffic_values(traffic)
    share = np.zeros(steps)
    for step in range(steps):
        for u in range(users):
            advance_session(records[u], values, activity, np.uint32(3), u, STEP_S)
        share[step] = np.mean(records["session_left_s"] > 0)
    return records, share


@pytest.mark.parametrize("share", [0.2, 0.6])
def test_share_in_session_is_what_the_activity_is_for(share: float) -> None:
    """In balance the share of users in a session is the one that was wanted.

    60 users over 1500 steps: a user's state is forgotten within 1 / (1/2 + a/3) s, so the
    50 s left after settling hold at least 60 x 50 / (2 x 2) = 750 independent looks:
    sigma below 0.018. A step adds half its length to sessions and pauses: 0.01. Limit
    4 sigma and that.
    """
    traffic = Traffic(mean_session_s=2.0, mean_pause_s=3.0)
    activity = float(activity_for_share(np.array(share), traffic))
    _, found = _session_events(activity, 1500, 60)
    assert found[250:].mean() == pytest.approx(share, abs=0.082)


def test_session_lengths_and_classes() -> None:
    """Draws over users and sessions: mean length and share of guaranteed rates, 4 sigma."""
    length = np.array([
        [slow_streams.exponential(3, slow_streams.SESSION_LENGTH, u, k) for k in range(1, 40)]
        for u in range(100)
    ])  # fmt: skip
    assert length.mean() == pytest.approx(1.0, abs=4 / 3900**0.5)
    records, _ = _session_events(1.0, 500, 100)
    assert records["sessions"].sum() > 200
    started = records[records["sessions"] > 0]
    assert set(np.unique(started["demand_mbps"])) == {1.0, 6.0}
    np.testing.assert_array_equal(started["demand_mbps"] == 1.0, started["gbr"] == 1)


def test_sessions_agree_with_the_slow_twin() -> None:
    """Starts, ends, lengths and classes of 20 users over 500 steps."""
    traffic = Traffic(mean_session_s=1.0, mean_pause_s=0.5, gbr_share=0.4)
    records = place_users(UserMix(20), GROUND, np.random.default_rng(6))
    streams = slow.Streams(slow_streams, 3, STEP_S)
    names = {"starts": 1, "ends": -1, "runs": 0, "pauses": 0}
    events: dict[str, int] = dict.fromkeys(names, 0)
    for _ in range(500):
        for u in range(20):
            record = SimpleNamespace(**{k: records[u][k].item() for k in USER.names})
            ties = slow.Ties()
            expected = slow.advance_session(record, traffic, 0.7, u, streams, ties)
            event = advance_session(
                records[u], traffic_values(traffic), 0.7, np.uint32(3), u, STEP_S
            )
            if ties.nearest < 1:
                continue
            events[expected] += 1
            assert event == names[expected]
            for k in ("wait", "session_left_s", "sessions", "gbr", "demand_mbps"):
                assert records[u][k] == pytest.approx(getattr(record, k), rel=1e-5, abs=1e-5)
    assert events["starts"] > 100
    assert abs(events["starts"] - events["ends"]) <= 20


def test_more_activity_acts_at_once() -> None:
    """The waiting drawn is used up at the rate of the moment: ten times faster at 10."""
    values = traffic_values(Traffic(mean_pause_s=10.0))
    records = place_users(UserMix(1), GROUND, np.random.default_rng(6))
    records["wait"] = 1.0
    advance_session(records[0], values, 1.0, np.uint32(3), 0, STEP_S)
    assert records["wait"][0] == pytest.approx(1 - 0.004)
    advance_session(records[0], values, 10.0, np.uint32(3), 0, STEP_S)
    assert records["wait"][0] == pytest.approx(1 - 0.044)
    for _ in range(25):
        advance_session(records[0], values, 0.0, np.uint32(3), 0, STEP_S)
    assert records["wait"][0] == pytest.approx(1 - 0.044), "no activity, no session"


def test_users_near_sites_live_where_sites_stand_close() -> None:
    """Half of the users scatter around two sites by their radius; the others live anywhere.

    Of 4000 users 2000 are near sites, as many around each (sigma of the count 27), and 39 %
    of a two-dimensional Gaussian lies within one sigma.
    """
    ground = Ground(0.0, 0.0, 20_000.0, 20_000.0, 120.0, 0.0)
    mix = UserMix(
        users=4000, indoor_share=1.0, pedestrian_share=0.0, street_share=0.0,
        near_sites_share=0.5,
        clusters=(SiteCluster(5000.0, 5000.0, 100.0), SiteCluster(15_000.0, 9000.0, 400.0)),
    )  # fmt: skip
    users = place_users(mix, ground, np.random.default_rng(1))
    for one in mix.clusters:
        apart = np.hypot(users["x_m"] - one.x_m, users["y_m"] - one.y_m)
        assert np.sum(apart < 5 * one.radius_m) == pytest.approx(1000, abs=130)
        assert np.sum(apart < one.radius_m) == pytest.approx(393, abs=80)
    plain = place_users(replace(mix, clusters=()), ground, np.random.default_rng(1))
    assert np.mean(plain["x_m"]) == pytest.approx(10_000, abs=400), "anywhere alike"
