"""Where commands print, and how they are asked to stop."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from cellhive.reports.numbers import visible

PLAIN_WIDTH = 240
"""Columns of tables where the output is no terminal."""

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130


class PlainConsole(Console):
    """Prints names as they are, and never obeys what is written in them."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield what to print, without characters that steer the terminal."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(visible(segment.text), segment.style)


def console(*, stderr: bool = False, quiet: bool = False) -> Console:
    """Return where to print; lines are not broken where the output is no terminal."""
    found = PlainConsole(stderr=stderr, quiet=quiet)
    if found.is_terminal:
        return found
    width = None if "COLUMNS" in os.environ else PLAIN_WIDTH
    return PlainConsole(stderr=stderr, quiet=quiet, width=width, soft_wrap=True, highlight=False)


@dataclass
class Stop:
    """Whether somebody wants a command to end: Ctrl-C, or a signal to terminate."""

    console: Console
    message: str = "Stopping after this period; the report follows ..."
    """What the first signal is answered with."""
    at_once: bool = False
    """Whether a second signal ends what is going on at once."""
    signum: int = 0
    asking: bool = False
    """Whether a person is at a prompt, which a signal must end at once."""

    def __call__(self) -> bool:
        """Return whether to end after what is at hand."""
        return self.signum != 0

    def take(self, signum: int, _: FrameType | None) -> None:
        """Take a signal: the first one counts, and what follows it is being done already."""
        if self.signum:
            if self.at_once:
                raise KeyboardInterrupt
            return
        self.signum = signum
        if self.asking:
            raise KeyboardInterrupt
        # A thread of its own: what the signal interrupts may be in the middle of printing.
        threading.Thread(target=self.console.print, args=(self.message,), daemon=True).start()


@contextmanager
def stoppable(stop: Stop) -> Iterator[Stop]:
    """Turn Ctrl-C and SIGTERM into a clean end for as long as this lasts."""
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {each: signal.signal(each, stop.take) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
