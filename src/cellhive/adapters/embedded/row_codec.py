"""Records as the columns of a row, and back: compressed, encrypted where asked for, checked."""

from __future__ import annotations

import math
import struct
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, TypeVar
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
from cellhive.core.types import Floats32

T = TypeVar("T")

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
_TOGETHER = 1_024
"""Records encoded together: what they hold stays in the processor's cache."""
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
_UNFIT = (TypeError, ValueError, OverflowError, AttributeError, KeyError)
"""What encoding raises over values that are not of the types they should be."""
_PLAIN = frozenset((str, int, float, bool, type(None)))
_NAMES = frozenset((str,))

_Values = dict[str, str | int | float | bool | tuple[str, ...] | None]
_encode_metadata = msgspec.msgpack.Encoder().encode
_decode_metadata = msgspec.msgpack.Decoder(_Values).decode


@dataclass(frozen=True, slots=True)
class Encoded:
    """Records ready to be written, column by column, but for rows, versions and changes."""

    keys: list[tuple[str, str]]
    """Namespace and id of each."""
    versions: list[Version | None]
    """None for those that the log is to stamp."""
    texts: list[str]
    """Words to be found by."""
    upper: list[int]
    """Checksums of the vectors, to be completed by ``checksums``."""
    low: list[int]
    """Checksums of the other values, to be completed by ``checksums``."""
    columns: tuple[list[Any], ...]
    """Columns of the table from ``kind`` on, but for the checksum."""

    def __len__(self) -> int:
        """Return how many records."""
        return len(self.keys)

    @property
    def stamped_here(self) -> bool:
        """Whether the log is to stamp all of them."""
        return not any(self.versions)

    @property
    def kinds(self) -> list[int]:
        """Number of the kind of each."""
        return self.columns[0]

    @property
    def deleted(self) -> list[int]:
        """Whether each is a tombstone, 1 or 0."""
        return self.columns[1]

    def taken(self, places: Sequence[int]) -> Encoded:
        """Return the records at some places."""

        def at(column: list[T]) -> list[T]:
            return [column[i] for i in places]

        return Encoded(
            at(self.keys), at(self.versions), at(self.texts), at(self.upper), at(self.low),
            tuple(map(at, self.columns)),
        )  # fmt: skip


def joined(parts: Sequence[Encoded]) -> Encoded:
    """Return some batches as one."""
    if len(parts) == 1:
        return parts[0]
    keys, versions, texts, upper, low = (
        list(chain.from_iterable(getattr(x, name) for x in parts))
        for name in ("keys", "versions", "texts", "upper", "low")
    )
    columns = zip(*(x.columns for x in parts), strict=True)
    together = tuple(list(chain.from_iterable(column)) for column in columns)
    return Encoded(keys, versions, texts, upper, low, together)


NOTHING: Final = joined(())


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

    def encode(self, records: Sequence[Record], spaces: Mapping[str, Namespace]) -> Encoded:
        """Return records as they are kept.

        Args:
            records: Of any of the namespaces.
            spaces: Namespaces by name.

        Raises:
            BadInput: One of them could not come back as it is.
        """
        try:
            return joined([self._encode(x, spaces) for x in _slices(records)])
        except _UNFIT as error:
            for record in records if len(records) > 1 else ():  # to name the one that it is
                self.encode([record], spaces)
            raise BadInput(
                expected="a record of text, numbers, booleans and tags", found=str(error),
                remedy="convert its fields",
                place=f"record {records[0].id!r} of {records[0].namespace}",
            ) from error  # fmt: skip

    def _encode(self, records: Sequence[Record], spaces: Mapping[str, Namespace]) -> Encoded:
        """Work a column at a time: it takes half the time that record by record does."""
        deleted = [int(x.deleted) for x in records]
        if any(deleted):
            records = [buried(x) if x.deleted else x for x in records]
        kinds = [KIND_NUMBERS[x.kind] for x in records]
        times_s, origins = _times(records), [x.origin for x in records]
        keys = [(x.namespace, x.id) for x in records]
        prefixes = {name: _prefix(name) for name in spaces}
        names = [prefixes[space] + id_.encode() for space, id_ in keys]
        vectors: Any = _vectors(records, spaces)
        metadata: Any = _metadata_of(records)
        texts = [x.text for x in records]
        said: Any = [text.encode() or None for text in texts]
        words: Any = [text or None for text in texts]
        payloads: Any = [pack(bytes(x.payload)) if x.payload else None for x in records]
        _must_be_short(said, payloads)
        if self._cipher is not None:
            vectors = self._sealed(vectors, names, b"vector")
            metadata = self._sealed(metadata, names, b"metadata")
            words = said = self._sealed([x and pack(x) for x in said], names, b"text")
            payloads = self._sealed(payloads, names, b"payload")
        starts = [kind << 1 | gone for kind, gone in zip(kinds, deleted, strict=True)]
        upper = _folded(map(crc32, names, starts), vectors)
        with_words = [self._cipher is None and text is not None for text in said]
        low: Iterable[int] = map(crc32, names, map(_start_of_low, starts, with_words))
        for column in (metadata, said, payloads, _endings(origins, times_s)):
            low = _folded(low, column)
        columns = (kinds, deleted, times_s, origins, vectors, metadata, words, payloads)
        versions = [
            None if x.version is NOT_WRITTEN else _stamp(x.version) for x in records
        ]  # fmt: skip
        return Encoded(keys, versions, texts, upper, list(low), columns)

    def _sealed(
        self, values: Iterable[bytes | None], names: Sequence[bytes], column: bytes
    ) -> list[bytes | None]:
        return [self._seal(x, name, column) for x, name in zip(values, names, strict=True)]

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

    def vectors(self, namespace: str, rows: Sequence[Sequence[Any]]) -> list[bytes | None]:
        """Return the bytes of vectors from ``VECTOR_COLUMNS``; None where there is none.

        Raises:
            BadInput: A row is damaged, as far as these columns show.
        """
        if self._cipher is None and _all_sound(namespace, rows):
            return [stored for _, _, _, _, _, stored, _ in rows]
        return [self._vector(namespace, columns) for columns in rows]

    def _vector(self, namespace: str, columns: Sequence[Any]) -> bytes | None:
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


def _all_sound(namespace: str, rows: Sequence[Sequence[Any]]) -> bool:
    """Whether all of some ``VECTOR_COLUMNS`` are as they were written."""
    try:
        prefix, pack_pair = _prefix(namespace), _PAIR.pack
        for row, change, id_, kind, deleted, stored, checksum in rows:
            upper = crc32(prefix + id_.encode(), kind << 1 | deleted)
            upper = upper + 1 & _MASK if stored is None else crc32(stored, upper)
            if checksum >> 32 != crc32(pack_pair(row, change), upper) >> 1:
                return False
    except _NOT_AS_WRITTEN:
        return False
    return True


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


def checksums(
    encoded: Encoded, rows: Iterable[int], changes: Iterable[int],
    versions: Iterable[Version],
) -> list[int]:  # fmt: skip
    """Return the checksums of rows, now that it is known where and when they are written."""
    writers: dict[str, bytes] = {}
    pack_pair, sums = _PAIR.pack, []
    for upper, low, row, change, version in zip(
        encoded.upper, encoded.low, rows, changes, versions, strict=True
    ):
        writer = version.writer
        if writer not in writers:
            writers[writer] = writer.encode()
        stamped = pack_pair(version.time_hlc, version.sequence) + writers[writer]
        sums.append(crc32(pack_pair(row, change), upper) >> 1 << 32 | crc32(stamped, low))
    return sums


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
    return _prefix(namespace) + id_.encode()


def _slices(records: Sequence[Record]) -> list[Sequence[Record]]:
    return [records[i : i + _TOGETHER] for i in range(0, len(records), _TOGETHER)]


def _prefix(namespace: str) -> bytes:
    name = namespace.encode()
    return b"%d:%b:" % (len(name), name)


def _times(records: Sequence[Record]) -> list[float]:
    """Return when each record tells of [s]; all of them finite."""
    times_s = [float(x.time_s) for x in records]
    if not math.isfinite(sum(times_s)):  # one that is not makes the sum so
        for time_s in times_s:
            if not math.isfinite(time_s):
                message = "the time"
                raise _unfit(message, time_s)
    return times_s


def _vectors(records: Sequence[Record], spaces: Mapping[str, Namespace]) -> list[bytes | None]:
    shapes = {name: (space.dimension,) for name, space in spaces.items()}
    return [
        None if (vector := x.vector) is None
        else vector.tobytes() if vector.dtype is _FLOATS and vector.shape == shapes[x.namespace]
        else _vector_bytes(vector, spaces[x.namespace].dimension)
        for x in records
    ]  # fmt: skip


def _vector_bytes(vector: Floats32, dimension: int) -> bytes:
    if vector.shape != (dimension,):
        message = f"in place of {dimension} components the shape"
        raise _unfit(message, vector.shape)
    return vector.astype(_FLOATS, copy=False).tobytes()


def _metadata_of(records: Sequence[Record]) -> list[bytes | None]:
    every = [x.metadata for x in records]
    names = set(map(type, chain.from_iterable(every)))
    values = set(map(type, chain.from_iterable([x.values() for x in every])))
    if not (names <= _NAMES and values <= _PLAIN):
        for metadata in every:
            _must_be_fit(metadata)
    encode = _encode_metadata
    return [pack(encode(metadata)) if metadata else None for metadata in every]


def _must_be_short(said: Iterable[bytes | None], payloads: Iterable[bytes | None]) -> None:
    longest = max(map(len, filter(None, chain(said, payloads))), default=0)
    if 2 * longest > _MOST_BYTES:
        for text, payload in zip(said, payloads, strict=True):
            if len(text or b"") + len(payload or b"") > _MOST_BYTES:
                message = "bytes beyond"
                raise _unfit(message, _MOST_BYTES)


def _endings(origins: Sequence[str], times_s: Sequence[float]) -> list[bytes]:
    """Return what ends the checked bytes of each record: origin and time."""
    encoded = {origin: origin.encode() for origin in set(origins)}
    return [encoded[origin] + _TIME.pack(x) for origin, x in zip(origins, times_s, strict=True)]


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


def _start_of_low(start: int, plain: bool) -> int:
    """Return where the checksum of the other values starts.

    Args:
        start: Kind and whether it is deleted, as one number.
        plain: Whether the words are stored as text, not as bytes.
    """
    return start << 1 | plain


def _folded(sums: Iterable[int], values: Iterable[bytes | None]) -> list[int]:
    """Return the checksums of some records, carried on over one more value of each."""
    return [
        crc32(x, low) if x is not None else low + 1 & _MASK
        for x, low in zip(values, sums, strict=True)
    ]


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
    low = crc32(key, _start_of_low(start, plain))
    for value in rest:
        low = crc32(value, low) if value is not None else low + 1 & _MASK
    return _upper(key, start, vector), low
