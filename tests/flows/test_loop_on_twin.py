"""The loop, its branches and its record on a small simulated network."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from cellhive.adapters.runs import RunFolder, load_run
from cellhive.adapters.scenarios import scenario_named
from cellhive.core.types import Change, KpiFrame, Mode, Outcome, Parameters, Plan, to_jsonable
from cellhive.flows.decide import LoopSettings, Optimizer, Silent
from cellhive.flows.replay import RecordedNetwork, compare_frames, compare_runs
from cellhive.flows.trial import (
    Hooks,
    Job,
    RunRecord,
    RunStart,
    TrialSettings,
    run_trial,
    run_unbranched,
    true_effects,
)
from cellhive.flows.watch import OBJECTIVE, WatchRules
from cellhive.ran.guard import Guard
from cellhive.ran.layout import SiteDesign, hex_grid
from cellhive.ran.scenarios import Scenario, build_twin
from cellhive.ran.simulator import Twin
from cellhive.ran.son import Rules

PERIODS = 6
START = RunStart("small", "0", "2026-01-01T00:00:00Z", "stadium-surge", 3, {})


@pytest.fixture(scope="module")
def settled() -> Twin:
    """Seven sites around a stadium, settled; tests run on clones of it."""
    scenario: Scenario = replace(
        scenario_named("stadium-surge"),
        network=lambda: hex_grid(7, 500.0, SiteDesign(carrier_hz=2.1e9)),
        start_h=17.0,
    )
    return build_twin(scenario, 3, observed_s=12.0)


class Once:
    """An optimiser that makes one given change in the second period."""

    def __init__(self) -> None:
        """Start without having seen a period."""
        self.seen = 0

    def propose(
        self, network: object, parameters: Parameters, frames: object, now_s: float
    ) -> list[Plan]:
        """Turn the first cell down by two degrees, once."""
        self.seen += 1
        before = float(parameters.electrical_tilt_deg[0])
        change = Change("S01-1", "electrical_tilt_deg", before, before + 2.0)
        return [Plan("once", "CCO", now_s, (change,))] if self.seen == 2 else []

    def learn(self, outcome: Outcome) -> None:
        """Take in nothing."""


def run(
    twin: Twin, optimizer: Optimizer, mode: Mode = Mode.AUTONOMOUS, hooks: Hooks | None = None
) -> RunRecord:
    """Run the loop on a clone."""
    settings = TrialSettings(PERIODS, LoopSettings(mode, WatchRules(blind_margin=1e9, margin=1e9)))
    return run_trial(twin.clone(), START, settings, optimizer, Guard(), hooks or Hooks())


def test_doing_nothing_equals_the_baseline_bit_for_bit(settled: Twin) -> None:
    """Run and baseline share every random number."""
    record = run(settled, Silent())
    assert compare_runs(record, replace(record, frames=record.baseline)) is None
    assert record.objective == record.baseline_objective


def test_shadow_mode_leaves_the_twin_as_it_is(settled: Twin) -> None:
    """The rules propose, nothing is applied, the run equals its baseline."""
    record = run(settled, Rules(), Mode.SHADOW)
    assert record.held
    assert compare_runs(record, replace(record, frames=record.baseline)) is None


def test_branch_without_the_only_plan_is_the_baseline(settled: Twin) -> None:
    """With a single plan, its true effect is run less baseline over the watched periods."""
    record = run(settled, Once())
    names = record.network.cell_ids
    assert "S01-1" in names
    (outcome,) = record.outcomes
    expected = true_effects(
        outcome.plan, record.network, record.frames[2:4], record.baseline[2:4], LoopSettings()
    )
    assert outcome.true_effect == expected
    assert {effect.kpi: effect for effect in expected}[OBJECTIVE].mean != 0.0
    assert compare_frames(record.frames[1], record.baseline[1]) is None
    assert compare_frames(record.frames[2], record.baseline[2]) is not None


def test_replay_and_threads_give_the_same_numbers(settled: Twin) -> None:
    """Run again, and run with branches side by side on two threads: bit for bit the same."""
    record = run(settled, Rules())
    assert record.applied
    assert compare_runs(record, run(settled, Rules())) is None
    with ThreadPoolExecutor(2) as pool:

        def advance(jobs: list[Job]) -> list[KpiFrame]:
            return list(pool.map(lambda job: job(), jobs))

        parallel = run(settled, Rules(), hooks=Hooks(advance=advance))
    assert compare_runs(record, parallel) is None
    assert repr(parallel.outcomes) == repr(record.outcomes)


def test_run_folder_holds_the_run(settled: Twin, tmp_path: Path) -> None:
    """A run of the twin is read back to the bit, and its frames feed a shadow run."""
    twin = settled.clone()
    folder = RunFolder.create(tmp_path, START, twin.network, twin.parameters())
    record = run(settled, Rules(), hooks=Hooks(observer=folder))
    folder.finish(record)
    loaded = load_run(folder.path)
    assert compare_runs(loaded, record) is None
    assert loaded.verdicts == record.verdicts
    assert to_jsonable(loaded.outcomes) == to_jsonable(record.outcomes)
    assert repr(loaded.final) == repr(record.final)
    assert loaded.objective == record.objective
    recorded = RecordedNetwork(loaded.network, loaded.initial, loaded.frames, loaded.applied)
    settings = TrialSettings(PERIODS, LoopSettings(Mode.SHADOW))
    shadow = run_unbranched(recorded, START, settings, Rules(), Guard(), Hooks())
    assert shadow.objective == record.objective
