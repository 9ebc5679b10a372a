"""What is configured in a network, as far as files say, and what an audit finds in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

import numpy as np
from scipy.spatial import cKDTree

from cellhive.core.errors import BadInput
from cellhive.core.measurements import Severity
from cellhive.core.types import Bools, Floats, Ints
from cellhive.ran.layout import local_xy

IN_FRONT_DEG = 60.0
"""How far off a cell's bearing another may lie to be in front of it [deg]: half a sector."""

UNKNOWN_PCI = -1
"""Physical cell identity that the files do not state."""


@dataclass(frozen=True)
class Configuration:
    """Cells and the relations between them; C cells, R relations, N relations to nowhere.

    NaN, -1 and empty texts mean that the files do not say; nothing is filled in.
    """

    cell_ids: tuple[str, ...]
    """Unique name of each cell, length C."""
    site_ids: tuple[str, ...]
    """Site of each cell, length C; "" where unknown."""
    latitude_deg: Floats
    """(C,)"""
    longitude_deg: Floats
    """(C,)"""
    azimuth_deg: Floats
    """Bearing of the main lobe, clockwise from north [deg], (C,)."""
    physical_cell_id: Ints
    """PCI, (C,)."""
    carrier: tuple[str, ...]
    """What tells carriers apart (a frequency, an ARFCN, a band), length C; "" where unknown."""
    relation_source: Ints
    """Serving cell of each neighbour relation, (R,)."""
    relation_target: Ints
    """Its target, (R,)."""
    handover_allowed: Bools
    """False where a relation is barred or on a block list, (R,)."""
    relation_weight: Floats | None = None
    """Handovers over each relation in the time looked at, (R,); None where none were counted."""
    unresolved: tuple[tuple[str, str], ...] = ()
    """Relations to cells that are not in the files: (source, name of the target)."""
    repeated: tuple[tuple[str, str], ...] = ()
    """Relations stated more than once; the first is kept."""
    settings: Mapping[str, Floats] = field(default_factory=lambda: MappingProxyType({}))
    """Numeric parameters of cells by name, (C,) each; NaN where a cell does not state it."""

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong together."""
        cells, relations = len(self.cell_ids), self.relation_source.size
        if len(set(self.cell_ids)) != cells:
            raise BadInput(
                place="cells", expected="each name once", found=f"{cells} cells with "
                f"{len(set(self.cell_ids))} names",
            )  # fmt: skip
        sizes = {
            "site_ids": len(self.site_ids), "latitude_deg": self.latitude_deg.size,
            "longitude_deg": self.longitude_deg.size, "azimuth_deg": self.azimuth_deg.size,
            "physical_cell_id": self.physical_cell_id.size, "carrier": len(self.carrier),
            **{name: values.size for name, values in self.settings.items()},
        }  # fmt: skip
        wrong = [f"{name} has {size}" for name, size in sizes.items() if size != cells]
        if self.relation_target.size != relations or self.handover_allowed.size != relations:
            wrong.append("ends and flags of relations differ in number")
        if self.relation_weight is not None and self.relation_weight.size != relations:
            wrong.append(f"relation_weight has {self.relation_weight.size}")
        if wrong:
            raise BadInput(
                place="configuration",
                expected=f"{cells} values of cells, {relations} of relations",
                found="; ".join(wrong),
            )  # fmt: skip

    @property
    def cells(self) -> int:
        """Number of cells C."""
        return len(self.cell_ids)

    @cached_property
    def located(self) -> Bools:
        """Cells with a position, (C,)."""
        return np.isfinite(self.latitude_deg) & np.isfinite(self.longitude_deg)

    @cached_property
    def plane_m(self) -> Floats:
        """Positions on a plane that touches the middle of the network, east and north [m], (C, 2).

        NaN where there is no position; see ``ran.layout.local_xy`` for how far it holds.
        """
        if not self.located.any():
            return np.full((self.cells, 2), np.nan)
        middle = float(np.median(self.latitude_deg[self.located]))
        # the first cell's longitude: a median would tear a network on the date line apart
        origin = (middle, float(self.longitude_deg[self.located][0]))
        return np.stack(local_xy(self.latitude_deg, self.longitude_deg, origin), axis=1)

    def off_bearing_deg(self, cell: int, other: int) -> float:
        """Return by how much another cell lies off the bearing of a cell, 0 to 180 [deg]."""
        east, north = self.plane_m[other] - self.plane_m[cell]
        off = math.degrees(math.atan2(east, north)) - float(self.azimuth_deg[cell])
        return abs((off + 180.0) % 360.0 - 180.0)

    def face_each_other(self, i: int, j: int) -> bool:
        """Return whether each of two cells lies in front of the other."""
        return max(self.off_bearing_deg(i, j), self.off_bearing_deg(j, i)) <= IN_FRONT_DEG

    @cached_property
    def site_distance_m(self) -> float:
        """Median distance from a site to the next [m]; NaN where there is one only."""
        places = np.unique(np.round(self.plane_m[self.located]), axis=0)
        if len(places) < 2:  # noqa: PLR2004  # a distance needs two
            return float("nan")
        return float(np.median(np.asarray(cKDTree(places).query(places, k=[2])[0])))

    @cached_property
    def carrier_index(self) -> Ints:
        """Carriers as numbers, (C,); unknown ones are one carrier of their own."""
        return np.unique(np.array(self.carrier), return_inverse=True)[1].astype(np.int32)


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """Something configured that should be looked at."""

    code: str
    """Kind of finding, for example "pci-collision"."""
    severity: Severity
    cells: tuple[str, ...]
    """Cells concerned, the one to change first."""
    found: str
    """What is configured, in words with the figures."""
    why: str
    """What it does to users, and which clause or rule it goes against."""
    action: str
    """What to do about it."""


@dataclass(frozen=True, slots=True)
class Check:
    """One kind of check: what it looked at and how it ended."""

    code: str
    title: str
    examined: int
    """Things looked at: cells, relations or sites."""
    of: str
    """What they are."""
    skipped: str = ""
    """Why it could not be made; "" where it was."""


@dataclass(frozen=True, slots=True)
class Audit:
    """All findings, the worst first, and which checks were made."""

    findings: tuple[AuditFinding, ...]
    checks: tuple[Check, ...]

    def count(self, code: str) -> int:
        """Return how many findings there are of a kind."""
        return sum(1 for one in self.findings if one.code == code)
