"""Stamps: many at once like one by one, and all or nothing."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec import structs

from cellhive.core.errors import BadInput, NotFound
from cellhive.core.records import Metric, Namespace, Record, RecordKind, Version
from cellhive.memory import messages as m
from cellhive.memory.batches.columns import outline
from cellhive.memory.batches.faults import weight_bytes, weights_bytes
from cellhive.memory.batches.stamps import Stamps
from cellhive.memory.batches.together import Together
from cellhive.memory.codec import decode, encode
from cellhive.memory.versions import HybridClock

SPACE = Namespace("ns", 3, Metric.COSINE)


def stamps() -> Stamps:
    """Return stamps of a writer that has written nothing, at a clock that stands still."""
    return Stamps(HybridClock(lambda: 7), "a~1", {SPACE.name: SPACE})


def records(count: int) -> list[Record]:
    """Return records that can be written, no two alike."""
    return [
        Record(
            "ns", f"r{i}", RecordKind.ACTION, np.full(3, i + 1, np.float32), {"i": i}, "w" * i,
            b"p" * i, float(i), "o", deleted=i == 2,
        )
        for i in range(count)
    ]  # fmt: skip


def test_many_are_stamped_as_one_by_one() -> None:
    """Every field stays; numbers and times rise by one, over batches of any size."""
    made, alone = stamps(), stamps()
    found = [*made.stamped(records(2)), *made.stamped(records(9)), *made.stamped(records(5))]
    one_by_one = [
        alone.stamped([record])[0] for count in (2, 9, 5) for record in records(count)
    ]  # fmt: skip
    for a, b in zip(found, one_by_one, strict=True):
        assert a.vector is not None
        assert np.array_equal(a.vector, b.vector)  # type: ignore[arg-type]  # there
        bare = [structs.replace(x, vector=None) for x in (a, b)]
        assert repr(bare[0]) == repr(bare[1])
    assert [x.version for x in found] == [Version((7 << 16) + i, "a~1", i + 1) for i in range(16)]
    assert made.sequence == len(found)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"deleted": False},
        {"deleted": False, "metadata": {}, "text": "", "payload": b""},
        {"deleted": False, "metadata": {"tags": ("a", "bc"), "on": None, "to": "north"}},
        {"deleted": False, "namespace": "plain", "vector": None},
        {"deleted": False, "namespace": "plain"},
    ],
    ids=str,
)
def test_what_is_kept_with_a_lot_is_what_its_records_hold(changes: dict[str, object]) -> None:
    """Frames and weights are those of the records one by one, and come back as them."""
    spaces = {SPACE.name: SPACE, "plain": Namespace("plain", 3, Metric.L2)}
    made = Stamps(HybridClock(lambda: 7), "a~1", spaces)
    lot = made.stamped([structs.replace(x, **changes) for x in records(9)])
    plain = (*lot,)
    assert isinstance(lot, Together)
    assert not isinstance(plain, Together)
    assert encode(m.Push(1, lot)) == encode(m.Push(1, plain))
    assert weights_bytes(lot) == sum(map(weight_bytes, plain))
    assert (outline(lot) is not None) == (changes != {} and "vector" not in changes)
    come = decode(encode(m.Push(1, lot)))
    assert isinstance(come, m.Push)
    bare = [[repr(structs.replace(x, vector=None)) for x in some] for some in (come.records, plain)]
    assert bare[0] == bare[1]
    assert outline(come.records) == outline(lot)
    assert weights_bytes(come.records) == weights_bytes(lot)


@pytest.mark.parametrize(
    ("changes", "error", "word"),
    [
        ({"vector": np.zeros(3, np.float32)}, BadInput, "direction"),
        ({"vector": np.ones(4, np.float32)}, BadInput, "3 components"),
        ({"vector": np.array([1, np.nan, 0], np.float32)}, BadInput, "finite"),
        ({"version": Version(1, "a~1", 1)}, BadInput, "version"),
        ({"metadata": {"a": float("inf")}}, BadInput, "finite"),
        ({"id": ""}, BadInput, "id"),
        ({"namespace": "none"}, NotFound, "declared"),
    ],
)
@pytest.mark.parametrize("count", [1, 8])
def test_one_that_cannot_be_leaves_all_unstamped(
    changes: dict[str, object], error: type[Exception], word: str, count: int
) -> None:
    """What is wrong is named, and no number is used up."""
    made = stamps()
    bad = [*records(count)[1:], structs.replace(records(1)[0], **changes)]  # type: ignore[arg-type]
    with pytest.raises(error, match=word):
        made.stamped(bad)
    assert made.stamped(records(1))[0].version.sequence == 1
