"""Three processes that keep one memory: in a mesh, in a chain, and with one of them killed."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from cellhive.adapters.quic.control import ControlClient
from cellhive.adapters.quic.identity import make_authority, make_identity
from cellhive.core.errors import Unavailable
from cellhive.core.records import Namespace, Record, RecordKind

SITUATIONS = Namespace("situations", 16)
LIMIT_S = 30.0
SCRIPT = Path(__file__).with_name("node_process.py")


def now() -> datetime:
    """Return the date, by which certificates are judged."""
    return datetime.now(UTC)  # noqa: TID251  # aioquic judges by the real date


def record(name: str, seed: int) -> Record:
    """Return a record whose vector nobody else has."""
    vector = np.random.default_rng(seed).normal(size=16).astype(np.float32)
    return Record("situations", name, RecordKind.RESULT, vector, {"seed": seed})


@dataclass
class Running:
    """A node in a process of its own."""

    name: str
    folder: Path
    port: int = 0
    peers: tuple[str, ...] = ()
    process: asyncio.subprocess.Process | None = None
    control: ControlClient | None = None
    acknowledged: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        """How others reach it."""
        return f"{self.name}@127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start the process and wait until it listens."""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, str(SCRIPT), str(self.folder), self.name, str(self.port), *self.peers,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.port = json.loads(await self.process.stdout.readline())["port"]
        self.control = await ControlClient.connect(self.folder / "node.sock")

    async def stop(self, *, kill: bool = False) -> None:
        """Stop it kindly, or not."""
        assert self.process is not None
        assert self.control is not None
        await self.control.close()
        if kill:
            self.process.kill()
        else:
            assert self.process.stdin is not None
            self.process.stdin.close()
        assert await self.process.wait() == (-9 if kill else 0)

    async def write(self, names: Sequence[str]) -> None:
        """Write records one by one and remember which were acknowledged."""
        assert self.control is not None
        for name in names:
            await self.control.add([record(name, len(self.acknowledged))])
            self.acknowledged.append(name)

    async def vector(self) -> dict[str, int]:
        """Return what it can search."""
        assert self.control is not None
        vector: dict[str, int] = (await self.control.status())["vector"]
        return vector


def swarm(folder: Path, names: Sequence[str]) -> list[Running]:
    """Return nodes with identities, not started."""
    make_authority(folder / "authority", name="swarm", now=now)
    for name in names:
        make_identity(folder / "authority", folder / name, node=name, now=now)
    return [Running(name, folder / name) for name in names]


async def all_have_all(nodes: Sequence[Running]) -> None:
    """Wait until every node has on disk what any has, and check that they agree."""
    vectors = [await node.vector() for node in nodes]
    everything: dict[str, int] = {}
    for vector in vectors:
        for writer, sequence in vector.items():
            everything[writer] = max(sequence, everything.get(writer, 0))
    names = sorted({name for node in nodes for name in node.acknowledged})
    contents = []
    for node in nodes:
        assert node.control is not None
        await node.control.until_durable(everything)
        found = await node.control.get("situations", names)
        contents.append([(r.id, r.version, r.metadata["seed"]) for r in found if r is not None])
        assert await node.control.count("situations") >= len(names)
    assert [name for name, _, _ in contents[0]] == names
    assert all(content == contents[0] for content in contents)


@pytest.mark.parametrize("shape", ["mesh", "chain"])
def test_a_killed_node_loses_nothing_acknowledged_and_all_converge(
    shape: str, tmp_path: Path
) -> None:
    """While everybody writes one is killed and restarted: in the end all hold everything."""

    async def scene() -> None:
        first, middle, last = nodes = swarm(tmp_path, ["first", "middle", "last"])
        await first.start()
        middle.peers = (first.address,)
        await middle.start()
        last.peers = (middle.address,) if shape == "chain" else (first.address, middle.address)
        await last.start()
        for node in nodes:
            assert node.control is not None
            await node.control.declare(SITUATIONS)
        await asyncio.gather(*(n.write([f"{n.name}-{i}" for i in range(15)]) for n in nodes))
        # Killed in the middle of its writes; the others go on without it.
        doomed = asyncio.create_task(middle.write([f"middle-late-{i}" for i in range(100_000)]))
        while len(middle.acknowledged) < 30:
            await first.write([f"first-late-{len(first.acknowledged)}"])
        await middle.stop(kill=True)
        with pytest.raises((Unavailable, AssertionError)):
            await doomed
        await asyncio.gather(
            *(n.write([f"{n.name}-alone-{i}" for i in range(10)]) for n in (first, last))
        )
        await middle.start()
        await middle.write([f"middle-again-{i}" for i in range(5)])
        await all_have_all(nodes)
        for node in nodes:
            await node.stop()

    async def limited() -> None:
        async with asyncio.timeout(LIMIT_S):
            await scene()

    asyncio.run(limited())
