"""``cellhive analyze --watch``: analyses as files arrive, not before they are whole."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from cellhive.app.analysis import analyse_paths
from cellhive.cli.analysis.watch import watch
from cellhive.core.errors import NotFound
from cellhive.flows.analyse import Analysis


def rows(hours: range, *, low: range = range(0)) -> str:
    """Return a table of one cell, hourly; its throughput is low at some hours."""
    noise = np.random.default_rng(3).normal(0, 1, 2000)
    lines = ["Time,Cell,Throughput (Mbps)"]
    for hour in hours:
        value = (10.0 if hour in low else 30.0) + noise[hour]
        lines.append(f"2025-03-{1 + hour // 24:02d} {hour % 24:02d}:00,A1,{value:.3f}")
    return "\n".join(lines) + "\n"


def watched(folder: Path, steps: list[Callable[[], object]]) -> tuple[list[int], str]:
    """Watch a folder while things happen to it, one between two looks, then press Ctrl-C."""
    read: list[int] = []
    left = iter(steps)

    def analyse() -> Analysis:
        _, found = analyse_paths([folder])
        read.append(sum(part.rows for part in found.parts))
        return found

    def wait(_: float) -> None:
        step = next(left, None)
        if step is None:
            raise KeyboardInterrupt
        step()

    out = Console(width=200, record=True, file=io.StringIO())
    report = folder / "analysis.html"
    watch([folder], analyse, out, every_s=1.0, ignored=[report], wait=wait)
    return read, out.export_text()


def test_what_arrives_is_analysed_once_it_has_settled(tmp_path: Path) -> None:
    """A file that still grows is waited for; the report in the folder itself does not count."""
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    read, said = watched(tmp_path, [
        lambda: first.write_text(rows(range(300))),
        lambda: None,
        lambda: (tmp_path / "analysis.html").write_text("<html></html>"),
        lambda: second.write_text(rows(range(300, 320))),
        lambda: second.write_text(rows(range(300, 400), low=range(350, 374))),
        lambda: None,
        lambda: None,
    ])  # fmt: skip
    assert read == [300, 400]
    assert "No files yet" in said
    assert "1 new" in said
    assert "Throughput" in said
    assert "Stopped watching" in said


def test_an_interruption_that_is_swallowed_ends_the_watch_all_the_same(tmp_path: Path) -> None:
    """As one is that lands in a finaliser: nothing is looked at once more."""
    (tmp_path / "a.csv").write_text(rows(range(300)))

    def swallow() -> None:
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)

    read, said = watched(tmp_path, [swallow, lambda: pytest.fail("it went on")])
    assert read == [300]
    assert "Stopped watching" in said


def test_a_file_that_cannot_be_read_does_not_end_the_watch(tmp_path: Path) -> None:
    """It is told, and the next one is read."""
    (tmp_path / "a.csv").write_bytes(b"\x00\x01\x02" * 100)
    read, said = watched(tmp_path, [
        lambda: None,
        lambda: (tmp_path / "a.csv").write_text(rows(range(100))),
        lambda: None,
        lambda: None,
    ])  # fmt: skip
    assert read == [100]
    assert "Not analysed" in said


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """Nobody waits for a typing error."""
    with pytest.raises(NotFound):
        watched(tmp_path / "nowhere", [])


def test_the_command_writes_new_reports_until_it_is_interrupted(tmp_path: Path) -> None:
    """As a person would: start it, drop a file, look at the report, press Ctrl-C."""
    folder, report = tmp_path / "pm", tmp_path / "out.json"
    folder.mkdir()
    (folder / "a.csv").write_text(rows(range(300)))
    process = subprocess.Popen(  # noqa: S603  # our own command
        [sys.executable, "-m", "cellhive", "analyze", str(folder), "--watch", "--every", "0.2",
         "--no-causes", "--report", str(report)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        sizes: list[int] = []
        for count in (300, 400):
            if count == 400:
                (folder / "b.csv").write_text(rows(range(300, 400), low=range(350, 374)))
            deadline = time.monotonic() + 120
            while count not in sizes and time.monotonic() < deadline:
                if report.exists():
                    parts = json.loads(report.read_text())["parts"]
                    sizes.append(sum(part["rows"] for part in parts))
                time.sleep(0.1)
            assert count in sizes
    finally:
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "1 new" in out
    assert "Traceback" not in errors
