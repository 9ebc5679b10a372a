"""What files state of cells and relations, before it is put together."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from cellhive.core.errors import BadInput
from cellhive.core.measurements import Finding, Findings, Severity
from cellhive.core.types import Floats
from cellhive.diagnose.audit.configuration import UNKNOWN_PCI, Configuration
from cellhive.ran.layout import local_xy

MOST_CELLS = 300_000
"""Largest number of cells in one audit."""
MOST_RELATIONS = 10_000_000
"""Largest number of relations in one audit."""

ELSEWHERE_KM = 1.0
"""From this distance on a cell of a second file is not the one of that name in the first."""
SAME_NAMES = 5
"""Cells of one name that two files must have before they are taken for two networks."""

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
    also: tuple[str, ...] = ()
    """Other names that relations and other files may give it."""


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
    ends: list[tuple[str, int, int]] = field(default_factory=list)
    """Of every file: its name, and how many cells and relations there were after it."""

    def ended(self, file: str) -> None:
        """Note that what was read since the last call is of one file."""
        self.ends.append((file, len(self.cells), len(self.relations)))

    def by_file(self) -> Iterator[tuple[str, Sequence[StatedCell], Sequence[StatedRelation]]]:
        """Return the cells and relations of each file; what no file ended comes last."""
        cell, relation = 0, 0
        for file, cells, relations in (*self.ends, ("", len(self.cells), len(self.relations))):
            if (cells, relations) != (cell, relation):
                yield file, self.cells[cell:cells], self.relations[relation:relations]
            cell, relation = cells, relations

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


def put_together(stated: Stated, measured: Collection[str] = ()) -> Configuration:
    """Return one configuration from what files state.

    A cell that several files describe gets from each what the ones before lack; where they
    contradict one another the first holds, and a finding says so. A file in which most cells
    of a known name stand elsewhere describes another network: it is left out, with a finding.

    Args:
        stated: What files state.
        measured: Names of measured objects, which cells with several names are called by.

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
    called = _called(stated.cells, measured)
    relations: list[Sequence[StatedRelation]] = []
    for file, described, pairs_of_file in stated.by_file():
        more = [(called.get(one.name, one.name), one) for one in described]
        other = _other_network(file, cells, more)
        if other is not None:
            stated.findings.add(other)
            continue
        relations.append(pairs_of_file)
        for name, one in more:
            known = cells.setdefault(name, one)
            if known is not one:
                _add(known, one, file, stated.findings)
    names = tuple(cells)
    index = {name: i for i, name in enumerate(names)}
    index |= {also: index[name] for also, name in called.items() if name in index}
    ends, unresolved, repeated = _resolved(relations, index)
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


def _called(cells: list[StatedCell], measured: Collection[str]) -> dict[str, str]:
    """Return which name to use for each name of the cells that have several.

    It is the one that other files use too, else the cell's own; names that could mean several
    cells are left out.
    """
    own = {cell.name for cell in cells if cell.also}
    others = {cell.name for cell in cells if not cell.also}.union(measured)
    owners: dict[str, set[str]] = {}
    for cell in cells:
        for also in cell.also:
            owners.setdefault(also, set()).add(cell.name)
    called: dict[str, str] = {}
    for cell in cells:
        names = [also for also in cell.also if also not in own and owners[also] == {cell.name}]
        names = [cell.name, *names] if cell.also else []
        best = next((name for name in names if name in others), cell.name)
        called |= dict.fromkeys(names, best)
    return called


def _other_network(
    file: str, known: Mapping[str, StatedCell], more: Sequence[tuple[str, StatedCell]]
) -> Finding | None:
    """Return what to say of a file whose cells have known names and other places."""
    both = [(known[name], one) for name, one in more if name in known]
    apart_km = _apart_km(both)
    if apart_km.size < SAME_NAMES or not np.median(apart_km) > ELSEWHERE_KM:
        return None
    far = int(np.sum(apart_km > ELSEWHERE_KM))
    return Finding(
        Severity.WARNING, "another-network",
        f"cells of one name to stand in one place, as in {_file_of(both[0][0])}",
        f"{far} of {apart_km.size} elsewhere, {np.median(apart_km):.3g} km away in the middle",
        "taken for another network and left out of map, audit and advice; analyse it by itself",
        file=file, count=len(more), counted="cells",
    )  # fmt: skip


def _apart_km(pairs: Sequence[tuple[StatedCell, StatedCell]]) -> Floats:
    """Return how far apart the places of each pair are, of those whose places are stated."""
    places = np.array(
        [[(one.latitude_deg, one.longitude_deg) for one in pair] for pair in pairs], np.float64
    ).reshape(-1, 2, 2)
    places = places[np.isfinite(places).all(axis=(1, 2))]
    if not len(places):
        return np.zeros(0)
    east_m, north_m = local_xy(places[:, :, 0], places[:, :, 1], tuple(places[0, 0]))
    return np.hypot(east_m[:, 1] - east_m[:, 0], north_m[:, 1] - north_m[:, 0]) / 1000


def _file_of(cell: StatedCell) -> str:
    return cell.where.split(", ", maxsplit=1)[0]


def _numbers(values: Iterable[float]) -> Floats:
    return np.array(list(values), np.float64)


def _resolved(
    files: Iterable[Sequence[StatedRelation]], index: Mapping[str, int]
) -> tuple[
    dict[tuple[int, int], StatedRelation], list[tuple[str, str]], list[tuple[str, str]]
]:  # fmt: skip
    """Return relations by cells, those that lead out of the files, and those stated again.

    A second file that has the same relations is another export of them: only what one file
    states twice is stated again.
    """
    ends: dict[tuple[int, int], StatedRelation] = {}
    unresolved: dict[tuple[str, str], None] = {}
    repeated: list[tuple[str, str]] = []
    for relations in files:
        own: set[tuple[int, int]] = set()
        for one in relations:
            if one.source not in index or one.target not in index:
                unresolved[one.source, one.target] = None
                continue
            pair = (index[one.source], index[one.target])
            first = ends.setdefault(pair, one)
            if math.isnan(first.weight):
                first.weight = one.weight
            if pair in own and math.isnan(one.weight):  # a counter states it no second time
                repeated.append((one.source, one.target))
            own.add(pair)
    return ends, list(unresolved), repeated


def _add(known: StatedCell, more: StatedCell, file: str, findings: Findings) -> None:
    """Take over what is not known of a cell yet."""
    for name in ("site", "carrier"):
        have, new = getattr(known, name), getattr(more, name)
        if not have:
            setattr(known, name, new)
        elif new and new != have:
            findings.add(_differs(known, more, file, name, have, new))
    for name in ("latitude_deg", "longitude_deg", "azimuth_deg"):
        have, new = getattr(known, name), getattr(more, name)
        if math.isnan(have):
            setattr(known, name, new)
        elif not math.isnan(new) and abs(new - have) > 1e-6:  # noqa: PLR2004  # 0.1 m of latitude
            findings.add(_differs(known, more, file, name, f"{have:g}", f"{new:g}"))
    if known.physical_cell_id == UNKNOWN_PCI:
        known.physical_cell_id = more.physical_cell_id
    elif more.physical_cell_id not in (UNKNOWN_PCI, known.physical_cell_id):
        pcis = str(known.physical_cell_id), str(more.physical_cell_id)
        findings.add(_differs(known, more, file, "PCI", *pcis))
    for name, value in more.settings.items():
        known.settings.setdefault(name, value)


def _differs(
    known: StatedCell, more: StatedCell, file: str, what: str, have: str, new: str
) -> Finding:
    return Finding(
        Severity.WARNING, "cell-stated-differently", f"{what} {have} as in {known.where}",
        f"{what} {new}", "the first was kept", file=file or _file_of(more),
        where=more.where.removeprefix(file).lstrip(", ") if file else "",
        column=what, object=known.name,
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
