"""``cellhive memory``: what it keeps, what it finds, what it prints and what it refuses."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]

CELLS: list[dict[str, Any]] = [
    {"id": "c1", "vector": [0.9, 0.1, 0.0], "metadata": {"region": "north", "load": 0.8},
     "text": "late handover on the motorway", "kind": "pattern", "time_s": 1_700_000_000},
    {"id": "c2", "vector": [0.8, 0.2, 0.1], "metadata": {"region": "south", "load": 0.9},
     "text": "ping-pong at the stadium", "kind": "pattern"},
    {"id": "c3", "vector": [0.0, 0.1, 0.9], "metadata": {"region": "north", "tags": ["night"]},
     "payload": "AAEC", "time_s": 3600},
    {"id": "c4", "kind": "model", "metadata": {"region": "north"}},
]  # fmt: skip


def lines(path: Path, records: list[dict[str, Any]]) -> Path:
    """Write JSON lines."""
    path.write_text("".join(f"{json.dumps(each)}\n" for each in records), encoding="utf-8")
    return path


@pytest.fixture
def memory(cellhive: Command, tmp_path: Path) -> Command:
    """Return the command on a memory with a few cells: ``memory("search", ...)``."""
    place = tmp_path / "mem"

    def call(*arguments: object) -> Any:
        return cellhive("memory", *arguments, "--memory", place)

    made = call("namespace", "create", "cells", "-d", 3, "--features", "load,edge,speed")
    assert made.code == 0, made
    added = call("add", lines(tmp_path / "cells.jsonl", CELLS), "-n", "cells")
    assert (added.code, added.out) == (0, "4 new, 0 changed, 0 there already\n"), added
    return call


def test_what_was_added_comes_back_whole(memory: Command) -> None:
    """Get prints the record as it was given; a missing id ends with 2 and prints the others."""
    ended = memory("get", "c3", "nothing", "c1")
    assert ended.code == 2
    assert "found none of these: nothing" in ended.err
    third, first = map(json.loads, ended.out.splitlines())
    assert third["metadata"] == CELLS[2]["metadata"]
    assert third["payload"] == "AAEC"
    assert first["text"] == CELLS[0]["text"]
    assert first["time_s"] == 1_700_000_000


def test_adding_again_changes_nothing_and_other_content_needs_leave(
    memory: Command, tmp_path: Path
) -> None:
    """The same lines are there already; a changed one is refused, or replaces with --replace."""
    again = memory("add", tmp_path / "cells.jsonl", "-n", "cells", "--json")
    assert json.loads(again.out) == {"new": 0, "changed": 0, "unchanged": 4}
    changed = lines(tmp_path / "changed.jsonl", [{**CELLS[0], "text": "too early"}])
    refused = memory("add", changed, "-n", "cells")
    assert refused.code == 1
    assert "cells/c1: expected a new id, or the content that is there" in refused.err
    assert memory("add", changed, "-n", "cells", "--replace").out.startswith("0 new, 1 changed")
    assert json.loads(memory("get", "c1").out)["text"] == "too early"


def test_search_by_vector_record_words_and_facts(memory: Command) -> None:
    """Each way finds what it should, best first."""

    def ids(*arguments: object) -> list[str]:
        ended = memory("search", *arguments, "--json")
        assert ended.code == 0, ended
        return [each["record"]["id"] for each in json.loads(ended.out)]

    assert ids("--vector", "[1, 0, 0]") == ["c1", "c2", "c3"]
    assert ids("--vector", "[1, 0, 0]", "-k", 1) == ["c1"]
    assert ids("--like", "c3") == ["c3", "c2", "c1"]
    assert ids("--like", "c1", "--where", '{"region": "south"}') == ["c2"]
    assert ids("--like", "c1", "--where", '{"load": {"$lt": 0.85}}') == ["c1"]
    assert ids("motorway", "handover") == ["c1"]
    assert ids("--like", "c1", "--kind", "result") == ["c3"]
    assert ids("--like", "c1", "--outcome", "load,weight")[0] in {"c1", "c2"}
    assert ids("--like", "c1", "--diversity", 0.9, "-k", 2) == ["c1", "c3"]


def test_results_are_explained_by_named_numbers(memory: Command) -> None:
    """Shares of the features add up to the similarity, and a table tells the largest."""
    ended = memory("search", "--vector", "[1, 0, 0]", "-k", 1, "--explain", "--json")
    (match,) = json.loads(ended.out)
    assert set(match["contributions"]) == {"load", "edge", "speed"}
    assert sum(match["contributions"].values()) == pytest.approx(match["similarity"], abs=1e-6)
    shown = memory("search", "--vector", "[1, 0, 0]", "-k", 1, "--explain").out
    assert "similar because of" in shown
    assert "load +0.99" in shown


def test_a_vector_from_a_file(memory: Command, tmp_path: Path) -> None:
    """@FILE is read."""
    (tmp_path / "v.json").write_text("[0, 0, 1]", encoding="utf-8")
    ended = memory("search", "--vector", f"@{tmp_path / 'v.json'}", "-k", 1, "--json")
    assert json.loads(ended.out)[0]["record"]["id"] == "c3"


def test_list_count_delete(memory: Command) -> None:
    """Records are listed in order, counted by kind and facts, and gone once deleted."""
    assert memory("count").out == "4\n"
    assert memory("count", "--kind", "pattern").out == "2\n"
    assert memory("count", "--where", '{"region": "north"}').out == "3\n"
    listed = memory("list", "--json", "--limit", 2).out.splitlines()
    assert [json.loads(each)["id"] for each in listed] == ["c1", "c2"]
    table = memory("list", "--limit", 3)
    assert "2023-11-14 22:13:20" in table.out
    assert "3600 s" in table.out
    assert "3 of 4; more with --limit" in table.err
    assert memory("delete", "c1", "x").out == "cells: 1 of 2 deleted; the others are not there\n"
    assert memory("count").out == "3\n"
    assert memory("get", "c1").code == 2


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
def test_export_and_add_are_exact(
    memory: Command, cellhive: Command, tmp_path: Path, name: str
) -> None:
    """A second memory filled from an export exports the same bytes."""
    out, other = tmp_path / name, tmp_path / "other"
    assert memory("export", "-o", out).out == f"{out}: 4 records\n"
    assert cellhive("memory", "add", out, "--memory", other).code == 0
    first, second = memory("export"), cellhive("memory", "export", "--memory", other)
    assert first.out == second.out
    declared, *records = map(json.loads, first.out.splitlines())
    assert declared["declare"]["features"] == ["load", "edge", "speed"]
    assert [each["id"] for each in records] == ["c1", "c2", "c3", "c4"]
    packed = memory("export", "--packed").out
    assert '"vector":[' not in packed


def test_info_verify_rebuild_backup(memory: Command, tmp_path: Path, cellhive: Command) -> None:
    """What is there is told, found in order, made anew, and copied into a memory of its own."""
    told = json.loads(memory("info", "--indexes", "--json").out)
    assert told["durability"].startswith("an acknowledged write is synced to the disk")
    (space,) = told["namespaces"]
    assert (space["records"], space["kinds"]) == (4, {"pattern": 2, "result": 1, "model": 1})
    assert (space["index"]["vectors"], space["index"]["exact"]) == (3, True)
    assert "looking at all 3 vectors" in memory("info", "--indexes").out
    verified = memory("verify")
    assert verified.code == 0
    assert "The file is in order." in verified.out
    assert "cells" in memory("rebuild").out
    copied = memory("backup", tmp_path / "copy")
    assert copied.code == 0, copied
    assert "4 records" in copied.out
    assert cellhive("memory", "count", "--memory", tmp_path / "copy").out == "4\n"
    again = memory("backup", tmp_path / "copy")
    assert again.code == 2
    assert "choose another name" in again.err


def test_damage_is_found(memory: Command, tmp_path: Path) -> None:
    """A page overwritten in the middle of the file: verify says so, with exit code 1 or 2."""
    lines(tmp_path / "many.jsonl", [
        {"id": f"m{n}", "vector": [1, n, 0], "payload": "QUFB" * 400} for n in range(300)
    ])  # fmt: skip
    assert memory("add", tmp_path / "many.jsonl", "-n", "cells").code == 0
    path = tmp_path / "mem" / "records.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 8192] = b"\xa5" * 8192
    path.write_bytes(data)
    ended = memory("verify")
    assert ended.code in {1, 2}
    assert ended.err.startswith("cellhive: ")
    assert "Traceback" not in ended.err


def agentdb(path: Path) -> Path:
    """Write a small database as the npm package does, with one bad vector."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE vectors(id TEXT PRIMARY KEY, embedding BLOB, metadata TEXT)")
        vectors = {"a": "0000803f00000000", "b": "00000000000080bf", "bad": "0000c07f00000000"}
        for name, data in vectors.items():
            db.execute(
                "INSERT INTO vectors VALUES (?, ?, '{\"n\": 1}')", (name, bytes.fromhex(data))
            )
    return path


def test_import_of_the_package_s_files(cellhive: Command, tmp_path: Path) -> None:
    """Records arrive once, findings are told, damage ends with 1, and a dry run writes nothing."""
    path, place = agentdb(tmp_path / "peer.db"), tmp_path / "mem"
    dry = cellhive("memory", "import", path, "--dry-run", "--memory", place)
    assert "3 records would go to peer (2 numbers, cosine)" in dry.out
    assert not place.exists()
    first = cellhive("memory", "import", path, "--memory", place)
    assert first.code == 1
    assert "3 records: 3 new, 0 changed, 0 there already; in peer (2 numbers" in first.out
    assert "has NaN or infinite components" in first.out
    assert "expected whole files, found damage" in first.err
    again = cellhive("memory", "import", path, "--memory", place, "--json")
    (told,) = json.loads(again.out)
    assert (told["new"], told["changed"], told["unchanged"]) == (0, 0, 3)
    found = cellhive("memory", "search", "--vector", "[1, 0]", "-k", 1, "--json", "--memory", place)
    assert json.loads(found.out)[0]["record"]["id"] == "a"


def test_an_import_does_not_overrule_how_a_namespace_is_kept(
    cellhive: Command, tmp_path: Path
) -> None:
    """Declared before with another storage, it takes the records; with another dimension not."""
    path, place = agentdb(tmp_path / "peer.db"), ("--memory", tmp_path / "mem")
    cellhive("memory", "namespace", "create", "kept", "-d", 2, "--storage", "1-bit", *place)
    cellhive("memory", "namespace", "create", "wrong", "-d", 5, *place)
    assert "3 new" in cellhive("memory", "import", path, "-n", "kept", *place).out
    refused = cellhive("memory", "import", path, "-n", "wrong", *place)
    assert refused.code == 1
    assert "wrong" in refused.err


def test_encrypted_memory(cellhive: Command, tmp_path: Path) -> None:
    """Nothing can be read without the key, nothing of the content is in the file."""
    key, wrong = tmp_path / "key", tmp_path / "wrong"
    for path in (key, wrong):
        assert cellhive("memory", "new-key", path).code == 0
    assert cellhive("memory", "new-key", key).code == 2  # never over another
    assert key.stat().st_mode & 0o777 == 0o600
    data, place = lines(tmp_path / "cells.jsonl", CELLS), ("--memory", tmp_path / "mem")
    assert cellhive("memory", "add", data, "-n", "cells", "--key", key, *place).code == 0
    assert cellhive("memory", "count", "--key", key, *place).out == "4\n"
    for arguments in ((), ("--key", wrong), ("--key", tmp_path / "none"), ("--key", "env:NONE")):
        ended = cellhive("memory", "count", *arguments, *place)
        assert ended.code == 2, ended
        assert "key" in ended.err
    stored = b"".join(each.read_bytes() for each in (tmp_path / "mem").glob("records.db*"))
    assert b"motorway" not in stored
    assert b"north" not in stored


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search"], "expected words, --vector or --like"),
        (["search", "--vector", "[1, 2]"], "with D = 3"),
        (["search", "--vector", "[0, 0, 0]"], "a zero vector"),
        (["search", "--vector", "1, 2"], "--vector: expected a JSON list of numbers"),
        (["search", "--vector", "@nowhere.json"], "nowhere.json: there is no such file"),
        (["search", "--like", "c4"], "found a record without a vector: c4"),
        (["search", "--like", "none"], "found no record: none"),
        (["search", "x", "--where", "{"], "--where: expected a JSON object"),
        (["search", "x", "--where", "[]"], "--where: expected a JSON object"),
        (["search", "x", "--where", '{"a": {"$near": 1}}'], "$near"),
        (["search", "x", "--outcome", "load"], "--outcome: expected two names"),
        (["search", "x", "-k", "0"], "-k"),
        (["count", "-n", "other"], "expected a namespace out of these: cells; found 'other'"),
        (["count", "--kind", "thing"], "thing"),
        (["add"], 'expected files of records, or "-"'),
        (["add", "nowhere.jsonl"], "nowhere.jsonl: expected a file that can be read"),
        (["import", "nowhere.db"], "nowhere.db: there is no such file"),
        (["export", "-o", "out.txt"], "ending in .jsonl or .ndjson or .parquet"),
        (["namespace", "create", "x", "-d", "0"], "--dimension"),
        (["namespace", "create", "x\n", "-d", "2"], "control characters"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_cannot_be_is_refused_on_one_line(
    memory: Command, arguments: list[str], message: str
) -> None:
    """Exit code 2, and one line that says what was expected and what was found."""
    ended = memory(*arguments)
    assert ended.code == 2, ended
    assert message in ended.err
    assert ended.err.startswith("cellhive: ")
    assert ended.err.count("\n") == 1
    assert ended.out == ""


def test_a_namespace_that_differs_is_a_conflict(memory: Command) -> None:
    """The same again is fine; another dimension ends with 1."""
    same = memory("namespace", "create", "cells", "-d", 3, "--features", "load,edge,speed")
    assert same.code == 0
    assert memory("namespace", "create", "cells", "-d", 4).code == 1


@pytest.mark.parametrize(
    "line",
    [
        '{"id": "n", "vector": [1, 2]}', '{"id": "z", "vector": [0, 0, 0]}', '{"id": "a\\nb"}',
        '{"id": "big", "metadata": {"x": "' + "y" * 70_000 + '"}}', '{"id": ', '{"ID": "a"}',
    ],
    ids=lambda line: line[:20],
)  # fmt: skip
def test_bad_records_are_refused_and_earlier_batches_stay(
    memory: Command, tmp_path: Path, line: str
) -> None:
    """The record or the line is named; nothing of its batch is written."""
    path = tmp_path / "bad.jsonl"
    path.write_text('{"id": "fine"}\n' + line + "\n", encoding="utf-8")
    ended = memory("add", path, "-n", "cells")
    assert ended.code == 2, ended
    assert "expected" in ended.err
    assert memory("count").out == "4\n"


def test_no_memory_where_one_is_read(cellhive: Command, tmp_path: Path) -> None:
    """Reading makes none; a file, a closed folder and a server without its library are named."""
    place = tmp_path / "none"
    for command in (["count"], ["info"], ["list"], ["search", "x"], ["export"], ["verify"]):
        ended = cellhive("memory", *command, "--memory", place)
        assert (ended.code, place.exists()) == (2, False)
        assert "there is no memory" in ended.err
    file = tmp_path / "file"
    file.write_text("x", encoding="utf-8")
    ended = cellhive("memory", "namespace", "create", "x", "-d", 2, "--memory", file)
    assert ended.code == 2
    assert "which is no folder" in ended.err


def test_json_lines_from_standard_input(tmp_path: Path) -> None:
    """A pipe is as good as a file, and a reader that stops early is no error."""
    command = [sys.executable, "-m", "cellhive", "memory"]
    data = "".join(f'{{"id": "r{n}", "vector": [1, {n}]}}\n' for n in range(5000)).encode()
    environment = {**os.environ, "CELLHIVE_MEMORY": str(tmp_path / "mem")}
    added = subprocess.run(  # noqa: S603
        [*command, "add", "-", "-n", "s", "--metric", "l2"],
        input=data, env=environment, capture_output=True, check=True,
    )  # fmt: skip
    assert (
        added.stdout.decode()
        == "declared s: 2 numbers, l2\n5,000 new, 0 changed, 0 there already\n"
    )
    with subprocess.Popen(  # noqa: S603
        [*command, "export"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as exporting:
        assert exporting.stdout is not None
        assert exporting.stderr is not None
        exporting.stdout.readline()
        exporting.stdout.close()
        assert exporting.stderr.read() == b""


def test_identities_are_made_and_shown(cellhive: Command, tmp_path: Path) -> None:
    """An authority signs for nodes; nothing is overwritten; what is missing is named."""
    ca, place = tmp_path / "ca", ("--memory", tmp_path / "mem")
    assert cellhive("memory", "identity", "new-ca", ca, "--name", "city").code == 0
    issued = cellhive("memory", "identity", "issue", "north-1", "--ca", ca, *place)
    assert issued.code == 0, issued
    told = json.loads(cellhive("memory", "identity", "show", "--json", *place).out)
    assert (told["name"], told["issuer"]) == ("north-1", "CN=city")
    assert cellhive("memory", "identity", "issue", "north-1", "--ca", ca, *place).code == 1
    assert cellhive("memory", "identity", "issue", "No Name", "--ca", ca, *place).code == 2
    missing = cellhive("memory", "identity", "show", tmp_path / "none")
    assert missing.code == 2
    assert "found none; make one" in missing.err


def test_a_node_that_cannot_run_says_why(cellhive: Command, tmp_path: Path) -> None:
    """No node to ask, no identity, addresses that are none."""
    place = ("--memory", tmp_path / "mem")
    asked = cellhive("memory", "status", *place)
    assert asked.code == 1
    assert "start one with serve" in asked.err
    assert "found none; make one" in cellhive("memory", "serve", *place).err
    ca = tmp_path / "ca"
    cellhive("memory", "identity", "new-ca", ca)
    cellhive("memory", "identity", "issue", "a", "--ca", ca, *place)
    for arguments, message in (
        (("serve", "--listen", "nowhere"), "--listen: expected host:port"),
        (("join", "b"), "expected name@host:port"),
    ):
        ended = cellhive("memory", *arguments, *place)
        assert ended.code == 2, ended
        assert message in ended.err


def test_notes_of_nodes_are_not_shown(memory: Command, tmp_path: Path) -> None:
    """A memory that was a node still has one namespace to people."""
    assert memory("namespace", "create", "cellhive.node", "-d", 1).code == 0
    assert memory("count").out == "4\n"
    assert "cellhive.node" not in memory("namespace", "list").out + memory("export").out
