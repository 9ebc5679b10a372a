"""Puts a run together: its scenario, its optimiser, its guard, its folder."""

from __future__ import annotations

import datetime as dt
import platform
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cellhive import __version__
from cellhive.adapters.files import check_output
from cellhive.adapters.pattern_file import read_patterns, write_patterns
from cellhive.adapters.plans import cm_xml, plan_csv
from cellhive.adapters.runs import RunFolder, load_run
from cellhive.adapters.scenarios import scenario_named, scenario_of, scenario_text
from cellhive.adapters.sites.site_sectors import BoundingBox
from cellhive.adapters.sites.topology import read_sites
from cellhive.app.learning.policies import MODELS, is_policy, policy_named, resolved, trusting
from cellhive.app.learning.serving import candidate_named, follows, served, with_candidate
from cellhive.app.memory.opening import Place, key_of, open_memory
from cellhive.app.recall import Learnt, Remembered, learn, recall_patterns
from cellhive.core.compiled import source_digest
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.ports import Observer
from cellhive.core.types import (
    KpiFrame,
    Mode,
    Network,
    Parameters,
    Plan,
)
from cellhive.flows.decide import Approve, LoopSettings, Optimizer, PeriodObserved, Silent
from cellhive.flows.operator import FreezeWindow, Operator
from cellhive.flows.policy.served import PolicyTaken
from cellhive.flows.prediction.predictor import PlanPredictor, PredictorSettings
from cellhive.flows.replay import compare_frames, compare_runs
from cellhive.flows.trial import (
    Hooks,
    Raster,
    RunRecord,
    RunStart,
    TrialSettings,
    run_trial,
)
from cellhive.ran.guard import Guard
from cellhive.ran.parameters import diff
from cellhive.ran.radio_map import best_server_rsrp_dbm, reference_power_dbm, total_gain_db
from cellhive.ran.scenarios import RealSites, Scenario, build_twin
from cellhive.ran.simulator import Twin
from cellhive.ran.son import Rules
from cellhive.reports.run.report import render_run, write_run_report

OPTIMIZERS = ("none", "rules", *(function.name.lower() for function in Rules().functions))
"""Who may propose: nobody, all rules, or one function alone."""

DN_PREFIX = "SubNetwork=CellHive"
"""Distinguished name that exported objects hang under."""

MOST_HOURS = 24 * 14
MOST_NAMED = 8
"""Names listed in a message."""
_PERIOD_S = 900.0


@dataclass(frozen=True)
class RunOptions:
    """What a run is asked to be; everything here ends up in its settings."""

    scenario: str = "hex-urban"
    """Name of a scenario, or a scenario file."""
    hours: float | None = None
    """Simulated time [h]; None means the scenario's own."""
    seed: int = 1
    mode: Mode = Mode.AUTONOMOUS
    optimizer: str = "rules"
    observed_s: float = 120.0
    """Radio time simulated per reporting period of 900 s [s]."""
    branches: bool = True
    """Measure each plan's true effect in an exact branch."""
    predict: bool = True
    """Foretell what each plan will do before it is applied."""
    sites: Path | None = None
    bbox: str | None = None
    plan: Path | None = None
    """A plan to put to the guard in the first period."""
    protected: tuple[str, ...] = ()
    """Cells that nothing may change."""
    freeze: tuple[str, ...] = ()
    """Times of day in which nothing may change, such as "17:00-21:30"."""
    recipe: str = ""
    """The scenario in full; empty means that it is still to be read."""
    memory: str = ""
    """Memory that patterns of earlier runs come from and what is learnt goes to; empty means
    none."""
    memory_key: str = ""
    """Where the key of an encrypted memory is: a file, or ``env:NAME``."""
    models: str = MODELS
    """Store of trained policies, where the optimiser is one."""
    follow: bool = False
    """Let what becomes champion of the policy's name take over; so it is where the policy is
    asked for by its name alone."""
    shadow: str = ""
    """Policy that is asked beside, compared and never applied; empty means none."""

    def checked(self) -> RunOptions:
        """Return the options, or raise what is wrong with them."""
        recipe = self.recipe or scenario_text(scenario_named(self.scenario))
        hours = self.hours
        if hours is None:
            hours = scenario_of(recipe, self.scenario).hours
        if not _PERIOD_S / 3600 <= hours <= MOST_HOURS:
            raise BadInput(
                place="--hours", expected=f"0.25 to {MOST_HOURS} hours", found=f"{hours:g}"
            )
        if not 0 <= self.seed < 2**32:
            raise BadInput(
                place="--seed", expected="a whole number from 0 to 4294967295", found=str(self.seed)
            )
        if not 4.0 <= self.observed_s <= _PERIOD_S:  # noqa: PLR2004
            raise BadInput(
                place="--observed", expected="4 to 900 seconds", found=f"{self.observed_s:g}"
            )
        if self.bbox is not None and self.sites is None:
            raise BadInput(
                place="--bbox", expected="a site list to cut from", found="no --sites",
                remedy="give --sites FILE too",
            )  # fmt: skip
        if self.bbox is not None:
            BoundingBox.parse(self.bbox)
        for window in self.freeze:
            FreezeWindow.parse(window, "--freeze")
        return replace(self._with_policies(), hours=hours, recipe=recipe)

    def _with_policies(self) -> RunOptions:
        """Return the options with policies by version: a record outlives where aliases point."""
        shadow = candidate_named(self.shadow, self.models) if self.shadow else ""
        if is_policy(self.optimizer):
            return replace(
                self, optimizer=resolved(self.optimizer, self.models), shadow=shadow,
                follow=self.follow or follows(self.optimizer),
            )  # fmt: skip
        if self.optimizer not in OPTIMIZERS:
            raise BadInput(
                place="--optimizer",
                expected=f"one of {', '.join(OPTIMIZERS)}, or rl:NAME for a trained policy",
                found=repr(self.optimizer),
            )  # fmt: skip
        return replace(self, shadow=shadow)

    @property
    def named(self) -> str:
        """What is built, in words."""
        if self.sites is None:
            return self.scenario
        return f"{self.sites.name} with the traffic of {self.scenario}"

    @property
    def periods(self) -> int:
        """Number of reporting periods."""
        return max(1, round((self.hours or 0.0) * 3600 / _PERIOD_S))


def optimizer_named(name: str, models: str = MODELS) -> Optimizer:
    """Return a fresh optimiser: "none", "rules", a single function, or "rl:NAME"."""
    if name == "none":
        return Silent()
    if is_policy(name):
        return policy_named(name, models)
    rules = Rules()
    if name != "rules":
        rules.functions = tuple(f for f in rules.functions if f.name.lower() == name)
    return rules


@dataclass
class Run:
    """A run that is ready to start."""

    options: RunOptions
    scenario: Scenario
    twin: Twin
    start: RunStart
    initial: Parameters
    notes: tuple[str, ...]
    plan: Plan | None = None
    remembered: Remembered | None = None
    """Patterns of earlier runs; they are kept in the run's folder."""
    folder: RunFolder | None = None
    observers: list[Observer] = field(default_factory=list)


PLAN_SUFFIXES = (".xml", ".csv")
"""Forms of plan files."""

REPORT_SUFFIXES = (".html", ".htm")
"""Forms of the report of a run."""


def read_plan(path: Path, network: Network) -> Plan:
    """Read a plan from bulk CM XML or CSV, told apart by the file's suffix."""
    if not path.is_file():
        message = f"{path}: expected a plan file, found none there"
        raise NotFound(message)
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    if suffix not in PLAN_SUFFIXES:
        raise BadInput(
            place=str(path), expected="a plan file ending in .xml or .csv", found=repr(path.suffix)
        )
    if suffix == ".csv":
        return plan_csv.read_plan_csv(path, network)
    return cm_xml.read_plan_xml(path, network)


def _assumptions(options: RunOptions, twin: Twin) -> tuple[str, ...]:
    share = options.observed_s / _PERIOD_S
    return (
        f"Simulated: each reporting period of 15 min is represented by "
        f"{options.observed_s:g} s of radio time ({100 * share:.0f} %); event counters count "
        "that time, energy is scaled to the period.",
        f"{twin.world.mix.users} users in {twin.network.cells} cells; sessions and movement do "
        "not depend on how well the network serves.",
        '"Do nothing" and every branch see the same users and the same random numbers, so a '
        "difference is an effect and not chance; it is exact for this simulated city only.",
    )


def _recalled(remembered: Remembered, place: str) -> tuple[str, ...]:
    count = sum(pattern.evidence.times for pattern in remembered.patterns)
    told = (
        f"Memory {Place(place).shown}: {len(remembered.patterns)} patterns of {count} experiences "
        "recalled."
    )
    return told, *remembered.notes


def cell_indices(network: Network, names: Sequence[str]) -> list[int]:
    """Return the indices of named cells, or raise NotFound for an unknown one."""
    for name in names:
        if name not in network.cell_index:
            some = ", ".join(network.cell_ids[:5])
            message = f"--protect: expected a cell of the network ({some}, ...), found {name!r}"
            raise NotFound(message)
    return [network.cell_index[name] for name in names]


def prepare(
    options: RunOptions,
    *,
    sites: RealSites | None = None,
    plan: Plan | None = None,
    remembered: Remembered | None = None,
    on_build: Callable[[], None] = lambda: None,
) -> Run:
    """Build the twin of a run and everything known before it starts.

    Args:
        options: What to run; checked here.
        sites: Sites to use in place of the scenario's or of a list (for replays).
        plan: A person's plan in place of a file's (for replays).
        remembered: Patterns in place of those that the memory holds now (for replays).
        on_build: Is called when all input was found in order, before the slow part.
    """
    options = options.checked()
    scenario = scenario_of(options.recipe, options.scenario, sites)
    notes: tuple[str, ...] = ()
    if options.sites is not None and sites is None:
        bbox = None if options.bbox is None else BoundingBox.parse(options.bbox)
        listed = read_sites(options.sites, bbox=bbox)
        sites = RealSites(listed.network, listed.electrical_tilt_deg, listed.tx_power_dbm)
        notes = (*listed.notes, *listed.findings)
    sites = scenario.real_sites if sites is None else sites
    cells = scenario.network() if sites is None else sites.network
    protected = cell_indices(cells, options.protected)
    if options.plan is not None and plan is None:
        read_plan(options.plan, cells)  # the network has no relations yet, but all cells
    now = dt.datetime.now(dt.UTC)
    if options.memory and remembered is None:
        with open_memory(options.memory, key=key_of(options.memory_key)) as memory:
            remembered = recall_patterns(memory, now.timestamp())
        notes = (*notes, *_recalled(remembered, options.memory))
    on_build()
    twin = build_twin(
        scenario, options.seed, sites, observed_s=options.observed_s, period_s=_PERIOD_S
    )
    if protected:
        twin.protect(protected)
    if options.plan is not None and plan is None:
        plan = read_plan(options.plan, twin.network)
    settings: dict[str, Any] = {
        **{k: str(v) if isinstance(v, Path) else v for k, v in asdict(options).items()},
        "mode": str(options.mode),
        "memory": Place(options.memory).shown,
        "memory_key": "",
        "own_sites": sites is not None,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "sources": source_digest(),
        "machine": platform.machine(),
    }
    start = RunStart(
        run_id=f"{now:%Y%m%d-%H%M%S}-{scenario.name}-s{options.seed}",
        version=__version__,
        started=now.isoformat(timespec="seconds"),
        scenario=scenario.name,
        seed=options.seed,
        settings=settings,
    )
    return Run(
        options, scenario, twin, start, twin.parameters(), (*notes, *_assumptions(options, twin)),
        plan, remembered,
    )  # fmt: skip


def coverage_maps(twin: Twin, before: Parameters, after: Parameters) -> dict[str, Raster]:
    """Return best-server RSRP maps before and after a run."""
    network, radio_map = twin.network, twin.world.radio_map
    maps = {}
    for name, parameters in (("before", before), ("after", after)):
        gain_db = total_gain_db(radio_map, network, parameters.electrical_tilt_deg)
        power_dbm = reference_power_dbm(network, parameters.tx_power_dbm, parameters.asleep)
        raster = best_server_rsrp_dbm(radio_map, gain_db, power_dbm)
        maps[f"rsrp_{name}_dbm"] = Raster(raster.x0_m, raster.y0_m, raster.pixel_m, raster.values)
    return maps


def execute(
    run: Run,
    *,
    approve: Approve | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    workers: int = 2,
    taken: Sequence[PolicyTaken] | None = None,
) -> RunRecord:
    """Run to the end, or until interrupted, and return the record.

    Branches advance beside the run on ``workers`` threads: the kernels hold no lock.

    Args:
        run: What to run.
        approve: Asks a person, in mode "assist".
        should_stop: Asked between periods.
        workers: Threads.
        taken: Versions of the policy that took over when the run was recorded (for replays).
    """
    loop = trusting(run.options.optimizer, run.options.mode)
    guard, windows = Guard(), [FreezeWindow.parse(w, "--freeze") for w in run.options.freeze]

    def tell(event: object) -> None:
        if isinstance(event, PeriodObserved):  # told before anything is proposed
            now_s = event.frame.time_s + event.frame.period_s
            guard.freeze(any(window.holds(now_s) for window in windows))
        for observer in run.observers:
            observer(event)

    listening: list[Observer] = []
    with ExitStack() as stack:
        optimizer = _proposing(run, loop, listening, taken, stack)
        pool = stack.enter_context(ThreadPoolExecutor(max_workers=workers))
        hooks = Hooks(
            observer=tell,
            approve=approve,
            advance=lambda jobs: list(pool.map(lambda job: job(), jobs)),
            should_stop=should_stop,
            predictor=PlanPredictor(PredictorSettings(loop.watch)) if run.options.predict else None,
            listen=listening.append,
        )
        record = run_trial(
            run.twin,
            run.start,
            TrialSettings(
                periods=run.options.periods,
                loop=loop,
                branches=run.options.branches,
                notes=run.notes,
            ),
            optimizer,
            guard,
            hooks,
        )
    return replace(record, maps=coverage_maps(run.twin, record.initial, record.final))


def _proposing(
    run: Run, loop: LoopSettings, listening: Sequence[Observer],
    taken: Sequence[PolicyTaken] | None, stack: ExitStack,
) -> Optimizer:  # fmt: skip
    """Return who proposes in a run: what is asked for, and what is around and beside it."""
    options = run.options

    def tell(event: object) -> None:
        for observer in listening:
            observer(event)

    optimizer: Optimizer
    if options.follow:
        optimizer = stack.enter_context(
            served(options.optimizer, options.models, tell, taken=taken)
        )
    else:
        optimizer = optimizer_named(options.optimizer, options.models)
    if options.shadow:
        optimizer = with_candidate(optimizer, options.shadow, options.models, tell)
    if run.remembered is not None:
        optimizer = run.remembered.around(optimizer, loop.scoring)
    return optimizer if run.plan is None else Operator(run.plan, optimizer)


def record_folder(run: Run, root: Path) -> RunFolder:
    """Make the run's folder and let it record everything that happens."""
    folder = RunFolder.create(root, run.start, run.twin.network, run.initial, run.notes)
    run.folder, run.start = folder, folder.start
    if run.remembered is not None:
        write_patterns(folder.path, run.remembered.patterns, run.remembered.now_s)
    run.observers.append(folder)
    return folder


def options_of(record: RunRecord) -> RunOptions:
    """Return the options a recorded run was started with.

    Raises:
        BadInput: The settings of the record are not those of a run.
    """
    names = set(RunOptions.__dataclass_fields__)
    values = {name: value for name, value in record.settings.items() if name in names}
    values["sites"] = values["plan"] = values["bbox"] = None
    values["shadow"] = ""  # it changes nothing, and may be there no more
    values.setdefault("predict", False)  # a run from before plans were foretold
    try:
        values["mode"] = Mode(values["mode"])
        values["protected"] = tuple(str(name) for name in values["protected"])
        values["freeze"] = tuple(str(window) for window in values.get("freeze", ()))
        values["models"] = str(values.get("models", MODELS))
        values["optimizer"] = str(values.get("optimizer", RunOptions.optimizer))
        return RunOptions(**values).checked()
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(
            place=f"settings of {record.run_id}", expected="the options of a run",
            found=f"{type(error).__name__}: {error}", remedy="run it anew",
        ) from error  # fmt: skip


@dataclass(frozen=True)
class Replay:
    """A recorded run and what running it again gave."""

    old: RunRecord
    new: RunRecord
    planned: int
    """Periods that the recorded run was to have."""
    difference: str | None
    """The first difference in words; None where every number is the same."""

    @property
    def complete(self) -> bool:
        """Whether the record holds the run to its end."""
        return not self.old.interrupted and len(self.old.frames) == self.planned


def replay(path: Path, *, observers: Sequence[Observer] = ()) -> Replay:
    """Run a recorded run again, as far as its record goes, and compare every number."""
    old = load_run(path)
    options = options_of(old)
    periods = len(old.frames)
    if periods == 0:
        raise BadInput(
            place=str(path), expected="a run with at least one period", found="none",
            remedy="choose another run: cellhive runs",
        )  # fmt: skip
    own_sites = bool(old.settings.get("own_sites"))
    operator = [v.plan for v in old.verdicts if v.plan.function == "operator"]
    run = prepare(
        replace(options, hours=periods * _PERIOD_S / 3600),
        sites=recorded_sites(old) if own_sites else None,
        plan=operator[0] if operator else None,
        # What the memory holds by now is not what the run began with.
        remembered=Remembered(*read_patterns(path)) if options.memory else None,
    )
    run.observers.extend(observers)
    approved = {plan.plan_id for plan in old.applied}
    new = execute(run, approve=lambda verdict: verdict.plan.plan_id in approved, taken=old.taken)
    replayed = Replay(old, new, options.periods, None)
    # The last period of a run that was cut was observed, but perhaps not acted upon.
    difference = (
        compare_runs(old, new) if replayed.complete else _first_difference(old.frames, new.frames)
    )
    if difference is not None and old.settings.get("sources") != source_digest():
        difference += (
            f"; the run was recorded by other sources ({old.version}, "
            f"{old.settings.get('sources', 'unknown')}) than these ({source_digest()})"
        )
    return replace(replayed, difference=difference)


def recorded_sites(record: RunRecord) -> RealSites:
    """Return the real sites that a run was built from."""
    return RealSites(
        record.network, record.initial.electrical_tilt_deg, record.initial.tx_power_dbm
    )


def _first_difference(old: Sequence[KpiFrame], new: Sequence[KpiFrame]) -> str | None:
    for index, (first, second) in enumerate(zip(old, new, strict=True)):
        difference = compare_frames(first, second)
        if difference is not None:
            return f"period {index + 1}: {difference}"
    return None


def finish(run: Run, record: RunRecord, report: Path | None) -> dict[str, Path]:
    """Write the report and the end of the record; return what is where."""
    paths: dict[str, Path] = {}
    if run.folder is not None:
        replay_command = f"cellhive replay {run.folder.path}"
        paths["Report"] = run.folder.write_report(render_run(record, replay=replay_command))
        run.folder.finish(record)
        paths["Run folder"] = run.folder.path
    if report is not None:
        write_run_report(record, report)
        paths["Report"] = report
    return paths


def remember(run: Run, record: RunRecord) -> Learnt | None:
    """Write what a run taught into the memory it was started with; None where it had none."""
    if not run.options.memory:
        return None
    with open_memory(run.options.memory, key=key_of(run.options.memory_key)) as memory:
        return learn(memory, record)


def report(run_folder: Path, out: Path | None = None) -> Path:
    """Write the report of a recorded run and return where it is; default: in its folder."""
    record = load_run(run_folder)
    path = run_folder / "report.html" if out is None else out
    check_output(path, "--out", REPORT_SUFFIXES)
    write_run_report(record, path, replay=f"cellhive replay {run_folder}")
    return path


def plan_of(run_folder: Path, plan_id: str = "") -> Plan:
    """Return one plan of a run as it was applied, or all that the run changed in the end."""
    record = load_run(run_folder)
    if not plan_id:
        changes = diff(record.network, record.initial, record.final)
        if not changes:
            message = (
                f"{run_folder}: expected a run that changed something, found none of its plans "
                "in force at its end; name one: --plan ID"
            )
            raise NotFound(message)
        reasons = {
            (change.object_id, change.parameter): f"{plan.plan_id}: {change.reason}"
            for plan in record.applied
            for change in plan.changes
        }
        told = tuple(
            replace(change, reason=reasons.get((change.object_id, change.parameter), ""))
            for change in changes
        )
        return Plan(f"{record.run_id}-all", "operator", 0.0, told)
    for plan in (*record.applied, *(verdict.plan for verdict in record.verdicts)):
        if plan.plan_id == plan_id:
            return plan
    proposed = [verdict.plan.plan_id for verdict in record.verdicts]
    known = ", ".join(proposed[:MOST_NAMED]) or "it has none"
    more = ", ..." if len(proposed) > MOST_NAMED else ""
    message = f"{run_folder}: expected a plan of the run ({known}{more}), found {plan_id!r}"
    raise NotFound(message)


def write_plan(plan: Plan, run_folder: Path, path: Path) -> None:
    """Write a plan as bulk CM XML or CSV, by the file's suffix."""
    check_output(path, "plan file", PLAN_SUFFIXES)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".csv":
        plan_csv.write_plan_csv(plan, path)
        return
    record = load_run(run_folder)
    when = dt.datetime.fromisoformat(record.started)
    cm_xml.write_plan_xml(plan, record.network, path, dn_prefix=DN_PREFIX, when=when)
