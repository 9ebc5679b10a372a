"""An optimiser that remembers: it wraps another one, and both propose and hold back.

In each period it looks up what worked in situations like those of the cells and relations
at hand. What is clearly better than leaving them alone it proposes at once, as far as the
guard lets a parameter go in one step; what clearly did harm before it does not let the
wrapped optimiser try again. From every verdict, and from what it left alone, it learns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from cellhive.core.ports import Observer
from cellhive.core.schema import QUANTITIES
from cellhive.core.types import (
    Bools,
    Change,
    Floats,
    Floats32,
    KpiFrame,
    Network,
    Outcome,
    Parameters,
    Plan,
)
from cellhive.flows.decide import Optimizer
from cellhive.flows.recall.experiences import Ledger, action_of, place_of
from cellhive.flows.recall.situations import CELLS, FEATURES, RELATIONS, Situations, lost
from cellhive.memory.patterns import NOTHING, Action, Belief, Pattern, Patterns, Recalled
from cellhive.ran.guard.rules import is_wake
from cellhive.ran.parameters import TOLERANCE, step_on_grid, value_of

_ORDER = {"ES": 1, "CCO": 2, "MLB": 3, "MRO": 4}
"""Who goes first, as among the rules: what comes later must wait where the first is watched."""

CONFIDENCE = 0.9
"""Of the intervals that are told."""


@dataclass(frozen=True)
class RecallSettings:
    """When memory speaks."""

    functions: tuple[str, ...] = ("MRO", "CCO")
    """Functions whose changes are proposed from memory; those of others follow the load of the
    moment, and are only held back."""
    least_weight: float = 4.0
    """Experiences, after forgetting and distance, below which memory says nothing."""
    runs: int = 3
    """Runs that must have tried an action in such situations before it is proposed or held
    back."""
    controls: int = 1
    """Runs that must have left alone something in such a situation, to compare with."""
    wrong: float = 0.1
    """Share of the cells or relations for which an action is proposed in a period that may be
    no better off than left alone."""
    gain: float = 1.0
    """Least mean gain from which an action is proposed [points around the object]."""
    harm: float = 0.95
    """Probability of being worse than leaving it alone from which one is held back."""
    undone: float = 0.5
    """Expected share of roll-backs from which one is held back."""
    links: int = 8
    """Most remembered steps that are taken at once."""
    turn: int = 8
    """Periods for which memory does not turn back what it did."""
    settle: int = 2
    """Periods for which a cell is left alone after a change."""
    explore: float = 0.0
    """Share of what is proposed from memory that goes one step beyond what was tried, where the
    last one tried was good: only to learn."""


@dataclass(frozen=True)
class PatternsLearned:
    """Experiences were made of a plan, or of what was left alone."""

    time_s: float
    outcome: Outcome | None
    experiences: tuple[Pattern, ...]


@dataclass(frozen=True, eq=False)
class _Question:
    """What memory says of one action in all situations of a room."""

    room: str
    vectors: Floats32
    action: Action
    recalled: Recalled
    gain: Belief
    """Beyond leaving it alone."""
    asked: Bools
    """Where enough is known to say anything, and something is wrong, (N,)."""


@dataclass(frozen=True)
class _Idea:
    """Something that memory would do."""

    room: str
    index: int
    change: Change
    function: str
    low: float
    """Lower end of the interval of its gain [points]."""
    patterns: tuple[str, ...]


@dataclass
class Recall:
    """Wraps an optimiser with the memory of earlier runs."""

    then: Optimizer
    patterns: dict[str, Patterns]
    """What is remembered, by room."""
    ledger: Ledger
    settings: RecallSettings = field(default_factory=RecallSettings)
    observer: Observer = lambda _: None
    _decided: list[Outcome] = field(default_factory=list)
    _periods: int = 0
    _own: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    """Period and sign of the last change proposed from memory, by object and parameter."""

    def propose(
        self, network: Network, parameters: Parameters, frames: Sequence[KpiFrame], now_s: float
    ) -> list[Plan]:
        """Return what memory proposes together with what it lets the other propose."""
        here = self.ledger.take(network, parameters, frames, now_s)
        self._learn_from_verdicts(now_s)
        self._periods += 1
        ideas = self._ideas(network, parameters, here)
        plans = [
            self._reviewed(plan, network, here, ideas)
            for plan in self.then.propose(network, parameters, frames, now_s)
        ]
        return _joined([p for p in plans if p.changes], ideas, frames[-1], now_s)

    def learn(self, outcome: Outcome) -> None:
        """Take in what became of a plan; it becomes experience once its last period is here."""
        self._decided.append(outcome)
        self.then.learn(outcome)

    def _learn_from_verdicts(self, now_s: float) -> None:
        """Turn verdicts, and what was left alone, into patterns."""
        for outcome in (*self._decided, None):
            found = tuple(self.ledger.idle() if outcome is None else self.ledger.of(outcome))
            for pattern in found:
                self.patterns[pattern.room].add(pattern)
            if found:
                self.observer(PatternsLearned(now_s, outcome, found))
        self._decided.clear()

    # ----------------------------------------------------------------------- proposing

    def _ideas(self, network: Network, parameters: Parameters, here: Situations) -> list[_Idea]:
        """Return the best idea for each cell or relation, at most one of each cell."""
        ideas: list[_Idea] = []
        for question in self._questions(network, parameters, here):
            ideas += self._of_action(network, parameters, question)
        ideas.sort(key=lambda idea: (-idea.low, idea.room, idea.index, idea.change.parameter))
        best: dict[str, _Idea] = {}
        for idea in ideas:
            best.setdefault(idea.change.cell, idea)
        chosen = list(best.values())[: network.cells]
        for idea in chosen:
            key = (idea.change.object_id, idea.change.parameter)
            self._own[key] = (self._periods, _sign(idea.change))
        return chosen

    def _questions(
        self, network: Network, parameters: Parameters, here: Situations
    ) -> Iterator[_Question]:
        """Yield every action that may be proposed with what memory says of it."""
        s = self.settings
        for room in (CELLS, RELATIONS):
            vectors, known = here.of(room)
            source = np.arange(network.cells) if room == CELLS else network.relation_source
            free = known & self.ledger.quiet(s.settle - 1)[source]
            free &= ~network.protected[source] & ~parameters.asleep[source]
            if not free.any():
                continue
            nothing = self.patterns[room].recall(NOTHING, vectors)
            for action in self.patterns[room].actions:
                if action.function in s.functions:
                    recalled = self.patterns[room].recall(action, vectors)
                    gain = recalled.belief.beyond(nothing.belief)
                    asked = free & self._known(recalled, nothing)
                    asked &= np.maximum(gain.mean, s.gain) <= lost(room, vectors)
                    yield _Question(room, vectors, action, recalled, gain, asked)

    def _of_action(
        self, network: Network, parameters: Parameters, question: _Question
    ) -> Iterator[_Idea]:
        """Yield ideas that begin with an action and go on as far as memory reaches."""
        s, known = self.settings, self.patterns[question.room]
        limit = most_doubt(1.0 - question.gain.chance[question.asked], s.wrong)
        room, vectors, action = question.room, question.vectors, question.action
        good = question.asked & self._good(question.recalled, question.gain, limit)
        for index in np.flatnonzero(good).tolist():
            start = _address(network, room, index, action.parameter)
            before = value_of(parameters, network, start)
            steps, total, times = self._reach(known, question, index, before, limit)
            after = step_on_grid(action.parameter, before, steps)
            change = Change(start[0], action.parameter, before, after, start[2])
            if not _within(change) or self._turns_back(change):
                continue
            low, high = (float(end) for end in total.interval(CONFIDENCE))
            behind = known.behind(action, vectors[index])
            reason = (
                f"Memory ({behind[0].id}): {_amount(action.parameter, before, after)} where "
                f"{_striking(room, vectors[index])} was tried {times:.0f} times in "
                f"{question.recalled.runs[index]:.0f} runs, "
                f"{float(total.mean):+.1f} points around it beyond leaving it alone, "
                f"90 % interval {low:+.1f} to {high:+.1f}."
            )
            if float(total.mean) >= s.gain:
                yield _Idea(
                    room, index, replace(change, reason=reason), action.function, low,
                    tuple(pattern.id for pattern in behind),
                )  # fmt: skip

    def _known(self, recalled: Recalled, nothing: Recalled) -> Bools:
        """Return where enough runs have tried an action, and leaving it."""
        s = self.settings
        return np.asarray(
            (recalled.weight >= s.least_weight)
            & (recalled.runs >= s.runs)
            & (nothing.runs >= s.controls)
        )

    def _good(self, recalled: Recalled, gain: Belief, limit: float) -> Bools:
        s = self.settings
        return np.asarray(
            (1.0 - gain.chance <= limit)
            & (gain.mean >= s.gain)
            & (recalled.undone_ratio < s.undone)
        )

    def _reach(
        self, known: Patterns, question: _Question, index: int, before: float, limit: float
    ) -> tuple[int, Belief, float]:
        """Return how many steps to take at once, their gain and how often they were tried.

        Remembered steps of the same direction are followed from the situation that each is
        expected to lead to, while each is good and the guard's largest step is not passed.
        """
        action, recalled = question.action, question.recalled
        steps, total = action.steps, question.gain.at(index)
        times, later = float(recalled.times[index]), recalled.later[index]
        follow = [
            a for a in known.actions
            if (a.function, a.parameter) == (action.function, action.parameter)
            and a.steps * action.steps > 0
        ]  # fmt: skip
        for _ in range(self.settings.links):
            nothing = known.recall(NOTHING, later[None, :])
            best: tuple[float, Action, Recalled, Belief] | None = None
            for each in follow:
                if not _possible(action.parameter, before, steps + each.steps):
                    continue
                there = known.recall(each, later[None, :])
                more = there.belief.beyond(nothing.belief)
                good = self._known(there, nothing) & self._good(there, more, limit)
                if good[0] and (best is None or more.mean[0] > best[0]):
                    best = (float(more.mean[0]), each, there, more.at(0))
            if best is None:
                break
            steps, total = steps + best[1].steps, total.plus(best[3])
            times, later = min(times, float(best[2].times[0])), best[2].later[0]
        if (index * 61 + self._periods * 37) % 100 < 100 * self.settings.explore:
            steps += self._beyond(known, action, later, before, steps)
        return steps, total, times

    def _beyond(
        self, known: Patterns, action: Action, later: Floats32, before: float, steps: int
    ) -> int:
        """Return a further step that nobody has tried enough from here, or 0."""
        one = 1 if action.steps > 0 else -1
        if not _possible(action.parameter, before, steps + one):
            return 0
        next_step = Action(action.function, action.parameter, one)
        tried = known.recall(next_step, later[None, :]).weight[0]
        return one if tried < self.settings.least_weight else 0

    def _turns_back(self, change: Change) -> bool:
        """Return whether a change undoes what memory did not long ago."""
        period, sign = self._own.get((change.object_id, change.parameter), (-(1 << 20), 0))
        return sign == -_sign(change) and self._periods - period < self.settings.turn

    # --------------------------------------------------------------------- holding back

    def _reviewed(
        self, plan: Plan, network: Network, here: Situations, ideas: Sequence[_Idea]
    ) -> Plan:
        """Return a plan without what memory knows to do harm or decides itself."""
        own = {(idea.change.object_id, idea.change.parameter) for idea in ideas}
        cells = {idea.change.cell for idea in ideas if idea.room == CELLS}
        left_out: set[int] = set()
        for place, change in enumerate(plan.changes):
            if is_wake(change) or self.ledger.takes_back(change):
                continue  # whoever sees own harm must be free to undo it
            mine = (change.object_id, change.parameter) in own
            timing = change.target is None or plan.function == "MRO"
            if (
                mine
                or (timing and change.cell in cells)
                or self._harmful(plan.function, change, network, here)
            ):
                left_out |= set(_pair(plan, place))
        kept = tuple(c for place, c in enumerate(plan.changes) if place not in left_out)
        return replace(plan, changes=kept)

    def _harmful(self, function: str, change: Change, network: Network, here: Situations) -> bool:
        """Return whether a change clearly did harm in situations like this one."""
        action = action_of(function, change)
        if action is None:
            return False
        room, index = place_of(network, change)
        vectors, known = here.of(room)
        if not known[index]:
            return False
        situation = vectors[index][None, :]
        recalled = self.patterns[room].recall(action, situation)
        s = self.settings
        if recalled.weight[0] < s.least_weight or recalled.runs[0] < s.runs:
            return False
        gain = recalled.belief.beyond(self.patterns[room].recall(NOTHING, situation).belief)
        worse = 1.0 - float(gain.chance[0])
        return worse >= s.harm or bool(recalled.undone_ratio[0] >= s.undone)


def most_doubt(doubts: Floats, wrong: float) -> float:
    """Return the doubt up to which answers are taken, so that few of them are wrong.

    The more is asked, the more looks good by chance: of hundreds of answers some always do.
    So that at most a share of those taken is wrong, the limit goes down with the number of
    answers and up with the number of good ones (Benjamini and Hochberg 1995).

    Args:
        doubts: Probability that an action is no better than leaving things alone, for every
            object that was asked about.
        wrong: Share of those taken that may be wrong.
    """
    ordered = np.sort(doubts)
    limits = wrong * np.arange(1, ordered.size + 1) / max(ordered.size, 1)
    taken = ordered[ordered <= limits]
    return float(taken[-1]) if taken.size else -1.0


def _joined(
    plans: Sequence[Plan], ideas: Sequence[_Idea], last: KpiFrame, now_s: float
) -> list[Plan]:
    """Return one plan of each function, its ideas in front, in the order of the rules."""
    joined: dict[str, Plan] = {}
    for idea in ideas:
        plan = joined.get(idea.function) or Plan(
            plan_id=f"{idea.function}-{round(now_s / last.period_s)}",
            function=idea.function, time_s=now_s, changes=(),
            evidence=(f"period from {last.time_s:.0f} s to {now_s:.0f} s",),
        )  # fmt: skip
        evidence = tuple(dict.fromkeys((*plan.evidence, *idea.patterns)))
        joined[idea.function] = replace(
            plan, changes=(*plan.changes, idea.change), evidence=evidence
        )
    for plan in plans:
        mine = joined.get(plan.function)
        if mine is None:
            joined[plan.function] = plan
        else:
            evidence = tuple(dict.fromkeys((*mine.evidence, *plan.evidence)))
            joined[plan.function] = replace(
                plan, changes=(*mine.changes, *plan.changes), evidence=evidence
            )
    return sorted(joined.values(), key=lambda plan: _ORDER.get(plan.function, 0))


def _pair(plan: Plan, place: int) -> list[int]:
    """Return the places of the changes that stand or fall with one: both ways of a pair of MLB."""
    change = plan.changes[place]
    if plan.function != "MLB" or change.target is None:
        return [place]
    ends = {change.cell, change.target}
    return [p for p, other in enumerate(plan.changes) if {other.cell, other.target} == ends]


def _address(
    network: Network, room: str, index: int, parameter: str
) -> tuple[str, str, str | None]:
    if room == CELLS:
        return network.cell_ids[index], parameter, None
    source, target = network.relation_source[index], network.relation_target[index]
    return network.cell_ids[source], parameter, network.cell_ids[target]


def _sign(change: Change) -> int:
    return 1 if change.after > change.before else -1


def _possible(parameter: str, before: float, steps: int) -> bool:
    """Return whether the grid and the guard allow so many steps at once."""
    after = step_on_grid(parameter, before, steps)
    grid = QUANTITIES[parameter].grid
    inside = 0 <= min(range(len(grid)), key=lambda i: abs(grid[i] - before)) + steps < len(grid)
    return inside and abs(after - before) <= QUANTITIES[parameter].max_step + TOLERANCE


def _within(change: Change) -> bool:
    size = abs(change.after - change.before)
    return TOLERANCE < size <= QUANTITIES[change.parameter].max_step + TOLERANCE


def _amount(parameter: str, before: float, after: float) -> str:
    quantity = QUANTITIES[parameter]
    return f"{quantity.label} {before:g} to {after:g} {quantity.unit}".rstrip()


def _striking(room: str, situation: Floats32, most: int = 2) -> str:
    """Return the components in which a situation is least ordinary, in words."""
    names = FEATURES[room]
    order = np.argsort(-np.abs(situation), kind="stable")[:most]
    return " and ".join(f"{names[int(i)]} is {situation[int(i)]:+.1f}" for i in order)
