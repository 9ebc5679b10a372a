"""RAML 2.0 and 2.1 (Nokia's exports of plans and of what is in the network): cells and relations.

A file holds ``managedObject`` elements whose ``distName`` says where they lie
(``PLMN-PLMN/MRBTS-1/LNBTS-1/LNCEL-11``), with parameters as ``p``, in a ``list`` of values or in
the ``item`` of a list. Cells are ``LNCEL`` and ``NRCELL``; what hangs below a cell (``LNCEL_FDD``)
belongs to it, relations (``LNREL``, ``NRREL``) lead from it. A cell is named as measurements
of the same maker name it: by its whole distinguished name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from lxml import etree

from cellhive.adapters.cm.stated import Stated, StatedCell, StatedRelation, pci_of
from cellhive.adapters.cm.xml_objects import elements_of, local_name
from cellhive.adapters.pm.pm_omes import dn_of
from cellhive.core.measurements import Finding, Severity

_CELLS = ("LNCEL", "NRCELL")
_RELATIONS = ("LNREL", "NRREL")
_BETWEEN_SYSTEMS = ("LNREL", "NRREL", "LNADJ", "LNHOG", "LNHOW", "ADJ")
"""Objects below a cell that are no settings of it: there is one per neighbour."""
_PCI = ("phyCellId", "physCellId", "physicalCellId")
_CARRIER = ("earfcnDL", "earfcn", "nrarfcn", "nrarfcnDl", "arfcn")
_IDENTITIES = ("LNBTS", "NRBTS")
_ALLOWED = {"allowed": True, "forbidden": False}


@dataclass
class _Read:
    """What was read of a file so far; objects may come in any order."""

    cells: dict[str, StatedCell] = field(default_factory=dict)
    """By the name in the file."""
    below: dict[str, dict[str, str]] = field(default_factory=dict)
    """Parameters of objects below a cell, by the name of the cell."""
    relations: list[tuple[str, str, bool]] = field(default_factory=list)


def read_raml(path: Path, into: Stated) -> int:
    """Add the cells and relations of a RAML file; return how many cells it has.

    Objects that a plan deletes are left out.

    Raises:
        NotFound: There is no such file.
        BadInput: It is no well-formed XML, or declares entities.
    """
    read = _Read()
    for element in elements_of(path):
        if local_name(element) != "managedObject":
            continue
        _take(element, path.name, read, into)
        element.clear()
        parent = element.getparent()
        while parent is not None and len(parent) > 1:  # emptied ones would still fill the memory
            del parent[0]
    for name, parameters in read.below.items():
        if name in read.cells:
            _describe(read.cells[name], parameters, into)
    into.cells += read.cells.values()
    into.relations += [
        StatedRelation(dn_of(source), target, allowed) for source, target, allowed in read.relations
    ]
    return len(read.cells)


def _take(element: etree._Element, file: str, read: _Read, into: Stated) -> None:
    kind, name = element.get("class", ""), element.get("distName", "").strip()
    kind = kind.rpartition(":")[2]  # a prefix says which release a class is of
    operation = element.get("operation", "").lower()
    cell = _cell_of(name)
    if not cell:
        return
    if operation == "delete":
        into.findings.add(
            Finding(Severity.INFO, "object-deleted", "objects that are to be there",
                    f"{kind} with operation='delete'", "left out", file=file,
                    where=f"line {element.sourceline}", object=name)
        )  # fmt: skip
        return
    parameters = _parameters(element)
    if name == cell:
        read.cells[cell] = StatedCell(
            dn_of(name), site=_site_of(name), where=f"{file}, line {element.sourceline}",
            also=_also(name, parameters),
        )  # fmt: skip
        _describe(read.cells[cell], parameters, into)
    elif kind in _RELATIONS:
        told = parameters.get("handoverAllowed", "").lower()
        target = _target_of(parameters)
        if told not in {"", *_ALLOWED}:
            into.findings.add(
                Finding(Severity.INFO, "handover-allowed-not-readable", "allowed or forbidden",
                        told, "taken as allowed", file=file, object=name,
                        where=f"line {element.sourceline}", column="handoverAllowed")
            )  # fmt: skip
        if target:
            read.relations.append((cell, target, _ALLOWED.get(told, True)))
            return
        into.findings.add(
            Finding(Severity.WARNING, "relation-without-end", "a target of the relation", "none",
                    "left out", file=file, where=f"line {element.sourceline}", object=name)
        )  # fmt: skip
    elif not kind.startswith(_BETWEEN_SYSTEMS):
        below = name.removeprefix(f"{cell}/")
        own = read.below.setdefault(cell, {})
        own |= {f"{below}.{key}": value for key, value in parameters.items()}


def _cell_of(name: str) -> str:
    """Return the cell that a distinguished name leads to or through; "" if there is none."""
    parts = name.split("/")
    for index, part in enumerate(parts):
        if part.partition("-")[0] in _CELLS:
            return "/".join(parts[: index + 1])
    return ""


def _id_of(name: str, kinds: tuple[str, ...]) -> str:
    parts = [part.partition("-")[::2] for part in name.split("/")]
    return next((value for kind, value in parts if kind in kinds), "")


def _site_of(name: str) -> str:
    return _id_of(name, ("MRBTS", "SBTS")) or _id_of(name, _IDENTITIES)


def _parameters(element: etree._Element) -> dict[str, str]:
    """Return parameters by name; values of lists are numbered from 1."""
    found: dict[str, str] = {}
    for child in element:
        name = child.get("name", "")
        if local_name(child) == "p":
            found[name] = (child.text or "").strip()
        elif local_name(child) == "list":
            for number, entry in enumerate(child, 1):
                if local_name(entry) == "p":
                    found[f"{name}[{number}]"] = (entry.text or "").strip()
                for part in entry.iterchildren("{*}p"):
                    key = f"{name}[{number}].{part.get('name', '')}"
                    found[key] = (part.text or "").strip()
    return found


def _also(name: str, parameters: dict[str, str]) -> tuple[str, ...]:
    """Return what else a cell is called: by its label, and by the relations that lead to it."""
    number = parameters.get("lcrId") or _id_of(name, _CELLS)
    called = parameters.get("cellName") or parameters.get("name") or ""
    names = (_target(_id_of(name, _IDENTITIES), number), called)
    return tuple(one for one in names if one)


def _target(node: str, number: str) -> str:
    return f"eNB {node}, cell {number}" if node and number else ""


def _describe(cell: StatedCell, parameters: dict[str, str], into: Stated) -> None:
    """Take over parameters; of objects below the cell their names begin with the object."""
    for name, text in parameters.items():
        plain = name.rpartition(".")[2]
        if plain in _PCI and "[" not in name:
            try:
                cell.physical_cell_id = pci_of(text)
            except ValueError as error:
                into.findings.add(
                    Finding(Severity.WARNING, "pci-not-readable", "a PCI", str(error), "left out",
                            file=cell.where, object=cell.name)
                )  # fmt: skip
        elif plain in _CARRIER and "[" not in name:
            cell.carrier = text
        else:
            value = _number(text)
            if math.isfinite(value):
                cell.settings[name] = value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _target_of(parameters: dict[str, str]) -> str:
    """Return what a relation calls the cell it leads to; "" where it does not say."""
    for key, text in parameters.items():
        if key.lower().endswith("dn") and _cell_of(text):
            return dn_of(_cell_of(text))
    return _target(parameters.get("ecgiAdjEnbId", ""), parameters.get("ecgiLcrId", ""))
