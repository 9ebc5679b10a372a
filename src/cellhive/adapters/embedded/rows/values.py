"""Values of records as they are stored: of the types they should be, and packed."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Final

import msgspec
import numpy as np
import zstandard

from cellhive.adapters.embedded.schema import HIGHEST
from cellhive.core.records import NOT_WRITTEN, Metadata, Namespace, Record, RecordKind, Version

KIND_NUMBERS: Final = {
    RecordKind.PATTERN: 1,
    RecordKind.RESULT: 2,
    RecordKind.ACTION: 3,
    RecordKind.OUTCOME: 4,
    RecordKind.MODEL: 5,
}

_WORTH_PACKING_BYTES = 256
"""Shorter values are left as they are: compressing gains little and costs more."""
_MOST_BYTES = 900_000_000
_RAW, _ZSTD = b"\0", b"\1"
_FLOATS = np.dtype("<f4")
_PLAIN = frozenset((str, int, float, bool, type(None)))
_NAMES = frozenset((str,))
_encode_metadata = msgspec.msgpack.Encoder().encode


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


def stamps(records: Sequence[Record]) -> list[Version | None]:
    """Return the version of each record; None for those that the log is to stamp."""
    return [None if x.version is NOT_WRITTEN else _stamp(x.version) for x in records]


def times(records: Sequence[Record]) -> list[float]:
    """Return when each record tells of [s]; raise what tells that one is not finite."""
    times_s = [float(x.time_s) for x in records]
    return times_s if math.isfinite(sum(times_s)) else [time_of(x) for x in records]


def time_of(record: Record) -> float:
    """Return when a record tells of [s]; raise what tells that it is not finite."""
    time_s = float(record.time_s)
    if not math.isfinite(time_s):
        message = "the time"
        raise _unfit(message, time_s)
    return time_s


def vectors(records: Sequence[Record], spaces: Mapping[str, Namespace]) -> list[bytes | None]:
    """Return the bytes of each vector; raise what tells that one is not of its namespace."""
    shapes = {name: (space.dimension,) for name, space in spaces.items()}
    return [
        None if (vector := x.vector) is None
        else vector.tobytes() if vector.dtype is _FLOATS and vector.shape == shapes[x.namespace]
        else vector_of(x, spaces[x.namespace])
        for x in records
    ]  # fmt: skip


def vector_of(record: Record, space: Namespace) -> bytes | None:
    """Return the bytes of a vector; raise what tells that it has another dimension."""
    vector = record.vector
    if vector is None:
        return None
    if vector.shape != (space.dimension,):
        message = f"in place of {space.dimension} components the shape"
        raise _unfit(message, vector.shape)
    return vector.astype(_FLOATS, copy=False).tobytes()


def metadata_of(records: Sequence[Record]) -> list[bytes | None]:
    """Return the metadata of each record, packed; raise what tells that some are not plain."""
    every = [x.metadata for x in records]
    names = set(map(type, chain.from_iterable(every)))
    values = set(map(type, chain.from_iterable([x.values() for x in every])))
    if not (names <= _NAMES and values <= _PLAIN):
        return [facts_of(x) for x in records]
    encode, most = _encode_metadata, _WORTH_PACKING_BYTES
    return [
        None if not metadata
        else _RAW + encoded if len(encoded := encode(metadata)) < most
        else pack(encoded)
        for metadata in every
    ]  # fmt: skip


def facts_of(record: Record) -> bytes | None:
    """Return the metadata of a record, packed; raise what tells that they are not plain."""
    metadata = record.metadata
    if not metadata:
        return None
    if not (
        _PLAIN.issuperset(map(type, metadata.values())) and _NAMES.issuperset(map(type, metadata))
    ):
        _must_be_fit(metadata)
    return pack(_encode_metadata(metadata))


def must_be_short(said: Iterable[bytes | None], payloads: Iterable[bytes | None]) -> None:
    """Raise what tells that a text and its payload are longer than SQLite takes."""
    longest = max(map(len, filter(None, chain(said, payloads))), default=0)
    if 2 * longest > _MOST_BYTES:
        for text, payload in zip(said, payloads, strict=True):
            if len(text or b"") + len(payload or b"") > _MOST_BYTES:
                message = "bytes beyond"
                raise _unfit(message, _MOST_BYTES)


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


def _unfit(what: str, value: object) -> ValueError:
    return ValueError(f"{what} {value!r}")
