"""Does the pieces of an analysis in as many threads as there are cores, and tells how far it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
OnStage = Callable[[str, int, int], None]
"""Is told the stage, and how many of how many pieces of it are done."""

MOST_THREADS = 8
"""Threads beyond which memory, not time, decides: each holds a panel and its like."""


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Threads:
    """Work in threads; what is done in them lets go of the interpreter for most of its time."""

    def __init__(self, on_stage: OnStage | None = None, count: int | None = None) -> None:
        """Prepare; threads live as long as a stage.

        Args:
            on_stage: Is told of progress, from the thread that waits.
            count: Threads; by default one per core.
        """
        self._on_stage = on_stage
        self._count = min(count or cores(), MOST_THREADS)

    def __call__(
        self, stage: str, function: Callable[[Item], Result], items: Sequence[Item]
    ) -> list[Result]:
        """Return the function's result for every item, in the order of the items.

        What goes wrong in a piece, and Ctrl-C, ends the stage: pieces not begun are left.

        Args:
            stage: What is done.
            function: Does one piece.
            items: The pieces.
        """
        self._tell(stage, 0, len(items))
        results: list[Result] = []
        if self._count < 2 or len(items) < 2:  # noqa: PLR2004  # nothing to share out
            for item in items:
                results.append(function(item))
                self._tell(stage, len(results), len(items))
            return results
        pool = ThreadPoolExecutor(self._count, thread_name_prefix="analysis")
        try:
            for result in pool.map(function, items):
                results.append(result)
                self._tell(stage, len(results), len(items))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return results

    def _tell(self, stage: str, done: int, total: int) -> None:
        if self._on_stage is not None:
            self._on_stage(stage, done, total)
