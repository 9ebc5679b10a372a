"""The short way of small messages carries what the library's way would, and nothing twice."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.congestion.base import K_INITIAL_WINDOW
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import StreamDataReceived
from aioquic.quic.packet import QuicPacketType
from aioquic.quic.packet_builder import QuicSentPacket
from aioquic.tls import CipherSuite, Epoch
from hypothesis import given, settings
from hypothesis import strategies as st

from cellhive.adapters.quic.congestion import GRACE, ChanceLossControl
from cellhive.adapters.quic.identity import (
    Identity,
    IdentityFiles,
    load_identity,
    make_authority,
    make_identity,
)
from cellhive.adapters.quic.mutual import LAZY_ACK_S, RIPE_ACK_S, MutualQuic

NORTH, SOUTH = ("127.0.0.1", 1), ("127.0.0.1", 2)
STREAM = 2
ALPN = "test"


def now() -> datetime:
    """Return the date, by which certificates are judged."""
    return datetime.now(UTC)  # noqa: TID251  # aioquic judges by the real date


@pytest.fixture(scope="module")
def identities(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Identity]:
    """Identities of north and south."""
    root: Path = tmp_path_factory.mktemp("swarm")
    make_authority(root / "authority", name="swarm", now=now)
    found = {}
    for name in ("north", "south"):
        make_identity(root / "authority", root / name, node=name, now=now)
        found[name] = load_identity(IdentityFiles.in_folder(root / name), node=name, now=now)
    return found


@dataclass
class Way:
    """North, a client, and south, with the datagrams between them in a list."""

    north: MutualQuic
    south: MutualQuic
    now_s: float = 1_000.0
    got: bytearray = field(default_factory=bytearray)
    """What has arrived at south."""
    short: int = 0
    """Messages that took the short way at south."""

    @classmethod
    def open(cls, identities: dict[str, Identity], cipher: CipherSuite | None = None) -> Way:
        """Return a way whose handshake is done, with the library's ciphers or one of them."""
        made: list[MutualQuic] = []
        for name in ("north", "south"):
            who = identities[name]
            configuration = QuicConfiguration(
                is_client=name == "north", alpn_protocols=[ALPN], cadata=who.authority_pem,
                server_name="south", verify_mode=ssl.CERT_REQUIRED, max_datagram_size=1_200,
            )  # fmt: skip
            configuration.certificate, configuration.private_key = who.certificate, who.key
            configuration.cipher_suites = [cipher] if cipher else None
            first = made[0].original_destination_connection_id if made else None
            quic = MutualQuic(configuration=configuration, original_destination_connection_id=first)
            quic.adopt(who)
            made.append(quic)
        way = cls(*made)
        way.north.connect(SOUTH, way.now_s)
        for _ in range(8):
            way.pass_on(way.ready())
        way.events()
        return way

    def ready(self) -> list[tuple[bool, bytes]]:
        """Return the datagrams that either wants to send: whether to south, and bytes."""
        both = ((True, self.north), (False, self.south))
        return [
            (to, data) for to, quic in both if quic._network_paths
            for data, _ in quic.datagrams_to_send(self.now_s)
        ]  # fmt: skip

    def pass_on(self, datagrams: list[tuple[bool, bytes]]) -> None:
        """Deliver datagrams, by the short way where they fit it."""
        for to_south, data in datagrams:
            quic, sender = (self.south, NORTH) if to_south else (self.north, SOUTH)
            found = None
            if to_south:
                found = quic.message_of(data, sender)
            if found is None:
                quic.receive_datagram(data, sender, self.now_s)
                self.events()
            else:
                assert found[0] == STREAM
                self.got += found[1]
                self.short += 1
                quic.note_taken(self.now_s)

    def written(self, message: bytes) -> bytes | None:
        """Return the datagram of a message that goes the short way at north; None if none does."""
        found = self.north.datagram_of(STREAM, message)
        if found is None:
            return None
        self.north.note_sent(self.now_s)
        assert found[1] == SOUTH
        return found[0]

    def events(self) -> None:
        """Take what the library has told."""
        for quic in (self.north, self.south):
            while (event := quic.next_event()) is not None:
                if isinstance(event, StreamDataReceived):
                    self.got += event.data

    def step(self, seconds: float) -> None:
        """Let time pass, and timers ring."""
        self.now_s += seconds
        for quic in (self.north, self.south):
            due = quic.get_timer()
            if due is not None and due <= self.now_s:
                quic.handle_timer(self.now_s)


def test_the_library_reads_what_the_short_way_writes(identities: dict[str, Identity]) -> None:
    """Messages sent the short way arrive whole and in order at the library's own receiver."""
    way = Way.open(identities)
    for i in range(50):
        message = bytes([i]) * (10 + i)
        found = way.written(message)
        assert found is not None or i == 0, "a stream is opened by the library"
        if found is None:
            way.north.send_stream_data(STREAM, message)
            way.pass_on(way.ready())
        else:
            QuicConnection.receive_datagram(way.south, found, NORTH, way.now_s)
            way.events()
    assert bytes(way.got) == b"".join(bytes([i]) * (10 + i) for i in range(50))


def test_a_datagram_counts_once_and_only_as_it_was_sent(identities: dict[str, Identity]) -> None:
    """Neither a repeated nor a damaged nor a foreign datagram is taken."""
    way = Way.open(identities)
    way.north.send_stream_data(STREAM, b"first")
    way.pass_on(way.ready())
    data = way.written(b"second message")
    assert data is not None
    for at in range(0, len(data), 3):
        damaged = data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]
        assert way.south.message_of(damaged, NORTH) is None, at
    for end in range(len(data)):
        assert way.south.message_of(data[:end], NORTH) is None, end
    assert way.south.message_of(data, ("127.0.0.1", 3)) is None
    assert way.south.message_of(data, NORTH) == (STREAM, b"second message")
    assert way.south.message_of(data, NORTH) is None
    QuicConnection.receive_datagram(way.south, data, NORTH, way.now_s)
    way.events()
    assert bytes(way.got) == b"first"


@pytest.mark.parametrize("cipher", list(CipherSuite)[:3])
def test_every_cipher_of_the_library_carries_messages(
    identities: dict[str, Identity], cipher: CipherSuite
) -> None:
    """Those of AES the short way; the other one, which masks heads differently, the long one."""
    way = Way.open(identities, cipher)
    way.north.send_stream_data(STREAM, b"0")
    way.pass_on(way.ready())
    before = way.short
    for i in range(1, 6):
        found = way.written(b"%d" % i)
        assert (found is None) == (cipher == CipherSuite.CHACHA20_POLY1305_SHA256)
        if found is None:
            way.north.send_stream_data(STREAM, b"%d" % i)
        way.pass_on(way.ready() if found is None else [(True, found)])
    assert bytes(way.got) == b"012345"
    assert way.short - before in (0, 5)


def test_new_keys_are_taken_up_by_the_library_first(identities: dict[str, Identity]) -> None:
    """A change of keys that is asked for waits for a packet of the library; then all goes on."""
    way = Way.open(identities)
    way.north.send_stream_data(STREAM, b"a")
    way.pass_on(way.ready())
    way.north.request_key_update()
    assert way.written(b"b") is None
    way.north.send_stream_data(STREAM, b"b")
    way.pass_on(way.ready())
    for letter in (b"c", b"d"):
        found = way.written(letter)
        assert found is not None
        before = way.short
        way.pass_on([(True, found)])
        assert way.short == before + 1
    assert bytes(way.got) == b"abcd"


def test_an_acknowledgement_that_has_waited_goes_behind_a_message(
    identities: dict[str, Identity],
) -> None:
    """Not at once, as others may join it, but before its own timer rings."""
    way = Way.open(identities)
    way.south.acknowledge_lazily()
    way.north.send_stream_data(STREAM, b"a")
    way.pass_on(way.ready())
    way.step(0.1)
    way.pass_on(way.ready())
    assert not way.south.ripe(way.now_s), "nothing waits"
    found = way.written(b"b")
    assert found is not None
    way.pass_on([(True, found)])
    assert not way.south.ripe(way.now_s)
    assert way.south.ripe(way.now_s + RIPE_ACK_S + 1e-6)
    due_s = way.south.get_timer()
    assert due_s is not None
    assert due_s == pytest.approx(way.now_s + LAZY_ACK_S)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 3_000), st.booleans(),
            st.sampled_from(["pass", "pass", "pass", "drop", "twice", "late"]),
        ),
        min_size=1, max_size=40,
    )
)  # fmt: skip
def test_whatever_happens_on_the_way_the_stream_is_the_same(
    identities: dict[str, Identity], script: list[tuple[int, bool, str]]
) -> None:
    """Short and long messages over a way that drops, repeats and swaps arrive as one stream."""
    way = Way.open(identities)
    sent = bytearray()
    late: list[tuple[bool, bytes]] = []
    for i, (size, at_once, fate) in enumerate(script):
        message = bytes([i]) * size
        sent += message
        found = way.written(message) if at_once else None
        if found is None:
            way.north.send_stream_data(STREAM, message)
            out = way.ready()
        else:
            out = [(True, found)]
        if fate == "late":
            late += out
        elif fate != "drop":
            way.pass_on(out * (2 if fate == "twice" else 1))
            way.pass_on(late)
            late = []
        way.step(0.003)
    for _ in range(300):
        if len(way.got) >= len(sent):
            break
        way.step(0.05)
        way.pass_on(way.ready())
    assert bytes(way.got) == bytes(sent)


def packet(number: int, sent_s: float) -> QuicSentPacket:
    """Return a datagram of 1,200 bytes on its way."""
    return QuicSentPacket(
        Epoch.ONE_RTT, True, True, False, number, QuicPacketType.ONE_RTT, sent_s, 1_200
    )


@pytest.mark.parametrize(
    ("round_trip_s", "every", "slower"), [(0.04, 100, False), (0.12, 100, True), (0.04, 10, True)]
)
def test_losses_slow_down_where_there_is_a_queue_or_where_they_are_many(
    round_trip_s: float, every: int, slower: bool
) -> None:
    """One in a hundred is chance at the shortest round trip, and congestion at a longer one."""
    control = ChanceLossControl(max_datagram_size=1_200)
    control.on_rtt_measurement(now=0.0, rtt=0.04)
    highest = K_INITIAL_WINDOW * 1_200
    fell = False
    for i in range(40 * GRACE):
        now_s = 1.0 + i * 0.01
        sent = packet(i, now_s)
        control.on_packet_sent(packet=sent)
        control.on_rtt_measurement(now=now_s, rtt=round_trip_s)
        if i % every == every - 1:
            control.on_packets_lost(now=now_s, packets=[sent])
        else:
            control.on_packet_acked(now=now_s, packet=sent)
        fell |= control.congestion_window < highest
        highest = max(highest, control.congestion_window)
    assert fell == slower
    assert control.bytes_in_flight == 0
