"""Slow and obvious twin of the counter-based random numbers, in plain Python integers.

The mixer is "lowbias32" of the hash-prospector project; everything is modulo 2^32.
"""

from __future__ import annotations

import math

MODULUS = 2**32
GOLDEN = 0x9E3779B9  # 2^32 over the golden ratio
SESSION_START, SESSION_LENGTH, SESSION_CLASS, LEG_TURN, LEG_LENGTH, MEASUREMENT = range(1, 7)


def lowbias32(word: int) -> int:
    """Return the finaliser's output for one word."""
    word ^= word >> 16
    word = word * 0x7FEB352D % MODULUS
    word ^= word >> 15
    word = word * 0x846CA68B % MODULUS
    return word ^ word >> 16


def keyed(seed: int, stream: int, which: int, count: int) -> int:
    """Return the word of a key, chained one part at a time."""
    word = lowbias32((seed + GOLDEN * stream) % MODULUS)
    word = lowbias32(word ^ which)
    return lowbias32((word + count * GOLDEN) % MODULUS)


def uniform(seed: int, stream: int, which: int, count: int) -> float:
    """Return the middle of the word's cell of (0, 1)."""
    return (keyed(seed, stream, which, count) + 0.5) / MODULUS


def exponential(seed: int, stream: int, which: int, count: int) -> float:
    """Return an exponential draw of mean 1 by inversion."""
    return -math.log(uniform(seed, stream, which, count))


def normal(word: int) -> float:
    """Return the standardised sum of the four bytes (Irwin-Hall)."""
    total = sum(word.to_bytes(4, "big"))
    return (total - 4 * 127.5) / math.sqrt(4 * (256**2 - 1) / 12)


def measurement_error(seed: int, user: int, step: int, cell: int) -> float:
    """Return the standard normal error of one user's sample of one cell in one step."""
    base = keyed(seed, MEASUREMENT, user, step)
    return normal(lowbias32((base + cell * GOLDEN) % MODULUS))
