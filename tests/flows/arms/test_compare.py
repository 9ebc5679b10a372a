"""What is made of results over cities, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap

from cellhive.flows.arms.compare import ArmStudy, Budget, arm_rows, interval
from cellhive.flows.arms.run import ArmResult, ArmSettings


def result(arm: str, guarded: bool, seed: int, score: float, expected: float = np.nan) -> ArmResult:
    """Return a result of which only the score matters."""
    return ArmResult(
        "tiny", arm, guarded, seed, {"objective": score}, changes=2,
        objections={"step": 1, "area": 2},
        kept=0, rolled_back=0, searched=10 if np.isfinite(expected) else 0, expected=expected,
        search_s=3.0, run_s=1.0,
    )  # fmt: skip


def study(*results: ArmResult) -> ArmStudy:
    """Return a study of these results."""
    found = ArmStudy("digest", ArmSettings())
    for one in results:
        found = found.with_result(one)
    return found


SCORES = {
    ("nothing", True): (10.0, 20.0, 30.0, 40.0),
    ("rules", True): (12.0, 23.0, 32.0, 43.0),
    ("tuned", False): (20.0, 30.0, 41.0, 51.0),
    ("bayesian", False): (22.0, 29.0, 40.0, 52.0),
    ("rl:mappo", True): (16.0, 25.0, 36.0, 45.0),
}
EXPECTED = {"tuned": (5.0, 6.0, 5.0, 6.0), "bayesian": (6.0, 5.0, 6.0, 5.0)}


@pytest.fixture
def four() -> ArmStudy:
    """Four cities."""
    return study(*(
        result(arm, guarded, 201 + index, score, EXPECTED.get(arm, (np.nan,) * 4)[index])
        for (arm, guarded), scores in SCORES.items()
        for index, score in enumerate(scores)
    ))  # fmt: skip


def test_differences_are_paired_and_the_ceiling_is_chosen_unseen(four: ArmStudy) -> None:
    """The policy gains 6, 5, 6, 5 over nothing; the ceiling, by what searches expected, is
    bayesian, tuned, bayesian, tuned: 12, 10, 10, 11. The share is 22 of 43.
    """
    rows = {(row.arm, row.guarded): row for row in arm_rows(four, "tiny")}
    assert list(rows) == [
        ("nothing", True), ("tuned", False), ("bayesian", False), ("rules", True),
        ("rl:mappo", True),
    ]  # fmt: skip
    policy = rows["rl:mappo", True]
    assert policy.beyond_nothing.mean == 5.5
    assert policy.beyond_rules.mean == pytest.approx(3.0)
    assert policy.beats_rules
    assert policy.share is not None
    assert policy.share.mean == pytest.approx(22 / 43)
    assert policy.share.low < 22 / 43 < policy.share.high
    assert (policy.changes, policy.objections, policy.run_s) == (2.0, 3.0, 1.0)
    reference = rows["rules", True]
    assert (reference.beyond_rules.low, reference.beyond_rules.high) == (0.0, 0.0)
    assert not reference.beats_rules
    assert rows["tuned", False].searched == 10


def test_interval_is_that_of_scipy_and_covers() -> None:
    """BCa of ten differences; the interval of equal differences is the number itself."""
    gaps = np.array([1.0, 2.5, 0.5, 3.0, 1.5, 2.0, 1.0, 0.0, 2.0, 4.0])
    found = interval("objective", gaps)
    expected = bootstrap((gaps,), np.mean, rng=np.random.default_rng(5)).confidence_interval
    assert found.mean == pytest.approx(1.75)
    assert found.low == pytest.approx(expected.low, abs=0.05)
    assert found.high == pytest.approx(expected.high, abs=0.05)
    same = interval("objective", np.full(10, 0.1))
    assert same.low == same.high == same.mean


def test_no_share_without_headroom() -> None:
    """Where the best fixed setting may be worse than nothing, there is no share to state."""
    found = study(
        *(result("nothing", True, s, 10.0) for s in (1, 2, 3)),
        *(result("rules", True, s, 11.0) for s in (1, 2, 3)),
        *(result("tuned", False, s, v, 1.0) for s, v in ((1, 12.0), (2, 8.0), (3, 11.0))),
    )
    assert all(row.share is None for row in arm_rows(found, "tiny"))


def test_only_common_cities_count(four: ArmStudy) -> None:
    """An arm that lacks a city is compared over the others; one city is not enough."""
    more = four.with_result(result("set-1", False, 201, 5.0))
    assert "set-1" not in {row.arm for row in arm_rows(more, "tiny")}
    more = more.with_result(result("set-1", False, 203, 25.0))
    more = more.with_result(result("set-1", False, 299, 900.0))
    row = next(row for row in arm_rows(more, "tiny") if row.arm == "set-1")
    assert row.seeds == (201, 203)
    assert row.beyond_nothing.mean == -5.0
    assert not row.harmless


def test_results_replace_their_like(four: ArmStudy) -> None:
    """One result per arm, guard and city; other terms do not mix."""
    again = four.with_result(result("rules", True, 201, 99.0))
    assert len(again.results) == len(four.results)
    assert again.has("tiny", "rules", True, 201)
    assert not again.has("tiny", "rules", False, 201)
    assert not four.same_terms(ArmStudy("other", ArmSettings()))
    assert not four.same_terms(ArmStudy("digest", ArmSettings(observed_s=60.0)))


def test_a_policy_whose_code_has_changed_is_run_again(four: ArmStudy) -> None:
    """Its results go when it is budgeted by other sources; those of the others stay."""
    told = four.with_budget(Budget("rl:mappo", 1.0, 2.0, sources="a"))
    assert told.with_budget(Budget("rl:mappo", 1.0, 2.0, sources="a")).results == four.results
    after = told.with_budget(Budget("rl:mappo", 1.0, 2.0, sources="b"))
    assert not after.has("tiny", "rl:mappo", True, 201)
    assert after.has("tiny", "rules", True, 201)
    assert len(after.results) == len(four.results) - 4
