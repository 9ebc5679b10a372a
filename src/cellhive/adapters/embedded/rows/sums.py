"""Checksums of rows: what they cover, for one row and for many at once.

The upper half covers what ``VECTOR_COLUMNS`` read, the lower half all the rest. Both begin
with the record itself and end with what is known only when it is written: where and when.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any
from zlib import crc32

from cellhive.adapters.embedded.rows.encoded import Encoded
from cellhive.core.records import Version

_PAIR = struct.Struct("<qq")
_MASK = 0xFFFF_FFFF
_TIME = struct.Struct("<d")


def key(namespace: str, id_: str) -> bytes:
    """Return the bytes that name a record."""
    return prefix(namespace) + id_.encode()


def names(keys: Sequence[tuple[str, str]]) -> list[bytes]:
    """Return the bytes that name each of some records."""
    prefixes = {space: prefix(space) for space in {space for space, _ in keys}}
    return [prefixes[space] + id_.encode() for space, id_ in keys]


def prefix(namespace: str) -> bytes:
    """Return what the names of all records of a namespace begin with."""
    name = namespace.encode()
    return b"%d:%b:" % (len(name), name)


def ending(origin: str, time_s: float) -> bytes:
    """Return what ends the checked bytes of a record."""
    return origin.encode() + _TIME.pack(time_s)


def endings(origins: Sequence[str], times_s: Sequence[float]) -> list[bytes]:
    """Return what ends the checked bytes of each record: see ``ending``."""
    encoded = {origin: origin.encode() for origin in set(origins)}
    return [encoded[origin] + _TIME.pack(x) for origin, x in zip(origins, times_s, strict=True)]


def _upper(key: bytes, start: int, vector: bytes | None) -> int:
    """Return a checksum of key, kind, deletion and vector."""
    upper = crc32(key, start)
    return upper + 1 & _MASK if vector is None else crc32(vector, upper)


def sums(
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


def _start_of_low(start: int, plain: bool) -> int:
    return start << 1 | plain


def uppers(
    names: Iterable[bytes], starts: Iterable[int], vectors: Iterable[bytes | None]
) -> list[int]:
    """Return the checksums of the vectors of some records: see ``sums``."""
    return _folded(map(crc32, names, starts), vectors)


def lows(
    names: Iterable[bytes], starts: Iterable[int], rest: Iterable[Iterable[bytes | None]],
    plain: Iterable[bool],
) -> list[int]:  # fmt: skip
    """Return the checksums of the other values of some records: see ``sums``.

    Args:
        names: Namespace and id of each.
        starts: Kind and deletion of each.
        rest: The other values, column by column.
        plain: Whether the words of each are stored as text.
    """
    low: Iterable[int] = map(crc32, names, map(_start_of_low, starts, plain))
    for column in rest:
        low = _folded(low, column)
    return list(low)


def _folded(sums: Iterable[int], values: Iterable[bytes | None]) -> list[int]:
    """Return the checksums of some records, carried on over one more value of each."""
    return [
        crc32(x, low) if x is not None else low + 1 & _MASK
        for x, low in zip(values, sums, strict=True)
    ]


def completed(
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


def vectors_are_sound(namespace: str, rows: Iterable[Sequence[Any]]) -> bool:
    """Whether all of some ``VECTOR_COLUMNS`` are as they were written.

    May raise what comes of values that are not even of the types they were written with.
    """
    beginning, pack_pair = prefix(namespace), _PAIR.pack
    for row, change, id_, kind, deleted, stored, checksum in rows:
        upper = crc32(beginning + id_.encode(), kind << 1 | deleted)
        upper = upper + 1 & _MASK if stored is None else crc32(stored, upper)
        if checksum >> 32 != crc32(pack_pair(row, change), upper) >> 1:
            return False
    return True
