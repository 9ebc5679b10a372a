"""What a file of the package gives: records, and an account of everything that is not one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from cellhive.core.records import Namespace, Record, RecordKind


class Weight(StrEnum):
    """What a finding means for whoever imports the file."""

    REMARK = "remark"
    """Everything arrived; this is worth knowing."""
    LEFT_OUT = "left out"
    """Present in the file and not imported, for the reason given."""
    DAMAGED = "damaged"
    """The file is broken here: what it held is lost or incomplete."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a file that its reader should know, with how often it was met."""

    weight: Weight
    where: str
    """Table, segment or side-car file."""
    what: str
    count: int


@dataclass
class Tally:
    """Findings, counted while a file is read."""

    counts: dict[tuple[Weight, str, str], int] = field(default_factory=dict)

    def add(self, weight: Weight, where: str, what: str, count: int = 1) -> None:
        """Count something; nothing is noted where ``count`` is 0."""
        if count:
            key = (weight, where, what)
            self.counts[key] = self.counts.get(key, 0) + count

    def remark(self, where: str, what: str, count: int = 1) -> None:
        """Count something worth knowing."""
        self.add(Weight.REMARK, where, what, count)

    def left_out(self, where: str, what: str, count: int = 1) -> None:
        """Count something that is not imported."""
        self.add(Weight.LEFT_OUT, where, what, count)

    def damaged(self, where: str, what: str, count: int = 1) -> None:
        """Count something broken."""
        self.add(Weight.DAMAGED, where, what, count)

    def findings(self) -> tuple[Finding, ...]:
        """Return what was found, damage first."""
        order = (Weight.DAMAGED, Weight.LEFT_OUT, Weight.REMARK)
        found = [Finding(*key, count) for key, count in self.counts.items()]
        return tuple(sorted(found, key=lambda each: order.index(each.weight)))


@dataclass(frozen=True)
class Reading:
    """How the records of a file are to be named."""

    path: Path
    namespace: str
    kind: RecordKind = RecordKind.RESULT
    """Kind of bare vectors, of which the file does not say what they are."""

    @property
    def origin(self) -> str:
        """Name of the file, as every record of it tells it."""
        return self.path.name.encode(errors="replace").decode()

    def namespace_of(self, dimension: int, main: int) -> str:
        """Return the namespace of vectors of a dimension; the most frequent one has the name."""
        return self.namespace if dimension in {0, main} else f"{self.namespace}-{dimension}"


@dataclass(frozen=True)
class Source:
    """A file of the package, opened: how much is in it, and a way through it."""

    form: str
    """Name of the format, for people."""
    namespaces: tuple[Namespace, ...]
    """What has to be declared before the records can be written."""
    expected: int
    """Records the file says it has."""
    records: Callable[[], Iterator[Record]]
    """Starts reading; findings are complete when it has ended."""
    tally: Tally
