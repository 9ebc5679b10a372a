"""The parameters of a network: defaults, reading, changing, comparing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict, Unpack

import numpy as np

from cellhive.core.errors import BadInput, Conflict, NotFound
from cellhive.core.schema import PARAMETERS, QUANTITIES, Kind, Per, Quantity
from cellhive.core.types import Change, Floats, Network, Parameters

Address = tuple[str, str, str | None]
"""Cell, parameter, and the target cell of a relation parameter."""

TOLERANCE = 1e-6
"""Two parameter values closer than this are the same setting."""


class CellValues(TypedDict, total=False):
    """Values of the cell parameters, one for all cells or one per cell."""

    electrical_tilt_deg: float | Floats
    tx_power_dbm: float | Floats
    a3_offset_db: float | Floats
    hysteresis_db: float | Floats
    time_to_trigger_s: float | Floats
    filter_coefficient: float | Floats


DEFAULTS: dict[str, float] = {
    "electrical_tilt_deg": 6.0,
    "tx_power_dbm": 46.0,
    "a3_offset_db": 3.0,
    "hysteresis_db": 0.0,
    "time_to_trigger_s": 0.16,
    "filter_coefficient": 4.0,
}
"""Handover: TR 36.839 table 5.3.2.1, set 2; power: a macro cell of TR 36.814 table A.2.1.1."""


def default_parameters(network: Network, **values: Unpack[CellValues]) -> Parameters:
    """Return the parameters of a network in which every cell is set alike.

    No cell sleeps and every cell individual offset is 0 dB.

    Args:
        network: The network the parameters belong to.
        **values: Cell parameters that differ from ``DEFAULTS``: one number, or (C,).
    """
    columns: dict[str, Floats] = {}
    for name, standard in DEFAULTS.items():
        given = np.asarray(values.get(name, standard), np.float64)
        if given.shape not in {(), (network.cells,)}:
            raise BadInput(
                expected=f"one number or {network.cells} of them",
                found=f"shape {given.shape}",
                place=name,
            )
        columns[name] = np.broadcast_to(given, (network.cells,)).copy()
    return Parameters(
        **columns,
        asleep=np.zeros(network.cells, np.bool_),
        cio_db=np.zeros(network.relations),
    )


def position_of(network: Network, what: Change | Address) -> tuple[Quantity, int]:
    """Return which quantity is meant and where it stands in its parameter array.

    Raises:
        NotFound: The parameter, cell or relation does not exist.
        BadInput: A target cell is missing or out of place.
    """
    cell, name, target = (
        (what.cell, what.parameter, what.target) if isinstance(what, Change) else what
    )
    quantity = QUANTITIES.get(name)
    if quantity is None or quantity.kind is not Kind.PARAMETER:
        names = ", ".join(parameter.name for parameter in PARAMETERS)
        message = f"expected a parameter ({names}), found {name!r}"
        raise NotFound(message)
    source = _cell(network, cell)
    if quantity.per is Per.CELL:
        if target is not None:
            raise BadInput(
                expected=f"no target cell, {name} belongs to a cell", found=repr(target), place=cell
            )
        return quantity, source
    if target is None:
        raise BadInput(
            expected=f"a target cell, {name} belongs to a relation", found="none", place=cell
        )
    relation = network.relation_index.get((source, _cell(network, target)))
    if relation is None:
        message = f"expected a neighbour relation of {network.name}, found {cell}->{target}"
        raise NotFound(message)
    return quantity, relation


def _cell(network: Network, cell: str) -> int:
    index = network.cell_index.get(cell)
    if index is None:
        message = f"expected a cell of {network.name}, found {cell!r}"
        raise NotFound(message)
    return index


def value_of(parameters: Parameters, network: Network, what: Change | Address) -> float:
    """Return what a parameter is set to now; "asleep" reads as 0 or 1.

    Raises:
        NotFound: The parameter, cell or relation does not exist.
        BadInput: A target cell is missing or out of place.
    """
    quantity, index = position_of(network, what)
    return float(getattr(parameters, quantity.name)[index])


def apply_changes(
    parameters: Parameters, network: Network, changes: Iterable[Change]
) -> Parameters:
    """Return the parameters after the changes, one after the other; the given ones stay.

    Raises:
        NotFound: A parameter, cell or relation does not exist.
        BadInput: A new value is not a number within the limits of the parameter.
        Conflict: A parameter does not hold the value that a change starts from.
    """
    changed = parameters.copy()
    for change in changes:
        quantity, index = position_of(network, change)
        column = getattr(changed, quantity.name)
        held = float(column[index])
        if not abs(held - change.before) <= TOLERANCE:
            message = (
                f"expected {change.object_id} to hold {change.parameter} = {change.before:g}, "
                f"found {held:g}; read the parameters again and make a new plan"
            )
            raise Conflict(message)
        if not quantity.low <= change.after <= quantity.high:
            raise BadInput(
                expected=f"{quantity.low:g} to {quantity.high:g} {quantity.unit}".rstrip(),
                found=f"{change.after:g}",
                place=f"{change.object_id} {change.parameter}",
            )
        column[index] = change.after
    return changed


def snap(parameter: str, value: float) -> float:
    """Return the permitted value nearest to a value; the lower one where two are equally near."""
    quantity = QUANTITIES[parameter]
    if not quantity.grid:
        return min(max(value, quantity.low), quantity.high)
    return min(quantity.grid, key=lambda point: (abs(point - value), point))


def step_on_grid(parameter: str, value: float, steps: int) -> float:
    """Return the value some grid points above (or, negative, below), held at the ends."""
    grid = QUANTITIES[parameter].grid
    place = grid.index(snap(parameter, value)) + steps
    return grid[min(max(place, 0), len(grid) - 1)]


def diff(network: Network, before: Parameters, after: Parameters) -> tuple[Change, ...]:
    """Return the changes that lead from one set of parameters to another, in schema order."""
    changes: list[Change] = []
    for quantity in PARAMETERS:
        old = np.asarray(getattr(before, quantity.name), np.float64)
        new = np.asarray(getattr(after, quantity.name), np.float64)
        for index in np.flatnonzero(~(np.abs(new - old) <= TOLERANCE)).tolist():
            cell, target = _names(network, quantity, index)
            changes.append(
                Change(cell, quantity.name, float(old[index]), float(new[index]), target)
            )
    return tuple(changes)


def _names(network: Network, quantity: Quantity, index: int) -> tuple[str, str | None]:
    if quantity.per is Per.CELL:
        return network.cell_ids[index], None
    source, target = network.relation_source[index], network.relation_target[index]
    return network.cell_ids[source], network.cell_ids[target]


def loop_slack_db(network: Network, parameters: Parameters) -> Floats:
    """Return by how much each relation stays clear of a handover loop [dB], (R,).

    i→j is entered at ``Mj - Mi > Off_i + Hys_i - CIO_ij`` and j→i at
    ``Mi - Mj > Off_j + Hys_j - CIO_ji`` (TS 38.331 §5.5.4.4, event A3). Both can hold at
    once, and a user that stands still is handed back and forth for ever, as soon as
    ``CIO_ij + CIO_ji > Off_i + Hys_i + Off_j + Hys_j``. The slack is the right side
    less the left one: negative means a loop; infinite means that there is no way back.
    """
    threshold_db = parameters.a3_offset_db + parameters.hysteresis_db
    source, target = network.relation_source, network.relation_target
    slack_db = np.full(network.relations, np.inf)
    for relation, pair in enumerate(zip(source.tolist(), target.tolist(), strict=True)):
        back = network.relation_index.get((pair[1], pair[0]))
        if back is not None:
            offsets_db = parameters.cio_db[relation] + parameters.cio_db[back]
            slack_db[relation] = threshold_db[pair[0]] + threshold_db[pair[1]] - offsets_db
    return slack_db
