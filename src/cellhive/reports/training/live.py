"""The terminal view of a training: how far it is, its curve, what the policy does.

It only listens: ``training_view`` gives an observer for the events of ``flows.training``.
Where there is no terminal it writes a plain line per iteration, or nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cellhive.core.ports import Observer
from cellhive.flows.training.train import (
    CheckpointFailed,
    CheckpointSaved,
    IterationDone,
    Row,
)
from cellhive.reports.numbers import format_duration

_BLOCKS = " ▁▂▃▄▅▆▇█"
_WIDTH, _HEIGHT = 60, 8
_LOSSES = ("entropy", "kl", "explained")
"""Of the numbers of an update, those that say most about its health."""
_PAUSE_S = 1.0
"""Least time between two plain lines [s]: a training of thousands of quick iterations is no log
of thousands of lines."""


def curve_lines(values: Sequence[float], width: int, height: int) -> list[str]:
    """Return a curve in block characters, the top line first.

    More values than columns are averaged over neighbours. The lowest value is a thin line and
    the highest fills its column; values that are not known leave a gap.
    """
    columns = _columns(values, width)
    known = [value for value in columns if math.isfinite(value)]
    if not known:
        return [" " * len(columns)] * height
    low, high = min(known), max(known)
    steps = (len(_BLOCKS) - 1) * height - 1
    heights = [
        1 + round((value - low) / (high - low or 1.0) * steps) if math.isfinite(value) else 0
        for value in columns
    ]
    top = len(_BLOCKS) - 1
    return [
        "".join(_BLOCKS[min(max(each - row * top, 0), top)] for each in heights)
        for row in reversed(range(height))
    ]


def _columns(values: Sequence[float], width: int) -> list[float]:
    if len(values) <= width:
        return list(values)
    columns = []
    for column in range(width):
        part = values[column * len(values) // width : (column + 1) * len(values) // width]
        known = [value for value in part if math.isfinite(value)]
        columns.append(sum(known) / len(known) if known else math.nan)
    return columns


class TrainingView:
    """What is known of a training so far."""

    def __init__(self, title: str, before: Sequence[float] = ()) -> None:
        """Begin with the scores of earlier iterations, where it is gone on with."""
        self.title = title
        self.scores: list[float] = list(before)
        self.last: IterationDone | None = None
        self.checkpoint = ""

    def take(self, event: object) -> None:
        """Take in an event."""
        match event:
            case IterationDone():
                self.last = event
                self.scores.append(event.row.score)
            case CheckpointSaved():
                self.checkpoint = f"checkpoint of iteration {event.number}"
            case CheckpointFailed():
                self.checkpoint = f"no checkpoint of iteration {event.number}: {event.why}"
            case _:
                pass

    def draw(self, width: int) -> RenderableType:
        """Return the view."""
        if self.last is None:
            return Text(f"{self.title}: {'going on' if self.scores else 'first iteration'} ...")
        event, row = self.last, self.last.row
        head = Table.grid(expand=True, padding=(0, 1))
        head.add_row(
            Text(self.title, style="bold"),
            ProgressBar(total=event.of, completed=row.number, width=30),
            Text(f"{row.number} of {event.of}"), Text(_left(event)),
        )  # fmt: skip
        lines = curve_lines(self.scores, min(_WIDTH, max(width - 12, 10)), _HEIGHT)
        known = [score for score in self.scores if math.isfinite(score)] or [math.nan]
        labels = [f"{max(known):+.3f}", *[""] * (_HEIGHT - 2), f"{min(known):+.3f}"]
        chart = Table.grid(padding=(0, 1))
        for label, line in zip(labels, lines, strict=True):
            chart.add_row(Text(label, justify="right", style="dim"), Text(line, style="cyan"))
        name = "gain over changing nothing" if math.isfinite(row.gain) else "mean reward"
        trouble = Text(f"taken back: {row.taken_back}" if row.taken_back else "", style="yellow")
        below = (Text(_figures(row)), trouble, Text(self.checkpoint, style="dim"))
        return Group(head, Text(f"{name}, by iteration", style="dim"), chart, *below)


def _left(event: IterationDone) -> str:
    return f"{format_duration(event.elapsed_s)} gone, about {format_duration(event.left_s)} left"


def _figures(row: Row) -> str:
    parts = ", ".join(f"{name} {value:+.3f}" for name, value in row.parts.items())
    losses = "; ".join(
        f"{role}: " + ", ".join(f"{name} {values.get(name, math.nan):.4g}" for name in _LOSSES)
        for role, values in row.losses.items()
    )
    return (
        f"reward {row.reward:+.4f} ({parts})\n{row.decisions:,} decisions of cells; {row.made:,} "
        f"changes, {row.refused:,} refused\n{losses}"
    )


def line_of(event: IterationDone) -> str:
    """Return an iteration as one plain line."""
    row = event.row
    gain = f", gain {row.gain:+.4f}" if math.isfinite(row.gain) else ""
    back = f", taken back: {row.taken_back}" if row.taken_back else ""
    return (
        f"iteration {row.number} of {event.of}: reward {row.reward:+.4f}{gain}, "
        f"{row.decisions:,} decisions, {_left(event)}{back}"
    )


def _plain(console: Console) -> Observer:
    told_s = -math.inf

    def tell(event: object) -> None:
        nonlocal told_s
        match event:
            case IterationDone():
                last = event.row.number >= event.of
                if event.elapsed_s - told_s >= _PAUSE_S or last or event.row.taken_back:
                    console.print(line_of(event), markup=False)
                    told_s = event.elapsed_s
            case CheckpointFailed():
                console.print(
                    f"no checkpoint of iteration {event.number}, the one before is kept: "
                    f"{event.why}", markup=False,
                )  # fmt: skip
            case _:
                pass

    return tell


@contextmanager
def training_view(title: str, console: Console, before: Sequence[float] = ()) -> Iterator[Observer]:
    """Show a training while it lasts; gives the observer that it must tell.

    Args:
        title: Name of the training.
        console: Where to draw.
        before: Scores of earlier iterations.
    """
    if console.quiet:
        yield lambda _: None
        return
    if not console.is_terminal or "utf" not in console.encoding.lower():
        yield _plain(console)
        return
    view = TrainingView(title, before)
    with Live(
        get_renderable=lambda: view.draw(console.size.width - 1), console=console,
        refresh_per_second=4, transient=False,
    ):  # fmt: skip
        yield view.take
