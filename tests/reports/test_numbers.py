"""Numbers as people read them; expected texts written by hand."""

from __future__ import annotations

import math

import pytest

from cellhive.reports.numbers import (
    direction,
    format_change,
    format_clock,
    format_duration,
    format_interval,
    format_number,
    format_quantity,
    format_time_of_day,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (12.3456, "12.3"),
        (0.0012345, "0.00123"),
        (1234567.0, "1\u202f234\u202f567"),
        (-5.0, "−5"),
        (999.96, "1\u202f000"),
        (math.nan, "–"),
        (math.inf, "–"),
        (None, "–"),
        (2.5e-9, "2.50e−09"),
    ],
)
def test_numbers_have_three_digits_and_real_signs(value: float | None, text: str) -> None:
    """Significant digits, separators, signs and the unknown."""
    assert format_number(value) == text


def test_kept_zeros_make_columns_line_up() -> None:
    """Trailing zeros stay where values are compared."""
    assert format_number(11.0, 4, keep=True) == "11.00"


def test_ratios_are_percentages_and_their_changes_points() -> None:
    """A ratio of 0.5 is 50 %, a change of it by 0.012 is 1.2 percentage points."""
    assert format_quantity("handover_success_ratio", 0.5) == "50\u00a0%"
    assert format_change("handover_success_ratio", 0.012) == "+1.2\u00a0pp"


def test_degrees_stay_close_and_decibels_drop_the_milliwatt() -> None:
    """A tilt is 4°, and a change of dBm is in dB."""
    assert format_quantity("electrical_tilt_deg", 4.0) == "4°"
    assert format_change("rsrp_mean_dbm", -1.5) == "−1.5\u00a0dB"


def test_nearly_all_is_not_rounded_to_all() -> None:
    """99.96 % must not read 100 %."""
    assert format_quantity("rrc_setup_success_ratio", 0.9996) == "99.96\u00a0%"


def test_a_change_is_written_to_the_digits_its_interval_bears_out() -> None:
    """Half the interval is 0.68 pp, two digits of which are 0.01 pp."""
    change, interval = format_interval("handover_failure_ratio", 0.00729, 0.0005, 0.0141)
    assert change == "+0.73\u00a0pp"
    assert interval == "+0.05 to +1.41"


def test_a_change_without_an_interval_stands_alone() -> None:
    """An unknown interval gives no second text."""
    assert format_interval("ue_throughput_mbps", 1.0, math.nan, math.nan)[1] == ""


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("ue_throughput_mbps", 1.0, "better"),
        ("handover_failure_ratio", 1.0, "worse"),
        ("handover_failure_ratio", -1.0, "better"),
        ("prb_utilisation_ratio", 1.0, ""),
        ("objective", -1.0, "worse"),
        ("power_w", -1.0, "better"),
        ("ue_throughput_mbps", 0.0, ""),
        ("ue_throughput_mbps", math.nan, ""),
        ("no such KPI", 1.0, ""),
    ],
)
def test_better_and_worse_follow_the_schema(name: str, change: float, expected: str) -> None:
    """The direction of each KPI decides."""
    assert direction(name, change) == expected


def test_times_are_clocks_and_spans() -> None:
    """Clock, day and span."""
    assert format_clock(8.25 * 3600) == "08:15"
    assert format_clock(30 * 3600) == "day 2 06:00"
    assert format_time_of_day(24.0) == "day 2"
    assert [format_duration(s) for s in (5, 90, 3600, 5400, 200000)] == [
        "5 s", "2 min", "1 h", "1 h 30 min", "2 d 8 h",
    ]  # fmt: skip
