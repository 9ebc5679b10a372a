"""Finds out by a file's first bytes which format of the package it is, and opens it."""

from __future__ import annotations

import re
from pathlib import Path

from cellhive.adapters.agentdb import hnswlib, native, relational
from cellhive.adapters.agentdb.source import Reading, Source
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.records import RecordKind

SIDE_CARS = (".mappings.json", ".idmap.json")
HEAD_BYTES = 128


def open_agentdb(
    path: Path, *, namespace: str = "", kind: RecordKind = RecordKind.RESULT
) -> Source:
    """Open a file of the npm package agentdb, whatever its name ends in.

    Args:
        path: SQLite file, native ``.rvf``, hnswlib index; or the side-car of one of these.
        namespace: Where its records go; by default what the file is called.
        kind: Kind of bare vectors, of which the file does not say what they are.

    Raises:
        NotFound: There is no such file.
        BadInput: It is of another format, or too damaged to begin with.
    """
    for ending in SIDE_CARS:
        if path.name.endswith(ending):
            path = path.with_name(path.name.removesuffix(ending))
    if not path.exists():
        message = f"{path}: there is no such file"
        raise NotFound(message)
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            size = path.stat().st_size
    except OSError as error:
        raise BadInput(
            place=str(path), expected="a file that can be read", found=error.strerror or str(error)
        ) from error
    reading = Reading(path, namespace or namespace_for(path), kind)
    if head.startswith(relational.MAGIC):
        return relational.open_relational(reading)
    if head.startswith(native.MAGIC):
        return native.open_native(reading)
    if hnswlib.looks_like(head, size):
        return hnswlib.open_hnswlib(reading)
    raise BadInput(
        place=str(path),
        expected="a file of the npm package agentdb: SQLite, native .rvf, or an hnswlib index",
        found=f"{size:,} bytes beginning with {head[:8]!r}" if head else "an empty file",
        remedy="JSON lines go in with cellhive memory add",
    )


def namespace_for(path: Path) -> str:
    """Return a namespace called like a file."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-.") or "agentdb"
