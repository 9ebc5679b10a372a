"""Promise: a record written on one node is searchable on another in well under a millisecond.

Two processes on loopback, each with its own SQLite log that is synced to the disk beside.
From the write call on one to the moment at which a search on the other finds the record,
over QUIC (a whole node), gRPC bidirectional streaming, and TLS over TCP, which carry the
same frames, do the same with them and check certificates at both ends, too. In the same run,
bare UDP between two processes that do nothing else says what the machine itself takes to wake
the second one. Then records pushed as fast as they go, beside the QUIC library alone, and a
node that fetches 10,000 records over a lossy way. It takes five minutes on two quiet processors.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from _bench import Row, report
from _drivers import DRIVERS, middle, peers_python

from cellhive.adapters.quic.identity import make_authority, make_identity

WAYS = {
    "quic": "QUIC, mutual TLS", "grpc": "gRPC streaming, mutual TLS", "tls": "TLS 1.3 over TCP",
    "udp": "a bare datagram, nothing made of it",
}  # fmt: skip
LOSS, DELAY_S = 0.01, 0.02
RECORD_BYTES = 128 * 4
MEGA = 1e6
PATIENCE_S = 40.0
WARM_S = 0.5
"""How long is written before it counts, over each way: code and caches are cold at first."""
BARE = ((1_200, 8_000_000), (16_000, 32_000_000))
"""Datagrams of the library alone, and how many bytes they carry; its frames end at 16,383."""


def now() -> datetime:
    """Return the date, by which certificates are judged."""
    return datetime.now(UTC)  # noqa: TID251  # a benchmark is a composition root


def processor_ticks() -> list[int]:
    """Return what all processors have spent so far, by kind: proc(5), /proc/stat."""
    return [int(word) for word in Path("/proc/stat").read_text().split()[1:9]]


class End:
    """A driver in a process of its own."""

    def __init__(self, script: str, *words: object) -> None:
        """Start it."""
        self.process = subprocess.Popen(  # noqa: S603  # our own script
            [sys.executable, str(DRIVERS / script), *map(str, words)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __enter__(self) -> End:
        """Use it."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        assert self.process.stdin is not None  # noqa: S101
        self.process.stdin.close()
        try:
            self.process.wait(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def told(self) -> dict[str, Any]:
        """Return what it says next; it is ended where it says nothing for long."""
        assert self.process.stdout is not None  # noqa: S101
        watchdog = threading.Timer(PATIENCE_S, self.process.kill)
        watchdog.start()
        line = self.process.stdout.readline()
        watchdog.cancel()
        if not line:
            message = f"{self.process.args!r} ended, or was silent for {PATIENCE_S:g} s"
            raise SystemExit(message)
        found: dict[str, Any] = json.loads(line)
        return found


def folders(root: Path) -> tuple[Path, Path]:
    """Return folders of the nodes a and b with identities of one authority."""
    make_authority(root / "authority", name="swarm", now=now)
    for node in ("a", "b"):
        make_identity(root / "authority", root / node, node=node, now=now)
    return root / "a", root / "b"


def once(way: str, words: Sequence[object]) -> dict[str, Any]:
    """Let a write to b over one way, and return what b measured."""
    root = Path(tempfile.mkdtemp())
    try:
        a, b = folders(root)
        with ExitStack() as ends:
            reader = ends.enter_context(End("run_sync.py", way, b, "--role", "read", *words))
            port = reader.told()["port"]
            ends.enter_context(
                End("run_sync.py", way, a, "--role", "write", "--port", port, *words)
            )
            return reader.told()
    finally:
        shutil.rmtree(root)


def catch_up(count: int, seed: int) -> float:
    """Return how long a node takes to fetch records over a lossy way [s]."""
    root = Path(tempfile.mkdtemp())
    try:
        a, b = folders(root)
        words = ("--count", count, "--before", "--datagram", 1200)
        with ExitStack() as ends:
            writer = ends.enter_context(End("run_sync.py", "quic", a, "--role", "write", *words))
            port = writer.told()["port"]
            writer.told()
            way = ends.enter_context(End("run_lossy_way.py", port, LOSS, DELAY_S, seed))
            reader = ends.enter_context(
                End("run_sync.py", "quic", b, "--role", "read",
                    "--port", way.told()["port"], *words)
            )  # fmt: skip
            reader.told()
            return float(reader.told()["seconds"])
    finally:
        shutil.rmtree(root)


def peers_site() -> Path:
    """Return the folder with gRPC, installed the first time."""
    python = peers_python("requirements-sync.txt")
    return next((python.parents[1] / "lib").glob("python3*")) / "site-packages"


def latency_rows(
    ways: Sequence[str], rate: int, options: argparse.Namespace, words: Sequence[object]
) -> list[Row]:
    """Measure single writes, all ways in turn in every round."""
    told: dict[str, list[dict[str, Any]]] = defaultdict(list)
    count = int(rate * options.seconds)
    for _ in range(options.repeats):
        for way in ways:
            told[way].append(
                once(way, ("--rate", rate, "--count", count, "--warm", int(rate * WARM_S), *words))
            )
    goals = {"p50": "< 0.5", "p99": "< 1", "p999": ""}
    rows = []
    for way in ways:
        for name, goal in goals.items():
            value, spread = middle([run[name] for run in told[way]])
            label = f"write to searchable at {rate}/s, {WAYS[way]}: {name}"
            row = Row(label, value, "ms", goal if way == "quic" else "", spread=spread)
            if way == "quic":
                peer = ways[1]
                beside, _ = middle([run[name] for run in told[peer]])
                row = replace(row, peer=WAYS[peer], peer_value=beside, ratio=beside / value)
            rows.append(row)
        cpu, spread = middle([run["cpu_us"] for run in told[way]])
        label = f"receiver's processor time at {rate}/s, {WAYS[way]}"
        rows.append(Row(label, cpu, "us/record", spread=spread))
    return rows


def bulk_rows(
    ways: Sequence[str], options: argparse.Namespace, words: Sequence[object],
    bare: Sequence[float],
) -> list[Row]:  # fmt: skip
    """Measure writes as fast as they go: bare vectors, and models of 64 kB."""
    rows = []
    for label, count, payload in (("128-d records", 16_384, 8), ("models of 64 kB", 512, 65_536)):
        told: dict[str, list[float]] = defaultdict(list)
        for _ in range(options.repeats):
            for way in ways:
                run = once(way, ("--count", count, "--payload", payload, *words))
                size = count * (RECORD_BYTES + payload)
                told[way].append(size / run["seconds"] / MEGA)
        for way in ways:
            value, spread = middle(told[way])
            row = Row(f"bulk, {label}, {WAYS[way]}", value, "MB/s", spread=spread)
            if way == "quic":
                limit = max(bare)
                row = replace(
                    row, goal=">= 50", peer="aioquic alone, bytes without records",
                    peer_value=limit, ratio=value / limit,
                )  # fmt: skip
            rows.append(row)
    return rows


def bare_rows(options: argparse.Namespace) -> list[Row]:
    """Measure bytes through the library alone, at its own datagram size and at its largest."""
    rows = []
    for datagram, count in BARE:
        words = ("--datagram", datagram, "--count", count)
        rates = [count / once("bare", words)["seconds"] / MEGA for _ in range(options.repeats)]
        value, spread = middle(rates)
        label = f"bulk, aioquic alone, datagrams of {datagram:,} bytes"
        rows.append(Row(label, value, "MB/s", spread=spread))
    return rows


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", type=int, nargs="+", default=[200, 500], help="writes/s")
    parser.add_argument("--seconds", type=float, default=4.0, help="of writing at each rate")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-peers", action="store_true")
    options = parser.parse_args()
    ways = ["quic", "tls", "udp"] if options.no_peers else ["quic", "grpc", "tls", "udp"]
    words = () if options.no_peers else ("--site", peers_site())
    before = processor_ticks()
    rows = [row for rate in options.rates for row in latency_rows(ways, rate, options, words)]
    used = [b - a for a, b in zip(before, processor_ticks(), strict=True)]
    idle, stolen = (100 * part / sum(used) for part in (used[3] + used[4], used[7]))
    rows.append(Row("all processors idle, while single writes were measured", idle, "%"))
    rows.append(Row("all processors taken away by the hypervisor, meanwhile", stolen, "%"))
    alone = bare_rows(options)
    rows += [*alone, *bulk_rows(ways[:-1], options, words, [row.value for row in alone])]
    times = [catch_up(10_000, seed) for seed in range(min(3, options.repeats))]
    rows.append(
        Row(
            f"10,000 records fetched with {LOSS:.0%} loss and {DELAY_S * 1e3:.0f} ms each way",
            statistics.median(times), "s", spread=(max(times) - min(times)) / 2,
        )
    )  # fmt: skip
    report(
        "sync",
        rows,
        packages=("aioquic", "cryptography", "msgspec", "numpy", "uvloop"),
        notes=(
            "a record has 128 float32 components, one fact and 8 bytes of payload, 624 bytes as a "
            "frame; MB/s count vectors and payloads only",
            "each end has its log synced to disk by a process beside (SQLite, synchronous FULL)",
            "searchable: a search that begins at that moment finds the record; what is written in "
            f"the first {WARM_S:g} s does not count",
            "loss and delay are made by a process that passes datagrams on, as this kernel has no "
            "netem; 1200-byte datagrams there, 64,000-byte ones on loopback; a stock aioquic "
            "writes no frame above 16,383 bytes",
        ),
    )


if __name__ == "__main__":
    main()
