"""A disk in a process of its own, so that no commit ever holds the node's interpreter.

A node sends what is to be committed as frames of the wire codec through a pipe, and gets
one frame back for each commit. Nothing is acknowledged before that answer, so either of
the two may be killed at any moment: a disk whose pipe ends commits what it has read whole
and ends, and a node whose disk is gone treats what was not answered as not stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from cellhive.core.errors import ProtocolError, Unavailable
from cellhive.core.ports import RecordLog
from cellhive.core.records import Delta, Record
from cellhive.memory import messages as m
from cellhive.memory.codec import HEAD_BYTES, decode, encode, frame_bytes
from cellhive.memory.peers import parts

_PART_BYTES = 4 << 20
_ENOUGH_S = 10.0
_NICER = 10
_READY = 0
_AUTOGROUP = Path("/proc/self/autogroup")
_TRIES, _AGAIN_S = 5, 0.12


def give_way() -> None:
    """Let others go first where the processor is short: the node, and searches for what came.

    To be called before the log is opened: on Linux each thread has a priority of its own and
    takes over that of the thread that begins it, and it is a thread of the log that commits.
    Where sessions share the processor as groups (sched(7), autogroup), a priority counts within
    its session only, and a node gives this process one of its own: so the session gives way,
    too. Batch work does not take the processor from what runs when it wakes.
    """
    os.nice(_NICER)
    if hasattr(os, "SCHED_BATCH"):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    if os.getsid(0) == os.getpid():  # or it would be others' session
        _session_gives_way()


def _session_gives_way(wait: Callable[[float], None] = time.sleep) -> None:
    """Lower the session; on another system, or without the right to it, all works without."""
    for _ in range(_TRIES):
        try:
            _AUTOGROUP.write_text(str(_NICER), encoding="ascii")
        except BlockingIOError:  # who is not root may do it ten times a second on the whole machine
            wait(_AGAIN_S)
        except OSError:
            return
        else:
            return


def commit_all(log: RecordLog, source: BinaryIO, sink: BinaryIO) -> None:
    """Commit what comes until the source ends, and answer each commit once it is durable.

    Runs in the disk's process, which does ``give_way`` before it opens the log.
    """
    _answer(sink, m.Ack(_READY, {}, {}))
    records: list[Record] = []
    while (frame := _read(source)) is not None:
        batch = decode(frame)
        if not isinstance(batch, m.Batch):
            raise ProtocolError(expected="a batch to commit", found=type(batch).__name__)
        records += batch.records
        if not batch.complete:
            continue
        try:
            log.absorb(Delta(tuple(records), batch.covers, complete=True)).result()
        except Exception as error:  # whatever it is, the node has to know
            _answer(sink, m.Refusal("", f"{type(error).__name__}: {error}"[:2000]))
        else:
            _answer(sink, m.Ack(batch.number, {}, {}))
        records = []


def commit_frames(
    number: int, lots: Iterable[Sequence[Record]], covers: Mapping[str, int]
) -> list[bytes]:
    """Return the frames of one commit, of one lot each; only the last has what it covers."""
    pieces = [
        piece
        for lot in lots
        for piece, _ in parts(lot, most_bytes=_PART_BYTES, most_records=m.MOST_RECORDS)
    ] or [()]
    last = len(pieces) - 1
    return [
        encode(
            m.Batch("", number, 0, piece, dict(covers) if i == last else {}, complete=i == last),
            checked=True,
            packed=False,
        )
        for i, piece in enumerate(pieces)
    ]


class DiskProcess:
    """The node's end of the pipe; for one commit at a time."""

    def __init__(self, command: Sequence[str]) -> None:
        """Name the command that runs ``commit_all``; nothing runs before ``start``."""
        self._command = tuple(command)
        self._process: asyncio.subprocess.Process | None = None
        self._number = _READY

    async def start(self) -> None:
        """Start the process if it does not run, and wait until it has opened the log."""
        if self._process is not None:
            return
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip  # Ctrl-C is for the node, which ends this process when it has finished
        await self._answered(_READY)

    @property
    def pid(self) -> int | None:
        """Number of the process, while there is one."""
        return None if self._process is None else self._process.pid

    def next_number(self) -> int:
        """Return a number for the next commit."""
        self._number += 1
        return self._number

    async def commit(self, number: int, frames: Sequence[bytes]) -> None:
        """Return once it is durable; raise Unavailable where it is not, or may not be."""
        await self.start()
        if self._process is None or self._process.stdin is None:
            raise Unavailable(_gone("it has ended"), retry_after_s=1.0)
        self._process.stdin.writelines(frames)
        try:
            await self._process.stdin.drain()
        except ConnectionError as error:
            await self._lose()
            raise Unavailable(_gone(error), retry_after_s=1.0) from error
        await self._answered(number)

    async def close(self) -> None:
        """End the process once it has committed what it was told."""
        process, self._process = self._process, None
        if process is None or process.stdin is None:
            return
        process.stdin.close()
        try:
            async with asyncio.timeout(_ENOUGH_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _answered(self, number: int) -> None:
        process = self._process
        if process is None or process.stdout is None:
            raise Unavailable(_gone("it has ended"), retry_after_s=1.0)
        try:
            head = await process.stdout.readexactly(HEAD_BYTES)
            rest = await process.stdout.readexactly(frame_bytes(head) - HEAD_BYTES)
            answer = decode(head + rest)
        except (asyncio.IncompleteReadError, ConnectionError, ProtocolError) as error:
            await self._lose()
            raise Unavailable(_gone(error), retry_after_s=1.0) from error
        if isinstance(answer, m.Refusal):
            raise Unavailable(answer.why, retry_after_s=1.0)
        if not isinstance(answer, m.Ack) or answer.number != number:
            await self._lose()
            raise Unavailable(_gone(f"it answered {answer}"), retry_after_s=1.0)

    async def _lose(self) -> None:
        """Let go of a process that cannot be talked to; the next commit starts another."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _gone(found: object) -> str:
    return f"expected an answer of the disk's process, found {found}; see what it has printed"


def _answer(sink: BinaryIO, message: m.Message) -> None:
    with contextlib.suppress(BrokenPipeError):  # the node is gone: finish what it sent
        sink.write(encode(message))
        sink.flush()


def _read(source: BinaryIO) -> bytes | None:
    """Return the next whole frame, or None where the source has ended."""
    head = source.read(HEAD_BYTES)
    if len(head) < HEAD_BYTES:
        return None
    size = frame_bytes(head) - HEAD_BYTES
    rest = source.read(size)
    return None if len(rest) < size else head + rest
