"""A node: one memory kept in step with those of its peers.

A local write is stamped, made searchable and pushed at once; what peers push is made
searchable at once and passed on. The disk follows in a process beside, and what it has is
acknowledged separately, so nothing on the way from a write to a search on another node
waits for a disk.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from cellhive.adapters.quic.connection import LinkSettings
from cellhive.adapters.quic.control import Control
from cellhive.adapters.quic.disk import Disk
from cellhive.adapters.quic.identity import IdentityFiles, Untrusted, load_identity
from cellhive.adapters.quic.mutual import RIPE_ACK_S
from cellhive.adapters.quic.pacing import Histogram
from cellhive.adapters.quic.peers import PeerAddress, Peers
from cellhive.adapters.quic.searchable import Searchable
from cellhive.core.errors import Conflict
from cellhive.core.ports import RecordLog
from cellhive.core.records import Delta, Namespace, Record, RecordKind, Version
from cellhive.memory import messages as m
from cellhive.memory.batches.faults import weight_bytes, weights_bytes
from cellhive.memory.batches.stamps import Stamps
from cellhive.memory.peers import SyncSettings
from cellhive.memory.store import Memory
from cellhive.memory.sync import Replica
from cellhive.memory.versions import (
    HybridClock,
    bucket_of,
    dominates,
    every_record,
    is_private,
    merge,
    sums_of,
)

TICK_S = 0.25
ACK_DELAY_S = 0.019
"""How long acknowledgements wait for others: for the disk's, and less than QUIC's wait for them."""
_MOST_PUT_OFF = 3
"""Ticks without a look at the log while records come and go: it would be in their way."""
OWN_NAMESPACE = "cellhive.node"
"""Where a node notes its lives; it never leaves the node."""
LIVE = "+live"
"""After the name of a log's writer: the writer that stamps before the log has the records."""
_SWITCH_S = 0.0001
"""How long a busy thread may keep the event loop waiting for the interpreter [s]."""
_COLLECT_AFTER = 10_000, 20, 50
"""How much is made before cycles are looked for: rarely, as it takes the event loop's time."""
_WITH_RECORDS = m.Push, m.Batch
_MANY_RECORDS = 16
_MOST_TAIL = 4_096
"""Records that may wait for the disk, or for a search, in the tail of the memory."""
_MOST_PENDING = 65_536
_OUTSIDE_RECORDS = 4_096


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What a node is."""

    name: str
    """Its name, as in its certificate."""
    folder: Path
    """Where its control socket goes."""
    identity: IdentityFiles
    listen_host: str = "127.0.0.1"
    listen_port: int = 0
    """UDP port; 0 takes a free one."""
    peers: tuple[PeerAddress, ...] = ()
    """Whom to connect to; others may connect to us."""
    bandwidth_limit_bytes_s: float = float("inf")
    """Bulk sent to one peer, on average [bytes/s]."""
    datagram_bytes: int = 0
    """Largest UDP payload; 0 for what passes everywhere, and for more on loopback."""
    idle_timeout_s: float = 5.0
    """Silence after which a peer counts as gone [s]."""
    needs_peer: bool = False
    """Whether to end where all of ``peers`` turn this node away before it has met one."""
    sync: SyncSettings = field(default_factory=SyncSettings)
    disk: tuple[str, ...] = ()
    """Command of a process that commits to the same log (``disk_process``); none: a thread."""

    @property
    def control_socket(self) -> Path:
        """Where other processes of the same user talk to the node."""
        return self.folder / "node.sock"


class Node:
    """A memory in a running event loop, with its connections and its disk."""

    def __init__(
        self,
        settings: NodeSettings,
        memory: Memory,
        *,
        now_ms: Callable[[], int],
        rng: np.random.Generator,
    ) -> None:
        """Begin with what the log holds; nothing moves before ``start``.

        Args:
            settings: What the node is.
            memory: Opened for this node alone: no other thread uses it.
            now_ms: Wall clock [ms since the epoch].
            rng: Chance, for waits before connecting again.
        """
        log = memory.log
        self.settings = settings
        identity = load_identity(
            settings.identity, node=settings.name,
            now=lambda: datetime.fromtimestamp(now_ms() / 1000, UTC),
        )  # fmt: skip
        self._loop = asyncio.get_running_loop()
        self._log, self.memory = log, Searchable(memory)
        self._clock = HybridClock(now_ms)
        self._clock.observe(_begin_life(log, settings.name).time_hlc)
        self._namespaces = dict(log.namespaces())
        private = settings.sync.private_namespaces | {OWN_NAMESPACE}
        self.replica = Replica(
            settings.name, f"{log.writer}{LIVE}", log.seen(), self._namespaces, now_ms,
            replace(settings.sync, private_namespaces=private),
        )  # fmt: skip
        self._stamps = Stamps(self._clock, self.replica.writer, self._namespaces)
        self._disk = Disk(
            log, stored=self._stored, failed=self._failed, crowded=self._crowded,
            command=settings.disk,
        )  # fmt: skip
        link = LinkSettings(
            settings.datagram_bytes, settings.idle_timeout_s, settings.bandwidth_limit_bytes_s
        )
        self._peers = Peers(identity, self, link, rng)
        self._control = Control(self)
        self._tasks: list[asyncio.Task[None]] = []
        self.port = 0
        self.renewal: asyncio.Future[str] = self._loop.create_future()
        """Done when the log has to be opened anew, and why."""
        self._pending: deque[tuple[int, float]] = deque(maxlen=_MOST_PENDING)
        self._last_change = log.last_change()
        self.to_peer, self.to_disk = Histogram(), Histogram()
        self.written = self.applied = 0
        self.refusals: dict[str, str] = {}
        self.tell: Callable[[str, str], None] = lambda _place, _why: None
        """Told who or what was refused, and why, each time that changes."""
        self.turned_down: asyncio.Future[str] = self._loop.create_future()
        """Done where a node that needs peers is taken in by none, and why."""
        self._turned_away: set[str] = set()
        self._met = False
        self._news = asyncio.Event()
        self._noted: tuple[Record, ...] = ()
        """Records of the push that is being taken in, where they can be searched already."""
        self._acks: dict[str, m.Ack] = {}
        self._ack_timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Listen, connect, and keep everything moving."""
        settings = self.settings
        await self._disk.start()
        self._tasks = [
            self._loop.create_task(self._disk.run()),
            self._loop.create_task(self._tick()),
        ]
        self.port = await self._peers.listen(settings.listen_host, settings.listen_port)
        for address in settings.peers:
            self._peers.connect(address)
        self._peers.watch()
        await self._control.open(settings.control_socket)

    async def close(self) -> None:
        """Finish what waits for the disk, and stop."""
        await self._control.close()
        await self._peers.close()
        if not self.renewal.done():
            await self._disk.flushed()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._disk.close()
        self.memory.use(lambda memory: memory.save())

    # The local side.

    async def declare(self, namespace: Namespace) -> None:
        """Declare a namespace here, and so at all peers; raise Conflict where it differs."""
        known = self._namespaces.get(namespace.name)
        if known is None:
            await self._disk.declare(namespace)
        elif known != namespace:
            message = f"expected {known}, found {namespace}; take another name"
            raise Conflict(message)

    def write(self, records: Sequence[Record]) -> tuple[list[Version], asyncio.Future[None]]:
        """Write records over what is there; searchable here and on its way when this returns.

        Returns:
            Their versions, and a future that is done when they are durable here.
        """
        stamped = self._stamps.stamped(records)
        self.memory.note(stamped)
        weight = weight_bytes(stamped[0]) if len(stamped) == 1 else weights_bytes(stamped)
        wrote = m.Wrote(stamped, checked=True, weight_bytes=weight)
        self._do(self.replica.handle(wrote))
        if self._peers.names:
            self._pending.append((self._stamps.sequence, self._loop.time()))
        self.written += len(stamped)
        covers = {self.replica.writer: self._stamps.sequence} if stamped else {}
        return [record.version for record in stamped], self._disk.write(stamped, covers, weight)

    async def add(self, records: Sequence[Record], *, new: bool = False) -> list[Version]:
        """Write records and return their versions when they are durable here.

        Args:
            records: Of declared namespaces, without versions.
            new: Raise Conflict, and write nothing, where a record of that id exists.
        """
        await self._disk.room()
        if new:
            await self.search(lambda memory: _refuse_known(memory, records))
        begun_s = self._loop.time()
        versions, durable = self.write(records)
        await durable
        self.to_disk.observe(self._loop.time() - begun_s)
        return versions

    async def search(self, question: Callable[[Memory], Any]) -> Any:
        """Return what a question gives that has the memory for itself, in a thread."""
        return await self._loop.run_in_executor(None, self.memory.use, question)

    async def until_durable(self, vector: Mapping[str, int]) -> None:
        """Wait until everything up to a vector is on disk here."""
        while not dominates(self.replica.durable, vector):
            await self._news.wait()

    async def until_searchable(self, vector: Mapping[str, int]) -> None:
        """Wait until everything up to a vector can be searched here."""
        while not dominates(self.replica.vector, vector):
            await self._news.wait()

    async def until_news(self) -> None:
        """Wait until something was applied, stored or acknowledged, or a peer came."""
        await self._news.wait()

    def status(self) -> dict[str, Any]:
        """Return who the node is, whom it is connected to, and what was measured."""
        behind = {
            peer: sum(
                max(0, n - vector.get(writer, 0)) for writer, n in self.replica.vector.items()
            )
            for peer, vector in self.replica.peers.items()
        }
        return {
            "name": self.settings.name,
            "writer": self.replica.writer,
            "port": self.port,
            "namespaces": sorted(set(self._namespaces) - {OWN_NAMESPACE}),
            "vector": dict(self.replica.vector),
            "durable": dict(self.replica.durable),
            "peers_behind": behind,
            "refusals": dict(self.refusals),
            "written": self.written,
            "applied": self.applied,
            "disk_queue_bytes": self._disk.queued_bytes,
            "to_peer_s": self.to_peer.snapshot(),
            "to_disk_s": self.to_disk.snapshot(),
            "connections": self._peers.snapshot(),
        }

    # Told by the peers.

    def joined(self, peer: str) -> None:
        """Begin with a peer."""
        self._do(self.replica.handle(m.Joined(peer)))
        self._tell_news()

    def left(self, peer: str, why: str) -> None:
        """Note that a peer is gone."""
        del why
        self._do(self.replica.handle(m.Left(peer)))

    def refused(self, why: str) -> None:
        """Keep for the operator why a handshake failed last."""
        self._note_refusal("last handshake", why)

    def turned_away(self, peer: str, why: str) -> None:
        """Note that a peer and this node do not take each other's certificates."""
        self._note_refusal(peer, why)
        self._turned_away.add(peer)
        all_of_them = self._turned_away >= {address.name for address in self.settings.peers}
        if self.settings.needs_peer and all_of_them and not (self._met or self.turned_down.done()):
            self.turned_down.set_result(why)

    def received(self, peer: str, message: m.Message) -> None:
        """Take a message in."""
        if (
            type(message) is m.Push
            and len(message.records) == 1
            and self.replica.admits(peer, message)
        ):  # it can be found before all else is done
            self._noted = message.records
            self.memory.note(self._noted)
        self._do(self.replica.handle(m.Received(peer, message)))
        if isinstance(message, _WITH_RECORDS) and len(message.records) > _MANY_RECORDS:
            self._send_acks()  # whoever sends much waits for room
        elif isinstance(message, m.Hello):
            self._met = True
            self._tell_news()
        elif (
            self._ack_timer is not None
            and self._ack_timer.when() - self._loop.time() <= ACK_DELAY_S - RIPE_ACK_S
        ):
            self._send_acks()  # now, when nothing else will come for longest

    # Inside.

    def _do(self, instructions: Sequence[m.Instruction]) -> None:
        for instruction in instructions:
            match instruction:
                case m.Apply(delta):
                    self._apply(delta)
                case m.Send(peer, m.Push() as push):  # at once: it is on its way to a search
                    self._peers.push(peer, push, instruction.weight_bytes)
                case m.Send(peer, m.Ack() as ack):
                    self._acknowledge_soon(peer, ack)
                case m.Send(peer, message):
                    self._peers.send(peer, message)
                case m.Acknowledged():
                    self._acknowledged(instruction)
                case m.Declare(namespace):
                    self.memory.undeclared.add(namespace.name)
                    self._disk.declare(namespace)
                case m.Refuse():
                    self._refuse(instruction)
                case m.Renew(writer, used_up_to):
                    self._renew(f"writer {writer} has been used before, up to {used_up_to}")
                case _:
                    self._look_up(instruction)

    def _refuse(self, told: m.Refuse) -> None:
        self._note_refusal(f"{told.peer}/{told.namespace}".rstrip("/"), told.why)
        if not told.namespace:
            self._peers.ban(told.peer, told.why)

    def _acknowledge_soon(self, peer: str, ack: m.Ack) -> None:
        """Send acknowledgements of a few milliseconds as one: nobody searches for them."""
        if self._ack_timer is None:
            self._ack_timer = self._loop.call_later(ACK_DELAY_S, self._send_acks)
        waiting = self._acks.get(peer)
        if waiting is not None:
            ack = m.Ack(
                max(waiting.number, ack.number),
                merge(waiting.received, ack.received),
                merge(waiting.durable, ack.durable),
            )
        self._acks[peer] = ack

    def _send_acks(self) -> None:
        if self._ack_timer is not None:
            self._ack_timer.cancel()
            self._ack_timer = None
        acks, self._acks = self._acks, {}
        for peer, ack in acks.items():
            self._peers.send(peer, ack)

    def _apply(self, delta: Delta) -> None:
        """Make a delta searchable, then durable."""
        if delta.records:
            if delta.records is not self._noted:
                self.memory.note(delta.records)
            self._clock.observe(max(record.version.time_hlc for record in delta.records))
            self.applied += len(delta.records)
            self._tell_news()
        self._disk.apply(delta)

    def _look_up(self, instruction: m.Instruction) -> None:
        """Ask the log in its thread and give the answer to the replica."""
        log = self._log
        match instruction:
            case m.ReadDelta(peer, known, limit):
                self._answer(lambda: m.DeltaRead(peer, log.since(known, limit=limit)))
            case m.Summarise():
                self._answer(lambda: m.Summarised(log.seen(), sums_of(log)))
            case m.ReadListing(peer, namespace, buckets):
                wanted = frozenset(buckets)
                self._answer(lambda: _listing(self._log, peer, namespace, buckets, wanted))
            case m.ReadRecords(peer, namespace, ids):
                self._answer(lambda: _records(self._log, peer, namespace, frozenset(ids)))
            case _:
                raise TypeError(instruction)

    def _answer(self, question: Callable[[], m.Event]) -> None:
        async def answer() -> None:
            self._do(self.replica.handle(await self._disk.read(question)))

        task = self._loop.create_task(answer())
        self._tasks.append(task)
        task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._tasks.remove(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._renew(f"the log could not be read: {error}")

    def _acknowledged(self, told: m.Acknowledged) -> None:
        upto = told.received.get(self.replica.writer, 0)
        now_s = self._loop.time()
        while self._pending and self._pending[0][0] <= upto:
            self.to_peer.observe(now_s - self._pending.popleft()[1])
        self._tell_news()

    def _stored(self, covers: Mapping[str, int], namespaces: Sequence[Namespace]) -> None:
        for namespace in namespaces:
            self._namespaces[namespace.name] = namespace
            self.memory.undeclared.discard(namespace.name)
            self._do(self.replica.handle(m.Declared(namespace)))
        if covers:
            self._do(self.replica.handle(m.Stored(covers)))
            self.memory.forget(self.replica.durable)
        self._tell_news()

    def _tell_news(self) -> None:
        """Wake whoever waits for the state of the node."""
        self._news.set()
        self._news = asyncio.Event()

    def _failed(self, error: Exception, own: bool) -> None:
        """Go back to what the log has; own writes cannot be taken back, so begin a new life."""
        if own:
            self._renew(f"a write could not be stored: {error}")
            return
        self._note_refusal("disk", str(error))
        self._tell_news()
        self._answer(lambda: m.StoreFailed(self._log.seen()))

    def _note_refusal(self, place: str, why: str) -> None:
        """Keep for the operator what was refused last, and tell it where it is new."""
        if self.refusals.get(place) != why:
            self.refusals[place] = why
            self.tell(place, why)

    def _crowded(self, on: bool) -> None:
        self._peers.hold(on=on)

    def _renew(self, why: str) -> None:
        if not self.renewal.done():
            self.renewal.set_result(why)

    async def _tick(self) -> None:
        moved, put_off = self.written + self.applied, 0
        while True:
            self._do(self.replica.handle(m.Tick(self._loop.time())))
            before, moved = moved, self.written + self.applied
            put_off = put_off + 1 if moved != before and put_off < _MOST_PUT_OFF else 0
            if not put_off:
                await self._read_outside()
            if len(self.memory) > _MOST_TAIL:
                await self.search(lambda _: None)
            await asyncio.sleep(TICK_S)

    async def _read_outside(self) -> None:
        """Take in what other processes have written into the log."""
        known, seen_change = dict(self.replica.vector), self._last_change

        def look() -> tuple[int, Delta | None, Mapping[str, Namespace]]:
            change = self._log.last_change()
            if change == seen_change:
                return change, None, {}
            delta = self._log.since(known, limit=_OUTSIDE_RECORDS)
            return change, delta, self._log.namespaces()

        change, delta, namespaces = await self._disk.read(look)
        for name, namespace in namespaces.items():
            if name not in self._namespaces:
                self._namespaces[name] = namespace
                self._do(self.replica.handle(m.Declared(namespace)))
        if delta is None:
            return
        if delta.complete:
            self._last_change = change
        if delta.records or delta.covers:
            self._do(self.replica.handle(m.Wrote(delta.records, delta.covers)))
            self._do(self.replica.handle(m.Stored(delta.covers)))


def _begin_life(log: RecordLog, node: str) -> Version:
    """Return a version later than all in the log: that of a note that this life has begun.

    Whoever stamps records before the log has them must know the highest time in it, or a
    write could lose against an older one whose writer's clock was ahead.
    """
    log.declare(Namespace(OWN_NAMESPACE, dimension=1))
    facts = {"writer": log.writer, "privacy": "private"}
    note = Record(OWN_NAMESPACE, node, RecordKind.RESULT, metadata=facts)
    return log.put([note])[0]


def _refuse_known(memory: Memory, records: Sequence[Record]) -> None:
    for record in records:
        if memory.get(record.namespace, [record.id])[0] is not None:
            message = (
                f"expected new ids in {record.namespace}, found {record.id!r} there already;"
                " upsert what may exist"
            )
            raise Conflict(message)


def _listing(
    log: RecordLog, peer: str, namespace: str, buckets: tuple[int, ...], wanted: frozenset[int]
) -> m.ListingRead:
    entries = tuple(
        m.Listed(record.id, record.version, is_private(record), record.deleted)
        for record in every_record(log)
        if record.namespace == namespace and bucket_of(record.id) in wanted
    )
    return m.ListingRead(peer, namespace, buckets, entries)


def _records(log: RecordLog, peer: str, namespace: str, ids: frozenset[str]) -> m.RecordsRead:
    found = tuple(
        record for record in every_record(log) if record.namespace == namespace and record.id in ids
    )
    return m.RecordsRead(peer, found)


async def serve(
    settings: NodeSettings,
    open_memory: Callable[[], Memory],
    *,
    now_ms: Callable[[], int],
    rng: np.random.Generator,
    stop: asyncio.Event,
    ready: Callable[[Node], None] = lambda _: None,
) -> None:
    """Run a node until it is told to stop.

    Args:
        settings: What the node is.
        open_memory: Opens the memory over a log that is opened anew, too. Called again when
            the log turns out to be an old copy of itself, or could not take a write.
        now_ms: Wall clock [ms since the epoch].
        rng: Chance, for waits before connecting again.
        stop: Set from outside to end.
        ready: Told once the node listens; told again after the log was opened anew.

    Raises:
        Untrusted: The node needs a peer, and all whom it was to join turned it away.
    """
    switch_s, thresholds = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(_SWITCH_S)
    gc.set_threshold(*_COLLECT_AFTER)
    ending = asyncio.ensure_future(stop.wait())
    try:
        while not stop.is_set():
            memory = await asyncio.to_thread(open_memory)
            try:
                node = Node(settings, memory, now_ms=now_ms, rng=rng)
                try:
                    await node.start()
                    ready(node)
                    gc.collect()
                    gc.freeze()  # what is there now stays, and need not be looked at again
                    either: set[asyncio.Future[Any]] = {ending, node.renewal, node.turned_down}
                    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                    if node.turned_down.done():
                        raise Untrusted(node.turned_down.result())
                finally:
                    await node.close()
            finally:
                memory.close()
                memory.log.close()
    finally:
        ending.cancel()
        sys.setswitchinterval(switch_s)
        gc.set_threshold(*thresholds)
        gc.unfreeze()
