"""The comparison with ns-3 as screen, JSON and page, and the scatter plot in it."""

from __future__ import annotations

import io
import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console

from cellhive.ran.validation.a3_study import A3Setting, Comparison, Condition, Rates, StudyRow
from cellhive.reports.scatter import Dots, log_ticks, scatter_chart
from cellhive.reports.validation.handover import (
    handover_json,
    handover_page,
    handover_screen,
    trends_of,
)


def comparison(factor: float = 1.0) -> Comparison:
    """Return a made-up comparison in which the twin has so many times the handovers."""
    rows, twin = [], []
    for part, speed in (("A", 16.0), ("A", 30.0), ("B", 8.0), ("B", 16.0)):
        for ttt_s, handovers in ((0.1, 12.0), (1.0, 4.0)):
            rows.append(
                StudyRow(part, Condition(200, speed), A3Setting(3.0, ttt_s), handovers + speed / 10,
                         5.0, ttt_s, 9.0)
            )  # fmt: skip
            twin.append(Rates(factor * (handovers + speed / 10), 0.5 * ttt_s, 0.0, 1 - ttt_s, 20.0))
    return Comparison(tuple(rows), tuple(twin), (1, 2))


def shown(one: Comparison, alternatives: dict[str, Comparison] | None = None) -> str:
    """Return the screen as text."""
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(handover_screen(one, alternatives or {}))
    return console.export_text()


def test_the_screen_says_what_was_found() -> None:
    """Verdict, parts, trends with their units, failures as a share, and the caveat."""
    text = shown(comparison())
    assert "Handovers are within the limits over 8 rows" in text
    assert "100 → 120" in text
    assert re.search(r"part A +4 ", text)
    assert re.search(r"part B +4 ", text)
    assert "time to trigger [ms]" in text
    assert "0.50 ×" in text
    assert "not validated" in text


def test_the_screen_says_when_limits_are_left() -> None:
    """A twin with half the handovers is outside, whatever the order."""
    assert "outside the limits" in shown(comparison(0.5))


def test_alternatives_have_a_table_of_their_own() -> None:
    """What each choice gives stands beside its name."""
    text = shown(comparison(), {"another world": comparison(0.5)})
    assert re.search(r"another world +8 +1\.000 +0\.500", text)


def test_json_is_complete_and_strict() -> None:
    """Summary, trends and every row, and no number that JSON does not know."""
    one = comparison()
    document = json.loads(handover_json(one, {"half": comparison(0.5)}), parse_constant=pytest.fail)
    assert document["summary"]["all rows"]["within_limits"] is True
    assert document["summary"]["part A"]["rows"] == 4
    assert document["alternatives"]["half"]["handover_median_ratio"] == pytest.approx(0.5)
    assert len(document["rows"]) == 8
    assert document["rows"][0]["ns3"]["setting"]["time_to_trigger_s"] == 0.1
    flat = Comparison(one.rows[:1], one.twin[:1], (1,))
    single = json.loads(handover_json(flat, {}), parse_constant=pytest.fail)
    assert single["summary"]["part A"]["handover_rank_correlation"] is None


def test_trends_take_settings_from_part_a_and_speeds_from_part_b() -> None:
    """Part A sweeps settings; part B has runs enough to tell speeds apart."""
    trends = trends_of(comparison())
    assert [point.value for point in trends["time to trigger [ms]"]] == [100.0, 1000.0]
    assert [point.rows for point in trends["time to trigger [ms]"]] == [2, 2]
    assert [point.value for point in trends["speed [m/s]"]] == [8.0, 16.0]


def test_the_page_is_whole_and_loads_nothing() -> None:
    """Charts, tables and caveat are in one file without an address outside."""
    page = handover_page(comparison(), {"as reported": comparison()})
    assert page.count("<svg") >= 2 + 9
    assert "The absolute level of failures is not validated" in page
    assert "Other choices" in page
    assert not re.findall(r'(?:src|href)="(?!#)[^"]+"', page)
    assert "Other choices" not in handover_page(comparison(), {})


def dots(svg: str) -> list[tuple[float, float]]:
    """Return the centres of the points of a scatter plot, without those of its legend."""
    root = ElementTree.fromstring(svg)  # noqa: S314  # our own chart
    found = [c for c in root.iter("{http://www.w3.org/2000/svg}circle") if len(c)]
    return [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in found]


def test_a_dot_stands_where_its_logarithm_says() -> None:
    """Between 1 and 100, 10 is half way; equal values lie on the diagonal."""
    group = Dots("16 m/s", [1.0, 10.0, 100.0, 10.0], [1.0, 10.0, 100.0, 1.0])
    low, middle, high, below = dots(scatter_chart([group], title="t", axes=("x", "y")))
    assert middle[0] == pytest.approx((low[0] + high[0]) / 2, abs=0.1)
    assert middle[1] == pytest.approx((low[1] + high[1]) / 2, abs=0.1)
    assert below == (middle[0], low[1])
    assert high[1] < low[1], "up is up"


def test_what_has_no_logarithm_is_counted_in_the_title() -> None:
    """A rate of zero is left out, and the title says so; without any there is no data."""
    chart = scatter_chart([Dots("a", [0.0, 2.0], [1.0, 3.0])], title="Failures", axes=("x", "y"))
    assert "Failures (1 without events left out)" in chart
    assert len(dots(chart)) == 1
    assert "no data" in scatter_chart([Dots("a", [0.0], [0.0])], title="t", axes=("x", "y"))


def test_text_in_a_scatter_plot_is_escaped() -> None:
    """Names cannot break out of the picture."""
    chart = scatter_chart(
        [Dots("<b>", [1.0, 2.0], [1.0, 2.0], ["<i>&", "x"])], title="<t>", axes=("<x>", "y"),
        band=(0.8, 1.25),
    )  # fmt: skip
    assert ElementTree.fromstring(chart) is not None  # noqa: S314  # our own chart
    assert "<b>" not in chart
    assert "<i>" not in chart


def test_log_ticks_are_one_two_five() -> None:
    """Between 0.3 and 30: 0.5, 1, 2, 5, 10, 20."""
    assert log_ticks(np.log10(0.3), np.log10(30)) == pytest.approx([0.5, 1, 2, 5, 10, 20])
