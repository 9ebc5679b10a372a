"""What every record log does, whatever it is made of."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from record_logs import CELLS, OTHERS, START_MS, Stores

from cellhive.core.errors import BadInput, CellHiveError, Conflict, NotFound
from cellhive.core.ports import RecordLog
from cellhive.core.records import (
    Delta,
    Metric,
    Namespace,
    Record,
    RecordKind,
    Rows,
    Version,
)
from cellhive.memory.versions import MOST_AHEAD_MS, every_record


def record(id: str, number: float = 1.0, **changed: Any) -> Record:  # noqa: A002
    """Return a record of the first namespace whose vector tells which one it is."""
    vector = np.array([number, 2.0, 3.0, 4.0], np.float32)
    return Record(**{"namespace": "cells", "id": id, "kind": RecordKind.RESULT,
                     "vector": vector, **changed})  # fmt: skip


def tombstone(id: str, **changed: Any) -> Record:  # noqa: A002
    """Return what deletes a record."""
    return record(id, vector=None, deleted=True, **changed)


def stamped(id: str, number: float, writer: str, sequence: int, ahead_ms: int = 0) -> Record:  # noqa: A002
    """Return a record as another replica wrote it."""
    version = Version((START_MS + ahead_ms) << 16, writer, sequence)
    return record(id, number, version=version)


def number_of(log: RecordLog, id: str) -> float | None:  # noqa: A002
    """Return which of several records of an id is there."""
    found = log.get("cells", [id])[0]
    if found is None:
        return None
    assert found.vector is not None
    return float(found.vector[0])


def same(one: Record, other: Record) -> bool:
    """Whether two records agree in everything, vectors bit by bit."""
    vectors = [b"none" if x.vector is None else x.vector.tobytes() for x in (one, other)]
    plain = [structs.replace(x, vector=None) for x in (one, other)]
    facts = [
        (x.key, x.kind, dict(x.metadata), x.text, x.payload, x.time_s, x.origin, x.version,
         x.deleted) for x in plain
    ]  # fmt: skip
    return vectors[0] == vectors[1] and facts[0] == facts[1]


def contents(log: RecordLog) -> list[tuple[Any, ...]]:
    """Return all that a log would tell another replica, tombstones included."""
    delta = log.since({}, limit=100_000)
    assert delta.complete
    return sorted(
        (x.key, x.version, x.deleted, None if x.vector is None else x.vector.tobytes(), x.text)
        for x in delta.records
    )


def catch_up(target: RecordLog, source: RecordLog, limit: int) -> None:
    """Carry over whatever one log lacks of another, in batches."""
    for _ in range(10_000):
        delta = source.since(target.seen(), limit=limit)
        assert len(delta.records) <= limit
        target.absorb(delta).result()
        if delta.complete:
            return
    pytest.fail("batches never end")


def all_rows(log: RecordLog, namespace: str = "cells") -> Rows:
    """Return the rows of a namespace."""
    return log.scan(namespace, limit=100_000)[0]


# --- openings and namespaces ---------------------------------------------------------------


def test_every_opening_has_a_writer_of_its_own(stores: Stores) -> None:
    """A writer is called after its node and differs from opening to opening."""
    names = []
    for _ in range(3):
        log = stores.open("one", node="north")
        names.append(log.writer)
        log.close()
    assert all(name.startswith("north~") for name in names)
    if stores.keeps:
        assert len(set(names)) == 3


def test_namespaces_are_those_declared(log: RecordLog) -> None:
    """What is declared comes back as it was, and declaring it again changes nothing."""
    full = Namespace("full", 7, Metric.INNER_PRODUCT, features=tuple("abcdefg"))
    log.declare(full)
    log.declare(full)
    assert dict(log.namespaces()) == {"cells": CELLS, "others": OTHERS, "full": full}


@pytest.mark.parametrize(
    "other", [replace(CELLS, dimension=5, features=()), replace(CELLS, metric=Metric.L2)]
)
def test_a_namespace_is_declared_one_way_only(log: RecordLog, other: Namespace) -> None:
    """A declaration that differs from an earlier one is refused and changes nothing."""
    with pytest.raises(Conflict, match="cells"):
        log.declare(other)
    assert log.namespaces()["cells"] == CELLS


def test_what_is_not_declared_is_not_found(log: RecordLog) -> None:
    """Every method that takes a namespace says so where it is not declared."""
    stranger = record("a", namespace="nowhere")
    attempts: list[Callable[[], object]] = [
        lambda: log.put([stranger]),
        lambda: log.put([record("a"), stranger]),
        lambda: log.submit([stranger]).result(),
        lambda: log.absorb(Delta((stranger,), {}, complete=True)).result(),
        lambda: log.get("nowhere", ["a"]),
        lambda: log.read("nowhere", np.array([1], np.int64)),
        lambda: log.scan("nowhere", limit=1),
        lambda: log.count("nowhere"),
        lambda: log.changes("nowhere", after=0, limit=1),
        lambda: log.keyword("nowhere", "a", 1),
    ]
    for attempt in attempts:
        with pytest.raises(NotFound, match="nowhere"):
            attempt()
    assert log.get("cells", ["a"]) == [None]


# --- put, submit, get ------------------------------------------------------------------------

FULL = record(
    "cell 7/ä\N{SNOWMAN}", 0.1, kind=RecordKind.PATTERN, time_s=-12.25, origin="agent 3",
    metadata={"region": "north", "load": 0.75, "users": 12, "zero": 0, "one": 1.0, "busy": True,
              "tags": ("rain", "match"), "none": None, "no tags": (), "long": "x" * 5000},
    text="Too early handovers in the rain", payload=bytes(range(256)) * 40,
)  # fmt: skip


@pytest.mark.parametrize(
    "original",
    [
        FULL,
        record("plain"),
        record("no vector", vector=None, text="found by id only"),
        record("extremes", vector=np.array([-0.0, 1e-45, 3.4e38, -1.5], np.float32)),
        record("", payload=b"\0"),
        record("strided", vector=np.arange(8, dtype=np.float32)[::2]),
    ],
    ids=lambda x: x.id[:6],
)
def test_a_record_comes_back_as_it_was(log: RecordLog, original: Record) -> None:
    """Every field returns, with its type, and the vector bit by bit."""
    version = log.put([original])[0]
    found = log.get("cells", [original.id])[0]
    assert found is not None
    assert same(found, structs.replace(original, version=version))
    kinds = {name: type(value) for name, value in original.metadata.items()}
    assert {name: type(value) for name, value in found.metadata.items()} == kinds


@pytest.mark.parametrize("kind", list(RecordKind))
def test_every_kind_comes_back(log: RecordLog, kind: RecordKind) -> None:
    """Kinds are kept."""
    log.put([record("a", kind=kind)])
    found = log.get("cells", ["a"])[0]
    assert found is not None
    assert found.kind is kind


def test_get_answers_in_the_order_of_the_question(log: RecordLog) -> None:
    """Ids may come in any order and twice; what is not there is None."""
    log.put([record(f"r{i}", i) for i in range(1000)])
    ids = [f"r{i}" for i in (*range(999, -1, -7), 5, 5)] + ["missing"]
    found = log.get("cells", ids)
    assert [None if x is None else x.id for x in found] == [*ids[:-1], None]
    assert log.get("cells", []) == []
    assert log.get("others", ["r1"]) == [None]


def test_namespaces_do_not_share_ids(log: RecordLog) -> None:
    """A record of the same id in another namespace is another record."""
    twin = record("a", namespace="others", vector=np.ones(2, np.float32))
    log.put([record("a", 7.0), twin])
    log.put([tombstone("a")])
    assert number_of(log, "a") is None
    found = log.get("others", ["a"])[0]
    assert found is not None
    assert found.namespace == "others"


def test_versions_rise_by_one_and_in_time(log: RecordLog) -> None:
    """Sequences of a writer have no gap, times only rise, and records carry their versions."""
    first = log.put([record("a"), record("b")])
    second = log.put([record("a")])
    versions = [*first, *second]
    assert [x.sequence for x in versions] == [1, 2, 3]
    assert {x.writer for x in versions} == {log.writer}
    times = [x.time_hlc for x in versions]
    assert times == sorted(set(times))
    assert times[0] >> 16 == START_MS
    found = log.get("cells", ["a", "b"])
    assert [x.version for x in found if x] == [versions[2], versions[1]]


def test_nothing_to_put_is_no_write(log: RecordLog) -> None:
    """An empty batch is answered with nothing."""
    assert log.put([]) == []
    assert log.submit([]).result() == []
    assert dict(log.seen()) == {}


def test_the_last_of_a_batch_wins(log: RecordLog) -> None:
    """A batch that holds an id twice leaves the later one, and counts both."""
    versions = log.put([record("a", 1.0), record("a", 2.0), tombstone("b"), record("b", 3.0)])
    assert (number_of(log, "a"), number_of(log, "b")) == (2.0, 3.0)
    assert log.seen()[log.writer] == 4
    assert [x.sequence for x in versions] == [1, 2, 3, 4]
    assert log.count("cells") == 2


def test_new_records_replace_nothing(log: RecordLog) -> None:
    """With ``new`` a batch is written whole, or refused whole where an id is taken."""
    log.put([record("a", 1.0)], new=True)
    with pytest.raises(Conflict, match="'a'"):
        log.put([record("b", 2.0), record("a", 2.0)], new=True)
    with pytest.raises(Conflict, match="'c'"):
        log.put([record("c", 2.0), record("c", 3.0)], new=True)
    assert [number_of(log, x) for x in "abc"] == [1.0, None, None]
    assert log.seen()[log.writer] == 1
    log.put([tombstone("a")])
    log.put([record("a", 4.0)], new=True)
    assert number_of(log, "a") == 4.0


@pytest.mark.parametrize(
    "bad",
    [
        record("a", vector=np.ones(3, np.float32)),
        record("a", vector=np.ones((1, 4), np.float32)),
        record("a", time_s=float("nan")),
        record("a", text="\ud800"),
        record("\ud800"),
        record("a", metadata={"huge": 2**70}),
        record("a", metadata={"object": object()}),
        record("a", version=Version(2**63, "far~1", 1)),
        record("a", version=Version(1, "far~1", 2**63)),
        record("a", version=Version(1, "", 1)),
    ],
    ids=["short", "matrix", "no time", "text", "id", "integer", "object", "time", "sequence",
         "writer"],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused_whole(lasting: Stores, bad: Record) -> None:
    """A record that could not come back as it was is bad input, and its batch changes nothing."""
    log = lasting.open()
    with pytest.raises(BadInput):
        log.put([record("good"), bad])
    with pytest.raises(BadInput):
        log.submit([bad]).result()
    assert log.get("cells", ["good"]) == [None]
    assert log.put([record("good")])[0].sequence == 1


def test_a_submission_is_there_when_its_future_says_so(log: RecordLog) -> None:
    """Submissions are written in order, each whole."""
    futures = [log.submit([record("a", float(i)), record(f"r{i}")]) for i in range(50)]
    assert [x.result()[0].sequence for x in futures] == [2 * i + 1 for i in range(50)]
    assert number_of(log, "a") == 49.0
    assert log.count("cells") == 51


def test_a_refused_put_does_not_harm_its_neighbours(lasting: Stores) -> None:
    """Writes that share a commit succeed or fail each by itself."""
    log = lasting.open()
    log.put([record("taken")])

    def write(i: int) -> bool:
        try:
            log.put([record("taken" if i % 3 == 0 else f"r{i}")], new=True)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(write, range(60)))
    assert written == [i % 3 != 0 for i in range(60)]
    assert log.count("cells") == 41
    assert log.seen()[log.writer] == 41


def test_many_threads_write_and_read(lasting: Stores) -> None:
    """Threads that write together get numbers without gap or repeat, and lose nothing."""
    log = lasting.open()

    def write(thread: int) -> list[int]:
        sequences = []
        for i in range(20):
            sequences.append(log.put([record(f"{thread}/{i}", thread)])[0].sequence)
            assert number_of(log, f"{thread}/{i}") == thread
        return sequences

    with ThreadPoolExecutor(8) as pool:
        sequences = list(itertools.chain.from_iterable(pool.map(write, range(8))))
    assert sorted(sequences) == list(range(1, 161))
    assert log.count("cells") == 160


# --- versions ----------------------------------------------------------------------------------


def test_a_local_write_wins_over_a_clock_ahead(stores: Stores) -> None:
    """What replaces a record of a replica whose clock runs ahead is later all the same."""
    log, other = stores.open("one"), stores.open("two")
    future = stamped("a", 1.0, "far~1", 1, ahead_ms=3_600_000)
    for each in (log, other):
        each.put([future])
    version = log.put([record("a", 2.0)])[0]
    assert version > future.version
    stores.clock.now_ms -= 7_200_000
    assert log.put([record("b")])[0].time_hlc > version.time_hlc
    catch_up(other, log, 10)
    assert number_of(other, "a") == 2.0


def test_only_a_later_version_replaces(log: RecordLog) -> None:
    """Time decides, then the writer's name, then its sequence; the rest counts as seen."""
    log.put([stamped("a", 1.0, "m~1", 1)])
    for losing in (stamped("a", 2.0, "z~1", 1, ahead_ms=-1), stamped("a", 3.0, "b~1", 1)):
        assert log.put([losing]) == [losing.version]
        assert number_of(log, "a") == 1.0
    for number, winning in ((4.0, ("m~1", 2, 0)), (5.0, ("n~1", 1, 0)), (6.0, ("a~1", 1, 1))):
        log.put([stamped("a", number, *winning)])
        assert number_of(log, "a") == number
    assert dict(log.seen()) == {"m~1": 2, "z~1": 1, "b~1": 1, "n~1": 1, "a~1": 1}


def test_the_same_write_twice_changes_nothing(log: RecordLog) -> None:
    """A version that is there already is no change."""
    once = stamped("a", 1.0, "far~1", 1)
    log.put([once])
    change = log.last_change()
    log.put([once])
    assert log.absorb(Delta((once,), {"far~1": 1}, complete=True)).result() == 0
    assert log.last_change() == change


def test_an_old_write_does_not_bring_back_what_was_deleted(log: RecordLog) -> None:
    """A tombstone wins over older writes and loses to newer ones."""
    gone = structs.replace(tombstone("a"), version=Version((START_MS + 5) << 16, "far~1", 2))
    log.put([gone])
    log.put([stamped("a", 1.0, "far~1", 1)])
    assert number_of(log, "a") is None
    log.put([stamped("a", 2.0, "far~1", 3, ahead_ms=6)])
    assert number_of(log, "a") == 2.0
    assert log.seen()["far~1"] == 3


def test_nobody_else_writes_in_our_name(lasting: Stores) -> None:
    """A record of this very opening that it has not written is refused."""
    log = lasting.open()
    log.put([record("a")])
    forged = record("b", version=Version(START_MS << 16, log.writer, 2))
    with pytest.raises(BadInput, match="writer"):
        log.put([forged])
    with pytest.raises(BadInput, match="writer"):
        log.absorb(Delta((), {log.writer: 2}, complete=True)).result()
    assert log.put([record("b")])[0].sequence == 2


WRITERS = st.sampled_from(["a~1", "b~1", "c~1"])
WRITES = st.lists(
    st.tuples(st.sampled_from("xyz"), WRITERS, st.integers(0, 3), st.booleans()),
    min_size=1, max_size=12,
)  # fmt: skip


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(writes=WRITES, data=st.data())
def test_the_order_of_arrival_does_not_matter(
    stores: Stores, writes: list[tuple[str, str, int, bool]], data: st.DataObject
) -> None:
    """Two logs that take the same writes, in any order and any batches, end up alike."""
    if not stores.opened:
        stores.open("one")
        stores.open("two")
    one, two = stores.opened
    known, example = len(one.seen()), f"-{one.last_change()}"  # ids and writers of earlier examples
    counts: dict[str, int] = {}
    taken = []
    for i, (id_, name, time_ms, deleted) in enumerate(writes):
        writer = name + example
        counts[writer] = counts.get(writer, 0) + 1
        plain = stamped(id_ + example, float(i), writer, counts[writer], time_ms)
        taken.append(structs.replace(plain, deleted=True, vector=None) if deleted else plain)
    order = data.draw(st.permutations(taken))  # may end the example: nothing is written yet
    one.put(taken)
    for write in order:
        two.put([write])
    expected: dict[str, Record] = {}
    for write in taken:
        if write.id not in expected or write.version > expected[write.id].version:
            expected[write.id] = write
    assert contents(one) == contents(two)
    held = {x[0][1]: x[1] for x in contents(one) if x[0][1].endswith(example)}
    assert held == {k: v.version for k, v in expected.items()}
    assert dict(one.seen()) == dict(two.seen())
    assert {k: v for k, v in one.seen().items() if k.endswith(example)} == counts
    assert len(one.seen()) == known + len(counts)


# --- deletes, rows, scan, count ------------------------------------------------------------------


def test_a_deleted_record_is_gone_everywhere(log: RecordLog) -> None:
    """Reading by id and by row, scanning, counting and looking for words leave it out."""
    log.put([record("a", text="gone words"), record("b", text="kept words")])
    rows = all_rows(log)
    log.put([tombstone("a")])
    assert number_of(log, "a") is None
    assert [x and x.id for x in log.read("cells", rows)] == [None, "b"]
    assert [x.id for x in log.scan("cells", limit=9)[1]] == ["b"]
    assert log.count("cells") == 1
    assert log.keyword("cells", "gone", 9)[0].tolist() == []
    log.put([tombstone("a")])
    assert log.count("cells") == 1


def test_deleting_what_was_never_there_is_remembered(log: RecordLog) -> None:
    """A tombstone is a write like any other, for other replicas may have the record."""
    version = log.put([tombstone("a")])[0]
    assert log.count("cells") == 0
    assert [(x.id, x.deleted, x.version) for x in log.since({}, limit=9).records] == [
        ("a", True, version)
    ]


def test_a_tombstone_keeps_nothing_of_the_record(lasting: Stores) -> None:
    """What was deleted is not handed to other replicas."""
    log = lasting.open()
    log.put([FULL])
    log.put([structs.replace(FULL, deleted=True)])
    (gone,) = log.since({}, limit=9).records
    assert gone.deleted
    assert (gone.vector, dict(gone.metadata), gone.text, gone.payload) == (None, {}, "", b"")


def test_a_tombstone_keeps_its_label_of_privacy(lasting: Stores) -> None:
    """That a private record is gone is as private as the record was."""
    log = lasting.open()
    log.put([record("a", metadata={"privacy": "private", "load": 0.5})])
    log.put([tombstone("a", metadata={"privacy": "private", "load": 0.5})])
    (gone,) = log.since({}, limit=9).records
    assert dict(gone.metadata) == {"privacy": "private"}


def test_a_record_keeps_its_row_for_life(log: RecordLog) -> None:
    """Updates, deletion and return leave the row; rows are counted from 1 without gaps."""
    log.put([record(x) for x in "abc"])
    before = dict(zip("abc", all_rows(log).tolist(), strict=True))
    assert sorted(before.values()) == [1, 2, 3]
    log.put([record("b", 5.0), record("x", namespace="others", vector=None)])
    log.put([tombstone("a")])
    log.put([record("a", 6.0), record("d"), record("b")])
    rows, records = log.scan("cells", limit=9)
    assert dict(zip([x.id for x in records], rows.tolist(), strict=True)) == {**before, "d": 4}
    assert all_rows(log, "others").tolist() == [1]


def test_read_answers_in_the_order_of_the_question(log: RecordLog) -> None:
    """Rows may come in any order and twice; what was never written is None."""
    log.put([record(f"r{i}", i) for i in range(600)])
    rows, records = log.scan("cells", limit=600)
    name = {int(row): x.id for row, x in zip(rows, records, strict=True)}
    asked = np.array([*rows[::-3], rows[0], rows[0], 10**6, 0, -1], np.int64)
    found = log.read("cells", asked)
    assert [x and x.id for x in found] == [name.get(int(row)) for row in asked]
    assert log.read("cells", np.zeros(0, np.int64)) == []


def test_scan_pages_in_order_of_rows(log: RecordLog) -> None:
    """Pages that follow one another hold each record once."""
    kinds = (RecordKind.ACTION, RecordKind.OUTCOME)
    log.put([record(f"r{i}", kind=kinds[i % 2]) for i in range(25)])
    log.put([tombstone("r4")])
    for kind in (None, *kinds):
        pages, after = [], 0
        for _ in range(20):
            rows, records = log.scan("cells", kind=kind, after_row=after, limit=4)
            assert len(rows) == len(records) <= 4
            if not records:
                break
            pages += list(zip(rows.tolist(), records, strict=True))
            after = pages[-1][0]
        assert [row for row, _ in pages] == sorted({row for row, _ in pages})
        wanted = {f"r{i}" for i in range(25) if i != 4 and kind in (None, kinds[i % 2])}
        assert {x.id for _, x in pages} == wanted
        assert log.count("cells", kind=kind) == len(wanted)
    assert log.count("others") == 0


def test_count_follows_a_change_of_kind(log: RecordLog) -> None:
    """A record that becomes another kind is counted there."""
    log.put([record("a", kind=RecordKind.ACTION)])
    log.put([record("a", kind=RecordKind.OUTCOME)])
    assert log.count("cells", kind=RecordKind.ACTION) == 0
    assert log.count("cells", kind=RecordKind.OUTCOME) == 1
    assert log.count("cells") == 1


# --- changes -------------------------------------------------------------------------------------


def test_changes_tell_each_row_once_as_it_stands(log: RecordLog) -> None:
    """Changes come in the order of their commits, with vectors and deletions."""
    assert log.changes("cells", after=0, limit=9).rows.tolist() == []
    log.put([record("a", 1.0), record("b", 2.0)])
    log.put([record("c", vector=None)])
    log.put([record("a", 3.0), tombstone("b")])
    rows = {x.id: int(row) for row, x in zip(*log.scan("cells", limit=9), strict=True)}
    changes = log.changes("cells", after=0, limit=9)
    assert changes.rows[[0, 1]].tolist() == [rows["c"], rows["a"]]
    assert changes.rows.dtype == np.int64
    assert changes.vectors.dtype == np.float32
    assert changes.deleted.tolist() == [False, False, True]
    assert changes.with_vector.tolist() == [False, True, False]
    assert changes.vectors.tolist() == [[0] * 4, [3, 2, 3, 4], [0] * 4]
    assert changes.last == log.last_change()


def test_changes_follow_on(log: RecordLog) -> None:
    """Whoever asks on from ``last`` misses nothing and hears nothing twice."""
    told: list[int] = []
    after = 0
    for i in range(30):
        log.put([record(f"r{i}", i)])
        log.put([record(f"o{i}", namespace="others", vector=None)])
        if i % 7 == 0:
            changes = log.changes("cells", after=after, limit=3)
            told += changes.rows.tolist()
            after = changes.last
    for _ in range(30):
        changes = log.changes("cells", after=after, limit=3)
        told += changes.rows.tolist()
        assert changes.last >= after
        after = changes.last
    assert told == all_rows(log).tolist()
    assert after <= log.last_change()
    assert log.changes("cells", after=log.last_change(), limit=3).rows.tolist() == []


def test_the_number_of_the_last_change_rises_with_every_change(log: RecordLog) -> None:
    """What reads the number before and after a write sees that something happened."""
    numbers = [log.last_change()]
    for write in (record("a"), record("a"), tombstone("a"), stamped("b", 1.0, "far~1", 1)):
        log.put([write])
        numbers.append(log.last_change())
    assert numbers == sorted(set(numbers))
    log.put([stamped("b", 2.0, "far~1", 2, ahead_ms=-5)])
    assert log.last_change() == numbers[-1]


# --- words ---------------------------------------------------------------------------------------


def found_by(log: RecordLog, text: str, limit: int = 9) -> list[str]:
    """Return the ids that words find, best first."""
    rows, scores = log.keyword("cells", text, limit)
    assert rows.dtype == np.int64
    assert scores.dtype == np.float32
    assert len(rows) == len(scores) <= limit
    assert scores.tolist() == sorted(scores.tolist(), reverse=True)
    return [x.id for x in log.read("cells", rows) if x is not None]


def test_words_find_the_text_that_has_them(log: RecordLog) -> None:
    """Any of the words will do, more of them are better, and case does not matter."""
    log.put([
        record("rain", text="Handovers fail in the rain"),
        record("match", text="handovers fail after the match, match after match"),
        record("sleep", text="A cell that sleeps"),
        record("none"),
        record("other", namespace="others", vector=None, text="rain in another namespace"),
    ])  # fmt: skip
    assert found_by(log, "RAIN") == ["rain"]
    assert set(found_by(log, "handovers")) == {"rain", "match"}
    assert found_by(log, "rain fail")[0] == "rain"
    assert set(found_by(log, "rain sleeps")) == {"rain", "sleep"}
    assert found_by(log, "handovers fail", limit=1)[0] in {"rain", "match"}
    assert found_by(log, "snow") == []
    assert found_by(log, "") == []


def test_words_of_an_earlier_text_no_longer_find(log: RecordLog) -> None:
    """A record is found by the text it has now."""
    log.put([record("a", text="before")])
    assert found_by(log, "before") == ["a"]
    log.put([record("a", text="after")])
    assert (found_by(log, "before"), found_by(log, "after")) == ([], ["a"])
    log.put([record("a")])
    assert found_by(log, "after") == []
    log.put([tombstone("a")])
    log.put([record("a", text="again")])
    assert found_by(log, "again") == ["a"]


HOSTILE = [
    '"', '""', "'", "*", "a*", "(", ")", "((", "NEAR(", "NEAR/3", "AND", "OR", "NOT", "a AND",
    "-", "^a", "text:", "col : x", "{a b}:", "a + b", "\\", "%", "_", ";", "--", "\0", "a\0b", ":*",
    "!", "|", "&", "<->", "\N{SNOWMAN}", "\U0001f4e1", "' OR 1=1 --", "x" * 5000,
    " ".join(f"w{i}" for i in range(2000)),
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_words_are_never_commands(log: RecordLog, text: str) -> None:
    """Whatever is typed is taken for words, and none of it breaks the question."""
    log.put([record("plain", text="plain rain")])
    assert found_by(log, text) == []
    assert found_by(log, f"rain {text}") == ["plain"]


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_text_can_be_kept_and_looked_for(stores: Stores, text: str) -> None:
    """No text breaks the store or the search."""
    log = stores.opened[0] if stores.opened else stores.open()
    version = log.put([record("a", text=text)])[0]
    found = log.get("cells", ["a"])[0]
    assert found is not None
    assert (found.text, found.version) == (text, version)
    assert found_by(log, text) in ([], ["a"])


# --- replicas ------------------------------------------------------------------------------------


def test_seen_tells_up_to_where_all_is_known(log: RecordLog) -> None:
    """A write that arrives before an earlier one of its writer does not hide the gap."""
    assert dict(log.seen()) == {}
    log.put([record("a"), record("b")])
    log.put([stamped("c", 1.0, "far~1", 3)])
    assert dict(log.seen()) == {log.writer: 2}
    log.put([stamped("d", 1.0, "far~1", 1)])
    assert log.seen()["far~1"] == 1
    log.put([stamped("e", 1.0, "far~1", 2)])
    assert 2 <= log.seen()["far~1"] <= 3
    log.absorb(Delta((), {"far~1": 3, "new~1": 7}, complete=True)).result()
    assert dict(log.seen()) == {log.writer: 2, "far~1": 3, "new~1": 7}
    log.absorb(Delta((), {"far~1": 1}, complete=True)).result()
    assert log.seen()["far~1"] == 3


def test_since_tells_what_is_lacking_and_no_more(log: RecordLog) -> None:
    """Records come by writer and sequence, the latest of each only, and say what they cover."""
    log.put([record("a"), record("b"), record("a"), tombstone("b"), record("c")])
    log.put([stamped("d", 1.0, "~far~1", 1), stamped("e", 1.0, "~far~1", 2)])
    delta = log.since({}, limit=99)
    told = [(x.version.writer, x.version.sequence, x.id, x.deleted) for x in delta.records]
    ours = [(log.writer, 3, "a", False), (log.writer, 4, "b", True), (log.writer, 5, "c", False)]
    assert told == sorted([*ours, ("~far~1", 1, "d", False), ("~far~1", 2, "e", False)])
    assert delta.complete
    assert dict(delta.covers) == dict(log.seen()) == {log.writer: 5, "~far~1": 2}
    rest = log.since({log.writer: 4, "~far~1": 9, "stranger~1": 3}, limit=99)
    assert [x.id for x in rest.records] == ["c"]
    assert dict(rest.covers) == {log.writer: 5}
    nothing = log.since(log.seen(), limit=99)
    assert (nothing.records, dict(nothing.covers), nothing.complete) == ((), {}, True)


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_batches_cover_exactly_what_they_bring(stores: Stores, limit: int) -> None:
    """After each batch the other replica knows all of each writer up to what it covers."""
    source, target = stores.open("one"), stores.open("two")
    for i in range(12):
        source.put([record(f"r{i % 5}", i), stamped(f"s{i % 4}", i, "far~1", i + 1, i)])
        source.put([stamped(f"t{i}", i, "near~2", i + 1)])
    for _ in range(200):
        known = dict(target.seen())
        delta = source.since(known, limit=limit)
        assert len(delta.records) <= limit
        for writer, upto in delta.covers.items():
            assert upto > known.get(writer, 0)
            lacking = {
                x.version.sequence
                for x in source.since({w: 10**9 for w in source.seen() if w != writer}, limit=99)
                .records
                if known.get(writer, 0) < x.version.sequence <= upto
            }  # fmt: skip
            brought = {x.version.sequence for x in delta.records if x.version.writer == writer}
            assert brought == lacking
        assert {x.version.writer for x in delta.records} <= set(delta.covers)
        target.absorb(delta).result()
        if delta.complete:
            break
    assert contents(target) == contents(source)
    assert dict(target.seen()) == dict(source.seen())


def test_since_does_not_promise_beyond_a_gap(stores: Stores) -> None:
    """What arrived out of turn is told only once what came before it is known."""
    source, target = stores.open("one"), stores.open("two")
    source.put([stamped("a", 1.0, "far~1", 1), stamped("c", 1.0, "far~1", 3)])
    delta = source.since({}, limit=9)
    assert dict(delta.covers) == {"far~1": 1}
    target.absorb(delta).result()
    source.put([stamped("b", 1.0, "far~1", 2)])
    source.absorb(Delta((), {"far~1": 3}, complete=True)).result()
    catch_up(target, source, 9)
    assert [number_of(target, x) for x in "abc"] == [1.0, 1.0, 1.0]


def test_absorb_counts_what_changed(stores: Stores) -> None:
    """The count tells of records that were new or replaced something older."""
    source, target = stores.open("one"), stores.open("two")
    source.put([record("a", 1.0), record("b", 1.0), tombstone("c")])
    stores.clock.now_ms += 1000
    target.put([record("b", 2.0)])
    delta = source.since({}, limit=9)
    assert target.absorb(delta).result() == 2
    assert target.absorb(delta).result() == 0
    assert (number_of(target, "a"), number_of(target, "b")) == (1.0, 2.0)
    assert target.seen()[source.writer] == 3


def test_three_replicas_meet(stores: Stores) -> None:
    """Whatever each wrote before, exchanging what lacks makes all three alike."""
    rng = np.random.default_rng(5)
    logs = [stores.open(name) for name in ("one", "two", "three")]
    for round_ in range(4):
        for log in logs:
            ids = rng.integers(0, 12, size=5)
            log.put([
                tombstone(f"r{i}") if rng.random() < 0.3 else record(f"r{i}", round_ + 0.01 * i)
                for i in ids
            ])  # fmt: skip
            stores.clock.now_ms += int(rng.integers(-3, 4))
        one, two = rng.permutation(3)[:2]
        catch_up(logs[one], logs[two], 4)
    for source, target in itertools.permutations(logs, 2):
        catch_up(target, source, 3)
    for source, target in itertools.permutations(logs, 2):
        catch_up(target, source, 3)
    assert contents(logs[0]) == contents(logs[1]) == contents(logs[2])
    assert dict(logs[0].seen()) == dict(logs[1].seen()) == dict(logs[2].seen())


def test_what_lies_beyond_a_gap_comes_last_and_is_not_covered(log: RecordLog) -> None:
    """Records that came out of turn are told after all others, and told again."""
    log.put([stamped("b5", 1.0, "b~1", 5), stamped("a3", 1.0, "a~1", 3), record("own")])
    log.put([stamped("c1", 1.0, "c~1", 1), stamped("b7", 1.0, "b~1", 7)])

    def told(known: dict[str, int], limit: int) -> tuple[list[str], dict[str, int], bool]:
        delta = log.since(known, limit=limit)
        return [x.id for x in delta.records], dict(delta.covers), delta.complete

    (own,) = log.get("cells", ["own"])
    assert own is not None
    inside = sorted(["c1", "own"], key=lambda x: "c~1" if x == "c1" else own.version.writer)
    covers = {log.writer: 1, "c~1": 1}
    assert told({}, 9) == ([*inside, "a3", "b5", "b7"], covers, True)
    assert told({}, 4) == ([*inside, "a3", "b5"], covers, True)
    assert told({}, 2) == (inside, covers, True)
    assert told({}, 1)[2] is False
    assert told(covers, 9) == (["a3", "b5", "b7"], {}, True)
    assert told({**covers, "b~1": 5, "a~1": 9}, 1) == (["b7"], {}, True)
    assert [x.id for x in every_record(log, page=1)] == [*inside, "a3", "b5", "b7"]


def test_a_delta_holds_what_somebody_has_stamped(log: RecordLog) -> None:
    """A record without a version in a delta is bad input, and nothing of the delta is taken."""
    delta = Delta((stamped("a", 1.0, "far~1", 1), record("b")), {"far~1": 1}, complete=True)
    with pytest.raises(BadInput, match="version"):
        log.absorb(delta).result()
    assert contents(log) == []
    assert dict(log.seen()) == {}


@pytest.mark.parametrize("time_hlc", [2**62 - 1, (START_MS + MOST_AHEAD_MS + 1) << 16])
def test_no_record_drags_the_clock_away(log: RecordLog, time_hlc: int) -> None:
    """What claims to be from a far future is refused, and its batch; times go on as before."""
    bad = record("a", version=Version(time_hlc, "far~1", 1))
    for attempt in (
        lambda: log.put([stamped("b", 1.0, "near~1", 1), bad]),
        lambda: log.submit([bad]).result(),
        lambda: log.absorb(Delta((bad,), {"far~1": 1}, complete=True)).result(),
    ):
        with pytest.raises(BadInput, match="cells/a"):
            attempt()
    assert contents(log) == []
    assert log.put([record("a")])[0].time_hlc >> 16 == START_MS


def test_old_records_and_near_futures_are_taken(stores: Stores) -> None:
    """Records of any age come in, and so do those that follow what a log has already."""
    log = stores.open()
    old = record("old", version=Version(1, "far~1", 1))
    log.put([old, stamped("ahead", 1.0, "far~1", 2, MOST_AHEAD_MS)])
    stores.clock.now_ms = 5  # the clock begins anew, as on a machine that has none
    version = log.put([record("own")])[0]
    log.absorb(Delta((record("next", version=structs.replace(version, writer="two~1",
                                                     time_hlc=version.time_hlc + 9)),),
                     {"two~1": 1}, complete=True)).result()  # fmt: skip
    assert {x[0][1] for x in contents(log)} == {"old", "ahead", "own", "next"}


def test_numbers_beyond_64_bits_are_no_trouble(log: RecordLog) -> None:
    """Whoever asks on from where nothing can be, or for as much as there is, gets an answer."""
    log.put([record("a", text="rain")])
    many = 2**70
    assert log.scan("cells", after_row=many, limit=many)[1] == []
    assert [x.id for x in log.scan("cells", after_row=-many, limit=many)[1]] == ["a"]
    assert log.changes("cells", after=many, limit=many).rows.tolist() == []
    assert log.changes("cells", after=-many, limit=many).rows.tolist() == [1]
    assert found_by(log, "rain", many) == ["a"]
    assert len(log.since({log.writer: -many, "x~1": many}, limit=many).records) == 1


# --- closing and opening again ------------------------------------------------------


def test_close_finishes_what_is_queued(lasting: Stores) -> None:
    """Submissions made before closing are written; a closed log takes nothing more."""
    log = lasting.open()
    futures = [log.submit([record(f"r{i}")]) for i in range(20)]
    log.close()
    log.close()
    assert [x.result()[0].sequence for x in futures] == list(range(1, 21))
    with pytest.raises(CellHiveError, match="closed"):
        log.put([record("a")])
    with pytest.raises(CellHiveError, match="closed"):
        log.submit([record("a")]).result()


def test_everything_is_there_after_opening_again(lasting: Stores) -> None:
    """Records, rows, changes, words, namespaces and what was seen outlast an opening."""
    log = lasting.open()
    log.put([FULL, record("b", 2.0), record("c", 3.0)])
    log.put([record("b", 5.0, text="rain"), tombstone("c"), stamped("d", 1.0, "far~1", 1)])
    before = contents(log), dict(log.seen()), all_rows(log).tolist(), log.last_change()
    changes, writer = log.changes("cells", after=0, limit=9), log.writer
    log.close()
    again = lasting.open()
    assert before[:3] == (contents(again), dict(again.seen()), all_rows(again).tolist())
    assert again.last_change() == before[3]
    assert again.changes("cells", after=0, limit=9).rows.tolist() == changes.rows.tolist()
    found = again.get("cells", [FULL.id])[0]
    assert found is not None
    assert same(found, structs.replace(FULL, version=found.version))
    assert found_by(again, "rain handovers", 9) == found_by(again, "handovers rain", 9)
    assert set(found_by(again, "rain handovers")) == {"b", FULL.id}
    version = again.put([record("b", 6.0)])[0]
    assert version.writer == again.writer != writer
    assert version.sequence == 1
    assert again.seen()[writer] == 5
    assert number_of(again, "b") == 6.0


def test_two_openings_of_one_store_write_together(lasting: Stores) -> None:
    """Openings side by side queue their writes and see one another's at once."""
    one, two = lasting.open(), lasting.open()
    assert one.writer != two.writer

    def write(i: int) -> list[Version]:
        return (one, two)[i % 2].put([record("shared", i), record(f"r{i}", i)])

    with ThreadPoolExecutor(8) as pool:
        versions = list(pool.map(write, range(60)))
    times = [x.time_hlc for pair in versions for x in pair]
    assert len(set(times)) == 120
    assert one.last_change() == two.last_change()
    assert dict(one.seen()) == dict(two.seen()) == {one.writer: 60, two.writer: 60}
    last = max(pair[0] for pair in versions)
    for log in (one, two):
        found = log.get("cells", ["shared"])[0]
        assert found is not None
        assert found.version == last
        assert log.count("cells") == 61
    assert contents(one) == contents(two)


def test_an_opening_hears_of_the_writes_of_another(lasting: Stores) -> None:
    """Changes, words, namespaces and deletions of another opening are seen."""
    one, two = lasting.open(), lasting.open()
    after = two.last_change()
    one.put([record("a", 7.0, text="rain")])
    assert two.changes("cells", after=after, limit=9).vectors[:, 0].tolist() == [7.0]
    assert found_by(two, "rain") == ["a"]
    one.put([record("a", 8.0, text="snow")])
    assert (found_by(two, "rain"), found_by(two, "snow")) == ([], ["a"])
    one.put([tombstone("a")])
    assert (found_by(two, "snow"), number_of(two, "a")) == ([], None)
    extra = Namespace("extra", 3)
    one.declare(extra)
    assert two.namespaces()["extra"] == extra
    two.put([record("e", namespace="extra", vector=np.ones(3, np.float32))])
    assert one.count("extra") == 1


def test_a_writer_that_stopped_keeps_its_numbers(lasting: Stores) -> None:
    """No opening goes on with the sequence of an earlier one, closed or not."""
    versions: list[Version] = []
    for _ in range(4):
        log = lasting.open("one", node="north")
        versions += log.put([record("a"), record("b")])
    assert len({(x.writer, x.sequence) for x in versions}) == 8
    assert versions == sorted(versions)
