"""One thread that writes: whatever waits together is committed together, with one disk sync."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from cellhive.adapters.embedded.rows.encoded import Encoded
from cellhive.core.errors import Unavailable

MOST_WAITING = 200_000
"""Records that may wait; who brings more waits until there is room."""
MOST_TOGETHER = 20_000
"""Records after which a group is committed, unless one submission alone has more."""


@dataclass(slots=True)
class Submission:
    """What one caller wants written, whole or not at all."""

    records: Encoded
    new: bool = False
    """Whether no record may be replaced."""
    covers: Mapping[str, int] | None = None
    """Version vector that comes with records of another replica."""
    future: Future[Any] = field(default_factory=Future)


class GroupCommit:
    """A queue of submissions, and the thread that writes them."""

    def __init__(self, commit: Callable[[list[Submission]], list[Callable[[], None]]], name: str):
        """Start.

        Args:
            commit: Writes submissions in one transaction and returns, once it is durable, what
                tells each caller so; raises where nothing was written.
            name: Of the thread.
        """
        self._commit = commit
        self._waiting: deque[Submission] = deque()
        self._records = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, submission: Submission) -> Future[Any]:
        """Queue a submission and return its future; waits where too much is queued.

        Raises:
            Unavailable: It is closed.
        """
        with self._changed:
            while self._records > MOST_WAITING and not self._closed:
                self._changed.wait()
            if self._closed:
                message = "expected an open memory, found it closed; open it again"
                raise Unavailable(message, retry_after_s=0.0)
            self._waiting.append(submission)
            self._records += len(submission.records)
            self._changed.notify_all()
        return submission.future

    def close(self) -> None:
        """Write what is queued and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while group := self._next():
            try:
                tell = self._commit(group)
            except BaseException as error:  # whatever it is, the callers hear of it
                for submission in group:
                    submission.future.set_exception(error)
            else:
                for each in tell:
                    each()

    def _next(self) -> list[Submission]:
        """Return what waits, or nothing once all is written and nothing more may come."""
        group: list[Submission] = []
        with self._changed:
            while not group:
                while not self._waiting and not self._closed:
                    self._changed.wait()
                if not self._waiting:
                    return []
                size = 0
                while self._waiting and size < MOST_TOGETHER:
                    submission = self._waiting.popleft()
                    size += len(submission.records)
                    if submission.future.set_running_or_notify_cancel():
                        group.append(submission)
                self._records -= size
                self._changed.notify_all()
        return group
