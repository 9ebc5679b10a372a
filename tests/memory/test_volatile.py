"""The log in dictionaries."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec import structs

from cellhive.core.errors import Conflict, NotFound
from cellhive.core.records import Delta, Namespace, Record, RecordKind, Version
from cellhive.memory.volatile import VolatileLog

SPACE = Namespace("s", 2)


def record(name: str, *vector: float, text: str = "") -> Record:
    """Return a record of the namespace."""
    array = np.array(vector, np.float32) if vector else None
    return Record("s", name, RecordKind.PATTERN, array, text=text)


def opened(writer: str = "a~1") -> VolatileLog:
    """Return an empty log with one namespace."""
    log = VolatileLog(writer)
    log.declare(SPACE)
    return log


def test_writes_are_stamped_in_order() -> None:
    """Each write of a log gets the next sequence and a later time."""
    log = opened()
    first, second = log.put([record("x", 1, 0), record("y", 0, 1)])
    assert (first.sequence, second.sequence) == (1, 2)
    assert first < second
    assert log.seen() == {"a~1": 2}


def test_an_update_keeps_its_row_and_is_the_last_change() -> None:
    """A record keeps its row for life; its change moves to the end."""
    log = opened()
    log.put([record("x", 1, 0), record("y", 0, 1)])
    before = log.last_change()
    log.put([record("x", 3, 4)])
    told = log.changes("s", after=before, limit=9)
    assert told.rows.tolist() == [1]
    assert told.vectors.tolist() == [[3, 4]]
    assert log.changes("s", after=0, limit=9).rows.tolist() == [2, 1]
    assert log.changes("s", after=told.last, limit=9).last == told.last


def test_changes_come_in_pages() -> None:
    """A limit cuts the changes; the next page goes on after the last number told."""
    log = opened()
    log.put([record(str(i), i, 1) for i in range(5)])
    rows, after = [], 0
    while len(page := log.changes("s", after=after, limit=2).rows):
        rows += page.tolist()
        after = log.changes("s", after=after, limit=2).last
    assert rows == [1, 2, 3, 4, 5]


def test_new_refuses_what_exists_and_writes_nothing() -> None:
    """``new`` is all or nothing, also where an id comes twice; a deleted id is free again."""
    log = opened()
    log.put([record("x")], new=True)
    with pytest.raises(Conflict):
        log.put([record("y"), record("x")], new=True)
    with pytest.raises(Conflict):
        log.put([record("z"), record("z")], new=True)
    assert log.count("s") == 1
    log.put([structs.replace(record("x"), deleted=True)])
    log.put([record("x")], new=True)
    assert log.count("s") == 1


def test_the_later_version_wins_whatever_the_order() -> None:
    """Two writes of a key leave the same record in either order of arrival."""
    early = structs.replace(record("x", 1, 0), version=Version(5, "b~1", 1))
    late = structs.replace(record("x", 0, 1), version=Version(5, "c~1", 1))
    for order in ([early, late], [late, early]):
        log = opened()
        log.put(order)
        kept = log.get("s", ["x"])[0]
        assert kept is not None
        assert kept.version == late.version
        assert log.seen() == {"b~1": 1, "c~1": 1}


def test_a_gap_is_not_counted_as_seen() -> None:
    """A sequence beyond a gap counts only once the gap is filled."""
    log = opened()
    log.put([structs.replace(record("x"), version=Version(9, "b~1", 3))])
    assert log.seen() == {}
    log.absorb(Delta((), {"b~1": 2}, complete=True))
    assert log.seen() == {"b~1": 3}


def test_a_replica_catches_up_in_pieces() -> None:
    """Deltas of two records each, absorbed one after another, end with the same records."""
    source, target = opened("a~1"), opened("b~1")
    source.put([record(str(i), i, 1) for i in range(5)])
    source.put([record("1", 9, 9), structs.replace(record("2"), deleted=True)])
    complete = False
    while not complete:
        delta = source.since(target.seen(), limit=2)
        assert len(delta.records) <= 2
        target.absorb(delta).result()
        complete = delta.complete
    assert target.seen() == source.seen()
    assert [r and r.version for r in target.get("s", list("01234"))] == [
        r and r.version for r in source.get("s", list("01234"))
    ]
    assert target.count("s") == 4


def test_words_find_rows_rare_ones_first() -> None:
    """The record with the rarer word comes first; deleted ones and others do not come."""
    log = opened()
    log.put([
        record("a", text="handover failure at the border"),
        record("b", text="handover"),
        record("c", text="interference"),
    ])  # fmt: skip
    rows, scores = log.keyword("s", "Failure handover", 5)
    assert rows.tolist() == [1, 2]
    assert scores[0] > scores[1] > 0
    log.put([structs.replace(record("a"), deleted=True)])
    assert log.keyword("s", "failure", 5)[0].tolist() == []


def test_unknown_and_changed_namespaces_are_refused() -> None:
    """A namespace must be declared, and declared alike."""
    log = opened()
    with pytest.raises(NotFound, match="declare"):
        log.put([Record("t", "x", RecordKind.MODEL)])
    assert isinstance(log.submit([Record("t", "x", RecordKind.MODEL)]).exception(), NotFound)
    log.declare(SPACE)
    with pytest.raises(Conflict, match="another name"):
        log.declare(Namespace("s", 3))
