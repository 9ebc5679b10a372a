"""What an agent is paid for: four objectives in points, per cell and for the network.

One point is one percentage point of demand satisfied, as in ``kpi.objective``. The mean
of the rewards of all cells is, with every weight 1, that objective of the whole network
up to a constant: what an agent learns to do is what the rest of the system judges by.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cellhive.core.errors import BadInput
from cellhive.core.types import Floats, KpiFrame, Network
from cellhive.ran.kpi import HISTOGRAM_COLUMNS, POINTS_PER_KW, WEIGHTS, throughput_percentile

OBJECTIVES = ("mobility", "capacity", "coverage", "energy")
"""Order of the parts of a reward."""

CONSTANT = WEIGHTS["demand_satisfied_ratio"] + WEIGHTS["rrc_setup_success_ratio"]
"""Points by which ``kpi.objective`` is higher: it counts what is had, the reward what lacks."""


_EDGE = 0.05


@dataclass(frozen=True)
class RewardSettings:
    """Weights of the objectives, and who shares in what."""

    mobility: float = 1.0
    """Weight of handover failures, ping-pongs and radio link failures."""
    capacity: float = 1.0
    """Weight of demand not satisfied, setups that failed, and throughput at the cell edge."""
    coverage: float = 1.0
    """Weight of time under weak coverage."""
    energy: float = 1.0
    """Weight of the power drawn."""
    scale: float = 0.1
    """Reward per point."""
    neighbour_share: float = 0.5
    """Share of a cell's reward that is the mean of its neighbours': what it does to them."""

    def __post_init__(self) -> None:
        """Refuse shares and weights that mean nothing."""
        if not 0.0 <= self.neighbour_share <= 1.0:
            raise BadInput(
                place="neighbour_share", expected="0 to 1", found=f"{self.neighbour_share:g}"
            )
        weights = np.array([getattr(self, name) for name in OBJECTIVES] + [self.scale])
        if not np.isfinite(weights).all():
            raise BadInput(place="rewards", expected="finite weights", found=str(weights.tolist()))


class Reward(NamedTuple):
    """What a period brought; parts in the order of ``OBJECTIVES``, summing to the reward."""

    cells: Floats
    """Reward of each cell, its neighbours' share included, (E, C)."""
    cell_parts: Floats
    """(E, C, 4)"""
    network: Floats
    """Reward of each network: the mean of what its cells brought, (E,)."""
    network_parts: Floats
    """(E, 4)"""
    points: Floats
    """What each cell brought by objective [points], before weights and sharing, (E, C, 4)."""


class Rewards:
    """The rewards of one network."""

    def __init__(self, settings: RewardSettings, network: Network) -> None:
        """Prepare what the rewards of a network need."""
        weights = [getattr(settings, name) for name in OBJECTIVES]
        self.weights = settings.scale * np.array(weights, np.float64)
        """Reward per point of each objective, (4,)."""
        self.cells = network.cells
        near = np.zeros((network.cells, network.cells))
        near[network.relation_source, network.relation_target] = 1.0
        degree = near.sum(axis=1, keepdims=True)
        own = np.eye(network.cells)
        near = np.where(degree > 0, near / np.maximum(degree, 1.0), own)
        self._blend = (1 - settings.neighbour_share) * own + settings.neighbour_share * near

    def of(self, frame: KpiFrame, networks: int) -> Reward:
        """Return the rewards of a period.

        Args:
            frame: The period; the cells of the networks one after the other.
            networks: Number of networks E.
        """
        points = self._points(frame, networks)
        parts = points * self.weights
        blended = np.einsum("cd,edp->ecp", self._blend, parts)
        mean = parts.mean(axis=1)
        return Reward(blended.sum(axis=-1), blended, mean.sum(axis=-1), mean, points)

    def cells_of(self, points: Floats) -> Floats:
        """Return the reward of each cell, (..., C), from the points of ``Reward``, (..., C, 4).

        With other settings than those of the environment it is what another role, with
        other objectives, is paid for the same period.
        """
        return np.asarray((points @ self.weights) @ self._blend.T)

    def _points(self, frame: KpiFrame, networks: int) -> Floats:
        """Return the points each cell brought by objective, (E, C, 4).

        A cell's part of a ratio is its own count over the mean of the network's
        denominator, so that the mean over the cells is the ratio of the network.
        """
        columns = {name: index for index, name in enumerate(frame.columns)}
        known = np.nan_to_num(frame.values.astype(np.float64))

        def count(name: str) -> Floats:
            return known[:, columns[name]].reshape(networks, self.cells)

        successes, late = count("MM.HoExeInterSucc"), count("HO.IntraSys.TooLate")
        failures = count("MM.HoExeInterFail") + late
        missing = count("x.OfferedVolumeDl") - count("DRB.PdcpSduVolumeDL")
        refused = count("RRC.ConnEstabAtt") - count("RRC.ConnEstabSucc")
        mobility = (
            WEIGHTS["handover_failure_ratio"] * _part(failures, failures + successes)
            + WEIGHTS["ping_pong_ratio"] * _part(count("x.HoPingPong"), successes)
            + WEIGHTS["rlf_per_ue_min"]
            * 60.0 * _part(count("x.RadioLinkFailure"), count("x.ConnectedTime"))
        )  # fmt: skip
        capacity = (
            -WEIGHTS["demand_satisfied_ratio"] * _part(missing, count("x.OfferedVolumeDl"))
            - WEIGHTS["rrc_setup_success_ratio"] * _part(refused, count("RRC.ConnEstabAtt"))
            + WEIGHTS["ue_throughput_p5_mbps"] * self._edge_mbps(count)[:, None]
        )
        weak = _part(count("x.WeakTime"), count("x.MeasuredTime"))
        coverage = WEIGHTS["weak_coverage_ratio"] * weak
        energy = -POINTS_PER_KW * count("PEE.AvgPower") / 100.0
        return np.stack([mobility, capacity, coverage, energy], axis=-1)

    def _edge_mbps(self, count: Callable[[str], Floats]) -> Floats:
        """Return the cell-edge throughput of each network [Mbit/s], (E,); 0 where not known."""
        bins = {name: count(name).sum(axis=1) for name in HISTOGRAM_COLUMNS}
        return np.nan_to_num(throughput_percentile(bins, _EDGE))


def _part(count: Floats, whole: Floats) -> Floats:
    """Return each cell's part of a ratio, (E, C): its mean over the cells is the ratio."""
    mean = whole.mean(axis=1, keepdims=True)
    part: Floats = np.zeros(count.shape)
    np.divide(count, mean, out=part, where=mean > 0)
    return part
