"""Records many at once: made of columns, and kept with what is known of all of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import fields
from itertools import repeat
from typing import Any

from cellhive.core.records import Record, Version


class Together(tuple[Record, ...]):
    """Records that are written or sent together, and have no ``fault``.

    What has been worked out for all of them stays with them, as peers and the disk need the
    same: a lot is taken apart into columns once, however often it is encoded.
    """

    apart: Any = None
    """Columns, vectors and payloads (``columns.columns_of``); None while nobody has asked."""
    weight_bytes = 0
    """What they weigh (``faults.weights_bytes``); 0 while nobody has asked."""


def records_in_rows(count: int, *columns: Iterable[Any]) -> list[Record]:
    """Return records whose fields, in their order, are columns of at least ``count`` values.

    It takes a third of the time of making one after the other.
    """
    return _in_rows(Record, count, columns)


def versions_in_rows(
    times_hlc: Iterable[int], writer: str, sequences: Iterable[int], count: int
) -> list[Version]:
    """Return versions of one writer."""
    return _in_rows(Version, count, (times_hlc, repeat(writer), sequences))


def _in_rows(kind: type[Any], count: int, columns: tuple[Iterable[Any], ...]) -> list[Any]:
    # A frozen dataclass sets its fields one by one through Python; its slots take a column.
    made = list(map(object.__new__, repeat(kind, count)))
    for put, column in zip(_SETTERS[kind], columns, strict=True):
        deque(map(put, made, column), maxlen=0)
    return made


def _setters(kind: type[Any]) -> tuple[Any, ...]:
    return tuple(getattr(kind, field.name).__set__ for field in fields(kind))


_SETTERS: dict[Any, tuple[Any, ...]] = {kind: _setters(kind) for kind in (Record, Version)}
