"""Puts a configuration audit together: which reader for which file."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path

from cellhive.adapters.cm.bulk_cm import read_bulk_cm
from cellhive.adapters.cm.cell_lists import read_cell_list
from cellhive.adapters.cm.stated import Stated, put_together
from cellhive.adapters.cm.tables import read_configuration_table
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.measurements import Finding, Severity
from cellhive.diagnose.audit.configuration import Audit, Configuration
from cellhive.diagnose.audit.run import audit

AUDIT_SUFFIXES = (".html", ".htm", ".md", ".json")
"""Forms of the report of an audit."""

_HEAD = 4096


def audit_paths(
    paths: Sequence[Path], on_file: Callable[[Path], None] | None = None
) -> tuple[Configuration, Audit, tuple[Finding, ...]]:
    """Read files and folders, and audit what they describe together.

    A file that cannot be read is a finding; the others go on.

    Raises:
        NotFound: A path does not exist.
        BadInput: No file describes a cell.
    """
    stated = Stated()
    for path in _files(paths):
        if on_file is not None:
            on_file(path)
        try:
            _reader(path)(path, stated)
        except BadInput as error:
            stated.findings.add(
                Finding(Severity.ERROR, "file-not-read", "", str(error), "left out", file=path.name)
            )
    conf = put_together(stated)
    return conf, audit(conf), stated.findings.as_tuple()


def _files(paths: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            message = f"{path}: there is no such file or folder"
            raise NotFound(message)
        inside = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        found += [p for p in inside if not p.name.startswith(".")]
    return found


def _reader(path: Path) -> Callable[[Path, Stated], int]:
    """Return the reader of a file by how it begins."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head[:2] == b"\x1f\x8b":
        try:
            with gzip.open(path) as packed:
                head = packed.read(_HEAD)
        except (OSError, EOFError) as error:
            raise BadInput(
                place=str(path), expected="a whole gzip file", found=str(error)
            ) from error
    plain = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if plain[:1] == b"<":
        return read_bulk_cm
    if plain[:1] in {b"{", b"["}:
        return _json
    return read_configuration_table


def _json(path: Path, stated: Stated) -> int:
    """Read JSON as a cell list, or as rows of a table where it names no cell like that."""
    try:
        return read_cell_list(path, stated)
    except BadInput as first:
        try:
            return read_configuration_table(path, stated)
        except BadInput:
            raise first from None
