"""Reads measurements in VES events (JSON): perf3gpp, and additional measurements.

VES event listener 7.x, domains ``perf3gpp`` and ``measurement``. Events of other domains
(faults, heartbeats) hold no measurements. Lists of plain records are handed on as a table.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from math import isnan, nan
from pathlib import Path
from typing import Any

import polars as pl

from cellhive.adapters.inputs import NotMeasurements, whole
from cellhive.adapters.pm.pm_3gpp import MISSING_TEXTS, number_of
from cellhive.adapters.pm.pm_collect import MISSING, NO_PERIOD, NO_TIME, SCALAR, Batch, join_dn
from cellhive.adapters.tabular.grids import Grid
from cellhive.adapters.unpacking.encodings import decode
from cellhive.adapters.unpacking.packings import DEFAULT_LIMITS, Limits
from cellhive.core.errors import BadInput
from cellhive.core.measurements import Finding, Findings, Severity

_YEAR_2000_US = 946_684_800_000_000
_YEAR_2100_US = 4_102_444_800_000_000


def load_json(path: Path, findings: Findings, limits: Limits = DEFAULT_LIMITS) -> list[Any]:
    """Return the values in a file of JSON or of one JSON value per line.

    Raises:
        BadInput: It is neither.
    """
    text = decode(whole(path, limits), str(path), findings)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:  # also numbers of thousands of digits
        lines = [line for line in text.splitlines() if line.strip()]
        try:
            return [json.loads(line) for line in lines]
        except (ValueError, RecursionError):
            place = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
            raise BadInput(
                place=f"{path}, {place}".rstrip(", "),
                expected="JSON, or one JSON value per line",
                found=str(error),
                remedy="fetch the file again; it may be cut",
            ) from error
    return value if isinstance(value, list) else [value]


def events_of(values: list[Any]) -> list[dict[str, Any]]:
    """Return the VES events among JSON values."""
    events: list[dict[str, Any]] = []
    for value in values:
        if not isinstance(value, dict):
            continue
        listed = value.get("eventList")
        for event in listed if isinstance(listed, list) else [value.get("event")]:
            if isinstance(event, dict) and isinstance(event.get("commonEventHeader"), dict):
                events.append(event)
    return events


def read_events(path: Path, events: list[dict[str, Any]], findings: Findings) -> Batch:
    """Return the rows of VES events.

    Raises:
        NotMeasurements: No event holds any.
    """
    batch = Batch(str(path))
    domains: set[str] = set()
    for index, event in enumerate(events):
        header = event["commonEventHeader"]
        reader = _Event(batch, findings, header, f"event {index + 1}")
        domains.add(str(header.get("domain", "")))
        try:
            reader.read(event)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            reader.say("event-malformed", "an event as VES 7 describes it", repr(error),
                       "the rest of the event is left out", Severity.ERROR)  # fmt: skip
    if batch.rows == 0:
        raise NotMeasurements(
            place=str(path),
            expected="events of the domains perf3gpp or measurement",
            found=f"events of {', '.join(sorted(map(repr, domains)))} without measurements",
            remedy="faults and notifications are not analysed here",
        )
    return batch


class _Event:
    """Turns one event into rows."""

    def __init__(
        self, batch: Batch, findings: Findings, header: dict[str, Any], where: str
    ) -> None:
        self._batch = batch
        self._findings = findings
        self._header = header
        self._where = where

    def say(
        self, code: str, expected: str, found: str, action: str,
        severity: Severity = Severity.WARNING, column: str = "",
    ) -> None:  # fmt: skip
        """Add a finding about the event."""
        self._findings.add(
            Finding(severity, code, expected, found[:120], action, file=self._batch.file,
                    where=self._where, column=column)
        )  # fmt: skip

    def read(self, event: dict[str, Any]) -> None:
        """Add the rows of the event."""
        if isinstance(event.get("perf3gppFields"), dict):
            self._perf3gpp(event["perf3gppFields"]["measDataCollection"])
        if isinstance(event.get("measurementFields"), dict):
            self._measurement(event["measurementFields"])

    def _when(self, period: Any) -> tuple[int, float]:
        start = self._header.get("startEpochMicrosec")
        known = isinstance(start, int | float) and _YEAR_2000_US <= start <= _YEAR_2100_US
        if not known:
            self.say("time-unknown", "startEpochMicrosec after the year 2000", repr(start),
                     "the time is null")  # fmt: skip
        self._batch.zones.add("UTC")
        length = number_of(str(period))
        if length is None or length <= 0:
            self.say("period-unknown", "a granularity in seconds", repr(period),
                     "the period is null")  # fmt: skip
        period_s = length if length is not None and length > 0 else NO_PERIOD
        return (int(start) if known and start is not None else NO_TIME), period_s

    def _perf3gpp(self, data: dict[str, Any]) -> None:
        when = self._when(data.get("granularityPeriod"))
        element = str(data.get("measuredEntityDn") or self._header.get("sourceName") or "")
        for info in data["measInfoList"]:
            identity = info.get("measInfoId") or {}
            group = str(identity.get("sMeasInfoId", identity.get("iMeasInfoId", "")))
            types = info["measTypes"]
            names = [str(n) for n in types.get("sMeasTypesList") or types["iMeasTypesList"]]
            for row in info["measValuesList"]:
                obj = join_dn(element, str(row.get("measObjInstId", ""))) or "(unnamed)"
                pairs = list(self._pairs(names, row["measResults"]))
                suspect = str(row.get("suspectFlag", "false")).lower() == "true"
                self._add(obj, when, group, pairs, suspect=suspect)

    def _pairs(self, names: list[str], results: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
        for result in results:
            position = int(result["p"])
            if not 1 <= position <= len(names):
                self.say("value-without-name", f"p from 1 to {len(names)}", f"p = {position}",
                         "the value is left out")  # fmt: skip
                continue
            value = result.get("sValue", result.get("iValue", result.get("rValue", "")))
            missing = result.get("isNull") in {True, "true"}
            yield names[position - 1], "" if missing or value is None else str(value).strip()

    def _measurement(self, fields: dict[str, Any]) -> None:
        when = self._when(fields.get("measurementInterval"))
        source = str(self._header.get("sourceName") or "(unnamed)")
        for entry in fields.get("additionalMeasurements") or []:
            pairs = [(str(k), str(v).strip()) for k, v in entry["hashMap"].items()]
            numeric = [pair for pair in pairs if number_of(pair[1]) is not None]
            obj = f"{source}->{entry['name']}"
            self._add(obj, when, "additionalMeasurements", numeric, suspect=False)
            for name, text in pairs:
                if number_of(text) is None and numeric:
                    self._batch.add_text(obj, when, name, text)

    def _add(
        self, obj: str, when: tuple[int, float], group: str, pairs: list[tuple[str, str]],
        *, suspect: bool,
    ) -> None:  # fmt: skip
        values, names, sizes = array("d"), [], []
        for name, text in dict(pairs).items():
            parts = [part.strip() for part in text.split(",")]
            numbers = [nan if part.lower() in MISSING_TEXTS else number_of(part) for part in parts]
            known = [number for number in numbers if number is not None]
            if len(known) < len(numbers):
                self.say("value-not-a-number", "a number", repr(text),
                         "kept as text in a label column", Severity.WARNING, name)  # fmt: skip
                self._batch.add_text(obj, when, name, text)
                continue
            if any(map(isnan, known)):
                self.say("value-missing", "a number", repr(text), "the value is null",
                         Severity.INFO, name)  # fmt: skip
            if len(known) > 1:
                sizes.append(len(known))
                values.extend(known)
            else:
                sizes.append(MISSING if isnan(known[0]) else SCALAR)
                values.extend(known if sizes[-1] == SCALAR else [])
            names.append(name)
        if names:
            layout = (group, tuple(names), tuple(sizes))
            self._batch.add(obj, when, layout, values, suspect)


def records_grid(path: Path, values: list[Any]) -> Grid:
    """Return plain JSON records as a grid.

    Raises:
        NotMeasurements: They are no plain records.
    """
    plain = [
        value
        for value in values
        if isinstance(value, dict)
        and not any(isinstance(item, dict | list) for item in value.values())
    ]
    if not plain or len(plain) < len(values):
        raise NotMeasurements(
            place=str(path),
            expected="VES events, or a list of plain records",
            found="other JSON",
            remedy="check that this file holds measurements",
        )
    headers = list(dict.fromkeys(key for value in plain for key in value))
    columns = [
        pl.Series(
            str(index),
            [None if value.get(key) is None else str(value[key]) for value in plain],
            pl.String,
        )
        for index, key in enumerate(headers)
    ]
    return Grid(str(path), "", tuple(headers), pl.DataFrame(columns))
