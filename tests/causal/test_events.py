"""Causes among events: found where they are, not where there are none, refused where senseless."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hawkes import Simulated, simulated_events

from cellhive.causal.events import (
    EventCauses,
    Events,
    EventSettings,
    _log,
    _masses,
    _write_features,
    discover_events,
    events_of,
)
from cellhive.causal.graph import average_precision, is_acyclic
from cellhive.core.errors import BadInput

SOME = {"kinds": 8, "places": 12, "immigrants": 2500}
QUICK = EventSettings(rounds=100, again=20)


@pytest.fixture(scope="module")
def flawed() -> tuple[Simulated, EventCauses]:
    """Return events with all flaws, and what was found."""
    made = simulated_events(1, **SOME)
    return made, discover_events(made.events, np.random.default_rng(1), settings=QUICK)


def test_causes_are_found_among_flawed_events(flawed: tuple[Simulated, EventCauses]) -> None:
    """Edges rank above other pairs, and most of what is held probable is one."""
    made, found = flawed
    other = ~np.eye(8, dtype=np.bool_)
    assert average_precision(found.score[other], made.truth[other]) > 0.85
    assert (found.probability[other] >= 0.5)[made.truth[other]].mean() > 0.6
    assert made.truth[found.graph(0.7)].mean() > 0.8
    assert not found.probability.diagonal().any()


def test_how_many_effects_a_cause_brings_about_is_what_was_simulated() -> None:
    """Of a pair without flaws, the share of events that are due to the cause comes back."""
    rng = np.random.default_rng(3)
    cause_s = np.sort(rng.random(1500)) * 400_000.0
    due = rng.random(1500) < 0.4
    rows = [("cause", "a", float(t)) for t in cause_s]
    rows += [("effect", "b", float(t)) for t in cause_s[due] + rng.exponential(60.0, due.sum())]
    rows += [("effect", "ab"[k % 2], float(t)) for k, t in enumerate(rng.random(400) * 400_000.0)]
    settings = EventSettings(scales_s=(10.0, 60.0, 300.0), rounds=100, again=20)
    found = discover_events(
        events_of(rows, [("a", "b")]), np.random.default_rng(1), settings=settings
    )
    assert found.branching[0, 1] == pytest.approx(0.4, abs=0.05)
    assert found.share[0, 1] == pytest.approx(due.sum() / (due.sum() + 400), abs=0.06)
    assert found.probability[0, 1] > 0.99
    assert found.probability[1, 0] < 0.05
    apart = discover_events(events_of(rows), np.random.default_rng(1), settings=settings)
    assert apart.probability[0, 1] < 0.8, "places that nothing joins cannot act on each other"


def test_what_rises_and_falls_together_is_no_cause() -> None:
    """Independent kinds with the same daily swing get no edge that is held probable."""
    rng = np.random.default_rng(5)
    rows = []
    for kind in "abcd":
        t = rng.random(4000) * 600_000.0
        t = t[rng.random(4000) < 0.5 + 0.5 * np.sin(t / 40_000.0)]
        rows += [(kind, f"p{rng.integers(4)}", float(one)) for one in t]
    found = discover_events(events_of(rows), np.random.default_rng(1), settings=QUICK)
    assert found.probability.max() < 0.7


def test_features_are_sums_of_what_fades() -> None:
    """The carried sums and their integrals are those of adding up every earlier event."""
    events = simulated_events(2, kinds=3, places=5, immigrants=60, span_s=3000.0).events
    log = _log(events, 1, 1.0, np.random.default_rng(0))
    scales = np.array([20.0, 300.0])
    shape = (5, 3, 2, 2)
    rows = np.where(log.kind == 1, np.cumsum(log.kind == 1) - 1, -1).astype(np.int32)
    out = np.zeros((int((log.kind == 1).sum()), 12))
    _write_features(log, rows, scales, np.zeros(shape), np.full(shape[:3], -np.inf), out)
    joined = {frozenset(pair) for pair in events.links.tolist()}
    expected = np.zeros_like(out)
    total = np.zeros(12)
    end = log.time_s[-1]
    for j, (kind, place, time) in enumerate(zip(log.kind, log.place, log.time_s, strict=True)):
        for s, scale in enumerate(scales):
            near = sum(frozenset((int(place), other)) in joined for other in range(5))
            for hop, count in enumerate((1, near)):
                total[(kind * 2 + hop) * 2 + s] += count * (1 - np.exp(-(end - time) / scale))
            for i in range(j + 1, len(log.kind)):
                same = log.place[i] == place
                beside = frozenset((int(place), int(log.place[i]))) in joined
                if rows[i] >= 0 and (same or beside):
                    value = np.exp(-(log.time_s[i] - time) / scale) / scale
                    expected[rows[i], (kind * 2 + int(not same)) * 2 + s] += value
    np.testing.assert_allclose(out, expected, rtol=1e-9, atol=1e-12)
    ends = np.array([end])
    whole = _masses(log, np.zeros(len(log.kind), np.int32), ends, shape, scales)
    np.testing.assert_allclose(whole[0], total, rtol=1e-12)


def test_same_seed_same_answer_and_no_cycles(flawed: tuple[Simulated, EventCauses]) -> None:
    """Nothing but the generator decides, and the acyclic graph has no cycle."""
    made, found = flawed
    again = discover_events(made.events, np.random.default_rng(1), settings=QUICK)
    np.testing.assert_array_equal(again.probability, found.probability)
    noisy = replace(found, probability=np.ones((8, 8)) - np.eye(8))
    assert noisy.acyclic().sum() == 28
    assert is_acyclic(noisy.acyclic())


def test_what_makes_no_sense_is_refused() -> None:
    """Too few events or kinds, a time that is none, and settings that cannot be."""
    few = [("a", "p", 1.0), ("b", "p", 2.0)]
    rng = np.random.default_rng(1)
    with pytest.raises(BadInput, match="two kinds"):
        events_of([("a", "p", 1.0)])
    with pytest.raises(BadInput, match="finite times"):
        events_of([*few, ("a", "p", float("nan"))])
    with pytest.raises(BadInput, match="at least 400 events"):
        discover_events(events_of(few), rng)
    made: Events = events_of(few * 300)
    with pytest.raises(BadInput, match="above 0 s"):
        discover_events(made, rng, settings=EventSettings(scales_s=(0.0,)))
    with pytest.raises(BadInput, match="2 folds"):
        discover_events(made, rng, settings=EventSettings(folds=1))
    with pytest.raises(BadInput, match="fewer kinds"):
        discover_events(made, rng, settings=EventSettings(scales_s=tuple(range(1, 200_000))))
    alike = discover_events(made, rng, settings=QUICK)
    assert np.isfinite(alike.probability).all(), "two times in all"
