"""Neighbour relations: one-way, to nowhere, to itself, too far away, and those that lack."""

from __future__ import annotations

from collections import Counter

import numpy as np
from scipy.spatial import cKDTree

from cellhive.core.measurements import Severity
from cellhive.diagnose.audit.configuration import AuditFinding, Check, Configuration

FAR_SITE_DISTANCES = 12.0
"""A relation this many times as long as the way to the next site is asked about, if it is also
the longest by far of its cell."""

_FAR_OF_OWN = 4.0
"""Times the median length of a cell's own relations that a long one must be."""
_CLOSE = 1.6
"""A cell in front of another within this many site distances should be its neighbour."""
_SAME_PLACE_M = 30.0
_FEW = 3


def relation_findings(conf: Configuration) -> tuple[list[AuditFinding], list[Check]]:
    """Return what is wrong with the neighbour relations."""
    relations = int(conf.relation_source.size)
    if relations == 0 and not conf.unresolved:
        why = "no neighbour relations were given"
        return [], [
            Check("one-way", "One-way relations", 0, "relations", why),
            Check("dangling", "Relations to unknown cells", 0, "relations", why),
            Check("far-neighbour", "Neighbours too far away", 0, "relations", why),
            Check("missing-neighbour", "Missing neighbours", 0, "cells", why),
        ]
    far, far_check = _far(conf)
    missing, missing_check = _missing(conf)
    found = [*_one_way(conf), *_dangling(conf), *_loops(conf), *_repeated(conf), *far, *missing]
    return found, [
        Check("one-way", "One-way relations", relations, "relations"),
        Check("dangling", "Relations to unknown cells", relations + len(conf.unresolved),
              "relations"),
        far_check,
        missing_check,
    ]  # fmt: skip


def _ends(conf: Configuration) -> set[tuple[int, int]]:
    return set(zip(conf.relation_source.tolist(), conf.relation_target.tolist(), strict=True))


def _one_way(conf: Configuration) -> list[AuditFinding]:
    there = _ends(conf)
    out = []
    for a, b in sorted(there):
        if a == b or (b, a) in there:
            continue
        out.append(
            AuditFinding(
                "one-way", Severity.WARNING, (conf.cell_ids[b], conf.cell_ids[a]),
                f"{conf.cell_ids[a]} has {conf.cell_ids[b]} as neighbour, but not the other way "
                "round",
                "users that were handed over cannot come back; the return leg ends in a "
                "re-establishment or a drop",
                f"add the relation from {conf.cell_ids[b]} to {conf.cell_ids[a]}, or remove both",
            )
        )  # fmt: skip
    allowed = dict(zip(
        zip(conf.relation_source.tolist(), conf.relation_target.tolist(), strict=True),
        conf.handover_allowed.tolist(), strict=True,
    ))  # fmt: skip
    for (a, b), go in sorted(allowed.items()):
        if go and a != b and allowed.get((b, a)) is False:
            out.append(
                AuditFinding(
                    "one-way", Severity.INFO, (conf.cell_ids[b], conf.cell_ids[a]),
                    f"handover is allowed from {conf.cell_ids[a]} to {conf.cell_ids[b]} and barred "
                    "the other way round",
                    "it may be meant so (a layer that only takes in), or be left over",
                    "confirm the block list entry",
                )
            )  # fmt: skip
    return out


def _dangling(conf: Configuration) -> list[AuditFinding]:
    wanted = Counter(name for _, name in conf.unresolved)
    sources: dict[str, list[str]] = {}
    for source, name in conf.unresolved:
        sources.setdefault(name, []).append(source)
    return [
        AuditFinding(
            "dangling", Severity.WARNING, tuple(sources[name]),
            f"{f'{count} relations lead' if count > 1 else 'a relation leads'} to {name}, "
            "which is not in the files",
            "the cell was removed or renamed, or the export is not whole: handovers there fail",
            "remove the relations, or give the rest of the export",
        )
        for name, count in wanted.most_common()
    ]  # fmt: skip


def _loops(conf: Configuration) -> list[AuditFinding]:
    own = np.flatnonzero(conf.relation_source == conf.relation_target)
    return [
        AuditFinding(
            "self-relation", Severity.WARNING, (conf.cell_ids[int(conf.relation_source[r])],),
            f"{conf.cell_ids[int(conf.relation_source[r])]} is its own neighbour",
            "it takes a place in the measurement list and can never be used",
            "remove the relation",
        )
        for r in own.tolist()
    ]  # fmt: skip


def _repeated(conf: Configuration) -> list[AuditFinding]:
    times = Counter(conf.repeated)
    return [
        AuditFinding(
            "repeated-relation", Severity.INFO, (a, b),
            f"the relation from {a} to {b} is stated {count + 1} times",
            "which entry holds is not defined if they differ",
            "keep one",
        )
        for (a, b), count in times.most_common()
    ]  # fmt: skip


def _far(conf: Configuration) -> tuple[list[AuditFinding], Check]:
    title = "Neighbours too far away"
    step_m = conf.site_distance_m
    a, b = conf.relation_source, conf.relation_target
    both = conf.located[a] & conf.located[b] & (a != b)
    if not np.isfinite(step_m) or not both.any():
        return [], Check("far-neighbour", title, 0, "relations", "needs positions")
    length = np.hypot(*(conf.plane_m[a] - conf.plane_m[b]).T)
    out = []
    for r in np.flatnonzero(both & (length > FAR_SITE_DISTANCES * step_m)).tolist():
        own = length[both & (a == a[r])]
        others = own[own < length[r]]
        if others.size < _FEW or length[r] < _FAR_OF_OWN * np.median(others):
            continue
        i, j = conf.cell_ids[int(a[r])], conf.cell_ids[int(b[r])]
        out.append(
            AuditFinding(
                "far-neighbour", Severity.WARNING, (i, j),
                f"{i} has {j} as neighbour {length[r] / 1000:.1f} km away; the next site is "
                f"{step_m / 1000:.1f} km away (median), its other neighbours "
                f"{np.median(others) / 1000:.1f} km",
                "a wrong position, a cell that shoots over others, or a PCI taken for another's",
                "compare with the handover counters of the relation; check position and tilt, then "
                "remove it or bar it",
            )
        )  # fmt: skip
    return out, Check("far-neighbour", title, int(both.sum()), "relations with positions")


def _missing(conf: Configuration) -> tuple[list[AuditFinding], Check]:
    """Return cells of one carrier that face each other close by and are no neighbours."""
    title = "Missing neighbours"
    aimed = conf.located & np.isfinite(conf.azimuth_deg)
    step_m = conf.site_distance_m
    has = np.bincount(conf.relation_source, minlength=conf.cells) > 0
    if not aimed.any() or not np.isfinite(step_m):
        return [], Check("missing-neighbour", title, 0, "cells", "needs positions and bearings")
    there = _ends(conf)
    where = np.flatnonzero(aimed)
    tree = cKDTree(conf.plane_m[where])
    out = []
    for p, q in sorted(tree.query_pairs(_CLOSE * step_m)):
        i, j = sorted((int(where[p]), int(where[q])))
        if conf.carrier_index[i] != conf.carrier_index[j] or not (has[i] and has[j]):
            continue
        if (i, j) in there or (j, i) in there:
            continue
        apart_m = float(np.hypot(*(conf.plane_m[i] - conf.plane_m[j])))
        same = apart_m < _SAME_PLACE_M
        if same or (conf.face_each_other(i, j)):
            how = "stand on one mast" if same else f"face each other over {apart_m:.0f} m"
            out.append(
                AuditFinding(
                    "missing-neighbour", Severity.WARNING, (conf.cell_ids[i], conf.cell_ids[j]),
                    f"{conf.cell_ids[i]} and {conf.cell_ids[j]} {how} on one carrier and are not "
                    "neighbours",
                    "users who pass from one to the other must be dropped or re-established",
                    "add both relations, or let ANR (TS 28.313 6.4.1.1) find them",
                )
            )  # fmt: skip
    return out, Check("missing-neighbour", title, int((aimed & has).sum()), "cells with bearings")
