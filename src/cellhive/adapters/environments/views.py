"""What all views of the environment share: spaces, shapes, and what they tell besides."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from cellhive.adapters.scenarios import scenario_named
from cellhive.core.errors import BadInput
from cellhive.core.types import Floats
from cellhive.ran.scenarios import Scenario
from cellhive.rl.actions import OPTIONS
from cellhive.rl.admission import NOTHING, REASONS
from cellhive.rl.env import CellEnvironment, EnvironmentSettings, Step, settings_for
from cellhive.rl.observations import UNKNOWN
from cellhive.rl.rewards import OBJECTIVES

DEFAULT_SCENARIO = "hex-urban"
RENDER_MODES = ("rgb_array",)
FRAMES_PER_S = 10


def core_of(
    scenario: str | Scenario | None,
    settings: EnvironmentSettings | None,
    changes: dict[str, Any],
    networks: int = 1,
) -> CellEnvironment:
    """Return the environment under a view.

    Args:
        scenario: A name, a file, or the scenario itself; None means that of the settings, or
            ``DEFAULT_SCENARIO`` where there are none.
        settings: Everything else; None means the defaults.
        changes: Settings by name.
        networks: How many copies.

    Raises:
        BadInput: There is no setting of such a name.
        NotFound: There is no scenario of such a name.
    """
    if scenario is None:
        scenario = DEFAULT_SCENARIO if settings is None else settings.scenario
    recipe = scenario if isinstance(scenario, Scenario) else scenario_named(scenario)
    return CellEnvironment(settings_for(recipe, settings, changes), networks)


def observation_space(core: CellEnvironment, agents: int) -> spaces.Box:
    """Return the space of what so many cells see, one after the other."""
    size = agents * len(core.observations.features)
    return spaces.Box(UNKNOWN, 1.0, (size,), np.float32)


def action_space(core: CellEnvironment, agents: int) -> spaces.MultiDiscrete | spaces.Box:
    """Return the space of what so many cells do, one after the other."""
    size = agents * len(core.actions.columns)
    if core.actions.discrete:
        return spaces.MultiDiscrete(np.full(size, OPTIONS))
    return spaces.Box(-1.0, 1.0, (size,), np.float32)


def shaped(actions: Any, expected: tuple[int, ...], core: CellEnvironment) -> npt.NDArray[Any]:
    """Return flat actions of a view as those of the core, (E, C, D), without copying them.

    Raises:
        BadInput: The shape is not that of the view's space.
    """
    try:
        given = np.asarray(actions)
    except ValueError as error:
        raise BadInput(
            place="actions", expected=f"shape {expected}", found=f"rows that differ ({error})"
        ) from error
    if given.shape != expected:
        raise BadInput(
            place="actions", expected=f"shape {expected}, as the action space says",
            found=f"shape {given.shape}",
        )  # fmt: skip
    return given.reshape(core.networks, core.network.cells, len(core.actions.columns))


def checked_render_mode(mode: str | None) -> str | None:
    """Return a render mode, or raise that there is none of such a name."""
    if mode is not None and mode not in RENDER_MODES:
        raise BadInput(
            place="render_mode", expected=f"None or {', '.join(RENDER_MODES)}", found=repr(mode)
        )
    return mode


def parts_of(values: Floats) -> dict[str, float]:
    """Return the parts of a reward by name, from the last axis, (4,)."""
    return dict(zip(OBJECTIVES, values.tolist(), strict=True))


def network_info(step: Step) -> dict[str, Any]:
    """Return what the single agent of one network is told besides."""
    refused = zip(REASONS[1:], step.refused[0].tolist(), strict=True)
    return {
        "reward_parts": parts_of(step.reward.network_parts[0]),
        "changes_made": int(step.made[0]),
        "changes_refused": {reason: count for reason, count in refused if count},
        "action_mask": step.mask[0].reshape(-1, OPTIONS),
    }


def cell_info(step: Step, cell: int) -> dict[str, Any]:
    """Return what the agent of one cell is told besides."""
    outcome = step.outcome[0, cell]
    return {
        "reward_parts": parts_of(step.reward.cell_parts[0, cell]),
        "changes_made": int((outcome == NOTHING).sum()),
        "changes_refused": int((outcome > NOTHING).sum()),
        "action_mask": step.mask[0, cell],
    }
