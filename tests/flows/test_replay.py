"""Recorded periods as a network, and comparison bit for bit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cellhive.core.errors import Conflict, NotFound
from cellhive.core.types import Mode
from cellhive.flows.decide import LoopSettings
from cellhive.flows.replay import RecordedNetwork, compare_frames
from cellhive.flows.trial import Hooks, RunStart, TrialSettings, run_trial, run_unbranched
from cellhive.flows.watch import WatchRules
from cellhive.ran.guard import Guard

START = RunStart("r1", "0", "2026-01-01T00:00:00Z", "toy", 7, {})


def test_recorded_network_gives_its_periods_in_order_and_takes_no_plan(toy: Any) -> None:
    """It can be observed to its end and never changed."""
    network = toy.Network(scatter=2.0)
    held, frames = network.parameters(), [network.observe() for _ in range(3)]
    recorded = RecordedNetwork(network.network, held, frames)
    with pytest.raises(Conflict, match="plan up was not applied"):
        recorded.apply(toy.tilt_plan("up", ("c0", 6.0, 8.0)))
    assert [compare_frames(recorded.observe(), frame) for frame in frames] == [None] * 3
    assert recorded.periods_left == 0
    with pytest.raises(NotFound, match="another recorded period, found the end after 3"):
        recorded.observe()


def test_parameters_follow_what_was_applied_when_it_was_recorded(toy: Any) -> None:
    """Each recorded period shows the parameters that it was run with."""
    settings = TrialSettings(
        5, LoopSettings(Mode.AUTONOMOUS, WatchRules(periods=2), scoring=toy.scoring)
    )
    script = toy.Script({2: [replace(toy.tilt_plan("down", ("c1", 6.0, 8.0)), time_s=3600.0)]})
    record = run_trial(toy.Network(), START, settings, script, Guard(), Hooks())
    recorded = RecordedNetwork(record.network, record.initial, record.frames, record.applied)
    tilts = []
    for _ in range(5):
        recorded.observe()
        tilts.append(float(recorded.parameters().electrical_tilt_deg[1]))
    assert tilts == [6.0, 6.0, 8.0, 8.0, 6.0]


def test_shadow_mode_runs_on_what_was_recorded(toy: Any) -> None:
    """An optimiser that sees the same frames proposes the same, and nothing is applied."""
    plans = {n: [toy.tilt_plan(f"p{n}", (f"c{n}", 6.0, 8.0))] for n in range(1, 4)}
    settings = TrialSettings(4, LoopSettings(Mode.SHADOW, scoring=toy.scoring))
    live = run_trial(toy.Network(), START, settings, toy.Script(plans), Guard(), Hooks())
    recorded = RecordedNetwork(live.network, live.initial, live.frames)
    again = run_unbranched(recorded, START, settings, toy.Script(plans), Guard(), Hooks())
    assert again.held == live.held
    assert again.baseline == ()
    assert again.objective == live.objective


def test_autonomous_mode_on_what_was_recorded_holds_every_plan(toy: Any) -> None:
    """Asked to act on recorded periods, the loop says that they cannot be changed."""
    network = toy.Network()
    frames = [network.observe() for _ in range(2)]
    recorded = RecordedNetwork(network.network, network.parameters(), frames)
    settings = TrialSettings(2, LoopSettings(Mode.AUTONOMOUS, scoring=toy.scoring))
    script = toy.Script({1: [toy.tilt_plan("up", ("c0", 6.0, 8.0))]})
    record = run_unbranched(recorded, START, settings, script, Guard(), Hooks())
    assert "a network that can be changed, found recorded periods" in record.held[0].why


@pytest.mark.parametrize("change", ["value", "sign of zero", "validity", "time", "columns"])
def test_first_difference_of_two_frames_is_named(toy: Any, change: str) -> None:
    """A single bit is enough, and the message says where it is."""
    frame = toy.Network().observe()
    values, valid = frame.values.copy(), frame.valid.copy()
    values[5] = 0.0
    frame = replace(frame, values=values)
    other_values = values.copy()
    other = {
        "value": lambda: replace(frame, values=np.nextafter(values, np.float32(1e9))),
        "sign of zero": lambda: replace(
            frame, values=np.where(other_values == 0, np.float32(-0.0), other_values)
        ),
        "validity": lambda: replace(frame, valid=~valid),
        "time": lambda: replace(frame, time_s=1.0),
        "columns": lambda: replace(frame, columns=("other",)),
    }[change]()
    difference = compare_frames(frame, other)
    expected = {
        "value": "values, row 0, ue_throughput_mbps",
        "sign of zero": "values, row 5, ue_throughput_mbps",
        "validity": "valid, row 0, ue_throughput_mbps",
        "time": "time_s: 0.0 and 1.0",
        "columns": "columns:",
    }[change]
    assert difference is not None
    assert difference.startswith(expected)
    assert compare_frames(frame, frame) is None


def test_unknown_equals_unknown(toy: Any) -> None:
    """NaN in the same place is no difference."""
    first = toy.Network(blank={0: frozenset({1})}).observe()
    second = toy.Network(blank={0: frozenset({1})}).observe()
    assert compare_frames(first, second) is None
