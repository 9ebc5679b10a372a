"""What became of the files that were read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """What became of one file, or of one member of an archive."""

    path: Path
    kind: str
    """"xml", "json", "text", "mml", "spreadsheet", "parquet", "html", "zip", "tar", "empty", ..."""
    status: str
    """"read", "ignored" (holds nothing of a network) or "failed"."""
    rows: int = 0
    """Rows of measurements, samples of drives, cells and relations that were taken over."""
    note: str = ""
    """Why it was not read, or not all of it."""
    taken_for: tuple[str, ...] = ()
    """What it, or each table in it, was taken for."""
