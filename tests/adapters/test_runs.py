"""Run folders: what is written is read back to the bit, also after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cellhive.adapters.runs import RunFolder, list_runs, load_run
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.types import (
    Change,
    Effect,
    KpiFrame,
    Network,
    Outcome,
    Parameters,
    Plan,
    Refusal,
    Verdict,
)
from cellhive.flows.decide import (
    CellsSetAside,
    PeriodObserved,
    PlanApplied,
    PlanChecked,
    PlanDecided,
    PlanHeld,
    PlanProposed,
)
from cellhive.flows.replay import compare_frames, compare_runs
from cellhive.flows.trial import BaselineObserved, Progress, Raster, RunRecord, RunStart
from cellhive.ran.parameters import default_parameters

START = RunStart(
    "20260101-mis-tilted-s7", "0.1", "2026-01-01T00:00:00Z", "mis-tilted", 7, {"hours": 2.5}
)


def three_cells() -> Network:
    """Return three cells with two relations and coordinates that need every digit."""
    ones = np.ones(3)
    return Network(
        name="three",
        cell_ids=("a", "b", "ć/3"),
        site_ids=("s", "s", "t"),
        x_m=np.array([0.1, 1 / 3, -1e-300]),
        y_m=np.array([np.pi, 0.0, -0.0]),
        height_m=25 * ones,
        azimuth_deg=120 * np.arange(3.0),
        mechanical_tilt_deg=0 * ones,
        carrier_hz=2.1e9 * ones,
        bandwidth_hz=20e6 * ones,
        environment=("UMa",) * 3,
        coverage_cell=np.array([True, False, True]),
        protected=np.zeros(3, np.bool_),
        relation_source=np.array([0, 1], np.int32),
        relation_target=np.array([1, 0], np.int32),
        origin_lat_deg=52.1,
    )


def frame(index: int, seed: int = 0) -> KpiFrame:
    """Return a period with unknown values, a reported NaN, infinities and minus zero."""
    values = np.random.default_rng([seed, index]).normal(size=(3, 4)).astype(np.float32)
    values[0, 0], values[1, 1], values[2, 1] = -0.0, np.nan, np.inf
    valid = np.ones((3, 4), np.bool_)
    valid[0, 2] = valid[2, 3] = False
    values[~valid] = np.nan
    return KpiFrame(
        time_s=900.0 * index + 0.1,
        period_s=900.0,
        observed_s=60.0,
        columns=("RRU.PrbUsedDl", "p", "q", "r"),
        values=values,
        valid=valid,
        relation_columns=("n", "m"),
        relation_values=values[:2, :2] + 1,
    )


TILT = Change("a", "electrical_tilt_deg", 6.0, 8.0, reason="weak ≥ 5 %")
PLAN = Plan("p1", "CCO", 900.0, (TILT,), (Effect("sinr_mean_db", 1.0, 0.5, 2.0),), ("frame 1",))
UNDO = Plan("p1-rollback", "rollback", 2700.0, (TILT.reverted("harm"),), evidence=("p1",))
OTHER = replace(TILT, cell="b", target=None)


def write(folder: RunFolder, periods: int) -> list[object]:
    """Write a run with one plan that is rolled back after two periods; return its events."""
    refusal = Refusal(OTHER, "step", "too far")
    told: dict[int, list[object]] = {
        0: [
            PlanProposed(PLAN),
            PlanChecked(Verdict(PLAN, (TILT,), (refusal,))),
            PlanApplied(PLAN, "autonomous mode"),
        ],
        1: [
            CellsSetAside(900.0, ("b",), "no valid value"),
            PlanHeld(replace(PLAN, plan_id="p2"), "shadow mode: nothing is applied"),
        ],
        2: [
            PlanApplied(UNDO, "the watch"),
            PlanDecided(
                Outcome(
                    PLAN,
                    "rolled back",
                    "harm",
                    2700.0,
                    {"sinr_mean_db": 3.25},
                    {"sinr_mean_db": float("nan")},
                    (Effect("objective", -1.5, -2.0, -1.0),),
                )
            ),
        ],
    }
    events: list[object] = []
    for index in range(periods):
        events.append(BaselineObserved(index, frame(index, 1), 0.5 + index))
        events.append(PeriodObserved(index, frame(index), 1.5 + index))
        events += [*told.get(index, []), Progress(index + 1, periods)]
    for event in events:
        folder(event)
    return events


def record(start: RunStart, final: Parameters, periods: int) -> RunRecord:
    """Return the record of the run that ``write`` writes."""
    network = three_cells()
    return RunRecord(
        run_id=start.run_id,
        version=start.version,
        started=start.started,
        scenario=start.scenario,
        seed=start.seed,
        settings=start.settings,
        network=network,
        initial=default_parameters(network),
        final=final,
        frames=tuple(frame(index) for index in range(periods)),
        baseline=(),
        verdicts=(),
        held=(),
        outcomes=(),
        objective=(),
        baseline_objective=(),
        notes=("kept with the run",),
        interrupted=False,
        maps={"rsrp / before": Raster(-10.0, 5.5, 25.0, frame(0).values)},
    )


def make(root: Path, start: RunStart = START) -> RunFolder:
    """Return a new run folder."""
    network = three_cells()
    initial = default_parameters(network)
    return RunFolder.create(root, start, network, initial, ("tilt defaulted",))


def same(first: object, second: object) -> bool:
    """Return whether two dataclasses hold the same, NaN being equal to NaN."""
    return repr(first) == repr(second)


def test_finished_run_is_read_back_to_the_bit(tmp_path: Path) -> None:
    """Frames, plans, verdicts, outcomes, maps, parameters and network come back unchanged."""
    folder = make(tmp_path)
    events = write(folder, 4)
    final = replace(default_parameters(three_cells()), cio_db=np.array([1.0, -1.0]))
    folder.finish(record(folder.start, final, 4))
    loaded = load_run(folder.path)
    for index in range(4):
        assert compare_frames(loaded.frames[index], frame(index)) is None
        assert compare_frames(loaded.baseline[index], frame(index, 1)) is None
    assert loaded.objective == (1.5, 2.5, 3.5, 4.5)
    assert loaded.baseline_objective == (0.5, 1.5, 2.5, 3.5)
    assert loaded.verdicts == tuple(e.verdict for e in events if isinstance(e, PlanChecked))
    assert loaded.held == tuple(e for e in events if isinstance(e, PlanHeld))
    outcomes = tuple(e.outcome for e in events if isinstance(e, PlanDecided))
    assert same(loaded.outcomes, outcomes)
    assert loaded.applied == (PLAN, UNDO)
    assert same(loaded.network, three_cells())
    assert same(loaded.final, final)
    assert same(loaded.initial, default_parameters(three_cells()))
    assert loaded.settings == {"hours": 2.5}
    assert (loaded.notes, loaded.interrupted) == (("kept with the run",), False)
    raster = loaded.maps["rsrp / before"]
    assert (raster.x0_m, raster.y0_m, raster.pixel_m) == (-10.0, 5.5, 25.0)
    assert np.array_equal(raster.values.view(np.uint32), frame(0).values.view(np.uint32))


def test_settings_file_tells_how_to_run_it_again(tmp_path: Path) -> None:
    """Seed, version, Python and settings stand in one readable file."""
    folder = make(tmp_path)
    settings = json.loads((folder.path / "settings.json").read_text())
    assert settings["run_id"] == folder.path.name == START.run_id
    assert (settings["seed"], settings["version"]) == (7, "0.1")
    assert settings["python"].count(".") == 2
    folder.close()


def test_run_without_summary_is_read_as_interrupted(tmp_path: Path) -> None:
    """A folder whose run was killed holds the notes, and plans without a verdict as open."""
    folder = make(tmp_path)
    write(folder, 2)
    folder.close()
    loaded = load_run(folder.path)
    assert loaded.interrupted
    assert loaded.notes == (
        "tilt defaulted",
        "nothing decided about b: no valid value (period 2)",
        "the run was stopped before its end: there is no summary.json",
    )
    (outcome,) = loaded.outcomes
    assert (outcome.plan, outcome.verdict) == (PLAN, "unconfirmed")
    assert outcome.decided_s == 900.0 * 2 + 0.1
    assert loaded.final.electrical_tilt_deg.tolist() == [8.0, 6.0, 6.0]


def test_rolled_back_changes_are_not_in_the_final_parameters(tmp_path: Path) -> None:
    """What was applied and undone leaves the initial value, also without a summary."""
    folder = make(tmp_path)
    write(folder, 3)
    folder.close()
    assert load_run(folder.path).final.electrical_tilt_deg.tolist() == [6.0, 6.0, 6.0]


def test_torn_last_line_and_left_over_drafts_are_ignored(tmp_path: Path) -> None:
    """A line cut in the middle and temporary files do not hide what is whole."""
    folder = make(tmp_path)
    write(folder, 2)
    folder.close()
    whole = load_run(folder.path)
    with (folder.path / "events.jsonl").open("ab") as log:
        log.write(b'{"event": "PeriodObserved", "data": {"index": 2, "ti')
    (folder.path / "frames" / ".run-000003.parquet.x1").write_bytes(b"PAR1")
    loaded = load_run(folder.path)
    assert compare_runs(loaded, whole) is None
    assert loaded.notes[-1].startswith("the record ends before line 10 of events.jsonl")


def test_period_without_its_line_does_not_count(tmp_path: Path) -> None:
    """Tables that were written just before the kill are not part of the record."""
    folder = make(tmp_path)
    write(folder, 1)
    folder.close()
    for name in ("frames", "relations"):
        table = (folder.path / name / "run-000001.parquet").read_bytes()
        (folder.path / name / "run-000002.parquet").write_bytes(table)
    assert len(load_run(folder.path).frames) == 1


def test_damaged_table_ends_the_record_before_it(tmp_path: Path) -> None:
    """A table whose bytes changed is noticed by its checksum; earlier periods stay."""
    folder = make(tmp_path)
    write(folder, 4)
    folder.finish(record(folder.start, default_parameters(three_cells()), 4))
    table = folder.path / "frames" / "run-000003.parquet"
    data = bytearray(table.read_bytes())
    data[len(data) // 2] ^= 1
    table.write_bytes(data)
    loaded = load_run(folder.path)
    assert (len(loaded.frames), len(loaded.baseline)) == (2, 2)
    assert "run-000003.parquet is damaged" in loaded.notes[-2]
    assert loaded.notes[-1] == "2 periods of the run could not be read"


def test_ids_that_are_taken_get_a_number(tmp_path: Path) -> None:
    """Two runs of the same second do not share a folder, nor overwrite what is there."""
    (tmp_path / START.run_id).write_text("a file of the same name")
    folders = [make(tmp_path) for _ in range(2)]
    assert [f.path.name for f in folders] == [f"{START.run_id}-2", f"{START.run_id}-3"]
    assert folders[1].start.run_id == f"{START.run_id}-3"
    assert load_run(folders[1].path).run_id == f"{START.run_id}-3"
    assert [p for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    for folder in folders:
        folder.close()


def test_list_of_runs_is_in_order_and_passes_over_the_rest(tmp_path: Path) -> None:
    """Oldest first; drafts, other folders and damaged ones are left out."""
    late = make(tmp_path, replace(START, run_id="late", started="2026-02-01T00:00:00Z"))
    early = make(tmp_path, replace(START, run_id="zz", started="2026-01-01T00:00:00Z"))
    early.finish(record(early.start, default_parameters(three_cells()), 0))
    late.close()
    (tmp_path / "other").mkdir()
    (tmp_path / ".draft-x").mkdir()
    damaged = make(tmp_path, replace(START, run_id="damaged"))
    damaged.close()
    (damaged.path / "settings.json").write_text("{")
    runs = [(run.run_id, run.finished, run.seed) for run in list_runs(tmp_path)]
    assert runs == [("zz", True, 7), ("late", False, 7)]
    assert list_runs(tmp_path / "nowhere") == []


def test_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The message says where, why and what to do; nothing is left behind."""
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"file/runs: expected a place .* choose another folder"):
        make(tmp_path / "file" / "runs")


@pytest.mark.parametrize("run_id", ["", "../up", "a/b", ".hidden", "a" * 101, "sp ace"])
def test_run_id_must_be_a_plain_name(tmp_path: Path, run_id: str) -> None:
    """An id can never lead out of the root."""
    with pytest.raises(BadInput, match="expected a run id of letters"):
        make(tmp_path, replace(START, run_id=run_id))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a full disk")
def test_full_disk_is_said_clearly(tmp_path: Path) -> None:
    """When the log cannot grow, the error says that space is short; the rest stays readable."""
    folder = make(tmp_path)
    write(folder, 1)
    whole = load_run(folder.path)
    folder.close()
    (folder.path / "events.jsonl").rename(tmp_path / "log")
    (folder.path / "events.jsonl").symlink_to("/dev/full")
    full = RunFolder(folder.path, folder.start, three_cells())
    with pytest.raises(BadInput, match="No space left on device; free space"):
        full(PlanProposed(PLAN))
    with pytest.raises(OSError, match="No space left"):
        full.close()
    (tmp_path / "log").replace(folder.path / "events.jsonl")
    assert compare_runs(load_run(folder.path), whole) is None


def test_what_is_no_run_folder_is_named(tmp_path: Path) -> None:
    """A missing folder, an empty one and one of broken JSON are the caller's fault."""
    with pytest.raises(NotFound, match="found nothing at"):
        load_run(tmp_path / "nowhere")
    with pytest.raises(BadInput, match=r"settings\.json: expected a file of a run folder"):
        load_run(tmp_path)
    folder = make(tmp_path)
    folder.close()
    (folder.path / "network.json").write_text('{"name": "x", "cell_ids": 5}')
    with pytest.raises(BadInput, match=r"network\.json: expected Network"):
        load_run(folder.path)
    (folder.path / "network.json").write_text("[" * 100_000)
    with pytest.raises(BadInput, match=r"network\.json: expected JSON"):
        load_run(folder.path)


def test_report_appears_whole(tmp_path: Path) -> None:
    """The report lies in the folder, in UTF-8."""
    folder = make(tmp_path)
    path = folder.write_report("<p>ΔCIO −2 dB</p>")
    assert path == folder.path / "report.html"
    assert path.read_text(encoding="utf-8") == "<p>ΔCIO −2 dB</p>"
    folder.close()


def test_killed_process_leaves_a_readable_folder(tmp_path: Path) -> None:
    """kill -9 while periods are being written: all that were announced are there, in order."""
    script = (
        "import importlib.util, itertools, sys\n"
        "spec = importlib.util.spec_from_file_location('runs_test', sys.argv[1])\n"
        "m = importlib.util.module_from_spec(spec); spec.loader.exec_module(m)\n"
        "from pathlib import Path\n"
        "folder = m.make(Path(sys.argv[2]))\n"
        "for i in itertools.count():\n"
        "    folder(m.PeriodObserved(i, m.frame(i), float(i)))\n"
        "    print(i, flush=True)\n"
    )
    command = [sys.executable, "-c", script, __file__, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None
        for _ in range(5):
            announced = int(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
        rest = process.stdout.read().split()
    announced = int(rest[-1]) if rest else announced
    loaded = load_run(tmp_path / START.run_id)
    assert loaded.interrupted
    assert len(loaded.frames) in {announced + 1, announced + 2}
    for index, each in enumerate(loaded.frames):
        assert compare_frames(each, frame(index)) is None
    again = make(tmp_path)
    assert again.path.name == f"{START.run_id}-2"
    again.close()
