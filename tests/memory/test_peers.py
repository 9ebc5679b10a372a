"""What a replica knows: many writes at once are counted as one by one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cellhive.core.records import Record, RecordKind, Version
from cellhive.memory.peers import Held, one_run
from cellhive.memory.versions import KnownWrites

NUMBERS = st.lists(st.integers(1, 12), max_size=6)


def writes(first: int, count: int) -> list[Record]:
    """Return consecutive writes."""
    return [
        Record("ns", str(i), RecordKind.RESULT, version=Version(i, "a", i))
        for i in range(first, first + count)
    ]


@given(NUMBERS, st.integers(1, 12), st.integers(2, 6))
def test_a_run_is_learnt_as_its_writes_are(before: list[int], first: int, count: int) -> None:
    """Vector, runs beyond gaps and what is told of them do not depend on the way."""
    known = [KnownWrites({}), KnownWrites({})]
    for each in known:
        for number in before:
            each.learn("a", number, number)
    upto = known[0].upto.get("a", 0)
    made = writes(first, count)
    run = one_run(made)
    assert run is not None
    assert (run.writer, run.first, run.last) == ("a", first, first + count - 1)
    held = Held("n", "me", known[0], {}, {}, frozenset())
    remembered, holes, risen = held.learn(made, (), {})
    kept = [x for x in made if known[1].learn("a", x.version.sequence, x.version.sequence)]
    assert (remembered, holes) == (kept, [])
    assert known[0] == known[1]
    assert risen == ({"a": known[1].upto["a"]} if known[1].upto.get("a", 0) > upto else {})


@given(NUMBERS, st.integers(1, 12), st.integers(2, 6), st.integers(0, 2))
def test_a_run_without_room_is_met_again(
    before: list[int], first: int, count: int, most_runs: int
) -> None:
    """What is told to be remembered is known, and nothing else than what came is."""
    known = KnownWrites({}, most_runs)
    for number in before:
        known.learn("a", number, number)
    had = {x for x in range(30) if known.has("a", x)}
    made = writes(first, count)
    remembered, _, _ = Held("n", "me", known, {}, {}, frozenset()).learn(made, (), {})
    assert list(remembered) in ([], made)
    came = {x.version.sequence for x in remembered}
    assert {x for x in range(30) if known.has("a", x)} == had | came
    assert known.runs <= max(most_runs, 0)


def test_what_is_no_run_is_not_taken_for_one() -> None:
    """Gaps, another order, another writer, nothing."""
    a, b, c = writes(1, 3)
    other = Record("ns", "x", RecordKind.RESULT, version=Version(2, "b", 2))
    for records in ([a, c], [b, a], [a, other], []):
        assert one_run(records) is None
