"""One connection: QUIC with certificates at both ends, and messages in its streams.

Each end opens two streams towards the other: one for messages that must be quick, and one
for bulk, so that a long transfer does not stand in front of a small write. aioquic does the
protocol; ``MutualQuic`` adds what its servers leave out (they ask for no certificate) and
keeps its windows bounded (its own double with every window of data).
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from aioquic import tls
from aioquic._buffer import Buffer
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.quic import events
from aioquic.quic.configuration import SMALLEST_MAX_DATAGRAM_SIZE, QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import QuicFrameType
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.quic.recovery import QuicPacketPacer, QuicPacketSpace
from aioquic.quic.stream import QuicStream

from cellhive.adapters.quic.identity import Identity, Untrusted
from cellhive.adapters.quic.pacing import TokenBucket
from cellhive.core.errors import ProtocolError
from cellhive.memory.codec import Frames

ALPN = "cellhive-memory/1"
WINDOW_BYTES = 4 << 20
"""What a peer may have under way in one stream."""
IN_FLIGHT_BYTES = 1 << 20
"""Bulk handed to QUIC that is not acknowledged yet; more would only fill memory."""
MOST_QUICK_FRAME_BYTES = 8 << 20
"""Longest frame in the stream for quick messages; bulk may be what the codec allows."""
PROTOCOL_ERROR, TOO_SLOW, REPLACED = 1, 2, 3
"""Codes of a close, seen by the peer."""

_CREDIT_FRAME_BYTES = 17
_PIECE_BYTES = 128 << 10


class BulkPacer(QuicPacketPacer):
    """Spreads datagrams over a round trip while there is bulk, and holds nothing back else.

    The library's counts every datagram as a full one, so a stream of small messages would
    wait for a rate that they are far from using.
    """

    bulk = False

    def next_send_time(self, now: float) -> float:
        """Return when the next datagram may go; None for now."""
        return super().next_send_time(now) if self.bulk else cast(float, None)

    def update_after_send(self, now: float) -> None:
        """Count a datagram."""
        if self.bulk:
            super().update_after_send(now)


class MutualQuic(QuicConnection):
    """A QUIC connection in which the server verifies the client, too, inside the handshake."""

    identity: Identity

    def adopt(self, identity: Identity) -> None:
        """Set who we are; two streams per peer, and not one more, in one direction only."""
        self.identity = identity
        self.held: set[int] = set()
        self._pacer = self._loss._pacer = BulkPacer(max_datagram_size=self._max_datagram_size)
        self._local_max_streams_bidi.value = self._local_max_streams_bidi.sent = 0
        self._local_max_streams_uni.value = self._local_max_streams_uni.sent = 2

    @property
    def peer_name(self) -> str:
        """Name in the peer's verified certificate; raise Untrusted where there is none."""
        certificate = self.tls._peer_certificate
        if certificate is None:
            message = "expected a certificate, found a peer without one; give it an identity"
            raise Untrusted(message)
        return self.identity.verify(certificate, self.tls._peer_certificate_chain)

    def unacknowledged_bytes(self, stream_id: int) -> int:
        """Return what has been written to a stream and not yet been acknowledged."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return 0
        return stream.sender._buffer_stop - stream.sender._buffer_start

    def pace(self, *, bulk: bool) -> None:
        """Say whether there is bulk to be spread out."""
        self._pacer.bulk = bulk

    @property
    def round_trip_s(self) -> float:
        """Smoothed round-trip time [s]; 0 before the first sample."""
        return self._loss._rtt_smoothed

    def _initialize(self, peer_cid: bytes) -> None:
        super()._initialize(peer_cid)
        if self._is_client:
            return
        context = self.tls
        context._request_client_certificate = True
        take, prove = context._server_handle_certificate, context._server_handle_certificate_verify

        def take_certificate(input_buf: Buffer) -> None:
            take(input_buf)
            if context._peer_certificate is None:
                reason = "a client certificate is required"
                raise tls.AlertHandshakeFailure(reason)

        def verify_certificate(input_buf: Buffer) -> None:
            prove(input_buf)
            try:
                _ = self.peer_name
            except Untrusted as error:
                raise tls.AlertBadCertificate(str(error)[:200]) from error

        context._server_handle_certificate = take_certificate  # type: ignore[method-assign]  # no hook
        context._server_handle_certificate_verify = verify_certificate  # type: ignore[method-assign]  # no hook

    def _write_stream_limits(
        self, builder: QuicPacketBuilder, space: QuicPacketSpace, stream: QuicStream
    ) -> None:
        """Let the peer go on where the application has taken what came before."""
        if not stream.max_stream_data_local:
            return
        if stream.stream_id not in self.held:
            limit = stream.receiver.starting_offset() + WINDOW_BYTES
            if limit - stream.max_stream_data_local >= WINDOW_BYTES // 4:
                stream.max_stream_data_local = limit
        if stream.max_stream_data_local_sent != stream.max_stream_data_local:
            buffer = builder.start_frame(
                QuicFrameType.MAX_STREAM_DATA,
                capacity=_CREDIT_FRAME_BYTES,
                handler=self._on_max_stream_data_delivery,
                handler_args=(stream,),
            )
            buffer.push_uint_var(cast(int, stream.stream_id))
            buffer.push_uint_var(stream.max_stream_data_local)
            stream.max_stream_data_local_sent = stream.max_stream_data_local

    def _write_connection_limits(self, builder: QuicPacketBuilder, space: QuicPacketSpace) -> None:
        """Keep two windows open over both streams; no more streams than at the start."""
        limit = self._local_max_data
        if limit.used + 2 * WINDOW_BYTES - limit.value >= WINDOW_BYTES // 2:
            limit.value = limit.used + 2 * WINDOW_BYTES
        if limit.value != limit.sent:
            buffer = builder.start_frame(
                limit.frame_type,
                capacity=_CREDIT_FRAME_BYTES,
                handler=self._on_connection_limit_delivery,
                handler_args=(limit,),
            )
            buffer.push_uint_var(limit.value)
            limit.sent = limit.value


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """How connections behave."""

    datagram_bytes: int = 0
    """Largest UDP payload sent; 0 for what passes everywhere, and for more on loopback."""
    idle_timeout_s: float = 5.0
    """Silence after which a peer counts as gone."""
    bandwidth_bytes_s: float = float("inf")
    """Bulk sent to one peer, on average [bytes/s]."""
    congestion: str = "cubic"
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
        self._closing = self._sent_in_turn = False

    @property
    def round_trip_s(self) -> float:
        """Smoothed round-trip time [s]."""
        return self._quic.round_trip_s

    @property
    def open(self) -> bool:
        """Whether frames can be sent."""
        return bool(self.peer) and not self._closing

    @property
    def backlog_bytes(self) -> int:
        """What waits here for the peer [bytes]."""
        quic = self._quic
        under_way = quic.unacknowledged_bytes(self._quick) + quic.unacknowledged_bytes(self._bulk)
        return self._waiting_bytes + under_way

    def send(self, frame: bytes, *, bulk: bool = False) -> None:
        """Send a frame; frames of one kind arrive in order.

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
            self._transmit_now()
            return
        view = memoryview(frame)
        pieces = [view[i : i + _PIECE_BYTES] for i in range(0, len(view), _PIECE_BYTES)]
        self._waiting.extend(pieces)
        self._waiting_bytes += len(frame)
        self._pump()

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
        self._quic.pace(bulk=self._quic.unacknowledged_bytes(self._bulk) > 0)
        super().transmit()
        if self._waiting and self._pump_at is None:
            self._pump()

    def quic_event_received(self, event: events.QuicEvent) -> None:
        """Take what the protocol tells."""
        if isinstance(event, events.StreamDataReceived):
            self._take(event)
        elif isinstance(event, events.HandshakeCompleted):
            try:
                self.peer = self._quic.peer_name
            except Untrusted as error:
                self.give_up(PROTOCOL_ERROR, str(error))
                return
            self._owner.opened(self)
        elif isinstance(event, events.ConnectionTerminated):
            self._closing = True
            self.reason = self.reason or event.reason_phrase or f"code {event.error_code}"
            self._end()
        elif isinstance(event, events.StreamReset | events.StopSendingReceived):
            self.give_up(PROTOCOL_ERROR, "streams last as long as the connection")

    def _take(self, event: events.StreamDataReceived) -> None:
        if self._closing:
            return
        cutter = self._cutters.get(event.stream_id)
        if cutter is None or not self.peer or event.end_stream:
            self.give_up(PROTOCOL_ERROR, f"stream {event.stream_id} is none of two lasting ones")
            return
        self.received_bytes += len(event.data)
        try:
            bulk = event.stream_id == self._bulk_in
            self._owner.frames(self, cutter.feed(event.data), bulk=bulk)
        except ProtocolError as error:
            self.give_up(PROTOCOL_ERROR, str(error))

    def _transmit_now(self) -> None:
        """Send at once what is first in a turn of the event loop; what follows goes together."""
        if self._sent_in_turn:
            self._transmit_soon()
        else:
            self._sent_in_turn = True
            self._loop.call_soon(self._end_turn)
            self.transmit()

    def _end_turn(self) -> None:
        self._sent_in_turn = False

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
        if self._pump_at is not None:
            self._pump_at.cancel()
        self._owner.closed(self)
