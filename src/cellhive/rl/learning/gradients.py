"""The same mathematics as torch's, faster on a processor: tanh, and the gradient of the loss.

torch takes a dozen passes over the chances of three options for what fits one; and NumPy's
tanh is several times faster than torch's. On other devices torch does it all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cellhive.core.compiled import compiled
from cellhive.core.types import Bools, Floats, Floats32
from cellhive.rl.actions import OPTIONS


class _Tanh(torch.autograd.Function):
    """tanh by NumPy, with torch's gradient."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        """Return tanh and keep it for the way back."""
        result = _tanh(values)
        context.save_for_backward(result)
        return result

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        """Return the gradient by the argument."""
        (result,) = context.saved_tensors
        found: Tensor = torch.ops.aten.tanh_backward(gradients[0].contiguous(), result)
        return found


def _tanh(values: Tensor) -> Tensor:
    return torch.from_numpy(np.tanh(values.detach().numpy()))


def tanh(values: Tensor) -> Tensor:
    """Return the hyperbolic tangent of float32 values."""
    if values.device.type != "cpu":
        return torch.tanh(values)
    if not (torch.is_grad_enabled() and values.requires_grad):
        return _tanh(values)
    result: Tensor = _Tanh.apply(values)  # type: ignore[no-untyped-call]
    return result


@compiled
def _shift(logits: Floats32, mask: Bools, shifted: Floats32) -> None:
    """Fill the logits less the largest that is possible; far below where it is not."""
    for row in range(logits.shape[0]):
        most = np.float32(-1e30)
        for k in range(OPTIONS):
            if mask[row, k]:
                most = max(most, logits[row, k])
        for k in range(OPTIONS):
            shifted[row, k] = logits[row, k] - most if mask[row, k] else np.float32(-1e4)


@compiled
def _differentiate(
    shifted: Floats32, chances: Floats32, moves: npt.NDArray[np.int64], likely: Floats32,
    advantages: Floats32, curious: Floats32, settings: tuple[float, float], gradient: Floats32,
    sums: Floats,
) -> None:  # fmt: skip
    """Fill the gradient of the loss by the logits, and sum up its parts over cells.

    Args:
        shifted: From ``_shift``, (N * D, 3).
        chances: Their exponentials, (N * D, 3); overwritten by the probabilities.
        moves: Options chosen, (N, D).
        likely: Logarithm of their probability then, (N,).
        advantages: (N,)
        curious: What the weight of the entropy is multiplied by, (N,).
        settings: Clip, and weight of the entropy.
        gradient: Written, (N * D, 3); of the mean over the cells.
        sums: Written: policy, entropy, divergence, clipped; (4,).
    """
    clip, weight = settings
    cells, columns = moves.shape
    share = 1.0 / cells
    sums[:] = 0.0
    for n in range(cells):
        now = 0.0
        for d in range(columns):
            row = n * columns + d
            total = chances[row, 0] + chances[row, 1] + chances[row, 2]
            log_total = np.log(total)
            entropy = 0.0
            for k in range(OPTIONS):
                chance = chances[row, k] / total
                chances[row, k] = chance
                entropy -= chance * (shifted[row, k] - log_total)
            for k in range(OPTIONS):
                log = shifted[row, k] - log_total
                gradient[row, k] = weight * curious[n] * share * chances[row, k] * (log + entropy)
            now += shifted[row, moves[n, d]] - log_total
            sums[1] += entropy
        difference = now - likely[n]
        ratio = np.exp(difference)
        held = min(max(ratio, 1.0 - clip), 1.0 + clip)
        gain, held_gain = ratio * advantages[n], held * advantages[n]
        sums[0] -= min(gain, held_gain)
        sums[2] += ratio - 1.0 - difference
        sums[3] += ratio != held
        if gain <= held_gain:
            slope = -gain * share
            for d in range(columns):
                row = n * columns + d
                for k in range(OPTIONS):
                    gradient[row, k] -= slope * chances[row, k]
                gradient[row, moves[n, d]] += slope
    for part in range(4):
        sums[part] *= share


def loss_gradient(
    logits: Tensor, mask: Tensor, moves: Tensor, likely: Tensor, advantages: Tensor,
    curious: Tensor, settings: tuple[float, float],
) -> tuple[Tensor, Floats]:  # fmt: skip
    """Return the gradient of a policy's loss by its logits, and the parts of the loss.

    Args:
        logits: Not masked, (N, A, D, 3).
        mask: What is possible, the same shape, bool.
        moves: (N, A, D) int64.
        likely: (N, A)
        advantages: (N, A)
        curious: What the weight of the entropy is multiplied by, (N, A).
        settings: Clip, and weight of the entropy.

    Returns:
        The gradient, as the logits, and policy, entropy, divergence and share clipped, (4,);
        see ``ppo.loss_terms``, which it equals.
    """
    flat = np.ascontiguousarray(logits.detach().numpy()).reshape(-1, OPTIONS)
    shifted, sums = np.empty_like(flat), np.empty(4)
    _shift(flat, mask.numpy().reshape(-1, OPTIONS), shifted)
    chances, gradient = np.exp(shifted), np.empty_like(flat)
    columns = moves.shape[-1]
    _differentiate(
        shifted, chances, moves.numpy().reshape(-1, columns), likely.numpy().reshape(-1),
        advantages.numpy().reshape(-1), curious.numpy().reshape(-1), settings, gradient, sums,
    )  # fmt: skip
    return torch.from_numpy(gradient).view_as(logits), sums
