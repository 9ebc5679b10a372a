"""The environment: many copies of one network, decided on and advanced together.

Arrays go in and arrays come out; axis ``E`` counts networks, ``C`` cells, ``D`` columns
of actions, ``F`` features. The views for Gymnasium, PettingZoo and RLlib hand these
arrays on without copying them.

A decision is a reporting period: the settings are made, the users are simulated for a
while that stands for the period, and what was counted becomes observation and reward.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cellhive.core.errors import BadInput, Conflict
from cellhive.core.types import Bools, Floats, Floats32, Ints, KpiFrame, Network, Parameters
from cellhive.ran import counters as n
from cellhive.ran.energy import WAKE_UP_J
from cellhive.ran.guard.state import Limits
from cellhive.ran.kpi import build_frame
from cellhive.ran.scenarios import HOUR_S, Scenario, activity_curve, build_world
from cellhive.ran.simulator import STEP_S, Simulator, World
from cellhive.rl.actions import DOWN, KEEP, UP, Actions, ActionSettings
from cellhive.rl.admission import (
    ASLEEP,
    CIO,
    LONG_AGO_S,
    NOTHING,
    PARAMETERS_OF_A_CELL,
    REASONS,
    Course,
    admit,
    fill_masks,
    remember,
    standing,
)
from cellhive.rl.observations import Observations
from cellhive.rl.rewards import Reward, Rewards, RewardSettings

Masks = npt.NDArray[np.int8]

FUNCTION = "RL"
"""How the guard and the records call who proposes here."""

_HAND_OVER_S = 2.0
GOLDEN = 0.618
"""Share of the cells by which the first of them moves on from decision to decision."""
_MOST_SEED = 2**32


@dataclass(frozen=True)
class EnvironmentSettings:
    """What an environment is."""

    scenario: Scenario
    """The network, its users and their day."""
    city_seed: int = 1
    """Draws the city: shadowing, hot spots, faults. The seed of an episode draws its users."""
    period_s: float = 900.0
    """Time between two decisions [s]: the granularity period."""
    observed_s: float = 10.0
    """Radio time simulated in each period [s]."""
    warm_up_s: float = 20.0
    """Radio time before the first observation [s]."""
    periods: int | None = None
    """Decisions in an episode; None means as long as the scenario lasts."""
    start_h: float | None = None
    """Time of day at which an episode starts [h]; None means that of the scenario."""
    random_start: bool = False
    """Start each episode at a full hour drawn from its seed."""
    guarded: bool = True
    """Refuse what the guard refuses. Off, an agent may do whatever the parameters can take."""
    actions: ActionSettings = field(default_factory=ActionSettings)
    rewards: RewardSettings = field(default_factory=RewardSettings)
    limits: Limits = field(default_factory=Limits)
    """Limits of the guard."""

    def __post_init__(self) -> None:
        """Refuse times that cannot be."""
        if not (np.isfinite(self.observed_s) and self.observed_s >= STEP_S):
            raise BadInput(
                place="observed_s", expected=f"at least {STEP_S:g} s", found=f"{self.observed_s:g}"
            )
        if not (np.isfinite(self.period_s) and self.period_s >= self.observed_s):
            raise BadInput(
                place="period_s", expected=f"at least the observed {self.observed_s:g} s",
                found=f"{self.period_s:g}",
            )  # fmt: skip
        if self.periods is not None and self.periods < 1:
            raise BadInput(place="periods", expected="1 or more", found=str(self.periods))

    @property
    def decisions(self) -> int:
        """Decisions in an episode."""
        if self.periods is not None:
            return self.periods
        return max(1, round(self.scenario.hours * HOUR_S / self.period_s))


def settings_for(
    scenario: Scenario, settings: EnvironmentSettings | None, changes: dict[str, Any]
) -> EnvironmentSettings:
    """Return settings for a scenario with some of them changed by name.

    Raises:
        BadInput: There is no setting of such a name.
    """
    known = {f.name for f in fields(EnvironmentSettings)} - {"scenario"}
    unknown = sorted(set(changes) - known)
    if unknown:
        raise BadInput(
            place="settings", expected=f"some of {', '.join(sorted(known))}",
            found=", ".join(unknown),
        )  # fmt: skip
    return replace(settings or EnvironmentSettings(scenario), scenario=scenario, **changes)


_kept = lru_cache(maxsize=2)(build_world)


def _place(scenario: Scenario, seed: int) -> tuple[World, Parameters]:
    """Return a city; the last ones are kept, because tests and trainers build many copies."""
    try:
        hash(scenario)
    except TypeError:  # a site list holds arrays, which are no key
        return build_world(scenario, seed)
    return _kept(scenario, seed)


class Step(NamedTuple):
    """What a decision led to."""

    observation: Floats32
    """(E, C, F), see ``observations``."""
    reward: Reward
    ended: bool
    """Whether the episode is over: of all networks, since all are equally long."""
    mask: Masks
    """1 where an option of the next decision would be let through on its own, (E, C, D, 3)."""
    outcome: Ints
    """What became of each action: a place in ``admission.REASONS``, 0 where it was made, -1
    where nothing was asked for, (E, C, D)."""

    @property
    def made(self) -> Ints:
        """Changes that were made, (E,)."""
        return np.asarray((self.outcome == NOTHING).sum(axis=(1, 2)), np.int32)

    @property
    def refused(self) -> Ints:
        """Changes that were refused, by ``REASONS`` from the second on, (E, 11)."""
        kinds = np.arange(1, len(REASONS))
        return np.asarray((self.outcome[..., None] == kinds).sum(axis=(1, 2)), np.int32)


class CellEnvironment:
    """E copies of a network under decisions; the one core of every view."""

    def __init__(self, settings: EnvironmentSettings, networks: int = 1) -> None:
        """Build the city once, for all copies.

        Args:
            settings: What the environment is.
            networks: Number of copies E; each has its own users, settings and fate.
        """
        self.settings = settings
        if networks < 1:
            raise BadInput(place="networks", expected="1 or more", found=str(networks))
        self.networks = networks
        recipe = self.settings.scenario
        self.world, self.initial = _place(recipe, self.settings.city_seed)
        self._activity: Callable[[float], Floats] = activity_curve(recipe)
        self.actions = Actions(self.settings.actions, self.network)
        self.observations = Observations(self.network, self.actions.slots)
        self.rewards = Rewards(self.settings.rewards, self.network)
        self._rules = standing(self.network, self.settings.limits)
        groups = self._activity(0.0).size
        self._pristine: Simulator | None = Simulator(
            self.world, [self.initial] * networks, [0] * networks, groups
        )
        self._generators = [np.random.default_rng() for _ in range(networks)]
        self.period = -1
        """Decisions made in this episode; -1 before the first reset."""

    @property
    def network(self) -> Network:
        """Sites, cells and relations."""
        return self.world.network

    @property
    def simulator(self) -> Simulator:
        """The twin under the decisions, for reading."""
        self._must_run()
        return self._simulator

    def reset(
        self, seeds: Sequence[int] | None = None, *, start_h: float | None = None
    ) -> tuple[Floats32, Masks]:
        """Begin an episode in every network; return observation and mask, as in ``Step``.

        Args:
            seeds: Seed of each network; None goes on from the episode before.
            start_h: Time of day at which it starts [h]; None means as the settings say.
        """
        if self._pristine is None:
            message = "expected an environment of its own, found a branch: it cannot begin anew"
            raise Conflict(message)
        self._seed(seeds)
        drawn = [int(rng.integers(_MOST_SEED)) for rng in self._generators]
        hours = [int(rng.integers(24)) for rng in self._generators]
        usual = self.settings.scenario.start_h if self.settings.start_h is None else (
            self.settings.start_h)  # fmt: skip
        if start_h is None and self.settings.random_start:
            self._start_s = np.array(hours, np.float64) * HOUR_S
        else:
            self._start_s = np.full(self.networks, usual if start_h is None else start_h) * HOUR_S
        self._simulator = self._pristine.clone()
        self._simulator.place_users(drawn)
        values = np.repeat(values_of(self.initial)[None], self.networks, axis=0)
        self._course = Course(
            values=values, base=values.copy(), changed_s=np.full(values.shape, LONG_AGO_S),
            woken_s=np.full((self.networks, self.network.cells), LONG_AGO_S),
            spent=np.zeros((self.networks, self.network.cells), np.int32),
        )  # fmt: skip
        self._history: list[tuple[float, Ints]] = []
        self.period = 0
        self._set_activity()
        self._simulator.advance(round(self.settings.warm_up_s / STEP_S))
        asleep = self._asleep()
        frame = self._observe(asleep, asleep)
        self._seen = self.observations.of(frame, values, self._time_s())
        return self._seen, self.masks()

    def step(self, actions: Any) -> Step:
        """Make a decision in every network and let the period pass.

        Args:
            actions: (E, C, D): whole numbers 0 to 2, or real numbers -1 to 1.

        Raises:
            BadInput: The actions are not what they should be; nothing has happened then.
            Conflict: The episode is over, or none has begun.
        """
        self._must_run()
        if self.period >= self.settings.decisions:
            message = "expected an episode that runs, found one that is over; reset first"
            raise Conflict(message)
        checked = self.actions.checked(actions, self.networks)
        asleep_before = self._asleep()
        reason = self._decide(checked)
        self.period += 1
        self._set_activity()
        frame = self._observe(asleep_before, self._asleep())
        self._seen = self.observations.of(frame, self._course.values, self._time_s())
        return Step(
            observation=self._seen,
            reward=self.rewards.of(frame, self.networks),
            ended=self.period >= self.settings.decisions,
            mask=self.masks(),
            outcome=reason.reshape(checked.shape),
        )

    def keep(self) -> npt.NDArray[Any]:
        """Return the actions that change nothing, (E, C, D)."""
        shape = (self.networks, self.network.cells, len(self.actions.columns))
        if self.actions.discrete:
            return np.full(shape, KEEP, np.int64)
        return self.actions.still(self._course, self._rules)

    def seen(self) -> Floats32:
        """Return the last observation, (E, C, F)."""
        self._must_run()
        return self._seen

    def parameters(self, e: int = 0) -> Parameters:
        """Return the parameters of one network, sleep decisions included."""
        self._must_run()
        return _parameters(self._course.values[e], self.initial)

    def clone(self) -> CellEnvironment:
        """Return an exact, independent copy that sees the same users and the same luck."""
        self._must_run()
        twin = object.__new__(CellEnvironment)
        twin.__dict__.update(self.__dict__)
        twin._simulator = self._simulator.clone()
        twin._course = self._course.copied()
        twin._history = list(self._history)
        twin._generators = deepcopy(self._generators)
        twin._start_s = self._start_s.copy()
        return twin

    def branch(self, copies: int, e: int = 0, seeds: Sequence[int] | None = None) -> (
        CellEnvironment
    ):  # fmt: skip
        """Return a network as it stands many times over, each copy with decisions of its own.

        Args:
            copies: Number of networks of the branch.
            e: Which network.
            seeds: Key the random streams of each copy from now on: the same users where they
                stand, with other luck to come. None keeps the one luck for all.
        """
        self._must_run()
        twin = object.__new__(CellEnvironment)
        twin.__dict__.update(self.__dict__)
        twin.networks, twin._pristine = copies, None
        twin._simulator = _repeated(self._simulator, e, copies)
        if seeds is not None:
            twin._simulator.plant.seed[:] = np.array(seeds, np.uint32)
        twin._course = Course(*(np.repeat(part[e][None], copies, axis=0) for part in self._course))
        twin._history = [
            (time_s, np.repeat(made[e][None], copies, axis=0)) for time_s, made in self._history
        ]
        twin._generators = [deepcopy(self._generators[e]) for _ in range(copies)]
        twin._start_s = np.repeat(self._start_s[e], copies)
        twin._seen = np.repeat(self._seen[e][None], copies, axis=0)
        return twin

    def frame(self, e: int = 0) -> KpiFrame:
        """Return what one network counted in the last period."""
        settings = self.settings
        began_s = max(self.period - 1, 0) * settings.period_s
        return self.simulator.frame(e, began_s, settings.period_s)

    def value_place(self, parameter: str, index: int) -> int:
        """Return where a parameter of a cell or relation stands among the values of a network.

        -1 where nothing turns it.
        """
        if parameter == "cio_db":
            return CIO * self.network.cells + index
        if parameter not in PARAMETERS_OF_A_CELL:
            return -1
        return PARAMETERS_OF_A_CELL.index(parameter) * self.network.cells + index

    def masks(self) -> Masks:
        """Return which options would be let through, each on its own, (E, C, D, 3)."""
        self._must_run()
        course, place = self._course, self.actions.place
        course.spent[:] = self._window()
        options = self.actions.options(course.values)
        allowed = np.empty(options.shape, np.bool_)
        settings = (self._now_s(), self.settings.guarded)
        fill_masks(course, self._rules, place, options, settings, allowed)
        mask = np.ones((*allowed.shape[:2], 3), np.int8)
        mask[:, :, [DOWN, UP]] = allowed
        return mask.reshape(self.networks, self.network.cells, -1, 3)

    def _must_run(self) -> None:
        if self.period < 0:
            message = "expected an episode, found none that has begun; call reset first"
            raise Conflict(message)

    def _seed(self, seeds: Sequence[int] | None) -> None:
        """Give every network the random stream of its seed, or leave it the one it has."""
        if seeds is None:
            return
        wrong = len(seeds) != self.networks or any(
            not isinstance(seed, int | np.integer) or seed < 0 for seed in seeds
        )
        if wrong:
            raise BadInput(
                place="seeds", expected=f"{self.networks} whole numbers from 0",
                found=repr(list(seeds)),
            )  # fmt: skip
        self._generators = [np.random.default_rng(int(seed)) for seed in seeds]

    def _now_s(self) -> float:
        """Return the time of the next decision since the episode began [s]."""
        return self.period * self.settings.period_s

    def _time_s(self) -> Floats:
        """Return the time of day of the present period of each network [s], (E,)."""
        return self._start_s + self.period * self.settings.period_s

    def _set_activity(self) -> None:
        for e, time_s in enumerate(self._time_s().tolist()):
            self._simulator.plant.activity[e] = self._activity(time_s)

    def _asleep(self) -> Bools:
        """Return which cells are switched off, (E, C)."""
        cells = self.network.cells
        values = self._course.values[:, ASLEEP * cells : (ASLEEP + 1) * cells]
        return np.asarray(values > 0)

    def _window(self) -> Ints:
        """Return the changes of each cell within the window of the budgets, (E, C)."""
        since_s = self._now_s() - self.settings.limits.window_s
        self._history = [(time_s, made) for time_s, made in self._history if time_s > since_s]
        spent = np.zeros_like(self._course.spent)
        for _, made in self._history:
            spent += made
        return spent

    def _decide(self, actions: npt.NDArray[Any]) -> Ints:
        """Put actions to the guard, make what passes, and return why not, (E, N)."""
        course, place, now_s = self._course, self.actions.place, self._now_s()
        before, spent = course.values.copy(), self._window()
        course.spent[:] = spent
        turn = round(self.period * GOLDEN * self.network.cells) % self.network.cells
        proposals = self.actions.proposals(actions, course, self._rules, turn)
        reason = np.full(proposals.after.shape, -1, np.int32)
        admit(course, self._rules, place, *proposals, (now_s, self.settings.guarded), reason)
        made = np.zeros(self.networks, np.bool_)
        remember(course, self._rules, before, now_s, made)
        self._history.append((now_s, course.spent - spent))
        asleep = _cells_of(before, ASLEEP, self.network.cells) > 0
        for e in np.flatnonzero(made).tolist():
            parameters = self.parameters(e)
            still_awake = replace(parameters, asleep=parameters.asleep & asleep[e])
            self._simulator.set_parameters(e, still_awake)
        return reason

    def _observe(self, before: Bools, after: Bools) -> KpiFrame:
        """Let a period pass and return what was counted, network after network.

        A cell that falls asleep hands its users over first; one that wakes up is charged
        for it, as ``Twin.observe`` does.

        Args:
            before: Cells that slept in the period before, (E, C).
            after: Cells that sleep in this one.
        """
        simulator, settings, cells = self._simulator, self.settings, self.network.cells
        steps = round(settings.observed_s / STEP_S)
        simulator.clear_counters()
        share = settings.observed_s / settings.period_s
        simulator.plant.cells[:, :cells, n.ENERGY_J] += (before & ~after) * WAKE_UP_J * share
        falling = after & ~before
        if falling.any():
            grace = min(round(_HAND_OVER_S / STEP_S), steps)
            simulator.plant.closing[:, :cells] = falling
            simulator.advance(grace)
            simulator.plant.closing[:] = 0
            for e in np.flatnonzero(falling.any(axis=1)).tolist():
                simulator.set_parameters(e, self.parameters(e))
            steps -= grace
        simulator.advance(steps)
        plant = simulator.plant
        counted = plant.cells[:, :cells].reshape(self.networks * cells, -1)
        relations = plant.relations.reshape(-1, plant.relations.shape[-1])
        return build_frame(self._now_s(), settings.period_s, STEP_S, counted, relations)


def _repeated(simulator: Simulator, e: int, copies: int) -> Simulator:
    """Return a batch of one network of another batch, as it stands, many times over."""
    here, plant = simulator.parameters(e), simulator.plant
    groups = plant.activity.shape[1]
    batch = Simulator(simulator.world, [here] * copies, [0] * copies, groups)
    shared: dict[str, Any] = {"gain_db": batch.plant.gain_db, "gain_of": batch.plant.gain_of}
    state: dict[str, Any] = {
        name: np.repeat(array[e][None], copies, axis=0)
        for name, array in plant._asdict().items()
        if name not in shared
    }
    batch.override(plant._replace(**state, **shared), simulator.site)
    batch.step = simulator.step
    return batch


def _cells_of(values: Floats, kind: int, cells: int) -> Floats:
    """Return the values of one kind of cell parameter."""
    return values[..., kind * cells : (kind + 1) * cells]


def values_of(parameters: Parameters) -> Floats:
    """Return parameters as the values of a network, (V,)."""
    columns = [np.asarray(getattr(parameters, name), np.float64) for name in PARAMETERS_OF_A_CELL]
    return np.concatenate([*columns, parameters.cio_db])


def _parameters(values: Floats, initial: Parameters) -> Parameters:
    """Return the values of a network as parameters; what they lack stays as it was."""
    cells = initial.asleep.size
    columns: dict[str, Any] = {
        name: _cells_of(values, kind, cells).copy()
        for kind, name in enumerate(PARAMETERS_OF_A_CELL)
    }
    columns["asleep"] = columns["asleep"] > 0
    return replace(initial, **columns, cio_db=values[CIO * cells :].copy())
