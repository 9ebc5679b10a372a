"""Drive-test logs of any form are told from tables of KPIs, and read to the value."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cellhive.adapters.drive.surveyed import drive_of, is_drive_log
from cellhive.adapters.reading import ReadResult, read_paths
from cellhive.adapters.recognition import Purpose
from cellhive.adapters.tabular.grids import read_csv_grid
from cellhive.app.analysis import analyse_paths, audited_of, surveys_of, taken_for
from cellhive.core.measurements import Findings
from cellhive.flows.drives.survey import Drive, survey
from cellhive.reports.drive.section import drives_html, drives_markdown, drives_record

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

GENERIC = (
    "Timestamp,Latitude,Longitude,PCI,EARFCN,RSRP (dBm),RSRQ,SINR,DL Mbps\n"
    "2024-05-01 10:00:00,48.0000,11.0000,7,1300,-95,-10,12,30\n"
    "2024-05-01 10:00:01,48.0001,11.0000,7,1300,-111,-14,2,12\n"
    "2024-05-01 10:00:04,48.0002,11.0000,7,1300,-113,-15,1,5\n"
    "2024-05-01 10:00:07,48.0003,11.0000,9,1300,-115,-16,0,2\n"
    "2024-05-01 10:00:08,48.0004,11.0000,9,1300,-90,-9,14,31\n"
    "2024-05-01 10:10:00,48.0104,11.0000,9,1300,-999,-9,14,33\n"
)


def drive(path: Path, text: str) -> Drive:
    """Return the drive test that a text holds."""
    path.write_text(text)
    grid = read_csv_grid(path, Findings())
    assert is_drive_log(grid)
    return drive_of(grid, Findings())


def test_a_generic_log_adds_up(tmp_path: Path) -> None:
    """Levels, way, changes of cell and the weak stretch, worked out by hand."""
    one = survey(drive(tmp_path / "log.csv", GENERIC))
    assert one.samples == 6
    assert one.driven_s == 8.0  # the pause of ten minutes is no part of the drive
    assert one.distance_m == pytest.approx(4 * 11.12, rel=1e-3)  # 0.0001 deg of latitude each
    assert one.rsrp_dbm is not None
    assert (one.rsrp_dbm.samples, one.rsrp_dbm.median) == (5, -111.0)  # -999 is no level
    assert one.weak_ratio == 0.6
    assert (one.cells, one.cell_changes) == (2, 1)
    (weak,) = one.weak_stretches
    assert (weak.duration_s, weak.lowest_dbm, weak.cells) == (6.0, -115.0, ("1300/7", "1300/9"))
    assert weak.start is not None
    assert weak.start.isoformat() == "2024-05-01T10:00:01+00:00"
    assert one.others["DL Mbps"].mean == pytest.approx(113 / 6)
    assert "1 values of RSRP outside" in one.notes[0]


def test_a_column_per_cell(tmp_path: Path) -> None:
    """The form of replays: seconds, the serving cell, and a level per cell."""
    text = "time_s,serving,A,B\n0,A,-80,-90\n1,A,-112,-90\n2,B,-112,-85\n"
    found = drive(tmp_path / "plain.csv", text)
    assert found.samples["rsrp_dbm"].to_list() == [-80.0, -112.0, -85.0]
    one = survey(found)
    assert (one.start, one.driven_s, one.cell_changes) == (None, 2.0, 1)
    strongest = drive(tmp_path / "b.csv", "time_s,A,B\n0,-80,-90\n1,-95,-90\n")
    assert strongest.samples["cell"].to_list() == ["A", "B"]


@pytest.mark.parametrize(
    "text",
    [
        # hourly KPIs of cells with fixed positions
        "Time,Cell,Latitude,Longitude,RSRP,Users\n"
        + "".join(f"2024-05-01 0{n // 2}:00,{n % 2},48.{n % 2},11,-9{n},5\n" for n in range(9)),
        # quarter hours of one cell
        "Time,Cell,RSRP\n" + "".join(f"2024-05-01 {h:02d}:15,A,-9{h}\n" for h in range(9)),
        "Cell,RSRP\nA,-90\nB,-91\n",
        "Time,Cell,Drops\n2024-05-01 10:00:00,A,1\n2024-05-01 10:00:01,A,2\n",
    ],
)  # fmt: skip
def test_kpis_of_cells_are_no_drive_test(tmp_path: Path, text: str) -> None:
    """Whatever is measured in them."""
    path = tmp_path / "kpis.csv"
    path.write_text(text)
    assert not is_drive_log(read_csv_grid(path, Findings()))


def test_a_report_escapes_what_a_log_holds(tmp_path: Path) -> None:
    """Names of cells and runs come from a file."""
    text = GENERIC.replace(",PCI,", ",Cell Name,").replace(",9,1300", ",<b>x</b>,1300")
    text = text.replace(",7,1300", ",<b>x</b>,1300")
    one = survey(drive(tmp_path / "log.csv", text))
    assert "<b>x" not in drives_html([one])
    assert "&lt;b&gt;x" in drives_html([one])
    assert any("1 log of 8 s" in line for line in drives_markdown([one]))
    (record,) = json.loads(json.dumps(drives_record([one])))
    assert record["rsrp_dbm"]["samples"] == 5


# -- one folder with everything


def everything(folder: Path) -> None:
    """Write one small file of every kind."""
    (folder / "kpis.csv").write_text(
        "Time,Cell,RRC Connection Setup Success Rate (%)\n"
        + "".join(f"2024-05-0{d},C{c},9{d}.5\n" for d in range(1, 6) for c in (1, 2, 3))
    )
    (folder / "sites.csv").write_text(
        "Cell Name;Site;Latitude;Longitude;Azimuth;PCI;EARFCN\n"
        "C1;A;48,0;11,0;0;10;1300\nC2;A;48,0;11,0;120;11;1300\nC3;B;48,01;11,0;180;10;1300\n"
    )
    (folder / "neighbours.tsv").write_text("Source Cell\tTarget Cell\nC1\tC3\nC3\tC1\nC1\tC2\n")
    (folder / "drive.csv").write_text(GENERIC)
    (folder / "cells.json").write_text(
        '{"cellList": [{"Cell": {"nodeId": "C4", "physicalCellId": 12}, "neighbor": []}]}'
    )
    (folder / "cm.xml").write_text(
        '<bulkCmConfigDataFile xmlns="urn:c"><configData><ManagedElement id="E">'
        '<NRCellCU id="C5"><attributes><nRPCI>5</nRPCI></attributes></NRCellCU>'
        "</ManagedElement></configData></bulkCmConfigDataFile>"
    )
    (folder / "notes.txt").write_text("call the site owner of A\n")


def purposes(result: ReadResult) -> dict[str, list[str]]:
    """Return what each file was taken for, by its name."""
    return {one.path.name: [str(p) for p in one.taken_for] for one in result.files}


def test_a_folder_of_everything_goes_where_it_belongs(tmp_path: Path) -> None:
    """Measurements, cells, relations, bulk CM, a cell list and a drive test, in one go."""
    everything(tmp_path)
    result, analysis = analyse_paths([tmp_path])
    audited, surveys = audited_of(result), surveys_of(result)
    assert purposes(result) == {
        "kpis.csv": [Purpose.MEASUREMENTS], "sites.csv": [Purpose.CELLS],
        "neighbours.tsv": [Purpose.RELATIONS], "drive.csv": [Purpose.DRIVE_TEST],
        "cells.json": [Purpose.CELLS], "cm.xml": [Purpose.CELLS], "notes.txt": [],
    }  # fmt: skip
    assert [part.objects for part in analysis.parts] == [("C1", "C2", "C3")]
    assert audited is not None
    assert set(audited.configuration.cell_ids) == {"C1", "C2", "C3", "C4", "C5"}
    assert audited.configuration.latitude_deg.tolist().count(48.0) == 2
    assert audited.audit.count("one-way") == 1  # C1 to C2
    assert [one.samples for one in surveys] == [6]
    assert len(taken_for(result)["cells and their settings"]) == 3


def test_a_folder_without_measurements_is_analysed_too(tmp_path: Path) -> None:
    """A drive test or a configuration alone is worth a report."""
    everything(tmp_path)
    (tmp_path / "kpis.csv").unlink()
    result, analysis = analyse_paths([tmp_path])
    audited, surveys = audited_of(result), surveys_of(result)
    assert analysis.parts == ()
    assert audited is not None
    assert len(surveys) == 1
    (measured,) = read_paths([tmp_path / "drive.csv"], tables_only=True).measurements
    assert "RSRP (dBm)" in measured.columns


def test_relations_alone_are_a_configuration(tmp_path: Path) -> None:
    """Their ends are the cells; with times they are measurements."""
    (tmp_path / "r.csv").write_text("source,target,handovers\nA,B,10\nB,A,12\nA,C,3\n")
    conf = read_paths([tmp_path]).configuration
    assert conf is not None
    assert conf.cell_ids == ("A", "B", "C")
    assert conf.relation_weight is not None
    (tmp_path / "r.csv").write_text(
        "time,source cell,target cell,HO attempts\n"
        + "".join(f"2024-05-0{d},A,B,1{d}\n2024-05-0{d},B,A,2{d}\n" for d in range(1, 5))
    )
    result = read_paths([tmp_path])
    assert result.configuration is None
    assert result.measurements[0].objects == ["A->B", "B->A"]


# -- public logs


@pytest.mark.skipif(not DATA.exists(), reason="the public data sets are not here")
def test_public_logs_are_drive_tests() -> None:
    """Dakar's operators with their events, and the seconds of NTU."""
    result = read_paths([DATA / "dakar_gnettrack_3ops" / "raw_logs"])
    surveys = {Path(one.source).name: survey(one) for one in result.drives}
    yas = surveys["Yas_log.txt.gz"]
    assert (yas.samples, yas.cells, yas.technologies["4G"]) == (2719, 73, 1861)
    assert yas.events["CALL_DROP"] == 2
    assert "Yas_log_events.txt" not in surveys
    ntu = read_paths([DATA / "ntu_wmnlab_handoff" / "all_runs.csv.gz"])
    (seconds,) = (survey(one) for one in ntu.drives)
    assert (seconds.runs, seconds.samples, seconds.failures) == (351, 98893, 569)
