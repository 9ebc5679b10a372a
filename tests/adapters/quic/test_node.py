"""One or two nodes in this process: what a write does, and what happens when the disk fails."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from cellhive.adapters.embedded.sqlite_log import SqliteLog
from cellhive.adapters.quic.control import ControlClient
from cellhive.adapters.quic.identity import IdentityFiles, make_authority, make_identity
from cellhive.adapters.quic.node import TICK_S, Node, NodeSettings, serve
from cellhive.adapters.quic.peers import PeerAddress
from cellhive.core.errors import BadInput, CellHiveError, Conflict, NotFound, Unavailable
from cellhive.core.records import Delta, Namespace, Record, RecordKind
from cellhive.memory import messages as m
from cellhive.memory.store import Memory

SPACE = Namespace("situations", 4)
LIMIT_S = 20.0


def now_ms() -> int:
    """Return the wall clock."""
    return time.time_ns() // 1_000_000


def now() -> datetime:
    """Return the date, by which certificates are judged."""
    return datetime.now(UTC)  # noqa: TID251  # aioquic judges by the real date


def record(name: str, first: float = 1.0) -> Record:
    """Return a record."""
    return Record(SPACE.name, name, RecordKind.RESULT, np.array([first, 1, 0, 0], np.float32))


class Failing(SqliteLog):
    """A log whose disk is full while a file of that name lies beside it."""

    def absorb(self, delta: Delta) -> Future[int]:
        """Fail, or write."""
        if delta.records and self.path.with_name("full").exists():
            message = "expected room on the disk, found none; make some"
            raise Unavailable(message, retry_after_s=1.0)
        return super().absorb(delta)


@pytest.fixture
def swarm(tmp_path: Path) -> Path:
    """A folder with identities of north and south."""
    make_authority(tmp_path / "authority", name="swarm", now=now)
    for node in ("north", "south"):
        make_identity(tmp_path / "authority", tmp_path / node, node=node, now=now)
    return tmp_path


class Lives(list[Node]):
    """A node in all its lives, the current one last."""

    def __init__(self) -> None:
        """Have none yet."""
        super().__init__()
        self.changed = asyncio.Event()

    def begin(self, node: Node) -> None:
        """Take the next one."""
        self.append(node)
        self.changed.set()

    async def until(self, count: int) -> None:
        """Wait until there have been so many."""
        async with asyncio.timeout(LIMIT_S):
            while len(self) < count:
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def running(
    folder: Path, name: str, peers: Sequence[PeerAddress] = ()
) -> AsyncIterator[Lives]:
    """Serve a node."""
    settings = NodeSettings(
        name, folder / name, IdentityFiles.in_folder(folder / name), peers=tuple(peers)
    )
    lives, stop = Lives(), asyncio.Event()

    def open_memory() -> Memory:
        return Memory(Failing(folder / name / "memory.db", now_ms=now_ms, node=name))

    serving = asyncio.create_task(
        serve(settings, open_memory, now_ms=now_ms, rng=np.random.default_rng(1), stop=stop,
              ready=lives.begin)
    )  # fmt: skip
    try:
        async with asyncio.timeout(LIMIT_S):
            up_or_dead = {asyncio.create_task(lives.until(1)), serving}
            await asyncio.wait(up_or_dead, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
            yield lives
    finally:
        stop.set()
        await serving


def test_a_write_is_searchable_before_it_is_durable(swarm: Path) -> None:
    """When write returns a search finds the record; when its future is done the log has it."""

    async def scene() -> None:
        async with running(swarm, "north") as (node,):
            await node.declare(SPACE)
            versions, durable = node.write([record("x")])
            assert not durable.done()
            found = await node.search(
                lambda memory: memory.find(SPACE.name, vector=record("x").vector, k=1)
            )
            assert [match.record.id for match in found] == ["x"]
            await durable
            stored = node.memory.memory.log.get(SPACE.name, ["x"])[0]
            assert stored is not None
            assert stored.version == versions[0]

    asyncio.run(scene())


def test_a_record_of_a_peer_is_searchable_before_it_is_counted_and_only_once(
    swarm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next write of a peer reaches the tail, then the replica, and not the tail again."""

    async def scene() -> None:
        async with running(swarm, "north") as (north,):
            there = PeerAddress("north", "127.0.0.1", north.port)
            async with running(swarm, "south", [there]) as (south,):
                await north.declare(SPACE)
                await south.until_searchable(north.replica.vector)
                while not (north.replica.peers and SPACE.name in south.status()["namespaces"]):
                    await asyncio.sleep(0.01)
                seen: list[str] = []
                note, handle = south.memory.note, south.replica.handle

                def noting(records: Sequence[Record]) -> None:
                    seen.extend(record.id for record in records)
                    note(records)

                def handling(event: m.Event) -> list[m.Instruction]:
                    if isinstance(event, m.Received) and isinstance(event.message, m.Push):
                        seen.append("counted")
                    return handle(event)

                monkeypatch.setattr(south.memory, "note", noting)
                monkeypatch.setattr(south.replica, "handle", handling)
                for name in ("x", "y"):
                    north.write([record(name)])
                    await south.until_searchable(north.replica.vector)
                assert seen == ["x", "counted", "y", "counted"]
                assert south.applied == 2

    asyncio.run(scene())


def test_a_write_beats_an_older_one_whose_clock_was_ahead(swarm: Path) -> None:
    """A node that starts after one with a wrong clock still replaces what that one wrote."""
    path = swarm / "north" / "memory.db"
    log = SqliteLog(path, now_ms=lambda: now_ms() + 600_000, node="north")
    log.declare(SPACE)
    log.put([record("x", 1.0)])
    log.close()

    async def scene() -> None:
        async with running(swarm, "north") as (node,):
            await node.add([record("x", 7.0)])
            found = node.memory.memory.log.get(SPACE.name, ["x"])[0]
            assert found is not None
            assert found.vector is not None
            assert found.vector[0] == 7.0

    asyncio.run(scene())


@pytest.mark.parametrize("busy", [False, True])
def test_what_another_process_writes_into_the_log_reaches_the_peers(
    swarm: Path, busy: bool
) -> None:
    """A record put into the file beside the node arrives at the other node, whatever it does."""

    async def keep_writing(node: Node) -> None:
        for i in range(10_000):
            node.write([record(f"own-{i}")])
            await asyncio.sleep(0.02)

    async def scene() -> None:
        async with running(swarm, "north") as (north,):
            address = PeerAddress("north", "127.0.0.1", north.port)
            async with running(swarm, "south", [address]) as (south,), asyncio.TaskGroup() as tasks:
                await north.declare(SPACE)
                flow = tasks.create_task(keep_writing(north)) if busy else None
                await asyncio.sleep(2 * TICK_S if busy else 0.0)
                other = SqliteLog(swarm / "north" / "memory.db", now_ms=now_ms, node="north")
                other.declare(SPACE)
                version = other.put([record("x")])[0]
                other.close()
                await south.until_durable({version.writer: version.sequence})
                assert south.memory.memory.log.get(SPACE.name, ["x"])[0] is not None
                if flow is not None:
                    flow.cancel()

    asyncio.run(scene())


def test_a_write_that_the_disk_refuses_is_not_acknowledged(swarm: Path) -> None:
    """The writer hears of it, the node begins a new life, and what was there before is there."""

    async def scene() -> None:
        async with running(swarm, "north") as lives:
            await lives[0].declare(SPACE)
            await lives[0].add([record("before")])
            (swarm / "north" / "full").touch()
            with pytest.raises(Unavailable, match="room on the disk"):
                await lives[0].add([record("lost")])
            (swarm / "north" / "full").unlink()
            await lives.until(2)
            assert lives[1].replica.writer != lives[0].replica.writer
            await lives[1].add([record("after")])
            stored = lives[1].memory.memory.get(SPACE.name, ["before", "lost", "after"])
            assert [found is not None for found in stored] == [True, False, True]

    asyncio.run(scene())


def test_a_peers_record_that_the_disk_refuses_comes_again(swarm: Path) -> None:
    """While south's disk is full north's write is not durable there; then it is."""

    async def scene() -> None:
        async with running(swarm, "north") as (north,):
            address = PeerAddress("north", "127.0.0.1", north.port)
            async with running(swarm, "south", [address]) as (south,):
                await north.declare(SPACE)
                first = (await north.add([record("first")]))[0]
                await south.until_durable({first.writer: first.sequence})
                (swarm / "south" / "full").touch()
                second = (await north.add([record("second")]))[0]
                while "disk" not in south.refusals:
                    await south.until_news()
                (swarm / "south" / "full").unlink()
                await south.until_durable({second.writer: second.sequence})
                assert south.memory.memory.log.get(SPACE.name, ["second"])[0] is not None

    asyncio.run(scene())


def test_a_question_whether_a_peer_is_there_may_be_given_up_and_leaves_nothing(
    swarm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that stops while it asks has no more to say about the answer that never came."""
    complaints: list[str] = []

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, told: complaints.append(str(told)))
        async with running(swarm, "north") as (north,):
            there = PeerAddress("north", "127.0.0.1", north.port)
            async with running(swarm, "south", [there]) as (south,):
                while not south.replica.peers:
                    await asyncio.sleep(0.01)
                (link,) = south._peers._links.values()
                monkeypatch.setattr(link._quic, "send_ping", lambda _: None)  # or it is answered
                asking = asyncio.create_task(link.alive(LIMIT_S))
                while not link._ping_waiters:
                    await asyncio.sleep(0)
                asking.cancel()
                (back,) = north._peers._links.values()
                back.give_up(0, "enough")
                await link.finished.wait()
                gc.collect()

    asyncio.run(scene())
    gc.collect()
    assert complaints == []


def test_the_control_socket_is_for_this_user_and_refuses_nonsense(swarm: Path) -> None:
    """Its mode is 0600; errors come back by kind, and nonsense does not stop the node."""

    async def scene() -> None:
        async with running(swarm, "north") as (node,):
            path = node.settings.control_socket
            assert path.stat().st_mode & 0o777 == 0o600
            client = await ControlClient.connect(path)
            with pytest.raises(NotFound, match="declare it first"):
                await client.add([record("x")])
            await client.declare(SPACE)
            await client.add([record("x")], new=True)
            with pytest.raises(Conflict):
                await client.add([record("x")], new=True)
            with pytest.raises(CellHiveError, match="components"):
                await client.add(
                    [Record(SPACE.name, "y", RecordKind.RESULT, np.ones(3, np.float32))]
                )
            found = await client.search(SPACE.name, [1.0, 1.0, 0.0, 0.0], k=1)
            assert [match.id for _, match in found] == ["x"]
            told = structs.replace(
                record("z"), kind=RecordKind.MODEL, text="night", metadata={"cell": 7}
            )
            await client.add([told])
            narrower: list[dict[str, Any]] = [
                {"text": "night"}, {"where": {"cell": 7}}, {"kind": RecordKind.MODEL},
            ]  # fmt: skip
            for narrow in narrower:
                vector = None if "text" in narrow else [1.0, 1.0, 0.0, 0.0]
                found = await client.search(SPACE.name, vector, **narrow)
                assert [match.id for _, match in found] == ["z"], narrow
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"\xff" * 64)
            assert await reader.read() == b""
            writer.close()
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"\x03\x00\x00\x00abc")
            assert b"Validation" in await reader.readexactly(20)
            writer.close()
            assert (await client.status())["written"] == 2
            await client.close()
            with pytest.raises(Conflict, match="stop it first"):
                async with running(swarm, "north"):
                    pass

    asyncio.run(scene())


@pytest.mark.parametrize("words", ["", "north", "north@", "north@host", "north@host:0", "N@h:1"])
def test_an_address_has_a_name_a_host_and_a_port(words: str) -> None:
    """Anything else is refused with what was expected."""
    with pytest.raises(BadInput):
        PeerAddress.parse(words)
    assert PeerAddress.parse("north@[::1]:7") == PeerAddress("north", "::1", 7)
