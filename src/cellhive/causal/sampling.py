"""Compiled moves of the sampler of graphs: relocations in orders, tempered, without order bias.

A sampler that draws orders with weight "sum over the graphs that fit" counts a graph once
for every order it fits. Here a state is a graph *and* an order of it, and the order is drawn
from a distribution that is known and sums to one: nodes are placed one by one, each chosen
evenly among those whose parents are all placed. The target

    p(graph | data) · q(order | graph)

has exactly the posterior over graphs as its marginal. A move takes one node out of the order,
puts it back with probability in proportion to Z(order), the sum over all graphs that fit,
draws new parents for the nodes whose possible parents changed, and is accepted with
probability min(1, q' / q). A tempered rung has the target times Z(order)^(beta - 1): its
relocations are drawn in proportion to Z^beta, the acceptance stays the same, and two rungs
exchange their states with probability min(1, (Z_hot / Z_cold)^(beta_cold - beta_hot)).

Relocations are slow to turn edges round that the data do not direct. So the first rung also
walks among graphs alone: an edge whose ends have the same other parents (a covered edge)
turns round without a cycle, and without a change of score where the score is the same for all
graphs of a class (Chickering 1995, lemma 1); such steps lead to every graph of the class. An
order for the new graph is then drawn from q, which keeps the target as it is.

Nodes of an earlier tier stand before those of a later one; lagged columns are always
possible parents and stand in no order.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cellhive.core.compiled import Scalar, Word, compiled
from cellhive.core.types import Floats, Floats32, Ints

Words = npt.NDArray[np.uint64]

_U64 = np.uint64
_GOLDEN = _U64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = _U64(0xBF58476D1CE4E5B9), _U64(0x94D049BB133111EB)
_FAR = 40.0
"""Difference of logarithms below which nothing is ever drawn."""
_TURNS = 4
"""Edges to try to turn between two kept graphs, per node."""
_S30, _S27, _S31, _S11 = _U64(30), _U64(27), _U64(31), _U64(11)


class Problem(NamedTuple):
    """What the moves know and never change; n nodes, K candidates."""

    table: Floats32
    """Score of every set of candidate parents, less the offset, (n, 2^K)."""
    sums: Floats32
    """Log of the summed exponentials over subsets, less the offset, (n, 2^K)."""
    offset: Floats
    """Largest of the sums of each node: what is left is short enough for half the width, of
    which twice as much fits into the cache that these look-ups are slow without, (n,)."""
    bit: Ints
    """Bit of candidate c in the sets of node v, or -1, (n, n)."""
    bit_in: Ints
    """Bit of node v in the sets of c, or -1: the same, turned round to be read in a row, (n, n)."""
    near: Ints
    """Nodes that are candidates of a node or have it as one, -1 behind the last, (n, W)."""
    always: Ints
    """Set of candidates that stand in no order, (n,)."""
    candidates: Ints
    """Column of each candidate, -1 behind the last, (n, K)."""
    low: Ints
    """First place that a node may take: that of its tier, (n,)."""
    high: Ints
    """Last place that a node may take, (n,)."""
    listed: Ints
    """Sets worth drawing of every node, best first, (n, M), -1 behind the last."""
    logs: Floats
    """Logarithms of 0, 1, ..., n; the first is not used."""


class State(NamedTuple):
    """A graph and an order of it; one row of each array per rung."""

    order: Ints
    """Node at each place, (R, n)."""
    place: Ints
    """Place of each node, (R, n)."""
    possible: Ints
    """Candidates that stand before each node, as a set, (R, n)."""
    chosen: Ints
    """Parents of each node, as a set, (R, n)."""
    fit: Floats
    """Log of Z(order), less the offsets, and of q(order | graph), (R, 2)."""
    start: Ints
    """First place that each node's tier and parents leave to it, (R, n)."""
    seed: Words
    """State of the random numbers of each rung, (R,)."""


class Steps(NamedTuple):
    """Runs of places that are alike to a node; one more than nodes are near."""

    near: Ints
    """Nodes that are near, in their order, (W + 1,)."""
    first: Ints
    """First place of each run, (W + 1,)."""
    last: Ints
    """Last place, (W + 1,)."""
    gain: Floats
    """How log Z changes, (W + 1,)."""
    odds: Floats
    """Of each of its places, (W + 1,)."""


class After(NamedTuple):
    """A state of one rung that a move proposes; arrays as there, (n,)."""

    order: Ints
    place: Ints
    possible: Ints
    chosen: Ints
    start: Ints


def near_of(bit: Ints) -> Ints:
    """Return nodes that are candidates of a node or have it as one, -1 behind the last, (n, W).

    Args:
        bit: Of each candidate in the sets of a node, or -1, (n, n).
    """
    related = (bit >= 0) | (bit.T >= 0)
    near = np.full((len(bit), int(related.sum(axis=1).max(initial=0))), -1, np.int32)
    for node, row in enumerate(related):
        near[node, : row.sum()] = np.flatnonzero(row)
    return near


@compiled
def _uniform(seed: Words, which: int) -> Scalar:
    """Return a draw from the open interval (0, 1) (SplitMix64: Steele and others 2014)."""
    seed[which] += _GOLDEN
    word: Word = seed[which]
    word = (word ^ (word >> _S30)) * _MIX_1
    word = (word ^ (word >> _S27)) * _MIX_2
    word ^= word >> _S31
    return (float(word >> _S11) + 0.5) / 9007199254740992.0


@compiled
def _first_place(problem: Problem, place: Ints, node: int, chosen: int) -> int:
    """Return the first place that a node's tier and parents leave to it."""
    start: Scalar = np.int64(problem.low[node])
    members, slot = chosen & ~problem.always[node], 0
    while members:
        if members & 1:
            start = max(start, place[problem.candidates[node, slot]] + 1)
        members >>= 1
        slot += 1
    return int(start)


@compiled
def _order_log(problem: Problem, start: Ints, ready: Ints) -> Scalar:
    """Return the log probability of an order when nodes are placed evenly among the ready ones."""
    ready[:] = 0
    for node in range(start.size):
        ready[start[node]] += 1
    total, available = 0.0, 0
    for k in range(start.size):
        available += ready[k]
        total -= problem.logs[available - k]
    return total


@compiled
def _drawn_set(problem: Problem, node: int, possible: int, uniform: float) -> int:
    """Return a set of parents, drawn in proportion to the exponential of its score."""
    whole = problem.sums[node, possible]
    total, last = 0.0, -1
    for k in range(problem.listed.shape[1]):
        members = problem.listed[node, k]
        if members < 0:
            break
        if members & ~possible == 0:
            last = members
            total += math.exp(problem.table[node, members] - whole)
            if total >= uniform:
                break
    return last


@compiled
def _set_in_order(problem: Problem, place: Ints, node: int, steps: Steps) -> tuple[int, int]:
    """Write what is near a node in its order; return how many, and how many stand before it."""
    count, before = 0, 0
    for k in range(problem.near.shape[1]):
        other = problem.near[node, k]
        if other < 0:
            break
        slot, its = count, place[other]
        before += int(its < place[node])
        while slot > 0 and place[steps.near[slot - 1]] > its:
            steps.near[slot] = steps.near[slot - 1]
            slot -= 1
        steps.near[slot] = other
        count += 1
    return count, before


@compiled
def _steps(problem: Problem, state: State, rung: int, node: int, steps: Steps) -> int:
    """Write runs of places at which a node leaves log Z alike, and how it changes; return how many.

    It changes only where the node passes one that is near. The run in which it stands is first.
    """
    sums, place, possible = problem.sums, state.place[rung], state.possible[rung]
    low, high = problem.low[node], problem.high[node]
    count, before = _set_in_order(problem, place, node, steps)
    steps.gain[0], runs = 0.0, 1
    steps.first[0], steps.last[0] = low, high
    for down in (True, False):
        mine, change, run = possible[node], 0.0, 0
        for k in range(before if down else count - before):
            other = steps.near[before - 1 - k if down else before + k]
            passed, had, its = place[other], possible[other], problem.bit_in[node, other]
            if not low <= passed <= high:
                break
            if problem.bit[node, other] >= 0:
                mine ^= 1 << problem.bit[node, other]
            if its >= 0:
                change += sums[other, had ^ (1 << its)] - sums[other, had]
            steps.first[runs], steps.last[runs] = low if down else passed, passed if down else high
            if down:
                steps.first[run] = passed + 1
            else:
                steps.last[run] = passed - 1
            steps.gain[runs] = change + sums[node, mine] - sums[node, possible[node]]
            run, runs = runs, runs + 1
    return runs


@compiled
def _drawn_run(steps: Steps, runs: int, beta: float, uniform: float) -> tuple[int, int]:
    """Return a run and a place in it, drawn in proportion to the exponential of beta times gain."""
    top = 0.0
    for run in range(runs):
        top = max(top, steps.gain[run])
    total = 0.0
    for run in range(runs):
        below = beta * (steps.gain[run] - top)
        steps.odds[run] = math.exp(below) if below > -_FAR else 0.0
        total += steps.odds[run] * (steps.last[run] - steps.first[run] + 1)
    target, chosen = uniform * total, 0
    for run in range(runs):
        if steps.odds[run] > 0.0:
            chosen = run
            whole = steps.odds[run] * (steps.last[run] - steps.first[run] + 1)
            if target < whole:
                break
            target -= whole
    width = steps.last[chosen] - steps.first[chosen]
    return chosen, steps.first[chosen] + min(int(target / steps.odds[chosen]), width)


@compiled
def _moved(problem: Problem, state: State, rung: int, node: int, to: int, after: After) -> None:
    """Write the state after a node has moved, new parents drawn where others became possible."""
    order, place, possible, chosen = after.order, after.place, after.possible, after.chosen
    for k in range(order.size):
        order[k], place[k] = state.order[rung, k], state.place[rung, k]
        possible[k], chosen[k] = state.possible[rung, k], state.chosen[rung, k]
    at = place[node]
    step, first, last = 1 if to > at else -1, min(at, to), max(at, to)
    while at != to:
        other = order[at + step]
        order[at], place[other] = other, at
        at += step
        mine, its = problem.bit[node, other], problem.bit_in[node, other]
        if mine >= 0:
            possible[node] ^= 1 << mine
        if its >= 0:
            possible[other] ^= 1 << its
            uniform = _uniform(state.seed, rung)
            chosen[other] = _drawn_set(problem, other, possible[other], uniform)
    order[to], place[node] = node, to
    chosen[node] = _drawn_set(problem, node, possible[node], _uniform(state.seed, rung))
    for v in range(order.size):
        start = state.start[rung, v]
        if first < start <= last + 1 or chosen[v] != state.chosen[rung, v]:
            start = _first_place(problem, place, v, chosen[v])
        after.start[v] = start


@compiled
def run_moves(problem: Problem, state: State, rung: int, beta: float, moves: int) -> int:
    """Make moves on one rung; return how many were accepted.

    Args:
        problem: Scores.
        state: Changed in place.
        rung: Row of the state.
        beta: Temperature: 1 for the posterior itself, less for flatter ones.
        moves: How many.
    """
    size, runs_most = state.order.shape[1], problem.near.shape[1] + 1
    ready = np.empty(size + 1, np.int32)
    after = After(
        np.empty(size, np.int32), np.empty(size, np.int32), np.empty(size, np.int32),
        np.empty(size, np.int32), np.empty(size, np.int32),
    )  # fmt: skip
    steps = Steps(
        np.empty(runs_most, np.int32), np.empty(runs_most, np.int32),
        np.empty(runs_most, np.int32), np.empty(runs_most), np.empty(runs_most),
    )  # fmt: skip
    accepted = 0
    for _ in range(moves):
        node = min(int(_uniform(state.seed, rung) * size), size - 1)
        runs = _steps(problem, state, rung, node, steps)
        run, to = _drawn_run(steps, runs, beta, _uniform(state.seed, rung))
        if to == state.place[rung, node]:
            accepted += _parents_drawn(problem, state, rung, node, ready)
            continue
        _moved(problem, state, rung, node, to, after)
        fits = _order_log(problem, after.start, ready)
        if math.log(_uniform(state.seed, rung)) < fits - state.fit[rung, 1]:
            for k in range(size):
                state.order[rung, k], state.place[rung, k] = after.order[k], after.place[k]
                state.possible[rung, k] = after.possible[k]
                state.chosen[rung, k], state.start[rung, k] = after.chosen[k], after.start[k]
            state.fit[rung, 0] += steps.gain[run]
            state.fit[rung, 1] = fits
            accepted += 1
    return accepted


@compiled
def _parents_drawn(problem: Problem, state: State, rung: int, node: int, ready: Ints) -> int:
    """Make a move of a node that stays where it is; return whether it was accepted."""
    had, started = state.chosen[rung, node], state.start[rung, node]
    members = _drawn_set(problem, node, state.possible[rung, node], _uniform(state.seed, rung))
    start = _first_place(problem, state.place[rung], node, members)
    state.chosen[rung, node] = members
    if start != started:
        state.start[rung, node] = start
        fits = _order_log(problem, state.start[rung], ready)
        if math.log(_uniform(state.seed, rung)) >= fits - state.fit[rung, 1]:
            state.chosen[rung, node], state.start[rung, node] = had, started
            return 0
        state.fit[rung, 1] = fits
    return 1


@compiled
def settle(problem: Problem, state: State, rung: int) -> None:
    """Fill in places, possible parents, a graph and the fit of the order of a rung."""
    _place_all(problem, state, rung)
    for node in range(state.order.shape[1]):
        state.chosen[rung, node] = _drawn_set(
            problem, node, state.possible[rung, node], _uniform(state.seed, rung)
        )  # fmt: skip
    _fit(problem, state, rung)


@compiled
def _place_all(problem: Problem, state: State, rung: int) -> None:
    """Fill in places and possible parents of an order."""
    size = state.order.shape[1]
    for k in range(size):
        state.place[rung, state.order[rung, k]] = k
    for node in range(size):
        members = problem.always[node]
        for other in range(size):
            if problem.bit[node, other] >= 0 and state.place[rung, other] < state.place[rung, node]:
                members |= 1 << problem.bit[node, other]
        state.possible[rung, node] = members


@compiled
def _fit(problem: Problem, state: State, rung: int) -> None:
    """Fill in the fit of an order and its graph, and what it leaves to nodes."""
    size = state.order.shape[1]
    total, ready = 0.0, np.empty(size + 1, np.int32)
    for node in range(size):
        total += problem.sums[node, state.possible[rung, node]]
        state.start[rung, node] = _first_place(
            problem, state.place[rung], node, state.chosen[rung, node]
        )  # fmt: skip
    state.fit[rung, 0] = total
    state.fit[rung, 1] = _order_log(problem, state.start[rung], ready)


@compiled
def turn_edges(problem: Problem, state: State, rung: int, tries: int) -> int:
    """Turn covered edges round, then draw an order anew; return how many turned.

    A node is drawn evenly, and one of its parents in no lag; the way back is as probable, as
    the other end then has as many of them.

    Args:
        problem: Scores.
        state: Changed in place.
        rung: Row of the state: one of the posterior itself.
        tries: Edges to try.
    """
    size, turned = state.order.shape[1], 0
    chosen = state.chosen[rung]
    for _ in range(tries):
        node = min(int(_uniform(state.seed, rung) * size), size - 1)
        parent = _drawn_parent(problem, node, chosen[node], _uniform(state.seed, rung))
        if parent < 0 or problem.bit[parent, node] < 0 or problem.low[parent] != problem.low[node]:
            continue
        without = chosen[node] & ~(1 << problem.bit[node, parent])
        if not _covered(problem, parent, node, chosen[parent], without):
            continue
        joined = chosen[parent] | (1 << problem.bit[parent, node])
        gain = problem.table[node, without] + problem.table[parent, joined]
        gain -= problem.table[node, chosen[node]] + problem.table[parent, chosen[parent]]
        if math.log(_uniform(state.seed, rung)) < gain:
            chosen[node], chosen[parent] = without, joined
            turned += 1
    _draw_order(problem, state, rung)
    _place_all(problem, state, rung)
    _fit(problem, state, rung)
    return turned


@compiled
def _drawn_parent(problem: Problem, node: int, members: int, uniform: float) -> int:
    """Return one of a node's parents that stand in the order, evenly; -1 if it has none."""
    left = members & ~problem.always[node]
    count, rest = 0, left
    while rest:
        rest &= rest - 1
        count += 1
    skip, slot = int(uniform * count), 0
    while left:
        if left & 1:
            if skip == 0:
                return int(problem.candidates[node, slot])
            skip -= 1
        left >>= 1
        slot += 1
    return -1


@compiled
def _covered(problem: Problem, first: int, second: int, members: int, others: int) -> bool:
    """Return whether two nodes' sets hold the same nodes, lagged columns aside."""
    left, rest, slot = members & ~problem.always[first], others & ~problem.always[second], 0
    while left:
        if left & 1:
            bit = problem.bit[second, problem.candidates[first, slot]]
            if bit < 0 or not (rest >> bit) & 1:
                return False
            rest ^= 1 << bit
        left >>= 1
        slot += 1
    same: bool = rest == 0
    return same


@compiled
def _draw_order(problem: Problem, state: State, rung: int) -> None:
    """Draw an order of a graph: nodes are placed evenly among those that are ready."""
    size = state.order.shape[1]
    waits = np.empty(size, np.int32)
    for node in range(size):
        rest, waits[node] = state.chosen[rung, node] & ~problem.always[node], 0
        while rest:
            rest &= rest - 1
            waits[node] += 1
    for k in range(size):
        count = 0
        for node in range(size):
            count += int(waits[node] == 0 and problem.low[node] <= k)
        skip = min(int(_uniform(state.seed, rung) * count), count - 1)
        node = 0
        while waits[node] != 0 or problem.low[node] > k or skip > 0:
            skip -= int(waits[node] == 0 and problem.low[node] <= k)
            node += 1
        state.order[rung, k], waits[node] = node, -1
        for other in range(size):
            bit = problem.bit_in[node, other]
            if bit >= 0 and (state.chosen[rung, other] >> bit) & 1:
                waits[other] -= 1


@compiled
def exchange(state: State, betas: Floats, swaps: Floats) -> None:
    """Offer every pair of neighbouring rungs to exchange their states, hottest pair first.

    Args:
        state: Changed in place.
        betas: Of the rungs, the posterior first.
        swaps: Offers accepted so far, by the colder rung; changed in place.
    """
    for cold in range(betas.size - 2, -1, -1):
        hot = cold + 1
        odds = (betas[cold] - betas[hot]) * (state.fit[hot, 0] - state.fit[cold, 0])
        if math.log(_uniform(state.seed, cold)) < odds:
            swaps[cold] += 1.0
            for k in range(state.order.shape[1]):
                _swap(state.order, cold, k)
                _swap(state.place, cold, k)
                _swap(state.possible, cold, k)
                _swap(state.chosen, cold, k)
                _swap(state.start, cold, k)
            _swap(state.fit, cold, 0)
            _swap(state.fit, cold, 1)


@compiled
def _swap(rows: Scalar, first: int, column: int) -> None:
    kept = rows[first, column]
    rows[first, column] = rows[first + 1, column]
    rows[first + 1, column] = kept


@compiled
def draw_graphs(
    problem: Problem, state: State, betas: Floats, moves: int, kept: Ints, trace: Floats,
    swaps: Floats,
) -> None:  # fmt: skip
    """Run all rungs and keep the graph of the first one after every round.

    Args:
        problem: Scores.
        state: Changed in place.
        betas: Of the rungs.
        moves: On each rung in a round.
        kept: Where the parents of the kept graphs go, (rounds, n).
        trace: Where the log scores of the kept graphs go, (rounds,).
        swaps: Accepted exchanges by colder rung, added to.
    """
    for round_ in range(kept.shape[0]):
        for rung in range(betas.size):
            run_moves(problem, state, rung, betas[rung], moves)
        turn_edges(problem, state, 0, _TURNS * kept.shape[1])
        exchange(state, betas, swaps)
        total = 0.0
        for node in range(kept.shape[1]):
            kept[round_, node] = state.chosen[0, node]
            total += problem.table[node, state.chosen[0, node]] + problem.offset[node]
        trace[round_] = total
