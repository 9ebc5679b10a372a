"""A drive test as recorded beside its replays: what adds up to what, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cellhive.core.errors import BadInput
from cellhive.core.types import Floats
from cellhive.flows.drive import Case, Comparison, compare
from cellhive.flows.drive_tally import recorded_tally
from cellhive.ran.trace import DriveLog, DriveTest, LogEvent, ReplaySettings, Stretch

NAN = float("nan")
DEFAULT = Case("default", ReplaySettings())
LATE = Case("late", ReplaySettings(a3_offset_db=30.0))


def log(
    levels: Floats, serving: list[int], events: tuple[LogEvent, ...] = (), start_s: float = 0.0
) -> DriveLog:
    """Return a run of one stretch with a sample a second."""
    names = tuple("ABCD"[: levels.shape[1]])
    carrier = np.zeros(levels.shape[1], np.int32)
    stretch = Stretch(start_s, names, levels, np.array(serving, np.int32), carrier)
    return DriveLog("run", 1.0, 3.0, 3.0, float(len(serving)), (stretch,), events)


def crossing() -> DriveLog:
    """Return a run in which B overtakes A after ten seconds and the phone changes at 15 s."""
    t = np.arange(20.0)
    levels = np.stack([-80 - t, -100 + t], 1)
    event = LogEvent(15.0, "handover", "A", "B")
    return log(levels, [0] * 15 + [1] * 5, (event,))


def compared(*logs: DriveLog, cases: tuple[Case, ...] = (DEFAULT, LATE)) -> Comparison:
    """Return the comparison of some runs."""
    return compare(DriveTest("by hand", "a test", iter(logs), ()), cases)


def test_recorded_figures() -> None:
    """Means over the samples of the cell that served; one handover in twenty seconds."""
    tally = recorded_tally(crossing())
    levels = [-80.0 - t for t in range(15)] + [-100.0 + t for t in range(15, 20)]
    assert tally.handovers_per_minute == pytest.approx(3.0)
    assert tally.mean_rsrp_dbm == pytest.approx(np.mean(levels))
    assert (tally.weak_ratio, tally.ping_pongs, tally.returns) == (0.0, 0, 0)


def test_weak_time_and_samples_between_which_nothing_is_said() -> None:
    """A sample without a serving cell belongs to the cell before; -110 dBm itself is not weak."""
    tally = recorded_tally(log(np.array([[-110.0], [-111.0], [-112.0], [-90.0]]), [0, -1, 0, 0]))
    assert tally.weak_ratio == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("stay_s", "ping_pongs", "returns"), [(0.9, 1, 1), (3.0, 0, 1), (6.0, 0, 0)]
)
def test_recorded_returns(stay_s: float, ping_pongs: int, returns: int) -> None:
    """A to B and back within a second is a ping-pong; within five it is told besides."""
    events = (LogEvent(2.0, "handover", "A", "B"), LogEvent(2.0 + stay_s, "handover", "B", "A"))
    tally = recorded_tally(log(np.full((10, 2), -80.0), [0] * 10, events))
    assert (tally.ping_pongs, tally.returns) == (ping_pongs, returns)


def test_moves_between_unnamed_cells_are_no_ping_pong() -> None:
    """Where the log does not say where a handover led to, nobody knows."""
    events = tuple(LogEvent(t, "handover", "A") for t in (2.0, 2.5))
    run = log(np.full((10, 1), -80.0), [0] * 10, events)
    assert recorded_tally(run).returns == 0
    assert not compared(run).cells_named


def test_other_parameters_do_other_things() -> None:
    """With 3 dB the machine changes at 12 s; with 30 dB never, and pays with its level."""
    result = compared(crossing())
    default, late = result.replayed
    assert result.cells_named
    assert (default.handovers, late.handovers) == (1, 0)
    assert default.mean_rsrp_dbm > result.recorded.mean_rsrp_dbm > late.mean_rsrp_dbm
    assert default.placed == late.placed == 1


def test_runs_add_up() -> None:
    """Two runs have twice the counts and the same means."""
    one, two = compared(crossing()), compared(crossing(), crossing())
    assert (two.runs, two.logged_s, two.several_s) == (2, 40.0, 40.0)
    assert two.recorded == one.recorded + one.recorded
    assert two.replayed[0].handovers == 2
    assert two.replayed[0].mean_rsrp_dbm == pytest.approx(one.replayed[0].mean_rsrp_dbm)


def test_had_left_before_the_network_moved_the_phone() -> None:
    """Of a stay that an unnamed handover ends: did the machine leave its first cell by then?"""
    run = crossing()
    stretch = run.stretches[0]
    stay = replace(stretch, rsrp_dbm=stretch.rsrp_dbm[:15], serving=stretch.serving[:15])
    run = replace(run, stretches=(stay,), events=(LogEvent(15.2, "handover", "A"),))
    default, late = compared(run).replayed
    assert (default.stays, default.left) == (1, 1)
    assert (late.stays, late.left) == (1, 0)


def test_a_sweep_covers_the_grid() -> None:
    """Later triggers and larger offsets never make more handovers on a single crossing."""
    test = DriveTest("by hand", "a test", iter([crossing()]), ())
    result = compare(test, (DEFAULT,), sweep=ReplaySettings())
    assert len(result.sweep) == 42
    assert result.sweep[3.0, 0.16] == result.replayed[0]
    assert result.sweep[6.0, 1.024].mean_rsrp_dbm < result.sweep[0.0, 0.04].mean_rsrp_dbm


def test_the_liveliest_parts_are_kept() -> None:
    """Of many runs, those with most handovers and failures."""
    quiet = [replace(crossing(), name=f"quiet {i}", events=()) for i in range(6)]
    busy = replace(
        crossing(), name="busy", events=tuple(LogEvent(t, "radio link failure") for t in (1.0, 2.0))
    )
    windows = compared(*quiet, busy).windows
    assert len(windows) == 4
    assert windows[0].log.name == "busy"
    assert [len(replays) for replays in windows[0].replays] == [1, 1]


def test_a_test_without_a_cell_is_refused() -> None:
    """There is nothing to compare."""
    empty = replace(crossing(), stretches=())
    with pytest.raises(BadInput, match="in which an LTE cell was measured"):
        compared(empty)
