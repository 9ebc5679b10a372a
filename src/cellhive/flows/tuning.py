"""The best fixed setting of a network, searched for with full knowledge of its users.

What no operator has: the search tries a setting on an exact copy of the network, with the
same users and random numbers every time, as often as it is allowed to, and without a guard
between it and the network. It is a yardstick, not an optimiser to use.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cellhive.core.schema import QUANTITIES
from cellhive.core.types import Bools, Floats, KpiFrame, Network, Parameters
from cellhive.flows.watch import OBJECTIVE, Scoring
from cellhive.ran.parameters import loop_slack_db, snap
from cellhive.ran.simulator import STEP_S, Simulator, World


@dataclass(frozen=True)
class Setting:
    """Parameters that stay as they are, but for cells that sleep while it is quiet."""

    parameters: Parameters
    sleepers: Bools
    """Cells that sleep in quiet hours, (C,)."""
    sleep_below: float = 0.0
    """Share of the busiest hour's traffic below which they do."""

    def at(self, busy: float) -> Parameters:
        """Return the parameters in an hour with this share of the busiest hour's traffic."""
        asleep = self.sleepers & (busy < self.sleep_below)
        return replace(self.parameters, asleep=self.parameters.asleep | asleep)


@dataclass(frozen=True)
class Course:
    """The hours that a setting is tried in, and who is there."""

    moments_s: tuple[float, ...]
    """Times of day that are simulated, one after the other [s]."""
    activity: Callable[[float], Floats]
    """Session rate factor of each group of users at a time of day [s]."""
    busy: Callable[[float], float]
    """Share of the busiest hour's traffic at a time of day [s]."""
    seed: int
    """Keys users, sessions and measurement errors."""
    warm_up_s: float = 40.0
    """Radio time before the first moment counts [s]."""
    settle_s: float = 15.0
    """Radio time before any later one counts [s]."""
    observed_s: float = 30.0
    """Radio time of each moment that counts [s]."""


Job = Callable[[], list[list[KpiFrame]]]
RunJobs = Callable[[list[Job]], list[list[list[KpiFrame]]]]
"""Runs jobs, perhaps side by side, and returns their results in order."""


def in_turn(jobs: list[Job]) -> list[list[list[KpiFrame]]]:
    """Run jobs one after the other."""
    return [job() for job in jobs]


def try_settings(world: World, settings: Sequence[Setting], course: Course) -> list[list[KpiFrame]]:
    """Return the frame of every moment of each setting: all see the same users."""
    parameters = [one.at(course.busy(course.moments_s[0])) for one in settings]
    groups = course.activity(course.moments_s[0]).size
    simulator = Simulator(world, parameters, [course.seed] * len(settings), groups)
    frames: list[list[KpiFrame]] = [[] for _ in settings]
    for index, moment_s in enumerate(course.moments_s):
        simulator.plant.activity[:] = course.activity(moment_s)
        for e, one in enumerate(settings):
            wanted = one.at(course.busy(moment_s))
            if not np.array_equal(wanted.asleep, simulator.parameters(e).asleep):
                simulator.set_parameters(e, wanted)
        simulator.advance(round((course.settle_s if index else course.warm_up_s) / STEP_S))
        simulator.clear_counters()
        simulator.advance(round(course.observed_s / STEP_S))
        for e in range(len(settings)):
            frames[e].append(simulator.frame(e, moment_s, course.observed_s))
    return frames


@dataclass(frozen=True)
class SearchSettings:
    """How hard to search."""

    evaluations: int = 160
    """Settings that are tried, the first one included; choosing among the steps comes on top."""
    batch: int = 4
    """Settings that one job tries together."""
    neighbours: int = 6
    """Neighbours whose KPIs count with a cell's own where one cell is changed."""
    scoring: Scoring = field(default_factory=Scoring)


@dataclass(frozen=True)
class Tuned:
    """What a search has found."""

    setting: Setting
    objective: float
    """Mean objective with the users that chose among the steps of the search."""
    start: float
    """Objective of the setting that it started from, with the same users."""
    evaluations: int
    steps: tuple[str, ...]
    """What improved it, in order."""


Change = Callable[[Setting, float], Setting]
"""Returns a setting with one thing changed everywhere."""
CellChange = Callable[[Setting, Collection[int], float], Setting]
"""Returns a setting with one thing changed in some cells."""


# --------------------------------------------------------------------------- what is tried


def with_values(setting: Setting, name: str, values: Floats) -> Setting:
    """Return a setting with a parameter array in place, held within its limits."""
    quantity = QUANTITIES[name]
    bounded = np.clip(values, quantity.low, quantity.high)
    if name == "cio_db":
        bounded = np.array([snap(name, value) for value in bounded.tolist()])
    changes: dict[str, Any] = {name: bounded}
    return replace(setting, parameters=replace(setting.parameters, **changes))


def level(name: str) -> Change:
    """Return what gives every cell one value of a parameter."""

    def change(setting: Setting, value: float) -> Setting:
        return with_values(setting, name, np.full(setting.sleepers.size, value))

    return change


def shift(name: str) -> CellChange:
    """Return what adds to a parameter of some cells."""

    def change(setting: Setting, cells: Collection[int], step: float) -> Setting:
        values = getattr(setting.parameters, name).copy()
        values[list(cells)] += step
        return with_values(setting, name, values)

    return change


def attract(network: Network) -> CellChange:
    """Return what makes cells take users over earlier and hand them over later."""

    def change(setting: Setting, cells: Collection[int], step: float) -> Setting:
        chosen = np.isin(np.arange(network.cells), list(cells))
        inward = chosen[network.relation_target] & ~chosen[network.relation_source]
        outward = chosen[network.relation_source] & ~chosen[network.relation_target]
        values = setting.parameters.cio_db + step * inward - step * outward
        return with_values(setting, "cio_db", values)

    return change


def _doze(setting: Setting, value: float) -> Setting:
    return replace(setting, sleep_below=value)


def _rouse(setting: Setting, cells: Collection[int], step: float) -> Setting:
    """Let cells sleep in quiet hours (1) or never (-1)."""
    sleepers = setting.sleepers.copy()
    sleepers[list(cells)] = step > 0
    return replace(setting, sleepers=sleepers)


def admissible(network: Network, setting: Setting, least_slack_db: float = 0.0) -> bool:
    """Return whether a setting keeps clear of handover loops."""
    slack_db = loop_slack_db(network, setting.parameters)
    return bool(slack_db.min(initial=np.inf) >= least_slack_db)


def spread_out(network: Network, cells: Iterable[int], neighbours: int) -> list[list[int]]:
    """Return cells in groups within which the surroundings of no two cells meet.

    Greedy: each cell joins the first group in which its surroundings are still free.
    """
    groups: list[tuple[list[int], set[int]]] = []
    for cell in cells:
        near = {cell, *network.neighbours_of(cell)[:neighbours]}
        for members, taken in groups:
            if not near & taken:
                members.append(cell)
                taken.update(near)
                break
        else:
            groups.append(([cell], near))
    return [members for members, _ in groups]


# --------------------------------------------------------------------------- the search


class _Search:
    """A search under way: the best setting so far and what is left of the budget."""

    def __init__(
        self, world: World, start: Setting, course: Course, settings: SearchSettings, run: RunJobs
    ) -> None:
        self._world, self._course, self._settings, self._run = world, course, settings, run
        self.spent = 0
        self.steps: list[str] = []
        slack = loop_slack_db(world.network, start.parameters).min(initial=np.inf)
        self._slack_db = min(0.0, float(slack))
        self.best = start
        self.frames = self._try([start])[0]
        self.objective = self._score(self.frames)
        self.trail = [start]

    @property
    def left(self) -> int:
        """Settings that may still be tried."""
        return self._settings.evaluations - self.spent

    def _try(self, settings: Sequence[Setting]) -> list[list[KpiFrame]]:
        self.spent += len(settings)
        size = max(1, min(self._settings.batch, -(-len(settings) // 2)))
        chunks = [settings[first : first + size] for first in range(0, len(settings), size)]

        def job(chunk: Sequence[Setting]) -> Job:
            return lambda: try_settings(self._world, chunk, self._course)

        return [frames for found in self._run([job(chunk) for chunk in chunks]) for frames in found]

    def _score(self, frames: Sequence[KpiFrame]) -> float:
        return float(np.mean([self._settings.scoring.network_objective(f) for f in frames]))

    def take_best(self, candidates: Sequence[tuple[str, Setting]]) -> bool:
        """Try settings and keep the best, if it beats what there is."""
        network = self._world.network
        allowed = [one for one in candidates if admissible(network, one[1], self._slack_db)]
        allowed = allowed[: max(self.left, 0)]
        if not allowed:
            return False
        tried = self._try([setting for _, setting in allowed])
        scores = [self._score(frames) for frames in tried]
        place = int(np.argmax(scores))
        if not scores[place] > self.objective:
            return False
        self.steps.append(f"{allowed[place][0]}: {scores[place] - self.objective:+.2f}")
        self.best, self.frames, self.objective = allowed[place][1], tried[place], scores[place]
        self.trail.append(self.best)
        return True

    def choose(self) -> Tuned:
        """Return the step of the search that is best with users it has not seen.

        A search among many settings also finds what suits its users by chance.
        """
        course = self._course
        self._course = replace(
            course, seed=(course.seed + 1) % 2**32, observed_s=2 * course.observed_s
        )
        scores = [self._score(frames) for frames in self._try(self.trail)]
        self._course = course
        place = int(np.argmax(scores))
        return Tuned(
            self.trail[place], scores[place], scores[0], self.spent, tuple(self.steps[:place])
        )

    def everywhere(self, what: str, change: Change, values: Iterable[float]) -> bool:
        """Try values of something that is the same everywhere."""
        return self.take_best([(f"{what} {value:g}", change(self.best, value)) for value in values])

    def cell_by_cell(
        self, what: str, change: CellChange, steps: Sequence[float], cells: Sequence[int]
    ) -> bool:
        """Try steps in single cells, many far apart at once, and keep those that helped.

        Each is judged by its own surroundings. Then what helped is tried together: all of
        it, and the better half.
        """
        gains: list[tuple[float, int, float]] = []
        groups = spread_out(self._world.network, cells, self._settings.neighbours)
        trials = [(group, step) for group in groups for step in steps]
        trials = trials[: max(self.left - 2, 0)]
        if not trials:
            return False
        tried = self._try([change(self.best, group, step) for group, step in trials])
        for (group, step), frames in zip(trials, tried, strict=True):
            for cell in group:
                gains.append((self._area_gain(cell, frames), cell, step))
        helped: dict[int, tuple[float, float]] = {}
        for gain, cell, step in sorted(gains):
            if gain > 0:
                helped[cell] = (gain, step)  # the largest gain comes last
        ranked = sorted(helped, key=lambda cell: -helped[cell][0])
        options = []
        for count in dict.fromkeys((len(ranked), -(-len(ranked) // 2))):
            setting = self.best
            for cell in ranked[:count]:
                setting = change(setting, [cell], helped[cell][1])
            if count:
                options.append((f"{what} of {count} cells", setting))
        return self.take_best(options)

    def _area_gain(self, cell: int, frames: Sequence[KpiFrame]) -> float:
        """Return by how much the surroundings of a cell got better."""
        near = self._world.network.neighbours_of(cell)[: self._settings.neighbours]
        area, scoring = {cell, *near}, self._settings.scoring
        return float(
            np.mean(
                [
                    scoring.over(after, area)[OBJECTIVE] - scoring.over(before, area)[OBJECTIVE]
                    for before, after in zip(self.frames, frames, strict=True)
                ]
            )
        )


THRESHOLDS_DB = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
"""A3 offsets that are tried everywhere; the hysteresis comes on top."""
TRIGGERS_S = (0.0, 0.04, 0.08, 0.16, 0.32, 0.64)
SLEEP_BELOW = (0.25, 0.4, 0.6, 0.8, 0.9, 1.01)
LAYER_STEPS_DB = (-3.0, -1.0, 1.0, 3.0)


def tune(
    world: World,
    start: Setting,
    course: Course,
    settings: SearchSettings | None = None,
    run: RunJobs = in_turn,
) -> Tuned:
    """Return the best setting that was found.

    Coordinate descent: what is set alike everywhere first (tilt, handover, power, sleep,
    preference of layers), then cell by cell (tilt, preference, power, sleep), round by
    round with smaller steps until the budget is spent.

    Args:
        world: The place.
        start: The setting it begins with.
        course: The hours that count.
        settings: How hard to search.
        run: Runs jobs side by side.
    """
    search = _Search(world, start, course, settings or SearchSettings(), run)
    step = 2.0
    while search.left > 0:
        found = _network_wide(search, world.network)
        found |= _in_cells(search, world.network, step)
        if not found and step < 1.0:
            break
        step = max(step / 2, 0.5)
    return search.choose()


def _network_wide(search: _Search, network: Network) -> bool:
    """Try what is the same everywhere."""
    parameters = search.best.parameters
    middle = float(np.median(parameters.electrical_tilt_deg))
    found = False
    if np.ptp(parameters.electrical_tilt_deg) > 0 or not search.steps:
        tilts = [middle + step for step in (0, -3, -2, -1, 1, 2, 3)]
        found |= search.everywhere("tilt", level("electrical_tilt_deg"), tilts)
    found |= search.everywhere("A3 offset", level("a3_offset_db"), THRESHOLDS_DB)
    found |= search.everywhere("time to trigger", level("time_to_trigger_s"), TRIGGERS_S)
    capacity = np.flatnonzero(~network.coverage_cell).tolist()
    if capacity:
        draw, power = attract(network), shift("tx_power_dbm")
        found |= search.everywhere("sleep below", _doze, SLEEP_BELOW)
        found |= search.take_best(
            [(f"capacity layer preferred {step:+g} dB", draw(search.best, capacity, step))
             for step in LAYER_STEPS_DB]
        )  # fmt: skip
        found |= search.take_best(
            [(f"power of the capacity layer {step:+g} dB", power(search.best, capacity, step))
             for step in (-3.0, 2.0)]
        )  # fmt: skip
    return found


def _in_cells(search: _Search, network: Network, step: float) -> bool:
    """Try what may differ from cell to cell."""
    cells = range(network.cells)
    steps = (-step, step)
    found = search.cell_by_cell("tilt", shift("electrical_tilt_deg"), steps, cells)
    offset = max(1.0, step)
    found |= search.cell_by_cell("preference", attract(network), (-offset, offset), cells)
    capacity = np.flatnonzero(~network.coverage_cell).tolist()
    if capacity:
        found |= search.cell_by_cell("sleep", _rouse, (-1.0, 1.0), capacity)
    found |= search.cell_by_cell("power", shift("tx_power_dbm"), (-step,), cells)
    return found
