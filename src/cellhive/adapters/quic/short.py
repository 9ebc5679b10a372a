"""The short way of one small message through aioquic: one frame, one packet, one datagram.

A record on its way to a search is worth a third of a millisecond, and the library looks at
all that could be said or could have come for every datagram. What is written here says and
takes the usual case only: the next datagram of a connection at rest, with the next bytes of
one stream. For anything else it changes nothing and leaves the datagram to the library, and
what it does in the usual case is what the library would have done (RFC 9000, 12 to 14 and
19.8).
"""

from __future__ import annotations

from aioquic import tls
from aioquic._crypto import CryptoError
from aioquic.quic.connection import END_STATES, NetworkAddress, QuicConnection
from aioquic.quic.crypto import CryptoPair
from aioquic.quic.packet import QuicPacketType, decode_packet_number
from aioquic.quic.packet_builder import QuicSentPacket
from aioquic.quic.recovery import QuicPacketSpace

MOST_BYTES = 1_100
"""Longest message on this way: it fits into a datagram that passes everywhere."""

_OVERHEAD_BYTES = 64
_FIXED, _SPIN, _RESERVED, _PHASE, _NUMBER_LENGTH = 0x40, 0x20, 0x18, 0x04, 0x03
_LONG = 0x80
_STREAM = 0x0E
"""Type of a frame with stream, offset, length and data, not the last of its stream."""
_LENGTH_IN_TWO, _OFFSET_IN_EIGHT = 0x4000, 0xC000 << 48
_HEAD_BYTES = 12
"""Of a stream frame as written here: type, stream, eight of offset, two of length."""
_ONE_RTT = tls.Epoch.ONE_RTT


class ShortQuic(QuicConnection):
    """A connection with a way for small messages that avoids most of the library."""

    _one_rtt: tuple[CryptoPair, QuicPacketSpace] | None = None
    """Keys and numbers once the handshake is confirmed; they stay the same objects."""

    def datagram_of(
        self, stream_id: int, message: bytes, now: float
    ) -> tuple[bytes, NetworkAddress] | None:
        """Write a message to a stream and return the datagram that carries just that.

        None where something else has to be said first, or may not be said yet: then nothing
        is written.
        """
        stream = self._streams.get(stream_id)
        size = len(message)
        if stream is None or size > MOST_BYTES or not self._handshake_confirmed:
            return None
        sender, path, loss = stream.sender, self._network_paths[0], self._loss
        start = sender._buffer_stop
        stop = start + size
        in_flight = loss._cc.bytes_in_flight + size + _OVERHEAD_BYTES
        if (
            self._close_pending
            or self._state in END_STATES
            or not path.is_validated
            or stream.is_blocked
            or len(sender._pending)
            or in_flight > loss._cc.congestion_window
            or stop > stream.max_stream_data_remote
            or self._remote_max_data_used + size > self._remote_max_data
        ):
            return None
        sender._buffer += message
        sender._buffer_stop = sender.highest_offset = stop
        self._remote_max_data_used += size
        number = self._packet_number
        self._packet_number = number + 1
        crypto, space = self._one_rtt or self._find_one_rtt()
        first = _FIXED | self._spin_bit << 5 | crypto.key_phase << 2 | 1
        head = bytes((first,)) + self._peer_cid.cid + (number & 0xFFFF).to_bytes(2, "big")
        frame = (
            bytes((_STREAM, stream_id))
            + (start | _OFFSET_IN_EIGHT).to_bytes(8, "big")
            + (size | _LENGTH_IN_TWO).to_bytes(2, "big")
            + message
        )
        datagram = crypto.encrypt_packet(head, frame, number)
        packet = QuicSentPacket(
            _ONE_RTT, True, True, False, number, QuicPacketType.ONE_RTT, now, len(datagram),
            [(sender.on_data_delivery, (start, stop, False))],
        )  # fmt: skip
        loss.on_packet_sent(packet=packet, space=space)
        if not self._ack_eliciting_sent_since_receipt:
            self._close_at = now + self._idle_timeout()
            self._ack_eliciting_sent_since_receipt = True
        path.bytes_sent += len(datagram)
        return datagram, path.addr

    def message_of(self, data: bytes, addr: NetworkAddress, now: float) -> tuple[int, bytes] | None:
        """Take a datagram that holds the next bytes of one stream: return stream and bytes.

        None for any other datagram: then nothing is taken and ``receive_datagram`` has to.
        Afterwards tell ``stay_open``.
        """
        paths, own = self._network_paths, self.host_cid
        number_at = 1 + len(own)
        if (
            not self._handshake_confirmed
            or self._close_pending
            or self._state in END_STATES
            or len(data) < number_at + 4 + 16 + _HEAD_BYTES
            or data[0] & (_LONG | _FIXED) != _FIXED
            or not data.startswith(own, 1)
            or paths[0].addr != addr
            or not paths[0].is_validated
        ):
            return None
        crypto, space = self._one_rtt or self._find_one_rtt()
        keys = crypto.recv
        if keys.hp is None or keys.aead is None:
            return None
        head, number = keys.hp.remove(data, number_at)
        bits = head[0]
        length = 8 * ((bits & _NUMBER_LENGTH) + 1)
        number = decode_packet_number(number, length, space.expected_packet_number)
        if (
            bits & _RESERVED
            or (bits & _PHASE) >> 2 != keys.key_phase
            or number != space.largest_received_packet + 1  # late, or again, or after a gap
        ):
            return None
        try:
            taken = self._next_bytes(keys.aead.decrypt(data[len(head) :], head, number))
        except CryptoError:
            return None
        if taken is None:
            return None
        # What the library notes of every packet that was taken.
        space.largest_received_packet, space.largest_received_time = number, now
        space.expected_packet_number = number + 1
        space.received_packets.add(number)
        space.ack_queue.add(number, number + 1)
        if space.ack_at is None:
            space.ack_at = now + self._ack_delay
        self._spin_bit = bool(bits & _SPIN) != self._is_client
        self._spin_highest_pn = number
        return taken

    def _find_one_rtt(self) -> tuple[CryptoPair, QuicPacketSpace]:
        self._one_rtt = self._cryptos[_ONE_RTT], self._spaces[_ONE_RTT]
        return self._one_rtt

    def stay_open(self, now: float) -> None:
        """Count the time of silence anew, after a message was taken."""
        self._close_at = now + self._idle_timeout()
        self._ack_eliciting_sent_since_receipt = False

    def _next_bytes(self, frame: bytes) -> tuple[int, bytes] | None:
        """Take a payload that is one stream frame, in order and within its limits."""
        if len(frame) <= _HEAD_BYTES or frame[0] != _STREAM or frame[1] >= _FIXED:
            return None
        start = int.from_bytes(frame[2:10], "big") ^ _OFFSET_IN_EIGHT
        size = int.from_bytes(frame[10:12], "big") ^ _LENGTH_IN_TWO
        stream = self._streams.get(frame[1])
        if stream is None or size != len(frame) - _HEAD_BYTES:
            return None
        receiver, used = stream.receiver, self._local_max_data
        if (
            start != receiver._buffer_start
            or start != receiver.highest_offset
            or receiver._buffer
            or receiver.is_finished
            or receiver._final_size is not None
            or start + size > stream.max_stream_data_local
            or used.used + size > used.value
        ):
            return None
        receiver._buffer_start = receiver.highest_offset = start + size
        used.used += size
        return frame[1], frame[_HEAD_BYTES:]
