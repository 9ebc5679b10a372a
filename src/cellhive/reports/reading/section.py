"""The section of a report that says of every file what it was taken for, or why it was not."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cellhive.core.inputs import FileOutcome
from cellhive.core.measurements import Finding, Measurements
from cellhive.reports.analysis.words import counted
from cellhive.reports.causal.report import escaped
from cellhive.reports.numbers import format_number
from cellhive.reports.page import Cell, Column, Table, environment

MOST_ROWS = 500
"""Files in the page; the first ones of those that were read, all the others before them."""
_MOST_LINES = 40
_MOST_COLUMNS = 8
_RANK = {"failed": 0, "ignored": 1, "read": 2}


@dataclass(frozen=True)
class FilesRead:
    """What became of the files, and what their columns were taken to mean."""

    files: Sequence[FileOutcome]
    measurements: Sequence[Measurements] = ()
    findings: Sequence[Finding] = ()
    columns: dict[str, dict[str, str]] = field(init=False)
    """Of each file, the KPI that each column was taken for; "" where it keeps its own name."""
    said: Counter[str] = field(init=False)
    """Findings of each file."""

    def __post_init__(self) -> None:
        """Gather what belongs to each file."""
        columns: dict[str, dict[str, str]] = {}
        for measured in self.measurements:
            taken = {info.header or name: str(info.quantity or "")
                     for name, info in measured.columns.items()}  # fmt: skip
            for source in measured.sources:
                columns.setdefault(source, {}).update(taken)
        object.__setattr__(self, "columns", columns)
        said = Counter(one.file for one in self.findings)
        object.__setattr__(self, "said", said)

    def lead(self) -> str:
        """Return one sentence on all files."""
        count = Counter(one.status for one in self.files)
        parts = [f"{count[status]} {status}" for status in ("read", "ignored", "failed")
                 if count[status]]  # fmt: skip
        return f"{counted(len(self.files), 'file')}: {', '.join(parts)}"

    def mapping_of(self, one: FileOutcome) -> str:
        """Return the columns of a file and what they were taken for, in words."""
        taken = self.columns.get(str(one.path), {})
        shown = [f"{name} = {kpi}" if kpi and kpi != name else name
                 for name, kpi in list(taken.items())[:_MOST_COLUMNS]]  # fmt: skip
        more = len(taken) - len(shown)
        return ", ".join(shown) + (f" and {more} more" if more > 0 else "")

    def in_order(self) -> list[FileOutcome]:
        """Return the files: first those that were not read."""
        return sorted(self.files, key=lambda one: _RANK.get(one.status, 0))


def files_html(read: FilesRead) -> str:
    """Return the body of the section on files."""
    files = read.in_order()
    folder = _common_folder([str(one.path) for one in files])
    table = Table(
        (Column("File", wide=True), Column("Read as"), Column("Became"),
         Column("Taken for"), Column("Rows", numeric=True),
         Column("Columns and what they were taken for"), Column("Why not"),
         Column("Findings", numeric=True)),
        [
            (Cell(str(one.path).removeprefix(folder), title=str(one.path)), one.kind, one.status,
             ", ".join(one.taken_for), one.rows, read.mapping_of(one), one.note,
             read.said[str(one.path)])
            for one in files[:MOST_ROWS]
        ],
        caption=read.lead() + _more(len(files) - MOST_ROWS)
        + (f". All in {folder}" if folder else ""),
    )  # fmt: skip
    return environment().get_template("files.html").render(files=table)


def _common_folder(names: Sequence[str]) -> str:
    """Return the folder that all names begin with, "" for none; it need not be read in each row."""
    folders = {name.rpartition("/")[0] for name in names}
    common = posixpath.commonpath(folders) if folders and "" not in folders else ""
    return f"{common.rstrip('/')}/" if common else ""


def files_markdown(read: FilesRead) -> list[str]:
    """Return the lines of the section without its heading."""
    files = read.in_order()
    folder = _common_folder([str(one.path) for one in files])
    lines = [escaped(read.lead() + (f". All in {folder}" if folder else "")), ""]
    for one in files[:_MOST_LINES]:
        words = [one.status, one.kind, *one.taken_for]
        words += [f"{format_number(one.rows, 12)} rows"] if one.rows else []
        words += [text for text in (one.note, read.mapping_of(one)) if text]
        name = str(one.path).removeprefix(folder)
        lines.append(f"- **{escaped(name)}**: {escaped('; '.join(words))}")
    return [*lines, *([_more(len(files) - _MOST_LINES).strip("; ")] if files[_MOST_LINES:] else [])]


def files_record(read: FilesRead) -> list[dict[str, Any]]:
    """Return the content of the section for programs."""
    return [
        {
            "file": str(one.path), "kind": one.kind, "status": one.status,
            "taken_for": list(one.taken_for), "rows": one.rows, "note": one.note,
            "columns": read.columns.get(str(one.path), {}), "findings": read.said[str(one.path)],
        }
        for one in read.files
    ]  # fmt: skip


def _more(count: int) -> str:
    return f"; {count} more that were read are in the JSON form" if count > 0 else ""
