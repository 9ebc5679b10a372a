"""Exports of vendors and BI tools nobody here has seen: every value, time and object, exactly."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from vendor_exports import EXPORTS, Truth, Values, huawei_lst_cells

from cellhive.adapters.reading import ReadResult, read_paths
from cellhive.adapters.unpacking.encodings import decode
from cellhive.core.measurements import Findings


def read_values(result: ReadResult) -> dict[str, Values]:
    """Return every value that was read, by column, object and time."""
    found: dict[str, Values] = {}
    for measured in result.measurements:
        for row in measured.frame.iter_rows(named=True):
            for name in measured.columns:
                found.setdefault(name, {})[row["object"], row["time"]] = row[name]
    return found


@pytest.mark.parametrize("export", EXPORTS, ids=lambda export: export.__name__)
def test_every_value_is_where_it_belongs(tmp_path: Path, export: Callable[[Path], Truth]) -> None:
    """No column too few, none too many; nothing shifted, scaled or filled."""
    truth = export(tmp_path)
    result = read_paths([truth.path])
    found = read_values(result)
    assert sorted(found) == sorted(truth.columns)
    for heading, values in truth.columns.items():
        assert found[heading] == values, heading


FORMS = (
    "%Y-%m-%d %H:%M:%S", "%Y/%m/%d %H:%M", "%d.%m.%Y %H:%M", "%d/%m/%Y %H:%M:%S", "%d-%b-%Y %H:%M",
    "%m/%d/%Y %I:%M %p", "%Y%m%d%H%M%S", "%Y-%m-%dT%H:%M:%SZ", "%d-%b-%y %H.%M.%S",
    "%Y.%m.%d %H:%M",
)  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("last", ["23:00", "24:00"])
def test_times_in_every_form(tmp_path: Path, form: str, last: str) -> None:
    """Days beyond the twelfth settle which number is the month."""
    first = datetime(2024, 3, 20, 21, tzinfo=UTC)
    times = [first + timedelta(hours=h) for h in range(3 if last == "23:00" else 4)]
    texts = [format(when, form) for when in times]
    if last == "24:00":
        if "%I" in form or "%H:%M" not in form:
            pytest.skip("such a form has no 24:00")
        texts[-1] = format(times[-1] - timedelta(days=1), form).replace("00:00", "24:00", 1)
    lines = ["Time;Cell;Drops", *(f"{text};A;{i}" for i, text in enumerate(texts))]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    (measured,) = read_paths([tmp_path / "t.csv"]).measurements
    assert measured.frame["time"].to_list() == times
    assert measured.frame["Drops"].to_list() == [float(i) for i in range(len(times))]


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        (["0", "1", "23"], [0, 1, 23]),
        (["22", "23", "24"], [22, 23, 24]),
        (["00:00", "01:00", "24:00"], [0, 1, 24]),
        (["00-01", "01-02", "23-24"], [0, 1, 23]),
        (["0h", "1h", "13h"], [0, 1, 13]),
    ],
)
def test_hours_in_a_column_of_their_own(
    tmp_path: Path, hours: list[str], expected: list[int]
) -> None:
    """24 is the midnight that ends the day."""
    lines = ["Date,Hour,Cell,Drops", *(f"2024-03-20,{hour},A,1" for hour in hours)]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    (measured,) = read_paths([tmp_path / "t.csv"]).measurements
    day = datetime(2024, 3, 20, tzinfo=UTC)
    assert measured.frame["time"].to_list() == [day + timedelta(hours=h) for h in expected]


@pytest.mark.parametrize(
    ("text", "encoding", "called"),
    [
        ("Débit;Cellule;Période;Zuverlässigkeit", "cp1252", "Windows-1252"),
        ("Скорость;Ячейка;Время", "cp1251", "Cyrillic"),
        ("التاريخ;الخلية;نسبة", "cp1256", "Arabic"),
        ("小区名称;时间;下行流量", "gb18030", "Chinese"),
        ("Ταχύτητα;Κυψέλη;Χρόνος", "cp1253", "Greek"),
    ],
)
def test_encodings_are_told_by_their_letters(text: str, encoding: str, called: str) -> None:
    """Accents stand alone, letters of other scripts come in words."""
    findings = Findings()
    assert decode(text.encode(encoding), "x.csv", findings) == text
    assert called in findings.as_tuple()[0].action


def test_a_listing_of_mml_is_a_configuration(tmp_path: Path) -> None:
    """LST CELL: columns by blanks below a dashed line."""
    truth = huawei_lst_cells(tmp_path)
    result = read_paths([truth.path])
    conf = result.configuration
    assert conf is not None
    assert conf.cell_ids == ("LTE0101A", "LTE0101B", "LTE 0202A")
    assert conf.physical_cell_id.tolist() == [101, 102, 101]
    assert conf.carrier == ("1300", "1300", "1300")


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    """Hidden sheets, running numbers, rows of sums: a finding each."""
    codes: set[str] = set()
    for export in EXPORTS:
        folder = tmp_path / export.__name__
        folder.mkdir()
        codes |= {one.code for one in read_paths([export(folder).path]).findings}
    assert {
        "hidden-sheet", "running-number", "total-row", "footer-row", "repeated-heading",
        "title-rows", "wrong-encoding", "row-per-value", "column-per-time", "column-per-object",
        "value-missing",
    } <= codes  # fmt: skip
