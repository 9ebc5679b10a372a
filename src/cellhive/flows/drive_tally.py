"""What a drive test adds up to: handovers, failures and levels, as recorded and as replayed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np

from cellhive.core.types import Ints
from cellhive.ran.handover import Procedures
from cellhive.ran.trace import DriveLog, Kind, Label, LogEvent, Replayed, joined_levels

WEAK_DBM = -110.0
"""Serving RSRP below which coverage counts as weak [dBm]."""
RETURN_S = 5.0
"""A return within this time is told besides ping-pongs, for logs with a sample a second [s]."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums over runs; add them with ``+``."""

    known_s: float = 0.0
    """Time in which the phone's cell is known [s]."""
    handovers: int = 0
    ping_pongs: int = 0
    """Returns after less than a second (TR 36.839 definition 6)."""
    returns: int = 0
    """Returns after less than five seconds."""
    handover_failures: int = 0
    link_failures: int = 0
    reestablishments: int = 0
    too_late: int = 0
    too_early: int = 0
    wrong_cell: int = 0
    placed: int = 0
    """How often the user was put where the phone was."""
    unseen_s: float = 0.0
    """Time in which the recording lacks the cells that the user depends on [s]."""
    level_s: float = 0.0
    """Time with a serving RSRP [s]."""
    level_sum: float = 0.0
    """Integral of the serving RSRP over it [dBm s]."""
    weak_s: float = 0.0
    """Time with a serving RSRP below -110 dBm [s]."""
    interrupted_s: float = 0.0
    """Time in which no data can flow [s]."""
    stays: int = 0
    """Stays that a recorded handover to an unnamed cell has ended."""
    left: int = 0
    """Of them, those whose cell the replay had left before."""

    def __add__(self, other: Tally) -> Tally:
        """Return both together."""
        return Tally(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Tally)))

    @property
    def handovers_per_minute(self) -> float:
        """Handovers per minute of known time; NaN where there is none."""
        return 60 * self.handovers / self.known_s if self.known_s else float("nan")

    @property
    def mean_rsrp_dbm(self) -> float:
        """Mean serving RSRP [dBm]; NaN where there is none."""
        return self.level_sum / self.level_s if self.level_s else float("nan")

    @property
    def weak_ratio(self) -> float:
        """Share of the time with a serving RSRP below -110 dBm."""
        return self.weak_s / self.level_s if self.level_s else float("nan")

    def per_handover(self, count: int) -> float:
        """Return a count per handover; NaN where there are none."""
        return count / self.handovers if self.handovers else float("nan")


def handovers_of(log: DriveLog) -> list[LogEvent]:
    """Return the handovers that the log has, in order."""
    return [event for event in log.events if event.kind == "handover"]


def recorded_tally(log: DriveLog) -> Tally:
    """Return what the log itself says; ping-pongs only where it names the cells."""
    handovers = handovers_of(log)
    stays = [
        later.time_s - event.time_s
        for event, later in pairwise(handovers)
        if event.target and event.target == later.source and event.source == later.target
    ]
    total = Tally(
        handovers=len(handovers),
        ping_pongs=sum(s < Procedures().minimum_stay_s for s in stays),
        returns=sum(s < RETURN_S for s in stays),
        link_failures=sum(event.kind == "radio link failure" for event in log.events),
    )
    end_s = float("-inf")
    for stretch in log.stretches:
        levels = joined_levels(stretch.rsrp_dbm, log.dt_s, log.join_s, log.hold_s)
        cell = lasting(stretch.serving)
        at = np.flatnonzero(cell >= 0)
        serving = levels[at, cell[at]]
        serving = serving[np.isfinite(serving)]
        gap_s = stretch.start_s - end_s
        bridged_s = gap_s - log.dt_s if gap_s <= log.join_s else 0.0
        end_s = stretch.start_s + (cell.size - 1) * log.dt_s
        total += Tally(
            known_s=cell.size * log.dt_s + bridged_s,
            level_s=serving.size * log.dt_s,
            level_sum=float(serving.sum()) * log.dt_s,
            weak_s=float(np.count_nonzero(serving < WEAK_DBM)) * log.dt_s,
        )
    return total


def lasting(serving: Ints) -> Ints:
    """Return the serving cell of each sample; between samples that tell, the one before."""
    last = np.maximum.accumulate(np.where(serving >= 0, np.arange(serving.size), 0))
    return np.asarray(serving[last])


def replayed_tally(log: DriveLog, replays: Sequence[Replayed]) -> Tally:
    """Return what the replays of a log's stretches add up to."""
    ends = [event.time_s for event in handovers_of(log) if not event.target]
    total = Tally()
    for stretch, replayed in zip(log.stretches, replays, strict=True):
        total += _of_one(replayed)
        end_s = stretch.start_s + (stretch.serving.size - 1) * log.dt_s
        if any(end_s <= time_s <= end_s + 2 * log.dt_s for time_s in ends):
            stayed = replayed.serving[-1] == stretch.serving[-1]
            total += Tally(stays=1, left=int(not stayed))
    return total


def _of_one(replayed: Replayed) -> Tally:
    """Return what one replay adds up to."""
    moves = [event for event in replayed.events if event.kind is Kind.HANDOVER]
    level = replayed.rsrp_dbm[np.isfinite(replayed.rsrp_dbm)]
    step_s = replayed.step_s
    back = Kind.REESTABLISHMENT
    return Tally(
        known_s=int(np.count_nonzero(replayed.in_sight)) * step_s,
        handovers=len(moves),
        ping_pongs=replayed.count(Kind.HANDOVER, Label.PING_PONG),
        returns=sum(
            (one.source, one.target) == (two.target, two.source)
            and two.time_s - one.time_s < RETURN_S
            for one, two in pairwise(moves)
        ),
        handover_failures=replayed.count(Kind.HANDOVER_FAILURE),
        link_failures=replayed.count(Kind.RADIO_LINK_FAILURE),
        reestablishments=replayed.count(back),
        too_late=replayed.count(back, Label.TOO_LATE),
        too_early=replayed.count(back, Label.TOO_EARLY),
        wrong_cell=replayed.count(back, Label.WRONG_CELL),
        placed=replayed.count(Kind.PLACED),
        unseen_s=int(np.count_nonzero(~replayed.in_sight)) * step_s,
        level_s=level.size * step_s,
        level_sum=float(level.sum(dtype=np.float64)) * step_s,
        weak_s=int(np.count_nonzero(level < WEAK_DBM)) * step_s,
        interrupted_s=int(np.count_nonzero(replayed.interrupted)) * step_s,
    )
