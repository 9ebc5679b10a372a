"""Records as the columns of a row, and back: compressed, encrypted where asked for, checked."""

from __future__ import annotations

import math
import struct
import threading
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple
from zlib import crc32

import msgspec
import numpy as np
import zstandard

from cellhive.adapters.embedded.encryption import Cipher
from cellhive.adapters.embedded.schema import HIGHEST, REMEDY
from cellhive.core.errors import BadInput
from cellhive.core.records import (
    NOT_WRITTEN,
    Metadata,
    Namespace,
    Record,
    RecordKind,
    Version,
    buried,
)

KIND_NUMBERS: Final = {
    RecordKind.PATTERN: 1,
    RecordKind.RESULT: 2,
    RecordKind.ACTION: 3,
    RecordKind.OUTCOME: 4,
    RecordKind.MODEL: 5,
}
_KINDS = {number: kind for kind, number in KIND_NUMBERS.items()}

_WORTH_PACKING_BYTES = 256
"""Shorter values are left as they are: compressing gains little and costs more."""
_MOST_BYTES = 900_000_000
_RAW, _ZSTD = b"\0", b"\1"
_MASK = 0xFFFF_FFFF
_FLOATS = np.dtype("<f4")
_TIME = struct.Struct("<d")
_PAIR = struct.Struct("<qq")
_NOT_AS_WRITTEN = (
    ValueError, TypeError, KeyError, AttributeError, OverflowError, struct.error,
    zstandard.ZstdError,
)  # fmt: skip
"""What reading a row raises whose values are not of the types they were written with."""
_PLAIN = frozenset((str, int, float, bool, type(None)))
_NAMES = frozenset((str,))

_Values = dict[str, str | int | float | bool | tuple[str, ...] | None]
_encode_metadata = msgspec.msgpack.Encoder().encode
_decode_metadata = msgspec.msgpack.Decoder(_Values).decode


class Encoded(NamedTuple):
    """A record ready to be written, but for its row, version and change."""

    namespace: str
    id: str
    version: Version | None
    """None where the log is to stamp it."""
    text: str
    """Words to be found by."""
    upper: int
    """Checksum of the vector, to be completed by ``checksum``."""
    low: int
    """Checksum of the other values, to be completed by ``checksum``."""
    kind: int
    deleted: int
    time_s: float
    origin: str
    vector: bytes | None
    metadata: bytes | None
    words: str | bytes | None
    payload: bytes | None

    @property
    def body(self) -> tuple[Any, ...]:
        """Columns from ``kind`` on, but for the checksum."""
        return self[6:]


class _Packing(threading.local):
    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=1)
        self.decompressor = zstandard.ZstdDecompressor()


_packing = _Packing()


def pack(data: bytes) -> bytes:
    """Return data compressed where that makes it shorter, marked as what it is."""
    if len(data) >= _WORTH_PACKING_BYTES:
        packed = _packing.compressor.compress(data)
        if len(packed) < len(data):
            return _ZSTD + packed
    return _RAW + data


def unpack(data: bytes) -> bytes:
    """Return what ``pack`` was given."""
    if data[:1] == _ZSTD:
        return _packing.decompressor.decompress(memoryview(data)[1:])
    return data[1:]


class RowCodec:
    """Turns records into columns and columns into records."""

    def __init__(self, cipher: Cipher | None) -> None:
        """Encrypt under a cipher, or not."""
        self._cipher = cipher

    def encode(self, record: Record, namespace: Namespace) -> Encoded:
        """Return a record as it is kept.

        Raises:
            BadInput: It could not come back as it is.
        """
        try:
            return self._encode(record, namespace)
        except (TypeError, ValueError, OverflowError, AttributeError, KeyError) as error:
            raise BadInput(
                expected="a record of text, numbers, booleans and tags", found=str(error),
                remedy="convert its fields", place=f"record {record.id!r} of {record.namespace}",
            ) from error  # fmt: skip

    def _encode(self, record: Record, namespace: Namespace) -> Encoded:
        key = _key(record.namespace, record.id)
        if not math.isfinite(record.time_s):
            message = "the time"
            raise _unfit(message, record.time_s)
        vector = text = payload = None
        if record.deleted:
            record = buried(record)
        metadata = _metadata_bytes(record.metadata) if record.metadata else None
        if not record.deleted:
            vector = _vector_bytes(record, namespace.dimension)
            text = record.text.encode() or None
            payload = pack(bytes(record.payload)) if record.payload else None
            if len(text or b"") + len(payload or b"") > _MOST_BYTES:
                message = "bytes beyond"
                raise _unfit(message, _MOST_BYTES)
            if self._cipher is not None:
                vector = self._seal(vector, key, b"vector")
                text = self._seal(pack(text) if text else None, key, b"text")
                payload = self._seal(payload, key, b"payload")
        if self._cipher is not None:
            metadata = self._seal(metadata, key, b"metadata")
        kind = KIND_NUMBERS[record.kind]
        time_s, origin = float(record.time_s), record.origin
        rest = (metadata, text, payload, origin.encode(), _TIME.pack(time_s))
        words: Any = text if self._cipher is not None or text is None else record.text
        deleted = int(record.deleted)
        upper, low = _sums(key, kind << 1 | deleted, vector, rest, isinstance(words, str))
        return Encoded(
            record.namespace, record.id, _stamp(record.version),
            "" if deleted else record.text, upper, low,
            kind, deleted, time_s, origin, vector, metadata, words, payload,
        )  # fmt: skip

    def _seal(self, data: bytes | None, key: bytes, column: bytes) -> bytes | None:
        if data is None or self._cipher is None:
            return None
        return self._cipher.seal(data, column + key)

    def decode(self, namespace: str, writer: str, columns: Sequence[Any]) -> Record:
        """Return a record from ``STORED_COLUMNS``.

        Raises:
            BadInput: The row is damaged.
        """
        (_, _, hlc, sequence, id_, kind, deleted, time_s, origin,
         vector, metadata, text, payload, _) = columns  # fmt: skip
        plain = self._cipher is None
        try:
            if columns[-1] != checksum_of(namespace, writer, columns):
                raise damaged(namespace, id_, "another checksum")
            key = _key(namespace, id_)
            values = None if vector is None else self._opened(vector, key, b"vector")
            opened = self._opened(payload, key, b"payload") if payload else b""
            return Record(
                namespace, id_, _KINDS[kind],
                None if values is None else np.frombuffer(values, "<f4"),
                self._metadata(metadata, key),
                (text or "") if plain else self.words(namespace, id_, text),
                unpack(opened), time_s, origin, Version(hlc, writer, sequence), bool(deleted),
            )  # fmt: skip
        except _NOT_AS_WRITTEN as error:
            raise damaged(namespace, id_, f"{type(error).__name__}: {error}") from error

    def vector(self, namespace: str, columns: Sequence[Any]) -> bytes | None:
        """Return the bytes of a vector from ``VECTOR_COLUMNS``; None where there is none.

        Raises:
            BadInput: The row is damaged, as far as these columns show.
        """
        row, change, id_, kind, deleted, stored, checksum = columns
        try:
            key = _key(namespace, id_)
            upper = _upper(key, kind << 1 | deleted, stored)
            if checksum >> 32 != crc32(_PAIR.pack(row, change), upper) >> 1:
                raise damaged(namespace, id_, "another checksum of the vector")
            return None if stored is None else self._opened(stored, key, b"vector")
        except _NOT_AS_WRITTEN as error:
            raise damaged(namespace, id_, f"{type(error).__name__}: {error}") from error

    def words(self, namespace: str, id_: str, stored: Any) -> str:
        """Return the text of a record as it was before it was encrypted."""
        if stored is None:
            return ""
        if self._cipher is None:
            return str(stored)
        return unpack(self._opened(stored, _key(namespace, id_), b"text")).decode()

    def _opened(self, data: bytes, key: bytes, column: bytes) -> bytes:
        return data if self._cipher is None else self._cipher.open(data, column + key)

    def _metadata(self, stored: bytes | None, key: bytes) -> Metadata:
        if stored is None:
            return {}
        return _decode_metadata(unpack(self._opened(stored, key, b"metadata")))


def intact(namespace: str, writer: str, columns: Sequence[Any]) -> bool:
    """Whether the values of ``STORED_COLUMNS`` are those that were written."""
    try:
        return bool(columns[-1] == checksum_of(namespace, writer, columns))
    except _NOT_AS_WRITTEN:
        return False


def checksum_of(namespace: str, writer: str, columns: Sequence[Any]) -> int:
    """Return the checksum that the values of ``STORED_COLUMNS`` should have."""
    (row, change, hlc, sequence, id_, kind, deleted, time_s, origin,
     vector, metadata, text, payload, _) = columns  # fmt: skip
    plain = isinstance(text, str)
    words = text.encode() if plain else text
    rest = (metadata, words, payload, origin.encode(), _TIME.pack(time_s))
    upper, low = _sums(_key(namespace, id_), kind << 1 | deleted, vector, rest, plain)
    return checksum(upper, low, (row, change), (hlc, sequence), writer.encode())


def checksum(
    upper: int, low: int, place: tuple[int, int], stamp: tuple[int, int], writer: bytes
) -> int:
    """Return the checksum of a row, 63 bits, now that it is known where and when it is written.

    The upper half covers what ``VECTOR_COLUMNS`` read, the lower half all the rest.

    Args:
        upper: Of the vector, as encoded.
        low: Of the other values, as encoded.
        place: Row and change.
        stamp: Time and sequence of the version.
        writer: Name of its writer.
    """
    upper = crc32(_PAIR.pack(*place), upper)
    return upper >> 1 << 32 | crc32(_PAIR.pack(*stamp) + writer, low)


def damaged(namespace: str, id_: object, found: str) -> BadInput:
    """Return the error that tells of a damaged record."""
    return BadInput(
        expected="an undamaged record", found=found,
        remedy=REMEDY, place=f"record {id_!r} of {namespace}",
    )  # fmt: skip


def _unfit(what: str, value: object) -> ValueError:
    return ValueError(f"{what} {value!r}")


def _key(namespace: str, id_: str) -> bytes:
    name = namespace.encode()
    return b"%d:%b:%b" % (len(name), name, id_.encode())


def _vector_bytes(record: Record, dimension: int) -> bytes | None:
    vector = record.vector
    if vector is None:
        return None
    if vector.shape != (dimension,):
        message = f"in place of {dimension} components the shape"
        raise _unfit(message, vector.shape)
    return (vector if vector.dtype == _FLOATS else vector.astype(_FLOATS)).tobytes()


def _metadata_bytes(metadata: Metadata) -> bytes:
    if not (
        _PLAIN.issuperset(map(type, metadata.values())) and _NAMES.issuperset(map(type, metadata))
    ):
        _must_be_fit(metadata)
    return pack(_encode_metadata(metadata))


def _must_be_fit(metadata: Metadata) -> None:
    for name, value in metadata.items():
        kind = type(value)
        if kind not in _PLAIN and not (
            kind is tuple and all(type(tag) is str for tag in value)  # type: ignore[union-attr]  # a tuple
        ):
            message = f"as {name!r} a value of type"
            raise _unfit(message, kind.__name__)
        if type(name) is not str:
            message = "the name"
            raise _unfit(message, name)


def _stamp(version: Version) -> Version | None:
    if version is NOT_WRITTEN or not version.written:
        return None
    if not (0 <= version.time_hlc < HIGHEST and version.sequence < HIGHEST and version.writer):
        message = "the version"
        raise _unfit(message, version)
    version.writer.encode()
    return version


def _upper(key: bytes, start: int, vector: bytes | None) -> int:
    """Return a checksum of key, kind, deletion and vector."""
    upper = crc32(key, start)
    return upper + 1 & _MASK if vector is None else crc32(vector, upper)


def _sums(
    key: bytes, start: int, vector: bytes | None, rest: Iterable[bytes | None], plain: bool
) -> tuple[int, int]:
    """Return the checksums of the vector and of the other values.

    Args:
        key: Namespace and id.
        start: Kind and whether it is deleted, as one number.
        vector: As it is stored.
        rest: The other values as they are stored.
        plain: Whether the words are stored as text, not as bytes.
    """
    low = crc32(key, start << 1 | plain)
    for value in rest:
        low = crc32(value, low) if value is not None else low + 1 & _MASK
    return _upper(key, start, vector), low
