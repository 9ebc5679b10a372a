"""Whatever a file holds: an analysis, or an error that says what is wrong. Never a crash."""

from __future__ import annotations

import gzip
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from cellhive.adapters.reading import read_paths
from cellhive.app.analysis import analyse_paths
from cellhive.cli.output import PlainConsole
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.measurements import OBJECT, TIME, Finding
from cellhive.flows.analyse import Analysis
from cellhive.reports.analysis.report import analysis_json, analysis_markdown, render_analysis
from cellhive.reports.analysis.screen import analysis_screen

HEAD = "Start Time,Cell Name,RRC Setup Attempts,Drop Rate (%)\n"
DATA = Path(__file__).parents[3] / "shared" / "data"


def rows(hours: int = 30, cell: str = "A", value: Callable[[int], str] | None = None) -> str:
    """Return lines of a healthy table."""
    of = value or (lambda hour: f"{hour * 7 % 11 + 100},0.{hour % 9 + 1}")
    return "".join(
        f"2024-03-{1 + hour // 24:02d} {hour % 24:02d}:00:00,{cell},{of(hour)}\n"
        for hour in range(hours)
    )


def outcome(path: Path) -> tuple[Analysis | None, str, str]:
    """Return the analysis of a file, its reports as text, and its screen; or the error."""
    try:
        _, analysis = analyse_paths([path])
    except (BadInput, NotFound) as error:
        return None, _words(error), ""
    assert not [one for one in analysis.findings if "defect" in str(one)]
    screen = PlainConsole(file=io.StringIO(), force_terminal=True, width=120)
    screen.print(analysis_screen(analysis, {}, {}))
    assert isinstance(screen.file, io.StringIO)
    json.loads(analysis_json(analysis))
    pages = render_analysis(analysis) + analysis_markdown(analysis)
    return analysis, pages, screen.file.getvalue()


def _words(error: Exception) -> str:
    """Return the words of an error, which is none of ours."""
    text = str(error)
    if "defect of the reader" in text:
        raise AssertionError(text) from error
    return text


def written(folder: Path, name: str, data: bytes) -> Path:
    """Return a file with some content."""
    path = folder / name
    path.write_bytes(data)
    return path


GOOD = (HEAD + rows()).encode()
LAUGHS = b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "x"><!ENTITY b "&a;&a;">]><m>&b;</m>'
BROKEN = {
    "empty.csv": (b"", "empty"),
    "blank.csv": (b" \n \n", "empty"),
    "headings.csv": (HEAD.encode(), "headings only"),
    "one column.csv": (b"x\ny\n", "one column"),
    "binary.csv": (np.random.default_rng(0).bytes(9000), "binary"),
    "cut.csv.gz": (gzip.compress(GOOD)[:-9], "ends or breaks"),
    "bomb.csv.gz": (gzip.compress(b"0" * 80_000_000, 9), "decompression bomb"),
    "laughs.xml": (LAUGHS, "entities are refused"),
    "deep.xml": (b"<a>" * 50_000, "well-formed XML"),
    "deep.json": (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "recursion"),
    "cut.json": (b'{"event":{"commonEventHeader":', "JSON"),
    "no parquet.parquet": (b"PAR1" + bytes(90) + b"PAR1", "Parquet"),
    "no sheet.xlsx": (b"PK\x03\x04" + bytes(90), "spreadsheet"),
    "old.xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "spreadsheet"),
    "one line.csv": (b"1,2," * 3_000_000, "lines of at most"),
    "wide.csv": ((HEAD.strip() + ",k" * 20_000 + "\n").encode() + b"1\n", "columns"),
    "long field.csv": ((HEAD + rows(3)).encode() + b'"' + b"x" * 1_100_000 + b'",B,1,2\n', ""),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_table_is_refused_in_words(tmp_path: Path, name: str) -> None:
    """The error names the file, and says what was found."""
    data, words = BROKEN[name]
    analysis, text, _ = outcome(written(tmp_path, name, data))
    assert analysis is None
    assert name in text
    assert words in text


HOSTILE = (
    "<script>alert(1)</script>", "</title><img src=x onerror=alert(1)>", "=cmd|'/C calc'!A0",
    "\x1b[31mred\x1b]0;title\x07", "[a](javascript:alert(1))", "\u202eevil", "{{7*7}}{% raw %}",
    "[bold]x[/bold]", "a|b`c`", "A" * 3000, "' onmouseover='x", "</script><script>x()</script>",
)  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("place", ["cell", "column", "file"])
def test_hostile_names_are_shown_and_not_obeyed(tmp_path: Path, name: str, place: str) -> None:
    """Markup, links, formulas and control characters stay text in every report."""
    quoted = '"' + name.replace('"', '""') + '"'
    text = HEAD + rows() + rows(3, quoted)
    if place == "column":
        text = f"Start Time,Cell Name,{quoted},Users\n" + rows()
    file = name.replace("/", "_")[:80] + ".csv" if place == "file" else "kpis.csv"
    analysis, pages, screen = outcome(written(tmp_path, file, text.encode()))
    assert analysis is not None
    for spell in ("<script>alert", "<script>x()", "<img src=x"):
        assert spell not in pages
    assert "[a](javascript" not in analysis_markdown(analysis)
    for spell in ("\x1b[31mred", "\x1b]0;", "\u202e"):
        assert spell not in pages + screen
    assert "{{7*7}}" in pages or not name.startswith("{{")  # a template is not run


def test_the_screen_does_not_obey_control_characters() -> None:
    """A plain console of the library would."""
    for kind, obeys in ((Console, True), (PlainConsole, False)):
        screen = kind(file=io.StringIO(), force_terminal=True)
        screen.print("a\x1b]0;title\x07b", markup=False, highlight=False)
        assert isinstance(screen.file, io.StringIO)
        assert ("\x1b]0;" in screen.file.getvalue()) is obeys


def codes(findings: tuple[Finding, ...]) -> set[str]:
    """Return the codes of findings."""
    return {one.code for one in findings}


def test_zero_bytes_and_old_line_ends_are_read_and_said(tmp_path: Path) -> None:
    """A hole of zeros is a part that was never written; a line may end in a return alone."""
    zeros = HEAD + rows(200, "A") + "\x00" * 40 + rows(30, "B")
    path = written(tmp_path, "zeros.csv", zeros.encode())
    found = {one.code: one.count for one in read_paths([path]).findings}
    assert found["zero-bytes"] == 40
    old = written(tmp_path, "old.csv", GOOD.replace(b"\n", b"\r"))
    assert read_paths([old]).measurements[0].frame.height == 30


def test_words_for_no_number_and_absurd_numbers_become_empty(tmp_path: Path) -> None:
    """inf, NaN, 1e308: none of them reaches a mean."""
    texts = ("inf", "NaN", "-Infinity", "1e308", "-1e308", "12")
    text = HEAD + rows(60, value=lambda hour: f"{hour % 50 + 10},{texts[hour % 6]}")
    analysis, _, _ = outcome(written(tmp_path, "words.csv", text.encode()))
    assert analysis is not None
    found = {one.code: one.count for one in analysis.findings if one.column == "Drop Rate (%)"}
    assert found["value-missing"] == 30
    assert found["impossible"] == 20
    (means,) = (s for part in analysis.parts for s in part.summaries if s.kpi == "Drop Rate (%)")
    assert means.network.mean == 12.0


def test_nested_columns_of_parquet_are_left_out_and_said(tmp_path: Path) -> None:
    """Lists and bytes are no measurements; lengths of time are seconds."""
    frame = pl.DataFrame(
        {
            "time": [f"2024-01-{day:02d}" for day in range(1, 15)], "cell": ["A"] * 14,
            "users": [float(day) for day in range(14)], "list": [[1, 2]] * 14,
            "raw": [b"x"] * 14, "outage": pl.Series([60_000_000] * 14).cast(pl.Duration("us")),
        }
    )  # fmt: skip
    frame.write_parquet(tmp_path / "x.parquet")
    result = read_paths([tmp_path / "x.parquet"])
    assert sorted(f.column for f in result.findings if f.code == "nested-column") == ["list", "raw"]
    assert result.measurements[0].frame["outage"].unique().to_list() == [60.0]


def test_pipes_loops_and_closed_files_do_not_hang(tmp_path: Path) -> None:
    """A pipe is refused, a loop of links is not followed, what is good beside them is read."""
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "self.csv").symlink_to(tmp_path / "self.csv")
    written(tmp_path, "good.csv", GOOD)
    assert [one.path.name for one in read_paths([tmp_path]).files] == ["good.csv"]
    with pytest.raises(BadInput, match="pipe or a device"):
        read_paths([tmp_path / "pipe.csv"])


def test_a_file_of_gigabytes_of_nothing_ends_at_once(tmp_path: Path) -> None:
    """A sparse file takes no room on the disk and must take none in memory."""
    path = tmp_path / "sparse.csv"
    with path.open("wb") as stream:
        stream.truncate(40 << 30)
    analysis, text, _ = outcome(path)
    assert analysis is None
    assert "empty" in text


def test_fifty_thousand_objects_of_one_row(tmp_path: Path) -> None:
    """Each is a series of one value: summed up, not judged."""
    lines = "".join(f"2024-03-01 00:00:00,C{i},{i % 97},0.3\n" for i in range(50_000))
    result = read_paths([written(tmp_path, "many.csv", (HEAD + lines).encode())])
    assert result.measurements[0].frame.height == 50_000


# Fuzzed -------------------------------------------------------------------------

XML = b"""<?xml version="1.0"?><measCollecFile xmlns="http://www.3gpp.org/ftp/specs/archive/32_series/32.435#measCollec"><fileHeader fileFormatVersion="32.435 V10.0" vendorName="V"><fileSender localDn="DC=A"/><measCollec beginTime="2024-01-01T00:00:00+00:00"/></fileHeader><measData><managedElement localDn="ME=1"/><measInfo measInfoId="c"><granPeriod duration="PT900S" endTime="2024-01-01T00:15:00+00:00"/><repPeriod duration="PT900S"/><measType p="1">RRC.ConnEstabAtt</measType><measValue measObjLdn="Cell=1"><r p="1">12</r></measValue></measInfo></measData><fileFooter><measCollec endTime="2024-01-01T00:15:00+00:00"/></fileFooter></measCollecFile>"""  # noqa: E501
JSON = (
    b'[{"time":"2024-01-01T00:00:00Z","cell":"A","users":5.5,"drops":1},'
    b'{"time":"2024-01-01T01:00:00Z","cell":"A","users":6.5,"drops":2}]'
)


def sheet() -> bytes:
    """Return a small spreadsheet with a formula and an error in it."""
    cells = "".join(
        f'<row r="{r}"><c r="A{r}" t="inlineStr"><is><t>2024-01-{r:02d}</t></is></c>'
        f'<c r="B{r}" t="inlineStr"><is><t>A</t></is></c><c r="C{r}"><f>1+{r}</f><v>{r}</v></c>'
        f'<c r="D{r}" t="e"><v>#DIV/0!</v></c></row>' for r in range(2, 20)
    )  # fmt: skip
    head = "".join(
        f'<c r="{c}1" t="inlineStr"><is><t>{t}</t></is></c>'
        for c, t in zip("ABCD", ("Date", "Cell", "Users", "Drops"), strict=True)
    )
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    rel = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    kinds = "http://schemas.openxmlformats.org/package/2006"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{kinds}/content-types"><Default Extension="xml" '
        'ContentType="application/xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{kinds}/relationships"><Relationship Id="r1" '
        f'Type="{rel}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{rel}"><sheets><sheet '
        'name="=cmd|&lt;script&gt;alert" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{kinds}/relationships"><Relationship '
        f'Id="r1" Type="{rel}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData><row r="1">{head}</row>'
        f"{cells}</sheetData></worksheet>",
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return out.getvalue()


def test_formulas_are_read_by_their_values_and_sheet_names_are_only_names(tmp_path: Path) -> None:
    """The cached value of a formula counts, an error is no number, a sheet's name is escaped."""
    analysis, pages, screen = outcome(written(tmp_path, "x.xlsx", sheet()))
    assert analysis is not None
    (part,) = analysis.parts
    assert part.panels[0].values.ravel().tolist() == [float(r) for r in range(2, 20)]
    assert "<script>alert" not in pages
    assert "=cmd|<script>alert" in screen


def _parquet() -> bytes:
    out = io.BytesIO()
    pl.DataFrame(
        {"time": ["2024-01-01", "2024-01-02"], "cell": ["A", "B"], "users": [1.0, 2.0]}
    ).write_parquet(out)
    return out.getvalue()


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Return data with a few things gone wrong."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        at, size = int(rng.integers(0, len(out) + 1)), int(rng.integers(1, 40))
        match int(rng.integers(0, 6)):
            case 0:
                out[at : at + 1] = rng.bytes(1)
            case 1:
                del out[at : at + size]
            case 2:
                out[at:at] = out[at : at + size] * int(rng.integers(1, 4))
            case 3:
                out[at:at] = rng.bytes(size)
            case 4:
                del out[at:]
            case _:
                out[at : at + size] = bytes(size)
        if not out:
            break
    return bytes(out)


REAL = ("formats_pm/bodastage/pm.xml", "formats_pm/onap_son_handler/hoDetails.json")
SEEDS = {
    "csv": GOOD, "xml": XML, "json": JSON, "xlsx": sheet(), "parquet": _parquet(),
    "csv.gz": gzip.compress(GOOD),
    **{Path(name).suffix[1:] + " real": (DATA / name).read_bytes()
       for name in REAL if (DATA / name).exists()},
}  # fmt: skip


@pytest.mark.parametrize("kind", SEEDS)
def test_damaged_files_are_read_or_refused(tmp_path: Path, kind: str) -> None:
    """Forty ways to spoil each format; none of them is a defect of a reader."""
    rng = np.random.default_rng(abs(sum(kind.encode())))
    for index in range(40):
        path = tmp_path / f"{index}.{kind.partition(' ')[0]}"
        path.write_bytes(mutated(SEEDS[kind], rng))
        try:
            result = read_paths([path])
        except (BadInput, NotFound) as error:
            _words(error)
            continue
        assert not [one for one in result.findings if "defect" in str(one)]
        if index % 20 == 0:
            outcome(path)


def test_a_cut_table_gives_no_number_that_was_not_there_without_a_word(tmp_path: Path) -> None:
    """Wherever it is cut: each value is the original's, or a finding speaks of the end."""
    whole = read_paths([written(tmp_path, "whole.csv", GOOD)]).measurements[0].frame
    names = ["RRC Setup Attempts", "Drop Rate (%)"]
    for size in range(len(HEAD) + 90, len(GOOD), 17):
        path = written(tmp_path, "cut.csv", GOOD[:size])
        try:
            result = read_paths([path])
        except BadInput:
            continue
        both = result.measurements[0].frame.join(whole, on=[OBJECT, TIME], how="left", suffix=" w")
        right = all((both[n].is_null() | (both[n] == both[f"{n} w"])).all() for n in names)
        spoken = codes(result.findings) & {"file-cut", "last-line-open", "time-unknown"}
        assert right or spoken, GOOD[:size][-60:]
