"""Networks worth running: each scenario has something to improve, or shows that nothing is.

A scenario is a recipe; ``build_twin`` follows it for a seed. Different seeds are
different cities: other shadowing, other users, other faults of the same kind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from cellhive.core.errors import NotFound
from cellhive.core.types import Floats, Network, Parameters
from cellhive.ran.handover import Procedures
from cellhive.ran.layout import SiteDesign, hex_grid, highway, with_relations
from cellhive.ran.parameters import DEFAULTS, default_parameters
from cellhive.ran.radio_map import build_radio_map, neighbour_relations, total_gain_db
from cellhive.ran.simulator import Clock, Twin, World
from cellhive.ran.users import Ground, HotSpot, Traffic, UserMix

HOUR_S = 3600.0

# Share of users in a session by hour of the day, relative to the busiest hour. The shape
# (quiet from 2 to 6, a plateau over the day, busiest from 20 to 22, night at a fifth) is
# that of the EARTH project's dense urban profile (deliverable D2.3, figure 7).
_HOURLY = np.array([
    0.60, 0.42, 0.30, 0.23, 0.20, 0.20, 0.24, 0.34, 0.48, 0.60, 0.68, 0.73,
    0.77, 0.78, 0.78, 0.79, 0.81, 0.85, 0.90, 0.95, 1.00, 1.00, 0.93, 0.78,
])  # fmt: skip


def daily_curve(time_s: float) -> float:
    """Return the share of users in a session relative to the busiest hour, at a time of day."""
    hours = np.arange(25)
    return float(np.interp(time_s / HOUR_S % 24.0, hours, np.append(_HOURLY, _HOURLY[0])))


def activity_for_share(share: Floats, traffic: Traffic) -> Floats:
    """Return the session rate factor that keeps a share of users in a session.

    In balance, share / mean session = (1 - share) activity / mean pause.
    """
    bounded = np.clip(share, 0.0, 0.95)
    return np.asarray(bounded / (1.0 - bounded) * traffic.mean_pause_s / traffic.mean_session_s)


@dataclass(frozen=True)
class Event:
    """A time at which the users of the hot spots become busier."""

    start_s: float
    end_s: float
    factor: float
    """By how much the share of users in a session grows."""

    def at(self, time_s: float) -> float:
        """Return the factor at a time of day, ramped over half an hour at both ends."""
        ramp = HOUR_S / 2
        up = np.clip((time_s - self.start_s) / ramp, 0.0, 1.0)
        down = np.clip((self.end_s - time_s) / ramp, 0.0, 1.0)
        return float(1.0 + (self.factor - 1.0) * min(up, down))


@dataclass(frozen=True)
class RealSites:
    """A network from a site list, with what the list says of its configuration."""

    network: Network
    """Relations are ignored: they follow from the radio map."""
    electrical_tilt_deg: Floats
    """(C,)"""
    tx_power_dbm: Floats
    """(C,)"""


@dataclass(frozen=True)
class Scenario:
    """A recipe for a network with users, traffic and, usually, something wrong."""

    name: str
    title: str
    """One line for people."""
    focus: tuple[str, ...]
    """The KPIs on which the scenario is judged; "power_w" is the power drawn."""
    network: Callable[[], Network]
    """Sites and sectors; relations are found from the radio map."""
    users_per_cell: float
    mix: UserMix = field(default_factory=lambda: UserMix(users=0))
    """Kinds of user; their number comes from ``users_per_cell``."""
    traffic: Traffic = field(default_factory=Traffic)
    peak_share: float = 0.5
    """Share of users in a session in the busiest hour."""
    daily: bool = True
    """Whether the traffic follows the daily curve or stays at its peak."""
    hours: float = 12.0
    """How long it runs unless told otherwise [h]."""
    start_h: float = 8.0
    """Time of day at which it starts [h]."""
    hot_spots: int = 0
    hot_spot_share: float = 0.0
    """Share of all users that belong to hot spots."""
    hot_spot_radius_m: float = 100.0
    event: Event | None = None
    tilt_deg: float = 11.0
    a3_offset_db: float = 1.0
    hysteresis_db: float = 1.0
    time_to_trigger_s: float = 0.08
    mistilted_share: float = 0.0
    """Share of cells whose tilt is wrong."""
    mistilt_deg: float = -6.0
    """By how much; negative is too far up."""
    capacity_offset_db: float = 0.0
    """Preference for capacity carriers in selection and A3 [dB]."""


def _city() -> Network:
    return hex_grid(19, 500.0, SiteDesign(carrier_hz=2.1e9))


SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "hex-urban",
            "A city of 57 cells over a day: hot spots, some wrong tilts, a quiet night.",
            ("demand_satisfied_ratio", "ue_throughput_p5_mbps", "rlf_per_ue_min"),
            _city,
            users_per_cell=14,
            hours=24.0,
            start_h=6.0,
            hot_spots=4,
            hot_spot_share=0.15,
            mistilted_share=0.07,
        ),
        Scenario(
            "highway-corridor",
            "A highway at 120 km/h under TR 36.839 Set 1 (A3 3 dB, 480 ms): handovers too late.",
            ("handover_failure_ratio", "rlf_per_ue_min"),
            lambda: highway(
                10, 1000.0, SiteDesign(carrier_hz=2.1e9, height_m=35.0, environment="RMa")
            ),
            users_per_cell=9,
            mix=UserMix(
                users=0, indoor_share=0.0, pedestrian_share=0.0, street_share=0.05,
                highway_share=0.95,
            ),
            daily=False,
            hours=12.0,
            a3_offset_db=3.0,
            hysteresis_db=0.0,
            time_to_trigger_s=0.48,
            tilt_deg=4.0,
        ),
        Scenario(
            "stadium-surge",
            "A stadium fills: three times the traffic within 250 m for four hours, on two "
            "carriers of which users crowd the lower.",
            ("demand_satisfied_ratio", "ue_throughput_p5_mbps"),
            lambda: hex_grid(
                7, 500.0, SiteDesign(carrier_hz=1.8e9, capacity_carrier_hz=2.1e9)
            ),
            users_per_cell=12,
            hours=8.0,
            start_h=15.0,
            hot_spots=1,
            hot_spot_share=0.3,
            hot_spot_radius_m=200.0,
            event=Event(17 * HOUR_S, 21 * HOUR_S, 3.0),
            peak_share=0.3,
        ),
        Scenario(
            "night-energy",
            "Two carriers through the night: capacity cells that nobody needs stay on.",
            ("power_w", "demand_satisfied_ratio"),
            lambda: hex_grid(
                7, 500.0, SiteDesign(carrier_hz=1.8e9, capacity_carrier_hz=2.6e9)
            ),
            users_per_cell=9,
            hours=12.0,
            start_h=20.0,
            capacity_offset_db=6.0,
        ),
        Scenario(
            "mis-tilted",
            "One cell in ten points six degrees too far up and disturbs its neighbours.",
            ("ue_throughput_p5_mbps", "demand_satisfied_ratio", "interference_ratio"),
            _city,
            users_per_cell=14,
            hours=12.0,
            start_h=10.0,
            mistilted_share=0.1,
        ),
        Scenario(
            "healthy",
            "A well-tuned city at moderate load: nothing to repair, so nothing must break.",
            ("demand_satisfied_ratio", "ue_throughput_p5_mbps", "rlf_per_ue_min"),
            _city,
            users_per_cell=10,
            hours=12.0,
            start_h=8.0,
        ),
    )
}  # fmt: skip


def scenario_named(name: str) -> Scenario:
    """Return a scenario by name, or raise NotFound with the names there are."""
    if name not in SCENARIOS:
        message = f"expected a scenario out of {', '.join(SCENARIOS)}; found {name!r}"
        raise NotFound(message)
    return SCENARIOS[name]


def _ground(network: Network, margin_m: float) -> Ground:
    """Return the ground users move on: the sites' extent and a margin."""
    return Ground(
        west_m=float(network.x_m.min()) - margin_m,
        south_m=float(network.y_m.min()) - margin_m,
        east_m=float(network.x_m.max()) + margin_m,
        north_m=float(network.y_m.max()) + margin_m,
        street_m=120.0,
        road_y_m=0.0,
    )


_MOST_GAINS = 60e6


def _pixel_m(ground: Ground, cells: int) -> float:
    """Return the resolution of the radio map [m]: 10 m, coarser where memory would run out."""
    area_m2 = (ground.east_m - ground.west_m) * (ground.north_m - ground.south_m)
    return float(max(10.0, np.ceil(np.sqrt(area_m2 * cells / _MOST_GAINS))))


def _hot_spots(
    scenario: Scenario, network: Network, rng: np.random.Generator
) -> tuple[HotSpot, ...]:
    """Place hot spots 150 to 250 m from distinct sites drawn at random."""
    sites = sorted(set(network.site_ids))
    first = {site: network.site_ids.index(site) for site in sites}
    spots = []
    for site in rng.permutation(sites)[: scenario.hot_spots]:
        cell = first[str(site)]
        bearing, distance = rng.uniform(0, 2 * np.pi), rng.uniform(150.0, 250.0)
        spots.append(
            HotSpot(
                x_m=float(network.x_m[cell] + distance * np.cos(bearing)),
                y_m=float(network.y_m[cell] + distance * np.sin(bearing)),
                radius_m=scenario.hot_spot_radius_m,
                share=scenario.hot_spot_share / scenario.hot_spots,
            )
        )
    return tuple(spots)


def _parameters(
    scenario: Scenario, network: Network, sites: RealSites | None, rng: np.random.Generator
) -> Parameters:
    """Return the initial parameters, the scenario's faults included."""
    parameters = default_parameters(
        network,
        electrical_tilt_deg=scenario.tilt_deg if sites is None else sites.electrical_tilt_deg,
        tx_power_dbm=DEFAULTS["tx_power_dbm"] if sites is None else sites.tx_power_dbm,
        a3_offset_db=scenario.a3_offset_db,
        hysteresis_db=scenario.hysteresis_db,
        time_to_trigger_s=scenario.time_to_trigger_s,
    )
    if sites is not None:
        return parameters  # a real network brings its own faults
    wrong = rng.permutation(network.cells)[: round(scenario.mistilted_share * network.cells)]
    tilt = parameters.electrical_tilt_deg.copy()
    tilt[wrong] = np.clip(tilt[wrong] + scenario.mistilt_deg, 0.0, 15.0)
    return replace(parameters, electrical_tilt_deg=tilt)


def build_world(
    scenario: Scenario, seed: int, sites: RealSites | None = None
) -> tuple[World, Parameters]:
    """Return the place and the initial parameters of a scenario for a seed.

    Args:
        scenario: The recipe.
        seed: Draws shadowing, hot spots and faults.
        sites: Real sites to use in place of the scenario's own; their faults are their own.
    """
    rng = np.random.default_rng([seed, 1])
    network = scenario.network() if sites is None else sites.network
    ground = _ground(network, margin_m=200.0)
    radio_map = build_radio_map(
        network, rng, pixel_m=_pixel_m(ground, network.cells),
        bounds=(ground.west_m, ground.south_m, ground.east_m, ground.north_m),
    )  # fmt: skip
    parameters = _parameters(scenario, network, sites, rng)
    nominal = (
        np.full(network.cells, scenario.tilt_deg) if sites is None else sites.electrical_tilt_deg
    )
    gain_db = total_gain_db(radio_map, network, nominal)
    source, target = neighbour_relations(gain_db, network, parameters.tx_power_dbm)
    network = with_relations(network, source, target)
    parameters = replace(parameters, cio_db=np.zeros(network.relations))
    mix = replace(
        scenario.mix,
        users=round(scenario.users_per_cell * network.cells),
        hot_spots=_hot_spots(scenario, network, rng),
    )
    preference = np.where(network.coverage_cell, 0.0, scenario.capacity_offset_db)
    world = World(
        network, radio_map, ground, mix, scenario.traffic, Procedures(),
        np.asarray(preference, np.float64),
    )  # fmt: skip
    return world, parameters


def activity_curve(scenario: Scenario) -> Callable[[float], Floats]:
    """Return the session rate factor of each group of users as a function of time of day."""

    def activity(time_s: float) -> Floats:
        share = scenario.peak_share * (daily_curve(time_s) if scenario.daily else 1.0)
        shares = np.full(1 + scenario.hot_spots, share)
        if scenario.event is not None:
            shares[1:] *= scenario.event.at(time_s % (24 * HOUR_S))
        return activity_for_share(shares, scenario.traffic)

    return activity


def build_twin(
    scenario: Scenario,
    seed: int,
    sites: RealSites | None = None,
    *,
    observed_s: float = 60.0,
    period_s: float = 900.0,
) -> Twin:
    """Return a running twin of a scenario.

    Args:
        scenario: The recipe.
        seed: Draws the city, the users and every random event.
        sites: Real sites to use in place of the scenario's own.
        observed_s: Radio time simulated per period [s].
        period_s: Granularity period that it stands for [s].
    """
    world, parameters = build_world(scenario, seed, sites)
    clock = Clock(period_s=period_s, observed_s=observed_s, start_s=scenario.start_h * HOUR_S)
    return Twin(world, parameters, seed=seed, clock=clock, activity=activity_curve(scenario))
