"""The commands that train."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from cellhive.cli.output import EXIT_FAILED, EXIT_INTERRUPTED, Stop, console, stoppable
from cellhive.cli.progress import Stages
from cellhive.cli.training.options import MODELS, ModelsFolder
from cellhive.cli.training.start_options import (
    Against,
    Board,
    CausalMask,
    CheckpointEvery,
    Cities,
    Device,
    Encoder,
    Gates,
    Heads,
    Hidden,
    HowToLearn,
    Iterations,
    Joins,
    Learners,
    LearnerSettings,
    LearnFrom,
    LearnHow,
    ModelsAsBegun,
    Name,
    Networks,
    Observed,
    Parent,
    Periods,
    Privacy,
    RecipeName,
    Roles,
    Runners,
    Scenario,
    Seed,
    TimeLimit,
    TrainingsFolder,
    Where,
)
from cellhive.core.errors import BadInput, CellHiveError

if TYPE_CHECKING:
    from cellhive.app.learning.training import Training
    from cellhive.core.ports import Observer
    from cellhive.flows.training.train import TrainingEnded

_SECONDS = 60.0


def start(
    recipe: RecipeName = "quick",
    name: Name = "",
    scenario: Scenario = None,
    cities: Cities = None,
    networks: Networks = None,
    iterations: Iterations = None,
    periods: Periods = None,
    observed: Observed = None,
    heads: Heads = None,
    roles: Roles = None,
    hidden: Hidden = None,
    encoder: Encoder = None,
    learning: LearnerSettings = None,
    parent: Parent = "",
    learn_from: LearnFrom = None,
    learn_how: HowToLearn = LearnHow.IMITATE,
    causal_mask: CausalMask = False,
    privacy: Privacy = 0.0,
    against: Against = "",
    joins: Joins = "",
    seed: Seed = 1,
    device: Device = "cpu",
    checkpoint_every: CheckpointEvery = 10,
    on: Where = None,
    runners: Runners = None,
    learners: Learners = None,
    time_limit: TimeLimit = None,
    gates: Gates = True,
    tensorboard: Board = None,
    models: ModelsFolder = MODELS,
    out: TrainingsFolder = Path("training"),
) -> None:
    """Train a policy in simulated cities, judge it, and register it.

    A first look, in a few minutes on a laptop:

        cellhive train start --recipe quick --time-limit 5

    The policy learns in the training cities of the scenarios, and is judged in their
    validation cities; test cities are left for "cellhive train evaluate". Ctrl-C ends after
    the iteration at hand with a checkpoint, and says how to go on. The folder of the training
    keeps recipe, curve and checkpoints.

    Exit code: 0 done, 1 failed or gates not passed, 2 wrong input, 130 interrupted.
    """
    from cellhive.adapters.files import check_folder  # noqa: PLC0415
    from cellhive.app.learning import training as composition  # noqa: PLC0415 - --help must not wait
    from cellhive.app.learning.models import check_models  # noqa: PLC0415
    from cellhive.flows.training.beginning import Beginning  # noqa: PLC0415
    from cellhive.flows.training.recipe import recipe_named, with_changes  # noqa: PLC0415

    changes = {
        "scenarios": tuple(scenario) if scenario else None, "cities": cities,
        "networks": networks, "iterations": iterations, "periods": periods,
        "observed_s": observed, "roles": roles, "hidden": hidden, "encoder": encoder,
        "heads": tuple(head.strip() for head in heads.split(",")) if heads else None,
        "learning": _settings(learning),
        "beginning": Beginning(
            tuple(learn_from or ()), learn_how is LearnHow.OFFLINE, causal_mask=causal_mask,
            epsilon=privacy,
        ),
    }  # fmt: skip
    options = composition.TrainOptions(
        recipe=with_changes(recipe_named(recipe), changes), name=name or recipe, seed=seed,
        device=device, checkpoint_every=checkpoint_every, time_limit_s=_limit_s(time_limit),
        models=models, parent=parent, against=against, joins=joins, command=_typed(),
        on=on or composition.HERE,
        **_processes(runners, learners, on or composition.HERE),
    )  # fmt: skip
    check_folder(out, "--out")
    check_models(models)
    messages = console(stderr=True)
    with Stages(messages) as stages:
        stages("Preparing; the first time kernels are compiled")
        training = composition.begin(options, out, _told(stages))
    with closing(training):
        _go(training, messages, gates=gates, tensorboard=tensorboard)


def resume(
    folder: Annotated[Path, typer.Argument(help="Folder of a training, e.g. training/quick-...")],
    iterations: Annotated[
        int | None, typer.Option(help="Go further than was planned: iterations in the end.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; default: as it began.")] = None,
    on: Where = None,
    runners: Runners = None,
    learners: Learners = None,
    time_limit: TimeLimit = None,
    gates: Gates = True,
    tensorboard: Board = None,
    models: ModelsAsBegun = None,
) -> None:
    """Go on with a training that was stopped, or killed, from its newest whole checkpoint.

    The curve goes on as if nothing had happened: the same numbers, on the same machine and
    device. A checkpoint that is damaged is left out, and the one before it is taken.
    """
    from cellhive.app.learning import training as composition  # noqa: PLC0415
    from cellhive.app.learning.models import check_models  # noqa: PLC0415

    messages = console(stderr=True)
    changes: dict[str, Any] = {"iterations": iterations, "device": device, "on": on,
                               "models": models}  # fmt: skip
    changes |= _processes(runners, learners, on)
    if time_limit is not None:
        changes["time_limit_s"] = _limit_s(time_limit)
    with Stages(messages) as stages:
        stages("Preparing")
        training = composition.resume(folder, _told(stages), changes)
    with closing(training):
        check_models(training.options.models)
        there = composition.registered(training)
        number = training.trainer.number
        if iterations is not None and iterations < number:
            raise BadInput(
                place="--iterations", expected=f"{number} or more, which are done",
                found=str(iterations),
            )  # fmt: skip
        if there and number >= training.options.recipe.iterations:
            print(f"all {number} iterations are done, and {there} is registered; go further: "
                  f"--iterations {2 * number}")  # fmt: skip
            return
        _go(training, messages, gates=gates, tensorboard=tensorboard)


def _processes(runners: int | None, learners: int | None, on: str | None) -> dict[str, int]:
    """Return what was said of processes; where a training of one began elsewhere is not known."""
    both = {"runners": runners, "learners": learners}
    given = {name: count for name, count in both.items() if count is not None}
    if given and on == "here":
        raise BadInput(
            place=" ".join(f"--{name}" for name in given), expected="--on ray", found="--on here",
            remedy="in this process there are none; add --on ray or leave it out",
        )  # fmt: skip
    return given


def _settings(given: list[str] | None) -> dict[str, float] | None:
    """Return what "NAME=NUMBER" says."""
    if not given:
        return None
    settings = {}
    for text in given:
        name, equals, value = text.partition("=")
        try:
            settings[name.strip()] = float(value)
        except ValueError:
            equals = ""
        if not equals:
            raise BadInput(
                place="--learning", expected="NAME=NUMBER, such as learning_rate=0.0005",
                found=repr(text),
            )  # fmt: skip
    return settings


def _limit_s(minutes: float | None) -> float:
    return math.inf if minutes is None else minutes * _SECONDS


def _typed() -> str:
    """Return the command as it was typed."""
    return shlex.join(["cellhive", *sys.argv[1:]])


def _go(training: Training, messages: Console, *, gates: bool, tensorboard: bool | None) -> None:
    """Train, judge, register, and say what came of it."""
    for note in training.notes:
        messages.print(note, markup=False, style="yellow")
    path = training.folder.path
    messages.print(f"Training in {path}", markup=False)
    stop = Stop(
        messages, "Stopping after this iteration (Ctrl-C once more: at once) ...", at_once=True
    )
    with stoppable(stop):
        try:
            ended = _trained(training, messages, stop, tensorboard)
        except CellHiveError:
            messages.print(f"What was learnt before is kept in {path}", markup=False)
            raise
    if ended.why != "done":
        planned = training.options.recipe.iterations
        how_far = f"{ended.why} after iteration {ended.number} of {planned}"
        print(f"{how_far}; go on: {_going_on(path, gates=gates)}")
        if ended.why == "interrupted":
            sys.exit(128 + stop.signum if stop.signum else EXIT_INTERRUPTED)
        return
    kept = f"what was learnt is kept; register it: {_going_on(path, gates=gates)}"
    try:
        _finish(training, messages, gates=gates)
    except KeyboardInterrupt:
        print(f"interrupted after the last iteration; {kept}")
        sys.exit(EXIT_INTERRUPTED)
    except CellHiveError:
        messages.print(kept[0].upper() + kept[1:], markup=False)
        raise


def _going_on(path: Path, *, gates: bool) -> str:
    """Return the command that goes on with a training."""
    return shlex.join(
        ["cellhive", "train", "resume", str(path), *([] if gates else ["--no-gates"])]
    )


def _trained(
    training: Training, messages: Console, stop: Stop, tensorboard: bool | None
) -> TrainingEnded:
    from cellhive.app.learning import training as composition  # noqa: PLC0415
    from cellhive.reports.training.live import training_view  # noqa: PLC0415

    board = composition.board(training, tensorboard)
    try:
        with training_view(training.options.name, messages, training.scores) as view:
            training.observers += [view, *([board] if board else [])]
            return composition.run(training, stop)
    finally:
        if board is not None:
            board.close()


def _finish(training: Training, messages: Console, *, gates: bool) -> None:
    """Judge and register, and say how to use it."""
    from cellhive.app.learning import training as composition  # noqa: PLC0415

    judged = None
    if gates:
        of = len(training.scenarios) * training.options.recipe.gates.cities
        if not messages.is_terminal:  # the first city may take minutes
            messages.print(f"Judging in {of} cities held out ...", markup=False)
        with Stages(messages) as stages:
            judged = composition.judge(training, _judging(stages, of))
    manifest = composition.register(training, judged)
    which = f"{manifest.name}@{manifest.version}"
    if judged is None:
        print(f"{which} registered, put to no gate")
        return
    table = Table("gate", "", "found", box=None, pad_edge=False)
    for gate in judged.gates:
        table.add_row(gate.name, "passed" if gate.passed else "NOT PASSED", gate.found)
    console().print(table)
    where = training.options.models
    models = "" if where == MODELS else f" --models {shlex.quote(where)}"
    if not judged.passed:
        print(f"{which} registered; it is no candidate, because it did not pass every gate")
        sys.exit(EXIT_FAILED)
    print(f"{which} registered as candidate; use it: cellhive run --optimizer rl:{which}{models}")
    print(f"make it the one in use: cellhive train promote {which}{models}")


def _told(stages: Stages) -> Callable[[str], None]:
    """Return what tells of preparations, whose texts end in dots already."""
    return lambda text: stages(text.removesuffix(" ..."))


def _judging(stages: Stages, of: int) -> Observer:
    """Return an observer that says how many cities of so many are judged."""
    from cellhive.flows.training.gates import CityJudged  # noqa: PLC0415

    stage, done = "Judging in cities held out", 0
    stages(stage, done, of)

    def tell(event: object) -> None:
        nonlocal done
        if isinstance(event, CityJudged):
            done += 1
            stages(stage, done, of)

    return tell
