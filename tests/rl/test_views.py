"""The views for Gymnasium, PettingZoo and Stable-Baselines3, by those libraries' own checks."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from pettingzoo.test import parallel_api_test, parallel_seed_test

from cellhive.adapters.environments.gym_env import NetworkEnv, NetworkVectorEnv
from cellhive.adapters.environments.parallel_env import CellsParallelEnv
from cellhive.adapters.scenarios import scenario_named, scenario_names, scenario_text
from cellhive.core.errors import BadInput, Conflict, NotFound
from cellhive.rl.actions import UP, ActionSettings
from cellhive.rl.env import CellEnvironment

ROOT = Path(__file__).resolve().parents[2]
OTHER_GYMNASIUM = ROOT / ".venv-gymnasium14" / "bin" / "python"
"""Where ``make test`` puts the newer Gymnasium, which RLlib does not allow beside it."""

CHECK = """
import gymnasium
from gymnasium.utils.env_checker import check_env
import cellhive.adapters.environments
assert gymnasium.__version__.startswith("1.4"), gymnasium.__version__
env = gymnasium.make("cellhive/highway-corridor-v0", render_mode="rgb_array", observed_s=1.0)
check_env(env.unwrapped)
print("passed")
"""


@pytest.fixture(params=["discrete", "step", "target"])
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of action."""
    return str(request.param)


def arguments(settings: Callable[..., Any], kind: str = "discrete", **changes: Any) -> Any:
    """Return what a view of the small place is built with."""
    chosen = settings(actions=ActionSettings(kind=kind), **changes)
    return {"scenario": chosen.scenario, "settings": chosen}


def test_gymnasium_check_env(settings: Callable[..., Any], kind: str) -> None:
    """Gymnasium finds nothing wrong, not even a warning."""
    name = "cellhive/healthy-v0"
    check_env(gymnasium.make(name, **arguments(settings, kind), render_mode="rgb_array").unwrapped)


@pytest.mark.parametrize("scenario", scenario_names())
def test_every_scenario_is_made_by_name(scenario: str) -> None:
    """``gymnasium.make`` knows every scenario, with settings by name, alone and as a vector."""
    assert f"cellhive/{scenario}-v0" in gymnasium.registry
    spec = gymnasium.spec(f"cellhive/{scenario}-v0")
    assert spec.kwargs == {"scenario": scenario}


def test_a_module_before_the_name_is_enough() -> None:
    """A module and a colon before the name save the import."""
    code = (
        "import gymnasium\n"
        "name = 'cellhive.adapters.environments:cellhive/highway-corridor-v0'\n"
        "print(gymnasium.make(name).unwrapped.core.network.cells)\n"
    )
    done = subprocess.run(  # noqa: S603  # our own interpreter
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("20\n", 0), done.stderr[-2000:]


def test_the_scenario_is_named_given_or_that_of_the_settings(
    settings: Callable[..., Any], tmp_path: Path
) -> None:
    """A name, a file and the scenario itself are all taken; nothing means the settings' own."""
    file = tmp_path / "mine.yaml"
    file.write_text(scenario_text(scenario_named("highway-corridor")), encoding="utf-8")
    few: dict[str, Any] = {"observed_s": 1.0, "warm_up_s": 1.0}
    for scenario in ("highway-corridor", str(file), scenario_named("highway-corridor")):
        assert CellsParallelEnv(scenario, **few).core.network.cells == 20
    assert CellsParallelEnv(settings=settings()).core.network.cells == 6
    with pytest.raises(NotFound, match="found 'highway'"):
        CellsParallelEnv("highway")


def test_make_takes_settings_by_name() -> None:
    """One scenario through ``make`` and ``make_vec``, in which every wrapper is satisfied."""
    few: dict[str, Any] = {"observed_s": 1.0, "warm_up_s": 1.0, "periods": 2, "guarded": False}
    env = gymnasium.make("cellhive/highway-corridor-v0", **few)
    env.reset(seed=1)
    assert not env.step(env.action_space.sample())[3]
    assert env.step(env.action_space.sample())[3]
    vector = gymnasium.make_vec("cellhive/highway-corridor-v0", num_envs=3, **few)
    assert isinstance(vector, NetworkVectorEnv)
    observation, _ = vector.reset(seed=1)
    assert observation in vector.observation_space


def test_gymnasium_14_check_env() -> None:
    """The newest Gymnasium, in an environment of its own, finds nothing wrong either."""
    if not OTHER_GYMNASIUM.exists():
        pytest.skip("make test installs the newer Gymnasium into .venv-gymnasium14")
    done = subprocess.run(  # noqa: S603  # our own interpreter
        [OTHER_GYMNASIUM, "-W", "error", "-c", CHECK], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.endswith("passed\n")


def test_stable_baselines_check_env(settings: Callable[..., Any], kind: str) -> None:
    """Stable-Baselines3 finds nothing wrong with spaces, types and values."""
    with warnings.catch_warnings():
        # It imports matplotlib's and torch's deprecated names where they are installed.
        warnings.simplefilter("ignore", DeprecationWarning)
        checker = importlib.import_module("stable_baselines3.common.env_checker")
    checker.check_env(NetworkEnv(**arguments(settings, kind)))


def test_pettingzoo_api_and_seeds(settings: Callable[..., Any], kind: str) -> None:
    """PettingZoo's own tests of parallel environments pass."""
    parallel_api_test(CellsParallelEnv(**arguments(settings, kind)), num_cycles=20)
    parallel_seed_test(lambda: CellsParallelEnv(**arguments(settings, kind)), num_cycles=10)


def test_views_show_what_the_core_does(settings: Callable[..., Any]) -> None:
    """One agent per network, per cell, and many networks: the same numbers, without copies."""
    core = CellEnvironment(settings())
    seen, mask = core.reset([5])
    one, cells = NetworkEnv(**arguments(settings)), CellsParallelEnv(**arguments(settings))
    many = NetworkVectorEnv(2, **arguments(settings))
    first, info = one.reset(seed=5)
    each, infos = cells.reset(seed=5)
    both, _ = many.reset(seed=[5, 6])
    assert first.tobytes() == both[0].tobytes() == seen.tobytes()
    assert b"".join(each[agent].tobytes() for agent in cells.agents) == seen.tobytes()
    assert np.shares_memory(first, one.core.seen())
    assert np.shares_memory(each["S01-2"], cells.core.seen())
    assert np.shares_memory(both, many.core.seen())
    assert info["action_mask"].reshape(mask.shape[1:]).tolist() == mask[0].tolist()
    assert infos["S01-2"]["action_mask"].tolist() == mask[0, 1].tolist()
    assert one.action_masks().tolist() == mask.astype(bool).reshape(-1).tolist()
    actions = core.keep()
    actions[0, 2, 5] = UP
    step = core.step(actions)
    assert one.step(actions.reshape(-1))[1] == step.reward.network[0]
    _, rewards, _, _, told = cells.step(dict(zip(cells.agents, actions[0], strict=True)))
    assert list(rewards.values()) == step.reward.cells[0].tolist()
    assert told["S01-3"]["changes_made"] == 1
    assert sum(told["S01-1"]["reward_parts"].values()) == pytest.approx(rewards["S01-1"])
    assert cells.state().tobytes() == step.observation.tobytes()
    assert many.step(np.repeat(actions.reshape(1, -1), 2, axis=0))[1][0] == step.reward.network[0]


def test_infos_tell_parts_and_refusals(settings: Callable[..., Any]) -> None:
    """The parts sum to the reward, and a refused change is counted under its rule."""
    env = NetworkEnv(**arguments(settings))
    env.reset(seed=1)
    columns = [column.name for column in env.core.actions.columns]
    actions = env.core.keep()
    actions[0, 0, columns.index("asleep")] = UP
    actions[0, 4, columns.index("hysteresis_db")] = UP
    _, reward, _, _, info = env.step(actions.reshape(-1))
    assert sum(info["reward_parts"].values()) == pytest.approx(reward)
    assert info["changes_refused"] == {"sleep": 1}
    assert info["changes_made"] == 1


def test_bad_actions_leave_views_usable(settings: Callable[..., Any]) -> None:
    """Whatever comes instead of an action is refused in words, and the next step works."""
    one, many = NetworkEnv(**arguments(settings)), NetworkVectorEnv(2, **arguments(settings))
    cells = CellsParallelEnv(**arguments(settings))
    with pytest.raises(Conflict, match="call reset first"):
        cells.step({})
    one.reset(seed=1), many.reset(seed=1), cells.reset(seed=1)
    with pytest.raises(BadInput, match=r"expected shape \(66,\), as the action space says"):
        one.step(np.zeros(65, int))
    with pytest.raises(BadInput, match=r"cell S01-1, cio_db\[0\]: expected 0 .*found 7"):
        one.step(np.full(66, 7))
    with pytest.raises(BadInput, match="rows that differ"):
        one.step([[1], [1, 2]])
    with pytest.raises(BadInput, match=r"expected shape \(2, 66\)"):
        many.step(np.ones(66, int))
    good = dict.fromkeys(cells.agents, np.ones(11, int))
    with pytest.raises(BadInput, match="one per agent, 6 of them, found S01-1 missing, X unknown"):
        cells.step({**{a: good[a] for a in cells.agents[1:]}, "X": np.ones(11, int)})
    with pytest.raises(BadInput, match=r"action of S01-2: expected shape \(11,\)"):
        cells.step({**good, "S01-2": np.ones(3, int)})
    one.step(np.ones(66, int)), many.step(np.ones((2, 66), int)), cells.step(good)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_vectors_begin_again_as_their_mode_says(
    settings: Callable[..., Any], mode: AutoresetMode
) -> None:
    """After the end: a step without reward, a new episode at once, or an error until reset."""
    env = NetworkVectorEnv(2, **arguments(settings, periods=2), autoreset_mode=mode)
    assert env.metadata["autoreset_mode"] == mode
    keep = np.ones((2, 66), int)
    env.reset(seed=3)
    assert not env.step(keep)[3].any()
    observation, _, terminated, truncated, info = env.step(keep)
    assert truncated.all()
    assert not terminated.any()
    if mode == AutoresetMode.SAME_STEP:
        assert info["final_obs"][1].tobytes() != observation[1].tobytes()
        assert "reward_parts" in info["final_info"]
    elif mode == AutoresetMode.NEXT_STEP:
        following, reward, _, truncated, _ = env.step(keep)
        assert following.tobytes() != observation.tobytes()
        assert reward.tolist() == [0.0, 0.0]
        assert not truncated.any()
    else:
        with pytest.raises(Conflict, match="reset first"):
            env.step(keep)
        env.reset(options={"reset_mask": np.array([True, True])})
    assert not env.step(keep)[3].any()
    with pytest.raises(BadInput, match="reset_mask"):
        env.reset(options={"reset_mask": np.array([True, False])})


def test_a_cloned_view_goes_on_exactly(settings: Callable[..., Any]) -> None:
    """A branch of the single agent's environment sees the same future and the same next episode."""
    env = NetworkEnv(**arguments(settings))
    env.reset(seed=1)
    twin = env.clone()
    action = np.full(66, UP)
    assert env.step(action)[0].tobytes() == twin.step(action)[0].tobytes()
    assert env.reset()[0].tobytes() == twin.reset()[0].tobytes()


def test_pictures_show_what_changes(settings: Callable[..., Any]) -> None:
    """A picture is an RGB array; users move in it, and a sleeping cell looks different."""
    env = NetworkEnv(**arguments(settings, guarded=False), render_mode="rgb_array")
    env.reset(seed=1)
    before = env.render()
    assert before is not None
    assert before.dtype == np.uint8
    assert before.shape[2] == 3
    assert max(before.shape) == 720
    twin = env.clone()
    actions = env.core.keep()
    env.step(actions.reshape(-1))
    actions[0, 3:, -1] = UP
    twin.step(actions.reshape(-1))
    awake, asleep = env.render(), twin.render()
    assert awake is not None
    assert asleep is not None
    assert (awake != before).any()
    assert (awake != asleep).any()
    many = NetworkVectorEnv(2, **arguments(settings), render_mode="rgb_array")
    many.reset(seed=1)
    assert [picture.shape for picture in many.render() or ()] == [before.shape] * 2
    assert NetworkEnv(**arguments(settings)).render() is None
    with pytest.raises(BadInput, match="render_mode"):
        NetworkEnv(**arguments(settings), render_mode="human")
