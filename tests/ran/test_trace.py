"""The handover machine on recorded levels: hand-made traces, and traces taken from the twin."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cellhive.core.errors import BadInput
from cellhive.core.types import Floats
from cellhive.ran import kernel
from cellhive.ran.handover import RULE_36839, RULE_38331, Procedures
from cellhive.ran.layout import SiteDesign, hex_grid
from cellhive.ran.plant import NO_RELATION_DB
from cellhive.ran.scenarios import Scenario, build_world
from cellhive.ran.simulator import STEP_S, Simulator
from cellhive.ran.trace import Kind, Label, Replayed, ReplaySettings, joined_levels, replay_rsrp
from cellhive.ran.users import COMMANDED, CONNECTED, EXECUTING, LOST, PREPARING, Traffic, UserMix

NAN = float("nan")
QUICK = ReplaySettings(time_to_trigger_s=0.0, filter_coefficient=0.0)
"""Acts on a single sample, so that times can be told by hand."""
NO_ERROR = Procedures(measurement_error_db=0.0)


def steps(*parts: tuple[float, tuple[float, ...]]) -> Floats:
    """Return levels [dBm], (T, C), that stand for given times [s], in samples of 40 ms."""
    return np.concatenate([np.tile(levels, (round(s / STEP_S), 1)) for s, levels in parts])


def happened(replayed: Replayed) -> list[tuple[Kind, int, int]]:
    """Return what happened and between which cells, without where the replay began."""
    return [(e.kind, e.source, e.target) for e in replayed.events if e.kind is not Kind.PLACED]


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
        (-1, 0, (0, 9), -1.1, False),
        (-1, 0, (0, -9), -0.9, True),
    ],
)
def test_a3_truth_table(
    offset: float, hysteresis: float, cio: tuple[float, float], better_by: float, enters: bool
) -> None:
    """A handover is asked for exactly when the neighbour's level, offsets counted, is above."""
    cio_db = np.array([[0.0, cio[0]], [cio[1], 0.0]])
    settings = replace(QUICK, a3_offset_db=offset, hysteresis_db=hysteresis, cio_db=cio_db)
    levels = steps((0.2, (-80.0, NAN)), (0.08, (-90.0, -90.0 + better_by)))
    replayed = replay_rsrp(levels, STEP_S, settings)
    assert replayed.count(Kind.TRIGGERED) == enters


@pytest.mark.parametrize(
    ("time_to_trigger_s", "after_s"),
    [(0.0, 0.0), (0.04, 0.04), (0.1, 0.12), (0.16, 0.16), (0.48, 0.48)],
)
def test_time_to_trigger_and_the_times_of_a_handover(
    time_to_trigger_s: float, after_s: float
) -> None:
    """It is asked for that long (whole steps) after the first sample that enters.

    It is done 50 + 40 ms later, on the 40 ms grid: two steps until the command is sent
    (the rest of 30 ms counts in favour of the execution), one more until it is executed.
    """
    levels = steps((1.0, (-80.0, -90.0)), (2.0, (-90.0, -80.0)))
    settings = replace(QUICK, time_to_trigger_s=time_to_trigger_s)
    asked, done = [e for e in replay_rsrp(levels, STEP_S, settings).events if e.source == 0]
    assert (asked.kind, done.kind) == (Kind.TRIGGERED, Kind.HANDOVER)
    assert asked.time_s == pytest.approx(1.0 + after_s)
    assert done.time_s == pytest.approx(asked.time_s + 0.12)
    assert (done.source_dbm, done.target_dbm) == (-90.0, -80.0)


def test_the_filter_delays_by_what_its_coefficient_says() -> None:
    """k = 4 leaves half of a step after 200 ms: a step of 12 dB passes 6 dB just then."""
    levels = steps((1.0, (-80.0, -86.0)), (2.0, (-80.0, -74.0)))
    settings = replace(QUICK, filter_coefficient=4.0, a3_offset_db=-0.5)
    asked = replay_rsrp(levels, STEP_S, settings).events[1]
    # -86 + 12 (1 - 0.5^(t / 200 ms)) > -80.5 from t = 176.3 ms on: the fifth sample
    assert asked.time_s == pytest.approx(1.0 + 4 * STEP_S)


def test_levels_between_samples_lie_on_a_line() -> None:
    """With a sample a second, the crossing is found between them: at 0.4 s, by hand."""
    replayed = replay_rsrp(np.array([[-80.0, -89.0], [-88.0, -80.0]]), 1.0, QUICK)
    # B - A = -9 + 17 t > 3 from t = 0.706 on: step 18
    assert replayed.events[1].time_s == pytest.approx(18 * STEP_S)


# ------------------------------------------------------------------ what is not measured


def test_gaps_are_joined_held_or_left() -> None:
    """A short gap is a line, a long one is held for a while and then absent."""
    levels = np.array([[NAN, -80, NAN, -86, NAN, NAN, NAN, -90, NAN, NAN]], float).T
    joined = joined_levels(levels, 1.0, join_s=2.0, hold_s=1.0)[:, 0]
    expected = [NAN, -80, -83, -86, -86, NAN, NAN, -90, -90, NAN]
    np.testing.assert_array_equal(joined, expected)


def test_a_cell_that_is_not_measured_is_no_target() -> None:
    """Its last level does not live on in the filter either: it starts afresh."""
    levels = steps((0.4, (-80.0, -85.0)), (1.0, (-80.0, NAN)), (0.2, (-80.0, -78.0)))
    settings = replace(QUICK, filter_coefficient=8.0, a3_offset_db=1.0, join_s=0.0, hold_s=0.0)
    asked = replay_rsrp(levels, STEP_S, settings).events[1]
    assert asked.time_s == pytest.approx(1.4)  # at once: the first sample fills the filter


def test_out_of_sight_is_no_failure() -> None:
    """Where the serving cell is not in the recording, the user waits where the phone is."""
    levels = steps((0.4, (-80.0, NAN)), (1.0, (NAN, NAN)), (1.0, (NAN, -85.0)))
    settings = replace(QUICK, join_s=0.0, hold_s=0.2)
    replayed = replay_rsrp(levels, STEP_S, settings)
    assert [(e.kind, e.target) for e in replayed.events] == [(Kind.PLACED, 0), (Kind.PLACED, 1)]
    assert replayed.events[1].time_s == pytest.approx(1.4)
    blind = round((1.4 - 0.6) / STEP_S)  # from the end of the hold to the next cell
    assert np.count_nonzero(~replayed.in_sight) == blind
    assert np.isnan(replayed.rsrp_dbm[~replayed.in_sight]).all()


def test_a_floor_says_that_unmeasured_means_gone() -> None:
    """Then the link fails when T310 expires, and the user comes back where there is a cell."""
    levels = steps((0.4, (-80.0, NAN)), (3.0, (NAN, -85.0)))
    settings = replace(QUICK, join_s=0.0, hold_s=0.0, floor_dbm=-140.0, a3_offset_db=90.0)
    replayed = replay_rsrp(levels, STEP_S, settings)
    assert happened(replayed) == [
        (Kind.RADIO_LINK_FAILURE, 0, -1), (Kind.REESTABLISHMENT, 0, 1),
    ]  # fmt: skip
    assert replayed.count(Kind.REESTABLISHMENT, Label.TOO_LATE) == 1


def test_the_replay_begins_where_the_phone_was() -> None:
    """Not in the strongest cell, unless nobody knows better."""
    levels = steps((0.2, (-80.0, -81.0)))
    told = np.full(5, 1)
    assert replay_rsrp(levels, STEP_S).serving.tolist() == [0] * 5
    assert replay_rsrp(levels, STEP_S, recorded=(told, None)).serving.tolist() == [1] * 5


# ------------------------------------------------------------------ failures and labels


def test_radio_link_failure_after_t310() -> None:
    """Five samples below Qout make an indication; T310 later the link has failed."""
    levels = steps((1.0, (-80.0, -100.0)), (2.0, (-95.0, -80.0)))
    procedures = replace(NO_ERROR, t310_s=0.5)
    settings = replace(QUICK, a3_offset_db=90.0, procedures=procedures)
    replayed = replay_rsrp(levels, STEP_S, settings, interference=1.0)
    failed = next(e for e in replayed.events if e.kind is Kind.RADIO_LINK_FAILURE)
    # SINR goes from +20 dB (100) to -15 dB (0.032): mean of five below -8 dB (0.158) only
    # when the last 100 has left, with the fifth sample at -15 dB. 1.16 s + 0.5 s.
    assert failed.time_s == pytest.approx(1.0 + 4 * STEP_S + 0.5, abs=1.5 * STEP_S)
    back = next(e for e in replayed.events if e.kind is Kind.REESTABLISHMENT)
    assert (back.target, back.label) == (1, Label.TOO_LATE)
    assert back.time_s == pytest.approx(failed.time_s + 0.4, abs=1.5 * STEP_S)
    interrupted_s = np.count_nonzero(replayed.interrupted) * STEP_S
    assert interrupted_s == pytest.approx(back.time_s - failed.time_s)


def test_a_recorded_sinr_replaces_the_derived_one() -> None:
    """The same levels with a good recorded SINR lose no link."""
    levels = steps((1.0, (-80.0, -100.0)), (2.0, (-95.0, -80.0)))
    settings = replace(QUICK, a3_offset_db=90.0)
    derived = replay_rsrp(levels, STEP_S, settings, interference=1.0)
    told = replay_rsrp(
        levels, STEP_S, settings, interference=1.0, sinr_db=np.full(levels.shape, 5.0)
    )
    assert derived.count(Kind.RADIO_LINK_FAILURE) == 1
    assert told.count(Kind.RADIO_LINK_FAILURE) == 0
    assert told.sinr_db[-1] == pytest.approx(5.0, abs=1e-4)


def test_interference_is_of_the_same_carrier_and_in_proportion_to_load() -> None:
    """SINR of -90 against -93 dBm: 3 dB at full load, 6 dB at half, noise alone elsewhere."""
    levels = steps((0.2, (-90.0, -93.0)))
    full = replay_rsrp(levels, STEP_S, interference=1.0).sinr_db[-1]
    half = replay_rsrp(levels, STEP_S, interference=0.5).sinr_db[-1]
    other = replay_rsrp(levels, STEP_S, recorded=(None, np.array([0, 1]))).sinr_db[-1]
    assert full == pytest.approx(3.0, abs=0.01)
    assert half == pytest.approx(6.0, abs=0.01)
    assert other == pytest.approx(-90 + 123.24, abs=0.01)  # 15 kHz, 9 dB noise figure


@pytest.mark.parametrize(("stay_s", "label"), [(0.6, Label.PING_PONG), (1.4, Label.NONE)])
def test_ping_pong_is_a_return_within_a_second(stay_s: float, label: Label) -> None:
    """A to B and back: the time of stay in B decides (TR 36.839 definition 6)."""
    levels = steps((1.0, (-80.0, -90.0)), (stay_s, (-90.0, -80.0)), (1.0, (-80.0, -90.0)))
    first, back = [e for e in replay_rsrp(levels, STEP_S, QUICK).events if e.kind is Kind.HANDOVER]
    assert (first.label, back.label) == (Label.NONE, label)


def test_handover_failure_and_its_label() -> None:
    """The target is gone on arrival; the user comes back to the source: too early."""
    gone = -135.0
    levels = steps((1.0, (-80.0, -90.0)), (0.08, (-90.0, -80.0)), (2.0, (-85.0, gone)))
    replayed = replay_rsrp(levels, STEP_S, QUICK)
    assert happened(replayed) == [
        (Kind.TRIGGERED, 0, 1), (Kind.HANDOVER_FAILURE, 0, 1), (Kind.REESTABLISHMENT, 0, 0),
    ]  # fmt: skip
    assert replayed.count(Kind.REESTABLISHMENT, Label.TOO_EARLY) == 1


def test_failure_soon_after_a_handover_that_ends_elsewhere_is_blamed_on_the_target() -> None:
    """A to B, B fails at once, back in C: wrong cell."""
    levels = steps(
        (1.0, (-80.0, -90.0, NAN)), (0.24, (-90.0, -80.0, NAN)), (2.0, (-120.0, -120.0, -85.0))
    )
    settings = replace(QUICK, a3_offset_db=6.0, procedures=replace(NO_ERROR, t310_s=0.0))
    cio = np.zeros((3, 3))
    cio[1, 2] = NO_RELATION_DB
    replayed = replay_rsrp(levels, STEP_S, replace(settings, cio_db=cio), interference=0.05)
    assert happened(replayed)[-1] == (Kind.REESTABLISHMENT, 1, 2)
    assert replayed.count(Kind.REESTABLISHMENT, Label.WRONG_CELL) == 1


# ------------------------------------------------------------------ the twin as its own log


def recorded_from_twin(
    seconds: float, procedures: Procedures, **changed: Any
) -> tuple[Simulator, dict[str, Floats]]:
    """Run a small network and write down what a perfect phone in each user's hand would."""
    scenario = Scenario(
        "grid", "Streets between seven sites.", (),
        lambda: hex_grid(7, 350.0, SiteDesign(carrier_hz=3.5e9)), users_per_cell=8,
        mix=UserMix(users=0, indoor_share=0.0, pedestrian_share=0.0, street_share=1.0),
        traffic=Traffic(mean_session_s=30.0, mean_pause_s=5.0), tilt_deg=6.0,
    )  # fmt: skip
    world, parameters = build_world(scenario, 5)
    world = replace(world, procedures=procedures)
    cells = world.network.cells
    parameters = replace(
        parameters, **{name: np.full(cells, value) for name, value in changed.items()}
    )
    simulator = Simulator(world, [parameters], [11])
    plant, site = simulator.plant, simulator._site
    plant.activity[:] = 1.0
    users = plant.users[0]
    count, log = round(seconds / STEP_S), {}
    for name, width in (("rsrp", plant.load.shape[1]), ("state", 1), ("serving", 1), ("target", 1)):
        log[name] = np.zeros((count, users.size, width), np.float32)
    log["load"] = np.zeros((count, plant.load.shape[1]), np.float32)
    none = np.zeros((site.carriers, plant.load.shape[1]), np.float32)
    for step in range(count):
        log["load"][step] = plant.load[0]
        simulator.advance(1)
        for u in range(users.size):
            corner, part = kernel._pixel(
                users[u], site.west_m, site.south_m, site.pixel_m, site.rows, site.columns
            )
            kernel.measure(
                plant.gain_db[0], corner, part, plant.power_dbm[0], users[u]["loss_db"], none, 0,
                log["rsrp"][step, u],
            )  # fmt: skip
        for name in ("state", "serving", "target"):
            log[name][step, :, 0] = users[name]
    return simulator, {k: v[..., 0] if v.shape[-1] == 1 else v for k, v in log.items()}


def twin_events(log: dict[str, Floats], u: int, start: int, end: int) -> list[tuple[Any, ...]]:
    """Return what one user of the twin went through, from its states step by step."""
    seen = []
    state, serving, target = (
        log[name][:, u].astype(int) for name in ("state", "serving", "target")
    )
    for t in range(start + 1, end):
        was, now = state[t - 1], state[t]
        if (was, now) == (CONNECTED, PREPARING):
            seen.append((t - start, Kind.TRIGGERED, serving[t], target[t]))
        elif (was, now) == (EXECUTING, CONNECTED):
            seen.append((t - start, Kind.HANDOVER, serving[t - 1], serving[t]))
        elif (was, now) == (EXECUTING, LOST):
            seen.append((t - start, Kind.HANDOVER_FAILURE, serving[t - 1], target[t - 1]))
        elif was != LOST and now == LOST:
            seen.append((t - start, Kind.RADIO_LINK_FAILURE, serving[t - 1], target[t - 1]))
        elif (was, now) == (LOST, CONNECTED):
            seen.append((t - start, Kind.REESTABLISHMENT, serving[t - 1], serving[t]))
    return seen


@pytest.mark.parametrize(
    ("offset_db", "trigger_s", "rule", "expected_most"),
    [
        (2.0, 0.08, RULE_38331, Kind.HANDOVER),
        (7.0, 0.64, RULE_38331, Kind.RADIO_LINK_FAILURE),
        (5.0, 0.48, RULE_36839, Kind.RADIO_LINK_FAILURE),
    ],
)
def test_the_replay_of_the_twin_is_the_twin(
    offset_db: float, trigger_s: float, rule: int, expected_most: Kind
) -> None:
    """On the levels and loads of the twin the machine does, step for step, what the twin did."""
    procedures = replace(NO_ERROR, rule=rule)
    simulator, log = recorded_from_twin(
        40.0, procedures, a3_offset_db=offset_db, time_to_trigger_s=trigger_s
    )
    network = simulator.world.network
    cells = network.cells
    relations = simulator.plant.offset_db[0, :cells, :cells].astype(float)
    parameters = simulator.parameters(0)
    settings = ReplaySettings(
        a3_offset_db=offset_db, time_to_trigger_s=trigger_s, cio_db=relations,
        hysteresis_db=float(parameters.hysteresis_db[0]),
        filter_coefficient=float(parameters.filter_coefficient[0]), procedures=procedures,
    )  # fmt: skip
    kinds: list[Kind] = []
    state = log["state"].astype(int)
    linked = np.isin(state, [CONNECTED, PREPARING, EXECUTING, LOST, COMMANDED])
    for u in range(state.shape[1]):
        edges = np.flatnonzero(np.diff(np.concatenate(([0], linked[:, u], [0]))))
        for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            if start == 0:
                continue
            serving = np.full(end - start, int(log["serving"][start, u]))
            replayed = replay_rsrp(
                log["rsrp"][start:end, u, :cells].astype(float), STEP_S, settings,
                interference=log["load"][start:end, :cells].astype(float),
                recorded=(serving, network.carrier_index),
            )  # fmt: skip
            told = [
                (round(e.time_s / STEP_S), e.kind, e.source, e.target) for e in replayed.events[1:]
            ]
            expected = twin_events(log, u, start, end)
            for event in expected:
                kinds.append(event[1])
            assert [t[:3] for t in told] == [t[:3] for t in expected], (u, start)
    assert kinds.count(expected_most) > 20  # otherwise nothing was compared


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("levels", "dt_s", "more", "word"),
    [
        (np.zeros(4), 1.0, {}, "rsrp_dbm"),
        (np.full((4, 2), -80.0), 0.01, {}, "dt_s"),
        (np.full((4, 2), 80.0), 1.0, {}, "rsrp_dbm"),
        (np.full((4, 2), -80.0), 1.0, {"interference": 1.5}, "interference"),
        (np.full((4, 2), -80.0), 1.0, {"interference": np.ones(3)}, "interference"),
        (np.full((4, 2), -80.0), 1.0, {"sinr_db": np.ones((3, 2))}, "sinr_db"),
        (np.full((4, 2), -80.0), 1.0, {"recorded": (np.full(4, 2), None)}, "serving"),
    ],
)
def test_what_cannot_be_replayed_is_named(
    levels: Floats, dt_s: float, more: dict[str, Any], word: str
) -> None:
    """The message says which input is wrong."""
    with pytest.raises(BadInput, match=word):
        replay_rsrp(levels, dt_s, **more)
