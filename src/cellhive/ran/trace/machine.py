"""One user led through recorded levels by the procedures of the kernel, and what happened.

The loop stands in for ``kernel._advance_users``: levels come from a recording instead of
gain maps and nothing else moves. Filters, event A3, preparation, execution, radio link
monitoring, failure and re-establishment are the kernel's own functions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cellhive.core.compiled import Scalar, compiled
from cellhive.core.types import Floats, Floats32, Ints
from cellhive.ran import counters as n
from cellhive.ran.handover import LONG_AGO_S, attach, link_failed, lose
from cellhive.ran.kernel import (
    count_time,
    execute,
    filter_and_trigger,
    hand_over,
    interference_weights,
    look_for_cell,
    sinr_in,
    strongest,
)
from cellhive.ran.plant import OFF_DBM, ON_DBM, Net, Site
from cellhive.ran.streams import MEASUREMENT, keyed
from cellhive.ran.users import CONNECTED, EXECUTING, IDLE, LOST, PREPARING, Record

TRIGGERED, HANDED_OVER, HANDOVER_FAILED, LINK_FAILED, REESTABLISHED, PLACED = range(6)
"""What can happen: a handover is asked for, succeeds, fails on arrival; the link fails; the
user comes back; the recording says where the user is, because the replay cannot know."""

EVENT = np.dtype(
    [
        ("step", "i4"), ("kind", "i4"), ("label", "i4"), ("source", "i4"), ("target", "i4"),
        ("source_dbm", "f4"), ("target_dbm", "f4"),
    ],
    align=True,
)  # fmt: skip

F32, I32 = np.float32, np.int32
_PRESENT_DBM = ON_DBM
_EXACT = 1e-6
_UNKNOWN = -1


class Recording(NamedTuple):
    """Recorded levels; a cell that was not measured is at ``OFF_DBM``."""

    rsrp_dbm: Floats32
    """(T, C)."""
    load: Floats32
    """Share of its power with which each cell interferes, (T, C)."""
    sinr: Floats32
    """Recorded linear SINR in each cell, (T, C); -1 where it is to be derived."""
    serving: Ints
    """Cell that served according to the recording, or -1, (T,)."""
    samples_per_step: float


class Course(NamedTuple):
    """What a replay fills, step by step."""

    serving: Ints
    """Serving cell, or -1 without a link or out of sight, (N,)."""
    state: npt.NDArray[np.int8]
    """State of the user, IDLE while it is out of sight, (N,)."""
    rsrp_dbm: Floats32
    sinr: Floats32
    events: npt.NDArray[np.void]
    """EVENT records, (N,): at most one per step."""


@compiled
def levels_at(rsrp_dbm: Floats32, row: int, part: Scalar, level_dbm: Floats32) -> None:
    """Fill the levels of all cells between two samples: on the straight line in dB.

    A cell that the next sample lacks keeps its level until that sample; one that this
    sample lacks is absent until the next.
    """
    last = rsrp_dbm.shape[0] - 1
    after = min(row + 1, last)
    for c in range(level_dbm.size):
        here, there = rsrp_dbm[row, c], rsrp_dbm[after, c]
        joined = here > _PRESENT_DBM and there > _PRESENT_DBM
        level_dbm[c] = here + F32(part) * (there - here) if joined else here


@compiled
def _forget_absent(net: Net, level_dbm: Floats32) -> None:
    """Restart the filters and triggers of cells that are not measured."""
    for c in range(level_dbm.size):
        if level_dbm[c] <= _PRESENT_DBM:
            net.l3_dbm[0, c] = OFF_DBM
            net.trigger[0, c] = F32(-1.0)


@compiled
def _place(net: Net, cell: int, sinr: Scalar) -> None:
    """Put the user in a cell as if its session began there."""
    user = net.users[0]
    net.l3_dbm[0, :] = OFF_DBM
    net.trigger[0, :] = F32(-1.0)
    user.since_ho_s, user.stay_s, user.stay_from = LONG_AGO_S, 0.0, -1
    user.ho_source = user.ho_target = user.lost_in = -1
    attach(user, cell, sinr)


@compiled
def _out_of_sight(user: Record, level_dbm: Floats32) -> bool:
    """Return whether the recording no longer holds a cell that the user depends on."""
    if user.state == LOST:
        return False
    if user.state == IDLE or level_dbm[user.serving] <= _PRESENT_DBM:
        return True
    return bool(user.target >= 0 and level_dbm[user.target] <= _PRESENT_DBM)


@compiled
def _cell_to_place(net: Net, recorded: int, level_dbm: Floats32) -> int:
    """Return the recorded serving cell if it is measured, else the strongest one, or -1."""
    if recorded >= 0:
        return recorded if level_dbm[recorded] > _PRESENT_DBM else -1
    return strongest(level_dbm, net.bias_db, net.closing, -1, _PRESENT_DBM)


@compiled
def _blamed(cells: Floats, before: Floats) -> int:
    """Return which label was counted since the last event, or -1; keep the sums for the next."""
    label = _UNKNOWN
    columns = (n.TOO_LATE, n.TOO_EARLY, n.WRONG_CELL, n.COVERAGE_HOLE, n.PING_PONG)
    for index in range(5):
        total = 0.0
        for c in range(cells.shape[0]):
            total += cells[c, columns[index]]
        if total > before[index]:
            label = columns[index]
        before[index] = total
    return label


@compiled
def _advance(
    net: Net, site: Site, step: int, level_dbm: Floats32, weights: Floats32, sinr: Scalar
) -> None:  # fmt: skip
    """Advance the user by one step, in the order of the kernel.

    Args:
        net: The user and the settings.
        site: Carriers and timers.
        step: Number of the step; keys the measurement errors.
        level_dbm: RSRP of every cell [dBm], (C,).
        weights: Interference weights, (carriers, C).
        sinr: Recorded SINR in the serving cell, or -1.
    """
    user, timers = net.users[0], site.timers
    if user.state == LOST:
        look_for_cell(net, site, 0, level_dbm, weights)
        return
    serving = user.serving
    derived = sinr_in(level_dbm, serving, weights[site.carrier[serving]])
    user.sinr = F32(sinr) if sinr >= 0 else derived
    user.rsrp_dbm = level_dbm[serving]
    settings = (net.l3_weight[serving], timers.sample_error_db, net.a3_db[serving],
                net.trigger_steps[serving])  # fmt: skip
    expired = filter_and_trigger(
        level_dbm, net.l3_dbm, net.trigger, net.offset_db, (0, serving), settings,
        keyed(net.seed, MEASUREMENT, 0, step),
    )  # fmt: skip
    count_time(net.cells, user, timers.step_s)
    if user.state == EXECUTING:
        execute(net, site, 0, level_dbm, weights)
    elif link_failed(user, user.sinr, timers):
        lose(user, net.cells, 0, timers)
    elif user.state != CONNECTED or expired:
        hand_over(net, site, 0, expired)


@compiled
def _noted(
    user: Record,
    before: tuple[Scalar, Scalar, Scalar],
    label: int,
    level_dbm: Floats32,
    event: Record,
) -> bool:
    """Fill an event if the state has changed in a way that counts; return whether it has.

    Args:
        user: The user after the step.
        before: Its state, serving cell and target before.
        label: What the step was blamed for, or -1.
        level_dbm: RSRP of every cell [dBm], (C,).
        event: Record to fill.
    """
    state, serving, target = before
    if state == CONNECTED and user.state == PREPARING:
        event.kind, event.source, event.target = TRIGGERED, serving, user.target
    elif state == EXECUTING and user.state == CONNECTED:
        event.kind, event.source, event.target = HANDED_OVER, serving, user.serving
    elif state == EXECUTING and user.state == LOST:
        event.kind, event.source, event.target = HANDOVER_FAILED, serving, target
    elif state != LOST and user.state == LOST:
        event.kind, event.source, event.target = LINK_FAILED, serving, target
    elif state == LOST and user.state == CONNECTED:
        event.kind, event.source, event.target = REESTABLISHED, serving, user.serving
    else:
        return False
    event.label = label
    event.source_dbm = level_dbm[event.source]
    event.target_dbm = level_dbm[event.target] if event.target >= 0 else F32(OFF_DBM)
    return True


@compiled
def _note_state(course: Course, step: int, user: Record, level_dbm: Floats32) -> None:
    """Write down where the user is after a step."""
    course.state[step] = user.state
    held = user.state not in (LOST, IDLE)
    course.serving[step] = user.serving if held else -1
    course.rsrp_dbm[step] = level_dbm[user.serving] if held else F32(OFF_DBM)
    course.sinr[step] = user.sinr if held else F32(0.0)


@compiled
def follow(net: Net, site: Site, recording: Recording, course: Course) -> int:
    """Lead the user through a recording and return the number of events.

    Args:
        net: One user that is idle, and the settings; written.
        site: Carriers, relations and timers.
        recording: What was recorded.
        course: What happened, written.
    """
    user = net.users[0]
    cells = recording.rsrp_dbm.shape[1]
    level_dbm = np.empty(cells, np.float32)
    weights = np.empty((site.carriers, cells), np.float32)
    sums = np.zeros(5)
    count, weighed = 0, -1
    for step in range(course.serving.size):
        place = step * recording.samples_per_step
        row = min(int(place + _EXACT), recording.serving.size - 1)
        part = place - row if place - row > _EXACT else 0.0
        levels_at(recording.rsrp_dbm, row, part, level_dbm)
        if row != weighed:
            interference_weights(
                net.power_dbm, recording.load[row], site.carrier, site.idle_load, weights
            )
            weighed = row
        _forget_absent(net, level_dbm)
        event = course.events[count]
        event.step = step
        if _out_of_sight(user, level_dbm):
            cell = _cell_to_place(net, recording.serving[row], level_dbm)
            user.state, user.target = IDLE, -1
            if cell >= 0:
                event.kind, event.label, event.source = PLACED, -1, user.serving
                event.target, event.target_dbm = cell, level_dbm[cell]
                event.source_dbm = F32(OFF_DBM)
                count += 1
                _place(net, cell, sinr_in(level_dbm, cell, weights[site.carrier[cell]]))
        else:
            before = (I32(user.state), I32(user.serving), I32(user.target))
            sinr = recording.sinr[row, user.serving]
            _advance(net, site, step, level_dbm, weights, sinr)
            if user.state != before[0]:
                label = _blamed(net.cells, sums)
                if _noted(user, before, label, level_dbm, event):
                    count += 1
        _note_state(course, step, user, level_dbm)
    return count
