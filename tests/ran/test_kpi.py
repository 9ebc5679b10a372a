"""From accumulators to frames and KPIs: names, hand-computed values, pooling by brute force."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from cellhive.core.schema import CELL_COLUMNS, COUNTERS, KPIS, QUANTITIES, RELATION_COLUMNS
from cellhive.core.types import KpiFrame
from cellhive.ran import counters as n
from cellhive.ran.kpi import (
    FRAME_COLUMNS,
    HISTOGRAM_COLUMNS,
    KPI_NAMES,
    MEASURED_COLUMNS,
    better,
    build_frame,
    cells_kpis,
    network_kpis,
    objective,
    pooled_counters,
)

STEPS, STEP_S, PERIOD_S = 100, 0.04, 900.0  # 4 s observed


def accumulators(cells: int = 2) -> np.ndarray:
    """Return accumulators of cells with round numbers; cell 1 has no users."""
    values = np.zeros((cells, n.CELL_ACCUMULATORS))
    values[:, n.STEPS] = STEPS
    values[:, n.PRB_AVAILABLE] = 106 * STEPS
    values[:, n.ENERGY_J] = 1000.0
    a = values[0]
    a[n.PRB_USED] = 53 * STEPS
    a[n.VOLUME_MBIT], a[n.OFFERED_MBIT] = 30.0, 40.0
    a[n.ACTIVE], a[n.ELASTIC], a[n.ELASTIC_MBPS] = 400, 300, 600
    a[n.CONNECTED_TIME], a[n.CONNECTED_MOST] = 500, 7
    a[n.SETUP_ATTEMPT], a[n.SETUP_SUCCESS] = 20, 19
    a[n.PREPARATION_REQUEST], a[n.PREPARATION_SUCCESS], a[n.PREPARATION_FAILURE] = 10, 9, 1
    a[n.EXECUTION_REQUEST], a[n.EXECUTION_SUCCESS], a[n.EXECUTION_FAILURE] = 9, 8, 1
    a[n.TOO_LATE], a[n.TOO_EARLY], a[n.WRONG_CELL], a[n.PING_PONG] = 1, 2, 3, 4
    a[n.RADIO_LINK_FAILURE], a[n.COVERAGE_HOLE], a[n.REESTABLISHMENT] = 2, 1, 5
    a[n.INTERRUPTED] = 0.5
    a[n.MEASURED], a[n.WEAK], a[n.INTERFERED] = 480, 48, 24
    a[n.RSRP_DBM], a[n.SINR_DB] = -90.0 * 480, 12.0 * 480
    a[n.THROUGHPUT_FIRST + 3], a[n.THROUGHPUT_FIRST + 10] = 30, 270
    return values


def frame(cells: np.ndarray) -> KpiFrame:
    """Return the frame of accumulators, with one relation."""
    relations = np.zeros((1, n.RELATION_ACCUMULATORS))
    relations[0] = [10, 8, 1, 1, 2, 3, 5, 4, 250]
    return build_frame(1800.0, PERIOD_S, STEP_S, cells, relations)


def test_every_column_of_the_schema_is_there() -> None:
    """TS 28.552 names come first, in the schema's order; ours are marked "x."."""
    made = frame(accumulators())
    assert made.columns == FRAME_COLUMNS
    assert made.columns[: len(CELL_COLUMNS)] == CELL_COLUMNS
    assert made.relation_columns == RELATION_COLUMNS
    assert made.values.shape == (2, len(FRAME_COLUMNS))
    assert all(name.startswith("x.") for name in (*MEASURED_COLUMNS, *HISTOGRAM_COLUMNS))
    assert tuple(q.name for q in KPIS) == KPI_NAMES
    assert (made.time_s, made.period_s, made.observed_s) == (1800.0, 900.0, 4.0)


# Cell 0, by hand from the accumulators above.
EXPECTED = {
    "RRU.PrbUsedDl": 53.0,
    "RRU.PrbAvailDl": 106.0,
    "RRU.PrbTotDl": 50.0,
    "DRB.UEThpDl": 1e3 * 30 / (400 * 0.04),  # kbit/s over 16 UE s
    "DRB.PdcpSduVolumeDL": 30.0,
    "x.OfferedVolumeDl": 40.0,
    "DRB.MeanActiveUeDl": 4.0,
    "RRC.ConnMean": 5.0,
    "RRC.ConnMax": 7.0,
    "RRC.ConnEstabAtt": 20.0,
    "RRC.ConnEstabSucc": 19.0,
    "RRC.ReEstabAtt": 5.0,
    "MM.HoPrepInterReq": 10.0,
    "MM.HoPrepInterSucc": 9.0,
    "MM.HoPrepInterFail": 1.0,
    "MM.HoExeInterReq": 9.0,
    "MM.HoExeInterSucc": 8.0,
    "MM.HoExeInterFail": 1.0,
    "HO.IntraSys.TooLate": 1.0,
    "HO.IntraSys.TooEarly": 2.0,
    "HO.IntraSys.ToWrongCell": 3.0,
    "x.HoPingPong": 4.0,
    "x.RadioLinkFailure": 2.0,
    "x.CoverageHoleFailure": 1.0,
    "x.InterruptionTime": 0.5,
    "PEE.AvgPower": 250.0,  # 1000 J in 4 s
    "PEE.Energy": 250 * 900 / 3.6e6,  # kWh over the period it stands for
    "prb_utilisation_ratio": 0.5,
    "ue_throughput_mbps": 2.0,
    # 300 steps; 5 % are 15, half of the 30 in bin 3
    "ue_throughput_p5_mbps": 0.05 * (2000 ** (2 / 22) + 2000 ** (3 / 22)) / 2,
    "demand_satisfied_ratio": 0.75,
    "rrc_setup_success_ratio": 0.95,
    "handover_success_ratio": 0.8,
    "handover_failure_ratio": 0.2,  # 1 failed + 1 too late, of 10
    "ping_pong_ratio": 0.5,
    "rlf_per_ue_min": 60 * 2 / (500 * 0.04),
    "interruption_ratio": 0.5 / 20,
    "sinr_mean_db": 12.0,
    "rsrp_mean_dbm": -90.0,
    "weak_coverage_ratio": 0.1,
    "interference_ratio": 0.05,
    "energy_efficiency_bit_per_j": 30e6 / 1000,
}


def test_the_expectations_cover_the_schema() -> None:
    """No counter and no KPI is left out below."""
    assert set(EXPECTED) == set(CELL_COLUMNS)


@pytest.mark.parametrize("name", EXPECTED)
def test_cell_values_by_hand(name: str) -> None:
    """Every counter and KPI of a cell with round numbers, also as the network's."""
    made = frame(accumulators())
    assert made.column(name)[0] == pytest.approx(EXPECTED[name], rel=1e-6)
    if name in KPI_NAMES:
        alone = cells_kpis(made, [0])
        assert alone[name] == pytest.approx(EXPECTED[name], rel=1e-6)


def test_relation_values_by_hand() -> None:
    """Events are counts; border users are a mean over the steps."""
    made = frame(accumulators())
    np.testing.assert_allclose(made.relation_values[0], [10, 8, 1, 1, 2, 3, 5, 4, 2.5])


def test_unknown_is_not_zero() -> None:
    """A cell without users or handovers has counters of zero and no ratios."""
    made = frame(accumulators())
    idle = dict(zip(made.columns, made.values[1], strict=True))
    assert idle["MM.HoPrepInterReq"] == 0
    assert idle["prb_utilisation_ratio"] == 0
    unknown = {name for name in CELL_COLUMNS if np.isnan(idle[name])}
    assert unknown == {
        "DRB.UEThpDl", "ue_throughput_mbps", "ue_throughput_p5_mbps", "demand_satisfied_ratio",
        "rrc_setup_success_ratio", "handover_success_ratio", "handover_failure_ratio",
        "ping_pong_ratio", "rlf_per_ue_min", "interruption_ratio", "sinr_mean_db",
        "rsrp_mean_dbm", "weak_coverage_ratio", "interference_ratio",
    }  # fmt: skip
    np.testing.assert_array_equal(made.valid, np.isfinite(made.values))


def test_a_sleeping_cell_has_no_utilisation() -> None:
    """No resource block is available, so no share of them is in use."""
    cells = accumulators()
    cells[1, n.PRB_AVAILABLE] = 0
    assert np.isnan(frame(cells).column("prb_utilisation_ratio")[1])
    assert np.isnan(frame(cells).column("RRU.PrbTotDl")[1])


def test_pooling_is_by_sums_not_by_averages_of_ratios() -> None:
    """Two cells: 8 of 10 and 1 of 90 are 9 of 100, not 41 %."""
    cells = accumulators()
    cells[1, n.PREPARATION_REQUEST], cells[1, n.EXECUTION_SUCCESS] = 90, 1
    cells[1, n.MEASURED], cells[1, n.RSRP_DBM] = 1440, -100.0 * 1440
    kpis = network_kpis(frame(cells))
    assert kpis["handover_success_ratio"] == pytest.approx(0.09)
    assert kpis["rsrp_mean_dbm"] == pytest.approx((-90 * 480 - 100 * 1440) / 1920)
    assert kpis["prb_utilisation_ratio"] == pytest.approx(0.25)
    assert kpis["power_w"] == pytest.approx(500.0)
    assert kpis["energy_efficiency_bit_per_j"] == pytest.approx(30e6 / 2000)


def test_values_that_are_not_known_are_left_out_of_sums() -> None:
    """A cell whose counter is missing does not turn the network's sum into nothing."""
    made = frame(accumulators())
    column = made.columns.index("DRB.PdcpSduVolumeDL")
    made.values[1, column] = np.nan
    made.valid[1, column] = False
    pooled = pooled_counters(made, np.ones(2, bool))
    assert pooled["DRB.PdcpSduVolumeDL"] == pytest.approx(30.0)
    additive = {q.name for q in COUNTERS if q.unit not in ("%", "kbit/s")}
    assert set(pooled) == additive | {*MEASURED_COLUMNS, *HISTOGRAM_COLUMNS}


def _percentile_by_brute_force(seconds: np.ndarray, share: float) -> float:
    """Return the percentile of time spread evenly over each bin, from a million pieces."""
    edges = [0.0, *(0.05 * 2000 ** (k / 22) for k in range(23))]
    edges.append(edges[-1])
    pieces = 4000
    rate = np.concatenate([
        low + (high - low) * (np.arange(pieces) + 0.5) / pieces
        for low, high in pairwise(edges)
    ])  # fmt: skip
    weight = np.repeat(seconds / pieces, pieces)
    cumulated = np.cumsum(weight)
    return float(rate[np.searchsorted(cumulated, share * cumulated[-1])])


@pytest.mark.parametrize("seed", range(6))
def test_pooled_percentile_by_brute_force(seed: int) -> None:
    """The 5 % throughput of pooled histograms, some bins empty, against a fine sort."""
    rng = np.random.default_rng(seed)
    cells = accumulators(4)
    bins = rng.integers(0, 200, (4, n.THROUGHPUT_BINS)) * (
        rng.uniform(size=(4, n.THROUGHPUT_BINS)) < 0.4
    )
    bins[:, -1] += 10
    cells[:, n.THROUGHPUT_FIRST :] = bins
    made = frame(cells)
    pooled = bins.sum(axis=0) * STEP_S
    expected = _percentile_by_brute_force(pooled, 0.05)
    assert network_kpis(made)["ue_throughput_p5_mbps"] == pytest.approx(expected, rel=2e-3)
    for c in range(4):
        single = _percentile_by_brute_force(bins[c] * STEP_S, 0.05)
        assert made.column("ue_throughput_p5_mbps")[c] == pytest.approx(single, rel=2e-3)


def test_everybody_in_the_last_bin_counts_as_its_edge() -> None:
    """The last bin is open: its percentile is its lower edge, 100 Mbit/s."""
    cells = accumulators()
    cells[0, n.THROUGHPUT_FIRST :] = 0
    cells[0, -1] = 50
    assert frame(cells).column("ue_throughput_p5_mbps")[0] == pytest.approx(100.0)


def test_objective_by_hand() -> None:
    """100 x 0.9 + 4 x 2 - 30 x 0.1 - 10 x 0.2 - 20 x 0.05 + 50 x 0.98 - 10 x 0.3 - 500/1000."""
    kpis = dict.fromkeys(KPI_NAMES, 0.123) | {
        "demand_satisfied_ratio": 0.9, "ue_throughput_p5_mbps": 2.0,
        "handover_failure_ratio": 0.1, "ping_pong_ratio": 0.2, "rlf_per_ue_min": 0.05,
        "rrc_setup_success_ratio": 0.98, "weak_coverage_ratio": 0.3, "power_w": 500.0,
    }  # fmt: skip
    by_hand = 90 + 8 - 3 - 2 - 1 + 49 - 3 - 0.5
    assert objective(kpis, cells=10) == pytest.approx(by_hand)
    without = kpis | {"ping_pong_ratio": float("nan")}
    assert objective(without, cells=10) == pytest.approx(by_hand + 2)


def test_the_objective_pulls_every_kpi_where_it_is_better() -> None:
    """No weight contradicts the direction that the schema states."""
    base = dict.fromkeys(KPI_NAMES, 0.5) | {"power_w": 500.0}
    for name in base:
        moved = objective(base | {name: base[name] + 1}) - objective(base)
        direction = better(name)
        assert moved == 0 or (moved > 0) == (direction == "higher"), name
    assert better("power_w") == "lower"
    assert better("RRC.ReEstabAtt") == QUANTITIES["RRC.ReEstabAtt"].better
