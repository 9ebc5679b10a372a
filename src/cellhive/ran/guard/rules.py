"""The rules of the guard, one function each: a sentence that says why not, or nothing."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy.special import stdtr

from cellhive.core.errors import CellHiveError
from cellhive.core.schema import QUANTITIES
from cellhive.core.types import Change, Network, Parameters, Plan, Prediction
from cellhive.ran.guard.state import OPERATOR, ROLLBACK, GuardState, Limits, Made, author_of
from cellhive.ran.parameters import TOLERANCE, position_of, value_of

GEOMETRY = frozenset({"electrical_tilt_deg", "tx_power_dbm"})
"""Parameters that move the border of a cell."""
TRIGGERS = frozenset({"a3_offset_db", "hysteresis_db", "time_to_trigger_s", "filter_coefficient"})
"""Parameters of a cell that decide when it hands over."""


@dataclass
class Case:
    """A plan before the guard: the network as it is, with what was let through so far."""

    plan: Plan
    network: Network
    parameters: Parameters
    """Working copy: as it would be with every change let through so far."""
    state: GuardState
    now_s: float
    limits: Limits
    taken: list[Change] = field(default_factory=list)
    """Changes of this plan that were let through so far."""

    @property
    def function(self) -> str:
        """Who proposes the plan."""
        return self.plan.function

    @cached_property
    def by_object(self) -> dict[str, list[Made]]:
        """Changes made to each object, oldest first."""
        return _grouped((made.change.object_id, made) for made in self.state.made)

    @cached_property
    def by_cell(self) -> dict[str, list[Made]]:
        """Changes made to each cell and its outgoing relations, oldest first."""
        return _grouped((made.change.cell, made) for made in self.state.made)

    def last(self, change: Change) -> Made | None:
        """Return the last change made to the same parameter of the same object."""
        made = [m for m in self.by_object.get(change.object_id, ())
                if m.change.parameter == change.parameter]  # fmt: skip
        return made[-1] if made else None

    def around(self, cell: str) -> Iterator[str]:
        """Yield a cell and its neighbours, to or from."""
        index = self.network.cell_index[cell]
        yield cell
        source, target = self.network.relation_source, self.network.relation_target
        near = {*target[source == index].tolist(), *source[target == index].tolist()} - {index}
        for neighbour in sorted(near):
            yield self.network.cell_ids[neighbour]


def _grouped(pairs: Iterable[tuple[str, Made]]) -> dict[str, list[Made]]:
    groups: defaultdict[str, list[Made]] = defaultdict(list)
    for key, made in pairs:
        groups[key].append(made)
    return groups


def is_wake(change: Change) -> bool:
    """Return whether a change wakes a sleeping cell; waking is never put off for order's sake."""
    return change.parameter == "asleep" and change.after < change.before


def _named(change: Change) -> str:
    quantity = QUANTITIES[change.parameter]
    return f"{quantity.label} of {change.object_id}"


def _amount(parameter: str, value: float) -> str:
    return f"{value:g} {QUANTITIES[parameter].unit}".rstrip()


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min"


def unknown(case: Case, change: Change) -> str:
    """Refuse what does not exist."""
    try:
        position_of(case.network, change)
    except CellHiveError as error:
        return f"There is no such object: {error}."
    return ""


def value(_: Case, change: Change) -> str:
    """Refuse values that are not numbers."""
    if math.isfinite(change.before) and math.isfinite(change.after):
        return ""
    return f"{_named(change)} would go from {change.before} to {change.after}, not both numbers."


def bounds(_: Case, change: Change) -> str:
    """Refuse values outside the range of the parameter."""
    quantity = QUANTITIES[change.parameter]
    if quantity.low <= change.after <= quantity.high:
        return ""
    return (
        f"{_named(change)} would be {change.after:g}, outside {quantity.low:g} "
        f"to {_amount(quantity.name, quantity.high)}."
    )


def grid(case: Case, change: Change) -> str:
    """Refuse values that the network cannot be set to, other than one it had."""
    points = QUANTITIES[change.parameter].grid
    if (
        case.function == ROLLBACK
        or not points
        or min(abs(point - change.after) for point in points) <= TOLERANCE
    ):
        return ""
    near = min(points, key=lambda point: abs(point - change.after))
    return (
        f"{_named(change)} cannot be set to {change.after:g}; the nearest value it can be "
        f"set to is {_amount(change.parameter, near)}."
    )


def duplicate(case: Case, change: Change) -> str:
    """Refuse a second change of the same thing in one plan."""
    for other in case.taken:
        if (other.object_id, other.parameter) == (change.object_id, change.parameter):
            return f"The plan changes {_named(change)} twice; the first change stands."
    return ""


def read_back(case: Case, change: Change) -> str:
    """Refuse a change that starts from a value the network does not hold."""
    held = value_of(case.parameters, case.network, change)
    if abs(held - change.before) <= TOLERANCE:
        return ""
    return (
        f"The plan takes {_named(change)} to be {change.before:g}, but the network holds "
        f"{_amount(change.parameter, held)}."
    )


def no_effect(_: Case, change: Change) -> str:
    """Refuse a change to the value that is already there."""
    if abs(change.after - change.before) > TOLERANCE:
        return ""
    return f"{_named(change)} already is {_amount(change.parameter, change.after)}."


def roll_back(case: Case, change: Change) -> str:
    """Refuse a roll-back to anything but a value that the parameter was changed from."""
    if case.function != ROLLBACK:
        return ""
    for made in case.by_object.get(change.object_id, ()):
        undoes = made.change.parameter == change.parameter
        if undoes and abs(made.change.before - change.after) <= TOLERANCE:
            return ""
    return f"{_named(change)} was never changed from {change.after:g}: there is nothing to undo."


def frozen(case: Case, _: Change) -> str:
    """Refuse everything but roll-backs while the freeze switch is on."""
    if not case.state.frozen or case.function == ROLLBACK:
        return ""
    return "The freeze switch is on: until it is released only roll-backs pass."


def protected(case: Case, change: Change) -> str:
    """Refuse changes of protected cells and of their relations."""
    for cell in (change.cell, change.target):
        if cell is not None and case.network.protected[case.network.cell_index[cell]]:
            return f"Cell {cell} is protected: no function may change it or its relations."
    return ""


def step(case: Case, change: Change) -> str:
    """Refuse steps larger than the parameter allows."""
    most = QUANTITIES[change.parameter].max_step
    size = abs(change.after - change.before)
    if case.function == ROLLBACK or size <= most + TOLERANCE:
        return ""
    return (
        f"{_named(change)} would change by {_amount(change.parameter, size)} at once; "
        f"at most {_amount(change.parameter, most)} are allowed."
    )


def interval(case: Case, change: Change) -> str:
    """Refuse a change too soon after the last one of the same parameter."""
    last = case.last(change)
    if case.function == ROLLBACK or last is None:
        return ""
    wait_s = QUANTITIES[change.parameter].min_interval_s
    if is_wake(change):
        wait_s = min(wait_s, case.limits.shortest_sleep_s)
    since_s = case.now_s - last.time_s
    if since_s >= wait_s:
        return ""
    return (
        f"{_named(change)} was changed {_minutes(since_s)} ago by {last.function}; "
        f"{_minutes(wait_s)} must lie between two changes."
    )


def deviation(case: Case, change: Change) -> str:
    """Refuse to go further from the initial configuration than allowed."""
    most = case.limits.deviation.get(change.parameter)
    if most is None or case.state.base is None:
        return ""
    base = value_of(case.state.base, case.network, change)
    away = abs(change.after - base)
    if away <= most + TOLERANCE or away < abs(change.before - base):
        return ""
    return (
        f"{_named(change)} would be {_amount(change.parameter, away)} away from its initial "
        f"value {base:g}; at most {_amount(change.parameter, most)} are allowed."
    )


def blocked(case: Case, change: Change) -> str:
    """Refuse to repeat what was rolled back, for a while."""
    if case.function in {OPERATOR, ROLLBACK} or is_wake(change):
        return ""
    for made in case.by_object.get(change.object_id, ()):
        undone = made.change
        same = undone.parameter == change.parameter and (
            (undone.before - undone.after) * (change.after - change.before) > 0
        )
        since_s = case.now_s - made.time_s
        if made.function == ROLLBACK and same and since_s < case.limits.block_s:
            return (
                f"The same change of {_named(change)} was rolled back {_minutes(since_s)} ago; "
                f"it may be tried again after {_minutes(case.limits.block_s)}."
            )
    return ""


def owner(case: Case, change: Change) -> str:
    """Refuse to change what another author has just changed; see ``author_of``."""
    if case.function in {OPERATOR, ROLLBACK} or is_wake(change):
        return ""
    for made in _claims(case, change):
        since_s = case.now_s - made.time_s
        mine = author_of(made.function) in {author_of(case.function), ROLLBACK}
        if not mine and since_s < case.limits.ownership_s:
            return (
                f"{made.function} changed {_named(made.change)} {_minutes(since_s)} ago; "
                f"other functions wait {_minutes(case.limits.ownership_s)}, so that effects "
                "can be told apart."
            )
    return ""


def _claims(case: Case, change: Change) -> Iterator[Made]:
    """Yield what was made to the object, to the way back, and to the triggers of the source."""
    yield from case.by_object.get(change.object_id, ())
    if change.target is None:
        return
    yield from case.by_object.get(f"{change.target}->{change.cell}", ())
    for made in case.by_object.get(change.cell, ()):
        if made.change.parameter in TRIGGERS:
            yield made


def balancing(case: Case, change: Change) -> str:
    """Refuse other functions the relations on which load balancing holds an offset."""
    if case.function in {"MLB", OPERATOR, ROLLBACK} or change.parameter != "cio_db":
        return ""
    for relation in (change.object_id, f"{change.target}->{change.cell}"):
        held_db = case.state.balanced_db.get(relation)
        if held_db is not None:
            return f"Load balancing holds {held_db:+g} dB on {relation} until the load falls."
    return ""


def area(case: Case, change: Change) -> str:
    """Refuse sleep where an antenna or power was just changed, and the other way round."""
    if case.function in {OPERATOR, ROLLBACK} or is_wake(change):
        return ""
    if change.parameter == "asleep":
        others = GEOMETRY
    elif change.parameter in GEOMETRY:
        others = frozenset({"asleep"})
    else:
        return ""
    for cell in case.around(change.cell):
        for made in case.by_object.get(cell, ()):
            since_s = case.now_s - made.time_s
            if made.change.parameter in others and since_s < case.limits.conflict_s:
                return (
                    f"{_named(made.change)} was changed {_minutes(since_s)} ago by "
                    f"{made.function}, and {change.cell} is the same cell or a neighbour; "
                    f"{_minutes(case.limits.conflict_s)} must lie between."
                )
    return ""


def awake(case: Case, change: Change) -> str:
    """Refuse to tune cells that sleep, and relations of cells that sleep or just woke up."""
    if case.function == ROLLBACK or change.parameter == "asleep":
        return ""
    for cell in (change.cell, change.target):
        if cell is None:
            continue
        if case.parameters.asleep[case.network.cell_index[cell]]:
            return f"Cell {cell} is asleep: nothing about it can be tuned or judged now."
        for made in case.by_object.get(cell, ()) if change.target is not None else ():
            since_s = case.now_s - made.time_s
            if is_wake(made.change) and since_s < case.limits.woken_s:
                return (
                    f"Cell {cell} woke up {_minutes(since_s)} ago; its relations are left "
                    f"alone for {_minutes(case.limits.woken_s)}."
                )
    return ""


def sleep(case: Case, change: Change) -> str:
    """Refuse to put a cell to sleep that carries coverage or stands in for a sleeping one."""
    if change.parameter != "asleep" or is_wake(change):
        return ""
    network, cell = case.network, case.network.cell_index[change.cell]
    if network.coverage_cell[cell]:
        return f"Cell {change.cell} carries basic coverage and never sleeps."
    if not stand_ins(network, case.parameters, cell):
        return f"No neighbour of {change.cell} is awake to take over its users."
    for sleeper in np.flatnonzero(case.parameters.asleep).tolist():
        if sleeper != cell and cell in stand_ins(network, case.parameters, sleeper):
            return f"Cell {change.cell} stands in for {network.cell_ids[sleeper]}, which is asleep."
    return ""


def stand_ins(network: Network, parameters: Parameters, cell: int) -> list[int]:
    """Return the awake neighbours that serve the users of a cell while it sleeps.

    Coverage cells where the cell has such neighbours, since they never sleep; otherwise
    all that are awake.
    """
    near = [other for other in network.neighbours_of(cell) if not parameters.asleep[other]]
    return [other for other in near if network.coverage_cell[other]] or near


def budget(case: Case, change: Change) -> str:
    """Refuse more changes in a window than network and cell may have."""
    if case.function == ROLLBACK or is_wake(change):
        return ""
    limits = case.limits
    since_s = case.now_s - limits.window_s
    most = max(
        limits.network_budget_least, int(limits.network_budget_per_cell * case.network.cells)
    )
    taken = [other for other in case.taken if not is_wake(other)]
    if _counted(case.state.made, since_s) + len(taken) >= most:
        return (
            f"The network had its {most} changes of the last {_minutes(limits.window_s)}; "
            "the change must wait."
        )
    here = sum(other.cell == change.cell for other in taken)
    if _counted(case.by_cell.get(change.cell, ()), since_s) + here >= limits.budget_per_cell:
        return (
            f"Cell {change.cell} had its {limits.budget_per_cell} changes of the last "
            f"{_minutes(limits.window_s)}; the change must wait."
        )
    return ""


def _counted(made: Iterable[Made], since_s: float) -> int:
    return sum(
        entry.time_s > since_s and entry.function != ROLLBACK and not is_wake(entry.change)
        for entry in made
    )


def predicted_harm(case: Case, _: Change) -> str:
    """Refuse a plan that itself expects to do harm."""
    for effect in case.plan.expected:
        most = case.limits.predicted_harm.get(effect.kpi)
        if most is None or case.function == ROLLBACK:
            continue
        lower_is_better = QUANTITIES[effect.kpi].better == "lower"
        least_worse = effect.low if lower_is_better else -effect.high
        if least_worse > most:
            return (
                f"The plan itself expects {QUANTITIES[effect.kpi].label} to change by "
                f"{effect.low:+.3g} to {effect.high:+.3g}, which is harm."
            )
    return ""


def probable_harm(case: Case, change: Change) -> str:
    """Refuse a plan that is too likely to worsen a KPI by more than its limit.

    The probability is that of the plan's own effect, by what was foretold of it.
    """
    if case.function == ROLLBACK or is_wake(change):
        return ""
    for foretold in case.plan.predicted:
        most = case.limits.predicted_harm.get(foretold.kpi)
        if most is None:
            continue
        probability = worse_probability(foretold, most)
        if probability > case.limits.harm_probability:
            quantity = QUANTITIES[foretold.kpi]
            return (
                f"With probability {100 * probability:.0f} % the plan worsens {quantity.label} by "
                f"more than {most:g}, expected {foretold.effect:+.3g}; at most "
                f"{100 * case.limits.harm_probability:.0f} % are allowed."
            )
    return ""


def worse_probability(foretold: Prediction, most: float) -> float:
    """Return the probability that a plan's effect worsens a KPI by more than an amount.

    Args:
        foretold: What was foretold; its effect has Student's t distribution.
        most: The amount, in the KPI's unit, at least 0.
    """
    lower_is_better = QUANTITIES[foretold.kpi].better == "lower"
    worse = foretold.effect if lower_is_better else -foretold.effect
    if foretold.effect_error <= 0.0:
        return float(worse > most)
    return float(stdtr(foretold.freedom, (worse - most) / foretold.effect_error))


def loop_free(case: Case, change: Change) -> str:
    """Refuse settings under which a user that stands still is handed back and forth.

    Of relations that already loop only what brings them further in is refused.
    """
    if case.limits.allow_loops or loop_push_db(change) <= 0:
        return ""
    for source, target in _pairs(case, change):
        slack_db = _slack_db(case, source, target) - loop_push_db(change)
        if slack_db < case.limits.loop_margin_db - TOLERANCE:
            names = case.network.cell_ids
            return (
                f"With {_named(change)} at {change.after:g}, {names[source]} and {names[target]} "
                f"would hand over to each other within {slack_db:g} dB of a loop; "
                f"{case.limits.loop_margin_db:g} dB must remain (CIO both ways against "
                "A3 offset plus hysteresis of both)."
            )
    return ""


def loop_push_db(change: Change) -> float:
    """Return by how much a change brings a pair of relations nearer to a loop [dB]."""
    if change.parameter == "cio_db":
        return change.after - change.before
    if change.parameter in {"a3_offset_db", "hysteresis_db"}:
        return change.before - change.after
    return 0.0


def _pairs(case: Case, change: Change) -> Iterator[tuple[int, int]]:
    """Yield the pairs of cells with relations both ways that a change bears upon."""
    index = case.network.cell_index
    source = index[change.cell]
    targets = (
        case.network.neighbours_of(source) if change.target is None else [index[change.target]]
    )
    for target in targets:
        if (target, source) in case.network.relation_index:
            yield source, target


def _slack_db(case: Case, source: int, target: int) -> float:
    """Return how far a pair of cells is from a loop now [dB], as ``loop_slack_db`` does."""
    parameters, relation = case.parameters, case.network.relation_index
    threshold_db = parameters.a3_offset_db + parameters.hysteresis_db
    offsets_db = parameters.cio_db[relation[source, target]]
    offsets_db += parameters.cio_db[relation[target, source]]
    return float(threshold_db[source] + threshold_db[target] - offsets_db)


RULES: tuple[tuple[str, Callable[[Case, Change], str]], ...] = (
    ("unknown", unknown),
    ("value", value),
    ("bounds", bounds),
    ("grid", grid),
    ("duplicate", duplicate),
    ("read-back", read_back),
    ("no-effect", no_effect),
    ("roll-back", roll_back),
    ("frozen", frozen),
    ("protected", protected),
    ("step", step),
    ("interval", interval),
    ("deviation", deviation),
    ("rolled-back", blocked),
    ("owner", owner),
    ("balancing", balancing),
    ("area", area),
    ("awake", awake),
    ("sleep", sleep),
    ("budget", budget),
    ("predicted-harm", predicted_harm),
    ("probable-harm", probable_harm),
    ("loop-free", loop_free),
)
"""Name and rule, in the order they are asked; the first that objects is the one named."""
