"""Bandwidth, back-off and histograms, each by numbers worked out by hand."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from cellhive.adapters.quic.pacing import Histogram, TokenBucket, back_off_s


def test_a_bucket_lets_a_burst_through_and_then_holds_the_average() -> None:
    """At 100 bytes/s with a burst of 50, 250 bytes in pieces of 50 take about 2 s."""
    bucket = TokenBucket(rate_bytes_s=100.0, burst_bytes=50.0)
    now_s, sent_at = 10.0, []
    for _ in range(5):
        while wait_s := bucket.wait_s(50, now_s):
            now_s += wait_s
        sent_at.append(round(now_s, 2))
    assert sent_at == pytest.approx([10.0, 10.01, 10.51, 11.01, 11.51], abs=0.05)


def test_no_limit_means_no_wait() -> None:
    """An endless rate never waits."""
    bucket = TokenBucket(float("inf"), float("inf"))
    assert [bucket.wait_s(1 << 30, 0.0) for _ in range(3)] == [0.0, 0.0, 0.0]


def test_waits_double_up_to_a_bound_and_differ_between_nodes() -> None:
    """Each wait lies between half and all of 0.1, 0.2, 0.4, 0.8, 1, 1 s."""
    one = list(islice(back_off_s(np.random.default_rng(1), first_s=0.1, most_s=1.0), 6))
    two = list(islice(back_off_s(np.random.default_rng(2), first_s=0.1, most_s=1.0), 6))
    for waits in (one, two):
        for wait, most in zip(waits, (0.1, 0.2, 0.4, 0.8, 1.0, 1.0), strict=True):
            assert most / 2 <= wait <= most
    assert one != two


def test_a_histogram_counts_by_bucket() -> None:
    """A value on a bound belongs below it; what is above all bounds has a bucket of its own."""
    histogram = Histogram(bounds=(0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(value)
    assert histogram.snapshot() == {
        "bounds": [0.1, 1.0], "counts": [2, 1, 1], "count": 4, "sum": pytest.approx(7.65),
    }  # fmt: skip
