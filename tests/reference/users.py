"""Slow and obvious twin of movement and sessions: one user, plain Python floats.

A user is any object with the fields of ``USER``; ``ties`` remembers how near a decision
came to falling the other way, in units of what float32 can resolve there.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

INDOOR, PEDESTRIAN, STREET, HIGHWAY = range(4)
METRES, SECONDS = 2e-3, 2e-5


class Ties:
    """How near the nearest decision came to falling the other way; below 1 is open."""

    def __init__(self) -> None:
        """Start with nothing decided."""
        self.nearest = math.inf

    def above(self, left: float, right: float, resolution: float) -> bool:
        """Return left > right, and remember by how much."""
        self.nearest = min(self.nearest, abs(left - right) / resolution)
        return left > right


class Streams(NamedTuple):
    """The random numbers of one network, and the length of its steps."""

    module: Any
    """The reference module of streams."""
    seed: int
    step_s: float

    def uniform(self, stream: int, which: int, count: int) -> float:
        """Return a draw from (0, 1)."""
        return float(self.module.uniform(self.seed, stream, which, count))

    def exponential(self, stream: int, which: int, count: int) -> float:
        """Return a draw of mean 1."""
        return float(self.module.exponential(self.seed, stream, which, count))


def move(user: SimpleNamespace, ground: Any, which: int, streams: Streams, ties: Ties) -> None:
    """Walk, drive or stay: straight legs, a Manhattan grid, a road; turn round at the edge."""
    if user.kind == INDOOR:
        return
    step_s = streams.step_s
    user.x_m += user.east_m_s * step_s
    user.y_m += user.north_m_s * step_s
    speed = math.hypot(user.east_m_s, user.north_m_s)
    user.leg_left_m -= speed * step_s
    edges = (
        ("x_m", "east_m_s", ground.west_m, ground.east_m, ground.street_m),
        ("y_m", "north_m_s", ground.south_m, ground.north_m, _street_north_m(ground)),
    )
    for axis, rate, low, high, street_m in edges if turns_round(user, ground) else ():
        place, going = getattr(user, axis), getattr(user, rate)
        outside = going < 0 and ties.above(low, place, METRES)
        outside = outside or (going > 0 and ties.above(place, high, METRES))
        if outside:
            setattr(user, rate, -going)
            if user.kind == STREET:
                past = (place - low) % street_m
                ties.above(past, 0.0, METRES)
                ties.above(street_m, past, METRES)
                user.leg_left_m = past if going > 0 else street_m - past
    if user.kind == HIGHWAY or ties.above(user.leg_left_m, 0.0, METRES):
        return
    user.legs += 1
    draw = streams.uniform(streams.module.LEG_TURN, which, user.legs)
    if user.kind == STREET:
        _cross(user, ground, draw)
        return
    home = (user.home_x_m - user.x_m, user.home_y_m - user.y_m)
    heading = 2 * math.pi * draw
    if ties.above(math.hypot(*home), 100.0, METRES):
        heading = math.atan2(home[1], home[0])
    user.east_m_s, user.north_m_s = speed * math.cos(heading), speed * math.sin(heading)
    user.leg_left_m = 20 + 40 * streams.uniform(streams.module.LEG_LENGTH, which, user.legs)


def turns_round(user: SimpleNamespace, ground: Any) -> bool:
    """Return whether a user that comes to the edge turns round there."""
    return bool(ground.turn_back or user.kind != STREET)


def _street_north_m(ground: Any) -> float:
    return float(ground.street_north_m or ground.street_m)


def _leads_on(user: SimpleNamespace, ground: Any, way: tuple[float, float]) -> bool:
    """Return whether the next crossing that way is on the ground."""
    x = user.x_m + np.sign(way[0]) * ground.street_m
    y = user.y_m + np.sign(way[1]) * _street_north_m(ground)
    near_east, near_north = 0.1 * ground.street_m, 0.1 * _street_north_m(ground)
    return bool(
        ground.west_m - near_east < x < ground.east_m + near_east
        and ground.south_m - near_north < y < ground.north_m + near_north
    )


def _cross(user: SimpleNamespace, ground: Any, draw: float) -> None:
    """Left and right with probability 1/4 each, else straight on (TR 36.885 §A.1.2)."""
    east, north = user.east_m_s, user.north_m_s
    ways = [((-north, east), 0.25), ((north, -east), 0.25), ((east, north), 0.5)]
    if not ground.turn_back:
        ways = [(way, odds) for way, odds in ways if _leads_on(user, ground, way)]
    total = sum(odds for _, odds in ways)
    edges = np.cumsum([odds / total for _, odds in ways])
    way = ways[int(np.searchsorted(edges[:-1], draw, side="right"))][0]
    user.east_m_s, user.north_m_s = way
    street_m = ground.street_m if way[0] else _street_north_m(ground)
    if way == (east, north):
        user.leg_left_m += street_m
        return
    axes = (("x_m", ground.west_m, ground.street_m),
            ("y_m", ground.south_m, _street_north_m(ground)))  # fmt: skip
    for axis, low, apart_m in axes:
        setattr(user, axis, low + round((getattr(user, axis) - low) / apart_m) * apart_m)
    user.leg_left_m = street_m


def advance_session(
    user: SimpleNamespace, traffic: Any, activity: float, which: int, streams: Streams, ties: Ties
) -> str:
    """Return "starts", "ends", "runs" or "pauses"; a Poisson process of exponential sessions."""
    draw, step_s = streams.module, streams.step_s
    if user.session_left_s > 0:
        user.session_left_s -= step_s
        if ties.above(user.session_left_s, 0.0, SECONDS):
            return "runs"
        user.wait = streams.exponential(draw.SESSION_START, which, user.sessions)
        return "ends"
    user.wait -= activity * step_s / traffic.mean_pause_s
    if ties.above(user.wait, 0.0, 1e-6):
        return "pauses"
    user.sessions += 1
    length = streams.exponential(draw.SESSION_LENGTH, which, user.sessions)
    user.session_left_s = traffic.mean_session_s * length
    user.gbr = int(streams.uniform(draw.SESSION_CLASS, which, user.sessions) < traffic.gbr_share)
    user.demand_mbps = traffic.gbr_mbps if user.gbr else traffic.elastic_mbps
    return "starts"
