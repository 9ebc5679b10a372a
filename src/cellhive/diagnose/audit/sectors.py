"""Sectors and positions: feeders that seem swapped, sites torn apart, places far from all others.

Where the antennas of two sectors are connected crosswise, each cell hands its users over to
cells in front of the other's antenna. So the bearings at which the neighbours of a cell lie,
weighted by the handovers to them, tell which of the site's bearings it really has.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from scipy.optimize import linear_sum_assignment

from cellhive.core.measurements import Severity
from cellhive.core.types import Floats
from cellhive.diagnose.audit.configuration import AuditFinding, Check, Configuration

CLEAR = 0.35
"""By how much the mean cosine between bearing and neighbours must rise, per cell that moves, for
sectors to be called swapped. Where nothing is swapped it falls by 1 or more."""

_FEW_NEIGHBOURS = 3
_FEW_HANDOVERS = 30.0
_TORN_M = 200.0
_LONELY = 25.0


def sector_findings(conf: Configuration) -> tuple[list[AuditFinding], list[Check]]:
    """Return what is wrong with the sectors and positions of sites."""
    swapped, check = _swapped(conf)
    placed, checks = _places(conf)
    return [*swapped, *placed], [check, *checks]


def _sites(conf: Configuration) -> dict[str, list[int]]:
    sites: dict[str, list[int]] = defaultdict(list)
    for cell, site in enumerate(conf.site_ids):
        if site:
            sites[site].append(cell)
    return sites


def _swapped(conf: Configuration) -> tuple[list[AuditFinding], Check]:
    title, code = "Swapped sectors", "swapped-sectors"
    aimed = conf.located & np.isfinite(conf.azimuth_deg)
    if not aimed.any() or conf.relation_source.size == 0:
        why = "needs positions, bearings, sites and neighbour relations"
        return [], Check(code, title, 0, "sites", why)
    out, looked = [], 0
    for site, members in _sites(conf).items():
        by_carrier: dict[int, list[int]] = defaultdict(list)
        for cell in members:
            if aimed[cell]:
                by_carrier[int(conf.carrier_index[cell])].append(cell)
        for cells in by_carrier.values():
            pulls = [_pull(conf, cell, set(members)) for cell in cells]
            if len(cells) < 2 or any(pull is None for pull in pulls):  # noqa: PLR2004
                continue
            looked += 1
            moved, gain = _assignment(
                np.array([p for p in pulls if p is not None]), conf.azimuth_deg[cells]
            )
            if not moved or gain < CLEAR * len(moved):
                continue
            names = tuple(conf.cell_ids[cells[k]] for k in moved)
            weighed = "handovers" if conf.relation_weight is not None else "neighbours"
            out.append(
                AuditFinding(
                    code, Severity.WARNING, names,
                    f"at {site} the {weighed} of {', '.join(names)} lie in front of one another's "
                    f"antennas: exchanged, bearings and {weighed} agree better by a mean cosine of "
                    f"{gain / len(moved):.2f}",
                    "feeders connected crosswise, or the inventory has the bearings mixed up: "
                    "neighbour lists, tilts and every change aimed at one sector hit another",
                    "check on site (or by a drive test) before anything else is changed there",
                )
            )  # fmt: skip
    kind = "sites with bearings and enough handovers" if conf.relation_weight is not None else (
        "sites with bearings and enough neighbours")  # fmt: skip
    if not looked:
        return [], Check(code, title, 0, kind, f"no {kind}")
    return out, Check(code, title, looked, kind)


def _pull(conf: Configuration, cell: int, site: set[int]) -> Floats | None:
    """Return the mean direction (east, north) in which a cell's neighbours lie, or None."""
    mine = np.flatnonzero(conf.relation_source == cell)
    mine = np.array(
        [r for r in mine.tolist()
         if int(conf.relation_target[r]) not in site and conf.located[conf.relation_target[r]]],
        np.int64,
    )  # fmt: skip
    if mine.size < _FEW_NEIGHBOURS:
        return None
    away = conf.plane_m[conf.relation_target[mine]] - conf.plane_m[cell]
    length = np.hypot(*away.T)
    if conf.relation_weight is not None:
        weight = np.nan_to_num(conf.relation_weight[mine])
        if weight.sum() < _FEW_HANDOVERS:
            return None
    else:  # a list says who is a neighbour, not how much: the near ones say more
        weight = 1.0 / np.maximum(length, 1.0)
    weight = np.where(length > 1.0, weight, 0.0)
    if weight.sum() <= 0:
        return None
    unit = away / np.maximum(length, 1e-9)[:, None]
    mean: Floats = (unit * weight[:, None]).sum(axis=0) / weight.sum()
    return mean


def _assignment(pull: Floats, azimuth_deg: Floats) -> tuple[list[int], float]:
    """Return the cells whose best bearing is another's, and how much better it is in all."""
    bearing = np.radians(azimuth_deg)
    fit = pull @ np.stack([np.sin(bearing), np.cos(bearing)])
    rows, best = linear_sum_assignment(fit, maximize=True)
    moved = [int(k) for k in rows if best[k] != k]
    return moved, float(fit[rows, best].sum() - np.trace(fit))


def _places(conf: Configuration) -> tuple[list[AuditFinding], list[Check]]:
    torn_title, far_title = "Cells of a site far apart", "Positions far from all others"
    if not conf.located.any():
        why = "no positions were given"
        return [], [
            Check("torn-site", torn_title, 0, "sites", why),
            Check("far-position", far_title, 0, "cells", why),
        ]
    out: list[AuditFinding] = []
    sites = _sites(conf)
    for site, members in sites.items():
        placed = [cell for cell in members if conf.located[cell]]
        if len(placed) < 2:  # noqa: PLR2004  # a distance needs two
            continue
        middle = np.median(conf.plane_m[placed], axis=0)
        away = np.hypot(*(conf.plane_m[placed] - middle).T)
        off = [placed[k] for k in np.flatnonzero(away > _TORN_M).tolist()]
        if off:
            out.append(
                AuditFinding(
                    "torn-site", Severity.WARNING, tuple(conf.cell_ids[c] for c in off),
                    f"{len(off)} of {len(placed)} cells of {site} are up to {away.max():.0f} m "
                    "from the middle of the site",
                    "a wrong position bends every distance, timing advance and neighbour rule",
                    "check the positions, or the site's name",
                )
            )  # fmt: skip
    several = sum(1 for members in sites.values() if len(members) > 1)
    torn = Check("torn-site", torn_title, len(sites), "sites")
    if out and len(out) > several / 2:  # then it is the word that is wrong, not the positions
        why = f"{len(out)} of {several} groups of cells called a site do not stand together"
        out, torn = [], Check("torn-site", torn_title, 0, "sites", why)
    out += _lonely(conf)
    return out, [
        torn,
        Check("far-position", far_title, int(conf.located.sum()), "cells with a position"),
    ]


def _lonely(conf: Configuration) -> list[AuditFinding]:
    """Return cells much farther from the middle than nearly all others."""
    step_m = conf.site_distance_m
    if not np.isfinite(step_m):
        return []
    placed = np.flatnonzero(conf.located)
    middle = np.median(conf.plane_m[placed], axis=0)
    away = np.hypot(*(conf.plane_m[placed] - middle).T)
    usual = max(float(np.quantile(away, 0.9)), step_m)
    return [
        AuditFinding(
            "far-position", Severity.WARNING, (conf.cell_ids[int(placed[k])],),
            f"{away[k] / 1000:.0f} km from the middle of the network, in which nine of ten cells "
            f"are within {usual / 1000:.1f} km",
            "a sign lost, latitude and longitude exchanged, or another network's cell",
            "check the position",
        )
        for k in np.flatnonzero(away > _LONELY * usual).tolist()
    ]  # fmt: skip
