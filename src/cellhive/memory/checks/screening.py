"""A look at many records at once: for most batches it is all that it takes to let them in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

import numpy as np

from cellhive.core.records import Metric, Namespace, Record
from cellhive.memory import bounds
from cellhive.memory.batches.faults import is_writable

_INT64 = 1 << 63
_FLOATS = np.dtype(np.float32)
_TEXT, _BYTES, _ARRAY = {str}, {bytes}, {np.ndarray}
_PLAIN: Final = {str, int, float, bool, type(None), tuple}


def surely_fine(records: Sequence[Record], space: Namespace) -> bool:
    """Whether what many records show together lets each of them in.

    It takes a tenth of the time of looking at one after the other. False means only that a
    closer look is needed; True, that ``validation.check_record`` has nothing against any.

    Args:
        records: Of one namespace, at least one, neither deleted nor with a version.
        space: Their namespace, as it is declared.
    """
    try:
        return (
            is_fine_name(space.name)
            and _named(records)
            and _sized(records)
            and _told([x.metadata for x in records])
            and _placed([x.vector for x in records], space)
        )
    except (TypeError, ValueError, AttributeError, OverflowError):  # of other types than expected
        return False


def is_fine_name(name: str) -> bool:
    """Whether a name is one beyond doubt: printable and of fitting length."""
    return 0 < len(name) <= bounds.LONGEST_NAME and name.isprintable()


def _named(records: Sequence[Record]) -> bool:
    ids, origins = [x.id for x in records], {x.origin for x in records}
    lengths = set(map(len, ids))
    return (
        0 < min(lengths) <= max(lengths) <= bounds.LONGEST_NAME
        and "".join(ids).isprintable()
        and all(len(x) <= bounds.LONGEST_NAME and is_writable(x) for x in origins)
        and math.isfinite(sum([x.time_s for x in records]))
    )


def _sized(records: Sequence[Record]) -> bool:
    texts, payloads = [x.text for x in records], [x.payload for x in records]
    return (
        set(map(type, texts)) <= _TEXT
        and set(map(type, payloads)) <= _BYTES
        and 4 * max(map(len, texts)) <= bounds.MOST_TEXT_BYTES
        and max(map(len, payloads)) <= bounds.MOST_PAYLOAD_BYTES
        and all(map(is_writable, filter(None, texts)))
    )


def _told(metadata: Sequence[Any]) -> bool:
    """Whether facts are of the types they may be, finite, writable and few enough."""
    names = set(chain.from_iterable(metadata))
    if not names:
        return True
    values = list(chain.from_iterable([x.values() for x in metadata]))
    types = set(map(type, values))
    words = [x for x in values if type(x) is str]
    tags = [x for x in values if type(x) is tuple] if tuple in types else []
    words += chain.from_iterable(tags)
    if not (types <= _PLAIN and set(map(type, words)) <= _TEXT):
        return False
    longest = max(8, *map(len, names), *map(len, words))
    entries = max(map(len, metadata)) * (1 + max(1, *map(len, tags)) if tags else 2)
    whole = [x for x in values if type(x) is int]
    return (
        4 * longest * entries <= bounds.MOST_METADATA_BYTES
        and all(map(is_fine_name, names))
        and is_writable("".join(words))
        and math.isfinite(sum([x for x in values if type(x) is float]))
        and -_INT64 <= min(whole, default=0) <= max(whole, default=0) < _INT64
    )


def _placed(vectors: Sequence[Any], space: Namespace) -> bool:
    """Whether vectors fit their namespace, are finite and, under the cosine, have a direction."""
    there = [x for x in vectors if x is not None]
    if not there:
        return True
    if not (
        set(map(type, there)) <= _ARRAY
        and {x.dtype for x in there} <= {_FLOATS}
        and {x.shape for x in there} == {(space.dimension,)}
    ):
        return False
    matrix = np.concatenate(there).reshape(len(there), space.dimension)
    with np.errstate(over="ignore", invalid="ignore"):
        squared = np.einsum("nd,nd->n", matrix, matrix)
    least, most = bounds.SURELY_FINE
    long_enough = space.metric is not Metric.COSINE or bool((squared > least).all())
    return long_enough and bool((squared < most).all())
