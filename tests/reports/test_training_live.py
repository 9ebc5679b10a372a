"""What is seen of a training: its curve, how long it takes, and plain lines elsewhere."""

from __future__ import annotations

import io
import math

from rich.console import Console

from cellhive.flows.training.train import CheckpointFailed, IterationDone, Row
from cellhive.reports.training.live import curve_lines, line_of, training_view


def done(
    number: int, gain: float = 0.5, taken_back: str = "", of: int = 40, elapsed_s: float = 60.0
) -> IterationDone:
    """Return an event."""
    row = Row(number, 1000 * number, -1.0, gain, {"mobility": -0.4, "energy": -0.6},
              {"joint": {"entropy": 2.0, "kl": 0.01, "explained": 0.7}}, 12, 3, 0.001, taken_back,
              {})  # fmt: skip
    return IterationDone(row, of, elapsed_s, 120.0)


def test_curve_spans_its_height() -> None:
    """The lowest is one eighth high, the highest full; gaps stay empty; many are averaged."""
    assert curve_lines([0.0, 1.0, math.nan], 10, 2) == [" █ ", "▁█ "]
    assert curve_lines([3.0], 10, 1) == ["▁"]
    assert curve_lines([0.0, 0.0, 7.0, 7.0], 2, 1) == ["▁█"]
    assert curve_lines([math.nan], 5, 2) == [" ", " "]


def test_plain_lines_say_how_far_it_is() -> None:
    """A line per iteration, the first one too, and every trouble."""
    out = io.StringIO()
    with training_view("small", Console(file=out, width=200)) as tell:
        for number in range(1, 41):
            back = "too far" if number == 3 else ""
            tell(done(number, taken_back=back, elapsed_s=60.0 + 20.0 * number))
        tell(CheckpointFailed(40, "the disk is full"))
    lines = out.getvalue().splitlines()
    assert len(lines) == 41
    assert lines[1] == line_of(done(2, elapsed_s=100.0))
    assert "iteration 1 of 40: reward -1.0000, gain +0.5000, 1,000 decisions" in lines[0]
    assert "1 min gone, about 2 min left" in lines[0]
    assert "taken back: too far" in lines[2]
    assert "the one before is kept: the disk is full" in lines[-1]


def test_quick_iterations_share_a_plain_line_each_second() -> None:
    """The first, one a second, the last, and whatever was taken back."""
    out = io.StringIO()
    with training_view("small", Console(file=out, width=200)) as tell:
        for number in range(1, 41):
            back = "too far" if number == 7 else ""
            tell(done(number, taken_back=back, elapsed_s=number / 16))
    numbers = [int(line.split()[1]) for line in out.getvalue().splitlines()]
    assert numbers == [1, 7, 23, 39, 40]


def test_terminal_shows_curve_and_figures() -> None:
    """Title, progress, curve with its range, parts and health of the update."""
    out = io.StringIO()
    console = Console(file=out, width=100, force_terminal=True)
    with training_view("small", console, before=[0.1, 0.2]) as tell:
        tell(done(3, gain=0.4))
    shown = out.getvalue()
    assert "first iteration" not in shown
    for text in ("small", "3 of 40", "gain over changing nothing", "+0.400", "+0.100", "mobility",
                 "kl 0.01", "█"):  # fmt: skip
        assert text in shown
