"""What is known about radio networks before any data: tiers, edges, their prior odds.

A change of configuration or surroundings acts on the radio conditions, these on load, load
on mobility and all of them on what users experience; nothing acts back within a reporting
period. Names are those of ``core.schema``; a variable of another name is told what it is
like. Log prior odds are judgements: 1 makes an edge e times as likely, 3 twenty times, and
a few dozen samples of a real effect outweigh any of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum

from cellhive.causal.graph import Edge, Knowledge
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.schema import QUANTITIES


class Tier(IntEnum):
    """Where a quantity stands between what is set and what is felt."""

    CONFIGURATION = 0
    """What is set, and the surroundings: parameters, capacity built, users' demand."""
    RADIO = 1
    """How well users receive their cell, and others."""
    LOAD = 2
    """How many users there are and how much of the cell they take."""
    MOBILITY = 3
    """What becomes of links: handovers and failures."""
    EXPERIENCE = 4
    """What users notice and the operator pays."""


TIERS: Mapping[str, Tier] = {
    name: tier
    for tier, text in (
        (Tier.CONFIGURATION, """
            cio_db a3_offset_db hysteresis_db time_to_trigger_s filter_coefficient
            electrical_tilt_deg tx_power_dbm asleep RRU.PrbAvailDl
        """),
        (Tier.RADIO, """
            rsrp_mean_dbm sinr_mean_db weak_coverage_ratio interference_ratio x.BorderUe.nCI
        """),
        (Tier.LOAD, """
            x.OfferedVolumeDl RRC.ConnEstabAtt RRC.ConnEstabSucc RRC.ConnMean RRC.ConnMax
            DRB.MeanActiveUeDl RRU.PrbUsedDl RRU.PrbTotDl prb_utilisation_ratio
        """),
        (Tier.MOBILITY, """
            MM.HoPrepInterReq MM.HoPrepInterSucc MM.HoPrepInterFail MM.HoExeInterReq
            MM.HoExeInterSucc MM.HoExeInterFail HO.IntraSys.TooLate HO.IntraSys.TooEarly
            HO.IntraSys.ToWrongCell x.HoPingPong x.RadioLinkFailure x.CoverageHoleFailure
            RRC.ReEstabAtt handover_success_ratio handover_failure_ratio ping_pong_ratio
            MM.HoPrepInterReq.nCI MM.HoExeInterSucc.nCI MM.HoExeInterFail.nCI
            HO.IntraSys.TooLate.nCI HO.IntraSys.TooEarly.nCI HO.IntraSys.ToWrongCell.nCI
            x.HoWrongCellTaken.nCI x.HoPingPong.nCI
        """),
        (Tier.EXPERIENCE, """
            x.InterruptionTime interruption_ratio rlf_per_ue_min rrc_setup_success_ratio
            DRB.UEThpDl DRB.PdcpSduVolumeDL ue_throughput_mbps ue_throughput_p5_mbps
            demand_satisfied_ratio PEE.AvgPower PEE.Energy energy_efficiency_bit_per_j
        """),
    )
    for name in text.split()
}  # fmt: skip
"""Tier of every quantity of ``core.schema``."""

_HANDOVER = "cio_db a3_offset_db hysteresis_db time_to_trigger_s filter_coefficient"
_ENERGY = "PEE.AvgPower PEE.Energy energy_efficiency_bit_per_j"
_PRBS = "prb_utilisation_ratio RRU.PrbUsedDl RRU.PrbTotDl"
_THROUGHPUT = "ue_throughput_mbps ue_throughput_p5_mbps DRB.UEThpDl"
_FAILURES = (
    "handover_failure_ratio handover_success_ratio HO.IntraSys.TooLate HO.IntraSys.TooEarly "
    "HO.IntraSys.ToWrongCell MM.HoExeInterFail"
)
_LOST = "rlf_per_ue_min x.RadioLinkFailure"

_LIKELY: tuple[tuple[str, str, float], ...] = (
    # configuration
    ("electrical_tilt_deg", "rsrp_mean_dbm sinr_mean_db weak_coverage_ratio "
     "interference_ratio x.BorderUe.nCI", 2.0),
    ("electrical_tilt_deg", "RRC.ConnMean", 1.0),
    ("tx_power_dbm", "rsrp_mean_dbm weak_coverage_ratio PEE.AvgPower PEE.Energy", 3.0),
    ("tx_power_dbm", "sinr_mean_db RRC.ConnMean x.BorderUe.nCI", 1.0),
    ("asleep", "PEE.AvgPower PEE.Energy RRC.ConnMean RRU.PrbAvailDl", 3.0),
    ("RRU.PrbAvailDl", _PRBS, 2.0),
    ("cio_db", "RRC.ConnMean MM.HoPrepInterReq", 1.5),
    (_HANDOVER, f"{_FAILURES} x.HoPingPong ping_pong_ratio", 2.0),
    ("a3_offset_db hysteresis_db time_to_trigger_s cio_db", "MM.HoPrepInterReq", 2.0),
    # radio
    ("rsrp_mean_dbm", "weak_coverage_ratio", 3.0),
    ("rsrp_mean_dbm", "sinr_mean_db", 1.5),
    ("sinr_mean_db", "interference_ratio", 3.0),
    ("sinr_mean_db", f"{_PRBS} {_THROUGHPUT} {_LOST}", 2.0),
    ("sinr_mean_db interference_ratio", f"{_FAILURES} rrc_setup_success_ratio", 1.0),
    ("weak_coverage_ratio", f"x.CoverageHoleFailure {_LOST} rrc_setup_success_ratio", 2.0),
    ("interference_ratio", f"{_LOST} ue_throughput_p5_mbps", 2.0),
    ("x.BorderUe.nCI", "MM.HoPrepInterReq.nCI x.HoPingPong.nCI", 2.0),
    # load
    ("x.OfferedVolumeDl RRC.ConnMean DRB.MeanActiveUeDl", _PRBS, 3.0),
    ("RRC.ConnEstabAtt", "RRC.ConnMean RRC.ConnMax RRC.ConnEstabSucc", 2.0),
    ("RRC.ConnMean", "MM.HoPrepInterReq DRB.MeanActiveUeDl RRC.ConnMax", 2.0),
    ("RRC.ConnMax", "rrc_setup_success_ratio MM.HoPrepInterFail", 2.0),
    (_PRBS, f"{_THROUGHPUT} demand_satisfied_ratio {_ENERGY}", 3.0),
    (_PRBS, "MM.HoPrepInterFail", 1.0),
    (_PRBS, "x.OfferedVolumeDl RRC.ConnEstabAtt RRC.ConnMean DRB.MeanActiveUeDl", -2.0),
    # mobility
    ("x.HoPingPong ping_pong_ratio MM.HoExeInterReq", "interruption_ratio x.InterruptionTime",
     2.0),
    (_FAILURES, f"{_LOST} interruption_ratio x.InterruptionTime RRC.ReEstabAtt", 2.0),
    ("x.CoverageHoleFailure", f"{_LOST} RRC.ReEstabAtt", 2.0),
    ("x.RadioLinkFailure", "RRC.ReEstabAtt interruption_ratio x.InterruptionTime", 2.0),
    # experience
    ("interruption_ratio", f"{_THROUGHPUT} demand_satisfied_ratio", 1.0),
    ("DRB.PdcpSduVolumeDL", "energy_efficiency_bit_per_j", 3.0),
)  # fmt: skip
"""Causes, effects and log odds to add within a period."""

_BY_DEFINITION: tuple[tuple[str, str], ...] = (
    ("HO.IntraSys.TooLate MM.HoExeInterFail", "handover_failure_ratio"),
    ("x.HoPingPong", "ping_pong_ratio"),
    ("x.RadioLinkFailure", "rlf_per_ue_min"),
    ("x.InterruptionTime", "interruption_ratio"),
)
"""Counters, and the KPI that is computed from them (``ran.kpi``; TS 28.554)."""

_DIRECT_IS_RARE = -1.0
"""Configuration on experience: it acts through radio, load or mobility."""
_PERSISTENT = 1.5
"""A quantity one period ago on itself: settings stay and traffic is slow."""


def tier_of(name: str, like: Mapping[str, str | Tier] | None = None) -> Tier:
    """Return the tier of a variable.

    Args:
        name: Of the variable, one of ``core.schema`` or of ``like``.
        like: The quantity of ``core.schema`` that another variable is like, or its tier.

    Raises:
        NotFound: If nobody knows the name.
    """
    known = (like or {}).get(name, name)
    if isinstance(known, Tier):
        return known
    if known not in TIERS:
        where = "the registry of quantities" if known == name else f"it, as {name!r} is like it"
        message = (
            f"expected a quantity of core.schema ({', '.join(list(QUANTITIES)[:4])}, ...), found "
            f"{known!r}, which is not in {where}; say in `like` which quantity it resembles"
        )
        raise NotFound(message)
    return TIERS[known]


def radio_knowledge(
    names: Sequence[str],
    lags: int = 0,
    *,
    like: Mapping[str, str | Tier] | None = None,
    by_definition: bool = True,
) -> Knowledge:
    """Return what is known of radio networks about these variables.

    Tiers bind within a period only: functions that read counters set parameters later. Two
    parameters never cause each other within a period, even where one function sets both;
    energy causes nothing but its own ratios.

    Args:
        names: Of the variables.
        lags: How many earlier periods may hold causes; from 1 on, persistence is encouraged.
        like: For a variable that ``core.schema`` does not have (a derived one, or one of the
            neighbours), the quantity that it resembles: it has its tier and its edges; or its
            tier alone.
        by_definition: Whether a KPI must have the counters as causes that it is computed from.

    Raises:
        NotFound: If a name is neither in ``core.schema`` nor in ``like``.
        BadInput: If ``like`` speaks of variables that there are not.
    """
    alike = like or {}
    spare = sorted(set(alike) - set(names))
    if spare:
        raise BadInput(
            expected="variables of the data in `like`", found=", ".join(spare),
            remedy="take them out, or name them",
        )  # fmt: skip
    tiers = {name: tier_of(name, alike) for name in names}
    members: dict[str, list[str]] = {}
    for name in names:
        members.setdefault(_kind(name, alike), []).append(name)
    required = _pairs(_BY_DEFINITION, members) if by_definition else []
    definite = set(_pairs(_BY_DEFINITION, members))
    forbidden = [Edge(effect, cause, 0) for cause, effect in definite]
    forbidden += _unrelated_parameters(names, tiers, alike) + _idle_energy(names, alike)
    encouraged = _encouraged(names, tiers, members, lags)
    for cause, effect in definite:
        encouraged.pop(Edge(cause, effect, 0), None)
    return Knowledge(
        tiers={name: int(tier) for name, tier in tiers.items()},
        forbidden=tuple(dict.fromkeys(forbidden)),
        required=tuple(Edge(cause, effect, 0) for cause, effect in required),
        encouraged=encouraged,
    )


def _kind(name: str, alike: Mapping[str, str | Tier]) -> str:
    """Return the quantity of the schema a variable is like, or its own name."""
    known = alike.get(name, name)
    return name if isinstance(known, Tier) else known


def _pairs(
    stated: Iterable[tuple[str, str]], members: Mapping[str, Sequence[str]]
) -> list[tuple[str, str]]:
    """Return the stated pairs of names as pairs of variables that there are."""
    return [
        (cause, effect)
        for causes, effects in stated
        for first in causes.split()
        for second in effects.split()
        for cause in members.get(first, ())
        for effect in members.get(second, ())
        if cause != effect
    ]


def _unrelated_parameters(
    names: Sequence[str], tiers: Mapping[str, Tier], alike: Mapping[str, str | Tier]
) -> list[Edge]:
    """Return edges between parameters within a period; sleep takes resources away."""
    sets = [n for n in names if tiers[n] is Tier.CONFIGURATION]
    built = {n for n in sets if _kind(n, alike) == "RRU.PrbAvailDl"}
    return [Edge(a, b, 0) for a in sets for b in sets if a != b and b not in built]


def _idle_energy(names: Sequence[str], alike: Mapping[str, str | Tier]) -> list[Edge]:
    """Return edges from energy to anything else: what is drawn is a result."""
    energy = [n for n in names if _kind(n, alike) in _ENERGY.split()]
    return [Edge(a, b) for a in energy for b in names if a != b and b not in energy]


def _encouraged(
    names: Sequence[str], tiers: Mapping[str, Tier], members: Mapping[str, Sequence[str]],
    lags: int,
) -> dict[Edge, float]:  # fmt: skip
    odds: dict[Edge, float] = {}
    direct = {
        (a, b)
        for a in names
        for b in names
        if tiers[a] is Tier.CONFIGURATION and tiers[b] is Tier.EXPERIENCE
    }
    for cause, effect in sorted(direct):
        odds[Edge(cause, effect, 0)] = _DIRECT_IS_RARE
    for causes, effects, weight in _LIKELY:
        for cause, effect in _pairs([(causes, effects)], members):
            if tiers[cause] <= tiers[effect]:
                edge = Edge(cause, effect, 0)
                odds[edge] = max(weight, odds.get(edge, weight))
    if lags:
        odds |= {Edge(name, name, 1): _PERSISTENT for name in names}
    return odds
