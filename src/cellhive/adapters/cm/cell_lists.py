"""Cell lists as JSON: cells with their identities and neighbours, in the dialects there are.

A cell is any object with a name and a physical cell identity or a list of neighbours,
however deep it lies; so ``{"cellList": [{"Cell": {...}, "neighbor": [...]}]}`` of ONAP's RAN
simulator and the network resource model as JSON (``nRCellRelationList``) read alike.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cellhive.adapters.cm.stated import Stated, StatedCell, StatedRelation, pci_of
from cellhive.adapters.files import read_bounded
from cellhive.core.errors import BadInput
from cellhive.core.measurements import Finding, Severity

_NAMES = (
    "nodeid", "cellid", "cellname", "celllocalid", "nrcellid", "nci", "ncgi", "eci", "ecgi", "cell",
    "id", "name",
)  # fmt: skip
"""What names a cell, the best first."""
_NEIGHBOURS = (
    "neighbor", "neighbour", "neighbors", "neighbours", "neighborlist", "neighbourlist",
    "nrcellrelationlist", "eutranrelationlist", "nrcellrelation",
)  # fmt: skip
_TARGETS = ("nrtci", "targetcell", "target", "adjacentcell", "idnrcellrelation", *_NAMES)
_PCI = ("physicalcellid", "pci", "nrpci", "phycellid")
_SITES = ("siteid", "site", "gnbid", "enbid", "gnbduid")
_BARRED = ("blacklisted", "blocklisted", "barred", "excluded")
_ALLOWED = ("ishoallowed", "hoallowed", "handoverallowed")
_FALSE = {"false", "no", "0"}
_MOST_DEEP = 40


def read_cell_list(path: Path, into: Stated) -> int:
    """Add the cells and relations of a JSON document; return how many cells it has.

    Raises:
        NotFound: There is no such file.
        BadInput: It is no JSON, or names no cell.
    """
    try:
        document = json.loads(read_bounded(path).decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise BadInput(
            place=str(path), expected="JSON in UTF-8", found=f"broken JSON: {error}"
        ) from error
    found = 0
    for node, depth in _objects(document, 0):
        if depth > _MOST_DEEP:
            raise BadInput(
                place=str(path), expected=f"at most {_MOST_DEEP} levels", found="deeper nesting"
            )
        found += _take(node, path.name, into)
    if not found:
        raise BadInput(
            place=str(path), expected="objects with a cell's name and its PCI or neighbours",
            found="none",
        )  # fmt: skip
    return found


def _objects(node: Any, depth: int) -> Iterator[tuple[dict[str, Any], int]]:
    """Return every object of a document, the inner ones of a cell left to the cell."""
    if depth > _MOST_DEEP + 1:
        return
    if isinstance(node, list):
        for item in node:
            yield from _objects(item, depth + 1)
    elif isinstance(node, dict):
        yield node, depth
        for key, value in node.items():
            if _key(key) not in _NEIGHBOURS and not _is_shell(node, key):
                yield from _objects(value, depth + 1)


def _is_shell(node: dict[str, Any], key: str) -> bool:
    """Return whether a member is the cell itself, in an object that holds its neighbours."""
    return _key(key) == "cell" and isinstance(node[key], dict)


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _plain(node: dict[str, Any]) -> dict[str, str]:
    """Return the plain members of an object by simplified name, inner "Cell" included."""
    plain: dict[str, str] = {}
    for name, value in node.items():
        if isinstance(value, dict) and _key(name) in ("cell", "attributes"):
            plain |= _plain(value)
        elif isinstance(value, str | int | float) and not isinstance(value, bool):
            plain[_key(name)] = str(value)
        elif isinstance(value, bool):
            plain[_key(name)] = str(value).lower()
    return plain


def _first(plain: dict[str, str], names: tuple[str, ...]) -> str:
    return next((plain[name].strip() for name in names if plain.get(name, "").strip()), "")


def _take(node: dict[str, Any], file: str, into: Stated) -> int:
    """Add the cell that an object describes, if it does."""
    neighbours = next((v for k, v in node.items() if _key(k) in _NEIGHBOURS), None)
    plain = _plain(node)
    name, pci = _first(plain, _NAMES), _first(plain, _PCI)
    if not name or not (pci or isinstance(neighbours, list)):
        return 0
    cell = StatedCell(name, site=_first(plain, _SITES), where=file)
    for field, key in (("latitude_deg", "latitude"), ("longitude_deg", "longitude"),
                       ("azimuth_deg", "azimuth")):  # fmt: skip
        setattr(cell, field, _number(plain.get(key, plain.get(key[:3], "")), key, cell, into))
    if pci:
        try:
            cell.physical_cell_id = pci_of(pci)
        except ValueError as error:
            into.findings.add(_odd(cell, "PCI", str(error)))
    into.cells.append(cell)
    for one in neighbours if isinstance(neighbours, list) else ():
        relation = _relation(name, one)
        if relation is not None:
            into.relations.append(relation)
    return 1


def _relation(source: str, one: Any) -> StatedRelation | None:
    if isinstance(one, str | int):
        return StatedRelation(source, str(one))
    if not isinstance(one, dict):
        return None
    plain = _plain(one)
    target = _first(plain, _TARGETS)
    if not target:
        return None
    barred = _first(plain, _BARRED).lower() not in {"", *_FALSE}
    return StatedRelation(source, target, not barred and _first(plain, _ALLOWED).lower()
                          not in _FALSE)  # fmt: skip


def _number(text: str, what: str, cell: StatedCell, into: Stated) -> float:
    if not text:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    limit = {"latitude": 90.0, "longitude": 180.0, "azimuth": 360.0}[what]
    if not (math.isfinite(value) and abs(value) <= limit):
        into.findings.add(_odd(cell, what, f"{text[:30]!r}"))
        return math.nan
    return value


def _odd(cell: StatedCell, what: str, found: str) -> Finding:
    return Finding(
        Severity.WARNING, f"{what.lower()}-not-readable", f"a {what}", found, "left out",
        file=cell.where, object=cell.name,
    )  # fmt: skip
