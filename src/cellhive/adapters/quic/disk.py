"""What waits for the disk: committed beside, all that waits in one go.

In a process of its own where there is a command for one, else in a thread, which takes the
interpreter from the event loop for some milliseconds now and then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeVar

from cellhive.adapters.quic.disk_process import DiskProcess, commit_frames
from cellhive.core.errors import Unavailable
from cellhive.core.ports import RecordLog
from cellhive.core.records import Delta, Namespace, Record
from cellhive.memory.batches.faults import weights_bytes
from cellhive.memory.batches.together import Together
from cellhive.memory.peers import highest
from cellhive.memory.versions import merge

T = TypeVar("T")

MOST_QUEUED_BYTES = 32 << 20
"""Above this much, peers are asked to hold back; local writers wait, too.

Records that came together have their columns beside, which take as much again.
"""
MOST_COMMIT_RECORDS = 8_192
GATHER_S, GATHER_OTHERS_S = 0.003, 0.014
"""How long commits wait for company, of own writes and of others', for whom nobody waits here.

It leaves the processor to what was pushed, and to the searches for it.
"""
ENOUGH_BYTES = 1 << 20
"""What need not wait for company."""
_INLINE_BYTES = 32 << 10
"""Up to this size, what goes to the process is encoded on the event loop."""


@dataclass(slots=True)
class _Work:
    """Part of the queue that is committed together."""

    namespaces: list[Namespace] = field(default_factory=list)
    lots: list[list[Record] | Together] = field(default_factory=list)
    """Records, in their order: those that came ``Together`` stay so."""
    count: int = 0
    """How many they are."""
    own: bool = False
    """Whether some of the records were written here."""
    covers: dict[str, int] = field(default_factory=dict)
    weight: int = 0
    waiters: list[asyncio.Future[None]] = field(default_factory=list)

    def add(self, records: Sequence[Record], covers: Mapping[str, int]) -> None:
        """Add records, and what is covered with them."""
        if isinstance(records, Together):
            self.lots.append(records)
        elif self.lots and isinstance(self.lots[-1], list):
            self.lots[-1].extend(records)
        elif records:
            self.lots.append(list(records))
        self.count += len(records)
        self.covers = merge(self.covers, covers)


class Disk:
    """Commits to a log in the order of the calls; for use from one event loop."""

    def __init__(
        self,
        log: RecordLog,
        *,
        stored: Callable[[Mapping[str, int], Sequence[Namespace]], None],
        failed: Callable[[Exception, bool], None],
        crowded: Callable[[bool], None],
        command: Sequence[str] = (),
    ) -> None:
        """Begin with nothing to do.

        Args:
            log: Where everything goes.
            stored: Told what is committed now: a vector, and namespaces declared.
            failed: Told why a commit failed, and whether own writes were in it. Everything
                that waited behind it has been dropped.
            crowded: Told when too much waits, and when that is over.
            command: Runs ``disk_process.commit_all`` on the same log; none: a thread commits.
        """
        self._log = log
        self._stored, self._failed, self._crowded = stored, failed, crowded
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "disk")
        self._process = DiskProcess(command) if command else None
        self._queue: list[_Work] = []
        self._some = asyncio.Event()
        self._begin: asyncio.TimerHandle | None = None
        self._wait_s = 0.0
        self._idle = asyncio.Event()
        self._idle.set()
        self._room = asyncio.Event()
        self._room.set()
        self.queued_bytes = 0

    def write(
        self,
        records: Sequence[Record],
        covers: Mapping[str, int] | None = None,
        weight: int = 0,
    ) -> asyncio.Future[None]:
        """Queue own stamped records; the future is done when they are durable.

        Args:
            records: Of one writer or several.
            covers: The highest number of each writer among them, where it is known.
            weight: What they weigh [bytes], where it is known.
        """
        done: asyncio.Future[None] = self._loop.create_future()
        work = self._last()
        work.add(records, highest(records) if covers is None else covers)
        work.own = True
        work.waiters.append(done)
        self._added(work, weight or weights_bytes(records), GATHER_S)
        return done

    def apply(self, delta: Delta) -> None:
        """Queue what a peer sent."""
        work = self._last()
        work.add(delta.records, delta.covers)
        self._added(work, weights_bytes(delta.records), GATHER_OTHERS_S)

    def declare(self, namespace: Namespace) -> asyncio.Future[None]:
        """Queue a declaration; what is queued afterwards may be of that namespace."""
        done: asyncio.Future[None] = self._loop.create_future()
        if not self._queue or self._queue[-1].count or self._queue[-1].covers:
            self._queue.append(_Work())
        work = self._queue[-1]
        work.namespaces.append(namespace)
        work.waiters.append(done)
        self._added(work, 0, 0.0)
        return done

    async def read(self, question: Callable[[], T]) -> T:
        """Return what a question to the log gives, asked between commits."""
        return await self._loop.run_in_executor(self._thread, question)

    async def room(self) -> None:
        """Wait until not too much is queued."""
        await self._room.wait()

    async def start(self) -> None:
        """Start the process, where one commits; raise Unavailable where it does not."""
        if self._process is not None:
            await self._process.start()

    async def run(self) -> None:
        """Commit for ever."""
        while True:
            await self._some.wait()
            self._some.clear()
            self._begin = None
            for _ in range(len(self._queue)):
                if self._queue:
                    await self._commit_first()
            if not self._queue:
                self._idle.set()

    async def flushed(self) -> None:
        """Wait until nothing waits."""
        while self._queue:
            self._some.set()
            self._idle.clear()
            await self._idle.wait()
        await self._idle.wait()

    async def close(self) -> None:
        """Let thread and process go; what is still queued is dropped."""
        self._drop(Unavailable("expected a running node, found it stopping", retry_after_s=1.0))
        self._thread.shutdown(wait=True, cancel_futures=True)
        if self._process is not None:
            await self._process.close()

    def _last(self) -> _Work:
        if not self._queue or self._queue[-1].count >= MOST_COMMIT_RECORDS:
            self._queue.append(_Work())
        return self._queue[-1]

    def _added(self, work: _Work, weight: int, wait_s: float) -> None:
        work.weight += weight
        self.queued_bytes += weight
        self._idle.clear()
        if not wait_s or work.weight > ENOUGH_BYTES:
            self._some.set()
        elif self._begin is None or wait_s < self._wait_s:
            if self._begin is not None:
                self._begin.cancel()
            self._wait_s, self._begin = wait_s, self._loop.call_later(wait_s, self._some.set)
        if self.queued_bytes > MOST_QUEUED_BYTES and self._room.is_set():
            self._room.clear()
            self._crowded(True)

    async def _commit_first(self) -> None:
        work = self._queue.pop(0)
        try:
            if self._process is None:
                await self._in_thread(lambda: self._commit(work))
            else:
                await self._commit_beside(work, self._process)
        except Exception as error:  # whatever it is, it is not on disk
            self._release(work.weight)
            waiting = [work, *self._queue]
            own = any(part.own for part in waiting)
            self._drop(error, work)
            self._failed(error, own)
            return
        self._release(work.weight)
        self._stored(work.covers, work.namespaces)
        for waiter in work.waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _in_thread(self, action: Callable[[], T]) -> T:
        return await self._loop.run_in_executor(self._thread, action)

    async def _commit_beside(self, work: _Work, process: DiskProcess) -> None:
        """Have one part of the queue written by the process."""
        if work.namespaces:
            await self._in_thread(lambda: self._declare(work))
        if work.count or work.covers:
            number = process.next_number()
            if work.weight <= _INLINE_BYTES:
                frames = commit_frames(number, work.lots, work.covers)
            else:
                frames = await self._in_thread(
                    lambda: commit_frames(number, work.lots, work.covers)
                )
            await process.commit(number, frames)

    def _declare(self, work: _Work) -> None:
        for namespace in work.namespaces:
            self._log.declare(namespace)

    def _commit(self, work: _Work) -> None:
        """Write one part of the queue and return when it is durable; in the thread."""
        self._declare(work)
        if work.count or work.covers:
            records = tuple(chain.from_iterable(work.lots))
            self._log.absorb(Delta(records, work.covers, complete=True)).result()

    def _release(self, weight: int) -> None:
        self.queued_bytes -= weight
        if self.queued_bytes <= MOST_QUEUED_BYTES // 2 and not self._room.is_set():
            self._room.set()
            self._crowded(False)

    def _drop(self, error: Exception, *more: _Work) -> None:
        for work in (*more, *self._queue):
            for waiter in work.waiters:
                if not waiter.done():
                    waiter.set_exception(error)
                    waiter.exception()  # nobody has to look
        self._release(sum(work.weight for work in self._queue))
        self._queue.clear()
