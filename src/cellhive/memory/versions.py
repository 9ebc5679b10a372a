"""Who wrote what when: a hybrid logical clock, and version vectors.

Source: Kulkarni et al., "Logical Physical Clocks" (2014), with one 64-bit number in place
of the pair (l, c): 48 bits of milliseconds, 16 bits that count within one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

_COUNTER_BITS = 16


@dataclass(slots=True)
class HybridClock:
    """Gives ever-growing times that stay near the wall clock and after all that was seen.

    Not safe for use by several threads at once.
    """

    now_ms: Callable[[], int]
    """Wall clock [ms since the epoch]; it may jump."""
    last: int = 0
    """Highest time given or seen."""

    def tick(self) -> int:
        """Return a time later than every one given or seen before."""
        self.last = max(self.last + 1, self.now_ms() << _COUNTER_BITS)
        return self.last

    def observe(self, time_hlc: int) -> None:
        """Take in a time somebody else gave."""
        self.last = max(self.last, time_hlc)


def wall_ms(time_hlc: int) -> int:
    """Return the milliseconds since the epoch in a hybrid time."""
    return time_hlc >> _COUNTER_BITS
