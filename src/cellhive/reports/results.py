"""The results table: what the rules bring on every scenario, over seeds, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cellhive.flows.evaluate import PairedRow
from cellhive.flows.watch import OBJECTIVE
from cellhive.ran.scenarios import Scenario
from cellhive.reports.numbers import format_change, format_interval, format_quantity, label_of

HARMLESS = {
    OBJECTIVE: 1.0,
    "demand_satisfied_ratio": 0.005,
    "ue_throughput_p5_mbps": 0.1,
    "rlf_per_ue_min": 0.02,
    "handover_failure_ratio": 0.005,
}
"""How much worse a KPI may be, by the worse end of its interval, and still count as unharmed."""


@dataclass(frozen=True)
class ScenarioResult:
    """One scenario over its seeds."""

    scenario: Scenario
    seeds: tuple[int, ...]
    hours: float
    rows: tuple[PairedRow, ...]

    @property
    def focus(self) -> tuple[PairedRow, ...]:
        """The rows the scenario is judged on; for "healthy" those that must not be harmed."""
        names = tuple(HARMLESS) if self.healthy else self.scenario.focus
        by_name = {row.kpi: row for row in self.rows}
        return tuple(by_name[name] for name in names)

    @property
    def healthy(self) -> bool:
        """Whether the scenario has nothing to repair."""
        return self.scenario.name == "healthy"

    @property
    def passes(self) -> bool:
        """Whether the first KPI is beaten, or nothing is harmed where nothing was wrong."""
        if self.healthy:
            return all(row.harms_at_most(HARMLESS[row.kpi]) for row in self.focus)
        return self.focus[0].beats


def _verdict(result: ScenarioResult, row: PairedRow) -> str:
    if result.healthy:
        margin = HARMLESS[row.kpi]
        shown = format_change(row.kpi, margin)
        return f"harm within {shown}" if row.harms_at_most(margin) else f"**harm beyond {shown}**"
    if row.beats:
        return "better"
    worse = (row.difference.low > 0) if row.better == "lower" else (row.difference.high < 0)
    return "**worse**" if worse else "not clear"


def results_markdown(
    results: Sequence[ScenarioResult], command: str, versions: Mapping[str, str]
) -> str:
    """Return the page: one table per scenario, and how the figures came about.

    Args:
        results: Every scenario that was run.
        command: What to type to get the page again.
        versions: Versions of what computed it.
    """
    lines = [
        "# Results: the rules against doing nothing",
        "",
        f"Produced by `{command}`; do not edit. "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + ".",
        "",
        "Each seed is another city: other shadowing, users, hot spots and faults. Both arms see "
        "the same users and the same random numbers, so differences are paired. Intervals are "
        "95 %, Student's t over seeds. The seeds were not used to tune anything. The KPI a "
        "scenario is judged on stands first; the others are printed whatever they say.",
        "",
    ]
    for result in results:
        lines += _table(result)
    return "\n".join(lines)


def _table(result: ScenarioResult) -> list[str]:
    scenario = result.scenario
    seeds = ", ".join(map(str, result.seeds))
    judged = {row.kpi for row in result.focus}
    rest = [row for row in result.rows if row.kpi not in judged and row.better]
    lines = [
        f"## {scenario.name}",
        "",
        f"{scenario.title} {result.hours:g} h, {len(result.seeds)} seeds ({seeds}). "
        + ("**Passes.**" if result.passes else "**Does not pass.**"),
        "",
        "| KPI | do nothing | rules | difference | 95 % interval | verdict |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for row in (*result.focus, *rest):
        effect = row.difference
        before = sum(row.without) / len(row.without)
        after = sum(row.with_plans) / len(row.with_plans)
        name = f"**{label_of(row.kpi)}**" if row.kpi in judged else label_of(row.kpi)
        change, interval = format_interval(row.kpi, effect.mean, effect.low, effect.high)
        verdict = _verdict(result, row) if row.kpi in judged or not result.healthy else ""
        lines.append(
            f"| {name} | {format_quantity(row.kpi, before)} | {format_quantity(row.kpi, after)} | "
            f"{change} | {interval} | {verdict} |"
        )
    return [*lines, ""]
