"""The terminal view follows the events, fits the terminal, and keeps quiet elsewhere."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from cellhive.core.types import Verdict
from cellhive.flows.decide import PeriodObserved, PlanApplied, PlanChecked, PlanDecided, PlanHeld
from cellhive.flows.trial import BaselineObserved, Progress, RunRecord
from cellhive.reports.run.live import RunView, draw, live_view, summary_table, trend


def events_of(record: RunRecord) -> Iterator[object]:
    """Return the events of a run in an order in which a loop tells them."""
    for index, (frame, beside) in enumerate(zip(record.frames, record.baseline, strict=True)):
        yield BaselineObserved(index, beside, record.baseline_objective[index])
        yield PeriodObserved(index, frame, record.objective[index])
        now = frame.time_s
        yield from (PlanChecked(v) for v in record.verdicts if v.plan.time_s == now)
        yield from (PlanApplied(p, "autonomous mode") for p in record.applied if p.time_s == now)
        yield from (h for h in record.held if h.plan.time_s == now)
        yield Progress(index + 1, len(record.frames))
    yield from (PlanDecided(outcome) for outcome in record.outcomes)


def shown(renderable: object, width: int = 80) -> str:
    """Return what a terminal of a width would show, without colours."""
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(renderable)
    text = console.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
    assert isinstance(text, str)
    return text


@pytest.fixture
def view(run_record: RunRecord) -> RunView:
    """The view after the whole small run."""
    view = RunView("small")
    for event in events_of(run_record):
        view.take(event)
    return view


def test_the_view_counts_what_happened(view: RunView) -> None:
    """Counts by hand; a roll-back is not another applied plan."""
    counts = view.counts
    assert counts["proposed"] == 6
    assert counts["applied"] == 4
    assert (counts["kept"], counts["rolled back"], counts["unconfirmed"]) == (2, 1, 1)
    assert (counts["refused"], counts["held"]) == (1, 1)
    assert (counts["right"], counts["wrong"]) == (2, 1)


@pytest.mark.parametrize("width", [60, 80, 132])
def test_no_line_is_wider_than_the_terminal(view: RunView, width: int) -> None:
    """Nothing is wrapped in the list of decisions, whatever the width."""
    text = shown(draw(view, width=width, height=40, elapsed_s=10.0), width)
    assert all(len(line) <= width for line in text.splitlines())
    assert ("since start" in text) == (width > 96)


def test_decisions_are_told_with_reasons_and_verdicts(view: RunView) -> None:
    """What was applied and why, what was refused, and what turned out wrong."""
    text = shown(draw(view, width=140, height=60, elapsed_s=10.0), 140)
    assert "MRO-1 A-1 → B-1: CIO 0\u00a0dB ⇒ 2\u00a0dB – too late handovers" in text
    assert "1 of 1 changes refused (step 1×): 9 dB is too much" in text
    assert "CCO-1 kept [wrong]" in text
    assert "ES-2 held: waiting for approval" in text


def test_the_rest_is_estimated_from_what_is_done(run_record: RunRecord) -> None:
    """Two of eight periods in 30 s leave 90 s."""
    view = RunView("small")
    for event in events_of(run_record):
        view.take(event)
        if event == Progress(2, 8):
            break
    text = shown(draw(view, width=80, height=40, elapsed_s=30.0))
    assert "period 2/8  about 2 min left" in text


def test_before_the_first_period_there_is_a_word() -> None:
    """Something shows at once."""
    assert "preparing the first period" in shown(
        draw(RunView("small"), width=80, height=24, elapsed_s=0.0)
    )


def test_differences_to_do_nothing_are_means_over_the_last_hour(view: RunView) -> None:
    """Objective 104..107 against 100: 5.5 points; better."""
    text = shown(draw(view, width=80, height=40, elapsed_s=10.0))
    (line,) = (line for line in text.splitlines() if line.startswith("Score"))
    assert "+5.5\u00a0points ▲" in line
    assert line.rstrip().endswith(trend([100.0 + i for i in range(8)]))


def test_the_list_keeps_to_the_height(view: RunView) -> None:
    """In a low terminal only the last decisions show."""
    low = shown(draw(view, width=80, height=24, elapsed_s=1.0)).splitlines()
    assert len(low) <= 24


def test_neighbouring_refusals_share_a_line(run_record: RunRecord) -> None:
    """Two refused plans of one period are one line with both names."""
    refused = next(v for v in run_record.verdicts if v.refused)
    view = RunView("small")
    view.take(PlanChecked(refused))
    view.take(PlanChecked(Verdict(refused.plan, (), refused.refused)))
    (one,) = view.happenings
    assert one.text.startswith("MLB-2, MLB-2: 2 of 2 changes refused (step 2×)")


def test_a_trend_shows_rise_and_gaps() -> None:
    """Lowest to highest block; the unknown is blank; flat is in the middle."""
    assert trend([0.0, 7.0, math.nan, 3.0]) == "▁█ ▄"
    assert trend([5.0, 5.0]) == "▄▄"
    assert trend([math.nan]) == ""


def test_a_terminal_gets_the_view_and_no_colour_where_unwanted(
    run_record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The live view draws, and honours NO_COLOR."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    console = Console(file=stream, force_terminal=True, width=80, height=30)
    with live_view("small", console=console, clock=lambda: 0.0) as tell:
        for event in events_of(run_record):
            tell(event)
    stream.flush()
    text = stream.buffer.getvalue().decode()  # type: ignore[attr-defined]  # a BytesIO
    assert "small" in text
    assert "\x1b[32m" not in text
    assert "\x1b[31m" not in text


def test_a_question_takes_the_view_off_the_terminal(
    run_record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While paused nothing is drawn; afterwards the view is back, with what happened meanwhile."""
    monkeypatch.setenv("TERM", "xterm")
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80, height=30)
    with live_view("small", console=console, clock=lambda: 0.0) as tell:
        with tell.paused():
            before = stream.getvalue()
            for event in events_of(run_record):
                tell(event)
            assert stream.getvalue() == before
        assert "CCO-1" in stream.getvalue().removeprefix(before)


def test_a_view_that_comes_back_leaves_the_question_on_the_terminal(
    run_record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is drawn below: the cursor does not go up into the lines of the question."""
    monkeypatch.setenv("TERM", "xterm")
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80, height=30)
    with live_view("small", console=console, clock=lambda: 0.0) as tell:
        for event in events_of(run_record):
            tell(event)
        with tell.paused():
            console.print("a first question")
        with tell.paused():
            console.print("a second question")
            before = stream.getvalue()
        drawn = stream.getvalue().removeprefix(before)
        assert "Score" in drawn
        assert "\x1b[1A" not in drawn.partition("Score")[0]


def test_elsewhere_there_are_plain_lines(run_record: RunRecord) -> None:
    """One line per tenth of the run, without control characters, in the stream's encoding."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with live_view("größe", console=Console(file=stream, width=80)) as tell:
        for event in events_of(run_record):
            tell(event)
    stream.flush()
    lines = stream.buffer.getvalue().decode("ascii").splitlines()  # type: ignore[attr-defined]  # a BytesIO
    assert len(lines) == 8
    assert lines[-1] == ("gr??e: 10:00, period 8/8, plans applied 4, kept 0, rolled back 0")


def test_quiet_is_quiet(run_record: RunRecord) -> None:
    """Nothing at all."""
    stream = io.StringIO()
    with live_view("small", console=Console(file=stream), quiet=True) as tell:
        for event in events_of(run_record):
            tell(event)
    assert stream.getvalue() == ""


def test_the_summary_fits_a_screen(run_record: RunRecord) -> None:
    """80 columns, a few dozen lines, figures, wrong decisions and paths."""
    text = shown(summary_table(run_record, paths={"Report": Path("runs/x/report.html")}))
    lines = text.splitlines()
    assert len(lines) <= 40
    assert all(len(line) <= 80 for line in lines)
    assert "…" not in text
    assert "UE throughput" in text
    assert "CCO-1: kept, although it lowered" in text
    assert lines[-1].split() == ["Report", "runs/x/report.html"]


def test_the_summary_of_nothing(interrupted_record: RunRecord) -> None:
    """An interrupted run without periods still ends in words."""
    text = shown(summary_table(interrupted_record))
    assert text.startswith("Interrupted")
    assert "nothing was observed" in text


def test_unknown_events_are_left_alone(run_record: RunRecord) -> None:
    """New kinds of event do not disturb the view."""
    view = RunView("small")
    view.take(object())
    view.take(PlanHeld(run_record.held[0].plan, "x"))
    assert len(view.happenings) == 1
