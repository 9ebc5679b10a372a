"""What data cannot tell is said: directions, copies, constants, far values, hidden causes."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from scipy import stats

from cellhive.causal.effects import Mechanisms, drawn_mechanisms
from cellhive.causal.graph import Edge, Knowledge
from cellhive.causal.posterior import Settings, discover
from cellhive.causal.queries.identification import (
    Question,
    Unusable,
    Verdict,
    direction,
    effect_answer,
    robustness,
    separable,
)
from cellhive.causal.statistics import statistics_of
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.types import Floats

NAMES = ["tilt", "load", "rate"]


def samples(count: int, seed: int = 1) -> Floats:
    """Return samples of tilt -> load -> rate, tilt -> rate."""
    rng = np.random.default_rng(seed)
    tilt = 6.0 + rng.standard_normal(count)
    load = 0.5 * tilt + rng.standard_normal(count)
    rate = 10.0 - 2.0 * load + 2.0 * tilt + 3.0 * rng.standard_normal(count)
    return np.stack([tilt, load, rate], axis=1)


@cache
def models(count: int, *, known: bool) -> Mechanisms:
    """Return drawn models, with the order known from tiers or not."""
    tiers = {name: k for k, name in enumerate(NAMES)} if known else {}
    found = discover(
        statistics_of(samples(count), NAMES), np.random.default_rng(2),
        knowledge=Knowledge(tiers=tiers), settings=Settings(graphs=200),
    )  # fmt: skip
    return drawn_mechanisms(found, np.random.default_rng(3))


def test_what_the_data_tell_is_clear() -> None:
    """With the order known the effect is clear, right, and in the words."""
    answer = effect_answer(models(2000, known=True), Question("load", "rate", start=3.0, end=4.0))
    assert answer.verdict is Verdict.CLEAR
    assert answer.most[0] < -2.0 < answer.most[1]
    assert answer.most[0] < answer.half[0] < answer.mean < answer.half[1] < answer.most[1]
    assert answer.words().startswith(f"load +1 changes rate by {answer.mean:+.3g}")
    assert answer.direction is not None
    assert (answer.direction.forth, answer.direction.back) == (1.0, 0.0)


def test_an_open_direction_is_said() -> None:
    """Three joined variables of a complete graph: any order fits; the verdict is undecided."""
    mechanisms = models(2000, known=False)
    answer = effect_answer(mechanisms, Question("load", "rate"))
    assert answer.verdict is Verdict.UNDECIDED
    assert answer.direction == direction(mechanisms, "load", "rate")
    shares = answer.direction
    assert shares.forth + shares.back == pytest.approx(1.0)
    assert 0.3 < shares.forth < 0.7
    assert "Which comes first is open" in answer.words()
    back = effect_answer(models(2000, known=True), Question("rate", "load"))
    assert back.mean == 0.0
    assert "In 100% of the graphs that fit, load comes before rate." in back.words()


def test_beyond_the_data_is_flagged_with_how_far() -> None:
    """A value outside what was seen is answered, and its distance stated."""
    mechanisms = models(2000, known=True)
    far = effect_answer(mechanisms, Question("tilt", "rate", end=12.0))
    assert far.verdict is Verdict.EXTRAPOLATED
    assert "6.0 standard deviations from the mean" in far.words()
    limited = effect_answer(mechanisms, Question("tilt", "rate", end=9.0), limits=(3.0, 8.0))
    assert "1.0 standard deviations outside what was seen (3 to 8)" in limited.words()
    inside = effect_answer(mechanisms, Question("tilt", "rate", end=7.5), limits=(3.0, 8.0))
    assert inside.verdict is Verdict.CLEAR


def test_too_few_samples_are_refused() -> None:
    """Twelve samples give no number, and say how many would be the fewest."""
    answer = effect_answer(models(12, known=True), Question("load", "rate"))
    assert answer.verdict is Verdict.REFUSED
    assert math.isnan(answer.mean)
    assert "worth 12 independent samples; 20 would be the fewest" in answer.words()


def test_constants_and_copies_are_left_out_with_reasons() -> None:
    """Constant, duplicated and collinear columns are named; the rest can be asked about."""
    data = samples(300)
    wide = np.column_stack(
        [data, np.full(300, 46.0), 2.0 * data[:, 0] + 1.0, data[:, 0] - data[:, 1]]
    )
    seen = statistics_of(wide, [*NAMES, "power", "angle", "gap"])
    with pytest.raises(BadInput, match="do not vary"):
        discover(seen, np.random.default_rng(1))
    rest, out = separable(seen)
    assert rest.names == tuple(NAMES)
    assert [one.name for one in out] == ["power", "angle", "gap"]
    assert out[0].reason == "power did not vary: it is 46 everywhere."
    assert out[1].reason.startswith("angle is a copy of tilt: ")
    assert out[2].reason.startswith("gap follows exactly from tilt, load: ")
    np.testing.assert_allclose(rest.scatter, statistics_of(data, NAMES).scatter)
    assert separable(rest) == (rest, ())
    answer = effect_answer(models(2000, known=True), Question("power", "rate"), unusable=out)
    assert answer.verdict is Verdict.REFUSED
    assert answer.words().startswith("What power does to rate cannot be told. power did not vary")


def test_a_nearly_copied_cause_is_warned_of() -> None:
    """Where little is left of a cause, the words say so."""
    rng = np.random.default_rng(5)
    data = samples(500)
    near = data[:, 0] + 0.05 * rng.standard_normal(500)
    seen = statistics_of(np.column_stack([data, near]), [*NAMES, "angle"])
    found = discover(seen, rng, settings=Settings(graphs=50))
    answer = effect_answer(drawn_mechanisms(found, rng), Question("angle", "rate"))
    assert "Others explain 99." in answer.words()


def test_robustness_is_that_of_the_papers() -> None:
    """Partial R², RV and E-value against a regression done the long way."""
    mechanisms, data = models(2000, known=True), samples(2000)
    found = robustness(mechanisms.posterior, "load", "rate")
    assert found is not None
    design = np.column_stack([np.ones(2000), data[:, 0], data[:, 1]])
    slopes, squares, *_ = np.linalg.lstsq(design, data[:, 2], rcond=None)
    freedom = 2000 - 3
    error = math.sqrt(squares[0] / freedom * np.linalg.inv(design.T @ design)[2, 2])
    f = abs(slopes[2] / error) / math.sqrt(freedom)
    assert found.value == pytest.approx(0.5 * (math.sqrt(f**4 + 4 * f**2) - f**2), abs=2e-3)
    less = f - float(stats.t(freedom - 1).ppf(0.975)) / math.sqrt(freedom - 1)
    assert found.value_5 == pytest.approx(
        0.5 * (math.sqrt(less**4 + 4 * less**2) - less**2), abs=2e-3
    )
    risk = math.exp(0.91 * abs(slopes[2]) * data[:, 1].std() / data[:, 2].std())
    assert found.e_value == pytest.approx(risk + math.sqrt(risk * (risk - 1)), rel=0.01)
    assert found.strongest == "tilt"
    assert "the strongest known one, tilt, explains" in str(found)


def test_a_hidden_cause_as_strong_as_said_undoes_the_effect() -> None:
    """x and y share a hidden cause and nothing else: RV is the share it explains of both."""
    rng = np.random.default_rng(6)
    hidden = rng.standard_normal(200_000)
    both = hidden[:, None] + 2.0 * rng.standard_normal((200_000, 2))
    seen = statistics_of(both, ["x", "y"])
    knowledge = Knowledge(required=[Edge("x", "y")])
    found = discover(seen, rng, knowledge=knowledge, settings=Settings(graphs=20))
    known = robustness(found, "x", "y")
    assert known is not None
    # hidden explains 0.2 of x, and of what x leaves of y: 0.2 * 0.8 / (1 - 0.2**2) = 1 / 6
    assert 1.0 / 6.0 < known.value < 0.2
    assert known.strongest == ""


def test_wrong_questions_are_refused() -> None:
    """Unknown variables and a cause that is its own effect are named."""
    mechanisms = models(2000, known=True)
    with pytest.raises(NotFound, match="'moon'"):
        effect_answer(mechanisms, Question("moon", "rate"))
    with pytest.raises(BadInput, match="'rate' twice"):
        effect_answer(mechanisms, Question("rate", "rate"))
    unknown = effect_answer(
        mechanisms, Question("moon", "rate"), unusable=[Unusable("moon", "moon was left out.")]
    )
    assert unknown.verdict is Verdict.REFUSED


def test_a_near_copy_goes_where_periods_are_lagged_too() -> None:
    """Written with twelve digits, a copy is no exact one; with lags each determines the other."""
    rng = np.random.default_rng(12)
    x = rng.standard_normal((400, 1))
    panel = np.concatenate([x, x + rng.standard_normal(x.shape), 2.0 * x], axis=1)
    panel[:, 2] += 5e-5 * rng.standard_normal(400)
    for lags in (0, 1):
        seen = statistics_of(panel, ["x", "y", "copy"], lags=lags)
        fewer, unusable = separable(seen)
        assert [one.name for one in unusable] == ["copy"]
        assert fewer.names == ("x", "y")
        fewer.correlation()
