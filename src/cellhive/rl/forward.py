"""The forward pass of an actor as one compiled loop: no torch, one thread, no array made.

Cells go through the same instructions one after the other, so a cell's logits are the same
bits whether it stands alone or among a thousand. Axis letters: ``C`` cells, ``F`` features,
``K`` slots, ``H`` hidden, ``M`` message, ``L`` logits of a cell (columns times options).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cellhive.core.compiled import Scalar, compiled
from cellhive.core.types import Floats32, Ints
from cellhive.ran.link import exp2_f32
from cellhive.rl.actions import KEEP, OPTIONS
from cellhive.rl.observations import SLOT_FEATURES
from cellhive.rl.policy import NEIGHBOURS, NETWORK, PolicyShape

F32 = np.float32
Chars = npt.NDArray[np.int8]
Longs = npt.NDArray[np.int64]
IMPOSSIBLE = F32(-1e9)
"""Logit of what is masked out, as in ``learning.networks``."""

_SLOT = len(SLOT_FEATURES)
_TWO_LOG2_E = F32(2.0 * np.log2(np.e))
_LOG2_E = F32(np.log2(np.e))
_TANH_ENDS = F32(10.0)
"""Beyond it tanh is 1 in float32."""
_LARGEST = F32(1e30)
_UNROLL = 4
_DOT_PRODUCTS = ("towards", "cell")
_KEEP = KEEP
_OPTIONS = OPTIONS


class Sizes(NamedTuple):
    """What the loops run over."""

    features: int
    own: int
    neighbours: int
    hidden: int
    message: int
    cell_logits: int
    """Logits from ``cell``."""
    slots: int
    """Columns that are about neighbours, from ``towards``: K or 0."""
    flat: bool
    """Whether all features of a cell go in at once, and no cell hears another."""
    whole: bool
    """Whether the network decides as one: the mean over its cells goes on."""


def sizes_of(shape: PolicyShape) -> Sizes:
    """Return the sizes of a shape."""
    flat = shape.encoder != NEIGHBOURS
    slots = 0 if flat else shape.slot_columns
    return Sizes(
        shape.features, shape.features if flat else shape.own_features, shape.neighbours,
        shape.hidden, shape.message, (shape.columns - slots) * OPTIONS, slots, flat,
        shape.encoder == NETWORK,
    )  # fmt: skip


def packed(shape: PolicyShape, arrays: dict[str, Floats32]) -> Floats32:
    """Return the tensors of an actor as one row, in the order in which the loop reads them.

    Wide layers are turned to (in, out) and run along the outputs; the few outputs of the
    heads are dot products, (out, in). Names and shapes have been checked.
    """
    parts = []
    for name in ("own", "next", "slot", "attend", "trunk", "towards", "cell"):
        for kind in ("weight", "bias"):
            if f"{name}.{kind}" in arrays:
                tensor = arrays[f"{name}.{kind}"]
                parts.append((tensor if name in _DOT_PRODUCTS else tensor.T).reshape(-1))
    row = np.concatenate(parts).astype(np.float32)
    row.flags.writeable = False
    return row


def scratch_floats(sizes: Sizes, cells: int) -> int:
    """Return how many numbers ``forward`` writes down on its way through a network."""
    block = 2 * sizes.hidden + sizes.message + sizes.neighbours * (sizes.message + 1) + _OPTIONS
    return cells * (sizes.hidden + sizes.message) + block


@compiled
def _dense(x: Floats32, weights: Floats32, at: int, y: Floats32, outputs: int) -> None:
    """Add x W to y; W is (len(x), outputs) from ``at``."""
    inputs = x.size
    whole = inputs - inputs % _UNROLL
    for j in range(0, whole, _UNROLL):
        a, b, c, d = x[j], x[j + 1], x[j + 2], x[j + 3]
        row = weights[at + j * outputs : at + (j + _UNROLL) * outputs]
        for o in range(outputs):
            y[o] += (
                a * row[o] + b * row[outputs + o] + c * row[2 * outputs + o]
                + d * row[3 * outputs + o]
            )  # fmt: skip
    for j in range(whole, inputs):
        a = x[j]
        row = weights[at + j * outputs : at + (j + 1) * outputs]
        for o in range(outputs):
            y[o] += a * row[o]


@compiled
def _dots(x: Floats32, weights: Floats32, at: int, inputs: int, y: Floats32) -> None:
    """Add W x to y; row o of W begins at ``at + o * inputs`` and may go on behind x."""
    for o in range(y.size):
        total = F32(0.0)
        row = weights[at + o * inputs : at + o * inputs + x.size]
        for j in range(x.size):
            total += x[j] * row[j]
        y[o] += total


@compiled
def _tanh(y: Floats32) -> None:
    """Replace numbers by their tanh; absolute error below 4e-7."""
    for o in range(y.size):
        x = min(max(y[o], -_TANH_ENDS), _TANH_ENDS)
        y[o] = F32(1.0) - F32(2.0) / (F32(1.0) + exp2_f32(x * _TWO_LOG2_E))


@compiled
def _copy(source: Floats32, at: int, y: Floats32) -> None:
    for o in range(y.size):
        y[o] = source[at + o]


@compiled
def _finite(x: Floats32) -> bool:
    fine = True
    for j in range(x.size):
        fine &= abs(x[j]) <= _LARGEST
    return fine


@compiled
def _encode(sizes: Sizes, seen: Floats32, weights: Floats32, hidden: Floats32, known: Floats32
            ) -> int:  # fmt: skip
    """Fill h_i, (C, H), and what a neighbour says of itself, next h_i, (C, M).

    Returns:
        The first cell whose features are not finite, -1 for none.
    """
    own, size, message = sizes.own, sizes.hidden, sizes.message
    for c in range(seen.shape[0]):
        if not _finite(seen[c]):
            return c
        h = hidden[c]
        _copy(weights, own * size, h)
        _dense(seen[c, :own], weights, 0, h, size)
        _tanh(h)
        if not sizes.flat:
            known[c, :] = F32(0.0)
            _dense(h, weights, own * size + size, known[c], message)
    return -1


@compiled
def _hear(sizes: Sizes, seen: Floats32, near: Ints, weights: Floats32, at: int, known: Floats32,
          message: Floats32, score: Floats32, heard: Floats32) -> None:  # fmt: skip
    """Fill u_ik, (K, M), and their attended sum, (M,), of one cell.

    Args:
        sizes: What to run over.
        seen: Features of the cell, (F,).
        near: Cells in its slots, (K,), -1 for none.
        weights: All of them.
        at: Where those of ``slot`` begin, ``attend`` following.
        known: Of ``_encode``.
        message: Filled; 0 in slots without a neighbour.
        score: Room for K numbers.
        heard: Filled.
    """
    m = sizes.message
    bias = at + _SLOT * m
    top = IMPOSSIBLE
    for k in range(sizes.neighbours):
        if near[k] < 0:
            message[k, :] = F32(0.0)
            continue
        u = message[k]
        other = known[near[k]]
        for o in range(m):
            u[o] = weights[bias + o] + other[o]
        first = sizes.own + k * _SLOT
        _dense(seen[first : first + _SLOT], weights, at, u, m)
        _tanh(u)
        total = F32(0.0)
        for o in range(m):
            total += u[o] * weights[bias + m + o]
        score[k] = total
        top = max(top, total)
    weight = F32(0.0)
    heard[:] = F32(0.0)
    for k in range(sizes.neighbours):
        if near[k] >= 0:
            share = exp2_f32((score[k] - top) * _LOG2_E)
            weight += share
            for o in range(m):
                heard[o] += share * message[k, o]
    if weight > F32(0.0):
        for o in range(m):
            heard[o] /= weight


@compiled
def _answer(sizes: Sizes, z: Floats32, message: Floats32, weights: Floats32, at: int,
            shared: Floats32, logits: Floats32) -> None:  # fmt: skip
    """Fill the logits of one cell, (L,): columns towards neighbours first, then its own."""
    size, m = sizes.hidden, sizes.message
    if sizes.slots:
        _copy(weights, at + (size + m) * _OPTIONS, shared)
        _dots(z, weights, at, size + m, shared)
        for k in range(sizes.slots):
            y = logits[k * _OPTIONS : (k + 1) * _OPTIONS]
            for o in range(_OPTIONS):
                y[o] = shared[o]
            _dots(message[k], weights, at + size, size + m, y)
        at += (size + m + 1) * _OPTIONS
    if sizes.cell_logits:
        y = logits[sizes.slots * _OPTIONS :]
        _copy(weights, at + size * sizes.cell_logits, y)
        _dots(z, weights, at, size, y)


@compiled
def _mean(hidden: Floats32, y: Floats32) -> None:
    """Fill the mean over the cells, (H,)."""
    y[:] = F32(0.0)
    for c in range(hidden.shape[0]):
        for o in range(y.size):
            y[o] += hidden[c, o]
    for o in range(y.size):
        y[o] /= F32(hidden.shape[0])


@compiled
def forward(sizes: Sizes, seen: Floats32, near: Ints, weights: Floats32, scratch: Floats32,
            logits: Floats32) -> int:  # fmt: skip
    """Fill the logits of all who decide in every network, (E, A, L): the cells, or it as one.

    Args:
        sizes: Of the shape.
        seen: Observations, (E, C, F).
        near: Cells next to each cell, (C, K), -1 for none.
        weights: From ``packed``.
        scratch: Room for ``scratch_floats``.
        logits: Filled; nothing is masked.

    Returns:
        The first cell, counted through the networks, with features that are not finite;
        -1 for none. What was filled before it means nothing.
    """
    cells, size, m = seen.shape[1], sizes.hidden, sizes.message
    hidden = scratch[: cells * size].reshape((cells, size))
    end = cells * (size + m)
    known = scratch[cells * size : end].reshape((cells, m))
    joined = scratch[end : end + size + m]
    end += size + m
    z = scratch[end : end + size]
    end += size
    message = scratch[end : end + sizes.neighbours * m].reshape((sizes.neighbours, m))
    end += sizes.neighbours * m
    score = scratch[end : end + sizes.neighbours]
    shared = scratch[end + sizes.neighbours : end + sizes.neighbours + _OPTIONS]
    slot = (sizes.own + 1) * size + size * m
    trunk = (sizes.own + 1) * size
    if not sizes.flat:
        trunk = slot + (_SLOT + 2) * m
    inputs = size if sizes.flat else size + m
    for e in range(seen.shape[0]):
        bad = _encode(sizes, seen[e], weights, hidden, known)
        if bad >= 0:
            return int(e * cells + bad)
        if sizes.whole:
            _mean(hidden, joined[:size])
        for c in range(logits.shape[1]):
            if not sizes.whole:
                joined[:size] = hidden[c]
            if not sizes.flat:
                _hear(sizes, seen[e, c], near[c], weights, slot, known, message, score,
                      joined[size:])  # fmt: skip
            _copy(weights, trunk + inputs * size, z)
            _dense(joined[:inputs], weights, trunk, z, size)
            _tanh(z)
            _answer(sizes, z, message, weights, trunk + (inputs + 1) * size, shared, logits[e, c])
    return -1


@compiled
def pick(logits: Floats32, mask: Chars, actions: Longs) -> None:
    """Fill the most likely option that may be chosen of every column, (N,).

    Args:
        logits: (N, 3).
        mask: 1 where an option may be chosen, (N, 3).
        actions: Filled. "Keep" where it is as likely as another, or where nothing may be chosen.
    """
    for n in range(actions.size):
        best = _KEEP
        top = IMPOSSIBLE
        if mask[n, _KEEP] != 0:
            top = logits[n, _KEEP]
        for option in range(_OPTIONS):
            if mask[n, option] != 0 and logits[n, option] > top:
                best = option
                top = logits[n, option]
        actions[n] = best


@compiled
def spread(logits: Floats32, mask: Chars, chances: Floats32) -> None:
    """Fill the probability of every option, (N, 3); 0 where masked, unless all are."""
    for n in range(logits.shape[0]):
        top = IMPOSSIBLE
        for option in range(_OPTIONS):
            if mask[n, option] != 0:
                top = max(top, logits[n, option])
        total = F32(0.0)
        for option in range(_OPTIONS):
            chance = F32(0.0)
            if mask[n, option] != 0:
                chance = exp2_f32((logits[n, option] - top) * _LOG2_E)
            chances[n, option] = chance
            total += chance
        for option in range(_OPTIONS):
            if total > F32(0.0):
                chances[n, option] /= total
            else:
                chances[n, option] = F32(1.0) if option == _KEEP else F32(0.0)


@compiled
def draw(chances: Floats32, uniform: Floats32, actions: Longs) -> None:
    """Fill an option of every column, (N,), from its probabilities and a number in [0, 1)."""
    for n in range(actions.size):
        left: Scalar = uniform[n]
        chosen = _KEEP
        for option in range(_OPTIONS):
            if chances[n, option] > F32(0.0):
                chosen = option
                left -= chances[n, option]
                if left < F32(0.0):
                    break
        actions[n] = chosen
