"""Puts a configuration audit together: which reader for which file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from cellhive.adapters.cm.cell_lists import read_cell_list
from cellhive.adapters.cm.mml import read_mml
from cellhive.adapters.cm.stated import Stated, put_together
from cellhive.adapters.cm.tables import read_configuration_table, take_table
from cellhive.adapters.cm.xml_files import read_cm_xml
from cellhive.adapters.reading import files_of, kind_of
from cellhive.adapters.recognition import table_of
from cellhive.adapters.tabular.sheets import read_grids
from cellhive.core.errors import BadInput
from cellhive.core.measurements import Finding, Severity
from cellhive.diagnose.audit.configuration import Audit, Configuration
from cellhive.diagnose.audit.run import audit

AUDIT_SUFFIXES = (".html", ".htm", ".md", ".json")
"""Forms of the report of an audit."""


class Audited(NamedTuple):
    """A configuration, and what an audit found in it."""

    configuration: Configuration
    audit: Audit


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
    for path, _ in files_of(paths, lambda error: stated.findings.add(_closed(error))):
        if on_file is not None:
            on_file(path)
        try:
            _reader(path)(path, stated)
        except BadInput as error:
            stated.findings.add(
                Finding(Severity.ERROR, "file-not-read", "", str(error), "left out", file=path.name)
            )
        stated.ended(path.name)
    conf = put_together(stated)
    return conf, audit(conf), stated.findings.as_tuple()


def _reader(path: Path) -> Callable[[Path, Stated], int]:
    """Return the reader of a file by how it begins."""
    readers = {
        "xml": read_cm_xml, "json": _json, "mml": read_mml, "spreadsheet": _grids,
        "parquet": _grids,
    }  # fmt: skip
    return readers.get(kind_of(path), read_configuration_table)


def _grids(path: Path, stated: Stated) -> int:
    """Read every table of a spreadsheet or Parquet file."""
    grids = read_grids(path, stated.findings, kind=kind_of(path))
    return sum(take_table(table_of(grid), path, stated) for grid in grids)


def _json(path: Path, stated: Stated) -> int:
    """Read JSON as a cell list, or as rows of a table where it names no cell like that."""
    try:
        return read_cell_list(path, stated)
    except BadInput as first:
        try:
            return read_configuration_table(path, stated)
        except BadInput:
            raise first from None


def _closed(error: OSError) -> Finding:
    return Finding(
        Severity.ERROR, "folder-not-read", "a folder that can be read",
        error.strerror or str(error), "left out", file=str(error.filename or ""),
    )  # fmt: skip
