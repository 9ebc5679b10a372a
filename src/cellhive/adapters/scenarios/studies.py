"""Studies of the headroom as JSON: written city by city, so that a cut one goes on."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

from cellhive.adapters.files import read_bounded, write_whole
from cellhive.adapters.run_codec import from_jsonable
from cellhive.core.errors import BadInput
from cellhive.core.types import to_jsonable
from cellhive.flows.headroom import HeadroomStudy


def load_study(path: Path) -> HeadroomStudy:
    """Return a study.

    Raises:
        NotFound: There is no such file.
        BadInput: It holds something else.
    """
    return _parsed(read_bounded(path), str(path))


def _parsed(data: bytes, source: str) -> HeadroomStudy:
    try:
        return from_jsonable(HeadroomStudy, json.loads(data))
    except ValueError as error:  # bad JSON and bad UTF-8 are ValueErrors too
        raise BadInput(
            place=source, expected="results of cellhive headroom", found=str(error),
            remedy="choose another file",
        ) from error  # fmt: skip


def save_study(study: HeadroomStudy, path: Path) -> None:
    """Write a study; a reader sees the old or the new one, whole."""
    text = json.dumps(to_jsonable(study), indent=1, allow_nan=False)
    write_whole(path, text.encode("utf-8") + b"\n")


def library_study() -> HeadroomStudy:
    """Return the study of the scenarios of the package that comes with it."""
    file = resources.files("cellhive.adapters.scenarios") / "files" / "headroom.json"
    return _parsed(file.read_bytes(), file.name)
