"""The short way of one small message through aioquic: one frame, one packet, one datagram.

A record on its way to a search is worth a third of a millisecond, and the library looks at
all that could be said or could have come for every datagram. What is written here says and
takes the usual case only: the next datagram of a connection at rest, with the next bytes of
one stream. For anything else it changes nothing and leaves the datagram to the library, and
what it does in the usual case is what the library would have done (RFC 9000, 12 to 14 and
19.8; RFC 9001, 5.3 and 5.4).

Between two records a processor's caches forget this code, so what a record waits for is less
the work than how many functions it passes through: those here are long on purpose, and
nothing stands before a datagram is sent, or a message delivered, that may come after.
"""

from __future__ import annotations

from aioquic import tls
from aioquic.quic.connection import NetworkAddress, QuicConnection, QuicConnectionState
from aioquic.quic.crypto import CryptoPair
from aioquic.quic.packet import QuicPacketType
from aioquic.quic.packet_builder import QuicSentPacket
from aioquic.quic.recovery import QuicPacketSpace
from cryptography.exceptions import InvalidTag

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
_NUMBER_BYTES, _NUMBERS = 2, 0xFFFF
"""Of a packet's number as written here, and read."""
_SAMPLE_FROM, _SAMPLE_BYTES = 4, 16
"""What masks a head: bytes this far behind the beginning of its number (RFC 9001, 5.4.2)."""
_MASKED, _NONCE_BYTES, _TAG_BYTES = 0x1F, 12, 16
_LEAST_BYTES = _NUMBER_BYTES + _HEAD_BYTES + 1 + _TAG_BYTES
_ONE_RTT = tls.Epoch.ONE_RTT
_CONNECTED = QuicConnectionState.CONNECTED


class ShortQuic(QuicConnection):
    """A connection with a way for small messages that avoids most of the library."""

    _one_rtt: tuple[CryptoPair, QuicPacketSpace] | None = None
    """Keys and numbers once the handshake is confirmed, which stay the same objects.

    None before, and where the keys are not of AES: another cipher masks in another way.
    """
    _taken = -1, False
    """Number and spin of a packet of which a message has been taken."""
    _sent = 0, 0, 0, 0, 0
    """Of the datagram written: packet, size, stream, and what it carries of that, from and to."""

    def datagram_of(self, stream_id: int, message: bytes) -> tuple[bytes, NetworkAddress] | None:
        """Write a message to a stream and return the datagram that carries just that.

        None where something else has to be said first, or may not be said yet: then nothing
        is written. Afterwards, and once it is on its way, tell ``note_sent``.
        """
        stream = self._streams.get(stream_id)
        size = len(message)
        known = self._one_rtt or self._find_one_rtt()
        if stream is None or size > MOST_BYTES or known is None:
            return None
        crypto, keys = known[0], known[0].send
        sender, path, control = stream.sender, self._network_paths[0], self._loss._cc
        start = sender._buffer_stop
        stop = start + size
        if (
            self._close_pending
            or self._state is not _CONNECTED
            or not path.is_validated
            or stream.is_blocked
            or len(sender._pending)
            or control.bytes_in_flight + size + _OVERHEAD_BYTES > control.congestion_window
            or stop > stream.max_stream_data_remote
            or self._remote_max_data_used + size > self._remote_max_data
            or crypto._update_key_requested
            or keys.aead is None
            or keys.hp is None
        ):
            return None
        sender._buffer += message
        sender._buffer_stop = sender.highest_offset = stop
        self._remote_max_data_used += size
        number = self._packet_number
        self._packet_number = number + 1
        short, cid = number & _NUMBERS, self._peer_cid.cid
        first = _FIXED | self._spin_bit << 5 | crypto.recv.key_phase << 2 | _NUMBER_BYTES - 1
        sealed = keys.aead._aead.encrypt(
            (keys.aead._iv ^ number).to_bytes(_NONCE_BYTES, "big"),
            bytes((_STREAM, stream_id))
            + (start | _OFFSET_IN_EIGHT).to_bytes(8, "big")
            + (size | _LENGTH_IN_TWO).to_bytes(2, "big")
            + message,
            bytes((first,)) + cid + short.to_bytes(_NUMBER_BYTES, "big"),
        )
        at = _SAMPLE_FROM - _NUMBER_BYTES
        mask = keys.hp._encryptor.update(sealed[at : at + _SAMPLE_BYTES])
        first ^= mask[0] & _MASKED
        short ^= mask[1] << 8 | mask[2]
        datagram = bytes((first,)) + cid + short.to_bytes(_NUMBER_BYTES, "big") + sealed
        self._sent = number, len(datagram), stream_id, start, stop
        return datagram, path.addr

    def note_sent(self, now: float) -> None:
        """Count the datagram that was written, as what is under way."""
        number, size, stream_id, start, stop = self._sent
        delivered = self._streams[stream_id].sender.on_data_delivery
        packet = QuicSentPacket(
            _ONE_RTT, True, True, False, number, QuicPacketType.ONE_RTT, now, size,
            [(delivered, (start, stop, False))],
        )  # fmt: skip
        self._loss.on_packet_sent(packet=packet, space=self._loss.spaces[-1])
        if not self._ack_eliciting_sent_since_receipt:
            self._close_at = now + self._idle_timeout()
            self._ack_eliciting_sent_since_receipt = True
        self._network_paths[0].bytes_sent += size

    def message_of(self, data: bytes, addr: NetworkAddress) -> tuple[int, bytes] | None:
        """Take a datagram that holds the next bytes of one stream: return stream and bytes.

        None for any other datagram: then nothing is taken and ``receive_datagram`` has to.
        Afterwards, and before anything else comes, tell ``note_taken``.
        """
        paths, own = self._network_paths, self.host_cid
        at = 1 + len(own)
        known = self._one_rtt or self._find_one_rtt()
        if (
            known is None
            or self._close_pending
            or self._state is not _CONNECTED
            or len(data) < at + _LEAST_BYTES
            or data[0] & (_LONG | _FIXED) != _FIXED
            or not data.startswith(own, 1)
            or paths[0].addr != addr
            or not paths[0].is_validated
        ):
            return None
        keys, space = known[0].recv, known[1]
        assert keys.hp is not None and keys.aead is not None  # noqa: S101, PT018  # they stay
        sample = at + _SAMPLE_FROM
        mask = keys.hp._encryptor.update(data[sample : sample + _SAMPLE_BYTES])
        bits = data[0] ^ mask[0] & _MASKED
        short = (data[at] ^ mask[1]) << 8 | data[at + 1] ^ mask[2]
        number = space.largest_received_packet + 1
        if (
            bits & (_RESERVED | _PHASE | _NUMBER_LENGTH) != keys.key_phase << 2 | _NUMBER_BYTES - 1
            or short != number & _NUMBERS  # late, or again, or after a gap
        ):
            return None
        try:
            frame = keys.aead._aead.decrypt(
                (keys.aead._iv ^ number).to_bytes(_NONCE_BYTES, "big"),
                data[at + _NUMBER_BYTES :],
                bytes((bits,)) + own + short.to_bytes(_NUMBER_BYTES, "big"),
            )
        except InvalidTag:
            return None
        size = len(frame) - _HEAD_BYTES
        if (
            size <= 0
            or frame[0] != _STREAM
            or frame[1] >= _FIXED
            or int.from_bytes(frame[10:12], "big") ^ _LENGTH_IN_TWO != size
            or (stream := self._streams.get(frame[1])) is None
        ):
            return None
        start = int.from_bytes(frame[2:10], "big") ^ _OFFSET_IN_EIGHT
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
        self._taken = number, bool(bits & _SPIN)
        return frame[1], frame[_HEAD_BYTES:]

    def note_taken(self, now: float) -> None:
        """Note the packet of which a message was taken, as the library notes each."""
        number, spin = self._taken
        space = self._loss.spaces[-1]
        space.largest_received_packet, space.largest_received_time = number, now
        space.expected_packet_number = number + 1
        space.received_packets.add(number)
        space.ack_queue.add(number, number + 1)
        if space.ack_at is None:
            space.ack_at = now + self._ack_delay
        self._spin_bit = spin != self._is_client
        self._spin_highest_pn = number
        self._close_at = now + self._idle_timeout()
        self._ack_eliciting_sent_since_receipt = False

    def _find_one_rtt(self) -> tuple[CryptoPair, QuicPacketSpace] | None:
        if self._handshake_confirmed:
            crypto = self._cryptos[_ONE_RTT]
            if crypto.send.hp is not None and not crypto.send.hp._is_chacha20:
                self._one_rtt = crypto, self._spaces[_ONE_RTT]
        return self._one_rtt
