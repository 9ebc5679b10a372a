"""Measurement files: the right values from every dialect, and clear words for bad ones.

Expected values were read by eye in the files; the real ones are the public 3GPP examples.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellhive.adapters.pm.pm_collect import class_of, join_dn
from cellhive.adapters.pm.pm_time import parse_duration, parse_time
from cellhive.adapters.pm.pm_xml import parse_pm, read_pm_file, read_pm_files
from cellhive.adapters.unpacking.packings import Limits
from cellhive.core.errors import BadInput
from cellhive.core.measurements import Findings, Measurements, Role, Severity

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "formats_pm"
real = pytest.mark.skipif(not DATA.exists(), reason="the public PM examples are not here")

FILE = """<?xml version="1.0" encoding="UTF-8"?>
<measCollecFile xmlns="http://www.3gpp.org/ftp/specs/archive/32_series/32.435#measCollec">
  <fileHeader fileFormatVersion="32.435 V10.0" vendorName="V" dnPrefix="SubNetwork=N">
    <fileSender localDn="OSS=1"/><measCollec beginTime="2024-03-01T12:00:00+01:00"/>
  </fileHeader>
  <measData>
    <managedElement localDn="ManagedElement=A"/>
    <measInfo measInfoId="G">
      <granPeriod duration="PT900S" endTime="2024-03-01T12:15:00+01:00"/>
      {types}
      {values}
    </measInfo>
  </measData>
  <fileFooter><measCollec endTime="2024-03-01T12:15:00+01:00"/></fileFooter>
</measCollecFile>
"""
TYPES = '<measType p="1">a</measType><measType p="2">b</measType>'


def value(cell: int, *numbers: str, suspect: str = "") -> str:
    """Return a measValue in the r notation."""
    rows = "".join(f'<r p="{p}">{number}</r>' for p, number in enumerate(numbers, 1))
    flag = f"<suspect>{suspect}</suspect>" if suspect else ""
    return f'<measValue measObjLdn="NRCellDU={cell}">{rows}{flag}</measValue>\n'


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Write a measurement file and return its path."""

    def write(values: str, types: str = TYPES, name: str = "A.xml", text: str = FILE) -> Path:
        path = tmp_path / name
        path.write_text(text.format(types=types, values=values), encoding="utf-8")
        return path

    return write


def column(measured: Measurements, name: str) -> dict[str, Any]:
    """Return a column's values by the last part of the object's name."""
    names = [name.rsplit(",", 1)[-1] for name in measured.frame["object"]]
    return dict(zip(names, measured.frame[name].to_list(), strict=True))


def codes(path: Path) -> dict[str, int]:
    """Return how often each finding occurs in a file."""
    return {finding.code: finding.count for finding in read_pm_file(path).findings}


# -- the notations


def test_both_notations_give_the_same_table(written: Callable[..., Path]) -> None:
    """MeasTypes with measResults, and measType with r, mean the same."""
    by_position = written(value(1, "5", "7.5") + value(2, "6", "0"))
    listed = written(
        '<measValue measObjLdn="NRCellDU=1"><measResults>5 7.5</measResults></measValue>'
        '<measValue measObjLdn="NRCellDU=2"><measResults>6 0</measResults></measValue>',
        "<measTypes>a b</measTypes>",
        "B.xml",
    )
    first, second = (read_pm_file(path).measurements[0] for path in (by_position, listed))
    assert first.frame.equals(second.frame)
    assert column(first, "b") == {"NRCellDU=1": 7.5, "NRCellDU=2": 0.0}
    assert first.frame["object"][0] == "SubNetwork=N,ManagedElement=A,NRCellDU=1"
    assert first.frame["time"][0] == datetime(2024, 3, 1, 11, 0, tzinfo=UTC)
    assert first.frame["period_s"].to_list() == [900.0, 900.0]
    assert (first.object_class, first.time_zone) == ("NRCellDU", "+01:00")


def test_both_notations_in_one_file(written: Callable[..., Path]) -> None:
    """One file may mix them, with the positions in any order."""
    second = (
        '<measTypes>c d</measTypes><measValue measObjLdn="NRCellDU=1">'
        "<measResults>1 2</measResults></measValue>"
    )
    first = '<measValue measObjLdn="NRCellDU=1"><r p="2">20</r><r p="1">10</r></measValue>'
    period = '<granPeriod duration="PT15M" endTime="2024-03-01T11:15:00Z"/>'
    path = written(f'{first}</measInfo><measInfo measInfoId="H">{period}{second}')
    row = read_pm_file(path).measurements[0].frame.row(0, named=True)
    assert [row[name] for name in "abcd"] == [10.0, 20.0, 1.0, 2.0]


def test_vectors_become_a_column_per_bin(written: Callable[..., Path]) -> None:
    """A value "1,2,3" is three numbers of one counter."""
    measured = read_pm_file(written(value(1, "1,2,3", "9"))).measurements[0]
    assert list(measured.columns) == ["a[0]", "a[1]", "a[2]", "b"]
    assert measured.frame.row(0)[4:] == (1.0, 2.0, 3.0, 9.0)
    assert (measured.columns["a[2]"].base, measured.columns["a[2]"].bin) == ("a", 2)


def test_a_vector_that_changes_its_size_is_told(written: Callable[..., Path]) -> None:
    """Bins keep their index; those that are not there are null."""
    path = written(value(1, "1,2,3", "9") + value(2, "4,5", "9"))
    assert column(read_pm_file(path).measurements[0], "a[2]") == {
        "NRCellDU=1": 3.0,
        "NRCellDU=2": None,
    }
    assert codes(path) == {"vector-size-varies": 1}


@pytest.mark.parametrize("text", ["", " ", "NIL", "null", "...", "N/A", "NaN"])
def test_missing_values_are_null(written: Callable[..., Path], text: str) -> None:
    """Nothing, and every word for nothing, is null and counted, never zero."""
    path = written(value(1, text, "1") + value(2, "3", "4"))
    measured = read_pm_file(path).measurements[0]
    assert column(measured, "a") == {"NRCellDU=1": None, "NRCellDU=2": 3.0}
    assert codes(path) == {"value-missing": 1}


@pytest.mark.parametrize("text", ["1_000", "inf", "twelve", "1,two", "0x10"])
def test_text_is_never_taken_for_a_number(written: Callable[..., Path], text: str) -> None:
    """What Python would convert but a person would not is kept as text."""
    path = written(value(1, text, "1") + value(2, "3", "4"))
    measured = read_pm_file(path).measurements[0]
    assert column(measured, "a")["NRCellDU=1"] is None
    assert column(measured, "a (text)")["NRCellDU=1"] == text
    assert measured.labels == ("a (text)",)
    assert codes(path) == {"value-not-a-number": 1}


def test_suspect_rows_are_marked(written: Callable[..., Path]) -> None:
    """The source's own flag travels with the row."""
    path = written(value(1, "1", "2", suspect="true") + value(2, "1", "2", suspect="false"))
    marked = column(read_pm_file(path).measurements[0], "suspect")
    assert marked == {"NRCellDU=1": True, "NRCellDU=2": False}


def test_values_without_a_counter_are_left_out(written: Callable[..., Path]) -> None:
    """A position that was not declared, or declared twice, has no meaning."""
    odd = (
        '<measValue measObjLdn="NRCellDU=1"><r p="1">1</r><r p="9">2</r><r p="1">3</r></measValue>'
    )
    path = written(odd)
    assert column(read_pm_file(path).measurements[0], "a") == {"NRCellDU=1": 1.0}
    assert codes(path) == {"value-without-name": 2}


def test_rows_with_a_wrong_count_are_left_out(written: Callable[..., Path]) -> None:
    """Three values for two counters cannot be told apart."""
    rows = (
        '<measValue measObjLdn="NRCellDU=1"><measResults>1 2 3</measResults></measValue>'
        '<measValue measObjLdn="NRCellDU=2"><measResults>1 2</measResults></measValue>'
    )
    path = written(rows, "<measTypes>a b</measTypes>")
    assert column(read_pm_file(path).measurements[0], "a") == {"NRCellDU=2": 1.0}
    finding = read_pm_file(path).findings[0]
    assert (finding.code, finding.severity) == ("count-mismatch", Severity.ERROR)
    assert (finding.expected[:8], finding.found) == ("2 values", "3")


def test_repeated_and_conflicting_values(written: Callable[..., Path]) -> None:
    """The same value twice is kept once; of two different ones the first is, and it is said."""
    path = written(value(1, "1", "2") + value(1, "1", "3"))
    measured = read_pm_file(path).measurements[0]
    assert measured.frame.select("a", "b").rows() == [(1.0, 2.0)]
    assert codes(path) == {"conflicting-values": 1, "duplicate-value": 1}


def test_one_name_in_two_groups_stays_two_counters(written: Callable[..., Path]) -> None:
    """A measInfo is part of a counter's identity where the same objects have both."""
    period = '<granPeriod duration="PT15M" endTime="2024-03-01T11:15:00Z"/>'
    path = written(f'{value(1, "1", "2")}</measInfo><measInfo measInfoId="H">{period}{TYPES}'
                   f"{value(1, '5', '6')}")  # fmt: skip
    measured = read_pm_file(path).measurements[0]
    assert measured.frame.row(0, named=True)["G/a"] == 1.0
    assert measured.frame.row(0, named=True)["H/a"] == 5.0


def test_a_counter_that_is_always_missing_is_a_null_column(written: Callable[..., Path]) -> None:
    """It was configured, so it must be seen."""
    measured = read_pm_file(written(value(1, "NIL", "1"))).measurements[0]
    assert column(measured, "a") == {"NRCellDU=1": None}


def test_known_names_are_mapped(written: Callable[..., Path]) -> None:
    """TS 28.552 names are the registry's own."""
    types = '<measType p="1">RRU.PrbTotDl</measType><measType p="2">vendorThing</measType>'
    info = read_pm_file(written(value(1, "5", "7"), types)).measurements[0].columns
    assert (info["RRU.PrbTotDl"].quantity, info["RRU.PrbTotDl"].confidence) == ("RRU.PrbTotDl", 1)
    assert info["vendorThing"].quantity is None


# -- times, names


@pytest.mark.parametrize(
    ("text", "expected", "zone"),
    [
        ("2024-03-01T12:15:00+01:00", datetime(2024, 3, 1, 11, 15, tzinfo=UTC), "+01:00"),
        ("2024-03-01T12:15:00+0100", datetime(2024, 3, 1, 11, 15, tzinfo=UTC), "+01:00"),
        ("2024-03-01T12:15:00.000-05:00:00", datetime(2024, 3, 1, 17, 15, tzinfo=UTC), "-05:00"),
        ("2024-03-01T12:15:00Z", datetime(2024, 3, 1, 12, 15, tzinfo=UTC), "UTC"),
        ("2024-03-01T24:00:00", datetime(2024, 3, 2, tzinfo=UTC), ""),
        ("20240301121500+0530", datetime(2024, 3, 1, 6, 45, tzinfo=UTC), "+05:30"),
    ],
)
def test_times_of_all_kinds(text: str, expected: datetime, zone: str) -> None:
    """Every way that files in the field write a time (worked out by hand)."""
    found = parse_time(text)
    assert found == (round(expected.timestamp() * 1e6), zone)


@pytest.mark.parametrize("text", ["", "yesterday", "2024-13-01T00:00:00Z", "2024-03-01T25:00:00"])
def test_what_is_no_time(text: str) -> None:
    """No guess is made."""
    assert parse_time(text) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("PT900S", 900), ("PT15M", 900), ("PT1H", 3600), ("P1D", 86400), ("P", None), ("15", None)],
)
def test_durations(text: str, seconds: float | None) -> None:
    """The parts of xs:duration that granularities use."""
    assert parse_duration(text) == seconds


def test_names_are_joined_without_repeats() -> None:
    """Vendors repeat the element in the object, or write its bare value (Keysight, Ericsson)."""
    assert join_dn("DC=k,SubNetwork=M", "ManagedElement=G", "ManagedElement=G,NRCellDU=1") == (
        "DC=k,SubNetwork=M,ManagedElement=G,NRCellDU=1"
    )
    assert join_dn("SubNetwork=G3", "node7", "ManagedElement=node7,Cell=1") == (
        "SubNetwork=G3,ManagedElement=node7,Cell=1"
    )
    assert join_dn("", "NodeName", "") == "NodeName"
    assert class_of("ManagedElement=A,NRCellDU=1") == "NRCellDU"
    assert class_of("objLdn") == ""


def test_unknown_period_and_time_are_null(written: Callable[..., Path]) -> None:
    """What cannot be read is null and said, never invented."""
    text = FILE.replace('"PT900S"', '"often"').replace("12:15:00+01:00", "noon")
    path = written(value(1, "1", "2"), text=text.replace("beginTime", "began"))
    frame = read_pm_file(path).measurements[0].frame
    assert frame["period_s"].to_list() == [None]
    assert frame["time"].to_list() == [None]
    assert set(codes(path)) == {"period-unknown", "time-unknown"}


# -- bad files


def test_every_cut_keeps_what_was_complete(tmp_path: Path, written: Callable[..., Path]) -> None:
    """A file cut anywhere gives its complete rows and a finding, or one clear error."""
    rows = "".join(value(cell, str(cell), "2,3") for cell in range(1, 6))
    whole = written(rows).read_bytes()
    ends = [i + 12 for i in range(len(whole)) if whole.startswith(b"</measValue>", i)]
    assert len(ends) == 5
    path = tmp_path / "cut.xml"
    for size in range(len(whole.rstrip())):
        path.write_bytes(whole[:size])
        expected = sum(end <= size for end in ends)
        if expected == 0:
            with pytest.raises(BadInput, match=r"cut\.xml"):
                read_pm_file(path)
            continue
        reading = read_pm_file(path)
        assert reading.measurements[0].frame.height == expected, size
        finding = reading.findings[0]
        assert (finding.code, finding.severity) == ("file-cut", Severity.ERROR)
        assert finding.where.startswith("line ")


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_packed_files_whole_and_cut(
    tmp_path: Path, written: Callable[..., Path], pack: Callable[[bytes], bytes]
) -> None:
    """Packed files read like plain ones; cut ones give an error or a finding at any size."""
    content = written("".join(value(c, str(c), str(c * 7919 % 1009)) for c in range(300)))
    packed = pack(content.read_bytes())
    path = tmp_path / "A.xml.packed"
    path.write_bytes(packed)
    assert read_pm_file(path).measurements[0].frame.height == 300
    for size in range(0, len(packed) - 9, max(1, len(packed) // 23)):
        path.write_bytes(packed[:size])
        try:
            reading = read_pm_file(path)
        except BadInput:
            continue
        assert "file-cut" in {finding.code for finding in reading.findings}


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "an empty file"),
        (b"   \n ", "something else"),
        (b"hello, world", "something else"),
        (b"\x00\x01\x02\x03", "something else"),
        (b"PK\x03\x04", "something else"),
        (b"<html><body/></html>", "<html>"),
        (b"<?xml version='1.0'?><bulkCmConfigDataFile/>", "<bulkCmConfigDataFile>"),
    ],
)
def test_what_is_no_measurement_file(tmp_path: Path, content: bytes, found: str) -> None:
    """One message: the file, what was expected, what was found."""
    path = tmp_path / "x.xml"
    path.write_bytes(content)
    with pytest.raises(BadInput) as caught:
        read_pm_file(path)
    assert str(path) in str(caught.value)
    assert found in str(caught.value)
    assert caught.value.remedy


def test_entities_are_refused(tmp_path: Path, written: Callable[..., Path]) -> None:
    """Neither a billion laughs nor a file of this machine gets in."""
    text = written(value(1, "&x;", "2")).read_text(encoding="utf-8")
    for doctype in (
        '<!DOCTYPE measCollecFile [<!ENTITY x "1"><!ENTITY y "&x;&x;&x;">]>',
        '<!DOCTYPE measCollecFile [<!ENTITY x SYSTEM "file:///etc/hostname">]>',
        '<!DOCTYPE measCollecFile SYSTEM "http://localhost/x.dtd">',
    ):
        path = tmp_path / "evil.xml"
        path.write_text(text.replace("?>\n", f"?>\n{doctype}\n", 1), encoding="utf-8")
        with pytest.raises(BadInput, match="entity"):
            read_pm_file(path)


def test_bombs_are_stopped(tmp_path: Path) -> None:
    """A small file that unpacks to a huge one is refused before it fills the memory."""
    path = tmp_path / "bomb.xml.gz"
    path.write_bytes(gzip.compress(b"<measCollecFile>" + b" " * 4_000_000, 9))
    limits = Limits(ratio=100.0, ratio_from_bytes=1_000_000)
    with pytest.raises(BadInput, match="bomb"):
        parse_pm(path, Findings(), limits)


def test_wrong_encoding_is_read_and_told(tmp_path: Path, written: Callable[..., Path]) -> None:
    """Latin-1 bytes in a file that says UTF-8 do not cost the numbers."""
    text = written(value(1, "1", "2")).read_text(encoding="utf-8")
    path = tmp_path / "latin.xml"
    path.write_bytes(text.replace("ManagedElement=A", "ManagedElement=Göteborg").encode("latin-1"))
    reading = read_pm_file(path)
    assert "ManagedElement=Göteborg" in reading.measurements[0].frame["object"][0]
    assert [finding.code for finding in reading.findings] == ["wrong-encoding"]


def test_every_counter_of_a_measurement_file_is_one(written: Callable[..., Path]) -> None:
    """A name that sounds like an attribute of the object ("sector", "CGI") is a counter here."""
    types = '<measType p="1">pmSectorCarrierDowntime</measType>'
    (measured,) = read_pm_file(written(value(1, "7"), types)).measurements
    assert measured.columns["pmSectorCarrierDowntime"].role is Role.UNKNOWN


def test_a_suspect_group_does_not_cost_the_other_counters(written: Callable[..., Path]) -> None:
    """The mark belongs to one measValue (TS 32.435 §4.1), not to all counters of the object."""
    period = '<granPeriod duration="PT900S" endTime="2024-03-01T12:15:00+01:00"/>'
    second = f'</measInfo><measInfo measInfoId="H">{period}<measType p="1">c</measType>'
    path = written(value(1, "1", "2") + second + value(1, "3", suspect="true"))
    reading = read_pm_file(path)
    (row,) = reading.measurements[0].frame.select("suspect", "a", "b", "c").rows()
    assert row == (False, 1.0, 2.0, None)
    (finding,) = reading.findings
    assert (finding.code, finding.column, finding.count) == ("suspect-values", "c", 1)


def test_a_row_that_is_suspect_as_a_whole_keeps_its_values(written: Callable[..., Path]) -> None:
    """What to do about it is not for the reader to decide."""
    frame = read_pm_file(written(value(1, "1", "2", suspect="true"))).measurements[0].frame
    assert frame.select("suspect", "a", "b").rows() == [(True, 1.0, 2.0)]


@pytest.mark.parametrize(
    ("declared", "written_in", "told"),
    [
        ("GB2312", "gb18030", []),
        ("GBK", "gb18030", []),
        ("Big5", "big5", []),
        ("UTF-16", "utf-8", ["wrong-encoding"]),  # as some .NET programs write it
        ("klingon", "utf-8", ["wrong-encoding"]),
        ("rot13", "utf-8", ["wrong-encoding"]),
        ("klingon", "latin-1", ["wrong-encoding"]),
    ],
)
def test_every_declared_encoding_is_read(
    declared: str, written_in: str, told: list[str], tmp_path: Path, written: Callable[..., Path]
) -> None:
    """Encodings that the parser does not know, or that are not the file's, cost nothing."""
    name = "G\u00f6teborg" if written_in == "latin-1" else "\u5317\u4eac"
    text = written(value(1, "1", "2")).read_text(encoding="utf-8")
    text = text.replace('encoding="UTF-8"', f'encoding="{declared}"')
    path = tmp_path / "coded.xml"
    path.write_bytes(text.replace("ManagedElement=A", f"ManagedElement={name}").encode(written_in))
    reading = read_pm_file(path)
    assert f"ManagedElement={name}" in reading.measurements[0].frame["object"][0]
    assert column(reading.measurements[0], "b") == {"NRCellDU=1": 2.0}
    assert [finding.code for finding in reading.findings] == told


def test_utf16_is_read(tmp_path: Path, written: Callable[..., Path]) -> None:
    """The byte order mark tells."""
    text = written(value(1, "1", "2")).read_text(encoding="utf-8")
    path = tmp_path / "wide.xml"
    path.write_bytes(text.replace('encoding="UTF-8"', 'encoding="UTF-16"').encode("utf-16"))
    assert read_pm_file(path).measurements[0].frame["a"].to_list() == [1.0]


def test_one_bad_file_stops_nothing(written: Callable[..., Path], tmp_path: Path) -> None:
    """The others are read and merged, and the bad one is a finding."""
    bad = tmp_path / "bad.xml"
    bad.write_bytes(b"<measCollecFile><")
    later = FILE.replace("12:15:00+01:00", "12:30:00+01:00")
    done: list[tuple[int, int]] = []
    reading = read_pm_files(
        [written(value(1, "1", "2")), bad, written(value(1, "3", "4"), name="B.xml", text=later)],
        lambda count, total: done.append((count, total)),
    )
    assert reading.measurements[0].frame["a"].to_list() == [1.0, 3.0]
    assert [(f.code, f.file) for f in reading.findings] == [("unreadable-file", str(bad))]
    assert done == [(1, 3), (2, 3), (3, 3)]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damage_never_escapes(data: st.DataObject, tmp_path_factory: Any) -> None:
    """Invariant: any bytes give measurements or BadInput, nothing else."""
    whole = FILE.format(types=TYPES, values=value(1, "1", "2,3") + value(2, "", "x")).encode()
    position = data.draw(st.integers(0, len(whole) - 1))
    inserted = data.draw(st.binary(max_size=6) | st.sampled_from([b"<r>", b"</measInfo>", b"&lt;"]))
    dropped = data.draw(st.integers(0, 30))
    path = tmp_path_factory.mktemp("fuzz") / "f.xml"
    path.write_bytes(whole[:position] + inserted + whole[position + dropped :])
    try:
        tables = read_pm_file(path).measurements
    except BadInput:
        return
    for measured in tables:
        numbers = measured.frame.select(list(measured.columns))
        assert all(kind == pl.Float64 for kind in numbers.schema.values())


# -- the older and the other dialects


def test_the_older_3gpp_form(tmp_path: Path) -> None:
    """TS 32.401 annex C: short names, positions without numbers, a DTD that is not fetched."""
    path = tmp_path / "old.xml"
    path.write_text(
        '<?xml version="1.0"?><!DOCTYPE mdc SYSTEM "MeasDataCollection.dtd"><mdc>'
        "<mfh><ffv>1</ffv><sn>S</sn><st>RNC</st><vn>V</vn><cbt>20240301120000Z</cbt></mfh>"
        "<md><neid><neun>R</neun><nedn>ManagedElement=R</nedn></neid><mi>"
        "<mts>20240301121500Z</mts><gp>900</gp><mt>a</mt><mt>b</mt>"
        "<mv><moid>UtranCell=1</moid><r>4</r><r>5</r><sf>TRUE</sf></mv></mi></md></mdc>",
        encoding="utf-8",
    )
    row = read_pm_file(path).measurements[0].frame.row(0, named=True)
    assert row == {
        "object": "ManagedElement=R,UtranCell=1",
        "time": datetime(2024, 3, 1, 12, tzinfo=UTC),
        "period_s": 900.0,
        "suspect": True,
        "a": 4.0,
        "b": 5.0,
    }


@real
def test_a1_and_a2_are_the_same() -> None:
    """Annex examples of TS 32.435 in both notations; values read by eye."""
    first = read_pm_file(DATA / "bodastage/A1.xml").measurements[0]
    second = read_pm_file(DATA / "bodastage/A2.xml").measurements[0]
    assert first.frame.equals(second.frame)
    assert column(first, "succTCHSeizures") == {
        "UtranCell=Gbg-997": 345.0,
        "UtranCell=Gbg-998": 901.0,
        "UtranCell=Gbg-999": 567.0,
    }
    assert column(first, "suspect")["UtranCell=Gbg-999"] is True
    assert first.frame["time"][0] == datetime(2000, 3, 1, 11, 59, 30, tzinfo=UTC)


@real
def test_several_granularities_in_one_file() -> None:
    """A3: SGSN functions at 900 s and at 1800 s are two tables."""
    tables = {m.name: m for m in read_pm_file(DATA / "bodastage/A3.xml").measurements}
    assert set(tables) == {"SgsnFunction, 900 s", "SgsnFunction, 1800 s"}
    assert tables["SgsnFunction, 1800 s"].frame["MM.AttPsPagingProcIu"].to_list() == [25.0]
    ended = datetime(2005, 6, 9, 19, 15, tzinfo=UTC)  # 13:15 at -06:00
    assert tables["SgsnFunction, 1800 s"].frame["time"][0] == ended.replace(hour=18, minute=45)


@real
def test_nokia_omes() -> None:
    """-05:00:00 zone, minutes, and a counter that is written five times."""
    measured = read_pm_file(DATA / "bodastage/nokia_OMeS_pm.xml").measurements[0]
    row = measured.frame.row(0, named=True)
    assert row["object"] == "MRBTS=1111,LNBTS=1111"
    assert row["time"] == datetime(2029, 3, 16, 2, 0, tzinfo=UTC)
    assert row["period_s"] == 3600.0
    assert [row[f"M00001[{n}]"] for n in range(5)] == [1111.0, 0.0, 0.0, 0.0, 0.0]


@real
def test_dialogic_placeholders_and_no_zone() -> None:
    """Values named "..." are left out; a time without a zone is told."""
    path = DATA / "bodastage/pm.xml"
    row = read_pm_file(path).measurements[0].frame.row(0, named=True)
    assert row["Provisioned_Bearer_Capacity"] == 360.0
    assert "..." not in row
    assert set(codes(path)) == {"time-zone-missing", "value-without-name"}


@real
@pytest.mark.parametrize("name", ["A20220418.1900-1915_seliitdus00487.xml", "pm.xml.gz"])
def test_ericsson(name: str) -> None:
    """880 types, 96 objects in 125 rows, 2,667 values, two suspect objects (counted by grep)."""
    reading = read_pm_file(DATA / "oransc_ranpm" / name)
    bases = {
        (m.object_class, info.base or info.name)
        for m in reading.measurements
        for info in m.columns.values()
    }
    missing = sum(f.count for f in reading.findings if f.code == "value-missing")
    first_bins = sum(
        int(m.frame[info.name].count())
        for m in reading.measurements
        for info in m.columns.values()
        if info.bin in {None, 0}
    )
    assert len(bases) == 880
    assert sum(len(m.objects) for m in reading.measurements) == 96
    # 27 empty values and 4 vectors of gaps only; one more vector has a gap in it.
    assert first_bins == 2667 - 27 - 4
    assert missing == 27 + 4 + 1
    assert sum(int(m.frame["suspect"].sum()) for m in reading.measurements) == 2


@real
def test_keysight_with_its_instruction_first() -> None:
    """Not well-formed: the instruction before the declaration is left out and told."""
    path = next((DATA / "oransc_ranpm").glob("D2024*.xml"))
    reading = read_pm_file(path)
    cells = next(m for m in reading.measurements if m.object_class == "NRCellDU")
    assert cells.objects == [
        f"DC=Keysight.com,SubNetwork=Morrisville,ManagedElement=GNB-1,GNBDUFunction=1,NRCellDU={n}"
        for n in (1,)
    ]
    assert cells.columns["RRU.PrbTotDl"].confidence == 1.0
    assert cells.frame["period_s"].unique().to_list() == [60.0]
    assert [finding.code for finding in reading.findings] == ["text-before-declaration"]


@real
@pytest.mark.parametrize(
    "path",
    sorted(p for p in DATA.rglob("*.xml*") if p.is_file()) if DATA.exists() else [],
    ids=lambda path: str(path.relative_to(DATA)),
)
def test_every_real_file_gives_a_result_or_says_why(path: Path) -> None:
    """Each number in the file is in a table; files without measData say so."""
    reading = read_pm_file(path)
    found = {finding.code for finding in reading.findings}
    assert bool(reading.measurements) != ("no-measurements" in found)
    for measured in reading.measurements:
        assert measured.frame.columns[:4] == ["object", "time", "period_s", "suspect"]
        assert measured.frame["object"].null_count() == 0
        assert measured.frame.height == measured.frame.select("object", "time").n_unique()
