"""Cloning with differential privacy: what one period of one network showed stays deniable.

DP-SGD (Abadi et al. 2016, "Deep learning with differential privacy") by Opacus, with ghost
clipping (Bu et al. 2022), which needs about three times the time of plain learning; its
other ways to have gradients of single records need thirty.

**What is protected.** The unit is one decision: all that the cells of one network showed
and did in one reporting period. Whoever sees the policy can hardly tell whether that period
was in the data. A whole day is many units: it is protected by as much less as it has
periods. Names of cells and sites are not in the data at all.

**What is counted.** Records enter each step by independent draws (Poisson sampling), as the
accountant assumes. That holds for cloning from what is recorded. It does not for PPO, which
goes over the same correlated trajectories again and again: no privacy is claimed there.
What was chosen by looking at the data (settings, the number of steps) is not counted, nor is
anything else that is learnt from the same data, a critic for example.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from cellhive.core.errors import BadInput, NotFound
from cellhive.rl.experience import History
from cellhive.rl.learning.imitation import refuse_misfits
from cellhive.rl.learning.networks import Actor

_SEVERAL_SLOTS = ("slot", "attend", "towards")
"""Layers that are used once per cell and slot."""


@dataclass(frozen=True)
class PrivacySettings:
    """How much is to be protected, and how long to learn."""

    epsilon: float = 4.0
    """Most privacy loss that may be spent."""
    delta: float = 1e-5
    """Chance with which that does not hold; well below one over the number of decisions."""
    steps: int = 400
    """Steps of Adam."""
    batch: int = 32
    """Decisions of networks in a step, on average."""
    learning_rate: float = 5e-3
    longest: float = 1.0
    """Length to which the gradient of each decision is cut."""

    def __post_init__(self) -> None:
        """Refuse what protects nothing or leads nowhere."""
        whole = min(self.steps, self.batch) >= 1 and self.longest > 0 and self.learning_rate > 0
        if not (self.epsilon > 0 and 0 < self.delta < 1 and whole):
            raise BadInput(
                place="privacy", expected="an epsilon above 0, a delta within 0 to 1, and steps, "
                "batch, rate and length above 0",
                found=f"{self.epsilon:g}, {self.delta:g}, {self.steps}, {self.batch}, "
                f"{self.learning_rate:g}, {self.longest:g}",
            )  # fmt: skip


class Spent(NamedTuple):
    """What private learning cost."""

    epsilon: float
    """Privacy loss, by Rényi accounting."""
    delta: float
    noise: float
    """Deviation of the noise over the longest gradient of a decision."""
    decisions: int
    """Records: decisions of networks."""
    unit: str = "one decision of one network"


class _Flat(nn.Module):
    """A layer that is used for every slot, as one that is used for a longer row of cells.

    Opacus takes the length of a gradient from layers with two or three axes only; of others
    it would be left out, and the gradient cut too little.
    """

    def __init__(self, inner: nn.Linear) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, given: Tensor) -> Tensor:
        flat: Tensor = self.inner(given.reshape(given.shape[0], -1, given.shape[-1]))
        return flat.view(*given.shape[:-1], -1)


def clone_privately(
    actor: Actor, histories: Sequence[History], settings: PrivacySettings, rng: np.random.Generator
) -> Spent:
    """Teach an actor to do what was done, in place, within a privacy budget.

    No class is balanced: how often an option was taken is something of the data too.

    Args:
        actor: With weights that owe nothing to these histories.
        histories: What was done, all of one network.
        settings: The budget.
        rng: Draws records and noise. Whoever knows its seed can take the noise off again.

    Raises:
        BadInput: The histories do not fit, or there are fewer decisions than a batch.
        NotFound: Opacus is not installed.
    """
    refuse_misfits(actor, histories)
    history, decisions = histories[0], sum(one.decisions for one in histories)
    if any(not np.array_equal(one.near, history.near) for one in histories):
        raise BadInput(place="histories", expected="all of one network", found="several")
    if decisions < settings.batch:
        raise BadInput(
            place="histories", expected=f"at least {settings.batch} decisions, one batch",
            found=str(decisions),
        )  # fmt: skip
    rate = settings.batch / decisions
    parts = _opacus()
    noise = float(
        parts.noise(
            target_epsilon=settings.epsilon, target_delta=settings.delta, sample_rate=rate,
            steps=settings.steps,
        )
    )  # fmt: skip
    accountant = parts.accountant()
    data = _Data(histories)
    with _flattened(actor), warnings.catch_warnings():
        # Opacus listens to layers whose inputs need no gradient, and torch remarks on it.
        warnings.filterwarnings("ignore", message="Full backward hook is firing")
        warnings.filterwarnings("ignore", category=UserWarning, module="opacus")
        private = _Private(parts, actor, settings, noise, int(rng.integers(2**62)))
        for _ in range(settings.steps):
            private.step(data, np.flatnonzero(rng.random(decisions) < rate))
            accountant.step(noise_multiplier=noise, sample_rate=rate)
        private.leave()
    return Spent(float(accountant.get_epsilon(settings.delta)), settings.delta, noise, decisions)


class _Data:
    """All decisions in a row."""

    def __init__(self, histories: Sequence[History]) -> None:
        def row(arrays: list[Any]) -> Tensor:
            flat = [array.reshape(-1, *array.shape[2:]) for array in arrays]
            return torch.from_numpy(np.concatenate(flat))

        self.seen = row([one.seen[:-1] for one in histories])
        self.mask = row([one.mask for one in histories])
        self.action = row([one.action for one in histories]).long()
        self.near = torch.from_numpy(histories[0].near)

    def losses(self, model: nn.Module, rows: Tensor) -> Tensor:
        """Return the loss of each decision by itself, (B,): no record may scale another."""
        mask, action = self.mask[rows], self.action[rows]
        logs = torch.log_softmax(model(self.seen[rows], self.near, mask), -1)
        said = logs.gather(-1, action[..., None]).squeeze(-1)
        free = (mask.sum(-1) > 1).float()
        return -(said * free).flatten(1).sum(1) / free.flatten(1).sum(1).clamp(min=1.0)


class _Private:
    """An actor under DP-SGD."""

    def __init__(
        self, parts: _Opacus, actor: Actor, settings: PrivacySettings, noise: float, seed: int
    ) -> None:
        self._parts, self._actor = parts, actor
        self._model = parts.module(
            actor, batch_first=True, max_grad_norm=settings.longest, use_ghost_clipping=True,
            loss_reduction="mean",
        )  # fmt: skip
        self._optimiser = parts.optimiser(
            torch.optim.Adam(actor.parameters(), lr=settings.learning_rate),
            noise_multiplier=noise, max_grad_norm=settings.longest,
            expected_batch_size=settings.batch, loss_reduction="mean",
            generator=torch.Generator().manual_seed(seed),
        )  # fmt: skip

    def step(self, data: _Data, rows: np.ndarray[Any, Any]) -> None:
        """Take a step with these records, which may be none: noise is added all the same."""
        self._optimiser.zero_grad()
        if rows.size:
            losses = data.losses(self._model, torch.from_numpy(rows))
            self._parts.loss(self._model, self._optimiser, losses, "mean").backward()
        else:
            for tensor in self._actor.parameters():
                tensor.grad = torch.zeros_like(tensor)
        self._optimiser.step()

    def leave(self) -> None:
        """Take the hooks off the actor."""
        self._model.to_standard_module()


class _flattened:  # noqa: N801  # reads as what it does: with _flattened(actor)
    """While it lasts, layers used per slot are of a form that Opacus measures."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor
        self._names = [n for n, _ in actor.named_children() if n in _SEVERAL_SLOTS]

    def __enter__(self) -> None:
        for name in self._names:
            setattr(self._actor, name, _Flat(getattr(self._actor, name)))

    def __exit__(self, *_: object) -> None:
        for name in self._names:
            setattr(self._actor, name, getattr(self._actor, name).inner)
        for tensor in self._actor.parameters():
            tensor.grad = None


class _Opacus(NamedTuple):
    module: Any
    optimiser: Any
    loss: Any
    accountant: Any
    noise: Any


def _opacus() -> _Opacus:
    """Return what is used of Opacus.

    Raises:
        NotFound: It is not installed.
    """
    try:
        from opacus.accountants import RDPAccountant  # noqa: PLC0415  # with the extra
        from opacus.accountants.utils import get_noise_multiplier  # noqa: PLC0415
        from opacus.grad_sample.grad_sample_module_fast_gradient_clipping import (  # noqa: PLC0415
            GradSampleModuleFastGradientClipping,
        )
        from opacus.optimizers.optimizer_fast_gradient_clipping import (  # noqa: PLC0415
            DPOptimizerFastGradientClipping,
        )
        from opacus.utils.fast_gradient_clipping_utils import (  # noqa: PLC0415
            DPTensorFastGradientClipping,
        )
    except ImportError as problem:
        message = (
            "expected Opacus, found that it is not installed; install it with "
            "`pip install -c constraints.txt 'cellhive[train]'`"
        )
        raise NotFound(message) from problem
    return _Opacus(
        GradSampleModuleFastGradientClipping, DPOptimizerFastGradientClipping,
        DPTensorFastGradientClipping, RDPAccountant, get_noise_multiplier,
    )  # fmt: skip
