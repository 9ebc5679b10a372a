"""Training on Ray: it comes to what one process does, and killed processes change nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs torch: pip install '.[ray]'")
pytest.importorskip("ray", reason="needs Ray: pip install '.[ray]'")

SCRIPT = Path(__file__).parents[1] / "reference" / "ray_training.py"


def found_in(part: str) -> dict[str, Any]:
    """Run a part of the script, which has daemons of Ray to itself; return what it tells."""
    environment = {
        **os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0",
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    environment.pop("RAY_ADDRESS", None)
    done = subprocess.run(  # noqa: S603  # our own interpreter
        [sys.executable, "-W", "ignore", str(SCRIPT), part], env=environment,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def test_many_processes_come_to_the_same_as_one() -> None:
    """Weights, critics and optimisers are equal to the bit; of two learners up to rounding."""
    found = found_in("machine")
    assert found["made"] > 0
    assert found["decisions"] == 2 * 2 * 4 * 4 * 6  # iterations, cities, networks, periods, cells
    assert found["two_runners"] == 0
    assert 0 < found["two_learners"] < 1e-5
    assert found["from_process"] == 1

    # a killed runner costs time only, and comes back
    assert found["one_killed"] == 0
    assert (found["healthy"], found["healthy_again"]) == (1, 2)
    assert found["iterations_after_both_killed"] == 1

    # RLlib's checkpoint
    assert {"algorithm_state.pkl", "learner_group"} <= set(found["files"])
    assert (found["restored"], found["goes_on"]) == (0, 1)

    assert "began from seed 5, found seed [6]" in found["refused"]
    assert "at most 3 processes" in found["too_many"]
    assert "found 9 runners" in found["too_many"]


def test_a_node_that_goes_takes_nothing_with_it() -> None:
    """Of runners on two nodes one is lost with its node; the other plays its part as well."""
    assert found_in("nodes") == {"nodes": 2, "lost_a_node": 0}
