"""The tail of a shared memory: what is in the log leaves it, and is found all the same."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from cellhive.adapters.quic.searchable import Searchable
from cellhive.core.records import Delta, Namespace, Record, RecordKind, Version
from cellhive.memory.store import Memory
from cellhive.memory.volatile import VolatileLog

SPACE = Namespace("situations", 2)


def record(writer: str, number: int) -> Record:
    """Return a stamped record that lies in a direction of its own."""
    vector = np.array([np.cos(number), np.sin(number)], np.float32)
    version = Version(number << 16, writer, number)
    return Record(SPACE.name, f"{writer}{number}", RecordKind.RESULT, vector, version=version)


def found(memory: Searchable, number: int) -> str:
    """Return the id of what is nearest to where a record lies."""
    vector = np.array([np.cos(number), np.sin(number)], np.float32)
    hits = memory.use(lambda it: it.search(SPACE.name, vector, 1).pairs())
    return hits[0][0].id


def test_what_the_log_has_leaves_the_tail_and_is_still_found() -> None:
    """Up to the first record that is not durable; each is found before, between and after."""
    log = VolatileLog("b")
    log.declare(SPACE)
    memory = Searchable(Memory(log))
    records = [record("a", 1), record("a", 2), record("c", 1 + 3), record("a", 3)]
    memory.note(records)
    log.absorb(Delta(tuple(records[:2]), {"a": 2}, complete=True)).result()
    memory.forget({"a": 2})
    assert len(memory) == 2  # c's is in front of a's third
    memory.forget({"a": 9})
    assert len(memory) == 2
    assert [found(memory, n) for n in (1, 2, 4, 3)] == ["a1", "a2", "c4", "a3"]
    assert len(memory) == 0


def test_a_tail_that_is_searched_is_left_alone() -> None:
    """Nobody waits, and nothing is lost between two that take from the front."""
    log = VolatileLog("b")
    log.declare(SPACE)
    memory = Searchable(Memory(log))
    memory.note([record("a", 1)])
    inside, go = threading.Event(), threading.Event()

    def slow(it: Memory) -> None:
        memory.note([record("a", 2)])
        inside.set()
        assert go.wait(10)

    searcher = threading.Thread(target=lambda: memory.use(slow))
    searcher.start()
    assert inside.wait(10)
    memory.forget({"a": 2})
    assert len(memory) == 1
    go.set()
    searcher.join()
    memory.forget({"a": 2})
    assert len(memory) == 0


def shared_by_sessions() -> bool:
    """Whether the kernel makes a group of every session."""
    switch = Path("/proc/sys/kernel/sched_autogroup_enabled")
    return switch.exists() and switch.read_text().strip() == "1"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process has one priority")
def test_the_thread_that_commits_gives_way_too() -> None:
    """All threads begun after ``give_way`` have its priority; one begun before would not."""
    script = (
        "import os, threading\n"
        "from cellhive.adapters.quic.disk_process import give_way\n"
        "give_way()\n"
        "t = threading.Thread(target=lambda: print(os.getpriority(os.PRIO_PROCESS,"
        " threading.get_native_id())))\n"
        "t.start(); t.join()\n"
    )
    told = subprocess.run(  # noqa: S603  # our own script
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert int(told.stdout) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)


@pytest.mark.skipif(not shared_by_sessions(), reason="sessions do not share the processor here")
@pytest.mark.parametrize("own", [True, False])
def test_its_session_gives_way_too(own: bool) -> None:
    """Among sessions only their own priorities count; that of somebody else is left alone."""
    script = (
        "import os, pathlib\n"
        "from cellhive.adapters.quic.disk_process import give_way\n"
        "session = pathlib.Path('/proc/self/autogroup')\n"
        "before = session.read_text()\n"
        "give_way()\n"
        "print(before != session.read_text(), os.sched_getscheduler(0) == os.SCHED_BATCH)\n"
    )
    told = subprocess.run(  # noqa: S603  # our own script
        [sys.executable, "-c", script],
        capture_output=True, text=True, check=True, start_new_session=own,
    )  # fmt: skip
    assert told.stdout.split() == [str(own), "True"]
