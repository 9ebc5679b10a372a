"""Runs a node until its standard input ends; says on which port it listens."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import numpy as np
import uvloop

from cellhive.adapters.embedded.sqlite_log import SqliteLog
from cellhive.adapters.quic.identity import IdentityFiles
from cellhive.adapters.quic.node import Node, NodeSettings, serve
from cellhive.adapters.quic.peers import PeerAddress
from cellhive.memory.peers import SyncSettings
from cellhive.memory.store import Memory


def now_ms() -> int:
    """Return the wall clock."""
    return time.time_ns() // 1_000_000


async def main(folder: Path, name: str, port: int, peers: list[str]) -> None:
    """Serve until standard input ends."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), stop.set)
    settings = NodeSettings(
        name,
        folder,
        IdentityFiles.in_folder(folder),
        listen_port=port,
        peers=tuple(PeerAddress.parse(words) for words in peers),
        idle_timeout_s=2.0,
        sync=SyncSettings(digest_every_s=0.2),
        disk=(
            sys.executable,
            str(Path(__file__).with_name("disk_script.py")),
            str(folder / "memory.db"),
        ),
    )

    def say(node: Node) -> None:
        sys.stdout.write(json.dumps({"port": node.port, "writer": node.replica.writer}) + "\n")
        sys.stdout.flush()

    def open_memory() -> Memory:
        return Memory(SqliteLog(folder / "memory.db", now_ms=now_ms, node=name))

    rng = np.random.default_rng(len(name))
    await serve(settings, open_memory, now_ms=now_ms, rng=rng, stop=stop, ready=say)


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4:]))
