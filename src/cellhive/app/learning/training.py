"""Puts a training together: recipe, cities, trainer, folder, gates, registry."""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellhive import __version__
from cellhive.adapters.run_codec import from_jsonable
from cellhive.adapters.scenarios import scenario_named, scenario_of, scenario_text
from cellhive.adapters.training.folder import TrainingFolder
from cellhive.adapters.training.tensorboard import TensorBoard
from cellhive.app.learning.policies import (
    MODELS,
    joined_roles,
    load,
    model_of,
    open_models,
    shown,
)
from cellhive.core.compiled import source_digest
from cellhive.core.errors import BadInput, Conflict
from cellhive.core.models import CANDIDATE, CHAMPION, Lineage, ModelManifest
from cellhive.core.ports import Observer
from cellhive.core.types import Floats32, to_jsonable
from cellhive.flows.decide import Optimizer
from cellhive.flows.policy.optimizer import Model, PolicyOptimizer, PolicyRole
from cellhive.flows.policy.together import PolicyWithRules
from cellhive.flows.training import gates
from cellhive.flows.training.recipe import (
    FUNCTIONS,
    TrainingRecipe,
    environments_of,
    settings_of,
    training_seeds,
)
from cellhive.flows.training.train import (
    Course,
    IterationDone,
    Learns,
    TrainingEnded,
    TrainingHooks,
    train,
)
from cellhive.flows.trial import Hooks
from cellhive.lifecycle.registry import check_name
from cellhive.ran.guard import Guard
from cellhive.ran.scenarios import Scenario, build_twin
from cellhive.ran.son import Rules
from cellhive.rl.act import Acting
from cellhive.rl.policy import next_cells, role_of

if TYPE_CHECKING:
    from cellhive.rl.learning.roles import Role

HERE, RAY = "here", "ray"
"""Where a training runs."""
REGISTERED = "registered"
"""File in the folder of a training that says what came of it."""
BESIDE = "beside"
"""Role that learned beside the rules."""
_DECISIONS_TIMED = 200


@dataclass(frozen=True)
class TrainOptions:
    """What a training is asked to be, beside its recipe."""

    recipe: TrainingRecipe
    name: str
    """Of the model that comes of it."""
    seed: int = 1
    device: str = "cpu"
    checkpoint_every: int = 10
    time_limit_s: float = math.inf
    models: str = MODELS
    """Store that the model is registered in."""
    parent: str = ""
    """Policy to begin from, "NAME" or "NAME@VERSION"."""
    against: str = ""
    """Policy that has to be beaten; empty means the champion of the same name, if there is one."""
    joins: str = ""
    """Policy whose roles the new one joins, with a recipe that learns beside the rules."""
    command: str = ""
    """What was typed, for the lineage."""
    on: str = HERE
    """Where it is trained: ``HERE``, in this process, or on ``RAY``, in several."""
    runners: int = 2
    """Processes that play, on Ray."""
    learners: int = 0
    """Processes that learn, on Ray; 0 means this one."""

    def __post_init__(self) -> None:
        """Refuse what no training can be."""
        check_name(self.name, "--name")
        if not 0 <= self.seed < 2**32:
            raise BadInput(
                place="--seed", expected="a whole number from 0 to 4294967295",
                found=str(self.seed),
            )  # fmt: skip
        if self.joins and not self.recipe.beside_rules:
            raise BadInput(
                place="--joins", expected="a recipe that learns beside the rules, such as sleep",
                found=self.recipe.name,
            )  # fmt: skip
        if self.on not in {HERE, RAY}:
            raise BadInput(place="--on", expected=f"{HERE} or {RAY}", found=repr(self.on))
        if self.checkpoint_every < 1:
            raise BadInput(
                place="--checkpoint-every", expected="1 or more", found=str(self.checkpoint_every)
            )
        if not self.time_limit_s > 0:
            raise BadInput(
                place="--time-limit", expected="more than 0 minutes",
                found=f"{self.time_limit_s / 60.0:g}",
            )  # fmt: skip


@dataclass
class Training:
    """A training that is ready to go, or to go on."""

    options: TrainOptions
    scenarios: tuple[Scenario, ...]
    texts: Mapping[str, str]
    """Scenarios in full, by name."""
    roles: Sequence[Role]
    trainer: Learns
    folder: TrainingFolder
    scores: tuple[float, ...] = ()
    """Of iterations done before."""
    notes: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    spent_s: float = 0.0
    """Wall time of iterations so far, earlier ones included [s]."""
    observers: list[Observer] = field(default_factory=list)

    def close(self) -> None:
        """Let others into the folder, and end the processes that train beside this one."""
        self.folder.close()
        end: Callable[[], None] | None = getattr(self.trainer, "close", None)
        if end is not None:
            end()


Tell = Callable[[str], None]


def begin(options: TrainOptions, root: Path, tell: Tell) -> Training:
    """Prepare a new training; its folder is made below ``root``.

    Raises:
        NotFound: A scenario or a parent does not exist.
        BadInput: The recipe cannot be followed here.
    """
    need_torch()
    _check_place(options)
    recipe = options.recipe
    learning_of(recipe)  # refused before cities are built
    scenarios = tuple(scenario_named(name) for name in recipe.scenarios)
    texts = {scenario.name: scenario_text(scenario) for scenario in scenarios}
    actors, parents = _parents(options)
    now = dt.datetime.now(dt.UTC)
    trainer, roles, notes = _trainer(options, scenarios, actors, tell, first=True)
    facts = _facts(options, texts, now) | {"parents": list(parents), "taught": list(notes)}
    folder = TrainingFolder.create(root / f"{options.name}-{now:%Y%m%d-%H%M%S}", facts)
    folder.hold()
    return Training(options, scenarios, texts, roles, trainer, folder, notes=notes, parents=parents)


def resume(path: Path, tell: Tell, changes: Mapping[str, Any]) -> Training:
    """Prepare to go on with a training from its newest checkpoint that is whole.

    Args:
        path: Folder of the training.
        tell: Is told what takes a while.
        changes: Options that differ from those it began with, by name; None leaves one.

    Raises:
        NotFound: There is no training, or no checkpoint.
        BadInput: Nothing in it is as it was written.
        Conflict: Another process is at work on it.
    """
    need_torch()
    folder = TrainingFolder.open(path)
    folder.hold()
    try:
        return _resumed(folder, tell, changes)
    except BaseException:
        folder.close()
        raise


def _resumed(folder: TrainingFolder, tell: Tell, changes: Mapping[str, Any]) -> Training:
    facts = folder.facts()
    try:
        options = _options(facts, changes)
        texts = {str(name): str(text) for name, text in facts["scenarios"].items()}
        parents = tuple(str(parent) for parent in facts["parents"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(
            place=str(folder.facts_path), expected="the facts of a training",
            found=f"{type(error).__name__}: {error}", remedy="begin anew",
        ) from error  # fmt: skip
    checkpoint, notes = folder.newest()
    if facts.get("sources") != source_digest():
        notes = (*notes, "the twin's sources have changed since: the curve may go on otherwise")
    scenarios = tuple(scenario_of(text, name) for name, text in texts.items())
    trainer, roles, _ = _trainer(options, scenarios, {}, tell)
    trainer.restore(checkpoint.state)
    scores, spent_s = _so_far(folder.cut_curve(checkpoint.number))
    if len(scores) < checkpoint.number:
        note = (
            f"{folder.curve_path}: expected {checkpoint.number} points, found {len(scores)} that "
            "are whole; what is learnt does not depend on them"
        )
        notes = (*notes, note)
    return Training(
        options, scenarios, texts, roles, trainer, folder, scores, notes, parents, spent_s
    )


def _so_far(rows: Sequence[Mapping[str, Any]]) -> tuple[tuple[float, ...], float]:
    """Return the scores and the time taken [s] of those points of a curve that are whole."""
    scores, spent_s = [], 0.0
    for row in rows:
        with suppress(KeyError, TypeError, ValueError, AttributeError):
            taken_s = sum(float(part) for part in row["seconds"].values())
            scores.append(float(row["gain"] if row.get("gain") is not None else row["reward"]))
            spent_s += taken_s
    return tuple(scores), spent_s


def need_torch() -> None:
    """Refuse to train where torch is not installed.

    Raises:
        BadInput: With how to install it.
    """
    try:
        import torch  # noqa: F401, PLC0415 - only who trains has it
    except ImportError as error:
        raise BadInput(
            place="cellhive train", expected="the package torch", found="none",
            remedy="install the extra: pip install 'cellhive[train]'; trained policies run without",
        ) from error  # fmt: skip


def _options(facts: Mapping[str, Any], changes: Mapping[str, Any]) -> TrainOptions:
    recipe = from_jsonable(TrainingRecipe, facts["recipe"])
    given = {name: value for name, value in changes.items() if value is not None}
    if "iterations" in given:
        recipe = replace(recipe, iterations=int(given.pop("iterations")))
    usual: dict[str, Any] = {
        "name": str(facts["name"]), "seed": int(facts["seed"]), "device": str(facts["device"]),
        "checkpoint_every": int(facts["checkpoint_every"]), "models": str(facts["models"]),
        "command": str(facts["command"]), "parent": str(facts["parent"]),
        "against": str(facts["against"]), "joins": str(facts.get("joins", "")),
        "on": str(facts.get("on", HERE)),
        "runners": int(facts.get("runners", 2)), "learners": int(facts.get("learners", 0)),
    }  # fmt: skip
    return TrainOptions(recipe, **(usual | given))


def _facts(options: TrainOptions, texts: Mapping[str, str], now: dt.datetime) -> dict[str, Any]:
    return {
        "recipe": to_jsonable(options.recipe), "name": options.name, "seed": options.seed,
        "device": options.device, "checkpoint_every": options.checkpoint_every,
        "models": options.models, "parent": options.parent, "command": options.command,
        "against": options.against, "joins": options.joins, "scenarios": dict(texts),
        "on": options.on,
        "runners": options.runners, "learners": options.learners,
        "started": now.isoformat(timespec="seconds"),
        "version": __version__, "sources": source_digest(), "python": platform.python_version(),
        "numpy": np.__version__, "torch": metadata.version("torch"),
        "machine": platform.machine(),
    }  # fmt: skip


def _parents(
    options: TrainOptions,
) -> tuple[dict[str, dict[str, Floats32]], tuple[str, ...]]:
    """Return first weights by role, and what models this one is made from."""
    joined = [load(options.joins, options.models).manifest.reference] if options.joins else []
    if not options.parent:
        return {}, tuple(joined)
    loaded = load(options.parent, options.models)
    roles = model_of(loaded).roles
    return {role.name: role.tensors for role in roles}, (loaded.manifest.reference, *joined)


def _check_place(options: TrainOptions) -> None:
    """Refuse, before hours go by, what could not be registered or judged in the end.

    Raises:
        Conflict: A model that comes with CellHive has the name.
        NotFound: There is no policy to beat as was said.
    """
    if options.against:
        load(options.against, options.models)
    if options.parent and options.recipe.beginning.teachers:
        raise BadInput(
            place="--learn-from", expected="nothing beside --parent", found="both",
            remedy="a policy begins from one or the other",
        )  # fmt: skip
    if options.recipe.beside_rules and options.on == RAY:
        raise BadInput(
            place=f"recipe {options.recipe.name}", expected="--on here", found="--on ray",
            remedy="what learns beside the rules is trained in this process",
        )  # fmt: skip
    if options.recipe.beginning.causal_mask and options.on == RAY:
        raise BadInput(
            place="--causal-mask", expected="--on here", found="--on ray",
            remedy="leave the mask out, or train in this process",
        )  # fmt: skip
    with open_models(options.models, existing=True) as models:
        if options.name in models.shipped.names():
            message = (
                f"--name: expected a name that no model of CellHive has, found {options.name}; "
                "choose another"
            )
            raise Conflict(message)


def _trainer(
    options: TrainOptions, scenarios: Sequence[Scenario],
    actors: Mapping[str, dict[str, Floats32]], tell: Tell, *, first: bool = False,
) -> tuple[Learns, Sequence[Role], tuple[str, ...]]:  # fmt: skip
    """Return a trainer, its roles, and what is to be said of how it begins.

    Args:
        options: The training.
        scenarios: Its scenarios, read.
        actors: First weights by role, of a parent.
        tell: Is told what takes a while.
        first: Whether the policy begins, and has to be taught where that was asked for.
    """
    from cellhive.app.learning.beginning import masked, taught  # noqa: PLC0415 - needs torch
    from cellhive.rl.learning.training import Trainer  # noqa: PLC0415 - needs torch

    recipe, roles = options.recipe, roles_of(options.recipe)
    notes: tuple[str, ...] = ()
    teaching = first and bool(recipe.beginning.teachers)
    environments = []
    if options.on != RAY or teaching:
        environments = environments_of(
            recipe, scenarios, lambda name, seed: tell(f"Building {name}, city {seed} ...")
        )
    if teaching:
        weights, notes = taught(recipe.beginning, roles[0], environments, options.seed, tell)
        actors = {roles[0].name: weights}
    trainer: Learns
    if options.on == RAY:
        trainer = _on_ray(options, roles, scenarios, actors, tell)
    else:
        trainer = here = Trainer(
            roles, learning_of(recipe), environments, options.seed, options.device,
            actors or None, time.monotonic,
        )  # fmt: skip
        if recipe.beginning.causal_mask:
            masked(here, roles[0])
    return trainer, roles, notes


def _on_ray(
    options: TrainOptions, roles: Sequence[Role], scenarios: Sequence[Scenario],
    actors: Mapping[str, dict[str, Floats32]], tell: Tell,
) -> Learns:  # fmt: skip
    try:
        from cellhive.adapters.ray.plan import Place  # noqa: PLC0415 - needs Ray
        from cellhive.adapters.ray.training import RayTrainer  # noqa: PLC0415
    except ImportError as error:
        raise BadInput(
            place="--on ray", expected="the package ray", found="none",
            remedy="install the extra: pip install 'cellhive[ray]'",
        ) from error  # fmt: skip
    recipe = options.recipe
    tell(f"Starting {options.runners} runners and {options.learners} learners on Ray ...")
    places = [Place(settings, recipe.networks) for settings in settings_of(recipe, scenarios)]
    return RayTrainer(
        roles, learning_of(recipe), places, options.seed, options.device, actors or None,
        time.monotonic, runners=options.runners, learners=options.learners,
    )  # fmt: skip


def roles_of(recipe: TrainingRecipe) -> list[Role]:
    """Return the roles that a recipe asks for."""
    from cellhive.rl.learning.roles import function_roles, joint_role  # noqa: PLC0415

    if recipe.roles == FUNCTIONS:
        roles = function_roles(recipe.heads, recipe.neighbours, recipe.hidden)
    else:
        size = recipe.neighbours, recipe.hidden
        roles = joint_role(recipe.heads, *size, recipe.neighbour_share)
        if recipe.beside_rules:  # it may join a policy that has a joint role
            roles = [roles[0]._replace(name=BESIDE)]
    return [r._replace(shape=replace(r.shape, encoder=recipe.encoder)) for r in roles]


def learning_of(recipe: TrainingRecipe) -> Any:
    """Return the settings of the learner.

    Raises:
        BadInput: There is no setting of such a name, or no such value of it.
    """
    from cellhive.rl.learning.ppo import settings_from  # noqa: PLC0415 - needs torch

    return settings_from(recipe.learning)


def run(training: Training, should_stop: Callable[[], bool] = lambda: False) -> TrainingEnded:
    """Train, with everything kept in the folder, until it is done or stopped."""
    options, folder = training.options, training.folder

    def tell(event: object) -> None:
        if isinstance(event, IterationDone):
            folder.append(to_jsonable(event.row._asdict()))
            training.spent_s += sum(event.row.seconds.values())
        for observer in training.observers:
            observer(event)

    hooks = TrainingHooks(folder.save, time.monotonic, tell, should_stop)
    course = Course(options.recipe.iterations, options.checkpoint_every, options.time_limit_s)
    return train(training.trainer, course, hooks)


def board(training: Training, wanted: bool | None) -> TensorBoard | None:
    """Return what writes TensorBoard's files; None where that is not wanted or not possible.

    Args:
        training: Whose curve is written, into its folder.
        wanted: None where nobody said: they are written if they can be.

    Raises:
        BadInput: It is wanted, and the package that writes them is not installed.
    """
    if wanted is False:
        return None
    try:
        return TensorBoard(
            training.folder.path / "tensorboard", training.trainer.number, now_s=time.time
        )
    except BadInput:
        if wanted:
            raise
        return None


def candidate_of(training: Training) -> Model:
    """Return what was learnt as what decides, with what it joins."""
    options = training.options
    joined = model_of(load(options.joins, options.models)).roles if options.joins else ()
    own = tuple(
        PolicyRole(
            role.name, role.shape, training.trainer.arrays(role.name), options.recipe.beside_rules
        )
        for role in training.roles
    )  # fmt: skip
    return Model(f"{options.name} (candidate)", joined_roles(own, joined))


def judge(training: Training, observer: Observer) -> gates.Judged:
    """Put what was learnt to the gates: in the loop, in cities held out."""
    model = candidate_of(training)
    made: Callable[[Model], Optimizer] = (
        PolicyWithRules if training.options.recipe.gates.beside_rules else PolicyOptimizer
    )
    arms: dict[str, Callable[[], Optimizer]] = {
        gates.CANDIDATE: lambda: made(model), gates.RULES: Rules,
    }  # fmt: skip
    champion = _champion(training.options)
    if champion is not None and not champion.decides_as(model):
        arms[gates.CHAMPION] = lambda: made(champion)
    with ThreadPoolExecutor(max_workers=2) as pool:
        bench = gates.Bench(
            arms, Guard, lambda s, seed, observed_s: build_twin(s, seed, observed_s=observed_s),
            lambda: _latency_s(model, training.scenarios),
            Hooks(advance=lambda jobs: list(pool.map(lambda job: job(), jobs))), observer,
        )  # fmt: skip
        return gates.judge_candidate(training.scenarios, training.options.recipe.gates, bench)


def _champion(options: TrainOptions) -> Model | None:
    """Return the policy that has to be beaten, or None where there is none."""
    policy = options.against
    if not policy:
        with open_models(options.models, existing=True) as models:
            if not models.is_own(options.name) or models.store is None:
                return None
            if CHAMPION not in models.store.aliases(options.name):
                return None
        policy = f"{options.name}@{CHAMPION}"
    return model_of(load(policy, options.models))


def _latency_s(model: Model, scenarios: Sequence[Scenario]) -> list[float]:
    """Return what decisions for the largest network take, all roles together [s].

    In processor time, of all threads: what else the machine has to do is no fault of a policy.
    """
    network = max((scenario.network() for scenario in scenarios), key=lambda n: n.cells)
    rng = np.random.default_rng(1)
    acting = []
    for role in model.roles:
        near = next_cells(network, role.shape.neighbours)
        seen = rng.random((1, network.cells, role.shape.features), np.float32)
        acting.append((Acting(role.shape, near, role.tensors), seen))
    taken = []
    for _ in range(_DECISIONS_TIMED):
        begun_s = time.process_time()
        for one, seen in acting:
            one.choose(seen)
        taken.append(time.process_time() - begun_s)
    return taken


def register(training: Training, judged: gates.Judged | None) -> ModelManifest:
    """Keep what was learnt as a new version; it is the candidate if it passed every gate."""
    options, model = training.options, candidate_of(training)
    tensors = {
        f"{role.name}/{name}": array for role in model.roles for name, array in role.tensors.items()
    }
    manifest = ModelManifest(
        name=options.name,
        roles=tuple(
            role_of(role.name, role.shape, beside_rules=role.beside_rules) for role in model.roles
        ),
        lineage=_lineage(training),
        metrics=metrics_of(judged),
        gates=() if judged is None else judged.gates,
    )
    with open_models(options.models) as models:
        alias = CANDIDATE if judged is not None and judged.passed else ""
        version = models.add(manifest, tensors, alias=alias)
        kept = models.manifest(f"{options.name}:{version}")
    if judged is not None:
        training.folder.note("judged", to_jsonable(judged))
    told = {"policy": shown(kept.reference), "iteration": training.trainer.number}
    training.folder.note(REGISTERED, told)
    return kept


def registered(training: Training) -> str:
    """Return the policy that was registered after the iteration reached, "" if none was."""
    told = training.folder.noted(REGISTERED)
    same = told.get("iteration") == training.trainer.number
    return str(told["policy"]) if same and "policy" in told else ""


def _lineage(training: Training) -> Lineage:
    options, recipe = training.options, training.options.recipe
    seeds = sorted({s for one in training.scenarios for s in training_seeds(one, recipe.cities)})
    rows = training.folder.curve()
    return Lineage(
        scenarios=tuple(scenario.name for scenario in training.scenarios),
        seeds=(options.seed, *seeds),
        code=f"{__version__}, {source_digest()}",
        command=options.command,
        parents=training.parents,
        budget={
            "iterations": float(training.trainer.number),
            "decisions": float(rows[-1].get("decisions", 0)) if rows else 0.0,
            "wall_s": round(training.spent_s, 1),
        },
        data={
            f"{name}.yaml": hashlib.sha256(text.encode()).hexdigest()
            for name, text in training.texts.items()
        },
    )


def metrics_of(judged: gates.Judged | None) -> dict[str, float]:
    """Return the gains over the other arms by scenario [points]."""
    if judged is None:
        return {}
    metrics = {}
    for name in dict.fromkeys(city.scenario for city in judged.cities):
        cities = [city for city in judged.cities if city.scenario == name]
        for other in cities[0].objective:
            if other != gates.CANDIDATE:
                word = other.replace(" ", "-")
                metrics[f"{name}, over {word}"] = gates.difference(cities, other).mean
    return metrics
