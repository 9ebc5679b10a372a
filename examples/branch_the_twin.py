"""Which of the wrong tilts is worth a visit first? Branch a running network and see.

    python examples/branch_the_twin.py

One cell in ten of this city points six degrees too far up. For each of them a branch is
made in which only that one is put right. A clone sees the same users, the same sessions
and the same measurement errors as the network it was made from, so the difference
between the two is the effect of the change and nothing else.
"""

from __future__ import annotations

import sys

import numpy as np

from cellhive.adapters.scenarios import scenario_named
from cellhive.core.types import Change, KpiFrame, Plan
from cellhive.ran.kpi import cells_kpis, network_kpis, objective
from cellhive.ran.scenarios import build_twin
from cellhive.ran.simulator import Twin


def repaired(twin: Twin, cell: int, tilt_deg: float) -> Twin:
    """Return a branch of a network in which one tilt is put right."""
    branch = twin.clone()
    before = float(branch.parameters().electrical_tilt_deg[cell])
    name = branch.network.cell_ids[cell]
    change = Change(name, "electrical_tilt_deg", before, tilt_deg, reason="what if?")
    branch.apply(Plan(f"repair-{name}", "operator", branch.time_s, (change,)))
    return branch


def main(periods: int = 4, observed_s: float = 60.0) -> None:
    """Print what each repair would bring over an hour."""
    scenario = scenario_named("mis-tilted")
    twin = build_twin(scenario, seed=1, observed_s=observed_s)
    for _ in range(2):
        twin.observe()  # half an hour passes before anybody decides anything

    tilts = twin.parameters().electrical_tilt_deg
    wrong = np.flatnonzero(tilts != scenario.tilt_deg).tolist()
    branches = {cell: repaired(twin, cell, scenario.tilt_deg) for cell in wrong}
    as_it_is = [twin.observe() for _ in range(periods)]

    def score(frames: list[KpiFrame], cells: list[int]) -> float:
        return float(np.mean([objective(cells_kpis(f, cells), len(cells)) for f in frames]))

    everywhere = list(range(twin.network.cells))
    weak = 100 * np.mean([network_kpis(frame)["weak_coverage_ratio"] for frame in as_it_is])
    lines = [f"{len(wrong)} wrong tilts; weak coverage {weak:.1f} % of UE time", ""]
    lines.append(f"{'repaired':<12}{'score of the network':>24}{'of the cells around':>24}")
    for cell, branch in branches.items():
        frames = [branch.observe() for _ in range(periods)]
        around = [cell, *twin.network.neighbours_of(cell)[:6]]
        total = score(frames, everywhere) - score(as_it_is, everywhere)
        near = score(frames, around) - score(as_it_is, around)
        lines.append(f"{twin.network.cell_ids[cell]:<12}{total:>+24.2f}{near:>+24.2f}")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
