"""The reference of the learning environment: what an agent does, sees and is paid for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from cellhive.core.schema import QUANTITIES
from cellhive.ran.kpi import POINTS_PER_KW, WEIGHTS
from cellhive.rl.actions import HEADS, ActionSettings
from cellhive.rl.admission import REASONS
from cellhive.rl.env import EnvironmentSettings
from cellhive.rl.observations import (
    CONTEXT_FEATURES,
    KPI_FEATURES,
    PARAMETER_FEATURES,
    RATE_FEATURES,
    SLOT_FEATURES,
    Feature,
)
from cellhive.rl.rewards import CONSTANT, OBJECTIVES, RewardSettings

Table = Callable[[Sequence[str], Iterable[Sequence[str]]], str]

_PARTS = (
    ("Of the last period, as the cell counted it", KPI_FEATURES),
    ("Events of the last period, per minute of radio time", RATE_FEATURES),
    ("What the cell is set to", PARAMETER_FEATURES),
    ("What is around it", CONTEXT_FEATURES),
    ("Of each of the strongest neighbours, in the order of the CIO columns", SLOT_FEATURES),
)


_KPIS = {
    "mobility": ("handover_failure_ratio", "ping_pong_ratio", "rlf_per_ue_min"),
    "capacity": ("demand_satisfied_ratio", "rrc_setup_success_ratio", "ue_throughput_p5_mbps"),
    "coverage": ("weak_coverage_ratio",),
}
"""What each objective is made of; energy is the power drawn."""

_REWARDS = (
    "In points, as the [score](kpis.md#the-score) counts. With every weight 1 and a scale of 1, "
    f"the reward of a network is its score less {CONSTANT:g}, because what lacks of a good ratio "
    "is counted, not what is had. A cell's part of a ratio is its own count over the mean count "
    "of all cells, so the mean over the cells is the reward of the network."
)


def environment_page(table: Table, settings_table: Callable[[type], str], generated: str) -> str:
    """Return the page.

    Args:
        table: Makes a table from a header and rows.
        settings_table: Makes a table of the fields of a settings class.
        generated: The line that says that the page is generated.
    """
    lines = ["# Environment", "", generated, ""]
    lines += ["[How to train an agent](../how-to/train-an-agent.md) says how it is used.", ""]
    lines += ["## Actions", "", "Per cell, in this order; `cio_db` once per neighbour.", ""]
    lines += [table(("head", "unit", "range", "largest step", "meaning"), map(_head, HEADS)), ""]
    lines += ["## Observations", "", "Each scaled from its range to 0 to 1, and held at the ends;"]
    lines += ["-1 says that a value is not known.", ""]
    for title, features in _PARTS:
        rows = map(_feature, features)
        lines += [f"{title}:", "", table(("feature", "unit", "range", "meaning"), rows), ""]
    lines += ["## Rewards", "", _REWARDS, "", table(("objective", "per unit", "of"), _paid()), ""]
    lines += ["## Settings", ""]
    for title, kind in (
        ("Of the environment", EnvironmentSettings),
        ("Of the actions", ActionSettings),
        ("Of the rewards", RewardSettings),
    ):
        lines += [f"{title}:", "", settings_table(kind), ""]
    lines += ["## Refusals", "", "`changes_refused` counts them by reason: "]
    lines += [", ".join(f"`{reason}`" for reason in REASONS[1:]) + ".", ""]
    return "\n".join(lines)


def _paid() -> list[tuple[str, ...]]:
    """Return the points of every KPI by objective."""
    rows = [
        (objective, f"{WEIGHTS[kpi]:+g}", f"`{kpi}`")
        for objective in OBJECTIVES
        for kpi in _KPIS.get(objective, ())
    ]
    return [*rows, ("energy", f"{-POINTS_PER_KW / 100:+g}", "`PEE.AvgPower`, W per cell")]


def _head(name: str) -> tuple[str, ...]:
    quantity = QUANTITIES[name]
    step = "" if quantity.max_step is None else f"{quantity.max_step:g}"
    reach = f"{quantity.low:g} to {quantity.high:g}"
    return f"`{name}`", quantity.unit, reach, step, quantity.description


def _feature(feature: Feature) -> tuple[str, ...]:
    reach = f"{feature.low:g} to {feature.high:g}"
    return f"`{feature.name}`", feature.unit, reach, feature.description
