"""Situations of cells and relations as vectors that mean the same in every network.

Every component is a ratio, a difference to the neighbours or a distance from a default,
divided by what makes a clear difference; so one unit is one clear difference. No
component tells which network, site or cell it is.

Axis letters: ``C`` cells, ``R`` relations, ``D`` components.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cellhive.core.schema import TIME_TO_TRIGGER_S
from cellhive.core.types import Bools, Floats, Floats32, KpiFrame, Network, Parameters
from cellhive.ran.kpi import WEIGHTS
from cellhive.ran.parameters import DEFAULTS

CELLS, RELATIONS = "loop-cells", "loop-relations"
"""Rooms: namespaces of the patterns of cells and of relations."""

CELL_SCALES: Mapping[str, float] = {
    "load": 0.25,
    "load above neighbours": 0.25,
    "late": 0.15,
    "early or bounced": 0.15,
    "wrong cell": 0.15,
    "handovers per UE-minute": 1.0,
    "failures per UE-minute": 1.0,
    "weak coverage": 0.10,
    "interfered": 0.10,
    "SINR": 6.0,
    "unserved": 0.15,
    "tilt above neighbours": 3.0,
    "tilt from start": 3.0,
    "trigger from default": 1.5,
    "time to trigger from default": 2.0,
    "neighbours asleep": 0.5,
    "capacity cell": 1.0,
}
"""Components of the situation of a cell and what makes a clear difference in each.

Load, shares and ratios as they are; rates per UE-minute as log2(1 + rate); SINR [dB]; tilt
[deg]; the trigger is A3 offset plus hysteresis [dB]; time to trigger in values of its grid.
"""

RELATION_SCALES: Mapping[str, float] = {
    "late": 0.15,
    "early or bounced": 0.15,
    "wrong cell": 0.15,
    "share of handovers": 0.3,
    "border users": 1.0,
    "load": 0.25,
    "load above target": 0.25,
    "offset": 2.0,
    "offset back": 2.0,
    "handovers per UE-minute": 1.0,
    "failures per UE-minute": 1.0,
    "trigger from default": 1.5,
    "time to trigger from default": 2.0,
    "other carrier": 1.0,
}
"""The same for a relation; offsets [dB], border users as log2(1 + mean number)."""

FEATURES = {CELLS: tuple(CELL_SCALES), RELATIONS: tuple(RELATION_SCALES)}
"""Names of the components by room."""

NEAR = 6
"""Neighbours of a cell that it is compared with, in the order of its relations."""

DOUBT = 8.0
"""Handover attempts at which the ratio of an object counts as much as that of the network."""


@dataclass(frozen=True)
class Situations:
    """The situations of all cells and relations at the end of a period."""

    cells: Floats32
    """(C, D of cells)"""
    relations: Floats32
    """(R, D of relations)"""
    known_cells: Bools
    """Cells about which enough is known, (C,)."""
    known_relations: Bools
    """Relations that are used, between cells that are known, (R,)."""

    def of(self, room: str) -> tuple[Floats32, Bools]:
        """Return the vectors of a room and which of them are known."""
        if room == CELLS:
            return self.cells, self.known_cells
        return self.relations, self.known_relations


def _sum(frames: Sequence[KpiFrame], name: str, fresh: Bools) -> Floats:
    """Return a cell counter summed over the periods that count for each cell, (C,)."""
    total = np.zeros(fresh.shape[1])
    for frame, counts in zip(frames, fresh, strict=True):
        if name in frame.columns:
            total += np.where(counts, np.nan_to_num(frame.column(name)), 0.0)
    return total


def _mean(frames: Sequence[KpiFrame], name: str, fresh: Bools) -> Floats:
    """Return a cell column averaged over the periods that count and know it, (C,)."""
    total, times = np.zeros(fresh.shape[1]), np.zeros(fresh.shape[1])
    for frame, counts in zip(frames, fresh, strict=True):
        if name in frame.columns:
            values = frame.column(name).astype(np.float64)
            known = counts & np.isfinite(values)
            total += np.where(known, values, 0.0)
            times += known
    mean: Floats = np.full(total.shape, np.nan)
    return np.divide(total, times, out=mean, where=times > 0)


def _relation_sum(frames: Sequence[KpiFrame], name: str, fresh: Bools) -> Floats:
    total = np.zeros(fresh.shape[1])
    for frame, counts in zip(frames, fresh, strict=True):
        if name in frame.relation_columns and frame.relation_values.size:
            values = np.nan_to_num(frame.relation_column(name).astype(np.float64))
            total += np.where(counts, values, 0.0)
    return total


def _ratio(events: Floats, attempts: Floats) -> Floats:
    """Return events per attempt, drawn towards the network's where attempts are few."""
    overall = events.sum() / max(attempts.sum(), 1.0)
    ratio: Floats = (events + DOUBT * overall) / (attempts + DOUBT)
    return ratio


def _known(values: Floats, instead: float) -> Floats:
    """Return values with those that are not known replaced by the mean of the others."""
    fine = np.isfinite(values)
    return np.where(fine, values, float(values[fine].mean()) if fine.any() else instead)


def _near(network: Network) -> list[list[int]]:
    return [network.neighbours_of(cell)[:NEAR] for cell in range(network.cells)]


def _beside(values: Floats, near: list[list[int]]) -> Floats:
    """Return the median over the neighbours of each cell; its own where it has none."""
    return np.array(
        [np.median(values[cells]) if cells else values[cell] for cell, cells in enumerate(near)]
    )


def time_to_trigger_index(values: Floats) -> Floats:
    """Return the place of each time to trigger on its grid."""
    grid = np.array(TIME_TO_TRIGGER_S)
    place: Floats = np.abs(values[:, None] - grid).argmin(axis=1).astype(np.float64)
    return place


def situations(
    network: Network,
    parameters: Parameters,
    base: Parameters,
    frames: Sequence[KpiFrame],
    fresh: Bools,
) -> Situations:
    """Return the situation of every cell and relation, from the periods that count for each.

    Args:
        network: The network.
        parameters: As read back now.
        base: As they were when the run began.
        frames: The last periods, oldest first; not empty.
        fresh: Periods that count for each cell: since it was last changed, (frames, C).
    """
    near = _near(network)
    minutes = np.maximum(_sum(frames, "x.ConnectedTime", fresh) / 60.0, 1e-9)
    load = _known(_mean(frames, "prb_utilisation_ratio", fresh), 0.0)
    events = {
        name: _sum(frames, f"HO.IntraSys.{name}", fresh)
        for name in ("TooLate", "TooEarly", "ToWrongCell")
    }
    bounced = events["TooEarly"] + _sum(frames, "x.HoPingPong", fresh)
    attempts = events["TooLate"] + _sum(frames, "MM.HoExeInterSucc", fresh)
    attempts += _sum(frames, "MM.HoExeInterFail", fresh)
    moving = np.log2(1.0 + attempts / minutes)
    failing = np.log2(1.0 + _sum(frames, "x.RadioLinkFailure", fresh) / minutes)
    threshold = parameters.a3_offset_db + parameters.hysteresis_db
    threshold = threshold - DEFAULTS["a3_offset_db"] - DEFAULTS["hysteresis_db"]
    timing = time_to_trigger_index(parameters.time_to_trigger_s)
    timing -= time_to_trigger_index(np.array([DEFAULTS["time_to_trigger_s"]]))
    tilt = parameters.electrical_tilt_deg
    asleep = parameters.asleep.astype(np.float64)
    columns = {
        "load": load,
        "load above neighbours": load - _beside(load, near),
        "late": _ratio(events["TooLate"], attempts),
        "early or bounced": _ratio(bounced, attempts),
        "wrong cell": _ratio(events["ToWrongCell"], attempts),
        "handovers per UE-minute": moving,
        "failures per UE-minute": failing,
        "weak coverage": _known(_mean(frames, "weak_coverage_ratio", fresh), 0.0),
        "interfered": _known(_mean(frames, "interference_ratio", fresh), 0.0),
        "SINR": _known(_mean(frames, "sinr_mean_db", fresh), 10.0),
        "unserved": 1.0 - _known(_mean(frames, "demand_satisfied_ratio", fresh), 1.0),
        "tilt above neighbours": tilt - _beside(tilt, near),
        "tilt from start": tilt - base.electrical_tilt_deg,
        "trigger from default": threshold,
        "time to trigger from default": timing,
        "neighbours asleep": np.array([asleep[n].mean() if n else 0.0 for n in near]),
        "capacity cell": (~network.coverage_cell).astype(np.float64),
    }
    seen = np.isfinite(_mean(frames, "prb_utilisation_ratio", fresh)) & ~parameters.asleep
    vectors = _stack(columns, CELL_SCALES)
    relations, used = _relations(network, parameters, columns, frames, fresh)
    known = seen[network.relation_source] & seen[network.relation_target]
    return Situations(vectors, relations, seen & np.isfinite(vectors).all(1), used & known)


def lost(room: str, vectors: Floats32) -> Floats:
    """Return what the troubles of objects cost their cells, as the objective counts, (N,) [points].

    That of a relation is its share of what handovers cost its source. Throughput at the
    edge is left out: nothing in a situation tells what it could be.

    Args:
        room: Of the objects.
        vectors: Their situations, (N, D).
    """
    scales = CELL_SCALES if room == CELLS else RELATION_SCALES
    columns = {
        name: np.maximum(vectors[:, place].astype(np.float64) * scale, 0.0)
        for place, (name, scale) in enumerate(scales.items())
    }
    failed = columns["late"] + columns["early or bounced"] + columns["wrong cell"]
    points = -WEIGHTS["handover_failure_ratio"] * np.minimum(failed, 1.0)
    dropped = np.exp2(columns["failures per UE-minute"]) - 1.0
    points = points - WEIGHTS["rlf_per_ue_min"] * dropped
    if room == RELATIONS:
        return np.asarray(points * columns["share of handovers"], np.float64)
    points = points + WEIGHTS["demand_satisfied_ratio"] * columns["unserved"]
    points = points - WEIGHTS["weak_coverage_ratio"] * columns["weak coverage"]
    return np.asarray(points, np.float64)


def _stack(columns: Mapping[str, Floats], scales: Mapping[str, float]) -> Floats32:
    return np.stack([columns[name] / scales[name] for name in scales], axis=1).astype(np.float32)


def _relations(
    network: Network,
    parameters: Parameters,
    cells: Mapping[str, Floats],
    frames: Sequence[KpiFrame],
    fresh: Bools,
) -> tuple[Floats32, Bools]:
    """Return the situations of relations, (R, D), and which are used, (R,)."""
    source, target = network.relation_source, network.relation_target
    counts = fresh[:, source] & fresh[:, target]
    sums = {
        name: _relation_sum(frames, f"{name}.nCI", counts)
        for name in ("MM.HoExeInterSucc", "MM.HoExeInterFail", "HO.IntraSys.TooLate",
                     "HO.IntraSys.TooEarly", "HO.IntraSys.ToWrongCell", "x.HoPingPong",
                     "x.BorderUe")
    }  # fmt: skip
    late = sums["HO.IntraSys.TooLate"]
    attempts = late + sums["MM.HoExeInterSucc"] + sums["MM.HoExeInterFail"]
    of_cell = np.bincount(source, attempts, minlength=network.cells)
    periods = np.maximum(counts.sum(axis=0), 1)
    back = np.array(
        [network.relation_index.get((int(t), int(s)), -1)
         for s, t in zip(source, target, strict=True)], int,
    )  # fmt: skip
    offset_back = np.where(back >= 0, parameters.cio_db[back], 0.0) if back.size else back
    bounced = sums["HO.IntraSys.TooEarly"] + sums["x.HoPingPong"]
    columns = {
        "late": _ratio(late, attempts),
        "early or bounced": _ratio(bounced, attempts),
        "wrong cell": _ratio(sums["HO.IntraSys.ToWrongCell"], attempts),
        "share of handovers": attempts / np.maximum(of_cell[source], 1.0),
        "border users": np.log2(1.0 + sums["x.BorderUe"] / periods),
        "load": cells["load"][source],
        "load above target": cells["load"][source] - cells["load"][target],
        "offset": parameters.cio_db,
        "offset back": offset_back,
        "handovers per UE-minute": cells["handovers per UE-minute"][source],
        "failures per UE-minute": cells["failures per UE-minute"][source],
        "trigger from default": cells["trigger from default"][source],
        "time to trigger from default": cells["time to trigger from default"][source],
        "other carrier": (network.carrier_index[source] != network.carrier_index[target]) * 1.0,
    }
    return _stack(columns, RELATION_SCALES), np.asarray(attempts > 0)
