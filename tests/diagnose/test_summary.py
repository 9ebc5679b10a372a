"""Figures of KPIs by hand."""

import math

import numpy as np
import pytest

from cellhive.diagnose.cycles import Panel
from cellhive.diagnose.summary import summary_of


def test_figures_by_hand() -> None:
    """1 to 21 has mean and median 11, 5 % point 2, 95 % point 20, and climbs by 14 in thirds."""
    values = np.vstack([np.arange(1.0, 22.0), np.full(21, 5.0), np.full(21, np.nan)])
    one = summary_of(Panel("drop", ("a", "b", "c"), 0.0, 1.0, values, "%"), {"drop": "lower"})
    first = one.objects[0]
    assert (first.values, first.mean, first.median, first.p5, first.p95) == (21, 11, 11, 2, 20)
    assert first.last == 21
    assert first.trend == 14
    assert one.worst == ("a", "b")
    assert one.objects[2].values == 0
    assert math.isnan(one.objects[2].median)
    assert one.network.mean == pytest.approx((231 + 105) / 42)


def test_the_median_of_an_even_count_lies_between_the_middle_two() -> None:
    """Two cells, or two days, are the usual case of small exports; by hand: (0 + 180) / 2."""
    values = np.array([[0.0, 180.0, np.nan, np.nan], [1.0, 2.0, 10.0, 4.0]])
    one = summary_of(Panel("users", ("a", "b"), 0.0, 1.0, values), {})
    assert [each.median for each in one.objects] == [90.0, 3.0]


def test_no_direction_no_worst_and_no_trend_from_few_values() -> None:
    """Nothing is called bad that is not known to be."""
    one = summary_of(Panel("users", ("a",), 0.0, 1.0, np.arange(6.0)[None, :]), {})
    assert one.worst == ()
    assert math.isnan(one.objects[0].trend)


def test_the_worst_are_not_named_where_many_are_equally_bad() -> None:
    """Six of eight cells without traffic, or all cells alike: naming five would mislead."""
    names, better = tuple("abcdefgh"), {"throughput": "higher"}
    values = np.zeros((8, 5))
    assert summary_of(Panel("throughput", names, 0.0, 1.0, values), better).worst == ()
    values[6:] = 3.0
    assert summary_of(Panel("throughput", names, 0.0, 1.0, values), better).worst == ()
    values[2:6] = 2.0
    assert summary_of(Panel("throughput", names, 0.0, 1.0, values), better).worst[:2] == ("a", "b")
