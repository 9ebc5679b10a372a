"""The large-scale calibration of TR 38.901 §7.8.1, as 21 companies ran it in R1-165974."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cellhive.adapters.calibration_csv import read_companies
from cellhive.ran.validation import (
    COMPANIES,
    PERCENT,
    QUANTITIES,
    SETUPS,
    SetUp,
    calibrate,
    checks,
)

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "validation"


@pytest.mark.parametrize("setup", SETUPS.values(), ids=list(SETUPS))
def test_calibration_stays_among_the_companies(setup: SetUp) -> None:
    """All 15 percentiles of a set-up lie between the companies' extremes, give or take 0.5 dB.

    10,000 users: drawing others moves a percentile by 0.02 to 0.45 dB, and no percentile
    lies so near the border that this decides (twelve of twelve seeds agreed).
    """
    found = checks(calibrate(setup, users=10_000, seed=1), COMPANIES)
    assert len(found) == len(QUANTITIES) * len(PERCENT) == 15
    assert [check for check in found if not check.passes] == []


@pytest.mark.parametrize(
    ("name", "change", "fewest"),
    [
        # Beams 8° too high, 10 dB too little power, and nobody behind a wall.
        ("UMa", {"tilt_deg": 4.0}, 5),
        ("UMa", {"power_dbm": 39.0}, 3),
        ("UMi", {"indoor_share": 0.0}, 5),
        ("InH", {"tilt_deg": 12.0}, 5),
    ],
)
def test_calibration_notices_a_wrong_set_up(
    name: str, change: dict[str, float], fewest: int
) -> None:
    """What differs from table 7.8-1 in one entry does not pass."""
    wrong = replace(SETUPS[name], **change)
    found = checks(calibrate(wrong, users=5000, seed=1), COMPANIES)
    assert sum(not check.passes for check in found) >= fewest


def test_kept_figures_are_those_of_the_table() -> None:
    """Every kept figure of the companies is the table's, to the 0.005 dB lost in rounding."""
    path = DATA / "r1_165974.csv"
    if not path.exists():
        pytest.skip("the companies' table (shared/data/validation) is not there")
    table = read_companies(path)
    assert set(table) == set(COMPANIES)
    for key, kept in COMPANIES.items():
        full = table[key]
        assert kept.companies == full.companies
        for at, percent in enumerate(kept.percent):
            row = full.percent.index(percent)
            assert kept.mean[at] == pytest.approx(full.mean[row], abs=0.0051)
            assert kept.low[at] == pytest.approx(full.low[row], abs=0.0051)
            assert kept.high[at] == pytest.approx(full.high[row], abs=0.0051)
