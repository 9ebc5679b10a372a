"""The command line as a person uses it, called in this process; a PostgreSQL server."""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from unittest import mock

import pytest
from hypothesis import settings
from postgres_server import TemporaryServer, installed, packaged

with warnings.catch_warnings():
    # Typer imports names that Click deprecates; neither is ours.
    warnings.simplefilter("ignore", DeprecationWarning)
    from cellhive import cli

# How long an example takes says something of the machine, not of the code.
settings.register_profile("cellhive", deadline=None)
settings.load_profile("cellhive")


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


Command = Callable[..., Ended]


@pytest.fixture(scope="session")
def cellhive() -> Command:
    """Return what runs a command without a terminal: ``cellhive("run", "--seed", 3)``."""

    def call(*arguments: object) -> Ended:
        out, err, code = io.StringIO(), io.StringIO(), 0
        plain = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "FORCE_COLOR")}
        argv = ["cellhive", *(str(argument) for argument in arguments)]
        with (
            mock.patch.object(sys, "argv", argv),
            mock.patch.object(sys, "stdin", io.StringIO()),
            mock.patch.dict(os.environ, plain, clear=True),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            try:
                cli.main()
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(bool(end.code))
        return Ended(code, out.getvalue(), err.getvalue())

    return call


# What is tested is that processes die, not that power fails: the system's cache outlives them.
_SERVER = {"fsync": "off", "max_connections": "200"}


@pytest.fixture(scope="session")
def postgres() -> Iterator[TemporaryServer]:
    """Run a PostgreSQL server of this machine for as long as tests need one."""
    binaries = installed()
    if binaries is None:
        pytest.skip("needs PostgreSQL: make postgres-server as root, or install it")
    with TemporaryServer(binaries, options=_SERVER) as server:
        yield server


@pytest.fixture(scope="session")
def pgvector() -> Iterator[TemporaryServer]:
    """Run a PostgreSQL server that has the extension pgvector."""
    binaries = packaged()
    if binaries is None:
        pytest.skip("needs pgvector: pip install pgserver")
    with TemporaryServer(binaries, options=_SERVER) as server:
        yield server
