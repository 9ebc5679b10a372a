"""A posterior that follows: warm as good as cold, drift found and named, continued bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from linear_models import names_of, random_model

from cellhive.causal.effects import drawn_mechanisms, total_effects
from cellhive.causal.graph import Edge, Knowledge
from cellhive.causal.live.drift import empty_watch, measures_of, mechanism_of, threshold, watched
from cellhive.causal.live.online import Live, Pace, begun, observed, refreshed, restored, snapshot
from cellhive.causal.live.snapshots import packed, unpacked
from cellhive.causal.posterior import Settings, discover
from cellhive.causal.statistics import statistics_of
from cellhive.core.errors import BadInput
from cellhive.core.types import Floats

QUICK = Pace(settings=Settings(graphs=80, burn_in=0.25))


def period(model: Floats, cells: int, rng: np.random.Generator, shock: float = 0.0) -> Floats:
    """Return the values of a period, with shocks that strike all cells at once."""
    nodes = len(model)
    noise = rng.standard_normal((cells, nodes)) + shock * rng.standard_normal(nodes)
    values: Floats = noise @ np.linalg.inv(np.eye(nodes) - model)
    return values


def chain() -> Floats:
    """Return x0 -> x1 -> x2 -> x3 with x0 -> x3."""
    model = np.zeros((4, 4))
    model[0, 1], model[1, 2], model[2, 3], model[0, 3] = 0.8, 0.7, 0.5, 0.6
    return model


@pytest.fixture(scope="module")
def followed() -> Live:
    """A state after some periods with gaps, refreshed, and one period observed since."""
    rng = np.random.default_rng(1)
    live = begun(names_of(4), 40, lags=1, seed=3, pace=QUICK)
    for k in range(16):
        values = period(chain(), 40, rng)
        values[rng.random(values.shape) < 0.05] = np.nan
        live = observed(live, values)
        if k in {9, 14}:
            live = refreshed(live)
    return live


def test_a_refresh_is_as_good_as_a_new_search() -> None:
    """Going on from the last search gives the probabilities of searching from nothing."""
    rng = np.random.default_rng(2)
    model = random_model(10, 3.0, rng)
    live = begun(names_of(10), 15, seed=1, pace=replace(QUICK, settings=Settings(graphs=600)))
    for k in range(14):
        live = observed(live, period(model, 15, rng))
        if k >= 4:
            live = refreshed(live)
    assert live.posterior is not None
    cold = discover(live.statistics, rng, settings=Settings(graphs=1500))
    np.testing.assert_allclose(
        live.posterior.edge_probability(), cold.edge_probability(), atol=0.12
    )
    assert live.posterior.log_score.max() == pytest.approx(cold.log_score.max(), abs=0.5)
    assert "1200 graphs, converged" in str(live)


def test_a_restored_state_goes_on_bit_for_bit(followed: Live) -> None:
    """Statistics, charts, draws and effects after a restart are those without one."""
    other = restored(snapshot(followed))
    assert snapshot(other) == snapshot(followed)
    rng, again = np.random.default_rng(5), np.random.default_rng(5)
    first = refreshed(observed(followed, period(chain(), 40, rng)))
    second = refreshed(observed(other, period(chain(), 40, again)))
    assert snapshot(first) == snapshot(second)
    assert first.posterior is not None
    assert second.posterior is not None
    effects = [
        total_effects(drawn_mechanisms(live.posterior, np.random.default_rng(6))).mean
        for live in (first, second)
        if live.posterior is not None
    ]
    np.testing.assert_array_equal(*effects)
    fresh = begun(names_of(2), 5)
    assert snapshot(restored(snapshot(fresh))) == snapshot(fresh)


def test_damaged_snapshots_are_refused(followed: Live) -> None:
    """No byte may be changed or lost, and no other version is read."""
    data = snapshot(followed)
    rng = np.random.default_rng(7)
    for at in [0, 8, 13, 50, *rng.integers(0, len(data), 30).tolist()]:
        bad = bytearray(data)
        bad[at] ^= 0x10
        with pytest.raises(BadInput):
            restored(bytes(bad))
    for length in (0, 10, 60, len(data) - 1):
        with pytest.raises(BadInput, match="a snapshot of a causal posterior"):
            restored(data[:length])
    newer = data[:8] + (2).to_bytes(4, "little") + data[12:]
    with pytest.raises(BadInput, match="format 1, found format 2"):
        restored(newer)
    values, arrays = unpacked(data)
    arrays.pop("watch.mean")
    with pytest.raises(BadInput, match="parts that do not fit"):
        restored(packed(values, arrays))
    with pytest.raises(BadInput, match="arrays of numbers"):
        packed({}, {"text": np.array(["a"])})


def test_a_changed_mechanism_is_named_and_learnt() -> None:
    """After x1 -> x2 weakens, x2 is named within periods, and the effect follows in a few."""
    rng = np.random.default_rng(8)
    known = Knowledge(tiers={f"x{k}": k for k in range(4)})
    model, later = chain(), chain()
    later[1, 2] = 0.2
    live = begun(names_of(4), 60, knowledge=known, seed=2, pace=QUICK)
    found = []
    for k in range(75):
        live = observed(live, period(model if k < 60 else later, 60, rng, shock=0.2))
        found += [(k, drift) for drift in live.drifts]
        if k in {12, 59, 74}:
            live = refreshed(live)
    assert [drift.variable for _, drift in found] == ["x2"]
    assert 61 <= found[0][0] <= 66
    assert live.posterior is not None
    effect = total_effects(drawn_mechanisms(live.posterior, rng)).interval("x1", "x2")
    assert effect[0] < 0.2 < effect[2] < 0.45
    slow = observed(replace(live, running=live.running.forgotten(0.5)), period(later, 60, rng))
    assert slow.statistics.weight < live.statistics.weight


def test_false_alarms_are_as_rare_as_said() -> None:
    """Without a change, 3 of 5 variables' charts alarm about once in the periods asked for."""
    rng = np.random.default_rng(9)
    alarm, names = threshold(5, 100.0), tuple(names_of(5))
    watch, alarms = empty_watch(5, 5, pause=0), 0
    for _ in range(4000):
        measures = 3.0 + 2.0 * rng.standard_normal((3, 5))
        watch, drifts = watched(watch, measures, names, alarm, pause=0)
        alarms += bool(drifts)
    assert 25 <= alarms <= 55
    assert threshold(50, 2000.0) > threshold(5, 2000.0) > alarm


def test_what_causes_explain_is_no_drift_of_their_effect() -> None:
    """A shifted cause moves its effect; only the cause's own level is out of line."""
    rng = np.random.default_rng(10)
    seen = statistics_of(period(chain(), 4000, rng), names_of(4))
    mechanism = mechanism_of(seen, chain() != 0)
    np.testing.assert_allclose(mechanism.coefficients, chain(), atol=0.07)
    values = np.random.default_rng(11).standard_normal((500, 4))
    values[:, 0] += 1.0
    values[:, 3] *= 1.5
    values = values @ np.linalg.inv(np.eye(4) - chain())
    usual = measures_of(values, np.ones((500, 4), np.bool_), mechanism)
    assert np.argmax(np.abs(usual[0])) == 0
    assert np.abs(usual[0, 1:3]).max() < 3.0 < usual[0, 0]
    assert np.argmax(usual[1]) == 3
    assert np.isnan(usual[2, 0])
    wrong = mechanism_of(seen, chain() != 0)
    wrong.coefficients[1, 2] += 0.4
    assert measures_of(values, np.ones((500, 4), np.bool_), wrong)[2, 2] > 5.0
    assert np.isnan(measures_of(values[:5], np.ones((5, 4), np.bool_), mechanism)).all()


def test_what_cannot_be_told_apart_waits() -> None:
    """Variables that do not vary refuse a refresh; once they do, the same state answers."""
    rng = np.random.default_rng(12)
    live = begun(["a", "b"], 20, seed=1, pace=QUICK, knowledge=Knowledge(required=[Edge("a", "b")]))
    assert "no posterior yet" in str(live)
    for _ in range(5):
        live = observed(live, np.stack([rng.standard_normal(20), np.full(20, 3.0)], axis=1))
    with pytest.raises(BadInput, match="do not vary: b"):
        refreshed(live)
    for _ in range(5):
        live = observed(live, rng.standard_normal((20, 2)))
    live = refreshed(live)
    assert live.posterior is not None
    assert live.posterior.edge_probability()[0, 0, 1] == 1.0
    with pytest.raises(BadInput, match="half-life"):
        begun(["a"], 1, pace=Pace(half_life_periods=0.0))
    with pytest.raises(BadInput, match="seed"):
        begun(["a"], 1, seed=-1)
