"""Opens a memory: the one place that chooses where records are kept."""

from __future__ import annotations

import os
import platform
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cellhive.adapters.files import check_folder
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.ports import RecordLog
from cellhive.core.records import Namespace
from cellhive.memory.store import Memory

if TYPE_CHECKING:
    from cellhive.adapters.embedded.derived import FolderFiles

RECORDS, INDEXES = "records.db", "indexes"
"""What is in the folder of a memory."""
SERVERS = ("postgresql://", "postgres://")

Key = Callable[[], bytes]
"""Fetches the key that a memory's contents are encrypted with."""


@dataclass(frozen=True)
class Place:
    """Where a memory is: a folder, or a database of a PostgreSQL server."""

    where: str
    """As it was given."""

    @property
    def on_server(self) -> bool:
        """Whether it is in a PostgreSQL server."""
        return self.where.startswith(SERVERS)

    @property
    def folder(self) -> Path:
        """The folder, for a memory that is in one."""
        return Path(self.where)

    @property
    def shown(self) -> str:
        """The place without any password."""
        return re.sub(r"(//[^/@:]*):[^/@]*@", r"\1:***@", self.where)


def visible(log: RecordLog) -> list[Namespace]:
    """Return the namespaces people made, by name: not those where nodes keep their own notes."""
    every = sorted(log.namespaces().items())
    return [space for name, space in every if not name.startswith("cellhive.")]


def now_ms() -> int:
    """Return the wall clock [ms since the epoch]."""
    return time.time_ns() // 1_000_000


def key_of(where: str) -> Key | None:
    """Return how to fetch a key: from a file, or from a variable named ``env:NAME``."""
    if not where:
        return None
    from cellhive.adapters.embedded.encryption import (  # noqa: PLC0415
        key_from_environment,
        key_from_file,
    )

    if where.startswith("env:"):
        return key_from_environment(where.removeprefix("env:"))
    return key_from_file(Path(where))


def write_new_key(path: Path) -> None:
    """Write a new key to a file that only its owner can read.

    Raises:
        BadInput: The file exists, or cannot be written.
    """
    from cellhive.adapters.embedded.encryption import new_key  # noqa: PLC0415

    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(new_key().hex().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise BadInput(
            place=str(path), expected="a new file in a folder that can be written",
            found=error.strerror or str(error), remedy="choose another name",
        ) from error  # fmt: skip


@dataclass(frozen=True)
class Opened:
    """A memory with everything that has to be let go in the end."""

    memory: Memory
    log: RecordLog
    files: FolderFiles | None

    def close(self) -> None:
        """Save the indexes and let go."""
        with ExitStack() as stack:  # what was opened first is closed last, whatever fails
            stack.callback(self.log.close)
            if self.files is not None:
                stack.callback(self.files.close)
            stack.callback(self.memory.close)


def open_parts(
    where: str | Path, *, existing: bool = False, key: Key | None = None, node: str = ""
) -> Opened:
    """Open a memory whose owner closes it; see ``open_memory``."""
    place = Place(str(where))
    if place.on_server:
        if key is not None:
            raise BadInput(
                place="--key", expected="a memory in a folder", found=place.shown,
                remedy="let the server encrypt its disk",
            )  # fmt: skip
        log = _on_server(place, node)
        return Opened(Memory(log, lock=threading.RLock()), log, None)
    return _in_folder(place.folder, existing=existing, key=key, node=node)


@contextmanager
def open_memory(
    where: str | Path, *, existing: bool = False, key: Key | None = None, node: str = ""
) -> Iterator[Memory]:
    """Open a memory, and close it in the end.

    Args:
        where: Folder, made where it does not exist; or ``postgresql://user@host/database``.
        existing: Refuse to make a memory where there is none.
        key: Fetches the key of an encrypted memory; a new one is encrypted with it.
        node: Name among replicas; by default one that the memory keeps.

    Raises:
        NotFound: There is no memory there, and it is only to be read.
        BadInput: The place is none for a memory, or the key does not open it.
        Unavailable: The server does not answer.
    """
    opened = open_parts(where, existing=existing, key=key, node=node)
    try:
        yield opened.memory
    finally:
        opened.close()


def _on_server(place: Place, node: str) -> RecordLog:
    try:
        from cellhive.adapters.postgres.log import PostgresLog  # noqa: PLC0415  # an extra
    except ModuleNotFoundError as error:
        raise BadInput(
            place="--memory", expected="psycopg, which talks to PostgreSQL",
            found="it is not installed", remedy="pip install 'cellhive[postgres]'",
        ) from error  # fmt: skip
    return PostgresLog(place.where, now_ms=now_ms, node=node or _plain(platform.node()))


def _in_folder(folder: Path, *, existing: bool, key: Key | None, node: str) -> Opened:
    from cellhive.adapters.embedded.sqlite_log import SqliteLog  # noqa: PLC0415

    if existing and not (folder / RECORDS).exists():
        message = (
            f"{folder}: there is no memory; make one: cellhive memory namespace create, add or "
            "import; or name another place with --memory"
        )
        raise NotFound(message)
    check_folder(folder, "--memory")
    folder.mkdir(parents=True, exist_ok=True)
    log = SqliteLog(folder / RECORDS, now_ms=now_ms, node=node, key=key)
    try:
        files = log.derived(folder / INDEXES)
    except BaseException:
        log.close()
        raise
    return Opened(Memory(log, files, lock=threading.RLock()), log, files)


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:100] or "node"
