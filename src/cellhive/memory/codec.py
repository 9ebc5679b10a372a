"""Bytes of records and of messages: bounded, versioned, and safe to read from anybody.

A frame is a head and three parts::

    0xC1  version  type  flags | meta bytes, vector bytes, payload bytes (u32 each) | ...

``meta`` is MessagePack (everything but the two below), the vectors follow as raw
little-endian float32, then the payloads. The flags say which of meta and payloads are
zstd frames; vectors are not worth compressing. Records lie in ``meta`` one after the other
or, where many are alike, as ``columns``; frames with columns have a version of their own.
Whatever the bytes, reading gives a value or
ProtocolError, and takes memory in proportion to the frame: a compressed part has to declare
its size, within the bound, before anything is unpacked. What cannot be read back by a peer
cannot be written either: ``fault`` is the one rule for both, and for what a store accepts.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, cast

import msgspec
import numpy as np
import zstandard

from cellhive.core.errors import BadInput, ProtocolError
from cellhive.core.records import Namespace, Record, Version
from cellhive.memory import messages as m
from cellhive.memory.batches.columns import (
    CODE_OF_KIND,
    FLOATS,
    KINDS,
    Columns,
    Facts,
    Id,
    Text,
    columns_of,
    records_of,
)
from cellhive.memory.batches.faults import MOST_COMPONENTS, MOST_PAYLOAD_BYTES, fault, is_writable

VERSION, COLUMNS_VERSION = 1, 2
"""Of frames and stored bodies; what a newer one writes is refused, not guessed at."""
HEAD_BYTES = 16
MOST_META_BYTES = 16 << 20
MOST_VECTOR_BYTES = 16 << 20
MOST_FRAME_BYTES = HEAD_BYTES + MOST_META_BYTES + MOST_VECTOR_BYTES + MOST_PAYLOAD_BYTES
"""Bounds of one frame, unpacked."""

COMPRESS_FROM_BYTES = 2_048
LEVEL = 3

_MAGIC = 0xC1  # a byte that MessagePack never uses: bodies of other formats are told apart
_META_PACKED, _PAYLOADS_PACKED = 1, 2
_MOST_FLAGS = _META_PACKED | _PAYLOADS_PACKED
_HEAD = struct.Struct("<BBBBIII")
_RECORD_TYPE = 0
_SWAPPED = np.dtype(np.float32) != FLOATS


class _Body(msgspec.Struct, array_like=True, gc=False):
    """A record without its vector and payload, of which it has the sizes."""

    namespace: m.Name
    id: Id
    kind: int
    components: Annotated[int, msgspec.Meta(ge=-1, le=MOST_COMPONENTS)]
    payload_bytes: Annotated[int, msgspec.Meta(ge=0, le=MOST_PAYLOAD_BYTES)]
    metadata: Facts
    text: Text
    time_s: float
    origin: m.Name
    time_hlc: m.Count
    writer: m.Name
    sequence: m.Count
    deleted: bool


Bodies = Annotated[list[_Body], msgspec.Meta(max_length=m.MOST_RECORDS)]


class _Push(msgspec.Struct, array_like=True):
    """A Push whose vectors and payloads lie elsewhere in the frame."""

    number: m.Count
    records: Bodies
    withheld: Annotated[tuple[m.Run, ...], msgspec.Meta(max_length=m.MOST_RECORDS)]


class _Batch(msgspec.Struct, array_like=True):
    """A Batch whose vectors and payloads lie elsewhere in the frame."""

    session: m.Name
    number: m.Count
    part: m.Count
    records: Bodies
    covers: m.Vector
    complete: bool


class _PushColumns(msgspec.Struct, array_like=True):
    """A Push whose records are columns."""

    number: m.Count
    columns: Columns
    withheld: Annotated[tuple[m.Run, ...], msgspec.Meta(max_length=m.MOST_RECORDS)]


class _BatchColumns(msgspec.Struct, array_like=True):
    """A Batch whose records are columns."""

    session: m.Name
    number: m.Count
    part: m.Count
    columns: Columns
    covers: m.Vector
    complete: bool


_PUSH, _BATCH, _PUSH_COLUMNS, _BATCH_COLUMNS = 3, 6, 10, 11
_PLAIN_PUSH = bytes((_MAGIC, VERSION, _PUSH, 0))
"""How the frame of a push begins of which nothing is packed."""
_VERSION_OF_TYPE = {_PUSH_COLUMNS: COLUMNS_VERSION, _BATCH_COLUMNS: COLUMNS_VERSION}
_PLAIN: dict[int, type[Any]] = {
    1: m.Hello, 2: m.Digest, 4: m.Ack, 5: m.Ask, 7: m.Summary, 8: m.Listing, 9: m.Refusal,
}  # fmt: skip
_CODE_OF_TYPE = {kind: code for code, kind in _PLAIN.items()}
_encode = msgspec.msgpack.Encoder().encode
_WITH_RECORDS: dict[int, type[Any]] = {
    _RECORD_TYPE: _Body, _PUSH: _Push, _BATCH: _Batch, _PUSH_COLUMNS: _PushColumns,
    _BATCH_COLUMNS: _BatchColumns,
}  # fmt: skip
_DECODE: dict[int, Callable[[bytes], Any]] = {
    code: msgspec.msgpack.Decoder(kind).decode for code, kind in {**_WITH_RECORDS, **_PLAIN}.items()
}


def encode(message: m.Message, *, checked: bool = False, packed: bool = True) -> bytes:
    """Return the frame of a message.

    Args:
        message: Any of them.
        checked: Whether its records are known to have no ``fault``.
        packed: Whether to compress; no use where it does not go over a network.

    Raises:
        BadInput: A record is one that no peer would take (``fault``), or the message is
            larger than a frame may be; send fewer records.
    """
    if type(message) is m.Push and len(message.records) == 1:  # on its way to a search
        bodies, vectors, payloads = _split(message.records, checked=checked)
        push = _Push(message.number, bodies, message.withheld)
        return _frame(_PUSH, push, vectors, payloads, packed=packed)
    code = _CODE_OF_TYPE.get(type(message))
    if code is not None:
        return _frame(code, message, [], [], packed=packed)
    message = cast("m.Push | m.Batch", message)
    records = message.records
    if len(records) > m.MOST_RECORDS:
        raise BadInput(expected=f"at most {m.MOST_RECORDS} records", found=str(len(records)))
    found = columns_of(records, checked=checked)
    if found is not None:
        columns, floats, payloads = found
        return _frame(*_with_columns(message, columns), [floats], payloads, packed=packed)
    bodies, vectors, payloads = _split(records, checked=checked)
    return _frame(*_with_bodies(message, bodies), vectors, payloads, packed=packed)


def _with_bodies(message: m.Push | m.Batch, bodies: list[_Body]) -> tuple[int, _Push | _Batch]:
    if isinstance(message, m.Push):
        return _PUSH, _Push(message.number, bodies, message.withheld)
    told = message
    return _BATCH, _Batch(
        told.session, told.number, told.part, bodies, dict(told.covers), told.complete
    )


def _with_columns(
    message: m.Push | m.Batch, columns: Columns
) -> tuple[int, _PushColumns | _BatchColumns]:
    if isinstance(message, m.Push):
        return _PUSH_COLUMNS, _PushColumns(message.number, columns, message.withheld)
    told = message
    return _BATCH_COLUMNS, _BatchColumns(
        told.session, told.number, told.part, columns, dict(told.covers), told.complete
    )


def decode(frame: bytes) -> m.Message:
    """Return the message of one whole frame, or raise ProtocolError."""
    if frame[:4] == _PLAIN_PUSH and frame_bytes(frame) == len(frame):
        # nothing is packed, and it is on its way to a search: no detours
        _, _, _, _, meta_bytes, vector_bytes, _ = _HEAD.unpack_from(frame)
        vectors_from = HEAD_BYTES + meta_bytes
        payloads_from = vectors_from + vector_bytes
        push = _unpack(_PUSH, frame[HEAD_BYTES:vectors_from])
        records = _join(push.records, frame[vectors_from:payloads_from], frame[payloads_from:])
        return m.Push(push.number, records, push.withheld)
    code, meta, vectors, payloads = _parts(frame)
    if code == _RECORD_TYPE or code not in _DECODE:
        raise ProtocolError(expected="a message type from 1 to 11", found=str(code))
    body = _unpack(code, meta)
    if isinstance(body, _Push | _PushColumns):
        return m.Push(body.number, _records(body, vectors, payloads), body.withheld)
    if isinstance(body, _Batch | _BatchColumns):
        records = _records(body, vectors, payloads)
        return m.Batch(body.session, body.number, body.part, records, body.covers, body.complete)
    if vectors or payloads:
        raise ProtocolError(expected="no vectors here", found="some")
    if isinstance(body, m.Hello | m.Digest):
        for namespace in body.namespaces:
            _check_namespace(namespace)
    message: m.Message = body
    return message


def _records(
    body: _Push | _PushColumns | _Batch | _BatchColumns, vectors: bytes, payloads: bytes
) -> tuple[Record, ...]:
    if isinstance(body, _PushColumns | _BatchColumns):
        return records_of(body.columns, vectors, payloads)
    return _join(body.records, vectors, payloads)


def encode_record(record: Record) -> bytes:
    """Return the bytes of one record, as a log may keep it; raise BadInput (``fault``)."""
    bodies, vectors, payloads = _split((record,))
    return _frame(_RECORD_TYPE, bodies[0], vectors, payloads)


def decode_record(data: bytes) -> Record:
    """Return the record that ``encode_record`` wrote, or raise ProtocolError."""
    code, meta, vectors, payloads = _parts(data)
    if code != _RECORD_TYPE:
        raise ProtocolError(expected="a record", found=f"a message of type {code}")
    (record,) = _join([_unpack(code, meta)], vectors, payloads)
    return record


def frame_bytes(head: bytes) -> int:
    """Return how long the frame is that begins with this head, or raise ProtocolError."""
    if len(head) < HEAD_BYTES:
        raise ProtocolError(expected=f"{HEAD_BYTES} bytes of head", found=f"{len(head)} bytes")
    magic, version, code, flags, meta, vectors, payloads = _HEAD.unpack_from(head)
    expected = _VERSION_OF_TYPE.get(code, VERSION)
    if magic != _MAGIC or version != expected or flags > _MOST_FLAGS:
        raise ProtocolError(
            expected=f"a frame of version {expected}",
            found=f"bytes {head[:4].hex()}",
            remedy="run the same version of CellHive at both ends",
        )
    if meta > MOST_META_BYTES or vectors > MOST_VECTOR_BYTES or payloads > MOST_PAYLOAD_BYTES:
        raise ProtocolError(
            expected=f"at most {MOST_META_BYTES}, {MOST_VECTOR_BYTES} and {MOST_PAYLOAD_BYTES}"
            " bytes of facts, vectors and payloads",
            found=f"{meta}, {vectors} and {payloads}",
        )
    return HEAD_BYTES + int(meta) + int(vectors) + int(payloads)


class Frames:
    """Cuts a stream of bytes into frames; holds at most one that is incomplete."""

    def __init__(self, most_bytes: int = MOST_FRAME_BYTES) -> None:
        """Start with nothing; frames longer than ``most_bytes`` are refused at their head."""
        self._most_bytes = most_bytes
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterable[bytes]:
        """Take what came in and return the frames that are whole, or raise ProtocolError."""
        size = len(data)
        if not self._held and HEAD_BYTES <= size <= self._most_bytes and frame_bytes(data) == size:
            return (data,)
        return self._cut(data)

    def _cut(self, data: bytes) -> Iterator[bytes]:
        self._held += data
        start = 0
        try:
            while len(self._held) - start >= HEAD_BYTES:
                size = frame_bytes(bytes(self._held[start : start + HEAD_BYTES]))
                if size > self._most_bytes:
                    raise ProtocolError(
                        expected=f"frames of at most {self._most_bytes} bytes", found=f"{size}"
                    )
                if len(self._held) - start < size:
                    break
                yield bytes(self._held[start : start + size])
                start += size
        finally:
            del self._held[:start]


def _split(
    records: tuple[Record, ...], *, checked: bool = False
) -> tuple[list[_Body], list[bytes], list[bytes]]:
    """Return bodies, the bytes of the vectors and the payloads."""
    bodies, vectors, payloads = [], [], []
    for record in records:
        if not checked and (found := fault(record)):
            raise BadInput(
                expected="a record that replicas can take", found=found,
                place=f"{record.namespace[:80]}/{record.id[:80]}",
            )  # fmt: skip
        vector, version = record.vector, record.version
        if vector is not None:
            vectors.append((vector.astype(FLOATS) if _SWAPPED else vector).tobytes())
        if record.payload:
            payloads.append(record.payload)
        body = _Body(
            namespace=record.namespace,
            id=record.id,
            kind=CODE_OF_KIND[record.kind._value_],
            components=-1 if vector is None else len(vector),
            payload_bytes=len(record.payload),
            metadata=record.metadata,  # type: ignore[arg-type]  # encoded as it is, not kept
            text=record.text,
            time_s=record.time_s,
            origin=record.origin,
            time_hlc=version.time_hlc,
            writer=version.writer,
            sequence=version.sequence,
            deleted=record.deleted,
        )
        bodies.append(body)
    return bodies, vectors, payloads


def _frame(
    code: int, body: object, vectors: list[bytes], payloads: list[bytes], *, packed: bool = True
) -> bytes:
    """Return a frame; raise BadInput where a part is larger than it may be."""
    try:
        meta = _encode(body)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadInput(expected="values a message can hold", found=str(error)) from error
    floats, loose = b"".join(vectors), b"".join(payloads)
    if (
        len(meta) > MOST_META_BYTES
        or len(floats) > MOST_VECTOR_BYTES
        or len(loose) > MOST_PAYLOAD_BYTES
    ):
        raise BadInput(
            expected=f"at most {MOST_META_BYTES}, {MOST_VECTOR_BYTES} and {MOST_PAYLOAD_BYTES}"
            " bytes of facts, vectors and payloads",
            found=f"{len(meta)}, {len(floats)} and {len(loose)}",
            remedy="send fewer records at a time",
        )
    flags = 0
    if packed and len(meta) >= COMPRESS_FROM_BYTES:
        meta, flags = _packed(meta, flags, _META_PACKED)
    if packed and len(loose) >= COMPRESS_FROM_BYTES:
        loose, flags = _packed(loose, flags, _PAYLOADS_PACKED)
    version = _VERSION_OF_TYPE.get(code, VERSION)
    head = _HEAD.pack(_MAGIC, version, code, flags, len(meta), len(floats), len(loose))
    return b"".join((head, meta, floats, loose))


def _packed(part: bytes, flags: int, flag: int) -> tuple[bytes, int]:
    """Return a part compressed and its flag set, or as it was where that makes it no smaller."""
    packed = zstandard.ZstdCompressor(level=LEVEL).compress(part)
    return (packed, flags | flag) if len(packed) < len(part) else (part, flags)


def _unpacked(part: bytes, most_bytes: int) -> bytes:
    """Return a compressed part as it was, refusing one that does not say how large it is."""
    try:
        declared = zstandard.frame_content_size(part)
        if not 0 <= declared <= most_bytes:
            raise ProtocolError(
                expected=f"a compressed part that declares at most {most_bytes} bytes",
                found=str(declared),
            )
        whole = zstandard.ZstdDecompressor().decompress(part, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise ProtocolError(expected="a zstd frame", found=str(error)) from error
    if len(whole) != declared:
        raise ProtocolError(expected=f"{declared} bytes unpacked", found=str(len(whole)))
    return whole


def _parts(frame: bytes) -> tuple[int, bytes, bytes, bytes]:
    """Return type, meta, vectors and payloads of a frame, all unpacked."""
    size = frame_bytes(frame)
    if len(frame) != size:
        raise ProtocolError(expected=f"a frame of {size} bytes", found=f"{len(frame)} bytes")
    _, _, code, flags, meta_bytes, vector_bytes, _ = _HEAD.unpack_from(frame)
    vectors_from = HEAD_BYTES + meta_bytes
    payloads_from = vectors_from + vector_bytes
    meta, payloads = frame[HEAD_BYTES:vectors_from], frame[payloads_from:]
    if flags & _META_PACKED:
        meta = _unpacked(meta, MOST_META_BYTES)
    if flags & _PAYLOADS_PACKED:
        payloads = _unpacked(payloads, MOST_PAYLOAD_BYTES)
    return code, meta, frame[vectors_from:payloads_from], payloads


def _unpack(code: int, meta: bytes) -> Any:
    """Return the meta part as the struct of its type."""
    try:
        return _DECODE[code](meta)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ProtocolError(expected="a well-formed message", found=str(error)) from error


def _join(bodies: list[_Body], vectors: bytes, payloads: bytes) -> tuple[Record, ...]:
    """Return records put together again; each part has to be used up exactly."""
    records = []
    vector_at = payload_at = 0
    for body in bodies:
        kind = KINDS.get(body.kind)
        components = max(body.components, 0)
        payload_to = payload_at + body.payload_bytes
        if kind is None or vector_at + 4 * components > len(vectors) or payload_to > len(payloads):
            raise ProtocolError(
                expected="a record of a known kind, with its vector and payload",
                found=f"kind {body.kind}, {body.components} components,"
                f" {body.payload_bytes} bytes of payload",
            )
        vector = None
        if body.components >= 0:
            vector = np.ndarray((components,), FLOATS, vectors, vector_at)
            if _SWAPPED:
                vector = vector.astype(np.float32)
        record = Record(
            body.namespace, body.id, kind, vector, body.metadata, body.text,
            payloads[payload_at:payload_to], body.time_s, body.origin,
            Version(body.time_hlc, body.writer, body.sequence), body.deleted,
        )  # fmt: skip
        if found := fault(record):
            raise ProtocolError(expected="a record that replicas can take", found=found)
        records.append(record)
        vector_at += 4 * components
        payload_at = payload_to
    if vector_at != len(vectors) or payload_at != len(payloads):
        raise ProtocolError(
            expected=f"{vector_at} bytes of vectors and {payload_at} of payloads",
            found=f"{len(vectors)} and {len(payloads)}",
        )
    return tuple(records)


def _check_namespace(namespace: Namespace) -> None:
    """Raise ProtocolError where a namespace cannot be."""
    named = 0 < len(namespace.name) <= m.LONGEST_NAME and is_writable(namespace.name)
    features = namespace.features
    if (
        not named
        or not 0 < namespace.dimension <= MOST_COMPONENTS
        or len(features) not in (0, namespace.dimension)
        or not all(len(name) <= m.LONGEST_NAME and is_writable(name) for name in features)
    ):
        raise ProtocolError(
            expected=f"a namespace with a name and 1 to {MOST_COMPONENTS} components",
            found=f"{namespace.name[:80]!r} with {namespace.dimension}",
        )
