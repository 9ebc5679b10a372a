"""Positions are read off measurements where objects stand still."""

import math

import polars as pl
import pytest

from cellhive.core.measurements import OBJECT, ColumnInfo, Measurements
from cellhive.diagnose.positions import positions_of, sites_at


def measured(**columns: list[float | None]) -> Measurements:
    """Return measurements of the objects A, A, B, B with columns of numbers."""
    frame = pl.DataFrame({OBJECT: ["A", "A", "B", "B"], **columns})
    return Measurements("m", frame, {name: ColumnInfo(name) for name in columns})


def test_each_object_has_the_place_that_its_rows_state() -> None:
    """Latitude, longitude and bearing, by the names of the columns."""
    m = measured(
        **{"Site Latitude": [32.5, 32.5, 32.9, None], "Long.": [13.0, 13.0, 13.2, 13.2]},
        Azimuth=[120.0, 120.0, None, None],
    )
    first, second = positions_of(m)
    assert (first.object, first.latitude_deg, first.longitude_deg) == ("A", 32.5, 13.0)
    assert first.azimuth_deg == 120.0
    assert (second.latitude_deg, second.longitude_deg) == (32.9, 13.2)


@pytest.mark.parametrize(
    ("lat", "lon"), [([0.0] * 4, [0.0] * 4), ([95.0] * 4, [13.0] * 4), ([1.0, 2.0] * 2, [3.0] * 4)]
)
def test_no_place_is_no_place(lat: list[float | None], lon: list[float | None]) -> None:
    """Null island, off the globe, and a phone that moves 100 km."""
    assert positions_of(measured(latitude=lat, longitude=lon)) == ()


def test_latency_is_no_latitude() -> None:
    """Only whole words name a column."""
    assert positions_of(measured(latency=[1.0] * 4, longest=[1.0] * 4)) == ()
    (one, _) = positions_of(measured(lat=[1.0] * 4, lng=[1.0] * 4))
    assert math.isnan(one.azimuth_deg)


def test_sites_are_what_a_text_column_says_or_a_common_place() -> None:
    """The column goes before the place; one that tells nothing apart is none."""
    frame = pl.DataFrame(
        {
            OBJECT: ["A", "A", "B", "C"], "latitude": [1.0, 1.0, 1.00001, 2.0],
            "longitude": [3.0] * 4, "eNodeB Name": ["x", "x", None, "x"],
        }
    )  # fmt: skip
    m = Measurements("m", frame, {n: ColumnInfo(n) for n in ("latitude", "longitude")})
    placed = sites_at(m, positions_of(m))
    assert placed["A"] == placed["B"] != placed["C"]
    labelled = Measurements("m", frame, m.columns, ("eNodeB Name",))
    assert sites_at(labelled, positions_of(m)) == placed
    named = frame.with_columns(pl.Series("eNodeB Name", ["x", "x", "y", "x"]))
    labelled = Measurements("m", named, m.columns, ("eNodeB Name",))
    assert sites_at(labelled, ()) == {"A": "x", "B": "y", "C": "x"}
