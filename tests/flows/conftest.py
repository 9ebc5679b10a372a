"""A network so simple that what every change does can be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from cellhive.core.errors import Conflict
from cellhive.core.types import Change, Effect, KpiFrame, Network, Outcome, Parameters, Plan
from cellhive.flows.watch import Scoring
from cellhive.ran.parameters import apply_changes, default_parameters

RING = 12
PERIOD_S = 1800.0
GAIN_PER_DEG = (1.0, -1.0)
"""What a degree of tilt does to the throughput of an even and of an odd cell [Mbit/s]."""
SPILL = 0.25
"""Share of it that the next cell of the ring feels."""


def ring_network() -> Network:
    """Return cells "c0" … on a ring, each with relations to both neighbours."""
    cells = np.arange(RING)
    source = np.concatenate([cells, cells]).astype(np.int32)
    target = np.concatenate([(cells + 1) % RING, (cells - 1) % RING]).astype(np.int32)
    return Network(
        name="ring",
        cell_ids=tuple(f"c{cell}" for cell in cells),
        site_ids=tuple(f"s{cell}" for cell in cells),
        x_m=1000.0 * np.cos(2 * np.pi * cells / RING),
        y_m=1000.0 * np.sin(2 * np.pi * cells / RING),
        height_m=np.full(RING, 25.0),
        azimuth_deg=np.zeros(RING),
        mechanical_tilt_deg=np.zeros(RING),
        carrier_hz=np.full(RING, 2.1e9),
        bandwidth_hz=np.full(RING, 20e6),
        environment=("UMa",) * RING,
        coverage_cell=np.ones(RING, np.bool_),
        protected=np.zeros(RING, np.bool_),
        relation_source=source,
        relation_target=target,
    )


@dataclass
class ToyNetwork:
    """Throughput is linear in the tilts: 64 + gain (tilt - 6), a quarter of it next door.

    All values are multiples of 1/64, so that float32 and sums of them are exact.
    """

    network: Network = field(default_factory=ring_network)
    held: Parameters = field(default_factory=lambda: default_parameters(ring_network()))
    period: int = 0
    applied: list[Plan] = field(default_factory=list)
    trend: Callable[[int], float] = lambda _: 0.0
    """What a period adds to every cell."""
    scatter: float = 0.0
    """Size of a pseudo-random term per cell and period."""
    stuck: frozenset[str] = frozenset()
    """Cells that take a change without a word and do nothing."""
    refusals: int = 0
    """How many times the network will not take a plan."""
    blank: dict[int, frozenset[int]] = field(default_factory=dict)
    """Cells without data, by period."""

    def parameters(self) -> Parameters:
        """Read the parameters back."""
        return self.held.copy()

    def apply(self, plan: Plan) -> None:
        """Apply a plan; stuck cells keep what they have."""
        if self.refusals > 0:
            self.refusals -= 1
            message = "the network is busy"
            raise Conflict(message)
        changes = [change for change in plan.changes if change.cell not in self.stuck]
        self.held = apply_changes(self.held, self.network, changes)
        self.applied.append(plan)

    def throughput(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Return the throughput of each cell in the present period [Mbit/s]."""
        gain = np.resize(np.array(GAIN_PER_DEG), RING)
        own = gain * (self.held.electrical_tilt_deg - 6.0)
        shaken = (np.arange(RING) * 37 + self.period * 23) % 17 / 16.0 - 0.5
        level = 64.0 + self.trend(self.period) + self.scatter * shaken
        return level + own + SPILL * np.roll(own, 1)

    def observe(self) -> KpiFrame:
        """Return the next period."""
        values = self.throughput().astype(np.float32)[:, None]
        valid = np.ones((RING, 1), np.bool_)
        for cell in self.blank.get(self.period, frozenset()):
            values[cell], valid[cell] = np.nan, False
        frame = KpiFrame(
            time_s=self.period * PERIOD_S,
            period_s=PERIOD_S,
            observed_s=PERIOD_S,
            columns=("ue_throughput_mbps",),
            values=values,
            valid=valid,
        )
        self.period += 1
        return frame

    def clone(self) -> ToyNetwork:
        """Return an exact branch."""
        return ToyNetwork(
            self.network,
            self.held.copy(),
            self.period,
            list(self.applied),
            self.trend,
            self.scatter,
            self.stuck,
            self.refusals,
            self.blank,
        )


def toy_kpis(frame: KpiFrame, cells: Sequence[int]) -> dict[str, float]:
    """Return the mean throughput over some cells."""
    known = frame.valid[list(cells), 0]
    values = frame.values[list(cells), 0][known].astype(np.float64)
    return {"ue_throughput_mbps": float(values.mean()) if known.any() else float("nan")}


TOY_SCORING = Scoring(toy_kpis, lambda kpis, _: kpis["ue_throughput_mbps"])


@dataclass
class Script:
    """An optimiser that proposes given plans in given periods."""

    plans: dict[int, list[Plan]]
    """Plans by the number of periods observed."""
    seen: int = 0
    learned: list[Outcome] = field(default_factory=list)

    def propose(
        self, network: Network, parameters: Parameters, frames: Sequence[KpiFrame], now_s: float
    ) -> list[Plan]:
        """Return the plans for this period."""
        assert network.cells == parameters.electrical_tilt_deg.size
        assert now_s == frames[-1].time_s + frames[-1].period_s
        self.seen += 1
        return self.plans.get(self.seen, [])

    def learn(self, outcome: Outcome) -> None:
        """Keep an outcome."""
        self.learned.append(outcome)


def tilt_plan(plan_id: str, *steps: tuple[str, float, float], function: str = "CCO") -> Plan:
    """Return a plan that changes tilts: (cell, before, after)."""
    changes = tuple(
        Change(cell, "electrical_tilt_deg", before, after) for cell, before, after in steps
    )
    return Plan(plan_id, function, 0.0, changes, (Effect("ue_throughput_mbps", 1.0, 0.5, 1.5),))


class Toy:
    """Everything of the toy network in one place."""

    Network = ToyNetwork
    Script = Script
    scoring = TOY_SCORING
    tilt_plan = staticmethod(tilt_plan)


@pytest.fixture
def toy() -> type[Toy]:
    """The toy network, its scoring and an optimiser that follows a script."""
    return Toy
