"""The comparison of arms: a table for the terminal, tables and a picture for a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from rich.table import Table

from cellhive.core.types import Effect
from cellhive.flows.arms.best_action import Decision, DecisionStudy
from cellhive.flows.arms.compare import ArmRow, ArmStudy, arm_rows
from cellhive.flows.arms.run import NOTHING, RULES, SEARCHED, TUNED, UNLEARNED
from cellhive.flows.watch import OBJECTIVE
from cellhive.ran.scenarios import Scenario
from cellhive.reports.bars import Bar, bar_chart
from cellhive.reports.numbers import format_interval, format_number, with_unit

TITLES = {
    NOTHING: "do nothing",
    "set-1": "3GPP Set 1", "set-2": "3GPP Set 2", "set-3": "3GPP Set 3",
    "set-4": "3GPP Set 4", "set-5": "3GPP Set 5",
    TUNED: "tuned, fixed", "bayesian": "Bayesian optimisation", RULES: "rules",
}  # fmt: skip
"""How arms are called in tables."""


def title_of(arm: str, guarded: bool) -> str:
    """Return how an arm is called in tables."""
    title = TITLES.get(arm, arm.removeprefix("rl:"))
    return title if guarded or arm == NOTHING else f"{title}, no guard"


def _told(effect: Effect) -> str:
    """Return a difference of scores with its interval; the unit stands in the text above."""
    told = format_interval(OBJECTIVE, effect.mean, effect.low, effect.high)
    change, interval = (part.replace("\N{NO-BREAK SPACE}points", "") for part in told)
    return f"{change} ({interval})" if interval else change


def _percent(share: float) -> str:
    return with_unit(format_number(round(100 * share)), "%")


def _share(effect: Effect | None) -> str:
    if effect is None:
        return ""
    if effect.low == effect.high:
        return _percent(effect.mean)
    return f"{_percent(effect.mean)} ({_percent(effect.low)} to {_percent(effect.high)})"


def _verdict(row: ArmRow) -> str:
    if row.arm == RULES and row.guarded:
        return "reference"
    if row.beats_rules:
        return "better"
    return "worse" if row.beyond_rules.high < 0 else "not clear"


COLUMNS = (
    "arm", "cities", "score", "less nothing", "less rules", "than rules", "share of ceiling",
    "changes", "guard objects", "searched", "search s", "run s",
)  # fmt: skip
"""Columns of a scenario's table."""
_WORDS = frozenset({COLUMNS.index("arm"), COLUMNS.index("than rules")})
"""Which of them hold words."""


def _fields(row: ArmRow) -> tuple[str, ...]:
    return (
        title_of(row.arm, row.guarded), str(len(row.seeds)), f"{row.objective:.1f}",
        _told(row.beyond_nothing), _told(row.beyond_rules), _verdict(row), _share(row.share),
        f"{row.changes:.0f}", f"{row.objections:.0f}",
        f"{row.searched:.0f}" if row.searched else "",
        f"{row.search_s:.0f}" if row.searched else "", f"{row.run_s:.1f}",
    )  # fmt: skip


def arms_table(study: ArmStudy, scenario: str) -> Table:
    """Return the table of a scenario for the terminal."""
    rows = arm_rows(study, scenario)
    cities = max((len(row.seeds) for row in rows), default=0)
    table = Table(title=f"{scenario}, {cities} cities", box=None, pad_edge=False)
    for index, name in enumerate(COLUMNS):
        table.add_column(name, justify="left" if index in _WORDS else "right", no_wrap=True)
    for row in rows:
        style = {"better": "green", "worse": "red"}.get(_verdict(row), "")
        table.add_row(*_fields(row), style=style)
    return table


def arms_markdown(study: ArmStudy, scenarios: Mapping[str, str], command: str) -> str:
    """Return how the comparison was made and one table per scenario.

    Args:
        study: All results.
        scenarios: What a scenario is, by its name.
        command: What to type to get them again.
    """
    settings = study.settings
    hours = "as long as the scenario says" if settings.hours is None else f"{settings.hours:g} h"
    lines = [
        f"Produced by `{command}`. Sources of twin, loop and rules: `{study.sources}`.",
        "",
        "Every arm runs in the same cities on the same users, none of which anything was tuned "
        f"or trained on. A run lasts {hours}; each period of 15 min is represented by "
        f"{settings.observed_s:g} s of radio time. *Less nothing* and *less rules* are means of "
        "paired differences of the score over cities with 95 % bootstrap intervals (BCa); one "
        "point is one percentage point of demand satisfied. Scores are means over the cities that "
        "an arm was run in: compare differences where their number differs. *Guard objects* counts "
        "what the guard refused; *run s* is seconds of processor time per city.",
        "",
        *_about_arms(study),
    ]
    for name in study.scenarios:
        rows = arm_rows(study, name)
        if rows:
            lines += _section(name, scenarios.get(name, ""), rows, _elsewhere(study, rows))
    return "\n".join([*lines, *_budgets(study)]).rstrip()


def _about_arms(study: ArmStudy) -> list[str]:
    """Return what must be known of the arms that were run, and which were not."""
    run = {one.arm for one in study.results}
    lines = []
    if run.intersection(SEARCHED):
        lines += [
            "Two searches look for the best fixed setting of each city, coordinate descent "
            "(*tuned*) and Bayesian optimisation, with "
            f"{study.settings.evaluations} trials each on other users of the same city; "
            "*searched* is the number of moments simulated, *search s* seconds of processor "
            "time. The *ceiling* is the better of the two by what they saw there, in force from "
            "the beginning: what adapts can end above it. A share is stated where the ceiling is "
            "clear of doing nothing. With the guard, a fixed setting is approached in the steps "
            "and at the pace that the guard allows.",
            "",
        ]
    if not all(one.guarded for one in study.results):
        lines += [
            "*No guard*: rules and learned policies run in the same loop, everything passes, and "
            "what the guard would have refused is counted; a fixed setting is in force from the "
            "beginning.",
            "",
        ]
    lacking = [title_of(arm, True) for arm in UNLEARNED if arm not in run]
    if lacking:
        lines += [f"Not run here: {', '.join(lacking)}.", ""]
    return lines


def _elsewhere(study: ArmStudy, rows: Sequence[ArmRow]) -> list[str]:
    """Return the arms that were run in other scenarios and not in this one."""
    run = dict.fromkeys((one.arm, one.guarded) for one in study.results)
    here = {(row.arm, row.guarded) for row in rows}
    return sorted(title_of(*key) for key in run if key not in here)


def _section(name: str, title: str, rows: Sequence[ArmRow], lacking: Sequence[str]) -> list[str]:
    seeds = sorted({seed for row in rows for seed in row.seeds})
    return [
        f"### All arms: {name}", "",
        f"{title} Cities {seeds[0]} to {seeds[-1]}, {len(seeds)} of them.".strip(), "",
        "| " + " | ".join(COLUMNS) + " |",
        "|" + "|".join("---" if at in _WORDS else "---:" for at in range(len(COLUMNS))) + "|",
        *("| " + " | ".join(_fields(row)) + " |" for row in rows), "",
        *([f"Not run in this scenario: {'; '.join(lacking)}.", ""] if lacking else []),
    ]  # fmt: skip


def _budgets(study: ArmStudy) -> list[str]:
    if not study.budgets:
        return ["No learned policy has been compared yet.", ""]
    lines = [
        "| policy | decisions of cells | wall clock | trained on |",
        "|---|---:|---:|---|",
    ]
    lines += [
        f"| {title_of(one.arm, True)} | {format_number(one.decisions)} | "
        f"{one.wall_s / 60:.1f} min | {one.note} |"
        for one in study.budgets
    ]
    return ["### What the policies were trained with", "", *lines, ""]


def arms_picture(study: ArmStudy, scenario: str) -> str:
    """Return the differences to the rules with their intervals, as SVG text."""
    tones = {"better": "better", "worse": "worse"}
    bars = [
        Bar(
            title_of(row.arm, row.guarded), row.beyond_rules.mean, row.beyond_rules.low,
            row.beyond_rules.high, tones.get(_verdict(row), "muted"),
        )
        for row in arm_rows(study, scenario)
        if (row.arm, row.guarded) != (RULES, True)
    ]  # fmt: skip
    return bar_chart(bars, title=f"{scenario}: score less that of the rules", unit="points",
                     dots=True)  # fmt: skip


def shown_scenarios(scenarios: Sequence[Scenario]) -> dict[str, str]:
    """Return the one line of every scenario, by name."""
    return {scenario.name: scenario.title for scenario in scenarios}


def decisions_markdown(studies: Sequence[DecisionStudy]) -> str:
    """Return how often arms decide as well as the best single action, one row per arm."""
    lines = [
        "| scenario | arm | decisions | actions each | clear best | as good (95 %) | lost of the "
        "best | no harm elsewhere |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    groups: dict[tuple[str, str], list[Decision]] = {}
    for study in studies:
        groups.setdefault((study.scenario, study.arm), []).extend(study.decisions)
    for (scenario, arm), decisions in groups.items():
        pooled = DecisionStudy(scenario, arm, 0, studies[0].settings, tuple(decisions))
        actions = sum(one.actions for one in decisions) / len(decisions)
        lines.append(
            f"| {scenario} | {title_of(arm, True)} | {len(decisions)} | {actions:.1f} | "
            f"{len(pooled.clear)} | {_known(pooled.share_right)} | {_known(pooled.regret)} | "
            f"{_known(pooled.share_harmless)} |"
        )
    return "\n".join(lines)


def _known(share: float) -> str:
    return _percent(share) if np.isfinite(share) else ""
