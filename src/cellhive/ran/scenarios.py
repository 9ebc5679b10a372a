"""Networks worth running: each scenario has something to improve, or shows that nothing is.

A scenario is a recipe, and nothing but data: files hold them (``adapters.scenarios``), and
``build_twin`` follows one for a seed. Different seeds are different cities: other
shadowing, other users, other faults of the same kind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from cellhive.core.types import Floats, Network, Parameters
from cellhive.ran.handover import Procedures
from cellhive.ran.layout import SiteDesign, hex_grid, highway, with_relations
from cellhive.ran.parameters import DEFAULTS, default_parameters
from cellhive.ran.radio_map import build_radio_map, neighbour_relations, total_gain_db
from cellhive.ran.simulator import Clock, Twin, World
from cellhive.ran.users import Ground, HotSpot, SiteCluster, Traffic, UserMix

HOUR_S = 3600.0

Curve = tuple[tuple[float, float], ...]
"""Points (hour of the day, share of the busiest hour), by hour."""

URBAN_CURVE: Curve = tuple(enumerate([
    0.60, 0.42, 0.30, 0.23, 0.20, 0.20, 0.24, 0.34, 0.48, 0.60, 0.68, 0.73,
    0.77, 0.78, 0.78, 0.79, 0.81, 0.85, 0.90, 0.95, 1.00, 1.00, 0.93, 0.78,
]))  # fmt: skip
"""Share of users in a session by hour of the day, relative to the busiest hour. The shape
(quiet from 2 to 6, a plateau over the day, busiest from 20 to 22, night at a fifth) is
that of the EARTH project's dense urban profile (deliverable D2.3, figure 7)."""

FLAT_CURVE: Curve = ((0.0, 1.0),)
"""Always as busy as in the busiest hour."""

MOST_SHARE = 0.95
"""Largest share of users that can be in a session at once."""


def daily_curve(time_s: float, curve: Curve = URBAN_CURVE) -> float:
    """Return the share of users in a session relative to the busiest hour, at a time of day.

    Straight between the points, and from the last one over midnight to the first.
    """
    hours, shares = (list(values) for values in zip(*curve, strict=True))
    hours = [hours[-1] - 24.0, *hours, hours[0] + 24.0]
    shares = [shares[-1], *shares, shares[0]]
    return float(np.interp(time_s / HOUR_S % 24.0, hours, shares))


def activity_for_share(share: Floats, traffic: Traffic) -> Floats:
    """Return the session rate factor that keeps a share of users in a session.

    In balance, share / mean session = (1 - share) activity / mean pause.
    """
    bounded = np.clip(share, 0.0, MOST_SHARE)
    return np.asarray(bounded / (1.0 - bounded) * traffic.mean_pause_s / traffic.mean_session_s)


@dataclass(frozen=True)
class Event:
    """A time at which the users of the hot spots become busier."""

    start_s: float
    """Time of day at which it starts [s after midnight]."""
    end_s: float
    """Time of day at which it ends [s after midnight]; above 24 h, on the next day."""
    factor: float
    """By how much the share of users in a session grows."""

    def at(self, time_s: float) -> float:
        """Return the factor at a time of day, ramped over half an hour at both ends."""
        ramp = HOUR_S / 2

        def strength(moment_s: float) -> float:
            up = np.clip((moment_s - self.start_s) / ramp, 0.0, 1.0)
            down = np.clip((self.end_s - moment_s) / ramp, 0.0, 1.0)
            return float(min(up, down))

        today = time_s % (24 * HOUR_S)
        return 1.0 + (self.factor - 1.0) * max(strength(today), strength(today + 24 * HOUR_S))


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
class HexLayout:
    """Whole rings of three-sector sites; see ``layout.hex_grid``."""

    sites: int
    inter_site_distance_m: float
    design: SiteDesign

    def __call__(self) -> Network:
        """Return the network."""
        return hex_grid(self.sites, self.inter_site_distance_m, self.design)


@dataclass(frozen=True)
class HighwayLayout:
    """Two-sector sites along a road; see ``layout.highway``."""

    sites: int
    spacing_m: float
    design: SiteDesign

    def __call__(self) -> Network:
        """Return the network."""
        return highway(self.sites, self.spacing_m, self.design)


@dataclass(frozen=True)
class SiteListLayout:
    """The sites of a list, with the configuration that the list states."""

    sites: RealSites
    file: str = ""
    """Where the list is."""
    bbox: str = ""
    """Part of the list, "min_lon,min_lat,max_lon,max_lat"; empty means all of it."""

    def __call__(self) -> Network:
        """Return the network."""
        return self.sites.network


@dataclass(frozen=True)
class Splits:
    """Seeds, first and last, that are kept apart: no city is in two of them."""

    train: tuple[int, int] = (1, 100)
    """What learns and what is tuned sees these."""
    validation: tuple[int, int] = (101, 200)
    """What chooses between candidates sees these."""
    test: tuple[int, int] = (201, 300)
    """Only final figures are made with these."""


@dataclass(frozen=True)
class Scenario:
    """A recipe for a network with users, traffic and, usually, something wrong."""

    name: str
    title: str
    """One line for people."""
    focus: tuple[str, ...]
    """The KPIs on which the scenario is judged; "power_w" is the power drawn."""
    network: Callable[[], Network]
    """Sites and sectors, one of the layouts; relations are found from the radio map."""
    users_per_cell: float
    mix: UserMix = field(default_factory=lambda: UserMix(users=0))
    """Kinds of user; their number comes from ``users_per_cell``."""
    traffic: Traffic = field(default_factory=Traffic)
    peak_share: float = 0.5
    """Share of users in a session in the busiest hour."""
    curve: Curve = URBAN_CURVE
    """How busy the hours of the day are."""
    hours: float = 12.0
    """How long it runs unless told otherwise [h]."""
    start_h: float = 8.0
    """Time of day at which it starts [h]."""
    hot_spots: int = 0
    hot_spot_share: float = 0.0
    """Share of all users that belong to hot spots."""
    hot_spot_radius_m: float = 100.0
    events: tuple[Event, ...] = ()
    tilt_deg: float = 11.0
    a3_offset_db: float = 1.0
    hysteresis_db: float = 1.0
    time_to_trigger_s: float = 0.08
    mistilted_share: float = 0.0
    """Share of cells whose tilt is wrong."""
    mistilt_deg: float = -6.0
    """By how much; negative is too far up."""
    wrong_a3_share: float = 0.0
    """Share of cells whose A3 offset is wrong."""
    wrong_a3_db: float = 3.0
    """By how much [dB]; positive hands over too late."""
    capacity_offset_db: float = 0.0
    """Preference for capacity carriers in selection and A3 [dB]."""
    splits: Splits = field(default_factory=Splits)

    @property
    def real_sites(self) -> RealSites | None:
        """The sites of a list, where the scenario has them."""
        return self.network.sites if isinstance(self.network, SiteListLayout) else None


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
    draw = rng.spawn(1)[0]  # so that hot spots stay where they are
    late = draw.permutation(network.cells)[: round(scenario.wrong_a3_share * network.cells)]
    offset = parameters.a3_offset_db.copy()
    offset[late] = np.clip(offset[late] + scenario.wrong_a3_db, -15.0, 15.0)
    return replace(parameters, electrical_tilt_deg=tilt, a3_offset_db=offset)


def _site_clusters(network: Network) -> tuple[SiteCluster, ...]:
    """Return where users live who live near sites: closer where sites stand closer."""
    first = [network.site_ids.index(site) for site in sorted(set(network.site_ids))]
    x, y = network.x_m[first], network.y_m[first]
    apart = np.hypot(x[:, None] - x, y[:, None] - y)
    np.fill_diagonal(apart, np.inf)
    nearest = np.clip(apart.min(axis=1), 100.0, 4000.0)
    return tuple(
        SiteCluster(float(x[i]), float(y[i]), float(nearest[i] / 2)) for i in range(len(first))
    )


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
    sites = scenario.real_sites if sites is None else sites
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
        clusters=_site_clusters(network) if scenario.mix.near_sites_share else (),
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
        share = scenario.peak_share * daily_curve(time_s, scenario.curve)
        shares = np.full(1 + scenario.hot_spots, share)
        for event in scenario.events:
            shares[1:] *= event.at(time_s)
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
