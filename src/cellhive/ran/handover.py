"""Connected-mode mobility of one user: radio link monitoring, handover, re-establishment.

Event A3 itself is evaluated for all cells at once in ``kernel.measure``; what follows it
is here, one user at a time: preparation, execution, radio link failure (T310), and the
re-establishment with the labels that MRO needs (too late, too early, wrong cell).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from cellhive.core.compiled import compiled
from cellhive.core.types import Floats, Ints
from cellhive.ran import counters as n
from cellhive.ran.users import COMMANDED, CONNECTED, EXECUTING, LOST, PREPARING, Record

RULE_36839, RULE_38331 = 0, 1
"""When a handover command is lost: TR 36.839 (T310 is running) or TS 38.331 (SINR is
below Qout at that moment)."""

_OUT_WINDOW_S, _IN_WINDOW_S = 0.2, 0.1
_ROUNDING_S = 1e-4
"""What float32 sums of steps may be off by [s]."""
_RADIO_LINK_FAILURE, _HANDOVER_FAILURE = 0, 1
LONG_AGO_S = 1e9


@dataclass(frozen=True, slots=True)
class Procedures:
    """Timers and thresholds of connected-mode mobility; defaults after TR 36.839 §5.2."""

    q_out_db: float = -8.0
    q_in_db: float = -6.0
    t310_s: float = 1.0
    n310: int = 1
    n311: int = 1
    preparation_s: float = 0.05
    execution_s: float = 0.04
    reestablishment_s: float = 0.4
    """Cell search and random access after a failure [s]; within T311 + T301."""
    minimum_stay_s: float = 1.0
    """A return within this time of stay is a ping-pong (TR 36.839 definition 6)."""
    store_context_s: float = 5.0
    """Tstore_UE_cntxt: a failure within this time of a handover is blamed on it."""
    q_rx_lev_min_dbm: float = -124.0
    """Weakest RSRP at which a cell can be selected [dBm]."""
    max_connected: int = 400
    """RRC connected users a cell admits."""
    measurement_error_db: float = 1.22
    """Sigma of an L1 measurement averaged over 200 ms [dB], TR 36.777."""
    rule: int = RULE_38331
    """When a handover fails: 0 after TR 36.839 (a command sent while T310 runs is lost), 1
    after TS 38.331 (it arrives where the SINR reaches Qout)."""


class Timers(NamedTuple):
    """``Procedures`` as the plain numbers kernels take; ratios are linear."""

    q_out: float
    q_in: float
    t310_s: float
    n310: float
    n311: float
    preparation_s: float
    execution_s: float
    reestablishment_s: float
    minimum_stay_s: float
    store_context_s: float
    q_rx_lev_min_dbm: float
    max_connected: float
    sample_error_db: float
    rule: int
    step_s: float


def timers(procedures: Procedures, step_s: float) -> Timers:
    """Return the settings for kernels that step by ``step_s`` [s].

    The error of a single L1 sample is scaled so that the mean of the samples of 200 ms
    has the error the settings state.
    """
    return Timers(
        q_out=10 ** (procedures.q_out_db / 10),
        q_in=10 ** (procedures.q_in_db / 10),
        t310_s=procedures.t310_s,
        n310=float(procedures.n310),
        n311=float(procedures.n311),
        preparation_s=procedures.preparation_s,
        execution_s=procedures.execution_s,
        reestablishment_s=procedures.reestablishment_s,
        minimum_stay_s=procedures.minimum_stay_s,
        store_context_s=procedures.store_context_s,
        q_rx_lev_min_dbm=procedures.q_rx_lev_min_dbm,
        max_connected=float(procedures.max_connected),
        sample_error_db=procedures.measurement_error_db * (_OUT_WINDOW_S / step_s) ** 0.5,
        rule=procedures.rule,
        step_s=step_s,
    )


@compiled
def attach(user: Record, cell: int, sinr: float) -> None:
    """Make a cell the serving one, with the radio link monitor started afresh."""
    user.serving, user.state, user.target = cell, CONNECTED, -1
    user.sinr = user.sinr_out = user.sinr_in = sinr
    user.past_1 = user.past_2 = user.past_3 = user.past_4 = sinr
    user.out_s = user.in_s = user.t310_s = 0.0


@compiled
def link_failed(user: Record, sinr: float, timers: Timers) -> bool:
    """Advance the radio link monitor by one step; return True when T310 expires.

    Out-of-sync and in-sync are judged on the mean SINR of sliding windows of 200 and 100 ms
    (TR 36.839 §5.2): the last five and the last two samples of 40 ms. N310 and N311
    consecutive indications are taken as that many windows in a row. TS 38.331 §5.3.10.
    """
    step_s = timers.step_s
    older = user.past_1 + user.past_2 + user.past_3 + user.past_4
    user.sinr_out, user.sinr_in = (sinr + older) / 5.0, (sinr + user.past_1) / 2.0
    user.past_4, user.past_3, user.past_2 = user.past_3, user.past_2, user.past_1
    user.past_1 = sinr
    if user.t310_s > 0:
        user.in_s = user.in_s + step_s if user.sinr_in > timers.q_in else 0.0
        if user.in_s > (timers.n311 - 1) * _IN_WINDOW_S + _ROUNDING_S:
            user.t310_s = user.out_s = user.in_s = 0.0
            return False
        user.t310_s -= step_s
        return bool(user.t310_s <= _ROUNDING_S)
    user.out_s = user.out_s + step_s if user.sinr_out < timers.q_out else 0.0
    if user.out_s > (timers.n310 - 1) * _OUT_WINDOW_S + _ROUNDING_S:
        user.t310_s, user.in_s = timers.t310_s, 0.0
        return bool(timers.t310_s <= 0.0)  # T310 of 0 ms is allowed and fails at once
    return False


@compiled
def lose(user: Record, cells: Floats, kind: int, timers: Timers) -> None:
    """Drop the radio link: the user will look for a cell after the re-establishment time."""
    if kind == _RADIO_LINK_FAILURE:
        cells[user.serving, n.RADIO_LINK_FAILURE] += 1
    user.state, user.lost_in, user.lost_kind = LOST, user.serving, kind
    user.timer_s = timers.reestablishment_s


@compiled
def prepare(
    user: Record, target: int, cells: Floats, relations: Floats, relation: Ints, timers: Timers
) -> None:
    """Ask the target to prepare a handover."""
    user.state, user.target, user.timer_s = PREPARING, target, timers.preparation_s
    cells[user.serving, n.PREPARATION_REQUEST] += 1
    which = relation[user.serving, target]
    if which >= 0:
        relations[which, n.RELATION_PREPARATION] += 1


@compiled
def command(user: Record, sinr: float, admitted: bool, cells: Floats, timers: Timers) -> None:
    """End the preparation: send the handover command, or count why not."""
    serving = user.serving
    if not admitted:
        cells[serving, n.PREPARATION_FAILURE] += 1
        user.state, user.target = CONNECTED, -1
        return
    cells[serving, n.PREPARATION_SUCCESS] += 1
    cells[serving, n.EXECUTION_REQUEST] += 1
    if timers.rule == RULE_36839 and user.t310_s > 0:
        lose(user, cells, _RADIO_LINK_FAILURE, timers)
        return
    user.state = COMMANDED
    hear(user, sinr, timers)


@compiled
def hear(user: Record, sinr: float, timers: Timers) -> None:
    """Let the user hear the handover command, or leave it to be sent again at the next step.

    The command travels in acknowledged mode (TS 38.322): the source repeats it for as long
    as the radio link has not failed. It arrives where the SINR reaches Qout.
    """
    if timers.rule == RULE_36839 or sinr >= timers.q_out:
        user.state = EXECUTING
        user.timer_s += timers.execution_s


@compiled
def complete(
    user: Record,
    target_sinr: float,
    cells: Floats,
    relations: Floats,
    relation: Ints,
    timers: Timers,
) -> None:
    """End the execution: arrive in the target, or fail there (TR 36.839 state 3)."""
    source, target = user.serving, user.target
    which = relation[source, target]
    user.ho_source, user.ho_target = source, target
    if target_sinr < timers.q_out:
        cells[source, n.EXECUTION_FAILURE] += 1
        if which >= 0:
            relations[which, n.RELATION_FAILURE] += 1
        lose(user, cells, _HANDOVER_FAILURE, timers)
        return
    cells[source, n.EXECUTION_SUCCESS] += 1
    if which >= 0:
        relations[which, n.RELATION_SUCCESS] += 1
    if target == user.stay_from and user.stay_s < timers.minimum_stay_s:
        # A -> B -> A: the handover out of A was the needless one.
        cells[target, n.PING_PONG] += 1
        first = relation[target, source]
        if first >= 0:
            relations[first, n.RELATION_PING_PONG] += 1
    user.stay_from, user.stay_s, user.since_ho_s = source, 0.0, 0.0
    attach(user, target, target_sinr)


@compiled
def reestablish(
    user: Record,
    cell: int,
    sinr: float,
    cells: Floats,
    relations: Floats,
    relation: Ints,
    timers: Timers,
) -> None:
    """Come back in a cell and label the failure, TS 38.300 §15.5.2 and TR 36.902 §4.5.2."""
    cells[cell, n.REESTABLISHMENT] += 1
    lost_in, source, target = user.lost_in, user.ho_source, user.ho_target
    after_handover = user.lost_kind == _HANDOVER_FAILURE or (
        user.since_ho_s < timers.store_context_s and lost_in == target
    )
    if after_handover and cell == source:
        _blame(n.TOO_EARLY, n.RELATION_TOO_EARLY, source, target, cells, relations, relation)
    elif after_handover and cell != target:
        _blame(n.WRONG_CELL, n.RELATION_WRONG_CELL, source, target, cells, relations, relation)
        taken = relation[source, cell]
        if taken >= 0:
            relations[taken, n.RELATION_WRONG_TAKEN] += 1
    elif cell != lost_in and not after_handover:
        _blame(n.TOO_LATE, n.RELATION_TOO_LATE, lost_in, cell, cells, relations, relation)
    elif cell == lost_in:
        cells[cell, n.COVERAGE_HOLE] += 1
    user.since_ho_s = LONG_AGO_S
    user.stay_from, user.stay_s, user.lost_in = -1, 0.0, -1
    user.ho_source = user.ho_target = -1
    attach(user, cell, sinr)


@compiled
def _blame(
    cell_column: int,
    relation_column: int,
    source: int,
    target: int,
    cells: Floats,
    relations: Floats,
    relation: Ints,
) -> None:
    """Count a labelled failure at the cell and the relation it is blamed on."""
    cells[source, cell_column] += 1
    which = relation[source, target]
    if which >= 0:
        relations[which, relation_column] += 1
