"""A recommendation: what to change, what that is expected to do, how to verify and how to undo.

Axis letters: ``N`` objects, ``T`` reporting periods of a regular grid.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

import numpy as np

from cellhive.core.schema import QUANTITIES
from cellhive.core.types import Change, Floats

Z_50, Z_90 = 0.6744897501960817, 1.6448536269514722
"""Half widths of the 50 and 90 % interval of a normal distribution [standard deviations]."""


class Topic(StrEnum):
    """What a recommendation is about."""

    CAPACITY = "capacity"
    ENERGY = "energy"
    BALANCE = "load balancing"
    MOBILITY = "mobility"
    COVERAGE = "coverage"
    CONFIGURATION = "configuration"


class Basis(StrEnum):
    """What an expected effect rests on."""

    MEASURED = "measured"
    """Computed from the network's own counters, without a model of cause and effect."""
    COUNTED = "counted"
    """Counted in the network's configuration."""
    POSTERIOR = "causal posterior"
    """Identified by the causal engine from changes that were made in this network."""
    RULE = "rule of thumb"
    """Experience from elsewhere; untested in this network, so the interval is wide."""


@dataclass(frozen=True)
class Seen:
    """Measurements of like objects on one time grid, by quantity and in its registry unit."""

    objects: tuple[str, ...]
    start_s: float
    """Start of the first period, seconds since the epoch [s]."""
    step_s: float
    """Length of a period [s]."""
    values: Mapping[str, Floats]
    """By name in ``core.schema``, or in ``advice.coverage`` for what the registry has not,
    (N, T) each; NaN where there is none."""
    headings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Name that the input gives each quantity."""
    name: str = ""
    """What the measurements are called."""

    def get(self, quantity: str) -> Floats | None:
        """Return the values of a quantity, (N, T), or None."""
        return self.values.get(quantity)

    def called(self, quantity: str) -> str:
        """Return what the input calls a quantity."""
        return self.headings.get(quantity, quantity)


@dataclass(frozen=True)
class Expected:
    """An expected change of one figure, with intervals."""

    figure: str
    """A KPI, or what changes in words: "energy"."""
    unit: str
    mean: float
    low_50: float
    high_50: float
    low_90: float
    high_90: float
    basis: Basis

    @staticmethod
    def of_draws(figure: str, unit: str, draws: Floats, basis: Basis) -> Expected:
        """Return what draws of the change amount to.

        Args:
            figure: What changes.
            unit: Of it.
            draws: Of the change, (M,).
            basis: What they rest on.
        """
        low, q1, q3, high = np.quantile(draws, [0.05, 0.25, 0.75, 0.95])
        return Expected(
            figure, unit, float(draws.mean()), float(q1), float(q3), float(low), float(high), basis
        )

    @staticmethod
    def of_interval(
        figure: str, unit: str, low: float, mean: float, high: float, basis: Basis
    ) -> Expected:
        """Return an effect whose 90 % interval is known; its middle half as of a normal one."""
        share = Z_50 / Z_90
        return Expected(
            figure, unit, mean, mean - share * (mean - low), mean + share * (high - mean), low,
            high, basis,
        )  # fmt: skip


@dataclass(frozen=True)
class Verification:
    """How to see whether a change did what was expected."""

    kpi: str
    unit: str
    least: float
    """Change that the periods below can tell from chance, 5 % one-sided, power 80 % [unit]."""
    periods: int
    """Periods after the change that are needed; 0 where no number of them would do."""
    period_s: float
    words: str


@dataclass(frozen=True)
class Step:
    """One parameter from one value to another."""

    cell: str
    parameter: str
    """Name in ``core.schema``, or the name of an attribute that plans cannot carry ("PCI")."""
    before: float
    """NaN where the present value is not known."""
    after: float
    """NaN where only the step is known."""
    by: float = math.nan
    """Change of the value, where the present one is not known."""
    target: str | None = None
    """Target cell of a relation parameter."""

    @property
    def object_id(self) -> str:
        """Name of what is changed: a cell, or "source->target"."""
        return self.cell if self.target is None else f"{self.cell}->{self.target}"

    @property
    def in_plan(self) -> bool:
        """Whether a plan can carry it: present and new value are known, the parameter is ours."""
        known = math.isfinite(self.before) and math.isfinite(self.after)
        return known and self.parameter in QUANTITIES and self.parameter != "asleep"

    def change(self, reason: str) -> Change:
        """Return it as a change of a plan."""
        return Change(self.cell, self.parameter, self.before, self.after, self.target, reason)


@dataclass(frozen=True)
class Recommendation:
    """One thing to do, and all that is needed to decide on it."""

    topic: Topic
    objects: tuple[str, ...]
    """What it is about, the object to change first."""
    headline: str
    """What to do, in a sentence."""
    steps: tuple[Step, ...]
    """What to set; empty where it is work of another kind."""
    effect: Expected | None
    """None where nothing in the data says by how much."""
    evidence: tuple[str, ...]
    """What speaks for it, with the figures."""
    users: float
    """Users affected, on average or as the headline says; NaN where they are not counted."""
    risk: str
    risk_probability: float
    """Probability of what ``risk`` describes; NaN where the data do not say."""
    verify: Verification | None
    undo: str
    confidence: float
    """Probability that the reason for it is real, 0 to 1."""
    benefit: float
    """Share of the users' service that is expected to become good, 0 to 1."""
    missing: str = ""
    """What would make it surer, or turn it from a work order into a change."""

    @property
    def score(self) -> float:
        """Expected benefit times users: users whose service becomes good."""
        users = self.users if math.isfinite(self.users) else 1.0
        return self.confidence * self.benefit * users

    @property
    def is_order(self) -> bool:
        """Whether it is a work order: nothing of it can go into a plan."""
        return not any(step.in_plan for step in self.steps)


@dataclass(frozen=True)
class Limits:
    """From where on something is to be done: all stated in the report, all to be set."""

    prb_utilisation_ratio: float = 0.8
    """PRB utilisation of the busy hour above which a cell is full."""
    ue_throughput_mbps: float = 5.0
    """Throughput per user below which service in the busy hour is poor [Mbit/s]."""
    connected_users: float = math.inf
    """Connected users above which a cell is full; a limit of the equipment or licence, so there is
    none by itself."""
    room_ratio: float = 0.6
    """PRB utilisation up to which another cell may be filled."""
    horizon_days: float = 180.0
    """How far ahead forecasts look [days]; never farther than the history is long."""
    sleep_risk: float = 0.05
    """Probability per night of an overfull covering cell that is accepted."""
    late_ratio: float = 0.05
    """Share of handovers that come too late from which they are made earlier."""
    early_ratio: float = 0.10
    """Share of handovers that come too early or bounce from which they are made later."""
    weak_ratio: float = 0.10
    """Share of weak coverage from which it is asked about."""
    sure: float = 0.95
    """Probability of the reason from which something is recommended."""
    most: int = 40
    """Recommendations that are listed."""
    users_per_kwh_day: float = 0.05
    """What a kWh a day counts in the ranking: users whose service becomes good."""
