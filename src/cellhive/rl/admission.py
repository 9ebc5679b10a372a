"""The guard for many proposals at once: the rules of ``ran.guard`` over arrays.

An agent that proposes alone for a whole network meets only some of the guard's rules:
there is no other function whose work it could disturb and nothing is rolled back. Those
rules stand here a second time, compiled, because a mask asks them of every option of
every cell in every decision. A test holds the two against each other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cellhive.core.compiled import Scalar, compiled
from cellhive.core.schema import QUANTITIES
from cellhive.core.types import Bools, Floats, Ints, Network
from cellhive.ran.guard.state import Limits
from cellhive.ran.parameters import TOLERANCE

PARAMETERS_OF_A_CELL = (
    "a3_offset_db", "hysteresis_db", "time_to_trigger_s", "filter_coefficient",
    "electrical_tilt_deg", "tx_power_dbm", "asleep",
)  # fmt: skip
"""Order of the values of a network: each of these for every cell, then ``cio_db`` per relation."""

A3_OFFSET, HYSTERESIS, TIME_TO_TRIGGER, FILTER, TILT, POWER, ASLEEP, CIO = range(8)
"""Kind of a value: its place in that order."""

KINDS = (*PARAMETERS_OF_A_CELL, "cio_db")

REASONS = (
    "", "bounds", "no-effect", "protected", "step", "interval", "deviation", "area", "awake",
    "sleep", "budget", "loop-free",
)  # fmt: skip
"""Why a proposal is refused: the names of the guard's rules; the empty one means it is not."""

(
    NOTHING, BOUNDS, NO_EFFECT, PROTECTED, TOO_FAR, TOO_SOON, DEVIATION, AREA, AWAKE, SLEEP,
    BUDGET, LOOP,
) = range(12)  # fmt: skip
"""Places in ``REASONS``."""

LONG_AGO_S = -1e12
"""When a value was last changed that never was [s]."""


class Standing(NamedTuple):
    """What the rules know that no decision changes; V values, C cells, R relations."""

    kind: Ints
    """Kind of each value, (V,)."""
    cell: Ints
    """Cell that a value belongs to, the source of a relation, (V,)."""
    target: Ints
    """Target cell of a relation, -1 for a value of a cell, (V,)."""
    back: Ints
    """Value of the relation the other way round or -1, (V,)."""
    low: Floats
    """Smallest permitted value by kind, (8,)."""
    high: Floats
    max_step: Floats
    interval_s: Floats
    deviation: Floats
    """Largest distance from the initial value by kind, (8,)."""
    protected: Bools
    coverage: Bools
    near_first: Ints
    """Where the neighbours of a cell, to or from, begin in ``near``, (C + 1,)."""
    near: Ints
    out_first: Ints
    """Where the relations of a cell begin in ``out``, (C + 1,)."""
    out: Ints
    """Values of the relations of each cell, (R,)."""
    loop_margin_db: float
    allow_loops: bool
    conflict_s: float
    woken_s: float
    shortest_sleep_s: float
    window_s: float
    network_budget: int
    cell_budget: int


class Course(NamedTuple):
    """What was decided so far in E networks."""

    values: Floats
    """Present values, (E, V)."""
    base: Floats
    """Initial values, (E, V)."""
    changed_s: Floats
    """When each value was last changed, (E, V)."""
    woken_s: Floats
    """When each cell last woke up, (E, C)."""
    spent: Ints
    """Changes of each cell and its relations within the window, (E, C)."""

    def copied(self) -> Course:
        """Return an independent copy."""
        return Course(
            self.values.copy(), self.base.copy(), self.changed_s.copy(), self.woken_s.copy(),
            self.spent.copy(),
        )  # fmt: skip


def standing(network: Network, limits: Limits) -> Standing:
    """Return what the rules need to know of a network and of the limits."""
    cells, relations = network.cells, network.relations
    first = len(PARAMETERS_OF_A_CELL) * cells
    source = network.relation_source.astype(np.int32)
    target = network.relation_target.astype(np.int32)
    everywhere = np.tile(np.arange(cells, dtype=np.int32), len(PARAMETERS_OF_A_CELL))
    pairs = zip(source.tolist(), target.tolist(), strict=True)
    index = network.relation_index
    back = [index.get((j, i), -1 - first) + first for i, j in pairs]
    nothing = np.full(first, -1, np.int32)
    out = np.argsort(source, kind="stable").astype(np.int32)
    around = np.zeros((cells, cells), np.bool_)
    around[source, target] = around[target, source] = True
    np.fill_diagonal(around, False)
    quantities = [QUANTITIES[name] for name in KINDS]
    most = max(limits.network_budget_least, int(limits.network_budget_per_cell * cells))
    return Standing(
        kind=np.concatenate(
            [np.repeat(np.arange(CIO), cells), np.full(relations, CIO)]
        ).astype(np.int32),
        cell=np.concatenate([everywhere, source]),
        target=np.concatenate([nothing, target]),
        back=np.concatenate([nothing, np.array(back, np.int32)]),
        low=np.array([q.low for q in quantities], np.float64),
        high=np.array([q.high for q in quantities], np.float64),
        max_step=np.array([q.max_step for q in quantities], np.float64),
        interval_s=np.array([q.min_interval_s for q in quantities], np.float64),
        deviation=np.array([limits.deviation.get(name, 1e12) for name in KINDS]),
        protected=network.protected.copy(),
        coverage=network.coverage_cell.copy(),
        near_first=_starts(around.sum(axis=1)),
        near=np.nonzero(around)[1].astype(np.int32),
        out_first=_starts(np.bincount(source, minlength=cells)),
        out=(out + first).astype(np.int32),
        loop_margin_db=float(limits.loop_margin_db),
        allow_loops=bool(limits.allow_loops),
        conflict_s=float(limits.conflict_s),
        woken_s=float(limits.woken_s),
        shortest_sleep_s=float(limits.shortest_sleep_s),
        window_s=float(limits.window_s),
        network_budget=int(most),
        cell_budget=int(limits.budget_per_cell),
    )  # fmt: skip


def _starts(counts: npt.NDArray[np.integer]) -> Ints:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)


class _Case(NamedTuple):
    """One network before the rules; the values are those with all that was let through."""

    values: Floats
    base: Floats
    changed_s: Floats
    woken_s: Floats
    spent: Ints


@compiled
def _case(course: Course, e: int) -> _Case:
    return _Case(
        course.values[e], course.base[e], course.changed_s[e], course.woken_s[e], course.spent[e]
    )


@compiled
def _asleep(case: _Case, rules: Standing, cell: int) -> bool:
    return bool(case.values[ASLEEP * rules.protected.size + cell] > 0.5)


@compiled
def _order(case: _Case, rules: Standing, v: int, after: float, now_s: float) -> int:
    """Return the rule of a single value that objects: range, step, time, distance."""
    kind, cell, target = rules.kind[v], rules.cell[v], rules.target[v]
    size = abs(after - case.values[v])
    if after < rules.low[kind] or after > rules.high[kind]:
        return BOUNDS
    if size <= TOLERANCE:
        return NO_EFFECT
    if rules.protected[cell] or (target >= 0 and rules.protected[target]):
        return PROTECTED
    if size > rules.max_step[kind] + TOLERANCE:
        return TOO_FAR
    return _in_time(case, rules, v, after, now_s)


@compiled
def _in_time(case: _Case, rules: Standing, v: int, after: float, now_s: float) -> int:
    """Return the rule that objects to the time or to the distance from the beginning."""
    kind, before = rules.kind[v], case.values[v]
    wait_s = rules.interval_s[kind]
    if kind == ASLEEP and after < before:
        wait_s = min(wait_s, rules.shortest_sleep_s)
    if now_s - case.changed_s[v] < wait_s:
        return TOO_SOON
    away = abs(after - case.base[v])
    if away > rules.deviation[kind] + TOLERANCE and away >= abs(before - case.base[v]):
        return DEVIATION
    return NOTHING


@compiled
def _area_is_busy(case: _Case, rules: Standing, kind: int, cell: int, now_s: float) -> bool:
    """Return whether sleep and antenna or power would meet in a neighbourhood."""
    cells = rules.protected.size
    if kind not in (ASLEEP, TILT, POWER):
        return False
    for place in range(rules.near_first[cell] - 1, rules.near_first[cell + 1]):
        other = cell if place < rules.near_first[cell] else rules.near[place]
        last_s = case.changed_s[ASLEEP * cells + other]
        if kind == ASLEEP:
            last_s = max(
                case.changed_s[TILT * cells + other], case.changed_s[POWER * cells + other]
            )
        if now_s - last_s < rules.conflict_s:
            return True
    return False


@compiled
def _rests(case: _Case, rules: Standing, v: int, now_s: float) -> bool:
    """Return whether a cell sleeps, or has just woken up where its relations are meant."""
    cell, target = rules.cell[v], rules.target[v]
    if _asleep(case, rules, cell):
        return True
    if target < 0:
        return False
    if _asleep(case, rules, target):
        return True
    return bool(now_s - max(case.woken_s[cell], case.woken_s[target]) < rules.woken_s)


@compiled
def _stands_in(case: _Case, rules: Standing, sleeper: int, cell: int) -> bool:
    """Return whether a cell serves the users of one that sleeps; -1 asks for any cell."""
    covered, found, found_covering = False, False, False
    for place in range(rules.out_first[sleeper], rules.out_first[sleeper + 1]):
        other = rules.target[rules.out[place]]
        if _asleep(case, rules, other):
            continue
        mine = (cell < 0) | (cell == other)
        found |= mine
        covered |= rules.coverage[other]
        found_covering |= mine and rules.coverage[other]
    return bool(found_covering if covered else found)


@compiled
def _must_stay_awake(case: _Case, rules: Standing, cell: int) -> bool:
    """Return whether a cell carries coverage, stands in for another, or has nobody to do so."""
    if rules.coverage[cell] or not _stands_in(case, rules, cell, -1):
        return True
    for sleeper in range(rules.protected.size):
        asleep = sleeper != cell and _asleep(case, rules, sleeper)
        if asleep and _stands_in(case, rules, sleeper, cell):
            return True
    return False


@compiled
def _threshold_db(case: _Case, rules: Standing, cell: int) -> Scalar:
    cells = rules.protected.size
    return case.values[A3_OFFSET * cells + cell] + case.values[HYSTERESIS * cells + cell]


@compiled
def push_db(kind: int, before: float, after: float) -> float:
    """Return by how much a change brings a pair of relations nearer to a loop [dB]."""
    if kind == CIO:
        return after - before
    if kind in (A3_OFFSET, HYSTERESIS):
        return before - after
    return 0.0


@compiled
def _loops(case: _Case, rules: Standing, v: int, after: float) -> bool:
    """Return whether two cells would hand over to each other; see ``loop_slack_db``."""
    kind, cell = rules.kind[v], rules.cell[v]
    push = push_db(kind, case.values[v], after)
    if rules.allow_loops or push <= 0:
        return False
    own_db = _threshold_db(case, rules, cell)
    first, last = rules.out_first[cell], rules.out_first[cell + 1]
    for place in range(first, last):
        relation = v if kind == CIO else rules.out[place]
        back = rules.back[relation]
        if back < 0:
            continue
        slack_db = own_db + _threshold_db(case, rules, rules.target[relation]) - push
        slack_db -= case.values[relation] + case.values[back]
        if slack_db < rules.loop_margin_db - TOLERANCE:
            return True
        if kind == CIO:
            return False
    return False


@compiled
def objection(case: _Case, rules: Standing, v: int, after: float, now_s: float, taken: int) -> int:
    """Return the place in ``REASONS`` of the first rule against a change; 0 means none.

    Args:
        case: One network.
        rules: What does not change.
        v: The value.
        after: What it would be set to.
        now_s: Time of the decision [s].
        taken: Changes of the whole network within the window so far.
    """
    found = _order(case, rules, v, after, now_s)
    if found != NOTHING:
        return found
    kind, cell = rules.kind[v], rules.cell[v]
    wakes = kind == ASLEEP and after < case.values[v]
    if not wakes and _area_is_busy(case, rules, kind, cell, now_s):
        return AREA
    if kind != ASLEEP and _rests(case, rules, v, now_s):
        return AWAKE
    if kind == ASLEEP and not wakes and _must_stay_awake(case, rules, cell):
        return SLEEP
    full = taken >= rules.network_budget or case.spent[cell] >= rules.cell_budget
    if not wakes and full:
        return BUDGET
    return LOOP if _loops(case, rules, v, after) else NOTHING


@compiled
def fill_masks(
    course: Course, rules: Standing, place: Ints, options: Floats, settings: tuple[float, bool],
    allowed: Bools,
) -> None:  # fmt: skip
    """Fill which options would be let through, each on its own.

    Args:
        course: What was decided so far.
        rules: What does not change.
        place: Value that a column of a cell is about, -1 for none, (N,).
        options: What each option would set it to, (E, N, O).
        settings: Time of the decision [s], and whether the guard is on.
        allowed: Written, (E, N, O).
    """
    now_s, guarded = settings
    for e in range(options.shape[0]):
        case = _case(course, e)
        taken = case.spent.sum()
        for n in range(place.size):
            for o in range(options.shape[2]):
                v, after = place[n], options[e, n, o]
                if v < 0:
                    allowed[e, n, o] = False
                elif guarded:
                    allowed[e, n, o] = objection(case, rules, v, after, now_s, taken) == NOTHING
                else:
                    allowed[e, n, o] = abs(after - case.values[v]) > TOLERANCE


@compiled
def admit(
    course: Course, rules: Standing, place: Ints, after: Floats, order: Ints,
    settings: tuple[float, bool], reason: Ints,
) -> None:  # fmt: skip
    """Make the changes that are let through, one after the other.

    Afterwards ``values``, ``changed_s``, ``woken_s`` and ``spent`` of the course are those
    after the decision. An order of -1 is no proposal.

    Args:
        course: What was decided so far, written.
        rules: What does not change.
        place: Value that a column of a cell is about, (N,).
        after: What it is to be set to, (E, N).
        order: Columns in the order in which they are asked, (E, N).
        settings: Time of the decision [s], and whether the guard is on.
        reason: Written: place in ``REASONS`` per column, -1 where nothing was proposed, (E, N).
    """
    now_s, guarded = settings
    for e in range(after.shape[0]):
        case = _case(course, e)
        taken = case.spent.sum()
        for which in order[e]:
            if which < 0:
                continue
            v = place[which]
            why = NOTHING
            if guarded:
                why = objection(case, rules, v, after[e, which], now_s, taken)
            elif abs(after[e, which] - case.values[v]) <= TOLERANCE:
                why = NO_EFFECT
            reason[e, which] = why
            if why == NOTHING:
                wakes = rules.kind[v] == ASLEEP and after[e, which] < case.values[v]
                case.values[v] = after[e, which]
                case.spent[rules.cell[v]] += 0 if wakes else 1
                taken += 0 if wakes else 1


@compiled
def remember(course: Course, rules: Standing, before: Floats, now_s: float, made: Bools) -> None:
    """Note when values changed, after a whole decision.

    Args:
        course: Written: ``changed_s`` and ``woken_s``.
        rules: What does not change.
        before: The values before the decision, (E, V).
        now_s: Time of the decision [s].
        made: Written: whether a network changed at all, (E,).
    """
    for e in range(before.shape[0]):
        for v in range(before.shape[1]):
            if course.values[e, v] != before[e, v]:
                made[e] = True
                course.changed_s[e, v] = now_s
                if rules.kind[v] == ASLEEP and course.values[e, v] < before[e, v]:
                    course.woken_s[e, rules.cell[v]] = now_s
