"""One step of a network, fused: movement, radio, handover, sharing and counting.

The kernel advances ``E`` networks of ``U`` users and ``C`` cells (padded to ``Cp``) by a
number of steps in one call, on one thread. State is laid out user by user with the cells
contiguous, so the loop over cells is one pass over a few cache lines and vectorises.
"""

from __future__ import annotations

import numpy as np

from cellhive.core.compiled import Scalar, Word, compiled
from cellhive.core.types import Floats, Floats32, Ints
from cellhive.ran import counters as n
from cellhive.ran.handover import (
    LONG_AGO_S,
    attach,
    command,
    complete,
    hear,
    link_failed,
    lose,
    prepare,
    reestablish,
)
from cellhive.ran.link import (
    NOISE_RE_MW,
    db_from_ratio,
    exp2_f32,
    mw_from_dbm,
)
from cellhive.ran.plant import OFF_DBM, ON_DBM, Net, Plant, Site
from cellhive.ran.sharing import share
from cellhive.ran.streams import MEASUREMENT, U32, keyed, normal_from_word
from cellhive.ran.users import (
    BLOCKED,
    COMMANDED,
    CONNECTED,
    EXECUTING,
    IDLE,
    LOST,
    Record,
    advance_session,
    move,
)

F32 = np.float32

_NEVER_MEASURED = F32(-250.0)
_DB_TO_LOG2 = F32(np.log2(10.0) / 10.0)
_GOLDEN, _X16, _X15, _M1, _M2 = (
    U32(0x9E3779B9), U32(16), U32(15), U32(0x7FEB352D), U32(0x846CA68B),
)  # fmt: skip
_NOISE = F32(NOISE_RE_MW)
_BORDER_DB = F32(3.0)
_BORDER_STEPS = 25
_RETRY_S = 0.2
_WEAK_DBM = -110.0
_TIMER_END_S = 1e-4


@compiled
def _net(plant: Plant, e: int) -> Net:
    """Return the views of one network."""
    return Net(
        plant.seed[e], plant.gain_db[plant.gain_of[e]], plant.users[e], plant.l3_dbm[e],
        plant.trigger[e], plant.power_dbm[e], plant.offset_db[e], plant.bias_db[e],
        plant.a3_db[e], plant.trigger_steps[e], plant.l3_weight[e], plant.closing[e],
        plant.watts[e], plant.activity[e], plant.load[e], plant.sharing[e],
        plant.connected[e], plant.cells[e], plant.relations[e],
    )  # fmt: skip


@compiled
def measure(
    gain_db: Floats32, corner: tuple[int, int], weights: tuple[Scalar, Scalar],
    power_dbm: Floats32, loss_db: Scalar, interference: Floats32, carrier: int,
    rsrp_dbm: Floats32,
) -> Scalar:  # fmt: skip
    """Fill the RSRP of every cell [dBm], (Cp,), and return the interfering power [mW].

    Args:
        gain_db: Gain maps, (P, Cp).
        corner: Pixel south-west of the user, and pixels per row.
        weights: How far the user is from it, east and north, in pixels, 0 to 1.
        power_dbm: Power per resource element [dBm], (Cp,).
        loss_db: Wall or car loss of the user [dB].
        interference: Share of its power with which a cell interferes, (carriers, Cp).
        carrier: Carrier whose interference is summed.
        rsrp_dbm: RSRP [dBm], (Cp,), written.
    """
    south, north = corner[0], corner[0] + corner[1]
    east, up = F32(weights[0]), F32(weights[1])
    one, loss = F32(1.0), F32(loss_db)
    w_0, w_1 = (one - east) * (one - up), east * (one - up)
    w_2, w_3 = (one - east) * up, east * up
    total = F32(0.0)
    for c in range(rsrp_dbm.size):
        level = (
            w_0 * gain_db[south, c] + w_1 * gain_db[south + 1, c]
            + w_2 * gain_db[north, c] + w_3 * gain_db[north + 1, c]
            + power_dbm[c] - loss
        )  # fmt: skip
        rsrp_dbm[c] = level
        total += exp2_f32(level * _DB_TO_LOG2) * interference[carrier, c]
    return total


@compiled
def _scrambled(base: Word, cell: Word) -> Word:
    """Return the random word of a cell, keyed by a word of the user and step."""
    word = U32(base + U32(U32(cell) * _GOLDEN))
    word = U32(U32(word ^ U32(word >> _X16)) * _M1)
    word = U32(U32(word ^ U32(word >> _X15)) * _M2)
    return U32(word ^ U32(word >> _X16))


@compiled
def filter_and_trigger(
    rsrp_dbm: Floats32, l3_dbm: Floats32, trigger: Floats32, offset_db: Floats32,
    which: tuple[int, int], settings: tuple[Scalar, Scalar, Scalar, Scalar], key: Word,
) -> bool:  # fmt: skip
    """Update layer-3 filters and A3 timers of one user; return whether any has expired.

    TS 38.331 §5.5.3.2: F = (1 - a) F + a M with M the sample plus its measurement error;
    §5.5.4.4: entered while Mn + Ocn - Hys > Mp + Off.

    Args:
        rsrp_dbm: RSRP without error [dBm], (Cp,).
        l3_dbm: Filter states of all users [dBm], (U, Cp), one row written.
        trigger: Steps since event A3 was entered or -1, (U, Cp), one row written.
        offset_db: Offset of every pair, serving to target [dB], (Cp, Cp).
        which: User and its serving cell.
        settings: Filter weight, error sigma [dB], Off + Hys [dB], time to trigger [steps].
        key: Word that keys the measurement errors of this user and step.
    """
    u, serving = which
    weight, sigma, base = F32(settings[0]), F32(settings[1]), U32(key)
    own = l3_dbm[u, serving]
    sample = rsrp_dbm[serving] + sigma * normal_from_word(_scrambled(base, U32(serving)))
    own = sample if own < _NEVER_MEASURED else own + weight * (sample - own)
    threshold = F32(own + F32(settings[2]))
    steps = F32(settings[3])
    expired = F32(0.0)  # a float, because integers of 64 bits would halve the width of the loop
    for c in range(rsrp_dbm.size):
        sample = rsrp_dbm[c] + sigma * normal_from_word(_scrambled(base, U32(c)))
        level = l3_dbm[u, c]
        level = sample if level < _NEVER_MEASURED else level + weight * (sample - level)
        l3_dbm[u, c] = level
        entered = level + offset_db[serving, c] > threshold
        since = trigger[u, c] + F32(1.0) if entered else F32(-1.0)
        trigger[u, c] = since
        expired += F32(1.0) if since >= steps else F32(0.0)
    return bool(expired > 0)


@compiled
def triggered_target(
    l3_dbm: Floats32, trigger: Floats32, offset_db: Floats32, steps: Scalar
) -> int:
    """Return the best of the cells whose time to trigger has expired, or -1; all are (Cp,)."""
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
def interference_weights(
    power_dbm: Floats32, load: Floats32, carrier: Ints, idle_load: Scalar, weights: Floats32
) -> None:
    """Fill how much each cell interferes on each carrier, (carriers, Cp).

    A cell interferes in proportion to its load in the last step, and at least with its
    synchronisation and broadcast signals, as with a load of ``idle_load``.
    """
    least = F32(idle_load)
    for f in range(weights.shape[0]):
        for c in range(weights.shape[1]):
            on = carrier[c] == f and power_dbm[c] > ON_DBM
            weights[f, c] = max(load[c], least) if on else F32(0.0)


_APART = 256
"""Numbers between an array that is written in a loop which also adds up, and all others.

Compiled code takes arrays that begin within some vectors of each other for overlapping, and adds
up one by one then, in another order: a run would not repeat itself where memory is laid out
otherwise, as in another thread. Twice eight AVX-512 vectors keep them apart.
"""


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
    rsrp_dbm = np.empty(width + 2 * _APART, np.float32)[_APART : _APART + width]
    weights = np.empty((site.carriers, width), np.float32)
    order = np.empty(users, np.int32)
    scratch = np.empty((2, users), np.float32)
    bounds = np.empty(width + 1, np.int32)
    for e in range(plant.users.shape[0]):
        net = _net(plant, e)
        for step in range(first_step, first_step + steps):
            interference_weights(net.power_dbm, net.load, site.carrier, site.idle_load, weights)
            _advance_users(net, site, step, rsrp_dbm, weights)
            share(net, site, order, bounds, scratch)


@compiled
def _advance_users(net: Net, site: Site, step: int, rsrp_dbm: Floats32, weights: Floats32) -> None:
    """Advance every user by one step: movement, session, radio and procedures.

    The loop calls with few arguments where every user passes and with whole networks
    only where something rare happens: an argument that is a tuple of arrays costs a
    hundred stores.
    """
    # Locals, because taking an array out of a tuple costs a reference count.
    users, gain_db, l3_dbm, trigger = net.users, net.gain_db, net.l3_dbm, net.trigger
    power_dbm, offset_db, activity, cells = net.power_dbm, net.offset_db, net.activity, net.cells
    l3_weight, a3_db, trigger_steps = net.l3_weight, net.a3_db, net.trigger_steps
    closing, carrier, ground, traffic = net.closing, site.carrier, site.ground, site.traffic
    timers, seed = site.timers, net.seed
    for u in range(users.size):
        user = users[u]
        move(user, ground, seed, u, timers.step_s)
        event = advance_session(user, traffic, activity[user.group], seed, u, timers.step_s)
        user.need_prb = user.rate_mbps = 0.0
        if event < 0:
            user.state, user.serving = IDLE, -1
        if user.session_left_s <= 0 or (user.state == BLOCKED and event == 0):
            continue
        corner, part = _pixel(user, site.west_m, site.south_m, site.pixel_m, site.rows,
                              site.columns)  # fmt: skip
        serving = user.serving
        own = carrier[serving] if serving >= 0 else 0
        total = measure(gain_db, corner, part, power_dbm, user.loss_db, weights, own, rsrp_dbm)
        if event > 0:
            _set_up(net, site, u, rsrp_dbm, weights)
            continue
        if user.state == LOST:
            look_for_cell(net, site, u, rsrp_dbm, weights)
            continue
        signal = mw_from_dbm(rsrp_dbm[serving])
        rest = total - signal * weights[own, serving]
        user.sinr, user.rsrp_dbm = signal / (max(rest, F32(0.0)) + _NOISE), rsrp_dbm[serving]
        settings = (l3_weight[serving], timers.sample_error_db, a3_db[serving],
                    trigger_steps[serving])  # fmt: skip
        expired = filter_and_trigger(
            rsrp_dbm, l3_dbm, trigger, offset_db, (u, serving), settings,
            keyed(seed, MEASUREMENT, u, step),
        )  # fmt: skip
        count_time(cells, user, timers.step_s)
        if user.state == EXECUTING:
            execute(net, site, u, rsrp_dbm, weights)
            continue
        _count_radio(cells, user)
        if (step + u) % _BORDER_STEPS == 0:
            _count_borders(l3_dbm, u, serving, site.relation, net.relations)
        if link_failed(user, user.sinr, timers):
            lose(user, cells, 0, timers)
        elif user.state != CONNECTED or expired or closing[serving] != 0:
            hand_over(net, site, u, expired)


@compiled
def _pixel(
    user: Record, west_m: Scalar, south_m: Scalar, pixel_m: Scalar, rows: int, columns: int
) -> tuple[tuple[int, int], tuple[Scalar, Scalar]]:
    """Return ((pixel south-west of the user, pixels per row), (part east, part north))."""
    across = min(max((user.x_m - west_m) / pixel_m, 0.0), columns - 1.001)
    along = min(max((user.y_m - south_m) / pixel_m, 0.0), rows - 1.001)
    column, row = int(across), int(along)
    return (row * columns + column, columns), (across - column, along - row)


@compiled
def _set_up(net: Net, site: Site, u: int, rsrp_dbm: Floats32, weights: Floats32) -> None:
    """Start a session: select a cell and set the RRC connection up, or be blocked."""
    user = net.users[u]
    net.l3_dbm[u, :] = OFF_DBM
    net.trigger[u, :] = -1.0
    user.since_ho_s, user.stay_s, user.stay_from = LONG_AGO_S, 0.0, -1
    user.ho_source = user.ho_target = user.lost_in = -1
    user.state, user.serving = BLOCKED, -1
    cell = strongest(rsrp_dbm, net.bias_db, net.closing, -1, site.timers.q_rx_lev_min_dbm)
    if cell < 0:
        return
    net.cells[cell, n.SETUP_ATTEMPT] += 1
    sinr = sinr_in(rsrp_dbm, cell, weights[site.carrier[cell]])
    if sinr >= site.timers.q_out and net.connected[cell] < site.timers.max_connected:
        net.cells[cell, n.SETUP_SUCCESS] += 1
        attach(user, cell, sinr)


@compiled
def look_for_cell(net: Net, site: Site, u: int, rsrp_dbm: Floats32, weights: Floats32) -> None:
    """Let a user that lost its link wait, then re-establish in the strongest cell."""
    user, timers = net.users[u], site.timers
    user.timer_s -= timers.step_s
    user.since_ho_s += timers.step_s
    net.cells[user.lost_in, n.INTERRUPTED] += timers.step_s
    net.cells[user.lost_in, n.CONNECTED_TIME] += 1
    if user.timer_s > 0:
        return
    cell = strongest(rsrp_dbm, net.bias_db, net.closing, -1, timers.q_rx_lev_min_dbm)
    if cell >= 0:
        sinr = sinr_in(rsrp_dbm, cell, weights[site.carrier[cell]])
        if sinr >= timers.q_out:
            # The filters restart: the samples of the time before have gone stale.
            net.l3_dbm[u, :] = OFF_DBM
            net.trigger[u, :] = -1.0
            reestablish(user, cell, sinr, net.cells, net.relations, site.relation, timers)
            return
    user.timer_s += _RETRY_S


@compiled
def execute(net: Net, site: Site, u: int, rsrp_dbm: Floats32, weights: Floats32) -> None:
    """Advance a handover execution by one step, and end it when its time is up."""
    user, timers = net.users[u], site.timers
    user.timer_s -= timers.step_s
    net.cells[user.serving, n.INTERRUPTED] += timers.step_s
    if user.timer_s <= _TIMER_END_S:
        arriving = sinr_in(rsrp_dbm, user.target, weights[site.carrier[user.target]])
        complete(user, arriving, net.cells, net.relations, site.relation, timers)
        net.trigger[u, :] = -1.0


@compiled
def hand_over(net: Net, site: Site, u: int, expired: bool) -> None:
    """Start a handover, or advance the preparation of one."""
    user, timers = net.users[u], site.timers
    serving = user.serving
    if user.state == CONNECTED:
        target = -1
        if net.closing[serving] != 0:
            target = strongest(
                net.l3_dbm[u], net.bias_db, net.closing, serving, timers.q_rx_lev_min_dbm
            )
        elif expired:
            target = triggered_target(
                net.l3_dbm[u], net.trigger[u], net.offset_db[serving], net.trigger_steps[serving]
            )
        if target >= 0:
            prepare(user, target, net.cells, net.relations, site.relation, timers)
        return
    if user.state == COMMANDED:
        hear(user, user.sinr, timers)
        return
    user.timer_s -= timers.step_s
    if user.timer_s <= _TIMER_END_S:
        admitted = (
            net.power_dbm[user.target] > ON_DBM
            and net.closing[user.target] == 0
            and net.connected[user.target] < timers.max_connected
        )
        command(user, user.sinr, admitted, net.cells, timers)


@compiled
def count_time(cells: Floats, user: Record, step_s: Scalar) -> None:
    """Let one step of connected time pass."""
    user.since_ho_s += step_s
    user.stay_s += step_s
    cells[user.serving, n.CONNECTED_TIME] += 1


@compiled
def _count_radio(cells: Floats, user: Record) -> None:
    """Count a connected user's radio conditions at its serving cell."""
    serving = user.serving
    cells[serving, n.MEASURED] += 1
    cells[serving, n.RSRP_DBM] += user.rsrp_dbm
    cells[serving, n.SINR_DB] += db_from_ratio(user.sinr)
    if user.rsrp_dbm < _WEAK_DBM:
        cells[serving, n.WEAK] += 1
    elif user.sinr < 1.0:
        cells[serving, n.INTERFERED] += 1


@compiled
def _count_borders(
    l3_dbm: Floats32, u: int, serving: int, relation: Ints, relations: Floats
) -> None:
    """Count the neighbours that a user measures within 3 dB of its serving cell."""
    limit = l3_dbm[u, serving] - _BORDER_DB
    for c in range(l3_dbm.shape[1]):
        if l3_dbm[u, c] > limit and c != serving:
            which = relation[serving, c]
            if which >= 0:
                relations[which, n.RELATION_BORDER] += _BORDER_STEPS
