"""The memory: what is found, in which order, why, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from derived_in_memory import KeptFiles
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from nearest import clusters

from cellhive.core.errors import BadInput, Conflict, NotFound
from cellhive.core.records import Metric, Namespace, Record, RecordKind, Storage, Version
from cellhive.core.types import Floats32
from cellhive.memory.filters import matches, parse
from cellhive.memory.indexes.index import IndexSettings
from cellhive.memory.ranking import Outcomes, Ranking
from cellhive.memory.store import Memory
from cellhive.memory.volatile import VolatileLog

SMALL = IndexSettings(exact_below=300, fresh=40, few=30, recall=0.97)


def record(name: str, *vector: float, **more: Any) -> Record:
    """Return a record of namespace s."""
    array = np.array(vector, np.float32) if vector else None
    return structs.replace(Record("s", name, RecordKind.PATTERN, array), **more)


def opened(space: Namespace | None = None) -> Memory:
    """Return an empty memory with one namespace."""
    memory = Memory(VolatileLog(), settings=SMALL)
    memory.declare(space or Namespace("s", 2))
    return memory


def filled(count: int, storage: Storage = Storage.FLOAT32, files: Any = None) -> Memory:
    """Return a memory of clustered vectors with a region and a load each."""
    memory = Memory(VolatileLog(), files, settings=SMALL)
    memory.declare(Namespace("s", 16, storage=storage))
    rng = np.random.default_rng(1)
    regions = ("north", "south", "east", "west")
    memory.add([
        Record("s", f"r{i}", RecordKind.PATTERN, vector,
               metadata={"region": regions[i % 4], "load": float(rng.random()), "n": i})
        for i, vector in enumerate(clusters(count, 16, seed=3))
    ])  # fmt: skip
    return memory


def test_finds_what_was_written_and_not_what_was_deleted() -> None:
    """Each write and deletion shows in the next search."""
    memory = opened()
    memory.add([record("east", 1, 0), record("north", 0, 1), record("words")])
    assert memory.search("s", np.array([1, 0.1]), 5).ids() == ["east", "north"]
    memory.upsert([record("north", 1, 0.1)])
    assert memory.search("s", np.array([1, 0.1]), 1).ids() == ["north"]
    assert memory.delete("s", ["north", "nobody", "north"]) == 1
    hits = memory.search("s", np.array([1, 0.1]), 2)
    assert hits.ids() == ["east"]
    assert hits.rows.tolist()[0][1] == -1
    assert memory.count("s") == 2


def test_a_batch_gives_each_query_its_own() -> None:
    """Two queries, two answers, and the scores are cosines."""
    memory = opened()
    memory.add([record("east", 2, 0), record("north", 0, 3)])
    hits = memory.search("s", np.array([[1, 0], [0, 5]]), 1)
    assert [hits.ids(0), hits.ids(1)] == [["east"], ["north"]]
    assert hits.scores == pytest.approx(np.ones((2, 1)))


FILTERS: list[dict[str, Any]] = [
    {"region": "north"},
    {"load": {"$gte": 0.95}},
    {"region": {"$in": ["north", "east"]}, "load": {"$lt": 0.01}},
    {"n": {"$in": [3, 500, 1100]}},
    {"$not": {"region": {"$ne": "west"}}, "id": {"$contains": "7"}},
    {"region": "nowhere"},
]


@pytest.mark.parametrize("where", FILTERS)
@pytest.mark.parametrize("storage", [Storage.FLOAT32, Storage.BINARY])
def test_a_filter_leaves_the_exact_right_ones(where: dict[str, Any], storage: Storage) -> None:
    """With and without cells: what the slow way finds among the matching, also after writes."""
    memory = filled(1200, storage, KeptFiles())
    for _ in range(2):
        _, records = memory.scan("s", limit=5000)
        condition = parse(where)
        assert condition is not None
        fitting = [each for each in records if matches(condition, each)]
        right = total = 0
        for query in clusters(10, 16, seed=8):
            near = {each.id: float(each.vector @ query / np.linalg.norm(each.vector))
                    for each in fitting if each.vector is not None}  # fmt: skip
            true = sorted(near, key=lambda name: -near[name])[:10]
            found = memory.search("s", query, 10, where=where).ids()
            assert len(found) == len(true)
            assert set(found) <= near.keys()
            right, total = right + len(set(found) & set(true)), total + len(true)
        assert right >= 0.99 * total
        assert memory.count("s", where=where) == len(fitting)
        memory.upsert([structs.replace(each, metadata={**each.metadata, "region": "south"})
                       for each in records[:40]])  # fmt: skip
        memory.delete("s", [each.id for each in records[60:90]])


@given(
    records=st.lists(
        st.tuples(
            st.integers(0, 20),
            st.dictionaries(
                st.sampled_from("ab"),
                st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.floats(-2, 2),
                          st.integers(2**53 - 1, 2**53 + 2), st.sampled_from(["x", "xy"]),
                          st.sampled_from([("x",), ("x", "y")])),
                max_size=2,
            ),
            st.booleans(),
        ),
        min_size=1, max_size=25,
    ),
    where=st.recursive(
        st.dictionaries(
            st.sampled_from("ab"),
            st.one_of(
                st.sampled_from([1, 0.5, True, None, "x", ["x", "y"], 2**53 + 1]),
                st.fixed_dictionaries({}, optional={
                    "$gt": st.sampled_from([0, 1.5, "x", 2**53 + 1]),
                    "$lte": st.sampled_from([1, "xx", 2**53 + 1, -0.5]),
                    "$ne": st.sampled_from([1, "x", None, False]),
                    "$nin": st.sampled_from([[1, "x"], [], [True]]),
                    "$in": st.sampled_from([[1, None], [0.5, ["x"]]]),
                    "$contains": st.sampled_from(["x", "y"]),
                    "$exists": st.booleans(),
                }).filter(bool),
            ),
            max_size=2,
        ),
        lambda inner: st.one_of(
            st.fixed_dictionaries({"$not": inner}),
            st.fixed_dictionaries({"$or": st.lists(inner, min_size=1, max_size=2)}),
            st.fixed_dictionaries({"$and": st.lists(inner, min_size=1, max_size=2)}),
        ),
        max_leaves=4,
    ),
)  # fmt: skip
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_columns_filter_as_records_do(
    records: list[tuple[int, dict[str, Any], bool]], where: dict[str, Any]
) -> None:
    """Evaluated by column, kept up through writes and deletions, as evaluated one by one."""
    memory = opened()
    condition = parse(where)
    for start in (0, len(records) // 2):
        for number, metadata, dead in records[start:]:
            if dead:
                memory.delete("s", [str(number)])
            else:
                memory.upsert([record(str(number), 1.0, number, metadata=metadata)])
        _, there = memory.scan("s", limit=100)
        expected = {each.id for each in there if condition is None or matches(condition, each)}
        assert set(memory.search("s", np.array([1.0, 0.0]), 50, where=where).ids()) == expected


def test_kinds_are_told_apart() -> None:
    """A kind is a filter like others."""
    memory = opened()
    memory.add([record("p", 1, 0), record("o", 1, 0, kind=RecordKind.OUTCOME)])
    assert memory.search("s", np.array([1, 0]), 5, kind=RecordKind.OUTCOME).ids() == ["o"]
    assert memory.count("s", kind=RecordKind.OUTCOME) == 1
    assert memory.count("s", kind=RecordKind.PATTERN, where={"id": {"$ne": "o"}}) == 1


def test_words_and_vectors_are_fused_by_rank() -> None:
    """First in both lists comes first; what is in one list only still comes."""
    memory = opened()
    memory.add([
        record("both", 1, 0.1, text="cell overload in the evening"),
        record("near", 1, 0, text="handover"),
        record("said", -1, 0, text="overload"),
        record("silent", text="overload at night"),
    ])  # fmt: skip
    found = memory.find("s", vector=np.array([1, 0], np.float32), text="evening overload", k=4)
    assert found[0].record.id == "both"
    assert {match.record.id for match in found} == {"both", "near", "said", "silent"}
    assert found[0].similarity == pytest.approx(1 / np.sqrt(1.01))
    assert next(match for match in found if match.record.id == "silent").similarity is None
    only = memory.find("s", text="overload", where={"id": {"$ne": "both"}})
    assert {match.record.id for match in only} == {"said", "silent"}
    with pytest.raises(BadInput, match="neither"):
        memory.find("s", text=" ")


def test_age_and_outcome_move_results() -> None:
    """Half a score at the half-life; a mean of few trials counts less than one of many."""
    memory = opened()
    memory.add([
        record("old", 1, 0, time_s=0.0),
        record("new", 1, 0.05, time_s=100.0),
        record("tried", 1, 0, metadata={"mean": 0.8, "weight": 50}, time_s=100.0),
        record("lucky", 1, 0, metadata={"mean": 0.9, "weight": 1}, time_s=100.0),
        record("bad", 1, 0, metadata={"mean": 0.0, "weight": 50}, time_s=100.0),
    ])  # fmt: skip
    query = np.array([1, 0], np.float32)
    aged = memory.find("s", vector=query, k=5, where={"id": {"$in": ["old", "new"]}},
                       ranking=Ranking(half_life_s=100.0, now_s=100.0))  # fmt: skip
    assert [match.record.id for match in aged] == ["new", "old"]
    assert aged[1].score == pytest.approx(0.5)
    proven = memory.find("s", vector=query, k=5, ranking=Ranking(outcomes=Outcomes()))
    assert [match.record.id for match in proven][:2] == ["tried", "lucky"]
    assert proven[-1].record.id == "bad"


def test_diversity_passes_over_what_is_already_there() -> None:
    """Of two equal records and a different one, the different one is second."""
    memory = opened()
    memory.add([record("a", 1, 0), record("a again", 1, 0.001), record("b", 0.6, 0.8)])
    query = np.array([1, 0.1], np.float32)
    plain = memory.find("s", vector=query, k=2)
    assert {match.record.id for match in plain} == {"a", "a again"}
    diverse = memory.find("s", vector=query, k=2, ranking=Ranking(diversity=0.7))
    assert {match.record.id for match in diverse} & {"a", "a again"} != set()
    assert diverse[1].record.id == "b"


@pytest.mark.parametrize("metric", list(Metric))
def test_features_explain_the_similarity(metric: Metric) -> None:
    """The parts of the named features add up to the similarity, under every metric."""
    memory = opened(Namespace("s", 2, metric, features=("load", "speed")))
    memory.add([record("x", 2, 1)])
    [match] = memory.find("s", vector=np.array([1, 3], np.float32))
    assert set(match.contributions) == {"load", "speed"}
    assert sum(match.contributions.values()) == pytest.approx(match.similarity)
    expected = {"cosine": 2, "inner product": 2, "l2": -1}[metric.value]
    scale = np.sqrt(5 * 10) if metric is Metric.COSINE else 1
    assert match.contributions["load"] == pytest.approx(expected / scale)


def test_what_is_noted_is_found_before_it_is_durable_and_once_only() -> None:
    """A noted record replaces its older self, obeys filters, and gives way to the log."""
    memory = opened()
    memory.add([record("x", 1, 0), record("y", 0, 1)])
    query = np.array([0, 1], np.float32)
    noted = record("x", 0.1, 1, metadata={"seen": 1}, version=Version(9, "b~1", 1))
    memory.note([noted, record("z", 1, 0.9, version=Version(9, "b~1", 2))])
    assert memory.search("s", query, 5).ids() == ["y", "x", "z"]
    assert memory.search("s", query, 5, where={"seen": 1}).ids() == ["x"]
    memory.note([record("z", 0, 1, version=Version(10, "b~1", 3), deleted=True)])
    assert memory.search("s", query, 5).ids() == ["y", "x"]
    memory.log.put([noted])
    memory.log.put([record("z", 0, 1, version=Version(11, "c~1", 1))])
    assert sorted(memory.search("s", query, 5).ids()) == ["x", "y", "z"]
    memory.note([record("x", 1, 0, version=Version(8, "b~2", 1))])
    assert memory.search("s", np.array([1, 0], np.float32), 1).ids() == ["x"]
    assert memory.search("s", query, 2).ids()[1] in {"x", "z"}


@pytest.mark.parametrize("storage", list(Storage))
def test_an_index_is_taken_back_from_its_files(storage: Storage) -> None:
    """A second memory over the log loads what the first one saved, and answers alike."""
    files = KeptFiles()
    memory = filled(400, storage, files)
    queries = clusters(5, 16, seed=9)
    before = memory.search("s", queries, 10)
    memory.upsert([Record("s", "late", RecordKind.PATTERN, queries[0])])
    memory.search("s", queries, 10)
    memory.close()
    again = Memory(memory.log, files, settings=SMALL)
    loads = files.loaded
    after = again.search("s", queries, 10)
    assert files.loaded == loads + 1
    assert after.ids(0)[0] == "late"
    assert np.array_equal(after.rows[1:], before.rows[1:])


@pytest.mark.parametrize("loss", ["index", "floats", "halves", "other log"])
def test_lost_and_foreign_files_are_made_again(loss: str) -> None:
    """Nothing of the answers depends on the derived files."""
    files = KeptFiles()
    memory = filled(400, Storage.BINARY, files)
    queries = clusters(5, 16, seed=9)
    before = memory.search("s", queries, 10)
    memory.close()
    log = memory.log
    match loss:
        case "index":
            files.kept.clear()
        case "floats":
            files.floats_kept.clear()
        case "halves":
            for arrays in files.kept.values():
                arrays["codes.signs"] = arrays["codes.signs"][:7]
        case _:
            other = filled(400, Storage.BINARY)
            other.upsert([Record("s", "r7", RecordKind.PATTERN, queries[0])])
            other.upsert([Record("s", "r399", RecordKind.PATTERN, queries[1])])
            log, before = other.log, other.search("s", queries, 10)
    after = Memory(log, files, settings=SMALL).search("s", queries, 10)
    shared = [len(set(a) & set(b)) for a, b in zip(before.rows.tolist(), after.rows.tolist(),
                                                   strict=True)]  # fmt: skip
    assert sum(shared) >= 47


BAD: dict[str, Record] = {
    "wrong dimension": record("x", 1, 2, 3),
    "nan": record("x", 1, float("nan")),
    "infinity": record("x", 1, float("inf")),
    "too long a vector": record("x", 1e30, 0),
    "no direction": record("x", 0, 0),
    "float64": record("x", vector=np.zeros(2)),
    "no id": record("", 1, 0),
    "long id": record("x" * 600, 1, 0),
    "control character": record("a\nb", 1, 0),
    "lone surrogate": record("\ud800", 1, 0),
    "metadata too large": record("x", metadata={"a": "y" * 70_000}),
    "metadata not plain": record("x", metadata={"a": {"b": 1}}),
    "metadata nan": record("x", metadata={"a": float("nan")}),
    "metadata beyond 64 bits": record("x", metadata={"a": 1 << 70}),
    "tags not text": record("x", metadata={"a": (1, 2)}),
    "text too long": record("x", text="é" * 600_000),
    "time not finite": record("x", time_s=float("inf")),
    "payload no bytes": record("x", payload="text"),
}


@pytest.mark.parametrize("problem", BAD)
def test_bad_records_are_refused_by_name_and_nothing_is_written(problem: str) -> None:
    """The good record beside it is not written either, whichever call it is."""
    memory = opened()
    for write in (memory.add, memory.upsert):
        with pytest.raises(BadInput, match=r"expected .*, found "):
            write([record("good", 1, 0), BAD[problem]])
    stamped = structs.replace(BAD[problem], version=Version(1, "b~1", 1))
    with pytest.raises(BadInput):
        memory.note([stamped])
    assert memory.count("s") == 0


@pytest.mark.parametrize(
    "where",
    [
        {"a": {"$near": 1}}, {"$xor": []}, {"$or": []}, {"$and": {}}, {"$not": 3}, {1: 2},
        {"a": {"$in": 3}}, {"a": {"$gt": None}}, {"a": {"$gt": True}}, {"a": {"$exists": 1}},
        {"a": {"$contains": 1}}, {"a": float("nan")}, {"a": {}}, {"a": Ellipsis}, [1],
        {"a": [1, 2]},
    ],
    ids=str,
)  # fmt: skip
def test_bad_filters_are_refused(where: Any) -> None:
    """Whatever is no filter is said to be none."""
    with pytest.raises(BadInput, match="where: expected"):
        opened().search("s", np.array([1, 0]), 1, where=where)


def test_a_filter_without_end_is_refused() -> None:
    """Nesting and length are bounded."""
    deep: dict[str, Any] = {"a": 1}
    for _ in range(5000):
        deep = {"$not": deep}
    wide = {"$or": [{"a": i} for i in range(5000)]}
    for where in (deep, wide):
        with pytest.raises(BadInput, match="at most"):
            opened().search("s", np.array([1, 0]), 1, where=where)


@pytest.mark.parametrize(
    "query", [[1.0], [1.0, float("nan")], [0.0, 0.0], [[[1.0, 0.0]]], ["a", "b"], [1e30, 0.0]]
)
def test_bad_queries_are_refused(query: Any) -> None:
    """Wrong shape, no number, no direction."""
    with pytest.raises(BadInput, match="query of s"):
        opened().search("s", np.array(query), 1)


@pytest.mark.parametrize(
    "query", [[1.0, float("nan")], [0.0, 0.0], [1e30, 0.0], [float("inf"), 1.0], [3e38, 3e38]]
)
def test_bad_queries_of_float32_are_refused(query: list[float]) -> None:
    """What takes the short way past the checks needs none of them."""
    with pytest.raises(BadInput, match="query of s"):
        opened().search("s", np.array(query, np.float32), 1)


@pytest.mark.parametrize("length", [1e-30, 1e-20, 1.0, 1e15, 1e17])
def test_queries_of_any_length_have_a_direction(length: float) -> None:
    """Squares that float32 cannot hold are looked at more closely, not refused."""
    memory = opened()
    memory.add([record("x", 1, 0), record("y", 0, 1)])
    query = np.array([length, 0, length], np.float32)[::2] * np.array([1, 0.5], np.float32)
    assert memory.search("s", query, 1).ids() == ["x"]


def test_unknown_namespaces_and_bad_counts_are_refused() -> None:
    """Every call says what to do about a namespace that is not there."""
    memory = opened()
    query = np.array([1, 0], np.float32)
    calls = [
        lambda: memory.search("t", query, 1),
        lambda: memory.find("t", vector=query),
        lambda: memory.get("t", ["x"]),
        lambda: memory.count("t"),
        lambda: memory.delete("t", ["x"]),
        lambda: memory.scan("t", limit=1),
        lambda: memory.upsert([structs.replace(record("x", 1, 0), namespace="t")]),
    ]
    for call in calls:
        with pytest.raises(NotFound, match="declare"):
            call()  # type: ignore[no-untyped-call]  # each a call of the memory
    for k in (0, -1, 1.5, True):
        with pytest.raises(BadInput, match="a whole number from 1"):
            memory.search("s", query, k)  # type: ignore[arg-type]  # that is the point
    with pytest.raises(Conflict):
        memory.declare(Namespace("s", 3))
    for space in (Namespace("", 2), Namespace("z", 0), Namespace("z", 2, features=("a",))):
        with pytest.raises(BadInput, match="namespace"):
            memory.declare(space)


@pytest.mark.parametrize(
    "settings_", [{"half_life_s": 0.0}, {"half_life_s": 5.0}, {"diversity": 1.5}, {"pool": -1},
                  {"outcomes": Outcomes(low=1.0, high=1.0)}],
)  # fmt: skip
def test_bad_rankings_are_refused(settings_: dict[str, Any]) -> None:
    """A ranking that cannot be is no ranking."""
    with pytest.raises(BadInput, match="ranking"):
        Ranking(**settings_)


def test_a_query_is_not_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory does not write to what it is given."""
    del monkeypatch
    memory = opened()
    vector: Floats32 = np.array([3, 4], np.float32)
    vector.setflags(write=False)
    memory.add([record("x", vector=vector)])
    assert memory.search("s", vector, 1).scores == pytest.approx(1)
