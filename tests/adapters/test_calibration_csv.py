"""The companies' table is read as it is, or refused with the place."""

from __future__ import annotations

from pathlib import Path

import pytest

from cellhive.adapters.calibration_csv import read_companies
from cellhive.core.errors import BadInput, NotFound

QUANTITIES = ("coupling_gain_db", "sinr_db", "sir_db")
HEADER = ["scenario", "cdf_percent"] + [
    f"{quantity}_{each}" for quantity in QUANTITIES for each in ("mean", "min", "max", "n")
]
PERCENT = (95, 5, 10, 50, 90)


def rows() -> list[list[str]]:
    """Return a table in which the mean is the percentile, and the range a decibel around it."""
    return [
        [name, f"{p}.000"] + 3 * [f"{p}.5", f"{p - 0.5}", f"{p + 1.5}", "21"]
        for name in ("UMa-6GHz", "Other-6GHz", "UMi-6GHz", "Indoor-6GHz")
        for p in PERCENT
    ]


def written(path: Path, table: list[list[str]], header: list[str] = HEADER) -> Path:
    """Write a table and return where it is."""
    path.write_text("\n".join(",".join(row) for row in [header, *table]), encoding="utf-8")
    return path


def test_table_is_read_in_order(tmp_path: Path) -> None:
    """Percentiles rise, every quantity of the three set-ups is there, others are passed over."""
    found = read_companies(written(tmp_path / "t.csv", rows()))
    assert len(found) == 9
    spread = found["InH", "sir_db"]
    assert spread.companies == 21
    assert spread.percent == (5.0, 10.0, 50.0, 90.0, 95.0)
    assert spread.mean == (5.5, 10.5, 50.5, 90.5, 95.5)
    assert (spread.low[0], spread.high[0]) == (4.5, 6.5)


def test_what_is_no_such_table_is_refused(tmp_path: Path) -> None:
    """No file, no column, no set-up, a percentile twice, and words for a number."""
    path = tmp_path / "t.csv"
    with pytest.raises(NotFound, match="no such file"):
        read_companies(path)
    with pytest.raises(BadInput, match="expected the column cdf_percent, found scenario"):
        read_companies(written(path, [["a", "b"]], ["scenario", "x"]))
    with pytest.raises(BadInput, match="one row of UMi-6GHz at 5 %, found 0"):
        read_companies(written(path, [row for row in rows() if row[0] != "UMi-6GHz"]))
    with pytest.raises(BadInput, match="one row of UMa-6GHz at 95 %, found 2"):
        read_companies(written(path, [*rows(), rows()[0]]))
    bad = rows()
    bad[1][3] = "n/a"
    with pytest.raises(BadInput, match="line 3, coupling_gain_db_min: expected a number, found"):
        read_companies(written(path, bad))
