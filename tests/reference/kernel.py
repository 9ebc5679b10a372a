"""Slow and obvious twin of one network's step: users one by one, float64, no shortcuts.

The state is taken from the kernel before a step, advanced here, and compared with what
the kernel made of it, so rounding cannot add up. Decisions nearer to their threshold
than float32 resolves are reported as open, and not compared.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def _sibling(name: str) -> ModuleType:
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"reference_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


streams, link, users, handover = map(_sibling, ("streams", "link", "users", "handover"))

DB = 3e-4  # what float32 resolves of a level near -100 dBm, with room
PILOT_LOAD = 0.05
EDGES_MBPS = [0.0, *(0.05 * 2000 ** (k / 22) for k in range(23))]


def bilinear(grid: Any, gain_db: Floats, x_m: float, y_m: float) -> Floats:
    """Return the gain of every cell between four pixel centres, (C,); on the edge beyond.

    The edge in the north and east is a thousandth of a pixel inside the map, so that there
    is always a pixel beyond.
    """
    across = min(max((x_m - grid.x0_m) / grid.pixel_m, 0), grid.columns - 1.001)
    along = min(max((y_m - grid.y0_m) / grid.pixel_m, 0), grid.rows - 1.001)
    column, row = min(int(across), grid.columns - 2), min(int(along), grid.rows - 2)
    value = np.zeros(gain_db.shape[1])
    for step_east in (0, 1):
        for step_north in (0, 1):
            weight = 1 - abs(across - column - step_east)
            weight *= 1 - abs(along - row - step_north)
            value += weight * gain_db[(row + step_north) * grid.columns + column + step_east]
    return value


def interference_weights(transmits: Any, load: Floats, carrier: Any, wanted: int) -> Floats:
    """Return the share of its power with which each cell disturbs a carrier, (C,)."""
    share = np.maximum(load, PILOT_LOAD)
    return np.where(transmits & (carrier == wanted), share, 0.0)


def filtered(level_dbm: Floats, sample_dbm: Floats, weight: float) -> Floats:
    """Return F = (1 - a) F + a M, and M itself where nothing was measured before."""
    return np.where(level_dbm < -250, sample_dbm, (1 - weight) * level_dbm + weight * sample_dbm)


class SlowNetwork:
    """One network, with everything worked out again from world and parameters."""

    def __init__(self, world: Any, parameters: Any, *, seed: int, step_s: float) -> None:
        """Take the settings."""
        self.world, self.parameters, self.step_s = world, parameters, step_s
        network = world.network
        self.cells = network.cells
        self.streams = users.Streams(streams, seed, step_s)
        self.carrier = network.carrier_index
        self.prbs = np.array([{5e6: 25, 10e6: 52, 20e6: 106}[hz] for hz in network.bandwidth_hz])
        power = parameters.tx_power_dbm - 10 * np.log10(12 * self.prbs)
        self.awake = ~parameters.asleep
        self.power_dbm = np.where(self.awake, power, -300.0)
        self.a3_db = parameters.a3_offset_db + parameters.hysteresis_db
        # The smallest whole number of steps that is not shorter than the time to trigger.
        self.trigger_steps = np.ceil(np.round(parameters.time_to_trigger_s / step_s, 6))
        # TS 38.331 defines a = 1/2^(k/4) for samples 200 ms apart: keep the time constant.
        per_200_ms = 0.5 ** (parameters.filter_coefficient / 4)
        self.l3_weight = 1 - (1 - per_200_ms) ** (step_s / 0.2)
        self.sigma_db = world.procedures.measurement_error_db * np.sqrt(0.2 / step_s)
        self.offset_db = np.full((self.cells, self.cells), -1000.0)
        self.bias_db = np.asarray(world.carrier_offset_db)
        for (i, j), r in network.relation_index.items():
            offset = parameters.cio_db[r] + self.bias_db[j] - self.bias_db[i]
            self.offset_db[i, j] = offset

    def load_state(self, plant: Any, activity: Any) -> None:
        """Copy the state of network 0 of the kernel."""
        names = plant.users.dtype.names
        self.users = [
            SimpleNamespace(**{name: record[name].item() for name in names})
            for record in plant.users[0]
        ]
        c = self.cells
        self.gain_db = plant.gain_db[plant.gain_of[0], :, :c]
        self.l3_dbm = plant.l3_dbm[0, :, :c].astype(float)
        self.trigger = plant.trigger[0, :, :c].astype(int)
        self.load = plant.load[0, :c].astype(float)
        self.sharing = plant.sharing[0, :c].astype(int)
        self.connected = plant.connected[0, :c].astype(int)
        self.closing = plant.closing[0, :c] != 0
        self.activity = activity

    def step(self, number: int) -> None:
        """Advance by one step; counts are those of this step alone."""
        self.mobility = handover.Mobility(self.world.procedures, self.step_s)
        self.sums: Counter[tuple[int, str]] = Counter()
        self.borders: Counter[tuple[int, int]] = Counter()
        self.ties = [users.Ties() for _ in self.users]
        self.weights = [
            interference_weights(self.awake, self.load, self.carrier, f)
            for f in range(int(self.carrier.max()) + 1)
        ]
        for u, user in enumerate(self.users):
            self._advance(u, user, number)
        for c in range(self.cells):
            self._share(c)

    def open_users(self) -> list[int]:
        """Return the users with a decision too near to call in the last step."""
        return [u for u, ties in enumerate(self.ties) if ties.nearest < 1]

    def _advance(self, u: int, user: SimpleNamespace, number: int) -> None:
        ties = self.ties[u]
        users.move(user, self.world.ground, u, self.streams, ties)
        rate = float(self.activity[user.group])
        event = users.advance_session(user, self.world.traffic, rate, u, self.streams, ties)
        user.need_prb = user.rate_mbps = 0.0
        if event == "ends":
            user.state, user.serving = handover.IDLE, -1
        if event in ("ends", "pauses") or (event == "runs" and user.state == handover.BLOCKED):
            return
        rsrp = bilinear(self.world.radio_map, self.gain_db, user.x_m, user.y_m)
        rsrp = rsrp + self.power_dbm - user.loss_db
        if event == "starts":
            self._set_up(u, user, rsrp)
        elif user.state == handover.LOST:
            self._search(u, user, rsrp)
        else:
            self._connected(u, user, rsrp, number)

    def _strongest(self, u: int, level_dbm: Floats, besides: int = -1) -> int:
        """Return the best cell by level and bias among those that may be chosen, or -1."""
        weakest = self.world.procedures.q_rx_lev_min_dbm
        choice = [
            (level_dbm[c] + self.bias_db[c], c)
            for c in range(self.cells)
            if not self.closing[c]
            and c != besides
            and self.ties[u].above(level_dbm[c], weakest, DB)
        ]
        choice.sort(reverse=True)
        if len(choice) > 1:
            self.ties[u].above(choice[0][0], choice[1][0], DB)
        return choice[0][1] if choice else -1

    def _sinr(self, rsrp: Floats, cell: int) -> float:
        return link.sinr(rsrp, cell, self.weights[self.carrier[cell]])

    def _set_up(self, u: int, user: SimpleNamespace, rsrp: Floats) -> None:
        self._forget(u)
        user.since_ho_s, user.stay_s, user.stay_from = handover.LONG_AGO_S, 0.0, -1
        user.ho_source = user.ho_target = user.lost_in = -1
        user.state, user.serving = handover.BLOCKED, -1
        cell = self._strongest(u, rsrp)
        if cell < 0:
            return
        self.mobility.cell[cell, "set-up"] += 1
        sinr, q_out = self._sinr(rsrp, cell), self.mobility.q_out
        heard = not self.ties[u].above(q_out, sinr, handover.RATIO * q_out)
        if heard and self.connected[cell] < self.world.procedures.max_connected:
            self.mobility.cell[cell, "set-up success"] += 1
            self.mobility.attach(user, cell, sinr)

    def _forget(self, u: int) -> None:
        self.l3_dbm[u], self.trigger[u] = -300.0, -1

    def _search(self, u: int, user: SimpleNamespace, rsrp: Floats) -> None:
        user.timer_s -= self.step_s
        user.since_ho_s += self.step_s
        self.sums[user.lost_in, "interrupted"] += self.step_s
        self.sums[user.lost_in, "connected"] += 1
        if user.timer_s > 1e-6:
            return
        cell = self._strongest(u, rsrp)
        if cell >= 0:
            sinr, q_out = self._sinr(rsrp, cell), self.mobility.q_out
            if not self.ties[u].above(q_out, sinr, handover.RATIO * q_out):
                self._forget(u)
                self.mobility.reestablish(user, cell, sinr, self.ties[u])
                return
        user.timer_s += 0.2  # tries again five times a second

    def _connected(self, u: int, user: SimpleNamespace, rsrp: Floats, number: int) -> None:
        ties, serving = self.ties[u], user.serving
        user.sinr, user.rsrp_dbm = self._sinr(rsrp, serving), rsrp[serving]
        expired = self._filter(u, serving, rsrp, number)
        user.since_ho_s += self.step_s
        user.stay_s += self.step_s
        self.sums[serving, "connected"] += 1
        if user.state == handover.EXECUTING:
            self._execute(u, user, rsrp)
            return
        self._count_radio(u, user)
        if (number + u) % 25 == 0:
            self._count_borders(u, serving)
        if self.mobility.link_failed(user, user.sinr, ties):
            self.mobility.lose(user, in_handover=False)
        elif user.state == handover.PREPARING:
            user.timer_s -= self.step_s
            if user.timer_s < self.step_s / 100:
                self.mobility.command(user, user.sinr, admitted=self._admits(user), ties=ties)
        elif user.state == handover.COMMANDED:
            self.mobility.hear(user, user.sinr, ties)
        else:
            self._decide(u, user, expired)

    def _execute(self, u: int, user: SimpleNamespace, rsrp: Floats) -> None:
        user.timer_s -= self.step_s
        self.sums[user.serving, "interrupted"] += self.step_s
        if user.timer_s < self.step_s / 100:
            self.mobility.complete(user, self._sinr(rsrp, user.target), self.ties[u])
            self.trigger[u] = -1

    def _decide(self, u: int, user: SimpleNamespace, expired: list[tuple[float, int]]) -> None:
        """Hand over to the best of the reported cells, or to the next best before sleep."""
        if self.closing[user.serving]:
            target = self._strongest(u, self.l3_dbm[u], user.serving)
            if target >= 0:
                self.mobility.prepare(user, target)
        elif expired:
            expired.sort(reverse=True)
            if len(expired) > 1:
                self.ties[u].above(expired[0][0], expired[1][0], DB)
            self.mobility.prepare(user, expired[0][1])

    def _count_borders(self, u: int, serving: int) -> None:
        """Sample, once in 25 steps, the neighbours within 3 dB."""
        for c in range(self.cells):
            near = self.ties[u].above(self.l3_dbm[u, c], self.l3_dbm[u, serving] - 3, DB)
            if near and c != serving:
                self.borders[serving, c] += 25

    def _admits(self, user: SimpleNamespace) -> bool:
        """Return whether the target is on the air, stays there and has room."""
        target = user.target
        room = self.connected[target] < self.world.procedures.max_connected
        return bool(self.awake[target] and not self.closing[target] and room)

    def _filter(self, u: int, serving: int, rsrp: Floats, number: int) -> list[tuple[float, int]]:
        """Measure and filter; return the cells whose event A3 has lasted long enough."""
        error = [
            streams.measurement_error(self.streams.seed, u, number, c) for c in range(self.cells)
        ]
        sample = rsrp + self.sigma_db * np.array(error)
        self.l3_dbm[u] = filtered(self.l3_dbm[u], sample, self.l3_weight[serving])
        limit = self.l3_dbm[u, serving] + self.a3_db[serving]
        expired = []
        for c in range(self.cells):
            level = self.l3_dbm[u, c] + self.offset_db[serving, c]
            entered = self.ties[u].above(level, limit, DB)
            self.trigger[u, c] = self.trigger[u, c] + 1 if entered else -1
            if self.trigger[u, c] >= self.trigger_steps[serving]:
                expired.append((level, c))
        return expired

    def _count_radio(self, u: int, user: SimpleNamespace) -> None:
        ties, cell = self.ties[u], user.serving
        self.sums[cell, "measured"] += 1
        self.sums[cell, "rsrp"] += user.rsrp_dbm
        self.sums[cell, "sinr"] += 10 * np.log10(max(user.sinr, 1e-6))
        if ties.above(-110.0, user.rsrp_dbm, DB):
            self.sums[cell, "weak"] += 1
        elif ties.above(1.0, user.sinr, handover.RATIO):
            self.sums[cell, "interfered"] += 1

    def _share(self, c: int) -> None:
        """Guaranteed rates first, then the rest in equal shares capped by need."""
        members = [user for user in self.users if user.serving == c and user.state != handover.LOST]
        prbs = float(self.prbs[c]) if self.awake[c] else 0.0
        gain = link.harmonic(min(int(self.sharing[c]), int(self.world.diversity_users)))
        receiving = [user for user in members if user.state != handover.EXECUTING]
        guaranteed = [user for user in receiving if user.gbr]
        elastic = [user for user in receiving if not user.gbr]
        for user in receiving:
            sinr = user.sinr if user.gbr else user.sinr * gain
            rate_per_prb = link.spectral_efficiency(sinr) * link.MBIT_PER_PRB
            user.need_prb = user.demand_mbps / max(rate_per_prb, 1e-4)
        wanted = sum(user.need_prb for user in guaranteed)
        for user in guaranteed:
            user.rate_mbps = user.demand_mbps * min(1.0, prbs / wanted)
        left = max(prbs - wanted, 0.0)
        granted = link.water_filling(np.array([user.need_prb for user in elastic]), left)
        for user, share in zip(elastic, granted, strict=True):
            user.rate_mbps = user.demand_mbps * share / user.need_prb
        used = min(wanted, prbs) + float(granted.sum())
        self.load[c] = used / prbs if prbs else 0.0
        self.connected[c], self.sharing[c] = len(members), len(elastic)
        waiting = [u for u in self.users if u.state == handover.LOST and u.lost_in == c]
        self._count_share(c, members + waiting, used, prbs)

    def _count_share(
        self, c: int, members: list[SimpleNamespace], used: float, prbs: float
    ) -> None:
        sums = self.sums
        sums[c, "used"], sums[c, "available"], sums[c, "steps"] = used, prbs, 1
        for user in members:
            sums[c, "offered"] += user.demand_mbps * self.step_s
            sums[c, "volume"] += user.rate_mbps * self.step_s
            sums[c, "active"] += 1
            if not user.gbr:
                sums[c, "elastic"] += 1
                sums[c, "elastic rate"] += user.rate_mbps
                edge = max(k for k, low in enumerate(EDGES_MBPS) if user.rate_mbps >= low)
                sums[c, f"bin {edge}"] += 1
        self.sums[c, "energy"] = self.power_w(c) * self.step_s

    def power_w(self, c: int) -> float:
        """Return the draw of a cell: EARTH, two macro or micro transceivers a cell."""
        small = self.world.network.environment[c] == "UMi"
        idle, slope, asleep = (56.0, 2.6, 39.0) if small else (130.0, 4.7, 75.0)
        if not self.awake[c]:
            return 2 * asleep
        radiated_w = 10 ** (self.parameters.tx_power_dbm[c] / 10) / 1000
        return float(2 * idle + slope * radiated_w * self.load[c])
