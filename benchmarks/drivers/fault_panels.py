"""KPI panels of a made-up network with faults of known truth, for the detection of incidents.

Cells of several sites and sizes, with daily and weekly patterns that differ by the kind of
place, a holiday now and then, noise shared by the network and by sites, heavy tails, counters
with many zeros, ratios near 100 %, and missing values. Faults change what is behind the
counters, and the same random numbers are drawn with and without them: the difference is the
truth. Nothing of the detection is used here. Axis letters: ``N`` cells, ``T`` periods.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter
from scipy.stats import poisson

Floats = npt.NDArray[np.float64]
DAY_S = 86400.0
START_S = 1740960000.0  # Monday, 3 March 2025, 00:00 UTC
SECTORS = 3
SATURDAY = 5
HOLIDAY = 0.5
"""Probability that the network has holidays at all."""
MISSING = 0.004
"""Share of the values that are missing by chance."""
BETTER = {
    "DL traffic volume (GB)": "higher", "DL user throughput (Mbit/s)": "higher",
    "RRC setup success (%)": "higher", "Drop rate (%)": "lower", "Dropped calls": "lower",
    "Handover success (%)": "higher", "CQI": "higher", "UL interference (dBm)": "lower",
    "Availability (%)": "higher",
}  # fmt: skip
USERS = "RRC connected users"
UNITS = {"DL traffic volume (GB)": "GB", "DL user throughput (Mbit/s)": "Mbit/s",
         "RRC setup success (%)": "%", "Drop rate (%)": "%", "Handover success (%)": "%",
         "DL PRB utilisation (%)": "%", "UL interference (dBm)": "dBm",
         "Availability (%)": "%"}  # fmt: skip
SIZES = ("small", "medium", "large")

KINDS: dict[str, tuple[str, ...]] = {
    "cell outage": ("outage", "no data"),
    "site stops reporting": ("no data", "outage"),
    "sleeping cell": ("level shift", "outage"),
    "accessibility loss": ("level shift",),
    "interference": ("level shift",),
    "slow degradation": ("drift", "level shift"),
    "overload by an event": ("level shift", "spike"),
    "handover failures": ("level shift",),
    "variance burst": ("variance change",),
    "shifted daily cycle": ("seasonality break",),
    "cycle vanishes": ("seasonality break",),
    "backhaul limit": ("level shift", "seasonality break"),
    "antenna fault": ("level shift",),
    "counter jump": ("spike",),
}
"""Kinds of fault, and the words that name them rightly."""
DAILY_KINDS = ("cell outage", "site stops reporting", "sleeping cell", "accessibility loss",
               "interference", "slow degradation", "handover failures", "variance burst",
               "backhaul limit", "antenna fault", "counter jump")  # fmt: skip
"""Kinds that can be seen in values of whole days."""


@dataclass(frozen=True)
class Grid:
    """A network's size and time grid."""

    step_s: float = 3600.0
    days: int = 28
    sites: int = 12

    @property
    def per_day(self) -> int:
        """Periods of a day."""
        return round(DAY_S / self.step_s)

    @property
    def periods(self) -> int:
        """Periods of the grid."""
        return self.per_day * self.days

    @property
    def cells(self) -> int:
        """Cells of the network."""
        return self.sites * SECTORS


@dataclass(frozen=True)
class Fault:
    """One fault and what it did."""

    kind: str
    size: str
    cells: tuple[int, ...]
    """Cells that it hit, those that took over their users included."""
    first: int
    last: int
    """One past its last period."""
    change: dict[tuple[int, str], float] = field(default_factory=dict)
    """Mean change by cell and KPI over its periods, in the unit of the KPI."""
    usual: dict[tuple[int, str], float] = field(default_factory=dict)
    """What the mean would have been without it."""


@dataclass(frozen=True)
class Case:
    """A network's panels, and what is wrong in them."""

    values: dict[str, Floats]
    """KPI by name, (N, T); NaN where missing."""
    names: tuple[str, ...]
    faults: tuple[Fault, ...]
    grid: Grid
    start_s: float


def _ar(rng: np.random.Generator, rows: int, grid: Grid, hours: float) -> Floats:
    """Return unit noise that forgets itself over some hours, (rows, T)."""
    memory = float(np.exp(-grid.step_s / 3600.0 / hours))
    noise = rng.standard_normal((rows, grid.periods + 400))
    made = lfilter([np.sqrt(1 - memory**2)], [1.0, -memory], noise, axis=1)
    return np.asarray(made, dtype=np.float64)[:, 400:]


def _heavy(rng: np.random.Generator, rows: int, grid: Grid) -> Floats:
    """Return independent unit noise with the tails of Student's t with six degrees."""
    return np.asarray(rng.standard_t(6, (rows, grid.periods)) / np.sqrt(1.5))


class World:
    """What a network is like without faults; every random number is drawn here, once."""

    def __init__(self, grid: Grid, seed: int) -> None:
        """Draw a network."""
        rng = np.random.default_rng([seed, 1])
        self.grid, n, t = grid, grid.cells, grid.periods
        self.names = tuple(f"S{s:03d}-{c}" for s in range(grid.sites) for c in (1, 2, 3))
        site = np.repeat(np.arange(grid.sites), SECTORS)
        self.start_s = START_S + DAY_S * int(rng.integers(7))
        size = np.exp(0.5 * rng.standard_normal(grid.sites)[site] + 0.5 * rng.standard_normal(n))
        self.users = 25.0 * size
        self.business = np.clip(rng.beta(0.8, 0.8, grid.sites)[site] + 0.1 * rng.random(n), 0, 1)
        day = np.arange(t) // grid.per_day
        self.weekday = ((self.start_s / DAY_S + 3 + day) % 7).astype(np.int64)  # 0 is Monday
        holidays = rng.choice(grid.days, max(grid.days // 28, 1), replace=False)
        if rng.random() < HOLIDAY:
            self.weekday[np.isin(day, holidays)] = 6
        drift = rng.uniform(-0.06, 0.06, (n, 1)) * np.linspace(0, 1, t) * grid.days / 28.0
        by_day = 0.03 * rng.standard_normal((1, grid.days)) + 0.04 * rng.standard_normal(
            (n, grid.days)
        )
        self.activity = np.exp(
            0.04 * _ar(rng, 1, grid, 8) + 0.05 * _ar(rng, grid.sites, grid, 5)[site]
            + 0.06 * _ar(rng, n, grid, 2) + 0.05 * _heavy(rng, n, grid)
            + by_day[:, day] + np.clip(drift, -0.06, 0.06)
        )  # fmt: skip
        self.volume = np.exp(0.08 * _heavy(rng, n, grid) + 0.05 * _ar(rng, n, grid, 3))
        self.cqi = 9.5 + 1.2 * rng.standard_normal((n, 1))
        self.cqi_noise = 0.12 * _ar(rng, n, grid, 4) + 0.10 * _heavy(rng, n, grid)
        self.speed = np.exp(0.07 * _heavy(rng, n, grid) + 0.05 * _ar(rng, n, grid, 4))
        self.rrc_fail = 0.002 * np.exp(0.5 * rng.standard_normal((n, 1)))
        self.rrc_jitter = np.exp(0.35 * _ar(rng, n, grid, 3) + 0.25 * _heavy(rng, n, grid))
        self.drop = 0.003 * np.exp(0.4 * rng.standard_normal((n, 1)))
        self.drop_jitter = np.exp(0.3 * _ar(rng, n, grid, 4) + 0.2 * _heavy(rng, n, grid))
        self.ho_fail = 0.02 * np.exp(0.4 * rng.standard_normal((n, 1)))
        self.ho_jitter = np.exp(0.25 * _ar(rng, n, grid, 4) + 0.2 * _heavy(rng, n, grid))
        self.interference = (
            -114.0
            + 2.0 * rng.standard_normal((n, 1))
            + 0.5 * _ar(rng, n, grid, 6)
            + 0.25 * _heavy(rng, n, grid)
        )
        self.uniform = rng.random((6, n, t))
        self.missing = rng.random((n, t)) < MISSING
        for _ in range(4):  # a few holes of some periods in one cell, and one of the export
            row, at = int(rng.integers(n)), int(rng.integers(t - 6))
            self.missing[row, at : at + 1] = True
        at = int(rng.integers(t - 6))
        self.missing[:, at : at + 2] = True
        self.capacity = 2.2 * 25.0 * np.maximum(size, 0.6) * rng.uniform(0.8, 1.6, n)

    def load(self, shift_h: Floats | float = 0.0) -> Floats:
        """Return the usual relative load of each cell over time, (N, T)."""
        grid = self.grid
        hour = (np.arange(grid.periods) % grid.per_day) * 24.0 / grid.per_day
        hour = (hour[None, :] - np.zeros((grid.cells, 1)) - shift_h) % 24.0
        home = 0.12 + 0.55 * np.exp(-(((hour - 20.5 + 12) % 24 - 12) ** 2) / 18)
        home = home + 0.35 * np.exp(-((hour - 13) ** 2) / 20)
        work = 0.08 + 0.9 * np.exp(-((hour - 12.5) ** 2) / 16)
        rest = 0.10 + 0.60 * np.exp(-((hour - 16) ** 2) / 30)
        weekend = (self.weekday >= SATURDAY)[None, :]
        b = self.business[:, None]
        week = np.array([1.0, 1.0, 1.02, 1.03, 1.08, 1.0, 0.95])[self.weekday][None, :]
        shape = np.where(weekend, (1 - b) * (0.25 * home + 0.75 * rest) + 0.45 * b * rest,
                         (1 - b) * home + b * work)  # fmt: skip
        return np.asarray(week * shape / 0.5)


@dataclass
class Latent:
    """What faults did to what is behind the counters; each (N, T)."""

    users: Floats
    shift_h: Floats
    flat: Floats
    rrc_fail: Floats
    drop: Floats
    ho_fail: Floats
    cqi: Floats
    interference: Floats
    speed: Floats
    noise: Floats
    cap: Floats
    jump: Floats
    silent: npt.NDArray[np.bool_]

    @classmethod
    def none(cls, grid: Grid) -> Latent:
        """Return what does nothing."""
        shape = (grid.cells, grid.periods)
        one, zero = np.ones(shape), np.zeros(shape)
        return cls(one, zero, zero.copy(), zero.copy(), one.copy(), zero.copy(), zero.copy(),
                   zero.copy(), one.copy(), one.copy(), np.full(shape, np.inf), one.copy(),
                   np.zeros(shape, np.bool_))  # fmt: skip


def counters(world: World, faulty: Latent) -> dict[str, Floats]:
    """Return the KPIs of a network, (N, T) each, without missing values but those of faults."""
    w, f, grid = world, faulty, world.grid
    per_hour = 3600.0 / grid.step_s
    load = w.load(f.shift_h)
    load = load * (1 - f.flat) + load.mean(axis=1, keepdims=True) * f.flat
    users = w.users[:, None] * load * w.activity * f.users
    wanted = 0.09 * users * w.volume / per_hour * f.jump
    top = 0.09 * w.users[:, None] / per_hour * f.cap
    volume = np.minimum(wanted, top)
    limited = np.minimum(volume / np.maximum(wanted, 1e-9), 1.0)
    cqi = w.cqi - 0.3 * load + f.cqi + w.cqi_noise * f.noise - 0.15 * f.interference
    prb = 100 * (1 - np.exp(-1.1 * users / w.capacity[:, None]))
    prb = np.clip(prb * (1 + 0.03 * w.cqi_noise / 0.16), 0.3, 99.5)
    speed = 9.0 * cqi * (1.02 - prb / 100) ** 0.6 * w.speed**f.noise * f.speed * limited
    attempts = np.rint(users * 14 / per_hour)
    risk = w.rrc_fail * w.rrc_jitter * (1 + 6 * np.maximum(prb - 88, 0) / 10) + f.rrc_fail
    failed = np.minimum(poisson.ppf(w.uniform[0], np.maximum(attempts * risk, 1e-12)), attempts)
    releases = np.rint(users * 10 / per_hour)
    risk = w.drop * w.drop_jitter * f.drop
    dropped = np.minimum(poisson.ppf(w.uniform[1], np.maximum(releases * risk, 1e-12)), releases)
    moves = poisson.ppf(w.uniform[2], np.maximum(users * 6 / per_hour, 1e-12))
    risk = np.clip(w.ho_fail * w.ho_jitter + f.ho_fail, 0, 1)
    unmoved = np.minimum(poisson.ppf(w.uniform[3], np.maximum(moves * risk, 1e-12)), moves)

    def share(part: Floats, whole: Floats) -> Floats:
        return np.where(whole > 0, 100 * part / np.maximum(whole, 1), np.nan)

    dead = f.users == 0
    out = {
        USERS: users,
        "DL traffic volume (GB)": volume,
        "DL PRB utilisation (%)": np.where(dead, 0.0, prb),
        "DL user throughput (Mbit/s)": np.where(dead, np.nan, np.maximum(speed, 0.1)),
        "RRC setup success (%)": share(attempts - failed, attempts),
        "Drop rate (%)": share(dropped, releases),
        "Dropped calls": dropped,
        "Handover attempts": moves,
        "Handover success (%)": share(moves - unmoved, moves),
        "CQI": np.where(dead, np.nan, np.clip(cqi, 1, 15)),
        "UL interference (dBm)": np.where(dead, np.nan, w.interference + f.interference),
        "Availability (%)": np.where(dead, 0.0, 100.0),
    }
    return {name: np.where(f.silent, np.nan, kpi) for name, kpi in out.items()}


class _Site:
    """Where and when a fault is put."""

    def __init__(self, rng: np.random.Generator, grid: Grid, site: int, size: int) -> None:
        self.rng, self.grid, self.size = rng, grid, size
        self.cells = tuple(range(site * SECTORS, site * SECTORS + SECTORS))
        self.one = self.cells[int(rng.integers(SECTORS))]
        self.others = tuple(c for c in self.cells if c != self.one)

    def pick(self, *values: Any) -> Any:
        """Return the value of this size."""
        return values[self.size]

    def span(self, hours: float, days: float | None = None, *, busy: bool = False) -> slice:
        """Return periods of that many hours, or of days where values are of whole days."""
        per_day, total = self.grid.per_day, self.grid.periods
        if per_day == 1:
            length = max(round(days if days is not None else hours / 24), 1)
        else:
            length = max(round(hours * per_day / 24), 1)
        low = max(total // 4, 1)
        first = int(self.rng.integers(low, max(total - length - total // 8, low + 1)))
        if busy and per_day > 1:  # when people are about
            first = first - first % per_day + round(per_day * self.rng.uniform(10, 17) / 24)
        return slice(first, min(first + length, total))

    def since(self) -> slice:
        """Return the periods from somewhere in the middle to the end."""
        total = self.grid.periods
        return slice(int(self.rng.integers(round(0.4 * total), round(0.75 * total))), total)


def _put(kind: str, at: _Site, f: Latent) -> tuple[tuple[int, ...], slice]:
    """Change what is behind the counters, in place; return the cells and periods of a fault."""
    return _PUT[kind](at, f)


def _outage(at: _Site, f: Latent) -> tuple[tuple[int, ...], slice]:
    when = at.span(at.pick(3, 8, 24), at.pick(1, 2, 5), busy=True)
    f.users[at.one, when] = 0.0
    f.users[list(at.others), when] *= 1.15
    return at.cells, when


def _silence(at: _Site, f: Latent) -> tuple[tuple[int, ...], slice]:
    when = at.span(at.pick(3, 10, 30), at.pick(2, 3, 6))
    f.silent[list(at.cells), when] = True
    return at.cells, when


def _sleeping(at: _Site, f: Latent) -> tuple[tuple[int, ...], slice]:
    when = at.span(at.pick(36, 48, 72), at.pick(5, 7, 10))
    f.users[at.one, when] *= at.pick(0.6, 0.3, 0.04)
    f.users[list(at.others), when] *= at.pick(1.05, 1.1, 1.2)
    return at.cells, when


def _access(at: _Site, f: Latent) -> tuple[tuple[int, ...], slice]:
    when = at.span(at.pick(24, 24, 12), at.pick(6, 4, 3), busy=True)
    f.rrc_fail[at.one, when] += at.pick(0.005, 0.02, 0.10)
    return (at.one,), when


def _interfered(at: _Site, f: Latent) -> tuple[tuple[int, ...], slice]:
    when = at.span(at.pick(96, 72, 48), at.pick(12, 10, 8))
    rows = list(at.cells)
    f.interference[rows, when] += at.pick(1.5, 4.0, 10.0)
    f.drop[rows, when] *= at.pick(1.5, 2.5, 6.0)
    return at.cells, when


def _degrading(at: _Site, f: Latent) -> tuple[tuple[int, ...], slice]:
    total = at.grid.periods
    first = int(at.rng.integers(0, total // 4))
    ramp = np.linspace(0, 1, total - first)
    f.speed[at.one, first:] *= 1 - at.pick(0.15, 0.3, 0.5) * ramp
    return (at.one,), slice(first, total)


def _event(at: _Site, f: Latent) -> tuple[tuple[int, ...], slice]:
    when = at.span(at.pick(4, 4, 5), busy=True)
    f.users[list(at.cells), when] *= at.pick(1.6, 2.5, 5.0)
    return at.cells, when


def _handover(at: _Site, f: Latent) -> tuple[tuple[int, ...], slice]:
    when = at.since()
    f.ho_fail[at.one, when] += at.pick(0.01, 0.04, 0.15)
    return (at.one,), when


def _noisy(at: _Site, f: Latent) -> tuple[tuple[int, ...], slice]:
    when = at.span(at.pick(120, 96, 72), at.pick(28, 21, 21))
    f.noise[at.one, when] = at.pick(2.0, 3.0, 6.0)
    return (at.one,), when


def _shifted(at: _Site, f: Latent) -> tuple[tuple[int, ...], slice]:
    when = at.span(24 * 7)
    f.shift_h[list(at.cells), when] = at.pick(2, 4, 8)
    return at.cells, when


def _flat(at: _Site, f: Latent) -> tuple[tuple[int, ...], slice]:
    when = at.span(24 * 7)
    f.flat[at.one, when] = at.pick(0.4, 0.7, 1.0)
    return (at.one,), when


def _backhaul(at: _Site, f: Latent) -> tuple[tuple[int, ...], slice]:
    when = at.since()
    f.cap[list(at.cells), when] = at.pick(1.3, 0.9, 0.5)
    return at.cells, when


def _antenna(at: _Site, f: Latent) -> tuple[tuple[int, ...], slice]:
    when = at.since()
    f.cqi[at.one, when] -= at.pick(0.4, 1.2, 3.0)
    f.users[at.one, when] *= at.pick(0.9, 0.75, 0.55)
    f.drop[at.one, when] *= at.pick(1.3, 1.8, 3.0)
    return (at.one,), when


def _jump(at: _Site, f: Latent) -> tuple[tuple[int, ...], slice]:
    when = at.span(at.grid.step_s / 3600.0, 1)
    f.jump[at.one, when] *= at.pick(3.0, 8.0, 50.0)
    return (at.one,), when


_PUT = {
    "cell outage": _outage, "site stops reporting": _silence, "sleeping cell": _sleeping,
    "accessibility loss": _access, "interference": _interfered,
    "slow degradation": _degrading, "overload by an event": _event,
    "handover failures": _handover, "variance burst": _noisy,
    "shifted daily cycle": _shifted, "cycle vanishes": _flat, "backhaul limit": _backhaul,
    "antenna fault": _antenna, "counter jump": _jump,
}  # fmt: skip


def case(world: World, clean: dict[str, Floats], wanted: tuple[str, ...], size: str,
         seed: int) -> Case:  # fmt: skip
    """Return a network with one fault of each kind wanted, each at a site of its own.

    Args:
        world: The network.
        clean: Its counters without faults.
        wanted: Kinds of fault; none leaves the network as it is.
        size: "small", "medium" or "large".
        seed: Of the places and times of the faults.
    """
    grid = world.grid
    rng = np.random.default_rng([seed, 2])
    sites = rng.choice(grid.sites, max(len(wanted), 1), replace=False)
    latent = Latent.none(grid)
    placed = []
    for kind, site in zip(wanted, sites, strict=False):
        at = _Site(rng, grid, int(site), SIZES.index(size))
        cells, when = _put(kind, at, latent)
        placed.append((kind, cells, when))
    values = counters(world, latent) if placed else clean
    faults = tuple(_truth(kind, size, cells, when, values, clean) for kind, cells, when in placed)
    shown = {k: np.where(world.missing, np.nan, v) for k, v in values.items()}
    return Case(shown, world.names, faults, grid, world.start_s)


def _truth(kind: str, size: str, cells: tuple[int, ...], when: slice, values: dict[str, Floats],
           clean: dict[str, Floats]) -> Fault:  # fmt: skip
    change, usual = {}, {}
    for kpi, with_it in values.items():
        for cell in cells:
            now, before = with_it[cell, when], clean[kpi][cell, when]
            both = ~(np.isnan(now) | np.isnan(before))
            if both.any():
                change[cell, kpi] = float(np.mean(now[both] - before[both]))
                usual[cell, kpi] = float(np.mean(before[both]))
    return Fault(kind, size, cells, when.start, when.stop, change, usual)
