"""Bayesian optimisation of a city's fixed setting, on users that the comparison never sees.

A Gaussian process over a dozen or two numbers: what is set alike everywhere (event A3, and
where there is a capacity layer its preference and the hours in which it sleeps), and tilt and
preference of groups of cells that stand together. Optuna's ``GPSampler`` (Matérn 5/2 kernel,
log expected improvement) does the modelling; the extra ``evaluate`` installs it. On the
highway of a city for choosing it found settings some 15 points above those of Optuna's
``TPESampler`` with as many trials, which is why the dearer model is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from cellhive.core.errors import NotFound
from cellhive.core.types import Floats, Ints, KpiFrame, Network
from cellhive.flows.tuning import (
    TRIGGERS_S,
    Course,
    RunJobs,
    Setting,
    Tuned,
    admissible,
    attract,
    in_turn,
    level,
    try_settings,
)
from cellhive.flows.watch import Scoring
from cellhive.ran.parameters import loop_slack_db
from cellhive.ran.simulator import World

_TILT_REACH_DEG = 6.0
_PREFER_DB = 3.0
_LAYER_DB = 6.0
_FINALISTS = 5


@dataclass(frozen=True)
class BayesianSettings:
    """How much to search, and over what."""

    evaluations: int = 48
    """Settings that are tried; choosing among the best comes on top, as in ``tuning.tune``."""
    startup: int = 12
    """Settings that are drawn before the process is fitted, the first guess included."""
    batch: int = 4
    """Settings that are asked for and tried together."""
    groups: int = 4
    """Groups of cells with a tilt and a preference of their own, a power of two."""
    scoring: Scoring = field(default_factory=Scoring)


class Range(NamedTuple):
    """One number that is searched for."""

    name: str
    low: float
    high: float
    step: float
    start: float
    """The first guess."""


def cell_groups(network: Network, count: int) -> list[Ints]:
    """Return cells in groups that stand together, by halving along the longer side."""
    groups: list[Ints] = [np.arange(network.cells, dtype=np.int32)]
    while len(groups) < count and max(map(len, groups)) > 1:
        halves: list[Ints] = []
        for group in groups:
            x, y = network.x_m[group], network.y_m[group]
            order = np.argsort(x if np.ptp(x) >= np.ptp(y) else y, kind="stable")
            middle = -(-group.size // 2)
            halves += [half for half in (group[order[:middle]], group[order[middle:]]) if half.size]
        groups = halves
    return groups


class Space:
    """What numbers mean in a network: from a point of the search to a setting."""

    def __init__(self, network: Network, start: Setting, groups: int) -> None:
        """Lay out the numbers of a network.

        Args:
            network: The network.
            start: The setting as found.
            groups: Groups of cells with numbers of their own.
        """
        self._network, self._start = network, start
        self._groups = cell_groups(network, groups)
        self._capacity = np.flatnonzero(~network.coverage_cell).tolist()
        parameters = start.parameters
        tilt = float(np.median(parameters.electrical_tilt_deg))
        low, high = max(0.0, tilt - _TILT_REACH_DEG), min(15.0, tilt + _TILT_REACH_DEG)
        offset = float(np.median(parameters.a3_offset_db + parameters.hysteresis_db))
        trigger = float(np.median(parameters.time_to_trigger_s))
        places = len(TRIGGERS_S) - 1
        nearest = float(np.argmin(np.abs(np.array(TRIGGERS_S) - trigger)))
        ranges = [
            Range("threshold_db", 0.0, 6.0, 0.5, min(offset, 6.0)),
            Range("trigger", 0, places, 1, nearest),
        ]
        for index in range(len(self._groups)):
            ranges.append(Range(f"tilt_deg_{index}", low, high, 0.5, tilt))
            ranges.append(Range(f"prefer_db_{index}", -_PREFER_DB, _PREFER_DB, 1.0, 0.0))
        if self._capacity:
            ranges.append(Range("layer_db", -_LAYER_DB, _LAYER_DB, 1.0, 0.0))
            ranges.append(Range("sleep_below", 0.0, 1.05, 0.05, 0.0))
        self.ranges = tuple(ranges)

    def setting(self, point: dict[str, float]) -> Setting:
        """Return the setting of a point; the hysteresis is in the threshold, so it is 0 dB."""
        setting = level("a3_offset_db")(self._start, point["threshold_db"])
        setting = level("hysteresis_db")(setting, 0.0)
        setting = level("time_to_trigger_s")(setting, TRIGGERS_S[int(point["trigger"])])
        tilt = setting.parameters.electrical_tilt_deg.copy()
        draw = attract(self._network)
        for index, group in enumerate(self._groups):
            tilt[group] = point[f"tilt_deg_{index}"]
            if point[f"prefer_db_{index}"]:
                setting = draw(setting, group.tolist(), point[f"prefer_db_{index}"])
        setting = replace(setting, parameters=replace(setting.parameters, electrical_tilt_deg=tilt))
        if self._capacity:
            if point["layer_db"]:
                setting = draw(setting, self._capacity, point["layer_db"])
            setting = replace(setting, sleep_below=point["sleep_below"])
        return setting

    def first_guess(self) -> dict[str, float]:
        """Return the point nearest to the setting as found, alike in all cells."""
        return {each.name: each.start for each in self.ranges}


def _optuna() -> Any:
    try:
        import optuna  # noqa: PLC0415  # an extra
        import torch  # noqa: F401, PLC0415  # what its Gaussian process is made of
    except ImportError as error:
        message = (
            "Bayesian optimisation needs optuna and torch: pip install -c constraints.txt "
            f"torch==2.13.0 -e '.[evaluate]' ({error})"
        )
        raise NotFound(message) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def optimise(
    world: World,
    start: Setting,
    course: Course,
    settings: BayesianSettings | None = None,
    run: RunJobs = in_turn,
) -> Tuned:
    """Return the best setting that was found; the one as found is among the candidates.

    Settings that would hand users back and forth for ever are not simulated: they count as
    much worse than the worst.

    Args:
        world: The place.
        start: The setting as found.
        course: The hours that count, and the users that settings are tried on.
        settings: How much to search.
        run: Runs jobs side by side.

    Raises:
        NotFound: Optuna or torch is not installed.
    """
    settings = settings or BayesianSettings()
    optuna = _optuna()
    sampler = optuna.samplers.GPSampler(
        seed=course.seed, n_startup_trials=settings.startup, warn_independent_sampling=False
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    space = Space(world.network, start, settings.groups)
    study.enqueue_trial(space.first_guess())
    ranges = {
        each.name: optuna.distributions.FloatDistribution(each.low, each.high, step=each.step)
        for each in space.ranges
    }
    tried = _Tried(world, course, settings, run)
    found: list[tuple[float, Setting]] = [(tried.scores([start])[0], start)]
    while tried.count < settings.evaluations:
        count = min(settings.batch, settings.evaluations - tried.count)
        trials = [study.ask(ranges) for _ in range(count)]
        candidates = [space.setting(trial.params) for trial in trials]
        scores = tried.scores(candidates)
        for trial, candidate, score in zip(trials, candidates, scores, strict=True):
            study.tell(trial, score)
            found.append((score, candidate))
    return _chosen(tried, found)


class _Tried:
    """Settings tried so far on the same users."""

    def __init__(
        self, world: World, course: Course, settings: BayesianSettings, run: RunJobs
    ) -> None:
        self.world, self.course, self._settings, self._run = world, course, settings, run
        self.count = 0
        self._least = 0.0
        self._slack_db: float | None = None

    def scores(self, settings: Sequence[Setting]) -> list[float]:
        """Return the objective of settings; refused ones count as ten points below the worst."""
        if self._slack_db is None:  # the first setting is the one as found, loops or not
            slack_db = loop_slack_db(self.world.network, settings[0].parameters)
            self._slack_db = min(0.0, float(slack_db.min(initial=np.inf)))
        self.count += len(settings)
        network, least_db = self.world.network, self._slack_db
        allowed = [one for one in settings if admissible(network, one, least_db)]
        known = iter(self.run(allowed, self.course))
        scores = [next(known) if admissible(network, one, least_db) else None for one in settings]
        real = [score for score in scores if score is not None]
        self._least = min([self._least, *real]) if self._least else min(real, default=0.0)
        return [self._least - 10.0 if score is None else score for score in scores]

    def run(self, settings: Sequence[Setting], course: Course) -> list[float]:
        """Return the mean objective of every setting over the moments of a course."""
        if not settings:
            return []
        frames = self._run([lambda: try_settings(self.world, settings, course)])[0]
        return [_mean(self._settings.scoring, each) for each in frames]


def _mean(scoring: Scoring, frames: Sequence[KpiFrame]) -> float:
    return float(np.mean([scoring.network_objective(frame) for frame in frames]))


def _chosen(tried: _Tried, found: list[tuple[float, Setting]]) -> Tuned:
    """Return the one of the best that is best with users nobody has tried anything on."""
    start = found[0]
    best = sorted(found[1:], key=lambda pair: -pair[0])[:_FINALISTS]
    finalists = [start[1], *(setting for _, setting in best)]
    course = replace(
        tried.course, seed=(tried.course.seed + 1) % 2**32, observed_s=2 * tried.course.observed_s
    )
    scores: Floats = np.array(tried.run(finalists, course))
    place = int(np.argmax(scores))
    return Tuned(
        finalists[place], float(scores[place]), float(scores[0]), tried.count + len(finalists), ()
    )
