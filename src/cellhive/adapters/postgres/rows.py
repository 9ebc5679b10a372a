"""Records as rows of the table: PostgreSQL's binary COPY format out, column values back in.

Rows are packed by hand: it is three times as fast as adapting value by value, and the formats
(PostgreSQL manual, "COPY", "Binary Format"; ``tsvector_recv``) are fixed.
"""

from __future__ import annotations

import json
import math
import re
import struct
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import zstandard

from cellhive.adapters.postgres.connecting import Row
from cellhive.adapters.postgres.schema import VectorColumn
from cellhive.core.errors import BadInput
from cellhive.core.records import Metadata, Namespace, Record, RecordKind, Version, buried
from cellhive.core.types import Floats32

COLUMNS = (
    "namespace_id, row_no, change, time_hlc, sequence, time_s, deleted, writer,"
    " key, id, kind, origin, text, metadata, payload, vector, words"
)
"""Columns of a row in the order it is packed in."""
READ_COLUMNS = (
    "id, kind, vector, metadata::text, text, payload, time_s, origin,"
    " time_hlc, writer, sequence, deleted"
)
COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_TRAILER = b"\xff\xff"

_HEAD = struct.Struct(">h ii iq iq iq iq id i?")
_FIELDS = 17
_LENGTH = struct.Struct(">i")
_NULL = _LENGTH.pack(-1)
_EMPTY = _LENGTH.pack(0)

_MOST_BYTES = 1 << 29
"""Of one value: PostgreSQL allows a gigabyte, and sends some values in hexadecimal."""
_MOST = (1 << 63) - 1
HIGHEST = 1 << 62
"""Times and sequences of versions stay below: what adds to them never overflows 64 bits."""
_LONGEST_WRITER = 500
_LONGEST_WORD = 200
_MOST_WORD_BYTES = 500_000
"""A tsvector holds a megabyte with its positions; a longer text is found by its beginning."""
_LAST_POSITION = 16_383
_MOST_POSITIONS = 255
_WORD = re.compile(r"[^\W_]+")

_ESCAPE = "\uf8ff"
"""Private-use character that stands before what PostgreSQL cannot hold, and before itself."""
_COMPRESSED_FROM_BYTES = 256


@dataclass(frozen=True, slots=True)
class Packed:
    """A record with all of its row packed that does not depend on when it is written."""

    namespace_id: int
    key: bytes
    record: Record
    body: bytes

    def row(self, row_no: int, change: int, version: Version) -> bytes:
        """Return the row as COPY takes it."""
        writer = version.writer.encode()
        head = _HEAD.pack(
            _FIELDS, 4, self.namespace_id, 8, row_no, 8, change, 8, version.time_hlc,
            8, version.sequence, 8, self.record.time_s, 1, self.record.deleted,
        )  # fmt: skip
        return b"".join((head, _LENGTH.pack(len(writer)), writer, self.body))


def key_of(identifier: str) -> bytes:
    """Return the digest that finds an id: ids may be longer than an index entry."""
    return blake2b(_bytes(identifier), digest_size=16).digest()


def pack(record: Record, namespace_id: int, namespace: Namespace, column: VectorColumn) -> Packed:
    """Pack a record for a namespace; raise BadInput where it does not fit the table."""
    _check_version(record)
    if record.deleted:
        record = buried(record)
    if math.isnan(record.time_s):
        raise _misfit(record, "a time in seconds", "NaN")
    key = key_of(record.id)
    fields = (
        key,
        _text(record.id),
        record.kind.value.encode(),
        _text(record.origin),
        _text(record.text),
        _metadata_out(record.metadata),
        _payload_out(record.payload),
        _vector_out(record, namespace, column),
        _tsvector(record.text),
    )
    parts: list[bytes] = []
    for value in fields:
        if value is None:
            parts.append(_NULL)
        elif not value:
            parts.append(_EMPTY)
        elif len(value) > _MOST_BYTES:
            raise _misfit(record, f"values up to {_MOST_BYTES} bytes", str(len(value)))
        else:
            parts += (_LENGTH.pack(len(value)), value)
    return Packed(namespace_id, key, record, b"".join(parts))


def unpack(namespace: str, row: Row, column: VectorColumn) -> Record:
    """Return the record of a row read with ``READ_COLUMNS``."""
    (identifier, kind, vector, metadata, text, payload, time_s, origin,
     time_hlc, writer, sequence, deleted) = row  # fmt: skip
    return Record(
        namespace=namespace,
        id=plain(identifier),
        kind=RecordKind(kind),
        vector=None if vector is None else vector_in(vector, column),
        metadata=_metadata_in(metadata),
        text=plain(text),
        payload=_payload_in(payload),
        time_s=time_s,
        origin=plain(origin),
        version=Version(time_hlc, writer, sequence),
        deleted=deleted,
    )


def check_writer(writer: str) -> None:
    """Raise BadInput where a name is not one that a writer can have."""
    if not 0 < len(_bytes(writer)) <= _LONGEST_WRITER or "\0" in writer:
        raise BadInput(
            expected=f"the name of a writer, up to {_LONGEST_WRITER} bytes without U+0000",
            found=repr(writer[:80]),
        )


def escaped(text: str) -> str:
    """Return a text without U+0000, which PostgreSQL cannot hold; ``plain`` undoes it."""
    if _ESCAPE in text:
        text = text.replace(_ESCAPE, _ESCAPE + "1")
    return text.replace("\0", _ESCAPE + "0") if "\0" in text else text


def plain(text: str) -> str:
    """Return a text as it was before ``escaped``."""
    if _ESCAPE not in text:
        return text
    return text.replace(_ESCAPE + "0", "\0").replace(_ESCAPE + "1", _ESCAPE)


def vector_in(value: bytes, column: VectorColumn) -> Floats32:
    """Return a vector (D,) from a column read in binary form."""
    if column is VectorColumn.BYTES:
        found: Floats32 = np.frombuffer(value, "<f4").astype(np.float32, copy=False)
        return found
    return np.frombuffer(value, ">f4", offset=4).astype(np.float32)


def pgvector(vector: Floats32) -> bytes:
    """Return a vector as pgvector sends and receives it: length, zero, big-endian floats."""
    return struct.pack(">HH", vector.shape[0], 0) + vector.astype(">f4").tobytes()


def words_of(text: str) -> list[str]:
    """Return the words of a text as they are matched: letters and digits, case and accents aside.

    Split here and not by PostgreSQL, whose parser takes "a/b" for a path and whose case folding
    depends on the locale of the database.
    """
    text = text.casefold()
    if not text.isascii():
        spread = unicodedata.normalize("NFKD", text)
        text = "".join(letter for letter in spread if not unicodedata.combining(letter))
    return [word[:_LONGEST_WORD] for word in _WORD.findall(text)]


def _tsvector(text: str) -> bytes | None:
    """Return the words of a text with their places, as ``tsvector_recv`` reads them."""
    if not text:
        return None
    places: dict[str, list[int]] = {}
    size = 0
    for place, word in enumerate(words_of(text[:_MOST_WORD_BYTES]), start=1):
        at = places.get(word)
        if at is None:
            size += 4 * len(word) + 4
            at = places[word] = []
        if len(at) < _MOST_POSITIONS and (not at or place <= _LAST_POSITION):
            at.append(min(place, _LAST_POSITION))
            size += 2
        if size > _MOST_WORD_BYTES:
            break
    if not places:
        return None
    parts = [_LENGTH.pack(len(places))]
    for word, at in places.items():
        parts += (word.encode(), struct.pack(f">xH{len(at)}H", len(at), *at))
    return b"".join(parts)


def _bytes(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise BadInput(
            expected="text that can be written as UTF-8", found=f"a lone surrogate: {error}"
        ) from error


def _text(text: str) -> bytes:
    return _bytes(escaped(text))


def _misfit(record: Record, expected: str, found: str) -> BadInput:
    place = f"record {record.id[:80]!r} of {record.namespace!r}"
    return BadInput(expected=expected, found=found, place=place)


def _check_version(record: Record) -> None:
    version = record.version
    if not 0 <= version.time_hlc < HIGHEST or not 0 <= version.sequence < HIGHEST:
        raise _misfit(record, "a version from 0 to below 2**62", str(version))
    if version.written:
        check_writer(version.writer)


def _vector_out(record: Record, namespace: Namespace, column: VectorColumn) -> bytes | None:
    vector = record.vector
    if vector is None:
        return None
    if vector.shape != (namespace.dimension,):
        raise _misfit(record, f"a vector of shape ({namespace.dimension},)", str(vector.shape))
    if column is VectorColumn.BYTES:
        return np.asarray(vector, "<f4").tobytes()
    if not np.isfinite(vector).all():
        raise _misfit(record, "finite components, as pgvector holds them", "others")
    return pgvector(vector)


def _metadata_out(metadata: Metadata) -> bytes:
    if not metadata:
        return b"{}"
    facts = {name: _fact_out(name, fact) for name, fact in metadata.items()}
    return _bytes(json.dumps(facts, ensure_ascii=False, allow_nan=False))


def _fact_out(name: str, fact: object) -> object:
    if isinstance(fact, float) and not math.isfinite(fact):
        # JSON has no infinities; a fact is never an object, so one can stand for them.
        return {"float": str(fact)}
    if fact is None or isinstance(fact, str | bool | float):
        return fact
    if isinstance(fact, int) and -_MOST <= fact <= _MOST:
        return fact
    if isinstance(fact, tuple) and all(isinstance(tag, str) for tag in fact):
        return fact
    raise BadInput(
        expected="metadata of text, numbers within 64 bits, true, false, none or a tuple of text",
        found=f"{type(fact).__name__} {str(fact)[:80]}",
        place=f"metadata {name[:80]!r}",
    )


def _metadata_in(text: str) -> Metadata:
    if text == "{}":
        return {}
    facts: Mapping[str, Any] = json.loads(text)
    return {name: _fact_in(fact) for name, fact in facts.items()}


def _fact_in(fact: Any) -> Any:
    if isinstance(fact, list):
        return tuple(fact)
    return float(fact["float"]) if isinstance(fact, dict) else fact


def _payload_out(payload: bytes) -> bytes:
    """Return b"" as it is; else a byte that says how the rest is written, and the rest."""
    if not payload:
        return b""
    if len(payload) >= _COMPRESSED_FROM_BYTES:
        pressed = zstandard.ZstdCompressor(level=3).compress(payload)
        if len(pressed) < len(payload):
            return b"\x01" + pressed
    return b"\x00" + payload


def _payload_in(value: bytes) -> bytes:
    if not value:
        return b""
    rest = value[1:]
    return zstandard.ZstdDecompressor().decompress(rest) if value[0] == 1 else bytes(rest)
