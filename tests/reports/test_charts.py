"""Charts are well-formed SVG that tell the truth about gaps, limits and names."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellhive.reports.bars import Bar, bar_chart, histogram
from cellhive.reports.charts import Line, Mark, cdf_chart, compare_lines, line_chart, sparkline
from cellhive.reports.drawing.scales import (
    MAX_POINTS,
    calendar_ticks,
    hour_ticks,
    nice_limits,
    nice_step,
    nice_ticks,
    thin,
)
from cellhive.reports.drawing.svg import Look, standalone_svg

SVG = "{http://www.w3.org/2000/svg}"
HOURS = np.arange(8.0)


def parsed(chart: str) -> ET.Element:
    """Return a chart as a tree; fails where it is not well-formed XML."""
    return ET.fromstring(chart)  # noqa: S314  # made by the code under test


def lines_of(chart: str, tone: str) -> list[list[tuple[float, float]]]:
    """Return the points of every drawn stretch of one series."""
    found = []
    for line in parsed(chart).iter(f"{SVG}polyline"):
        if line.get("class") == f"line {tone}":
            pairs = [point.split(",") for point in (line.get("points") or "").split()]
            found.append([(float(x), float(y)) for x, y in pairs])
    return found


def titles_of(chart: str) -> list[str]:
    """Return every tooltip of a chart."""
    return [title.text or "" for title in parsed(chart).iter(f"{SVG}title")]


def test_unknown_values_are_gaps_and_lone_points_are_dots() -> None:
    """NaN breaks the line, and a value between two NaN is not lost."""
    y = [1, 2, math.nan, 4, math.nan, 6, 7, 8]
    chart = line_chart([Line("s", HOURS, y, tone="run")], title="t")
    assert [len(part) for part in lines_of(chart, "run")] == [2, 3]
    assert chart.count('class="dot run"') == 1


def test_a_line_is_broken_where_rows_are_missing() -> None:
    """A distance above ``max_gap`` is a gap although no value is NaN."""
    x = [0.0, 1, 2, 10, 11]
    chart = line_chart([Line("s", x, [1, 2, 3, 4, 5], tone="run", max_gap=2.0)], title="t")
    assert [len(part) for part in lines_of(chart, "run")] == [3, 2]


def test_points_lie_where_the_axis_says() -> None:
    """A straight line from 0 to 10 runs from the lower left to the upper right corner."""
    look = Look(width=720, height=260)
    chart = line_chart([Line("s", [0.0, 5, 10], [0, 5, 10], tone="run")], title="t", look=look)
    ((first, middle, last),) = lines_of(chart, "run")
    assert first == (58.0, 226.0)  # left margin, height less bottom margin
    assert last == (706.0, 46.0)  # width less right margin, top margin
    assert middle == ((58.0 + 706.0) / 2, (226.0 + 46.0) / 2)


def test_all_text_is_escaped() -> None:
    """Names from outside cannot become markup."""
    bad = '<b onload="x">&'
    charts = [
        line_chart([Line(bad, HOURS, HOURS), Line(bad, HOURS, HOURS)], title=bad, unit=bad,
                   marks=[Mark(1.0, bad), Mark(2.0, bad, end=3.0)],
                   look=Look(reference=1.0, reference_label=bad)),
        bar_chart([Bar(bad, 1.0, 0.5, 2.0, note=bad)], title=bad, unit=bad),
        histogram([1, 2, 3], title=bad, unit=bad),
        sparkline([1, 2], label=bad),
    ]  # fmt: skip
    for chart in charts:
        assert "<b" not in chart
        assert bad in "".join(parsed(chart).itertext())


def test_hovering_tells_every_series_with_units() -> None:
    """Each place along the axis names time and all values."""
    chart = line_chart(compare_lines(HOURS, HOURS + 1, HOURS), title="t", unit="Mbit/s")
    told = [t for t in titles_of(chart) if t.startswith("3 h")]
    assert told == ["3 h\ndo nothing: 3\u00a0Mbit/s\nwith CellHive: 4\u00a0Mbit/s"]


def test_without_a_baseline_there_is_no_legend() -> None:
    """One line needs no legend."""
    chart = line_chart(compare_lines(HOURS, HOURS, []), title="t")
    assert "do nothing" not in chart
    assert 'class="legend"' not in chart


@pytest.mark.parametrize("values", [[], [math.nan] * 3])
def test_nothing_to_draw_is_said(values: list[float]) -> None:
    """No data is words, not an empty picture or an error."""
    assert "no data" in line_chart([Line("s", HOURS[: len(values)], values)], title="t")
    assert "no data" in histogram(values, title="t")


@pytest.mark.parametrize("values", [[3.0], [0.0, 0.0], [1e-12, 1e-12], [1e300, 1e300]])
def test_flat_and_single_values_are_drawn(values: list[float]) -> None:
    """A flat series has an axis with room around it."""
    chart = line_chart([Line("s", np.arange(len(values)), values)], title="t")
    assert "nan" not in chart
    assert "inf" not in chart


def test_calendar_axes_keep_the_wall_clock() -> None:
    """Times are shown as given, whatever the machine's time zone."""
    times = [datetime(2026, 3, 1, 22) + timedelta(hours=h) for h in range(8)]  # wall clock
    chart = line_chart([Line("s", times, HOURS)], title="t")
    texts = [t.text for t in parsed(chart).iter(f"{SVG}text")]
    assert "2 Mar" in texts
    assert "23:00" in texts
    assert any(t.startswith("2026-03-01 22:00") for t in titles_of(chart))


def test_datetime64_and_datetime_are_drawn_alike() -> None:
    """Both kinds of time give the same picture."""
    times = [datetime(2026, 3, 1) + timedelta(hours=h) for h in range(8)]  # wall clock
    one = line_chart([Line("s", times, HOURS)], title="t")
    other = line_chart([Line("s", np.array(times, "datetime64[s]"), HOURS)], title="t")
    assert one == other


def test_marks_outside_the_axis_are_left_out() -> None:
    """A mark after the end draws nothing."""
    marks = [Mark(99.0, "late"), Mark(50.0, "late", end=60.0), Mark(4.0, "here")]
    chart = line_chart([Line("s", HOURS, HOURS)], title="t", marks=marks)
    assert "here" in chart
    assert "late" not in chart


def test_bands_are_filled_between_low_and_high() -> None:
    """An interval becomes one polygon of twice as many points."""
    chart = line_chart([Line("s", HOURS, HOURS, low=HOURS - 1, high=HOURS + 1)], title="t")
    (band,) = parsed(chart).iter(f"{SVG}polygon")
    assert len((band.get("points") or "").split()) == 2 * HOURS.size


def test_bars_start_at_zero_on_either_side() -> None:
    """A negative bar ends where a positive one begins."""
    chart = bar_chart([Bar("a", 2.0), Bar("b", -1.0), Bar("unknown", math.nan)], title="t")
    bars = [r for r in parsed(chart).iter(f"{SVG}rect") if "bar" in (r.get("class") or "")]
    (up, down) = ((float(b.get("x") or 0), float(b.get("width") or 0)) for b in bars)
    assert down[0] + down[1] == pytest.approx(up[0], abs=0.11)
    assert up[1] == pytest.approx(2 * down[1], abs=0.3)


def test_a_histogram_counts_every_known_value() -> None:
    """The columns' counts add up; unknown values are told."""
    chart = histogram([1, 1, 2, 3, math.nan], title="t", bins=4)
    counts = [int(t.rsplit(": ", 1)[1]) for t in titles_of(chart) if ": " in t]
    assert sum(counts) == 4
    assert "1 unknown left out" in chart


def test_a_distribution_ends_at_all_values() -> None:
    """The share reaches 100 %."""
    chart = cdf_chart([("a", [3.0, 1.0, 2.0, math.nan])], title="t", unit="dB")
    assert any("a: 100\u00a0%" in t and t.startswith("3 dB") for t in titles_of(chart))


def test_a_standalone_file_carries_its_style() -> None:
    """A chart saved on its own has colours."""
    text = standalone_svg(line_chart([Line("s", HOURS, HOURS)], title="t"))
    assert parsed(text).find(f"{SVG}style") is not None


def test_sparklines_of_nothing_are_empty() -> None:
    """No known value gives no line and no error."""
    assert "polyline" not in sparkline([math.nan], label="x")
    assert "nan" not in sparkline([1.0, math.nan, 2.0, 3.0], label="x")


@given(
    st.floats(-1e6, 1e6),
    st.floats(1e-3, 1e6),
    st.integers(2, 12),
)
def test_ticks_are_round_inside_and_not_too_many(low: float, span: float, count: int) -> None:
    """Steps are 1, 2 or 5 times a power of ten; ticks lie within the limits."""
    high = low + span
    step = nice_step(span, count)
    lead = float(f"{step:e}".split("e")[0])
    assert lead == pytest.approx(round(lead))
    assert round(lead) in (1, 2, 5)
    ticks = nice_ticks(low, high, count)
    assert len(ticks) <= count + 1
    assert all(low - 1e-6 * step <= t.at <= high + 1e-6 * step for t in ticks)
    a, b = nice_limits(low, high, count=count)
    assert a <= low + 1e-6 * step
    assert b >= high - 1e-6 * step


def test_hours_and_days_are_cut_where_people_cut_them() -> None:
    """A day in steps of three hours, a month in weeks on Mondays."""
    assert [t.at for t in hour_ticks(0, 24, 8)] == [0, 3, 6, 9, 12, 15, 18, 21, 24]
    assert [t.label for t in hour_ticks(22, 26, 4, clock=True)] == [
        "22:00", "23:00", "day 2", "01:00", "02:00",
    ]  # fmt: skip
    march = datetime(2026, 3, 1, tzinfo=None).replace(tzinfo=None)  # wall clock
    start = (march - datetime(1970, 1, 1)).total_seconds()  # wall clock
    labels = [t.label for t in calendar_ticks(start, start + 30 * 86400, 6)]
    assert labels == ["2 Mar", "9 Mar", "16 Mar", "23 Mar", "30 Mar"]
    years = [t.label for t in calendar_ticks(start, start + 700 * 86400, 8)]
    assert years == ["Apr 2026", "Jul 2026", "Oct 2026", "Jan 2027", "Apr 2027", "Jul 2027",
                     "Oct 2027", "Jan 2028"]  # fmt: skip


@given(st.integers(MAX_POINTS + 1, 3 * MAX_POINTS), st.integers(0, 2**31))
def test_thinning_keeps_peaks_gaps_and_order(size: int, seed: int) -> None:
    """However long a series is, its extremes and its gaps are drawn."""
    rng = np.random.default_rng(seed)
    y = rng.normal(size=size)
    gap = int(rng.integers(0, size - 50))
    y[gap : gap + 50] = np.nan
    kept = thin(y)
    assert kept.size <= MAX_POINTS + 2
    assert np.all(np.diff(kept) > 0)
    assert np.nanmax(y[kept]) == np.nanmax(y)
    assert np.nanmin(y[kept]) == np.nanmin(y)
    assert np.isnan(y[kept]).any()


def test_long_series_stay_small() -> None:
    """A hundred thousand points make a picture of bounded size."""
    x = np.arange(100_000.0)
    chart = line_chart([Line("s", x, np.sin(x / 50), tone="run")], title="t")
    assert sum(len(part) for part in lines_of(chart, "run")) <= MAX_POINTS + 2
    assert len(re.findall('class="strip"', chart)) <= 400


def test_a_unit_that_the_title_has_is_not_written_again() -> None:
    """Exports often name the unit in the column; a last letter is no unit."""
    lines = [Line("A", np.arange(3.0), np.arange(3.0))]
    for title, unit in (("drop_rate_%", "%"), ("Throughput [Mbit/s]", "Mbit/s"), ("t (s)", "s")):
        assert 'class="unit"' not in line_chart(lines, title=title, unit=unit)
    assert 'class="unit"' in line_chart(lines, title="Changes", unit="s")


def test_a_legend_of_long_names_stays_in_the_picture() -> None:
    """Four names of 90 letters: each keeps its end, by which they differ."""
    names = [f"{'SubNetwork=North,' * 5}Cell={i}" for i in range(4)]
    chart = line_chart([Line(name, np.arange(3.0), np.arange(3.0)) for name in names], title="v")
    places = [float(x) for x in re.findall(r'<text class="legend" x="([-\d.]+)"', chart)]
    assert len(places) == 4
    assert min(places) > 0
    for i in range(4):
        assert re.search(rf'class="legend"[^>]*>…[^<]*Cell={i}<', chart)
