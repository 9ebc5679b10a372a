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
from cellhive.adapters.inputs import chunks
from cellhive.adapters.unpacking.packings import Truncated
from cellhive.core.errors import BadInput
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
_PROLOG_BYTES = 1 << 20
"""How far down a document type is looked for."""
_BETWEEN = "/"
"""Between the id of a managed element and that of its cell."""


def read_bulk_cm(path: Path, into: Stated) -> int:
    """Add the cells and relations of a bulk CM file; return how many cells it has.

    Raises:
        NotFound: There is no such file.
        BadInput: It is no well-formed XML, or has a document type.
    """
    own = Stated(findings=into.findings)
    parser = etree.XMLPullParser(
        events=("end",), resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    prolog = b""
    try:
        for data in chunks(path):
            if len(prolog) < _PROLOG_BYTES:
                prolog = (prolog + data)[:_PROLOG_BYTES]
                _refuse_doctype(prolog, path)
            parser.feed(data)
            _take(parser, path.name, own)
        parser.close()
        _take(parser, path.name, own)
    except Truncated as error:
        raise BadInput(
            place=str(path), expected="a complete file", found=str(error), remedy="fetch it again"
        ) from error
    except etree.XMLSyntaxError as error:
        raise BadInput(
            place=f"{path}, line {error.lineno or 1}", expected="well-formed XML",
            found=error.msg or "a syntax error",
            remedy="if the file was cut while it was copied, copy it again",
        ) from error  # fmt: skip
    _shorten(own)
    into.cells += own.cells
    into.relations += own.relations
    return len(own.cells)


def _refuse_doctype(prolog: bytes, path: Path) -> None:
    if b"<!DOCTYPE" in prolog.replace(b"\x00", b""):
        raise BadInput(
            place=str(path), expected="XML without a document type", found="a DOCTYPE",
            remedy="remove it; entities are not read",
        )  # fmt: skip


def _take(parser: etree.XMLPullParser, file: str, own: Stated) -> None:
    """Take the objects that are complete, and let go of the nodes they lie in."""
    for _, element in parser.read_events():
        if not isinstance(element, etree._Element):
            continue
        kind = _local(element)
        if kind in _CELLS:
            _cell(element, file, own)
        elif kind in _RELATIONS:
            _relation(element, file, own)
        if kind in _NODES:
            element.clear()


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


def _local(element: etree._Element) -> str:
    return etree.QName(element).localname if isinstance(element.tag, str) else ""


def _attributes(element: etree._Element) -> dict[str, str]:
    """Return the plain attributes of an object and of its vendor containers."""
    found: dict[str, str] = {}
    for child in element:
        kind = _local(child)
        if kind in {"attributes", "VsDataContainer"} or kind.startswith("vsData"):
            if len(child):
                found |= _attributes(child)
            elif kind.startswith("vsData") and child.text:
                found[kind] = child.text.strip()
        elif _local(element) != kind and not len(child) and child.text and _is_inside(element):
            found[kind] = child.text.strip()
    return found


def _is_inside(element: etree._Element) -> bool:
    kind = _local(element)
    return kind == "attributes" or kind.startswith("vsData")


def _first(attributes: dict[str, str], names: set[str]) -> str:
    return next((value for name, value in attributes.items() if name in names and value), "")


def _node(element: etree._Element, kinds: set[str]) -> str:
    """Return the id of the nearest object of some kinds that an object lies in."""
    return next(
        (a.get("id", "") for a in element.iterancestors() if _local(a) in kinds), ""
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
