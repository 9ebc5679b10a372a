"""What an agent may do: heads of every cell, discrete or continuous, and what they mean.

A column is one knob of one cell: its A3 offset, its tilt, its offset towards the second
strongest neighbour. The same columns belong to every cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cellhive.core.errors import BadInput
from cellhive.core.schema import QUANTITIES
from cellhive.core.types import Bools, Floats, Floats32, Ints, Network
from cellhive.rl.admission import ASLEEP, KINDS, PARAMETERS_OF_A_CELL, Course, Standing

HEADS = (
    "cio_db", "a3_offset_db", "hysteresis_db", "time_to_trigger_s", "filter_coefficient",
    "electrical_tilt_deg", "tx_power_dbm", "asleep",
)  # fmt: skip
"""Heads there are, in the order of the columns; ``cio_db`` has one column per neighbour."""

DISCRETE, STEP, TARGET = "discrete", "step", "target"
DOWN, KEEP, UP = 0, 1, 2
"""The three options of a discrete column."""
OPTIONS = 3

_SWITCH = 0.5
"""How far a continuous action must go to put a cell to sleep, or to wake it."""
_SLACK = 1e-6


@dataclass(frozen=True)
class ActionSettings:
    """Which knobs an agent has, and how it turns them."""

    heads: tuple[str, ...] = HEADS
    """Parameters that may be changed."""
    neighbours: int = 4
    """Strongest neighbours towards which each cell may set its CIO."""
    kind: str = DISCRETE
    """"discrete": down, keep or up. "step": -1 to 1 is the largest permitted step down to
    up. "target": -1 to 1 is the range that may be reached, approached in permitted steps."""
    grid_points: Mapping[str, int] = field(
        default_factory=lambda: MappingProxyType(
            {
                "time_to_trigger_s": 2,
                "filter_coefficient": 2,
                "electrical_tilt_deg": 2,
                "tx_power_dbm": 2,
            }
        )
    )
    """Points of its grid by which a discrete option moves a parameter, where not one."""

    def __post_init__(self) -> None:
        """Refuse settings that mean nothing."""
        unknown = [head for head in self.heads if head not in HEADS]
        if unknown or not self.heads or len(set(self.heads)) != len(self.heads):
            raise BadInput(
                place="heads", expected=f"some of {', '.join(HEADS)}, each once",
                found=", ".join(self.heads) or "none",
            )  # fmt: skip
        if self.kind not in (DISCRETE, STEP, TARGET):
            raise BadInput(
                place="kind", expected=f"{DISCRETE}, {STEP} or {TARGET}", found=repr(self.kind)
            )
        if self.neighbours < 1:
            raise BadInput(place="neighbours", expected="1 or more", found=str(self.neighbours))


class Column(NamedTuple):
    """One knob of every cell."""

    name: str
    """For example "cio_db[0]"."""
    parameter: str
    slot: int
    """Rank of the neighbour it is about, -1 where it is about the cell itself."""


def columns_of(settings: ActionSettings) -> tuple[Column, ...]:
    """Return the columns in order."""
    columns: list[Column] = []
    for head in HEADS:
        if head in settings.heads and head == "cio_db":
            columns += [Column(f"{head}[{k}]", head, k) for k in range(settings.neighbours)]
        elif head in settings.heads:
            columns.append(Column(head, head, -1))
    return tuple(columns)


def neighbour_slots(network: Network, neighbours: int) -> Ints:
    """Return the relations to the strongest neighbours of each cell, (C, K), -1 for none.

    Relations of a network stand in order of importance per source.
    """
    slots = np.full((network.cells, neighbours), -1, np.int32)
    for cell in range(network.cells):
        mine = np.flatnonzero(network.relation_source == cell)[:neighbours]
        slots[cell, : mine.size] = mine
    return slots


class Proposals(NamedTuple):
    """What actions ask for; N columns of all cells."""

    after: Floats
    """Value that a column would be set to, (E, N)."""
    order: Ints
    """Columns in the order in which the guard is asked, -1 for none, (E, N)."""


class Actions:
    """The actions of one network: columns of all cells, and the values they are about."""

    def __init__(self, settings: ActionSettings, network: Network) -> None:
        """Lay out the columns over a network."""
        self.settings = settings
        self.columns = columns_of(settings)
        self.cells, self.cell_ids = network.cells, network.cell_ids
        self.slots = neighbour_slots(network, settings.neighbours)
        place = np.empty((self.cells, len(self.columns)), np.int32)
        for index, column in enumerate(self.columns):
            if column.slot < 0:
                first = PARAMETERS_OF_A_CELL.index(column.parameter) * self.cells
                place[:, index] = first + np.arange(self.cells)
            else:
                relation = self.slots[:, column.slot]
                first = len(PARAMETERS_OF_A_CELL) * self.cells
                place[:, index] = np.where(relation >= 0, first + relation, -1)
        sign = {"cio_db": 1.0, "a3_offset_db": -1.0, "hysteresis_db": -1.0}
        self._push = np.array([sign.get(column.parameter, 0.0) for column in self.columns])
        self.place = place.reshape(-1)
        """Value that each column of each cell is about, -1 for none, (C * D,)."""

    @property
    def discrete(self) -> bool:
        """Whether actions choose options rather than amounts."""
        return self.settings.kind == DISCRETE

    def checked(self, actions: Any, networks: int) -> npt.NDArray[Any]:
        """Return actions as an array (E, C, D), or raise what is wrong with them.

        Raises:
            BadInput: Shape, type or a value is not what it should be.
        """
        shape = (networks, self.cells, len(self.columns))
        try:
            given = np.asarray(actions)
        except ValueError as error:
            raise BadInput(
                place="actions", expected=f"an array of shape {shape}",
                found=f"rows of different lengths ({error})",
            ) from error  # fmt: skip
        if given.shape != shape:
            raise BadInput(
                place="actions", expected=f"shape {shape} (networks, cells, columns)",
                found=f"shape {given.shape}",
            )  # fmt: skip
        wanted = np.integer if self.discrete else np.floating
        if not np.issubdtype(given.dtype, wanted):
            raise BadInput(
                place="actions", expected="whole numbers" if self.discrete else "real numbers",
                found=f"an array of {given.dtype}",
            )  # fmt: skip
        low, high = (DOWN, UP) if self.discrete else (-1 - _SLACK, 1 + _SLACK)
        wrong = ~((given >= low) & (given <= high))  # NaN is neither
        if wrong.any():
            e, c, d = (int(place) for place in np.argwhere(wrong)[0])
            raise BadInput(
                place=f"actions of network {e}, cell {self.cell_ids[c]}, {self.columns[d].name}",
                expected="0 (down), 1 (keep) or 2 (up)" if self.discrete else "-1 to 1",
                found=f"{given[e, c, d]}, and {int(wrong.sum()) - 1} more out of range",
            )  # fmt: skip
        return given

    def options(self, values: Floats) -> Floats:
        """Return what one option down and one up would set each column to, (E, N, 2).

        Args:
            values: Present values, (E, V).
        """
        now = self._now(values)
        moved = np.empty((*now.shape, 2))
        for which, sign in enumerate((-1, 1)):
            for parameter, where in self._heads():
                points = sign * self._points(parameter)
                moved[:, :, where, which] = _moved(parameter, now[:, :, where], points)
        return moved.reshape(now.shape[0], -1, 2)

    def proposals(self, actions: npt.NDArray[Any], course: Course, rules: Standing,
                  first_cell: int) -> Proposals:  # fmt: skip
        """Return what checked actions ask for.

        The guard is asked first for what leads away from handover loops, then for what
        leads towards them, as ``guard.check`` does; among equals the cells take turns in
        being first, because the budget of the network may not reach the last.

        Args:
            actions: From ``checked``, (E, C, D).
            course: What was decided so far.
            rules: What the guard knows of the network.
            first_cell: Cell that is asked first.
        """
        now = self._now(course.values)
        after = np.empty(now.shape)
        for parameter, where in self._heads():
            part, act = now[:, :, where], actions[:, :, where]
            if self.discrete:
                steps = (act.astype(np.int64) - KEEP) * self._points(parameter)
                after[:, :, where] = np.where(steps == 0, part, _moved(parameter, part, steps))
            else:
                base = self._now(course.base)[:, :, where]
                after[:, :, where] = self._amounts(parameter, act, (part, base), rules)
        asked = after != now
        if self.discrete:  # an option at the end of its range is asked for and refused
            asked = actions != KEEP
        asked &= (self.place >= 0).reshape(self.cells, -1)
        return Proposals(after.reshape(len(after), -1), self._order(after - now, asked, first_cell))

    def _order(self, change: Floats, asked: Bools, first_cell: int) -> Ints:
        """Return columns by how far they lead towards handover loops, (E, N), -1 at the end."""
        networks, columns = len(change), self.place.size
        turn = (np.arange(columns) + first_cell * len(self.columns)) % columns
        push = (change * self._push).reshape(networks, -1)[:, turn]
        wanted: Bools = asked.reshape(networks, -1)[:, turn]
        by_push = np.argsort(np.where(wanted, push, np.inf), axis=1, kind="stable")
        order = np.where(np.take_along_axis(wanted, by_push, axis=1), turn[by_push], -1)
        return order.astype(np.int32)

    def _heads(self) -> list[tuple[str, npt.NDArray[np.intp]]]:
        """Return each parameter with the columns that are about it."""
        names = [column.parameter for column in self.columns]
        heads = dict.fromkeys(names)
        return [(head, np.flatnonzero(np.array(names) == head)) for head in heads]

    def _points(self, parameter: str) -> int:
        return int(self.settings.grid_points.get(parameter, 1))

    def _now(self, values: Floats) -> Floats:
        """Return the value that each column is about, (E, C, D); 0 where there is none."""
        shape = (values.shape[0], self.cells, len(self.columns))
        return np.where(self.place >= 0, values[:, self.place], 0.0).reshape(shape)

    def still(self, course: Course, rules: Standing) -> Floats32:
        """Return continuous actions that change nothing, (E, C, D)."""
        now, base = self._now(course.values), self._now(course.base)
        act = np.zeros(now.shape, np.float32)
        if self.settings.kind == STEP:
            return act
        for parameter, where in self._heads():
            if parameter != KINDS[ASLEEP]:
                low, high = _reach(KINDS.index(parameter), base[:, :, where], rules)
                act[:, :, where] = 2 * (now[:, :, where] - low) / (high - low) - 1
        return act

    def _amounts(
        self, parameter: str, act: Floats, present: tuple[Floats, Floats], rules: Standing
    ) -> Floats:
        """Return what continuous actions set a parameter to.

        Args:
            parameter: Which.
            act: Actions of its columns, -1 to 1.
            present: Present and initial values of the same columns.
            rules: Limits by kind.
        """
        now, base = present
        act = np.clip(np.asarray(act, np.float64), -1.0, 1.0)
        if parameter == KINDS[ASLEEP]:
            return np.where(act >= _SWITCH, 1.0, np.where(act <= -_SWITCH, 0.0, now))
        kind = KINDS.index(parameter)
        step = float(rules.max_step[kind])
        if self.settings.kind == STEP:
            wanted = now + act * step
        else:
            low, high = _reach(kind, base, rules)
            aim = low + (act + 1) / 2 * (high - low)
            wanted = now + np.clip(aim - now, -step, step)
        held: Floats = np.where(wanted == now, now, _within(parameter, wanted, now, step))
        return held


def _reach(kind: int, base: Floats, rules: Standing) -> tuple[Floats, Floats]:
    """Return the range that a parameter may be moved in, given its initial values."""
    low = np.maximum(rules.low[kind], base - rules.deviation[kind])
    high = np.minimum(rules.high[kind], base + rules.deviation[kind])
    return low, high


def _nearest(grid: Floats, values: Floats) -> npt.NDArray[np.intp]:
    """Return the place of the nearest point of a grid, the lower of two."""
    return np.searchsorted((grid[1:] + grid[:-1]) / 2, values, side="left")


def _moved(parameter: str, values: Floats, points: int | npt.NDArray[np.int64]) -> Floats:
    """Return values moved by points of their grid, held at its ends; see ``step_on_grid``."""
    grid = np.array(QUANTITIES[parameter].grid)
    return np.asarray(grid[np.clip(_nearest(grid, values) + points, 0, grid.size - 1)])


def _within(parameter: str, wanted: Floats, now: Floats, step: float) -> Floats:
    """Return the point of the grid nearest to what is wanted that one step can reach."""
    grid = np.array(QUANTITIES[parameter].grid)
    place = _nearest(grid, wanted)
    too_far = np.abs(grid[place] - now) > step + _SLACK
    back = np.clip(place - np.sign(grid[place] - now).astype(np.int64), 0, grid.size - 1)
    return np.asarray(grid[np.where(too_far, back, place)])
