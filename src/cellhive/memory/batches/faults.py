"""Which records can be kept and shared: one rule for writing, reading and storing.

Looked at one by one, or as columns of many: the latter takes a tenth of the time and is
enough for most.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Any

import numpy as np

from cellhive.core.records import Metadata, Record
from cellhive.core.types import Floats32
from cellhive.memory import messages as m
from cellhive.memory.batches.together import Together

MOST_PAYLOAD_BYTES = 64 << 20
MOST_COMPONENTS = 65_536
MOST_ID_CHARACTERS = 512
MOST_TEXT_CHARACTERS = 1 << 20
MOST_METADATA_ENTRIES = 65_536
MOST_METADATA_CHARACTERS = 1 << 20
"""Bounds of one record; a payload may fill what a frame holds."""

_LIMIT = 1 << 63
_FLOATS = np.dtype(np.float32)
_BYTES = frozenset((bytes,))
_MOST_MASKED = 256
"""Components of vectors up to which whole numbers of their bits are as quick as a product."""
_NOT_FINITE = "finite vector components expected, found NaN or infinity"
_PLAIN = frozenset((str, int, float, bool, type(None)))


def fault(record: Record) -> str:
    """Return why a record cannot be kept and shared, or "" where it can.

    Strings have no NUL (PostgreSQL takes none) and no lone surrogates, numbers are finite,
    and everything is within the bounds above. Whether a vector fits its namespace is for
    those to say who know the namespace.
    """
    # The usual record has no fault: all its words are ASCII, and short all together. That is
    # seen here, in one function, as it stands on the way from a write to a search.
    version, vector = record.version, record.vector
    words: list[Any] = [record.namespace, record.id, record.origin, record.text, version.writer]
    for name, value in record.metadata.items():
        words.append(name)
        kind = type(value)
        if kind is str:
            words.append(value)
        elif kind is int or kind is float:
            if not -_LIMIT <= value < _LIMIT:  # type: ignore[operator]  # a number, as seen
                return _fault(record)
        elif kind is not bool and value is not None:
            return _fault(record)
    try:
        joined = "".join(words)
    except TypeError:
        return _fault(record)
    if (
        len(joined) <= m.LONGEST_NAME
        and joined.isascii()
        and "\0" not in joined
        and record.namespace
        and record.id
        and 0 <= version.time_hlc < _LIMIT
        and 0 <= version.sequence < _LIMIT
        and -_LIMIT <= record.time_s < _LIMIT
        and len(record.payload) <= MOST_PAYLOAD_BYTES
        and (vector is None or not _vector_fault(vector))
    ):
        return ""
    return _fault(record)


def _fault(record: Record) -> str:
    """Return what ``fault`` does, by a look at everything."""
    vector = record.vector
    return (
        _names_fault(record)
        or ("" if vector is None else _vector_fault(vector))
        or (_metadata_fault(record.metadata) if record.metadata else "")
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
    return size + _facts_bytes((record.metadata,)) if record.metadata else size


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
    dtype = vector.dtype
    usual = vector.ndim == 1 and (dtype is _FLOATS or dtype == _FLOATS)
    if usual and 0 < len(vector) <= _MOST_MASKED:
        # in whole numbers, as that code is always at hand, where that of NumPy and of BLAS has
        # to be fetched from memory first: an exponent of ones, and nothing else, carries over
        exponents, ones, carried = _masks(len(vector))
        if not ((int.from_bytes(vector.tobytes(), sys.byteorder) & exponents) + ones) & carried:
            return ""
        return _NOT_FINITE
    if not usual or not 0 < len(vector) <= MOST_COMPONENTS:
        return (
            f"a float32 vector of 1 to {MOST_COMPONENTS} components expected,"
            f" found {vector.dtype} {vector.shape}"
        )
    # a finite length means finite components; only an infinite one needs a closer look; unlike
    # ``dot``, ``vdot`` does not warn of an overflow, and silencing takes longer than the product
    if not math.isfinite(np.vdot(vector, vector)) and not np.isfinite(vector).all():
        return _NOT_FINITE
    return ""


@cache
def _masks(components: int) -> tuple[int, int, int]:
    """Return all exponents of so many float32, the lowest bit of each, and the bit above each."""
    lanes = (1 << 32 * components) // 0xFFFF_FFFF  # a one in each of the components
    return 0x7F80_0000 * lanes, 0x0080_0000 * lanes, 0x8000_0000 * lanes


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


def columns_are_fine(
    words: Sequence[str],
    ids: Sequence[str],
    facts: Sequence[Metadata],
    texts: Sequence[str],
    payloads: Sequence[bytes],
    times_s: Sequence[float],
) -> bool:
    """Whether nothing but versions and vectors can be a fault of some records; False is no proof.

    Args:
        words: Namespace, origin and writer of all of them; the first is not empty.
        ids: Of each; none where there are no records.
        facts: Metadata of each.
        texts: Of those that have one.
        payloads: Of those that have one.
        times_s: Of each [s].
    """
    try:
        sizes = [*map(len, ids)]
        return (
            bool(words[0])
            and max(map(len, words)) <= m.LONGEST_NAME
            and 0 < min(sizes) <= max(sizes) <= MOST_ID_CHARACTERS
            and is_writable("".join(chain(words, ids)))
            and math.isfinite(sum(times_s))
            and max(map(len, texts), default=0) <= MOST_TEXT_CHARACTERS
            and is_writable("".join(texts))
            and max(map(len, payloads), default=0) <= MOST_PAYLOAD_BYTES
            and set(map(type, payloads)) <= _BYTES
            and _facts_are_fine(facts)
        )
    except (TypeError, ValueError, AttributeError, OverflowError):  # of other types than expected
        return False


def _facts_are_fine(facts: Sequence[Metadata]) -> bool:
    """Whether all of some metadata are plain and small: tags need a closer look."""
    names = set(chain.from_iterable(facts))
    if not names:
        return True
    values = list(chain.from_iterable([x.values() for x in facts]))
    types = set(map(type, values))
    words = [x for x in values if type(x) is str] if str in types else []
    whole = [x for x in values if type(x) is int] if int in types else []
    broken = [x for x in values if type(x) is float] if float in types else []
    longest_name, entries = max(map(len, names)), max(map(len, facts))
    longest = longest_name + max(map(len, words), default=0) + 2
    return (
        types <= _PLAIN
        and longest_name <= m.LONGEST_NAME
        and entries <= MOST_METADATA_ENTRIES
        and entries * longest <= MOST_METADATA_CHARACTERS
        and is_writable("".join(chain(names, words)))
        and -_LIMIT <= min(whole, default=0) <= max(whole, default=0) < _LIMIT
        and math.isfinite(sum(broken))
    )


def stacked(vectors: Sequence[Any]) -> Floats32 | None:
    """Return vectors as one array, (N, D), where all are alike and finite; None where not."""
    first = vectors[0]
    if first is None or not 0 < first.size <= MOST_COMPONENTS:
        return None
    shape = (first.size,)
    if not all([x is not None and x.dtype is _FLOATS and x.shape == shape for x in vectors]):  # noqa: C419  # a list is quicker
        return None
    matrix = np.concatenate(vectors).reshape(len(vectors), first.size)
    return matrix if np.isfinite(matrix).all() else None


def together_fine(records: Sequence[Record]) -> Floats32 | None:
    """Return the vectors, (N, D), of records that surely have no ``fault``; versions aside.

    None where a closer look is needed, and where namespaces, origins, writers or dimensions
    differ or a vector is missing.
    """
    first, count = records[0], len(records)
    origin, space, writer = first.origin, first.namespace, first.version.writer
    spaces, origins = [x.namespace for x in records], [x.origin for x in records]
    writers = [x.version.writer for x in records]
    counts = spaces.count(space), origins.count(origin), writers.count(writer)
    if counts != (count, count, count):
        return None
    if not columns_are_fine(
        (space, origin, writer), [x.id for x in records], [x.metadata for x in records],
        [x.text for x in records if x.text], [x.payload for x in records if x.payload],
        [x.time_s for x in records],
    ):  # fmt: skip
        return None
    return stacked([x.vector for x in records])


def weights_bytes(records: Collection[Record]) -> int:
    """Return the sum of ``weight_bytes`` of some records [bytes]."""
    if not isinstance(records, Together):
        return _weights_bytes(records)
    if not records.weight_bytes:
        records.weight_bytes = _weights_bytes(records)
    return records.weight_bytes


def _weights_bytes(records: Collection[Record]) -> int:
    if len(records) < 4:  # noqa: PLR2004  # columns do not pay
        return sum(map(weight_bytes, records))
    loose = sum([len(x.payload) for x in records])
    loose += 4 * sum([len(x.vector) for x in records if x.vector is not None])
    texts, facts = [x.text for x in records], [x.metadata for x in records]
    return weight_of_columns(len(records), loose, texts, facts)


def weight_of_columns(
    count: int, loose_bytes: int, texts: Sequence[str], facts: Sequence[Metadata]
) -> int:
    """Return ``weights_bytes`` of records from what they hold [bytes].

    Args:
        count: How many they are.
        loose_bytes: Of their vectors and payloads.
        texts: Of each, or none where none has any.
        facts: Metadata of each, or none where none has any.
    """
    return 160 * count + loose_bytes + 3 * sum(map(len, texts)) + _facts_bytes(facts)


def _facts_bytes(facts: Iterable[Mapping[str, object]]) -> int:
    """Return what metadata count for in the weight of records [bytes]."""
    size = 0
    for each in facts:
        for name, value in each.items():
            size += len(name)
            if isinstance(value, str):
                size += 3 * len(value)
            elif isinstance(value, tuple):
                size += sum(3 * len(tag) + 5 for tag in value)
            else:
                size += 16
    return size
