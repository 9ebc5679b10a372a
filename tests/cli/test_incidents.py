"""``cellhive analyze --memory`` and ``cellhive incidents``."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from cellhive.cli.root import app

RUN = CliRunner(env={"COLUMNS": "200"})


def table(path: Path, *, name: str, low: range, seed: int) -> Path:
    """Write a table of two cells, hourly, of which the first is slow and noisy for some hours."""
    import numpy as np  # noqa: PLC0415

    rng = np.random.default_rng(seed)
    lines = ["Time,Cell,Throughput (Mbps),Average SINR (dB)"]
    for cell in (f"{name}1", f"{name}2"):
        for hour in range(400):
            bad = cell.endswith("1") and hour in low
            speed, sinr = (12, 6) if bad else (30, 12)
            when = f"2025-03-{1 + hour // 24:02d} {hour % 24:02d}:00"
            lines.append(f"{when},{cell},{rng.normal(speed, 1):.3f},{rng.normal(sinr, 0.4):.3f}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_note_on_an_incident_comes_back_with_the_next_one_like_it(tmp_path: Path) -> None:
    """The whole way an engineer goes: analyse, note, analyse another network."""
    memory = str(tmp_path / "memory")
    common = ["--memory", memory, "--no-causes", "--report", str(tmp_path / "r.html")]
    one = table(tmp_path / "north.csv", name="N", low=range(200, 230), seed=1)
    first = RUN.invoke(app, ["analyze", str(one), *common])
    assert first.exit_code == 0, first.output
    assert "Seen before" not in first.output
    listed = RUN.invoke(app, ["incidents", "list", "--memory", memory, "--json"])
    (kept,) = json.loads(listed.output)
    assert kept["lead_object"] == "N1"
    words = "[red]jumper[/red] wet"
    noted = RUN.invoke(app, ["incidents", "note", kept["id"][:6], words, "--memory", memory])
    assert noted.exit_code == 0, noted.output
    assert words in RUN.invoke(app, ["incidents", "list", "--memory", memory]).output
    two = table(tmp_path / "south.csv", name="S", low=range(200, 230), seed=3)
    again = RUN.invoke(app, ["analyze", str(two), *common])
    assert "Seen before" in again.output
    assert f"Noted: {words}" in again.output
    assert len(json.loads(RUN.invoke(
        app, ["incidents", "list", "--memory", memory, "--json"]).output)) == 2  # fmt: skip


def test_unknown_incidents_and_memories_are_refused(tmp_path: Path) -> None:
    """With the error, not with a traceback."""
    missing = RUN.invoke(app, ["incidents", "list", "--memory", str(tmp_path / "none")])
    assert missing.exit_code != 0
    assert not (tmp_path / "none").exists()
    one = table(tmp_path / "north.csv", name="N", low=range(200, 230), seed=1)
    memory = str(tmp_path / "memory")
    report = str(tmp_path / "r.json")
    RUN.invoke(app, ["analyze", str(one), "--memory", memory, "--no-causes", "--report", report])
    wrong = RUN.invoke(app, ["incidents", "note", "zzz", "x", "--memory", memory])
    assert wrong.exit_code != 0
    assert "one remembered incident" in str(wrong.exception)
