"""What a memory takes from runs, and what a run starts with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from cellhive.adapters.scenarios import scenario_named
from cellhive.app import runs
from cellhive.app.recall import condense, learn, recall_patterns
from cellhive.core.errors import BadInput, Conflict
from cellhive.core.records import NOT_WRITTEN, PRIVACY, PRIVATE, SHARED, Namespace, RecordKind
from cellhive.core.types import Mode
from cellhive.flows.decide import LoopSettings
from cellhive.flows.recall.situations import CELLS, RELATIONS
from cellhive.flows.trial import Hooks, RunRecord, RunStart, TrialSettings, run_trial
from cellhive.memory.store import Memory
from cellhive.memory.volatile import VolatileLog
from cellhive.ran.guard import Guard
from cellhive.ran.layout import SiteDesign, highway
from cellhive.ran.scenarios import build_twin
from cellhive.ran.son import Rules

STARTED = "2026-01-01T00:00:00+00:00"


@pytest.fixture(scope="module")
def record() -> RunRecord:
    """A short run of the rules along a road."""
    scenario = replace(
        scenario_named("highway-corridor"),
        network=lambda: highway(4, 1000.0, SiteDesign(carrier_hz=2.1e9)),
    )
    twin = build_twin(scenario, 3, observed_s=12.0)
    start = RunStart("first", "0", STARTED, "highway-corridor", 3, {})
    settings = TrialSettings(6, LoopSettings(mode=Mode.AUTONOMOUS), baseline=False, branches=False)
    return run_trial(twin, start, settings, Rules(), Guard(), Hooks())


def test_a_run_teaches_only_once(record: RunRecord) -> None:
    """Learning from a run again changes nothing: its evidence is not counted twice."""
    memory = Memory(VolatileLog())
    first = learn(memory, record)
    before = [memory.count(room) for room in (CELLS, RELATIONS)]
    second = learn(memory, record)
    assert not first.known
    assert first.patterns > 0
    assert first.plans > 0
    assert second.known
    assert [memory.count(room) for room in (CELLS, RELATIONS)] == before
    assert "nothing taken" in second.told
    assert str(first.experiences) in first.told


def test_a_run_starts_with_what_was_learnt(record: RunRecord) -> None:
    """Every experience of the run before is among the patterns that the next one gets."""
    memory = Memory(VolatileLog())
    first = learn(memory, record)
    remembered = recall_patterns(memory, 1e9)
    assert sum(p.evidence.times for p in remembered.patterns) == first.experiences
    assert recall_patterns(Memory(VolatileLog()), 1e9).patterns == ()


def test_what_names_cells_is_private(record: RunRecord) -> None:
    """Of all records only patterns may leave, and none of them names a cell, site or run."""
    memory = Memory(VolatileLog())
    learn(memory, record)
    names = [*record.network.cell_ids, *record.network.site_ids, record.run_id]
    for room in (CELLS, RELATIONS):
        _, records = memory.scan(room, limit=10_000)
        for each in records:
            shared = each.metadata[PRIVACY] == SHARED
            assert shared == (each.kind is RecordKind.PATTERN)
            if shared:
                body = repr(structs.replace(each, vector=None, payload=b""))
                assert not any(f"'{name}'" in body for name in names)
    secret = Memory(VolatileLog())
    learn(secret, record, private=True)
    _, records = secret.scan(CELLS, kind=RecordKind.PATTERN, limit=10_000)
    assert {each.metadata[PRIVACY] for each in records} == {PRIVATE}


def test_condensing_keeps_all_experience(record: RunRecord) -> None:
    """Patterns of several runs are pooled to fewer; their experiences are all still counted."""
    memory = Memory(VolatileLog())
    days = [replace(record, run_id=f"r{day}", started=f"2026-01-0{day}T00:00:00+00:00")
            for day in (1, 2, 3)]  # fmt: skip
    total = sum(learn(memory, run).experiences for run in days)
    before, after = condense(memory, 1.7e9)
    assert after < before
    left = recall_patterns(memory, 1.7e9).patterns
    assert len(left) == after
    assert sum(p.evidence.times for p in left) == total
    assert condense(memory, 1.7e9) == (after, after)


def test_a_namespace_of_somebody_else_is_named() -> None:
    """Where other records have taken the name, learning says so and writes nothing."""
    memory = Memory(VolatileLog())
    memory.declare(Namespace(CELLS, 3))
    with pytest.raises(Conflict, match=CELLS):
        recall_patterns(memory, 0.0)


def test_replay_does_not_depend_on_what_the_memory_became(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run keeps what it recalled: it repeats bit for bit after the memory has learnt more."""
    memory = Memory(VolatileLog())

    @contextmanager
    def opened(where: str, *, key: object = None) -> Iterator[Memory]:
        assert where == "postgresql://me:secret@host/db"
        yield memory

    monkeypatch.setattr(runs, "open_memory", opened)
    options = runs.RunOptions(
        scenario="highway-corridor", hours=1.5, observed_s=12.0, branches=False,
        memory="postgresql://me:secret@host/db",
    )  # fmt: skip
    folders = []
    for seed in (1, 2):
        run = runs.prepare(replace(options, seed=seed))
        folder = runs.record_folder(run, tmp_path)
        done = runs.execute(run)
        runs.finish(run, done, None)
        learnt = runs.remember(run, done)
        assert learnt is not None
        assert learnt.experiences > 0
        folders.append(folder.path)
    assert run.remembered is not None
    assert run.remembered.patterns
    replayed = runs.replay(folders[1])
    assert replayed.difference is None
    assert "secret" not in "".join(
        path.read_text() for path in folders[1].glob("*.json*") if path.is_file()
    )
    (folders[1] / "patterns.json").unlink()
    with pytest.raises(BadInput, match=r"patterns\.json"):
        runs.replay(folders[1])


def test_one_bad_record_does_not_cost_the_others(record: RunRecord) -> None:
    """A pattern that cannot be read is told of and left out; the others are recalled."""
    memory = Memory(VolatileLog())
    learn(memory, record)
    whole = recall_patterns(memory, 1e9)
    _, records = memory.scan(CELLS, kind=RecordKind.PATTERN, limit=1)
    memory.upsert([structs.replace(records[0], metadata={}, version=NOT_WRITTEN)])
    rest = recall_patterns(memory, 1e9)
    assert len(rest.patterns) == len(whole.patterns) - 1
    assert len(rest.notes) == 1
    assert records[0].id in rest.notes[0]
    before = memory.count(CELLS)
    condense(memory, 1e9)
    assert memory.count(CELLS) == before  # what cannot be read is not thrown away either
