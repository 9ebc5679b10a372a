"""Conditions on the metadata of records: JSON-like, parsed to values, tested by record or column.

``{"region": "north", "load": {"$gt": 0.7}}`` asks for both; ``$and``, ``$or`` and ``$not``
combine. Types are strict: a number never equals a text or a truth value, and ``$gt`` holds
only between numbers or between texts. A key that a record lacks fails every condition but
``$ne``, ``$nin``, ``$not`` and ``{"$exists": false}``; None is a value like others.
``$contains`` asks for a tag among tags or for a part of a text.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NoReturn, Protocol, TypeGuard

import numpy as np
import numpy.typing as npt

from cellhive.core.errors import BadInput
from cellhive.core.records import Record, RecordKind, Scalar
from cellhive.core.types import Bools

Value = Scalar | tuple[str, ...]
DEEPEST, MOST_PARTS = 32, 1024
"""Nesting and number of conditions that are still answered."""
_EXACT = 1 << 53
"""Integers up to it are exact as float64."""


class Operator(StrEnum):
    """How a field is compared."""

    EQUAL = "$eq"
    UNEQUAL = "$ne"
    GREATER = "$gt"
    AT_LEAST = "$gte"
    LESS = "$lt"
    AT_MOST = "$lte"
    AMONG = "$in"
    NOT_AMONG = "$nin"
    CONTAINS = "$contains"
    EXISTS = "$exists"


@dataclass(frozen=True, slots=True)
class Compare:
    """A field compared with a value."""

    field: str
    operator: Operator
    value: Value | tuple[Value, ...]
    """For ``$in`` and ``$nin`` the values themselves; a truth value for ``$exists``."""


@dataclass(frozen=True, slots=True)
class Every:
    """All of several conditions; of none, true."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """At least one of several conditions."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Neither:
    """The opposite of a condition."""

    part: Condition


Condition = Compare | Every | Some | Neither

_ORDERED: dict[Operator, Callable[[Any, Any], Any]] = {
    Operator.GREATER: operator.gt,
    Operator.AT_LEAST: operator.ge,
    Operator.LESS: operator.lt,
    Operator.AT_MOST: operator.le,
}
_OPPOSITE = {Operator.UNEQUAL: Operator.EQUAL, Operator.NOT_AMONG: Operator.AMONG}


def parse(where: Mapping[str, Any] | None, kind: RecordKind | None = None) -> Condition | None:
    """Return the condition that a filter and a kind ask for; None where they ask nothing.

    Raises:
        BadInput: For unknown operators, wrong operands, and filters too large.
    """
    budget = [MOST_PARTS]
    parts: list[Condition] = [] if where is None else _mapping(where, 0, budget)
    if kind is not None:
        parts.append(Compare("kind", Operator.EQUAL, kind.value))
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else Every(tuple(parts))


def fields(condition: Condition) -> frozenset[str]:
    """Return the fields that a condition looks at."""
    match condition:
        case Compare(field=name):
            return frozenset({name})
        case Neither(part=part):
            return fields(part)
        case Every(parts=parts) | Some(parts=parts):
            return frozenset().union(*map(fields, parts))


def field_of(record: Record, name: str) -> tuple[bool, Value]:
    """Return whether a record has a field, and its value; built-in fields come before metadata."""
    match name:
        case "id":
            return True, record.id
        case "kind":
            return True, record.kind.value
        case "time_s":
            return True, float(record.time_s)
        case "origin":
            return True, record.origin
        case _:
            return name in record.metadata, record.metadata.get(name)


def matches(condition: Condition, record: Record) -> bool:
    """Return whether a record fulfils a condition."""
    match condition:
        case Every(parts=parts):
            return all(matches(part, record) for part in parts)
        case Some(parts=parts):
            return any(matches(part, record) for part in parts)
        case Neither(part=part):
            return not matches(part, record)
        case Compare(field=name):
            present, value = field_of(record, name)
            return holds(condition, present, value)


def holds(compare: Compare, present: bool, value: Value) -> bool:
    """Return whether a comparison holds for the value of a field."""
    if compare.operator is Operator.EXISTS:
        return present == compare.value
    if compare.operator in _OPPOSITE:
        inner = Compare(compare.field, _OPPOSITE[compare.operator], compare.value)
        return not holds(inner, present, value)
    return present and _compared(compare.operator, value, compare.value)


def _compared(comparison: Operator, value: Value, wanted: Any) -> bool:
    match comparison:
        case Operator.EQUAL:
            return _equal(value, wanted)
        case Operator.AMONG:
            return any(_equal(value, one) for one in _listed(wanted))
        case Operator.CONTAINS:
            return isinstance(value, tuple | str) and wanted in value
        case _:
            return _order(value) == _order(wanted) != "" and bool(
                _ORDERED[comparison](value, wanted)
            )


class Table(Protocol):
    """Fields of records as columns of equal length."""

    def column(self, name: str) -> Column:
        """Return a field of every record."""
        ...


@dataclass(slots=True)
class Column:
    """A field of ``N`` records: numbers as such, everything else by its place in a list."""

    codes: npt.NDArray[np.int32]
    """Place in ``values``; MISSING where the field is not there, NUMBER for a number, (N,)."""
    numbers: npt.NDArray[np.float64]
    """The number where there is one, (N,)."""
    values: list[Value]
    """Distinct texts, truth values, tags, and integers that float64 cannot hold."""
    places: dict[tuple[type, Value], int]
    """Where in ``values`` each is."""

    @classmethod
    def empty(cls) -> Column:
        """Return a column of no records."""
        return cls(np.empty(0, np.int32), np.empty(0), [], {})

    def put(self, slots: npt.NDArray[np.int64], told: Sequence[tuple[bool, Value]]) -> None:
        """Set the field of some records, growing as needed; what is not told is missing."""
        size = int(slots.max()) + 1 if len(slots) else 0
        if size > len(self.codes):
            grown = max(size, len(self.codes) * 3 // 2)
            codes, numbers = np.full(grown, MISSING, np.int32), np.zeros(grown)
            codes[: len(self.codes)], numbers[: len(self.numbers)] = self.codes, self.numbers
            self.codes, self.numbers = codes, numbers
        for slot, (present, value) in zip(slots, told, strict=True):
            if not present:
                self.codes[slot] = MISSING
            elif _is_number(value) and (isinstance(value, float) or abs(value) <= _EXACT):
                self.codes[slot], self.numbers[slot] = NUMBER, value
            else:
                self.codes[slot] = self._place(value)

    def _place(self, value: Value) -> int:
        key = (type(value), value)
        place = self.places.get(key)
        if place is None:
            place = self.places[key] = len(self.values)
            self.values.append(value)
        return place

    def test(self, compare: Compare, size: int) -> Bools:
        """Return for which of the first ``size`` records a comparison holds, (size,)."""
        codes = np.full(size, MISSING, np.int32)
        known = min(size, len(self.codes))
        codes[:known] = self.codes[:known]
        table = np.array(
            [holds(compare, True, value) for value in self.values]
            + [False, holds(compare, False, None)],
            np.bool_,
        )  # the last two are what the negative codes NUMBER and MISSING pick
        result: Bools = table[codes]
        numeric = codes == NUMBER
        if numeric.any():
            result[numeric] = _test_numbers(compare, self.numbers[:known][numeric[:known]])
        return result


MISSING, NUMBER = -1, -2


def evaluate(condition: Condition, table: Table, size: int) -> Bools:
    """Return which of the first ``size`` records fulfil a condition, (size,)."""
    match condition:
        case Every(parts=parts):
            result = np.ones(size, np.bool_)
            for part in parts:
                result &= evaluate(part, table, size)
            return result
        case Some(parts=parts):
            result = np.zeros(size, np.bool_)
            for part in parts:
                result |= evaluate(part, table, size)
            return result
        case Neither(part=part):
            return ~evaluate(part, table, size)
        case Compare(field=name):
            return table.column(name).test(condition, size)


def _test_numbers(compare: Compare, numbers: npt.NDArray[np.float64]) -> Bools:
    wanted = compare.value
    match compare.operator:
        case Operator.EXISTS:
            return np.full(len(numbers), bool(wanted))
        case Operator.UNEQUAL | Operator.NOT_AMONG:
            inner = Compare(compare.field, _OPPOSITE[compare.operator], wanted)
            return ~_test_numbers(inner, numbers)
        case Operator.EQUAL | Operator.AMONG:
            listed = _listed(wanted) if compare.operator is Operator.AMONG else (wanted,)
            exact = [float(one) for one in listed if _is_number(one) and float(one) == one]
            return np.isin(numbers, exact)
        case Operator.CONTAINS:
            return np.zeros(len(numbers), np.bool_)
        case _:
            if not _is_number(wanted):
                return np.zeros(len(numbers), np.bool_)
            return _ordered(compare.operator, numbers, wanted)


def _ordered(comparison: Operator, numbers: npt.NDArray[np.float64], wanted: int | float) -> Bools:
    """Compare with a number that float64 may not hold: no float lies between it and its own."""
    near = float(wanted)
    if near > wanted:
        comparison = {Operator.AT_MOST: Operator.LESS, Operator.GREATER: Operator.AT_LEAST}.get(
            comparison, comparison
        )
    elif near < wanted:
        comparison = {Operator.LESS: Operator.AT_MOST, Operator.AT_LEAST: Operator.GREATER}.get(
            comparison, comparison
        )
    result: Bools = _ORDERED[comparison](numbers, near)
    return result


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _order(value: object) -> str:
    """Return among what a value can be ordered; nothing for what has no order."""
    if isinstance(value, str):
        return "text"
    return "number" if _is_number(value) else ""


def _equal(value: object, wanted: object) -> bool:
    if _is_number(value) and _is_number(wanted):
        return value == wanted
    return type(value) is type(wanted) and value == wanted


def _listed(value: object) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _mapping(where: object, depth: int, budget: list[int]) -> list[Condition]:
    if not isinstance(where, Mapping):
        _refuse("a mapping of fields to conditions", type(where).__name__)
    if depth > DEEPEST:
        _refuse(f"at most {DEEPEST} filters within one another", "more")
    parts: list[Condition] = []
    for name, asked in where.items():
        budget[0] -= 1
        if budget[0] < 0:
            _refuse(f"at most {MOST_PARTS} conditions", "more")
        parts += _entry(name, asked, depth, budget)
    return parts


def _entry(name: object, asked: object, depth: int, budget: list[int]) -> list[Condition]:
    match name:
        case "$and" | "$or":
            if not isinstance(asked, list | tuple) or not asked:
                _refuse(f"a list of filters under {name}", repr(asked)[:80])
            inner = tuple(Every(tuple(_mapping(one, depth + 1, budget))) for one in asked)
            return [Every(inner) if name == "$and" else Some(inner)]
        case "$not":
            return [Neither(Every(tuple(_mapping(asked, depth + 1, budget))))]
        case str() if not name.startswith("$"):
            return _conditions(name, asked, depth, budget)
        case _:
            return _refuse("a field, $and, $or or $not", repr(name)[:80])


def _conditions(name: str, asked: object, depth: int, budget: list[int]) -> list[Condition]:
    if not isinstance(asked, Mapping):
        return [Compare(name, Operator.EQUAL, _value(asked))]
    if not asked:
        _refuse(f"a condition on {name!r}", "an empty mapping")
    parts: list[Condition] = []
    for word, operand in asked.items():
        budget[0] -= 1
        if budget[0] < 0 or depth > DEEPEST:
            _refuse(f"at most {MOST_PARTS} conditions", "more")
        if word == "$not":
            parts.append(Neither(Every(tuple(_conditions(name, operand, depth + 1, budget)))))
        elif word in list(Operator):
            parts.append(Compare(name, Operator(word), _operand(Operator(word), operand)))
        else:
            known = " ".join(Operator)
            _refuse(f"one of {known} $not on {name!r}", repr(word)[:80])
    return parts


def _operand(word: Operator, operand: object) -> Value | tuple[Value, ...]:
    if word in {Operator.AMONG, Operator.NOT_AMONG}:
        if not isinstance(operand, list | tuple | set | frozenset):
            _refuse(f"a list after {word}", repr(operand)[:80])
        return tuple(_value(one) for one in operand)
    if word is Operator.EXISTS:
        if not isinstance(operand, bool):
            _refuse(f"true or false after {word}", repr(operand)[:80])
        return operand
    value = _value(operand)
    if word is Operator.CONTAINS and not isinstance(value, str):
        _refuse(f"a text after {word}", repr(operand)[:80])
    if word in _ORDERED and not _order(value):
        _refuse(f"a number or a text after {word}", repr(operand)[:80])
    return value


def _value(value: object) -> Value:
    if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
        return tuple(str(part) for part in value)
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | str):
        return str(value) if isinstance(value, StrEnum) else value
    if isinstance(value, int | float) and abs(value) < float("inf"):
        return value
    return _refuse("text, a finite number, true, false, null or tags", repr(value)[:80])


def _refuse(expected: str, found: str) -> NoReturn:
    raise BadInput(expected=expected, found=found, place="where")
