"""Files of the npm package agentdb: what arrives, bit by bit, and what is said of the rest."""

from __future__ import annotations

import json
import sqlite3
import struct
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cellhive.adapters.agentdb.opening import open_agentdb
from cellhive.adapters.agentdb.source import Source, Weight
from cellhive.core.errors import BadInput, NotFound, UsageError
from cellhive.core.records import Metric, Record, RecordKind
from cellhive.core.types import Floats32
from cellhive.memory.batches.faults import fault

SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "data" / "agentdb_samples"
NAN = float("nan")


def sample(name: str) -> Path:
    """Return a file that the package itself wrote, or skip where it is not at hand."""
    path = SAMPLES / name
    if not path.exists():
        pytest.skip(f"the sample shared/data/agentdb_samples/{name} is not there")
    return path


def read(source: Source) -> dict[str, Record]:
    """Return all records by id, having checked that no id comes twice."""
    records = list(source.records())
    assert len({record.key for record in records}) == len(records)
    return {record.id: record for record in records}


def told(source: Source, weight: Weight) -> dict[str, int]:
    """Return the findings of a weight as "where: what" with their counts."""
    return {f"{each.where}: {each.what}": each.count
            for each in source.tally.findings() if each.weight is weight}  # fmt: skip


def blob(*values: float) -> bytes:
    """Return components as the package stores them."""
    return struct.pack(f"<{len(values)}f", *values)


def raw(path: Path, query: str) -> list[tuple[object, bytes]]:
    """Return rows of a database as SQLite gives them."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as db:
        return db.execute(query).fetchall()


def f32(*values: float | list[float]) -> Floats32:
    """Return a vector, or vectors."""
    return np.array(values, np.float32)


def database(path: Path, *statements: str | tuple[str, tuple[object, ...]]) -> Path:
    """Write a SQLite file."""
    with closing(sqlite3.connect(path)) as db, db:
        for statement in statements:
            text, values = (statement, ()) if isinstance(statement, str) else statement
            db.execute(text, values)
    return path


PATTERNS = (
    "CREATE TABLE reasoning_patterns(id INTEGER PRIMARY KEY, ts INTEGER, task_type TEXT,"
    " approach TEXT, success_rate REAL, uses INTEGER, avg_reward REAL, tags TEXT, metadata TEXT)",
    "CREATE TABLE pattern_embeddings(pattern_id INTEGER PRIMARY KEY, embedding BLOB)",
)
PUT_PATTERN = "INSERT INTO reasoning_patterns VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
PUT_EMBEDDING = "INSERT INTO pattern_embeddings VALUES (?, ?)"


def patterns(path: Path) -> Path:
    """Write two patterns with vectors and one without."""
    return database(
        path, *PATTERNS,
        (PUT_PATTERN, (1, 1_700_000_000, "energy", "sleep at night", 0.5, 4, 0.25,
                       '["energy", "night"]', '{"cell": "c1", "kpi": {"load": 0.1, "ues": 3}}')),
        (PUT_PATTERN, (2, 1_700_000_000_500, "mobility", "x" * 2000, 1.0, 0, 0.0, "[]", "{broken")),
        (PUT_PATTERN, (7, 1_700_000_002, "load", "offload", 0.75, 9, 0.5, None,
                       '{"id": "mine", "$gt": 1, "ok": true, "list": [1, 2]}')),
        (PUT_EMBEDDING, (1, blob(1.0, -0.0, 1e-40))),
        (PUT_EMBEDDING, (2, blob(0.1, 0.2, 0.3))),
        (PUT_EMBEDDING, (99, blob(0.1, 0.2, 0.3))),
    )  # fmt: skip


def hnswlib_index(
    path: Path, vectors: Floats32, *, deleted: int = -1, labels: list[int] | None = None
) -> Path:
    """Write an index of one level as hnswlib lays it out, with its side-car."""
    count, dimension = vectors.shape
    links = 8 * 4 + 4
    label_at = links + 4 * dimension
    data = struct.pack("<6QiI3QdQ", 0, count + 5, count, label_at + 8, label_at, links,
                       0, 0, 4, 8, 4, 1.0, 100)  # fmt: skip
    for index, vector in enumerate(vectors):
        head = bytearray(links)
        head[2] = index == deleted
        label = labels[index] if labels else index
        data += bytes(head) + vector.astype("<f4").tobytes() + struct.pack("<Q", label)
    path.write_bytes(data + bytes(4) * count)
    mappings = {
        "idToLabel": {f"v{label}": label for label in range(count)},
        "metadata": {"v0": {"cell": "c0", "reward": 0.5}},
        "config": {"dimension": dimension, "metric": "l2"},
    }
    path.with_name(f"{path.name}.mappings.json").write_text(json.dumps(mappings))
    return path


def segment(kind: int, number: int, payload: bytes, *, damage: bool = False) -> bytes:
    """Return a segment of a native file."""
    crc = zlib.crc32(payload) ^ damage
    turned = ((crc << bits | crc >> (32 - bits)) & 0xFFFFFFFF for bits in (0, 8, 16, 24))
    check = b"".join(struct.pack("<I", turn) for turn in turned)
    return (
        struct.pack("<4sBBHQQ16x16s8x", b"SFVR", 1, kind, 0, number, len(payload), check) + payload
    )


def vectors_payload(vectors: dict[int, Floats32]) -> bytes:
    """Return the payload of a segment of vectors."""
    dimension = len(next(iter(vectors.values())))
    parts = [struct.pack("<Q", label) + v.astype("<f4").tobytes() for label, v in vectors.items()]
    return struct.pack("<HI", dimension, len(vectors)) + b"".join(parts)


def native_file(path: Path, *, damage: bool = False, with_manifest: bool = True) -> Path:
    """Write two segments that count, and one more; a vector is replaced, one deleted."""
    first = segment(1, 1, vectors_payload({1: f32(1, 2), 2: f32(3, 4)}))
    second = segment(1, 2, vectors_payload({1: f32(5, 6), 3: f32(7, 8)}), damage=damage)
    starts = [0, len(first)]
    entries = b"".join(struct.pack("<QQQB", i + 1, at, 0, 1) for i, at in enumerate(starts))
    manifest = struct.pack("<IHQIBBxx", 3, 2, 2, 2, 0, 1) + entries + struct.pack("<IQ", 1, 2)
    late = segment(1, 4, vectors_payload({9: f32(9, 9)}))
    data = first + second + (segment(5, 3, manifest) if with_manifest else b"") + late
    path.write_bytes(data)
    ids = {"one": 1, "two": 2, "three": 3}
    path.with_name(f"{path.name}.idmap.json").write_text(json.dumps({"idToLabel": ids}))
    return path


def test_every_table_of_the_sample_arrives_complete() -> None:
    """Every row becomes a record, and what is left out is listed."""
    source = open_agentdb(sample("sample.db"))
    records = read(source)
    tables = Counter(str(record.metadata["table"]) for record in records.values())
    assert tables == {
        "reasoning_patterns": 300, "episodes": 200, "skills": 16, "causal_edges": 59,
        "causal_experiments": 1, "causal_observations": 40, "recall_certificates": 1,
        "provenance_sources": 4, "justification_paths": 4, "facts": 20, "learning_sessions": 1,
        "learning_experiences": 50, "learning_policies": 1,
    }  # fmt: skip
    assert source.expected == 697
    assert told(source, Weight.LEFT_OUT) == {
        "views: computed from tables": 8,
        "triggers: rules for writing": 6,
    }
    assert told(source, Weight.DAMAGED) == {}


@pytest.mark.parametrize(
    ("name", "query", "prefix"),
    [
        ("sample.db", "SELECT pattern_id, embedding FROM pattern_embeddings", "pattern/"),
        ("sample.db", "SELECT episode_id, embedding FROM episode_embeddings", "episode/"),
        ("sample.db", "SELECT skill_id, embedding FROM skill_embeddings", "skill/"),
        ("v3_agentdb_main.db", "SELECT episode_id, embedding FROM episode_embeddings", "episode/"),
        ("v1.0.12_vectors.db", "SELECT id, embedding FROM vectors", ""),
        ("v3_sqljs.rvf", "SELECT id, embedding FROM rvf_vectors", ""),
    ],
)
def test_vectors_in_sqlite_arrive_bit_by_bit(name: str, query: str, prefix: str) -> None:
    """The bytes of every embedding are those in the database."""
    path = sample(name)
    records = read(open_agentdb(path))
    expected = raw(path, query)
    assert expected
    for own, embedding in expected:
        vector = records[f"{prefix}{own}"].vector
        assert vector is not None
        assert vector.astype("<f4").tobytes() == embedding


def test_vectors_of_binary_files_arrive_bit_by_bit() -> None:
    """Bytes of a native file are those of its twin in SQLite; hnswlib's are at their place."""
    twin = dict(raw(sample("v3_sqljs.rvf"), "SELECT id, embedding FROM rvf_vectors"))
    native = read(open_agentdb(sample("v3_native.rvf")))
    assert {name: r.vector.tobytes() for name, r in native.items() if r.vector is not None} == twin
    path = sample("v3_hnswlib.idx")
    data, records = path.read_bytes(), read(open_agentdb(path))
    assert len(records) == 300
    for index in range(300):
        at = 96 + index * 0x18C
        label = struct.unpack_from("<Q", data, at + 0x184)[0]
        vector = records[f"v{label}"].vector
        assert vector is not None
        assert vector.tobytes() == data[at + 0x84 : at + 0x184]


def test_metadata_of_the_sample_is_typed() -> None:
    """Numbers stay numbers, JSON becomes facts and tags, and times become seconds."""
    records = read(open_agentdb(sample("sample.db")))
    pattern, episode = records["pattern/1"], records["episode/1"]
    assert pattern.kind is RecordKind.PATTERN
    assert pattern.metadata["tags"] == ("energy", "decrease_power")
    assert pattern.metadata["kpi.handover_sr"] == 0.9
    assert pattern.time_s == 1795339987.0
    assert episode.metadata["success"] is False
    assert episode.metadata["latency_ms"] == 100
    assert episode.metadata["claimed_embedding_model"] == "all-MiniLM-L6-v2"
    assert episode.text.splitlines()[0] == "decrease_power for energy"
    edge = records["causal-edge/1"]
    assert (edge.metadata["from_record"], edge.metadata["to_record"]) == ("episode/1", "episode/2")
    assert edge.metadata["uplift"] == -0.15000000000000002
    experience = records["learning-experience/1"]
    assert experience.time_s == 1_700_000_000.0  # the file says 1700000000000
    assert records["learning-policy/1"].time_s == 1795339989.0


def test_side_car_and_index_are_found_from_either() -> None:
    """Whoever names the side-car means the file beside it; metadata comes from it."""
    by_car = read(open_agentdb(sample("v3_hnswlib.idx.mappings.json")))
    assert by_car["v299"].metadata == {
        "table": "vectors", "cell": "cell_14", "domain": "capacity", "reward": 0.99
    }  # fmt: skip


def test_rows_become_typed_records(tmp_path: Path) -> None:
    """What fits metadata is typed, long texts and odd values go to the payload, nothing is lost."""
    source = open_agentdb(patterns(tmp_path / "my patterns.db"))
    records = read(source)
    one, two, seven = records["pattern/1"], records["pattern/2"], records["pattern/7"]
    assert source.namespaces[0].name == "my-patterns"
    assert source.namespaces[0].dimension == 3
    assert one.vector is not None
    assert one.vector.tobytes() == blob(1.0, -0.0, 1e-40)
    assert one.metadata == {
        "table": "reasoning_patterns", "task_type": "energy", "approach": "sleep at night",
        "success_rate": 0.5, "uses": 4, "avg_reward": 0.25, "tags": ("energy", "night"),
        "cell": "c1", "kpi.load": 0.1, "kpi.ues": 3,
    }  # fmt: skip
    assert one.text == "energy\nsleep at night"
    assert one.time_s == 1_700_000_000.0
    assert two.time_s == 1_700_000_000.5
    assert msgspec.json.decode(two.payload) == {"approach": "x" * 2000}
    assert two.metadata["metadata"] == "{broken"
    assert two.metadata["tags"] == ()
    assert seven.vector is None
    assert msgspec.json.decode(seven.payload) == {
        "metadata": {"id": "mine", "$gt": 1, "ok": True, "list": [1, 2]}
    }
    assert told(source, Weight.LEFT_OUT) == {
        "pattern_embeddings: embeddings of no row of reasoning_patterns": 1
    }
    assert told(source, Weight.REMARK) == {
        "reasoning_patterns: metadata: not JSON; kept as text": 1,
        "reasoning_patterns: ts: times by their size not in seconds as declared": 1,
    }


def test_names_that_filters_know_are_moved_aside(tmp_path: Path) -> None:
    """A user's "id", "kind" or "$gt" does not get in the way of the record's own."""
    path = database(
        tmp_path / "v.db",
        "CREATE TABLE vectors(id TEXT PRIMARY KEY, embedding BLOB, metadata TEXT, timestamp)",
        ("INSERT INTO vectors VALUES (?, ?, ?, ?)",
         ("a", blob(1, 2), '{"id": "b", "kind": "k", "$gt": 1, "": 2, "table": 3}', 5)),
        ("INSERT INTO vectors VALUES (?, ?, ?, ?)", ("pattern/1", blob(1, 2), "[1]", None)),
    )  # fmt: skip
    records = read(open_agentdb(path, kind=RecordKind.MODEL, namespace="mine"))
    assert records["a"].metadata == {
        "table": "vectors", "vector.id": "b", "vector.kind": "k", "vector.$gt": 1, "vector.": 2,
        "vector.table": 3,
    }  # fmt: skip
    assert records["a"].kind is RecordKind.MODEL
    assert records["a"].namespace == "mine"
    assert records["a"].time_s == 5.0  # too small for milliseconds
    assert records["vector/pattern/1"].metadata["metadata"] == "[1]"


def test_vectors_that_cannot_be_compared_leave_their_record(tmp_path: Path) -> None:
    """NaN, zeros, odd sizes and no blob at all: the record comes, its vector is reported."""
    put = "INSERT INTO vectors VALUES (?, ?, '{\"n\": 1}')"
    path = database(
        tmp_path / "v.db",
        "CREATE TABLE vectors(id TEXT PRIMARY KEY, embedding, metadata TEXT)",
        (put, ("fine", blob(1, 2))), (put, ("fine too", blob(3, 4))), (put, ("nan", blob(1, NAN))),
        (put, ("zero", blob(0, 0))), (put, ("odd", b"12345")), (put, ("number", 12)),
        (put, ("other", blob(1, 2, 3))), (put, (None, blob(1, 2))),
    )  # fmt: skip
    source = open_agentdb(path)
    records = read(source)
    with_vector = {name for name, record in records.items() if record.vector is not None}
    assert with_vector == {"fine", "fine too", "other"}
    assert all(record.metadata["n"] == 1 for record in records.values())
    assert [(n.name, n.dimension) for n in source.namespaces] == [("v", 2), ("v-3", 3)]
    assert records["other"].namespace == "v-3"
    assert told(source, Weight.DAMAGED) == {
        f"vectors: embedding {why}; its record arrives without a vector": 1
        for why in ("has NaN or infinite components", "is all zeros, which has no direction",
                    "not 2 float32", "is no blob")
    }  # fmt: skip
    assert told(source, Weight.LEFT_OUT) == {
        "vectors: rows without 1 to 500 printable characters as their id": 1
    }


def test_hostile_schema_is_only_looked_at(tmp_path: Path) -> None:
    """Views under a known name, virtual tables, triggers and strange names run nothing."""
    strange = 'x"; DROP TABLE facts; --\n\x1b[31m'
    quoted = '"' + strange.replace('"', '""') + '"'
    path = database(
        tmp_path / "h.db",
        "CREATE TABLE facts(id INTEGER PRIMARY KEY, subject TEXT, predicate TEXT, object TEXT,"
        f" {quoted} TEXT)",
        ("INSERT INTO facts VALUES (?, ?, ?, ?, ?)", (1, "a", "b", "c", "q")),
        ("INSERT INTO facts VALUES (?, ?, ?, CAST(? AS TEXT), ?)", (2, "a", "b", b"\xff!", "q")),
        f"CREATE TABLE {quoted}(a)",
        "CREATE VIEW episodes AS WITH RECURSIVE r(id) AS (SELECT 1 UNION ALL SELECT id+1 FROM r)"
        " SELECT id FROM r",
        "CREATE VIRTUAL TABLE skills USING fts5(id, name)",
        "CREATE TRIGGER t AFTER INSERT ON facts BEGIN DELETE FROM facts; END",
        "CREATE TABLE notes(title TEXT)",
    )  # fmt: skip
    before = path.read_bytes()
    source = open_agentdb(path)
    records = read(source)
    assert sorted(records) == ["fact/1", "fact/2"]
    assert msgspec.json.decode(records["fact/1"].payload) == {strange: "q"}
    assert records["fact/2"].metadata["object"] == "\ufffd!"
    left_out = told(source, Weight.LEFT_OUT)
    assert left_out["views: computed from tables"] == 1
    assert left_out["triggers: rules for writing"] == 1
    assert left_out["skills: a virtual table, which is code and not data"] == 1
    assert not any("\x1b" in each for each in left_out)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["h.db"]


def test_unfinished_writes_beside_a_database_are_refused(tmp_path: Path) -> None:
    """A write-ahead log that was not put back would be silently missing."""
    path = patterns(tmp_path / "w.db")
    (tmp_path / "w.db-wal").write_bytes(b"something")
    with pytest.raises(BadInput, match=r"unfinished writes in w\.db-wal"):
        open_agentdb(path)


def test_what_a_memory_would_not_take_goes_to_the_payload(tmp_path: Path) -> None:
    """Too many facts, too long ones, lone surrogates: the record comes, and nothing is lost."""
    many = {f"f{n}": "x" * 900 for n in range(150)}
    deep: object = 1
    for _ in range(900):
        deep = {"d": deep}
    put = "INSERT INTO vectors VALUES (?, NULL, ?)"
    path = database(
        tmp_path / "v.db",
        "CREATE TABLE vectors(id TEXT PRIMARY KEY, embedding BLOB, metadata TEXT)",
        (put, ("many", json.dumps(many))), (put, ("deep", json.dumps(deep))),
        (put, ("deepest", "[" * 100_000)), (put, ("surrogate", '{"a": "\\ud800"}')),
        (put, ("huge", '{"a": 1e999, "b": 123456789012345678901234567890}')),
        (put, ("", "{}")), (put, ("a\x00b", "{}")), (put, ("y" * 600, "{}")),
    )  # fmt: skip
    source = open_agentdb(path)
    records = read(source)
    assert [fault(record) for record in records.values()] == [""] * len(records)
    many_kept = {**records["many"].metadata, **msgspec.json.decode(records["many"].payload)}
    assert many_kept == {"table": "vectors", **many}
    assert sorted(records) == ["deep", "deepest", "huge", "many", "surrogate"]
    assert told(source, Weight.LEFT_OUT) == {
        "vectors: rows without 1 to 500 printable characters as their id": 3
    }


def test_too_large_a_value_costs_its_row_alone(tmp_path: Path) -> None:
    """A blob beyond the limit is reported, and the rows around it arrive."""
    path = database(
        tmp_path / "b.db",
        "CREATE TABLE facts(id INTEGER PRIMARY KEY, subject)",
        "CREATE TABLE notes(id INTEGER PRIMARY KEY, title TEXT)",
        "INSERT INTO facts VALUES (1, 'a')", "INSERT INTO facts VALUES (2, zeroblob(67108865))",
        "INSERT INTO facts VALUES (3, 'c')",
        "INSERT INTO notes VALUES (1, 'n')",
    )  # fmt: skip
    source = open_agentdb(path)
    assert sorted(read(source)) == ["fact/1", "fact/3", "note/1"]
    damaged = told(source, Weight.DAMAGED)
    assert damaged == {"facts: rows that cannot be read (string or blob too big)": 1}


def test_hnswlib_vectors_with_labels_and_marks(tmp_path: Path) -> None:
    """Ids come from the side-car, deleted elements stay out, twice the same label is damage."""
    vectors = f32([1, 2], [3, 4], [5, 6], [7, 8])
    path = hnswlib_index(tmp_path / "i.idx", vectors, deleted=1, labels=[0, 1, 2, 2])
    source = open_agentdb(path)
    records = read(source)
    assert source.namespaces[0].metric is Metric.L2
    assert sorted(records) == ["v0", "v2"]
    assert records["v0"].metadata == {"table": "vectors", "cell": "c0", "reward": 0.5}
    found = records["v2"].vector
    assert found is not None
    assert found.tolist() == [5.0, 6.0]
    assert told(source, Weight.LEFT_OUT) == {"vectors: marked as deleted": 1}
    assert told(source, Weight.DAMAGED) == {
        "vectors: labels that another vector has": 1,
        "i.idx.mappings.json: ids whose vectors are not in the vector file": 1,
    }


def test_hnswlib_without_its_side_car_and_cut(tmp_path: Path) -> None:
    """Vectors without ids are called by their labels; a cut in them is refused, after them told."""
    path = hnswlib_index(tmp_path / "i.idx", f32([1, 2], [3, 4]))
    (tmp_path / "i.idx.mappings.json").unlink()
    whole = path.read_bytes()
    assert sorted(read(open_agentdb(path))) == ["label/0", "label/1"]
    path.write_bytes(whole[:-1])
    assert list(told(open_agentdb(path), Weight.DAMAGED)) == [
        "graph: the links after the vectors are cut; vectors are complete"
    ]
    path.write_bytes(whole[:-20])
    with pytest.raises(BadInput, match="the file is cut"):
        open_agentdb(path)


def test_hnswlib_and_a_side_car_of_another_index_are_refused(tmp_path: Path) -> None:
    """Ids of one index on the vectors of another would be worse than none."""
    path = hnswlib_index(tmp_path / "i.idx", f32([1, 2]))
    car = tmp_path / "i.idx.mappings.json"
    car.write_text('{"idToLabel": {"a": 0}, "config": {"dimension": 9}}')
    with pytest.raises(BadInput, match="do not belong"):
        open_agentdb(path)
    car.write_text("{")
    with pytest.raises(BadInput, match="expected JSON"):
        open_agentdb(path)


def test_native_file_counts_what_its_manifest_counts(tmp_path: Path) -> None:
    """Replaced, deleted and never acknowledged vectors stay out and are counted."""
    source = open_agentdb(native_file(tmp_path / "n.rvf"))
    records = read(source)
    vectors = {name: r.vector.tolist() for name, r in records.items() if r.vector is not None}
    assert vectors == {"one": [5.0, 6.0], "three": [7.0, 8.0]}
    assert source.namespaces[0].metric is Metric.INNER_PRODUCT
    assert told(source, Weight.LEFT_OUT) == {
        "vectors: deleted": 1,
        "vectors: replaced by a later one of the same label": 1,
        "segments: vectors that the last manifest does not count: replaced, or never acknowledged":
            1,
    }  # fmt: skip
    assert told(source, Weight.DAMAGED) == {}


def test_native_file_with_damage_gives_the_rest(tmp_path: Path) -> None:
    """A wrong check sum costs its segment, a missing manifest costs the deletions."""
    source = open_agentdb(native_file(tmp_path / "n.rvf", damage=True))
    assert sorted(read(source)) == ["one"]
    assert told(source, Weight.DAMAGED) == {
        "vectors: in a segment whose check sum or size is wrong": 2,
        "n.rvf.idmap.json: ids whose vectors are not in the vector file": 1,
    }
    source = open_agentdb(native_file(tmp_path / "m.rvf", with_manifest=False))
    assert sorted(read(source)) == ["label/9", "one", "three", "two"]
    assert "manifest: none: all vectors are taken, deleted ones too" in told(source, Weight.DAMAGED)


def test_other_files_are_refused_with_what_they_are(tmp_path: Path) -> None:
    """Nothing is guessed from a name."""
    other = tmp_path / "sample.db"
    with pytest.raises(NotFound, match="no such file"):
        open_agentdb(other)
    other.write_bytes(b"")
    with pytest.raises(BadInput, match="an empty file"):
        open_agentdb(other)
    other.write_bytes(b'{"id": 1}\n' * 40)
    with pytest.raises(BadInput, match=r"400 bytes beginning with b'\{\"id\": 1'"):
        open_agentdb(other)
    with pytest.raises(BadInput, match="none of them"):
        open_agentdb(database(tmp_path / "x.db", "CREATE TABLE mine(id)"))
    with pytest.raises(BadInput, match="expected a file"):
        open_agentdb(tmp_path)


def test_reading_twice_gives_the_same(tmp_path: Path) -> None:
    """Ids and contents are stable, whatever order the file is in."""
    path = patterns(tmp_path / "p.db")
    first, second = read(open_agentdb(path)), read(open_agentdb(path))
    assert list(first) == list(second)
    for name, one in first.items():
        two = second[name]
        assert (one.metadata, one.text, one.payload) == (two.metadata, two.text, two.payload)


WRITERS: dict[str, Callable[[Path], Path]] = {
    "patterns": patterns,
    "native": native_file,
    "hnswlib": lambda path: hnswlib_index(path, f32([1, 2], [3, 4], [5, 6])),
}


@pytest.mark.parametrize("form", WRITERS)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_damage_gives_findings_or_an_error(
    form: str, data: st.DataObject, tmp_path: Path
) -> None:
    """Bytes changed or cut anywhere: records and findings, or BadInput; never anything else."""
    path = tmp_path / form
    path.unlink(missing_ok=True)
    whole = bytearray(WRITERS[form](path).read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    keep = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[: keep if data.draw(st.booleans()) else len(whole)])
    try:
        source = open_agentdb(path)
        for record in source.records():
            assert fault(record) == ""
        source.tally.findings()
    except UsageError:
        return
