"""An iteration on Ray: deal the episodes out, play again what was lost, learn, go on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import ray
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core import COMPONENT_LEARNER, COMPONENT_RL_MODULE
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, LEARNER_RESULTS

from cellhive.adapters.ray.learner import CellLearner, Learnt, Lesson
from cellhive.adapters.ray.module import RoleModule
from cellhive.adapters.ray.plan import Piece, Plan
from cellhive.adapters.ray.runner import PLAN, CellEnvRunner, spaces_of
from cellhive.core.errors import Conflict
from cellhive.rl.learning.episodes import Played, joined, weight_seeds
from cellhive.rl.learning.training import PARTS, Iteration, check_patience, summary

_COUNTERS = "cellhive"
_ATTEMPTS = 5
"""How often in a row nothing may come back from runners that seemed to be there."""
_PROBES, _PAUSE_S = 60, 1.0
"""How often, and how far apart [s], it is seen whether a lost runner is back."""
_PROBE_S = 10.0


class CellTraining(Algorithm):
    """Trains roles as ``rl.learning.training.Trainer`` does, with many processes.

    What is played in an iteration follows from the seed, the number of the iteration and the
    weights; a runner that dies takes nothing with it, because another plays the same again.
    """

    number = 0
    """Iterations so far."""
    decisions = 0
    """Decisions of cells so far."""
    failures = 0
    """Updates in a row that had to be taken back."""
    clock: Callable[[], float] = staticmethod(lambda: 0.0)
    """What ``Iteration.seconds`` are measured with: all of playing counts as simulate, all of
    learning as update."""
    last: Iteration | None = None
    """What the last iteration came to."""

    @property
    def plan(self) -> Plan:
        """What is trained."""
        plan: Plan = self.config.env_config[PLAN]
        return plan

    def training_step(self) -> None:
        """Play an episode in every network and learn from it.

        Raises:
            Conflict: Too many updates in a row were taken back, or all runners are gone.
        """
        begun_s = self.clock()
        played = self._played()
        played_s = self.clock()
        tallies = [one.tally for one in played]
        number = self.number + 1
        trouble = next((tally.trouble for tally in tallies if tally.trouble), "")
        learnt = self._learnt(Lesson(number, played, trouble))
        seconds = dict.fromkeys(PARTS, 0.0)
        seconds |= {"simulate": played_s - begun_s, "update": self.clock() - played_s}
        self.number = number
        self.decisions += sum(tally.decisions for tally in tallies)
        self.failures = self.failures + 1 if learnt.trouble else 0
        check_patience(self.failures, self.plan.settings, learnt.trouble)
        self.last = summary(
            number, self.decisions, tallies, learnt.losses, seconds, learnt.trouble,
            learnt.learning_rate,
        )  # fmt: skip
        for name, value in (("reward", self.last.reward), ("gain", self.last.gain),
                            ("decisions", self.decisions)):  # fmt: skip
            self.metrics.log_value((ENV_RUNNER_RESULTS, name), value, window=1)

    @classmethod
    def get_default_config(cls) -> AlgorithmConfig:
        """Return RLlib's settings before a plan is made."""
        return CellTrainingConfig()

    def restore_env_runners(self, env_runner_group: Any) -> list[int]:
        """Take runners that Ray has started again back in; weights come with the next piece."""
        restored: list[int] = env_runner_group.probe_unhealthy_env_runners()
        return restored

    def get_state(self, components: Any = None, *, not_components: Any = None,
                  **kwargs: Any) -> dict[str, Any]:  # fmt: skip
        """Return the state RLlib keeps, and the counters."""
        state: dict[str, Any] = super().get_state(
            components, not_components=not_components, **kwargs
        )
        state[_COUNTERS] = [self.number, self.decisions, self.failures]
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from such a state."""
        super().set_state(state)
        if _COUNTERS in state:
            self.number, self.decisions, self.failures = state[_COUNTERS]

    def _played(self) -> list[Played]:
        """Return the episodes of each environment."""
        plan, group = self.plan, self.env_runner_group
        state = self.learner_group.get_state(
            components=f"{COMPONENT_LEARNER}/{COMPONENT_RL_MODULE}", inference_only=True
        )[COMPONENT_LEARNER]
        weights = {COMPONENT_RL_MODULE: state[COMPONENT_RL_MODULE]}
        wanted, done = plan.pieces(), {}
        if not plan.runners:
            done = dict(group.local_env_runner.sample(self.number, wanted, weights))
            return self._whole(done)
        reference = ray.put(weights)
        left = _ATTEMPTS
        while len(done) < len(wanted):
            able = group.healthy_env_runner_ids()
            if not able:
                self._await_runners()
                continue
            missing = [piece for piece in wanted if piece not in done]
            hands = [missing[place :: len(able)] for place in range(len(able))]
            calls = [{"number": self.number, "pieces": hand, "state": reference}
                     for hand in hands if hand]  # fmt: skip
            before = len(done)
            for some in group.foreach_env_runner(
                "sample", kwargs=calls, local_env_runner=False,
                remote_worker_ids=able[: len(calls)],
            ):  # fmt: skip
                done |= dict(some)
            left = _ATTEMPTS if len(done) > before else left - 1
            if not left:
                message = f"no runner could play what was asked for, {_ATTEMPTS} times in a row"
                raise Conflict(message)
        return self._whole(done)

    def _await_runners(self) -> None:
        """Wait until a runner is back.

        Raises:
            Conflict: None came back.
        """
        pause = threading.Event()
        for _ in range(_PROBES):
            if self.restore_env_runners(self.env_runner_group):
                return
            pause.wait(_PAUSE_S)
        message = (
            f"all {self.plan.runners} runners are gone and none was started again within "
            f"{_PROBES * _PAUSE_S:.0f} s; see whether the cluster has processors left: ray status"
        )
        raise Conflict(message)

    def _whole(self, done: dict[Piece, Played]) -> list[Played]:
        """Put the shares of each environment together."""
        plan = self.plan
        return [
            joined([done[Piece(which, share)] for share in range(plan.shares(which))])
            for which in range(len(plan.places))
        ]

    def _learnt(self, lesson: Lesson) -> Learnt:
        """Let the learners learn.

        Raises:
            Conflict: One of several is gone; what they had learnt since a checkpoint is lost.
        """
        group = self.learner_group
        kind = TrainingData if group.is_local else _Everyone
        try:
            told = group.update(training_data=kind(batch=lesson))
        except ray.exceptions.RayError as error:
            message = (
                f"a learner failed in iteration {lesson.number}: {type(error).__name__}; go on "
                "from the last checkpoint"
            )
            raise Conflict(message) from error
        self.metrics.aggregate(told, key=LEARNER_RESULTS)
        found = group.foreach_learner(lambda learner: learner.learnt)
        learnt: Learnt = next(iter(found)).get()
        return learnt


class _Everyone(TrainingData):
    """Training data that every learner gets whole."""

    def shard(self, num_shards: int, **_: Any) -> list[tuple[Any, dict[str, Any]]]:
        """Return the same for all, put into the object store once."""
        reference = ray.put(self.batch)
        return [(_Everyone(batch_refs=[reference]), {}) for _ in range(num_shards)]


class CellTrainingConfig(AlgorithmConfig):
    """RLlib's settings of a training; what is trained is in the ``Plan``."""

    def __init__(self, algo_class: type[Algorithm] | None = None) -> None:
        """Begin with RLlib's own."""
        super().__init__(algo_class or CellTraining)

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """Return what a role is made of."""
        return RLModuleSpec(module_class=RoleModule)

    def get_default_learner_class(self) -> type[CellLearner]:
        """Return what learns."""
        return CellLearner


def config_of(plan: Plan, cpus_per_learner: int = 1) -> CellTrainingConfig:
    """Return RLlib's configuration of a training.

    Args:
        plan: The training.
        cpus_per_learner: Processors, and threads, of each learner process.
    """
    specs = {}
    for role, seed in zip(plan.roles, weight_seeds(plan.seed, len(plan.roles)), strict=True):
        seen, chosen = spaces_of(role.shape)
        wanted = {"shape": role.shape, "seed": seed, "keep_bias": plan.settings.keep_bias,
                  "arrays": dict(plan.actors.get(role.name, {}))}  # fmt: skip
        specs[role.name] = RLModuleSpec(
            module_class=RoleModule, observation_space=seen, action_space=chosen,
            model_config=wanted,
        )  # fmt: skip
    seen, chosen = spaces_of(plan.roles[0].shape)
    cuda = plan.device != "cpu"
    config: CellTrainingConfig = (
        CellTrainingConfig()
        .framework("torch")
        .environment(
            None, env_config={PLAN: plan}, observation_space=seen, action_space=chosen,
            disable_env_checking=True,
        )
        .multi_agent(policies=set(specs), policy_mapping_fn=lambda agent, *_, **__: agent)
        .env_runners(
            env_runner_cls=CellEnvRunner, num_env_runners=plan.runners, num_cpus_per_env_runner=1,
            create_env_on_local_worker=not plan.runners, sample_timeout_s=None,
            merge_env_runner_states=False, broadcast_env_runner_states=False,
        )
        .learners(
            num_learners=plan.learners, num_cpus_per_learner=0 if cuda else cpus_per_learner,
            num_gpus_per_learner=int(cuda),
        )
        .rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs=specs))
        .fault_tolerance(
            restart_failed_env_runners=True, delay_between_env_runner_restarts_s=1.0,
            env_runner_health_probe_timeout_s=_PROBE_S,
        )
        .reporting(min_time_s_per_iteration=0)
        .debugging(log_level="ERROR")
    )  # fmt: skip
    return config
