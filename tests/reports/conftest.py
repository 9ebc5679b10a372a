"""A small run to report on: two sites, eight periods, four plans with every kind of fate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

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
from cellhive.flows.decide import KEPT, ROLLBACK, ROLLED_BACK, UNCONFIRMED, PlanHeld
from cellhive.flows.trial import Raster, RunRecord
from cellhive.ran.kpi import FRAME_COLUMNS, kpis_from_counters

PERIODS = 8
PERIOD_S = 900.0
HOSTILE = '<script>alert("x")</script>'
"""A name that must never reach a page unescaped."""


def small_network() -> Network:
    """Return two sites of three sectors, one name of which is hostile."""
    azimuth = np.tile([0.0, 120.0, 240.0], 2)
    cells = 6
    return Network(
        name="two-sites",
        cell_ids=("A-1", "A-2", "A-3", "B-1", "B-2", HOSTILE),
        site_ids=("A", "A", "A", "B", "B", "B"),
        x_m=np.repeat([0.0, 500.0], 3),
        y_m=np.zeros(cells),
        height_m=np.full(cells, 25.0),
        azimuth_deg=azimuth,
        mechanical_tilt_deg=np.zeros(cells),
        carrier_hz=np.full(cells, 3.5e9),
        bandwidth_hz=np.full(cells, 20e6),
        environment=("UMa",) * cells,
        coverage_cell=np.ones(cells, bool),
        protected=np.zeros(cells, bool),
        relation_source=np.array([0, 3], np.int32),
        relation_target=np.array([3, 0], np.int32),
    )


def small_parameters(network: Network) -> Parameters:
    """Return plain parameters of a network."""
    cells = network.cells
    return Parameters(
        electrical_tilt_deg=np.full(cells, 4.0),
        tx_power_dbm=np.full(cells, 46.0),
        a3_offset_db=np.full(cells, 3.0),
        hysteresis_db=np.full(cells, 1.0),
        time_to_trigger_s=np.full(cells, 0.16),
        filter_coefficient=np.full(cells, 4.0),
        asleep=np.zeros(cells, bool),
        cio_db=np.zeros(network.relations),
    )


def make_frame(index: int, *, gain: float = 1.0, seed: int = 7) -> KpiFrame:
    """Return a period of the small network whose throughput is scaled by ``gain``."""
    rng = np.random.default_rng([seed, index])
    counters = {
        name: rng.uniform(10, 20, 6)
        for name in FRAME_COLUMNS
        if "." in name and name != "RRU.PrbTotDl"
    }
    counters["RRU.PrbAvailDl"] = np.full(6, 100.0)
    counters["x.OfferedVolumeDl"] = np.full(6, 100.0)
    counters["DRB.PdcpSduVolumeDL"] = rng.uniform(50, 60, 6) * gain
    counters["x.ElasticVolume"] = rng.uniform(100, 120, 6) * gain
    counters["x.RsrpSum"] = -90.0 * counters["x.MeasuredTime"]
    counters["RRU.PrbTotDl"] = counters["RRU.PrbUsedDl"]
    counters["RRC.ConnEstabSucc"] = counters["RRC.ConnEstabAtt"]
    columns = counters | kpis_from_counters(counters, 60.0)
    values = np.stack([columns[name] for name in FRAME_COLUMNS], axis=1).astype(np.float32)
    return KpiFrame(
        time_s=8 * 3600 + index * PERIOD_S,
        period_s=PERIOD_S,
        observed_s=60.0,
        columns=FRAME_COLUMNS,
        values=values,
        valid=np.isfinite(values),
    )


def _plan(name: str, function: str, period: int, *changes: Change) -> Plan:
    return Plan(name, function, 8 * 3600 + period * PERIOD_S, changes)


def _effects(mean: float) -> tuple[Effect, ...]:
    return (
        Effect("objective", mean, mean - 0.1, mean + 0.1),
        Effect("area_objective", 2 * mean, mean, 3 * mean),
    )


def small_record() -> RunRecord:
    """Return a run in which each fate of a plan occurs once."""
    network = small_network()
    initial = small_parameters(network)
    final = initial.copy()
    final.cio_db[0] = 2.0
    final.electrical_tilt_deg[1] = 6.0
    good = _plan("MRO-1", "MRO", 2, Change("A-1", "cio_db", 0, 2, "B-1", "too late handovers"))
    bad = _plan("CCO-1", "CCO", 2, Change("A-2", "electrical_tilt_deg", 4, 6, None, "overshoots"))
    undone = _plan("MLB-1", "MLB", 3, Change("B-1", "cio_db", 0, -2, "A-1", "full"))
    undo = _plan("MLB-1-rollback", ROLLBACK, 5, undone.changes[0].reverted("harm"))
    late = _plan("ES-1", "ES", 7, Change(HOSTILE, "asleep", 0, 1, None, "idle"))
    refused = _plan("MLB-2", "MLB", 4, Change("B-2", "cio_db", 0, 9, "A-1", "full"))
    held = _plan("ES-2", "ES", 6, Change("B-2", "asleep", 0, 1, None, "idle"))
    before, after = {"objective": 100.0}, {"objective": 101.5}
    seen = 8 * 3600 + 5 * PERIOD_S
    return RunRecord(
        run_id="20260101-000000-small-s1",
        version="0.1.0",
        started="2026-01-01T00:00:00+00:00",
        scenario="small",
        seed=1,
        settings={"mode": "autonomous", "limits": {"step_db": 2.0}, "note": HOSTILE},
        network=network,
        initial=initial,
        final=final,
        frames=tuple(make_frame(i, gain=1.0 if i < 2 else 1.2) for i in range(PERIODS)),
        baseline=tuple(make_frame(i) for i in range(PERIODS)),
        verdicts=(
            *(Verdict(plan, plan.changes, ()) for plan in (good, bad, undone, undo, late, held)),
            Verdict(refused, (), (Refusal(refused.changes[0], "step", "9 dB is too much"),)),
        ),
        held=(PlanHeld(held, "waiting for approval"),),
        outcomes=(
            Outcome(good, KEPT, "no harm", seen, before, after, _effects(1.5)),
            Outcome(bad, KEPT, "no harm", seen, before, after, _effects(-0.75)),
            Outcome(undone, ROLLED_BACK, "harm", seen, before, after, _effects(-2.0)),
            Outcome(late, UNCONFIRMED, "the run ended", seen, {}, {}),
        ),
        objective=tuple(100.0 + i for i in range(PERIODS)),
        baseline_objective=tuple(100.0 for _ in range(PERIODS)),
        notes=("a note of the run",),
        interrupted=False,
        applied=(good, bad, undone, undo, late),
        maps={
            f"rsrp_{moment}_dbm": Raster(-500.0, -500.0, 50.0, values)
            for moment, values in (
                ("before", np.full((20, 30), -95.0, np.float32)),
                ("after", np.full((20, 30), -92.0, np.float32)),
            )
        },
    )


@pytest.fixture(scope="session")
def run_record() -> RunRecord:
    """A run in which each fate of a plan occurs once."""
    return small_record()


@pytest.fixture
def interrupted_record() -> RunRecord:
    """A run that was stopped before its first period was complete."""
    return replace(
        small_record(),
        frames=(),
        baseline=(),
        verdicts=(),
        held=(),
        outcomes=(),
        objective=(),
        baseline_objective=(),
        applied=(),
        interrupted=True,
        maps={},
    )
