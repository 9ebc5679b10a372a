"""A durable log, against a dictionary, through restarts and crashes at any moment."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec import structs
from record_logs import START_MS

from cellhive.adapters.embedded import copies
from cellhive.adapters.embedded.schema import Durability
from cellhive.adapters.embedded.sqlite_log import SqliteLog
from cellhive.core.errors import Conflict
from cellhive.core.records import Delta, Namespace, Record, RecordKind, Version

IDS = st.sampled_from([f"r{i}" for i in range(8)])
KINDS = st.sampled_from([RecordKind.ACTION, RecordKind.PATTERN])
WORDS = ("rain", "match", "night", "snow")
SPACE = Namespace("cells", 2)


@dataclass(frozen=True)
class Kept:
    """What the dictionary knows of a record."""

    number: int
    kind: RecordKind
    version: Version
    deleted: bool = False


def record(id_: str, number: int, kind: RecordKind) -> Record:
    """Return a record that tells its number by vector, word and payload."""
    return Record("cells", id_, kind, np.array([number, 1], np.float32), {"number": number},
                  WORDS[number % len(WORDS)], bytes(number % 3000))  # fmt: skip


class DurableLog(RuleBasedStateMachine):
    """What is acknowledged is there, whatever happens; the rest is there whole or not at all."""

    key: Callable[[], bytes] | None = None

    def __init__(self) -> None:
        """Begin with an empty folder."""
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="cellhive-"))
        self.path = self.folder / "0" / "memory.db"
        self.path.parent.mkdir()
        self.model: dict[str, Kept] = {}
        self.rows: dict[str, int] = {}
        self.number = self.crashes = self.remote = 0
        self.told: set[tuple[str, int]] = set()
        self.clock_ms = START_MS

    @initialize()
    def begin(self) -> None:
        """Open the first time."""
        self.open()

    def open(self) -> None:
        """Open the memory where it is now."""
        self.log = SqliteLog(self.path, now_ms=lambda: self.clock_ms, node="n", key=self.key,
                             durability=Durability.KILLED_PROCESS)  # fmt: skip
        self.log.declare(SPACE)

    def note(self, records: list[Record], versions: list[Version]) -> None:
        """Take into the dictionary what was acknowledged."""
        for each, version in zip(records, versions, strict=True):
            assert (version.writer, version.sequence) not in self.told
            self.told.add((version.writer, version.sequence))
            known = self.model.get(each.id)
            assert known is None or version > known.version
            number = each.metadata.get("number", 0)
            assert isinstance(number, int)
            self.model[each.id] = Kept(number, each.kind, version, each.deleted)

    def some(self, ids: list[str], kind: RecordKind) -> list[Record]:
        """Return records that were never written before."""
        made = []
        for id_ in ids:
            self.number += 1
            made.append(record(id_, self.number, kind))
        return made

    @rule(ids=st.lists(IDS, min_size=1, max_size=4), kind=KINDS)
    def upsert(self, ids: list[str], kind: RecordKind) -> None:
        """Write records, old and new."""
        records = self.some(ids, kind)
        self.note(records, self.log.put(records))

    @rule(ids=st.lists(IDS, min_size=1, max_size=3), kind=KINDS)
    def add(self, ids: list[str], kind: RecordKind) -> None:
        """Write new records, or none where one of them is taken."""
        records = self.some(ids, kind)
        taken = len(set(ids)) < len(ids) or any(
            x in self.model and not self.model[x].deleted for x in ids
        )
        if taken:
            with pytest.raises(Conflict):
                self.log.put(records, new=True)
        else:
            self.note(records, self.log.put(records, new=True))

    @rule(ids=st.lists(IDS, min_size=1, max_size=3))
    def delete(self, ids: list[str]) -> None:
        """Delete records, there or not."""
        gone = [
            structs.replace(x, vector=None, metadata={}, deleted=True)
            for x in self.some(ids, RecordKind.ACTION)
        ]
        self.note(gone, self.log.put(gone))

    @rule(id_=IDS, kind=KINDS, ahead_ms=st.integers(-5, 5))
    def absorb(self, id_: str, kind: RecordKind, ahead_ms: int) -> None:
        """Take a write of another replica, which may be older than ours."""
        self.remote += 1
        (plain,) = self.some([id_], kind)
        version = Version((self.clock_ms + ahead_ms) << 16, "other~1", self.remote)
        taken = structs.replace(plain, version=version)
        delta = Delta((taken,), {"other~1": self.remote}, complete=True)
        changed = self.log.absorb(delta).result()
        known = self.model.get(id_)
        assert changed == (known is None or version > known.version)
        if changed:
            self.model[id_] = Kept(self.number, kind, version)

    @rule(step=st.integers(-50, 50))
    def turn_the_clock(self, step: int) -> None:
        """Let the wall clock jump, back too."""
        self.clock_ms += step

    @rule()
    def restart(self) -> None:
        """Close and open again."""
        self.log.close()
        self.open()

    @rule(batches=st.lists(st.lists(IDS, min_size=1, max_size=3), max_size=6), kind=KINDS)
    def crash(self, batches: list[list[str]], kind: RecordKind) -> None:
        """Take the files as they are in the middle of writing, and go on with those.

        A copy of what the system has of database, write-ahead log and all, as ``kill -9``
        leaves it. The log is copied first: a fold in between would only move what it has into
        the database, which is copied after.
        """
        queued: list[tuple[list[Record], Future[list[Version]]]] = []
        for ids in batches:
            records = self.some(ids, kind)
            queued.append((records, self.log.submit(records)))
        sure = [(records, future.result()) for records, future in queued if future.done()]
        self.crashes += 1
        copy = self.folder / str(self.crashes) / "memory.db"
        copy.parent.mkdir()
        crash_copy(self.path, copy)
        for _, future in queued:
            future.result()
        self.log.close()
        self.path = copy
        self.open()
        for records, versions in sure:
            self.note(records, versions)
        self.settle(queued[len(sure) :])

    def settle(self, unsure: list[tuple[list[Record], Future[list[Version]]]]) -> None:
        """Take in which of the batches that nobody was told of made it: a first few, whole."""
        reached = self.log.seen()
        missing = False
        for records, future in unsure:
            versions = future.result()
            upto = reached.get(versions[0].writer, 0)
            whole = versions[-1].sequence <= upto
            assert whole or versions[0].sequence > upto
            assert not (whole and missing)
            missing = not whole
            if whole:
                self.note(records, versions)

    @precondition(lambda self: self.model)
    @rule(limit=st.integers(1, 4))
    def scan_in_pages(self, limit: int) -> None:
        """Pages hold what the dictionary holds, in the order of rows."""
        found: list[tuple[int, Record]] = []
        while True:
            after = found[-1][0] if found else 0
            rows, records = self.log.scan("cells", after_row=after, limit=limit)
            if not records:
                break
            found += zip(rows.tolist(), records, strict=True)
        assert [row for row, _ in found] == sorted(row for row, _ in found)
        assert {x.id for _, x in found} == {k for k, v in self.model.items() if not v.deleted}
        for row, each in found:
            assert self.rows.setdefault(each.id, row) == row

    @rule()
    def look_for_words(self) -> None:
        """Words find the records whose present text has them."""
        for i, word in enumerate(WORDS):
            rows, _ = self.log.keyword("cells", word, 99)
            found = {x.id for x in self.log.read("cells", rows) if x is not None}
            assert len(found) == len(rows)
            assert found == {
                k for k, v in self.model.items()
                if not v.deleted and v.number % len(WORDS) == i
            }  # fmt: skip

    @rule()
    def replicate(self) -> None:
        """Another replica that takes everything has everything."""
        delta = self.log.since({}, limit=999)
        assert delta.complete
        assert {x.id: x.version for x in delta.records} == {
            k: v.version for k, v in self.model.items()
        }

    @invariant()
    def agrees(self) -> None:
        """Reading by id, counting and changes agree with the dictionary."""
        if not hasattr(self, "log"):
            return
        found = self.log.get("cells", list(self.model))
        for (id_, kept), each in zip(self.model.items(), found, strict=True):
            if kept.deleted:
                assert each is None
                continue
            assert each is not None
            assert (each.id, each.version, each.kind) == (id_, kept.version, kept.kind)
            assert each.metadata == {"number": kept.number}
            assert each.vector is not None
            assert each.vector.tolist() == [kept.number, 1]
            assert each.payload == bytes(kept.number % 3000)
        alive = [v for v in self.model.values() if not v.deleted]
        assert self.log.count("cells") == len(alive)
        for kind in (RecordKind.ACTION, RecordKind.PATTERN):
            assert self.log.count("cells", kind=kind) == sum(v.kind is kind for v in alive)
        changes = self.log.changes("cells", after=0, limit=999)
        assert len(changes.rows) == len(set(changes.rows.tolist())) == len(self.model)
        numbers = changes.vectors[~changes.deleted, 0].tolist()
        assert sorted(numbers) == sorted(v.number for v in alive)

    def teardown(self) -> None:
        """Look once more for anything wrong, and clean up."""
        if hasattr(self, "log"):
            self.log.close()
            assert copies.problems(self.path) == []
        shutil.rmtree(self.folder)


class SecretLog(DurableLog):
    """The same, encrypted."""

    key = staticmethod(lambda: bytes(range(32)))


def crash_copy(path: Path, copy: Path) -> None:
    """Copy a memory's files as a crash would leave them."""
    for end in ("-wal", ""):
        part = path.with_name(path.name + end)
        if part.exists():
            shutil.copyfile(part, copy.with_name(copy.name + end))


@pytest.mark.parametrize("machine", [DurableLog, SecretLog])
def test_the_log_is_the_dictionary(machine: type[DurableLog]) -> None:
    """Whatever is done, in whatever order, crashes included, the log agrees with a dictionary."""
    run_state_machine_as_test(
        machine, settings=settings(max_examples=15, stateful_step_count=25, deadline=None)
    )
