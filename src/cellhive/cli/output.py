"""Where commands print."""

from __future__ import annotations

import os

from rich.console import Console

PLAIN_WIDTH = 240
"""Columns of tables where the output is no terminal."""


def console(*, stderr: bool = False, quiet: bool = False) -> Console:
    """Return where to print; lines are not broken where the output is no terminal."""
    found = Console(stderr=stderr, quiet=quiet)
    if found.is_terminal:
        return found
    width = None if "COLUMNS" in os.environ else PLAIN_WIDTH
    return Console(stderr=stderr, quiet=quiet, width=width, soft_wrap=True, highlight=False)
