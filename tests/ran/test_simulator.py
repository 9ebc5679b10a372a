"""Determinism, exact branches, batches, and what applying a plan does."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cellhive.core.errors import BadInput, Conflict
from cellhive.core.types import Change, KpiFrame, Parameters, Plan
from cellhive.ran import counters as n
from cellhive.ran.energy import WAKE_UP_J
from cellhive.ran.layout import SiteDesign, hex_grid
from cellhive.ran.radio_map import cell_gain_db
from cellhive.ran.scenarios import Scenario, build_world
from cellhive.ran.simulator import Clock, Simulator, Twin, World
from cellhive.ran.users import Traffic, UserMix, place_users

EXOGENOUS = ("x_m", "y_m", "east_m_s", "north_m_s", "leg_left_m", "legs", "sessions", "wait",
             "session_left_s", "gbr", "demand_mbps")  # fmt: skip
"""Fields of users that no decision may change."""
CLOCK = Clock(period_s=900.0, observed_s=6.0, warm_up_s=6.0, start_s=0.0)


@pytest.fixture(scope="module")
def place() -> tuple[World, Parameters]:
    """One site with two layers, six cells, under loads that matter."""
    design = SiteDesign(carrier_hz=1.8e9, capacity_carrier_hz=2.6e9)
    scenario = Scenario(
        "pair", "Two layers.", (), lambda: hex_grid(1, 500.0, design), users_per_cell=10,
        mix=UserMix(users=0, indoor_share=0.3, pedestrian_share=0.2, street_share=0.5),
        traffic=Traffic(mean_session_s=5.0, mean_pause_s=5.0), capacity_offset_db=6.0,
        tilt_deg=6.0,
    )  # fmt: skip
    return build_world(scenario, 3)


def steady(_: float) -> Any:
    """Return an activity that never changes."""
    return np.array([1.0])


@pytest.fixture
def twin(place: tuple[World, Parameters]) -> Callable[..., Twin]:
    """Build a twin of the place."""

    def build(seed: int = 1, clock: Clock = CLOCK) -> Twin:
        world, parameters = place
        return Twin(world, parameters, seed=seed, clock=clock, activity=steady)

    return build


def simulator(place: tuple[World, Parameters], *seeds: int, **changed: Any) -> Simulator:
    """Return a batch with some parameters changed in all networks."""
    world, parameters = place
    made = Simulator(world, [replace(parameters, **changed)] * len(seeds), seeds)
    made.plant.activity[:] = 1.0
    return made


def plan(*changes: Change) -> Plan:
    """Return a plan of changes."""
    return Plan("p", "operator", 0.0, changes)


def change(twin: Twin, cell: int, parameter: str, after: float) -> Change:
    """Return the change of one cell parameter from its present value."""
    before = float(getattr(twin.parameters(), parameter)[cell])
    return Change(twin.network.cell_ids[cell], parameter, before, after)


def same(left: KpiFrame, right: KpiFrame) -> bool:
    """Return whether two frames are equal bit for bit."""
    return (
        left.values.tobytes() == right.values.tobytes()
        and left.relation_values.tobytes() == right.relation_values.tobytes()
        and (left.time_s, left.observed_s) == (right.time_s, right.observed_s)
    )


def state(made: Simulator, e: int = 0) -> dict[str, bytes]:
    """Return the whole state of one network as bytes, array by array."""
    arrays = {k: v for k, v in made.plant._asdict().items() if k not in ("gain_db", "gain_of")}
    gain = made.plant.gain_db[made.plant.gain_of[e]]
    return {"gain_db": gain.tobytes()} | {k: v[e].tobytes() for k, v in arrays.items()}


# ------------------------------------------------------------------ determinism


def test_the_same_seed_gives_the_same_frames(twin: Callable[..., Twin]) -> None:
    """Two twins built alike report the same bits, period after period."""
    left, right = twin(5), twin(5)
    for _ in range(3):
        assert same(left.observe(), right.observe())
    assert state(left.simulator) == state(right.simulator)


def test_another_seed_gives_other_frames(twin: Callable[..., Twin]) -> None:
    """Other users, other sessions, other measurement errors."""
    assert not same(twin(5).observe(), twin(6).observe())


def test_time_may_be_cut_anywhere(place: tuple[World, Parameters]) -> None:
    """100 steps in one call are 1 + 41 + 58 steps in three."""
    whole, pieces = simulator(place, 4), simulator(place, 4)
    whole.advance(100)
    for steps in (1, 41, 0, 58):
        pieces.advance(steps)
    assert whole.step == pieces.step == 100
    assert state(whole) == state(pieces)


def test_a_batch_is_its_networks_one_by_one(place: tuple[World, Parameters]) -> None:
    """Three networks, one with other tilts and offsets, equal three runs of one."""
    world, parameters = place
    tilted = replace(
        parameters,
        electrical_tilt_deg=parameters.electrical_tilt_deg + np.array([0, 3, 0, 0, 0, -2]),
    )
    biased = replace(parameters, cio_db=np.full(world.network.relations, 2.0))
    settings, seeds = [parameters, tilted, biased], [7, 7, 8]
    batch = Simulator(world, settings, seeds)
    batch.plant.activity[:] = 1.0
    batch.advance(150)
    for e in range(3):
        single = Simulator(world, [settings[e]], [seeds[e]])
        single.plant.activity[:] = 1.0
        single.advance(150)
        assert state(batch, e) == state(single)
    assert batch.networks == 3
    assert state(batch, 0) != state(batch, 1)
    assert batch.plant.gain_db.shape[0] == 3, "tilts differ, so maps do"
    assert simulator(place, 1, 2, 3).plant.gain_db.shape[0] == 1, "equal tilts share one map"


# ------------------------------------------------------------------ branches


def test_where_arrays_lie_changes_nothing(place: tuple[World, Parameters]) -> None:
    """A thread has memory of its own; what is computed there is the same, bit for bit."""
    here = simulator(place, 4)
    here.advance(60)

    def advanced(steps: int) -> list[bytes]:
        branch = here.clone()
        states = []
        for _ in range(steps):
            branch.advance(1)
            states.append(branch.plant.users.tobytes() + branch.plant.cells.tobytes())
        return states

    with ThreadPoolExecutor(max_workers=1) as pool:
        assert pool.submit(advanced, 200).result() == advanced(200)


def test_other_users_can_take_the_place_of_all(place: tuple[World, Parameters]) -> None:
    """The network runs with the users it was given, and those of its neighbour stay."""
    world, parameters = place
    simulator = Simulator(world, [parameters, parameters], [7, 7])
    others = place_users(world.mix, world.ground, np.random.default_rng(99))
    simulator.set_users(1, others)
    np.testing.assert_array_equal(simulator.plant.users[1], others)
    own = place_users(world.mix, world.ground, np.random.default_rng(7))
    np.testing.assert_array_equal(simulator.plant.users[0], own)


def test_an_unchanged_clone_stays_identical(twin: Callable[..., Twin]) -> None:
    """A branch sees the same users, errors and loads, for ever."""
    original = twin()
    original.observe()
    branch = original.clone()
    for _ in range(3):
        assert same(original.observe(), branch.observe())
    assert original.time_s == branch.time_s == 4 * 900.0


CHANGES = {
    "electrical_tilt_deg": 12.0,
    "tx_power_dbm": 40.0,
    "a3_offset_db": 6.0,
    "time_to_trigger_s": 1.024,
    "filter_coefficient": 8.0,
}


@pytest.mark.parametrize("parameter", CHANGES)
def test_a_change_in_a_branch_stays_there(twin: Callable[..., Twin], parameter: str) -> None:
    """The branch goes another way; the original goes on as an untouched one does."""
    longer = replace(CLOCK, observed_s=20.0)  # long enough for handovers
    original, untouched = twin(clock=longer), twin(clock=longer)
    branch = original.clone()
    for cell in range(6):
        branch.apply(plan(change(branch, cell, parameter, CHANGES[parameter])))
    assert np.all(getattr(branch.parameters(), parameter) == CHANGES[parameter])
    assert not np.any(getattr(original.parameters(), parameter) == CHANGES[parameter])
    mine = [original.observe() for _ in range(3)]
    for frame in mine:
        assert same(frame, untouched.observe())
    changed = [branch.observe() for _ in range(3)]
    assert not same(mine[-1], changed[-1])


def test_a_change_in_the_original_stays_out_of_its_branches(twin: Callable[..., Twin]) -> None:
    """Gain maps are shared until somebody writes, whoever that is."""
    original, untouched = twin(), twin()
    branch = original.clone()
    original.apply(plan(change(original, 2, "electrical_tilt_deg", 0.0)))
    original.observe()
    assert same(branch.observe(), untouched.observe())


def test_chains_of_branches_keep_their_own_tilts(twin: Callable[..., Twin]) -> None:
    """A branch of a branch, changed at every level, three maps in the end."""
    first = twin()
    second = first.clone()
    second.apply(plan(change(second, 0, "electrical_tilt_deg", 1.0)))
    third = second.clone()
    third.apply(plan(change(third, 0, "electrical_tilt_deg", 2.0)))
    fourth = third.clone()
    second.apply(plan(change(second, 1, "electrical_tilt_deg", 3.0)))
    first.apply(plan(change(first, 0, "electrical_tilt_deg", 4.0)))
    first.apply(plan(change(first, 1, "electrical_tilt_deg", 5.0)))
    wanted = {first: (4, 5), second: (1, 3), third: (2, 6), fourth: (2, 6)}
    for branch, tilts in wanted.items():
        network, radio_map = branch.network, branch.world.radio_map
        gain = branch.simulator.plant.gain_db[0]
        for cell, tilt in enumerate((*tilts, 6, 6, 6, 6)):
            expected = cell_gain_db(radio_map, network, cell, float(tilt))
            np.testing.assert_array_equal(gain[:, cell], expected)
    assert same(third.observe(), fourth.observe())


def test_users_are_the_same_in_every_branch(twin: Callable[..., Twin]) -> None:
    """Common random numbers: movement and sessions do not depend on what was decided."""
    original = twin()
    branch = original.clone()
    asleep = [change(branch, c, "asleep", 1.0) for c in (3, 4)]
    branch.apply(plan(*asleep, change(branch, 0, "tx_power_dbm", 20.0)))
    for _ in range(3):
        original.observe()
        branch.observe()
    left, right = original.simulator.plant.users[0], branch.simulator.plant.users[0]
    for name in EXOGENOUS:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)
    assert left["sessions"].max() > 1
    assert np.any(left["serving"] != right["serving"])


# ------------------------------------------------------------------ plans


def test_parameters_are_read_back_and_are_copies(twin: Callable[..., Twin]) -> None:
    """What is applied is what stands; what was read is not a handle on it."""
    made = twin()
    made.apply(plan(change(made, 1, "tx_power_dbm", 44.0)))
    assert made.parameters().tx_power_dbm[1] == 44.0
    made.parameters().tx_power_dbm[1] = 30.0
    assert made.parameters().tx_power_dbm[1] == 44.0


def test_a_plan_that_does_not_fit_changes_nothing(twin: Callable[..., Twin]) -> None:
    """All or nothing: a wrong second change keeps the first one out."""
    made, untouched = twin(), twin()
    name = made.network.cell_ids[0]
    good = change(made, 0, "tx_power_dbm", 44.0)
    with pytest.raises(Conflict):
        made.apply(plan(good, Change(name, "a3_offset_db", 9.0, 1.0)))
    with pytest.raises(BadInput):
        made.apply(plan(good, change(made, 1, "tx_power_dbm", 99.0)))
    assert made.parameters().tx_power_dbm[0] == 46.0
    assert same(made.observe(), untouched.observe())


def test_protection_reaches_the_network(twin: Callable[..., Twin]) -> None:
    """Protected cells show in the network; branches made before do not have them."""
    made = twin()
    before = made.clone()
    made.protect([2])
    assert made.network.protected.tolist() == [False, False, True, False, False, False]
    assert not before.network.protected.any()


def test_settings_reach_the_kernel_in_its_units(place: tuple[World, Parameters]) -> None:
    """By hand: 46 dBm over 106 x 12 subcarriers, A3 sum, steps, weights, relation offsets."""
    world, parameters = place
    network = world.network
    settings = {
        "a3_offset_db": np.full(6, 2.0), "hysteresis_db": np.full(6, 1.5),
        "time_to_trigger_s": np.array([0, 0.04, 0.064, 0.1, 0.16, 5.12]),
        "filter_coefficient": np.array([0.0, 4, 8, 12, 16, 19]),
        "cio_db": np.arange(network.relations, dtype=float) % 3,
    }  # fmt: skip
    plant = simulator(place, 1, **settings).plant
    np.testing.assert_allclose(plant.power_dbm[0, :6], 46 - 10 * np.log10(1272), rtol=1e-6)
    assert np.all(plant.power_dbm[0, 6:] < -200)
    np.testing.assert_allclose(plant.a3_db[0, :6], 3.5)
    np.testing.assert_array_equal(plant.trigger_steps[0, :6], [0, 1, 2, 3, 4, 128])
    left_after_200_ms = (1 - plant.l3_weight[0, :6].astype(float)) ** 5
    np.testing.assert_allclose(
        left_after_200_ms, 1 - 0.5 ** (np.array([0, 4, 8, 12, 16, 19]) / 4), atol=1e-6
    )
    for (i, j), r in network.relation_index.items():
        layers = 6.0 * (int(j >= 3) - int(i >= 3))  # capacity cells are preferred by 6 dB
        assert plant.offset_db[0, i, j] == settings["cio_db"][r] + layers
    pairs = np.zeros((6, 6), bool)
    pairs[network.relation_source, network.relation_target] = True
    assert np.all(plant.offset_db[0, :6, :6][~pairs] < -500)
    assert parameters.cio_db.max() == 0, "the caller's arrays are left alone"


# ------------------------------------------------------------------ sleep


def test_sleep_hands_users_over_and_drops_nobody(twin: Callable[..., Twin]) -> None:
    """The capacity layer goes to sleep: its users arrive in the coverage layer."""
    made = twin(clock=replace(CLOCK, observed_s=4.0))
    made.observe()
    users = made.simulator.plant.users[0]
    moving = int(np.isin(users["serving"], (3, 4, 5)).sum())
    assert moving >= 5, "the layer must be in use"
    made.apply(plan(*[change(made, c, "asleep", 1.0) for c in (3, 4, 5)]))
    assert made.parameters().asleep.tolist() == [False] * 3 + [True] * 3
    assert not made.simulator.parameters(0).asleep.any(), "it still serves until they are gone"
    frame = made.observe()
    assert made.simulator.parameters(0).asleep.tolist() == [False] * 3 + [True] * 3
    assert not np.isin(users["serving"], (3, 4, 5)).any()
    assert frame.column("x.RadioLinkFailure")[3:].sum() == 0
    assert frame.column("MM.HoExeInterFail")[3:].sum() == 0
    # Nearly all who were there when it began go by handover; some sessions end meanwhile.
    assert frame.column("MM.HoExeInterSucc")[3:].sum() >= 0.6 * moving
    np.testing.assert_allclose(frame.column("RRU.PrbAvailDl")[3:], 106 / 2, rtol=1e-6)
    frame = made.observe()
    np.testing.assert_array_equal(frame.column("RRU.PrbAvailDl")[3:], 0)
    np.testing.assert_allclose(frame.column("PEE.AvgPower")[3:], 150.0)
    assert frame.column("RRC.ConnMax")[3:].sum() == 0
    assert frame.column("RRC.ConnMean")[:3].sum() > 0


def test_a_cell_that_wakes_serves_again_and_is_charged_for_it(twin: Callable[..., Twin]) -> None:
    """Idle draw, radiated power by load, and once the energy of waking, by its share of time."""
    made = twin()
    made.apply(plan(change(made, 4, "asleep", 1.0)))
    made.observe()
    made.apply(plan(change(made, 4, "asleep", 0.0)))
    frames = [made.observe(), made.observe()]
    for frame, wake_ups in zip(frames, (1, 0), strict=True):
        load = frame.column("RRU.PrbUsedDl")[4] / 106
        drawn = 260 + 4.7 * 10**1.6 * load + wake_ups * WAKE_UP_J / 900.0
        assert frame.column("PEE.AvgPower")[4] == pytest.approx(drawn, rel=1e-5)
    assert frames[1].column("RRC.ConnMean")[4] > 0


def test_a_cell_put_to_sleep_and_woken_before_the_period_never_slept(
    twin: Callable[..., Twin],
) -> None:
    """Two plans that cancel out leave no trace."""
    made, untouched = twin(), twin()
    made.apply(plan(change(made, 4, "asleep", 1.0)))
    made.apply(plan(change(made, 4, "asleep", 0.0)))
    assert same(made.observe(), untouched.observe())


def test_a_branch_made_before_the_sleep_period_sleeps_too(twin: Callable[..., Twin]) -> None:
    """A pending decision is part of the state."""
    made = twin()
    made.apply(plan(change(made, 4, "asleep", 1.0)))
    branch = made.clone()
    assert same(made.observe(), branch.observe())
    branch.apply(plan(change(branch, 4, "asleep", 0.0)))
    assert made.parameters().asleep[4]


def test_periods_follow_the_clock(twin: Callable[..., Twin]) -> None:
    """Frames carry the start of their period and the radio time observed."""
    made = twin(clock=replace(CLOCK, start_s=3600.0))
    frames = [made.observe() for _ in range(2)]
    assert [f.time_s for f in frames] == [3600.0, 4500.0]
    assert made.time_s == 5400.0
    assert all(f.period_s == 900.0 for f in frames)
    assert all(f.observed_s == pytest.approx(6.0) for f in frames)


def test_warm_up_is_not_reported(place: tuple[World, Parameters]) -> None:
    """A frame counts its own period only: steps are those of the observed time."""
    made = simulator(place, 1)
    made.advance(50)
    made.clear_counters()
    made.advance(30)
    assert np.all(made.plant.cells[0, :6, n.STEPS] == 30)
    assert made.frame(0, 0.0, 900.0).observed_s == pytest.approx(1.2)
