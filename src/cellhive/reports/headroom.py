"""The headroom of scenarios as a page, and as a few words for lists."""

from __future__ import annotations

from collections.abc import Mapping

from cellhive.flows.headroom import HeadroomRow, HeadroomStudy, headroom_rows
from cellhive.flows.watch import OBJECTIVE
from cellhive.ran.scenarios import Scenario
from cellhive.reports.numbers import (
    format_interval,
    format_number,
    format_quantity,
    label_of,
    with_unit,
)

FEWEST_CITIES = 2


def headroom_words(study: HeadroomStudy, name: str) -> str:
    """Return the headroom of a scenario and how much of it the rules reach, "" if not known."""
    cities = study.cities.get(name, ())
    if len(cities) < FEWEST_CITIES:
        return ""
    row = headroom_rows(cities, ())[0]
    change, _ = format_interval(OBJECTIVE, row.headroom.mean, row.headroom.low, row.headroom.high)
    return change if row.reached is None else f"{change}, rules reach {_percent(row.reached.mean)}"


def headroom_markdown(scenarios: Mapping[str, Scenario], study: HeadroomStudy, command: str) -> str:
    """Return the page.

    Args:
        scenarios: Recipes by name.
        study: What was run.
        command: What to type to get the results again.
    """
    lines = [
        "# Headroom: what the best fixed setting brings, and what the rules reach of it",
        "",
        f"Made from the results of `{command}`; do not edit. Sources of the twin: "
        f"`{study.sources}`.",
        "",
        "In every city three networks run on the same users: as found (*do nothing*), under the "
        f"rules, and with the best fixed setting that a search found in {study.evaluations} "
        "trials. The search has what no operator has: an exact copy of the city to try settings "
        "on, no guard, and no waiting time between changes. It looks for tilts, power, A3 offset, "
        "time to trigger, cell individual offsets and, where there is a capacity layer, for the "
        "hours in which its cells sleep. It sees other users than those of the three runs.",
        "",
        "It is a yardstick and not the optimum: more trials may find better, and a fixed setting "
        "cannot do what adapting can. Where the rules end above it, the search was too weak or "
        "the setting should not be fixed. Each period of 15 min is represented by "
        f"{study.observed_s:g} s of radio time. Intervals are 95 %, Student's t over cities; that "
        "of the share reached is by the jackknife, and a share is stated only where the headroom "
        "is clear of zero.",
        "",
        *_overview(scenarios, study),
        "",
    ]
    for name, cities in study.cities.items():
        if name in scenarios and len(cities) >= FEWEST_CITIES:
            lines += _section(scenarios[name], study)
    return "\n".join(lines)


def _overview(scenarios: Mapping[str, Scenario], study: HeadroomStudy) -> list[str]:
    lines = [
        "| scenario | cities | do nothing | rules | best fixed | headroom | rules reach |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, cities in study.cities.items():
        if name in scenarios and len(cities) >= FEWEST_CITIES:
            row = headroom_rows(cities, ())[0]
            lines.append(
                f"| [{name}](#{name}) | {len(cities)} | {row.nothing:.1f} | {row.rules:.1f} | "
                f"{row.best:.1f} | {row.headroom.mean:+.1f} | {_reached(row)} |"
            )
    return [*lines, "", "Scores in points; one point is one percentage point of demand satisfied."]


def _reached(row: HeadroomRow) -> str:
    """Return the share that the rules reach with its interval."""
    if row.reached is None:
        return "no clear headroom"
    mean, low, high = (_percent(x) for x in (row.reached.mean, row.reached.low, row.reached.high))
    return f"{mean} ({low} to {high})"


def _percent(share: float) -> str:
    """Return a share in whole percent."""
    return with_unit(format_number(round(100 * share)), "%")


def _section(scenario: Scenario, study: HeadroomStudy) -> list[str]:
    cities = study.cities[scenario.name]
    hours = scenario.hours if study.hours is None else study.hours
    seeds = ", ".join(str(city.seed) for city in cities)
    lines = [
        f"## {scenario.name}",
        "",
        f"{scenario.title} {hours:g} h; cities {seeds}.",
        "",
        "| KPI | do nothing | rules | best fixed | headroom | rules reach | best less rules |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    rows = headroom_rows(cities, scenario.focus)
    lines += [_row(row) for row in rows]
    promised = sum(city.promised for city in cities) / len(cities)
    spent = sum(city.evaluations for city in cities) / len(cities)
    return [
        *lines, "", _verdict(rows[0]), "",
        f"The search expected {promised:+.1f} points of headroom from users of its own, after "
        f"{spent:.0f} trials per city. What it changed in the first city: "
        f"{'; '.join(cities[0].steps) or 'nothing'}.", "",
    ]  # fmt: skip


def _row(row: HeadroomRow) -> str:
    def told(effect_of: str) -> str:
        effect = getattr(row, effect_of)
        change, interval = format_interval(row.kpi, effect.mean, effect.low, effect.high)
        return f"{change} ({interval})" if interval else change

    name = f"**{label_of(row.kpi)}**" if row.kpi == OBJECTIVE else label_of(row.kpi)
    figures = (format_quantity(row.kpi, value) for value in (row.nothing, row.rules, row.best))
    return (
        f"| {name} | {' | '.join(figures)} | {told('headroom')} | {_reached(row)} | "
        f"{told('beyond')} |"
    )


def _verdict(row: HeadroomRow) -> str:
    """Return in a sentence how the rules compare with the best fixed setting."""
    if row.beyond.high < 0:
        return (
            "**The rules end above the best fixed setting that was found**: the search was too "
            "weak, or adapting does here what no fixed setting can."
        )
    if row.beyond.low > 0:
        return "The best fixed setting is clearly above the rules: there is something left to gain."
    return "The best fixed setting and the rules cannot be told apart with so few cities."
