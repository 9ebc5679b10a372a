"""The elements of Nokia's OMeS measurement files and what they mean.

``PMSetup`` gives the start and the length [min] of the period, each ``PMMOResult`` one or
several ``MO`` that name the object, then an element per measurement with the counters in it.
"""

from __future__ import annotations

import re
from array import array
from math import nan
from xml.parsers import expat

from cellhive.adapters.pm.pm_3gpp import MISSING_TEXTS, number_of
from cellhive.adapters.pm.pm_collect import NO_PERIOD, NO_TIME, SCALAR, Batch
from cellhive.adapters.pm.pm_time import parse_time
from cellhive.core.measurements import Finding, Findings, Severity

_PART = re.compile(r"^(?:NE-)?([A-Za-z][A-Za-z0-9_]*)-(.+)$")


def dn_of(*parts: str) -> str:
    """Return OMeS names ("PLMN-PLMN/MRBTS-1/LNCEL-2") as one distinguished name."""
    names: list[str] = []
    for part in parts:
        for piece in re.sub(r"^DN:", "", part.strip(), flags=re.IGNORECASE).split("/"):
            found = _PART.match(piece)
            name = f"{found.group(1)}={found.group(2)}" if found else piece
            if name and name not in names:
                names.append(name)
    return ",".join(names)


class OmesReader:
    """Turns the elements of an OMeS file into rows."""

    def __init__(self, parser: expat.XMLParserType, batch: Batch, findings: Findings) -> None:
        """Write rows to ``batch``, and to ``findings`` what is wrong with them."""
        self._parser = parser
        self._batch = batch
        self._findings = findings
        self._texts: list[str] = []
        self._path: list[str] = []
        self._when: tuple[int, float] = (NO_TIME, NO_PERIOD)
        self._names: list[str] = []
        self._target = ""
        self._counters: dict[str, list[str]] = {}
        parser.CharacterDataHandler = self._texts.append

    def begin(self, tag: str, attributes: dict[str, str]) -> None:
        """Take the start of an element."""
        name = tag.rpartition(":")[2]
        self._texts.clear()
        self._path.append(name)
        if name == "PMSetup":
            self._begin_setup(attributes)
        elif name == "PMMOResult":
            self._names = []
        elif self._parent() == "PMMOResult" and name != "MO":
            self._target = attributes.get("measurementType", name)
            self._counters = {}

    def end(self, tag: str) -> None:
        """Take the end of an element."""
        text = "".join(self._texts).strip()
        self._texts.clear()
        name = self._path.pop()
        above = self._path[-1] if self._path else ""
        if above == "MO":
            if text:
                self._names.append(text)
        elif above == "PMMOResult" and name != "MO":
            self._add_row()
        elif self._parent() == "PMMOResult":
            self._counters.setdefault(name, []).append(text)

    def _parent(self) -> str:
        return self._path[-2] if len(self._path) > 1 else ""

    def _begin_setup(self, attributes: dict[str, str]) -> None:
        interval, start = attributes.get("interval", ""), attributes.get("startTime", "")
        minutes = number_of(interval) or 0.0
        begin = parse_time(start)
        if minutes <= 0:
            self._say("period-unknown", "interval in minutes", interval, "the period is null")
        if begin is None:
            example = "startTime such as 2024-03-01T14:00:00.000+01:00:00"
            self._say("time-unknown", example, start, "the time is null")
        elif begin[1] == "":
            self._say("time-zone-missing", "a time zone", start, "the time is taken as written")
        if begin is not None:
            self._batch.zones.add(begin[1])
        self._when = (NO_TIME if begin is None else begin[0], max(minutes * 60, NO_PERIOD))

    def _say(self, code: str, expected: str, found: str, action: str, column: str = "") -> None:
        info = code == "value-missing"
        self._findings.add(
            Finding(
                Severity.INFO if info else Severity.WARNING,
                code,
                expected=expected,
                found=repr(found[:60]),
                action=action,
                file=self._batch.file,
                where=f"line {self._parser.CurrentLineNumber}",
                column=column,
            )
        )

    def _add_row(self) -> None:
        obj = dn_of(*self._names) or "(unnamed)"
        names: list[str] = []
        sizes: list[int] = []
        values = array("d")
        for name, texts in self._counters.items():
            numbers = [self._number(name, text, obj) for text in texts]
            if len(texts) > 1:
                self._say(
                    "repeated-counter",
                    "one value per counter and object",
                    f"{len(texts)} values: {', '.join(texts)}",
                    "kept as a vector in the order of the file",
                    name,
                )
            names.append(name)
            if len(numbers) == 1 and texts[0].lower() in MISSING_TEXTS:
                sizes.append(0)
                continue
            sizes.append(SCALAR if len(numbers) == 1 else len(numbers))
            values.extend(numbers)
        if names:
            layout = (self._target, tuple(names), tuple(sizes))
            self._batch.add(obj, self._when, layout, values, suspect=False)

    def _number(self, name: str, text: str, obj: str) -> float:
        number = number_of(text)
        if number is not None:
            return number
        if text.lower() in MISSING_TEXTS:
            self._say("value-missing", "a number", text, "the value is null", name)
        else:
            self._say("value-not-a-number", "a number", text, "kept as text in a label column",
                      name)  # fmt: skip
            self._batch.add_text(obj, self._when, name, text)
        return nan
