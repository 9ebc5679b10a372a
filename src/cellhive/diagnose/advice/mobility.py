"""Which handovers to make earlier or later: causes by the counters, per relation or per cell.

The reading of TS 36.300 §22.4.2 and TS 38.300 §15.5.2: a failure in the source that comes back
in the target was handed over too late; a failure soon after the handover, back in the source, was
too early; a handover that comes back at once bounced (a ping-pong). Too late asks for an earlier
handover (higher offset of the relation, shorter time to trigger), too early and bouncing for a
later one. Each share has a Beta posterior whose prior is that of the network's own relations, so
that a relation with few handovers is not taken at its word.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import betaln
from scipy.stats import beta as beta_distribution

from cellhive.core.types import Floats
from cellhive.diagnose.advice.recommendation import (
    Basis,
    Expected,
    Limits,
    Recommendation,
    Seen,
    Step,
    Topic,
)
from cellhive.diagnose.advice.verification import verification
from cellhive.ran.parameters import step_on_grid

RELIEF: Mapping[tuple[str, int], tuple[float, float]] = {
    ("cio_db", 1): (2.0, 6.0), ("cio_db", -1): (3.0, 4.0),
    ("time_to_trigger_s", 1): (1.5, 12.0), ("time_to_trigger_s", -1): (2.0, 9.0),
}  # fmt: skip
"""Beta distribution of the share of its events that one step earlier (1) or later (-1) ends: 1 dB
of offset, one value of time to trigger. For a network in which nothing was tried it is what
steps did in the twin (``benchmarks/analyse_advice.py``, cities and a highway, four seeds each):
+1 dB ended 7 to 42 % of the late failures, -1 dB 10 to 63 % of the early ones and bounces, a
longer time to trigger 2 to 31 % of these, a shorter one 0 to 12 % of the late ones."""
OTHER_WAY = {1: (0.47, 0.35), -1: (0.34, 0.2)}
"""Mean and standard deviation of the logarithm by which the opposite kind of event grows with the
step: there late failures grew by a factor of 1.1 to 1.8 with -1 dB; with +1 dB on both ways of
every relation at once bounces grew by up to 5, on one way alone by about the root of that."""
LATE_WEIGHT = 3.0
"""Early events and ping-pongs that weigh as much as one failure that came too late (as the rule
for a running network has it)."""

HANDOVERS_PER_USER_DAY = 20.0
"""Handovers of a user a day, from which users of a relation are reckoned for the ranking."""

_FEWEST = 20.0
_DRAWS = 4000
_KINDS = {
    "late": ("HO.IntraSys.TooLate",),
    "early": ("HO.IntraSys.TooEarly",),
    "bounced": ("x.HoPingPong",),
    "wrong": ("HO.IntraSys.ToWrongCell",),
}


@dataclass(frozen=True)
class Handovers:
    """Counts of handovers and of what went wrong with them, by object."""

    objects: tuple[str, ...]
    attempts: Floats
    """(N,)"""
    events: Mapping[str, Floats]
    """"late", "early", "bounced", "wrong": (N,), only what is counted."""
    names: Mapping[str, str]
    """Quantity of each kind, for verification."""


def ends(name: str) -> tuple[str, str] | None:
    """Return source and target of a relation by its name, or None if it names a cell.

    Understands "A->B" (also as an arrow, and as tables of two columns are joined here) and
    distinguished names that end in a relation object below a cell.
    """
    for mark in ("->", "→", "=>"):
        source, found, target = name.partition(mark)
        if found and source.strip() and target.strip():
            return source.strip(), target.strip()
    parts = [part.strip().partition("=") for part in name.split(",")]
    cell = [value for key, _, value in parts if "cell" in key.lower() and "rel" not in key.lower()]
    relation = [value for key, _, value in parts if "relation" in key.lower()]
    return (cell[-1], relation[-1]) if cell and relation else None


def handovers_of(seen: Seen) -> Handovers | None:
    """Return the sums of handover counters over all periods; None where they are not counted.

    Attempts are execution requests and, as they never came to one, failures that came too late.
    """
    events, names = {}, {}
    for kind, quantities in _KINDS.items():
        for quantity in (*quantities, *(f"{name}.nCI" for name in quantities)):
            values = seen.get(quantity)
            if values is not None:
                events[kind] = _total(values)
                names[kind] = quantity
    tried = _first(seen, "MM.HoExeInterReq", "MM.HoPrepInterReq")
    succeeded, failed = _first(seen, "MM.HoExeInterSucc"), _first(seen, "MM.HoExeInterFail")
    if tried is None and succeeded is not None:
        tried = succeeded + (failed if failed is not None else 0.0)
    if tried is None or not events:
        return None
    attempts = tried + events.get("late", np.zeros(len(tried)))
    events = {kind: np.minimum(values, attempts) for kind, values in events.items()}
    return Handovers(seen.objects, attempts, events, names)


def _total(values: Floats) -> Floats:
    total: Floats = np.where(np.isfinite(values), values, 0.0).sum(axis=1)
    return total


def _first(seen: Seen, *quantities: str) -> Floats | None:
    for quantity in quantities:
        for name in (quantity, f"{quantity}.nCI"):
            values = seen.get(name)
            if values is not None:
                return _total(values)
    return None


def prior_of(events: Floats, attempts: Floats) -> tuple[float, float]:
    """Return the Beta prior of a share that the objects of a network have among themselves.

    By maximum marginal (Beta-binomial) likelihood over the mean of all and a grid of strengths.

    Args:
        events: (N,)
        attempts: (N,)
    """
    used = attempts >= 1.0
    n, k = attempts[used], events[used]
    if n.size == 0 or n.sum() <= 0:
        return 0.5, 9.5
    mean = float(np.clip((k.sum() + 0.5) / (n.sum() + 10.0), 1e-4, 0.5))
    strengths = np.geomspace(2.0, 500.0, 24)
    a, b = mean * strengths[:, None], (1.0 - mean) * strengths[:, None]
    likely = (betaln(k + a, n - k + b) - betaln(a, b)).sum(axis=1)
    strength = float(strengths[int(likely.argmax())])
    return mean * strength, (1.0 - mean) * strength


def mobility_advice(
    seen: Seen,
    limits: Limits,
    rng: np.random.Generator,
    present: Mapping[tuple[str, str | None, str], float] | None = None,
) -> list[Recommendation]:
    """Return which handovers to make earlier or later.

    Args:
        seen: Handover counters, of relations or of cells.
        limits: From where on something is to be done.
        rng: Where chance comes from.
        present: Values of parameters where known: by cell, target (None for a cell) and name.
    """
    counted = handovers_of(seen)
    if counted is None:
        return []
    present = present or {}
    days = max(seen.values[next(iter(seen.values))].shape[1] * seen.step_s / 86400.0, 1e-9)
    shares: dict[str, tuple[Floats, Floats]] = {}
    for kind, events in counted.events.items():
        a, b = prior_of(events, counted.attempts)
        shares[kind] = (events + a, counted.attempts - events + b)
    out = []
    for row in np.flatnonzero(counted.attempts >= _FEWEST).tolist():
        found = _judged(counted, shares, row, limits, rng)
        if found is not None:
            out.append(_recommended(seen, counted, row, (found, days), present))
    return out


@dataclass(frozen=True)
class _Found:
    direction: int
    kind: str
    probability: float
    """That the share is above its limit, and that this kind outweighs the other."""
    share: Floats
    """Draws of it."""
    other: Floats
    limit: float


def _judged(
    counted: Handovers, shares: Mapping[str, tuple[Floats, Floats]], row: int, limits: Limits,
    rng: np.random.Generator,
) -> _Found | None:  # fmt: skip
    """Return the kind of event to act on, or None."""
    zero = np.zeros(_DRAWS)

    def drawn(kind: str) -> Floats:
        if kind not in shares:
            return zero
        a, b = shares[kind]
        return np.asarray(rng.beta(a[row], b[row], _DRAWS))

    late, early, bounced = drawn("late"), drawn("early"), drawn("bounced")
    soon = early + bounced
    outweighs = late * LATE_WEIGHT >= soon
    found = [
        _Found(1, "late", float(((late > limits.late_ratio) & outweighs).mean()), late, soon,
               limits.late_ratio),
        _Found(-1, "early" if early.mean() > bounced.mean() else "bounced",
               float(((soon > limits.early_ratio) & ~outweighs).mean()), soon, late,
               limits.early_ratio),
    ]  # fmt: skip
    best = max(found, key=lambda one: one.probability)
    return best if best.probability >= limits.sure else None


_WORDS = {"late": "came too late", "early": "came too early", "bounced": "bounced (ping-pong)"}


def _recommended(
    seen: Seen, counted: Handovers, row: int, what: tuple[_Found, float],
    present: Mapping[tuple[str, str | None, str], float],
) -> Recommendation:  # fmt: skip
    found, days = what
    name = counted.objects[row]
    pair = ends(name)
    # the same draws for the same relation, whatever came before it
    rng = np.random.default_rng([row, round(counted.attempts[row])])
    step, words = _step(name, pair, found.direction, present)
    gone = found.share * rng.beta(*RELIEF[step.parameter, found.direction], found.share.size)
    grown = np.expm1(rng.normal(*OTHER_WAY[found.direction], found.share.size))
    more = found.other * np.maximum(grown, 0.0)
    per_day = float(counted.attempts[row]) / days
    effect = Expected.of_draws(
        f"handovers of {name} that {_WORDS[found.kind].split(' (')[0]}, share of attempts", "",
        -gone, Basis.RULE,
    )  # fmt: skip
    worse = more * (LATE_WEIGHT if found.direction < 0 else 1.0)
    better = gone * (LATE_WEIGHT if found.direction > 0 else 1.0)
    kind = found.kind if found.kind in counted.names else next(iter(counted.names))
    series = seen.values[counted.names[kind]][row]
    per_period = per_day * seen.step_s / 86400.0
    low, high = beta_distribution.interval(
        0.9, *_posterior(counted, row, found)
    )  # fmt: skip
    known = math.isfinite(step.before)
    return Recommendation(
        Topic.MOBILITY, tuple(pair) if pair else (name,),
        f"Hand over {'earlier' if found.direction > 0 else 'later'} "
        + (f"from {pair[0]} to {pair[1]}" if pair else f"out of {name}") + f": {words}",
        (step,), effect,
        (f"{found.share.mean():.1%} of {counted.attempts[row]:.0f} handovers {_WORDS[found.kind]} "
         f"(90 %: {low:.1%} to {high:.1%}); the limit is {found.limit:.0%}",
         f"the opposite kind: {found.other.mean():.1%}, and {(found.other + more).mean():.1%} "
         "expected after the step; what a step does is as in the twin, untested here"),
        per_day / HANDOVERS_PER_USER_DAY,
        f"handovers that {'come too early or bounce' if found.direction > 0 else 'come too late'} "
        "may rise by more than the others fall",
        float((worse > better).mean()),
        verification(seen.called(counted.names[kind]), "events a period", series, seen.step_s,
                     -float(gone.mean()) * per_period),
        _undo(step), found.probability, max(float((better - worse).mean()) / LATE_WEIGHT, 0.0),
        "" if known else "the present value (a bulk CM export, or a column of the table) makes it "
        "a change in the plan",
    )  # fmt: skip


def _posterior(counted: Handovers, row: int, found: _Found) -> tuple[float, float]:
    """Return a Beta distribution with the mean and variance of the drawn share."""
    mean, variance = float(found.share.mean()), float(found.share.var())
    strength = max(mean * (1.0 - mean) / max(variance, 1e-12) - 1.0, 1.0)
    return mean * strength, (1.0 - mean) * strength


def _step(
    name: str, pair: tuple[str, str] | None, direction: int,
    present: Mapping[tuple[str, str | None, str], float],
) -> tuple[Step, str]:  # fmt: skip
    """Return the step: of the offset for a relation, of the time to trigger for a cell."""
    if pair is not None:
        parameter, cell, target = "cio_db", pair[0], pair[1]
    else:
        parameter, cell, target = "time_to_trigger_s", name, None
    before = present.get((cell, target, parameter), math.nan)
    if math.isfinite(before):
        places = direction if parameter == "cio_db" else -direction
        after = step_on_grid(parameter, before, places)
        label = "CIO" if parameter == "cio_db" else "time to trigger"
        unit = "dB" if parameter == "cio_db" else "s"
        return Step(cell, parameter, before, after, after - before, target), (
            f"{label} from {before:g} to {after:g} {unit}"
        )
    if parameter == "cio_db":
        by = float(direction)
        return Step(cell, parameter, math.nan, math.nan, by, target), f"CIO {by:+g} dB"
    word = "the next shorter" if direction > 0 else "the next longer"
    return Step(cell, parameter, math.nan, math.nan, math.nan, target), (
        f"time to trigger to {word} value"
    )


def _undo(step: Step) -> str:
    if step.in_plan:
        return (
            f"set {step.parameter} of {step.object_id} back from {step.after:g} to {step.before:g}"
        )
    if math.isfinite(step.by):
        return f"change {step.parameter} of {step.object_id} by {-step.by:+g} again"
    return f"set {step.parameter} of {step.object_id} back to what it was; note it down before"
