"""Exports of vendors and BI tools nobody here has seen: every value, time and object, exactly."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from vendor_exports import EXPORTS, Truth, Values, huawei_lst_cells, write_xlsx

from cellhive.adapters.reading import ReadResult, read_paths
from cellhive.adapters.unpacking.encodings import decode
from cellhive.app.audit import audit_paths
from cellhive.core.errors import BadInput
from cellhive.core.measurements import Findings, Severity


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


@pytest.mark.parametrize("export", EXPORTS, ids=lambda export: export.__name__)
def test_damaged_exports_never_fall_over(tmp_path: Path, export: Callable[[Path], Truth]) -> None:
    """Cut, and with bytes changed: values, or an error in words that is no defect of a reader."""
    rng = np.random.default_rng(7)
    truth = export(tmp_path)
    whole = truth.path.read_bytes()
    for size in rng.integers(1, len(whole), 3):
        truth.path.write_bytes(whole[:size])
        read_or_refuse(truth.path)
    for _ in range(3):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), 8):
            data[at : at + 1] = rng.choice([b";", b"\n", b'"', b",", b"\xff", b"9", b""])
        truth.path.write_bytes(bytes(data))
        read_or_refuse(truth.path)


def read_or_refuse(path: Path) -> None:
    """Read a file, or get an error that is none of the reader's own."""
    try:
        read_paths([path])
    except BadInput as error:
        assert "defect of the reader" not in str(error)  # noqa: PT017


def test_kpis_with_identities_are_a_configuration_too(tmp_path: Path) -> None:
    """Their KPIs are measured; of a cell the first row tells where it is, not how it does."""
    (tmp_path / "kpis.csv").write_text(
        "Time,Cell,Latitude,Longitude,PCI,RRC Success Rate (%)\n"
        + "".join(
            f"2024-03-1{day},C{cell},48.{cell},11.0,{cell},9{day}.5\n"
            for day in range(1, 4)
            for cell in range(1, 4)
        )
    )
    result = read_paths([tmp_path])
    assert result.measurements[0].frame.height == 9
    conf = result.configuration
    assert conf is not None
    assert conf.physical_cell_id.tolist() == [1, 2, 3]
    assert conf.latitude_deg.tolist() == [48.1, 48.2, 48.3]
    assert dict(conf.settings) == {}


def test_spreadsheets_of_cells_are_audited(tmp_path: Path) -> None:
    """By the audit as by the analysis, with a title above and a decimal comma."""
    rows: list[list[str | float | None]] = [
        ["Site database", None, None, None],
        ["Cell Name", "Latitude", "Longitude", "PCI"],
        ["A", "48,0", "11,0", 5], ["B", "48,01", "11,0", 5],
    ]  # fmt: skip
    write_xlsx(tmp_path / "sites.xlsx", {"Sites": rows})
    conf, _, reading = audit_paths([tmp_path])
    assert conf.latitude_deg.tolist() == [48.0, 48.01]
    assert conf.physical_cell_id.tolist() == [5, 5]
    assert all(one.severity is not Severity.ERROR for one in reading)
    again = read_paths([tmp_path]).configuration
    assert again is not None
    assert again.latitude_deg.tolist() == [48.0, 48.01]


@pytest.mark.parametrize(
    "text",
    [
        # groups of KPIs, and rows that have names
        "Time,Cell,DL,,UL,\n,,Throughput,Volume,Throughput,Volume\n"
        "2024-03-14,A,1,2,3,4\n2024-03-15,A,5,6,7,8\n",
        # services with a number each
        "Time,Cell,QCI 1,,QCI 9,\n,,Drop Rate,Volume,Drop Rate,Volume\n"
        "2024-03-14,A,1,2,3,4\n2024-03-15,A,5,6,7,8\n",
        # counters that are built alike, below a title
        "DL Throughput\n\nTime,Cell,M8012C26,M8012C27\n2024-03-14,A,1,2\n2024-03-15,A,5,6\n",
        # bins of a distribution below a title
        "CQI Distribution\n\nTime,CQI 1,CQI 2,CQI 3\n2024-03-14,1,2,3\n2024-03-15,5,6,7\n",
        # a name that is not known in some rows stands for no other row
        "Time,Cell,Drops\n2024-03-14,A,1\n2024-03-14,,2\n2024-03-15,A,3\n2024-03-15,B,2\n"
        "2024-03-16,A,3\n2024-03-16,,2\n2024-03-17,B,3\n2024-03-17,A,2\n",
    ],
)
def test_plain_tables_are_left_as_they_are(tmp_path: Path, text: str) -> None:
    """No column becomes a cell, and no empty cell a name, for want of evidence."""
    (tmp_path / "t.csv").write_text(text)
    result = read_paths([tmp_path])
    changed = {"column-per-object", "column-per-time", "row-per-value", "filled-down"}
    assert changed.isdisjoint(one.code for one in result.findings)
