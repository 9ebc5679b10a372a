"""How often an arm decides as well as the best single action, found by exact branching.

At moments of an episode that the arm itself runs, one cell is looked at. The network is
cloned once for every action that the guard would let this cell take alone, once for the
action of the arm in this cell, and once for keeping everything; all other cells keep what
they have. Every clone sees the same users on the same random numbers, and the points of the
whole network over the next periods say what the action was worth.

**What a value is.** The value of an action is its gain over keeping everything [points of
the objective, mean over the horizon]. "95 % of the best" is meant of that gain: keeping is
worth 0, the best action 1.

**Where gains are small.** What one action does to one cell of a network is often less than
what chance does in two periods, and the largest of twenty noisy numbers is too large. So
every action is tried under several futures (the same users where they stand, other luck to
come). One half of the futures chooses the best action, the other half says what it and the
arm's action are worth: without that, the best would look better than it is. Where the best
is not clear of keeping by two standard errors, there is nothing that 95 % could be of: such
decisions are counted apart, and the arm is right there unless its action is clearly worse
than keeping.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cellhive.core.errors import BadInput
from cellhive.core.types import Floats, KpiFrame
from cellhive.flows.decide import LoopSettings, Optimizer
from cellhive.ran.parameters import position_of
from cellhive.rl.actions import DOWN, KEEP, UP
from cellhive.rl.env import CellEnvironment

Choices = npt.NDArray[np.int64]
"""An option of every column of every cell, (C, D)."""

ENOUGH = 0.95
"""Share of the best action's gain that counts as deciding as well."""
CLEAR = 2.0
"""Standard errors by which a gain must differ from nothing to be called one."""


class Chooser(Protocol):
    """Whoever decides for all cells of the first network of an environment."""

    def choose(self, environment: CellEnvironment) -> Choices:
        """Return the options of every cell, (C, D); called once per decision, in order."""
        ...


class Keeping:
    """Whoever never changes anything."""

    def choose(self, environment: CellEnvironment) -> Choices:
        """Return "keep" everywhere."""
        return np.asarray(environment.keep()[0], np.int64)


class Proposing:
    """An optimiser of plans as a chooser: each change is the option in its direction.

    Changes that are no option are left out: of relations beyond the strongest neighbours,
    and of parameters that no column turns. A change by several steps counts as one.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        """Keep who proposes; it must be new."""
        self._optimizer = optimizer
        self._frames: deque[KpiFrame] = deque(maxlen=LoopSettings().history)

    def choose(self, environment: CellEnvironment) -> Choices:
        """Return the options that the plans of this period come closest to."""
        network, actions = environment.network, environment.actions
        chosen = np.asarray(environment.keep()[0], np.int64)
        frame = environment.frame()
        self._frames.append(frame)
        places = {place: index for index, place in enumerate(actions.place.tolist()) if place >= 0}
        now_s = frame.time_s + frame.period_s
        plans = self._optimizer.propose(
            network, environment.parameters(), list(self._frames), now_s
        )
        for change in (change for plan in plans for change in plan.changes):
            quantity, index = position_of(network, change)
            column = places.get(environment.value_place(quantity.name, index))
            if column is not None:
                cell, which = divmod(column, len(actions.columns))
                chosen[cell, which] = UP if change.after > change.before else DOWN
        return chosen


@dataclass(frozen=True)
class BranchingSettings:
    """How many decisions are looked at, and how closely."""

    decisions: int = 24
    """Decisions that are looked at; one cell each."""
    horizon: int = 2
    """Periods after the decision that count."""
    futures: int = 6
    """Futures that every action is tried under, an even number from 4."""
    batch: int = 24
    """Networks that are advanced together."""

    def __post_init__(self) -> None:
        """Refuse what gives no answer."""
        if self.futures < 4 or self.futures % 2:  # noqa: PLR2004
            raise BadInput(
                place="futures", expected="an even number from 4", found=str(self.futures)
            )
        if min(self.decisions, self.horizon, self.batch) < 1:
            raise BadInput(
                place="branching", expected="at least one decision, period and network",
                found=f"{self.decisions}, {self.horizon}, {self.batch}",
            )  # fmt: skip


@dataclass(frozen=True)
class Decision:
    """One decision of one cell beside its best single action."""

    period: int
    cell: str
    actions: int
    """Single actions that the guard would have let through."""
    chosen: tuple[str, ...]
    """What the arm did in the cell; empty where it kept everything."""
    best: str
    """The best single action, "keep" where none was better."""
    gain: float
    """Gain of the arm's action over keeping everything [points of the network]."""
    best_gain: float
    """Gain of the best, by other futures than those that chose it [points]."""
    error: float
    """Standard error of a gain [points]."""

    @property
    def clear(self) -> bool:
        """Whether the best action is clear of keeping everything."""
        return self.best_gain > CLEAR * self.error

    @property
    def right(self) -> bool:
        """Whether the arm decided as well; see the module for where there is no clear best."""
        if self.clear:
            return self.gain >= ENOUGH * self.best_gain
        return self.gain >= -CLEAR * self.error


@dataclass(frozen=True)
class DecisionStudy:
    """All decisions of one arm that were looked at."""

    scenario: str
    arm: str
    seed: int
    """City and users."""
    settings: BranchingSettings
    decisions: tuple[Decision, ...]

    @property
    def clear(self) -> tuple[Decision, ...]:
        """Decisions with a clear best action."""
        return tuple(one for one in self.decisions if one.clear)

    @property
    def share_right(self) -> float:
        """Share of the decisions with a clear best that the arm took as well; NaN if none."""
        return float(np.mean([one.right for one in self.clear])) if self.clear else float("nan")

    @property
    def share_harmless(self) -> float:
        """Share of the other decisions in which the arm did no clear harm; NaN if none."""
        others = [one.right for one in self.decisions if not one.clear]
        return float(np.mean(others)) if others else float("nan")

    @property
    def regret(self) -> float:
        """What the arm lost against the best over what the best brought, in clear decisions."""
        best = sum(one.best_gain for one in self.clear)
        lost = sum(one.best_gain - one.gain for one in self.clear)
        return float(lost / best) if best > 0 else float("nan")


def judge_decisions(
    environment: CellEnvironment,
    chooser: Chooser,
    settings: BranchingSettings,
    who: tuple[str, int],
) -> DecisionStudy:
    """Let an arm run one episode and hold some of its decisions against the best.

    Args:
        environment: One network with discrete actions; it is begun anew with the seed.
        chooser: The arm.
        settings: How many decisions and how closely.
        who: Name of the arm and seed of the episode.
    """
    name, seed = who
    if environment.networks != 1 or not environment.actions.discrete:
        raise BadInput(
            place="environment", expected="one network with discrete actions",
            found=f"{environment.networks} networks, {environment.settings.actions.kind} actions",
        )  # fmt: skip
    environment.reset([seed])
    rng = np.random.default_rng([seed, 3])
    moments = environment.settings.decisions - settings.horizon
    per_moment = np.bincount(
        np.linspace(0, moments - 1, settings.decisions).round().astype(np.int64), minlength=moments
    )
    found: list[Decision] = []
    for period in range(moments):
        choices = chooser.choose(environment)
        cells = rng.permutation(environment.network.cells)[: per_moment[period]]
        for cell in cells.tolist():
            found.append(_decision(environment, choices, int(cell), settings, rng))
        environment.step(choices[None])
    scenario = environment.settings.scenario.name
    return DecisionStudy(scenario, name, seed, settings, tuple(found))


def _decision(
    environment: CellEnvironment,
    choices: Choices,
    cell: int,
    settings: BranchingSettings,
    rng: np.random.Generator,
) -> Decision:
    """Try every single action of a cell, and the arm's own, from here."""
    columns = environment.actions.columns
    allowed = environment.masks()[0, cell].astype(np.bool_)
    singles = [
        (which, option)
        for which in range(len(columns))
        for option in (DOWN, UP)
        if allowed[which, option]
    ]
    rows = np.full((len(singles) + 2, len(columns)), KEEP, np.int64)
    for row, (which, option) in enumerate(singles, start=2):
        rows[row, which] = option
    rows[1] = np.where(np.take_along_axis(allowed, choices[cell][:, None], 1)[:, 0],
                       choices[cell], KEEP)  # fmt: skip
    seeds = rng.integers(2**32, size=settings.futures)
    points = np.stack([_tried(environment, rows, cell, int(s), settings) for s in seeds])
    gains = points - points[:, :1]
    half = settings.futures // 2
    choosing, judging = gains[:half].mean(axis=0), gains[half:].mean(axis=0)
    place = 2 + int(np.argmax(choosing[2:])) if singles else 0
    if choosing[place] <= 0:
        place = 0
    names = [_named(columns[which].name, option) for which, option in singles]
    return Decision(
        period=environment.period, cell=environment.network.cell_ids[cell], actions=len(singles),
        chosen=tuple(
            _named(columns[which].name, int(option))
            for which, option in enumerate(rows[1]) if option != KEEP
        ),
        best=names[place - 2] if place else "keep",
        gain=float(judging[1]), best_gain=float(judging[place]),
        error=_error(gains, half),
    )  # fmt: skip


def _error(gains: Floats, count: int) -> float:
    """Return the standard error of a gain over some futures, pooled over all actions."""
    moved = gains[:, np.ptp(gains, axis=0) > 0]
    if moved.size == 0:
        return 0.0
    return float(np.sqrt(moved.var(axis=0, ddof=1).mean() / count))


def _tried(
    environment: CellEnvironment, rows: Choices, cell: int, seed: int,
    settings: BranchingSettings,
) -> Floats:  # fmt: skip
    """Return the points of the network after each action of a cell under one future, (A,)."""
    scale = environment.settings.rewards.scale
    parts = []
    for first in range(0, len(rows), settings.batch):
        some = rows[first : first + settings.batch]
        branch = environment.branch(len(some), seeds=[seed] * len(some))
        actions = branch.keep()
        actions[:, cell] = some
        total = branch.step(actions).reward.network.copy()
        for _ in range(settings.horizon - 1):
            total += branch.step(branch.keep()).reward.network
        parts.append(total / settings.horizon / scale)
    return np.concatenate(parts)


def _named(column: str, option: int) -> str:
    return f"{column} {'up' if option == UP else 'down'}"
