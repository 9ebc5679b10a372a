"""Where a PostgreSQL server is, connections to it, and what its errors mean to us.

Passwords come from the URL, from ``PGPASSWORD`` or from the file that ``PGPASSFILE`` names;
none of them ever gets into a message, a ``repr`` or a traceback of ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from queue import Empty, LifoQueue
from typing import TYPE_CHECKING, Any, TypeVar, cast

from cellhive.core.errors import BadInput, CellHiveError, Unavailable

if TYPE_CHECKING:
    import psycopg

Row = tuple[Any, ...]
T = TypeVar("T")

RETRY_AFTER_S = 1.0
"""When to ask again after a server could not be reached [s]."""
_DISK_FULL_RETRY_S = 30.0
_IDLE_CONNECTIONS = 4

_DEFAULTS: Mapping[str, str | int] = {
    "connect_timeout": 5,
    # A server that vanished without a word is noticed within half a minute, not in hours.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
_OURS = (
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "does not exist",
    "is not permitted to log in",
    "authentication method",
    "certificate",
    "permission denied for database",
    "SSL",
)
"""Parts of messages about connections that do not get better by waiting. libpq gives no code."""
_HIDDEN = ("42501", "42P01", "3F000")
"""Codes of what a role may not use, or not even see."""
_LATER = ("08", "53", "57P", "40", "55P03", "57014", "25006")
"""Codes of errors that pass: connection, resources, shutdown, deadlock, time-outs, standby."""


def driver() -> Any:
    """Return psycopg, or say what to install."""
    try:
        import psycopg  # noqa: PLC0415 - only those who use PostgreSQL need it
    except ImportError as error:
        raise BadInput(
            expected="the Python package psycopg",
            found=str(error),
            remedy="pip install 'cellhive[postgres]'",
        ) from error
    return psycopg


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is and how to get in."""

    parameters: Mapping[str, Any] = field(repr=False)
    """Connection parameters of libpq; the password may be among them."""
    place: str
    """Host and database, for messages."""

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read a URL or a libpq connection string; "" leaves everything to ``PG...`` variables."""
        psycopg = driver()
        wrong = BadInput(
            expected="a PostgreSQL URL such as postgresql://user@host:5432/database",
            found="one that cannot be read (not shown: it may hold a password)",
            remedy="percent-encode : / ? # @ and % in a password, or put it into PGPASSFILE",
        )
        try:
            given = psycopg.conninfo.conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            raise wrong from None  # its message quotes the URL
        # A password with "@" or "/" in it would be taken for a host, and shown as one.
        names = f"{given.get('host', '')}{given.get('dbname', '')}{given.get('user', '')}"
        if "@" in names or not re.fullmatch(r"[\d,]*", str(given.get("port", ""))):
            raise wrong
        place = f"PostgreSQL at {given.get('host', 'the default host')}"
        if "dbname" in given:
            place += f", database {given['dbname']}"
        return cls({**_DEFAULTS, **given}, place)

    def connect(self, application: str) -> psycopg.Connection[Row]:
        """Open a connection; raise BadInput where waiting would not help, else Unavailable."""
        wanted = {**self.parameters, "client_encoding": "UTF8"}
        wanted.setdefault("application_name", application)
        try:
            return cast("psycopg.Connection[Row]", driver().connect(**wanted, autocommit=True))
        except driver().Error as error:
            raise self._refused(str(error)) from None  # may hold what was connected with

    def _refused(self, said: str) -> CellHiveError:
        password = str(self.parameters.get("password", ""))
        said = " ".join((said.replace(password, "***") if password else said).split())
        if any(part in said for part in _OURS):
            return BadInput(
                expected="a server that lets this user in",
                found=said,
                remedy="check user, password, database, sslmode and the server's pg_hba.conf",
                place=self.place,
            )
        message = f"{self.place}: expected a connection, found: {said}; try again"
        return Unavailable(message, retry_after_s=RETRY_AFTER_S)

    def translated(self, error: psycopg.Error) -> CellHiveError:
        """Return what an error of the driver means to our callers."""
        said = f"{self.place}: {' '.join(str(error).split()) or type(error).__name__}"
        code = error.sqlstate or ""
        if is_lost(error) or code.startswith(_LATER):
            wait_s = _DISK_FULL_RETRY_S if code.startswith("53100") else RETRY_AFTER_S
            return Unavailable(f"expected an answer, found {said}; try again", retry_after_s=wait_s)
        if code in _HIDDEN:
            return BadInput(
                expected="a role with the privileges of docs/how-to/memory-postgres.md",
                found=said,
                remedy="grant them, or open the log once as the owner of the tables",
            )
        if code.startswith("22"):
            return BadInput(expected="values that PostgreSQL can hold", found=said)
        return CellHiveError(f"expected the statement to succeed, found {said}")


def is_lost(error: psycopg.Error) -> bool:
    """Return whether an error means that the connection is gone."""
    psycopg = driver()
    code = error.sqlstate
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) and (
        code is None or code.startswith(("08", "57P"))
    )


class Readers:
    """Connections for reading: handed out one per call, kept while idle, made anew when lost."""

    def __init__(self, address: Address, connect: Callable[[], psycopg.Connection[Row]]) -> None:
        """Prepare; nothing is connected yet.

        Args:
            address: What errors are told with.
            connect: Opens a connection that is ready for statements.
        """
        self._address, self._connect = address, connect
        self._idle: LifoQueue[psycopg.Connection[Row]] = LifoQueue(_IDLE_CONNECTIONS)
        self._closed = False

    def run(self, action: Callable[[psycopg.Connection[Row]], T]) -> T:
        """Return what an action reads; a lost connection is replaced once, then Unavailable."""
        psycopg = driver()
        for last in (False, True):
            link = self._take(fresh=last)
            try:
                found = action(link)
            except psycopg.Error as error:
                link.close()
                if is_lost(error) and not last:
                    self._drop_idle()  # the others went with it
                    continue
                raise self._address.translated(error) from error
            except BaseException:
                link.close()
                raise
            self._put_back(link)
            return found
        raise AssertionError  # unreachable: the last round returns or raises

    def close(self) -> None:
        """Close what is idle; what is in use is closed when it comes back."""
        self._closed = True
        self._drop_idle()

    def _take(self, *, fresh: bool) -> psycopg.Connection[Row]:
        if not fresh:
            try:
                return self._idle.get_nowait()
            except Empty:
                pass
        return self._connect()

    def _put_back(self, link: psycopg.Connection[Row]) -> None:
        if self._closed or self._idle.full():
            link.close()
            return
        self._idle.put(link)
        if self._closed:
            self._drop_idle()

    def _drop_idle(self) -> None:
        while True:
            try:
                self._idle.get_nowait().close()
            except Empty:
                return
