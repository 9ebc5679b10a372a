"""The command line: what people type, and what they are told when it cannot be."""

from cellhive.cli.root import app, main

__all__ = ["app", "main"]
