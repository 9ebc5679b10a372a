"""Does a memory of earlier runs make the loop faster? Cold and warm in the same cities.

Training cities fill the memory: some in shadow mode, where only what is left alone teaches,
the others with the loop at work. Then, in cities that nothing was learnt in, four networks
run on the same users: nothing done, the rules alone, the loop with an empty memory (cold)
and with the filled one (warm). The level to reach is what the cold loop reaches at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from cellhive.core.types import Effect, Floats, Mode
from cellhive.flows.decide import LoopSettings, Optimizer, PlanGuard, Silent
from cellhive.flows.recall.experiences import Ledger, run_token
from cellhive.flows.recall.optimizer import Recall, RecallSettings
from cellhive.flows.recall.situations import CELLS, RELATIONS
from cellhive.flows.trial import Hooks, RunStart, TrialSettings, Twin, run_trial
from cellhive.flows.watch import Scoring
from cellhive.memory.patterns import Pattern, PatternRules, Patterns

RESAMPLES = 10_000


@dataclass(frozen=True)
class WarmthSettings:
    """What is run and how the time to a level is read."""

    periods: int = 24
    """Length of every run."""
    training: RecallSettings = field(
        default_factory=lambda: RecallSettings(runs=1, controls=0, wrong=0.5, explore=0.3)
    )
    """When memory speaks in training, where it may be wrong to learn; in the comparison it
    speaks as in any run."""
    window: int = 4
    """Periods over which the gain is averaged, the last ones first."""
    share: float = 0.9
    """Share of the cold loop's gain at its end that is the level to reach."""
    rules: PatternRules = field(default_factory=PatternRules)
    scoring: Scoring = field(default_factory=Scoring)


@dataclass(frozen=True)
class Surroundings:
    """What the runs need from outside."""

    twin: Callable[[int], Twin]
    """Returns a new city for a seed."""
    optimizer: Callable[[], Optimizer]
    """Returns new rules."""
    guard: Callable[[], PlanGuard]
    hooks: Hooks = field(default_factory=Hooks)


@dataclass(frozen=True)
class CityWarmth:
    """One city: gain of the objective over doing nothing in each period, by arm [points]."""

    seed: int
    rules: tuple[float, ...]
    cold: tuple[float, ...]
    warm: tuple[float, ...]
    level: float
    """The level to reach [points]."""
    reached: dict[str, int | None]
    """Periods until the mean gain of a window reaches it, by arm; None where it never does."""
    undone: dict[str, int]
    """Plans rolled back, by arm."""
    recalled: int
    """Changes of the warm arm that came from memory."""
    changes: int
    """Changes of the warm arm."""


def rooms_of(settings: WarmthSettings, patterns: Sequence[Pattern] = ()) -> dict[str, Patterns]:
    """Return patterns by room."""
    return {room: Patterns(room, settings.rules, patterns) for room in (CELLS, RELATIONS)}


def train(
    seed: int, rooms: dict[str, Patterns], settings: WarmthSettings, outside: Surroundings,
    *, run: str, shadow: bool = False,
) -> None:  # fmt: skip
    """Let the loop work, or in shadow mode watch, a training city, and add what it learns.

    Args:
        seed: Seed of the city.
        rooms: What is known before, and after.
        settings: Length of the run and when memory speaks.
        outside: What the run needs.
        run: Tells this run from the others.
        shadow: Whether it only watches.
    """
    recall = _recall(outside, rooms, settings, settings.training, run)
    _run(seed, recall, settings, outside, Mode.SHADOW if shadow else Mode.AUTONOMOUS)


def compare(
    seed: int, patterns: Sequence[Pattern], settings: WarmthSettings, outside: Surroundings
) -> CityWarmth:
    """Return the four arms in one city."""
    nothing = _run(seed, Silent(), settings, outside, Mode.SHADOW)
    cold = _recall(outside, rooms_of(settings), settings, RecallSettings())
    warm = _recall(outside, rooms_of(settings, patterns), settings, RecallSettings())
    arms = {
        "rules": _run(seed, outside.optimizer(), settings, outside, Mode.AUTONOMOUS),
        "cold": _run(seed, cold, settings, outside, Mode.AUTONOMOUS),
        "warm": _run(seed, warm, settings, outside, Mode.AUTONOMOUS),
    }  # fmt: skip
    gains = {name: arm.objective - nothing.objective for name, arm in arms.items()}
    level = settings.share * float(np.mean(gains["cold"][-settings.window :]))
    return CityWarmth(
        seed=seed,
        rules=tuple(gains["rules"].tolist()),
        cold=tuple(gains["cold"].tolist()),
        warm=tuple(gains["warm"].tolist()),
        level=level,
        reached={name: time_to(gain, level, settings.window) for name, gain in gains.items()},
        undone={name: arm.undone for name, arm in arms.items()},
        recalled=arms["warm"].recalled,
        changes=arms["warm"].changes,
    )


def time_to(gains: Floats, level: float, window: int) -> int | None:
    """Return how many periods it takes until the mean gain of a window reaches a level.

    The window is that of the last periods, shorter in the beginning, but the first period,
    in which nothing can have been done, does not count.
    """
    for last in range(1, len(gains)):
        if float(np.mean(gains[max(1, last - window + 1) : last + 1])) >= level:
            return last + 1
    return None


@dataclass(frozen=True)
class _Arm:
    objective: Floats
    undone: int
    recalled: int
    changes: int


def _recall(
    outside: Surroundings, rooms: dict[str, Patterns], settings: WarmthSettings,
    speaks: RecallSettings, run: str = "",
) -> Recall:  # fmt: skip
    ledger = Ledger(settings.scoring, run=run_token(run) if run else "")
    return Recall(outside.optimizer(), rooms, ledger, speaks)


def _run(
    seed: int, optimizer: Optimizer, settings: WarmthSettings, outside: Surroundings, mode: Mode
) -> _Arm:
    trial = TrialSettings(
        periods=settings.periods, loop=LoopSettings(mode=mode, scoring=settings.scoring),
        baseline=False, branches=False,
    )  # fmt: skip
    record = run_trial(
        outside.twin(seed), RunStart(f"city-{seed}", "", "", "", seed, {}), trial, optimizer,
        outside.guard(), outside.hooks,
    )  # fmt: skip
    changes = [change for plan in record.applied for change in plan.changes]
    return _Arm(
        objective=np.asarray(record.objective, np.float64),
        undone=sum(outcome.verdict == "rolled back" for outcome in record.outcomes),
        recalled=sum(change.reason.startswith("Memory") for change in changes),
        changes=len(changes),
    )


def paired(
    name: str, cities: Sequence[CityWarmth], value: Callable[[CityWarmth], float],
    rng: np.random.Generator, confidence: float = 0.95,
) -> Effect:  # fmt: skip
    """Return the mean of a difference over cities with a bootstrap interval over cities.

    Args:
        name: What it is.
        cities: Cities.
        value: The difference in one city.
        rng: Draws cities.
        confidence: Of the percentile interval.
    """
    values = np.array([value(city) for city in cities])
    drawn = values[rng.integers(0, values.size, (RESAMPLES, values.size))].mean(axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Effect(name, float(values.mean()), float(low), float(high))


def sooner(city: CityWarmth, arm: str = "cold") -> float:
    """Return by how many periods warm reaches the level before another arm.

    An arm that never reaches it counts as reaching it in the period after the last.
    """
    never = len(city.warm) + 1

    def at(name: str) -> int:
        periods = city.reached[name]
        return never if periods is None else periods

    return float(at(arm) - at("warm"))


def richer(city: CityWarmth, arm: str = "cold") -> float:
    """Return by how much the mean gain over the whole run is above another arm's [points]."""
    other = city.cold if arm == "cold" else city.rules
    return float(np.mean(city.warm) - np.mean(other))
