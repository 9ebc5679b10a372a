"""Encoding records by columns, one by one and reading them back agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cellhive.adapters.embedded.encryption import Cipher
from cellhive.adapters.embedded.rows import row_codec, sums
from cellhive.adapters.embedded.rows.encoded import Encoded, joined
from cellhive.core.errors import BadInput
from cellhive.core.records import Namespace, Record, RecordKind, Version

SPACES = {x.name: x for x in (Namespace("cells", 4), Namespace("p\u00e4irs", 2))}
KINDS = tuple(RecordKind)


def mixed(count: int) -> list[Record]:
    """Return records of two namespaces with and without everything that one may have."""
    rng = np.random.default_rng(4)
    made = []
    for i in range(count):
        space = list(SPACES.values())[i % 2]
        vector = rng.standard_normal(2 * space.dimension, dtype=np.float32)[::2]
        facts: dict[str, Any] = {"n": i, "tags": ("a", "b"), "long": "x" * (i % 400), "none": None}
        made.append(
            Record(
                space.name, f"r\N{SNOWMAN}{i}", KINDS[i % 5], None if i % 7 == 0 else vector,
                facts if i % 3 else {}, "rain" * (i % 4), bytes(i % 600), float(-i), "o" * (i % 2),
                Version(i, "far~1", i) if i % 11 == 1 else Version(), deleted=i % 13 == 5,
            )
        )  # fmt: skip
    return made


def test_columns_hold_what_one_by_one_gives() -> None:
    """A batch is encoded as its records are, in their order, checksums and all."""
    records = mixed(2_500)  # more than are encoded together
    codec = row_codec.RowCodec(None)
    together = codec.encode(records, SPACES)
    assert together == joined([codec.encode([x], SPACES) for x in records])
    assert len(together) == len(records)
    places = [3, 2, 2_000]
    assert together.taken(places) == codec.encode([records[i] for i in places], SPACES)


@pytest.mark.parametrize("cipher", [None, Cipher(bytes(32), bytes(16))], ids=["clear", "sealed"])
def test_rows_are_read_back_as_they_were_encoded(cipher: Cipher | None) -> None:
    """What is encoded by columns passes the checks of reading, which know single rows only."""
    records, codec = mixed(60), row_codec.RowCodec(cipher)
    encoded = codec.encode(records, SPACES)
    rows, changes = list(range(7, 67)), list(range(100, 160))
    stamps = [x or Version(5, "w~1", i + 1) for i, x in enumerate(encoded.versions)]
    totals = sums.checksums(encoded, rows, changes, stamps)
    for i, record in enumerate(records):
        stored = _stored(encoded, i, rows[i], changes[i], stamps[i], totals[i])
        found = codec.decode(record.namespace, stamps[i].writer, stored)
        assert (found.kind, found.time_s, found.version) == (record.kind, record.time_s, stamps[i])
        assert (found.text, found.payload) == (
            ("", b"") if record.deleted else (record.text, record.payload))  # fmt: skip
        told = [stored[x] for x in (0, 1, 4, 5, 6, 9, 13)]
        vector = codec.vectors(record.namespace, [told])[0]
        gone = record.deleted or record.vector is None
        assert vector == (None if gone else np.ascontiguousarray(record.vector).tobytes())
        for place in (0, 1, 3):  # key, change or kind of another
            told[place] += 1
            with pytest.raises(BadInput):
                codec.vectors(record.namespace, [told])
            told[place] -= 1


def _stored(
    encoded: Encoded, i: int, row: int, change: int, stamp: Version, total: int
) -> list[Any]:
    """Return ``STORED_COLUMNS`` of a record that was encoded."""
    values = [column[i] for column in encoded.columns]
    return [row, change, stamp.time_hlc, stamp.sequence, encoded.keys[i][1], *values, total]


@pytest.mark.parametrize("count", [1, 3, 30])
def test_the_record_that_cannot_be_kept_is_named(count: int) -> None:
    """In a batch of any length the error tells which one it is."""
    records = [Record("cells", f"r{i}", KINDS[0]) for i in range(count)]
    records.append(Record("cells", "odd", KINDS[0], np.ones(3, np.float32)))
    with pytest.raises(BadInput, match="'odd'"):
        row_codec.RowCodec(None).encode(records, SPACES)
