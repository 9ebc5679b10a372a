"""``cellhive twin validate-handover`` on a small study of our own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cellhive.ran.validation.urban_grid import site_positions


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A file in the form of the ns-3 study: three settings and numbers of our own."""
    rows = [
        {"part": "A", "isd_m": 400, "speed_mps": 30, "a3_offset_db": offset, "ttt_ms": ttt,
         "handovers_pm": handovers, "unnecessary_pm": 2.0, "failures_pm": 0.3, "sinr_db": 15.0}
        for offset, ttt, handovers in ((1.0, 100, 9.0), (3.0, 300, 6.0), (6.0, 1000, 4.0))
    ]  # fmt: skip
    path = tmp_path / "study.json"
    document = {"sites": {"400": site_positions(400).tolist()}, "rows": rows}
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_the_command_compares_and_writes_the_page(
    cellhive: Callable[..., Any], study: Path, tmp_path: Path
) -> None:
    """Numbers on the screen, a page beside them, and an exit code that says how it went."""
    page = tmp_path / "page.html"
    ended = cellhive(
        "twin", "validate-handover", "--reference", study, "--seeds", 1, "--report", page
    )
    assert ended.code in {0, 1}
    assert (ended.code == 0) == ("within the limits" in ended.out)
    assert "time to trigger [ms]" in ended.out
    assert str(page) in ended.out
    assert "<svg" in page.read_text(encoding="utf-8")


def test_other_numbers_end_with_one(cellhive: Callable[..., Any], study: Path) -> None:
    """Handovers ten times as many as the twin's are outside the limits: exit code 1."""
    document = json.loads(study.read_text(encoding="utf-8"))
    for row in document["rows"]:
        row["handovers_pm"] *= 10
    study.write_text(json.dumps(document), encoding="utf-8")
    ended = cellhive("twin", "validate-handover", "--reference", study, "--seeds", 1, "--json")
    assert ended.code == 1
    assert json.loads(ended.out)["summary"]["part A"]["within_limits"] is False


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--reference", "gone.json"), "gone.json: there is no such file; give the rows"),
        (("--seeds", 0), "--seeds: expected at least 1, found 0"),
        (("--part", "D"), "'D' is not one of"),
        (("--report", "page.txt"), "ending in .html or .htm"),
        (("--part", "B", "--reference", "study.json"), "found no rows of B"),
    ],
)
def test_what_cannot_be_is_refused(
    cellhive: Callable[..., Any], study: Path, monkeypatch: pytest.MonkeyPatch,
    options: tuple[object, ...], told: str,
) -> None:  # fmt: skip
    """Exit code 2 and one message that says what would have been right."""
    monkeypatch.chdir(study.parent)
    ended = cellhive("twin", "validate-handover", *options)
    assert (ended.code, ended.out) == (2, ""), ended
    assert told in ended.err
    assert ended.err.count("\n") == 1
