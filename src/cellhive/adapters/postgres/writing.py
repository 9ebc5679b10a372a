"""The writer of a log: one thread that puts what waits into one transaction after another.

While a transaction is on its way to the disk, the next writes gather: they share the next one.
A transaction whose answer was lost with the connection is neither given up nor written twice:
every transaction counts up a number of its writer's, so asking tells whether it was made.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from threading import Condition, Event, Thread
from typing import TYPE_CHECKING

from cellhive.adapters.postgres.connecting import RETRY_AFTER_S, Address, Row, driver, is_lost
from cellhive.adapters.postgres.planning import Plan, Standing, State, Submission, make_plan
from cellhive.adapters.postgres.rows import COLUMNS, COPY_HEADER, COPY_TRAILER
from cellhive.core.errors import CellHiveError, Unavailable

if TYPE_CHECKING:
    import psycopg

_MOST_IN_GROUP = 5_000
"""Records of small submissions that share a transaction."""
_MOST_WAITING = 200_000
"""Records that may wait; whoever submits more waits until there is room."""
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0
_DEADLOCK_CODES = ("40001", "40P01")
_COPY_BYTES = 1 << 20

_TEMPORARY = "CREATE TEMPORARY TABLE incoming (LIKE records) ON COMMIT DELETE ROWS"
_PLANNER = (
    # The planner knows nothing of the temporary table; by index is right for few and for many.
    "SET enable_hashjoin = off; SET enable_mergejoin = off"
)
_UPDATE = """
UPDATE records r SET
  (change, time_hlc, sequence, time_s, deleted, writer, kind, origin, text, metadata, payload,
   vector, words) =
  (i.change, i.time_hlc, i.sequence, i.time_s, i.deleted, i.writer, i.kind, i.origin, i.text,
   i.metadata, i.payload, i.vector, i.words)
FROM incoming i WHERE r.namespace_id = i.namespace_id AND r.row_no = i.row_no
"""


class _Doubt(Exception):
    """The connection was lost when a transaction may already have been made."""

    def __init__(self, plan: Plan, commits: int) -> None:
        super().__init__()
        self.plan, self.commits = plan, commits


class GroupWriter:
    """Writes submissions in order, as many as wait at a time."""

    def __init__(
        self,
        writer: str,
        address: Address,
        connect: Callable[[], psycopg.Connection[Row]],
        now_ms: Callable[[], int],
        patience_s: float,
    ) -> None:
        """Start the thread; it connects when there is something to write.

        Args:
            writer: Name of this opening of the log.
            address: What errors are told with.
            connect: Opens a connection that is ready for statements.
            now_ms: Wall clock [ms since the epoch].
            patience_s: How long to try again when the server went away.
        """
        self._writer, self._address, self._connect = writer, address, connect
        self._now_ms, self._patience_s = now_ms, patience_s
        self._waiting: deque[Submission] = deque()
        self._room = 0
        self._turn = Condition()
        self._closing = Event()
        self._pause = Event()
        """Never set: to wait by."""
        self._link: psycopg.Connection[Row] | None = None
        self._down = False
        """Whether the last group found no server: the next one asks once and does not wait."""
        self._thread = Thread(target=self._work, name=f"writer {writer}", daemon=True)
        self._thread.start()

    def submit(self, submission: Submission) -> None:
        """Queue a submission; waits while too many records wait."""
        size = len(submission.items) or 1
        with self._turn:
            self._turn.wait_for(
                lambda: self._room == 0 or self._room + size <= _MOST_WAITING
                or self._closing.is_set()
            )  # fmt: skip
            if self._closing.is_set():
                raise closed()
            self._waiting.append(submission)
            self._room += size
            self._turn.notify_all()

    def close(self) -> None:
        """Write what waits, and stop."""
        with self._turn:
            self._closing.set()
            self._turn.notify_all()
        self._thread.join()
        self._disconnect()

    def _work(self) -> None:
        while group := self._next_group():
            live = [x for x in group if x.done.set_running_or_notify_cancel()]
            if live:
                try:
                    self._carry_out(live)
                except Exception as error:
                    self._disconnect()
                    for submission in live:
                        if not submission.done.done():
                            submission.done.set_exception(error)
            with self._turn:
                self._room -= sum(len(submission.items) or 1 for submission in group)
                self._turn.notify_all()

    def _next_group(self) -> list[Submission]:
        """Wait for submissions and return those that go together; none when closed."""
        with self._turn:
            self._turn.wait_for(lambda: self._waiting or self._closing.is_set())
            group: list[Submission] = []
            size = 0
            while self._waiting and (not group or size < _MOST_IN_GROUP):
                size += len(self._waiting[0].items)
                if group and size > _MOST_IN_GROUP:
                    break
                group.append(self._waiting.popleft())
            return group

    def _carry_out(self, group: Sequence[Submission]) -> None:
        """Write a group, again and again while the server is away, and answer."""
        psycopg = driver()
        doubt: _Doubt | None = None
        pauses = _pauses(0.0 if self._down else self._patience_s)
        while True:
            try:
                self._answer(group, self._attempt(group, doubt))
            except _Doubt as lost:
                doubt, error = lost, self._address.translated(lost.__cause__)  # type: ignore[arg-type] # raised from one
            except psycopg.Error as raised:
                error = self._address.translated(raised)
                passes = is_lost(raised) or raised.sqlstate in _DEADLOCK_CODES
                if not passes:
                    self._refuse(group, error)
                    return
            except Unavailable as refused:  # no connection
                error = refused
            else:
                self._down = False
                return
            self._disconnect()
            pause_s = next(pauses, None)
            if pause_s is None:
                self._give_up(group, error, doubt)
                return
            self._pause.wait(pause_s)

    def _give_up(
        self, group: Sequence[Submission], error: CellHiveError, doubt: _Doubt | None
    ) -> None:
        self._down = True
        if doubt is not None:
            message = (
                f"{error}; the connection was lost in the middle of a write, which may have been "
                "made or not: read it back, or write it again"
            )
            error = Unavailable(message, retry_after_s=RETRY_AFTER_S)
        for submission in group:
            submission.done.set_exception(error)

    def _refuse(self, group: Sequence[Submission], error: CellHiveError) -> None:
        """Let only those fail that cannot be written, not what shared a transaction with them."""
        if len(group) == 1 or isinstance(error, Unavailable):
            for submission in group:
                submission.done.set_exception(error)
            return
        for submission in group:
            self._carry_out([submission])

    @staticmethod
    def _answer(group: Sequence[Submission], plan: Plan) -> None:
        for submission, answer in zip(group, plan.answers, strict=True):
            if isinstance(answer, Exception):
                submission.done.set_exception(answer)
            else:
                submission.done.set_result(answer)

    def _attempt(self, group: Sequence[Submission], doubt: _Doubt | None) -> Plan:
        """Write a group in one transaction and return what was written.

        Raises:
            _Doubt: The connection was lost after the commit was sent.
        """
        psycopg = driver()
        link = self._connected()
        plan: Plan | None = None
        commits = 0
        try:
            with link.transaction():
                # From here on no other writer, and not even a lost transaction of our own that
                # the server still works at, can be under way.
                state, commits = self._state(link, group)
                if doubt is not None and commits > doubt.commits:
                    return doubt.plan
                doubt = None
                made = make_plan(group, state, self._writer, self._now_ms)
                self._write(link, made)
                self._write_state(link, state, commits + 1)
                plan = made
        except psycopg.Error as error:
            if plan is not None and is_lost(error):
                raise _Doubt(plan, commits) from error
            if doubt is not None and is_lost(error):
                raise _Doubt(doubt.plan, doubt.commits) from error  # still in doubt
            raise
        return plan

    def _state(
        self, link: psycopg.Connection[Row], group: Sequence[Submission]
    ) -> tuple[State, int]:
        """Lock out other writers and return what the tables hold of what a group touches."""
        items = [item for submission in group for item in submission.items]
        keys: dict[int, list[bytes]] = {}
        for item in items:
            keys.setdefault(item.namespace_id, []).append(item.key)
        writers = {item.record.version.writer for item in items}
        writers |= set(chain.from_iterable(submission.covers for submission in group))
        writers.discard("")
        with link.pipeline(), link.cursor(binary=True) as cursor:
            cursor.execute("SELECT last_change, last_hlc FROM log_state FOR UPDATE")
            own = link.execute(
                "SELECT sequence, commits FROM writers WHERE writer = %s", (self._writer,)
            )
            rows = link.execute(
                "SELECT namespace_id, last_row FROM namespaces WHERE namespace_id = ANY(%s)",
                (list(keys),),
            )
            standing = [
                link.cursor(binary=True).execute(
                    "SELECT namespace_id, key, row_no, time_hlc, writer, sequence, NOT deleted"
                    " FROM records WHERE namespace_id = %s AND key = ANY(%b)",
                    (namespace_id, wanted),
                )
                for namespace_id, wanted in keys.items()
            ]
            change, hlc = cursor.fetchone() or (0, 0)
            sequence, commits = own.fetchone() or (0, 0)
        known, ahead = self._known(link, writers) if writers else ({}, {})
        state = State(
            last_change=change,
            last_hlc=hlc,
            sequence=sequence,
            standing={
                (namespace_id, key): Standing(row_no, (hlc, writer, number), alive, stored=True)
                for answer in standing
                for namespace_id, key, row_no, hlc, writer, number, alive in answer.fetchall()
            },
            last_rows=dict(rows.fetchall()),
            known=known,
            ahead=ahead,
        )
        return state, commits

    @staticmethod
    def _known(
        link: psycopg.Connection[Row], writers: set[str]
    ) -> tuple[dict[str, int], dict[str, set[int]]]:
        names = list(writers)
        rows = link.execute(
            "SELECT writer, sequence FROM writers WHERE writer = ANY(%s)", (names,)
        ).fetchall()
        ahead: dict[str, set[int]] = {}
        for writer, sequence in link.execute(
            "SELECT writer, sequence FROM ahead WHERE writer = ANY(%s)", (names,)
        ):
            ahead.setdefault(writer, set()).add(sequence)
        return dict(rows), ahead

    @staticmethod
    def _write(link: psycopg.Connection[Row], plan: Plan) -> None:
        tables = (("records", plan.added), ("incoming", plan.changed))
        for table, placed in tables:
            if not placed:
                continue
            query = f"COPY {table} ({COLUMNS}) FROM STDIN (FORMAT binary)"
            with link.cursor() as cursor, cursor.copy(query) as copy:
                chunk, size = [COPY_HEADER], 0
                for item, row_no, change, version in placed.values():
                    row = item.row(row_no, change, version)
                    chunk.append(row)
                    size += len(row)
                    if size > _COPY_BYTES:
                        copy.write(b"".join(chunk))
                        chunk, size = [], 0
                chunk.append(COPY_TRAILER)
                copy.write(b"".join(chunk))
        if plan.changed:
            link.execute(_UPDATE)

    def _write_state(self, link: psycopg.Connection[Row], state: State, commits: int) -> None:
        state.known.pop(self._writer, None)
        with link.pipeline():
            link.execute(
                "UPDATE log_state SET last_change = %s, last_hlc = %s",
                (state.last_change, state.last_hlc),
            )
            for namespace_id, last_row in state.last_rows.items():
                link.execute(
                    "UPDATE namespaces SET last_row = %s WHERE namespace_id = %s AND last_row < %s",
                    (last_row, namespace_id, last_row),
                )
            link.execute(
                "INSERT INTO writers VALUES (%s, %s, %s) ON CONFLICT (writer)"
                " DO UPDATE SET sequence = excluded.sequence, commits = excluded.commits",
                (self._writer, state.sequence, commits),
            )
            for writer, sequence in state.known.items():
                link.execute(
                    "INSERT INTO writers VALUES (%s, %s) ON CONFLICT (writer)"
                    " DO UPDATE SET sequence = excluded.sequence"
                    " WHERE writers.sequence < excluded.sequence",
                    (writer, sequence),
                )
                link.execute(
                    "DELETE FROM ahead WHERE writer = %s AND sequence <= %s", (writer, sequence)
                )
            for writer, beyond in state.ahead.items():
                link.execute(
                    "INSERT INTO ahead SELECT %s, unnest(%s::bigint[]) ON CONFLICT DO NOTHING",
                    (writer, sorted(beyond)),
                )

    def _connected(self) -> psycopg.Connection[Row]:
        if self._link is None or self._link.closed:
            link = self._connect()
            try:
                link.execute(_TEMPORARY)
                link.execute(_PLANNER)
            except BaseException:
                link.close()
                raise
            self._link = link
        return self._link

    def _disconnect(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None


def closed() -> CellHiveError:
    """Return the error of a log that is used after it was closed."""
    return CellHiveError("expected an open log, found a closed one; open it again")


def _pauses(patience_s: float) -> Iterator[float]:
    """Yield how long to wait before each further attempt [s], a given time in all."""
    pause_s = _FIRST_PAUSE_S
    while patience_s > 0:
        yield min(pause_s, patience_s)
        patience_s -= pause_s
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
