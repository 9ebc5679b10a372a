"""What an analysis read besides measurements, on the screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.text import Text

from cellhive.cli.output import console
from cellhive.flows.drives.survey import Survey
from cellhive.reports.drive.section import drives_screen


def print_besides(
    taken: Mapping[str, Sequence[Path]],
    surveys: Sequence[Survey],
    mapping: str = "",
) -> None:
    """Print what files were taken for, and the drive tests.

    Args:
        taken: Files by what they were taken for.
        surveys: What drive tests add up to.
        mapping: The mapping that was used; "" for none.
    """
    if mapping:
        console().print(Text.assemble(("Mapping used  ", "dim"), (mapping, "bold")))
    if set(taken) - {"measurements"}:
        lines = [f"{purpose}: {_names(files)}" for purpose, files in taken.items()]
        console().print(Text("\nFiles were taken for\n  " + "\n  ".join(lines)))
    if surveys:
        console().print(drives_screen(surveys))


def _names(files: Sequence[Path]) -> str:
    shown = ", ".join(path.name for path in files[:4])
    return shown + (f" and {len(files) - 4} more" if len(files) > 4 else "")  # noqa: PLR2004
