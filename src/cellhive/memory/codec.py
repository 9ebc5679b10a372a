"""Bytes of records and of messages: bounded, versioned, and safe to read from anybody.

A frame is a head and three parts::

    0xC1  version  type  flags | meta bytes, vector bytes, payload bytes (u32 each) | ...

``meta`` is MessagePack (everything but the two below), the vectors follow as raw
little-endian float32, then the payloads. The flags say which of meta and payloads are
zstd frames; vectors are not worth compressing. Whatever the bytes, reading gives a value or
ProtocolError, and takes memory in proportion to the frame: a compressed part has to declare
its size, within the bound, before anything is unpacked. What cannot be read back by a peer
cannot be written either: ``fault`` is the one rule for both, and for what a store accepts.
"""

from __future__ import annotations

import math
import operator
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, cast

import msgspec
import numpy as np
import zstandard

from cellhive.core.errors import BadInput, ProtocolError
from cellhive.core.records import Metadata, Namespace, Record, RecordKind, Version
from cellhive.core.types import Floats32
from cellhive.memory import messages as m

VERSION = 1
"""Of frames and stored bodies; what a newer one writes is refused, not guessed at."""
HEAD_BYTES = 16
MOST_META_BYTES = 16 << 20
MOST_VECTOR_BYTES = 16 << 20
MOST_PAYLOAD_BYTES = 64 << 20
MOST_FRAME_BYTES = HEAD_BYTES + MOST_META_BYTES + MOST_VECTOR_BYTES + MOST_PAYLOAD_BYTES
"""Bounds of one frame, unpacked."""

MOST_COMPONENTS = 65_536
MOST_ID_CHARACTERS = 512
MOST_TEXT_CHARACTERS = 1 << 20
MOST_METADATA_ENTRIES = 65_536
MOST_METADATA_CHARACTERS = 1 << 20
"""Bounds of one record; a payload may fill what a frame holds."""

COMPRESS_FROM_BYTES = 2_048
LEVEL = 3

_MAGIC = 0xC1  # a byte that MessagePack never uses: bodies of other formats are told apart
_META_PACKED, _PAYLOADS_PACKED = 1, 2
_HEAD = struct.Struct("<BBBBIII")
_RECORD_TYPE = 0
_KINDS = {1: RecordKind.PATTERN, 2: RecordKind.RESULT, 3: RecordKind.ACTION,
          4: RecordKind.OUTCOME, 5: RecordKind.MODEL}  # fmt: skip
_CODE_OF_KIND = {kind._value_: code for code, kind in _KINDS.items()}  # an enum hashes slowly
_FLOATS = np.dtype("<f4")
_SWAPPED = np.dtype(np.float32) != _FLOATS
_LIMIT = 1 << 63

Text = Annotated[str, msgspec.Meta(max_length=MOST_TEXT_CHARACTERS)]
Facts = Annotated[dict[m.Name, bool | int | float | str | tuple[str, ...] | None],
                  msgspec.Meta(max_length=MOST_METADATA_ENTRIES)]  # fmt: skip


class _Body(msgspec.Struct, array_like=True, gc=False):
    """A record without its vector and payload, of which it has the sizes."""

    namespace: m.Name
    id: Annotated[str, msgspec.Meta(max_length=MOST_ID_CHARACTERS)]
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


_PUSH, _BATCH = 3, 6
_PLAIN: dict[int, type[Any]] = {
    1: m.Hello, 2: m.Digest, 4: m.Ack, 5: m.Ask, 7: m.Summary, 8: m.Listing, 9: m.Refusal,
}  # fmt: skip
_CODE_OF_TYPE = {kind: code for code, kind in _PLAIN.items()}
_encode = msgspec.msgpack.Encoder().encode
_DECODE: dict[int, Callable[[bytes], Any]] = {
    code: msgspec.msgpack.Decoder(kind).decode
    for code, kind in {_RECORD_TYPE: _Body, _PUSH: _Push, _BATCH: _Batch, **_PLAIN}.items()
}


def encode(message: m.Message, *, checked: bool = False) -> bytes:
    """Return the frame of a message.

    Args:
        message: Any of them.
        checked: Whether its records are known to have no ``fault``.

    Raises:
        BadInput: A record is one that no peer would take (``fault``), or the message is
            larger than a frame may be; send fewer records.
    """
    match message:
        case m.Push(number, records, withheld):
            bodies, vectors, payloads = _split(records, checked=checked)
            return _frame(_PUSH, _Push(number, bodies, withheld), vectors, payloads)
        case m.Batch(session, number, part, records, covers, complete):
            bodies, vectors, payloads = _split(records, checked=checked)
            body = _Batch(session, number, part, bodies, covers, complete)
            return _frame(_BATCH, body, vectors, payloads)
        case _:
            return _frame(_CODE_OF_TYPE[type(message)], message, [], [])


def decode(frame: bytes) -> m.Message:
    """Return the message of one whole frame, or raise ProtocolError."""
    code, meta, vectors, payloads = _parts(frame)
    if code == _RECORD_TYPE or code not in _DECODE:
        raise ProtocolError(expected="a message type from 1 to 9", found=str(code))
    body = _unpack(code, meta)
    if isinstance(body, _Push):
        return m.Push(body.number, _join(body.records, vectors, payloads), body.withheld)
    if isinstance(body, _Batch):
        records = _join(body.records, vectors, payloads)
        return m.Batch(body.session, body.number, body.part, records, body.covers, body.complete)
    if vectors or payloads:
        raise ProtocolError(expected="no vectors here", found="some")
    if isinstance(body, m.Hello | m.Digest):
        for namespace in body.namespaces:
            _check_namespace(namespace)
    message: m.Message = body
    return message


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
    magic, version, _, flags, meta, vectors, payloads = _HEAD.unpack_from(head)
    if magic != _MAGIC or version != VERSION or flags & ~(_META_PACKED | _PAYLOADS_PACKED):
        raise ProtocolError(
            expected=f"a frame of version {VERSION}",
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
        if not self._held and len(data) >= HEAD_BYTES and frame_bytes(data) == len(data):
            return (self._bounded(data),)
        return self._cut(data)

    def _bounded(self, frame: bytes) -> bytes:
        if len(frame) > self._most_bytes:
            raise ProtocolError(
                expected=f"frames of at most {self._most_bytes} bytes", found=f"{len(frame)}"
            )
        return frame

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


def fault(record: Record) -> str:
    """Return why a record cannot be kept and shared, or "" where it can.

    Strings have no NUL (PostgreSQL takes none) and no lone surrogates, numbers are finite,
    and everything is within the bounds above. Whether a vector fits its namespace is for
    those to say who know the namespace.
    """
    if _surely_fine(record):
        return ""
    vector = record.vector
    return (
        _names_fault(record)
        or ("" if vector is None else _vector_fault(vector))
        or (_metadata_fault(record.metadata) if record.metadata else "")
    )


def _surely_fine(record: Record) -> bool:
    """Whether a usual record has no fault: all its words are ASCII, and short all together.

    False says nothing. It stands on the way from a write to a search, so it is one function.
    """
    version, vector = record.version, record.vector
    words = [record.namespace, record.id, record.origin, record.text, version.writer]
    for name, value in record.metadata.items():
        words.append(name)
        kind = type(value)
        if kind is str:
            words.append(cast(str, value))
        elif kind is int or kind is float:
            if not -_LIMIT <= cast(float, value) < _LIMIT:
                return False
        elif kind is not bool and value is not None:
            return False
    try:
        joined = "".join(words)
    except TypeError:
        return False
    return (
        len(joined) <= m.LONGEST_NAME
        and joined.isascii()
        and "\0" not in joined
        and bool(record.namespace and record.id)
        and 0 <= version.time_hlc < _LIMIT
        and 0 <= version.sequence < _LIMIT
        and -_LIMIT <= record.time_s < _LIMIT
        and len(record.payload) <= MOST_PAYLOAD_BYTES
        and (vector is None or not _vector_fault(vector))
    )


def _names_fault(record: Record) -> str:
    """Return what is wrong with strings, times and sizes of a record, or ""."""
    namespace, name, origin = record.namespace, record.id, record.origin
    text, version = record.text, record.version
    sizes = (len(namespace), len(name), len(origin), len(version.writer))
    most = (m.LONGEST_NAME, MOST_ID_CHARACTERS, m.LONGEST_NAME, m.LONGEST_NAME)
    if not namespace or not name or any(map(operator.gt, sizes, most)):
        found = f"namespace, id, origin and writer of 1 to {most} characters expected, found"
        return f"{found} {sizes}"
    if len(text) > MOST_TEXT_CHARACTERS or len(record.payload) > MOST_PAYLOAD_BYTES:
        return (
            f"a text of at most {MOST_TEXT_CHARACTERS} characters and a payload of at most"
            f" {MOST_PAYLOAD_BYTES} bytes expected, found {len(text)} and {len(record.payload)}"
        )
    if not is_writable(f"{namespace}{name}{origin}{text}{version.writer}"):
        return "text without NUL and without lone surrogates expected"
    numbered = 0 <= version.time_hlc < _LIMIT and 0 <= version.sequence < _LIMIT
    if not (numbered and math.isfinite(record.time_s)):
        return f"finite times expected, found {record.time_s} and {version}"
    return ""


def weight_bytes(record: Record) -> int:
    """Return about how many bytes a record takes in a frame [bytes]; cheap, never far too low."""
    size = 160 + len(record.payload) + 3 * len(record.text)
    if record.vector is not None:
        size += 4 * len(record.vector)
    for name, value in record.metadata.items():
        size += len(name)
        if isinstance(value, str):
            size += 3 * len(value)
        elif isinstance(value, tuple):
            size += sum(3 * len(tag) + 5 for tag in value)
        else:
            size += 16
    return size


def is_writable(words: str) -> bool:
    """Whether a string can be encoded and has no NUL."""
    if "\0" in words:
        return False
    if words.isascii():
        return True
    try:
        words.encode()
    except UnicodeEncodeError:
        return False
    return True


def _vector_fault(vector: Floats32) -> str:
    """Return what is wrong with a vector, or ""."""
    if vector.ndim != 1 or vector.dtype != np.float32 or not 0 < len(vector) <= MOST_COMPONENTS:
        return (
            f"a float32 vector of 1 to {MOST_COMPONENTS} components expected,"
            f" found {vector.dtype} {vector.shape}"
        )
    # a finite length means finite components; only an infinite one needs a closer look
    if not math.isfinite(float(np.dot(vector, vector))) and not np.isfinite(vector).all():
        return "finite vector components expected, found NaN or infinity"
    return ""


def _metadata_fault(metadata: Metadata) -> str:
    """Return what is wrong with metadata, or ""."""
    words = list(metadata)
    for name, value in metadata.items():
        if isinstance(value, str):
            words.append(value)
        elif isinstance(value, tuple):
            words += value
        elif isinstance(value, float):
            if not math.isfinite(value):
                return f"a finite number expected for {name!r}, found {value}"
        elif value is not None and not (isinstance(value, int) and -_LIMIT <= value < _LIMIT):
            return f"text, a 64-bit number, truth, None or tags expected for {name!r}"
    longest = max(map(len, metadata))
    try:
        joined = "".join(words)
    except TypeError:
        return "tags that are text expected in metadata"
    if longest > m.LONGEST_NAME or len(metadata) > MOST_METADATA_ENTRIES:
        return (
            f"at most {MOST_METADATA_ENTRIES} facts with names of at most {m.LONGEST_NAME}"
            f" characters expected, found {len(metadata)} and {longest}"
        )
    if len(joined) + len(words) > MOST_METADATA_CHARACTERS:
        return f"metadata of at most {MOST_METADATA_CHARACTERS} characters expected"
    return "" if is_writable(joined) else "metadata without NUL and lone surrogates expected"


def _split(
    records: tuple[Record, ...], *, checked: bool = False
) -> tuple[list[_Body], list[bytes], list[bytes]]:
    """Return bodies, the bytes of the vectors and the payloads."""
    bodies, vectors, payloads = [], [], []
    if len(records) > m.MOST_RECORDS:
        raise BadInput(expected=f"at most {m.MOST_RECORDS} records", found=str(len(records)))
    for record in records:
        if not checked and (found := fault(record)):
            raise BadInput(
                expected="a record that replicas can take", found=found,
                place=f"{record.namespace[:80]}/{record.id[:80]}",
            )  # fmt: skip
        vector, version = record.vector, record.version
        if vector is not None:
            vectors.append((vector.astype(_FLOATS) if _SWAPPED else vector).tobytes())
        if record.payload:
            payloads.append(record.payload)
        body = _Body(
            namespace=record.namespace,
            id=record.id,
            kind=_CODE_OF_KIND[record.kind._value_],
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


def _frame(code: int, body: object, vectors: list[bytes], payloads: list[bytes]) -> bytes:
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
    if len(meta) >= COMPRESS_FROM_BYTES:
        meta, flags = _packed(meta, flags, _META_PACKED)
    if len(loose) >= COMPRESS_FROM_BYTES:
        loose, flags = _packed(loose, flags, _PAYLOADS_PACKED)
    head = _HEAD.pack(_MAGIC, VERSION, code, flags, len(meta), len(floats), len(loose))
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
    size = frame_bytes(frame[:HEAD_BYTES])
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
        kind = _KINDS.get(body.kind)
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
            vector = np.frombuffer(vectors, _FLOATS, components, vector_at)
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
