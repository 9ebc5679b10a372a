"""Commands that list the incidents a memory holds, and note what they turned out to be."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from cellhive.cli.memory_options import MEMORY, AsJson, KeyPlace, MemoryPlace, opened
from cellhive.cli.output import console

incidents_app = typer.Typer(
    help="Incidents that [bold]cellhive analyze --memory[/bold] has seen, and what they were.",
    no_args_is_help=True,
)


@incidents_app.command("list")
def list_incidents(
    memory: MemoryPlace = MEMORY,
    key: KeyPlace = "",
    most: Annotated[int, typer.Option("--most", min=1, help="How many, newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the incidents that a memory holds, newest first.

    Example: cellhive incidents list --memory memory
    """
    from cellhive.core.types import to_jsonable  # noqa: PLC0415  # --help must not wait
    from cellhive.flows.recall import incidents as remembered  # noqa: PLC0415
    from cellhive.reports.analysis import words  # noqa: PLC0415
    from cellhive.reports.analysis.clock import UTC_CLOCK  # noqa: PLC0415

    with opened(memory, key, existing=True) as held:
        found = remembered.every(held)
    shown = found[::-1][:most]
    if as_json:
        print(json.dumps([
            {"id": one.id, "time_s": one.time_s, **to_jsonable(dict(one.metadata))} for one in shown
        ], indent=2))  # fmt: skip
        return
    if not found:
        console().print("No incidents yet: run cellhive analyze PATHS --memory FOLDER first.")
        return
    table = Table("id", "since (UTC)", "incident", "objects", "note")
    for one in shown:
        facts = one.metadata
        count = int(str(facts.get("object_count") or 1))
        where = str(facts.get("lead_object")) + (f" and {count - 1} more" if count > 1 else "")
        what = f"{facts.get('kind')}: {facts.get('lead_kpi')}"
        cells = (one.id, UTC_CLOCK.written(one.time_s), what, where, str(facts.get("note") or "–"))
        table.add_row(*(escape(words.clean(cell)) for cell in cells))
    console().print(table)
    if len(found) > len(shown):
        console().print(f"{len(found) - len(shown)} older ones not shown; see --most")


@incidents_app.command("note")
def note_incident(
    incident: Annotated[str, typer.Argument(help="Its id, or the beginning of it.")],
    note: Annotated[str, typer.Argument(help='What it was and what helped; "" takes it away.')],
    memory: MemoryPlace = MEMORY,
    key: KeyPlace = "",
) -> None:
    """Note what an incident turned out to be; shown when one like it comes again.

    Example: cellhive incidents note 3f9a "feeder water damage, jumper replaced"
    """
    from cellhive.flows.recall import incidents as remembered  # noqa: PLC0415

    with opened(memory, key, existing=True) as held:
        record = remembered.noted(held, incident, note)
    done = "noted" if note.strip() else "note taken away"
    console().print(f"{record.id}: {done}", markup=False)
