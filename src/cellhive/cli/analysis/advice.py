"""What to change, on the screen and as files, for the command that analyses."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from cellhive.app.advice import write_advice
from cellhive.flows.advice.advise import Advised
from cellhive.reports.advice import words

NAMED = 5
"""Recommendations that are named on the screen."""


def tell_advice(advised: Advised, plan: Path | None, out: Console) -> None:
    """Print the first recommendations, and write the plan where one was asked for.

    Args:
        advised: What to change.
        plan: Where the plan goes; None writes none.
        out: Where to print.
    """
    out.print("What to change:")
    for text in words.summary(advised):
        out.print(f"  {text}", markup=False)
    for rank, one in enumerate(advised.recommendations[:NAMED], 1):
        out.print(f"  {rank}. {one.headline}", markup=False)
    if len(advised.recommendations) > NAMED:
        out.print(f"  and {len(advised.recommendations) - NAMED} more in the report")
    if plan is None:
        return
    written = write_advice(advised, plan)
    for name, path in written.items():
        out.print(f"{name}  {path}", markup=False)
    if "Plan" not in written:
        out.print(
            "No plan was written: nothing recommended can go into one. Either its present value "
            "is not known (a bulk CM export, or columns of settings, tell it) or it is no "
            "parameter of a plan; the table of work orders has it all."
        )
