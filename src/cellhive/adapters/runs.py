"""Run folders: everything about a run, readable after a kill at any moment.

::

    runs/<run id>/
      settings.json            what it takes to run it again, and the notes to begin with
      network.json             sites, sectors, relations
      parameters.json          initial and, once the run has ended, final parameters
      events.jsonl             one line per event, in order; a period counts once it has its line
      frames/run-000001.parquet       cells of a period; frames/baseline-… with nothing done
      relations/run-000001.parquet    relations of a period
      maps/01.parquet          rasters, if any
      summary.json             written last: the run has ended
      report.html

Files appear whole or not at all; the log is flushed to the disk line by line. A value
that is not known is null in Parquet.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from cellhive.adapters.files import write_whole
from cellhive.adapters.run_codec import fingerprint, from_jsonable, pack_table, unpack_table
from cellhive.core.errors import BadInput, CellHiveError, NotFound
from cellhive.core.types import KpiFrame, Network, Outcome, Parameters, Plan, Verdict, to_jsonable
from cellhive.flows.decide import (
    ROLLBACK,
    UNCONFIRMED,
    CellsSetAside,
    PeriodObserved,
    PlanApplied,
    PlanChecked,
    PlanDecided,
    PlanHeld,
    PlanProposed,
    ReadBackDiffered,
    ValuesLeftOut,
)
from cellhive.flows.policy.beside import CandidateCompared
from cellhive.flows.policy.served import PolicyNotTaken, PolicyTaken
from cellhive.flows.trial import (
    BaselineObserved,
    Raster,
    RunRecord,
    RunStart,
    gather_notes,
    note_of,
)
from cellhive.ran.parameters import apply_changes

T = TypeVar("T")

FORMAT: Final = 1
"""Version of the layout of a run folder."""

_ARMS = {PeriodObserved: "run", BaselineObserved: "baseline"}
_LOGGED = {
    kind.__name__: kind
    for kind in (
        PlanProposed,
        PlanChecked,
        PlanApplied,
        PlanHeld,
        PlanDecided,
        CellsSetAside,
        ReadBackDiffered,
        ValuesLeftOut,
        PolicyTaken,
        PolicyNotTaken,
        CandidateCompared,
    )
}
_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MOST_SAME_ID = 1000


@dataclass(frozen=True)
class _Period:
    """The line of a period in the log: where its values are and what they must be."""

    index: int
    time_s: float
    period_s: float
    observed_s: float
    objective: float
    cells: str
    """Fingerprint of the file of cell values."""
    relations: str = ""
    """Fingerprint of the file of relation values; empty where there are none."""


class RunFolder:
    """A run that is being recorded; give it to the run as an observer."""

    def __init__(self, path: Path, start: RunStart, network: Network) -> None:
        """Continue in a folder that ``create`` has made."""
        self.path, self.start = path, start
        self._cells = network.cell_ids
        pairs = zip(network.relation_source, network.relation_target, strict=True)
        self._relations = tuple(f"{self._cells[s]}->{self._cells[t]}" for s, t in pairs)
        self._log = (path / "events.jsonl").open("ab")

    @classmethod
    def create(
        cls,
        root: Path,
        start: RunStart,
        network: Network,
        initial: Parameters,
        notes: tuple[str, ...] = (),
    ) -> RunFolder:
        """Make a folder for a run; it appears with its settings in it or not at all.

        Where the id is taken, "-2", "-3" … is added to it; ``start`` of the result
        holds the id that was found.

        Raises:
            BadInput: The id is no file name, or the root cannot be written.
        """
        if not _SAFE_ID.fullmatch(start.run_id):
            raise BadInput(
                expected="a run id of letters, digits, '.', '_' and '-'",
                found=repr(start.run_id),
                place="run id",
            )
        try:
            root.mkdir(parents=True, exist_ok=True)
            draft = Path(tempfile.mkdtemp(dir=root, prefix=".draft-"))
        except OSError as error:
            raise _unwritable(root, error) from error
        try:
            draft.chmod(0o755)
            _write_json(draft / "network.json", network)
            _write_json(draft / "parameters.json", {"initial": initial})
            for name in ("frames", "relations"):
                (draft / name).mkdir()
            (draft / "events.jsonl").touch()
            path, start = _publish(draft, root, start, notes)
        except OSError as error:
            raise _unwritable(root, error) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return cls(path, start, network)

    def __call__(self, event: object) -> None:
        """Write an event down."""
        if isinstance(event, PeriodObserved | BaselineObserved):
            self._write_period(event)
        elif type(event).__name__ in _LOGGED:
            self._append(type(event).__name__, to_jsonable(event))

    def write_report(self, html: str) -> Path:
        """Write the report and return where it is."""
        path = self.path / "report.html"
        write_whole(path, html.encode())
        return path

    def finish(self, record: RunRecord) -> None:
        """Write final parameters, maps and the summary, and close the log."""
        parameters = {"initial": record.initial, "final": record.final}
        _write_json(self.path / "parameters.json", parameters)
        maps = []
        for number, (name, raster) in enumerate(record.maps.items(), start=1):
            maps.append(self._write_map(number, name, raster))
        verdicts = [outcome.verdict for outcome in record.outcomes]
        summary = {
            "periods": len(record.frames),
            "interrupted": record.interrupted,
            "notes": record.notes,
            "outcomes": {verdict: verdicts.count(verdict) for verdict in sorted(set(verdicts))},
            "maps": maps,
        }
        _write_json(self.path / "summary.json", summary)
        self.close()

    def close(self) -> None:
        """Close the log; what was written so far stays readable."""
        self._log.close()

    def _write_map(self, number: int, name: str, raster: Raster) -> dict[str, Any]:
        folder = self.path / "maps"
        folder.mkdir(exist_ok=True)
        rows, columns = raster.values.shape
        data = pack_table(
            tuple(str(row) for row in range(rows)),
            tuple(f"c{column}" for column in range(columns)),
            raster.values,
            None,
        )
        file = f"{number:02}.parquet"
        write_whole(folder / file, data)
        place = {"x0_m": raster.x0_m, "y0_m": raster.y0_m, "pixel_m": raster.pixel_m}
        return {"name": name, "file": file, "values": fingerprint(data), **place}

    def _write_period(self, event: PeriodObserved | BaselineObserved) -> None:
        """Write the tables first, then the line that says they are there."""
        frame, arm = event.frame, _ARMS[type(event)]
        file = f"{arm}-{event.index + 1:06}.parquet"
        data = pack_table(self._cells, frame.columns, frame.values, frame.valid)
        write_whole(self.path / "frames" / file, data)
        relations = ""
        if frame.relation_columns:
            table = pack_table(self._relations, frame.relation_columns, frame.relation_values, None)
            write_whole(self.path / "relations" / file, table)
            relations = fingerprint(table)
        line = _Period(
            index=event.index,
            time_s=frame.time_s,
            period_s=frame.period_s,
            observed_s=frame.observed_s,
            objective=event.objective,
            cells=fingerprint(data),
            relations=relations,
        )
        self._append(type(event).__name__, to_jsonable(line))

    def _append(self, name: str, data: Any) -> None:
        line = json.dumps({"event": name, "data": data}, allow_nan=False) + "\n"
        try:
            self._log.write(line.encode())
            self._log.flush()
            os.fsync(self._log.fileno())
        except OSError as error:
            raise _unwritable(self.path / "events.jsonl", error) from error


def load_run(path: Path) -> RunRecord:
    """Return the run that a folder holds, as far as it is whole.

    A run that was killed is read up to the last period that was written entirely.
    Plans that were applied and have no verdict are reported as unconfirmed.

    Raises:
        NotFound: There is no such folder.
        BadInput: It is not a run folder, or what every run folder has is damaged.
    """
    if not path.is_dir():
        message = f"expected a run folder, found nothing at {path}"
        raise NotFound(message)
    settings = _read_json(path / "settings.json")
    start = _as(RunStart, settings, path / "settings.json")
    network = _as(Network, _read_json(path / "network.json"), path / "network.json")
    stored = _read_json(path / "parameters.json")
    initial = _as(Parameters, stored.get("initial"), path / "parameters.json")
    log = _read_log(path)
    summary, missing = _read_summary(path)
    notes = (
        [*settings.get("notes", []), *gather_notes(log.found)]
        if missing
        else list(summary["notes"])
    )
    notes += [*missing, *log.damage]
    periods = len(log.frames["run"])
    if log.frames["baseline"]:
        periods = min(periods, len(log.frames["baseline"]))
    if periods < summary.get("periods", 0):
        notes.append(f"{summary['periods'] - periods} periods of the run could not be read")
    final, doubts = _final(stored, network, initial, log.applied)
    return RunRecord(
        run_id=start.run_id,
        version=start.version,
        started=start.started,
        scenario=start.scenario,
        seed=start.seed,
        settings=start.settings,
        network=network,
        initial=initial,
        final=final,
        frames=tuple(log.frames["run"][:periods]),
        baseline=tuple(log.frames["baseline"][:periods]),
        verdicts=tuple(log.verdicts),
        held=tuple(log.held),
        outcomes=tuple(log.settled()),
        objective=tuple(log.objective["run"][:periods]),
        baseline_objective=tuple(log.objective["baseline"][:periods]),
        notes=(*notes, *doubts),
        interrupted=bool(summary.get("interrupted", True)),
        applied=tuple(log.applied),
        maps=_read_maps(path, summary),
        taken=tuple(log.taken),
        compared=tuple(log.compared),
    )


@dataclass(frozen=True)
class RunListing:
    """One run folder in a list."""

    path: Path
    run_id: str
    started: str
    scenario: str
    seed: int
    finished: bool
    """Whether it ended by itself, neither interrupted nor killed."""


def list_runs(root: Path) -> list[RunListing]:
    """Return the run folders under a root, oldest first; what is none is left out."""
    listings = []
    for path in sorted(root.iterdir()) if root.is_dir() else []:
        if path.name.startswith(".") or not path.is_dir():
            continue
        try:
            start = from_jsonable(RunStart, _read_json(path / "settings.json"))
        except (CellHiveError, ValueError):
            continue
        summary, _ = _read_summary(path)
        finished = not summary.get("interrupted", True)
        listings.append(
            RunListing(path, start.run_id, start.started, start.scenario, start.seed, finished)
        )
    return sorted(listings, key=lambda listing: (listing.started, listing.run_id))


@dataclass
class _Log:
    """What the log of a run says."""

    frames: dict[str, list[KpiFrame]] = field(default_factory=lambda: {"run": [], "baseline": []})
    objective: dict[str, list[float]] = field(default_factory=lambda: {"run": [], "baseline": []})
    verdicts: list[Verdict] = field(default_factory=list)
    held: list[PlanHeld] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    applied: list[Plan] = field(default_factory=list)
    taken: list[PolicyTaken] = field(default_factory=list)
    compared: list[CandidateCompared] = field(default_factory=list)
    found: list[tuple[int, str]] = field(default_factory=list)
    """Notes and the periods they were made in."""
    damage: list[str] = field(default_factory=list)

    def take(self, event: object) -> None:
        """Take in an event that is not a period."""
        match event:
            case PlanChecked():
                self.verdicts.append(event.verdict)
            case PlanHeld():
                self.held.append(event)
            case PlanApplied():
                self.applied.append(event.plan)
            case PlanDecided():
                self.outcomes.append(event.outcome)
            case PolicyTaken():
                self.taken.append(event)
            case _:
                if isinstance(event, CandidateCompared):
                    self.compared.append(event)
                note = note_of(event)
                if note is not None:
                    self.found.append((len(self.frames["run"]), note))

    def settled(self) -> list[Outcome]:
        """Return the outcomes, and unconfirmed ones of plans that have none."""
        decided = {outcome.plan.plan_id for outcome in self.outcomes}
        frames = self.frames["run"]
        now_s = frames[-1].time_s + frames[-1].period_s if frames else float("nan")
        reason = "the record ends while it was watched"
        return self.outcomes + [
            Outcome(plan, UNCONFIRMED, reason, now_s, {}, {})
            for plan in self.applied
            if plan.function != ROLLBACK and plan.plan_id not in decided
        ]


def _read_log(path: Path) -> _Log:
    """Read the log up to its end or to the first thing in it that is not whole."""
    log = _Log()
    try:
        lines = (path / "events.jsonl").read_bytes().split(b"\n")
    except OSError as error:
        log.damage.append(f"events.jsonl could not be read ({error.strerror})")
        return log
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            entry = json.loads(line)
            name, data = entry["event"], entry["data"]
            if name in _LOGGED:
                log.take(from_jsonable(_LOGGED[name], data))
            else:
                _take_period(log, path, name, data)
        except (ValueError, KeyError, TypeError, OSError) as error:
            log.damage.append(f"the record ends before line {number} of events.jsonl ({error})")
            break
    return log


def _take_period(log: _Log, path: Path, name: str, data: Any) -> None:
    arms = {kind.__name__: arm for kind, arm in _ARMS.items()}
    if name not in arms:
        return
    arm, period = arms[name], from_jsonable(_Period, data)
    if period.index != len(log.frames[arm]):
        message = f"expected period {len(log.frames[arm]) + 1}, found {period.index + 1}"
        raise ValueError(message)
    file = f"{arm}-{period.index + 1:06}.parquet"
    columns, values, valid = unpack_table(_whole(path / "frames" / file, period.cells))
    frame = KpiFrame(
        time_s=period.time_s,
        period_s=period.period_s,
        observed_s=period.observed_s,
        columns=columns,
        values=values,
        valid=valid,
    )
    if period.relations:
        names, relations, _ = unpack_table(_whole(path / "relations" / file, period.relations))
        frame = replace(frame, relation_columns=names, relation_values=relations)
    log.frames[arm].append(frame)
    log.objective[arm].append(period.objective)


def _whole(path: Path, expected: str) -> bytes:
    """Return the content of a file if it is what was written."""
    data = path.read_bytes()
    if fingerprint(data) != expected:
        message = f"{path.name} is damaged"
        raise ValueError(message)
    return data


def _read_summary(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the summary, and notes that it is missing or damaged."""
    if not (path / "summary.json").is_file():
        return {}, ["the run was stopped before its end: there is no summary.json"]
    try:
        summary = _read_json(path / "summary.json")
    except BadInput:
        return {}, ["summary.json is damaged"]
    if not isinstance(summary.get("notes"), list) or not isinstance(summary.get("periods"), int):
        return {}, ["summary.json is damaged"]
    return summary, []


def _read_maps(path: Path, summary: dict[str, Any]) -> dict[str, Raster]:
    """Return the maps of a run that are whole."""
    maps = {}
    for entry in summary.get("maps", []):
        try:
            _, values, _ = unpack_table(_whole(path / "maps" / entry["file"], entry["values"]))
            x0_m, y0_m, pixel_m = (float(entry[name]) for name in ("x0_m", "y0_m", "pixel_m"))
            maps[str(entry["name"])] = Raster(x0_m, y0_m, pixel_m, values)
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return maps


def _final(
    stored: dict[str, Any], network: Network, initial: Parameters, applied: list[Plan]
) -> tuple[Parameters, list[str]]:
    """Return the final parameters: as stored, or from what was applied."""
    if "final" in stored:
        return _as(Parameters, stored["final"], Path("parameters.json")), []
    try:
        changes = [change for plan in applied for change in plan.changes]
        return apply_changes(initial, network, changes), []
    except CellHiveError as error:
        return initial, [f"the final parameters are not known ({error})"]


def _publish(
    draft: Path, root: Path, start: RunStart, notes: tuple[str, ...]
) -> tuple[Path, RunStart]:
    """Give the draft of a folder the first free name."""
    for number in range(1, _MOST_SAME_ID):
        run_id = start.run_id if number == 1 else f"{start.run_id}-{number}"
        path, named = root / run_id, replace(start, run_id=run_id)
        if path.exists():
            continue
        header = {"format": FORMAT, **to_jsonable(named), "notes": notes}
        header["python"] = platform.python_version()
        _write_json(draft / "settings.json", header)
        try:
            draft.rename(path)
        except OSError:
            if not path.exists():
                raise
            continue
        return path, named
    raise BadInput(
        expected=f"fewer than {_MOST_SAME_ID} runs of the same id",
        found=start.run_id,
        place=str(root),
        remedy="remove old runs",
    )


def _unwritable(place: Path, error: OSError) -> BadInput:
    return BadInput(
        place=str(place),
        expected="a place that can be written",
        found=error.strerror or str(error),
        remedy="free space or choose another folder for runs; what was written so far is readable",
    )


def _write_json(path: Path, value: Any) -> None:
    text = json.dumps(to_jsonable(value), allow_nan=False, ensure_ascii=False)
    write_whole(path, f"{text}\n".encode())


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise BadInput(
            place=str(path),
            expected="a file of a run folder",
            found=error.strerror or str(error),
            remedy="give the path of a folder that a run has written",
        ) from error
    except (ValueError, RecursionError) as error:
        raise BadInput(place=str(path), expected="JSON", found=str(error)) from error
    if not isinstance(value, dict):
        raise BadInput(place=str(path), expected="a JSON object", found=type(value).__name__)
    return value


def _as(kind: type[T], value: Any, place: Path) -> T:
    try:
        return from_jsonable(kind, value)
    except ValueError as error:
        raise BadInput(place=str(place), expected=kind.__name__, found=str(error)) from error
