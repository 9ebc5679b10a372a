"""Whatever plans are thrown at the guard, what it lets through keeps the network sound."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cellhive.core.errors import CellHiveError
from cellhive.core.schema import PARAMETERS, QUANTITIES, Per
from cellhive.core.types import Change, Network, Parameters, Plan
from cellhive.ran.guard import GuardState, Limits, check, record
from cellhive.ran.layout import SiteDesign, hex_grid, with_relations
from cellhive.ran.parameters import (
    TOLERANCE,
    apply_changes,
    default_parameters,
    diff,
    loop_slack_db,
    value_of,
)

LIMITS = Limits(budget_per_cell=3, network_budget_per_cell=1.0, network_budget_least=1)
PROTECTED = 4


def _network() -> Network:
    """Return six cells in two layers, all but one pair neighbours; one cell is protected."""
    network = hex_grid(1, 500.0, SiteDesign(capacity_carrier_hz=2.6e9))
    pairs = [(i, j) for i in range(6) for j in range(6) if i != j and (i, j) != (0, 5)]
    source, target = np.array(pairs).T
    return replace(with_relations(network, source, target), protected=np.arange(6) == PROTECTED)


NETWORK = _network()
FUNCTIONS = ("MRO", "MLB", "ES", "CCO", "operator", "somebody")


@st.composite
def steps(draw: st.DrawFn, parameters: Parameters) -> Change:
    """A change that may be anything from sound to absurd."""
    quantity = draw(st.sampled_from(PARAMETERS))
    cells = st.sampled_from([*NETWORK.cell_ids, "nowhere"]) if draw(st.booleans()) else (
        st.sampled_from(NETWORK.cell_ids)
    )  # fmt: skip
    cell = draw(cells)
    target = draw(cells) if quantity.per is Per.RELATION else None
    try:
        held = value_of(parameters, NETWORK, (cell, quantity.name, target))
    except CellHiveError:
        held = 0.0
    near = [v for v in quantity.grid if abs(v - held) <= quantity.max_step]
    after = draw(
        st.one_of(
            st.sampled_from(near or [held]),
            st.sampled_from(quantity.grid),
            st.floats(allow_nan=True, allow_infinity=True),
        )
    )
    before = draw(st.sampled_from([held, held, held, held, held + 1.0, float("nan")]))
    return Change(cell, quantity.name, before, after, target)


def _same(one: Parameters, other: Parameters) -> bool:
    return diff(NETWORK, one, other) == ()


def _assert_sound(parameters: Parameters, base: Parameters) -> None:
    """Check every limit that holds at any time, straight from the schema."""
    for quantity in PARAMETERS:
        values = np.asarray(getattr(parameters, quantity.name), float)
        initial = np.asarray(getattr(base, quantity.name), float)
        assert np.abs(np.subtract.outer(values, quantity.grid)).min(axis=1).max() <= TOLERANCE
        allowed = LIMITS.deviation.get(quantity.name, np.inf)
        assert np.all(np.abs(values - initial) <= allowed + TOLERANCE)
        if quantity.per is Per.CELL:
            assert values[PROTECTED] == initial[PROTECTED]
        else:
            near = (NETWORK.relation_source == PROTECTED) | (NETWORK.relation_target == PROTECTED)
            assert np.all(values[near] == initial[near])
    assert np.all(loop_slack_db(NETWORK, parameters) >= LIMITS.loop_margin_db - TOLERANCE)
    assert not np.any(parameters.asleep & NETWORK.coverage_cell)
    for sleeper in np.flatnonzero(parameters.asleep):
        assert not parameters.asleep[NETWORK.neighbours_of(int(sleeper))].all()


def _assert_within_budget(applied: list[tuple[float, Plan]], now_s: float) -> None:
    """Count the changes of the last window, apart from roll-backs and waking."""
    cells = [
        change.cell
        for when_s, plan in applied
        for change in plan.changes
        if when_s > now_s - LIMITS.window_s
        and plan.function != "rollback"
        and not (change.parameter == "asleep" and change.after == 0)
    ]
    assert len(cells) <= NETWORK.cells
    assert max((cells.count(cell) for cell in cells), default=0) <= LIMITS.budget_per_cell


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_network_stays_sound(data: st.DataObject) -> None:
    """Bounds, grid, steps, budgets, protection, sleep and loops hold over whole histories."""
    base = default_parameters(NETWORK)
    parameters, state, now_s = base, GuardState(base=base), 0.0
    applied: list[tuple[float, Plan]] = []
    for number in range(data.draw(st.integers(1, 6))):
        now_s += data.draw(st.sampled_from([0.0, 300.0, 900.0, 1800.0, 7200.0]))
        if applied and data.draw(st.integers(0, 4)) == 0:
            undo = tuple(c.reverted("") for c in reversed(applied[-1][1].changes))
            plan = Plan(f"p{number}", "rollback", now_s, undo)
        else:
            changes = data.draw(st.lists(steps(parameters), max_size=8))
            plan = Plan(f"p{number}", data.draw(st.sampled_from(FUNCTIONS)), now_s, tuple(changes))
        verdict = check(plan, NETWORK, parameters, state, now_s, LIMITS)

        assert len(verdict.accepted) + len(verdict.refused) == len(plan.changes)
        assert all(refusal.rule and refusal.reason.endswith(".") for refusal in verdict.refused)
        if plan.function != "rollback":
            for change in verdict.accepted:
                most = QUANTITIES[change.parameter].max_step
                assert abs(change.after - change.before) <= most + TOLERANCE
        after = apply_changes(parameters, NETWORK, verdict.accepted)
        back = [change.reverted("") for change in reversed(verdict.accepted)]
        assert _same(apply_changes(after, NETWORK, back), parameters)
        _assert_sound(after, base)
        made = replace(plan, changes=verdict.accepted)
        applied.append((now_s, made))
        _assert_within_budget(applied, now_s)
        parameters, state = after, record(state, made, now_s, LIMITS)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_plan_just_applied_can_always_be_undone(data: st.DataObject) -> None:
    """Right after a plan its roll-back passes entirely, frozen or not."""
    parameters = default_parameters(NETWORK)
    changes = data.draw(st.lists(steps(parameters), max_size=8))
    plan = Plan("p", data.draw(st.sampled_from(FUNCTIONS)), 0.0, tuple(changes))
    verdict = check(plan, NETWORK, parameters, GuardState(base=parameters), 0.0, LIMITS)
    made = replace(plan, changes=verdict.accepted)
    state = record(GuardState(base=parameters, frozen=True), made, 0.0, LIMITS)
    after = apply_changes(parameters, NETWORK, made.changes)
    undo = Plan("q", "rollback", 1.0, tuple(c.reverted("") for c in made.changes))
    undone = check(undo, NETWORK, after, state, 1.0, LIMITS)
    assert undone.refused == ()
    assert _same(apply_changes(after, NETWORK, undone.accepted), parameters)
