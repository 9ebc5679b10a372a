"""Behaviour cloning: a policy that does what was done, as a beginning for learning.

Nearly everything that rules do is to keep. A policy that always keeps is right about most
columns and of no use, so what is rare counts more while it is learnt; afterwards the
logits are put back, so that the policy turns knobs as often as it was shown to. With
weights w on the options, cross-entropy leads to p'(o | s) ~ w_o p(o | s); what w added is
log w_o on the logits, a constant, and is taken off the biases again (Menon et al. 2021,
"Long-tail learning via logit adjustment").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cellhive.core.errors import BadInput
from cellhive.core.types import Bools, Floats, Floats32
from cellhive.rl.actions import KEEP, OPTIONS, ActionSettings, columns_of
from cellhive.rl.experience import History
from cellhive.rl.learning.networks import Actor
from cellhive.rl.policy import NETWORK
from cellhive.rl.replay import Array

_FEWEST = 1.0
"""Added to every count of an option, so that one never seen has a weight too."""


@dataclass(frozen=True)
class CloningSettings:
    """How long and how hard to imitate."""

    steps: int = 1000
    """Steps of Adam."""
    minibatch: int = 8
    """Decisions of whole networks in a step."""
    learning_rate: float = 5e-3
    balance: float = 0.5
    """Power of the inverse share of an option that it counts with: 0 as often as it is, 1
    down, keep and up alike."""
    boldness: float = 0.0
    """Share of the balance that is left in the policy: 0 turns knobs as often as was shown, 1
    far more often. A policy that always takes its likeliest option may need some: what is done
    in a third of all such cases is never the likeliest."""
    gradient_norm: float = 1.0
    """Largest norm of a gradient."""

    def __post_init__(self) -> None:
        """Refuse what cannot lead anywhere."""
        for name in ("balance", "boldness"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise BadInput(place=name, expected="0 to 1", found=f"{getattr(self, name):g}")
        whole = min(self.steps, self.minibatch) >= 1
        if not (whole and self.learning_rate > 0 and self.gradient_norm > 0):
            raise BadInput(
                place="cloning", expected="steps, minibatch, rate and norm above 0",
                found=f"{self.steps}, {self.minibatch}, {self.learning_rate:g}, "
                f"{self.gradient_norm:g}",
            )  # fmt: skip


class Likeness(NamedTuple):
    """How well a policy does what was done, where there was a choice."""

    loss: float
    """Mean negative log-likelihood of a column [nats]."""
    keeping: float
    """The same of a policy that turns each column as often as was shown, blindly [nats]."""
    recall: float
    """Share of what was turned that the policy holds the likeliest; NaN where nothing was."""
    precision: float
    """Share of what the policy holds likeliest to turn that was turned; NaN where nothing."""


def option_weights(histories: Sequence[History], slots: int, balance: float) -> Floats:
    """Return the weight of each option of each column, (D, 3), 1 on average over what was done.

    Columns towards neighbours share their weights, as the policy shares its tensors.

    Args:
        histories: What was done.
        slots: Columns that are about neighbours; they come first.
        balance: See ``CloningSettings``.
    """
    columns = len(histories[0].columns)
    counts = np.full((columns, OPTIONS), _FEWEST)
    for history in histories:
        free = _free(history)
        for option in range(OPTIONS):
            counts[:, option] += ((history.action == option) & free).sum(axis=(0, 1, 2))
    if slots:
        counts[:slots] = counts[:slots].sum(axis=0)
    share = counts / counts.sum(axis=1, keepdims=True)
    weights = (1.0 / share) ** balance
    scaled: Floats = weights / (weights * share).sum(axis=1, keepdims=True)
    return scaled


def clone(
    actor: Actor, histories: Sequence[History], settings: CloningSettings, rng: np.random.Generator,
    weights: Sequence[Floats32] | None = None,
) -> list[float]:  # fmt: skip
    """Teach an actor to do what was done, in place; return the loss of every step.

    Args:
        actor: With any first weights.
        histories: What was done, in one network or several.
        settings: How.
        rng: Draws the minibatches.
        weights: How much every decision of every cell counts, (T, S, C) of each history;
            None means alike.

    Raises:
        BadInput: The histories do not have the columns and features of the actor.
    """
    _check(actor, histories)
    of_options = option_weights(histories, actor.shape.slot_columns, settings.balance)
    scale = torch.from_numpy(of_options.astype(np.float32))
    optimiser = torch.optim.Adam(actor.parameters(), lr=settings.learning_rate)
    chance = np.array([history.decisions for history in histories], np.float64)
    losses = []
    for _ in range(settings.steps):
        which = int(rng.choice(len(histories), p=chance / chance.sum()))
        rows = rng.integers(0, histories[which].decisions, settings.minibatch)
        each = None if weights is None else weights[which]
        loss = _loss(actor, histories[which], rows, scale, each)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's
        torch.nn.utils.clip_grad_norm_(actor.parameters(), settings.gradient_norm)
        optimiser.step()
        losses.append(float(loss.detach()))
    _shift(actor, -(1.0 - settings.boldness) * np.log(of_options))
    return losses


def likeness(actor: Actor, histories: Sequence[History]) -> Likeness:
    """Return how well an actor does what was done, for example in episodes it never saw."""
    _check(actor, histories)
    loss = turned = held = both = times = 0.0
    counts = np.zeros((len(histories[0].columns), OPTIONS))
    for history in histories:
        mask, free = _flat(history.mask), _flat(_free(history))
        action = _flat(history.action).astype(np.int64)
        with torch.no_grad():
            logits = actor(
                torch.from_numpy(_flat(history.seen[:-1])), torch.from_numpy(history.near),
                torch.from_numpy(mask),
            )  # fmt: skip
            chances = torch.log_softmax(logits, -1).numpy()
        said = np.take_along_axis(chances, action[..., None], -1)[..., 0]
        likeliest = chances.argmax(-1)
        loss -= float(said[free].sum(dtype=np.float64))
        times += float(free.sum())
        turned += float(((action != KEEP) & free).sum())
        held += float(((likeliest != KEEP) & free).sum())
        both += float(((action != KEEP) & (likeliest == action) & free).sum())
        for option in range(OPTIONS):
            counts[:, option] += ((action == option) & free).sum(axis=(0, 1))
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    blind = -(counts * np.log(np.maximum(share, 1e-12))).sum()
    return Likeness(
        loss / max(times, 1.0), float(blind) / max(times, 1.0),
        both / turned if turned else float("nan"), both / held if held else float("nan"),
    )  # fmt: skip


def _check(actor: Actor, histories: Sequence[History]) -> None:
    shape = actor.shape
    if not histories:
        raise BadInput(place="histories", expected="one or more", found="none")
    wanted = tuple(
        column.name
        for column in columns_of(ActionSettings(heads=shape.heads, neighbours=shape.neighbours))
    )
    if shape.encoder == NETWORK:
        raise BadInput(
            place="encoder", expected="one that decides for every cell", found=shape.encoder
        )
    for history in histories:
        found = (history.seen.shape[-1], history.near.shape[1])
        if found != (shape.features, shape.neighbours) or history.columns != wanted:
            raise BadInput(
                place="history", expected=f"{shape.features} features, {shape.neighbours} "
                f"neighbours and the columns {', '.join(wanted)}, as the policy has",
                found=f"{found[0]}, {found[1]} and {', '.join(history.columns)}",
            )  # fmt: skip


def _free(history: History) -> Bools:
    """Return where there was a choice, (T, S, C, D): elsewhere keeping says nothing."""
    return np.asarray(history.mask.sum(axis=-1) > 1)


def _flat(values: Array) -> Array:
    """Return decisions of networks in one row, (T S, ...)."""
    return values.reshape(-1, *values.shape[2:])


def _loss(
    actor: Actor, history: History, rows: np.ndarray[tuple[int], np.dtype[np.int64]],
    scale: Tensor, weights: Floats32 | None,
) -> Tensor:  # fmt: skip
    t, s = np.divmod(rows, history.mask.shape[1])
    mask, action = history.mask[t, s], torch.from_numpy(history.action[t, s].astype(np.int64))
    logits = actor(torch.from_numpy(history.seen[t, s]), torch.from_numpy(history.near),
                   torch.from_numpy(mask))  # fmt: skip
    said = torch.log_softmax(logits, -1).gather(-1, action[..., None]).squeeze(-1)
    counts = torch.from_numpy((mask.sum(-1) > 1).astype(np.float32))
    counts = counts * scale.expand(*action.shape, OPTIONS).gather(-1, action[..., None]).squeeze(-1)
    if weights is not None:
        counts = counts * torch.from_numpy(weights[t, s])[..., None]
    return -(said * counts).sum() / counts.sum().clamp(min=1e-6)


def _shift(actor: Actor, by: Floats) -> None:
    """Add constants to the logits of every option of every column, (D, 3)."""
    slots = 0 if "towards.bias" not in actor.shape.actor_tensors() else actor.shape.slot_columns
    with torch.no_grad():
        if slots:
            actor.towards.bias.add_(torch.from_numpy(by[0].astype(np.float32)))
        if slots < len(by):
            actor.cell.bias.add_(torch.from_numpy(by[slots:].ravel().astype(np.float32)))
