"""The course of a training: iterations, checkpoints, and an end that can be gone on from.

It reads no clock and writes no file: what happens is told to an ``Observer``, and the state
is handed to whoever keeps it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from cellhive.core.errors import CellHiveError
from cellhive.core.ports import Observer
from cellhive.core.types import Floats32

State = dict[str, npt.NDArray[np.generic]]

DONE, INTERRUPTED, OUT_OF_TIME = "done", "interrupted", "out of time"
"""Why a training ended."""

_SPEED_OF_LAST = 10
"""Iterations that the estimate of what is left looks back at."""


class Learnt(Protocol):
    """What an iteration came to; see ``rl.learning.training.Iteration``."""

    @property
    def number(self) -> int:
        """From 1 on."""
        ...

    @property
    def decisions(self) -> int:
        """Decisions of cells so far."""
        ...

    @property
    def reward(self) -> float:
        """Mean reward of a decision of a network."""
        ...

    @property
    def parts(self) -> Mapping[str, float]:
        """The same by objective."""
        ...

    @property
    def gain(self) -> float:
        """Mean reward above that of changing nothing; NaN where it is not known."""
        ...

    @property
    def losses(self) -> Mapping[str, Any]:
        """Of each role: a tuple with names."""
        ...

    @property
    def made(self) -> int:
        """Changes made."""
        ...

    @property
    def refused(self) -> Mapping[str, int]:
        """Changes that the guard refused, by reason."""
        ...

    @property
    def seconds(self) -> Mapping[str, float]:
        """Where the time went [s]."""
        ...

    @property
    def taken_back(self) -> str:
        """Why what was learnt was taken back; empty where it was not."""
        ...

    @property
    def learning_rate(self) -> float:
        """Of the next iteration."""
        ...


class Learns(Protocol):
    """A trainer; see ``rl.learning.training.Trainer``."""

    @property
    def number(self) -> int:
        """Iterations so far."""
        ...

    def iterate(self) -> Learnt:
        """Play an episode in every network and learn from it."""
        ...

    def state(self) -> State:
        """Return copies of everything needed to go on exactly."""
        ...

    def restore(self, state: State) -> None:
        """Go on from such a state."""
        ...

    def arrays(self, role: str) -> dict[str, Floats32]:
        """Return the tensors of a role's actor."""
        ...


class Row(NamedTuple):
    """A point of the learning curve."""

    number: int
    decisions: int
    """Decisions of cells so far."""
    reward: float
    gain: float
    """NaN where it is not known."""
    parts: dict[str, float]
    losses: dict[str, dict[str, float]]
    """By role and name."""
    made: int
    refused: int
    learning_rate: float
    taken_back: str
    seconds: dict[str, float]

    @property
    def score(self) -> float:
        """The gain where it is known, else the reward."""
        return self.gain if np.isfinite(self.gain) else self.reward


@dataclass(frozen=True)
class TrainingBegan:
    """A training begins, or goes on."""

    done: int
    """Iterations that were done before."""
    of: int
    """Iterations in the end."""


@dataclass(frozen=True)
class IterationDone:
    """The policy has played and learnt once more."""

    row: Row
    of: int
    elapsed_s: float
    """Since this training began, or went on [s]."""
    left_s: float
    """What it will still take, by the last iterations [s]."""


@dataclass(frozen=True)
class CheckpointSaved:
    """The training can be gone on with from here."""

    number: int


@dataclass(frozen=True)
class CheckpointFailed:
    """A checkpoint could not be written; the one before it is kept."""

    number: int
    why: str


@dataclass(frozen=True)
class TrainingEnded:
    """The last iteration is done."""

    number: int
    why: str
    """"done", "interrupted" or "out of time"."""


@dataclass(frozen=True)
class Course:
    """How far to go."""

    iterations: int
    """Iterations in the end, those done before included."""
    checkpoint_every: int = 10
    time_limit_s: float = float("inf")
    """Time after which no further iteration begins [s]."""


@dataclass(frozen=True)
class TrainingHooks:
    """What a training asks of its surroundings."""

    save: Callable[[int, State], None]
    """Keeps a state under the number of its iteration."""
    clock: Callable[[], float]
    """Seconds that go by."""
    observer: Observer = lambda _: None
    should_stop: Callable[[], bool] = lambda: False
    """Asked between iterations."""


@dataclass
class _Pace:
    """How long iterations take."""

    clock: Callable[[], float]
    began_s: float = field(init=False)
    ends_s: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self.began_s = self.clock()
        self.ends_s = [self.began_s]

    @property
    def elapsed_s(self) -> float:
        return self.clock() - self.began_s

    def lap(self, left: int) -> float:
        """Note an end and return what so many more will take [s]."""
        self.ends_s = [*self.ends_s, self.clock()][-_SPEED_OF_LAST - 1 :]
        return left * (self.ends_s[-1] - self.ends_s[0]) / (len(self.ends_s) - 1)


def train(trainer: Learns, course: Course, hooks: TrainingHooks) -> TrainingEnded:
    """Train to the end, or until somebody or the time limit stops it, and keep the state.

    ``KeyboardInterrupt`` ends it at once with the state after the last whole iteration. A
    checkpoint that cannot be written is told and tried again; the last one has to succeed.

    Raises:
        Conflict: Learning fails again and again; the last good state was kept.
        CellHiveError: The last state could not be kept.
    """
    tell, pace = hooks.observer, _Pace(hooks.clock)
    tell(TrainingBegan(trainer.number, course.iterations))
    saved, why, last = trainer.number, DONE, (trainer.number, trainer.state())
    try:
        while trainer.number < course.iterations:
            if hooks.should_stop():
                why = INTERRUPTED
                break
            if pace.elapsed_s >= course.time_limit_s:
                why = OUT_OF_TIME
                break
            row = _row(trainer.iterate())
            last = (row.number, trainer.state())
            left_s = pace.lap(course.iterations - row.number)
            tell(IterationDone(row, course.iterations, pace.elapsed_s, left_s))
            if row.number - saved >= course.checkpoint_every and _kept(last, hooks):
                saved = row.number
    except KeyboardInterrupt:
        why = INTERRUPTED
    except CellHiveError:
        _kept(last, hooks)
        raise
    if last[0] > saved or last[0] == 0:
        hooks.save(*last)
        tell(CheckpointSaved(last[0]))
    ended = TrainingEnded(last[0], why)
    tell(ended)
    return ended


def _kept(last: tuple[int, State], hooks: TrainingHooks) -> bool:
    """Keep a state if that is possible, and return whether it was."""
    try:
        hooks.save(*last)
    except CellHiveError as error:
        hooks.observer(CheckpointFailed(last[0], str(error)))
        return False
    hooks.observer(CheckpointSaved(last[0]))
    return True


def _row(iteration: Learnt) -> Row:
    losses = {
        role: {name: float(value) for name, value in losses._asdict().items()}
        for role, losses in iteration.losses.items()
    }
    return Row(
        number=iteration.number, decisions=iteration.decisions, reward=iteration.reward,
        gain=iteration.gain, parts=dict(iteration.parts), losses=losses, made=iteration.made,
        refused=sum(iteration.refused.values()), learning_rate=iteration.learning_rate,
        taken_back=iteration.taken_back, seconds=dict(iteration.seconds),
    )  # fmt: skip
