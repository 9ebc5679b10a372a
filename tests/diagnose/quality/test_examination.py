"""What is wrong with rows, times and identifiers is found, said, and not repaired in silence."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from cellhive.core.measurements import (
    OBJECT,
    PERIOD_S,
    SUSPECT,
    TIME,
    TIME_TYPE,
    ColumnInfo,
    Finding,
    Measurements,
    Role,
)
from cellhive.diagnose.quality.examination import examine
from cellhive.diagnose.quality.times import expected_period

START = datetime(2025, 3, 1, tzinfo=UTC)


def measured(
    rows: list[tuple[str, int, float | None]],
    info: ColumnInfo | None = None,
    **more: Any,
) -> Measurements:
    """Return hourly measurements of one column from (object, hour, value)."""
    info = info or ColumnInfo("kpi", role=Role.GAUGE)
    labels = more.pop("labels", {})
    frame = pl.DataFrame(
        {
            OBJECT: [row[0] for row in rows],
            TIME: [START + timedelta(hours=row[1]) for row in rows],
            PERIOD_S: [3600.0] * len(rows),
            SUSPECT: more.pop("suspect", [False] * len(rows)),
            **labels,
            info.name: [row[2] for row in rows],
        },
        schema_overrides={TIME: TIME_TYPE, info.name: pl.Float64},
    )
    return Measurements("test", frame, {info.name: info}, tuple(labels), "cell",
                        more.pop("zone", "UTC"), ("test.csv",))  # fmt: skip


def steady(names: str = "AB", hours: int = 48) -> list[tuple[str, int, float | None]]:
    """Return rows of healthy objects."""
    return [(name, hour, 10.0 + (hour * 7 % 11) / 10) for name in names for hour in range(hours)]


def codes(findings: tuple[Finding, ...]) -> set[str]:
    """Return the codes of findings."""
    return {one.code for one in findings}


def test_sound_data_have_no_finding() -> None:
    """Nothing wrong, nothing said, nothing changed."""
    m = measured(steady())
    examined = examine(m)
    assert examined.findings == ()
    assert examined.measurements.frame.equals(m.frame)
    assert [one.ratio for one in examined.coverage] == [1.0, 1.0]


def test_duplicates_are_dropped_and_conflicts_keep_the_fullest_row() -> None:
    """One exact repetition, one conflict: the row with a value wins over the one without."""
    rows = [*steady(), ("A", 5, 10.0 + 35 % 11 / 10), ("B", 7, None)]
    examined = examine(measured(rows))
    assert codes(examined.findings) == {"duplicate-rows", "conflicting-rows"}
    assert {one.code: one.count for one in examined.findings} == {
        "duplicate-rows": 1, "conflicting-rows": 1,
    }  # fmt: skip
    assert examined.measurements.frame.height == 96
    kept = examined.measurements.frame.filter(
        (pl.col(OBJECT) == "B") & (pl.col(TIME) == START + timedelta(hours=7))
    )
    assert kept["kpi"].to_list() == [10.0 + 49 % 11 / 10]


def test_gaps_are_counted_and_left_empty() -> None:
    """Three hours are missing in A, two of them in B as well."""
    gone = {("A", 10), ("A", 11), ("A", 20), ("B", 10), ("B", 11)}
    rows = [row for row in steady("ABC") if (row[0], row[1]) not in gone]
    examined = examine(measured(rows))
    (gaps,) = examined.findings
    assert gaps.code == "gaps"
    assert gaps.count == 5
    assert gaps.object == "A"
    assert examined.measurements.frame.height == len(rows)


def test_missing_for_all_is_said_with_its_time() -> None:
    """A hole in every object is a hole of the export."""
    rows = [row for row in steady() if row[1] not in {12, 13}]
    (gaps,) = examine(measured(rows)).findings
    assert "after 2025-03-01 11:00" in gaps.found


def test_objects_that_start_late_stop_early_or_report_rarely() -> None:
    """Each has its finding and keeps its rows."""
    rows = [row for row in steady("ABCD") if not (row[0] == "B" and row[1] < 10)]
    rows = [row for row in rows if not (row[0] == "C" and row[1] > 40)]
    rows = [row for row in rows if not (row[0] == "D" and row[1] % 7 in {1, 2, 4, 6})]
    found = codes(examine(measured(rows)).findings)
    assert found == {"starts-late", "stops-early", "reports-now-and-then"}


def test_suspect_rows_lose_their_values_not_their_place() -> None:
    """The source does not stand by them, so nothing is computed from them."""
    rows = steady()
    examined = examine(measured(rows, suspect=[i == 3 for i in range(len(rows))]))
    assert codes(examined.findings) == {"suspect-rows"}
    assert examined.measurements.frame.height == 96
    assert examined.measurements.frame["kpi"].null_count() == 1


def test_identifiers_in_two_forms_and_without_their_digits() -> None:
    """1637 beside 606-00_1019, and a rounded one."""
    rows = steady("ABCD", 12)
    ids = {"A": "1637", "B": "1604", "C": "1019", "D": "606-00_1019"}
    mixed = {"eNodeB ID": [ids[row[0]] for row in rows]}
    assert codes(examine(measured(rows, labels=mixed)).findings) == {"identifier-forms"}
    rounded = {"cell id": ["6.06001E+11" if row[0] == "A" else "606001000011" for row in rows]}
    found = codes(examine(measured(rows, labels=rounded)).findings)
    assert "identifier-lost-digits" in found


def test_unknown_zone_and_empty_label_are_said() -> None:
    """Worth knowing, not wrong."""
    rows = steady("A", 48)
    location: list[str | None] = [None] * 47 + ["roof"]
    found = codes(examine(measured(rows, zone="", labels={"where": location})).findings)
    assert found == {"time-zone-unknown", "nearly-empty-column"}


def test_period_is_the_usual_distance_even_with_holes() -> None:
    """Hourly rows with holes are hourly; a single row has no period of its own."""
    frame = measured(steady()).frame.with_columns(pl.lit(None, pl.Float64).alias(PERIOD_S))
    assert expected_period(frame) == 3600.0
    assert expected_period(frame.filter(pl.col(TIME).dt.hour() % 5 != 2)) == 3600.0
    assert expected_period(frame.head(1)) is None


def test_far_apart_times_are_samples() -> None:
    """Two files a year apart are no series with a million gaps."""
    rows = [(name, hour, 1.0) for name in "AB" for hour in (0, 9000)]
    examined = examine(measured(rows))
    assert "scattered-times" in codes(examined.findings)
    assert "gaps" not in codes(examined.findings)


def test_empty_measurements_are_examined() -> None:
    """No rows at all is no crash."""
    examined = examine(measured([]))
    assert examined.coverage == ()
    assert examined.period_s is None


def test_rows_without_a_time_are_no_duplicates_of_each_other() -> None:
    """They share an empty key, not a moment."""
    m = measured(steady("A", 24))
    frame = m.frame.with_columns(pl.lit(None, TIME_TYPE).alias(TIME))
    examined = examine(Measurements("m", frame, m.columns))
    assert examined.measurements.frame.height == 24
    assert codes(examined.findings) == {"no-time"}
