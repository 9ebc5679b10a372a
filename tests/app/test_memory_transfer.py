"""Records on their way into a memory: nothing twice, nothing lost, clear refusals."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec import structs

from cellhive.app.memory.transfer import Rules, everything, same_content, take_in
from cellhive.core.errors import BadInput, Conflict, NotFound
from cellhive.core.records import Metric, Namespace, Record, RecordKind
from cellhive.memory.store import Memory
from cellhive.memory.volatile import VolatileLog

SPACE = Namespace("s", 2, Metric.L2)


def record(name: str, *vector: float, **changes: object) -> Record:
    """Return a record."""
    made = Record("s", name, RecordKind.RESULT, np.array(vector, np.float32) if vector else None)
    return structs.replace(made, **changes)  # type: ignore[arg-type]  # fields by name


def empty() -> Memory:
    """Return a memory with nothing in it."""
    return Memory(VolatileLog("n~1"))


def test_the_same_again_changes_nothing() -> None:
    """A second time everything is there already, and nothing is written."""
    memory = empty()
    items: list[Namespace | Record] = [SPACE, *(record(f"r{n}", n, 1) for n in range(10_000))]
    first = take_in(memory, items, Rules())
    change = memory.log.last_change()
    second = take_in(memory, items, Rules())
    assert (first.new, first.unchanged, first.declared) == (10_000, 0, [SPACE])
    assert (second.new, second.unchanged, second.declared) == (0, 10_000, [])
    assert memory.log.last_change() == change
    assert [each.id for each in everything(memory, "s")] == [f"r{n}" for n in range(10_000)]
    assert len(list(everything(memory, "s", limit=1500))) == 1500


def test_other_content_needs_leave() -> None:
    """Without ``replace`` nothing is overwritten."""
    memory = empty()
    take_in(memory, [SPACE, record("a", 1, 2)], Rules())
    with pytest.raises(Conflict, match="s/a: expected a new id"):
        take_in(memory, [record("a", 1, 3)], Rules())
    taken = take_in(memory, [record("a", 1, 3)], Rules(replace=True))
    assert (taken.new, taken.changed) == (0, 1)


def test_the_later_of_two_lines_wins() -> None:
    """An id twice in one file is two writes, in order."""
    memory = empty()
    items: list[Namespace | Record] = [SPACE, record("a", 1, 2), record("a", 3, 4)]
    assert take_in(memory, items, Rules(replace=True)).changed == 1
    (found,) = memory.get("s", ["a"])
    assert found is not None
    assert same_content(found, record("a", 3, 4))


def test_a_namespace_is_declared_by_its_first_vector() -> None:
    """Where that is allowed; a record without a vector declares nothing."""
    memory = empty()
    with pytest.raises(NotFound, match="namespace create s"):
        take_in(memory, [record("a", 1, 2)], Rules())
    with pytest.raises(NotFound, match="namespace create s"):
        take_in(memory, [record("a")], Rules(metric=Metric.L2))
    assert take_in(memory, [record("a", 1, 2)], Rules(metric=Metric.L2)).declared == [SPACE]


@pytest.mark.parametrize(
    "change",
    [
        {"kind": RecordKind.MODEL}, {"text": "x"}, {"payload": b"x"}, {"time_s": 1.0},
        {"origin": "x"}, {"vector": np.array([1, -0.0], np.float32)}, {"vector": None},
        {"metadata": {"a": 1.0}}, {"metadata": {"a": True}}, {"metadata": {}},
    ],
    ids=str,
)  # fmt: skip
def test_any_difference_is_one(change: dict[str, object]) -> None:
    """Also those that Python's equality does not see: 1, 1.0 and True, or 0.0 and -0.0."""
    one = record("a", 1, 0, metadata={"a": 1})
    assert same_content(one, structs.replace(one))
    assert not same_content(one, structs.replace(one, **change))  # type: ignore[arg-type]  # fields by name


class Refusing(Memory):
    """A memory that refuses some records, as one with a validator does."""

    def upsert(self, records: list[Record]) -> list[object]:  # type: ignore[override]  # a double
        """Refuse a batch with a bad record, whole."""
        if any(each.id.startswith("bad") for each in records):
            raise BadInput(expected="something else", found="this")
        return list(super().upsert(records))


def test_one_refused_record_does_not_keep_the_others_out() -> None:
    """A forgiving import takes all but the bad ones, and says how many those were."""
    memory = Refusing(VolatileLog("n~1"))
    names = ["a", "bad 1", *(f"b{n}" for n in range(99)), "bad 2"]
    taken = take_in(memory, [SPACE, *map(record, names)], Rules(forgiving=True))
    assert (taken.new, taken.refused, taken.total) == (100, 2, 102)
    assert taken.reasons == ["expected something else, found this"] * 2
    assert memory.count("s") == 100
    with pytest.raises(BadInput):
        take_in(memory, [record("bad 3")], Rules())
