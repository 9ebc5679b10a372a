"""What cannot be answered is refused where it is asked, with what was expected and found."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cellhive.causal.dependent.panels import cell_coefficients
from cellhive.causal.effects import Mechanisms, direct_effects, drawn_mechanisms, total_effects
from cellhive.causal.live.running import advanced, empty_running
from cellhive.causal.posterior import Settings, discover
from cellhive.causal.queries.identification import Question, effect_answer
from cellhive.causal.queries.planning import Aim, Harm, Lever, advise, responses_of
from cellhive.causal.queries.validation import Study, refute, residual_checks
from cellhive.causal.queries.whatif import counterfactual
from cellhive.causal.statistics import statistics_of
from cellhive.core.errors import BadInput

NAMES = ("a", "b", "c")
LEVERS = [Lever("a", (-1.0, 1.0))]
QUICK = Settings(starts=2, graphs=40)


def panel() -> Any:
    """Return a -> b -> c, (40, 3, 3)."""
    data = np.random.default_rng(0).standard_normal((40, 3, 3))
    data[:, :, 1] += data[:, :, 0]
    data[:, :, 2] += data[:, :, 1]
    return data


@pytest.fixture(scope="module")
def drawn() -> Mechanisms:
    """Return mechanisms of the panel."""
    found = discover(statistics_of(panel(), NAMES), np.random.default_rng(0), settings=QUICK)
    return drawn_mechanisms(found, np.random.default_rng(1))


@pytest.mark.parametrize("levels", [(), (1.5,), (math.nan,), (-0.1,)])
def test_levels_are_probabilities(drawn: Mechanisms, levels: tuple[float, ...]) -> None:
    """None, above 1, below 0 and no number."""
    for ask in (
        lambda: total_effects(drawn, levels=levels),
        lambda: direct_effects(drawn, levels=levels),
        lambda: counterfactual(drawn, panel()[:3, 0], {"a": 1.0}, levels=levels),
    ):
        with pytest.raises(BadInput, match="levels of intervals"):
            ask()


@pytest.mark.parametrize(
    "question",
    [
        Question("a", "b", math.nan, 1.0), Question("a", "b", 0.0, math.inf),
        Question("a", "b", 1.0, 1.0), Question("a", "b", horizon=-1),
    ],
)  # fmt: skip
def test_questions_need_two_finite_ends(drawn: Mechanisms, question: Question) -> None:
    """No number, infinity, no change at all, and a horizon before now."""
    with pytest.raises(BadInput):
        effect_answer(drawn, question)


@pytest.mark.parametrize(
    ("harms", "options"),
    [
        ((Harm("b", math.nan),), {}), ((Harm("b", 0.0),), {}),
        ((Harm("b", 1.0, math.nan),), {}), ((Harm("b", 1.0, 1.5),), {}),
        ((), {"top": -1}), ((), {"trial_samples": math.nan}),
    ],
)  # fmt: skip
def test_harms_are_limits_with_a_probability(
    drawn: Mechanisms, harms: tuple[Harm, ...], options: dict[str, Any]
) -> None:
    """A limit that nothing exceeds would allow everything; one of 0 means neither rise nor fall."""
    found = responses_of(drawn, ["a"])
    with pytest.raises(BadInput):
        advise(found, LEVERS, Aim({"c": 1.0}, harms), **options)


def test_two_harms_to_a_variable_are_both_told(drawn: Mechanisms) -> None:
    """A rise that is sure is not hidden by a fall that never happens, in either sequence."""
    found = responses_of(drawn, ["a"])
    rise, fall = Harm("b", 0.1, 0.05), Harm("b", -5.0, 0.05)
    for harms in ((rise, fall), (fall, rise)):
        advice = advise(found, [Lever("a", (2.0,))], Aim({"a": 1.0}, harms))
        assert not advice.options
        assert "harms" in advice.why
        assert advice.refused[0].harm["b"] > 0.05


def test_the_aim_is_judged_when_it_says(drawn: Mechanisms) -> None:
    """Responses of one period do not stand for those of another."""
    with pytest.raises(BadInput, match="the aim's horizon"):
        advise(responses_of(drawn, ["a"]), LEVERS, Aim({"c": 1.0}, horizon=2))


def refused_calls(drawn: Mechanisms) -> list[Callable[[], object]]:
    """Return calls that cannot be answered."""
    data, chance = panel(), np.random.default_rng(0)
    changed = counterfactual(drawn, data[:3, 0], {"a": 1.0})
    return [
        lambda: total_effects(drawn, causes=[]),
        lambda: total_effects(drawn, horizons=0),
        lambda: counterfactual(drawn, data[:3, 0], {"a": math.nan}),
        lambda: changed.of("b", period=3),
        lambda: residual_checks(drawn, data[:, :, :2]),
        lambda: refute(Study(data, NAMES, settings=QUICK), "a", "a", chance),
        lambda: cell_coefficients(data, NAMES, 2, [0, 0]),
        lambda: cell_coefficients(1e200 * data, NAMES, 2, [0, 1]),
        lambda: advanced(empty_running(NAMES, 3), np.full((3, 3), 1e300)),
        lambda: statistics_of(np.zeros((5, 2, 0)), []),
    ]


def test_other_questions_without_an_answer(drawn: Mechanisms) -> None:
    """Nothing asked, values that are none, other shapes, doubled parents, overflow."""
    for call in refused_calls(drawn):
        with pytest.raises(BadInput):
            call()
