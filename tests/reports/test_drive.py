"""The command that replays a drive test, its screen, its JSON and its page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]


@pytest.fixture
def crossing(tmp_path: Path) -> Path:
    """Return a plain log: B overtakes A at 10 s, the phone changes at 15 s; C is hostile text."""
    rows = ["time_s,serving,A,B,<b>C</b>"]
    for t in range(20):
        rows.append(f"{t},{'A' if t < 15 else 'B'},{-80 - t},{-100 + t},")
    path = tmp_path / "drive.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_the_screen_has_the_three_columns(cellhive: Command, crossing: Path) -> None:
    """Recorded, default, yours; a single handover each, none with 15 dB of offset."""
    ended = cellhive("twin", "replay", crossing, "--a3-offset", 15, "--ttt", 640)
    assert (ended.code, ended.err) == (0, "")
    assert re.search(r"^handovers +1 +1 +0$", ended.out, re.MULTILINE)
    assert "radio link failures" in ended.out
    assert "cannot change the past radio" in ended.out


def test_without_options_there_is_no_column_of_yours(cellhive: Command, crossing: Path) -> None:
    """The default is not shown twice."""
    ended = cellhive("twin", "replay", crossing)
    assert re.search(r"^ +recorded +default$", ended.out, re.MULTILINE)


def test_json_is_json(cellhive: Command, crossing: Path) -> None:
    """With the figures, the settings and what has to be known; unknown numbers are null."""
    ended = cellhive("twin", "replay", crossing, "--json", "--sweep", "--t310", 500)
    told = json.loads(ended.out)
    assert told["recorded"]["handovers"] == 1
    assert told["replayed"][1]["settings"]["procedures"]["t310_s"] == 0.5
    assert len(told["sweep"]) == 42
    assert told["caveats"]


def test_the_report_is_complete_in_itself(
    cellhive: Command, crossing: Path, tmp_path: Path
) -> None:
    """Charts of levels, bands of cells, the sweep; names from the log are escaped."""
    page = tmp_path / "drive.html"
    ended = cellhive("twin", "replay", crossing, "--report", page, "--sweep")
    text = page.read_text(encoding="utf-8")
    assert ended.code == 0
    assert str(page) in ended.out
    assert text.count("<svg") >= 4  # brand, levels, bands, sweep
    assert "recorded: handover A → B" in text
    assert "default: handover A → B" in text
    assert "<b>C</b>" not in text
    assert not re.search(r'(src|href)="http', text)


@pytest.mark.parametrize(
    ("options", "place"),
    [
        (("--ttt", "-1"), "--ttt"), (("--a3-offset", "40"), "--a3-offset"),
        (("--load", "2"), "interference"), (("--report", "x.pdf"), "--report"),
        (("--run", "x"), "--run"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(
    cellhive: Command, crossing: Path, options: tuple[str, ...], place: str
) -> None:
    """With exit code 2 and the option at fault."""
    ended = cellhive("twin", "replay", crossing, *options)
    assert ended.code == 2
    assert place in ended.err


def test_a_run_that_is_not_there(cellhive: Command, tmp_path: Path) -> None:
    """A file with several runs is asked for one that it lacks."""
    path = tmp_path / "log.csv"
    path.write_text(
        "file,Timestamp,LTE_HO,MN_HO,RLF,RSRP,RSRP1,RSRP2\n"
        + "".join(f"a,2023-03-26 16:36:0{s},0,0,0,-90,-95,0\n" for s in range(5))
    )
    assert cellhive("twin", "replay", path, "--run", "a").code == 0
    ended = cellhive("twin", "replay", path, "--run", "b")
    assert ended.code == 2
    assert "expected" in ended.err
