"""What must hold on every network, whatever its settings: nothing appears, nothing is lost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cellhive.core.types import Parameters
from cellhive.ran import counters as n
from cellhive.ran.handover import Procedures
from cellhive.ran.kpi import build_frame
from cellhive.ran.layout import SiteDesign, hex_grid, highway
from cellhive.ran.scenarios import Scenario, build_world
from cellhive.ran.simulator import STEP_S, Simulator, World
from cellhive.ran.users import (
    BLOCKED,
    COMMANDED,
    CONNECTED,
    EXECUTING,
    IDLE,
    LOST,
    PREPARING,
    Traffic,
    UserMix,
)

NETWORKS = {
    "one site, two layers": lambda: hex_grid(
        1, 300.0, SiteDesign(carrier_hz=1.8e9, capacity_carrier_hz=2.6e9,
                             capacity_bandwidth_hz=10e6)
    ),
    "small cells": lambda: hex_grid(
        1, 200.0, SiteDesign(carrier_hz=3.5e9, height_m=10.0, environment="UMi")
    ),
    "highway": lambda: highway(3, 600.0),
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A random small scenario."""

    network: str
    seed: int
    traffic: Traffic
    procedures: Procedures
    a3_offset_db: float
    time_to_trigger_s: float
    tx_power_dbm: float
    asleep: int
    """Cell that sleeps from the middle on; -1 for none."""
    all_pairs: bool
    """Whether every pair of cells is a relation."""


CASES = st.builds(
    Case,
    network=st.sampled_from(sorted(NETWORKS)),
    seed=st.integers(0, 2**32 - 1),
    traffic=st.builds(
        Traffic,
        elastic_mbps=st.floats(0.1, 60),
        gbr_mbps=st.floats(0.1, 20),
        gbr_share=st.floats(0, 1),
        mean_session_s=st.floats(0.2, 30),
        mean_pause_s=st.floats(0.1, 5),
    ),
    procedures=st.builds(
        Procedures,
        q_out_db=st.floats(-10, 3),
        q_in_db=st.floats(3, 5),
        t310_s=st.sampled_from([0.0, 0.05, 0.2, 1.0]),
        n310=st.sampled_from([1, 2]),
        n311=st.sampled_from([1, 2]),
        reestablishment_s=st.sampled_from([0.04, 0.4]),
        max_connected=st.integers(0, 30),
        minimum_stay_s=st.sampled_from([1.0, 5.0]),
        rule=st.sampled_from([0, 1]),
    ),
    a3_offset_db=st.sampled_from([-3.0, 0.0, 3.0]),
    time_to_trigger_s=st.sampled_from([0.0, 0.064, 0.48]),
    tx_power_dbm=st.sampled_from([10.0, 30.0, 46.0]),
    asleep=st.integers(-1, 2),
    all_pairs=st.booleans(),
)

BUSY = Case(
    network="one site, two layers", seed=6, traffic=Traffic(mean_session_s=20, mean_pause_s=1),
    procedures=Procedures(q_out_db=-2, q_in_db=0, t310_s=0.2, minimum_stay_s=5),
    a3_offset_db=-3.0, time_to_trigger_s=0.0, tx_power_dbm=46.0, asleep=1, all_pairs=True,
)  # fmt: skip
"""A case in which every procedure runs, tried whatever else is drawn."""

_WORLDS: dict[tuple[str, bool], tuple[World, Parameters]] = {}


def world_of(case: Case) -> tuple[World, Parameters]:
    """Return the place, built once, with the settings of the case."""
    key = (case.network, case.all_pairs)
    if key not in _WORLDS:
        scenario = Scenario(
            "small", "Small.", (), NETWORKS[case.network], users_per_cell=8,
            mix=UserMix(users=0, indoor_share=0.3, pedestrian_share=0.1, street_share=0.3,
                        highway_share=0.3),
        )  # fmt: skip
        world, parameters = build_world(scenario, 5)
        cells = np.arange(world.network.cells, dtype=np.int32)
        pairs = [(i, j) for i in cells for j in cells if i != j]
        if not case.all_pairs:
            pairs = pairs[::3]
        network = replace(
            world.network,
            relation_source=np.array([i for i, _ in pairs], np.int32),
            relation_target=np.array([j for _, j in pairs], np.int32),
        )
        parameters = replace(parameters, cio_db=np.zeros(network.relations))
        _WORLDS[key] = replace(world, network=network), parameters
    world, parameters = _WORLDS[key]
    cells = world.network.cells
    parameters = replace(
        parameters,
        a3_offset_db=np.full(cells, case.a3_offset_db),
        time_to_trigger_s=np.full(cells, case.time_to_trigger_s),
        tx_power_dbm=np.full(cells, case.tx_power_dbm),
    )
    return replace(world, traffic=case.traffic, procedures=case.procedures), parameters


def run(case: Case, steps: int = 200) -> tuple[Simulator, dict[str, Any]]:
    """Return a network after some seconds, and per-step sums over users and extremes."""
    world, parameters = world_of(case)
    simulator = Simulator(world, [parameters], [case.seed])
    simulator.plant.activity[:] = 2.0
    for name in ("east_m_s", "north_m_s"):  # four times as fast: more happens
        simulator.plant.users[name] *= 4
    cells = world.network.cells
    volume, offered = np.zeros(cells), np.zeros(cells)
    for step in range(steps):
        if step == steps // 2 and case.asleep >= 0:
            asleep = np.arange(cells) == case.asleep
            simulator.set_parameters(0, replace(parameters, asleep=asleep))
        simulator.advance(1)
        users = simulator.plant.users[0]
        check_users(users, simulator)
        here = users[(users["serving"] >= 0) & (users["state"] != LOST)]
        volume += np.bincount(here["serving"], here["rate_mbps"], cells) * STEP_S
        lost = users["state"] == LOST  # a user without a link goes on asking
        asked = users[(users["serving"] >= 0) | lost]
        where = np.where(asked["state"] == LOST, asked["lost_in"], asked["serving"])
        offered += np.bincount(where, asked["demand_mbps"], cells) * STEP_S
    return simulator, {"volume": volume, "offered": offered, "steps": steps}


def check_users(users: Any, simulator: Simulator) -> None:
    """Assert that every user is in exactly one state, with what belongs to it."""
    plant, cells = simulator.plant, simulator.world.network.cells
    state, active = users["state"], users["session_left_s"] > 0
    assert set(np.unique(state)) <= {
        IDLE,
        CONNECTED,
        PREPARING,
        EXECUTING,
        LOST,
        BLOCKED,
        COMMANDED,
    }
    np.testing.assert_array_equal(active, state != IDLE)
    served = np.isin(state, (CONNECTED, PREPARING, COMMANDED, EXECUTING))
    np.testing.assert_array_equal(users["serving"] >= 0, served | (state == LOST))
    assert np.all(users["serving"] < cells)
    moving = np.isin(state, (PREPARING, COMMANDED, EXECUTING))
    assert np.all(users["target"][moving] >= 0)
    assert np.all(users["target"][moving] != users["serving"][moving])
    assert np.all(users["rate_mbps"][~served | (state == EXECUTING)] == 0)
    assert np.all(users["rate_mbps"] <= users["demand_mbps"] * (1 + 1e-6))
    assert np.all(plant.load >= 0)
    assert np.all(plant.load <= 1)
    counted = np.bincount(users["serving"][served], minlength=cells)
    np.testing.assert_array_equal(plant.connected[0, :cells], counted)
    for name in users.dtype.names:
        assert np.all(np.isfinite(users[name])), name


RUNS = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)


@RUNS
@example(BUSY)
@given(CASES)
def test_resources_and_volumes_balance(case: Case) -> None:
    """PRBs, volumes, times and energy of every cell, and every user at every step."""
    simulator, sums = run(case)
    network, plant = simulator.world.network, simulator.plant
    cells = plant.cells[0, : network.cells]
    assert np.all(cells[:, n.STEPS] == sums["steps"])
    assert np.all(cells[:, n.PRB_USED] <= cells[:, n.PRB_AVAILABLE] * (1 + 1e-6))
    np.testing.assert_allclose(cells[:, n.VOLUME_MBIT], sums["volume"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(cells[:, n.OFFERED_MBIT], sums["offered"], rtol=1e-5, atol=1e-6)
    assert np.all(cells[:, n.VOLUME_MBIT] <= cells[:, n.OFFERED_MBIT] * (1 + 1e-6))
    histogram = cells[:, n.THROUGHPUT_FIRST :].sum(axis=1)
    np.testing.assert_array_equal(histogram, cells[:, n.ELASTIC])
    assert np.all(cells[:, n.ELASTIC] <= cells[:, n.ACTIVE])
    assert np.all(cells[:, n.WEAK] + cells[:, n.INTERFERED] <= cells[:, n.MEASURED])
    assert np.all(cells[:, n.MEASURED] <= cells[:, n.CONNECTED_TIME])
    assert np.all(cells[:, n.INTERRUPTED] <= cells[:, n.CONNECTED_TIME] * STEP_S + 1e-9)
    idle, slope, asleep = plant.watts[0, : network.cells].T
    seconds = sums["steps"] * STEP_S
    assert np.all(cells[:, n.ENERGY_J] >= asleep * seconds * (1 - 1e-9))
    assert np.all(cells[:, n.ENERGY_J] <= (idle + slope) * seconds * (1 + 1e-9))
    used_w = idle * seconds + slope * cells[:, n.PRB_USED] / simulator_prbs(simulator) * STEP_S
    awake = np.arange(network.cells) != case.asleep
    np.testing.assert_allclose(cells[awake, n.ENERGY_J], used_w[awake], rtol=1e-6)
    for array in plant:
        if array.dtype.kind == "f":
            assert np.all(np.isfinite(array))


def simulator_prbs(simulator: Simulator) -> Any:
    """Return the resource blocks of each cell: 106 in 20 MHz, 52 in 10 MHz."""
    return np.where(simulator.world.network.bandwidth_hz == 20e6, 106.0, 52.0)


PAIRS = (
    (n.RELATION_PREPARATION, n.PREPARATION_REQUEST),
    (n.RELATION_SUCCESS, n.EXECUTION_SUCCESS),
    (n.RELATION_FAILURE, n.EXECUTION_FAILURE),
    (n.RELATION_TOO_LATE, n.TOO_LATE),
    (n.RELATION_TOO_EARLY, n.TOO_EARLY),
    (n.RELATION_WRONG_CELL, n.WRONG_CELL),
    (n.RELATION_WRONG_TAKEN, n.WRONG_CELL),
    (n.RELATION_PING_PONG, n.PING_PONG),
)


@RUNS
@example(BUSY)
@given(CASES)
def test_procedures_balance(case: Case) -> None:
    """No success or failure without its attempt; relations add up to their source cell."""
    simulator, _ = run(case)
    network, plant = simulator.world.network, simulator.plant
    cells = plant.cells[0, : network.cells]
    users = plant.users[0]

    def total(*columns: int) -> Any:
        return np.sum([cells[:, column] for column in columns], axis=0)

    assert np.all(total(n.SETUP_ATTEMPT) >= total(n.SETUP_SUCCESS))
    prepared = total(n.PREPARATION_SUCCESS, n.PREPARATION_FAILURE)
    assert np.all(total(n.PREPARATION_REQUEST) >= prepared)
    assert np.all(total(n.PREPARATION_SUCCESS) >= total(n.EXECUTION_REQUEST))
    assert np.all(total(n.EXECUTION_REQUEST) >= total(n.EXECUTION_SUCCESS, n.EXECUTION_FAILURE))
    for event in (n.TOO_LATE, n.TOO_EARLY, n.WRONG_CELL, n.COVERAGE_HOLE, n.REESTABLISHMENT):
        lost = total(n.RADIO_LINK_FAILURE, n.EXECUTION_FAILURE).sum()
        assert total(event).sum() <= lost
    labelled = total(n.TOO_LATE, n.TOO_EARLY, n.WRONG_CELL, n.COVERAGE_HOLE).sum()
    assert labelled <= total(n.REESTABLISHMENT).sum()
    assert total(n.PING_PONG).sum() <= total(n.EXECUTION_SUCCESS).sum()
    sessions = users["sessions"].sum()
    assert total(n.SETUP_ATTEMPT).sum() <= sessions
    for relation, cell in PAIRS:
        by_source = np.bincount(
            network.relation_source, plant.relations[0, :, relation], network.cells
        )
        if case.all_pairs:
            np.testing.assert_array_equal(by_source, cells[:, cell])
        else:
            assert np.all(by_source <= cells[:, cell])
    check_frame(simulator)


def test_the_busy_case_is_busy() -> None:
    """Every procedure runs in it, with every kind of ending."""
    simulator, _ = run(BUSY)
    cells = simulator.plant.cells[0]
    for column in (
        n.SETUP_SUCCESS, n.PREPARATION_FAILURE, n.EXECUTION_SUCCESS, n.EXECUTION_FAILURE,
        n.WRONG_CELL, n.PING_PONG, n.RADIO_LINK_FAILURE, n.REESTABLISHMENT, n.INTERFERED,
    ):  # fmt: skip
        assert cells[:, column].sum() > 0, column


def check_frame(simulator: Simulator) -> None:
    """Assert that every value of the frame is known or missing for a reason, and in range."""
    frame = simulator.frame(0, 0.0, 900.0)
    again = build_frame(
        0.0, 900.0, STEP_S, simulator.plant.cells[0, : simulator.world.network.cells],
        simulator.plant.relations[0],
    )  # fmt: skip
    np.testing.assert_array_equal(frame.values, again.values)
    assert not np.any(np.isinf(frame.values))
    for name in frame.columns:
        column = frame.column(name)
        if name.endswith("_ratio"):
            known = column[np.isfinite(column)]
            assert np.all((known >= 0) & (known <= 1 + 1e-6)), name
        elif name.startswith(("RRC.", "MM.", "HO.", "RRU.PrbUsed", "RRU.PrbAvail")):
            assert np.all(column >= 0), name
    assert np.all(frame.relation_values >= 0)
