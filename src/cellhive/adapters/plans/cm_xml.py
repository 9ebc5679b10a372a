"""Plans as 3GPP bulk configuration files, written and read back.

The file is a ``bulkCmConfigDataFile`` as TS 32.616 (which continues TS 32.615) lays it
out, with the NR objects of TS 28.541: ``SubNetwork``, one ``ManagedElement`` per site,
and below it the objects that the plan changes, each with ``modifier="update"`` and
nothing but the changed attributes. ``nrm`` says which attribute carries which parameter.

The standard has no room for what a value was before and why it changes. That record
travels in one ``VsDataContainer`` of the ``SubNetwork`` without a modifier, hence without
effect on a node manager; comments beside each object say the same to a person. A file
without the record is read too: values before are then not known (NaN).
"""

from __future__ import annotations

import difflib
import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from lxml import etree

from cellhive.adapters.files import check_text, parse_number, read_bounded, write_whole
from cellhive.adapters.plans.nrm import ASLEEP_WORDS, BINDINGS, decode, encode
from cellhive.core.errors import BadInput
from cellhive.core.schema import QUANTITIES, Per
from cellhive.core.types import Change, Effect, Network, Plan

CONFIG_DATA = "http://www.3gpp.org/ftp/specs/archive/32_series/32.616#configData"
GENERIC_NRM = "http://www.3gpp.org/ftp/specs/archive/28_series/28.623#genericNrm"
NR_NRM = "http://www.3gpp.org/ftp/specs/archive/28_series/28.541#nrNrm"
VENDOR_DATA = "urn:cellhive:cm:1"
"""Namespace of what the standard has no attribute for."""

PLAN_DATA_TYPE = "vsDataCellHivePlan"
EVENT_A3_DATA_TYPE = "vsDataEventA3"
FORMAT_VERSION = "CellHive.1.0"

Key = tuple[str, str | None, str]
"""Cell, target cell or None, and parameter: what one change is about."""

_NAMESPACES = {None: CONFIG_DATA, "xn": GENERIC_NRM, "nn": NR_NRM, "ch": VENDOR_DATA}
_GENERIC_CLASSES = frozenset({"SubNetwork", "MeContext", "ManagedElement", "VsDataContainer"})
_ROOT = "bulkCmConfigDataFile"
_CELL_CLASSES = frozenset({"NRCellCU", "NRSectorCarrier"})
_ATTRIBUTES: dict[tuple[str, str], str] = {
    **{(b.path[-1], b.attribute): b.parameter for b in BINDINGS.values()},
    **{("CESManagementFunction", name): "asleep" for name in ASLEEP_WORDS},
}
"""Parameter that each attribute of an object class carries."""


# --------------------------------------------------------------------------- writing


def write_plan_xml(
    plan: Plan, network: Network, out: Path | BinaryIO, *, dn_prefix: str, when: datetime
) -> None:
    """Write a plan as a bulk configuration file; a path is written whole or not at all.

    Args:
        plan: What to write; every change once, at least one.
        network: The network the plan is for; gives the site of each cell.
        out: A path, or a stream of bytes.
        dn_prefix: Distinguished name that the file's objects hang under, for example
            "DC=example.com,SubNetwork=Milan"; its last ``SubNetwork`` becomes an object.
        when: Date and time for the footer, with a time zone.

    Raises:
        BadInput: A cell, relation or parameter is not known, a value is none that the
            standard can express, or a change is there twice.
        ValueError: ``when`` has no time zone.
    """
    if when.tzinfo is None:
        message = "the time of the file needs a time zone"
        raise ValueError(message)
    data = _serialise(plan, network, dn_prefix, when)
    if isinstance(out, Path):
        write_whole(out, data)
    else:
        out.write(data)


def _serialise(plan: Plan, network: Network, dn_prefix: str, when: datetime) -> bytes:
    if not plan.changes:
        raise BadInput(
            place=f"plan {plan.plan_id}", expected="at least one change", found="an empty plan"
        )
    seen: set[Key] = set()
    for change in plan.changes:
        _check_change(change, network, seen, f"plan {plan.plan_id}, {change.object_id}")
    prefix, sub_network_id = _split_prefix(check_text(dn_prefix, place="dn_prefix"), network)
    root = etree.Element(_tag(CONFIG_DATA, _ROOT), nsmap=_NAMESPACES)  # type: ignore[arg-type]  # None is the default namespace
    _add(root, CONFIG_DATA, "fileHeader", fileFormatVersion="32.616 V15.0", vendorName="CellHive")
    config = _add(root, CONFIG_DATA, "configData")
    if prefix:
        config.set("dnPrefix", prefix)
    sub_network = _add(config, GENERIC_NRM, "SubNetwork", id=sub_network_id)
    objects: dict[tuple[str, ...], etree._Element] = {}
    for change in plan.changes:
        _add_change(objects, sub_network, change, network)
    _add_record(sub_network, plan)
    stamp = when.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    _add(root, CONFIG_DATA, "fileFooter", dateTime=stamp)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def _check_change(change: Change, network: Network, seen: set[Key], place: str) -> None:
    """Refuse a change that names nothing in the network or comes a second time."""
    key = (change.cell, change.target, change.parameter)
    check_key(key, network, place)
    encode(change.parameter, change.after, place=place)
    if key in seen:
        raise BadInput(
            place=place, expected=f"one change of {change.parameter}", found="more than one"
        )
    seen.add(key)


def _split_prefix(dn_prefix: str, network: Network) -> tuple[str, str]:
    """Return the prefix without its last SubNetwork, and that SubNetwork's id."""
    *head, last = dn_prefix.split(",")
    name, _, value = last.strip().partition("=")
    if name == "SubNetwork" and value:
        return ",".join(part.strip() for part in head), value
    return dn_prefix.strip(), check_text(network.name, place="network name") or "1"


def _add_change(
    objects: dict[tuple[str, ...], etree._Element],
    sub_network: etree._Element,
    change: Change,
    network: Network,
) -> None:
    """Add the attribute that a change sets, and the objects above it that are not there yet."""
    binding = BINDINGS[change.parameter]
    site = network.site_ids[network.cell_index[change.cell]]
    element = _object(objects, sub_network, ("ManagedElement",), (site,))
    names = {"NRCellCU": change.cell, "NRSectorCarrier": change.cell}
    names["NRCellRelation"] = change.target or ""
    path: tuple[str, ...] = ("ManagedElement",)
    ids: tuple[str, ...] = (site,)
    for class_name in binding.path:
        path, ids = (*path, class_name), (*ids, names.get(class_name, "1"))
        element = _object(objects, sub_network, path, ids)
    element.set("modifier", "update")
    attributes = element.find(_tag(_namespace(binding.path[-1]), "attributes"))
    if attributes is None:
        attributes = etree.Element(_tag(_namespace(binding.path[-1]), "attributes"))
        element.insert(0, attributes)
    attributes.addprevious(etree.Comment(_comment(change)))
    text = encode(change.parameter, change.after)
    if binding.path[-1] == "NRCellRelation":
        offsets = _add(attributes, NR_NRM, "cellIndividualOffset")
        _add(offsets, NR_NRM, binding.attribute).text = text
    elif binding.path[-1] == "VsDataContainer":
        data = attributes.find(_tag(VENDOR_DATA, EVENT_A3_DATA_TYPE))
        if data is None:
            data = _vendor_data(attributes, EVENT_A3_DATA_TYPE)
        _add(data, VENDOR_DATA, binding.attribute).text = text
    else:
        _add(attributes, NR_NRM, binding.attribute).text = text


def _object(
    objects: dict[tuple[str, ...], etree._Element],
    sub_network: etree._Element,
    path: tuple[str, ...],
    ids: tuple[str, ...],
) -> etree._Element:
    """Return the object at a path of classes and ids, new if need be."""
    key = tuple(part for pair in zip(path, ids, strict=True) for part in pair)
    if key not in objects:
        parent = objects[key[:-2]] if len(path) > 1 else sub_network
        check_text(ids[-1], place=path[-1])
        objects[key] = _add(parent, _namespace(path[-1]), path[-1], id=ids[-1])
    return objects[key]


def _add_record(sub_network: etree._Element, plan: Plan) -> None:
    """Add what the standard has no attribute for: who, when, why, and the values before."""
    container = _add(sub_network, GENERIC_NRM, "VsDataContainer", id="CellHivePlan")
    attributes = _add(container, GENERIC_NRM, "attributes")
    record = _vendor_data(attributes, PLAN_DATA_TYPE)
    texts = [("planId", plan.plan_id), ("function", plan.function), ("timeS", repr(plan.time_s))]
    texts += [("evidence", text) for text in plan.evidence]
    for name, text in texts:
        _add(record, VENDOR_DATA, name).text = check_text(text, place=f"plan, {name}")
    for effect in plan.expected:
        element = _add(record, VENDOR_DATA, "expected")
        _add(element, VENDOR_DATA, "kpi").text = check_text(effect.kpi, place="expected")
        for name in ("mean", "low", "high"):
            _add(element, VENDOR_DATA, name).text = repr(float(getattr(effect, name)))
    for change in plan.changes:
        element = _add(record, VENDOR_DATA, "change")
        _add(element, VENDOR_DATA, "cell").text = change.cell
        if change.target is not None:
            _add(element, VENDOR_DATA, "target").text = change.target
        _add(element, VENDOR_DATA, "parameter").text = change.parameter
        _add(element, VENDOR_DATA, "before").text = repr(float(change.before))
        _add(element, VENDOR_DATA, "after").text = repr(float(change.after))
        reason = check_text(change.reason, place=f"{change.object_id}, reason")
        _add(element, VENDOR_DATA, "reason").text = reason


def _vendor_data(attributes: etree._Element, data_type: str) -> etree._Element:
    _add(attributes, GENERIC_NRM, "vsDataType").text = data_type
    _add(attributes, GENERIC_NRM, "vsDataFormatVersion").text = FORMAT_VERSION
    return _add(attributes, VENDOR_DATA, data_type)


def _comment(change: Change) -> str:
    """Return one line for a person; "--" may not stand in an XML comment."""
    unit = QUANTITIES[change.parameter].unit
    text = f"{change.parameter} {change.before:g} -> {change.after:g} {unit}".rstrip()
    reason = check_text(change.reason, place=f"{change.object_id}, reason")
    line = " ".join(f"{text}: {reason}".split()).rstrip(":")
    while "--" in line:
        line = line.replace("--", "- -")
    return f" {line} "


def _add(parent: etree._Element, namespace: str, name: str, **attributes: str) -> etree._Element:
    return etree.SubElement(parent, _tag(namespace, name), attributes)


def _tag(namespace: str, name: str) -> str:
    return f"{{{namespace}}}{name}"


def _namespace(class_name: str) -> str:
    return GENERIC_NRM if class_name in _GENERIC_CLASSES else NR_NRM


# --------------------------------------------------------------------------- reading


def read_plan_xml(path: Path, network: Network, *, now_s: float = 0.0) -> Plan:
    """Return the plan that a bulk configuration file holds.

    Files written here come back exactly. In other files every object with
    ``modifier="update"`` is read, in any version of the namespaces; values before are NaN.

    Args:
        path: The file, at most ``files.MAX_BYTES``; gzip is understood.
        network: The network the plan is for; its cell ids are the ids of the ``NRCellCU``
            and ``NRSectorCarrier`` objects.
        now_s: Time of a plan whose file does not record one [s].

    Raises:
        NotFound: There is no such file.
        BadInput: Anything else that keeps the file from being a plan for this network.
    """
    place = str(path)
    root = _parse(read_bounded(path), place)
    _check_frame(root, place)
    record = next(root.iter("{*}" + PLAN_DATA_TYPE), None)
    values: dict[Key, str] = {}
    for element in root.iter():
        _read_object(element, network, values, place)
    if not values:
        raise BadInput(
            place=place,
            expected='at least one object with modifier="update"',
            found="none",
            remedy="a snapshot of a configuration is not a plan",
        )
    if record is None:
        changes = tuple(
            Change(cell, parameter, float("nan"), decode(parameter, text), target)
            for (cell, target, parameter), text in values.items()
        )
        return Plan(f"import-{path.name.partition('.')[0]}", "operator", now_s, changes)
    return _read_record(record, values, place)


def _parse(data: bytes, place: str) -> etree._Element:
    """Return the root of a document that has no DTD, hence no entities of its own."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=False
    )
    try:
        tree = etree.parse(io.BytesIO(data), parser)
    except etree.XMLSyntaxError as error:
        line = error.lineno or 1
        raise BadInput(
            place=f"{place}, line {line}",
            expected="well-formed XML",
            found=error.msg or "a syntax error",
            remedy="if the file was cut while it was copied, copy it again",
        ) from error
    except (LookupError, UnicodeError) as error:
        raise BadInput(place=place, expected="XML in a known encoding", found=str(error)) from error
    if tree.docinfo.internalDTD is not None:
        raise BadInput(
            place=place,
            expected="XML without a document type",
            found="a DOCTYPE",
            remedy="remove it; entities are not read",
        )
    return tree.getroot()


def _check_frame(root: etree._Element, place: str) -> None:
    if _local(root) != _ROOT or "configData" not in (etree.QName(root).namespace or ""):
        raise BadInput(
            place=place,
            expected=f"a bulk configuration file ({_ROOT}, TS 32.615 or 32.616)",
            found=f"the element {_local(root) or '?'}",
        )
    for part in ("fileHeader", "configData", "fileFooter"):
        if root.find("{*}" + part) is None:
            raise BadInput(place=place, expected=f"the element {part}", found="none")


def _read_object(
    element: etree._Element, network: Network, values: dict[Key, str], place: str
) -> None:
    """Add what one element changes to ``values``, if it is an object that changes anything."""
    modifier = element.get("modifier") if isinstance(element.tag, str) else None
    if modifier is None:
        return
    name = _local(element)
    place = f"{place}, line {element.sourceline}, {name}={element.get('id')}"
    if modifier != "update":
        known = {"create": "adds", "delete": "removes"}
        raise BadInput(
            place=place,
            expected='modifier="update"',
            found=f'modifier="{modifier}"',
            remedy=f"a plan only sets parameters; it never {known.get(modifier, 'adds or removes')}"
            " objects of the network",
        )
    for attribute, text in _attributes(element):
        parameter = _ATTRIBUTES.get((name, attribute))
        if parameter is None:
            known_here = [known for cls, known in _ATTRIBUTES if cls == name] or sorted(
                f"{cls}.{known}" for cls, known in _ATTRIBUTES
            )
            raise BadInput(
                place=place,
                expected=f"an attribute that a plan may set: {', '.join(known_here)}",
                found=attribute,
            )
        key = _key(element, parameter, network, place)
        decode(parameter, text, place=f"{place}, {attribute}")
        if key in values:
            raise BadInput(place=place, expected=f"{attribute} once", found="a second value")
        values[key] = text


def _attributes(element: etree._Element) -> Iterator[tuple[str, str]]:
    """Yield name and text of each attribute that an object sets."""
    for attribute in _children(element.findall("{*}attributes")):
        name = _local(attribute)
        parts = [child for child in attribute if isinstance(child.tag, str)]
        if name in {"vsDataType", "vsDataFormatVersion", "adjacentNRCellRef"}:
            continue
        if parts:
            yield from ((_local(part), part.text or "") for part in parts)
        elif name == "cellIndividualOffset":
            yield "rsrpOffsetSsb", attribute.text or ""
        else:
            yield name, attribute.text or ""


def _key(element: etree._Element, parameter: str, network: Network, place: str) -> Key:
    """Return what a change of an object is about, from the objects above it."""
    above = [element, *element.iterancestors()]
    cell = next((e.get("id") for e in above if _local(e) in _CELL_CLASSES), None)
    if cell is None:
        raise BadInput(
            place=place, expected="an object below NRCellCU or NRSectorCarrier", found="another"
        )
    target = None
    if QUANTITIES[parameter].per is Per.RELATION:
        reference = element.findtext("{*}attributes/{*}adjacentNRCellRef")
        target = element.get("id") if reference is None else _name_in(reference, "NRCellCU")
        target = target or ""
    key = (cell, target, parameter)
    check_key(key, network, place)
    site = next((e.get("id") for e in above if _local(e) == "ManagedElement"), None)
    own_site = network.site_ids[network.cell_index[cell]]
    if site is not None and site != own_site and site in network.site_ids:
        raise BadInput(
            place=place, expected=f"cell {cell} below its site {own_site}", found=f"site {site}"
        )
    return key


def check_key(key: Key, network: Network, place: str) -> None:
    """Refuse a cell, relation or parameter that the network does not have.

    Raises:
        BadInput: The message says which, and the nearest name there is.
    """
    cell, target, parameter = key
    quantity = QUANTITIES.get(parameter)
    if quantity is None or parameter not in BINDINGS:
        raise BadInput(place=place, expected=f"one of {', '.join(BINDINGS)}", found=parameter)
    for name in (cell, target):
        if name is not None and name not in network.cell_index:
            close = difflib.get_close_matches(name, network.cell_ids, n=1)
            raise BadInput(
                place=place,
                expected=f"one of the {network.cells} cells of {network.name or 'the network'}",
                found=f"cell {name!r}",
                remedy=f"did you mean {close[0]!r}?" if close else "",
            )
    if (quantity.per is Per.RELATION) != (target is not None):
        expected = "a target cell" if target is None else "no target cell"
        raise BadInput(place=place, expected=f"{expected} for {parameter}", found=str(target))
    if target is not None and network.relations:
        pair = (network.cell_index[cell], network.cell_index[target])
        if pair not in network.relation_index:
            raise BadInput(
                place=place,
                expected="a neighbour relation of the network",
                found=f"{cell}->{target}",
            )


def _read_record(record: etree._Element, values: dict[Key, str], place: str) -> Plan:
    """Return the plan that the record holds, once the objects have said the same."""
    changes = tuple(_read_change(element, place) for element in record.findall("{*}change"))
    recorded = {(c.cell, c.target, c.parameter): c for c in changes}
    if len(recorded) != len(changes):
        raise BadInput(place=place, expected="each change recorded once", found="a second one")
    for key in dict.fromkeys([*recorded, *values]):
        change, text = recorded.get(key), values.get(key)
        agree = change is not None and text is not None
        if agree and change is not None and text is not None:
            agree = _same(change, text)
        if not agree:
            name = f"{key[2]} of {key[0]}" + (f"->{key[1]}" if key[1] else "")
            raise BadInput(
                place=place,
                expected=f"{name} alike in its object and in the record of the plan",
                found=f"{text if text is not None else 'nothing'} in the object, "
                f"{change.after if change is not None else 'nothing'} in the record",
                remedy="export the plan again, or delete the VsDataContainer with "
                f"{PLAN_DATA_TYPE} to read the file as it stands",
            )
    return Plan(
        plan_id=_text(record, "planId", place),
        function=_text(record, "function", place),
        time_s=_number(record, "timeS", place),
        changes=changes,
        expected=tuple(
            Effect(_text(e, "kpi", place), *(_number(e, n, place) for n in ("mean", "low", "high")))
            for e in record.findall("{*}expected")
        ),
        evidence=tuple(e.text or "" for e in record.findall("{*}evidence")),
    )


def _read_change(element: etree._Element, place: str) -> Change:
    place = f"{place}, line {element.sourceline}"
    target = element.find("{*}target")
    return Change(
        cell=_text(element, "cell", place),
        parameter=_text(element, "parameter", place),
        before=_number(element, "before", place),
        after=_number(element, "after", place),
        target=None if target is None else target.text or "",
        reason=_text(element, "reason", place),
    )


def _same(change: Change, text: str) -> bool:
    """Return whether an attribute says the value that the record says."""
    try:
        written = encode(change.parameter, change.after)
    except BadInput:
        return False
    return decode(change.parameter, written) == decode(change.parameter, text)


def _text(element: etree._Element, name: str, place: str) -> str:
    found = element.find("{*}" + name)
    if found is None:
        raise BadInput(place=place, expected=f"{name} in the record of the plan", found="none")
    return found.text or ""


def _number(element: etree._Element, name: str, place: str) -> float:
    text = _text(element, name, place)
    if text in {"nan", "inf", "-inf"}:
        return float(text)
    try:
        return parse_number(text)
    except ValueError as error:
        raise BadInput(place=place, expected=f"a number for {name}", found=repr(text)) from error


def _children(elements: Iterable[etree._Element]) -> Iterator[etree._Element]:
    for element in elements:
        yield from (child for child in element if isinstance(child.tag, str))


def _local(element: etree._Element) -> str:
    return etree.QName(element).localname if isinstance(element.tag, str) else ""


def _name_in(distinguished_name: str, class_name: str) -> str | None:
    """Return the id that a distinguished name gives for a class."""
    parts = (part.strip().partition("=") for part in distinguished_name.split(","))
    return next((value for name, _, value in parts if name == class_name), None)
