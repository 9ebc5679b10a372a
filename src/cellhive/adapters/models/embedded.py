"""The embedded store of models: an SQLite file with the manifests, one file per set of tensors.

A version is there once its row is: the tensors are on the disk, under their digest, before
the row is written. What a crash leaves between the two is a file that no row names, which
nobody sees and the next ``remove`` clears away.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from cellhive.adapters.files import check_folder
from cellhive.adapters.models.files import (
    manifest_bytes,
    manifest_of,
    read_at_most,
    readable,
    sha256,
    tensor_bytes,
    tensors_of,
    write_durably,
)
from cellhive.core.errors import BadInput, CellHiveError, Unavailable
from cellhive.core.models import AliasMove, ModelManifest, Tensors
from cellhive.lifecycle.registry import (
    MOST_BYTES,
    check_addition,
    check_before,
    check_name,
    check_promotion,
    check_removal,
    next_version,
    resolve,
)

BOOKS, TENSOR_FILES = "models.db", "tensors"
"""What is in the folder of a store."""
SCHEMA_VERSION: Final = 1
APPLICATION_ID: Final = 0x43484D44
"""Marks an SQLite file as a store of models of CellHive ("CHMD")."""
_SUFFIX = ".safetensors"
_REMEDY = "restore the folder from a backup, or import the model again under a new version"
_TABLES = """
CREATE TABLE changes (number INTEGER NOT NULL);
INSERT INTO changes VALUES (0);
CREATE TABLE models (
  name TEXT NOT NULL, version INTEGER NOT NULL, manifest BLOB, digest TEXT, tensors TEXT,
  PRIMARY KEY (name, version)) WITHOUT ROWID;
CREATE TABLE aliases (
  name TEXT NOT NULL, alias TEXT NOT NULL, version INTEGER NOT NULL,
  PRIMARY KEY (name, alias)) WITHOUT ROWID;
CREATE TABLE moves (
  number INTEGER PRIMARY KEY, name TEXT NOT NULL, alias TEXT NOT NULL, version INTEGER NOT NULL,
  before INTEGER NOT NULL, time_s REAL NOT NULL, reason TEXT NOT NULL);
CREATE INDEX moves_of ON moves (name, number)
"""
"""A version that was removed keeps its row, empty, so that its number is not used again."""


class EmbeddedModels:
    """ModelStore in a folder on this machine; several processes and threads may share it."""

    def __init__(
        self, folder: Path, *, now_s: Callable[[], float], patience_s: float = 10.0
    ) -> None:
        """Open a store, made where there is none.

        Args:
            folder: Where it is.
            now_s: Wall clock [s since the epoch].
            patience_s: How long to wait while another process writes [s].

        Raises:
            BadInput: The folder cannot be written, holds something else, or was written by a
                newer version.
            Unavailable: There is no room on the disk, or it is busy.
        """
        check_folder(folder, str(folder))
        self.folder, self._now_s, self._patience_s = folder, now_s, patience_s
        self._path, self._files = folder / BOOKS, folder / TENSOR_FILES
        self._lock = threading.RLock()
        self._closed = False
        try:
            self._files.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(
                place=str(folder), expected="a folder that can be written",
                found=error.strerror or str(error), remedy="choose another folder",
            ) from error  # fmt: skip
        with self._translated():
            self._books = sqlite3.connect(
                self._path, timeout=patience_s, isolation_level=None, check_same_thread=False
            )
        try:
            with self._translated():
                self._prepare()
        except BaseException:
            self._books.close()
            raise

    def names(self) -> list[str]:
        """Return the names of all models, in order."""
        with self._reading():
            rows = self._books.execute(
                "SELECT DISTINCT name FROM models WHERE manifest IS NOT NULL ORDER BY name"
            ).fetchall()
        return [row[0] for row in rows]

    def models(self, unreadable: list[CellHiveError] | None = None) -> list[ModelManifest]:
        """Return every version, by name and then by version; see ``ModelSource``."""
        with self._reading():
            rows = self._books.execute(
                "SELECT manifest, digest, name, version FROM models WHERE manifest IS NOT NULL "
                "ORDER BY name, version"
            ).fetchall()
        return readable([partial(self._manifest, *row) for row in rows], unreadable)

    def aliases(self, name: str) -> Mapping[str, int]:
        """Return version by alias; empty where there is no such model."""
        check_name(name)
        with self._reading():
            return self._aliases(name)

    def manifest(self, name: str, which: int | str) -> ModelManifest:
        """Return the manifest of a version or alias."""
        check_name(name)
        with self._reading():
            return self._found(name, which)

    def get(self, name: str, which: int | str) -> tuple[ModelManifest, Tensors]:
        """Return manifest and tensors of a version or alias; see the port."""
        manifest = self.manifest(name, which)
        try:
            path = self._tensor_path(manifest.tensors_sha256)
            data = read_at_most(path, MOST_BYTES)
        except FileNotFoundError:
            self.manifest(name, manifest.version)  # NotFound where it was removed meanwhile
            raise BadInput(
                place=str(path), expected=f"the tensors of {manifest.reference}",
                found="no such file", remedy=_REMEDY,
            ) from None  # fmt: skip
        return manifest, tensors_of(data, manifest, str(path))

    def add(self, manifest: ModelManifest, tensors: Tensors, *, alias: str = "") -> int:
        """Keep a new version and return its number, once it is durable; see the port."""
        check_addition(manifest, tensors, alias)
        data = tensor_bytes(tensors, manifest.name)
        digest, name = sha256(data), manifest.name
        with self._writing():
            # within the turn to write, so that no removal takes an equal file away
            write_durably(self._tensor_path(digest), data)
            ever = self._books.execute("SELECT version FROM models WHERE name=?", (name,))
            version = next_version(row[0] for row in ever)
            whole = replace(
                manifest, version=version, created_s=self._now_s(), tensors_sha256=digest,
                tensors_bytes=len(data),
            )  # fmt: skip
            told = manifest_bytes(whole)
            self._books.execute(
                "INSERT INTO models VALUES (?, ?, ?, ?, ?)",
                (name, version, told, sha256(told), digest),
            )
            if alias:
                self._move(name, alias, version, "")
        return version

    def set_alias(
        self, name: str, alias: str, version: int, *, before: int | None = None, reason: str = ""
    ) -> AliasMove:
        """Point an alias at a version; 0 takes it away; see the port."""
        check_name(name)
        with self._writing():
            now = self._aliases(name).get(alias, 0)
            if version:
                check_promotion(self._found(name, version), alias, reason)
            else:
                resolve(name, alias, self._versions(name), self._aliases(name))
            check_before(name, alias, now, before)
            return self._move(name, alias, version, reason)

    def history(self, name: str) -> list[AliasMove]:
        """Return how the aliases of a model were set, oldest first."""
        check_name(name)
        with self._reading():
            rows = self._books.execute(
                "SELECT alias, version, before, time_s, reason FROM moves WHERE name=? "
                "ORDER BY number", (name,),
            ).fetchall()  # fmt: skip
        return [AliasMove(*row) for row in rows]

    def remove(self, name: str, version: int) -> None:
        """Forget a version that no alias points at; see the port."""
        check_name(name)
        with self._writing():
            resolve(name, version, self._versions(name), {})
            check_removal(name, version, self._aliases(name))
            self._books.execute(
                "UPDATE models SET manifest=NULL, digest=NULL, tensors=NULL "
                "WHERE name=? AND version=?", (name, version),
            )  # fmt: skip
        with self._writing():  # files go after the rows that name them, in a turn of their own
            self._clear_away()

    def last_change(self) -> int:
        """Return a number that grows with every change by any process, cheaply."""
        with self._reading():
            return int(self._books.execute("SELECT number FROM changes").fetchone()[0])

    def close(self) -> None:
        """Let go; closing again does nothing."""
        with self._lock:
            self._closed = True
            self._books.close()

    def _prepare(self) -> None:
        self._books.execute(f"PRAGMA busy_timeout={int(self._patience_s * 1000):d}")
        if self._is_new():
            self._books.execute("PRAGMA journal_mode=WAL")
        self._books.execute("PRAGMA synchronous=FULL")
        with self._transaction("BEGIN IMMEDIATE"):
            if self._is_new():
                for statement in _TABLES.split(";\n"):
                    self._books.execute(statement)
                self._books.execute(f"PRAGMA application_id={APPLICATION_ID}")
                self._books.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def _is_new(self) -> bool:
        """Whether there is nothing in the file yet.

        Raises:
            BadInput: It is the file of something else, or of a newer version.
        """
        application, schema = (
            self._books.execute(f"PRAGMA {what}").fetchone()[0]
            for what in ("application_id", "user_version")
        )
        if not self._books.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            return True
        if application != APPLICATION_ID:
            raise BadInput(
                place=str(self._path), expected="a store of models",
                found="an SQLite database of something else", remedy="choose another folder",
            )  # fmt: skip
        if schema != SCHEMA_VERSION:
            raise BadInput(
                place=str(self._path), expected=f"a store of format {SCHEMA_VERSION}",
                found=f"format {schema}",
                remedy="use the version of CellHive that wrote it, or a newer one",
            )  # fmt: skip
        return False

    def _aliases(self, name: str) -> dict[str, int]:
        rows = self._books.execute("SELECT alias, version FROM aliases WHERE name=?", (name,))
        return dict(rows.fetchall())

    def _versions(self, name: str) -> list[int]:
        rows = self._books.execute(
            "SELECT version FROM models WHERE name=? AND manifest IS NOT NULL", (name,)
        )
        return [row[0] for row in rows]

    def _found(self, name: str, which: int | str) -> ModelManifest:
        version = resolve(name, which, self._versions(name), self._aliases(name))
        row = self._books.execute(
            "SELECT manifest, digest, name, version FROM models WHERE name=? AND version=?",
            (name, version),
        ).fetchone()
        return self._manifest(*row)

    def _manifest(self, data: bytes, digest: str, name: str, version: int) -> ModelManifest:
        place = f"{self._path}, model {name}:{version}"
        if not isinstance(data, bytes) or sha256(data) != digest:
            raise BadInput(
                place=place, expected="a manifest as it was written", found="another",
                remedy=_REMEDY,
            )  # fmt: skip
        manifest = manifest_of(data, place)
        if (manifest.name, manifest.version) != (name, version):
            raise BadInput(
                place=place, expected="its manifest", found=f"that of {manifest.reference}",
                remedy=_REMEDY,
            )  # fmt: skip
        return manifest

    def _move(self, name: str, alias: str, version: int, reason: str) -> AliasMove:
        before = self._aliases(name).get(alias, 0)
        move = AliasMove(alias, version, before, self._now_s(), reason)
        if version:
            self._books.execute(
                "INSERT OR REPLACE INTO aliases VALUES (?, ?, ?)", (name, alias, version)
            )
        else:
            self._books.execute("DELETE FROM aliases WHERE name=? AND alias=?", (name, alias))
        self._books.execute(
            "INSERT INTO moves (name, alias, version, before, time_s, reason) "
            "VALUES (?, ?, ?, ?, ?, ?)", (name, alias, version, before, move.time_s, reason),
        )  # fmt: skip
        return move

    def _tensor_path(self, digest: str) -> Path:
        return self._files / f"{digest}{_SUFFIX}"

    def _clear_away(self) -> None:
        """Delete the files that no version names; call it with the turn to write."""
        rows = self._books.execute("SELECT tensors FROM models WHERE tensors IS NOT NULL")
        named = {self._tensor_path(row[0]).name for row in rows}
        for path in self._files.iterdir():
            if path.name not in named:
                path.unlink(missing_ok=True)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Hold a view of one moment."""
        with self._transaction("BEGIN"):
            yield

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the turn to write; all that is written is kept at the end, or nothing."""
        with self._transaction("BEGIN IMMEDIATE"):
            yield
            self._books.execute("UPDATE changes SET number = number + 1")

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        with self._lock, self._translated():
            if self._closed:
                message = f"{self.folder}: expected an open store of models, found it closed"
                raise Unavailable(message, retry_after_s=0.0)
            self._books.execute(begin)
            try:
                yield
                self._books.execute("COMMIT")
            except BaseException:
                if self._books.in_transaction:
                    self._books.execute("ROLLBACK")
                raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _meaning(error, self._path, self._patience_s) from error
        except (UnicodeEncodeError, OverflowError) as error:
            raise BadInput(
                place=str(self._path), expected="text of UTF-8, numbers of 64 bits",
                found=str(error),
            ) from error  # fmt: skip


def _meaning(error: sqlite3.Error, path: Path, patience_s: float) -> CellHiveError:
    family = "_".join((getattr(error, "sqlite_errorname", "") or "").split("_")[:2])
    if family in {"SQLITE_BUSY", "SQLITE_LOCKED"}:
        message = (
            f"{path}: expected its turn within {patience_s:g} s, found another process writing "
            "all the time; try again"
        )
        return Unavailable(message, retry_after_s=max(patience_s, 1.0))
    if family in {"SQLITE_FULL", "SQLITE_IOERR"}:
        message = (
            f"{path}: expected a disk that takes what is written, found {error}; nothing of this "
            "was kept and nothing else is lost: make room and try again"
        )
        return Unavailable(message, retry_after_s=60.0)
    if family in {"SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH"}:
        return BadInput(
            place=str(path), expected="a file and a folder that can be written", found=str(error),
            remedy="see to its folder and rights",
        )  # fmt: skip
    return BadInput(
        place=str(path), expected="an undamaged store of models",
        found=f"a damaged or foreign file ({error})", remedy=_REMEDY,
    )  # fmt: skip
