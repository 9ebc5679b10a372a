"""Promise: the cost of a pair stays flat up to 1000 cells and 10 000 users, in under 2 GB.

Runs the twin at growing sizes, each in a process of its own with everybody connected, and
states for each the processor time of a pair and step, that of building the network from
nothing, and the largest memory. Draws the cost against the size.
"""

from __future__ import annotations

import argparse
from importlib import resources
from pathlib import Path

from _bench import Row, report
from _drivers import Run, middle, run_twin

from cellhive.reports.charts import Line, line_chart
from cellhive.reports.drawing.svg import Look

SIZES = ((7, 200), (19, 1000), (37, 2000), (91, 4000), (169, 6000), (334, 10_000))
"""Sites of three cells each, and users."""
PICTURE = Path(__file__).parents[1] / "docs" / "pictures" / "twin-scale.svg"
_PAIRS = 4e7


def measured(sites: int, users: int, repeats: int) -> list[Run]:
    """Return runs of about as many pair-steps at every size."""
    steps = max(round(_PAIRS / (3 * sites * users)), 4)
    return [run_twin(sites=sites, users=users, steps=steps, settle=4.0) for _ in range(repeats)]


def rows_of(runs: list[Run]) -> list[Row]:
    """Return what is stated for one size."""
    told = runs[0].told
    size = f"{told['cells']} cells x {told['users']} users"
    largest = told["users"] == SIZES[-1][1]
    cost, cost_spread = middle([run.pair_ns for run in runs])
    built, built_spread = middle([run.told["built_s"] for run in runs])
    peak, peak_spread = middle([run.told["peak_mib"] for run in runs])
    return [
        Row(f"{size}: pair-step", cost, "ns", "<= 10" if largest else "", spread=cost_spread),
        Row(f"{size}: building, map of {told['pixel_m']:.0f} m", built, "s",
            "< 20" if largest else "", spread=built_spread),
        Row(f"{size}: peak memory", peak, "MiB", "< 2048" if largest else "",
            spread=peak_spread),
    ]  # fmt: skip


def draw(sizes: list[list[Run]], picture: Path) -> None:
    """Draw the cost of a pair against the number of pairs."""
    pairs = [runs[0].told["cells"] * runs[0].told["users"] / 1e6 for runs in sizes]
    costs = [[run.pair_ns for run in runs] for runs in sizes]
    lines = [
        Line("processor time of a pair and step", pairs, [middle(c)[0] for c in costs],
             low=[min(c) for c in costs], high=[max(c) for c in costs], tone="run"),
    ]  # fmt: skip
    look = Look(
        x_label="pairs of user and cell [million]", x_unit="million", low=0.0,
        reference=10.0, reference_label="goal:",
    )  # fmt: skip
    chart = line_chart(lines, title="Cost of a pair against the size of the network", unit="ns",
                       look=look)  # fmt: skip
    css = resources.files("cellhive.reports") / "templates" / "chart.css"
    style = f"<style>{css.read_text(encoding='utf-8')} svg {{ background: var(--paper) }}</style>"
    head, body = chart.split(">", 1)
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_text(f"{head}>{style}{body}\n", encoding="utf-8")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    run_twin(steps=1)  # compiles, where nothing has before
    sizes = []
    for sites, users in SIZES:
        sizes.append(measured(sites, users, options.repeats))
        print(f"{3 * sites} cells: {sizes[-1][-1].pair_ns:.2f} ns, "
              f"{sizes[-1][-1].told['connected']:.0%} connected")  # fmt: skip
    draw(sizes, PICTURE)
    report(
        "twin_scale",
        [row for runs in sizes for row in rows_of(runs)],
        packages=("numpy", "numba"),
        notes=(
            "one thread, processor time; sites of three cells 500 m apart, everybody outdoors "
            "and in session; only connected users' pairs count",
            "the map is 10 m fine while it holds at most 60 million gains, and coarser beyond",
            "building includes the radio map, the neighbour relations and the first state, "
            "with kernels from the cache; other work shared the machine",
        ),
    )


if __name__ == "__main__":
    main()
