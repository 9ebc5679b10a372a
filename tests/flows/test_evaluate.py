"""Intervals of paired differences, by hand and on a network known by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cellhive.core.errors import BadInput
from cellhive.core.types import Mode
from cellhive.flows.decide import LoopSettings, Silent
from cellhive.flows.evaluate import SeedResult, evaluate, paired_effect, paired_rows
from cellhive.flows.trial import TrialSettings
from cellhive.ran.guard import Guard


def result(seed: int, with_plans: float, without: float) -> SeedResult:
    """Return a seed with one KPI."""
    return SeedResult(seed, {"rlf_per_ue_min": with_plans}, {"rlf_per_ue_min": without}, 1, 0)


def test_interval_over_seeds_is_students_t() -> None:
    """Differences -1, -2, -3, -4, -5: mean -3, t(4) = 2.776 times sqrt(2.5 / 5) = 1.963."""
    results = [result(seed, 10.0 - seed, 10.0) for seed in range(1, 6)]
    (row,) = paired_rows(results)
    assert row.difference.mean == pytest.approx(-3.0)
    assert row.difference.low == pytest.approx(-4.963, abs=1e-3)
    assert row.difference.high == pytest.approx(-1.037, abs=1e-3)
    assert (row.better, row.beats, row.gain) == ("lower", True, pytest.approx(3.0))


def test_margin_of_harm_is_held_against_the_whole_interval() -> None:
    """Differences -1, 0 and 1: interval ±2.484; harm of 2 cannot be excluded, of 3 it can."""
    (row,) = paired_rows([result(seed, 10.0 + seed - 1, 10.0) for seed in range(3)])
    assert row.difference.high == pytest.approx(4.3027 / np.sqrt(3), abs=1e-3)
    assert not row.beats
    assert not row.harms_at_most(2.0)
    assert row.harms_at_most(3.0)


def test_interval_needs_different_seeds() -> None:
    """One seed, or the same twice, is no sample."""
    with pytest.raises(BadInput, match=r"at least 2 different seeds, found \[1\]"):
        paired_rows([result(1, 1.0, 2.0)])
    with pytest.raises(BadInput, match=r"found \[1, 1\]"):
        paired_rows([result(1, 1.0, 2.0)] * 2)


def test_constant_difference_has_an_interval_of_no_width() -> None:
    """Where every period differs by the same, so does every resample."""
    effect = paired_effect("x", [3.0] * 9, [1.0] * 9, np.random.default_rng(1))
    assert (effect.mean, effect.low, effect.high) == (2.0, 2.0, 2.0)


def test_blocks_widen_the_interval_of_a_series_that_lingers() -> None:
    """Eight periods up, eight down: drawn in blocks the mean is less certain."""
    gaps = np.repeat([1.0, -1.0, 1.0, -1.0], 8)
    single = paired_effect("x", gaps, 0 * gaps, np.random.default_rng(1), block=1)
    blocks = paired_effect("x", gaps, 0 * gaps, np.random.default_rng(1), block=8)
    # The mean of 32 independent draws has a standard error of 1 / sqrt(32) = 0.177.
    assert single.high == pytest.approx(1.96 * 0.177, abs=0.05)
    assert blocks.high > 1.5 * single.high


def test_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    """Of 200 series of independent noise around 0.3, about 95 % have 0.3 inside (nominal)."""
    rng = np.random.default_rng(7)
    inside = 0
    for _ in range(200):
        gaps = 0.3 + rng.normal(size=60)
        effect = paired_effect("x", gaps, np.zeros(60), rng, block=2)
        inside += effect.low <= 0.3 <= effect.high
    assert 0.88 <= inside / 200 <= 0.99


def test_unknown_periods_are_left_out() -> None:
    """NaN in either series takes the period out; nothing known gives nothing."""
    nan = float("nan")
    effect = paired_effect("x", [2.0, nan, 2.0], [1.0, 1.0, 1.0], np.random.default_rng(1))
    assert effect.mean == 1.0
    nothing = paired_effect("x", [nan], [1.0], np.random.default_rng(1))
    assert np.isnan(nothing.mean)


def test_evaluation_finds_the_gain_that_the_network_gives(toy: Any) -> None:
    """+2.5/12 from the second of four periods on, alike for every seed: exactly 1.875/12."""

    def make(seed: int) -> Any:
        plans = {1: [toy.tilt_plan("up", ("c0", 6.0, 8.0))]}
        return toy.Network(scatter=1.0 + seed), toy.Script(plans), Guard()

    settings = TrialSettings(4, LoopSettings(Mode.AUTONOMOUS, scoring=toy.scoring))
    rows = {row.kpi: row for row in evaluate(make, [1, 2, 3], settings)}
    assert rows["ue_throughput_mbps"].difference.mean == pytest.approx(1.875 / 12)
    assert rows["ue_throughput_mbps"].beats
    assert rows["objective"].better == "higher"
    late = {row.kpi: row for row in evaluate(make, [1, 2], settings, first_period=1)}
    assert late["objective"].difference.mean == pytest.approx(2.5 / 12)


def test_doing_nothing_gains_exactly_nothing(toy: Any) -> None:
    """On common random numbers the optimiser "none" differs from the baseline by zero."""
    settings = TrialSettings(3, LoopSettings(Mode.AUTONOMOUS, scoring=toy.scoring))
    rows = evaluate(
        lambda seed: (toy.Network(scatter=float(seed)), Silent(), Guard()), [1, 2], settings
    )
    for row in rows:
        assert (row.difference.mean, row.difference.low, row.difference.high) == (0.0, 0.0, 0.0)
        assert not row.beats
