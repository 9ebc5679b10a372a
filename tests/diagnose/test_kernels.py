"""The compiled loops against the same formulas written plainly."""

from __future__ import annotations

import numpy as np
import pytest

from cellhive.core.types import Floats
from cellhive.diagnose import kernels
from cellhive.diagnose.cycles import quantiles
from cellhive.diagnose.yardstick import Contrast, Sums, contrasts, scan, strongest


def plain_contrast(row: Floats, contrast: Contrast) -> Floats:
    """Return a contrast at every position, window by window."""
    out = np.full(row.size, np.nan)
    length, flank = contrast.length, contrast.flank
    for t in range(row.size - length + 1):
        inside, before = row[t : t + length], row[max(t - flank, 0) : t]
        after = row[t + length : t + length + flank]
        beside = before if contrast.kind == "step" else np.concatenate([before, after])
        wanted = flank if contrast.kind == "step" else 2 * flank
        known = [np.sum(~np.isnan(part)) for part in (inside, beside, before, after)]
        if known[0] < max(0.6 * length, 1) or known[1] < max(0.6 * wanted, 1):
            continue
        if contrast.kind == "bump" and min(known[2:]) < 0.25 * flank:
            continue
        out[t] = np.nanmean(inside) - np.nanmean(beside)
    return out


@pytest.fixture(scope="module")
def rows() -> Floats:
    """Rows with few gaps, many gaps, a long gap and nothing."""
    rng = np.random.default_rng(3)
    values = rng.normal(5.0, 2.0, (5, 90))
    values[1, rng.random(90) < 0.4] = np.nan
    values[2, 20:55] = np.nan
    values[3] = np.nan
    return values


@pytest.mark.parametrize("contrast", [*contrasts(90), Contrast("bump", 40), Contrast("step", 60)])
def test_a_contrast_is_the_difference_of_means_at_every_position(
    rows: Floats, contrast: Contrast
) -> None:
    """Window by window, with gaps of every kind."""
    expected = np.array([plain_contrast(row, contrast) for row in rows])
    sums = Sums.of(rows)
    np.testing.assert_allclose(scan(sums, contrast), expected, rtol=0, atol=1e-12)
    weight = 0.5 + 0.5 * (np.arange(90) % 3 == 0)
    size, position = strongest(sums, contrast, weight)
    for row, line in enumerate(expected * weight):
        if np.isnan(line).all():
            assert np.isnan(size[row])
        else:
            assert abs(size[row]) == pytest.approx(np.nanmax(np.abs(line)), abs=1e-12)
            assert size[row] == pytest.approx(line[position[row]], abs=1e-12)


def test_running_sums_limit_each_value_and_skip_gaps() -> None:
    """By hand."""
    values = np.array([[1.0, np.nan, 9.0, -9.0]])
    sums = Sums.of(values, np.array([4.0]))
    assert sums.value.tolist() == [[0.0, 1.0, 1.0, 5.0, 1.0]]
    assert sums.count.tolist() == [[0.0, 1.0, 1.0, 2.0, 3.0]]


def test_quantiles_of_distances_are_those_of_sorted_distances(rows: Floats) -> None:
    """The walk outwards from the centre visits them in order."""
    ordered = np.sort(rows, axis=1)
    count = np.sum(~np.isnan(ordered), axis=1)
    shares = np.array([0.1, 0.5, 0.97])
    for centre in (-3.0, 4.7, 5.0, 30.0):
        out = np.empty((5, 3))
        kernels.distance_quantiles(ordered, count, np.full(5, centre), shares, out)
        expected = quantiles(np.abs(rows - centre), tuple(shares.tolist())).T
        np.testing.assert_allclose(out, expected, rtol=1e-12)


def test_edges_are_where_the_means_differ_most() -> None:
    """By eye; nothing known has no edges."""
    row = np.array([0.0, 0.1, 5.0, np.nan, 5.2, 0.1, 0.0, -0.1])
    room = np.empty((2, row.size + 1))
    assert kernels.best_edges(row, 100, (1, 4), (3, 7), room) == (102, 105)
    nothing = np.full(8, np.nan)
    assert kernels.best_edges(nothing, 100, (1, 4), (3, 7), room) == (-1, -1)


def test_a_median_leaves_gaps_out() -> None:
    """By hand."""
    assert kernels.median_of_known(np.array([4.0, np.nan, 1.0, 2.0, 9.0])) == 3.0
    assert np.isnan(kernels.median_of_known(np.full(3, np.nan)))
    assert np.isnan(kernels.median_of_known(np.zeros(0)))
