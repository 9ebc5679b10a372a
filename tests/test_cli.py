"""The command line with input that cannot be: exit code 2, one message, nothing written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from cellhive import __version__
from cellhive.__main__ import main as start
from cellhive.adapters.runs import load_run
from cellhive.adapters.scenarios import parse_scenario, scenario_named, scenario_names
from cellhive.adapters.scenarios.studies import load_study
from cellhive.app import runs as composition

SMALL = ("--scenario", "stadium-surge", "--hours", "0.5", "--observed", "8")
SITES = "id,lat,lon\nA,48.1,11.5\nB,48.105,11.505\nC,48.1,11.51\n"


def files_under(folder: Path) -> set[str]:
    """Return every file and folder under a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.fixture
def refused(
    cellhive: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Return what runs a command that must fail, and gives its one message.

    The exit code is 2, standard output is empty, standard error has one line, and no file
    has appeared.
    """
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> str:
        before = files_under(tmp_path)
        ended = cellhive(*arguments)
        assert (ended.code, ended.out) == (2, ""), ended
        assert ended.err.startswith("cellhive: ")
        assert ended.err.count("\n") == 1, ended.err
        assert "Traceback" not in ended.err
        assert files_under(tmp_path) == before
        return ended.err

    return call


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--seed", "-1", "a whole number from 0 to 4294967295, found -1"),
        ("--seed", "4294967296", "found 4294967296"),
        ("--seed", "1.5", "'1.5' is not a valid integer"),
        ("--hours", "0", "0.25 to 336 hours, found 0"),
        ("--hours", "-1", "found -1"),
        ("--hours", "nan", "found nan"),
        ("--hours", "inf", "found inf"),
        ("--hours", "1e9", "found 1e+09"),
        ("--hours", "", "'' is not a valid float"),
        ("--observed", "nan", "4 to 900 seconds, found nan"),
        ("--observed", "0", "found 0"),
        ("--scenario", "nope", "out of hex-urban, highway-corridor"),
        ("--scenario", "", "found ''"),
        ("--optimizer", "nope", "one of none, rules, es, cco, mlb, mro, or rl:NAME"),
        ("--mode", "nope", "'nope' is not one of 'shadow', 'assist', 'autonomous'"),
        ("--bbox", "1,2,3,4", "give --sites FILE too"),
        ("--freeze", "17-21", "such as 17:00-21:30, found '17-21'"),
        ("--freeze", "24:00-25:00", "found '24:00-25:00'"),
        ("--freeze", "07:00-07:00", "two different times of day"),
        ("--protect", "nope", "a cell of the network (S01-1, S01-2"),
        ("--protect", "", "found ''"),
        ("--nope", "1", "No such option"),
        ("--report", "x.txt", "ending in .html or .htm, found 'x.txt'"),
        ("--report", "", "--report: expected a file name ending in .html"),
    ],
)
def test_impossible_options_are_refused(
    refused: Callable[..., str], option: str, value: str, told: str
) -> None:
    """The message names what would have been right and what was found."""
    assert told in refused("run", *SMALL, option, value)


@pytest.mark.parametrize(
    ("bbox", "told"),
    [
        ("1,2,3", "four degrees: min_lon,min_lat,max_lon,max_lat, found '1,2,3'"),
        ("a,b,c,d", "found 'a,b,c,d'"),
        ("nan,0,1,1", "found 'nan,0,1,1'"),
        ("3,4,1,2", "whose maximum is not above its minimum"),
        ("48,100,49,101", "longitude comes first"),
        ("0,0,1,1", "lie in 11.5,48.1,11.51,48.105; give a box within that"),
        ("", "found ''"),
    ],
)
def test_boxes_that_hold_nothing_are_refused(
    refused: Callable[..., str], tmp_path: Path, bbox: str, told: str
) -> None:
    """A box must be one, and there must be sites in it."""
    (tmp_path / "sites.csv").write_text(SITES)
    assert told in refused("run", *SMALL, "--sites", "sites.csv", "--bbox", bbox)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "found an empty file"),
        (b"id,lat,lon\n", "at least one row, found no rows"),
        (b"id,lat,lon\nA,nan,11.5\nB,48.1,\n", "line 2: the latitude or longitude is missing; li"),
        (b"id,lat,lon\nA,48.1,11.5\nA,48.2,11.5\n", "'A' differs in lines 2, 3"),
        (b"id,lat,lon\nA,48.1,211.5\nB,48.1,11\n", "line 2"),
        (b"id,lat,lon\nA,121.5,31.2\nB,121.51,31.21\n", "look swapped"),
        (b"id,lat,lon,azimuth\nA,48.1,11.5,500\n", "line 2: azimuth 500"),
        (b"foo,bar\n1,2\n", "a column with the latitude, such as lat"),
        (b"id,lat,lon\nA,48.1,11.5\nB,-30,100\n", "within 60 km for one twin"),
        (b"\0" * 4000, "found a binary file"),
        (b"id,lat,lon\nK\xf6ln,48.1,11.5\n", "save the file as UTF-8"),
    ],
)
def test_site_files_that_cannot_be_are_refused(
    refused: Callable[..., str], tmp_path: Path, content: bytes, told: str
) -> None:
    """The message names the file and, where there is one, the line."""
    (tmp_path / "sites.csv").write_bytes(content)
    message = refused("run", *SMALL, "--sites", "sites.csv")
    assert "sites.csv" in message
    assert told in message


def test_files_that_are_not_there_are_refused(refused: Callable[..., str]) -> None:
    """Site lists, plans, mappings, measurements and run folders are named in the message."""
    for command in (
        ("run", *SMALL, "--sites", "gone.csv"),
        ("run", *SMALL, "--plan", "gone.xml"),
        ("analyze", "gone"),
        ("replay", "gone"),
        ("plan", "export", "gone", "-o", "a.csv"),
        ("plan", "show", "gone", "a.csv"),
    ):
        assert "gone" in refused(*command)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("p.csv", "", "found an empty file"),
        ("p.csv", "cell,parameter,after\nX,electrical_tilt_deg,3\n", "'X'"),
        ("p.csv", "a,b\n1,2\n", "expected the columns plan_id, function"),
        ("p.xml", "<a>", "well-formed XML"),
        ("p.xml", "<a/>", "a bulk configuration file"),
        ("p.txt", "x", "ending in .xml or .csv, found '.txt'"),
    ],
)
def test_plan_files_that_cannot_be_are_refused(
    refused: Callable[..., str], tmp_path: Path, name: str, content: str, told: str
) -> None:
    """A plan is refused before the network is built."""
    (tmp_path / name).write_text(content)
    message = refused("run", *SMALL, "--plan", name)
    assert name in message
    assert told in message


def test_outputs_are_checked_before_the_work(refused: Callable[..., str], tmp_path: Path) -> None:
    """What could not be written in the end is refused at once."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "table.csv").write_text("time,cell,drops\n2024-01-01,A,1\n")
    assert "file, which is no folder" in refused("run", *SMALL, "--runs", "file/runs")
    assert "file, which is no folder" in refused("run", *SMALL, "--report", "file/a.html")
    assert "the folder folder.html" in refused("run", *SMALL, "--report", "folder.html")
    assert "'o.txt'" in refused("analyze", "table.csv", "--report", "o.txt")
    assert "the folder" in refused("analyze", "table.csv", "--report", "folder.html")
    assert "'m.txt'" in refused("analyze", "table.csv", "--save-mapping", "m.txt")
    message = refused("analyze", "table.csv", "--save-mapping", "file/m.yaml")
    assert "--save-mapping" in message


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--seeds", "1"), "--seeds"),
        (("--first-seed", "-5"), "--first-seed"),
        (("--first-seed", "4294967290"), "a whole number from 0 to 4294967295"),
        (("--scenario", "healthy", "--scenario", "nope"), "found 'nope'"),
        (("--optimizer", "nope"), "found 'nope'"),
        (("--hours", "0"), "found 0"),
        (("--out", "folder.md"), "the folder folder.md"),
        (("--out", "file/r.md"), "file, which is no folder"),
        (("--out", "r.pdf"), "ending in .md"),
    ],
)
def test_an_evaluation_is_checked_before_it_runs(
    refused: Callable[..., str], tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    """It takes many minutes, which no late refusal may waste: not one run is started."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.md").mkdir()
    assert told in refused("evaluate", *arguments)


def test_ctrl_c_before_a_run_begins_is_told(
    cellhive: Callable[..., object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One line and exit code 130, as shells expect; no folder is left."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(composition, "build_twin", interrupted)
    ended = cellhive("run", *SMALL, "--runs", tmp_path / "runs")
    assert ended.code == 130
    assert ended.err.splitlines()[-1] == "cellhive: interrupted"
    assert files_under(tmp_path) == set()


THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@pytest.mark.parametrize("own", [{}, {"OMP_NUM_THREADS": "3"}])
def test_libraries_are_told_of_one_thread_before_they_load(own: dict[str, str]) -> None:
    """Waiting threads burn processor time; what a user has set stays."""
    program = f"""
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "numpy":
            print(*(os.environ.get(each, "unset") for each in {THREADS!r}))
sys.meta_path.insert(0, Watch())
import cellhive.cli
"""
    left = {name: value for name, value in os.environ.items() if name not in THREADS}
    ended = subprocess.run(  # noqa: S603  # our own program
        [sys.executable, "-W", "ignore", "-c", program], env={**left, **own},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ended.stdout.splitlines()[0] == " ".join(own.get(name, "1") for name in THREADS)


def test_ctrl_c_while_the_commands_load_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading takes a moment in which no command can take the signal yet."""

    class Loading(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "cellhive.cli", Loading("cellhive.cli"))
    with pytest.raises(SystemExit) as ended:
        start()
    assert ended.value.code == 130


@pytest.mark.parametrize(
    ("content", "told"),
    [("a: [1", "YAML"), ("- 1\n", "found a list"), ("nonsense: 3\n", "found 'nonsense'")],
)
def test_mappings_that_cannot_be_are_refused(
    refused: Callable[..., str], tmp_path: Path, content: str, told: str
) -> None:
    """A broken mapping is named, and the keys it may have."""
    (tmp_path / "m.yaml").write_text(content)
    (tmp_path / "table.csv").write_text("time,cell,drops\n2024-01-01,A,1\n")
    message = refused("analyze", "table.csv", "--mapping", "m.yaml")
    assert "m.yaml" in message
    assert told in message


def test_what_holds_no_measurements_is_refused(refused: Callable[..., str], tmp_path: Path) -> None:
    """An empty folder, files that all fail, and tables of which nothing is known."""
    (tmp_path / "empty").mkdir()
    assert "found empty folders" in refused("analyze", "empty")
    (tmp_path / "cut.xml").write_text('<?xml version="1.0"?><measCollecFile><fileHeader')
    (tmp_path / "random.csv").write_bytes(np.random.default_rng(1).bytes(2000))
    message = refused("analyze", "cut.xml", "random.csv")
    assert "found 2 without any" in message
    assert "cut.xml" in message
    (tmp_path / "unknown.csv").write_text("foo,bar\n1,2\n")
    assert "found foo, bar; say in a YAML" in refused("analyze", "unknown.csv")


def test_one_bad_file_does_not_stop_the_others(
    cellhive: Callable[..., object], tmp_path: Path
) -> None:
    """The good file is reported on, the bad ones are named with their reasons."""
    folder = tmp_path / "in"
    folder.mkdir()
    rows = "".join(f"2024-01-01 {h:02}:00,C{c},{50 + h}\n" for h in range(24) for c in (1, 2))
    (folder / "good.csv").write_text(f"time,cell,rrc attempts\n{rows}")
    (folder / "cut.xml").write_text('<?xml version="1.0"?><measCollecFile><fileHeader')
    (folder / "random.xml").write_bytes(np.random.default_rng(2).bytes(2000))
    (folder / "empty.csv").write_text("")
    report = tmp_path / "new" / "report.html"
    ended = cellhive("analyze", folder, "--report", report)
    assert ended.code == 0
    assert "good.csv: 48 rows of 2 objects" in ended.out
    for name in ("cut.xml", "random.xml", "empty.csv"):
        (line,) = (line for line in ended.out.splitlines() if f"✘ {name}" in line)
        assert "expected" in line
    assert "good.csv" in report.read_text()
    listed = cellhive("analyze", folder, "--report", tmp_path / "r.json", "--json")
    assert (listed.code, listed.err) == (0, "")
    failed = [one for one in json.loads(listed.out)["findings"] if one["severity"] == "error"]
    assert {Path(one["file"]).name for one in failed} == {"cut.xml", "empty.csv"}
    assert json.loads((tmp_path / "r.json").read_text()) == json.loads(listed.out)


def test_a_saved_mapping_gives_the_same_analysis(
    cellhive: Callable[..., object], tmp_path: Path
) -> None:
    """What was guessed can be written, edited and given back."""
    table = tmp_path / "t.csv"
    rows = "".join(f"2024-01-01 {h:02}:00,C1,{50 + h}\n" for h in range(24))
    table.write_text(f"time,cell,RRC attempts\n{rows}")
    saved = tmp_path / "m.yaml"
    first = cellhive("analyze", table, "--report", tmp_path / "a.md", "--save-mapping", saved)
    second = cellhive("analyze", table, "--report", tmp_path / "b.md", "--mapping", saved)
    assert (first.code, second.code) == (0, 0)
    assert "RRC.ConnEstabAtt" in saved.read_text()
    assert "100 %" not in second.out  # it was guessed, and stays so
    kept = [one for one in saved.read_text().splitlines() if "inferred" not in one]
    saved.write_text("\n".join(kept) + "\n")
    third = cellhive("analyze", table, "--report", tmp_path / "c.md", "--mapping", saved)
    assert third.code == 0
    assert "100 %" in third.out  # a person said so, so it is sure


@pytest.fixture(scope="module")
def run_folder(
    cellhive: Callable[..., object], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, object]:
    """A small run in which nobody proposes anything, and how its command ended."""
    root = tmp_path_factory.mktemp("runs")
    ended = cellhive("run", *SMALL, "--optimizer", "none", "--runs", root, "--json")
    (folder,) = root.iterdir()
    return folder, ended


def strictly(text: str) -> dict[str, object]:
    """Return JSON that has neither NaN nor infinity in it."""

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is no JSON")

    value = json.loads(text, parse_constant=refuse)
    assert isinstance(value, dict)
    return value


def test_json_is_all_that_is_printed(run_folder: tuple[Path, object]) -> None:
    """One document on standard output, nothing on standard error."""
    folder, ended = run_folder
    assert (ended.code, ended.err) == (0, "")
    summary = strictly(ended.out)
    assert summary["run_id"] == folder.name
    assert (summary["periods"], summary["seed"], summary["interrupted"]) == (2, 1, False)
    assert summary["version"] == __version__
    assert summary["paths"] == {"Report": f"{folder / 'report.html'}", "Run folder": str(folder)}


def test_without_a_terminal_the_output_is_plain(
    cellhive: Callable[..., object], tmp_path: Path
) -> None:
    """No escape sequences, no line broken in the middle of a path, progress on stderr."""
    report = tmp_path / ("long-" * 15) / "report.html"
    ended = cellhive("run", *SMALL, "--runs", tmp_path / "runs", "--report", report)
    assert ended.code == 0
    assert "\x1b" not in ended.out + ended.err
    assert str(report) in ended.out
    assert report.read_text().startswith("<!doctype html>") or "<html" in report.read_text()[:200]
    assert "period 2/2" in ended.err
    assert "period 2/2" not in ended.out


def test_runs_are_listed_whole(
    cellhive: Callable[..., object], run_folder: tuple[Path, object], tmp_path: Path
) -> None:
    """Paths can be copied out of the list; a folder without runs says how to start one."""
    folder, _ = run_folder
    listed = cellhive("runs", "--runs", folder.parent)
    assert str(folder) in listed.out
    assert "by itself" in listed.out
    assert "start one: cellhive run" in cellhive("runs", "--runs", tmp_path).out


def test_there_must_be_something_to_export(
    refused: Callable[..., str], run_folder: tuple[Path, object]
) -> None:
    """A run that changed nothing, an unknown plan, and a wrong suffix beside a right one."""
    folder, _ = run_folder
    assert "that changed something" in refused("plan", "export", folder, "-o", "a.csv")
    message = refused("plan", "export", folder, "--plan", "X-1", "-o", "a.csv")
    assert "(it has none), found 'X-1'" in message
    assert "'a.txt'" in refused("plan", "export", folder, "-o", "a.csv", "-o", "a.txt")
    assert "Missing option" in refused("plan", "export", folder)


@pytest.fixture
def copy(run_folder: tuple[Path, object], tmp_path: Path) -> Path:
    """A copy of the run that may be damaged."""
    return shutil.copytree(run_folder[0], tmp_path / "copy")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("settings.json", b'{"run_id": "x', "settings.json: expected JSON"),
        ("settings.json", b"{}", "settings.json"),
        ("settings.json", None, "settings.json: expected a file of a run folder"),
        ("network.json", b"[1]", "network.json: expected a JSON object, found list"),
        ("parameters.json", b"{}", "parameters.json"),
        ("events.jsonl", b"", "at least one period, found none"),
        ("frames/run-000001.parquet", b"PAR1", "at least one period, found none"),
    ],
)
def test_damaged_folders_are_not_replayed(
    refused: Callable[..., str], copy: Path, name: str, content: bytes | None, told: str
) -> None:
    """The message names the file that is damaged."""
    if content is None:
        (copy / name).unlink()
    else:
        (copy / name).write_bytes(content)
    assert told in refused("replay", copy)


def test_settings_of_no_run_are_not_replayed(refused: Callable[..., str], copy: Path) -> None:
    """Whatever was done to the settings, the message is one."""
    whole = json.loads((copy / "settings.json").read_text())
    for wrong in ({"mode": "nope"}, {"protected": 3}, {"hours": "x"}, {"optimizer": None}):
        broken = {**whole, "settings": {**whole["settings"], **wrong}}
        (copy / "settings.json").write_text(json.dumps(broken))
        assert "expected" in refused("replay", copy)


def test_what_is_whole_is_replayed(cellhive: Callable[..., object], copy: Path) -> None:
    """Of a folder that lost its end, the beginning is replayed, and that is said."""
    (copy / "frames" / "run-000002.parquet").write_bytes(b"PAR1")
    ended = cellhive("replay", copy)
    assert ended.code == 0
    assert ended.out.startswith("1 of 2 periods replayed, as far as the record goes")


def test_a_run_that_was_killed_gets_its_report(cellhive: Callable[..., object], copy: Path) -> None:
    """Beside the record, or where one says; the page tells that the run has no end."""
    (copy / "report.html").unlink()
    (copy / "summary.json").unlink()
    ended = cellhive("report", copy)
    assert (ended.code, ended.out) == (0, f"{copy / 'report.html'}\n")
    assert "This run was interrupted." in (copy / "report.html").read_text(encoding="utf-8")
    elsewhere = copy / "new" / "other.html"
    assert cellhive("report", copy, "--out", elsewhere).code == 0
    assert elsewhere.is_file()


def test_a_report_is_refused_before_it_is_made(
    refused: Callable[..., str], tmp_path: Path, copy: Path
) -> None:
    """A folder that is no run, and a place that cannot be written."""
    (tmp_path / "empty").mkdir()
    assert "settings.json" in refused("report", "empty")
    assert "nothing at nope" in refused("report", "nope")
    assert "ending in .html" in refused("report", copy, "--out", "r.txt")


def test_a_replay_that_differs_fails(cellhive: Callable[..., object], copy: Path) -> None:
    """A record of another seed is not what comes out, and the first difference is named."""
    text = (copy / "settings.json").read_text()
    (copy / "settings.json").write_text(text.replace('"seed": 1', '"seed": 2'))
    ended = cellhive("replay", copy)
    assert (ended.code, ended.out) == (1, "")
    assert "the replay differs: frames, period 1, values, row 0" in ended.err
    assert load_run(copy).seed == 2


def test_help_and_version(cellhive: Callable[..., object]) -> None:
    """Both print and succeed; no command at all prints the help and is an error."""
    assert cellhive("--version").out == f"cellhive {__version__}\n"
    assert "Usage: cellhive" in cellhive("--help").out
    assert cellhive().code == 2
    assert "No such command 'nope'; see cellhive --help" in cellhive("nope").err


TOWN = """\
version: 1
name: town
title: Three cells.
focus: [demand_satisfied_ratio]
layout: {kind: hex, sites: 1, inter_site_distance_m: 500, carrier_mhz: 2100}
time: {start_h: 9, duration_h: 0.5}
users: {per_cell: 4}
"""


def test_a_scenario_of_ones_own_runs_and_replays_without_its_file(
    cellhive: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A YAML file is run by its path; the record holds all of it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(TOWN)
    ended = cellhive("run", "--scenario", "mine.yaml", "--observed", "4", "--json")
    assert ended.code == 0, ended.err
    (folder,) = (tmp_path / "runs").iterdir()
    assert "-town-s1" in folder.name
    record = load_run(folder)
    assert record.scenario == "town"
    assert len(record.frames) == 2
    assert record.network.cells == 3
    (tmp_path / "mine.yaml").unlink()
    assert "every number is the same" in cellhive("replay", folder).out


def test_a_scenario_can_be_printed_and_is_listed_with_its_headroom(
    cellhive: Callable[..., Any],
) -> None:
    """What is printed is a scenario; the list says how much there is to gain."""
    shown = cellhive("scenarios", "--show", "mis-tilted")
    assert shown.code == 0
    assert parse_scenario(shown.out, "shown") == scenario_named("mis-tilted")
    listed = cellhive("scenarios").out
    assert "headroom" in listed
    assert all(name in listed for name in scenario_names())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (TOWN.replace("carrier_mhz", "carrier_hz"), "mine.yaml, line 5, layout: expected one of"),
        (
            TOWN.replace("per_cell: 4", "per_cell: .nan"),
            "line 7, users.per_cell: expected a number",
        ),
        ("", "found an empty file"),
    ],
)
def test_scenario_files_that_cannot_be_are_refused(
    refused: Callable[..., str], tmp_path: Path, text: str, told: str
) -> None:
    """The message names the file and the line, and nothing is written."""
    (tmp_path / "mine.yaml").write_text(text)
    assert told in refused("run", "--scenario", "mine.yaml")
    assert told in refused("headroom", "--scenario", "mine.yaml")


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--scenario", "healty", "did you mean healthy?"),
        ("--scenario", "gone.yaml", "gone.yaml: there is no such file"),
        ("--seeds", "1", "--seeds: expected at least 2"),
        ("--evaluations", "1", "--evaluations: expected at least 2"),
        ("--hours", "0", "--hours: expected 0.25 to 336 hours"),
        ("--observed", "nan", "--observed: expected 4 to 900 seconds"),
        ("--out", "x.txt", "ending in .json or .md"),
    ],
)
def test_impossible_studies_are_refused(
    refused: Callable[..., str], option: str, value: str, told: str
) -> None:
    """Options that no study of the headroom can have end it before any work."""
    assert told in refused("headroom", option, value)


def test_a_study_goes_on_where_it_was_stopped(
    cellhive: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cities that were run are not run again, and other options are not mixed in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(TOWN)
    command = ("headroom", "--scenario", "mine.yaml", "--evaluations", "3", "--observed", "4")
    first = cellhive(*command, "--seeds", "2", "--out", "h.json")
    assert first.code == 0, first.err
    assert [line for line in first.err.splitlines() if "city" in line] == [
        "town, city 201", "town, city 202"
    ]  # fmt: skip
    second = cellhive(*command, "--seeds", "3", "--out", "h.md")
    assert second.err.splitlines() == ["town, city 203"]
    study = load_study(tmp_path / "h.json")
    assert [city.seed for city in study.cities["town"]] == [201, 202, 203]
    page = (tmp_path / "h.md").read_text()
    assert "| [town](#town) | 3 |" in page
    assert "found in 3 trials" in page
    other = cellhive(*command, "--seeds", "3", "--out", "h.json", "--hours", "0.25")
    assert (other.code, "h.json: expected results of the same options" in other.err) == (2, True)
    (tmp_path / "h.json").write_text("[1, 2]")
    broken = cellhive(*command, "--out", "h.json")
    assert (broken.code, "h.json: expected results of cellhive headroom" in broken.err) == (2, True)
