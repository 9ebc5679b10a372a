"""Replays a drive test with several sets of parameters, and sweeps them over a grid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from cellhive.core.errors import BadInput
from cellhive.flows.drive_tally import Tally, handovers_of, recorded_tally, replayed_tally
from cellhive.ran.trace import (
    DriveLog,
    DriveTest,
    Kind,
    Replayed,
    ReplaySettings,
    replay_rsrp,
)

SWEEP_OFFSETS_DB = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
SWEEP_TRIGGERS_S = (0.04, 0.16, 0.32, 0.48, 0.64, 1.024)
WINDOW_S = 300.0
"""Length of a part of a log that is shown in detail [s]."""
WINDOWS = 4
LOAD = 0.5
"""Share of their power with which the other cells interfere, unless told."""

CAVEATS = (
    "A replay cannot change the past radio: interference, fading and speed stay as they were,"
    " and a phone in another cell would have loaded that one.",
    "A neighbour on another frequency is measured only when the network asked for it; a cell"
    " that the log lacks is no target, however strong it was.",
    "SINR is not recorded. It is derived from the RSRP of the listed cells on the same"
    " frequency, of which each other one interferes with the stated share of its power, and"
    " thermal noise at a noise figure of 9 dB. Cells that are not listed do not interfere, so"
    " failures are rather too few.",
)


_WEIGHTS = {Kind.HANDOVER: 1, Kind.RADIO_LINK_FAILURE: 3, Kind.HANDOVER_FAILURE: 3}
"""How much an event counts when the liveliest parts of a log are looked for."""


@dataclass(frozen=True)
class Case:
    """One set of parameters with a name."""

    name: str
    settings: ReplaySettings


@dataclass(frozen=True)
class Window:
    """A part of a log to look at, with the replays of all its stretches."""

    log: DriveLog
    start_s: float
    end_s: float
    replays: tuple[tuple[Replayed, ...], ...]
    """Per case, the replay of each stretch."""


@dataclass(frozen=True)
class Comparison:
    """A drive test as it was recorded, and as other parameters would have had it."""

    test: DriveTest
    cases: tuple[Case, ...]
    load: float
    recorded: Tally
    cells_named: bool
    """Whether the log says which cell a handover led to."""
    replayed: tuple[Tally, ...]
    """In the order of the cases."""
    runs: int
    logged_s: float
    """Length of all runs together [s]."""
    several_s: float
    """Time in which two cells or more were measured [s]."""
    events: dict[str, int]
    """How often the log says what, most frequent first."""
    notes: tuple[str, ...]
    sweep: dict[tuple[float, float], Tally]
    """By A3 offset [dB] and time to trigger [s]; empty where there was no sweep."""
    windows: tuple[Window, ...]
    """The parts with most events, the liveliest first."""


@dataclass
class _Sums:
    """What has been added up so far."""

    recorded: Tally = field(default_factory=Tally)
    replayed: list[Tally] = field(default_factory=list)
    sweep: dict[tuple[float, float], Tally] = field(default_factory=dict)
    events: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    windows: list[tuple[int, Window]] = field(default_factory=list)
    runs: int = 0
    logged_s: float = 0.0
    several_s: float = 0.0
    named: int = 0


def compare(
    test: DriveTest,
    cases: Sequence[Case],
    *,
    load: float = LOAD,
    sweep: ReplaySettings | None = None,
    on_run: Callable[[str], None] = lambda _: None,
) -> Comparison:
    """Replay every run of a drive test with every set of parameters.

    Args:
        test: The drive test; its runs are read one by one.
        cases: Sets of parameters.
        load: Share of its power with which each cell interferes with the others, 0 to 1.
        sweep: Replay with these over the grid of A3 offsets and times to trigger, too.
        on_run: Is told the name of each run that is done.

    Raises:
        BadInput: The test has no run in which a cell was measured.
    """
    grid = {} if sweep is None else {
        (offset, trigger): replace(sweep, a3_offset_db=offset, time_to_trigger_s=trigger)
        for offset in SWEEP_OFFSETS_DB
        for trigger in SWEEP_TRIGGERS_S
    }  # fmt: skip
    sums = _Sums(replayed=[Tally() for _ in cases], sweep=dict.fromkeys(grid, Tally()))
    for log in test.logs:
        _add(sums, log, cases, load)
        for point, settings in grid.items():
            sums.sweep[point] += replayed_tally(log, replay_log(log, settings, load))
        on_run(log.name)
    if not sums.recorded.known_s:
        raise BadInput(
            place=test.source, expected="stretches in which an LTE cell was measured",
            found=f"{sums.runs} runs without any",
        )  # fmt: skip
    return Comparison(
        test=test, cases=tuple(cases), load=load, recorded=sums.recorded,
        cells_named=sums.named > 0 or not sums.recorded.handovers,
        replayed=tuple(sums.replayed), runs=sums.runs, logged_s=sums.logged_s,
        several_s=sums.several_s, events=dict(sums.events.most_common()),
        notes=tuple(sums.notes), sweep=sums.sweep,
        windows=tuple(window for _, window in sums.windows),
    )  # fmt: skip


def replay_log(log: DriveLog, settings: ReplaySettings, load: float = LOAD) -> list[Replayed]:
    """Return the replay of each stretch of a log."""
    here = replace(settings, join_s=log.join_s, hold_s=log.hold_s)
    return [
        replay_rsrp(
            stretch.rsrp_dbm, log.dt_s, here, interference=load,
            recorded=(stretch.serving, stretch.carrier),
        )
        for stretch in log.stretches
    ]  # fmt: skip


def _add(sums: _Sums, log: DriveLog, cases: Sequence[Case], load: float) -> None:
    """Add one run to the sums."""
    replays = [replay_log(log, case.settings, load) for case in cases]
    sums.recorded += recorded_tally(log)
    for index, replayed in enumerate(replays):
        sums.replayed[index] += replayed_tally(log, replayed)
    sums.events.update(event.kind for event in log.events)
    sums.notes += [f"{log.name}: {note}" for note in log.notes]
    sums.runs += 1
    sums.logged_s += log.duration_s
    sums.named += sum(bool(event.target) for event in handovers_of(log))
    for stretch in log.stretches:
        measured = np.isfinite(stretch.rsrp_dbm).sum(axis=1)
        sums.several_s += float((measured > 1).sum()) * log.dt_s
    for start_s, score in _liveliness(log, replays).items():
        end_s = min(start_s + WINDOW_S, log.duration_s)
        window = Window(log, start_s, end_s, tuple(tuple(one) for one in replays))
        sums.windows.append((score, window))
    sums.windows.sort(key=lambda pair: -pair[0])
    del sums.windows[WINDOWS:]


def _liveliness(log: DriveLog, replays: Sequence[Sequence[Replayed]]) -> dict[float, int]:
    """Return how much happens in each window of a log, by its start [s]; failures count thrice."""
    score: Counter[float] = Counter()
    for event in log.events:
        if event.kind in ("handover", "radio link failure"):
            score[event.time_s // WINDOW_S * WINDOW_S] += 1 + 2 * (event.kind != "handover")
    for one in replays:
        for stretch, replayed in zip(log.stretches, one, strict=True):
            for done in replayed.events:
                start_s = (stretch.start_s + done.time_s) // WINDOW_S * WINDOW_S
                score[start_s] += _WEIGHTS.get(done.kind, 0)
    for stretch in log.stretches:  # a log in which nothing happens is shown all the same
        score[stretch.start_s // WINDOW_S * WINDOW_S] += 0
    return dict(score)
