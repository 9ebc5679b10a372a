"""``cellhive train``: from a recipe to a policy that runs a network."""

from __future__ import annotations

import typer

from cellhive.cli.training.evaluate import evaluate
from cellhive.cli.training.models import diff, export, list_models, promote
from cellhive.cli.training.start import resume, start

train_app = typer.Typer(
    help="Train policies, judge them, and say which one is in use.\n\n"
    "[bold]start[/bold] trains and puts what comes of it to the gates; who passes them is the "
    "candidate. [bold]promote[/bold] makes a candidate the champion, which "
    "[bold]cellhive run --optimizer rl:NAME[/bold] takes. Training needs the extra "
    "[bold]train[/bold] (torch); running a trained policy does not.",
    no_args_is_help=True,
)
train_app.command()(start)
train_app.command()(resume)
train_app.command()(evaluate)
train_app.command()(promote)
train_app.command("list")(list_models)
train_app.command()(diff)
train_app.command()(export)
