"""Bytes of records and messages: exact, bounded, and safe to read from anybody."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from msgspec import structs
from sync_network import same

from cellhive.core.errors import BadInput, ProtocolError
from cellhive.core.records import Metric, Namespace, Record, RecordKind, Version
from cellhive.memory import codec
from cellhive.memory import messages as m
from cellhive.memory.batches import faults
from cellhive.memory.batches.columns import FEWEST, Columns, records_of
from cellhive.memory.batches.together import Together
from cellhive.memory.checks.validation import check_record

WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)
NAMES = WORDS.filter(bool)
NUMBERS = st.integers(0, 2**63 - 1)
VECTORS = st.dictionaries(NAMES, NUMBERS, max_size=4)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | FLOATS | WORDS
    | st.lists(WORDS, max_size=3).map(tuple)
)  # fmt: skip
RECORDS = st.builds(
    Record,
    namespace=NAMES,
    id=NAMES,
    kind=st.sampled_from(RecordKind),
    vector=st.none()
    | hnp.arrays(np.float32, st.integers(1, 9), elements=st.floats(-1e6, 1e6, width=32)),
    metadata=st.dictionaries(NAMES, SCALARS, max_size=4),
    text=WORDS | st.just("the same words " * 300),
    payload=st.binary(max_size=40) | st.just(b"payload" * 1000),
    time_s=FLOATS,
    origin=WORDS,
    version=st.builds(Version, NUMBERS, WORDS, NUMBERS),
    deleted=st.booleans(),
)
RUNS = st.builds(m.Run, WORDS, NUMBERS, NUMBERS)
SPACES = st.builds(
    Namespace, NAMES, st.integers(1, 65_536), st.sampled_from(Metric)
)  # fmt: skip
TOLD = {
    "time_ms": NUMBERS,
    "namespaces": st.lists(SPACES, max_size=3).map(tuple),
    "vector": VECTORS,
    "undurable": VECTORS,
    "neighbours": st.lists(WORDS, max_size=3).map(tuple),
    "beyond": st.lists(RUNS, max_size=3).map(tuple),
    "synced": NUMBERS,
}
LISTS = st.lists(RECORDS, max_size=4).map(tuple)


@st.composite
def alike_records(draw: st.DrawFn) -> tuple[Record, ...]:
    """Records that can travel as columns: of one namespace, origin, writer and dimension."""
    first, dimension = draw(RECORDS), draw(st.integers(1, 5))
    elements = st.floats(-1e6, 1e6, width=32)
    return tuple(
        structs.replace(
            other, namespace=first.namespace, origin=first.origin, deleted=False,
            vector=draw(hnp.arrays(np.float32, dimension, elements=elements)),
            version=structs.replace(other.version, writer=first.version.writer),
        )
        for other in draw(st.lists(RECORDS, min_size=FEWEST, max_size=6))
    )  # fmt: skip


ALIKE = alike_records()
LISTS = LISTS | ALIKE
MESSAGES = st.one_of(
    st.builds(m.Hello, protocol=NUMBERS, node=WORDS, session=WORDS, answer=st.booleans(), **TOLD),
    st.builds(m.Digest, totals=VECTORS, totals_print=NUMBERS, pushed=NUMBERS, taken=NUMBERS,
              **TOLD),
    st.builds(m.Push, NUMBERS, LISTS, st.lists(RUNS, max_size=3).map(tuple)),
    st.builds(m.Ack, NUMBERS, VECTORS, VECTORS),
    st.builds(m.Ask, WORDS, NUMBERS, VECTORS, st.integers(1, 64)),
    st.builds(m.Batch, WORDS, NUMBERS, NUMBERS, LISTS, VECTORS, st.booleans()),
    st.builds(m.Summary, WORDS, NUMBERS, st.binary(max_size=64)),
    st.builds(m.Listing, WORDS, st.lists(st.integers(0, 1023), max_size=5).map(tuple),
              st.lists(st.builds(m.Entry, WORDS, NUMBERS, WORDS, NUMBERS), max_size=4).map(tuple),
              st.booleans()),
    st.builds(m.Refusal, WORDS, WORDS),
)  # fmt: skip


def record(**changes: object) -> Record:
    """Make a record of the size most have."""
    vector = np.linspace(-1, 1, 128, dtype=np.float32)
    whole = Record("situations", "p-1", RecordKind.PATTERN, vector, {"region": "north"},
                   version=Version(5 << 16, "a~1", 1))  # fmt: skip
    return structs.replace(whole, **changes)  # type: ignore[arg-type]


def alike(one: m.Message, other: m.Message) -> bool:
    """Whether two messages say the same."""
    if not isinstance(one, m.Push | m.Batch) or not isinstance(other, m.Push | m.Batch):
        return one == other
    pairs = zip(one.records, other.records, strict=True)
    bare = [structs.replace(each, records=()) for each in (one, other)]
    return bare[0] == bare[1] and all(same(a, b) and a.time_s == b.time_s for a, b in pairs)


@given(MESSAGES)
def test_every_message_comes_back(message: m.Message) -> None:
    """Encoding and decoding give the same message, records bit by bit."""
    assert alike(codec.decode(codec.encode(message)), message)


@given(RECORDS)
def test_every_record_comes_back(one: Record) -> None:
    """A record kept as bytes is the record that was kept."""
    back = codec.decode_record(codec.encode_record(one))
    assert same(one, back)
    assert (one.time_s, one.origin) == (back.time_s, back.origin)


@given(RECORDS)
def test_weight_is_never_far_below_the_bytes(one: Record) -> None:
    """What windows and batches count is at least what a frame takes, but for its head."""
    push = m.Push(1, (one,))
    assert faults.weight_bytes(one) + 100 >= len(codec.encode(push))


@given(RECORDS)
def test_what_a_memory_accepts_can_be_sent(one: Record) -> None:
    """A record that passes a store's checks passes the codec's: no write blocks replication."""
    space = Namespace(one.namespace, 1 if one.vector is None else len(one.vector), Metric.L2)
    try:
        check_record(one, space)
    except BadInput:
        return
    assert faults.fault(one) == ""


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=4) | st.just("x" * 600)
ANY_RECORDS = st.builds(
    Record, ANY_TEXT, ANY_TEXT, st.just(RecordKind.RESULT),
    st.none() | hnp.arrays(np.float32, st.integers(0, 3)) | hnp.arrays(np.float64, 2),
    st.dictionaries(
        ANY_TEXT, st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT, max_size=3
    ),
    ANY_TEXT, st.binary(max_size=3), st.floats(), ANY_TEXT,
    st.builds(Version, st.integers(), ANY_TEXT, st.integers()),
)  # fmt: skip


@given(ANY_RECORDS)
def test_the_quick_look_passes_nothing_that_the_close_one_refuses(one: Record) -> None:
    """Where one look finds no fault, names, numbers, vector and facts have none."""
    if faults.fault(one) == "":
        assert faults._names_fault(one) == ""
        assert one.vector is None or faults._vector_fault(one.vector) == ""
        assert not one.metadata or faults._metadata_fault(one.metadata) == ""


@given(st.integers(1, 300), st.binary(min_size=4, max_size=64), st.integers(0, 299))
def test_a_vector_is_fine_where_all_its_components_are_finite(
    components: int, bits: bytes, at: int
) -> None:
    """Any bits, short and long vectors: what is found is what NumPy finds."""
    odd = np.frombuffer(bits[: len(bits) // 4 * 4], np.float32)
    vector = np.ones(components, np.float32)
    vector[at % components :][: len(odd)] = odd[: components - at % components]
    vector.setflags(write=False)
    assert (faults._vector_fault(vector) == "") == bool(np.isfinite(vector).all())
    special = np.array([np.nan, np.inf, -np.inf, np.finfo(np.float32).max, -0.0, 1e-45])
    for value in special.astype(np.float32):
        vector = np.full(components, value, np.float32)
        assert (faults._vector_fault(vector) == "") == bool(np.isfinite(value))


@settings(max_examples=300)
@given(MESSAGES, st.data())
def test_damaged_frames_give_a_message_or_a_protocol_error(
    message: m.Message, data: st.DataObject
) -> None:
    """Cut short, lengthened, or with bits turned: ProtocolError or some message, no more."""
    frame = bytearray(codec.encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(frame) - 1))
        frame[place] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(frame)))
    for damaged in (bytes(frame), bytes(frame[:cut]), bytes(frame) + b"\0" * cut):
        for read in (codec.decode, codec.decode_record):
            try:
                read(damaged)
            except ProtocolError:
                continue


@settings(max_examples=300)
@given(st.binary(max_size=300), st.integers(0, 12), st.integers(0, 3))
def test_any_bytes_give_a_message_or_a_protocol_error(body: bytes, code: int, flags: int) -> None:
    """Random bodies under a right head, and without one."""
    version = 2 if code in (10, 11) else 1
    head = struct.pack("<BBBBIII", 0xC1, version, code, flags, len(body), 0, 0)
    for frame in (body, head + body):
        for read in (codec.decode, codec.decode_record):
            try:
                read(frame)
            except ProtocolError:
                continue


SHORT = st.binary(max_size=40)


def numbers(count: int) -> st.SearchStrategy[bytes]:
    """Bytes of so many 64-bit numbers, or of another size."""
    return st.binary(min_size=8 * count, max_size=8 * count) | SHORT


@st.composite
def any_columns(draw: st.DrawFn) -> tuple[Columns, bytes, bytes]:
    """Columns that need not fit one another, their vectors and payloads."""
    ids = draw(st.lists(WORDS, min_size=1, max_size=4))
    count, components = len(ids), draw(st.integers(1, 3))
    sizes = draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    columns = Columns(
        draw(NAMES), draw(WORDS), draw(WORDS), components, ids,
        draw(st.binary(min_size=count, max_size=count) | st.just(b"\2" * count) | SHORT),
        draw(st.just(struct.pack(f"<{count}I", *sizes)) | SHORT),
        draw(st.just([]) | st.lists(st.dictionaries(WORDS, SCALARS, max_size=2), max_size=4)),
        draw(st.just([]) | st.lists(WORDS | st.just("a\0b"), max_size=4)),
        draw(st.just(struct.pack(f"<{count}d", *range(count))) | numbers(count)),
        draw(st.just(b"\1" * 8 * count) | numbers(count)),
        draw(st.just(b"\1" * 8 * count) | numbers(count)),
    )  # fmt: skip
    vectors = draw(st.just(b"\0\0\x80?" * components * count) | st.binary(max_size=48))
    return columns, vectors, draw(st.just(bytes(sum(sizes))) | SHORT)


@settings(max_examples=300)
@given(any_columns())
def test_any_columns_give_sound_records_or_a_protocol_error(
    found: tuple[Columns, bytes, bytes],
) -> None:
    """Columns of wrong sizes, kinds, numbers or words: never a record with a fault."""
    columns, vectors, payloads = found
    try:
        records = records_of(columns, vectors, payloads)
    except ProtocolError:
        return
    assert [x.id for x in records] == columns.ids
    assert b"".join(x.payload for x in records) == payloads
    assert [faults.fault(x) for x in records] == [""] * len(records)


@given(ALIKE)
def test_records_alike_travel_as_columns_and_can_travel_one_by_one(
    records: tuple[Record, ...],
) -> None:
    """Both layouts, of which the older one stays readable, give the same records."""
    message = m.Push(7, records)
    frame = codec.encode(message)
    assert frame[1:3] == bytes((2, 10))
    assert frame == codec.encode(message, checked=True)
    bodies, vectors, payloads = codec._split(records)
    older = codec._frame(*codec._with_bodies(message, bodies), vectors, payloads)
    assert older[1:3] == bytes((1, 3))
    assert alike(codec.decode(frame), codec.decode(older))


@given(ALIKE | LISTS)
def test_a_lot_is_taken_apart_once_and_gives_the_same_frames(records: tuple[Record, ...]) -> None:
    """What is kept with records for peers and the disk changes no byte, there or on the way on."""
    lot = Together(records)
    messages = m.Push(7, lot), m.Batch("", 3, 0, lot, {"w": 9}, complete=True)
    plain = m.Push(7, records), m.Batch("", 3, 0, records, {"w": 9}, complete=True)
    for packed in (True, False):
        for mine, theirs in zip(messages, plain, strict=True):
            assert codec.encode(mine, packed=packed) == codec.encode(theirs, packed=packed)
    assert faults.weights_bytes(lot) == faults.weights_bytes(lot) == faults.weights_bytes(records)
    come = codec.decode(codec.encode(messages[0]))
    assert isinstance(come, m.Push)
    assert codec.encode(come) == codec.encode(m.Push(come.number, (*come.records,)))


@given(st.lists(ANY_RECORDS, min_size=1, max_size=3))
def test_a_look_at_many_passes_nothing_that_one_at_each_refuses(records: list[Record]) -> None:
    """What is fine together is fine one by one, versions aside."""
    if faults.together_fine(records) is not None:
        stamped = [
            structs.replace(x, version=Version(1, x.version.writer, 1)) for x in records
        ]  # fmt: skip
        assert [faults.fault(x) for x in stamped] == [""] * len(stamped)


@given(LISTS)
def test_the_weight_of_many_is_the_sum(records: tuple[Record, ...]) -> None:
    """Columns weigh what their records weigh."""
    assert faults.weights_bytes(records) == sum(map(faults.weight_bytes, records))


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    """A small frame that unpacks to more than the bound, or does not say, is refused."""
    flags = 1
    bomb = zstandard.ZstdCompressor().compress(b"\0" * (codec.MOST_META_BYTES + 1))
    silent = zstandard.ZstdCompressor(write_content_size=False).compress(b"\0" * 5000)
    assert len(bomb) < 10_000
    for body in (bomb, silent, bomb[:-3], b"\0" * 9):
        head = struct.pack("<BBBBIII", 0xC1, 1, 2, flags, len(body), 0, 0)
        with pytest.raises(ProtocolError):
            codec.decode(head + body)


def test_lengths_that_lie_are_refused() -> None:
    """A frame claims more than it has, more than is allowed, or leaves bytes over."""
    frame = codec.encode(m.Push(1, (record(),)))
    for place, claim in ((4, 2**32 - 1), (8, 0), (8, 2**31), (12, 2**32 - 1), (12, 7)):
        lie = bytearray(frame)
        struct.pack_into("<I", lie, place, claim)
        with pytest.raises(ProtocolError, match="expected"):
            codec.decode(bytes(lie))
    with pytest.raises(ProtocolError):
        codec.frame_bytes(struct.pack("<BBBBIII", 0xC1, 1, 3, 0, 2**31, 0, 0))


@pytest.mark.parametrize("count", [m.MOST_RECORDS + 1, 2**32 - 1])
def test_counts_that_lie_are_refused(count: int) -> None:
    """A list that claims more than a message may hold is refused without being made."""
    meta = b"\x93\x01\xdd" + struct.pack(">I", count) + b"\xc0" * 64
    head = struct.pack("<BBBBIII", 0xC1, 1, 3, 0, len(meta), 0, 0)
    with pytest.raises(ProtocolError):
        codec.decode(head + meta)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"vector": np.array([np.nan], np.float32)}, "finite"),
        ({"vector": np.array([np.inf], np.float32)}, "finite"),
        ({"vector": np.zeros(0, np.float32)}, "components"),
        ({"vector": np.zeros(2, np.float64)}, "float32"),
        ({"vector": np.zeros((2, 2), np.float32)}, "float32"),
        ({"metadata": {"a": float("nan")}}, "finite"),
        ({"metadata": {"a": 2**63}}, "64-bit"),
        ({"metadata": {"a": b"x"}}, "text"),
        ({"metadata": {"a": ("x", 1)}}, "tags"),
        ({"metadata": {"a": "\ud800"}}, "surrogates"),
        ({"metadata": {"a": "x" * (1 << 20)}}, "characters"),
        ({"metadata": {"k" * 600: 1}}, "names"),
        ({"text": "a\0b"}, "NUL"),
        ({"text": "x" * (faults.MOST_TEXT_CHARACTERS + 1)}, "text"),
        ({"id": ""}, "id"),
        ({"id": "i" * 600}, "id"),
        ({"namespace": "\ud800"}, "surrogates"),
        ({"time_s": float("inf")}, "finite"),
        ({"version": Version(2**63, "a~1", 1)}, "times"),
        ({"version": Version(1, "a~1", -1)}, "times"),
    ],
)
def test_what_no_peer_takes_is_not_written(changes: dict[str, object], word: str) -> None:
    """The same rule holds for writing and for reading, and says what is wrong."""
    with pytest.raises(BadInput, match=word):
        codec.encode_record(record(**changes))
    with pytest.raises(BadInput, match=word):
        codec.encode(m.Push(1, (*[record()] * 4, record(**changes))))


def test_what_others_write_is_checked_as_well() -> None:
    """A frame made without the checks, with a vector that is not finite, is refused."""
    frame = bytearray(codec.encode(m.Push(1, (record(),))))
    struct.pack_into("<f", frame, len(frame) - 4, float("nan"))
    with pytest.raises(ProtocolError, match="finite"):
        codec.decode(bytes(frame))
    frame = bytearray(codec.encode(m.Push(1, (record(),) * 5)))
    assert frame[1] == codec.COLUMNS_VERSION
    struct.pack_into("<f", frame, len(frame) - 4, float("nan"))
    with pytest.raises(ProtocolError, match="finite"):
        codec.decode(bytes(frame))


def test_another_version_is_refused_with_advice() -> None:
    """A newer frame is not guessed at."""
    frame = bytearray(codec.encode(m.Ack(1, {}, {})))
    frame[1] = 2
    with pytest.raises(ProtocolError, match="run the same version"):
        codec.decode(bytes(frame))
    frame = bytearray(codec.encode(m.Push(1, (record(),) * 5)))
    for version in (1, 3):
        frame[1] = version
        with pytest.raises(ProtocolError, match="run the same version"):
            codec.decode(bytes(frame))


@given(st.lists(MESSAGES, max_size=5), st.integers(1, 60))
def test_a_stream_is_cut_into_frames(messages: list[m.Message], step: int) -> None:
    """Frames come out whole and in order, however the bytes arrive."""
    stream = b"".join(map(codec.encode, messages))
    frames, found = codec.Frames(), []
    for start in range(0, len(stream), step):
        found += [codec.decode(f) for f in frames.feed(stream[start : start + step])]
    assert len(found) == len(messages)
    assert all(map(alike, found, messages))


def test_a_stream_of_something_else_is_refused_at_once() -> None:
    """A wrong head, or a frame that is too long, ends the stream before anything is kept."""
    with pytest.raises(ProtocolError):
        list(codec.Frames().feed(b"GET / HTTP/1.1\r\n\r\n"))
    with pytest.raises(ProtocolError, match="at most 100"):
        list(codec.Frames(100).feed(codec.encode(m.Push(1, (record(),)))))
