"""Makes experiences of a running loop: what changed around an object after something was done.

Nothing is known here that a live network would not tell: effects are those that the
frames show, around the object, less what happened meanwhile where nothing was done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np

from cellhive.core.schema import QUANTITIES
from cellhive.core.types import Bools, Change, KpiFrame, Network, Outcome, Parameters
from cellhive.flows.decide import KEPT, ROLLED_BACK
from cellhive.flows.recall.situations import CELLS, RELATIONS, Situations, situations
from cellhive.flows.watch import OBJECTIVE, Kpis, Scoring
from cellhive.memory.patterns import NOTHING, Action, Evidence, Pattern, Share
from cellhive.ran.parameters import TOLERANCE, diff, snap

LATELY = 3
"""Periods that a situation is averaged over, where the object was left alone so long."""


@dataclass(frozen=True)
class ExperienceRules:
    """How an effect is read from frames."""

    before: int = 4
    """Periods before a change that those after it are compared with."""
    after: int = 2
    """Periods watched where nothing was done; a plan says its own."""
    around: int = 2
    """Neighbours of a cell whose KPIs count with its own."""
    most_points: float = 40.0
    """Effects are cut off here: single cells have wild KPIs [points]."""
    controls: int = 3
    """Cells left alone that it takes to say what happened meanwhile."""
    idle: int = 12
    """Objects of each room that nothing was done to, taken in as such every few periods."""


@dataclass(frozen=True, eq=False)
class _Past:
    """The end of a period."""

    quiet: np.ndarray[tuple[int], np.dtype[np.int64]]
    """Periods since each cell was last changed, (C,)."""
    moved: set[int] = field(default_factory=set)
    """Cells that were then changed themselves, not only in an offset to a neighbour."""


@dataclass
class Ledger:
    """What a loop has seen lately, and what of it has become experience."""

    scoring: Scoring
    rules: ExperienceRules = field(default_factory=ExperienceRules)
    now_s: float = 0.0
    """When experiences are made, for forgetting: seconds since the epoch."""
    private: bool = False
    """Whether what is learnt must stay here."""
    run: str = ""
    """Tells this run from those that the memory knows; see ``run_token``."""
    frames: Sequence[KpiFrame] = ()
    base: Parameters | None = None
    _network: Network | None = None
    _held: Parameters | None = None
    _quiet: np.ndarray[tuple[int], np.dtype[np.int64]] | None = None
    """Periods since each cell was last changed."""
    _seen: deque[tuple[float, Situations]] = field(default_factory=lambda: deque(maxlen=16))
    _scores: dict[tuple[float, frozenset[int]], Kpis] = field(default_factory=dict)
    _earlier: dict[tuple[str, str], float] = field(default_factory=dict)
    """What each parameter was before it was last changed, by object and parameter."""
    _past: dict[float, _Past] = field(default_factory=dict)
    """What had been and was then done, by the end of each period."""
    _periods: int = 0

    def takes_back(self, change: Change) -> bool:
        """Return whether a change only undoes the last one of its parameter."""
        earlier = self._earlier.get((change.object_id, change.parameter))
        return earlier is not None and abs(earlier - change.after) <= TOLERANCE

    def take(
        self, network: Network, parameters: Parameters, frames: Sequence[KpiFrame], now_s: float
    ) -> Situations:
        """Take in a period and return the situations at its end."""
        if self.base is None or self._held is None or self._quiet is None:
            self.base, self._quiet = parameters.copy(), np.full(network.cells, 1 << 20)
        else:
            changed = np.zeros(network.cells, np.bool_)
            last = self._past.get(self._seen[-1][0])
            for change in diff(network, self._held, parameters):
                changed[network.cell_index[change.cell]] = True
                if change.target is None and last is not None:
                    last.moved.add(network.cell_index[change.cell])
                self._earlier[change.object_id, change.parameter] = change.before
            self._quiet = np.where(changed, 1, self._quiet + 1)
        self._network, self._held, self.frames = network, parameters.copy(), frames
        self._periods += 1
        times = {frame.time_s for frame in frames}
        self._scores = {key: kpis for key, kpis in self._scores.items() if key[0] in times}
        recent = frames[-LATELY:]
        back = np.arange(len(recent))[::-1]
        fresh = self._quiet[None, :] > back[:, None]
        here = situations(network, parameters, self.base, recent, fresh)
        self._seen.append((now_s, here))
        times_seen = {time_s for time_s, _ in self._seen}
        self._past = {t: past for t, past in self._past.items() if t in times_seen}
        self._past[now_s] = _Past(self._quiet.copy())
        return here

    def quiet(self, periods: int) -> Bools:
        """Return the cells that were not changed in so many periods, (C,)."""
        if self._quiet is None:
            return np.zeros(0, np.bool_)
        return np.asarray(self._quiet > periods)

    def of(self, outcome: Outcome) -> Iterator[Pattern]:
        """Yield an experience for each change of a plan that was kept or rolled back."""
        known = dict(self._seen)
        start = known.get(outcome.plan.time_s)
        if outcome.verdict not in (KEPT, ROLLED_BACK) or start is None or self._network is None:
            return
        before = [f for f in self.frames if f.time_s + f.period_s <= outcome.plan.time_s]
        after = [f for f in self.frames if f.time_s >= outcome.plan.time_s]
        later, undone = self._seen[-1][1], outcome.verdict == ROLLED_BACK
        busy = frozenset().union(
            *(_cells(self._network, change) for change in outcome.plan.changes)
        )
        span, past = len(after) + self.rules.before, self._past[outcome.plan.time_s]
        for change in outcome.plan.changes:
            action = action_of(outcome.plan.function, change)
            room, index = place_of(self._network, change)
            if action is None or not start.of(room)[1][index]:
                continue
            group = self._group(room, index)
            if room == RELATIONS and past.moved & group:
                continue  # a timer or tilt of its cells does more than its offset
            # Periods before an earlier change there would give this one the credit for that.
            own = before[-int(past.quiet[list(group)].min()) :]
            effect = self._effect(group, own, after) - self._trend(own, after, span, busy)
            if np.isfinite(effect):
                situation, follow = start.of(room)[0][index], later.of(room)[0][index]
                yield self._pattern(room, action, (situation, follow), effect, undone)

    def idle(self) -> Iterator[Pattern]:
        """Yield experiences of cells and relations that nothing was done to."""
        rules, network = self.rules, self._network
        span = rules.after + rules.before
        if network is None or len(self.frames) < rules.after + 1 or self._periods % rules.after:
            return
        before, after = self.frames[: -rules.after], self.frames[-rules.after :]
        start = dict(self._seen).get(after[0].time_s)
        if start is None:
            return
        still = self.quiet(span)
        later = self._seen[-1][1]
        trend = self._trend(before, after, span, frozenset())
        for room in (CELLS, RELATIONS):
            vectors, known = start.of(room)
            ends = np.arange(network.cells) if room == CELLS else network.relation_source
            calm = known & still[ends]
            if room == RELATIONS:
                calm &= still[network.relation_target]
            free = np.flatnonzero(calm)
            # Another part of them each time, so that all are met in turn.
            stride = max(1, free.size // rules.idle)
            for index in free[self._periods // rules.after % stride :: stride].tolist():
                group = self._group(room, index)
                if not still[list(group)].all():
                    continue
                effect = self._effect(group, before, after) - trend
                if np.isfinite(effect):
                    pair = (vectors[index], later.of(room)[0][index])
                    yield self._pattern(room, NOTHING, pair, effect, False)

    def _pattern(
        self, room: str, action: Action, ends: tuple[np.ndarray, np.ndarray], effect: float,
        undone: bool,
    ) -> Pattern:  # fmt: skip
        most = self.rules.most_points
        evidence = Evidence(
            times=1, weight=1.0, mean=float(np.clip(effect, -most, most)), scatter=0.0,
            undone=float(undone), last_s=self.now_s,
        )  # fmt: skip
        later = np.where(np.isfinite(ends[1]), ends[1], ends[0])
        runs = (Share(self.run, evidence),)
        return Pattern(room, action, ends[0], later, evidence, self.private, runs)

    def _group(self, room: str, index: int) -> frozenset[int]:
        """Return the cells around an object whose KPIs tell of it."""
        network = self._network
        if network is None:
            return frozenset()
        if room == CELLS:
            return frozenset([index, *network.neighbours_of(index)[: self.rules.around]])
        return frozenset([int(network.relation_source[index]), int(network.relation_target[index])])

    def _trend(
        self, before: Sequence[KpiFrame], after: Sequence[KpiFrame], span: int,
        busy: frozenset[int],
    ) -> float:  # fmt: skip
        """Return what happened meanwhile to the cells left alone; 0 where there are too few."""
        free = frozenset(np.flatnonzero(self.quiet(span)).tolist()) - busy
        if len(free) < self.rules.controls:
            return 0.0
        trend = self._effect(free, before, after)
        return trend if np.isfinite(trend) else 0.0

    def _effect(
        self, cells: frozenset[int], before: Sequence[KpiFrame], after: Sequence[KpiFrame]
    ) -> float:
        """Return how the objective of some cells changed, by the KPIs known on both sides."""
        first = self._kpis(cells, before[-self.rules.before :])
        last = self._kpis(cells, after)
        both = [n for n in first if n != OBJECTIVE and np.isfinite([first[n], last[n]]).all()]
        if not both:
            return float("nan")

        def score(kpis: Kpis) -> float:
            known = {name: kpis[name] if name in both else float("nan") for name in kpis}
            return float(self.scoring.objective(known, len(cells)))

        return score(last) - score(first)

    def _kpis(self, cells: frozenset[int], frames: Sequence[KpiFrame]) -> Kpis:
        """Return the mean KPIs of some cells over frames."""
        rows = []
        for frame in frames:
            key = (frame.time_s, cells)
            if key not in self._scores:
                self._scores[key] = self.scoring.over(frame, cells)
            rows.append(self._scores[key])
        names = dict.fromkeys(name for row in rows for name in row)
        means = {}
        for name in names:
            values = [row[name] for row in rows if np.isfinite(row.get(name, np.nan))]
            means[name] = float(np.mean(values)) if values else float("nan")
        return means


def run_token(run_id: str) -> str:
    """Return what tells a run apart in patterns that may be shared: a digest, no name."""
    return blake2b(run_id.encode(), digest_size=6, person=b"cellhive run").hexdigest()


def action_of(function: str, change: Change) -> Action | None:
    """Return a change in grid steps; None where its parameter has no grid or nothing moves."""
    grid = QUANTITIES[change.parameter].grid
    if not grid:
        return None
    ends = [grid.index(snap(change.parameter, v)) for v in (change.before, change.after)]
    steps = ends[1] - ends[0]
    return Action(function, change.parameter, steps) if steps else None


def place_of(network: Network, change: Change) -> tuple[str, int]:
    """Return the room and the index of what a change is about."""
    source = network.cell_index[change.cell]
    if change.target is None:
        return CELLS, source
    return RELATIONS, network.relation_index[source, network.cell_index[change.target]]


def _cells(network: Network, change: Change) -> frozenset[int]:
    names = (change.cell, change.target)
    return frozenset(network.cell_index[name] for name in names if name is not None)
