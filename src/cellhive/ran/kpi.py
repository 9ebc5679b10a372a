"""From accumulators to frames, and from frames to the KPIs of a cell, an area, a network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cellhive.core.schema import CELL_COLUMNS, COUNTERS, KPIS, QUANTITIES, RELATION_COLUMNS
from cellhive.core.types import Bools, Floats, KpiFrame
from cellhive.ran import counters as n

HISTOGRAM_COLUMNS = tuple(f"x.UEThpDlDist.Bin{index}" for index in range(n.THROUGHPUT_BINS))
"""Best-effort UE time per throughput bin [s]; kept so that percentiles can be pooled."""

MEASURED_COLUMNS = (
    "x.MeasuredTime", "x.RsrpSum", "x.SinrSum", "x.WeakTime", "x.InterferedTime",
    "x.ConnectedTime", "x.ActiveTime", "x.ElasticTime", "x.ElasticVolume",
)  # fmt: skip
"""Sums behind the KPIs that are means over UE time [UE s, and dBm UE s, dB UE s, Mbit]."""

FRAME_COLUMNS = (*CELL_COLUMNS, *MEASURED_COLUMNS, *HISTOGRAM_COLUMNS)
"""Columns of the frames that the twin reports."""

_COUNTER_OF = {
    "RRC.ConnEstabAtt": n.SETUP_ATTEMPT,
    "RRC.ConnEstabSucc": n.SETUP_SUCCESS,
    "RRC.ReEstabAtt": n.REESTABLISHMENT,
    "MM.HoPrepInterReq": n.PREPARATION_REQUEST,
    "MM.HoPrepInterSucc": n.PREPARATION_SUCCESS,
    "MM.HoPrepInterFail": n.PREPARATION_FAILURE,
    "MM.HoExeInterReq": n.EXECUTION_REQUEST,
    "MM.HoExeInterSucc": n.EXECUTION_SUCCESS,
    "MM.HoExeInterFail": n.EXECUTION_FAILURE,
    "HO.IntraSys.TooLate": n.TOO_LATE,
    "HO.IntraSys.TooEarly": n.TOO_EARLY,
    "HO.IntraSys.ToWrongCell": n.WRONG_CELL,
    "x.HoPingPong": n.PING_PONG,
    "x.RadioLinkFailure": n.RADIO_LINK_FAILURE,
    "x.CoverageHoleFailure": n.COVERAGE_HOLE,
    "x.InterruptionTime": n.INTERRUPTED,
    "PEE.Energy": n.ENERGY_J,
    "DRB.PdcpSduVolumeDL": n.VOLUME_MBIT,
    "x.OfferedVolumeDl": n.OFFERED_MBIT,
    "RRC.ConnMax": n.CONNECTED_MOST,
}


def _sums(cells: Floats, step_s: float) -> dict[str, Floats]:
    """Return every column that is a plain sum over the period, each (C,)."""
    sums = {name: cells[:, column] for name, column in _COUNTER_OF.items()}
    times = (n.MEASURED, n.RSRP_DBM, n.SINR_DB, n.WEAK, n.INTERFERED, n.CONNECTED_TIME,
             n.ACTIVE, n.ELASTIC, n.ELASTIC_MBPS)  # fmt: skip
    for name, column in zip(MEASURED_COLUMNS, times, strict=True):
        sums[name] = cells[:, column] * step_s
    for index, name in enumerate(HISTOGRAM_COLUMNS):
        sums[name] = cells[:, n.THROUGHPUT_FIRST + index] * step_s
    return sums


def build_frame(
    time_s: float, period_s: float, step_s: float, cells: Floats, relations: Floats
) -> KpiFrame:
    """Return the frame of a period from the kernel's accumulators.

    Args:
        time_s: Start of the period [s].
        period_s: Granularity period [s].
        step_s: Length of a kernel step [s].
        cells: Accumulators, (C, A).
        relations: Accumulators of relations, (R, B).
    """
    steps = float(cells[:, n.STEPS].max(initial=0.0))
    observed_s = steps * step_s
    columns = _sums(cells, step_s)
    columns["PEE.AvgPower"] = columns["PEE.Energy"] / max(observed_s, 1e-9)
    columns["PEE.Energy"] = columns["PEE.AvgPower"] * period_s / 3.6e6
    per_step = {
        "RRU.PrbUsedDl": n.PRB_USED,
        "RRU.PrbAvailDl": n.PRB_AVAILABLE,
        "DRB.MeanActiveUeDl": n.ACTIVE,
        "RRC.ConnMean": n.CONNECTED_TIME,
    }
    for name, column in per_step.items():
        columns[name] = cells[:, column] / max(steps, 1.0)
    columns["RRU.PrbTotDl"] = 100.0 * _ratio(columns["RRU.PrbUsedDl"], columns["RRU.PrbAvailDl"])
    columns["DRB.UEThpDl"] = 1e3 * _ratio(columns["DRB.PdcpSduVolumeDL"], columns["x.ActiveTime"])
    columns.update(kpis_from_counters(columns, observed_s))
    values = np.stack([columns[name] for name in FRAME_COLUMNS], axis=1).astype(np.float32)
    counted = relations.copy()
    counted[:, n.RELATION_BORDER] /= max(steps, 1.0)
    return KpiFrame(
        time_s=time_s,
        period_s=period_s,
        observed_s=observed_s,
        columns=FRAME_COLUMNS,
        values=values,
        valid=np.isfinite(values),
        relation_columns=RELATION_COLUMNS,
        relation_values=counted.astype(np.float32),
    )


def _ratio(part: Floats, whole: Floats) -> Floats:
    """Return part / whole, NaN where there is nothing to divide."""
    ratio: Floats = np.full(part.shape, np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio


def kpis_from_counters(c: dict[str, Floats], observed_s: float) -> dict[str, Floats]:
    """Return every KPI of ``schema.KPIS`` from counters of the same objects.

    A KPI whose denominator is zero is NaN: nothing is known about it.

    Args:
        c: Counters by name, each of one shape; sums for pooled objects.
        observed_s: Radio time observed [s].
    """
    successes, failures = c["MM.HoExeInterSucc"], c["MM.HoExeInterFail"] + c["HO.IntraSys.TooLate"]
    return {
        "prb_utilisation_ratio": _ratio(c["RRU.PrbUsedDl"], c["RRU.PrbAvailDl"]),
        "ue_throughput_mbps": _ratio(c["x.ElasticVolume"], c["x.ElasticTime"]),
        "ue_throughput_p5_mbps": throughput_percentile(c, 0.05),
        "demand_satisfied_ratio": _ratio(c["DRB.PdcpSduVolumeDL"], c["x.OfferedVolumeDl"]),
        "rrc_setup_success_ratio": _ratio(c["RRC.ConnEstabSucc"], c["RRC.ConnEstabAtt"]),
        # A success counts in the period it ends in, its request in the one it began in.
        "handover_success_ratio": np.minimum(_ratio(successes, c["MM.HoPrepInterReq"]), 1.0),
        "handover_failure_ratio": _ratio(failures, failures + successes),
        "ping_pong_ratio": _ratio(c["x.HoPingPong"], successes),
        "rlf_per_ue_min": 60.0 * _ratio(c["x.RadioLinkFailure"], c["x.ConnectedTime"]),
        "interruption_ratio": _ratio(c["x.InterruptionTime"], c["x.ConnectedTime"]),
        "sinr_mean_db": _ratio(c["x.SinrSum"], c["x.MeasuredTime"]),
        "rsrp_mean_dbm": _ratio(c["x.RsrpSum"], c["x.MeasuredTime"]),
        "weak_coverage_ratio": _ratio(c["x.WeakTime"], c["x.MeasuredTime"]),
        "interference_ratio": _ratio(c["x.InterferedTime"], c["x.MeasuredTime"]),
        "energy_efficiency_bit_per_j": _ratio(
            1e6 * c["DRB.PdcpSduVolumeDL"], c["PEE.AvgPower"] * observed_s
        ),
    }


def throughput_percentile(c: dict[str, Floats], share: float) -> Floats:
    """Return the throughput below which ``share`` of best-effort UE time lies [Mbit/s].

    Interpolated within the bin of the pooled histogram; NaN without best-effort users.
    """
    bins = np.stack([c[name] for name in HISTOGRAM_COLUMNS], axis=-1)
    cumulated = np.cumsum(bins, axis=-1)
    total = cumulated[..., -1]
    wanted = share * total
    index = np.minimum((cumulated < wanted[..., None]).sum(axis=-1), n.THROUGHPUT_BINS - 1)
    inside = np.take_along_axis(bins, index[..., None], axis=-1)[..., 0]
    below = np.take_along_axis(cumulated, index[..., None], axis=-1)[..., 0] - inside
    edges = np.append(n.THROUGHPUT_EDGES_MBPS, n.THROUGHPUT_EDGES_MBPS[-1])
    part = np.where(inside > 0, (wanted - below) / np.where(inside > 0, inside, 1.0), 0.0)
    value = edges[index] + part * (edges[index + 1] - edges[index])
    known: Floats = np.where(total > 0, value, np.nan)
    return known


def pooled_counters(frame: KpiFrame, members: Bools) -> dict[str, Floats]:
    """Return the counters of a group of cells summed into one object, each of shape ().

    A counter that the frame does not have is NaN.
    """
    names = [q.name for q in COUNTERS if q.unit not in ("%", "kbit/s")]
    names += [*MEASURED_COLUMNS, *HISTOGRAM_COLUMNS]
    column_of = {name: index for index, name in enumerate(frame.columns)}
    pooled = {}
    for name in names:
        if name not in column_of:
            pooled[name] = np.asarray(np.nan)
            continue
        index = column_of[name]
        known = frame.valid[:, index] & members
        pooled[name] = np.asarray(np.sum(frame.values[known, index], dtype=np.float64))
    return pooled


def cells_kpis(frame: KpiFrame, cells: Sequence[int]) -> dict[str, float]:
    """Return every KPI over a group of cells, computed from their summed counters.

    Also "power_w", the mean power drawn by the group [W]. Not an average of ratios: a
    cell counts by its traffic.
    """
    members = np.zeros(frame.values.shape[0], bool)
    members[np.asarray(cells, dtype=int)] = True
    counters = pooled_counters(frame, members)
    kpis = {k: float(v) for k, v in kpis_from_counters(counters, frame.observed_s).items()}
    kpis["power_w"] = float(counters["PEE.AvgPower"])
    return kpis


def network_kpis(frame: KpiFrame) -> dict[str, float]:
    """Return every KPI over the whole network, see ``cells_kpis``."""
    return cells_kpis(frame, range(frame.values.shape[0]))


WEIGHTS = {
    "demand_satisfied_ratio": 100.0,
    "ue_throughput_p5_mbps": 4.0,
    "handover_failure_ratio": -30.0,
    "ping_pong_ratio": -10.0,
    "rlf_per_ue_min": -20.0,
    "rrc_setup_success_ratio": 50.0,
    "weak_coverage_ratio": -10.0,
}
"""Weights of the objective, per unit of each KPI; energy is added by ``objective``."""

POINTS_PER_KW = 1.0
"""Price of power in the objective [points per kW of the whole network per 10 cells]."""


def objective(kpis: dict[str, float], cells: int = 1) -> float:
    """Return the weighted score of KPIs; higher is better, unknown KPIs count nothing.

    One point is one percentage point of demand satisfied. Power is charged per cell:
    100 W per cell cost ``POINTS_PER_KW``.

    Args:
        kpis: From ``network_kpis`` or ``cells_kpis``.
        cells: Number of cells the KPIs are over.
    """
    score = sum(weight * kpis[name] for name, weight in WEIGHTS.items() if np.isfinite(kpis[name]))
    return float(score - POINTS_PER_KW * kpis["power_w"] / (100.0 * max(cells, 1)))


def better(name: str) -> str:
    """Return "higher", "lower" or "" for a KPI or counter."""
    return "lower" if name == "power_w" else QUANTITIES[name].better


KPI_NAMES = tuple(q.name for q in KPIS)
"""Names of the KPIs, in the order of the schema."""
