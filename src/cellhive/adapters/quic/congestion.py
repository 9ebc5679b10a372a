"""Congestion control that tells lost datagrams from a full queue.

Cubic takes every loss for congestion, so at 1 % of loss by chance (radio backhaul, long
ways) and 40 ms of round trip it gets no further than some 400 kB/s, however wide the way
is. As in TCP Veno (Fu and Liew, "TCP Veno", IEEE JSAC 21(2), 2003) a loss counts as one by
chance where round trips say that no queue has built up before it, and as congestion
otherwise. More than a few per cent are congestion whatever the round trips say, as in
BBRv2, which draws the line at 2 %.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

from aioquic.quic.congestion.base import register_congestion_control
from aioquic.quic.congestion.cubic import CubicCongestionControl
from aioquic.quic.packet_builder import QuicSentPacket

NAME = "cellhive"
MOST_LOSS = 0.02
"""Share of datagrams that may be lost by chance."""
GRACE = 8
"""Lost datagrams that say nothing yet about the share."""
_JUDGED = 1_024
"""About how many datagrams the share is over."""
_RECENT = 8
_QUEUE_SHARE, _QUEUE_S = 1.25, 0.005
"""A round trip this much above the shortest one has waited in a queue."""


class ChanceLossControl(CubicCongestionControl):
    """Cubic, which losses by chance do not slow down."""

    def __init__(self, max_datagram_size: int) -> None:
        """Begin knowing nothing of the way."""
        super().__init__(max_datagram_size=max_datagram_size)
        self._arrived = self._lost = 0.0
        self._shortest_s = math.inf
        self._recent_s: deque[float] = deque(maxlen=_RECENT)

    @property
    def queueing(self) -> bool:
        """Whether even the shortest of the latest round trips has waited in a queue."""
        if not self._recent_s:
            return True
        return min(self._recent_s) > _QUEUE_SHARE * self._shortest_s + _QUEUE_S

    def on_rtt_measurement(self, *, now: float, rtt: float) -> None:
        """Note a round trip."""
        self._recent_s.append(rtt)
        self._shortest_s = min(self._shortest_s, rtt)
        super().on_rtt_measurement(now=now, rtt=rtt)

    def on_packet_acked(self, *, now: float, packet: QuicSentPacket) -> None:
        """Count a datagram that arrived."""
        self._arrived += 1
        if self._arrived + self._lost > _JUDGED:
            self._arrived, self._lost = self._arrived / 2, self._lost / 2
        super().on_packet_acked(now=now, packet=packet)

    def on_packets_lost(self, *, now: float, packets: Iterable[QuicSentPacket]) -> None:
        """Slow down, unless they were lost by chance."""
        gone = list(packets)
        self._lost += len(gone)
        few = self._lost <= GRACE + MOST_LOSS * (self._arrived + self._lost)
        if few and not self.queueing:
            self.bytes_in_flight -= sum(packet.sent_bytes for packet in gone)
        else:
            super().on_packets_lost(now=now, packets=gone)


def register() -> str:
    """Let aioquic know it; return the name to configure it by."""
    register_congestion_control(NAME, ChanceLossControl)
    return NAME
