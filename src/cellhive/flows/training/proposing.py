"""Whoever proposes plans, asked inside an environment: plans become options of its columns.

A rule says by how much it would change a parameter, an agent chooses an option of a column:
of each change the nearest option is taken, and what no column can express is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import numpy as np

from cellhive.core.checked import check_frame
from cellhive.core.types import Change, Floats, KpiFrame, Network, Parameters, Plan
from cellhive.ran.parameters import TOLERANCE, position_of
from cellhive.rl.actions import DOWN, KEEP, UP, Actions
from cellhive.rl.admission import PARAMETERS_OF_A_CELL
from cellhive.rl.env import CellEnvironment
from cellhive.rl.experience import Options

_HISTORY = 16
"""Frames that the loop hands to an optimiser, and so does this."""


class Proposer(Protocol):
    """Whoever proposes plans from frames, as the rules do."""

    def propose(
        self, network: Network, parameters: Parameters, frames: Sequence[KpiFrame], now_s: float
    ) -> list[Plan]:
        """Return plans for the network as it stands."""
        ...


def values_of(parameters: Parameters) -> Floats:
    """Return parameters as the values of a network in the order of ``rl.admission``, (V,)."""
    columns = [np.asarray(getattr(parameters, name), np.float64) for name in PARAMETERS_OF_A_CELL]
    return np.concatenate([*columns, parameters.cio_db])


def nearest_options(actions: Actions, values: Floats, wanted: Floats) -> tuple[Options, int, int]:
    """Return the options that lead nearest to wanted values, (C, D), and what they cover.

    Keeping is an option too: a change of less than half an option is no change.

    Args:
        actions: The columns, discrete.
        values: Present values, (V,).
        wanted: Values that were proposed, (V,).

    Returns:
        The options, how many changes they stand for, and how many are left out.
    """
    place = actions.place
    now, aim = values[place], wanted[place]
    down_up = actions.options(values[None])[0]
    choices = np.stack([down_up[:, 0], now, down_up[:, 1]], axis=1)
    # Among equals keep comes first, so that nothing is invented.
    order = np.array([KEEP, DOWN, UP])
    nearest = order[np.abs(choices[:, order] - aim[:, None]).argmin(axis=1)]
    chosen = np.where((place >= 0) & (np.abs(aim - now) > TOLERANCE), nearest, KEEP)
    moved = np.flatnonzero(np.abs(wanted - values) > TOLERANCE)
    taken = int((chosen != KEEP).sum())
    return chosen.reshape(actions.cells, -1).astype(np.int8), taken, moved.size - taken


class Asked:
    """Whoever proposes, one in each network of an environment, from the start of an episode on.

    They see frames as in the loop. No plan is watched or rolled back: a decision here is not a
    plan.
    """

    def __init__(self, environment: CellEnvironment, make: Callable[[], Proposer]) -> None:
        """Begin an episode.

        Args:
            environment: Just reset; its actions are discrete.
            make: Returns whoever proposes, anew for every network.
        """
        self._environment = environment
        self._proposers = [make() for _ in range(environment.networks)]
        self._frames: list[list[KpiFrame]] = [[] for _ in self._proposers]

    def options(self) -> tuple[Options, int, int]:
        """Return what is proposed for the next period; ask once in each.

        Returns:
            Options (E, C, D), whether or not the guard would let them through; how many changes
            they stand for, and how many are left out.
        """
        environment, rows, taken, left_out = self._environment, [], 0, 0
        for e, proposer in enumerate(self._proposers):
            frames = self._frames[e] = [*self._frames[e], _last_frame(environment, e)][-_HISTORY:]
            held = environment.parameters(e)
            now_s = frames[-1].time_s + frames[-1].period_s
            plans = proposer.propose(environment.network, held, frames, now_s)
            changes = (change for plan in plans for change in plan.changes)
            values = values_of(held)
            row, some, others = nearest_options(
                environment.actions, values, _wanted(environment.network, values, changes)
            )
            rows.append(row)
            taken, left_out = taken + some, left_out + others
        return np.stack(rows), taken, left_out


def _last_frame(environment: CellEnvironment, e: int) -> KpiFrame:
    """Return the last period of one network, as the loop would have been given it."""
    period_s = environment.settings.period_s
    frame = environment.simulator.frame(e, environment.period * period_s, period_s)
    return check_frame(frame).frame


def _wanted(network: Network, values: Floats, changes: Iterable[Change]) -> Floats:
    """Return the values that changes ask for; where two are about one value, the first."""
    wanted, cells = values.copy(), network.cells
    for change in changes:
        quantity, index = position_of(network, change)
        if quantity.name == "cio_db":
            place = len(PARAMETERS_OF_A_CELL) * cells + index
        elif quantity.name in PARAMETERS_OF_A_CELL:
            place = PARAMETERS_OF_A_CELL.index(quantity.name) * cells + index
        else:
            continue
        if wanted[place] == values[place]:
            wanted[place] = change.after
    return wanted


def allowed(action: Options, mask: Options) -> Options:
    """Return actions that ask for nothing the mask refuses."""
    fine = np.take_along_axis(mask, action[..., None].astype(np.int64), axis=-1)[..., 0] > 0
    return np.where(fine, action, KEEP).astype(np.int8)
