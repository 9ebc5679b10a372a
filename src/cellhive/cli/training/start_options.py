"""Options of the commands that train: those of ``start``, and those that ``resume`` takes too."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class LearnHow(StrEnum):
    """How a policy learns from what it is shown."""

    IMITATE = "imitate"
    OFFLINE = "offline"


Where = Annotated[
    str | None,
    typer.Option(
        help="here: in this process; ray: in several, on the cluster of RAY_ADDRESS or on this "
        "machine. Default: here, or as it began."
    ),
]  # fmt: skip
Runners = Annotated[
    int | None, typer.Option(help="With --on ray: processes that simulate; default 2.")
]
Learners = Annotated[
    int | None,
    typer.Option(help="With --on ray: processes that learn; default 0: the command itself."),
]
TimeLimit = Annotated[
    float | None,
    typer.Option(help="Minutes after which no further iteration begins; it can be gone on with."),
]
ModelsAsBegun = Annotated[
    str | None,
    typer.Option("--models", help="Store to register the policy in; default: as it began."),
]
Gates = Annotated[
    bool,
    typer.Option(
        help="Judge the policy in cities held out: against the rules, the champion, the guard."
    ),
]
Board = Annotated[
    bool | None,
    typer.Option(help="Write TensorBoard files; default: where tensorboardX is installed."),
]

RecipeName = Annotated[
    str,
    typer.Option(
        help="What to train: quick (minutes: handover settings on the highway), champion (half "
        "an hour: timing of handovers, every scenario), or, half an hour each and learnt "
        "beside the rules, sleep (which capacity cells sleep) and tilt (antennas at sites of "
        "several carriers). The options below change parts of it."
    ),
]
Name = Annotated[str, typer.Option(help="Name of the policy; default: that of the recipe.")]
Scenario = Annotated[
    list[str] | None,
    typer.Option(help="Where to learn: a scenario or a YAML file; repeatable."),
]
Cities = Annotated[
    int | None,
    typer.Option(help="Cities of each scenario, from the first of its training seeds on."),
]
Networks = Annotated[int | None, typer.Option(help="Networks simulated in each city at once.")]
Iterations = Annotated[
    int | None, typer.Option(help="Episodes in each network; after each the policy learns.")
]
Periods = Annotated[
    int | None, typer.Option(help="Decisions in an episode; one stands for 15 minutes.")
]
Observed = Annotated[
    float | None, typer.Option(help="Seconds of radio time simulated per decision.")
]
Heads = Annotated[
    str | None,
    typer.Option(help="Parameters to turn, such as cio_db,a3_offset_db,electrical_tilt_deg."),
]
Roles = Annotated[
    str | None,
    typer.Option(help="joint: one policy for all; functions: mobility, load, coverage, energy."),
]
Hidden = Annotated[int | None, typer.Option(help="Width of the hidden layers.")]
Encoder = Annotated[
    str | None,
    typer.Option(
        help="What a decision is made of: neighbours (the cell and those next to it), flat "
        "(both in one row) or network (one decision for all cells)."
    ),
]
LearnerSettings = Annotated[
    list[str] | None,
    typer.Option(help="A setting of the learner, such as learning_rate=0.0005; repeatable."),
]
Parent = Annotated[str, typer.Option(help="Policy to begin from, NAME or NAME@VERSION.")]
LearnFrom = Annotated[
    list[str] | None,
    typer.Option(
        help="Teach it before it plays: rules (at work in the training cities), "
        "memory:FOLDER, or the folder of a recorded run; repeatable."
    ),
]
HowToLearn = Annotated[
    LearnHow,
    typer.Option(help="imitate what was done, or offline: judge it, and take the better more."),
]
CausalMask = Annotated[
    bool,
    typer.Option("--causal-mask", help="Show it only what can matter to its parameters."),
]
Privacy = Annotated[
    float,
    typer.Option(help="Most privacy loss (epsilon) of what it is shown; 0 protects nothing."),
]
Against = Annotated[
    str,
    typer.Option(help="Policy that has to be beaten; default: the champion of the same name."),
]
Joins = Annotated[
    str,
    typer.Option(
        help="With --recipe sleep or tilt: policy that does the rest; the new one has the roles "
        "of both."
    ),
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same curve.")]
Device = Annotated[str, typer.Option(help="cpu, or cuda where torch sees one.")]
CheckpointEvery = Annotated[
    int, typer.Option(help="Iterations between two checkpoints; the last three are kept.")
]
TrainingsFolder = Annotated[
    Path, typer.Option("--out", "-o", help="Folder in which that of the training is made.")
]
