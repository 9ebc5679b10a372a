"""Drives HandoverLab: its street grid with 56 cells, event A3, everybody in session."""

from __future__ import annotations

import sys

import handoverlab as hl
from measure import cpu_s, tell

USERS = 1000
RULE = {"rule": "a3", "off_db": 3.0, "ttt_s": 0.16}


def scenario(seconds: float, step_s: float, backend: str) -> hl.Scenario:
    """Return the scenario: sites every 150 m, which makes 56 of them."""
    return hl.Scenario(
        layout=hl.LayoutConfig(site_spacing_m=150.0),
        protocol=hl.ProtocolConfig(step_s=step_s),
        mobility=hl.MobilityConfig(users=USERS),
        run=hl.RunConfig(duration_s=seconds, warmup_s=0.0, backend=backend),
    )


def main() -> None:
    """Measure a number of simulated seconds, building the world and compiling aside."""
    seconds, step_s, backend = float(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    world = hl.build_world(scenario(seconds, step_s, backend), 1)
    built = cpu_s()
    hl.run_world(hl.build_world(scenario(0.4, step_s, backend), 1), [RULE])

    def advance() -> int:
        hl.run_world(world, [RULE])
        return int(world.n_steps)

    tell(advance, int(world.n_cells), USERS, step_s, built)


if __name__ == "__main__":
    main()
