"""Drive-test logs: what is read, what is left out, and what is refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from cellhive.adapters.drive.following import Follower, Sample
from cellhive.adapters.drive.logs import open_drive_test
from cellhive.core.errors import BadInput, NotFound
from cellhive.ran.trace import DriveLog

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
NAN = float("nan")
NTU_HEADER = "Timestamp,LTE_HO,MN_HO,gNB_HO,RLF,RSRP,RSRP1,RSRP2\n"
TRACK_HEADER = "Timestamp\tOperator\tNode\tCellID\tNetworkTech\tLevel\tARFCN\tPSC\t"


def real(name: str) -> Path:
    """Return a real log, or skip where it is not at hand."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"the recorded log {name} is not here")
    return path


def runs(path: Path, run: str = "") -> list[DriveLog]:
    """Return all runs of a file."""
    return list(open_drive_test(path, run).logs)


def written(tmp_path: Path, text: str, name: str = "log.csv") -> Path:
    """Return a file with a text."""
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def ntu(tmp_path: Path, *rows: str) -> Path:
    """Return an NTU log whose rows are told from their second on."""
    lines = [f"2023-03-26 16:36:{second:02d},{row}" for second, row in enumerate(rows)]
    return written(tmp_path, NTU_HEADER + "\n".join(lines) + "\n")


# ------------------------------------------------------------------ plain tables


def test_a_plain_table(tmp_path: Path) -> None:
    """Levels by column, empty where a cell was not measured; changes of cell are handovers."""
    path = written(
        tmp_path, "time_s,serving,A,B\n0,A,-80,-90\n0.5,A,-81,\n1,B,-85,-82.5\n1.5,,-86,-82\n"
    )
    log = runs(path)[0]
    stretch = log.stretches[0]
    assert (log.dt_s, stretch.cells) == (0.5, ("A", "B"))
    np.testing.assert_array_equal(
        stretch.rsrp_dbm, [[-80, -90], [-81, NAN], [-85, -82.5], [-86, -82]]
    )
    assert stretch.serving.tolist() == [0, 0, 1, -1]
    assert [(e.time_s, e.source, e.target) for e in log.events] == [(1.0, "A", "B")]


def test_uneven_rows_stand_on_an_even_grid_and_it_is_said(tmp_path: Path) -> None:
    """A pause leaves rows without levels; it does not squeeze the time."""
    log = runs(written(tmp_path, "time_s,A\n0,-80\n1,-81\n2,-82\n5,-83\n"))[0]
    np.testing.assert_array_equal(log.stretches[0].rsrp_dbm[:, 0], [-80, -81, -82, NAN, NAN, -83])
    assert "not evenly spaced" in log.notes[0]


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("time_s,A\n0,-80\n0,-81\n", "line 3, column time_s", "ascend"),
        ("time_s,A\n0,-80\n1,loud\n", "line 3, column A", "a number"),
        ("time_s,A\n0,-80\n1,80\n", "line 3, column A", "from -200 to 50"),
        ("time_s,serving,A\n0,B,-80\n1,A,-80\n", "line 2, column serving", "one of the columns"),
        ("time_s,A,A\n0,-80,-80\n1,-80,-80\n", "line 1", "named once"),
        ("time_s\n0\n1\n", "line 1", "columns of cells"),
        ("time_s,A\n0,-80\n", "log.csv", "two rows"),
        ("a,b\n1,2\n", "line 1", "G-NetTrack"),
        ("time_s,A\n0,\0\n", "line 2", "line of text"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(
    tmp_path: Path, text: str, place: str, expected: str
) -> None:
    """File, line and column, what was expected, what was found."""
    with pytest.raises(BadInput, match=expected) as refused:
        runs(written(tmp_path, text))
    assert place in refused.value.place


def test_a_missing_an_empty_and_a_cut_file(tmp_path: Path) -> None:
    """Each is told apart."""
    with pytest.raises(NotFound):
        open_drive_test(tmp_path / "none.csv")
    with pytest.raises(BadInput, match="an empty file"):
        open_drive_test(written(tmp_path, ""))
    whole = gzip.compress(
        ("time_s,A\n" + "".join(f"{i},-{80 + i % 9}\n" for i in range(9000))).encode()
    )
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match="read to its end"):
        runs(cut)


# ------------------------------------------------------------------ NTU WMN-Lab


def test_a_stay_ends_with_a_handover(tmp_path: Path) -> None:
    """What comes after has other names: the log does not say which cell is which."""
    path = ntu(
        tmp_path, "0,0,0,0,-90,-95,0", "0,0,0,0,-91,-94,0", "0.25,0,0,0,-92,-93,0",
        "0,0,1,0,-89,-92,-99", "0,0,0,0,-88,-93,-98",
    )  # fmt: skip
    test = open_drive_test(path)
    log = next(iter(test.logs))
    assert test.tells_failures
    assert [one.cells for one in log.stretches] == [("c1", "c2"), ("c3", "c4", "c5")]
    assert [one.start_s for one in log.stretches] == [0.5, 3.5]  # middles of the seconds
    np.testing.assert_array_equal(log.stretches[0].rsrp_dbm, [[-90, -95], [-91, -94]])
    told = [(e.time_s, e.kind, e.source, e.target) for e in log.events]
    assert told == [(2.25, "handover", "c1", ""), (3.5, "NR handover", "", "")]


def test_moments_and_counts(tmp_path: Path) -> None:
    """Both notations of events are read: 0.4@0.9 are two moments, 2 are two events."""
    path = ntu(tmp_path, "0.4@0.9,0,0,0,-90,0,0", "0,2,0,0,-90,0,0", "0,0,0,1,-90,0,0")
    events = runs(path)[0].events
    assert [round(e.time_s, 3) for e in events] == [0.4, 0.9, 1.25, 1.75, 2.5]
    assert [e.kind for e in events] == ["handover"] * 4 + ["radio link failure"]


@pytest.mark.parametrize("text", ["0.4@1.5", "-1", "soon", "99"])
def test_a_moment_that_cannot_be_is_refused(tmp_path: Path, text: str) -> None:
    """With the line and the column."""
    with pytest.raises(BadInput, match="line 2, column LTE_HO"):
        runs(ntu(tmp_path, f"{text},0,0,0,-90,0,0"))


def test_neighbours_are_followed_by_their_levels() -> None:
    """The nearest within 6 dB is the same cell; a jump is another one; order does not matter."""
    follower = Follower(1.0, 3.0)
    for time_s, beside in enumerate([(-90.0, -95.0), (-96.0, -91.0), (-80.0, -97.0)]):
        follower.add(Sample(float(time_s), -85.0, beside))
    follower.end()
    stretch = follower.stretches[0]
    assert stretch.cells == ("c1", "c2", "c3", "c4")
    np.testing.assert_array_equal(
        stretch.rsrp_dbm[:, 1:], [[-90, -95, NAN], [-91, -96, NAN], [NAN, -97, -80]]
    )


def test_a_damaged_row_is_left_out_and_told(tmp_path: Path) -> None:
    """The other rows are read."""
    path = ntu(tmp_path, "0,0,0,0,-90,-95,0", "0,0,0,0,-91", "0,0,0,0,-92,-95,0")
    log = runs(path)[0]
    assert log.notes == ("line 3 was left out: expected 8 fields, found 6",)
    np.testing.assert_array_equal(log.stretches[0].rsrp_dbm[:, 0], [-90, NAN, -92])


def test_several_runs_in_a_file(tmp_path: Path) -> None:
    """The column "file" tells them apart; one can be picked."""
    rows = [f"{name},2023-03-26 16:36:0{s},0,0,0,0,-90,0,0" for name in "ab" for s in range(3)]
    path = written(tmp_path, "file," + NTU_HEADER + "\n".join(rows) + "\n")
    assert [log.name for log in runs(path)] == ["a", "b"]
    assert [log.name for log in runs(path, "b")] == ["b"]


# ------------------------------------------------------------------ G-NetTrack


def track(tmp_path: Path, rows: list[str], more: str = "", name: str = "X_log.txt") -> Path:
    """Return a G-NetTrack log; rows are second, technology, level, ARFCN, PCI and more."""
    lines = []
    for row in rows:
        second, *rest = row.split()
        lines.append(f"2025.07.18_22.11.{second}\t608\t1\t1\t" + "\t".join(rest) + "\t")
    return written(tmp_path, TRACK_HEADER + more + "\n" + "\n".join(lines) + "\n", name)


def test_a_gnettrack_log(tmp_path: Path) -> None:
    """LTE rows make stretches, other technologies end them, levels that cannot be are dropped."""
    path = track(
        tmp_path,
        ["08 4G -81 2850 325", "09 4G -88 2850 325", "10 4G -70 1464 265", "11 3G -60 10712 9",
         "12 4G -90 2850 325", "13 4G -340 2850 325", "14 4G -91 2850 325"],
    )  # fmt: skip
    test = open_drive_test(path)
    log = next(iter(test.logs))
    assert "no neighbours" in test.notes[0]
    assert [one.cells for one in log.stretches] == [("2850/325", "1464/265"), ("2850/325",)]
    np.testing.assert_array_equal(log.stretches[0].rsrp_dbm, [[-81, NAN], [-88, NAN], [NAN, -70]])
    assert log.stretches[0].carrier.tolist() == [0, 1]
    assert [(e.time_s, e.source, e.target) for e in log.events] == [(2.0, "2850/325", "1464/265")]
    assert any("1 levels outside" in note for note in log.notes)


def test_neighbours_of_a_gnettrack_log(tmp_path: Path) -> None:
    """Where the columns are there: by PCI, on the serving frequency unless they name another."""
    path = track(
        tmp_path,
        ["08 4G -81 2850 325 7 2850 -85 8 - -99", "09 4G -82 2850 325 7 2850 -84 9 1464 -90"],
        "NCell1\tNARFCN1\tNRxLev1\tNCell2\tNARFCN2\tNRxLev2\t",
    )  # fmt: skip
    test = open_drive_test(path)
    stretch = next(iter(test.logs)).stretches[0]
    assert not any("no neighbours" in note for note in test.notes)
    levels = dict(zip(stretch.cells, stretch.rsrp_dbm.T.tolist(), strict=True))
    assert levels["2850/325"] == [-81, -82]
    assert levels["2850/7"] == [-85, -84]
    assert levels["2850/8"][0] == -99
    assert levels["1464/9"][1] == -90


def test_the_event_file_beside_it(tmp_path: Path) -> None:
    """Handovers within LTE come from it; all else keeps its word."""
    path = track(tmp_path, ["08 4G -81 2850 325", "09 4G -88 2850 325"])
    written(
        tmp_path,
        "Timestamp\tEventType\tEventDetails\tState\n"
        "2025.07.18_22.11.09\tHANDOVER_DATA_4G4G\t"
        "608-01-7000-21-11-2850-325:608-01-7000-21-2-1464-265\tD\n"
        "2025.07.18_22.11.10\t\tSTART PING\tI\n"
        "2025.07.18_22.11.11\tCALL_DROP\t608-01\tV\n",
        "X_log_events.txt",
    )
    events = runs(path)[0].events
    assert [(e.time_s, e.kind, e.source, e.target) for e in events] == [
        (1.0, "handover", "2850/325", "1464/265"), (3.0, "CALL_DROP", "", ""),
    ]  # fmt: skip


def test_times_that_go_back_are_refused(tmp_path: Path) -> None:
    """With the line."""
    path = track(tmp_path, ["09 4G -81 2850 325", "08 4G -88 2850 325"])
    with pytest.raises(BadInput, match="line 3, column Timestamp"):
        runs(path)


# ------------------------------------------------------------------ real logs


def test_all_runs_of_the_ntu_log() -> None:
    """Counts of its README: 351 runs, 98,893 s, 569 and 69 failures; handovers by its columns.

    1,719 in LTE_HO and 4,145 in MN_HO: the sum of the counts, a moment counting as one and a
    pair of moments as two.
    """
    seconds, found, kinds = (
        0.0,
        0,
        dict.fromkeys(("radio link failure", "NR radio link failure"), 0),
    )
    handovers = 0
    for log in open_drive_test(real("ntu_wmnlab_handoff/all_runs.csv.gz")).logs:
        found, seconds = found + 1, seconds + log.duration_s
        for event in log.events:
            handovers += event.kind == "handover"
            if event.kind in kinds:
                kinds[event.kind] += 1
    assert (found, seconds) == (351, 98893.0)
    assert list(kinds.values()) == [569, 69]
    assert handovers == 5864


def test_the_ragged_ntu_log() -> None:
    """Its README: line 36 has 49 fields instead of 30."""
    log = runs(real("ntu_wmnlab_handoff/odd__2023-06-12_sm00_#02_All(wo_B1).csv"))[0]
    assert log.notes == ("line 36 was left out: expected 30 fields, found 49",)


@pytest.mark.parametrize(
    ("name", "handovers"), [("Orange_log", 61), ("Yas_log", 33), ("expresso_log", 24)]
)
def test_the_logs_of_dakar(name: str, handovers: int) -> None:
    """Handovers within LTE, as grep -c 'HANDOVER_.*_4G4G' counts them in the event file."""
    log = runs(real(f"dakar_gnettrack_3ops/raw_logs/{name}.txt.gz"))[0]
    assert sum(event.kind == "handover" for event in log.events) == handovers
    assert log.stretches
