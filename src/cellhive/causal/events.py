"""Which kinds of events cause which: alarms with a time and a place, on a network of links.

Each kind of event has an intensity at each place: a base rate, a share of what happens
around there anyway, and what every earlier event adds there and at places a few links away,
fading with time on several scales (a Hawkes process; with links, the topological one of Cai
and others 2022, "THPs: Topological Hawkes processes for learning causal structure on event
sequences"). All weights are positive and fitted by expectation-maximisation, where each
event is shared out among what may have caused it (Veen and Schoenberg 2008).

How sure an edge is comes from time that was held out: the model is fitted again without a
cause, and stretches of time vote by how much likelihood its loss costs them.

``N`` events, ``V`` kinds, ``P`` places, ``H`` distances in links (0 first), ``S`` scales,
``K`` stretches of time, ``F = V H S`` features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from cellhive.causal.graph import topological_order
from cellhive.core.compiled import compiled
from cellhive.core.errors import BadInput
from cellhive.core.types import Bools, Floats, Ints

_LEAST_EVENTS = 20
"""Of a kind, below which nothing is fitted to it."""
_LEAST_SHARE = 0.05
"""Expected events due to a feature, below which it is dropped."""
_BEFORE = 0.5
"""Events that happen without a reason, taken as seen before any: no event is impossible."""
_LEAST_ERROR = 1e-3
_TINY = 1e-300
_FORGOTTEN = 30.0
"""Time scales after which an event has no weight."""
_MOST_ENTRIES = 60_000_000
"""Of the features of one kind, (events of that kind, F)."""


@dataclass(frozen=True)
class Events:
    """What happened, when and where; made by ``events_of``."""

    kinds: tuple[str, ...]
    places: tuple[str, ...]
    kind: Ints
    """Of each event, (N,)."""
    place: Ints
    """Of each event, (N,)."""
    time_s: Floats
    """Of each event, from any origin, ascending, (N,)."""
    links: Ints
    """Pairs of places that are joined, (L, 2)."""


@dataclass(frozen=True)
class EventSettings:
    """What the model is made of. The defaults did best on simulated events."""

    scales_s: tuple[float, ...] = (1.0, 10.0, 100.0, 1_000.0, 10_000.0)
    """Time constants of what an event adds."""
    hops: int = 1
    """How many links away it may add something."""
    window_s: float = 600.0
    """Width of the windows in which other kinds at a place tell how busy it is anyway."""
    resolution_s: float = 1.0
    """What times are rounded down to: what follows what within it is not known, and drawn."""
    stretches: int = 40
    """Parts of the time with about as many events each."""
    folds: int = 4
    """Groups of stretches, each held out once."""
    rounds: int = 200
    """Of expectation-maximisation, at most."""
    again: int = 40
    """Rounds after a cause is taken out."""
    most_events: int = 20_000
    """Of one kind that are looked at; more are thinned out evenly, and weigh more."""
    mutual: bool = False
    """Whether two kinds may cause each other. Else each pair has one direction, and how sure
    an edge is includes how sure its direction is."""


@dataclass(frozen=True)
class EventCauses:
    """Which kinds of events cause which, [cause, effect]; the diagonal is zero."""

    kinds: tuple[str, ...]
    probability: Floats
    """That the cause makes the effect more frequent (and, unless mutual, not the other way)."""
    strength: Floats
    """Effects due to the cause, over the geometric mean of how many there are of both."""
    share: Floats
    """Share of the effects that are due to the cause."""
    branching: Floats
    """How many effects an event of the cause brings about, on average."""
    gain: Floats
    """Log likelihood of held-out time that is lost without the cause [nats]."""
    held_out: float
    """Log likelihood of held-out events, a second and place being the unit [nats per event]."""

    @property
    def score(self) -> Floats:
        """How much speaks for an edge: its strength times its probability, for ranking."""
        ranked: Floats = self.strength * self.probability
        return ranked

    def graph(self, at_least: float = 0.5) -> Bools:
        """Return the edges of at least this probability."""
        edges: Bools = self.probability >= at_least
        return edges

    def acyclic(self, at_least: float = 0.5) -> Bools:
        """Return those edges without cycles: the best first, and none that closes one."""
        size = len(self.kinds)
        edges, reach = np.zeros((size, size), np.bool_), np.eye(size, dtype=np.bool_)
        for at in np.argsort(-self.score, axis=None, kind="stable"):
            cause, effect = divmod(int(at), size)
            if self.probability[cause, effect] < at_least or reach[effect, cause]:
                continue
            edges[cause, effect] = True
            reach |= reach[:, [cause]] & reach[[effect], :]
        topological_order(edges)
        return edges


def events_of(
    rows: Sequence[tuple[str, str, float]], links: Sequence[tuple[str, str]] = ()
) -> Events:
    """Return events in order of time.

    Args:
        rows: Kind, place and time [s] of each.
        links: Pairs of places that are joined. Those of places without an event are kept,
            as what they join is still at a distance.

    Raises:
        BadInput: If there are fewer than two events or kinds, or a time is not finite.
    """
    kinds = tuple(sorted({kind for kind, _, _ in rows}))
    named = {place for _, place, _ in rows} | {place for pair in links for place in pair}
    places = tuple(sorted(named))
    time_s = np.array([time for _, _, time in rows], np.float64)
    if len(kinds) < 2:
        raise BadInput(
            expected="events of at least two kinds", found=f"{len(rows)} of {len(kinds)}",
            remedy="one kind has no causes among the others",
        )  # fmt: skip
    if not np.isfinite(time_s).all():
        which = int(np.flatnonzero(~np.isfinite(time_s))[0])
        raise BadInput(expected="finite times", found=f"{time_s[which]} at event {which}")
    at_kind, at_place = ({name: k for k, name in enumerate(some)} for some in (kinds, places))
    order = np.argsort(time_s, kind="stable")
    kind = np.array([at_kind[kind] for kind, _, _ in rows], np.int32)[order]
    place = np.array([at_place[place] for _, place, _ in rows], np.int32)[order]
    joined = np.array([[at_place[a], at_place[b]] for a, b in links], np.int32).reshape(-1, 2)
    return Events(kinds, places, kind, place, time_s[order], joined)


# ------------------------------------------------------------------ what came before


class _Log(NamedTuple):
    """Events with the places that each may act on."""

    kind: Ints
    place: Ints
    time_s: Floats
    first: Ints
    """Where the places near each place begin in ``near``, (P + 1,)."""
    near: Ints
    hop: Ints
    """How many links away each of them is."""


def _log(events: Events, hops: int, resolution_s: float, generator: np.random.Generator) -> _Log:
    """Return the events in an order drawn among those that times do not tell."""
    time_s = events.time_s + resolution_s * generator.random(len(events.time_s))
    order = np.argsort(time_s, kind="stable")
    linked: list[set[int]] = [set() for _ in events.places]
    for a, b in events.links.tolist():
        linked[a].add(b)
        linked[b].add(a)
    first, near, hop = [0], [], []
    for place in range(len(events.places)):
        seen, ring = {place}, [place]
        for distance in range(hops + 1):
            near += ring
            hop += [distance] * len(ring)
            ring = sorted({other for one in ring for other in linked[one]} - seen)
            seen.update(ring)
        first.append(len(near))
    return _Log(
        events.kind[order], events.place[order], time_s[order],
        np.array(first, np.int32), np.array(near, np.int32), np.array(hop, np.int32),
    )  # fmt: skip


@compiled
def _write_features(
    log: _Log, rows: Ints, scales: Floats, state: Floats, last: Floats, out: Floats
) -> None:
    """Write what each earlier kind, distance and scale adds at the events that have a row.

    Sums of exponentials are carried forward from event to event (Ozaki 1979); ``state`` is
    (P, V, H, S), ``last`` when it was renewed, (P, V, H), and ``out`` (rows, F).
    """
    _, kinds, hops, count = state.shape
    for event in range(rows.size):
        now, place, row = log.time_s[event], log.place[event], rows[event]
        if row >= 0:
            for kind in range(kinds):
                for hop in range(hops):
                    age, slot = now - last[place, kind, hop], (kind * hops + hop) * count
                    for s in range(count):
                        if age < _FORGOTTEN * scales[s]:
                            left = state[place, kind, hop, s] * np.exp(-age / scales[s])
                            out[row, slot + s] = left / scales[s]
        kind = log.kind[event]
        for k in range(log.first[place], log.first[place + 1]):
            other, hop = log.near[k], log.hop[k]
            age = now - last[other, kind, hop]
            for s in range(count):
                kept = state[other, kind, hop, s]
                kept = kept * np.exp(-age / scales[s]) if age < _FORGOTTEN * scales[s] else 0.0
                state[other, kind, hop, s] = kept + 1.0
            last[other, kind, hop] = now


def _masses(
    log: _Log, stretch: Ints, ends_s: Floats, shape: tuple[int, ...], scales: Floats
) -> Floats:
    """Return the integral of every feature over all places and each stretch, (K, F).

    What an event adds counts in its stretch and the next one; scales are shorter than those.
    """
    kinds, hops = shape[1], shape[2]
    places = len(log.first) - 1
    owner = np.repeat(np.arange(places), np.diff(log.first))
    reached = np.zeros((places, hops))
    np.add.at(reached, (owner, log.hop), 1.0)
    masses = np.zeros((len(ends_s), kinds, hops, len(scales)))
    following = np.minimum(stretch + 1, len(ends_s) - 1)
    rest = stretch + 1 < len(ends_s)
    for s, scale in enumerate(scales):
        own = 1.0 - np.exp(-(ends_s[stretch] - log.time_s) / scale)
        for hop in range(hops):
            count = reached[log.place, hop]
            np.add.at(masses[:, :, hop, s], (stretch, log.kind), own * count)
            np.add.at(masses[:, :, hop, s], (following, log.kind), (1.0 - own) * count * rest)
    return masses.reshape(len(ends_s), -1)


def _base(log: _Log, effect: int, mine: Ints, window_s: float) -> tuple[Floats, Bools]:
    """Return what would happen anyway at some events: evenly, by place, by how busy it is.

    The last counts other kinds in the window around an event, before it and after: what goes
    up and down together is no cause. Its integral is the number of those, the second answer.
    """
    places = len(log.first) - 1
    others = log.kind != effect
    busy = np.bincount(log.place, minlength=places) / len(log.place)
    window = np.floor((log.time_s - log.time_s[0]) / window_s).astype(np.int64)
    key = log.place.astype(np.int64) * (int(window[-1]) + 1) + window
    filled, count = np.unique(key[others], return_counts=True)
    at = np.minimum(np.searchsorted(filled, key[mine]), len(filled) - 1)
    around = np.where(filled[at] == key[mine], count[at], 0)
    even = np.full(len(mine), 1.0 / places)
    return np.column_stack([even, busy[log.place[mine]], around / window_s]), others


# ------------------------------------------------------------------ fitting


def _fitted(features: Floats, mass: Floats, start: Floats, rounds: int) -> Floats:
    """Return the weights of most likelihood: sum of log intensities less their integral.

    Features whose weight vanishes are dropped on the way.
    """
    active = np.flatnonzero(start > 0.0)
    inner, total, weight = np.ascontiguousarray(features[:, active]), mass[active], start[active]
    before = -np.inf
    for k in range(1, rounds + 1):
        intensity = np.maximum(inner @ weight, _TINY)
        weight = (weight * (inner.T @ (1.0 / intensity)) + _BEFORE * (active == 0)) / total
        if k % 10:
            continue
        now = float(np.log(intensity).sum())
        if now - before < 1e-6 * len(inner):
            break
        before = now
        keep = weight * total > _LEAST_SHARE
        if keep.sum() < 0.9 * len(keep):
            active, total, weight = active[keep], total[keep], weight[keep]
            inner = np.ascontiguousarray(inner[:, keep])
    result = np.zeros(len(start))
    result[active] = weight
    return result


@dataclass(frozen=True)
class _Effect:
    """All that is fitted of one kind of event; n of its events, F features."""

    features: Floats
    """(n, F)."""
    mass: Floats
    """Integral over each stretch, for the weight of an event to be 1, (K, F)."""
    cause: Ints
    """Kind each feature comes from, -1 what would happen anyway, (F,)."""
    stretch: Ints
    """Of each event, (n,)."""


@dataclass(frozen=True)
class _Verdict:
    """What was found of one kind of event, by cause."""

    due: Floats
    """Share of the events due to each, (V,)."""
    gains: Floats
    """Log likelihood lost without it, by held-out stretch, (V, K)."""
    held_out: float


def _judged(effect: _Effect, kinds: int, own: int, asked: EventSettings) -> _Verdict:
    """Return what each kind of event adds to one."""
    due, gains, held_out = np.zeros(kinds), np.zeros((kinds, len(effect.mass))), 0.0
    for fold in range(asked.folds):
        held = np.arange(len(effect.mass)) % asked.folds == fold
        out = held[effect.stretch]
        mass = effect.mass[~held].sum(axis=0)
        some = effect.features[~out].any(axis=0) & (mass > 0.0)
        if (~out).sum() < _LEAST_EVENTS or not some.any():
            continue
        start = np.where(some, (~out).sum() / some.sum() / np.where(some, mass, 1.0), 0.0)
        inside = effect.features[~out]
        weight = _fitted(inside, mass, start, asked.rounds)
        whole = _by_stretch(effect, weight, held)
        held_out += float(whole.sum())
        for cause in np.unique(effect.cause[weight > 0.0]).tolist():
            if cause < 0 or cause == own:
                continue
            mine = effect.cause == cause
            due[cause] += float((weight * mass)[mine].sum()) / (~out).sum() / asked.folds
            less = _fitted(inside, mass, np.where(mine, 0.0, weight), asked.again)
            gains[cause] += whole - _by_stretch(effect, less, held)
    return _Verdict(due, gains, held_out)


def _by_stretch(effect: _Effect, weight: Floats, held: Bools) -> Floats:
    """Return the log likelihood of each held-out stretch, 0 for others, (K,)."""
    out, used = held[effect.stretch], np.flatnonzero(weight)
    intensity = np.maximum(effect.features[np.ix_(out, used)] @ weight[used], _TINY)
    logs = np.bincount(effect.stretch[out], np.log(intensity), minlength=len(held))
    likelihood: Floats = np.where(held, logs - effect.mass[:, used] @ weight[used], 0.0)
    return likelihood


def discover_events(
    events: Events, generator: np.random.Generator, *, settings: EventSettings | None = None
) -> EventCauses:
    """Return which kinds of events cause which.

    A kind that happens fewer than 20 times has no causes that could be told. What is not
    among the events but drives several kinds at once is partly, not wholly, accounted for.

    Args:
        events: What happened.
        generator: Draws the order of what happened within the resolution of times.
        settings: What the model is made of.

    Raises:
        BadInput: If settings make no sense, there are too few events, or the features of one
            kind of event need too much memory.
    """
    asked = settings or EventSettings()
    _refuse(events, asked)
    log = _log(events, asked.hops, asked.resolution_s, generator)
    scales = np.array(asked.scales_s, np.float64)
    hops = int(log.hop.max()) + 1
    shape = (len(events.places), len(events.kinds), hops, len(scales))
    ends_s = np.quantile(log.time_s, np.linspace(0.0, 1.0, asked.stretches + 1)[1:])
    stretch = np.minimum(np.searchsorted(ends_s, log.time_s), asked.stretches - 1)
    masses = _masses(log, stretch.astype(np.int32), ends_s, shape, scales)
    length_s = np.diff(ends_s, prepend=log.time_s[0])
    found = []
    for kind in range(len(events.kinds)):
        mine = np.flatnonzero(log.kind == kind)
        step = -(-len(mine) // asked.most_events)
        mine = mine[::step]
        rows = np.full(len(log.kind), -1, np.int32)
        rows[mine] = np.arange(len(mine))
        out, state = np.zeros((len(mine), masses.shape[1])), np.zeros(shape)
        _write_features(log, rows, scales, state, np.full(shape[:3], -np.inf), out)
        base, others = _base(log, kind, mine.astype(np.int32), asked.window_s)
        around = np.bincount(stretch[others], minlength=asked.stretches)
        mass = np.column_stack([length_s, length_s, around, masses]) / step
        cause = np.repeat(np.arange(-1, len(events.kinds)), [3, *[hops * len(scales)] * shape[1]])
        effect = _Effect(np.column_stack([base, out]), mass, cause.astype(np.int32), stretch[mine])
        found.append(_judged(effect, shape[1], kind, asked))
    return _summed_up(events, found, asked)


def _summed_up(events: Events, found: Sequence[_Verdict], asked: EventSettings) -> EventCauses:
    count = np.bincount(events.kind, minlength=len(events.kinds)).astype(np.float64)
    share = np.column_stack([verdict.due for verdict in found])
    branching = share * count[None, :] / count[:, None]
    strength = np.sqrt(share * branching)
    gains = np.stack([verdict.gains for verdict in found], axis=1)
    error = gains.std(axis=2, ddof=1) / np.sqrt(gains.shape[2]) + _LEAST_ERROR
    helps = _sure(gains.mean(axis=2) / error, gains.shape[2])
    both = strength if asked.mutual else strength + strength.T
    way = np.divide(strength, both, out=np.zeros_like(both), where=both > 0.0)
    looked = np.minimum(count, asked.most_events).sum()
    held_out = sum(verdict.held_out for verdict in found) / float(looked)
    return EventCauses(
        events.kinds, helps * way, strength, share, branching, gains.sum(axis=2), held_out
    )  # fmt: skip


def _sure(ratio: Floats, votes: int) -> Floats:
    """Return the probability that a mean is above zero, from its t ratio; ½ where that is 0.

    The odds are the likelihood ratio of a mean that is free and one that is zero, turned
    round below zero. On simulated events these odds are about right where a quarter of all
    pairs are edges, and too high where far fewer are.
    """
    evidence = 0.5 * votes * np.log1p(ratio**2 / (votes - 1.0)) * np.sign(ratio)
    sure: Floats = expit(evidence)
    return sure


def _refuse(events: Events, asked: EventSettings) -> None:
    """Refuse what cannot be fitted."""
    if not asked.scales_s or min(asked.scales_s) <= 0.0 or asked.window_s <= 0.0:
        raise BadInput(expected="scales and a window above 0 s", found=f"{asked.scales_s}")
    if asked.hops < 0 or asked.folds < 2 or asked.stretches < 2 * asked.folds:
        raise BadInput(
            expected="at least 0 hops, 2 folds, and twice as many stretches as folds",
            found=f"{asked.hops}, {asked.folds}, {asked.stretches}",
        )  # fmt: skip
    if len(events.time_s) < 10 * asked.stretches:
        raise BadInput(
            expected=f"at least {10 * asked.stretches} events", found=f"{len(events.time_s)}",
            remedy="take a longer time, or fewer stretches in the settings",
        )  # fmt: skip
    spread = len(events.kinds) * (asked.hops + 1) * len(asked.scales_s)
    most = min(int(np.bincount(events.kind).max()), asked.most_events)
    if max(most, len(events.places)) * spread > _MOST_ENTRIES:
        raise BadInput(
            expected=f"at most {_MOST_ENTRIES} numbers for one kind of event",
            found=f"{max(most, len(events.places)) * spread}",
            remedy="take fewer kinds, places, scales or hops, or a smaller most_events",
        )  # fmt: skip
