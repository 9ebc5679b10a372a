"""Weight, mean and scatter: pooled, lagged, forgotten, and with values missing."""

from __future__ import annotations

import numpy as np
import pytest
from linear_models import names_of, random_model, samples_of

from cellhive.causal.statistics import Statistics, cell_levels, statistics_of
from cellhive.core.errors import BadInput


def test_three_samples_by_hand() -> None:
    """Mean and scatter of three samples are what paper says."""
    seen = statistics_of(np.array([[0.0, 1.0], [1.0, 3.0], [2.0, 8.0]]), ["a", "b"])
    assert seen.weight == 3.0
    np.testing.assert_allclose(seen.mean, [1.0, 4.0])
    np.testing.assert_allclose(seen.scatter, [[2.0, 7.0], [7.0, 26.0]])
    np.testing.assert_allclose(seen.deviation, np.sqrt([2 / 3, 26 / 3]))


def test_lagged_columns_stand_behind_the_present_ones() -> None:
    """Column V + k is variable k one period ago, in every cell by itself."""
    panel = np.arange(4.0)[:, None, None] * 10 + np.array([[0.0], [5.0]])
    seen = statistics_of(panel, ["a"], lags=2)
    assert seen.columns == 3
    assert seen.weight == 4.0
    np.testing.assert_allclose(seen.mean, [27.5, 17.5, 7.5])
    assert [seen.label(k) for k in range(3)] == ["a", "a 1 period ago", "a 2 periods ago"]


def test_merging_is_seeing_both() -> None:
    """Two halves merged are the whole, and forgetting is weighing less."""
    rng = np.random.default_rng(1)
    data = rng.standard_normal((50, 3)) + np.array([5.0, -1.0, 0.0])
    names = names_of(3)
    halves = statistics_of(data[:20], names).merged(statistics_of(data[20:], names))
    whole = statistics_of(data, names)
    np.testing.assert_allclose(halves.mean, whole.mean)
    np.testing.assert_allclose(halves.scatter, whole.scatter)
    faded = statistics_of(data[:20], names).forgotten(0.5).merged(statistics_of(data[20:], names))
    weights = np.repeat([0.5, 1.0], [20, 30])
    mean = np.average(data, axis=0, weights=weights)
    assert faded.weight == 40.0
    np.testing.assert_allclose(faded.mean, mean)
    np.testing.assert_allclose(faded.scatter, (data - mean).T @ ((data - mean) * weights[:, None]))


def test_lasting_differences_between_cells_can_be_taken_off() -> None:
    """Two variables that only differ between cells together have nothing to do with each other."""
    rng = np.random.default_rng(2)
    place = rng.standard_normal(40) * 10
    panel = rng.standard_normal((30, 40, 2)) + place[None, :, None]
    pooled = statistics_of(panel, ["a", "b"]).correlation()[0, 1]
    within = statistics_of(panel, ["a", "b"], within_cells=True)
    assert pooled > 0.9
    assert abs(within.correlation()[0, 1]) < 0.1
    assert within.weight == 30 * 40 - 40


def test_missing_values_are_expected_from_what_was_seen() -> None:
    """Values lost depending on another variable bias a mean of the rest, but not this."""
    rng = np.random.default_rng(3)
    a = rng.standard_normal(4000)
    data = np.stack([a, 2 * a + 0.5 * rng.standard_normal(4000)], axis=1)
    lossy = data.copy()
    lossy[a > 0.0, 1] = np.nan
    seen = statistics_of(lossy, ["a", "b"])
    left = np.nanmean(lossy[:, 1])
    assert abs(seen.mean[1] - data[:, 1].mean()) < 0.1 < abs(left - data[:, 1].mean())
    slope = seen.scatter[0, 1] / seen.scatter[0, 0]
    assert slope == pytest.approx(2.0, abs=0.05)
    assert seen.scatter[1, 1] / seen.weight == pytest.approx(4.25, rel=0.1)
    assert 2000 < seen.weight < 3000


def test_what_is_expected_can_come_from_before() -> None:
    """A period with a variable missing throughout half the cells leans on earlier periods."""
    rng = np.random.default_rng(4)
    data = samples_of(random_model(4, 2.0, rng), 3000, rng)
    before = statistics_of(data[:2000], names_of(4))
    new = data[2000:].copy()
    new[::2, 2] = np.nan
    seen = statistics_of(new, names_of(4), before=before)
    whole = statistics_of(data[2000:], names_of(4))
    np.testing.assert_allclose(seen.scatter / seen.weight, whole.scatter / whole.weight, atol=0.15)


@pytest.mark.parametrize(
    ("panel", "names", "found"),
    [
        (np.zeros((5, 2)), ["a"], "shape"),
        (np.zeros((5, 2)), ["a", "a"], "more than once"),
        (np.full((5, 1), np.inf), ["a"], "infinite"),
        (np.array([[1.0, np.nan], [2.0, np.nan]]), ["a", "b"], "none of b"),
    ],
)
def test_what_is_no_panel_is_refused(panel: np.ndarray, names: list[str], found: str) -> None:
    """A wrong shape, doubled names, infinities and variables never seen are named."""
    with pytest.raises(BadInput, match=found):
        statistics_of(panel, names)


def test_lags_need_as_many_periods() -> None:
    """Too many lags, and too few periods, are refused."""
    with pytest.raises(BadInput, match="0 to 3 lags"):
        statistics_of(np.zeros((9, 1)), ["a"], lags=4)
    with pytest.raises(BadInput, match="more than 2 periods"):
        statistics_of(np.zeros((2, 1)), ["a"], lags=2)


def test_constants_and_copies_are_named() -> None:
    """A column that never changes, or that others determine, is refused by its name."""
    rng = np.random.default_rng(5)
    a, b = rng.standard_normal((2, 100))
    with pytest.raises(BadInput, match="do not vary: still"):
        _of(a=a, still=np.full(100, 7.0)).correlation()
    with pytest.raises(BadInput, match="follow from others: a, b, sum"):
        _of(a=a, b=b, sum=3 * a - b).correlation()
    with pytest.raises(BadInput, match="more than two samples"):
        statistics_of(np.zeros((1, 1)), ["a"]).correlation()


def _of(**columns: np.ndarray) -> Statistics:
    return statistics_of(np.stack(list(columns.values()), axis=1), list(columns))


def test_gaps_at_low_values_shift_no_cell() -> None:
    """Where low values of y are missing, its cells' means are those of y, not of what is left."""
    rng = np.random.default_rng(31)
    x = rng.standard_normal((300, 8, 1)) + np.linspace(-2.0, 2.0, 8)[:, None]
    y = 3.0 * x + 0.5 * rng.standard_normal(x.shape)
    panel = np.concatenate([x, y], axis=2)
    whole = panel.mean(axis=0)
    panel[:, :, 1] = np.where(x[:, :, 0] < -1.0, np.nan, panel[:, :, 1])
    np.testing.assert_allclose(cell_levels(panel), whole, atol=0.12)
    left = np.nanmean(panel, axis=0)
    assert np.abs(left[:, 1] - whole[:, 1]).max() > 2.0
    seen = statistics_of(panel, ["x", "y"], lags=1, within_cells=True)
    slopes = np.linalg.solve(seen.scatter[:, [0, 2, 3]][[0, 2, 3]], seen.scatter[[0, 2, 3], 1])
    assert (np.abs(slopes - [3.0, 0.0, 0.0]) < [0.06, 0.25, 0.08]).all()
