"""What the guard is set to, and what it remembers of the changes that were made."""

from __future__ import annotations

import copyreg
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from cellhive.core.types import Change, Parameters, Plan
from cellhive.ran.parameters import TOLERANCE

OPERATOR, ROLLBACK = "operator", "rollback"
"""``Plan.function`` of a person's plan and of one that undoes another plan."""


def author_of(function: str) -> str:
    """Return who decides for a function: "RL" of "RL/mobility", and "MRO" of "MRO"."""
    return function.partition("/")[0]


def _rebuilt(values: MappingProxyType[str, float]) -> tuple[type, tuple[dict[str, float]]]:
    return MappingProxyType, (dict(values),)


# Settings are copied, and sent to other processes by those who train there.
copyreg.pickle(MappingProxyType, _rebuilt)


def _constant(values: dict[str, float]) -> Mapping[str, float]:
    return MappingProxyType(values)


@dataclass(frozen=True)
class Limits:
    """How far and how often the network may be changed.

    Bounds, grid, step and shortest interval of each parameter stand in ``core.schema``.
    """

    window_s: float = 3600.0
    """Window of the change budgets [s]."""
    budget_per_cell: int = 8
    """Changes on one cell and its outgoing relations in a window."""
    network_budget_per_cell: float = 2.0
    """Changes in the whole network in a window, per cell of the network."""
    network_budget_least: int = 24
    """Changes in the whole network in a window that even a small one may have."""
    loop_margin_db: float = 1.0
    """How far a pair of relations must stay clear of a handover loop [dB]."""
    allow_loops: bool = False
    """Let loops through; needed to reproduce set 5 of TR 36.839, which is one."""
    deviation: Mapping[str, float] = field(
        default_factory=lambda: _constant(
            {"cio_db": 6.0, "electrical_tilt_deg": 6.0, "tx_power_dbm": 6.0}
        )
    )
    """Largest distance of a parameter from the initial configuration."""
    ownership_s: float = 1800.0
    """How long only the function that changed an object may change it again [s]."""
    conflict_s: float = 1800.0
    """How long sleep and antenna or power changes stay clear of each other's area [s]."""
    woken_s: float = 1800.0
    """How long the relations of a cell that woke up are left alone [s]."""
    block_s: float = 7200.0
    """How long a change that was rolled back may not be made again [s]."""
    shortest_sleep_s: float = 900.0
    """How long a cell must have slept before it may be woken [s]."""
    predicted_harm: Mapping[str, float] = field(
        default_factory=lambda: _constant(
            {
                "demand_satisfied_ratio": 0.02,
                "handover_failure_ratio": 0.02,
                "rlf_per_ue_min": 0.05,
                "weak_coverage_ratio": 0.03,
            }
        )
    )
    """Worsening of a KPI that a plan may expect of itself, by the better end of its interval."""
    harm_probability: float = 0.9
    """Probability, as foretold, that a plan worsens a KPI by more than ``predicted_harm``, above
    which it is refused; 1 lets every plan through."""
    memory_s: float = 86400.0
    """How long changes are remembered [s]; longer than any other time here."""


@dataclass(frozen=True)
class Made:
    """A change that was applied."""

    time_s: float
    function: str
    change: Change


@dataclass(frozen=True)
class GuardState:
    """What the guard remembers; ``record`` returns the next one."""

    base: Parameters | None = None
    """The initial configuration; None until the first check has seen it."""
    frozen: bool = False
    """Whether the freeze switch is on."""
    made: tuple[Made, ...] = ()
    """Changes applied within ``Limits.memory_s``, oldest first."""
    balanced_db: Mapping[str, float] = field(default_factory=lambda: _constant({}))
    """Offset that load balancing holds on a relation now [dB], by "source->target"."""


def record(state: GuardState, plan: Plan, now_s: float, limits: Limits) -> GuardState:
    """Return the state after a plan was applied.

    Args:
        state: The state before.
        plan: The plan with exactly the changes that were applied.
        now_s: When it was applied [s].
        limits: Settings; only the length of the memory is used.
    """
    made = [entry for entry in state.made if entry.time_s >= now_s - limits.memory_s]
    made += [Made(now_s, plan.function, change) for change in plan.changes]
    balanced = dict(state.balanced_db)
    for change in plan.changes:
        if change.parameter == "cio_db":
            _balance(balanced, plan.function, change)
    return replace(state, made=tuple(made), balanced_db=_constant(balanced))


def _balance(balanced: dict[str, float], function: str, change: Change) -> None:
    """Keep account of the offset that load balancing holds on a relation."""
    held = balanced.pop(change.object_id, 0.0)
    step = change.after - change.before
    left = 0.0
    if function == "MLB" or (function == ROLLBACK and abs(held) > TOLERANCE):
        left = held + step
    if abs(left) > TOLERANCE:
        balanced[change.object_id] = left
