"""Records as JSON lines and Parquet: exact both ways, and refused with the line's number."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cellhive.adapters.record_lines import (
    parse_vector,
    read_lines,
    write_lines,
    write_lines_file,
    write_namespace,
)
from cellhive.adapters.record_parquet import read_parquet, write_parquet
from cellhive.app.memory.transfer import same_content
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.records import Metric, Namespace, Record, RecordKind, Storage

CELLS = Namespace("cells", 3, Metric.INNER_PRODUCT, Storage.INT8, ("load", "edge", "speed"))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), TEXT,
    st.floats(allow_nan=False, allow_infinity=False), st.lists(TEXT, max_size=3).map(tuple),
)  # fmt: skip
RECORDS = st.builds(
    Record,
    namespace=st.just("cells"),
    id=TEXT.filter(bool),
    kind=st.sampled_from(RecordKind),
    vector=st.none()
    | hnp.arrays(
        np.float32, 3, elements=st.floats(width=32, allow_nan=False, allow_infinity=False)
    ),
    metadata=st.dictionaries(TEXT, VALUES, max_size=4),
    text=TEXT,
    payload=st.binary(max_size=9),
    time_s=st.floats(0, 1e12),
    origin=TEXT,
)


def lines(data: bytes, **options: str) -> list[Namespace | Record]:
    """Return what JSON lines say."""
    return list(read_lines(io.BytesIO(data), place="here", **options))


def assert_same(found: Iterable[Namespace | Record], expected: Iterable[Record]) -> None:
    """Check that records came back to the last bit."""
    for one, other in zip(found, expected, strict=True):
        assert isinstance(one, Record)
        assert same_content(one, other), (one, other)


@settings(deadline=None)
@given(st.lists(RECORDS, max_size=4), st.booleans())
def test_lines_come_back_to_the_last_bit(records: list[Record], packed: bool) -> None:
    """Types of facts, bits of vectors, bytes of payloads: all as before."""
    assert_same(lines(b"".join(write_lines(records, packed=packed))), records)


def test_a_namespace_comes_back() -> None:
    """A declaration is a line like any other."""
    assert lines(write_namespace(CELLS)) == [CELLS]


@settings(deadline=None, max_examples=30)
@given(records=st.lists(RECORDS, max_size=4))
def test_parquet_comes_back_to_the_last_bit(
    records: list[Record], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Columns and footer hold all there is."""
    path = tmp_path_factory.mktemp("parquet") / "r.parquet"
    assert write_parquet(path, [CELLS], records) == len(records)
    space, *found = read_parquet(path)
    assert space == CELLS
    assert_same(found, records)


def test_what_a_person_writes_is_enough() -> None:
    """An id is all a line needs; the rest is filled in."""
    (record,) = lines(b'\n{"id": "a", "vector": [1, 2.5]}\n', namespace="mine")
    assert isinstance(record, Record)
    assert record.namespace == "mine"
    assert record.kind is RecordKind.RESULT
    assert record.vector is not None
    assert record.vector.tolist() == [1.0, 2.5]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", r"here, line 2: expected a JSON object with namespace, id"),
        (b'{"id": "a", "vektor": [1]}', "unknown field `vektor`"),
        (b'{"id": "a", "vector": [1, "x"]}', "line 2"),
        (
            b'{"id": "a", "vector": [1e39]}',
            r"line 2, vector: expected numbers that float32 .* 1e\+39",
        ),
        (b'{"id": "a", "vector": "AAAA"}', "float32 in base64, found 3 bytes"),
        (b'{"id": "a", "payload": "%"}', "line 2, payload: expected base64"),
        (b'{"id": "a", "kind": "thing"}', "Invalid enum value 'thing'"),
        (b'{"id": "a", "metadata": {"b": {"c": 1}}}', "line 2"),
        (b'{"kind": "model"}', "expected an id, found none"),
        (b"[" * 100_000, "line 2"),
        (b'{"id": "\xff"}', "line 2"),
        (b'{"declare": {"name": "x", "dimension": 2, "metric": "far"}}', "Invalid enum value"),
    ],
)
def test_wrong_lines_are_refused_with_their_number(line: bytes, message: str) -> None:
    """The message says where, what was expected and what is there."""
    with pytest.raises(BadInput, match=message):
        lines(b'{"id": "fine"}\n' + line, namespace="mine")


def test_a_record_without_a_namespace_is_refused() -> None:
    """Nothing is guessed."""
    with pytest.raises(BadInput, match="expected a namespace, found none"):
        lines(b'{"id": "a"}')


def test_vectors_as_arguments() -> None:
    """A list or base64; anything else is refused."""
    assert parse_vector("[1, -0.5]", "--vector").tolist() == [1.0, -0.5]
    assert parse_vector('"AACAPw=="', "--vector").tolist() == [1.0]
    for text in ("1,2", "[]", '""', "[true]", '{"a": 1}', "[1e400]"):
        with pytest.raises(BadInput, match="--vector"):
            parse_vector(text, "--vector")


def test_files_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """A failure on the way leaves what was there before."""
    path = tmp_path / "out.jsonl"
    assert write_lines_file(path, [CELLS], [Record("cells", "a", RecordKind.MODEL)]) == 1
    before = path.read_bytes()

    def failing() -> Iterable[Record]:
        yield Record("cells", "b", RecordKind.MODEL)
        raise OSError(28, "No space left on device")

    with pytest.raises(BadInput, match="No space left on device"):
        write_lines_file(path, [CELLS], failing())
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["out.jsonl"]


def test_other_parquet_files_are_refused(tmp_path: Path) -> None:
    """A table of something else, and something that is no table."""
    path = tmp_path / "other.parquet"
    with pytest.raises(NotFound, match="no such file"):
        list(read_parquet(path))
    pl.DataFrame({"id": ["a"], "v": [1]}).write_parquet(path)
    with pytest.raises(BadInput, match="expected the columns namespace, id"):
        list(read_parquet(path))
    path.write_bytes(b"PAR1 not really")
    with pytest.raises(BadInput, match="a Parquet file of records"):
        list(read_parquet(path))
