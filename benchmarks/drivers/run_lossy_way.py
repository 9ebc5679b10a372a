"""A way for datagrams that loses some and delays all: between a client and a UDP port."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import numpy as np
import uvloop


class LossyWay(asyncio.DatagramProtocol):
    """Passes datagrams on late, in both directions, or not at all."""

    def __init__(self, port: int, loss: float, delay_s: float, seed: int) -> None:
        """Stand before a port of this machine.

        Args:
            port: Where datagrams of clients go.
            loss: Share of datagrams that are dropped, each way.
            delay_s: How long each takes, each way [s].
            seed: Of the chance by which they are dropped.
        """
        self._port, self._loss, self._delay_s = port, loss, delay_s
        self._rng = np.random.default_rng(seed)
        self._client: Any = None
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        """Note where to send from."""
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Pass one on, perhaps."""
        if addr[1] == self._port:
            to = self._client
        else:
            self._client, to = addr, ("127.0.0.1", self._port)
        if self._rng.random() >= self._loss:
            loop = asyncio.get_running_loop()
            loop.call_later(self._delay_s, self._transport.sendto, data, to)


async def main(port: int, loss: float, delay_s: float, seed: int) -> None:
    """Pass datagrams on until standard input ends."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: LossyWay(port, loss, delay_s, seed), local_addr=("127.0.0.1", 0)
    )
    sys.stdout.write(json.dumps({"port": transport.get_extra_info("sockname")[1]}) + "\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])))
