"""The one registry of every counter, KPI and parameter: name, unit, range, direction, source.

Readers, simulator, rules, guard, reports and documentation all look here. Counters
carry their TS 28.552 names; a name that starts with "x." is our own, where the
standard has none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a quantity is."""

    COUNTER = "counter"
    KPI = "kpi"
    PARAMETER = "parameter"


class Per(StrEnum):
    """What a quantity belongs to."""

    CELL = "cell"
    RELATION = "relation"


@dataclass(frozen=True, slots=True)
class Quantity:
    """One counter, KPI or parameter."""

    name: str
    unit: str
    kind: Kind
    description: str
    source: str = ""
    """3GPP clause or attribute the quantity follows."""
    per: Per = Per.CELL
    better: str = ""
    """"higher", "lower" or "" where neither is better in itself."""
    low: float = -math.inf
    """Smallest possible value."""
    high: float = math.inf
    """Largest possible value."""
    grid: tuple[float, ...] = ()
    """The only values a parameter may take, ascending; empty means any."""
    max_step: float = math.inf
    """Largest change of a parameter in one plan."""
    min_interval_s: float = 0.0
    """Shortest time between two changes of a parameter on one object [s]."""
    label: str = ""
    """Short name for tables and charts."""


def _grid(low: float, high: float, step: float) -> tuple[float, ...]:
    count = round((high - low) / step)
    return tuple(round(low + index * step, 6) for index in range(count + 1))


TIME_TO_TRIGGER_S = (
    0.0, 0.04, 0.064, 0.08, 0.1, 0.128, 0.16, 0.256,
    0.32, 0.48, 0.512, 0.64, 1.024, 1.28, 2.56, 5.12,
)  # fmt: skip
"""TS 38.331 TimeToTrigger."""

Q_OFFSET_DB = (
    *_grid(-24, -8, 2),
    *_grid(-6, 6, 1),
    *_grid(8, 24, 2),
)
"""TS 38.331 Q-OffsetRange."""

PARAMETERS = (
    Quantity(
        "cio_db", "dB", Kind.PARAMETER,
        "Offset of one neighbour relation, added to the target's measurement in event A3; "
        "positive hands over earlier.",
        "TS 28.541 NRCellRelation.cellIndividualOffset; TS 38.331 §5.5.4.4 (Ocn)",
        per=Per.RELATION, low=-24, high=24, grid=Q_OFFSET_DB, max_step=2, min_interval_s=900,
        label="CIO",
    ),
    Quantity(
        "a3_offset_db", "dB", Kind.PARAMETER,
        "By how much a neighbour must be better than the serving cell.",
        "TS 38.331 §5.5.4.4 (Off), a3-Offset: -30 to 30 in steps of 0.5 dB",
        low=-15, high=15, grid=_grid(-15, 15, 0.5), max_step=1, min_interval_s=900,
        label="A3 offset",
    ),
    Quantity(
        "hysteresis_db", "dB", Kind.PARAMETER,
        "Added to the entering and taken from the leaving condition of event A3.",
        "TS 38.331 §5.5.4.4 (Hys), Hysteresis: 0 to 30 in steps of 0.5 dB",
        low=0, high=15, grid=_grid(0, 15, 0.5), max_step=1, min_interval_s=900,
        label="Hysteresis",
    ),
    Quantity(
        "time_to_trigger_s", "s", Kind.PARAMETER,
        "How long the entering condition must hold before the report.",
        "TS 38.331 TimeToTrigger",
        low=0, high=5.12, grid=TIME_TO_TRIGGER_S, max_step=0.32, min_interval_s=900,
        label="TTT",
    ),
    Quantity(
        "filter_coefficient", "", Kind.PARAMETER,
        "Layer-3 filter coefficient k; the filter weight is 1/2^(k/4) per 200 ms.",
        "TS 38.331 §5.5.3.2, FilterCoefficient",
        low=0, high=19, grid=(*_grid(0, 9, 1), 11, 13, 15, 17, 19), max_step=2,
        min_interval_s=900, label="L3 k",
    ),
    Quantity(
        "electrical_tilt_deg", "deg", Kind.PARAMETER,
        "Electrical downtilt of the antenna.",
        "TS 28.541 CommonBeamformingFunction.digitalTilt",
        low=0, high=15, grid=_grid(0, 15, 0.5), max_step=2, min_interval_s=1800,
        label="Tilt",
    ),
    Quantity(
        "tx_power_dbm", "dBm", Kind.PARAMETER,
        "Total transmit power of the cell at full load.",
        "TS 28.541 NRSectorCarrier.configuredMaxTxPower",
        low=0, high=53, grid=_grid(0, 53, 0.5), max_step=2, min_interval_s=1800,
        label="Power",
    ),
    Quantity(
        "asleep", "", Kind.PARAMETER,
        "1 while the cell is switched off to save energy.",
        "TS 28.541 CESManagementFunction.energySavingControl and energySavingState",
        low=0, high=1, grid=(0, 1), max_step=1, min_interval_s=1800,
        label="Asleep",
    ),
)  # fmt: skip

COUNTERS = (
    Quantity("RRU.PrbUsedDl", "PRB", Kind.COUNTER, "Mean number of downlink PRBs in use.",
             "TS 28.552 §5.1.1.2", low=0),
    Quantity("RRU.PrbAvailDl", "PRB", Kind.COUNTER, "Mean number of downlink PRBs available.",
             "TS 28.552 §5.1.1.2", low=0),
    Quantity("RRU.PrbTotDl", "%", Kind.COUNTER, "Downlink PRB usage.",
             "TS 28.552 §5.1.1.2", low=0, high=100),
    Quantity("DRB.UEThpDl", "kbit/s", Kind.COUNTER, "Mean downlink throughput of an active UE.",
             "TS 28.552 §5.1.1.3", better="higher", low=0),
    Quantity("DRB.PdcpSduVolumeDL", "Mbit", Kind.COUNTER, "Downlink volume delivered.",
             "TS 28.552 DRB.PdcpSduVolumeDL", better="higher", low=0),
    Quantity("x.OfferedVolumeDl", "Mbit", Kind.COUNTER, "Downlink volume that UEs asked for.",
             low=0),
    Quantity("DRB.MeanActiveUeDl", "UE", Kind.COUNTER, "Mean number of UEs with data to receive.",
             "TS 28.552 DRB.MeanActiveUeDl", low=0),
    Quantity("RRC.ConnMean", "UE", Kind.COUNTER, "Mean number of RRC connected UEs.",
             "TS 28.552 RRC.ConnMean", low=0),
    Quantity("RRC.ConnMax", "UE", Kind.COUNTER, "Largest number of RRC connected UEs.",
             "TS 28.552 RRC.ConnMax", low=0),
    Quantity("RRC.ConnEstabAtt", "", Kind.COUNTER, "RRC connection establishments attempted.",
             "TS 28.552 RRC.ConnEstabAtt", low=0),
    Quantity("RRC.ConnEstabSucc", "", Kind.COUNTER, "RRC connection establishments that succeeded.",
             "TS 28.552 RRC.ConnEstabSucc", low=0),
    Quantity("RRC.ReEstabAtt", "", Kind.COUNTER, "RRC re-establishments attempted in the cell.",
             "TS 28.552 RRC.ReEstabAtt", better="lower", low=0),
    Quantity("MM.HoPrepInterReq", "", Kind.COUNTER, "Outgoing preparations requested.",
             "TS 28.552 §5.1.1.6", low=0),
    Quantity("MM.HoPrepInterSucc", "", Kind.COUNTER, "Outgoing preparations that succeeded.",
             "TS 28.552 §5.1.1.6", low=0),
    Quantity("MM.HoPrepInterFail", "", Kind.COUNTER, "Outgoing preparations that failed.",
             "TS 28.552 §5.1.1.6", better="lower", low=0),
    Quantity("MM.HoExeInterReq", "", Kind.COUNTER, "Outgoing handover executions requested.",
             "TS 28.552 §5.1.1.6", low=0),
    Quantity("MM.HoExeInterSucc", "", Kind.COUNTER, "Outgoing handover executions that succeeded.",
             "TS 28.552 §5.1.1.6", low=0),
    Quantity("MM.HoExeInterFail", "", Kind.COUNTER, "Outgoing handover executions that failed.",
             "TS 28.552 §5.1.1.6", better="lower", low=0),
    Quantity("HO.IntraSys.TooLate", "", Kind.COUNTER,
             "Radio link failures in the cell that a handover should have come before.",
             "TS 28.552 MRO; TS 38.300 §15.5.2", better="lower", low=0),
    Quantity("HO.IntraSys.TooEarly", "", Kind.COUNTER,
             "Failures shortly after a handover out of the cell, back to it.",
             "TS 28.552 MRO; TS 38.300 §15.5.2", better="lower", low=0),
    Quantity("HO.IntraSys.ToWrongCell", "", Kind.COUNTER,
             "Failures shortly after a handover out of the cell, to a third cell.",
             "TS 28.552 MRO; TS 38.300 §15.5.2", better="lower", low=0),
    Quantity("x.HoPingPong", "", Kind.COUNTER,
             "Handovers out of the cell that came back within the minimum time of stay.",
             "TR 36.839 §5.1, definitions 5 and 6", better="lower", low=0),
    Quantity("x.RadioLinkFailure", "", Kind.COUNTER, "Radio link failures while served here.",
             "TS 38.331 §5.3.10", better="lower", low=0),
    Quantity("x.CoverageHoleFailure", "", Kind.COUNTER,
             "Radio link failures that came back to the same cell with no handover about.",
             better="lower", low=0),
    Quantity("x.InterruptionTime", "s", Kind.COUNTER,
             "Time that connected UEs could not receive: handovers and re-establishments.",
             better="lower", low=0),
    Quantity("PEE.AvgPower", "W", Kind.COUNTER, "Mean power drawn by the cell.",
             "TS 28.552 §5.1.1.19.2.1", better="lower", low=0),
    Quantity("PEE.Energy", "kWh", Kind.COUNTER, "Energy drawn over the granularity period.",
             "TS 28.552 §5.1.1.19", better="lower", low=0),
)  # fmt: skip

KPIS = (
    Quantity("prb_utilisation_ratio", "ratio", Kind.KPI, "Share of downlink PRBs in use.",
             "TS 28.554 §6.4 (utilisation)", low=0, high=1, label="PRB utilisation"),
    Quantity("ue_throughput_mbps", "Mbit/s", Kind.KPI,
             "Mean downlink throughput of UEs with data to receive.",
             "TS 28.554 §6.3 (integrity)", better="higher", low=0, label="UE throughput"),
    Quantity("ue_throughput_p5_mbps", "Mbit/s", Kind.KPI,
             "Downlink throughput that 95 % of UE time exceeds: the cell edge.",
             better="higher", low=0, label="Cell-edge throughput"),
    Quantity("demand_satisfied_ratio", "ratio", Kind.KPI,
             "Delivered volume over the volume asked for.",
             better="higher", low=0, high=1, label="Demand satisfied"),
    Quantity("rrc_setup_success_ratio", "ratio", Kind.KPI,
             "Established over attempted RRC connections.",
             "TS 28.554 §6.2 (accessibility)", better="higher", low=0, high=1,
             label="RRC setup success"),
    Quantity("handover_success_ratio", "ratio", Kind.KPI,
             "Successful executions over requested preparations.",
             "TS 28.554 §6.6 (mobility)", better="higher", low=0, high=1,
             label="Handover success"),
    Quantity("handover_failure_ratio", "ratio", Kind.KPI,
             "Handover failures over failures and successes; a too late failure counts as one.",
             "TR 36.839 §5.2.1.3", better="lower", low=0, high=1, label="Handover failures"),
    Quantity("ping_pong_ratio", "ratio", Kind.KPI, "Ping-pongs over successful handovers.",
             "TR 36.839 §5.1", better="lower", low=0, high=1, label="Ping-pong"),
    Quantity("rlf_per_ue_min", "1/min", Kind.KPI,
             "Radio link failures per connected UE and minute.",
             "TS 28.554 §6.5 (retainability)", better="lower", low=0, label="RLF per UE-minute"),
    Quantity("interruption_ratio", "ratio", Kind.KPI,
             "Share of connected time in which UEs could not receive.",
             better="lower", low=0, high=1, label="Interruption"),
    Quantity("sinr_mean_db", "dB", Kind.KPI, "Mean downlink SINR of connected UEs.",
             better="higher", low=-30, high=60, label="SINR"),
    Quantity("rsrp_mean_dbm", "dBm", Kind.KPI, "Mean RSRP of connected UEs.",
             better="higher", low=-156, high=-31, label="RSRP"),
    Quantity("weak_coverage_ratio", "ratio", Kind.KPI,
             "Share of UE time with serving RSRP below -110 dBm.",
             better="lower", low=0, high=1, label="Weak coverage"),
    Quantity("interference_ratio", "ratio", Kind.KPI,
             "Share of UE time with serving RSRP above -110 dBm but SINR below 0 dB.",
             better="lower", low=0, high=1, label="Interfered"),
    Quantity("energy_efficiency_bit_per_j", "bit/J", Kind.KPI,
             "Delivered bits over energy drawn.",
             "TS 28.554 §6.7 (EE_MN,DV)", better="higher", low=0, label="Energy efficiency"),
)  # fmt: skip

RELATION_COUNTERS = (
    Quantity("MM.HoPrepInterReq.nCI", "", Kind.COUNTER, "Handover preparations towards the target.",
             "TS 28.552 §5.1.1.6", per=Per.RELATION, low=0),
    Quantity("MM.HoExeInterSucc.nCI", "", Kind.COUNTER, "Successful handovers to the target.",
             "TS 28.552 §5.1.1.6", per=Per.RELATION, low=0),
    Quantity("MM.HoExeInterFail.nCI", "", Kind.COUNTER, "Failed handovers to the target.",
             "TS 28.552 §5.1.1.6", per=Per.RELATION, better="lower", low=0),
    Quantity("HO.IntraSys.TooLate.nCI", "", Kind.COUNTER,
             "Failures in the source that came back in the target.",
             "TS 28.552 MRO", per=Per.RELATION, better="lower", low=0),
    Quantity("HO.IntraSys.TooEarly.nCI", "", Kind.COUNTER,
             "Failures shortly after the handover, back to the source.",
             "TS 28.552 MRO", per=Per.RELATION, better="lower", low=0),
    Quantity("HO.IntraSys.ToWrongCell.nCI", "", Kind.COUNTER,
             "Failures shortly after the handover, to a third cell.",
             "TS 28.552 MRO", per=Per.RELATION, better="lower", low=0),
    Quantity("x.HoWrongCellTaken.nCI", "", Kind.COUNTER,
             "Failures after a handover elsewhere that this target took over.",
             per=Per.RELATION, better="lower", low=0),
    Quantity("x.HoPingPong.nCI", "", Kind.COUNTER,
             "Handovers to the target that came back within the minimum time of stay.",
             "TR 36.839 §5.1", per=Per.RELATION, better="lower", low=0),
    Quantity("x.BorderUe.nCI", "UE", Kind.COUNTER,
             "Mean number of connected UEs that measure the target within 3 dB of the source.",
             per=Per.RELATION, low=0),
)  # fmt: skip

CELL_COLUMNS = tuple(q.name for q in (*COUNTERS, *KPIS))
"""Columns of a full frame of cell values, in order."""

RELATION_COLUMNS = tuple(q.name for q in RELATION_COUNTERS)
"""Columns of a full frame of relation values, in order."""

QUANTITIES: dict[str, Quantity] = {
    quantity.name: quantity for quantity in (*PARAMETERS, *COUNTERS, *KPIS, *RELATION_COUNTERS)
}
"""Every quantity by name."""
