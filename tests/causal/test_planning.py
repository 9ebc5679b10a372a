"""The best change under the posterior: against enumeration, risk, harms, and what to try."""

from __future__ import annotations

import numpy as np
import pytest
from linear_models import samples_of
from scipy import stats

from cellhive.causal.effects import drawn_mechanisms
from cellhive.causal.graph import Edge, Knowledge
from cellhive.causal.posterior import Settings, discover
from cellhive.causal.queries.planning import (
    Aim,
    Harm,
    Lever,
    Responses,
    advise,
    responses_of,
    sample_value,
)
from cellhive.causal.statistics import statistics_of
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.types import Floats


def responses(per_unit: Floats, names: tuple[str, ...] = ("a", "b", "y", "z")) -> Responses:
    """Return responses of the levers a and b, in models given as (M, 2, V)."""
    size = len(names)
    return Responses(
        ("a", "b"), names, per_unit, np.zeros(size), np.ones(size), np.eye(size)
    )  # fmt: skip


def drawn(seed: int = 1, count: int = 400) -> Responses:
    """Return responses that differ between models: a is a safe lever, b a bold one."""
    rng = np.random.default_rng(seed)
    per_unit = np.zeros((count, 2, 4))
    per_unit[:, 0, 2] = rng.normal(1.0, 0.1, count)
    per_unit[:, 1, 2] = rng.normal(1.5, 2.0, count)
    per_unit[:, 0, 3] = rng.normal(0.2, 0.05, count)
    return responses(per_unit)


LEVERS = [Lever("a", (-1.0, 1.0)), Lever("b", (-1.0, 1.0))]


def test_the_best_change_is_the_one_enumeration_finds() -> None:
    """Every combination tried by hand; gain, interval and ranking agree."""
    given = drawn()
    advice = advise(given, LEVERS, Aim({"y": 2.0, "z": -1.0}), top=100)
    by_hand = {}
    for a in (-1.0, 0.0, 1.0):
        for b in (-1.0, 0.0, 1.0):
            gain = 2.0 * (a * given.per_unit[:, 0, 2] + b * given.per_unit[:, 1, 2])
            gain -= a * given.per_unit[:, 0, 3] + b * given.per_unit[:, 1, 3]
            by_hand[a, b] = gain
    good = sorted((pair for pair in by_hand if by_hand[pair].mean() > 0 and any(pair)),
                  key=lambda pair: -by_hand[pair].mean())  # fmt: skip
    found = [(one.changes.get("a", 0.0), one.changes.get("b", 0.0)) for one in advice.options]
    assert found == good
    assert found[0] == (1.0, 1.0)
    best = advice.options[0]
    assert best.gain == pytest.approx(by_hand[1.0, 1.0].mean())
    assert (best.low, best.high) == pytest.approx(np.quantile(by_hand[1.0, 1.0], [0.05, 0.95]))
    assert best.better == pytest.approx((by_hand[1.0, 1.0] > 0).mean())
    assert best.label == "a +1, b +1"
    assert advice.considered == 8


def test_who_shuns_risk_takes_the_safe_lever() -> None:
    """By the mean the bold lever comes first, by the worst tenth the safe one alone is left."""
    alone = Aim({"y": 1.0}, most_levers=1)
    assert advise(drawn(), LEVERS, alone).options[0].changes == {"b": 1.0}
    wary = advise(drawn(), LEVERS, Aim({"y": 1.0}, worst=0.1, most_levers=1))
    assert [one.changes for one in wary.options] == [{"a": 1.0}]
    worst = np.sort(drawn().per_unit[:, 0, 2])[:40].mean()
    assert wary.options[0].judged == pytest.approx(worst)


def test_a_harm_that_is_too_probable_rules_a_change_out() -> None:
    """What helps but harms is told apart, with its probability; a fall can be a harm, too."""
    harm = Harm("z", 0.2, probability=0.3)
    advice = advise(drawn(), [LEVERS[0]], Aim({"y": 1.0}, (harm,)))
    assert not advice.options
    assert "risks one of the harms" in advice.why
    share = (drawn().per_unit[:, 0, 3] > 0.2).mean()
    assert advice.refused[0].harm["z"] == pytest.approx(share)
    bold = advise(drawn(), LEVERS, Aim({"y": 1.0}, (Harm("y", -0.5, 0.05),)))
    assert {"b"} not in [set(one.changes) for one in bold.options]
    assert advise(drawn(), [LEVERS[0]], Aim({"y": -1.0}, most_levers=1)).options[0].changes == {
        "a": -1.0
    }


def test_levers_kept_apart_and_values_outside_the_data_are_heeded() -> None:
    """A pair that must not move together does not; a lever far from its data is flagged."""
    aim = Aim({"y": 1.0}, apart=(frozenset({"a", "b"}),))
    levers = [Lever("a", (1.0,), now=0.0), Lever("b", (1.0,), now=2.5)]
    options = advise(drawn(), levers, aim).options
    assert all(len(one.changes) == 1 for one in options)
    assert {next(iter(one.changes)): one.outside for one in options} == {"a": (), "b": ("b",)}


def test_what_cannot_be_meant_is_refused() -> None:
    """A present value that is no number, and a name to be kept apart that is no lever."""
    aim = Aim({"y": 1.0})
    for now in (np.nan, np.inf):
        with pytest.raises(BadInput, match="finite present value"):
            advise(drawn(), [Lever("a", (1.0,), now=now)], aim)
    with pytest.raises(NotFound, match="found tlit"):
        advise(drawn(), LEVERS, Aim({"y": 1.0}, apart=(frozenset({"a", "tlit"}),)))


def test_nothing_helps_is_an_answer() -> None:
    """No option, and the reason."""
    advice = advise(responses(np.zeros((50, 2, 4))), LEVERS, Aim({"y": 1.0}))
    assert not advice.options
    assert "leave things as they are" in advice.why


def test_the_value_of_a_trial_is_that_of_the_formula() -> None:
    """One uncertain gain N(mu, s^2), outcome noise t: the value has a closed form.

    After the trial the mean is normal with variance s^4 / (s^2 + t^2); choosing between it and
    nothing is worth E max(0, mean) - max(0, mu) (Raiffa and Schlaifer 1961, 5.2).
    """
    mu, spread, noise = 0.2, 1.0, 0.7
    gains = mu + spread * stats.norm.ppf((np.arange(2000) + 0.5) / 2000)
    choices = np.vstack([np.zeros_like(gains), gains])
    deviation = spread**2 / np.hypot(spread, noise)
    expected = mu * stats.norm.cdf(mu / deviation) + deviation * stats.norm.pdf(mu / deviation)
    assert sample_value(gains, choices, noise) == pytest.approx(expected, rel=0.01)
    assert sample_value(gains, choices, 1e-3) == pytest.approx(
        np.maximum(gains, 0.0).mean(), rel=0.01
    )
    assert sample_value(gains, choices, 1e3) == pytest.approx(max(mu, 0.0), abs=1e-3)


def test_a_trial_of_what_is_unsure_teaches_most() -> None:
    """The bold lever is worth trying, the safe one teaches nothing, and none beats certainty."""
    rng = np.random.default_rng(2)
    per_unit = np.zeros((400, 2, 4))
    per_unit[:, 0, 2] = rng.normal(0.5, 0.01, 400)
    per_unit[:, 1, 2] = rng.normal(0.0, 2.0, 400)
    advice = advise(
        responses(per_unit), LEVERS, Aim({"y": 1.0}, most_levers=1), trial_samples=100.0
    )
    by_label = {trial.outcome.label: trial.value for trial in advice.trials}
    assert advice.trials[0].outcome.changes.keys() == {"b"}
    assert by_label["a +1"] < 0.05 * by_label["b +1"]
    assert 0.0 < advice.trials[0].value <= advice.certainty_value + 1e-9
    few = advise(responses(per_unit), LEVERS, Aim({"y": 1.0}, most_levers=1), trial_samples=0.1)
    assert few.trials[0].value < advice.trials[0].value
    assert not advise(responses(per_unit), LEVERS, Aim({"y": 1.0})).trials


def test_levers_act_as_set_and_not_through_one_another() -> None:
    """In a -> b -> y with both set, b does what it does and a nothing but its own path."""
    rng = np.random.default_rng(3)
    model = np.array([[0.0, 1.0, 0.5], [0.0, 0.0, 2.0], [0.0, 0.0, 0.0]])
    data = samples_of(model, 20_000, rng) * [1.0, 10.0, 1.0]
    known = Knowledge(required=[Edge("a", "b"), Edge("b", "y"), Edge("a", "y")])
    found = discover(statistics_of(data, ["a", "b", "y"]), rng, knowledge=known,
                     settings=Settings(graphs=50))  # fmt: skip
    mechanisms = drawn_mechanisms(found, rng)
    both = responses_of(mechanisms, ["a", "b"]).per_unit.mean(axis=0)
    np.testing.assert_allclose(both, [[1.0, 0.0, 0.5], [0.0, 1.0, 0.2]], atol=0.05)
    alone = responses_of(mechanisms, ["a"]).per_unit.mean(axis=0)
    np.testing.assert_allclose(alone, [[1.0, 10.0, 2.5]], rtol=0.03)


def test_a_lever_that_is_held_adds_up_over_periods() -> None:
    """y keeps half of itself: set for three periods, a lever has done 1 + 1/2 + 1/4 of its part."""
    rng = np.random.default_rng(4)
    x = rng.standard_normal(20_000)
    y = np.zeros(20_000)
    for k in range(1, 20_000):
        y[k] = 2.0 * x[k] + 0.5 * y[k - 1] + rng.standard_normal()
    seen = statistics_of(np.stack([x, y], axis=1), ["x", "y"], lags=1)
    known = Knowledge(tiers={"x": 0, "y": 1})
    found = discover(seen, rng, knowledge=known, settings=Settings(graphs=50))
    mechanisms = drawn_mechanisms(found, rng)
    done = [responses_of(mechanisms, ["x"], horizon=h).per_unit[:, 0, 1].mean() for h in range(3)]
    np.testing.assert_allclose(done, [2.0, 3.0, 3.5], atol=0.06)


def test_questions_that_cannot_be_answered_are_refused() -> None:
    """Each says what was expected."""
    given = drawn()
    with pytest.raises(NotFound, match="'moon'"):
        advise(given, LEVERS, Aim({"moon": 1.0}))
    with pytest.raises(NotFound, match="a lever among a, b, found 'y'"):
        advise(given, [Lever("y", (1.0,))], Aim({"z": 1.0}))
    with pytest.raises(BadInput, match="a step other than 0"):
        advise(given, [Lever("a", (0.0,))], Aim({"y": 1.0}))
    with pytest.raises(BadInput, match="finite steps"):
        advise(given, [Lever("a", (float("nan"),))], Aim({"y": 1.0}))
    with pytest.raises(BadInput, match="at most 50000 combinations"):
        advise(given, [Lever("a", tuple(range(1, 400))), Lever("b", tuple(range(1, 400)))],
               Aim({"y": 1.0}))  # fmt: skip
    with pytest.raises(BadInput, match="a goal"):
        advise(given, LEVERS, Aim({}))
    with pytest.raises(BadInput, match="a worst share"):
        advise(given, LEVERS, Aim({"y": 1.0}, worst=0.0))
    with pytest.raises(BadInput, match="at least one lever at a time"):
        advise(given, LEVERS, Aim({"y": 1.0}, most_levers=0))
    with pytest.raises(BadInput, match="each once"):
        advise(given, [LEVERS[0], LEVERS[0]], Aim({"y": 1.0}))
