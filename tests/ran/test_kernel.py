"""The fused step against its slow twin, piece by piece and as a whole."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import llvmlite.binding
import numba
import numpy as np
import pytest

from cellhive.core.types import Parameters
from cellhive.ran import counters as n
from cellhive.ran import kernel, plant, sharing
from cellhive.ran.handover import RULE_36839, RULE_38331, Procedures
from cellhive.ran.layout import SiteDesign, hex_grid
from cellhive.ran.scenarios import Scenario, build_world
from cellhive.ran.simulator import STEP_S, Simulator, World
from cellhive.ran.streams import MEASUREMENT, keyed
from cellhive.ran.users import USER, Traffic, UserMix


def _reference(name: str) -> ModuleType:
    path = Path(__file__).parents[1] / "reference" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"reference_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference = _reference("kernel")

CELL_COUNTS = {
    "set-up": n.SETUP_ATTEMPT,
    "set-up success": n.SETUP_SUCCESS,
    "re-establishment": n.REESTABLISHMENT,
    "preparation": n.PREPARATION_REQUEST,
    "preparation success": n.PREPARATION_SUCCESS,
    "preparation failure": n.PREPARATION_FAILURE,
    "execution": n.EXECUTION_REQUEST,
    "execution success": n.EXECUTION_SUCCESS,
    "execution failure": n.EXECUTION_FAILURE,
    "too late": n.TOO_LATE,
    "too early": n.TOO_EARLY,
    "wrong cell": n.WRONG_CELL,
    "ping-pong": n.PING_PONG,
    "rlf": n.RADIO_LINK_FAILURE,
    "coverage hole": n.COVERAGE_HOLE,
}
RELATION_COUNTS = {
    "preparation": n.RELATION_PREPARATION,
    "execution success": n.RELATION_SUCCESS,
    "execution failure": n.RELATION_FAILURE,
    "too late": n.RELATION_TOO_LATE,
    "too early": n.RELATION_TOO_EARLY,
    "wrong cell": n.RELATION_WRONG_CELL,
    "wrong cell taken": n.RELATION_WRONG_TAKEN,
    "ping-pong": n.RELATION_PING_PONG,
}
CELL_SUMS = {
    "used": n.PRB_USED,
    "available": n.PRB_AVAILABLE,
    "volume": n.VOLUME_MBIT,
    "offered": n.OFFERED_MBIT,
    "active": n.ACTIVE,
    "elastic": n.ELASTIC,
    "elastic rate": n.ELASTIC_MBPS,
    "connected": n.CONNECTED_TIME,
    "interrupted": n.INTERRUPTED,
    "energy": n.ENERGY_J,
    "measured": n.MEASURED,
    "rsrp": n.RSRP_DBM,
    "sinr": n.SINR_DB,
    "weak": n.WEAK,
    "interfered": n.INTERFERED,
    "steps": n.STEPS,
    **{f"bin {k}": n.THROUGHPUT_FIRST + k for k in range(n.THROUGHPUT_BINS)},
}


# ------------------------------------------------------------------ pieces


def test_measure_is_bilinear_and_sums_the_interference_of_one_carrier() -> None:
    """RSRP and interfering power agree with NumPy in float64 over random places."""
    rng = np.random.default_rng(1)
    rows, columns, width = 4, 5, 16
    gain = rng.uniform(-160, -60, (rows * columns, width)).astype(np.float32)
    power = rng.uniform(5, 20, width).astype(np.float32)
    weights = rng.uniform(0, 1, (2, width)).astype(np.float32)
    rsrp = np.empty(width, np.float32)
    for _ in range(50):
        row, column = int(rng.integers(rows - 1)), int(rng.integers(columns - 1))
        part, loss, carrier = rng.uniform(size=2), rng.uniform(0, 20), int(rng.integers(2))
        corner = (row * columns + column, columns)
        place = (float(part[0]), float(part[1]))
        total = kernel.measure(gain, corner, place, power, loss, weights, carrier, rsrp)
        grid = type("Grid", (), {"x0_m": 0.0, "y0_m": 0.0, "pixel_m": 1.0,
                                 "rows": rows, "columns": columns})  # fmt: skip
        expected = reference.bilinear(
            grid, gain.astype(float), column + float(part[0]), row + float(part[1])
        )
        expected = expected + power - loss
        np.testing.assert_allclose(rsrp, expected, rtol=0, atol=1e-4)
        power_mw = float(np.sum(10 ** (expected / 10) * weights[carrier]))
        assert total == pytest.approx(power_mw, rel=5e-5)


def test_pixel_holds_at_the_edge_of_the_map() -> None:
    """A user beyond the outermost pixel counts as on the edge; corner and parts elsewhere."""
    user = np.zeros(1, USER)

    def pixel(x_m: float, y_m: float) -> tuple[tuple[int, int], tuple[float, float]]:
        user["x_m"], user["y_m"] = x_m, y_m
        return kernel._pixel(user[0], 100.0, 200.0, 10.0, 4, 5)

    assert pixel(117.5, 222.5)[0] == (2 * 5 + 1, 5)
    np.testing.assert_allclose(pixel(117.5, 222.5)[1], (0.75, 0.25), atol=1e-6)
    assert pixel(-1e4, -1e4) == ((0, 5), (0.0, 0.0))
    corner, part = pixel(1e4, 1e4)
    assert corner == (2 * 5 + 3, 5)  # the last whole square of 4 x 5 pixels
    np.testing.assert_allclose(part, (1.0, 1.0), atol=2e-3)


def test_filter_and_trigger_agrees_with_the_slow_twin() -> None:
    """Layer-3 filter, measurement noise and A3 timers over 40 steps of random levels."""
    rng = np.random.default_rng(2)
    width, user, serving, seed = 16, 1, 4, 77
    l3 = np.full((3, width), plant.OFF_DBM, np.float32)
    trigger = np.full((3, width), -1, np.float32)
    offset = rng.uniform(-3, 3, (width, width)).astype(np.float32)
    offset[serving, serving] = plant.NO_RELATION_DB
    level, since = np.full(width, -300.0), np.full(width, -1)
    expirations = 0
    for step in range(40):
        rsrp = rng.uniform(-100, -90, width).astype(np.float32)
        expired = kernel.filter_and_trigger(
            rsrp, l3, trigger, offset, (user, serving), (0.3, 1.5, 2.0, 3.0),
            keyed(seed, MEASUREMENT, user, step),
        )  # fmt: skip
        error = [reference.streams.measurement_error(seed, user, step, c) for c in range(width)]
        level = reference.filtered(level, rsrp + 1.5 * np.array(error), 0.3)
        margin = level + offset[serving] - (level[serving] + 2.0)
        assert np.abs(margin).min() > 1e-4, "the seed must not make a tie"
        since = np.where(margin > 0, since + 1, -1)
        np.testing.assert_allclose(l3[user], level, rtol=0, atol=1e-4)
        np.testing.assert_array_equal(trigger[user], since)
        assert expired == bool((since >= 3).any())
        expirations += int(expired)
    assert 0 < expirations < 40
    assert np.all(l3[[0, 2]] == plant.OFF_DBM), "other users' filters must not move"


def test_measurement_noise_is_white() -> None:
    """Noise has mean 0 and sigma 1, and no correlation between cells, steps or users."""
    draws = np.array([
        [[reference.streams.measurement_error(5, u, s, c) for c in range(8)] for s in range(60)]
        for u in range(8)
    ])  # fmt: skip
    # 3840 draws: the mean has sigma 0.016, a correlation of as many pairs likewise; 4 sigma.
    assert abs(draws.mean()) < 0.065
    assert abs(draws.std() - 1) < 0.05
    for shifted, still in (
        (draws[1:], draws[:-1]), (draws[:, 1:], draws[:, :-1]), (draws[..., 1:], draws[..., :-1]),
    ):  # fmt: skip
        assert abs(np.corrcoef(shifted.ravel(), still.ravel())[0, 1]) < 0.075


def test_sinr_agrees_with_the_slow_twin() -> None:
    """SINR in any cell from the RSRP of all, with noise, against float64."""
    rng = np.random.default_rng(3)
    for _ in range(30):
        rsrp = rng.uniform(-140, -60, 16).astype(np.float32)
        weights = rng.uniform(0, 1, 16).astype(np.float32)
        cell = int(rng.integers(16))
        expected = reference.link.sinr(rsrp.astype(float), cell, weights.astype(float))
        assert kernel.sinr_in(rsrp, cell, weights) == pytest.approx(expected, rel=2e-5)


def test_interference_weights_per_carrier() -> None:
    """A cell disturbs its own carrier by its load, by 5 % at least, and not while asleep."""
    power = np.array([15, 15, 15, plant.OFF_DBM, plant.OFF_DBM], np.float32)
    load = np.array([0.5, 0.01, 0.9, 0.7, 0.0], np.float32)
    carrier = np.array([0, 0, 1, 0, -1], np.int32)
    weights = np.full((2, 5), np.nan, np.float32)
    kernel.interference_weights(power, load, carrier, 0.05, weights)
    expected = [[0.5, 0.05, 0, 0, 0], [0, 0, 0.9, 0, 0]]
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


def test_an_idle_cell_interferes_as_the_place_says() -> None:
    """With an idle load of 1 every cell that is on interferes with all of its power."""
    power = np.array([15, 15, plant.OFF_DBM], np.float32)
    weights = np.full((1, 3), np.nan, np.float32)
    load, carrier = np.array([0.5, 0.0, 0.0], np.float32), np.zeros(3, np.int32)
    kernel.interference_weights(power, load, carrier, 1.0, weights)
    np.testing.assert_array_equal(weights, [[1.0, 1.0, 0.0]])


def test_throughput_bins_have_the_edges_of_the_counters() -> None:
    """Every rate falls into the bin whose lower edge is the last one not above it."""
    edges = n.THROUGHPUT_EDGES_MBPS
    rates = np.concatenate([[0.0, 1e-6, 0.049], np.sqrt(edges[1:-1] * edges[2:]), [101.0, 1e4]])
    for rate in rates:
        expected = int(np.searchsorted(edges, rate, side="right")) - 1
        assert sharing.throughput_bin(float(rate)) == expected
    for k in range(1, n.THROUGHPUT_BINS):  # just beside each edge
        assert sharing.throughput_bin(float(edges[k] * 1.0001)) == k
        assert sharing.throughput_bin(float(edges[k] * 0.9999)) == k - 1


# ------------------------------------------------------------------ the whole step


def _small_world(sites: int, users_per_cell: float, seed: int, *, layers: int = 1) -> Any:
    design = SiteDesign(carrier_hz=2.1e9, capacity_carrier_hz=2.6e9 if layers == 2 else None)
    scenario = Scenario(
        "small", "A small network.", (), lambda: hex_grid(sites, 400.0, design),
        users_per_cell=users_per_cell, hot_spots=2, hot_spot_share=0.3,
        mix=UserMix(users=0, indoor_share=0.2, pedestrian_share=0.2, street_share=0.4,
                    highway_share=0.2),
        traffic=Traffic(elastic_mbps=12, gbr_mbps=3, mean_session_s=3, mean_pause_s=1),
        capacity_offset_db=3.0,
    )  # fmt: skip
    return build_world(scenario, seed)


def _harsh(world: World, parameters: Parameters, rule: int) -> tuple[World, Parameters]:
    """Make everything happen within seconds: fast users, nervous A3, impatient timers."""
    procedures = Procedures(
        q_out_db=-3.0, q_in_db=-1.0, t310_s=0.3, n310=2, n311=2, rule=rule, max_connected=5,
        reestablishment_s=0.2, minimum_stay_s=2.0,
    )  # fmt: skip
    cells = world.network.cells
    rng = np.random.default_rng(9)
    parameters = replace(
        parameters,
        a3_offset_db=rng.choice([0.0, 1.0, 3.0], cells),
        hysteresis_db=rng.choice([0.0, 0.5], cells),
        time_to_trigger_s=rng.choice([0.0, 0.04, 0.064, 0.16, 0.48], cells),
        filter_coefficient=rng.choice([0.0, 4.0, 8.0], cells),
        cio_db=rng.choice([-2.0, 0.0, 2.0], world.network.relations),
        tx_power_dbm=rng.choice([43.0, 46.0], cells),
    )
    return replace(world, procedures=procedures), parameters


CASES = [(7, 1, RULE_36839), (7, 1, RULE_38331), (1, 2, RULE_36839)]


@pytest.fixture(scope="module", params=CASES, ids=["36.839", "38.331", "two layers"])
def compared(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Run kernel and twin side by side, the twin starting each step from the kernel's state."""
    sites, layers, rule = request.param
    users = 40 / (sites * 3 * layers)
    world, parameters = _harsh(*_small_world(sites, users, seed=4, layers=layers), rule)
    activity = np.array([1.0, 2.0, 0.5])
    simulator = Simulator(world, [parameters], [11], groups=3)
    simulator.plant.users["east_m_s"] *= 2.5  # so that everybody meets a border soon
    simulator.plant.users["north_m_s"] *= 2.5
    simulator.plant.activity[0] = activity
    return {"layers": layers, **_compare(simulator, parameters, activity, steps=600)}


def _compare(
    simulator: Simulator, parameters: Parameters, activity: Any, steps: int
) -> dict[str, Any]:
    world = simulator.world
    slow = reference.SlowNetwork(world, parameters, seed=11, step_s=STEP_S)
    totals: dict[str, float] = {}
    problems: list[str] = []
    skipped = compared_users = 0
    for step in range(steps):
        if step == 100:  # a cell prepares to sleep, another is already gone
            simulator.plant.closing[0, 1] = 1
            asleep = np.zeros(world.network.cells, bool)
            asleep[2] = True
            parameters = replace(parameters, asleep=asleep)
            simulator.set_parameters(0, parameters)
            slow = reference.SlowNetwork(world, parameters, seed=11, step_s=STEP_S)
        slow.load_state(simulator.plant, activity)
        simulator.clear_counters()
        simulator.advance(1)
        slow.step(step)
        open_users = slow.open_users()
        skipped += len(open_users)
        compared_users += len(slow.users)
        problems += _differences(step, slow, simulator, set(open_users))
        for (_, name), value in slow.mobility.cell.items():
            totals[name] = totals.get(name, 0) + value
    return {"problems": problems, "totals": totals, "skipped": skipped / compared_users}


FIELD_TOLERANCE = {
    "x_m": 2e-3, "y_m": 2e-3, "leg_left_m": 2e-3, "timer_s": 1e-5, "session_left_s": 1e-4,
    "rsrp_dbm": 2e-4, "stay_s": 1e-4, "since_ho_s": 1e-4,
}  # fmt: skip
SINR_FIELDS = ("sinr", "sinr_out", "sinr_in", "past_1", "past_2", "past_3", "past_4")
SHARE_FIELDS = ("rate_mbps", "need_prb")
MOST_PRBS = 106


def _differences(step: int, slow: Any, simulator: Simulator, undecided: set[int]) -> list[str]:
    """Return what differs after a step, in words."""
    found = []
    records = simulator.plant.users[0]
    for u, user in enumerate(slow.users):
        if u in undecided:
            continue
        for name in USER.names:
            ours, expected = records[u][name].item(), getattr(user, name)
            if name in SHARE_FIELDS and undecided:
                continue
            allowed = FIELD_TOLERANCE.get(name, 1e-6) + _relative(name, user) * abs(expected)
            if name == "rate_mbps" and user.need_prb > 0:
                # Best effort gets what guaranteed rates leave: little is the difference of much.
                allowed += 5e-5 * MOST_PRBS * user.demand_mbps / user.need_prb
            if abs(ours - expected) > allowed:
                found.append(f"step {step} user {u} {name}: {ours} for {expected}")
    return found if undecided else found + _count_differences(step, slow, simulator)


def _relative(name: str, user: Any) -> float:
    """Return the relative error that float32 may leave in a field."""
    if name in SINR_FIELDS:
        # Interference is the difference of two sums: its error grows with the SINR.
        return 1e-4 + 2e-6 * abs(float(getattr(user, name)))
    if name in SHARE_FIELDS and user.need_prb > 0:
        # The logarithm has an absolute error of 4e-6, which counts where there is no signal.
        efficiency = user.demand_mbps / user.need_prb / reference.link.MBIT_PER_PRB
        return float(1e-3 + 1e-5 / efficiency)
    return 1e-5


def _count_differences(step: int, slow: Any, simulator: Simulator) -> list[str]:
    """Return which counters and cell states differ after a step, in words."""
    plant, network = simulator.plant, simulator.world.network
    rows = []
    for c in range(network.cells):
        cells = plant.cells[0, c]
        rows += [
            (f"cell {c} {name}", cells[column], slow.mobility.cell[c, name], 0.0)
            for name, column in CELL_COUNTS.items()
        ]
        rows += [
            (f"cell {c} {name}", cells[column], slow.sums[c, name], 0 if name == "rsrp" else 1e-3)
            for name, column in CELL_SUMS.items()
        ]
        rows.append((f"cell {c} load", plant.load[0, c], slow.load[c], 1e-3))
        rows.append((f"cell {c} connected", plant.connected[0, c], slow.connected[c], 0.0))
    for pair, r in network.relation_index.items():
        relations = plant.relations[0, r]
        rows += [
            (f"relation {pair} {name}", relations[column], slow.mobility.relation[pair, name], 0.0)
            for name, column in RELATION_COUNTS.items()
        ]
        rows.append((f"relation {pair} border", relations[n.RELATION_BORDER],
                     slow.borders[pair], 0.0))  # fmt: skip
    return [
        f"step {step} {what}: {ours} for {expected}"
        for what, ours, expected, relative in rows
        if abs(ours - expected) > (1e-3 if "rate" in what else 1e-4) + relative * abs(expected)
    ]


def test_whole_steps_agree_with_the_slow_twin(compared: dict[str, Any]) -> None:
    """Users, loads and every counter after each of 600 steps, except where rounding decides."""
    assert compared["problems"] == []
    assert compared["skipped"] < 0.05


def test_the_compared_steps_contain_every_procedure(compared: dict[str, Any]) -> None:
    """The comparison means something only where things happen."""
    happened = compared["totals"]
    common = {"set-up", "preparation failure", "execution success", "ping-pong"}
    rare = {"execution failure", "rlf", "re-establishment", "too early", "wrong cell"}
    for name in common if compared["layers"] == 2 else common | rare:
        assert happened.get(name, 0) > 3, (name, happened)


def test_the_loops_over_cells_work_on_whole_vectors() -> None:
    """Both loops multiply eight floats or more at a time, where the machine has such vectors.

    A 64-bit integer among them would halve that without any other sign.
    """
    f32, cells = np.float32, 64
    level, many = np.zeros(cells, f32), np.zeros((cells, cells), f32)
    loops = {
        kernel.measure: (many, (0, 2), (0.5, 0.5), level, 0.0, many, 0, level.copy()),
        kernel.filter_and_trigger: (
            level, many, many.copy(), many, (0, 0), (0.3, 1.5, 2.0, 3.0), np.uint32(1)
        ),
    }  # fmt: skip
    features = llvmlite.binding.get_host_cpu_features()
    width = 8 if features.get("avx2") else 4
    for loop, arguments in loops.items():
        fresh = numba.jit(**loop.targetoptions)(loop.py_func)
        fresh(*arguments)
        (code,) = fresh.inspect_llvm().values()
        widths = [int(found) for found in re.findall(r"fmul\b.* <(\d+) x float>", code)]
        # twice at least; how often a loop is unrolled differs between processors
        assert sum(found >= width for found in widths) >= 2, (loop.__name__, widths)
