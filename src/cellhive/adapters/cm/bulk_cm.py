"""Bulk CM XML (TS 32.616 and the older 32.615): cells and relations of NR and LTE.

Object classes and attributes are those of TS 28.541 (``NRCellDU``, ``NRCellCU``,
``NRCellRelation``) and TS 28.659 (``EUtranCellFDD``, ``EUtranCellTDD``,
``EUtranGenericCell``, ``EUtranRelation``). A cell is named by the id of its object, with that of
its managed element before it where ids repeat; attributes that are numbers are its parameters.
"""

from __future__ import annotations

import math
from pathlib import Path

from lxml import etree

from cellhive.adapters.cm.stated import Stated, StatedCell, StatedRelation, pci_of
from cellhive.adapters.cm.xml_objects import elements_of, local_name
from cellhive.core.measurements import Finding, Severity

_CELLS = {
    "NRCellDU", "NRCellCU", "EUtranCellFDD", "EUtranCellTDD", "EUtranGenericCell",
}  # fmt: skip
_RELATIONS = {"NRCellRelation", "EUtranRelation"}
_ELEMENTS = {"ManagedElement", "MeContext"}
_NODES = {"GNBDUFunction", "GNBCUCPFunction", "ENBFunction", "ManagedElement", "MeContext"}
_PCI = {"nRPCI", "pci", "physicalLayerCellId", "physicalCellId"}
_CARRIER = {"arfcnDL", "earfcnDl", "earfcn", "dlFrequency", "earfcndl"}
_TARGET = {"adjacentCell", "nRCellRef", "adjacentNRCellRef", "cellRef", "eutranCellRef"}
_ALLOWED = {"isHOAllowed", "isHoAllowed"}
_FALSE = {"false", "no", "0"}
_BETWEEN = "/"
"""Between the id of a managed element and that of its cell."""


def read_bulk_cm(path: Path, into: Stated) -> int:
    """Add the cells and relations of a bulk CM file; return how many cells it has.

    Raises:
        NotFound: There is no such file.
        BadInput: It is no well-formed XML, or declares entities.
    """
    own = Stated(findings=into.findings)
    for element in elements_of(path):
        kind = local_name(element)
        if kind in _CELLS:
            _cell(element, path.name, own)
        elif kind in _RELATIONS:
            _relation(element, path.name, own)
        if kind in _NODES:
            element.clear()
    _shorten(own)
    into.cells += own.cells
    into.relations += own.relations
    return len(own.cells)


def _shorten(own: Stated) -> None:
    """Leave the managed element out of names where each id belongs to one only."""
    names = {cell.name for cell in own.cells}
    if len({name.partition(_BETWEEN)[2] for name in names}) < len(names):
        return
    for cell in own.cells:
        cell.name = cell.name.partition(_BETWEEN)[2]
    for relation in own.relations:
        relation.source = relation.source.partition(_BETWEEN)[2]
        relation.target = relation.target.partition(_BETWEEN)[2]


def _attributes(element: etree._Element) -> dict[str, str]:
    """Return the plain attributes of an object and of its vendor containers."""
    found: dict[str, str] = {}
    for child in element:
        kind = local_name(child)
        if kind in {"attributes", "VsDataContainer"} or kind.startswith("vsData"):
            if len(child):
                found |= _attributes(child)
            elif kind.startswith("vsData") and child.text:
                found[kind] = child.text.strip()
        elif local_name(element) != kind and not len(child) and child.text and _is_inside(element):
            found[kind] = child.text.strip()
    return found


def _is_inside(element: etree._Element) -> bool:
    kind = local_name(element)
    return kind == "attributes" or kind.startswith("vsData")


def _first(attributes: dict[str, str], names: set[str]) -> str:
    return next((value for name, value in attributes.items() if name in names and value), "")


def _node(element: etree._Element, kinds: set[str]) -> str:
    """Return the id of the nearest object of some kinds that an object lies in."""
    return next(
        (a.get("id", "") for a in element.iterancestors() if local_name(a) in kinds), ""
    ).strip()


def _cell(element: etree._Element, file: str, into: Stated) -> None:
    plain = element.get("id", "").strip()
    name = _node(element, _ELEMENTS) + _BETWEEN + plain
    where = f"{file}, line {element.sourceline}"
    if not plain:
        into.findings.add(
            Finding(Severity.WARNING, "cell-without-id", "an id of the cell", "none", "left out",
                    file=file, where=f"line {element.sourceline}")
        )  # fmt: skip
        return
    attributes = _attributes(element)
    cell = StatedCell(
        name, site=_node(element, _NODES), where=where, carrier=_first(attributes, _CARRIER)
    )
    pci = _first(attributes, _PCI)
    if pci:
        try:
            cell.physical_cell_id = pci_of(pci)
        except ValueError as error:
            into.findings.add(
                Finding(Severity.WARNING, "pci-not-readable", "a PCI", str(error), "left out",
                        file=file, where=f"line {element.sourceline}", object=name)
            )  # fmt: skip
    for key, text in attributes.items():
        if key in _PCI | _CARRIER:
            continue
        try:
            value = float(text)
        except ValueError:
            continue
        if math.isfinite(value):
            cell.settings[key] = value
    into.cells.append(cell)


def _relation(element: etree._Element, file: str, into: Stated) -> None:
    attributes = _attributes(element)
    element_id = _node(element, _ELEMENTS)
    source, target = _node(element, _CELLS), _first(attributes, _TARGET)
    if not source or not target:
        lacks = "no cell around it" if not source else "no target"
        into.findings.add(
            Finding(Severity.WARNING, "relation-without-end", "a source and a target", lacks,
                    "left out", file=file, where=f"line {element.sourceline}")
        )  # fmt: skip
        return
    parts = [part.partition("=")[::2] for part in target.split(",")]
    there = next((value for kind, value in parts if kind.strip() in _ELEMENTS), element_id)
    cell = parts[-1][1] or parts[-1][0]  # a distinguished name ends with the cell
    into.relations.append(
        StatedRelation(
            element_id + _BETWEEN + source, there.strip() + _BETWEEN + cell.strip(),
            _first(attributes, _ALLOWED).lower() not in _FALSE,
        )
    )  # fmt: skip
