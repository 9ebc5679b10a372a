"""Options that several commands about policies take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

MODELS = Path("models")
"""Folder of the user's models; see ``app.models``."""

ModelsFolder = Annotated[
    Path, typer.Option("--models", help="Folder of the store of trained policies.")
]
