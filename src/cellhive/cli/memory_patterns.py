"""Commands that fill a memory from recorded runs, and keep its patterns few."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cellhive.cli.memory_options import MEMORY, AsJson, KeyPlace, MemoryPlace, opened
from cellhive.cli.output import console


def learn(
    run_folders: Annotated[list[Path], typer.Argument(help="Run folders, e.g. runs/*")],
    private: Annotated[
        bool, typer.Option("--private", help="Label the patterns as not for other memories.")
    ] = False,
    memory: MemoryPlace = MEMORY,
    key: KeyPlace = "",
    as_json: AsJson = False,
) -> None:
    """Learn patterns from recorded runs; each run teaches a memory only once.

    What was done, in which situation, and what became of it beside what was left alone.
    Patterns name no cell and no site; the plans themselves are kept too, labelled private.

    Example: cellhive memory learn runs/*
    """
    from cellhive.adapters.runs import load_run  # noqa: PLC0415  # --help must not wait
    from cellhive.app import recall  # noqa: PLC0415

    found = []
    with opened(memory, key) as held:
        for folder in run_folders:
            learnt = recall.learn(held, load_run(folder), private=private)
            found.append(learnt)
            if not as_json:
                console().print(f"Memory {learnt.told}", markup=False, soft_wrap=True)
    if as_json:
        print(json.dumps([asdict(each) for each in found], indent=2))


def condense(memory: MemoryPlace = MEMORY, key: KeyPlace = "", as_json: AsJson = False) -> None:
    """Pool patterns that are alike, and forget those that are worth least.

    Of several replicas of a memory only one should do this at a time.

    Example: cellhive memory condense
    """
    from cellhive.app import recall  # noqa: PLC0415  # --help must not wait
    from cellhive.app.memory.opening import now_ms  # noqa: PLC0415

    with opened(memory, key, existing=True) as held:
        before, after = recall.condense(held, now_ms() / 1000)
    if as_json:
        print(json.dumps({"before": before, "after": after}))
    else:
        console().print(f"{before} patterns became {after}")
