"""The errors CellHive raises, as one tree.

CellHiveError
├── UsageError        the caller's fault; the command line exits with 2
│   ├── BadInput      a file or value is not what it should be
│   └── NotFound      something named does not exist
├── Conflict          somebody else's turn: a lock, a freeze, a newer version
├── ProtocolError     a peer sent what the protocol does not allow
└── Unavailable       not now; ``retry_after_s`` says when to ask again

A message gives, in this order, what was expected, what was found and what to do.
"""

from __future__ import annotations


class CellHiveError(Exception):
    """Base of every error that CellHive raises on purpose."""


class UsageError(CellHiveError):
    """The caller asked for something that cannot be."""


class BadInput(UsageError):
    """A file or a value is not what it should be."""

    def __init__(self, *, expected: str, found: str, remedy: str = "", place: str = "") -> None:
        """Compose the message.

        Args:
            expected: What would have been right.
            found: What was there instead.
            remedy: What the reader can do about it.
            place: File, line, column or option where it was found.
        """
        self.expected, self.found, self.remedy, self.place = expected, found, remedy, place
        where = f"{place}: " if place else ""
        advice = f"; {remedy}" if remedy else ""
        super().__init__(f"{where}expected {expected}, found {found}{advice}")


class NotFound(UsageError):
    """Something that was named does not exist."""


class Conflict(CellHiveError):
    """Somebody else holds what was asked for."""


class ProtocolError(CellHiveError):
    """A peer, or bytes from elsewhere, broke the protocol; the connection is of no more use."""

    def __init__(self, *, expected: str, found: str, remedy: str = "") -> None:
        """Compose the message from what would have been right, what came, and what to do."""
        self.expected, self.found, self.remedy = expected, found, remedy
        super().__init__(f"expected {expected}, found {found}{f'; {remedy}' if remedy else ''}")


class Unavailable(CellHiveError):
    """Not now."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        """Say what is unavailable and when to ask again [s]."""
        self.retry_after_s = retry_after_s
        super().__init__(message)
