"""The values that travel between rooms: networks, parameters, frames, plans and outcomes.

Axis letters: ``C`` cells, ``R`` neighbour relations, ``K`` columns of a frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Floats32 = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]


class Mode(StrEnum):
    """How far the loop may go on its own."""

    SHADOW = "shadow"
    """Propose only; nothing is applied."""
    ASSIST = "assist"
    """A person approves each plan."""
    AUTONOMOUS = "autonomous"
    """Apply, read back, watch, roll back."""


@dataclass(frozen=True)
class Network:
    """The sites, sectors and neighbour relations of a network; what does not change in a run.

    Cells are indexed 0..C-1 everywhere in the order of ``cell_ids``, relations
    0..R-1 in the order of ``relation_source``/``relation_target``.
    """

    name: str
    cell_ids: tuple[str, ...]
    """Unique name of each cell, length C."""
    site_ids: tuple[str, ...]
    """Site of each cell, length C."""
    x_m: Floats
    """Position east of the origin [m], (C,)."""
    y_m: Floats
    """Position north of the origin [m], (C,)."""
    height_m: Floats
    """Antenna height above ground [m], (C,)."""
    azimuth_deg: Floats
    """Bearing of the main lobe, clockwise from north [deg], (C,)."""
    mechanical_tilt_deg: Floats
    """Mechanical downtilt [deg], (C,)."""
    carrier_hz: Floats
    """Centre frequency [Hz], (C,)."""
    bandwidth_hz: Floats
    """Channel bandwidth [Hz], (C,)."""
    environment: tuple[str, ...]
    """TR 38.901 scenario of each cell: "UMa", "UMi" or "RMa", length C."""
    coverage_cell: Bools
    """Cells that carry basic coverage and must never sleep, (C,)."""
    protected: Bools
    """Cells that no function may change, (C,)."""
    relation_source: Ints
    """Serving cell index of each neighbour relation, (R,)."""
    relation_target: Ints
    """Target cell index of each neighbour relation, (R,)."""
    origin_lat_deg: float = 0.0
    """Latitude of the local origin [deg]."""
    origin_lon_deg: float = 0.0
    """Longitude of the local origin [deg]."""
    omnidirectional: Bools | None = None
    """Cells without a horizontal pattern, (C,); None means none."""

    @property
    def cells(self) -> int:
        """Number of cells C."""
        return len(self.cell_ids)

    @property
    def relations(self) -> int:
        """Number of neighbour relations R."""
        return int(self.relation_source.size)

    @cached_property
    def cell_index(self) -> dict[str, int]:
        """Index of each cell by its id."""
        return {cell: index for index, cell in enumerate(self.cell_ids)}

    @cached_property
    def relation_index(self) -> dict[tuple[int, int], int]:
        """Index of each relation by (source, target) cell index."""
        pairs = zip(self.relation_source.tolist(), self.relation_target.tolist(), strict=True)
        return {pair: index for index, pair in enumerate(pairs)}

    @cached_property
    def carrier_index(self) -> Ints:
        """Index of each cell's carrier among the distinct (frequency, bandwidth) pairs, (C,)."""
        carriers = np.stack([self.carrier_hz, self.bandwidth_hz], axis=1)
        return np.unique(carriers, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int32)

    def neighbours_of(self, cell: int) -> list[int]:
        """Return the target cell indices of a cell's relations."""
        return [int(t) for t in self.relation_target[self.relation_source == cell]]


@dataclass(frozen=True)
class Parameters:
    """Everything that may be changed in a running network, as it stands now."""

    electrical_tilt_deg: Floats
    """Electrical downtilt [deg], (C,)."""
    tx_power_dbm: Floats
    """Total transmit power of the cell [dBm], (C,)."""
    a3_offset_db: Floats
    """Event A3 offset ``Off`` [dB], (C,)."""
    hysteresis_db: Floats
    """Event A3 hysteresis ``Hys`` [dB], (C,)."""
    time_to_trigger_s: Floats
    """Event A3 time to trigger [s], (C,)."""
    filter_coefficient: Floats
    """Layer-3 filterCoefficient k, (C,)."""
    asleep: Bools
    """Cells switched off to save energy, (C,)."""
    cio_db: Floats
    """Cell individual offset of each relation, source to target [dB], (R,)."""

    def copy(self) -> Parameters:
        """Return an independent copy."""
        values = {name: np.array(getattr(self, name)) for name in self.__dataclass_fields__}
        return Parameters(**values)


@dataclass(frozen=True)
class KpiFrame:
    """One reporting period of a whole network.

    A value that is not valid is stored as NaN and means "not known", never zero.
    """

    time_s: float
    """Start of the period, seconds since the start of the run or the epoch."""
    period_s: float
    """Granularity period [s]."""
    observed_s: float
    """Radio time that was really observed in the period [s]; event counters count this span."""
    columns: tuple[str, ...]
    """Names of the cell columns, defined in ``core.schema``, length K."""
    values: Floats32
    """Counters and KPIs per cell, (C, K)."""
    valid: Bools
    """Which values are known, (C, K)."""
    relation_columns: tuple[str, ...] = ()
    """Names of the relation columns, length Kr."""
    relation_values: Floats32 = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    """Counters per neighbour relation, (R, Kr)."""

    def column(self, name: str) -> Floats32:
        """Return one cell column, (C,); NaN where not valid."""
        index = self.columns.index(name)
        return np.where(self.valid[:, index], self.values[:, index], np.float32(np.nan))

    def relation_column(self, name: str) -> Floats32:
        """Return one relation column, (R,)."""
        return self.relation_values[:, self.relation_columns.index(name)]


@dataclass(frozen=True)
class Effect:
    """An expected or measured change of one KPI."""

    kpi: str
    mean: float
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""


@dataclass(frozen=True)
class Prediction:
    """What was foretold of one KPI before a plan was applied.

    ``change`` is what the watch over the plan will measure: the cells it reaches, while watched
    against before, less the cells left alone. It moves by chance and by itself too; ``effect``
    is the part of it that the plan is expected to bring.
    """

    kpi: str
    change: float
    """Expected value of the change."""
    low_50: float
    """Lower end of the 50 % interval of the change."""
    high_50: float
    low_90: float
    """Lower end of the 90 % interval of the change."""
    high_90: float
    effect: float
    """Expected effect of the plan."""
    effect_error: float
    """Scale of the effect's Student t distribution."""
    freedom: float
    """Degrees of freedom of that distribution."""


@dataclass(frozen=True)
class Change:
    """One parameter of one cell or relation, from one value to another."""

    cell: str
    parameter: str
    """Name in ``core.schema``, for example "cio_db"."""
    before: float
    after: float
    target: str | None = None
    """Target cell of a relation parameter; None for a cell parameter."""
    reason: str = ""

    @property
    def object_id(self) -> str:
        """Name of what is changed: a cell, or "source->target"."""
        return self.cell if self.target is None else f"{self.cell}->{self.target}"

    def reverted(self, reason: str) -> Change:
        """Return the change that undoes this one."""
        return replace(self, before=self.after, after=self.before, reason=reason)


@dataclass(frozen=True)
class Plan:
    """Changes that belong together; the only thing a network accepts."""

    plan_id: str
    function: str
    """Who proposes: "MRO", "MLB", "ES", "CCO", "operator", "rollback", "RL/load"."""
    time_s: float
    changes: tuple[Change, ...]
    expected: tuple[Effect, ...] = ()
    evidence: tuple[str, ...] = ()
    """Where the reasons come from: frames, patterns, models."""
    predicted: tuple[Prediction, ...] = ()
    """What was foretold of the plan before it was applied."""
    unpredicted: str = ""
    """Why nothing was foretold; empty where something was, or where nobody was asked."""


@dataclass(frozen=True)
class Refusal:
    """A change the guard did not let through, and why."""

    change: Change
    rule: str
    """Short name of the rule, for example "step" or "loop-free"."""
    reason: str


@dataclass(frozen=True)
class Verdict:
    """What the guard says of a plan."""

    plan: Plan
    accepted: tuple[Change, ...]
    refused: tuple[Refusal, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of an applied plan."""

    plan: Plan
    verdict: str
    """"kept", "rolled back" or "unconfirmed" (the run ended while it was watched)."""
    reason: str
    decided_s: float
    """When the verdict fell [s]."""
    before: dict[str, float]
    """KPIs of the affected cells before."""
    after: dict[str, float]
    """The same KPIs while the plan was watched."""
    true_effect: tuple[Effect, ...] = ()
    """Effect against an exact branch without the plan; only a twin can know it."""
    measured: tuple[Effect, ...] = ()
    """What the watch measured: changes of the cells reached, less those of cells left alone,
    with what chance may do either way (90 %)."""


def to_jsonable(value: Any) -> Any:
    """Return dataclasses, arrays and tuples as plain JSON values; NaN becomes null."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: to_jsonable(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, np.ndarray | np.generic):
        return to_jsonable(value.tolist())
    if isinstance(value, dict):
        return {str(key): to_jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_jsonable(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
