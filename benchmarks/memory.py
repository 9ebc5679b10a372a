"""Promise: a memory finds what resembles a situation hundreds of times faster than a scan.

A search of one query through ``Memory.search``, on one thread, beside a NumPy scan of all
float32 vectors in the same process; recall is the share of the true ten nearest. Then what
1-bit and product codes leave in memory, what filters cost and find, what a durable memory
answers while another thread writes to it, and the peers: hnswlib as the npm package AgentDB
drives it, that package itself where node is there, LanceDB and Qdrant's local mode. A peer that
fails or takes too long becomes a row that says so.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from _bench import RESULTS, Row, report
from _drivers import agentdb, attempted, middle, peers_python, run

LARGE, MIDDLE = 1_000_000, 100_000
PEER_S = 120.0
"""Time after which a peer is stopped [s]."""
FOR_NPM = ((100_000, 120.0), (20_000, 60.0))
"""Vectors that the npm package is given, and time after which it is given fewer [s]."""
FASTER, SMALLER = "> 150 (ours > 300, best 500)", "> 20 (best 32)"


def ours(**options: object) -> Mapping[str, Any]:
    """Return what the driver told of one case."""
    words: list[object] = []
    for name, value in options.items():
        words += [f"--{name}"] if value is True else [f"--{name}", value] if value else []
    return run(sys.executable, "run_memory.py", *words, ours=True).told


def speed_rows(
    label: str, told: Mapping[str, Any], goal: str = "", cpu_goal: str = ""
) -> list[Row]:  # fmt: skip
    """Return the figures of one case, beside goals for its speed-up and its processor time."""
    recall_goal = "> 0.95" if goal else "> 0.99" if cpu_goal else ""
    search, spread = middle(told["search"]["p50_us"])
    bare, bare_spread = middle(told["bare"]["p50_us"])
    scan, scan_spread = middle(told["scan_us"])
    lists, candidates = told["effort"]
    way = f"{lists} lists, {candidates} candidates" if lists else "compares all"
    return [
        Row(f"{label}: recall@10 ({way})", told["recall"], "", goal=recall_goal),
        Row(f"{label}: search", search, "µs", spread=spread,
            peer="NumPy scan", peer_value=scan, ratio=scan / search),
        Row(f"{label}: search of the bare index", bare, "µs", spread=bare_spread,
            peer="NumPy scan", peer_value=scan, ratio=scan / bare),
        Row(f"{label}: times faster than the scan", scan / search, "", goal=goal,
            spread=scan / search * (spread / search + scan_spread / scan)),
        Row(f"{label}: search, 99th percentile", told["search"]["p99_us"], "µs"),
        Row(f"{label}: processor time of a search", told["search"]["cpu_ms"], "ms", goal=cpu_goal),
        Row(f"{label}: index made", told["build_cpu_s"], "CPU-s"),
        Row(f"{label}: saved index opened", told["reload_s"], "s"),
    ]  # fmt: skip


def filter_rows(label: str, told: Mapping[str, Any]) -> list[Row]:
    """Return what filters find."""
    return [
        Row(f"{label}: filter leaves {part['rows']}: recall@10", part["recall"], "",
            goal="> 0.99") for part in told["filters"]
    ] + [
        Row(f"{label}: filter leaves {part['rows']}: search", part["p50_us"], "µs")
        for part in told["filters"]
    ]  # fmt: skip


def memory_rows(label: str, told: Mapping[str, Any]) -> list[Row]:
    """Return what a collection takes in memory."""
    search, spread = middle(told["search"]["p50_us"])
    floats = told["floats_mb"]
    return [
        Row(f"{label}: recall@10", told["recall"], "", goal="> 0.95 (best 0.99)"),
        Row(f"{label}: codes smaller than the floats by", floats / told["codes_mb"], ""),
        Row(f"{label}: resident memory", told["rss_mb"], "MB", goal=SMALLER,
            peer="float32", peer_value=floats, ratio=floats / told["rss_mb"]),
        Row(f"{label}: resident memory without mapped files", told["anonymous_mb"], "MB",
            peer="float32", peer_value=floats, ratio=floats / told["anonymous_mb"]),
        Row(f"{label}: search", search, "µs", spread=spread),
        Row(f"{label}: search, 99th percentile", told["search"]["p99_us"], "µs"),
        Row(f"{label}: index made", told["build_cpu_s"], "CPU-s"),
    ]  # fmt: skip


def busy_rows(seconds: float) -> list[Row]:
    """Return how a memory answers on disk, alone and while another thread writes."""
    singles, batch, batches = 100, 500, 4
    with tempfile.TemporaryDirectory(dir=".") as folder:
        told = run(
            sys.executable, "run_busy_memory.py", "--count", MIDDLE, "--seconds", seconds,
            "--singles", singles, "--batch", batch, "--batches", batches, "--folder", folder,
            ours=True,
        ).told  # fmt: skip
    label, quiet = "100 k x 128 on disk", told["quiet"]
    rows = [
        Row(f"{label}: search, nobody writes", quiet["p50_us"], "µs"),
        Row(f"{label}: search, nobody writes, 99th percentile", quiet["p99_us"], "µs"),
        Row(f"{label}: of that, the bare index", told["bare"], "µs"),
        Row(f"{label}: of that, asking the log for news", told["log_us"], "µs"),
    ]
    for kind, what in (
        ("singles", f"{singles} single writes per second"),
        ("batches", f"{batches} batches of {batch} per second"),
    ):
        part = told[kind]
        rows += [
            Row(f"{label}: search beside {what}", part["p50_us"], "µs",
                peer="nobody writes", peer_value=quiet["p50_us"],
                ratio=quiet["p50_us"] / part["p50_us"]),
            Row(f"{label}: search beside {what}, 99th percentile", part["p99_us"], "µs",
                peer="nobody writes", peer_value=quiet["p99_us"],
                ratio=quiet["p99_us"] / part["p99_us"]),
            Row(f"{label}: {what}, a write, median", part["write_p50_ms"], "ms"),
            Row(f"{label}: {what}, a write, 99th percentile", part["write_p99_ms"], "ms"),
        ]  # fmt: skip
    return rows


def beside(name: str, mine: Mapping[str, Any], told: Mapping[str, Any] | str) -> list[Row]:
    """Return one peer's figures beside ours at the same size, or why there are none."""
    cpu, built = mine["search"]["cpu_ms"], mine["build_cpu_s"]
    if isinstance(told, str):
        return [Row(f"beside {name}: left out, {told}; our search", cpu, "ms")]
    other = told["search"]["cpu_ms"]
    return [
        Row(f"beside {name}: recall@10", mine["recall"], "",
            peer=name, peer_value=told["recall"], ratio=mine["recall"] / told["recall"]),
        Row(f"beside {name}: processor time of a search", cpu, "ms",
            peer=name, peer_value=other, ratio=other / cpu),
        Row(f"beside {name}: index made", built, "CPU-s",
            goal="> 3 times faster" if "hnswlib" in name else "",
            peer=name, peer_value=told["build_cpu_s"], ratio=told["build_cpu_s"] / built),
    ]  # fmt: skip


def peer_rows(options: argparse.Namespace) -> list[Row]:
    """Return what others need for 100 000 vectors of 128 components, and agentdb for fewer."""
    queries = options.queries
    mine = ours(count=MIDDLE, queries=queries)
    names = {
        "hnswlib M16 efC200 ef100": "run_hnswlib.py",
        "LanceDB IVF_HNSW_SQ, refined": "run_lancedb.py",
        "Qdrant local mode": "run_qdrant.py",
    }
    rows: list[Row] = []
    try:
        python = peers_python("requirements-memory.txt")
    except SystemExit as error:
        why = str(error).strip().splitlines()[-1][:120]
        rows = [row for name in names for row in beside(name, mine, why)]
    else:
        for name, script in names.items():
            told = attempted(python, script, MIDDLE, 128, queries, most_s=PEER_S)
            rows += beside(f"{name}, 100 k x 128", mine, told)
    for count, most_s in FOR_NPM:
        name = f"agentdb (npm, hnswlib), {count // 1000} k x 128"
        npm = agentdb(count, 128, queries, most_s=most_s)
        mine = mine if count == MIDDLE else ours(count=count, queries=queries)
        rows += beside(name, mine, npm)
        if not isinstance(npm, str) or not npm.startswith("stopped"):
            break
    return rows


def million_rows(options: argparse.Namespace) -> list[Row]:
    """Return how quickly a million is searched, at two aims, and what filters find in it."""
    rows: list[Row] = []
    for aim in (0.95, 0.99):
        told = ours(count=LARGE, queries=options.queries, recall=aim, filters=aim > 0.98)  # noqa: PLR2004
        rows += speed_rows(f"1 M x 128, clustered, aim {aim}", told, FASTER)
        if "filters" in told:
            rows += filter_rows("1 M x 128, clustered", told)
    return rows


def codes_rows(options: argparse.Namespace) -> list[Row]:
    """Return what a million takes in memory as codes."""
    rows: list[Row] = []
    for storage in ("1-bit", "product"):
        told = ours(count=LARGE, queries=options.queries, storage=storage, resident=True)
        rows += memory_rows(f"1 M x 128, clustered, {storage}", told)
    return rows


def middle_rows(options: argparse.Namespace) -> list[Row]:
    """Return how 100 000 are searched: of 128 and 384 components, with structure and without."""
    queries = options.queries
    told = ours(count=MIDDLE, queries=queries, filters=True)
    rows = speed_rows("100 k x 128, clustered", told, cpu_goal="< 0.2")
    rows += filter_rows("100 k x 128, clustered", told)
    rows += speed_rows("100 k x 384, clustered", ours(count=MIDDLE, dimension=384, queries=queries))
    plain = ours(count=MIDDLE, data="gaussian", queries=queries)
    return rows + speed_rows("100 k x 128, gaussian", plain)


PARTS: Mapping[str, Callable[[argparse.Namespace], list[Row]]] = {
    "million": million_rows,
    "codes": codes_rows,
    "middle": middle_rows,
    "disk": lambda options: busy_rows(options.seconds),
    "peers": peer_rows,
}


def main(words: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=8.0, help="of searching beside writes")
    parser.add_argument(
        "--only",
        choices=PARTS,
        nargs="+",
        default=list(PARTS),
        help="these parts; a run of some goes to runs/ and not to the results",
    )
    options = parser.parse_args(words)
    load = os.getloadavg()[0]
    rows = [row for part in options.only for row in PARTS[part](options)]
    whole = set(options.only) == set(PARTS)
    report(
        "memory",
        rows,
        results=RESULTS if whole else Path("runs"),
        packages=("numpy", "faiss-cpu"),
        notes=(
            "one thread, one query at a time, medians of three rounds over all queries; the scan "
            "is a matrix-vector product and a partial sort, 24 times in the same process",
            "clustered: 1000 unequal clusters, each spread along 16 directions and a little along "
            "all others; gaussian: independent components, where nothing is near anything",
            "resident memory: VmRSS of a process after opening the saved index and searching, less "
            "that before, compiled code and libraries already there and freed memory given back; "
            "mapped pages count; floats for re-ranking are read from their file, not mapped, so "
            "they lie in the kernel's page cache and not in the process",
            "the median of a 1-bit or product search includes the first touch of each part of the "
            "file, whose checksum is verified then; 1-bit codes are all compared in each search",
            "on disk: SQLite with a lock, synchronous=FULL; one thread searches all the time, the "
            "other writes at the rate stated; both share one interpreter",
            "agentdb: 3.0.0-alpha.20 with its hnswlib backend (M 16, efConstruction 200, ef 100), "
            "which has to be chosen by hand; by default it returns nothing; where it is "
            "stopped with as many vectors as the others have, it is given fewer",
            "but for the rows on disk the log behind the index is an array",
            "what else runs on the machine tells in the figures: load average when it began "
            f"{load:.1f}",
        ),
    )


if __name__ == "__main__":
    main()
