"""The report of a calibration draws what was found, and says what passes."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cellhive.ran.validation import COMPANIES, SETUPS, Calibration, Spread, checks
from cellhive.reports.validation.figures import difference_chart, distribution_chart
from cellhive.reports.validation.report import Validation, as_json, render_report, write_picture
from cellhive.reports.validation.words import db, verdict

SVG = "{http://www.w3.org/2000/svg}"
INH = SETUPS["InH"]


def agreeing(shift_db: float = 0.0) -> Calibration:
    """Return a calibration of the office that found the companies' mean, or that much more."""
    values = {
        quantity: np.interp(np.linspace(0, 100, 10_001), spread.percent, spread.mean) + shift_db
        for (scenario, quantity), spread in COMPANIES.items()
        if scenario == "InH"
    }
    return Calibration(INH, 1, values)


def points(chart: str, tone: str) -> list[tuple[float, float]]:
    """Return the points of the line of one tone."""
    root = ET.fromstring(chart)  # noqa: S314  # made by the code under test
    (line,) = (each for each in root.iter(f"{SVG}polyline") if each.get("class") == f"line {tone}")
    return [(float(x), float(y)) for x, y in (p.split(",") for p in line.get("points", "").split())]


def test_the_line_lies_on_the_mean_where_it_was_found() -> None:
    """Users that receive the companies' mean are drawn on it, inside the area and brackets."""
    found = agreeing()
    rows = [check for check in checks(found, COMPANIES) if check.quantity == "sinr_db"]
    chart = distribution_chart(found, COMPANIES["InH", "sinr_db"], rows)
    mean, drawn = points(chart, "baseline"), points(chart, "run")
    assert len(mean) == len(COMPANIES["InH", "sinr_db"].percent)
    at = np.interp([y for _, y in mean], *np.array(sorted((y, x) for x, y in drawn)).T)
    np.testing.assert_allclose(at, [x for x, _ in mean], atol=0.6)
    assert chart.count("<circle") == 5
    assert 'class="dot worse"' not in chart
    assert "5 %: −4.39 ± " in chart


def test_dots_outside_are_marked() -> None:
    """Two decibels above the mean of the office lies outside everywhere."""
    found = agreeing(2.0)
    rows = [check for check in checks(found, COMPANIES) if check.quantity == "sinr_db"]
    chart = distribution_chart(found, COMPANIES["InH", "sinr_db"], rows)
    assert chart.count('class="dot worse"') == 5
    assert "OUTSIDE, 1.80 dB beyond" in chart  # 5 %: mean -4.39, largest -4.19


def test_differences_are_from_the_mean() -> None:
    """A calibration one decibel above the mean is a level line at 1 dB."""
    chart = difference_chart(agreeing(1.0), COMPANIES["InH", "sinr_db"], "sinr_db")
    heights = [y for _, y in points(chart, "run")]
    assert max(heights) - min(heights) < 0.6
    assert heights[0] < points(chart, "c5")[0][1]


def test_tails_of_a_full_table_do_not_stretch_the_chart() -> None:
    """What single companies found beyond 1 and 99 % is left out of the picture."""
    kept = COMPANIES["InH", "sinr_db"]
    wide = Spread(
        kept.companies, (0.0, *kept.percent, 100.0), (-90.0, *kept.mean, 90.0),
        (-99.0, *kept.low, 80.0), (-80.0, *kept.high, 99.0),
    )  # fmt: skip
    found = agreeing()
    rows = [check for check in checks(found, COMPANIES) if check.quantity == "sinr_db"]
    assert distribution_chart(found, wide, rows) == distribution_chart(found, kept, rows)


def test_page_is_whole_and_says_the_result() -> None:
    """Six charts and fifteen rows per set-up, nothing loaded from outside, all assumptions."""
    page = render_report(Validation([agreeing()], COMPANIES))
    assert "15 of 15 percentiles lie inside" in page
    assert page.count('<svg xmlns="http://www.w3.org/2000/svg" class="chart"') == 6
    assert page.count("</tr>") == 16
    assert "Nothing is fitted" in page
    assert not re.search(r"""(?:src|href)=["'](?!#)""", page)
    assert "1 of 15" not in page
    failed = render_report(Validation([agreeing(2.0)], COMPANIES))
    assert "0 of 15 inside" in failed
    assert 'class="card worse"' in failed


def test_picture_is_one_svg_file(tmp_path: Path) -> None:
    """Well-formed, with a row per set-up, three distributions in it, and its own style."""
    path = tmp_path / "p.svg"
    named = replace(INH, title="A & B")
    write_picture(Validation([replace(agreeing(), setup=named), agreeing()], COMPANIES), path)
    root = ET.parse(path).getroot()  # noqa: S314  # made by the code under test
    assert root.tag == f"{SVG}svg"
    lines = [each for each in root.iter(f"{SVG}polyline") if each.get("class") == "line run"]
    assert len(lines) == 6
    assert "A & B" in [text.text for text in root.iter(f"{SVG}text")]
    assert [child.tag for child in root][:2] == [f"{SVG}style", f"{SVG}title"]
    assert len(list(root.iter(f"{SVG}svg"))) == 1


def test_json_tells_every_check() -> None:
    """Figures, the verdict of each, and of all."""
    told = as_json(Validation([agreeing(2.0)], COMPANIES, "table.csv"))
    assert told["passes"] is False
    assert len(told["checks"]) == 15
    assert told["checks"][5]["quantity"] == "sinr_db"
    assert told["checks"][5]["found_db"] == pytest.approx(-2.39, abs=0.02)
    assert told["reference"] == "Companies: table.csv."


def test_words_for_numbers() -> None:
    """A real minus sign, no minus zero, and how far beyond."""
    assert (db(-1.005), db(-0.001), db(12.3)) == ("−1.00", "0.00", "12.30")
    check = checks(agreeing(), COMPANIES)[0]
    assert verdict(check) == "inside"
    assert verdict(check._replace(found_db=check.high_db + 0.25)) == "inside, 0.25 dB beyond"
    assert verdict(check._replace(found_db=check.low_db - 0.75)) == "OUTSIDE, 0.75 dB beyond"
