"""Slow and obvious twin of movement and sessions: one user, plain Python floats.

A user is any object with the fields of ``USER``; ``ties`` remembers how near a decision
came to falling the other way, in units of what float32 can resolve there.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, NamedTuple

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
    for axis, rate, low, high in (
        ("x_m", "east_m_s", ground.west_m, ground.east_m),
        ("y_m", "north_m_s", ground.south_m, ground.north_m),
    ):
        place, going = getattr(user, axis), getattr(user, rate)
        outside = going < 0 and ties.above(low, place, METRES)
        outside = outside or (going > 0 and ties.above(place, high, METRES))
        if outside:
            setattr(user, rate, -going)
            if user.kind == STREET:
                past = (place - low) % ground.street_m
                ties.above(past, 0.0, METRES)
                ties.above(ground.street_m, past, METRES)
                user.leg_left_m = past if going > 0 else ground.street_m - past
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


def _cross(user: SimpleNamespace, ground: Any, draw: float) -> None:
    """Left and right with probability 1/4 each, else straight on (TR 36.885 §A.1.2)."""
    if draw >= 0.5:
        user.leg_left_m += ground.street_m
        return
    # Left is a quarter turn against the clock: (east, north) becomes (-north, east).
    sign = 1 if draw < 0.25 else -1
    user.east_m_s, user.north_m_s = -sign * user.north_m_s, sign * user.east_m_s
    for axis, low in (("x_m", ground.west_m), ("y_m", ground.south_m)):
        street = round((getattr(user, axis) - low) / ground.street_m)
        setattr(user, axis, low + street * ground.street_m)
    user.leg_left_m = ground.street_m


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
