"""Physical cell identities: collisions, confusions, primary sequences that look alike.

A plan is right where it is free of collisions (a PCI is unique in the area that a cell
covers) and of confusions (no cell has two neighbours of the same PCI), TS 36.300 22.3.5 and
TS 38.300 15.3.2 for the identities of NR.
"""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np

from cellhive.core.measurements import Severity
from cellhive.core.types import Bools, Floats, Ints
from cellhive.diagnose.audit.configuration import UNKNOWN_PCI, AuditFinding, Check, Configuration

PSS_SEQUENCES = 3
"""Primary synchronisation sequences, of which the PCI modulo 3 chooses one (TS 36.211 6.11.1,
TS 38.211 7.4.2.2)."""

LTE_IDENTITIES, NR_IDENTITIES = 504, 1008
"""Physical cell identities there are in LTE and in NR."""

_SHOWN = 4


def identity_findings(conf: Configuration) -> tuple[list[AuditFinding], list[Check]]:
    """Return what is wrong with the identities of cells that are neighbours."""
    known = conf.physical_cell_id != UNKNOWN_PCI
    lacks = "" if known.any() else "no physical cell identities were given"
    lacks = lacks or ("" if conf.relation_source.size else "no neighbour relations were given")
    if lacks:
        return _range(conf), [
            Check("pci-collision", "PCI collisions", 0, "pairs", lacks),
            Check("pci-confusion", "PCI confusions", 0, "cells", lacks),
            Check("pci-mod-3", "Alike primary sequences", 0, "pairs", lacks),
        ]
    pairs = _pairs(conf, known)
    shared = _confused(conf, known)
    choose = _Choice(conf, known, pairs, shared)
    found = [*_range(conf), *_collisions(conf, pairs, choose), *_confusions(conf, shared, choose)]
    alike, looked = _alike(conf, pairs)
    return [*found, *alike], [
        Check("pci-collision", "PCI collisions", len(pairs), "pairs of neighbours on a carrier"),
        Check("pci-confusion", "PCI confusions", int(known.sum()), "cells with a PCI"),
        looked,
    ]


def _pairs(conf: Configuration, known: Bools) -> list[tuple[int, int]]:
    """Return neighbours of one carrier whose identities are known, each pair once."""
    a, b = conf.relation_source, conf.relation_target
    fit = known[a] & known[b] & (conf.carrier_index[a] == conf.carrier_index[b]) & (a != b)
    ends = np.sort(np.stack([a[fit], b[fit]], axis=1), axis=1)
    return [(int(i), int(j)) for i, j in np.unique(ends, axis=0)]


def _range(conf: Configuration) -> list[AuditFinding]:
    high = np.flatnonzero(conf.physical_cell_id >= NR_IDENTITIES).tolist()
    return [
        AuditFinding(
            "pci-range", Severity.ERROR, (conf.cell_ids[i],),
            f"PCI {conf.physical_cell_id[i]}",
            f"there are {LTE_IDENTITIES} identities in LTE and {NR_IDENTITIES} in NR, from 0",
            "correct the inventory: the cell cannot be on air with it",
        )
        for i in high
    ]  # fmt: skip


def _collisions(
    conf: Configuration, pairs: list[tuple[int, int]], choose: _Choice
) -> list[AuditFinding]:
    pci, out = conf.physical_cell_id, []
    for i, j in pairs:
        if pci[i] != pci[j]:
            continue
        first, other = choose.worst_first([i, j])
        out.append(
            AuditFinding(
                "pci-collision", Severity.ERROR, (conf.cell_ids[first], conf.cell_ids[other]),
                f"both neighbours have PCI {pci[i]}{_apart(conf, i, j)}",
                "terminals between them take two cells for one and cannot synchronise or measure "
                "(TS 36.300 22.3.5: collision-free)",
                f"change the PCI of {conf.cell_ids[first]}{choose.advice(first)}",
            )
        )  # fmt: skip
    return out


def _confused(conf: Configuration, known: Bools) -> list[tuple[int, list[int]]]:
    """Return cells with neighbours that have one PCI on one carrier, and those neighbours."""
    around: dict[int, set[int]] = defaultdict(set)
    for a, b in zip(conf.relation_source.tolist(), conf.relation_target.tolist(), strict=True):
        if a != b and known[b]:
            around[a].add(b)
    out = []
    for a in sorted(around):
        alike: dict[tuple[int, int], list[int]] = defaultdict(list)
        for b in sorted(around[a]):
            alike[int(conf.carrier_index[b]), int(conf.physical_cell_id[b])].append(b)
        out += [(a, who) for who in alike.values() if len(who) > 1]
    return out


def _confusions(
    conf: Configuration, shared: list[tuple[int, list[int]]], choose: _Choice
) -> list[AuditFinding]:
    out = []
    for a, alike in shared:
        who = choose.worst_first(alike)
        names = ", ".join(conf.cell_ids[b] for b in who[:_SHOWN])
        more = f" and {len(who) - _SHOWN} more" if len(who) > _SHOWN else ""
        first = conf.cell_ids[who[0]]
        out.append(
            AuditFinding(
                "pci-confusion", Severity.ERROR,
                (*(conf.cell_ids[b] for b in who), conf.cell_ids[a]),
                f"{conf.cell_ids[a]} has {len(who)} neighbours with PCI "
                f"{conf.physical_cell_id[who[0]]}: {names}{more}",
                "a measurement of that PCI does not say which cell is meant, so handovers go "
                "to the wrong cell and fail (TS 36.300 22.3.5: confusion-free)",
                f"change the PCI of {first}{choose.advice(who[0])}",
            )
        )  # fmt: skip
    return out


def _alike(conf: Configuration, pairs: list[tuple[int, int]]) -> tuple[list[AuditFinding], Check]:
    """Return cells that face each other with the same primary sequence."""
    title = "Alike primary sequences"
    aimed = np.isfinite(conf.azimuth_deg) & conf.located
    looked = [(i, j) for i, j in pairs if aimed[i] and aimed[j]]
    if not looked:
        why = "needs positions and bearings of neighbours"
        return [], Check("pci-mod-3", title, 0, "pairs", why)
    pci, out = conf.physical_cell_id, []
    for i, j in looked:
        if pci[i] == pci[j] or pci[i] % PSS_SEQUENCES != pci[j] % PSS_SEQUENCES:
            continue
        same_site = bool(np.hypot(*(conf.plane_m[i] - conf.plane_m[j])) < 1.0)
        if same_site or conf.face_each_other(i, j):
            place = "on one mast" if same_site else "facing each other"
            out.append(
                AuditFinding(
                    "pci-mod-3", Severity.INFO, (conf.cell_ids[i], conf.cell_ids[j]),
                    f"PCI {pci[i]} and {pci[j]} {place} are both {pci[i] % PSS_SEQUENCES} modulo 3",
                    "they send the same primary synchronisation sequence, and in LTE with two "
                    "ports their reference signals overlap: worse estimates between them",
                    "choose identities that differ modulo 3 when one is changed anyway",
                )
            )  # fmt: skip
    return out, Check("pci-mod-3", title, len(looked), "pairs of neighbours with bearings")


def _apart(conf: Configuration, i: int, j: int) -> str:
    if not (conf.located[i] and conf.located[j]):
        return ""
    return f", {np.hypot(*(conf.plane_m[i] - conf.plane_m[j])) / 1000:.1f} km apart"


class _Choice:
    """Which cell should have another identity, and which it could have."""

    def __init__(
        self, conf: Configuration, known: Bools, pairs: list[tuple[int, int]],
        shared: list[tuple[int, list[int]]],
    ) -> None:  # fmt: skip
        self.conf, self.known = conf, known
        self._near: dict[int, set[int]] = defaultdict(set)
        ends = zip(conf.relation_source.tolist(), conf.relation_target.tolist(), strict=True)
        for i, j in ends:
            if i != j:
                self._near[i].add(j)
                self._near[j].add(i)
        pci = conf.physical_cell_id
        self._conflicts = Counter(cell for i, j in pairs if pci[i] == pci[j] for cell in (i, j))
        for _, who in shared:
            self._conflicts.update(who)
        self._chosen: dict[int, int | None] = {}

    def worst_first(self, cells: list[int]) -> list[int]:
        """Return cells by how many conflicts a new identity of theirs would end."""
        return sorted(cells, key=lambda cell: (-self._conflicts[cell], cell))

    def advice(self, cell: int) -> str:
        """Return a free identity in words, or "" where there is none to be named."""
        if cell not in self._chosen:
            self._chosen[cell] = self.free(cell)
        free = self._chosen[cell]
        if free is None:
            return ""
        return f", for example to {free}, which no neighbour of it or of its neighbours has"

    def free(self, cell: int) -> int | None:
        """Return the identity in use that is furthest away, among those free within two hops.

        Identities of the same modulo 3 come first, so that the cell's site stays as planned;
        None where every identity that the network uses is taken nearby.
        """
        pci = self.conf.physical_cell_id
        near = {cell} | self._near[cell]
        for one in tuple(near):
            near |= self._near[one]
        taken = {int(pci[j]) for j in near if self.known[j]}
        taken |= {p for p in self._chosen.values() if p is not None}
        used = np.unique(pci[self.known & (pci < NR_IDENTITIES)])
        candidates = [int(p) for p in used if int(p) not in taken]
        if not candidates:
            top = LTE_IDENTITIES if used.size == 0 or used.max() < LTE_IDENTITIES else NR_IDENTITIES
            candidates = [p for p in range(top) if p not in taken]
        if not candidates:
            return None
        wanted = int(pci[cell]) % PSS_SEQUENCES
        distance = self._reuse_m(cell, np.array(candidates, np.int32))
        order = sorted(
            range(len(candidates)),
            key=lambda k: (candidates[k] % PSS_SEQUENCES != wanted, -distance[k], candidates[k]),
        )
        return candidates[order[0]]

    def _reuse_m(self, cell: int, candidates: Ints) -> Floats:
        """Return how far away each identity is used at the nearest [m]."""
        conf = self.conf
        far = np.full(candidates.size, np.inf)
        if not conf.located[cell]:
            return far
        for k, identity in enumerate(candidates.tolist()):
            users = np.flatnonzero((conf.physical_cell_id == identity) & conf.located)
            if users.size:
                far[k] = np.hypot(*(conf.plane_m[users] - conf.plane_m[cell]).T).min()
        return far
