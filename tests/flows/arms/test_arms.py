"""The arms: seeds that stay apart, who leads where, what guards count, what a city gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cellhive.core.errors import BadInput, NotFound
from cellhive.core.types import Change, KpiFrame, Plan
from cellhive.flows.arms.bayesian import BayesianSettings, Space, cell_groups, optimise
from cellhive.flows.arms.fixed import MOBILITY_SETS, Toward, mobility_set
from cellhive.flows.arms.guards import CountingGuard
from cellhive.flows.arms.run import (
    ArmSettings,
    ArmSurroundings,
    City,
    check_arm,
    open_city,
    run_arm,
)
from cellhive.flows.arms.seeds import check_unseen, held_out, tuning_users
from cellhive.flows.decide import Optimizer, Silent
from cellhive.flows.tuning import Setting
from cellhive.ran.guard import Guard
from cellhive.ran.layout import SiteDesign, hex_grid
from cellhive.ran.parameters import apply_changes, default_parameters, loop_slack_db
from cellhive.ran.scenarios import HexLayout, Scenario
from cellhive.ran.son import Rules

TINY = Scenario(
    "tiny", "One site with two carriers that hardly anybody needs.", ("power_w",),
    HexLayout(1, 500.0, SiteDesign(carrier_hz=1.8e9, capacity_carrier_hz=2.6e9)),
    users_per_cell=2, hours=1.0, start_h=2.0,
)  # fmt: skip
QUICK = ArmSettings(observed_s=10.0, evaluations=10, moments=1, moment_s=10.0, settle_s=4.0)


def by_name(name: str) -> Optimizer:
    """Return the optimiser of an arm."""
    assert name == "rules"
    return Rules()


OUTSIDE = ArmSurroundings(by_name, clock=lambda: 0.0)


@pytest.fixture(scope="module")
def city() -> City:
    """The tiny city, test seed 201."""
    return open_city(TINY, 201, QUICK)


def test_seeds_of_test_cities_stay_apart() -> None:
    """No user that something is tuned on has the seed of a test city, of any split."""
    seeds = held_out(TINY, 100)
    assert seeds == tuple(range(201, 301))
    used = {tuning_users(seed) + more for seed in seeds for more in (0, 1)}
    assert min(used) > TINY.splits.test[1]
    check_unseen(TINY.splits, [*range(1, 201), *used])
    with pytest.raises(BadInput, match="found 201, 300"):
        check_unseen(TINY.splits, [5, 300, 201])
    with pytest.raises(BadInput, match="2 to 100 test cities"):
        held_out(TINY, 101)


def test_sets_of_3gpp_are_those_of_the_table(city: City) -> None:
    """TR 36.839 table 5.3.2.1; set 5 is a handover loop by construction, the others are none."""
    for name, (trigger_s, offset_db, _) in MOBILITY_SETS.items():
        found = mobility_set(name, city.initial).parameters
        assert set(found.time_to_trigger_s) == {trigger_s}
        assert set(found.a3_offset_db) == {offset_db}
        slack_db = loop_slack_db(city.world.network, found).min()
        assert slack_db == pytest.approx(2 * offset_db)
    np.testing.assert_array_equal(found.electrical_tilt_deg, city.initial.electrical_tilt_deg)
    with pytest.raises(NotFound, match="set-5"):
        check_arm("set-6")


def test_toward_goes_in_permitted_steps_and_stops() -> None:
    """Offset 3 dB to 0.5 dB goes 2, 1, 0.5; a tilt of 6 to 9 degrees 8, 9; then nothing is left.

    Largest steps in the registry: 1 dB and 2 degrees.
    """
    network = hex_grid(1, 500.0, SiteDesign())
    start = default_parameters(network)
    wanted = replace(
        start, a3_offset_db=np.full(3, 0.5), electrical_tilt_deg=np.array([9.0, 6.0, 6.0])
    )
    arm = Toward(Setting(wanted, np.zeros(3, np.bool_)), busy=lambda _: 1.0)
    frame = city_frame()
    now, courses = start, []
    for period in range(1, 5):
        plans = arm.propose(network, now, [frame], 900.0 * period)
        for plan in plans:
            now = apply_changes(now, network, plan.changes)
        courses.append((now.a3_offset_db[0], now.electrical_tilt_deg[0], len(plans)))
    assert courses == [(2.0, 8.0, 1), (1.0, 9.0, 1), (0.5, 9.0, 1), (0.5, 9.0, 0)]


def city_frame() -> KpiFrame:
    """Return a frame of which only the period matters."""
    return open_city(TINY, 201, QUICK).twin().observe()


def test_guards_count_what_they_object_to(city: City) -> None:
    """A tilt step of 5 degrees is refused for its size; the open guard lets it pass, counted."""
    network, initial = city.world.network, city.initial
    before = float(initial.electrical_tilt_deg[0])
    cell = network.cell_ids[0]
    plan = Plan("p", "CCO", 0.0, (Change(cell, "electrical_tilt_deg", before, before - 5.0),))
    strict, open_guard = CountingGuard(Guard()), CountingGuard(Guard(), enforce=False)
    assert strict.check(plan, network, initial, 0.0).accepted == ()
    assert open_guard.check(plan, network, initial, 0.0).accepted == plan.changes
    assert strict.objections == open_guard.objections == {"step": 1}
    undo = replace(plan, function="rollback")
    open_guard.check(replace(undo, changes=()), network, initial, 0.0)
    assert open_guard.objections == {"step": 1}


def test_arms_see_the_same_users(city: City) -> None:
    """A set that is in force already is doing nothing, in the loop and from the beginning."""
    same = replace(
        TINY, a3_offset_db=3.0, hysteresis_db=0.0, time_to_trigger_s=0.16, hours=0.5, start_h=12.0
    )
    here = open_city(same, 202, QUICK)
    nothing = run_arm(here, "nothing", True, OUTSIDE)
    for guarded in (True, False):
        found = run_arm(here, "set-2", guarded, OUTSIDE)
        np.testing.assert_equal(found.kpis, nothing.kpis)  # NaN where nobody moved
        assert (found.changes, found.objections) == (0, {})
    other = run_arm(open_city(same, 203, QUICK), "nothing", True, OUTSIDE)
    assert other.kpis != nothing.kpis


def test_guard_keeps_from_loops_and_the_open_one_counts_them(city: City) -> None:
    """Set 5 leads into loops: with the guard some of it is refused, without it is in force."""
    guarded = run_arm(city, "set-5", True, OUTSIDE)
    free = run_arm(city, "set-5", False, OUTSIDE)
    cells = city.world.network.cells
    assert guarded.objections["loop-free"] > 0
    assert free.changes >= 3 * cells
    assert free.objections["step"] > 0
    assert guarded.kpis != free.kpis


def test_search_knows_other_users_and_is_made_once(city: City) -> None:
    """The tuned arm searches with users of its own; both of its runs use one search."""
    free = run_arm(city, "tuned", False, OUTSIDE)
    again = city.searched("tuned", OUTSIDE)[0]
    assert city.searched("tuned", OUTSIDE)[0] is again
    assert free.searched == again.evaluations * QUICK.moments
    assert free.expected == again.objective
    assert city.settings.course(TINY, 201).seed == tuning_users(201)


def test_rules_run_with_and_without_the_guard(city: City) -> None:
    """Without the guard nothing is refused, and what would have been is told."""
    results = [run_arm(city, "rules", guarded, OUTSIDE) for guarded in (True, False)]
    assert all(np.isfinite(result.kpis["objective"]) for result in results)
    assert results[0].seed == results[1].seed == 201
    nobody = ArmSurroundings(lambda _: Silent(), clock=lambda: 0.0)
    silent = run_arm(city, "rl:silent", False, nobody)
    np.testing.assert_equal(silent.kpis, run_arm(city, "nothing", True, OUTSIDE).kpis)


def test_groups_halve_along_the_longer_side() -> None:
    """Of four cells in a row, 0 and 100 m go together, and 1000 and 1100 m."""
    network = hex_grid(1, 500.0, SiteDesign())
    four = replace(
        network, x_m=np.array([1100.0, 0.0, 1000.0]), y_m=np.zeros(3),
    )  # fmt: skip
    groups = cell_groups(four, 2)
    assert [sorted(group.tolist()) for group in groups] == [[1, 2], [0]]
    assert [group.tolist() for group in cell_groups(four, 8)] == [[1], [2], [0]]


def test_first_guess_is_the_setting_as_found_made_alike(city: City) -> None:
    """Offset and hysteresis of 1 dB each are a threshold of 2 dB; tilts and offsets stay."""
    start = Setting(city.initial, ~city.world.network.coverage_cell)
    space = Space(city.world.network, start, 2)
    found = space.setting(space.first_guess()).parameters
    assert set(found.a3_offset_db) == {2.0}
    assert set(found.hysteresis_db) == {0.0}
    np.testing.assert_array_equal(found.electrical_tilt_deg, city.initial.electrical_tilt_deg)
    np.testing.assert_array_equal(found.cio_db, city.initial.cio_db)


def test_bayesian_optimisation_repeats_and_never_ends_below_the_start(city: City) -> None:
    """The setting as found is a candidate, so users nobody tuned on decide for at least it."""
    pytest.importorskip("optuna", reason="needs the extra: pip install -e '.[evaluate]'")
    pytest.importorskip("torch", reason="needs torch: pip install -e '.[evaluate]'")
    start = Setting(city.initial, ~city.world.network.coverage_cell)
    course = QUICK.course(TINY, 201)
    settings = BayesianSettings(evaluations=6, startup=4, batch=2, groups=1)
    first, second = (optimise(city.world, start, course, settings) for _ in range(2))
    assert first.objective >= first.start
    assert first.evaluations == 6 + 6
    assert first.objective == second.objective
    np.testing.assert_array_equal(first.setting.parameters.cio_db, second.setting.parameters.cio_db)
