"""A city whose operator changes things now and then, partly because of what the KPIs say.

What it gives is what an operator has: a panel of configuration and KPIs by period and cell,
in which cause and effect are mixed. A cell is changed more often where it does badly, its
neighbours are changed beside it, and load varies by hour, by day and by chance: cells with
a setting are not like cells without. What a step of a setting truly does, a clone tells.

Axis letters: ``T`` periods, ``C`` cells, ``L`` levers, ``V`` variables of a panel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cellhive.core.errors import BadInput
from cellhive.core.types import Floats, KpiFrame, Network, Parameters
from cellhive.ran.layout import SiteDesign
from cellhive.ran.scenarios import (
    HexLayout,
    Scenario,
    activity_for_share,
    build_world,
    daily_curve,
)
from cellhive.ran.simulator import STEP_S, Simulator
from cellhive.ran.users import UserMix

TILT, POWER, TRIGGER, OFFSET = (
    "electrical_tilt_deg", "tx_power_dbm", "time_to_trigger_doublings", "cio_db",
)  # fmt: skip
LEVERS = (TILT, POWER, TRIGGER, OFFSET)
"""What is set in a cell. The time to trigger counts in doublings of 40 ms: its effects are
more alike on that scale; the individual offset is that of all relations out of the cell."""

DEMAND = "city_users"
"""Users in a session in the whole city: nothing that is set changes it."""

KPIS = (
    "rsrp_mean_dbm", "sinr_mean_db", "weak_coverage_ratio", "interference_ratio",
    "RRC.ConnMean", "prb_utilisation_ratio",
    "MM.HoPrepInterReq", "x.HoPingPong", "x.RadioLinkFailure",
    "ue_throughput_mbps", "ue_throughput_p5_mbps", "demand_satisfied_ratio", "PEE.AvgPower",
)  # fmt: skip
"""KPIs and counters of a cell in a panel: radio, load, mobility, experience."""

NEAR = "near_"
"""Before a name: the mean over a cell's neighbours."""
NEAR_LOAD = NEAR + "prb_utilisation_ratio"
PANEL = (DEMAND, *LEVERS, *(NEAR + name for name in LEVERS), *KPIS, NEAR_LOAD)
"""Variables of a panel."""

_DAY_S = 86_400.0
_FIRST_TRIGGER_S = 0.04
_MOST_SHARE = 0.85


@dataclass(frozen=True)
class Lever:
    """What the operator allows of a lever."""

    low: float
    high: float
    step: float = 1.0
    """Smallest change."""

    @property
    def places(self) -> int:
        """How many values there are."""
        return round((self.high - self.low) / self.step) + 1


ALLOWED: dict[str, Lever] = {
    TILT: Lever(6.0, 13.0),
    POWER: Lever(40.0, 46.0),
    TRIGGER: Lever(0.0, 4.0),
    OFFSET: Lever(-2.0, 2.0),
}


@dataclass(frozen=True)
class Habits:
    """How often, and why, the operator changes a lever of a cell."""

    audit: float = 0.02
    """Chance in a period of one to three steps that have nothing to do with the cell's KPIs."""
    react: float = 0.06
    """Chance that the lever's rule looks at the cell: at a KPI out of line in the period before
    it moves one step."""
    overload: float = 0.15
    """PRB utilisation above that of neighbours at which users are handed over earlier; as far
    below it, later."""
    busy: float = 0.65
    """PRB utilisation above which power is raised."""
    quiet: float = 0.25
    """PRB utilisation below which it is reduced."""
    events: float = 2.0
    """Ping-pongs (link failures) in a period at which the time to trigger is doubled (halved)."""
    weak: float = 0.06
    """Weak coverage at which the beam is raised."""
    interfered: float = 0.10
    """Interfered share at which it is lowered."""

    def wanted(self, seen: Floats) -> Floats:
        """Return the direction in which the rules would move each lever, -1, 0 or 1, (C, L).

        Args:
            seen: Variables of the panel in the period before, (C, V).
        """
        one = {name: np.nan_to_num(seen[:, k]) for k, name in enumerate(PANEL)}
        load, near = one["prb_utilisation_ratio"], one[NEAR_LOAD]
        up_down = {
            TILT: (
                one["interference_ratio"] > self.interfered,
                one["weak_coverage_ratio"] > self.weak,
            ),
            POWER: (load > self.busy, load < self.quiet),
            TRIGGER: (
                one["x.HoPingPong"] >= self.events,
                one["x.RadioLinkFailure"] >= self.events,
            ),
            OFFSET: (load > near + self.overload, load < near - self.overload),
        }
        columns = [1.0 * up_down[name][0] - 1.0 * up_down[name][1] for name in LEVERS]
        return np.stack(columns, axis=1)


@dataclass(frozen=True)
class Season:
    """How long a city is watched, and how its load varies."""

    periods: int = 768
    period_s: float = 900.0
    """What a period stands for [s]."""
    observed_s: float = 60.0
    """Radio time of it that is simulated [s]."""
    warm_up_s: float = 60.0
    start_s: float = 21_600.0
    """Time of day at the first period [s after midnight]."""
    day_spread: float = 0.2
    """Standard deviation of the logarithm of a day's load."""
    hour_spread: float = 0.15
    """That of slow chance within a day."""

    def __post_init__(self) -> None:
        """Refuse a season of no periods."""
        if self.periods < 1:
            raise BadInput(expected="at least one period", found=str(self.periods))

    def share(self, scenario: Scenario, generator: np.random.Generator) -> Floats:
        """Return the share of users in a session, by period, (T,).

        Args:
            scenario: Has the busiest hour and the curve of a day.
            generator: Where chance comes from.
        """
        times = self.start_s + self.period_s * np.arange(self.periods)
        days = (times // _DAY_S).astype(int)
        by_day = self.day_spread * generator.standard_normal(int(days.max()) + 1)
        noise = generator.standard_normal(self.periods)
        slow = np.zeros(self.periods)
        for t in range(1, self.periods):
            slow[t] = 0.9 * slow[t - 1] + np.sqrt(1.0 - 0.9**2) * self.hour_spread * noise[t]
        curve = np.array([daily_curve(float(time), scenario.curve) for time in times])
        share: Floats = scenario.peak_share * curve * np.exp(by_day[days] + slow)
        return np.minimum(share, _MOST_SHARE)


def varied_scenario(sites: int = 7) -> Scenario:
    """Return the recipe of a city with nothing wrong but what its operator does.

    Args:
        sites: Whole rings of them: 1, 7, 19, ...
    """
    mix = UserMix(users=0, indoor_share=0.3, pedestrian_share=0.3, street_share=0.4)
    return Scenario(
        name="varied-city", title="Sites whose operator changes things now and then.",
        focus=(), network=HexLayout(sites, 500.0, SiteDesign(carrier_hz=2.1e9)),
        users_per_cell=20.0, mix=mix, peak_share=0.55, a3_offset_db=2.0, hysteresis_db=1.0,
    )  # fmt: skip


class VariedCity:
    """A network under such an operator, period by period."""

    def __init__(
        self, scenario: Scenario, seed: int, season: Season, habits: Habits | None = None
    ) -> None:
        """Build the city and let it settle.

        Args:
            scenario: The recipe.
            seed: Draws the city, its users, its load and what the operator does.
            season: How long it is watched.
            habits: The operator's.
        """
        self.season, self.habits = season, habits or Habits()
        self._generator = np.random.default_rng([seed, 17])
        self.world, self._base = build_world(scenario, seed)
        self.near = _neighbour_weights(self.world.network)
        self.levers = self._drawn_levers()
        self._share = season.share(scenario, self._generator)
        self.period = 0
        self.simulator = Simulator(self.world, [self._parameters(self.levers)], [seed])
        self._set_load(self.simulator, 1.0)
        self.simulator.advance(round(season.warm_up_s / STEP_S))

    def _drawn_levers(self) -> Floats:
        """Return levers drawn evenly from what is allowed, (C, L)."""
        cells, draw = self.world.network.cells, self._generator
        columns = [
            one.low + one.step * draw.integers(0, one.places, cells)
            for one in (ALLOWED[name] for name in LEVERS)
        ]
        return np.stack(columns, axis=1).astype(np.float64)

    def _parameters(self, levers: Floats) -> Parameters:
        """Return the parameters that levers stand for."""
        tilt, power, trigger, offset = levers.T
        return replace(
            self._base,
            electrical_tilt_deg=tilt.copy(),
            tx_power_dbm=power.copy(),
            time_to_trigger_s=_FIRST_TRIGGER_S * 2.0**trigger,
            cio_db=offset[self.world.network.relation_source],
        )

    def _set_load(self, simulator: Simulator, factor: float) -> None:
        share = np.array([self._share[self.period] * factor])
        simulator.plant.activity[0] = activity_for_share(share, self.world.traffic)

    def observe(self) -> Floats:
        """Return the next period as a panel has it, and let the operator act on it, (C, V)."""
        seen = self.try_out(self.simulator)
        self.period += 1
        self.levers = self._after(seen)
        self.simulator.set_parameters(0, self._parameters(self.levers))
        return seen

    def try_out(
        self, simulator: Simulator, levers: Floats | None = None, load: float = 1.0
    ) -> Floats:
        """Return the next period as a panel would have it, (C, V), and advance the network.

        Args:
            simulator: A clone of the city's.
            levers: Other levers than the operator's, (C, L).
            load: Factor on the share of users in a session.
        """
        held = self.levers if levers is None else levers
        if simulator is not self.simulator:
            simulator.set_parameters(0, self._parameters(held))
        self._set_load(simulator, load)
        simulator.clear_counters()
        simulator.advance(round(self.season.observed_s / STEP_S))
        frame = simulator.frame(0, self.period * self.season.period_s, self.season.period_s)
        return self._row(frame, held)

    def _row(self, frame: KpiFrame, levers: Floats) -> Floats:
        columns = [frame.columns.index(name) for name in KPIS]
        kpis = frame.values[:, columns].astype(np.float64)
        users = float(kpis[:, KPIS.index("RRC.ConnMean")].sum())
        load = np.nan_to_num(kpis[:, KPIS.index("prb_utilisation_ratio")])
        demand = np.full(len(levers), users)
        return np.column_stack([demand, levers, self.near @ levers, kpis, self.near @ load])

    def _after(self, seen: Floats) -> Floats:
        """Return the levers after the operator has looked at a period, (C, L)."""
        habits, draw = self.habits, self._generator
        wanted, levers = habits.wanted(seen), self.levers.copy()
        cells = len(levers)
        for k, name in enumerate(LEVERS):
            one = ALLOWED[name]
            rule = (draw.random(cells) < habits.react) * wanted[:, k]
            size = draw.integers(1, 4, cells) * draw.choice([-1.0, 1.0], cells)
            audit = (draw.random(cells) < habits.audit) * size
            levers[:, k] = np.clip(levers[:, k] + one.step * (rule + audit), one.low, one.high)
        return levers


def _neighbour_weights(network: Network) -> Floats:
    """Return by how much each cell counts among the neighbours of each, (C, C)."""
    weight = np.zeros((network.cells, network.cells))
    weight[network.relation_source, network.relation_target] = 1.0
    share: Floats = weight / np.maximum(weight.sum(axis=1, keepdims=True), 1.0)
    return share
