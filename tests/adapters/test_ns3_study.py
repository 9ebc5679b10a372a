"""The reader of the ns-3 rows: what it takes from a file, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cellhive.adapters.ns3_study import STUDY_FILE, read_study
from cellhive.core.errors import BadInput, NotFound
from cellhive.ran.validation.a3_study import A3Setting, Condition, StudyRow, run_study
from cellhive.ran.validation.urban_grid import site_positions

ROOT = Path(__file__).resolve().parents[2]
REAL = ROOT / STUDY_FILE
needs_study = pytest.mark.skipif(
    not REAL.exists(), reason=f"the rows of the ns-3 study are not in {STUDY_FILE}"
)

ROW = {
    "part": "A", "isd_m": 200, "speed_mps": 16, "a3_offset_db": 2.0, "ttt_ms": 300,
    "handovers_pm": 12.5, "unnecessary_pm": 6.0, "failures_pm": 0.25, "sinr_db": 8.5,
}  # fmt: skip
"""A row in the form of the study, with numbers of our own."""


def written(tmp_path: Path, rows: list[dict[str, Any]], **more: Any) -> Path:
    """Write a file in the form of the study."""
    document = {"sites": {"200": site_positions(200).tolist()}, "rows": rows} | more
    path = tmp_path / "study.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_a_row_says_what_is_run(tmp_path: Path) -> None:
    """Part A runs last 150 s, of which the first 60 s are not counted."""
    assert read_study(written(tmp_path, [ROW])) == (
        StudyRow(
            "A", Condition(200, 16.0, measured_s=90.0), A3Setting(2.0, 0.3), 12.5, 6.0, 0.25, 8.5
        ),
    )


def test_part_c_changes_one_thing(tmp_path: Path) -> None:
    """Lengths and changed parameters of part C reach the condition."""
    base = ROW | {"part": "C", "duration_s": 600.0, "variant": "longer"}
    changes = [
        {"mobility.users": 40}, {"protocol.prep_s": 0.1}, {"protocol.t310_s": 2.0}, {}
    ]  # fmt: skip
    rows = read_study(written(tmp_path, [base | {"overrides": change} for change in changes]))
    assert [row.condition for row in rows] == [
        Condition(200, 16.0, users=40, measured_s=540.0),
        Condition(200, 16.0, preparation_s=0.1, measured_s=540.0),
        Condition(200, 16.0, t310_s=2.0, measured_s=540.0),
        Condition(200, 16.0, measured_s=540.0),
    ]
    assert rows[0].variant == "longer"


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{key: value for key, value in ROW.items() if key != "isd_m"}],
        [ROW | {"part": "D"}],
        [ROW | {"handovers_pm": "many"}],
        [ROW | {"overrides": {"protocol.unheard_of": 1}}],
    ],
    ids=["no rows", "no distance", "unknown part", "no number", "unknown change"],
)
def test_what_is_not_the_study_is_refused(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    """A row that is not understood is an error and never a default."""
    with pytest.raises(BadInput, match=r"study\.json"):
        read_study(written(tmp_path, rows))


def test_sites_elsewhere_are_refused(tmp_path: Path) -> None:
    """The twin's sites are those of the file, or there is nothing to compare."""
    moved = site_positions(200)
    moved[0] += 10.0
    with pytest.raises(BadInput, match="sites 200"):
        read_study(written(tmp_path, [ROW], sites={"200": moved.tolist()}))


def test_no_file_says_where_to_get_it(tmp_path: Path) -> None:
    """The message names the option and the package that has the rows."""
    with pytest.raises(NotFound, match=r"--reference.*handoverlab"):
        read_study(tmp_path / "absent.json")


@needs_study
def test_the_study_is_read_whole() -> None:
    """128 rows: 24 settings on four conditions, two on six, and twenty changed ones."""
    rows = read_study(REAL)
    assert len(rows) == 128
    assert {part: sum(row.part == part for row in rows) for part in "ABC"} == {
        "A": 96, "B": 12, "C": 20,
    }  # fmt: skip
    assert {row.condition.measured_s for row in rows} == {90.0, 120.0, 540.0}


@needs_study
def test_the_twin_agrees_with_the_single_runs_of_part_a() -> None:
    """The bars of issue 3 on the 96 rows of part A, one seed: rank 0.9, median 0.8 to 1.25."""
    rows = [row for row in read_study(REAL) if row.part == "A"]
    found = run_study(rows, [1])
    assert found.handover_rank >= 0.9
    assert 0.8 <= found.median_ratio <= 1.25
