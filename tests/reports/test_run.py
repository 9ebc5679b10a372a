"""The report says what happened: right and wrong, refused, held, unfinished."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from cellhive.core.types import Outcome, Refusal, Verdict
from cellhive.flows.decide import UNCONFIRMED
from cellhive.flows.trial import RunRecord, Truth
from cellhive.reports.run.decisions import change_text, decisions_of, refusals_of, totals_of
from cellhive.reports.run.report import (
    render_run,
    summary_sentences,
    write_run_report,
    wrong_decisions,
)


class Outline(HTMLParser):
    """Collects the text per section and checks that tags are closed in order."""

    VOID = frozenset({"meta", "input", "br", "link", "hr", "img"})

    def __init__(self) -> None:
        """Start outside every section."""
        super().__init__()
        self.open: list[str] = []
        self.section = ""
        self.text: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open a tag."""
        if tag == "section":
            self.section = dict(attrs).get("id") or ""
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take a tag without content."""

    def handle_endtag(self, tag: str) -> None:
        """Close the tag that was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep the words of a section."""
        self.text[self.section] = self.text.get(self.section, "") + data


def outline(html: str) -> dict[str, str]:
    """Return the text of each section of a well-formed page."""
    parser = Outline()
    parser.feed(html)
    assert parser.open == []
    return parser.text


@pytest.fixture(scope="module")
def html(run_record: RunRecord) -> str:
    """The report of the small run."""
    return render_run(run_record, replay="cellhive replay runs/x")


def test_the_report_has_every_section(html: str) -> None:
    """From the summary to how it was made, in this order."""
    sections = [name for name in outline(html) if name]
    assert sections == ["summary", "course", "maps", "decisions", "kpis", "configuration",
                        "cells", "about"]  # fmt: skip


def test_nothing_hostile_and_nothing_from_outside(html: str) -> None:
    """Names and settings are escaped; no address is loaded."""
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html
    assert not re.search(r"https?://", html.replace("http://www.w3.org/2000/svg", ""))


def test_unknown_values_never_show(html: str) -> None:
    """No nan, inf, None or placeholder reaches the reader."""
    words = " ".join(outline(html).values())
    assert not re.search(r"\b(nan|inf|None|undefined)\b", words)
    assert "nan" not in "".join(re.findall(r'(?:points|d|x|y|cx|cy)="[^"]*"', html))


def test_the_summary_tells_what_it_brought_and_what_went_wrong(run_record: RunRecord) -> None:
    """Counts by hand: of 6 proposed 1 refused, 1 held, 4 applied; 2 kept, 1 rolled back."""
    text = " ".join(outline(render_run(run_record))["summary"].split())
    assert "6 cells on 2 sites for 2 h (08:00 to 10:00, 8 periods) in autonomous mode" in text
    assert "6 plans were proposed" in text
    assert "refused 1 of them entirely" in text
    assert "1 was let through but held back" in text
    assert "4 were applied, of which 2 kept and 1 rolled back, and 1 without a verdict" in text
    assert "2 of 3 verdicts were right, 1 wrong; of 1 the truth is not known" in text
    assert "CCO-1: kept, although it lowered the network's score by 0.75 points" in text
    assert "Clearly better: " in text


def test_every_decision_is_told_with_its_truth(html: str) -> None:
    """What, why, verdict and truth of each applied plan."""
    text = outline(html)["decisions"]
    for words in ("A-1 → B-1: CIO 0\u00a0dB ⇒ 2\u00a0dB", "too late handovers", "✔ right",
                  "✘ wrong", "not known", "rolled back", "unconfirmed", "9 dB is too much",
                  "waiting for approval"):  # fmt: skip
        assert words in text


def test_the_configuration_lists_what_differs(html: str) -> None:
    """One relation and one tilt changed; what was rolled back is not there."""
    text = outline(html)["configuration"]
    assert "A-1 → B-1" in text
    assert "A-2" in text
    assert "B-1 → A-1" not in text


def test_maps_show_before_after_and_change(html: str) -> None:
    """Coverage rose by 3 dB everywhere, so there is a third picture."""
    text = outline(html)["maps"]
    for words in ("Do nothing", "With CellHive", "Before", "After", "Change (blue is higher)"):
        assert words in text


def test_the_report_says_how_to_repeat_it(html: str) -> None:
    """Seed, version, command, settings with nested names."""
    text = outline(html)["about"]
    for words in (
        "cellhive replay runs/x",
        "CellHive 0.1.0",
        "limits.step_db",
        "a note of the run",
    ):
        assert words in text


def test_an_interrupted_run_without_a_period_is_reported(interrupted_record: RunRecord) -> None:
    """Nothing was observed, and the report says so instead of failing."""
    text = outline(render_run(interrupted_record))
    assert "This run was interrupted." in text[""]
    assert "nothing was observed" in text["summary"]
    assert "No plan was applied." in text["decisions"]


def test_without_a_baseline_nothing_is_claimed(run_record: RunRecord) -> None:
    """No comparison, no better or worse."""
    alone = replace(run_record, baseline=(), baseline_objective=())
    text = outline(render_run(alone))
    assert "cannot be told apart" in text["summary"]
    assert "kpis" not in text
    assert "better" not in text["summary"].replace("called better", "")


def test_a_shadow_run_applied_nothing(run_record: RunRecord) -> None:
    """Held plans are listed; run and "do nothing" are the same."""
    shadow = replace(
        run_record,
        applied=(),
        outcomes=(),
        frames=run_record.baseline,
        settings={"mode": "shadow"},
        final=run_record.initial,
    )
    text = outline(render_run(shadow))
    assert "it proposed and applied nothing" in text["summary"]
    assert "are therefore the same" in text["summary"]
    assert "is the one at the start" in text["configuration"]


def test_frames_of_silent_cells_are_drawn(run_record: RunRecord) -> None:
    """A period in which a cell told nothing is a gap, not an error."""
    frames = list(run_record.frames)
    valid = frames[3].valid.copy()
    valid[:] = False
    frames[3] = replace(frames[3], valid=valid)
    assert "Summary" in render_run(replace(run_record, frames=tuple(frames)))


def test_totals_and_refusals_add_up(run_record: RunRecord) -> None:
    """Counts of each function, by hand."""
    totals = {total.function: total for total in totals_of(run_record)}
    mlb = totals["MLB"]
    assert (mlb.proposed, mlb.refused, mlb.applied, mlb.rolled_back, mlb.right) == (2, 1, 1, 1, 1)
    assert totals["CCO"].wrong == 1
    assert totals["CCO"].effect == -0.75
    assert totals["ES"].unconfirmed == 1
    assert [(row.rule, row.count) for row in refusals_of(run_record)] == [("step", 1)]


def test_wrong_decisions_come_worst_first(run_record: RunRecord) -> None:
    """Only wrong ones, by size."""
    wrong = wrong_decisions(decisions_of(run_record))
    assert [decision.plan.plan_id for decision in wrong] == ["CCO-1"]
    assert wrong[0].truth is Truth.WRONG


def test_changes_are_told_in_the_units_of_the_trade(run_record: RunRecord) -> None:
    """Sleep is a word, time to trigger milliseconds."""
    change = run_record.applied[-1].changes[0]
    assert change_text(change).endswith("Asleep awake ⇒ asleep")
    ttt = replace(change, cell="A-1", parameter="time_to_trigger_s", before=0.16, after=0.32)
    assert change_text(ttt) == "A-1: TTT 160\u00a0ms ⇒ 320\u00a0ms"


def told(record: RunRecord) -> str:
    """Return the summary of a run as its report gives it."""
    return " ".join(outline(render_run(record))["summary"].split())


def test_changes_refused_in_plans_that_were_applied_are_told(run_record: RunRecord) -> None:
    """A plan of which the guard let one change of three through did not do what it says."""
    first = run_record.verdicts[0]
    plan = replace(first.plan, changes=first.plan.changes * 3)
    refused = tuple(Refusal(change, "budget", "enough") for change in first.plan.changes * 2)
    partly = Verdict(plan, first.plan.changes, refused)
    record = replace(run_record, verdicts=(partly, *run_record.verdicts[1:]))
    assert "refused 1 of them entirely and 2 of the 7 changes in the others" in told(record)
    record = replace(record, verdicts=record.verdicts[:-1])
    assert "5 plans were proposed; the guard and the watch refused 2 of their 7" in told(record)


def test_assist_mode_claims_no_approval(run_record: RunRecord) -> None:
    """Where nobody answered, nobody approved."""
    text = told(replace(run_record, settings={"mode": "assist"}))
    assert "in assist mode: nothing is applied without a person's approval" in text


def test_a_run_too_short_for_intervals_claims_none(run_record: RunRecord) -> None:
    """Four periods after the first plan give two blocks, from which no interval follows."""
    short = replace(
        run_record,
        frames=run_record.frames[:6],
        baseline=run_record.baseline[:6],
        objective=run_record.objective[:6],
        baseline_objective=run_record.baseline_objective[:6],
    )
    text = told(short)
    assert "too few periods to tell this from chance" in text
    assert "in brackets" not in text
    assert "the difference cannot be told" not in text


def test_nothing_is_compared_before_the_first_plan(run_record: RunRecord) -> None:
    """A plan that was applied when the last period was over has shown nothing yet."""
    end_s = run_record.frames[-1].time_s + 900.0
    last = replace(run_record.applied[0], time_s=end_s)
    outcome = Outcome(last, UNCONFIRMED, "the run ended", end_s, {}, {})
    record = replace(run_record, applied=(last,), outcomes=(outcome,))
    text = outline(render_run(record))
    assert "applied after the last period" in text["summary"]
    assert "there were no branches" not in text["summary"]
    assert "the score went" not in text["summary"]
    assert "kpis" not in text
    assert "since the first plan" not in "".join(text.values())


def test_effects_of_plans_without_a_verdict_are_not_denied(run_record: RunRecord) -> None:
    """Their effect is measured all the same; only right or wrong cannot be said."""
    kept = run_record.outcomes[0]
    open_ = replace(kept, verdict=UNCONFIRMED)
    record = replace(run_record, outcomes=(open_,))
    text = outline(render_run(record))
    assert "No plan had a verdict when the run ended" in text["summary"]
    assert "there were no branches" not in text["summary"]
    assert "no verdict" in text["decisions"]
    assert "not known" not in text["decisions"]
    assert "kept plans" not in text["decisions"]


def test_runs_on_own_sites_are_named_after_them(run_record: RunRecord) -> None:
    """The scenario lends only its traffic."""
    settings = {"mode": "autonomous", "own_sites": True}
    html = render_run(replace(run_record, settings=settings))
    assert "<h1>Autonomous run on two-sites</h1>" in html
    assert "traffic of small" in html


def test_one_period_is_one(run_record: RunRecord) -> None:
    """Not "1 periods"."""
    one = replace(
        run_record,
        frames=run_record.frames[:1],
        baseline=run_record.baseline[:1],
        objective=run_record.objective[:1],
        baseline_objective=run_record.baseline_objective[:1],
        applied=(),
        outcomes=(),
    )
    assert "1 periods" not in render_run(one)


def test_no_plans_is_said(run_record: RunRecord) -> None:
    """A run that proposed nothing says so."""
    idle = replace(run_record, verdicts=(), held=(), outcomes=(), applied=())
    assert "No plan was proposed, and nothing was changed." in summary_sentences(idle, {}, [])


def test_the_file_is_written(run_record: RunRecord, tmp_path: Path) -> None:
    """The same page, in one file."""
    write_run_report(run_record, tmp_path / "r.html")
    assert (tmp_path / "r.html").read_text(encoding="utf-8") == render_run(run_record)
