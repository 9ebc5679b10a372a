"""``cellhive memory serve``, ``join`` and ``status`` as real processes on loopback."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellhive.adapters.quic.control import ControlClient
from cellhive.core.records import Record, RecordKind

Command = Callable[..., Any]
LIMIT_S = 60.0
SPACE = "situations"


@dataclass
class Running:
    """A node in a process of its own, with what it prints."""

    process: subprocess.Popen[str]
    port: int

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Swarm:
    """A folder with one authority, the memories of its nodes, and their processes."""

    def __init__(self, root: Path, cellhive: Command, stack: ExitStack) -> None:
        """Make the authority."""
        self.root, self._cellhive, self._stack = root, cellhive, stack
        self.cellhive("identity", "new-ca", root / "ca")

    def cellhive(self, *arguments: object) -> Any:
        """Run ``cellhive memory ...`` in this process; it must end well."""
        ended = self._cellhive("memory", *arguments)
        assert ended.code == 0, ended
        return ended

    def issue(self, name: str, ca: str = "ca") -> Path:
        """Make an identity and return the memory's folder."""
        place = self.root / name
        self.cellhive("identity", "issue", name, "--ca", self.root / ca, "--memory", place)
        return place

    def begin(self, *words: object) -> subprocess.Popen[str]:
        """Start a command in a process of its own."""
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "cellhive", "memory", *map(str, words)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.root,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        self._stack.callback(process.communicate)
        self._stack.callback(process.terminate)
        return process

    def node(self, *words: object) -> Running:
        """Start a node and wait until it listens."""
        process = self.begin(*words)
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"listens on port (\d+)", line)
        assert found, (line, process.communicate())
        return Running(process, int(found[1]))

    def status(self, name: str) -> dict[str, Any]:
        """Return what a node says of itself."""
        told: dict[str, Any] = json.loads(
            self.cellhive("status", "--memory", self.root / name, "--json").out
        )
        return told

    def until_equal(self, names: list[str], writes: int) -> None:
        """Wait until all say to have the same on disk, so many writes, and all peers beside."""
        end = time.monotonic() + LIMIT_S
        while True:
            told = [self.status(name) for name in names]
            durable = [status["durable"] for status in told]
            level = all(
                len(status["peers_behind"]) == len(names) - 1
                and not any(status["peers_behind"].values())
                for status in told
            )
            if level and durable[1:] == durable[:-1] and sum(durable[0].values()) >= writes:
                return
            assert time.monotonic() < end, told
            time.sleep(0.1)


@pytest.fixture
def swarm(tmp_path: Path, cellhive: Command) -> Iterator[Swarm]:
    """Return an empty swarm; what still runs is ended afterwards."""
    with ExitStack() as stack:
        yield Swarm(tmp_path, cellhive, stack)


def record(name: str) -> Record:
    """Return a record of its own content."""
    direction = np.array([1.0, len(name), 0.5], np.float32)
    return Record(SPACE, name, RecordKind.RESULT, direction, {"name": name})


async def write(place: Path, names: list[str]) -> None:
    """Write records one by one through a node, each acknowledged."""
    client = await ControlClient.connect(place / "node.sock")
    for name in names:
        await client.add([record(name)])
    await client.close()


def test_a_killed_node_catches_up_and_strangers_get_nothing(swarm: Swarm) -> None:
    """Three nodes, one killed while another writes: all converge; two strangers learn why not."""
    a, b, c = map(swarm.issue, "abc")
    swarm.cellhive("namespace", "create", SPACE, "-d", 3, "--memory", a)
    first = swarm.node("serve", "--memory", a, "--listen", "127.0.0.1:0", "--allow", "b", "--allow",
                       "c")  # fmt: skip
    at_a = f"a@127.0.0.1:{first.port}"
    second = swarm.node("join", at_a, "--memory", b)
    swarm.node("join", at_a, f"b@127.0.0.1:{second.port}", "--memory", c)
    swarm.until_equal(["a", "b", "c"], 0)

    # Not of this swarm, and of this swarm but not on a's list.
    swarm.cellhive("identity", "new-ca", swarm.root / "elsewhere")
    strangers = [
        swarm.begin("join", at_a, "--memory", swarm.issue(*words))
        for words in (("x", "elsewhere"), ("y",))
    ]
    names = [f"w{i:02}" for i in range(40)]
    asyncio.run(write(a, names[:10]))
    second.kill()
    asyncio.run(write(a, names[10:]))
    for stranger in strangers:
        _, said = stranger.communicate(timeout=LIMIT_S)
        assert stranger.returncode == 1, said
        assert "to take each other's certificates" in said
        assert "Traceback" not in said
    for name in "xy":
        told = swarm.cellhive("namespace", "list", "--memory", swarm.root / name, "--json")
        assert json.loads(told.out) == []

    swarm.node("join", at_a, "--memory", b, "--listen", f"127.0.0.1:{second.port}")
    asyncio.run(write(b, ["after"]))
    swarm.until_equal(["a", "b", "c"], len(names) + 1)
    held = [swarm.cellhive("get", *names, "after", "-n", SPACE, "--memory", place).out
            for place in (a, b, c)]  # fmt: skip
    assert held[0].count("\n") == len(names) + 1
    assert held == 3 * [held[0]]
    told = swarm.cellhive("status", "--memory", b).out
    assert re.search(r"^a .* 0 *$", told, re.MULTILINE), told
    assert re.search(r"^c .* 0 *$", told, re.MULTILINE), told
