"""Commands about the twin itself: is it right, and what would it say of recorded logs?"""

from __future__ import annotations

import typer

twin_app = typer.Typer(
    help="Check the twin against references, and apply it to recordings.", no_args_is_help=True
)
