"""Records into a memory and out of it: idempotent, in batches, whatever they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from cellhive.core.errors import BadInput, Conflict, NotFound
from cellhive.core.records import Metric, Namespace, Record, RecordKind
from cellhive.memory.store import Memory

BATCH_RECORDS = 4_000
BATCH_BYTES = 32 << 20
"""A batch is written, and made durable, at the first of both."""
MOST_TOLD = 20
_PAGE = 1_000


@dataclass
class Taken:
    """What became of records on their way in."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    """There already, with the same content."""
    refused: int = 0
    """Not what a memory takes; only where the source is allowed to have such."""
    reasons: list[str] = field(default_factory=list)
    """Why the first of them were refused."""
    declared: list[Namespace] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Records that came."""
        return self.new + self.changed + self.unchanged + self.refused


@dataclass(frozen=True)
class Rules:
    """What to do with records that are not simply new."""

    replace: bool = False
    """Let a record with other content replace what is there; else that is a Conflict."""
    forgiving: bool = False
    """Count and go on where the memory refuses a record; else raise what it raised."""
    metric: Metric | None = None
    """Of namespaces that are declared by their first record; None declares none."""


def take_in(
    memory: Memory,
    items: Iterable[Namespace | Record],
    rules: Rules,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Taken:
    """Write what a source yields; what is there already with the same content changes nothing.

    Every batch is durable before the next one is read, so that after a crash the same call
    takes up where it was.

    Raises:
        Conflict: A record of that id is there with other content; or a namespace differs.
        BadInput: The memory refuses a record.
        NotFound: A record's namespace is not declared, and cannot be from it.
    """
    taken = Taken()
    batch: dict[tuple[str, str], Record] = {}
    size = 0
    for item in items:
        if isinstance(item, Namespace):
            _write(memory, batch, rules, taken)
            batch, size = {}, 0
            _declare(memory, item, taken)
            continue
        if item.key in batch or len(batch) >= BATCH_RECORDS or size > BATCH_BYTES:
            _write(memory, batch, rules, taken)
            on_progress(taken.total)
            batch, size = {}, 0
        batch[item.key] = item
        size += (
            len(item.payload)
            + len(item.text)
            + 4 * (0 if item.vector is None else item.vector.size)
        )
    _write(memory, batch, rules, taken)
    on_progress(taken.total)
    return taken


def _declare(memory: Memory, namespace: Namespace, taken: Taken) -> None:
    known = memory.log.namespaces().get(namespace.name)
    memory.declare(namespace)
    if known is None:
        taken.declared.append(namespace)


def _write(
    memory: Memory, batch: dict[tuple[str, str], Record], rules: Rules, taken: Taken
) -> None:
    by_namespace: dict[str, list[Record]] = {}
    for record in batch.values():
        by_namespace.setdefault(record.namespace, []).append(record)
    for name, records in by_namespace.items():
        if name not in memory.log.namespaces():
            _declare_for(memory, name, records, rules, taken)
        fresh: list[Record] = []
        for record, known in zip(records, memory.get(name, [r.id for r in records]), strict=True):
            if known is None:
                fresh.append(record)
                taken.new += 1
            elif same_content(known, record):
                taken.unchanged += 1
            elif rules.replace:
                fresh.append(record)
                taken.changed += 1
            else:
                message = (
                    f"{name}/{record.id}: expected a new id, or the content that is there, found "
                    "other content; --replace lets it replace what is there"
                )
                raise Conflict(message)
        if fresh:
            _upsert(memory, fresh, rules, taken)


def _upsert(memory: Memory, records: list[Record], rules: Rules, taken: Taken) -> None:
    try:
        memory.upsert(records)
    except BadInput as error:
        if not rules.forgiving:
            raise
        if len(records) > 1:  # halve until it stands alone: all others go in
            middle = len(records) // 2
            _upsert(memory, records[:middle], rules, taken)
            _upsert(memory, records[middle:], rules, taken)
            return
        taken.new -= 1
        taken.refused += 1
        if len(taken.reasons) < MOST_TOLD:
            taken.reasons.append(str(error))


def _declare_for(
    memory: Memory, name: str, records: list[Record], rules: Rules, taken: Taken
) -> None:
    """Declare a namespace by the first vector that comes for it."""
    vector = next((r.vector for r in records if r.vector is not None), None)
    if rules.metric is None or vector is None:
        known = ", ".join(sorted(memory.log.namespaces())) or "none"
        message = (
            f"expected a declared namespace ({known}), found {name!r}; declare it first: "
            f"cellhive memory namespace create {name} --dimension N"
        )
        raise NotFound(message)
    _declare(memory, Namespace(name, vector.size, rules.metric), taken)


def same_content(one: Record, other: Record) -> bool:
    """Return whether two records say the same, to the last bit; versions do not count."""
    if one.vector is None or other.vector is None:
        same_vector = one.vector is other.vector
    else:
        same_vector = one.vector.tobytes() == other.vector.tobytes()
    return (
        same_vector
        and (one.namespace, one.id, one.kind, one.text, one.payload, one.time_s, one.origin)
        == (other.namespace, other.id, other.kind, other.text, other.payload, other.time_s,
            other.origin)
        and dict(one.metadata) == dict(other.metadata)
        and all(type(value) is type(other.metadata[name]) for name, value in one.metadata.items())
    )  # fmt: skip


def everything(
    memory: Memory,
    namespace: str,
    *,
    kind: RecordKind | None = None,
    limit: int | None = None,
) -> Iterator[Record]:
    """Yield the records of a namespace in the order they were first written.

    Raises:
        NotFound: There is no such namespace.
    """
    after, left = 0, np.inf if limit is None else limit
    while left > 0:
        rows, records = memory.scan(
            namespace, kind=kind, after_row=after, limit=int(min(_PAGE, left))
        )
        if not records:
            return
        yield from records
        after, left = int(rows[-1]), left - len(records)
