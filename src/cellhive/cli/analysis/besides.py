"""What an analysis read besides measurements, on the screen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.text import Text

from cellhive.app.audit import Audited
from cellhive.cli.output import console
from cellhive.flows.drives.survey import Survey
from cellhive.reports.drive.section import drives_screen

_MOST_FINDINGS = 5


def print_besides(
    taken: Mapping[str, Sequence[Path]],
    audited: Audited | None,
    surveys: Sequence[Survey],
    mapping: str = "",
) -> None:
    """Print what files were taken for, the drive tests, and the worst of the configuration.

    Args:
        taken: Files by what they were taken for.
        audited: The configuration and its audit; None where there is none.
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
    if audited is not None:
        conf, found = audited
        counts = Counter(one.severity.value for one in found.findings)
        told = ", ".join(f"{count} {name}" for name, count in counts.items()) or "nothing found"
        console().print(
            Text(
                f"Configuration: {conf.cells} cells, {conf.relation_source.size} neighbour "
                f"relations; {told}"
            )
        )
        for one in found.findings[:_MOST_FINDINGS]:
            console().print(Text(f"  {one.severity.value}: {one.found}"))


def _names(files: Sequence[Path]) -> str:
    shown = ", ".join(path.name for path in files[:4])
    return shown + (f" and {len(files) - 4} more" if len(files) > 4 else "")  # noqa: PLR2004
