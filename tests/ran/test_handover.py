"""Event A3, radio link monitoring, handover and the labels of failures, on a stage."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cellhive.ran import counters as n
from cellhive.ran.handover import (
    RULE_36839,
    RULE_38331,
    Procedures,
    attach,
    link_failed,
    timers,
)
from cellhive.ran.simulator import STEP_S
from cellhive.ran.users import (
    BLOCKED,
    COMMANDED,
    CONNECTED,
    EXECUTING,
    HIGHWAY,
    LOST,
    PREPARING,
    USER,
)

A, B, C = 0, 1, 2
AWAY = -160.0  # a level at which a cell does not exist
NOISE_DBM = -174 + 10 * np.log10(15e3) + 9  # of one resource element: -123.24 dBm


def settled(stage: Any, *dbm: float, **settings: Any) -> Any:
    """Return a stage with one user served by A, the levels given once it is connected."""
    made = stage(len(dbm), **settings)
    made.levels(-80.0, *[AWAY] * (len(dbm) - 1))
    made.run(0.2)
    assert made.users["serving"][0] == A
    assert made.users["state"][0] == CONNECTED
    made.levels(*dbm)
    return made


# ------------------------------------------------------------------ event A3


@pytest.mark.parametrize(
    ("offset", "hysteresis", "cio", "better_by", "enters"),
    [
        # Mn + Ocn - Hys > Mp + Off (TS 38.331 §5.5.4.4): by hand
        (3, 0, (0, 0), 2.9, False),
        (3, 0, (0, 0), 3.1, True),
        (3, 1, (0, 0), 3.9, False),
        (3, 1, (0, 0), 4.1, True),
        (3, 0, (2, 0), 0.9, False),
        (3, 0, (2, 0), 1.1, True),
        (3, 0, (-2, 0), 4.9, False),
        (3, 0, (-2, 0), 5.1, True),
        (3, 0, (0, 6), 2.9, False),  # the offset of the way back does not count
        (3, 0, (0, -6), 3.1, True),
        (-1, 0, (0, 0), -1.1, False),  # TR 36.839 set 5
        (-1, 0, (0, 0), -0.9, True),
        (-1, 0.5, (1, 0), -1.6, False),
        (-1, 0.5, (1, 0), -1.4, True),
    ],
)
def test_a3_truth_table(
    stage: Any, offset: float, hysteresis: float, cio: tuple[float, float], better_by: float,
    enters: bool,
) -> None:  # fmt: skip
    """The neighbour is asked exactly when its level, offsets counted, is above."""
    scene = settled(
        stage, -90.0, -90.0 + better_by,
        a3_offset_db=offset, hysteresis_db=hysteresis, cio_db=cio,
    )  # fmt: skip
    scene.run(1.0 if not enters else STEP_S)
    assert scene.count(n.PREPARATION_REQUEST, A) == enters
    assert scene.relation(n.RELATION_PREPARATION, A, B) == enters


def test_a_cell_without_a_relation_is_never_a_target(stage: Any) -> None:
    """However strong it is: event A3 looks at neighbours."""
    scene = settled(stage, -90.0, -70.0, -88.0, relations=[(A, C), (C, A)])
    scene.run(0.4)
    assert scene.count(n.PREPARATION_REQUEST) == 0


def test_the_best_of_the_reported_cells_is_the_target(stage: Any) -> None:
    """Best means level plus offset; the strongest cell can lose to a favoured one."""
    #                                A->B A->C B->A B->C C->A C->B
    scene = settled(stage, -90.0, -84.0, -86.0, cio_db=[0, 3, 0, 0, 0, 0])
    scene.run(STEP_S)
    assert scene.users["target"][0] == C


@pytest.mark.parametrize(
    ("time_to_trigger_s", "steps"),
    [(0.0, 0), (0.04, 1), (0.064, 2), (0.08, 2), (0.1, 3), (0.16, 4), (0.48, 12), (1.024, 26)],
)
def test_time_to_trigger(stage: Any, time_to_trigger_s: float, steps: int) -> None:
    """The request follows the first sample that enters by the time to trigger, rounded up."""
    scene = settled(stage, -90.0, -80.0, time_to_trigger_s=time_to_trigger_s)
    needed = scene.steps_until(lambda: scene.count(n.PREPARATION_REQUEST) > 0)
    assert needed == 1 + steps


def test_one_sample_below_restarts_the_time_to_trigger(stage: Any) -> None:
    """The condition must hold all the time."""
    scene = settled(stage, -90.0, -80.0, time_to_trigger_s=0.16)
    scene.simulator.advance(4)
    scene.levels(-90.0, -90.0)
    scene.simulator.advance(1)
    scene.levels(-90.0, -80.0)
    assert scene.steps_until(lambda: scene.count(n.PREPARATION_REQUEST) > 0) == 5


@pytest.mark.parametrize("k", [0, 1, 4, 8, 19])
def test_layer_3_filter_keeps_its_time_constant(stage: Any, k: int) -> None:
    """200 ms after a jump 1 - 1/2^(k/4) of it is left: half of it for k = 4."""
    scene = settled(stage, -80.0, AWAY, filter_coefficient=float(k), a3_offset_db=30.0)
    scene.run(20.0)
    scene.levels(-90.0, AWAY)
    scene.run(0.2)
    left = 1 - 0.5 ** (k / 4)
    assert scene.simulator.plant.l3_dbm[0, 0, A] == pytest.approx(-90 + 10 * left, abs=2e-3)


def test_measurement_error_has_the_stated_size_after_200_ms() -> None:
    """The mean of five samples has the error of the settings."""
    assert timers(Procedures(measurement_error_db=1.22), 0.04).sample_error_db == pytest.approx(
        1.22 * 5**0.5
    )


def test_a_driving_user_is_handed_over_where_the_levels_say(stage: Any) -> None:
    """Two cells on a line: B passes A by 3 dB at 530 m; three steps later it serves.

    A: -80 - 0.05 x, B: -130 + 0.05 x, so B - A = 0.1 x - 50 > 3 beyond x = 530 m. At
    25 m/s a step is 1 m: the first sample beyond is at 531 m, 160 ms later the request
    is sent at 535 m, and 50 + 40 ms are over after three steps, at 538 m.
    """
    scene = stage(2, a3_offset_db=3.0, time_to_trigger_s=0.16)
    scene.slopes((-80.0, -0.05), (-130.0, 0.05))
    scene.users["kind"], scene.users["x_m"], scene.users["y_m"] = HIGHWAY, 400.0, 0.0
    scene.users["east_m_s"] = 25.0
    scene.steps_until(lambda: scene.count(n.PREPARATION_REQUEST, A) > 0)
    assert scene.users["x_m"][0] == pytest.approx(535, abs=0.01)
    scene.steps_until(lambda: scene.count(n.EXECUTION_SUCCESS, A) > 0)
    assert scene.users["x_m"][0] == pytest.approx(538, abs=0.01)
    assert scene.users["serving"][0] == B
    scene.run(10.0)  # 250 m on, nothing else happens
    assert scene.count(n.PREPARATION_REQUEST) == 1
    assert scene.labels() == {}


# ------------------------------------------------------------------ handover


def test_handover_takes_preparation_and_execution_time(stage: Any) -> None:
    """50 ms until the command, 40 ms until arrival, on a grid of 40 ms: 2 + 1 steps."""
    scene = settled(stage, -90.0, -80.0)
    scene.simulator.advance(1)
    assert scene.users["state"][0] == PREPARING
    scene.simulator.advance(1)
    assert scene.users["state"][0] == PREPARING
    scene.simulator.advance(1)
    assert scene.users["state"][0] == EXECUTING
    assert scene.count(n.EXECUTION_REQUEST, A) == scene.count(n.PREPARATION_SUCCESS, A) == 1
    assert scene.users["rate_mbps"][0] == 0.0, "nothing is received while it moves"
    scene.simulator.advance(1)
    assert (scene.users["state"][0], scene.users["serving"][0]) == (CONNECTED, B)
    assert scene.count(n.EXECUTION_SUCCESS, A) == 1
    assert scene.relation(n.RELATION_SUCCESS, A, B) == 1
    assert scene.count(n.INTERRUPTED, A) == pytest.approx(STEP_S)


def test_ping_pong_is_a_return_within_the_minimum_stay(stage: Any) -> None:
    """It is blamed on the first handover, A to B, and on A."""
    scene = settled(stage, -90.0, -80.0)
    scene.run(0.2)
    scene.levels(-80.0, -90.0)
    scene.run(0.4)
    assert scene.users["serving"][0] == A
    assert scene.count(n.EXECUTION_SUCCESS) == 2
    assert scene.count(n.PING_PONG, A) == scene.count(n.PING_PONG) == 1
    assert scene.relation(n.RELATION_PING_PONG, A, B) == 1
    assert scene.relation(n.RELATION_PING_PONG, B, A) == 0


@pytest.mark.parametrize(("stay_s", "counted"), [(0.7, 1), (1.1, 0)])
def test_a_late_return_is_no_ping_pong(stage: Any, stay_s: float, counted: int) -> None:
    """Time of stay runs from arrival to arrival; the limit is 1 s (TR 36.839 §5.1)."""
    scene = settled(stage, -90.0, -80.0)
    scene.steps_until(lambda: scene.count(n.EXECUTION_SUCCESS) == 1)
    scene.run(stay_s)
    scene.levels(-80.0, -90.0)
    scene.steps_until(lambda: scene.count(n.EXECUTION_SUCCESS) == 2)
    assert scene.count(n.PING_PONG) == counted


def test_a_trip_over_a_third_cell_is_no_ping_pong(stage: Any) -> None:
    """A to B to C and back to A is not a return."""
    scene = settled(stage, -90.0, -80.0, -90.0)
    scene.run(0.2)
    scene.levels(-90.0, -90.0, -80.0)
    scene.run(0.2)
    scene.levels(-80.0, -90.0, -90.0)
    scene.run(0.2)
    assert scene.count(n.EXECUTION_SUCCESS) == 3
    assert scene.users["serving"][0] == A
    assert scene.count(n.PING_PONG) == 0


@pytest.mark.parametrize("how", ["asleep", "closing", "full"])
def test_preparation_fails_when_the_target_refuses(stage: Any, how: str) -> None:
    """A target that sleeps, is about to, or is full does not prepare."""
    scene = settled(stage, -90.0, -80.0, procedures=Procedures(max_connected=1))
    scene.simulator.advance(1)
    assert scene.users["state"][0] == PREPARING
    if how == "asleep":
        scene.sleep(B)
    elif how == "closing":
        scene.simulator.plant.closing[0, B] = 1
    for _ in range(2):
        if how == "full":
            scene.simulator.plant.connected[0, B] = 1
        scene.simulator.advance(1)
    assert scene.users["state"][0] == CONNECTED
    assert scene.users["serving"][0] == A
    assert scene.count(n.PREPARATION_FAILURE, A) == 1
    assert scene.count(n.PREPARATION_SUCCESS) == scene.count(n.EXECUTION_REQUEST) == 0


def test_a_full_cell_blocks_set_up(stage: Any) -> None:
    """Of two users that arrive one after the other, a cell for one admits one."""
    scene = stage(1, users=2, procedures=Procedures(max_connected=1))
    scene.levels(-80.0)
    scene.users["wait"][1] = 0.1
    scene.run(1.0)
    assert sorted(scene.users["state"].tolist()) == [CONNECTED, BLOCKED]
    assert scene.count(n.SETUP_ATTEMPT) == 2
    assert scene.count(n.SETUP_SUCCESS) == 1


@pytest.mark.parametrize(("level_dbm", "attempts"), [(-123.5, 1), (-124.5, 0)])
def test_no_set_up_below_the_weakest_level(stage: Any, level_dbm: float, attempts: int) -> None:
    """Below q_rx_lev_min no cell is selected, so nothing is even tried."""
    scene = stage(1)
    scene.levels(level_dbm)
    scene.run(0.2)
    assert scene.count(n.SETUP_ATTEMPT) == attempts
    assert scene.count(n.SETUP_SUCCESS) == attempts  # -0.3 dB of SINR suffice
    assert scene.users["state"][0] == (CONNECTED if attempts else BLOCKED)


def _with_t310_running(stage: Any, rule: int) -> Any:
    """Return a stage where a handover is prepared while T310 runs.

    B disturbs with 5 % of its power, so 22 dB more than A leave A a SINR of -9 dB.
    """
    procedures = Procedures(rule=rule, n311=10, t310_s=6.0)
    scene = settled(stage, -100.0, -78.0, procedures=procedures, time_to_trigger_s=2.56)
    scene.steps_until(lambda: scene.users["state"][0] == PREPARING)
    assert scene.users["t310_s"][0] > 0
    return scene


def test_command_is_lost_while_t310_runs_by_36839(stage: Any) -> None:
    """TR 36.839 §5.2.1.3, state 2: whatever the SINR is now, the failure is one of the link."""
    scene = _with_t310_running(stage, RULE_36839)
    scene.levels(-100.0, -83.0)  # -4 dB now
    scene.simulator.advance(2)
    assert scene.users["state"][0] == LOST
    assert scene.count(n.RADIO_LINK_FAILURE, A) == 1
    assert scene.count(n.PREPARATION_SUCCESS, A) == 1
    assert scene.count(n.EXECUTION_REQUEST) == 1  # sent, though in vain: TS 28.552 §5.1.1.6.1.7


def test_command_is_heard_while_t310_runs_by_38331(stage: Any) -> None:
    """Unless the SINR is below Qout at that moment."""
    scene = _with_t310_running(stage, RULE_38331)
    scene.levels(-100.0, -83.0)
    scene.simulator.advance(2)
    assert scene.users["state"][0] == EXECUTING
    assert scene.count(n.EXECUTION_REQUEST, A) == 1


def test_command_is_sent_again_below_q_out_by_38331(stage: Any) -> None:
    """Acknowledged mode repeats the one command until the SINR reaches Qout; T310 runs on."""
    scene = _with_t310_running(stage, RULE_38331)
    scene.simulator.advance(10)
    assert scene.users["state"][0] == COMMANDED
    assert scene.users["t310_s"][0] > 0
    assert scene.count(n.PREPARATION_REQUEST) == scene.count(n.EXECUTION_REQUEST) == 1
    scene.levels(-100.0, -83.0)
    scene.simulator.advance(1)
    assert scene.users["state"][0] == EXECUTING
    assert scene.count(n.PREPARATION_SUCCESS) == scene.count(n.EXECUTION_REQUEST) == 1
    assert scene.count(n.RADIO_LINK_FAILURE) == 0


def test_link_can_fail_before_the_command_is_heard(stage: Any) -> None:
    """T310 ends while the command is repeated: a failure in the source, not in the target."""
    scene = _with_t310_running(stage, RULE_38331)
    scene.steps_until(lambda: scene.users["state"][0] == LOST)
    assert scene.count(n.RADIO_LINK_FAILURE, A) == 1
    assert scene.count(n.EXECUTION_FAILURE) == scene.count(n.EXECUTION_SUCCESS) == 0


# ------------------------------------------------------------------ radio link monitoring


def _monitor(sinrs_db: list[float], **settings: Any) -> tuple[int | None, Any]:
    """Return at which step (from 1) the link fails, or None, and the user."""
    user = np.zeros(1, USER)
    procedures = timers(Procedures(**settings), STEP_S)
    attach(user[0], 0, 10 ** (sinrs_db[0] / 10))
    for step, sinr_db in enumerate(sinrs_db, 1):
        if link_failed(user[0], 10 ** (sinr_db / 10), procedures):
            return step, user[0]
    return None, user[0]


BAD, BETWEEN, GOOD = -20.0, -7.0, 20.0


@pytest.mark.parametrize(
    ("settings", "fails_at"),
    [
        ({"t310_s": 1.0}, 1 + 25),
        ({"t310_s": 0.05}, 1 + 2),
        ({"t310_s": 0.0}, 1),
        ({"t310_s": 2.0}, 1 + 50),
        ({"t310_s": 1.0, "n310": 2}, 6 + 25),  # out of sync again 200 ms after the first time
        ({"t310_s": 1.0, "n310": 4}, 16 + 25),
        ({"t310_s": 1.0, "n310": 20}, 96 + 25),
    ],
)
def test_link_fails_after_n310_and_t310(settings: dict[str, Any], fails_at: int) -> None:
    """The first bad step counts, then N310 - 1 windows of 200 ms, then T310 in steps."""
    assert _monitor([BAD] * 200, **settings)[0] == fails_at


@pytest.mark.parametrize(("n311", "good_steps"), [(1, 1), (2, 3), (3, 6), (10, 23)])
def test_link_recovers_after_n311(n311: int, good_steps: int) -> None:
    """T310 stops once the link has been good for more than N311 - 1 windows of 100 ms."""
    recovered, user = _monitor([BAD] * 2 + [GOOD] * good_steps, n311=n311)
    assert recovered is None
    assert user["t310_s"] == 0
    _, user = _monitor([BAD] * 2 + [GOOD] * (good_steps - 1), n311=n311)
    assert user["t310_s"] > 0


def test_between_the_thresholds_nothing_changes() -> None:
    """Between Qout and Qin T310 neither starts nor stops."""
    never, user = _monitor([BETWEEN] * 200)
    assert never is None
    assert user["t310_s"] == 0
    failed, _ = _monitor([BAD] * 5 + [BETWEEN] * 200, t310_s=1.0)
    assert failed == 26


def test_n310_must_be_in_a_row() -> None:
    """One good step between bad ones starts the count again."""
    failed, _ = _monitor(([BAD] * 5 + [GOOD]) * 30, n310=2)
    assert failed is None


def test_out_of_sync_is_judged_on_an_average_of_200_ms() -> None:
    """From 0 dB to nothing: k of 5 samples of 1 leave the mean below Qout = 0.158 at k = 0."""
    _, user = _monitor([0.0] * 5 + [-60.0] * 4)
    assert user["t310_s"] == 0
    _, user = _monitor([0.0] * 5 + [-60.0] * 5)
    assert user["t310_s"] == pytest.approx(1.0)


# ------------------------------------------------------------------ failures and their labels


def test_coverage_hole(stage: Any) -> None:
    """The link fails where no cell is, and comes back in the same cell."""
    scene = settled(stage, -135.0, AWAY, AWAY)
    scene.steps_until(lambda: scene.users["state"][0] == LOST)
    assert scene.count(n.RADIO_LINK_FAILURE, A) == 1
    scene.run(2.0)
    assert scene.users["state"][0] == LOST, "there is no cell to come back in"
    scene.levels(-90.0, AWAY, AWAY)
    scene.run(0.4)
    assert scene.users["state"][0] == CONNECTED
    assert scene.labels() == {"coverage hole": [A]}
    assert scene.count(n.REESTABLISHMENT, A) == 1


def test_too_late(stage: Any) -> None:
    """The link to A fails before the handover: blamed on A towards B."""
    scene = settled(stage, -135.0, -85.0, AWAY, time_to_trigger_s=5.12)
    scene.steps_until(lambda: scene.count(n.REESTABLISHMENT, B) == 1)
    assert scene.labels() == {"too late": [A]}
    assert scene.relation(n.RELATION_TOO_LATE, A, B) == 1
    assert scene.simulator.plant.relations[0, :, n.RELATION_TOO_LATE].sum() == 1
    assert scene.count(n.RADIO_LINK_FAILURE, A) == 1


def test_reestablishment_takes_its_time(stage: Any) -> None:
    """The user is interrupted from the failure to the return, 400 ms."""
    scene = settled(stage, -135.0, -85.0, AWAY, time_to_trigger_s=5.12)
    scene.steps_until(lambda: scene.users["state"][0] == LOST)
    assert scene.steps_until(lambda: scene.users["state"][0] == CONNECTED) in (10, 11)
    assert scene.count(n.INTERRUPTED, A) == pytest.approx(0.4, abs=STEP_S + 1e-6)


def _arrive_in_b(stage: Any, **settings: Any) -> Any:
    scene = settled(stage, -90.0, -80.0, -150.0, **settings)
    scene.steps_until(lambda: scene.count(n.EXECUTION_SUCCESS, A) == 1)
    return scene


def test_too_early(stage: Any) -> None:
    """B vanishes after the handover and the user comes back in A: blamed on A towards B."""
    scene = _arrive_in_b(stage, a3_offset_db=3.0, time_to_trigger_s=[0.0, 5.12, 0.0])
    scene.levels(-85.0, -140.0, -150.0)
    scene.steps_until(lambda: scene.count(n.REESTABLISHMENT, A) == 1)
    assert scene.labels() == {"too early": [A]}
    assert scene.relation(n.RELATION_TOO_EARLY, A, B) == 1
    assert scene.count(n.RADIO_LINK_FAILURE, B) == 1


def test_wrong_cell(stage: Any) -> None:
    """B vanishes after the handover and C takes over: A should have chosen C."""
    scene = _arrive_in_b(stage, time_to_trigger_s=[0.0, 5.12, 0.0])
    scene.levels(-100.0, -140.0, -85.0)
    scene.steps_until(lambda: scene.count(n.REESTABLISHMENT, C) == 1)
    assert scene.labels() == {"wrong cell": [A]}
    assert scene.relation(n.RELATION_WRONG_CELL, A, B) == 1
    assert scene.relation(n.RELATION_WRONG_TAKEN, A, C) == 1


@pytest.mark.parametrize(
    ("store_context_s", "label"), [(5.0, {"too early": [A]}), (2.0, {"too late": [B]})]
)
def test_after_the_context_is_gone_the_handover_is_not_to_blame(
    stage: Any, store_context_s: float, label: dict[str, list[int]]
) -> None:
    """The same failure three seconds after the handover, within and beyond Tstore."""
    procedures = Procedures(store_context_s=store_context_s)
    scene = _arrive_in_b(stage, time_to_trigger_s=[0.0, 5.12, 0.0], procedures=procedures)
    scene.run(0.8)
    scene.levels(-85.0, -140.0, -150.0)
    scene.steps_until(lambda: scene.count(n.REESTABLISHMENT, A) == 1)
    assert scene.labels() == label


def test_failed_access_in_the_target(stage: Any) -> None:
    """TR 36.839 state 3: the target is gone when the user arrives; back in A is too early."""
    scene = settled(stage, -90.0, -80.0, -150.0)
    scene.steps_until(lambda: scene.users["state"][0] == EXECUTING)
    scene.levels(-90.0, -140.0, -150.0)
    scene.simulator.advance(1)
    assert scene.users["state"][0] == LOST
    assert scene.count(n.EXECUTION_FAILURE, A) == 1
    assert scene.relation(n.RELATION_FAILURE, A, B) == 1
    assert scene.count(n.RADIO_LINK_FAILURE) == 0, "a failed handover is not counted twice"
    scene.steps_until(lambda: scene.count(n.REESTABLISHMENT, A) == 1)
    assert scene.labels() == {"too early": [A]}


def test_failed_access_and_a_third_cell(stage: Any) -> None:
    """The target is gone when the user arrives, and C takes over: wrong cell."""
    scene = settled(stage, -90.0, -80.0, -150.0)
    scene.steps_until(lambda: scene.users["state"][0] == EXECUTING)
    scene.levels(-100.0, -140.0, -80.0)
    scene.steps_until(lambda: scene.count(n.REESTABLISHMENT, C) == 1)
    assert scene.labels() == {"wrong cell": [A]}
    assert scene.relation(n.RELATION_WRONG_TAKEN, A, C) == 1


def test_failed_access_mended_in_the_target_has_no_label(stage: Any) -> None:
    """The user comes back where it was sent: nothing to correct."""
    scene = settled(stage, -90.0, -80.0, -150.0)
    scene.steps_until(lambda: scene.users["state"][0] == EXECUTING)
    scene.levels(-90.0, -140.0, -150.0)
    scene.simulator.advance(1)
    scene.levels(-90.0, -80.0, -150.0)
    scene.steps_until(lambda: scene.count(n.REESTABLISHMENT, B) == 1)
    assert scene.labels() == {}


def test_a_failure_later_on_is_not_blamed_on_a_handover_before_the_last_failure(
    stage: Any,
) -> None:
    """Re-establishment forgets the handover: the next failure stands alone."""
    scene = _arrive_in_b(stage, time_to_trigger_s=[5.12, 5.12, 0.0])
    scene.levels(-85.0, -140.0, -150.0)
    scene.steps_until(lambda: scene.count(n.REESTABLISHMENT, A) == 1)
    scene.levels(-140.0, -85.0, -150.0)
    scene.steps_until(lambda: scene.count(n.REESTABLISHMENT, B) == 1)
    assert scene.labels() == {"too early": [A], "too late": [A]}


def test_noise_floor_decides_the_sinr_of_a_lonely_cell(stage: Any) -> None:
    """Without neighbours SINR is level minus -123.24 dBm."""
    scene = settled(stage, -100.0)
    scene.run(STEP_S)
    assert 10 * np.log10(scene.users["sinr"][0]) == pytest.approx(-100 - NOISE_DBM, abs=1e-3)
