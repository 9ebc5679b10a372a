"""Counter-based random numbers: the same (seed, stream, object, count) gives the same draw.

Because a draw depends on nothing but its key, two branches of a network see the same
users, sessions and measurement errors whatever was decided in either of them (common
random numbers), and a clone needs no generator state.

The mixer is the 32-bit finaliser "lowbias32" (C. Wellons, hash-prospector: bias 0.17),
applied to keys that are chained one word at a time.
"""

from __future__ import annotations

import math

import numpy as np

from cellhive.core.compiled import Scalar, Word, compiled

U32 = np.uint32
_SHIFT_16, _SHIFT_15, _SHIFT_8, _SHIFT_24 = U32(16), U32(15), U32(8), U32(24)
_MULTIPLIER_1, _MULTIPLIER_2 = U32(0x7FEB352D), U32(0x846CA68B)
_GOLDEN = U32(0x9E3779B9)
_BYTE = U32(255)

SESSION_START, SESSION_LENGTH, SESSION_CLASS, LEG_TURN, LEG_LENGTH, MEASUREMENT = (
    U32(1), U32(2), U32(3), U32(4), U32(5), U32(6),
)  # fmt: skip
"""The streams: what a draw is for."""


@compiled
def mixed(word: Word) -> Word:
    """Return a 32-bit word with every input bit spread over every output bit."""
    word = U32(word)
    word = U32(word ^ U32(word >> _SHIFT_16))
    word = U32(word * _MULTIPLIER_1)
    word = U32(word ^ U32(word >> _SHIFT_15))
    word = U32(word * _MULTIPLIER_2)
    return U32(word ^ U32(word >> _SHIFT_16))


@compiled
def keyed(seed: Word, stream: Word, which: Word, count: Word) -> Word:
    """Return the 32-bit word of a key: network seed, stream, object and running count."""
    word = mixed(U32(U32(seed) + _GOLDEN * U32(stream)))
    word = mixed(U32(word ^ U32(which)))
    return mixed(U32(word + U32(count) * _GOLDEN))


@compiled
def uniform(seed: Word, stream: Word, which: Word, count: Word) -> Scalar:
    """Return a draw from the open interval (0, 1)."""
    return (float(keyed(seed, stream, which, count)) + 0.5) / 4294967296.0


@compiled
def exponential(seed: Word, stream: Word, which: Word, count: Word) -> Scalar:
    """Return a draw from the exponential distribution with mean 1."""
    return -math.log(uniform(seed, stream, which, count))


@compiled
def normal_from_word(word: Word) -> Scalar:
    """Return an approximately standard normal float32 from 32 random bits.

    The sum of the four bytes has mean 510 and variance 4 (256^2 - 1) / 12 = 21845
    (Irwin-Hall of order 4: excess kurtosis -0.3, bounded at 3.45 sigma). Chosen because
    it vectorises; the tails beyond 3.45 sigma are missing.
    """
    total = U32(
        U32(U32(word & _BYTE) + U32(U32(word >> _SHIFT_8) & _BYTE))
        + U32(U32(U32(word >> _SHIFT_16) & _BYTE) + U32(word >> _SHIFT_24))
    )
    return (np.float32(np.int32(total)) - np.float32(510.0)) * np.float32(1.0 / 147.8005413)
