"""The commands about policies that are registered."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from cellhive.cli.output import console
from cellhive.cli.training.options import MODELS, ModelsFolder
from cellhive.core.errors import NotFound

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
    """Make a version the one in use: networks that follow the champion take it at once.

    A version that failed a gate, or was put to none, is refused unless a reason is given.
    """
    from cellhive.app.policies import found, open_models  # noqa: PLC0415

    manifest, _ = found(f"rl:{policy}", models)
    with closing(open_models(models)) as store:
        move = store.set_alias(manifest.name, alias, manifest.version, reason=reason)
    before = f", before: {manifest.name}@{move.before}" if move.before else ""
    print(f"{manifest.name}@{manifest.version} is the {alias}{before}")


def list_models(
    models: ModelsFolder = MODELS,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the manifests as JSON and nothing else.")
    ] = False,
) -> None:
    """List the policies that are registered, with what they are called and came to."""
    from cellhive.app.policies import listed  # noqa: PLC0415
    from cellhive.core.types import to_jsonable  # noqa: PLC0415

    there = listed(models)
    if as_json:
        every = [{**to_jsonable(m), "aliases": list(aliases)} for m, aliases in there]
        print(json.dumps(every, indent=2, allow_nan=False))
        return
    if not there:
        print(f"There are no policies in {models}; train one: cellhive train start")
        return
    table = Table("policy", "is", "registered", "learnt in", "gates", box=None, pad_edge=False)
    for manifest, aliases in there:
        passed = sum(gate.passed for gate in manifest.gates)
        when = datetime.fromtimestamp(manifest.created_s, UTC)
        table.add_row(
            escape(f"{manifest.name}@{manifest.version}"), escape(", ".join(aliases)),
            f"{when:%Y-%m-%d %H:%M}", escape(", ".join(manifest.lineage.scenarios)),
            f"{passed} of {len(manifest.gates)}" if manifest.gates else "none",
        )  # fmt: skip
    console().print(table)


def diff(one: Policy, other: Policy, models: ModelsFolder = MODELS) -> None:
    """Say in what two policies differ: knobs, data, budget, figures, gates, weights."""
    from cellhive.app.policies import found  # noqa: PLC0415
    from cellhive.lifecycle.registry import differences  # noqa: PLC0415

    pair = [found(f"rl:{policy}", models) for policy in (one, other)]
    if pair[0][0].reference == pair[1][0].reference:
        message = f"expected two policies, found {one} and {other}, which are the same"
        raise NotFound(message)
    table = Table("what", one, other, box=None, pad_edge=False)
    for found_difference in differences(pair[0], pair[1]):
        cells = (found_difference.what, found_difference.one, found_difference.other)
        table.add_row(*(escape(text) for text in cells))
    console().print(table)
