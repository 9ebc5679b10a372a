"""KPI tables: every shape that exports come in, and what is said about the bad ones.

Expected values are written by hand beside each table.
"""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellhive.adapters.tabular.grids import separator_of
from cellhive.adapters.tabular.headings import find_header
from cellhive.adapters.tabular.mapping import ColumnRule, Mapping
from cellhive.adapters.tabular.table_numbers import decimal_mark, numbers_of
from cellhive.adapters.tabular.table_objects import find_objects
from cellhive.adapters.tabular.table_times import parse_numbers, parse_texts
from cellhive.adapters.tabular.tables import read_table_file
from cellhive.adapters.unpacking.packings import Limits
from cellhive.core.errors import BadInput
from cellhive.core.measurements import Finding, Findings, Measurements, Role

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

Read = Callable[..., tuple[Measurements, dict[str, Finding]]]


def needs(folder: str) -> Path:
    """Return a folder of public data, or skip."""
    path = DATA / folder
    if not path.exists():
        pytest.skip(f"the public data set {folder} is not here")
    return path


def read_file(path: Path, **options: Any) -> tuple[Measurements, dict[str, Finding]]:
    """Return the first table of a file and its findings by code."""
    findings = Findings()
    kind = {".xlsx": "spreadsheet", ".parquet": "parquet"}.get(path.suffix, "text")
    measured = read_table_file(path, findings, kind=kind, **options)[0]
    return measured, {finding.code: finding for finding in findings.as_tuple()}


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Write a text table and read it."""

    def write(text: str | bytes, **options: Any) -> tuple[Measurements, dict[str, Finding]]:
        path = tmp_path / "kpis.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_file(path, **options)

    return write


TABLE = "Time,Cell Name,Drop Rate (%)\n2024-03-01 00:00,A1,0.5\n2024-03-01 01:00,A1,2.5\n"


def values(measured: Measurements, name: str) -> list[Any]:
    """Return a column as a list."""
    return list(measured.frame[name].to_list())


# -- separators, encodings, numbers


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_separators_and_encodings(read: Read, separator: str, encoding: str) -> None:
    """All combinations give the same table."""
    text = TABLE.replace("A1", "Zelle Süd 1").replace(",", separator)
    measured, findings = read(text.encode(encoding))
    assert values(measured, "Drop Rate (%)") == [0.5, 2.5]
    assert measured.objects == ["Zelle Süd 1"]
    assert values(measured, "time")[1] == datetime(2024, 3, 1, 1, tzinfo=UTC)
    assert ("wrong-encoding" in findings) == (encoding == "cp1252")


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["1,5", "22,25"], [1.5, 22.25]),
        (["1.5", "1,234.25"], [1.5, 1234.25]),
        (["1.234,5", "7,25"], [1234.5, 7.25]),
        (["1 234,5", "7,25"], [1234.5, 7.25]),
        (["1\u00a0234,5", "1\u202f000,25"], [1234.5, 1000.25]),
        (["1'234.5", "2"], [1234.5, 2.0]),
        (["1.234.567", "12"], [1234567.0, 12.0]),
        (["99.5%", "12 %"], [99.5, 12.0]),
        (["1e3", "-2.5E-2"], [1000.0, -0.025]),
        ([".5", "5."], [0.5, 5.0]),
        (["0,125", "1,5"], [0.125, 1.5]),
    ],
)
def test_numbers_as_the_world_writes_them(texts: list[str], expected: list[float]) -> None:
    """Decimal commas and points, separators of thousands, per cent signs."""
    found = numbers_of(pl.Series(texts), decimal_mark([pl.Series(texts)]))
    assert found.values.to_list() == expected
    assert (found.odd, found.ambiguous) == (0, False)


def test_the_table_settles_what_a_column_cannot() -> None:
    """ "1,234" is a thousand beside decimal points, and a bit above one beside commas."""
    column = pl.Series(["1,234", "5,678"])
    assert numbers_of(column, ".").values.to_list() == [1234.0, 5678.0]
    assert numbers_of(column, ",").values.to_list() == [1.234, 5.678]
    alone = numbers_of(column, "")
    assert (alone.values.to_list(), alone.ambiguous) == ([1234.0, 5678.0], True)


@pytest.mark.parametrize("word", ["", "-", "N/A", "#DIV/0!", "nil", "NaN", "inf", "--", "#N/A"])
def test_words_for_nothing_are_null(read: Read, word: str) -> None:
    """They are counted, and never become zero."""
    measured, findings = read(TABLE.replace("2.5", word))
    assert values(measured, "Drop Rate (%)") == [0.5, None]
    assert findings["value-missing"].count == 1


def test_odd_cells_are_null_and_told(read: Read) -> None:
    """One text among numbers does not turn the column into text, nor into a number."""
    rows = "".join(f"2024-03-01 {h:02d}:00,A1,{h}\n" for h in range(2, 12))
    measured, findings = read(TABLE.replace("2.5", "0.4@0.9") + rows)
    assert values(measured, "Drop Rate (%)")[1] is None
    odd = findings["value-not-a-number"]
    assert (odd.count, odd.found, odd.where) == (1, "'0.4@0.9'", "row 3")


def test_mixed_columns_stay_text(read: Read) -> None:
    """Where half is text, the numbers are not pulled out silently."""
    measured, findings = read(TABLE.replace("Rate (%)\n", "Rate (%),State\n").replace(
        "0.5\n", "0.5,7\n").replace("2.5\n", "2.5,busy\n"))  # fmt: skip
    assert values(measured, "State") == ["7", "busy"]
    assert "mixed-column" in findings


# -- times


@pytest.mark.parametrize(
    ("texts", "first"),
    [
        (["2024-03-01 13:45:00"], (2024, 3, 1, 13, 45)),
        (["2024-03-01T13:45:00.250"], (2024, 3, 1, 13, 45)),
        (["2024/03/01 13:45"], (2024, 3, 1, 13, 45)),
        (["25/03/2024 13:45"], (2024, 3, 25, 13, 45)),
        (["03/25/2024 1:45 PM"], (2024, 3, 25, 13, 45)),
        (["25.03.2024 13:45:00"], (2024, 3, 25, 13, 45)),
        (["2025.07.18_22.11.08"], (2025, 7, 18, 22, 11)),
        (["20240301134500"], (2024, 3, 1, 13, 45)),
        (["25-Mar-2024 13:45"], (2024, 3, 25, 13, 45)),
        (["2024-03-01T13:45:00+0200"], (2024, 3, 1, 11, 45)),
        (["2024-03-01T13:45:00Z"], (2024, 3, 1, 13, 45)),
        (["2024-03-01"], (2024, 3, 1, 0, 0)),
    ],
)
def test_formats_of_time(texts: list[str], first: tuple[int, ...]) -> None:
    """Each way of writing a time that exports were seen to use."""
    found = parse_texts(pl.Series(texts))
    assert found is not None
    moment = found[0][0]
    assert (moment.year, moment.month, moment.day, moment.hour, moment.minute) == first
    assert found[2] is False


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (1709300700.0, datetime(2024, 3, 1, 13, 45, tzinfo=UTC)),
        (1709300700000.0, datetime(2024, 3, 1, 13, 45, tzinfo=UTC)),
        (45352.572916666664, datetime(2024, 3, 1, 13, 45, tzinfo=UTC)),
        (7.0, None),
    ],
)
def test_numbers_that_are_times(number: float, expected: datetime | None) -> None:
    """Epochs in s and ms, and spreadsheet days (2024-03-01 is day 45352)."""
    found = parse_numbers(pl.Series([number]))
    assert (None if found is None else found[0]) == expected


def test_day_and_month_are_told_apart_by_the_gap(read: Read) -> None:
    """1/3, 2/3, 3/3 is three days of March, not one day of three months; and it is said."""
    rows = "".join(f"0{day}/03/2024,A1,{day}\n" for day in (1, 2, 3))
    measured, findings = read("Date,Cell,Drops\n" + rows)
    assert [time.month for time in values(measured, "time")] == [3, 3, 3]
    assert "day first" in findings["ambiguous-date"].action
    rows = "".join(f"03/0{day}/2024,A1,{day}\n" for day in (1, 2, 3))
    measured, findings = read("Date,Cell,Drops\n" + rows)
    assert [time.month for time in values(measured, "time")] == [3, 3, 3]
    assert "month first" in findings["ambiguous-date"].action


@pytest.mark.parametrize("hour", ["7", "07:00", "07:00:00"])
def test_date_and_hour_columns(read: Read, hour: str) -> None:
    """The two make one time."""
    measured, _ = read(f"Date,Hour,Cell,Drops\n2024-03-01,{hour},A,1\n2024-03-02,{hour},A,2\n")
    assert values(measured, "time")[0] == datetime(2024, 3, 1, 7, tzinfo=UTC)
    assert list(measured.columns) == ["Drops"]


@pytest.mark.parametrize(("text", "seconds"), [("1 day", 86400), ("15 min", 900), ("3600", 3600)])
def test_stated_granularity(read: Read, text: str, seconds: float) -> None:
    """A column that states the period is used and not taken for a KPI."""
    measured, _ = read(f"Begin Time,Granularity,Cell,Drops\n2024-03-01,{text},A,1\n")
    assert values(measured, "period_s") == [seconds]
    assert list(measured.columns) == ["Drops"]


def test_begin_and_end_give_the_period(read: Read) -> None:
    """And the begin is the time."""
    measured, _ = read("Begin Time,End Time,Cell,Drops\n2024-03-01 00:00,2024-03-01 01:00,A,1\n")
    assert values(measured, "period_s") == [3600.0]
    assert values(measured, "time") == [datetime(2024, 3, 1, tzinfo=UTC)]


def test_zones_are_applied_and_their_gaps_told(read: Read) -> None:
    """02:30 on 31 March 2024 does not exist in Paris; 12:00 there is 10:00 UTC."""
    text = "Time,Cell,Drops\n2024-03-31 02:30,A,1\n2024-03-31 12:00,A,2\n"
    measured, findings = read(text, mapping=Mapping(time_zone="Europe/Paris"))
    assert sorted(values(measured, "time"), key=str) == [
        datetime(2024, 3, 31, 10, tzinfo=UTC),
        None,
    ]
    assert findings["time-skipped-by-zone"].count == 1
    assert measured.time_zone == "Europe/Paris"


def test_times_in_several_notations_are_told(read: Read) -> None:
    """The message shows the column and one time of each notation, not "no column of times"."""
    _, found = read("time,cell,drops\n2024-03-01T00:00:00+01:00,A,1\n2024-03-01T02:00:00,A,2\n")
    assert found["no-time"].column == "time"
    assert found["no-time"].found == "'2024-03-01T00:00:00+01:00' and '2024-03-01T02:00:00'"
    assert "time_format" in found["no-time"].action


def test_a_time_that_cannot_be_read_is_null(read: Read) -> None:
    """The row stays, without a time, and it is said."""
    rows = "".join(f"2024-03-01 {h:02d}:00,A1,{h}\n" for h in range(2, 24))
    measured, findings = read(TABLE + rows + "soon,A1,1\n")
    assert measured.frame["time"].null_count() == 1
    assert findings["time-unknown"].found == "'soon'"


# -- objects


def test_local_cell_ids_are_joined_with_their_site(read: Read) -> None:
    """Cell 1 of two sites is two cells."""
    measured, findings = read(
        "Time,eNodeB Name,Cell ID,Drops\n2024-03-01,S1,1,5\n2024-03-01,S2,1,6\n2024-03-01,S2,2,7\n"
    )
    assert measured.objects == ["S1/1", "S2/1", "S2/2"]
    assert measured.object_class == "cell"
    assert "object-combined" in findings


def test_relations_have_a_source_and_a_target(read: Read) -> None:
    """Handover tables name two cells."""
    measured, _ = read("Time,Source Cell,Target Cell,HO Att\n2024-03-01,A,B,5\n2024-03-01,B,A,6\n")
    assert measured.objects == ["A->B", "B->A"]
    assert measured.object_class == "relation"


def test_a_table_without_a_name_is_one_object(read: Read) -> None:
    """It is called like the file."""
    measured, findings = read("Time,RSRP\n2024-03-01 00:00:00,-90\n2024-03-01 00:00:01,-91\n")
    assert measured.objects == ["kpis"]
    assert {"no-object", "period-inferred"} <= set(findings)
    assert values(measured, "period_s") == [1.0, 1.0]


@pytest.mark.parametrize("coarse", ["", "Region"])
def test_names_under_unknown_headings_tell_rows_apart(read: Read, coarse: str) -> None:
    """Three cells must not become one object whose rows contradict each other."""
    region = {1: "Nord", 2: "Nord", 3: "Sud"} if coarse else {1: "7", 2: "7", 3: "7"}
    rows = [
        f"2024-03-0{day};{region[cell]};Zelle {cell};Text {cell % 2};{day}{cell}"
        for day in (1, 2, 3)
        for cell in (1, 2, 3)
    ]
    text = f"Datum;{coarse or 'Nr'};Bereich;Anmerkung;Drops\n" + "\n".join(rows)
    measured, found = read(text)
    prefix = {cell: f"{name}/" if coarse else "" for cell, name in region.items()}
    assert measured.objects == [f"{prefix[cell]}Zelle {cell}" for cell in (1, 2, 3)]
    assert values(measured, "Drops") == [11, 21, 31, 12, 22, 32, 13, 23, 33]
    assert found["object-guessed"].column == "Bereich"
    assert "rows-not-unique" not in found


def test_rows_that_nothing_tells_apart_are_not_named_by_chance(read: Read) -> None:
    """A column that is different in every row is a remark, not a name."""
    rows = [f"2024-03-0{1 + i % 2};remark {i};{i}" for i in range(6)]
    measured, found = read("Datum;Notiz;Drops\n" + "\n".join(rows))
    assert measured.objects == ["kpis"]
    assert "rows-not-unique" in found


def test_the_best_heading_names_the_object() -> None:
    """The cell's name goes before its id, and that before the site."""
    headers = ["eNodeB Name", "Cell ID", "E-UTRAN FDD Cell Name"]
    columns = [pl.Series(["S", "S"]), pl.Series(["1", "2"]), pl.Series(["S-1", "S-2"])]
    assert find_objects(headers, columns, None).columns == (2,)


def test_identities_stay_text(read: Read) -> None:
    """An id is no number; one that a spreadsheet rounded is told."""
    measured, findings = read(
        "Time,Cell,ECGI,eNodeB ID,Drops\n2024-03-01,A,4.24E+11,1637.0,1\n"
        "2024-03-01,B,4.24E+11,606-00_1019,2\n"
    )
    assert values(measured, "eNodeB ID") == ["1637", "606-00_1019"]
    assert findings["identity-rounded"].count == 2
    assert findings["identity-as-number"].count == 1
    assert list(measured.columns) == ["Drops"]


# -- headings and noise


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([["Time", "Cell", "A"], ["2024", "x", "1"]], (0, 1)),
        ([["Report"], [], ["Time", "Cell", "A"], ["2024", "x", "1"]], (2, 1)),
        ([["Time", "Cell", "KPI", ""], ["", "", "A", "B"], ["2024", "x", "1", "2"]], (0, 2)),
        ([["Time", "Cell", "A"], ["", "", "(%)"], ["2024", "x", "1"]], (0, 2)),
        ([["Time", "Cell", "A", "B"], ["(h)", "", "(%)", "(%)"], ["1", "x", "1", "2"]], (0, 2)),
        ([["1", "2", "3"], ["4", "5", "6"]], (0, 0)),
    ],
)
def test_where_the_headings_are(rows: list[list[str]], expected: tuple[int, int]) -> None:
    """Titles above, two rows, units below, or none at all."""
    assert find_header(rows) == expected


def test_merged_headings_and_titles(read: Read) -> None:
    """A merged heading covers the columns to its right."""
    measured, findings = read(
        "Weekly report,,,,\n\nTime,Cell,Handover,,Load\n,,Att,Succ,DL\n2024-03-01,A,5,4,0.5\n"
    )
    assert list(measured.columns) == ["Handover / Att", "Handover / Succ", "Load / DL"]
    assert measured.columns["Handover / Succ"].quantity == "MM.HoExeInterSucc"
    assert findings["title-rows"].count == 2


def test_headings_with_odd_spaces_and_repeats(read: Read) -> None:
    """Non-breaking spaces become plain; the original stays known; repeats are told apart."""
    measured, _ = read("Time,Cell\u00a0Name,Drop\u00a0 Rate,Drop Rate,object\n2024-03-01,A,1,2,3\n")
    assert list(measured.columns) == ["Drop Rate", "Drop Rate (2)", "object (as found)"]
    assert measured.columns["Drop Rate"].header == "Drop\u00a0 Rate"
    assert measured.objects == ["A"]


def test_totals_footers_and_repeated_headings_are_left_out(read: Read) -> None:
    """They would count everything twice; each is said."""
    header = "Cell Name,Time,Drops"
    measured, findings = read(
        f"{header}\nA,2024-03-01,1\n{header}\nB,2024-03-01,2\nTotal,,3\nGenerated by OSS,,\n"
    )
    assert values(measured, "Drops") == [1.0, 2.0]
    assert {"repeated-heading", "total-row", "footer-row"} <= set(findings)


def test_lines_of_a_wrong_length(read: Read) -> None:
    """Too long: two records run together, left out. Too short: nulls. Cut at the end: left out."""
    measured, findings = read(
        "Time,Cell,A,B\n2024-03-01,x,1,2\n2024-03-02,x,3,42024-03-03,x,5,6\n2024-03-04,x,7\n"
        "2024-03-05,x,8,9\n2024-03-06,x,1"
    )
    assert values(measured, "A") == [1.0, 7.0, 8.0]
    assert values(measured, "B") == [2.0, None, 9.0]
    assert findings["long-line"].where == "line 3"
    assert findings["short-line"].where == "line 4"
    assert findings["file-cut"].severity == "error"


def test_a_quote_that_never_closes_swallows_nothing(read: Read) -> None:
    """The line with the stray quote and all lines after it are still there, and it is told."""
    rows = [f"2024-03-{day:02d},{chr(34) if day == 2 else ''}A,{day}" for day in range(1, 10)]
    measured, found = read("Time,Cell,Drops\n" + "\n".join(rows) + "\n")
    assert values(measured, "Drops") == [float(day) for day in range(1, 10)]
    assert measured.objects == ["A"]
    assert (found["unpaired-quote"].where, found["unpaired-quote"].count) == ("line 3", 1)


def test_quotes_inside_a_cell_are_no_mistake(read: Read) -> None:
    """19" racks are common."""
    measured, found = read('Time,Cell,Drops\n2024-03-01,19" rack,1\n2024-03-02,19" rack,2\n')
    assert measured.objects == ['19" rack']
    assert "unpaired-quote" not in found


def test_quotes_and_breaks_in_cells(read: Read) -> None:
    """Quoted separators and line breaks belong to the cell."""
    measured, _ = read('Time,Cell,A,Note\n2024-03-01,"x, north",1,"two\nlines"\n')
    assert measured.objects == ["x, north"]
    assert values(measured, "A") == [1.0]


def test_separator_is_not_fooled_by_decimal_commas() -> None:
    """Semicolons separate where commas are decimal."""
    assert separator_of("a;b;c\n1,5;2,5;3\n1,5;2;3,5\n") == ";"


# -- ratios


def test_fractions_under_a_per_cent_heading(read: Read) -> None:
    """Values of 0.99 under "(%)" are fractions; a small one beside them is too."""
    measured, _ = read(
        "Time,Cell,RRC Setup Success Rate (%),DL PRB Utilization (%)\n"
        "2024-03-01,A,0.99,0.2\n2024-03-02,A,0.98,0.3\n"
    )
    assert [info.share for info in measured.columns.values()] == ["fraction", "fraction"]
    assert measured.in_registry_unit("DL PRB Utilization (%)").to_list() == [0.2, 0.3]


def test_per_cent_is_per_cent(read: Read) -> None:
    """99.1 is; a small ratio beside it as well."""
    measured, _ = read(
        "Time,Cell,RRC Setup Success Rate (%),Ping-Pong HO Rate (%)\n2024-03-01,A,99.1,0.5\n"
    )
    assert [info.share for info in measured.columns.values()] == ["percent", "percent"]
    assert measured.in_registry_unit("Ping-Pong HO Rate (%)").to_list() == [0.005]


def test_a_small_ratio_alone_is_not_decided(read: Read) -> None:
    """0.3 alone may be 0.3 % or 30 %."""
    measured, _ = read("Time,Cell,Ping-Pong HO Rate (%)\n2024-03-01,A,0.3\n")
    info = next(iter(measured.columns.values()))
    assert info.share == ""
    assert info.confidence < 0.7


def test_mapping_names_columns(read: Read) -> None:
    """A person says which columns are time and object, and what a heading means."""
    mapping = Mapping(
        {"weird": ColumnRule("prb_utilisation_ratio", "%", 0.01)}, ("W",), ("A", "B"), "",
        "%d~%m~%Y",
    )  # fmt: skip
    measured, _ = read("W,A,B,weird\n02~03~2024,x,y,50\n", mapping=mapping)
    assert measured.objects == ["x/y"]
    assert values(measured, "time") == [datetime(2024, 3, 2, tzinfo=UTC)]
    assert measured.in_registry_unit("weird").to_list() == [0.5]
    with pytest.raises(BadInput, match="the headings are: W, A, B, weird"):
        read("W,A,B,weird\n02~03~2024,x,y,50\n", mapping=Mapping(time=("When",)))


# -- spreadsheets and Parquet


def write_xlsx(path: Path, sheets: dict[str, list[list[Any]]]) -> None:
    """Write a minimal spreadsheet with texts and numbers."""
    kinds = "application/vnd.openxmlformats-officedocument"
    space = "http://schemas.openxmlformats.org"
    with zipfile.ZipFile(path, "w") as book:
        book.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{space}/package/2006/content-types">'
            '<Default Extension="xml" ContentType="application/xml"/>'
            f'<Override PartName="/xl/workbook.xml" ContentType="{kinds}.spreadsheetml.sheet.main'
            '+xml"/></Types>',
        )
        book.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{space}/package/2006/relationships"><Relationship Id="r1" '
            f'Type="{space}/officeDocument/2006/relationships/officeDocument" '
            'Target="xl/workbook.xml"/></Relationships>',
        )
        entries = "".join(
            f'<sheet name="{name}" sheetId="{n}" r:id="r{n}"/>' for n, name in enumerate(sheets, 1)
        )
        book.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{space}/spreadsheetml/2006/main" xmlns:r="{space}/officeDocument/'
            f'2006/relationships"><sheets>{entries}</sheets></workbook>',
        )
        links = "".join(
            f'<Relationship Id="r{n}" Type="{space}/officeDocument/2006/relationships/worksheet" '
            f'Target="worksheets/sheet{n}.xml"/>'
            for n in range(1, len(sheets) + 1)
        )
        book.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{space}/package/2006/relationships">{links}</Relationships>',
        )
        for n, rows in enumerate(sheets.values(), 1):
            body = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in rows)
            book.writestr(
                f"xl/worksheets/sheet{n}.xml",
                f'<worksheet xmlns="{space}/spreadsheetml/2006/main"><sheetData>{body}'
                "</sheetData></worksheet>",
            )


def cell(value: Any) -> str:
    """Return one spreadsheet cell."""
    if isinstance(value, str):
        return f'<c t="inlineStr"><is><t>{value}</t></is></c>' if value else "<c/>"
    return f"<c><v>{value}</v></c>"


def test_sheets_of_a_spreadsheet(tmp_path: Path) -> None:
    """Each sheet with a table is read; the others are told; serial days are times."""
    path = tmp_path / "book.xlsx"
    write_xlsx(
        path,
        {
            "Cover": [["Monthly report", "", ""], ["by", "OSS", ""]],
            "Data": [
                ["Date", "Cell Name", "KPIs", ""],
                ["", "", "Drops", "Success (%)"],
                [45352, "A", 3, 99.5],
                [45353, "A", "#DIV/0!", 98.25],
            ],
        },
    )
    findings = Findings()
    (measured,) = read_table_file(path, findings, kind="spreadsheet")
    assert measured.name == "book.xlsx / Data"
    assert list(measured.columns) == ["KPIs / Drops", "KPIs / Success (%)"]
    assert values(measured, "KPIs / Drops") == [3.0, None]
    assert values(measured, "time")[0] == datetime(2024, 3, 1, tzinfo=UTC)
    left_out = next(f for f in findings.as_tuple() if f.code == "sheet-left-out")
    assert "Cover" in left_out.where


def test_damaged_spreadsheets(tmp_path: Path) -> None:
    """Cut anywhere: a clear error, never a traceback."""
    path = tmp_path / "book.xlsx"
    write_xlsx(path, {"S": [["Time", "Cell", "A"], [45352, "x", 1]]})
    whole = path.read_bytes()
    for size in range(0, len(whole) - 1, 37):
        path.write_bytes(whole[:size])
        with pytest.raises(BadInput, match="expected a spreadsheet"):
            read_file(path)


def test_spreadsheet_bombs_are_refused(tmp_path: Path) -> None:
    """A small archive that unpacks to a huge one is not opened."""
    path = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("xl/worksheets/sheet1.xml", b" " * 3_000_000)
    with pytest.raises(BadInput, match="times its size"):
        read_file(path, limits=Limits(ratio=50, ratio_from_bytes=1_000_000))


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    """Times with a zone become UTC; whole numbers are numbers."""
    path = tmp_path / "kpis.parquet"
    moment = datetime(2024, 3, 1, 12, tzinfo=UTC)
    frame = pl.DataFrame({"time": [moment], "cell": ["A"], "drops": [3], "rate": [float("nan")]})
    frame.with_columns(pl.col("time").dt.convert_time_zone("Asia/Tokyo")).write_parquet(path)
    measured, _ = read_file(path)
    assert values(measured, "time") == [moment]
    assert (values(measured, "drops"), values(measured, "rate")) == ([3.0], [None])
    assert measured.time_zone == "Asia/Tokyo"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BadInput, match="expected a Parquet file"):
        read_file(path)


# -- what is no table


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"\n\n  \n", "an empty file"),
        (b"just one line of words", "one column"),
        (b"Time,Cell,A\n", "headings only"),
        (b"a,b,c\nx,y,z\nu,v,w\n", "measured numbers"),
        (b"site,lat,lon\nA,32.1,13.2\n", "measured numbers"),
        (bytes(range(256)) * 20, "binary data"),
    ],
)
def test_what_is_no_table(read: Read, content: bytes, message: str) -> None:
    """One message with what was found."""
    with pytest.raises(BadInput, match=message):
        read(content)


def test_a_packed_table_that_is_cut(tmp_path: Path) -> None:
    """It says that the packing breaks."""
    path = tmp_path / "kpis.csv.gz"
    whole = gzip.compress(TABLE.encode())
    path.write_bytes(whole)
    assert values(read_file(path)[0], "Drop Rate (%)") == [0.5, 2.5]
    path.write_bytes(whole[:-12])
    with pytest.raises(BadInput, match="expected a complete file"):
        read_file(path)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damage_never_escapes(data: st.DataObject, tmp_path_factory: Any) -> None:
    """Invariant: any bytes give measurements or BadInput, nothing else."""
    whole = (TABLE * 2 + 'Total,,"3"\n').encode()
    position = data.draw(st.integers(0, len(whole) - 1))
    inserted = data.draw(
        st.binary(max_size=5) | st.sampled_from([b'"', b",,,", b"\r", b"\xff\xfe", b"1e999", b"%"])
    )
    dropped = data.draw(st.integers(0, 40))
    path = tmp_path_factory.mktemp("fuzz") / "f.csv"
    path.write_bytes(whole[:position] + inserted + whole[position + dropped :])
    try:
        tables = read_table_file(path, Findings(), kind="text")
    except BadInput:
        return
    for measured in tables:
        numbers = measured.frame.select(list(measured.columns))
        assert all(kind == pl.Float64 for kind in numbers.schema.values())
        assert measured.frame["time"].dtype == pl.Datetime("us", "UTC")


# -- real tables


def test_libyana_daily_sites() -> None:
    """6,205 rows of 16 sites in 389 days, no gap; the first row read by eye."""
    measured, findings = read_file(needs("libyana_lte_kpi") / "aggregated_sites_traffic.xlsx")
    assert measured.frame.height == 6205
    assert len(measured.objects) == 16
    assert measured.object_class == "site"
    assert measured.frame["time"].n_unique() == 389
    assert measured.frame.null_count().sum_horizontal()[0] == 0
    row = measured.frame.filter(pl.col("object") == "TRI022L").row(0, named=True)
    assert row["ps_traffic_volume_gb"] == 1829.7396
    assert row["time"] == datetime(2024, 6, 1, tzinfo=UTC)
    info = measured.columns["outgoing_ho_success_rate_%"]
    assert (info.quantity, info.unit, info.share) == ("handover_success_ratio", "%", "fraction")
    assert set(findings) == {"time-zone-missing", "period-inferred"}


def test_libyana_cells_with_odd_headings() -> None:
    """153 rows of 35 cells; headings with non-breaking spaces; an id that is two things."""
    measured, _ = read_file(needs("libyana_lte_kpi") / "LTE_KPIs_Subset.xlsx")
    assert measured.frame.height == 153
    assert len(measured.objects) == 35
    assert "E-UTRAN FDD Cell Name" in measured.labels
    assert {"1637", "606-00_1019"} <= set(values(measured, "eNodeB ID"))
    assert measured.frame["period_s"].unique().to_list() == [86400.0]
    prb = measured.columns["DL PRB Utilization Rate(%)"]
    assert (prb.quantity, prb.share, prb.scale) == ("prb_utilisation_ratio", "fraction", 1.0)
    assert measured.columns["latitude"].role is Role.ATTRIBUTE


def test_ntu_handover_seconds() -> None:
    """98,893 seconds of 351 runs, 569 radio link failures; 19 cells with two events are told."""
    findings = Findings()
    path = needs("ntu_wmnlab_handoff") / "all_runs.csv.gz"
    (measured,) = read_table_file(path, findings, kind="text")
    assert measured.frame.height == 98893
    assert len(measured.objects) == 351
    assert (measured.frame["RLF"] > 0).sum() == 569
    told = [f.count for f in findings.as_tuple() if f.code == "value-not-a-number"]
    assert sum(told) == 19


def test_ntu_ragged_file() -> None:
    """Line 36 has 49 fields instead of 30."""
    path = next(needs("ntu_wmnlab_handoff").glob("odd__2023-06-12*"))
    measured, findings = read_file(path)
    assert findings["long-line"].where == "line 36"
    assert findings["long-line"].found == "49"
    assert measured.frame.height == path.read_text(encoding="utf-8").count("\n") - 2


def test_dakar_drive_test() -> None:
    """2,625 rows; lines that end with a tab; cells are told apart by their node."""
    folder = needs("dakar_gnettrack_3ops") / "raw_logs"
    measured, findings = read_file(folder / "Orange_log.txt.gz")
    assert measured.frame.height == 2625
    assert len(measured.objects) == 126
    assert "object-combined" in findings
    assert values(measured, "time")[0].year == 2025


def test_tractor_radio_kpis() -> None:
    """Epoch milliseconds, units in brackets, unnamed empty columns."""
    path = needs("tractor_colosseum") / "embb4_1010123456002_metrics.csv.gz"
    measured, _ = read_file(path)
    assert measured.frame["time"].min() == datetime(2023, 3, 3, 3, 5, 4, 32000, tzinfo=UTC)
    assert measured.columns["tx_brate downlink [Mbps]"].unit == "Mbit/s"
    assert measured.frame["period_s"][0] == 0.25
    assert measured.time_zone == "UTC"
    assert not any(name.startswith("column ") for name in measured.columns)
