"""Tables with local times over a change of clocks: every value once, at its own moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from cellhive.adapters.reading import read_paths
from cellhive.adapters.tabular.mapping import Mapping
from cellhive.core.measurements import OBJECT, TIME
from cellhive.diagnose.quality.examination import examine

BERLIN = ZoneInfo("Europe/Berlin")
CELLS = ("A", "B", "C")
DAYS = 6
FALL, SPRING = datetime(2024, 10, 25, tzinfo=UTC), datetime(2024, 3, 29, tzinfo=UTC)
Truth = dict[tuple[str, datetime], float]


def exported(path: Path, start: datetime, order: str, minutes: int = 60) -> Truth:
    """Write what cells count, with the times on the wall in Berlin; return it with true times."""
    steps = range(DAYS * 24 * 60 // minutes)
    moments = [start + timedelta(minutes=minutes * step) for step in steps]
    truth = {
        (cell, moment): float(1000 * k + n)
        for k, cell in enumerate(CELLS)
        for n, moment in enumerate(moments)
    }
    keys = sorted(truth, key=lambda key: key if order == "by cell" else (key[1], key[0]))
    if order == "newest first":
        keys.reverse()
    lines = [
        f"{moment.astimezone(BERLIN):%Y-%m-%d %H:%M},{cell},{truth[cell, moment]:g}"
        for cell, moment in keys
    ]
    path.write_text("\n".join(["Time,Cell,Calls", *lines]))
    return truth


def read(path: Path, zone: str) -> tuple[Truth, dict[str, int]]:
    """Return every value with its object and time, and the findings with their counts."""
    result = read_paths([path], Mapping(time_zone=zone))
    (measured,) = result.measurements
    rows = measured.frame.select(OBJECT, TIME, "Calls").rows()
    assert len(rows) == len({row[:2] for row in rows})
    found = [*result.findings, *examine(measured).findings]
    return {(name, time): calls for name, time, calls in rows}, {f.code: f.count for f in found}


@pytest.mark.parametrize("order", ["by cell", "by time", "newest first"])
@pytest.mark.parametrize("minutes", [60, 15])
@pytest.mark.parametrize("start", [FALL, SPRING])
def test_with_the_zone_each_value_comes_at_its_moment(
    tmp_path: Path, start: datetime, minutes: int, order: str
) -> None:
    """The repeated hour comes twice and the missing one is none, in any order of the rows."""
    truth = exported(tmp_path / "a.csv", start, order, minutes)
    values, found = read(tmp_path / "a.csv", "Europe/Berlin")
    assert values == truth
    assert not {"conflicting-rows", "duplicate-rows", "gaps", "time-skipped-by-zone"} & set(found)
    twice = 2 * len(CELLS) * 60 // minutes if start is FALL else 0
    assert found.get("time-doubled-by-zone", 0) == twice


def test_a_single_row_of_the_repeated_hour_is_the_first(tmp_path: Path) -> None:
    """And the finding says so."""
    path = tmp_path / "a.csv"
    exported(path, FALL, "by cell")
    frame = pl.read_csv(path)
    frame.unique(["Time", "Cell"], keep="first", maintain_order=True).write_csv(path)
    result = read_paths([path], Mapping(time_zone="Europe/Berlin"))
    (told,) = [one for one in result.findings if one.code == "time-doubled-by-zone"]
    assert told.count == len(CELLS)
    assert "second time (0)" in told.action
    assert "the others (3) for the first" in told.action


def test_without_a_zone_the_findings_say_what_the_clocks_did(tmp_path: Path) -> None:
    """Both hours are in the table; the analysis keeps one of them and says which."""
    for start, code in ((FALL, "clock-change-doubled-hour"), (SPRING, "clock-change-skipped-hour")):
        truth = exported(tmp_path / "a.csv", start, "by cell")
        result = read_paths([tmp_path / "a.csv"])
        (measured,) = result.measurements
        assert sorted(measured.frame["Calls"]) == sorted(truth.values())
        (told,) = [one for one in examine(measured).findings if one.code == code]
        words = f"{told.found} {told.action}"
        assert "time_zone in a mapping" in words
        assert ("2024-10-27 02:00" if start is FALL else "2024-03-31 01:00") in words
        assert told.count == (len(CELLS) if start is FALL else 1)


def test_times_that_the_zone_does_not_have_stay_with_their_values(tmp_path: Path) -> None:
    """A source that never changes its clock is not in the zone: its hour has no time."""
    path = tmp_path / "a.csv"
    lines = [f"2024-03-31 {hour:02d}:00,A,{hour}" for hour in range(24)]
    path.write_text("\n".join(["Time,Cell,Calls", *lines]))
    result = read_paths([path], Mapping(time_zone="Europe/Berlin"))
    (measured,) = result.measurements
    assert sorted(measured.frame["Calls"]) == list(map(float, range(24)))
    assert measured.frame.filter(pl.col(TIME).is_null())["Calls"].to_list() == [2.0]
    assert {one.code: one.count for one in result.findings}["time-skipped-by-zone"] == 1
