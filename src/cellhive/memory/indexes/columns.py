"""Metadata of a namespace as columns by row: made when a filter first asks, kept up by changes."""

from __future__ import annotations

from cellhive.core.ports import RecordLog
from cellhive.core.records import Record, Rows
from cellhive.core.types import Bools
from cellhive.memory.filters import Column, Condition, Value, evaluate, field_of, fields

_PAGE = 8_192
_ALWAYS = "kind"
"""The field that tells which rows there are: every record has it."""
_MOST_ANSWERS = 16


class Columns:
    """The fields that filters have asked for, of every record of a namespace."""

    def __init__(self, log: RecordLog, namespace: str) -> None:
        """Begin without columns."""
        self._log, self._namespace = log, namespace
        self._columns: dict[str, Column] = {}
        self._answers: dict[Condition, Bools] = {}
        """What was asked since the last change."""
        self._size = 0

    def column(self, name: str) -> Column:
        """Return a field of every row."""
        return self._columns[name]

    def mask(self, condition: Condition) -> Bools:
        """Return which rows are there and fulfil a condition, by row."""
        known = self._answers.get(condition)
        if known is not None:
            return known
        lacking = (fields(condition) | {_ALWAYS}) - self._columns.keys()
        if lacking:
            self._scan(lacking)
        there = self._columns[_ALWAYS].codes[: self._size] >= 0
        answer: Bools = evaluate(condition, self, self._size) & there
        if len(self._answers) >= _MOST_ANSWERS:
            self._answers.pop(next(iter(self._answers)))
        self._answers[condition] = answer
        return answer

    def keep_up(self, rows: Rows) -> None:
        """Read again what has changed."""
        if not self._columns or len(rows) == 0:
            return
        self._answers.clear()
        records = self._log.read(self._namespace, rows)
        self._put(self._columns, rows, records)

    def _scan(self, names: frozenset[str]) -> None:
        made = {name: Column.empty() for name in names}
        after = 0
        while True:
            rows, records = self._log.scan(self._namespace, after_row=after, limit=_PAGE)
            if len(rows) == 0:
                break
            after = int(rows[-1])
            self._put(made, rows, list(records))
        self._columns |= made

    def _put(self, columns: dict[str, Column], rows: Rows, records: list[Record | None]) -> None:
        self._size = max(self._size, int(rows.max()) + 1)
        for name, column in columns.items():
            told: list[tuple[bool, Value]] = [
                (False, None) if record is None else field_of(record, name) for record in records
            ]
            column.put(rows, told)
