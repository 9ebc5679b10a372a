"""A training on Ray that looks like one in process: the same iterations, states and tensors.

Where Ray runs is not said here: ``connect`` goes to the cluster of ``RAY_ADDRESS``, which is
set in a pod of KubeRay and may be "auto" for one that runs on this machine already; without
it one is started on this machine, for this process.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np
import ray

from cellhive.adapters.ray.algorithm import CellTraining, config_of
from cellhive.adapters.ray.plan import Place, Plan
from cellhive.core.errors import BadInput, Conflict
from cellhive.core.types import Floats32
from cellhive.rl.learning.episodes import State
from cellhive.rl.learning.ppo import TrainingSettings
from cellhive.rl.learning.roles import Role
from cellhive.rl.learning.training import Iteration

Clock = Callable[[], float]

BUILDS = "cellhive-ray-builds"
"""Name of the thread that waits for the processes of a training."""
_BUILD_S = 120.0
"""Time in which all processes have to be there."""
_LOOKS, _LOOK_S = 20, 0.25
"""How often, and how far apart [s], it is seen whether processors are free."""
_STORE_BYTES = 200_000_000
"""Object store of a cluster started here: an iteration is some megabytes."""


def connect(cpus: int | None = None) -> bool:
    """Connect to Ray; return whether that was done here, so that it is to be left as well.

    Args:
        cpus: Processors of a cluster that is started here; None means those of the machine.
            Ignored where ``RAY_ADDRESS`` names a cluster.
    """
    if ray.is_initialized():
        return False
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    usual: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    if not os.environ.get("RAY_ADDRESS"):
        usual |= {
            "address": "local",
            "num_cpus": cpus, "include_dashboard": False, "object_store_memory": _STORE_BYTES,
        }  # fmt: skip
    # Ray and RLlib warn of what is theirs: old names, restarts, interfaces that may change
    for name in ("ray", "ray.rllib"):
        logging.getLogger(name).setLevel(logging.ERROR)
    ray.init(**usual)
    return True


class Late(Conflict):
    """The processes of a training were not there in time."""


class RayTrainer:
    """Trains in many processes; see ``rl.learning.training.Trainer``, which it stands in for.

    With as many environments as runners, or no more than one runner, and one learner, it comes
    to the same as ``Trainer``, to the bit on one machine. States are interchangeable.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what training is: who, how, where, by how many
        self, roles: Sequence[Role], settings: TrainingSettings,
        places: Sequence[Place], seed: int, device: str = "cpu",
        actors: Mapping[str, dict[str, Floats32]] | None = None, clock: Clock | None = None,
        *, runners: int = 2, learners: int = 0, build_s: float = _BUILD_S,
    ) -> None:  # fmt: skip
        """Start the processes.

        Args:
            roles: As of ``Trainer``.
            settings: As of ``Trainer``.
            places: Environments, which runners build; see ``plan.places_of``.
            seed: As of ``Trainer``.
            device: Of the learners.
            actors: First weights of some roles.
            clock: What ``Iteration.seconds`` are measured with.
            runners: Processes that play, a processor each; 0 means this one.
            learners: Processes that learn, a processor each; 0 means this one.
            build_s: Time in which all have to be there [s].

        Raises:
            BadInput: It cannot be trained so, or the cluster has not the processors.
            Late: The processes were not there in time.
        """
        plan = Plan(
            tuple(roles), settings, tuple(places), seed, runners, learners, device,
            dict(actors or {}),
        )  # fmt: skip
        self.plan, self.roles, self.settings, self.seed = plan, plan.roles, settings, seed
        self._connected = connect()
        try:
            _check_processors(plan)
            self._algorithm = _built(plan, build_s)
            if clock is not None:
                self._algorithm.clock = clock
        except Late:  # what is still being built would begin another Ray: this one goes with us
            raise
        except BaseException:
            self._leave()
            raise

    @property
    def number(self) -> int:
        """Iterations so far."""
        return self._algorithm.number

    @property
    def algorithm(self) -> CellTraining:
        """RLlib's side of it, for ``save_to_path``, Tune, and looking on."""
        return self._algorithm

    def iterate(self) -> Iteration:
        """Play an episode in every network and learn from it; see ``Trainer.iterate``.

        Raises:
            Conflict: ``patience`` updates in a row had to be taken back, or all runners died.
        """
        self._algorithm.train()
        done: Iteration | None = self._algorithm.last
        assert done is not None  # noqa: S101 - set by every training step
        return done

    def state(self) -> State:
        """Return copies of everything needed to go on exactly, as ``Trainer.state``."""
        algorithm = self._algorithm
        numbers = (self.seed, algorithm.number, algorithm.decisions, algorithm.failures)
        states: list[State] = self._of_learners(lambda learner: learner.states())
        return {"trainer": np.array(numbers, np.int64)} | states[0]

    def restore(self, state: State) -> None:
        """Go on from a state of such a training, here or of a ``Trainer``.

        Raises:
            BadInput: It is another training's; nothing has changed then.
        """
        numbers = state.get("trainer")
        if numbers is None or numbers.shape != (4,) or numbers[0] != self.seed:
            raise BadInput(
                place="training state", expected=f"one that began from seed {self.seed}",
                found="none" if numbers is None else f"seed {numbers.reshape(-1)[:1].tolist()}",
            )  # fmt: skip
        self._of_learners(lambda learner: learner.go_on_from(state))
        algorithm = self._algorithm
        algorithm.number, algorithm.decisions, algorithm.failures = map(int, numbers[1:])

    def arrays(self, role: str) -> dict[str, Floats32]:
        """Return copies of the tensors of a role's actor, as the model store takes them.

        Raises:
            BadInput: There is no such role.
        """
        names = [known.name for known in self.roles]
        if role not in names:
            raise BadInput(place="role", expected=f"one of {', '.join(names)}", found=repr(role))
        found: list[dict[str, Floats32]] = self._of_learners(lambda learner: learner.arrays(role))
        return found[0]

    def close(self) -> None:
        """End the processes, and leave Ray if it was not there before."""
        self._algorithm.stop()
        self._leave()

    def __enter__(self) -> Self:
        """Use it in a ``with`` statement."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        """Close."""
        self.close()

    def _leave(self) -> None:
        if self._connected:
            ray.shutdown()

    def _of_learners(self, ask: Callable[[Any], Any]) -> list[Any]:
        """Return what every learner answers.

        Raises:
            BadInput: One refused.
        """
        try:
            results = list(self._algorithm.learner_group.foreach_learner(ask))
            for result in results:
                if not result.ok:
                    raise result.get()
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            raise (cause if isinstance(cause, BadInput) else error) from None
        return [result.get() for result in results]


def _check_processors(plan: Plan) -> None:
    """Refuse what RLlib would wait for without end.

    Raises:
        BadInput: The cluster has too few processors for all processes.
    """
    learning = plan.learners if plan.device == "cpu" else 0
    wanted, pause = plan.runners + learning, threading.Event()
    for _ in range(_LOOKS):
        there = ray.available_resources().get("CPU", 0.0)
        if wanted <= there:
            return
        pause.wait(_LOOK_S)  # those of a training that has just ended come back after a moment
    raise BadInput(
        place="runners and learners",
        expected=f"at most {there:g} processes, one for each free processor of the cluster",
        found=f"{plan.runners} runners and {learning} learners",
        remedy="ask for fewer, or see who holds the others: ray status",
    )


def _built(plan: Plan, within_s: float) -> CellTraining:
    """Return the algorithm; RLlib itself would wait for its processes without end.

    Raises:
        Late: It was not there in time.
    """
    found: list[CellTraining] = []
    errors: list[BaseException] = []
    late = threading.Event()

    def build() -> None:
        try:
            found.append(config_of(plan).build_algo())
            if late.is_set():
                found[0].stop()
        except BaseException as error:  # raised again in the other thread
            errors.append(error)

    thread = threading.Thread(target=build, name=BUILDS, daemon=True)
    thread.start()
    thread.join(within_s)
    if errors:
        raise errors[0]
    if not found:
        late.set()
        message = (
            f"{plan.runners} runners and {plan.learners} learners were not there within "
            f"{within_s:.0f} s; the cluster may be busy or have lost a machine: ray status"
        )
        raise Late(message)
    return found[0]
