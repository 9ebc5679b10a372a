"""What files state of cells and relations, before it is put together."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from cellhive.core.errors import BadInput
from cellhive.core.measurements import Finding, Findings, Severity
from cellhive.core.types import Floats
from cellhive.diagnose.audit.configuration import UNKNOWN_PCI, Configuration

MOST_CELLS = 300_000
"""Largest number of cells in one audit."""
MOST_RELATIONS = 10_000_000
"""Largest number of relations in one audit."""

_ID_END = re.compile(r"[^0-9A-Za-z]+$")


@dataclass(slots=True)
class StatedCell:
    """What one file says of a cell; NaN, -1 and "" where it says nothing."""

    name: str
    site: str = ""
    latitude_deg: float = math.nan
    longitude_deg: float = math.nan
    azimuth_deg: float = math.nan
    physical_cell_id: int = UNKNOWN_PCI
    carrier: str = ""
    settings: dict[str, float] = field(default_factory=dict)
    where: str = ""
    """File and place, for messages."""


@dataclass(slots=True)
class StatedRelation:
    """What one file says of a neighbour relation."""

    source: str
    target: str
    allowed: bool = True
    weight: float = math.nan


@dataclass
class Stated:
    """All that was read, file after file."""

    cells: list[StatedCell] = field(default_factory=list)
    relations: list[StatedRelation] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)

    def check_size(self) -> None:
        """Refuse more than one audit takes."""
        for what, have, most in (
            ("cells", len(self.cells), MOST_CELLS),
            ("relations", len(self.relations), MOST_RELATIONS),
        ):
            if have > most:
                raise BadInput(place=what, expected=f"at most {most:,}", found=f"{have:,}")


def with_ends(stated: Stated) -> Stated:
    """Return what is stated; where no file describes a cell, the ends of relations are cells."""
    if stated.cells:
        return stated
    names = dict.fromkeys(name for one in stated.relations for name in (one.source, one.target))
    return replace(stated, cells=[StatedCell(name) for name in names])


def put_together(stated: Stated) -> Configuration:
    """Return one configuration from what files state.

    A cell that several files describe gets from each what the ones before lack; where they
    contradict one another the first holds, and a finding says so.

    Raises:
        BadInput: No file describes a cell.
    """
    stated.check_size()
    if not stated.cells:
        raise BadInput(
            place="files", expected="a site list, a cell list or bulk CM with cells",
            found="no cell", remedy="a table needs a column such as cell, cellName or nodeId",
        )  # fmt: skip
    cells: dict[str, StatedCell] = {}
    for one in stated.cells:
        known = cells.setdefault(one.name, one)
        if known is not one:
            _add(known, one, stated.findings)
    names = tuple(cells)
    index = {name: i for i, name in enumerate(names)}
    ends, unresolved, repeated = _resolved(stated.relations, index)
    weight = np.array([r.weight for r in ends.values()], np.float64)
    pairs = np.array(list(ends), np.int32).reshape(-1, 2)
    everyone = list(cells.values())
    return Configuration(
        cell_ids=names,
        site_ids=tuple(c.site for c in everyone),
        latitude_deg=_numbers(c.latitude_deg for c in everyone),
        longitude_deg=_numbers(c.longitude_deg for c in everyone),
        azimuth_deg=_numbers(c.azimuth_deg for c in everyone),
        physical_cell_id=np.array([c.physical_cell_id for c in everyone], np.int32),
        carrier=tuple(c.carrier for c in everyone),
        relation_source=pairs[:, 0],
        relation_target=pairs[:, 1],
        handover_allowed=np.array([r.allowed for r in ends.values()], np.bool_),
        relation_weight=weight if np.isfinite(weight).any() else None,
        unresolved=tuple(unresolved),
        repeated=tuple(repeated),
        settings=_settings(everyone),
    )


def _numbers(values: Iterable[float]) -> Floats:
    return np.array(list(values), np.float64)


def _resolved(
    relations: Iterable[StatedRelation], index: Mapping[str, int]
) -> tuple[
    dict[tuple[int, int], StatedRelation], list[tuple[str, str]], list[tuple[str, str]]
]:  # fmt: skip
    """Return relations by cells, those that lead out of the files, and those stated again."""
    ends: dict[tuple[int, int], StatedRelation] = {}
    unresolved, repeated = [], []
    for one in relations:
        if one.source not in index or one.target not in index:
            unresolved.append((one.source, one.target))
            continue
        pair = (index[one.source], index[one.target])
        if pair in ends:
            first = ends[pair]
            if math.isnan(first.weight):  # a counter beside a list states it no second time
                first.weight = one.weight
            if math.isnan(one.weight):
                repeated.append((one.source, one.target))
        else:
            ends[pair] = one
    return ends, unresolved, repeated


def _add(known: StatedCell, more: StatedCell, findings: Findings) -> None:
    """Take over what is not known of a cell yet."""
    for name in ("site", "carrier"):
        have, new = getattr(known, name), getattr(more, name)
        if not have:
            setattr(known, name, new)
        elif new and new != have:
            findings.add(_differs(known, more, name, have, new))
    for name in ("latitude_deg", "longitude_deg", "azimuth_deg"):
        have, new = getattr(known, name), getattr(more, name)
        if math.isnan(have):
            setattr(known, name, new)
        elif not math.isnan(new) and abs(new - have) > 1e-6:  # noqa: PLR2004  # 0.1 m of latitude
            findings.add(_differs(known, more, name, f"{have:g}", f"{new:g}"))
    if known.physical_cell_id == UNKNOWN_PCI:
        known.physical_cell_id = more.physical_cell_id
    elif more.physical_cell_id not in (UNKNOWN_PCI, known.physical_cell_id):
        findings.add(
            _differs(known, more, "PCI", str(known.physical_cell_id), str(more.physical_cell_id))
        )
    for name, value in more.settings.items():
        known.settings.setdefault(name, value)


def _differs(known: StatedCell, more: StatedCell, what: str, have: str, new: str) -> Finding:
    return Finding(
        Severity.WARNING, "cell-stated-differently", f"{what} {have} as in {known.where}",
        f"{what} {new}", "the first was kept", file=more.where, object=known.name,
    )  # fmt: skip


def _settings(cells: list[StatedCell]) -> dict[str, Floats]:
    """Return the parameters that more than one cell states."""
    count = Counter(name for cell in cells for name in cell.settings)
    return {
        name: _numbers(cell.settings.get(name, math.nan) for cell in cells)
        for name, times in count.items()
        if times > 1
    }


def pci_of(text: str) -> int:
    """Return a physical cell identity; raise ValueError where it is none."""
    number = float(_ID_END.sub("", text.strip()))
    if number != int(number) or number < 0:
        message = f"{text.strip()[:30]!r} is no physical cell identity"
        raise ValueError(message)
    return int(number)
