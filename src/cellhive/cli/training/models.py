"""The commands about policies that are registered."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from cellhive.cli.output import console
from cellhive.cli.training.options import MODELS, ModelsFolder
from cellhive.core.errors import BadInput, CellHiveError

if TYPE_CHECKING:
    from cellhive.app.learning.models import ModelRow

Policy = Annotated[str, typer.Argument(help="NAME@VERSION, or NAME@ALIAS such as NAME@candidate.")]


def promote(
    policy: Policy,
    alias: Annotated[
        str, typer.Option("--as", help="Alias to point at it: champion is the one in use.")
    ] = "champion",
    reason: Annotated[
        str, typer.Option(help="Why, where it did not pass every gate; kept in the history.")
    ] = "",
    models: ModelsFolder = MODELS,
) -> None:
    """Make a version the one in use: what follows the champion takes it over in flight.

    A version that failed a gate, or was put to none, is refused unless a reason is given.
    """
    from cellhive.app.learning.policies import open_models, reference_of  # noqa: PLC0415

    if not {"@", ":"} & set(policy):
        raise BadInput(
            place="policy", expected=f"a version or an alias: {policy}@3 or {policy}@candidate",
            found=policy,
        )  # fmt: skip
    with open_models(models, existing=True) as there:
        reference = reference_of(policy)
        move = there.promote(reference, alias=alias, reason=reason)
    name = reference.partition(":")[0]
    before = f", before: {name}@{move.before}" if move.before else ""
    print(f"{name}@{move.version} is the {alias}{before}")


def list_models(
    models: ModelsFolder = MODELS,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the list as JSON and nothing else.")
    ] = False,
) -> None:
    """List the policies there are, yours and those that come with CellHive.

    What cannot be read is left out and told of, and the exit code is then not 0.
    """
    from cellhive.app.learning.policies import open_models  # noqa: PLC0415
    from cellhive.core.types import to_jsonable  # noqa: PLC0415

    unreadable: list[CellHiveError] = []
    with open_models(models, existing=True) as there:
        rows = there.rows(unreadable=unreadable)
        if there.store is None:
            console(stderr=True).print(
                f"There are no policies of yours in {models}; train one: cellhive train start",
                markup=False,
            )
    if as_json:
        print(json.dumps([to_jsonable(asdict(row)) for row in rows], indent=2, allow_nan=False))
    else:
        console().print(_table(rows))
    for error in unreadable[:-1]:
        console(stderr=True).print(f"cellhive: {error}", markup=False, soft_wrap=True)
    if unreadable:
        raise unreadable[-1]


def _table(rows: Sequence[ModelRow]) -> Table:
    words = {True: "passed", False: "not passed", None: "none"}
    table = Table("policy", "is", "registered", "learnt in", "gates", box=None, pad_edge=False)
    for row in rows:
        ships = ("ships",) if row.ships else ()
        table.add_row(
            escape(f"{row.name}@{row.version}"), escape(", ".join((*row.aliases, *ships))),
            f"{datetime.fromtimestamp(row.created_s, UTC):%Y-%m-%d %H:%M}",
            escape(", ".join(row.scenarios)), words[row.gates_passed],
        )  # fmt: skip
    return table


def diff(one: Policy, other: Policy, models: ModelsFolder = MODELS) -> None:
    """Say in what two policies differ: knobs, data, budget, figures, gates, weights."""
    from cellhive.app.learning.policies import open_models, reference_of  # noqa: PLC0415

    with open_models(models, existing=True) as there:
        found = there.diff(reference_of(one), reference_of(other))
    if not found:
        print(f"{one} and {other} are the same")
        return
    table = Table("what", escape(one), escape(other), box=None, pad_edge=False)
    for difference in found:
        cells = (difference.what, difference.one, difference.other)
        table.add_row(*(escape(text) for text in cells))
    console().print(table)


def export(
    policy: Policy,
    folder: Annotated[
        Path, typer.Argument(help="Folder for plain files, made where there is none.")
    ],
    name: Annotated[
        str, typer.Option("--as", help="Name there, as whose champion; default: its own name.")
    ] = "",
    models: ModelsFolder = MODELS,
) -> None:
    """Write a policy as JSON and safetensors, to take it elsewhere or to ship it."""
    from cellhive.app.learning.policies import export_as, reference_of  # noqa: PLC0415

    print(export_as(reference_of(policy), folder, name, models))
