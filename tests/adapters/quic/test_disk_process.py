"""The disk in a process of its own: what it answered is on disk, whoever is killed when."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cellhive.adapters.embedded.sqlite_log import SqliteLog
from cellhive.adapters.quic.disk_process import DiskProcess, commit_all, commit_frames
from cellhive.core.errors import ProtocolError, Unavailable
from cellhive.core.records import Namespace, Record, RecordKind, Version
from cellhive.memory import messages as m
from cellhive.memory.batches.together import Together
from cellhive.memory.codec import Frames, decode, encode
from cellhive.memory.volatile import VolatileLog

SPACE = Namespace("situations", 4)
SCRIPT = Path(__file__).with_name("disk_script.py")


def now_ms() -> int:
    """Return the wall clock."""
    return time.time_ns() // 1_000_000


def record(number: int, payload: bytes = b"") -> Record:
    """Return a record as a node stamps it."""
    vector = np.full(4, number, np.float32)
    version = Version(number << 16, "a~1+live", number)
    return Record(
        SPACE.name, f"r{number}", RecordKind.RESULT, vector, payload=payload, version=version
    )


def log_at(path: Path) -> SqliteLog:
    """Open a log that has the namespace."""
    log = SqliteLog(path, now_ms=now_ms)
    log.declare(SPACE)
    return log


async def commit(process: DiskProcess, first: int, last: int) -> None:
    """Have records committed in one go."""
    number = process.next_number()
    records = [record(i) for i in range(first, last + 1)]
    await process.commit(number, commit_frames(number, [records], {"a~1+live": last}))


def test_lots_are_committed_in_their_order_and_covered_with_the_last() -> None:
    """One frame for each lot, and one more where it is too much for one."""
    lots = [
        [record(1), record(2)],
        Together(record(i) for i in range(3, 9)),
        [record(9)],
        Together(record(i, bytes(2 << 20)) for i in range(10, 14)),
    ]
    batches = [decode(frame) for frame in commit_frames(5, lots, {"a~1+live": 13})]
    assert all(isinstance(batch, m.Batch) for batch in batches)
    found = [batch for batch in batches if isinstance(batch, m.Batch)]
    assert [record.id for batch in found for record in batch.records] == [
        f"r{i}" for i in range(1, 14)
    ]
    assert [len(batch.records) for batch in found[:3]] == [2, 6, 1]
    assert [batch.complete for batch in found] == [False] * (len(found) - 1) + [True]
    assert [dict(batch.covers) for batch in found if batch.covers] == [{"a~1+live": 13}]


def test_what_was_answered_is_in_the_log_of_everybody(tmp_path: Path) -> None:
    """Commits come back one by one, and another opening of the log finds them."""
    log = log_at(tmp_path / "memory.db")

    async def run() -> None:
        process = DiskProcess((sys.executable, str(SCRIPT), str(log.path)))
        for i in range(5):
            await commit(process, 10 * i + 1, 10 * i + 10)
            assert log.seen()["a~1+live"] == 10 * i + 10
        await process.close()

    asyncio.run(run())
    assert log.count(SPACE.name) == 50
    log.close()


def test_a_killed_process_loses_nothing_answered_and_another_takes_over(tmp_path: Path) -> None:
    """Who waits is told; the next commit starts a process and succeeds."""
    log = log_at(tmp_path / "memory.db")

    async def run() -> None:
        process = DiskProcess((sys.executable, str(SCRIPT), str(log.path)))
        await commit(process, 1, 10)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(Unavailable, match="disk's process"):
            await commit(process, 11, 20)
        await commit(process, 11, 30)
        await process.close()

    asyncio.run(run())
    assert log.seen()["a~1+live"] == 30
    assert log.count(SPACE.name) == 30
    log.close()


def test_what_the_log_refuses_is_said_and_the_process_goes_on(tmp_path: Path) -> None:
    """An undeclared namespace fails one commit, not the ones after it."""
    log = SqliteLog(tmp_path / "memory.db", now_ms=now_ms)

    async def run() -> None:
        process = DiskProcess((sys.executable, str(SCRIPT), str(log.path)))
        with pytest.raises(Unavailable, match="NotFound"):
            await commit(process, 1, 1)
        log.declare(SPACE)
        await commit(process, 1, 2)
        await process.close()

    asyncio.run(run())
    assert log.count(SPACE.name) == 2
    log.close()


def test_a_process_that_cannot_open_the_log_is_said_at_once(tmp_path: Path) -> None:
    """A node does not start beside a disk that does not."""

    async def run() -> None:
        with pytest.raises(Unavailable, match="disk's process"):
            await DiskProcess((sys.executable, "-c", "")).start()

    asyncio.run(run())
    assert not list(tmp_path.iterdir())


def test_frames_that_end_in_the_middle_commit_nothing_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A node killed while it wrote leaves part of a commit, of which nothing is kept."""
    monkeypatch.setattr(os, "nice", lambda _: 0)
    log = VolatileLog("b")
    log.declare(SPACE)
    whole = b"".join(commit_frames(1, [[record(1)]], {"a~1+live": 1}))
    large = [record(i, payload=bytes(3 << 20)) for i in (2, 3)]
    cut = commit_frames(2, [large], {"a~1+live": 3})
    assert len(cut) == 2
    sink = io.BytesIO()
    commit_all(log, io.BytesIO(whole + cut[0] + cut[1][:-1]), sink)
    assert [decode(frame) for frame in Frames().feed(sink.getvalue())] == [
        m.Ack(0, {}, {}), m.Ack(1, {}, {}),
    ]  # fmt: skip
    assert log.seen()["a~1+live"] == 1
    assert log.get(SPACE.name, ["r1", "r2"])[1] is None


def test_anything_but_a_batch_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipe carries commits only."""
    monkeypatch.setattr(os, "nice", lambda _: 0)
    with pytest.raises(ProtocolError, match="a batch"):
        commit_all(VolatileLog("b"), io.BytesIO(encode(m.Ack(1, {}, {}))), io.BytesIO())
