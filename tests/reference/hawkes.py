"""Simulated events whose causes are known: immigrants and their offspring, by generations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellhive.causal.events import Events
from cellhive.core.types import Bools, Floats, Ints


@dataclass(frozen=True)
class Simulated:
    """Events, and which kinds cause which."""

    events: Events
    truth: Bools
    """[cause, effect]."""


def simulated_events(
    seed: int, *, kinds: int = 20, places: int = 60, immigrants: int = 8000,
    span_s: float = 500_000.0, flaws: bool = True,
) -> Simulated:  # fmt: skip
    """Return events of a random acyclic process on a random tree of places.

    Args:
        seed: Of everything.
        kinds: How many kinds.
        places: How many places.
        immigrants: Events without a cause, about.
        span_s: How long.
        flaws: Whether there are also outages that raise many kinds at once, repeats of the
            same kind, delays in reporting, lost events, and delays that fit no exponential.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(kinds)
    truth = np.zeros((kinds, kinds), np.bool_)
    truth[np.ix_(order, order)] = np.triu(rng.random((kinds, kinds)) < 0.5, 1)
    weight = np.where(truth, np.minimum(np.exp(rng.normal(-2.8, 1.0, truth.shape)), 0.6), 0.0)
    weight *= np.minimum(1.0, 1.2 / np.maximum(weight.sum(axis=1, keepdims=True), 1e-9))
    scale_s = np.exp(rng.uniform(np.log(3.0), np.log(1000.0), truth.shape))
    away = rng.uniform(0.0, 0.5, truth.shape)
    if flaws:
        np.fill_diagonal(weight, rng.uniform(0.0, 0.5, kinds))
        np.fill_diagonal(away, 0.0)
    above = [int(rng.integers(max(0, place - 6), place)) for place in range(1, places)]
    links = np.array([(up, place) for place, up in enumerate(above, 1)], np.int32).reshape(-1, 2)
    size = np.exp(rng.normal(0.0, 1.2, places))
    rate = np.outer(np.exp(rng.normal(0.0, 1.2, kinds)), size)
    born = rng.poisson(rate * immigrants / rate.sum())
    kind, place = (np.repeat(at, born.ravel()) for at in np.indices(born.shape).reshape(2, -1))
    parts = [(kind, place, rng.random(len(kind)) * span_s)]
    if flaws:
        parts += [_outage(rng, kinds, size, span_s) for _ in range(150)]
    now = _joined(parts)
    grown = [now]
    for _ in range(12):
        now = _offspring(rng, now, _Process(weight, scale_s, away, links, flaws))
        grown.append(now)
    kind, place, time_s = _joined(grown)
    if flaws:
        slow_s = np.exp(rng.uniform(np.log(0.5), np.log(30.0), kinds))
        time_s = time_s + rng.exponential(slow_s[kind])
    kept = (time_s < span_s) & (rng.random(len(kind)) > (0.1 if flaws else 0.0))
    kept = np.flatnonzero(kept)[np.argsort(time_s[kept], kind="stable")]
    made = Events(
        tuple(f"kind {k:02d}" for k in range(kinds)), tuple(f"place {k}" for k in range(places)),
        kind[kept].astype(np.int32), place[kept].astype(np.int32), np.floor(time_s[kept]), links,
    )  # fmt: skip
    return Simulated(made, truth)


Some = tuple[Ints, Ints, Floats]


def _joined(parts: list[Some]) -> Some:
    kind, place, time_s = (np.concatenate(one) for one in zip(*parts, strict=True))
    return kind, place, time_s


def _outage(rng: np.random.Generator, kinds: int, size: Floats, span_s: float) -> Some:
    """Return events of several kinds at one place, within minutes."""
    place = rng.choice(len(size), p=size / size.sum())
    kind = np.repeat(np.arange(kinds), rng.poisson(3.0 * (rng.random(kinds) < 0.3)))
    length_s = np.exp(rng.uniform(np.log(30.0), np.log(3000.0)))
    time_s = rng.random() * span_s + rng.random(len(kind)) * length_s
    return kind, np.full(len(kind), place), time_s


@dataclass(frozen=True)
class _Process:
    weight: Floats
    scale_s: Floats
    away: Floats
    links: Ints
    flaws: bool


def _offspring(rng: np.random.Generator, now: Some, process: _Process) -> Some:
    """Return what some events bring about themselves."""
    kind, place, time_s = now
    links, parts = process.links, []
    for effect in range(len(process.weight)):
        of = np.repeat(np.arange(len(kind)), rng.poisson(process.weight[kind, effect]))
        cause, count = kind[of], len(of)
        lasts = (
            np.exp(rng.normal(-0.3, 0.8, count)) if process.flaws else rng.exponential(size=count)
        )
        where = place[of].copy()
        for k in np.flatnonzero(rng.random(count) < process.away[cause, effect]):
            near = links[(links == where[k]).any(axis=1)]
            where[k] = rng.choice(near[near != where[k]])
        time = time_s[of] + process.scale_s[cause, effect] * lasts
        parts.append((np.full(count, effect), where, time))
    return _joined(parts)
