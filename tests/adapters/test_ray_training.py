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


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """Return what the script tells, which has daemons of Ray to itself."""
    environment = {
        **os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0",
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    environment.pop("RAY_ADDRESS", None)
    done = subprocess.run(  # noqa: S603  # our own interpreter
        [sys.executable, "-W", "ignore", str(SCRIPT)], env=environment,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def test_runners_come_to_the_same_as_one_process(found: dict[str, Any]) -> None:
    """Weights, critics and optimisers of two roles are equal to the bit."""
    assert found["nodes"] == 2
    assert found["made"] > 0
    assert found["decisions"] == 2 * 2 * 4 * 4 * 6  # iterations, cities, networks, periods, cells
    assert found["two_runners"] == 0


def test_killed_runners_change_nothing_and_come_back(found: dict[str, Any]) -> None:
    """What a lost one should have played is played by another, or when it is back."""
    assert found["one_killed"] == 0
    assert (found["healthy"], found["healthy_again"]) == (1, 2)
    assert found["iterations_after_both_killed"] == 1


def test_a_checkpoint_and_a_node_that_goes(found: dict[str, Any]) -> None:
    """RLlib's checkpoint is complete: what follows on one node is played again alike."""
    assert {"algorithm_state.pkl", "learner_group"} <= set(found["files"])
    assert found["healthy_with_a_node_less"] == 1
    assert (found["restored"], found["played_again"]) == (0, 0)


def test_learners_come_to_what_one_does(found: dict[str, Any]) -> None:
    """Up to rounding; and they go on from a state of a training in one process."""
    assert 0 < found["two_learners"] < 1e-5
    assert found["from_process"] == 1
    assert "began from seed 5, found seed [6]" in found["refused"]


def test_a_training_begun_on_ray_goes_on_here(found: dict[str, Any]) -> None:
    """As ``cellhive train`` composes it: recipe, folder, checkpoints, curve."""
    assert found["command"] == ["done", 2]
    assert (found["rows"], found["trainer"]) == (2, "Trainer")


def test_too_few_processors_and_slow_ones_are_told(found: dict[str, Any]) -> None:
    """RLlib would wait without end."""
    assert "0 runners and 0 learners were not there within 0 s" in found["too_slow"]
    assert "at most 2 processes" in found["too_many"]
    assert "found 9 runners" in found["too_many"]
