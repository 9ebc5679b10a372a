"""A run as a film: after every period, where the users are and how the cells do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cellhive.core.types import Bools, Change, Floats, Floats32, Mode, Network
from cellhive.flows.decide import Loop, LoopSettings, Optimizer, PeriodObserved, PlanApplied
from cellhive.ran.guard import Guard
from cellhive.ran.kpi import network_kpis
from cellhive.ran.picture import ground_share, user_looks
from cellhive.ran.simulator import Twin


@dataclass(frozen=True)
class Shot:
    """The network at the end of one period."""

    time_s: float
    """Time of day at the start of the period [s after midnight of the first day]."""
    x_m: Floats32
    """Position of each user, (U,)."""
    y_m: Floats32
    looks: npt.NDArray[np.int8]
    """0 without a session, 1 served, 2 without a link, (U,)."""
    load: Floats32
    """Share of resource blocks in use, (C,)."""
    asleep: Bools
    """(C,)"""
    ground: Floats
    """SINR on the ground as a share of ``picture.SINR_DB``, first row in the south."""
    kpis: dict[str, float]
    """Of the whole network, with "objective"."""
    changes: tuple[Change, ...]
    """What was changed at the end of the period."""


def shots(
    twin: Twin, optimizer: Optimizer, periods: int, settings: LoopSettings | None = None
) -> Iterator[Shot]:
    """Yield a shot after every period of the closed loop.

    Args:
        twin: The network, at its beginning; advanced.
        optimizer: Who proposes.
        periods: How many.
        settings: How the loop works.
    """
    told: list[object] = []
    loop = Loop(
        twin,
        optimizer,
        Guard(),
        settings or LoopSettings(mode=Mode.AUTONOMOUS),
        observer=told.append,
    )
    for _ in range(periods):
        told.clear()
        loop.step()
        yield _shot(twin, told)


def _shot(twin: Twin, told: list[object]) -> Shot:
    simulator = twin.simulator
    cells, users = twin.network.cells, simulator.plant.users[0]
    observed = next(event for event in told if isinstance(event, PeriodObserved))
    applied = [event for event in told if isinstance(event, PlanApplied)]
    return Shot(
        time_s=observed.frame.time_s,
        x_m=users["x_m"].copy(),
        y_m=users["y_m"].copy(),
        looks=user_looks(users),
        load=simulator.plant.load[0, :cells].copy(),
        asleep=simulator.parameters(0).asleep,
        ground=ground_share(simulator),
        kpis={**network_kpis(observed.frame), "objective": observed.objective},
        changes=tuple(change for event in applied for change in event.plan.changes),
    )


def changed_cells(network: Network, shot: Shot) -> list[int]:
    """Return the cells of which something was changed, by index."""
    return sorted({network.cell_index[change.cell] for change in shot.changes})
