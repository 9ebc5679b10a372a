"""Whatever is cut off or damaged in a run folder, what is read is a whole beginning of the run."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cellhive.adapters.run_codec import from_jsonable, pack_table, unpack_table
from cellhive.adapters.runs import RunFolder, load_run
from cellhive.core.errors import CellHiveError
from cellhive.core.types import Change, Effect, KpiFrame, Network, Outcome, Plan, to_jsonable
from cellhive.flows.decide import PeriodObserved, PlanApplied, PlanDecided
from cellhive.flows.replay import compare_frames
from cellhive.flows.trial import RunRecord, RunStart
from cellhive.ran.parameters import default_parameters

PERIODS = 4
START = RunStart("run", "0", "2026-01-01T00:00:00Z", "toy", 1, {})
NEEDED = {"settings.json", "network.json", "parameters.json"}


def network() -> Network:
    """Return two cells that are neighbours."""
    ones = np.ones(2)
    return Network(
        name="two",
        cell_ids=("a", "b"),
        site_ids=("a", "b"),
        x_m=ones,
        y_m=ones,
        height_m=ones,
        azimuth_deg=ones,
        mechanical_tilt_deg=ones,
        carrier_hz=ones,
        bandwidth_hz=ones,
        environment=("UMa", "UMa"),
        coverage_cell=ones > 0,
        protected=ones < 0,
        relation_source=np.array([0, 1], np.int32),
        relation_target=np.array([1, 0], np.int32),
    )


def frame(index: int) -> KpiFrame:
    """Return a period."""
    values = np.random.default_rng(index).normal(size=(2, 3)).astype(np.float32)
    return KpiFrame(
        900.0 * index, 900.0, 60.0, ("p", "q", "r"), values, np.isfinite(values), ("n",),
        values[:, :1],
    )  # fmt: skip


def plan(index: int) -> Plan:
    """Return a plan of a period."""
    change = Change("a", "electrical_tilt_deg", 6.0 + index, 7.0 + index)
    return Plan(f"p{index}", "CCO", 900.0 * index, (change,), (Effect("sinr_mean_db", 1, 0, 2),))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run that has ended."""
    initial = default_parameters(network())
    folder = RunFolder.create(tmp_path_factory.mktemp("runs"), START, network(), initial)
    for index in range(PERIODS):
        folder(PeriodObserved(index, frame(index), float(index)))
        folder(PlanApplied(plan(index), "a person"))
        folder(PlanDecided(Outcome(plan(index), "kept", "", 900.0 * index, {}, {})))
    folder.finish(
        RunRecord(
            run_id="run", version="0", started=START.started, scenario="toy", seed=1, settings={},
            network=network(), initial=initial, final=initial,
            frames=tuple(frame(index) for index in range(PERIODS)), baseline=(), verdicts=(),
            held=(), outcomes=(), objective=(), baseline_objective=(), notes=(),
            interrupted=False,
        )
    )  # fmt: skip
    return folder.path


def check_beginning(path: Path) -> int:
    """Check that what is read is a beginning of the run, and return how many periods it has."""
    loaded = load_run(path)
    for index, each in enumerate(loaded.frames):
        assert compare_frames(each, frame(index)) is None
    assert loaded.applied == tuple(plan(index) for index in range(len(loaded.applied)))
    assert len(loaded.frames) - len(loaded.applied) in {0, 1}
    assert len(loaded.outcomes) == len(loaded.applied)
    assert [outcome.plan for outcome in loaded.outcomes] == list(loaded.applied)
    return len(loaded.frames)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), truncate=st.booleans())
def test_any_damage_leaves_a_whole_beginning(
    finished: Path, tmp_path: Path, data: st.DataObject, truncate: bool
) -> None:
    """Any file cut at any byte, or gone: a beginning of the run, or an error that names the file.

    Only the three files that are written before a run folder appears may be missed.
    """
    copy = tmp_path / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(finished, copy)
    files = sorted(p.relative_to(copy) for p in copy.rglob("*") if p.is_file())
    name = data.draw(st.sampled_from(files))
    content = (copy / name).read_bytes()
    if truncate:
        (copy / name).write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    else:
        (copy / name).unlink()
    missed = None
    periods = 0
    try:
        periods = check_beginning(copy)
    except CellHiveError as error:
        missed = str(error)
    if missed is not None:
        assert name.name in NEEDED
        assert name.name in missed
    elif name.parts[0] in {"frames", "relations"}:
        assert periods == int(name.stem.split("-")[1]) - 1


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.data())
def test_log_cut_anywhere_holds_the_lines_before(
    finished: Path, tmp_path: Path, cut: st.DataObject
) -> None:
    """A kill in the middle of a line loses that line and nothing before it."""
    copy = tmp_path / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(finished, copy)
    log = (copy / "events.jsonl").read_bytes()
    size = cut.draw(st.integers(0, len(log)))
    (copy / "events.jsonl").write_bytes(log[:size])
    whole = [line for line in log[:size].split(b"\n") if line.endswith(b"}}")]
    periods = sum(b'"PeriodObserved"' in line for line in whole)
    assert check_beginning(copy) in {periods, periods + 1}


@given(
    values=hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=5),
        elements=st.floats(width=32, allow_nan=False),
    ),
    data=st.data(),
)
def test_tables_come_back_to_the_bit(
    values: np.ndarray[tuple[int, int], np.dtype[np.float32]], data: st.DataObject
) -> None:
    """Every float32 comes back as it was, known NaN stay known and unknown ones unknown."""
    masks = hnp.arrays(np.bool_, values.shape)
    valid, reported = data.draw(masks), data.draw(masks)
    values = np.where(reported & valid, values, np.float32(np.nan))
    columns = tuple(f"k{column}" for column in range(values.shape[1]))
    packed = pack_table(tuple("x" * row for row in range(values.shape[0])), columns, values, valid)
    names, back, known = unpack_table(packed)
    assert names == columns
    assert np.array_equal(back.view(np.uint32), values.view(np.uint32))
    assert np.array_equal(known, valid)


@given(
    st.builds(
        Change,
        st.text(),
        st.text(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.floats(allow_nan=False, allow_infinity=False),
        st.none() | st.text(),
        st.text(),
    )
)
def test_values_come_back_from_json(change: Change) -> None:
    """Text of any kind and every finite number come back as they were."""
    assert from_jsonable(Change, to_jsonable(change)) == change


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    )
)
def test_foreign_json_is_a_value_error(value: object) -> None:
    """JSON of any shape is taken or refused as a ValueError, nothing else."""
    for kind in (Plan, Network, Outcome):
        with pytest.raises(ValueError, match="expected"):
            from_jsonable(kind, value)
