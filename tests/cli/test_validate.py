"""``cellhive twin validate``: its files, its exit codes, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cellhive.ran.validation import COMPANIES, SETUPS

Command = Callable[..., object]


def written(path: Path, shift_db: float) -> Path:
    """Write a table of the companies, moved by some decibels, and return where it is."""
    quantities = ("coupling_gain_db", "sinr_db", "sir_db")
    parts = [f"{q}_{each}" for q in quantities for each in ("mean", "min", "max", "n")]
    lines = [",".join(["scenario", "cdf_percent", *parts])]
    for key, setup in SETUPS.items():
        for at, percent in enumerate(COMPANIES[key, "sinr_db"].percent):
            fields = [setup.name, f"{percent}"]
            for quantity in quantities:
                one = COMPANIES[key, quantity]
                moved = (value[at] + shift_db for value in (one.mean, one.low, one.high))
                fields += [*(f"{value:.3f}" for value in moved), str(one.companies)]
            lines.append(",".join(fields))
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_all_checks_pass_and_files_appear(cellhive: Command, tmp_path: Path) -> None:
    """45 checks on the screen, exit code 0, a page and a picture."""
    report, picture = tmp_path / "r.html", tmp_path / "p.svg"
    ended = cellhive("twin", "validate", "--users", 6000, "--report", report, "--picture", picture)
    assert ended.code == 0, ended
    assert "45 of 45 percentiles lie inside" in ended.out
    assert sum(line.startswith(("UMa ", "UMi ", "InH ")) for line in ended.out.splitlines()) == 45
    assert report.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert picture.read_text(encoding="utf-8").startswith("<svg")
    assert ended.out.rstrip().endswith(f"{report}\n{picture}")


def test_what_lies_outside_ends_with_one(cellhive: Command, tmp_path: Path) -> None:
    """Beside companies that found 3 dB more nothing passes; the JSON is all of the output."""
    table = written(tmp_path / "moved.csv", 3.0)
    ended = cellhive(
        "twin", "validate", "--users", 1000, "--scenario", "InH", "--reference", table, "--json"
    )
    told = json.loads(ended.out)
    assert (ended.code, ended.err, told["passes"]) == (1, "", False)
    assert len(told["checks"]) == 15
    assert not any(check["passes"] for check in told["checks"])
    assert told["reference"] == "Companies: moved.csv."


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--users", "99", "expected 100 to 1,000,000, found 99"),
        ("--seed", "-1", "expected a whole number from 0 to 4294967295, found -1"),
        ("--scenario", "RMa", "expected one of UMa, UMi, InH, found 'RMa'"),
        ("--report", "r.pdf", "--report: expected a file name ending in .html or .htm"),
        ("--picture", "p.png", "--picture: expected a file name ending in .svg, found 'p.png'"),
        ("--reference", "none.csv", "none.csv: there is no such file"),
    ],
)
def test_what_cannot_be_is_refused(
    cellhive: Command, option: str, value: str, message: str
) -> None:
    """Exit code 2, one line, nothing on standard output."""
    ended = cellhive("twin", "validate", option, value)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert ended.err.count("\n") == 1
