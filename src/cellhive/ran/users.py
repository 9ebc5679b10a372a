"""Users: where they are, how they move and when they want data.

Sessions and movement are exogenous: they depend on the seed, the clock and the place,
never on how well the network serves. Two branches of one network therefore see exactly
the same users, and every difference between them is the effect of a decision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cellhive.core.compiled import Word, compiled
from cellhive.core.types import Floats, Ints
from cellhive.ran.streams import (
    LEG_LENGTH,
    LEG_TURN,
    SESSION_CLASS,
    SESSION_LENGTH,
    SESSION_START,
    exponential,
    uniform,
)

INDOOR, PEDESTRIAN, STREET, HIGHWAY = 0, 1, 2, 3
"""Kinds of user, in the order of ``UserMix``."""

IDLE, CONNECTED, PREPARING, EXECUTING, LOST, BLOCKED, COMMANDED = 0, 1, 2, 3, 4, 5, 6
"""Radio states of a user; BLOCKED is a session whose connection could not be set up, COMMANDED
one whose handover is prepared, but who has not heard the command yet."""

USER = np.dtype(
    [
        ("x_m", "f4"), ("y_m", "f4"),
        ("east_m_s", "f4"), ("north_m_s", "f4"),
        ("home_x_m", "f4"), ("home_y_m", "f4"),
        ("leg_left_m", "f4"),
        ("loss_db", "f4"),              # wall or car between the user and the street
        ("kind", "i4"), ("group", "i4"), ("legs", "i4"),
        ("sessions", "i4"), ("wait", "f4"), ("session_left_s", "f4"),
        ("gbr", "i4"), ("demand_mbps", "f4"),
        ("state", "i4"), ("serving", "i4"), ("target", "i4"), ("timer_s", "f4"),
        ("sinr_out", "f4"), ("sinr_in", "f4"),   # means over the windows of link monitoring
        ("past_1", "f4"), ("past_2", "f4"), ("past_3", "f4"), ("past_4", "f4"),  # earlier SINR
        ("out_s", "f4"), ("in_s", "f4"), ("t310_s", "f4"),
        ("ho_source", "i4"), ("ho_target", "i4"), ("since_ho_s", "f4"),
        ("stay_from", "i4"), ("stay_s", "f4"),
        ("lost_in", "i4"), ("lost_kind", "i4"),
        ("rsrp_dbm", "f4"), ("sinr", "f4"), ("need_prb", "f4"), ("rate_mbps", "f4"),
    ],
    align=True,
)  # fmt: skip
"""State of one user; states of a network are arrays (E, U) of these."""


Record = Any
"""One element of a USER array; its fields are attributes."""


class Ground(NamedTuple):
    """The ground users move on."""

    west_m: float
    south_m: float
    east_m: float
    north_m: float
    street_m: float
    """Distance between parallel streets [m]."""
    road_y_m: float
    """Northing of the highway [m]."""
    street_north_m: float = 0.0
    """Distance between the streets that run east-west [m], where it differs; 0 means the same."""
    turn_back: bool = True
    """Whether vehicles may leave the last crossing and turn round at the edge. Otherwise the
    edges are streets, and of the ways at a crossing only those are taken that stay on them."""


@dataclass(frozen=True, slots=True)
class HotSpot:
    """A place where users gather."""

    x_m: float
    y_m: float
    radius_m: float
    """Standard deviation of the users' homes around the place [m]."""
    share: float
    """Share of all users that belong to it."""


@dataclass(frozen=True, slots=True)
class SiteCluster:
    """Homes around a site: operators build where people are."""

    x_m: float
    y_m: float
    radius_m: float
    """Standard deviation of the homes around the site [m]."""


@dataclass(frozen=True, slots=True)
class UserMix:
    """Who the users are."""

    users: int
    indoor_share: float = 0.4
    """Share of users indoors, who do not move."""
    pedestrian_share: float = 0.3
    """Share of users on foot."""
    street_share: float = 0.3
    """Share of users in cars on the street grid; those of hot spots walk."""
    highway_share: float = 0.0
    """Share of users in cars on the highway."""
    pedestrian_m_s: float = 0.83
    """3 km/h, TR 36.839."""
    street_m_s: tuple[float, float] = (6.0, 14.0)
    """Slowest and fastest vehicle in the streets [m/s]."""
    highway_m_s: tuple[float, float] = (28.0, 36.0)
    """Slowest and fastest vehicle on the highway [m/s]."""
    indoor_loss_db: tuple[float, float] = (12.0, 4.4)
    """Mean and sigma of the building loss [dB]; low-loss model of TR 38.901 §7.4.3 at 2-4 GHz.
    The loss deeper inside (0.5 dB/m) and the height of the floor are left out."""
    car_loss_db: tuple[float, float] = (9.0, 5.0)
    """Mean and sigma of the car loss [dB], TR 38.901 §7.4.3.2."""
    hot_spots: tuple[HotSpot, ...] = ()
    near_sites_share: float = 0.0
    """Share of users outside hot spots whose homes scatter around the sites, as many around
    each; the others live anywhere on the ground alike."""
    clusters: tuple[SiteCluster, ...] = ()
    """Where the sites are, with the scatter of the homes around each."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What users ask for."""

    elastic_mbps: float = 6.0
    """Rate that a best-effort user can use [Mbit/s]."""
    gbr_mbps: float = 1.0
    """Guaranteed rate of a GBR user [Mbit/s]."""
    gbr_share: float = 0.25
    """Share of sessions with a guaranteed rate."""
    mean_session_s: float = 20.0
    """Mean length of a session, exponential [s]."""
    mean_pause_s: float = 20.0
    """Mean time between sessions at activity 1 [s]."""


def _positions(
    mix: UserMix, ground: Ground, rng: np.random.Generator
) -> tuple[Floats, Floats, Ints]:
    """Return homes and the group of each user: 0 is everywhere, k the k-th hot spot."""
    x = rng.uniform(ground.west_m, ground.east_m, mix.users)
    y = rng.uniform(ground.south_m, ground.north_m, mix.users)
    group = np.zeros(mix.users, np.int32)
    if mix.clusters:
        _move_near_sites(mix, x, y, rng)
    edges = np.cumsum([spot.share for spot in mix.hot_spots])
    draw = rng.uniform(size=mix.users)
    scatter = rng.standard_normal((2, mix.users))
    for index, spot in enumerate(mix.hot_spots):
        here = (draw < edges[index]) & (draw >= edges[index] - spot.share)
        x[here] = spot.x_m + spot.radius_m * scatter[0, here]
        y[here] = spot.y_m + spot.radius_m * scatter[1, here]
        group[here] = index + 1
    np.clip(x, ground.west_m, ground.east_m, out=x)
    np.clip(y, ground.south_m, ground.north_m, out=y)
    return x, y, group


def _move_near_sites(mix: UserMix, x: Floats, y: Floats, rng: np.random.Generator) -> None:
    """Put the homes of a share of the users around sites."""
    near = rng.uniform(size=mix.users) < mix.near_sites_share
    place = np.array([(one.x_m, one.y_m, one.radius_m) for one in mix.clusters])
    chosen = place[rng.integers(len(place), size=mix.users)]
    scatter = rng.standard_normal((2, mix.users))
    x[near] = (chosen[:, 0] + chosen[:, 2] * scatter[0])[near]
    y[near] = (chosen[:, 1] + chosen[:, 2] * scatter[1])[near]


def _nearest_street(place_m: Floats, low_m: float, high_m: float, ground: Ground) -> Floats:
    """Return the nearest streets on the ground to places along one axis [m]; one is at its edge."""
    last = np.floor((high_m - low_m) / ground.street_m)
    nearest = np.minimum(np.round((place_m - low_m) / ground.street_m), last)
    return np.asarray(low_m + nearest * ground.street_m)


def place_users(mix: UserMix, ground: Ground, rng: np.random.Generator) -> npt.NDArray[np.void]:
    """Return U users at their starting places, all idle: USER records, (U,)."""
    users = np.zeros(mix.users, USER)
    x, y, group = _positions(mix, ground, rng)
    shares = (mix.indoor_share, mix.pedestrian_share, mix.street_share, mix.highway_share)
    # Gatherings are people on foot or indoors: only the rest drives.
    kind = np.searchsorted(np.cumsum(shares), rng.uniform(size=mix.users) * sum(shares))
    kind = np.where((group > 0) & (kind >= STREET), PEDESTRIAN, kind)
    along = rng.uniform(size=mix.users) < 0.5  # half the cars go east-west
    direction = np.where(rng.uniform(size=mix.users) < 0.5, -1.0, 1.0)
    heading = rng.uniform(0, 2 * np.pi, mix.users)
    speed_draw = rng.uniform(size=mix.users)
    loss_draw = rng.standard_normal(mix.users)

    street = kind == STREET
    x = np.where(street & ~along, _nearest_street(x, ground.west_m, ground.east_m, ground), x)
    y = np.where(street & along, _nearest_street(y, ground.south_m, ground.north_m, ground), y)
    y = np.where(kind == HIGHWAY, ground.road_y_m, y)

    def between(limits: tuple[float, float]) -> Floats:
        return np.asarray(limits[0] + (limits[1] - limits[0]) * speed_draw)

    speed = np.select(
        [kind == PEDESTRIAN, street, kind == HIGHWAY],
        [np.full(mix.users, mix.pedestrian_m_s), between(mix.street_m_s), between(mix.highway_m_s)],
        0.0,
    )
    on_foot = kind == PEDESTRIAN
    east = np.where(on_foot, np.cos(heading), np.where(along | (kind == HIGHWAY), direction, 0.0))
    north = np.where(on_foot, np.sin(heading), np.where(street & ~along, direction, 0.0))
    indoor = mix.indoor_loss_db[0] + mix.indoor_loss_db[1] * loss_draw
    car = mix.car_loss_db[0] + mix.car_loss_db[1] * loss_draw
    loss = np.select([kind == INDOOR, kind >= STREET], [indoor, car], 0.0)

    users["x_m"], users["y_m"] = x, y
    users["home_x_m"], users["home_y_m"] = x, y
    users["east_m_s"], users["north_m_s"] = east * speed, north * speed
    since_crossing = np.where(along, x - ground.west_m, y - ground.south_m) % ground.street_m
    to_crossing = np.where(direction > 0, ground.street_m - since_crossing, since_crossing)
    leg = rng.uniform(0, ground.street_m, mix.users)
    users["leg_left_m"] = np.where(street, to_crossing, leg)
    users["loss_db"] = np.maximum(loss, 0.0)
    users["kind"], users["group"] = kind, group
    users["serving"] = users["target"] = users["ho_source"] = users["ho_target"] = -1
    users["stay_from"] = users["lost_in"] = -1
    users["wait"] = rng.exponential(size=mix.users)
    return users


@compiled
def move(user: Record, ground: Ground, seed: Word, which: int, step_s: float) -> None:
    """Move one user by one step; turns are drawn from the user's own stream.

    Pedestrians walk straight legs of 20-60 m within 100 m of home; vehicles keep to a
    Manhattan grid and turn left or right at a crossing with probability 1/4 each
    (TR 36.885 §A.1.2); the highway is a straight road. All turn round at the edge.
    """
    if user.kind == INDOOR:
        return
    user.x_m += user.east_m_s * step_s
    user.y_m += user.north_m_s * step_s
    speed = math.sqrt(user.east_m_s**2 + user.north_m_s**2)
    user.leg_left_m -= speed * step_s
    if ground.turn_back or user.kind != STREET:
        _turn_round_at_edge(user, ground)
    if user.kind == HIGHWAY or user.leg_left_m > 0:
        return
    user.legs += 1
    draw = uniform(seed, LEG_TURN, which, user.legs)
    if user.kind == STREET:
        _turn_at_crossing(user, ground, draw)
    else:
        heading = 2 * math.pi * draw
        away_x, away_y = user.x_m - user.home_x_m, user.y_m - user.home_y_m
        if away_x * away_x + away_y * away_y > 100.0**2:
            heading = math.atan2(-away_y, -away_x)
        user.east_m_s, user.north_m_s = speed * math.cos(heading), speed * math.sin(heading)
        user.leg_left_m = 20.0 + 40.0 * uniform(seed, LEG_LENGTH, which, user.legs)


@compiled
def _turn_round_at_edge(user: Record, ground: Ground) -> None:
    """Turn a user round that has left the ground."""
    if (user.x_m < ground.west_m and user.east_m_s < 0) or (
        user.x_m > ground.east_m and user.east_m_s > 0
    ):
        user.east_m_s = -user.east_m_s
        if user.kind == STREET:
            user.leg_left_m = _to_crossing(user.x_m - ground.west_m, user.east_m_s, ground.street_m)
    if (user.y_m < ground.south_m and user.north_m_s < 0) or (
        user.y_m > ground.north_m and user.north_m_s > 0
    ):
        user.north_m_s = -user.north_m_s
        if user.kind == STREET:
            user.leg_left_m = _to_crossing(
                user.y_m - ground.south_m, user.north_m_s, _street_north_m(ground)
            )


@compiled
def _street_north_m(ground: Ground) -> float:
    """Return the distance between the streets that run east-west [m]."""
    return ground.street_north_m if ground.street_north_m > 0 else ground.street_m


@compiled
def _to_crossing(along_m: float, speed_m_s: float, street_m: float) -> float:
    """Return how far the next crossing is [m] for a vehicle at a place along its street."""
    past_m = along_m - street_m * math.floor(along_m / street_m)
    return street_m - past_m if speed_m_s > 0 else past_m


@compiled
def _turn_at_crossing(user: Record, ground: Ground, draw: float) -> None:
    """Turn a vehicle that has reached a crossing, or let it go straight on."""
    street_m, street_north_m = ground.street_m, _street_north_m(ground)
    east, north = user.east_m_s, user.north_m_s
    left, right = 0.25, 0.5  # draws below these turn left and right, all others go on
    if not ground.turn_back:
        # The next crossing each way must exist; what is left keeps its odds.
        go_left = 0.25 if _on_ground(user, ground, -north, east) else 0.0
        go_right = 0.25 if _on_ground(user, ground, north, -east) else 0.0
        go_on = 0.5 if _on_ground(user, ground, east, north) else 0.0
        left = go_left / (go_left + go_right + go_on)
        right = left + go_right / (go_left + go_right + go_on)
    if draw < left:
        user.east_m_s, user.north_m_s = -north, east
    elif draw < right:
        user.east_m_s, user.north_m_s = north, -east
    if draw < right:  # keep to the middle of the new street
        user.leg_left_m = 0.0
        user.x_m = ground.west_m + round((user.x_m - ground.west_m) / street_m) * street_m
        user.y_m = ground.south_m + round((user.y_m - ground.south_m) / street_north_m) * (
            street_north_m
        )
    user.leg_left_m += street_m if user.east_m_s != 0 else street_north_m


@compiled
def _on_ground(user: Record, ground: Ground, east_m_s: float, north_m_s: float) -> bool:
    """Return whether the street that leads this way from a crossing is on the ground."""
    if east_m_s != 0:
        half_m = math.copysign(0.5 * ground.street_m, east_m_s)
        return bool(ground.west_m < user.x_m + half_m < ground.east_m)
    half_m = math.copysign(0.5 * _street_north_m(ground), north_m_s)
    return bool(ground.south_m < user.y_m + half_m < ground.north_m)


@compiled
def advance_session(
    user: Record, traffic: Floats, activity: float, seed: Word, which: int, step_s: float
) -> int:
    """Advance a user's traffic by one step; return 1 when a session starts, -1 when it ends.

    Sessions start as a Poisson process whose rate is ``activity`` / mean pause: an
    exponential amount of waiting is drawn once and used up at that rate, so a change of
    activity acts at once. ``traffic`` is the array of ``traffic_values``.
    """
    if user.session_left_s > 0:
        user.session_left_s -= step_s
        if user.session_left_s > 0:
            return 0
        user.wait = exponential(seed, SESSION_START, which, user.sessions)
        return -1
    user.wait -= activity * step_s / traffic[4]
    if user.wait > 0:
        return 0
    user.sessions += 1
    user.session_left_s = traffic[3] * exponential(seed, SESSION_LENGTH, which, user.sessions)
    user.gbr = 1 if uniform(seed, SESSION_CLASS, which, user.sessions) < traffic[2] else 0
    user.demand_mbps = traffic[1] if user.gbr == 1 else traffic[0]
    return 1


def traffic_values(traffic: Traffic) -> Floats:
    """Return the settings as the array kernels take, in the order of the fields."""
    return np.array(
        [
            traffic.elastic_mbps,
            traffic.gbr_mbps,
            traffic.gbr_share,
            traffic.mean_session_s,
            traffic.mean_pause_s,
        ]
    )
