"""The environment for PettingZoo: an agent in every cell, all acting at the same time."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from pettingzoo import ParallelEnv

from cellhive.adapters.environments.views import (
    FRAMES_PER_S,
    RENDER_MODES,
    action_space,
    cell_info,
    checked_render_mode,
    core_of,
    observation_space,
)
from cellhive.core.errors import BadInput, Conflict
from cellhive.core.types import Floats32
from cellhive.ran.picture import MapPicture
from cellhive.ran.scenarios import Scenario
from cellhive.rl.env import EnvironmentSettings

_NAMED = 3


class CellsParallelEnv(ParallelEnv):
    """Every cell of a network is an agent, named by its cell id."""

    metadata: ClassVar[dict[str, Any]] = {
        "name": "cellhive_v0",
        "render_modes": list(RENDER_MODES),
        "render_fps": FRAMES_PER_S,
        "is_parallelizable": True,
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
        self.possible_agents = list(self.core.network.cell_ids)
        self.agents: list[str] = []
        self.observation_spaces = {
            agent: observation_space(self.core, 1) for agent in self.possible_agents
        }
        self.action_spaces = {agent: action_space(self.core, 1) for agent in self.possible_agents}

    def observation_space(self, agent: str) -> Any:
        """Return the space of what an agent sees: always the same object."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Any:
        """Return the space of what an agent does: always the same object."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Floats32], dict[str, dict[str, Any]]]:
        """Begin an episode.

        Args:
            seed: Draws the users; None goes on from the episode before.
            options: "start_h" is the time of day at which it starts [h].
        """
        seeds = None if seed is None else [seed]
        seen, mask = self.core.reset(seeds, start_h=(options or {}).get("start_h"))
        self.agents = list(self.possible_agents)
        infos = {agent: {"action_mask": mask[0, c]} for c, agent in enumerate(self.agents)}
        return self._each(seen[0]), infos

    def step(
        self, actions: dict[str, Any]
    ) -> tuple[
        dict[str, Floats32], dict[str, float], dict[str, bool], dict[str, bool],
        dict[str, dict[str, Any]],
    ]:  # fmt: skip
        """Make the decisions of all agents and let a period pass.

        Raises:
            BadInput: An agent is missing or unknown, or an action is not in its space;
                nothing has happened then.
        """
        step = self.core.step(self._gathered(actions))
        agents = self.agents
        rewards = dict(zip(agents, step.reward.cells[0].tolist(), strict=True))
        infos = {agent: cell_info(step, c) for c, agent in enumerate(agents)}
        if step.ended:
            self.agents = []
        return (
            self._each(step.observation[0]), rewards, dict.fromkeys(agents, False),
            dict.fromkeys(agents, step.ended), infos,
        )  # fmt: skip

    def render(self) -> npt.NDArray[np.uint8] | None:
        """Return a map of the network as it stands, (rows, columns, 3); None without a mode."""
        if self.render_mode is None:
            return None
        if not hasattr(self, "_picture"):
            self._picture = MapPicture(self.core.world)
        return self._picture.draw(self.core.simulator)

    def state(self) -> Floats32:
        """Return what all agents see together, for a critic that may know, (C * F,)."""
        return self.core.seen().reshape(-1)

    def close(self) -> None:
        """Do nothing: nothing is held."""

    def _each(self, rows: Floats32) -> dict[str, Floats32]:
        """Return the row of each agent: views, not copies."""
        return dict(zip(self.possible_agents, rows, strict=True))

    def _gathered(self, actions: dict[str, Any]) -> npt.NDArray[Any]:
        """Return the actions of all agents as those of the core, (1, C, D)."""
        if not self.agents:
            message = "expected an episode that runs, found no agents; call reset first"
            raise Conflict(message)
        if actions.keys() != set(self.agents):
            missing = [agent for agent in self.agents if agent not in actions]
            unknown = [agent for agent in actions if agent not in self.agents]
            raise BadInput(
                place="actions", expected=f"one per agent, {len(self.agents)} of them",
                found=f"{_some(missing)} missing, {_some(unknown)} unknown",
            )  # fmt: skip
        expected = self.action_spaces[self.agents[0]].shape
        rows = []
        for agent in self.agents:
            row = np.asarray(actions[agent])
            if row.shape != expected:
                raise BadInput(
                    place=f"action of {agent}", expected=f"shape {expected}",
                    found=f"shape {row.shape}",
                )  # fmt: skip
            rows.append(row)
        return np.stack(rows)[None]


def _some(names: list[str]) -> str:
    """Return the first of many names and how many more there are."""
    if not names:
        return "none"
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(str, names[:_NAMED])) + more
