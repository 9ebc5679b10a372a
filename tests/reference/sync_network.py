"""A network of replicas in one process: it loses, delays, repeats and reorders at will.

Each node has a log that survives a crash and a queue of writes on their way to it that does
not. Messages travel as bytes. Time stands still until it is moved.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from cellhive.core.records import Delta, Metric, Namespace, Record, RecordKind, Version
from cellhive.memory import messages as m
from cellhive.memory.codec import decode, encode
from cellhive.memory.peers import SyncSettings
from cellhive.memory.sync import Replica
from cellhive.memory.versions import (
    HybridClock,
    bucket_of,
    every_record,
    is_private,
    sums_of,
)
from cellhive.memory.volatile import VolatileLog

SPACE = Namespace("situations", 2, Metric.L2)
SETTINGS = SyncSettings(batch_records=4, batch_bytes=3_000, window_bytes=2_000, batches_ahead=2,
                        compare_every_s=20.0, ask_timeout_s=3.0, mend_records=4)  # fmt: skip
START_MS = 1_000_000


@dataclass
class Node:
    """One node: what is on its disk, what is on its way there, and its replica."""

    name: str
    network: Network
    log: VolatileLog
    settings: SyncSettings
    epoch: int = 0
    skew_ms: int = 0
    up: bool = True
    waiting: list[tuple[tuple[Record, ...], dict[str, int]]] = field(default_factory=list)
    reads: list[m.ReadDelta] = field(default_factory=list)
    told: list[m.Instruction] = field(default_factory=list)
    """Instructions for the operator: Refuse, Renew, Acknowledged."""
    acknowledged: list[Record] = field(default_factory=list)
    """Own writes that reached the disk, of all lives."""
    widest_bytes: int = 0
    """The most that was ever pushed to one peer and not taken in by it."""
    replica: Replica = field(init=False)
    clock: HybridClock = field(init=False)
    sequence: int = 0

    def __post_init__(self) -> None:
        """Begin the first life."""
        self.begin()

    def now_ms(self) -> int:
        """The node's wall clock."""
        return START_MS + int(self.network.now_s * 1000) + self.skew_ms

    def begin(self) -> None:
        """Start a new life on what the disk holds."""
        self.epoch += 1
        self.sequence = 0
        self.clock = HybridClock(self.now_ms)
        for record in every_record(self.log):
            self.clock.observe(record.version.time_hlc)
        beyond = self.log.since(self.log.seen(), limit=1_000_000).records
        self.replica = Replica(self.name, self.writer, self.log.seen(), self.log.namespaces(),
                               self.now_ms, self.settings)  # fmt: skip
        self.tell(m.Wrote(beyond))
        self.up = True

    @property
    def writer(self) -> str:
        """Name of this life."""
        return f"{self.name}~{self.epoch}"

    def crash(self) -> None:
        """Lose everything but the disk."""
        self.waiting, self.reads, self.up = [], [], False

    def write(self, *records: Record) -> list[Record]:
        """Stamp records, push them, and queue them for the disk."""
        stamped = []
        for record in records:
            self.sequence += 1
            version = Version(self.clock.tick(), self.writer, self.sequence)
            stamped.append(
                Record(record.namespace, record.id, record.kind, record.vector, record.metadata,
                       record.text, record.payload, version=version, deleted=record.deleted)
            )  # fmt: skip
        self.waiting.append((tuple(stamped), {self.writer: self.sequence}))
        self.tell(m.Wrote(tuple(stamped)))
        return stamped

    def commit(self, most: int = 1_000_000) -> None:
        """Let what waits reach the disk, oldest first."""
        done, self.waiting = self.waiting[:most], self.waiting[most:]
        for records, covers in done:
            self.log.absorb(Delta(records, covers, complete=True)).result()
            self.acknowledged += [r for r in records if r.version.writer == self.writer]
        for _, covers in done:
            self.tell(m.Stored(covers))

    def fail(self) -> None:
        """Let the disk refuse all that waits for it.

        A node that has pushed writes of its own which then fail must not use their numbers
        again: it begins a new life.
        """
        own = any(r.version.writer == self.writer for records, _ in self.waiting for r in records)
        if own:
            self.network.crash(self.name)
            self.network.restart(self.name)
        else:
            self.waiting = []
            self.tell(m.StoreFailed(self.log.seen()))

    def read(self) -> None:
        """Answer what the replica wants to read."""
        reads, self.reads = self.reads, []
        for wish in reads:
            delta = self.log.since(wish.known, limit=wish.limit)
            self.tell(m.DeltaRead(wish.peer, delta))

    def tell(self, event: m.Event) -> None:
        """Tell the replica something and carry out what it says."""
        for instruction in self.replica.handle(event):
            self._carry_out(instruction)
        for peer in self.network.nodes:
            self.widest_bytes = max(self.widest_bytes, self.replica.window_bytes(peer))

    def _carry_out(self, instruction: m.Instruction) -> None:
        match instruction:
            case m.Send(peer, message):
                self.network.send(self.name, peer, message)
            case m.Apply(delta):
                for record in delta.records:
                    self.clock.observe(record.version.time_hlc)
                self.waiting.append((delta.records, dict(delta.covers)))
            case m.ReadDelta():
                self.reads.append(instruction)
            case m.Declare(namespace):
                self.log.declare(namespace)
            case m.Summarise():
                self.tell(m.Summarised(self.log.seen(), sums_of(self.log)))
            case m.ReadListing(peer, name, buckets):
                listed = [m.Listed(r.id, r.version, is_private(r), r.deleted)
                          for r in every_record(self.log)
                          if r.namespace == name and bucket_of(r.id) in buckets]  # fmt: skip
                self.tell(m.ListingRead(peer, name, buckets, tuple(listed)))
            case m.ReadRecords(peer, name, ids):
                found = [r for r in every_record(self.log) if r.namespace == name and r.id in ids]
                self.tell(m.RecordsRead(peer, tuple(found)))
            case _:
                self.told.append(instruction)

    def content(self) -> dict[tuple[str, str], Record]:
        """Everything on disk that is not private."""
        return {r.key: r for r in every_record(self.log) if not is_private(r)}


class Network:
    """Nodes, the links between them, and what is on its way."""

    def __init__(
        self, size: int, edges: Iterable[tuple[int, int]], settings: SyncSettings = SETTINGS
    ) -> None:
        """Start nodes a, b, c … and connect some."""
        self.now_s = 0.0
        self.sent_records = 0
        self.sent: dict[str, int] = {}
        self.queue: list[tuple[str, str, bytes]] = []
        self.cut: set[frozenset[str]] = set()
        self.nodes: dict[str, Node] = {}
        for number in range(size):
            name = "abcdefgh"[number]
            log = VolatileLog(f"{name}~0")
            log.declare(SPACE)
            self.nodes[name] = Node(name, self, log, settings)
        names = list(self.nodes)
        self.edges = [(names[i], names[j]) for i, j in edges]
        for one, other in self.edges:
            self.join(one, other)

    def join(self, one: str, other: str) -> None:
        """Bring a connection up at both ends."""
        self.nodes[one].tell(m.Joined(other))
        self.nodes[other].tell(m.Joined(one))

    def send(self, source: str, target: str, message: m.Message) -> None:
        """Put a message on its way, as bytes."""
        self.sent[type(message).__name__] = self.sent.get(type(message).__name__, 0) + 1
        if isinstance(message, m.Push | m.Batch):
            self.sent_records += len(message.records)
        self.queue.append((source, target, encode(message)))

    def deliver(self, index: int = 0, *, keep: bool = False) -> None:
        """Let one message arrive, or be lost where the link is cut or the node is down."""
        source, target, data = self.queue[index] if keep else self.queue.pop(index)
        node = self.nodes[target]
        if node.up and frozenset((source, target)) not in self.cut:
            node.tell(m.Received(source, decode(data)))

    def deliver_all(self, most: int = 100_000) -> int:
        """Deliver in order until nothing is on its way; return how many messages that took."""
        count = 0
        while self.queue and count < most:
            self.deliver()
            count += 1
            for node in self.nodes.values():
                node.read()
        return count

    def crash(self, name: str) -> None:
        """Crash a node; its peers see the connections go."""
        self.nodes[name].crash()
        self.queue = [sent for sent in self.queue if sent[0] != name]
        for peer in self._peers_of(name):
            if self.nodes[peer].up:
                self.nodes[peer].tell(m.Left(name))

    def restart(self, name: str) -> None:
        """Start a crashed node again and connect it."""
        self.nodes[name].begin()
        for peer in self._peers_of(name):
            if self.nodes[peer].up:
                self.join(name, peer)

    def settle(self, rounds: int = 80) -> None:
        """Heal everything and let time pass until there is nothing left to do."""
        self.cut.clear()
        for name, node in self.nodes.items():
            if not node.up:
                self.restart(name)
        for _ in range(rounds):
            self.round()

    def round(self) -> None:
        """Let half a second pass in which every message arrives and every disk syncs."""
        self.now_s += 0.5
        for node in self.nodes.values():
            node.tell(m.Tick(self.now_s))
        while self.queue or any(n.reads or n.waiting for n in self.nodes.values()):
            self.deliver_all()
            for node in self.nodes.values():
                node.commit()
                node.read()

    def _peers_of(self, name: str) -> list[str]:
        return [b if a == name else a for a, b in self.edges if name in {a, b}]


def record(
    name: str, number: float = 0.0, *, metadata: dict[str, str] | None = None, text: str = "",
    deleted: bool = False,
) -> Record:  # fmt: skip
    """Make a record of the namespace that all nodes have."""
    vector = np.array([number, 1.0], np.float32)
    return Record(SPACE.name, name, RecordKind.PATTERN, None if deleted else vector,
                  metadata or {}, text, deleted=deleted)  # fmt: skip


def same(one: Record, other: Record) -> bool:
    """Whether two records are alike in every field."""
    vectors = [r.vector.tobytes() if r.vector is not None else None for r in (one, other)]
    fields: Sequence[str] = ("namespace", "id", "kind", "metadata", "text", "payload", "version",
                             "deleted")  # fmt: skip
    return vectors[0] == vectors[1] and all(getattr(one, f) == getattr(other, f) for f in fields)


def mesh(size: int) -> list[tuple[int, int]]:
    """Everybody with everybody."""
    return [(i, j) for i in range(size) for j in range(i)]


def line(size: int) -> list[tuple[int, int]]:
    """One after the other."""
    return [(i, i + 1) for i in range(size - 1)]


def tree(size: int) -> list[tuple[int, int]]:
    """Two below each."""
    return [(i, (i - 1) // 2) for i in range(1, size)]


def ring(size: int) -> list[tuple[int, int]]:
    """A circle: more than one way, and not everybody with everybody."""
    return [(i, (i + 1) % size) for i in range(size)] if size > 2 else line(size)
