"""One end of a benchmark of replication: writes records at a rate, or waits for them.

The way is QUIC (a whole node), gRPC streaming, or TLS over TCP; the two others carry the
same frames, do the same with them on arrival, and store them in the same kind of log. Bare
UDP carries datagrams of that size and does nothing with them: what the machine itself takes.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from aioquic.asyncio.client import connect as quic_connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import serve as quic_serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import QuicEvent, StreamDataReceived
from msgspec import structs

from cellhive.adapters.embedded.sqlite_log import SqliteLog
from cellhive.adapters.quic.disk import Disk
from cellhive.adapters.quic.disk_process import commit_all, give_way
from cellhive.adapters.quic.identity import IdentityFiles
from cellhive.adapters.quic.node import Node, NodeSettings, serve
from cellhive.adapters.quic.peers import PeerAddress
from cellhive.adapters.quic.searchable import Searchable
from cellhive.core.records import Delta, Namespace, Record, RecordKind, Version
from cellhive.memory import messages as m
from cellhive.memory.codec import Frames, decode, encode
from cellhive.memory.store import Memory
from cellhive.memory.versions import HybridClock

SPACE = Namespace("situations", 128)
BULK_BYTES = 256 << 10
"""What is written in one go when as much as possible is."""
STAMP_BYTES = 8
DATAGRAM_BYTES = 667
"""Of bare UDP: as long as those of QUIC that hold one record."""
WINDOW_BYTES = 2 << 20
"""What may be on the way when more is written; a node pushes up to twice as much."""


def now_ms() -> int:
    """Return the wall clock."""
    return time.time_ns() // 1_000_000


def say(**words: Any) -> None:
    """Tell the benchmark."""
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


class Arrivals:
    """When records became searchable, and how long after they were written."""

    def __init__(self, count: int, warm: int) -> None:
        """Wait for so many, after some that do not count: both ends are warming up."""
        self.delays_ns: list[int] = []
        self.cpu_s = 0.0
        self.begun_ns = self.ended_ns = 0
        self.all = asyncio.Event()
        self._left = count + warm
        self._count = count

    def note(self, records: Sequence[Record]) -> None:
        """Note records that can be searched from now on."""
        self.note_sent_at([
            int.from_bytes(record.payload[:STAMP_BYTES], "little") for record in records
            if record.payload and record.namespace == SPACE.name
        ])  # fmt: skip

    def note_sent_at(self, times_ns: Sequence[int]) -> None:
        """Note that what was sent at some times has come."""
        now = time.monotonic_ns()
        for sent in times_ns:
            self._left -= 1
            if self._left >= self._count:
                continue
            self.cpu_s = self.cpu_s or time.process_time()
            self.delays_ns.append(now - sent)
            self.begun_ns = self.begun_ns or sent
        self.ended_ns = now
        if self._left <= 0:
            self.all.set()

    def tell(self) -> None:
        """Say what was measured."""
        delays = np.sort(np.array(self.delays_ns)) / 1e6
        at = {name: float(delays[min(len(delays) - 1, int(q * len(delays)))])
              for name, q in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))}  # fmt: skip
        cpu_us = (time.process_time() - self.cpu_s) / len(delays) * 1e6
        seconds = (self.ended_ns - self.begun_ns) / 1e9
        say(cpu_us=cpu_us, records=len(delays), seconds=seconds, **at)


def records(count: int, payload: int, seed: int = 1) -> list[Record]:
    """Return records of 128 components; the payload gets its time when it is written."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, SPACE.dimension)).astype(np.float32)
    return [
        Record(
            SPACE.name, f"r{i:07d}", RecordKind.RESULT, vectors[i], {"cell": i % 57}, "",
            rng.bytes(payload),
        )
        for i in range(count)
    ]  # fmt: skip


def bulk_records(payload: int) -> int:
    """Return how many records are written in one go."""
    return max(1, BULK_BYTES // (4 * SPACE.dimension + payload))


def stamped(record: Record) -> Record:
    """Return a record that carries the time of now."""
    sent = time.monotonic_ns().to_bytes(8, "little")
    return Record(
        record.namespace, record.id, record.kind, record.vector, record.metadata, "",
        sent + record.payload[STAMP_BYTES:] if len(record.payload) > STAMP_BYTES else sent,
    )  # fmt: skip


def disk_command(folder: Path) -> tuple[str, ...]:
    """Return the command of the process that commits to the log in a folder."""
    return (sys.executable, str(Path(__file__)), "disk", str(folder))


def be_disk(folder: Path) -> None:
    """Commit what a node sends."""
    give_way()
    log = SqliteLog(folder / "memory.db", now_ms=now_ms)
    commit_all(log, sys.stdin.buffer, sys.stdout.buffer)
    log.close()


class PlainNode:
    """What a node does around its transport, without replication."""

    def __init__(self, folder: Path) -> None:
        """Open a log of its own."""
        self.log = SqliteLog(folder / "memory.db", now_ms=now_ms)
        self.log.declare(SPACE)
        self.memory = Searchable(Memory(self.log))
        self.disk = Disk(
            self.log, stored=lambda *_: None, failed=self._fail, crowded=lambda _: None,
            command=disk_command(folder),
        )  # fmt: skip
        self.running = asyncio.ensure_future(self.disk.run())
        self._clock, self._number = HybridClock(now_ms), 0
        self.send: Callable[[bytes], None] = lambda _: None

    @staticmethod
    def _fail(error: Exception, own: bool) -> None:
        del own
        raise SystemExit(str(error))

    def write(self, new: Sequence[Record]) -> None:
        """Stamp, make searchable, send and store."""
        made = []
        for record in new:
            self._number += 1
            version = Version(self._clock.tick(), f"{self.log.writer}+live", self._number)
            made.append(structs.replace(record, version=version))
        self.memory.note(made)
        self.send(encode(m.Push(self._number, tuple(made))))
        self.disk.write(made)

    def take(self, frame: bytes) -> None:
        """Make searchable what came, and store it."""
        message = decode(frame)
        if isinstance(message, m.Push):
            self.memory.note(message.records)
            covers = {message.records[-1].version.writer: message.records[-1].version.sequence}
            self.disk.apply(Delta(message.records, covers, complete=True))


def contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return TLS contexts of a server and a client that demand certificates of one another."""
    files = IdentityFiles.in_folder(folder)
    made = []
    for purpose in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT):
        context = ssl.SSLContext(purpose)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(files.certificate, files.key)
        context.load_verify_locations(files.authority)
        context.verify_mode = ssl.CERT_REQUIRED
        made.append(context)
    return made[0], made[1]


class TlsEnd(asyncio.Protocol):
    """Frames over TLS over TCP."""

    def __init__(self, node: PlainNode) -> None:
        """Carry frames of a node."""
        self._node, self._cutter = node, Frames()
        self.ready = asyncio.Event()
        self.room = asyncio.Event()
        self.room.set()

    def connection_made(self, transport: Any) -> None:
        """Let the node send."""
        self._node.send = transport.write
        self.ready.set()

    def pause_writing(self) -> None:
        """Note that the peer is behind."""
        self.room.clear()

    def resume_writing(self) -> None:
        """Note that there is room again."""
        self.room.set()

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        for frame in self._cutter.feed(data):
            self._node.take(frame)


def grpc_credentials(folder: Path) -> tuple[bytes, bytes, bytes]:
    """Return key, certificate and authority."""
    files = IdentityFiles.in_folder(folder)
    return files.key.read_bytes(), files.certificate.read_bytes(), files.authority.read_bytes()


_GRPC_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


async def grpc_server(node: PlainNode, folder: Path) -> int:
    """Serve one bidirectional stream of frames and return the port."""
    import grpc  # noqa: PLC0415  # of the peers' environment

    async def talk(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        del context
        async for frame in requests:
            node.take(frame)
        yield b""

    key, certificate, authority = grpc_credentials(folder)
    server = grpc.aio.server(options=_GRPC_OPTIONS)
    handler = grpc.stream_stream_rpc_method_handler(talk)
    server.add_generic_rpc_handlers((
        grpc.method_handlers_generic_handler("memory", {"talk": handler}),
    ))  # fmt: skip
    port = server.add_secure_port(
        "127.0.0.1:0",
        grpc.ssl_server_credentials([(key, certificate)], authority, require_client_auth=True),
    )
    await server.start()
    node.kept = server  # type: ignore[attr-defined]  # or it would be collected
    return int(port)


async def grpc_client(node: PlainNode, folder: Path, port: int) -> Callable[[], Any]:
    """Connect a stream and return what waits until it has room."""
    import grpc  # noqa: PLC0415  # of the peers' environment

    key, certificate, authority = grpc_credentials(folder)
    channel = grpc.aio.secure_channel(
        f"127.0.0.1:{port}",
        grpc.ssl_channel_credentials(authority, key, certificate),
        [*_GRPC_OPTIONS, ("grpc.ssl_target_name_override", "b")],
    )
    await channel.channel_ready()
    call = channel.stream_stream("/memory/talk")()
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    node.send = queue.put_nowait

    async def drain() -> None:
        while True:
            await call.write(await queue.get())
            queue.task_done()

    node.kept = (channel, call, asyncio.ensure_future(drain()))  # type: ignore[attr-defined]
    return queue.join


async def write_at_rate(write: Callable[[Record], object], all_of: list[Record], rate: int) -> None:
    """Write records one by one, evenly in time."""
    begin = time.monotonic()
    for i, record in enumerate(all_of):
        await asyncio.sleep(max(0.0, begin + i / rate - time.monotonic()))
        write(stamped(record))


async def plain(options: argparse.Namespace) -> None:
    """Be one end over gRPC or TLS."""
    node = PlainNode(options.folder)
    await node.disk.start()
    sys.setswitchinterval(0.0001)
    loop = asyncio.get_running_loop()
    server, client = contexts(options.folder)
    if options.role == "write":
        if options.way == "grpc":
            wait = await grpc_client(node, options.folder, options.port)
        else:
            _, end = await loop.create_connection(
                lambda: TlsEnd(node), "127.0.0.1", options.port, ssl=client, server_hostname="b"
            )
            wait = end.room.wait
        await write_all(options, lambda record: node.write([record]), node.write, wait)
        return
    arrivals = Arrivals(options.count, options.warm)
    listen_in(node.memory, arrivals)
    if options.way == "grpc":
        port = await grpc_server(node, options.folder)
    else:
        tcp = await loop.create_server(lambda: TlsEnd(node), "127.0.0.1", 0, ssl=server)
        port = tcp.sockets[0].getsockname()[1]
    say(port=port)
    gc.freeze()
    await arrivals.all.wait()
    arrivals.tell()


async def write_all(
    options: argparse.Namespace,
    write: Callable[[Record], object],
    write_many: Callable[[Sequence[Record]], object],
    wait: Callable[[], Any],
) -> None:
    """Write what was asked for, evenly in time or as fast as it goes, until told to end."""
    made = records(options.count + options.warm, options.payload)
    gc.freeze()
    cpu_s = time.process_time()
    if options.rate:
        await write_at_rate(write, made, options.rate)
    else:
        step = bulk_records(options.payload)
        for at in range(0, len(made), step):
            write_many([stamped(record) for record in made[at : at + step]])
            await asyncio.sleep(0)
            await wait()
    await asyncio.to_thread(sys.stdin.read)
    say(cpu_us=(time.process_time() - cpu_s) / len(made) * 1e6)


def listen_in(memory: Searchable, arrivals: Arrivals) -> None:
    """Note what becomes searchable."""
    original = memory.note

    def note(new: Sequence[Record]) -> None:
        original(new)
        arrivals.note(new)

    memory.note = note  # type: ignore[method-assign,assignment]  # to look only


class QuicEnd:
    """A whole node as one end."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Write or read as asked for."""
        self._options = options
        self._stop = asyncio.Event()
        self._arrivals = Arrivals(options.count, options.warm)
        self._work: asyncio.Future[None] | None = None

    def _open_memory(self) -> Memory:
        log = SqliteLog(self._options.folder / "memory.db", now_ms=now_ms)
        log.declare(SPACE)
        return Memory(log)

    async def run(self) -> None:
        """Serve until the work is done."""
        options = self._options
        mine, other = ("a", "b") if options.role == "write" else ("b", "a")
        peers = (PeerAddress(other, "127.0.0.1", options.port),) if options.port else ()
        settings = NodeSettings(
            mine, options.folder, IdentityFiles.in_folder(options.folder), peers=peers,
            datagram_bytes=options.datagram, disk=disk_command(options.folder),
        )  # fmt: skip
        await serve(
            settings, self._open_memory, now_ms=now_ms, rng=np.random.default_rng(1),
            stop=self._stop, ready=self._begin,
        )  # fmt: skip

    def _begin(self, node: Node) -> None:
        if self._options.role == "read":
            self._arrivals.begun_ns = time.monotonic_ns() if self._options.before else 0
            listen_in(node.memory, self._arrivals)
            self._work = asyncio.ensure_future(self._read())
        else:
            self._work = asyncio.ensure_future(self._write(node))
        gc.freeze()
        say(port=node.port)

    async def _read(self) -> None:
        await self._arrivals.all.wait()
        self._arrivals.tell()
        await asyncio.to_thread(sys.stdin.read)
        self._stop.set()

    async def _write(self, node: Node) -> None:
        if self._options.before:
            made = [stamped(record) for record in records(self._options.count, 8)]
            for at in range(0, len(made), bulk_records(8)):
                await node.add(made[at : at + bulk_records(8)])
            say(written=len(made))
            await asyncio.to_thread(sys.stdin.read)
        else:
            while not node.replica.peers:
                await node.until_news()

            async def room() -> None:
                while any(
                    node.replica.window_bytes(peer) > WINDOW_BYTES for peer in node.replica.peers
                ):
                    await node.until_news()

            await write_all(self._options, lambda r: node.write([r]), node.write, room)
        self._stop.set()


class UdpEnd(asyncio.DatagramProtocol):
    """Datagrams that hold a time, and nothing that is made of them."""

    def __init__(self, arrivals: Arrivals) -> None:
        """Note when they come."""
        self._arrivals = arrivals

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Note one."""
        del addr
        self._arrivals.note_sent_at((int.from_bytes(data[:STAMP_BYTES], "little"),))


async def udp(options: argparse.Namespace) -> None:
    """Send datagrams evenly in time, or wait for them."""
    loop = asyncio.get_running_loop()
    arrivals = Arrivals(options.count, options.warm)
    if options.role == "read":
        there, _ = await loop.create_datagram_endpoint(
            lambda: UdpEnd(arrivals), local_addr=("127.0.0.1", 0)
        )
        say(port=there.get_extra_info("sockname")[1])
        gc.freeze()
        await arrivals.all.wait()
        arrivals.tell()
        return
    here, _ = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, remote_addr=("127.0.0.1", options.port)
    )
    rest, begin = bytes(DATAGRAM_BYTES - STAMP_BYTES), time.monotonic()
    for i in range(options.count + options.warm):
        await asyncio.sleep(max(0.0, begin + i / options.rate - time.monotonic()))
        here.sendto(time.monotonic_ns().to_bytes(STAMP_BYTES, "little") + rest)
    await asyncio.to_thread(sys.stdin.read)


class Bare(QuicConnectionProtocol):
    """The library alone: bytes in one stream, taken in and thrown away."""

    left = 0
    begun_ns = 0

    def quic_event_received(self, event: QuicEvent) -> None:
        """Count what came, and say when it was all."""
        if isinstance(event, StreamDataReceived):
            self.begun_ns = self.begun_ns or time.monotonic_ns()
            self.left -= len(event.data)
            if self.left <= 0:
                say(seconds=(time.monotonic_ns() - self.begun_ns) / 1e9)


def bare_configuration(options: argparse.Namespace, *, client: bool) -> QuicConfiguration:
    """Return settings with the windows and datagrams that a node has."""
    files = IdentityFiles.in_folder(options.folder)
    configuration = QuicConfiguration(
        is_client=client, alpn_protocols=["bare"], max_data=1 << 30, max_stream_data=1 << 30,
        max_datagram_size=options.datagram, server_name="b" if client else None,
        cafile=str(files.authority),
    )  # fmt: skip
    configuration.load_cert_chain(files.certificate, files.key)
    return configuration


async def bare(options: argparse.Namespace) -> None:
    """Send or take bytes with the library alone: what it can do at best."""
    sizes = {socket.SO_RCVBUF: 4 << 20, socket.SO_SNDBUF: 4 << 20}

    def widen(end: Any) -> None:
        for option, size in sizes.items():
            end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, option, size)

    def make(*words: Any, **more: Any) -> Bare:
        end = Bare(*words, **more)
        end.left = options.count
        return end

    configuration = bare_configuration(options, client=options.role == "write")
    if options.role == "read":
        server = await quic_serve("127.0.0.1", 0, configuration=configuration, create_protocol=make)
        widen(server._transport)
        say(port=server._transport.get_extra_info("sockname")[1])  # type: ignore[union-attr]
        await asyncio.to_thread(sys.stdin.read)
        return
    there = quic_connect(
        "127.0.0.1", options.port, configuration=configuration, create_protocol=make
    )
    async with there as end:
        widen(end._transport)
        quic, piece = end._quic, bytes(128 << 10)
        stream = quic.get_next_available_stream_id(is_unidirectional=True)
        for at in range(0, options.count, len(piece)):
            quic.send_stream_data(stream, piece[: options.count - at])
            end.transmit()
            sender = quic._streams[stream].sender
            while sender._buffer_stop - sender._buffer_start > 1 << 20:
                await asyncio.sleep(0)
        await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    """Be one end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=("quic", "grpc", "tls", "udp", "bare", "disk"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0, help="of the peer; none: wait for one")
    parser.add_argument("--rate", type=int, default=0, help="records per second; 0: all at once")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--warm", type=int, default=0, help="records before those that count")
    parser.add_argument("--payload", type=int, default=8)
    parser.add_argument("--datagram", type=int, default=0)
    parser.add_argument("--role", choices=("write", "read"), default="read")
    parser.add_argument("--before", action="store_true", help="all is written before they meet")
    parser.add_argument("--site", default="", help="folder with gRPC")
    options = parser.parse_args()
    if options.site:
        sys.path.append(options.site)
    if options.way == "disk":
        be_disk(options.folder)
        return
    if options.way == "bare":
        uvloop.run(bare(options))
        return
    if options.way == "udp":
        uvloop.run(udp(options))
        return
    uvloop.run(QuicEnd(options).run() if options.way == "quic" else plain(options))


if __name__ == "__main__":
    main()
