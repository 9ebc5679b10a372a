"""Findings of the audit as changes where the right value is evident, else as work orders."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from cellhive.core.measurements import Severity
from cellhive.core.schema import QUANTITIES
from cellhive.diagnose.advice.recommendation import (
    Basis,
    Expected,
    Recommendation,
    Step,
    Topic,
)
from cellhive.diagnose.audit.configuration import (
    UNKNOWN_PCI,
    Audit,
    AuditFinding,
    Configuration,
)
from cellhive.diagnose.audit.identities import LTE_IDENTITIES, NR_IDENTITIES, PSS_SEQUENCES
from cellhive.diagnose.audit.settings import COMMON
from cellhive.ran.parameters import snap

PCI = "PCI"
"""Attribute that a recommendation may set but a plan cannot carry."""

_WORTH = {
    "pci-collision": 0.02, "pci-confusion": 0.02, "one-way": 0.005, "missing-neighbour": 0.005,
    "swapped-sectors": 0.02, "dangling": 0.001, "outlier": 0.002,
}  # fmt: skip
"""Share of a cell's users whose service suffers while it lasts, for the order of the list only: no
counter tells of it. Users at a border with one neighbour are a few per cent of a cell's."""
_SURE = {Severity.ERROR: 0.99, Severity.WARNING: 0.8, Severity.INFO: 0.5}
_MOST_NAMED = 6
_MOST_WORTH = 0.2
_CONFLICTS = ("pci-collision", "pci-confusion")
_LOOKED_AT = (
    "swapped-sectors", "dangling", "torn-site", "far-position", "far-neighbour", "pci-range",
    "self-relation",
)  # fmt: skip


def configuration_advice(
    audit: Audit, conf: Configuration, users: Mapping[str, float]
) -> list[Recommendation]:
    """Return what to do about the findings of an audit, each cell's identity changed once.

    Args:
        audit: Of the configuration.
        conf: The configuration.
        users: Mean users of cells, where measured.
    """
    identities = new_identities(audit, conf)
    conflicts = [one for one in audit.findings if one.code in _CONFLICTS]
    out = []
    for cell in identities:
        mine = [one for one in conflicts if cell in _alike(one)]
        out.append(_identity(mine, cell, conf, identities, users))
    out += [_order(one, users) for one in conflicts if not identities.keys() & set(one.cells)]
    for one in audit.findings:
        if one.code == "outlier":
            made = _outlier(one, conf, users)
            out += [made] if made is not None else []
        elif one.code in ("one-way", "missing-neighbour"):
            out.append(_relation(one, users))
        elif one.code in _LOOKED_AT:
            out.append(_order(one, users))
    return out


def new_identities(audit: Audit, conf: Configuration) -> dict[str, int]:
    """Return new identities that end all collisions and confusions, with as few changes as may be.

    The cell with most open conflicts is changed first. Its new identity is one that no cell within
    two relations has or will have, so that neither a collision nor a confusion can arise, of
    the same remainder modulo 3 where there is one, and used as far away as possible. A cell for
    which there is none is left out.

    Args:
        audit: Of the configuration.
        conf: The configuration.
    """
    place = {cell: k for k, cell in enumerate(conf.cell_ids)}
    near = _near(conf)
    open_pairs = _conflicts(audit, place, conf)
    pci = conf.physical_cell_id.astype(np.int64).copy()
    out: dict[str, int] = {}
    stuck = set[int]()
    while open_pairs:
        counted = Counter(k for pair in open_pairs for k in pair if k not in stuck)
        if not counted:
            break
        worst = min(counted, key=lambda k: (-counted[k], k))
        around = {worst} | near[worst]
        for k in tuple(around):
            around |= near[k]
        chosen = _free(conf, pci, worst, around - {worst})
        if chosen is None:
            stuck.add(worst)
            continue
        pci[worst] = chosen
        out[conf.cell_ids[worst]] = chosen
        open_pairs = {pair for pair in open_pairs if worst not in pair}
    return out


def _near(conf: Configuration) -> dict[int, set[int]]:
    near: dict[int, set[int]] = defaultdict(set)
    ends = zip(conf.relation_source.tolist(), conf.relation_target.tolist(), strict=True)
    for a, b in ends:
        if a != b:
            near[a].add(b)
            near[b].add(a)
    return near


def _conflicts(audit: Audit, place: Mapping[str, int], conf: Configuration) -> set[tuple[int, int]]:
    out = set()
    for one in audit.findings:
        if one.code not in _CONFLICTS:
            continue
        cells = [place[cell] for cell in one.cells]
        pci = conf.physical_cell_id[cells[0]]
        alike = [k for k in cells if conf.physical_cell_id[k] == pci]
        if one.code == "pci-confusion":
            alike = [place[cell] for cell in one.cells[:-1]]
        out |= {(min(a, b), max(a, b)) for a in alike for b in alike if a != b}
    return out


def _free(conf: Configuration, pci: np.ndarray, cell: int, around: set[int]) -> int | None:
    taken = {int(pci[k]) for k in around if pci[k] != UNKNOWN_PCI} | {int(pci[cell])}
    known = pci[(pci != UNKNOWN_PCI) & (pci < NR_IDENTITIES)]
    top = NR_IDENTITIES if known.size and int(known.max()) >= LTE_IDENTITIES else LTE_IDENTITIES
    free = [p for p in range(top) if p not in taken]
    if not free:
        return None
    wanted = int(pci[cell]) % PSS_SEQUENCES
    users: dict[int, list[int]] = defaultdict(list)
    for k, p in enumerate(pci.tolist()):
        users[p].append(k)

    def reuse_m(p: int) -> float:
        if not users[p] or not conf.located[cell]:
            return math.inf
        away = conf.plane_m[users[p]] - conf.plane_m[cell]
        distance = np.hypot(*away.T)
        return float(np.nanmin(distance)) if np.isfinite(distance).any() else math.inf

    return min(free, key=lambda p: (p % PSS_SEQUENCES != wanted, -reuse_m(p), p))


def _users(cells: tuple[str, ...], users: Mapping[str, float]) -> float:
    known = [users[cell] for cell in cells if math.isfinite(users.get(cell, math.nan))]
    return sum(known) if known else math.nan


def _alike(one: AuditFinding) -> tuple[str, ...]:
    """Return the cells of a conflict that have the same identity."""
    return one.cells[:-1] if one.code == "pci-confusion" else one.cells


def _identity(
    mine: Sequence[AuditFinding], cell: str, conf: Configuration, identities: Mapping[str, int],
    users: Mapping[str, float],
) -> Recommendation:  # fmt: skip
    one = mine[0]
    before, after = int(conf.physical_cell_id[conf.cell_ids.index(cell)]), identities[cell]
    made = _made(
        one, f"Change the PCI of {cell} from {before} to {after}",
        (Step(cell, PCI, float(before), float(after)),),
        f"set the PCI of {cell} back from {after} to {before}", users,
        risk="the cell is off the air while it restarts, about a minute",
        probability=1.0, missing="a PCI is no parameter that a plan can carry: a work order",
    )  # fmt: skip
    ended = float(len(mine))
    told = f"it ends {len(mine)} {'conflicts' if len(mine) > 1 else 'conflict'} of identities"
    effect = Expected(
        "identities", "conflicts", -ended, -ended, -ended, -ended, -ended, Basis.COUNTED
    )
    return replace(
        made, objects=(cell, *(name for name in mine[0].cells if name != cell)),
        effect=effect, evidence=(told, *made.evidence),
        benefit=min(ended * made.benefit, _MOST_WORTH), users=_users((cell,), users),
    )  # fmt: skip


def _relation(one: AuditFinding, users: Mapping[str, float]) -> Recommendation:
    a, b = one.cells[:2]
    if one.severity is Severity.INFO:
        return _order(one, users)
    both = one.code == "missing-neighbour"
    headline = (
        f"Add the neighbour relations {a}->{b} and {b}->{a}" if both
        else f"Add the neighbour relation {a}->{b}"
    )  # fmt: skip
    return _made(
        one, headline, (), f"remove the relation{'s' if both else ''} again", users,
        risk="a relation to a cell that users cannot use leads to failed handovers", probability=0.1
        if both else 0.05,
        missing="plans set parameters and add no objects: a work order, or let ANR add it",
    )  # fmt: skip


def _outlier(
    one: AuditFinding, conf: Configuration, users: Mapping[str, float]
) -> Recommendation | None:
    """Return the change to the value that nearly all cells of the carrier have, if that is so."""
    name = one.found.split(" is ", 1)[0]
    values = conf.settings.get(name)
    if values is None:
        return None
    cell = conf.cell_ids.index(one.cells[0])
    alike = conf.carrier_index == conf.carrier_index[cell]
    known = values[alike & np.isfinite(values)]
    kinds, count = np.unique(known, return_counts=True)
    usual = float(kinds[int(count.argmax())])
    if count.max() / known.size < COMMON:
        return _order(one, users)
    before = float(values[cell])
    quantity = QUANTITIES.get(name)
    after = usual
    gradual = ""
    if quantity is not None and quantity.max_step and abs(usual - before) > quantity.max_step:
        after = snap(name, before + math.copysign(quantity.max_step, usual - before))
        gradual = f" as the first step to {usual:g}"
    return _made(
        one, f"Set {name} of {one.cells[0]} from {before:g} to {after:g}{gradual}",
        (Step(one.cells[0], name, before, after),),
        f"set {name} of {one.cells[0]} back from {after:g} to {before:g}", users,
        risk="the value was meant so for this place", probability=0.5,
        missing="" if quantity is not None else
        f"{name} is no parameter that a plan can carry: a work order",
    )  # fmt: skip


def _order(one: AuditFinding, users: Mapping[str, float]) -> Recommendation:
    named = ", ".join(one.cells[:_MOST_NAMED])
    more = f" and {len(one.cells) - _MOST_NAMED} more" if len(one.cells) > _MOST_NAMED else ""
    which = "Cell" if len(one.cells) == 1 else "Cells"
    return _made(
        one, f"{which} {named}{more}: {one.action}", (), "nothing is set: a work order", users,
        risk="none before it was looked at", probability=0.0, missing="",
    )  # fmt: skip


def _made(  # noqa: PLR0913  # what differs from finding to finding
    one: AuditFinding, headline: str, steps: tuple[Step, ...], undo: str,
    users: Mapping[str, float], *, risk: str, probability: float, missing: str,
) -> Recommendation:  # fmt: skip
    return Recommendation(
        Topic.CONFIGURATION, one.cells, headline, steps, None,
        (f"audit, {one.code}: {one.found}", one.why), _users(one.cells, users), risk, probability,
        None, undo, _SURE[one.severity], _WORTH.get(one.code, 0.001), missing,
    )  # fmt: skip
