"""What a memory takes in: every record, query and namespace is checked before it is written."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from cellhive.core.errors import BadInput
from cellhive.core.records import NOT_WRITTEN, Metric, Namespace, Record
from cellhive.core.types import Floats32
from cellhive.memory.batches.faults import fault
from cellhive.memory.bounds import (
    LONGEST_NAME,
    MOST_COMPONENTS,
    MOST_METADATA_BYTES,
    MOST_PAYLOAD_BYTES,
    MOST_TEXT_BYTES,
    SURELY_FINE,
)

from .screening import surely_fine

_INT64 = 1 << 63
_LARGEST_NORM = 1e18
"""Squared, and doubled for a distance, it still fits float32."""
_TOGETHER = 1_024
"""Records looked at together: what they hold stays in the processor's cache."""
_FEW = 3
"""Records up to which looking at each is quicker."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where something is wrong, for messages."""

    record: Record

    def refuse(self, expected: str, found: str, remedy: str = "") -> NoReturn:
        """Raise BadInput at this place."""
        name = self.record.id if isinstance(self.record.id, str) else repr(self.record.id)
        place = f"{self.record.namespace}/{name[:80]}"
        raise BadInput(expected=expected, found=found, remedy=remedy, place=place)


def check_namespace(namespace: Namespace) -> None:
    """Raise BadInput for a namespace that no record could be in."""
    place = f"namespace {namespace.name!r:.90}"
    if problem := _name_problem(namespace.name):
        raise BadInput(expected="a name", found=problem, place=place)
    if not 1 <= namespace.dimension <= MOST_COMPONENTS:
        expected = f"1 to {MOST_COMPONENTS} components"
        raise BadInput(expected=expected, found=str(namespace.dimension), place=place)
    if namespace.features and len(namespace.features) != namespace.dimension:
        expected = f"no feature names or {namespace.dimension}, one a component"
        raise BadInput(expected=expected, found=f"{len(namespace.features)} names", place=place)


def check_records(records: Sequence[Record], space_of: Callable[[str], Namespace]) -> None:
    """Raise BadInput, naming it, where one of some records may not be written.

    Args:
        records: Of any namespaces.
        space_of: Returns the namespace of a name; raises NotFound where it is not declared.
    """
    for name in dict.fromkeys([x.namespace for x in records]):
        space = space_of(name)
        own = [x for x in records if x.namespace == name]
        for start in range(0, len(own), _TOGETHER):
            _check_together(own[start : start + _TOGETHER], space)


def _check_together(records: Sequence[Record], space: Namespace) -> None:
    """Look at each record of a namespace, but for those that a look at all lets in."""
    usual = [x for x in records if not x.deleted and x.version is NOT_WRITTEN]
    if len(usual) > _FEW and surely_fine(usual, space):
        records = [x for x in records if x.deleted or x.version is not NOT_WRITTEN]
    for record in records:
        check_record(record, space)


def check_record(record: Record, namespace: Namespace) -> None:
    """Raise BadInput, naming the record, where it may not be written to its namespace."""
    place = _Place(record)
    if problem := _name_problem(record.id):
        place.refuse("an id", problem)
    if len(record.origin) > LONGEST_NAME or not _encodable(record.origin):
        place.refuse(f"an origin of at most {LONGEST_NAME} characters", "a longer one")
    if not math.isfinite(record.time_s):
        place.refuse("a finite time_s", str(record.time_s))
    if record.deleted:
        _check_shareable(place, record)
        return
    _check_sizes(place, record)
    _check_metadata(place, record)
    if record.vector is not None:
        wrong = _vector_problem(np.asarray(record.vector), namespace)
        if wrong:
            place.refuse(*wrong)
    _check_shareable(place, record)


def _check_shareable(place: _Place, record: Record) -> None:
    """Refuse what no other replica could read; how it fits its namespace is checked before."""
    if problem := fault(record):
        place.refuse("a record that can be shared", problem)


def check_queries(vectors: npt.ArrayLike, namespace: Namespace) -> Floats32:
    """Return a query, (D,), or a batch of them, as (B, D) float32, or raise BadInput."""
    array = np.asarray(vectors)
    if array.dtype == np.float32 and array.shape == (namespace.dimension,):
        squared = float(np.vdot(array, array))  # the usual case, in a tenth of the time
        if SURELY_FINE[0] < squared < SURELY_FINE[1]:
            return np.ascontiguousarray(array).reshape(1, -1)
    batch = array.reshape(1, -1) if array.ndim == 1 else array
    place = f"query of {namespace.name}"
    if batch.ndim != 2 or batch.shape[1] != namespace.dimension:  # noqa: PLR2004  # B and D
        expected = f"shape (D,) or (B, D) with D = {namespace.dimension}"
        raise BadInput(expected=expected, found=f"shape {array.shape}", place=place)
    if not np.issubdtype(batch.dtype, np.floating) and not np.issubdtype(batch.dtype, np.integer):
        raise BadInput(expected="numbers", found=str(batch.dtype), place=place)
    norms = np.sqrt(np.einsum("bd,bd->b", batch, batch, dtype=np.float64))
    if not (norms < _LARGEST_NORM).all():
        found = "NaN, infinity or a larger one"
        raise BadInput(expected=f"finite vectors shorter than {_LARGEST_NORM:g}", found=found,
                       place=place)  # fmt: skip
    if namespace.metric is Metric.COSINE and not (norms > 0).all():
        raise BadInput(expected="a direction, for the cosine", found="a zero vector", place=place)
    return np.ascontiguousarray(batch, np.float32)


def check_k(k: int) -> int:
    """Return how many results are wanted, or raise BadInput."""
    if not isinstance(k, int | np.integer) or isinstance(k, bool) or k < 1:
        raise BadInput(expected="k, a whole number from 1", found=repr(k), place="search")
    return int(k)


def check_versions(records: Sequence[Record]) -> None:
    """Raise BadInput where a record carries no version though it must."""
    for record in records:
        if not record.version.written:
            _Place(record).refuse("a version", "none", "give what a log has stamped")


def _name_problem(name: object) -> str:
    """Return what is wrong with an id or a namespace's name, or nothing."""
    if not isinstance(name, str):
        return f"{type(name).__name__}, not text"
    if not name:
        return "an empty one"
    if len(name) > LONGEST_NAME:
        return f"{len(name)} characters, more than {LONGEST_NAME}"
    if name.isprintable():
        return ""
    if not _encodable(name) or any(unicodedata.category(letter) == "Cc" for letter in name):
        return "control characters or lone surrogates"
    return ""


def _encodable(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def _check_sizes(place: _Place, record: Record) -> None:
    if not isinstance(record.text, str) or not _encodable(record.text):
        place.refuse("text", "something else, or lone surrogates")
    if len(record.text.encode()) > MOST_TEXT_BYTES:
        place.refuse(
            f"text of at most {MOST_TEXT_BYTES} bytes", f"{len(record.text.encode())}",
            "put it into the payload",
        )  # fmt: skip
    if not isinstance(record.payload, bytes):
        place.refuse("a payload of bytes", type(record.payload).__name__)
    if len(record.payload) > MOST_PAYLOAD_BYTES:
        place.refuse(
            f"a payload of at most {MOST_PAYLOAD_BYTES} bytes", f"{len(record.payload)}",
            "keep it in a file, and its name here",
        )  # fmt: skip


def _check_metadata(place: _Place, record: Record) -> None:
    total = 0
    for key, value in record.metadata.items():
        if problem := _name_problem(key):
            place.refuse("a metadata key", problem)
        tags = value if isinstance(value, tuple) else (value,)
        for part in tags:
            if isinstance(value, tuple) and not isinstance(part, str):
                place.refuse(f"tags as text in {key!r}", type(part).__name__)
            if problem := _scalar_problem(part):
                place.refuse(f"a plain value in {key!r}", problem)
            total += len(part.encode()) if isinstance(part, str) else 8
        total += len(key.encode())
    if total > MOST_METADATA_BYTES:
        place.refuse(
            f"at most {MOST_METADATA_BYTES} bytes of metadata", str(total),
            "put it into the payload",
        )  # fmt: skip


def _scalar_problem(value: object) -> str:
    match value:
        case None | bool():
            return ""
        case str():
            return "" if _encodable(value) else "lone surrogates"
        case int():
            return "" if -_INT64 <= value < _INT64 else "a number beyond 64 bits"
        case float():
            return "" if math.isfinite(value) else str(value)
        case _:
            return type(value).__name__


def _vector_problem(
    vector: npt.NDArray[np.generic], namespace: Namespace
) -> tuple[str, str] | None:
    if vector.shape != (namespace.dimension,):
        return f"a vector of {namespace.dimension} components", f"shape {vector.shape}"
    if vector.dtype != np.float32:
        return "a float32 vector", str(vector.dtype)
    norm = float(np.sqrt(np.dot(vector.astype(np.float64), vector.astype(np.float64))))
    if not norm < _LARGEST_NORM:
        return f"a finite vector shorter than {_LARGEST_NORM:g}", "NaN, infinity or a larger one"
    if namespace.metric is Metric.COSINE and norm == 0.0:
        return "a direction, for the cosine", "a zero vector"
    return None
