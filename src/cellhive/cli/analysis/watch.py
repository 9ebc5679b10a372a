"""Analyses again and again as files arrive."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from cellhive.adapters.reading import files_of
from cellhive.cli.output import Stop, stoppable
from cellhive.core.errors import CellHiveError
from cellhive.diagnose.incidents import Incident
from cellhive.flows.analyse import Analysis
from cellhive.reports.analysis import words

Snapshot = dict[Path, tuple[int, int]]
"""Size [bytes] and time of the last change [ns] of every file."""

NAMED = 5
"""New incidents that are named after each analysis."""


def snapshot(paths: Sequence[Path]) -> Snapshot:
    """Return what is there now; files that go away meanwhile are left out.

    Args:
        paths: Files and folders.
    """
    found: Snapshot = {}
    for path, _ in files_of(paths, lambda _: None):
        try:
            state = path.stat()
        except OSError:
            continue
        found[path] = (state.st_size, state.st_mtime_ns)
    return found


def watch(
    paths: Sequence[Path],
    analyse: Callable[[], Analysis],
    out: Console,
    *,
    every_s: float,
    ignored: Sequence[Path] = (),
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Analyse whenever files have come or changed, until Ctrl-C.

    A change counts once it has settled: two looks in a row must see the same, so that files
    being written are not read half. An analysis that fails is told and the watch goes on.

    Args:
        paths: Files and folders to watch.
        analyse: Does one analysis and writes its report.
        out: Where to tell of it.
        every_s: Time between two looks [s].
        ignored: Files whose changes do not count: what the analysis itself writes.
        wait: Waits so many seconds.
    """
    own = {path.resolve() for path in ignored}
    done: Snapshot | None = None
    before: Snapshot | None = None
    last: Analysis | None = None
    out.print(f"Watching {words.listed([str(path) for path in paths])}; Ctrl-C ends it.",
              markup=False)  # fmt: skip
    # What the interruption lands in may swallow it, such as a finaliser: it is remembered too.
    with suppress(KeyboardInterrupt), stoppable(Stop(out, asking=True)) as stop:
        while not stop():
            now = {path: at for path, at in snapshot(paths).items() if path.resolve() not in own}
            if not now and before is None:
                out.print("No files yet.")
            if now and now != done and (now == before or done is None):
                try:
                    found = analyse()
                except CellHiveError as error:
                    out.print(f"Not analysed: {error}", markup=False)
                else:
                    _tell(found, last, len(now), out)
                    last = found
                done = now
            before = now
            wait(every_s)
    out.print("Stopped watching.")


def _tell(found: Analysis, last: Analysis | None, files: int, out: Console) -> None:
    every = found.search.incidents
    known = () if last is None else last.search.incidents
    new = [one for one in every if not any(is_same(one, other) for other in known)]
    over = [other for other in known if not any(is_same(one, other) for one in every)]
    out.print(
        f"{words.counted(files, 'file')}: {words.counted(len(every), 'incident')}, "
        f"{len(new)} new, {len(over)} no longer there"
    )
    for one in new[:NAMED]:
        out.print(f"  new: {words.headline(one)}; {words.stretch(one)}", markup=False)
    if len(new) > NAMED:
        out.print(f"  and {len(new) - NAMED} more in the report")


def is_same(one: Incident, other: Incident) -> bool:
    """Return whether two analyses speak of the same incident: time and objects in common."""
    return (
        one.start_s < other.end_s
        and other.start_s < one.end_s
        and not set(one.objects).isdisjoint(other.objects)
        and not set(one.kpis).isdisjoint(other.kpis)
    )
