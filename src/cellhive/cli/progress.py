"""Says which stage a long command is in, how far it is, and about how long it will take."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.status import Status

EVERY_S = 10.0
"""Seconds between two lines where the output is no terminal."""
_SURE = 0.05
"""Share of a stage that must be done before its end is guessed."""


class Stages:
    """A line on a terminal that changes as stages go on; elsewhere a line now and then."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        """Prepare.

        Args:
            console: Where to tell.
            clock: Seconds from any fixed moment [s].
        """
        self._console, self._clock = console, clock
        self._status: Status | None = None
        self._stage = ""
        self._begun = self._told = clock()

    def __enter__(self) -> Stages:
        """Show the line, on a terminal."""
        if self._console.is_terminal and not self._console.quiet:
            self._status = self._console.status("Beginning ...")
            self._status.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the line away, whatever happened."""
        if self._status is not None:
            self._status.stop()

    def __call__(self, stage: str, done: int = 0, total: int = 0) -> None:
        """Tell of a stage.

        Args:
            stage: What is done: "Looking for incidents".
            done: Pieces that are done.
            total: Pieces that there are; 0 where nobody knows.
        """
        now = self._clock()
        if stage != self._stage:
            self._stage, self._begun = stage, now
        text = said(stage, done, total, now - self._begun)
        if self._status is not None:
            self._status.update(escape(text))
        elif now - self._told >= EVERY_S:
            self._told = now
            self._console.print(text, markup=False)


def said(stage: str, done: int, total: int, elapsed_s: float) -> str:
    """Return what is told of a stage.

    Args:
        stage: What is done.
        done: Pieces that are done.
        total: Pieces that there are.
        elapsed_s: Time since it began [s].
    """
    if total < 2:  # noqa: PLR2004  # one piece is no progress
        return f"{stage} ..."
    text = f"{stage}: {done} of {total}"
    if done < total and done >= max(_SURE * total, 1) and elapsed_s >= 1.0:
        text += f", about {_lasting(elapsed_s * (total - done) / done)} left"
    return text


def _lasting(seconds: float) -> str:
    if seconds < 90:  # noqa: PLR2004  # a minute and a half
        return f"{max(round(seconds), 1)} s"
    return f"{round(seconds / 60)} min"
