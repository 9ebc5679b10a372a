"""What frames say of every cell and its neighbourhood, as variables for causal models.

Counts become square roots, whose noise is the same whatever their size (Anscombe 1948);
users and volume become logarithms. What a cell's neighbours report, and what happens on
its relations, are variables of the cell too: many faults show next door.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cellhive.causal.motifs import Tier
from cellhive.core.types import Floats, KpiFrame, Network, Parameters

_FEW = 0.5
"""Added to users before the logarithm."""

OWN = {
    "users": "RRC.ConnMean",
    "rsrp": "rsrp_mean_dbm",
    "sinr": "sinr_mean_db",
    "weak coverage": "weak_coverage_ratio",
    "interfered": "interference_ratio",
    "PRB use": "prb_utilisation_ratio",
    "PRBs there": "RRU.PrbAvailDl",
    "set-up failures": "rrc_setup_success_ratio",
    "handover attempts": "MM.HoPrepInterReq",
    "refused preparations": "MM.HoPrepInterFail",
    "too late": "HO.IntraSys.TooLate",
    "too early": "HO.IntraSys.TooEarly",
    "wrong cell": "HO.IntraSys.ToWrongCell",
    "ping-pongs": "x.HoPingPong",
    "hole failures": "x.CoverageHoleFailure",
    "throughput": "ue_throughput_mbps",
    "edge throughput": "ue_throughput_p5_mbps",
    "demand met": "demand_satisfied_ratio",
    "power drawn": "PEE.AvgPower",
}
"""Variables of the cell itself, and the quantity of the schema that each is made of."""

AROUND: dict[str, str | Tier] = {
    "network users": Tier.CONFIGURATION,
    "PRB use next door": Tier.CONFIGURATION,
    "refused by it": "MM.HoPrepInterFail",
    "handovers in": "MM.HoPrepInterReq",
    "too late into it": "HO.IntraSys.TooLate",
    "lost target": "MM.HoPrepInterReq.nCI",
    "late towards one site": "HO.IntraSys.TooLate.nCI",
    "other targets": "MM.HoPrepInterReq.nCI",
    "not handed over": "MM.HoPrepInterReq.nCI",
    "new partners": Tier.MOBILITY,
    "partners' distance": Tier.MOBILITY,
    "partners ahead": Tier.MOBILITY,
    "partners aside": Tier.MOBILITY,
    "partners on the mast": Tier.MOBILITY,
}
"""Variables of its neighbourhood and relations: like which quantity they are, or their tier. The
load next door interferes: for the cell it is part of the surroundings."""

VARIABLES = (*OWN, *AROUND)
"""Of a panel, in order."""

LIKE: dict[str, str | Tier] = {**OWN, **AROUND}
"""The quantity of ``core.schema`` that each variable resembles, or its tier."""

NEXT_DOOR = (
    "users",
    "rsrp",
    "sinr",
    "weak coverage",
    "interfered",
    "PRB use",
    "handover attempts",
    "too late",
    "ping-pongs",
    "hole failures",
    "demand met",
    "lost target",
)
"""Variables whose departures at the neighbours matter."""

ON_THE_MAST = ("users", "rsrp", "sinr", "interfered", "PRB use", "handover attempts")
"""Variables whose departures at the other cells of the site matter."""

_FLOORS = {
    "users": 0.05, "rsrp": 0.3, "sinr": 0.2, "weak coverage": 0.01, "interfered": 0.01,
    "PRB use": 0.02, "PRBs there": 0.02, "throughput": 0.05, "edge throughput": 0.05,
    "partners' distance": 0.02, "partners ahead": 0.03, "partners aside": 0.03,
    "partners on the mast": 0.02, "new partners": 0.02,
    "demand met": 0.005, "power drawn": 0.005, "network users": 0.02, "PRB use next door": 0.02,
}  # fmt: skip
FLOORS: Floats = np.array([_FLOORS.get(name, 0.1) for name in VARIABLES])
"""Smallest change that means something, on the scale of the panel, (V,)."""

COUNTS = frozenset({
    "set-up failures", "handover attempts", "refused preparations", "too late", "too early",
    "wrong cell", "ping-pongs", "hole failures", "refused by it", "handovers in",
    "too late into it",
})  # fmt: skip

SETTINGS = ("handover margin", "time to trigger", "tilt", "power", "sleep")
"""Configured, in the order of ``settings_changed``: positive hands over later; [dB], octaves,
[deg], [dB], 0 or 1."""


def weights_of(network: Network, frames: Sequence[KpiFrame]) -> Floats:
    """Return how much each cell is a neighbour of each, by handovers in both ways, (C, C).

    Rows sum to 1. Every relation counts a little, so that cells without handovers have
    neighbours too.

    Args:
        network: The network.
        frames: What is usual.
    """
    count = _relation_sum(frames, "MM.HoPrepInterReq.nCI")
    matrix = np.zeros((network.cells, network.cells))
    matrix[network.relation_source, network.relation_target] = count + 0.5 * len(frames) / 10
    both = matrix + matrix.T
    weights: Floats = both / np.maximum(both.sum(axis=1, keepdims=True), 1e-9)
    return weights


def masts_of(network: Network) -> Floats:
    """Return the share of each cell in the other cells of each cell's site, (C, C)."""
    sites = np.array(network.site_ids)
    same = (sites[:, None] == sites[None, :]) & ~np.eye(network.cells, dtype=np.bool_)
    shares: Floats = same / np.maximum(same.sum(axis=1, keepdims=True), 1)
    return shares


def panel_of(network: Network, frames: Sequence[KpiFrame], usual: Sequence[KpiFrame]) -> Floats:
    """Return the variables of every period and cell, (T, C, V); NaN where not known.

    Args:
        network: The network.
        frames: The periods.
        usual: Periods of the sound network, from which neighbourhoods and usual targets are.
    """
    weights = weights_of(network, usual)
    targets = _site_flows(network, usual, "MM.HoPrepInterReq.nCI")
    return np.stack([_variables(network, frame, weights, targets) for frame in frames])


def _relation_sum(frames: Sequence[KpiFrame], name: str) -> Floats:
    every = np.stack([frame.relation_column(name) for frame in frames])
    total: Floats = every.sum(axis=0, dtype=np.float64)
    return total


def _site_flows(network: Network, frames: Sequence[KpiFrame], name: str) -> Floats:
    """Return the count from each cell to each site, (C, S), per frame."""
    sites = {site: index for index, site in enumerate(dict.fromkeys(network.site_ids))}
    of = np.array([sites[site] for site in network.site_ids])
    flows = np.zeros((network.cells, len(sites)))
    np.add.at(
        flows, (network.relation_source, of[network.relation_target]), _relation_sum(frames, name)
    )
    return flows / len(frames)


def _variables(network: Network, frame: KpiFrame, weights: Floats, usual_targets: Floats) -> Floats:
    """Return the variables of one period, (C, V)."""
    raw = {name: frame.column(quantity).astype(np.float64) for name, quantity in OWN.items()}
    failed = frame.column("RRC.ConnEstabAtt") - frame.column("RRC.ConnEstabSucc")
    raw["set-up failures"] = failed.astype(np.float64)
    own = {name: _steady(name, values) for name, values in raw.items()}
    around = {"network users": np.full(network.cells, np.log(np.nanmean(raw["users"]) + _FEW))}
    around["PRB use next door"] = _mean_over(weights, own["PRB use"])
    refused, into, late_in = _incoming(network, frame)
    around |= {"refused by it": refused, "handovers in": into, "too late into it": late_in}
    around |= _towards(network, frame, usual_targets) | _partners(network, frame)
    around["new partners"] = _new_partners(network, frame, usual_targets)
    around["not handed over"] = _not_handed_over(network, frame, usual_targets)
    return np.stack([(own | around)[name] for name in VARIABLES], axis=1)


def _steady(name: str, values: Floats) -> Floats:
    """Return values on a scale on which their noise hardly depends on their size."""
    if name in COUNTS:
        return np.sqrt(np.maximum(values, 0.0) + 0.375)
    if name in {"weak coverage", "interfered"}:
        return np.arcsin(np.sqrt(np.clip(values, 0.0, 1.0)))
    if name == "users":
        return np.log(values + _FEW)
    if name in {"PRBs there", "power drawn"}:
        return np.log(np.maximum(np.nan_to_num(values), 1.0))
    return values


def _mean_over(weights: Floats, values: Floats) -> Floats:
    """Return the mean over neighbours that are known."""
    known = np.isfinite(values)
    total = weights @ np.where(known, values, 0.0)
    mass = weights @ known.astype(np.float64)
    mean: Floats = np.where(mass > 0, total / np.where(mass > 0, mass, 1.0), np.nan)
    return mean


def _incoming(network: Network, frame: KpiFrame) -> tuple[Floats, Floats, Floats]:
    """Return handovers to a cell that came to nothing, all to it, and users lost on the way."""
    into, late = np.zeros(network.cells), np.zeros(network.cells)
    np.add.at(into, network.relation_target, frame.relation_column("MM.HoPrepInterReq.nCI"))
    np.add.at(late, network.relation_target, frame.relation_column("HO.IntraSys.TooLate.nCI"))
    asked = frame.relation_column("MM.HoPrepInterReq.nCI").astype(np.float64)
    done = frame.relation_column("MM.HoExeInterSucc.nCI").astype(np.float64)
    lost = np.zeros(network.cells)
    np.add.at(lost, network.relation_target, np.maximum(asked - done, 0.0))
    return (
        _steady("refused by it", lost), _steady("handovers in", into),
        _steady("too late into it", late),
    )  # fmt: skip


def _towards(network: Network, frame: KpiFrame, usual: Floats) -> dict[str, Floats]:
    """Return what happens to a cell's targets, site by site.

    "lost target": the largest shortfall of handovers to a site, beyond that of the whole cell,
    in standard errors; "late towards one site": most too late handovers to a site, beyond the
    cell's other ones; "other targets": how far the mix of targets is from the usual one.
    """
    now = _site_flows(network, [frame], "MM.HoPrepInterReq.nCI")
    late = _site_flows(network, [frame], "HO.IntraSys.TooLate.nCI")
    share = usual / np.maximum(usual.sum(axis=1, keepdims=True), 1e-9)
    expected = share * now.sum(axis=1, keepdims=True)
    short = np.where(share > 0.1, np.sqrt(expected + 0.375) - np.sqrt(now + 0.375), 0.0)  # noqa: PLR2004
    ordered = np.sort(np.sqrt(late + 0.375), axis=1)
    mix = ((np.sqrt(now + 0.375) - np.sqrt(expected + 0.375)) ** 2).sum(axis=1)
    return {
        "lost target": short.max(axis=1),
        "late towards one site": ordered[:, -1] - ordered[:, -2],
        "other targets": np.sqrt(mix),
    }


def _not_handed_over(network: Network, frame: KpiFrame, usual: Floats) -> Floats:
    """Return the largest shortfall of handovers to a site against users at its border, (C,).

    Users that measure the target nearly as strong as their cell (x.BorderUe.nCI) and are not
    handed to it, beside the cell's other targets.
    """
    now = _site_flows(network, [frame], "MM.HoPrepInterReq.nCI")
    border = _site_flows(network, [frame], "x.BorderUe.nCI")
    share = usual / np.maximum(usual.sum(axis=1, keepdims=True), 1e-9)
    at_border = border / np.maximum(border.sum(axis=1, keepdims=True), 1e-9)
    expected = at_border * now.sum(axis=1, keepdims=True)
    short = np.sqrt(expected + 0.375) - np.sqrt(now + 0.375)
    most: Floats = np.where(share > 0.1, short, 0.0).max(axis=1)  # noqa: PLR2004
    return most


def _new_partners(network: Network, frame: KpiFrame, usual: Floats) -> Floats:
    """Return the share of handovers that go to sites to which hardly any went, (C,)."""
    now = _site_flows(network, [frame], "MM.HoPrepInterReq.nCI")
    share = usual / np.maximum(usual.sum(axis=1, keepdims=True), 1e-9)
    strange = np.where(share < 0.04, now, 0.0).sum(axis=1)  # noqa: PLR2004
    part: Floats = np.arcsin(np.sqrt(strange / np.maximum(now.sum(axis=1), 1.0)))
    return part


def _partners(network: Network, frame: KpiFrame) -> dict[str, Floats]:
    """Return where the cells are that users come from and go to, seen along the azimuth.

    Mean logarithm of the distance to partners on other sites, mean cosine and sine of their
    bearing off the azimuth, and the share of partners on the same mast.
    """
    source, target = network.relation_source, network.relation_target
    flow = frame.relation_column("MM.HoPrepInterReq.nCI").astype(np.float64)
    one, other = np.concatenate([source, target]), np.concatenate([target, source])
    flow = np.concatenate([flow, flow])
    east, north = network.x_m[other] - network.x_m[one], network.y_m[other] - network.y_m[one]
    distance_m = np.hypot(east, north)
    apart = distance_m > 1.0
    off = np.arctan2(east, north) - np.radians(network.azimuth_deg[one])

    def mean(values: Floats, weight: Floats) -> Floats:
        total = np.bincount(one, weight, network.cells)
        summed = np.bincount(one, weight * values, network.cells)
        result: Floats = np.where(total > 0, summed / np.where(total > 0, total, 1.0), np.nan)
        return result

    away = flow * apart
    return {
        "partners' distance": mean(np.log(np.maximum(distance_m, 1.0)), away),
        "partners ahead": mean(np.cos(off), away),
        "partners aside": mean(np.sin(off), away),
        "partners on the mast": mean((~apart).astype(np.float64), flow),
    }


def settings_changed(network: Network, before: Parameters, now: Parameters) -> Floats:
    """Return by how much each cell's configuration changed, (C, 5): see ``SETTINGS``."""
    margin = (now.a3_offset_db + now.hysteresis_db) - (before.a3_offset_db + before.hysteresis_db)
    count = np.bincount(network.relation_source, minlength=network.cells)
    cio = np.bincount(network.relation_source, now.cio_db - before.cio_db, network.cells)
    octaves = np.log2(np.maximum(now.time_to_trigger_s, 0.04)) - np.log2(
        np.maximum(before.time_to_trigger_s, 0.04)
    )
    return np.stack(
        [
            margin - cio / np.maximum(count, 1),
            octaves,
            now.electrical_tilt_deg - before.electrical_tilt_deg,
            now.tx_power_dbm - before.tx_power_dbm,
            now.asleep.astype(np.float64) - before.asleep.astype(np.float64),
        ],
        axis=1,
    )
