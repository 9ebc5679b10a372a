"""The comparison in tables and pictures."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from cellhive.flows.arms.best_action import BranchingSettings, Decision, DecisionStudy
from cellhive.flows.arms.compare import ArmStudy, Budget
from cellhive.flows.arms.run import ArmResult, ArmSettings
from cellhive.reports.arms import (
    arms_markdown,
    arms_picture,
    arms_table,
    decisions_markdown,
    title_of,
)


def result(arm: str, guarded: bool, seed: int, score: float, searched: int = 0) -> ArmResult:
    """Return a result."""
    return ArmResult(
        "tiny", arm, guarded, seed, {"objective": score}, 4, {"step": 2}, 0, 0, searched,
        1.0 if searched else float("nan"), 3.0 * bool(searched), 1.5,
    )  # fmt: skip


def plain(text: str) -> str:
    """Return a text with ordinary spaces."""
    return text.replace("\N{NO-BREAK SPACE}", " ")


@pytest.fixture
def study() -> ArmStudy:
    """Three cities: the policy is 6, 8 and 7 points above the rules."""
    found = ArmStudy("digest", ArmSettings())
    for seed in (201, 202, 203):
        base = 10.0 * (seed - 200)
        for one in (
            result("nothing", True, seed, base),
            result("rules", True, seed, base + 4),
            result("tuned", False, seed, base + 20, searched=200),
            result("rl:mappo", False, seed, base + 4 + (6, 8, 7)[seed - 201]),
            result("set-1", True, seed, base - 5),
        ):
            found = found.with_result(one)
    return found


def test_page_says_who_is_better_and_what_it_cost(study: ArmStudy) -> None:
    """Differences, verdicts, shares (7 + 4 of 20 points) and costs stand in the table."""
    text = plain(arms_markdown(study, {"tiny": "One site."}, "cellhive train evaluate"))
    lines = {line.split("|")[1].strip(): line for line in text.splitlines() if line[:2] == "| "}
    policy = [cell.strip() for cell in lines["mappo, no guard"].split("|")]
    assert policy[2:4] == ["3", "31.0"]
    assert policy[5].startswith("+7.0 (")
    assert policy[6] == "better"
    assert re.match(r"55 % \(5\d % to \d\d %\)", policy[7])
    assert "| worse |" in lines["3GPP Set 1"]
    assert "| reference |" in lines["rules"]
    assert "| 200 | 3 | 1.5 |" in lines["tuned, fixed, no guard"]
    assert "No learned policy" in text
    budget = Budget("rl:mappo", 3.0e6, 540.0, "two cores")
    assert "9.0 min" in arms_markdown(study.with_budget(budget), {}, "x")


def test_page_says_what_was_run_elsewhere_only(study: ArmStudy) -> None:
    """An arm that some scenario has and another has not is named where it lacks."""
    for seed in (201, 202, 203):
        for arm in ("nothing", "rules", "set-5"):
            study = study.with_result(replace(result(arm, True, seed, 1.0), scenario="other"))
    text = plain(arms_markdown(study, {}, "x"))
    other, tiny = text[text.index(": other") : text.index(": tiny")], text[text.index(": tiny") :]
    assert "Not run in this scenario: 3GPP Set 5." in tiny
    assert "this scenario: 3GPP Set 1; mappo, no guard; tuned, fixed, no guard." in other


def test_terminal_and_picture_show_every_arm(study: ArmStudy) -> None:
    """A row per arm; the picture leaves out the rules, which all are compared with."""
    out = io.StringIO()
    Console(file=out, width=240).print(arms_table(study, "tiny"))
    assert "3 cities" in out.getvalue()
    for title in ("do nothing", "3GPP Set 1", "tuned, fixed, no guard", "rules", "mappo, no guard"):
        assert title in out.getvalue()
    svg = arms_picture(study, "tiny")
    assert svg.startswith("<svg")
    assert "mappo, no guard" in svg
    assert ">rules<" not in svg
    assert title_of("rules", False) == "rules, no guard"


def test_decisions_are_pooled_per_arm() -> None:
    """One right of two clear decisions; nothing to say where there is none."""

    def decision(gain: float, best: float) -> Decision:
        return Decision(1, "c", 12, (), "tilt up", gain, best, 0.1)

    studies = [
        DecisionStudy("tiny", "rules", 1, BranchingSettings(), (decision(1.0, 1.0),)),
        DecisionStudy("tiny", "rules", 2, BranchingSettings(), (decision(0.5, 1.0),)),
        DecisionStudy("tiny", "nothing", 1, BranchingSettings(), (decision(0.0, 0.1),)),
    ]
    text = plain(decisions_markdown(studies))
    assert "| tiny | rules | 2 | 12.0 | 2 | 50 % | 25 % |  |" in text
    assert "| tiny | do nothing | 1 | 12.0 | 0 |  |  | 100 % |" in text
