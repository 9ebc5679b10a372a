"""The twin: a running network that can be observed, changed and branched exactly.

``Simulator`` advances a batch of networks that share one set of sites; ``Twin`` is one
network with the scenario's clock, and implements the port ``RadioNetwork``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from cellhive.core.types import Bools, Floats, Floats32, KpiFrame, Network, Parameters, Plan
from cellhive.ran import counters as n
from cellhive.ran import kernel
from cellhive.ran.energy import WAKE_UP_J, power_coefficients
from cellhive.ran.handover import Procedures, timers
from cellhive.ran.kpi import build_frame
from cellhive.ran.parameters import apply_changes
from cellhive.ran.plant import IDLE_LOAD, NO_RELATION_DB, OFF_DBM, Plant, Site
from cellhive.ran.propagation import resource_blocks
from cellhive.ran.radio_map import RadioMap, cell_gain_db, total_gain_db
from cellhive.ran.users import USER, Ground, Traffic, UserMix, place_users, traffic_values

STEP_S = 0.04
"""Length of a kernel step [s]: the L1 sampling period of TS 38.133."""
_MEASUREMENT_PERIOD_S = 0.2
_HAND_OVER_S = 2.0
"""How long a cell that will sleep hands its users over first [s]."""


@dataclass(frozen=True)
class World:
    """Everything about a place that no decision changes."""

    network: Network
    radio_map: RadioMap
    ground: Ground
    mix: UserMix
    traffic: Traffic
    procedures: Procedures
    carrier_offset_db: Floats
    """Preference for each cell's carrier in cell selection and A3 [dB], (C,)."""
    diversity_users: float = 4.0
    """Most users over which proportional fair gains; 1 is round robin."""
    idle_load: float = IDLE_LOAD
    """Share of its power with which a cell interferes that has no traffic: synchronisation,
    broadcast and reference signals."""


def steps_to_trigger(time_to_trigger_s: Floats) -> Floats:
    """Return times to trigger [s] as kernel steps, rounded up."""
    return np.asarray(np.ceil(time_to_trigger_s / STEP_S - 1e-6))


def filter_weight(filter_coefficient: Floats) -> Floats:
    """Return the weight of one kernel step's sample in the layer-3 filter, TS 38.331 §5.5.3.2.

    The coefficient k is meant for samples 200 ms apart; the weight lets the filter forget
    as much in 200 ms of shorter steps.
    """
    per_sample = 0.5 ** (filter_coefficient / 4)
    return np.asarray(1 - (1 - per_sample) ** (STEP_S / _MEASUREMENT_PERIOD_S))


def _padded(values: Floats, width: int, fill: float) -> Floats32:
    """Return (C,) values as (Cp,) float32 with padding at the end."""
    result = np.full(width, fill, np.float32)
    result[: values.size] = values
    return result


def _site(world: World, width: int) -> Site:
    """Return what the kernel needs to know about the place."""
    network, radio_map = world.network, world.radio_map
    carrier = np.full(width, -1, np.int32)
    carrier[: network.cells] = network.carrier_index
    relation = np.full((width, width), -1, np.int32)
    relation[network.relation_source, network.relation_target] = np.arange(network.relations)
    prbs = np.zeros(width)
    prbs[: network.cells] = [resource_blocks(float(hz)) for hz in network.bandwidth_hz]
    return Site(
        west_m=float(radio_map.x0_m),
        south_m=float(radio_map.y0_m),
        pixel_m=float(radio_map.pixel_m),
        rows=int(radio_map.rows),
        columns=int(radio_map.columns),
        carrier=carrier,
        carriers=int(network.carrier_index.max()) + 1,
        prbs=prbs,
        relation=relation,
        ground=world.ground,
        traffic=traffic_values(world.traffic),
        timers=timers(world.procedures, STEP_S),
        diversity_users=float(world.diversity_users),
        idle_load=float(world.idle_load),
    )


class Simulator:
    """E networks at one place, each with its own users, parameters and random streams."""

    def __init__(
        self, world: World, parameters: Sequence[Parameters], seeds: Sequence[int], groups: int = 1
    ) -> None:
        """Place the users and switch every network on.

        Args:
            world: The place.
            parameters: Initial parameters of each network, length E.
            seeds: Seed of each network, length E; equal seeds have equal users.
            groups: Number of groups of users with an activity of their own.
        """
        self.world = world
        self._parameters = [p.copy() for p in parameters]
        tilt_deg = self._parameters[0].electrical_tilt_deg
        gain = total_gain_db(world.radio_map, world.network, tilt_deg)
        self._tilt_deg = tilt_deg[None].copy()
        self._gain_is_shared = False
        self._width = gain.shape[1]
        self._site = _site(world, self._width)
        self._plant = self._empty_plant(gain, seeds, groups)
        self.step = 0
        self.place_users(seeds)
        for e in range(len(seeds)):
            self.set_parameters(e, self._parameters[e])

    def place_users(self, seeds: Sequence[int]) -> None:
        """Key the random streams of every network and place its users, at step 0.

        A batch that has not been advanced yet becomes one that was built with these seeds.
        """
        for e, seed in enumerate(seeds):
            self._plant.seed[e] = np.uint32(seed & 0xFFFFFFFF)
            rng = np.random.default_rng(seed)
            self._plant.users[e] = place_users(self.world.mix, self.world.ground, rng)

    def _empty_plant(self, gain: Floats32, seeds: Sequence[int], groups: int) -> Plant:
        """Return state arrays for E networks with nothing in them."""
        networks, width, users = len(seeds), self._width, self.world.mix.users
        idle, slope, sleeping = power_coefficients(self.world.network)
        watts = np.zeros((networks, width, 3))
        watts[:, : idle.size, 0], watts[:, : idle.size, 2] = idle, sleeping
        watts[:, : idle.size, 1] = slope

        def zeros(*shape: int) -> Floats32:
            return np.zeros((networks, *shape), np.float32)

        return Plant(
            seed=np.zeros(networks, np.uint32),
            gain_db=gain[None],
            gain_of=np.zeros(networks, np.int32),
            users=np.zeros((networks, users), USER),
            l3_dbm=np.full((networks, users, width), OFF_DBM, np.float32),
            trigger=np.full((networks, users, width), -1, np.float32),
            power_dbm=np.full((networks, width), OFF_DBM, np.float32),
            offset_db=np.full((networks, width, width), NO_RELATION_DB, np.float32),
            bias_db=zeros(width),
            a3_db=zeros(width),
            trigger_steps=zeros(width),
            l3_weight=zeros(width),
            closing=np.zeros((networks, width), np.int32),
            watts=watts,
            activity=np.zeros((networks, groups)),
            load=zeros(width),
            sharing=zeros(width),
            connected=zeros(width),
            cells=np.zeros((networks, width, n.CELL_ACCUMULATORS)),
            relations=np.zeros((networks, self.world.network.relations, n.RELATION_ACCUMULATORS)),
        )

    @property
    def networks(self) -> int:
        """Number of networks E."""
        return len(self._parameters)

    @property
    def plant(self) -> Plant:
        """The state arrays, for reading."""
        return self._plant

    @property
    def site(self) -> Site:
        """What all networks share, for reading."""
        return self._site

    def override(self, plant: Plant, site: Site) -> None:
        """Put other state and another place there, past all parameters: so faults get in."""
        self._plant, self._site, self._gain_is_shared = plant, site, False

    def parameters(self, e: int = 0) -> Parameters:
        """Return the parameters of one network."""
        return self._parameters[e].copy()

    def set_parameters(self, e: int, parameters: Parameters) -> None:
        """Give one network new parameters, at once.

        A cell that falls asleep drops what is left of its users: use ``Twin.apply``,
        which hands them over first.
        """
        network, plant = self.world.network, self._plant
        cells, width = network.cells, self._width
        self._set_tilt(e, parameters.electrical_tilt_deg)
        subcarriers = 12.0 * self._site.prbs[:cells]
        per_element = parameters.tx_power_dbm - 10 * np.log10(subcarriers)
        power = np.where(parameters.asleep, OFF_DBM, per_element)
        plant.power_dbm[e] = _padded(power, width, OFF_DBM)
        watts_out = 10 ** (parameters.tx_power_dbm / 10) / 1e3
        slope = power_coefficients(network)[1]
        plant.watts[e, :cells, 1] = slope * watts_out
        offset = np.full((width, width), NO_RELATION_DB, np.float32)
        preference = self.world.carrier_offset_db
        source, target = network.relation_source, network.relation_target
        offset[source, target] = parameters.cio_db + preference[target] - preference[source]
        plant.offset_db[e] = offset
        plant.bias_db[e] = _padded(preference, width, 0.0)
        plant.a3_db[e] = _padded(parameters.a3_offset_db + parameters.hysteresis_db, width, 0.0)
        plant.trigger_steps[e] = _padded(steps_to_trigger(parameters.time_to_trigger_s), width, 0.0)
        plant.l3_weight[e] = _padded(filter_weight(parameters.filter_coefficient), width, 1.0)
        self._parameters[e] = parameters.copy()

    def _set_tilt(self, e: int, electrical_tilt_deg: Floats) -> None:
        """Recompute the gains of the cells of one network whose tilt changes.

        Networks share one map until their tilts differ; clones share it until either
        writes.
        """
        gain, gain_of = self._plant.gain_db, self._plant.gain_of
        changed = np.flatnonzero(electrical_tilt_deg != self._tilt_deg[gain_of[e]])
        if changed.size == 0:
            return
        if self.networks > 1 and gain.shape[0] == 1:
            gain = np.repeat(gain, self.networks, axis=0)
            gain_of = np.arange(self.networks, dtype=np.int32)
            self._tilt_deg = np.repeat(self._tilt_deg, self.networks, axis=0)
        elif self._gain_is_shared:
            gain = gain.copy()
        self._gain_is_shared = False
        self._plant = self._plant._replace(gain_db=gain, gain_of=gain_of)
        for cell in changed.tolist():
            tilt = float(electrical_tilt_deg[cell])
            gain[gain_of[e], :, cell] = cell_gain_db(
                self.world.radio_map, self.world.network, cell, tilt
            )
        self._tilt_deg[gain_of[e]] = electrical_tilt_deg

    def set_users(self, e: int, users: npt.NDArray[np.void]) -> None:
        """Put other users in the place of all users of one network.

        Args:
            e: Index of the network.
            users: USER records as ``place_users`` makes them, (U,).
        """
        self._plant.users[e] = users

    def advance(self, steps: int) -> None:
        """Advance every network by a number of kernel steps."""
        if steps > 0:
            kernel.advance(self._plant, self._site, self.step, steps)
            self.step += steps

    def clear_counters(self) -> None:
        """Start a new reporting period."""
        self._plant.cells[:] = 0.0
        self._plant.relations[:] = 0.0

    def frame(self, e: int, time_s: float, period_s: float) -> KpiFrame:
        """Return what one network counted since the counters were cleared."""
        cells = self._plant.cells[e, : self.world.network.cells]
        return build_frame(time_s, period_s, STEP_S, cells, self._plant.relations[e])

    def clone(self) -> Simulator:
        """Return an exact, independent copy that sees the same users and errors."""
        twin = object.__new__(Simulator)
        twin.__dict__.update(self.__dict__)
        copies = {
            name: array.copy() for name, array in self._plant._asdict().items() if name != "gain_db"
        }
        twin._plant = self._plant._replace(**copies)
        twin._parameters = [parameters.copy() for parameters in self._parameters]
        twin._tilt_deg = self._tilt_deg.copy()
        self._gain_is_shared = twin._gain_is_shared = True
        return twin


@dataclass(frozen=True)
class Clock:
    """How the twin's radio time stands for the time of day."""

    period_s: float = 900.0
    """Granularity period that a frame stands for [s]."""
    observed_s: float = 60.0
    """Radio time simulated in each period [s]."""
    warm_up_s: float = 60.0
    """Radio time before the first period, not reported [s]."""
    start_s: float = 0.0
    """Time of day at which the first period starts [s after midnight]."""


class Twin:
    """One simulated network with a clock; implements ``core.ports.RadioNetwork``."""

    def __init__(
        self,
        world: World,
        parameters: Parameters,
        *,
        seed: int,
        clock: Clock,
        activity: Callable[[float], Floats],
    ) -> None:
        """Build the network and let it settle.

        Args:
            world: The place.
            parameters: Initial parameters.
            seed: Keys users, sessions and measurement errors.
            clock: How radio time stands for the time of day.
            activity: Session rate factor of each group of users, (G,), at a time of day [s].
        """
        self._clock, self.activity = clock, activity
        groups = activity(clock.start_s).size
        self._simulator = Simulator(world, [parameters], [seed], groups)
        self._period = 0
        self._asleep_next: Bools = parameters.asleep.copy()
        self._asleep_before: Bools = parameters.asleep.copy()
        self._enter_period()
        self._simulator.advance(round(clock.warm_up_s / STEP_S))

    @property
    def network(self) -> Network:
        """Sites, sectors and relations."""
        return self._simulator.world.network

    @property
    def world(self) -> World:
        """The place, with its radio map."""
        return self._simulator.world

    @property
    def simulator(self) -> Simulator:
        """The batch of one that does the work."""
        return self._simulator

    @property
    def time_s(self) -> float:
        """Time of day at the start of the next period [s after midnight of the first day]."""
        return self._clock.start_s + self._period * self._clock.period_s

    def protect(self, cells: Sequence[int]) -> None:
        """Mark more cells as protected: nothing may change them."""
        protected = self.network.protected.copy()
        protected[list(cells)] = True
        world = self._simulator.world
        network = replace(world.network, protected=protected)
        self._simulator.world = replace(world, network=network)

    def parameters(self) -> Parameters:
        """Return the parameters as they stand, sleep decisions included."""
        return replace(self._simulator.parameters(0), asleep=self._asleep_next.copy())

    def apply(self, plan: Plan) -> None:
        """Apply a plan at the start of the next period.

        A cell told to sleep hands its users over during the first two seconds and is
        then switched off.

        Raises:
            NotFound: A cell, relation or parameter does not exist.
            Conflict: A change does not start from the present value.
        """
        target = apply_changes(self.parameters(), self.network, plan.changes)
        self._asleep_next = target.asleep.copy()
        now = self._simulator.parameters(0).asleep
        self._simulator.set_parameters(0, replace(target, asleep=now & target.asleep))

    def observe(self) -> KpiFrame:
        """Simulate the next reporting period and return what was counted."""
        self._enter_period()
        simulator, steps = self._simulator, round(self._clock.observed_s / STEP_S)
        simulator.clear_counters()
        self._charge_wake_ups()
        falling = self._asleep_next & ~simulator.parameters(0).asleep
        if falling.any():
            grace = min(round(_HAND_OVER_S / STEP_S), steps)
            simulator.plant.closing[0, : falling.size] = falling
            simulator.advance(grace)
            simulator.plant.closing[0] = 0
            simulator.set_parameters(
                0, replace(simulator.parameters(0), asleep=self._asleep_next.copy())
            )
            steps -= grace
        simulator.advance(steps)
        frame = simulator.frame(0, self.time_s, self._clock.period_s)
        self._asleep_before = simulator.parameters(0).asleep
        self._period += 1
        return frame

    def _charge_wake_ups(self) -> None:
        """Charge the cells that have woken since the last period for it.

        What is observed stands for the whole period, so it bears its share of an energy
        that is spent once.
        """
        woken = self._asleep_before & ~self._simulator.parameters(0).asleep
        share = self._clock.observed_s / self._clock.period_s
        energy = self._simulator.plant.cells[0, : woken.size, n.ENERGY_J]
        energy += np.where(woken, WAKE_UP_J * share, 0.0)

    def _enter_period(self) -> None:
        """Set the activity of the period that begins."""
        self._simulator.plant.activity[0] = self.activity(self.time_s)

    def clone(self) -> Twin:
        """Return an exact branch: same users, same random streams, own decisions."""
        twin = object.__new__(Twin)
        twin.__dict__.update(self.__dict__)
        twin._simulator = self._simulator.clone()
        twin._asleep_next = self._asleep_next.copy()
        return twin
