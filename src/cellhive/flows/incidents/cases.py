"""Incidents with known causes: a sound twin, and branches of it in which one thing breaks.

The cases of a city share their past: the twin runs soundly for some hours, then every case
branches off and one fault is injected, or one setting changed for the worse. Beside many of
them a harmless change of configuration is made at the same time near by, so that "something
was changed" is no proof. What is handed on is what an engineer would have: counters, KPIs
and the configuration as it is reported, and a meter of limited accuracy for power.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from cellhive.core.types import Change, Floats, KpiFrame, Network, Parameters, Plan
from cellhive.flows.incidents.faults import Fault, FaultKind, inject
from cellhive.ran.layout import SiteDesign
from cellhive.ran.parameters import snap
from cellhive.ran.scenarios import HexLayout, Scenario, build_twin
from cellhive.ran.simulator import Twin
from cellhive.ran.users import Traffic, UserMix

METER_ERROR = 0.01
"""Relative error of a power meter, one sigma."""
_DISTRACTED = 0.5
_BUSY_ENOUGH = 0.5
"""Share of the median number of users that a cell has at least in which something breaks."""


@dataclass(frozen=True)
class Recipe:
    """A kind of city for incidents."""

    sites: int = 7
    """Three cells each; their number is no multiple of 16, so that an interferer has a place."""
    inter_site_distance_m: float = 500.0
    carrier_hz: float = 3.5e9
    users_per_cell: float = 26.0
    peak_share: float = 0.42
    indoor_share: float = 0.3
    street_share: float = 0.4
    hot_spot_share: float = 0.35
    tilt_deg: float = 11.0
    start_h: float = 9.0
    before: int = 20
    """Sound periods."""
    during: int = 4
    """Periods of the incident."""
    observed_s: float = 240.0
    """Radio time in a period [s]."""

    def scenario(self) -> Scenario:
        """Return the recipe as a scenario with one hot spot at each site."""
        design = SiteDesign(carrier_hz=self.carrier_hz)
        walking = 1.0 - self.indoor_share - self.street_share
        return Scenario(
            name="incident", title="A city in which one thing breaks.", focus=(),
            network=HexLayout(self.sites, self.inter_site_distance_m, design),
            users_per_cell=self.users_per_cell,
            mix=UserMix(0, self.indoor_share, walking, self.street_share),
            traffic=Traffic(), peak_share=self.peak_share, start_h=self.start_h,
            hot_spots=self.sites, hot_spot_share=self.hot_spot_share, tilt_deg=self.tilt_deg,
        )  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One incident and what caused it."""

    cause: str
    """The class of fault."""
    cell: str
    """Where."""
    network: Network
    before: tuple[KpiFrame, ...]
    during: tuple[KpiFrame, ...]
    configured_before: Parameters
    configured: Parameters
    """As reported during the incident; hidden faults do not show."""
    detail: str = ""
    """What was done, for people."""
    beside: tuple[Change, ...] = ()
    """Harmless changes made at the same time."""


@dataclass(frozen=True)
class _City:
    """What drawing a fault may look at."""

    twin: Twin
    traffic: Floats
    """Handovers over each relation while all was sound, (R,)."""
    users: Floats
    """Mean users of each cell, (C,)."""
    generator: np.random.Generator = field(compare=False)

    def uniform(self, low: float, high: float) -> float:
        return float(self.generator.uniform(low, high))


_Drawn = tuple[Fault | None, tuple[Change, ...]]


def _hidden(kind: FaultKind, low: float, high: float) -> Callable[[_City, int], _Drawn]:
    def draw(city: _City, cell: int) -> _Drawn:
        return Fault(kind, city.twin.network.cell_ids[cell], city.uniform(low, high)), ()

    return draw


def _turned(city: _City, cell: int) -> _Drawn:
    amount = city.uniform(60.0, 150.0) * float(city.generator.choice([-1.0, 1.0]))
    return Fault(FaultKind.AZIMUTH, city.twin.network.cell_ids[cell], amount), ()


def _interfered(city: _City, cell: int) -> _Drawn:
    name, distance_m = city.twin.network.cell_ids[cell], city.uniform(80.0, 200.0)
    return Fault(FaultKind.INTERFERENCE, name, city.uniform(12.0, 22.0), f"{distance_m:.0f}"), ()


def _forgotten(city: _City, cell: int) -> _Drawn:
    """Forget the site to which most handovers went."""
    network = city.twin.network
    own, count = network.site_ids[cell], dict.fromkeys(network.site_ids, 0.0)
    for relation in np.flatnonzero(network.relation_source == cell):
        site = network.site_ids[int(network.relation_target[relation])]
        count[site] += float(city.traffic[relation])
    count.pop(own)
    return Fault(
        FaultKind.NEIGHBOUR, network.cell_ids[cell], 0.0, max(count, key=count.__getitem__)
    ), ()


def _surged(city: _City, cell: int) -> _Drawn:
    """Let the hot spot nearest to the middle of the cell be busier."""
    world = city.twin.world
    spots = np.array([(spot.x_m, spot.y_m) for spot in world.mix.hot_spots])
    served = [_server(city.twin, x, y) for x, y in spots]
    group = served.index(cell)
    return Fault(
        FaultKind.SURGE, world.network.cell_ids[cell], city.uniform(4.0, 10.0), str(group + 1)
    ), ()


def _server(twin: Twin, x_m: float, y_m: float) -> int:
    """Return the cell that is received best at a place."""
    world, plant = twin.world, twin.simulator.plant
    radio_map, cells = world.radio_map, world.network.cells
    row = int(np.clip(round((y_m - radio_map.y0_m) / radio_map.pixel_m), 0, radio_map.rows - 1))
    column = int(
        np.clip(round((x_m - radio_map.x0_m) / radio_map.pixel_m), 0, radio_map.columns - 1)
    )
    level = plant.gain_db[0, row * radio_map.columns + column, :cells] + plant.power_dbm[0, :cells]
    return int(np.argmax(level))


def _handover_setting(*, late: bool) -> Callable[[_City, int], _Drawn]:
    """Return what draws a wrong A3 offset, wrong offsets to all neighbours, or a wrong TTT."""

    def draw(city: _City, cell: int) -> _Drawn:
        twin, network = city.twin, city.twin.network
        held, name = twin.parameters(), network.cell_ids[cell]
        way = int(city.generator.integers(3 if late else 2))
        off = city.uniform(3.5, 6.0) * (1.0 if late else -1.0)
        if way == 0:
            return None, (_changed(name, "a3_offset_db", float(held.a3_offset_db[cell]), off),)
        if way == 1:
            return None, tuple(
                _changed(name, "cio_db", float(held.cio_db[r]), -off,
                         network.cell_ids[int(network.relation_target[r])])
                for r in np.flatnonzero(network.relation_source == cell)
            )  # fmt: skip
        longer = float(city.generator.choice([0.64, 1.024, 1.28, 2.56]))
        before = float(held.time_to_trigger_s[cell])
        return None, (Change(name, "time_to_trigger_s", before, longer),)

    return draw


def _changed(
    cell: str, parameter: str, before: float, by: float, target: str | None = None
) -> Change:
    return Change(cell, parameter, before, snap(parameter, before + by), target)


CAUSES: dict[str, Callable[[_City, int], _Drawn]] = {
    "overshooting": _hidden(FaultKind.TILT_UP, 5.0, 9.0),
    "tilted too far down": _hidden(FaultKind.TILT_DOWN, 5.0, 9.0),
    "turned antenna": _turned,
    "coverage hole": _hidden(FaultKind.OBSTRUCTION, 15.0, 25.0),
    "power loss": _hidden(FaultKind.POWER, 6.0, 12.0),
    "cell outage": _hidden(FaultKind.OUTAGE, 0.0, 0.0),
    "sleeping cell": _hidden(FaultKind.BARRED, 0.0, 0.0),
    "missing neighbour": _forgotten,
    "too late handover": _handover_setting(late=True),
    "ping-pong": _handover_setting(late=False),
    "overload": _surged,
    "downlink interference": _interfered,
    "lost capacity": _hidden(FaultKind.PRBS, 0.3, 0.55),
}
"""Classes of fault, and what draws one at a cell."""


def sound_city(recipe: Recipe, seed: int) -> tuple[Twin, tuple[KpiFrame, ...]]:
    """Return a twin at the moment before something breaks, and what it reported so far."""
    twin = build_twin(recipe.scenario(), seed, observed_s=recipe.observed_s)
    meter = np.random.default_rng([seed, 2])
    return twin, tuple(_metered(twin.observe(), meter) for _ in range(recipe.before))


def _metered(frame: KpiFrame, generator: np.random.Generator) -> KpiFrame:
    """Return a frame whose power is read from a meter."""
    values = frame.values.copy()
    error = 1.0 + METER_ERROR * generator.standard_normal(len(values))
    for name in ("PEE.AvgPower", "PEE.Energy"):
        values[:, frame.columns.index(name)] *= error
    return replace(frame, values=values)


def incident_cases(
    recipe: Recipe, seed: int, causes: Sequence[str] = tuple(CAUSES), each: int = 1
) -> list[Case]:
    """Return incidents of one city, with their causes.

    Args:
        recipe: The kind of city.
        seed: Draws the city, the cells, the faults and the changes beside them.
        causes: Classes of fault.
        each: Incidents of each class.
    """
    twin, before = sound_city(recipe, seed)
    generator = np.random.default_rng([seed, 3])
    users = np.mean([frame.column("RRC.ConnMean") for frame in before], axis=0)
    traffic = np.sum([f.relation_column("MM.HoPrepInterReq.nCI") for f in before], axis=0)
    city = _City(twin, np.asarray(traffic, float), np.asarray(users, float), generator)
    return [_case(city, before, cause, recipe.during) for cause in causes for _ in range(each)]


def _case(city: _City, before: tuple[KpiFrame, ...], cause: str, periods: int) -> Case:
    twin, network = city.twin.clone(), city.twin.network
    eligible = np.flatnonzero(city.users >= _BUSY_ENOUGH * np.median(city.users))
    if cause == "overload":
        served = {_server(twin, spot.x_m, spot.y_m) for spot in twin.world.mix.hot_spots}
        eligible = np.array(sorted(served))
    cell = int(city.generator.choice(eligible))
    fault, changes = CAUSES[cause](city, cell)
    beside = _harmless(city, cell, changes)
    held = twin.parameters()
    if changes or beside:
        twin.apply(Plan("incident", "operator", twin.time_s, (*changes, *beside)))
    if fault is not None:
        inject(twin, fault)
    during = tuple(_metered(twin.observe(), city.generator) for _ in range(periods))
    detail = f"{fault.kind} {fault.amount:.3g} {fault.target}" if fault else _told(changes)
    return Case(
        cause, network.cell_ids[cell], network, before, during, held, twin.parameters(), detail,
        beside,
    )  # fmt: skip


def _told(changes: Sequence[Change]) -> str:
    first = changes[0]
    return f"{first.parameter} {first.before:g} -> {first.after:g} ({len(changes)} changes)"


def _harmless(city: _City, cell: int, changes: Sequence[Change]) -> tuple[Change, ...]:
    """Return small changes at the cell or a neighbour, none of what is changed already."""
    network, held = city.twin.network, city.twin.parameters()
    if city.generator.uniform() > _DISTRACTED:
        return ()
    near = [cell, *network.neighbours_of(cell)[:6]]
    where = int(city.generator.choice(near))
    name, sign = network.cell_ids[where], float(city.generator.choice([-1.0, 1.0]))
    small = {
        "a3_offset_db": 0.5, "hysteresis_db": 0.5, "electrical_tilt_deg": 0.5, "tx_power_dbm": 0.5,
    }  # fmt: skip
    parameter = str(city.generator.choice([*small, "cio_db"]))
    if any(change.parameter == parameter and change.cell == name for change in changes):
        return ()
    if parameter == "cio_db":
        relations = np.flatnonzero(network.relation_source == where)
        which = int(city.generator.choice(relations))
        target = network.cell_ids[int(network.relation_target[which])]
        return (_changed(name, parameter, float(held.cio_db[which]), sign, target),)
    before = float(getattr(held, parameter)[where])
    return (_changed(name, parameter, before, sign * small[parameter]),)
