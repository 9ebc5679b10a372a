"""Shots of a run are the run: same course, users, loads and changes."""

from __future__ import annotations

import numpy as np

from cellhive.adapters.scenarios import scenario_named
from cellhive.core.types import Mode
from cellhive.flows.decide import Loop, LoopSettings, PlanApplied, Silent
from cellhive.flows.film import changed_cells, shots
from cellhive.ran.guard import Guard
from cellhive.ran.picture import user_looks
from cellhive.ran.scenarios import build_twin
from cellhive.ran.son import Rules


def test_a_film_shows_the_run_as_it_is() -> None:
    """Filming changes nothing: the last shot shows the state of a run that was not filmed."""
    scenario = scenario_named("night-energy")
    filmed, plain = (build_twin(scenario, 2, observed_s=4.0) for _ in range(2))
    reel = list(shots(filmed, Rules(), 6))
    told: list[object] = []
    settings = LoopSettings(mode=Mode.AUTONOMOUS)
    loop = Loop(plain, Rules(), Guard(), settings, observer=told.append)
    for _ in range(6):
        loop.step()
    users = plain.simulator.plant.users[0]
    assert reel[-1].x_m.tobytes() == users["x_m"].tobytes()
    assert reel[-1].looks.tolist() == user_looks(users).tolist()
    assert reel[-1].asleep.tolist() == plain.simulator.parameters(0).asleep.tolist()
    assert reel[-1].asleep.any()
    applied = [event for event in told if isinstance(event, PlanApplied)]
    assert sum(len(shot.changes) for shot in reel) == sum(len(e.plan.changes) for e in applied)
    names = {plain.network.cell_ids[c] for shot in reel for c in changed_cells(plain.network, shot)}
    assert names == {change.cell for event in applied for change in event.plan.changes}


def test_shots_are_kept_apart() -> None:
    """A shot does not move when the run goes on, and lies within its ranges."""
    twin = build_twin(scenario_named("highway-corridor"), 1, observed_s=4.0)
    reel = shots(twin, Silent(), 3)
    first = next(reel)
    kept = first.x_m.copy()
    second = next(reel)
    assert first.x_m.tobytes() == kept.tobytes() != second.x_m.tobytes()
    assert second.time_s - first.time_s == 900.0
    assert np.all((second.ground >= 0) & (second.ground <= 1))
    assert set(second.looks.tolist()) <= {0, 1, 2}
