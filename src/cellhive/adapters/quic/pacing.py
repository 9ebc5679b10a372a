"""How fast, how often, how long: bandwidth, back-off, and counts of what was measured."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

LATENCY_BOUNDS_S = (
    0.0001, 0.0002, 0.0003, 0.0005, 0.00075, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0,
)  # fmt: skip
"""Upper bounds of the buckets of latencies [s]; one more holds what is above."""


@dataclass(slots=True)
class TokenBucket:
    """A limit on bytes per second that lets a burst through and then holds the average."""

    rate_bytes_s: float
    """Average [bytes/s]; infinity lets everything through."""
    burst_bytes: float
    level_bytes: float = 0.0
    filled_s: float = 0.0

    def wait_s(self, size_bytes: int, now_s: float) -> float:
        """Take bytes if the bucket holds any and return 0, or return how long to wait [s].

        What is taken may be more than there is: the next taker waits for it.
        """
        if self.rate_bytes_s == float("inf"):
            return 0.0
        gained = (now_s - self.filled_s) * self.rate_bytes_s
        self.level_bytes = min(self.burst_bytes, self.level_bytes + gained)
        self.filled_s = now_s
        if self.level_bytes <= 0:
            return (1 - self.level_bytes) / self.rate_bytes_s
        self.level_bytes -= size_bytes
        return 0.0


def back_off_s(
    rng: np.random.Generator, *, first_s: float = 0.05, most_s: float = 10.0
) -> Iterator[float]:
    """Yield waits that double up to a bound, each shortened by chance to as little as half.

    Chance keeps many nodes from knocking at a restarted one all at once.
    """
    wait_s = first_s
    while True:
        yield wait_s * float(rng.uniform(0.5, 1.0))
        wait_s = min(most_s, 2 * wait_s)


@dataclass(slots=True)
class Histogram:
    """Counts of values by bucket, with their sum: what a metrics page wants."""

    bounds: tuple[float, ...] = LATENCY_BOUNDS_S
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        """Start at zero in every bucket."""
        self.counts = self.counts or [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def snapshot(self) -> dict[str, object]:
        """Return bounds, counts per bucket, how many there were and their sum."""
        return {
            "bounds": list(self.bounds),
            "counts": list(self.counts),
            "count": sum(self.counts),
            "sum": self.total,
        }
