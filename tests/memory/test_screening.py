"""The look at many records at once lets nothing in that the look at each would keep out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from cellhive.core.errors import BadInput, NotFound
from cellhive.core.records import Metric, Namespace, Record, RecordKind, Version
from cellhive.memory.checks.screening import surely_fine
from cellhive.memory.checks.validation import check_record, check_records

SPACE = Namespace("cells", 3)

WORDS = st.one_of(
    st.text(max_size=4), st.sampled_from(["", "a" * 512, "a" * 513, "\0", "\ud800", "\x85", "é"])
)
SCALARS = st.one_of(
    WORDS, st.none(), st.booleans(), st.integers(-(2**64), 2**64), st.floats(),
    st.sampled_from([b"bytes", 1j, np.float64(0.5), np.float32(0.5), 2**63, -(2**63)]),
    st.just("x" * 70_000),
)  # fmt: skip
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=3).map(tuple), st.lists(WORDS).map(tuple))
COMPONENTS = st.one_of(
    st.floats(width=32), st.sampled_from([0.0, 1e-45, 1e-20, 2e17, 1e18, 3e38, 1.0])
)
VECTORS = st.one_of(
    st.none(),
    st.lists(COMPONENTS, min_size=2, max_size=4).map(lambda x: np.array(x, np.float32)),
    st.sampled_from([np.ones(3), np.ones((3, 1), np.float32), np.ones(3, np.int32), [1.0, 2.0]]),
)  # fmt: skip
PLAIN: dict[str, Any] = {
    "namespace": "cells", "id": "a", "kind": RecordKind.RESULT, "vector": np.ones(3, np.float32),
    "metadata": {"region": "north", "load": 0.5, "users": 3, "tags": ("rain", "match")},
    "text": "rain", "payload": b"1", "time_s": 1.5, "origin": "agent",
}  # fmt: skip
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "id": st.one_of(WORDS, st.sampled_from([None, 7, b"a"])),
    "vector": VECTORS,
    "metadata": st.dictionaries(st.one_of(WORDS, st.integers()), VALUES, max_size=3),
    "text": st.one_of(WORDS, st.sampled_from([None, b"a", "ä" * 600_000])),
    "payload": st.sampled_from([b"", b"x", "text", bytearray(b"x")]),
    "time_s": st.floats(),
    "origin": WORDS,
    "version": st.builds(Version, st.integers(-1, 2**63), WORDS, st.integers(0, 2**63)),
    "deleted": st.booleans(),
}


@st.composite
def records(draw: Callable[[Any], Any]) -> Record:
    """Return a record of which one or two fields are anything."""
    changed = draw(st.lists(st.sampled_from(list(FIELDS)), max_size=2, unique=True))
    return Record(**PLAIN | {name: draw(FIELDS[name]) for name in changed})


def refused(check: Callable[[], None]) -> str | None:
    """Return what a check raises, in words; None where it raises nothing."""
    try:
        check()
    except Exception as error:  # whatever it is: both have to agree
        return f"{type(error).__name__}: {error}"
    return None


@settings(max_examples=150, deadline=None)
@given(some=st.lists(records(), min_size=4, max_size=6), metric=st.sampled_from(list(Metric)))
def test_together_and_one_by_one_say_the_same(some: list[Record], metric: Metric) -> None:
    """A batch is refused exactly where one of its records is, and with the same words."""
    space = replace(SPACE, metric=metric)

    def each() -> None:
        for record in some:
            check_record(record, space)

    assert refused(lambda: check_records(some, lambda _: space)) == refused(each)


@settings(max_examples=100, deadline=None)
@given(odd=records(), metric=st.sampled_from(list(Metric)))
def test_what_is_surely_fine_is_fine(odd: Record, metric: Metric) -> None:
    """The quick look never lets in what the closer one refuses."""
    space = replace(SPACE, metric=metric)
    odd = structs.replace(odd, deleted=False, version=Version())
    if surely_fine([Record(**PLAIN), odd], space):
        check_record(odd, space)


def test_the_usual_needs_no_closer_look() -> None:
    """Records as agents write them, with numbers, words and tags, pass at the first look."""
    usual = [
        Record(**PLAIN | {"id": f"cell {i}", "time_s": float(i), "vector": vector})
        for i, vector in enumerate(np.eye(3, dtype=np.float32))
    ]
    bare = Record("cells", "bare", RecordKind.MODEL)
    assert surely_fine([*usual, bare], SPACE)
    assert not surely_fine([*usual, structs.replace(bare, id="two\nlines")], SPACE)
    zero = structs.replace(bare, vector=np.zeros(3, np.float32))
    assert not surely_fine([*usual, zero], SPACE)
    assert surely_fine([*usual, zero], replace(SPACE, metric=Metric.L2))


def test_each_namespace_is_looked_at_with_its_own_measure() -> None:
    """A batch may hold records of several namespaces; one that is unknown is told of."""
    spaces = {"cells": SPACE, "pairs": Namespace("pairs", 2)}

    def space_of(name: str) -> Namespace:
        if name not in spaces:
            raise NotFound(name)
        return spaces[name]

    mixed = [
        Record(name, f"{i}", RecordKind.RESULT, np.ones(spaces[name].dimension, np.float32))
        for i in range(10) for name in spaces
    ]  # fmt: skip
    check_records(mixed, space_of)
    with pytest.raises(BadInput, match="pairs/odd"):
        check_records([*mixed, structs.replace(mixed[0], namespace="pairs", id="odd")], space_of)
    with pytest.raises(NotFound):
        check_records([*mixed, structs.replace(mixed[0], namespace="none")], space_of)
