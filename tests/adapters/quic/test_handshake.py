"""Handshakes over real sockets: who gets in, and that all others get nothing."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.quic import events
from aioquic.quic.connection import QuicConnection
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cellhive.adapters.quic.connection import LinkSettings, configure
from cellhive.adapters.quic.identity import (
    Identity,
    IdentityFiles,
    load_identity,
    make_authority,
    make_identity,
)
from cellhive.adapters.quic.mutual import WINDOW_BYTES
from cellhive.adapters.quic.peers import PeerAddress, Peers
from cellhive.core.records import Record, RecordKind, Version
from cellhive.memory import messages as m

LIMIT_S = 10.0


def now() -> datetime:
    """Return the time at which all these certificates are valid."""
    return datetime.now(UTC)  # noqa: TID251  # aioquic judges by the real date


def a_while_ago() -> datetime:
    """Return a time before any node got its certificate."""
    return now() - timedelta(days=11)


class Ears:
    """Notes what a node is told, and lets a test wait for it."""

    def __init__(self) -> None:
        """Have heard nothing."""
        self.heard: list[tuple[str, str]] = []
        self.messages: list[m.Message] = []
        self.why = ""
        self._news = asyncio.Event()

    def joined(self, peer: str) -> None:
        """Note a peer."""
        self._note("joined", peer)

    def left(self, peer: str, why: str) -> None:
        """Note that it went, and why."""
        self.why = why
        self._note("left", peer)

    def received(self, peer: str, message: m.Message) -> None:
        """Note a message."""
        self.messages.append(message)
        self._note("received", peer)

    def refused(self, why: str) -> None:
        """Note why somebody was not let in."""
        self.why = why
        self._note("refused", "")

    def turned_away(self, peer: str, why: str) -> None:
        """Note that a certificate was not taken."""
        self.why = why
        self._note("turned away", peer)

    def _note(self, what: str, peer: str) -> None:
        self.heard.append((what, peer))
        self._news.set()

    def batches(self) -> list[m.Batch]:
        """Return the batches that came."""
        return [message for message in self.messages if isinstance(message, m.Batch)]

    async def until_next(self) -> None:
        """Wait until something more is heard."""
        self._news.clear()
        async with asyncio.timeout(LIMIT_S):
            await self._news.wait()

    async def until(self, what: str, peer: str) -> None:
        """Wait until something has been heard."""
        async with asyncio.timeout(LIMIT_S):
            while (what, peer) not in self.heard:
                self._news.clear()
                await self._news.wait()


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority and the nodes north, south and east."""
    folder = tmp_path_factory.mktemp("swarm")
    make_authority(folder / "authority", name="swarm", now=a_while_ago)
    for node in ("north", "south", "east"):
        make_identity(folder / "authority", folder / node, node=node, now=now)
    return folder


def identity(folder: Path, node: str, allowed: frozenset[str] = frozenset()) -> Identity:
    """Load a node's identity."""
    return load_identity(IdentityFiles.in_folder(folder, allowed), node=node, now=now)


def pattern(payload: bytes) -> Record:
    """Return a record with a payload."""
    return Record("s", "x", RecordKind.PATTERN, payload=payload, version=Version(1, "north~1", 1))


async def node(
    who: Identity,
    settings: LinkSettings = LinkSettings(),  # noqa: B008
) -> tuple[Peers, Ears, int]:
    """Return a listening node, what it hears, and its port."""
    ears = Ears()
    peers = Peers(who, ears, settings, np.random.default_rng(1))
    return peers, ears, await peers.listen("127.0.0.1", 0)


class Stranger(QuicConnectionProtocol):
    """A client that does as it likes and notes whatever the server lets it have."""

    def __init__(self, quic: QuicConnection) -> None:
        """Wrap a client's connection."""
        super().__init__(quic)
        self.got = b""
        self.over: asyncio.Future[events.ConnectionTerminated] = self._loop.create_future()
        self.proven = asyncio.Event()

    def quic_event_received(self, event: events.QuicEvent) -> None:
        """Note what comes."""
        if isinstance(event, events.StreamDataReceived):
            self.got += event.data
        elif isinstance(event, events.ConnectionTerminated) and not self.over.done():
            self.over.set_result(event)
        elif isinstance(event, events.HandshakeCompleted):
            self._quic.send_stream_data(2, b"let me in, I am a friend of east")
            self.proven.set()


async def knock(port: int, who: Identity | None, *, as_peer_of: str, trust: Identity) -> Stranger:
    """Connect to a port with some identity or none, until the server hangs up."""
    configuration = configure(trust, LinkSettings(), peer=as_peer_of)
    configuration.certificate = None if who is None else who.certificate
    configuration.private_key = None if who is None else who.key
    loop = asyncio.get_running_loop()
    transport, stranger = await loop.create_datagram_endpoint(
        lambda: Stranger(QuicConnection(configuration=configuration)), local_addr=("127.0.0.1", 0)
    )
    stranger.connect(("127.0.0.1", port))
    async with asyncio.timeout(LIMIT_S):
        await stranger.over
    transport.close()
    return stranger


def refused(who: Identity | None, swarm: Path, **server: frozenset[str]) -> str:
    """Let somebody knock at south; check that nothing is given and return what south says."""

    async def scene() -> str:
        trust = identity(swarm / "south", "south", **server)
        peers, ears, port = await node(trust)
        try:
            stranger = await knock(port, who, as_peer_of="south", trust=trust)
            await ears.until("refused", "")
            assert stranger.got == b""
            assert ears.heard == [("refused", "")]
            assert peers.names == ()
            assert peers.counts["connections"] == 0
            assert peers.counts["refused"] == 1
            assert peers.counts["received_messages"] == 0
            return ears.why
        finally:
            await peers.close()

    return asyncio.run(scene())


def test_two_nodes_of_one_authority_meet(swarm: Path) -> None:
    """Each end learns the other's name from its certificate, and messages pass."""

    async def scene() -> None:
        north, north_ears, _ = await node(identity(swarm / "north", "north"))
        south, south_ears, port = await node(identity(swarm / "south", "south"))
        north.connect(PeerAddress("south", "127.0.0.1", port))
        await asyncio.gather(
            north_ears.until("joined", "south"), south_ears.until("joined", "north")
        )
        north.send("south", m.Ack(1, {"north~1": 5}, {}))
        south.send("north", m.Batch("x", 1, 1, (), {"y": 2}, complete=True))
        await asyncio.gather(
            north_ears.until("received", "south"), south_ears.until("received", "north")
        )
        assert south_ears.messages == [m.Ack(1, {"north~1": 5}, {})]
        assert north_ears.messages == [m.Batch("x", 1, 1, (), {"y": 2}, complete=True)]
        await north.close()
        await south_ears.until("left", "north")
        await south.close()

    asyncio.run(scene())


def test_a_peer_without_a_certificate_gets_nothing(swarm: Path) -> None:
    """The server asks for a certificate and ends the handshake where none comes."""
    assert "certificate" in refused(None, swarm)


def test_a_peer_with_an_expired_certificate_gets_nothing(swarm: Path, tmp_path: Path) -> None:
    """A certificate that was good until yesterday is not good today."""
    make_identity(swarm / "authority", tmp_path, node="north", now=a_while_ago, days=10)
    expired = load_identity(IdentityFiles.in_folder(tmp_path), node="north", now=a_while_ago)
    assert "valid now" in refused(expired, swarm)


def test_a_peer_of_another_authority_gets_nothing(swarm: Path, tmp_path: Path) -> None:
    """An authority of the same name is another authority all the same."""
    make_authority(tmp_path / "authority", name="swarm", now=now)
    make_identity(tmp_path / "authority", tmp_path / "north", node="north", now=now)
    assert "valid now" in refused(identity(tmp_path / "north", "north"), swarm)


def test_a_peer_that_is_not_allowed_gets_nothing(swarm: Path) -> None:
    """A list of allowed nodes keeps out even those of the right authority."""
    who = identity(swarm / "north", "north")
    assert "'north'" in refused(who, swarm, allowed=frozenset({"east"}))


def test_a_certificate_without_its_key_gets_nothing(swarm: Path) -> None:
    """Whoever shows a certificate has to sign with its key."""
    north, east = identity(swarm / "north", "north"), identity(swarm / "east", "east")
    thief = dataclasses.replace(north, key=east.key)
    assert refused(thief, swarm)


def test_an_authority_is_not_a_node(swarm: Path) -> None:
    """The authority's own certificate names no node and opens no door."""
    files = IdentityFiles.in_folder(swarm / "south")
    key = serialization.load_pem_private_key(
        (swarm / "authority" / "authority.key").read_bytes(), password=None
    )
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    south = load_identity(files, node="south", now=now)
    assert "valid now" in refused(
        dataclasses.replace(south, certificate=south.authority, key=key), swarm
    )


def test_a_server_of_another_name_is_left_alone(swarm: Path) -> None:
    """North means to call east; south answers with a good certificate, but its own."""

    async def scene() -> None:
        north, north_ears, _ = await node(identity(swarm / "north", "north"))
        south, south_ears, port = await node(identity(swarm / "south", "south"))
        north.connect(PeerAddress("east", "127.0.0.1", port))
        await asyncio.gather(north_ears.until("refused", ""), south_ears.until("refused", ""))
        assert set(south_ears.heard) == {("refused", "")}
        assert set(north_ears.heard) == {("refused", ""), ("turned away", "east")}
        assert north.names == south.names == ()
        await north.close()
        await south.close()

    asyncio.run(scene())


class Tap(asyncio.DatagramProtocol):
    """Sits between a client and a server, passes everything on and keeps a copy."""

    def __init__(self, port: int) -> None:
        """Sit before a port."""
        self.kept: list[bytes] = []
        self._port = port
        self._client: Any = None
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        """Note where to send from."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Pass a datagram on to the other side."""
        if addr[1] == self._port:
            self.transport.sendto(data, self._client)
        else:
            self._client = addr
            self.kept.append(data)
            self.transport.sendto(data, ("127.0.0.1", self._port))


def test_a_recorded_handshake_played_again_gets_nothing(swarm: Path) -> None:
    """All that north once sent, sent again by somebody else, opens no connection."""

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        north, _, _ = await node(identity(swarm / "north", "north"))
        south, south_ears, port = await node(identity(swarm / "south", "south"))
        transport, tap = await loop.create_datagram_endpoint(
            lambda: Tap(port), local_addr=("127.0.0.1", 0)
        )
        north.connect(PeerAddress("south", "127.0.0.1", transport.get_extra_info("sockname")[1]))
        await south_ears.until("joined", "north")
        north.send("south", m.Ack(7, {}, {}))
        await south_ears.until("received", "north")
        await north.close()
        await south_ears.until("left", "north")
        recorded, heard = list(tap.kept), list(south_ears.heard)
        transport.close()
        replayer, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
        )
        for datagram in recorded:
            replayer.sendto(datagram, ("127.0.0.1", port))
        # A good handshake after it shows that the server has read all of the replay.
        east, _, _ = await node(identity(swarm / "east", "east"))
        east.connect(PeerAddress("south", "127.0.0.1", port))
        await south_ears.until("joined", "east")
        assert south_ears.heard == [*heard, ("joined", "east")]
        assert south_ears.messages == [m.Ack(7, {}, {})]
        assert south.names == ("east",)
        replayer.close()
        await east.close()
        await south.close()

    asyncio.run(scene())


def test_hostile_bytes_end_that_connection_only(swarm: Path) -> None:
    """A peer that is known and sends nonsense is cut off; the others notice nothing."""

    async def scene() -> None:
        south, south_ears, port = await node(identity(swarm / "south", "south"))
        north, _, _ = await node(identity(swarm / "north", "north"))
        north.connect(PeerAddress("south", "127.0.0.1", port))
        await south_ears.until("joined", "north")
        east = identity(swarm / "east", "east")
        stranger = await knock(port, east, as_peer_of="south", trust=east)
        assert stranger.proven.is_set()
        ending = stranger.over.result()
        assert ending.error_code == 1
        assert "expected a frame" in ending.reason_phrase
        assert ("left", "east") in south_ears.heard
        assert south.names == ("north",)
        north.send("south", m.Ack(1, {}, {}))
        await south_ears.until("received", "north")
        await north.close()
        await south.close()

    asyncio.run(scene())


def test_a_peer_that_takes_nothing_is_given_up(swarm: Path) -> None:
    """What waits for a slow reader is bounded at both ends; then it is cut off."""

    async def scene() -> None:
        settings = LinkSettings(most_waiting_bytes=6 << 20)
        south, south_ears, port = await node(identity(swarm / "south", "south"))
        north, north_ears, _ = await node(identity(swarm / "north", "north"), settings)
        south.hold(on=True)
        north.connect(PeerAddress("south", "127.0.0.1", port))
        await north_ears.until("joined", "south")
        noise = np.random.default_rng(1).bytes(1 << 20)
        batch = m.Batch("s", 1, 1, (pattern(noise),), {}, complete=False)
        for sent in range(100):
            north.send("south", batch)
            if sent % 2 and ("left", "south") in north_ears.heard:
                break
            await north.sent()
        await north_ears.until("left", "south")
        assert "wait for the peer" in north_ears.why
        # Not more than the window and what was allowed to wait ever left the writer's hands.
        assert sent <= (6 << 20) / len(noise) + WINDOW_BYTES / len(noise) + 2
        assert sum(len(x.records[0].payload) for x in south_ears.batches()) <= WINDOW_BYTES
        await north.close()
        await south.close()

    asyncio.run(scene())


def test_bulk_keeps_to_its_bandwidth_and_does_not_delay_small_messages(swarm: Path) -> None:
    """Two megabytes at a megabyte per second take over a second; a small message overtakes."""

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        settings = LinkSettings(bandwidth_bytes_s=1 << 20)
        south, south_ears, port = await node(identity(swarm / "south", "south"))
        north, north_ears, _ = await node(identity(swarm / "north", "north"), settings)
        north.connect(PeerAddress("south", "127.0.0.1", port))
        await north_ears.until("joined", "south")
        noise = np.random.default_rng(1).bytes(2 << 20)
        begun_s = loop.time()
        north.send("south", m.Batch("s", 1, 1, (pattern(noise),), {}, complete=True))
        north.send("south", m.Ack(1, {}, {}))
        while len(south_ears.messages) < 2:
            await south_ears.until_next()
        assert south_ears.messages[0] == m.Ack(1, {}, {})
        assert [x.records[0].payload for x in south_ears.batches()] == [noise]
        # A burst of a tenth of a second and the piece after it come at once.
        assert loop.time() - begun_s > 1.5
        await north.close()
        await south.close()

    asyncio.run(scene())


def test_of_two_connections_made_at_once_one_stays(swarm: Path) -> None:
    """Nodes that call one another at the same time end with one connection, and it works."""

    async def scene() -> None:
        south, south_ears, south_port = await node(identity(swarm / "south", "south"))
        north, north_ears, north_port = await node(identity(swarm / "north", "north"))
        north.connect(PeerAddress("south", "127.0.0.1", south_port))
        south.connect(PeerAddress("north", "127.0.0.1", north_port))
        await asyncio.gather(
            north_ears.until("joined", "south"), south_ears.until("joined", "north")
        )
        while not south_ears.messages:
            north.send("south", m.Ack(1, {}, {}))
            await south_ears.until_next()
        assert north.names == ("south",)
        assert south.names == ("north",)
        await north.close()
        await south.close()

    asyncio.run(scene())
