"""Files and folders of any kind: recognised by content, merged, and accounted for."""

from __future__ import annotations

import gzip
import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cellhive.adapters.reading import ReadResult, kind_of, read_paths
from cellhive.adapters.tabular.mapping import ColumnRule, Mapping
from cellhive.adapters.tabular.meaning import refuse_unknown
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.measurements import ColumnInfo, Measurements

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
CSV = "Time,Cell,Drops\n2024-03-0{day},A,{drops}\n"
XML = (
    '<measCollecFile xmlns="urn:x"><fileHeader dnPrefix=""/><measData>'
    '<managedElement localDn="ManagedElement=A"/><measInfo>'
    '<granPeriod duration="PT900S" endTime="2024-03-01T12:15:00{zone}"/>'
    '<measTypes>a</measTypes><measValue measObjLdn="Cell=1"><measResults>5</measResults>'
    "</measValue></measInfo></measData></measCollecFile>"
)


def event(**changes: Any) -> dict[str, Any]:
    """Return a perf3gpp event."""
    header = {"domain": "perf3gpp", "sourceName": "N", "startEpochMicrosec": 1709294400000000}
    collection = {
        "granularityPeriod": 900,
        "measuredEntityDn": "ManagedElement=N",
        "measInfoList": [
            {
                "measInfoId": {"sMeasInfoId": "G"},
                "measTypes": {"sMeasTypesList": ["a", "b", "c"]},
                "measValuesList": [
                    {
                        "measObjInstId": "NRCellDU=1",
                        "suspectFlag": "true",
                        "measResults": [
                            {"p": 1, "sValue": "4"},
                            {"p": 2, "sValue": "1,2"},
                            {"p": 3, "sValue": "NIL"},
                        ],
                    }
                ],
            }
        ],
    }
    return {
        "event": {
            "commonEventHeader": {**header, **changes},
            "perf3gppFields": {"measDataCollection": collection},
        }
    }


def by_name(result: ReadResult) -> dict[str, str]:
    """Return the outcome of each file by its name."""
    return {outcome.path.name: outcome.status for outcome in result.files}


def test_a_folder_of_everything(tmp_path: Path) -> None:
    """Good files are read, bad ones told, others ignored, hidden ones skipped."""
    (tmp_path / "day1.csv").write_text(CSV.format(day=1, drops=1))
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "pm.txt").write_text(XML.format(zone="Z"))
    (tmp_path / "cut.xml.gz").write_bytes(gzip.compress(XML.encode())[:40])
    (tmp_path / "notes.txt").write_text("remember the milk")
    (tmp_path / "README.md").write_text("| a | b |\n|---|---|\n| 1 | 2 |\n")
    (tmp_path / ".hidden.csv").write_text("Time,Cell,A\nnonsense")
    (tmp_path / "picture.bin").write_bytes(bytes(range(256)))
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "page.xls").write_text("<html><table><tr><td>1</td></tr></table></html>")
    seen: list[tuple[int, int]] = []
    result = read_paths([tmp_path], None, lambda done, total, _: seen.append((done, total)))
    assert by_name(result) == {
        "README.md": "ignored",
        "cut.xml.gz": "failed",
        "day1.csv": "read",
        "empty.csv": "failed",
        "notes.txt": "ignored",
        "page.xls": "ignored",
        "picture.bin": "ignored",
        "pm.txt": "read",
    }
    assert sorted(measured.name for measured in result.measurements) == ["Cell, 900 s", "day1.csv"]
    assert seen[-1] == (8, 8)
    errors = [finding for finding in result.findings if finding.severity == "error"]
    assert [(f.code, Path(f.file).name) for f in errors] == [
        ("unreadable-file", "cut.xml.gz"),
        ("unreadable-file", "empty.csv"),
    ]
    assert all(outcome.note for outcome in result.files if outcome.status != "read")


def test_named_files_are_never_ignored(tmp_path: Path) -> None:
    """Whoever names a file wants to know why it gives nothing."""
    (tmp_path / "day1.csv").write_text(CSV.format(day=1, drops=1))
    page = tmp_path / "page.xls"
    page.write_text("<html></html>")
    result = read_paths([tmp_path / "day1.csv", page])
    assert by_name(result) == {"day1.csv": "read", "page.xls": "failed"}
    assert "web page" in result.findings[0].found


def test_daily_exports_become_one_table(tmp_path: Path) -> None:
    """Tables of the same columns are joined over files."""
    for day in (1, 2, 3):
        (tmp_path / f"day{day}.csv").write_text(CSV.format(day=day, drops=day * 10))
    (measured,) = read_paths([tmp_path]).measurements
    assert measured.frame["Drops"].to_list() == [10.0, 20.0, 30.0]
    assert measured.name == "day1.csv and 2 more"
    assert [Path(source).name for source in measured.sources] == [
        "day1.csv", "day2.csv", "day3.csv",
    ]  # fmt: skip


def test_fractions_and_per_cent_are_not_joined(tmp_path: Path) -> None:
    """0.99 in one file and 99 in the next is not a rise."""
    head = "Time,Cell,RRC Setup Success Rate (%)\n"
    (tmp_path / "a.csv").write_text(head + "2024-03-01,A,0.99\n")
    (tmp_path / "b.csv").write_text(head + "2024-03-02,A,99.1\n")
    result = read_paths([tmp_path])
    assert len(result.measurements) == 2
    assert "share-differs" in {finding.code for finding in result.findings}


def test_the_mapping_reaches_every_kind(tmp_path: Path) -> None:
    """Columns of tables and counters of measurement files; the zone of times without one."""
    (tmp_path / "a.xml").write_text(XML.format(zone=""))
    mapping = Mapping({"a": ColumnRule(better="lower")}, time_zone="Africa/Tripoli")
    (measured,) = read_paths([tmp_path], mapping).measurements
    assert measured.columns["a"].better == "lower"
    assert measured.frame["time"][0] == datetime(2024, 3, 1, 10, 0, tzinfo=UTC)  # 12:00 at +2
    assert measured.time_zone == "Africa/Tripoli"


def test_nothing_to_read_is_an_error(tmp_path: Path) -> None:
    """Empty folders, folders without measurements, and paths that do not exist."""
    with pytest.raises(BadInput, match="empty folders"):
        read_paths([tmp_path])
    (tmp_path / "notes.txt").write_text("remember the milk")
    with pytest.raises(BadInput, match=r"1 without any \(notes\.txt"):
        read_paths([tmp_path])
    with pytest.raises(NotFound, match="nowhere"):
        read_paths([tmp_path / "nowhere"])


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf<a/>", "xml"),
        ("<a/>".encode("utf-16"), "xml"),
        (b"  <!DOCTYPE html><p>", "html"),
        (b'{"event": {}}', "json"),
        (b"PAR1....", "parquet"),
        (b"\xd0\xcf\x11\xe0....", "spreadsheet"),
        (b"PK\x03\x04broken", "spreadsheet"),
        (b"a,b\n1,2\n", "text"),
        (gzip.compress(b"<a/>", mtime=0), "xml"),
    ],
)
def test_content_tells_what_a_file_is(tmp_path: Path, content: bytes, kind: str) -> None:
    """Not its name."""
    path = tmp_path / "file.dat"
    path.write_bytes(content)
    assert kind_of(path) == kind


# -- events and records


def test_perf3gpp_events(tmp_path: Path) -> None:
    """Scalars, vectors, missing values and the suspect flag; one event or one per line."""
    one, lines = tmp_path / "one.json", tmp_path / "lines.json"
    one.write_text(json.dumps(event(), indent=2))
    lines.write_text("\n".join(json.dumps(event()) for _ in range(2)))
    (measured,) = read_paths([one]).measurements
    assert measured.frame.row(0, named=True) == {
        "object": "ManagedElement=N,NRCellDU=1",
        "time": datetime(2024, 3, 1, 12, tzinfo=UTC),
        "period_s": 900.0,
        "suspect": True,
        "a": 4.0,
        "b[0]": 1.0,
        "b[1]": 2.0,
        "c": None,
    }
    again = read_paths([lines])
    assert again.measurements[0].frame.equals(measured.frame)
    assert "duplicate-value" in {finding.code for finding in again.findings}


def test_vectors_with_gaps_in_events(tmp_path: Path) -> None:
    """As in XML: Ericsson writes ", ," for three bins without a value."""
    path = tmp_path / "e.json"
    gaps = event()
    collection = gaps["event"]["perf3gppFields"]["measDataCollection"]
    results = collection["measInfoList"][0]["measValuesList"][0]["measResults"]
    results[1]["sValue"], results[2]["sValue"] = "7,,9", ", ,"
    path.write_text(json.dumps(gaps))
    (measured,) = read_paths([path]).measurements
    names = ["b[0]", "b[1]", "b[2]", "c[0]", "c[1]", "c[2]"]
    assert measured.frame.select(names).row(0) == (7.0, None, 9.0, None, None, None)
    assert measured.labels == ()


def test_events_with_a_time_that_cannot_be(tmp_path: Path) -> None:
    """15 seconds after 1970 is no time of a network."""
    path = tmp_path / "e.json"
    path.write_text(json.dumps(event(startEpochMicrosec=15198378)))
    result = read_paths([path])
    assert result.measurements[0].frame["time"].to_list() == [None]
    assert "time-unknown" in {finding.code for finding in result.findings}


@pytest.mark.parametrize("part", ["measInfoList", "granularityPeriod"])
def test_events_that_lack_a_part(tmp_path: Path, part: str) -> None:
    """A finding or an error, never a traceback."""
    path = tmp_path / "e.json"
    broken = event()
    del broken["event"]["perf3gppFields"]["measDataCollection"][part]
    path.write_text(json.dumps([broken, event()]))
    result = read_paths([path])
    assert result.measurements[0].frame["a"].to_list()[0] == 4.0
    expected = {"measInfoList": "event-malformed", "granularityPeriod": "period-unknown"}
    assert expected[part] in {finding.code for finding in result.findings}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"event": {"commonEventHeader": {"domain": "fault"}}}', "'fault' without measurements"),
        ('{"a": {"b": 1}}', "other JSON"),
        ('{"event": {"common', "expected JSON"),
        ('{"a": ' + "[" * 100000, "expected JSON"),
        ('[{"cell": "A", "drops": ' + "9" * 5000 + "}]", "expected JSON"),
    ],
)
def test_json_without_measurements(tmp_path: Path, text: str, message: str) -> None:
    """It is said what it is instead."""
    path = tmp_path / "e.json"
    path.write_text(text)
    with pytest.raises(BadInput, match=message):
        read_paths([path])


def test_records_are_a_table(tmp_path: Path) -> None:
    """A list of plain records reads like a CSV."""
    path = tmp_path / "r.json"
    path.write_text('[{"cell": "A", "drops": 3}, {"cell": "B", "drops": null, "more": 1.5}]')
    (measured,) = read_paths([path]).measurements
    assert measured.frame["drops"].to_list() == [3.0, None]
    assert measured.objects == ["A", "B"]


# -- one bad file


def test_one_bad_file_is_refused_in_its_own_words(tmp_path: Path) -> None:
    """File, place, expected, found and what to do, as one message."""
    path = tmp_path / "a.xml"
    path.write_text(XML.format(zone="Z").partition("<measTypes>")[0])
    with pytest.raises(BadInput) as caught:
        read_paths([path])
    assert str(caught.value) == (
        f"{path}, line 1: expected the rest of the XML, found the end of the file, before any "
        "complete measurement; fetch the file again"
    )
    (tmp_path / "b.xml").write_text(XML.format(zone="Z"))
    outcome = read_paths([tmp_path]).files[0]
    assert outcome.note.startswith("line 1: expected the rest of the XML, found the end")


def test_a_file_without_values_is_refused_in_its_own_words(tmp_path: Path) -> None:
    """Not as something unknown: it is a measurement file, but an empty one."""
    path = tmp_path / "a.xml"
    path.write_text("<measCollecFile><measData/></measCollecFile>")
    with pytest.raises(BadInput, match=r"a\.xml: expected at least one measured value, found none"):
        read_paths([path])


def test_a_damaged_packed_file_is_not_called_empty(tmp_path: Path) -> None:
    """It has content, only nobody can unpack it."""
    path = tmp_path / "a.xml.gz"
    path.write_bytes(b"\x1f\x8b\x08\x00" + bytes(range(200)))
    with pytest.raises(BadInput, match="expected a file that can be unpacked"):
        read_paths([path])


def test_a_defect_of_a_reader_costs_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other files are read; the message asks for a report of the defect."""
    (tmp_path / "a.csv").write_text(CSV.format(day=1, drops=2))
    (tmp_path / "b.xml").write_text(XML.format(zone="Z"))

    def fall_over(*_: object) -> None:
        message = "list index\nout of range"
        raise IndexError(message)

    monkeypatch.setattr("cellhive.adapters.reading.parse_pm", fall_over)
    result = read_paths([tmp_path])
    assert by_name(result) == {"a.csv": "read", "b.xml": "failed"}
    assert "found IndexError: list index out of range" in result.files[1].note


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    """It would have to be read twice, and reading may never end."""
    os.mkfifo(tmp_path / "pipe.xml")
    with pytest.raises(BadInput, match="expected a file or a folder, found a pipe"):
        read_paths([tmp_path / "pipe.xml"])


def test_a_closed_folder_is_accounted_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is inside is not left out without a word. (Root may read all, so it is played.)"""
    (tmp_path / "a.csv").write_text(CSV.format(day=1, drops=2))
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def guarded(path: Any) -> Any:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("os.scandir", guarded)
    result = read_paths([tmp_path])
    assert by_name(result) == {"closed": "failed", "a.csv": "read"}
    assert "unreadable-file" in {finding.code for finding in result.findings}
    with pytest.raises(BadInput, match="found Permission denied"):
        read_paths([tmp_path / "closed"])


def test_a_path_nobody_may_look_at_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a message, not a traceback."""

    def closed(path: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", closed)
    with pytest.raises(BadInput, match="expected a file or folder that can be read"):
        read_paths([tmp_path / "a.csv"])


# -- what a person says


def test_a_rule_that_fits_no_column_is_told(tmp_path: Path) -> None:
    """A typing error in a mapping must not be taken for consent to the guesses."""
    path = tmp_path / "a.csv"
    path.write_text(CSV.format(day=1, drops=2))
    said = Mapping(columns={"Drops": ColumnRule(better="lower"), "Dropz": ColumnRule(unit="s")})
    result = read_paths([path], said)
    (finding,) = [one for one in result.findings if one.code == "mapping-unused"]
    assert (finding.column, finding.action) == ("Dropz", "not used; did you mean 'Drops'?")
    with pytest.raises(BadInput, match="found 'Dropz', which none of them has; did you mean"):
        read_paths([path], Mapping(columns={"Dropz": ColumnRule(unit="s")}))
    with pytest.raises(BadInput, match="the headings are Drops"):
        read_paths([path], Mapping(columns={"Verkehr": ColumnRule(unit="s")}))


def test_rules_for_columns_without_a_number_are_no_errors(tmp_path: Path) -> None:
    """One mapping serves many exports, of which some leave a column empty or ask to ignore it."""
    path = tmp_path / "a.csv"
    path.write_text("Time,Cell,Drops,RSSI\n2024-03-01,A,1,\n2024-03-02,A,2,\n")
    rule = ColumnRule(better="lower")
    said = {"RSSI": rule, "cell": rule, "Drops": rule, "Other": ColumnRule(ignore=True)}
    result = read_paths([path], Mapping(columns=said))
    assert [one.code for one in result.findings if one.code == "mapping-unused"] == []


def test_events_without_a_time_are_not_refused() -> None:
    """Their format says what they are; only tables of which nothing is known are refused."""
    frame = pl.DataFrame({"object": ["A"], "time": [None], "period_s": [900.0], "a": [1.0]})
    typed = frame.with_columns(pl.col("time").cast(pl.Datetime("us", "UTC")))
    known = Measurements("PM", typed, {"a": ColumnInfo("a")}, sources=("e.json",))
    refuse_unknown([known])
    unknown = replace(known, frame=typed.with_columns(pl.lit(None, pl.Float64).alias("period_s")))
    with pytest.raises(BadInput, match=r"e\.json: expected a column of times, .* found a;"):
        refuse_unknown([unknown])


# -- real folders


def test_the_public_pm_examples() -> None:
    """All 96 files at once: nothing fails; the X2 handovers per neighbour are read by eye."""
    folder = DATA / "formats_pm"
    if not folder.exists():
        pytest.skip("the public PM examples are not here")
    result = read_paths([folder])
    assert [outcome.path for outcome in result.files if outcome.status == "failed"] == []
    assert sum(outcome.status == "read" for outcome in result.files) >= 65
    events = next(m for m in result.measurements if "InterEnbOutSucc_X2HO" in m.columns)
    first = events.frame.filter(events.frame["object"] == "Chn0001->Chn0014")
    assert first["InterEnbOutAtt_X2HO"].to_list()[0] == 200.0
    assert first["InterEnbOutSucc_X2HO"].to_list()[0] == 190.0
