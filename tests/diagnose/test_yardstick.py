"""The contrasts and their yardsticks, against plain loops and published properties."""

import numpy as np
import pytest

from cellhive.diagnose.yardstick import Contrast, contrasts, moderate, pair_of_sums, scan


@pytest.mark.parametrize("contrast", [Contrast("bump", 2), Contrast("step", 5)])
def test_scan_is_the_plain_difference_of_means(contrast: Contrast) -> None:
    """Reference: the definition, written as a loop."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal((3, 60))
    values[1, 20:23] = np.nan
    got = scan(pair_of_sums(values, np.full(3, np.inf))[False], contrast)
    n, flank = contrast.length, contrast.flank
    for row in range(3):
        for at in range(flank, 60 - n - flank):
            inside = values[row, at : at + n]
            before, after = values[row, at - flank : at], values[row, at + n : at + n + flank]
            around = before if contrast.kind == "step" else np.r_[before, after]
            if np.isnan(np.r_[inside, around]).any():
                continue
            assert got[row, at] == pytest.approx(inside.mean() - around.mean(), abs=1e-12)


def test_ladder_stays_below_an_eighth_of_the_series() -> None:
    """Longer windows would leave nothing to compare with."""
    ladder = contrasts(720)
    assert max(one.length for one in ladder) <= 90
    assert [one.length for one in ladder if one.kind == "bump"][:4] == [1, 2, 3, 4]
    assert min(one.length for one in ladder if one.kind == "step") == 3


def test_moderation_draws_scales_together_and_adds_freedom() -> None:
    """Equal true scales: estimates move towards each other, none beyond the extremes."""
    rng = np.random.default_rng(1)
    freedom = np.full(50, 8.0)
    scale = np.sqrt(rng.chisquare(8, 50) / 8)
    drawn, total = moderate(scale, freedom)
    assert np.std(np.log(drawn)) < 0.5 * np.std(np.log(scale))
    assert (total > freedom).all()
    assert np.median(drawn) == pytest.approx(1.0, abs=0.1)


def test_few_rows_are_left_alone() -> None:
    """Three objects do not make a population."""
    scale = np.array([1.0, 2.0, 3.0])
    drawn, total = moderate(scale, np.full(3, 5.0))
    assert drawn.tolist() == scale.tolist()
    assert total.tolist() == [5.0, 5.0, 5.0]
