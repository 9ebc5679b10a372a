"""aioquic, with what its servers leave out and its windows bounded.

Its servers ask for no certificate; its windows double with every window of data; it spreads
small messages like large ones, and acknowledges each datagram by one of its own a millisecond
later.
"""

from __future__ import annotations

import math
from typing import Any, cast

from aioquic import tls
from aioquic._buffer import Buffer
from aioquic.buffer import size_uint_var
from aioquic.quic.packet import QuicFrameType
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.quic.recovery import QuicPacketPacer, QuicPacketSpace
from aioquic.quic.stream import QuicStream

from cellhive.adapters.quic.identity import Identity, Untrusted
from cellhive.adapters.quic.short import ShortQuic

WINDOW_BYTES = 4 << 20
"""What a peer may have under way in one stream."""
SOON_ACK_S, LAZY_ACK_S = 0.001, 0.022
"""How long acknowledgements wait, of large datagrams and of small ones; peers reckon with 25 ms."""
RIPE_ACK_S = 0.014
"""How long they wait at least, to go right behind a message: the next one is farthest away then."""

_LARGE_BYTES = 1_100
_CREDIT_FRAME_BYTES = 17
_OFFSET_BYTES = 8
_LENGTH_IN_FOUR = 0x8000_0000


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


class MutualQuic(ShortQuic):
    """A QUIC connection in which the server verifies the client, too, inside the handshake."""

    identity: Identity

    def adopt(self, identity: Identity) -> None:
        """Set who we are; two streams per peer, and not one more, in one direction only."""
        self.identity = identity
        self.held: set[int] = set()
        self._pacer = self._loss._pacer = BulkPacer(max_datagram_size=self._max_datagram_size)
        self._measure_round_trip = self._loss._cc.on_rtt_measurement
        self._loss._cc.on_rtt_measurement = self._judge_round_trip  # type: ignore[method-assign]  # no hook
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

    def acknowledge_lazily(self) -> None:
        """Let acknowledgements of small datagrams wait for company from now on."""
        self._ack_delay = LAZY_ACK_S

    def ripe(self, now: float) -> bool:
        """Whether an acknowledgement has waited long enough to go behind a message."""
        ack_at = self._loss.spaces[-1].ack_at
        return ack_at is not None and ack_at - now <= LAZY_ACK_S - RIPE_ACK_S

    def acknowledge_along(self, now: float) -> None:
        """Let a waiting acknowledgement go with the next datagram."""
        space = self._loss.spaces[-1]
        if space.ack_at is not None and space.ack_at > now:
            space.ack_at = now

    def receive_datagram(self, data: bytes, addr: Any, now: float) -> None:
        """Take a datagram; a large one is of bulk, whose sender waits for the answer."""
        super().receive_datagram(data, addr, now)
        if len(data) >= _LARGE_BYTES:
            space = self._loss.spaces[-1]
            if space.ack_at is not None and space.ack_at > now + SOON_ACK_S:
                space.ack_at = now + SOON_ACK_S

    @property
    def round_trip_s(self) -> float:
        """Shortest round trip so far, in which nothing waited [s]; 0 before the first."""
        shortest = self._loss._rtt_min
        return shortest if math.isfinite(shortest) else 0.0

    def _judge_round_trip(self, *, now: float, rtt: float) -> None:
        """Tell congestion control of bulk only: other acknowledgements wait, which is no jam."""
        if self._pacer.bulk:
            self._measure_round_trip(now=now, rtt=rtt)

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

    def _write_stream_frame(
        self,
        builder: QuicPacketBuilder,
        space: QuicPacketSpace,
        stream: QuicStream,
        max_offset: int,
    ) -> int:
        """Fill what is left of a datagram; the library's length field ends at 16,383 bytes."""
        sender = stream.sender
        overhead = 1 + 4 + size_uint_var(cast(int, stream.stream_id)) + _OFFSET_BYTES
        before = sender.highest_offset
        frame = sender.get_frame(builder.remaining_flight_space - overhead, max_offset)
        if frame is None:
            return 0
        size = len(frame.data)
        buffer = builder.start_frame(
            QuicFrameType.STREAM_BASE | 4 | 2 | int(frame.fin),
            capacity=overhead,
            handler=sender.on_data_delivery,
            handler_args=(frame.offset, frame.offset + size, frame.fin),
        )
        buffer.push_uint_var(cast(int, stream.stream_id))
        buffer.push_uint_var(frame.offset)
        buffer.push_uint32(size | _LENGTH_IN_FOUR)
        buffer.push_bytes(frame.data)
        return sender.highest_offset - before

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
