"""Actor and central critic of a policy, as ``policy.PolicyShape`` describes them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from cellhive.core.types import Floats32
from cellhive.rl.actions import OPTIONS
from cellhive.rl.learning.gradients import tanh
from cellhive.rl.observations import SLOT_FEATURES
from cellhive.rl.policy import NEIGHBOURS, NETWORK, PolicyShape, check_tensors

_IMPOSSIBLE = -1e9
"""Logit of what is masked out: finite, so that entropy and gradients stay finite."""


def _linear(tensors: dict[str, tuple[int, ...]], name: str, gain: float) -> nn.Linear:
    """Return a layer with orthogonal weights; small gains begin close to an even choice."""
    outputs, inputs = tensors[f"{name}.weight"]
    layer = nn.Linear(inputs, outputs, bias=f"{name}.bias" in tensors)
    nn.init.orthogonal_(layer.weight, gain)
    if f"{name}.bias" in tensors:
        nn.init.zeros_(layer.bias)
    return layer


class Actor(nn.Module):
    """Logits of every option of every column of every cell."""

    own: nn.Linear
    slot: nn.Linear
    next: nn.Linear
    attend: nn.Linear
    trunk: nn.Linear
    cell: nn.Linear
    towards: nn.Linear

    def __init__(self, shape: PolicyShape) -> None:
        """Draw first weights from torch's generator; seed it before."""
        super().__init__()
        self.shape = shape
        gains = {"cell": 0.01, "towards": 0.01, "attend": 1.0}
        tensors = shape.actor_tensors()
        for name in dict.fromkeys(tensor.split(".")[0] for tensor in tensors):
            self.add_module(name, _linear(tensors, name, gains.get(name, 2**0.5)))

    def forward(self, seen: Tensor, near: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return logits, (B, C, D, 3); with the encoder of the network (B, 1, D, 3).

        Args:
            seen: Observations, (B, C, F).
            near: Cells next to each cell, (C, K), -1 for none (``policy.next_cells``).
            mask: 1 where an option may be chosen, shaped as the logits; None means everywhere.
        """
        batch = seen.shape[0]
        if self.shape.encoder == NEIGHBOURS:
            logits: Tensor = self._of_neighbours(seen, near)
        else:
            hidden = tanh(self.own(seen))
            if self.shape.encoder == NETWORK:
                hidden = hidden.mean(1, keepdim=True)
            logits = self.cell(tanh(self.trunk(hidden)))
            logits = logits.view(batch, hidden.shape[1], -1, OPTIONS)
        if mask is None:
            return logits
        return torch.where(mask.bool(), logits, torch.full_like(logits, _IMPOSSIBLE))

    def _of_neighbours(self, seen: Tensor, near: Tensor) -> Tensor:
        batch, cells = seen.shape[:2]
        own = self.shape.own_features
        hidden = tanh(self.own(seen[..., :own]))
        slots = seen[..., own:].reshape(batch, cells, -1, len(SLOT_FEATURES))
        exists = near >= 0
        known = self.next(hidden)[:, near.clamp(min=0)]
        message = tanh(self.slot(slots) + known) * exists[..., None]
        attention = self.attend(message).squeeze(-1).masked_fill(~exists, _IMPOSSIBLE)
        heard = (torch.softmax(attention, -1)[..., None] * message).sum(2)
        hidden = tanh(self.trunk(torch.cat([hidden, heard], -1)))
        parts = []
        if self.shape.slot_columns:
            wide = hidden[:, :, None].expand(-1, -1, message.shape[2], -1)
            parts.append(self.towards(torch.cat([wide, message], -1)))
        if self.shape.columns > self.shape.slot_columns:
            parts.append(self.cell(hidden).view(batch, cells, -1, OPTIONS))
        return torch.cat(parts, 2)

    def arrays(self) -> dict[str, Floats32]:
        """Return copies of all tensors by name, as ``PolicyShape.actor_tensors`` lists them."""
        return {name: tensor.detach().cpu().numpy().astype(np.float32, copy=True)
                for name, tensor in self.state_dict().items()}  # fmt: skip

    def load(self, arrays: dict[str, Floats32]) -> None:
        """Take over tensors.

        Raises:
            BadInput: A tensor lacks, is unknown, has another shape or is not finite.
        """
        check_tensors(self.shape, arrays)
        self.load_state_dict({name: torch.from_numpy(a.copy()) for name, a in arrays.items()})


class Critic(nn.Module):
    """Central critic: the value of a cell in what is going on in the whole network.

    It sees the features of the cell, and their mean and largest value over the network; it
    is needed for learning only.
    """

    def __init__(self, shape: PolicyShape) -> None:
        """Draw first weights from torch's generator; seed it before."""
        super().__init__()
        self.own = nn.Linear(shape.features, shape.hidden)
        self.around = nn.Linear(2 * shape.features, shape.hidden, bias=False)
        self.trunk = nn.Linear(shape.hidden, shape.hidden)
        self.value = nn.Linear(shape.hidden, 1)
        for layer, gain in ((self.own, 2**0.5), (self.around, 1.0), (self.trunk, 2**0.5),
                            (self.value, 1.0)):  # fmt: skip
            nn.init.orthogonal_(layer.weight, gain)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def forward(self, seen: Tensor, around: Tensor | None = None) -> Tensor:
        """Return the value of every cell, (B, C).

        Args:
            seen: Observations, (B, C, F).
            around: From ``surroundings``, where they are known already.
        """
        network = surroundings(seen) if around is None else around
        hidden = tanh(self.own(seen) + self.around(network)[:, None])
        value: Tensor = self.value(tanh(self.trunk(hidden))).squeeze(-1)
        return value


def surroundings(seen: Tensor) -> Tensor:
    """Return mean and largest value of every feature over the network, (B, 2 F)."""
    return torch.cat([seen.mean(1), seen.amax(1)], -1)
