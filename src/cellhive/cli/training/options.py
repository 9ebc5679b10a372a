"""Options that several commands about policies take."""

from __future__ import annotations

from typing import Annotated

import typer

MODELS = "models"
"""Folder of the user's models; see ``app.learning.models``."""

ModelsFolder = Annotated[
    str,
    typer.Option(
        "--models",
        help="Store of trained policies: a folder, or mlflow:URI such as "
        "mlflow:http://HOST:5000 or mlflow:sqlite:///PATH.",
    ),
]
