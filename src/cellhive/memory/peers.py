"""What a replica knows: of itself, and of each peer with what is on the way to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from cellhive.core.records import PRIVACY, Delta, Metric, Namespace, Record
from cellhive.memory import messages as m
from cellhive.memory.batches.columns import outline
from cellhive.memory.batches.faults import weight_bytes, weights_bytes
from cellhive.memory.versions import COUNTER_BITS, KnownWrites, is_private, merge, missing

_COSINE = Metric.COSINE  # looking up a member of an enumeration takes its time


@dataclass(frozen=True, slots=True)
class SyncSettings:
    """Times and bounds of replication."""

    digest_every_s: float = 1.0
    ask_timeout_s: float = 5.0
    """How long to wait for the next batch before asking somebody else."""
    compare_every_s: float = 300.0
    """How often contents are compared; it reads the whole log."""
    batch_records: int = 1_024
    batch_bytes: int = 1 << 20
    batches_ahead: int = 8
    """How many batches a peer may send before it is asked again."""
    window_bytes: int = 4 << 20
    """How much may be pushed to a peer and not yet taken in by it."""
    mend_records: int = 256
    """How many records are read at a time to mend a difference in content."""
    most_runs: int = 1_024
    """How many runs of writes beyond gaps are remembered."""
    most_ahead_ms: int = 60_000
    """How far a peer's clock may be ahead of ours."""
    tombstone_age_ms: int = 30 * 86_400_000
    """How old a deletion has to be before it may be forgotten."""
    private_namespaces: frozenset[str] = frozenset()
    """Namespaces of which nothing leaves, not even their names."""
    members: frozenset[str] = frozenset()
    """All nodes that replicate, by name; without them no deletion is ever forgotten."""


class Totals(Protocol):
    """What a look at the log found."""

    @property
    def totals(self) -> Mapping[str, int]:
        """One number per namespace."""
        ...

    @property
    def vector_print(self) -> int:
        """Fingerprint of the vector at that look; 0 before the first."""
        ...


@dataclass(slots=True)
class Held:
    """What this node has, and what it tells of it."""

    node: str
    writer: str
    known: KnownWrites
    """What can be searched."""
    durable: dict[str, int]
    """What is on disk."""
    namespaces: dict[str, Namespace]
    private_namespaces: frozenset[str]
    synced: int = 0
    """How often the disk has synced."""

    def hides(self, record: Record, *, checked: bool = False) -> bool:
        """Return whether a record must not leave this node; ``checked``: peers can read it."""
        return record.namespace in self.private_namespaces or is_private(record, checked=checked)

    def shown(
        self, records: Sequence[Record], *, checked: bool
    ) -> tuple[Sequence[Record], list[m.Run]]:
        """Return which of some writes may leave this node, and the numbers of the others."""
        hidden = self.private_namespaces
        if checked and not any([  # noqa: C419  # a list is quicker
            x.namespace in hidden or PRIVACY in x.metadata for x in records
        ]):  # fmt: skip
            return records, []
        public, withheld = [], []
        for record in records:
            if self.hides(record, checked=checked):
                version = record.version
                withheld.append(m.Run(version.writer, version.sequence, version.sequence))
            else:
                public.append(record)
        return public, withheld

    def learn_own(self, event: m.Wrote) -> bool:
        """Count an own write as known, where it is one that peers may see; return whether it is.

        The usual case, on the way to a search; otherwise nothing is done.
        """
        if len(event.records) != 1 or event.covers or not event.checked:
            return False
        record, version = event.records[0], event.records[0].version
        if record.namespace in self.private_namespaces or PRIVACY in record.metadata:
            return False
        return self.known.learn(version.writer, version.sequence, version.sequence)

    def learn(
        self, records: Sequence[Record], holes: Sequence[m.Run], covers: Mapping[str, int]
    ) -> tuple[Sequence[Record], list[m.Run], dict[str, int]]:
        """Count writes as known.

        Returns:
            The records and numbers that will be recognised when they come again, and the
            part of the vector that has risen.
        """
        known = self.known
        if (run := one_run(records)) is not None and not holes and not covers:
            return self._learn_run(records, run)
        writers = {r.version.writer for r in records} | {w.writer for w in holes} | set(covers)
        before = {writer: known.upto.get(writer, 0) for writer in writers}
        remembered = [
            record
            for record in records
            if known.learn(record.version.writer, record.version.sequence, record.version.sequence)
        ]
        numbers = [hole for hole in holes if known.learn(hole.writer, hole.first, hole.last)]
        known.cover(covers)
        risen = {w: known.upto[w] for w, old in before.items() if known.upto.get(w, 0) > old}
        return remembered, numbers, risen

    def _learn_run(
        self, records: Sequence[Record], run: m.Run
    ) -> tuple[Sequence[Record], list[m.Run], dict[str, int]]:
        """Count consecutive writes as known: usual where they are many."""
        known, writer = self.known, run.writer
        old = known.upto.get(writer, 0)
        kept = known.learn(writer, run.first, run.last)
        risen = known.upto.get(writer, 0)
        return records if kept else (), [], {writer: risen} if risen > old else {}

    def next_of(
        self, records: Sequence[Record], link: Link, latest_ms: int
    ) -> tuple[str, int] | None:
        """Return writer and first number of a peer's records, where they are its next writes.

        None where they are not, or may not be taken in, or a closer look has to tell.

        Args:
            records: One, or many that came in columns.
            link: The peer.
            latest_ms: No time may be later [ms since the epoch].
        """
        if len(records) != 1:
            return self._next_of_many(records, link, latest_ms)
        record = records[0]
        version, namespace = record.version, self.namespaces.get(record.namespace)
        writer, sequence = version.writer, version.sequence
        fits = (
            namespace is not None
            and record.namespace not in link.refused
            and writer
            and writer != self.writer
            and sequence == self.known.upto.get(writer, 0) + 1
            and version.time_hlc >> COUNTER_BITS <= latest_ms
            and not misfit(record, namespace)
        )
        return (writer, sequence) if fits else None

    def _next_of_many(
        self, records: Sequence[Record], link: Link, latest_ms: int
    ) -> tuple[str, int] | None:
        seen = outline(records)
        namespace = None if seen is None else self.namespaces.get(seen.namespace)
        if (
            seen is None
            or namespace is None
            or seen.namespace in link.refused
            or not seen.writer
            or seen.writer == self.writer
            or not self.known.is_next(seen.writer, seen.first)
            or seen.time_hlc >> COUNTER_BITS > latest_ms
            or seen.components != namespace.dimension
            or (namespace.metric is _COSINE and not seen.directed)
        ):
            return None
        return seen.writer, seen.first

    def holes(self, withheld: Sequence[m.Run]) -> list[m.Run]:
        """Return which of the numbers that a peer withholds are of others and not known yet."""
        return [
            run for run in withheld
            if run.writer != self.writer and not self.known.has_all(run.writer, run.first, run.last)
        ]  # fmt: skip

    def hello(self, time_ms: int, neighbours: tuple[str, ...], *, answer: bool) -> m.Hello:
        """Return what is said first."""
        return m.Hello(
            protocol=m.PROTOCOL,
            node=self.node,
            session=self.writer,
            answer=answer,
            time_ms=time_ms,
            namespaces=self._public_namespaces(),
            vector=dict(self.known.upto),
            undurable=self._undurable(),
            neighbours=neighbours,
            beyond=self.beyond(),
            synced=self.synced,
        )

    def digest(
        self, time_ms: int, neighbours: tuple[str, ...], totals: Totals, link: Link
    ) -> m.Digest:
        """Return what is said now and then."""
        return m.Digest(
            time_ms=time_ms,
            namespaces=self._public_namespaces(),
            vector=dict(self.known.upto),
            undurable=self._undurable(),
            neighbours=neighbours,
            beyond=self.beyond(),
            synced=self.synced,
            totals=dict(totals.totals),
            totals_print=totals.vector_print,
            pushed=link.pushed,
            taken=link.taken,
        )

    def lacks(self, link: Link) -> bool:
        """Return whether a peer says to have what this node does not have."""
        if missing(self.known.upto, link.vector):
            return True
        known = self.known
        news = link.beyond != link.beyond_asked
        return news and not all(known.has_all(r.writer, r.first, r.last) for r in link.beyond[0])

    def beyond(self) -> tuple[m.Run, ...]:
        """Return the runs of writes known beyond gaps."""
        return tuple(m.Run(*run) for run in self.known.beyond())

    def _public_namespaces(self) -> tuple[Namespace, ...]:
        hidden = self.private_namespaces
        return tuple(space for name, space in self.namespaces.items() if name not in hidden)

    def _undurable(self) -> dict[str, int]:
        durable = self.durable
        return {w: durable.get(w, 0) for w, n in self.known.upto.items() if n > durable.get(w, 0)}


@dataclass(slots=True)
class Answer:
    """An answer that is being read and sent, part by part."""

    ask: m.Ask
    known: dict[str, int]
    """What the asker has once the parts sent so far have arrived."""
    had: KnownWrites
    """What it had when it asked."""
    cursor: dict[str, int]
    """Where reading goes on: for some writers behind a gap, beyond what is known."""
    part: int = 0

    @classmethod
    def to(cls, ask: m.Ask) -> Answer:
        """Begin to answer a question."""
        had = KnownWrites(dict(ask.known), most_runs=m.MOST_RECORDS)
        for run in ask.beyond:
            had.learn(run.writer, run.first, run.last)
        return cls(ask, dict(ask.known), had, dict(ask.known))

    def advance(self, delta: Delta) -> dict[str, int] | None:
        """Go on behind a part that was read, and return what is covered with it.

        Records beyond a gap cover nothing, and reading goes on behind them. Where a gap has
        closed since, what came before it has not been read: None, and it is read anew.
        """
        covers = missing(self.known, delta.covers)
        if any(self.cursor.get(writer, 0) > self.known.get(writer, 0) for writer in covers):
            self.cursor = dict(self.known)
            return None
        self.known = merge(self.known, covers)
        self.cursor = merge(self.cursor, covers or highest(delta.records))
        return covers

    def lacks(self, record: Record) -> bool:
        """Return whether the asker did not have a record when it asked."""
        return not self.had.has(record.version.writer, record.version.sequence)


@dataclass(slots=True)
class Question:
    """The one question that is open: a whole transfer comes from one peer."""

    peer: str
    number: int
    part: int
    """The part that comes next."""
    since_s: float
    """When it was asked, or the last part came."""


@dataclass(slots=True)
class Link:
    """What is known of one connected peer."""

    limit: int
    """Records to read for the next batch."""
    session: str = ""
    """Its life; empty until its Hello came."""
    closed: bool = False
    """Whether one of the two has refused the other."""
    refused: set[str] = field(default_factory=set)
    """Namespaces that do not match."""
    vector: dict[str, int] = field(default_factory=dict)
    """What it can search, as far as it told."""
    durable: dict[str, int] = field(default_factory=dict)
    neighbours: frozenset[str] = frozenset()
    beyond: tuple[tuple[m.Run, ...], int] = ((), 0)
    """Runs that it has beyond gaps, and how often its disk had synced when it said so."""
    beyond_asked: tuple[tuple[m.Run, ...], int] = ((), 0)
    """The same when it was asked last: a write that was replaced since is never sent."""
    owes: bool = False
    """Whether it is worth asking."""
    gap: bool = False
    """Whether its pushes have left one that it may be able to fill."""
    pushed: int = 0
    """Number of the last push to it."""
    taken: int = 0
    """Number of the last push from it."""
    lagging: bool = False
    """Whether something was not pushed because the window was full."""
    answer: Answer | None = None
    waiting: m.Ask | None = None
    """A question that waits: for the disk, or for the answer before it."""
    totals: dict[str, int] = field(default_factory=dict)
    totals_print: int = 0
    window_bytes: int = 0
    """Size of what it has not yet taken in."""
    _window: deque[tuple[int, int]] = field(default_factory=deque)

    @property
    def open(self) -> bool:
        """Whether it has said who it is and neither has refused the other."""
        return bool(self.session) and not self.closed

    def restart(self) -> None:
        """Forget what a former life of the peer knew, asked and was sent."""
        self.vector, self.durable = {}, {}
        self._window.clear()
        self.window_bytes, self.lagging, self.taken = 0, False, 0
        self.answer = self.waiting = None

    def lacking(self, records: Sequence[Record]) -> Sequence[Record]:
        """Return what the peer may lack of writes, and has not refused."""
        vector, refused = self.vector, self.refused
        seen = outline(records)
        if seen and seen.first > vector.get(seen.writer, 0) and seen.namespace not in refused:
            return records
        found = [
            record for record in records
            if record.version.sequence > vector.get(record.version.writer, 0)
            and record.namespace not in refused
        ]  # fmt: skip
        return records if len(found) == len(records) else found

    def unseen(self, withheld: Sequence[m.Run]) -> tuple[m.Run, ...]:
        """Return what the peer has not seen of numbers that are withheld; one push's worth."""
        vector = self.vector
        return tuple(
            [run for run in withheld if run.last > vector.get(run.writer, 0)][: m.MOST_RECORDS]
        )

    def reserve(self, size: int, most: int) -> int:
        """Count something as sent if there is room; return its number, or 0 for no room.

        Unless the peer lags already, so many more bytes may be on the way; one message always.
        """
        if self.lagging or (self.window_bytes and self.window_bytes + size > most):
            self.lagging = True
            return 0
        return self.count_sent(size)

    def count_sent(self, size: int) -> int:
        """Count something as sent and not yet taken in; return its number."""
        self.pushed += 1
        self._window.append((self.pushed, size))
        self.window_bytes += size
        return self.pushed

    def count_taken(self, number: int) -> None:
        """Count everything up to a number as taken in."""
        while self._window and self._window[0][0] <= number:
            self.window_bytes -= self._window.popleft()[1]


def parts(
    records: Sequence[Record], *, most_bytes: int, most_records: int, weight: int = 0
) -> Iterable[tuple[tuple[Record, ...], int]]:
    """Return records in parts that are not too large, and the size of each part [bytes].

    ``weight`` is that of all, where it is known.
    """
    if len(records) == 1:
        return (((records[0],), weight or weight_bytes(records[0])),)
    return _parts(records, most_bytes, most_records, weight)


def _parts(
    records: Sequence[Record], most_bytes: int, most_records: int, weight: int
) -> Iterator[tuple[tuple[Record, ...], int]]:
    size = weight or weights_bytes(records)
    if records and size <= most_bytes and len(records) <= most_records:
        yield records if isinstance(records, tuple) else tuple(records), size
        return
    part: list[Record] = []
    size = 0
    for record in records:
        weight = weight_bytes(record)
        if part and (size + weight > most_bytes or len(part) == most_records):
            yield tuple(part), size
            part, size = [], 0
        part.append(record)
        size += weight
    if part:
        yield tuple(part), size


def one_run(records: Sequence[Record]) -> m.Run | None:
    """Return the run that some records are, in order and of one writer; None where they differ."""
    if not records:
        return None
    if (seen := outline(records)) is not None:
        return m.Run(seen.writer, seen.first, seen.first + len(records) - 1)
    versions = [record.version for record in records]
    writer, first = versions[0].writer, versions[0].sequence
    if [x.sequence for x in versions] != list(range(first, first + len(versions))):
        return None
    if any(x.writer != writer for x in versions):
        return None
    return m.Run(writer, first, first + len(versions) - 1)


def highest(records: Iterable[Record]) -> dict[str, int]:
    """Return the highest number of each writer among records."""
    found: dict[str, int] = {}
    for record in records:
        version = record.version
        found[version.writer] = max(version.sequence, found.get(version.writer, 0))
    return found


def misfit(record: Record, namespace: Namespace) -> str:
    """Return why a record cannot be in its namespace, or ""."""
    vector = record.vector
    if vector is None:
        return ""
    if len(vector) != namespace.dimension:
        return (
            f"expected vectors of {namespace.dimension} components in {namespace.name},"
            f" found {len(vector)} in {record.id[:80]}"
        )
    # most have a first component, which is cheaper to look at
    if namespace.metric is _COSINE and not vector[0] and not np.count_nonzero(vector):
        return f"expected a vector with a direction in {namespace.name}, found zeros"
    return ""


def tombstone(record: Record) -> Record:
    """Return what says that a record is gone, and no more."""
    return Record(record.namespace, record.id, record.kind, version=record.version, deleted=True)


def unfit(hello: m.Hello, peer: str, node: str) -> str:
    """Return why a peer, named so in its certificate, cannot be talked to from a node, or ""."""
    if hello.protocol != m.PROTOCOL:
        return (
            f"expected protocol {m.PROTOCOL}, found {hello.protocol};"
            " run the same version of CellHive on every node"
        )
    if hello.node != peer or peer == node:
        return (
            f"expected a peer named {peer} as in its certificate, and not {node},"
            f" found {hello.node}; give every node a name of its own"
        )
    return ""


def ahead_words(ahead: int, settings: SyncSettings, node: str) -> str:
    """Return what to say to a peer whose times are too far ahead of a node's clock."""
    return (
        f"expected times at most {settings.most_ahead_ms} ms ahead of {node}'s"
        f" clock, found {ahead} ms; set the clocks right"
    )


def mismatch(ours: Namespace, theirs: Namespace) -> str:
    """Return why records of two namespaces of one name cannot be shared, or ""."""
    if (ours.dimension, ours.metric) == (theirs.dimension, theirs.metric):
        return ""
    return (
        f"expected namespace {ours.name} with {ours.dimension} components under {ours.metric},"
        f" found {theirs.dimension} under {theirs.metric}; rename one of the two"
    )
