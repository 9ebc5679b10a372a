"""Experience from what is there already: the rules at work on the twin, and recorded runs.

A rule says by how much it would change a parameter, an agent chooses an option of a column:
of each change the nearest option is taken, and what no column can express is counted. With
which probability anything was chosen is not known; what learns from it must not need that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from cellhive.core.checked import check_frame
from cellhive.core.errors import BadInput
from cellhive.core.types import Floats, Floats32, Ints, KpiFrame, Network, Parameters, Plan
from cellhive.flows.decide import Optimizer, Silent
from cellhive.flows.recall.experiences import Ledger
from cellhive.flows.recall.optimizer import Recall, RecallSettings
from cellhive.flows.recall.situations import CELLS, RELATIONS
from cellhive.flows.replay import RecordedNetwork
from cellhive.flows.training.proposing import (
    Asked,
    Proposer,
    allowed,
    nearest_options,
    values_of,
)
from cellhive.flows.trial import RunRecord
from cellhive.flows.watch import Scoring
from cellhive.memory.patterns import Pattern, PatternRules, Patterns
from cellhive.ran.guard.state import Limits
from cellhive.ran.parameters import TOLERANCE
from cellhive.ran.son.rules import Rules
from cellhive.rl.actions import DOWN, UP, Actions, ActionSettings
from cellhive.rl.admission import (
    ASLEEP,
    LONG_AGO_S,
    Course,
    fill_masks,
    remember,
    standing,
)
from cellhive.rl.env import CellEnvironment
from cellhive.rl.experience import History, Options, joined
from cellhive.rl.observations import Observations
from cellhive.rl.policy import next_cells
from cellhive.rl.rewards import Reward, Rewards, RewardSettings

Paid = tuple[Floats, Floats]
"""What each cell was paid, (E, C), and the whole network, (E,)."""


def demonstrate(
    environment: CellEnvironment,
    seeds: Sequence[int],
    *,
    make: Callable[[], Proposer] = Rules,
    strayed: float = 0.0,
    rng: np.random.Generator | None = None,
    paired: bool = True,
) -> History:
    """Let the rules decide in the environment, and return what happened.

    The rules see frames as in the loop and propose as there; the guard of the environment
    stands between them and the network. No plan is watched or rolled back: a decision here
    is not a plan.

    Args:
        environment: Discrete; its copies run side by side.
        seeds: One per episode, a multiple of the copies.
        make: Returns whoever proposes, anew for every episode.
        strayed: Share of the columns in which a random option that the mask allows is
            taken instead. What only ever did the same says nothing of what else could be done.
        rng: Draws what strays; None only if nothing does.
        paired: Play every episode once more with nothing done, and pay for the difference:
            what the users do anyway cancels out.

    Raises:
        BadInput: The seeds do not fill the copies, or actions are not discrete.
    """
    copies = environment.networks
    if not seeds or len(seeds) % copies:
        raise BadInput(
            place="seeds", expected=f"a multiple of {copies}, the copies of the environment",
            found=str(len(seeds)),
        )  # fmt: skip
    if not environment.actions.discrete or (strayed > 0 and rng is None):
        raise BadInput(
            place="demonstrations", expected="discrete actions, and a generator where some stray",
            found=environment.actions.settings.kind,
        )  # fmt: skip
    parts = [
        _episode(environment, seeds[first : first + copies], make, (strayed, rng), paired)
        for first in range(0, len(seeds), copies)
    ]
    return joined(parts)


class Remembered:
    """What a memory of earlier runs would do: for ``demonstrate``, a beginning without a teacher.

    In every period the situation of each cell and relation is looked up, and the change is
    proposed that did best in situations like it, where enough runs say so
    (``flows.recall.optimizer``). What is given stays as it is: a copy is asked.
    """

    def __init__(
        self, patterns: Sequence[Pattern], *, rules: PatternRules | None = None,
        settings: RecallSettings | None = None, then: Callable[[], Optimizer] = Silent,
    ) -> None:  # fmt: skip
        """Take the memory.

        Args:
            patterns: Of cells and relations, as earlier runs stored them.
            rules: How they are pooled and believed.
            settings: When memory speaks.
            then: Who proposes besides: by default nobody.
        """
        known = {
            room: Patterns(room, rules or PatternRules(), [p for p in patterns if p.room == room])
            for room in (CELLS, RELATIONS)
        }
        self._recall = Recall(
            then(), known, Ledger(Scoring()), settings or RecallSettings()
        )  # fmt: skip

    def propose(
        self, network: Network, parameters: Parameters, frames: Sequence[KpiFrame], now_s: float
    ) -> list[Plan]:
        """Return what memory proposes."""
        return self._recall.propose(network, parameters, frames, now_s)


def _episode(
    environment: CellEnvironment, seeds: Sequence[int], make: Callable[[], Proposer],
    straying: tuple[float, np.random.Generator | None], paired: bool,
) -> History:  # fmt: skip
    idle = []
    if paired:
        environment.reset(seeds)
        idle = [
            environment.step(environment.keep()).reward
            for _ in range(environment.settings.decisions)
        ]
    seen, mask = environment.reset(seeds)
    asked, steps, taken, left_out = Asked(environment, make), _Steps([seen]), 0, 0
    for t in range(environment.settings.decisions):
        rows, some, others = asked.options()
        taken, left_out = taken + some, left_out + others
        action = allowed(_strayed(rows, mask, *straying), mask)
        step = environment.step(action.astype(np.int64))
        steps.take(mask, action, _beyond(step.reward, idle[t : t + 1]), step.observation)
        mask = step.mask
    return steps.history(environment.network, environment.actions, (taken, left_out), paired)


def _beyond(reward: Reward, idle: Sequence[Reward]) -> Paid:
    """Return what cells and network were paid, less what nothing done would have brought."""
    cells, network = reward.cells, reward.network
    for other in idle:
        cells, network = cells - other.cells, network - other.network
    return cells, network


def _strayed(
    action: Options, mask: Options, share: float, rng: np.random.Generator | None
) -> Options:
    """Return actions of which some are replaced by random allowed ones."""
    if rng is None or share <= 0:
        return action
    draws = np.where(mask > 0, rng.random(mask.shape), -1.0).argmax(axis=-1)
    return np.where(rng.random(action.shape) < share, draws, action).astype(np.int8)


class _Steps:
    """The steps of an episode, one list per column."""

    def __init__(self, seen: list[Floats32]) -> None:
        self.seen = seen
        self.mask: list[Options] = []
        self.action: list[Options] = []
        self.reward: list[Floats] = []
        self.network_reward: list[Floats] = []

    def take(self, mask: Options, action: Options, paid: Paid, seen: Floats32) -> None:
        self.mask.append(mask)
        self.action.append(action)
        self.reward.append(paid[0])
        self.network_reward.append(paid[1])
        self.seen.append(seen)

    def history(
        self, network: Network, actions: Actions, changes: tuple[int, int], paired: bool
    ) -> History:
        return History(
            seen=np.stack(self.seen), mask=np.stack(self.mask).astype(np.int8),
            action=np.stack(self.action), reward=np.stack(self.reward).astype(np.float32),
            network_reward=np.stack(self.network_reward), paired=paired,
            near=next_cells(network, actions.settings.neighbours),
            columns=tuple(column.name for column in actions.columns), taken=changes[0],
            left_out=changes[1],
        )  # fmt: skip


def history_of(
    record: RunRecord,
    *,
    actions: ActionSettings | None = None,
    rewards: RewardSettings | None = None,
    limits: Limits | None = None,
) -> History:
    """Return what a recorded run was, as one episode: frames, and the plans it applied.

    Whoever proposed its plans, roll-backs included: what changed between two periods is
    what was done. Masks are those of the guard of an environment with these limits; what
    was done is allowed in any case. Rewards are the difference to the run with nothing done
    where the record holds one.

    Args:
        record: The run; two periods or more.
        actions: The columns, by default all of them.
        rewards: Weights of the objectives.
        limits: Of the guard.

    Raises:
        BadInput: There are too few periods, or the frames lack what rewards are made of.
    """
    if len(record.frames) < 2:  # noqa: PLR2004  # something is done, and something comes of it
        raise BadInput(
            place=record.run_id, expected="two periods or more", found=str(len(record.frames))
        )
    network = record.network
    columns = Actions(actions or ActionSettings(), network)
    observations, paid = Observations(network, columns.slots), Rewards(
        rewards or RewardSettings(), network
    )  # fmt: skip
    past = _Past(network, values_of(record.initial), limits or Limits())
    radio = RecordedNetwork(network, record.initial, record.frames, record.applied)
    steps, taken, left_out = _Steps([]), 0, 0
    paired = len(record.baseline) >= len(record.frames)
    for t in range(len(record.frames)):
        frame = check_frame(radio.observe()).frame
        values = values_of(radio.parameters())
        if steps.seen:
            mask = past.masks(columns, frame.time_s)
            chosen, some, others = nearest_options(columns, past.values, values)
            action = chosen[None]
            np.put_along_axis(mask, action[..., None].astype(np.int64), 1, axis=-1)
            taken, left_out = taken + some, left_out + others
            past.take(values, frame.time_s)
            try:
                idle = [paid.of(record.baseline[t], 1)] if paired else []
                reward = _beyond(paid.of(frame, 1), idle)
                seen = observations.of(frame, values[None], np.array([frame.time_s]))
            except (ValueError, KeyError) as error:
                raise BadInput(
                    place=record.run_id, expected="frames with all counters of the twin",
                    found=f"a column that lacks ({error})",
                ) from error  # fmt: skip
            steps.take(mask, action, reward, seen)
        else:
            steps.seen.append(observations.of(frame, values[None], np.array([frame.time_s])))
    return steps.history(network, columns, (taken, left_out), paired)


class _Past:
    """What the guard would remember of a recorded run."""

    def __init__(self, network: Network, values: Floats, limits: Limits) -> None:
        self._rules, self._window_s = standing(network, limits), limits.window_s
        self._course = Course(
            values=values[None].copy(), base=values[None].copy(),
            changed_s=np.full((1, values.size), LONG_AGO_S),
            woken_s=np.full((1, network.cells), LONG_AGO_S),
            spent=np.zeros((1, network.cells), np.int32),
        )  # fmt: skip
        self._made: list[tuple[float, Ints]] = []

    @property
    def values(self) -> Floats:
        """Present values, (V,)."""
        return np.asarray(self._course.values[0])

    def masks(self, actions: Actions, now_s: float) -> Options:
        """Return what would be let through now, (1, C, D, 3)."""
        self._made = [made for made in self._made if made[0] > now_s - self._window_s]
        self._course.spent[0] = sum((made[1] for made in self._made), np.zeros_like(
            self._course.spent[0]))  # fmt: skip
        options = actions.options(self._course.values)
        allowed = np.empty(options.shape, np.bool_)
        fill_masks(self._course, self._rules, actions.place, options, (now_s, True), allowed)
        mask = np.ones((*allowed.shape[:2], 3), np.int8)
        mask[:, :, [DOWN, UP]] = allowed
        return mask.reshape(1, actions.cells, -1, 3)

    def take(self, values: Floats, now_s: float) -> None:
        """Note the values that hold from now on."""
        before = self._course.values.copy()
        cells = self._course.spent.shape[1]
        moved = np.abs(values - before[0]) > TOLERANCE
        woken = slice(ASLEEP * cells, (ASLEEP + 1) * cells)
        counted = moved.copy()
        counted[woken] &= values[woken] > before[0, woken]  # waking is free
        spent = np.bincount(self._rules.cell[counted], minlength=cells).astype(np.int32)
        self._course.values[0] = values
        remember(self._course, self._rules, before, now_s, np.zeros(1, np.bool_))
        self._made.append((now_s, spent))
