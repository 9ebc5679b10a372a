"""Every rule of the guard lets through what it should and refuses what it must."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from cellhive.core.types import Change, Effect, Network, Parameters, Plan
from cellhive.ran.guard import Guard, GuardState, Limits, check, record
from cellhive.ran.layout import SiteDesign, hex_grid, with_relations
from cellhive.ran.parameters import default_parameters

HOUR_S = 3600.0
LIMITS = Limits()


def mesh(network: Network) -> Network:
    """Make all cells of a network neighbours of one another."""
    pairs = [(i, j) for i in range(network.cells) for j in range(network.cells) if i != j]
    source, target = np.array(pairs).T
    return with_relations(network, source, target)


@pytest.fixture
def network() -> Network:
    """Three coverage cells S01-1 to S01-3 and three capacity cells S01-1b to S01-3b."""
    design = SiteDesign(carrier_hz=1.8e9, capacity_carrier_hz=2.6e9)
    return mesh(hex_grid(1, 500.0, design))


@pytest.fixture
def parameters(network: Network) -> Parameters:
    """Offset 3 dB, hysteresis 0 dB, tilt 6 deg, 46 dBm, all awake."""
    return default_parameters(network)


def cio(source: str, target: str, before: float, after: float) -> Change:
    """Return the change of the offset of a relation."""
    return Change(source, "cio_db", before, after, target=target)


def tilt(cell: str, before: float, after: float) -> Change:
    """Return the change of a tilt."""
    return Change(cell, "electrical_tilt_deg", before, after)


def sleep(cell: str) -> Change:
    """Return the change that puts a cell to sleep."""
    return Change(cell, "asleep", 0.0, 1.0)


def plan(function: str, *changes: Change, **more: object) -> Plan:
    """Return a plan of a function."""
    return replace(Plan(f"{function}-1", function, 0.0, changes), **more)


def history(*entries: tuple[float, Plan], **more: object) -> GuardState:
    """Return the state after plans were applied at some times."""
    state = replace(GuardState(), **more)
    for when_s, made in entries:
        state = record(state, made, when_s, LIMITS)
    return state


ONE_WAY = cio("S01-1", "S01-2", 0.0, 1.0)
DOWN = tilt("S01-1", 6.0, 7.0)
UP_AGAIN = tilt("S01-1", 7.0, 6.0)


@pytest.mark.parametrize(
    ("rule", "function", "change", "words"),
    [
        ("unknown", "MRO", cio("S01-1", "S77-1", 0, 1), "no such object.*S77-1"),
        ("unknown", "MRO", Change("S01-1", "cio_db", 0, 1), "expected a target cell"),
        ("unknown", "CCO", Change("S01-1", "PEE.AvgPower", 0, 1), "expected a parameter"),
        ("value", "CCO", tilt("S01-1", 6.0, float("nan")), "not both numbers"),
        ("value", "CCO", tilt("S01-1", float("inf"), 6.0), "not both numbers"),
        ("bounds", "CCO", tilt("S01-1", 6.0, 15.5), "outside 0 to 15 deg"),
        ("bounds", "CCO", tilt("S01-1", 6.0, -0.5), "outside 0 to 15 deg"),
        ("grid", "CCO", tilt("S01-1", 6.0, 6.3), "nearest value .* 6.5 deg"),
        ("grid", "MRO", Change("S01-1", "time_to_trigger_s", 0.16, 0.2), "0.16 s|0.256 s"),
        ("read-back", "CCO", tilt("S01-1", 5.0, 6.0), "to be 5, but the network holds 6 deg"),
        ("no-effect", "CCO", tilt("S01-1", 6.0, 6.0), "already is 6 deg"),
        ("step", "CCO", tilt("S01-1", 6.0, 8.5), "by 2.5 deg at once; at most 2 deg"),
        ("step", "MRO", cio("S01-1", "S01-2", 0, 3), "by 3 dB at once; at most 2 dB"),
        ("sleep", "ES", sleep("S01-1"), "carries basic coverage"),
        ("roll-back", "rollback", DOWN, "never changed from 7"),
    ],
)
def test_a_change_that_is_wrong_in_itself(
    network: Network,
    parameters: Parameters,
    rule: str,
    function: str,
    change: Change,
    words: str,
) -> None:
    """Each is refused under its rule, by a sentence with the figures."""
    verdict = check(plan(function, change), network, parameters, GuardState(), 0.0, LIMITS)
    assert verdict.accepted == ()
    (refusal,) = verdict.refused
    assert refusal.rule == rule
    assert re.search(words, refusal.reason)
    assert refusal.reason[0].isupper()
    assert refusal.reason.endswith(".")


@pytest.mark.parametrize(
    ("function", "change"),
    [
        ("MRO", cio("S01-1", "S01-2", 0, 2)),
        ("MRO", Change("S01-1", "time_to_trigger_s", 0.16, 0.128)),
        ("CCO", tilt("S01-1", 6.0, 4.0)),
        ("CCO", Change("S01-1", "tx_power_dbm", 46.0, 45.5)),
        ("ES", sleep("S01-1b")),
    ],
)
def test_sound_changes_pass(
    network: Network, parameters: Parameters, function: str, change: Change
) -> None:
    """What is within every limit is let through unchanged."""
    verdict = check(plan(function, change), network, parameters, GuardState(), 0.0, LIMITS)
    assert verdict.accepted == (change,)
    assert verdict.refused == ()


def test_one_bad_change_does_not_stop_the_others(network: Network, parameters: Parameters) -> None:
    """Accepted changes keep the order of the plan."""
    changes = (tilt("S01-3", 6, 7), tilt("S01-2", 6, 20), tilt("S01-1", 6, 7))
    verdict = check(plan("CCO", *changes), network, parameters, GuardState(), 0.0, LIMITS)
    assert verdict.accepted == (changes[0], changes[2])
    assert [refusal.change for refusal in verdict.refused] == [changes[1]]


def test_a_plan_may_not_change_one_thing_twice(network: Network, parameters: Parameters) -> None:
    """The first change stands, the second is refused even where it would follow on."""
    twice = plan("CCO", tilt("S01-1", 6, 7), tilt("S01-1", 7, 8))
    verdict = check(twice, network, parameters, GuardState(), 0.0, LIMITS)
    assert verdict.accepted == twice.changes[:1]
    assert verdict.refused[0].rule == "duplicate"


@pytest.mark.parametrize("function", ["MRO", "CCO", "operator"])
def test_protected_cells_are_left_alone(
    network: Network, parameters: Parameters, function: str
) -> None:
    """Neither the cell nor a relation to or from it may be changed, by anybody."""
    guarded = replace(network, protected=np.arange(6) == 0)
    changes = (DOWN, ONE_WAY, cio("S01-2", "S01-1", 0, 1), tilt("S01-2", 6, 7))
    verdict = check(plan(function, *changes), guarded, parameters, GuardState(), 0.0, LIMITS)
    assert verdict.accepted == changes[3:]
    assert {refusal.rule for refusal in verdict.refused} == {"protected"}


def test_the_freeze_switch_stops_all_but_roll_backs(
    network: Network, parameters: Parameters
) -> None:
    """A harmful change can be undone while the network is frozen, nothing else happens."""
    made = replace(parameters, electrical_tilt_deg=np.array([7.0, 6, 6, 6, 6, 6]))
    state = history((0.0, plan("CCO", DOWN)), frozen=True)
    held = check(plan("CCO", tilt("S01-2", 6, 7)), network, made, state, 9e5, LIMITS)
    assert [refusal.rule for refusal in held.refused] == ["frozen"]
    undo = check(plan("rollback", UP_AGAIN), network, made, state, 900.0, LIMITS)
    assert undo.accepted == (UP_AGAIN,)


@pytest.mark.parametrize(("since_s", "passes"), [(0.0, False), (1799.0, False), (1800.0, True)])
def test_time_must_lie_between_two_changes(
    network: Network, parameters: Parameters, since_s: float, passes: bool
) -> None:
    """Tilts rest for the 1800 s that the schema states."""
    made = replace(parameters, electrical_tilt_deg=np.array([7.0, 6, 6, 6, 6, 6]))
    state = history((HOUR_S, plan("CCO", DOWN)))
    again = plan("CCO", tilt("S01-1", 7, 8))
    verdict = check(again, network, made, state, HOUR_S + since_s, LIMITS)
    assert bool(verdict.accepted) is passes
    assert [refusal.rule for refusal in verdict.refused] == ([] if passes else ["interval"])


@pytest.mark.parametrize(
    ("before", "after", "passes"),
    [(11.0, 12.0, True), (12.0, 12.5, False), (1.0, 0.0, True), (0.0, 0.5, True), (14, 13, True)],
)
def test_parameters_stay_near_the_initial_configuration(
    network: Network, parameters: Parameters, before: float, after: float, passes: bool
) -> None:
    """At most 6 deg from the initial tilt of 6; from further away it may come nearer."""
    now = replace(parameters, electrical_tilt_deg=np.full(6, before))
    state = GuardState(base=parameters)
    verdict = check(plan("CCO", tilt("S01-1", before, after)), network, now, state, 0.0, LIMITS)
    assert bool(verdict.accepted) is passes
    assert [refusal.rule for refusal in verdict.refused] == ([] if passes else ["deviation"])


@pytest.mark.parametrize(
    ("after", "later_s", "function", "passes"),
    [
        (7.0, 1800.0, "CCO", False),
        (7.0, 7200.0, "CCO", True),
        (5.0, 1800.0, "CCO", True),
        (7.0, 1800.0, "operator", True),
    ],
)
def test_what_was_rolled_back_is_not_repeated_soon(
    network: Network,
    parameters: Parameters,
    after: float,
    later_s: float,
    function: str,
    passes: bool,
) -> None:
    """For two hours only the other direction is open to functions; people may try again."""
    state = history((0.0, plan("CCO", DOWN)), (HOUR_S, plan("rollback", UP_AGAIN)))
    change = tilt("S01-1", 6.0, after)
    verdict = check(plan(function, change), network, parameters, state, HOUR_S + later_s, LIMITS)
    assert bool(verdict.accepted) is passes
    assert [refusal.rule for refusal in verdict.refused] == ([] if passes else ["rolled-back"])


@pytest.mark.parametrize(
    ("made", "asked", "since_s", "passes"),
    [
        (plan("MRO", ONE_WAY), plan("MLB", cio("S01-2", "S01-1", 0, -1)), 900, False),
        (plan("MRO", ONE_WAY), plan("MLB", cio("S01-2", "S01-1", 0, -1)), 1800, True),
        (plan("MRO", ONE_WAY), plan("MRO", cio("S01-2", "S01-1", 0, -1)), 900, True),
        (plan("MRO", ONE_WAY), plan("MLB", cio("S01-2", "S01-3", 0, 1)), 900, True),
        (plan("MRO", ONE_WAY), plan("operator", cio("S01-2", "S01-1", 0, -1)), 900, True),
        (plan("RL/load", ONE_WAY), plan("RL/mobility", cio("S01-2", "S01-1", 0, -1)), 900, True),
        (plan("RL/load", ONE_WAY), plan("MLB", cio("S01-2", "S01-1", 0, -1)), 900, False),
        (
            plan("MRO", Change("S01-1", "time_to_trigger_s", 0.16, 0.128)),
            plan("MLB", cio("S01-1", "S01-3", 0, 1)),
            900,
            False,
        ),
    ],
)
def test_functions_keep_off_what_another_has_just_changed(
    network: Network,
    parameters: Parameters,
    made: Plan,
    asked: Plan,
    since_s: float,
    passes: bool,
) -> None:
    """A relation, its way back, and relations of a cell with new timing rest for 1800 s."""
    verdict = check(asked, network, parameters, history((0.0, made)), since_s, LIMITS)
    assert bool(verdict.accepted) is passes
    assert [refusal.rule for refusal in verdict.refused] == ([] if passes else ["owner"])


def test_robustness_leaves_relations_that_balancing_holds(
    network: Network, parameters: Parameters
) -> None:
    """As long as MLB holds an offset, MRO may not touch either direction, however late."""
    shift = (ONE_WAY, cio("S01-2", "S01-1", 0.0, -1.0))
    state = history((0.0, plan("MLB", *shift)))
    now = replace(parameters, cio_db=parameters.cio_db.copy())
    now.cio_db[network.relation_index[0, 1]] = 1.0
    now.cio_db[network.relation_index[1, 0]] = -1.0
    asked = plan("MRO", cio("S01-1", "S01-2", 1.0, 0.0))
    verdict = check(asked, network, now, state, 10 * HOUR_S, LIMITS)
    assert [refusal.rule for refusal in verdict.refused] == ["balancing"]
    assert "+1 dB on S01-1->S01-2" in verdict.refused[0].reason


@pytest.mark.parametrize("function", ["MLB", "rollback"])
def test_balancing_lets_go_when_its_offset_is_taken_back(function: str) -> None:
    """Steps add up; a release and a roll-back both subtract."""
    out = plan("MLB", ONE_WAY, cio("S01-2", "S01-1", 0.0, -1.0))
    more = plan("MLB", cio("S01-1", "S01-2", 1.0, 3.0))
    state = history((0.0, out), (HOUR_S, more))
    assert state.balanced_db == {"S01-1->S01-2": 3.0, "S01-2->S01-1": -1.0}
    back = plan(function, *(change.reverted("") for change in (*more.changes, *out.changes)))
    assert record(state, back, 2 * HOUR_S, LIMITS).balanced_db == {}


def test_the_two_ways_of_a_balancing_step_belong_together(
    network: Network, parameters: Parameters
) -> None:
    """Where one way is refused the other is too, and says for whose sake."""
    shift = (ONE_WAY, cio("S01-2", "S01-1", 5.0, 4.0))
    other = (cio("S01-1", "S01-3", 0, 1), cio("S01-3", "S01-1", 0, -1))
    asked = plan("MLB", *shift, *other)
    verdict = check(asked, network, parameters, GuardState(), 0.0, LIMITS)
    assert verdict.accepted == other
    assert [refusal.rule for refusal in verdict.refused] == ["together", "read-back"]
    assert "belongs together with the change of S01-2->S01-1" in verdict.refused[0].reason
    alone = check(replace(asked, function="MRO"), network, parameters, GuardState(), 0.0, LIMITS)
    assert alone.accepted == (ONE_WAY, *other)


@pytest.mark.parametrize(
    ("made", "asked", "since_s", "passes"),
    [
        (plan("CCO", DOWN), plan("ES", sleep("S01-2b")), 900, False),
        (plan("CCO", DOWN), plan("ES", sleep("S01-2b")), 1800, True),
        (plan("ES", sleep("S01-2b")), plan("CCO", DOWN), 900, False),
        (plan("ES", sleep("S01-2b")), plan("operator", DOWN), 900, True),
        (plan("ES", sleep("S01-2b")), plan("MRO", ONE_WAY), 900, True),
    ],
)
def test_sleep_and_antennas_keep_apart(
    network: Network,
    parameters: Parameters,
    made: Plan,
    asked: Plan,
    since_s: float,
    passes: bool,
) -> None:
    """Neither acts where the other acted on the cell or a neighbour within 1800 s."""
    verdict = check(asked, network, parameters, history((0.0, made)), since_s, LIMITS)
    assert bool(verdict.accepted) is passes
    assert [refusal.rule for refusal in verdict.refused] == ([] if passes else ["area"])


@pytest.mark.parametrize(
    "change",
    [
        cio("S01-1", "S01-1b", 0, 1),
        cio("S01-1b", "S01-1", 0, 1),
        tilt("S01-1b", 6, 7),
    ],
)
def test_sleeping_cells_are_not_tuned(
    network: Network, parameters: Parameters, change: Change
) -> None:
    """Neither the cell nor its relations: nothing could be learned from it."""
    asleep = replace(parameters, asleep=np.arange(6) == network.cell_index["S01-1b"])
    verdict = check(plan("X", change), network, asleep, GuardState(), 0.0, LIMITS)
    assert [refusal.rule for refusal in verdict.refused] == ["awake"]


def test_relations_of_a_cell_that_woke_up_rest(network: Network, parameters: Parameters) -> None:
    """For 30 minutes they are left alone, after that they may be changed."""
    state = history((0.0, plan("ES", sleep("S01-1b").reverted(""))))
    asked = plan("MRO", cio("S01-1", "S01-1b", 0, 1))
    early = check(asked, network, parameters, state, 1799.0, LIMITS)
    assert [refusal.rule for refusal in early.refused] == ["awake"]
    assert check(asked, network, parameters, state, 1800.0, LIMITS).accepted == asked.changes


def test_waking_waits_for_nothing_but_a_short_rest(
    network: Network, parameters: Parameters
) -> None:
    """A tilt next door and a roll-back do not keep a cell asleep; 900 s of sleep do."""
    asleep = replace(parameters, asleep=np.arange(6) == network.cell_index["S01-1b"])
    state = history((0.0, plan("ES", sleep("S01-1b"))), (300.0, plan("CCO", DOWN)))
    wake = plan("ES", sleep("S01-1b").reverted(""))
    early = check(wake, network, asleep, state, 899.0, LIMITS)
    assert [refusal.rule for refusal in early.refused] == ["interval"]
    assert check(wake, network, asleep, state, 900.0, LIMITS).accepted == wake.changes


def test_a_stand_in_does_not_sleep(network: Network, parameters: Parameters) -> None:
    """Where no coverage cell is a neighbour, the awake ones stand in and must stay awake."""
    island = [network.cell_index[cell] for cell in ("S01-1b", "S01-2b", "S01-3b")]
    inner = [(i, j) for i in island for j in island if i != j]
    apart = with_relations(network, *np.array(inner).T)
    first = check(
        plan("ES", sleep("S01-1b"), sleep("S01-2b")), apart, parameters, GuardState(), 0.0, LIMITS
    )
    assert first.accepted == (sleep("S01-1b"),)
    assert first.refused[0].rule == "sleep"
    assert "stands in for S01-1b" in first.refused[0].reason
    both = check(
        plan("ES", sleep("S01-1b"), sleep("S01-2b")), network, parameters, GuardState(), 0, LIMITS
    )
    assert len(both.accepted) == 2  # here coverage cells stand in for both


def test_a_cell_without_neighbours_does_not_sleep(network: Network, parameters: Parameters) -> None:
    """Somebody must be there to take the users."""
    alone = with_relations(network, np.array([], np.int32), np.array([], np.int32))
    verdict = check(
        plan("ES", sleep("S01-1b")),
        alone,
        replace(parameters, cio_db=np.zeros(0)),
        GuardState(),
        0.0,
        LIMITS,
    )
    assert "No neighbour of S01-1b is awake" in verdict.refused[0].reason


def test_network_and_cell_have_a_budget(network: Network, parameters: Parameters) -> None:
    """Changes of the last hour and of the plan count; roll-backs and older ones do not."""
    limits = Limits(budget_per_cell=2, network_budget_per_cell=0.5, network_budget_least=3)
    asked = plan("MRO", *(cio("S01-1", t, 0, 1) for t in ("S01-2", "S01-3", "S01-2b")),
                 cio("S01-2", "S01-3", 0, 1), cio("S01-3", "S01-2b", 0, 1))  # fmt: skip
    verdict = check(asked, network, parameters, GuardState(), 0.0, limits)
    assert verdict.accepted == (*asked.changes[:2], asked.changes[3])
    assert [refusal.rule for refusal in verdict.refused] == ["budget", "budget"]
    assert "Cell S01-1 had its 2 changes" in verdict.refused[0].reason
    assert "The network had its 3 changes" in verdict.refused[1].reason
    undone = plan("rollback", *(c.reverted("") for c in verdict.accepted))
    state = history((0.0, replace(asked, changes=verdict.accepted)), (60.0, undone))
    next_one = plan("MRO", Change("S01-2b", "hysteresis_db", 0.0, 0.5))
    assert check(next_one, network, parameters, state, 3599.0, limits).refused
    assert check(next_one, network, parameters, state, 3600.0, limits).accepted


@pytest.mark.parametrize(
    ("low", "high", "passes"),
    [(-0.05, 0.02, True), (0.0, 0.2, True), (0.03, 0.06, False)],
)
def test_a_plan_that_expects_harm_is_refused(
    network: Network, parameters: Parameters, low: float, high: float, passes: bool
) -> None:
    """Only an interval that lies wholly beyond the margin is a prediction of harm."""
    effect = Effect("handover_failure_ratio", (low + high) / 2, low, high)
    asked = plan("MRO", ONE_WAY, expected=(effect,))
    verdict = check(asked, network, parameters, GuardState(), 0.0, LIMITS)
    assert bool(verdict.accepted) is passes
    assert [refusal.rule for refusal in verdict.refused] == ([] if passes else ["predicted-harm"])


def test_a_plan_that_expects_less_service_is_refused(
    network: Network, parameters: Parameters
) -> None:
    """Where higher is better, harm is a fall."""
    effect = Effect("demand_satisfied_ratio", -0.05, -0.07, -0.03)
    verdict = check(
        plan("ES", sleep("S01-1b"), expected=(effect,)),
        network, parameters, GuardState(), 0.0, LIMITS,
    )  # fmt: skip
    assert [refusal.rule for refusal in verdict.refused] == ["predicted-harm"]


@pytest.mark.parametrize(
    ("back_db", "after", "passes"),
    [(3.0, 2.0, True), (4.0, 2.0, False), (4.0, 1.0, True), (-2.0, 2.0, True)],
)
def test_pairs_of_offsets_stay_clear_of_loops(
    network: Network, parameters: Parameters, back_db: float, after: float, passes: bool
) -> None:
    """Both cells have offset 3 and hysteresis 0: the two CIOs may come to 6 less 1 dB."""
    now = replace(parameters, cio_db=parameters.cio_db.copy())
    now.cio_db[network.relation_index[1, 0]] = back_db
    asked = plan("MRO", cio("S01-1", "S01-2", 0.0, after))
    verdict = check(asked, network, now, GuardState(), 0.0, LIMITS)
    assert bool(verdict.accepted) is passes
    assert [refusal.rule for refusal in verdict.refused] == ([] if passes else ["loop-free"])
    allowed = check(asked, network, now, GuardState(), 0.0, replace(LIMITS, allow_loops=True))
    assert allowed.accepted == asked.changes


def test_pending_changes_count_towards_loops(network: Network, parameters: Parameters) -> None:
    """Of two raises in one plan the second may be one too many; what makes room goes first."""
    now = replace(parameters, cio_db=parameters.cio_db.copy())
    now.cio_db[network.relation_index[0, 1]] = 2.0
    now.cio_db[network.relation_index[1, 0]] = 2.0
    raises = plan("MRO", cio("S01-1", "S01-2", 2, 3), cio("S01-2", "S01-1", 2, 3))
    verdict = check(raises, network, now, GuardState(), 0.0, LIMITS)
    assert verdict.accepted == raises.changes[:1]
    assert verdict.refused[0].rule == "loop-free"
    swap = plan("MRO", cio("S01-1", "S01-2", 2, 4), cio("S01-2", "S01-1", 2, 1))
    assert check(swap, network, now, GuardState(), 0.0, LIMITS).accepted == swap.changes


def test_lower_thresholds_are_checked_on_every_relation_of_the_cell(
    network: Network, parameters: Parameters
) -> None:
    """With 5 dB of offsets on one pair, 6 dB of thresholds cannot become 5.5."""
    now = replace(parameters, cio_db=parameters.cio_db.copy())
    now.cio_db[network.relation_index[1, 2]] = 5.0
    for cell, passes in (("S01-1", True), ("S01-2", False), ("S01-3", False)):
        lower = plan("MRO", Change(cell, "a3_offset_db", 3.0, 2.5))
        verdict = check(lower, network, now, GuardState(), 0.0, LIMITS)
        assert bool(verdict.accepted) is passes
        assert [refusal.rule for refusal in verdict.refused] == ([] if passes else ["loop-free"])


def test_set_5_of_tr_36839_loops_and_may_only_get_better(network: Network) -> None:
    """Offset -1 dB, hysteresis 0 (TR 36.839 table 5.3.2.1): refused further in, not out."""
    set_5 = default_parameters(network, a3_offset_db=-1.0, time_to_trigger_s=0.04)
    deeper = plan("MRO", cio("S01-1", "S01-2", 0, 1))
    verdict = check(deeper, network, set_5, GuardState(), 0.0, LIMITS)
    assert [refusal.rule for refusal in verdict.refused] == ["loop-free"]
    out = plan("MRO", cio("S01-1", "S01-2", 0, -1))
    assert check(out, network, set_5, GuardState(), 0.0, LIMITS).accepted == out.changes


def test_memory_is_bounded() -> None:
    """Changes older than a day are forgotten, the offsets of balancing are not."""
    state = history((0.0, plan("MLB", ONE_WAY)), (100_000.0, plan("CCO", DOWN)))
    assert [made.function for made in state.made] == ["CCO"]
    assert state.balanced_db == {"S01-1->S01-2": 1.0}


def test_the_guard_keeps_its_state(network: Network, parameters: Parameters) -> None:
    """The first parameters checked are the base; what is recorded counts from then on."""
    guard = Guard()
    first = plan("CCO", DOWN)
    assert guard.check(first, network, parameters, 0.0).accepted == first.changes
    guard.record(first, 0.0)
    now = replace(parameters, electrical_tilt_deg=np.array([7.0, 6, 6, 6, 6, 6]))
    again = guard.check(plan("CCO", tilt("S01-1", 7, 8)), network, now, 60.0)
    assert [refusal.rule for refusal in again.refused] == ["interval"]
    assert guard.state.base is not None
    assert guard.state.base.electrical_tilt_deg[0] == 6.0
    guard.freeze()
    held = guard.check(plan("CCO", tilt("S01-2", 6, 7)), network, now, 1e6)
    assert [refusal.rule for refusal in held.refused] == ["frozen"]
    guard.freeze(False)
    assert guard.check(plan("CCO", tilt("S01-2", 6, 7)), network, now, 1e6).accepted
