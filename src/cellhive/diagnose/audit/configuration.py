"""What is configured in a network, as far as files say, and what an audit finds in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

import numpy as np

from cellhive.core.errors import BadInput
from cellhive.core.measurements import Severity
from cellhive.core.types import Bools, Floats, Ints

EARTH_RADIUS_M = 6_371_008.8
"""Mean radius of the Earth [m] (IUGG)."""

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

        Good to a per mille over 100 km; NaN where there is no position.
        """
        if not self.located.any():
            return np.full((self.cells, 2), np.nan)
        latitude, longitude = np.radians(self.latitude_deg), np.radians(self.longitude_deg)
        middle = float(np.median(latitude[self.located]))
        # longitudes as differences to one of them, so that networks on the date line stay whole
        anchor = float(longitude[self.located][0])
        turn = (longitude - anchor + np.pi) % (2 * np.pi) - np.pi
        east = EARTH_RADIUS_M * np.cos(middle) * turn
        return np.stack([east, EARTH_RADIUS_M * (latitude - middle)], axis=1)

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
