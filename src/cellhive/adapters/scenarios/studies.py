"""Studies over many cities as JSON: written as results come, so that a cut one goes on."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

from cellhive.adapters.files import read_bounded, write_whole
from cellhive.adapters.run_codec import from_jsonable
from cellhive.core.errors import BadInput
from cellhive.core.types import to_jsonable
from cellhive.flows.arms.compare import ArmStudy
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


def load_arms(path: Path) -> ArmStudy:
    """Return a comparison of arms.

    Raises:
        NotFound: There is no such file.
        BadInput: It holds something else.
    """
    try:
        return from_jsonable(ArmStudy, json.loads(read_bounded(path)))
    except ValueError as error:
        raise BadInput(
            place=str(path), expected="results of cellhive train evaluate", found=str(error),
            remedy="choose another file",
        ) from error  # fmt: skip


def save_arms(study: ArmStudy, path: Path) -> None:
    """Write a comparison with one result a line; a reader sees the old or the new one, whole."""
    plain = to_jsonable(study)
    rows = [json.dumps(_short(row), allow_nan=False) for row in plain.pop("results")]
    head = json.dumps(plain, allow_nan=False)[1:-1]
    listed = ",\n  ".join(rows)
    text = f'{{{head},\n "results": [\n  {listed}\n ]\n}}\n'
    write_whole(path, text.encode("utf-8"))


def _short(value: Any) -> Any:
    """Return numbers with the eight digits that matter."""
    if isinstance(value, dict):
        return {name: _short(item) for name, item in value.items()}
    return float(f"{value:.8g}") if isinstance(value, float) else value
