"""A cause that nobody measured is suspected where it fits, and only there."""

from __future__ import annotations

import numpy as np
import pytest

from cellhive.causal.effects import drawn_mechanisms
from cellhive.causal.posterior import Posterior, Settings, discover
from cellhive.causal.queries.hidden import suspicion, suspicions
from cellhive.causal.queries.identification import Question, Verdict, effect_answer
from cellhive.causal.statistics import statistics_of
from cellhive.core.errors import NotFound
from cellhive.core.types import Floats

NAMES = ["a", "b", "c"]


def series(kind: str, seed: int, periods: int = 1500) -> Floats:
    """Return three series that follow themselves; a and b by an edge, a hidden cause, or both."""
    rng = np.random.default_rng(seed)
    values = np.zeros((periods + 50, 3))
    hidden = rng.standard_normal(len(values)) * (kind != "edge")
    slope = 0.6 * (kind != "hidden")
    for k in range(1, len(values)):
        noise = rng.standard_normal(3)
        values[k, 0] = 0.6 * values[k - 1, 0] + 0.8 * hidden[k] + noise[0]
        values[k, 1] = 0.4 * values[k - 1, 1] + slope * values[k, 0] + 0.8 * hidden[k] + noise[1]
        values[k, 2] = 0.5 * values[k - 1, 2] + 0.5 * values[k, 1] + noise[2]
    return values[50:]


def posterior_of(values: Floats, lags: int) -> Posterior:
    """Return the posterior of a series."""
    return discover(
        statistics_of(values, NAMES, lags=lags), np.random.default_rng(1),
        settings=Settings(graphs=60),
    )  # fmt: skip


def pairs(found: Posterior) -> set[frozenset[str]]:
    """Return the pairs of variables of which a hidden cause is suspected."""
    return {frozenset({one.cause, one.effect}) for one in suspicions(found) if one.suspected}


@pytest.mark.parametrize("seed", range(4))
def test_a_hidden_cause_is_suspected_where_it_acts(seed: int) -> None:
    """What follows itself makes the difference: the edge b to c is not doubted, a to b is."""
    found = posterior_of(series("hidden", seed), 1)
    assert pairs(found) == {frozenset({"a", "b"})}
    first = suspicions(found)[0]
    assert first.share > 0.5
    assert "fits better than the edge" in str(first)
    answer = effect_answer(
        drawn_mechanisms(found, np.random.default_rng(2)), Question(first.cause, first.effect)
    )
    assert answer.verdict in {Verdict.HIDDEN, Verdict.UNDECIDED}
    assert str(first) in answer.words()


@pytest.mark.parametrize("seed", range(4))
def test_an_edge_is_not_suspected(seed: int) -> None:
    """Edges that are there fit better than any hidden cause, and say by how much."""
    found = posterior_of(series("edge", seed), 1)
    assert pairs(found) == set()
    one = suspicion(found, "a", "b")
    assert one is not None
    assert one.testable
    assert one.log_odds < -2.0
    assert "fits less well than the edge" in str(one)
    assert suspicion(found, "a", "c") is None
    with pytest.raises(NotFound):
        suspicion(found, "a", "nothing")


def test_without_anything_that_acts_on_the_cause_alone_nothing_can_be_told() -> None:
    """Two variables and no past: an edge and a hidden cause are one model, and that is said."""
    rng = np.random.default_rng(3)
    hidden = rng.standard_normal(800)
    values = np.stack([hidden + rng.standard_normal(800) for _ in range(3)], axis=1)
    values[:, 2] = rng.standard_normal(800)
    (one,) = suspicions(posterior_of(values, 0))
    assert {one.cause, one.effect} == {"a", "b"}
    assert not one.testable
    assert not one.suspected
    assert one.log_odds == 0.0
    assert one.share == 0.5
    assert "would look the same" in str(one)


def test_units_do_not_matter() -> None:
    """The same data in other units give the same answer."""
    values = series("hidden", 7)
    plain, scaled = (posterior_of(v, 1) for v in (values, values * [1e3, 1e-3, 1.0] + 5.0))
    told = [[(one.cause, one.effect) for one in suspicions(found)] for found in (plain, scaled)]
    assert told[0] == told[1]
    np.testing.assert_allclose(
        [one.log_odds for one in suspicions(plain)], [one.log_odds for one in suspicions(scaled)],
        rtol=1e-5, atol=1e-5,
    )  # fmt: skip
