"""Options that the commands of the memory share, and what they turn into."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click
import typer

from cellhive.cli.output import console
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.records import Metric, RecordKind

if TYPE_CHECKING:
    from cellhive.memory.ranking import Ranking
    from cellhive.memory.store import Memory

MEMORY = "memory"
"""Folder of a memory, beside the folder of runs."""

MemoryPlace = Annotated[
    str,
    typer.Option(
        "--memory", envvar="CELLHIVE_MEMORY",
        help="Folder of the memory, or postgresql://user@host/database.",
    ),
]  # fmt: skip
KeyPlace = Annotated[
    str,
    typer.Option(
        "--key", envvar="CELLHIVE_MEMORY_KEY",
        help="Encrypt and decrypt with this key: a file with 64 hex digits, or env:NAME.",
    ),
]  # fmt: skip
NamespaceName = Annotated[
    str,
    typer.Option(
        "--namespace", "-n", help="Where to look; default: the only one, where there is one."
    ),
]
Kind = Annotated[RecordKind | None, typer.Option("--kind", help="Only records of this kind.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


class MetricName(StrEnum):
    """How near two vectors are, as typed."""

    COSINE = "cosine"
    INNER_PRODUCT = "inner-product"
    L2 = "l2"

    @property
    def metric(self) -> Metric:
        """The metric."""
        return Metric(self.value.replace("-", " "))


@contextmanager
def opened(where: str, key: str, *, existing: bool = False) -> Iterator[Memory]:
    """Open the memory that a command was pointed at."""
    from cellhive.app.memory.opening import key_of, open_memory  # noqa: PLC0415  # --help must not wait

    with open_memory(where, existing=existing, key=key_of(key)) as memory:
        yield memory


def space_of(memory: Memory, name: str) -> str:
    """Return the namespace a command is about: the one named, or the only one.

    Raises:
        NotFound: There is none of that name; or none or several, and none was named.
    """
    from cellhive.app.memory.opening import visible  # noqa: PLC0415

    known = [each.name for each in visible(memory.log)]
    if name in known:
        return name
    if not name and len(known) == 1:
        return known[0]
    listed = ", ".join(known[:20]) or "none"
    expected = "--namespace to name one of" if not name else "a namespace out of"
    message = f"expected {expected} these: {listed}; found {name or 'nothing'!r}"
    raise NotFound(message)


def parsed_where(text: str) -> dict[str, Any] | None:
    """Return a filter written as JSON.

    Raises:
        BadInput: It is no JSON object.
    """
    if not text:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(
            place="--where", expected='a JSON object such as \'{"region": "north"}\'',
            found=f"{text[:60]!r} ({error})",
        ) from error  # fmt: skip
    if not isinstance(value, dict):
        raise BadInput(
            place="--where", expected='a JSON object such as \'{"region": "north"}\'',
            found=type(value).__name__,
        )  # fmt: skip
    return value


def ranking_of(diversity: float, half_life_h: float | None, outcome: str) -> Ranking:
    """Return how results are to be ordered.

    Args:
        diversity: 0 to 1.
        half_life_h: Age at which a record counts half [h].
        outcome: Names of the facts with the mean outcome and the number of trials.

    Raises:
        BadInput: It cannot be ordered like that.
    """
    from cellhive.app.memory.opening import now_ms  # noqa: PLC0415
    from cellhive.memory.ranking import Outcomes, Ranking  # noqa: PLC0415

    names = [part.strip() for part in outcome.split(",")]
    if outcome and (len(names) != 2 or not all(names)):  # noqa: PLR2004 - a mean and a weight
        raise BadInput(
            place="--outcome", expected="two names of facts, such as success_rate,uses",
            found=repr(outcome),
        )  # fmt: skip
    return Ranking(
        half_life_s=None if half_life_h is None else half_life_h * 3600,
        now_s=None if half_life_h is None else now_ms() / 1000,
        outcomes=Outcomes(mean=names[0], weight=names[1]) if outcome else None,
        diversity=diversity,
    )


def read_text(source: str, place: str) -> str:
    """Return an argument itself, the content of ``@FILE``, or of standard input for "-".

    Raises:
        BadInput: The file cannot be read.
    """
    if source == "-":
        return sys.stdin.read()
    if not source.startswith("@"):
        return source
    from cellhive.adapters.files import read_bounded  # noqa: PLC0415

    try:
        return read_bounded(Path(source[1:])).decode()
    except UnicodeDecodeError as error:
        raise BadInput(place=place, expected="text in UTF-8", found=str(error)) from error


@contextmanager
def progress(what: str, total: int | None, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Show how far long work is, where somebody watches; yields what is to be told of it."""
    from rich.progress import (  # noqa: PLC0415  # only where something is shown
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    shown = console(stderr=True, quiet=quiet)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeElapsedColumn())  # fmt: skip
    with Progress(*columns, console=shown, transient=True, disable=not shown.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


def refuse_nothing(*given: object, expected: str) -> None:
    """Raise the error of a command that was asked for nothing."""
    if not any(given):
        message = f"expected {expected}, found nothing"
        raise click.UsageError(message)
