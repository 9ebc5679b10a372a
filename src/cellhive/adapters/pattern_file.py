"""The patterns that a run started with, kept in its folder so that it can be run again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cellhive.adapters.files import write_whole
from cellhive.adapters.run_codec import fingerprint, from_jsonable
from cellhive.core.errors import BadInput
from cellhive.core.types import to_jsonable
from cellhive.memory.patterns import Pattern

FILE: Final = "patterns.json"


@dataclass(frozen=True)
class _Content:
    now_s: float
    patterns: tuple[Pattern, ...]


def write_patterns(folder: Path, patterns: Sequence[Pattern], now_s: float) -> str:
    """Write patterns, and the time they are weighed at, into a run folder; return the digest."""
    data = json.dumps(to_jsonable(_Content(now_s, tuple(patterns))), allow_nan=False).encode()
    write_whole(folder / FILE, data)
    return fingerprint(data)


def read_patterns(folder: Path) -> tuple[tuple[Pattern, ...], float]:
    """Return the patterns that a run started with and the time they are weighed at.

    Raises:
        BadInput: They are missing or damaged, so that the run cannot be run again.
    """
    path = folder / FILE
    try:
        content = from_jsonable(_Content, json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise BadInput(
            place=str(path), expected="the patterns that the run was started with",
            found=str(error), remedy="run it anew",
        ) from error  # fmt: skip
    return content.patterns, content.now_s
