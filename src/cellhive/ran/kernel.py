"""One step of a network, fused: movement, radio, handover, sharing and counting.

The kernel advances ``E`` networks of ``U`` users and ``C`` cells (padded to ``Cp``) by a
number of steps in one call, on one thread. State is laid out user by user with the cells
contiguous, so the loop over cells is one pass over a few cache lines and vectorises.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cellhive.core.compiled import Scalar, Word, compiled
from cellhive.core.types import Floats, Floats32, Ints
from cellhive.ran import counters as n
from cellhive.ran.handover import (
    LONG_AGO_S,
    Timers,
    attach,
    command,
    complete,
    link_failed,
    lose,
    prepare,
    reestablish,
)
from cellhive.ran.link import (
    NOISE_RE_MW,
    OVERHEAD_RATIO,
    PRB_HZ,
    diversity_gain,
    exp2_f32,
    fair_share,
    log2_f32,
    mw_from_dbm,
    spectral_efficiency,
)
from cellhive.ran.streams import MEASUREMENT, U32, keyed, normal_from_word
from cellhive.ran.users import (
    BLOCKED,
    CONNECTED,
    EXECUTING,
    IDLE,
    LOST,
    Ground,
    Record,
    advance_session,
    move,
)

F32 = np.float32
OFF_DBM = -300.0
"""Power of a cell that does not transmit [dBm]: far below any noise, yet finite."""
NO_RELATION_DB = -1000.0
"""Offset that keeps a cell from ever being a handover target [dB]."""

_NEVER_MEASURED = F32(-250.0)
_DB_TO_LOG2 = F32(np.log2(10.0) / 10.0)
_LOG2_TO_DB = F32(10.0 / np.log2(10.0))
_GOLDEN, _X16, _X15, _M1, _M2 = (
    U32(0x9E3779B9), U32(16), U32(15), U32(0x7FEB352D), U32(0x846CA68B),
)  # fmt: skip
_NOISE = F32(NOISE_RE_MW)
_MBIT_PER_PRB = PRB_HZ * (1.0 - OVERHEAD_RATIO) / 1e6
_PILOT_LOAD = F32(0.05)
_BORDER_DB = F32(3.0)
_BORDER_STEPS = 25
_RETRY_S = 0.2
_WEAK_DBM = -110.0


class Site(NamedTuple):
    """What all networks of a batch share: the ground, the cells, the settings."""

    west_m: float
    """Easting of the centre of pixel (0, 0) [m]."""
    south_m: float
    pixel_m: float
    rows: int
    columns: int
    carrier: Ints
    """Carrier of each cell, (Cp,); -1 for padding."""
    carriers: int
    prbs: Floats
    """Resource blocks of each cell, (Cp,)."""
    relation: Ints
    """Index of the relation from source to target or -1, (Cp, Cp)."""
    ground: Ground
    traffic: Floats
    """``users.traffic_values``, (5,)."""
    timers: Timers
    diversity_users: float
    """Most users over which a proportional fair scheduler gains; 1 is round robin."""


class Plant(NamedTuple):
    """The state and the settings of E networks, one array each, leading axis E."""

    seed: npt.NDArray[np.uint32]
    gain_db: Floats32
    """Path and antenna gain, (M, P, Cp)."""
    gain_of: Ints
    """Which of the M gain maps a network uses, (E,)."""
    users: npt.NDArray[np.void]
    """USER records, (E, U)."""
    l3_dbm: Floats32
    """Filtered RSRP, (E, U, Cp)."""
    trigger: Floats32
    """Steps for which event A3 has been entered, -1 when it has not, (E, U, Cp)."""
    power_dbm: Floats32
    """Power per resource element, (E, Cp); OFF_DBM while asleep."""
    offset_db: Floats32
    """CIO plus carrier offset of every pair, source to target, (E, Cp, Cp)."""
    bias_db: Floats32
    """Cell selection offset, (E, Cp)."""
    a3_db: Floats32
    """A3 offset plus hysteresis of the serving cell, (E, Cp)."""
    trigger_steps: Floats32
    """Time to trigger in steps, (E, Cp)."""
    l3_weight: Floats32
    """Weight of a new sample in the layer-3 filter, (E, Cp)."""
    closing: Ints
    """1 while a cell hands its users over before it sleeps, (E, Cp)."""
    watts: Floats
    """Idle draw, watts per watt radiated times full power, sleeping draw: (E, Cp, 3)."""
    activity: Floats
    """Session rate factor of each group of users, (E, G)."""
    load: Floats32
    """PRB utilisation in the last step, (E, Cp)."""
    sharing: Floats32
    """Best-effort users sharing a cell in the last step, (E, Cp)."""
    connected: Floats32
    """RRC connected users in the last step, (E, Cp)."""
    cells: Floats
    """Accumulators of ``counters``, (E, Cp, A)."""
    relations: Floats
    """Accumulators of relations, (E, R, B)."""


@compiled
def measure(
    rows: tuple[Floats32, Floats32, Floats32, Floats32],
    weights: tuple[Scalar, Scalar, Scalar, Scalar],
    power_dbm: Floats32,
    loss_db: Scalar,
    interference: Floats32,
    rsrp_dbm: Floats32,
) -> Scalar:
    """Fill the RSRP of every cell [dBm], (Cp,), and return the interfering power [mW].

    ``rows`` are the gains at the four pixels around the user, ``weights`` their bilinear
    weights, ``interference`` the share of its power with which each cell interferes.
    """
    row_0, row_1, row_2, row_3 = rows
    w_0, w_1, w_2, w_3 = (
        F32(weights[0]), F32(weights[1]), F32(weights[2]), F32(weights[3]),
    )  # fmt: skip
    loss = F32(loss_db)
    total = F32(0.0)
    for c in range(rsrp_dbm.size):
        level = (
            w_0 * row_0[c] + w_1 * row_1[c] + w_2 * row_2[c] + w_3 * row_3[c]
            + power_dbm[c] - loss
        )  # fmt: skip
        rsrp_dbm[c] = level
        total += exp2_f32(level * _DB_TO_LOG2) * interference[c]
    return total


@compiled
def filter_and_trigger(
    rsrp_dbm: Floats32,
    l3_dbm: Floats32,
    trigger: Floats32,
    offset_db: Floats32,
    serving: int,
    settings: tuple[Scalar, Scalar, Scalar, Scalar],
    key: Word,
) -> bool:
    """Update layer-3 filters and A3 timers of one user; return whether any has expired.

    TS 38.331 §5.5.3.2: F = (1 - a) F + a M with M the sample plus its measurement error;
    §5.5.4.4: entered while Mn + Ocn - Hys > Mp + Off.

    Args:
        rsrp_dbm: RSRP without error [dBm], (Cp,).
        l3_dbm: Filter state [dBm], (Cp,), written.
        trigger: Steps since event A3 was entered or -1, (Cp,), written.
        offset_db: Offset of each target seen from the serving cell [dB], (Cp,).
        serving: Serving cell.
        settings: Filter weight, error sigma [dB], Off + Hys [dB], time to trigger [steps].
        key: Word that keys the measurement errors of this user and step.
    """
    weight, sigma = F32(settings[0]), F32(settings[1])
    base = U32(key)
    word = U32(base + U32(serving) * _GOLDEN)
    word = U32(U32(word ^ U32(word >> _X16)) * _M1)
    word = U32(U32(word ^ U32(word >> _X15)) * _M2)
    error = sigma * normal_from_word(U32(word ^ U32(word >> _X16)))
    own = l3_dbm[serving]
    sample = rsrp_dbm[serving] + error
    own = sample if own < _NEVER_MEASURED else own + weight * (sample - own)
    threshold = F32(own + F32(settings[2]))
    steps = F32(settings[3])
    expired = 0
    for c in range(l3_dbm.size):
        word = U32(base + U32(U32(c) * _GOLDEN))
        word = U32(U32(word ^ U32(word >> _X16)) * _M1)
        word = U32(U32(word ^ U32(word >> _X15)) * _M2)
        sample = rsrp_dbm[c] + sigma * normal_from_word(U32(word ^ U32(word >> _X16)))
        level = l3_dbm[c]
        level = sample if level < _NEVER_MEASURED else level + weight * (sample - level)
        l3_dbm[c] = level
        since = trigger[c] + F32(1.0) if level + offset_db[c] > threshold else F32(-1.0)
        trigger[c] = since
        expired |= int(since >= steps)
    return expired != 0


@compiled
def triggered_target(
    l3_dbm: Floats32, trigger: Floats32, offset_db: Floats32, steps: Scalar
) -> int:
    """Return the best of the cells whose time to trigger has expired, or -1."""
    best, best_db = -1, -1e9
    for c in range(l3_dbm.size):
        if trigger[c] >= steps and l3_dbm[c] + offset_db[c] > best_db:
            best, best_db = c, l3_dbm[c] + offset_db[c]
    return best


@compiled
def strongest(
    level_dbm: Floats32, bias_db: Floats32, closing: Ints, besides: int, weakest_dbm: Scalar
) -> int:
    """Return the cell to camp on, or -1 when none is above ``weakest_dbm``."""
    best, best_db = -1, -1e9
    for c in range(level_dbm.size):
        level = level_dbm[c]
        allowed = c != besides and closing[c] == 0 and level > weakest_dbm
        if allowed and level + bias_db[c] > best_db:
            best, best_db = c, level + bias_db[c]
    return best


@compiled
def sinr_in(rsrp_dbm: Floats32, cell: int, interference: Floats32) -> Scalar:
    """Return the linear SINR a user would have in a cell, from the RSRP of all."""
    total = F32(0.0)
    for c in range(rsrp_dbm.size):
        if c != cell:
            total += mw_from_dbm(rsrp_dbm[c]) * interference[c]
    return mw_from_dbm(rsrp_dbm[cell]) / (total + _NOISE)


@compiled
def interference_weights(plant: Plant, site: Site, e: int, weights: Floats32) -> None:
    """Fill how much each cell interferes on each carrier, (carriers, Cp).

    A cell interferes in proportion to its load in the last step, and at least with its
    synchronisation and broadcast signals.
    """
    for f in range(site.carriers):
        for c in range(weights.shape[1]):
            on = site.carrier[c] == f and plant.power_dbm[e, c] > -200
            weights[f, c] = max(plant.load[e, c], _PILOT_LOAD) if on else F32(0.0)


@compiled
def advance(plant: Plant, site: Site, first_step: int, steps: int) -> None:
    """Advance every network of a batch by ``steps`` steps, in place.

    Args:
        plant: State and settings, written.
        site: What the networks share.
        first_step: Number of the first step; keys the measurement errors.
        steps: How many steps.
    """
    users, width = plant.users.shape[1], plant.load.shape[1]
    rsrp_dbm = np.empty(width, np.float32)
    weights = np.empty((site.carriers, width), np.float32)
    order = np.empty(users, np.int32)
    scratch = np.empty((3, users), np.float32)
    bounds = np.empty(width + 1, np.int32)
    for e in range(plant.users.shape[0]):
        for step in range(first_step, first_step + steps):
            interference_weights(plant, site, e, weights)
            for u in range(users):
                user = plant.users[e, u]
                _advance_user(plant, site, e, u, user, step, rsrp_dbm, weights)
            _share(plant, site, e, order, bounds, scratch)


@compiled
def _advance_user(
    plant: Plant, site: Site, e: int, u: int, user: Record, step: int,
    rsrp_dbm: Floats32, weights: Floats32,
) -> None:  # fmt: skip
    """Advance one user by one step: movement, session, radio and procedures."""
    step_s, seed = site.timers.step_s, plant.seed[e]
    move(user, site.ground, seed, u, step_s)
    event = advance_session(user, site.traffic, plant.activity[e, user.group], seed, u, step_s)
    user.need_prb = user.rate_mbps = 0.0
    if event < 0:
        user.state, user.serving = IDLE, -1
    if user.session_left_s <= 0 or (user.state == BLOCKED and event == 0):
        return
    total = _measure_user(plant, site, e, user, rsrp_dbm, weights)
    if event > 0:
        _set_up(plant, site, e, u, user, rsrp_dbm, weights)
    elif user.state == LOST:
        _look_for_cell(plant, site, e, u, user, rsrp_dbm, weights)
    else:
        _serve(plant, site, e, u, user, step, total, rsrp_dbm, weights)


@compiled
def _measure_user(
    plant: Plant, site: Site, e: int, user: Record, rsrp_dbm: Floats32, weights: Floats32
) -> Scalar:
    """Fill the RSRP at a user's place; return the power on its serving carrier [mW]."""
    across = min(max((user.x_m - site.west_m) / site.pixel_m, 0.0), site.columns - 1.001)
    along = min(max((user.y_m - site.south_m) / site.pixel_m, 0.0), site.rows - 1.001)
    column, row = int(across), int(along)
    fx, fy = across - column, along - row
    gain = plant.gain_db[plant.gain_of[e]]
    pixel = row * site.columns + column
    rows = (gain[pixel], gain[pixel + 1], gain[pixel + site.columns],
            gain[pixel + site.columns + 1])  # fmt: skip
    corners = ((1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy)
    carrier = site.carrier[user.serving] if user.serving >= 0 else 0
    return measure(rows, corners, plant.power_dbm[e], user.loss_db, weights[carrier], rsrp_dbm)


@compiled
def _set_up(
    plant: Plant, site: Site, e: int, u: int, user: Record,
    rsrp_dbm: Floats32, weights: Floats32,
) -> None:  # fmt: skip
    """Start a session: select a cell and set the RRC connection up, or be blocked."""
    plant.l3_dbm[e, u, :] = OFF_DBM
    plant.trigger[e, u, :] = -1.0
    user.since_ho_s, user.stay_s, user.stay_from = LONG_AGO_S, 0.0, -1
    user.ho_source = user.ho_target = user.lost_in = -1
    cell = strongest(rsrp_dbm, plant.bias_db[e], plant.closing[e], -1, site.timers.q_rx_lev_min_dbm)
    user.state, user.serving = BLOCKED, -1
    if cell < 0:
        return
    plant.cells[e, cell, n.SETUP_ATTEMPT] += 1
    sinr = sinr_in(rsrp_dbm, cell, weights[site.carrier[cell]])
    if sinr >= site.timers.q_out and plant.connected[e, cell] < site.timers.max_connected:
        plant.cells[e, cell, n.SETUP_SUCCESS] += 1
        attach(user, cell, sinr)


@compiled
def _look_for_cell(
    plant: Plant, site: Site, e: int, u: int, user: Record,
    rsrp_dbm: Floats32, weights: Floats32,
) -> None:  # fmt: skip
    """Let a user that lost its link wait, then re-establish in the strongest cell."""
    step_s = site.timers.step_s
    user.timer_s -= step_s
    user.since_ho_s += step_s
    plant.cells[e, user.lost_in, n.INTERRUPTED] += step_s
    plant.cells[e, user.lost_in, n.CONNECTED_TIME] += 1
    if user.timer_s > 0:
        return
    cell = strongest(rsrp_dbm, plant.bias_db[e], plant.closing[e], -1, site.timers.q_rx_lev_min_dbm)
    if cell >= 0:
        sinr = sinr_in(rsrp_dbm, cell, weights[site.carrier[cell]])
        if sinr >= site.timers.q_out:
            # The filters restart: the old serving cell's samples have gone stale.
            plant.l3_dbm[e, u, :] = OFF_DBM
            plant.trigger[e, u, :] = -1.0
            reestablish(
                user, cell, sinr, plant.cells[e], plant.relations[e], site.relation, site.timers
            )
            return
    user.timer_s += _RETRY_S


@compiled
def _serve(
    plant: Plant, site: Site, e: int, u: int, user: Record, step: int, total: Scalar,
    rsrp_dbm: Floats32, weights: Floats32,
) -> None:  # fmt: skip
    """Advance a connected user: measurements, link monitor, handover procedure."""
    timers, serving, cells = site.timers, user.serving, plant.cells[e]
    signal = mw_from_dbm(rsrp_dbm[serving])
    own = signal * weights[site.carrier[serving], serving]
    sinr = signal / (max(total - own, F32(0.0)) + _NOISE)
    user.sinr, user.rsrp_dbm = sinr, rsrp_dbm[serving]
    user.since_ho_s += timers.step_s
    user.stay_s += timers.step_s
    settings = (
        plant.l3_weight[e, serving], timers.sample_error_db, plant.a3_db[e, serving],
        plant.trigger_steps[e, serving],
    )  # fmt: skip
    offset = plant.offset_db[e, serving]
    expired = filter_and_trigger(
        rsrp_dbm, plant.l3_dbm[e, u], plant.trigger[e, u], offset, serving, settings,
        keyed(plant.seed[e], MEASUREMENT, u, step),
    )  # fmt: skip
    cells[serving, n.CONNECTED_TIME] += 1
    if user.state == EXECUTING:
        user.timer_s -= timers.step_s
        cells[serving, n.INTERRUPTED] += timers.step_s
        if user.timer_s <= 1e-4:
            target = user.target
            arriving = sinr_in(rsrp_dbm, target, weights[site.carrier[target]])
            complete(user, arriving, cells, plant.relations[e], site.relation, timers)
            plant.trigger[e, u, :] = -1.0
        return
    _count_radio(cells[serving], user)
    if (step + u) % _BORDER_STEPS == 0:
        _count_borders(plant, site, e, plant.l3_dbm[e, u], serving)
    if link_failed(user, sinr, timers):
        lose(user, cells, 0, timers)
    elif user.state == CONNECTED:
        target = -1
        if plant.closing[e, serving] != 0:
            target = strongest(
                plant.l3_dbm[e, u], plant.bias_db[e], plant.closing[e], serving,
                timers.q_rx_lev_min_dbm,
            )  # fmt: skip
        elif expired:
            target = triggered_target(plant.l3_dbm[e, u], plant.trigger[e, u], offset, settings[3])
        if target >= 0:
            prepare(user, target, cells, plant.relations[e], site.relation, timers)
    else:
        user.timer_s -= timers.step_s
        if user.timer_s <= 1e-4:
            admitted = (
                plant.power_dbm[e, user.target] > -200
                and plant.closing[e, user.target] == 0
                and plant.connected[e, user.target] < timers.max_connected
            )
            command(user, sinr, admitted, cells, timers)


@compiled
def _count_radio(cell: Floats, user: Record) -> None:
    """Count a connected user's radio conditions at its serving cell."""
    cell[n.MEASURED] += 1
    cell[n.RSRP_DBM] += user.rsrp_dbm
    cell[n.SINR_DB] += _LOG2_TO_DB * log2_f32(max(user.sinr, F32(1e-6)))
    if user.rsrp_dbm < _WEAK_DBM:
        cell[n.WEAK] += 1
    elif user.sinr < 1.0:
        cell[n.INTERFERED] += 1


@compiled
def _count_borders(plant: Plant, site: Site, e: int, l3_dbm: Floats32, serving: int) -> None:
    """Count the neighbours that a user measures within 3 dB of its serving cell."""
    limit = l3_dbm[serving] - _BORDER_DB
    for c in range(l3_dbm.size):
        if l3_dbm[c] > limit and c != serving:
            which = site.relation[serving, c]
            if which >= 0:
                plant.relations[e, which, n.RELATION_BORDER] += _BORDER_STEPS


@compiled
def _share(plant: Plant, site: Site, e: int, order: Ints, bounds: Ints, scratch: Floats32) -> None:
    """Divide the resource blocks of every cell among its users and count what they get."""
    users, width = plant.users[e], plant.load.shape[1]
    _group_by_cell(users, order, bounds)
    for c in range(width):
        if site.carrier[c] < 0:
            continue
        members = order[bounds[c] : bounds[c + 1]]
        awake = plant.power_dbm[e, c] > -200
        prbs = site.prbs[c] if awake else 0.0
        used = _share_cell(plant, site, e, c, members, scratch, prbs)
        load = used / prbs if awake else 0.0
        plant.load[e, c] = load
        plant.connected[e, c] = members.size
        cell = plant.cells[e, c]
        cell[n.STEPS] += 1
        cell[n.PRB_USED] += used
        cell[n.PRB_AVAILABLE] += prbs
        cell[n.CONNECTED_MOST] = max(cell[n.CONNECTED_MOST], members.size)
        watts = plant.watts[e, c, 0] + plant.watts[e, c, 1] * load
        if not awake:
            watts = plant.watts[e, c, 2]
        cell[n.ENERGY_J] += watts * site.timers.step_s


@compiled
def _group_by_cell(users: npt.NDArray[np.void], order: Ints, bounds: Ints) -> None:
    """Sort users by serving cell: members of c are order[bounds[c]:bounds[c + 1]]."""
    bounds[:] = 0
    for u in range(users.size):
        if users[u].serving >= 0 and users[u].state != LOST:
            bounds[users[u].serving + 1] += 1
    for c in range(bounds.size - 1):
        bounds[c + 1] += bounds[c]
    for u in range(users.size):
        cell = users[u].serving
        if cell >= 0 and users[u].state != LOST:
            order[bounds[cell]] = u
            bounds[cell] += 1
    for c in range(bounds.size - 1, 0, -1):
        bounds[c] = bounds[c - 1]
    bounds[0] = 0


@compiled
def _share_cell(
    plant: Plant, site: Site, e: int, c: int, members: Ints, scratch: Floats32, prbs: Scalar
) -> Scalar:
    """Serve guaranteed rates first, then best effort in equal shares; return PRBs used."""
    guaranteed, elastic = 0.0, 0
    gain = diversity_gain(plant.sharing[e, c], site.diversity_users)
    for index in range(members.size):
        user = plant.users[e, members[index]]
        if user.state == EXECUTING:
            continue
        sinr = user.sinr if user.gbr == 1 else user.sinr * gain
        per_prb = max(spectral_efficiency(sinr) * _MBIT_PER_PRB, 1e-4)
        user.need_prb = user.demand_mbps / per_prb
        if user.gbr == 1:
            guaranteed += user.need_prb
        else:
            scratch[0, elastic] = user.need_prb
            elastic += 1
    plant.sharing[e, c] = elastic
    granted = min(1.0, prbs / guaranteed) if guaranteed > 0 else 0.0
    used = guaranteed * granted
    used += fair_share(scratch[0, :elastic], scratch[1, :elastic], max(prbs - used, 0.0))
    index_elastic = 0
    cell, step_s = plant.cells[e, c], site.timers.step_s
    for index in range(members.size):
        user = plant.users[e, members[index]]
        cell[n.OFFERED_MBIT] += user.demand_mbps * step_s
        cell[n.ACTIVE] += 1
        share = granted
        if user.gbr == 0:
            cell[n.ELASTIC] += 1
            share = 0.0
            if user.state != EXECUTING:
                share = scratch[1, index_elastic] / user.need_prb
                index_elastic += 1
        elif user.state == EXECUTING:
            share = 0.0
        user.rate_mbps = user.demand_mbps * share
        cell[n.VOLUME_MBIT] += user.rate_mbps * step_s
        if user.gbr == 0:
            cell[n.ELASTIC_MBPS] += user.rate_mbps
            cell[n.THROUGHPUT_FIRST + throughput_bin(user.rate_mbps)] += 1
    return min(used, prbs)


@compiled
def throughput_bin(rate_mbps: Scalar) -> int:
    """Return the bin of ``counters.THROUGHPUT_EDGES_MBPS`` a rate [Mbit/s] falls into."""
    if rate_mbps < 0.05:
        return 0
    ratio = math.log(rate_mbps / 0.05) / math.log(100.0 / 0.05)
    return min(1 + int(ratio * (n.THROUGHPUT_BINS - 2)), n.THROUGHPUT_BINS - 1)
