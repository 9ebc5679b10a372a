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
from cellhive.adapters.embedded.schema import HIGHEST
from cellhive.core.errors import BadInput
from cellhive.core.records import Metadata, Namespace, Record, RecordKind, Version

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
_TIME = struct.Struct("<d")
_PLAIN = frozenset((str, int, float, bool, type(None)))

_Values = dict[str, str | int | float | bool | tuple[str, ...] | None]
_encode_metadata = msgspec.msgpack.Encoder().encode
_decode_metadata = msgspec.msgpack.Decoder(_Values).decode


class Encoded(NamedTuple):
    """A record ready to be written, but for its row, version and change."""

    namespace: str
    id: str
    version: Version | None
    """None where the log is to stamp it."""
    alive: bool
    kind: int
    text: str
    """Words to be found by."""
    body: tuple[Any, ...]
    """Columns from ``kind`` on."""


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
        vector = metadata = text = payload = None
        if not record.deleted:
            vector = _vector_bytes(record, namespace.dimension)
            metadata = _metadata_bytes(record.metadata) if record.metadata else None
            text = record.text.encode() or None
            payload = pack(bytes(record.payload)) if record.payload else None
            if len(text or b"") + len(payload or b"") > _MOST_BYTES:
                message = "bytes beyond"
                raise _unfit(message, _MOST_BYTES)
            if self._cipher is not None:
                vector = self._seal(vector, key, b"vector")
                metadata = self._seal(metadata, key, b"metadata")
                text = self._seal(pack(text) if text else None, key, b"text")
                payload = self._seal(payload, key, b"payload")
        kind = KIND_NUMBERS[record.kind]
        time_s, origin = float(record.time_s), record.origin
        rest = (metadata, text, payload, origin.encode(), _TIME.pack(time_s))
        checksum = _checksum(key, kind, vector, rest)
        words: Any = text if self._cipher is not None or text is None else record.text
        body = (
            kind, int(record.deleted), time_s, origin,
            vector, metadata, words, payload, checksum,
        )  # fmt: skip
        return Encoded(
            record.namespace, record.id, _stamp(record.version), not record.deleted, kind,
            "" if record.deleted else record.text, body,
        )  # fmt: skip

    def _seal(self, data: bytes | None, key: bytes, column: bytes) -> bytes | None:
        if data is None or self._cipher is None:
            return None
        return self._cipher.seal(data, column + key)

    def decode(self, namespace: str, version: Version, columns: Sequence[Any]) -> Record:
        """Return a record from its id and its columns from ``kind`` on.

        Raises:
            BadInput: The row is damaged.
        """
        id_, kind, deleted, time_s, origin, vector, metadata, text, payload, _ = columns
        key = _key(namespace, id_)
        plain = self._cipher is None
        try:
            _must_be_intact(namespace, columns)
            values = None if vector is None else self._opened(vector, key, b"vector")
            opened = self._opened(payload, key, b"payload") if payload else b""
            return Record(
                namespace, id_, _KINDS[kind],
                None if values is None else np.frombuffer(values, "<f4"),
                self._metadata(metadata, key),
                (text or "") if plain else self.words(namespace, id_, text),
                unpack(opened), time_s, origin, version, bool(deleted),
            )  # fmt: skip
        except (ValueError, TypeError, KeyError, AttributeError, zstandard.ZstdError) as error:
            raise damaged(namespace, id_, str(error)) from error

    def vector(self, namespace: str, id_: str, kind: int, stored: bytes, checksum: int) -> bytes:
        """Return the bytes of a vector.

        Raises:
            BadInput: It is damaged.
        """
        key = _key(namespace, id_)
        if checksum >> 32 != crc32(stored, crc32(key, kind)) >> 1:
            raise damaged(namespace, id_, "another checksum of the vector")
        return self._opened(stored, key, b"vector")

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


def intact(namespace: str, columns: Sequence[Any]) -> bool:
    """Whether the columns of a row, from ``id`` and ``kind`` on, are those that were written."""
    return bool(columns[-1] == checksum_of(namespace, columns))


def checksum_of(namespace: str, columns: Sequence[Any]) -> int:
    """Return the checksum that the columns of a row should have."""
    id_, kind, _, time_s, origin, vector, metadata, text, payload, _ = columns
    words = text.encode() if isinstance(text, str) else text
    rest = (metadata, words, payload, origin.encode(), _TIME.pack(time_s))
    return _checksum(_key(namespace, id_), kind, vector, rest)


def damaged(namespace: str, id_: str, found: str) -> BadInput:
    """Return the error that tells of a damaged record."""
    return BadInput(
        expected="an undamaged record", found=found,
        remedy="restore a backup, or fetch it from another replica",
        place=f"record {id_!r} of {namespace}",
    )  # fmt: skip


def _unfit(what: str, value: object) -> ValueError:
    return ValueError(f"{what} {value!r}")


def _must_be_intact(namespace: str, columns: Sequence[Any]) -> None:
    if not intact(namespace, columns):
        message = "another checksum"
        raise ValueError(message)


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
    return vector.astype("<f4", copy=False).tobytes()


def _metadata_bytes(metadata: Metadata) -> bytes:
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
    return pack(_encode_metadata(metadata))


def _stamp(version: Version) -> Version | None:
    if not version.written:
        return None
    if not (0 <= version.time_hlc < HIGHEST and version.sequence < HIGHEST and version.writer):
        message = "the version"
        raise _unfit(message, version)
    version.writer.encode()
    return version


def _checksum(key: bytes, kind: int, vector: bytes | None, rest: Iterable[bytes | None]) -> int:
    """Return 63 bits: of the vector above, of the other values below."""
    start = crc32(key, kind)
    low = start
    for value in rest:
        low = crc32(value, low) if value is not None else low + 1 & _MASK
    high = 0 if vector is None else crc32(vector, start) >> 1
    return high << 32 | low
