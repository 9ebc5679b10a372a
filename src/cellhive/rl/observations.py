"""What an agent sees of its cell: features with unit, range and where they come from.

Every feature is scaled to 0 to 1 over its range and held at the ends; -1 says that it is
not known, for example a handover ratio where nobody moved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellhive.core.schema import QUANTITIES
from cellhive.core.types import Floats, Floats32, Ints, KpiFrame, Network
from cellhive.rl.admission import KINDS, PARAMETERS_OF_A_CELL

UNKNOWN = -1.0
"""What stands for a value that is not known."""

_DAY_S = 86400.0
_MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Feature:
    """One number an agent sees of its cell."""

    name: str
    unit: str
    low: float
    """Value that is seen as 0."""
    high: float
    """Value that is seen as 1."""
    description: str


def _kpi(name: str, low: float | None = None, high: float | None = None) -> Feature:
    """Return the feature of a KPI, with its own range where none is given."""
    quantity = QUANTITIES[name]
    return Feature(
        name, quantity.unit, quantity.low if low is None else low,
        quantity.high if high is None else high, quantity.description,
    )  # fmt: skip


def _rate(name: str, high: float) -> Feature:
    return Feature(name, "1/min", 0.0, high, f"{QUANTITIES[name].description} Per minute.")


KPI_FEATURES = (
    _kpi("prb_utilisation_ratio"),
    _kpi("demand_satisfied_ratio"),
    _kpi("ue_throughput_mbps", 0.0, 20.0),
    _kpi("ue_throughput_p5_mbps", 0.0, 20.0),
    _kpi("handover_failure_ratio"),
    _kpi("ping_pong_ratio"),
    _kpi("rlf_per_ue_min", 0.0, 2.0),
    _kpi("interruption_ratio", 0.0, 0.2),
    _kpi("sinr_mean_db", -10.0, 30.0),
    _kpi("rsrp_mean_dbm", -130.0, -60.0),
    _kpi("weak_coverage_ratio"),
    _kpi("interference_ratio"),
    _kpi("RRC.ConnMean", 0.0, 50.0),
    _kpi("DRB.MeanActiveUeDl", 0.0, 50.0),
    _kpi("PEE.AvgPower", 0.0, 500.0),
)
"""Of the last period, as the cell counted it."""

RATE_FEATURES = (
    _rate("MM.HoExeInterSucc", 60.0),
    _rate("HO.IntraSys.TooLate", 10.0),
    _rate("HO.IntraSys.TooEarly", 10.0),
    _rate("HO.IntraSys.ToWrongCell", 10.0),
)
"""Events of the last period, per minute of radio time."""

PARAMETER_FEATURES = tuple(_kpi(name) for name in PARAMETERS_OF_A_CELL)
"""What the cell is set to."""

CONTEXT_FEATURES = (
    Feature("neighbour_load_mean", "ratio", 0.0, 1.0, "Mean PRB utilisation of all neighbours."),
    Feature("neighbour_load_max", "ratio", 0.0, 1.0, "PRB utilisation of the busiest neighbour."),
    Feature("day_sine", "", -1.0, 1.0, "Sine of the time of day; the day is one turn."),
    Feature("day_cosine", "", -1.0, 1.0, "Cosine of the time of day."),
)
"""What is around the cell."""

SLOT_FEATURES = (
    Feature("load", "ratio", 0.0, 1.0, "PRB utilisation of the neighbour."),
    Feature("cio_out_db", "dB", -24.0, 24.0, "CIO from the cell to the neighbour."),
    Feature("cio_back_db", "dB", -24.0, 24.0, "CIO from the neighbour to the cell."),
    Feature("successes", "1/min", 0.0, 30.0, "Successful handovers to the neighbour per minute."),
    Feature("too_late", "1/min", 0.0, 5.0, "Too late handovers to the neighbour per minute."),
    Feature("too_early", "1/min", 0.0, 5.0, "Too early handovers to the neighbour per minute."),
    Feature("ping_pongs", "1/min", 0.0, 10.0, "Ping-pongs with the neighbour per minute."),
    Feature("border_ue", "UE", 0.0, 10.0, "Users that measure the neighbour within 3 dB."),
)
"""Of each of the strongest neighbours, in the order of the CIO columns."""

_SLOT_RATES = (
    "MM.HoExeInterSucc.nCI", "HO.IntraSys.TooLate.nCI", "HO.IntraSys.TooEarly.nCI",
    "x.HoPingPong.nCI",
)  # fmt: skip


def features_of(neighbours: int) -> tuple[Feature, ...]:
    """Return every feature in order, for so many neighbour slots."""
    slots = (
        Feature(f"{f.name}[{k}]", f.unit, f.low, f.high, f.description)
        for k in range(neighbours)
        for f in SLOT_FEATURES
    )
    return (*KPI_FEATURES, *RATE_FEATURES, *PARAMETER_FEATURES, *CONTEXT_FEATURES, *slots)


class Observations:
    """The observation of every cell of every network, as one array."""

    def __init__(self, network: Network, slots: Ints) -> None:
        """Prepare what the observations of a network need.

        Args:
            network: The network.
            slots: Relations to the strongest neighbours, (C, K), -1 for none.
        """
        self.features = features_of(slots.shape[1])
        self.cells, self.relations = network.cells, network.relations
        self._low = np.array([feature.low for feature in self.features])
        self._span = np.array([feature.high for feature in self.features]) - self._low
        self._source, self._target = network.relation_source, network.relation_target
        self._degree = np.maximum(np.bincount(self._source, minlength=self.cells), 1)
        self._slots = slots
        pairs = zip(self._source.tolist(), self._target.tolist(), strict=True)
        self._back = np.array([network.relation_index.get((j, i), -1) for i, j in pairs], np.int32)

    def of(self, frame: KpiFrame, values: Floats, time_s: Floats) -> Floats32:
        """Return the observations, (E, C, F) float32.

        Args:
            frame: The last period; the cells of the networks one after the other.
            values: Present values of the parameters, (E, V).
            time_s: Time of day of each network [s], (E,).
        """
        networks = values.shape[0]
        kpis = [frame.column(f.name).reshape(networks, -1) for f in KPI_FEATURES]
        per_minute = _MINUTE_S / max(frame.observed_s, 1e-9)
        rates = [frame.column(f.name).reshape(networks, -1) * per_minute for f in RATE_FEATURES]
        parameters = values[:, : len(PARAMETERS_OF_A_CELL) * self.cells]
        parameters = parameters.reshape(networks, len(PARAMETERS_OF_A_CELL), self.cells)
        load = np.nan_to_num(kpis[0]).astype(np.float64)
        parts = [
            np.stack([*kpis, *rates], axis=-1),
            parameters.transpose(0, 2, 1),
            self._context(load, time_s),
            self._neighbours(frame, values, load, per_minute),
        ]
        raw = np.concatenate(parts, axis=-1, dtype=np.float64)
        scaled = np.clip((raw - self._low) / self._span, 0.0, 1.0)
        return np.where(np.isnan(scaled), UNKNOWN, scaled).astype(np.float32)

    def _context(self, load: Floats, time_s: Floats) -> Floats:
        """Return ``CONTEXT_FEATURES``, (E, C, 4)."""
        networks = load.shape[0]
        nearby = load[:, self._target]
        mean = np.zeros((networks, self.cells))
        most = np.zeros((networks, self.cells))
        everyone = np.arange(networks)[:, None]
        np.add.at(mean, (everyone, self._source), nearby)
        np.maximum.at(most, (everyone, self._source), nearby)
        turn = np.broadcast_to((2 * np.pi * time_s / _DAY_S)[:, None], mean.shape)
        return np.stack([mean / self._degree, most, np.sin(turn), np.cos(turn)], axis=-1)

    def _neighbours(
        self, frame: KpiFrame, values: Floats, load: Floats, per_minute: float
    ) -> Floats:
        """Return ``SLOT_FEATURES`` of every slot, (E, C, K * 8); NaN where there is none."""
        networks = values.shape[0]
        cio = values[:, len(KINDS[:-1]) * self.cells :]
        back = np.where(self._back >= 0, cio[:, self._back], np.nan)
        rates = [
            frame.relation_column(name).reshape(networks, -1) * per_minute for name in _SLOT_RATES
        ]
        border = frame.relation_column("x.BorderUe.nCI").reshape(networks, -1)
        per_relation = np.stack([load[:, self._target], cio, back, *rates, border], axis=-1)
        chosen = per_relation[:, self._slots]
        chosen[:, self._slots < 0] = np.nan
        return np.asarray(chosen.reshape(networks, self.cells, -1))
