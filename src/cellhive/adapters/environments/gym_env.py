"""The environment for Gymnasium: one agent for a whole network, alone or many networks at once.

``import cellhive.adapters.environments`` registers ``cellhive/<scenario>-v0``
for every scenario. An episode never terminates; it is truncated when its time is up.
"""

from __future__ import annotations

from copy import copy
from typing import Any, ClassVar

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from cellhive.adapters.environments.views import (
    FRAMES_PER_S,
    RENDER_MODES,
    action_space,
    checked_render_mode,
    core_of,
    network_info,
    observation_space,
    shaped,
)
from cellhive.core.errors import BadInput
from cellhive.core.types import Floats, Floats32
from cellhive.ran.picture import MapPicture
from cellhive.ran.scenarios import Scenario
from cellhive.rl.actions import OPTIONS
from cellhive.rl.admission import REASONS
from cellhive.rl.env import EnvironmentSettings, Step
from cellhive.rl.rewards import OBJECTIVES


class NetworkEnv(gymnasium.Env):
    """One agent decides for all cells of one network."""

    metadata: ClassVar[dict[str, Any]] = {
        "render_modes": list(RENDER_MODES),
        "render_fps": FRAMES_PER_S,
    }

    def __init__(
        self,
        scenario: str | Scenario | None = None,
        *,
        settings: EnvironmentSettings | None = None,
        render_mode: str | None = None,
        **changes: Any,
    ) -> None:
        """Build the network.

        Args:
            scenario: A name, a scenario file, or the scenario itself; None means that of the
                settings, or hex-urban.
            settings: Everything else; None means the defaults.
            render_mode: "rgb_array" or None.
            **changes: Settings by name, for example ``guarded=False``.
        """
        self.render_mode = checked_render_mode(render_mode)
        self.core = core_of(scenario, settings, changes)
        cells = self.core.network.cells
        self.observation_space = observation_space(self.core, cells)
        self.action_space = action_space(self.core, cells)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Floats32, dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: Draws the users; None goes on from the episode before.
            options: "start_h" is the time of day at which it starts [h].
        """
        super().reset(seed=seed)
        drawn = int(self.np_random.integers(2**32)) if seed is None else seed
        start_h = (options or {}).get("start_h")
        observation, mask = self.core.reset([drawn], start_h=start_h)
        return observation.reshape(-1), {"action_mask": mask.reshape(-1, OPTIONS)}

    def step(self, action: Any) -> tuple[Floats32, float, bool, bool, dict[str, Any]]:
        """Make a decision and let a period pass.

        Raises:
            BadInput: The action is not in the action space; nothing has happened then.
        """
        actions = shaped(action, self.action_space.shape, self.core)
        step = self.core.step(actions)
        reward = float(step.reward.network[0])
        info = network_info(step)
        return step.observation.reshape(-1), reward, False, step.ended, info

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """Return the mask in the form that sb3-contrib's MaskablePPO asks for, (C * D * 3,)."""
        return self.core.masks().reshape(-1).astype(np.bool_)

    def render(self) -> npt.NDArray[np.uint8] | None:
        """Return a map of the network as it stands, (rows, columns, 3); None without a mode."""
        if self.render_mode is None:
            return None
        if not hasattr(self, "_picture"):
            self._picture = MapPicture(self.core.world)
        return self._picture.draw(self.core.simulator)

    def clone(self) -> NetworkEnv:
        """Return an exact, independent copy that sees the same users and the same luck."""
        twin = copy(self)
        twin.core = self.core.clone()
        twin.np_random = copy_of(self.np_random)
        return twin


def copy_of(generator: np.random.Generator) -> np.random.Generator:
    """Return a generator that goes on as the given one would."""
    made = np.random.default_rng(0)
    made.bit_generator.state = generator.bit_generator.state
    return made


class NetworkVectorEnv(gymnasium.vector.VectorEnv):
    """Many networks with one agent each, advanced together by one kernel call per decision.

    All episodes are equally long, so they end together.
    """

    def __init__(
        self,
        num_envs: int = 1,
        scenario: str | Scenario | None = None,
        *,
        settings: EnvironmentSettings | None = None,
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode = AutoresetMode.NEXT_STEP,
        **changes: Any,
    ) -> None:
        """Build the networks; arguments as for ``NetworkEnv``.

        Args:
            num_envs: How many networks.
            scenario: A name, a scenario file, or the scenario itself; None means that of the
                settings, or hex-urban.
            settings: Everything else; None means the defaults.
            render_mode: "rgb_array" or None.
            autoreset_mode: What happens after an episode, see ``AutoresetMode``.
            **changes: Settings by name.
        """
        self.render_mode = checked_render_mode(render_mode)
        self.core = core_of(scenario, settings, changes, num_envs)
        self.num_envs, self.autoreset_mode = num_envs, autoreset_mode
        self.metadata = {
            "render_modes": list(RENDER_MODES), "render_fps": FRAMES_PER_S,
            "autoreset_mode": autoreset_mode,
        }  # fmt: skip
        cells = self.core.network.cells
        self.single_observation_space = observation_space(self.core, cells)
        self.single_action_space = action_space(self.core, cells)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._over = False

    def reset(
        self,
        *,
        seed: int | list[int] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Floats32, dict[str, Any]]:
        """Begin an episode in every network.

        Args:
            seed: Of the first network, counted up for the others; or one per network.
            options: "start_h" is the time of day at which it starts [h].
        """
        super().reset(seed=seed if isinstance(seed, int) else None)
        options = options or {}
        if not np.all(options.get("reset_mask", True)):
            raise BadInput(
                place="reset_mask", expected="all networks, since their episodes end together",
                found=str(options["reset_mask"]),
            )  # fmt: skip
        seeds = [seed + e for e in range(self.num_envs)] if isinstance(seed, int) else seed
        observation, mask = self.core.reset(seeds, start_h=options.get("start_h"))
        self._over = False
        return self._flat(observation), self._told(action_mask=mask)

    def step(
        self, actions: Any
    ) -> tuple[Floats32, Floats, npt.NDArray[np.bool_], npt.NDArray[np.bool_], dict[str, Any]]:
        """Make a decision in every network; after the end of an episode, begin the next.

        Raises:
            BadInput: The actions are not in the action space; nothing has happened then.
        """
        never = np.zeros(self.num_envs, np.bool_)
        if self._over and self.autoreset_mode == AutoresetMode.NEXT_STEP:
            observation, info = self.reset()
            return observation, np.zeros(self.num_envs), never, never.copy(), info
        step = self.core.step(shaped(actions, self.action_space.shape, self.core))
        self._over = step.ended
        observation, info = self._flat(step.observation), self._info(step)
        if step.ended and self.autoreset_mode == AutoresetMode.SAME_STEP:
            ended, final = info, observation
            observation, info = self.reset()
            info |= self._told(final_obs=_objects(list(final))) | self._told(final_info=ended)
        return observation, step.reward.network, never, np.full_like(never, step.ended), info

    def render(self) -> tuple[npt.NDArray[np.uint8], ...] | None:
        """Return a map of every network; None without a render mode."""
        if self.render_mode is None:
            return None
        picture = MapPicture(self.core.world)
        return tuple(picture.draw(self.core.simulator, e) for e in range(self.num_envs))

    def _flat(self, observation: Floats32) -> Floats32:
        return observation.reshape(self.num_envs, -1)

    def _info(self, step: Step) -> dict[str, Any]:
        parts = dict(zip(OBJECTIVES, step.reward.network_parts.T, strict=True))
        refused = dict(zip(REASONS[1:], step.refused.T, strict=True))
        return self._told(
            reward_parts=self._told(**parts), changes_made=step.made,
            changes_refused=self._told(**refused), action_mask=step.mask,
        )  # fmt: skip

    def _told(self, **values: Any) -> dict[str, Any]:
        """Return infos in Gymnasium's form: every key with a mask of who has it."""
        told = dict(values)
        if "action_mask" in told:
            told["action_mask"] = told["action_mask"].reshape(self.num_envs, -1, OPTIONS)
        told |= {f"_{key}": np.ones(self.num_envs, np.bool_) for key in values}
        return told


def _objects(values: list[Any]) -> npt.NDArray[np.object_]:
    """Return values as an array of objects, one per network."""
    array = np.empty(len(values), object)
    array[:] = values
    return array
