"""Hours in which nothing may change, and what a run does in them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cellhive.app import runs as app
from cellhive.core.errors import BadInput
from cellhive.flows.operator import FreezeWindow

HOUR_S = 3600.0


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("17:00-21:30", (17.0, 21.4, 41.0), (16.9, 21.5, 24.0)),
        ("22:00-06:00", (22.0, 23.9, 24.0, 29.9), (6.0, 12.0, 21.9, 30.0)),
    ],
)
def test_window_holds_its_start_and_not_its_end(
    text: str, inside: tuple[float, ...], outside: tuple[float, ...]
) -> None:
    """Hours count from midnight of the first day; windows return daily and may span midnight."""
    window = FreezeWindow.parse(text, "--freeze")
    assert all(window.holds(hour * HOUR_S) for hour in inside)
    assert not any(window.holds(hour * HOUR_S) for hour in outside)


@pytest.mark.parametrize("text", ["", "17-21", "17:00", "24:00-01:00", "1:00-2:00", "07:00-07:00"])
def test_what_is_no_window_is_refused(text: str) -> None:
    """The message shows what one looks like."""
    with pytest.raises(BadInput, match="17:00-21:30"):
        FreezeWindow.parse(text, "--freeze")


def test_nothing_changes_in_frozen_hours_and_a_replay_repeats_it(tmp_path: Path) -> None:
    """The rules act within 45 minutes, but not where these are frozen."""
    options = app.RunOptions(
        scenario="mis-tilted", hours=1.5, observed_s=8.0, branches=False, freeze=("10:00-10:45",)
    )
    run = app.prepare(options.checked())
    app.record_folder(run, tmp_path)
    frozen = app.execute(run)
    app.finish(run, frozen, None)
    free = app.execute(app.prepare(replace(options, freeze=()).checked()))
    assert min(plan.time_s for plan in free.applied) < 10.75 * HOUR_S
    assert min(plan.time_s for plan in frozen.applied) >= 10.75 * HOUR_S
    refusals = {r.rule for v in frozen.verdicts for r in v.refused if v.plan.time_s < 10.7 * HOUR_S}
    assert "frozen" in refusals
    assert refusals <= {"frozen", "together"}
    assert run.folder is not None
    replayed = app.replay(run.folder.path)
    assert replayed.complete
    assert replayed.difference is None
