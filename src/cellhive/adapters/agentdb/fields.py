"""Turns what the package wrote into typed facts: JSON texts, times in two units, blobs.

The package keeps times in seconds in most tables and in milliseconds in a few, and anything
else as JSON in text columns, of varying shape. Nothing is dropped on the way: what does not
fit typed metadata stays as it is, in the payload.
"""

from __future__ import annotations

import base64
import datetime as dt
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from cellhive.adapters.agentdb.source import Tally
from cellhive.core.records import Metadata, Metric, Scalar
from cellhive.core.types import Floats32

RESERVED = frozenset({"id", "kind", "time_s", "origin", "table"})
"""Names that filters give a meaning of their own."""
LONG_TEXT = 1000
"""Texts with more characters than this go to the payload, as do tags."""
LONG_NAME = 200
MOST_FACTS = 200
"""Facts of one record that become metadata; what is more goes to the payload."""
MOST_CHARACTERS = 12_000
"""Characters of all metadata of one record."""
MOST_TAGS = 64
LONGER_THAN_ANY = 1_000_000
LARGEST = 1e15
"""Components beyond it have squares that float32 cannot add up."""
INT64 = 2**63
MILLISECONDS_FROM = 1e11
"""Numbers from here are milliseconds: as seconds they would lie past the year 5000."""
_WORDS_JSON = """
tags metadata signature config context features tool_calls evidence_ids experiment_ids chunk_ids
chunk_types minimal_why source_hashes proof_chain path_elements key_insights success_patterns
failure_patterns state_action_pairs q_values visit_counts avg_rewards payload feedback derived_from
"""
JSON_COLUMNS = frozenset(_WORDS_JSON.split())
BOOLEANS = frozenset({"success", "is_treatment", "was_useful"})
_WORDS_TIMES = """
ts timestamp created_at updated_at last_used_at last_validated_at last_accessed_at expires_at
start_time end_time observed_at computed_at accessed_at started_at completed_at
"""
TIMES = frozenset(_WORDS_TIMES.split())

_ISO_TIME = re.compile(r"\d{4}-\d\d-\d\d")


@lru_cache(maxsize=10_000)
def _is_taken(name: str) -> bool:
    """Return whether filters give a name a meaning of their own."""
    return name in RESERVED or name.startswith("$") or not name


@lru_cache(maxsize=10_000)
def _can_name(name: str) -> bool:
    return len(name) <= LONG_NAME and name.isprintable()


def _length(value: Scalar | tuple[str, ...]) -> int:
    """Return the characters of a fact; more than any may have where it is none for metadata."""
    if isinstance(value, str):
        return len(value) if len(value) <= LONG_TEXT and "\0" not in value else LONGER_THAN_ANY
    if isinstance(value, tuple):
        if len(value) > MOST_TAGS:
            return LONGER_THAN_ANY
        return sum(map(_length, value))
    return 8


@dataclass
class Facts:
    """What is known of one record, on its way to metadata and payload."""

    prefix: str
    """Name of what it is, put before names that are taken."""
    metadata: dict[str, Scalar | tuple[str, ...]] = field(default_factory=dict)
    rest: dict[str, Any] = field(default_factory=dict)
    """What metadata cannot hold."""

    characters: int = 0
    """Length of the metadata so far."""

    def put(self, name: str, value: Scalar | tuple[str, ...]) -> None:
        """Note a fact; one that metadata has no room for goes to the rest."""
        length = len(name) + _length(value)
        room = self.characters + length <= MOST_CHARACTERS and len(self.metadata) < MOST_FACTS
        if length < LONGER_THAN_ANY and room and _can_name(name):
            self.metadata[self.free(name)] = value
            self.characters += length
        else:
            self.rest[name] = value

    def free(self, name: str) -> str:
        """Return a name that no filter takes for something else and that is not yet used."""
        while name in self.metadata or _is_taken(name):
            name = f"{self.prefix}.{name}"
        return name

    def payload(self) -> bytes:
        """Return the rest as a JSON object; nothing where there is none."""
        return msgspec.json.encode(self.rest) if self.rest else b""


def seconds(value: object, *, milliseconds: bool) -> tuple[float | None, str]:
    """Return a time in seconds since the epoch, and a remark where it was not as declared.

    Args:
        value: Number or ISO 8601 text.
        milliseconds: Whether the column is one that the package fills with milliseconds.
    """
    if isinstance(value, str) and _ISO_TIME.match(value):
        try:
            read = dt.datetime.fromisoformat(value)
        except ValueError:
            return None, "a time that cannot be read"
        aware = read if read.tzinfo else read.replace(tzinfo=dt.UTC)
        return aware.timestamp(), "times as text, read as ISO 8601"
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None, "a time that cannot be read"
    taken = abs(value) >= MILLISECONDS_FROM if value else milliseconds
    declared = "milliseconds" if milliseconds else "seconds"
    told = "" if taken == milliseconds else f"times by their size not in {declared} as declared"
    return (value / 1000 if taken else float(value)), told


def decoded(blob: bytes, dimension: int, metric: Metric) -> tuple[Floats32 | None, str]:
    """Return an embedding bit by bit, or none and the reason.

    Args:
        blob: Little-endian float32, without a header.
        dimension: Components expected.
        metric: How vectors of its namespace are compared.
    """
    if len(blob) != 4 * dimension:
        return None, f"not {dimension} float32"
    return usable(np.frombuffer(blob, "<f4").astype(np.float32), metric)


def usable(vector: Floats32, metric: Metric) -> tuple[Floats32 | None, str]:
    """Return the vector, or none and the reason where it cannot be compared with others."""
    with np.errstate(all="ignore"):
        square = float(np.dot(vector, vector))
    if 0.0 < square < LARGEST:
        return vector, ""  # by far most of them
    if not np.isfinite(vector).all():
        return None, "has NaN or infinite components"
    if np.abs(vector).max(initial=0.0) > LARGEST:
        return None, f"has components beyond {LARGEST:g}"
    if metric is Metric.COSINE and not vector.any():
        return None, "is all zeros, which has no direction"
    return vector, ""


def add_json(facts: Facts, name: str, text: str, tally: Tally, where: str) -> None:
    """Add a JSON text: an object fact by fact, a list of words as tags, else the text itself."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        tally.remark(where, f"{name}: not JSON; kept as text")
        facts.put(name, text)
        return
    add_value(facts, name, value, text)


def add_value(facts: Facts, name: str, value: Any, text: str) -> None:
    """Add a decoded JSON value; see ``add_json``."""
    if isinstance(value, Mapping) and value:
        flat: dict[str, Scalar | tuple[str, ...]] = {}
        if _flatten(flat, value, "" if name == "metadata" else name):
            for each, fact in flat.items():
                facts.put(each, fact)
            return
        facts.rest[name] = value
        return
    fact = _fact(value)
    facts.put(name, text if fact is None else fact)


def _flatten(flat: dict[str, Any], value: Mapping[Any, Any], path: str) -> bool:
    """Fill in a JSON object with dotted names; False where that would lose something."""
    pending: list[tuple[str, Any]] = [(path, value)]
    while pending:
        at, each = pending.pop()
        if isinstance(each, Mapping) and each:
            pending += [(f"{at}.{k}" if at else str(k), v) for k, v in reversed(list(each.items()))]
            if len(pending) > MOST_FACTS:
                return False
            continue
        fact = _fact(each)
        if at in flat or len(flat) >= MOST_FACTS or (fact is None and each is not None):
            return False
        flat[at] = fact
    return True


def _fact(value: Any) -> Scalar | tuple[str, ...]:
    """Return a JSON value as metadata; None where metadata has no such type."""
    match value:
        case bool() | str():
            return value
        case int():
            return value if -INT64 <= value < INT64 else None
        case float():
            return value if math.isfinite(value) else None
        case list() if all(isinstance(each, str) for each in value):
            return tuple(value)
        case _:
            return None


def add_column(facts: Facts, name: str, value: object, tally: Tally, where: str) -> None:
    """Add one column of a row, by its name and by what it really holds."""
    match value:
        case None:
            return
        case bytes():
            facts.rest[name] = {"base64": base64.b64encode(value).decode()}
            tally.remark(where, f"{name}: bytes where text was expected; kept in the payload")
        case str() if name in JSON_COLUMNS:
            add_json(facts, name, value, tally, where)
        case 0 | 1 if name in BOOLEANS:
            facts.put(name, bool(value))
        case float() if not math.isfinite(value):
            facts.put(name, repr(value))
            tally.remark(where, f"{name}: not finite; kept as text")
        case str() | int() | float():
            facts.put(name, value)
        case _:  # SQLite has no other types
            facts.rest[name] = str(value)


def metadata_of(facts: Facts) -> Metadata:
    """Return the metadata of a record."""
    return facts.metadata
