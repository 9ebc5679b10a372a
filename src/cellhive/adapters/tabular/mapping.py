"""What columns mean: vendor names guessed into our registry, and corrections by a person.

A guess is made from the words of the heading and its unit. It says which quantity of
``core.schema`` the column is, with a confidence, or at least whether it is a count, a ratio
or a level and whether more of it is better. A mapping file overrides every guess.
"""

from __future__ import annotations

import contextlib
import difflib
import math
import re
from collections.abc import Mapping as AnyMapping
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from cellhive.adapters.files import write_whole
from cellhive.adapters.tabular.vocabulary import (
    ATTRIBUTES,
    COUNTER,
    COUNTER_WORDS,
    COUNTERS,
    COUNTS,
    HIGHER,
    LEVELS,
    LOWER,
    RATIO_WORDS,
    RULES,
    SHARES,
    UNIT_SCALES,
    Rule,
    words_of,
)
from cellhive.core.errors import BadInput
from cellhive.core.measurements import ColumnInfo, Measurements, Role
from cellhive.core.schema import QUANTITIES, Kind, Quantity

SURE = 0.5
"""Least confidence at which a guess is used."""

UNIT_UNSTATED = 0.8
"""Most confidence in a quantity that is written in several units, where none is stated."""
_SCALED = frozenset({"Mbit", "Mbit/s", "kbit/s", "kWh", "W", "bit/J"})
"""Units of which exports use several sizes."""

_UNIT = re.compile(r"[(\[]\s*([^()\[\]]{1,16})\s*[)\]]")
_UNIT_SUFFIX = re.compile(
    r"_(%|gb|mb|kb|mbit|kbit|gbit|mbps|kbps|km|dbm|db|ms|hz|mhz|w|kwh)(?=$|_)", re.IGNORECASE
)
KNOWN_UNITS = {
    "%": "%", "percent": "%", "pct": "%", "gb": "GB", "gbyte": "GB", "gbytes": "GB", "mb": "MB",
    "mbyte": "MB", "mbytes": "MB", "kb": "kB", "kbyte": "kB", "kbytes": "kB", "byte": "B",
    "bytes": "B", "b": "B", "mbit": "Mbit", "kbit": "kbit", "gbit": "Gbit", "tb": "TB",
    "bit": "bit", "bits": "bit", "go": "GB", "mo": "MB", "ko": "kB",
    "mbps": "Mbit/s", "mbit/s": "Mbit/s", "mb/s": "Mbit/s", "kbps": "kbit/s", "kbit/s": "kbit/s",
    "gbps": "Gbit/s", "bps": "bit/s", "bit/s": "bit/s", "km": "km", "m": "m", "dbm": "dBm",
    "db": "dB", "ms": "ms", "s": "s", "sec": "s", "us": "us", "hz": "Hz", "mhz": "MHz",
    "khz": "kHz", "w": "W", "kw": "kW", "kwh": "kWh", "wh": "Wh", "erl": "Erl", "erlang": "Erl",
    "‰": "‰", "min": "min", "h": "h", "deg": "deg", "°": "deg", "times": "", "#": "", "number": "",
}  # fmt: skip


@dataclass(frozen=True)
class ColumnRule:
    """What a person says about one column."""

    quantity: str | None = None
    """Name in ``core.schema``."""
    unit: str = ""
    scale: float | None = None
    better: str | None = None
    role: Role | None = None
    ignore: bool = False
    inferred: bool = False
    """Whether it was guessed and only written down: then it is still a guess."""


@dataclass(frozen=True)
class Mapping:
    """What a person says about the columns of tables; every part may be absent."""

    columns: dict[str, ColumnRule] = field(default_factory=dict)
    """Rules by heading, as it is written in the file."""
    time: tuple[str, ...] = ()
    """Headings of the time column, or of the date and hour columns."""
    object: tuple[str, ...] = ()
    """Headings that together name the object."""
    time_zone: str = ""
    """Zone of times that state none, for example "Africa/Tripoli"."""
    time_format: str = ""
    """strptime format of the time column."""
    path: str = ""
    found: bool = False
    """Whether the file was found beside the data: then it need not fit every table."""

    def rule_for(self, header: str) -> ColumnRule | None:
        """Return the rule of a heading, whatever its spaces and case."""
        wanted = plain(header)
        return next((rule for name, rule in self.columns.items() if plain(name) == wanted), None)


def plain(header: str) -> str:
    """Return a heading with single plain spaces, in lower case."""
    return " ".join(header.replace("\N{NO-BREAK SPACE}", " ").split()).casefold()


def unit_of(header: str) -> str:
    """Return the unit written in a heading, "" if there is none."""
    found = [match.group(1) for match in _UNIT.finditer(header)]
    found += [match.group(1) for match in _UNIT_SUFFIX.finditer(header)]
    for text in reversed(found):
        unit = KNOWN_UNITS.get(text.strip().casefold())
        if unit is not None:
            return unit
    return "%" if "%" in header else ""


@cache
def describe(header: str) -> ColumnInfo:
    """Return what the words and the unit of a heading say about its column.

    Args:
        header: Heading or counter name, as found.
    """
    unit = unit_of(header)
    quantity = QUANTITIES.get(header)
    if quantity is not None and quantity.kind is not Kind.PARAMETER:
        return ColumnInfo(
            name=header,
            header=header,
            unit=quantity.unit,
            quantity=header,
            confidence=1.0,
            role=_role_of_quantity(quantity),
            better=quantity.better,
            origin="registry",
        )
    part = _subcounter(header)
    if part is not None:
        return part
    listed = _known_counter(header)
    if listed is not None:
        return listed
    words = words_of(header)
    role = _role(words, unit)
    info = ColumnInfo(
        name=header, header=header, unit=unit, role=role, better=_direction(words, role)
    )
    narrow = bool(COUNTER.match(header))
    best = max(
        ((_confidence(rule, words, unit, narrow=narrow), rule) for rule in RULES),
        key=lambda pair: pair[0],
    )
    if best[0] < SURE or role is Role.ATTRIBUTE:
        return info
    known = QUANTITIES[best[1].quantity]
    sure = min(best[0], UNIT_UNSTATED) if needs_unit(known) and not unit else best[0]
    return replace(
        info,
        quantity=known.name,
        confidence=round(sure, 2),
        role=_role_of_quantity(known),
        better=known.better,
        scale=UNIT_SCALES.get((unit, known.unit), 1.0),
    )


def _subcounter(header: str) -> ColumnInfo | None:
    """Return what a part of a counter of ours is ("RRU.PrbUsedDl.01": of one slice), or None.

    TS 28.552 §4.1 appends what a counter is split by (slice, 5QI, PLMN) to its name. A part has
    the unit and the behaviour of the whole, but is not the quantity.
    """
    name = header.rpartition(".")[0]
    while name:
        whole = QUANTITIES.get(name)
        if whole is not None and whole.kind is Kind.COUNTER:
            return ColumnInfo(
                name=header, header=header, unit=whole.unit, role=_role_of_quantity(whole),
                better=whole.better,
            )  # fmt: skip
        name = name.rpartition(".")[0]
    return None


def _known_counter(header: str) -> ColumnInfo | None:
    """Return what a vendor's counter is whose words do not say it, or None."""
    name = header.partition("(")[0].strip()
    found = COUNTERS.get(name)
    if found is None:
        return None
    whole, unit = QUANTITIES[found[0]], unit_of(header) or found[1]
    return ColumnInfo(
        name=header, header=header, unit=unit, quantity=whole.name, confidence=0.95,
        role=_role_of_quantity(whole), better=whole.better,
        scale=UNIT_SCALES.get((unit, whole.unit), 1.0),
    )  # fmt: skip


def _confidence(rule: Rule, words: frozenset[str], unit: str, *, narrow: bool = False) -> float:
    """Return how well a rule fits: 1 at best, 0 if a needed word is absent."""
    if any(not (words & group) for group in rule.needs) or words & rule.forbids:
        return 0.0
    wanted = QUANTITIES[rule.quantity].unit
    if unit and unit != wanted and (unit, wanted) not in UNIT_SCALES:
        return 0.0
    used = frozenset[str]().union(*rule.needs) | rule.likes
    missing_likes = 0.0 if not rule.likes or words & rule.likes else 0.15
    strangers = len(words - used - (COUNTER_WORDS if narrow else frozenset()))
    if narrow and strangers:
        return 0.0  # a subset: attempts of one cause, of one service, of one operator
    unit_bonus = 0.03 if unit else 0.0
    return max(0.0, min(0.97, rule.base - missing_likes - 0.06 * strangers + unit_bonus))


def needs_unit(quantity: Quantity) -> bool:
    """Return whether exports write a quantity in units of several sizes."""
    return quantity.unit in _SCALED


def _role_of_quantity(quantity: Quantity) -> Role:
    if quantity.unit in {"ratio", "%", "1/min"}:
        return Role.RATIO
    additive = quantity.unit in {"", "Mbit", "kWh"} or quantity.name == "x.InterruptionTime"
    if quantity.kind is Kind.COUNTER and additive:
        return Role.COUNTER
    return Role.GAUGE


_GAUGE_UNITS = frozenset(
    ["Mbit/s", "kbit/s", "Gbit/s", "bit/s", "dB", "dBm", "ms", "us", "km", "W", "kW", "deg", "Erl"]
)
_VOLUME_UNITS = frozenset(["GB", "MB", "kB", "B", "TB", "Mbit", "kbit", "Gbit", "kWh", "Wh"])


def _role(words: frozenset[str], unit: str) -> Role:
    if words & ATTRIBUTES and not words & (SHARES | RATIO_WORDS):
        return Role.ATTRIBUTE
    tests = (
        (Role.RATIO, unit in {"%", "‰"} or (words & SHARES and not words & COUNTS)),
        (Role.GAUGE, unit in _GAUGE_UNITS or words & LEVELS),
        (Role.RATIO, words & RATIO_WORDS),
        (Role.COUNTER, words & COUNTS or unit in _VOLUME_UNITS),
    )
    return next((role for role, holds in tests if holds), Role.UNKNOWN)


def _direction(words: frozenset[str], role: Role) -> str:
    if role is Role.ATTRIBUTE:
        return ""
    if words & LOWER:
        return "lower"
    return "higher" if words & HIGHER else ""


def apply_mapping(measured: Measurements, mapping: Mapping) -> Measurements:
    """Return the measurements with what a person said about their columns."""
    columns: dict[str, ColumnInfo] = {}
    dropped: list[str] = []
    for name, info in measured.columns.items():
        rule = mapping.rule_for(info.header or name) or mapping.rule_for(name)
        if rule is not None and rule.ignore:
            dropped.append(name)
            continue
        columns[name] = info if rule is None else _overridden(info, rule)
    return replace(measured, frame=measured.frame.drop(dropped), columns=columns)


def _overridden(info: ColumnInfo, rule: ColumnRule) -> ColumnInfo:
    unit = rule.unit or info.unit
    quantity = rule.quantity or info.quantity
    known = QUANTITIES.get(quantity or "")
    scale = info.scale
    if rule.quantity is not None and known is not None:
        percent = unit == "%" and info.share == "fraction"
        scale = 1.0 if percent else UNIT_SCALES.get((unit, known.unit), 1.0)
        info = replace(info, role=_role_of_quantity(known), better=known.better)
    return replace(
        info,
        unit=unit,
        quantity=quantity,
        confidence=info.confidence if rule.inferred else 1.0,
        scale=scale if rule.scale is None else rule.scale,
        role=rule.role or info.role,
        better=info.better if rule.better is None else rule.better,
        origin=info.origin if rule.inferred else "mapping",
    )


class _UniqueKeys(yaml.SafeLoader):
    """The safe loader of YAML, but a key that is there twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping of a node."""
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else None
            if name in seen:
                message = f"the key {key.value!r} for the second time"
                raise yaml.constructor.ConstructorError(None, None, message, key.start_mark)
            if name is not None:
                seen.add(name)
        return super().construct_mapping(node, deep)


_TOP_KEYS = {"columns", "time", "object", "time_zone", "time_format"}
_COLUMN_KEYS = {"as", "unit", "scale", "better", "role", "ignore", "inferred"}


def load_mapping(path: Path, *, found: bool = False) -> Mapping:
    """Read a mapping file.

    Args:
        path: The file.
        found: Whether it was found beside the data, and need not fit every table.

    Raises:
        BadInput: The file is missing, is not YAML, or says something that cannot be.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeys)  # noqa: S506 (is safe)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        words = " ".join(str(error).split())
        raise BadInput(
            place=str(path), expected="a YAML file in UTF-8", found=words, remedy="see the how-to"
        ) from error
    if content is None:
        return Mapping(path=str(path), found=found)
    _check_keys(content, _TOP_KEYS, str(path))
    raw = content.get("columns") or {}
    if not isinstance(raw, dict):
        raise BadInput(
            place=f"{path}, columns", expected="headings with what they mean", found=_kind(raw)
        )
    return Mapping(
        columns={str(name): _column_rule(rule, f"{path}, {name!r}") for name, rule in raw.items()},
        time=_names(content.get("time"), f"{path}, time"),
        object=_names(content.get("object"), f"{path}, object"),
        time_zone=_zone(content.get("time_zone"), f"{path}, time_zone"),
        time_format=str(content.get("time_format") or ""),
        path=str(path),
        found=found,
    )


MAPPING_NAME = "cellhive-mapping.yaml"
"""Name under which a mapping is found by itself."""


def find_mapping(paths: Sequence[Path], configuration: Path | None = None) -> Path | None:
    """Return the mapping that lies in the first of the folders that has one, or None.

    Args:
        paths: Files, whose folders are looked at, and folders.
        configuration: Folder of the user's configuration, which is looked at last.
    """
    folders = [path if path.is_dir() else path.parent for path in paths]
    folders += [configuration] if configuration is not None else []
    return next((one for f in folders if (one := f / MAPPING_NAME).is_file()), None)


def _check_keys(content: Any, allowed: set[str], place: str) -> None:
    expected = f"the keys {', '.join(sorted(allowed))}"
    if not isinstance(content, dict):
        raise BadInput(place=place, expected=expected, found=_kind(content))
    for key in content:
        if key not in allowed:
            near = difflib.get_close_matches(str(key), allowed, n=1)
            remedy = f"did you mean '{near[0]}'?" if near else ""
            raise BadInput(place=place, expected=expected, found=f"{key!r}", remedy=remedy)


def _column_rule(raw: Any, place: str) -> ColumnRule:
    if isinstance(raw, str):
        raw = {"as": raw}
    _check_keys(raw, _COLUMN_KEYS, place)
    quantity = raw.get("as")
    if quantity is not None and (not isinstance(quantity, str) or quantity not in QUANTITIES):
        near = difflib.get_close_matches(str(quantity), QUANTITIES, n=3, cutoff=0.4)
        remedy = f"did you mean {' or '.join(near)}?" if near else "leave 'as' out to keep the name"
        raise BadInput(
            place=place, expected="the name of a known KPI", found=f"{quantity!r}", remedy=remedy
        )
    scale = raw.get("scale")
    number = isinstance(scale, int | float) and not isinstance(scale, bool)
    if scale is not None and not (number and 0 < abs(scale) < math.inf):
        raise BadInput(
            place=f"{place}, scale", expected="a number other than 0", found=f"{scale!r}"
        )
    better = raw.get("better")
    if better not in (None, "", "higher", "lower"):
        raise BadInput(place=f"{place}, better", expected="higher or lower", found=f"{better!r}")
    role = raw.get("role")
    if role is not None and role not in list(Role):
        raise BadInput(place=f"{place}, role", expected=" or ".join(Role), found=f"{role!r}")
    flags = {key: raw.get(key, False) for key in ("ignore", "inferred")}
    for key, flag in flags.items():
        if not isinstance(flag, bool):
            raise BadInput(place=f"{place}, {key}", expected="true or false", found=f"{flag!r}")
    return ColumnRule(
        quantity=quantity,
        unit=str(raw.get("unit") or ""),
        scale=None if scale is None else float(scale),
        better=better,
        role=None if role is None else Role(role),
        **flags,
    )


def _names(raw: Any, place: str) -> tuple[str, ...]:
    if raw is None:
        return ()
    names = [raw] if isinstance(raw, str) else raw
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadInput(place=place, expected="a heading or a list of headings", found=_kind(raw))
    return tuple(names)


def _zone(raw: Any, place: str) -> str:
    from zoneinfo import ZoneInfo  # noqa: PLC0415 (rarely needed)

    if raw is None:
        return ""
    try:
        ZoneInfo(str(raw))
    except (ValueError, OSError, KeyError) as error:
        raise BadInput(
            place=place, expected="a time zone such as Africa/Tripoli or UTC", found=f"{raw!r}"
        ) from error
    return str(raw)


def _kind(value: Any) -> str:
    names = {dict: "a mapping", list: "a list", str: f"the text {value!r}", type(None): "nothing"}
    return names.get(type(value), f"{value!r}")


def mapping_of(measured: Measurements) -> Mapping:
    """Return the mapping that says what was understood, to be saved and corrected."""
    return Mapping(
        columns={
            info.header or name: ColumnRule(
                quantity=info.quantity,
                unit=info.unit,
                scale=info.scale if info.quantity is not None else None,
                better=info.better or None,
                role=info.role,
                inferred=info.origin == "guess",
            )
            for name, info in measured.columns.items()
            if info.bin is None
        }
    )


_HEAD = (
    "# What the columns mean. Named cellhive-mapping.yaml beside the data, it is used by itself.\n"
    "# What is marked as inferred was guessed: correct it, and take that line out.\n"
)


def save_mapping(mapping: Mapping, path: Path) -> None:
    """Write a mapping file; it appears whole or not at all."""
    content: dict[str, Any] = {}
    for key in ("time", "object"):
        names: tuple[str, ...] = getattr(mapping, key)
        if names:
            content[key] = names[0] if len(names) == 1 else list(names)
    for key in ("time_zone", "time_format"):
        if getattr(mapping, key):
            content[key] = getattr(mapping, key)
    content["columns"] = {name: _plain_rule(rule) for name, rule in mapping.columns.items()}
    text = _HEAD + yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
    with contextlib.suppress(OSError):  # writing says what is wrong with the folder
        path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text.encode())


def _plain_rule(rule: ColumnRule) -> AnyMapping[str, Any]:
    pairs = {
        "as": rule.quantity,
        "unit": rule.unit or None,
        "scale": rule.scale,
        "better": rule.better,
        "role": None if rule.role is None else str(rule.role),
        "ignore": rule.ignore or None,
        "inferred": rule.inferred or None,
    }
    return {key: value for key, value in pairs.items() if value is not None}
