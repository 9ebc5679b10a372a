"""A long command says where it is, without getting in the way."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from cellhive.cli.progress import EVERY_S, Stages, said


@pytest.mark.parametrize(
    ("done", "total", "elapsed_s", "text"),
    [
        (0, 0, 5.0, "Looking ..."),
        (0, 50, 5.0, "Looking: 0 of 50"),
        (1, 50, 5.0, "Looking: 1 of 50"),
        (10, 50, 20.0, "Looking: 10 of 50, about 80 s left"),
        (10, 50, 60.0, "Looking: 10 of 50, about 4 min left"),
        (50, 50, 60.0, "Looking: 50 of 50"),
    ],
)
def test_the_end_is_guessed_once_there_is_something_to_guess_by(
    done: int, total: int, elapsed_s: float, text: str
) -> None:
    """Elapsed time over pieces done, times the pieces left; nothing from one piece of many."""
    assert said("Looking", done, total, elapsed_s) == text


def told(*, quiet: bool = False, terminal: bool = False) -> str:
    """Return what is written in 25 seconds, a call a second."""
    out = io.StringIO()
    now = iter(range(1000))
    console = Console(file=out, quiet=quiet, force_terminal=terminal, width=100)
    with Stages(console, lambda: float(next(now))) as stages:
        for done in range(25):
            stages("Looking for [incidents]", done, 50)
    return out.getvalue()


def test_a_log_gets_a_line_now_and_then_and_a_terminal_one_that_changes() -> None:
    """Brackets in names are no markup."""
    assert told().count("Looking for [incidents]: ") == 25 // EVERY_S
    assert "Looking for [incidents]: 24 of 50" in told(terminal=True)


def test_nothing_is_said_where_quiet_was_asked_for() -> None:
    """What reads --json must not have to cope with it."""
    assert told(quiet=True) == ""
    assert told(quiet=True, terminal=True) == ""
