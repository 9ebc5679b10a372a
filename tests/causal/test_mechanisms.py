"""Mechanisms that bend: the right form is chosen, rows are carried rightly, noise is watched."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from cellhive.causal.effects import drawn_mechanisms, total_effects
from cellhive.causal.graph import Edge, Knowledge
from cellhive.causal.posterior import Settings, discover
from cellhive.causal.queries.curves import basis_of
from cellhive.causal.queries.identification import Question, Verdict
from cellhive.causal.queries.mechanisms import (
    BentMechanisms,
    bent_mechanisms,
    fitted_form,
    uneven_noise,
)
from cellhive.causal.queries.prediction import (
    average_effects,
    bent_counterfactual,
    conditional_effect,
    prospect,
)
from cellhive.causal.queries.whatif import counterfactual
from cellhive.causal.statistics import statistics_of
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.types import Floats

NAMES = ["tilt", "load", "rate", "drops"]
EDGES = [Edge("tilt", "load"), Edge("load", "rate"), Edge("tilt", "rate"), Edge("load", "drops")]


def samples(count: int = 1500) -> Floats:
    """Return tilt -> load (straight), load -> rate (times tilt), load -> drops (a hinge)."""
    rng = np.random.default_rng(1)
    tilt = rng.standard_normal(count)
    load = 0.8 * tilt + rng.standard_normal(count)
    rate = 10.0 - load + 0.5 * tilt * load + 0.5 * rng.standard_normal(count)
    drops = np.maximum(load, 0.0) + 0.1 * np.exp(0.5 * load) * rng.standard_normal(count)
    return np.stack([tilt, load, rate, drops], axis=1)


@cache
def models() -> BentMechanisms:
    """Return drawn models with the graph known."""
    data = samples()
    seen = statistics_of(data, NAMES)
    others = [Edge(a, b) for a in NAMES for b in NAMES if a != b and Edge(a, b) not in EDGES]
    found = discover(
        seen, np.random.default_rng(2), knowledge=Knowledge(required=EDGES, forbidden=others),
        settings=Settings(graphs=100, starts=2),
    )  # fmt: skip
    return bent_mechanisms(found, basis_of(data, seen), np.random.default_rng(3), draws=150)


def test_the_form_is_what_the_data_ask_for() -> None:
    """A straight edge stays straight, a hinge bends, a product is found."""
    basis = models().basis
    load, rate, drops = (fitted_form(basis, node, parents) for node, parents in
                         ((1, (0,)), (2, (0, 1)), (3, (1,))))  # fmt: skip
    assert (load.curved, load.products) == (False, ())
    assert rate.products == ((0, 1),)
    assert (drops.curved, drops.products) == (True, ())
    assert not fitted_form(basis, 0, ()).curved


def test_leave_one_out_is_leaving_one_out() -> None:
    """The score of straight lines is that of fitting again without each row."""
    data = samples(40)
    basis = basis_of(data, statistics_of(data, NAMES))
    form = fitted_form(basis, 1, (0,))
    design, target = np.column_stack([np.ones(40), basis.rows[:, 0]]), basis.rows[:, 1]
    errors = []
    for row in range(40):
        rest = np.arange(40) != row
        slopes = np.linalg.lstsq(design[rest], target[rest], rcond=None)[0]
        errors.append(target[row] - design[row] @ slopes)
    assert form.score == pytest.approx(-20.0 * np.log(np.mean(np.square(errors))), abs=1e-3)


def test_a_hinge_acts_where_it_is_open() -> None:
    """Load moves drops by its slope above zero, by nothing below, and half between."""
    mechanisms = models()
    rng = np.random.default_rng(4)

    def moved(start: float, end: float) -> float:
        return conditional_effect(
            mechanisms, rng, Question("load", "drops", start=start, end=end)
        ).mean

    assert moved(0.5, 1.5) == pytest.approx(1.0, abs=0.1)
    assert moved(-1.5, -0.5) == pytest.approx(0.0, abs=0.06)
    effects = average_effects(mechanisms, rng, causes=["load"])
    ends = np.quantile(samples()[:, 1], [0.25, 0.75])
    slope = ends[1] / (ends[1] - ends[0])
    low, mean, high = effects.interval("load", "drops")
    assert low <= mean <= high
    assert mean == pytest.approx(slope, abs=0.06)
    assert effects.interval("load", "tilt") == (0.0, 0.0, 0.0)


def test_effects_differ_among_rows_that_interact() -> None:
    """Load costs rate where tilt is low, and hardly where it is high: -1 + 0.5 tilt."""
    mechanisms, question = models(), Question("load", "rate", start=0.0, end=1.0)
    rng = np.random.default_rng(5)
    low, high = (
        conditional_effect(mechanisms, rng, question, where={"tilt": ends})
        for ends in ((-2.0, -1.0), (1.0, 2.0))
    )
    tilt = samples()[:, 0]
    for answer, (a, b) in ((low, (-2.0, -1.0)), (high, (1.0, 2.0))):
        among = tilt[(tilt >= a) & (tilt <= b)]
        truth = -1.0 + 0.5 * float(among.mean())
        assert answer.verdict is Verdict.CLEAR
        assert answer.mean == pytest.approx(truth, abs=0.12)
        assert answer.most[0] < answer.mean < answer.most[1]
        assert f"Among {len(among)} rows." in answer.words()
    at_none = conditional_effect(mechanisms, rng, question, where={"tilt": (9.0, 9.0)})
    assert at_none.verdict is Verdict.REFUSED
    assert "Only 0 rows have 9 <= tilt <= 9; 20 would be the fewest." in at_none.words()
    far = conditional_effect(mechanisms, rng, Question("load", "rate", start=0.0, end=20.0))
    assert far.verdict is Verdict.EXTRAPOLATED


def test_a_row_keeps_its_own_noise() -> None:
    """A counterfactual is the mechanism's change added to what was, by hand."""
    data = samples()
    was = data[7]
    answer = bent_counterfactual(models(), was, {"load": 2.0})
    hinge = max(2.0, 0.0) - max(was[1], 0.0)
    expected = [was[0], 2.0, was[2] + (0.5 * was[0] - 1.0) * (2.0 - was[1]), was[3] + hinge]
    np.testing.assert_allclose(answer.mean[0], expected, atol=0.15)
    assert answer.difference[0, 0] == 0.0
    same = bent_counterfactual(models(), was, {"load": float(was[1])})
    np.testing.assert_allclose(same.difference, 0.0, atol=1e-6)
    gap = was.copy()
    gap[2] = np.nan
    with pytest.raises(BadInput, match="found no value of rate"):
        bent_counterfactual(models(), gap, {"load": 2.0})


def test_straight_mechanisms_answer_as_the_closed_form() -> None:
    """Where nothing bends both ways of asking agree."""
    rng = np.random.default_rng(6)
    data = rng.standard_normal((800, 3))
    data[:, 1] += data[:, 0]
    data[:, 2] += data[:, 1] - 0.5 * data[:, 0]
    seen = statistics_of(data, NAMES[:3])
    ways = Knowledge(required=EDGES[:3])
    found = discover(seen, rng, knowledge=ways, settings=Settings(graphs=200, starts=2))
    straight = drawn_mechanisms(found, rng)
    rows = bent_mechanisms(found, basis_of(data, seen), rng)
    assert not any(form.curved or form.products for form in rows.forms.values())
    closed, carried = total_effects(straight), average_effects(rows, rng)
    np.testing.assert_allclose(carried.mean, closed.mean, atol=0.02)
    np.testing.assert_allclose(carried.low, closed.low, atol=0.05)
    one, other = (how(drawn, data[3], {"tilt": 1.0}) for how, drawn in
                  ((counterfactual, straight), (bent_counterfactual, rows)))  # fmt: skip
    np.testing.assert_allclose(one.mean, other.mean, atol=0.03)


def test_a_prospect_has_means_and_quantiles() -> None:
    """Under load = 1, rate is 9 + 0.5 tilt with its own noise; its quantiles follow."""
    seen = prospect(models(), np.random.default_rng(7), {"load": 1.0})
    assert seen.mean[2] == pytest.approx(9.0, abs=0.1)
    half = 1.645 * np.hypot(0.5, 0.5)
    np.testing.assert_allclose(seen.quantile[:, 2], [9.0 - half, 9.0, 9.0 + half], atol=0.2)
    np.testing.assert_allclose(seen.quantile[:, 1], 1.0, atol=1e-6)
    assert (seen.quantile_low <= seen.quantile_high + 1e-9).all()
    with pytest.raises(NotFound, match="'moon'"):
        prospect(models(), np.random.default_rng(7), {"moon": 1.0})


def test_uneven_noise_is_noticed_and_even_noise_is_not() -> None:
    """Drops spread more under load; nothing else does."""
    found = uneven_noise(models())
    assert [one.name for one in found] == ["drops"]
    assert str(found[0]).startswith("What drops's causes leave of it spreads more in some rows")
