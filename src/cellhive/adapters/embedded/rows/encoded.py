"""A batch of records on its way into the tables, column by column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, TypeVar

from cellhive.core.records import Version

T = TypeVar("T")


@dataclass(slots=True)
class Encoded:
    """Records ready to be written, column by column, but for rows, versions and changes."""

    keys: list[tuple[str, str]]
    """Namespace and id of each."""
    versions: list[Version | None]
    """None for those that the log is to stamp."""
    texts: list[str]
    """Words to be found by."""
    upper: list[int]
    """Checksums of the vectors, to be completed by ``checksums``."""
    low: list[int]
    """Checksums of the other values, to be completed by ``checksums``."""
    columns: tuple[list[Any], ...]
    """Columns of the table from ``kind`` on, but for the checksum."""

    def __len__(self) -> int:
        """Return how many records."""
        return len(self.keys)

    @property
    def stamped_here(self) -> bool:
        """Whether the log is to stamp all of them."""
        return not any(self.versions)

    @property
    def kinds(self) -> list[int]:
        """Number of the kind of each."""
        return self.columns[0]

    @property
    def deleted(self) -> list[int]:
        """Whether each is a tombstone, 1 or 0."""
        return self.columns[1]

    def taken(self, places: Sequence[int]) -> Encoded:
        """Return the records at some places."""

        def at(column: list[T]) -> list[T]:
            return [column[i] for i in places]

        return Encoded(
            at(self.keys), at(self.versions), at(self.texts), at(self.upper), at(self.low),
            tuple(map(at, self.columns)),
        )  # fmt: skip


def joined(parts: Sequence[Encoded]) -> Encoded:
    """Return some batches as one."""
    if len(parts) == 1:
        return parts[0]
    keys, versions, texts, upper, low = (
        list(chain.from_iterable(getattr(x, name) for x in parts))
        for name in ("keys", "versions", "texts", "upper", "low")
    )
    columns = zip(*(x.columns for x in parts), strict=True)
    together = tuple(list(chain.from_iterable(column)) for column in columns)
    return Encoded(keys, versions, texts, upper, low, together)


NOTHING: Final = joined(())
