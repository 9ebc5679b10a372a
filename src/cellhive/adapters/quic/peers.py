"""Who is connected: listening, connecting again and again, one connection to each peer.

Messages become frames here and frames messages; large ones in a thread beside, so that the
event loop stays free for small ones.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from aioquic.asyncio.server import QuicServer
from aioquic.quic.connection import QuicConnection

from cellhive.adapters.quic.connection import (
    PROTOCOL_ERROR,
    REPLACED,
    Link,
    LinkEvents,
    LinkSettings,
    configure,
)
from cellhive.adapters.quic.identity import Identity, Untrusted, check_name
from cellhive.adapters.quic.mutual import MutualQuic
from cellhive.adapters.quic.pacing import Histogram, back_off_s
from cellhive.core.errors import BadInput, ProtocolError, Unavailable
from cellhive.memory import messages as m
from cellhive.memory.codec import decode, encode

LOOPBACK_DATAGRAM_BYTES = 64_000
_SOCKET_BYTES = 4 << 20
"""What the kernel is asked to keep for a socket: bulk comes in bursts."""
INLINE_BYTES = 32 << 10
"""Frames up to this size are encoded and decoded on the event loop: well below 1 ms."""
MOST_UNREAD_BYTES = 8 << 20
"""Bulk that waits to be decoded or stored; above, the peer is held until half is done."""
_HANDSHAKE_S = 5.0
_LONG_HEADER = 0x80
_PROBE_S = 1.0


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """A peer to connect to."""

    name: str
    """Name in its certificate."""
    host: str
    port: int

    @classmethod
    def parse(cls, words: str) -> PeerAddress:
        """Return the address in ``name@host:port``; raise BadInput for anything else."""
        name, at, place = words.partition("@")
        host, colon, port = place.rpartition(":")
        if not (at and colon and host and port.isdecimal() and 0 < int(port) < 1 << 16):
            raise BadInput(expected="name@host:port", found=repr(words), place="peer")
        return cls(check_name(name), host.strip("[]"), int(port))


class PeersOwner(Protocol):
    """Whom connections tell."""

    def joined(self, peer: str) -> None:
        """A connection to a peer is up."""

    def left(self, peer: str, why: str) -> None:
        """It is down."""

    def received(self, peer: str, message: m.Message) -> None:
        """A message came; raise ProtocolError to close the connection."""

    def refused(self, why: str) -> None:
        """A handshake failed: somebody did not prove who they are, or was not reached."""

    def turned_away(self, peer: str, why: str) -> None:
        """A peer that we connected to, or we, did not take the other's certificate."""


class _Listener(QuicServer):
    """The library's server, which need not take a datagram of a known connection apart."""

    def datagram_received(self, data: bytes | str, addr: Any) -> None:
        """Give a datagram to its connection."""
        link = None
        if isinstance(data, bytes) and data and data[0] < _LONG_HEADER:
            link = self._protocols.get(data[1 : 1 + self._configuration.connection_id_length])
        if link is None:
            super().datagram_received(data, addr)
        else:
            link.datagram_received(data, addr)


class Peers(LinkEvents):
    """The connections of a node, at most one to each peer."""

    def __init__(
        self,
        identity: Identity,
        owner: PeersOwner,
        settings: LinkSettings,
        rng: np.random.Generator,
    ) -> None:
        """Begin without connections, in a running event loop.

        Args:
            identity: Who we are.
            owner: Who is told.
            settings: How connections behave.
            rng: Chance, for waits before connecting again.
        """
        self._identity, self._owner, self._settings, self._rng = identity, owner, settings, rng
        self._loop = asyncio.get_running_loop()
        self._codec = ThreadPoolExecutor(1, "codec")
        self._links: dict[str, Link] = {}
        self._unread: dict[Link, int] = {}
        self._encoding: dict[Link, int] = {}
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: QuicServer | None = None
        self._banned: dict[str, str] = {}
        self._held = False
        self.round_trips = Histogram()
        self.counts = {
            "connections": 0, "refused": 0, "protocol_errors": 0, "sent_messages": 0,
            "received_messages": 0, "sent_bytes": 0, "received_bytes": 0,
        }  # fmt: skip

    @property
    def names(self) -> tuple[str, ...]:
        """Connected peers."""
        return tuple(sorted(self._links))

    async def listen(self, host: str, port: int) -> int:
        """Take connections at an address and return the port."""
        configuration = configure(self._identity, self._for_host(host))

        def accept(quic: QuicConnection, stream_handler: object = None) -> Link:
            # The library's server makes connections of its own class and has no other hook.
            quic.__class__ = MutualQuic
            return self._link(quic, outgoing=False, settings=self._for_host(host))

        try:
            transport, self._server = await self._loop.create_datagram_endpoint(
                lambda: _Listener(configuration=configuration, create_protocol=accept),
                local_addr=(host, port),
            )
        except OSError as error:
            message = f"expected to listen at {host} port {port}, found: {error}; take another"
            raise Unavailable(message, retry_after_s=5.0) from error
        _widen(transport)
        return int(transport.get_extra_info("sockname")[1])

    def connect(self, address: PeerAddress) -> None:
        """Keep up a connection to a peer from now on."""
        self._start(self._keep_connected(address))

    def watch(self) -> None:
        """Look after the connections from now on: alive, and still trusted."""
        self._start(self._watch())

    def push(self, peer: str, push: m.Push, weight_bytes: int) -> None:
        """Send writes to a peer at once, if it is connected and they are not many."""
        link = self._links.get(peer)
        if link is None:
            return
        if weight_bytes > INLINE_BYTES:
            self._send_beside(link, push, checked=True)
            return
        frame = encode(push, checked=True)  # by who wrote it here, or by decode
        link.send_urgently(frame)
        self.counts["sent_messages"] += 1
        self.counts["sent_bytes"] += len(frame)

    def send(self, peer: str, message: m.Message) -> None:
        """Send a message, if the peer is connected; large ones may arrive after small ones."""
        link = self._links.get(peer)
        if link is None or not link.open:
            return
        large = isinstance(message, m.Batch | m.Summary | m.Listing)
        # A digest says what is lost of the pushes before it: it must not overtake them.
        if large or (isinstance(message, m.Digest) and (self._encoding[link] or link.bulky)):
            self._send_beside(link, message, checked=False)
            return
        frame = encode(message)
        self.counts["sent_messages"] += 1
        self.counts["sent_bytes"] += len(frame)
        link.send(frame)

    def _send_beside(self, link: Link, message: m.Message, *, checked: bool) -> None:
        """Encode a large message in the thread beside, and send it as bulk."""
        self.counts["sent_messages"] += 1
        self._encoding[link] += 1

        def encoded(future: asyncio.Future[bytes]) -> None:
            if link in self._encoding:
                self._encoding[link] -= 1
            if future.cancelled():
                return
            if (error := future.exception()) is not None:
                link.give_up(PROTOCOL_ERROR, f"could not be encoded: {error}")
            else:
                frame = future.result()
                self.counts["sent_bytes"] += len(frame)
                link.send(frame, bulk=True)

        self._loop.run_in_executor(
            self._codec, lambda: encode(message, checked=checked)
        ).add_done_callback(encoded)

    async def sent(self) -> None:
        """Wait until large messages given so far have been encoded and handed on."""
        await self._loop.run_in_executor(self._codec, lambda: None)

    def hold(self, *, on: bool) -> None:
        """Keep all peers from sending more while the disk is behind, or let them go on."""
        self._held = on
        for link in self._links.values():
            self._steer(link)

    def ban(self, peer: str, why: str) -> None:
        """Close the connection to a peer, and do not try again for a long time."""
        self._banned[peer] = why
        if (link := self._links.get(peer)) is not None:
            link.give_up(PROTOCOL_ERROR, why)

    def snapshot(self) -> dict[str, Any]:
        """Return counts and, for each peer, its connection."""
        return {
            **self.counts,
            "round_trip_s": self.round_trips.snapshot(),
            "peers": {
                name: {
                    "outgoing": link.outgoing,
                    "round_trip_s": link.round_trip_s,
                    "sent_bytes": link.sent_bytes,
                    "received_bytes": link.received_bytes,
                    "backlog_bytes": link.backlog_bytes,
                }
                for name, link in sorted(self._links.items())
            },
        }

    async def close(self) -> None:
        """Say goodbye to all, and stop listening and connecting."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for link in list(self._links.values()):
            link.give_up(0, "this node stops")
        if self._server is not None:
            self._server.close()
        self._codec.shutdown(wait=False, cancel_futures=True)

    # Told by links.

    def opened(self, link: Link) -> None:
        """Take a proven connection, or choose between two to the same peer."""
        old = self._links.get(link.peer)
        if link.peer == self._identity.name:
            link.give_up(PROTOCOL_ERROR, "connected to itself, or to a node of the same name")
            return
        if old is not None and not self._supersedes(link, old):
            link.give_up(REPLACED, "there is a connection already")
            self._start(self._probe(old))
            return
        if old is not None:
            old.give_up(REPLACED, "a newer connection took over")
        self._links[link.peer] = link
        self._unread[link] = self._encoding[link] = 0
        self.counts["connections"] += 1
        self._changed.set()
        self._changed = asyncio.Event()
        self._steer(link)
        self._owner.joined(link.peer)

    def closed(self, link: Link) -> None:
        """Note that a connection is gone."""
        if not link.peer:
            self.counts["refused"] += 1
            self._owner.refused(link.reason)
        self._unread.pop(link, None)
        self._encoding.pop(link, None)
        if self._links.get(link.peer) is link:
            del self._links[link.peer]
            self._owner.left(link.peer, link.reason)

    def frames(self, link: Link, frames: Iterable[bytes], *, bulk: bool) -> None:
        """Decode frames: small ones at once, others beside, each kind in order."""
        for frame in frames:
            if self._links.get(link.peer) is not link:
                return
            self.counts["received_messages"] += 1
            self.counts["received_bytes"] += len(frame)
            if not bulk and len(frame) <= INLINE_BYTES:
                self._deliver(link, decode(frame))
            else:
                self._decode_beside(link, frame)

    # Inside.

    def _decode_beside(self, link: Link, frame: bytes) -> None:
        self._unread[link] += len(frame)
        self._steer(link)

        def decoded(future: asyncio.Future[m.Message]) -> None:
            if link not in self._unread or future.cancelled():
                return
            self._unread[link] -= len(frame)
            self._steer(link)
            try:
                self._deliver(link, future.result())
            except ProtocolError as error:
                link.give_up(PROTOCOL_ERROR, str(error))

        self._loop.run_in_executor(self._codec, decode, frame).add_done_callback(decoded)

    def _deliver(self, link: Link, message: m.Message) -> None:
        if self._links.get(link.peer) is not link:
            return
        try:
            self._owner.received(link.peer, message)
        except ProtocolError:
            self.counts["protocol_errors"] += 1
            raise

    def _steer(self, link: Link) -> None:
        """Let bulk come while there is room for it."""
        unread = self._unread.get(link, 0)
        if self._held or unread > MOST_UNREAD_BYTES or unread <= MOST_UNREAD_BYTES // 2:
            link.hold(bulk=self._held or unread > MOST_UNREAD_BYTES, quick=self._held)

    def _supersedes(self, new: Link, old: Link) -> bool:
        """Whether a new connection takes the place of an old one to the same peer.

        Of two that were made from both ends at once, both ends keep the one of the node whose
        name sorts first; of two from one end the newer, as that end has lost the older.
        """
        if new.outgoing == old.outgoing:
            return True
        ours = self._identity.name < new.peer
        return new.outgoing == ours

    def _link(self, quic: QuicConnection, *, outgoing: bool, settings: LinkSettings) -> Link:
        if not isinstance(quic, MutualQuic):
            raise TypeError(type(quic))
        quic.adopt(self._identity)
        return Link(quic, self, settings, outgoing=outgoing)

    def _for_host(self, host: str) -> LinkSettings:
        """Return the settings, with the datagrams that the way to a host can take."""
        known = sys.platform == "linux" and _is_loopback(host)  # others take far less there
        if self._settings.datagram_bytes or not known:
            return self._settings
        return replace(self._settings, datagram_bytes=LOOPBACK_DATAGRAM_BYTES)

    async def _keep_connected(self, address: PeerAddress) -> None:
        waits = self._waits()
        while True:
            link = self._links.get(address.name)
            if link is None:
                link = await self._dial(address)
            if link is not None:
                waits = self._waits()
                await link.finished.wait()
                self._note_distrust(address, link)
            await self._until_connected(address.name, next(waits))

    def _note_distrust(self, address: PeerAddress, link: Link) -> None:
        """Tell where a connection that we made has ended over a certificate."""
        if link.distrust and link.outgoing:
            self._owner.turned_away(
                address.name,
                f"expected {address.name} at {address.host} port {address.port} and"
                f" {self._identity.name} to take each other's certificates, found: {link.reason};"
                " both need valid ones of the same authority, and those names",
            )

    def _waits(self) -> Iterator[float]:
        return back_off_s(self._rng)

    async def _until_connected(self, peer: str, wait_s: float) -> None:
        """Wait, but not longer than until the peer has connected by itself."""
        if peer in self._banned:
            wait_s = 60.0
            del self._banned[peer]
        try:
            async with asyncio.timeout(wait_s):
                while peer not in self._links:
                    await self._changed.wait()
        except TimeoutError:
            return

    async def _dial(self, address: PeerAddress) -> Link | None:
        """Return the link to a peer once it is open, or None where it could not be reached."""
        settings = self._for_host(address.host)
        try:
            found = await self._loop.getaddrinfo(address.host, address.port, type=2)
        except OSError as error:
            self._owner.refused(f"{address.host}: {error}")
            return None
        family, target = found[0][0], found[0][4]
        quic = MutualQuic(configuration=configure(self._identity, settings, peer=address.name))
        transport, link = await self._loop.create_datagram_endpoint(
            lambda: self._link(quic, outgoing=True, settings=settings),
            local_addr=("::" if ":" in target[0] else "0.0.0.0", 0),  # noqa: S104  # to send from
            family=family,
        )
        self._start(self._close_after(link, transport))
        _widen(transport)
        link.connect(target)
        try:
            async with asyncio.timeout(_HANDSHAKE_S):
                await link.wait_connected()
        except (TimeoutError, ConnectionError):
            link.give_up(0, f"no connection to {address.name} at {address.host}")
            self._note_distrust(address, link)
        return link if link.open else self._links.get(address.name)

    async def _close_after(self, link: Link, transport: asyncio.DatagramTransport) -> None:
        try:
            await link.finished.wait()
            async with asyncio.timeout(1.0):
                await link.wait_closed()
        except TimeoutError:
            pass
        finally:
            if not link.finished.is_set():
                link.give_up(0, "this node stops")
            transport.close()

    async def _probe(self, link: Link) -> None:
        await link.alive(_PROBE_S)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._settings.idle_timeout_s / 4)
            for link in list(self._links.values()):
                self.round_trips.observe(link.round_trip_s)
                try:
                    link.check_trust()
                except Untrusted as error:
                    link.give_up(PROTOCOL_ERROR, str(error))
                else:
                    self._start(self._probe_quietly(link))

    async def _probe_quietly(self, link: Link) -> None:
        await link.alive(self._settings.idle_timeout_s)

    def _start(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _widen(transport: asyncio.DatagramTransport) -> None:
    """Give a socket room for bursts, as much as the system allows."""
    found = transport.get_extra_info("socket")
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        found.setsockopt(socket.SOL_SOCKET, option, _SOCKET_BYTES)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
