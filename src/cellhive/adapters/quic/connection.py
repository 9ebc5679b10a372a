"""One connection: QUIC with certificates at both ends, and messages in its streams.

Each end opens two streams towards the other: one for messages that must be quick, and one
for bulk, so that a long transfer does not stand in front of a small write. aioquic does the
protocol (``mutual``).
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.quic import events
from aioquic.quic.configuration import SMALLEST_MAX_DATAGRAM_SIZE, QuicConfiguration

from cellhive.adapters.quic.congestion import register
from cellhive.adapters.quic.identity import Identity, Untrusted
from cellhive.adapters.quic.mutual import SOON_ACK_S, WINDOW_BYTES, MutualQuic
from cellhive.adapters.quic.pacing import TokenBucket
from cellhive.core.errors import ProtocolError
from cellhive.memory.codec import Frames

ALPN = "cellhive-memory/1"
IN_FLIGHT_BYTES = 1 << 20
"""Bulk handed to QUIC that is not acknowledged yet; more would only fill memory."""
MOST_QUICK_FRAME_BYTES = 8 << 20
"""Longest frame in the stream for quick messages; bulk may be what the codec allows."""
PROTOCOL_ERROR, TOO_SLOW, REPLACED = 1, 2, 3
"""Codes of a close, seen by the peer."""

_TLS_ALERTS = frozenset(0x100 + alert for alert in (40, 41, *range(42, 50), 51, 112, 113, 116))
"""Codes of a close because of a certificate (RFC 9001, 4.8; RFC 8446, 6.2)."""
_PIECE_BYTES = 128 << 10
_CLOCK_S = 0.001
_SHORT_BYTES = 1_200
"""Datagrams up to this size may hold a message that goes the short way."""
_BEHIND_S = 0.001
"""How long a peer is given to take a message before what is not urgent follows."""
_SOONEST_PROBE_S = 0.025
"""What was sent now is not sent again before; it includes the delay that peers may take."""


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """How connections behave."""

    datagram_bytes: int = 0
    """Largest UDP payload sent; 0 for what passes everywhere, and for more on loopback."""
    idle_timeout_s: float = 5.0
    """Silence after which a peer counts as gone."""
    bandwidth_bytes_s: float = float("inf")
    """Bulk sent to one peer, on average [bytes/s]."""
    congestion: str = register()
    """How fast to send: a name that aioquic knows."""
    most_waiting_bytes: int = 64 << 20
    """Messages waiting for a peer that takes none; above, the connection is given up."""


def configure(identity: Identity, settings: LinkSettings, *, peer: str = "") -> QuicConfiguration:
    """Return aioquic's settings: of a client of that peer, or of a server."""
    configuration = QuicConfiguration(
        is_client=bool(peer),
        alpn_protocols=[ALPN],
        cadata=identity.authority_pem,
        congestion_control_algorithm=settings.congestion,
        idle_timeout=settings.idle_timeout_s,
        max_data=2 * WINDOW_BYTES,
        max_stream_data=WINDOW_BYTES,
        max_datagram_size=settings.datagram_bytes or SMALLEST_MAX_DATAGRAM_SIZE,
        server_name=peer or None,
        verify_mode=ssl.CERT_REQUIRED,
    )
    configuration.certificate = identity.certificate
    configuration.private_key = identity.key
    return configuration


def _looked_at(waiter: asyncio.Future[None]) -> None:
    """Count an answer as taken: asyncio complains of errors that nobody has looked at."""
    if not waiter.cancelled():
        waiter.exception()


class LinkEvents:
    """What a link tells its owner; each call is quick."""

    def opened(self, link: Link) -> None:
        """The handshake is done and ``link.peer`` is proven."""

    def frames(self, link: Link, frames: Iterable[bytes], *, bulk: bool) -> None:
        """Whole frames have come; raise ProtocolError to close the connection."""

    def closed(self, link: Link) -> None:
        """The connection is gone; ``link.reason`` says why."""


class Link(QuicConnectionProtocol):
    """A connection to one peer that carries frames."""

    _quic: MutualQuic

    def __init__(
        self, quic: MutualQuic, owner: LinkEvents, settings: LinkSettings, *, outgoing: bool
    ) -> None:
        """Wrap a connection that has not begun its handshake.

        Args:
            quic: The protocol.
            owner: Who is told.
            settings: How to behave.
            outgoing: Whether we connected to the peer.
        """
        super().__init__(quic, None)
        self.peer = ""
        self.outgoing = outgoing
        self.reason = ""
        self.distrust = False
        """Whether one of the two did not take the other's certificate."""
        self.sent_bytes = self.received_bytes = 0
        self.finished = asyncio.Event()
        self._owner = owner
        self._most_waiting = settings.most_waiting_bytes
        first = 2 if outgoing else 3
        self._quick, self._bulk = first, first + 4
        theirs = 3 if outgoing else 2
        self._cutters = {theirs: Frames(MOST_QUICK_FRAME_BYTES), theirs + 4: Frames()}
        self._bulk_in = theirs + 4
        self._waiting: deque[memoryview] = deque()
        self._waiting_bytes = 0
        self._bucket = TokenBucket(settings.bandwidth_bytes_s, settings.bandwidth_bytes_s / 10)
        self._pump_at: asyncio.TimerHandle | None = None
        self._ack_at: asyncio.TimerHandle | None = None
        self._due_s: float | None = None
        self._closing = self._sent_in_turn = False

    @property
    def round_trip_s(self) -> float:
        """Shortest round trip so far [s]."""
        return self._quic.round_trip_s

    @property
    def open(self) -> bool:
        """Whether frames can be sent."""
        return bool(self.peer) and not self._closing

    @property
    def bulky(self) -> bool:
        """Whether bulk is on its way to the peer."""
        return bool(self._waiting) or self._quic.unacknowledged_bytes(self._bulk) > 0

    @property
    def backlog_bytes(self) -> int:
        """What waits here for the peer [bytes]."""
        quic = self._quic
        under_way = quic.unacknowledged_bytes(self._quick) + quic.unacknowledged_bytes(self._bulk)
        return self._waiting_bytes + under_way

    def send(self, frame: bytes, *, bulk: bool = False) -> None:
        """Send a frame; frames of one kind, bulk or not, arrive in order.

        A peer that lets too much pile up is disconnected: it catches up when it is back.
        """
        if not self.open:
            return
        if self.backlog_bytes + len(frame) > self._most_waiting:
            self.give_up(TOO_SLOW, f"more than {self._most_waiting} bytes wait for the peer")
            return
        self.sent_bytes += len(frame)
        if not bulk:
            self._quic.send_stream_data(self._quick, frame)
            self._quic.acknowledge_along(self._loop.time())
            self._transmit_soon()
            return
        view = memoryview(frame)
        pieces = [view[i : i + _PIECE_BYTES] for i in range(0, len(view), _PIECE_BYTES)]
        self._waiting.extend(pieces)
        self._waiting_bytes += len(frame)
        self._pump()

    def send_urgently(self, frame: bytes) -> None:
        """Send a frame like other small ones, but at once where it is the first in a turn.

        What follows in the same turn of the event loop goes together.
        """
        if not (self._sent_in_turn or self._closing) and self.peer:
            found = self._quic.datagram_of(self._quick, frame)
            if found is not None:
                try:
                    self._transport.sendto(*found)  # type: ignore[union-attr]  # it is connected
                finally:
                    now_s = self._loop.time()
                    self._quic.note_sent(now_s)
                self.sent_bytes += len(frame)
                self._sent_in_turn = True
                self._loop.call_soon(self._end_turn)
                if self._timer_at is None or self._timer_at > now_s + _SOONEST_PROBE_S:
                    self._wake_when_due()
                return
        self.send(frame)

    def hold(self, *, bulk: bool, quick: bool = False) -> None:
        """Say of both streams whether the peer has to pause; what is under way still comes."""
        streams = {self._bulk_in: bulk, self._bulk_in - 4: quick}
        held = {stream for stream, pause in streams.items() if pause}
        if held != self._quic.held:
            self._quic.held = held
            self._transmit_soon()

    def check_trust(self) -> None:
        """Raise Untrusted where the peer's certificate is no longer valid."""
        self._quic.peer_name  # noqa: B018  # verifies

    async def alive(self, timeout_s: float) -> bool:
        """Return whether the peer answers within a time [s]; close the connection if not."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.ping()
        except (TimeoutError, ConnectionError):
            self.give_up(0, f"no answer within {timeout_s:g} s")
            return False
        finally:
            for waiter in self._ping_waiters.values():  # nobody may be left to be told
                waiter.add_done_callback(_looked_at)
        return True

    def give_up(self, code: int, reason: str) -> None:
        """Close the connection and say why."""
        if self._closing:
            return
        self._closing = True
        self.reason = self.reason or reason
        self.close(error_code=code, reason_phrase=reason[:200])
        self._end()

    def transmit(self) -> None:
        """Send what is due, and refill from what waits."""
        self._transmit(self._loop.time())

    def datagram_received(self, data: bytes | str, addr: Any) -> None:
        """Take a datagram; what is to be said to it goes once all that have come are read."""
        datagram: bytes = data  # type: ignore[assignment]  # of text never, here
        if len(datagram) <= _SHORT_BYTES:
            found = self._quic.message_of(datagram, addr)
            if found is not None:
                try:
                    self._take(*found)
                finally:
                    now_s = self._loop.time()
                    self._quic.note_taken(now_s)
                if self._timer_at is None or self._timer_at > now_s + SOON_ACK_S:
                    self._wake_when_due()
                return
        self._quic.receive_datagram(datagram, addr, self._loop.time())
        self._process_events()
        self._transmit_soon()

    def quic_event_received(self, event: events.QuicEvent) -> None:
        """Take what the protocol tells."""
        if isinstance(event, events.StreamDataReceived):
            if event.end_stream:
                self.give_up(PROTOCOL_ERROR, "streams last as long as the connection")
            else:
                self._take(event.stream_id, event.data)
        elif isinstance(event, events.HandshakeCompleted):
            try:
                self.peer = self._quic.peer_name
            except Untrusted as error:
                self.distrust = True
                self.give_up(PROTOCOL_ERROR, str(error))
                return
            self._quic.acknowledge_lazily()
            self._owner.opened(self)
        elif isinstance(event, events.ConnectionTerminated):
            self._closing = True
            self.distrust = self.distrust or event.error_code in _TLS_ALERTS
            self.reason = self.reason or event.reason_phrase or f"code {event.error_code}"
            self._end()
        elif isinstance(event, events.StreamReset | events.StopSendingReceived):
            self.give_up(PROTOCOL_ERROR, "streams last as long as the connection")

    def _take(self, stream: int, data: bytes) -> None:
        if self._closing:
            return
        cutter = self._cutters.get(stream)
        if cutter is None or not self.peer:
            self.give_up(PROTOCOL_ERROR, f"stream {stream} is none of two lasting ones")
            return
        self.received_bytes += len(data)
        try:
            self._owner.frames(self, cutter.feed(data), bulk=stream == self._bulk_in)
        except ProtocolError as error:
            self.give_up(PROTOCOL_ERROR, str(error))

    @property
    def _wire(self) -> asyncio.DatagramTransport:
        return cast(asyncio.DatagramTransport, self._transport)

    def _transmit(self, now_s: float) -> None:
        self._transmit_task = None
        self._quic.pace(bulk=self._quic.unacknowledged_bytes(self._bulk) > 0)
        for data, address in self._quic.datagrams_to_send(now_s):
            self._wire.sendto(data, address)
        self._wake_when_due()
        if self._waiting and self._pump_at is None:
            self._pump()

    def _wake_when_due(self) -> None:
        """Set the timer, or leave it where it comes early enough: most are put off again."""
        self._due_s = self._quic.get_timer()
        if self._timer is not None:
            if self._due_s is not None and cast(float, self._timer_at) <= self._due_s:
                return
            self._timer.cancel()
            self._timer = self._timer_at = None
        if self._due_s is not None:
            self._timer = self._loop.call_at(self._due_s, self._handle_timer)
            self._timer_at = self._due_s

    def _handle_timer(self) -> None:
        """Do what is due; the loop's clock counts milliseconds, so it may seem too early."""
        self._timer = self._timer_at = None
        now_s = self._loop.time()
        if self._due_s is not None and now_s + _CLOCK_S >= self._due_s:
            now_s = max(now_s, self._due_s)
            self._quic.handle_timer(now_s)
            self._process_events()
            self._transmit(now_s)
        else:
            self._wake_when_due()

    def _end_turn(self) -> None:
        """Let an acknowledgement go soon, behind a message, before a timer rings in front of one.

        Not at once: the peer may share the processor, and has the message to take.
        """
        self._sent_in_turn = False
        if self._ack_at is None and self._quic.ripe(self._loop.time()):
            self._ack_at = self._loop.call_later(_BEHIND_S, self._acknowledge)

    def _acknowledge(self) -> None:
        self._ack_at = None
        if not self._closing:
            now_s = self._loop.time()
            self._quic.acknowledge_along(now_s)
            self._transmit(now_s)

    def _pump(self) -> None:
        """Hand waiting bulk to QUIC, as much as is in flight and allowed by the limit."""
        handed = False
        while self._waiting and self._quic.unacknowledged_bytes(self._bulk) < IN_FLIGHT_BYTES:
            wait_s = self._bucket.wait_s(len(self._waiting[0]), self._loop.time())
            if wait_s:
                if self._pump_at is None:
                    self._pump_at = self._loop.call_later(wait_s, self._pump_again)
                break
            piece = self._waiting.popleft()
            self._waiting_bytes -= len(piece)
            self._quic.send_stream_data(self._bulk, bytes(piece))
            handed = True
        if handed:
            self._transmit_soon()

    def _pump_again(self) -> None:
        self._pump_at = None
        if not self._closing:
            self._pump()

    def _end(self) -> None:
        """Tell once that it is over, and let go of what waited."""
        if self.finished.is_set():
            return
        self.finished.set()
        self._waiting.clear()
        self._waiting_bytes = 0
        for timer in (self._pump_at, self._ack_at):
            if timer is not None:
                timer.cancel()
        self._owner.closed(self)
