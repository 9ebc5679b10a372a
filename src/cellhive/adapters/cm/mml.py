"""Huawei's command scripts (CFGMML exports, planned changes): cells, settings and relations.

A script is a row of commands, ``ADD CELL:LOCALCELLID=1,CELLNAME="A",PHYCELLID=5;``, whose names
differ in case between releases; ``{...}`` behind the semicolon names the element that a command is
for. Commands that state a cell are ``CELL`` (LTE), ``NRCELL`` and ``NRDUCELL``; others with
the same cell number say how it is set; ``...NCELL`` and ``NRCELLRELATION`` are relations.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cellhive.adapters.cm.stated import Stated, StatedCell, StatedRelation, pci_of
from cellhive.adapters.inputs import NotMeasurements, whole
from cellhive.adapters.unpacking.encodings import decode
from cellhive.core.measurements import Finding, Severity

_VERBS = "ADD|MOD|SET|RMV|ACT|DEA|BLK|UBL|LST|DSP"
_COMMENTS = re.compile(r"\s*(?://[^\n]*(?:\n|$)|/\*.*?\*/|#[^\n]*(?:\n|$))", re.DOTALL)
_COMMAND = re.compile(rf"\s*(?P<verb>{_VERBS})\s+(?P<object>\w+)\s*(?::(?P<rest>.*))?", re.DOTALL)
_STATEMENT = re.compile(r"""(?P<body>(?>"[^"\n]*"|[^";]+)*+);(?:[ \t]*\{(?P<element>[^}\n]*)\})?""")
_PARAMETER = re.compile(r"""\s*(?P<key>\w+)\s*=\s*(?P<value>"[^"\n]*"|[^,"]*)\s*(?:,|$)""")
_START = re.compile(rf"\s*(?:{_VERBS})\s+[A-Za-z][A-Za-z0-9_]*\s*:\s*\w+\s*=")
_STATING = {"ADD", "MOD", "SET"}
_NODES = {"ENODEBFUNCTION", "ENODEB", "GNODEBFUNCTION"}
_CELL_OBJECTS = {"CELL", "NRCELL", "NRDUCELL"}
_NUMBERS = {"LOCALCELLID": "LTE", "NRCELLID": "NR", "NRDUCELLID": "NR DU"}
"""Which parameter numbers the cells of which system; those of a DU are numbered apart."""
_NEIGHBOURS = {
    "EUTRANINTRAFREQNCELL", "EUTRANINTERFREQNCELL", "NRCELLRELATION", "NRINTRAFREQNCELL",
}  # fmt: skip
_PCI = ("PHYCELLID", "PHYSICALCELLID")
_CARRIER = ("DLEARFCN", "DLNARFCN")
_NAMES = ("CELLNAME", "NRDUCELLNAME")
_FORBIDDEN = "FORBID"


def is_mml(text: str) -> bool:
    """Return whether text begins with a command, comments before it left aside."""
    return _START.match(text, _after_comments(text, 0)) is not None


def read_mml(path: Path, into: Stated) -> int:
    """Add the cells and relations of a command script; return how many cells it has.

    Commands are taken in their order: the last value of a parameter holds, what is removed is
    gone. Commands that are cut or make no sense are findings.

    Raises:
        NotFound: There is no such file.
        BadInput: It is no text, or holds no command.
    """
    script = _Script(path.name, into)
    text = decode(whole(path), str(path), into.findings).replace("\r\n", "\n")
    commands = 0
    for line, body, element in _statements(text, path.name, into):
        found = _COMMAND.fullmatch(body)
        parameters = None if found is None else _parameters(found["rest"] or "")
        if found is None or parameters is None:
            script.say("command-not-readable", "VERB OBJECT:NAME=value,...;", body[:60], line)
            continue
        commands += 1
        script.take(found["verb"], found["object"].upper(), parameters, element, line)
    if not commands:
        raise NotMeasurements(
            place=str(path), expected="commands such as ADD CELL:LOCALCELLID=1;", found="none",
            remedy="check what was exported",
        )  # fmt: skip
    return script.hand_over()


def _after_comments(text: str, at: int) -> int:
    while found := _COMMENTS.match(text, at):
        if found.end() == at:
            break
        at = found.end()
    return at


def _statements(text: str, file: str, into: Stated) -> Iterator[tuple[int, str, str]]:
    """Yield the line, the text and the element of each command."""
    end = len(text.rstrip())
    at, line, counted = _after_comments(text, 0), 1, 0
    while at < end:
        at += len(text[at : at + 1000]) - len(text[at : at + 1000].lstrip())
        line, counted = line + text.count("\n", counted, at), at
        found = _STATEMENT.match(text, at)
        if found is not None:
            yield line, found["body"].strip(), (found["element"] or "").strip()
            at = _after_comments(text, found.end())
            continue
        cut = text[at : at + 60].partition("\n")[0]
        into.findings.add(
            Finding(Severity.WARNING, "command-not-readable",
                    "a command that ends with a semicolon", repr(cut), "left out", file=file,
                    where=f"line {line}")
        )  # fmt: skip
        at = text.find("\n", at) + 1 or end


def _parameters(text: str) -> dict[str, str] | None:
    """Return parameters by name in capitals; None where the text is not made of them."""
    found: dict[str, str] = {}
    at = 0
    while at < len(text.rstrip()):
        one = _PARAMETER.match(text, at)
        if one is None:
            return None
        found[one["key"].upper()] = one["value"].strip().strip('"').strip()
        at = one.end()
    return found


@dataclass
class _Element:
    """What is known of a network element while its commands are read."""

    name: str = ""
    number: dict[str, str] = field(default_factory=dict)
    """Of the eNodeB and of the gNodeB, by system."""
    cells: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    """Parameters of each cell by system and number."""
    lines: dict[tuple[str, str], int] = field(default_factory=dict)
    relations: dict[tuple[str, ...], bool] = field(default_factory=dict)
    """Whether handovers are allowed, by system, cell and target."""


class _Script:
    """Takes commands one after the other."""

    def __init__(self, file: str, into: Stated) -> None:
        self._file = file
        self._into = into
        self._elements: dict[str, _Element] = {}

    def say(self, code: str, expected: str, found: str, line: int) -> None:
        """Add a finding about a command."""
        self._into.findings.add(
            Finding(Severity.WARNING, code, expected, repr(found), "left out", file=self._file,
                    where=f"line {line}")
        )  # fmt: skip

    def take(
        self, verb: str, kind: str, parameters: dict[str, str], element: str, line: int
    ) -> None:
        """Take one command."""
        one = self._elements.setdefault(element, _Element(element))
        if kind in _NODES:
            system = "NR" if kind.startswith("G") else "LTE"
            number = parameters.get("ENODEBID") or parameters.get("GNBID") or ""
            one.number[system] = number or one.number.get(system, "")
            name = next((v for k, v in parameters.items() if k.endswith("NAME") and v), "")
            one.name = one.name or name
            return
        key = next((key for key in _NUMBERS if key in parameters), "")
        if not key or verb not in {*_STATING, "RMV"}:
            return
        cell = (_NUMBERS[key], parameters.pop(key))
        if kind in _NEIGHBOURS:
            self._relation(one, verb, cell, parameters, line)
        elif verb == "RMV":
            if kind in _CELL_OBJECTS:
                one.cells.pop(cell, None)
        else:
            own = one.cells.setdefault(cell, {})
            one.lines.setdefault(cell, line)
            own |= _settings(kind, parameters)

    def _relation(
        self, one: _Element, verb: str, cell: tuple[str, str], told: dict[str, str], line: int
    ) -> None:
        node, number = told.get("ENODEBID") or told.get("GNBID") or "", told.get("CELLID", "")
        if not node or not number:
            self.say("relation-without-end", "the node and the cell it leads to", str(told)[:60],
                     line)  # fmt: skip
            return
        key = (*cell, node, number)
        if verb == "RMV":
            one.relations.pop(key, None)
        else:
            one.relations[key] = not told.get("NOHOFLAG", "").upper().startswith(_FORBIDDEN)

    def hand_over(self) -> int:
        """Add what the commands come to; return how many cells there are."""
        count = 0
        for one in self._elements.values():
            _join_units(one)
            cells = {key: self._cell(one, key) for key, own in one.cells.items() if _is_cell(own)}
            count += len(cells)
            self._into.cells += cells.values()
            for (system, number, node, other), allowed in one.relations.items():
                own_cell = cells.get((system, number))
                source = own_cell.name if own_cell else _called(system, one.number, number)
                target = _called(system, {system: node}, other)
                self._into.relations.append(StatedRelation(source, target, allowed))
        return count

    def _cell(self, one: _Element, key: tuple[str, str]) -> StatedCell:
        system, number = key
        own = dict(one.cells[key])
        name = next((own.pop(n) for n in _NAMES if own.get(n)), "")
        identity = _called(system, one.number, own.pop("CELLID", number))
        line = one.lines[key]
        local = f"{one.name or self._file}, {system} cell {number}"
        cell = StatedCell(
            name or identity or local, site=one.name or one.number.get(system, ""),
            where=f"{self._file}, line {line}", also=(identity,) if identity and name else (),
        )  # fmt: skip
        cell.carrier = next((own.pop(n) for n in _CARRIER if own.get(n)), "")
        pci = next((own.pop(n) for n in _PCI if own.get(n)), "")
        try:
            cell.physical_cell_id = pci_of(pci) if pci else cell.physical_cell_id
        except ValueError:
            self.say("pci-not-readable", "a PCI", pci, line)
        for setting, text in own.items():
            try:
                value = float(text)
            except ValueError:
                continue  # a word, not a number
            if math.isfinite(value):
                cell.settings[setting] = value
        return cell


def _join_units(one: _Element) -> None:
    """Give each NR cell what is set for it in the distributed unit: they share the cell id."""
    by_id = {own.get("CELLID", ""): own for (system, _), own in one.cells.items() if system == "NR"}
    for key in [key for key in one.cells if key[0] == "NR DU"]:
        unit = one.cells[key]
        own = by_id.get(unit.get("CELLID", ""))
        if own is not None and unit.get("CELLID"):
            for name, text in one.cells.pop(key).items():
                own.setdefault(name, text)


def _is_cell(own: dict[str, str]) -> bool:
    """Return whether parameters are those of a cell, and not only of something set for one."""
    return any(name in own for name in (*_NAMES, *_PCI, *_CARRIER, "CELLID"))


def _called(system: str, numbers: dict[str, str], cell: str) -> str:
    node = numbers.get(system.partition(" ")[0], "")
    kind = "eNB" if system == "LTE" else "gNB"
    return f"{kind} {node}, cell {cell}" if node and cell else ""


def _settings(kind: str, parameters: dict[str, str]) -> dict[str, str]:
    """Return parameters by name; those of other objects than the cell begin with the object.

    Of an object that a cell may have several of, the number of the object is part of the name.
    """
    if kind in _CELL_OBJECTS:
        return parameters
    numbers = [key for key in parameters if key.endswith("ID")]
    label = " ".join([kind, *(f"{key}={parameters[key]}" for key in numbers)])
    return {f"{label}.{key}": text for key, text in parameters.items() if key not in numbers}
