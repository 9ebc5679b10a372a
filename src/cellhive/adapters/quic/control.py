"""A socket by which other processes of the same user write and search through a node.

A request is 4 bytes of length (little-endian) and MessagePack ``[word, argument]``; an
answer the same with ``["ok", value]`` or ``[error class, message]``. Records travel as the
codec writes them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np

from cellhive.core.errors import (
    BadInput,
    CellHiveError,
    Conflict,
    NotFound,
    ProtocolError,
    Unavailable,
)
from cellhive.core.records import Namespace, Record, RecordKind, Version
from cellhive.memory.codec import decode_record, encode_record
from cellhive.memory.store import Memory

MOST_REQUEST_BYTES = 64 << 20
_ERRORS: Mapping[str, type[CellHiveError]] = {
    kind.__name__: kind for kind in (NotFound, Conflict, CellHiveError)
}


class _Node(Protocol):
    """What the socket needs of a node."""

    def status(self) -> dict[str, Any]: ...

    async def declare(self, namespace: Namespace) -> None: ...

    async def add(self, records: Sequence[Record], *, new: bool = False) -> list[Version]: ...

    async def search(self, question: Callable[[Memory], Any]) -> Any: ...

    async def until_durable(self, vector: Mapping[str, int]) -> None: ...


class _Found(msgspec.Struct, frozen=True):
    """One hit of a search."""

    score: float
    record: bytes


class _Search(msgspec.Struct, frozen=True):
    """What to search for."""

    namespace: str
    vector: list[float] | None = None
    k: int = 10
    kind: RecordKind | None = None
    text: str = ""
    where: dict[str, Any] | None = None


class _Add(msgspec.Struct, frozen=True):
    """What to write."""

    records: list[bytes]
    new: bool = False


class _Get(msgspec.Struct, frozen=True):
    """What to look up."""

    namespace: str
    ids: list[str]


class Control:
    """The node's end of the socket."""

    def __init__(self, node: _Node) -> None:
        """Serve a node."""
        self._node = node
        self._server: asyncio.Server | None = None
        self._path: Path | None = None
        self._talks: dict[asyncio.StreamWriter, asyncio.Event] = {}

    async def open(self, path: Path) -> None:
        """Listen at a path that only this user may use."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and await _answers(path):
            message = f"expected no node at {path} yet, found one that answers; stop it first"
            raise Conflict(message)
        path.unlink(missing_ok=True)
        old_mask = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._talk, path)
        except OSError as error:
            raise BadInput(
                expected="a path for a socket", found=str(error),
                remedy="take a shorter folder", place=str(path),
            ) from error  # fmt: skip
        finally:
            os.umask(old_mask)
        self._path = path

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            talks = dict(self._talks)
            for writer in talks:
                writer.close()
            await asyncio.gather(*(over.wait() for over in talks.values()))
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        over = self._talks[writer] = asyncio.Event()
        try:
            while True:
                request = await _read(reader)
                writer.write(_packed(await self._answer(request)))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ProtocolError):
            pass
        finally:
            writer.close()
            del self._talks[writer]
            over.set()

    async def _answer(self, request: bytes) -> Any:
        try:
            word, argument = msgspec.msgpack.decode(request, type=tuple[str, Any])
            return ["ok", await self._do(word, argument)]
        except (CellHiveError, msgspec.MsgspecError) as error:
            return [type(error).__name__, str(error)]

    async def _do(self, word: str, argument: Any) -> Any:
        node = self._node
        answer: Any = None
        match word:
            case "status":
                answer = node.status()
            case "declare":
                await node.declare(msgspec.convert(argument, Namespace))
            case "add":
                given = msgspec.convert(argument, _Add)
                records = [decode_record(data) for data in given.records]
                versions = await node.add(records, new=given.new)
                answer = [[v.time_hlc, v.writer, v.sequence] for v in versions]
            case "get":
                wanted = msgspec.convert(argument, _Get)
                found = await node.search(lambda memory: memory.get(wanted.namespace, wanted.ids))
                answer = [None if record is None else encode_record(record) for record in found]
            case "count":
                name = msgspec.convert(argument, str)
                answer = await node.search(lambda memory: memory.count(name))
            case "search":
                question = msgspec.convert(argument, _Search)
                answer = await node.search(lambda memory: _search(memory, question))
            case "wait":
                await node.until_durable(msgspec.convert(argument, dict[str, int]))
            case _:
                raise BadInput(
                    expected="status, declare, add, get, count, search or wait", found=repr(word)
                )
        return answer


class ControlClient:
    """Another process's end of the socket; one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Use an open socket."""
        self._reader, self._writer = reader, writer

    @classmethod
    async def connect(cls, path: Path) -> ControlClient:
        """Return a client of the node at a socket; raise Unavailable where there is none."""
        try:
            return cls(*await asyncio.open_unix_connection(path))
        except OSError as error:
            message = f"expected a node at {path}, found none: {error}; start one with serve"
            raise Unavailable(message, retry_after_s=1.0) from error

    async def status(self) -> dict[str, Any]:
        """Return the node's status."""
        status: dict[str, Any] = await self._ask("status", None)
        return status

    async def declare(self, namespace: Namespace) -> None:
        """Declare a namespace at the node and so at its peers."""
        await self._ask("declare", asdict(namespace))

    async def add(self, records: Sequence[Record], *, new: bool = False) -> list[Version]:
        """Write records; return their versions when they are durable at the node."""
        packed = [encode_record(record) for record in records]
        return [Version(*v) for v in await self._ask("add", {"records": packed, "new": new})]

    async def get(self, namespace: str, ids: Sequence[str]) -> list[Record | None]:
        """Return durable records by id."""
        found = await self._ask("get", {"namespace": namespace, "ids": list(ids)})
        return [None if data is None else decode_record(data) for data in found]

    async def until_durable(self, vector: Mapping[str, int]) -> None:
        """Wait until the node has everything up to a vector on disk."""
        await self._ask("wait", dict(vector))

    async def count(self, namespace: str) -> int:
        """Return how many durable records there are."""
        return int(await self._ask("count", namespace))

    async def search(
        self,
        namespace: str,
        vector: Sequence[float] | None = None,
        *,
        k: int = 10,
        text: str = "",
        where: Mapping[str, Any] | None = None,
        kind: RecordKind | None = None,
    ) -> list[tuple[float, Record]]:
        """Return scores and records that fit best, as ``Memory.find`` does."""
        near = None if vector is None else [float(x) for x in vector]
        question = {
            "namespace": namespace, "vector": near, "k": k, "text": text, "where": where,
            "kind": kind,
        }  # fmt: skip
        found = await self._ask("search", question)
        return [(hit["score"], decode_record(hit["record"])) for hit in found]

    async def close(self) -> None:
        """Hang up."""
        self._writer.close()
        await self._writer.wait_closed()

    async def _ask(self, word: str, argument: Any) -> Any:
        self._writer.write(_packed([word, argument]))
        try:
            await self._writer.drain()
            kind, value = msgspec.msgpack.decode(await _read(self._reader), type=tuple[str, Any])
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            message = f"expected an answer of the node, found {error}; see whether it runs"
            raise Unavailable(message, retry_after_s=1.0) from error
        if kind != "ok":
            raise _ERRORS.get(kind, CellHiveError)(value)
        return value


def _search(memory: Memory, question: _Search) -> list[_Found]:
    vector = None if question.vector is None else np.array(question.vector, np.float32)
    matches = memory.find(
        question.namespace, vector=vector, text=question.text, k=question.k,
        where=question.where, kind=question.kind,
    )  # fmt: skip
    return [_Found(match.score, encode_record(match.record)) for match in matches]


async def _answers(path: Path) -> bool:
    try:
        client = await ControlClient.connect(path)
    except Unavailable:
        return False
    await client.close()
    return True


async def _read(reader: asyncio.StreamReader) -> bytes:
    size = int.from_bytes(await reader.readexactly(4), "little")
    if size > MOST_REQUEST_BYTES:
        raise ProtocolError(expected=f"at most {MOST_REQUEST_BYTES} bytes", found=str(size))
    return await reader.readexactly(size)


def _packed(value: Any) -> bytes:
    data = msgspec.msgpack.encode(value)
    return len(data).to_bytes(4, "little") + data
