"""Who gets how many resource blocks: guaranteed rates first, then fair shares."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cellhive.core.compiled import Scalar, compiled
from cellhive.core.types import Floats, Floats32, Ints
from cellhive.ran import counters as n
from cellhive.ran.link import (
    OVERHEAD_RATIO,
    PRB_HZ,
    diversity_gain,
    fair_share,
    log2_f32,
    spectral_efficiency,
)
from cellhive.ran.plant import ON_DBM, Net, Site
from cellhive.ran.users import EXECUTING, LOST, Record

F32 = np.float32
_MBIT_PER_PRB = PRB_HZ * (1.0 - OVERHEAD_RATIO) / 1e6
_FIRST_EDGE_MBPS = F32(n.THROUGHPUT_EDGES_MBPS[1])
_BINS_PER_OCTAVE = F32(
    (n.THROUGHPUT_BINS - 2) / np.log2(n.THROUGHPUT_EDGES_MBPS[-1] / n.THROUGHPUT_EDGES_MBPS[1])
)


@compiled
def share(net: Net, site: Site, order: Ints, bounds: Ints, scratch: Floats32) -> None:
    """Divide the resource blocks of every cell among its users and count what they get."""
    cells, power_dbm, watts, step_s = net.cells, net.power_dbm, net.watts, site.timers.step_s
    load, connected, sharing, users = net.load, net.connected, net.sharing, net.users
    carrier, cell_prbs = site.carrier, site.prbs
    _group_by_cell(users, order, bounds)
    for u in range(users.size):
        if users[u].state == LOST:
            count_traffic(users[u], cells, users[u].lost_in, step_s)
    for c in range(load.size):
        if carrier[c] < 0:
            continue
        members = order[bounds[c] : bounds[c + 1]]
        awake = power_dbm[c] > ON_DBM
        prbs = cell_prbs[c] if awake else 0.0
        gain = diversity_gain(sharing[c], site.diversity_users)
        used, elastic = _grant(users, members, prbs, gain, scratch)
        for index in range(members.size):
            count_traffic(users[members[index]], cells, c, step_s)
        load[c] = used / prbs if awake else 0.0
        connected[c], sharing[c] = members.size, elastic
        cells[c, n.STEPS] += 1
        cells[c, n.PRB_USED] += used
        cells[c, n.PRB_AVAILABLE] += prbs
        cells[c, n.CONNECTED_MOST] = max(cells[c, n.CONNECTED_MOST], members.size)
        drawn = watts[c, 0] + watts[c, 1] * load[c] if awake else watts[c, 2]
        cells[c, n.ENERGY_J] += drawn * step_s


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
def _grant(
    users: npt.NDArray[np.void], members: Ints, prbs: Scalar, gain: Scalar, scratch: Floats32
) -> tuple[Scalar, int]:
    """Serve guaranteed rates first, then best effort in equal shares.

    Writes the rate of every member; returns (PRBs used, best-effort users served).
    """
    guaranteed, elastic = 0.0, 0
    for index in range(members.size):
        user = users[members[index]]
        if user.state == EXECUTING:
            continue
        sinr = user.sinr if user.gbr == 1 else user.sinr * gain
        user.need_prb = user.demand_mbps / max(spectral_efficiency(sinr) * _MBIT_PER_PRB, 1e-4)
        if user.gbr == 1:
            guaranteed += user.need_prb
        else:
            scratch[0, elastic] = user.need_prb
            elastic += 1
    granted = min(1.0, prbs / guaranteed) if guaranteed > 0 else 0.0
    used = guaranteed * granted
    used += fair_share(scratch[0, :elastic], scratch[1, :elastic], max(prbs - used, 0.0))
    position = 0
    for index in range(members.size):
        user = users[members[index]]
        if user.state == EXECUTING:
            continue
        if user.gbr == 1:
            user.rate_mbps = user.demand_mbps * granted
        else:
            user.rate_mbps = user.demand_mbps * (scratch[1, position] / user.need_prb)
            position += 1
    return min(used, prbs), elastic


@compiled
def count_traffic(user: Record, cells: Floats, c: int, step_s: Scalar) -> None:
    """Count what a user asked for and got in one step, at its cell or the one it lost.

    A user without a link goes on asking: what it misses is demand that was not served.
    """
    cells[c, n.OFFERED_MBIT] += user.demand_mbps * step_s
    cells[c, n.VOLUME_MBIT] += user.rate_mbps * step_s
    cells[c, n.ACTIVE] += 1
    if user.gbr == 0:
        cells[c, n.ELASTIC] += 1
        cells[c, n.ELASTIC_MBPS] += user.rate_mbps
        cells[c, n.THROUGHPUT_FIRST + throughput_bin(user.rate_mbps)] += 1


@compiled
def throughput_bin(rate_mbps: Scalar) -> int:
    """Return the bin of ``counters.THROUGHPUT_EDGES_MBPS`` a rate [Mbit/s] falls into."""
    if rate_mbps < _FIRST_EDGE_MBPS:
        return 0
    position = log2_f32(F32(rate_mbps) / _FIRST_EDGE_MBPS) * _BINS_PER_OCTAVE
    return min(1 + int(position), n.THROUGHPUT_BINS - 1)
